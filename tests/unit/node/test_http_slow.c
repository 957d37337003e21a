/* Clients that are slow, greedy or rude: each is bounded, and nobody else notices. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/check.h"
#include "node/http/server_internal.h"
#include "tests/support/http_fixture.h"

#define PATIENCE_MS 30000

static int set_up(void **state)
{
    struct http_options options = {
        .threads = 2, .header_timeout_s = 1, .body_bytes_max = 64 * 1024, .write_timeout_ms = 20000};
    *state = http_fixture_new(&options);
    return 0;
}

static int set_up_narrow(void **state)
{
    struct http_options options = {.threads = 1, .connections_per_address_max = 4, .write_timeout_ms = 20000};
    *state = http_fixture_new(&options);
    return 0;
}

static int tear_down(void **state)
{
    http_fixture_free(*state);
    return 0;
}

static void nap_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L};
    nanosleep(&time, NULL);
}

static void assert_healthy(struct http_fixture *self)
{
    struct http_answer answer = fixture_get(self, "/v1/health");
    assert_status(&answer, 200);
    http_answer_done(&answer);
}

/* Goal: a client that connects and says nothing is cut, while others are served.
 * Method: waits for the close on a silent connection; header timeout 1 s. */
static void silent_client_is_cut(void **state)
{
    struct http_fixture *self = *state;
    int fd = http_connect(self->port);
    assert_healthy(self);
    assert_true(http_closed(fd, PATIENCE_MS));
    assert_true(server_cut_total(self->server) >= 1);
    close(fd);
}

/* Goal: a client that drips its headers is cut too: each byte resets an idle timeout, not this one.
 * Method: sends a byte every 100 ms until the connection breaks; it must break before the patience ends. */
static void dripping_headers_are_cut(void **state)
{
    struct http_fixture *self = *state;
    int fd = http_connect(self->port);
    bool alive = http_send_text(fd, "GET /v1/health HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    for (int i = 0; alive && i < PATIENCE_MS / 100; i++) {
        nap_ms(100);
        alive = http_send_text(fd, "a");
    }
    assert_false(alive);
    assert_true(server_cut_total(self->server) >= 1);
    assert_healthy(self);
    close(fd);
}

/* Goal: the same for a body: three times the headers' time, then it ends.
 * Method: promises 1,000 bytes and drips them. */
static void dripping_body_is_cut(void **state)
{
    struct http_fixture *self = *state;
    int fd = http_connect(self->port);
    bool alive =
        http_send_text(fd, "POST /v1/rollouts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                           "Content-Length: 1000\r\n\r\n");
    for (int i = 0; alive && i < PATIENCE_MS / 100; i++) {
        nap_ms(100);
        alive = http_send_text(fd, " ");
    }
    assert_false(alive);
    assert_int_equal(http_server_busy(self->server), 0);
    assert_healthy(self);
    close(fd);
}

/* Goal: a client that waits for its answer is not slow, however long that takes.
 * Method: holds the service for longer than all deadlines of reading, then lets go. */
static void waiting_for_an_answer_is_not_slow(void **state)
{
    struct http_fixture *self = *state;
    service_fake_hold(self->service, true);
    int fd = http_connect(self->port);
    assert_true(http_send_text(fd, "GET /v1/flags HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    assert_false(http_closed(fd, 4000));
    service_fake_hold(self->service, false);
    struct http_answer answer = http_receive(fd);
    assert_status(&answer, 200);
    http_answer_done(&answer);
    assert_int_equal(server_cut_total(self->server), 0);
    close(fd);
}

static char *body_of(size_t length)
{
    char *text = memory_new(length + 1);
    memset(text, ' ', length);
    memcpy(text, "{}", 2);
    text[length] = '\0';
    return text;
}

/* Goal: a body up to its limit is read, one past it is 413 and never parsed.
 * Method: {} and blanks, exactly at the limit (422: a reason is missing) and one byte beyond. */
static void body_limit_is_exact(void **state)
{
    char *fits = body_of(64 * 1024), *past = body_of(64 * 1024 + 1);
    struct http_answer answer = fixture_send(*state, "POST", "/v1/rollouts/p-1/halt", fits);
    assert_problem(&answer, 422, "invalid_field");
    answer = fixture_send(*state, "POST", "/v1/rollouts/p-1/halt", past);
    assert_problem_says(&answer, 413, "too_big", "65536");
    free(fits);
    free(past);
}

/* Goal: a body that says it is far too long is refused before it is read, when the client waits for our word.
 * Method: Expect: 100-continue with 1 GiB announced and no byte sent. */
static void announced_length_is_refused_unread(void **state)
{
    struct http_fixture *self = *state;
    int fd = http_connect(self->port);
    assert_true(http_send_text(fd,
                               "POST /v1/rollouts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                               "Expect: 100-continue\r\nContent-Length: 1073741824\r\n\r\n"));
    struct http_answer answer = http_receive(fd);
    assert_problem(&answer, 413, "too_big");
    assert_true(http_closed(fd, PATIENCE_MS));
    close(fd);
}

/* Goal: a chunked body has no announced length; it is 413 past the limit, and cut when it never ends.
 * Method: chunks of 4 KiB: 17 of them and the end; then without end until the connection breaks. */
static void chunked_body_is_bounded(void **state)
{
    struct http_fixture *self = *state;
    char *chunk = body_of(4096);
    static const char head[] = "POST /v1/rollouts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                               "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    int fd = http_connect(self->port);
    assert_true(http_send_text(fd, head));
    for (int i = 0; i < 17; i++) {
        assert_true(http_send_text(fd, "1000\r\n"));
        assert_true(http_send(fd, chunk, 4096));
        assert_true(http_send_text(fd, "\r\n"));
    }
    assert_true(http_send_text(fd, "0\r\n\r\n"));
    struct http_answer answer = http_receive(fd);
    assert_problem(&answer, 413, "too_big");
    close(fd);

    fd = http_connect(self->port);
    bool alive = http_send_text(fd, head);
    for (int i = 0; alive && i < 100000; i++)
        alive = http_send_text(fd, "1000\r\n") && http_send(fd, chunk, 4096) && http_send_text(fd, "\r\n");
    assert_false(alive);
    close(fd);
    free(chunk);
    assert_healthy(self);
}

/* Goal: headers without end don't fill memory.
 * Method: 200 KiB of headers; the server answers with an error of its own or closes, and lives. */
static void endless_headers_are_bounded(void **state)
{
    struct http_fixture *self = *state;
    char line[1024];
    int fd = http_connect(self->port);
    memset(line, 'h', sizeof(line));
    memcpy(line, "X-Much: ", 8);
    memcpy(line + sizeof(line) - 2, "\r\n", 2);
    bool alive = http_send_text(fd, "GET /v1/health HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; alive && i < 200; i++)
        alive = http_send(fd, line, sizeof(line));
    assert_true(http_closed(fd, PATIENCE_MS));
    close(fd);
    assert_healthy(self);
}

/* Goal: what isn't HTTP gets an end, not a hang.
 * Method: random bytes, a TLS hello's first bytes, an unknown version, two lengths that differ. */
static void nonsense_is_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } rows[] = {
        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 15},
        {"\r\n\r\n\r\n\r\nhello\r\n\r\n", 17},
        {"GET /v1/health HTTP/9.9\r\nHost: x\r\n\r\n", 36},
        {"POST /v1/flags HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", 56},
    };
    struct http_fixture *self = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int fd = http_connect(self->port);
        (void)http_send(fd, rows[i].bytes, rows[i].length);
        assert_true(http_closed(fd, PATIENCE_MS));
        close(fd);
    }
    assert_healthy(self);
}

/* Goal: a client that leaves while its request waits costs nothing but its request.
 * Method: closes the connection of a held read; the answer then finds nobody. */
static void client_leaves_while_waiting(void **state)
{
    struct http_fixture *self = *state;
    service_fake_hold(self->service, true);
    int fd = http_connect(self->port);
    assert_true(http_send_text(fd, "GET /v1/flags HTTP/1.1\r\nHost: x\r\n\r\n"));
    struct service_fake_seen seen = {0};
    for (int i = 0; i < PATIENCE_MS / 10 && seen.queued == 0; i++) {
        nap_ms(10);
        service_fake_seen(self->service, &seen);
    }
    assert_int_equal(seen.queued, 1);
    close(fd);
    service_fake_hold(self->service, false);
    for (int i = 0; i < PATIENCE_MS / 10 && http_server_busy(self->server) > 0; i++)
        nap_ms(10);
    assert_int_equal(http_server_busy(self->server), 0);
    assert_healthy(self);
}

/* Goal: one connection serves many requests, one after the other.
 * Method: three requests on one socket, the middle one with a body. */
static void connection_is_kept(void **state)
{
    struct http_fixture *self = *state;
    int fd = http_connect(self->port);
    static const char *const requests[] = {
        "GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n",
        ("PUT /v1/flags/PROMPT_MODE HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
         "Content-Length: 31\r\n\r\n{\"value\":\"full\",\"reason\":\"why\"}"),
        "GET /v1/flags/PROMPT_MODE HTTP/1.1\r\nHost: x\r\n\r\n",
    };
    for (size_t i = 0; i < 3; i++) {
        assert_true(http_send_text(fd, requests[i]));
        struct http_answer answer = http_receive(fd);
        assert_status(&answer, 200);
        if (i == 2)
            assert_string_equal(json_text_at(answer.json, "value"), "full");
        http_answer_done(&answer);
    }
    close(fd);
}

/* Goal: requests that come at once on one connection are answered in their order, also when the first one
 * waits. Method: a read that is held and two health checks in one write. */
static void pipelined_requests_keep_their_order(void **state)
{
    struct http_fixture *self = *state;
    static const char *const parts[] = {"items", "status", "status"};
    service_fake_hold(self->service, true);
    int fd = http_connect(self->port);
    assert_true(http_send_text(fd, "GET /v1/flags HTTP/1.1\r\nHost: x\r\n\r\n"
                                   "GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n"
                                   "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    assert_false(http_closed(fd, 200));
    service_fake_hold(self->service, false);
    for (size_t i = 0; i < 3; i++) {
        struct http_answer answer = http_receive(fd);
        assert_status(&answer, 200);
        assert_non_null(json_object_get(answer.json, parts[i]));
        http_answer_done(&answer);
    }
    assert_true(http_closed(fd, PATIENCE_MS));
    close(fd);
}

/* Goal: one address can't take all connections.
 * Method: bound of 4; the fifth is closed without a word, and a place that becomes free is given away again.
 */
static void connections_per_address_are_bounded(void **state)
{
    struct http_fixture *self = *state;
    int fds[4];
    for (int i = 0; i < 4; i++) {
        fds[i] = http_connect(self->port);
        assert_true(http_send_text(fds[i], "GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n"));
        struct http_answer answer = http_receive(fds[i]);
        assert_status(&answer, 200);
        http_answer_done(&answer);
    }
    int more = http_connect(self->port);
    assert_true(http_closed(more, PATIENCE_MS));
    close(more);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    int status = 0;
    for (int i = 0; i < PATIENCE_MS / 10 && status != 200; i++) {
        struct http_answer answer = fixture_get(self, "/v1/health");
        status = answer.status;
        http_answer_done(&answer);
        nap_ms(10);
    }
    assert_int_equal(status, 200);
}

static void ask_on_each(struct http_server *server, int *fds, int count)
{
    for (int i = 0; i < count; i++) {
        fds[i] = http_connect(http_server_port(server));
        assert_true(http_send_text(fds[i], "GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n"));
    }
}

static int answered(const int *fds, int count)
{
    int sum = 0;
    char byte;
    for (int i = 0; i < count; i++)
        sum += recv(fds[i], &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1;
    return sum;
}

/* Waits until so many have their answer, and then a while for one more. @return how many have it */
static int served(const int *fds, int count, int expected)
{
    for (int i = 0; i < PATIENCE_MS / 10 && answered(fds, count) < expected; i++)
        nap_ms(10);
    nap_ms(300);
    return answered(fds, count);
}

/* Goal: past the bound of all connections, clients wait in line; a place that becomes free goes to the next.
 * Method: bound of 4, six clients: four are served, then the others. */
static void connections_are_bounded(void **state)
{
    struct http_fixture *self = *state;
    struct http_server *server = NULL;
    struct error error = {0};
    struct http_options options = {
        .service = self->service, .listen_address = "127.0.0.1:0", .threads = 1, .connections_max = 4};
    int fds[6];
    assert_int_equal(http_server_open(&options, &server, &error), ERROR_OK);
    ask_on_each(server, fds, 6);
    assert_int_equal(served(fds, 6, 4), 4);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    for (int i = 4; i < 6; i++) {
        struct http_answer answer = http_receive(fds[i]);
        assert_status(&answer, 200);
        http_answer_done(&answer);
        close(fds[i]);
    }
    http_server_close(server);
}

/* Goal: clients can't take the descriptors that the stores need, whatever the process may open.
 * Method: a process that may open 160 files serves at most half as many clients. It is the last test: the
 * limit stays. */
static void descriptors_are_left_for_the_stores(void **state)
{
    struct http_fixture *self = *state;
    struct http_server *server = NULL;
    struct error error = {0};
    struct http_options options = {.service = self->service, .listen_address = "127.0.0.1:0", .threads = 1};
    struct rlimit few = {160, 160};
    int fds[100];
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_int_equal(http_server_open(&options, &server, &error), ERROR_OK);
    few.rlim_cur = few.rlim_max = 4096;
    int raised = setrlimit(RLIMIT_NOFILE, &few); /* for the clients, which are in the same process */
    int count = raised == 0 ? 100 : 50;
    ask_on_each(server, fds, count);
    assert_int_equal(served(fds, count, count < 80 ? count : 80), count < 80 ? count : 80);
    for (int i = 0; i < count; i++)
        close(fds[i]);
    http_server_close(server);
}

/* Connects and asks until the port is closed. */
static void *knock(void *context)
{
    const struct http_fixture *self = context;
    const char ask[] = "GET /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(self->port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (bool open = true; open;) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        open = connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0;
        char answer[256];
        if (open && http_send(fd, ask, sizeof(ask) - 1))
            (void)!read(fd, answer, sizeof(answer));
        close(fd);
    }
    return NULL;
}

/* Goal: the port is closed at once when the server quiesces, whatever its threads are doing.
 * Method: clients that connect all the time; they end when they are refused. Several rounds, since what can
 * go wrong is a race. */
static void port_closes_under_load(void **state)
{
    struct http_options options = {.threads = 4, .write_timeout_ms = 20000};
    pthread_t clients[4];

    (void)state;
    for (int round = 0; round < 15; round++) {
        struct http_fixture *self = http_fixture_new(&options);
        for (size_t i = 0; i < sizeof(clients) / sizeof(*clients); i++)
            assert_int_equal(pthread_create(&clients[i], NULL, knock, self), 0);
        nap_ms(5 + round);
        http_server_quiesce(self->server);
        for (size_t i = 0; i < sizeof(clients) / sizeof(*clients); i++)
            pthread_join(clients[i], NULL);
        http_fixture_free(self);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(silent_client_is_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(dripping_headers_are_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(dripping_body_is_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(waiting_for_an_answer_is_not_slow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(body_limit_is_exact, set_up, tear_down),
        cmocka_unit_test_setup_teardown(announced_length_is_refused_unread, set_up, tear_down),
        cmocka_unit_test_setup_teardown(chunked_body_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(endless_headers_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nonsense_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(client_leaves_while_waiting, set_up, tear_down),
        cmocka_unit_test_setup_teardown(connection_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pipelined_requests_keep_their_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(connections_per_address_are_bounded, set_up_narrow, tear_down),
        cmocka_unit_test_setup_teardown(connections_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(descriptors_are_left_for_the_stores, set_up, tear_down),
        cmocka_unit_test(port_closes_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
