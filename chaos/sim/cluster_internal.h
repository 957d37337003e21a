/* What cluster.c (nodes and time), cluster_machine.c (the state machine) and cluster_ask.c (clients) share.
 */
#pragma once

#include "base/bytes.h"
#include "chaos/sim/cluster.h"
#include "consensus/consensus_internal.h"

#define CLUSTER_INDEX_MAX     65536u
#define CLUSTER_PROPOSALS_MAX 65536u
#define CLUSTER_STORES_MAX    64u
#define CLUSTER_TERMS_MAX     4096u
#define CLUSTER_START_MS      1000u
#define CLUSTER_WALL_MS       1700000000000u

/* One applied entry, as the store and the cluster's memory keep it. */
struct record {
    uint64_t term;
    uint64_t id; /* of the proposal; 0: none */
    uint32_t hash;
    uint8_t type;
};

/* A state folder: records of index 1 on. */
struct store {
    char folder[32];
    struct record *records;
    uint64_t count, flushed; /* the first so many survive a power cut */
    uint64_t configuration_index;
    struct {
        uint64_t index;
        struct bytes payload;
    } * changes; /* every configuration applied */
    uint32_t change_count;
};

struct cluster_node {
    struct cluster *cluster;
    uint32_t number;
    char disk[32], folder[64], address[64];
    uint64_t id;
    struct consensus *consensus;
    bool crashing, paused, dead;
    uint64_t timer_ms;
    uint64_t life; /* how often it was opened */
    struct store *stores[CLUSTER_STORES_MAX];
    uint32_t store_count;
    struct store *store; /* the open one */
    char last_elected[64];
};

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
    struct fetch *fetches;
    struct record *committed; /* by index */
    uint64_t committed_last;
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

/* cluster_machine.c */
struct machine cluster_machine(struct cluster_node *node);
void cluster_open_store(struct cluster_node *node, const char *folder);
void cluster_crash_stores(struct cluster_node *node);
void cluster_free_stores(struct cluster_node *node);
uint64_t cluster_fetch_next_ms(const struct cluster *self);
void cluster_fetch_run(struct cluster *self);
void cluster_forget_fetches(struct cluster_node *node);
