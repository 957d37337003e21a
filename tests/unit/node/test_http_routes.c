/* Every route does what interface.md says, over a real state machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/logger.h"
#include "base/schema.h"
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

/* Sends and checks the status and, one after the other, members: way and expected text; ends with NULL. */
static void check(struct http_fixture *self, const char *method, const char *path, const char *body,
                  int status, ...)
{
    struct http_answer answer = fixture_send(self, method, path, body);
    assert_status(&answer, status);
    assert_string_equal(http_answer_header(&answer, "Content-Type"), "application/json; charset=utf-8");
    va_list pairs;
    va_start(pairs, status);
    for (const char *way; (way = va_arg(pairs, const char *)) != NULL;) {
        const char *expected = va_arg(pairs, const char *);
        if (strcmp(json_text_at(answer.json, way), expected) != 0)
            print_error("%s isn't \"%s\" in %s\n", way, expected, answer.body);
        assert_string_equal(json_text_at(answer.json, way), expected);
    }
    va_end(pairs);
    http_answer_done(&answer);
}

#define END (const char *)NULL

static void assert_members(const struct http_answer *answer, const char *way, const char *names)
{
    char name[64];
    const json_t *object = answer->json;
    if (way[0] != '\0')
        object = json_object_get(object, way);
    while (*names != '\0') {
        size_t length = strcspn(names, " ");
        snprintf(name, sizeof(name), "%.*s", (int)length, names);
        if (json_object_get(object, name) == NULL)
            print_error("no member %s in %s\n", name, answer->body);
        assert_non_null(json_object_get(object, name));
        names += length + strspn(names + length, " ");
    }
}

/* Goal: every answer names its index, term and request, and nobody caches or sniffs it.
 * Method: a read, a change, a refusal, a HEAD. */
static void every_answer_has_its_headers(void **state)
{
    struct http_fixture *self = *state;
    static const char *const rows[][2] = {{"GET", "/v1/health"},
                                          {"GET", "/v1/flags"},
                                          {"GET", "/nothing"},
                                          {"HEAD", "/v1/flags"},
                                          {"GET", "/v1/audit"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct http_answer answer = fixture_send(self, rows[i][0], rows[i][1], NULL);
        assert_string_equal(http_answer_header(&answer, "X-Autonomy-Index"), "1");
        assert_string_equal(http_answer_header(&answer, "X-Autonomy-Term"), "7");
        assert_int_equal(strlen(http_answer_header(&answer, "X-Request-Id")), 33);
        assert_int_equal(http_answer_header(&answer, "X-Request-Id")[0], REQUEST_ID_NODE);
        assert_string_equal(http_answer_header(&answer, "Cache-Control"), "no-store");
        assert_string_equal(http_answer_header(&answer, "X-Content-Type-Options"), "nosniff");
        http_answer_done(&answer);
    }
}

/* Goal: HEAD answers as GET, without the body.
 * Method: the length is there, the bytes are not. */
static void head_is_get_without_body(void **state)
{
    struct http_answer answer = fixture_send(*state, "HEAD", "/v1/health", NULL);
    assert_status(&answer, 200);
    assert_true(atoi(http_answer_header(&answer, "Content-Length")) > 0);
    assert_int_equal(answer.body_bytes, 0);
    http_answer_done(&answer);
}

/* Goal: the health routes say what a probe asks, with the statuses that it reads.
 * Method: a healthy leader; then a follower, a node without cluster, one without quorum, one that stops, a
 * full disk. */
static void health_tells_the_state(void **state)
{
    struct http_fixture *self = *state;
    check(self, "GET", "/v1/health", NULL, 200, "status", "ok", END);
    check(self, "GET", "/health", NULL, 200, "status", "ok", END);
    check(self, "GET", "/v1/health/read-ready", NULL, 200, "ready", "true", "reason", "", END);
    check(self, "GET", "/v1/health/write-ready", NULL, 200, "ready", "true", "reason", "", END);
    check(self, "GET", "/v1/health/leader", NULL, 200, "holder_id", "n1", "current_epoch", "7", "acquired_at",
          "2026-01-02T03:04:05.678Z", "session_lock_held", "true", END);

    struct service_status *status = service_fake_status_lock(self->service);
    status->write_ready = false;
    status->consensus.disk_full = true;
    service_fake_status_unlock(self->service);
    check(self, "GET", "/v1/health/write-ready", NULL, 503, "ready", "false", "reason", "the disk is full",
          END);

    status = service_fake_status_lock(self->service);
    status->consensus.quorum = false;
    status->quorum_loss_reason = "1 of 3 voters in contact";
    service_fake_status_unlock(self->service);
    check(self, "GET", "/v1/health/write-ready", NULL, 503, "reason", "1 of 3 voters in contact", END);

    status = service_fake_status_lock(self->service);
    status->consensus.role = CONSENSUS_FOLLOWER;
    snprintf(status->leader_name, sizeof(status->leader_name), "n2");
    service_fake_status_unlock(self->service);
    check(self, "GET", "/v1/health/write-ready", NULL, 503, "reason", "n2 leads", END);
    check(self, "GET", "/v1/health/leader", NULL, 200, "holder_id", "n2", "session_lock_held", "false", END);

    status = service_fake_status_lock(self->service);
    status->leader_name[0] = '\0';
    status->consensus.leader_id = 0;
    service_fake_status_unlock(self->service);
    check(self, "GET", "/v1/health/write-ready", NULL, 503, "reason", "no leader is known", END);
    check(self, "GET", "/v1/health/leader", NULL, 200, "holder_id", "null", END);
    check(self, "GET", "/v1/health/read-ready", NULL, 200, "ready", "true", END);

    status = service_fake_status_lock(self->service);
    status->joined = false;
    service_fake_status_unlock(self->service);
    check(self, "GET", "/v1/health/read-ready", NULL, 503, "ready", "false", END);
    check(self, "GET", "/v1/health/write-ready", NULL, 503, "ready", "false", END);
    check(self, "GET", "/v1/health", NULL, 200, "status", "ok", END);
    struct http_answer answer = fixture_get(self, "/v1/flags");
    assert_problem_says(&answer, 503, "unavailable", "not in a cluster");

    status = service_fake_status_lock(self->service);
    status->stopping = true;
    service_fake_status_unlock(self->service);
    check(self, "GET", "/v1/health/read-ready", NULL, 503, "reason", "this node is shutting down", END);
    status = service_fake_status_lock(self->service);
    status->stopping = false;
    status->joined = true;
    service_fake_status_unlock(self->service);
}

/* Goal: a node that leads but has not taken office, or stops, is not the write authority and says why.
 * Method: each of the two on the fake. */
static void write_ready_names_the_obstacle(void **state)
{
    struct http_fixture *self = *state;
    struct service_status *status = service_fake_status_lock(self->service);
    status->write_ready = false;
    status->consensus.ready = false;
    service_fake_status_unlock(self->service);
    check(self, "GET", "/v1/health/write-ready", NULL, 503, "reason", "this node has not taken office yet",
          END);
    check(self, "GET", "/v1/health/leader", NULL, 200, "session_lock_held", "false", END);
    status = service_fake_status_lock(self->service);
    status->stopping = true;
    service_fake_status_unlock(self->service);
    check(self, "GET", "/v1/health/write-ready", NULL, 503, "reason", "this node is shutting down", END);
    check(self, "GET", "/v1/health/read-ready", NULL, 503, "reason", "this node is shutting down", END);
}

/* Goal: the role is that of the answering node: who leads, stands, follows, or has no vote.
 * Method: the fake in each role; a member that nobody named is shown by its number. */
static void role_is_the_nodes_own(void **state)
{
    static const struct {
        enum consensus_role role;
        enum member_role member;
        const char *text;
    } rows[] = {{CONSENSUS_LEADER, MEMBER_VOTER, "leader"},
                {CONSENSUS_CANDIDATE, MEMBER_VOTER, "candidate"},
                {CONSENSUS_FOLLOWER, MEMBER_VOTER, "follower"},
                {CONSENSUS_FOLLOWER, MEMBER_STANDBY, "standby"},
                {CONSENSUS_FOLLOWER, MEMBER_SPARE, "spare"}};
    struct http_fixture *self = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct service_status *status = service_fake_status_lock(self->service);
        status->consensus.role = rows[i].role;
        status->consensus.members[0].role = rows[i].member;
        status->member_count = 0;
        service_fake_status_unlock(self->service);
        check(self, "GET", "/v1/ha/status", NULL, 200, "role", rows[i].text, "members.0.name", "n1",
              "members.1.name", "0000000000000002", "members.1.url", "null", END);
    }
}

/* Goal: the health of the audit mirror is told, always with 200.
 * Method: in step, behind, failed. */
static void audit_health_tells_the_mirror(void **state)
{
    struct http_fixture *self = *state;
    check(self, "GET", "/v1/health/audit", NULL, 200, "status", "ok", "mirror_failed", "false", END);
    struct service_status *status = service_fake_status_lock(self->service);
    status->audit_seq = 9;
    status->mirror_seq = 4;
    service_fake_status_unlock(self->service);
    check(self, "GET", "/v1/health/audit", NULL, 200, "status", "behind", "audit_seq", "9", "mirror_seq", "4",
          "mirror_behind", "5", END);
    status = service_fake_status_lock(self->service);
    status->mirror_failed = true;
    service_fake_status_unlock(self->service);
    check(self, "GET", "/v1/health/audit", NULL, 200, "status", "failed", "mirror_failed", "true", END);
}

/* Goal: ha status has exactly the keys that scripts read, and what is unknown is null.
 * Method: the fake's three members: the leader, a voter in contact, a standby out of contact. */
static void ha_status_has_the_keys(void **state)
{
    struct http_answer answer = fixture_get(*state, "/v1/ha/status");
    assert_status(&answer, 200);
    assert_members(&answer, "",
                   "node_id role session_lock_held write_ready queried_at term commit_index applied_index "
                   "state_digest cluster_id leader quorum replication members");
    assert_members(&answer, "leader", "holder_id epoch acquired_at");
    assert_members(&answer, "quorum", "write_ready sync_replica_count");
    assert_members(&answer, "replication", "lag_status max_write_lag_ms max_replay_lag_ms replica_count");
    assert_string_equal(json_text_at(answer.json, "role"), "leader");
    assert_int_equal(strlen(json_text_at(answer.json, "state_digest")), 64);
    assert_string_equal(json_text_at(answer.json, "replication.max_write_lag_ms"), "3");
    assert_string_equal(json_text_at(answer.json, "replication.max_replay_lag_ms"), "null");
    assert_string_equal(json_text_at(answer.json, "replication.replica_count"), "1");
    assert_string_equal(json_text_at(answer.json, "members.1.name"), "n2");
    assert_string_equal(json_text_at(answer.json, "members.1.role"), "voter");
    assert_string_equal(json_text_at(answer.json, "members.1.url"), "http://127.0.0.1:7102");
    assert_string_equal(json_text_at(answer.json, "members.1.address"), "127.0.0.1:7202");
    assert_string_equal(json_text_at(answer.json, "members.1.reachable"), "true");
    assert_string_equal(json_text_at(answer.json, "members.2.role"), "standby");
    assert_string_equal(json_text_at(answer.json, "members.2.reachable"), "false");
    assert_string_equal(json_text_at(answer.json, "members.2.applied_index"), "null");
    http_answer_done(&answer);
}

/* Goal: quorum status, by both its paths, has its keys; a loss shows.
 * Method: healthy, then lost. */
static void quorum_status_has_the_keys(void **state)
{
    struct http_fixture *self = *state;
    check(self, "GET", "/v1/ha/quorum", NULL, 200, "write_ready", "true", "sync_replica_count", "2",
          "lag_status", "ok", "quorum_health", "healthy", "write_block_active", "false",
          "can_accept_protected_writes", "true", "quorum_loss_reason", "", "last_lost_at", "null",
          "last_restored_at", "null", "detected_loss_count", "0", END);
    struct service_status *status = service_fake_status_lock(self->service);
    status->cluster_write_ready = false;
    status->quorum_health = "lost";
    status->quorum_loss_reason = "1 of 3 voters in contact";
    status->last_lost_ms = 1767323045678;
    status->detected_loss_count = 2;
    service_fake_status_unlock(self->service);
    check(self, "GET", "/v1/health/quorum", NULL, 200, "write_ready", "false", "quorum_health", "lost",
          "write_block_active", "true", "can_accept_protected_writes", "false", "last_lost_at",
          "2026-01-02T03:04:05.678Z", "detected_loss_count", "2", END);
}

/* Goal: members, leadership history, version and configuration are there.
 * Method: one member and the epoch of the fake's office. */
static void members_epochs_version_configuration(void **state)
{
    struct http_fixture *self = *state;
    check(self, "GET", "/v1/ha/members?limit=1000", NULL, 200, "items.0.name", "n1", "items.0.leader", "true",
          "items.2.name", "n3", "next_cursor", "null", END);
    check(self, "GET", "/v1/ha/epochs", NULL, 200, "items.0.term", "7", "items.0.cause", "election", END);
    check(self, "GET", "/v1/version", NULL, 200, "name", "autonomyd", "version", "0.1.0", "commit",
          "0123abcd", END);
    check(self, "GET", "/v1/support/configuration", NULL, 200, "node.name", "n1", "token", "(redacted)", END);
}

/* Goal: failover and join hand their checked body to the service, with who asks, and answer what it answers.
 * Method: the fake shows what it was asked; then an answer of its own, and a refusal. */
static void acts_reach_the_service(void **state)
{
    struct http_fixture *self = *state;
    struct service_fake_seen seen;
    service_fake_act_answer(self->service, 200, json_pack("{s:b, s:s}", "success", 1, "new_holder", "n2"));
    struct http_answer answer =
        fixture_send_as(self, "POST", "/v1/ha/failover",
                        "X-Autonomy-Operator: oncall\r\nIdempotency-Key: f-1\r\nX-Autonomy-Source: cli\r\n",
                        "{\"reason\":\"drill\",\"target_node\":\"n2\"}");
    assert_status(&answer, 200);
    assert_string_equal(json_text_at(answer.json, "new_holder"), "n2");
    assert_string_equal(http_answer_header(&answer, "X-Request-Id"), "f-1");
    http_answer_done(&answer);
    service_fake_seen(self->service, &seen);
    assert_int_equal(seen.act, SERVICE_FAILOVER);
    assert_string_equal(seen.act_body, "{\"reason\":\"drill\",\"target_node\":\"n2\"}");
    assert_string_equal(seen.request_id, "f-1");
    assert_int_equal(seen.source, AUDIT_CLI);
    assert_string_equal(seen.principal, "oncall");
    assert_false(seen.forwarded);

    check(self, "POST", "/v1/ha/members",
          "{\"name\":\"n4\",\"node_id\":4,\"address\":\"127.0.0.1:7204\",\"url\":\"http://"
          "127.0.0.1:7104\",\"version\":"
          "\"0.1.0\",\"level\":1}",
          200, "success", "true", END);
    service_fake_seen(self->service, &seen);
    assert_int_equal(seen.act, SERVICE_MEMBER_JOIN);
    assert_non_null(strstr(seen.act_body, "\"node_id\":4"));
    answer = fixture_send(self, "POST", "/v1/ha/members", "{\"name\":\"n4\",\"node_id\":\"four\"}");
    assert_problem_says(&answer, 422, "invalid_field", "node_id");

    check(self, "DELETE", "/v1/ha/members/n4", "{\"reason\":\"gone\"}", 200, "success", "true", END);
    service_fake_seen(self->service, &seen);
    assert_int_equal(seen.act, SERVICE_MEMBER_REMOVE);
    assert_string_equal(seen.act_body, "{\"member\":\"n4\",\"reason\":\"gone\"}");
    answer = fixture_send(self, "DELETE", "/v1/ha/members/n4", "{}");
    assert_problem_says(&answer, 422, "invalid_field", "reason");

    service_fake_act_answer(
        self->service, 409,
        json_pack("{s:s, s:s, s:i}", "code", "lag", "detail", "no voter is close enough", "lag_ms", 9));
    answer = fixture_send(self, "POST", "/v1/ha/failover", "{\"reason\":\"drill\"}");
    assert_string_equal(json_text_at(answer.json, "lag_ms"), "9");
    assert_problem_says(&answer, 409, "lag", "no voter is close enough");
}

/* Goal: the mark of a rollback is taken from other nodes only.
 * Method: the same body with and without X-Autonomy-Forwarded. */
static void rollback_mark_comes_from_nodes_only(void **state)
{
    struct http_fixture *self = *state;
    const char *body = "{\"reason\":\"drill\",\"rollback\":true}";
    struct http_answer answer = fixture_send(self, "POST", "/v1/ha/failover", body);
    assert_problem_says(&answer, 422, "invalid_field", "rollback");
    answer = fixture_send_as(self, "POST", "/v1/ha/failover", "X-Autonomy-Forwarded: 1\r\n", body);
    assert_status(&answer, 200);
    http_answer_done(&answer);
    struct service_fake_seen seen;
    service_fake_seen(self->service, &seen);
    assert_true(seen.forwarded);
}

/* Goal: a plan goes its way by the verbs: create, publish, pause, resume, halt, recover.
 * Method: each verb, its answer's keys, and what a describe shows afterwards. */
static void rollout_verbs(void **state)
{
    struct http_fixture *self = *state;
    struct http_answer answer = fixture_send(self, "POST", "/v1/rollouts", PLAN_BODY("p-1"));
    assert_status(&answer, 201);
    assert_members(&answer, "", "plan_id phase index audit_seq");
    assert_string_equal(json_text_at(answer.json, "phase"), "draft");
    assert_string_equal(http_answer_header(&answer, "X-Autonomy-Index"), json_text_at(answer.json, "index"));
    http_answer_done(&answer);
    check(self, "GET", "/v1/rollouts/p-1", NULL, 200, "phase", "draft", "stages.0.stage_id", "canary", END);
    check(self, "POST", "/v1/rollouts/p-1/publish", NULL, 200, "plan_id", "p-1", "previous_phase", "draft",
          "new_phase", "active", END);
    check(self, "POST", "/v1/rollouts/p-1/pause", "{\"reason\":\"look\"}", 200, "new_phase", "paused", END);
    check(self, "POST", "/v1/rollouts/p-1/resume", "", 200, "new_phase", "active", END);
    check(self, "POST", "/v1/rollouts/p-1/halt", "{\"reason\":\"bad\"}", 200, "stage_id", "canary",
          "stage_phase", "halted", END);
    check(self, "POST", "/v1/rollouts/p-1/recover", "{\"strategy\":\"rollback\",\"reason\":\"bad\"}", 200,
          "strategy", "rollback", "previous_phase", "active", "new_phase", "rolled_back", END);
    check(self, "GET", "/v1/rollouts/p-1", NULL, 200, "phase", "rolled_back", END);
    check(self, "POST", "/v1/rollouts", PLAN_BODY("p-2"), 201, "phase", "draft", END);
    check(self, "POST", "/v1/rollouts/p-2/cancel", NULL, 200, "new_phase", "cancelled", END);
}

/* Goal: gates are shown and approved; nodes report their progress.
 * Method: the manual gate of a canary; a node of the fleet activates. */
static void gates_and_nodes(void **state)
{
    struct http_fixture *self = *state;
    fixture_publish_plan(self, PLAN_BODY("p-1"));
    check(self, "GET", "/v1/rollouts/p-1/stages/canary/gates", NULL, 200, "stage_phase", "open",
          "gates.0.kind", "manual", "gates.0.passed", "false", "manual_approved", "false", "all_passed",
          "false", END);
    check(self, "POST", "/v1/rollouts/p-1/nodes/edge-1", "{\"state\":\"activated\",\"version\":\"2.4.1\"}",
          200, "plan_id", "p-1", END);
    check(self, "POST", "/v1/rollouts/p-1/stages/canary/gates/approve", "{\"reason\":\"fine\"}", 200,
          "approved", "true", "promoted", "true", END);
    check(self, "GET", "/v1/rollouts/p-1", NULL, 200, "stages.0.stage_phase", "promoted", END);
}

/* Goal: lists come in pages, by phase, and stuck plans are found by their age.
 * Method: three plans, pages of two; two hours later one of them is stuck. */
static void rollout_lists(void **state)
{
    struct http_fixture *self = *state;
    fixture_publish_plan(self, PLAN_BODY("p-1"));
    check(self, "POST", "/v1/rollouts", PLAN_BODY("p-2"), 201, END);
    check(self, "POST", "/v1/rollouts", PLAN_BODY("p-3"), 201, END);
    struct http_answer answer = fixture_get(self, "/v1/rollouts?limit=2");
    assert_status(&answer, 200);
    assert_int_equal(json_array_size(json_object_get(answer.json, "items")), 2);
    assert_string_equal(json_text_at(answer.json, "items.0.plan_id"), "p-1");
    char path[1200];
    snprintf(path, sizeof(path), "/v1/rollouts?limit=2&cursor=%s", json_text_at(answer.json, "next_cursor"));
    http_answer_done(&answer);
    check(self, "GET", path, NULL, 200, "items.0.plan_id", "p-3", "items.1.plan_id", "", "next_cursor",
          "null", END);
    check(self, "GET", "/v1/rollouts?phase=active", NULL, 200, "items.0.plan_id", "p-1", "items.1.plan_id",
          "", END);
    check(self, "GET", "/v1/rollouts/stuck", NULL, 200, "stuck_plans.0.plan_id", "", END);
    service_fake_advance_ms(self->service, 2 * 3600 * 1000);
    check(self, "GET", "/v1/rollouts/stuck", NULL, 200, "stuck_plans.0.plan_id", "p-1", "stuck_plans.0.phase",
          "active", END);
    check(self, "GET", "/v1/rollouts/stuck?threshold_seconds=10000", NULL, 200, "stuck_plans.0.plan_id", "",
          END);
}

/* Goal: a plan without an id gets one, the same one when the request is repeated.
 * Method: the same request id twice, another one once. */
static void plan_id_is_made_from_the_request(void **state)
{
    struct http_fixture *self = *state;
    const char *body =
        "{\"artifact\":{\"name\":\"a\",\"version\":\"1\"},\"stages\":[{\"stage_id\":\"all\",\"target\":"
        "{\"percent\":100}}]}";
    char first[160];
    struct http_answer answer =
        fixture_send_as(self, "POST", "/v1/rollouts", "Idempotency-Key: k-1\r\n", body);
    assert_status(&answer, 201);
    snprintf(first, sizeof(first), "%s", json_text_at(answer.json, "plan_id"));
    assert_true(strncmp(first, "plan-", 5) == 0);
    http_answer_done(&answer);
    answer = fixture_send_as(self, "POST", "/v1/rollouts", "Idempotency-Key: k-1\r\n", body);
    assert_status(&answer, 201);
    assert_string_equal(json_text_at(answer.json, "plan_id"), first);
    assert_string_equal(http_answer_header(&answer, "X-Autonomy-Repeated"), "true");
    http_answer_done(&answer);
    answer = fixture_send_as(self, "POST", "/v1/rollouts", "Idempotency-Key: k-2\r\n", body);
    assert_status(&answer, 201);
    assert_string_not_equal(json_text_at(answer.json, "plan_id"), first);
    http_answer_done(&answer);
}

/* Goal: a repeated request is answered as the first time, to the byte, and done once; with another body it is
 * refused. Method: halts twice under one key; the audit trail counts one. */
static void repeated_request_is_done_once(void **state)
{
    struct http_fixture *self = *state;
    /* the blanks around a name are not part of it */
    const char *key = "Idempotency-Key: h-1\r\nX-Autonomy-Operator: \xc2\xa0oncall \xe2\x80\x8b\r\n";
    fixture_publish_plan(self, PLAN_BODY("p-1"));
    struct http_answer first =
        fixture_send_as(self, "POST", "/v1/rollouts/p-1/halt", key, "{\"reason\":\"bad\"}");
    struct http_answer again =
        fixture_send_as(self, "POST", "/v1/rollouts/p-1/halt", key, "{\"reason\":\"bad\"}");
    assert_status(&first, 200);
    assert_status(&again, 200);
    assert_string_equal(first.body, again.body);
    http_answer_done(&first);
    http_answer_done(&again);
    first = fixture_send_as(self, "POST", "/v1/rollouts/p-1/halt", key, "{\"reason\":\"other\"}");
    assert_problem(&first, 422, "request_reused");
    first = fixture_get(self, "/v1/audit?event_type=rollout.stage.halted");
    assert_int_equal(json_array_size(json_object_get(first.json, "items")), 1);
    assert_string_equal(json_text_at(first.json, "items.0.request_id"), "h-1");
    assert_string_equal(json_text_at(first.json, "items.0.actor"), "oncall");
    http_answer_done(&first);
}

/* Goal: rollback: targets are listed, a preview says what would happen, execute does it under the preview's
 * token. Method: a plan's rollback whole; then a stale token; then a target that isn't orchestrated. */
static void rollback_of_a_plan(void **state)
{
    struct http_fixture *self = *state;
    fixture_publish_plan(self, PLAN_BODY("p-1"));
    check(self, "GET", "/v1/rollback/targets", NULL, 200, "items.0.target", "rollout_plan", "items.0.kind",
          "KindRolloutPlan", END);
    check(self, "POST", "/v1/rollback/preview", "{\"target\":\"rollout_plan\"}", 200, "safety_class",
          "terminal", END);
    check(self, "POST", "/v1/rollback/preview", "{\"target\":\"ha_leader_resign\"}", 200, "kind",
          "KindHALeaderResign", END);
    struct http_answer answer = fixture_send(self, "POST", "/v1/rollback/preview",
                                             "{\"target\":\"rollout_plan\",\"resource\":\"p-1\"}");
    assert_status(&answer, 200);
    assert_string_equal(json_text_at(answer.json, "phase_before"), "active");
    assert_string_equal(json_text_at(answer.json, "phase_after"), "rolled_back");
    char body[512];
    snprintf(body, sizeof(body),
             "{\"target\":\"rollout_plan\",\"resource\":\"p-1\",\"reason\":\"bad\",\"preview_token\":\"%s\"}",
             json_text_at(answer.json, "preview_token"));
    http_answer_done(&answer);
    check(self, "POST", "/v1/rollouts/p-1/pause", NULL, 200, END);
    answer = fixture_send(self, "POST", "/v1/rollback/execute", body);
    assert_problem(&answer, 409, "preview_stale");
    check(self, "POST", "/v1/rollback/execute",
          "{\"target\":\"rollout_plan\",\"resource\":\"p-1\",\"strategy\":\"rollback\",\"reason\":\"bad\"}",
          200, "new_phase", "rolled_back", END);
    answer = fixture_get(self, "/v1/audit?event_type=rollback.executed&outcome=success");
    assert_int_equal(json_array_size(json_object_get(answer.json, "items")), 1);
    http_answer_done(&answer);
    answer = fixture_send(self, "POST", "/v1/rollback/execute",
                          "{\"target\":\"relay_deadletter\",\"resource\":\"x\",\"reason\":\"r\"}");
    assert_problem(&answer, 422, "not_orchestrated");
}

/* Goal: what a rollback names and isn't there, or isn't of its form, is refused by name.
 * Method: unknown target, plan, stage; a strategy of another target. */
static void rollback_refusals(void **state)
{
    static const struct {
        const char *path, *body, *code, *words;
        int status;
    } rows[] = {
        {"preview", "{\"target\":\"moon\"}", "invalid_field", "moon", 422},
        {"preview", "{}", "invalid_field", "target", 422},
        {"preview", "{\"target\":\"rollout_plan\",\"resource\":\"nope\"}", "plan_not_found", "nope", 404},
        {"preview", "{\"target\":\"rollout_stage\",\"resource\":\"p-1/nope\"}", "stage_not_found", "nope",
         404},
        {"preview", "{\"target\":\"rollout_plan\",\"resource\":\"p-1\",\"strategy\":\"halt\"}",
         "invalid_field", "halt", 422},
        {"preview", "{\"target\":\"ha_leader_resign\",\"resource\":\"n1\"}", "invalid_field", "current", 422},
        {"execute", "{\"target\":\"rollout_plan\",\"resource\":\"nope\",\"reason\":\"r\"}", "plan_not_found",
         "nope", 404},
        {"execute", "{\"target\":\"rollout_plan\",\"resource\":\"p-1\"}", "invalid_field", "reason", 422},
        {"execute", "{\"target\":\"ha_leader_resign\"}", "invalid_field", "reason", 422},
        {"execute", "{\"target\":\"ha_leader_resign\",\"strategy\":\"halt\",\"reason\":\"r\"}",
         "invalid_field", "halt", 422},
        {"execute", "{\"target\":\"ha_leader_resign\",\"resource\":\"n1\",\"reason\":\"r\"}", "invalid_field",
         "current", 422},
        {"execute", "{\"target\":\"ha_leader_resign\",\"preview_token\":\"t\",\"reason\":\"r\"}",
         "invalid_field", "preview_token", 422},
    };
    struct http_fixture *self = *state;
    fixture_publish_plan(self, PLAN_BODY("p-1"));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char path[64];
        snprintf(path, sizeof(path), "/v1/rollback/%s", rows[i].path);
        struct http_answer answer = fixture_send(self, "POST", path, rows[i].body);
        assert_problem_says(&answer, rows[i].status, rows[i].code, rows[i].words);
    }
}

/* Goal: the leader's resignation as a rollback becomes an act that is marked as one.
 * Method: without a resource, and with the only one there is. */
static void rollback_of_the_leader(void **state)
{
    struct http_fixture *self = *state;
    struct service_fake_seen seen;
    check(self, "POST", "/v1/rollback/execute", "{\"target\":\"ha_leader_resign\",\"reason\":\"sick\"}", 200,
          "success", "true", END);
    service_fake_seen(self->service, &seen);
    assert_int_equal(seen.act, SERVICE_FAILOVER);
    assert_string_equal(seen.act_body, "{\"reason\":\"sick\",\"rollback\":true}");
    check(self, "POST", "/v1/rollback/execute",
          "{\"target\":\"ha_leader_resign\",\"resource\":\"current\",\"reason\":\"sick\"}", 200, "success",
          "true", END);
    service_fake_seen(self->service, &seen);
    assert_int_equal(seen.acts, 2);
    assert_int_equal(seen.changes, 0);
}

/* Goal: flags are defined, set, read and set together, all or nothing.
 * Method: one flag's life; a version that has passed; several with one bad. */
static void flags(void **state)
{
    struct http_fixture *self = *state;
    check(self, "PUT", "/v1/flags/RATE/definition",
          "{\"type\":\"integer\",\"default\":5,\"safe\":1,\"description\":\"a rate\",\"reason\":\"new\"}",
          201, "key", "RATE", "type", "integer", "value", "5", END);
    check(self, "PUT", "/v1/flags/RATE", "{\"value\":7,\"reason\":\"more\"}", 200, "value", "7", "version",
          "2", END);
    struct http_answer answer = fixture_get(self, "/v1/flags/RATE");
    assert_status(&answer, 200);
    assert_members(&answer, "", "key type value stored default safe version reason switch index");
    assert_string_equal(json_text_at(answer.json, "value"), "7");
    http_answer_done(&answer);
    answer =
        fixture_send(self, "PUT", "/v1/flags/RATE", "{\"value\":8,\"reason\":\"x\",\"expected_version\":1}");
    assert_problem(&answer, 409, "version_mismatch");
    answer = fixture_send(self, "PUT", "/v1/flags/RATE", "{\"value\":\"eight\",\"reason\":\"x\"}");
    assert_problem(&answer, 422, "flag_type");
    answer = fixture_send(
        self, "POST", "/v1/flags",
        "{\"changes\":[{\"key\":\"RATE\",\"value\":9},{\"key\":\"nope\",\"value\":1}],\"reason\":\"x\"}");
    assert_problem(&answer, 404, "flag_not_found");
    check(self, "GET", "/v1/flags/RATE", NULL, 200, "value", "7", END);
    check(self, "POST", "/v1/flags",
          "{\"changes\":[{\"key\":\"RATE\",\"value\":9},{\"key\":\"PROMPT_MODE\",\"value\":\"full\"}],"
          "\"reason\":\"x\"}",
          200, "changes.0.value", "9", "changes.1.value", "full", END);
    answer = fixture_get(self, "/v1/flags?limit=1000");
    assert_status(&answer, 200);
    assert_int_equal(json_array_size(json_object_get(answer.json, "items")), 6);
    http_answer_done(&answer);
}

/* Goal: a kill switch takes its flags to their safe values and gives them back at its reset.
 * Method: defines, activates, reads a flag, resets; the reset needs an approver who is somebody else. */
static void kill_switches(void **state)
{
    struct http_fixture *self = *state;
    check(self, "PUT", "/v1/flags/PROMPT_MODE", "{\"value\":\"full\",\"reason\":\"try\"}", 200, "value",
          "full", END);
    check(self, "PUT", "/v1/kill-switches/PROMPTS", "{\"flags\":[\"PROMPT_MODE\"],\"reason\":\"new\"}", 201,
          "name", "PROMPTS", "active", "false", END);
    check(self, "POST", "/v1/kill-switches/PROMPTS/activate", "{\"reason\":\"incident\"}", 200, "active",
          "true", END);
    check(self, "GET", "/v1/flags/PROMPT_MODE", NULL, 200, "value", "compact", "stored", "full", "reason",
          "DISABLED", "switch", "PROMPTS", END);
    struct http_answer answer =
        fixture_send(self, "POST", "/v1/kill-switches/PROMPTS/reset",
                     "{\"reason\":\"over\",\"approver\":\"oncall\",\"root_cause\":\"typo\"}");
    assert_problem(&answer, 409, "approver_is_actor");
    check(self, "POST", "/v1/kill-switches/PROMPTS/reset",
          "{\"reason\":\"over\",\"approver\":\"lead\",\"root_cause\":\"typo\"}", 200, "active", "false", END);
    check(self, "GET", "/v1/flags/PROMPT_MODE", NULL, 200, "value", "full", END);
    check(self, "GET", "/v1/kill-switches/PROMPTS", NULL, 200, "name", "PROMPTS", END);
    check(self, "GET", "/v1/kill-switches", NULL, 200, "next_cursor", "null", END);
}

/* Goal: DISABLE_NEW set to 1 is its switch, and only the reset takes it back: 409 `use_reset` names it.
 * Method: sets the flag both ways. */
static void disable_new_needs_its_reset(void **state)
{
    struct http_fixture *self = *state;
    check(self, "PUT", "/v1/flags/DISABLE_NEW", "{\"value\":\"1\",\"reason\":\"incident\"}", 200, END);
    check(self, "GET", "/v1/kill-switches/DISABLE_NEW", NULL, 200, "active", "true", END);
    struct http_answer answer =
        fixture_send(self, "PUT", "/v1/flags/DISABLE_NEW", "{\"value\":\"0\",\"reason\":\"x\"}");
    assert_problem_says(&answer, 409, "use_reset", "reset");
}

/* Goal: the audit trail comes in pages, both ways, whole, and filters filter.
 * Method: seven records; pages of three newest first and oldest first; sequence numbers without gap or
 * double. */
static void audit_pages(void **state)
{
    struct http_fixture *self = *state;
    for (int i = 0; i < 6; i++) {
        char body[64];
        snprintf(body, sizeof(body), "{\"value\":\"v%d\",\"reason\":\"r\"}", i);
        check(self, "PUT", "/v1/flags/PROMPT_MODE", body, 200, END);
    }
    for (int ascending = 0; ascending < 2; ascending++) {
        char path[256];
        int seen = 0, expected = ascending ? 1 : 7;
        snprintf(path, sizeof(path), "/v1/audit?limit=3&order=%s", ascending ? "asc" : "desc");
        while (path[0] != '\0') {
            struct http_answer answer = fixture_get(self, path);
            assert_status(&answer, 200);
            size_t rows = json_array_size(json_object_get(answer.json, "items"));
            for (size_t i = 0; i < rows; i++, seen++, expected += ascending ? 1 : -1)
                assert_int_equal(json_integer_value(json_object_get(
                                     json_array_get(json_object_get(answer.json, "items"), i), "seq")),
                                 expected);
            const char *cursor = json_text_at(answer.json, "next_cursor");
            if (strcmp(cursor, "null") == 0)
                path[0] = '\0';
            else
                snprintf(path, sizeof(path), "/v1/audit?limit=3&order=%s&cursor=%s",
                         ascending ? "asc" : "desc", cursor);
            http_answer_done(&answer);
        }
        assert_int_equal(seen, 7);
    }
    check(self, "GET", "/v1/audit?category=ha", NULL, 200, "items.0.event_name", "ha.leader.elected",
          "items.1.seq", "", END);
    check(self, "GET", "/v1/audit?actor=oncall&event_type=flags.set&limit=1", NULL, 200, "items.0.category",
          "flags", "items.0.source", "orchestrator", END);
    check(self, "GET", "/v1/audit?end_time=2020-01-01T00:00:00Z", NULL, 200, "items.0.seq", "", END);
    check(self, "GET", "/v1/audit?start_time=2020-01-01T00:00:00+02:00&limit=1", NULL, 200, "items.0.seq",
          "7", END);
    check(self, "GET", "/v1/audit/verify", NULL, 200, "valid", "true", "records", "7", "first_seq", "1",
          "last_seq", "7", "first_bad_seq", "null", END);
}

/* Goal: what comes through the command line is recorded as such, and a refusal of something terminal leaves
 * its record. Method: X-Autonomy-Source: cli; then a halt of a finished plan. */
static void source_and_denials_are_recorded(void **state)
{
    struct http_fixture *self = *state;
    struct http_answer answer =
        fixture_send_as(self, "PUT", "/v1/flags/PROMPT_MODE", "X-Autonomy-Source: cli\r\n",
                        "{\"value\":\"full\",\"reason\":\"r\"}");
    assert_status(&answer, 200);
    http_answer_done(&answer);
    check(self, "GET", "/v1/audit?source=cli", NULL, 200, "items.0.event_name", "flags.set", "items.0.actor",
          "anonymous", "items.1.seq", "", END);
    fixture_publish_plan(self, PLAN_BODY("p-1"));
    check(self, "POST", "/v1/rollouts/p-1/recover", "{\"strategy\":\"rollback\",\"reason\":\"bad\"}", 200,
          END);
    answer = fixture_send(self, "POST", "/v1/rollouts/p-1/halt", "{\"reason\":\"late\"}");
    assert_problem(&answer, 409, "plan_terminal");
    check(self, "GET", "/v1/audit?outcome=denied", NULL, 200, "items.0.actor", "oncall", "items.0.resource",
          "p-1", END);
}

/* Waits for a line of the log that has all these words. */
static bool logged(const char *path, const char *first, const char *second)
{
    char line[2048];
    for (int i = 0; i < 1000; i++) {
        FILE *file = fopen(path, "r");
        bool found = false;
        while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL)
            found = strstr(line, first) != NULL && strstr(line, second) != NULL;
        if (file != NULL)
            fclose(file);
        if (found)
            return true;
        usleep(10000);
    }
    return false;
}

/* Goal: at level debug each request leaves a line: route, status, who; no line of it can be forged by a name.
 * Method: stderr goes to a file while one request succeeds and one, under a name with a quote, finds no
 * route. */
static void requests_are_logged(void **state)
{
    struct http_fixture *self = *state;
    char path[96];
    snprintf(path, sizeof(path), "%s/stderr", self->folder);
    int kept = dup(STDERR_FILENO);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    dup2(fileno(file), STDERR_FILENO);
    logger_level_set(LOGGER_DEBUG);
    struct http_answer answer = fixture_send(self, "GET", "/v1/health", NULL);
    http_answer_done(&answer);
    answer = fixture_send_as(self, "GET", "/nope", "X-Autonomy-Operator: a \" b=c\r\n", NULL);
    http_answer_done(&answer);
    bool first = logged(path, "http answered method=GET route=/v1/health status=200", "actor=oncall");
    bool second = logged(path, "route=none status=404", "actor=\"a \\\" b=c\"");
    logger_level_set(LOGGER_INFO);
    dup2(kept, STDERR_FILENO);
    close(kept);
    fclose(file);
    assert_true(first);
    assert_true(second);
}

/* Goal: a body may be msgpack instead of JSON, with the same meaning and the same checks.
 * Method: the same halt as msgpack; then damaged msgpack, and one with a wrong type. */
static void msgpack_bodies(void **state)
{
    struct http_fixture *self = *state;
    struct error error = {0};
    struct bytes packed;
    const char *type = "Content-Type: application/msgpack\r\n";
    fixture_publish_plan(self, PLAN_BODY("p-1"));
    bytes_init(&packed, 0);
    json_t *json = json_pack("{s:s}", "reason", "bad");
    assert_int_equal(value_from_json(json, &packed, &error), ERROR_OK);
    json_decref(json);
    struct http_answer answer =
        http_call_bytes(self->port, "POST", "/v1/rollouts/p-1/halt", type, packed.data, packed.length);
    assert_status(&answer, 200);
    http_answer_done(&answer);
    answer =
        http_call_bytes(self->port, "POST", "/v1/rollouts/p-1/halt", type, packed.data, packed.length - 1);
    assert_problem(&answer, 400, "malformed");
    answer = http_call_bytes(self->port, "POST", "/v1/rollouts/p-1/halt", type, "\x07", 1);
    assert_problem(&answer, 422, "invalid_field");
    bytes_done(&packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_answer_has_its_headers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(head_is_get_without_body, set_up, tear_down),
        cmocka_unit_test_setup_teardown(health_tells_the_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(write_ready_names_the_obstacle, set_up, tear_down),
        cmocka_unit_test_setup_teardown(role_is_the_nodes_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(audit_health_tells_the_mirror, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ha_status_has_the_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(quorum_status_has_the_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(members_epochs_version_configuration, set_up, tear_down),
        cmocka_unit_test_setup_teardown(acts_reach_the_service, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rollback_mark_comes_from_nodes_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rollout_verbs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(gates_and_nodes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rollout_lists, set_up, tear_down),
        cmocka_unit_test_setup_teardown(plan_id_is_made_from_the_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(repeated_request_is_done_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rollback_of_a_plan, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rollback_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rollback_of_the_leader, set_up, tear_down),
        cmocka_unit_test_setup_teardown(flags, set_up, tear_down),
        cmocka_unit_test_setup_teardown(kill_switches, set_up, tear_down),
        cmocka_unit_test_setup_teardown(disable_new_needs_its_reset, set_up, tear_down),
        cmocka_unit_test_setup_teardown(audit_pages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(source_and_denials_are_recorded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(requests_are_logged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(msgpack_bodies, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
