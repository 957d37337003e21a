/* Field tables as JSON Schema, for the OpenAPI document: what is refused and what is shown, as the
 * conversions in schema_json.c do it. */
#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/schema_internal.h"

#define NAME_PATTERN    "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
#define VISIBLE_PATTERN "\\S" /* required texts must have something that can be seen */
#define REFERENCE       "#/components/schemas/"

struct describe {
    enum describe_side side;
    json_t *definitions;
};

static json_t *describe_object(const struct describe *self, const struct schema *schema,
                               const char *const *without);

static void set(json_t *object, const char *key, json_t *value)
{
    const int failed = json_object_set_new(object, key, value);
    CHECK(failed == 0, "%s can't be described", key);
}

static void set_u64(json_t *object, const char *key, uint64_t value)
{
    if (value <= INT64_MAX) /* past it there is no integer to say it with */
        set(object, key, json_integer((json_int_t)value));
}

/* "flag settings" -> "FlagSettings", taken: "FlagSettingsInput" */
static const char *definition_name(const struct describe *self, const struct schema *schema,
                                   char out[NAME_BYTES_MAX])
{
    size_t used = 0;
    bool upper = true;
    for (const char *at = schema->name; *at != '\0'; at++) {
        if (!isalnum((unsigned char)*at)) {
            upper = true;
            continue;
        }
        CHECK(used < NAME_BYTES_MAX - sizeof("Input"), "the name %s", schema->name);
        out[used++] = (char)(upper ? toupper((unsigned char)*at) : *at);
        upper = false;
    }
    memcpy(out + used, self->side == DESCRIBE_TAKEN ? "Input" : "",
           self->side == DESCRIBE_TAKEN ? sizeof("Input") : 1);
    return out;
}

static json_t *reference(const struct describe *self, const struct schema *schema, const char *const *without)
{
    char name[NAME_BYTES_MAX];
    definition_name(self, schema, name);
    json_t *object = describe_object(self, schema, without);
    const json_t *there = json_object_get(self->definitions, name);
    CHECK(there == NULL || json_equal(there, object), "two tables are called %s", name);
    set(self->definitions, name, object);
    return json_pack("{s:s+}", "$ref", REFERENCE, name);
}

/* --- one field --- */

static bool is_nullable(const struct describe *self, const struct field *field)
{
    if (field->nullable)
        return true;
    if (field->required || self->side == DESCRIBE_TAKEN)
        return !field->required;
    switch (field->type) {
    case FIELD_BOOL:
    case FIELD_ENUM:
        return false;
    case FIELD_U64:
    case FIELD_LIST:
    case FIELD_TEXTS:
    case FIELD_MAP:
        return field->min > 0;
    case FIELD_I64:
        return field_i64_min(field) > 0 || field_i64_max(field) < 0;
    default:
        return true;
    }
}

static json_t *of_type(const char *type)
{
    return json_pack("{s:s}", "type", type);
}

static json_t *describe_u64(const struct describe *self, const struct field *field)
{
    json_t *out = json_pack("{s:s, s:s}", "type", "integer", "format", "int64");
    set_u64(out, "minimum", field->min);
    if (self->side == DESCRIBE_TAKEN || field->max != 0)
        set_u64(out, "maximum", field_max(field));
    return out;
}

static json_t *describe_i64(const struct describe *self, const struct field *field)
{
    json_t *out = json_pack("{s:s, s:s}", "type", "integer", "format", "int64");
    if (self->side == DESCRIBE_TAKEN) {
        set(out, "minimum", json_integer(field_i64_min(field)));
        set(out, "maximum", json_integer(field_i64_max(field)));
    }
    return out;
}

static json_t *describe_enum(const struct describe *self, const struct field *field)
{
    json_t *out = of_type("string"), *names = json_array();
    for (uint32_t i = 0; i < field->names_count; i++)
        if (field->names[i] != NULL && field->names[i][0] != '\0')
            json_array_append_new(names, json_string(field->names[i]));
    if (is_nullable(self, field))
        json_array_append_new(names, json_null());
    set(out, "enum", names);
    return out;
}

static json_t *describe_text(const struct describe *self, const struct field *field)
{
    json_t *out = of_type("string");
    if (self->side == DESCRIBE_SHOWN)
        return out;
    if (field_min(field) > 0)
        set_u64(out, "minLength", 1); /* bytes would be too many characters */
    set_u64(out, "maxLength", field_max(field));
    set_u64(out, "x-max-bytes", field_max(field));
    if (field->required)
        set(out, "pattern", json_string(VISIBLE_PATTERN));
    return out;
}

static json_t *describe_name(void)
{
    return json_pack("{s:s, s:s}", "type", "string", "pattern", NAME_PATTERN);
}

static json_t *describe_blob(const struct field *field)
{
    json_t *out = json_pack("{s:s, s:s}", "type", "string", "pattern", "^([0-9A-Fa-f]{2})*$");
    set_u64(out, "minLength", 2 * field_min(field));
    set_u64(out, "maxLength", 2 * field_max(field));
    return out;
}

static json_t *describe_struct(const struct describe *self, const struct field *field)
{
    /* A nullable one stands in place: OpenAPI 3.0 can't add null to what it refers to. */
    if (is_nullable(self, field))
        return describe_object(self, field->schema, NULL);
    json_t *out = reference(self, field->schema, NULL);
    if (field->help == NULL)
        return out;
    return json_pack("{s:[o]}", "allOf", out); /* beside a reference nothing counts */
}

static json_t *describe_elements(const struct describe *self, const struct field *field)
{
    json_t *out = of_type(field->type == FIELD_MAP ? "object" : "array");
    const bool map = field->type == FIELD_MAP, taken = self->side == DESCRIBE_TAKEN;
    json_t *element = field->type == FIELD_LIST ? reference(self, field->schema, NULL) : of_type("string");
    if (field->type == FIELD_TEXTS && taken)
        set_u64(element, "maxLength", SCHEMA_TEXTS_BYTES_MAX);
    set(out, map ? "additionalProperties" : "items", element);
    if (taken) {
        if (field_min(field) > 0)
            set_u64(out, map ? "minProperties" : "minItems", field_min(field));
        set_u64(out, map ? "maxProperties" : "maxItems", field_max(field));
    }
    return out;
}

static json_t *describe_value(const struct describe *self, const struct field *field)
{
    json_t *out = json_object(); /* anything */
    if (self->side == DESCRIBE_TAKEN)
        set_u64(out, "x-max-bytes", field_max(field));
    return out;
}

static json_t *describe_field(const struct describe *self, const struct field *field)
{
    switch (field->type) {
    case FIELD_U64:
        return describe_u64(self, field);
    case FIELD_I64:
        return describe_i64(self, field);
    case FIELD_BOOL:
        return of_type("boolean");
    case FIELD_TIME:
        return json_pack("{s:s, s:s}", "type", "string", "format", "date-time");
    case FIELD_ENUM:
        return describe_enum(self, field);
    case FIELD_TEXT:
        return describe_text(self, field);
    case FIELD_NAME:
        return describe_name();
    case FIELD_BLOB:
        return describe_blob(field);
    case FIELD_STRUCT:
        return describe_struct(self, field);
    case FIELD_LIST:
    case FIELD_TEXTS:
    case FIELD_MAP:
        return describe_elements(self, field);
    case FIELD_VALUE:
        return describe_value(self, field);
    }
    CHECK(false, "field %s has type %d", field->name, (int)field->type);
}

static json_t *describe_whole(const struct describe *self, const struct field *field)
{
    json_t *out = describe_field(self, field);
    CHECK(out != NULL, "field %s can't be described", field->name);
    if (json_object_get(out, "$ref") != NULL)
        return out;
    if (is_nullable(self, field) && field->type != FIELD_VALUE)
        set(out, "nullable", json_true());
    if (field->help != NULL)
        set(out, "description", json_string(field->help));
    return out;
}

/* --- a table --- */

static bool listed(const char *const *names, const char *name)
{
    for (; names != NULL && *names != NULL; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

static json_t *describe_object(const struct describe *self, const struct schema *schema,
                               const char *const *without)
{
    json_t *out = of_type("object"), *properties = json_object(), *required = json_array();
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct field *field = &schema->fields[i];
        if (field->hidden || listed(without, field->name))
            continue;
        set(properties, field->name, describe_whole(self, field));
        if (self->side == DESCRIBE_TAKEN ? field->required : !field->omit_empty)
            json_array_append_new(required, json_string(field->name));
    }
    set(out, "properties", properties);
    if (json_array_size(required) > 0)
        set(out, "required", required);
    else
        json_decref(required);
    if (self->side == DESCRIBE_TAKEN)
        set(out, "additionalProperties", json_false());
    return out;
}

json_t *schema_describe(const struct schema *schema, enum describe_side side, const char *const *without,
                        json_t *definitions)
{
    const struct describe self = {side, definitions};
    return reference(&self, schema, without);
}

json_t *field_describe(const struct field *field, enum describe_side side, json_t *definitions)
{
    const struct describe self = {side, definitions};
    return describe_whole(&self, field);
}

const struct field *schema_field(const struct schema *schema, const char *name)
{
    for (size_t i = 0; i < schema->field_count; i++)
        if (strcmp(schema->fields[i].name, name) == 0)
            return &schema->fields[i];
    return NULL;
}
