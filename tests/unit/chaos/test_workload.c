/* What the clients of a chaos run write down is what happened: an outcome that is not known is never called
 * refused, and a refusal of the state machine ends all doubt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chaos/workload/driver.h"

#define CLOSES "" /* the server reads the request and closes */

/* A server that treats the requests it gets by a script; the last line goes for all further ones. */
struct server {
    int listener;
    const char *script[8];
    uint32_t lines, requests;
    char keys[8][64]; /* the Idempotency-Key of each request */
    pthread_t thread;
};

static struct driver driver;
static struct server server;
static const char *method = "PUT";
static uint32_t asked;

static void note_key(const char *request, uint32_t number)
{
    const char *key = strstr(request, "Idempotency-Key: ");
    if (key != NULL && number < 8)
        sscanf(key + strlen("Idempotency-Key: "), "%63[^\r]", server.keys[number]);
}

static void *serve(void *unused)
{
    (void)unused;
    for (int fd; (fd = accept(server.listener, NULL, NULL)) >= 0; close(fd)) {
        char request[4096];
        for (ssize_t n; (n = recv(fd, request, sizeof request - 1, 0)) > 0;) {
            request[n] = 0;
            uint32_t at = server.requests++;
            note_key(request, at);
            const char *answer = server.script[at < server.lines ? at : server.lines - 1];
            if (answer[0] == 0)
                break;
            char text[1024];
            const char *body = strchr(answer, '{');
            int length =
                snprintf(text, sizeof text,
                         "HTTP/1.1 %.3s X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                         answer, strlen(body), body);
            if (send(fd, text, (size_t)length, MSG_NOSIGNAL) < 0)
                break;
        }
    }
    return NULL;
}

static bool one_operation(struct client *client, struct operation *out)
{
    if (!client->driver->final || asked++ > 0)
        return false;
    out->method = method;
    out->kind = strcmp(method, "GET") == 0 ? "read" : "set";
    snprintf(out->path, sizeof out->path, "/v1/flags/f");
    if (strcmp(method, "PUT") == 0)
        driver_request_id(client, out);
    out->parts_count = 1;
    snprintf(out->parts[0].key, sizeof out->parts[0].key, "f");
    return true;
}

/* Runs one operation against a server that answers by the script; what was written down of it. */
static char *history_of(const char *const *script, uint32_t lines)
{
    static const struct workload workload = {.name = "one", .next = one_operation};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    struct error error = {0};
    char *text = NULL;
    size_t bytes = 0;
    int input[2];
    memset(&server, 0, sizeof server);
    memset(&driver, 0, sizeof driver);
    asked = 0;
    memcpy(server.script, script, lines * sizeof *script);
    server.lines = lines;
    server.listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server.listener, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(server.listener, 8), 0);
    assert_int_equal(getsockname(server.listener, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
    assert_int_equal(pipe(input), 0);
    assert_int_equal(write(input[1], "drain\n", 6), 6);
    assert_true(dup2(input[0], STDIN_FILENO) >= 0);
    driver.nodes[0] = address;
    driver.nodes_count = driver.clients_count = 1;
    driver.random = 3;
    driver.patience_ms = 700;
    snprintf(driver.names[0], sizeof driver.names[0], "n1");
    snprintf(driver.run, sizeof driver.run, "t");
    driver.epoll = epoll_create1(0);
    driver.history = open_memstream(&text, &bytes);
    driver.clients[0] = (struct client){.driver = &driver, .workload = &workload, .fd = -1};
    bytes_init(&driver.clients[0].request, 4096);
    bytes_init(&driver.clients[0].answer, 4096);
    assert_int_equal(driver_run(&driver, &error), ERROR_OK);
    fclose(driver.history);
    if (driver.clients[0].fd >= 0)
        close(driver.clients[0].fd);
    shutdown(server.listener, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.listener);
    close(input[0]);
    close(input[1]);
    close(driver.epoll);
    bytes_done(&driver.clients[0].request);
    bytes_done(&driver.clients[0].answer);
    return text;
}

static void assert_says(char *history, const char *wanted)
{
    if (strstr(history, wanted) == NULL)
        fail_msg("%s is not in %s", wanted, history);
    free(history);
}

/* Goal: a broken connection, a 504 and a 503 after them are not the end: the same request id is tried until
 * the state machine has answered. Method: each of them, then a success or a refusal. */
static void doubt_ends_with_an_answer_under_the_same_id(void **state)
{
    (void)state;
    static const char *const done[] = {CLOSES, "504 {\"code\":\"unknown\"}", "503 {\"code\":\"not_leader\"}",
                                       "200 {\"version\":4,\"index\":9,\"audit_seq\":5}"};
    method = "PUT";
    assert_says(history_of(done, 4), "\"outcome\":\"ok\",\"index\":9,\"audit_seq\":5");
    assert_int_equal(server.requests, 4);
    for (uint32_t i = 1; i < 4; i++)
        assert_string_equal(server.keys[i], server.keys[0]);
    static const char *const refused[] = {
        CLOSES, "409 {\"code\":\"version_mismatch\",\"version\":\"7\",\"index\":8}"};
    assert_says(history_of(refused, 2), "\"outcome\":\"refused\",\"code\":\"version_mismatch\",\"index\":8");
}

/* Goal: after an attempt whose outcome isn't known, an answer that says nothing of that attempt leaves it
 * unknown. Method: a cut connection, then 503 or a refusal that isn't the state machine's, for ever. */
static void doubt_is_never_called_refused(void **state)
{
    (void)state;
    static const char *const scripts[][2] = {{CLOSES, "503 {\"code\":\"not_leader\"}"},
                                             {"504 {\"code\":\"unknown\"}", "409 {\"code\":\"conflict\"}"},
                                             {"500 {\"code\":\"io\"}", "507 {\"code\":\"no_space\"}"}};
    method = "PUT";
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++)
        assert_says(history_of(scripts[i], 2), "\"outcome\":\"unknown\"}");
}

/* Goal: what certainly didn't happen is refused, without a code that would say something of the state.
 * Method: 503 for ever; a read that is cut is unknown, and not repeated. */
static void certain_refusals_and_reads(void **state)
{
    (void)state;
    static const char *const nothing[] = {"503 {\"code\":\"busy\"}"};
    method = "PUT";
    assert_says(history_of(nothing, 1), "\"outcome\":\"refused\",\"code\":\"busy\"}");
    static const char *const cut[] = {CLOSES};
    method = "GET";
    assert_says(history_of(cut, 1), "\"outcome\":\"unknown\"}");
    assert_int_equal(server.requests, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubt_ends_with_an_answer_under_the_same_id),
        cmocka_unit_test(doubt_is_never_called_refused),
        cmocka_unit_test(certain_refusals_and_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
