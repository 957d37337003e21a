/* What the checks share. */
#pragma once

#include "chaos/check/check.h"
#include "chaos/check/model.h"

#define DESCRIPTION_BYTES 256u

struct judge {
    const struct history *history;
    uint64_t configurations_max;
    uint64_t deadline_ms; /* of the monotonic clock; 0: none */
    uint32_t *by_start;   /* operations in the order of their starts */
};

/** Linearizability of all objects of a sort. */
void judge_objects(const struct judge *judge, enum history_object sort, struct check_result *result);
void judge_prefix(const struct judge *judge, struct check_result *result);
void judge_session(const struct judge *judge, struct check_result *result);
void judge_audit(const struct judge *judge, struct check_result *result);
void judge_bank(const struct judge *judge, struct check_result *result);
void judge_events(const struct judge *judge, struct check_result *result);
void judge_leaders(const struct judge *judge, struct check_result *result);
void judge_final(const struct judge *judge, struct check_result *result);
void judge_recovery(const struct judge *judge, struct check_result *result);

/** Counts a violation; the first one's message is kept. @return true: it is the first */
bool judge_violated(struct check_result *result, const char *format, ...) PRINTF(2, 3);
/** One more operation of the counterexample. */
void judge_involve(struct check_result *result, uint32_t op);
void judge_say(struct check_result *result, const char *format, ...)
    PRINTF(2, 3); /* appends to the message */

/** "client 3 sets 17 if version 4 -> version 5 (10.204 to 10.310 ms)". */
void op_describe(const struct history_op *op, char out[DESCRIPTION_BYTES]);

/** The smallest set of definite operations that still can't be ordered, the others being optional.
 * @param ops  which have no order; sorted by invoke_ns; changed
 * @return how many positions were written to `core` */
size_t shrink(struct model_op *ops, size_t op_count, struct model_state start, uint64_t configurations_max,
              uint32_t *core, size_t core_max);
