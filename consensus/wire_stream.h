/* One TCP connection as bytes: connecting, reading into its owner's buffer, a bounded write queue, one timer.
 * What the bytes mean is the owner's business; encryption has its place here.
 *
 * Ownership: a stream lives from its making until `closed`, which follows stream_close() on a later loop turn
 * and is the last call. Callbacks come from the loop only, never out of a call made here. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/bytes.h"
#include "base/error.h"

struct wire_stream;

struct wire_stream_events {
    void (*connected)(void *context);
    /** Where to read to; at least one byte. */
    void (*room)(void *context, uint8_t **data, size_t *length);
    /** `length` bytes stand in the room now. */
    void (*received)(void *context, size_t length);
    /** Nothing more will come or go: a uv error code (UV_EOF, UV_ETIMEDOUT for the timer). Close it. Comes
     * once. */
    void (*ended)(void *context, int status);
    /** The last call; the stream's memory is gone. */
    void (*closed)(void *context);
};

/** Resolves (numbers at once, names on libuv's threads) and connects. An address that isn't "host:port" ends
 * as UV_EINVAL. */
struct wire_stream *wire_stream_connect(uv_loop_t *loop, const char *address, uint32_t attempt,
                                        const struct wire_stream_events *events, void *context)
    __attribute__((returns_nonnull));
/** Takes the connection that waits at the listener and begins to read. */
struct wire_stream *wire_stream_accept(uv_loop_t *loop, uv_stream_t *listener,
                                       const struct wire_stream_events *events, void *context)
    __attribute__((returns_nonnull));
/** Ends with UV_ETIMEDOUT after this long; 0 stops the timer. */
void wire_stream_timeout(struct wire_stream *self, uint64_t timeout_ms);
/** Writes at once what the socket takes and queues the rest; head and body stay together.
 * @return ERROR_BUSY when the queue would pass its bound: nothing was kept. ERROR_UNAVAILABLE: it broke;
 * `ended` will follow. */
enum error_code wire_stream_write(struct wire_stream *self, struct span head, struct span body,
                                  size_t queued_max) MUST_USE;
size_t wire_stream_queued(const struct wire_stream *self); /* bytes */
/** The other end's "ip:port". */
void wire_stream_remote(const struct wire_stream *self, char *out, size_t out_bytes);
/** No callback but `closed` comes after it. A second call does nothing. */
void wire_stream_close(struct wire_stream *self);
/** A listening socket; 0 as port takes a free one.
 * @return ERROR_LOCKED naming the address when its port is in use, ERROR_INVALID, ERROR_IO */
enum error_code wire_listen_socket(const char *address, int *out, uint16_t *port,
                                   struct error *error) MUST_USE;
