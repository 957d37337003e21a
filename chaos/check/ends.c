/* Sums of the bank, leaders of terms, the nodes' last states, and how soon changes go on after a fault. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/check/check_internal.h"
#include "chaos/check/table.h"

/* --- bank --- */

static uint64_t key_version(const char *key, uint64_t version)
{
    return table_mix(table_text(key)) ^ table_mix(version + 0x7a5e1);
}

struct bank {
    const struct history *history;
    struct table accounts;  /* key -> position */
    struct table transfers; /* key and version -> the set of several flags that made it */
};

static void judge_sum(const struct bank *self, uint32_t number, struct check_result *result)
{
    const struct history_op *op = &self->history->ops[number];
    int64_t sum = 0;
    size_t accounts = 0;
    uint64_t ignored;
    for (uint32_t i = 0; i < op->part_count; i++)
        if (table_get(&self->accounts, table_text(op->parts[i].key), &ignored)) {
            sum += op->parts[i].value == HISTORY_NONE ? 0 : op->parts[i].value;
            accounts++;
        }
    if (accounts < self->history->bank_count || sum == self->history->bank_sum)
        return;
    char text[DESCRIPTION_BYTES];
    op_describe(op, text);
    if (judge_violated(result, "the accounts together hold %" PRId64 ", not %" PRId64 ": %s", sum,
                       self->history->bank_sum, text))
        judge_involve(result, number);
}

/* A read that shows one part of a transfer shows the others too, or what came after them. */
static void judge_whole(const struct bank *self, uint32_t number, struct check_result *result)
{
    const struct history_op *read = &self->history->ops[number];
    for (uint32_t i = 0; i < read->part_count; i++) {
        uint64_t position;
        if (read->parts[i].version == 0 ||
            !table_get(&self->transfers, key_version(read->parts[i].key, read->parts[i].version), &position))
            continue;
        const struct history_op *transfer = &self->history->ops[position];
        for (uint32_t k = 0; k < transfer->part_count; k++)
            for (uint32_t j = 0; j < read->part_count; j++) {
                if (read->parts[j].key != transfer->parts[k].key || read->parts[j].version == 0 ||
                    read->parts[j].version >= transfer->parts[k].version)
                    continue;
                char text[DESCRIPTION_BYTES];
                op_describe(transfer, text);
                if (!judge_violated(result, "a command of several flags is seen half done: %s", text))
                    continue;
                op_describe(read, text);
                judge_say(result, "; %s", text);
                judge_involve(result, (uint32_t)position);
                judge_involve(result, number);
            }
    }
}

static void judge_end_sum(const struct history *history, size_t node_state, struct check_result *result)
{
    const char *node = history->states[node_state].node;
    int64_t sum = 0;
    size_t accounts = 0;
    for (size_t i = 0; i < history->state_count; i++)
        for (size_t k = 0; k < history->bank_count; k++)
            if (history->states[i].node == node && history->states[i].key == history->bank[k].key) {
                sum += history->states[i].value == HISTORY_NONE ? 0 : history->states[i].value;
                accounts++;
            }
    if (accounts == history->bank_count && accounts > 0 && sum != history->bank_sum)
        judge_violated(result, "at the end the accounts on node %s together hold %" PRId64 ", not %" PRId64,
                       node, sum, history->bank_sum);
}

void judge_bank(const struct judge *judge, struct check_result *result)
{
    const struct history *history = judge->history;
    struct bank self = {.history = history};
    table_init(&self.accounts);
    table_init(&self.transfers);
    for (size_t i = 0; i < history->bank_count; i++)
        table_put(&self.accounts, table_text(history->bank[i].key), i, NULL);
    for (size_t i = 0; i < history->op_count; i++) {
        const struct history_op *op = &history->ops[i];
        for (uint32_t k = 0; k < op->part_count && op->kind == HISTORY_SET && op->part_count > 1; k++)
            if (op->outcome == HISTORY_OK && op->parts[k].version != 0)
                table_put(&self.transfers, key_version(op->parts[k].key, op->parts[k].version), i, NULL);
    }
    for (uint32_t i = 0; i < history->op_count; i++) {
        if (history->ops[i].kind != HISTORY_READ || history->ops[i].outcome != HISTORY_OK ||
            history->ops[i].part_count < 2)
            continue;
        result->looked_at++;
        if (history->bank_count > 0)
            judge_sum(&self, i, result);
        judge_whole(&self, i, result);
    }
    for (size_t i = 0; i < history->state_count; i++)
        if (i == 0 || history->states[i].node != history->states[i - 1].node)
            judge_end_sum(history, i, result);
    result->objects = history->bank_count;
    table_done(&self.accounts);
    table_done(&self.transfers);
}

/* --- leaders --- */

void judge_leaders(const struct judge *judge, struct check_result *result)
{
    const struct history *history = judge->history;
    struct table terms;
    table_init(&terms);
    for (size_t i = 0; i < history->leader_count; i++) {
        const struct history_leader *leader = &history->leaders[i];
        uint64_t first;
        if (!table_put(&terms, leader->term, i, &first) && history->leaders[first].node != leader->node)
            judge_violated(result, "term %" PRIu64 " has two leaders: %s and %s", leader->term,
                           history->leaders[first].node, leader->node);
    }
    result->looked_at = history->leader_count;
    result->objects = terms.count;
    table_done(&terms);
}

/* --- final --- */

static void judge_digests(const struct history *history, struct check_result *result)
{
    for (size_t i = 0; i < history->final_count; i++) {
        const struct history_final *a = &history->finals[i];
        if (!a->chain_valid)
            judge_violated(result, "the audit chain on node %s doesn't verify", a->node);
        for (size_t k = 0; k < i; k++) {
            const struct history_final *b = &history->finals[k];
            if (a->index == b->index && a->digest != b->digest)
                judge_violated(result, "nodes %s and %s are at index %" PRIu64 " with digests %s and %s",
                               b->node, a->node, a->index, b->digest != NULL ? b->digest : "none",
                               a->digest != NULL ? a->digest : "none");
        }
    }
}

static void judge_states(const struct history *history, struct check_result *result)
{
    struct table first;
    table_init(&first);
    for (size_t i = 0; i < history->state_count; i++) {
        const struct history_state *a = &history->states[i];
        uint64_t position;
        if (table_put(&first, table_text(a->key), i, &position))
            continue;
        const struct history_state *b = &history->states[position];
        if (a->value != b->value || a->version != b->version)
            judge_violated(result,
                           "flag \"%s\" ends as %" PRId64 " (version %" PRIu64 ") on node %s and as %" PRId64
                           " (version %" PRIu64 ") on node %s",
                           a->key, b->value, b->version, b->node, a->value, a->version, a->node);
    }
    result->objects = first.count;
    table_done(&first);
}

void judge_final(const struct judge *judge, struct check_result *result)
{
    judge_digests(judge->history, result);
    judge_states(judge->history, result);
    result->looked_at = judge->history->final_count + judge->history->state_count;
}

/* --- recovery --- */

void judge_recovery(const struct judge *judge, struct check_result *result)
{
    const struct history *history = judge->history;
    uint64_t last_ns = 0, first_ns = UINT64_MAX, end_ns = history->end_ns;
    for (size_t i = 0; i < history->fault_count; i++)
        last_ns = history->faults[i].end_ns > last_ns ? history->faults[i].end_ns : last_ns;
    for (size_t i = 0; i < history->op_count; i++) {
        const struct history_op *op = &history->ops[i];
        if (history->end_ns == 0 && op->invoke_ns > end_ns)
            end_ns = op->invoke_ns;
        if (op->outcome == HISTORY_OK && !history_kind_reads(op->kind) && op->complete_ns >= last_ns &&
            op->complete_ns < first_ns)
            first_ns = op->complete_ns;
    }
    if (history->recovery_ns == 0 || history->fault_count == 0 || end_ns < last_ns + history->recovery_ns)
        return; /* no bound, or clients stopped before it */
    result->looked_at = history->fault_count;
    result->objects = 1;
    if (first_ns > last_ns + history->recovery_ns)
        judge_violated(result, "no change was acknowledged within %.3f s after the last fault; %s",
                       (double)history->recovery_ns / 1e9,
                       first_ns == UINT64_MAX ? "none was at all" : "the first came later");
}
