/* Epochs, members, handing leadership over, reports of lost quorum. */
#include "support/fsm_fixture.h"

static struct result elected(struct fixture *fixture, unsigned node, unsigned term, const char *cause)
{
    char json[200];
    fixture->log->term = term;
    snprintf(json, sizeof(json),
             "{\"node_id\": %u, \"term\": %u, \"cause\": \"%s\", \"version\": \"0.1.0\", \"level\": 1}", node,
             term, cause);
    return fixture_run_as(fixture, "leader.elected", "system", "", json);
}

static struct result add(struct fixture *fixture, unsigned node, const char *name)
{
    char json[300];
    snprintf(json, sizeof(json),
             "{\"node_id\": %u, \"name\": \"%s\", \"address\": \"127.0.0.1:%u\", \"url\": "
             "\"http://127.0.0.1:%u\", "
             "\"version\": \"0.1.0\", \"level\": 1, \"incarnation\": 1}",
             node, name, 7200 + node, 7100 + node);
    return fixture_run_as(fixture, "member.add", "system", "", json);
}

static struct result sync_role(struct fixture *fixture, unsigned node, const char *role)
{
    char json[100];
    snprintf(json, sizeof(json), "{\"node_id\": %u, \"role\": \"%s\"}", node, role);
    return fixture_run_as(fixture, "member.sync", "system", "", json);
}

static json_t *epochs(struct fixture *fixture)
{
    json_t *rows = NULL;
    struct error error = {0};
    struct view *view = view_open(fixture->fsm);
    assert_int_equal(view_epochs(view, 100, &rows, &error), ERROR_OK);
    view_close(view);
    return rows;
}

static const char *epoch_text(json_t *rows, size_t at, const char *key)
{
    return json_string_value(json_object_get(json_array_get(rows, at), key));
}

/* Goal: each new leader closes its predecessor's epoch, so exactly one epoch is open.
 * Method: three leaders, time moving between them. */
static void new_leader_closes_the_epoch_before(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 1, "n1");
    assert_result(elected(fixture, 1, 1, "election"), RESULT_OK);
    fixture->log->wall_ms += 1000;
    assert_result(elected(fixture, 2, 4, "crash"), RESULT_OK);
    fixture->log->wall_ms += 1000;
    assert_result(elected(fixture, 1, 5, "election"), RESULT_OK);

    json_t *rows = epochs(fixture);
    assert_int_equal(json_array_size(rows), 3);
    assert_string_equal(epoch_text(rows, 0, "name"), "n1");
    assert_string_equal(epoch_text(rows, 1, "name"), "0000000000000002");
    assert_string_equal(epoch_text(rows, 1, "cause"), "crash");
    assert_true(json_is_null(json_object_get(json_array_get(rows, 0), "ended_at")));
    assert_string_equal(epoch_text(rows, 1, "ended_at"), epoch_text(rows, 0, "acquired_at"));
    assert_string_equal(epoch_text(rows, 2, "ended_at"), epoch_text(rows, 1, "acquired_at"));
    assert_string_not_equal(epoch_text(rows, 2, "ended_at"), epoch_text(rows, 2, "acquired_at"));
    json_decref(rows);
    assert_int_equal(fixture_count(fixture, "ha.leader.elected", AUDIT_SUCCESS), 3);
    assert_int_equal(fixture_count(fixture, "ha.leader.resigned", AUDIT_SUCCESS), 0);
}

/* Goal: a command of a term that has passed changes nothing; the same one twice is one epoch.
 * Method: an older term, the same term of another node, the same term again. */
static void stale_term_is_refused(void **state)
{
    struct fixture *fixture = *state;
    assert_result(elected(fixture, 1, 5, "election"), RESULT_OK);
    fixture->log->term = 6;
    assert_result(
        fixture_run(fixture, "leader.elected", "{\"node_id\": 2, \"term\": 4, \"cause\": \"election\"}"),
        RESULT_TERM_STALE);
    assert_result(
        fixture_run(fixture, "leader.elected", "{\"node_id\": 2, \"term\": 5, \"cause\": \"election\"}"),
        RESULT_TERM_STALE);
    assert_result(
        fixture_run(fixture, "leader.elected", "{\"node_id\": 1, \"term\": 5, \"cause\": \"election\"}"),
        RESULT_OK);
    json_t *rows = epochs(fixture);
    assert_int_equal(json_array_size(rows), 1);
    assert_true(json_is_null(json_object_get(json_array_get(rows, 0), "ended_at")));
    json_decref(rows);
    assert_int_equal(fixture_count(fixture, "ha.leader.elected", AUDIT_SUCCESS), 1);
}

static uint32_t open_actions(struct fixture *fixture)
{
    struct open_action *rows = NULL;
    uint32_t count = 0;
    struct error error = {0};
    struct view *view = view_open(fixture->fsm);
    assert_int_equal(view_open_actions(view, &fixture->arena, &rows, &count, &error), ERROR_OK);
    view_close(view);
    if (count > 0) {
        assert_string_equal(rows[0].kind, "failover");
        assert_true(rows[0].index > 0);
    }
    return count;
}

/* Goal: a handover leaves triggered (pending), resigned by the successor, triggered (success), and no
 * open action.
 * Method: request in term 1, successor by transfer in term 2, outcome. */
static void handover_leaves_request_resignation_and_outcome(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 1, "n1");
    add(fixture, 2, "n2");
    elected(fixture, 1, 1, "election");
    const struct result asked =
        fixture_run_as(fixture, "failover.request", "alice", "req-9", "{\"reason\": \"maintenance\"}");
    assert_result(asked, RESULT_OK);
    assert_string_equal(fixture_text(fixture, asked, "previous_holder"), "n1");
    const unsigned index = (unsigned)asked.index;
    assert_int_equal(open_actions(fixture), 1);
    assert_int_equal(fixture_count(fixture, "ha.failover.triggered", AUDIT_PENDING), 1);

    assert_result(elected(fixture, 2, 2, "transfer"), RESULT_OK);
    const struct audit_filter resigned = {.event_type = "ha.leader.resigned"};
    const struct fixture_records *records = fixture_records(fixture, &resigned);
    assert_int_equal(records->count, 1);
    assert_string_equal(records->rows[0].resource, "n1");
    assert_string_equal(records->rows[0].reason, "maintenance");
    assert_string_equal(records->rows[0].actor, "alice");
    assert_string_equal(fixture_field(&records->rows[0], "successor"), "n2");

    char json[120];
    snprintf(json, sizeof(json),
             "{\"request_index\": %u, \"success\": true, \"detail\": \"n2 leads\", \"write_gap_ms\": 4}",
             index);
    assert_result(fixture_run_as(fixture, "failover.outcome", "system", "", json), RESULT_OK);
    assert_int_equal(open_actions(fixture), 0);
    assert_int_equal(fixture_count(fixture, "ha.failover.triggered", AUDIT_SUCCESS), 1);
    assert_int_equal(fixture_count(fixture, "rollback.executed", AUDIT_SUCCESS), 0);
    assert_result(fixture_run_as(fixture, "failover.outcome", "system", "", json), RESULT_ACTION_NOT_FOUND);
}

/* Goal: a successor after a crash writes no resignation, though one was asked for; the action stays open
 * for it.
 * Method: request, then a leader by crash. */
static void crash_leaves_no_resignation(void **state)
{
    struct fixture *fixture = *state;
    elected(fixture, 1, 1, "election");
    fixture_run(fixture, "failover.request", "{\"reason\": \"maintenance\"}");
    elected(fixture, 2, 2, "crash");
    assert_int_equal(fixture_count(fixture, "ha.leader.resigned", AUDIT_SUCCESS), 0);
    assert_int_equal(open_actions(fixture), 1);
}

/* Goal: a failed transfer records failure and closes the action; the epoch stays open.
 * Method: request, then an outcome without success. */
static void failed_transfer_records_failure(void **state)
{
    struct fixture *fixture = *state;
    elected(fixture, 1, 1, "election");
    const struct result asked = fixture_run(fixture, "failover.request", "{\"reason\": \"maintenance\"}");
    char json[100];
    snprintf(json, sizeof(json), "{\"request_index\": %u, \"success\": false, \"detail\": \"no successor\"}",
             (unsigned)asked.index);
    assert_result(fixture_run(fixture, "failover.outcome", json), RESULT_OK);
    assert_int_equal(fixture_count(fixture, "ha.failover.triggered", AUDIT_FAILURE), 1);
    assert_int_equal(open_actions(fixture), 0);
    json_t *rows = epochs(fixture);
    assert_true(json_is_null(json_object_get(json_array_get(rows, 0), "ended_at")));
    json_decref(rows);
}

/* Goal: one failover at a time, to a voter that exists; the refusal is recorded.
 * Method: unknown target, a standby as target, then a second request while the first is open. */
static void second_or_impossible_failover_is_refused(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 3, "n3");
    elected(fixture, 1, 1, "election");
    assert_result(fixture_run(fixture, "failover.request", "{\"reason\": \"r\", \"target_node\": \"n9\"}"),
                  RESULT_MEMBER_NOT_FOUND);
    assert_result(fixture_run(fixture, "failover.request", "{\"reason\": \"r\", \"target_node\": \"n3\"}"),
                  RESULT_INVALID);
    sync_role(fixture, 3, "voter");
    assert_result(fixture_run(fixture, "failover.request", "{\"reason\": \"r\", \"target_node\": \"n3\"}"),
                  RESULT_OK);
    assert_result(fixture_run(fixture, "failover.request", "{\"reason\": \"r\"}"), RESULT_FAILOVER_OPEN);
    assert_int_equal(fixture_count(fixture, "ha.failover.triggered", AUDIT_DENIED), 3);
    assert_int_equal(open_actions(fixture), 1);
}

/* Goal: a resignation asked for by `rollback execute` leaves one rollback.executed, with the final
 * outcome.
 * Method: execute against ha_leader_resign, successor, outcome. */
static void resignation_by_rollback_leaves_one_executed_record(void **state)
{
    struct fixture *fixture = *state;
    elected(fixture, 1, 1, "election");
    const struct result asked = fixture_run_as(
        fixture, "rollback.execute", "alice", "req-1",
        "{\"target\": \"ha_leader_resign\", \"resource\": \"current\", \"reason\": \"bad node\"}");
    assert_true(result_succeeded(asked.code));
    const unsigned index = (unsigned)asked.index;
    assert_int_equal(open_actions(fixture), 1);
    elected(fixture, 2, 2, "transfer");
    char json[100];
    snprintf(json, sizeof(json), "{\"request_index\": %u, \"success\": true, \"write_gap_ms\": 3}", index);
    assert_result(fixture_run_as(fixture, "failover.outcome", "system", "", json), RESULT_OK);

    const struct audit_filter executed = {.event_type = "rollback.executed"};
    const struct fixture_records *records = fixture_records(fixture, &executed);
    assert_int_equal(records->count, 1);
    assert_int_equal(records->rows[0].outcome, AUDIT_SUCCESS);
    assert_string_equal(records->rows[0].actor, "alice");
    assert_string_equal(records->rows[0].request_id, "req-1");
    assert_string_equal(records->rows[0].resource_type, "ha_leader_resign");
}

/* Goal: a member is added once, updated by its id, promoted and demoted with a record each; the same
 * again leaves none.
 * Method: walk one member through its roles. */
static void member_roles_leave_records_when_they_change(void **state)
{
    struct fixture *fixture = *state;
    assert_result(add(fixture, 1, "n1"), RESULT_CREATED);
    assert_result(add(fixture, 1, "n1"), RESULT_OK);
    assert_int_equal(fixture_count(fixture, "ha.member.added", AUDIT_SUCCESS), 1);
    assert_result(sync_role(fixture, 1, "voter"), RESULT_OK);
    assert_result(sync_role(fixture, 1, "voter"), RESULT_OK);
    assert_result(sync_role(fixture, 1, "spare"), RESULT_OK);
    assert_result(sync_role(fixture, 1, "standby"), RESULT_OK);
    assert_int_equal(fixture_count(fixture, "ha.member.promoted", AUDIT_SUCCESS), 2);
    assert_int_equal(fixture_count(fixture, "ha.member.demoted", AUDIT_SUCCESS), 1);
    assert_result(sync_role(fixture, 4, "voter"), RESULT_MEMBER_NOT_FOUND);

    struct member_info info;
    struct error error = {0};
    struct view *view = view_open(fixture->fsm);
    assert_int_equal(view_member(view, 1, &fixture->arena, &info, &error), ERROR_OK);
    assert_string_equal(info.name, "n1");
    assert_string_equal(info.url, "http://127.0.0.1:7101");
    assert_int_equal(info.role, 0);
    assert_false(info.removed);
    assert_int_equal(view_member(view, 9, &fixture->arena, &info, &error), ERROR_NOT_FOUND);
    view_close(view);
}

/* Goal: a removed id never comes back, its name may; a living name belongs to one node.
 * Method: remove, add the id again, add another node under the name. */
static void removed_id_never_returns(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 1, "n1");
    add(fixture, 2, "n2");
    assert_result(add(fixture, 3, "n2"), RESULT_MEMBER_NAME);
    assert_result(sync_role(fixture, 2, "removed"), RESULT_OK);
    assert_int_equal(fixture_count(fixture, "ha.member.removed", AUDIT_SUCCESS), 1);
    assert_result(add(fixture, 2, "n2"), RESULT_MEMBER_REMOVED);
    assert_result(sync_role(fixture, 2, "voter"), RESULT_MEMBER_REMOVED);
    assert_result(add(fixture, 3, "n2"), RESULT_CREATED);

    struct member_info *rows = NULL;
    uint32_t count = 0;
    struct error error = {0};
    json_t *json = NULL;
    struct view *view = view_open(fixture->fsm);
    assert_int_equal(view_member_list(view, &fixture->arena, &rows, &count, &error), ERROR_OK);
    assert_int_equal(count, 3);
    assert_true(rows[1].removed);
    assert_int_equal(view_members(view, &json, &error), ERROR_OK);
    assert_int_equal(json_array_size(json), 2);
    json_decref(json);
    view_close(view);
}

/* Goal: a cluster has at most NODES_MAX members; a removal makes room.
 * Method: fill it, one more, remove one, one more. */
static void members_are_bounded(void **state)
{
    struct fixture *fixture = *state;
    char name[16];
    for (unsigned i = 1; i <= NODES_MAX; i++) {
        snprintf(name, sizeof(name), "n%u", i);
        assert_result(add(fixture, i, name), RESULT_CREATED);
    }
    assert_result(add(fixture, 100, "extra"), RESULT_TOO_MANY);
    assert_result(sync_role(fixture, 3, "removed"), RESULT_OK);
    assert_result(add(fixture, 100, "extra"), RESULT_CREATED);
    assert_result(add(fixture, 101, "extra2"), RESULT_TOO_MANY);
}

static struct result report(struct fixture *fixture, unsigned node, const char *lost_at,
                            const char *restored_at)
{
    char json[300], request_id[32];
    snprintf(
        json, sizeof(json),
        "{\"node_id\": %u, \"incarnation\": 1, \"number\": 1, \"lost_at\": \"%s\", \"restored_at\": \"%s\", "
        "\"reason\": \"2 of 3 voters unreachable\"}",
        node, lost_at, restored_at);
    snprintf(request_id, sizeof(request_id), "quorum-%u-1-1", node);
    return fixture_run_as(fixture, "quorum.report", "system", request_id, json);
}

/* Goal: one pair of records for a loss that several nodes saw; a later loss is a pair of its own.
 * Method: two overlapping reports, one report twice, one an hour later; one whose end lies before its
 * beginning. */
static void reports_of_one_loss_are_one_pair_of_records(void **state)
{
    struct fixture *fixture = *state;
    elected(fixture, 1, 1, "election");
    assert_result(report(fixture, 1, "2026-01-01T00:00:10Z", "2026-01-01T00:00:20Z"), RESULT_OK);
    assert_result(report(fixture, 2, "2026-01-01T00:00:11Z", "2026-01-01T00:00:21Z"), RESULT_OK);
    assert_true(report(fixture, 2, "2026-01-01T00:00:11Z", "2026-01-01T00:00:21Z").repeated);
    assert_int_equal(fixture_count(fixture, "ha.quorum.lost", AUDIT_SUCCESS), 1);
    assert_int_equal(fixture_count(fixture, "ha.quorum.restored", AUDIT_SUCCESS), 1);
    assert_result(report(fixture, 3, "2026-01-01T01:00:00Z", "2026-01-01T01:00:05Z"), RESULT_OK);
    assert_int_equal(fixture_count(fixture, "ha.quorum.lost", AUDIT_SUCCESS), 2);
    assert_result(report(fixture, 4, "2026-01-01T01:00:00Z", "2026-01-01T00:00:05Z"), RESULT_INVALID);
    assert_int_equal(fixture_count(fixture, "ha.quorum.restored", AUDIT_SUCCESS), 2);
}

/* Goal: the state's next deadline includes the expiry of requests, rounded up so that one tick serves
 * many.
 * Method: none, then one remembered request. */
static void expiry_is_a_deadline(void **state)
{
    struct fixture *fixture = *state;
    struct view *view = view_open(fixture->fsm);
    assert_int_equal(view_next_deadline_ms(view, 0), 0);
    view_close(view);
    fixture->log->wall_ms += 1;
    fixture_run_as(fixture, "tick", "system", "tick-1", "{}");
    view = view_open(fixture->fsm);
    assert_true(view_next_deadline_ms(view, 0) == FIXTURE_START_MS + 24 * 3600 * 1000ull + 60000);
    view_close(view);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(new_leader_closes_the_epoch_before),
        TEST(stale_term_is_refused),
        TEST(handover_leaves_request_resignation_and_outcome),
        TEST(crash_leaves_no_resignation),
        TEST(failed_transfer_records_failure),
        TEST(second_or_impossible_failover_is_refused),
        TEST(resignation_by_rollback_leaves_one_executed_record),
        TEST(member_roles_leave_records_when_they_change),
        TEST(removed_id_never_returns),
        TEST(members_are_bounded),
        TEST(reports_of_one_loss_are_one_pair_of_records),
        TEST(expiry_is_a_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
