/* HTTP requests to other nodes, from the loop, without blocking it: libcurl's multi interface on libuv.
 *
 * Connections are kept and reused; one address has at most CLIENT_CONNECTIONS_MAX. Redirects, proxies and
 * other protocols than http are off.
 *
 * Threads: the loop thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/limits.h"

#define CLIENT_CONNECTIONS_MAX 128u  /* to one address; more requests wait their turn inside libcurl */
#define CLIENT_CALLS_MAX       1024u /* under way together; the next one is refused */

struct uv_loop_s;
struct client;
struct client_call;

struct client_answer {
    enum error_code error; /* ERROR_OK: an answer came, whatever its status. ERROR_UNAVAILABLE, ERROR_TIMEOUT,
                              ERROR_TOO_BIG */
    char message[ERROR_MESSAGE_BYTES];
    bool sent; /* with an error: something of the request may have reached the other side */
    uint32_t status;
    struct span body; /* borrowed until `done` returns */
};
/** Called exactly once, on the loop thread, never inside client_send(). */
typedef void client_done_fn(void *context, const struct client_answer *answer);

struct client_request {
    const char *method;      /* "GET", or "POST" and others, which have a body */
    const char *base, *path; /* "http://127.0.0.1:7101", "/v1/internal/change" */
    const char *headers[8];  /* "Name: value", NULL after the last */
    struct span body;        /* copied */
    uint64_t timeout_ms;     /* of the whole exchange; connecting may take a second of it */
    size_t answer_bytes_max;
    client_done_fn *done;
    void *context;
};

struct client *client_open(struct uv_loop_s *loop);
/** @return ERROR_BUSY at CLIENT_CALLS_MAX, ERROR_INVALID for an unusable URL */
enum error_code client_send(struct client *self, const struct client_request *request,
                            struct client_call **out, struct error *error) MUST_USE;
/** Ends a call; its `done` will not run. */
void client_cancel(struct client_call *call);
/** Ends all calls (their `done` doesn't run) and closes; its handles leave the loop in the next turns. */
void client_close(struct client *self);
