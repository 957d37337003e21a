/* Creating plans: what is accepted, and what is refused with its path and range. */
#include "support/plan_fixture.h"

#define ARTIFACT "\"artifact\": {\"name\": \"app\", \"version\": \"2\"}"

/* What HTTP does with a body: the error's sentence, or "". */
static const char *invalid(struct fixture *fixture, const char *format, ...) PRINTF(2, 3);
static const char *invalid(struct fixture *fixture, const char *format, ...)
{
    static char text[200000];
    struct error error = {0};
    json_t *json = NULL;
    struct plan_create body;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    assert_int_equal(json_parse(span_text(text), &json, &error), ERROR_OK);
    const enum error_code code = schema_from_json(&plan_create_schema, json, &fixture->arena, &body, &error);
    json_decref(json);
    return code == ERROR_OK ? "" : fixture_copy(fixture, error.message);
}

/* Creates a plan with one stage that has these members. */
static struct result create_stage(struct fixture *fixture, const char *stage)
{
    return run(fixture, "rollout.create", "{\"plan_id\": \"p\", " ARTIFACT ", \"stages\": [%s]}", stage);
}

/* Goal: name, version and one stage are all that a plan needs.
 * Method: create the least; look at what was made up. */
static void least_plan_is_complete(void **state)
{
    struct fixture *fixture = *state;
    assert_result(create_stage(fixture, "{}"), RESULT_CREATED);
    assert_string_equal(plan_at(fixture, "stages.0.stage_id"), "stage-1");
    assert_string_equal(plan_at(fixture, "stages.0.gates"), "[]");
    assert_string_equal(plan_at(fixture, "artifact.previous_version"), "null");
}

/* Goal: a plan without an id gets one from its entry, the same on every replica.
 * Method: create two; the tear-down's replay compares. */
static void missing_id_is_made_from_the_entry(void **state)
{
    struct fixture *fixture = *state;
    for (uint64_t i = 1; i <= 2; i++) {
        const struct result answer = run(fixture, "rollout.create", "{" ARTIFACT ", \"stages\": [{}]}");
        char wanted[32];
        snprintf(wanted, sizeof wanted, "plan-%llx", (unsigned long long)answer.index);
        assert_string_equal(fixture_text(fixture, answer, "plan_id"), wanted);
        assert_int_equal(answer.index, i);
    }
}

/* Goal: what was asked for is what is stored, field by field.
 * Method: a full plan, read back. */
static void full_plan_is_kept_as_written(void **state)
{
    struct fixture *fixture = *state;
    assert_result(
        fixture_run(
            fixture, "rollout.create",
            "{\"plan_id\": \"p\", \"artifact\": {\"name\": \"checkout\", \"version\": \"2.4.1\", \"url\": "
            "\"file:///srv/c.tgz\", \"sha256\": "
            "\"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\", \"previous_version\": "
            "\"2.4.0\"}, \"stages\": [{\"stage_id\": \"canary\", \"target\": {\"percent\": 5}, \"gates\": "
            "[{\"kind\": \"time_soak\", \"seconds\": 600}, {\"kind\": \"success_ratio\", \"min_percent\": "
            "95}, "
            "{\"kind\": \"manual\"}, {\"kind\": \"health\"}]}, {\"stage_id\": \"lab\", \"target\": "
            "{\"labels\": "
            "{\"site\": \"lab\"}}}, {\"stage_id\": \"all\", \"target\": {\"nodes\": [\"edge-1\", "
            "\"edge-2\"]}}], \"reason\": \"release\"}"),
        RESULT_CREATED);
    assert_string_equal(plan_at(fixture, "artifact"),
                        "{\"name\":\"checkout\",\"previous_version\":\"2.4.0\",\"sha256\":"
                        "\"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\",\"url\":"
                        "\"file:///srv/c.tgz\",\"version\":\"2.4.1\"}");
    assert_string_equal(plan_at(fixture, "stages.0.target"), "{\"percent\":5}");
    assert_string_equal(plan_at(fixture, "stages.1.target"), "{\"labels\":{\"site\":\"lab\"}}");
    assert_string_equal(plan_at(fixture, "stages.2.target"), "{\"nodes\":[\"edge-1\",\"edge-2\"]}");
    assert_string_equal(plan_at(fixture, "stages.0.gates.0.seconds"), "600");
    assert_string_equal(plan_at(fixture, "stages.0.gates.1.min_percent"), "95");
    assert_string_equal(plan_at(fixture, "stages.0.gates.3.kind"), "health");
}

/* Goal: a field past its bound is refused with its path and range.
 * Method: one bad field at a time, as HTTP meets it. */
static void bad_field_is_named_with_its_range(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *body, *error;
    } cases[] = {
        {"{\"stages\": [{}]}", "artifact: missing, and required"},
        {"{\"artifact\": {\"name\": \"app\"}, \"stages\": [{}]}", "artifact.version: missing, and required"},
        {"{" ARTIFACT ", \"stages\": []}", "stages: 0 elements is not within 1 .. 64"},
        {"{" ARTIFACT ", \"stages\": [{\"gates\": [{\"kind\": \"time_soak\", \"seconds\": 31536001}]}]}",
         "stages[0].gates[0].seconds: 31536001 is not within 1 .. 31536000"},
        {"{" ARTIFACT ", \"stages\": [{\"target\": {\"percent\": 101}}]}",
         "stages[0].target.percent: 101 is not within 1 .. 100"},
        {"{" ARTIFACT ", \"stages\": [{\"gates\": [{\"kind\": \"moon\"}]}]}",
         "stages[0].gates[0].kind: \"moon\" is none of time_soak, manual, health, success_ratio"},
        {"{\"artifact\": {\"name\": \"a\", \"version\": \"1\", \"sha256\": \"abc\"}, \"stages\": [{}]}",
         "artifact.sha256: must be 64 hex digits, not 3 characters"},
        {"{\"plan_id\": \"-p\", " ARTIFACT ", \"stages\": [{}]}",
         "plan_id: \"-p\" is not a name: [A-Za-z0-9][A-Za-z0-9._-]{0,127}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(invalid(fixture, "%s", cases[i].body), cases[i].error);
    assert_non_null(strstr(invalid(fixture, "{" ARTIFACT ", \"stages\": [{\"colour\": 1}]}"), "colour"));
    assert_non_null(
        strstr(invalid(fixture, "{" ARTIFACT ", \"stages\": [{}], \"reason\": \"%01025d\"}", 0), "reason"));
    assert_non_null(
        strstr(invalid(fixture, "{\"plan_id\": \"%0129d\", " ARTIFACT ", \"stages\": [{}]}", 1), "plan_id"));
}

/* Goal: more stages or gates than there may be are refused.
 * Method: 65 stages; 5 gates. */
static void too_many_stages_or_gates_are_refused(void **state)
{
    struct fixture *fixture = *state;
    char stages[4096] = "{}";
    for (size_t i = 0; i < PLAN_STAGES_MAX; i++)
        strcat(stages, ",{}");
    assert_string_equal(invalid(fixture, "{" ARTIFACT ", \"stages\": [%s]}", stages),
                        "stages: 65 elements is not within 1 .. 64");
    const char *gate = "{\"kind\": \"manual\"}";
    assert_string_equal(invalid(fixture, "{" ARTIFACT ", \"stages\": [{\"gates\": [%s, %s, %s, %s, %s]}]}",
                                gate, gate, gate, gate, gate),
                        "stages[0].gates: 5 elements is not within 0 .. 4");
}

/* Goal: what only the whole plan shows is checked when it is applied, and names its path.
 * Method: one fault at a time. */
static void whole_plan_is_checked(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *stage, *path;
    } cases[] = {
        {"{\"stage_id\": \"a\"}, {\"stage_id\": \"a\"}", "stages[1].stage_id"},
        {"{\"stage_id\": \"stage-2\"}, {}", "stages[1].stage_id"},
        {"{\"target\": {\"percent\": 5, \"nodes\": [\"x\"]}}", "stages[0].target"},
        {"{\"target\": {\"nodes\": [\"x\", \"not a name\"]}}", "stages[0].target.nodes[1]"},
        {"{\"gates\": [{\"kind\": \"time_soak\"}]}", "stages[0].gates[0].seconds"},
        {"{\"gates\": [{\"kind\": \"manual\", \"seconds\": 5}]}", "stages[0].gates[0].seconds"},
        {"{\"gates\": [{\"kind\": \"success_ratio\"}]}", "stages[0].gates[0].min_percent"},
        {"{\"gates\": [{\"kind\": \"health\", \"min_percent\": 5}]}", "stages[0].gates[0].min_percent"},
        {"{\"gates\": [{\"kind\": \"manual\"}, {\"kind\": \"manual\"}]}", "stages[0].gates[1].kind"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct result answer = create_stage(fixture, cases[i].stage);
        assert_result(answer, RESULT_INVALID);
        assert_string_equal(fixture_text(fixture, answer, "path"), cases[i].path);
        assert_int_equal(
            strncmp(fixture_text(fixture, answer, "detail"), cases[i].path, strlen(cases[i].path)), 0);
    }
    const struct result same = fixture_run(fixture, "rollout.create",
                                           "{\"artifact\": {\"name\": \"a\", \"version\": \"2\", "
                                           "\"previous_version\": \"2\"}, \"stages\": [{}]}");
    assert_string_equal(fixture_text(fixture, same, "path"), "artifact.previous_version");
    const struct result reserved =
        fixture_run(fixture, "rollout.create", "{\"plan_id\": \"stuck\", " ARTIFACT ", \"stages\": [{}]}");
    assert_result(reserved, RESULT_INVALID);
    assert_string_equal(fixture_text(fixture, reserved, "detail"), "plan_id: \"stuck\" is reserved");
    assert_int_equal(count_keys(store_kv(fsm_store(fixture->fsm)), 'p'), 0);
}

/* Goal: all named nodes of a plan together have a bound.
 * Method: 1,024 in two stages, and one more. */
static void named_nodes_have_a_bound(void **state)
{
    struct fixture *fixture = *state;
    char *json = memory_zero(1, 65536), *at = json;
    at += sprintf(at, "{\"plan_id\": \"p\", " ARTIFACT
                      ", \"publish\": true, \"stages\": [{\"target\": {\"nodes\": [");
    for (unsigned i = 0; i < 1000; i++)
        at += sprintf(at, "%s\"n%u\"", i == 0 ? "" : ",", i);
    at += sprintf(at, "]}, \"gates\": [{\"kind\": \"manual\"}]}, {\"target\": {\"nodes\": [");
    char *const second = at;
    for (unsigned i = 1000; i < 1025; i++)
        at += sprintf(at, "%s\"n%u\"", i == 1000 ? "" : ",", i);
    strcpy(at, "]}}]}");
    const struct result answer = fixture_run(fixture, "rollout.create", json);
    assert_result(answer, RESULT_INVALID);
    assert_non_null(strstr(fixture_text(fixture, answer, "detail"), "1025 nodes"));
    sprintf(second, "\"n1000\"]}}]}");
    assert_result(fixture_run(fixture, "rollout.create", json), RESULT_CREATED);
    assert_string_equal(plan_at(fixture, "nodes_total"), "1001");
    assert_string_equal(plan_at(fixture, "nodes_cut"), "true");
    free(json);
}

/* Goal: a second plan of the same id is refused, whatever phase the first is in.
 * Method: while it is active, and when it is rolled back. */
static void duplicate_id_is_refused(void **state)
{
    struct fixture *fixture = *state;
    assert_result(fixture_run(fixture, "rollout.create", PLAN_TWO), RESULT_CREATED);
    const struct result answer = fixture_run(fixture, "rollout.create", PLAN_TWO);
    assert_result(answer, RESULT_PLAN_EXISTS);
    assert_string_equal(fixture_text(fixture, answer, "phase"), "active");
    recover(fixture, "rollback");
    assert_result(fixture_run(fixture, "rollout.create", PLAN_TWO), RESULT_PLAN_EXISTS);
}

/* Goal: a plan that names a monitor is refused until monitors are served; null names none.
 * Method: both. */
static void monitor_is_refused(void **state)
{
    struct fixture *fixture = *state;
    const struct result answer = fixture_run(
        fixture, "rollout.create",
        "{\"plan_id\": \"p\", " ARTIFACT ", \"stages\": [{}], \"monitor\": {\"preset\": \"production\"}}");
    assert_result(answer, RESULT_MONITOR_UNSUPPORTED);
    assert_int_equal(result_status(answer.code), 422);
    assert_result(fixture_run(fixture, "rollout.create",
                              "{\"plan_id\": \"p\", " ARTIFACT ", \"stages\": [{}], \"monitor\": null}"),
                  RESULT_CREATED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plan_test(least_plan_is_complete),
        plan_test(missing_id_is_made_from_the_entry),
        plan_test(full_plan_is_kept_as_written),
        plan_test(bad_field_is_named_with_its_range),
        plan_test(too_many_stages_or_gates_are_refused),
        plan_test(whole_plan_is_checked),
        plan_test(named_nodes_have_a_bound),
        plan_test(duplicate_id_is_refused),
        plan_test(monitor_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
