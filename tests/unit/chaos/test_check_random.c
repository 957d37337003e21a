/* Goal: the checkers accept what a right cluster could have given, and find one violation in much that is
 * right; in time that 100,000 operations need.
 * Method: histories generated from plain variables, with at most one plant; over many seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "chaos/check/check.h"
#include "support/history_random.h"

#define SEEDS 40u
#ifdef __SANITIZE_ADDRESS__
#define LARGE_OPS 20000u /* tenfold the time */
#else
#define LARGE_OPS 100000u
#endif
#define LARGE_SEEDS 2u

#define BIT(check) (1u << (check))

/* Which checks must find it: at least one of these. */
static const struct {
    const char *name;
    uint32_t checks;
} plants[PLANT_COUNT] = {
    [PLANT_STALE_READ] = {"stale read", BIT(CHECK_FLAGS)},
    [PLANT_LOST_UPDATE] = {"lost update", BIT(CHECK_FLAGS)},
    [PLANT_TWICE] = {"taken effect twice", BIT(CHECK_AUDIT)},
    [PLANT_REORDERED] = {"reordered", BIT(CHECK_FLAGS)},
    [PLANT_LOST_RECORD] = {"acknowledged, not recorded", BIT(CHECK_AUDIT)},
    [PLANT_PHANTOM] = {"refused, taken effect", BIT(CHECK_AUDIT)},
    [PLANT_TORN] = {"torn transfer", BIT(CHECK_BANK)},
    [PLANT_PLAN] = {"plan's change lost", BIT(CHECK_PLANS)},
    [PLANT_SWITCH] = {"switch doesn't hold", BIT(CHECK_SWITCHES)},
    [PLANT_BACKWARDS] = {"stale read of another index", BIT(CHECK_PREFIX)},
    [PLANT_OLD_INDEX] = {"older than asked for", BIT(CHECK_SESSION)},
    [PLANT_EVENT_MISSED] = {"event missed", BIT(CHECK_EVENTS)},
    [PLANT_EVENT_DOUBLED] = {"event doubled", BIT(CHECK_EVENTS)},
    [PLANT_EVENT_SWAPPED] = {"events swapped", BIT(CHECK_EVENTS)},
    [PLANT_TWO_LEADERS] = {"two leaders in a term", BIT(CHECK_LEADERS)},
    [PLANT_DIGEST] = {"another digest", BIT(CHECK_FINAL)},
    [PLANT_STATE] = {"another state", BIT(CHECK_FINAL)},
};

static struct random_options options_of(uint64_t seed, enum plant plant)
{
    return (struct random_options){.seed = seed,
                                   .ops = 400 + (uint32_t)(seed % 7) * 100,
                                   .clients = 2 + (uint32_t)(seed % 9),
                                   .flags = 1 + (uint32_t)(seed % 5),
                                   .accounts = 2 + (uint32_t)(seed % 3),
                                   .unknown_ppm = seed % 4 == 0 ? 0 : 40000,
                                   .plant = plant};
}

static void judge(const struct random_options *options, struct check_report *report, bool *planted)
{
    struct history *history = history_random(options, planted);
    check_history(history, &(struct check_options){0}, report);
    history_free(history);
}

static void print_failed(const struct random_options *options, const struct check_report *report)
{
    for (uint32_t i = 0; i < CHECK_KIND_COUNT; i++)
        if (report->results[i].verdict > CHECK_HOLDS)
            print_message("seed %" PRIu64 ", plant %d: %s %s: %s\n", options->seed, (int)options->plant,
                          check_name(i), check_verdict_name(report->results[i].verdict),
                          report->results[i].message);
}

static void histories_of_a_right_cluster_are_accepted(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct random_options options = options_of(seed, PLANT_NOTHING);
        struct check_report report;
        bool planted;
        options.bare = seed % 3 == 2;
        if (options.bare)
            options.unknown_ppm = 5000; /* without versions each unknown set doubles what is to be searched */
        judge(&options, &report, &planted);
        print_failed(&options, &report);
        assert_int_equal(report.verdict, CHECK_HOLDS);
        for (uint32_t i = 0; i < CHECK_RECOVERY; i++) /* each had something to look at */
            assert_true(report.results[i].verdict == CHECK_HOLDS || options.bare);
    }
}

static void find_plant(enum plant plant, bool bare)
{
    uint32_t planted_count = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct random_options options = options_of(seed, plant);
        struct check_report report;
        bool planted, found = false;
        options.bare = bare;
        if (bare)
            options.unknown_ppm = 5000;
        if (plant == PLANT_PLAN || plant == PLANT_SWITCH || plant == PLANT_BACKWARDS)
            options.unknown_ppm = 0; /* one of unknown outcome could be why */
        judge(&options, &report, &planted);
        planted_count += planted;
        for (uint32_t i = 0; i < CHECK_KIND_COUNT; i++)
            found = found ||
                    (report.results[i].verdict == CHECK_VIOLATED && (plants[plant].checks & BIT(i)) != 0);
        if (found != planted)
            print_failed(&options, &report);
        if (planted && !found)
            fail_msg("%s: not found with seed %" PRIu64, plants[plant].name, seed);
        assert_true(planted || report.verdict == CHECK_HOLDS);
    }
    assert_true(planted_count >= SEEDS / 2);
}

static void each_planted_violation_is_found(void **state)
{
    (void)state;
    for (int plant = PLANT_NOTHING + 1; plant < PLANT_COUNT; plant++)
        find_plant((enum plant)plant, false);
}

/* Real time and values alone. */
static void planted_violations_are_found_without_versions_and_indexes(void **state)
{
    (void)state;
    static const enum plant bare[] = {PLANT_STALE_READ, PLANT_REORDERED, PLANT_TORN, PLANT_PLAN,
                                      PLANT_SWITCH};
    for (size_t i = 0; i < sizeof bare / sizeof bare[0]; i++)
        find_plant(bare[i], true);
}

static void many_operations_are_judged(void **state)
{
    (void)state;
    static const enum plant large[] = {PLANT_NOTHING, PLANT_STALE_READ, PLANT_LOST_UPDATE};
    static const uint32_t flags[] = {1, 20};
    for (uint64_t i = 0; i < 3 * LARGE_SEEDS; i++) {
        const struct random_options options = {.seed = 7 + i,
                                               .ops = LARGE_OPS,
                                               .clients = 32,
                                               .flags = flags[i % 2],
                                               .accounts = 4,
                                               .unknown_ppm = 20000,
                                               .plant = large[i / 2]};
        struct check_report report;
        bool planted;
        const uint64_t start_us = clock_monotonic_us();
        judge(&options, &report, &planted);
        print_message("%u operations, %u flags, plant \"%s\": %s after %" PRIu64 " ms\n", LARGE_OPS,
                      options.flags, options.plant == PLANT_NOTHING ? "none" : plants[options.plant].name,
                      check_verdict_name(report.verdict), (clock_monotonic_us() - start_us) / 1000);
        assert_int_equal(planted, options.plant != PLANT_NOTHING);
        if (!planted)
            print_failed(&options, &report);
        assert_int_equal(report.verdict, planted ? CHECK_VIOLATED : CHECK_HOLDS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histories_of_a_right_cluster_are_accepted),
        cmocka_unit_test(each_planted_violation_is_found),
        cmocka_unit_test(planted_violations_are_found_without_versions_and_indexes),
        cmocka_unit_test(many_operations_are_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
