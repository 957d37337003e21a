#include "consensus/wire_stream.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "consensus/wire_frame.h"

#define USER_TIMEOUT_MS 1500 /* unacknowledged for so long: broken. The kernel's default is 15 minutes */
#define BACKLOG         128
#define KEEP_BYTES      (1024u * 1024u) /* a larger buffer goes when it is written */

struct wire_stream {
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_getaddrinfo_t resolve;
    uv_connect_t connect;
    uv_write_t write;
    const struct wire_stream_events *events;
    void *context;
    struct bytes flying;  /* given to libuv, until written */
    struct bytes pending; /* goes next, in one piece: what was sent meanwhile shares a call */
    uint32_t attempt;     /* which of a name's addresses */
    uint32_t holds;       /* handles and requests that libuv may still call back for */
    int broken;           /* a write failed; told on the next loop turn */
    bool resolving;
    bool reading;
    bool ended;
    bool closing;
};

/* --- ends
 * ---------------------------------------------------------------------------------------------------------
 */

static void let_go(struct wire_stream *self)
{
    CHECK(self->holds > 0, "a stream let go once too often");
    if (--self->holds > 0)
        return;
    const struct wire_stream_events *events = self->events;
    void *context = self->context;
    bytes_done(&self->flying);
    bytes_done(&self->pending);
    free(self);
    events->closed(context);
}

static void on_handle_closed(uv_handle_t *handle)
{
    let_go(handle->data);
}

void wire_stream_close(struct wire_stream *self)
{
    if (self->closing)
        return;
    self->closing = true;
    if (self->resolving)
        uv_cancel((uv_req_t *)&self->resolve); /* if it's too late for that, its callback comes by itself */
    uv_close((uv_handle_t *)&self->tcp, on_handle_closed);
    uv_close((uv_handle_t *)&self->timer, on_handle_closed);
}

static void end(struct wire_stream *self, int status)
{
    if (self->closing || self->ended)
        return;
    self->ended = true;
    uv_timer_stop(&self->timer);
    if (self->reading)
        uv_read_stop((uv_stream_t *)&self->tcp);
    self->events->ended(self->context, status);
}

static void on_timer(uv_timer_t *timer)
{
    struct wire_stream *self = timer->data;
    end(self, self->broken != 0 ? self->broken : UV_ETIMEDOUT);
}

void wire_stream_timeout(struct wire_stream *self, uint64_t timeout_ms)
{
    if (self->closing || self->ended || self->broken != 0)
        return;
    if (timeout_ms == 0)
        uv_timer_stop(&self->timer);
    else
        uv_timer_start(&self->timer, on_timer, timeout_ms, 0);
}

/* Tells the owner on the next turn of the loop: it may be in the middle of something now. */
static void break_later(struct wire_stream *self, int status)
{
    if (self->broken != 0 || self->closing)
        return;
    self->broken = status;
    uv_timer_start(&self->timer, on_timer, 0, 0);
}

/* --- beginnings
 * --------------------------------------------------------------------------------------------------- */

static struct wire_stream *stream_new(uv_loop_t *loop, const struct wire_stream_events *events, void *context)
{
    struct wire_stream *self = memory_zero(1, sizeof *self);
    self->events = events;
    self->context = context;
    bytes_init(&self->flying, 0);
    bytes_init(&self->pending, 0);
    uv_tcp_init(loop, &self->tcp); /* neither can fail: no socket is made yet */
    uv_timer_init(loop, &self->timer);
    self->tcp.data = self;
    self->timer.data = self;
    self->holds = 2;
    return self;
}

/* Failing to set one of these makes a connection slower to notice trouble, not wrong. */
static void set_options(struct wire_stream *self)
{
    uv_os_fd_t fd;
    uv_tcp_nodelay(&self->tcp, 1);
    uv_tcp_keepalive(&self->tcp, 1, 1);
    if (uv_fileno((uv_handle_t *)&self->tcp, &fd) != 0)
        return;
    const int interval_s = 1, probes = 3;
    const unsigned user_timeout_ms = USER_TIMEOUT_MS;
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof user_timeout_ms);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct wire_stream *self = handle->data;
    uint8_t *data = NULL;
    size_t length = 0;
    (void)suggested;
    self->events->room(self->context, &data, &length);
    CHECK(length > 0, "a stream's owner has no room");
    *out = uv_buf_init((char *)data, (unsigned)length);
}

static void on_read(uv_stream_t *tcp, ssize_t length, const uv_buf_t *room)
{
    struct wire_stream *self = tcp->data;
    (void)room;
    if (length < 0)
        end(self, (int)length);
    else if (length > 0 && !self->closing && !self->ended)
        self->events->received(self->context, (size_t)length);
}

static int start_reading(struct wire_stream *self)
{
    set_options(self);
    const int status = uv_read_start((uv_stream_t *)&self->tcp, on_room, on_read);
    self->reading = status == 0;
    return status;
}

static void on_connected(uv_connect_t *request, int status)
{
    struct wire_stream *self = request->handle->data;
    if (self->closing)
        return;
    if (status == 0)
        status = start_reading(self);
    if (status != 0)
        end(self, status);
    else
        self->events->connected(self->context);
}

static void connect_to(struct wire_stream *self, const struct sockaddr *address)
{
    const int status = uv_tcp_connect(&self->connect, &self->tcp, address, on_connected);
    if (status != 0)
        break_later(self, status);
}

/* A name may have addresses of which only some are listened on (localhost is ::1 and 127.0.0.1). */
static const struct sockaddr *pick(const struct addrinfo *found, uint32_t attempt)
{
    uint32_t count = 0;
    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next)
        count++;
    CHECK(count > 0, "a name resolved to nothing");
    for (attempt %= count; attempt > 0; attempt--)
        found = found->ai_next;
    return found->ai_addr;
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct wire_stream *self = request->data;
    self->resolving = false;
    if (!self->closing && status == 0)
        connect_to(self, pick(found, self->attempt));
    else if (!self->closing)
        end(self, status);
    uv_freeaddrinfo(found);
    let_go(self);
}

struct wire_stream *wire_stream_connect(uv_loop_t *loop, const char *address, uint32_t attempt,
                                        const struct wire_stream_events *events, void *context)
{
    struct wire_stream *self = stream_new(loop, events, context);
    char host[ADDRESS_BYTES_MAX], port[6];
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (!wire_address_split(address, host, port) || host[0] == '\0') {
        break_later(self, UV_EINVAL);
    } else if (uv_ip4_addr(host, atoi(port), &v4) == 0) {
        connect_to(self, (const struct sockaddr *)&v4);
    } else if (uv_ip6_addr(host, atoi(port), &v6) == 0) {
        connect_to(self, (const struct sockaddr *)&v6);
    } else {
        const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
        self->resolve.data = self;
        self->attempt = attempt;
        const int status = uv_getaddrinfo(loop, &self->resolve, on_resolved, host, port, &hints);
        self->resolving = status == 0;
        self->holds += self->resolving;
        if (status != 0)
            break_later(self, status);
    }
    return self;
}

struct wire_stream *wire_stream_accept(uv_loop_t *loop, uv_stream_t *listener,
                                       const struct wire_stream_events *events, void *context)
{
    struct wire_stream *self = stream_new(loop, events, context);
    int status = uv_accept(listener, (uv_stream_t *)&self->tcp);
    if (status == 0)
        status = start_reading(self);
    if (status != 0)
        break_later(self, status);
    return self;
}

/* --- writing
 * ------------------------------------------------------------------------------------------------------ */

static void fly(struct wire_stream *self);

static void on_written(uv_write_t *request, int status)
{
    struct wire_stream *self = request->handle->data;
    if (self->flying.capacity > KEEP_BYTES)
        bytes_done(&self->flying);
    bytes_clear(&self->flying);
    if (self->closing || self->ended)
        return;
    if (status != 0)
        end(self, status);
    else if (self->pending.length > 0)
        fly(self);
}

/* What is pending becomes what flies. */
static void fly(struct wire_stream *self)
{
    const struct bytes idle = self->flying;
    CHECK(idle.length == 0, "two writes at a time");
    self->flying = self->pending;
    self->pending = idle;
    const uv_buf_t buffer = uv_buf_init((char *)self->flying.data, (unsigned)self->flying.length);
    const int status = uv_write(&self->write, (uv_stream_t *)&self->tcp, &buffer, 1, on_written);
    if (status != 0)
        break_later(self, status);
}

size_t wire_stream_queued(const struct wire_stream *self)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)&self->tcp) + self->pending.length;
}

static void append_from(struct bytes *out, struct span span, size_t from)
{
    if (from < span.bytes)
        bytes_append(out, (const uint8_t *)span.data + from, span.bytes - from);
}

enum error_code wire_stream_write(struct wire_stream *self, struct span head, struct span body,
                                  size_t queued_max)
{
    if (self->closing || self->ended || self->broken != 0)
        return ERROR_UNAVAILABLE;
    const size_t queued = wire_stream_queued(self);
    if (queued > 0 && queued + head.bytes + body.bytes > queued_max)
        return ERROR_BUSY;
    size_t written = 0;
    if (queued == 0 && self->flying.length == 0) {
        const uv_buf_t buffers[2] = {uv_buf_init((char *)(uintptr_t)head.data, (unsigned)head.bytes),
                                     uv_buf_init((char *)(uintptr_t)body.data, (unsigned)body.bytes)};
        const int status = uv_try_write((uv_stream_t *)&self->tcp, buffers, 2);
        if (status < 0 && status != UV_EAGAIN) {
            break_later(self, status);
            return ERROR_UNAVAILABLE;
        }
        written = status < 0 ? 0 : (size_t)status;
        if (written == head.bytes + body.bytes)
            return ERROR_OK;
    }
    append_from(&self->pending, head, written);
    append_from(&self->pending, body, written > head.bytes ? written - head.bytes : 0);
    if (self->flying.length == 0)
        fly(self);
    return ERROR_OK;
}

/* --- addresses
 * ---------------------------------------------------------------------------------------------------- */

void wire_stream_remote(const struct wire_stream *self, char *out, size_t out_bytes)
{
    struct sockaddr_storage address;
    int length = sizeof address;
    char ip[INET6_ADDRSTRLEN] = "";
    snprintf(out, out_bytes, "unknown");
    if (uv_tcp_getpeername(&self->tcp, (struct sockaddr *)&address, &length) != 0)
        return;
    if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
        uv_ip6_name(v6, ip, sizeof ip);
        snprintf(out, out_bytes, "[%s]:%u", ip, ntohs(v6->sin6_port));
    } else {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
        uv_ip4_name(v4, ip, sizeof ip);
        snprintf(out, out_bytes, "%s:%u", ip, ntohs(v4->sin_port));
    }
}

static enum error_code socket_error(const char *address, const char *act, struct error *error)
{
    if (errno == EADDRINUSE)
        return error_set(error, ERROR_LOCKED, "address %s is in use by another process", address);
    return error_set(error, ERROR_IO, "can't %s %s: %s", act, address, strerror(errno));
}

static enum error_code listen_on(int fd, const char *address, const struct addrinfo *found,
                                 struct error *error)
{
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* connections of an earlier start may linger */
    if (bind(fd, found->ai_addr, found->ai_addrlen) != 0)
        return socket_error(address, "bind", error);
    if (listen(fd, BACKLOG) != 0)
        return socket_error(address, "listen on", error);
    return ERROR_OK;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&address)->sin6_port
                                               : ((const struct sockaddr_in *)&address)->sin_port);
}

enum error_code wire_listen_socket(const char *address, int *out, uint16_t *port_out, struct error *error)
{
    char host[ADDRESS_BYTES_MAX], port[6];
    if (!wire_address_split(address, host, port))
        return error_set(error, ERROR_INVALID, "\"%s\" is not host:port", address);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found;
    const int status = getaddrinfo(host[0] == '\0' ? NULL : host, port, &hints, &found);
    if (status != 0)
        return error_set(error, ERROR_INVALID, "can't resolve %s: %s", address, gai_strerror(status));
    const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    enum error_code code =
        fd < 0 ? socket_error(address, "make a socket for", error) : listen_on(fd, address, found, error);
    freeaddrinfo(found);
    if (code != ERROR_OK) {
        if (fd >= 0)
            close(fd);
        return code;
    }
    *out = fd;
    *port_out = bound_port(fd);
    return ERROR_OK;
}
