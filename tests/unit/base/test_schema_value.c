/* Values of any shape, and the reader of msgpack. */
#include "unit/base/schema_support.h"

#include <msgpack.h>

#include "base/schema_internal.h"

static char *dump(struct span packed)
{
    json_t *json = NULL;
    struct error error = {0};
    if (value_to_json(packed, &json, &error) != ERROR_OK)
        fail_msg("%s", error.message);
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(json);
    return text;
}

static void assert_dump(struct span packed, const char *expected)
{
    char *text = dump(packed);
    assert_string_equal(text, expected);
    free(text);
}

/* Goal: any JSON value comes back from msgpack, integers as integers, fractions as fractions.
 * Method: 3,000 random values, nested; compared by Jansson. */
static void random_values_come_back(void **state)
{
    struct fixture *self = *state;
    for (unsigned i = 0; i < 3000; i++) {
        arena_clear(&self->arena);
        bytes_clear(&self->packed);
        json_t *json = random_json(self, 4), *back = NULL;
        assert_int_equal(value_from_json(json, &self->packed, &self->error), ERROR_OK);
        assert_int_equal(value_to_json(bytes_span(&self->packed), &back, &self->error), ERROR_OK);
        assert_true(json_equal(json, back));
        json_decref(json);
        json_decref(back);
    }
}

/* Goal: an object has one packed form, whatever order its keys came in.
 * Method: two texts of one object. */
static void keys_are_packed_in_order(void **state)
{
    struct fixture *self = *state;
    struct bytes other;
    json_t *a = json_loads("{\"b\":1,\"a\":{\"z\":0,\"y\":0}}", 0, NULL);
    json_t *b = json_loads("{\"a\":{\"y\":0,\"z\":0},\"b\":1}", 0, NULL);
    bytes_init(&other, 0);
    assert_int_equal(value_from_json(a, &self->packed, &self->error), ERROR_OK);
    assert_int_equal(value_from_json(b, &other, &self->error), ERROR_OK);
    assert_true(span_equal(bytes_span(&self->packed), bytes_span(&other)));
    assert_dump(bytes_span(&other), "{\"a\":{\"y\":0,\"z\":0},\"b\":1}");
    bytes_done(&other);
    json_decref(a);
    json_decref(b);
}

static json_t *nested(unsigned depth)
{
    json_t *json = json_integer(1);
    for (unsigned i = 0; i < depth; i++) {
        json_t *outer = json_array();
        json_array_append_new(outer, json);
        json = outer;
    }
    return json;
}

/* Goal: 32 levels pass in both directions, 33 in neither; a text with NUL doesn't pass.
 * Method: nested arrays made by hand. */
static void depth_and_texts_are_bounded(void **state)
{
    struct fixture *self = *state;
    json_t *deepest = nested(32), *deeper = nested(33), *nul = json_stringn_nocheck("a\0b", 3), *back;
    assert_int_equal(value_from_json(deepest, &self->packed, &self->error), ERROR_OK);
    assert_int_equal(value_to_json(bytes_span(&self->packed), &back, &self->error), ERROR_OK);
    assert_true(json_equal(deepest, back));
    json_decref(back);
    assert_int_equal(value_from_json(deeper, &self->packed, &self->error), ERROR_INVALID);
    assert_says(&self->error, "nested deeper than 32");
    assert_int_equal(value_from_json(nul, &self->packed, &self->error), ERROR_INVALID);
    json_decref(deepest);
    json_decref(deeper);
    json_decref(nul);

    bytes_clear(&self->packed);
    for (unsigned i = 0; i < 33; i++)
        bytes_append(&self->packed, "\x91", 1);
    bytes_append(&self->packed, "\x01", 1);
    assert_int_equal(value_to_json(bytes_span(&self->packed), &back, &self->error), ERROR_CORRUPT);
    struct bytes small;
    bytes_init(&small, 4);
    json_t *text = json_string("longer than four");
    assert_int_equal(value_from_json(text, &small, &self->error), ERROR_TOO_BIG);
    json_decref(text);
    bytes_done(&small);
}

/* Goal: a result's body is built pair by pair and read back, by JSON and by key.
 * Method: one of each kind of pair. */
static void maps_are_built_and_read(void **state)
{
    struct fixture *self = *state;
    struct bytes *out = &self->packed;
    value_map(out, 8);
    value_text(out, "plan_id", "p-7");
    value_text(out, "reason", NULL);
    value_u64(out, "index", 70000);
    value_bool(out, "repeated", true);
    value_bool(out, "first", false);
    value_time(out, "at", 1767323045678);
    value_time(out, "never", 0);
    value_packed(out, "inner", span_of("\x92\x01\xa1x", 4));
    const struct span map = bytes_span(out);
    assert_dump(map, "{\"plan_id\":\"p-7\",\"reason\":null,\"index\":70000,\"repeated\":true,\"first\":false,"
                     "\"at\":\"2026-01-02T03:04:05.678Z\",\"never\":null,\"inner\":[1,\"x\"]}");
    const char *text = NULL;
    uint64_t number = 0;
    assert_true(value_get_text(map, "plan_id", &self->arena, &text));
    assert_string_equal(text, "p-7");
    assert_true(value_get_u64(map, "index", &number));
    assert_int_equal(number, 70000);
    assert_false(value_get_text(map, "reason", &self->arena, &text));
    assert_false(value_get_text(map, "index", &self->arena, &text));
    assert_false(value_get_u64(map, "plan_id", &number));
    assert_false(value_get_u64(map, "missing", &number));
    assert_false(value_get_u64(map, "inner", &number));
    assert_false(value_get_u64(span_of("\x91\x01", 2), "x", &number));
    assert_false(value_get_u64(span_of(NULL, 0), "x", &number));
    bytes_clear(out);
    value_map(out, 1);
    value_packed(out, "absent", span_of(NULL, 0));
    assert_dump(bytes_span(out), "{\"absent\":null}");
}

/* Goal: everything else that msgpack can say has a JSON form or is refused.
 * Method: one value of each kind. */
static void odd_values_have_a_form_or_are_refused(void **state)
{
    struct fixture *self = *state;
    assert_dump(span_of("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9), "\"18446744073709551615\"");
    assert_dump(span_of("\xd3\x80\x00\x00\x00\x00\x00\x00\x00", 9), "-9223372036854775808");
    assert_dump(span_of("\xc4\x02\x00\xff", 4), "\"00ff\"");
    assert_dump(span_of("\xca\x3f\x00\x00\x00", 5), "0.5");
    assert_dump(span_of("\x82\xa1"
                        "a\x01\xa1"
                        "a\x02",
                        7),
                "{\"a\":2}");
    static const struct {
        const char *bytes;
        size_t length;
    } refused[] = {
        {"", 0},
        {"\x01\x02", 2},                             /* two values */
        {"\xc1", 1},                                 /* never used */
        {"\xd4\x01\x00", 3},                         /* an extension */
        {"\xc7\x01\x01\x00", 4},                     /* an extension */
        {"\xa1\xff", 2},                             /* not UTF-8 */
        {"\xa1\x00", 2},                             /* NUL */
        {"\x81\xa1\x00\x01", 4},                     /* NUL in a key */
        {"\x81\x01\x01", 3},                         /* a key that is no text */
        {"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", 9}, /* infinite */
        {"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", 9}, /* not a number */
        {"\xdd\xff\xff\xff\xff\x01", 6},             /* a count without elements */
        {"\xc6\xff\xff\xff\xff\x01", 6},             /* a length without bytes */
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        json_t *json = NULL;
        if (value_to_json(span_of(refused[i].bytes, refused[i].length), &json, &self->error) != ERROR_CORRUPT)
            fail_msg("case %zu is taken", i);
    }
}

static bool same_as(const struct token *token, const msgpack_object *object)
{
    switch (object->type) {
    case MSGPACK_OBJECT_NIL:
        return token->kind == TOKEN_NIL;
    case MSGPACK_OBJECT_BOOLEAN:
        return token->kind == TOKEN_BOOL && (token->number != 0) == object->via.boolean;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        return token->kind == TOKEN_U64 && token->number == object->via.u64;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return token->kind == TOKEN_NEGATIVE && token->negative == object->via.i64;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return token->kind == TOKEN_REAL && !(token->real < object->via.f64) &&
               !(token->real > object->via.f64);
    case MSGPACK_OBJECT_STR:
        return token->kind == TOKEN_TEXT &&
               span_equal(token->payload, span_of(object->via.str.ptr, object->via.str.size));
    case MSGPACK_OBJECT_BIN:
        return token->kind == TOKEN_BLOB &&
               span_equal(token->payload, span_of(object->via.bin.ptr, object->via.bin.size));
    case MSGPACK_OBJECT_ARRAY:
        return token->kind == TOKEN_ARRAY && token->count == object->via.array.size;
    case MSGPACK_OBJECT_MAP:
        return token->kind == TOKEN_MAP && token->count == object->via.map.size;
    default:
        return false;
    }
}

/* Walks both readings of one value side by side. */
static void assert_same(struct reader *reader, const msgpack_object *object)
{
    struct token token;
    assert_true(reader_next(reader, &token));
    assert_true(same_as(&token, object));
    for (uint32_t i = 0; token.kind == TOKEN_ARRAY && i < token.count; i++)
        assert_same(reader, &object->via.array.ptr[i]);
    for (uint32_t i = 0; token.kind == TOKEN_MAP && i < token.count; i++) {
        assert_same(reader, &object->via.map.ptr[i].key);
        assert_same(reader, &object->via.map.ptr[i].val);
    }
}

/* Goal: our reader and msgpack-c's agree on what bytes say.
 * Method: random bytes, half of them behind a small array's head, where msgpack-c reads one whole value and
 * ours says that it has a JSON form; the two readings are compared token by token. */
static void reader_agrees_with_the_library(void **state)
{
    struct fixture *self = *state;
    unsigned compared = 0, structured = 0;
    for (unsigned i = 0; i < 200000; i++) {
        uint8_t data[24];
        const size_t length = 1 + random_below(self, sizeof data);
        for (size_t at = 0; at < length; at++)
            data[at] = (uint8_t)random_next(self);
        if (i % 2 == 0)
            data[0] = (uint8_t)(0x90 | data[0] % 5);
        struct reader reader = reader_of(span_of(data, length));
        struct span value;
        if (!reader_skip(&reader, &value))
            continue;
        msgpack_unpacked unpacked;
        size_t used = 0;
        msgpack_unpacked_init(&unpacked);
        const int status = msgpack_unpack_next(&unpacked, (const char *)data, length, &used);
        assert_true(status == MSGPACK_UNPACK_SUCCESS || status == MSGPACK_UNPACK_EXTRA_BYTES);
        assert_int_equal(used, value.bytes);
        struct reader again = reader_of(value);
        assert_same(&again, &unpacked.data);
        assert_ptr_equal(again.at, again.end);
        compared++;
        structured += unpacked.data.type == MSGPACK_OBJECT_ARRAY && unpacked.data.via.array.size > 0;
        msgpack_unpacked_destroy(&unpacked);
    }
    assert_true(compared > 10000 && structured > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_values_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_are_packed_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(depth_and_texts_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(maps_are_built_and_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(odd_values_have_a_form_or_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reader_agrees_with_the_library, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
