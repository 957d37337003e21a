/* What nodes ask each other: forwarded commands, confirmations, checkpoints and their files; and what one
 * address at a time opens. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/schema.h"
#include "fsm/result.h"
#include "node/http/outcome.h"
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

/* An encoded flags command, as another node forwards it. */
static void encode_flag_set(struct http_fixture *self, const char *request_id, struct bytes *out)
{
    struct error error = {0};
    struct arena arena;
    const struct command_type *type = command_by_name("flag.set");
    arena_init(&arena, 1u << 20);
    void *record = arena_new(&arena, type->schema->bytes);
    json_t *json = json_pack("{s:s, s:s, s:s}", "key", "PROMPT_MODE", "value", "full", "reason", "why");
    assert_int_equal(schema_from_json(type->schema, json, &arena, record, &error), ERROR_OK);
    assert_int_equal(
        command_encode(type, request_id, "oncall", service_wall_ms(self->service), record, out, &error),
        ERROR_OK);
    json_decref(json);
    arena_done(&arena);
}

static struct http_answer post_bytes(struct http_fixture *self, const char *path, const struct bytes *body)
{
    return http_call_bytes(self->port, "POST", path, "Content-Type: application/octet-stream\r\n", body->data,
                           body->length);
}

/* Decodes the answer; the texts and the body live in `arena`. */
static struct outcome decode(const struct http_answer *answer, struct arena *arena)
{
    struct error error = {0};
    struct outcome outcome = {0};
    assert_status(answer, 200);
    assert_string_equal(http_answer_header(answer, "Content-Type"), "application/msgpack");
    if (outcome_decode(span_of(answer->body, answer->body_bytes), arena, &outcome, &error) != ERROR_OK)
        fail_msg("%s", error.message);
    return outcome;
}

/* Goal: a forwarded command is committed under its own request id and principal; its outcome comes back
 * whole, twice. Method: posts the same bytes twice: the second is a repeat with the same answer. */
static void forwarded_command_is_committed_once(void **state)
{
    struct http_fixture *self = *state;
    struct service_fake_seen seen;
    struct arena arena;
    struct bytes command;
    const char *version = NULL;
    arena_init(&arena, 1u << 20);
    bytes_init(&command, 0);
    encode_flag_set(self, "k-9", &command);
    for (int round = 0; round < 2; round++) {
        struct http_answer answer = post_bytes(self, "/v1/internal/change", &command);
        struct outcome outcome = decode(&answer, &arena);
        assert_int_equal(outcome.error, ERROR_OK);
        assert_true(result_succeeded(outcome.code));
        assert_int_equal(outcome.index, 2);
        assert_int_equal(outcome.term, 7);
        assert_int_equal(outcome.audit_seq, 2);
        assert_int_equal(outcome.repeated, round == 1);
        assert_true(value_get_text(outcome.body, "key", &arena, &version));
        assert_string_equal(version, "PROMPT_MODE");
        http_answer_done(&answer);
    }
    service_fake_seen(self->service, &seen);
    assert_true(seen.forwarded);
    assert_int_equal(seen.changes, 2);
    bytes_done(&command);
    arena_done(&arena);
}

/* Goal: errors cross as outcomes, so that the node that asked can tell "not the leader" from "unknown".
 * Method: the fake refuses a change and a confirmation with each. */
static void errors_cross_as_outcomes(void **state)
{
    static const enum error_code codes[] = {ERROR_NOT_LEADER, ERROR_BUSY, ERROR_UNKNOWN, ERROR_NO_SPACE};
    struct http_fixture *self = *state;
    struct arena arena;
    struct bytes command;
    arena_init(&arena, 1u << 20);
    bytes_init(&command, 0);
    encode_flag_set(self, "k-9", &command);
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        service_fake_fail(self->service, codes[i], "n2 leads");
        struct http_answer answer = post_bytes(self, "/v1/internal/change", &command);
        struct outcome outcome = decode(&answer, &arena);
        assert_int_equal(outcome.error, codes[i]);
        assert_string_equal(outcome.message, "n2 leads");
        http_answer_done(&answer);
        answer = http_call(self->port, "POST", "/v1/internal/confirm", NULL, NULL);
        outcome = decode(&answer, &arena);
        assert_int_equal(outcome.error, codes[i]);
        http_answer_done(&answer);
    }
    service_fake_fail(self->service, ERROR_OK, NULL);
    struct http_answer answer = http_call(self->port, "POST", "/v1/internal/confirm", NULL, NULL);
    struct outcome outcome = decode(&answer, &arena);
    assert_int_equal(outcome.error, ERROR_OK);
    assert_int_equal(outcome.index, 1);
    http_answer_done(&answer);
    bytes_done(&command);
    arena_done(&arena);
}

/* Goal: bytes that are no command are refused here: a committed one that nobody understands would stop every
 * node. Method: none, cut and changed bytes, and one past the command's limit. */
static void damaged_commands_are_refused(void **state)
{
    struct http_fixture *self = *state;
    struct service_fake_seen seen;
    struct bytes command;
    bytes_init(&command, 0);
    struct http_answer answer = post_bytes(self, "/v1/internal/change", &command);
    assert_problem(&answer, 400, "malformed");
    encode_flag_set(self, "k-9", &command);
    command.length -= 3;
    answer = post_bytes(self, "/v1/internal/change", &command);
    assert_problem(&answer, 400, "malformed");
    memset(command.data, 0xc1, 4);
    answer = post_bytes(self, "/v1/internal/change", &command);
    assert_problem(&answer, 400, "malformed");
    memset(bytes_extend(&command, COMMAND_BYTES_MAX), 0, COMMAND_BYTES_MAX);
    answer = post_bytes(self, "/v1/internal/change", &command);
    assert_problem_says(&answer, 413, "too_big", "65536");
    service_fake_seen(self->service, &seen);
    assert_int_equal(seen.changes, 0);
    bytes_done(&command);
}

/* Goal: an outcome survives its way, with every field at its bound; what isn't one is refused.
 * Method: encode and decode; then each cut of the bytes. */
static void outcome_survives_its_way(void **state)
{
    (void)state;
    struct error error = {0};
    struct arena arena;
    struct bytes packed, body;
    struct outcome in = {.error = ERROR_COUNT - 1,
                         .code = UINT32_MAX,
                         .index = 1ull << 50,
                         .term = 9,
                         .audit_seq = 77,
                         .repeated = true},
                   out;
    arena_init(&arena, 8u << 20);
    bytes_init(&packed, 0);
    bytes_init(&body, 0);
    memset(bytes_extend(&body, 300000), 0x5a, 300000);
    in.body = bytes_span(&body);
    memset(in.message, 'm', sizeof(in.message) - 1);
    memset(in.leader_url, 'u', sizeof(in.leader_url) - 1);
    outcome_encode(&in, &packed);
    assert_int_equal(outcome_decode(bytes_span(&packed), &arena, &out, &error), ERROR_OK);
    assert_int_equal(out.error, in.error);
    assert_int_equal(out.code, in.code);
    assert_int_equal(out.index, in.index);
    assert_int_equal(out.term, in.term);
    assert_int_equal(out.audit_seq, in.audit_seq);
    assert_true(out.repeated);
    assert_string_equal(out.message, in.message);
    assert_string_equal(out.leader_url, in.leader_url);
    assert_true(span_equal(out.body, in.body));
    for (size_t length = 0; length < packed.length; length += length < 700 ? 1 : 9973)
        assert_int_equal(outcome_decode(span_of(packed.data, length), &arena, &out, &error), ERROR_CORRUPT);
    bytes_done(&packed);
    bytes_done(&body);
    arena_done(&arena);
}

/* Goal: making a checkpoint answers its manifest.
 * Method: the fake's manifest. */
static void checkpoint_answers_its_manifest(void **state)
{
    struct http_fixture *self = *state;
    service_fake_act_answer(self->service, 200, json_pack("{s:s, s:i}", "checkpoint_id", "c1", "index", 9));
    struct http_answer answer = http_call(self->port, "POST", "/v1/internal/checkpoints", NULL, NULL);
    assert_status(&answer, 200);
    assert_string_equal(json_text_at(answer.json, "checkpoint_id"), "c1");
    http_answer_done(&answer);
}

#define FILE_PATH "/v1/internal/checkpoints/c1/files/000001.sst"

static void write_file(struct http_fixture *self, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/file", self->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    service_fake_file(self->service, path);
}

/* Goal: a checkpoint's file is served whole and in ranges, so that a broken transfer goes on where it
 * stopped. Method: ten bytes, asked for in every form of a range; forms that mean nothing give the whole
 * file. */
static void files_are_served_in_ranges(void **state)
{
    static const struct {
        const char *range, *body, *content_range;
        int status;
    } rows[] = {
        {NULL, "0123456789", "", 200},
        {"bytes=0-3", "0123", "bytes 0-3/10", 206},
        {"bytes=4-", "456789", "bytes 4-9/10", 206},
        {"bytes=-3", "789", "bytes 7-9/10", 206},
        {"bytes=-30", "0123456789", "bytes 0-9/10", 206},
        {"bytes=9-99", "9", "bytes 9-9/10", 206},
        {"bytes=5-2", "0123456789", "", 200},
        {"bytes=a-2", "0123456789", "", 200},
        {"bytes=0-1,4-5", "0123456789", "", 200},
        {"lines=1-2", "0123456789", "", 200},
        {"bytes=-", "0123456789", "", 200},
    };
    struct http_fixture *self = *state;
    write_file(self, "0123456789");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char line[64] = "";
        if (rows[i].range != NULL)
            snprintf(line, sizeof(line), "Range: %s\r\n", rows[i].range);
        struct http_answer answer = http_call(self->port, "GET", FILE_PATH, line, NULL);
        assert_status(&answer, rows[i].status);
        assert_string_equal(answer.body, rows[i].body);
        assert_string_equal(http_answer_header(&answer, "Content-Range"), rows[i].content_range);
        assert_string_equal(http_answer_header(&answer, "Accept-Ranges"), "bytes");
        assert_string_equal(http_answer_header(&answer, "Content-Type"), "application/octet-stream");
        http_answer_done(&answer);
    }
    struct http_answer answer = http_call(self->port, "GET", FILE_PATH, "Range: bytes=10-\r\n", NULL);
    assert_string_equal(http_answer_header(&answer, "Content-Range"), "bytes */10");
    assert_problem(&answer, 416, "range_not_satisfiable");
    answer = http_call(self->port, "GET", FILE_PATH, "Range: bytes=-0\r\n", NULL);
    assert_problem(&answer, 416, "range_not_satisfiable");
    write_file(self, "");
    answer = http_call(self->port, "GET", FILE_PATH, NULL, NULL);
    assert_status(&answer, 200);
    assert_int_equal(answer.body_bytes, 0);
    http_answer_done(&answer);
}

/* Goal: only files of the checkpoint are served: no other name, no path out of it, no link, no folder.
 * Method: names the manifest doesn't have; then the known name with a link, a folder and nothing behind it.
 */
static void other_files_are_refused(void **state)
{
    static const char *const names[] = {"000002.sst", "..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", ".."};
    struct http_fixture *self = *state;
    write_file(self, "0123456789");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[128];
        snprintf(path, sizeof(path), "/v1/internal/checkpoints/c1/files/%s", names[i]);
        struct http_answer answer = http_call(self->port, "GET", path, NULL, NULL);
        assert_problem(&answer, 404, "not_found");
    }
    char link[128];
    snprintf(link, sizeof(link), "%s/link", self->folder);
    assert_int_equal(symlink("/etc/passwd", link), 0);
    const char *const behind[] = {link, self->folder, "/nonexistent"};
    for (size_t i = 0; i < sizeof(behind) / sizeof(behind[0]); i++) {
        service_fake_file(self->service, behind[i]);
        struct http_answer answer = http_call(self->port, "GET", FILE_PATH, NULL, NULL);
        assert_problem(&answer, 404, "not_found");
    }
}

/* Goal: a large file arrives whole.
 * Method: 20 MiB of a pattern, compared byte by byte. */
static void large_file_arrives_whole(void **state)
{
    struct http_fixture *self = *state;
    const size_t length = 20u << 20;
    char path[128];
    char *data = memory_new(length);
    for (size_t i = 0; i < length; i++)
        data[i] = (char)(i * 31 + (i >> 12));
    snprintf(path, sizeof(path), "%s/file", self->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, length, file), length);
    fclose(file);
    service_fake_file(self->service, path);
    struct http_answer answer = http_call(self->port, "GET", FILE_PATH, NULL, NULL);
    assert_status(&answer, 200);
    assert_int_equal(answer.body_bytes, length);
    assert_memory_equal(answer.body, data, length);
    http_answer_done(&answer);
    free(data);
}

/* Goal: a port in use is said so, with the address; a bad address too. Nothing is left open.
 * Method: opens a second server on the first one's port; then addresses of no form. */
static void port_in_use_and_bad_addresses(void **state)
{
    static const char *const bad[] = {"",
                                      "7101",
                                      ":7101",
                                      "127.0.0.1:",
                                      "127.0.0.1:port",

                                      "127.0.0.1:99999",
                                      "192.0.2.1:7101",
                                      "no.such.host.invalid:7101"};
    struct http_fixture *self = *state;
    struct http_server *server = NULL;
    struct error error = {0};
    char address[64];
    snprintf(address, sizeof(address), "127.0.0.1:%u", self->port);
    struct http_options options = {.service = self->service, .listen_address = address};
    assert_int_equal(http_server_open(&options, &server, &error), ERROR_LOCKED);
    assert_non_null(strstr(error.message, address));
    assert_null(server);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        options.listen_address = bad[i];
        enum error_code code = http_server_open(&options, &server, &error);
        assert_true(code == ERROR_INVALID || code == ERROR_IO);
        assert_null(server);
    }
}

/* Goal: an IPv6 address in brackets works.
 * Method: opens on [::1] and asks; skipped in silence never: without IPv6 the open must say so. */
static void brackets_are_ipv6(void **state)
{
    struct http_fixture *self = *state;
    struct http_server *server = NULL;
    struct error error = {0};
    struct http_options options = {.service = self->service, .listen_address = "[::1]:0"};
    enum error_code code = http_server_open(&options, &server, &error);
    if (code != ERROR_OK) {
        assert_int_equal(code, ERROR_IO);
        assert_non_null(strstr(error.message, "[::1]:0"));
        return;
    }
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(http_server_port(server))};
    at.sin6_addr = in6addr_loopback;
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_true(http_send_text(fd, "GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n"));
    struct http_answer answer = http_receive(fd);
    assert_status(&answer, 200);
    http_answer_done(&answer);
    close(fd);
    http_server_close(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(forwarded_command_is_committed_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(errors_cross_as_outcomes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_commands_are_refused, set_up, tear_down),
        cmocka_unit_test(outcome_survives_its_way),
        cmocka_unit_test_setup_teardown(checkpoint_answers_its_manifest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_are_served_in_ranges, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_files_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_file_arrives_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(port_in_use_and_bad_addresses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(brackets_are_ipv6, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
