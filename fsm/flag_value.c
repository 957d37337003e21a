/* Values of flags. Never coerced: a value of another type is an error, not a guess. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "fsm/flag_internal.h"

#define DESCRIBE_BYTES_MAX 1024u

static const char *kind_of(const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a text";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    case JSON_NULL:
        break;
    }
    return "null";
}

/* Packs and lets go of `json`. */
static struct span pack(struct arena *arena, json_t *json)
{
    struct bytes packed;
    bytes_init(&packed, 0);
    CHECK(json != NULL && value_from_json(json, &packed, NULL) == ERROR_OK,
          "a value of our own can't be packed");
    json_decref(json);
    char *copy = arena_text(arena, (const char *)packed.data, packed.length);
    const struct span span = span_of(copy, packed.length);
    bytes_done(&packed);
    return span;
}

struct span flag_value_bool(struct arena *arena, bool value)
{
    return pack(arena, json_boolean(value));
}

struct span flag_value_string(struct arena *arena, const char *text)
{
    return pack(arena, json_string(text));
}

json_t *flag_value_json(struct span value)
{
    json_t *json;
    if (value.bytes == 0 || value_to_json(value, &json, NULL) != ERROR_OK)
        return json_null();
    return json;
}

bool flag_value_true(struct span value)
{
    json_t *json = flag_value_json(value);
    const bool is_true = json_is_true(json);
    json_decref(json);
    return is_true;
}

static bool text_is(const json_t *json, const char *text)
{
    return json_is_string(json) && strcmp(json_string_value(json), text) == 0;
}

static bool take_bool(const json_t *json, struct arena *arena, struct span *out)
{
    const bool on = json_is_true(json) || text_is(json, "1");
    if (!on && !json_is_false(json) && !text_is(json, "0"))
        return false;
    *out = flag_value_bool(arena, on);
    return true;
}

bool flag_value_check(enum flag_type type, struct span given, struct arena *arena, struct span *out,
                      const char **problem)
{
    static const char *const wanted[FLAG_TYPE_COUNT] = {
        "a bool flag takes true, false, \"1\" or \"0\"", "a string flag takes a text",
        "an integer flag takes an integer", "an object flag takes an object"};
    if (given.bytes == 0 || given.bytes > FLAG_VALUE_BYTES_MAX) {
        *problem = arena_printf(arena, "a value of %zu bytes is not within 1 .. %u", given.bytes,
                                FLAG_VALUE_BYTES_MAX);
        return false;
    }
    json_t *json = flag_value_json(given);
    bool fits = false;
    *out = given;
    switch (type) {
    case FLAG_BOOL:
        fits = take_bool(json, arena, out);
        break;
    case FLAG_STRING:
        fits = json_is_string(json);
        break;
    case FLAG_INTEGER:
        fits = json_is_integer(json);
        break;
    case FLAG_OBJECT:
        fits = json_is_object(json);
        break;
    case FLAG_TYPE_COUNT:
        break;
    }
    if (!fits)
        *problem = arena_printf(arena, "%s, not %s", wanted[type], kind_of(json));
    json_decref(json);
    return fits;
}

static bool has_real(json_t *json)
{
    const char *key;
    json_t *member;
    size_t i;
    if (json_is_real(json))
        return true;
    json_object_foreach(json, key, member)
    {
        if (has_real(member))
            return true;
    }
    json_array_foreach(json, i, member)
    {
        if (has_real(member))
            return true;
    }
    return false;
}

/* Records are hashed, so their text must be the same whatever writes it, and releases of Jansson differ in
 * the digits that they give a fraction. */
const char *flag_value_describe(struct span value, struct arena *arena)
{
    json_t *json = flag_value_json(value);
    const char *described = NULL;
    if (!has_real(json)) {
        char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
        CHECK(text != NULL, "a stored value of %zu bytes has no JSON form", value.bytes);
        if (strlen(text) <= DESCRIBE_BYTES_MAX)
            described = arena_text(arena, text, strlen(text));
        free(text);
    }
    json_decref(json);
    return described != NULL ? described : arena_printf(arena, "(%zu bytes)", value.bytes);
}

void apply_answer_json(struct apply *apply, json_t *object)
{
    CHECK(json_is_object(object), "an answer is an object");
    struct bytes *body = apply_answer(apply);
    CHECK(value_from_json(object, body, NULL) == ERROR_OK && !body->overflow, "the answer can't be packed");
    json_decref(object);
}
