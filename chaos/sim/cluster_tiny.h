/* What the tiny state machine holds: a test may damage it. */
#pragma once

#include "chaos/sim/cluster_internal.h"

/* A state folder: records of index 1 on. */
struct store {
    char folder[32];
    struct record *records;
    uint64_t count, flushed; /* the first so many survive a power cut */
    struct {
        uint64_t index;
        struct bytes payload;
    } * changes; /* every configuration applied */
    uint32_t change_count;
};

struct tiny {
    struct store *stores[CLUSTER_STORES_MAX];
    uint32_t store_count;
    struct store *store; /* the open one */
};
