/* Counts of latencies in buckets that grow with the value: exact below 128 us, within 1.6 % above.
 *
 * Fixed in size, so that recording never allocates and percentiles need no sorting. */
#pragma once

#include <stdint.h>

#define HISTOGRAM_EXACT_US 128ull             /* below it, a bucket a microsecond */
#define HISTOGRAM_SPLIT    64u                /* buckets in each doubling above */
#define HISTOGRAM_MAX_US   ((1ull << 36) - 1) /* 19 hours; what is longer counts as this */
#define HISTOGRAM_BUCKETS  (HISTOGRAM_EXACT_US + 29u * HISTOGRAM_SPLIT)

struct histogram { /* all zero: empty */
    uint64_t count;
    uint64_t max_us; /* exact */
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *self, uint64_t us);

/** The smallest recorded latency that at least `permille` of all don't exceed, rounded up to its bucket's
 * edge.
 *
 * @return 0 while it is empty; never above max_us */
uint64_t histogram_percentile_us(const struct histogram *self, uint32_t permille);
