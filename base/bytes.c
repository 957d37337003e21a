#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct span span_text(const char *text)
{
    return (struct span){text, strlen(text)};
}

bool span_equal(struct span a, struct span b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

void bytes_init(struct bytes *self, size_t length_max)
{
    *self = (struct bytes){.length_max = length_max};
}

void bytes_done(struct bytes *self)
{
    free(self->data);
    *self = (struct bytes){.length_max = self->length_max};
}

void bytes_clear(struct bytes *self)
{
    self->length = 0;
    self->overflow = false;
}

static void reserve(struct bytes *self, size_t needed)
{
    if (needed <= self->capacity)
        return;
    size_t capacity = self->capacity ? self->capacity : 64;
    while (capacity < needed)
        capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    self->data = memory_resize(self->data, capacity);
    self->capacity = capacity;
}

uint8_t *bytes_extend(struct bytes *self, size_t length)
{
    size_t bound = self->length_max ? self->length_max : SIZE_MAX - 1;
    if (self->overflow || self->length > bound || length > bound - self->length) {
        self->overflow = true;
        return NULL;
    }
    reserve(self, self->length + length + 1); /* one more: bytes_take() ends it with NUL */
    uint8_t *room = self->data + self->length;
    self->length += length;
    return room;
}

void bytes_append(struct bytes *self, const void *data, size_t length)
{
    uint8_t *room = bytes_extend(self, length);
    if (room && length > 0)
        memcpy(room, data, length);
}

void bytes_append_text(struct bytes *self, const char *text)
{
    bytes_append(self, text, strlen(text));
}

void bytes_printf(struct bytes *self, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    CHECK(length >= 0, "format \"%s\"", format);

    char *room = (char *)bytes_extend(self, (size_t)length);
    if (room) /* bytes_extend() keeps a byte for the NUL */
        vsnprintf(room, (size_t)length + 1, format, again);
    va_end(again);
}

struct span bytes_span(const struct bytes *self)
{
    return (struct span){self->data, self->length};
}

uint8_t *bytes_take(struct bytes *self, size_t *length)
{
    reserve(self, self->length + 1);
    uint8_t *data = self->data;
    data[self->length] = '\0';
    if (length)
        *length = self->length;
    bytes_init(self, self->length_max);
    return data;
}

void put_u16(uint8_t out[2], uint16_t value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

void put_u32(uint8_t out[4], uint32_t value)
{
    put_u16(out, (uint16_t)(value >> 16));
    put_u16(out + 2, (uint16_t)value);
}

void put_u64(uint8_t out[8], uint64_t value)
{
    put_u32(out, (uint32_t)(value >> 32));
    put_u32(out + 4, (uint32_t)value);
}

uint16_t get_u16(const uint8_t in[2])
{
    return (uint16_t)(in[0] << 8 | in[1]);
}

uint32_t get_u32(const uint8_t in[4])
{
    return (uint32_t)get_u16(in) << 16 | get_u16(in + 2);
}

uint64_t get_u64(const uint8_t in[8])
{
    return (uint64_t)get_u32(in) << 32 | get_u32(in + 4);
}

void hex_encode(const void *data, size_t length, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = data;
    for (size_t i = 0; i < length; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[2 * length] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hex_decode(const char *text, void *out, size_t length)
{
    uint8_t *bytes = out;
    for (size_t i = 0; i < length; i++) {
        int high = hex_digit(text[2 * i]);
        int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);
        if (low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return text[2 * length] == '\0';
}

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool name_valid(const char *text)
{
    size_t length = 0;
    if (!text || !is_alphanumeric(text[0]))
        return false;
    for (; text[length]; length++) {
        char c = text[length];
        if (length >= 128 || !(is_alphanumeric(c) || c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
}

/* The length of the valid UTF-8 character at `in`, 0 when there is none (overlong, surrogate, past U+10FFFF,
 * cut). */
static size_t utf8_character(const uint8_t *in, size_t left)
{
    uint8_t first = in[0];
    if (first < 0x80)
        return 1;
    size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || left < length)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((in[i] & 0xC0) != 0x80)
            return 0;
    if ((first == 0xE0 && in[1] < 0xA0) || (first == 0xED && in[1] > 0x9F))
        return 0;
    if ((first == 0xF0 && in[1] < 0x90) || (first == 0xF4 && in[1] > 0x8F))
        return 0;
    return length;
}

bool utf8_valid(const void *data, size_t length)
{
    const uint8_t *in = data;
    for (size_t at = 0; at < length;) {
        uint64_t eight;
        if (length - at >= sizeof eight) { /* most texts are ASCII from end to end */
            memcpy(&eight, in + at, sizeof eight);
            if ((eight & 0x8080808080808080ull) == 0) {
                at += sizeof eight;
                continue;
            }
        }
        size_t step = utf8_character(in + at, length - at);
        if (step == 0)
            return false;
        at += step;
    }
    return true;
}

static uint32_t code_point(const uint8_t *in, size_t length)
{
    uint32_t value = length == 1 ? in[0] : in[0] & (0xFFu >> (length + 1));
    for (size_t i = 1; i < length; i++)
        value = value << 6 | (in[i] & 0x3Fu);
    return value;
}

void utf8_mend(char *text)
{
    for (size_t left = strlen(text); left > 0;) {
        size_t step = utf8_character((const uint8_t *)text, left);
        if (step == 0) {
            *text = '?';
            step = 1;
        }
        text += step;
        left -= step;
    }
}

size_t text_unseen(const char *text)
{
    static const struct {
        uint32_t first, last;
    } unseen[] = {{0x01, 0x20},     {0x7F, 0xA0},     {0xAD, 0xAD},     {0x034F, 0x034F},  {0x061C, 0x061C},
                  {0x115F, 0x1160}, {0x1680, 0x1680}, {0x17B4, 0x17B5}, {0x180B, 0x180F},  {0x2000, 0x200F},
                  {0x2028, 0x202F}, {0x205F, 0x206F}, {0x2800, 0x2800}, {0x3000, 0x3000},  {0x3164, 0x3164},
                  {0xFE00, 0xFE0F}, {0xFEFF, 0xFEFF}, {0xFFA0, 0xFFA0}, {0xE0000, 0xE0FFF}};
    const size_t left = strnlen(text, 4);
    const size_t length = left == 0 ? 0 : utf8_character((const uint8_t *)text, left);
    if (length == 0)
        return 0;
    const uint32_t value = code_point((const uint8_t *)text, length);
    for (size_t i = 0; i < sizeof(unseen) / sizeof(unseen[0]); i++)
        if (value >= unseen[i].first && value <= unseen[i].last)
            return length;
    return 0;
}

bool text_is_blank(const char *text)
{
    size_t step;
    while ((step = text_unseen(text)) > 0)
        text += step;
    return *text == '\0';
}

/* Reads digits from *text on and moves it past them; false without a digit or past `max`. */
static bool read_digits(const char **text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    const char *at = *text;
    if (*at < '0' || *at > '9')
        return false;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (digit > max || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *text = at;
    *out = value;
    return true;
}

bool parse_u64(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t value;
    if (!text || !read_digits(&text, max, &value) || *text != '\0')
        return false;
    *out = value;
    return true;
}

bool parse_duration_ms(const char *text, uint64_t *out_ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    uint64_t value;
    if (!text || !read_digits(&text, UINT64_MAX, &value))
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text, units[i].unit) != 0)
            continue;
        if (value > UINT64_MAX / units[i].ms)
            return false;
        *out_ms = value * units[i].ms;
        return true;
    }
    return false;
}
