/* Log indexes put everything into one order, and real time and versions must agree with it. This holds for
 * stale reads too, which linearizability says nothing about. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "chaos/check/check_internal.h"
#include "chaos/check/table.h"

#define ORDER(a, b) ((a) < (b) ? -1 : (a) > (b))

/* --- prefix --- */

struct sighting { /* at this index the object stood so */
    uint64_t object, index, version;
    int64_t value;
    bool change, valued;
    uint32_t op;
};

struct sightings {
    struct sighting *items;
    size_t count, capacity;
};

static void push(struct sightings *self, struct sighting one)
{
    if (self->count == self->capacity) {
        self->capacity = self->capacity == 0 ? 256 : self->capacity * 2;
        self->items = memory_resize(self->items, self->capacity * sizeof *self->items);
    }
    self->items[self->count++] = one;
}

static int compare_sighting(const void *left, const void *right)
{
    const struct sighting *a = left, *b = right;
    int order = ORDER(a->object, b->object);
    if (order == 0)
        order = ORDER(a->index, b->index);
    if (order == 0)
        order = ORDER(b->change, a->change); /* what a change made is read at its index */
    return order != 0 ? order : ORDER(a->op, b->op);
}

/* How far a plan is: it never goes back to an earlier one. */
static uint64_t plan_rank(int64_t phase)
{
    switch (phase) {
    case HISTORY_NO_PLAN:
        return 1;
    case HISTORY_DRAFT:
        return 2;
    case HISTORY_ACTIVE:
    case HISTORY_PAUSED:
        return 3;
    default:
        return 4 + (uint64_t)phase;
    }
}

static void add_sightings(struct sightings *self, struct table *objects, const struct history *history,
                          uint32_t number)
{
    const struct history_op *op = &history->ops[number];
    const bool reads = history_kind_reads(op->kind);
    if (op->index == 0 || op->outcome == HISTORY_UNKNOWN || (reads && op->outcome != HISTORY_OK))
        return;
    for (uint32_t i = 0; i < op->part_count; i++) {
        const struct history_part *part = &op->parts[i];
        uint64_t object = objects->count + 1; /* numbers by first sight: the report repeats */
        struct sighting one = {
            .index = op->index, .op = number, .change = !reads && op->outcome == HISTORY_OK};
        if (history_kind_object(op->kind) == HISTORY_FLAG) {
            one.version = part->version;
            one.value = part->value;
            one.valued = op->outcome == HISTORY_OK;
        } else if (op->kind == HISTORY_PLAN_READ) {
            one.version = plan_rank(part->value);
        }
        if (one.version == 0)
            continue;
        table_put(objects, table_text(part->key), object, &object);
        one.object = object;
        push(self, one);
    }
}

static const struct history_part *part_of(const struct judge *judge, const struct sighting *one,
                                          struct table *objects)
{
    const struct history_op *op = &judge->history->ops[one->op];
    for (uint32_t i = 0; i < op->part_count; i++) {
        uint64_t object;
        if (table_get(objects, table_text(op->parts[i].key), &object) && object == one->object)
            return &op->parts[i];
    }
    CHECK(false, "operation %u has no such key", one->op);
}

static void blame_pair(const struct judge *judge, struct check_result *result, uint32_t first,
                       uint32_t second)
{
    char text[DESCRIPTION_BYTES];
    op_describe(&judge->history->ops[first], text);
    judge_say(result, "; %s, index %" PRIu64, text, judge->history->ops[first].index);
    op_describe(&judge->history->ops[second], text);
    judge_say(result, "; %s, index %" PRIu64, text, judge->history->ops[second].index);
    judge_involve(result, first);
    judge_involve(result, second);
}

static void judge_neighbours(const struct judge *judge, struct table *objects, const struct sighting *before,
                             const struct sighting *after, struct check_result *result)
{
    const char *wrong = NULL;
    if (after->version < before->version)
        wrong = "goes back";
    else if (after->change && after->version == before->version)
        wrong = "is given twice";
    else if (after->version == before->version && after->valued && before->valued &&
             after->value != before->value)
        wrong = "has two values";
    if (wrong == NULL)
        return;
    const char *key = part_of(judge, after, objects)->key;
    if (judge_violated(result, "\"%s\": what it is at an index %s from index %" PRIu64 " to %" PRIu64, key,
                       wrong, before->index, after->index))
        blame_pair(judge, result, before->op, after->op);
}

static uint64_t key_value(const char *key, int64_t value)
{
    return table_mix(table_text(key)) ^ table_mix((uint64_t)value + 0x51ed27);
}

/* Of stale reads without an index this much is known: the value was there, or on its way, before they ended.
 */
static void judge_unplaced(const struct judge *judge, struct check_result *result)
{
    const struct history *history = judge->history;
    struct table written;
    table_init(&written);
    for (size_t i = 0; i < history->op_count; i++) {
        const struct history_op *op = &history->ops[judge->by_start[i]];
        for (uint32_t k = 0; k < op->part_count && op->kind == HISTORY_SET && op->outcome != HISTORY_REFUSED;
             k++)
            table_put(&written, key_value(op->parts[k].key, op->parts[k].value), op->invoke_ns, NULL);
    }
    for (size_t i = 0; i < history->register_count; i++)
        table_set(&written, key_value(history->registers[i].key, history->registers[i].value), 0);
    for (uint32_t i = 0; i < history->op_count; i++) {
        const struct history_op *op = &history->ops[i];
        if (!op->stale || op->kind != HISTORY_READ || op->outcome != HISTORY_OK)
            continue;
        result->looked_at++;
        for (uint32_t k = 0; k < op->part_count; k++) {
            uint64_t began = UINT64_MAX;
            const struct history_part *part = &op->parts[k];
            table_get(&written, key_value(part->key, part->value), &began);
            if (began <= op->complete_ns || part->value == HISTORY_NONE)
                continue;
            char text[DESCRIPTION_BYTES];
            op_describe(op, text);
            if (judge_violated(result, "\"%s\" never had that value by then: %s", part->key, text))
                judge_involve(result, i);
        }
    }
    table_done(&written);
}

void judge_prefix(const struct judge *judge, struct check_result *result)
{
    struct sightings sightings = {0};
    struct table objects;
    table_init(&objects);
    for (uint32_t i = 0; i < judge->history->op_count; i++)
        add_sightings(&sightings, &objects, judge->history, i);
    if (sightings.count > 1)
        qsort(sightings.items, sightings.count, sizeof *sightings.items, compare_sighting);
    for (size_t i = 1; i < sightings.count; i++)
        if (sightings.items[i - 1].object == sightings.items[i].object)
            judge_neighbours(judge, &objects, &sightings.items[i - 1], &sightings.items[i], result);
    result->looked_at = sightings.count;
    result->objects = objects.count;
    judge_unplaced(judge, result);
    free(sightings.items);
    table_done(&objects);
}

/* --- session --- */

static int compare_complete(const void *left, const void *right, void *context)
{
    const struct history_op *ops = context;
    const uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    const int order = ORDER(ops[a].complete_ns, ops[b].complete_ns);
    return order != 0 ? order : ORDER(a, b);
}

static bool indexed(const struct history_op *op)
{
    return op->index != 0 && op->outcome != HISTORY_UNKNOWN;
}

static void judge_waited(const struct judge *judge, uint32_t number, struct check_result *result)
{
    const struct history_op *op = &judge->history->ops[number];
    if (op->after_index == 0 || !indexed(op) || op->index >= op->after_index)
        return;
    char text[DESCRIPTION_BYTES];
    op_describe(op, text);
    if (judge_violated(result, "a read that asked for index %" PRIu64 " got %" PRIu64 ": %s", op->after_index,
                       op->index, text))
        judge_involve(result, number);
}

static void judge_unique(const struct judge *judge, struct table *changes, uint32_t number,
                         struct check_result *result)
{
    const struct history_op *op = &judge->history->ops[number];
    uint64_t there;
    if (history_kind_reads(op->kind) || op->outcome != HISTORY_OK ||
        table_put(changes, op->index, number, &there))
        return;
    if (judge_violated(result, "two changes are acknowledged at index %" PRIu64, op->index))
        blame_pair(judge, result, (uint32_t)there, number);
}

/* What began after an answer came is at no lower index; a change is at a higher one. */
void judge_session(const struct judge *judge, struct check_result *result)
{
    const struct history *history = judge->history;
    uint32_t *by_end = memory_new(history->op_count * sizeof *by_end), highest = UINT32_MAX;
    struct table changes;
    size_t ended = 0;
    table_init(&changes);
    for (uint32_t i = 0; i < history->op_count; i++)
        by_end[i] = i;
    if (history->op_count > 1)
        qsort_r(by_end, history->op_count, sizeof *by_end, compare_complete, history->ops);
    for (size_t i = 0; i < history->op_count; i++) {
        const uint32_t number = judge->by_start[i];
        const struct history_op *op = &history->ops[number];
        for (; ended < history->op_count && history->ops[by_end[ended]].complete_ns < op->invoke_ns; ended++)
            if (indexed(&history->ops[by_end[ended]]) &&
                (highest == UINT32_MAX || history->ops[by_end[ended]].index > history->ops[highest].index))
                highest = by_end[ended];
        if (!indexed(op))
            continue;
        result->looked_at++;
        judge_waited(judge, number, result);
        judge_unique(judge, &changes, number, result);
        if (op->stale || highest == UINT32_MAX)
            continue;
        const uint64_t least = history->ops[highest].index + (history_kind_reads(op->kind) ? 0 : 1);
        if (op->index < least &&
            judge_violated(result, "an answer is older than one that came before it was asked for"))
            blame_pair(judge, result, highest, number);
    }
    result->objects = result->looked_at > 0 ? 1 : 0;
    free(by_end);
    table_done(&changes);
}
