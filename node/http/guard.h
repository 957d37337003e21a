/* Cuts off clients that take too long: a deadline a connection, and one thread that looks at them all.
 *
 * Why it exists: libmicrohttpd's own timeout counts silence, so a client that sends a byte a second keeps its
 * connection, and its share of the connection limit, for as long as it likes. These deadlines are absolute:
 * for the headers, for the body, for taking the answer, for the rest between two requests.
 *
 * Invariants:
 *   (1) a connection is in the list from guard_enter() to guard_leave(), both called by libmicrohttpd's
 * threads; its socket is open for all that time, so that the guard never shuts down a descriptor that was
 * given to another; (2) the guard only shuts down the socket; the thread that owns the connection notices and
 * closes it. */
#pragma once

#include <stdint.h>

struct guard;
struct guarded; /* one connection */

struct guard *guard_new(void) __attribute__((returns_nonnull));
/** The list must be empty. */
void guard_free(struct guard *self);

struct guarded *guard_enter(struct guard *self, int socket, uint64_t deadline_ms)
    __attribute__((returns_nonnull));
void guard_leave(struct guard *self, struct guarded *connection);
/** @param deadline_ms  of the machine's monotonic clock; 0: none, while the server itself is at work */
void guard_deadline(struct guarded *connection, uint64_t deadline_ms);
/** Connections that were cut so far. */
uint64_t guard_cut_total(const struct guard *self);
