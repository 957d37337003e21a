/* Reads the frames of an event stream (text/event-stream, as far as a node writes it) out of its bytes.
 *
 * An id counts once its frame is whole: its lines come before its data. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

#define EVENT_LINE_BYTES_MAX (2u * 1024u * 1024u) /* one record with room to spare */
#define EVENT_NONE           UINT64_MAX           /* no id yet */

struct event_frames {
    uint64_t last_id;  /* of the last whole frame; EVENT_NONE: none yet */
    uint64_t frame_id; /* of the frame that is arriving */
    struct bytes line, data;
    /** The data of a whole frame. @return false: no more is wanted */
    bool (*take)(void *context, struct span data);
    void *context;
};

/** @param last_id  what is known already; EVENT_NONE: nothing */
void event_frames_init(struct event_frames *self, uint64_t last_id,
                       bool (*take)(void *context, struct span data), void *context);
void event_frames_done(struct event_frames *self);
/** Another stream begins: what came of a frame that isn't whole is forgotten. */
void event_frames_restart(struct event_frames *self);
/** @return false: `take` wants no more, or a line is longer than its bound */
bool event_frames_feed(struct event_frames *self, const char *data, size_t length);
