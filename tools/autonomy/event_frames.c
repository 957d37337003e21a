#include "tools/autonomy/event_frames.h"

#include <string.h>

void event_frames_init(struct event_frames *self, uint64_t last_id,
                       bool (*take)(void *context, struct span data), void *context)
{
    *self = (struct event_frames){.last_id = last_id, .frame_id = last_id, .take = take, .context = context};
    bytes_init(&self->line, EVENT_LINE_BYTES_MAX);
    bytes_init(&self->data, EVENT_LINE_BYTES_MAX);
}

void event_frames_done(struct event_frames *self)
{
    bytes_done(&self->line);
    bytes_done(&self->data);
}

void event_frames_restart(struct event_frames *self)
{
    self->frame_id = self->last_id;
    bytes_clear(&self->line);
    bytes_clear(&self->data);
}

/* @return false: no more is wanted */
static bool take_line(struct event_frames *self)
{
    const char *line = (const char *)self->line.data;
    bool more = true;
    if (strncmp(line, "id: ", 4) == 0) {
        (void)parse_u64(line + 4, INT64_MAX, &self->frame_id);
    } else if (strncmp(line, "data: ", 6) == 0) {
        bytes_clear(&self->data);
        bytes_append_text(&self->data, line + 6);
    } else if (line[0] == '\0') {
        if (self->data.length > 0)
            more = self->take(self->context, bytes_span(&self->data));
        bytes_clear(&self->data);
        self->last_id = self->frame_id;
    }
    return more;
}

bool event_frames_feed(struct event_frames *self, const char *data, size_t length)
{
    while (length > 0) {
        const char *end = memchr(data, '\n', length);
        const size_t part = end ? (size_t)(end - data) : length;
        bytes_append(&self->line, data, part);
        if (!end)
            return !self->line.overflow;
        bytes_append(&self->line, "", 1);
        if (self->line.overflow || !take_line(self))
            return false;
        bytes_clear(&self->line);
        data += part + 1;
        length -= part + 1;
    }
    return true;
}
