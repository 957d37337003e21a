/* rollback.execute and its preview: one record with the final outcome, whatever the target. */
#include "support/plan_fixture.h"

#include "fsm/rollback.h"

static void create(struct fixture *fixture)
{
    assert_result(fixture_run(fixture, "rollout.create", PLAN_TWO), RESULT_CREATED);
}

static struct result execute(struct fixture *fixture, const char *target, const char *resource,
                             const char *strategy)
{
    return run(fixture, "rollback.execute",
               "{\"target\": \"%s\", \"resource\": \"%s\", \"strategy\": \"%s\", \"reason\": \"INCIDENT-1\"}",
               target, resource, strategy);
}

static uint32_t executed(struct fixture *fixture, uint32_t outcome)
{
    return fixture_count(fixture, "rollback.executed", outcome);
}

/* The only rollback.executed there is. */
static const struct audit_record *executed_record(struct fixture *fixture)
{
    const struct audit_filter filter = {.event_type = "rollback.executed"};
    const struct fixture_records *rows = fixture_records(fixture, &filter);
    assert_int_equal(rows->count, 1);
    return &rows->rows[0];
}

/* Goal: the runbook's execution: the plan is rolled back, with exactly one rollback.executed and one
 * rollout.recovered. Method: default strategy and the named one give the same. */
static void plan_is_rolled_back_with_one_record(void **state)
{
    struct fixture *fixture = *state;
    create(fixture);
    report(fixture, "edge-1", "activated");
    const struct result answer = execute(fixture, "rollout_plan", "p", "");
    assert_result(answer, RESULT_OK);
    assert_string_equal(fixture_text(fixture, answer, "new_phase"), "rolled_back");
    assert_string_equal(fixture_text(fixture, answer, "kind"), "KindRolloutPlan");
    assert_string_equal(fixture_text(fixture, answer, "strategy"), "rollback");
    assert_string_equal(fixture_text(fixture, answer, "outcome"), "success");
    assert_string_equal(plan_at(fixture, "nodes.0.state"), "revert_offered");
    const struct audit_record *record = executed_record(fixture);
    assert_int_equal(record->outcome, AUDIT_SUCCESS);
    assert_int_equal(record->seq, answer.audit_seq);
    assert_int_equal(record->category, AUDIT_ROLLBACK);
    assert_string_equal(record->resource_type, "rollout_plan");
    assert_string_equal(record->resource, "p");
    assert_string_equal(record->reason, "INCIDENT-1");
    assert_string_equal(fixture_field(record, "strategy"), "rollback");
    assert_string_equal(fixture_field(record, "safety_class"), "terminal");
    assert_string_equal(fixture_field(record, "previous_phase"), "active");
    assert_string_equal(fixture_field(record, "new_phase"), "rolled_back");
    assert_int_equal(fixture_count(fixture, "rollout.recovered", AUDIT_SUCCESS), 1);
}

/* Goal: every strategy of every orchestrated plan target does what its verb does.
 * Method: one plan each. */
static void strategies_do_what_their_verbs_do(void **state)
{
    (void)state;
    static const struct {
        const char *target, *resource, *strategy, *phase, *event;
    } cases[] = {
        {"rollout_plan", "p", "rollback", "rolled_back", "rollout.recovered"},
        {"rollout_plan", "p", "retry", "active", "rollout.recovered"},
        {"rollout_plan", "p", "cancel", "cancelled", "rollout.plan.cancelled"},
        {"rollout_stage", "p/one", "", "active", "rollout.stage.halted"},
        {"rollout_stage", "p/one", "halt", "active", "rollout.stage.halted"},
        {"rollout_stage", "p/one", "skip_failed", "active", "rollout.recovered"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture *fixture = fixture_new();
        create(fixture);
        const struct result answer = execute(fixture, cases[i].target, cases[i].resource, cases[i].strategy);
        assert_result(answer, RESULT_OK);
        assert_string_equal(phase(fixture), cases[i].phase);
        assert_int_equal(fixture_count(fixture, cases[i].event, AUDIT_SUCCESS), 1);
        assert_string_equal(executed_record(fixture)->resource, cases[i].resource);
        check_indexes(fixture);
        check_replay(fixture);
        fixture_free(fixture);
    }
}

/* Goal: halting by rollback is idempotent and says so; skipping acts on the current stage only.
 * Method: halt twice; skip; halt and skip what was left behind. */
static void stage_actions_act_on_the_current_stage(void **state)
{
    struct fixture *fixture = *state;
    create(fixture);
    execute(fixture, "rollout_stage", "p/one", "halt");
    const struct result again = execute(fixture, "rollout_stage", "p/one", "halt");
    assert_string_equal(body_at(fixture, again, "already_halted"), "true");
    assert_result(execute(fixture, "rollout_stage", "p/two", "skip_failed"), RESULT_STAGE_PHASE);
    assert_result(execute(fixture, "rollout_stage", "p/one", "skip_failed"), RESULT_OK);
    assert_result(execute(fixture, "rollout_stage", "p/one", "skip_failed"), RESULT_STAGE_PHASE);
    assert_result(execute(fixture, "rollout_stage", "p/one", "halt"), RESULT_OK);
    assert_result(execute(fixture, "rollout_stage", "p/three", "halt"), RESULT_STAGE_NOT_FOUND);
    assert_string_equal(plan_at(fixture, "stages.1.stage_phase"), "open");
}

/* Goal: a refusal leaves rollback.executed with outcome denied and nothing else.
 * Method: each way to be refused; the count of all records grows by one each time. */
static void refusal_leaves_one_denied_record(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *target, *resource, *strategy;
        enum result_code code;
    } cases[] = {
        {"rollout_plan", "p", "rollback", RESULT_PLAN_TERMINAL},
        {"rollout_plan", "q", "rollback", RESULT_PLAN_NOT_FOUND},
        {"rollout_plan", "", "rollback", RESULT_INVALID},
        {"rollout_plan", "p/one", "rollback", RESULT_INVALID},
        {"rollout_plan", "p", "halt", RESULT_INVALID},
        {"rollout_stage", "p", "halt", RESULT_INVALID},
        {"rollout_stage", "p/", "halt", RESULT_INVALID},
        {"rollout_stage", "p/one", "halt", RESULT_PLAN_TERMINAL},
        {"relay_deadletter", "seg-1", "retry", RESULT_NOT_ORCHESTRATED},
        {"relay_deadletter", "seg-1", "", RESULT_NOT_ORCHESTRATED},
        {"moon", "p", "", RESULT_INVALID},
        {"ha_leader_resign", "n1", "", RESULT_INVALID},
    };
    create(fixture);
    recover(fixture, "rollback");
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const uint64_t seq = fixture_describe(fixture).audit_seq;
        const struct result answer = execute(fixture, cases[i].target, cases[i].resource, cases[i].strategy);
        assert_result(answer, cases[i].code);
        assert_int_equal(answer.audit_seq, seq + 1);
        assert_int_equal(fixture_describe(fixture).audit_seq, seq + 1);
        assert_int_equal(executed(fixture, AUDIT_DENIED), i + 1);
    }
    assert_int_equal(executed(fixture, AUDIT_SUCCESS), 0);
}

/* Goal: what is not orchestrated names the way by hand.
 * Method: relay_deadletter. */
static void dead_letters_name_the_manual_path(void **state)
{
    struct fixture *fixture = *state;
    const struct result answer = execute(fixture, "relay_deadletter", "seg-1", "");
    assert_int_equal(result_status(answer.code), 422);
    assert_non_null(strstr(fixture_text(fixture, answer, "detail"), "edgectl"));
}

/* --- preview --- */

static json_t *preview(struct fixture *fixture, const char *target, const char *resource,
                       const char *strategy)
{
    struct error error = {0};
    json_t *json = NULL;
    struct view *view = view_open(fixture->fsm);
    const enum error_code code = view_preview(view, target, resource, strategy, &json, &error);
    view_close(view);
    if (code != ERROR_OK)
        fail_msg("%s", error.message);
    return json;
}

static enum error_code preview_error(struct fixture *fixture, const char *target, const char *resource,
                                     const char *strategy)
{
    struct error error = {0};
    json_t *json = NULL;
    struct view *view = view_open(fixture->fsm);
    const enum error_code code = view_preview(view, target, resource, strategy, &json, &error);
    view_close(view);
    if (code == ERROR_OK)
        json_decref(json);
    return code;
}

static const char *text_of(struct fixture *fixture, json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text == NULL ? "null" : fixture_copy(fixture, text);
}

/* Goal: a preview names nodes and phases, changes nothing, and its token lets the action through.
 * Method: preview a plan with two activated nodes, then execute with the token. */
static void previewed_action_goes_through(void **state)
{
    struct fixture *fixture = *state;
    create(fixture);
    report(fixture, "x", "activated");
    report(fixture, "y", "activated");
    json_t *json = preview(fixture, "rollout_plan", "p", NULL);
    assert_string_equal(text_of(fixture, json, "phase_before"), "active");
    assert_string_equal(text_of(fixture, json, "phase_after"), "rolled_back");
    assert_string_equal(text_of(fixture, json, "safety_class"), "terminal");
    assert_int_equal(json_integer_value(json_object_get(json, "nodes_affected")), 2);
    assert_true(json_is_true(json_object_get(json, "allowed")));
    const char *token = text_of(fixture, json, "preview_token");
    assert_int_equal(strlen(token), ROLLBACK_TOKEN_BYTES - 1);
    json_decref(json);
    assert_string_equal(phase(fixture), "active");
    assert_result(run(fixture, "rollback.execute",
                      "{\"target\": \"rollout_plan\", \"resource\": \"p\", \"reason\": \"r\", "
                      "\"preview_token\": \"%s\"}",
                      token),
                  RESULT_OK);
}

/* Goal: when the plan has changed since the preview its token is refused; reports of nodes don't count as a
 * change. Method: a report in between (fine), then a pause in between (stale), then a token of another
 * strategy. */
static void stale_preview_is_refused(void **state)
{
    struct fixture *fixture = *state;
    create(fixture);
    json_t *json = preview(fixture, "rollout_plan", "p", "retry");
    const char *token = text_of(fixture, json, "preview_token");
    json_decref(json);
    const char *format =
        "{\"target\": \"rollout_plan\", \"resource\": \"p\", \"strategy\": \"%s\", \"reason\": \"r\", "
        "\"preview_token\": \"%s\"}";
    report(fixture, "x", "activated");
    assert_result(run(fixture, "rollback.execute", format, "rollback", token), RESULT_PREVIEW_STALE);
    assert_result(run(fixture, "rollback.execute", format, "retry", token), RESULT_OK);
    const struct result stale = run(fixture, "rollback.execute", format, "retry", token);
    assert_result(stale, RESULT_PREVIEW_STALE);
    assert_int_equal(result_status(stale.code), 409);
    assert_int_equal(executed(fixture, AUDIT_DENIED), 2);
}

/* Goal: a preview of what is not allowed says so, without a token.
 * Method: a terminal plan; a pending stage; cancel with activations. */
static void preview_tells_what_would_be_refused(void **state)
{
    struct fixture *fixture = *state;
    create(fixture);
    report(fixture, "x", "activated");
    json_t *json = preview(fixture, "rollout_plan", "p", "cancel");
    assert_string_equal(text_of(fixture, json, "code"), "plan_activated");
    assert_string_equal(text_of(fixture, json, "preview_token"), "null");
    json_decref(json);
    json = preview(fixture, "rollout_stage", "p/two", NULL);
    assert_string_equal(text_of(fixture, json, "code"), "stage_phase");
    json_decref(json);
    recover(fixture, "rollback");
    json = preview(fixture, "rollout_plan", "p", NULL);
    assert_true(json_is_false(json_object_get(json, "allowed")));
    assert_string_equal(text_of(fixture, json, "code"), "plan_terminal");
    assert_string_equal(text_of(fixture, json, "phase_after"), "rolled_back");
    json_decref(json);
}

/* Goal: skipping the last stage is foreseen to complete the plan.
 * Method: preview on the first and on the last stage. */
static void preview_foresees_completion(void **state)
{
    struct fixture *fixture = *state;
    create(fixture);
    json_t *json = preview(fixture, "rollout_stage", "p/one", "skip_failed");
    assert_string_equal(text_of(fixture, json, "phase_after"), "active");
    json_decref(json);
    recover(fixture, "skip_failed");
    json = preview(fixture, "rollout_stage", "p/two", "skip_failed");
    assert_string_equal(text_of(fixture, json, "phase_after"), "completed");
    json_decref(json);
}

/* Goal: without a resource a preview is the target's static properties; a leader's resignation has no token.
 * Method: both; then names that aren't there. */
static void preview_without_a_plan(void **state)
{
    struct fixture *fixture = *state;
    json_t *json = preview(fixture, "rollout_plan", NULL, NULL);
    assert_string_equal(text_of(fixture, json, "kind"), "KindRolloutPlan");
    json_decref(json);
    json = preview(fixture, "relay_deadletter", "seg-1", NULL);
    assert_true(json_is_false(json_object_get(json, "orchestrated")));
    json_decref(json);
    json = preview(fixture, "ha_leader_resign", "current", NULL);
    assert_true(json_is_null(json_object_get(json, "preview_token")));
    assert_string_equal(text_of(fixture, json, "safety_class"), "reversible");
    json_decref(json);
    assert_int_equal(preview_error(fixture, "rollout_plan", "nobody", NULL), ERROR_NOT_FOUND);
    assert_int_equal(preview_error(fixture, "rollout_stage", "nobody", NULL), ERROR_INVALID);
    assert_int_equal(preview_error(fixture, "moon", "p", NULL), ERROR_NOT_FOUND);
    assert_int_equal(preview_error(fixture, "rollout_plan", "p", "halt"), ERROR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plan_test(plan_is_rolled_back_with_one_record),
        cmocka_unit_test(strategies_do_what_their_verbs_do),
        plan_test(stage_actions_act_on_the_current_stage),
        plan_test(refusal_leaves_one_denied_record),
        plan_test(dead_letters_name_the_manual_path),
        plan_test(previewed_action_goes_through),
        plan_test(stale_preview_is_refused),
        plan_test(preview_tells_what_would_be_refused),
        plan_test(preview_foresees_completion),
        plan_test(preview_without_a_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
