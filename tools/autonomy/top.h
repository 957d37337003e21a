/* `autonomy top`: the cluster on one screen. top.c is the loop, top_collect.c asks every node at once, and
 * top_show.c writes what came back for people. Between them goes one JSON object, which is also what
 * --output json prints. */
#pragma once

#include "tools/autonomy/client.h"

#define TOP_NODES_MAX  24u /* members, and the URLs that were named */
#define TOP_PLANS_MAX  16u
#define TOP_EVENTS     20u
#define TOP_ASK_MAX_MS 1000u /* a node has so long for an answer */
#define TOP_ASK_MIN_MS 250u  /* and so long when it was silent the last time */

/* What is remembered of a node from one look to the next. */
struct top_node {
    char url[256];
    bool named;              /* by the operator: asked also when no member has this URL (a tunnel, a proxy) */
    bool silent;             /* the last time */
    bool counted;            /* `reads` and `changes` are of the last look */
    uint64_t reads, changes; /* asked of this node until then */
    uint64_t own;            /* reads of ours since then */
    uint64_t counted_us;
};

struct top {
    struct cli *cli;
    struct client *client;
    struct top_node nodes[TOP_NODES_MAX];
    uint32_t node_count;
    char source[256];                  /* whose lists were shown last; "" none yet */
    char cluster_id[CLUSTER_ID_BYTES]; /* "" unknown */
    uint64_t commit_index, commit_us;  /* of the last look: the furthest that any node said; 0: none */
    uint64_t interval_ms;
    char silent_since[32]; /* when the last node fell silent; "" while one answers */
};

/** Nodes to ask: those that were named, and those that this status names. */
void top_learn(struct top *self, const struct json_t *status);
/** One look at all nodes. @return the object; `answered` in it is false when nobody answered */
struct json_t *top_collect(struct top *self);
/** @param rows  lines there are; 0: no bound  @return the text, in the arena */
const char *top_text(struct cli *cli, const struct json_t *look, uint32_t rows);
