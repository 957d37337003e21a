/* What engine.c, engine_receive.c and engine_messages.c share. The only header that includes raft.h. */
#pragma once

#include <raft.h>

#include "base/bytes.h"
#include "consensus/engine.h"
#include "consensus/rules.h"

#if RAFT_VERSION_NUMBER < 2200 || RAFT_VERSION_NUMBER >= 2300
#error                                                                                                       \
    "the step interface was examined in libraft 0.22 only: read docs and consensus/README.md before another version"
#endif

/* libraft's versions of its messages, for fields that it reads by version. */
#define ENGINE_VOTE_RESULT_VERSION 2
/* libraft sends a heartbeat at a timeout to whom it has sent nothing for so long, and counts a follower as
 * silent when nothing was heard of it since the timeout before. Were this the true heartbeat, timeouts would
 * fall between the heartbeats of different followers, each would look silent, and the first entries after a
 * pause would wait for the next heartbeat. So everybody is due at every timeout, and the timeouts themselves
 * come once a heartbeat. */
#define ENGINE_HEARTBEAT_MS        1u
/* A follower that is silent gets heartbeats only, until it is heard again: not the same entries over and
 * over. */
#define ENGINE_SILENT_HEARTBEATS   4u
/* What libraft may believe of our disk: we guard it ourselves. */
#define ENGINE_CAPACITY            0xffffu
#define ENGINE_CAPACITY_FULL       1u /* 0 would mean that nothing is told */

/* Old entries that a worker reads for one follower; one at a time for each. */
struct engine_read {
    struct engine *engine;
    uint64_t to;
    uint64_t term;   /* of our leadership; another one: drop it */
    uint64_t starts; /* likewise */
    uint64_t prev_index, prev_term;
    uint64_t next_index;
    uint32_t remaining;
    bool busy;
};

struct engine {
    struct engine_options options;
    char *address;
    struct raft raft;
    bool open; /* `raft` is initialised */
    bool stepping;
    bool failed;
    bool disk_full; /* to be told */
    struct error failure;
    uint64_t now_ms;          /* of the last step; never falls */
    uint64_t last_timeout_ms; /* of the last RAFT_TIMEOUT */
    uint64_t fed;             /* configurations up to here were fed as committed (R1) */
    uint64_t commit_index;    /* the highest ever known */
    uint64_t starts;
    bool restart_wanted;       /* the log is right and the engine isn't: start anew when all is synced */
    uint64_t transfer_term;    /* a candidacy or leadership in this term began with timeout-now */
    bool answering_lower_term; /* R9: libraft leaves a field of this reply uninitialised */
    uint64_t verified_index, verified_term; /* R5: the entry that `current` was last compared with */
    struct configuration current;
    const void *current_servers; /* with the two below: which configuration of libraft's `current` copies */
    uint64_t current_committed, current_uncommitted;
    struct engine_read reads[NODES_MAX];
    struct engine_peer {
        uint64_t node_id, heard_ms;
        uint64_t told;               /* the highest commit index sent with entries that cover it */
        uint64_t sent_prev, sent_ms; /* the last entries sent: what they follow, and when */
    } peers[NODES_MAX];              /* the last that were heard */
    struct bytes scratch;
};

static inline bool engine_rule(const struct engine *self, enum consensus_rule rule)
{
    return (self->options.rules_off & (uint32_t)rule) == 0;
}

/* engine.c */
void engine_fail(struct engine *self, enum error_code code, const char *format, ...) PRINTF(3, 4);
/** One step; its update is carried out but for freeing what the event's kind owns.
 * @return libraft's error code; 0 when the update was carried out. Not fatal by itself: see engine_must(). */
int engine_step(struct engine *self, struct raft_event *event, struct raft_update *update);
/** R10: fails the engine unless `code` is 0. */
bool engine_must(struct engine *self, int code, const char *what);
/** Feeds the last committed configuration (R1), then checks R5. After every event. */
void engine_settle(struct engine *self);
void engine_feed(struct engine *self, uint64_t index);
bool engine_idle(const struct engine *self); /* takes no event now */
void engine_restart(struct engine *self);    /* does it, or remembers it until all is synced */
/** R6: true when it is a sole voter that doesn't lead: it has started anew in a new term, or will when all is
 * synced. */
bool engine_sole_voter_restarts(struct engine *self);
/** A copy in libraft's own form and memory, from a payload that configuration_decode() accepts. */
bool engine_configuration(struct engine *self, struct span payload, struct raft_configuration *out);
uint64_t engine_now(struct engine *self);
struct engine_peer *engine_peer(struct engine *self, uint64_t node_id); /* NULL: not heard lately */
bool engine_silent(const struct engine *self, uint64_t node_id);

/* engine_messages.c */
void engine_send_messages(struct engine *self, const struct raft_update *update);
