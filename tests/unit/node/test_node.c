/* One node, whole: start and stop, what it refuses to start with, what an acknowledgement promises. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/disk.h"
#include "support/nodes.h"

#define PLAN                                                                                                 \
    "{\"plan_id\":\"%s\",\"artifact\":{\"name\":\"a\",\"version\":\"1\"},\"stages\":[{\"stage_id\":\"s\","   \
    "\"target\":{\"percent\":100}}]}"

struct fixture {
    char folder[64];
    struct test_node node;
    unsigned status;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    test_folder_make(fixture->folder);
    test_node_configure(&fixture->node, fixture->folder, "n1", "bootstrap: true\n");
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    test_node_done(&fixture->node);
    test_folder_remove(fixture->folder);
    free(fixture);
    return 0;
}

static unsigned create_plan(const struct test_node *node, const char *plan_id, const char *key, json_t **out)
{
    char body[512], header[96];
    const char *headers[] = {header, "X-Autonomy-Operator: ann", NULL};
    snprintf(body, sizeof body, PLAN, plan_id);
    snprintf(header, sizeof header, "Idempotency-Key: %s", key);
    return test_request("POST", node->url, "/v1/rollouts", body, headers, out);
}

/** Lines of the mirror's first segment. */
static unsigned mirror_lines(const struct test_node *node, const char *wanted)
{
    char path[256], line[8192];
    unsigned count = 0;
    snprintf(path, sizeof path, "%s/audit/0000000001.jsonl", node->folder);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        count += strstr(line, wanted) != NULL;
    if (file)
        fclose(file);
    return count;
}

/* Goal: a change is in the node's own mirror when it is answered, and in the store after a restart; a repeat
 * changes nothing. Method: one plan; look into the mirror at once; stop, start, read and repeat it. */
static void acknowledged_change_is_mirrored_and_survives(void **state)
{
    struct fixture *fixture = *state;
    struct test_node *node = &fixture->node;
    json_t *first = NULL, *again = NULL;
    test_node_start(node);
    test_await(node->url, "/v1/ha/status", test_is_leader, NULL);
    assert_int_equal(create_plan(node, "p1", "key-1", &first), 201);
    assert_int_equal(mirror_lines(node, "\"rollout.plan.created\""), 1);
    assert_int_equal(test_node_stop(node), EXIT_CLEAN);

    test_node_start(node);
    test_await(node->url, "/v1/ha/status", test_is_leader, NULL);
    assert_int_equal(test_request("GET", node->url, "/v1/rollouts/p1", NULL, NULL, NULL), 200);
    assert_int_equal(create_plan(node, "p1", "key-1", &again), 201);
    assert_true(json_equal(json_object_get(first, "index"), json_object_get(again, "index")));
    assert_true(json_equal(json_object_get(first, "created_at"), json_object_get(again, "created_at")));
    assert_int_equal(mirror_lines(node, "\"rollout.plan.created\""), 1);
    json_decref(first);
    json_decref(again);
}

/* Goal: a data folder in use is refused with the holder's pid, and nothing in it is touched.
 * Method: a second node over the folder of a running one, on other ports. */
static void folder_in_use_names_its_holder(void **state)
{
    struct fixture *fixture = *state;
    struct test_node other;
    char pid[32];
    test_node_start(&fixture->node);
    test_node_configure(&other, fixture->folder, "n1", "bootstrap: true\n");
    test_node_begin(&other);
    assert_int_equal(test_node_wait(&other), EXIT_ENVIRONMENT);
    snprintf(pid, sizeof pid, "pid %d", (int)fixture->node.pid);
    assert_non_null(strstr(other.error.message, pid));
    test_node_done(&other);
    test_await(fixture->node.url, "/v1/ha/status", test_is_leader, NULL);
    assert_int_equal(create_plan(&fixture->node, "p1", "k", NULL), 201);
    assert_int_equal(test_node_stop(&fixture->node), EXIT_CLEAN);
}

static void assert_no_cluster(const struct test_node *node)
{
    char path[256];
    snprintf(path, sizeof path, "%s/log", node->config.data_dir);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(errno, ENOENT);
}

/* Goal: a port in use is an environment error that names the address, for either listener; it forms
 * no cluster. Method: two nodes with one port each in common. */
static void port_in_use_is_named(void **state)
{
    struct fixture *fixture = *state;
    struct test_node other;
    test_node_start(&fixture->node);
    for (int which = 0; which < 2; which++) {
        char name[16];
        snprintf(name, sizeof name, "m%d", which);
        test_node_configure(&other, fixture->folder, name, "bootstrap: true\n");
        char **mine = which == 0 ? &other.config.api_listen : &other.config.wire_listen;
        const char *taken = which == 0 ? fixture->node.config.api_listen : fixture->node.config.wire_listen;
        free(*mine);
        *mine = strdup(taken);
        test_node_begin(&other);
        assert_int_equal(test_node_wait(&other), EXIT_ENVIRONMENT);
        assert_non_null(strstr(other.error.message, taken));
        assert_non_null(strstr(other.error.message, "in use"));
        assert_no_cluster(&other);
        test_node_done(&other);
    }
    test_await(fixture->node.url, "/v1/ha/status", test_is_leader, NULL);
}

/* Goal: a node that is told neither to bootstrap nor to join says how to go on.
 * Method: a configuration without both. */
static void lonely_node_says_how_to_go_on(void **state)
{
    struct fixture *fixture = *state;
    struct test_node other;
    test_node_configure(&other, fixture->folder, "m", "");
    test_node_begin(&other);
    assert_int_equal(test_node_wait(&other), EXIT_REFUSED);
    assert_non_null(strstr(other.error.message, "bootstrap: true"));
    assert_non_null(strstr(other.error.message, "join"));
    test_node_done(&other);
}

/* Goal: a joining node whose nodes don't answer keeps asking, serves its health meanwhile, refuses work, and
 * stops when told. Method: a join URL where nobody listens. */
static void joining_node_serves_health_and_keeps_asking(void **state)
{
    struct fixture *fixture = *state;
    struct test_node other;
    char more[64];
    snprintf(more, sizeof more, "join: ['http://127.0.0.1:%u']\n", test_port());
    test_node_configure(&other, fixture->folder, "m", more);
    test_node_start(&other);
    assert_int_equal(test_request("GET", other.url, "/v1/health", NULL, NULL, NULL), 200);
    assert_int_equal(test_request("GET", other.url, "/v1/health/read-ready", NULL, NULL, NULL), 503);
    assert_int_equal(test_request("GET", other.url, "/v1/rollouts?consistency=stale", NULL, NULL, NULL), 503);
    const char *impatient[] = {"X-Autonomy-Timeout-Ms: 200", NULL};
    assert_int_equal(
        test_request("POST", other.url, "/v1/ha/failover", "{\"reason\":\"r\"}", impatient, NULL), 503);
    assert_int_equal(test_request("PUT", other.url, "/v1/flags/SANDBOX_MODE",
                                  "{\"value\":\"x\",\"reason\":\"r\"}", impatient, NULL),
                     503);
    assert_int_equal(test_node_stop(&other), EXIT_CLEAN);
    test_node_done(&other);
}

struct damage {
    const char *folder, *prefix;
    unsigned count;
};

static void damage_file(void *context, const char *name)
{
    struct damage *damage = context;
    char path[512];
    if (strncmp(name, damage->prefix, strlen(damage->prefix)) != 0)
        return;
    snprintf(path, sizeof path, "%s/%s", damage->folder, name);
    int file = open(path, O_WRONLY | O_TRUNC);
    assert_true(file >= 0);
    assert_int_equal(write(file, "damaged bytes here\n", 19), 19);
    close(file);
    damage->count++;
}

static void overwrite(const char *folder, const char *prefix, unsigned *damaged)
{
    struct damage damage = {folder, prefix, 0};
    struct error error = {0};
    assert_int_equal(disk_list(folder, damage_file, &damage, &error), ERROR_OK);
    *damaged = damage.count;
}

/* Goal: a damaged store or log is refused with what is wrong and how to go on; what the message says for the
 * store works. Method: overwrite the RocksDB manifests of each in turn; for the store carry out the hint, and
 * start. */
static void damaged_store_and_log_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct test_node *node = &fixture->node;
    char folder[256], aside[256];
    unsigned damaged = 0;
    test_node_start(node);
    test_await(node->url, "/v1/ha/status", test_is_leader, NULL);
    assert_int_equal(create_plan(node, "p1", "k", NULL), 201);
    assert_int_equal(test_node_stop(node), EXIT_CLEAN);

    snprintf(folder, sizeof folder, "%s/state.0", node->folder);
    overwrite(folder, "MANIFEST", &damaged);
    assert_true(damaged > 0);
    test_node_begin(node);
    assert_int_equal(test_node_wait(node), EXIT_REFUSED);
    assert_non_null(strstr(node->error.message, "to go on: mv"));
    snprintf(aside, sizeof aside, "%s/damaged.state.0", node->folder);
    assert_int_equal(rename(folder, aside), 0);
    test_node_start(node);
    test_await(node->url, "/v1/ha/status", test_is_leader, NULL);
    assert_int_equal(test_request("GET", node->url, "/v1/rollouts/p1", NULL, NULL, NULL), 200);
    assert_int_equal(test_node_stop(node), EXIT_CLEAN);

    snprintf(folder, sizeof folder, "%s/log", node->folder);
    overwrite(folder, "MANIFEST", &damaged);
    assert_true(damaged > 0);
    test_node_begin(node);
    assert_int_equal(test_node_wait(node), EXIT_REFUSED);
    assert_non_null(strstr(node->error.message, "log"));
}

/* Goal: no leader means an answer within the deadline, never a hang, and nothing happened.
 * Method: a node whose only peer is gone (it joined and was promoted, then stopped): no quorum. */
static void without_quorum_a_write_ends_within_its_deadline(void **state)
{
    struct fixture *fixture = *state;
    struct test_node other;
    char more[128];
    size_t two = 2;
    json_t *json = NULL;
    test_node_start(&fixture->node);
    snprintf(more, sizeof more, "join: ['%s']\n", fixture->node.url);
    test_node_configure(&other, fixture->folder, "n2", more);
    test_node_start(&other);
    test_await(fixture->node.url, "/v1/ha/status", test_has_voters, &two);
    test_await(other.url, "/v1/ha/status", test_has_voters, &two);
    assert_int_equal(test_node_stop(&other), EXIT_CLEAN);

    const char *impatient[] = {"X-Autonomy-Timeout-Ms: 1500", "Idempotency-Key: q", NULL};
    unsigned status = test_request("PUT", fixture->node.url, "/v1/flags/SANDBOX_MODE",
                                   "{\"value\":\"x\",\"reason\":\"r\"}", impatient, &json);
    assert_true(status == 503 || status == 504);
    const char *code = json_string_value(json_object_get(json, "code"));
    assert_string_equal(code, status == 503 ? "unavailable" : "unknown");
    assert_string_equal(json_string_value(json_object_get(json, "request_id")), "q");
    const char *advice = strstr(json_string_value(json_object_get(json, "detail")), "retry with");
    assert_true(status == 503 || (advice && !strstr(advice + 1, "retry with"))); /* said once */
    json_decref(json);
    status = test_request("GET", fixture->node.url, "/v1/flags?timeout=1", NULL, impatient, NULL);
    assert_int_equal(status, 503);
    test_node_done(&other);
}

/** Every further byte that the process appends to a file fails: what a dying disk does. */
static void fail_writes(const struct test_node *node)
{
    struct rlimit none = {0, RLIM_INFINITY};
    assert_int_equal(prlimit(node->pid, RLIMIT_FSIZE, &none, NULL), 0);
}

/* Goal: a failed disk ends the process with the status that a supervisor restarts, answers "unknown" instead
 * of nothing, and loses nothing that was acknowledged. Method: a write that is acknowledged, then a limit of
 * 0 bytes on every file, then another write. */
static void failed_disk_ends_with_70_and_loses_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct test_node *node = &fixture->node;
    json_t *json = NULL;
    test_node_start(node);
    test_await(node->url, "/v1/ha/status", test_is_leader, NULL);
    assert_int_equal(create_plan(node, "p1", "k1", NULL), 201);
    fail_writes(node);
    unsigned status = create_plan(node, "p2", "k2", &json);
    if (status != 0) { /* the answer got out before the exit */
        assert_int_equal(status, 504);
        assert_string_equal(json_string_value(json_object_get(json, "code")), "unknown");
        assert_string_equal(json_string_value(json_object_get(json, "request_id")), "k2");
    }
    json_decref(json);
    assert_int_equal(test_node_wait(node), EXIT_FATAL);

    test_node_start(node);
    test_await(node->url, "/v1/ha/status", test_is_leader, NULL);
    assert_int_equal(test_request("GET", node->url, "/v1/rollouts/p1", NULL, NULL, NULL), 200);
    assert_int_equal(create_plan(node, "p2", "k2", NULL), 201); /* the retry under the same id */
}

/* Goal: the first signal stops gracefully, a second one at once.
 * Method: a node that waits for a hand-over that can't happen, because its followers are paused, gets two
 * signals. */
static void second_signal_exits_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct test_node other;
    char more[128];
    size_t two = 2;
    test_node_start(&fixture->node);
    snprintf(more, sizeof more, "join: ['%s']\n", fixture->node.url);
    test_node_configure(&other, fixture->folder, "n2", more);
    test_node_start(&other);
    test_await(fixture->node.url, "/v1/ha/status", test_has_voters, &two);
    assert_int_equal(kill(other.pid, SIGSTOP), 0);
    assert_int_equal(kill(fixture->node.pid, SIGTERM), 0);
    assert_int_equal(kill(fixture->node.pid, SIGINT),
                     0); /* another one, so that two can't become one on the way */
    assert_int_equal(test_node_wait(&fixture->node), EXIT_IMPATIENT);
    assert_int_equal(kill(other.pid, SIGCONT), 0);
    assert_int_equal(test_node_stop(&other), EXIT_CLEAN);
    test_node_done(&other);
}

static void *long_poll(void *context)
{
    struct fixture *fixture = context;
    fixture->status =
        test_request("GET", fixture->node.url, "/v1/flags?index=1000000&wait=25s", NULL, NULL, NULL);
    return NULL;
}

/* Goal: what waits when a node stops gets an answer, not a cut connection.
 * Method: a long poll of 25 seconds on a thread, and a stop while it waits. */
static void stop_answers_what_waits(void **state)
{
    struct fixture *fixture = *state;
    pthread_t thread;
    test_node_start(&fixture->node);
    test_await(fixture->node.url, "/v1/ha/status", test_is_leader, NULL);
    assert_int_equal(pthread_create(&thread, NULL, long_poll, fixture), 0);
    test_sleep_ms(300);
    assert_int_equal(test_node_stop(&fixture->node), EXIT_CLEAN);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(fixture->status == 200 || fixture->status == 503);
}

static bool has_phase(const json_t *json, const void *context)
{
    const char *phase = json_string_value(json_object_get(json, "phase"));
    return phase && strcmp(phase, context) == 0;
}

/* Goal: time passes in the state without anybody asking: the leader's tick ends a soak.
 * Method: a published plan whose only gate is a soak of one second. */
static void soak_ends_by_the_leaders_tick(void **state)
{
    struct fixture *fixture = *state;
    struct test_node *node = &fixture->node;
    test_node_start(node);
    test_await(node->url, "/v1/ha/status", test_is_leader, NULL);
    assert_int_equal(
        test_request("POST", node->url, "/v1/rollouts?publish=true",
                     "{\"plan_id\":\"soak\",\"artifact\":{\"name\":\"a\",\"version\":\"1\"},\"stages\":[{"
                     "\"stage_id\":\"s\",\"target\":{\"percent\":100},\"gates\":[{\"kind\":\"time_soak\","
                     "\"seconds\":1}]}]}",
                     NULL, NULL),
        201);
    test_await(node->url, "/v1/rollouts/soak", has_phase, "active");
    test_await(node->url, "/v1/rollouts/soak", has_phase, "completed");
}

#ifdef AUTONOMY_HAVE_SYSTEMD
/* Goal: a supervisor hears what the start is at, then that requests are served, that the node lives, and when
 * it stops.
 * Method: a datagram socket in place of systemd's, and a watchdog interval of 300 ms. */
static void supervisor_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = 30};
    char message[256], heard[8192] = "";
    snprintf(address.sun_path, sizeof address.sun_path, "%s/notify", fixture->folder);
    int socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(socket_fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(setsockopt(socket_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    setenv("WATCHDOG_USEC", "300000", 1);
    test_node_start(&fixture->node);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    bool alive = false, stopping = false;
    for (int i = 0; i < 200 && !(alive && stopping); i++) {
        ssize_t length = recv(socket_fd, message, sizeof message - 1, 0);
        assert_true(length > 0);
        message[length] = 0;
        if (!alive && strstr(message, "WATCHDOG=1") && strstr(heard, "STATUS=leads; "))
            assert_int_equal(kill(fixture->node.pid, SIGTERM), 0);
        alive = alive || (strstr(message, "WATCHDOG=1") && strstr(heard, "STATUS=leads; "));
        stopping = strstr(message, "STOPPING=1") != NULL;
        size_t used = strlen(heard);
        snprintf(heard + used, sizeof heard - used, "%s ", message);
    }
    assert_true(alive && stopping);
    const char *ready = strstr(heard, "READY=1"), *log = strstr(heard, "STATUS=starting: log");
    assert_non_null(ready);
    assert_non_null(log);
    assert_true(log < ready && strstr(heard, "WATCHDOG=1") > ready && strstr(heard, "STOPPING=1") > ready);
    assert_non_null(strstr(ready, ", members 1 "));
    assert_int_equal(test_node_wait(&fixture->node), EXIT_CLEAN);
    close(socket_fd);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(acknowledged_change_is_mirrored_and_survives, set_up, tear_down),
        cmocka_unit_test_setup_teardown(folder_in_use_names_its_holder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(port_in_use_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lonely_node_says_how_to_go_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(joining_node_serves_health_and_keeps_asking, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_store_and_log_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failed_disk_ends_with_70_and_loses_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stop_answers_what_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(soak_ends_by_the_leaders_tick, set_up, tear_down),
#ifdef AUTONOMY_HAVE_SYSTEMD
        cmocka_unit_test_setup_teardown(supervisor_is_told, set_up, tear_down),
#endif
        cmocka_unit_test_setup_teardown(second_signal_exits_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_quorum_a_write_ends_within_its_deadline, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
