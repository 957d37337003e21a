/* The table of rollback targets, without a store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#include "fsm/targets.h"

static json_t *target_of(const char *name)
{
    struct error error = {0};
    json_t *json = NULL;
    if (rollback_targets(name, &json, &error) != ERROR_OK)
        fail_msg("%s", error.message);
    return json;
}

static void expect(const char *name, const char *kind, const char *safety_class, bool reversible,
                   bool orchestrated, const char *first, size_t strategies)
{
    json_t *json = target_of(name);
    assert_string_equal(json_string_value(json_object_get(json, "target")), name);
    assert_string_equal(json_string_value(json_object_get(json, "kind")), kind);
    assert_string_equal(json_string_value(json_object_get(json, "safety_class")), safety_class);
    assert_int_equal(json_is_true(json_object_get(json, "reversible")), reversible);
    assert_int_equal(json_is_true(json_object_get(json, "orchestrated")), orchestrated);
    assert_int_equal(json_is_null(json_object_get(json, "manual_path")), orchestrated);
    json_t *names = json_object_get(json, "valid_strategies");
    assert_int_equal(json_array_size(names), strategies);
    assert_string_equal(json_string_value(json_array_get(names, 0)), first);
    assert_true(json_array_size(json_object_get(json, "trigger_conditions")) > 0);
    assert_true(json_array_size(json_object_get(json, "limitations")) > 0);
    json_decref(json);
}

/* Goal: the four targets have the kinds, classes and strategies that runbooks know.
 * Method: each by its name. */
static void targets_are_those_of_the_runbook(void **state)
{
    (void)state;
    expect("rollout_plan", "KindRolloutPlan", "terminal", false, true, "rollback", 3);
    expect("rollout_stage", "KindRolloutStage", "terminal", false, true, "halt", 2);
    expect("ha_leader_resign", "KindHALeaderResign", "reversible", true, true, "resign", 1);
    expect("relay_deadletter", "KindRelayDeadletter", "idempotent", false, false, "retry", 1);
    assert_non_null(rollback_target_at(3));
    assert_null(rollback_target_at(4));
}

/* Goal: a strategy has its own class: retrying a plan is reversible though the target is terminal.
 * Method: look strategies up; the default, an unknown one. */
static void strategies_have_their_own_class(void **state)
{
    (void)state;
    const struct rollback_target *plan = rollback_target_find("rollout_plan");
    assert_string_equal(rollback_strategy_find(plan, NULL)->name, "rollback");
    assert_string_equal(rollback_strategy_find(plan, "")->name, "rollback");
    assert_int_equal(rollback_strategy_find(plan, "rollback")->safety_class, SAFETY_TERMINAL);
    assert_int_equal(rollback_strategy_find(plan, "retry")->safety_class, SAFETY_REVERSIBLE);
    assert_true(rollback_strategy_find(plan, "retry")->repeatable);
    assert_null(rollback_strategy_find(plan, "halt"));
    assert_true(rollback_strategy_find(rollback_target_find("rollout_stage"), "halt")->repeatable);
}

/* Goal: all targets come as a list; an unknown one is an error that names those there are.
 * Method: no name; a wrong name. */
static void list_and_unknown_target(void **state)
{
    (void)state;
    struct error error = {0};
    json_t *json = target_of(NULL);
    assert_int_equal(json_array_size(json_object_get(json, "items")), 4);
    json_decref(json);
    assert_int_equal(rollback_targets("moon", &json, &error), ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, "relay_deadletter"));
    assert_null(rollback_target_find(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_those_of_the_runbook),
        cmocka_unit_test(strategies_have_their_own_class),
        cmocka_unit_test(list_and_unknown_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
