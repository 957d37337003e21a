/* What the files of the simulator share. */
#pragma once

#include "base/arena.h"
#include "chaos/sim/cluster_internal.h"
#include "chaos/sim/machine_fsm.h"
#include "chaos/sim/sim.h"

/* --- trace.c: everything that happens, in order
 * ---------------------------------------------------------------------- */

struct event {
    uint64_t ms;
    const char *kind; /* a literal: its text is hashed, not its address */
    uint32_t node;    /* CLUSTER_NODES_MAX: none */
    uint64_t a, b;
};

struct trace {
    struct hash *hash;
    bool print;
    uint64_t count;
    struct event last[SIM_EVENTS_SHOWN];
};

void trace_init(struct trace *self, bool print);
void trace_add(struct trace *self, uint64_t ms, const char *kind, uint32_t node, uint64_t a, uint64_t b);
void trace_print_last(const struct trace *self);
void trace_done(struct trace *self, uint8_t out[DIGEST_BYTES]);

/* --- model.c: what was committed
 * ------------------------------------------------------------------------------------ */

struct value { /* of a register, from this index on */
    uint64_t index;
    int64_t value;
    uint64_t version;
};

struct reg {
    struct value *values;
    uint32_t count, capacity;
    bool defined;
};

struct applied { /* one committed entry and what it gave */
    uint64_t digest;
    uint32_t result;
};

struct model {
    struct fsm *fsm; /* the reference: applies every committed entry once, with no fault ever */
    struct arena arena;
    uint64_t index;
    struct applied *applied; /* by index */
    uint64_t capacity;
    struct reg registers[SIM_REGISTERS];
    struct { /* ids that were members and are not any more */
        uint64_t node_id, index;
    } removed[64];
    uint32_t removed_count;
    struct consensus_member members[NODES_MAX]; /* of the last committed configuration */
    uint32_t member_count;
    uint64_t configuration_index;
};

/* --- clients.c: what they asked and were told
 * ----------------------------------------------------------------------- */

enum operation_kind {
    OPERATION_DEFINE,
    OPERATION_SET,
    OPERATION_SET_TWO,
    OPERATION_SWITCH_ON,
    OPERATION_SWITCH_OFF,
    OPERATION_PLAN,
    OPERATION_READ,          /* linearizable, at the leader */
    OPERATION_READ_FOLLOWER, /* linearizable, at another node, by the leader's index */
    OPERATION_READ_STALE
};

struct operation {
    enum operation_kind kind;
    uint32_t client;
    uint32_t target, other; /* registers */
    int64_t value, other_value;
    uint64_t expected_version;    /* 0: any */
    uint64_t begun_ms, index_min; /* the highest index that anybody was told of before it began */
    uint32_t open;                /* attempts whose fate is not known */
    uint32_t attempts;            /* that were taken in */
    bool answered;
    uint64_t index;     /* where it was committed first; 0: nowhere */
    uint64_t audit_seq; /* by the reference */
    uint32_t code;
};

struct client {
    uint64_t next_ms, deadline_ms;
    uint64_t operation; /* 0: none is under way */
    uint64_t attempt;   /* counts, to tell late answers */
    bool waiting;       /* for an answer */
    bool hop;           /* has the leader's index, goes to a follower with it */
    uint64_t hop_index;
    uint64_t seen_version; /* of the flag read last */
    uint32_t seen_register;
    bool likes; /* the node that answered last */
    uint32_t liked;
};

/* --- faults.c, keeper.c
 * --------------------------------------------------------------------------------------------- */

struct fault {
    uint64_t at_ms, until_ms;
    uint32_t kind, node;
    uint64_t draws[3];
    bool begun, active, skipped, met;
};

struct keeper_node {                 /* how its keeper sees a node */
    uint64_t down_until_ms;          /* 0: it should run */
    uint64_t left_ms;                /* removed from the cluster, seen then */
    bool gone;                       /* for good */
    bool lost;                       /* its disk was: it leaves the cluster, another takes its place */
    bool damaged_log, damaged_state; /* a bit of it has flipped */
};

struct sim {
    struct sim_options options;
    struct sim_config config;
    struct cluster *cluster;
    struct trace trace;
    struct model model;
    struct random client_random, keeper_random;
    struct client clients[SIM_CLIENTS_MAX];
    struct operation *operations; /* from 1 */
    uint64_t operation_count, operation_capacity;
    uint64_t told_index; /* the highest that any client was told of */
    bool poked;          /* a client was answered */
    uint32_t thawed;     /* a node that went on a moment ago: clients ask it first */
    uint64_t thawed_until_ms;
    bool calm; /* no more faults, no more clients: it must come to rest */
    struct fault *faults;
    uint32_t fault_count;
    uint32_t fault_first, fault_next; /* between them are those that may be active; all before are over */
    struct keeper_node keeper[CLUSTER_NODES_MAX];
    uint64_t keeper_ms, replace_ms;
    bool cut[CLUSTER_NODES_MAX][CLUSTER_NODES_MAX];
    bool links_changed; /* work them out anew */
    struct wire_watch *wire;
    struct sim_report report;
};

/** The first violation ends the run. @param check  its short name, which tests and mutants go by */
void sim_fail(struct sim *self, const char *check, const char *format, ...) PRINTF(3, 4);
bool sim_failed(const struct sim *self);
static inline uint64_t sim_now(const struct sim *self)
{
    return self->cluster->now_ms;
}
/** A running node that is not paused or dead; CLUSTER_NODES_MAX: there is none. */
uint32_t sim_any_node(struct sim *self, struct random *random);
void sim_note(struct sim *self, const char *kind, uint32_t node, uint64_t a, uint64_t b);

/* config.c */
void config_draw(const struct sim_options *options, struct sim_config *out);
void config_print(const struct sim_config *config);

/* model.c */
void model_open(struct sim *self);
void model_close(struct sim *self);
void model_applied(void *context, uint32_t node, const struct entry *entries, uint32_t count,
                   const struct result *results);
bool model_is_removed(void *context, uint32_t node, uint64_t node_id);
/** NULL: no member. */
const struct consensus_member *model_member(const struct model *self, uint64_t node_id);
/** What the register held in the state of this index. @return NULL: nothing */
const struct value *model_value(const struct model *self, uint32_t target, uint64_t index);

/* clients.c */
void clients_open(struct sim *self);
void clients_run(struct sim *self);
/** Whoever rests begins with something now. */
void clients_wake(struct sim *self);
uint64_t clients_next_ms(const struct sim *self);
/** The operation of a request id; NULL: not a client's. */
struct operation *clients_operation(struct sim *self, const char *request_id);

/* reads.c */
/** What the register holds in the state of this node now; false: nothing. */
bool read_register(struct sim *self, uint32_t node, uint32_t target, uint64_t *index, struct value *out);
void read_check(struct sim *self, struct operation *operation, uint32_t node, uint64_t index_min);

/* faults.c */
void faults_draw(struct sim *self);
uint64_t faults_next_ms(const struct sim *self);
void faults_run(struct sim *self);
void faults_end(struct sim *self); /* all of them */
void faults_print(const struct sim *self);

/* keeper.c */
void keeper_run(struct sim *self);
void keeper_crash(struct sim *self, uint32_t node, uint64_t down_ms);
void keeper_stop(struct sim *self, uint32_t node, uint64_t down_ms);
/** Is every voter's disk what it was, with all of them running and nothing of the membership under way? Then
 * one of them may lose it: the others have what was committed, and a majority. */
bool keeper_all_whole(struct sim *self);
/** Its disk is gone: it never comes back, and is replaced. */
void keeper_lose(struct sim *self, uint32_t node);
/** @return a lost node is a member still, or a place is not filled again */
bool keeper_replacing(const struct sim *self);
/** May a voter be taken away? Not while a disk is bad or a lost node is being replaced. */
bool keeper_may_shrink(const struct sim *self);
/** One random change of the membership, asked of whoever leads. */
void keeper_change_members(struct sim *self, uint64_t draw, uint64_t choice);

/* wire_watch.c */
void wire_watch_open(struct sim *self);
void wire_watch_attach(struct sim *self);
void wire_watch_close(struct sim *self);
/** Who is cut off stands, too, and nobody hears of it: before a node that may have stood forgets its role. */
void wire_watch_candidates(struct sim *self);

/* checks.c */
void checks_end(struct sim *self);
