/* The audit trail over HTTP: formats, checking it in parts, pruning. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/http_fixture.h"

static int set_up(void **state)
{
    *state = http_fixture_new(NULL);
    return 0;
}

static int tear_down(void **state)
{
    http_fixture_free(*state);
    return 0;
}

/* One record each, behind the first leader's. */
static void populate(struct http_fixture *self, int count)
{
    for (int i = 0; i < count; i++) {
        char body[64];
        snprintf(body, sizeof(body), "{\"value\":\"v%d\",\"reason\":\"r\"}", i);
        struct http_answer answer = fixture_send(self, "PUT", "/v1/flags/PROMPT_MODE", body);
        assert_status(&answer, 200);
        http_answer_done(&answer);
    }
}

static json_int_t number_at(const struct http_answer *answer, const char *name)
{
    const json_t *value = json_object_get(answer->json, name);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

/* Goal: a check in parts says where to go on and comes to the end that a whole one has; a cursor that no part
 * gave, or that tells another hash, is found out.
 * Method: 31 records in parts of 10; a cursor that is none, and one with a wrong hash. */
static void a_check_in_parts_is_the_whole(void **state)
{
    struct http_fixture *self = *state;
    char path[200] = "/v1/audit/verify?limit=10", last[80];
    json_int_t records = 0;
    int parts = 0;
    populate(self, 30);
    struct http_answer whole = fixture_get(self, "/v1/audit/verify");
    assert_string_equal(json_text_at(whole.json, "valid"), "true");
    assert_int_equal(number_at(&whole, "records"), 31);
    assert_string_equal(json_text_at(whole.json, "next_cursor"), "null");
    assert_string_equal(json_text_at(whole.json, "anchor"), "null");
    snprintf(last, sizeof(last), "%s", json_text_at(whole.json, "last_hash"));
    http_answer_done(&whole);
    for (bool more = true; more; parts++) {
        struct http_answer part = fixture_get(self, path);
        assert_status(&part, 200);
        assert_string_equal(json_text_at(part.json, "valid"), "true");
        assert_int_equal(number_at(&part, "first_seq"), records + 1);
        records += number_at(&part, "records");
        more = strcmp(json_text_at(part.json, "next_cursor"), "null") != 0;
        snprintf(path, sizeof(path), "/v1/audit/verify?limit=10&cursor=%s",
                 json_text_at(part.json, "next_cursor"));
        if (!more)
            assert_string_equal(json_text_at(part.json, "last_hash"), last);
        http_answer_done(&part);
    }
    assert_int_equal(parts, 4);
    assert_int_equal(records, 31);

    static const char *const wrong[] = {"x", "7", "0.00", "7.zz"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        snprintf(path, sizeof(path), "/v1/audit/verify?cursor=%s", wrong[i]);
        struct http_answer answer = fixture_get(self, path);
        assert_problem(&answer, 422, "invalid_field");
    }
    snprintf(path, sizeof(path), "/v1/audit/verify?cursor=7.%s", last); /* another record's */
    struct http_answer answer = fixture_get(self, path);
    assert_string_equal(json_text_at(answer.json, "valid"), "false");
    assert_int_equal(number_at(&answer, "first_bad_seq"), 8);
    http_answer_done(&answer);
}

/* Goal: the preview and the prune say the same; afterwards the trail begins behind the anchor for every
 * reader, a cursor from before is refused, and the check says where it began.
 * Method: 200 records, pruned before 61. */
static void a_pruned_trail_begins_behind_its_anchor(void **state)
{
    struct http_fixture *self = *state;
    populate(self, 199);
    struct http_answer page = fixture_get(self, "/v1/audit?order=asc&limit=5");
    char path[200];
    snprintf(path, sizeof(path), "/v1/audit?order=asc&limit=5&cursor=%s",
             json_text_at(page.json, "next_cursor"));
    http_answer_done(&page);

    struct http_answer preview = fixture_get(self, "/v1/audit/prune?before_seq=61");
    assert_status(&preview, 200);
    assert_int_equal(number_at(&preview, "pruned"), 60);
    struct http_answer done =
        fixture_send(self, "POST", "/v1/audit/prune", "{\"before_seq\":61,\"reason\":\"retention\"}");
    assert_status(&done, 200);
    assert_int_equal(number_at(&done, "pruned"), 60);
    assert_int_equal(number_at(&done, "audit_seq"), 201);
    assert_string_equal(json_text_at(done.json, "anchor_hash"), json_text_at(preview.json, "anchor_hash"));

    struct http_answer verdict = fixture_get(self, "/v1/audit/verify");
    assert_string_equal(json_text_at(verdict.json, "valid"), "true");
    assert_int_equal(number_at(&verdict, "first_seq"), 61);
    assert_int_equal(number_at(&verdict, "records"), 141);
    assert_string_equal(json_text_at(verdict.json, "anchor.hash"), json_text_at(done.json, "anchor_hash"));
    assert_string_equal(json_text_at(verdict.json, "anchor.record_seq"), "201");
    http_answer_done(&verdict);
    http_answer_done(&preview);
    http_answer_done(&done);

    struct http_answer gone = fixture_get(self, path);
    assert_problem(&gone, 410, "records_pruned");
    page = fixture_get(self, "/v1/audit?order=asc&limit=1");
    assert_string_equal(json_text_at(page.json, "items.0.seq"), "61");
    http_answer_done(&page);
    page = fixture_get(self, "/v1/audit?cursor=d62"); /* newest first: it ends where the trail begins */
    assert_status(&page, 200);
    assert_int_equal(json_array_size(json_object_get(page.json, "items")), 2);
    http_answer_done(&page);
}

/* Goal: a prune that doesn't say what, or why, is refused, over both ways.
 * Method: each argument missing, doubled, out of its range. */
static void vague_prunes_are_refused(void **state)
{
    struct http_fixture *self = *state;
    static const char *const asks[] = {"/v1/audit/prune", "/v1/audit/prune?before_seq=5&keep_days=3",
                                       "/v1/audit/prune?before_seq=0", "/v1/audit/prune?before=yesterday",
                                       "/v1/audit/prune?keep_days=99999999"};
    static const char *const bodies[] = {
        "{\"reason\":\"r\"}", "{\"before_seq\":5}", "{\"before_seq\":5,\"keep_days\":3,\"reason\":\"r\"}",
        "{\"before\":\"yesterday\",\"reason\":\"r\"}", "{\"before_seq\":5,\"reason\":\" \"}"};
    for (size_t i = 0; i < sizeof asks / sizeof asks[0]; i++) {
        struct http_answer answer = fixture_get(self, asks[i]);
        assert_problem(&answer, 422, "invalid_field");
    }
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct http_answer answer = fixture_send(self, "POST", "/v1/audit/prune", bodies[i]);
        assert_problem(&answer, 422, "invalid_field");
    }
}

/* Goal: each format comes with its media type, csv with one header row over all pages, and the next page is
 * named by a header; an unknown format is refused.
 * Method: pages of two. */
static void formats_have_media_types_and_pages(void **state)
{
    struct http_fixture *self = *state;
    static const char *const rows[][2] = {{"jsonl", "application/x-ndjson"},
                                          {"csv", "text/csv; charset=utf-8; header=present"},
                                          {"rollback-jsonl", "application/x-ndjson"},
                                          {"kill-switch-log", "text/plain; charset=utf-8"}};
    populate(self, 2);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char path[100];
        snprintf(path, sizeof(path), "/v1/audit?order=asc&limit=2&format=%s", rows[i][0]);
        struct http_answer answer = fixture_get(self, path);
        assert_status(&answer, 200);
        assert_string_equal(http_answer_header(&answer, "Content-Type"), rows[i][1]);
        assert_string_equal(http_answer_header(&answer, "X-Autonomy-Next-Cursor"), "a3");
        assert_int_equal(strncmp(answer.body, "timestamp,", 10) == 0, strcmp(rows[i][0], "csv") == 0);
        http_answer_done(&answer);
    }
    struct http_answer last = fixture_get(self, "/v1/audit?order=asc&limit=2&format=csv&cursor=a3");
    assert_string_equal(http_answer_header(&last, "X-Autonomy-Next-Cursor"), "");
    assert_int_equal(strncmp(last.body, "timestamp,", 10) == 0, false);
    http_answer_done(&last);
    struct http_answer unknown = fixture_get(self, "/v1/audit?format=xml");
    assert_problem(&unknown, 422, "invalid_field");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_check_in_parts_is_the_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_pruned_trail_begins_behind_its_anchor, set_up, tear_down),
        cmocka_unit_test_setup_teardown(vague_prunes_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(formats_have_media_types_and_pages, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
