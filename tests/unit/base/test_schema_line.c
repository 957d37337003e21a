/* JSON text read without a tree: what it takes reads the same by way of the tree, what it can't tell it
 * leaves alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/schema.h"

static const char *const kinds[] = {"soak", "manual"};

struct row {
    uint64_t seq, at;
    uint32_t kind;
    const char *name, *text;
    struct field_pair *fields;
    size_t field_count;
    struct span hash;
};
#define ROW(member, field_type, ...)                                                                         \
    {                                                                                                        \
        .name = #member, .type = (field_type), .offset = offsetof(struct row, member), __VA_ARGS__           \
    }
static const struct field row_fields[] = {
    ROW(seq, FIELD_U64, .required = true, .min = 1),
    ROW(at, FIELD_TIME),
    ROW(kind, FIELD_ENUM, .names = kinds, .names_count = 2),
    ROW(name, FIELD_NAME, .required = true),
    ROW(text, FIELD_TEXT, .max = 40),
    ROW(fields, FIELD_MAP, .count_offset = offsetof(struct row, field_count), .max = 3),
    ROW(hash, FIELD_BLOB, .required = true, .min = 4, .max = 4),
};
static const struct schema row_schema = SCHEMA("row", struct row, row_fields);

static char *line_of(const struct row *row)
{
    json_t *json = schema_to_json(&row_schema, row);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

static void assert_same(const char *text)
{
    struct row fast, slow;
    struct bytes a, b;
    struct arena arena;
    struct error error = {0};
    json_t *json = NULL;
    arena_init(&arena, 1u << 20);
    bytes_init(&a, 0);
    bytes_init(&b, 0);
    if (!schema_from_line(&row_schema, span_text(text), &arena, &fast))
        fail_msg("not taken: %s", text);
    assert_int_equal(json_parse(span_text(text), &json, &error), ERROR_OK);
    if (schema_from_json(&row_schema, json, &arena, &slow, &error) != ERROR_OK)
        fail_msg("%s: %s", text, error.message);
    schema_pack(&row_schema, &fast, &a);
    schema_pack(&row_schema, &slow, &b);
    assert_int_equal(a.length, b.length);
    assert_memory_equal(a.data, b.data, a.length);
    json_decref(json);
    bytes_done(&a);
    bytes_done(&b);
    arena_done(&arena);
}

static bool taken(const char *text)
{
    struct row row;
    struct arena arena;
    arena_init(&arena, 1u << 20);
    const bool good = schema_from_line(&row_schema, span_text(text), &arena, &row);
    arena_done(&arena);
    return good;
}

/* Goal: a line is what the tree prints; it is taken, and reads as it does by way of the tree.
 * Method: 20,000 random rows: absent members, escapes, control characters, scripts, maps. */
static void written_lines_read_the_same(void **state)
{
    static const char *const pieces[] = {"a", "\"", "\\", "\n", "\t", "\r", "\b", "\f", "\x01",  "\x1f", "/",
                                         "ä", "€",  "𝄞",  " ",  "{",  "}",  ",",  ":",  "u0041", "\x7f"};
    static const uint8_t hash[4] = {0, 0xff, 0x10, 0xab};
    (void)state;
    srand(2026);
    for (int round = 0; round < 20000; round++) {
        char text[64] = "", values[3][64];
        struct field_pair pairs[3];
        for (int i = rand() % 9; i > 0; i--)
            strcat(text, pieces[(size_t)rand() % (sizeof pieces / sizeof pieces[0])]);
        const size_t count = (size_t)rand() % 4;
        for (size_t i = 0; i < count; i++) {
            snprintf(values[i], sizeof values[i], "%s", text);
            pairs[i] = (struct field_pair){((const char *const[]){"a", "b\n", "c"})[i], values[i]};
        }
        const struct row row = {.seq = 1 + (uint64_t)rand() * 7919u,
                                .at = rand() % 3 ? (uint64_t)rand() * 1000 : 0,
                                .kind = (uint32_t)rand() % 2,
                                .name = "n.1",
                                .text = rand() % 4 ? text : NULL,
                                .fields = pairs,
                                .field_count = count,
                                .hash = {hash, 4}};
        char *line = line_of(&row);
        struct bytes written;
        bytes_init(&written, 0);
        schema_to_line(&row_schema, &row, &written);
        assert_int_equal(written.length, strlen(line));
        assert_memory_equal(written.data, line, written.length);
        bytes_done(&written);
        assert_same(line);
        free(line);
    }
}

/* Goal: another form, or what the table refuses, is not taken; nothing reads past the end.
 * Method: a good line, changed in one place at a time; cut off after each byte. */
static void other_forms_are_left_alone(void **state)
{
    static const char good[] = "{\"seq\":7,\"at\":null,\"kind\":\"soak\",\"name\":\"n1\",\"text\":\"x\","
                               "\"fields\":{\"a\":\"1\",\"b\":\"2\"},\"hash\":\"00ff10ab\"}";
    static const char *const changes[][2] = {
        {"{\"seq\"", " {\"seq\""},
        {"7,", "7 ,"},
        {"7,", "07,"},
        {"7,", "-7,"},
        {"7,", "7.0,"},
        {"7,", "0,"},
        {"7,", "null,"},
        {"7,", "1234567890123456789,"},
        {"7,", "\"7\","},
        {"null", "\"yesterday\""},
        {"soak", "pause"},
        {"n1", "-n1"},
        {"\"n1\"", "null"},
        {"\"x\"", "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\""},
        {"\"x\"", "\"\\x\""},
        {"\"x\"", "\"\\u0000\""},
        {"\"x\"", "\"\\ud834\\udd1e\""},
        {"\"x\"", "\"\xff\""},
        {"\"x\"", "\"\n\""},
        {"\"x\"", "\"\\"},
        {"\"text\":\"x\",", ""},
        {"\"text\":\"x\",", "\"text\":\"x\",\"text\":\"x\","},
        {"\"b\":", "\"a\":"},
        {"\"b\":\"2\"", "\"0\":\"2\""},
        {"\"b\":\"2\"", "\"b\":2"},
        {"\"b\":\"2\"", "\"b\":\"2\","},
        {"\"b\":\"2\"", "\"b\":\"2\",\"c\":\"\",\"d\":\"\""},
        {"00ff10ab", "00ff10"},
        {"00ff10ab", "00ff10ag"},
        {"00ff10ab", "00ff10a"},
        {"\"00ff10ab\"", "null"},
        {"ab\"}", "ab\"}x"},
        {"ab\"}", "ab\",\"more\":1}"},
    };
    (void)state;
    assert_true(taken(good));
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        char text[400];
        const char *at = strstr(good, changes[i][0]);
        assert_non_null(at);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, changes[i][1],
                 at + strlen(changes[i][0]));
        if (taken(text))
            fail_msg("taken: %s", text);
    }
    for (size_t length = 0; length < strlen(good); length++) {
        char *cut = strndup(good, length);
        char *exact = memcpy(malloc(length + 1), cut, length + 1);
        assert_false(taken(exact));
        free(exact);
        free(cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_lines_read_the_same),
        cmocka_unit_test(other_forms_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
