/* Flags: what is built in, what values they take, versions, several at once, evaluation. */
#include "support/plan_fixture.h"

#include "fsm/flag.h"

/* A flag as GET answers it; the caller lets go. */
static json_t *flag_get(struct fixture *fixture, const char *key)
{
    struct error error = {0};
    json_t *json = NULL;
    struct view *view = view_open(fixture->fsm);
    if (view_flag(view, key, &json, &error) != ERROR_OK)
        fail_msg("%s", error.message);
    view_close(view);
    return json;
}

/* One member of it, as compact JSON. */
static const char *flag_at(struct fixture *fixture, const char *key, const char *member)
{
    json_t *json = flag_get(fixture, key);
    char *dump = json_dumps(json_object_get(json, member), JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
    const char *text = dump == NULL ? "missing" : fixture_copy(fixture, dump);
    free(dump);
    json_decref(json);
    return text;
}

static struct result define(struct fixture *fixture, const char *key, const char *type, const char *fallback)
{
    return run(fixture, "flag.define",
               "{\"key\": \"%s\", \"type\": \"%s\", \"default\": %s, \"reason\": \"new\"}", key, type,
               fallback);
}

static struct result set(struct fixture *fixture, const char *key, const char *value)
{
    return run(fixture, "flag.set", "{\"key\": \"%s\", \"value\": %s, \"reason\": \"because\"}", key, value);
}

/* Goal: the built-in flags are there from the start, with defaults that are their safe values.
 * Method: read each from an empty state; list them. */
static void built_in_flags_need_no_definition(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *key, *type, *value;
    } cases[] = {
        {"PROMPT_MODE", "\"string\"", "\"compact\""}, {"SANDBOX_MODE", "\"string\"", "\"none\""},
        {"RESEARCH_LAYER", "\"bool\"", "true"},       {"CONSENSUS_ENGINE", "\"bool\"", "true"},
        {"DISABLE_NEW", "\"bool\"", "false"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_string_equal(flag_at(fixture, cases[i].key, "type"), cases[i].type);
        assert_string_equal(flag_at(fixture, cases[i].key, "value"), cases[i].value);
        assert_string_equal(flag_at(fixture, cases[i].key, "default"), cases[i].value);
        assert_string_equal(flag_at(fixture, cases[i].key, "safe"), cases[i].value);
        assert_string_equal(flag_at(fixture, cases[i].key, "stored"), "null");
        assert_string_equal(flag_at(fixture, cases[i].key, "reason"), "\"DEFAULT\"");
        assert_string_equal(flag_at(fixture, cases[i].key, "version"), "1");
    }
}

/* Goal: a setting is what holds, with who, why and when; its record tells the value before and after.
 * Method: set a built-in flag twice. */
static void set_value_holds(void **state)
{
    struct fixture *fixture = *state;
    const struct result answer = set(fixture, "PROMPT_MODE", "\"full\"");
    assert_result(answer, RESULT_OK);
    assert_string_equal(fixture_text(fixture, answer, "value"), "full");
    assert_string_equal(body_at(fixture, answer, "version"), "2");
    assert_string_equal(flag_at(fixture, "PROMPT_MODE", "stored"), "\"full\"");
    assert_string_equal(flag_at(fixture, "PROMPT_MODE", "reason"), "\"STATIC\"");
    assert_string_equal(flag_at(fixture, "PROMPT_MODE", "changed_by"), "\"oncall@example.com\"");
    assert_string_equal(flag_at(fixture, "PROMPT_MODE", "change_reason"), "\"because\"");
    assert_string_equal(flag_at(fixture, "PROMPT_MODE", "built_in"), "true");
    set(fixture, "PROMPT_MODE", "\"compact\"");
    const struct audit_filter filter = {.event_type = "flags.set"};
    const struct fixture_records *rows = fixture_records(fixture, &filter);
    assert_int_equal(rows->count, 2);
    assert_string_equal(fixture_field(&rows->rows[0], "previous"), "compact");
    assert_string_equal(fixture_field(&rows->rows[1], "previous"), "full");
    assert_string_equal(fixture_field(&rows->rows[1], "value"), "compact");
    assert_int_equal(rows->rows[1].category, AUDIT_FLAGS);
    assert_string_equal(rows->rows[1].resource, "PROMPT_MODE");
}

/* Goal: values are never coerced; only a bool also takes "1" and "0".
 * Method: each type with values that fit and values that don't; the refused change nothing. */
static void values_are_never_coerced(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *key, *value;
        bool fits;
    } cases[] = {
        {"b", "true", true},
        {"b", "false", true},
        {"b", "\"1\"", true},
        {"b", "\"0\"", true},
        {"b", "1", false},
        {"b", "0", false},
        {"b", "\"true\"", false},
        {"b", "\"yes\"", false},
        {"b", "[]", false},
        {"s", "\"x\"", true},
        {"s", "\"\"", true},
        {"s", "1", false},
        {"s", "true", false},
        {"i", "1", true},
        {"i", "-9007199254740991", true},
        {"i", "1.0", false},
        {"i", "\"1\"", false},
        {"i", "true", false},
        {"o", "{}", true},
        {"o", "{\"a\": [1, 2.5, null]}", true},
        {"o", "[1]", false},
        {"o", "\"{}\"", false},
    };
    define(fixture, "b", "bool", "false");
    define(fixture, "s", "string", "\"\"");
    define(fixture, "i", "integer", "0");
    define(fixture, "o", "object", "{}");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *before = flag_at(fixture, cases[i].key, "version");
        assert_result(set(fixture, cases[i].key, cases[i].value),
                      cases[i].fits ? RESULT_OK : RESULT_FLAG_TYPE);
        assert_int_equal(strcmp(before, flag_at(fixture, cases[i].key, "version")) == 0, !cases[i].fits);
    }
    set(fixture, "b", "\"1\"");
    assert_string_equal(flag_at(fixture, "b", "value"), "true");
    set(fixture, "b", "\"0\"");
    assert_string_equal(flag_at(fixture, "b", "value"), "false");
    set(fixture, "o", "{\"b\": 1, \"a\": {\"x\": -2.5}}");
    assert_string_equal(flag_at(fixture, "o", "value"), "{\"a\":{\"x\":-2.5},\"b\":1}");
}

/* Goal: a refusal says which type is wanted and what came.
 * Method: a number for a bool. */
static void wrong_type_is_explained(void **state)
{
    struct fixture *fixture = *state;
    const struct result answer = set(fixture, "RESEARCH_LAYER", "1");
    assert_result(answer, RESULT_FLAG_TYPE);
    assert_string_equal(
        fixture_text(fixture, answer, "detail"),
        "value of flag \"RESEARCH_LAYER\": a bool flag takes true, false, \"1\" or \"0\", not an integer");
    assert_string_equal(fixture_text(fixture, answer, "type"), "bool");
}

/* Goal: a definition makes a flag; a second one changes default and safe and keeps what was set.
 * Method: define, set, define again. */
static void definition_can_be_changed(void **state)
{
    struct fixture *fixture = *state;
    assert_result(define(fixture, "cache.size", "integer", "10"), RESULT_CREATED);
    assert_string_equal(flag_at(fixture, "cache.size", "safe"), "10");
    assert_string_equal(flag_at(fixture, "cache.size", "version"), "1");
    set(fixture, "cache.size", "20");
    assert_result(
        run(fixture, "flag.define",
            "{\"key\": \"cache.size\", \"type\": \"integer\", \"default\": 11, \"safe\": 1, \"description\": "
            "\"entries\"}"),
        RESULT_OK);
    assert_string_equal(flag_at(fixture, "cache.size", "value"), "20");
    assert_string_equal(flag_at(fixture, "cache.size", "default"), "11");
    assert_string_equal(flag_at(fixture, "cache.size", "safe"), "1");
    assert_string_equal(flag_at(fixture, "cache.size", "description"), "\"entries\"");
    assert_string_equal(flag_at(fixture, "cache.size", "version"), "3");
    assert_int_equal(fixture_count(fixture, "flags.defined", AUDIT_SUCCESS), 2);
}

/* Goal: a definition is refused for a built-in flag, another type, a default or safe value of another type.
 * Method: each. */
static void bad_definition_is_refused(void **state)
{
    struct fixture *fixture = *state;
    assert_result(define(fixture, "PROMPT_MODE", "string", "\"x\""), RESULT_FLAG_BUILT_IN);
    define(fixture, "f", "bool", "true");
    assert_result(define(fixture, "f", "string", "\"x\""), RESULT_FLAG_TYPE);
    assert_result(define(fixture, "g", "bool", "\"maybe\""), RESULT_FLAG_TYPE);
    assert_result(
        run(fixture, "flag.define", "{\"key\": \"g\", \"type\": \"bool\", \"default\": true, \"safe\": 0}"),
        RESULT_FLAG_TYPE);
    assert_string_equal(flag_at(fixture, "f", "type"), "\"bool\"");
}

/* Goal: a flag that isn't defined can neither be set nor read.
 * Method: both. */
static void unknown_flag_is_not_found(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    json_t *json = NULL;
    assert_result(set(fixture, "nothing", "1"), RESULT_FLAG_NOT_FOUND);
    struct view *view = view_open(fixture->fsm);
    assert_int_equal(view_flag(view, "nothing", &json, &error), ERROR_NOT_FOUND);
    assert_int_equal(view_flag(view, "not a name", &json, &error), ERROR_NOT_FOUND);
    view_close(view);
}

/* Goal: an expected version that is not the flag's refuses the change and tells the flag's.
 * Method: right, then the same again. */
static void expected_version_guards_a_change(void **state)
{
    struct fixture *fixture = *state;
    const char *json = "{\"key\": \"PROMPT_MODE\", \"value\": \"full\", \"expected_version\": 1}";
    assert_result(fixture_run(fixture, "flag.set", json), RESULT_OK);
    const struct result answer = fixture_run(fixture, "flag.set", json);
    assert_result(answer, RESULT_VERSION_MISMATCH);
    assert_string_equal(fixture_text(fixture, answer, "version"), "2");
    assert_string_equal(fixture_text(fixture, answer, "detail"), "flag \"PROMPT_MODE\" has version 2, not 1");
}

/* Goal: several changes are all made, or none.
 * Method: three good ones; then a good one before each kind of bad one. */
static void several_changes_are_all_or_nothing(void **state)
{
    struct fixture *fixture = *state;
    const struct result answer = run(fixture, "flags.set",
                                     "{\"changes\": [{\"key\": \"PROMPT_MODE\", \"value\": \"full\"}, "
                                     "{\"key\": \"RESEARCH_LAYER\", \"value\": "
                                     "\"0\"}, {\"key\": \"SANDBOX_MODE\", \"value\": \"vm\", "
                                     "\"expected_version\": 1}], \"reason\": \"drill\"}");
    assert_result(answer, RESULT_OK);
    assert_string_equal(body_at(fixture, answer, "changes.1"),
                        "{\"key\":\"RESEARCH_LAYER\",\"value\":false,\"version\":2}");
    assert_int_equal(fixture_count(fixture, "flags.set", AUDIT_SUCCESS), 3);
    static const struct {
        const char *bad;
        enum result_code code;
    } cases[] = {
        {"{\"key\": \"nothing\", \"value\": 1}", RESULT_FLAG_NOT_FOUND},
        {"{\"key\": \"RESEARCH_LAYER\", \"value\": 7}", RESULT_FLAG_TYPE},
        {"{\"key\": \"RESEARCH_LAYER\", \"value\": true, \"expected_version\": 9}", RESULT_VERSION_MISMATCH},
        {"{\"key\": \"PROMPT_MODE\", \"value\": \"y\"}", RESULT_INVALID},
        {"{\"key\": \"DISABLE_NEW\", \"value\": false}", RESULT_USE_RESET},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_result(run(fixture, "flags.set",
                          "{\"changes\": [{\"key\": \"PROMPT_MODE\", \"value\": \"x\"}, %s]}", cases[i].bad),
                      cases[i].code);
        assert_string_equal(flag_at(fixture, "PROMPT_MODE", "value"), "\"full\"");
        assert_string_equal(flag_at(fixture, "PROMPT_MODE", "version"), "2");
    }
    assert_int_equal(fixture_count(fixture, "flags.set", AUDIT_SUCCESS), 3);
}

/* Goal: an evaluation says from which index it stems: the newest that is applied.
 * Method: read, apply something else, read again. */
static void evaluation_carries_its_index(void **state)
{
    struct fixture *fixture = *state;
    const struct result answer = set(fixture, "PROMPT_MODE", "\"full\"");
    assert_string_equal(body_at(fixture, answer, "index"), "1");
    tick(fixture);
    assert_string_equal(flag_at(fixture, "PROMPT_MODE", "index"), "2");
}

/* Goal: a record has a plain value as it is, and an object only by its length: records are hashed, and how a
 * fraction is printed depends on who prints. Method: one of each type. */
static void records_have_plain_values_only(void **state)
{
    struct fixture *fixture = *state;
    define(fixture, "o", "object", "{}");
    define(fixture, "i", "integer", "0");
    set(fixture, "o", "{\"a\": [{\"b\": 0.1}]}");
    set(fixture, "i", "-7");
    set(fixture, "RESEARCH_LAYER", "\"0\"");
    const struct audit_filter filter = {.event_type = "flags.set"};
    const struct fixture_records *rows = fixture_records(fixture, &filter);
    assert_string_equal(fixture_field(&rows->rows[0], "value"), "(16 bytes)");
    assert_string_equal(fixture_field(&rows->rows[1], "value"), "-7");
    assert_string_equal(fixture_field(&rows->rows[2], "value"), "false");
}

/* Goal: a long value is stored whole and only measured in its record; one past the bound is refused.
 * Method: 4,000 bytes; 16,385 bytes. */
static void long_values_have_a_bound(void **state)
{
    struct fixture *fixture = *state;
    assert_result(run(fixture, "flag.set", "{\"key\": \"PROMPT_MODE\", \"value\": \"%04000d\"}", 0),
                  RESULT_OK);
    const struct audit_filter filter = {.event_type = "flags.set"};
    const struct fixture_records *rows = fixture_records(fixture, &filter);
    assert_string_equal(fixture_field(&rows->rows[0], "value"), "(4003 bytes)");
    assert_int_equal(strlen(flag_at(fixture, "PROMPT_MODE", "value")), 4002);

    struct flag_set body;
    struct error error = {0};
    json_t *json = json_object();
    char *text = memory_zero(1, FLAG_VALUE_BYTES_MAX + 1);
    memset(text, 'x', FLAG_VALUE_BYTES_MAX);
    json_object_set_new(json, "key", json_string("PROMPT_MODE"));
    json_object_set_new(json, "value", json_string(text));
    assert_int_equal(schema_from_json(&flag_set_schema, json, &fixture->arena, &body, &error), ERROR_INVALID);
    assert_non_null(strstr(error.message, "value: "));
    free(text);
    json_decref(json);
}

/* Goal: flags have a bound; one that is there can still be defined anew.
 * Method: fill the store by hand, define one more and an old one. */
static void flags_have_a_bound(void **state)
{
    struct fixture *fixture = *state;
    char key[16];
    define(fixture, "old", "bool", "true");
    for (uint32_t i = 1; i < FLAGS_MAX; i++) {
        snprintf(key, sizeof key, "f%u", i);
        put_raw(fixture, store_key1('f', span_text(key)), span_of(NULL, 0));
    }
    assert_result(define(fixture, "new", "bool", "true"), RESULT_TOO_MANY);
    assert_result(define(fixture, "old", "bool", "false"), RESULT_OK);
}

/* --- lists --- */

static json_t *flags(struct fixture *fixture, uint32_t limit, const char *cursor)
{
    struct error error = {0};
    json_t *json = NULL;
    struct view *view = view_open(fixture->fsm);
    if (view_flags(view, &(struct page){.limit = limit, .cursor = cursor}, &json, &error) != ERROR_OK)
        fail_msg("%s", error.message);
    view_close(view);
    return json;
}

/* Goal: a list has built-in and defined flags in one order, each once, at any page size.
 * Method: define flags around the built-in ones and set a built-in one; page sizes 1 to 9. */
static void list_pages_hold_every_flag_once(void **state)
{
    struct fixture *fixture = *state;
    static const char *const wanted[] = {"AAA",         "CONSENSUS_ENGINE", "DISABLE_NEW",  "DISABLE_NEWER",
                                         "PROMPT_MODE", "RESEARCH_LAYER",   "SANDBOX_MODE", "zzz"};
    const size_t count = sizeof wanted / sizeof wanted[0];
    define(fixture, "zzz", "bool", "true");
    define(fixture, "AAA", "bool", "true");
    define(fixture, "DISABLE_NEWER", "bool", "true");
    set(fixture, "PROMPT_MODE", "\"full\"");
    for (uint32_t limit = 1; limit <= 9; limit++) {
        const char *cursor = NULL;
        size_t seen = 0;
        do {
            json_t *page = flags(fixture, limit, cursor), *items = json_object_get(page, "items"), *item;
            size_t i;
            assert_true(json_array_size(items) <= limit);
            json_array_foreach(items, i, item)
            {
                assert_true(seen < count);
                assert_string_equal(json_string_value(json_object_get(item, "key")), wanted[seen++]);
            }
            cursor = fixture_copy(fixture, json_string_value(json_object_get(page, "next_cursor")));
            json_decref(page);
        } while (cursor != NULL);
        assert_int_equal(seen, count);
    }
}

/* Goal: a damaged cursor or a limit out of range is refused.
 * Method: each. */
static void bad_page_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    json_t *json = NULL;
    static const struct page pages[] = {{0, NULL},  {1001, NULL}, {10, ""},
                                        {10, "xy"}, {10, "2d"},   {10, "410"}};
    struct view *view = view_open(fixture->fsm);
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
        assert_int_equal(view_flags(view, &pages[i], &json, &error), ERROR_INVALID);
    view_close(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plan_test(built_in_flags_need_no_definition),
        plan_test(set_value_holds),
        plan_test(values_are_never_coerced),
        plan_test(wrong_type_is_explained),
        plan_test(definition_can_be_changed),
        plan_test(bad_definition_is_refused),
        plan_test(unknown_flag_is_not_found),
        plan_test(expected_version_guards_a_change),
        plan_test(several_changes_are_all_or_nothing),
        plan_test(evaluation_carries_its_index),
        plan_test(records_have_plain_values_only),
        plan_test(long_values_have_a_bound),
        plan_test(list_pages_hold_every_flag_once),
        plan_test(bad_page_is_refused),
        cmocka_unit_test_setup_teardown(flags_have_a_bound, fixture_set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
