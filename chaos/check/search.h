/* Is there an order of one object's operations that its model allows and that respects real time? Wing and
 * Gong's search with Lowe's memoisation. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "chaos/check/model.h"

enum search_result { SEARCH_FOUND, SEARCH_NONE, SEARCH_BOUND };

/** @param ops  sorted by invoke_ns; optional ones may be left out, or take effect at any time after it
 * @param configurations_max  visited ones that are remembered; one more and the answer is SEARCH_BOUND
 * @param deadline_ms  of the monotonic clock; 0: none */
enum search_result search_order(const struct model_op *ops, size_t op_count, struct model_state start,
                                uint64_t configurations_max, uint64_t deadline_ms);
