/* Values of flags. Never coerced: a value of another type is an error, not a guess.
 *
 * A packed value is read by packing it as a field of any type and unpacking it as a field of the wanted one,
 * so that the bounds and the forms are those of base/schema.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "fsm/flag_internal.h"

#define DESCRIBE_BYTES_MAX 1024u

union cell {
    struct span value;
    bool on;
    int64_t number;
    const char *text;
};

static const struct field value_field[] = {{.name = "value", .type = FIELD_VALUE}};
static const struct field bool_field[] = {{.name = "value", .type = FIELD_BOOL}};
static const struct field integer_field[] = {{.name = "value", .type = FIELD_I64}};
static const struct field text_field[] = {{.name = "value", .type = FIELD_TEXT}};
static const struct schema as_value = SCHEMA("value", union cell, value_field);
static const struct schema as_bool = SCHEMA("value", union cell, bool_field);
static const struct schema as_integer = SCHEMA("value", union cell, integer_field);
static const struct schema as_text = SCHEMA("value", union cell, text_field);

/* @return false: it is of another type than `to` */
static bool recast(const struct schema *from, union cell in, const struct schema *to, struct arena *arena,
                   union cell *out)
{
    struct bytes packed;
    bytes_init(&packed, 0);
    schema_pack(from, &in, &packed);
    const bool fits = schema_unpack(to, bytes_span(&packed), arena, out, NULL) == ERROR_OK;
    bytes_done(&packed);
    return fits;
}

static bool read_as(struct span value, const struct schema *to, struct arena *arena, union cell *out)
{
    return recast(&as_value, (union cell){.value = value}, to, arena, out);
}

static bool read_text(struct span value, struct arena *arena, const char **out)
{
    union cell cell;
    if (!read_as(value, &as_text, arena, &cell) || cell.text == NULL)
        return false; /* null reads as an absent text */
    *out = cell.text;
    return true;
}

struct span flag_value_bool(struct arena *arena, bool value)
{
    union cell cell;
    CHECK(recast(&as_bool, (union cell){.on = value}, &as_value, arena, &cell), "a bool is a value");
    return cell.value;
}

struct span flag_value_string(struct arena *arena, const char *text)
{
    union cell cell;
    CHECK(recast(&as_text, (union cell){.text = text}, &as_value, arena, &cell), "\"%s\" is a value", text);
    return cell.value;
}

bool flag_value_true(struct span value, struct arena *arena)
{
    union cell cell;
    return read_as(value, &as_bool, arena, &cell) && cell.on;
}

static bool take_bool(struct span given, struct arena *arena, struct span *out)
{
    union cell cell;
    const char *text;
    if (read_as(given, &as_bool, arena, &cell))
        return true;
    if (!read_text(given, arena, &text) || (strcmp(text, "1") != 0 && strcmp(text, "0") != 0))
        return false;
    *out = flag_value_bool(arena, text[0] == '1');
    return true;
}

static const char *kind_of(struct span given, struct arena *arena)
{
    union cell cell;
    const char *text;
    if (read_as(given, &as_bool, arena, &cell))
        return "true or false";
    if (read_as(given, &as_integer, arena, &cell))
        return "an integer";
    if (read_text(given, arena, &text))
        return "that text";
    return value_is_map(given) ? "an object" : "a list, a fraction, null or an integer past 2^53";
}

static bool fits_type(enum flag_type type, struct span given, struct arena *arena, struct span *out)
{
    union cell cell;
    const char *text;
    switch (type) {
    case FLAG_BOOL:
        return take_bool(given, arena, out);
    case FLAG_STRING:
        return read_text(given, arena, &text);
    case FLAG_INTEGER:
        return read_as(given, &as_integer, arena, &cell);
    case FLAG_OBJECT:
        return value_is_map(given);
    case FLAG_TYPE_COUNT:
        break;
    }
    return false;
}

bool flag_value_check(enum flag_type type, struct span given, struct arena *arena, struct span *out,
                      const char **problem)
{
    static const char *const wanted[FLAG_TYPE_COUNT] = {
        "a bool flag takes true, false, \"1\" or \"0\"", "a string flag takes a text",
        "an integer flag takes an integer", "an object flag takes an object"};
    *out = given;
    if (given.bytes == 0 || given.bytes > FLAG_VALUE_BYTES_MAX)
        *problem = arena_printf(arena, "a value of %zu bytes is not within 1 .. %u", given.bytes,
                                FLAG_VALUE_BYTES_MAX);
    else if (!fits_type(type, given, arena, out))
        *problem = arena_printf(arena, "%s, not %s", wanted[type], kind_of(given, arena));
    else
        return true;
    return false;
}

const char *flag_value_describe(struct span value, struct arena *arena)
{
    union cell cell;
    const char *text;
    if (read_as(value, &as_bool, arena, &cell))
        return cell.on ? "true" : "false";
    if (read_as(value, &as_integer, arena, &cell))
        return arena_printf(arena, "%" PRIi64, cell.number);
    if (read_text(value, arena, &text) && strlen(text) <= DESCRIBE_BYTES_MAX)
        return text;
    return arena_printf(arena, "(%zu bytes)", value.bytes);
}
