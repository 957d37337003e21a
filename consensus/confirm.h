/* Reads that wait: for a round of leadership confirmation, which they share, and for an index to be applied.
 *
 * A round notes the leader's commit index, asks all voters whether they are still in the leader's term, and
 * is confirmed by a majority, the leader included. One round is in flight; who comes meanwhile waits for the
 * next one: an answer to a question asked before the read began proves nothing about it.
 *
 * Invariants, checked by confirm_check():
 *   (1) count is waiting + asked + pending, at most CONSENSUS_READERS_MAX;
 *   (2) pending readers stand in the order of their indexes;
 *   (3) readers are asked for only while a round is in flight;
 *   (4) each `done` runs exactly once. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "consensus/configuration.h"

struct reader;
typedef void reader_done_fn(void *context, uint64_t index, const struct error *error);

struct reader_list {
    struct reader *first, *last;
    uint32_t count;
};

struct confirm {
    struct reader_list waiting; /* for the next round */
    struct reader_list asked;   /* in the round in flight */
    struct reader_list pending; /* for an index to be applied */
    uint64_t round;             /* number of the last round */
    bool in_flight;
    uint64_t term, index; /* of the round in flight */
    uint64_t sent_ms;
    uint64_t answered[NODES_MAX]; /* who answered it */
    uint32_t answered_count;
    uint64_t deadline_ms; /* the earliest of all readers, or earlier */
    bool join_round;      /* without the rule: readers join the round in flight */
};

void confirm_init(struct confirm *self, bool join_round);
uint32_t confirm_count(const struct confirm *self);
/** Waits for a round; at the deadline: ERROR_UNAVAILABLE. */
enum error_code confirm_read(struct confirm *self, uint64_t deadline_ms, reader_done_fn *done, void *context,
                             struct error *error) MUST_USE;
/** Waits for an index; at the deadline: ERROR_TIMEOUT. */
enum error_code confirm_wait(struct confirm *self, uint64_t index, uint64_t deadline_ms, reader_done_fn *done,
                             void *context, struct error *error) MUST_USE;
/** Starts a round for all that wait, when none is in flight and somebody waits. @return true: ask the voters
 */
bool confirm_begin(struct confirm *self, uint64_t term, uint64_t commit_index, uint64_t now_ms);
/** A voter of this term answered. Its readers become pending when a majority has, `node_id` (ourselves)
 * included. */
void confirm_answer(struct confirm *self, uint64_t from, uint64_t round, uint64_t term,
                    const struct configuration *configuration, uint64_t node_id);
/** Is the round confirmed without anybody else? */
void confirm_alone(struct confirm *self, const struct configuration *configuration, uint64_t node_id);
void confirm_applied(struct confirm *self, uint64_t applied_index);
/** Leadership is over: fails who waits for a round. */
void confirm_deposed(struct confirm *self, const struct error *error);
void confirm_expire(struct confirm *self, uint64_t now_ms);
void confirm_fail(struct confirm *self, const struct error *error); /* all of them */
void confirm_check(const struct confirm *self);
