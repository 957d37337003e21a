#include "node/http/stream.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/schema.h"
#include "node/http/stream_internal.h"

#define TICK_MS 1000u /* how late a heartbeat or the end after a lost state may come; heartbeats at most */

uint64_t stream_now_ms(const struct stream_hub *self)
{
    return self->clock.monotonic_ms(self->clock.context);
}

/* --- the ring (under the lock) --- */

static void ring_drop_first(struct stream_hub *self)
{
    struct ring_entry *entry = ring_at(self, self->ring_first++);
    CHECK(self->ring_bytes >= entry->bytes, "the ring has %zu bytes", self->ring_bytes);
    self->ring_bytes -= entry->bytes;
    free(entry->frame);
    entry->frame = NULL;
}

static void ring_reset(struct stream_hub *self, uint64_t last)
{
    while (self->ring_first <= self->ring_last)
        ring_drop_first(self);
    self->ring_last = last;
    self->ring_first = last + 1;
}

/* @param entry  its frame is taken over */
static void ring_push(struct stream_hub *self, uint64_t seq, const struct ring_entry *entry)
{
    if (seq != self->ring_last + 1) { /* somebody has set it further meanwhile */
        free(entry->frame);
        return;
    }
    while (self->ring_first <= self->ring_last && (seq - self->ring_first >= STREAM_RING_RECORDS ||
                                                   self->ring_bytes + entry->bytes > STREAM_RING_BYTES))
        ring_drop_first(self);
    *ring_at(self, seq) = *entry;
    self->ring_bytes += entry->bytes;
    self->ring_last = seq;
}

/* --- reading what is new --- */

struct news {
    uint64_t first_seq;
    struct ring_entry entries[STREAM_RING_RECORDS];
    uint32_t count;
};

static bool take_news(void *context, const struct audit_record *record)
{
    struct news *news = context;
    struct ring_entry *entry = &news->entries[news->count++];
    struct bytes frame;
    if (news->count == 1)
        news->first_seq = record->seq;
    bytes_init(&frame, STREAM_RECORD_BYTES_MAX);
    stream_render(record, &frame);
    *entry = (struct ring_entry){.category = record->category};
    entry->frame = (char *)bytes_take(&frame, &entry->bytes);
    snprintf(entry->event_name, sizeof(entry->event_name), "%s", record->event_name);
    return news->count < STREAM_RING_RECORDS;
}

/* Reads up to a ring full of records after `last`. @return false: the state can't be read now */
static bool read_news(struct stream_hub *self, uint64_t last, struct news *news)
{
    struct error error = {0};
    struct view *view = NULL;
    if (service_view(self->service, &view, &error) != ERROR_OK)
        return false;
    enum error_code code = ERROR_OK;
    if (view_audit_last(view) > last)
        code = view_audit(view, NULL, true, last + 1, take_news, news, &error);
    service_view_close(self->service, view);
    return code == ERROR_OK;
}

/* --- waking (under the lock) --- */

/* True when the stream has something to do; else it has looked at all that the ring has. */
static bool has_news(struct stream_hub *self, struct stream *stream)
{
    if (stream->seq >= self->ring_last)
        return false;
    if (stream->seq + 1 < self->ring_first)
        return true;
    for (uint64_t seq = stream->seq + 1; seq <= self->ring_last; seq++) {
        const struct ring_entry *entry = ring_at(self, seq);
        if (stream_filter_match(&stream->filter, entry->category, entry->event_name))
            return true;
        stream->seq = seq;
    }
    return false;
}

static void wake_up(struct stream *stream)
{
    CHECK(stream->parked, "only a suspended stream is woken");
    stream->asked_seq = stream->hub->ring_last; /* it was as far as that, or had no use for it */
    stream->parked = false;
    MHD_resume_connection(stream->connection);
}

static void walk_streams(struct stream_hub *self, uint64_t now_ms)
{
    for (struct stream *each = self->list; each != NULL; each = each->next) {
        if (self->end_reason != NULL && each->end_reason == NULL)
            each->end_reason = self->end_reason;
        if (!each->parked) {
            /* It comes for more by itself; one that lets too much pass before it does is too slow. */
            if (self->ring_last > each->asked_seq &&
                self->ring_last - each->asked_seq > self->options.behind_max)
                each->overflow = true;
            continue;
        }
        each->beat = now_ms >= each->beat_at_ms;
        if (has_news(self, each) || each->beat || each->end_reason != NULL)
            wake_up(each);
    }
}

/* Ends the streams there are; with `for_good` also all that come. */
static void end_streams(struct stream_hub *self, const char *reason, bool for_good)
{
    pthread_mutex_lock(&self->lock);
    self->end_reason = reason;
    walk_streams(self, stream_now_ms(self));
    if (!for_good)
        self->end_reason = NULL;
    pthread_mutex_unlock(&self->lock);
}

/* --- the thread --- */

struct turn {
    uint64_t told_seq;
    bool told, rewound, stopping;
};

static struct turn wait_for_news(struct stream_hub *self)
{
    uint64_t tick_ms = self->options.heartbeat_ms < TICK_MS ? self->options.heartbeat_ms : TICK_MS;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(tick_ms / 1000);
    until.tv_nsec += (long)(tick_ms % 1000) * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&self->news_lock);
    int waited = 0;
    while (!self->told && !self->walk && !self->stopping && waited == 0)
        waited = pthread_cond_timedwait(&self->news, &self->news_lock, &until);
    struct turn turn = {self->told_seq, self->told, self->rewound, self->stopping};
    self->told = self->rewound = self->walk = false;
    pthread_mutex_unlock(&self->news_lock);
    return turn;
}

/* Brings the ring up to what the state has; without streams it only remembers how far that is. */
static void fill_ring(struct stream_hub *self, uint64_t told_seq, struct news *news)
{
    pthread_mutex_lock(&self->lock);
    bool wanted = self->count > 0;
    uint64_t last = self->ring_last;
    if (!wanted || (told_seq > last && told_seq - last > STREAM_RING_RECORDS)) {
        if (told_seq > last)
            ring_reset(self, told_seq); /* whoever wants what lies between reads it from the state */
        wanted = false;
    }
    pthread_mutex_unlock(&self->lock);
    if (!wanted)
        return;
    news->count = 0;
    if (!read_news(self, last, news))
        end_streams(self, "this node's state can't be read now; go on at another node", false);
    pthread_mutex_lock(&self->lock);
    if (news->count > 0 && news->first_seq > self->ring_last + 1)
        ring_reset(self, news->first_seq - 1); /* the trail begins there */
    for (uint32_t i = 0; i < news->count; i++)
        ring_push(self, news->first_seq + i, &news->entries[i]);
    pthread_mutex_unlock(&self->lock);
}

static void *serve_streams(void *context)
{
    struct stream_hub *self = context;
    struct news *news = memory_zero(1, sizeof(*news));
    for (;;) {
        struct turn turn = wait_for_news(self);
        if (turn.stopping)
            break;
        if (turn.rewound) {
            end_streams(self, "the state was replaced by an older one", false);
            pthread_mutex_lock(&self->lock);
            ring_reset(self, turn.told_seq);
            pthread_mutex_unlock(&self->lock);
        }
        fill_ring(self, turn.told_seq, news);
        pthread_mutex_lock(&self->lock);
        walk_streams(self, stream_now_ms(self));
        pthread_mutex_unlock(&self->lock);
    }
    end_streams(self, "this node is shutting down; go on at another node", true);
    free(news);
    return NULL;
}

/* --- outside --- */

struct stream_hub *stream_hub_new(struct service *service, struct http_server *server,
                                  const struct stream_options *options)
{
    struct stream_hub *self = memory_zero(1, sizeof(*self));
    self->service = service;
    self->server = server;
    self->options = *options;
    if (self->options.heartbeat_ms == 0)
        self->options.heartbeat_ms = STREAM_HEARTBEAT_MS;
    if (self->options.behind_max == 0)
        self->options.behind_max = STREAM_BEHIND_MAX;
    self->clock = clock_system();
    self->ring_first = 1;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&self->news_lock, NULL);
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->news, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int failed = pthread_create(&self->thread, NULL, serve_streams, self);
    CHECK(failed == 0, "pthread_create: %d", failed);
    pthread_setname_np(self->thread, "http-stream");
    return self;
}

void stream_hub_notify(void *hub, uint64_t audit_seq)
{
    struct stream_hub *self = hub;
    pthread_mutex_lock(&self->news_lock);
    if (audit_seq != self->told_seq) {
        self->rewound = self->rewound || audit_seq < self->told_seq;
        self->told_seq = audit_seq;
        self->told = true;
        pthread_cond_signal(&self->news);
    }
    pthread_mutex_unlock(&self->news_lock);
}

void stream_hub_learn(struct stream_hub *self, uint64_t seq)
{
    pthread_mutex_lock(&self->lock);
    bool news = seq > self->ring_last;
    if (news)
        ring_reset(self, seq);
    pthread_mutex_unlock(&self->lock);
    if (!news)
        return;
    pthread_mutex_lock(&self->news_lock); /* others may want what was skipped */
    self->walk = true;
    pthread_cond_signal(&self->news);
    pthread_mutex_unlock(&self->news_lock);
}

void stream_hub_quiesce(struct stream_hub *self)
{
    pthread_mutex_lock(&self->news_lock);
    self->stopping = true;
    pthread_cond_signal(&self->news);
    pthread_mutex_unlock(&self->news_lock);
}

void stream_hub_stop(struct stream_hub *self)
{
    stream_hub_quiesce(self);
    pthread_join(self->thread, NULL);
}

void stream_hub_free(struct stream_hub *self)
{
    if (self == NULL)
        return;
    CHECK(self->list == NULL, "a stream is still open");
    ring_reset(self, self->ring_last);
    pthread_cond_destroy(&self->news);
    pthread_mutex_destroy(&self->lock);
    pthread_mutex_destroy(&self->news_lock);
    free(self);
}

uint32_t stream_hub_count(struct stream_hub *self)
{
    pthread_mutex_lock(&self->lock);
    uint32_t count = self->count;
    pthread_mutex_unlock(&self->lock);
    return count;
}
