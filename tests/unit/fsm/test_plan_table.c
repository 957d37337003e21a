/* The transition tables, walked whole: what is listed works as listed, what isn't is refused and changes
 * nothing. */
#include "support/plan_fixture.h"

#define STAGES                                                                                               \
    "\"stages\": [{\"stage_id\": \"one\", \"gates\": [{\"kind\": \"manual\"}]}, {\"stage_id\": \"two\", "    \
    "\"gates\": [{\"kind\": \"manual\"}]}]"
#define ARTIFACT "\"artifact\": {\"name\": \"app\", \"version\": \"2\", \"previous_version\": \"1\"}"

/* Makes plan "p" and takes it to the phase. */
static void make_phase(struct fixture *fixture, enum plan_phase wanted)
{
    char start[TIME_TEXT_BYTES];
    time_format(fixture->log->wall_ms + HOUR_MS, start);
    if (wanted == PLAN_PUBLISHED)
        run(fixture, "rollout.create",
            "{\"plan_id\": \"p\", " ARTIFACT ", " STAGES ", \"publish\": true, \"start_at\": "
            "\"%s\"}",
            start);
    else
        run(fixture, "rollout.create", "{\"plan_id\": \"p\", " ARTIFACT ", " STAGES ", \"publish\": %s}",
            wanted == PLAN_DRAFT ? "false" : "true");
    if (wanted == PLAN_PAUSED)
        verb(fixture, "pause");
    if (wanted == PLAN_CANCELLED)
        verb(fixture, "cancel");
    if (wanted == PLAN_ROLLED_BACK)
        recover(fixture, "rollback");
    if (wanted == PLAN_COMPLETED) {
        approve(fixture, "one");
        approve(fixture, "two");
    }
    assert_string_equal(phase(fixture), plan_phase_names[wanted]);
}

/* The command that is the event. */
static struct result command_of(struct fixture *fixture, enum plan_event event)
{
    switch (event) {
    case EVENT_PUBLISH:
        return verb(fixture, "publish");
    case EVENT_PAUSE:
        return verb(fixture, "pause");
    case EVENT_RESUME:
        return verb(fixture, "resume");
    case EVENT_CANCEL:
        return verb(fixture, "cancel");
    case EVENT_HALT:
        return run(fixture, "rollout.halt", "{\"plan_id\": \"p\", \"reason\": \"because\"}");
    case EVENT_APPROVE:
        return approve(fixture, "one");
    case EVENT_EVALUATE:
        return run(fixture, "rollout.evaluate", "{\"plan_id\": \"p\", \"stage_id\": \"one\"}");
    case EVENT_RETRY:
        return recover(fixture, "retry");
    case EVENT_SKIP_FAILED:
        return recover(fixture, "skip_failed");
    case EVENT_ROLLBACK:
        return recover(fixture, "rollback");
    case EVENT_NODE_OFFER:
        return report(fixture, "edge-1", "offered");
    case EVENT_NODE_ANSWER:
        return report(fixture, "edge-1", "activated");
    default:
        fail_msg("event %d has no command", (int)event);
        return (struct result){0};
    }
}

/* PUBLISH_LATER, START and COMPLETE come by other commands and by time: test_plan.c; NODE_REVERT:
 * test_plan_wave.c. */
static bool has_command(enum plan_event event)
{
    return event != EVENT_PUBLISH_LATER && event != EVENT_START && event != EVENT_COMPLETE &&
           event != EVENT_NODE_REVERT;
}

/* A completed plan's stage has left the state in which it could be offered or approved; its table rows hold
 * all the same. */
static void check_pair(struct fixture *fixture, enum plan_event event, enum plan_phase from)
{
    const struct plan_rule *rule = plan_rule_find(event, from);
    make_phase(fixture, from);
    const char *before = plan_at(fixture, "");
    pass_time(fixture, 1000);
    const struct result answer = command_of(fixture, event);
    if (rule != NULL) {
        assert_result(answer, RESULT_OK);
        assert_string_equal(phase(fixture), plan_phase_names[rule->to]);
        return;
    }
    assert_result(answer, plan_phase_terminal(from) ? RESULT_PLAN_TERMINAL : RESULT_PLAN_PHASE);
    assert_non_null(strstr(body_at(fixture, answer, "detail"), plan_phase_names[from]));
    assert_string_equal(fixture_text(fixture, answer, "phase"), plan_phase_names[from]);
    pass_time(fixture, 0 - UINT64_C(1000));
    assert_string_equal(plan_at(fixture, ""), before);
}

/* Goal: every pair of event and phase does what the table says, or is refused with the phase's name and
 * changes nothing. Method: all pairs that a command can ask for, each on a fresh state machine. */
static void every_pair_is_as_listed(void **state)
{
    (void)state;
    uint32_t allowed = 0, refused = 0;
    for (int event = 0; event < EVENT_COUNT; event++) {
        for (int from = 0; from < PLAN_PHASE_COUNT && has_command((enum plan_event)event); from++) {
            struct fixture *fixture = fixture_new();
            check_pair(fixture, (enum plan_event)event, (enum plan_phase)from);
            check_indexes(fixture);
            fixture_free(fixture);
            if (plan_rule_find((enum plan_event)event, (enum plan_phase)from) != NULL)
                allowed++;
            else
                refused++;
        }
    }
    assert_int_equal(allowed, 26);
    assert_int_equal(refused, 58);
}

/* Goal: the table is sound: no pair twice, no way out of a terminal phase except to itself.
 * Method: read all rows. */
static void rules_are_sound(void **state)
{
    (void)state;
    size_t count = 0;
    for (const struct plan_rule *rule; (rule = plan_rule_at(count)) != NULL; count++) {
        assert_ptr_equal(plan_rule_find(rule->event, rule->from), rule);
        assert_true(!plan_phase_terminal(rule->from) || rule->to == rule->from);
        assert_non_null(plan_event_info(rule->event)->verb);
    }
    assert_int_equal(count, 30);
}

/* Goal: a node's way is as its table lists it; any other report is refused and changes nothing.
 * Method: all pairs of states; the node is brought to each state by reports, and the plan to the phase that
 * the way needs. */
static void node_rules_are_sound(void **state)
{
    (void)state;
    size_t count = 0;
    for (const struct node_rule *rule; (rule = node_rule_at(count)) != NULL; count++) {
        assert_ptr_equal(node_rule_find(rule->from, rule->to), rule);
        assert_int_not_equal(rule->from, rule->to);
        assert_int_not_equal(rule->to, NODE_PENDING);
    }
    assert_int_equal(count, 14);
}

#define CREATE_LISTED                                                                                        \
    "{\"plan_id\": \"p\", " ARTIFACT                                                                         \
    ", \"publish\": true, \"stages\": [{\"stage_id\": \"one\", \"target\": "                                 \
    "{\"nodes\": [\"edge-1\"]}, \"gates\": [{\"kind\": \"manual\"}]}]}"

/* @return whether the plan is rolled back by then */
static bool make_node(struct fixture *fixture, enum node_state wanted)
{
    assert_result(fixture_run(fixture, "rollout.create", CREATE_LISTED), RESULT_CREATED);
    if (wanted == NODE_OFFERED || wanted == NODE_ACTIVATED || wanted == NODE_FAILED)
        assert_result(report(fixture, "edge-1", node_state_names[wanted]), RESULT_OK);
    if (wanted <= NODE_FAILED)
        return false;
    assert_result(report(fixture, "edge-1", "activated"), RESULT_OK);
    assert_result(recover(fixture, "rollback"), RESULT_OK);
    if (wanted != NODE_REVERT_OFFERED)
        assert_result(report(fixture, "edge-1", node_state_names[wanted]), RESULT_OK);
    return true;
}

static void check_node_pair(struct fixture *fixture, enum node_state from, enum node_state to)
{
    const struct node_rule *rule = node_rule_find(from, to);
    const bool rolled_back = make_node(fixture, from);
    const char *before = plan_at(fixture, "");
    const struct result answer = report(fixture, "edge-1", node_state_names[to]);
    const enum plan_phase now = rolled_back ? PLAN_ROLLED_BACK : PLAN_ACTIVE;
    if (from == to || (rule != NULL && plan_rule_find(rule->event, now) != NULL)) {
        assert_result(answer, RESULT_OK);
        assert_string_equal(fixture_text(fixture, answer, "state"), node_state_names[to]);
        assert_string_equal(plan_at(fixture, "nodes.0.state"), node_state_names[to]);
    } else {
        assert_result(answer, rule == NULL ? RESULT_NODE_STATE : RESULT_PLAN_PHASE);
        assert_string_equal(plan_at(fixture, ""), before);
    }
}

/* Goal: as above, by reports.
 * Method: all pairs of node states, each on a fresh state machine. */
static void every_node_pair_is_as_listed(void **state)
{
    (void)state;
    uint32_t pairs = 0;
    for (int from = 0; from < NODE_STATE_COUNT; from++) {
        for (int to = 0; to < NODE_STATE_COUNT; to++, pairs++) {
            struct fixture *fixture = fixture_new();
            check_node_pair(fixture, (enum node_state)from, (enum node_state)to);
            check_indexes(fixture);
            fixture_free(fixture);
        }
    }
    assert_int_equal(pairs, 49);
}

/* --- the reference prints the tables --- */

static void append_plan_rules(struct bytes *out)
{
    static const char *const needs[] = {"", "its stage is not halted", "no node has activated"};
    bytes_append_text(out, "| event | from | to | if | record |\n| --- | --- | --- | --- | --- |\n");
    const struct plan_rule *rule;
    for (size_t i = 0; (rule = plan_rule_at(i)) != NULL; i++) {
        const struct plan_event_info *info = plan_event_info(rule->event);
        bytes_printf(out, "| %s | %s | %s | %s | %s%s%s |\n", info->name, plan_phase_names[rule->from],
                     plan_phase_names[rule->to], needs[rule->need], info->event_name == NULL ? "" : "`",
                     info->event_name == NULL ? "" : info->event_name, info->event_name == NULL ? "" : "`");
    }
}

static void append_node_rules(struct bytes *out)
{
    bytes_append_text(out, "| from | to | event | if |\n| --- | --- | --- | --- |\n");
    const struct node_rule *rule;
    for (size_t i = 0; (rule = node_rule_at(i)) != NULL; i++)
        bytes_printf(out, "| %s | %s | %s | %s |\n", node_state_names[rule->from], node_state_names[rule->to],
                     plan_event_info(rule->event)->name, rule->exposed_only ? "it had activated" : "");
}

/* A file of the source tree, found from where this one stands. */
static char *source_text(const char *name)
{
    static const char here[] = "tests/unit/fsm/test_plan_table.c";
    const size_t root = strlen(__FILE__) - (sizeof here - 1);
    char path[4096];
    struct bytes text;
    size_t length;
    assert_string_equal(&__FILE__[root], here);
    snprintf(path, sizeof path, "%.*s%s", (int)root, __FILE__, name);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        fail_msg("%s can't be read", path);
    bytes_init(&text, 0);
    for (size_t got = 1; got > 0;) {
        char piece[4096];
        got = fread(piece, 1, sizeof piece, file);
        bytes_append(&text, piece, got);
    }
    fclose(file);
    return (char *)bytes_take(&text, &length);
}

/* Goal: the reference has the tables as the code has them.
 * Method: print them as Markdown and look for that in the page. */
static void reference_prints_the_tables(void **state)
{
    (void)state;
    char *page = source_text("docs/reference/rollouts.md");
    void (*const tables[])(struct bytes *) = {append_plan_rules, append_node_rules};
    for (size_t i = 0; i < 2; i++) {
        struct bytes table;
        bytes_init(&table, 0);
        tables[i](&table);
        bytes_append(&table, "\n", 2); /* nothing follows its last row */
        char *first = (char *)table.data;
        if (strstr(page, first) == NULL) {
            for (char *end; (end = strchr(first, '\n')) != NULL; first = end + 1) {
                *end = '\0';
                if (strstr(page, first) == NULL)
                    fail_msg("docs/reference/rollouts.md lacks: %s", first);
            }
            fail_msg("docs/reference/rollouts.md has rows of table %zu in another order, or more of them", i);
        }
        bytes_done(&table);
    }
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_is_as_listed),     cmocka_unit_test(rules_are_sound),
        cmocka_unit_test(node_rules_are_sound),        cmocka_unit_test(every_node_pair_is_as_listed),
        cmocka_unit_test(reference_prints_the_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
