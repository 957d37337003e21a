/* Commands that somebody waits for: those not submitted yet, and those whose fate is open.
 *
 * Invariants, checked by proposals_check():
 *   (1) count is waiting + submitted + stray, at most CONSENSUS_PROPOSALS_MAX; bytes at most
 * CONSENSUS_PROPOSAL_BYTES_MAX; (2) submitted proposals stand in the order of their indexes, all in one term:
 * that of this node's leadership; (3) a stray one was submitted in a leadership that is over; it has a
 * deadline; (4) who waits is matched by (index, term), never by the index alone (R7); (5) each `done` runs
 * exactly once. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/entry.h"
#include "base/error.h"
#include "consensus/consensus.h"

/** A submitted proposal that is neither applied nor lost after so long is ERROR_UNKNOWN. */
#define PROPOSAL_COMMIT_MS_MAX 10000u

struct proposal;

struct proposal_queue {
    struct proposal *first, *last;
    uint32_t count;
};

struct proposals {
    struct proposal_queue waiting, submitted, stray;
    size_t bytes;               /* of the commands in `waiting` */
    uint64_t total;             /* accepted since the start */
    uint64_t stray_deadline_ms; /* the earliest of the stray ones, or earlier; CONSENSUS_NEVER without any */
    bool match_terms;           /* R7 */
};

void proposals_init(struct proposals *self, bool match_terms);
uint32_t proposals_count(const struct proposals *self);
enum error_code proposals_push(struct proposals *self, const void *command, size_t command_bytes,
                               consensus_done_fn *done, void *context, struct error *error) MUST_USE;
/** The next group: as many of the waiting, oldest first, as fit. The spans are borrowed until
 * proposals_submitted(). */
uint32_t proposals_group(const struct proposals *self, struct span *commands, size_t *bytes);
/** The first `count` of the waiting now stand in the log from (index, term) on. */
void proposals_submitted(struct proposals *self, uint32_t count, uint64_t index, uint64_t term,
                         uint64_t now_ms);
/** These entries were applied: answers who waits for them. */
void proposals_applied(struct proposals *self, const struct entry *entries, const struct result *results,
                       uint32_t count);
/** Everything up to `index` came by state transfer: what waited for it has an unknown outcome. */
void proposals_skipped(struct proposals *self, uint64_t index);
/** Answers the waiting ones with this. */
void proposals_refuse(struct proposals *self, const struct error *error);
/** Leadership is over: the waiting are ERROR_NOT_LEADER now, the submitted become stray until `deadline_ms`.
 */
void proposals_deposed(struct proposals *self, uint64_t deadline_ms, const struct error *error);
/** Answers ERROR_UNKNOWN to those whose time is over. */
void proposals_expire(struct proposals *self, uint64_t now_ms);
uint64_t proposals_deadline_ms(const struct proposals *self);
/** Answers all: `waiting_code` to the waiting, ERROR_UNKNOWN to the rest. */
void proposals_fail(struct proposals *self, enum error_code waiting_code, const char *reason);
void proposals_check(const struct proposals *self);
