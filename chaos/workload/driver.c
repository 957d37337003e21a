/* A client is closed, connecting, sending, waiting for an answer, or open without a request under way. What
 * an attempt's end means for its operation is decided in attempt_ended(), and only there. */
#include "chaos/workload/driver.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "chaos/workload/objects.h"
#include "chaos/workload/record.h"

#define MS             1000000ull
#define RECEIVE_BYTES  65536u
#define EVENTS_MAX     128
#define PREPARE_MS     60000u
#define FINAL_MS       60000u /* for what is under way at the end, and again for the last reads */
#define QUIET_MS       2500u  /* a stream that brings nothing for so long has brought all */
#define STREAM_IDLE_MS 20000u /* a node shows itself every 15 s */

enum attempt { ATTEMPT_ANSWERED, ATTEMPT_NOTHING, ATTEMPT_UNKNOWN };

uint64_t now_ns(void)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0, "clock_gettime: %s", strerror(errno));
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

uint64_t driver_random(struct driver *self, uint64_t bound)
{
    CHECK(bound > 0, "a bound of 0");
    self->random += 0x9e3779b97f4a7c15ull; /* splitmix64 */
    uint64_t mixed = self->random;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ull;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebull;
    return (mixed ^ (mixed >> 31)) % bound;
}

void driver_request_id(struct client *client, struct operation *out)
{
    snprintf(out->request, sizeof out->request, "%s-%u-%llu", client->driver->run, client->number,
             (unsigned long long)client->requests++);
}

static bool is_stream(const struct client *client)
{
    return client->workload->stream != NULL;
}

static void disconnect(struct client *client)
{
    if (client->fd >= 0)
        close(client->fd); /* which takes it out of the epoll */
    client->fd = -1;
    client->state = CLIENT_CLOSED;
}

static void other_node(struct client *client)
{
    disconnect(client);
    client->node = (uint32_t)driver_random(client->driver, client->driver->nodes_count);
}

static uint64_t pause_ns(struct client *client)
{
    return driver_random(client->driver, 2 * client->driver->pause_ns + 1);
}

/* The refusals that the state machine makes, so that one of them ends all doubt: the request is decided. */
static bool is_decision(const char *code)
{
    static const char *const codes[] = {"version_mismatch",     "plan_phase",     "plan_terminal",
                                        "plan_exists",          "plan_not_found", "stage_halted",
                                        "stage_phase",          "use_reset",      "kill_switch_active",
                                        "kill_switch_inactive", "flag_not_found", "kill_switch_not_found"};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strcmp(codes[i], code) == 0)
            return true;
    return false;
}

static void end_operation(struct client *client, enum outcome outcome, const json_t *answer)
{
    struct operation *operation = &client->operation;
    operation->outcome = outcome;
    operation->end_ns = now_ns();
    client->busy = false;
    client->wake_ns = operation->end_ns + pause_ns(client);
    client->driver->ended[outcome]++;
    if (client->workload->done != NULL)
        client->workload->done(client, operation, answer);
    if (operation->kind != NULL)
        record_operation(client);
    if (driver_random(client->driver, 16) == 0)
        other_node(client);
}

static void read_common(struct operation *operation, const json_t *answer)
{
    const char *code = json_string_value(json_object_get(answer, "code"));
    snprintf(operation->code, sizeof operation->code, "%s", code != NULL ? code : "");
    operation->index = (uint64_t)json_integer_value(json_object_get(answer, "index"));
    operation->audit_seq = (uint64_t)json_integer_value(json_object_get(answer, "audit_seq"));
}

static void again(struct client *client)
{
    other_node(client);
    client->wake_ns = now_ns() + (5 + driver_random(client->driver, 95)) * MS;
}

/* What one attempt's end means for the operation: its end, or another attempt under the same request id. */
static void attempt_ended(struct client *client, enum attempt attempt, const json_t *answer)
{
    struct operation *operation = &client->operation;
    bool write = operation->request[0] != 0;
    uint32_t status = attempt == ATTEMPT_ANSWERED ? client->response.status : 0;
    read_common(operation, answer);
    if (status >= 200 && status < 300) {
        end_operation(client, OUTCOME_OK, answer);
        return;
    }
    if (status >= 400 && status < 500 && (!operation->unknown || is_decision(operation->code))) {
        end_operation(client, OUTCOME_REFUSED, answer);
        return;
    }
    if (attempt == ATTEMPT_UNKNOWN || (status != 503 && status != 507 && attempt == ATTEMPT_ANSWERED))
        operation->unknown = true;
    uint64_t patience_ms = client->driver->patience_ms > 0 ? client->driver->patience_ms : PATIENCE_MS;
    bool over = now_ns() > operation->begin_ns + patience_ms * MS;
    bool enough = !operation->unknown && driver_random(client->driver, 3) == 0;
    if (write && !operation->once && !over && !enough) {
        again(client);
        return;
    }
    operation->index = 0;
    operation->audit_seq = 0;
    end_operation(client, operation->unknown ? OUTCOME_UNKNOWN : OUTCOME_REFUSED, NULL);
    again(client);
}

static void broke(struct client *client, bool sent)
{
    disconnect(client);
    if (is_stream(client)) {
        bytes_clear(&client->answer);
        client->busy = false;
        again(client);
    } else {
        attempt_ended(client, sent ? ATTEMPT_UNKNOWN : ATTEMPT_NOTHING, NULL);
    }
}

static void watch(struct client *client, int how, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = client};
    CHECK(epoll_ctl(client->driver->epoll, how, client->fd, &event) == 0, "epoll_ctl: %s", strerror(errno));
}

static void push(struct client *client)
{
    bool waited = client->state == CLIENT_SENDING;
    while (client->sent < client->request.length) {
        ssize_t n = send(client->fd, client->request.data + client->sent,
                         client->request.length - client->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            watch(client, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            client->state = CLIENT_SENDING;
            return;
        }
        if (n < 0) {
            broke(client, client->sent > 0);
            return;
        }
        client->sent += (size_t)n;
    }
    if (waited)
        watch(client, EPOLL_CTL_MOD, EPOLLIN);
    client->state = CLIENT_WAITING;
}

static void send_request(struct client *client)
{
    struct operation *operation = &client->operation;
    bytes_clear(&client->request);
    bytes_printf(&client->request,
                 "%s %s HTTP/1.1\r\nHost: chaos\r\nX-Autonomy-Operator: client-%u@chaos\r\n",
                 operation->method, operation->path, client->number);
    if (operation->request[0] != 0)
        bytes_printf(&client->request, "Idempotency-Key: %s\r\n", operation->request);
    bytes_append_text(&client->request, operation->header);
    if (operation->body.length > 0)
        bytes_printf(&client->request, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                     operation->body.length);
    bytes_append_text(&client->request, "\r\n");
    bytes_append(&client->request, operation->body.data, operation->body.length);
    CHECK(!client->request.overflow, "a request of %zu bytes", client->request.length);
    bytes_clear(&client->answer);
    response_init(&client->response);
    client->response.keep = &client->answer;
    client->sent = 0;
    push(client);
}

static void connect_to_node(struct client *client)
{
    int one = 1;
    const struct sockaddr_in *to = &client->driver->nodes[client->node];
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(client->fd >= 0, "socket: %s", strerror(errno));
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(client->fd, (const struct sockaddr *)to, sizeof *to) != 0 && errno != EINPROGRESS) {
        broke(client, false);
        return;
    }
    client->state = CLIENT_CONNECTING;
    watch(client, EPOLL_CTL_ADD, EPOLLOUT);
}

static void connected(struct client *client)
{
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error != 0) {
        broke(client, false);
        return;
    }
    watch(client, EPOLL_CTL_MOD, EPOLLIN);
    send_request(client);
}

/* Timeouts differ, so that some requests are given up while a node still works on them. */
static void begin_attempt(struct client *client, uint64_t now)
{
    struct operation *operation = &client->operation;
    operation->attempts++;
    operation->attempt_ns = now;
    operation->timeout_ns = (300 + driver_random(client->driver, 3700)) * MS;
    if (is_stream(client))
        operation->timeout_ns = STREAM_IDLE_MS * MS;
    if (client->state == CLIENT_OPEN)
        send_request(client);
    else
        connect_to_node(client);
}

static void answered(struct client *client)
{
    client->state = CLIENT_OPEN;
    if (!client->response.keep_alive)
        disconnect(client);
    json_t *answer = json_loadb((const char *)client->answer.data, client->answer.length, 0, NULL);
    if (answer == NULL && client->response.status < 300) {
        fprintf(stderr, "chaos-workload: %s answered %u with what is not JSON\n",
                client->driver->names[client->node], client->response.status);
        broke(client, true);
        return;
    }
    attempt_ended(client, ATTEMPT_ANSWERED, answer);
    json_decref(answer);
}

static void pull(struct client *client)
{
    static char buffer[RECEIVE_BYTES];
    ssize_t n = recv(client->fd, buffer, sizeof buffer, 0);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (client->state ==
        CLIENT_OPEN) { /* between two requests: closed by the node, or bytes nobody asked for */
        disconnect(client);
        return;
    }
    if (n <= 0) {
        broke(client, true);
        return;
    }
    enum response_verdict verdict = response_feed(&client->response, buffer, (size_t)n);
    if (is_stream(client) && verdict == RESPONSE_MORE) {
        client->operation.attempt_ns = now_ns();
        if (client->response.status == 200)
            client->workload->stream(client, &client->answer);
        return;
    }
    if (verdict == RESPONSE_BAD)
        fprintf(stderr, "chaos-workload: %s: %s\n", client->driver->names[client->node],
                client->response.why);
    if (verdict == RESPONSE_BAD || (verdict == RESPONSE_DONE && is_stream(client)))
        broke(client, true);
    else if (verdict == RESPONSE_DONE)
        answered(client);
}

static void serve(struct client *client, uint32_t events)
{
    if (client->state == CLIENT_CONNECTING)
        connected(client);
    else if (client->state == CLIENT_SENDING && (events & EPOLLOUT) != 0)
        push(client);
    else if (client->state != CLIENT_CLOSED)
        pull(client);
}

/* Time passes for one client. @return an operation is under way */
static bool look(struct client *client, uint64_t now, bool may_begin)
{
    struct operation *operation = &client->operation;
    bool asked = client->state == CLIENT_CONNECTING || client->state == CLIENT_SENDING ||
                 client->state == CLIENT_WAITING;
    if (client->busy && asked && now > operation->attempt_ns + operation->timeout_ns)
        broke(client, client->state != CLIENT_CONNECTING);
    if (client->busy && is_stream(client) && now > operation->begin_ns + operation->stays_ns)
        broke(client, true);
    if (now < client->wake_ns)
        return client->busy;
    if (!client->busy && may_begin) {
        struct bytes body = operation->body;
        memset(operation, 0, sizeof *operation);
        operation->body = body;
        bytes_clear(&operation->body);
        if (client->workload->next(client, operation)) {
            operation->begin_ns = now;
            client->busy = true;
        }
    }
    if (client->busy && (client->state == CLIENT_CLOSED || client->state == CLIENT_OPEN))
        begin_attempt(client, now_ns());
    return client->busy;
}

static void turn(struct driver *self, int wait_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(self->epoll, events, EVENTS_MAX, wait_ms);
    CHECK(count >= 0 || errno == EINTR, "epoll_wait: %s", strerror(errno));
    for (int i = 0; i < count; i++)
        serve(events[i].data.ptr, events[i].events);
}

/* One turn for the clients from..until. @return how many have an operation under way; streams don't count */
static uint32_t turn_all(struct driver *self, uint32_t from, uint32_t until, bool may_begin)
{
    uint32_t busy = 0;
    uint64_t now = now_ns();
    for (uint32_t i = from; i < until; i++) {
        struct client *client = &self->clients[i];
        busy += look(client, now, may_begin || is_stream(client)) && !is_stream(client);
    }
    turn(self, 2);
    return busy;
}

/* A kind of client whose operations are the preparations of all others; the first client is one for a while.
 */
struct preparation {
    const struct workload *own; /* of the client that does it */
    uint32_t workload, number;
    bool failed;
};

static bool next_preparation(struct client *client, struct operation *out)
{
    struct preparation *at = client->memory;
    const struct workload *row;
    for (; (row = workload_at(at->workload)) != NULL; at->workload++, at->number = 0) {
        if (row->prepare != NULL && (row == at->own || workload_clients(client->driver, row) > 0) &&
            row->prepare(client->driver, at->number, out)) {
            snprintf(out->request, sizeof out->request, "prepare-%s-%u-%u", client->driver->run, at->workload,
                     at->number);
            return true;
        }
    }
    return false;
}

static void preparation_done(struct client *client, struct operation *operation, const json_t *answer)
{
    (void)answer;
    struct preparation *at = client->memory;
    if (operation->outcome == OUTCOME_OK) {
        at->number++;
    } else if (operation->outcome == OUTCOME_REFUSED && operation->code[0] != 0 &&
               client->response.status < 500) {
        fprintf(stderr, "chaos-workload: %s %s: %s\n", operation->method, operation->path, operation->code);
        at->failed = true;
    }
}

enum error_code driver_prepare(struct driver *self, struct error *error)
{
    static const struct workload preparing = {
        .name = "prepare", .next = next_preparation, .done = preparation_done};
    struct client *client = &self->clients[0];
    const struct workload *own = client->workload;
    void *memory = client->memory;
    struct preparation at = {.own = own};
    client->workload = &preparing;
    client->memory = &at;
    uint64_t end = now_ns() + PREPARE_MS * MS;
    while ((turn_all(self, 0, 1, true) > 0 || workload_at(at.workload) != NULL) && !at.failed)
        if (now_ns() > end)
            return error_set(error, ERROR_TIMEOUT, "the flags and switches were not made within %u s",
                             PREPARE_MS / 1000);
    client->workload = own;
    client->memory = memory;
    memset(self->ended, 0, sizeof self->ended);
    if (at.failed)
        return error_set(error, ERROR_CONFLICT, "a flag or switch could not be made");
    return ERROR_OK;
}

/* @return 'd' when the load is to end, 'e' at the input's end, 0: go on */
static char commanded(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char text[64];
    if (poll(&input, 1, 0) <= 0)
        return 0;
    ssize_t n = read(STDIN_FILENO, text, sizeof text);
    return n <= 0 ? 'e' : 'd';
}

static enum error_code drain(struct driver *self, struct error *error)
{
    for (uint64_t end = now_ns() + FINAL_MS * MS; turn_all(self, 0, self->clients_count, false) > 0;)
        if (now_ns() > end)
            return error_set(error, ERROR_TIMEOUT, "operations didn't end within %u s", FINAL_MS / 1000);
    self->final = true;
    self->pause_ns = 0;
    for (uint32_t i = 0; i < self->clients_count; i++)
        if (!is_stream(&self->clients[i]))
            self->clients[i].wake_ns = 0;
    for (uint64_t end = now_ns() + FINAL_MS * MS; turn_all(self, 0, self->clients_count, true) > 0;)
        if (now_ns() > end)
            return error_set(error, ERROR_TIMEOUT, "the last reads had no end within %u s", FINAL_MS / 1000);
    uint64_t seen = self->events, quiet = now_ns();
    for (uint64_t end = now_ns() + FINAL_MS * MS; now_ns() < quiet + QUIET_MS * MS && now_ns() < end;) {
        (void)turn_all(self, 0, self->clients_count, false);
        if (seen != self->events)
            quiet = now_ns();
        seen = self->events;
    }
    return ERROR_OK;
}

enum error_code driver_run(struct driver *self, struct error *error)
{
    for (;;) {
        (void)turn_all(self, 0, self->clients_count, true);
        switch (commanded()) {
        case 'd':
            return drain(self, error);
        case 'e':
            return error_set(error, ERROR_CLOSED, "the input ended");
        default:
            break;
        }
    }
}
