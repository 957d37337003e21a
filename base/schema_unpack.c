/* msgpack to structs, by their tables. Stored and received bytes are input: nothing is believed before it is
 * checked. */
#include <string.h>

#include "base/check.h"
#include "base/schema_internal.h"

static enum error_code unpack_record(struct schema_context *context, const struct schema_path *path,
                                     const struct schema *schema, struct reader *reader, uint32_t depth,
                                     void *record);

static enum error_code arena_full(const struct schema_context *context)
{
    return context->code; /* schema_new has said it */
}

static enum error_code unexpected(const struct schema_context *context, const struct schema_path *path)
{
    return schema_fail(context, path, "bytes of another type stand here");
}

static enum error_code unpack_u64(const struct schema_context *context, const struct schema_path *path,
                                  const struct field *field, const struct token *token, uint64_t *out)
{
    if (token->kind != TOKEN_U64)
        return unexpected(context, path);
    if (token->number != 0 || field->required) {
        const enum error_code code = field_check_u64(context, path, field, token->number);
        if (code != ERROR_OK)
            return code;
    }
    *out = token->number;
    return ERROR_OK;
}

static enum error_code unpack_i64(const struct schema_context *context, const struct schema_path *path,
                                  const struct field *field, const struct token *token, int64_t *out)
{
    int64_t value = token->negative;
    if (token->kind == TOKEN_U64 && token->number <= INT64_MAX)
        value = (int64_t)token->number;
    else if (token->kind != TOKEN_NEGATIVE)
        return unexpected(context, path);
    if (value != 0 || field->required) {
        const enum error_code code = field_check_i64(context, path, field, value);
        if (code != ERROR_OK)
            return code;
    }
    *out = value;
    return ERROR_OK;
}

static enum error_code unpack_enum(const struct schema_context *context, const struct schema_path *path,
                                   const struct field *field, const struct token *token, uint32_t *out)
{
    if (token->kind != TOKEN_U64)
        return unexpected(context, path);
    const bool absent = token->number == 0 && !field->required;
    if (!absent && (token->number >= field->names_count || field->names[token->number] == NULL))
        return schema_fail(context, path, "%llu is none of its %u values", (unsigned long long)token->number,
                           field->names_count);
    *out = (uint32_t)token->number;
    return ERROR_OK;
}

static enum error_code unpack_blob(const struct schema_context *context, const struct schema_path *path,
                                   const struct field *field, const struct token *token, struct span *out)
{
    if (token->kind != TOKEN_BLOB)
        return unexpected(context, path);
    if (token->payload.bytes != 0 || field->required) {
        const enum error_code code = field_check_bytes(context, path, field, token->payload.bytes);
        if (code != ERROR_OK)
            return code;
    }
    if (token->payload.bytes == 0)
        return ERROR_OK;
    if (field->borrow) {
        *out = token->payload;
        return ERROR_OK;
    }
    const void *copy = schema_text(context, path, token->payload);
    if (copy == NULL)
        return arena_full(context);
    *out = span_of(copy, token->payload.bytes);
    return ERROR_OK;
}

static enum error_code unpack_value(const struct schema_context *context, const struct schema_path *path,
                                    const struct field *field, struct reader *reader, struct span *out)
{
    struct span value;
    if (!reader_skip(reader, &value))
        return schema_fail(context, path, "not a value, or nested deeper than %u", SCHEMA_DEPTH_MAX);
    const enum error_code code = field_check_bytes(context, path, field, value.bytes);
    if (code != ERROR_OK)
        return code;
    const void *copy = schema_text(context, path, value);
    if (copy == NULL)
        return arena_full(context);
    *out = span_of(copy, value.bytes);
    return ERROR_OK;
}

static enum error_code unpack_list(struct schema_context *context, const struct schema_path *path,
                                   const struct field *field, struct reader *reader, uint32_t count,
                                   uint32_t depth, void *record)
{
    uint8_t *elements = schema_new(context, path, count * field->schema->bytes);
    if (elements == NULL)
        return arena_full(context);
    for (uint32_t i = 0; i < count; i++) {
        const struct schema_path here = {path, NULL, i};
        const enum error_code code = unpack_record(context, &here, field->schema, reader, depth + 1,
                                                   elements + i * field->schema->bytes);
        if (code != ERROR_OK)
            return code;
    }
    FIELD_PUT(void *, record, field->offset) = elements;
    FIELD_PUT(size_t, record, field->count_offset) = count;
    return ERROR_OK;
}

static enum error_code unpack_element(const struct schema_context *context, const struct schema_path *path,
                                      struct reader *reader, size_t bytes_min, size_t bytes_max,
                                      const char **out)
{
    struct token token;
    if (!reader_next(reader, &token) || token.kind != TOKEN_TEXT)
        return unexpected(context, path);
    return field_take_element(context, path, token.payload, bytes_min, bytes_max, out);
}

static enum error_code unpack_texts(const struct schema_context *context, const struct schema_path *path,
                                    const struct field *field, struct reader *reader, uint32_t count,
                                    void *record)
{
    const char **texts = schema_new(context, path, count * sizeof *texts);
    if (texts == NULL)
        return arena_full(context);
    for (uint32_t i = 0; i < count; i++) {
        const struct schema_path here = {path, NULL, i};
        const enum error_code code =
            unpack_element(context, &here, reader, 0, SCHEMA_TEXTS_BYTES_MAX, &texts[i]);
        if (code != ERROR_OK)
            return code;
    }
    FIELD_PUT(const char **, record, field->offset) = texts;
    FIELD_PUT(size_t, record, field->count_offset) = count;
    return ERROR_OK;
}

static enum error_code unpack_map(const struct schema_context *context, const struct schema_path *path,
                                  const struct field *field, struct reader *reader, uint32_t count,
                                  void *record)
{
    struct field_pair *pairs = schema_new(context, path, count * sizeof *pairs);
    if (pairs == NULL)
        return arena_full(context);
    for (uint32_t i = 0; i < count; i++) {
        const struct schema_path here = {path, NULL, i};
        enum error_code code = unpack_element(context, &here, reader, 1, SCHEMA_MAP_KEY_MAX, &pairs[i].key);
        if (code == ERROR_OK)
            code = unpack_element(context, &here, reader, 0, SCHEMA_MAP_VALUE_MAX, &pairs[i].value);
        if (code != ERROR_OK)
            return code;
        if (i > 0 && strcmp(pairs[i - 1].key, pairs[i].key) >= 0)
            return schema_fail(context, &here, "its keys are not in order");
    }
    FIELD_PUT(struct field_pair *, record, field->offset) = pairs;
    FIELD_PUT(size_t, record, field->count_offset) = count;
    return ERROR_OK;
}

/* LIST, TEXTS and MAP: the count is checked before anything is made for it. */
static enum error_code unpack_elements(struct schema_context *context, const struct schema_path *path,
                                       const struct field *field, struct reader *reader, uint32_t depth,
                                       void *record)
{
    struct token token;
    if (!reader_next(reader, &token))
        return schema_fail(context, path, "cut short");
    if (token.kind != (field->type == FIELD_MAP ? TOKEN_MAP : TOKEN_ARRAY))
        return unexpected(context, path);
    if (token.count != 0 || field->required) {
        const enum error_code code = field_check_count(context, path, field, token.count);
        if (code != ERROR_OK)
            return code;
    }
    if (token.count == 0)
        return ERROR_OK;
    if (field->type == FIELD_LIST)
        return unpack_list(context, path, field, reader, token.count, depth, record);
    if (field->type == FIELD_TEXTS)
        return unpack_texts(context, path, field, reader, token.count, record);
    return unpack_map(context, path, field, reader, token.count, record);
}

/* Fields that are one token. */
static enum error_code unpack_scalar(const struct schema_context *context, const struct schema_path *path,
                                     const struct field *field, struct reader *reader, void *record)
{
    struct token token;
    if (!reader_next(reader, &token))
        return schema_fail(context, path, "cut short");
    void *member = field_member(record, field->offset);
    switch (field->type) {
    case FIELD_U64:
    case FIELD_TIME:
        return unpack_u64(context, path, field, &token, member);
    case FIELD_I64:
        return unpack_i64(context, path, field, &token, member);
    case FIELD_BOOL:
        if (token.kind != TOKEN_BOOL)
            return unexpected(context, path);
        *(bool *)member = token.number != 0;
        return ERROR_OK;
    case FIELD_ENUM:
        return unpack_enum(context, path, field, &token, member);
    case FIELD_TEXT:
    case FIELD_NAME:
        if (token.kind != TOKEN_TEXT)
            return unexpected(context, path);
        return field_take_text(context, path, field, token.payload, member);
    case FIELD_BLOB:
        return unpack_blob(context, path, field, &token, member);
    default:
        CHECK(false, "field %s has type %d", field->name, (int)field->type);
    }
}

static bool nil_means_absent(enum field_type type)
{
    return type == FIELD_TEXT || type == FIELD_NAME || type == FIELD_VALUE || type == FIELD_STRUCT;
}

static enum error_code unpack_field(struct schema_context *context, const struct schema_path *path,
                                    const struct field *field, struct reader *reader, uint32_t depth,
                                    void *record)
{
    const struct reader before = *reader;
    struct token token;
    if (nil_means_absent(field->type) && reader_next(reader, &token)) {
        if (token.kind == TOKEN_NIL)
            return field->required ? schema_fail(context, path, "missing, and required") : ERROR_OK;
        *reader = before;
    }
    switch (field->type) {
    case FIELD_STRUCT:
        return unpack_record(context, path, field->schema, reader, depth + 1,
                             field_member(record, field->offset));
    case FIELD_LIST:
    case FIELD_TEXTS:
    case FIELD_MAP:
        return unpack_elements(context, path, field, reader, depth, record);
    case FIELD_VALUE:
        return unpack_value(context, path, field, reader, field_member(record, field->offset));
    default:
        return unpack_scalar(context, path, field, reader, record);
    }
}

/* A shorter array comes from an older level: what it lacks stays zero. */
static enum error_code missing_fields(const struct schema_context *context, const struct schema_path *path,
                                      const struct schema *schema, size_t from)
{
    for (size_t i = from; i < schema->field_count; i++) {
        const struct schema_path here = {path, schema->fields[i].name, 0};
        if (schema->fields[i].required)
            return schema_fail(context, &here, "missing, and required");
    }
    return ERROR_OK;
}

static enum error_code unpack_record(struct schema_context *context, const struct schema_path *path,
                                     const struct schema *schema, struct reader *reader, uint32_t depth,
                                     void *record)
{
    struct token token;
    if (depth > SCHEMA_DEPTH_MAX)
        return schema_fail(context, path, "nested deeper than %u", SCHEMA_DEPTH_MAX);
    if (!reader_next(reader, &token) || token.kind != TOKEN_ARRAY)
        return schema_fail(context, path, "not an array of %zu fields", schema->field_count);
    if (token.count > schema->field_count)
        return schema_fail(context, path,
                           "%u fields where at most %zu are known: it comes from a newer version",
                           token.count, schema->field_count);
    memset(record, 0, schema->bytes);
    for (uint32_t i = 0; i < token.count; i++) {
        const struct schema_path here = {path, schema->fields[i].name, 0};
        const enum error_code code = unpack_field(context, &here, &schema->fields[i], reader, depth, record);
        if (code != ERROR_OK)
            return code;
    }
    return missing_fields(context, path, schema, token.count);
}

enum error_code schema_unpack(const struct schema *schema, struct span packed, struct arena *arena,
                              void *record, struct error *error)
{
    struct schema_context context = {schema->name, ERROR_CORRUPT, arena, error};
    struct reader reader = reader_of(packed);
    const enum error_code code = unpack_record(&context, NULL, schema, &reader, 0, record);
    if (code != ERROR_OK)
        return code;
    if (reader.at != reader.end)
        return schema_fail(&context, NULL, "%zu bytes follow its end", (size_t)(reader.end - reader.at));
    return ERROR_OK;
}
