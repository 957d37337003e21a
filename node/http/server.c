/* How a request comes in: sockets, limits, deadlines, header and body; what it means is router.c's business.
 *
 * libmicrohttpd calls handle() first when the headers are there, then with pieces of the body, then once more
 * with none: that is when the request is served. A request that waited (request.c) comes back through the
 * same call. */
#include "node/http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/logger.h"
#include "node/http/count.h"
#include "node/http/guard.h"
#include "node/http/lane.h"
#include "node/http/openapi.h"
#include "node/http/problem.h"
#include "node/http/request.h"
#include "node/http/router.h"
#include "node/http/server_internal.h"
#include "node/http/stream.h"

#define THREADS_DEFAULT             2u
#define CONNECTIONS_DEFAULT         4096u
#define CONNECTIONS_ADDRESS_DEFAULT 1024u
#define BODY_BYTES_DEFAULT          (1024u * 1024u)
#define HEADER_TIMEOUT_DEFAULT_S    10u
#define WRITE_TIMEOUT_DEFAULT_MS    5000u
#define IDLE_TIMEOUT_S              60u /* between two requests, and for an answer that nobody takes */
#define CONNECTION_MEMORY_BYTES     (32u * 1024u) /* request line, headers, what is read and written at once */
#define BODY_DRAIN_FACTOR                                                                                    \
    4u /* so many times its limit of a body is read and thrown away, then the client is cut */
#define LISTEN_BACKLOG 1024
#define DESCRIPTORS_RESERVED                                                                                 \
    1024u /* of the process: two stores, the wire, the audit mirror, state transfers */

struct http_server {
    struct http_options options;
    struct MHD_Daemon *daemon;
    struct guard *guard;
    struct http_count *count;
    struct lane *lanes[LANE_COUNT];
    struct stream_hub *streams;
    struct clock clock;
    int socket;
    uint16_t port;
    atomic_bool quiesced;
    _Atomic uint32_t busy; /* requests between their headers and the end of their answer */
    pthread_mutex_t lock;  /* calls */
    pthread_cond_t idle;
    uint32_t calls;       /* of the service, under way */
    struct bytes openapi; /* made once */
};

static uint64_t now_ms(const struct http_server *self)
{
    return self->clock.monotonic_ms(self->clock.context);
}

/* --- what requests ask of their server --- */

void server_call_begin(struct http_server *self)
{
    pthread_mutex_lock(&self->lock);
    self->calls++;
    pthread_mutex_unlock(&self->lock);
}

void server_call_end(struct http_server *self)
{
    pthread_mutex_lock(&self->lock);
    CHECK(self->calls > 0, "more answers than calls");
    if (--self->calls == 0)
        pthread_cond_broadcast(&self->idle);
    pthread_mutex_unlock(&self->lock);
}

bool server_quiesced(const struct http_server *self)
{
    return atomic_load(&self->quiesced);
}

uint64_t server_write_timeout_ms(const struct http_server *self)
{
    return self->options.write_timeout_ms;
}

struct lane *server_lane(struct http_server *self, enum lane_kind kind)
{
    return self->lanes[kind];
}

uint64_t server_cut_total(const struct http_server *self)
{
    return guard_cut_total(self->guard);
}

void server_count(const struct http_server *self, struct metrics_http *out)
{
    http_count_read(self->count, out);
    out->in_flight = atomic_load(&self->busy);
    out->cut = guard_cut_total(self->guard);
}

struct span server_openapi(const struct http_server *self)
{
    return bytes_span(&self->openapi);
}

struct stream_hub *server_streams(struct http_server *self)
{
    return self->streams;
}

/* --- connections and their deadlines --- */

void server_connection_deadline(struct http_server *self, struct MHD_Connection *connection, uint64_t seconds)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (info != NULL && info->socket_context != NULL)
        guard_deadline(info->socket_context, seconds == 0 ? 0 : now_ms(self) + seconds * 1000);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_server *self = context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        CHECK(info != NULL, "a connection without a socket");
        *socket_context = guard_enter(self->guard, info->connect_fd,
                                      now_ms(self) + (uint64_t)self->options.header_timeout_s * 1000);
        return;
    }
    guard_leave(self->guard, *socket_context);
    *socket_context = NULL;
}

/* The request line is there: its headers have their time from now. */
static void *on_request_line(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct http_server *self = context;
    (void)uri;
    server_connection_deadline(self, connection, self->options.header_timeout_s);
    return NULL;
}

/* At level debug, one line a request: what was asked, by whom, how it ended and how long it took. */
static void log_request(const struct http_server *self, const struct request *request,
                        enum MHD_RequestTerminationCode why)
{
    char method[64], actor[2 * PRINCIPAL_BYTES_MAX];
    log_debug("http", why == MHD_REQUEST_TERMINATED_COMPLETED_OK ? "answered" : "broken off",
              "method=%s route=%s status=%u ms=%llu actor=%s request=%s",
              logger_quote(request->method, method, sizeof(method)),
              request->route != NULL ? request->route->path : "none", request->answer.status,
              (unsigned long long)(now_ms(self) - request->started_ms),
              logger_quote(request->principal, actor, sizeof(actor)), request->request_id);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **slot,
                         enum MHD_RequestTerminationCode why)
{
    struct http_server *self = context;
    struct request *request = *slot;
    if (request == NULL)
        return;
    log_request(self, request, why);
    http_count_request(self->count, request, why == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    request_free(request);
    *slot = NULL;
    server_connection_deadline(self, connection, IDLE_TIMEOUT_S);
    atomic_fetch_sub(&self->busy, 1);
}

/* --- one request --- */

static size_t keep_escapes(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context;
    (void)connection;
    return strlen(text); /* text_unescape() decodes, and refuses what isn't text */
}

static const char *header(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

static bool printable(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++)
        if (*at <= ' ' || *at > '~')
            return false;
    return true;
}

static bool has_control(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++)
        if (*at < ' ' || *at == 0x7F)
            return true;
    return false;
}

static void read_request_id(struct request *request)
{
    const char *key = header(request, "Idempotency-Key");
    if (key == NULL)
        return;
    if (key[0] == '\0' || strlen(key) > REQUEST_ID_BYTES_MAX || !printable(key)) {
        problem_answer(request, 400, "invalid_header",
                       "Idempotency-Key must have 1 to %u printable ASCII characters without blanks",
                       REQUEST_ID_BYTES_MAX);
        return;
    }
    snprintf(request->request_id, sizeof(request->request_id), "%s", key);
}

/* Without the blanks around it: whoever has several spellings has several identities. */
static void keep_name(char out[PRINCIPAL_BYTES_MAX + 1], const char *name)
{
    const char *end = name;
    for (size_t step; (step = text_unseen(name)) > 0;)
        name += step;
    for (const char *at = name; *at != '\0';) {
        size_t step = text_unseen(at);
        at += step > 0 ? step : 1;
        if (step == 0)
            end = at;
    }
    memcpy(out, name, (size_t)(end - name));
    out[end - name] = '\0';
}

static void read_principal(struct request *request)
{
    const char *name = header(request, "X-Autonomy-Operator");
    snprintf(request->principal, sizeof(request->principal), "anonymous");
    if (name == NULL || name[0] == '\0' || request->answer.ready)
        return;
    if (strlen(name) > PRINCIPAL_BYTES_MAX || !utf8_valid(name, strlen(name)) || has_control(name) ||
        text_is_blank(name)) {
        problem_answer(request, 400, "invalid_header",
                       "X-Autonomy-Operator must be UTF-8 text of at most %u bytes that can be seen, without "
                       "control characters",
                       PRINCIPAL_BYTES_MAX);
        return;
    }
    keep_name(request->principal, name);
    if (strcasecmp(request->principal, "system") == 0 && !request->forwarded)
        problem_answer(request, 400, "invalid_header",
                       "X-Autonomy-Operator must not be \"system\": that is what the cluster calls itself");
}

static void read_source(struct request *request)
{
    const char *source = header(request, "X-Autonomy-Source");
    request->source = source != NULL && strcmp(source, "cli") == 0 ? AUDIT_CLI : AUDIT_ORCHESTRATOR;
    if (source != NULL && request->source != AUDIT_CLI && strcmp(source, "orchestrator") != 0 &&
        !request->answer.ready)
        problem_answer(request, 400, "invalid_header", "X-Autonomy-Source must be cli or orchestrator");
}

/* A page of another site that somebody's browser shows must not change anything here, even where no proof of
 * identity is asked for: a browser says where a page is from, and that must be this very address. */
static void check_origin(struct request *request)
{
    const char *origin = header(request, "Origin"), *host = header(request, "Host");
    if (origin == NULL || request->answer.ready || strcmp(request->method, "GET") == 0 ||
        strcmp(request->method, "HEAD") == 0)
        return;
    const char *from = strstr(origin, "://");
    if (from == NULL || host == NULL || strcasecmp(from + 3, host) != 0)
        problem_answer(request, 403, "denied",
                       "a change from a page of another site is refused (header Origin)");
}

static enum MHD_Result keep_argument(void *context, enum MHD_ValueKind kind, const char *name,
                                     size_t name_bytes, const char *value, size_t value_bytes)
{
    struct request *request = context;
    (void)kind;
    const char *key = text_unescape(name, name_bytes, &request->arena);
    const char *text = value != NULL ? text_unescape(value, value_bytes, &request->arena) : "";
    if (key == NULL || text == NULL) {
        problem_answer(request, 400, "malformed", "the query has a damaged escape or isn't UTF-8");
        return MHD_NO;
    }
    if (request_query(request, key) != NULL) {
        problem_answer(request, 400, "malformed", "the query has the argument \"%s\" twice", key);
        return MHD_NO;
    }
    if (request->query_count == QUERY_MAX) {
        problem_answer(request, 400, "malformed", "the query has more than %u arguments", QUERY_MAX);
        return MHD_NO;
    }
    request->query[request->query_count++] = (struct query_argument){.name = key, .value = text};
    return MHD_YES;
}

struct header_tally {
    const char *name;
    uint32_t count;
};

static enum MHD_Result tally(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct header_tally *counted = context;
    (void)kind;
    (void)value;
    counted->count += strcasecmp(name, counted->name) == 0;
    return MHD_YES;
}

static uint32_t header_count(const struct request *request, const char *name)
{
    struct header_tally counted = {.name = name};
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, tally, &counted);
    return counted.count;
}

/* Where two readers could disagree about where a request ends or whom it is for, somebody in between could be
 * made to let pass what it would refuse: such a request is answered, and its connection closed, unread.
 * @return false: refused */
static bool check_framing(struct request *request, const char *version)
{
    const uint32_t hosts = header_count(request, "Host"), lengths = header_count(request, "Content-Length");
    const char *coding = header(request, "Transfer-Encoding");
    if (hosts > 1 || (hosts == 0 && strcmp(version, MHD_HTTP_VERSION_1_0) != 0))
        problem_answer(request, 400, "malformed", "a request has one Host header, not %u", hosts);
    else if (lengths > 1 || (lengths == 1 && coding != NULL))
        problem_answer(request, 400, "malformed", "the length of the body is given twice");
    else if (coding != NULL && strcasecmp(coding, "chunked") != 0)
        problem_answer(request, 501, "unknown_coding", "Transfer-Encoding may be chunked, and nothing else");
    request->body_dropped = request->answer.ready;
    return !request->answer.ready;
}

/* A proxy may ask for "http://host/path": that is the path. */
static const char *path_of(const char *url)
{
    if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
        return url;
    const char *path = strchr(strstr(url, "://") + 3, '/');
    return path != NULL ? path : "/";
}

/* What a path takes, for whoever asks. */
static void answer_options(struct request *request)
{
    struct bytes nothing;
    bytes_init(&nothing, 0);
    answer_raw(request, 204, NULL, &nothing);
    bytes_done(&nothing);
}

static void no_such_path(struct request *request, const char *url)
{
    const bool shown = strlen(url) <= 256 && utf8_valid(url, strlen(url));
    problem_answer(request, 404, "route_not_found", "there is no path %s here; GET /openapi.json lists them",
                   shown ? url : "like that");
}

static void find_route(struct request *request, const char *url)
{
    struct error error = {0};
    if (strlen(url) > PATH_BYTES_MAX) {
        problem_answer(request, 414, "uri_too_long", "the path has %zu bytes; %u are allowed", strlen(url),
                       PATH_BYTES_MAX);
        return;
    }
    enum error_code code = path_split(url, &request->arena, request->parts, &request->part_count, &error);
    if (code == ERROR_INVALID) {
        problem_answer(request, 400, "malformed", "%s", error.message);
        return;
    }
    char allow[64] = "";
    if (code == ERROR_OK)
        request->route =
            route_find(request->method, request->parts, request->part_count, allow, sizeof(allow));
    if (request->route != NULL)
        return;
    if (allow[0] == '\0') {
        no_such_path(request, url);
        return;
    }
    answer_header(request, "Allow", arena_printf(&request->arena, "%s, OPTIONS", allow));
    if (strcmp(request->method, "OPTIONS") == 0) {
        answer_options(request);
        return;
    }
    problem_answer(request, 405, "method_not_allowed", "this path takes %s, not %s", allow,
                   utf8_valid(request->method, strlen(request->method)) ? request->method : "that method");
}

/* A body that says it is too long is refused before it is sent when the client waits for our word, or when
 * reading it just to be polite would take too long; else it is read and thrown away, so that the client reads
 * the answer. */
static bool refuse_unread(struct http_server *self, struct request *request)
{
    uint64_t length = 0;
    const char *text = header(request, "Content-Length");
    if (text == NULL || !parse_u64(text, UINT64_MAX, &length) || length <= self->options.body_bytes_max)
        return false;
    if (header(request, "Expect") == NULL &&
        length <= (uint64_t)self->options.body_bytes_max * BODY_DRAIN_FACTOR)
        return false;
    request->body_dropped = true;
    return true;
}

static void refuse_body(struct http_server *self, struct request *request)
{
    if (request->answer.ready)
        return;
    problem_answer(request, 413, "too_big", "the body is longer than %u bytes", self->options.body_bytes_max);
}

static enum MHD_Result begin_request(struct http_server *self, struct MHD_Connection *connection,
                                     const char *url, const char *method, const char *version, void **slot)
{
    struct request *request = request_new(self, self->options.service, connection, method);
    *slot = request;
    request->started_ms = now_ms(self);
    request->started_us = clock_monotonic_us();
    atomic_fetch_add(&self->busy, 1);
    server_connection_deadline(self, connection, (uint64_t)self->options.header_timeout_s * 3);

    const char *forwarded = header(request, "X-Autonomy-Forwarded");
    request->forwarded = forwarded != NULL && strcmp(forwarded, "1") == 0;
    request->request_id[0] = REQUEST_ID_NODE; /* remembered for as long as a retry makes sense */
    random_id(request->request_id + 1);
    if (!check_framing(request, version))
        return answer_send(request);
    read_request_id(request);
    read_principal(request);
    read_source(request);
    check_origin(request);
    if (!request->answer.ready)
        find_route(request, path_of(url));
    if (!request->answer.ready)
        MHD_get_connection_values_n(connection, MHD_GET_ARGUMENT_KIND, keep_argument, request);
    if (refuse_unread(self, request)) {
        refuse_body(self, request);
        return answer_send(request);
    }
    return MHD_YES;
}

/* @return false: the client sends without end, and is cut */
static bool take_body(struct http_server *self, struct request *request, const char *data, size_t length)
{
    request->received_bytes += length;
    if (request->received_bytes > self->options.body_bytes_max) {
        request->body_dropped = true;
        bytes_clear(&request->body);
        return request->received_bytes <= (uint64_t)self->options.body_bytes_max * BODY_DRAIN_FACTOR;
    }
    if (!request->answer.ready)
        bytes_append(&request->body, data, length);
    return true;
}

static void serve(struct http_server *self, struct request *request)
{
    request_then_fn *then = request->then;
    request->then = NULL;
    if (then != NULL)
        then(request);
    else if (request->body_dropped)
        refuse_body(self, request);
    else if (!request->answer.ready && server_quiesced(self))
        problem_answer(request, 503, "closed", "this node is shutting down");
    else if (!request->answer.ready)
        route_serve(request);
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data, size_t *data_bytes,
                              void **slot)
{
    struct http_server *self = context;
    struct request *request = *slot;
    if (request == NULL)
        return begin_request(self, connection, url, method, version, slot);
    if (*data_bytes > 0) {
        bool going_on = take_body(self, request, data, *data_bytes);
        *data_bytes = 0;
        return going_on ? MHD_YES : MHD_NO;
    }
    server_connection_deadline(self, connection, 0);
    request->waiting = false;
    serve(self, request);
    if (request->waiting)
        return MHD_YES; /* handle() comes again when the connection is awake */
    bool own_pace = request->answer.fd >= 0 || request->answer.stream != NULL;
    server_connection_deadline(self, connection, own_pace ? 0 : IDLE_TIMEOUT_S);
    return answer_send(request);
}

/* --- opening and closing --- */

static void log_line(void *context, const char *format, va_list arguments)
{
    char text[512], quoted[1100];
    (void)context;
    vsnprintf(text, sizeof(text), format, arguments);
    text[strcspn(text, "\r\n")] = '\0';
    log_debug("http", "libmicrohttpd", "text=%s", logger_quote(text, quoted, sizeof(quoted)));
}

/* "127.0.0.1:7101", "[::1]:7101", "localhost:7101" */
static enum error_code split_address(const char *address, char *host, size_t host_bytes, const char **port,
                                     struct error *error)
{
    uint64_t number;
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address || (size_t)(colon - address) >= host_bytes ||
        !parse_u64(colon + 1, UINT16_MAX, &number))
        return error_set(error, ERROR_INVALID, "listen address \"%s\" is not HOST:PORT", address);
    size_t length = (size_t)(colon - address);
    if (address[0] == '[' && address[length - 1] == ']') {
        address++;
        length -= 2;
    }
    memcpy(host, address, length);
    host[length] = '\0';
    *port = colon + 1;
    return ERROR_OK;
}

static enum error_code listen_on(const struct addrinfo *at, const char *address, int *out,
                                 struct error *error)
{
    int yes = 1;
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set(error, ERROR_IO, "listen address %s: %s", address, strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
        int reason = errno;
        close(fd);
        if (reason == EADDRINUSE)
            return error_set(error, ERROR_LOCKED, "listen address %s is in use by another process", address);
        return error_set(error, ERROR_IO, "listen address %s: %s", address, strerror(reason));
    }
    *out = fd;
    return ERROR_OK;
}

static enum error_code open_socket(struct http_server *self, const char *address, struct error *error)
{
    char host[ADDRESS_BYTES_MAX];
    const char *port = NULL;
    struct addrinfo *found = NULL,
                    hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    enum error_code code = split_address(address, host, sizeof(host), &port, error);
    if (code != ERROR_OK)
        return code;
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed != 0)
        return error_set(error, ERROR_INVALID, "listen address %s: %s", address, gai_strerror(failed));
    code = listen_on(found, address, &self->socket, error);
    freeaddrinfo(found);
    if (code != ERROR_OK)
        return code;
    struct sockaddr_storage bound;
    socklen_t bound_bytes = sizeof(bound);
    CHECK(getsockname(self->socket, (struct sockaddr *)&bound, &bound_bytes) == 0, "getsockname: %d", errno);
    in_port_t number = bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                   : ((struct sockaddr_in *)&bound)->sin_port;
    self->port = ntohs(number);
    return ERROR_OK;
}

static void fill_in(struct http_options *options)
{
    struct {
        uint32_t *value, otherwise;
    } rows[] = {
        {&options->threads, THREADS_DEFAULT},
        {&options->connections_max, CONNECTIONS_DEFAULT},
        {&options->connections_per_address_max, CONNECTIONS_ADDRESS_DEFAULT},
        {&options->body_bytes_max, BODY_BYTES_DEFAULT},
        {&options->header_timeout_s, HEADER_TIMEOUT_DEFAULT_S},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (*rows[i].value == 0)
            *rows[i].value = rows[i].otherwise;
    if (options->write_timeout_ms == 0)
        options->write_timeout_ms = WRITE_TIMEOUT_DEFAULT_MS;
}

/* Clients must not take the descriptors that the stores need: the process gets enough of them, or fewer
 * clients are let in. */
static void fit_descriptors(struct http_options *options)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)options->connections_max + DESCRIPTORS_RESERVED;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= wanted)
        return;
    uint32_t fitting =
        (uint32_t)(limit.rlim_cur >= 2 * DESCRIPTORS_RESERVED ? limit.rlim_cur - DESCRIPTORS_RESERVED
                                                              : limit.rlim_cur / 2);
    log_warn("http", "fewer connections than configured", "connections=%u configured=%u open_files=%llu",
             fitting, options->connections_max, (unsigned long long)limit.rlim_cur);
    options->connections_max = fitting;
}

static struct MHD_Daemon *start_daemon(struct http_server *self)
{
    const struct http_options *options = &self->options;
    struct MHD_OptionItem pool[] = {
        {options->threads > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, (intptr_t)options->threads,
         NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, self->port, NULL, NULL,
        handle, self, MHD_OPTION_EXTERNAL_LOGGER, log_line, self, MHD_OPTION_LISTEN_SOCKET, self->socket,
        MHD_OPTION_CONNECTION_LIMIT, options->connections_max, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        options->connections_per_address_max, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_BYTES, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, self, MHD_OPTION_NOTIFY_CONNECTION, on_connection, self, MHD_OPTION_URI_LOG_CALLBACK,
        on_request_line, self, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, self, MHD_OPTION_STRICT_FOR_CLIENT,
        0, MHD_OPTION_ARRAY, pool, MHD_OPTION_END);
}

enum error_code http_server_open(const struct http_options *options, struct http_server **out,
                                 struct error *error)
{
    struct http_server *self = memory_zero(1, sizeof(*self));
    self->options = *options;
    self->options.listen_address = NULL; /* the caller's; not needed later */
    self->clock = clock_system();
    fill_in(&self->options);
    fit_descriptors(&self->options);
    enum error_code code = open_socket(self, options->listen_address, error);
    if (code != ERROR_OK) {
        free(self);
        return code;
    }
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->idle, NULL);
    bytes_init(&self->openapi, 0);
    openapi_write(service_version(), self->options.body_bytes_max, &self->openapi);
    self->guard = guard_new();
    self->count = http_count_new();
    for (size_t i = 0; i < LANE_COUNT; i++)
        self->lanes[i] = lane_new();
    if (self->options.streams.streams_max == 0)
        self->options.streams.streams_max = self->options.connections_max / 2;
    self->streams = stream_hub_new(self->options.service, self, &self->options.streams);
    service_subscribe(self->options.service, stream_hub_notify, self->streams);
    self->daemon = start_daemon(self);
    CHECK(self->daemon != NULL, "libmicrohttpd did not start: errno %d", errno);
    *out = self;
    return ERROR_OK;
}

uint16_t http_server_port(const struct http_server *self)
{
    return self->port;
}

uint32_t http_server_busy(const struct http_server *self)
{
    return atomic_load(&self->busy);
}

/* Takes the socket from under the library, so that the port is closed at once. MHD_quiesce_daemon() would,
 * but with a pool of epoll threads it races with them for the removal from their sets, and aborts the process
 * when it loses. What stands in the socket's place is never ready for reading, and the library closes it in
 * the end. Without a descriptor for that the port stays open until the stop, which comes soon. */
static void stop_listening(struct http_server *self)
{
    int quiet = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (quiet < 0)
        return;
    (void)dup3(quiet, self->socket, O_CLOEXEC);
    close(quiet);
}

void http_server_quiesce(struct http_server *self)
{
    bool was = atomic_exchange(&self->quiesced, true);
    if (!was) {
        stop_listening(self);
        stream_hub_quiesce(self->streams);
    }
}

void http_server_close(struct http_server *self)
{
    if (self == NULL)
        return;
    http_server_quiesce(self);
    pthread_mutex_lock(&self->lock);
    while (self->calls > 0) /* libmicrohttpd can't stop while a connection is suspended */
        pthread_cond_wait(&self->idle, &self->lock);
    pthread_mutex_unlock(&self->lock);
    service_subscribe(self->options.service, NULL, NULL);
    stream_hub_stop(self->streams); /* likewise: afterwards none is */
    MHD_stop_daemon(self->daemon);  /* closes the socket */
    stream_hub_free(self->streams);
    for (size_t i = 0; i < LANE_COUNT; i++)
        lane_free(self->lanes[i]);
    guard_free(self->guard);
    http_count_free(self->count);
    bytes_done(&self->openapi);
    pthread_cond_destroy(&self->idle);
    pthread_mutex_destroy(&self->lock);
    free(self);
}
