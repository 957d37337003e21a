/* What the files behind consensus.h share: consensus.c (life and inputs), drive.c (what follows from them),
 * apply.c, handover.c, membership.c, snapshot.c, invariants.c.
 *
 * The pattern: an input (a frame, a synced write, the timer, the end of a turn) gives the engine one event at
 * most; then consensus_drive() does all that now follows, until nothing is left. So there is never a step
 * inside a step, and callbacks into other folders run outside of any step. Calls of consensus.h from such
 * callbacks only leave wishes for consensus_drive(). */
#pragma once

#include "base/arena.h"
#include "base/worker.h"
#include "consensus/confirm.h"
#include "consensus/consensus.h"
#include "consensus/contact.h"
#include "consensus/engine.h"
#include "consensus/log.h"
#include "consensus/proposal.h"
#include "consensus/wire.h"

/** Groups applied before the loop gets its turn again. */
#define DRIVE_GROUPS_MAX              8u
/** What may be submitted and not committed before the next group waits: it bounds what one slow disk can pile
 * up. */
#define DRIVE_UNCOMMITTED_ENTRIES_MAX (8u * GROUP_COMMANDS_MAX)
#define DRIVE_UNCOMMITTED_BYTES_MAX   (16u * GROUP_BYTES_MAX)
/** How often a full disk and the mark are looked at. */
#define DRIVE_SPACE_MS                200u
#define DRIVE_MARK_MS                 500u
/** The commit index is told to followers so much later, when nothing else that carries it was sent by then.
 */
#define DRIVE_ANNOUNCE_MS             1u
/** A leader whose own disk takes nothing for so many election timeouts hands over: it can't apply what others
 * commit (R2). */
#define DRIVE_STALL_TIMEOUTS          3u
/** A leader whose disk has been full for so many hands over when a majority of the voters has space; else it
 * refuses writes. */
#define DRIVE_FULL_TIMEOUTS           3u
/** Again after the store was busy or full. */
#define DRIVE_BUSY_MS                 5u
/** Submitted proposals of a lost leadership wait so many election timeouts for their fate. */
#define DRIVE_STRAY_TIMEOUTS          4u
/** Readers wait so many election timeouts for a majority. */
#define DRIVE_READ_TIMEOUTS           4u

typedef void transfer_done_fn(void *context, uint64_t new_leader, uint64_t new_term,
                              const struct error *error);

/* handover.c */
struct handover {
    enum { HANDOVER_NONE, HANDOVER_CATCH_UP, HANDOVER_SENT, HANDOVER_AWAIT } phase;
    uint64_t successor, term; /* of our leadership */
    uint64_t deadline_ms;
    transfer_done_fn *done;
    void *context;
};

/* membership.c */
struct change {
    enum { CHANGE_NONE, CHANGE_WANTED, CHANGE_HOLDS, CHANGE_SUBMITTED } phase;
    struct configuration configuration; /* after the change */
    uint64_t index, term, deadline_ms;
    consensus_done_fn *done;
    void *context;
};

/* snapshot.c */
struct snapshots {
    struct worker_job job; /* the flush under way */
    struct consensus *consensus;
    bool flushing;
    enum error_code flush_code;
    struct error flush_error;
    struct log_snapshot taken; /* what the flush makes durable */
    uint64_t installs, installs_at_flush;
    uint64_t fetches;
    uint64_t retry_ms;
    bool fetching; /* machine.fetch runs */
    bool fetched;  /* a checkpoint waits for a leader to be installed from */
    bool state_lost;
    uint64_t number; /* of the state folder */
    char folder[32]; /* being fetched */
    uint64_t wanted; /* index_min of the fetch */
    struct machine_state state;
};

struct consensus {
    struct consensus_options options;
    char *folder, *listen_address, *advertise_address;
    struct wire_identity identity;
    struct worker *log_worker, *state_worker;
    struct log *log;
    struct wire *wire;
    struct engine *engine;
    bool started, closing, failed, driving, drive_again;
    struct error failure;
    bool failure_told;
    struct engine_state seen;    /* at the last look; its configuration is the engine's */
    uint64_t seen_configuration; /* index of what the wire and `contact` know */
    uint64_t applied_index, applied_term;
    uint64_t elected_index, elected_term; /* our own leader-elected command; term 0: none submitted */
    uint64_t ready_term;                  /* it was applied in this term (R8) */
    uint64_t leader_ready_term;           /* likewise, whoever leads */
    uint64_t elections, groups_total;
    struct histogram group_entries;
    uint64_t armed_ms;
    bool work_left; /* more to apply or to submit in the next turn */
    bool in_turn;   /* not inside a worker's `done`: may wait for the log's worker */
    bool told_ready;
    uint64_t apply_retry_ms, space_ms, mark_ms;
    uint64_t stall_ms, stall_index; /* what was durable when it last advanced, and since when it stands still;
                                       0: it doesn't */
    uint64_t announce_ms;           /* CONSENSUS_NEVER: followers know what is committed */
    uint64_t mark_index;
    bool disk_full;
    uint64_t full_ms; /* since when, or when a successor was last looked for */
    bool reading;     /* entries to apply are read from the disk */
    struct entry *read_entries;
    uint32_t read_count;
    uint64_t uncommitted_bytes; /* submitted since the last commit, roughly */
    struct span group[GROUP_COMMANDS_MAX];
    struct entry entries[GROUP_COMMANDS_MAX];
    struct result results[GROUP_COMMANDS_MAX];
    struct arena arena; /* of the frame being read */
    struct bytes frame; /* being written */
    struct proposals proposals;
    struct confirm confirm;
    struct contact contact;
    struct handover handover;
    struct change change;
    struct snapshots snapshots;
    uint64_t checks;
};

static inline bool rule_on(const struct consensus *self, enum consensus_rule rule)
{
    return (self->options.rules_off & (uint32_t)rule) == 0;
}

/* consensus.c */
uint64_t consensus_now(const struct consensus *self);
bool consensus_ready(const struct consensus *self); /* leads, and its own command is applied (R8) */
void consensus_send(struct consensus *self, uint64_t to, struct message *message);
/** Says why this node refuses, naming the leader. @return ERROR_NOT_LEADER */
enum error_code consensus_not_leader(const struct consensus *self, struct error *error);
/** The node can't go on. Told to the owner from consensus_drive(). */
void consensus_fatal(struct consensus *self, const struct error *error);

/* drive.c */
void consensus_drive(struct consensus *self);
/** Asks for the timer at the earliest time at which something is due. */
void consensus_arm(struct consensus *self);

/* apply.c */
/** Applies what is committed and durable; at most DRIVE_GROUPS_MAX groups. @return true when it got further
 */
bool apply_committed(struct consensus *self);
uint64_t apply_limit(const struct consensus *self); /* R2 */

/* handover.c */
void handover_progress(struct consensus *self);
/** Hands over when our own disk stands still. */
void handover_watch_disk(struct consensus *self);
/** Hands over when our own disk is full and a majority has space. */
void handover_watch_space(struct consensus *self);
void handover_fail(struct consensus *self, enum error_code code, const char *reason);

/* membership.c */
void membership_progress(struct consensus *self);
void membership_applied(struct consensus *self, const struct entry *entry, const struct result *result);
void membership_fail(struct consensus *self, enum error_code code, const char *reason);

/* snapshot.c */
void snapshot_init(struct consensus *self);
void snapshot_progress(struct consensus *self);
void snapshot_needed(struct consensus *self, const struct message *message);
bool snapshot_may_apply(const struct consensus *self);
uint64_t snapshot_deadline_ms(const struct consensus *self);

/* invariants.c */
void consensus_check(struct consensus *self);
