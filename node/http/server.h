/* The HTTP interface: libmicrohttpd's threads, routes as a table, problem+json for every error. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "node/service.h"

struct http_server;

/** Of GET /v1/events (stream.h says what the defaults are). */
struct stream_options {
    uint64_t heartbeat_ms; /* 0: STREAM_HEARTBEAT_MS */
    uint32_t behind_max;   /* 0: STREAM_BEHIND_MAX */
    uint32_t streams_max;  /* one more is refused with 503 */
};

struct http_options {
    struct service *service;
    const char *listen_address;           /* "127.0.0.1:7101"; port 0: any, see http_server_port() */
    uint32_t threads;                     /* 0: 2 */
    uint32_t connections_max;             /* 4,096 */
    uint32_t connections_per_address_max; /* 0: no bound; 1,024 by default */
    uint32_t body_bytes_max;              /* 1 MiB */
    uint32_t header_timeout_s; /* a client that is slower with its headers is cut off: 10; three times as long
                                  for a body */
    uint64_t write_timeout_ms; /* how long a change may wait for its outcome: 5,000 */
    struct stream_options streams; /* of GET /v1/events; streams_max: half the connections */
};

enum error_code http_server_open(const struct http_options *options, struct http_server **out,
                                 struct error *error) MUST_USE;
uint16_t http_server_port(const struct http_server *self);
/** Takes no more connections; requests under way are answered. At once, from any thread. */
void http_server_quiesce(struct http_server *self);
/** Requests under way: begun and not yet answered whole. A stopping node waits for 0 with a bound of its own.
 */
uint32_t http_server_busy(const struct http_server *self);
/** Ends the threads and cuts what is left. Waits for the `done` of every call that the service accepted: have
 * the service answer or refuse all of them first, and never call this on the thread that runs them. NULL is
 * fine. */
void http_server_close(struct http_server *self);
