#include "node/http/stream.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/schema.h"
#include "node/http/stream_internal.h"

#define RETRY_MS 1000 /* what a browser waits before it connects again */

/* --- frames --- */

void stream_render(const struct audit_record *record, struct bytes *out)
{
    bytes_printf(out, "id: %" PRIu64 "\nevent: %s\ndata: ", record->seq, record->event_name);
    schema_to_line(&audit_schema, record, out);
    bytes_append_text(out, "\n\n");
    CHECK(!out->overflow, "record %" PRIu64 " is longer than any command allows", record->seq);
}

/* --- filters --- */

static const struct field *category_field(void)
{
    for (size_t i = 0; i < audit_schema.field_count; i++)
        if (audit_schema.fields[i].offset == offsetof(struct audit_record, category))
            return &audit_schema.fields[i];
    CHECK(false, "the audit table has no category");
}

static bool list_has(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',' ? 1 : 0;
        if (strcspn(at, ",") == length && memcmp(at, word, length) == 0)
            return true;
    }
    return false;
}

bool stream_filter_match(const struct stream_filter *filter, uint32_t category, const char *event_name)
{
    if (filter->categories != 0 && (filter->categories & (1u << category)) == 0)
        return false;
    return filter->event_types == NULL || list_has(filter->event_types, event_name);
}

static enum error_code unknown_category(const struct field *field, struct span name, struct error *error)
{
    struct bytes names;
    bytes_init(&names, 0);
    for (uint32_t i = 0; i < field->names_count; i++)
        bytes_printf(&names, "%s%s", i > 0 ? ", " : "", field->names[i]);
    const enum error_code code =
        error_set(error, ERROR_INVALID, "category: \"%.*s\" is none of %.*s", (int)name.bytes,
                  (const char *)name.data, (int)names.length, (const char *)names.data);
    bytes_done(&names);
    return code;
}

enum error_code stream_categories(const char *list, uint32_t *out, struct error *error)
{
    const struct field *field = category_field();
    uint32_t mask = 0;
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',' ? 1 : 0;
        size_t length = strcspn(at, ",");
        uint32_t i = 0;
        while (i < field->names_count &&
               (strlen(field->names[i]) != length || memcmp(field->names[i], at, length) != 0))
            i++;
        if (i == field->names_count)
            return unknown_category(field, span_of(at, length), error);
        mask |= 1u << i;
    }
    *out = mask;
    return ERROR_OK;
}

/* --- a stream that is behind the ring reads the state --- */

struct catch_up {
    struct stream *stream;
    uint32_t looked_at;
    bool stopped; /* before the end of the trail */
};

static bool take_record(void *context, const struct audit_record *record)
{
    struct catch_up *work = context;
    struct stream *self = work->stream;
    if (record->seq <= self->seq)
        return true;
    self->seq = record->seq;
    if (stream_filter_match(&self->filter, record->category, record->event_name))
        stream_render(record, &self->out);
    work->stopped = ++work->looked_at >= STREAM_SCAN_RECORDS || self->out.length >= STREAM_BLOCK_BYTES;
    return !work->stopped;
}

/* One event name, or else one category, has an index: what doesn't match isn't even looked at. */
static struct audit_filter index_filter(const struct stream_filter *filter)
{
    struct audit_filter out = {0};
    if (filter->event_types != NULL && strchr(filter->event_types, ',') == NULL)
        out.event_type = filter->event_types;
    if (filter->categories != 0 && (filter->categories & (filter->categories - 1)) == 0)
        out.category = category_field()->names[__builtin_ctz(filter->categories)];
    return out;
}

/* Who has seen some of what was pruned since misses the rest of it: that has to be told. */
static void tell_pruned(struct stream *self, struct view *view)
{
    struct audit_anchor anchor;
    const uint64_t first_seq = view_audit_anchor(view, &anchor);
    if (self->seq == 0 || self->seq + 1 >= first_seq)
        return;
    bytes_printf(&self->out, "event: pruned\ndata: {\"first_seq\":%" PRIu64 "}\n\n", first_seq);
    self->seq = first_seq - 1;
}

/* @return false: the state can't be read */
static bool catch_up(struct stream *self)
{
    struct error error = {0};
    struct view *view = NULL;
    struct catch_up work = {.stream = self};
    struct audit_filter filter = index_filter(&self->filter);
    enum error_code code = service_view(self->hub->service, &view, &error);
    if (code == ERROR_OK) {
        uint64_t last = view_audit_last(view);
        tell_pruned(self, view);
        if (last > self->seq)
            code = view_audit(view, &filter, true, self->seq + 1, take_record, &work, &error);
        service_view_close(self->hub->service, view);
        if (code == ERROR_OK && !work.stopped && last > self->seq)
            self->seq = last;
    }
    if (code == ERROR_OK && work.stopped &&
        self->out.length == 0) /* what is seen needn't be looked at again */
        bytes_printf(&self->out, ": looked at\nid: %" PRIu64 "\n\n", self->seq);
    return code == ERROR_OK;
}

/* --- what comes next (under the hub's lock) --- */

static void copy_ring(struct stream *self)
{
    struct stream_hub *hub = self->hub;
    while (self->seq < hub->ring_last && self->out.length < STREAM_BLOCK_BYTES) {
        const struct ring_entry *entry = ring_at(hub, self->seq + 1);
        if (stream_filter_match(&self->filter, entry->category, entry->event_name))
            bytes_append(&self->out, entry->frame, entry->bytes);
        self->seq++;
    }
}

static void say_last(struct stream *self, const char *event, const char *reason)
{
    bytes_printf(&self->out,
                 "id: %" PRIu64 "\nevent: %s\ndata: {\"last_event_id\":%" PRIu64 ",\"reason\":\"%s\"}\n\n",
                 self->seq, event, self->seq, reason);
    self->over = true;
}

enum next { NEXT_SEND, NEXT_READ_STATE, NEXT_PARK };

static enum next next_of(struct stream *self)
{
    struct stream_hub *hub = self->hub;
    self->asked_seq = hub->ring_last;
    if (self->end_reason == NULL)
        self->end_reason = hub->end_reason;
    if (self->overflow)
        say_last(self, "overflow", "too slow: more was committed than is held for one reader");
    else if (self->end_reason != NULL)
        say_last(self, "end", self->end_reason);
    else if (self->seq < hub->ring_last && self->seq + 1 < hub->ring_first)
        return NEXT_READ_STATE;
    else
        copy_ring(self);
    if (self->out.length == 0 && self->beat)
        bytes_printf(&self->out, ": heartbeat\nid: %" PRIu64 "\n\n", self->seq);
    self->beat = false;
    return self->out.length > 0 ? NEXT_SEND : NEXT_PARK;
}

/* @return false: nothing to send now, and the connection is suspended */
static bool gather(struct stream *self)
{
    struct stream_hub *hub = self->hub;
    self->out_taken = 0;
    bytes_clear(&self->out);
    for (;;) {
        pthread_mutex_lock(&hub->lock);
        enum next next = next_of(self);
        if (next == NEXT_PARK) {
            bytes_done(&self->out); /* an idle stream holds no buffer */
            bytes_init(&self->out, 0);
            server_connection_deadline(hub->server, self->connection, 0);
            self->parked = true;
            MHD_suspend_connection(self->connection);
        } else {
            self->beat_at_ms = stream_now_ms(hub) + hub->options.heartbeat_ms;
        }
        pthread_mutex_unlock(&hub->lock);
        if (next == NEXT_READ_STATE && !catch_up(self)) {
            pthread_mutex_lock(&hub->lock);
            self->end_reason = "this node's state can't be read now; go on at another node";
            pthread_mutex_unlock(&hub->lock);
        }
        if (next == NEXT_PARK)
            return false;
        if (self->out.length > 0)
            return true;
    }
}

/* --- libmicrohttpd's side --- */

static ssize_t give(void *context, uint64_t position, char *out, size_t room)
{
    struct stream *self = context;
    (void)position;
    if (self->out_taken == self->out.length) {
        if (self->over)
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (!gather(self))
            return 0;
    }
    size_t length = self->out.length - self->out_taken;
    if (length > room)
        length = room;
    memcpy(out, self->out.data + self->out_taken, length);
    self->out_taken += length;
    server_connection_deadline(self->hub->server, self->connection, STREAM_TAKE_S);
    return (ssize_t)length;
}

static void stream_free(void *context)
{
    struct stream *self = context;
    struct stream_hub *hub = self->hub;
    pthread_mutex_lock(&hub->lock);
    CHECK(!self->parked, "a suspended stream ends");
    if (self->previous != NULL)
        self->previous->next = self->next;
    else
        hub->list = self->next;
    if (self->next != NULL)
        self->next->previous = self->previous;
    hub->count--;
    pthread_mutex_unlock(&hub->lock);
    bytes_done(&self->out);
    free(self->event_types);
    free(self);
}

static bool enter(struct stream_hub *hub, struct stream *self)
{
    pthread_mutex_lock(&hub->lock);
    bool room = hub->count < hub->options.streams_max;
    if (room) {
        self->asked_seq = hub->ring_last;
        self->next = hub->list;
        if (hub->list != NULL)
            hub->list->previous = self;
        hub->list = self;
        hub->count++;
    }
    pthread_mutex_unlock(&hub->lock);
    return room;
}

/* What is newest here: the hub must know of it before a stream waits for what comes after. */
static enum error_code newest(struct stream_hub *hub, uint64_t *out, struct error *error)
{
    struct view *view = NULL;
    enum error_code code = service_view(hub->service, &view, error);
    if (code != ERROR_OK)
        return code;
    *out = view_audit_last(view);
    service_view_close(hub->service, view);
    return ERROR_OK;
}

static void bound_socket(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    int bytes = STREAM_SOCKET_BYTES;
    if (info != NULL)
        setsockopt(info->connect_fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

enum error_code stream_open(struct stream_hub *hub, struct request *request,
                            const struct stream_filter *filter, uint64_t after, struct error *error)
{
    uint64_t last = 0;
    enum error_code code = newest(hub, &last, error);
    if (code != ERROR_OK)
        return code;
    struct stream *self = memory_zero(1, sizeof(*self));
    self->hub = hub;
    self->connection = request->connection;
    self->filter.categories = filter->categories;
    self->event_types = filter->event_types != NULL ? text_copy(filter->event_types) : NULL;
    self->filter.event_types = self->event_types;
    self->seq = after == UINT64_MAX ? last : after;
    bytes_init(&self->out, 0);
    bytes_printf(&self->out, ": events\nretry: %d\nid: %" PRIu64 "\n\n", RETRY_MS, self->seq);
    self->beat_at_ms = stream_now_ms(hub) + hub->options.heartbeat_ms;
    if (!enter(hub, self)) {
        bytes_done(&self->out);
        free(self->event_types);
        free(self);
        return error_set(error, ERROR_BUSY, "%u event streams are open already", hub->options.streams_max);
    }
    stream_hub_learn(hub, last);
    bound_socket(request->connection);
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 1024, give, self, stream_free);
    CHECK(response != NULL, "a response needs only memory");
    answer_header(request, "Connection", "close"); /* nothing follows a stream */
    answer_stream(request, response);
    return ERROR_OK;
}
