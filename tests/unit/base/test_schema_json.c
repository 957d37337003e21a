/* JSON text to records and back. */
#include "unit/base/schema_support.h"

#include "base/clock.h"

static enum error_code from_text(struct fixture *self, const char *text)
{
    json_t *json = NULL;
    memset(&self->error, 0, sizeof self->error);
    memset(&self->sample, 0xa5, sizeof self->sample);
    enum error_code code = json_parse(span_text(text), &json, &self->error);
    if (code == ERROR_OK)
        code = schema_from_json(&sample_schema, json, &self->arena, &self->sample, &self->error);
    json_decref(json);
    return code;
}

/* Goal: a record as JSON and back is the same record; what is hidden doesn't cross.
 * Method: 2,000 random records, through text; compares packed bytes. */
static void random_records_come_back_from_json(void **state)
{
    struct fixture *self = *state;
    struct bytes again;
    bytes_init(&again, 0);
    for (unsigned i = 0; i < 2000; i++) {
        arena_clear(&self->arena);
        bytes_clear(&self->packed);
        bytes_clear(&again);
        struct sample sample = random_sample(self);
        sample.secret = 7;
        json_t *json = schema_to_json(&sample_schema, &sample);
        char *text = json_dumps(json, 0);
        json_decref(json);
        if (from_text(self, text) != ERROR_OK)
            fail_msg("record %u: %s in %s", i, self->error.message, text);
        free(text);
        assert_int_equal(self->sample.secret, 0);
        sample.secret = 0;
        schema_pack(&sample_schema, &sample, &self->packed);
        schema_pack(&sample_schema, &self->sample, &again);
        assert_true(span_equal(bytes_span(&again), bytes_span(&self->packed)));
    }
    bytes_done(&again);
}

/* Goal: the JSON form is the documented one.
 * Method: one record against its text, in table order. */
static void json_is_the_documented_form(void **state)
{
    (void)state;
    struct sample_gate gate = {SAMPLE_MANUAL, 300};
    struct sample_stage stage = {"s1", &gate, 1, false};
    struct field_pair label = {"zone", "eu"};
    const struct sample sample = {
        .plan_id = "p-7",
        .count = 1,
        .offset = -3,
        .at = 1767323045678,
        .wide = UINT64_MAX,
        .hash = {"\xab\x01", 2},
        .stages = &stage,
        .stage_count = 1,
        .labels = &label,
        .label_count = 1,
        .value = {"\x91\xcb\x3f\xe0\x00\x00\x00\x00\x00\x00", 10},
        .secret = 9,
    };
    json_t *json = schema_to_json(&sample_schema, &sample);
    char *text = json_dumps(json, JSON_COMPACT);
    assert_string_equal(text, "{\"plan_id\":\"p-7\",\"reason\":null,\"count\":1,\"offset\":-3,\"narrow\":0,"
                              "\"at\":\"2026-01-02T03:04:05.678Z\",\"wide\":\"18446744073709551615\","
                              "\"kind\":\"time_soak\",\"hash\":\"ab01\",\"gate\":null,"
                              "\"stages\":[{\"id\":\"s1\",\"gates\":[{\"kind\":\"manual\",\"seconds\":300}],"
                              "\"open\":false}],\"tags\":[],\"labels\":{\"zone\":\"eu\"},\"value\":[0.5]}");
    free(text);
    json_decref(json);
}

/* Goal: every mistake in a body is refused with its path, what stands there and what may.
 * Method: a table of bodies and sentences. */
static void mistakes_name_path_and_range(void **state)
{
    struct fixture *self = *state;
    static const char *const cases[][2] = {
        {"[]", "must be an object, not an array"},
        {"{}", "plan_id: missing, and required"},
        {"{\"plan_id\":null}", "plan_id: missing, and required"},
        {"{\"plan_id\":7}", "plan_id: must be a text, not an integer"},
        {"{\"plan_id\":\"\"}", "plan_id: 0 bytes is not within 1 .. 65536"},
        {"{\"plan_id\":\"-x\"}", "plan_id: \"-x\" is not a name: [A-Za-z0-9][A-Za-z0-9._-]{0,127}"},
        {"{\"plan_id\":\"p\",\"reasons\":1}", "reasons: unknown field; known: plan_id, reason, count"},
        {"{\"plan_id\":\"p\",\"secret\":1}", "secret: unknown field; known: "},
        {"{\"plan_id\":\"p\",\"reason\":\"no\"}", "reason: 2 bytes is not within 3 .. 20"},
        {"{\"plan_id\":\"p\",\"count\":0}", "count: 0 is not within 1 .. 10000"},
        {"{\"plan_id\":\"p\",\"count\":-1}", "count: -1 is not within 1 .. 10000"},
        {"{\"plan_id\":\"p\",\"count\":1.0}", "count: must be an integer, not a number with a fraction"},
        {"{\"plan_id\":\"p\",\"count\":\"1\"}", "count: must be an integer, not a text"},
        {"{\"plan_id\":\"p\",\"offset\":9007199254740992}",
         "offset: 9007199254740992 is not within -9007199254740991"},
        {"{\"plan_id\":\"p\",\"wide\":\"18446744073709551616\"}", "wide: must be an integer, not a text"},
        {"{\"plan_id\":\"p\",\"offset\":true}", "offset: must be an integer, not true or false"},
        {"{\"plan_id\":\"p\",\"hash\":1}", "hash: must be hex digits, not an integer"},
        {"{\"plan_id\":\"p\",\"tags\":[\"\",{}]}", "tags[1]: must be a text, not an object"},
        {"{\"plan_id\":\"p\",\"yes\":1}", "yes: must be true or false, not an integer"},
        {"{\"plan_id\":\"p\",\"at\":5}", "at: must be a time such as 2026-01-02T03:04:05Z, not an integer"},
        {"{\"plan_id\":\"p\",\"at\":\"noon\"}", "at: \"noon\" is not a time such as"},
        {"{\"plan_id\":\"p\",\"kind\":\"health \"}",
         "kind: \"health \" is none of time_soak, manual, health"},
        {"{\"plan_id\":\"p\",\"kind\":1}", "kind: must be a text, not an integer"},
        {"{\"plan_id\":\"p\",\"hash\":\"0g\"}", "hash: 1 bytes is not within 2 .. 32"},
        {"{\"plan_id\":\"p\",\"hash\":\"000g\"}", "hash: not pairs of hex digits"},
        {"{\"plan_id\":\"p\",\"hash\":\"00000\"}", "hash: not pairs of hex digits"},
        {"{\"plan_id\":\"p\",\"gate\":[]}", "gate: must be an object, not an array"},
        {"{\"plan_id\":\"p\",\"gate\":{}}", "gate.kind: missing, and required"},
        {"{\"plan_id\":\"p\",\"stages\":{}}", "stages: must be an array, not an object"},
        {"{\"plan_id\":\"p\",\"stages\":[1,2,3,4]}", "stages: 4 elements is not within 0 .. 3"},
        {"{\"plan_id\":\"p\",\"stages\":[{\"id\":\"s\"},1]}", "stages[1]: must be an object, not an integer"},
        {"{\"plan_id\":\"p\",\"stages\":[{\"id\":\"s\",\"gates\":[{\"kind\":\"manual\",\"seconds\":99999999}]"
         "}]}",
         "stages[0].gates[0].seconds: 99999999 is not within 0 .. 31536000"},
        {"{\"plan_id\":\"p\",\"tags\":[\"a\",null]}", "tags[1]: must be a text, not null"},
        {"{\"plan_id\":\"p\",\"labels\":[]}", "labels: must be an object, not an array"},
        {"{\"plan_id\":\"p\",\"labels\":{\"a\":1}}", "labels.a: must be a text, not an integer"},
        {"{\"plan_id\":\"p\",\"labels\":{\"\":\"x\"}}", "labels.: 0 bytes is not within 1 .. 256"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (from_text(self, cases[i][0]) != ERROR_INVALID)
            fail_msg("%s is taken", cases[i][0]);
        assert_memory_equal(self->error.message, cases[i][1], strlen(cases[i][1]));
    }
}

/* Goal: a value past its field's bound is refused, and so is what the arena has no room for, which never
 * aborts. Method: 300 bytes where 256 may stand; an arena of 64 bytes. */
static void large_bodies_are_refused(void **state)
{
    struct fixture *self = *state;
    char text[600];
    snprintf(text, sizeof text, "{\"plan_id\":\"p\",\"value\":\"%0300d\"}", 0);
    assert_int_equal(from_text(self, text), ERROR_INVALID);
    assert_says(&self->error, "value: 303 bytes is not within 0 .. 256");
    arena_done(&self->arena);
    arena_init(&self->arena, 64);
    static const char *const bodies[] = {
        "{\"plan_id\":\"p\",\"tags\":[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"]}",
        "{\"plan_id\":\"p\",\"stages\":[{\"id\":\"a\"},{\"id\":\"b\"}]}",
        "{\"plan_id\":\"p\",\"labels\":{\"a\":\"\",\"b\":\"\",\"c\":\"\",\"d\":\"\"}}"};
    for (size_t i = 1; i < 3; i++) {
        arena_clear(&self->arena);
        assert_int_equal(from_text(self, bodies[i]), ERROR_TOO_BIG);
        assert_says(&self->error, "takes more than the 64 bytes of memory allowed");
    }
    assert_int_equal(from_text(self, bodies[0]), ERROR_INVALID);
    snprintf(text, sizeof text, "{\"plan_id\":\"%0100d\"}", 0);
    arena_clear(&self->arena);
    assert_int_equal(from_text(self, text), ERROR_TOO_BIG);
    snprintf(text, sizeof text, "{\"plan_id\":\"p\",\"value\":\"%0100d\"}", 0);
    arena_clear(&self->arena);
    assert_int_equal(from_text(self, text), ERROR_TOO_BIG);
}

/* Goal: an arena that is too small is an error at whatever field it ends, and never the end of the process.
 * Method: 60 random records as JSON, each with every bound from 0 up to what it takes. */
static void every_lack_of_memory_is_an_error(void **state)
{
    struct fixture *self = *state;
    unsigned refused = 0;
    for (unsigned i = 0; i < 60; i++) {
        arena_clear(&self->arena);
        const struct sample sample = random_sample(self);
        json_t *json = schema_to_json(&sample_schema, &sample);
        enum error_code code = ERROR_TOO_BIG;
        for (size_t bound = 0; code != ERROR_OK; bound++) {
            struct arena small;
            arena_init(&small, bound);
            code = schema_from_json(&sample_schema, json, &small, &self->sample, &self->error);
            assert_true(code == ERROR_OK || code == ERROR_TOO_BIG);
            refused += code != ERROR_OK;
            arena_done(&small);
        }
        json_decref(json);
    }
    assert_true(refused > 1000);
}

/* Goal: a schema that holds itself ends at 32 levels of JSON, too.
 * Method: objects in lists in objects, made by hand: the parser would refuse them earlier. */
struct nest {
    struct nest *inner;
    size_t count;
};
static const struct schema nest_schema;
static const struct field nest_fields[] = {{.name = "inner",
                                            .type = FIELD_LIST,
                                            .offset = offsetof(struct nest, inner),
                                            .count_offset = offsetof(struct nest, count),
                                            .schema = &nest_schema}};
static const struct schema nest_schema = SCHEMA("nest", struct nest, nest_fields);

static void nesting_ends_at_32_levels(void **state)
{
    struct fixture *self = *state;
    struct nest nest;
    json_t *json = json_object();
    for (unsigned levels = 0; levels <= 33; levels++) {
        const enum error_code code = schema_from_json(&nest_schema, json, &self->arena, &nest, &self->error);
        assert_int_equal(code, levels <= 32 ? ERROR_OK : ERROR_INVALID);
        json_t *outer = json_object(), *list = json_array();
        json_array_append_new(list, json);
        json_object_set_new(outer, "inner", list);
        json = outer;
    }
    assert_says(&self->error, "nested deeper than 32");
    json_decref(json);
}

/* Goal: null stands for what is absent, and absent members are zero.
 * Method: nulls for members of every kind. */
static void null_is_absent(void **state)
{
    struct fixture *self = *state;
    const char *text =
        "{\"plan_id\":\"p\",\"reason\":null,\"at\":null,\"gate\":null,\"value\":null,\"kind\":null}";
    assert_int_equal(from_text(self, text), ERROR_OK);
    assert_null(self->sample.reason);
    assert_int_equal(self->sample.at + self->sample.gate.kind + self->sample.value.bytes + self->sample.kind,
                     0);
    assert_int_equal(from_text(self, "{\"plan_id\":\"p\",\"count\":null,\"tags\":null,\"yes\":null}"),
                     ERROR_OK);
    assert_int_equal(self->sample.count + self->sample.tag_count + self->sample.yes, 0);
}

/* Goal: long and odd text from outside is cut where it is quoted, at a character's end.
 * Method: 1,000 bytes of two-byte characters, at an even and an odd offset, as a name and as a key. */
static void quoted_text_is_cut(void **state)
{
    struct fixture *self = *state;
    for (unsigned offset = 0; offset < 2; offset++) {
        char text[1200], characters[1001] = "";
        for (unsigned i = 0; i < 500; i++)
            strcat(characters, "\xc3\xa4");
        snprintf(text, sizeof text, "{\"plan_id\":\"%s%s\"}", offset == 0 ? "" : "x", characters);
        assert_int_equal(from_text(self, text), ERROR_INVALID);
        assert_says(&self->error, "\xc3\xa4...\" is not a name");
        assert_true(utf8_valid(self->error.message, strlen(self->error.message)));
        snprintf(text, sizeof text, "{\"%s%s\":1}", offset == 0 ? "" : "x", characters);
        assert_int_equal(from_text(self, text), ERROR_INVALID);
        assert_says(&self->error, "\xc3\xa4...: unknown field");
        assert_true(utf8_valid(self->error.message, strlen(self->error.message)));
    }
}

/* Goal: text that isn't JSON, or more than it should be, is refused with line and column.
 * Method: a table; what is taken stands beside what isn't. */
static void bad_text_is_refused_with_its_place(void **state)
{
    struct fixture *self = *state;
    static const struct {
        const char *text;
        const char *says; /* NULL: taken */
    } cases[] = {
        {"{}", NULL},
        {"17", NULL},
        {" \"x\" \n", NULL},
        {"", "line 1, column 0: "},
        {"{\"a\":1,}", "line 1, column "},
        {"{\"a\":1,\n \"a\":2}", "line 2, column "},
        {"{} {}", "line 1, column "},
        {"{}x", "end of file expected"},
        {"{'a':1}", "line 1, column "},
        {"\"\\u0000\"", "line 1, column 8: \\u0000 is not allowed"},
        {"\"\xff\"", "line 1, column "},
        {"\"\xed\xa0\x80\"", "line 1, column "}, /* half of a surrogate pair */
        {"[1,2", "line 1, column "},
        {"99999999999999999999", "too big integer"},
        {"1e999", "real number overflow"},
        {"NaN", "line 1, column "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *json = NULL;
        const enum error_code code = json_parse(span_text(cases[i].text), &json, &self->error);
        json_decref(json);
        if (code != (cases[i].says == NULL ? ERROR_OK : ERROR_INVALID))
            fail_msg("%s: %d", cases[i].text, (int)code);
        if (cases[i].says != NULL)
            assert_says(&self->error, cases[i].says);
    }
    json_t *json = NULL;
    assert_int_equal(json_parse(span_of("{}\0", 3), &json, &self->error), ERROR_INVALID);
    assert_int_equal(json_parse(span_of(NULL, 0), &json, &self->error), ERROR_INVALID);
    assert_null(json);
}

/* Goal: a sentence that quotes the text it refuses is itself valid text.
 * Method: an escape that there isn't, of a two-byte character: Jansson's quote ends after the first. Found by
 * fuzzing. */
static void refusals_quote_whole_characters(void **state)
{
    struct fixture *self = *state;
    static const char *const texts[] = {"\"\\\xc3\xa4\"", "\"\xc3\xa4\\\xe2\x82\xac\"",
                                        "[\"\\\xf0\x9f\x9a\x80\"]"};
    for (size_t i = 0; i < 3; i++) {
        json_t *json = NULL;
        assert_int_equal(json_parse(span_text(texts[i]), &json, &self->error), ERROR_INVALID);
        assert_says(&self->error, "invalid escape near");
        assert_true(utf8_valid(self->error.message, strlen(self->error.message)));
    }
}

/* Goal: 32 levels are taken, 33 refused, whatever brackets stand in texts.
 * Method: nested arrays and objects; a text full of brackets and escapes; 100,000 levels. */
static void depth_is_bounded(void **state)
{
    struct fixture *self = *state;
    json_t *json = NULL;
    static char text[200001];
    for (size_t depth = 31; depth <= 34; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = '\0';
        const enum error_code code = json_parse(span_text(text), &json, &self->error);
        assert_int_equal(code, depth <= 32 ? ERROR_OK : ERROR_INVALID);
        if (code == ERROR_OK)
            json_decref(json);
    }
    assert_string_equal(self->error.message, "line 1, column 33: nested deeper than 32");
    const char *brackets = "[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[{{{{\\\\\", {}]";
    assert_int_equal(json_parse(span_text(brackets), &json, &self->error), ERROR_OK);
    json_decref(json);
    memset(text, '[', 200000);
    assert_int_equal(json_parse(span_text(text), &json, &self->error), ERROR_INVALID);
}

/* Goal: JSON text cut anywhere or changed in a byte does no harm.
 * Method: every prefix and 8 changes of each byte of a body with all types, in blocks of exact size. */
static void cut_and_changed_text_does_no_harm(void **state)
{
    struct fixture *self = *state;
    unsigned taken = 0, refused = 0;
    const struct sample sample = random_sample(self);
    json_t *json = schema_to_json(&sample_schema, &sample);
    char *text = json_dumps(json, 0);
    json_decref(json);
    const size_t length = strlen(text);
    for (size_t cut = 0; cut < length; cut++) {
        char *copy = malloc(cut + 1);
        memcpy(copy, text, cut);
        copy[cut] = '\0';
        assert_int_equal(from_text(self, copy), ERROR_INVALID);
        free(copy);
    }
    for (size_t bit = 0; bit < length * 8; bit++) {
        char *copy = strdup(text);
        copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << bit % 8));
        arena_clear(&self->arena);
        if (from_text(self, copy) == ERROR_OK)
            taken++;
        else
            refused++;
        free(copy);
    }
    free(text);
    assert_true(taken > 0 && refused > length);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_records_come_back_from_json, set_up, tear_down),
        cmocka_unit_test(json_is_the_documented_form),
        cmocka_unit_test_setup_teardown(mistakes_name_path_and_range, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_bodies_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_lack_of_memory_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nesting_ends_at_32_levels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(null_is_absent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(quoted_text_is_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_text_is_refused_with_its_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refusals_quote_whole_characters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(depth_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cut_and_changed_text_does_no_harm, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
