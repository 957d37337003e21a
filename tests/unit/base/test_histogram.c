/* Which range a value is counted in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/histogram.h"

/* Goal: a bound is the last value of its range, and no value is lost.
 * Method: each bound of both sets, the value after it, and the largest there is. */
static void bounds_are_inclusive(void **state)
{
    const uint64_t *const sets[] = {histogram_times_us, histogram_sizes};
    (void)state;
    for (uint32_t s = 0; s < 2; s++) {
        for (uint32_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
            assert_int_equal(histogram_range(sets[s], sets[s][i]), i);
            assert_int_equal(histogram_range(sets[s], sets[s][i] + 1), i + 1);
            assert_true(i == 0 || sets[s][i] > sets[s][i - 1]);
        }
        assert_int_equal(histogram_range(sets[s], 0), 0);
        assert_int_equal(histogram_range(sets[s], UINT64_MAX), HISTOGRAM_BOUNDS);
    }
}

/* Goal: the sum and the ranges hold every value.
 * Method: a value in the first range, two in the second, one beyond all. */
static void values_add_up(void **state)
{
    struct histogram histogram = {0};
    (void)state;
    histogram_add(&histogram, histogram_sizes, 1);
    histogram_add(&histogram, histogram_sizes, 2);
    histogram_add(&histogram, histogram_sizes, 2);
    histogram_add(&histogram, histogram_sizes, 5000);
    assert_int_equal(histogram.counts[0], 1);
    assert_int_equal(histogram.counts[1], 2);
    assert_int_equal(histogram.counts[HISTOGRAM_BOUNDS], 1);
    assert_int_equal(histogram.sum, 5005);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_are_inclusive),
        cmocka_unit_test(values_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
