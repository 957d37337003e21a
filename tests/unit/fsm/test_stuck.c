/* Stalls: found once each, by the tick and by a GET. */
#include "support/plan_fixture.h"

static void create(struct fixture *fixture)
{
    assert_result(fixture_run(fixture, "rollout.create", PLAN_TWO), RESULT_CREATED);
}

static uint32_t found(struct fixture *fixture)
{
    return fixture_count(fixture, "rollout.stuck.detected", AUDIT_SUCCESS);
}

/* The rows of GET /v1/rollouts/stuck; the caller lets go. */
static json_t *stuck(struct fixture *fixture, uint64_t threshold_ms)
{
    struct error error = {0};
    json_t *json = NULL;
    struct view *view = view_open(fixture->fsm);
    assert_int_equal(view_stuck(view, threshold_ms, fixture->log->wall_ms, &json, &error), ERROR_OK);
    view_close(view);
    return json;
}

static size_t stuck_count(struct fixture *fixture, uint64_t threshold_ms)
{
    json_t *json = stuck(fixture, threshold_ms);
    const size_t count = json_array_size(json_object_get(json, "stuck_plans"));
    json_decref(json);
    return count;
}

/* Goal: a plan that stood still for the threshold is recorded once, however many ticks follow.
 * Method: tick just before the hour, at it, and an hour later. */
static void stall_is_recorded_once(void **state)
{
    struct fixture *fixture = *state;
    create(fixture);
    assert_int_equal(next_deadline(fixture), fixture->log->wall_ms + HOUR_MS);
    pass_time(fixture, HOUR_MS - 1);
    tick(fixture);
    assert_int_equal(found(fixture), 0);
    pass_time(fixture, 1);
    tick(fixture);
    assert_int_equal(found(fixture), 1);
    assert_int_equal(next_deadline(fixture), 0);
    pass_time(fixture, HOUR_MS);
    tick(fixture);
    assert_int_equal(found(fixture), 1);
    const struct audit_filter filter = {.event_type = "rollout.stuck.detected"};
    const struct fixture_records *rows = fixture_records(fixture, &filter);
    assert_string_equal(fixture_field(&rows->rows[0], "stuck_reason"),
                        "stage one waits for manual (waits for approval)");
    assert_string_equal(fixture_field(&rows->rows[0], "phase"), "active");
}

/* Goal: what moves a plan ends its stall; the next one is recorded again.
 * Method: an activation, a promotion, a retry, each after a recorded stall. */
static void next_stall_is_recorded_again(void **state)
{
    struct fixture *fixture = *state;
    create(fixture);
    for (uint32_t i = 1; i <= 4; i++) {
        pass_time(fixture, HOUR_MS);
        tick(fixture);
        assert_int_equal(found(fixture), i);
        if (i == 1)
            report(fixture, "edge-1", "activated");
        if (i == 2)
            approve(fixture, "one");
        if (i == 3)
            recover(fixture, "retry");
    }
}

/* Goal: offers and failures are no movement: a stage that only fails is stuck.
 * Method: both within the hour. */
static void failures_move_no_plan(void **state)
{
    struct fixture *fixture = *state;
    create(fixture);
    pass_time(fixture, HOUR_MS / 2);
    report(fixture, "edge-1", "offered");
    report(fixture, "edge-1", "failed");
    pass_time(fixture, HOUR_MS / 2);
    tick(fixture);
    assert_int_equal(found(fixture), 1);
}

/* Goal: paused and terminal plans are never stuck, however old.
 * Method: a paused plan for a day, then rolled back for another. */
static void paused_and_terminal_plans_are_never_stuck(void **state)
{
    struct fixture *fixture = *state;
    create(fixture);
    verb(fixture, "pause");
    pass_time(fixture, 24 * HOUR_MS);
    tick(fixture);
    assert_int_equal(stuck_count(fixture, 1), 0);
    recover(fixture, "rollback");
    pass_time(fixture, 24 * HOUR_MS);
    tick(fixture);
    assert_int_equal(stuck_count(fixture, 1), 0);
    assert_int_equal(found(fixture), 0);
}

/* Goal: a published plan counts too, and says what it waits for.
 * Method: start_at tomorrow. */
static void published_plan_can_be_stuck(void **state)
{
    struct fixture *fixture = *state;
    char start[TIME_TEXT_BYTES];
    time_format(fixture->log->wall_ms + 24 * HOUR_MS, start);
    run(fixture, "rollout.create",
        "{\"plan_id\": \"p\", \"artifact\": {\"name\": \"app\", \"version\": \"2\"}, \"stages\": [{}], "
        "\"publish\": true, "
        "\"start_at\": \"%s\"}",
        start);
    pass_time(fixture, HOUR_MS);
    json_t *json = stuck(fixture, HOUR_MS);
    assert_string_equal(json_string_value(json_at(json, "stuck_plans.0.phase")), "published");
    assert_non_null(
        strstr(json_string_value(json_at(json, "stuck_plans.0.stuck_reason")), "waits for its start"));
    json_decref(json);
}

/* Goal: a GET looks with the time that it is given, tells the same row before and after the record, and
 * records nothing. Method: view below and at the threshold, tick, view again. */
static void get_looks_only(void **state)
{
    struct fixture *fixture = *state;
    create(fixture);
    pass_time(fixture, HOUR_MS);
    const uint64_t seq = fixture_describe(fixture).audit_seq;
    assert_int_equal(stuck_count(fixture, HOUR_MS + 1), 0);
    json_t *before = stuck(fixture, HOUR_MS);
    assert_int_equal(json_array_size(json_object_get(before, "stuck_plans")), 1);
    assert_string_equal(json_string_value(json_at(before, "stuck_plans.0.plan_id")), "p");
    assert_string_equal(json_string_value(json_at(before, "stuck_plans.0.current_stage_id")), "one");
    assert_string_equal(json_string_value(json_at(before, "stuck_plans.0.stuck_since")),
                        "2026-01-01T00:00:00.000Z");
    assert_int_equal(fixture_describe(fixture).audit_seq, seq);
    tick(fixture);
    json_t *after = stuck(fixture, HOUR_MS);
    assert_true(json_equal(before, after));
    json_decref(before);
    json_decref(after);
}

/* Goal: a plan that keeps moving is looked at once an hour, not at every move, and is stuck an hour after its
 * last one. Method: an activation after half an hour; its place in the queue stays until a tick meets it. */
static void moving_plan_is_filed_anew_when_due(void **state)
{
    struct fixture *fixture = *state;
    create(fixture);
    const uint64_t start = fixture->log->wall_ms;
    pass_time(fixture, HOUR_MS / 2);
    report(fixture, "edge-1", "activated");
    assert_int_equal(next_deadline(fixture), start + HOUR_MS);
    assert_int_equal(stuck_count(fixture, 1), 0);
    pass_time(fixture, HOUR_MS / 2);
    assert_int_equal(stuck_count(fixture, HOUR_MS), 0);
    tick(fixture);
    assert_int_equal(found(fixture), 0);
    assert_int_equal(next_deadline(fixture), start + HOUR_MS / 2 * 3);
    pass_time(fixture, HOUR_MS / 2);
    tick(fixture);
    assert_int_equal(found(fixture), 1);
    assert_int_equal(next_deadline(fixture), 0);
}

/* Goal: one tick records no more than its bound; the next goes on where it stopped.
 * Method: ten more plans than the bound. */
static void one_tick_has_a_bound(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t plans = PLAN_TICK_STUCK_MAX + 10;
    for (uint32_t i = 0; i < plans; i++)
        assert_result(run(fixture, "rollout.create",
                          "{\"plan_id\": \"q%u\", \"artifact\": {\"name\": \"app\", \"version\": \"2\"}, "
                          "\"publish\": true, "
                          "\"stages\": [{\"gates\": [{\"kind\": \"manual\"}]}]}",
                          i),
                      RESULT_CREATED);
    pass_time(fixture, HOUR_MS);
    tick(fixture);
    assert_int_equal(found(fixture), PLAN_TICK_STUCK_MAX);
    assert_true(next_deadline(fixture) <= fixture->log->wall_ms);
    assert_int_equal(stuck_count(fixture, HOUR_MS), plans);
    tick(fixture);
    assert_int_equal(found(fixture), plans);
    assert_int_equal(next_deadline(fixture), 0);
}

/* Goal: the same holds for plans whose time has come.
 * Method: ten more soaks than the bound, all over at once. */
static void one_tick_promotes_a_bounded_number(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t plans = PLAN_TICK_PLANS_MAX + 10;
    for (uint32_t i = 0; i < plans; i++)
        run(fixture, "rollout.create",
            "{\"plan_id\": \"q%u\", \"artifact\": {\"name\": \"app\", \"version\": \"2\"}, \"publish\": "
            "true, \"stages\": "
            "[{\"gates\": [{\"kind\": \"time_soak\", \"seconds\": 5}]}]}",
            i);
    pass_time(fixture, 5000);
    tick(fixture);
    assert_int_equal(fixture_count(fixture, "rollout.plan.completed", AUDIT_SUCCESS), PLAN_TICK_PLANS_MAX);
    assert_int_equal(next_deadline(fixture), fixture->log->wall_ms);
    tick(fixture);
    assert_int_equal(fixture_count(fixture, "rollout.plan.completed", AUDIT_SUCCESS), plans);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plan_test(stall_is_recorded_once),
        plan_test(next_stall_is_recorded_again),
        plan_test(failures_move_no_plan),
        plan_test(paused_and_terminal_plans_are_never_stuck),
        plan_test(published_plan_can_be_stuck),
        plan_test(get_looks_only),
        plan_test(moving_plan_is_filed_anew_when_due),
        plan_test(one_tick_has_a_bound),
        plan_test(one_tick_promotes_a_bounded_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
