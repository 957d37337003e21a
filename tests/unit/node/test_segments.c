/* The files of an audit mirror as a whole: what is missing between them is told, what was pruned goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/disk.h"
#include "node/segments.h"

static int set_up(void **state)
{
    char *folder = strdup("/tmp/autonomy-segments-XXXXXX");
    assert_non_null(mkdtemp(folder));
    *state = folder;
    return 0;
}

static int tear_down(void **state)
{
    struct error error = {0};
    assert_int_equal(disk_remove(*state, &error), ERROR_OK);
    free(*state);
    return 0;
}

/* A segment with records first .. last, then `end`. */
static void segment(const char *folder, uint64_t named, uint64_t first, uint64_t last, const char *end)
{
    char path[SEGMENT_PATH_BYTES];
    segment_path(folder, named, path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (uint64_t seq = first; seq <= last; seq++)
        fprintf(file, "{\"seq\":%llu,\"reason\":\"%0200d\"}\n", (unsigned long long)seq, 7);
    fputs(end, file);
    fclose(file);
}

static void assert_damage(const char *folder, uint64_t first_seq, const char *expected)
{
    char damage[256];
    struct error error = {0};
    assert_int_equal(segments_check(folder, first_seq, damage, sizeof damage, &error), ERROR_OK);
    assert_string_equal(damage, expected);
}

static void remove_segment(const char *folder, uint64_t named)
{
    char path[SEGMENT_PATH_BYTES];
    segment_path(folder, named, path);
    assert_int_equal(unlink(path), 0);
}

/* Goal: whole folders are whole: empty, of one segment, of several, with a torn last line, pruned.
 * Method: one of each, also with segments longer than what is read of them. */
static void whole_folders_have_no_damage(void **state)
{
    const char *folder = *state;
    assert_damage(folder, 1, "");
    segment(folder, 1, 1, 3000, "");
    assert_damage(folder, 1, "");
    segment(folder, 3001, 3001, 6000, "");
    segment(folder, 6001, 6001, 6002, "{\"seq\":6003,\"rea");
    assert_damage(folder, 1, "");
    remove_segment(folder, 1);
    assert_damage(folder, 3001, "");
    assert_damage(folder, 5000, "");
}

/* Goal: records that are missing, before or between segments, are told by their numbers; so is a segment that
 * isn't what its name says, or goes on past the next one's start.
 * Method: one damage at a time. */
static void missing_records_are_told(void **state)
{
    const char *folder = *state;
    segment(folder, 1, 1, 10, "");
    segment(folder, 11, 11, 20, "");
    segment(folder, 21, 21, 30, "");
    remove_segment(folder, 11);
    assert_damage(folder, 1, "records 11 to 20 are missing before 0000000021.jsonl");
    segment(folder, 11, 11, 15, "");
    assert_damage(folder, 1, "records 16 to 20 are missing before 0000000021.jsonl");
    segment(folder, 11, 11, 25, "");
    assert_damage(folder, 1, "0000000011.jsonl goes on to record 25, past the start of 0000000021.jsonl");
    segment(folder, 11, 12, 20, "");
    assert_damage(folder, 1, "0000000011.jsonl doesn't begin with the record it is named for");
    segment(folder, 11, 1, 0, "");
    assert_damage(folder, 1, "0000000011.jsonl doesn't begin with the record it is named for");
    segment(folder, 11, 11, 11, "garbage\n");
    assert_damage(folder, 1, "0000000011.jsonl doesn't end with a record");
    segment(folder, 11, 11, 20, "{\"seq\":2"); /* torn in the middle: its whole lines are all there */
    assert_damage(folder, 1, "");
    remove_segment(folder, 1);
    assert_damage(folder, 1, "records 1 to 10 are missing before 0000000011.jsonl");
}

/* Goal: a prune takes whole segments that come before, oldest first, never the last one, and nothing else.
 * Method: before the middle of one, the start of the next, past the end; a stranger's file. */
static void prunes_take_whole_segments(void **state)
{
    const char *folder = *state;
    struct error error = {0};
    char stranger[SEGMENT_PATH_BYTES];
    size_t removed = 9, count = 0;
    uint64_t *firsts = NULL;
    snprintf(stranger, sizeof stranger, "%s/0000000001.txt", folder);
    fclose(fopen(stranger, "w"));
    for (uint64_t i = 0; i < 4; i++)
        segment(folder, 1 + 10 * i, 1 + 10 * i, 10 + 10 * i, "");
    assert_int_equal(segments_prune(folder, 10, &removed, &error), ERROR_OK);
    assert_int_equal(removed, 0);
    assert_int_equal(segments_prune(folder, 15, &removed, &error), ERROR_OK);
    assert_int_equal(removed, 1);
    assert_int_equal(segments_prune(folder, 21, &removed, &error), ERROR_OK);
    assert_int_equal(removed, 1);
    assert_int_equal(segments_prune(folder, 1000, &removed, &error), ERROR_OK);
    assert_int_equal(removed, 1);
    assert_int_equal(segments_list(folder, &firsts, &count, &error), ERROR_OK);
    assert_int_equal(count, 1);
    assert_int_equal(firsts[0], 31);
    free(firsts);
    assert_true(disk_exists(stranger));
    assert_int_equal(segments_prune("/nonexistent/audit", 5, &removed, &error), ERROR_OK);
    assert_int_equal(removed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whole_folders_have_no_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(missing_records_are_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(prunes_take_whole_segments, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
