/* One request on its way through the HTTP interface: read, routed, perhaps waiting for the service, answered.
 *
 * A request is handled on one of libmicrohttpd's threads. When it must wait, its connection is suspended
 * first and the service asked after that: the answer may come (on the loop thread) before the asking call has
 * returned. What the loop thread does is small: it keeps a copy of the answer and wakes the connection;
 * `then` runs on the HTTP thread again.
 *
 * Invariants:
 *   (1) a request is answered exactly once, or its connection is closed;
 *   (2) while it waits only the loop thread touches it, and only until it has woken the connection;
 *   (3) everything that it owns ends with it (request_free), on the thread of its connection. */
#pragma once

#include <jansson.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/limits.h"
#include "node/http/lane.h"
#include "node/service.h"

#define PATH_BYTES_MAX     2048u                 /* of a URL without its query */
#define PATH_PARTS_MAX     8u                    /* between slashes */
#define QUERY_MAX          24u                   /* arguments of a URL */
#define TIMEOUT_MAX_MS     60000u                /* the longest a client may ask us to wait */
#define REQUEST_ARENA_MAX  (4u * 1024u * 1024u)  /* path, query, headers, one refusal's sentence */
#define DECODED_ARENA_MAX  (16u * 1024u * 1024u) /* a body of 1 MiB as structs */
#define ANSWER_HEADERS_MAX 8u

struct http_server;
struct stream_hub;
struct request;
struct route;

typedef void request_then_fn(struct request *request);

struct query_argument {
    const char *name;
    const char *value;
    bool used;
};

struct answer_header {
    const char *name;
    const char *value; /* in the request's arena */
};

struct answer {
    bool ready;
    uint32_t status;
    json_t *json; /* owned; else `raw` or `fd` */
    struct bytes raw;
    struct span fixed; /* or this, which outlives the server's connections */
    int fd;            /* -1: none */
    uint64_t fd_offset, fd_bytes;
    struct MHD_Response *stream; /* without an end of its own (stream.c); owned until it is sent */
    const char *content_type;    /* NULL: nothing comes */
    struct answer_header headers[ANSWER_HEADERS_MAX];
    uint32_t header_count;
    uint64_t index, term; /* 0: what this node has applied, its term */
};

struct request {
    struct http_server *server;
    struct service *service;
    struct MHD_Connection *connection;
    const struct route *route;
    struct arena arena;
    struct arena decoded; /* what a body became; apart, since input decides how full it gets */
    const char *method;
    const char *parts[PATH_PARTS_MAX]; /* of the path, decoded */
    uint32_t part_count;
    struct query_argument query[QUERY_MAX];
    uint32_t query_count;
    struct bytes body;
    uint64_t received_bytes;  /* of the body, also what was thrown away */
    bool body_dropped;        /* past the limit: read and thrown away, so that the client reads our answer */
    bool forwarded;           /* by another node: never forward again */
    enum audit_source source; /* what the audit trail says it came through */
    char request_id[REQUEST_ID_BYTES_MAX + 1];
    char principal[PRINCIPAL_BYTES_MAX + 1];
    uint64_t started_ms;  /* monotonic: its headers were there */
    uint64_t started_us;  /* the same moment, for measuring */
    uint64_t deadline_ms; /* monotonic, the service's clock */
    json_t *json;         /* the parsed body, path parameters merged; owned */
    const void *parsed;   /* what a route made of it, in the arena */
    const char *missing;  /* problem code for ERROR_NOT_FOUND, when the route's own is not exact */

    bool waiting; /* it asked during this call of handle(), and is another thread's until it is called again.
                   * Only HTTP's thread touches this flag */
    request_then_fn *then;  /* runs when the service has answered */
    struct outcome outcome; /* its answer, a copy */
    struct bytes outcome_body;
    uint32_t act_status;
    json_t *act_json; /* owned */

    struct answer answer;
};

struct request *request_new(struct http_server *server, struct service *service,
                            struct MHD_Connection *connection, const char *method);
void request_free(struct request *self);

/** A path parameter by the name that its template gives it: "plan_id". Never NULL. */
const char *request_parameter(const struct request *self, const char *name);
/** A query argument, NULL when absent; marks it as known. */
const char *request_query(struct request *self, const char *name);

/* Waiting: suspends, asks the service, and goes on with `then` on an HTTP thread, also when the service
 * refuses to take the question (its error is the outcome then). */
void request_change(struct request *self, struct span command, request_then_fn *then);
void request_confirm(struct request *self, request_then_fn *then);
void request_wait(struct request *self, uint64_t index, uint64_t deadline_ms, request_then_fn *then);
void request_act(struct request *self, enum service_act act, const json_t *body, request_then_fn *then);
void request_checkpoint(struct request *self, request_then_fn *then);
/** Lets `work`, which answers, run on a thread for long reads; its queue full: 503. */
void request_lane(struct request *self, enum lane_kind kind, request_then_fn *work);

/* Answering. */
/** @param json  stolen; NULL only when memory ended */
void answer_json(struct request *self, uint32_t status, json_t *json);
/** @param raw  taken over, left empty */
void answer_raw(struct request *self, uint32_t status, const char *content_type, struct bytes *raw);
/** @param text  borrowed for as long as the server has connections */
void answer_static(struct request *self, uint32_t status, const char *content_type, struct span text);
/** @param fd  taken over: `bytes` of it from `offset` on */
void answer_descriptor(struct request *self, uint32_t status, const char *content_type, int fd,
                       uint64_t offset, uint64_t bytes);
/** @param stream  taken over: a body that goes on until the stream ends */
void answer_stream(struct request *self, struct MHD_Response *stream);
/** @param value  copied */
void answer_header(struct request *self, const char *name, const char *value);
/** Hands the answer to libmicrohttpd. */
enum MHD_Result answer_send(struct request *self);

/* What a request asks of its server (server.c). */
/** Counts the service's calls under way: http_server_close() waits for the last one. */
void server_call_begin(struct http_server *self);
void server_call_end(struct http_server *self);
/** It stops: answers say `Connection: close`. */
bool server_quiesced(const struct http_server *self);
uint64_t server_write_timeout_ms(const struct http_server *self);
/** Cuts the connection off after so many seconds; 0: never, until it is set again. */
void server_connection_deadline(struct http_server *self, struct MHD_Connection *connection,
                                uint64_t seconds);
struct stream_hub *server_streams(struct http_server *self);
