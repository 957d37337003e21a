/* What cluster.c (nodes and time), cluster_fetch.c (state transfers), cluster_ask.c (clients) and the state
 * machines share. */
#pragma once

#include "base/bytes.h"
#include "chaos/sim/cluster.h"
#include "consensus/consensus_internal.h"

#define CLUSTER_INDEX_MAX     65536u
#define CLUSTER_PROPOSALS_MAX 65536u
#define CLUSTER_STORES_MAX    64u
#define CLUSTER_TERMS_MAX     65536u
#define CLUSTER_START_MS      1000u
#define CLUSTER_WALL_MS       1700000000000u

struct cluster_node {
    struct cluster *cluster;
    uint32_t number;
    char disk[32], folder[64], address[64];
    uint64_t id;
    struct consensus *consensus;
    bool crashing, paused, dead;
    uint64_t timer_ms, timer_asked_ms; /* the world's time, the node's */
    uint64_t life;                     /* how often it was opened */
    void *state;                       /* the machine's: what the node's disk and memory hold of it */
    char last_elected[64];
    uint32_t rate_ppm;               /* of its clock: 1,000,000 is as fast as time */
    uint64_t clock_ms, clock_set_ms; /* what it said when the rate was set, and when that was */
    int64_t wall_offset_ms;
};

/* One applied entry, as the cluster's memory keeps it. */
struct record {
    uint64_t term;
    uint64_t id; /* of the proposal; 0: none */
    uint32_t hash;
    uint8_t type;
};

/* A kind of state machine. `state` of a node is its own; it outlives the node's process, as a disk does. */
struct cluster_machine {
    struct machine (*interface)(struct cluster_node *node);
    /** Opens the store in this folder of the node, made when missing; other folders are left from interrupted
     * transfers: they go. */
    enum error_code (*open)(struct cluster_node *node, const char *folder, struct error *error);
    /** Whose it is: before consensus starts. NULL: it doesn't care. */
    enum error_code (*identify)(struct cluster_node *node, const char *cluster_id, uint64_t generation,
                                struct error *error);
    void (*close)(struct cluster_node *node, bool crashed); /* a clean stop makes all of it durable */
    void (*wipe)(struct cluster_node *node);                /* of a node that is not running */
    void (*free)(struct cluster_node *node);                /* the disk goes */
    uint64_t (*applied)(const struct cluster_node *node);
    /** Copies what the source has applied into a folder of the node, durably, and says what it is. */
    enum error_code (*copy)(struct cluster_node *node, const char *folder, struct cluster_node *source,
                            struct machine_state *out, struct error *error);
};
extern const struct cluster_machine cluster_tiny;

/* A state transfer under way. */
struct fetch {
    struct fetch *next;
    uint64_t due_ms, life, index_min;
    struct cluster_node *node;
    char folder[32];
    void (*done)(void *context, const struct machine_state *state, const struct error *error);
    void *context;
};

struct proposal_note {
    enum cluster_fate fate;
    enum error_code code;
    uint64_t index;     /* where it was said to be */
    uint64_t committed; /* where it was seen applied */
};

struct ask { /* one open question of a client */
    struct cluster *cluster;
    uint32_t node;
    uint64_t id;
    uint64_t index_min; /* of a read */
    uint64_t life;
};

struct cluster {
    struct cluster_options options;
    uint64_t now_ms;
    uint64_t random;
    uint64_t ids; /* for wrapped random bytes */
    struct fake_network *network;
    struct cluster_node nodes[CLUSTER_NODES_MAX];
    uint32_t count;
    char cluster_id[CLUSTER_ID_BYTES];
    const struct cluster_machine *machine;
    struct fetch *fetches;
    struct { /* committed configurations, by index */
        uint64_t index, sum;
    } * changes;
    uint32_t change_count;
    struct record *committed; /* by index */
    uint64_t committed_last, committed_capacity;
    struct proposal_note *proposals;
    uint64_t proposal_count;
    uint64_t acknowledged_index; /* the highest */
    uint64_t acknowledged, installs, flushes, reads, wipes;
    struct {
        uint64_t term;
        uint64_t leader;
    } leaders[CLUSTER_TERMS_MAX];
    uint32_t leader_count;
    uint32_t fatals;
    char violation[512];
};

/** Every node must apply the same at one index, always: compares with what was applied there before.
 * @param id  of the proposal in it; 0: none */
void cluster_compare(struct cluster_node *node, const struct entry *entry, uint64_t id);
/** Now and then a store is busy: the group comes again. */
bool cluster_store_busy(struct cluster_node *node);

/* cluster_fetch.c */
/** struct machine's fetch. @param context  the struct cluster_node */
void cluster_fetch(void *context, const char *folder, uint64_t index_min,
                   void (*done)(void *done_context, const struct machine_state *state,
                                const struct error *error),
                   void *done_context);
uint64_t cluster_fetch_next_ms(const struct cluster *self);
void cluster_fetch_run(struct cluster *self);
void cluster_forget_fetches(struct cluster_node *node);
