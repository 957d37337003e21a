/* An HTTP server whose answers a test writes byte by byte, faults included: it reads one request of a
 * connection, lets the test's function answer on the bare socket, and closes. On a thread of its own. */
#pragma once

#include <stdint.h>

struct canned;

/** @param number   of the request, from 1
 * @param request  its head, NUL-terminated
 * @param socket   to answer on; closed afterwards */
typedef void canned_answer_fn(void *context, unsigned number, const char *request, int socket);

struct canned *canned_open(canned_answer_fn *answer, void *context);
/** "http://127.0.0.1:PORT" */
const char *canned_url(const struct canned *self);
unsigned canned_requests(const struct canned *self);
void canned_close(struct canned *self);

/** Writes a whole answer with this status and body. */
void canned_reply(int socket, unsigned status, const char *more_headers, const void *body,
                  unsigned long bytes);
