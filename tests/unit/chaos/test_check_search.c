/* Goal: the search says what trying everything says.
 * Method: small random histories, right and wrong, of a flag, a plan and a switch; every order of every
 * choice of those without an answer is tried beside it, without memory and without any shortcut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdlib.h>

#include "chaos/check/search.h"
#include "chaos/check/table.h"

#define CASES   60000u
#define OPS_MAX 7u

static uint64_t below(uint64_t *seed, uint64_t bound)
{
    return table_mix((*seed)++) % bound;
}

/* --- everything --- */

static bool any_order(const struct model_op *ops, size_t count, uint32_t placed, struct model_state state)
{
    bool all = true;
    for (size_t i = 0; i < count; i++)
        all = all && ((placed >> i & 1) != 0 || ops[i].optional);
    if (all)
        return true;
    for (size_t i = 0; i < count; i++) {
        bool first = (placed >> i & 1) == 0;
        for (size_t k = 0; k < count && first; k++) /* nobody unplaced ended before it began */
            first = (placed >> k & 1) != 0 || ops[k].optional || ops[k].complete_ns >= ops[i].invoke_ns;
        struct model_state after = state;
        if (first && model_step(&ops[i], &after) != STEP_IMPOSSIBLE &&
            any_order(ops, count, placed | 1u << i, after))
            return true;
    }
    return false;
}

/* --- random histories --- */

static void random_flag(uint64_t *seed, struct model_op *op)
{
    op->kind = below(seed, 5) < 2 ? HISTORY_READ : HISTORY_SET;
    op->value = (int64_t)below(seed, 3);
    op->version = below(seed, 3) == 0 ? 1 + below(seed, 4) : 0;
    if (op->kind == HISTORY_SET)
        op->expected = below(seed, 2) == 0 ? 1 + below(seed, 3) : 0;
    if (op->kind == HISTORY_SET && op->expected != 0 && below(seed, 4) == 0) {
        op->outcome = HISTORY_REFUSED;
        op->refusal = REFUSAL_VERSION;
    }
}

static void random_plan(uint64_t *seed, struct model_op *op)
{
    op->kind = (uint8_t)(HISTORY_PLAN_READ + below(seed, 8));
    if (op->kind == HISTORY_PLAN_READ) {
        op->value = (int64_t)below(seed, 4);
        op->halted = below(seed, 4) == 0;
    } else if (below(seed, 5) == 0) {
        op->outcome = HISTORY_REFUSED;
        op->refusal = (uint8_t)(REFUSAL_NO_PLAN + below(seed, 5));
    }
}

static void random_switch(uint64_t *seed, struct model_op *op)
{
    op->kind = (uint8_t)(HISTORY_SWITCH_READ + below(seed, 3));
    if (op->kind == HISTORY_SWITCH_READ)
        op->value = (int64_t)below(seed, 2);
}

static int by_start(const void *left, const void *right)
{
    const struct model_op *a = left, *b = right;
    return a->invoke_ns < b->invoke_ns ? -1 : a->invoke_ns > b->invoke_ns;
}

static size_t random_history(uint64_t seed, struct model_op ops[OPS_MAX])
{
    static void (*const draws[])(uint64_t *, struct model_op *) = {random_flag, random_plan, random_switch};
    void (*const draw)(uint64_t *, struct model_op *) = draws[below(&seed, 3)];
    const size_t count = 1 + below(&seed, OPS_MAX);
    for (size_t i = 0; i < count; i++) {
        ops[i] = (struct model_op){.outcome = HISTORY_OK, .invoke_ns = below(&seed, 30)};
        ops[i].complete_ns = ops[i].invoke_ns + below(&seed, 12);
        draw(&seed, &ops[i]);
        if (ops[i].outcome == HISTORY_OK && !history_kind_reads(ops[i].kind) && below(&seed, 3) == 0) {
            ops[i].outcome = HISTORY_UNKNOWN;
            ops[i].optional = true;
            ops[i].complete_ns = HISTORY_NEVER;
        }
    }
    qsort(ops, count, sizeof *ops, by_start);
    return count;
}

static void the_search_agrees_with_trying_everything(void **state)
{
    uint32_t possible = 0;
    (void)state;
    for (uint64_t i = 0; i < CASES; i++) {
        struct model_op ops[OPS_MAX];
        const size_t count = random_history(i * 1000, ops);
        const struct model_state start = {
            .value = history_kind_object(ops[0].kind) == HISTORY_FLAG ? HISTORY_NONE : 0};
        const bool any = any_order(ops, count, 0, start);
        model_hide_values(ops, count);
        const enum search_result found = search_order(ops, count, start, 1000000, 0);
        if (found != (any ? SEARCH_FOUND : SEARCH_NONE))
            fail_msg("history %" PRIu64 " of %zu operations: the search says %d, trying everything %d", i,
                     count, (int)found, any);
        possible += any;
    }
    print_message("%u histories, %u of them possible\n", CASES, possible);
    assert_true(possible > CASES / 20 && possible < CASES - CASES / 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_search_agrees_with_trying_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
