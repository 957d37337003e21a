/* Where a request begins and ends, and for whom it is: what is refused before a route is looked for, by us as
 * a problem, by libmicrohttpd with a page of its own; both close the connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <microhttpd.h>

#include "base/check.h"
#include "tests/support/http_fixture.h"

#define LONG_BYTES 40000u
#define LIBRARY_CHECKS_MORE                                                                                  \
    (MHD_VERSION >= 0x00097700) /* later ones refuse by themselves some of what is ours to refuse */

static int set_up(void **state)
{
    *state = http_fixture_new(NULL);
    return *state == NULL;
}

static int tear_down(void **state)
{
    http_fixture_free(*state);
    return 0;
}

/* One request as bytes; its answer, after which the connection must be closed. */
static struct http_answer ask_raw(struct http_fixture *self, const char *text)
{
    int fd = http_connect(self->port);
    assert_true(http_send_text(fd, text));
    struct http_answer answer = http_receive(fd);
    assert_true(http_closed(fd, 5000));
    close(fd);
    return answer;
}

/* Goal: a request whose length or host can be read in two ways changes nothing and ends its connection.
 * Method: each way to be ambiguous, with a body that would set a flag. */
static void ambiguous_requests_are_refused_unread(void **state)
{
    static const struct {
        const char *headers;
        int status;
        const char *code;
    } rows[] = {
        {"Content-Length: 28\r\n", 400, "malformed"},
        {"Host: a\r\nHost: b\r\nContent-Length: 28\r\n", 400, "malformed"},
        {"Host: a\r\nContent-Length: 28\r\nContent-Length: 29\r\n", 400, "malformed"},
        {"Host: a\r\nContent-Length: 28\r\nTransfer-Encoding: chunked\r\n", 400, "malformed"},
        {"Host: a\r\nTransfer-Encoding: gzip\r\n", 501, "unknown_coding"},
        {"Host: a\r\nTransfer-Encoding: gzip, chunked\r\n", 501, "unknown_coding"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[1024];
        snprintf(text, sizeof(text),
                 "PUT /v1/flags/PROMPT_MODE HTTP/1.1\r\nContent-Type: application/json\r\n%s\r\n"
                 "{\"value\":\"full\",\"reason\":\"r\"}",
                 rows[i].headers);
        struct http_answer answer = ask_raw(*state, text);
        if (LIBRARY_CHECKS_MORE) {
            assert_true(answer.status == 400 || answer.status == 501);
            http_answer_done(&answer);
        } else {
            assert_string_equal(http_answer_header(&answer, "Connection"), "close");
            assert_problem(&answer, rows[i].status, rows[i].code);
        }
    }
    struct http_answer flag = fixture_get(*state, "/v1/flags/PROMPT_MODE");
    assert_string_equal(json_text_at(flag.json, "value"), "compact");
    http_answer_done(&flag);
}

/* Goal: what libmicrohttpd refuses by itself has the status that the documents say, and no problem.
 * Method: each kind of request that it doesn't hand over. */
static void library_refuses_with_pages_of_its_own(void **state)
{
    static char longer[LONG_BYTES + 1], text[LONG_BYTES + 1024];
    memset(longer, 'a', LONG_BYTES);
    static const struct {
        const char *format; /* with the long text */
        int status, otherwise;
    } rows[] = {
        {"GET /v1/health HTTP/2.0\r\nHost: x\r\n\r\n%.0s", 505, 505},
        {"GET /v1/health\r\n\r\n%.0s", 400, 0},
        {"GET /v1/health HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n%.0s", 400, 400},
        {"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n", 414, 414},
        {"GET /v1/health HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n", 431, 431},
        {"POST /v1/flags HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n%.0s", 400, 400},
        {"POST /v1/flags HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n%.0s", 413,
         413},
        {"POST /v1/flags HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n%.0s", 400, 400},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof(text), rows[i].format, longer);
#pragma GCC diagnostic pop
        struct http_answer answer = ask_raw(*state, text);
        if (answer.status != rows[i].status && answer.status != rows[i].otherwise)
            fail_msg("row %zu: %d", i, answer.status);
        assert_string_not_equal(http_answer_header(&answer, "Content-Type"),
                                "application/problem+json; charset=utf-8");
        http_answer_done(&answer);
    }
}

/* Goal: OPTIONS tells what a path takes, and nothing else; of a path that isn't there it tells that.
 * Method: two paths, and one that isn't there. */
static void options_tell_the_methods(void **state)
{
    struct http_answer flags = fixture_send(*state, "OPTIONS", "/v1/flags", NULL);
    assert_status(&flags, 204);
    assert_string_equal(http_answer_header(&flags, "Allow"), "GET, HEAD, POST, OPTIONS");
    assert_int_equal(flags.body_bytes, 0);
    http_answer_done(&flags);
    struct http_answer halt = fixture_send(*state, "OPTIONS", "/v1/rollouts/p-1/halt", NULL);
    assert_status(&halt, 204);
    assert_string_equal(http_answer_header(&halt, "Allow"), "POST, OPTIONS");
    http_answer_done(&halt);
    struct http_answer none = fixture_send(*state, "OPTIONS", "/v1/nothing", NULL);
    assert_problem_says(&none, 404, "route_not_found",
                        "there is no path /v1/nothing here; GET /openapi.json");
    struct http_answer foreign =
        fixture_send_as(*state, "OPTIONS", "/v1/flags", "Origin: https://elsewhere.example\r\n", NULL);
    assert_problem(&foreign, 403, "denied");
}

/* Goal: the absolute form of a target, as proxies send it, is the path in it.
 * Method: two spellings of the scheme; one without a path. */
static void absolute_targets_are_their_paths(void **state)
{
    static const char *const targets[] = {"http://any.example/v1/health", "HTTP://any.example:80/v1/health"};
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct http_answer answer = fixture_get(*state, targets[i]);
        assert_status(&answer, 200);
        http_answer_done(&answer);
    }
    struct http_answer root = fixture_get(*state, "http://any.example");
    assert_problem(&root, 404, "route_not_found");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ambiguous_requests_are_refused_unread, set_up, tear_down),
        cmocka_unit_test_setup_teardown(library_refuses_with_pages_of_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(options_tell_the_methods, set_up, tear_down),
        cmocka_unit_test_setup_teardown(absolute_targets_are_their_paths, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
