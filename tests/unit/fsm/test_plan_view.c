/* Reading plans: lists with pages and phases, one plan whole. */
#include "support/plan_fixture.h"

#define ARTIFACT "\"artifact\": {\"name\": \"app\", \"version\": \"2\"}"

static void create(struct fixture *fixture, const char *plan_id, bool publish)
{
    assert_result(run(fixture, "rollout.create",
                      "{\"plan_id\": \"%s\", " ARTIFACT
                      ", \"publish\": %s, \"stages\": [{\"stage_id\": \"one\", "
                      "\"gates\": [{\"kind\": \"manual\"}]}]}",
                      plan_id, publish ? "true" : "false"),
                  RESULT_CREATED);
}

static enum error_code list(struct fixture *fixture, const char *wanted, struct page page, json_t **out,
                            struct error *error)
{
    struct view *view = view_open(fixture->fsm);
    const enum error_code code = view_plans(view, wanted, &page, out, error);
    view_close(view);
    return code;
}

static json_t *page_of(struct fixture *fixture, const char *wanted, uint32_t limit, const char *cursor)
{
    struct error error = {0};
    json_t *json = NULL;
    if (list(fixture, wanted, (struct page){.limit = limit, .cursor = cursor}, &json, &error) != ERROR_OK)
        fail_msg("%s", error.message);
    return json;
}

/* Goal: a row has the keys that scripts read.
 * Method: a draft and an active plan; their order is that of their ids. */
static void rows_have_the_keys_that_scripts_read(void **state)
{
    struct fixture *fixture = *state;
    create(fixture, "b", true);
    create(fixture, "a", false);
    json_t *json = page_of(fixture, NULL, 100, NULL);
    assert_int_equal(json_array_size(json_object_get(json, "items")), 2);
    assert_string_equal(json_string_value(json_at(json, "items.0.plan_id")), "a");
    assert_string_equal(json_string_value(json_at(json, "items.0.phase")), "draft");
    assert_true(json_is_null(json_at(json, "items.0.current_stage_id")));
    assert_string_equal(json_string_value(json_at(json, "items.1.phase")), "active");
    assert_string_equal(json_string_value(json_at(json, "items.1.current_stage_id")), "one");
    assert_string_equal(json_string_value(json_at(json, "items.1.created_at")), "2026-01-01T00:00:00.000Z");
    assert_string_equal(json_string_value(json_at(json, "items.1.updated_at")), "2026-01-01T00:00:00.000Z");
    json_decref(json);
}

/* Goal: pages hold every plan once, at any size; the same filtered by phase.
 * Method: 23 plans, every third published; page sizes 1 to 25. */
static void pages_hold_every_plan_once(void **state)
{
    struct fixture *fixture = *state;
    char id[16];
    for (unsigned i = 0; i < 23; i++) {
        snprintf(id, sizeof id, "plan%02u", i);
        create(fixture, id, i % 3 == 0);
    }
    static const struct {
        const char *phase;
        size_t count;
    } cases[] = {{NULL, 23}, {"", 23}, {"active", 8}, {"draft", 15}, {"completed", 0}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        for (uint32_t limit = 1; limit <= 25; limit += 3) {
            const char *cursor = NULL, *last = "";
            size_t seen = 0;
            do {
                json_t *json = page_of(fixture, cases[c].phase, limit, cursor), *row;
                size_t i;
                assert_true(json_array_size(json_object_get(json, "items")) <= limit);
                json_array_foreach(json_object_get(json, "items"), i, row)
                {
                    const char *plan_id =
                        fixture_copy(fixture, json_string_value(json_object_get(row, "plan_id")));
                    assert_true(strcmp(last, plan_id) < 0);
                    last = plan_id;
                    seen++;
                }
                cursor = fixture_copy(fixture, json_string_value(json_object_get(json, "next_cursor")));
                json_decref(json);
            } while (cursor != NULL);
            assert_int_equal(seen, cases[c].count);
        }
    }
}

/* Goal: an unknown phase, a damaged cursor and a bad limit are refused.
 * Method: each. */
static void bad_list_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    json_t *json = NULL;
    assert_int_equal(list(fixture, "flying", (struct page){.limit = 1}, &json, &error), ERROR_INVALID);
    assert_non_null(strstr(error.message, "rolled_back"));
    assert_int_equal(list(fixture, NULL, (struct page){.limit = 1, .cursor = "zz"}, &json, &error),
                     ERROR_INVALID);
    assert_int_equal(list(fixture, NULL, (struct page){.limit = 1001}, &json, &error), ERROR_INVALID);
}

/* Goal: a plan that isn't there is not found, with its name.
 * Method: a name, and a text that can't be one. */
static void unknown_plan_is_not_found(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    json_t *json = NULL;
    struct view *view = view_open(fixture->fsm);
    assert_int_equal(view_plan(view, "nobody", &json, &error), ERROR_NOT_FOUND);
    assert_string_equal(error.message, "there is no plan \"nobody\"");
    assert_int_equal(view_plan(view, "no body/", &json, &error), ERROR_NOT_FOUND);
    view_close(view);
}

/* Goal: a view shows the plan as it was when the view was opened, whatever is applied since.
 * Method: open, pause, read the old view and a new one. */
static void view_stays_as_it_was(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    json_t *json = NULL;
    create(fixture, "p", true);
    struct view *view = view_open(fixture->fsm);
    verb(fixture, "pause");
    assert_int_equal(view_plan(view, "p", &json, &error), ERROR_OK);
    view_close(view);
    assert_string_equal(json_string_value(json_object_get(json, "phase")), "active");
    json_decref(json);
    assert_string_equal(phase(fixture), "paused");
}

/* Goal: what operators wrote in UTF-8 comes back whole; a plan with a node's every field is shown.
 * Method: reasons, a principal and details with characters of two to four bytes. */
static void texts_of_people_come_back_whole(void **state)
{
    struct fixture *fixture = *state;
    const char *who = "zoë@example.com";
    fixture_run_as(fixture, "rollout.create", who, "",
                   "{\"plan_id\": \"p\", " ARTIFACT
                   ", \"publish\": true, \"reason\": \"größer 🚀\", \"stages\": "
                   "[{\"stage_id\": \"one\", \"gates\": [{\"kind\": \"manual\"}, {\"kind\": \"health\"}]}]}");
    fixture_run_as(fixture, "rollout.gate.approve", who, "", "{\"plan_id\": \"p\", \"stage_id\": \"one\"}");
    run(fixture, "rollout.node",
        "{\"plan_id\": \"p\", \"node_id\": \"x\", \"state\": \"failed\", \"detail\": \"Платте\"}");
    assert_string_equal(plan_at(fixture, "reason"), "größer 🚀");
    assert_string_equal(plan_at(fixture, "stages.0.approved_by"), who);
    assert_non_null(strstr(plan_at(fixture, "stages.0.gates.0.detail"), who));
    assert_string_equal(plan_at(fixture, "nodes.0.detail"), "Платте");
}

static void damage(struct fixture *fixture, struct store_key key)
{
    put_raw(fixture, key, span_text("not a record"));
}

/* Goal: a damaged record is an error, never an absence: neither for readers nor for commands.
 * Method: overwrite a plan, a flag and a switch; read, list, and apply. */
static void damaged_record_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    json_t *json = NULL;
    const struct page page = {.limit = 10};
    create(fixture, "p", true);
    damage(fixture, plan_key("p"));
    damage(fixture, store_key1('f', span_text("PROMPT_MODE")));
    damage(fixture, store_key1('k', span_text("DISABLE_NEW")));
    for (int read = 0; read < 9; read++) {
        struct view *view = view_open(fixture->fsm);
        const enum error_code code = read == 0   ? view_plan(view, "p", &json, &error)
                                     : read == 1 ? view_plans(view, NULL, &page, &json, &error)
                                     : read == 2 ? view_plans(view, "active", &page, &json, &error)
                                     : read == 3 ? view_gates(view, "p", "one", 0, &json, &error)
                                     : read == 4 ? view_stuck(view, 0, 0, &json, &error)
                                     : read == 5
                                         ? view_preview(view, "rollout_plan", "p", NULL, &json, &error)
                                     : read == 6 ? view_flag(view, "PROMPT_MODE", &json, &error)
                                     : read == 7 ? view_flags(view, &page, &json, &error)
                                                 : view_switch(view, "DISABLE_NEW", &json, &error);
        view_close(view);
        if (code != ERROR_CORRUPT)
            fail_msg("read %d gave %s", read, error_name(code));
    }
    static const struct {
        const char *name, *json;
    } commands[] = {
        {"rollout.pause", "{\"plan_id\": \"p\"}"},
        {"flag.set", "{\"key\": \"PROMPT_MODE\", \"value\": \"x\"}"},
        {"switch.activate", "{\"name\": \"DISABLE_NEW\", \"reason\": \"r\"}"},
    };
    for (size_t i = 0; i < 3; i++) {
        const uint64_t applied = fixture_describe(fixture).index;
        fixture_append_command(fixture->log, commands[i].name, "ann", "", commands[i].json);
        assert_int_equal(
            fsm_apply(fixture->fsm, fixture->log->entries + applied, 1, fixture->results, &error),
            ERROR_CORRUPT);
        assert_int_equal(fixture_describe(fixture).index, applied);
        free((void *)(uintptr_t)fixture->log->entries[--fixture->log->count].data.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plan_test(rows_have_the_keys_that_scripts_read),
        plan_test(pages_hold_every_plan_once),
        plan_test(bad_list_is_refused),
        plan_test(unknown_plan_is_not_found),
        plan_test(view_stays_as_it_was),
        plan_test(texts_of_people_come_back_whole),
        cmocka_unit_test_setup_teardown(damaged_record_is_an_error, fixture_set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
