/* How often a value fell into which of a few fixed ranges. For one thread; who reads elsewhere gets a copy.
 */
#pragma once

#include <stdint.h>

/** Ranges that have an upper bound; one more takes what is beyond the last. */
#define HISTOGRAM_BOUNDS 16u

/** Upper bounds, inclusive: 50 us to 10 s, and 1 to 1,024. */
extern const uint64_t histogram_times_us[HISTOGRAM_BOUNDS];
extern const uint64_t histogram_sizes[HISTOGRAM_BOUNDS];

struct histogram {
    uint64_t counts[HISTOGRAM_BOUNDS + 1]; /* by range, not cumulated */
    uint64_t sum;
};

/** Which range a value is in. @param bounds  one of the two above */
uint32_t histogram_range(const uint64_t *bounds, uint64_t value);
void histogram_add(struct histogram *self, const uint64_t *bounds, uint64_t value);
