/* Any JSON value as msgpack and back. An object's keys are sorted, so that a value has one packed form. */
#include <jansson.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/schema_internal.h"

/* --- JSON -> msgpack
 * ---------------------------------------------------------------------------------------------- */

static int key_compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum error_code pack_any(msgpack_packer *packer, json_t *json, uint32_t depth, struct error *error);

static enum error_code pack_object(msgpack_packer *packer, json_t *json, uint32_t depth, struct error *error)
{
    const size_t count = json_object_size(json);
    const char **keys = memory_new((count + 1) * sizeof *keys);
    enum error_code code = ERROR_OK;
    size_t at = 0;
    const char *key;
    json_t *value;
    json_object_foreach(json, key, value) keys[at++] = key;
    CHECK(at == count, "%zu keys of %zu", at, count);
    qsort(keys, count, sizeof *keys, key_compare);
    msgpack_pack_map(packer, count);
    for (size_t i = 0; i < count && code == ERROR_OK; i++) {
        const size_t length = strlen(keys[i]);
        msgpack_pack_str(packer, length);
        msgpack_pack_str_body(packer, keys[i], length);
        code = pack_any(packer, json_object_get(json, keys[i]), depth, error);
    }
    free(keys);
    return code;
}

static enum error_code pack_array(msgpack_packer *packer, json_t *json, uint32_t depth, struct error *error)
{
    const size_t count = json_array_size(json);
    enum error_code code = ERROR_OK;
    msgpack_pack_array(packer, count);
    for (size_t i = 0; i < count && code == ERROR_OK; i++)
        code = pack_any(packer, json_array_get(json, i), depth, error);
    return code;
}

static void pack_integer(msgpack_packer *packer, json_int_t value)
{
    if (value < 0)
        msgpack_pack_int64(packer, value);
    else
        msgpack_pack_uint64(packer, (uint64_t)value);
}

/* @param depth  how many arrays and objects this value stands in */
static enum error_code pack_any(msgpack_packer *packer, json_t *json, uint32_t depth, struct error *error)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        if (depth >= SCHEMA_DEPTH_MAX)
            return error_set(error, ERROR_INVALID, "nested deeper than %u", SCHEMA_DEPTH_MAX);
        return json_is_object(json) ? pack_object(packer, json, depth + 1, error)
                                    : pack_array(packer, json, depth + 1, error);
    case JSON_STRING:
        if (!text_clean(span_of(json_string_value(json), json_string_length(json))))
            return error_set(error, ERROR_INVALID, "a text holds NUL or isn't UTF-8");
        msgpack_pack_str(packer, json_string_length(json));
        msgpack_pack_str_body(packer, json_string_value(json), json_string_length(json));
        break;
    case JSON_INTEGER:
        pack_integer(packer, json_integer_value(json));
        break;
    case JSON_REAL:
        msgpack_pack_double(packer, json_real_value(json));
        break;
    case JSON_TRUE:
        msgpack_pack_true(packer);
        break;
    case JSON_FALSE:
        msgpack_pack_false(packer);
        break;
    case JSON_NULL:
        msgpack_pack_nil(packer);
        break;
    }
    return ERROR_OK;
}

enum error_code value_from_json(const json_t *json, struct bytes *out, struct error *error)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, schema_write);
    const enum error_code code = pack_any(&packer, (json_t *)(uintptr_t)json, 0, error);
    if (code == ERROR_OK && out->overflow)
        return error_set(error, ERROR_TOO_BIG, "a value is larger than %zu bytes", out->length_max);
    return code;
}

/* --- msgpack -> JSON
 * ---------------------------------------------------------------------------------------------- */

/* These read what reader_skip() has passed as a whole, so nothing can fail here but memory. */
static json_t *json_next(struct reader *reader);

static json_t *json_next_map(struct reader *reader, uint32_t count)
{
    json_t *object = json_object();
    for (uint32_t i = 0; i < count; i++) {
        struct token key;
        char *name;
        CHECK(reader_next(reader, &key) && key.kind == TOKEN_TEXT, "a checked map ends at %u of %u", i,
              count);
        name = memory_new(key.payload.bytes + 1);
        memcpy(name, key.payload.data, key.payload.bytes);
        name[key.payload.bytes] = '\0';
        json_object_set_new(object, name, json_next(reader));
        free(name);
    }
    return object;
}

static json_t *json_next_array(struct reader *reader, uint32_t count)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(array, json_next(reader));
    return array;
}

json_t *json_from_u64(uint64_t value)
{
    if (value <= INT64_MAX)
        return json_integer((json_int_t)value);
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return json_string(text);
}

json_t *json_from_blob(struct span span)
{
    char *text = memory_new(2 * span.bytes + 1);
    hex_encode(span.data, span.bytes, text);
    json_t *json = json_string(text);
    free(text);
    return json;
}

static json_t *json_next(struct reader *reader)
{
    struct token token;
    CHECK(reader_next(reader, &token), "a checked value is cut short");
    switch (token.kind) {
    case TOKEN_NIL:
        return json_null();
    case TOKEN_BOOL:
        return json_boolean(token.number != 0);
    case TOKEN_U64:
        return json_from_u64(token.number);
    case TOKEN_NEGATIVE:
        return json_integer(token.negative);
    case TOKEN_REAL:
        return json_real(token.real);
    case TOKEN_TEXT:
        return json_stringn(token.payload.data, token.payload.bytes);
    case TOKEN_BLOB:
        return json_from_blob(token.payload);
    case TOKEN_ARRAY:
        return json_next_array(reader, token.count);
    case TOKEN_MAP:
        return json_next_map(reader, token.count);
    }
    CHECK(false, "token %d", (int)token.kind);
}

enum error_code value_to_json(struct span packed, json_t **out, struct error *error)
{
    struct reader whole = reader_of(packed);
    struct span value;
    if (!reader_skip(&whole, &value) || whole.at != whole.end)
        return error_set(error, ERROR_CORRUPT, "%zu bytes that are no packed value", packed.bytes);
    struct reader reader = reader_of(value);
    json_t *json = json_next(&reader);
    CHECK(json != NULL, "out of memory for a value of %zu bytes", packed.bytes);
    *out = json;
    return ERROR_OK;
}
