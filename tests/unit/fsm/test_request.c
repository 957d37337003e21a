/* Remembered requests: one effect each, whatever is sent again. */
#include "support/fsm_fixture.h"

#include "fsm/fsm_internal.h"
#include "fsm/request.h"

static const char *const speed_flag =
    "{\"key\": \"speed\", \"type\": \"integer\", \"default\": 1, \"safe\": 0}";

static struct result define(struct fixture *fixture, const char *principal, const char *request_id)
{
    return fixture_run_as(fixture, "flag.define", principal, request_id, speed_flag);
}

static struct result set(struct fixture *fixture, const char *principal, const char *request_id, int value)
{
    char json[100];
    snprintf(json, sizeof(json), "{\"key\": \"speed\", \"value\": %d, \"reason\": \"r\"}", value);
    return fixture_run_as(fixture, "flag.set", principal, request_id, json);
}

static uint64_t remembered(struct fixture *fixture)
{
    return store_meta(fsm_store(fixture->fsm))->request_count;
}

/* Goal: the same request again gives the first answer and changes nothing, in the same group, later and
 * after a restart.
 * Method: set a flag, repeat it after another set; value, records and answer stay those of the first. */
static void repeated_request_answers_alike_and_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    define(fixture, "a", "d1");
    const struct result first = set(fixture, "a", "s1", 5);
    assert_result(first, RESULT_OK);
    assert_false(first.repeated);
    char body[4096];
    snprintf(body, sizeof(body), "%s", fixture_json_text(first.body));
    set(fixture, "a", "s2", 6);
    const uint64_t records = fixture_describe(fixture).audit_seq;

    for (int round = 0; round < 2; round++) {
        const struct result again = set(fixture, "a", "s1", 5);
        assert_true(again.repeated);
        assert_result(again, RESULT_OK);
        assert_int_equal(again.index, first.index);
        assert_int_equal(again.audit_seq, first.audit_seq);
        assert_string_equal(fixture_json_text(again.body), body);
        assert_int_equal(fixture_describe(fixture).audit_seq, records);
        fixture_restart(fixture, true);
    }
    json_t *flag = NULL;
    struct error error = {0};
    struct view *view = view_open(fixture->fsm);
    assert_int_equal(view_flag(view, "speed", &flag, &error), ERROR_OK);
    assert_int_equal(json_integer_value(json_object_get(flag, "value")), 6);
    json_decref(flag);
    view_close(view);
}

/* Goal: a repeat inside one group is known too.
 * Method: the same command three times in one group. */
static void repeat_within_a_group_is_known(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 3; i++)
        fixture_append_command(fixture->log, "flag.define", "a", "d1", speed_flag);
    fixture_apply(fixture, 3);
    assert_false(fixture->results[0].repeated);
    assert_true(fixture->results[1].repeated && fixture->results[2].repeated);
    assert_int_equal(fixture->results[2].index, 1);
    assert_int_equal(fixture_describe(fixture).audit_seq, 1);
    assert_int_equal(remembered(fixture), 1);
}

/* Goal: an id with another body is refused and changes nothing; the first answer stays known.
 * Method: the same id for another value, for another command, then the first again. */
static void reused_id_is_refused(void **state)
{
    struct fixture *fixture = *state;
    define(fixture, "a", "d1");
    const struct result first = set(fixture, "a", "s1", 5);
    const uint64_t records = fixture_describe(fixture).audit_seq;
    assert_result(set(fixture, "a", "s1", 6), RESULT_REQUEST_REUSED);
    assert_result(fixture_run_as(fixture, "switch.activate", "a", "s1",
                                 "{\"name\": \"DISABLE_NEW\", \"reason\": \"r\"}"),
                  RESULT_REQUEST_REUSED);
    assert_int_equal(fixture_describe(fixture).audit_seq, records);
    const struct result again = set(fixture, "a", "s1", 5);
    assert_true(again.repeated);
    assert_int_equal(again.index, first.index);
}

/* Goal: ids belong to their principal.
 * Method: the same id and body of two people are two requests. */
static void ids_are_scoped_by_principal(void **state)
{
    struct fixture *fixture = *state;
    define(fixture, "a", "d1");
    assert_false(set(fixture, "a", "s1", 5).repeated);
    assert_false(set(fixture, "b", "s1", 5).repeated);
    assert_true(set(fixture, "b", "s1", 5).repeated);
    assert_false(set(fixture, "as", "1", 5).repeated); /* the same letters, cut elsewhere */
}

/* Goal: a refusal is remembered like a success, a command without an id is not remembered at all.
 * Method: an unknown flag, then it is defined, then the refused request again; two sets without an id. */
static void refusals_are_remembered_and_empty_ids_are_not(void **state)
{
    struct fixture *fixture = *state;
    assert_result(set(fixture, "a", "s1", 5), RESULT_FLAG_NOT_FOUND);
    define(fixture, "a", "d1");
    const struct result again = set(fixture, "a", "s1", 5);
    assert_true(again.repeated);
    assert_result(again, RESULT_FLAG_NOT_FOUND);
    const uint64_t count = remembered(fixture);
    assert_false(set(fixture, "a", "", 5).repeated);
    assert_false(set(fixture, "a", "", 5).repeated);
    assert_int_equal(remembered(fixture), count);
}

static void let_pass(struct fixture *fixture, uint64_t ms)
{
    fixture->log->wall_ms += ms;
}

/* Goal: a request is remembered for 24 h of state time, then it is a new one.
 * Method: a moment before, known; a moment after, new. */
static void requests_leave_after_24_hours(void **state)
{
    struct fixture *fixture = *state;
    define(fixture, "a", "");
    set(fixture, "a", "s1", 5);
    let_pass(fixture, REQUEST_KEEP_MS - 1);
    assert_true(set(fixture, "a", "s1", 5).repeated);
    assert_int_equal(remembered(fixture), 1);
    let_pass(fixture, 1);
    assert_false(set(fixture, "a", "s1", 5).repeated);
    assert_int_equal(remembered(fixture), 1);
}

/* Goal: one entry removes a bounded number, the oldest first; a refusal doesn't bring them back.
 * Method: 150 requests, a day later refused commands: 64, 64, then the rest. */
static void expiry_is_bounded_and_survives_a_refusal(void **state)
{
    struct fixture *fixture = *state;
    char id[32];
    define(fixture, "a", "");
    for (int i = 0; i < 150; i++) {
        snprintf(id, sizeof(id), "s-%d", i);
        set(fixture, "a", id, 5);
        let_pass(fixture, 1);
    }
    assert_int_equal(remembered(fixture), 150);
    let_pass(fixture, REQUEST_KEEP_MS);
    const char *unknown = "{\"name\": \"no-such-switch\", \"reason\": \"r\"}";
    assert_result(fixture_run(fixture, "switch.activate", unknown), RESULT_SWITCH_NOT_FOUND);
    assert_int_equal(remembered(fixture), 150 - REQUEST_EXPIRE_MAX);
    assert_true(
        set(fixture, "a", "s-149", 5).repeated); /* its turn has not come: leaving late does no harm */
    assert_int_equal(remembered(fixture), 150 - 2 * REQUEST_EXPIRE_MAX);
    fixture_run(fixture, "switch.activate", unknown);
    assert_int_equal(remembered(fixture), 0);
}

/* Goal: what has expired is never looked at again: the search begins at the first that is left, which the
 * meta record names, also after a restart. From the first key on it would walk over all that was ever
 * deleted. Method: three requests a second apart; as they leave the bound moves on, and later ones don't move
 * it back. */
static void search_begins_at_the_first_that_is_left(void **state)
{
    struct fixture *fixture = *state;
    char id[32];
    uint64_t expires_ms[3];
    define(fixture, "a", "");
    for (int i = 0; i < 3; i++) {
        snprintf(id, sizeof(id), "s-%d", i);
        set(fixture, "a", id, 5);
        expires_ms[i] = fixture_describe(fixture).time_ms + REQUEST_KEEP_MS;
        let_pass(fixture, 1000);
    }
    fixture->log->wall_ms = expires_ms[0];
    set(fixture, "a", "", 6);
    assert_int_equal(remembered(fixture), 2);
    assert_int_equal(store_meta(fsm_store(fixture->fsm))->next_expiry_ms, expires_ms[1]);
    fixture_restart(fixture, true);
    assert_int_equal(store_meta(fsm_store(fixture->fsm))->next_expiry_ms, expires_ms[1]);
    set(fixture, "a", "s-3", 7);
    assert_int_equal(store_meta(fsm_store(fixture->fsm))->next_expiry_ms, expires_ms[1]);
    fixture->log->wall_ms = expires_ms[2];
    set(fixture, "a", "", 8);
    assert_int_equal(remembered(fixture), 1);
    assert_int_equal(store_meta(fsm_store(fixture->fsm))->next_expiry_ms, expires_ms[0] + REQUEST_KEEP_MS);
}

/* Goal: a tick removes many more at once, so that an idle cluster forgets a busy day quickly.
 * Method: 150 requests; a day later one tick. */
static void tick_forgets_many_at_once(void **state)
{
    struct fixture *fixture = *state;
    char id[32];
    define(fixture, "a", "");
    for (int i = 0; i < 150; i++) {
        snprintf(id, sizeof(id), "s-%d", i);
        set(fixture, "a", id, 5);
    }
    let_pass(fixture, REQUEST_KEEP_MS);
    assert_result(fixture_run_as(fixture, "tick", "system", "", "{}"), RESULT_OK);
    assert_int_equal(remembered(fixture), 0);
    assert_false(set(fixture, "a", "s-0", 5).repeated);
}

/* Goal: an id that a node made is forgotten after two minutes, others beside it are not.
 * Method: one of each; a moment before, known; a moment after, new. */
static void ids_that_a_node_made_leave_soon(void **state)
{
    struct fixture *fixture = *state;
    define(fixture, "a", "");
    set(fixture, "a", "of-a-client", 4);
    set(fixture, "a", ".of-a-node", 5);
    let_pass(fixture, REQUEST_KEEP_NODE_MS - 1);
    assert_true(set(fixture, "a", ".of-a-node", 5).repeated);
    assert_int_equal(remembered(fixture), 2);
    let_pass(fixture, 1);
    assert_false(set(fixture, "a", ".of-a-node", 5).repeated);
    assert_int_equal(remembered(fixture), 2);
    assert_true(set(fixture, "a", "of-a-client", 4).repeated);
}

/* Goal: where the table refuses ordinary commands, those that end an incident still pass, and are remembered.
 * Method: the count is set by hand to where the reserve begins, then to the bound. */
static void last_rows_are_for_urgent_commands(void **state)
{
    struct fixture *fixture = *state;
    const char *activate = "{\"name\": \"DISABLE_NEW\", \"reason\": \"r\"}";
    define(fixture, "a", "");
    store_meta(fsm_store(fixture->fsm))->request_count = REQUESTS_MAX - REQUESTS_RESERVED;
    assert_result(set(fixture, "a", "s1", 5), RESULT_REQUESTS_FULL);
    assert_result(fixture_run_as(fixture, "switch.activate", "alice", "urgent", activate), RESULT_OK);
    assert_true(fixture_run_as(fixture, "switch.activate", "alice", "urgent", activate).repeated);
    store_meta(fsm_store(fixture->fsm))->request_count = REQUESTS_MAX;
    assert_result(
        fixture_run_as(fixture, "rollout.halt", "alice", "late", "{\"plan_id\": \"p\", \"reason\": \"r\"}"),
        RESULT_REQUESTS_FULL);
}

/* Goal: a full table refuses new requests with 503 and forgets nothing; repeats, commands without an id
 * and the leader's own still pass; room comes back with time.
 * Method: the count is set to its bound by hand, two below. */
static void full_table_refuses_and_forgets_nothing(void **state)
{
    struct fixture *fixture = *state;
    define(fixture, "a", "");
    set(fixture, "a", "s1", 5);
    store_meta(fsm_store(fixture->fsm))->request_count = REQUESTS_MAX - REQUESTS_RESERVED - 1;
    assert_result(set(fixture, "a", "s2", 6), RESULT_OK);
    assert_int_equal(remembered(fixture), REQUESTS_MAX - REQUESTS_RESERVED);
    const uint64_t records = fixture_describe(fixture).audit_seq;

    const struct result full = set(fixture, "a", "s3", 7);
    assert_result(full, RESULT_REQUESTS_FULL);
    assert_int_equal(result_status(full.code), 503);
    assert_false(full.repeated);
    assert_int_equal(fixture_describe(fixture).audit_seq, records);
    assert_true(set(fixture, "a", "s1", 5).repeated);
    assert_result(set(fixture, "a", "", 8), RESULT_OK);
    assert_result(fixture_run_as(fixture, "leader.elected", "system", "elected-1",
                                 "{\"node_id\": 1, \"term\": 1, \"cause\": \"election\"}"),
                  RESULT_OK);
    assert_result(set(fixture, "a", "s3", 7), RESULT_REQUESTS_FULL);

    let_pass(fixture, REQUEST_KEEP_MS + 1);
    assert_result(set(fixture, "a", "s3", 7), RESULT_OK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(repeated_request_answers_alike_and_changes_nothing),
        TEST(repeat_within_a_group_is_known),
        TEST(reused_id_is_refused),
        TEST(ids_are_scoped_by_principal),
        TEST(refusals_are_remembered_and_empty_ids_are_not),
        TEST(requests_leave_after_24_hours),
        TEST(expiry_is_bounded_and_survives_a_refusal),
        TEST(search_begins_at_the_first_that_is_left),
        TEST(tick_forgets_many_at_once),
        TEST(ids_that_a_node_made_leave_soon),
        TEST(last_rows_are_for_urgent_commands),
        TEST(full_table_refuses_and_forgets_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
