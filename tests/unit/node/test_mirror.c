/* The audit trail as JSON lines: resumed after a crash without a gap or a double. */
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
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/disk.h"
#include "node/mirror.h"

#define RECORDS_MAX 512

struct trail { /* a chain of records, as the state machine makes them */
    char folder[64], mirror[96];
    uint8_t hash[RECORDS_MAX + 1][DIGEST_BYTES];
    const char *actor;
};

static int set_up(void **state)
{
    struct trail *trail = calloc(1, sizeof *trail);
    snprintf(trail->folder, sizeof trail->folder, "/tmp/autonomy-mirror-XXXXXX");
    assert_non_null(mkdtemp(trail->folder));
    snprintf(trail->mirror, sizeof trail->mirror, "%s/audit", trail->folder);
    trail->actor = "ann";
    *state = trail;
    return 0;
}

static int tear_down(void **state)
{
    struct trail *trail = *state;
    struct error error = {0};
    assert_int_equal(disk_remove(trail->folder, &error), ERROR_OK);
    free(trail);
    return 0;
}

static enum error_code append(struct trail *trail, struct mirror *mirror, uint64_t seq, struct error *error)
{
    struct audit_record record = {.seq = seq,
                                  .index = seq + 10,
                                  .term = 1,
                                  .timestamp = 1000 + seq,
                                  .event_name = "flags.set",
                                  .action = "set",
                                  .actor = trail->actor,
                                  .prev_hash = {trail->hash[seq - 1], DIGEST_BYTES}};
    audit_hash(&record, trail->hash[seq]);
    record.hash = (struct span){trail->hash[seq], DIGEST_BYTES};
    return mirror_append(mirror, &record, error);
}

static void append_all(struct trail *trail, struct mirror *mirror, uint64_t first, uint64_t last)
{
    struct error error = {0};
    for (uint64_t seq = first; seq <= last; seq++)
        assert_int_equal(append(trail, mirror, seq, &error), ERROR_OK);
    assert_int_equal(mirror_flush(mirror, &error), ERROR_OK);
    assert_int_equal(mirror_seq(mirror), last);
}

static struct mirror *open_mirror(struct trail *trail, uint64_t segment_bytes)
{
    struct mirror *mirror = NULL;
    struct error error = {0};
    if (mirror_open(trail->mirror, segment_bytes, &mirror, &error) != ERROR_OK)
        fail_msg("%s", error.message);
    return mirror;
}

/** Reads every segment in order. @return how many lines; fails unless they are 1, 2, 3 ... */
static uint64_t read_back(struct trail *trail, unsigned *segments)
{
    uint64_t expected = 1, next_segment = 1;
    *segments = 0;
    for (;;) {
        char path[160], line[4096];
        snprintf(path, sizeof path, "%s/%010llu.jsonl", trail->mirror, (unsigned long long)next_segment);
        FILE *file = fopen(path, "r");
        if (!file)
            return expected - 1;
        (*segments)++;
        while (fgets(line, sizeof line, file)) {
            json_t *json = json_loads(line, 0, NULL);
            assert_non_null(json);
            assert_int_equal(json_integer_value(json_object_get(json, "seq")), expected);
            assert_string_equal(json_string_value(json_object_get(json, "event_name")), "flags.set");
            json_decref(json);
            expected++;
        }
        fclose(file);
        next_segment = expected;
    }
}

/* Goal: records become lines, in segments of bounded size named for their first record.
 * Method: 100 records of some 400 bytes into segments of 4 KiB. */
static void records_become_lines_in_segments(void **state)
{
    struct trail *trail = *state;
    unsigned segments = 0;
    struct mirror *mirror = open_mirror(trail, 4096);
    assert_int_equal(mirror_seq(mirror), 0);
    for (uint64_t seq = 1; seq <= 100; seq++)
        append_all(trail, mirror, seq, seq);
    mirror_close(mirror);
    assert_int_equal(read_back(trail, &segments), 100);
    assert_true(segments > 4);
}

/* Goal: the store comes again with what the folder has (after kill -9 it is one group behind): no line is
 * doubled. Method: append 1 .. 20, reopen, append 1 .. 30 again. */
static void what_is_there_is_skipped(void **state)
{
    struct trail *trail = *state;
    unsigned segments = 0;
    struct mirror *mirror = open_mirror(trail, 1 << 20);
    append_all(trail, mirror, 1, 20);
    mirror_close(mirror);
    mirror = open_mirror(trail, 1 << 20);
    assert_int_equal(mirror_seq(mirror), 20);
    append_all(trail, mirror, 1, 30);
    mirror_close(mirror);
    assert_int_equal(read_back(trail, &segments), 30);
    assert_int_equal(segments, 1);
}

/* Goal: a torn last line is cut, and written anew from the store.
 * Method: every length of the last line, from one byte to all but its newline. */
static void torn_line_is_cut_and_written_again(void **state)
{
    struct trail *trail = *state;
    char path[160];
    unsigned segments = 0, cuts = 0;
    struct stat whole, before;
    struct mirror *mirror = open_mirror(trail, 1 << 20);
    append_all(trail, mirror, 1, 4);
    snprintf(path, sizeof path, "%s/0000000001.jsonl", trail->mirror);
    assert_int_equal(stat(path, &before), 0);
    append_all(trail, mirror, 5, 5);
    mirror_close(mirror);
    assert_int_equal(stat(path, &whole), 0);
    for (off_t size = before.st_size + 1; size < whole.st_size; size += 7, cuts++) {
        assert_int_equal(truncate(path, size), 0);
        mirror = open_mirror(trail, 1 << 20);
        assert_int_equal(mirror_seq(mirror), 4);
        append_all(trail, mirror, 1, 5);
        mirror_close(mirror);
        assert_int_equal(read_back(trail, &segments), 5);
    }
    assert_true(cuts > 10);
}

/* Goal: blocks of zeros at the end, as a power cut leaves them, go; so does a segment of nothing else.
 * Method: zeros behind whole lines, and a second segment that holds only zeros. */
static void zeros_after_a_power_cut_go(void **state)
{
    struct trail *trail = *state;
    static const char zeros[4096];
    char path[160];
    unsigned segments = 0;
    struct mirror *mirror = open_mirror(trail, 1 << 20);
    append_all(trail, mirror, 1, 4);
    mirror_close(mirror);
    for (int round = 0; round < 2; round++) {
        snprintf(path, sizeof path, "%s/000000000%d.jsonl", trail->mirror, round == 0 ? 1 : 5);
        FILE *file = fopen(path, "a");
        assert_int_equal(fwrite(zeros, 1, sizeof zeros, file), sizeof zeros);
        fclose(file);
    }
    mirror = open_mirror(trail, 1 << 20);
    assert_int_equal(mirror_seq(mirror), 4);
    append_all(trail, mirror, 1, 6);
    mirror_close(mirror);
    assert_int_equal(read_back(trail, &segments), 6);
    assert_int_equal(segments, 1);
}

/* Goal: a full disk costs no line: what failed is not counted, and comes when there is room again.
 * Method: a file size limit of the process stands for the full disk. */
static void full_disk_is_caught_up_later(void **state)
{
    struct trail *trail = *state;
    struct rlimit limit, old;
    struct error error = {0};
    unsigned segments = 0;
    struct mirror *mirror = open_mirror(trail, 1 << 20);
    append_all(trail, mirror, 1, 3);

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = old;
    limit.rlim_cur = 1500;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (uint64_t seq = 4; seq <= 10; seq++)
        assert_int_equal(append(trail, mirror, seq, &error), ERROR_OK);
    enum error_code code = mirror_flush(mirror, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(code, ERROR_IO); /* EFBIG; a full disk is ENOSPC on the same path */
    assert_int_equal(mirror_seq(mirror), 3);

    append_all(trail, mirror, 1, 12);
    mirror_close(mirror);
    assert_int_equal(read_back(trail, &segments), 12);
}

/* Goal: two histories are never mixed: the old folder is kept beside, and the new one begins with the first
 * record. Method: a second chain with another actor meets the folder of the first. */
static void another_history_is_set_aside(void **state)
{
    struct trail *trail = *state;
    struct error error = {0};
    char aside[160];
    unsigned segments = 0;
    struct mirror *mirror = open_mirror(trail, 1 << 20);
    append_all(trail, mirror, 1, 5);
    trail->actor = "bob";
    for (uint64_t seq = 1; seq <= 5; seq++)
        assert_int_equal(append(trail, mirror, seq, &error), ERROR_OK); /* known by number: skipped */
    assert_int_equal(append(trail, mirror, 6, &error), ERROR_EXISTS);
    assert_int_equal(mirror_seq(mirror), 0);
    append_all(trail, mirror, 1, 6);
    mirror_close(mirror);
    assert_int_equal(read_back(trail, &segments), 6);
    snprintf(aside, sizeof aside, "%s.replaced.1/0000000001.jsonl", trail->mirror);
    assert_true(disk_exists(aside));
}

/* Goal: where the store's trail was pruned, the mirror goes on with a new segment instead of stopping.
 * Method: 1 .. 3, then 10 .. 12; reopened, the end is known. */
static void pruned_records_leave_a_gap_between_segments(void **state)
{
    struct trail *trail = *state;
    char path[160];
    struct error error = {0};
    struct mirror *mirror = open_mirror(trail, 1 << 20);
    append_all(trail, mirror, 1, 3);
    for (uint64_t seq = 10; seq <= 12; seq++)
        assert_int_equal(append(trail, mirror, seq, &error), ERROR_OK);
    mirror_close(mirror);
    snprintf(path, sizeof path, "%s/0000000010.jsonl", trail->mirror);
    assert_true(disk_exists(path));
    mirror = open_mirror(trail, 1 << 20);
    assert_int_equal(mirror_seq(mirror), 12);
    mirror_close(mirror);
}

/* Goal: a folder that somebody removes comes back whole with the next segment.
 * Method: remove it, and write until a segment is full. */
static void removed_folder_is_written_anew(void **state)
{
    struct trail *trail = *state;
    struct error error = {0};
    unsigned segments = 0;
    uint64_t seq = 11;
    struct mirror *mirror = open_mirror(trail, 4096);
    append_all(trail, mirror, 1, 10);
    assert_int_equal(disk_remove(trail->mirror, &error), ERROR_OK);
    enum error_code code = ERROR_OK;
    for (; code == ERROR_OK && seq < 100; seq++) {
        code = append(trail, mirror, seq, &error);
        if (code == ERROR_OK)
            code = mirror_flush(mirror, &error);
    }
    assert_int_equal(code, ERROR_EXISTS);
    assert_int_equal(mirror_seq(mirror), 0);
    append_all(trail, mirror, 1, seq);
    mirror_close(mirror);
    assert_int_equal(read_back(trail, &segments), seq);
}

/* Goal: a folder that can't be made is an error, never a crash.
 * Method: a file stands where the folder should be. */
static void unusable_folder_is_an_error(void **state)
{
    struct trail *trail = *state;
    struct mirror *mirror = NULL;
    struct error error = {0};
    FILE *file = fopen(trail->mirror, "w");
    fclose(file);
    assert_int_not_equal(mirror_open(trail->mirror, 4096, &mirror, &error), ERROR_OK);
    assert_true(error.message[0] != 0);
    assert_null(mirror);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_become_lines_in_segments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_there_is_skipped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(torn_line_is_cut_and_written_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(zeros_after_a_power_cut_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_disk_is_caught_up_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_history_is_set_aside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pruned_records_leave_a_gap_between_segments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(removed_folder_is_written_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unusable_folder_is_an_error, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
