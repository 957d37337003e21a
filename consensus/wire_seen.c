#include "consensus/wire_seen.h"

#include <string.h>

#include "base/check.h"

static struct wire_seen_entry *find(struct wire_seen *self, uint64_t node_id)
{
    CHECK(node_id != 0, "a node id is never 0");
    for (size_t i = 0; i < WIRE_SEEN_MAX; i++)
        if (self->entries[i].node_id == node_id)
            return &self->entries[i];
    return NULL;
}

static struct wire_seen_entry *make_room(struct wire_seen *self)
{
    struct wire_seen_entry *oldest = &self->entries[0];
    for (size_t i = 0; i < WIRE_SEEN_MAX; i++) {
        struct wire_seen_entry *entry = &self->entries[i];
        if (entry->node_id == 0)
            return entry;
        if (entry->alive_ms < oldest->alive_ms)
            oldest = entry;
    }
    return oldest;
}

static struct wire_birth birth_of(const struct wire_hello *hello)
{
    struct wire_birth birth = {.start_counter = hello->start_counter, .nonce = hello->nonce};
    CHECK(strlen(hello->incarnation) < sizeof birth.incarnation, "an incarnation of %zu bytes",
          strlen(hello->incarnation));
    memcpy(birth.incarnation, hello->incarnation, strlen(hello->incarnation) + 1);
    return birth;
}

static void settle(struct wire_seen_entry *entry, const struct wire_birth *birth, uint64_t node_id,
                   uint64_t now_ms)
{
    const uint64_t holds = entry->node_id == node_id ? entry->holds : 0;
    *entry =
        (struct wire_seen_entry){.node_id = node_id, .current = *birth, .alive_ms = now_ms, .holds = holds};
}

static enum wire_verdict contest(struct wire_seen_entry *entry, uint64_t now_ms)
{
    entry->contested = true;
    entry->rival_ms = now_ms;
    return WIRE_REFUSE_BOTH;
}

enum wire_verdict wire_seen_judge(struct wire_seen *self, const struct wire_hello *hello, uint32_t living,
                                  uint64_t now_ms)
{
    const struct wire_birth birth = birth_of(hello);
    struct wire_seen_entry *entry = find(self, hello->node_id);
    if (entry == NULL) {
        settle(make_room(self), &birth, hello->node_id, now_ms);
        return WIRE_ADMIT;
    }
    if (hello->log_end != 0 && hello->log_end < entry->holds)
        return WIRE_REFUSE_ROLLED_BACK;
    const bool same_folder = strcmp(entry->current.incarnation, birth.incarnation) == 0;
    if (same_folder && birth.start_counter == entry->current.start_counter &&
        birth.nonce == entry->current.nonce) {
        entry->alive_ms = now_ms;
        if (entry->contested && now_ms - entry->rival_ms < WIRE_RIVAL_MS)
            return WIRE_REFUSE_BOTH;
        entry->contested = false;
        return WIRE_ADMIT;
    }
    if (same_folder && birth.start_counter < entry->current.start_counter)
        return WIRE_REFUSE_OLDER;
    if (same_folder && birth.start_counter > entry->current.start_counter) {
        settle(entry, &birth, hello->node_id, now_ms);
        return WIRE_ADMIT_NEWER;
    }
    if (living > 0 || now_ms - entry->alive_ms < WIRE_RIVAL_MS)
        return contest(entry, now_ms);
    settle(entry, &birth, hello->node_id, now_ms);
    return WIRE_ADMIT;
}

void wire_seen_holds(struct wire_seen *self, uint64_t node_id, uint64_t index)
{
    struct wire_seen_entry *entry = find(self, node_id);
    if (entry != NULL && index > entry->holds)
        entry->holds = index;
}

void wire_seen_alive(struct wire_seen *self, uint64_t node_id, uint64_t now_ms)
{
    struct wire_seen_entry *entry = find(self, node_id);
    if (entry != NULL)
        entry->alive_ms = now_ms;
}
