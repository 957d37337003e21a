/* One description per record type: a table of fields. Four generic conversions use it, and so do input
 * validation and the OpenAPI document (schema_describe). No codec is written by hand anywhere else; msgpack-c
 * and Jansson stay behind this header.
 *
 * The msgpack form is an array of the fields in table order. A field is only ever added at the end: a decoder
 * takes a shorter array (what is missing stays zero, or is refused when `required`) and refuses a longer one
 * as ERROR_CORRUPT, since it comes from a newer level. Integers take their shortest form, so a struct has
 * exactly one encoding (digests and hashes rely on it).
 *
 * Absent is NULL, 0, false, no elements, or a struct of absent fields. What isn't `required` may be absent
 * whatever its bounds say; JSON takes null for it, and shows null where nothing else would read back as
 * absent: texts, blobs, values, times, structs, and what has bounds without 0 (left out with `omit_empty`). A
 * VALUE of null is absent. A `max` of 0 means: 65,536 bytes of a TEXT, BLOB or VALUE, 1,024 elements.
 *
 * The JSON form is an object. From JSON every field is checked against its bounds; the error names its path
 * and the allowed range: `stages[2].gates[0].seconds: 99999999 is not within 0 .. 31536000`. Unknown fields
 * are refused. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"

struct json_t; /* Jansson's */

enum field_type {
    FIELD_U64, /* uint64_t; JSON integer; bounds [min, max] (max 0: 2^53 - 1, what every JSON reader keeps) */
    FIELD_I64, /* int64_t; [min, max] as int64_t (both 0: what every JSON reader keeps) */
    FIELD_BOOL,   /* bool; JSON true or false only */
    FIELD_TIME,   /* uint64_t, ms since the epoch; JSON: RFC 3339 text, null for 0 */
    FIELD_ENUM,   /* uint32_t, an index into `names`; JSON: the name; msgpack: the integer */
    FIELD_TEXT,   /* const char *, UTF-8 without NUL, in the arena; NULL when absent; [min, max] bytes */
    FIELD_NAME,   /* const char *, name_valid() */
    FIELD_BLOB,   /* struct span; JSON: hex text; [min, max] bytes */
    FIELD_STRUCT, /* an embedded struct of `schema` */
    /* Of these the count (size_t) stands at `count_offset`; [min, max] elements. */
    FIELD_LIST,  /* pointer to an array of structs of `schema` */
    FIELD_TEXTS, /* const char **; each at most 1,024 bytes */
    FIELD_MAP, /* struct field_pair *: a JSON object of texts; packed in order of keys, no key twice (checked)
                */
    FIELD_VALUE /* struct span: any JSON value as msgpack, depth <= 32, [min, max] packed bytes */
};

struct field_pair {
    const char *key;
    const char *value;
};

struct schema;

struct field {
    const char *name; /* the JSON key */
    enum field_type type;
    uint32_t offset; /* of the member in its struct */
    uint32_t count_offset;
    bool required;   /* must be there; for TEXT and NAME also not empty */
    bool hidden;     /* stored, never shown as JSON and never taken from it */
    bool omit_empty; /* left out of JSON while NULL, 0, false or without elements */
    uint64_t min, max;
    const struct schema *schema; /* STRUCT, LIST */
    const char *const *names;    /* ENUM: names_count names */
    uint32_t names_count;
    const char *help; /* one line for people: unit, meaning */
    bool borrow;   /* BLOB: after unpacking it points into `packed`, which must outlive the record; else it is
                      copied */
    bool nullable; /* of a SHAPE: null where the rule above has none */
};

struct schema {
    const char *name; /* "plan" */
    size_t bytes;     /* sizeof its struct */
    const struct field *fields;
    size_t field_count;
};

#define SCHEMA(schema_name, type, field_table)                                                               \
    {                                                                                                        \
        .name = (schema_name), .bytes = sizeof(type), .fields = (field_table),                               \
        .field_count = sizeof(field_table) / sizeof((field_table)[0])                                        \
    }

/* A table of what an answer shows that code builds by hand, without a struct behind it: it only describes. */
#define SHAPE(shape_name, field_table)                                                                       \
    {                                                                                                        \
        .name = (shape_name), .fields = (field_table),                                                       \
        .field_count = sizeof(field_table) / sizeof((field_table)[0])                                        \
    }

/** struct -> msgpack, appended to `out`. */
void schema_pack(const struct schema *schema, const void *record, struct bytes *out);
/** msgpack -> struct. Everything lands in the arena, nothing is borrowed from `packed` but a BLOB whose field
 * says so. Every bound is checked again: stored and received bytes are input.
 * @return ERROR_CORRUPT naming the field, also for what doesn't fit into the arena (it never aborts). */
enum error_code schema_unpack(const struct schema *schema, struct span packed, struct arena *arena,
                              void *record, struct error *error) MUST_USE;
/** One integer of a packed array, by its place from 0: what tells which schema the array follows. */
bool schema_peek_u64(struct span packed, uint32_t position, uint64_t *out);
/** JSON -> struct, validated whole. @return ERROR_INVALID naming path and range; ERROR_TOO_BIG past the
 * arena's bound. */
enum error_code schema_from_json(const struct schema *schema, const struct json_t *json, struct arena *arena,
                                 void *record, struct error *error) MUST_USE;
/** The same for text in the one form that this program writes: compact, every field, in table order, maps in
 * order of keys; of the types that lines have (no lists, structs or values). Several times faster.
 * @return false: it isn't that, or doesn't fit the table; json_parse() and schema_from_json() can tell */
bool schema_from_line(const struct schema *schema, struct span text, struct arena *arena, void *record);
/** struct -> the same text, appended to `out`: what json_dumps() in its compact form makes of
 * schema_to_json(), several times faster. Of the types that lines have. */
void schema_to_line(const struct schema *schema, const void *record, struct bytes *out);
/** struct -> JSON object; the caller owns the reference. Never NULL. */
struct json_t *schema_to_json(const struct schema *schema, const void *record);

enum describe_side {
    DESCRIBE_TAKEN, /* what schema_from_json() takes */
    DESCRIBE_SHOWN  /* what schema_to_json() shows; readers must bear members that they don't know */
};
/** The table as a JSON Schema in the dialect of OpenAPI 3.0. Bounds in bytes come as `maxLength`, which
 * counts characters, and as `x-max-bytes`, which is exact.
 *
 * @param without      names of fields that stand elsewhere (in the path), ended by NULL; may be NULL
 * @param definitions  gets it, and nested ones, under their names: "PlanInput" when taken, "Plan" when shown
 * @return {"$ref": "#/components/schemas/..."}: a new reference */
struct json_t *schema_describe(const struct schema *schema, enum describe_side side,
                               const char *const *without, struct json_t *definitions);
/** One field of it alone, as above; for arguments of other kinds than bodies. */
struct json_t *field_describe(const struct field *field, enum describe_side side, struct json_t *definitions);
/** NULL: it has none of that name. */
const struct field *schema_field(const struct schema *schema, const char *name);

/* Any JSON value as msgpack and back (FIELD_VALUE, result bodies). Integers stay integers; a real number is
 * packed as a double. */
enum error_code value_from_json(const struct json_t *json, struct bytes *out, struct error *error) MUST_USE;
enum error_code value_to_json(struct span packed, struct json_t **out, struct error *error) MUST_USE;
/** Builds a msgpack map of text keys, the form of a result's body: begin with the number of pairs, then that
 * many of the others. */
void value_map(struct bytes *out, uint32_t pairs);
void value_text(struct bytes *out, const char *key, const char *value); /* nil when value is NULL */
void value_u64(struct bytes *out, const char *key, uint64_t value);
void value_bool(struct bytes *out, const char *key, bool value);
void value_time(struct bytes *out, const char *key, uint64_t wall_ms);     /* RFC 3339 text; nil for 0 */
void value_packed(struct bytes *out, const char *key, struct span packed); /* a msgpack value as it is */
/** One text or integer of such a map; false when it isn't there. `out` is copied into the arena. */
bool value_get_text(struct span map, const char *key, struct arena *arena, const char **out);
bool value_get_u64(struct span map, const char *key, uint64_t *out);
bool value_is_map(struct span packed); /* a JSON object */

/** Parses JSON text: at most `depth_max` deep (32), no duplicate keys, valid UTF-8, nothing after the value.
 * @return ERROR_INVALID with line and column. */
enum error_code json_parse(struct span text, struct json_t **out, struct error *error) MUST_USE;
