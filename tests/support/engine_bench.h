/* One engine over the log in memory, with crafted messages in and what it sent out. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "consensus/engine_internal.h"

#define BENCH_SELF        1u
#define BENCH_SENT_MAX    64u
#define BENCH_ENTRIES_MAX 256u

/* A message that the engine sent; of an append only the head and the number of entries. */
struct sent {
    uint64_t to;
    uint64_t durable_at; /* the log's durable index when it left */
    uint64_t vote_at;    /* and the vote on disk */
    uint32_t entry_count;
    struct message message;
};

struct bench {
    uint64_t now_ms;
    struct worker *worker;
    struct log *log;
    struct engine *engine;
    struct sent sent[BENCH_SENT_MAX];
    uint32_t sent_count;
    uint32_t rules_off;
};

/** Node 1 whose log begins with voters 1 .. `voters`, in term 1. */
struct bench *bench_new(uint32_t voters, uint32_t rules_off);
void bench_free(struct bench *bench);
/** Closes engine and log, and opens them again: a restart with an empty cache. */
void bench_reopen(struct bench *bench);
struct engine_state bench_state(struct bench *bench);
/** The payload of a configuration of voters `first` .. `last`. */
void bench_encode(uint32_t first, uint32_t last, struct bytes *out);
/** An append from node 2 of `count` commands behind (prev, prev_term), all in `term`; entry `change` (0:
 * none) is a configuration of voters 1 .. change_voters. */
void bench_append(struct bench *bench, uint64_t term, uint64_t prev, uint64_t prev_term, uint32_t count,
                  uint64_t commit, uint64_t change, uint32_t change_voters);
const struct sent *bench_last_sent(struct bench *bench, enum message_kind kind);
uint32_t bench_count_sent(struct bench *bench, enum message_kind kind);
void bench_vote_result(struct bench *bench, uint64_t from, uint64_t term, bool granted, bool pre_vote);
/** By an election in which node 2 votes for it. */
void bench_become_leader(struct bench *bench);
void bench_append_result(struct bench *bench, uint64_t from, uint64_t rejected, uint64_t last_index);
