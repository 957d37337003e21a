/* Field tables as JSON Schema: what is described is what the conversions take and show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/schema.h"
#include "base/shape.h"

struct inner {
    const char *name;
};
struct outer {
    const char *reason;
    uint64_t percent, at;
    uint32_t colour;
    struct inner one;
    struct inner *more;
    size_t more_count;
    uint64_t secret;
};

static const char *const colours[] = {"red", "green"};
static const struct field inner_fields[] = {
    {.name = "name", .type = FIELD_NAME, .offset = offsetof(struct inner, name), .required = true},
};
static const struct schema inner_schema = SCHEMA("inner thing", struct inner, inner_fields);

#define AT(member) .offset = offsetof(struct outer, member)
static const struct field outer_fields[] = {
    {.name = "reason", .type = FIELD_TEXT, AT(reason), .required = true, .max = 9, .help = "why"},
    {.name = "percent", .type = FIELD_U64, AT(percent), .min = 1, .max = 100},
    {.name = "at", .type = FIELD_TIME, AT(at), .omit_empty = true},
    {.name = "colour", .type = FIELD_ENUM, AT(colour), .names = colours, .names_count = 2},
    {.name = "one", .type = FIELD_STRUCT, AT(one), .schema = &inner_schema},
    {.name = "more",
     .type = FIELD_LIST,
     AT(more),
     .count_offset = offsetof(struct outer, more_count),
     .schema = &inner_schema,
     .max = 3},
    {.name = "secret", .type = FIELD_U64, AT(secret), .hidden = true},
};
static const struct schema outer_schema = SCHEMA("outer", struct outer, outer_fields);

static const struct field shape_fields[] = {
    SHAPE_TEXT("text"),
    SHAPE_WORD("colour", colours, OR_NULL),
    SHAPE_COUNT("count", OR_LEFT_OUT),
};
static const struct schema shape = SHAPE("a shape", shape_fields);

/* Both sides in order, as compact text. */
static void assert_definition(const struct schema *schema, enum describe_side side,
                              const char *const *without, const char *name, const char *wanted)
{
    json_t *definitions = json_object();
    json_t *reference = schema_describe(schema, side, without, definitions);
    char wanted_reference[128];
    snprintf(wanted_reference, sizeof(wanted_reference), "#/components/schemas/%s", name);
    assert_string_equal(json_string_value(json_object_get(reference, "$ref")), wanted_reference);
    char *text = json_dumps(json_object_get(definitions, name), JSON_COMPACT);
    assert_non_null(text);
    assert_string_equal(text, wanted);
    free(text);
    json_decref(reference);
    json_decref(definitions);
}

/* Goal: what is taken is described with every bound, null for what may be absent, and nothing else.
 * Method: a table with a field of each kind; the exact text. */
static void what_is_taken_has_every_bound(void **state)
{
    static const char *const without[] = {"colour", NULL};
    (void)state;
    assert_definition(
        &outer_schema, DESCRIBE_TAKEN, without, "OuterInput",
        "{\"type\":\"object\",\"properties\":{"
        "\"reason\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":9,\"x-max-bytes\":9,\"pattern\":"
        "\"\\\\S\","
        "\"description\":\"why\"},"
        "\"percent\":{\"type\":\"integer\",\"format\":\"int64\",\"minimum\":1,\"maximum\":100,\"nullable\":"
        "true},"
        "\"at\":{\"type\":\"string\",\"format\":\"date-time\",\"nullable\":true},"
        "\"one\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"pattern\":"
        "\"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$\"}},\"required\":[\"name\"],\"additionalProperties\":false,"
        "\"nullable\":true},"
        "\"more\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/"
        "InnerThingInput\"},\"maxItems\":3,"
        "\"nullable\":true}},"
        "\"required\":[\"reason\"],\"additionalProperties\":false}");
}

/* Goal: what is shown is there, unless it is left out when empty; null only where null is shown.
 * Method: the same table, and a shape; the exact texts. */
static void what_is_shown_says_what_may_be_null(void **state)
{
    (void)state;
    assert_definition(
        &outer_schema, DESCRIBE_SHOWN, NULL, "Outer",
        "{\"type\":\"object\",\"properties\":{\"reason\":{\"type\":\"string\",\"description\":\"why\"},"
        "\"percent\":{\"type\":\"integer\",\"format\":\"int64\",\"minimum\":1,\"maximum\":100,\"nullable\":"
        "true},"
        "\"at\":{\"type\":\"string\",\"format\":\"date-time\",\"nullable\":true},"
        "\"colour\":{\"type\":\"string\",\"enum\":[\"red\",\"green\"]},"
        "\"one\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"pattern\":"
        "\"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$\"}},\"required\":[\"name\"],\"nullable\":true},"
        "\"more\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/InnerThing\"}}},"
        "\"required\":[\"reason\",\"percent\",\"colour\",\"one\",\"more\"]}");
    assert_definition(&shape, DESCRIBE_SHOWN, NULL, "AShape",
                      "{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\"},"
                      "\"colour\":{\"type\":\"string\",\"enum\":[\"red\",\"green\",null],\"nullable\":true},"
                      "\"count\":{\"type\":\"integer\",\"format\":\"int64\",\"minimum\":0}},"
                      "\"required\":[\"text\",\"colour\"]}");
}

/* Goal: a field is found by its name. */
static void fields_are_found_by_name(void **state)
{
    (void)state;
    assert_ptr_equal(schema_field(&outer_schema, "percent"), &outer_fields[1]);
    assert_null(schema_field(&outer_schema, "per"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_has_every_bound),
        cmocka_unit_test(what_is_shown_says_what_may_be_null),
        cmocka_unit_test(fields_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
