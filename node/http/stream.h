/* GET /v1/events: every audit record as it commits, as server-sent events, to as many readers as connect.
 *
 * One hub a server: the node tells it once after each applied group (stream_hub_notify(), on the loop
 * thread), its thread reads the new records from the state and renders each once into a ring that all streams
 * share, and then wakes the streams that have something to send. A stream that is further behind than the
 * ring reads the state itself. An idle stream is a suspended connection: no thread, no buffer.
 *
 * Invariants:
 *   (1) a stream sends the records that its filter lets through, each once, in the order of `seq`, from the
 *       one after the id that it began with;
 *   (2) a stream holds at most STREAM_BLOCK_BYTES and one record; the ring STREAM_RING_RECORDS records
 *       and STREAM_RING_BYTES;
 *   (3) a stream whose reader doesn't take what is ready while behind_max records commit is told so
 *       (`event: overflow`) and ends; one that takes nothing for STREAM_TAKE_S is cut off;
 *   (4) a stream is suspended only while it is `parked`, and whoever clears that flag wakes it, once;
 *   (5) the loop thread never waits for a stream: telling the hub costs one small lock. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fsm/audit.h"
#include "node/http/request.h"
#include "node/http/server.h"

#define STREAM_BLOCK_BYTES       (32u * 1024u) /* gathered at once for one stream */
#define STREAM_RECORD_BYTES_MAX  (1024u * 1024u)
#define STREAM_SCAN_RECORDS      256u /* looked at in one turn by a stream that catches up */
#define STREAM_RING_RECORDS      512u
#define STREAM_RING_BYTES        (4u * 1024u * 1024u) /* of its frames; one larger record stands alone */
#define STREAM_HEARTBEAT_MS      15000u
#define STREAM_BEHIND_MAX        16384u
#define STREAM_TAKE_S            30u           /* for a block to leave */
#define STREAM_SOCKET_BYTES      (64u * 1024u) /* what the kernel may hold of one stream */
#define STREAM_TYPES_MAX         16u           /* event names in one filter */
#define STREAM_CATEGORY_TEXT_MAX 256u
#define STREAM_EVENT_TYPE_BYTES  1024u /* the whole list */

#define EVENTS_CONTENT_TYPE "text/event-stream; charset=utf-8"

struct stream_hub;

struct stream_filter {
    uint32_t categories;     /* bit by enum audit_category; 0: all */
    const char *event_types; /* "a,b"; NULL: all */
};

struct stream_hub *stream_hub_new(struct service *service, struct http_server *server,
                                  const struct stream_options *options) __attribute__((returns_nonnull));
/** A group was applied: the newest record's seq. Any thread; never waits for a stream. */
void stream_hub_notify(void *hub, uint64_t audit_seq);
/** All streams end, and new ones end at once; returns before they have. */
void stream_hub_quiesce(struct stream_hub *self);
/** Ends the thread: afterwards no stream is suspended. */
void stream_hub_stop(struct stream_hub *self);
/** The last stream is gone. NULL is fine. */
void stream_hub_free(struct stream_hub *self);
uint32_t stream_hub_count(struct stream_hub *self);

/** Makes the stream and answers the request with it.
 *
 * @param after  the records after this one are sent; UINT64_MAX: those that commit from now on
 * @return ERROR_BUSY at streams_max; ERROR_UNAVAILABLE without a state */
enum error_code stream_open(struct stream_hub *self, struct request *request,
                            const struct stream_filter *filter, uint64_t after, struct error *error) MUST_USE;

/** An event's frame: `id:`, `event:` and `data:` lines and the empty one. */
void stream_render(const struct audit_record *record, struct bytes *out);
/** True when the record passes. @param category  enum audit_category */
bool stream_filter_match(const struct stream_filter *filter, uint32_t category, const char *event_name);
/** Reads a comma list of category names. @return ERROR_INVALID naming the unknown one */
enum error_code stream_categories(const char *list, uint32_t *out, struct error *error) MUST_USE;
