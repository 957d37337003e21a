/* Structs to msgpack and back, by their tables; and the checks that both forms share. */
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/schema_internal.h"

/* --- bounds
 * ------------------------------------------------------------------------------------------------------- */

uint64_t field_max(const struct field *field)
{
    if (field->max != 0)
        return field->max;
    switch (field->type) {
    case FIELD_U64:
        return SCHEMA_INTEGER_MAX;
    case FIELD_TIME:
        return SCHEMA_TIME_MAX;
    case FIELD_LIST:
    case FIELD_TEXTS:
    case FIELD_MAP:
        return SCHEMA_ELEMENTS_MAX;
    default:
        return COMMAND_BYTES_MAX;
    }
}

uint64_t field_min(const struct field *field)
{
    const bool empty_refused =
        field->type == FIELD_TEXT || field->type == FIELD_NAME || field->type == FIELD_VALUE;
    return field->required && empty_refused && field->min == 0 ? 1 : field->min;
}

int64_t field_i64_max(const struct field *field)
{
    return field->min == 0 && field->max == 0 ? (int64_t)SCHEMA_INTEGER_MAX : (int64_t)field->max;
}

int64_t field_i64_min(const struct field *field)
{
    return field->min == 0 && field->max == 0 ? -(int64_t)SCHEMA_INTEGER_MAX : (int64_t)field->min;
}

/* --- errors
 * ------------------------------------------------------------------------------------------------------- */

static void path_write(const struct schema_path *path, struct bytes *out)
{
    if (path == NULL)
        return;
    path_write(path->parent, out);
    if (path->name == NULL)
        bytes_printf(out, "[%zu]", path->index);
    else
        bytes_printf(out, "%s%s", out->length == 0 ? "" : ".", path->name);
}

enum error_code schema_fail(const struct schema_context *context, const struct schema_path *path,
                            const char *format, ...)
{
    struct bytes where;
    bytes_init(&where, 0);
    if (context->root != NULL)
        bytes_append_text(&where, context->root);
    path_write(path, &where);
    va_list arguments;
    va_start(arguments, format);
    error_setv(context->error, context->code, format, arguments);
    va_end(arguments);
    if (where.length != 0 && context->error != NULL)
        error_prefix(context->error, "%.*s", (int)where.length, (const char *)where.data);
    bytes_done(&where);
    return context->code;
}

const char *schema_quote(struct span text, char out[SCHEMA_QUOTE_BYTES + 4])
{
    size_t length = text.bytes;
    const uint8_t *data = text.data;
    const bool cut = length > SCHEMA_QUOTE_BYTES;
    if (cut)
        length = SCHEMA_QUOTE_BYTES;
    while (cut && length > 0 && (data[length] & 0xc0) == 0x80)
        length--;
    if (length > 0)
        memcpy(out, data, length);
    memcpy(out + length, cut ? "..." : "", cut ? 4 : 1);
    return out;
}

/* --- checks
 * ------------------------------------------------------------------------------------------------------- */

void *schema_new(const struct schema_context *context, const struct schema_path *path, size_t bytes)
{
    const struct arena *arena = context->arena;
    if (bytes > arena->used_max || arena->used > arena->used_max - bytes) {
        struct schema_context too_big = *context;
        if (context->code == ERROR_INVALID)
            too_big.code = ERROR_TOO_BIG;
        schema_fail(&too_big, path, "takes more than the %zu bytes of memory allowed", arena->used_max);
        return NULL;
    }
    return arena_new(context->arena, bytes);
}

char *schema_text(const struct schema_context *context, const struct schema_path *path, struct span text)
{
    char *copy = schema_new(context, path, text.bytes + 1);
    if (copy == NULL)
        return NULL;
    if (text.bytes != 0)
        memcpy(copy, text.data, text.bytes);
    copy[text.bytes] = '\0';
    return copy;
}

enum error_code field_check_u64(const struct schema_context *context, const struct schema_path *path,
                                const struct field *field, uint64_t value)
{
    if (value >= field->min && value <= field_max(field))
        return ERROR_OK;
    return schema_fail(context, path, "%llu is not within %llu .. %llu", (unsigned long long)value,
                       (unsigned long long)field->min, (unsigned long long)field_max(field));
}

enum error_code field_check_i64(const struct schema_context *context, const struct schema_path *path,
                                const struct field *field, int64_t value)
{
    if (value >= field_i64_min(field) && value <= field_i64_max(field))
        return ERROR_OK;
    return schema_fail(context, path, "%lld is not within %lld .. %lld", (long long)value,
                       (long long)field_i64_min(field), (long long)field_i64_max(field));
}

static enum error_code check_size(const struct schema_context *context, const struct schema_path *path,
                                  const struct field *field, uint64_t size, const char *unit)
{
    if (size >= field_min(field) && size <= field_max(field))
        return ERROR_OK;
    return schema_fail(context, path, "%llu %s is not within %llu .. %llu", (unsigned long long)size, unit,
                       (unsigned long long)field_min(field), (unsigned long long)field_max(field));
}

enum error_code field_check_bytes(const struct schema_context *context, const struct schema_path *path,
                                  const struct field *field, uint64_t bytes)
{
    return check_size(context, path, field, bytes, "bytes");
}

enum error_code field_check_count(const struct schema_context *context, const struct schema_path *path,
                                  const struct field *field, uint64_t count)
{
    return check_size(context, path, field, count, "elements");
}

enum error_code field_take_text(const struct schema_context *context, const struct schema_path *path,
                                const struct field *field, struct span text, const char **out)
{
    char quoted[SCHEMA_QUOTE_BYTES + 4];
    if (!text_clean(text))
        return schema_fail(context, path, "not UTF-8 text without NUL");
    if (field->type == FIELD_TEXT || text.bytes == 0) {
        const enum error_code code = field_check_bytes(context, path, field, text.bytes);
        if (code != ERROR_OK)
            return code;
    }
    const char *copy = schema_text(context, path, text);
    if (copy == NULL)
        return context->error == NULL ? context->code : context->error->code;
    if (field->type == FIELD_NAME && !name_valid(copy))
        return schema_fail(context, path, "\"%s\" is not a name: [A-Za-z0-9][A-Za-z0-9._-]{0,127}",
                           schema_quote(text, quoted));
    *out = copy;
    return ERROR_OK;
}

enum error_code field_take_element(const struct schema_context *context, const struct schema_path *path,
                                   struct span text, size_t bytes_min, size_t bytes_max, const char **out)
{
    if (!text_clean(text))
        return schema_fail(context, path, "not UTF-8 text without NUL");
    if (text.bytes < bytes_min || text.bytes > bytes_max)
        return schema_fail(context, path, "%zu bytes is not within %zu .. %zu", text.bytes, bytes_min,
                           bytes_max);
    const char *copy = schema_text(context, path, text);
    if (copy == NULL)
        return context->error == NULL ? context->code : context->error->code;
    *out = copy;
    return ERROR_OK;
}

bool field_empty(const struct field *field, const void *record)
{
    switch (field->type) {
    case FIELD_U64:
    case FIELD_TIME:
        return FIELD_GET(uint64_t, record, field->offset) == 0;
    case FIELD_I64:
        return FIELD_GET(int64_t, record, field->offset) == 0;
    case FIELD_BOOL:
        return !FIELD_GET(bool, record, field->offset);
    case FIELD_ENUM:
        return FIELD_GET(uint32_t, record, field->offset) == 0;
    case FIELD_TEXT:
    case FIELD_NAME:
        return FIELD_GET(const char *, record, field->offset) == NULL;
    case FIELD_BLOB:
    case FIELD_VALUE:
        return FIELD_GET(struct span, record, field->offset).bytes == 0;
    case FIELD_STRUCT:
        return schema_empty(field->schema, field_member_const(record, field->offset));
    case FIELD_LIST:
    case FIELD_TEXTS:
    case FIELD_MAP:
        return FIELD_GET(size_t, record, field->count_offset) == 0;
    }
    return true;
}

bool schema_empty(const struct schema *schema, const void *record)
{
    for (size_t i = 0; i < schema->field_count; i++)
        if (!field_empty(&schema->fields[i], record))
            return false;
    return true;
}

/* --- struct -> msgpack
 * -------------------------------------------------------------------------------------------- */

int schema_write(void *bytes, const char *data, size_t length)
{
    bytes_append(bytes, data, length);
    return 0;
}

static void pack_text(msgpack_packer *packer, const char *text)
{
    const size_t length = text == NULL ? 0 : strlen(text);
    msgpack_pack_str(packer, length);
    if (length != 0)
        msgpack_pack_str_body(packer, text, length);
}

static int pair_compare(const void *a, const void *b)
{
    return strcmp(((const struct field_pair *)a)->key, ((const struct field_pair *)b)->key);
}

void schema_sort_pairs(struct field_pair *pairs, size_t count)
{
    if (count > 1)
        qsort(pairs, count, sizeof *pairs, pair_compare);
}

static void pack_map(msgpack_packer *packer, const struct field_pair *pairs, size_t count)
{
    struct field_pair *sorted = count == 0 ? NULL : memory_new(count * sizeof *sorted);
    msgpack_pack_map(packer, count);
    if (count != 0) {
        memcpy(sorted, pairs, count * sizeof *sorted);
        schema_sort_pairs(sorted, count);
    }
    for (size_t i = 0; i < count; i++) {
        CHECK(i == 0 || strcmp(sorted[i - 1].key, sorted[i].key) != 0, "map key \"%s\" twice", sorted[i].key);
        pack_text(packer, sorted[i].key);
        pack_text(packer, sorted[i].value);
    }
    free(sorted);
}

static void pack_record(msgpack_packer *packer, const struct schema *schema, const void *record);

static void pack_list(msgpack_packer *packer, const struct field *field, const void *record)
{
    const uint8_t *elements = FIELD_GET(const uint8_t *, record, field->offset);
    const size_t count = FIELD_GET(size_t, record, field->count_offset);
    msgpack_pack_array(packer, count);
    for (size_t i = 0; i < count; i++)
        pack_record(packer, field->schema, elements + i * field->schema->bytes);
}

static void pack_texts(msgpack_packer *packer, const struct field *field, const void *record)
{
    const char *const *texts = FIELD_GET(const char *const *, record, field->offset);
    const size_t count = FIELD_GET(size_t, record, field->count_offset);
    msgpack_pack_array(packer, count);
    for (size_t i = 0; i < count; i++)
        pack_text(packer, texts[i]);
}

static void pack_optional_text(msgpack_packer *packer, const struct field *field, const char *text)
{
    if (text == NULL || (field->type == FIELD_NAME && text[0] == '\0'))
        msgpack_pack_nil(packer);
    else
        pack_text(packer, text);
}

static void pack_span(msgpack_packer *packer, const struct field *field, struct span span)
{
    if (field->type == FIELD_BLOB) {
        msgpack_pack_bin(packer, span.bytes);
        if (span.bytes != 0)
            msgpack_pack_bin_body(packer, span.data, span.bytes);
    } else if (span.bytes == 0) {
        msgpack_pack_nil(packer);
    } else {
        bytes_append(packer->data, span.data, span.bytes);
    }
}

static void pack_struct(msgpack_packer *packer, const struct field *field, const void *record)
{
    const void *inner = field_member_const(record, field->offset);
    if (!field->required && schema_empty(field->schema, inner))
        msgpack_pack_nil(packer);
    else
        pack_record(packer, field->schema, inner);
}

static void pack_field(msgpack_packer *packer, const struct field *field, const void *record)
{
    switch (field->type) {
    case FIELD_U64:
    case FIELD_TIME:
        msgpack_pack_uint64(packer, FIELD_GET(uint64_t, record, field->offset));
        return;
    case FIELD_I64:
        msgpack_pack_int64(packer, FIELD_GET(int64_t, record, field->offset));
        return;
    case FIELD_BOOL:
        if (FIELD_GET(bool, record, field->offset))
            msgpack_pack_true(packer);
        else
            msgpack_pack_false(packer);
        return;
    case FIELD_ENUM:
        msgpack_pack_uint32(packer, FIELD_GET(uint32_t, record, field->offset));
        return;
    case FIELD_TEXT:
    case FIELD_NAME:
        pack_optional_text(packer, field, FIELD_GET(const char *, record, field->offset));
        return;
    case FIELD_BLOB:
    case FIELD_VALUE:
        pack_span(packer, field, FIELD_GET(struct span, record, field->offset));
        return;
    case FIELD_STRUCT:
        pack_struct(packer, field, record);
        return;
    case FIELD_LIST:
        pack_list(packer, field, record);
        return;
    case FIELD_TEXTS:
        pack_texts(packer, field, record);
        return;
    case FIELD_MAP:
        pack_map(packer, FIELD_GET(const struct field_pair *, record, field->offset),
                 FIELD_GET(size_t, record, field->count_offset));
        return;
    }
    CHECK(false, "field %s has type %d", field->name, (int)field->type);
}

static void pack_record(msgpack_packer *packer, const struct schema *schema, const void *record)
{
    msgpack_pack_array(packer, schema->field_count);
    for (size_t i = 0; i < schema->field_count; i++)
        pack_field(packer, &schema->fields[i], record);
}

void schema_pack(const struct schema *schema, const void *record, struct bytes *out)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, schema_write);
    pack_record(&packer, schema, record);
}
