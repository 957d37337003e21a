/* Three nodes: joining, forwarding, handing over, replacing a lost leader, catching up from a checkpoint. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/disk.h"
#include "node/state.h"
#include "support/nodes.h"

#define NODES 3

struct fixture {
    char folder[64];
    struct test_node nodes[NODES];
};

static const char *more_settings = "";

/** n1 bootstraps, the others join; returns when all are voters in contact, as each of them sees it. */
static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    size_t three = NODES;
    char more[512];
    test_folder_make(fixture->folder);
    *state = fixture;
    for (int i = 0; i < NODES; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i + 1);
        snprintf(more, sizeof more, "join: ['http://127.0.0.1:1', '%s']\n%s", fixture->nodes[0].url,
                 more_settings);
        if (i == 0)
            snprintf(more, sizeof more, "bootstrap: true\n%s", more_settings);
        test_node_configure(&fixture->nodes[i], fixture->folder, name, more);
        test_node_start(&fixture->nodes[i]);
    }
    for (int i = 0; i < NODES; i++)
        test_await(fixture->nodes[i].url, "/v1/ha/status", test_has_voters, &three);
    return 0;
}

static int set_up_small_log(void **state)
{
    more_settings = "snapshot_entries: 64\ntrailing_entries: 16\n";
    int result = set_up(state);
    more_settings = "";
    return result;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < NODES; i++)
        test_node_done(&fixture->nodes[i]);
    test_folder_remove(fixture->folder);
    free(fixture);
    return 0;
}

/** Waits until some node is write-ready. @return which */
static int leader_of(const struct fixture *fixture)
{
    for (int round = 0; round < 600; round++) {
        for (int i = 0; i < NODES; i++) {
            json_t *json = NULL;
            if (!fixture->nodes[i].running)
                continue;
            bool leads =
                test_request("GET", fixture->nodes[i].url, "/v1/ha/status", NULL, NULL, &json) == 200 &&
                test_is_leader(json, NULL);
            json_decref(json);
            if (leads)
                return i;
        }
        test_sleep_ms(50);
    }
    fail_msg("no node leads");
    return -1;
}

static unsigned set_flag(const struct test_node *node, const char *key, int value, const char *request_id,
                         json_t **out)
{
    char body[160], path[128], header[96];
    const char *headers[] = {header, "X-Autonomy-Operator: ann", NULL};
    snprintf(body, sizeof body, "{\"type\":\"integer\",\"default\":%d,\"safe\":0,\"reason\":\"test\"}",
             value);
    snprintf(path, sizeof path, "/v1/flags/%s/definition", key);
    snprintf(header, sizeof header, "Idempotency-Key: %s", request_id);
    return test_request("PUT", node->url, path, body, headers, out);
}

static unsigned failover(const struct test_node *node, const char *request_id, json_t **out)
{
    char header[96];
    const char *headers[] = {header, "X-Autonomy-Operator: ann", NULL};
    snprintf(header, sizeof header, "Idempotency-Key: %s", request_id);
    return test_request("POST", node->url, "/v1/ha/failover", "{\"reason\":\"drill\"}", headers, out);
}

/* Goal: any node takes a change, and every node reads it at once: reads are linearizable everywhere.
 * Method: define a flag at each node in turn and read it at each node right after. */
static void any_node_takes_changes_and_reads(void **state)
{
    struct fixture *fixture = *state;
    unsigned reads = 0;
    for (int at = 0; at < NODES; at++) {
        char key[32], path[64];
        snprintf(key, sizeof key, "flag-%d", at);
        snprintf(path, sizeof path, "/v1/flags/%s", key);
        assert_int_equal(set_flag(&fixture->nodes[at], key, at, key, NULL), 201);
        for (int i = 0; i < NODES; i++, reads++) {
            json_t *json = NULL;
            assert_int_equal(test_request("GET", fixture->nodes[i].url, path, NULL, NULL, &json), 200);
            assert_int_equal(json_integer_value(json_object_get(json, "value")), at);
            json_decref(json);
        }
    }
    assert_int_equal(reads, NODES * NODES);
}

/* Goal: a failover asked of any node succeeds and says who leads now; a repeat under the same id, anywhere,
 * reads the same and changes nothing; so does one that came by `rollback execute`, which leaves exactly one
 * rollback.executed. Method: ask each node in turn, then repeat at another. */
static void failover_is_told_once_and_repeats_alike(void **state)
{
    struct fixture *fixture = *state;
    for (int at = 0; at < NODES; at++) {
        char key[32];
        json_t *first = NULL, *again = NULL;
        int before = leader_of(fixture);
        snprintf(key, sizeof key, "failover-%d", at);
        assert_int_equal(failover(&fixture->nodes[at], key, &first), 200);
        assert_true(json_is_true(json_object_get(first, "success")));
        assert_string_equal(json_string_value(json_object_get(first, "previous_holder")),
                            fixture->nodes[before].config.name);
        int after = leader_of(fixture);
        assert_int_not_equal(after, before);
        assert_string_equal(json_string_value(json_object_get(first, "new_holder")),
                            fixture->nodes[after].config.name);
        assert_int_equal(failover(&fixture->nodes[(at + 1) % NODES], key, &again), 200);
        assert_true(json_equal(first, again));
        assert_int_equal(leader_of(fixture), after);
        json_decref(first);
        json_decref(again);
    }
    json_t *records = NULL, *told = NULL;
    const char *headers[] = {"X-Autonomy-Operator: ann", "Idempotency-Key: by-rollback",
                             "X-Autonomy-Source: cli", NULL};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(test_request("POST", fixture->nodes[i].url, "/v1/rollback/execute",
                                      "{\"target\":\"ha_leader_resign\",\"reason\":\"drill\"}", headers,
                                      &told),
                         200);
        assert_string_equal(json_string_value(json_object_get(told, "target")), "ha_leader_resign");
        assert_string_equal(json_string_value(json_object_get(told, "outcome")), "success");
        assert_non_null(json_object_get(told, "kind"));
        assert_non_null(json_object_get(told, "strategy"));
        json_decref(told);
    }
    assert_int_equal(test_request("GET", fixture->nodes[2].url, "/v1/audit?event_type=rollback.executed",
                                  NULL, NULL, &records),
                     200);
    json_t *items = json_is_array(records) ? records : json_object_get(records, "items");
    assert_int_equal(json_array_size(items), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(items, 0), "outcome")), "success");
    json_decref(records);
    assert_int_equal(test_request("GET", fixture->nodes[0].url,
                                  "/v1/audit?event_type=ha.failover.triggered&source=cli", NULL, NULL,
                                  &records),
                     200);
    items = json_object_get(records, "items");
    assert_int_equal(json_array_size(items), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(items, 0), "request_id")),
                        "by-rollback");
    json_decref(records);
}

static bool has_no_leader(const json_t *json, const void *context)
{
    (void)context;
    const char *holder = json_string_value(json_object_get(json_object_get(json, "leader"), "holder_id"));
    return holder == NULL || holder[0] == '\0';
}

/* The only one of three that is left counts nobody as its replica in sync, itself neither; and refuses acts
 * long before their deadline, with the reason. */
static void assert_alone_is_told(const struct test_node *node)
{
    json_t *json = NULL;
    const char *patient[] = {"X-Autonomy-Operator: ann", "X-Autonomy-Timeout-Ms: 60000", NULL};
    test_await(node->url, "/v1/ha/status", has_no_leader, NULL);
    assert_int_equal(test_request("GET", node->url, "/v1/ha/status", NULL, NULL, &json), 200);
    json_t *quorum = json_object_get(json, "quorum"), *replication = json_object_get(json, "replication");
    assert_int_equal(json_integer_value(json_object_get(quorum, "sync_replica_count")), 0);
    assert_int_equal(json_integer_value(json_object_get(replication, "replica_count")), NODES - 1);
    json_decref(json);
    unsigned status =
        test_request("POST", node->url, "/v1/ha/failover", "{\"reason\":\"drill\"}", patient, &json);
    assert_int_equal(status, 503);
    assert_string_equal(json_string_value(json_object_get(json, "code")), "unavailable");
    assert_string_equal(json_string_value(json_object_get(json, "detail")),
                        "there is no contact with a majority of voters, nothing happened");
    json_decref(json);
}

/* Goal: a failover to nobody is refused with a reason, recorded as a failure, and leadership stays.
 * Method: stop both followers, so that no successor is reachable, while the leader still has not noticed that
 * it lost its quorum. */
static void failover_without_a_successor_fails_and_says_so(void **state)
{
    struct fixture *fixture = *state;
    int leader = leader_of(fixture);
    json_t *json = NULL;
    const char *headers[] = {"X-Autonomy-Operator: ann", NULL};
    unsigned status = test_request("POST", fixture->nodes[leader].url, "/v1/ha/failover",
                                   "{\"reason\":\"drill\",\"target_node\":\"n9\"}", headers, &json);
    assert_int_equal(status, 404);
    assert_string_equal(json_string_value(json_object_get(json, "code")), "member_not_found");
    json_decref(json);
    char body[96], refusal[160];
    const char *own = fixture->nodes[leader].config.name;
    snprintf(body, sizeof body, "{\"reason\":\"drill\",\"target_node\":\"%s\"}", own);
    assert_int_equal(
        test_request("POST", fixture->nodes[leader].url, "/v1/ha/failover", body, headers, &json), 409);
    snprintf(refusal, sizeof refusal,
             "leadership stays with %s: refused: %s is no other voter of this cluster", own, own);
    assert_memory_equal(json_string_value(json_object_get(json, "detail")), refusal, strlen(refusal));
    json_decref(json);
    for (int i = 0; i < NODES; i++)
        if (i != leader)
            assert_int_equal(test_node_stop(&fixture->nodes[i]), EXIT_CLEAN);
    const char *impatient[] = {"X-Autonomy-Operator: ann", "X-Autonomy-Timeout-Ms: 1500", NULL};
    status = test_request("POST", fixture->nodes[leader].url, "/v1/ha/failover", "{\"reason\":\"drill\"}",
                          impatient, &json);
    assert_true(status == 503 || status == 504 || status == 409);
    assert_non_null(json_string_value(json_object_get(json, "detail")));
    json_decref(json);
    assert_alone_is_told(&fixture->nodes[leader]);
}

/* Goal: a leader that is asked to stop hands over first: the others write on without an election timeout's
 * gap, and lose nothing. Method: stop the leader, write at a follower at once; start it again, it reads what
 * it missed. */
static void stopping_leader_hands_over(void **state)
{
    struct fixture *fixture = *state;
    int leader = leader_of(fixture), other = (leader + 1) % NODES;
    json_t *epochs = NULL, *json = NULL;
    assert_int_equal(test_node_stop(&fixture->nodes[leader]), EXIT_CLEAN);
    assert_int_equal(set_flag(&fixture->nodes[other], "after", 7, "after", NULL), 201);
    assert_int_equal(
        test_request("GET", fixture->nodes[other].url, "/v1/ha/epochs?limit=1", NULL, NULL, &epochs), 200);
    const json_t *last = json_array_get(json_object_get(epochs, "items"), 0);
    assert_string_equal(json_string_value(json_object_get(last, "cause")), "transfer");
    json_decref(epochs);
    test_node_start(&fixture->nodes[leader]);
    size_t three = NODES;
    test_await(fixture->nodes[leader].url, "/v1/ha/status", test_has_voters, &three);
    assert_int_equal(test_request("GET", fixture->nodes[leader].url, "/v1/flags/after", NULL, NULL, &json),
                     200);
    assert_int_equal(json_integer_value(json_object_get(json, "value")), 7);
    json_decref(json);
}

/* Goal: the same request id across a change of leader has one effect and one answer.
 * Method: write, fail over, send the same again to every node. */
static void request_id_holds_across_leaders(void **state)
{
    struct fixture *fixture = *state;
    json_t *first = NULL;
    assert_int_equal(set_flag(&fixture->nodes[0], "once", 1, "once", &first), 201);
    assert_int_equal(failover(&fixture->nodes[1], "f", NULL), 200);
    for (int i = 0; i < NODES; i++) {
        json_t *again = NULL;
        assert_int_equal(set_flag(&fixture->nodes[i], "once", 1, "once", &again), 201);
        assert_true(json_equal(json_object_get(first, "index"), json_object_get(again, "index")));
        assert_int_equal(json_integer_value(json_object_get(again, "version")), 1);
        json_decref(again);
    }
    json_decref(first);
}

/* Goal: a name belongs to one living node: another id under it is refused with a sentence, before Raft's
 * configuration changes. Method: a join request by hand under n1's name. */
static void taken_name_is_refused(void **state)
{
    struct fixture *fixture = *state;
    size_t three = NODES;
    json_t *json = NULL;
    unsigned status = test_request(
        "POST", fixture->nodes[2].url, "/v1/ha/members",
        "{\"node_id\":4711,\"name\":\"n1\",\"address\":\"127.0.0.1:1\",\"url\":\"http://127.0.0.1:2\"}", NULL,
        &json);
    assert_int_equal(status, 409);
    assert_string_equal(json_string_value(json_object_get(json, "code")), "member_name_taken");
    assert_non_null(strstr(json_string_value(json_object_get(json, "detail")), "the name n1 belongs to"));
    json_decref(json);
    test_await(fixture->nodes[0].url, "/v1/ha/status", test_has_voters, &three);
}

static bool has_applied(const json_t *json, const void *context)
{
    return json_integer_value(json_object_get(json, "applied_index")) >= *(const json_int_t *)context;
}

static void digest_of(const struct test_node *node, json_int_t *index, char out[80])
{
    json_t *json = NULL;
    assert_int_equal(test_request("GET", node->url, "/v1/ha/status", NULL, NULL, &json), 200);
    *index = json_integer_value(json_object_get(json, "applied_index"));
    snprintf(out, 80, "%s", json_string_value(json_object_get(json, "state_digest")));
    json_decref(json);
}

/* Goal: a follower behind the log's tail fetches a checkpoint, installs it, and ends with the same digest and
 * a whole mirror. Method: snapshots every 64 entries with 16 kept; stop a follower, write 300 changes, start
 * it. */
static void follower_behind_the_log_fetches_the_state(void **state)
{
    struct fixture *fixture = *state;
    int leader = leader_of(fixture), behind = (leader + 1) % NODES;
    struct test_node *node = &fixture->nodes[behind];
    json_int_t index = 0, own = 0;
    char digest[80], own_digest[80], path[256];
    assert_int_equal(test_node_stop(node), EXIT_CLEAN);
    for (int i = 0; i < 300; i++) {
        char key[32];
        snprintf(key, sizeof key, "bulk-%d", i);
        assert_int_equal(set_flag(&fixture->nodes[leader], key, i, key, NULL), 201);
    }
    test_node_start(node);
    digest_of(&fixture->nodes[leader], &index, digest);
    test_await(node->url, "/v1/ha/status", has_applied, &index);
    for (int round = 0; round < 100; round++) { /* both at one index */
        digest_of(node, &own, own_digest);
        digest_of(&fixture->nodes[leader], &index, digest);
        if (own == index)
            break;
        test_sleep_ms(20);
    }
    assert_int_equal(own, index);
    assert_string_equal(own_digest, digest);
    snprintf(path, sizeof path, "%s/state.0", node->folder);
    assert_false(disk_exists(path)); /* it was replaced by what was fetched */
    json_t *json = NULL;
    assert_int_equal(test_request("GET", node->url, "/v1/audit/verify", NULL, NULL, &json), 200);
    assert_true(json_is_true(json_object_get(json, "valid")));
    json_decref(json);
    snprintf(path, sizeof path, "%s/checkpoints", fixture->nodes[leader].folder);
    assert_int_equal(test_node_stop(&fixture->nodes[leader]), EXIT_CLEAN);
    assert_false(disk_exists(path)); /* what was served is gone with the server */
}

/** How many records of this event with this outcome node `at` shows; 0 when it doesn't answer. */
static size_t records_of(const struct test_node *node, const char *event, const char *outcome)
{
    char path[160];
    json_t *json = NULL, *row;
    size_t i, count = 0;
    snprintf(path, sizeof path, "/v1/audit?event_type=%s&consistency=stale", event);
    if (test_request("GET", node->url, path, NULL, NULL, &json) != 200)
        return 0;
    json_array_foreach(json_is_array(json) ? json : json_object_get(json, "items"), i, row)
    {
        const char *is = json_string_value(json_object_get(row, "outcome"));
        count += is && strcmp(is, outcome) == 0;
    }
    json_decref(json);
    return count;
}

static void await_records(const struct test_node *node, const char *event, const char *outcome, size_t wanted)
{
    size_t seen = 0;
    for (int round = 0; round < 400 && seen != wanted; round++) {
        seen = records_of(node, event, outcome);
        if (seen != wanted)
            test_sleep_ms(50);
    }
    assert_int_equal(seen, wanted);
}

/** Asks for a failover by command only: nobody carries it out, as when the leader dies right after it was
 * committed. */
static void commit_orphan(const struct test_node *leader)
{
    struct bytes command;
    struct error error = {0};
    bytes_init(&command, 0);
    json_t *body = json_pack("{s:s}", "reason", "orphan");
    assert_int_equal(command_make("failover.request", AUDIT_CLI, "orphan", "ann", body, &command, &error),
                     ERROR_OK);
    assert_int_equal(test_post_bytes(leader->url, "/v1/internal/change", command.data, command.length), 200);
    bytes_done(&command);
}

/* Goal: a failover whose leader died before the outcome gets one from the successor: success, since another
 * node leads now. Method: commit a request, kill -9 the leader. */
static void successor_finishes_an_orphaned_failover(void **state)
{
    struct fixture *fixture = *state;
    int leader = leader_of(fixture), other = (leader + 1) % NODES;
    commit_orphan(&fixture->nodes[leader]);
    test_node_kill(&fixture->nodes[leader]);
    await_records(&fixture->nodes[other], "ha.failover.triggered", "success", 1);
    assert_int_equal(records_of(&fixture->nodes[other], "ha.failover.triggered", "pending"), 1);
    assert_int_equal(records_of(&fixture->nodes[other], "ha.failover.triggered", "failure"), 0);
}

/* Goal: a failover that nobody carries out while the same node leads on is recorded as failed, and the next
 * one is possible. Method: commit a request without its act. */
static void abandoned_failover_is_recorded_as_failed(void **state)
{
    struct fixture *fixture = *state;
    int leader = leader_of(fixture);
    commit_orphan(&fixture->nodes[leader]);
    await_records(&fixture->nodes[leader], "ha.failover.triggered", "failure", 1);
    assert_int_equal(leader_of(fixture), leader);
    assert_int_equal(failover(&fixture->nodes[leader], "next", NULL), 200);
}

/* Goal: a loss of quorum is told afterwards, once, however many saw it; health says it while it lasts.
 * Method: kill both followers, wait until the leader says so, start them again. */
static void lost_quorum_is_recorded_once(void **state)
{
    struct fixture *fixture = *state;
    int leader = leader_of(fixture);
    struct test_node *node = &fixture->nodes[leader];
    for (int i = 0; i < NODES; i++)
        if (i != leader)
            test_node_kill(&fixture->nodes[i]);
    json_t *json = NULL;
    bool lost = false;
    for (int round = 0; round < 200 && !lost; round++) {
        assert_int_equal(test_request("GET", node->url, "/v1/health/quorum", NULL, NULL, &json), 200);
        lost = strcmp(json_string_value(json_object_get(json, "quorum_health")), "lost") == 0 &&
               json_integer_value(json_object_get(json, "detected_loss_count")) == 1;
        json_decref(json);
        test_sleep_ms(50);
    }
    assert_true(lost);
    assert_int_equal(test_request("GET", node->url, "/v1/health/write-ready", NULL, NULL, NULL), 503);
    for (int i = 0; i < NODES; i++)
        if (i != leader)
            test_node_start(&fixture->nodes[i]);
    await_records(node, "ha.quorum.lost", "success", 1);
    await_records(node, "ha.quorum.restored", "success", 1);
}

/* Goal: a killed node comes back with all it had acknowledged, under its own id, and is a voter again.
 * Method: kill -9 the leader right after a write was acknowledged; start it; compare digests at one index. */
static void killed_leader_comes_back_whole(void **state)
{
    struct fixture *fixture = *state;
    int leader = leader_of(fixture), other = (leader + 1) % NODES;
    size_t three = NODES;
    json_t *json = NULL;
    assert_int_equal(set_flag(&fixture->nodes[leader], "kept", 3, "kept", NULL), 201);
    test_node_kill(&fixture->nodes[leader]);
    assert_int_equal(set_flag(&fixture->nodes[other], "after", 4, "after", NULL), 201);
    test_node_start(&fixture->nodes[leader]);
    test_await(fixture->nodes[leader].url, "/v1/ha/status", test_has_voters, &three);
    assert_int_equal(test_request("GET", fixture->nodes[leader].url, "/v1/flags/kept", NULL, NULL, &json),
                     200);
    assert_int_equal(json_integer_value(json_object_get(json, "version")), 1);
    json_decref(json);
    assert_int_equal(test_request("GET", fixture->nodes[leader].url, "/v1/flags/after", NULL, NULL, NULL),
                     200);
}

static bool lists_url(const json_t *json, const void *context)
{
    size_t i;
    json_t *row;
    bool found = false;
    json_array_foreach(json_object_get(json, "members"), i, row)
    {
        const char *url = json_string_value(json_object_get(row, "url"));
        found = found || (url && strcmp(url, context) == 0);
    }
    return found;
}

/* Goal: a node that is started again on other ports is heard again, and its record follows.
 * Method: stop a follower, give it new ports over its old folder, start it. */
static void moved_node_is_found_again(void **state)
{
    struct fixture *fixture = *state;
    int moved = (leader_of(fixture) + 1) % NODES, other = (moved + 1) % NODES;
    struct test_node *node = &fixture->nodes[moved];
    size_t three = NODES;
    char name[16];
    snprintf(name, sizeof name, "n%d", moved + 1);
    test_node_done(node);
    test_node_configure(node, fixture->folder, name, "");
    test_node_start(node);
    test_await(node->url, "/v1/ha/status", test_has_voters, &three);
    test_await(fixture->nodes[other].url, "/v1/ha/status", lists_url, node->url);
    assert_int_equal(set_flag(node, "moved", 1, "moved", NULL), 201);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_node_takes_changes_and_reads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failover_is_told_once_and_repeats_alike, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failover_without_a_successor_fails_and_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stopping_leader_hands_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(request_id_holds_across_leaders, set_up, tear_down),
        cmocka_unit_test_setup_teardown(taken_name_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(successor_finishes_an_orphaned_failover, set_up, tear_down),
        cmocka_unit_test_setup_teardown(abandoned_failover_is_recorded_as_failed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lost_quorum_is_recorded_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(moved_node_is_found_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(killed_leader_comes_back_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(follower_behind_the_log_fetches_the_state, set_up_small_log,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
