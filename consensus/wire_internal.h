/* What wire.c (peers and rules) and wire_link.c (one connection with its handshake and frames) share. */
#pragma once

#include <uv.h>

#include "consensus/wire.h"
#include "consensus/wire_frame.h"
#include "consensus/wire_seen.h"
#include "consensus/wire_stream.h"

#define WIRE_INCOMING_MAX (4u * NODES_MAX)
#define WIRE_HANDSHAKE_MS 2000u /* from the first packet to a welcome, resolving and connecting included */
#define WIRE_NOTES_MAX    64u   /* hosts whose refusals are told at most once a second each */
#define WIRE_NOTE_MS      1000u
#define WIRE_CLUSTER_MS   60000u /* between two lines about a cluster that isn't ours */
#define WIRE_REMOTE_BYTES 64u    /* "[v6]:port" */

enum link_state {
    LINK_CONNECTING,
    LINK_SHAKING, /* our hello is out, or theirs is awaited */
    LINK_OPEN,
    LINK_ENDED /* closing; its memory goes with its stream */
};

struct wire_peer;

/* One connection. Frames go one way: out over those we opened, in over those opened to us. */
struct wire_link {
    struct wire *wire;
    struct wire_stream *stream;
    struct wire_peer *peer; /* whom we connected to; NULL for an incoming one */
    enum link_state state;
    uint64_t node_id; /* once open */
    uint64_t opened_ms;
    char remote[ADDRESS_BYTES_MAX];  /* for the log */
    char address[ADDRESS_BYTES_MAX]; /* as the other end advertises it */
    uint8_t *in;                     /* received and not yet handled */
    size_t in_length, in_capacity;
    size_t needed; /* bytes that the first frame needs */
    struct wire_link *next;
};

struct wire_peer {
    struct wire *wire;
    uv_timer_t retry;
    struct wire_link *link;
    struct wire_peer_status status;
    bool told_up;     /* the owner heard UP, and not yet DOWN */
    uint32_t attempt; /* failed ones so far: each tries the next address that a name has */
    struct wire_peer *next;
};

struct wire_note {
    char host[WIRE_REMOTE_BYTES];
    uint64_t told_ms;
    uint32_t suppressed;
};

struct wire {
    struct wire_options
        options; /* its texts are the caller's: only identity and numbers are used after open */
    char address[ADDRESS_BYTES_MAX];
    uint16_t port;
    uint64_t nonce;
    uint64_t random; /* state of the jitter */
    uv_tcp_t listener;
    struct wire_link *links;
    struct wire_peer *peers;
    uint32_t peer_count;
    struct wire_seen seen;
    struct wire_note notes[WIRE_NOTES_MAX];
    uint32_t holds;           /* listener, links and peers that libuv still knows */
    uint64_t cluster_told_ms; /* 0: never */
    bool closing;
    void (*on_closed)(void *context);
    void *closed_context;
};

/* wire.c */
uint64_t wire_now(const struct wire *self);
void wire_hold(struct wire *self);
void wire_release(struct wire *self);
/** Tells the owner that somebody was refused, within bounds. */
void wire_note(struct wire *self, const char *remote, const char *reason);
void wire_tell(struct wire *self, uint64_t node_id, enum wire_peer_event event, const char *detail);
struct wire_hello wire_own_hello(const struct wire *self);
struct wire_peer *wire_find_peer(const struct wire *self, uint64_t node_id);
/** May whoever says this speak? Ends other links of this id where it must.
 * @param sentence  why not, when the answer isn't WIRE_WELCOME */
enum wire_refusal wire_judge(struct wire *self, struct wire_link *link, const struct wire_hello *hello,
                             struct error *sentence);
/** An outgoing link ended by itself or was refused: events, and the next attempt. */
void wire_peer_lost(struct wire_peer *peer, bool was_open, uint64_t opened_ms, int status, bool rejected);

/* wire_link.c */
void link_accept(struct wire *self);
void link_connect(struct wire_peer *peer);
/** Closes without any event; its peer, if it has one, is without a link then. */
void link_close(struct wire_link *link);
