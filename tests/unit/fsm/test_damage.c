/* A record that has its form and contradicts others: readers say so, a command is refused as corrupt and
 * writes nothing. The fuzz target `state` looks for more of them. */
#include "support/plan_fixture.h"

#include "fsm/flag.h"
#include "fsm/fsm_internal.h"
#include "fsm/kill_switch.h"
#include "fsm/request.h"

static void put(struct fixture *fixture, const struct store_key *key, struct span value)
{
    struct error error = {0};
    struct kv_batch *batch = kv_batch_new();
    kv_batch_put(batch, store_key_span(key), value);
    assert_int_equal(kv_write(store_kv(fsm_store(fixture->fsm)), batch, (struct kv_write_options){0}, &error),
                     ERROR_OK);
    kv_batch_free(batch);
}

static void put_record(struct fixture *fixture, const struct store_key *key, const struct schema *schema,
                       const void *record)
{
    struct bytes packed;
    bytes_init(&packed, 0);
    schema_pack(schema, record, &packed);
    put(fixture, key, bytes_span(&packed));
    bytes_done(&packed);
}

static void read_plan(struct fixture *fixture, struct plan *plan)
{
    struct view *view = view_open(fixture->fsm);
    assert_true(plan_read(view_reader(view), "p", &fixture->arena, plan));
    view_close(view);
}

static void put_plan(struct fixture *fixture, const struct plan *plan)
{
    const struct store_key key = plan_key("p");
    put_record(fixture, &key, &plan_schema, plan);
}

/* A published plan of two stages, and a node of its first that has activated. */
static void make_plan(struct fixture *fixture)
{
    assert_result(fixture_run(fixture, "rollout.create",
                              "{\"plan_id\": \"p\", \"artifact\": {\"name\": \"a\", \"version\": \"2\"}, "
                              "\"stages\": [{\"stage_id\": \"s1\", \"target\": {\"percent\": 100}, "
                              "\"gates\": [{\"kind\": \"manual\"}]}, {\"stage_id\": \"s2\"}], "
                              "\"publish\": true, \"reason\": \"r\"}"),
                  RESULT_CREATED);
    assert_true(
        result_succeeded(fixture_run(fixture, "rollout.node",
                                     "{\"plan_id\": \"p\", \"node_id\": \"e1\", \"state\": \"activated\"}")
                             .code));
}

/* The next command finds the damage: its words are in the error, and the state stays where it is. */
static void assert_refused(struct fixture *fixture, const char *name, const char *json, const char *words)
{
    struct error error = {0};
    const struct fsm_state before = fixture_describe(fixture);
    fixture_append_command(fixture->log, name, "ann", "", json);
    assert_int_equal(
        fsm_apply(fixture->fsm, fixture->log->entries + before.index, 1, fixture->results, &error),
        ERROR_CORRUPT);
    if (!strstr(error.message, words))
        fail_msg("%s", error.message);
    fixture->log->count--; /* a log holds no entry that was refused */
    free((void *)(uintptr_t)fixture->log->entries[fixture->log->count].data.data);
    const struct fsm_state after = fixture_describe(fixture);
    assert_int_equal(after.index, before.index);
    assert_memory_equal(after.digest, before.digest, DIGEST_BYTES);
}

static void assert_unseen(struct fixture *fixture, const char *words)
{
    struct error error = {0};
    json_t *json = NULL;
    const struct page page = {.limit = 10};
    struct view *view = view_open(fixture->fsm);
    assert_int_equal(view_plan(view, "p", &json, &error), ERROR_CORRUPT);
    if (!strstr(error.message, words))
        fail_msg("%s", error.message);
    view_close(view);
    view = view_open(fixture->fsm);
    assert_int_equal(view_plans(view, NULL, &page, &json, &error), ERROR_CORRUPT);
    view_close(view);
}

/* Goal: a plan whose current stage is none of its stages is never followed there.
 * Method: such a record; it is shown to nobody, and pausing it is refused. */
static void plan_without_its_current_stage_is_corrupt(void **state)
{
    struct plan plan;
    make_plan(*state);
    read_plan(*state, &plan);
    plan.current = 60;
    put_plan(*state, &plan);
    assert_unseen(*state, "its current stage is none of its stages");
    assert_refused(*state, "rollout.pause", "{\"plan_id\": \"p\", \"reason\": \"r\"}", "none of its stages");
}

/* Goal: a plan that counts its nodes wrong is refused as it is read, not when it is written.
 * Method: the invariant (4). */
static void plan_with_other_counts_is_corrupt(void **state)
{
    struct plan plan;
    make_plan(*state);
    read_plan(*state, &plan);
    plan.node_count = 5;
    put_plan(*state, &plan);
    assert_unseen(*state, "(4)");
    assert_refused(*state, "rollout.pause", "{\"plan_id\": \"p\", \"reason\": \"r\"}", "(4)");
}

/* Goal: a node's record that its plan doesn't know of is found by the next report.
 * Method: a state that nobody is counted in; then a stage that isn't there. */
static void node_that_contradicts_its_plan_is_corrupt(void **state)
{
    static const char report[] = "{\"plan_id\": \"p\", \"node_id\": \"e1\", \"state\": \"activated\"}";
    struct fixture *fixture = *state;
    struct plan plan;
    struct plan_node node;
    struct error error = {0};
    json_t *json = NULL;
    make_plan(fixture);
    read_plan(fixture, &plan);
    struct view *view = view_open(fixture->fsm);
    assert_true(plan_node_read(view_reader(view), &plan, "e1", &fixture->arena, &node));
    view_close(view);
    const struct store_key key = plan_node_key("p", "e1");
    node.state = NODE_OFFERED;
    put_record(fixture, &key, &plan_node_schema, &node);
    assert_refused(fixture, "rollout.node", report, "was not counted");
    node.stage = 40;
    put_record(fixture, &key, &plan_node_schema, &node);
    assert_refused(fixture, "rollout.node", report, "none of its stages");
    view = view_open(fixture->fsm);
    assert_int_equal(view_plan(view, "p", &json, &error), ERROR_CORRUPT);
    view_close(view);
}

/* Goal: the row by which a remembered request expires is refused when it has another form.
 * Method: a short value under its key; the tick a day later meets it. */
static void expiry_row_of_another_form_is_corrupt(void **state)
{
    struct fixture *fixture = *state;
    fixture_run_as(fixture, "flag.define", "ann", "id-1",
                   "{\"key\": \"f\", \"type\": \"integer\", \"default\": 1, \"safe\": 0}");
    struct store_key key = store_key_u64('R', 1);
    store_key_append_u64(&key, 1);
    put(fixture, &key, span_text("short"));
    fixture_restart(fixture, true);
    fixture->log->wall_ms += 48ull * 3600 * 1000;
    assert_refused(fixture, "tick", "{\"stuck_after_ms\": 0}", "expires by a row");
}

/* Goal: a flag that is on while its switch can't be read is an error of the reader, not the end of the
 * process.
 * Method: the built-in switch's record damaged; its flag is asked for. */
static void built_in_flag_with_a_damaged_switch_is_corrupt(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    json_t *json = NULL;
    assert_true(result_succeeded(
        fixture_run(fixture, "switch.activate", "{\"name\": \"DISABLE_NEW\", \"reason\": \"r\"}").code));
    const struct store_key key = store_key1('k', span_text(FLAG_DISABLE_NEW));
    put(fixture, &key, span_text("x"));
    struct view *view = view_open(fixture->fsm);
    assert_int_equal(view_flag(view, FLAG_DISABLE_NEW, &json, &error), ERROR_CORRUPT);
    view_close(view);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(plan_without_its_current_stage_is_corrupt),      TEST(plan_with_other_counts_is_corrupt),
        TEST(node_that_contradicts_its_plan_is_corrupt),      TEST(expiry_row_of_another_form_is_corrupt),
        TEST(built_in_flag_with_a_damaged_switch_is_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
