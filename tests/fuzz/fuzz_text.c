/* The small readers that everything else is made of: numbers, durations, times, hex, names, escapes. What is
 * taken reads back as the same, what isn't taken changes nothing. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "fuzz/fuzz.h"
#include "node/http/router.h"
#include "node/http/stream.h"

#define TIME_END_MS 253402300799999ull /* 9999-12-31T23:59:59.999Z */

static void check_numbers(const char *text)
{
    char again[32];
    uint64_t number = 0, back = 0;
    if (parse_u64(text, UINT64_MAX, &number)) {
        snprintf(again, sizeof again, "%" PRIu64, number);
        CHECK(parse_u64(again, UINT64_MAX, &back) && back == number, "%s reads as %" PRIu64, text, number);
        CHECK(number == UINT64_MAX || parse_u64(again, number, &back), "a bound holds its own number");
        CHECK(number == 0 || !parse_u64(again, number - 1, &back), "%s passes a bound below it", text);
    }
    if (parse_duration_ms(text, &number)) {
        snprintf(again, sizeof again, "%" PRIu64 "ms", number);
        CHECK(parse_duration_ms(again, &back) && back == number, "%s reads as %s", text, again);
    }
}

static void check_time(const char *text)
{
    char shown[TIME_TEXT_BYTES];
    uint64_t time_ms = 0, back = 0;
    if (time_parse(text, &time_ms) != 0)
        return;
    CHECK(time_ms <= TIME_END_MS, "%s is past the year 9999", text);
    time_format(time_ms, shown);
    CHECK(time_parse(shown, &back) == 0 && back == time_ms, "%s shows as %s", text, shown);
}

static void check_hex(const char *text, size_t length)
{
    uint8_t raw[256];
    char shown[2 * sizeof raw + 1];
    if (length / 2 > sizeof raw || !hex_decode(text, raw, length / 2))
        return;
    hex_encode(raw, length / 2, shown);
    for (size_t i = 0; i < length; i++)
        CHECK((text[i] | 0x20) == (shown[i] | 0x20), "%s shows as %s", text, shown);
}

static void check_names(const char *text, size_t length)
{
    if (name_valid(text))
        CHECK(length > 0 && length <= 128 && utf8_valid(text, length) && !text_is_blank(text), "%s", text);
    if (!utf8_valid(text, length))
        return;
    for (size_t at = 0; at < length;) {
        const size_t unseen = text_unseen(text + at);
        CHECK(unseen <= length - at, "a character past the end");
        at += unseen > 0 ? unseen : 1;
        while (at < length && (text[at] & 0xc0) == 0x80) /* the next character begins */
            at++;
    }
    (void)text_is_blank(text);
}

/* Escaped whole, any text comes back as it was. */
static void check_escapes(const char *text, size_t length, struct arena *arena)
{
    const char *plain = text_unescape(text, length, arena);
    if (!plain)
        return;
    CHECK(strlen(plain) <= length && utf8_valid(plain, strlen(plain)), "%s", plain);
    char *escaped = arena_new(arena, 3 * strlen(plain) + 1);
    for (size_t i = 0; plain[i] != '\0'; i++)
        snprintf(escaped + 3 * i, 4, "%%%02x", (unsigned char)plain[i]);
    const char *back = text_unescape(escaped, strlen(escaped), arena);
    CHECK(back && strcmp(back, plain) == 0, "%s comes back as %s", plain, back ? back : "nothing");
}

static void check_categories(const char *text)
{
    struct error error = {0};
    uint32_t mask = 0;
    const enum error_code code = stream_categories(text, &mask, &error);
    if (code != ERROR_OK)
        check_error(&error, code);
    else
        CHECK(mask != 0 && mask < 1u << AUDIT_CATEGORY_COUNT, "%x", mask);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct arena arena;
    if (length > 4096 || memchr(data, '\0', length) != NULL)
        return 0;
    arena_init(&arena, 1024u * 1024u);
    const char *text = arena_text(&arena, (const char *)data, length);
    check_numbers(text);
    check_time(text);
    check_hex(text, length);
    check_names(text, length);
    check_escapes(text, length, &arena);
    if (utf8_valid(text, length)) /* as a query gives it */
        check_categories(text);
    arena_done(&arena);
    return 0;
}
