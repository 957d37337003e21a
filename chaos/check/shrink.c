/* From a history that has no order to the few operations that are to blame.
 *
 * Only weakening steps are taken, so that what remains is a true counterexample: leaving out a read or a
 * refusal, and turning an acknowledged change into one that may have been left out (its answer still holds
 * if it took effect). Leaving out a change altogether would not be: a read might have seen it. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/check/check_internal.h"
#include "chaos/check/search.h"

#define WORK_MAX                                                                                             \
    30000000u /* operations in all searches together; past it the example is as small as it is               \
               */

struct shrink {
    const struct model_op *ops; /* as given */
    size_t op_count;
    struct model_state start;
    uint64_t configurations_max;
    struct model_op *scratch;
    uint32_t *by_end, end_count; /* definite ones, by their ends */
    bool *kept;                  /* of by_end: still definite */
    uint64_t work;
};

static bool changes(const struct model_op *op)
{
    return !history_kind_reads(op->kind) && op->outcome != HISTORY_REFUSED;
}

/* @return true: with the kept ones alone there is still no order */
static bool still_none(struct shrink *self)
{
    size_t count = 0;
    bool *definite = memory_zero(self->op_count, sizeof *definite);
    for (uint32_t i = 0; i < self->end_count; i++)
        if (self->kept[i])
            definite[self->by_end[i]] = true;
    for (size_t i = 0; i < self->op_count; i++) {
        if (!definite[i] && !changes(&self->ops[i]))
            continue;
        self->scratch[count] = self->ops[i];
        self->scratch[count++].optional = !definite[i];
    }
    free(definite);
    self->work += count;
    model_hide_values(self->scratch, count);
    return search_order(self->scratch, count, self->start, self->configurations_max, 0) == SEARCH_NONE;
}

static int compare_end(const void *left, const void *right, void *context)
{
    const struct model_op *ops = context;
    const uint64_t a = ops[*(const uint32_t *)left].complete_ns,
                   b = ops[*(const uint32_t *)right].complete_ns;
    return a < b ? -1 : a > b;
}

static void keep_range(struct shrink *self, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < self->end_count; i++)
        self->kept[i] = i >= from && i < to;
}

/* The shortest beginning that has no order. */
static void cut_end(struct shrink *self)
{
    uint32_t low = 1, high = self->end_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        keep_range(self, 0, middle);
        if (still_none(self))
            high = middle;
        else
            low = middle + 1;
    }
    self->end_count = high;
    keep_range(self, 0, high);
}

/* The shortest end of that beginning. */
static void cut_start(struct shrink *self)
{
    uint32_t low = 0, high = self->end_count - 1; /* keeping from `low` on is none */
    while (low < high) {
        const uint32_t middle = low + (high - low + 1) / 2;
        keep_range(self, middle, self->end_count);
        if (still_none(self))
            low = middle;
        else
            high = middle - 1;
    }
    keep_range(self, low, self->end_count);
}

/* Chunks of halving size. */
static void thin_out(struct shrink *self)
{
    for (uint32_t chunk = self->end_count / 2; chunk > 0; chunk /= 2) {
        for (uint32_t from = 0; from < self->end_count && self->work < WORK_MAX; from += chunk) {
            const uint32_t to = from + chunk < self->end_count ? from + chunk : self->end_count;
            bool *before = memory_new(self->end_count * sizeof *before), any = false;
            memcpy(before, self->kept, self->end_count * sizeof *before);
            for (uint32_t i = from; i < to; i++) {
                any = any || self->kept[i];
                self->kept[i] = false;
            }
            if (any && !still_none(self))
                memcpy(self->kept, before, self->end_count * sizeof *before);
            free(before);
        }
    }
}

size_t shrink(struct model_op *ops, size_t op_count, struct model_state start, uint64_t configurations_max,
              uint32_t *core, size_t core_max)
{
    struct shrink self = {
        .ops = ops, .op_count = op_count, .start = start, .configurations_max = configurations_max};
    size_t core_count = 0;
    self.scratch = memory_new(op_count * sizeof *self.scratch);
    self.by_end = memory_new(op_count * sizeof *self.by_end);
    for (uint32_t i = 0; i < op_count; i++)
        if (!ops[i].optional)
            self.by_end[self.end_count++] = i;
    CHECK(self.end_count > 0, "without an answer %zu operations have no order", op_count);
    qsort_r(self.by_end, self.end_count, sizeof *self.by_end, compare_end, ops);
    self.kept = memory_zero(self.end_count, sizeof *self.kept);
    cut_end(&self);
    cut_start(&self);
    thin_out(&self);
    for (uint32_t i = 0; i < self.end_count && core_count < core_max; i++)
        if (self.kept[i])
            core[core_count++] = self.by_end[i];
    free(self.scratch);
    free(self.by_end);
    free(self.kept);
    return core_count;
}
