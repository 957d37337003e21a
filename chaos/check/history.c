/* Histories in memory. */
#include "chaos/check/history.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"

#define ARENA_BYTES_MAX (4ull << 30) /* ten million operations; a run has a hundredth of that */
#define TEXT_SLOTS_MIN  1024u

struct history_store {
    struct arena arena;
    const char **texts; /* an open-addressing table of what is kept once */
    size_t text_slots, text_count;
};

static const struct {
    const char *name;
    enum history_object object;
} kinds[HISTORY_KIND_COUNT] = {
#define KIND_ROW(kind, name, object) [kind] = {name, object},
    HISTORY_KINDS(KIND_ROW)
#undef KIND_ROW
};
const char *const history_outcome_names[HISTORY_OUTCOME_COUNT] = {
    [HISTORY_UNKNOWN] = "unknown", [HISTORY_OK] = "ok", [HISTORY_REFUSED] = "refused"};
const char *const history_phase_names[HISTORY_PHASE_COUNT] = {
    [HISTORY_NO_PLAN] = "none",           [HISTORY_DRAFT] = "draft",
    [HISTORY_ACTIVE] = "active",          [HISTORY_PAUSED] = "paused",
    [HISTORY_COMPLETED] = "completed",    [HISTORY_CANCELLED] = "cancelled",
    [HISTORY_ROLLED_BACK] = "rolled_back"};

const char *history_kind_name(uint32_t kind)
{
    CHECK(kind < HISTORY_KIND_COUNT, "kind %u", kind);
    return kinds[kind].name;
}

enum history_object history_kind_object(uint32_t kind)
{
    CHECK(kind < HISTORY_KIND_COUNT, "kind %u", kind);
    return kinds[kind].object;
}

bool history_kind_reads(uint32_t kind)
{
    return kind == HISTORY_READ || kind == HISTORY_PLAN_READ || kind == HISTORY_SWITCH_READ;
}

struct history *history_new(void)
{
    struct history *self = memory_zero(1, sizeof *self);
    self->store = memory_zero(1, sizeof *self->store);
    arena_init(&self->store->arena, ARENA_BYTES_MAX);
    self->store->text_slots = TEXT_SLOTS_MIN;
    self->store->texts = memory_zero(TEXT_SLOTS_MIN, sizeof *self->store->texts);
    return self;
}

void history_free(struct history *self)
{
    if (self == NULL)
        return;
    arena_done(&self->store->arena);
    free(self->store->texts);
    free(self->store);
    free(self->ops);
    free(self->faults);
    free(self->leaders);
    free(self->registers);
    free(self->audit);
    free(self->followers);
    free(self->events);
    free(self->bank);
    free(self->finals);
    free(self->states);
    free(self);
}

static size_t text_slot(const struct history_store *store, const char *text)
{
    uint64_t hash = 1469598103934665603ull; /* FNV-1a */
    for (const char *at = text; *at != '\0'; at++)
        hash = (hash ^ (uint8_t)*at) * 1099511628211ull;
    size_t slot = (hash ^ hash >> 32) & (store->text_slots - 1);
    while (store->texts[slot] != NULL && strcmp(store->texts[slot], text) != 0)
        slot = (slot + 1) & (store->text_slots - 1);
    return slot;
}

static void grow_texts(struct history_store *store)
{
    const char **old = store->texts;
    const size_t old_slots = store->text_slots;
    store->text_slots *= 2;
    store->texts = memory_zero(store->text_slots, sizeof *store->texts);
    for (size_t i = 0; i < old_slots; i++)
        if (old[i] != NULL)
            store->texts[text_slot(store, old[i])] = old[i];
    free(old);
}

const char *history_text(struct history *self, const char *text)
{
    struct history_store *store = self->store;
    if (text == NULL)
        return NULL;
    size_t slot = text_slot(store, text);
    if (store->texts[slot] == NULL) {
        store->texts[slot] = arena_text(&store->arena, text, strlen(text));
        const char *kept = store->texts[slot];
        if (++store->text_count * 2 > store->text_slots)
            grow_texts(store);
        return kept;
    }
    return store->texts[slot];
}

/* Doubles at powers of two, so that no capacity needs keeping. @return the place of one more */
static void *grow(void *items, size_t *count, size_t item_bytes)
{
    void **array = items;
    const size_t position = (*count)++;
    if ((position & (position - 1)) == 0)
        *array = memory_resize(*array, (position == 0 ? 1 : position * 2) * item_bytes);
    return (char *)*array + position * item_bytes;
}
#define GROW(self, member, count) grow(&(self)->member, &(self)->count, sizeof *(self)->member)

uint32_t history_add(struct history *self, const struct history_op *op)
{
    CHECK(op->kind < HISTORY_KIND_COUNT && op->outcome < HISTORY_OUTCOME_COUNT, "kind %u, outcome %u",
          op->kind, op->outcome);
    CHECK(op->part_count <= HISTORY_PARTS_MAX, "%u parts", op->part_count);
    struct history_op *kept = GROW(self, ops, op_count);
    *kept = *op;
    kept->request = history_text(self, op->request);
    kept->code = history_text(self, op->code);
    kept->node = history_text(self, op->node);
    kept->parts = arena_new(&self->store->arena, (op->part_count + 1) * sizeof *op->parts);
    for (uint32_t i = 0; i < op->part_count; i++) {
        kept->parts[i] = op->parts[i];
        kept->parts[i].key = history_text(self, op->parts[i].key);
    }
    return (uint32_t)(self->op_count - 1);
}

struct history_op *history_op_at(struct history *self, uint32_t number)
{
    CHECK(number < self->op_count, "operation %u of %zu", number, self->op_count);
    return &self->ops[number];
}

void history_add_fault(struct history *self, const struct history_fault *fault)
{
    struct history_fault *kept = GROW(self, faults, fault_count);
    *kept = *fault;
    kept->name = history_text(self, fault->name);
    kept->node = history_text(self, fault->node);
}

void history_add_leader(struct history *self, const struct history_leader *leader)
{
    struct history_leader *kept = GROW(self, leaders, leader_count);
    *kept = *leader;
    kept->node = history_text(self, leader->node);
}

void history_add_register(struct history *self, const struct history_register *one)
{
    struct history_register *kept = GROW(self, registers, register_count);
    *kept = *one;
    kept->key = history_text(self, one->key);
}

void history_add_audit(struct history *self, const struct history_audit *record)
{
    struct history_audit *kept = GROW(self, audit, audit_count);
    *kept = *record;
    kept->request = history_text(self, record->request);
    kept->event = history_text(self, record->event);
    kept->resource = history_text(self, record->resource);
    kept->category = history_text(self, record->category);
}

uint32_t history_add_follower(struct history *self, const struct history_follower *follower)
{
    struct history_follower *kept = GROW(self, followers, follower_count);
    kept->name = history_text(self, follower->name);
    kept->category = history_text(self, follower->category);
    return (uint32_t)(self->follower_count - 1);
}

void history_add_event(struct history *self, const struct history_event *event)
{
    CHECK(event->follower < self->follower_count, "follower %u of %zu", event->follower,
          self->follower_count);
    struct history_event *kept = GROW(self, events, event_count);
    *kept = *event;
}

void history_add_bank(struct history *self, const char *key)
{
    struct history_bank *kept = GROW(self, bank, bank_count);
    kept->key = history_text(self, key);
}

void history_add_final(struct history *self, const struct history_final *final)
{
    struct history_final *kept = GROW(self, finals, final_count);
    *kept = *final;
    kept->node = history_text(self, final->node);
    kept->digest = history_text(self, final->digest);
}

void history_add_state(struct history *self, const struct history_state *state)
{
    struct history_state *kept = GROW(self, states, state_count);
    *kept = *state;
    kept->node = history_text(self, state->node);
    kept->key = history_text(self, state->key);
}
