/* JSON text, JSON to structs and back, by their tables; any JSON value as msgpack and back. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/schema_internal.h"

/* --- text -> JSON
 * ------------------------------------------------------------------------------------------------- */

/* Jansson's own limit is 2,048 levels, set when it was built. Brackets inside of texts don't count; what
 * isn't JSON is left for the parser to refuse. */
static enum error_code check_depth(struct span text, struct error *error)
{
    const char *at = text.data;
    uint32_t depth = 0, line = 1, column = 0;
    bool inside = false, escaped = false;
    for (size_t i = 0; i < text.bytes; i++) {
        const char c = at[i];
        column++;
        if (c == '\n') {
            line++;
            column = 0;
        }
        if (inside) {
            inside = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if (c == '"') {
            inside = true;
        } else if (c == '[' || c == '{') {
            if (++depth > SCHEMA_DEPTH_MAX)
                return error_set(error, ERROR_INVALID, "line %u, column %u: nested deeper than %u", line,
                                 column, SCHEMA_DEPTH_MAX);
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return ERROR_OK;
}

enum error_code json_parse(struct span text, json_t **out, struct error *error)
{
    const enum error_code code = check_depth(text, error);
    if (code != ERROR_OK)
        return code;
    json_error_t problem;
    const char *data = text.bytes == 0 ? "" : text.data;
    json_t *json = json_loadb(data, text.bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);
    if (json == NULL)
        return error_set(error, ERROR_INVALID, "line %d, column %d: %s", problem.line, problem.column,
                         json_error_code(&problem) == json_error_null_character ||
                                 json_error_code(&problem) == json_error_null_byte_in_key
                             ? "\\u0000 is not allowed"
                             : problem.text);
    *out = json;
    return ERROR_OK;
}

/* --- JSON -> struct
 * ----------------------------------------------------------------------------------------------- */

static enum error_code record_from_json(struct schema_context *context, const struct schema_path *path,
                                        const struct schema *schema, const json_t *json, uint32_t depth,
                                        void *record);

static struct span json_span(const json_t *json)
{
    return span_of(json_string_value(json), json_string_length(json));
}

static const char *json_kind(const json_t *json)
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
    default:
        return "null";
    }
}

static enum error_code wrong_kind(const struct schema_context *context, const struct schema_path *path,
                                  const char *wanted, const json_t *json)
{
    return schema_fail(context, path, "must be %s, not %s", wanted, json_kind(json));
}

static enum error_code arena_full(const struct schema_context *context)
{
    return context->code == ERROR_INVALID ? ERROR_TOO_BIG : context->code; /* schema_new has said it */
}

/* Past 2^63 - 1 JSON has no integer that Jansson could hold: such a value goes as decimal text. */
static enum error_code u64_from_json(const struct schema_context *context, const struct schema_path *path,
                                     const struct field *field, const json_t *json, uint64_t *out)
{
    uint64_t value;
    if (json_is_string(json) && field_max(field) > INT64_MAX &&
        parse_u64(json_string_value(json), UINT64_MAX, &value))
        *out = value;
    else if (!json_is_integer(json))
        return wrong_kind(context, path, "an integer", json);
    else if (json_integer_value(json) < 0)
        return schema_fail(context, path, "%lld is not within %llu .. %llu",
                           (long long)json_integer_value(json), (unsigned long long)field->min,
                           (unsigned long long)field_max(field));
    else
        *out = (uint64_t)json_integer_value(json);
    return field_check_u64(context, path, field, *out);
}

static enum error_code i64_from_json(const struct schema_context *context, const struct schema_path *path,
                                     const struct field *field, const json_t *json, int64_t *out)
{
    if (!json_is_integer(json))
        return wrong_kind(context, path, "an integer", json);
    *out = json_integer_value(json);
    return field_check_i64(context, path, field, *out);
}

static enum error_code time_from_json(const struct schema_context *context, const struct schema_path *path,
                                      const struct field *field, const json_t *json, uint64_t *out)
{
    char quoted[SCHEMA_QUOTE_BYTES + 4];
    if (!json_is_string(json))
        return wrong_kind(context, path, "a time such as 2026-01-02T03:04:05Z", json);
    if (time_parse(json_string_value(json), out) != 0)
        return schema_fail(context, path, "\"%s\" is not a time such as 2026-01-02T03:04:05Z",
                           schema_quote(json_span(json), quoted));
    return field_check_u64(context, path, field, *out);
}

/* Who asks must say something. Not so for what is in a log already: it is read as it was written. */
static enum error_code text_from_json(const struct schema_context *context, const struct schema_path *path,
                                      const struct field *field, const json_t *json, const char **out)
{
    if (!json_is_string(json))
        return wrong_kind(context, path, "a text", json);
    const enum error_code code = field_take_text(context, path, field, json_span(json), out);
    if (code == ERROR_OK && field->required && text_is_blank(*out))
        return schema_fail(context, path, "only blanks, and required");
    return code;
}

static enum error_code enum_unknown(const struct schema_context *context, const struct schema_path *path,
                                    const struct field *field, struct span text)
{
    char quoted[SCHEMA_QUOTE_BYTES + 4];
    struct bytes names;
    bytes_init(&names, 0);
    for (uint32_t i = 0; i < field->names_count; i++)
        if (field->names[i] != NULL && field->names[i][0] != '\0')
            bytes_printf(&names, "%s%s", names.length == 0 ? "" : ", ", field->names[i]);
    const enum error_code code =
        schema_fail(context, path, "\"%s\" is none of %.*s", schema_quote(text, quoted), (int)names.length,
                    names.length == 0 ? "" : (const char *)names.data);
    bytes_done(&names);
    return code;
}

static enum error_code enum_from_json(const struct schema_context *context, const struct schema_path *path,
                                      const struct field *field, const json_t *json, uint32_t *out)
{
    if (!json_is_string(json))
        return wrong_kind(context, path, "a text", json);
    const struct span text = json_span(json);
    for (uint32_t i = 0; i < field->names_count; i++) {
        if (field->names[i] != NULL && span_equal(span_text(field->names[i]), text)) {
            *out = i;
            return ERROR_OK;
        }
    }
    return enum_unknown(context, path, field, text);
}

static enum error_code blob_from_json(const struct schema_context *context, const struct schema_path *path,
                                      const struct field *field, const json_t *json, struct span *out)
{
    if (!json_is_string(json))
        return wrong_kind(context, path, "hex digits", json);
    const size_t digits = json_string_length(json);
    const uint64_t wanted = 2 * field_max(field);
    if (field_min(field) == field_max(field) && digits != wanted)
        return schema_fail(context, path, "must be %llu hex digits, not %zu characters",
                           (unsigned long long)wanted, digits);
    const enum error_code code = field_check_bytes(context, path, field, (digits + 1) / 2);
    if (code != ERROR_OK || digits == 0)
        return code;
    uint8_t *copy = schema_new(context, path, digits / 2 + 1);
    if (copy == NULL)
        return arena_full(context);
    if (digits % 2 != 0 || !hex_decode(json_string_value(json), copy, digits / 2))
        return schema_fail(context, path, "not pairs of hex digits");
    *out = span_of(copy, digits / 2);
    return ERROR_OK;
}

static enum error_code value_field_from_json(const struct schema_context *context,
                                             const struct schema_path *path, const struct field *field,
                                             const json_t *json, struct span *out)
{
    struct bytes packed;
    struct error inner;
    bytes_init(&packed, 0);
    enum error_code code = value_from_json(json, &packed, &inner);
    if (code != ERROR_OK)
        code = schema_fail(context, path, "%s", inner.message);
    else
        code = field_check_bytes(context, path, field, packed.length);
    if (code == ERROR_OK) {
        const void *copy = schema_text(context, path, bytes_span(&packed));
        if (copy == NULL)
            code = arena_full(context);
        else
            *out = span_of(copy, packed.length);
    }
    bytes_done(&packed);
    return code;
}

static enum error_code list_from_json(struct schema_context *context, const struct schema_path *path,
                                      const struct field *field, const json_t *json, uint32_t depth,
                                      void *record)
{
    const size_t count = json_array_size(json);
    uint8_t *elements = schema_new(context, path, count * field->schema->bytes);
    if (elements == NULL)
        return arena_full(context);
    for (size_t i = 0; i < count; i++) {
        const struct schema_path here = {path, NULL, i};
        const enum error_code code = record_from_json(context, &here, field->schema, json_array_get(json, i),
                                                      depth + 1, elements + i * field->schema->bytes);
        if (code != ERROR_OK)
            return code;
    }
    FIELD_PUT(void *, record, field->offset) = elements;
    FIELD_PUT(size_t, record, field->count_offset) = count;
    return ERROR_OK;
}

static enum error_code texts_from_json(const struct schema_context *context, const struct schema_path *path,
                                       const struct field *field, const json_t *json, void *record)
{
    const size_t count = json_array_size(json);
    const char **texts = schema_new(context, path, count * sizeof *texts);
    if (texts == NULL)
        return arena_full(context);
    for (size_t i = 0; i < count; i++) {
        const struct schema_path here = {path, NULL, i};
        const json_t *element = json_array_get(json, i);
        if (!json_is_string(element))
            return wrong_kind(context, &here, "a text", element);
        const enum error_code code =
            field_take_element(context, &here, json_span(element), 0, SCHEMA_TEXTS_BYTES_MAX, &texts[i]);
        if (code != ERROR_OK)
            return code;
    }
    FIELD_PUT(const char **, record, field->offset) = texts;
    FIELD_PUT(size_t, record, field->count_offset) = count;
    return ERROR_OK;
}

static enum error_code map_from_json(const struct schema_context *context, const struct schema_path *path,
                                     const struct field *field, json_t *json, void *record)
{
    const size_t count = json_object_size(json);
    struct field_pair *pairs = schema_new(context, path, count * sizeof *pairs);
    if (pairs == NULL)
        return arena_full(context);
    size_t i = 0;
    const char *key;
    json_t *value;
    json_object_foreach(json, key, value)
    {
        char quoted[SCHEMA_QUOTE_BYTES + 4];
        const struct schema_path here = {path, schema_quote(span_text(key), quoted), 0};
        if (!json_is_string(value))
            return wrong_kind(context, &here, "a text", value);
        enum error_code code =
            field_take_element(context, &here, span_text(key), 1, SCHEMA_MAP_KEY_MAX, &pairs[i].key);
        if (code == ERROR_OK)
            code = field_take_element(context, &here, json_span(value), 0, SCHEMA_MAP_VALUE_MAX,
                                      &pairs[i].value);
        if (code != ERROR_OK)
            return code;
        i++;
    }
    schema_sort_pairs(pairs, count);
    FIELD_PUT(struct field_pair *, record, field->offset) = pairs;
    FIELD_PUT(size_t, record, field->count_offset) = count;
    return ERROR_OK;
}

/* LIST, TEXTS and MAP: the count is checked before anything is made for it. */
static enum error_code elements_from_json(struct schema_context *context, const struct schema_path *path,
                                          const struct field *field, json_t *json, uint32_t depth,
                                          void *record)
{
    if (field->type == FIELD_MAP ? !json_is_object(json) : !json_is_array(json))
        return wrong_kind(context, path, field->type == FIELD_MAP ? "an object" : "an array", json);
    const size_t count = field->type == FIELD_MAP ? json_object_size(json) : json_array_size(json);
    const enum error_code code = field_check_count(context, path, field, count);
    if (code != ERROR_OK || count == 0)
        return code;
    if (field->type == FIELD_LIST)
        return list_from_json(context, path, field, json, depth, record);
    if (field->type == FIELD_TEXTS)
        return texts_from_json(context, path, field, json, record);
    return map_from_json(context, path, field, json, record);
}

static enum error_code field_from_json(struct schema_context *context, const struct schema_path *path,
                                       const struct field *field, json_t *json, uint32_t depth, void *record)
{
    void *member = field_member(record, field->offset);
    if (json_is_null(json)) /* absent */
        return field->required ? schema_fail(context, path, "missing, and required") : ERROR_OK;
    switch (field->type) {
    case FIELD_U64:
        return u64_from_json(context, path, field, json, member);
    case FIELD_I64:
        return i64_from_json(context, path, field, json, member);
    case FIELD_BOOL:
        if (!json_is_boolean(json))
            return wrong_kind(context, path, "true or false", json);
        *(bool *)member = json_is_true(json);
        return ERROR_OK;
    case FIELD_TIME:
        return time_from_json(context, path, field, json, member);
    case FIELD_ENUM:
        return enum_from_json(context, path, field, json, member);
    case FIELD_TEXT:
    case FIELD_NAME:
        return text_from_json(context, path, field, json, member);
    case FIELD_BLOB:
        return blob_from_json(context, path, field, json, member);
    case FIELD_STRUCT:
        return record_from_json(context, path, field->schema, json, depth + 1, member);
    case FIELD_LIST:
    case FIELD_TEXTS:
    case FIELD_MAP:
        return elements_from_json(context, path, field, json, depth, record);
    case FIELD_VALUE:
        return value_field_from_json(context, path, field, json, member);
    }
    CHECK(false, "field %s has type %d", field->name, (int)field->type);
}

static bool field_known(const struct schema *schema, const char *name)
{
    for (size_t i = 0; i < schema->field_count; i++)
        if (!schema->fields[i].hidden && strcmp(schema->fields[i].name, name) == 0)
            return true;
    return false;
}

static enum error_code refuse_unknown(const struct schema_context *context, const struct schema_path *path,
                                      const struct schema *schema, json_t *json)
{
    const char *key;
    json_t *value;
    json_object_foreach(json, key, value)
    {
        if (field_known(schema, key))
            continue;
        struct bytes names;
        bytes_init(&names, 0);
        for (size_t i = 0; i < schema->field_count; i++)
            if (!schema->fields[i].hidden)
                bytes_printf(&names, "%s%s", names.length == 0 ? "" : ", ", schema->fields[i].name);
        char quoted[SCHEMA_QUOTE_BYTES + 4];
        const struct schema_path here = {path, schema_quote(span_text(key), quoted), 0};
        const enum error_code code =
            schema_fail(context, &here, "unknown field; known: %.*s", (int)names.length,
                        names.length == 0 ? "none" : (const char *)names.data);
        bytes_done(&names);
        return code;
    }
    return ERROR_OK;
}

static enum error_code record_from_json(struct schema_context *context, const struct schema_path *path,
                                        const struct schema *schema, const json_t *json, uint32_t depth,
                                        void *record)
{
    if (depth > SCHEMA_DEPTH_MAX)
        return schema_fail(context, path, "nested deeper than %u", SCHEMA_DEPTH_MAX);
    if (!json_is_object(json))
        return wrong_kind(context, path, "an object", json);
    enum error_code code = refuse_unknown(context, path, schema, (json_t *)(uintptr_t)json);
    if (code != ERROR_OK)
        return code;
    memset(record, 0, schema->bytes);
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct field *field = &schema->fields[i];
        if (field->hidden)
            continue;
        const struct schema_path here = {path, field->name, 0};
        json_t *member = json_object_get(json, field->name);
        if (member != NULL)
            code = field_from_json(context, &here, field, member, depth, record);
        else if (field->required)
            code = schema_fail(context, &here, "missing, and required");
        if (code != ERROR_OK)
            return code;
    }
    return ERROR_OK;
}

enum error_code schema_from_json(const struct schema *schema, const json_t *json, struct arena *arena,
                                 void *record, struct error *error)
{
    struct error own; /* so that a code that differs from the usual one is known */
    struct schema_context context = {NULL, ERROR_INVALID, arena, error == NULL ? &own : error};
    return record_from_json(&context, NULL, schema, json, 0, record);
}

/* --- struct -> JSON
 * ----------------------------------------------------------------------------------------------- */

static json_t *json_or_null(json_t *json)
{
    return json == NULL ? json_null() : json;
}

static json_t *json_time(uint64_t wall_ms)
{
    if (wall_ms == 0)
        return json_null();
    char text[TIME_TEXT_BYTES];
    time_format(wall_ms, text);
    return json_string(text);
}

static json_t *json_enum(const struct field *field, uint32_t value)
{
    const char *name = value < field->names_count ? field->names[value] : NULL;
    return name == NULL ? json_null() : json_string(name);
}

static json_t *json_list(const struct field *field, const void *record)
{
    const uint8_t *elements = FIELD_GET(const uint8_t *, record, field->offset);
    const size_t count = FIELD_GET(size_t, record, field->count_offset);
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, schema_to_json(field->schema, elements + i * field->schema->bytes));
    return array;
}

static json_t *json_texts(const struct field *field, const void *record)
{
    const char *const *texts = FIELD_GET(const char *const *, record, field->offset);
    const size_t count = FIELD_GET(size_t, record, field->count_offset);
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_or_null(json_string(texts[i] == NULL ? "" : texts[i])));
    return array;
}

static json_t *json_map(const struct field *field, const void *record)
{
    const struct field_pair *pairs = FIELD_GET(const struct field_pair *, record, field->offset);
    const size_t count = FIELD_GET(size_t, record, field->count_offset);
    json_t *object = json_object();
    for (size_t i = 0; i < count; i++)
        json_object_set_new(object, pairs[i].key,
                            json_or_null(json_string(pairs[i].value ? pairs[i].value : "")));
    return object;
}

static json_t *json_value(struct span packed)
{
    json_t *json;
    struct error ignored;
    if (packed.bytes == 0 || value_to_json(packed, &json, &ignored) != ERROR_OK)
        return json_null();
    return json;
}

static json_t *json_struct(const struct field *field, const void *record)
{
    const void *inner = field_member_const(record, field->offset);
    if (!field->required && schema_empty(field->schema, inner))
        return json_null();
    return schema_to_json(field->schema, inner);
}

bool field_shows_null(const struct field *field, const void *record)
{
    if (field->required || !field_empty(field, record))
        return false;
    switch (field->type) {
    case FIELD_U64:
    case FIELD_LIST:
    case FIELD_TEXTS:
    case FIELD_MAP:
        return field->min > 0;
    case FIELD_I64:
        return field_i64_min(field) > 0 || field_i64_max(field) < 0;
    default:
        return field->type == FIELD_BLOB;
    }
}

static json_t *field_to_json(const struct field *field, const void *record)
{
    if (field_shows_null(field, record))
        return json_null();
    switch (field->type) {
    case FIELD_U64:
        return json_from_u64(FIELD_GET(uint64_t, record, field->offset));
    case FIELD_I64:
        return json_integer(FIELD_GET(int64_t, record, field->offset));
    case FIELD_BOOL:
        return json_boolean(FIELD_GET(bool, record, field->offset));
    case FIELD_TIME:
        return json_time(FIELD_GET(uint64_t, record, field->offset));
    case FIELD_ENUM:
        return json_enum(field, FIELD_GET(uint32_t, record, field->offset));
    case FIELD_TEXT:
    case FIELD_NAME: /* json_string answers NULL for NULL, and for what isn't UTF-8 */
        return json_or_null(json_string(FIELD_GET(const char *, record, field->offset)));
    case FIELD_BLOB:
        return json_from_blob(FIELD_GET(struct span, record, field->offset));
    case FIELD_STRUCT:
        return json_struct(field, record);
    case FIELD_LIST:
        return json_list(field, record);
    case FIELD_TEXTS:
        return json_texts(field, record);
    case FIELD_MAP:
        return json_map(field, record);
    case FIELD_VALUE:
        return json_value(FIELD_GET(struct span, record, field->offset));
    }
    CHECK(false, "field %s has type %d", field->name, (int)field->type);
}

json_t *schema_to_json(const struct schema *schema, const void *record)
{
    json_t *object = json_object();
    CHECK(object != NULL, "out of memory for a %s", schema->name);
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct field *field = &schema->fields[i];
        if (field->hidden || (field->omit_empty && field_empty(field, record)))
            continue;
        const int failed = json_object_set_new(object, field->name, field_to_json(field, record));
        CHECK(failed == 0, "%s.%s has no JSON form", schema->name, field->name);
    }
    return object;
}
