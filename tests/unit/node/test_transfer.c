/* Fetching the state from another node: verified file by file, resumed by range, nothing believed. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>
#include <uv.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/disk.h"
#include "base/hash.h"
#include "base/kv.h"
#include "fsm/fsm.h"
#include "node/transfer.h"
#include "support/canned.h"

#define CLUSTER "0123456789abcdef0123456789abcdef"

enum fault { FAULT_NONE, FAULT_CUT, FAULT_FLIP_ONCE, FAULT_FLIP_ALWAYS, FAULT_NO_RANGES, FAULT_GONE };

struct fixture {
    char folder[64], source[96], target[96];
    uv_loop_t loop;
    struct transfer *transfer;
    struct canned *server;
    json_t *manifest;
    enum fault fault;
    const char *victim; /* the file that the fault hits */
    unsigned hits, ranged;
    bool done;
    struct machine_state state;
    struct error error;
};

/* --- a source: a real store's files behind a server that can misbehave
 * ------------------------------------------------------- */

static char *file_read(const char *folder, const char *name, size_t *bytes)
{
    char path[256];
    struct stat about;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &about), 0);
    char *data = memory_new((size_t)about.st_size + 1);
    *bytes = fread(data, 1, (size_t)about.st_size, file);
    fclose(file);
    return data;
}

static void serve_file(struct fixture *fixture, const char *request, const char *name, int socket)
{
    size_t bytes = 0, from = 0;
    char *data = file_read(fixture->source, name, &bytes), header[96] = "";
    const char *range = strstr(request, "Range: bytes=");
    bool hit = fixture->victim && strcmp(fixture->victim, name) == 0;
    unsigned status = 200;
    if (range && !(hit && fixture->fault == FAULT_NO_RANGES)) {
        from = strtoul(range + 13, NULL, 10);
        status = 206;
        fixture->ranged++;
        snprintf(header, sizeof header, "Content-Range: bytes %zu-%zu/%zu\r\n", from, bytes - 1, bytes);
    }
    fixture->hits += hit;
    bool flip = hit && (fixture->fault == FAULT_FLIP_ALWAYS ||
                        (fixture->fault == FAULT_FLIP_ONCE && fixture->hits == 1));
    if (flip)
        data[from] = (char)(data[from] ^ 1);
    if (hit && (fixture->fault == FAULT_CUT || fixture->fault == FAULT_NO_RANGES) && fixture->hits == 1) {
        char head[256]; /* announces all, sends half, closes */
        int length = snprintf(head, sizeof head, "HTTP/1.1 200 X\r\nContent-Length: %zu\r\n\r\n", bytes);
        (void)!write(socket, head, (size_t)length);
        (void)!write(socket, data, bytes / 2);
    } else if (hit && fixture->fault == FAULT_GONE) {
        canned_reply(socket, 404, "", "{}", 2);
    } else {
        canned_reply(socket, status, header, data + from, bytes - from);
    }
    free(data);
}

static void serve(void *context, unsigned number, const char *request, int socket)
{
    struct fixture *fixture = context;
    char name[128] = "";
    (void)number;
    if (strncmp(request, "POST /v1/internal/checkpoints ", 30) == 0) {
        char *text = json_dumps(fixture->manifest, 0);
        canned_reply(socket, 201, "", text, strlen(text));
        free(text);
    } else if (sscanf(request, "GET /v1/internal/checkpoints/c1/files/%127s", name) == 1) {
        serve_file(fixture, request, name, socket);
    } else {
        canned_reply(socket, 404, "", "{}", 2);
    }
}

static void list_file(void *context, const char *name)
{
    struct fixture *fixture = context;
    size_t bytes = 0;
    uint8_t digest[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    if (strcmp(name, "LOCK") == 0 || strncmp(name, "LOG", 3) == 0)
        return;
    char *data = file_read(fixture->source, name, &bytes);
    hash_once(data, bytes, digest);
    hex_encode(digest, DIGEST_BYTES, hex);
    free(data);
    json_array_append_new(
        json_object_get(fixture->manifest, "files"),
        json_pack("{s:s, s:I, s:s}", "name", name, "bytes", (json_int_t)bytes, "sha256", hex));
}

/** A store with a few applied barriers, closed; its files are what the server gives. */
static void make_source(struct fixture *fixture)
{
    struct fsm *fsm = NULL;
    struct fsm_state state;
    struct error error = {0};
    struct result results[1];
    char digest[2 * DIGEST_BYTES + 1];
    assert_int_equal(fsm_open(fixture->source, true, &fsm, &error), ERROR_OK);
    assert_int_equal(fsm_identify(fsm, CLUSTER, 1, &error), ERROR_OK);
    for (uint64_t index = 1; index <= 5; index++) {
        struct entry entry = {.index = index, .term = 1, .type = ENTRY_BARRIER};
        assert_int_equal(fsm_apply(fsm, &entry, 1, results, &error), ERROR_OK);
    }
    assert_int_equal(fsm_flush(fsm, &error), ERROR_OK);
    fsm_describe(fsm, &state);
    hex_encode(state.digest, DIGEST_BYTES, digest);
    fsm_close(fsm);
    fixture->manifest =
        json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:s, s:s, s:i, s:[]}", "checkpoint_id", "c1", "cluster_id",
                  CLUSTER, "generation", 1, "index", 5, "term", 1, "configuration_index", 0, "configuration",
                  "", "digest", digest, "schema", (int)FSM_SCHEMA, "files");
    assert_non_null(fixture->manifest);
    assert_int_equal(disk_list(fixture->source, list_file, fixture, &error), ERROR_OK);
    assert_true(json_array_size(json_object_get(fixture->manifest, "files")) >= 3);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error error = {0};
    (void)signal(SIGPIPE, SIG_IGN);
    snprintf(fixture->folder, sizeof fixture->folder, "/tmp/autonomy-transfer-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->source, sizeof fixture->source, "%s/source", fixture->folder);
    snprintf(fixture->target, sizeof fixture->target, "%s/state.1", fixture->folder);
    make_source(fixture);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    assert_int_equal(transfer_open(&fixture->loop, &fixture->transfer, &error), ERROR_OK);
    fixture->server = canned_open(serve, fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    transfer_close(fixture->transfer);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    canned_close(fixture->server);
    json_decref(fixture->manifest);
    assert_int_equal(disk_remove(fixture->folder, &error), ERROR_OK);
    free(fixture);
    return 0;
}

static void on_done(void *context, const struct machine_state *state, const struct error *error)
{
    struct fixture *fixture = context;
    fixture->done = true;
    fixture->error = error ? *error : (struct error){0};
    if (state)
        fixture->state = *state;
}

/** @return the error's code */
static enum error_code fetch(struct fixture *fixture, uint64_t index_min, const char *first_source)
{
    struct transfer_request request = {
        .folder = fixture->target,
        .index_min = index_min,
        .cluster_id = CLUSTER,
        .generation = 1,
        .sources = {first_source ? first_source : canned_url(fixture->server), canned_url(fixture->server)},
        .source_count = first_source ? 2 : 1,
        .done = on_done,
        .context = fixture};
    fixture->done = false;
    transfer_fetch(fixture->transfer, &request);
    assert_false(fixture->done); /* never inside the call */
    while (!fixture->done)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    return fixture->error.code;
}

static const char *some_file(struct fixture *fixture, const char *prefix)
{
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(fixture->manifest, "files"), i, row)
    {
        const char *name = json_string_value(json_object_get(row, "name"));
        if (strncmp(name, prefix, strlen(prefix)) == 0)
            return name;
    }
    fail_msg("no file begins with %s", prefix);
    return NULL;
}

/* --- tests
 * ------------------------------------------------------------------------------------------------------------------------
 */

/* Goal: a whole transfer ends with a store, open, that says what the manifest says; a dead first source costs
 * one attempt only. Method: a good server behind an address where nobody listens. */
static void whole_store_arrives(void **state)
{
    struct fixture *fixture = *state;
    struct fsm *fsm = NULL;
    struct error error = {0};
    assert_int_equal(fetch(fixture, 5, "http://127.0.0.1:1"), ERROR_OK);
    assert_int_equal(fixture->state.index, 5);
    assert_string_equal(fixture->state.cluster_id, CLUSTER);
    assert_null(transfer_take(fixture->transfer, fixture->source));
    fsm = transfer_take(fixture->transfer, fixture->target);
    assert_non_null(fsm);
    assert_null(transfer_take(fixture->transfer, fixture->target));
    struct fsm_state said;
    fsm_describe(fsm, &said);
    assert_int_equal(said.index, 5);
    fsm_close(fsm);
    assert_int_equal(fsm_open(fixture->target, false, &fsm, &error), ERROR_OK);
    fsm_close(fsm);
}

/* Goal: a source that stands still is left for the next one, long before a checkpoint that takes its time
 * would be given up. Method: a first source whose kernel takes connections and whose process answers none. */
static void silent_source_is_left(void **state)
{
    struct fixture *fixture = *state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    char url[64];
    int silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(silent, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(listen(silent, 16), 0);
    assert_int_equal(getsockname(silent, (struct sockaddr *)&address, &bytes), 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%u", ntohs(address.sin_port));
    uint64_t began = uv_hrtime();
    assert_int_equal(fetch(fixture, 5, url), ERROR_OK);
    assert_true((uv_hrtime() - began) / 1000000000u < 30); /* a slow checkpoint is given 60 */
    assert_int_equal(fixture->state.index, 5);
    close(silent);
}

/* Goal: a connection that breaks in the middle of a file goes on by range, and what is there already is not
 * fetched again. Method: the server cuts one file in half the first time. */
static void broken_file_is_resumed_by_range(void **state)
{
    struct fixture *fixture = *state;
    fixture->fault = FAULT_CUT;
    fixture->victim = some_file(fixture, "MANIFEST");
    assert_int_equal(fetch(fixture, 1, NULL), ERROR_OK);
    assert_int_equal(fixture->hits, 2);
    assert_int_equal(fixture->ranged, 1);
}

/* Goal: a source that knows no ranges is asked for the whole file again.
 * Method: cut once, and answer the range with everything and status 200. */
static void source_without_ranges_still_works(void **state)
{
    struct fixture *fixture = *state;
    fixture->fault = FAULT_NO_RANGES;
    fixture->victim = some_file(fixture, "MANIFEST");
    assert_int_equal(fetch(fixture, 1, NULL), ERROR_OK);
    assert_int_equal(fixture->hits, 2);
}

/* Goal: a flipped bit never gets into a store: fetched again when it comes once, an error when it stays.
 * Method: one bit of one file, once and then always. */
static void flipped_bit_is_noticed(void **state)
{
    struct fixture *fixture = *state;
    fixture->fault = FAULT_FLIP_ONCE;
    fixture->victim = some_file(fixture, "CURRENT");
    assert_int_equal(fetch(fixture, 1, NULL), ERROR_OK);
    assert_int_equal(fixture->hits, 2);

    fixture->fault = FAULT_FLIP_ALWAYS;
    struct error error = {0};
    assert_int_equal(disk_remove(fixture->target, &error), ERROR_OK);
    assert_int_equal(fetch(fixture, 1, NULL), ERROR_CORRUPT);
    assert_non_null(strstr(fixture->error.message, fixture->victim));
}

/* Goal: files of an earlier attempt that are right are kept, those that don't belong there go.
 * Method: fetch, add a stray file, fetch again and count the requests. */
static void earlier_attempt_is_used_and_cleaned(void **state)
{
    struct fixture *fixture = *state;
    char stray[128];
    assert_int_equal(fetch(fixture, 1, NULL), ERROR_OK);
    unsigned before = canned_requests(fixture->server);
    snprintf(stray, sizeof stray, "%s/000999.sst", fixture->target);
    FILE *file = fopen(stray, "w");
    fputs("stray", file);
    fclose(file);
    assert_int_equal(fetch(fixture, 1, NULL), ERROR_OK);
    assert_false(disk_exists(stray));
    unsigned again = canned_requests(fixture->server) - before,
             files = (unsigned)json_array_size(json_object_get(fixture->manifest, "files"));
    assert_true(again < 1 + files); /* the manifest, and what opening the store had changed */
}

/* Goal: a checkpoint that vanished is an error that names the file, and ends.
 * Method: 404 for one file. */
static void vanished_file_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    fixture->fault = FAULT_GONE;
    fixture->victim = some_file(fixture, "CURRENT");
    assert_int_equal(fetch(fixture, 1, NULL), ERROR_UNAVAILABLE);
    assert_non_null(strstr(fixture->error.message, "CURRENT"));
}

static enum error_code fetch_with(struct fixture *fixture, const char *key, json_t *value)
{
    json_t *kept = json_incref(json_object_get(fixture->manifest, key));
    json_object_set_new(fixture->manifest, key, value);
    enum error_code code = fetch(fixture, 1, NULL);
    json_object_set_new(fixture->manifest, key, kept);
    return code;
}

/* Goal: a manifest is input: another cluster, generation, schema, digest, an old index, a path instead of a
 * name are refused. Method: one change each. */
static void manifest_is_not_believed(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(fetch_with(fixture, "cluster_id", json_string("ffffffffffffffffffffffffffffffff")),
                     ERROR_CONFLICT);
    assert_int_equal(fetch_with(fixture, "generation", json_integer(2)), ERROR_CONFLICT);
    assert_int_equal(fetch_with(fixture, "schema", json_integer(FSM_SCHEMA + 1)), ERROR_CONFLICT);
    assert_int_equal(fetch_with(fixture, "index", json_integer(4)), ERROR_CORRUPT);
    assert_int_equal(fetch_with(fixture, "digest", json_string("00")), ERROR_CORRUPT);
    assert_int_equal(fetch_with(fixture, "checkpoint_id", json_string("../c1")), ERROR_CORRUPT);
    assert_int_equal(fetch_with(fixture, "files", json_integer(1)), ERROR_CORRUPT);
    static const char *const names[] = {"../evil", "a/b", "", ".hidden"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        json_t *files = json_deep_copy(json_object_get(fixture->manifest, "files"));
        json_array_append_new(files,
                              json_pack("{s:s, s:i, s:s}", "name", names[i], "bytes", 0, "sha256",
                                        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
        assert_int_equal(fetch_with(fixture, "files", files), ERROR_CORRUPT);
    }
    assert_int_equal(fetch(fixture, 6, NULL), ERROR_CONFLICT); /* it doesn't reach far enough */
    assert_int_equal(fetch(fixture, 5, NULL), ERROR_OK);
}

static void flip_middle(const char *path)
{
    struct stat about;
    uint8_t byte;
    int file = open(path, O_RDWR | O_CLOEXEC);
    assert_true(file >= 0 && fstat(file, &about) == 0);
    assert_int_equal(pread(file, &byte, 1, about.st_size / 2), 1);
    byte ^= 4;
    assert_int_equal(pwrite(file, &byte, 1, about.st_size / 2), 1);
    close(file);
}

static void flip_big_table(void *context, const char *name)
{
    struct fixture *fixture = context;
    size_t length = strlen(name), bytes = 0;
    char path[256];
    snprintf(path, sizeof path, "%s/%s", fixture->source, name);
    if (length < 4 || strcmp(name + length - 4, ".sst") != 0)
        return;
    free(file_read(fixture->source, name, &bytes));
    if (bytes < 30000)
        return;
    flip_middle(path);
    fixture->hits++;
}

/* Goal: what is damaged on the source's own disk does not come along: the hashes of its files agree. (The
 * simulator's seed 1455.)
 * Method: a bit flipped in a value that opening the store doesn't read, before the manifest is made. */
static void damage_of_the_source_is_noticed(void **state)
{
    struct fixture *fixture = *state;
    struct kv_options options = {0};
    struct kv *kv = NULL;
    struct error error = {0};
    static const char zeros[40000];
    assert_int_equal(kv_open(fixture->source, &options, &kv, &error), ERROR_OK);
    struct kv_batch *batch = kv_batch_new();
    kv_batch_put(batch, span_text("z"), span_of(zeros, sizeof zeros));
    assert_int_equal(kv_write(kv, batch, (struct kv_write_options){0}, &error), ERROR_OK);
    kv_batch_free(batch);
    assert_int_equal(kv_flush(kv, &error), ERROR_OK);
    kv_close(kv);
    fixture->hits = 0;
    assert_int_equal(disk_list(fixture->source, flip_big_table, fixture, &error), ERROR_OK);
    assert_int_equal(fixture->hits, 1);
    json_array_clear(json_object_get(fixture->manifest, "files"));
    assert_int_equal(disk_list(fixture->source, list_file, fixture, &error), ERROR_OK);

    assert_int_equal(fetch(fixture, 1, NULL), ERROR_CORRUPT);
    assert_non_null(strstr(fixture->error.message, "the source's store is damaged"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whole_store_arrives, set_up, tear_down),
        cmocka_unit_test_setup_teardown(silent_source_is_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(broken_file_is_resumed_by_range, set_up, tear_down),
        cmocka_unit_test_setup_teardown(source_without_ranges_still_works, set_up, tear_down),
        cmocka_unit_test_setup_teardown(flipped_bit_is_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(earlier_attempt_is_used_and_cleaned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(vanished_file_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(manifest_is_not_believed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_of_the_source_is_noticed, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
