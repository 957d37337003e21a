/* One epoll over all connections. A connection is closed, connecting, sending, waiting or idle; it is idle
 * only before its first request and after the end. Requests that began before the measured time aren't
 * counted. */
#include "tools/load/load.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "tools/load/response.h"

#define REQUEST_BYTES_MAX (64u * 1024u)
#define RECEIVE_BYTES     65536u
#define RETRY_US          20000u /* between attempts at a node that doesn't answer */
#define LOOK_US           50000u /* between looks for what has timed out */
#define EVENTS_MAX        256

enum state { CLOSED, CONNECTING, SENDING, WAITING, IDLE };

struct connection {
    int fd;
    enum state state;
    uint32_t target;
    uint64_t since_us; /* SENDING, WAITING: when the request began; CLOSED: when to try again */
    size_t sent;
    struct bytes request;
    struct response response;
};

struct load {
    const struct load_setting *setting;
    struct load_result *result;
    int epoll;
    struct connection *connections;
    uint64_t number;            /* of the next request */
    uint64_t from_us, until_us; /* the measured time */
    uint64_t last_us;           /* the last counted answer */
    char buffer[RECEIVE_BYTES];
};

const char *load_failure_name(enum load_failure failure)
{
    static const char *const names[] = {"connect", "closed", "malformed", "timeout"};
    CHECK(failure < LOAD_FAILURES, "failure %d", (int)failure);
    return names[failure];
}

static void explain(struct load *self, const char *what, const char *why)
{
    if (self->result->why[0] == 0)
        snprintf(self->result->why, sizeof self->result->why, "%s: %s", what, why);
}

static void drop(struct load *self, struct connection *connection, uint64_t retry_us)
{
    (void)self;
    if (connection->fd >= 0)
        close(connection->fd); /* which takes it out of the epoll */
    connection->fd = -1;
    connection->state = CLOSED;
    connection->since_us = retry_us;
}

static void failed(struct load *self, struct connection *connection, enum load_failure failure,
                   const char *why)
{
    uint64_t now = clock_monotonic_us();
    if (failure == LOAD_CONNECT || connection->since_us >= self->from_us)
        self->result->failures[failure]++;
    explain(self, load_failure_name(failure), why);
    drop(self, connection, now + RETRY_US);
}

static void watch(struct load *self, struct connection *connection, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    CHECK(epoll_ctl(self->epoll, operation, connection->fd, &event) == 0, "epoll_ctl: %s", strerror(errno));
}

/* Sends what is left of the request. */
static void push(struct load *self, struct connection *connection)
{
    bool waited = connection->state == SENDING; /* the epoll watches for room to write */
    while (connection->sent < connection->request.length) {
        ssize_t n = send(connection->fd, connection->request.data + connection->sent,
                         connection->request.length - connection->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            watch(self, connection, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            connection->state = SENDING;
            return;
        }
        if (n < 0) {
            failed(self, connection, LOAD_CLOSED, strerror(errno));
            return;
        }
        connection->sent += (size_t)n;
    }
    if (waited)
        watch(self, connection, EPOLL_CTL_MOD, EPOLLIN);
    connection->state = WAITING;
}

static void next_request(struct load *self, struct connection *connection)
{
    uint64_t now = clock_monotonic_us();
    if (now >= self->until_us) {
        connection->state = IDLE;
        return;
    }
    bytes_clear(&connection->request);
    self->setting->workload.request(&self->setting->workload, self->number++, &connection->request);
    response_init(&connection->response);
    connection->sent = 0;
    connection->since_us = now;
    push(self, connection);
}

static void begin(struct load *self, struct connection *connection)
{
    int one = 1;
    const struct sockaddr_in *to = &self->setting->targets[connection->target];
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(connection->fd >= 0, "socket: %s", strerror(errno));
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connection->since_us = clock_monotonic_us();
    if (connect(connection->fd, (const struct sockaddr *)to, sizeof *to) != 0 && errno != EINPROGRESS) {
        failed(self, connection, LOAD_CONNECT, strerror(errno));
        return;
    }
    connection->state = CONNECTING;
    watch(self, connection, EPOLL_CTL_ADD, EPOLLOUT);
}

static void connected(struct load *self, struct connection *connection)
{
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error != 0) {
        failed(self, connection, LOAD_CONNECT, strerror(error != 0 ? error : errno));
        return;
    }
    watch(self, connection, EPOLL_CTL_MOD, EPOLLIN);
    next_request(self, connection);
}

static void answered(struct load *self, struct connection *connection)
{
    uint64_t now = clock_monotonic_us();
    uint32_t status = connection->response.status;
    if (connection->since_us >= self->from_us) {
        self->result->statuses[status]++;
        self->last_us = now;
        if (status < 300)
            histogram_add(&self->result->latency, now - connection->since_us);
    }
    if (status >= 300) {
        char text[16];
        snprintf(text, sizeof text, "status %u", status);
        explain(self, text, "see the server's log");
    }
    if (connection->response.keep_alive) {
        next_request(self, connection);
        return;
    }
    drop(self, connection, now);
    if (now < self->until_us)
        begin(self, connection);
}

static void pull(struct load *self, struct connection *connection)
{
    ssize_t n = recv(connection->fd, self->buffer, sizeof self->buffer, 0);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (connection->state == IDLE) { /* between requests a server may close */
        drop(self, connection, UINT64_MAX);
        return;
    }
    if (n <= 0) {
        failed(self, connection, LOAD_CLOSED,
               n == 0 ? "the server closed it before its answer" : strerror(errno));
        return;
    }
    switch (response_feed(&connection->response, self->buffer, (size_t)n)) {
    case RESPONSE_DONE:
        if (connection->state == WAITING)
            answered(self, connection);
        else
            failed(self, connection, LOAD_MALFORMED, "an answer before the request's end");
        return;
    case RESPONSE_BAD:
        failed(self, connection, LOAD_MALFORMED, connection->response.why);
        return;
    case RESPONSE_MORE:
        return;
    }
}

static void serve(struct load *self, const struct epoll_event *event)
{
    struct connection *connection = event->data.ptr;
    if (connection->state == CONNECTING)
        connected(self, connection);
    else if (connection->state == SENDING && (event->events & EPOLLOUT) != 0)
        push(self, connection);
    else if (connection->state != CLOSED)
        pull(self, connection);
}

/* @return how many wait for an answer */
static uint32_t look(struct load *self, uint64_t now)
{
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < self->setting->connections; i++) {
        struct connection *connection = &self->connections[i];
        bool busy =
            connection->state == CONNECTING || connection->state == SENDING || connection->state == WAITING;
        if (busy && now > connection->since_us + LOAD_TIMEOUT_MS * 1000ull)
            failed(self, connection, connection->state == CONNECTING ? LOAD_CONNECT : LOAD_TIMEOUT,
                   "no answer in time");
        else if (connection->state == CLOSED && now >= connection->since_us && now < self->until_us)
            begin(self, connection);
        waiting += connection->state == SENDING || connection->state == WAITING;
    }
    return waiting;
}

static enum error_code cpu_of_all(const struct load_setting *setting, uint64_t *out_ms, struct error *error)
{
    uint64_t sum = 0, one = 0;
    for (uint32_t i = 0; i < setting->pids_count; i++) {
        enum error_code code = load_cpu_ms(setting->pids[i], &one, error);
        if (code != ERROR_OK)
            return code;
        sum += one;
    }
    *out_ms = sum;
    return ERROR_OK;
}

static uint64_t own_cpu_ms(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0, "getrusage: %s", strerror(errno));
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000u +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000u;
}

static enum error_code turn_until_done(struct load *self, struct error *error)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t servers_ms = 0, own_ms = 0, looked_us = 0;
    bool measuring = false;
    enum error_code code;
    for (;;) {
        uint64_t now = clock_monotonic_us();
        if (!measuring && now >= self->from_us) {
            measuring = true;
            own_ms = own_cpu_ms();
            if ((code = cpu_of_all(self->setting, &servers_ms, error)) != ERROR_OK)
                return code;
        }
        if (now >= looked_us + LOOK_US || now >= self->until_us) {
            looked_us = now;
            if (look(self, now) == 0 && now >= self->until_us)
                break;
        }
        int count = epoll_wait(self->epoll, events, EVENTS_MAX, 10);
        CHECK(count >= 0 || errno == EINTR, "epoll_wait: %s", strerror(errno));
        for (int i = 0; i < count; i++)
            serve(self, &events[i]);
    }
    self->result->client_cpu_ms = own_cpu_ms() - own_ms;
    if ((code = cpu_of_all(self->setting, &self->result->server_cpu_ms, error)) != ERROR_OK)
        return code;
    self->result->server_cpu_ms -= servers_ms;
    return ERROR_OK;
}

enum error_code load_run(const struct load_setting *setting, struct load_result *out, struct error *error)
{
    CHECK(setting->targets_count > 0 && setting->targets_count <= LOAD_TARGETS_MAX, "%u targets",
          setting->targets_count);
    CHECK(setting->connections > 0 && setting->connections <= LOAD_CONNECTIONS_MAX, "%u connections",
          setting->connections);
    struct load *self = memory_zero(1, sizeof *self);
    self->setting = setting;
    self->result = out;
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(self->epoll >= 0, "epoll_create1: %s", strerror(errno));
    self->from_us = clock_monotonic_us() + setting->warmup_ms * 1000;
    self->until_us = self->from_us + setting->duration_ms * 1000;
    self->last_us = self->until_us;
    self->connections = memory_zero(setting->connections, sizeof *self->connections);
    for (uint32_t i = 0; i < setting->connections; i++) {
        self->connections[i] =
            (struct connection){.fd = -1, .state = CLOSED, .target = i % setting->targets_count};
        bytes_init(&self->connections[i].request, REQUEST_BYTES_MAX);
    }
    enum error_code code = turn_until_done(self, error);
    out->elapsed_us = (self->last_us > self->until_us ? self->last_us : self->until_us) - self->from_us;
    for (uint32_t i = 0; i < setting->connections; i++) {
        drop(self, &self->connections[i], 0);
        bytes_done(&self->connections[i].request);
    }
    free(self->connections);
    close(self->epoll);
    free(self);
    return code;
}
