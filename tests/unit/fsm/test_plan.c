/* The plan machine, one test a transition. Every test ends with its log applied again
 * (support/plan_fixture.h). */
#include "support/plan_fixture.h"

#define ARTIFACT "\"artifact\": {\"name\": \"app\", \"version\": \"2\", \"previous_version\": \"1\"}"

static void create_draft(struct fixture *fixture)
{
    assert_result(run(fixture, "rollout.create",
                      "{\"plan_id\": \"p\", " ARTIFACT
                      ", \"stages\": [{\"stage_id\": \"one\", \"gates\": [{\"kind\": "
                      "\"manual\"}]}], \"reason\": \"release 2\"}"),
                  RESULT_CREATED);
}

static void create(struct fixture *fixture, const char *json)
{
    assert_result(fixture_run(fixture, "rollout.create", json), RESULT_CREATED);
}

static uint32_t records(struct fixture *fixture, const char *event_name)
{
    return fixture_count(fixture, event_name, AUDIT_SUCCESS);
}

/* Goal: a created plan is a draft, and its record says what it is.
 * Method: create without publish. */
static void created_plan_is_a_draft(void **state)
{
    struct fixture *fixture = *state;
    create_draft(fixture);
    assert_string_equal(phase(fixture), "draft");
    assert_string_equal(plan_at(fixture, "current_stage_id"), "null");
    assert_string_equal(plan_at(fixture, "stages.0.stage_phase"), "pending");
    assert_string_equal(plan_at(fixture, "created_by"), "oncall@example.com");
    assert_string_equal(plan_at(fixture, "reason"), "release 2");
    assert_int_equal(records(fixture, "rollout.plan.created"), 1);
    assert_int_equal(records(fixture, "rollout.plan.published"), 0);
}

/* Goal: publishing opens the first stage in the same command, with or without nodes.
 * Method: draft, publish. */
static void publish_opens_the_first_stage(void **state)
{
    struct fixture *fixture = *state;
    create_draft(fixture);
    const struct result answer = verb(fixture, "publish");
    assert_result(answer, RESULT_OK);
    assert_string_equal(fixture_text(fixture, answer, "previous_phase"), "draft");
    assert_string_equal(fixture_text(fixture, answer, "new_phase"), "active");
    assert_string_equal(fixture_text(fixture, answer, "current_stage_id"), "one");
    assert_string_equal(plan_at(fixture, "stages.0.stage_phase"), "open");
    assert_int_equal(records(fixture, "rollout.plan.published"), 1);
    assert_int_equal(records(fixture, "rollout.stage.opened"), 1);
}

/* Goal: with start_at ahead a plan stays published until a tick passes that time.
 * Method: start_at in ten minutes; a tick before it, one at it. */
static void published_lasts_until_start_at(void **state)
{
    struct fixture *fixture = *state;
    char start[TIME_TEXT_BYTES];
    time_format(fixture->log->wall_ms + 600000, start);
    const struct result answer = run(fixture, "rollout.create",
                                     "{\"plan_id\": \"p\", " ARTIFACT
                                     ", \"stages\": [{\"gates\": [{\"kind\": \"manual\"}]}], \"start_at\": "
                                     "\"%s\", \"publish\": true}",
                                     start);
    assert_result(answer, RESULT_CREATED);
    assert_string_equal(phase(fixture), "published");
    assert_string_equal(plan_at(fixture, "current_stage_id"), "null");
    assert_int_equal(next_deadline(fixture), fixture->log->wall_ms + 600000);
    pass_time(fixture, 599999);
    tick(fixture);
    assert_string_equal(phase(fixture), "published");
    pass_time(fixture, 1);
    tick(fixture);
    assert_string_equal(phase(fixture), "active");
    assert_string_equal(plan_at(fixture, "current_stage_id"), "stage-1");
    assert_int_equal(records(fixture, "rollout.stage.opened"), 1);
    assert_int_equal(records(fixture, "rollout.plan.published"), 1);
}

/* Goal: a start_at that has passed holds nothing up.
 * Method: start_at an hour ago. */
static void start_at_in_the_past_starts_at_once(void **state)
{
    struct fixture *fixture = *state;
    char start[TIME_TEXT_BYTES];
    time_format(fixture->log->wall_ms - HOUR_MS, start);
    run(fixture, "rollout.create",
        "{\"plan_id\": \"p\", " ARTIFACT
        ", \"stages\": [{\"gates\": [{\"kind\": \"manual\"}]}], \"start_at\": \"%s\", "
        "\"publish\": true}",
        start);
    assert_string_equal(phase(fixture), "active");
}

/* Goal: a stage whose gates pass is promoted, the next opens; after the last the plan is completed.
 * Method: two manual gates, approved one after the other. */
static void promotion_opens_the_next_and_completes_after_the_last(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, PLAN_TWO);
    const struct result first = approve(fixture, "one");
    assert_string_equal(body_at(fixture, first, "promoted"), "true");
    assert_string_equal(phase(fixture), "active");
    assert_string_equal(plan_at(fixture, "stages.0.stage_phase"), "promoted");
    assert_string_equal(plan_at(fixture, "stages.0.forced"), "false");
    assert_string_equal(plan_at(fixture, "stages.1.stage_phase"), "open");
    assert_string_equal(plan_at(fixture, "current_stage_id"), "two");

    const struct result second = approve(fixture, "two");
    assert_string_equal(fixture_text(fixture, second, "new_phase"), "completed");
    assert_string_equal(phase(fixture), "completed");
    assert_string_not_equal(plan_at(fixture, "ended_at"), "null");
    assert_int_equal(records(fixture, "rollout.stage.promoted"), 2);
    assert_int_equal(records(fixture, "rollout.stage.opened"), 2);
    assert_int_equal(records(fixture, "rollout.plan.completed"), 1);
}

/* Goal: stages without gates are passed at once, in the publishing command.
 * Method: 64 of them. */
static void stages_without_gates_are_passed_at_once(void **state)
{
    struct fixture *fixture = *state;
    char json[8192] = "{\"plan_id\": \"p\", " ARTIFACT ", \"publish\": true, \"stages\": [{}";
    for (size_t i = 1; i < PLAN_STAGES_MAX; i++)
        strcat(json, ", {}");
    strcat(json, "]}");
    create(fixture, json);
    assert_string_equal(phase(fixture), "completed");
    assert_string_equal(plan_at(fixture, "stages.63.stage_phase"), "promoted");
    assert_int_equal(records(fixture, "rollout.stage.promoted"), PLAN_STAGES_MAX);
}

/* Goal: pause and resume go back and forth and leave their records.
 * Method: both, then both again. */
static void pause_and_resume_go_back_and_forth(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, PLAN_MANUAL);
    for (uint32_t i = 1; i <= 2; i++) {
        const struct result paused = verb(fixture, "pause");
        assert_string_equal(fixture_text(fixture, paused, "new_phase"), "paused");
        assert_string_equal(phase(fixture), "paused");
        const struct result resumed = verb(fixture, "resume");
        assert_string_equal(fixture_text(fixture, resumed, "previous_phase"), "paused");
        assert_string_equal(phase(fixture), "active");
        assert_int_equal(records(fixture, "rollout.plan.paused"), i);
        assert_int_equal(records(fixture, "rollout.plan.resumed"), i);
    }
}

/* Goal: halting ends the stage for good and leaves the plan in its phase.
 * Method: halt an active plan; halt a paused one by the stage's id. */
static void halt_ends_the_stage_and_keeps_the_plan(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, PLAN_TWO);
    const struct result answer = run(fixture, "rollout.halt", "{\"plan_id\": \"p\", \"reason\": \"bad\"}");
    assert_result(answer, RESULT_OK);
    assert_string_equal(fixture_text(fixture, answer, "stage_id"), "one");
    assert_string_equal(fixture_text(fixture, answer, "stage_phase"), "halted");
    assert_string_equal(body_at(fixture, answer, "already_halted"), "false");
    assert_string_equal(phase(fixture), "active");
    assert_string_equal(plan_at(fixture, "stages.0.stage_phase"), "halted");
    assert_string_equal(plan_at(fixture, "stages.1.stage_phase"), "pending");
    assert_int_equal(records(fixture, "rollout.stage.halted"), 1);
}

/* Goal: a paused plan's stage can be halted too; the plan stays paused and is left by skip_failed.
 * Method: pause, halt with the stage's id, skip. */
static void paused_plan_is_halted_and_skipped(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, PLAN_TWO);
    verb(fixture, "pause");
    assert_result(
        run(fixture, "rollout.halt", "{\"plan_id\": \"p\", \"stage_id\": \"one\", \"reason\": \"bad\"}"),
        RESULT_OK);
    assert_string_equal(phase(fixture), "paused");
    assert_result(verb(fixture, "resume"), RESULT_STAGE_HALTED);
    assert_result(recover(fixture, "skip_failed"), RESULT_OK);
    assert_string_equal(phase(fixture), "active");
    assert_string_equal(plan_at(fixture, "current_stage_id"), "two");
}

/* Goal: halting twice changes nothing the second time and says so; also for a stage that was left behind.
 * Method: halt, halt again, skip, halt the old stage by its id. */
static void halt_is_idempotent(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, PLAN_TWO);
    run(fixture, "rollout.halt", "{\"plan_id\": \"p\", \"reason\": \"bad\"}");
    const char *before = plan_at(fixture, "");
    pass_time(fixture, 1000);
    const struct result again = run(fixture, "rollout.halt", "{\"plan_id\": \"p\", \"reason\": \"bad\"}");
    assert_result(again, RESULT_OK);
    assert_string_equal(body_at(fixture, again, "already_halted"), "true");
    assert_string_equal(plan_at(fixture, ""), before);

    recover(fixture, "skip_failed");
    const struct result old =
        run(fixture, "rollout.halt", "{\"plan_id\": \"p\", \"stage_id\": \"one\", \"reason\": \"bad\"}");
    assert_result(old, RESULT_OK);
    assert_string_equal(body_at(fixture, old, "already_halted"), "true");
    assert_string_equal(plan_at(fixture, "stages.1.stage_phase"), "open");
}

/* Goal: only the open stage can be halted.
 * Method: a pending one, a promoted one, one that isn't there. */
static void only_the_open_stage_is_halted(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, PLAN_TWO);
    const char *halt = "{\"plan_id\": \"p\", \"stage_id\": \"%s\", \"reason\": \"bad\"}";
    char json[128];
    snprintf(json, sizeof json, halt, "two");
    assert_result(fixture_run(fixture, "rollout.halt", json), RESULT_STAGE_PHASE);
    approve(fixture, "one");
    snprintf(json, sizeof json, halt, "one");
    assert_result(fixture_run(fixture, "rollout.halt", json), RESULT_STAGE_PHASE);
    snprintf(json, sizeof json, halt, "three");
    assert_result(fixture_run(fixture, "rollout.halt", json), RESULT_STAGE_NOT_FOUND);
    assert_int_equal(fixture_count(fixture, "rollout.stage.halted", AUDIT_DENIED), 3);
    assert_int_equal(records(fixture, "rollout.stage.halted"), 0);
}

/* Goal: a halted stage never resumes: whatever is tried, it stays halted.
 * Method: pause, resume, retry, approve, evaluate, an offer to a node. */
static void halted_stage_never_resumes(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, PLAN_TWO);
    run(fixture, "rollout.halt", "{\"plan_id\": \"p\", \"reason\": \"bad\"}");
    const char *before = plan_at(fixture, "");
    assert_result(verb(fixture, "pause"), RESULT_STAGE_HALTED);
    assert_result(verb(fixture, "resume"), RESULT_PLAN_PHASE);
    assert_result(recover(fixture, "retry"), RESULT_STAGE_HALTED);
    assert_result(approve(fixture, "one"), RESULT_STAGE_HALTED);
    assert_result(run(fixture, "rollout.evaluate", "{\"plan_id\": \"p\", \"stage_id\": \"one\"}"),
                  RESULT_STAGE_PHASE);
    assert_result(report(fixture, "edge-1", "offered"), RESULT_STAGE_HALTED);
    pass_time(fixture, 1000);
    run(fixture, "tick", "{\"stuck_after_ms\": 0}");
    assert_string_equal(plan_at(fixture, ""), before);
}

/* Goal: retry makes an active plan's gates be looked at anew, and a paused plan active.
 * Method: retry while active changes no phase; while paused it resumes. */
static void retry_activates_and_looks_at_gates_anew(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, PLAN_TWO);
    const struct result active = recover(fixture, "retry");
    assert_result(active, RESULT_OK);
    assert_string_equal(fixture_text(fixture, active, "strategy"), "retry");
    assert_string_equal(fixture_text(fixture, active, "new_phase"), "active");
    verb(fixture, "pause");
    assert_string_equal(body_at(fixture, approve(fixture, "one"), "promoted"), "false");
    const struct result paused = recover(fixture, "retry");
    assert_string_equal(fixture_text(fixture, paused, "previous_phase"), "paused");
    assert_string_equal(fixture_text(fixture, paused, "current_stage_id"), "two");
    assert_int_equal(records(fixture, "rollout.recovered"), 2);
}

/* Goal: skip_failed promotes the current stage by force, and completes the plan after the last.
 * Method: skip both stages. */
static void skip_failed_forces_the_stage(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, PLAN_TWO);
    const struct result first = recover(fixture, "skip_failed");
    assert_string_equal(fixture_text(fixture, first, "new_phase"), "active");
    assert_string_equal(plan_at(fixture, "stages.0.stage_phase"), "promoted");
    assert_string_equal(plan_at(fixture, "stages.0.forced"), "true");
    const struct result second = recover(fixture, "skip_failed");
    assert_string_equal(fixture_text(fixture, second, "new_phase"), "completed");
    assert_string_equal(phase(fixture), "completed");
}

/* Goal: skip_failed leaves a halted stage behind as it is.
 * Method: halt, skip. */
static void skip_failed_leaves_a_halted_stage_behind(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, PLAN_TWO);
    run(fixture, "rollout.halt", "{\"plan_id\": \"p\", \"reason\": \"bad\"}");
    assert_result(recover(fixture, "skip_failed"), RESULT_OK);
    assert_string_equal(plan_at(fixture, "stages.0.stage_phase"), "halted");
    assert_string_equal(plan_at(fixture, "stages.1.stage_phase"), "open");
    assert_int_equal(records(fixture, "rollout.stage.promoted"), 0);
}

/* Goal: rollback ends a plan from active: the open and the promoted stages are rolled back, pending ones
 * stay. Method: three stages, the second open. */
static void rollback_ends_an_active_plan(void **state)
{
    struct fixture *fixture = *state;
    create(fixture,
           "{\"plan_id\": \"p\", " ARTIFACT ", \"publish\": true, \"stages\": [{}, {\"gates\": [{\"kind\": "
           "\"manual\"}]}, {}]}");
    const struct result answer = recover(fixture, "rollback");
    assert_result(answer, RESULT_OK);
    assert_string_equal(fixture_text(fixture, answer, "previous_phase"), "active");
    assert_string_equal(fixture_text(fixture, answer, "new_phase"), "rolled_back");
    assert_string_equal(fixture_text(fixture, answer, "message"), "no node had activated the artifact");
    assert_string_equal(plan_at(fixture, "stages.0.stage_phase"), "rolled_back");
    assert_string_equal(plan_at(fixture, "stages.1.stage_phase"), "rolled_back");
    assert_string_equal(plan_at(fixture, "stages.2.stage_phase"), "pending");
    const struct audit_filter filter = {.event_type = "rollout.recovered"};
    const struct fixture_records *rows = fixture_records(fixture, &filter);
    assert_int_equal(rows->count, 1);
    assert_string_equal(fixture_field(&rows->rows[0], "previous_phase"), "active");
    assert_string_equal(fixture_field(&rows->rows[0], "new_phase"), "rolled_back");
    assert_string_equal(fixture_field(&rows->rows[0], "strategy"), "rollback");
    assert_string_equal(rows->rows[0].reason, "because");
}

/* Goal: rollback ends a paused plan, and one with a halted stage, which stays halted.
 * Method: pause, halt, roll back. */
static void rollback_ends_a_paused_plan(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, PLAN_TWO);
    verb(fixture, "pause");
    run(fixture, "rollout.halt", "{\"plan_id\": \"p\", \"reason\": \"bad\"}");
    const struct result answer = recover(fixture, "rollback");
    assert_string_equal(fixture_text(fixture, answer, "previous_phase"), "paused");
    assert_string_equal(phase(fixture), "rolled_back");
    assert_string_equal(plan_at(fixture, "stages.0.stage_phase"), "halted");
}

static void create_waiting(struct fixture *fixture)
{
    char start[TIME_TEXT_BYTES];
    time_format(fixture->log->wall_ms + HOUR_MS, start);
    assert_result(run(fixture, "rollout.create",
                      "{\"plan_id\": \"p\", " ARTIFACT
                      ", \"stages\": [{}], \"publish\": true, \"start_at\": \"%s\"}",
                      start),
                  RESULT_CREATED);
}

/* Goal: rollback ends a published plan, which then never starts.
 * Method: roll back before start_at; tick after it. */
static void rollback_ends_a_published_plan(void **state)
{
    struct fixture *fixture = *state;
    create_waiting(fixture);
    const struct result answer = recover(fixture, "rollback");
    assert_string_equal(fixture_text(fixture, answer, "previous_phase"), "published");
    pass_time(fixture, 2 * HOUR_MS);
    tick(fixture);
    assert_string_equal(phase(fixture), "rolled_back");
    assert_string_equal(plan_at(fixture, "stages.0.stage_phase"), "pending");
}

/* Goal: cancel ends a draft and a published plan.
 * Method: one of each. */
static void cancel_ends_what_has_not_begun(void **state)
{
    struct fixture *fixture = *state;
    create_draft(fixture);
    const struct result answer = verb(fixture, "cancel");
    assert_string_equal(fixture_text(fixture, answer, "previous_phase"), "draft");
    assert_string_equal(fixture_text(fixture, answer, "new_phase"), "cancelled");
    assert_int_equal(records(fixture, "rollout.plan.cancelled"), 1);
}

static void cancel_ends_a_published_plan(void **state)
{
    struct fixture *fixture = *state;
    create_waiting(fixture);
    assert_result(verb(fixture, "cancel"), RESULT_OK);
    pass_time(fixture, 2 * HOUR_MS);
    tick(fixture);
    assert_string_equal(phase(fixture), "cancelled");
}

/* Goal: an active or paused plan can be cancelled while no node has activated; its open stage is halted.
 * Method: a node that was offered, and one that failed. */
static void cancel_ends_an_active_plan_without_activations(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, PLAN_MANUAL);
    report(fixture, "edge-1", "offered");
    report(fixture, "edge-2", "failed");
    verb(fixture, "pause");
    assert_result(verb(fixture, "cancel"), RESULT_OK);
    assert_string_equal(phase(fixture), "cancelled");
    assert_string_equal(plan_at(fixture, "stages.0.stage_phase"), "halted");
}

/* Goal: once a node has activated, cancel is refused and names the way out, even after that node failed.
 * Method: activated; then failed; from active and from paused. */
static void cancel_is_refused_after_an_activation(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, PLAN_MANUAL);
    report(fixture, "edge-1", "activated");
    const struct result answer = verb(fixture, "cancel");
    assert_result(answer, RESULT_PLAN_ACTIVATED);
    assert_non_null(strstr(fixture_text(fixture, answer, "detail"), "rollback"));
    report(fixture, "edge-1", "failed");
    assert_result(verb(fixture, "cancel"), RESULT_PLAN_ACTIVATED);
    verb(fixture, "pause");
    assert_result(verb(fixture, "cancel"), RESULT_PLAN_ACTIVATED);
    assert_string_equal(phase(fixture), "paused");
    assert_int_equal(fixture_count(fixture, "rollout.plan.cancelled", AUDIT_DENIED), 3);
}

/* Goal: a refused attempt on a terminal plan names the phase and leaves a denied record.
 * Method: rollback twice. */
static void second_rollback_is_refused_and_recorded(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, PLAN_MANUAL);
    recover(fixture, "rollback");
    const struct result again = recover(fixture, "rollback");
    assert_result(again, RESULT_PLAN_TERMINAL);
    assert_string_equal(fixture_text(fixture, again, "detail"),
                        "plan \"p\" is rolled_back; a terminal plan can't be rolled back");
    assert_string_equal(fixture_text(fixture, again, "phase"), "rolled_back");
    assert_int_equal(again.audit_seq, fixture_describe(fixture).audit_seq);
    const struct audit_filter filter = {.event_type = "rollout.recovered", .outcome = "denied"};
    const struct fixture_records *rows = fixture_records(fixture, &filter);
    assert_int_equal(rows->count, 1);
    assert_string_equal(rows->rows[0].actor, "oncall@example.com");
    assert_string_equal(rows->rows[0].reason, "because");
    assert_string_equal(rows->rows[0].resource, "p");
}

/* Goal: a verb on a plan that isn't there is refused; a terminal one leaves a denied record.
 * Method: every verb. */
static void unknown_plan_is_refused(void **state)
{
    struct fixture *fixture = *state;
    static const char *const verbs[] = {"publish", "pause", "resume", "cancel"};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        assert_result(verb(fixture, verbs[i]), RESULT_PLAN_NOT_FOUND);
    assert_result(run(fixture, "rollout.halt", "{\"plan_id\": \"p\", \"reason\": \"bad\"}"),
                  RESULT_PLAN_NOT_FOUND);
    assert_result(recover(fixture, "retry"), RESULT_PLAN_NOT_FOUND);
    assert_result(approve(fixture, "one"), RESULT_PLAN_NOT_FOUND);
    assert_result(run(fixture, "rollout.evaluate", "{\"plan_id\": \"p\", \"stage_id\": \"one\"}"),
                  RESULT_PLAN_NOT_FOUND);
    assert_result(report(fixture, "edge-1", "activated"), RESULT_PLAN_NOT_FOUND);
    assert_int_equal(fixture_count(fixture, "rollout.plan.cancelled", AUDIT_DENIED), 1);
    assert_int_equal(fixture_count(fixture, "rollout.stage.halted", AUDIT_DENIED), 1);
    assert_int_equal(fixture_count(fixture, "rollout.recovered", AUDIT_DENIED), 1);
}

/* Goal: a request id that comes twice creates one plan and answers the same.
 * Method: create with an id, twice. */
static void repeated_create_is_one_plan(void **state)
{
    struct fixture *fixture = *state;
    const struct result first = fixture_run_as(fixture, "rollout.create", "ann", "req-1", PLAN_TWO);
    const char *body = fixture_copy(fixture, fixture_json_text(first.body));
    const struct result second = fixture_run_as(fixture, "rollout.create", "ann", "req-1", PLAN_TWO);
    assert_result(second, RESULT_CREATED);
    assert_true(second.repeated);
    assert_string_equal(fixture_json_text(second.body), body);
    assert_int_equal(records(fixture, "rollout.plan.created"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plan_test(created_plan_is_a_draft),
        plan_test(publish_opens_the_first_stage),
        plan_test(published_lasts_until_start_at),
        plan_test(start_at_in_the_past_starts_at_once),
        plan_test(promotion_opens_the_next_and_completes_after_the_last),
        plan_test(stages_without_gates_are_passed_at_once),
        plan_test(pause_and_resume_go_back_and_forth),
        plan_test(halt_ends_the_stage_and_keeps_the_plan),
        plan_test(paused_plan_is_halted_and_skipped),
        plan_test(halt_is_idempotent),
        plan_test(only_the_open_stage_is_halted),
        plan_test(halted_stage_never_resumes),
        plan_test(retry_activates_and_looks_at_gates_anew),
        plan_test(skip_failed_forces_the_stage),
        plan_test(skip_failed_leaves_a_halted_stage_behind),
        plan_test(rollback_ends_an_active_plan),
        plan_test(rollback_ends_a_paused_plan),
        plan_test(rollback_ends_a_published_plan),
        plan_test(cancel_ends_what_has_not_begun),
        plan_test(cancel_ends_a_published_plan),
        plan_test(cancel_ends_an_active_plan_without_activations),
        plan_test(cancel_is_refused_after_an_activation),
        plan_test(second_rollback_is_refused_and_recorded),
        plan_test(unknown_plan_is_refused),
        plan_test(repeated_create_is_one_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
