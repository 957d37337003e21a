#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "base/clock.h"

/* Goal: times read and print as RFC 3339 says.
 * Method: pairs that other programs made (date -u), borders included. */
static void known_times_go_both_ways(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ms;
    } known[] = {
        {"1970-01-01T00:00:00.000Z", 0},
        {"2000-02-29T23:59:59.999Z", 951868799999},
        {"2000-03-01T00:00:00.000Z", 951868800000},
        {"2024-02-29T12:00:00.500Z", 1709208000500},
        {"2026-01-02T03:04:05.678Z", 1767323045678},
        {"2100-03-01T00:00:00.000Z", 4107542400000},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        char text[TIME_TEXT_BYTES];
        uint64_t ms = 1;
        time_format(known[i].ms, text);
        assert_string_equal(text, known[i].text);
        assert_int_equal(time_parse(known[i].text, &ms), 0);
        assert_true(ms == known[i].ms);
    }
}

/* Goal: our calendar is the C library's.
 * Method: every 100,003rd minute up to the year 9999 against gmtime_r. */
static void calendar_agrees_with_the_c_library(void **state)
{
    (void)state;
    unsigned count = 0;
    for (int64_t seconds = 0; seconds < 253402300800; seconds += 100003ll * 60 + 7) {
        char expected[64], text[TIME_TEXT_BYTES];
        struct tm parts;
        uint64_t ms;
        time_t when = (time_t)seconds;
        assert_non_null(gmtime_r(&when, &parts));
        assert_true(strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.000Z", &parts) > 0);
        time_format((uint64_t)seconds * 1000, text);
        assert_string_equal(text, expected);
        assert_int_equal(time_parse(text, &ms), 0);
        assert_true(ms == (uint64_t)seconds * 1000);
        count++;
    }
    assert_true(count > 40000);
}

/* Goal: what RFC 3339 allows is taken.
 * Method: offsets, fractions of any length, small letters, a leap second. */
static void offsets_and_fractions_are_taken(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {
        {"2026-01-02T03:04:05Z", 1767323045000},      {"2026-01-02t03:04:05z", 1767323045000},
        {"2026-01-02T05:04:05+02:00", 1767323045000}, {"2026-01-01T21:34:05-05:30", 1767323045000},
        {"2026-01-02T03:04:05.6Z", 1767323045600},    {"2026-01-02T03:04:05.67899999Z", 1767323045678},
        {"1970-01-01T00:00:00-00:01", 60000},         {"2016-12-31T23:59:60Z", 1483228800000},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint64_t ms;
        assert_int_equal(time_parse(good[i].text, &ms), 0);
        assert_true(ms == good[i].ms);
    }
}

/* Goal: nothing else is taken, and the output stays as it was.
 * Method: wrong fields, wrong separators, text behind, times before 1970. */
static void everything_else_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "2026",
        "2026-01-02",
        "2026-01-02T03:04Z",
        "2026-01-02T03:04:05",
        "2026-01-02 03:04:05Z",
        "2026-13-02T03:04:05Z",
        "2026-00-02T03:04:05Z",
        "2026-02-29T03:04:05Z",
        "2100-02-29T00:00:00Z",
        "2026-01-00T03:04:05Z",
        "2026-01-02T24:04:05Z",
        "2026-01-02T03:60:05Z",
        "2026-01-02T03:04:61Z",
        "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05Zx",
        "2026-01-02T03:04:05+0200",
        "2026-01-02T03:04:05+24:00",
        "2026-1-2T03:04:05Z",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:60Z",
        "9999-12-31T23:59:59-00:01",
        "1970-01-01T00:00:00+00:01",
        "+026-01-02T03:04:05Z",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t ms = 7;
        assert_int_equal(time_parse(bad[i], &ms), -1);
        assert_true(ms == 7);
    }
    assert_int_equal(time_parse(NULL, NULL), -1);
}

/* Goal: a time that RFC 3339 can't write doesn't overrun.
 * Method: the largest number. */
static void far_future_is_cut(void **state)
{
    (void)state;
    char text[TIME_TEXT_BYTES];
    time_format(UINT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

/* Goal: the machine's clocks are what they say.
 * Method: wall time against time(); monotonic time never falls. */
static void machine_clocks_run(void **state)
{
    (void)state;
    struct clock clock = clock_system();
    uint64_t before = (uint64_t)time(NULL);
    assert_true(clock.wall_ms(clock.context) / 1000 >= before);
    uint64_t ms = clock.monotonic_ms(clock.context), us = clock_monotonic_us();
    assert_true(clock.monotonic_ms(clock.context) >= ms);
    assert_true(clock_monotonic_us() >= us);
    assert_true(us / 1000 >= ms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_times_go_both_ways),
        cmocka_unit_test(calendar_agrees_with_the_c_library),
        cmocka_unit_test(offsets_and_fractions_are_taken),
        cmocka_unit_test(everything_else_is_refused),
        cmocka_unit_test(far_future_is_cut),
        cmocka_unit_test(machine_clocks_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
