/* Requests that wait: for commit, for confirmation, for news. Each ends, in time and once. This is the
 * program that also runs under ThreadSanitizer: HTTP threads, the loop thread and the slow lane all meet
 * here. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "node/http/lane.h"
#include "tests/support/http_fixture.h"

#define PATIENCE_MS 30000
#define FLAG        "/v1/flags/PROMPT_MODE"

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

static void nap_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L};
    nanosleep(&time, NULL);
}

static void wait_until_queued(struct http_fixture *self, uint32_t count)
{
    struct service_fake_seen seen = {0};
    for (int i = 0; i < PATIENCE_MS / 5 && seen.queued < count; i++) {
        nap_ms(5);
        service_fake_seen(self->service, &seen);
    }
    assert_int_equal(seen.queued, count);
}

/* Goal: an answer that comes before the asking call has returned is not lost.
 * Method: the fake answers on its thread while service_change() and the others still run; a hundred rounds.
 */
static void answer_may_overtake_the_question(void **state)
{
    struct http_fixture *self = *state;
    service_fake_at_once(self->service, true);
    for (int i = 0; i < 50; i++) {
        struct http_answer answer =
            fixture_send(self, "PUT", FLAG, "{\"value\":\"full\",\"reason\":\"why\"}");
        assert_status(&answer, 200);
        http_answer_done(&answer);
        answer = fixture_get(self, FLAG);
        assert_status(&answer, 200);
        http_answer_done(&answer);
    }
    struct http_answer answer = fixture_send(self, "POST", "/v1/ha/failover", "{\"reason\":\"r\"}");
    assert_status(&answer, 200);
    http_answer_done(&answer);
    service_fake_at_once(self->service, false);
}

/* Goal: a full queue answers 503 with Retry-After at once, for changes, reads and acts; afterwards all is
 * well. Method: the fake refuses to take anything. */
static void full_queue_is_refused(void **state)
{
    struct http_fixture *self = *state;
    service_fake_refuse(self->service, ERROR_BUSY, "mailbox is full: 8192 of 8192");
    struct http_answer answer = fixture_send(self, "PUT", FLAG, "{\"value\":\"full\",\"reason\":\"why\"}");
    assert_problem_says(&answer, 503, "busy", "mailbox is full");
    answer = fixture_get(self, FLAG);
    assert_problem(&answer, 503, "busy");
    answer = fixture_get(self, FLAG "?index=1&wait=1s");
    assert_problem(&answer, 503, "busy");
    answer = fixture_get(self, "/v1/audit");
    assert_problem(&answer, 503, "busy");
    answer = fixture_send(self, "POST", "/v1/ha/failover", "{\"reason\":\"r\"}");
    assert_problem(&answer, 503, "busy");
    answer = fixture_send(self, "POST", "/v1/internal/checkpoints", NULL);
    assert_problem(&answer, 503, "busy");
    service_fake_refuse(self->service, ERROR_OK, NULL);
    answer = fixture_get(self, FLAG);
    assert_status(&answer, 200);
    assert_string_equal(json_text_at(answer.json, "value"), "compact");
    http_answer_done(&answer);
}

/* Goal: without quorum a change is answered within its deadline as unknown, with the request id to retry
 * under. Method: 300 ms by argument and by header; then with quorum the same request id goes through, once.
 */
static void no_quorum_is_unknown_within_the_deadline(void **state)
{
    struct http_fixture *self = *state;
    const char *body = "{\"value\":\"full\",\"reason\":\"why\"}";
    service_fake_quorum(self->service, false);
    struct http_answer answer =
        fixture_send_as(self, "PUT", FLAG "?timeout=300ms", "Idempotency-Key: k-1\r\n", body);
    assert_string_equal(json_text_at(answer.json, "request_id"), "k-1");
    assert_problem_says(&answer, 504, "unknown", "(Idempotency-Key: k-1)");
    answer =
        fixture_send_as(self, "PUT", FLAG, "Idempotency-Key: k-2\r\nX-Autonomy-Timeout-Ms: 300\r\n", body);
    assert_string_equal(json_text_at(answer.json, "request_id"), "k-2");
    assert_problem(&answer, 504, "unknown");
    service_fake_quorum(self->service, true);
    answer = fixture_send_as(self, "PUT", FLAG, "Idempotency-Key: k-1\r\n", body);
    assert_status(&answer, 200);
    assert_string_equal(http_answer_header(&answer, "X-Autonomy-Repeated"), "");
    http_answer_done(&answer);
}

/* Goal: without quorum a linearizable read is 503, a stale one answers and says how old it may be; health
 * never waits. Method: the same flag both ways, then every health and HA read. */
static void no_quorum_leaves_stale_reads_and_health(void **state)
{
    struct http_fixture *self = *state;
    service_fake_quorum(self->service, false);
    struct http_answer answer = fixture_get(self, FLAG "?timeout=200ms");
    assert_problem_says(&answer, 503, "unavailable", "consistency=stale answers");
    answer = fixture_get(self, FLAG "?consistency=stale");
    assert_status(&answer, 200);
    uint64_t age;
    assert_true(strlen(http_answer_header(&answer, "X-Autonomy-Age-Ms")) > 0);
    assert_int_equal(sscanf(http_answer_header(&answer, "X-Autonomy-Age-Ms"), "%lu", &age), 1);
    http_answer_done(&answer);
    static const char *const local[] = {"/v1/health",        "/health",           "/v1/health/read-ready",
                                        "/v1/health/quorum", "/v1/health/leader", "/v1/ha/status",
                                        "/v1/ha/quorum",     "/v1/ha/members",    "/v1/ha/epochs",
                                        "/v1/version",       "/v1/health/audit"};
    service_fake_hold(self->service, true);
    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
        answer = fixture_get(self, local[i]);
        assert_status(&answer, 200);
        http_answer_done(&answer);
    }
    service_fake_hold(self->service, false);
}

static void assert_age(struct http_fixture *self, const char *least, unsigned long least_ms)
{
    struct http_answer answer = fixture_get(self, FLAG "?consistency=stale");
    unsigned long age_ms = 0;
    assert_status(&answer, 200);
    if (strcmp(least, "unknown") == 0) {
        assert_string_equal(http_answer_header(&answer, "X-Autonomy-Age-Ms"), "unknown");
    } else {
        assert_int_equal(sscanf(http_answer_header(&answer, "X-Autonomy-Age-Ms"), "%lu", &age_ms), 1);
        assert_in_range(age_ms, least_ms, least_ms + PATIENCE_MS);
    }
    http_answer_done(&answer);
}

/* Goal: a stale answer says how old it may be, as far as the node can know.
 * Method: a leader with and without its majority, a follower that heard its leader 5 s ago, or never, nodes
 * without one. */
static void stale_answers_say_their_age(void **state)
{
    struct http_fixture *self = *state;
    assert_age(self, "", 0);
    struct service_status *status = service_fake_status_lock(self->service);
    status->consensus.contact_lost_ms = service_now_ms(self->service) - 7000;
    service_fake_status_unlock(self->service);
    assert_age(self, "", 7000);
    status = service_fake_status_lock(self->service);
    status->consensus.leader_id = 0;
    service_fake_status_unlock(self->service);
    assert_age(self, "", 7000);
    status = service_fake_status_lock(self->service);
    status->consensus.contact_lost_ms = 0;
    service_fake_status_unlock(self->service);
    assert_age(self, "unknown", 0);
    status = service_fake_status_lock(self->service);
    status->consensus.leader_id = 2;
    status->consensus.members[1].heard_ms = 5000;
    service_fake_status_unlock(self->service);
    assert_age(self, "", 5000);
    status = service_fake_status_lock(self->service);
    status->consensus.members[1].heard_ms = UINT64_MAX;
    service_fake_status_unlock(self->service);
    assert_age(self, "unknown", 0);
}

/* Goal: a client's timeout is honoured.
 * Method: what the fake was asked for, with none, a small one and the longest. */
static void timeouts_are_honoured(void **state)
{
    static const struct {
        const char *path;
        uint64_t least_ms, most_ms;
    } rows[] = {{FLAG, 15000, 20000}, {FLAG "?timeout=7s", 4000, 7000}, {FLAG "?timeout=60s", 50000, 60000}};
    struct http_fixture *self = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct service_fake_seen seen;
        struct http_answer answer = fixture_get(self, rows[i].path);
        assert_status(&answer, 200);
        http_answer_done(&answer);
        service_fake_seen(self->service, &seen);
        assert_in_range(seen.deadline_ms, rows[i].least_ms, rows[i].most_ms);
    }
}

struct asker {
    struct http_fixture *self;
    const char *path;
    struct http_answer answer;
    pthread_t thread;
};

static void *ask(void *context)
{
    struct asker *asker = context;
    asker->answer = fixture_get(asker->self, asker->path);
    return NULL;
}

static void asker_start(struct asker *asker, struct http_fixture *self, const char *path)
{
    *asker = (struct asker){.self = self, .path = path};
    assert_int_equal(pthread_create(&asker->thread, NULL, ask, asker), 0);
}

/* Goal: a long poll waits for something newer than the index it names, and then shows it.
 * Method: asks with the present index; a change ends the wait. An older index doesn't wait at all. */
static void long_poll_ends_with_news(void **state)
{
    struct http_fixture *self = *state;
    struct http_answer answer = fixture_get(self, FLAG);
    char path[128], index[32];
    snprintf(index, sizeof(index), "%s", http_answer_header(&answer, "X-Autonomy-Index"));
    http_answer_done(&answer);
    snprintf(path, sizeof(path), FLAG "?wait=60s&index=%s", index);
    struct asker asker;
    asker_start(&asker, self, path);
    wait_until_queued(self, 1);
    answer = fixture_send(self, "PUT", FLAG, "{\"value\":\"full\",\"reason\":\"why\"}");
    assert_status(&answer, 200);
    http_answer_done(&answer);
    pthread_join(asker.thread, NULL);
    assert_status(&asker.answer, 200);
    assert_string_equal(json_text_at(asker.answer.json, "value"), "full");
    http_answer_done(&asker.answer);
    answer = fixture_get(self, path);
    assert_status(&answer, 200);
    http_answer_done(&answer);
}

/* Goal: a long poll without news answers with what there is when its time is up.
 * Method: waits 200 ms for an index far ahead. */
static void long_poll_ends_without_news(void **state)
{
    struct http_answer answer = fixture_get(*state, FLAG "?index=1000000&wait=200ms");
    assert_status(&answer, 200);
    assert_string_equal(json_text_at(answer.json, "value"), "compact");
    http_answer_done(&answer);
}

/* Goal: reads that wait don't hold up others on the same threads.
 * Method: sixteen held reads on two HTTP threads; health answers, then all of them do. */
static void waiting_requests_hold_no_thread(void **state)
{
    struct http_fixture *self = *state;
    struct asker askers[16];
    service_fake_hold(self->service, true);
    for (size_t i = 0; i < 16; i++)
        asker_start(&askers[i], self, i % 2 ? FLAG : "/v1/audit");
    wait_until_queued(self, 16);
    struct http_answer answer = fixture_get(self, "/v1/health");
    assert_status(&answer, 200);
    http_answer_done(&answer);
    assert_int_equal(http_server_busy(self->server) >= 16, 1);
    service_fake_hold(self->service, false);
    for (size_t i = 0; i < 16; i++) {
        pthread_join(askers[i].thread, NULL);
        assert_status(&askers[i].answer, 200);
        http_answer_done(&askers[i].answer);
    }
}

/* Goal: a stopping node answers what waits, and takes nothing more.
 * Method: holds reads, quiesces, stops the service: each gets 503 `closed`, and its connection ends. */
static void stopping_answers_what_waits(void **state)
{
    struct http_fixture *self = *state;
    struct asker askers[4];
    service_fake_hold(self->service, true);
    for (size_t i = 0; i < 4; i++)
        asker_start(&askers[i], self, FLAG);
    wait_until_queued(self, 4);
    int kept = http_connect(self->port);
    assert_true(http_send_text(kept, "GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n"));
    struct http_answer answer = http_receive(kept);
    assert_status(&answer, 200);
    http_answer_done(&answer);
    http_server_quiesce(self->server);
    assert_true(http_send_text(kept, "GET /v1/flags HTTP/1.1\r\nHost: x\r\n\r\n"));
    answer = http_receive(kept);
    assert_problem(&answer, 503, "closed");
    assert_true(http_closed(kept, PATIENCE_MS));
    close(kept);
    service_fake_stop(self->service);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(askers[i].thread, NULL);
        assert_problem(&askers[i].answer, 503, "closed");
    }
    for (int i = 0; i < PATIENCE_MS / 5 && http_server_busy(self->server) > 0; i++)
        nap_ms(5);
    assert_int_equal(http_server_busy(self->server), 0);
}

/* Goal: a walk over the whole trail doesn't keep a node from stopping.
 * Method: a verification that waits for its confirmation while the server is told to stop ends as soon as it
 * begins. */
static void stopping_ends_a_walk(void **state)
{
    struct http_fixture *self = *state;
    struct asker asker;
    service_fake_hold(self->service, true);
    asker_start(&asker, self, "/v1/audit/verify");
    wait_until_queued(self, 1);
    http_server_quiesce(self->server);
    service_fake_hold(self->service, false);
    pthread_join(asker.thread, NULL);
    assert_problem(&asker.answer, 503, "closed");
}

static void *change_often(void *context)
{
    struct asker *asker = context;
    for (int i = 0; i < 20; i++) {
        char body[64];
        snprintf(body, sizeof(body), "{\"value\":\"v%d\",\"reason\":\"load\"}", i);
        struct http_answer answer = fixture_send(asker->self, "PUT", FLAG, body);
        asker->answer.status += answer.status == 200;
        http_answer_done(&answer);
        answer = fixture_get(asker->self, "/v1/audit?event_type=flags.set&limit=5");
        asker->answer.status += answer.status == 200;
        http_answer_done(&answer);
    }
    return NULL;
}

/* Goal: many at once: every change is answered once, and each left its record.
 * Method: eight clients with twenty changes and twenty audit reads each; the audit trail counts 160. */
static void many_clients_at_once(void **state)
{
    struct http_fixture *self = *state;
    struct asker askers[8];
    for (size_t i = 0; i < 8; i++) {
        askers[i] = (struct asker){.self = self};
        assert_int_equal(pthread_create(&askers[i].thread, NULL, change_often, &askers[i]), 0);
    }
    for (size_t i = 0; i < 8; i++) {
        pthread_join(askers[i].thread, NULL);
        assert_int_equal(askers[i].answer.status, 40);
    }
    struct http_answer answer = fixture_get(self, "/v1/audit?event_type=flags.set&limit=0");
    assert_status(&answer, 200);
    assert_int_equal(json_array_size(json_object_get(answer.json, "items")), 160);
    http_answer_done(&answer);
    answer = fixture_get(self, "/v1/audit/verify");
    assert_status(&answer, 200);
    assert_string_equal(json_text_at(answer.json, "valid"), "true");
    http_answer_done(&answer);
}

static void count_up(void *context)
{
    __atomic_fetch_add((int *)context, 1, __ATOMIC_SEQ_CST);
}

static void wait_for_gate(void *context)
{
    pthread_mutex_lock(context);
    pthread_mutex_unlock(context);
}

/* Goal: the slow lane refuses past its bound, and runs each job it took.
 * Method: blocks it with a job that waits for a lock, fills it to the brim, one more; then lets go. */
static void lane_is_bounded(void **state)
{
    (void)state;
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    struct lane *lane = lane_new();
    int ran = 0;
    pthread_mutex_lock(&gate);
    uint32_t taken = lane_push(lane, wait_for_gate, &gate) ? 0u : 1000u;
    while (taken < 1000 && lane_push(lane, count_up, &ran))
        taken++;
    assert_true(taken == LANE_JOBS_MAX ||
                taken == LANE_JOBS_MAX - 1); /* the first may be under way or waiting */
    pthread_mutex_unlock(&gate);
    for (int i = 0; i < PATIENCE_MS / 5 && __atomic_load_n(&ran, __ATOMIC_SEQ_CST) < (int)taken; i++)
        nap_ms(5);
    assert_int_equal(__atomic_load_n(&ran, __ATOMIC_SEQ_CST), (int)taken);
    lane_free(lane);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answer_may_overtake_the_question, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_queue_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_quorum_is_unknown_within_the_deadline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_quorum_leaves_stale_reads_and_health, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stale_answers_say_their_age, set_up, tear_down),
        cmocka_unit_test_setup_teardown(timeouts_are_honoured, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_poll_ends_with_news, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_poll_ends_without_news, set_up, tear_down),
        cmocka_unit_test_setup_teardown(waiting_requests_hold_no_thread, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stopping_answers_what_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stopping_ends_a_walk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_clients_at_once, set_up, tear_down),
        cmocka_unit_test(lane_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
