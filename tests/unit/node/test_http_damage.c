/* What is damaged or past every bound behind the interface: it says so, and neither hides it nor falls over.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/schema.h"
#include "fsm/audit.h"
#include "node/http/lane.h"
#include "tests/support/http_fixture.h"

#define FLAG        "/v1/flags/PROMPT_MODE"
#define PATIENCE_MS 30000
#define RECORDS     5 /* in the trail: an election and four settings */

static int set_up(void **state)
{
    struct http_fixture *self = http_fixture_new(NULL);
    *state = self;
    for (int i = 1; i < RECORDS; i++) {
        struct http_answer answer =
            fixture_send(self, "PUT", FLAG, "{\"value\":\"full\",\"reason\":\"why\"}");
        assert_status(&answer, 200);
        http_answer_done(&answer);
    }
    return 0;
}

static int tear_down(void **state)
{
    http_fixture_free(*state);
    return 0;
}

static void audit_key(uint64_t seq, uint8_t out[9])
{
    out[0] = 'a';
    put_u64(out + 1, seq);
}

static void write_one(struct kv *kv, uint64_t seq, struct span value)
{
    struct error error = {0};
    uint8_t key[9];
    struct kv_batch *batch = kv_batch_new();
    audit_key(seq, key);
    if (value.data == NULL)
        kv_batch_delete(batch, span_of(key, sizeof(key)));
    else
        kv_batch_put(batch, span_of(key, sizeof(key)), value);
    CHECK(kv_write(kv, batch, (struct kv_write_options){0}, &error) == ERROR_OK, "%s", error.message);
    kv_batch_free(batch);
}

static void forge_third(struct kv *kv)
{
    struct error error = {0};
    struct arena arena;
    struct bytes value, forged;
    struct audit_record record;
    uint8_t key[9];
    arena_init(&arena, 1u << 20);
    bytes_init(&value, 0);
    bytes_init(&forged, 0);
    audit_key(3, key);
    CHECK(kv_get(kv, NULL, span_of(key, sizeof(key)), &value, &error) == ERROR_OK, "no third record");
    CHECK(schema_unpack(&audit_schema, bytes_span(&value), &arena, &record, &error) == ERROR_OK, "%s",
          error.message);
    record.actor = "somebody.else";
    schema_pack(&audit_schema, &record, &forged);
    write_one(kv, 3, bytes_span(&forged));
    bytes_done(&value);
    bytes_done(&forged);
    arena_done(&arena);
}

static void delete_third(struct kv *kv)
{
    write_one(kv, 3, (struct span){0});
}

static void delete_last(struct kv *kv)
{
    write_one(kv, RECORDS, (struct span){0});
}

static void garble_third(struct kv *kv)
{
    write_one(kv, 3, span_text("no record"));
}

/* Goal: a changed or missing record doesn't verify, and the first bad one is named.
 * Method: in the store, behind the state machine's back: a record changed, one in the middle and the last one
 * removed. */
static void changed_trail_does_not_verify(void **state)
{
    static const struct {
        void (*change)(struct kv *kv);
        const char *records, *first_bad;
    } rows[] = {{forge_third, "2", "3"}, {delete_third, "2", "4"}, {delete_last, "4", "null"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct http_fixture *self = *state;
        service_fake_tamper(self->service, rows[i].change);
        struct http_answer answer = fixture_get(self, "/v1/audit/verify");
        assert_status(&answer, 200);
        assert_string_equal(json_text_at(answer.json, "valid"), "false");
        assert_string_equal(json_text_at(answer.json, "records"), rows[i].records);
        assert_string_equal(json_text_at(answer.json, "first_bad_seq"), rows[i].first_bad);
        assert_true(strlen(json_text_at(answer.json, "detail")) > 4);
        http_answer_done(&answer);
        http_fixture_free(self);
        set_up(state);
    }
}

#define ANCHOR_AT  60u /* a fixint in the row: its second byte; the hash follows behind two bytes of head */
#define ANCHOR_KEY "maudit"

static void read_row(struct kv *kv, struct span key, struct bytes *out)
{
    struct error error = {0};
    bytes_init(out, 0);
    CHECK(kv_get(kv, NULL, key, out, &error) == ERROR_OK, "%s", error.message);
}

static void write_anchor(struct kv *kv, const struct bytes *row)
{
    struct error error = {0};
    struct kv_batch *batch = kv_batch_new();
    kv_batch_put(batch, span_text(ANCHOR_KEY), bytes_span(row));
    CHECK(kv_write(kv, batch, (struct kv_write_options){0}, &error) == ERROR_OK, "%s", error.message);
    kv_batch_free(batch);
}

static void forge_anchor_hash(struct kv *kv)
{
    struct bytes row;
    read_row(kv, span_text(ANCHOR_KEY), &row);
    CHECK(row.data[1] == ANCHOR_AT, "the anchor stands at %u", row.data[1]);
    row.data[4] ^= 1;
    write_anchor(kv, &row);
    bytes_done(&row);
}

/* As if ten more records had been pruned; the hash is the right one. */
static void move_anchor(struct kv *kv)
{
    struct bytes row, record;
    uint8_t key[9];
    audit_key(ANCHOR_AT + 10, key);
    read_row(kv, span_text(ANCHOR_KEY), &row);
    read_row(kv, span_of(key, sizeof key), &record);
    row.data[1] = ANCHOR_AT + 10;
    memcpy(row.data + 4, record.data + record.length - DIGEST_BYTES, DIGEST_BYTES); /* its last field */
    write_anchor(kv, &row);
    bytes_done(&row);
    bytes_done(&record);
}

/* Goal: an anchor that was changed vouches for nothing: neither one with another hash, nor one that was moved
 * on to hide records. Method: in the store, behind the state machine's back, after a prune. */
static void changed_anchor_does_not_verify(void **state)
{
    static const struct {
        void (*change)(struct kv *kv);
        const char *first_bad, *detail;
    } rows[] = {{forge_anchor_hash, "61", "not linked to record 60"},
                {move_anchor, "171", "record 171, which should say so, doesn't"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct http_fixture *self = *state;
        for (int record = RECORDS; record < 170; record++) {
            struct http_answer answer =
                fixture_send(self, "PUT", FLAG, "{\"value\":\"full\",\"reason\":\"why\"}");
            http_answer_done(&answer);
        }
        struct http_answer pruned =
            fixture_send(self, "POST", "/v1/audit/prune", "{\"before_seq\":61,\"reason\":\"r\"}");
        assert_status(&pruned, 200);
        http_answer_done(&pruned);
        struct http_answer more = fixture_get(self, "/v1/audit/verify");
        assert_string_equal(json_text_at(more.json, "valid"), "true");
        http_answer_done(&more);
        service_fake_tamper(self->service, rows[i].change);
        struct http_answer answer = fixture_get(self, "/v1/audit/verify");
        assert_status(&answer, 200);
        assert_string_equal(json_text_at(answer.json, "valid"), "false");
        assert_string_equal(json_text_at(answer.json, "first_bad_seq"), rows[i].first_bad);
        assert_non_null(strstr(json_text_at(answer.json, "detail"), rows[i].detail));
        http_answer_done(&answer);
        http_fixture_free(self);
        set_up(state);
    }
}

/* Goal: a record that is no record any more is 500 `corrupt`, not left out.
 * Method: bytes of no form in its place; the query and the walk both meet it. */
static void garbled_record_is_said(void **state)
{
    struct http_fixture *self = *state;
    service_fake_tamper(self->service, garble_third);
    struct http_answer answer = fixture_get(self, "/v1/audit");
    assert_problem(&answer, 500, "corrupt");
    answer = fixture_get(self, "/v1/audit/verify");
    assert_problem(&answer, 500, "corrupt");
    answer = fixture_get(self, "/v1/audit?limit=1");
    assert_status(&answer, 200);
    http_answer_done(&answer);
}

/* Goal: an answer that can't be read is not taken for a failed change: 500 says that it is committed.
 * Method: the fake answers with bytes that are no msgpack, then with one that is no map, then with none. */
static void unreadable_answers_are_said(void **state)
{
    struct http_fixture *self = *state;
    const char *body = "{\"value\":\"full\",\"reason\":\"why\"}";
    service_fake_body(self->service, span_of("\xc1", 1));
    struct http_answer answer = fixture_send(self, "PUT", FLAG, body);
    assert_problem_says(&answer, 500, "corrupt", "committed");
    service_fake_body(self->service, span_of("\x07", 1));
    answer = fixture_send(self, "PUT", FLAG, body);
    assert_problem_says(&answer, 500, "corrupt", "committed");
    service_fake_body(self->service, span_of("", 0));
    answer = fixture_send(self, "PUT", FLAG, body);
    assert_status(&answer, 200);
    assert_string_equal(json_text_at(answer.json, "audit_seq"), "8");
    http_answer_done(&answer);
}

static char *long_text(size_t length)
{
    char *text = memory_new(length + 1);
    memset(text, 't', length);
    text[length] = '\0';
    return text;
}

/* Goal: an answer past every bound becomes a refusal with its headers, not a broken connection.
 * Method: the fake's act answers 70 MiB; then an outcome of 3 MiB for another node. */
static void endless_answers_are_refused(void **state)
{
    struct http_fixture *self = *state;
    char *text = long_text(70u << 20);
    service_fake_act_answer(self->service, 200, json_pack("{s:o}", "much", json_string_nocheck(text)));
    struct http_answer answer = fixture_send(self, "POST", "/v1/ha/failover", "{\"reason\":\"r\"}");
    assert_problem_says(&answer, 500, "too_big", "ask for less");
    free(text);

    struct bytes command;
    struct error error = {0};
    struct arena arena;
    const struct command_type *type = command_by_name("flag.set");
    arena_init(&arena, 1u << 20);
    bytes_init(&command, 0);
    void *record = arena_new(&arena, type->schema->bytes);
    json_t *json = json_pack("{s:s, s:s, s:s}", "key", "PROMPT_MODE", "value", "full", "reason", "why");
    assert_int_equal(schema_from_json(type->schema, json, &arena, record, &error), ERROR_OK);
    assert_int_equal(command_encode(type, "k", "oncall", 0, record, &command, &error), ERROR_OK);
    json_decref(json);
    text = long_text(3u << 20);
    service_fake_body(self->service, span_of(text, 3u << 20));
    answer = http_call_bytes(self->port, "POST", "/v1/internal/change",
                             "Content-Type: application/octet-stream\r\n", command.data, command.length);
    assert_problem(&answer, 500, "too_big");
    service_fake_body(self->service, (struct span){0});
    bytes_done(&command);
    arena_done(&arena);
    free(text);
}

struct asker {
    struct http_fixture *self;
    struct http_answer answer;
    pthread_t thread;
};

static void *ask_audit(void *context)
{
    struct asker *asker = context;
    asker->answer = fixture_get(asker->self, "/v1/audit?consistency=stale&limit=0");
    return NULL;
}

/* Goal: more long reads than the lane takes are 503 at once; the others are answered.
 * Method: a lock that each of them needs is held while 80 come; the fake's status is behind it. */
static void full_lane_is_refused(void **state)
{
    enum { ASKERS = 80 };
    struct http_fixture *self = *state;
    struct asker askers[ASKERS];
    int done = 0, refused = 0;
    service_fake_status_lock(self->service);
    for (size_t i = 0; i < ASKERS; i++) {
        askers[i] = (struct asker){.self = self};
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask_audit, &askers[i]), 0);
    }
    /* One is at work, LANE_JOBS_MAX wait, and both HTTP threads are about to refuse the next two. */
    for (int i = 0; i < PATIENCE_MS / 5 && http_server_busy(self->server) < LANE_JOBS_MAX + 3; i++)
        usleep(5000);
    usleep(200000);
    service_fake_status_unlock(self->service);
    for (size_t i = 0; i < ASKERS; i++) {
        pthread_join(askers[i].thread, NULL);
        done += askers[i].answer.status == 200;
        refused += askers[i].answer.status == 503;
        http_answer_done(&askers[i].answer);
    }
    assert_int_equal(done + refused, ASKERS);
    assert_true(refused >= 1);
    assert_true(done >= (int)LANE_JOBS_MAX);
}

static void *close_server(void *context)
{
    struct http_fixture *self = context;
    http_server_close(self->server);
    return NULL;
}

/* Goal: closing waits for the calls that the service has taken, and no longer.
 * Method: a held read; close begins; the read is answered; close ends. */
static void close_waits_for_calls_under_way(void **state)
{
    struct http_fixture *self = *state;
    struct service_fake_seen seen = {0};
    pthread_t closer;
    service_fake_hold(self->service, true);
    int fd = http_connect(self->port);
    assert_true(http_send_text(fd, "GET /v1/flags HTTP/1.1\r\nHost: x\r\n\r\n"));
    for (int i = 0; i < PATIENCE_MS / 5 && seen.queued == 0; i++) {
        usleep(5000);
        service_fake_seen(self->service, &seen);
    }
    assert_int_equal(seen.queued, 1);
    assert_int_equal(pthread_create(&closer, NULL, close_server, self), 0);
    usleep(200000);
    service_fake_hold(self->service, false);
    pthread_join(closer, NULL);
    close(fd);

    struct error error = {0};
    struct http_options options = {.service = self->service, .listen_address = "127.0.0.1:0"};
    assert_int_equal(http_server_open(&options, &self->server, &error), ERROR_OK); /* for tear_down */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(changed_trail_does_not_verify, set_up, tear_down),
        cmocka_unit_test_setup_teardown(changed_anchor_does_not_verify, set_up, tear_down),
        cmocka_unit_test_setup_teardown(garbled_record_is_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unreadable_answers_are_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(endless_answers_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_lane_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(close_waits_for_calls_under_way, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
