/* YAML as JSON: what reads as what, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tools/autonomy/yaml.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* Goal: each form of YAML gives the JSON that a reader expects.
 * Method: text beside the JSON it stands for. */
static void yaml_reads_as_json(void **state)
{
    static const struct {
        const char *yaml, *json;
    } rows[] = {
        {"a: 1", "{\"a\":1}"},
        {"a: -5\nb: 0", "{\"a\":-5,\"b\":0}"},
        {"version: 2.4", "{\"version\":\"2.4\"}"},
        {"version: 2.4.1", "{\"version\":\"2.4.1\"}"},
        {"a: 007\nb: 0x10\nc: 1e3\nd: +1", "{\"a\":\"007\",\"b\":\"0x10\",\"c\":\"1e3\",\"d\":\"+1\"}"},
        {"a: 99999999999999999999", "{\"a\":\"99999999999999999999\"}"},
        {"a: true\nb: false\nc: null\nd: ~\ne:", "{\"a\":true,\"b\":false,\"c\":null,\"d\":null,\"e\":null}"},
        {"a: yes\nb: no\nc: on", "{\"a\":\"yes\",\"b\":\"no\",\"c\":\"on\"}"},
        {"a: \"1\"\nb: 'true'\nc: \"\"", "{\"a\":\"1\",\"b\":\"true\",\"c\":\"\"}"},
        {"a: 2026-01-02T03:04:05Z", "{\"a\":\"2026-01-02T03:04:05Z\"}"},
        {"- {kind: time_soak, seconds: 600}\n- [1, x]",
         "[{\"kind\":\"time_soak\",\"seconds\":600},[1,\"x\"]]"},
        {"a: |\n  two\n  lines\n", "{\"a\":\"two\\nlines\\n\"}"},
        {"---\na: 1\n...\n", "{\"a\":1}"},
        {"{\"a\": [1, null, \"x\"]}", "{\"a\":[1,null,\"x\"]}"},
        {"a: é\n\"b c\": \"\\u00e9\"", "{\"a\":\"é\",\"b c\":\"é\"}"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error error = {0};
        json_t *json = NULL;
        if (yaml_to_json("x", rows[i].yaml, strlen(rows[i].yaml), &json, &error) != ERROR_OK)
            fail_msg("%s: %s", rows[i].yaml, error.message);
        char *text = json_dumps(json, JSON_COMPACT);
        assert_string_equal(text, rows[i].json);
        free(text);
        json_decref(json);
    }
}

/* Goal: what can hide something, or grow past the file, is refused with file, line and column.
 * Method: one text for each refusal. */
static void hidden_and_growing_forms_are_refused(void **state)
{
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        {"a: &x [1]\nb: *x", "plan.yaml:1:4: anchors and tags"},
        {"a: *x", "plan.yaml:1:4: aliases"},
        {"a: !!str 1", "plan.yaml:1:4: anchors and tags"},
        {"a: !evil {b: 1}", "anchors and tags"},
        {"&k a: 1", "anchors and tags"},
        {"a: 1\nb: 2\na: 3", "plan.yaml:3:1: this key stands here twice"},
        {"a: 1\n---\nb: 2", "more than one document"},
        {"", "the file is empty"},
        {"# nothing\n", "the file is empty"},
        {"a: [1, 2", "plan.yaml:"},
        {"a: b: c", "plan.yaml:1:"},
        {"\ta: 1", "plan.yaml:1:"},
        {"? [a]\n: 1", "a key has to be a text"},
        {"a: \"\\0\"\nb: \xff", "plan.yaml:"},
        {"a: \"b\\0c\"", "plan.yaml:1:4: a text with a NUL"},
        {"\"a\\0b\": 1", "a key that isn't"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error error = {0};
        json_t *json = NULL;
        enum error_code code = yaml_to_json("plan.yaml", rows[i].yaml, strlen(rows[i].yaml), &json, &error);
        if (code != ERROR_INVALID || !strstr(error.message, rows[i].says))
            fail_msg("row %zu: %d, %s", i, (int)code, error.message);
        assert_null(json);
    }
}

/* Goal: depth, number of values and size end at their bounds, not at the machine's.
 * Method: one under and one over each bound. */
static void bounds_hold(void **state)
{
    char *text = malloc(2 * YAML_BYTES_MAX);
    struct error error = {0};
    json_t *json = NULL;
    (void)state;
    for (unsigned depth = YAML_DEPTH_MAX - 1; depth <= YAML_DEPTH_MAX; depth++) {
        memset(text, '[', depth);
        text[depth] = '1';
        memset(text + depth + 1, ']', depth);
        enum error_code code = yaml_to_json("x", text, 2 * (size_t)depth + 1, &json, &error);
        assert_int_equal(code, depth < YAML_DEPTH_MAX ? ERROR_OK : ERROR_INVALID);
        if (code == ERROR_OK)
            json_decref(json);
    }
    for (unsigned values = YAML_VALUES_MAX; values <= YAML_VALUES_MAX + 1; values++) {
        size_t length = 0;
        text[length++] = '[';
        for (unsigned i = 1; i < values; i++) { /* the list itself is one */
            text[length++] = '1';
            text[length++] = ',';
        }
        text[length++] = ']';
        enum error_code code = yaml_to_json("x", text, length, &json, &error);
        assert_int_equal(code, values == YAML_VALUES_MAX ? ERROR_OK : ERROR_TOO_BIG);
        if (code == ERROR_OK)
            json_decref(json);
    }
    memset(text, ' ', YAML_BYTES_MAX + 1);
    assert_int_equal(yaml_to_json("x", text, YAML_BYTES_MAX + 1, &json, &error), ERROR_TOO_BIG);
    free(text);
}

/* Goal: what is written reads back as the same, whatever it looks like.
 * Method: texts that look like numbers, keywords, markers; nested values. */
static void written_yaml_reads_back(void **state)
{
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:i, s:b, s:n, s:{s:[s,i]}}", "number", "42", "word",
                             "true", "empty", "", "url", "http://127.0.0.1:7101,http://n2", "int", -7, "yes",
                             1, "none", "deep", "list", "- x: y # z", 1);
    char *text = NULL;
    struct error error = {0};
    json_t *again = NULL;
    (void)state;
    assert_int_equal(yaml_from_json(json, &text, &error), ERROR_OK);
    assert_int_equal(yaml_to_json("x", text, strlen(text), &again, &error), ERROR_OK);
    assert_true(json_equal(json, again));
    free(text);
    json_decref(json);
    json_decref(again);
}

/* Goal: a file that can't be read says which and why.
 * Method: a missing file, a folder. */
static void unreadable_files_are_named(void **state)
{
    struct error error = {0};
    json_t *json = NULL;
    (void)state;
    assert_int_equal(yaml_read_file("/nonexistent/plan.yaml", &json, &error), ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, "/nonexistent/plan.yaml"));
    assert_int_equal(yaml_read_file("/tmp", &json, &error), ERROR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml_reads_as_json),
        cmocka_unit_test(hidden_and_growing_forms_are_refused),
        cmocka_unit_test(bounds_hold),
        cmocka_unit_test(written_yaml_reads_back),
        cmocka_unit_test(unreadable_files_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
