/* How available the cluster was: per fault, what became of changes, and the longest time without one. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/check/report.h"
#include "chaos/check/table.h"

struct change {
    uint64_t invoke_ns, complete_ns;
    uint32_t outcome;
    bool answered; /* by the state machine */
};

struct changes {
    struct change *items; /* by their starts */
    size_t count;
    uint64_t *ends; /* of acknowledged ones, sorted */
    size_t end_count;
};

void history_span(const struct history *history, uint64_t *begin_ns, uint64_t *end_ns)
{
    *begin_ns = UINT64_MAX;
    *end_ns = 0;
    for (size_t i = 0; i < history->op_count; i++) {
        const struct history_op *op = &history->ops[i];
        const uint64_t end = op->complete_ns == HISTORY_NEVER ? op->invoke_ns : op->complete_ns;
        *begin_ns = op->invoke_ns < *begin_ns ? op->invoke_ns : *begin_ns;
        *end_ns = end > *end_ns && end != HISTORY_NEVER ? end : *end_ns;
    }
    for (size_t i = 0; i < history->fault_count; i++) {
        const struct history_fault *fault = &history->faults[i];
        *begin_ns = fault->begin_ns < *begin_ns ? fault->begin_ns : *begin_ns;
        if (fault->end_ns != HISTORY_NEVER)
            *end_ns = fault->end_ns > *end_ns ? fault->end_ns : *end_ns;
    }
    if (*begin_ns > *end_ns)
        *begin_ns = *end_ns;
}

static int compare_change(const void *left, const void *right)
{
    const struct change *a = left, *b = right;
    return a->invoke_ns < b->invoke_ns ? -1 : a->invoke_ns > b->invoke_ns;
}

static int compare_time(const void *left, const void *right)
{
    const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static void collect(struct changes *self, const struct history *history)
{
    self->items = memory_new(history->op_count * sizeof *self->items);
    self->ends = memory_new(history->op_count * sizeof *self->ends);
    for (size_t i = 0; i < history->op_count; i++) {
        const struct history_op *op = &history->ops[i];
        if (history_kind_reads(op->kind))
            continue;
        const bool answered = op->outcome == HISTORY_OK || (op->outcome == HISTORY_REFUSED && op->index != 0);
        self->items[self->count++] = (struct change){op->invoke_ns, op->complete_ns, op->outcome, answered};
        if (answered)
            self->ends[self->end_count++] = op->complete_ns;
    }
    if (self->count > 1)
        qsort(self->items, self->count, sizeof *self->items, compare_change);
    if (self->end_count > 1)
        qsort(self->ends, self->end_count, sizeof *self->ends, compare_time);
}

static size_t first_at(const struct changes *self, uint64_t time_ns)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (self->items[middle].invoke_ns < time_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t first_end_at(const struct changes *self, uint64_t time_ns)
{
    size_t low = 0, high = self->end_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (self->ends[middle] < time_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void add_stretch(struct availability *row, const struct changes *changes, uint64_t begin_ns,
                        uint64_t end_ns)
{
    row->times++;
    row->total_ns += end_ns - begin_ns;
    for (size_t i = first_at(changes, begin_ns); i < changes->count && changes->items[i].invoke_ns < end_ns;
         i++) {
        const struct change *change = &changes->items[i];
        row->changes++;
        row->acknowledged += change->answered;
        row->refused += change->outcome == HISTORY_REFUSED && !change->answered;
        row->unknown += change->outcome == HISTORY_UNKNOWN;
    }
    size_t at = first_end_at(changes, begin_ns);
    uint64_t last = at > 0 ? changes->ends[at - 1] : begin_ns;
    for (; at < changes->end_count && last < end_ns; at++) {
        const uint64_t gap = changes->ends[at] - last;
        row->longest_gap_ns = gap > row->longest_gap_ns ? gap : row->longest_gap_ns;
        last = changes->ends[at];
    }
    if (at == changes->end_count && last < end_ns && end_ns - last > row->longest_gap_ns)
        row->longest_gap_ns = end_ns - last;
}

static int compare_fault(const void *left, const void *right)
{
    const struct history_fault *a = left, *b = right;
    return a->begin_ns < b->begin_ns ? -1 : a->begin_ns > b->begin_ns;
}

/* The stretches that no fault covers. */
static void add_quiet(struct availability *row, const struct changes *changes, const struct history *history,
                      uint64_t begin_ns, uint64_t end_ns)
{
    struct history_fault *faults = memory_new(history->fault_count * sizeof *faults);
    uint64_t covered = begin_ns;
    if (history->fault_count > 0) {
        memcpy(faults, history->faults, history->fault_count * sizeof *faults);
        qsort(faults, history->fault_count, sizeof *faults, compare_fault);
    }
    for (size_t i = 0; i <= history->fault_count; i++) {
        const uint64_t next = i < history->fault_count ? faults[i].begin_ns : end_ns;
        if (next > covered)
            add_stretch(row, changes, covered, next);
        if (i < history->fault_count && faults[i].end_ns > covered)
            covered = faults[i].end_ns;
    }
    free(faults);
}

struct availability *availability_of(const struct history *history, size_t *count)
{
    struct availability *rows = memory_zero(history->fault_count + 1, sizeof *rows);
    struct changes changes = {0};
    struct table names;
    uint64_t begin_ns, end_ns;
    size_t row_count = 0;
    history_span(history, &begin_ns, &end_ns);
    if (history->end_ns != 0 && history->end_ns < end_ns)
        end_ns = history->end_ns;
    collect(&changes, history);
    table_init(&names);
    for (size_t i = 0; i < history->fault_count; i++) {
        const struct history_fault *fault = &history->faults[i];
        uint64_t position = row_count;
        if (table_put(&names, table_text(fault->name), position, &position))
            rows[row_count++].name = fault->name;
        add_stretch(&rows[position], &changes, fault->begin_ns,
                    fault->end_ns == HISTORY_NEVER ? end_ns : fault->end_ns);
    }
    rows[row_count].name = "";
    add_quiet(&rows[row_count++], &changes, history, begin_ns, end_ns);
    table_done(&names);
    free(changes.items);
    free(changes.ends);
    *count = row_count;
    return rows;
}
