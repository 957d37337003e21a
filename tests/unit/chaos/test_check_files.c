/* Goal: a history is the same after being written and read, bad files are named with their line, and the
 * program's exit codes tell a violation from an environment that could not be used.
 * Method: random histories through a file in a folder of the test's; the program beside the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chaos/check/check.h"
#include "chaos/check/report.h"
#include "support/history_random.h"

#define PATH_BYTES 256

static char folder[64], program[PATH_BYTES];

static void path_of(const char *name, char out[PATH_BYTES])
{
    snprintf(out, PATH_BYTES, "%s/%s", folder, name);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/check-files-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int tear_down(void **state)
{
    static const char *const files[] = {"history.jsonl", "again.jsonl", "verdict.json", "report.html"};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        char path[PATH_BYTES];
        path_of(files[i], path);
        unlink(path);
    }
    return rmdir(folder);
}

static void write_text(const char *text)
{
    char path[PATH_BYTES];
    path_of("history.jsonl", path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static char *read_text(const char *name)
{
    char path[PATH_BYTES];
    path_of(name, path);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *text = memory_zero(1, 1 << 24);
    assert_true(fread(text, 1, (1 << 24) - 1, file) > 0);
    fclose(file);
    return text;
}

static void write_random(enum plant plant)
{
    const struct random_options options = {
        .seed = 3, .ops = 500, .clients = 5, .flags = 3, .accounts = 3, .unknown_ppm = 30000, .plant = plant};
    char path[PATH_BYTES];
    bool planted;
    struct error error;
    struct history *history = history_random(&options, &planted);
    history->about = "a \"quoted\" <run> & more";
    history_add_fault(history, &(struct history_fault){"partition", "n1,n2", 10000000, 90000000});
    path_of("history.jsonl", path);
    assert_int_equal(history_write(history, path, &error), ERROR_OK);
    history_free(history);
}

/* @return the program's exit code */
static int run(const char *arguments)
{
    char command[4 * PATH_BYTES];
    snprintf(command, sizeof command, "%s %s >/dev/null 2>&1", program, arguments);
    const int status = system(command);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_history_is_the_same_after_writing_and_reading(void **state)
{
    (void)state;
    char again[PATH_BYTES];
    struct history *history;
    struct error error;
    write_random(PLANT_NOTHING);
    assert_int_equal(history_read(folder, &history, &error), ERROR_OK);
    assert_int_equal(history->op_count, 500);
    path_of("again.jsonl", again);
    assert_int_equal(history_write(history, again, &error), ERROR_OK);
    history_free(history);
    char *first = read_text("history.jsonl"), *second = read_text("again.jsonl");
    assert_string_equal(first, second);
    free(first);
    free(second);
}

static void a_bad_line_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"{\"type\":\"history\"}\n{\"type\":\"o", "history.jsonl:2: "},
        {"{\"type\":\"dance\"}\n", "type is none"},
        {"{\"type\":\"op\",\"kind\":\"set\",\"outcome\":\"maybe\"}\n", "outcome is none"},
        {"{\"type\":\"op\",\"kind\":\"fly\",\"outcome\":\"ok\"}\n", "no kind"},
        {"{\"type\":\"op\",\"kind\":\"read\",\"key\":\"f\",\"outcome\":\"ok\",\"invoke_ns\":9,\"complete_"
         "ns\":8}\n",
         "complete_ns"},
        {"{\"type\":\"op\",\"kind\":\"set\",\"key\":\"f\",\"outcome\":\"unknown\",\"invoke_ns\":9}\n",
         "integer as value"},
        {"{\"type\":\"op\",\"kind\":\"plan_read\",\"key\":\"f\",\"outcome\":\"ok\",\"invoke_ns\":9,"
         "\"complete_ns\":9}\n",
         "phase"},
        {"{\"type\":\"event\",\"follower\":\"x\",\"seq\":1}\n", "wasn't named"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct history *history;
        struct error error = {0};
        write_text(rows[i].text);
        assert_int_equal(history_read(folder, &history, &error), ERROR_CORRUPT);
        if (strstr(error.message, rows[i].message) == NULL)
            fail_msg("\"%s\" isn't in \"%s\"", rows[i].message, error.message);
    }
}

static void the_exit_code_tells_violation_usage_and_environment_apart(void **state)
{
    (void)state;
    write_random(PLANT_NOTHING);
    assert_int_equal(run(folder), 0);
    assert_int_equal(run("--require flags,audit,events"), 2); /* of what? */
    char words[2 * PATH_BYTES];
    snprintf(words, sizeof words, "--require flags,nonsense %s", folder);
    assert_int_equal(run(words), 2);
    snprintf(words, sizeof words, "--require recovery %s", folder);
    assert_int_equal(run(words), 1);
    write_random(PLANT_STATE);
    assert_int_equal(run(folder), 1);
    assert_int_equal(run("/nowhere"), 3);
    write_text("{\"type\":\"environment\",\"message\":\"no namespaces\"}\n");
    assert_int_equal(run(folder), 3);
    write_text("{\"type\":\"history\"}\n");
    assert_int_equal(run(folder), 3);
    write_text("nonsense\n");
    assert_int_equal(run(folder), 3);
}

static void the_verdict_is_written_for_machines_and_people(void **state)
{
    (void)state;
    write_random(PLANT_STATE);
    assert_int_equal(run(folder), 1);
    char *text = read_text("verdict.json");
    json_error_t error;
    json_t *verdict = json_loads(text, 0, &error);
    free(text);
    assert_non_null(verdict);
    assert_string_equal(json_string_value(json_object_get(verdict, "verdict")), "violated");
    assert_int_equal(json_array_size(json_object_get(verdict, "checks")), CHECK_KIND_COUNT);
    json_t *rows = json_object_get(verdict, "availability");
    assert_int_equal(json_array_size(rows), 2); /* the fault, and the time without one */
    assert_string_equal(json_string_value(json_object_get(json_array_get(rows, 0), "fault")), "partition");
    assert_true(json_integer_value(json_object_get(json_array_get(rows, 0), "changes")) > 0);
    json_decref(verdict);
    char *page = read_text("report.html");
    assert_non_null(strstr(page, "a &quot;quoted&quot; &lt;run&gt; &amp; more"));
    assert_non_null(strstr(page, "<svg"));
    assert_null(strstr(page, "src="));
    assert_null(strstr(page, "href="));
    free(page);
}

int main(int count, char **words)
{
    (void)count;
    const char *slash = strrchr(words[0], '/');
    const int length = slash != NULL ? (int)(slash - words[0]) : 1;
    snprintf(program, sizeof program, "%.*s/chaos-check", length, slash != NULL ? words[0] : ".");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_history_is_the_same_after_writing_and_reading, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bad_line_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_exit_code_tells_violation_usage_and_environment_apart, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_verdict_is_written_for_machines_and_people, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
