/* What stream.c (one stream and its connection) and stream_hub.c (the ring and the thread that wakes) share.
 */
#pragma once

#include <pthread.h>

#include "node/http/stream.h"

struct stream {
    struct stream *previous, *next; /* the hub's list */
    struct stream_hub *hub;
    struct MHD_Connection *connection;
    char *event_types; /* of the filter */
    struct stream_filter filter;
    uint64_t seq;        /* looked at up to this record */
    uint64_t asked_seq;  /* the newest record when the connection last came for more */
    uint64_t beat_at_ms; /* a comment is due */
    bool parked;         /* its connection is suspended */
    bool beat, overflow;
    bool over; /* the last frame is in `out` */
    const char *end_reason;
    struct bytes out; /* rendered and not yet taken; the connection's thread alone */
    size_t out_taken;
};

struct ring_entry {
    char *frame;
    size_t bytes;
    uint32_t category;
    char event_name[NAME_BYTES_MAX + 1];
};

struct stream_hub {
    struct service *service;
    struct http_server *server;
    struct stream_options options;
    struct clock clock;
    pthread_t thread;

    pthread_mutex_t news_lock; /* what follows, up to `lock` */
    pthread_cond_t news;
    uint64_t told_seq;
    bool told, rewound, walk, stopping, joined;

    pthread_mutex_t lock; /* all below, and the flags of streams */
    struct stream *list;
    uint32_t count;
    const char *end_reason; /* NULL: streams are served */
    struct ring_entry ring[STREAM_RING_RECORDS];
    uint64_t ring_first, ring_last; /* seqs; ring_first == ring_last + 1: empty */
    size_t ring_bytes;
};

static inline struct ring_entry *ring_at(struct stream_hub *self, uint64_t seq)
{
    return &self->ring[seq % STREAM_RING_RECORDS];
}

/** A record of at least this seq is in the state (the lock is not held). */
void stream_hub_learn(struct stream_hub *self, uint64_t seq);
uint64_t stream_now_ms(const struct stream_hub *self);
