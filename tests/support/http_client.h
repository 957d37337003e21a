/* A client over plain sockets, for tests that care about bytes, half requests and slowness. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_answer {
    int status; /* 0: the server closed the connection without an answer */
    char *head; /* status line and headers */
    char *body; /* NUL-terminated */
    size_t body_bytes;
    json_t *json; /* NULL unless the body is JSON */
};
void http_answer_done(struct http_answer *self);
/** A header's value, in a buffer of its own a thread; "" when it is absent. */
const char *http_answer_header(const struct http_answer *self, const char *name);

/** One request on a connection of its own.
 *
 * @param headers  lines that each end with CRLF, or NULL
 * @param body     NULL: none; else sent as application/json unless `headers` has a Content-Type */
struct http_answer http_call(uint16_t port, const char *method, const char *path, const char *headers,
                             const char *body);
struct http_answer http_call_bytes(uint16_t port, const char *method, const char *path, const char *headers,
                                   const void *body, size_t body_bytes);

/* In pieces. */
int http_connect(uint16_t port);
/** @return false: the other side is gone */
bool http_send(int fd, const void *data, size_t length);
bool http_send_text(int fd, const char *text);
/** Reads one answer; with `close_after` until the server closes. */
struct http_answer http_receive(int fd);
/** Waits until the server closes the connection; throws away what comes. @return false after `patience_ms` */
bool http_closed(int fd, int patience_ms);
