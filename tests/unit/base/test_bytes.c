#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

/* Goal: what is appended stands there in order, and can be handed over as a C string.
 * Method: every way of appending, then take. */
static void appends_in_order_and_hands_over(void **state)
{
    (void)state;
    struct bytes bytes;
    size_t length;
    bytes_init(&bytes, 0);
    bytes_append(&bytes, "ab", 2);
    bytes_append_text(&bytes, "cd");
    bytes_printf(&bytes, "-%d-", 42);
    memcpy(bytes_extend(&bytes, 2), "ef", 2);
    bytes_append(&bytes, NULL, 0);
    assert_true(span_equal(bytes_span(&bytes), span_text("abcd-42-ef")));
    char *text = (char *)bytes_take(&bytes, &length);
    assert_string_equal(text, "abcd-42-ef");
    assert_int_equal(length, 10);
    assert_int_equal(bytes.length, 0);
    free(text);
    text = (char *)bytes_take(&bytes, NULL); /* empty: still a string */
    assert_string_equal(text, "");
    free(text);
    bytes_done(&bytes);
}

/* Goal: past the bound nothing is written and the flag stays, so that one check at the end is enough.
 * Method: bound 4; an exact fit, then one byte, then nothing at all, then clear. */
static void bound_latches_overflow(void **state)
{
    (void)state;
    struct bytes bytes;
    bytes_init(&bytes, 4);
    bytes_append(&bytes, "abcd", 4);
    assert_false(bytes.overflow);
    assert_null(bytes_extend(&bytes, 1));
    assert_true(bytes.overflow);
    bytes_append(&bytes, "", 0);
    bytes_printf(&bytes, "%s", "x");
    assert_true(bytes.overflow);
    assert_int_equal(bytes.length, 4);
    bytes_clear(&bytes);
    assert_false(bytes.overflow);
    assert_null(bytes_extend(&bytes, SIZE_MAX));
    bytes_done(&bytes);
    assert_int_equal(bytes.length_max, 4);
}

/* Goal: integers keep their value, and their bytes sort as they count.
 * Method: neighbours around every byte's border. */
static void integers_round_trip_and_sort(void **state)
{
    (void)state;
    uint8_t low[8], high[8];
    for (unsigned shift = 0; shift < 64; shift += 4) {
        uint64_t value = 1ull << shift;
        put_u64(low, value - 1);
        put_u64(high, value);
        assert_true(memcmp(low, high, 8) < 0);
        assert_true(get_u64(low) == value - 1 && get_u64(high) == value);
        put_u32(low, (uint32_t)value);
        assert_int_equal(get_u32(low), (uint32_t)value);
        put_u16(low, (uint16_t)value);
        assert_int_equal(get_u16(low), (uint16_t)value);
    }
    put_u64(low, UINT64_MAX);
    assert_true(get_u64(low) == UINT64_MAX);
}

/* Goal: hex goes both ways, and only exact text is taken.
 * Method: both cases of digits; too short, too long, a foreign character. */
static void hex_is_exact(void **state)
{
    (void)state;
    char text[9];
    uint8_t out[4];
    hex_encode("\x00\x9f\xfe\x10", 4, text);
    assert_string_equal(text, "009ffe10");
    assert_true(hex_decode("009FfE10", out, 4));
    assert_memory_equal(out, "\x00\x9f\xfe\x10", 4);
    assert_false(hex_decode("009ffe1", out, 4));
    assert_false(hex_decode("009ffe100", out, 4));
    assert_false(hex_decode("009ffg10", out, 4));
    assert_false(hex_decode("", out, 4));
}

/* Goal: names are what keys, paths and URLs can carry.
 * Method: both borders of the length, first characters, foreign characters. */
static void names_have_one_form(void **state)
{
    (void)state;
    char text[131];
    memset(text, 'a', sizeof(text));
    text[128] = '\0';
    assert_true(name_valid(text));
    text[128] = 'a';
    text[129] = '\0';
    assert_false(name_valid(text));
    assert_true(name_valid("p-7.x_Y"));
    assert_true(name_valid("0"));
    assert_false(name_valid(""));
    assert_false(name_valid(NULL));
    assert_false(name_valid("-p"));
    assert_false(name_valid(".."));
    assert_false(name_valid("a/b"));
    assert_false(name_valid("a b"));
    assert_false(name_valid("a\xC3\xA4"));
}

/* Goal: only well-formed UTF-8 passes.
 * Method: the first and last character of each length; overlong, surrogate, past the end, cut, stray. */
static void utf8_is_well_formed(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "a",
                                       "\x7F",
                                       "\xC2\x80",
                                       "\xDF\xBF",
                                       "\xE0\xA0\x80",
                                       "\xED\x9F\xBF",
                                       "\xEF\xBF\xBF",
                                       "\xF0\x90\x80\x80",
                                       "\xF4\x8F\xBF\xBF"};
    static const char *const bad[] = {
        "\x80",         "\xC0\x80",         "\xC1\xBF",         "\xE0\x9F\xBF",
        "\xED\xA0\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",
        "\xC2",         "\xE2\x82",         "\xF0\x9F\x90",     "\xC2g",
        "a\xFF"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(utf8_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(utf8_valid(bad[i], strlen(bad[i])));
}

/* Goal: numbers are read whole or not at all.
 * Method: borders of the range, and everything strtoull would let through. */
static void numbers_are_strict(void **state)
{
    (void)state;
    uint64_t out = 7;
    assert_true(parse_u64("18446744073709551615", UINT64_MAX, &out));
    assert_true(out == UINT64_MAX);
    assert_false(parse_u64("18446744073709551616", UINT64_MAX, &out));
    assert_false(parse_u64("99999999999999999999999", UINT64_MAX, &out));
    assert_true(parse_u64("5", 5, &out));
    assert_false(parse_u64("6", 5, &out));
    assert_false(parse_u64("1", 0, &out));
    assert_true(parse_u64("007", 10, &out));
    assert_int_equal(out, 7);
    static const char *const bad[] = {"", " 1", "1 ", "+1", "-1", "0x1", "1.0", "1e3"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(parse_u64(bad[i], 100, &out));
    assert_false(parse_u64(NULL, 100, &out));
    assert_int_equal(out, 7);
}

/* Goal: durations say their unit, and a bare number is seconds.
 * Method: each unit; overflow by the unit; wrong units. */
static void durations_have_units(void **state)
{
    (void)state;
    uint64_t out = 0;
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"0", 0},       {"7", 7000},     {"1500ms", 1500},   {"30s", 30000},
                {"5m", 300000}, {"1h", 3600000}, {"90d", 7776000000}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(parse_duration_ms(good[i].text, &out));
        assert_true(out == good[i].ms);
    }
    static const char *const bad[] = {
        "", "s", "1.5s", "1 s", "1w", "-1s", "1msx", "18446744073709551615s", "18446744073709551616ms"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(parse_duration_ms(bad[i], &out));
    assert_false(parse_duration_ms(NULL, &out));
}

/* Goal: what nobody can see is told from what somebody can, whatever the script.
 * Method: blanks, controls and zero-width characters alone and around letters; letters of several scripts. */
static void unseen_characters_are_blank(void **state)
{
    (void)state;
    static const char *const blank[] = {"",         " ",          "\t\r\n",       "\x01",
                                        "\x7f",     "\xc2\xa0",   "\xe2\x80\x8b", "\xe3\x80\x80",
                                        "\xc2\xad", " \xc2\xa0 ", "\xef\xbb\xbf", "\xe2\x81\xa0",
                                        "\xc2\x85"};
    static const char *const seen[] = {
        "a", " a", "a ", "-", "\xc3\xa9", "\xe6\x97\xa5", "\xf0\x9f\x99\x82", "\xc2\xa0x"};
    for (size_t i = 0; i < sizeof(blank) / sizeof(blank[0]); i++)
        assert_true(text_is_blank(blank[i]));
    for (size_t i = 0; i < sizeof(seen) / sizeof(seen[0]); i++)
        assert_false(text_is_blank(seen[i]));
    assert_int_equal(text_unseen("\xc2\xa0x"), 2);
    assert_int_equal(text_unseen("x "), 0);
    assert_int_equal(text_unseen("\xc2"), 0); /* cut: nothing is said of it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_in_order_and_hands_over),
        cmocka_unit_test(bound_latches_overflow),
        cmocka_unit_test(integers_round_trip_and_sort),
        cmocka_unit_test(hex_is_exact),
        cmocka_unit_test(names_have_one_form),
        cmocka_unit_test(utf8_is_well_formed),
        cmocka_unit_test(unseen_characters_are_blank),
        cmocka_unit_test(numbers_are_strict),
        cmocka_unit_test(durations_have_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
