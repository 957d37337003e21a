#include "tools/autonomy/yaml.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/bytes.h"
#include "base/check.h"

struct reader {
    yaml_parser_t parser;
    const char *name;
    uint32_t values;
    struct error *error;
};

static enum error_code refuse(struct reader *self, const yaml_mark_t *mark, enum error_code code,
                              const char *what)
{
    return error_set(self->error, code, "%s:%zu:%zu: %s", self->name, mark->line + 1, mark->column + 1, what);
}

static enum error_code next_event(struct reader *self, yaml_event_t *event)
{
    if (yaml_parser_parse(&self->parser, event))
        return ERROR_OK;
    const char *problem = self->parser.problem ? self->parser.problem : "not YAML";
    return refuse(self, &self->parser.problem_mark, ERROR_INVALID, problem);
}

/* --- scalars --- */

/* A whole number without leading zeros that fits 64 bits. */
static bool whole_number(const char *text, json_int_t *out)
{
    const char *digits = *text == '-' ? text + 1 : text;
    if (*digits == '\0' || digits[strspn(digits, "0123456789")] != '\0' ||
        (*digits == '0' && digits[1] != '\0'))
        return false;
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    *out = value;
    return errno == 0;
}

static json_t *plain_scalar(const char *text, size_t length)
{
    json_int_t number;
    if (*text == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0)
        return json_null();
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return json_boolean(*text == 't');
    if (whole_number(text, &number))
        return json_integer(number);
    return json_stringn(text, length);
}

static enum error_code read_scalar(struct reader *self, const yaml_event_t *event, json_t **out)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    json_t *value = strlen(text) != length ? NULL /* "\0", which JSON has and no text of ours */
                    : plain                ? plain_scalar(text, length)
                                           : json_stringn(text, length);
    if (!value)
        return refuse(self, &event->start_mark, ERROR_INVALID,
                      "a text with a NUL in it, or that isn't UTF-8");
    *out = value;
    return ERROR_OK;
}

/* --- collections --- */

static enum error_code read_value(struct reader *self, yaml_event_t *event, uint32_t depth, json_t **out);

static enum error_code read_sequence(struct reader *self, uint32_t depth, json_t **out)
{
    json_t *list = json_array();
    for (;;) {
        yaml_event_t event;
        enum error_code code = next_event(self, &event);
        if (code != ERROR_OK) {
            json_decref(list);
            return code;
        }
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            *out = list;
            return ERROR_OK;
        }
        json_t *value = NULL;
        code = read_value(self, &event, depth + 1, &value);
        yaml_event_delete(&event);
        if (code != ERROR_OK) {
            json_decref(list);
            return code;
        }
        CHECK(json_array_append_new(list, value) == 0, "out of memory");
    }
}

/* One "key: value"; the key's event is at hand. */
static enum error_code read_pair(struct reader *self, const yaml_event_t *key, uint32_t depth, json_t *object)
{
    if (key->type != YAML_SCALAR_EVENT)
        return refuse(self, &key->start_mark, ERROR_INVALID, "a key has to be a text");
    const char *name = (const char *)key->data.scalar.value;
    if (strlen(name) != key->data.scalar.length || !utf8_valid(name, strlen(name)))
        return refuse(self, &key->start_mark, ERROR_INVALID, "a key that isn't UTF-8 text");
    if (key->data.scalar.anchor || key->data.scalar.tag)
        return refuse(self, &key->start_mark, ERROR_INVALID, "anchors and tags aren't read here");
    if (json_object_get(object, name))
        return refuse(self, &key->start_mark, ERROR_INVALID, "this key stands here twice");
    yaml_event_t event;
    enum error_code code = next_event(self, &event);
    if (code != ERROR_OK)
        return code;
    json_t *value = NULL;
    code = read_value(self, &event, depth + 1, &value);
    yaml_event_delete(&event);
    if (code == ERROR_OK)
        CHECK(json_object_set_new(object, name, value) == 0, "out of memory");
    return code;
}

static enum error_code read_mapping(struct reader *self, uint32_t depth, json_t **out)
{
    json_t *object = json_object();
    for (;;) {
        yaml_event_t event;
        enum error_code code = next_event(self, &event);
        if (code == ERROR_OK && event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            *out = object;
            return ERROR_OK;
        }
        if (code == ERROR_OK) {
            code = read_pair(self, &event, depth, object);
            yaml_event_delete(&event);
        }
        if (code != ERROR_OK) {
            json_decref(object);
            return code;
        }
    }
}

static bool decorated(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor || event->data.scalar.tag;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor || event->data.sequence_start.tag;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor || event->data.mapping_start.tag;
    default:
        return false;
    }
}

static enum error_code read_value(struct reader *self, yaml_event_t *event, uint32_t depth, json_t **out)
{
    if (depth > YAML_DEPTH_MAX)
        return refuse(self, &event->start_mark, ERROR_INVALID, "nested deeper than 32 levels");
    if (++self->values > YAML_VALUES_MAX)
        return refuse(self, &event->start_mark, ERROR_TOO_BIG, "more than 65536 values");
    if (event->type == YAML_ALIAS_EVENT)
        return refuse(self, &event->start_mark, ERROR_INVALID,
                      "aliases aren't read here: write the value out");
    if (decorated(event))
        return refuse(self, &event->start_mark, ERROR_INVALID, "anchors and tags aren't read here");
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return read_scalar(self, event, out);
    case YAML_SEQUENCE_START_EVENT:
        return read_sequence(self, depth, out);
    case YAML_MAPPING_START_EVENT:
        return read_mapping(self, depth, out);
    default:
        return refuse(self, &event->start_mark, ERROR_INVALID, "a value is missing");
    }
}

/* Skips to the event that begins the one document; `found` is false in an empty file. */
static enum error_code begin_document(struct reader *self, bool *found)
{
    for (;;) {
        yaml_event_t event;
        enum error_code code = next_event(self, &event);
        if (code != ERROR_OK)
            return code;
        yaml_event_type_t type = event.type;
        yaml_event_delete(&event);
        if (type == YAML_DOCUMENT_START_EVENT || type == YAML_STREAM_END_EVENT) {
            *found = type == YAML_DOCUMENT_START_EVENT;
            return ERROR_OK;
        }
    }
}

static enum error_code read_document(struct reader *self, json_t **out)
{
    bool found = false;
    enum error_code code = begin_document(self, &found);
    if (code != ERROR_OK)
        return code;
    if (!found)
        return error_set(self->error, ERROR_INVALID, "%s: the file is empty", self->name);
    yaml_event_t event;
    code = next_event(self, &event);
    if (code != ERROR_OK)
        return code;
    json_t *value = NULL;
    code = read_value(self, &event, 1, &value);
    yaml_event_delete(&event);
    if (code != ERROR_OK)
        return code;
    code = begin_document(self, &found);
    if (code == ERROR_OK && found)
        code = error_set(self->error, ERROR_INVALID, "%s: more than one document in the file", self->name);
    if (code == ERROR_OK)
        *out = value;
    else
        json_decref(value);
    return code;
}

enum error_code yaml_to_json(const char *name, const char *text, size_t length, struct json_t **out,
                             struct error *error)
{
    struct reader reader = {.name = name, .error = error};
    if (length > YAML_BYTES_MAX)
        return error_set(error, ERROR_TOO_BIG, "%s: larger than %u bytes", name, YAML_BYTES_MAX);
    CHECK(yaml_parser_initialize(&reader.parser), "out of memory");
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, length);
    enum error_code code = read_document(&reader, out);
    yaml_parser_delete(&reader.parser);
    return code;
}

enum error_code yaml_read_file(const char *path, struct json_t **out, struct error *error)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *file = standard ? stdin : fopen(path, "re");
    if (!file)
        return error_set(error, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_IO, "%s: %s", path,
                         strerror(errno));
    char *text = memory_new(YAML_BYTES_MAX + 1);
    size_t length = fread(text, 1, YAML_BYTES_MAX + 1, file);
    bool failed = ferror(file) != 0;
    int reason = errno;
    if (!standard)
        fclose(file);
    enum error_code code = failed
                               ? error_set(error, ERROR_IO, "%s: %s", path, strerror(reason))
                               : yaml_to_json(standard ? "standard input" : path, text, length, out, error);
    free(text);
    return code;
}

/* --- writing --- */

struct writer {
    yaml_emitter_t emitter;
    struct bytes out;
    bool ok;
};

static int write_bytes(void *context, unsigned char *data, size_t length)
{
    bytes_append(context, data, length);
    return 1;
}

static void emit(struct writer *self, int initialised, yaml_event_t *event)
{
    self->ok = initialised && self->ok && yaml_emitter_emit(&self->emitter, event);
}

/* Text that would read as something else without quotes gets them. */
static yaml_scalar_style_t style_of(const char *text)
{
    json_t *plain = plain_scalar(text, strlen(text));
    bool is_text = json_is_string(plain);
    json_decref(plain);
    return is_text ? YAML_ANY_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE;
}

static void emit_text(struct writer *self, const char *text, yaml_scalar_style_t style)
{
    yaml_event_t event;
    int made = yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)strlen(text),
                                            1, 1, style);
    emit(self, made, &event);
}

static void emit_value(struct writer *self, const json_t *json)
{
    yaml_event_t event;
    if (json_is_object(json)) {
        const char *key;
        json_t *value;
        emit(self, yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE),
             &event);
        json_object_foreach((json_t *)json, key, value)
        {
            emit_text(self, key, style_of(key));
            emit_value(self, value);
        }
        emit(self, yaml_mapping_end_event_initialize(&event), &event);
    } else if (json_is_array(json)) {
        size_t i;
        json_t *value;
        emit(self, yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE),
             &event);
        json_array_foreach(json, i, value) emit_value(self, value);
        emit(self, yaml_sequence_end_event_initialize(&event), &event);
    } else if (json_is_string(json)) {
        emit_text(self, json_string_value(json), style_of(json_string_value(json)));
    } else {
        char *text = json_dumps(json, JSON_ENCODE_ANY);
        CHECK(text, "a JSON value that can't be written");
        emit_text(self, text, YAML_PLAIN_SCALAR_STYLE);
        free(text);
    }
}

enum error_code yaml_from_json(const struct json_t *json, char **text, struct error *error)
{
    struct writer writer = {.ok = true};
    yaml_event_t event;
    bytes_init(&writer.out, 0);
    CHECK(yaml_emitter_initialize(&writer.emitter), "out of memory");
    yaml_emitter_set_output(&writer.emitter, write_bytes, &writer.out);
    yaml_emitter_set_unicode(&writer.emitter, 1);
    emit(&writer, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING), &event);
    emit(&writer, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1), &event);
    emit_value(&writer, json);
    emit(&writer, yaml_document_end_event_initialize(&event, 1), &event);
    emit(&writer, yaml_stream_end_event_initialize(&event), &event);
    yaml_emitter_delete(&writer.emitter);
    if (!writer.ok) {
        bytes_done(&writer.out);
        return error_set(error, ERROR_INVALID, "can't be written as YAML");
    }
    size_t length = 0;
    *text = (char *)bytes_take(&writer.out, &length);
    return ERROR_OK;
}
