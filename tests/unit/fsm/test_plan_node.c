/* Nodes: which stage has them, what they may report, and what the trail tells of them. */
#include "support/plan_fixture.h"

#define ARTIFACT "\"artifact\": {\"name\": \"app\", \"version\": \"2\", \"previous_version\": \"1\"}"
#define MANUAL   "\"gates\": [{\"kind\": \"manual\"}]"

static void create(struct fixture *fixture, const char *stages)
{
    assert_result(run(fixture, "rollout.create",
                      "{\"plan_id\": \"p\", " ARTIFACT ", \"publish\": true, \"stages\": [%s]}", stages),
                  RESULT_CREATED);
}

/* Goal: a node's place in a cohort is the same for ever: another build or day must not choose other nodes.
 * Method: values computed elsewhere (the first eight bytes of SHA-256("plan\0node") as a big-endian integer,
 * modulo a million). */
static void cohort_is_stable(void **state)
{
    (void)state;
    assert_int_equal(plan_cohort_ppm("checkout-2.4.1", "edge-1"), 343309);
    assert_int_equal(plan_cohort_ppm("checkout-2.4.1", "edge-2"), 469755);
    assert_int_equal(plan_cohort_ppm("p", "edge-1"), 633260);
    assert_int_equal(plan_cohort_ppm("pe", "dge-1"), 468281);
    assert_int_equal(plan_cohort_ppm("plan-1f", "a.b_c-9"), 666489);
}

/* Goal: a percentage takes about that share, and a larger one takes the same nodes and more.
 * Method: 10,000 names at 5 and 25 %. */
static void cohort_has_its_share(void **state)
{
    (void)state;
    uint32_t five = 0, quarter = 0;
    char node[32];
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(node, sizeof node, "edge-%u", i);
        const uint32_t ppm = plan_cohort_ppm("checkout-2.4.1", node);
        assert_true(ppm < 1000000);
        five += ppm < 50000;
        quarter += ppm < 250000;
    }
    assert_in_range(five, 400, 600);
    assert_in_range(quarter, 2300, 2700);
}

/* Goal: a percentage's nodes go to the first stage that has them.
 * Method: three stages; every node's stage follows from its hash. */
static void percent_stages_take_nodes_by_hash(void **state)
{
    struct fixture *fixture = *state;
    char node[32];
    uint32_t seen[3] = {0};
    create(fixture, "{\"stage_id\": \"0\", \"target\": {\"percent\": 20}, " MANUAL
                    "}, {\"stage_id\": \"1\", \"target\": "
                    "{\"percent\": 60}, " MANUAL
                    "}, {\"stage_id\": \"2\", \"target\": {\"percent\": 100}, " MANUAL "}");
    for (unsigned i = 0; i < 30; i++) {
        snprintf(node, sizeof node, "edge-%u", i);
        const uint32_t ppm = plan_cohort_ppm("p", node);
        const unsigned wanted = ppm < 200000 ? 0 : ppm < 600000 ? 1 : 2;
        const struct result answer = report(fixture, node, "activated");
        assert_int_equal(fixture_text(fixture, answer, "stage_id")[0], '0' + (int)wanted);
        seen[wanted]++;
    }
    assert_true(seen[0] > 0 && seen[1] > 0 && seen[2] > 0);
}

/* Goal: a label selector takes nodes whose labels all match; the labels of the enrolling report stay.
 * Method: matching, half matching, none; then a report without labels. */
static void label_stages_take_matching_nodes(void **state)
{
    struct fixture *fixture = *state;
    create(fixture,
           "{\"stage_id\": \"lab\", \"target\": {\"labels\": {\"site\": \"lab\", \"arch\": \"arm\"}}, " MANUAL
           "}");
    const char *format =
        "{\"plan_id\": \"p\", \"node_id\": \"%s\", \"state\": \"activated\", \"labels\": {%s}}";
    assert_string_equal(body_at(fixture,
                                run(fixture, "rollout.node", format, "a",
                                    "\"site\": \"lab\", \"arch\": \"arm\", \"rack\": \"7\""),
                                "stage_id"),
                        "\"lab\"");
    assert_string_equal(
        body_at(fixture, run(fixture, "rollout.node", format, "b", "\"site\": \"lab\""), "stage_id"), "null");
    assert_string_equal(body_at(fixture, report(fixture, "c", "activated"), "stage_id"), "null");
    assert_string_equal(body_at(fixture, report(fixture, "a", "failed"), "stage_id"), "\"lab\"");
    assert_string_equal(plan_at(fixture, "stages.0.nodes.failed"), "1");
}

/* Goal: publishing enrols the nodes that stages name; a node that two stages name belongs to the first.
 * Method: overlapping lists; the draft has none yet. */
static void listed_nodes_are_enrolled_at_publish(void **state)
{
    struct fixture *fixture = *state;
    assert_result(
        run(fixture, "rollout.create",
            "{\"plan_id\": \"p\", " ARTIFACT ", \"stages\": [{\"stage_id\": \"a\", \"target\": {\"nodes\": "
            "[\"x\", \"y\"]}, " MANUAL "}, {\"stage_id\": \"b\", \"target\": {\"nodes\": [\"y\", \"z\"]}}]}"),
        RESULT_CREATED);
    assert_string_equal(plan_at(fixture, "nodes_total"), "0");
    verb(fixture, "publish");
    assert_string_equal(plan_at(fixture, "nodes_total"), "3");
    assert_string_equal(plan_at(fixture, "stages.0.nodes.pending"), "2");
    assert_string_equal(plan_at(fixture, "stages.1.nodes.pending"), "1");
    assert_string_equal(plan_at(fixture, "nodes.1.node_id"), "y");
    assert_string_equal(plan_at(fixture, "nodes.1.stage_id"), "a");
}

/* Goal: a report from an unknown node enrols it.
 * Method: offered, then activated, then the plan's description. */
static void report_enrols_an_unknown_node(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, "{\"stage_id\": \"one\", " MANUAL "}");
    const struct result first = report(fixture, "edge-1", "offered");
    assert_string_equal(body_at(fixture, first, "enrolled"), "true");
    assert_string_equal(body_at(fixture, first, "previous_state"), "null");
    const struct result second =
        run(fixture, "rollout.node",
            "{\"plan_id\": \"p\", \"node_id\": \"edge-1\", \"state\": \"activated\", "
            "\"version\": \"2\", \"detail\": \"in 3 s\"}");
    assert_string_equal(body_at(fixture, second, "enrolled"), "false");
    assert_string_equal(body_at(fixture, second, "previous_state"), "\"offered\"");
    assert_string_equal(plan_at(fixture, "nodes.0.state"), "activated");
    assert_string_equal(plan_at(fixture, "nodes.0.version"), "2");
    assert_string_equal(plan_at(fixture, "nodes.0.detail"), "in 3 s");
}

/* Goal: the same report again changes nothing.
 * Method: activated twice, a second apart. */
static void repeated_report_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, "{\"stage_id\": \"one\", " MANUAL "}");
    report(fixture, "edge-1", "activated");
    const char *before = plan_at(fixture, "");
    pass_time(fixture, 1000);
    assert_result(report(fixture, "edge-1", "activated"), RESULT_OK);
    pass_time(fixture, 0 - UINT64_C(1000));
    assert_string_equal(plan_at(fixture, ""), before);
}

/* Goal: only a stage that is open or promoted offers; facts are taken all the same.
 * Method: a node of the pending stage is refused its offer, and its activation is taken. */
static void only_open_stages_offer(void **state)
{
    struct fixture *fixture = *state;
    create(fixture,
           "{\"stage_id\": \"a\", \"target\": {\"nodes\": [\"x\"]}, " MANUAL "}, {\"stage_id\": \"b\", "
           "\"target\": {\"nodes\": [\"y\"]}, " MANUAL "}");
    assert_result(report(fixture, "y", "offered"), RESULT_STAGE_PHASE);
    assert_result(report(fixture, "stranger", "offered"), RESULT_NODE_STATE);
    assert_string_equal(plan_at(fixture, "nodes_total"), "2");
    assert_result(report(fixture, "y", "activated"), RESULT_OK);
    approve(fixture, "a");
    assert_result(report(fixture, "x", "offered"), RESULT_OK);
    assert_result(report(fixture, "stranger", "activated"), RESULT_OK);
    assert_string_equal(plan_at(fixture, "nodes_total"), "3");
}

/* Goal: no offers while a plan is paused; what nodes have done counts.
 * Method: offered before the pause, answered in it. */
static void paused_plan_takes_answers_only(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, "{\"stage_id\": \"one\", " MANUAL "}");
    report(fixture, "edge-1", "offered");
    verb(fixture, "pause");
    assert_result(report(fixture, "edge-2", "offered"), RESULT_PLAN_PHASE);
    assert_result(report(fixture, "edge-1", "activated"), RESULT_OK);
    assert_string_equal(plan_at(fixture, "stages.0.nodes.activated"), "1");
}

/* Goal: a report about another version is no report of this plan.
 * Method: activated with a foreign version. */
static void foreign_version_is_refused(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, "{\"stage_id\": \"one\", " MANUAL "}");
    const struct result answer =
        run(fixture, "rollout.node",
            "{\"plan_id\": \"p\", \"node_id\": \"edge-1\", \"state\": \"activated\", "
            "\"version\": \"1\"}");
    assert_result(answer, RESULT_NODE_STATE);
    assert_string_equal(fixture_text(fixture, answer, "wanted_version"), "2");
    assert_string_equal(plan_at(fixture, "nodes_total"), "0");
}

/* Goal: the trail tells of nodes by wave, with counts: once nobody's answer is awaited, or when the stage
 * ends. Method: three offered, two activated, one failed; then one more whose answer never comes. */
static void nodes_are_recorded_by_wave(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, "{\"stage_id\": \"one\", " MANUAL
                    "}, {\"stage_id\": \"two\", \"target\": {\"nodes\": [\"none\"]}, " MANUAL "}");
    report(fixture, "a", "offered");
    report(fixture, "b", "offered");
    report(fixture, "c", "offered");
    report(fixture, "a", "activated");
    report(fixture, "b", "failed");
    assert_int_equal(fixture_count(fixture, "rollout.node.activated", AUDIT_SUCCESS), 0);
    report(fixture, "c", "activated");
    const struct audit_filter activated = {.event_type = "rollout.node.activated"};
    const struct fixture_records *rows = fixture_records(fixture, &activated);
    assert_int_equal(rows->count, 1);
    assert_string_equal(fixture_field(&rows->rows[0], "nodes"), "2");
    assert_string_equal(rows->rows[0].resource, "p/one");
    assert_int_equal(fixture_count(fixture, "rollout.node.failed", AUDIT_SUCCESS), 1);

    report(fixture, "d", "offered");
    report(fixture, "e", "offered");
    report(fixture, "d", "activated");
    assert_int_equal(fixture_count(fixture, "rollout.node.activated", AUDIT_SUCCESS), 1);
    approve(fixture, "one");
    assert_int_equal(fixture_count(fixture, "rollout.node.activated", AUDIT_SUCCESS), 2);
}

/* Goal: a completed plan goes on serving its nodes; a cancelled one only hears what they did.
 * Method: reports after both. */
static void ended_plans_hear_of_nodes(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, "{\"stage_id\": \"one\", " MANUAL "}");
    approve(fixture, "one");
    assert_string_equal(phase(fixture), "completed");
    assert_result(report(fixture, "edge-1", "offered"), RESULT_OK);
    assert_result(report(fixture, "edge-1", "activated"), RESULT_OK);
    assert_result(report(fixture, "edge-1", "reverted"), RESULT_PLAN_TERMINAL);
}

static void cancelled_plan_hears_facts(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, "{\"stage_id\": \"one\", " MANUAL "}");
    report(fixture, "edge-1", "offered");
    verb(fixture, "cancel");
    assert_result(report(fixture, "edge-2", "offered"), RESULT_PLAN_TERMINAL);
    assert_result(report(fixture, "edge-1", "activated"), RESULT_OK);
    assert_string_equal(phase(fixture), "cancelled");
}

/* Goal: a plan takes no more nodes than its bound; those it knows still report.
 * Method: a plan whose record says that it is full, put there by hand. */
static void nodes_have_a_bound(void **state)
{
    struct fixture *fixture = *state;
    struct plan plan;
    struct bytes packed;
    struct error error = {0};
    const struct store_key key = plan_key("p");
    create(fixture, "{\"stage_id\": \"one\", " MANUAL "}");
    report(fixture, "known", "offered");
    bytes_init(&packed, 0);
    assert_int_equal(kv_get(store_kv(fsm_store(fixture->fsm)), NULL, store_key_span(&key), &packed, &error),
                     ERROR_OK);
    assert_int_equal(schema_unpack(&plan_schema, bytes_span(&packed), &fixture->arena, &plan, &error),
                     ERROR_OK);
    plan.node_count = PLAN_NODES_MAX;
    plan.outside.state[NODE_PENDING] = PLAN_NODES_MAX - 1;
    bytes_clear(&packed);
    schema_pack(&plan_schema, &plan, &packed);
    put_raw(fixture, key, bytes_span(&packed));
    bytes_done(&packed);
    assert_result(report(fixture, "one-more", "activated"), RESULT_TOO_MANY);
    assert_result(report(fixture, "known", "activated"), RESULT_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cohort_is_stable),
        cmocka_unit_test(cohort_has_its_share),
        plan_test(percent_stages_take_nodes_by_hash),
        plan_test(label_stages_take_matching_nodes),
        plan_test(listed_nodes_are_enrolled_at_publish),
        plan_test(report_enrols_an_unknown_node),
        plan_test(repeated_report_changes_nothing),
        plan_test(only_open_stages_offer),
        plan_test(paused_plan_takes_answers_only),
        plan_test(foreign_version_is_refused),
        plan_test(nodes_are_recorded_by_wave),
        plan_test(ended_plans_hear_of_nodes),
        plan_test(cancelled_plan_hears_facts),
        cmocka_unit_test_setup_teardown(nodes_have_a_bound, fixture_set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
