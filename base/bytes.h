/* Byte strings: a borrowed piece (struct span) and an owned, growing buffer (struct bytes).
 *
 * A struct bytes has a bound from its init; growing past it fails once and for all (`overflow`), so that a
 * writer checks one flag at its end and not every call. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span {
    const void *data; /* borrowed */
    size_t bytes;
};

struct bytes {
    uint8_t *data; /* owned; NULL while empty */
    size_t length;
    size_t capacity;
    size_t length_max; /* 0: no bound of its own */
    bool overflow;     /* something did not fit; what stands here is incomplete */
};

static inline struct span span_of(const void *data, size_t length)
{
    return (struct span){data, length};
}
struct span span_text(const char *text);
bool span_equal(struct span a, struct span b);

void bytes_init(struct bytes *self, size_t length_max);
void bytes_done(struct bytes *self);
void bytes_clear(struct bytes *self); /* keeps the memory */
void bytes_append(struct bytes *self, const void *data, size_t length);
void bytes_append_text(struct bytes *self, const char *text);
void bytes_printf(struct bytes *self, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Makes room for `length` more bytes and returns where to write them; NULL (and overflow) past the bound. */
uint8_t *bytes_extend(struct bytes *self, size_t length);
struct span bytes_span(const struct bytes *self);
/** Hands the memory over: NUL-terminated beyond its length; the caller frees it. The buffer is empty again.
 */
uint8_t *bytes_take(struct bytes *self, size_t *length);

/* Fixed-width big-endian integers: they sort as they count, so keys use them. */
void put_u16(uint8_t out[2], uint16_t value);
void put_u32(uint8_t out[4], uint32_t value);
void put_u64(uint8_t out[8], uint64_t value);
uint16_t get_u16(const uint8_t in[2]);
uint32_t get_u32(const uint8_t in[4]);
uint64_t get_u64(const uint8_t in[8]);

/** Lower-case hex; `out` takes 2 * length + 1. */
void hex_encode(const void *data, size_t length, char *out);
/** @return false unless `text` is exactly 2 * length hex digits. */
bool hex_decode(const char *text, void *out, size_t length);

/** True for [A-Za-z0-9][A-Za-z0-9._-]{0,127}, the form of ids, keys and names. */
bool name_valid(const char *text);
bool utf8_valid(const void *data, size_t length);
/** Puts '?' for every byte that belongs to no whole character. */
void utf8_mend(char *text);
/** Bytes of the character that `text` begins with when nobody would see it (a blank of any script, a control
 * character, a zero-width one), else 0. `text` is UTF-8. */
size_t text_unseen(const char *text);
/** Nothing in it can be seen. */
bool text_is_blank(const char *text);
/** Decimal, whole string, no sign, no blanks; false past `max`. */
bool parse_u64(const char *text, uint64_t max, uint64_t *out);
/** "1500ms", "30s", "5m", "1h", "90d"; a bare number is seconds. */
bool parse_duration_ms(const char *text, uint64_t *out_ms);
