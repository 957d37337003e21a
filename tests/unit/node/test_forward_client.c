/* Requests to other nodes: what an ended call says, above all whether something of it may have arrived. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <uv.h>

#include "node/client.h"
#include "support/canned.h"

struct fixture {
    uv_loop_t loop;
    struct client *client;
    struct client_answer last;
    char body[256];
    unsigned answers;
    bool again; /* send one more from inside `done` */
    const char *url;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    (void)signal(SIGPIPE, SIG_IGN); /* as node_run() does */
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    fixture->client = client_open(&fixture->loop);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    client_close(fixture->client);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    free(fixture);
    return 0;
}

static void send_one(struct fixture *fixture, const char *url, uint64_t timeout_ms,
                     struct client_call **call);

static void on_answer(void *context, const struct client_answer *answer)
{
    struct fixture *fixture = context;
    fixture->last = *answer;
    snprintf(fixture->body, sizeof fixture->body, "%.*s", (int)answer->body.bytes,
             (const char *)answer->body.data);
    fixture->answers++;
    if (fixture->again) {
        struct client_call *call = NULL;
        fixture->again = false;
        send_one(fixture, fixture->url, 2000, &call);
    }
}

static void send_one(struct fixture *fixture, const char *url, uint64_t timeout_ms, struct client_call **call)
{
    struct error error = {0};
    struct client_request request = {.method = "POST",
                                     .base = url,
                                     .path = "/v1/internal/change",
                                     .headers = {"Content-Type: application/octet-stream"},
                                     .body = {"command", 7},
                                     .timeout_ms = timeout_ms,
                                     .answer_bytes_max = 1000,
                                     .done = on_answer,
                                     .context = fixture};
    unsigned before = fixture->answers;
    assert_int_equal(client_send(fixture->client, &request, call, &error), ERROR_OK);
    assert_int_equal(fixture->answers, before); /* never inside client_send() */
}

static void run_until(struct fixture *fixture, unsigned answers)
{
    for (int i = 0; i < 10000 && fixture->answers < answers; i++)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_int_equal(fixture->answers, answers);
}

static void reply_well(void *context, unsigned number, const char *request, int socket)
{
    (void)context;
    (void)number;
    const char *body = strstr(request, "POST /v1/internal/change HTTP/1.1") ? "good" : "bad";
    canned_reply(socket, 200, "", body, strlen(body));
}

/* Goal: an answer comes whole, with its status; another call may be made from inside `done`.
 * Method: a server that looks at the request line. */
static void answer_comes_with_status_and_body(void **state)
{
    struct fixture *fixture = *state;
    struct canned *server = canned_open(reply_well, NULL);
    struct client_call *call = NULL;
    fixture->url = canned_url(server);
    fixture->again = true;
    send_one(fixture, fixture->url, 2000, &call);
    run_until(fixture, 2);
    assert_int_equal(fixture->last.error, ERROR_OK);
    assert_int_equal(fixture->last.status, 200);
    assert_string_equal(fixture->body, "good");
    canned_close(server);
}

/* Goal: nobody listens: certainly not sent.
 * Method: the port of a server that is gone. */
static void refused_connection_was_not_sent(void **state)
{
    struct fixture *fixture = *state;
    struct canned *server = canned_open(reply_well, NULL);
    struct client_call *call = NULL;
    char url[64];
    snprintf(url, sizeof url, "%s", canned_url(server));
    canned_close(server);
    send_one(fixture, url, 2000, &call);
    run_until(fixture, 1);
    assert_int_equal(fixture->last.error, ERROR_UNAVAILABLE);
    assert_false(fixture->last.sent);
    assert_non_null(strstr(fixture->last.message, url));
}

static void reply_nothing(void *context, unsigned number, const char *request, int socket)
{
    (void)context;
    (void)number;
    (void)request;
    (void)socket;
}

/* Goal: a connection that breaks after the request may have carried it: the outcome is unknown.
 * Method: a server that reads the request and closes. */
static void broken_connection_may_have_been_sent(void **state)
{
    struct fixture *fixture = *state;
    struct canned *server = canned_open(reply_nothing, NULL);
    struct client_call *call = NULL;
    send_one(fixture, canned_url(server), 2000, &call);
    run_until(fixture, 1);
    assert_int_equal(fixture->last.error, ERROR_UNAVAILABLE);
    assert_true(fixture->last.sent);
    canned_close(server);
}

static void reply_late(void *context, unsigned number, const char *request, int socket)
{
    (void)context;
    (void)number;
    (void)request;
    char byte;
    (void)!recv(socket, &byte, 1, 0); /* until the client gives up */
}

/* Goal: silence ends at the deadline and may have been sent.
 * Method: a server that never answers, a deadline of 100 ms. */
static void silence_ends_at_the_deadline(void **state)
{
    struct fixture *fixture = *state;
    struct canned *server = canned_open(reply_late, NULL);
    struct client_call *call = NULL;
    send_one(fixture, canned_url(server), 100, &call);
    run_until(fixture, 1);
    assert_int_equal(fixture->last.error, ERROR_TIMEOUT);
    assert_true(fixture->last.sent);
    canned_close(server);
}

static void reply_much(void *context, unsigned number, const char *request, int socket)
{
    static const char much[5000] = "x";
    (void)context;
    (void)number;
    (void)request;
    canned_reply(socket, 200, "", much, sizeof much);
}

/* Goal: an answer past its bound is cut off, never kept.
 * Method: 5,000 bytes where 1,000 are allowed. */
static void answer_past_its_bound_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct canned *server = canned_open(reply_much, NULL);
    struct client_call *call = NULL;
    send_one(fixture, canned_url(server), 2000, &call);
    run_until(fixture, 1);
    assert_int_equal(fixture->last.error, ERROR_TOO_BIG);
    assert_true(fixture->last.sent);
    canned_close(server);
}

/* Goal: a cancelled call never answers; others go on.
 * Method: cancel one to a silent server beside one to a good server. */
static void cancelled_call_never_answers(void **state)
{
    struct fixture *fixture = *state;
    struct canned *silent = canned_open(reply_late, NULL), *good = canned_open(reply_well, NULL);
    struct client_call *first = NULL, *second = NULL;
    send_one(fixture, canned_url(silent), 5000, &first);
    send_one(fixture, canned_url(good), 5000, &second);
    uv_run(&fixture->loop, UV_RUN_NOWAIT);
    client_cancel(first);
    run_until(fixture, 1);
    assert_string_equal(fixture->body, "good");
    canned_close(silent);
    canned_close(good);
}

/* Goal: the number under way is bounded: one more is refused at once, and those under way are not harmed by
 * closing. Method: fill the client with calls to a silent server. */
static void calls_are_bounded(void **state)
{
    struct fixture *fixture = *state;
    struct canned *server = canned_open(reply_late, NULL);
    struct client_call *call = NULL;
    struct error error = {0};
    struct client_request request = {.method = "GET",
                                     .base = canned_url(server),
                                     .path = "/",
                                     .timeout_ms = 5000,
                                     .answer_bytes_max = 10,
                                     .done = on_answer,
                                     .context = fixture};
    for (uint32_t i = 0; i < CLIENT_CALLS_MAX; i++)
        assert_int_equal(client_send(fixture->client, &request, &call, &error), ERROR_OK);
    assert_int_equal(client_send(fixture->client, &request, &call, &error), ERROR_BUSY);
    request.base = "";
    client_cancel(call);
    assert_int_equal(client_send(fixture->client, &request, &call, &error), ERROR_INVALID);
    client_close(fixture->client);
    fixture->client = client_open(&fixture->loop);
    canned_close(server);
    assert_int_equal(fixture->answers, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answer_comes_with_status_and_body, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refused_connection_was_not_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(broken_connection_may_have_been_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(silence_ends_at_the_deadline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(answer_past_its_bound_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cancelled_call_never_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(calls_are_bounded, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
