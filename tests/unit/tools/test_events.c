/* `autonomy events` and `autonomy flags watch` against a scripted stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/tools/fake_server.h"
#include "unit/tools/run_cli.h"

#define RECORD(seq)                                                                                          \
    "id: " seq "\nevent: flags.set\ndata: {\"seq\":" seq                                                     \
    ",\"timestamp\":\"2026-01-02T03:04:05.678Z\",\"event_name\":\"flags.set\",\"outcome\":\"success\","      \
    "\"actor\":\"ann@example.com\",\"resource\":\"CART\",\"reason\":\"evil\\u001b[2J\","                     \
    "\"action\":\"set\",\"fields\":{\"value\":\"full\"}}\n\n"
#define GREETING(id) ": events\nretry: 1000\nid: " id "\n\n"
#define END(id)      "id: " id "\nevent: end\ndata: {\"last_event_id\":" id ",\"reason\":\"bye\"}\n\n"

static int set_up(void **state)
{
    struct home *home = malloc(sizeof *home);
    *home = home_make();
    *state = home;
    return 0;
}

static int tear_down(void **state)
{
    home_remove(*state);
    free(*state);
    return 0;
}

/* Goal: when a stream ends, the next one goes on after the last whole frame, and each record is printed once.
 * Method: three answers: one ends with `end`, one breaks off in the middle of a frame, after its id; the
 * third goes on. What was asked for is looked at. */
static void stream_goes_on_after_the_last_whole_frame(void **state)
{
    static const struct fake_reply replies[] = {
        {200, GREETING("4") RECORD("5") END("5"), FAKE_ANSWER},
        {200, GREETING("5") RECORD("6") "id: 7\nevent: flags.set\ndata: {\"se", FAKE_ANSWER},
        {200, GREETING("6") RECORD("7") RECORD("8"), FAKE_ANSWER},
    };
    struct fake_server *server = fake_start(replies, 3);
    (void)state;
    struct ran ran = run("events", "--orchestrator-url", server->url, "--category", "flags,ha", "--limit",
                         "4", "--output", "json", NULL);
    fake_stop(server);
    assert_int_equal(ran.exit, CLI_DONE);
    const char *at = ran.out;
    for (int seq = 5; seq <= 8; seq++) {
        char text[24];
        snprintf(text, sizeof text, "{\"seq\":%d,", seq);
        assert_int_equal(strncmp(at, text, strlen(text)), 0);
        at = strchr(at, '\n');
        assert_non_null(at);
        at++;
    }
    assert_string_equal(at, "");
    assert_int_equal(server->request_count, 3);
    assert_non_null(strstr(server->requests[0], "GET /v1/events?category=flags%2Cha HTTP"));
    assert_non_null(strstr(server->requests[1], "&last_event_id=5 HTTP"));
    assert_non_null(strstr(server->requests[2], "&last_event_id=6 HTTP"));
    ran_done(&ran);
    fake_free(server);
}

/* Goal: --since begins after that record, and text shows the change without control characters.
 * Method: one record of `flags watch`, one of `events`. */
static void text_shows_what_changed(void **state)
{
    static const struct fake_reply replies[] = {{200, GREETING("0") RECORD("1"), FAKE_ANSWER}};
    struct fake_server *server = fake_start(replies, 1);
    (void)state;
    struct ran watch =
        run("flags", "watch", "--orchestrator-url", server->url, "--since", "0", "--limit", "1", NULL);
    struct ran events = run("events", "--orchestrator-url", server->url, "--limit", "1", NULL);
    fake_stop(server);
    assert_int_equal(watch.exit, CLI_DONE);
    assert_string_equal(watch.out, "2026-01-02T03:04:05.678Z  CART  full  ann@example.com  evil?[2J\n");
    assert_string_equal(events.out, "2026-01-02T03:04:05.678Z  1  flags.set  success  ann@example.com  CART  "
                                    "evil?[2J\n");
    assert_non_null(strstr(server->requests[0], "GET /v1/events?category=flags&last_event_id=0 HTTP"));
    assert_non_null(strstr(server->requests[1], "GET /v1/events HTTP"));
    ran_done(&watch);
    ran_done(&events);
    fake_free(server);
}

/* Goal: records that were pruned before they were seen are told, beside the records.
 * Method: a stream that goes on behind them. */
static void pruned_records_are_told(void **state)
{
    static const struct fake_reply reply = {
        200, GREETING("3") "event: pruned\ndata: {\"first_seq\":31}\n\n" RECORD("31"), FAKE_ANSWER};
    struct fake_server *server = fake_start(&reply, 1);
    (void)state;
    struct ran ran = run("events", "--orchestrator-url", server->url, "--since", "3", "--limit", "1", NULL);
    fake_stop(server);
    assert_int_equal(ran.exit, CLI_DONE);
    assert_non_null(strstr(ran.out, "  31  flags.set  "));
    assert_non_null(strstr(ran.err, "records before 31 were pruned"));
    ran_done(&ran);
    fake_free(server);
}

/* Goal: a refusal ends it with the server's sentence; nobody there ends it after --timeout.
 * Method: a 422, and a port where nobody listens. */
static void refusals_and_silence_end_it(void **state)
{
    static const struct fake_reply replies[] = {
        {422, "{\"code\":\"invalid_field\",\"detail\":\"category: no such\"}", FAKE_ANSWER}};
    struct fake_server *server = fake_start(replies, 1);
    char dead[64];
    (void)state;
    fake_dead_url(dead, sizeof dead);
    struct ran ran = run("events", "--orchestrator-url", server->url, "--category", "x", NULL);
    fake_stop(server);
    assert_int_equal(ran.exit, CLI_FAILED);
    assert_non_null(strstr(ran.err, "category: no such"));
    ran_done(&ran);
    ran = run("events", "--orchestrator-url", dead, "--timeout", "300ms", NULL);
    assert_int_equal(ran.exit, CLI_UNREACHABLE);
    assert_non_null(strstr(ran.err, dead));
    ran_done(&ran);
    fake_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stream_goes_on_after_the_last_whole_frame, set_up, tear_down),
        cmocka_unit_test_setup_teardown(text_shows_what_changed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pruned_records_are_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refusals_and_silence_end_it, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
