/* Committed entries into the state machine, and the answers to who waited for them. */
#include "consensus/consensus_internal.h"

#include <inttypes.h>

#include "base/check.h"

/* R2: the commit index may pass our own durable log; after a power cut we would hold state beyond it. */
uint64_t apply_limit(const struct consensus *self)
{
    uint64_t durable = log_durable_index(self->log), commit = self->seen.commit_index;

    if (!rule_on(self, RULE_APPLY_DURABLE))
        return commit;
    return commit < durable ? commit : durable;
}

static void read_done(void *context, struct entry *entries, uint32_t count, const struct error *error)
{
    struct consensus *self = context;

    self->reading = false;
    if (self->closing || self->failed || error != NULL || count == 0) {
        log_entries_free(entries, count);
        if (error != NULL && !self->closing)
            consensus_fatal(self, error);
        consensus_drive(self);
        return;
    }
    self->read_entries = entries;
    self->read_count = count;
    consensus_drive(self);
}

static void drop_read(struct consensus *self)
{
    if (self->read_entries != NULL)
        log_entries_free(self->read_entries, self->read_count);
    self->read_entries = NULL;
    self->read_count = 0;
}

/* The next group: from the cache, or what was read from the disk. @return how many; 0: none, or being read */
static uint32_t gather(struct consensus *self, uint64_t limit, const struct entry **entries)
{
    uint64_t next = self->applied_index + 1;
    size_t bytes = 0;
    uint32_t count = 0;

    if (self->read_entries != NULL && self->read_entries[0].index == next) {
        while (count < self->read_count && self->read_entries[count].index <= limit)
            count++;
        *entries = self->read_entries;
        return count < GROUP_COMMANDS_MAX ? count : GROUP_COMMANDS_MAX;
    }
    drop_read(self);
    *entries = self->entries;
    while (count < GROUP_COMMANDS_MAX && next + count <= limit &&
           log_cached(self->log, next + count, &self->entries[count])) {
        bytes += self->entries[count].data.bytes;
        if (bytes > GROUP_BYTES_MAX && count > 0)
            break;
        count++;
    }
    if (count == 0 && next <= limit && !self->reading) {
        uint64_t wanted = limit - next + 1;
        self->reading = true;
        log_read_later(self->log, next, wanted < GROUP_COMMANDS_MAX ? (uint32_t)wanted : GROUP_COMMANDS_MAX,
                       read_done, self);
    }
    return count;
}

/* Who led the first command of a term took office with it. */
static void note_office(struct consensus *self, const struct entry *entry)
{
    if (entry->index == self->elected_index && entry->term == self->elected_term)
        self->ready_term = entry->term;
    if (entry->type == ENTRY_COMMAND && entry->term > self->leader_ready_term)
        self->leader_ready_term = entry->term;
}

static void after_group(struct consensus *self, const struct entry *entries, uint32_t count)
{
    self->applied_index = entries[count - 1].index;
    self->applied_term = entries[count - 1].term;
    for (uint32_t i = 0; i < count; i++)
        note_office(self, &entries[i]);
    proposals_applied(&self->proposals, entries, self->results, count);
    for (uint32_t i = 0; i < count; i++)
        if (entries[i].type == ENTRY_CHANGE || self->change.index == entries[i].index)
            membership_applied(self, &entries[i], &self->results[i]);
    confirm_applied(&self->confirm, self->applied_index);
}

/* @return how many were applied; 0: none are there, or the store is busy, or it failed */
static uint32_t apply_group(struct consensus *self)
{
    const struct machine *machine = &self->options.machine;
    const struct entry *entries = NULL;
    struct error error = {0};
    uint32_t count = gather(self, apply_limit(self), &entries);

    if (count == 0)
        return 0;
    CHECK(entries[0].index == self->applied_index + 1, "index %" PRIu64 " after %" PRIu64, entries[0].index,
          self->applied_index);
    enum error_code code = machine->apply(machine->context, entries, count, self->results, &error);
    if (code == ERROR_BUSY || code == ERROR_NO_SPACE) {
        self->apply_retry_ms = consensus_now(self) + DRIVE_BUSY_MS;
        return 0;
    }
    if (code != ERROR_OK) {
        consensus_fatal(self, &error);
        return 0;
    }
    after_group(self, entries, count);
    if (entries == self->read_entries)
        drop_read(self);
    return count;
}

bool apply_committed(struct consensus *self)
{
    uint64_t before = self->applied_index;

    if (!snapshot_may_apply(self) || consensus_now(self) < self->apply_retry_ms)
        return false;
    for (uint32_t i = 0; i < DRIVE_GROUPS_MAX && !self->failed; i++)
        if (apply_group(self) == 0)
            return self->applied_index > before;
    if (self->applied_index < apply_limit(self))
        self->work_left = true;
    return self->applied_index > before;
}
