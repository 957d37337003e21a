/* Takes a history apart into its objects, and looks for an order of each one's operations. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "chaos/check/check_internal.h"
#include "chaos/check/search.h"
#include "chaos/check/table.h"

#define SHRINK_CONFIGURATIONS_MAX 50000u

struct object {
    const char *key;
    struct model_state start;
    struct model_op *ops;
    size_t op_count, capacity;
};

struct objects {
    const struct history *history;
    enum history_object sort;
    struct object *items;
    size_t count;
    struct table by_key;
};

static struct object *object_of(struct objects *self, const char *key)
{
    uint64_t position = self->count;
    if (!table_put(&self->by_key, table_text(key), position, &position))
        return &self->items[position];
    if ((self->count & (self->count - 1)) == 0)
        self->items =
            memory_resize(self->items, (self->count == 0 ? 1 : self->count * 2) * sizeof *self->items);
    struct object *object = &self->items[self->count++];
    *object = (struct object){.key = key};
    if (self->sort == HISTORY_FLAG)
        object->start.value = HISTORY_NONE;
    return object;
}

static void object_push(struct object *self, const struct model_op *op)
{
    if (self->op_count == self->capacity) {
        self->capacity = self->capacity == 0 ? 16 : self->capacity * 2;
        self->ops = memory_resize(self->ops, self->capacity * sizeof *self->ops);
    }
    self->ops[self->op_count++] = *op;
}

/* @return false: it says nothing of the object's state */
static bool relevant(const struct history_op *op, const struct history_part *part)
{
    if (history_kind_reads(op->kind))
        return op->outcome == HISTORY_OK && !op->stale;
    if (op->outcome != HISTORY_REFUSED)
        return true;
    if (model_refusal(op->code) == REFUSAL_SILENT)
        return false;
    return op->part_count == 1 || part->version != 0; /* which of several flags was it? */
}

static void add_operation(struct objects *self, uint32_t number)
{
    const struct history_op *op = &self->history->ops[number];
    for (uint32_t i = 0; i < op->part_count; i++) {
        const struct history_part *part = &op->parts[i];
        if (!relevant(op, part))
            continue;
        const bool optional = op->outcome == HISTORY_UNKNOWN;
        object_push(object_of(self, part->key),
                    &(struct model_op){.invoke_ns = op->invoke_ns,
                                       .complete_ns = optional ? HISTORY_NEVER : op->complete_ns,
                                       .source = number,
                                       .kind = (uint8_t)op->kind,
                                       .outcome = (uint8_t)op->outcome,
                                       .refusal = (uint8_t)model_refusal(op->code),
                                       .optional = optional,
                                       .halted = part->halted,
                                       .value = part->value,
                                       .expected = part->expected_version,
                                       .version = part->version});
    }
}

/* What a node holds at the end is a read after everything. */
static void add_states(struct objects *self)
{
    for (size_t i = 0; i < self->history->state_count; i++) {
        const struct history_state *state = &self->history->states[i];
        object_push(object_of(self, state->key),
                    &(struct model_op){.invoke_ns = HISTORY_NEVER,
                                       .complete_ns = HISTORY_NEVER,
                                       .source = (uint32_t)(self->history->op_count + i),
                                       .kind = HISTORY_READ,
                                       .outcome = HISTORY_OK,
                                       .value = state->value,
                                       .version = state->version});
    }
}

static void take_apart(struct objects *self, const struct judge *judge)
{
    const struct history *history = judge->history;
    table_init(&self->by_key);
    for (size_t i = 0; self->sort == HISTORY_FLAG && i < history->register_count; i++)
        object_of(self, history->registers[i].key)->start =
            (struct model_state){history->registers[i].value, history->registers[i].version};
    for (size_t i = 0; i < history->op_count; i++)
        if (history_kind_object(history->ops[judge->by_start[i]].kind) == self->sort)
            add_operation(self, judge->by_start[i]);
    if (self->sort == HISTORY_FLAG)
        add_states(self);
}

static void say_source(const struct judge *judge, struct check_result *result, uint32_t source)
{
    char text[DESCRIPTION_BYTES];
    if (source < judge->history->op_count) {
        op_describe(&judge->history->ops[source], text);
        judge_say(result, "; %s", text);
        judge_involve(result, source);
        return;
    }
    const struct history_state *state = &judge->history->states[source - judge->history->op_count];
    judge_say(result, "; at the end node %s holds %" PRId64 ", version %" PRIu64, state->node, state->value,
              state->version);
}

/* The set that a read of the counterexample saw belongs to the picture, though it isn't to blame. */
static void say_context(const struct judge *judge, struct check_result *result, const struct object *object,
                        const struct model_op *read)
{
    for (size_t i = 0; read->kind == HISTORY_READ && i < object->op_count; i++) {
        const struct model_op *op = &object->ops[i];
        bool there = false;
        for (size_t k = 0; k < result->op_count; k++)
            there = there || result->ops[k] == op->source;
        if (op->kind == HISTORY_SET && op->outcome != HISTORY_REFUSED && op->value == read->value && !there)
            say_source(judge, result, op->source);
    }
}

static void explain(const struct judge *judge, struct check_result *result, const struct object *object)
{
    static const char *const sorts[] = {"flag", "plan", "switch", ""};
    uint32_t core[CHECK_COUNTEREXAMPLE_MAX];
    if (!judge_violated(result, "%s \"%s\": no order of these is possible",
                        sorts[history_kind_object(object->ops[0].kind)], object->key))
        return;
    const size_t count = shrink(object->ops, object->op_count, object->start, SHRINK_CONFIGURATIONS_MAX, core,
                                CHECK_COUNTEREXAMPLE_MAX);
    for (size_t i = 0; i < count; i++)
        say_source(judge, result, object->ops[core[i]].source);
    for (size_t i = 0; i < count; i++)
        say_context(judge, result, object, &object->ops[core[i]]);
}

static void judge_object(const struct judge *judge, struct object *object, struct check_result *result)
{
    if (object->op_count == 0)
        return;
    result->objects++;
    result->looked_at += object->op_count;
    model_hide_values(object->ops, object->op_count);
    switch (search_order(object->ops, object->op_count, object->start, judge->configurations_max,
                         judge->deadline_ms)) {
    case SEARCH_FOUND:
        break;
    case SEARCH_NONE:
        explain(judge, result, object);
        break;
    case SEARCH_BOUND:
        if (result->verdict != CHECK_VIOLATED && result->verdict != CHECK_UNDECIDED) {
            result->verdict = CHECK_UNDECIDED;
            judge_say(result, "\"%s\": %zu operations, and the bound of the search was met", object->key,
                      object->op_count);
        }
        break;
    }
}

void judge_objects(const struct judge *judge, enum history_object sort, struct check_result *result)
{
    struct objects self = {.history = judge->history, .sort = sort};
    take_apart(&self, judge);
    for (size_t i = 0; i < self.count; i++) {
        judge_object(judge, &self.items[i], result);
        free(self.items[i].ops);
    }
    free(self.items);
    table_done(&self.by_key);
}
