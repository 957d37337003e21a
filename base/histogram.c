#include "base/histogram.h"

const uint64_t histogram_times_us[HISTOGRAM_BOUNDS] = {50,     100,     250,     500,     1000,   2500,
                                                       5000,   10000,   25000,   50000,   100000, 250000,
                                                       500000, 1000000, 2500000, 10000000};
const uint64_t histogram_sizes[HISTOGRAM_BOUNDS] = {1,  2,  3,  4,   6,   8,   12,  16,
                                                    24, 32, 64, 128, 256, 512, 768, 1024};

uint32_t histogram_range(const uint64_t *bounds, uint64_t value)
{
    uint32_t low = 0, high = HISTOGRAM_BOUNDS;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (value <= bounds[middle])
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

void histogram_add(struct histogram *self, const uint64_t *bounds, uint64_t value)
{
    self->counts[histogram_range(bounds, value)]++;
    self->sum += value;
}
