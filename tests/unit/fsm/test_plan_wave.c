/* The revert wave: who is brought back after a rollback, how fast, and what is told of it. */
#include "support/plan_fixture.h"

#define ARTIFACT "\"artifact\": {\"name\": \"app\", \"version\": \"2\", \"previous_version\": \"1\"}"
#define MANUAL   "\"gates\": [{\"kind\": \"manual\"}]"
#define ONE      "{\"stage_id\": \"one\", " MANUAL "}"
#define AB_STAGES                                                                                            \
    "{\"stage_id\": \"a\", \"target\": {\"nodes\": [\"a1\", \"a2\"]}, " MANUAL "}, "                         \
    "{\"stage_id\": \"b\", \"target\": {\"nodes\": [\"b1\"]}, " MANUAL "}"

static void create(struct fixture *fixture, const char *stages)
{
    assert_result(run(fixture, "rollout.create",
                      "{\"plan_id\": \"p\", " ARTIFACT ", \"publish\": true, \"stages\": [%s]}", stages),
                  RESULT_CREATED);
}

static struct result roll_back(struct fixture *fixture, const char *pace, const char *policy)
{
    return run(
        fixture, "rollout.recover",
        "{\"plan_id\": \"p\", \"strategy\": \"rollback\", \"reason\": \"bad\", \"pace\": \"%s\", \"policy\": "
        "\"%s\"}",
        pace, policy);
}

/* A node's state as the plan's description has it. */
static const char *node_state(struct fixture *fixture, const char *node_id)
{
    json_t *plan = plan_get(fixture, "p"), *node;
    const char *found = "missing";
    size_t i;
    json_array_foreach(json_object_get(plan, "nodes"), i, node)
    {
        if (strcmp(json_string_value(json_object_get(node, "node_id")), node_id) == 0)
            found = fixture_copy(fixture, json_string_value(json_object_get(node, "state")));
    }
    json_decref(plan);
    return found;
}

/* Goal: after a rollback every node that had activated is offered the previous version, and no other.
 * Method: one node in each state before the rollback. */
static void rollback_offers_the_previous_version_to_activated_nodes(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, ONE);
    report(fixture, "active", "activated");
    report(fixture, "offered", "offered");
    report(fixture, "failed", "failed");
    report(fixture, "broke", "activated");
    report(fixture, "broke", "failed");
    const struct result answer = recover(fixture, "rollback");
    assert_string_equal(
        fixture_text(fixture, answer, "message"),
        "version 1 is back on 0 of 2 nodes; 2 have not answered yet, 0 wait for the offer, 0 failed");
    assert_string_equal(node_state(fixture, "active"), "revert_offered");
    assert_string_equal(node_state(fixture, "broke"), "revert_offered");
    assert_string_equal(node_state(fixture, "offered"), "offered");
    assert_string_equal(node_state(fixture, "failed"), "failed");
    assert_string_equal(plan_at(fixture, "revert.state"), "running");
    assert_string_equal(plan_at(fixture, "revert.version"), "1");
}

/* Goal: the wave is over when every node has answered; the trail tells of it once, with counts.
 * Method: two reverted, one revert_failed that succeeds later. */
static void wave_ends_when_all_have_answered(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, ONE);
    report(fixture, "x", "activated");
    report(fixture, "y", "activated");
    report(fixture, "z", "activated");
    recover(fixture, "rollback");
    report(fixture, "x", "reverted");
    report(fixture, "y", "reverted");
    assert_string_equal(plan_at(fixture, "revert.state"), "running");
    assert_int_equal(fixture_count(fixture, "rollout.node.reverted", AUDIT_SUCCESS), 0);
    report(fixture, "z", "revert_failed");
    assert_string_equal(plan_at(fixture, "revert.state"), "done");
    assert_string_equal(plan_at(fixture, "revert.converged"), "false");
    assert_string_equal(plan_at(fixture, "revert.failed"), "1");
    const struct audit_filter filter = {.event_type = "rollout.node.reverted"};
    const struct fixture_records *rows = fixture_records(fixture, &filter);
    assert_int_equal(rows->count, 1);
    assert_string_equal(fixture_field(&rows->rows[0], "nodes"), "2");
    assert_string_equal(fixture_field(&rows->rows[0], "failed"), "1");
    report(fixture, "z", "reverted");
    assert_string_equal(plan_at(fixture, "revert.converged"), "true");
    assert_string_equal(plan_at(fixture, "revert.reverted"), "3");
}

/* Goal: a node that was on its way when the plan was rolled back is brought back as soon as it tells.
 * Method: offered before, activated after the rollback, when the wave was over. */
static void late_activation_is_brought_back(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, ONE);
    report(fixture, "late", "offered");
    recover(fixture, "rollback");
    assert_string_equal(plan_at(fixture, "revert.state"), "done");
    const struct result answer = report(fixture, "late", "activated");
    assert_result(answer, RESULT_OK);
    assert_string_equal(fixture_text(fixture, answer, "state"), "revert_offered");
    assert_string_equal(plan_at(fixture, "revert.state"), "running");
    assert_string_equal(plan_at(fixture, "revert.nodes"), "1");
    report(fixture, "late", "reverted");
    assert_string_equal(plan_at(fixture, "revert.state"), "done");
    assert_result(report(fixture, "late", "activated"), RESULT_NODE_STATE);
}

/* Goal: the same for a node that the wave has passed already, in the order of names.
 * Method: m is brought back first; then a, then z tell late. */
static void late_activation_behind_the_wave_is_brought_back(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, ONE);
    report(fixture, "a", "offered");
    report(fixture, "m", "activated");
    report(fixture, "z", "offered");
    recover(fixture, "rollback");
    assert_string_equal(node_state(fixture, "m"), "revert_offered");
    report(fixture, "a", "activated");
    assert_string_equal(node_state(fixture, "a"), "revert_offered");
    report(fixture, "z", "activated");
    assert_string_equal(node_state(fixture, "z"), "revert_offered");
    assert_string_equal(plan_at(fixture, "revert.nodes"), "3");
}

/* Goal: policy keep offers nothing and says so.
 * Method: roll back with it; a late activation changes nothing about it. */
static void keep_leaves_nodes_as_they_are(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, ONE);
    report(fixture, "x", "activated");
    report(fixture, "y", "offered");
    const struct result answer = roll_back(fixture, "immediate", "keep");
    assert_string_equal(fixture_text(fixture, answer, "message"), "version 2 stays on 1 node, as asked for");
    report(fixture, "y", "activated");
    assert_string_equal(node_state(fixture, "x"), "activated");
    assert_string_equal(node_state(fixture, "y"), "activated");
    assert_string_equal(plan_at(fixture, "revert.state"), "kept");
    assert_int_equal(next_deadline(fixture), 0);
    assert_result(report(fixture, "x", "revert_offered"), RESULT_NODE_STATE);
}

/* Goal: a plan that names no previous version brings nobody back, and says why.
 * Method: such a plan, one activation, rollback. */
static void without_a_previous_version_nodes_keep_what_they_run(void **state)
{
    struct fixture *fixture = *state;
    assert_result(
        run(fixture, "rollout.create",
            "{\"plan_id\": \"p\", \"artifact\": {\"name\": \"app\", \"version\": \"2\"}, \"publish\": true, "
            "\"stages\": [" ONE "]}"),
        RESULT_CREATED);
    report(fixture, "x", "activated");
    const struct result answer = recover(fixture, "rollback");
    assert_result(answer, RESULT_OK);
    assert_string_equal(fixture_text(fixture, answer, "message"),
                        "the plan names no artifact.previous_version, so version 2 stays on 1 node");
    assert_string_equal(plan_at(fixture, "revert.state"), "no_target");
    assert_string_equal(plan_at(fixture, "revert.policy"), "keep");
    assert_string_equal(node_state(fixture, "x"), "activated");
}

/* Goal: the staged pace brings back one stage after the other, the next when the last has answered.
 * Method: two stages and a node outside of both. */
static void staged_pace_goes_stage_by_stage(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, AB_STAGES);
    report(fixture, "a1", "activated");
    report(fixture, "a2", "activated");
    report(fixture, "b1", "activated");
    report(fixture, "outside", "activated");
    roll_back(fixture, "staged", "revert");
    assert_string_equal(node_state(fixture, "a1"), "revert_offered");
    assert_string_equal(node_state(fixture, "a2"), "revert_offered");
    assert_string_equal(node_state(fixture, "b1"), "activated");
    assert_int_equal(next_deadline(fixture), 0);
    report(fixture, "a1", "reverted");
    assert_string_equal(node_state(fixture, "b1"), "activated");
    report(fixture, "a2", "revert_failed");
    assert_string_equal(node_state(fixture, "b1"), "revert_offered");
    assert_string_equal(node_state(fixture, "outside"), "activated");
    report(fixture, "b1", "reverted");
    assert_string_equal(node_state(fixture, "outside"), "revert_offered");
    report(fixture, "outside", "reverted");
    assert_string_equal(plan_at(fixture, "revert.state"), "done");
}

/* Goal: a node that comes back by itself before its offer counts as reverted.
 * Method: staged pace; a node of the second stage reports first. */
static void early_return_counts(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, AB_STAGES);
    report(fixture, "a1", "activated");
    report(fixture, "b1", "activated");
    roll_back(fixture, "staged", "revert");
    assert_result(report(fixture, "b1", "reverted"), RESULT_OK);
    report(fixture, "a1", "reverted");
    assert_string_equal(plan_at(fixture, "revert.state"), "done");
    assert_string_equal(plan_at(fixture, "revert.reverted"), "2");
}

/* Goal: one entry offers to no more nodes than its bound; ticks go on until all have their offer.
 * Method: two bounds and a bit more of activated nodes. */
static void wave_is_bounded_per_entry(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t nodes = 2 * PLAN_WAVE_NODES_MAX + 40;
    char node[32];
    create(fixture, ONE);
    for (uint32_t i = 0; i < nodes; i++) {
        snprintf(node, sizeof node, "edge-%04u", i);
        fixture_append_command(
            fixture->log, "rollout.node", "agent", "",
            arena_printf(&fixture->arena,
                         "{\"plan_id\": \"p\", \"node_id\": \"%s\", \"state\": \"activated\"}", node));
    }
    fixture_apply(fixture, nodes);
    recover(fixture, "rollback");
    char offered[16];
    for (uint32_t i = 1; i <= 3; i++) {
        const uint32_t wanted = i * PLAN_WAVE_NODES_MAX < nodes ? i * PLAN_WAVE_NODES_MAX : nodes;
        snprintf(offered, sizeof offered, "%u", wanted);
        assert_string_equal(plan_at(fixture, "revert.offered"), offered);
        assert_int_equal(next_deadline(fixture), i < 3 ? fixture->log->wall_ms : 0);
        tick(fixture);
    }
    snprintf(offered, sizeof offered, "%u", nodes);
    assert_string_equal(plan_at(fixture, "revert.offered"), offered);
    assert_string_equal(plan_at(fixture, "revert.waiting"), "0");
}

/* Goal: several waves share one tick's bound.
 * Method: two plans rolled back with 200 nodes waiting each beyond their first batch. */
static void waves_share_a_tick(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t nodes = PLAN_WAVE_NODES_MAX + 200;
    for (char plan = 'q'; plan <= 'r'; plan++) {
        run(fixture, "rollout.create",
            "{\"plan_id\": \"%c\", " ARTIFACT ", \"publish\": true, \"stages\": [" ONE "]}", plan);
        for (uint32_t i = 0; i < nodes; i++)
            fixture_append_command(
                fixture->log, "rollout.node", "agent", "",
                arena_printf(&fixture->arena,
                             "{\"plan_id\": \"%c\", \"node_id\": \"n%u\", \"state\": \"activated\"}", plan,
                             i));
        fixture_apply(fixture, nodes);
        run(fixture, "rollout.recover",
            "{\"plan_id\": \"%c\", \"strategy\": \"rollback\", \"reason\": \"bad\"}", plan);
    }
    struct kv *kv = store_kv(fsm_store(fixture->fsm));
    assert_int_equal(count_keys(kv, 'N'), 400);
    tick(fixture);
    assert_int_equal(count_keys(kv, 'N'), 400 - PLAN_WAVE_NODES_MAX);
    assert_true(next_deadline(fixture) != 0 && next_deadline(fixture) <= fixture->log->wall_ms);
    tick(fixture);
    assert_int_equal(count_keys(kv, 'N'), 0);
    assert_int_equal(next_deadline(fixture), 0);
}

/* Goal: a revert is reported only where there is one.
 * Method: reverted while the plan is active; a foreign version afterwards. */
static void reverts_belong_to_a_rollback(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, ONE);
    report(fixture, "x", "activated");
    assert_result(report(fixture, "x", "reverted"), RESULT_PLAN_PHASE);
    recover(fixture, "rollback");
    assert_result(
        run(fixture, "rollout.node",
            "{\"plan_id\": \"p\", \"node_id\": \"x\", \"state\": \"reverted\", \"version\": \"2\"}"),
        RESULT_NODE_STATE);
    assert_result(
        run(fixture, "rollout.node",
            "{\"plan_id\": \"p\", \"node_id\": \"x\", \"state\": \"reverted\", \"version\": \"1\"}"),
        RESULT_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plan_test(rollback_offers_the_previous_version_to_activated_nodes),
        plan_test(wave_ends_when_all_have_answered),
        plan_test(late_activation_is_brought_back),
        plan_test(late_activation_behind_the_wave_is_brought_back),
        plan_test(keep_leaves_nodes_as_they_are),
        plan_test(without_a_previous_version_nodes_keep_what_they_run),
        plan_test(staged_pace_goes_stage_by_stage),
        plan_test(early_return_counts),
        plan_test(wave_is_bounded_per_entry),
        plan_test(waves_share_a_tick),
        plan_test(reverts_belong_to_a_rollback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
