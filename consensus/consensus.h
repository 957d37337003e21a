/* Replicates opaque commands with Raft. What a command means is fsm/'s business.
 *
 * Threads: everything here runs on the loop thread. Time and the loop stay outside: consensus asks for one
 * timer (options.set_timer), and its owner calls consensus_tick() when it fires and consensus_turn() at the
 * end of each loop turn.
 *
 * Callbacks given to this header (`done`, on_change, on_fatal) may call it again: what they ask for is queued
 * and done later. The one exception is consensus_close(), which must not be called from inside any of them.
 * Layering: the one header (with machine.h) that other folders include; libraft stays behind it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/entry.h"
#include "base/error.h"
#include "base/histogram.h"
#include "base/limits.h"
#include "consensus/machine.h"
#include "consensus/rules.h"

/** Proposals that may await commit; the next one is refused, never queued. */
#define CONSENSUS_PROPOSALS_MAX      65536u
/** Readers that may await confirmation. */
#define CONSENSUS_READERS_MAX        65536u
/** Commands that wait for submission or commit may take so much memory together; past it: ERROR_BUSY. */
#define CONSENSUS_PROPOSAL_BYTES_MAX (64u * 1024u * 1024u)
/** A successor, and a standby on its way to voter, may lack at most so many entries. */
#define CONSENSUS_LAG_ENTRIES_MAX    1024u
/** A timer that never fires. */
#define CONSENSUS_NEVER              UINT64_MAX

struct uv_loop_s;
struct consensus; /* made by consensus_open(), ended by consensus_close() */

enum consensus_role { CONSENSUS_FOLLOWER, CONSENSUS_CANDIDATE, CONSENSUS_LEADER };
enum member_role { MEMBER_STANDBY, MEMBER_VOTER, MEMBER_SPARE }; /* libraft's numbers */

struct consensus_member {
    uint64_t node_id;
    enum member_role role;
    char address[ADDRESS_BYTES_MAX]; /* of its wire */
    bool connected;
    uint64_t heard_ms;      /* ago; UINT64_MAX: never */
    uint64_t match_index;   /* on the leader: what it is known to have; else 0 */
    int64_t wall_offset_ms; /* its wall clock less ours, from its last frame; 0: never heard */
};

struct consensus_status {
    uint64_t node_id;
    char cluster_id[CLUSTER_ID_BYTES]; /* "" until it has one */
    uint64_t generation;
    enum consensus_role role;
    bool ready;  /* leads, and its `leader elected` command of this term is applied (R8) */
    bool quorum; /* in contact with a majority of voters now, itself included */
    uint64_t term;
    uint64_t leader_id;         /* 0: unknown */
    uint64_t leader_ready_term; /* last term whose leader-elected command was applied here */
    uint64_t commit_index, applied_index, last_index, durable_index, first_index;
    uint64_t snapshot_index;
    uint64_t elections, proposals_waiting, proposals_total, groups_total, readers_waiting;
    uint64_t sync_us_last, sync_us_max;
    uint64_t log_busy_ms;           /* how long the disk has had the log's write under way; 0: none is */
    struct histogram sync_us;       /* one write and sync of the log */
    struct histogram group_entries; /* commands submitted together */
    uint64_t fetches_total, installs_total; /* state transfers to this node: begun, and taken over */
    uint64_t
        contact_lost_ms; /* monotonic time when contact with a majority was lost; 0 while there is contact */
    bool disk_full;      /* below the reserve: writes are refused */
    bool membership_pending;
    bool transferring; /* a handover is under way: proposals wait */
    bool fetching;     /* a state transfer is under way */
    bool state_lost;   /* the store is older than the log's snapshot: fetching it, reads must not trust it */
    uint64_t configuration_index; /* of the membership below */
    uint32_t member_count;
    struct consensus_member members[NODES_MAX];
};

struct consensus_options {
    struct uv_loop_s *loop;
    struct clock clock;
    const char *folder;            /* of the log; made when missing */
    const char *listen_address;    /* of the wire */
    const char *advertise_address; /* NULL: listen_address */
    uint32_t election_timeout_ms;  /* 300 */
    uint32_t heartbeat_ms;         /* 30 */
    uint32_t snapshot_entries;     /* take a snapshot after so many applied entries: 65,536 */
    uint32_t trailing_entries;     /* kept behind a snapshot: 8,192 */
    uint64_t reserve_bytes;        /* disk kept free for terms, votes and recovery: 64 MiB */
    uint64_t seed;                 /* election jitter */
    uint32_t rules_off;            /* 0 in a node; tests switch single rules off: see rules.h */
    struct machine machine;
    /** Asks for one call of consensus_tick() at the monotonic time `at_ms` or as soon after as the loop can
     * (a time that has passed: in the next turn, never inside this call). Replaces what was asked before;
     * CONSENSUS_NEVER cancels. */
    void (*set_timer)(void *context, uint64_t at_ms);
    /** Role, leader, term or readiness changed. Never inside a call of this header. */
    void (*on_change)(void *context);
    /** The node can't go on (failed disk, broken invariant): acknowledge nothing more, exit with a status the
     * supervisor restarts. */
    void (*on_fatal)(void *context, const struct error *error);
    void *context;
};

/** Opens the log; nothing is sent yet.
 *
 * @return ERROR_CORRUPT for a damaged log or one that ends before its mark (the message has the command to go
 * on), ERROR_LOCKED when another process has it */
enum error_code consensus_open(const struct consensus_options *options, struct consensus **out,
                               struct error *error) MUST_USE;
/** True when the folder belongs to a cluster already: no bootstrap, no join. */
bool consensus_has_cluster(const struct consensus *self);
uint64_t consensus_node_id(const struct consensus *self);
/** The folder's current state directory name, "state.0" at first; state transfer switches it atomically with
 * the log. */
const char *consensus_state_folder(const struct consensus *self);
/** First node of a new cluster: makes a cluster_id, writes the first configuration with itself as the only
 * voter. Once. */
enum error_code consensus_bootstrap(struct consensus *self, struct error *error) MUST_USE;
/** What the leader answered to a join: remembered durably, before anything is heard. */
enum error_code consensus_adopt(struct consensus *self, const char *cluster_id, uint64_t generation,
                                struct error *error) MUST_USE;
/** Opens the wire and starts the engine. The state machine's store must be open.
 *
 * @return ERROR_CORRUPT when the store and the log don't belong together; ERROR_IO and the like from the wire
 */
enum error_code consensus_start(struct consensus *self, struct error *error) MUST_USE;
/** Answers all that waits (ERROR_UNKNOWN for what was submitted, ERROR_CLOSED for the rest), syncs, closes;
 * then on_closed. For a graceful stop of a leader call consensus_transfer() first and wait for its `done`.
 * NULL: on_closed runs at once. */
void consensus_close(struct consensus *self, void (*on_closed)(void *context), void *context);

/** The timer asked for by options.set_timer fired. Calling it early or twice is harmless. */
void consensus_tick(struct consensus *self);
/** The end of one turn of the loop (a uv_check or uv_prepare handle): submits what was proposed in this turn
 * as one group, starts read rounds, applies what is committed. When work is left over, the timer is set to
 * now. */
void consensus_turn(struct consensus *self);

/** The fate of one accepted proposal: called exactly once, on the loop thread.
 *
 * @param context  the pointer given to consensus_propose()
 * @param result   what the state machine answered (its index is in it); borrowed until return; NULL with an
 * error
 * @param error    borrowed; NULL when applied. ERROR_NOT_LEADER: it certainly did not and will not happen.
 * ERROR_UNKNOWN: it may still commit. After leadership is lost, what was submitted waits for its fate for
 *                 four election timeouts, then it is ERROR_UNKNOWN; nothing waits longer than ten seconds for
 * its commit */
typedef void consensus_done_fn(void *context, const struct result *result, const struct error *error);

/** Proposes one command for the log.
 *
 * @param command        copied before return
 * @param command_bytes  1 .. COMMAND_BYTES_MAX, else ERROR_TOO_BIG
 * @return ERROR_OK, ERROR_NOT_LEADER (also while not ready), ERROR_BUSY at CONSENSUS_PROPOSALS_MAX or
 *         CONSENSUS_PROPOSAL_BYTES_MAX, ERROR_NO_SPACE, ERROR_CLOSED.
 *         On failure nothing was kept and nothing will be called. */
enum error_code consensus_propose(struct consensus *self, const void *command, size_t command_bytes,
                                  consensus_done_fn *done, void *context, struct error *error) MUST_USE;

/** Waits until what was committed before this call is applied here and leadership was confirmed by a majority
 * after it: a read that follows is linearizable. Leader only; followers ask their leader for `index` and then
 * consensus_wait().
 *
 * @param done  index of the confirmed state, 0 with an error (ERROR_NOT_LEADER, ERROR_UNAVAILABLE) */
enum error_code consensus_confirm(struct consensus *self,
                                  void (*done)(void *context, uint64_t index, const struct error *error),
                                  void *context, struct error *error) MUST_USE;
/** Waits until `index` is applied here, at most until the monotonic time `deadline_ms` (then ERROR_TIMEOUT).
 */
enum error_code consensus_wait(struct consensus *self, uint64_t index, uint64_t deadline_ms,
                               void (*done)(void *context, uint64_t index, const struct error *error),
                               void *context, struct error *error) MUST_USE;

/** Hands leadership to `node_id`, or to the most up-to-date reachable voter when 0. While it lasts, proposals
 * wait. `done` runs when the command by which another node took office in a later term is applied here (error
 * NULL), or when it failed: ERROR_TIMEOUT when this node leads still or again, ERROR_UNKNOWN when nobody is
 * known to have taken office within ten election timeouts. One at a time.
 *
 * @return ERROR_CONFLICT when no voter is reachable and within CONSENSUS_LAG_ENTRIES_MAX, or one is under way
 * already; ERROR_NOT_LEADER; ERROR_INVALID for an id that is no other voter */
enum error_code consensus_transfer(struct consensus *self, uint64_t node_id,
                                   void (*done)(void *context, uint64_t new_leader, uint64_t new_term,
                                                const struct error *error),
                                   void *context, struct error *error) MUST_USE;

/* Membership: one change at a time, leader only, ready only. `done` runs when the change is applied here.
 * Preflight: ERROR_CONFLICT below one voter, when the voters after the change would have no majority in
 * contact, for the leader itself (hand over first), while a change is pending, for an id that was removed
 * before, for an address that another member has; ERROR_TOO_BIG past NODES_MAX; ERROR_NOT_FOUND for an
 * unknown id; ERROR_EXISTS never: repeating a change that holds already succeeds (its result has the index of
 * the configuration). */
enum error_code consensus_member_add(struct consensus *self, uint64_t node_id, const char *address,
                                     consensus_done_fn *done, void *context, struct error *error) MUST_USE;
/** A standby must be in contact and within CONSENSUS_LAG_ENTRIES_MAX of the commit index to become voter, and
 * a spare must become a standby first: else ERROR_CONFLICT. */
enum error_code consensus_member_assign(struct consensus *self, uint64_t node_id, enum member_role role,
                                        consensus_done_fn *done, void *context, struct error *error) MUST_USE;
enum error_code consensus_member_remove(struct consensus *self, uint64_t node_id, consensus_done_fn *done,
                                        void *context, struct error *error) MUST_USE;

void consensus_status(const struct consensus *self, struct consensus_status *out);

/** What went over the wire to and from one other member since the start. */
struct consensus_traffic {
    uint64_t node_id;
    uint64_t sent_frames, sent_bytes, received_frames, received_bytes;
    uint64_t dropped_frames; /* its queue was full, or it was not connected */
    uint64_t connects, queued_bytes;
};
/** @return how many, at most NODES_MAX: one for each other member */
uint32_t consensus_traffic(const struct consensus *self, struct consensus_traffic out[NODES_MAX]);
/** The leader's idea of the time: its own clock, or the median of the voters' when it is more than 10 s off
 * that. */
uint64_t consensus_wall_ms(const struct consensus *self);
/** Decodes a configuration payload (an ENTRY_CHANGE's data): bounded, for the state machine's describe and
 * for tools. */
enum error_code consensus_configuration_decode(struct span payload, struct consensus_member *out,
                                               uint32_t out_max, uint32_t *count,
                                               struct error *error) MUST_USE;
