/* GET /v1/events: frames, filters, where a stream goes on, slow readers, and how streams end. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "node/http/server_internal.h"
#include "node/http/stream.h"
#include "tests/support/http_fixture.h"

#define PATIENCE_MS  30000
#define FLAG         "/v1/flags/PROMPT_MODE"
#define BEHIND_MAX   40u
#define STREAMS_MAX  6u
#define HEARTBEAT_MS 50u
#define SLOW_RECORDS 600

static struct http_options options(uint64_t heartbeat_ms)
{
    return (struct http_options){
        .write_timeout_ms = 20000,
        .streams = {.heartbeat_ms = heartbeat_ms, .behind_max = BEHIND_MAX, .streams_max = STREAMS_MAX}};
}

static int set_up(void **state)
{
    struct http_options own = options(3600000); /* none comes in between */
    *state = http_fixture_new(&own);
    return 0;
}

static int set_up_beating(void **state)
{
    struct http_options own = options(HEARTBEAT_MS);
    *state = http_fixture_new(&own);
    return 0;
}

static int tear_down(void **state)
{
    http_fixture_free(*state);
    return 0;
}

/* --- a reader --- */

struct reader_side {
    int fd;
    struct bytes raw;  /* as it came, chunked */
    struct bytes text; /* decoded */
    size_t at;         /* in the text: the next frame */
    bool closed;
};

static struct reader_side reader_open(struct http_fixture *self, const char *path, const char *headers,
                                      int receive_bytes)
{
    struct reader_side reader = {.fd = http_connect(self->port)};
    char request[1024];
    bytes_init(&reader.raw, 0);
    bytes_init(&reader.text, 0);
    if (receive_bytes > 0)
        setsockopt(reader.fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", path, headers);
    assert_true(http_send_text(reader.fd, request));
    return reader;
}

static void reader_done(struct reader_side *reader)
{
    close(reader->fd);
    bytes_done(&reader->raw);
    bytes_done(&reader->text);
}

/* Decodes whole chunks; the head ends at the first empty line. */
static void decode(struct reader_side *reader)
{
    bytes_append(&reader->raw, "", 1);
    reader->raw.length--;
    const char *head = (const char *)reader->raw.data;
    const char *at = strstr(head, "\r\n\r\n");
    const char *end = head + reader->raw.length;
    bytes_clear(&reader->text);
    for (at = at != NULL ? at + 4 : end; at < end;) {
        char *after = NULL;
        size_t length = strtoul(at, &after, 16);
        if (after + 2 > end || (size_t)(end - after) < length + 4)
            break;
        bytes_append(&reader->text, after + 2, length);
        at = after + 2 + length + 2;
    }
    bytes_append(&reader->text, "", 1);
    reader->text.length--;
}

static void receive_more(struct reader_side *reader)
{
    char block[8192];
    struct pollfd poll_fd = {.fd = reader->fd, .events = POLLIN};
    assert_int_equal(poll(&poll_fd, 1, PATIENCE_MS), 1);
    ssize_t got = recv(reader->fd, block, sizeof(block), 0);
    if (got <= 0)
        reader->closed = true;
    else
        bytes_append(&reader->raw, block, (size_t)got);
    decode(reader);
}

/* The next frame, without its empty line; "" when the stream ended. The caller frees it. */
static char *next_frame(struct reader_side *reader)
{
    for (;;) {
        const char *text = reader->text.data != NULL ? (const char *)reader->text.data + reader->at : "";
        const char *end = strstr(text, "\n\n");
        if (end != NULL) {
            char *frame = strndup(text, (size_t)(end - text));
            reader->at += (size_t)(end - text) + 2;
            return frame;
        }
        if (reader->closed)
            return strdup("");
        receive_more(reader);
    }
}

/* The value of a line of a frame: "id", "event", "data"; "" when it has none. */
static const char *line_of(const char *frame, const char *name)
{
    static char value[65536];
    size_t length = strlen(name);
    value[0] = '\0';
    for (const char *at = frame; at != NULL && *at != '\0'; at = strchr(at, '\n')) {
        at += *at == '\n' ? 1 : 0;
        if (strncmp(at, name, length) == 0 && at[length] == ':')
            snprintf(value, sizeof(value), "%.*s", (int)strcspn(at + length + 2, "\n"), at + length + 2);
    }
    return value;
}

/* The id at which a stream begins. */
static uint64_t greeting(struct reader_side *reader)
{
    char *frame = next_frame(reader);
    assert_string_equal(line_of(frame, "event"), "");
    assert_string_equal(line_of(frame, "retry"), "1000");
    uint64_t id = UINT64_MAX;
    assert_true(parse_u64(line_of(frame, "id"), UINT64_MAX, &id));
    free(frame);
    return id;
}

static void expect_event(struct reader_side *reader, uint64_t id, const char *event)
{
    char *frame = next_frame(reader), text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)id);
    if (strcmp(line_of(frame, "event"), event) != 0)
        print_error("instead of %s came: %s\n", event, frame);
    assert_string_equal(line_of(frame, "event"), event);
    assert_string_equal(line_of(frame, "id"), text);
    free(frame);
}

static void set_flag(struct http_fixture *self, const char *value)
{
    char body[64];
    snprintf(body, sizeof(body), "{\"value\":\"%s\",\"reason\":\"why\"}", value);
    struct http_answer answer = fixture_send(self, "PUT", FLAG, body);
    assert_status(&answer, 200);
    http_answer_done(&answer);
}

static void publish(struct http_fixture *self)
{
    fixture_publish_plan(self, PLAN_BODY("p-1"));
}

static uint64_t last_seq(struct http_fixture *self)
{
    struct service_status status;
    service_status(self->service, &status);
    return status.audit_seq;
}

/* --- tests --- */

/* Goal: a record arrives as one event: its seq as id, its name as event, itself as data, the same JSON that
 * GET /v1/audit has. Method: one change after the stream began, compared with the query's row. */
static void record_arrives_as_one_event(void **state)
{
    struct http_fixture *self = *state;
    struct reader_side reader = reader_open(self, "/v1/events", "", 0);
    uint64_t id = greeting(&reader);
    assert_int_equal(id, last_seq(self));
    assert_non_null(strstr((char *)reader.raw.data, "Content-Type: text/event-stream"));
    set_flag(self, "full");
    char *frame = next_frame(&reader), text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)id + 1);
    assert_string_equal(line_of(frame, "id"), text);
    assert_string_equal(line_of(frame, "event"), "flags.set");
    json_t *data = json_loads(line_of(frame, "data"), 0, NULL);
    struct http_answer rows = fixture_get(self, "/v1/audit?limit=1");
    assert_non_null(data);
    assert_true(json_equal(data, json_array_get(json_object_get(rows.json, "items"), 0)));
    json_decref(data);
    http_answer_done(&rows);
    free(frame);
    reader_done(&reader);
}

/* Goal: Last-Event-ID goes on after that record, from the first one on with 0, and the header wins over the
 * query. Method: five records, three readers that were not there when they committed. */
static void stream_goes_on_after_the_last_id(void **state)
{
    struct http_fixture *self = *state;
    uint64_t before = last_seq(self);
    for (int i = 0; i < 5; i++)
        set_flag(self, i % 2 == 0 ? "full" : "fixed");
    struct reader_side all = reader_open(self, "/v1/events?last_event_id=0", "", 0);
    assert_int_equal(greeting(&all), 0);
    expect_event(&all, 1, "ha.leader.elected");
    char header[64];
    snprintf(header, sizeof(header), "Last-Event-ID: %llu\r\n", (unsigned long long)before + 3);
    struct reader_side some = reader_open(self, "/v1/events?last_event_id=0", header, 0);
    assert_int_equal(greeting(&some), before + 3);
    expect_event(&some, before + 4, "flags.set");
    expect_event(&some, before + 5, "flags.set");
    set_flag(self, "full");
    expect_event(&some, before + 6, "flags.set");
    for (uint64_t seq = 2; seq <= before + 6; seq++)
        expect_event(&all, seq, seq <= before ? "ha.leader.elected" : "flags.set");
    reader_done(&all);
    reader_done(&some);
}

/* Goal: a reader whose next records were pruned is told where the stream goes on; one that saw all of them,
 * or begins with the first record, misses nothing that is there. Method: 150 records, pruned before 31. */
static void reader_is_told_of_pruned_records(void **state)
{
    struct http_fixture *self = *state;
    for (int i = 0; i < 150; i++)
        set_flag(self, i % 2 == 0 ? "full" : "fixed");
    struct http_answer pruned =
        fixture_send(self, "POST", "/v1/audit/prune", "{\"before_seq\":31,\"reason\":\"retention\"}");
    assert_status(&pruned, 200);
    http_answer_done(&pruned);
    struct reader_side reader = reader_open(self, "/v1/events?last_event_id=7", "", 0);
    assert_int_equal(greeting(&reader), 7);
    char *frame = next_frame(&reader);
    assert_string_equal(frame, "event: pruned\ndata: {\"first_seq\":31}");
    free(frame);
    expect_event(&reader, 31, "flags.set");
    reader_done(&reader);
    static const char *const paths[] = {"/v1/events?last_event_id=30", "/v1/events?last_event_id=0"};
    for (size_t i = 0; i < 2; i++) {
        reader = reader_open(self, paths[i], "", 0);
        (void)greeting(&reader);
        expect_event(&reader, 31, "flags.set");
        reader_done(&reader);
    }
}

/* Goal: a reader that has seen more than this node has gets nothing twice. Method: it begins three records
 * ahead of the node; four are committed; only the fourth arrives. */
static void reader_ahead_of_the_node_gets_nothing_twice(void **state)
{
    struct http_fixture *self = *state;
    uint64_t before = last_seq(self);
    char path[64];
    snprintf(path, sizeof(path), "/v1/events?last_event_id=%llu", (unsigned long long)before + 3);
    struct reader_side reader = reader_open(self, path, "", 0);
    assert_int_equal(greeting(&reader), before + 3);
    for (int i = 0; i < 4; i++)
        set_flag(self, i % 2 == 0 ? "full" : "fixed");
    expect_event(&reader, before + 4, "flags.set");
    reader_done(&reader);
}

/* Goal: filters let through what they name, in lists, live and when catching up. Method: plan and flag
 * records; one reader by category, one by two event names, each live and again from the beginning. */
static void filters_let_through_what_they_name(void **state)
{
    struct http_fixture *self = *state;
    uint64_t before = last_seq(self);
    char late[160];
    struct reader_side flags = reader_open(self, "/v1/events?category=flags,cert", "", 0);
    struct reader_side names = reader_open(
        self, "/v1/events?event_type=rollout.plan.published,flags.set&category=rollout,flags", "", 0);
    (void)greeting(&flags);
    (void)greeting(&names);
    publish(self);
    uint64_t published = last_seq(self);
    set_flag(self, "full");
    expect_event(&flags, published + 1, "flags.set");
    char *frame = next_frame(&names);
    assert_true(strcmp(line_of(frame, "event"), "flags.set") == 0 ||
                strncmp(line_of(frame, "event"), "rollout.", 8) == 0);
    free(frame);
    snprintf(late, sizeof(late), "/v1/events?event_type=flags.set&last_event_id=%llu",
             (unsigned long long)before);
    struct reader_side again = reader_open(self, late, "", 0);
    (void)greeting(&again);
    expect_event(&again, published + 1, "flags.set");
    set_flag(self, "fixed");
    expect_event(&again, published + 2, "flags.set");
    expect_event(&flags, published + 2, "flags.set");
    reader_done(&again);
    reader_done(&flags);
    reader_done(&names);
}

/* Goal: what can't be meant is refused before a stream begins. Method: an unknown category, ids that are
 * none, one stream too many; afterwards the place of a stream that went is free again. */
static void bad_requests_and_one_too_many_are_refused(void **state)
{
    struct http_fixture *self = *state;
    struct reader_side readers[STREAMS_MAX];
    struct http_answer answer = fixture_get(self, "/v1/events?category=flags,weather");
    assert_problem_says(&answer, 422, "invalid_field", "weather");
    answer = fixture_get(self, "/v1/events?last_event_id=soon");
    assert_problem(&answer, 422, "invalid_field");
    answer = fixture_send_as(self, "GET", "/v1/events", "Last-Event-ID: -1\r\n", NULL);
    assert_problem_says(&answer, 422, "invalid_field", "Last-Event-ID");
    for (uint32_t i = 0; i < STREAMS_MAX; i++) {
        readers[i] = reader_open(self, "/v1/events", "", 0);
        (void)greeting(&readers[i]);
    }
    answer = fixture_get(self, "/v1/events");
    assert_problem_says(&answer, 503, "busy", "streams");
    for (uint32_t i = 0; i < STREAMS_MAX; i++)
        reader_done(&readers[i]);
}

/* Goal: HEAD tells what a stream would be and takes none of their places.
 * Method: twice as many as there are places, on connections that stay open; then a stream. */
static void head_takes_no_place(void **state)
{
    struct http_fixture *self = *state;
    int fds[2 * STREAMS_MAX];
    for (size_t i = 0; i < 2 * STREAMS_MAX; i++) {
        char head[1024];
        fds[i] = http_connect(self->port);
        assert_true(http_send_text(fds[i], "HEAD /v1/events HTTP/1.1\r\nHost: x\r\n\r\n"));
        ssize_t got = recv(fds[i], head, sizeof(head) - 1, 0);
        assert_true(got > 0);
        head[got] = '\0';
        assert_non_null(strstr(head, " 200 OK"));
        assert_non_null(strstr(head, EVENTS_CONTENT_TYPE));
    }
    for (int i = 0; i < PATIENCE_MS / 5 && stream_hub_count(server_streams(self->server)) > 0; i++)
        usleep(5000); /* the last one's head has left, its stream ends now */
    assert_int_equal(stream_hub_count(server_streams(self->server)), 0);
    for (size_t i = 0; i < 2 * STREAMS_MAX; i++)
        close(fds[i]);
}

/* Goal: an idle stream gets comments that carry the last id, also past what its filter holds back, and they
 * show the server that a reader went. Method: a short heartbeat; the count of streams falls to none. */
static void heartbeats_carry_the_last_id(void **state)
{
    struct http_fixture *self = *state;
    struct reader_side reader = reader_open(self, "/v1/events?category=cert", "", 0);
    uint64_t id = greeting(&reader);
    set_flag(self, "full");
    for (int i = 0; i < PATIENCE_MS / (int)HEARTBEAT_MS && id < last_seq(self); i++) {
        char *frame = next_frame(&reader);
        assert_true(strncmp(frame, ": heartbeat", 11) == 0);
        assert_true(parse_u64(line_of(frame, "id"), UINT64_MAX, &id));
        free(frame);
    }
    assert_int_equal(id, last_seq(self));
    reader_done(&reader);
    struct timespec nap = {.tv_nsec = 5000000};
    for (int i = 0; i < PATIENCE_MS / 5 && stream_hub_count(server_streams(self->server)) > 0; i++)
        nanosleep(&nap, NULL);
    assert_int_equal(stream_hub_count(server_streams(self->server)), 0);
}

/* Goal: a reader that doesn't take its events is told so at the end of what it got, without a gap before it,
 * and can go on from there; another one gets everything. Method: a small socket buffer that nobody reads
 * while records pile up, then reading to the end. */
static void slow_reader_is_told_and_cut_off(void **state)
{
    struct http_fixture *self = *state;
    struct reader_side slow = reader_open(self, "/v1/events", "", 2048);
    uint64_t id = greeting(&slow), got = id;
    char body[1400], reason[900];
    memset(reason, 'r', sizeof(reason) - 1);
    reason[sizeof(reason) - 1] = '\0';
    for (int i = 0; i < SLOW_RECORDS; i++) {
        snprintf(body, sizeof(body), "{\"value\":\"%s\",\"reason\":\"%s\"}", i % 2 == 0 ? "full" : "fixed",
                 reason);
        struct http_answer answer = fixture_send(self, "PUT", FLAG, body);
        assert_status(&answer, 200);
        http_answer_done(&answer);
    }
    char *frame = next_frame(&slow);
    for (; strcmp(line_of(frame, "event"), "flags.set") == 0; frame = next_frame(&slow)) {
        uint64_t next = 0;
        assert_true(parse_u64(line_of(frame, "id"), UINT64_MAX, &next));
        assert_int_equal(next, ++got);
        free(frame);
    }
    assert_string_equal(line_of(frame, "event"), "overflow");
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)got);
    assert_string_equal(line_of(frame, "id"), text);
    json_t *data = json_loads(line_of(frame, "data"), 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(data, "last_event_id")), got);
    json_decref(data);
    free(frame);
    frame = next_frame(&slow);
    assert_string_equal(frame, "");
    free(frame);
    reader_done(&slow);
    char path[64];
    snprintf(path, sizeof(path), "/v1/events?last_event_id=%llu", (unsigned long long)got);
    struct reader_side on = reader_open(self, path, "", 0);
    (void)greeting(&on);
    while (got < id + SLOW_RECORDS)
        expect_event(&on, ++got, "flags.set");
    reader_done(&on);
}

/* Goal: a stopping server ends its streams with the last id, idle ones and those that read, and then stops.
 * Method: quiesce with open streams, read to the end. */
static void stopping_server_ends_its_streams(void **state)
{
    struct http_fixture *self = *state;
    struct reader_side idle = reader_open(self, "/v1/events", "", 0);
    struct reader_side filtered = reader_open(self, "/v1/events?category=cert", "", 0);
    uint64_t id = greeting(&idle);
    (void)greeting(&filtered);
    set_flag(self, "full");
    expect_event(&idle, id + 1, "flags.set");
    http_server_quiesce(self->server);
    expect_event(&idle, id + 1, "end");
    char *frame = next_frame(&filtered);
    assert_string_equal(line_of(frame, "event"), "end");
    assert_non_null(strstr(frame, "shutting down"));
    free(frame);
    frame = next_frame(&idle);
    assert_string_equal(frame, "");
    free(frame);
    reader_done(&idle);
    reader_done(&filtered);
}

/* Goal: streams end when the node loses its state, so that readers go on elsewhere. Method: the fake leaves
 * the cluster while a stream is open; a new one is refused. */
static void streams_end_when_the_state_is_gone(void **state)
{
    struct http_fixture *self = *state;
    struct reader_side reader = reader_open(self, "/v1/events", "", 0);
    uint64_t id = greeting(&reader);
    service_fake_status_lock(self->service)->joined = false;
    service_fake_status_unlock(self->service);
    expect_event(&reader, id, "end");
    struct http_answer answer = fixture_get(self, "/v1/events");
    assert_problem(&answer, 503, "unavailable");
    reader_done(&reader);
}

/* Goal: closing the server with streams open, some of which nobody reads, neither hangs nor leaks. Method:
 * open streams, commit, and leave it to the tear down. */
static void close_with_open_streams(void **state)
{
    struct http_fixture *self = *state;
    struct reader_side readers[3];
    for (int i = 0; i < 3; i++) {
        readers[i] = reader_open(self, "/v1/events?last_event_id=0", "", 0);
        (void)greeting(&readers[i]);
    }
    set_flag(self, "full");
    http_server_quiesce(self->server);
    service_fake_stop(self->service);
    for (int i = 0; i < 3; i++)
        reader_done(&readers[i]);
}

struct writer {
    struct http_fixture *self;
    int records;
};

static void *write_all(void *context)
{
    struct writer *writer = context;
    for (int i = 0; i < writer->records; i++)
        set_flag(writer->self, i % 2 == 0 ? "full" : "fixed");
    return NULL;
}

/* Goal: while records commit, a reader that connects again and again sees each once and in order. Method: a
 * writer of 300 records; the reader takes seven at a time on a connection of its own, more than once from
 * behind the ring's beginning. */
static void reconnecting_reader_sees_each_once(void **state)
{
    struct http_fixture *self = *state;
    struct writer writer = {self, 300};
    uint64_t got = last_seq(self), end = got + 300;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_all, &writer), 0);
    while (got < end) {
        char path[64];
        snprintf(path, sizeof(path), "/v1/events?last_event_id=%llu", (unsigned long long)got);
        struct reader_side reader = reader_open(self, path, "", 0);
        assert_int_equal(greeting(&reader), got);
        for (int i = 0; i < 7 && got < end; i++)
            expect_event(&reader, ++got, "flags.set");
        reader_done(&reader);
        struct timespec nap = {.tv_nsec = 2000000};
        nanosleep(&nap, NULL);
        if (stream_hub_count(server_streams(self->server)) >= STREAMS_MAX - 1)
            nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(record_arrives_as_one_event, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stream_goes_on_after_the_last_id, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reader_is_told_of_pruned_records, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reader_ahead_of_the_node_gets_nothing_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(filters_let_through_what_they_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_requests_and_one_too_many_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(head_takes_no_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(heartbeats_carry_the_last_id, set_up_beating, tear_down),
        cmocka_unit_test_setup_teardown(slow_reader_is_told_and_cut_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stopping_server_ends_its_streams, set_up, tear_down),
        cmocka_unit_test_setup_teardown(streams_end_when_the_state_is_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(close_with_open_streams, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reconnecting_reader_sees_each_once, set_up_beating, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
