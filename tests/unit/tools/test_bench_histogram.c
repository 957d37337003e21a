#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tools/load/histogram.h"

static int set_up(void **state)
{
    *state = calloc(1, sizeof(struct histogram));
    return *state == NULL;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

/* Goal: nothing recorded is told as zero, not as a broken invariant.
 * Method: percentiles of the empty histogram. */
static void empty_has_percentiles_of_zero(void **state)
{
    const struct histogram *histogram = *state;
    assert_int_equal(histogram_percentile_us(histogram, 500), 0);
    assert_int_equal(histogram_percentile_us(histogram, 1000), 0);
}

/* Goal: small latencies are told exactly, by the rank that the definition names.
 * Method: 1 .. 100 once each, in falling order. */
static void small_values_are_exact(void **state)
{
    struct histogram *histogram = *state;
    for (uint64_t us = 100; us >= 1; us--)
        histogram_add(histogram, us);
    assert_int_equal(histogram->count, 100);
    assert_int_equal(histogram_percentile_us(histogram, 0), 1);
    assert_int_equal(histogram_percentile_us(histogram, 10), 1);
    assert_int_equal(histogram_percentile_us(histogram, 500), 50);
    assert_int_equal(histogram_percentile_us(histogram, 501), 51);
    assert_int_equal(histogram_percentile_us(histogram, 990), 99);
    assert_int_equal(histogram_percentile_us(histogram, 1000), 100);
    assert_int_equal(histogram->max_us, 100);
}

/* Goal: any latency is told within 1.6 %, never too low, and buckets meet without a gap.
 * Method: a histogram of two values each, the second so large that it doesn't cut the first's bucket: around
 * every power of two, and pseudo-random ones. */
static void large_values_are_within_a_64th(void **state)
{
    struct histogram *histogram = *state;
    uint64_t random = 88172645463325252ull;
    for (unsigned i = 0; i < 4000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        uint64_t us = i < 144 ? (1ull << (i / 4)) + i % 4 - 1 : random >> (28 + i % 30);
        memset(histogram, 0, sizeof *histogram);
        histogram_add(histogram, us);
        histogram_add(histogram, HISTOGRAM_MAX_US);
        uint64_t told = histogram_percentile_us(histogram, 500);
        assert_true(told >= us);
        assert_true(told - us <= us / 64);
        if (us < HISTOGRAM_EXACT_US)
            assert_int_equal(told, us);
    }
}

/* Goal: a percentile is never above the largest latency; what is past the range counts as its end.
 * Method: one value in the middle of its bucket; one of 2^63. */
static void percentiles_stop_at_the_maximum(void **state)
{
    struct histogram *histogram = *state;
    histogram_add(histogram, 1000000);
    assert_int_equal(histogram_percentile_us(histogram, 999), 1000000);
    histogram_add(histogram, 1ull << 63);
    assert_int_equal(histogram->max_us, HISTOGRAM_MAX_US);
    assert_int_equal(histogram_percentile_us(histogram, 1000), HISTOGRAM_MAX_US);
}

/* Goal: a rare long latency shows in p999 and not in p99.
 * Method: 995 of 10 us and 5 of 50,000 us. */
static void rare_stalls_show_in_the_tail(void **state)
{
    struct histogram *histogram = *state;
    for (int i = 0; i < 995; i++)
        histogram_add(histogram, 10);
    for (int i = 0; i < 5; i++)
        histogram_add(histogram, 50000);
    assert_int_equal(histogram_percentile_us(histogram, 990), 10);
    assert_int_equal(histogram_percentile_us(histogram, 995), 10);
    assert_int_equal(histogram_percentile_us(histogram, 999), 50000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(empty_has_percentiles_of_zero, set_up, tear_down),
        cmocka_unit_test_setup_teardown(small_values_are_exact, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_values_are_within_a_64th, set_up, tear_down),
        cmocka_unit_test_setup_teardown(percentiles_stop_at_the_maximum, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rare_stalls_show_in_the_tail, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
