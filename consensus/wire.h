/* Frames between nodes over TCP: length, checksum, payload. What a payload means is its caller's business.
 *
 * In files: wire_stream (bytes over a socket; encryption has its place there), wire_frame (bytes to structs,
 * fuzzed), wire_seen (who has spoken as which id), wire_link (one shaken connection), wire (peers, and the
 * rules above all).
 *
 * A connection is one-way: a node opens one to each peer it wants to talk to and reads from those opened to
 * it; both ends shake hands: {protocol, cluster_id, generation, node_id, incarnation, start counter, nonce,
 * address, end of its log}. Refused, with a reason for the log (on_refused): another cluster, another
 * generation, an id recorded as removed, a second living incarnation or an older start of one id, a log that
 * ends before what its node acknowledged to us, ourselves. An id that is merely unknown is heard: a lagging
 * voter may not know its peers yet.
 *
 * Bounds: frames to FRAME_BYTES_MAX; 4 x NODES_MAX incoming connections; 2 s for a handshake; per peer a send
 * queue of WIRE_QUEUE_BYTES_MAX, beyond which wire_send refuses (Raft sends again). TCP_NODELAY and
 * TCP_USER_TIMEOUT 1,500 ms always; reconnect after 100 to 1,000 ms with jitter.
 *
 * Threads: everything on the loop thread. The simulator and the schedule tests link another implementation.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"

struct uv_loop_s;
struct wire;

#define WIRE_PROTOCOL        1u
#define WIRE_QUEUE_BYTES_MAX (16u * 1024u * 1024u)

struct wire_identity {
    char cluster_id[CLUSTER_ID_BYTES];
    uint64_t generation;
    uint64_t node_id;       /* 1 .. 2^53 - 1, random, never used again once removed */
    char incarnation[33];   /* made when the data folder was made: tells a copy from the original */
    uint64_t start_counter; /* grows with every start of that folder */
};

enum wire_peer_event {
    WIRE_PEER_UP,       /* our connection to it is open and shaken */
    WIRE_PEER_DOWN,     /* it ended or timed out */
    WIRE_PEER_REFUSED,  /* the port is closed or the connection was reset: the process is gone */
    WIRE_PEER_REJECTED, /* a handshake failed for a reason that will stay: other cluster, removed id; also for
                          an id (even our own) under which two processes speak */
    WIRE_PEER_ROLLED_BACK /* the peer refused us: our log ends before what we acknowledged to it */
};

struct wire_options {
    struct uv_loop_s *loop;
    struct clock clock;
    const char *listen_address;    /* "host:port" */
    const char *advertise_address; /* what peers are told; listen_address when NULL */
    struct wire_identity identity;
    uint64_t seed;          /* for jitter */
    size_t queue_bytes_max; /* of one peer; 0: WIRE_QUEUE_BYTES_MAX */
    /** A whole frame came. `payload` is borrowed until return; `from` is the shaken node id, `address` its
     * advertised one. */
    void (*on_frame)(void *context, uint64_t from, const char *address, struct span payload);
    void (*on_peer)(void *context, uint64_t node_id, enum wire_peer_event event, const char *detail);
    /** What is durable in our log; NULL: peers aren't told. */
    uint64_t (*log_end)(void *context);
    /** True for ids recorded as removed: they may not speak. */
    bool (*is_removed)(void *context, uint64_t node_id);
    /** Somebody was refused, or sent what is no frame: for the log, at most once a second and host. NULL:
     * base/logger.h warns. */
    void (*on_refused)(void *context, const char *address, const char *reason);
    void *context;
};

struct wire_peer_status {
    uint64_t node_id;
    char address[ADDRESS_BYTES_MAX];
    bool connected;
    uint64_t sent_frames, sent_bytes, received_frames, received_bytes, dropped_frames, connects, refusals;
    uint64_t queued_bytes;
    uint64_t heard_ms; /* monotonic time of its last frame, 0: never */
    uint64_t queued_max_bytes;
};

/** Peers that may be set: members, and those that a lagging voter hears of. */
#define WIRE_PEERS_MAX (4u * NODES_MAX)

/** Listens at once. A SIGPIPE that nobody handles is ignored from now on (a peer's death would end us).
 * @return ERROR_LOCKED when the port is in use, ERROR_INVALID, ERROR_IO */
enum error_code wire_open(const struct wire_options *options, struct wire **out,
                          struct error *error) MUST_USE;
uint16_t wire_port(const struct wire *self); /* where it listens: the free port taken for "host:0" */
/** Keeps a connection to this peer from now on; a changed address reconnects. Ourselves, and peers past
 * WIRE_PEERS_MAX, are ignored. No callback runs before this returns; that holds for all functions here. */
void wire_peer_set(struct wire *self, uint64_t node_id, const char *address);
void wire_peer_remove(struct wire *self, uint64_t node_id);
/** This node acknowledged everything up to `index`, and it is committed: should it ever come back with less,
 * it is refused. */
void wire_peer_holds(struct wire *self, uint64_t node_id, uint64_t index);
/** Queues one frame of 1 .. FRAME_BYTES_MAX bytes. @return ERROR_UNAVAILABLE when not connected, ERROR_BUSY
 * when its queue is full; both are normal. */
enum error_code wire_send(struct wire *self, uint64_t node_id, struct span payload);
uint32_t wire_status(const struct wire *self, struct wire_peer_status *out,
                     uint32_t out_max); /* @return how many */
/** Closes all; on_closed runs on the loop when the last handle is gone and the memory is freed. No other
 * callback runs after this call. */
void wire_close(struct wire *self, void (*on_closed)(void *context), void *context);
