/* Gates: what each kind asks for, what it tells, and when it lets a stage go. */
#include "support/plan_fixture.h"

#define ARTIFACT "\"artifact\": {\"name\": \"app\", \"version\": \"2\", \"previous_version\": \"1\"}"

/* One stage "one" with the gates. */
static void create_with(struct fixture *fixture, const char *gates)
{
    assert_result(run(fixture, "rollout.create",
                      "{\"plan_id\": \"p\", " ARTIFACT
                      ", \"publish\": true, \"stages\": [{\"stage_id\": \"one\", "
                      "\"gates\": [%s]}]}",
                      gates),
                  RESULT_CREATED);
}

static const char *detail(struct fixture *fixture, unsigned gate)
{
    char path[64];
    snprintf(path, sizeof path, "stages.0.gates.%u.detail", gate);
    return plan_at(fixture, path);
}

static struct result evaluate(struct fixture *fixture)
{
    return run(fixture, "rollout.evaluate", "{\"plan_id\": \"p\", \"stage_id\": \"one\"}");
}

/* Goal: a soak passes at its second and not a millisecond earlier; the entry's time decides.
 * Method: evaluate just before and at the end; the detail says how far it is. */
static void soak_passes_at_its_end(void **state)
{
    struct fixture *fixture = *state;
    create_with(fixture, "{\"kind\": \"time_soak\", \"seconds\": 600}");
    assert_int_equal(next_deadline(fixture), fixture->log->wall_ms + 600000);
    pass_time(fixture, 120000);
    assert_string_equal(detail(fixture, 0), "soaked 120 of 600 s");
    pass_time(fixture, 479999);
    assert_string_equal(body_at(fixture, evaluate(fixture), "promoted"), "false");
    assert_string_equal(plan_at(fixture, "stages.0.gates.0.passed"), "false");
    pass_time(fixture, 1);
    assert_string_equal(body_at(fixture, evaluate(fixture), "promoted"), "true");
    assert_string_equal(phase(fixture), "completed");
    assert_string_equal(detail(fixture, 0), "soaked 600 of 600 s");
}

/* Goal: a tick does the same without naming the plan.
 * Method: tick before and at the end. */
static void tick_promotes_what_has_soaked(void **state)
{
    struct fixture *fixture = *state;
    create_with(fixture, "{\"kind\": \"time_soak\", \"seconds\": 1}");
    tick(fixture);
    assert_string_equal(phase(fixture), "active");
    pass_time(fixture, 1000);
    tick(fixture);
    assert_string_equal(phase(fixture), "completed");
    assert_int_equal(next_deadline(fixture), 0);
}

/* Goal: a paused plan's soak clock stands; what it had gathered counts after the resume.
 * Method: soak 400 s, pause for an hour, resume, 199 s, 1 s more. */
static void paused_plans_clock_stands(void **state)
{
    struct fixture *fixture = *state;
    create_with(fixture, "{\"kind\": \"time_soak\", \"seconds\": 600}");
    pass_time(fixture, 400000);
    verb(fixture, "pause");
    assert_int_equal(next_deadline(fixture), 0);
    pass_time(fixture, HOUR_MS);
    assert_string_equal(detail(fixture, 0), "soaked 400 of 600 s; the clock stands while the plan is paused");
    verb(fixture, "resume");
    assert_int_equal(next_deadline(fixture), fixture->log->wall_ms + 200000);
    pass_time(fixture, 199999);
    evaluate(fixture);
    assert_string_equal(phase(fixture), "active");
    pass_time(fixture, 1);
    evaluate(fixture);
    assert_string_equal(phase(fixture), "completed");
}

/* Goal: a clock set back neither ends a soak nor makes time run backwards.
 * Method: the leader's clock goes back an hour in the middle. */
static void time_never_runs_backwards(void **state)
{
    struct fixture *fixture = *state;
    create_with(fixture, "{\"kind\": \"time_soak\", \"seconds\": 10}");
    fixture->log->wall_ms += 5000;
    evaluate(fixture);
    fixture->log->wall_ms -= HOUR_MS;
    evaluate(fixture);
    assert_string_equal(phase(fixture), "active");
    fixture->log->wall_ms += HOUR_MS + 5000;
    evaluate(fixture);
    assert_string_equal(phase(fixture), "completed");
}

/* Goal: approving passes the manual gate and says who; alone it promotes.
 * Method: approve; look at the answer and the record. */
static void manual_gate_waits_for_approval(void **state)
{
    struct fixture *fixture = *state;
    create_with(fixture, "{\"kind\": \"manual\"}");
    assert_string_equal(detail(fixture, 0), "waits for approval");
    const struct result answer = approve(fixture, "one");
    assert_result(answer, RESULT_OK);
    assert_string_equal(body_at(fixture, answer, "approved"), "true");
    assert_string_equal(body_at(fixture, answer, "promoted"), "true");
    assert_string_equal(fixture_text(fixture, answer, "message"),
                        "approved; stage one is promoted and the plan is completed");
    assert_non_null(strstr(detail(fixture, 0), "approved by oncall@example.com"));
    assert_int_equal(fixture_count(fixture, "rollout.gate.approved", AUDIT_SUCCESS), 1);
}

/* Goal: an approval marks the manual gate only; the stage waits for its other gates and says for which.
 * Method: manual and soak; approve first, soak after. */
static void approval_waits_for_the_other_gates(void **state)
{
    struct fixture *fixture = *state;
    create_with(fixture, "{\"kind\": \"manual\"}, {\"kind\": \"time_soak\", \"seconds\": 60}");
    const struct result answer = approve(fixture, "one");
    assert_string_equal(body_at(fixture, answer, "approved"), "true");
    assert_string_equal(body_at(fixture, answer, "promoted"), "false");
    assert_string_equal(fixture_text(fixture, answer, "message"),
                        "approved; stage one waits for time_soak (soaked 0 of 60 s)");
    assert_string_equal(plan_at(fixture, "stages.0.manual_approved"), "true");
    pass_time(fixture, 60000);
    tick(fixture);
    assert_string_equal(phase(fixture), "completed");
}

/* Goal: approving twice keeps the first approval.
 * Method: two people. */
static void first_approval_stays(void **state)
{
    struct fixture *fixture = *state;
    create_with(fixture, "{\"kind\": \"manual\"}, {\"kind\": \"time_soak\", \"seconds\": 60}");
    approve(fixture, "one");
    assert_result(fixture_run_as(fixture, "rollout.gate.approve", "late@example.com", "",
                                 "{\"plan_id\": \"p\", \"stage_id\": \"one\"}"),
                  RESULT_OK);
    assert_string_equal(plan_at(fixture, "stages.0.approved_by"), "oncall@example.com");
}

/* Goal: a paused plan takes an approval and acts on it when it is resumed.
 * Method: pause, approve, resume. */
static void approval_of_a_paused_plan_counts_after_resume(void **state)
{
    struct fixture *fixture = *state;
    create_with(fixture, "{\"kind\": \"manual\"}");
    verb(fixture, "pause");
    const struct result answer = approve(fixture, "one");
    assert_string_equal(body_at(fixture, answer, "promoted"), "false");
    assert_string_equal(phase(fixture), "paused");
    const struct result resumed = verb(fixture, "resume");
    assert_string_equal(fixture_text(fixture, resumed, "new_phase"), "completed");
}

/* Goal: what can't be approved says why.
 * Method: no manual gate; a pending stage; an unknown one; a promoted one. */
static void approval_is_refused_where_there_is_nothing_to_approve(void **state)
{
    struct fixture *fixture = *state;
    assert_result(run(fixture, "rollout.create",
                      "{\"plan_id\": \"p\", " ARTIFACT
                      ", \"publish\": true, \"stages\": [{\"stage_id\": \"none\"}, "
                      "{\"stage_id\": \"soak\", \"gates\": [{\"kind\": \"time_soak\", \"seconds\": 9}]}, "
                      "{\"stage_id\": \"later\", \"gates\": [{\"kind\": \"manual\"}]}]}"),
                  RESULT_CREATED);
    assert_result(approve(fixture, "soak"), RESULT_NO_MANUAL_GATE);
    assert_result(approve(fixture, "later"), RESULT_STAGE_PHASE);
    assert_result(approve(fixture, "none"), RESULT_STAGE_PHASE);
    assert_result(approve(fixture, "nowhere"), RESULT_STAGE_NOT_FOUND);
    assert_int_equal(fixture_count(fixture, "rollout.gate.approved", AUDIT_DENIED), 4);
    assert_int_equal(fixture_count(fixture, "rollout.gate.approved", AUDIT_SUCCESS), 0);
}

/* Goal: without reports success_ratio doesn't pass; with them the counts decide, exactly.
 * Method: 95 %: 18 of 19 is below, 19 of 20 is it. */
static void success_ratio_compares_counts(void **state)
{
    struct fixture *fixture = *state;
    char node[32];
    create_with(fixture, "{\"kind\": \"success_ratio\", \"min_percent\": 95}");
    evaluate(fixture);
    assert_string_equal(detail(fixture, 0), "no node has reported yet; 95 % must succeed");
    assert_string_equal(phase(fixture), "active");
    assert_result(report(fixture, "edge-0", "failed"), RESULT_OK);
    for (unsigned i = 1; i <= 18; i++) {
        snprintf(node, sizeof node, "edge-%u", i);
        assert_result(report(fixture, node, "activated"), RESULT_OK);
    }
    assert_string_equal(detail(fixture, 0), "18 of 19 nodes succeeded; 95 % must");
    assert_string_equal(phase(fixture), "active");
    assert_result(report(fixture, "edge-19", "activated"), RESULT_OK);
    assert_string_equal(phase(fixture), "completed");
}

/* Goal: an offer is no report: it neither passes nor fails a gate.
 * Method: 100 %, one offered. */
static void offered_nodes_count_neither_way(void **state)
{
    struct fixture *fixture = *state;
    create_with(fixture, "{\"kind\": \"success_ratio\", \"min_percent\": 100}");
    report(fixture, "edge-1", "offered");
    assert_string_equal(phase(fixture), "active");
    report(fixture, "edge-1", "activated");
    assert_string_equal(phase(fixture), "completed");
}

/* Goal: health needs a node that activated, and none that failed.
 * Method: none; one failed; it recovers. */
static void health_needs_activations_and_no_failure(void **state)
{
    struct fixture *fixture = *state;
    create_with(fixture, "{\"kind\": \"health\"}, {\"kind\": \"manual\"}");
    assert_string_equal(detail(fixture, 0), "no node has reported yet");
    assert_string_equal(plan_at(fixture, "stages.0.gates.0.passed"), "false");
    report(fixture, "edge-1", "activated");
    report(fixture, "edge-2", "failed");
    assert_string_equal(detail(fixture, 0), "1 of 2 nodes failed");
    assert_string_equal(plan_at(fixture, "stages.0.gates.0.passed"), "false");
    report(fixture, "edge-2", "activated");
    assert_string_equal(detail(fixture, 0), "2 nodes activated, none failed");
    assert_string_equal(plan_at(fixture, "stages.0.gates.0.passed"), "true");
}

/* Goal: the gates' own GET tells stage, gates, and whether all passed; unknown names are not found.
 * Method: view_gates before and after the soak, and with names that aren't there. */
static void gates_can_be_read(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    json_t *json = NULL;
    create_with(fixture, "{\"kind\": \"time_soak\", \"seconds\": 60}");
    struct view *view = view_open(fixture->fsm);
    assert_int_equal(view_gates(view, "p", "one", fixture->log->wall_ms, &json, &error), ERROR_OK);
    assert_string_equal(json_string_value(json_at(json, "stage_phase")), "open");
    assert_string_equal(json_string_value(json_at(json, "gates.0.kind")), "time_soak");
    assert_true(json_is_false(json_at(json, "all_passed")));
    assert_true(json_is_false(json_at(json, "manual_approved")));
    json_decref(json);
    assert_int_equal(view_gates(view, "p", "one", fixture->log->wall_ms + 60000, &json, &error), ERROR_OK);
    assert_true(json_is_true(json_at(json, "all_passed")));
    json_decref(json);
    assert_int_equal(view_gates(view, "p", "two", 0, &json, &error), ERROR_NOT_FOUND);
    assert_int_equal(view_gates(view, "q", "one", 0, &json, &error), ERROR_NOT_FOUND);
    assert_string_equal(error.message, "there is no plan \"q\"");
    view_close(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plan_test(soak_passes_at_its_end),
        plan_test(tick_promotes_what_has_soaked),
        plan_test(paused_plans_clock_stands),
        plan_test(time_never_runs_backwards),
        plan_test(manual_gate_waits_for_approval),
        plan_test(approval_waits_for_the_other_gates),
        plan_test(first_approval_stays),
        plan_test(approval_of_a_paused_plan_counts_after_resume),
        plan_test(approval_is_refused_where_there_is_nothing_to_approve),
        plan_test(success_ratio_compares_counts),
        plan_test(offered_nodes_count_neither_way),
        plan_test(health_needs_activations_and_no_failure),
        plan_test(gates_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
