/* One request, several nodes: who is asked, what counts as an answer, and what each outcome exits with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "tools/autonomy/client.h"
#include "unit/tools/fake_server.h"
#include "unit/tools/run_cli.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static int set_up(void **state)
{
    struct home *home = malloc(sizeof *home);
    *home = home_make();
    setenv("AUTONOMY_OPERATOR", "ann@example.com", 1);
    *state = home;
    return 0;
}

static int tear_down(void **state)
{
    unsetenv("AUTONOMY_OPERATOR");
    home_remove(*state);
    free(*state);
    return 0;
}

/* A header's value in a captured request; "" when it isn't there. */
static const char *header(const char *request, const char *name, char *out, size_t out_bytes)
{
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\r\n%s: ", name);
    const char *at = strcasestr(request, wanted);
    snprintf(out, out_bytes, "%.*s", at ? (int)strcspn(at + strlen(wanted), "\r") : 0,
             at ? at + strlen(wanted) : "");
    return out;
}

static struct ran pause_at(const char *urls)
{
    return run("rollout", "plan", "pause", "--plan-id", "p-7", "--orchestrator-url", urls, "--timeout", "4s",
               NULL);
}

static const char *two_urls(const char *first, const char *second)
{
    static char urls[256];
    snprintf(urls, sizeof urls, "%s,%s", first, second);
    return urls;
}

/* Goal: each kind of answer has its own exit code, and the server's sentence reaches stderr.
 * Method: one scripted answer a row, a change and a read. */
static void answers_map_to_exit_codes(void **state)
{
    static const struct {
        struct fake_reply reply;
        int change, read;
        const char *says;
    } rows[] = {
        {{200, "{\"plan_id\":\"p-7\",\"phase\":\"paused\"}", 0}, CLI_DONE, CLI_DONE, NULL},
        {{409, "{\"detail\":\"plan p-7 is rolled_back\",\"code\":\"plan_terminal\"}", 0},
         CLI_FAILED,
         CLI_FAILED,
         "plan p-7 is rolled_back"},
        {{404, "{\"title\":\"Not Found\",\"code\":\"plan_not_found\"}", 0},
         CLI_FAILED,
         CLI_FAILED,
         "autonomy rollout plan list"},
        {{401, "{\"detail\":\"who are you?\"}", 0}, CLI_DENIED, CLI_DENIED, "who are you?"},
        {{403, "{\"detail\":\"not you\"}", 0}, CLI_DENIED, CLI_DENIED, "not you"},
        {{507, "{\"detail\":\"the disk is full\"}", 0}, CLI_FAILED, CLI_FAILED, "the disk is full"},
        {{503, "{\"detail\":\"no leader\"}", 0}, CLI_FAILED, CLI_FAILED, "no leader"},
        {{504, "{\"detail\":\"not in time\"}", 0}, CLI_UNKNOWN, CLI_FAILED, "not in time"},
        {{500, "", 0}, CLI_FAILED, CLI_FAILED, "answered 500 without a reason"},
        {{200, "<html>", 0}, CLI_FAILED, CLI_FAILED, "isn't JSON"},
        {{0, "", FAKE_HANG_UP}, CLI_UNKNOWN, CLI_UNREACHABLE, NULL},
        {{0, "", FAKE_SILENT}, CLI_UNKNOWN, CLI_UNREACHABLE, NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fake_server *server = fake_start(&rows[i].reply, 1);
        /* What is asked again until the deadline gets a short one. */
        bool again =
            rows[i].reply.act != FAKE_ANSWER || rows[i].reply.status == 503 || rows[i].reply.status == 504;
        const char *timeout = again ? "800ms" : "20s";
        struct ran change = run("rollout", "plan", "pause", "--plan-id=p-7", "--orchestrator-url",
                                server->url, "--timeout", timeout, NULL);
        struct ran read = run("rollout", "plan", "describe", "--plan-id=p-7", "--orchestrator-url",
                              server->url, "--timeout", timeout, NULL);
        if (change.exit != rows[i].change || read.exit != rows[i].read)
            fail_msg("row %zu: change %d, read %d: %s%s", i, change.exit, read.exit, change.err, read.err);
        if (rows[i].says && !strstr(change.err, rows[i].says))
            fail_msg("row %zu says: %s", i, change.err);
        ran_done(&change);
        ran_done(&read);
        fake_stop(server);
        fake_free(server);
    }
}

/* Goal: a dead node costs one connection attempt: the next one is asked, and nobody hears of it.
 * Method: a port nobody listens on before one that answers. */
static void refused_connection_moves_on(void **state)
{
    static const struct fake_reply reply = {200, "{\"plan_id\":\"p-7\",\"phase\":\"paused\"}", 0};
    char dead[64];
    (void)state;
    fake_dead_url(dead, sizeof dead);
    struct fake_server *server = fake_start(&reply, 1);
    struct ran ran = pause_at(two_urls(dead, server->url));
    assert_int_equal(ran.exit, CLI_DONE);
    assert_string_equal(ran.err, "");
    ran_done(&ran);
    fake_stop(server);
    assert_int_equal(server->request_count, 1);
    fake_free(server);
}

/* Goal: silence past a node's share and a broken connection move on, under the same Idempotency-Key, so that
 * the change can take effect once only. Method: a node that reads and says nothing, one that hangs up, one
 * that answers; the keys are compared. */
static void silence_moves_on_with_the_same_key(void **state)
{
    static const struct fake_reply silent = {0, "", FAKE_SILENT}, gone = {0, "", FAKE_HANG_UP};
    static const struct fake_reply answer = {200, "{\"plan_id\":\"p-7\",\"phase\":\"paused\"}", 0};
    char urls[256], keys[3][128];
    (void)state;
    struct fake_server *servers[] = {fake_start(&silent, 1), fake_start(&gone, 1), fake_start(&answer, 1)};
    snprintf(urls, sizeof urls, "%s,%s,%s", servers[0]->url, servers[1]->url, servers[2]->url);
    struct ran ran = pause_at(urls);
    assert_int_equal(ran.exit, CLI_DONE);
    ran_done(&ran);
    for (size_t i = 0; i < 3; i++) {
        fake_stop(servers[i]);
        assert_int_equal(servers[i]->request_count, 1);
        header(servers[i]->requests[0], "Idempotency-Key", keys[i], sizeof keys[i]);
        assert_int_equal(strlen(keys[i]), 32);
        assert_string_equal(keys[i], keys[0]);
        fake_free(servers[i]);
    }
}

/* Goal: who acts and from where travels with each request, and reads carry no key; an identity that would end
 * its header sends nothing. Method: the captured heads of a change and of a read; a line break in the
 * identity. */
static void identity_and_source_travel_in_headers(void **state)
{
    static const struct fake_reply reply = {200, "{\"phase\":\"paused\"}", 0};
    char value[128];
    (void)state;
    struct fake_server *server = fake_start(&reply, 1);
    struct ran change = run("rollout", "plan", "pause", "--plan-id=p/7", "--reason=why \"so\"",
                            "--request-id=mine", "--operator=bob", "--orchestrator-url", server->url, NULL);
    struct ran read = run("rollout", "plan", "describe", "--plan-id=p", "--consistency=stale",
                          "--orchestrator-url", server->url, NULL);
    struct ran evil = run("rollout", "plan", "pause", "--plan-id=p", "--operator=bob\r\nX-Evil: 1",
                          "--orchestrator-url", server->url, NULL);
    fake_stop(server);
    assert_int_equal(change.exit, CLI_DONE);
    assert_int_equal(read.exit, CLI_DONE);
    assert_int_equal(evil.exit, CLI_USAGE);
    assert_int_equal(server->request_count, 2);
    const char *first = server->requests[0], *second = server->requests[1];
    assert_non_null(strstr(first, "POST /v1/rollouts/p%2F7/pause?timeout="));
    assert_non_null(strstr(first, "{\"reason\":\"why \\\"so\\\"\"}"));
    assert_string_equal(header(first, "X-Autonomy-Operator", value, sizeof value), "bob");
    assert_string_equal(header(first, "X-Autonomy-Source", value, sizeof value), "cli");
    assert_string_equal(header(first, "Idempotency-Key", value, sizeof value), "mine");
    assert_non_null(strstr(second, "GET /v1/rollouts/p?consistency=stale&timeout="));
    assert_string_equal(header(second, "Idempotency-Key", value, sizeof value), "");
    ran_done(&change);
    ran_done(&read);
    ran_done(&evil);
    fake_free(server);
}

/* Goal: an unknown outcome prints the request id and the very command to repeat, which then sends that id.
 * Method: a node that hangs up; the printed line is run against one that answers. */
static void unknown_outcome_prints_the_command_to_repeat(void **state)
{
    static const struct fake_reply replies[] = {{504, "{\"detail\":\"not in time\"}", 0},
                                                {200, "{\"phase\":\"paused\"}", 0}};
    char key[128], value[128], wanted[256];
    (void)state;
    struct fake_server *server = fake_start(&replies[0], 1);
    struct ran ran = run("rollout", "plan", "pause", "--plan-id=p-7", "--reason=it's time",
                         "--orchestrator-url", server->url, "--timeout=1s", NULL);
    fake_stop(server);
    assert_int_equal(ran.exit, CLI_UNKNOWN);
    header(server->requests[0], "Idempotency-Key", key, sizeof key);
    snprintf(wanted, sizeof wanted, "--timeout=1s --request-id %s\n", key);
    assert_non_null(strstr(ran.err, wanted));
    assert_non_null(strstr(ran.err, "autonomy rollout plan pause --plan-id=p-7 '--reason=it'\\''s time'"));
    ran_done(&ran);
    fake_free(server);

    server = fake_start(&replies[1], 1);
    ran = run("rollout", "plan", "pause", "--plan-id=p-7", "--orchestrator-url", server->url, "--request-id",
              key, NULL);
    fake_stop(server);
    assert_int_equal(ran.exit, CLI_DONE);
    assert_string_equal(header(server->requests[0], "Idempotency-Key", value, sizeof value), key);
    ran_done(&ran);
    fake_free(server);
}

/* Goal: 503 means that nothing happened: the command goes round until somebody takes it, within its deadline.
 * Method: one node that refuses three times and then answers. */
static void busy_node_is_asked_again(void **state)
{
    static const struct fake_reply replies[] = {{503, "{\"detail\":\"no leader\"}", 0},
                                                {503, "{\"detail\":\"no leader\"}", 0},
                                                {503, "{\"detail\":\"no leader\"}", 0},
                                                {200, "{\"phase\":\"paused\"}", 0}};
    (void)state;
    struct fake_server *server = fake_start(replies, COUNT(replies));
    struct ran ran = pause_at(server->url);
    fake_stop(server);
    assert_int_equal(ran.exit, CLI_DONE);
    assert_int_equal(server->request_count, 4);
    ran_done(&ran);
    fake_free(server);
}

/* Goal: an outcome that one node left unknown stays unknown when the others only say that nothing happened
 * there. Method: a node that hangs up once, then refuses with 503 for good. */
static void refusal_after_silence_stays_unknown(void **state)
{
    static const struct fake_reply replies[] = {{0, "", FAKE_HANG_UP},
                                                {503, "{\"detail\":\"no leader\"}", 0}};
    (void)state;
    struct fake_server *server = fake_start(replies, COUNT(replies));
    struct ran ran = run("rollout", "plan", "pause", "--plan-id=p-7", "--orchestrator-url", server->url,
                         "--timeout=1s", NULL);
    fake_stop(server);
    assert_int_equal(ran.exit, CLI_UNKNOWN);
    ran_done(&ran);
    fake_free(server);
}

/* Goal: with nobody reachable the exit is 3, at once, and every URL tried is named.
 * Method: two ports nobody listens on. */
static void nobody_reachable_exits_3(void **state)
{
    char first[64], second[64];
    (void)state;
    fake_dead_url(first, sizeof first);
    fake_dead_url(second, sizeof second);
    struct ran ran = pause_at(two_urls(first, second));
    assert_int_equal(ran.exit, CLI_UNREACHABLE);
    assert_non_null(strstr(ran.err, first));
    assert_non_null(strstr(ran.err, second));
    ran_done(&ran);
}

/* --- which URL --- */

/* Goal: --orchestrator-url wins over the environment, the environment over the configuration file.
 * Method: three servers; whoever was asked has a request. */
static void url_order_is_flag_environment_file(void **state)
{
    static const struct fake_reply reply = {200, "{\"phase\":\"active\"}", 0};
    (void)state;
    struct fake_server *servers[] = {fake_start(&reply, 1), fake_start(&reply, 1), fake_start(&reply, 1)};
    struct ran set = run("config", "set", "orchestrator.url", servers[2]->url, NULL);
    assert_int_equal(set.exit, CLI_DONE);
    ran_done(&set);
    struct ran file = run("rollout", "plan", "describe", "--plan-id=file", NULL);
    setenv("AUTONOMY_ORCHESTRATOR_URL", servers[1]->url, 1);
    struct ran environment = run("rollout", "plan", "describe", "--plan-id=environment", NULL);
    struct ran flag =
        run("rollout", "plan", "describe", "--plan-id=flag", "--orchestrator-url", servers[0]->url, NULL);
    unsetenv("AUTONOMY_ORCHESTRATOR_URL");
    static const char *const plans[] = {"rollouts/flag", "rollouts/environment", "rollouts/file"};
    for (size_t i = 0; i < 3; i++) {
        fake_stop(servers[i]);
        assert_int_equal(servers[i]->request_count, 1);
        assert_non_null(strstr(servers[i]->requests[0], plans[i]));
        fake_free(servers[i]);
    }
    assert_int_equal(file.exit | environment.exit | flag.exit, CLI_DONE);
    ran_done(&file);
    ran_done(&environment);
    ran_done(&flag);
}

/* Goal: settings that can't be read are told, not passed over; a request id that is too long is refused, not
 * cut. Method: a damaged file; 129 characters. */
static void unreadable_settings_and_long_ids_are_refused(void **state)
{
    const struct home *home = *state;
    char path[160], id[130];
    snprintf(path, sizeof path, "%s/.config/autonomy/x", home->path);
    for (char *slash = strchr(path + strlen(home->path) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        assert_int_equal(mkdir(path, 0700), 0);
        *slash = '/';
    }
    snprintf(path, sizeof path, "%s/.config/autonomy/config.yaml", home->path);
    write_text(path, "orchestrator: [\n");
    struct ran ran = run("rollout", "plan", "list", NULL);
    assert_int_equal(ran.exit, CLI_USAGE);
    assert_non_null(strstr(ran.err, "config.yaml:"));
    ran_done(&ran);
    memset(id, 'a', 129);
    id[129] = '\0';
    ran = run("rollout", "plan", "pause", "--plan-id=p", "--request-id", id,
              "--orchestrator-url=http://127.0.0.1:1", NULL);
    assert_int_equal(ran.exit, CLI_USAGE);
    assert_non_null(strstr(ran.err, "1 to 128 characters"));
    ran_done(&ran);
}

/* Goal: the fallback list and a comma-separated first URL are one list, in that order, without doubles.
 * Method: the struct itself, with blanks, slashes, a missing scheme and typographic quotes. */
static void lists_are_normalised_and_joined(void **state)
{
    struct arena arena;
    struct client client;
    struct error error = {0};
    (void)state;
    arena_init(&arena, 1u << 20);
    client_init(&client, &arena, 1000);
    assert_int_equal(client_add(&client, " http://n1:7101/ , n2:7102,,http://n1:7101", false, &error),
                     ERROR_OK);
    assert_int_equal(client_add(&client, "https://n3", true, &error), ERROR_OK);
    assert_int_equal(client.url_count, 3);
    assert_string_equal(client.urls[0].url, "http://n1:7101");
    assert_string_equal(client.urls[1].url, "http://n2:7102");
    assert_string_equal(client.urls[2].url, "https://n3");
    assert_true(client.urls[2].remembered);
    static const char *const wrong[] = {"ftp://n1", "http://", "http://a b", "http://n1?x=1"};
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_int_equal(client_add(&client, wrong[i], false, &error), ERROR_INVALID);
    for (int i = 0; i < 40; i++)
        assert_int_equal(client_add(&client, arena_printf(&arena, "http://x%d", i), false, &error), ERROR_OK);
    assert_int_equal(client.url_count, CLIENT_URLS_MAX);
    arena_done(&arena);
}

/* Goal: when the named node is dead, the fallbacks of the environment are asked.
 * Method: a dead flag URL, a living one in AUTONOMY_ORCHESTRATOR_FALLBACK_URLS. */
static void fallback_urls_are_asked(void **state)
{
    static const struct fake_reply reply = {200, "{\"phase\":\"paused\"}", 0};
    char dead[64], list[160];
    (void)state;
    fake_dead_url(dead, sizeof dead);
    struct fake_server *server = fake_start(&reply, 1);
    snprintf(list, sizeof list, "%s,%s", dead, server->url);
    setenv("AUTONOMY_ORCHESTRATOR_FALLBACK_URLS", list, 1);
    struct ran ran = pause_at(dead);
    unsetenv("AUTONOMY_ORCHESTRATOR_FALLBACK_URLS");
    fake_stop(server);
    assert_int_equal(ran.exit, CLI_DONE);
    ran_done(&ran);
    fake_free(server);
}

/* What a member says of the cluster. */
static void status_text(char *out, size_t out_bytes, const char *cluster, const char *other)
{
    snprintf(out, out_bytes,
             "{\"cluster_id\":\"%s\",\"members\":[{\"name\":\"n1\",\"url\":\"http://127.0.0.1:1\"},"
             "{\"name\":\"n2\",\"url\":\"%s\"}]}",
             cluster, other);
}

/* Goal: the members seen last time are asked when every named node is dead, but not when they belong to
 * another cluster by now. Method: the first command sees n1 name n2; n1 dies; n2 answers; then n2 says that
 * it is of another cluster. */
static void members_seen_last_are_asked_if_still_of_this_cluster(void **state)
{
    static const struct fake_reply reply = {200, "{\"phase\":\"paused\"}", 0};
    char url[64], status[512], own[512], foreign[512];
    (void)state;
    struct fake_server *first = fake_start(&reply, 1), *second = fake_start(&reply, 1);
    status_text(status, sizeof status, "aaaa", second->url);
    status_text(own, sizeof own, "aaaa", second->url);
    status_text(foreign, sizeof foreign, "bbbb", second->url);
    first->status_body = status;
    second->status_body = own;
    snprintf(url, sizeof url, "%s", first->url);

    struct ran ran = pause_at(url);
    assert_int_equal(ran.exit, CLI_DONE);
    ran_done(&ran);
    fake_stop(first);
    ran = pause_at(url);
    assert_int_equal(ran.exit, CLI_DONE);
    ran_done(&ran);

    second->status_body = foreign;
    ran = pause_at(url);
    assert_int_equal(ran.exit, CLI_UNREACHABLE);
    ran_done(&ran);
    fake_stop(second);
    assert_int_equal(second->request_count, 1);
    fake_free(first);
    fake_free(second);
}

/* Goal: a damaged cache is a missing cache.
 * Method: files that are no JSON, another shape, too large, and a folder that can't be written. */
static void damaged_cache_changes_nothing(void **state)
{
    static const struct fake_reply reply = {200, "{\"phase\":\"paused\"}", 0};
    static const char *const texts[] = {"{", "[]", "{\"%s\": 7}",
                                        "{\"%s\": {\"cluster_id\": 1, \"urls\": [1, \"::\"]}}"};
    const struct home *home = *state;
    char folder[128], path[160], text[256];
    struct fake_server *server = fake_start(&reply, 1);
    snprintf(folder, sizeof folder, "%s/.cache", home->path);
    assert_int_equal(mkdir(folder, 0700), 0);
    snprintf(folder, sizeof folder, "%s/.cache/autonomy", home->path);
    assert_int_equal(mkdir(folder, 0700), 0);
    snprintf(path, sizeof path, "%s/members", folder);
    for (size_t i = 0; i < COUNT(texts); i++) {
        snprintf(text, sizeof text, texts[i], server->url);
        write_text(path, text);
        struct ran ran = pause_at(server->url);
        assert_int_equal(ran.exit, CLI_DONE);
        ran_done(&ran);
    }
    fake_stop(server);
    fake_free(server);
}

/* Goal: a list is read page by page until there is no cursor, and printed as one plain array.
 * Method: two pages; the second request carries the first one's cursor. */
static void lists_follow_cursors(void **state)
{
    static const struct fake_reply replies[] = {
        {200, "{\"items\":[{\"plan_id\":\"a\",\"phase\":\"active\"}],\"next_cursor\":\"c/1\"}", 0},
        {200, "{\"items\":[{\"plan_id\":\"b\",\"phase\":\"draft\"}],\"next_cursor\":null}", 0}};
    (void)state;
    struct fake_server *server = fake_start(replies, 2);
    struct ran ran = run("rollout", "plan", "list", "--output=json", "--orchestrator-url", server->url, NULL);
    fake_stop(server);
    assert_int_equal(ran.exit, CLI_DONE);
    assert_int_equal(ran.out[0], '[');
    assert_non_null(strstr(ran.out, "\"a\""));
    assert_non_null(strstr(ran.out, "\"b\""));
    assert_int_equal(server->request_count, 2);
    assert_non_null(strstr(server->requests[1], "cursor=c%2F1"));
    ran_done(&ran);
    fake_free(server);
}

/* Goal: a node is told to answer well before the client gives up, and never to wait longer than it may.
 * Method: the deadline that arrives, for one node and several timeouts. */
static void node_answers_before_the_client_gives_up(void **state)
{
    static const struct fake_reply reply = {200, "{\"items\":[],\"next_cursor\":null}", 0};
    static const struct {
        const char *timeout;
        unsigned long at_least_ms, at_most_ms;
    } rows[] = {{"30s", 20000, 29700}, {"4s", 1, 3700}, {"2s", 1, 1750}, {"5m", 60000, 60000}};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fake_server *server = fake_start(&reply, 1);
        struct ran ran =
            run("flags", "list", "--orchestrator-url", server->url, "--timeout", rows[i].timeout, NULL);
        fake_stop(server);
        assert_int_equal(ran.exit, CLI_DONE);
        assert_true(server->request_count >= 1);
        const char *told = strstr(server->requests[0], "timeout=");
        assert_non_null(told);
        assert_in_range(strtoul(told + 8, NULL, 10), rows[i].at_least_ms, rows[i].at_most_ms);
        ran_done(&ran);
        fake_free(server);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_map_to_exit_codes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refused_connection_moves_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(silence_moves_on_with_the_same_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(identity_and_source_travel_in_headers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_outcome_prints_the_command_to_repeat, set_up, tear_down),
        cmocka_unit_test_setup_teardown(busy_node_is_asked_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refusal_after_silence_stays_unknown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_reachable_exits_3, set_up, tear_down),
        cmocka_unit_test_setup_teardown(url_order_is_flag_environment_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unreadable_settings_and_long_ids_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lists_are_normalised_and_joined, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fallback_urls_are_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(members_seen_last_are_asked_if_still_of_this_cluster, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(damaged_cache_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lists_follow_cursors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(node_answers_before_the_client_gives_up, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
