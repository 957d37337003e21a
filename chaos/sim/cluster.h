/* Several nodes of the real consensus/ in one thread and virtual time, over a fake network, disk and worker,
 * with a tiny state machine that remembers every entry. What must never happen is looked for while it runs:
 *
 *   - two leaders in one term;
 *   - an index applied with two contents, on any nodes, at any time, across restarts;
 *   - a proposal acknowledged and not committed where it was said to be, refused and committed, or committed
 * twice;
 *   - a confirmed read older than a write acknowledged before it began.
 *
 * The first violation is kept in cluster_violation(); consensus/ itself stops on its own broken invariants,
 * so schedules that shall break something run in a child process: cluster_outcome(). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chaos/sim/fake_wire.h"
#include "consensus/consensus.h"

#define CLUSTER_NODES_MAX 30u

struct cluster_machine; /* a kind of state machine: cluster_machine.h */

/* What the cluster tells whoever runs it, while it happens. Any member may be NULL. */
struct cluster_watch {
    void *context;
    /** A node applied these entries; every one of them, on every node, also again after a restart. */
    void (*applied)(void *context, uint32_t node, const struct entry *entries, uint32_t count,
                    const struct result *results);
    /** One thing happened, all that follows from it is done. */
    void (*event)(void *context, const char *kind, uint32_t node, uint64_t detail);
    /** Has this node applied that this id was removed? */
    bool (*is_removed)(void *context, uint32_t node, uint64_t node_id);
    /** A node said that it can't go on. */
    void (*fatal)(void *context, uint32_t node, const struct error *error);
};

struct cluster_options {
    uint64_t seed;
    uint32_t rules_off;
    uint32_t snapshot_entries, trailing_entries; /* 0: never; all */
    uint32_t delay_min_ms, delay_max_ms;         /* of a frame; 0, 0: 1, 3 */
    uint32_t sync_max_ms;                        /* of a write to the log */
    uint32_t fetch_max_ms;                       /* of a state transfer; 0: 100 */
    uint32_t loss_ppm, double_ppm;
    bool keep_order;
    bool expect_fatal; /* a node that can't go on because of its disk is no violation */
    uint64_t reserve_bytes;
    uint32_t election_timeout_ms, heartbeat_ms; /* 0: 300, 30 */
    const struct cluster_machine *machine;      /* NULL: the tiny one, which remembers every entry */
    struct cluster_watch watch;
};

struct cluster;
struct cluster_node;

enum cluster_fate { CLUSTER_PENDING, CLUSTER_DONE, CLUSTER_REFUSED, CLUSTER_UNKNOWN };

struct cluster *cluster_new(const struct cluster_options *options);
/** Stops all; checks at the end what can only be told then. @return false: there was a violation, printed
 * with the seed */
bool cluster_end(struct cluster *self);
const char *cluster_violation(const struct cluster *self); /* "" : none */
void cluster_report(struct cluster *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* --- nodes are numbered from 0
 * --------------------------------------------------------------------------------------- */

/** Node 0 bootstraps; 1 .. voters-1 join and become voters; waits until a leader is ready and all have its
 * log. */
void cluster_form(struct cluster *self, uint32_t voters);
/** Makes and starts one more node that knows the cluster but is no member yet. @return its number */
uint32_t cluster_join(struct cluster *self);
uint32_t cluster_count(const struct cluster *self);
bool cluster_running(const struct cluster *self, uint32_t node);
struct consensus *cluster_node(struct cluster *self, uint32_t node); /* NULL: not running */
uint64_t cluster_id(const struct cluster *self, uint32_t node);
const char *cluster_address(const struct cluster *self, uint32_t node);
/** Power cut: what was not synced is gone, from the log and from the store. */
void cluster_crash(struct cluster *self, uint32_t node);
void cluster_stop(struct cluster *self, uint32_t node); /* cleanly */
/** @return the code of opening or starting */
enum error_code cluster_restart(struct cluster *self, uint32_t node, struct error *error);
/** Stops the node's log worker: nothing gets synced until it goes on. */
void cluster_hold_syncs(struct cluster *self, uint32_t node, bool hold);
/** Lets the oldest `count` jobs of a held log worker end. */
void cluster_run_syncs(struct cluster *self, uint32_t node, uint32_t count);
/** The node's clock stands still: no timers, no frames. */
void cluster_pause(struct cluster *self, uint32_t node, bool pause);
/** Its disk has hardly any space left, or enough again (and fails no more). Needs options.reserve_bytes. */
void cluster_fill_disk(struct cluster *self, uint32_t node, bool full);
/** The next synced write of its log fails. Needs options.expect_fatal. */
void cluster_fail_sync(struct cluster *self, uint32_t node);
/** The next write of its log's mark fails. */
void cluster_fail_small(struct cluster *self, uint32_t node);
/** Every job of its disk takes up to so much longer, until it is 0 or the node starts again. */
void cluster_slow_disk(struct cluster *self, uint32_t node, uint32_t more_max_ms);
bool cluster_is_dead(const struct cluster *self, uint32_t node); /* it said that it can't go on */
void cluster_wipe_store(struct cluster *self, uint32_t node);    /* of a node that is not running */

/* --- time and network
 * -------------------------------------------------------------------------------------------------- */

uint64_t cluster_now_ms(const struct cluster *self);
void cluster_run(struct cluster *self, uint64_t ms);
/** Runs until `until` is true. @return false: it wasn't within `ms` */
bool cluster_run_until(struct cluster *self, bool (*until)(struct cluster *self, void *context),
                       void *context, uint64_t ms);
struct fake_network *cluster_network(struct cluster *self);
/** Nodes of the mask reach each other and the others each other, and no one the other side. */
/** The node's clocks: how fast its monotonic one runs, and how far its wall clock is off. */
void cluster_set_clock(struct cluster *self, uint32_t node, uint32_t rate_ppm, int64_t wall_offset_ms);
/** What nodes[node] calls now. */
uint64_t cluster_node_ms(const struct cluster *self, uint32_t node);
void cluster_partition(struct cluster *self, uint32_t mask);
void cluster_cut(struct cluster *self, uint32_t from, uint32_t to, bool cut);
void cluster_mend(struct cluster *self);

/* --- asking
 * ------------------------------------------------------------------------------------------------------------
 */

/** The ready leader of the highest term; -1: none */
int cluster_leader(struct cluster *self);
/** Waits for one. Fails the test's run (a violation) when there is none within `ms`. @return its number */
uint32_t cluster_await_leader(struct cluster *self, uint64_t ms);
/** Proposes a new command. @return its id, 0: refused at once */
uint64_t cluster_propose(struct cluster *self, uint32_t node);
uint64_t cluster_propose_bytes(struct cluster *self, uint32_t node, size_t bytes);
enum cluster_fate cluster_fate(struct cluster *self, uint64_t id);
enum error_code cluster_fate_code(struct cluster *self, uint64_t id);
uint64_t cluster_committed_at(struct cluster *self, uint64_t id); /* index; 0: nowhere yet */
uint64_t cluster_read(struct cluster *self, uint32_t node);       /* id, 0: refused at once */
struct consensus_status cluster_status(struct cluster *self, uint32_t node);
/** Runs until all running members have applied what the leader has committed. */
bool cluster_settle(struct cluster *self, uint64_t ms);
uint64_t cluster_applied(struct cluster *self, uint32_t node);
/** The text of the last leader-elected command that this node applied: "<node> <term> <cause>". */
const char *cluster_last_elected(struct cluster *self, uint32_t node);
uint64_t cluster_acknowledged(const struct cluster *self); /* proposals, in all */
uint64_t cluster_installs(const struct cluster *self);     /* state transfers, in all */
uint64_t cluster_snapshots(const struct cluster *self);    /* flushes, in all */
uint64_t cluster_reads(const struct cluster *self);
uint64_t cluster_wipes(const struct cluster *self);

/* Membership, by number; waits until it is done, at most `ms`. @return how it ended, ERROR_TIMEOUT when it
 * didn't */
enum error_code cluster_add(struct cluster *self, uint32_t node, uint64_t ms);
enum error_code cluster_assign(struct cluster *self, uint32_t node, enum member_role role, uint64_t ms);
enum error_code cluster_remove(struct cluster *self, uint32_t node, uint64_t ms);
enum error_code cluster_transfer(struct cluster *self, int to, uint64_t ms); /* -1: to whom it likes */
/** Without waiting, on this node, whatever comes of it. */
enum error_code cluster_begin_add(struct cluster *self, uint32_t leader, uint32_t node);
enum error_code cluster_begin_assign(struct cluster *self, uint32_t leader, uint32_t node,
                                     enum member_role role);
enum error_code cluster_begin_remove(struct cluster *self, uint32_t leader, uint32_t node);
enum error_code cluster_begin_transfer(struct cluster *self, uint32_t leader);

uint32_t cluster_fatals(const struct cluster *self);           /* nodes that said they can't go on */
uint64_t cluster_random(struct cluster *self, uint64_t limit); /* 0 .. limit - 1 */

/* --- random schedules
 * -------------------------------------------------------------------------------------------------- */

struct cluster_totals {
    uint64_t schedules, acknowledged, installs, snapshots, reads, fatals, wipes;
};
/** Plays the schedule of this seed, mends everything, and looks whether the cluster works again. Adds to the
 * totals.
 * @return false: there was a violation, printed with the seed */
bool cluster_random_schedule(uint32_t rules_off, uint64_t seed, struct cluster_totals *totals);

/* --- schedules that shall break
 * ------------------------------------------------------------------------------------------ */

enum cluster_outcome { CLUSTER_HELD, CLUSTER_VIOLATED, CLUSTER_ABORTED };
/** Plays a schedule in a child process with these rules off. The schedule ends with cluster_end() and returns
 * what that returned. */
enum cluster_outcome cluster_outcome(bool (*schedule)(uint32_t rules_off, uint64_t seed), uint32_t rules_off,
                                     uint64_t seed);

/** One scripted schedule that needs its rule. */
struct cluster_scenario {
    const char *name;
    uint32_t rule; /* of consensus/rules.h */
    bool (*play)(uint32_t rules_off, uint64_t seed);
};
/** NULL past the last. */
const struct cluster_scenario *cluster_scenario_at(uint32_t position);
const struct cluster_scenario *cluster_scenario_find(const char *name);
