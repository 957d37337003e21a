/* JSON text in the one form that this program writes (compact, fields in table order), read and written
 * without a tree.
 *
 * Why it exists: a trail of a million lines is checked line by line, and a tree of JSON values costs three
 * quarters of that; every node writes a line for each change. What has another form is left to json_parse()
 * and schema_from_json(), which know what is wrong with it; so everything here answers only "that is it" or
 * "I can't tell".
 *
 * Invariant: what is read here reads the same by way of the tree, and what is written here is what the tree
 * prints (checked by a test over random records, and by fuzzing). */
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/schema_internal.h"

#define LINE_PAIRS_MAX 64u

struct line {
    const char *at, *end;
    struct schema_context context;
    struct bytes text; /* a text with its escapes resolved */
};

static bool skip(struct line *line, const char *literal, size_t length)
{
    if ((size_t)(line->end - line->at) < length || memcmp(line->at, literal, length) != 0)
        return false;
    line->at += length;
    return true;
}

static bool skip_byte(struct line *line, char byte)
{
    return skip(line, &byte, 1);
}

static bool take_number(struct line *line, uint64_t *out)
{
    const char *begin = line->at;
    uint64_t value = 0;
    while (line->at < line->end && *line->at >= '0' && *line->at <= '9' && line->at - begin < 18)
        value = value * 10 + (uint64_t)(*line->at++ - '0');
    const size_t digits = (size_t)(line->at - begin);
    *out = value;
    return digits > 0 && (digits == 1 || *begin != '0') && line->at < line->end &&
           (*line->at == ',' || *line->at == '}');
}

/* "\u001b": what the writer escapes so is below a blank. */
static bool take_code(struct line *line)
{
    uint8_t code[2];
    char digits[5];
    if (line->end - line->at < 4)
        return false;
    memcpy(digits, line->at, 4);
    digits[4] = '\0';
    if (!hex_decode(digits, code, 2) || code[0] != 0 || code[1] == 0 || code[1] >= 0x80)
        return false;
    line->at += 4;
    bytes_append(&line->text, &code[1], 1);
    return true;
}

static bool take_escape(struct line *line)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (line->at == line->end)
        return false;
    const char kind = *line->at++;
    if (kind == 'u')
        return take_code(line);
    const char *known = kind != '\0' ? strchr(from, kind) : NULL;
    if (known == NULL)
        return false;
    bytes_append(&line->text, &to[known - from], 1);
    return true;
}

static bool is_plain(char byte)
{
    return byte != '"' && byte != '\\' && (unsigned char)byte >= 0x20;
}

/* A text in quotes; borrowed from the line, or from `line->text` until the next one. */
static bool take_text(struct line *line, struct span *out)
{
    if (!skip_byte(line, '"'))
        return false;
    const char *begin = line->at;
    while (line->at < line->end && is_plain(*line->at))
        line->at++;
    if (line->at < line->end && *line->at == '"') {
        *out = span_of(begin, (size_t)(line->at++ - begin));
        return true;
    }
    bytes_clear(&line->text);
    bytes_append(&line->text, begin, (size_t)(line->at - begin));
    while (line->at < line->end && *line->at != '"') {
        const char byte = *line->at++;
        if (byte == '\\' ? !take_escape(line) : !is_plain(byte))
            return false;
        if (byte != '\\')
            bytes_append(&line->text, &byte, 1);
    }
    *out = bytes_span(&line->text);
    return !line->text.overflow && skip_byte(line, '"');
}

static bool read_time(struct line *line, const struct field *field, uint64_t *out)
{
    char time[TIME_TEXT_BYTES];
    struct span text;
    if (!take_text(line, &text) || text.bytes >= sizeof time)
        return false;
    memcpy(time, text.data, text.bytes);
    time[text.bytes] = '\0';
    return time_parse(time, out) == 0 && field_check_u64(&line->context, NULL, field, *out) == ERROR_OK;
}

static bool read_enum(struct line *line, const struct field *field, uint32_t *out)
{
    struct span text;
    if (!take_text(line, &text))
        return false;
    for (uint32_t i = 0; i < field->names_count; i++) {
        if (field->names[i] == NULL || !span_equal(span_text(field->names[i]), text))
            continue;
        *out = i;
        return true;
    }
    return false;
}

static bool read_blob(struct line *line, const struct field *field, struct span *out)
{
    struct span text;
    if (!take_text(line, &text) || text.bytes == 0 || text.bytes % 2 != 0 ||
        field_check_bytes(&line->context, NULL, field, text.bytes / 2) != ERROR_OK)
        return false;
    const char *digits = schema_text(&line->context, NULL, text);
    uint8_t *copy = digits != NULL ? schema_new(&line->context, NULL, text.bytes / 2) : NULL;
    if (copy == NULL || !hex_decode(digits, copy, text.bytes / 2))
        return false;
    *out = span_of(copy, text.bytes / 2);
    return true;
}

static bool read_text(struct line *line, const struct field *field, const char **out)
{
    struct span text;
    return take_text(line, &text) && field_take_text(&line->context, NULL, field, text, out) == ERROR_OK &&
           !(field->required && text_is_blank(*out));
}

static bool read_pair(struct line *line, struct field_pair *out)
{
    struct span text;
    return take_text(line, &text) &&
           field_take_element(&line->context, NULL, text, 1, SCHEMA_MAP_KEY_MAX, &out->key) == ERROR_OK &&
           skip_byte(line, ':') && take_text(line, &text) &&
           field_take_element(&line->context, NULL, text, 0, SCHEMA_MAP_VALUE_MAX, &out->value) == ERROR_OK;
}

/* Keys in order, as they are stored. */
static bool read_map(struct line *line, const struct field *field, void *record)
{
    struct field_pair pairs[LINE_PAIRS_MAX];
    size_t count = 0;
    if (!skip_byte(line, '{'))
        return false;
    while (!skip_byte(line, '}')) {
        if (count == LINE_PAIRS_MAX || (count > 0 && !skip_byte(line, ',')) ||
            !read_pair(line, &pairs[count]) ||
            (count > 0 && strcmp(pairs[count - 1].key, pairs[count].key) >= 0))
            return false;
        count++;
    }
    if (field_check_count(&line->context, NULL, field, count) != ERROR_OK)
        return false;
    if (count == 0)
        return true;
    struct field_pair *copy = schema_new(&line->context, NULL, count * sizeof *copy);
    if (copy == NULL)
        return false;
    memcpy(copy, pairs, count * sizeof *copy);
    FIELD_PUT(struct field_pair *, record, field->offset) = copy;
    FIELD_PUT(size_t, record, field->count_offset) = count;
    return true;
}

static bool read_field(struct line *line, const struct field *field, void *record)
{
    void *member = field_member(record, field->offset);
    if (skip(line, "null", 4))
        return !field->required;
    switch (field->type) {
    case FIELD_U64:
        return take_number(line, member) &&
               field_check_u64(&line->context, NULL, field, *(uint64_t *)member) == ERROR_OK;
    case FIELD_TIME:
        return read_time(line, field, member);
    case FIELD_ENUM:
        return read_enum(line, field, member);
    case FIELD_TEXT:
    case FIELD_NAME:
        return read_text(line, field, member);
    case FIELD_BLOB:
        return read_blob(line, field, member);
    case FIELD_MAP:
        return read_map(line, field, record);
    default:
        return false; /* no line that is read so has one */
    }
}

static bool read_record(struct line *line, const struct schema *schema, void *record)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct field *field = &schema->fields[i];
        if (field->hidden)
            continue;
        if (!skip_byte(line, i == 0 ? '{' : ',') || !skip_byte(line, '"') ||
            !skip(line, field->name, strlen(field->name)) || !skip(line, "\":", 2) ||
            !read_field(line, field, record))
            return false;
    }
    return skip_byte(line, '}') && line->at == line->end;
}

bool schema_from_line(const struct schema *schema, struct span text, struct arena *arena, void *record)
{
    struct error error = {0};
    struct line line = {.at = text.data,
                        .end = text.bytes > 0 ? (const char *)text.data + text.bytes : text.data,
                        .context = {NULL, ERROR_INVALID, arena, &error}};
    CHECK(schema->field_count > 0 && !schema->fields[0].hidden, "%s begins with a field that is shown",
          schema->name);
    bytes_init(&line.text, 0);
    memset(record, 0, schema->bytes);
    const bool good = read_record(&line, schema, record);
    bytes_done(&line.text);
    return good;
}

/* --- writing --- */

static void put_byte(struct bytes *out, char byte)
{
    bytes_append(out, &byte, 1);
}

/* As Jansson escapes: what must be, and nothing else. */
static void put_escaped(struct bytes *out, char byte)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    static const char digits[] = "0123456789ABCDEF";
    const char *known = strchr(from, byte);
    char text[] = {'\\', 'u', '0', '0', digits[(byte >> 4) & 0xf], digits[byte & 0xf]};
    if (known != NULL)
        text[1] = to[known - from];
    bytes_append(out, text, known != NULL ? 2 : sizeof text);
}

/* A text that isn't UTF-8, or none, is null. */
static void put_text(struct bytes *out, const char *text)
{
    if (text == NULL || !utf8_valid(text, strlen(text))) {
        bytes_append_text(out, "null");
        return;
    }
    put_byte(out, '"');
    for (;;) {
        const char *begin = text;
        while (is_plain(*text))
            text++;
        bytes_append(out, begin, (size_t)(text - begin));
        if (*text == '\0')
            break;
        put_escaped(out, *text++);
    }
    put_byte(out, '"');
}

/* What is past JSON's integers is text. */
static void put_number(struct bytes *out, uint64_t value)
{
    const bool text = value > INT64_MAX;
    char digits[22];
    size_t at = sizeof digits;
    if (text)
        digits[--at] = '"';
    do
        digits[--at] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    if (text)
        digits[--at] = '"';
    bytes_append(out, digits + at, sizeof digits - at);
}

static void put_time(struct bytes *out, uint64_t wall_ms)
{
    char text[TIME_TEXT_BYTES];
    if (wall_ms > 0)
        time_format(wall_ms, text);
    put_text(out, wall_ms > 0 ? text : NULL);
}

static void put_blob(struct bytes *out, struct span blob)
{
    put_byte(out, '"');
    char *digits = (char *)bytes_extend(out, 2 * blob.bytes + 1); /* and the NUL, where the quote goes */
    if (digits != NULL) {
        hex_encode(blob.data, blob.bytes, digits);
        digits[2 * blob.bytes] = '"';
    }
}

static void put_map(struct bytes *out, const struct field *field, const void *record)
{
    const struct field_pair *pairs = FIELD_GET(const struct field_pair *, record, field->offset);
    const size_t count = FIELD_GET(size_t, record, field->count_offset);
    put_byte(out, '{');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            put_byte(out, ',');
        put_text(out, pairs[i].key);
        put_byte(out, ':');
        put_text(out, pairs[i].value != NULL ? pairs[i].value : "");
    }
    put_byte(out, '}');
}

static void put_field(struct bytes *out, const struct field *field, const void *record)
{
    uint32_t choice;
    if (field_shows_null(field, record)) {
        put_text(out, NULL);
        return;
    }
    switch (field->type) {
    case FIELD_U64:
        put_number(out, FIELD_GET(uint64_t, record, field->offset));
        return;
    case FIELD_TIME:
        put_time(out, FIELD_GET(uint64_t, record, field->offset));
        return;
    case FIELD_ENUM:
        choice = FIELD_GET(uint32_t, record, field->offset);
        put_text(out, choice < field->names_count ? field->names[choice] : NULL);
        return;
    case FIELD_TEXT:
    case FIELD_NAME:
        put_text(out, FIELD_GET(const char *, record, field->offset));
        return;
    case FIELD_BLOB:
        put_blob(out, FIELD_GET(struct span, record, field->offset));
        return;
    case FIELD_MAP:
        put_map(out, field, record);
        return;
    default:
        CHECK(false, "field %s is of no type that lines have", field->name);
    }
}

void schema_to_line(const struct schema *schema, const void *record, struct bytes *out)
{
    char separator = '{';
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct field *field = &schema->fields[i];
        if (field->hidden || (field->omit_empty && field_empty(field, record)))
            continue;
        put_byte(out, separator);
        separator = ',';
        put_text(out, field->name);
        put_byte(out, ':');
        put_field(out, field, record);
    }
    put_byte(out, '}');
}
