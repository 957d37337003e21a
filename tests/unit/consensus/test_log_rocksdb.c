/* The log on a real disk, thread and RocksDB: processes that are killed, and a disk that fills up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "base/check.h"
#include "base/disk.h"
#include "consensus/log.h"
#include "support/small_disk.h"

#define GROUP       8u
#define ENTRY_BYTES 300u

struct node {
    uv_loop_t loop;
    struct worker *worker;
    struct log *log;
    struct error error;
    uint64_t groups_left;
    uint64_t term;
    int report; /* where the durable index is told; -1: nowhere */
    bool stop_when_synced;
};

/* Any reader can tell what entry `index` of term `term` must hold. */
static void fill(uint8_t *data, uint64_t index, uint64_t term)
{
    for (size_t i = 0; i < ENTRY_BYTES; i++)
        data[i] = (uint8_t)(index * 31 + term * 7 + i);
}

static void append_group(struct node *node)
{
    struct entry entries[GROUP];
    uint8_t data[GROUP][ENTRY_BYTES];
    uint64_t from = log_last_index(node->log) + 1;
    for (uint32_t i = 0; i < GROUP; i++) {
        fill(data[i], from + i, node->term);
        entries[i] = (struct entry){.index = from + i,
                                    .term = node->term,
                                    .type = ENTRY_COMMAND,
                                    .data = span_of(data[i], ENTRY_BYTES)};
    }
    log_append(node->log, entries, GROUP);
}

static void on_synced(void *context, uint64_t operation)
{
    struct node *node = context;
    uint64_t durable = log_durable_index(node->log);
    (void)operation;
    if (node->report >= 0)
        CHECK(write(node->report, &durable, sizeof(durable)) == (ssize_t)sizeof(durable), "nobody listens");
    for (int i = 0; i < 3 && node->groups_left > 0; i++, node->groups_left--)
        append_group(node);
}

static void on_failed(void *context, const struct error *error)
{
    (void)context;
    fprintf(stderr, "failed: %s\n", error->message);
    _exit(1);
}

static enum error_code node_open(struct node *node, const char *folder, uint64_t reserve_bytes)
{
    CHECK(uv_loop_init(&node->loop) == 0, "no loop");
    CHECK(worker_open(&node->loop, "log", &node->worker, &node->error) == ERROR_OK, "%s",
          node->error.message);
    struct log_options options = {.folder = folder,
                                  .worker = node->worker,
                                  .clock = clock_system(),
                                  .reserve_bytes = reserve_bytes,
                                  .on_synced = on_synced,
                                  .on_failed = on_failed,
                                  .context = node};
    return log_open(&options, &node->log, &node->error);
}

static void node_close(struct node *node)
{
    log_close(node->log);
    worker_close(node->worker);
    uv_run(&node->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&node->loop) == 0, "a handle is left");
}

/* Appends without end and tells what is durable, until it is killed. */
static int writer_main(const char *folder)
{
    struct node node = {.groups_left = UINT64_MAX, .report = STDOUT_FILENO};
    if (node_open(&node, folder, 0) != ERROR_OK) {
        fprintf(stderr, "%s\n", node.error.message);
        return 1;
    }
    node.term = log_term(node.log) + 1;
    if (log_vote_write(node.log, node.term, 1, &node.error) != ERROR_OK)
        return 1;
    append_group(&node);
    uv_run(&node.loop, UV_RUN_DEFAULT);
    return 1;
}

/* Two groups, the second one marked, then the end. */
static int marker_main(const char *folder)
{
    struct node node = {.report = -1, .term = 1};
    CHECK(node_open(&node, folder, 0) == ERROR_OK, "%s", node.error.message);
    CHECK(log_vote_write(node.log, 1, 1, &node.error) == ERROR_OK, "%s", node.error.message);
    append_group(&node);
    worker_drain(node.worker);
    append_group(&node);
    worker_drain(node.worker);
    log_mark(node.log, 2 * GROUP, 1);
    worker_drain(node.worker);
    kill(getpid(), SIGKILL);
    return 1;
}

static pid_t start(const char *role, const char *folder, int *reading)
{
    int ends[2];
    CHECK(pipe(ends) == 0, "no pipe");
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl("/proc/self/exe", "test_log_rocksdb", role, folder, (char *)NULL);
        _exit(1);
    }
    close(ends[1]);
    *reading = ends[0];
    return child;
}

static void assert_entries(struct log *log, uint64_t *terms)
{
    uint8_t expected[ENTRY_BYTES];
    struct error error;
    for (uint64_t index = log_first_index(log); index <= log_last_index(log);) {
        struct entry *entries;
        uint32_t count;
        assert_int_equal(log_read(log, index, 1000, &entries, &count, &error), ERROR_OK);
        for (uint32_t i = 0; i < count; i++) {
            if (terms && terms[index + i])
                assert_int_equal(entries[i].term, terms[index + i]);
            fill(expected, entries[i].index, entries[i].term);
            assert_int_equal(entries[i].data.bytes, ENTRY_BYTES);
            assert_memory_equal(entries[i].data.data, expected, ENTRY_BYTES);
        }
        index += count;
        log_entries_free(entries, count);
    }
}

static int set_up(void **state)
{
    char *root = strdup("/tmp/test_log_rocksdb.XXXXXX");
    *state = root;
    return root && mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state)
{
    struct error error;
    int rc = (int)disk_remove(*state, &error);
    free(*state);
    return rc;
}

/* Runs a writer in this folder until it has reported some 40 times, then kills it. @return the last index it
 * reported */
static uint64_t run_and_kill(const char *folder)
{
    int reading, status;
    uint64_t durable = 0, told;
    pid_t child = start("writer", folder, &reading);
    for (int reports = 0; reports < 40; reports++) {
        if (read(reading, &told, sizeof(told)) != (ssize_t)sizeof(told))
            break;
        assert_true(told >= durable);
        durable = told;
    }
    kill(child, SIGKILL);
    while (read(reading, &told, sizeof(told)) == (ssize_t)sizeof(told))
        durable = told; /* reported before it died */
    close(reading);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    return durable;
}

/* Goal: every operation that was reported as synced is there after kill -9, whole.
 * Method: a writer with real threads is killed after 40 reports, six times over on one folder; each time the
 * log is opened and every entry compared. */
static void killed_writer_loses_nothing_it_reported(void **state)
{
    char folder[128];
    snprintf(folder, sizeof(folder), "%s/log", (char *)*state);
    uint64_t last_before = 0;
    for (int round = 0; round < 6; round++) {
        uint64_t durable = run_and_kill(folder);
        struct node node = {.report = -1};
        if (node_open(&node, folder, 0) != ERROR_OK)
            fail_msg("%s", node.error.message);
        assert_true(durable > last_before);
        assert_true(log_last_index(node.log) >= durable);
        assert_int_equal(log_durable_index(node.log), log_last_index(node.log));
        assert_int_equal(log_term(node.log), round + 1);
        assert_int_equal(log_vote(node.log), 1);
        assert_entries(node.log, NULL);
        last_before = log_last_index(node.log);
        log_mark(node.log, durable, log_term_of(node.log, durable));
        node_close(&node);
    }
}

static char wal_path[512];
static void find_wal(void *context, const char *name)
{
    char path[512];
    struct stat status;
    const char *dot = strchr(name, '.');
    snprintf(path, sizeof(path), "%s/%s", (const char *)context, name);
    if (dot && strcmp(dot, ".log") == 0 && stat(path, &status) == 0 && status.st_size > 0 &&
        strcmp(path, wal_path) > 0)
        snprintf(wal_path, sizeof(wal_path), "%s", path);
}

/* The newest write-ahead log, opened, and its size. */
static int open_wal(const char *folder, off_t *bytes)
{
    struct stat status;
    struct error error;
    wal_path[0] = '\0';
    assert_int_equal(disk_list(folder, find_wal, (void *)(uintptr_t)folder, &error), ERROR_OK);
    int fd = open(wal_path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &status) == 0 && status.st_size > 1000);
    *bytes = status.st_size;
    return fd;
}

static void flip(int fd, off_t at)
{
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 16;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

/* The same for a block of zeros, which RocksDB's reader skips in silence. */
static void assert_refused_while_blank(int fd, const char *folder, off_t bytes)
{
    uint8_t kept[8192], zeros[8192] = {0};
    struct node node = {.report = -1};
    off_t at = bytes / 2;
    assert_int_equal(pread(fd, kept, sizeof(kept), at), (ssize_t)sizeof(kept));
    assert_int_equal(pwrite(fd, zeros, sizeof(zeros), at), (ssize_t)sizeof(zeros));
    assert_int_equal(node_open(&node, folder, 0), ERROR_CORRUPT);
    node_close(&node);
    assert_int_equal(pwrite(fd, kept, sizeof(kept), at), (ssize_t)sizeof(kept));
}

/* Goal: a flipped bit in the middle of the write-ahead log refuses the start, and stays refused: RocksDB
 * alone would open what comes before it and forget the rest. Method: flip at several places of a killed
 * writer's log, open twice, flip back; at the end it opens whole. */
static void damage_within_the_write_ahead_log_refuses(void **state)
{
    char folder[128];
    off_t bytes;
    snprintf(folder, sizeof(folder), "%s/log", (char *)*state);
    uint64_t durable = run_and_kill(folder);
    int fd = open_wal(folder, &bytes);
    for (int part = 1; part <= 5; part++) {
        off_t at = bytes * part / 7;
        flip(fd, at);
        for (int round = 0; round < 2; round++) {
            struct node node = {.report = -1};
            assert_int_equal(node_open(&node, folder, 0), ERROR_CORRUPT);
            assert_non_null(strstr(node.error.message, ".damaged-$(date +%s)"));
            node_close(&node);
        }
        flip(fd, at);
    }
    assert_refused_while_blank(fd, folder, bytes);
    close(fd);
    struct node node = {.report = -1};
    if (node_open(&node, folder, 0) != ERROR_OK)
        fail_msg("%s", node.error.message);
    assert_true(log_last_index(node.log) >= durable);
    node_close(&node);
}

static void tear_by_cutting(int fd, off_t bytes)
{
    assert_int_equal(ftruncate(fd, bytes - 40), 0);
}

static void tear_by_flipping(int fd, off_t bytes)
{
    flip(fd, bytes - 40);
}

static void tear_by_zeros(int fd, off_t bytes)
{
    static const uint8_t zeros[200];
    assert_int_equal(pwrite(fd, zeros, sizeof(zeros), bytes - (off_t)sizeof(zeros)), (ssize_t)sizeof(zeros));
}

/* Goal: a torn end, which is what a power cut leaves of a write that nobody reported, costs that write only;
 * but when the mark says that it was committed, there is no start. Method: cut, damage or blank the last
 * record of a killed writer's log, whose mark is old; then again with a new mark. */
static void torn_end_costs_the_last_write_only(void **state)
{
    static void (*const tears[])(int fd, off_t bytes) = {tear_by_cutting, tear_by_flipping, tear_by_zeros};
    for (size_t i = 0; i < sizeof(tears) / sizeof(tears[0]); i++) {
        char folder[128], root[96];
        off_t bytes;
        struct error error;
        snprintf(root, sizeof(root), "%s/%zu", (char *)*state, i);
        snprintf(folder, sizeof(folder), "%s/log", root);
        assert_int_equal(disk_folder_make(root, &error), ERROR_OK);
        uint64_t durable = run_and_kill(folder);
        int fd = open_wal(folder, &bytes);
        tears[i](fd, bytes);
        close(fd);
        struct node node = {.report = -1};
        if (node_open(&node, folder, 0) != ERROR_OK)
            fail_msg("tear %zu: %s", i, node.error.message);
        uint64_t last = log_last_index(node.log);
        assert_in_range(last, durable - 4 * GROUP, durable + 8 * GROUP);
        assert_int_equal(last % GROUP, 0); /* whole groups */
        assert_entries(node.log, NULL);
        log_mark(node.log, last, log_term_of(node.log, last));
        node_close(&node);
    }
}

/* Goal: what the mark covers can't be torn away in silence.
 * Method: a child appends one group, marks it and is killed; the end of its log is cut. */
static void torn_end_under_the_mark_refuses(void **state)
{
    char folder[128];
    off_t bytes;
    int reading, status;
    struct node node = {.report = -1};
    snprintf(folder, sizeof(folder), "%s/log", (char *)*state);
    pid_t child = start("marker", folder, &reading);
    assert_int_equal(waitpid(child, &status, 0), child);
    close(reading);
    assert_true(WIFSIGNALED(status));
    int fd = open_wal(folder, &bytes);
    tear_by_cutting(fd, bytes);
    close(fd);
    assert_int_equal(node_open(&node, folder, 0), ERROR_CORRUPT);
    assert_non_null(strstr(node.error.message, "before its mark: 16 was committed"));
    node_close(&node);
}

/* Goal: truncations, snapshots and installs are the same on the real store as in memory.
 * Method: one of each, reopened after each. */
static void all_operations_survive_reopening(void **state)
{
    char folder[128];
    struct error error;
    static uint64_t terms[200];
    snprintf(folder, sizeof(folder), "%s/log", (char *)*state);
    memset(terms, 0, sizeof(terms));
    for (int round = 0; round < 4; round++) {
        struct node node = {.report = -1, .term = 2};
        struct log_snapshot snapshot = {.index = 30, .term = 1, .configuration_index = 1};
        if (node_open(&node, folder, 1u << 20) != ERROR_OK)
            fail_msg("%s", node.error.message);
        if (round == 0) {
            node.term = 1;
            assert_int_equal(log_vote_write(node.log, 2, 0, &error), ERROR_OK);
            for (int i = 0; i < 10; i++)
                append_group(&node);
        } else if (round == 1) { /* 41 alone in term 2 instead of 41..80 */
            uint8_t data[ENTRY_BYTES];
            fill(data, 41, 2);
            struct entry entry = {
                .index = 41, .term = 2, .type = ENTRY_COMMAND, .data = span_of(data, sizeof(data))};
            assert_int_equal(log_last_index(node.log), 80);
            log_append(node.log, &entry, 1);
            terms[40] = 1;
            terms[41] = 2;
        } else if (round == 2) {
            assert_int_equal(log_last_index(node.log), 41);
            log_snapshot_record(node.log, &snapshot, 21);
        } else {
            assert_int_equal(log_first_index(node.log), 21);
            snapshot.index = 100;
            snapshot.term = 2;
            assert_int_equal(log_install(node.log, &snapshot, "state.1", &error), ERROR_OK);
        }
        worker_drain(node.worker);
        assert_entries(node.log, terms);
        log_check(node.log);
        node_close(&node);
    }
    struct node node = {.report = -1};
    if (node_open(&node, folder, 1u << 20) != ERROR_OK)
        fail_msg("%s", node.error.message);
    assert_int_equal(log_first_index(node.log), 101);
    assert_string_equal(log_state_folder(node.log), "state.1");
    node_close(&node);
}

static void run_some(struct node *node, uint64_t durable_wanted)
{
    for (int turns = 0; turns < 2000 && log_durable_index(node->log) < durable_wanted; turns++) {
        log_tick(node->log);
        uv_run(&node->loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
}

/* On a disk of its own: fill it; the reserve must carry some operations; then even that is full: nothing may
 * be claimed; then space returns: everything must be written, and found again. */
static int full_disk_main(const char *root)
{
    char folder[160];
    struct node node = {.report = -1, .term = 1};
    if (!small_disk_mount(root))
        return SMALL_DISK_CANNOT;
    snprintf(folder, sizeof(folder), "%s/log", root);
    CHECK(node_open(&node, folder, 4u << 20) == ERROR_OK, "%s", node.error.message);
    CHECK(log_vote_write(node.log, 1, 0, &node.error) == ERROR_OK, "%s", node.error.message);
    append_group(&node);
    worker_drain(node.worker);
    CHECK(log_durable_index(node.log) == GROUP, "nothing was written");
    CHECK(!log_space_low(node.log, 1000), "space is low on an empty disk");
    small_disk_fill(root);
    CHECK(log_space_low(node.log, 1000), "a full disk isn't seen");
    uint64_t appended = GROUP;
    for (int i = 0; i < 20000 && log_queued_bytes(node.log) < (1u << 20); i++, appended += GROUP) {
        append_group(&node);
        if (i % 16 == 0) {
            worker_drain(node.worker);
            log_tick(node.log);
        }
    }
    worker_drain(node.worker);
    CHECK(log_durable_index(node.log) < appended, "a full disk took %llu entries",
          (unsigned long long)appended);
    CHECK(log_durable_index(node.log) > GROUP, "the reserve didn't help");
    enum error_code vote = log_vote_write(node.log, 2, 5, &node.error); /* no space is no failing disk */
    CHECK(vote == ERROR_OK || vote == ERROR_NO_SPACE, "%s", node.error.message);
    small_disk_clear(root);
    run_some(&node, appended);
    CHECK(log_durable_index(node.log) == appended, "after space returned %llu of %llu are durable",
          (unsigned long long)log_durable_index(node.log), (unsigned long long)appended);
    CHECK(log_vote_write(node.log, 3, 6, &node.error) == ERROR_OK, "%s", node.error.message);
    assert_entries(node.log, NULL);
    for (int turns = 0; turns < 2000 && log_space_low(node.log, 1000); turns++) {
        log_tick(node.log);
        uv_run(&node.loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
    CHECK(!log_space_low(node.log, 1000), "the reserve isn't made again");
    node_close(&node);
    CHECK(node_open(&node, folder, 4u << 20) == ERROR_OK, "%s", node.error.message);
    CHECK(log_last_index(node.log) == appended, "%llu of %llu were found again",
          (unsigned long long)log_last_index(node.log), (unsigned long long)appended);
    assert_entries(node.log, NULL);
    node_close(&node);
    return 0;
}

/* Goal: a full disk loses nothing that was reported, stops nothing for good, and needs no restart.
 * Method: a process with a disk of 32 MiB in memory, which this machine must allow; see full_disk_main(). */
static void full_disk_is_survived(void **state)
{
    int reading, status;
    pid_t child = start("full", *state, &reading);
    assert_int_equal(waitpid(child, &status, 0), child);
    close(reading);
    umount2(*state, MNT_DETACH); /* where the child needed no namespace of its own */
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == SMALL_DISK_CANNOT)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(int count, char **arguments)
{
    if (count == 3 && strcmp(arguments[1], "writer") == 0)
        return writer_main(arguments[2]);
    if (count == 3 && strcmp(arguments[1], "marker") == 0)
        return marker_main(arguments[2]);
    if (count == 3 && strcmp(arguments[1], "full") == 0)
        return full_disk_main(arguments[2]);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(killed_writer_loses_nothing_it_reported), TEST(damage_within_the_write_ahead_log_refuses),
        TEST(torn_end_costs_the_last_write_only),      TEST(torn_end_under_the_mark_refuses),
        TEST(all_operations_survive_reopening),        TEST(full_disk_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
