/* The stream of events as the command line follows it: what it takes doesn't depend on how the bytes arrive,
 * and an id counts for whole frames only, so that going on after it loses nothing. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "tools/autonomy/event_frames.h"

#define FRAMES_MAX 100u

struct seen {
    struct bytes all;
    unsigned count;
};

static bool take(void *context, struct span data)
{
    struct seen *self = context;
    CHECK(data.bytes > 0, "a frame without data");
    bytes_append(&self->all, data.data, data.bytes);
    bytes_append(&self->all, "\n", 1);
    return ++self->count < FRAMES_MAX;
}

static void feed(struct event_frames *frames, struct seen *seen, const char *text, size_t length,
                 size_t piece)
{
    bytes_init(&seen->all, 0);
    seen->count = 0;
    event_frames_init(frames, EVENT_NONE, take, seen);
    bool more = true;
    for (size_t at = 0; more && at < length; at += piece)
        more = event_frames_feed(frames, text + at, length - at < piece ? length - at : piece);
    CHECK(seen->count <= FRAMES_MAX, "%u frames after the last one that was wanted", seen->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct event_frames whole, pieces;
    struct seen one, other;
    if (length < 1 || length > 65536)
        return 0;
    const char *text = (const char *)data + 1;
    feed(&whole, &one, text, length - 1, length);
    feed(&pieces, &other, text, length - 1, 1 + data[0] % 9);
    CHECK(span_equal(bytes_span(&one.all), bytes_span(&other.all)), "other frames in other pieces");
    CHECK(whole.last_id == pieces.last_id, "another id in other pieces");
    const uint64_t known = whole.last_id;
    event_frames_restart(&whole);
    CHECK(whole.last_id == known && whole.frame_id == known, "half a frame counts");
    bytes_done(&one.all);
    bytes_done(&other.all);
    event_frames_done(&whole);
    event_frames_done(&pieces);
    return 0;
}
