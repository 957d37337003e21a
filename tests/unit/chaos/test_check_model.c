/* Goal: what the checkers take for a plan's life is what the state machine's table says.
 * Method: every verb in every phase, halted and not, is asked of both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chaos/check/model.h"
#include "fsm/plan.h"
#include "fsm/plan_table.h"

static const struct {
    enum history_kind kind;
    enum plan_event event;
} verbs[] = {
    {HISTORY_PLAN_PUBLISH, EVENT_PUBLISH},   {HISTORY_PLAN_PAUSE, EVENT_PAUSE},
    {HISTORY_PLAN_RESUME, EVENT_RESUME},     {HISTORY_PLAN_HALT, EVENT_HALT},
    {HISTORY_PLAN_ROLLBACK, EVENT_ROLLBACK}, {HISTORY_PLAN_CANCEL, EVENT_CANCEL},
};

static const struct {
    enum history_phase history;
    enum plan_phase plan;
} phases[] = {
    {HISTORY_DRAFT, PLAN_DRAFT},         {HISTORY_ACTIVE, PLAN_ACTIVE},
    {HISTORY_PAUSED, PLAN_PAUSED},       {HISTORY_COMPLETED, PLAN_COMPLETED},
    {HISTORY_CANCELLED, PLAN_CANCELLED}, {HISTORY_ROLLED_BACK, PLAN_ROLLED_BACK},
};

static enum history_phase phase_of(enum plan_phase plan)
{
    for (size_t i = 0; i < sizeof phases / sizeof phases[0]; i++)
        if (phases[i].plan == plan)
            return phases[i].history;
    fail_msg("phase %d isn't one of the histories'", (int)plan);
    return HISTORY_NO_PLAN;
}

static void the_table_and_the_model_agree(void **state)
{
    uint32_t allowed = 0;
    (void)state;
    for (size_t v = 0; v < sizeof verbs / sizeof verbs[0]; v++)
        for (size_t p = 0; p < sizeof phases / sizeof phases[0]; p++)
            for (uint64_t halted = 0; halted < 2; halted++) {
                const struct plan_rule *rule = plan_rule_find(verbs[v].event, phases[p].plan);
                const struct model_op op = {.kind = (uint8_t)verbs[v].kind, .outcome = HISTORY_OK};
                struct model_state model = {phases[p].history, halted};
                const bool possible = model_step(&op, &model) != STEP_IMPOSSIBLE;
                const bool legal = rule != NULL && !(halted && rule->need == NEED_STAGE_NOT_HALTED);
                if (possible != legal)
                    fail_msg("verb %zu in phase %zu, halted %d: the model says %d, the table %d", v, p,
                             (int)halted, possible, legal);
                if (legal)
                    assert_int_equal(model.value, phase_of(rule->to));
                allowed += legal;
            }
    assert_true(allowed > 10);
}

/* What is refused is refused with the code that the table's function gives. */
static void the_refusals_agree(void **state)
{
    (void)state;
    for (size_t v = 0; v < sizeof verbs / sizeof verbs[0]; v++)
        for (size_t p = 0; p < sizeof phases / sizeof phases[0]; p++) {
            struct plan_stage stage = {.spec.stage_id = "s", .phase = STAGE_OPEN};
            const struct plan plan = {
                .plan_id = "p", .phase = phases[p].plan, .stages = &stage, .stage_count = 1};
            char why[PLAN_WHY_BYTES];
            const enum result_code code = plan_allows(&plan, verbs[v].event, why);
            if (code == RESULT_OK)
                continue;
            const struct model_op op = {.kind = (uint8_t)verbs[v].kind,
                                        .outcome = HISTORY_REFUSED,
                                        .refusal = (uint8_t)model_refusal(result_name(code))};
            struct model_state model = {phases[p].history, 0};
            assert_int_not_equal(op.refusal, REFUSAL_SILENT);
            assert_int_equal(model_step(&op, &model), STEP_SAME);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_and_the_model_agree),
        cmocka_unit_test(the_refusals_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
