/* What a client may do wrong, and what the service may say: each ends in its own status and code, as a
 * problem. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/check.h"
#include "node/http/problem.h"
#include "tests/support/http_fixture.h"

static int set_up(void **state)
{
    *state = http_fixture_new(NULL);
    return 0;
}

static int tear_down(void **state)
{
    http_fixture_free(*state);
    return 0;
}

static void expect(struct http_fixture *self, const char *method, const char *path, const char *body,
                   int status, const char *code, const char *words)
{
    struct http_answer answer = fixture_send(self, method, path, body);
    assert_problem_says(&answer, status, code, words);
}

/* Nothing that was refused before it was proposed may have reached the service. */
static void assert_no_change(struct http_fixture *self)
{
    struct service_fake_seen seen;
    service_fake_seen(self->service, &seen);
    assert_int_equal(seen.changes, 0);
    assert_int_equal(seen.acts, 0);
}

/* Goal: a path that isn't there is 404 `route_not_found`.
 * Method: a wrong path, and routes of capabilities that this version doesn't have. */
static void unknown_route(void **state)
{
    expect(*state, "GET", "/v1/nothing", NULL, 404, "route_not_found", "");
    expect(*state, "GET", "/v1/event", NULL, 404, "route_not_found", "");
    expect(*state, "POST", "/v1/ha/backups", "{}", 404, "route_not_found", "");
    expect(*state, "GET", "/1/2/3/4/5/6/7/8/9/10", NULL, 404, "route_not_found", "");
    assert_no_change(*state);
}

/* Goal: a path that isn't text is 400, whatever route it might have meant.
 * Method: a damaged escape, an escaped NUL, a byte that isn't UTF-8. */
static void damaged_path(void **state)
{
    expect(*state, "GET", "/v1/flags/%zz", NULL, 400, "malformed", "escape");
    expect(*state, "GET", "/v1/flags/a%00b", NULL, 400, "malformed", "escape");
    expect(*state, "GET", "/v1/flags/%ff", NULL, 400, "malformed", "UTF-8");
    expect(*state, "POST", "/v1/ha/failover", "[", 400, "malformed", "");
    expect(*state, "POST", "/v1/ha/members", "[", 400, "malformed", "");
    assert_no_change(*state);
}

/* Goal: another method than a path has is 405 and Allow names those it has.
 * Method: DELETE on a flag, and a method nobody knows. */
static void unknown_method(void **state)
{
    struct http_answer answer = fixture_send(*state, "DELETE", "/v1/flags/PROMPT_MODE", NULL);
    assert_string_equal(http_answer_header(&answer, "Allow"), "GET, HEAD, PUT, OPTIONS");
    assert_problem_says(&answer, 405, "method_not_allowed", "GET, HEAD, PUT");
    expect(*state, "BREW", "/v1/rollouts", NULL, 405, "method_not_allowed", "BREW");
    assert_no_change(*state);
}

/* Goal: a field that the command doesn't have is 422 and named.
 * Method: one unknown field at the top, one deep inside a plan. */
static void unknown_field(void **state)
{
    struct http_answer answer =
        fixture_send(*state, "POST", "/v1/rollouts",
                     "{\"artifact\":{\"name\":\"a\",\"version\":\"1\"},\"stages\":[{},"
                     "{\"gates\":[{\"kind\":\"manual\",\"colour\":\"red\"}]}]}");
    assert_string_equal(json_text_at(answer.json, "path"), "stages[1].gates[0].colour");
    assert_problem(&answer, 422, "invalid_field");
    answer = fixture_get(*state, "/v1/flags?limit=0");
    assert_string_equal(json_text_at(answer.json, "path"), "limit");
    assert_problem(&answer, 422, "invalid_field");
    expect(*state, "POST", "/v1/rollouts/p-1/halt", "{\"reason\":\"r\",\"colour\":\"red\"}", 422,
           "invalid_field", "colour");
    expect(*state, "POST", "/v1/rollouts",
           "{\"artifact\":{\"name\":\"a\",\"version\":\"1\"},\"stages\":[{\"stage_id\":\"s\",\"target\":{"
           "\"percent\":1,"
           "\"size\":2}}]}",
           422, "invalid_field", "size");
    assert_no_change(*state);
}

/* Goal: an argument that the route doesn't take is 422: a filter with a typo must not answer everything.
 * Method: a misspelt audit filter, a list argument on a health route. */
static void unknown_query_argument(void **state)
{
    expect(*state, "GET", "/v1/audit?categroy=rollout", NULL, 422, "invalid_field", "categroy");
    expect(*state, "GET", "/v1/health?limit=1", NULL, 422, "invalid_field", "known: timeout");
}

/* Goal: an action on a plan, stage, flag or switch that isn't there is 404 and says which.
 * Method: reads and changes of each. */
static void unknown_things(void **state)
{
    expect(*state, "GET", "/v1/rollouts/nope", NULL, 404, "plan_not_found", "nope");
    expect(*state, "POST", "/v1/rollouts/nope/halt", "{\"reason\":\"r\"}", 404, "plan_not_found", "nope");
    expect(*state, "GET", "/v1/rollouts/nope/stages/canary/gates", NULL, 404, "plan_not_found", "nope");
    expect(*state, "GET", "/v1/flags/nope", NULL, 404, "flag_not_found", "nope");
    expect(*state, "PUT", "/v1/flags/nope", "{\"value\":\"1\",\"reason\":\"r\"}", 404, "flag_not_found",
           "nope");
    expect(*state, "GET", "/v1/kill-switches/nope", NULL, 404, "kill_switch_not_found", "nope");
    expect(*state, "POST", "/v1/kill-switches/nope/activate", "{\"reason\":\"r\"}", 404,
           "kill_switch_not_found", "nope");
    fixture_publish_plan(*state, PLAN_BODY("p-1"));
    expect(*state, "GET", "/v1/rollouts/p-1/stages/nope/gates", NULL, 404, "stage_not_found", "nope");
}

/* Goal: a phase that doesn't exist is 422 and the answer names it.
 * Method: the list of plans with a misspelt phase. */
static void unknown_phase(void **state)
{
    expect(*state, "GET", "/v1/rollouts?phase=aktive", NULL, 422, "invalid_field", "aktive");
}

/* Goal: a field of the wrong type is 422 with its path.
 * Method: text for a number, a number for text, null for what is required, an array for the whole. */
static void wrong_type(void **state)
{
    expect(*state, "POST", "/v1/rollouts/p-1/halt", "{\"reason\":7}", 422, "invalid_field", "reason");
    expect(*state, "POST", "/v1/rollouts/p-1/halt", "{\"reason\":null}", 422, "invalid_field", "reason");
    expect(*state, "POST", "/v1/rollouts",
           "{\"artifact\":{\"name\":\"a\",\"version\":\"1\"},\"stages\":[{\"stage_id\":\"s\",\"target\":{"
           "\"percent\":\"5\"}}]}",
           422, "invalid_field", "stages[0].target.percent");
    expect(*state, "POST", "/v1/rollouts/p-1/halt", "[1]", 422, "invalid_field", "object");
    expect(*state, "POST", "/v1/rollouts/p-1/recover", "{\"reason\":\"r\",\"strategy\":\"again\"}", 422,
           "invalid_field", "strategy");
    assert_no_change(*state);
}

/* Goal: what is required and missing is 422 and named.
 * Method: halt without a reason, with an empty body and without any; a plan without stages. */
static void missing_field(void **state)
{
    expect(*state, "POST", "/v1/rollouts/p-1/halt", "{}", 422, "invalid_field", "reason");
    expect(*state, "POST", "/v1/rollouts/p-1/halt", NULL, 422, "invalid_field", "reason");
    expect(*state, "POST", "/v1/rollouts", "{\"artifact\":{\"name\":\"a\",\"version\":\"1\"}}", 422,
           "invalid_field", "stages");
    expect(*state, "POST", "/v1/ha/failover", "{}", 422, "invalid_field", "reason");
    assert_no_change(*state);
}

/* A text of `length` times `byte`; freed with the program. */
static char *repeated(char byte, size_t length)
{
    char *text = memory_new(length + 1);
    memset(text, byte, length);
    text[length] = '\0';
    return text;
}

/* Goal: what is too long is refused with the bound that it broke: fields 422, paths 414.
 * Method: a reason of 1,025 bytes, an id of 129, a path of 2,049. */
static void too_long(void **state)
{
    char *reason = repeated('r', 1025), *id = repeated('p', 129), *path = repeated('a', 2049);
    char text[4096];
    snprintf(text, sizeof(text), "{\"reason\":\"%s\"}", reason);
    expect(*state, "POST", "/v1/rollouts/p-1/halt", text, 422, "invalid_field", "reason");
    snprintf(text, sizeof(text), "/v1/rollouts/%s/halt", id);
    expect(*state, "POST", text, "{\"reason\":\"r\"}", 422, "invalid_field", "plan_id");
    path[0] = '/';
    expect(*state, "GET", path, NULL, 414, "uri_too_long", "2048");
    assert_no_change(*state);
    free(reason);
    free(id);
    free(path);
}

/* Goal: JSON deeper than 32 is 400, before anything of it is used.
 * Method: 40 nested arrays as a field. */
static void too_deep(void **state)
{
    char *open = repeated('[', 40), *close = repeated(']', 40);
    char text[256];
    snprintf(text, sizeof(text), "{\"value\":%s%s,\"reason\":\"r\"}", open, close);
    expect(*state, "PUT", "/v1/flags/PROMPT_MODE", text, 400, "malformed", "");
    assert_no_change(*state);
    free(open);
    free(close);
}

/* Goal: more elements than a list may have is 422 with the bound.
 * Method: a plan of 65 stages; a query of 25 arguments is 400. */
static void too_many(void **state)
{
    struct bytes body;
    bytes_init(&body, 0);
    bytes_append_text(&body, "{\"artifact\":{\"name\":\"a\",\"version\":\"1\"},\"stages\":[");
    for (int i = 0; i < 65; i++)
        bytes_printf(&body, "%s{\"stage_id\":\"s%d\",\"target\":{\"percent\":1}}", i > 0 ? "," : "", i);
    bytes_append_text(&body, "]}");
    bytes_append(&body, "", 1);
    expect(*state, "POST", "/v1/rollouts", (const char *)body.data, 422, "invalid_field", "stages");
    bytes_clear(&body);
    bytes_append_text(&body, "/v1/rollouts?a0=1");
    for (int i = 1; i < 25; i++)
        bytes_printf(&body, "&a%d=1", i);
    bytes_append(&body, "", 1);
    expect(*state, "GET", (const char *)body.data, NULL, 400, "malformed", "24");
    bytes_done(&body);
    assert_no_change(*state);
}

/* Goal: a body that isn't JSON, or isn't UTF-8, is 400.
 * Method: cut JSON, two values, a doubled key, a stray 0xff, an escaped NUL, plain text. */
static void unparsable_body(void **state)
{
    static const char *const bodies[] = {"{\"reason\":",
                                         "{\"reason\":\"r\"} {}",
                                         "{\"reason\":\"r\",\"reason\":\"s\"}",
                                         "{\"reason\":\"\xff\"}",
                                         "hello",
                                         "{\"reason\":\"a\\u0000b\"}"};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        expect(*state, "POST", "/v1/rollouts/p-1/halt", bodies[i], 400, "malformed", "");
    assert_no_change(*state);
}

/* Goal: a body of another media type is 415: nobody's form is taken for JSON.
 * Method: what plain curl -d and a browser's form send; JSON with a charset is fine. */
static void media_types(void **state)
{
    struct http_answer answer =
        fixture_send_as(*state, "POST", "/v1/rollouts/p-1/halt",
                        "Content-Type: application/x-www-form-urlencoded\r\n", "{\"reason\":\"r\"}");
    assert_problem_says(&answer, 415, "unsupported_media_type", "application/json");
    answer = fixture_send_as(*state, "POST", "/v1/rollouts/p-1/halt", "Content-Type: application/jsonx\r\n",
                             "{\"reason\":\"r\"}");
    assert_problem(&answer, 415, "unsupported_media_type");
    answer = fixture_send_as(*state, "PUT", "/v1/flags/PROMPT_MODE",
                             "Content-Type: application/json\r\nContent-Encoding: gzip\r\n", "{}");
    assert_problem_says(&answer, 415, "unsupported_media_type", "Content-Encoding");
    assert_no_change(*state);
    answer = fixture_send_as(*state, "POST", "/v1/rollouts/p-1/halt",
                             "Content-Type: Application/JSON; charset=utf-8\r\n", "{\"reason\":\"r\"}");
    assert_problem(&answer, 404, "plan_not_found");
}

/* Goal: headers that name people and requests are checked before they get into the log: 400 else.
 * Method: too long, with blanks, with control characters, not UTF-8, only blanks, reserved. */
static void headers_are_checked(void **state)
{
    char *long_key = repeated('k', 129), *long_name = repeated('n', 257);
    char lines[11][400];
    snprintf(lines[0], sizeof(lines[0]), "Idempotency-Key: %s\r\n", long_key);
    snprintf(lines[1], sizeof(lines[1]), "Idempotency-Key: a b\r\n");
    snprintf(lines[2], sizeof(lines[2]), "Idempotency-Key: caf\xc3\xa9\r\n");
    snprintf(lines[3], sizeof(lines[3]), "X-Autonomy-Operator: %s\r\n", long_name);
    snprintf(lines[4], sizeof(lines[4]),
             "X-Autonomy-Operator: a\x01"
             "b\r\n");
    snprintf(lines[5], sizeof(lines[5]), "X-Autonomy-Operator: a\xff\r\n");
    snprintf(lines[6], sizeof(lines[6]), "X-Autonomy-Operator: system\r\n");
    snprintf(lines[7], sizeof(lines[7]), "X-Autonomy-Timeout-Ms: soon\r\n");
    snprintf(lines[8], sizeof(lines[8]), "X-Autonomy-Operator: \xc2\xa0\r\n");
    snprintf(lines[9], sizeof(lines[9]), "X-Autonomy-Operator: \xc2\xa0System\xe2\x80\x8b\r\n");
    snprintf(lines[10], sizeof(lines[10]), "X-Autonomy-Timeout-Ms: 60001\r\n");
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct http_answer answer =
            fixture_send_as(*state, "POST", "/v1/rollouts/p-1/halt", lines[i], "{\"reason\":\"r\"}");
        assert_problem(&answer, 400, "invalid_header");
    }
    struct http_answer answer = fixture_send_as(*state, "POST", "/v1/rollouts/p-1/halt",
                                                "X-Autonomy-Source: edge\r\n", "{\"reason\":\"r\"}");
    assert_problem(&answer, 400, "invalid_header");
    assert_no_change(*state);
    free(long_key);
    free(long_name);
}

/* Goal: a page of another site can't change anything through somebody's browser; reading its own is fine.
 * Method: Origin of another host, of none, of the same address; a read with a foreign one. */
static void foreign_pages_change_nothing(void **state)
{
    static const char *const foreign[] = {"Origin: https://example.com\r\n", "Origin: null\r\n",
                                          "Origin: http://localhost.example.com\r\n"};
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        struct http_answer answer =
            fixture_send_as(*state, "POST", "/v1/rollouts/p-1/pause", foreign[i], NULL);
        assert_problem_says(&answer, 403, "denied", "Origin");
    }
    assert_no_change(*state);
    struct http_answer answer =
        fixture_send_as(*state, "POST", "/v1/rollouts/p-1/pause", "Origin: http://LOCALHOST\r\n", NULL);
    assert_problem(&answer, 404, "plan_not_found");
    answer = fixture_send_as(*state, "GET", "/v1/flags", foreign[0], NULL);
    assert_status(&answer, 200);
    http_answer_done(&answer);
}

/* Goal: the same id twice is 409 `plan_exists`, and the first plan stays.
 * Method: creates p-1 twice under different request ids. */
static void duplicate_plan(void **state)
{
    fixture_publish_plan(*state, PLAN_BODY("p-1"));
    expect(*state, "POST", "/v1/rollouts", PLAN_BODY("p-1"), 409, "plan_exists", "p-1");
    struct http_answer answer = fixture_get(*state, "/v1/rollouts/p-1");
    assert_status(&answer, 200);
    assert_string_equal(json_text_at(answer.json, "phase"), "active");
    http_answer_done(&answer);
}

/* Goal: an action on a terminal plan is 409 `plan_terminal` and names the phase.
 * Method: halts a plan that was rolled back. */
static void terminal_plan(void **state)
{
    fixture_publish_plan(*state, PLAN_BODY("p-1"));
    struct http_answer answer = fixture_send(*state, "POST", "/v1/rollouts/p-1/recover",
                                             "{\"strategy\":\"rollback\",\"reason\":\"bad\"}");
    assert_status(&answer, 200);
    assert_string_equal(json_text_at(answer.json, "new_phase"), "rolled_back");
    http_answer_done(&answer);
    expect(*state, "POST", "/v1/rollouts/p-1/halt", "{\"reason\":\"r\"}", 409, "plan_terminal",
           "rolled_back");
}

/* Goal: the path decides; a body that contradicts it is 422, one that repeats it is fine.
 * Method: another plan_id in the body, then the same. */
static void body_contradicts_path(void **state)
{
    expect(*state, "POST", "/v1/rollouts/p-1/halt", "{\"plan_id\":\"p-2\",\"reason\":\"r\"}", 422,
           "invalid_field", "plan_id");
    expect(*state, "POST", "/v1/rollouts/p-1/halt", "{\"plan_id\":3,\"reason\":\"r\"}", 422, "invalid_field",
           "plan_id");
    assert_no_change(*state);
    expect(*state, "POST", "/v1/rollouts/p-1/halt", "{\"plan_id\":\"p-1\",\"reason\":\"r\"}", 404,
           "plan_not_found", "p-1");
}

/* Goal: a command that wouldn't fit the log is 413, though its body is within the body's limit.
 * Method: a flag's value of 70,000 bytes. */
static void command_too_big(void **state)
{
    struct bytes body;
    char *value = repeated('v', 900);
    bytes_init(&body, 0);
    bytes_append_text(&body, "{\"artifact\":{\"name\":\"a\",\"version\":\"1\"},\"stages\":[");
    for (int stage = 0; stage < 64; stage++) {
        bytes_printf(&body, "%s{\"stage_id\":\"s%d\",\"target\":{\"nodes\":[", stage > 0 ? "," : "", stage);
        for (int node = 0; node < 16; node++)
            bytes_printf(&body, "%s\"n%d-%d-%.100s\"", node > 0 ? "," : "", stage, node, value);
        bytes_append_text(&body, "]}}");
    }
    bytes_append_text(&body, "]}");
    bytes_append(&body, "", 1);
    expect(*state, "POST", "/v1/rollouts", (const char *)body.data, 413, "too_big", "65536");
    assert_no_change(*state);
    bytes_done(&body);
    free(value);
}

/* Goal: each error of the service has its status and code; what may go away says Retry-After.
 * Method: the fake answers a change with each of them, first at once, then after it took the command. */
static void service_errors(void **state)
{
    static const struct {
        enum error_code error;
        int status;
        const char *code;
    } rows[] = {
        {ERROR_BUSY, 503, "busy"},
        {ERROR_UNAVAILABLE, 503, "unavailable"},
        {ERROR_NOT_LEADER, 503, "not_leader"},
        {ERROR_CLOSED, 503, "closed"},
        {ERROR_UNKNOWN, 504, "unknown"},
        {ERROR_TIMEOUT, 504, "timeout"},
        {ERROR_NO_SPACE, 507, "no_space"},
        {ERROR_TOO_BIG, 413, "too_big"},
        {ERROR_DENIED, 403, "denied"},
        {ERROR_IO, 500, "io"},
    };
    struct http_fixture *self = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        service_fake_refuse(self->service, rows[i].error, "the reason in words");
        expect(self, "POST", "/v1/rollouts/p-1/halt", "{\"reason\":\"r\"}", rows[i].status, rows[i].code,
               "the reason in words");
        service_fake_refuse(self->service, ERROR_OK, NULL);
        service_fake_fail(self->service, rows[i].error, "the reason in words");
        expect(self, "POST", "/v1/rollouts/p-1/halt", "{\"reason\":\"r\"}", rows[i].status, rows[i].code,
               "the reason in words");
        service_fake_fail(self->service, ERROR_OK, NULL);
    }
}

/* Goal: every error code there is has a status of its own choosing, none falls through.
 * Method: walks the enum. */
static void every_error_code_has_a_status(void **state)
{
    (void)state;
    for (int code = ERROR_OK + 1; code < ERROR_COUNT; code++) {
        uint32_t status = problem_status((enum error_code)code);
        assert_true(status >= 400 && status < 600);
        if (status == 500)
            assert_true(code == ERROR_IO || code == ERROR_CORRUPT);
    }
}

/* Goal: arguments have ranges and are refused outside of them, naming the argument.
 * Method: bad limits, cursors, times, orders, consistency, durations, flags; the same argument twice. */
static void query_arguments_are_checked(void **state)
{
    static const struct {
        const char *path, *word;
    } rows[] = {
        {"/v1/rollouts?limit=0", "limit"},
        {"/v1/rollouts?limit=1001", "limit"},
        {"/v1/rollouts?limit=many", "limit"},
        {"/v1/rollouts?limit=-1", "limit"},
        {"/v1/rollouts?cursor=%C3%A9", "cursor"},
        {"/v1/audit?limit=1001", "limit"},
        {"/v1/audit?cursor=x1", "cursor"},
        {"/v1/audit?cursor=a1", "cursor"},
        {"/v1/audit?cursor=d0", "cursor"},
        {"/v1/audit?start_time=yesterday", "start_time"},
        {"/v1/audit?order=up", "order"},
        {"/v1/audit?category=weather", "weather"},
        {"/v1/audit?outcome=fine", "fine"},
        {"/v1/rollouts?consistency=eventual", "consistency"},
        {"/v1/rollouts?index=x&wait=1s", "index"},
        {"/v1/rollouts?index=1&wait=soon", "wait"},
        {"/v1/rollouts?index=1&wait=61s", "wait"},
        {"/v1/rollouts?wait=1s", "takes both"},
        {"/v1/rollouts?index=1", "takes both"},
        {"/v1/events?category=flags,weather", "\"weather\" is none of rollout, ha"},
        {"/v1/rollouts?timeout=0", "timeout"},
        {"/v1/rollouts?timeout=61s", "within 1ms .. 60s"},
        {"/v1/rollouts/stuck?threshold_seconds=x", "threshold_seconds"},
        {"/v1/ha/epochs?limit=0", "limit"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect(*state, "GET", rows[i].path, NULL, 422, "invalid_field", rows[i].word);
    expect(*state, "POST", "/v1/rollouts?publish=yes", PLAN_BODY("p-1"), 422, "invalid_field", "publish");
    expect(*state, "GET", "/v1/rollouts?limit=1&limit=2", NULL, 400, "malformed", "twice");
    expect(*state, "GET", "/v1/rollouts?limit=%4", NULL, 400, "malformed", "");
    assert_no_change(*state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(unknown_route, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_path, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_method, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_field, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_query_argument, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_things, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_phase, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_type, set_up, tear_down),
        cmocka_unit_test_setup_teardown(missing_field, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_long, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_deep, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unparsable_body, set_up, tear_down),
        cmocka_unit_test_setup_teardown(media_types, set_up, tear_down),
        cmocka_unit_test_setup_teardown(headers_are_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(foreign_pages_change_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(duplicate_plan, set_up, tear_down),
        cmocka_unit_test_setup_teardown(terminal_plan, set_up, tear_down),
        cmocka_unit_test_setup_teardown(body_contradicts_path, set_up, tear_down),
        cmocka_unit_test_setup_teardown(command_too_big, set_up, tear_down),
        cmocka_unit_test_setup_teardown(service_errors, set_up, tear_down),
        cmocka_unit_test(every_error_code_has_a_status),
        cmocka_unit_test_setup_teardown(query_arguments_are_checked, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
