#include "tools/load/histogram.h"

#include "base/check.h"

static uint64_t bucket_of(uint64_t us)
{
    if (us < HISTOGRAM_EXACT_US)
        return us;
    /* The leading one and the six bits after it; `shift` counts the doublings. */
    unsigned shift = 63u - (unsigned)__builtin_clzll(us) - 6u;
    return HISTOGRAM_EXACT_US + (shift - 1u) * HISTOGRAM_SPLIT + ((us >> shift) - HISTOGRAM_SPLIT);
}

/* The largest value that the bucket counts. */
static uint64_t edge_of(uint64_t bucket)
{
    if (bucket < HISTOGRAM_EXACT_US)
        return bucket;
    uint64_t above = bucket - HISTOGRAM_EXACT_US;
    uint64_t shift = above / HISTOGRAM_SPLIT + 1;
    return ((HISTOGRAM_SPLIT + above % HISTOGRAM_SPLIT + 1) << shift) - 1;
}

void histogram_add(struct histogram *self, uint64_t us)
{
    if (us > HISTOGRAM_MAX_US)
        us = HISTOGRAM_MAX_US;
    uint64_t bucket = bucket_of(us);
    CHECK(bucket < HISTOGRAM_BUCKETS, "bucket %llu", (unsigned long long)bucket);
    self->buckets[bucket]++;
    self->count++;
    if (us > self->max_us)
        self->max_us = us;
}

uint64_t histogram_percentile_us(const struct histogram *self, uint32_t permille)
{
    CHECK(permille <= 1000, "%u permille", permille);
    if (self->count == 0)
        return 0;
    uint64_t rank = (self->count * permille + 999) / 1000;
    uint64_t seen = 0;
    for (uint64_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        seen += self->buckets[bucket];
        if (seen > 0 && seen >= rank)
            return edge_of(bucket) < self->max_us ? edge_of(bucket) : self->max_us;
    }
    check_failed(__FILE__, __LINE__, "seen == count", "%llu of %llu counted", (unsigned long long)seen,
                 (unsigned long long)self->count);
}
