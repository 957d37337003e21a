/* The msgpack reader, and values of any shape as msgpack. */
#include <math.h>
#include <msgpack.h>
#include <string.h>

#include "base/clock.h"
#include "base/schema_internal.h"

/* --- reading
 * ------------------------------------------------------------------------------------------------------ */

struct reader reader_of(struct span packed)
{
    const uint8_t *data = packed.data;
    return (struct reader){data, data == NULL ? NULL : data + packed.bytes};
}

static size_t reader_left(const struct reader *self)
{
    return (size_t)(self->end - self->at);
}

/* A big-endian integer of 1, 2, 4 or 8 bytes. */
static bool take_uint(struct reader *self, size_t width, uint64_t *out)
{
    if (reader_left(self) < width)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < width; i++)
        value = value << 8 | self->at[i];
    self->at += width;
    *out = value;
    return true;
}

static bool take_int(struct reader *self, size_t width, struct token *out)
{
    uint64_t raw;
    if (!take_uint(self, width, &raw))
        return false;
    const uint64_t sign = 1ULL << (width * 8 - 1);
    const int64_t value = (int64_t)((raw ^ sign) - sign); /* extends the sign */
    if (value >= 0)
        *out = (struct token){.kind = TOKEN_U64, .number = (uint64_t)value};
    else
        *out = (struct token){.kind = TOKEN_NEGATIVE, .negative = value};
    return true;
}

static bool take_real(struct reader *self, size_t width, struct token *out)
{
    uint64_t raw;
    if (!take_uint(self, width, &raw))
        return false;
    double value;
    if (width == 4) {
        const uint32_t narrow_raw = (uint32_t)raw;
        float narrow;
        memcpy(&narrow, &narrow_raw, sizeof narrow);
        value = (double)narrow;
    } else {
        memcpy(&value, &raw, sizeof value);
    }
    *out = (struct token){.kind = TOKEN_REAL, .real = value};
    return isfinite(value);
}

static bool take_payload(struct reader *self, enum token_kind kind, uint64_t bytes, struct token *out)
{
    if (reader_left(self) < bytes)
        return false;
    *out = (struct token){.kind = kind, .payload = span_of(self->at, (size_t)bytes)};
    self->at += bytes;
    return true;
}

/* An element takes a byte at least, a pair two: no larger count is believed. */
static bool take_count(const struct reader *self, enum token_kind kind, uint64_t count, struct token *out)
{
    const uint64_t bytes_min = kind == TOKEN_MAP ? 2 : 1;
    if (count > reader_left(self) / bytes_min)
        return false;
    *out = (struct token){.kind = kind, .count = (uint32_t)count};
    return true;
}

/* Heads whose length stands in the bytes that follow. */
static bool take_long(struct reader *self, uint8_t head, struct token *out)
{
    uint64_t length;
    switch (head) {
    case 0xc4:
    case 0xc5:
    case 0xc6:
        return take_uint(self, (size_t)1 << (head - 0xc4), &length) &&
               take_payload(self, TOKEN_BLOB, length, out);
    case 0xd9:
    case 0xda:
    case 0xdb:
        return take_uint(self, (size_t)1 << (head - 0xd9), &length) &&
               take_payload(self, TOKEN_TEXT, length, out);
    case 0xdc:
    case 0xdd:
        return take_uint(self, (size_t)2 << (head - 0xdc), &length) &&
               take_count(self, TOKEN_ARRAY, length, out);
    case 0xde:
    case 0xdf:
        return take_uint(self, (size_t)2 << (head - 0xde), &length) &&
               take_count(self, TOKEN_MAP, length, out);
    default: /* 0xc1 is never used; extension types have no place in our records */
        return false;
    }
}

static bool take_token(struct reader *self, struct token *out)
{
    if (reader_left(self) == 0)
        return false;
    const uint8_t head = *self->at++;
    if (head <= 0x7f || head >= 0xe0) {
        self->at--;
        return take_int(self, 1, out);
    }
    if (head <= 0x8f)
        return take_count(self, TOKEN_MAP, head & 0x0fu, out);
    if (head <= 0x9f)
        return take_count(self, TOKEN_ARRAY, head & 0x0fu, out);
    if (head <= 0xbf)
        return take_payload(self, TOKEN_TEXT, head & 0x1fu, out);
    *out = (struct token){0};
    switch (head) {
    case 0xc0:
        out->kind = TOKEN_NIL;
        return true;
    case 0xc2:
    case 0xc3:
        out->kind = TOKEN_BOOL;
        out->number = head & 1u;
        return true;
    case 0xca:
    case 0xcb:
        return take_real(self, (size_t)4 << (head - 0xca), out);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        out->kind = TOKEN_U64;
        return take_uint(self, (size_t)1 << (head - 0xcc), &out->number);
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return take_int(self, (size_t)1 << (head - 0xd0), out);
    default:
        return take_long(self, head, out);
    }
}

bool reader_next(struct reader *self, struct token *out)
{
    const struct reader before = *self;
    struct token token;
    if (!take_token(self, &token)) {
        *self = before;
        return false;
    }
    *out = token;
    return true;
}

bool text_clean(struct span text)
{
    if (text.bytes == 0)
        return true;
    return memchr(text.data, 0, text.bytes) == NULL && utf8_valid(text.data, text.bytes);
}

static bool skip_key(struct reader *self)
{
    struct token key;
    return reader_next(self, &key) && key.kind == TOKEN_TEXT && text_clean(key.payload);
}

static bool skip_value(struct reader *self, uint32_t depth)
{
    struct token token;
    if (!reader_next(self, &token))
        return false;
    if (token.kind == TOKEN_TEXT)
        return text_clean(token.payload);
    if (token.kind != TOKEN_ARRAY && token.kind != TOKEN_MAP)
        return true;
    if (depth >= SCHEMA_DEPTH_MAX)
        return false;
    for (uint32_t i = 0; i < token.count; i++) {
        if (token.kind == TOKEN_MAP && !skip_key(self))
            return false;
        if (!skip_value(self, depth + 1))
            return false;
    }
    return true;
}

bool reader_skip(struct reader *self, struct span *value)
{
    const struct reader before = *self;
    if (!skip_value(self, 0)) {
        *self = before;
        return false;
    }
    *value = span_of(before.at, (size_t)(self->at - before.at));
    return true;
}

bool schema_peek_u64(struct span packed, uint32_t position, uint64_t *out)
{
    struct reader reader = reader_of(packed);
    struct token token;
    if (!reader_next(&reader, &token) || token.kind != TOKEN_ARRAY || token.count <= position)
        return false;
    for (uint32_t i = 0; i < position; i++) {
        struct span passed;
        if (!reader_skip(&reader, &passed))
            return false;
    }
    if (!reader_next(&reader, &token) || token.kind != TOKEN_U64)
        return false;
    *out = token.number;
    return true;
}

/* --- writing a map
 * ------------------------------------------------------------------------------------------------ */

static msgpack_packer packer_of(struct bytes *out)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, schema_write);
    return packer;
}

static void pack_text(msgpack_packer *packer, const char *text)
{
    const size_t length = strlen(text);
    msgpack_pack_str(packer, length);
    msgpack_pack_str_body(packer, text, length);
}

void value_map(struct bytes *out, uint32_t pairs)
{
    msgpack_packer packer = packer_of(out);
    msgpack_pack_map(&packer, pairs);
}

void value_text(struct bytes *out, const char *key, const char *value)
{
    msgpack_packer packer = packer_of(out);
    pack_text(&packer, key);
    if (value == NULL)
        msgpack_pack_nil(&packer);
    else
        pack_text(&packer, value);
}

void value_u64(struct bytes *out, const char *key, uint64_t value)
{
    msgpack_packer packer = packer_of(out);
    pack_text(&packer, key);
    msgpack_pack_uint64(&packer, value);
}

void value_bool(struct bytes *out, const char *key, bool value)
{
    msgpack_packer packer = packer_of(out);
    pack_text(&packer, key);
    if (value)
        msgpack_pack_true(&packer);
    else
        msgpack_pack_false(&packer);
}

void value_time(struct bytes *out, const char *key, uint64_t wall_ms)
{
    char text[TIME_TEXT_BYTES];
    if (wall_ms != 0)
        time_format(wall_ms, text);
    value_text(out, key, wall_ms == 0 ? NULL : text);
}

void value_packed(struct bytes *out, const char *key, struct span packed)
{
    msgpack_packer packer = packer_of(out);
    pack_text(&packer, key);
    if (packed.bytes == 0)
        msgpack_pack_nil(&packer);
    else
        bytes_append(out, packed.data, packed.bytes);
}

/* --- reading a map
 * ------------------------------------------------------------------------------------------------ */

/* The value under `key`; only its head when it is an array or a map. */
static bool map_find(struct span map, const char *key, struct token *out)
{
    struct reader reader = reader_of(map);
    struct token head;
    if (!reader_next(&reader, &head) || head.kind != TOKEN_MAP)
        return false;
    for (uint32_t i = 0; i < head.count; i++) {
        struct token name;
        struct span value;
        if (!reader_next(&reader, &name) || name.kind != TOKEN_TEXT)
            return false;
        if (!reader_skip(&reader, &value))
            return false;
        if (span_equal(name.payload, span_text(key))) {
            struct reader inside = reader_of(value);
            return reader_next(&inside, out);
        }
    }
    return false;
}

bool value_get_text(struct span map, const char *key, struct arena *arena, const char **out)
{
    struct token token;
    if (!map_find(map, key, &token) || token.kind != TOKEN_TEXT)
        return false;
    *out = arena_text(arena, token.payload.data, token.payload.bytes);
    return true;
}

bool value_get_u64(struct span map, const char *key, uint64_t *out)
{
    struct token token;
    if (!map_find(map, key, &token) || token.kind != TOKEN_U64)
        return false;
    *out = token.number;
    return true;
}

bool value_is_map(struct span packed)
{
    struct reader reader = reader_of(packed);
    struct token token;
    return reader_next(&reader, &token) && token.kind == TOKEN_MAP;
}
