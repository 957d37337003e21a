/* Drives libraft's raft_step(): one event in, one update carried out, always in the same order.
 *
 * The order: term and vote, synced; log entries, handed to the log; messages, sent; the commit index, for the
 * caller to apply from; the time of the next tick. Rules R1 and R3 to R10 of README.md live here; R2 is
 * apply.c's.
 *
 * Invariants, checked by engine_check() after every step:
 *   (1) libraft's term, vote and last index are the log's;
 *   (2) the term and the commit index never fall;
 *   (3) the commit index is within the log, and so is `fed`, which never passes it;
 *   (4) libraft's configuration is the log's last one, else the snapshot's (R5): where it isn't, the engine
 * starts anew from the log as soon as all of that is synced, and until then takes no event.
 *
 * A failure is final and sticks: engine_failure() tells it, every later call does nothing.
 *
 * Only engine*.c include raft.h. Never call an engine function from `send` or `install`. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/entry.h"
#include "base/error.h"
#include "consensus/configuration.h"
#include "consensus/log.h"
#include "consensus/message.h"

struct engine;

/** Entries on their way to one follower before it must acknowledge some. */
#define ENGINE_INFLIGHT_ENTRIES_MAX 4096u

struct engine_options {
    uint64_t node_id;
    const char *address; /* copied */
    struct log *log;
    struct clock clock;
    uint32_t election_timeout_ms, heartbeat_ms;
    uint64_t seed;
    uint32_t rules_off;
    /** One message for one peer; everything in it is borrowed. Losing it is allowed. */
    void (*send)(void *context, uint64_t to, struct message *message);
    /** The log has switched to the state in `folder`: open it (a part of engine_install). */
    enum error_code (*install)(void *context, const char *folder, struct error *error);
    void *context;
};

/** What the engine knows now. */
struct engine_state {
    enum consensus_role role;
    uint64_t term;
    uint64_t leader_id;                        /* 0: unknown */
    uint64_t commit_index;                     /* the highest ever known here */
    bool change_pending;                       /* the configuration below is not known to be committed */
    bool by_transfer;                          /* this candidacy or leadership began with timeout-now */
    bool pre_vote;                             /* a candidate that has not raised its term yet */
    uint64_t transferee;                       /* 0: no handover under way */
    uint64_t starts;                           /* how often the engine was started from the log: 1 at first */
    const struct configuration *configuration; /* the last one in the log, committed or not */
};

struct engine *engine_new(const struct engine_options *options) __attribute__((returns_nonnull));
void engine_free(struct engine *self);
/** Starts from what the log holds.
 * @param applied_index  of the store: within the log (R2) */
enum error_code engine_start(struct engine *self, uint64_t applied_index, struct error *error) MUST_USE;
const struct error *engine_failure(const struct engine *self); /* NULL: none */
void engine_state(const struct engine *self, struct engine_state *out);
/** On a leader: what this member is known to have; else 0. */
uint64_t engine_match_index(const struct engine *self, uint64_t node_id);

/** Monotonic time at which engine_tick() has something to do. */
uint64_t engine_deadline_ms(const struct engine *self);
void engine_tick(struct engine *self);
/** Handles what libraft knows: appends, votes, timeout-now and their results.
 * @param heartbeats_only  appended entries are left away: the disk is full (they come again) */
void engine_receive(struct engine *self, const struct message *message, const char *address,
                    bool heartbeats_only);
/** On a leader: tells the commit index to followers that have the entries and don't know yet that they are
 * committed. libraft would do so with the next entries or heartbeat. */
void engine_announce(struct engine *self);
/** Whether this node's disk is full: told to the leader with each answer to an append. */
void engine_space(struct engine *self, bool full);
/** What an answer to an append says of its sender's disk. */
bool engine_says_full(const struct message *append_result);
/** The log synced something: claims it (R3). */
void engine_synced(struct engine *self);

/** Submits commands as one group. On success they stand at *index and after, all in *term.
 * @return ERROR_NOT_LEADER, also during a handover; ERROR_NO_SPACE; then nothing was kept */
enum error_code engine_submit(struct engine *self, const struct span *commands, uint32_t count,
                              uint64_t *index, uint64_t *term) MUST_USE;
/** Submits a configuration that differs from the current one in one member.
 * @return ERROR_NOT_LEADER; ERROR_CONFLICT while a change is pending; ERROR_INVALID */
enum error_code engine_change(struct engine *self, const struct configuration *configuration, uint64_t *index,
                              uint64_t *term) MUST_USE;
/** @return ERROR_NOT_LEADER, ERROR_INVALID (no such voter), ERROR_NOT_FOUND */
enum error_code engine_transfer(struct engine *self, uint64_t node_id) MUST_USE;
/** The leader's process is gone: becomes candidate now, with a pre-vote that voters who hear the leader
 * refuse.
 * @return false when it is too early after the leader's last word: call again in 2 ms */
bool engine_hasten(struct engine *self);
/** The store was flushed at `snapshot`: records it and lets the log's head go, but for `trailing` entries.
 * @return false when the engine can't take it now: just started anew, it may not know yet that this is
 * committed */
bool engine_snapshot(struct engine *self, const struct log_snapshot *snapshot, uint32_t trailing);
/** State transfer: gives the engine a verified checkpoint.
 * @param taken  false: nothing changed. The engine has these entries already, or it can't take it now
 * (`retry`) */
void engine_install(struct engine *self, const struct log_snapshot *snapshot, const char *folder, bool *taken,
                    bool *retry);
/** The store alone was lost: takes a checkpoint that the log leads on from, and leaves the log as it is.
 * @param retry  the log has the entry and has not synced it yet: a power cut would leave state beyond the log
 * (R2)
 * @return false when nothing changed; without `retry`: engine_install() then */
bool engine_replace(struct engine *self, const struct log_snapshot *snapshot, const char *folder,
                    bool *retry);
void engine_check(const struct engine *self); /* the invariants above; aborts */
