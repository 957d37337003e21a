/* Audit folders read offline: order, limits, filters, damage, and the chain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <sys/stat.h>

#include "base/schema.h"
#include "fsm/audit.h"
#include "tools/autonomy/audit_folder.h"
#include "unit/tools/run_cli.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

struct folder {
    struct home home;
    char path[96];
    uint8_t hash[DIGEST_BYTES]; /* of the last record */
    uint64_t seq;
};

static int set_up(void **state)
{
    struct folder *self = calloc(1, sizeof *self);
    self->home = home_make();
    snprintf(self->path, sizeof self->path, "%s", self->home.path);
    *state = self;
    return 0;
}

static int tear_down(void **state)
{
    struct folder *self = *state;
    home_remove(&self->home);
    free(self);
    return 0;
}

static void segment_path(const struct folder *self, unsigned segment, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "%s/%010u.jsonl", self->path, segment);
}

/* The next record of the chain, as a line of the mirror. */
static void append_with(struct folder *self, unsigned segment, const char *event, uint32_t category,
                        const char *actor, struct field_pair *fields, size_t field_count)
{
    uint8_t previous[DIGEST_BYTES];
    char path[160];
    memcpy(previous, self->hash, sizeof previous);
    self->seq++;
    struct audit_record record = {.seq = self->seq,
                                  .index = self->seq + 5,
                                  .term = 1,
                                  .timestamp = 1760000000000u + self->seq * 1000,
                                  .category = category,
                                  .event_name = event,
                                  .action = "do",
                                  .actor = actor,
                                  .resource_type = "rollout_plan",
                                  .resource = "p-7",
                                  .fields = fields,
                                  .field_count = field_count,
                                  .prev_hash = {previous, sizeof previous}};
    audit_hash(&record, self->hash);
    record.hash = span_of(self->hash, sizeof self->hash);
    json_t *json = schema_to_json(&audit_schema, &record);
    char *text = json_dumps(json, JSON_COMPACT);
    segment_path(self, segment, path, sizeof path);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    fprintf(file, "%s\n", text);
    fclose(file);
    free(text);
    json_decref(json);
}

static void append(struct folder *self, unsigned segment, const char *event, uint32_t category,
                   const char *actor)
{
    append_with(self, segment, event, category, actor, NULL, 0);
}

/* A record that says that the trail was pruned up to a record of this number and hash. */
static void append_prune(struct folder *self, unsigned segment, const char *seq, const char *hash)
{
    struct field_pair fields[] = {{"anchor_hash", hash},
                                  {"anchor_seq", seq},
                                  {"anchor_time", "2026-01-01T00:00:00.000Z"},
                                  {"count", seq}};
    append_with(self, segment, AUDIT_PRUNED_EVENT, AUDIT_SYSTEM, "dba", fields, 4);
}

/* Twelve records in three segments, every third one a rollback. */
static void fill(struct folder *self)
{
    for (unsigned i = 1; i <= 12; i++)
        append(self, 1 + (i - 1) / 4, i % 3 == 0 ? "rollback.executed" : "flags.set",
               i % 3 == 0 ? AUDIT_ROLLBACK : AUDIT_FLAGS, i % 2 == 0 ? "ann" : "bob");
}

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, 0, &error);
    if (!json)
        fail_msg("no JSON: %s in %s", error.text, text);
    return json;
}

static json_int_t seq_at(const json_t *records, size_t i)
{
    return json_integer_value(json_object_get(json_array_get(records, i), "seq"));
}

/* Goal: a query is newest first and ends at its limit; an export is oldest first and whole; both are arrays.
 * Method: twelve records in three segments; limits that end inside a segment, at its edge, and past the last
 * record. */
static void queries_are_newest_first_and_exports_oldest_first(void **state)
{
    struct folder *self = *state;
    static const struct {
        const char *limit;
        size_t count;
    } rows[] = {{"1", 1}, {"4", 4}, {"5", 5}, {"12", 12}, {"100", 12}, {"0", 12}};
    fill(self);
    for (size_t r = 0; r < COUNT(rows); r++) {
        struct ran ran =
            run("audit", "query", "--audit-dir", self->path, "--limit", rows[r].limit, "--output=json", NULL);
        assert_int_equal(ran.exit, CLI_DONE);
        json_t *records = parse(ran.out);
        assert_int_equal(json_array_size(records), rows[r].count);
        for (size_t i = 0; i < rows[r].count; i++)
            assert_int_equal(seq_at(records, i), 12 - i);
        json_decref(records);
        ran_done(&ran);
    }
    struct ran ran = run("audit", "export", "--audit-dir", self->path, "--format", "json", NULL);
    assert_int_equal(ran.exit, CLI_DONE);
    json_t *records = parse(ran.out);
    assert_int_equal(json_array_size(records), 12);
    for (size_t i = 0; i < 12; i++)
        assert_int_equal(seq_at(records, i), i + 1);
    json_decref(records);
    ran_done(&ran);
}

/* Goal: filters are joined by "and", and the limit counts what matches.
 * Method: category, event, actor, times; a category nobody has. */
static void filters_join_and_limits_count_matches(void **state)
{
    struct folder *self = *state;
    fill(self);
    struct ran ran = run("audit", "query", "--audit-dir", self->path, "--event-type", "rollback.executed",
                         "--actor=ann", "--output=json", NULL);
    json_t *records = parse(ran.out);
    assert_int_equal(json_array_size(records), 2);
    assert_int_equal(seq_at(records, 0), 12);
    assert_int_equal(seq_at(records, 1), 6);
    json_decref(records);
    ran_done(&ran);

    ran = run("audit", "query", "--audit-dir", self->path, "--category=rollback", "--limit=3",
              "--output=json", NULL);
    records = parse(ran.out);
    assert_int_equal(json_array_size(records), 3);
    assert_int_equal(seq_at(records, 2), 6);
    json_decref(records);
    ran_done(&ran);

    ran = run("audit", "query", "--audit-dir", self->path, "--start-time=2025-10-09T08:53:22Z",
              "--end-time=2025-10-09T08:53:23Z", "--output=json", NULL);
    records = parse(ran.out);
    assert_int_equal(json_array_size(records), 2);
    assert_int_equal(seq_at(records, 0), 3);
    json_decref(records);
    ran_done(&ran);

    ran = run("audit", "query", "--audit-dir", self->path, "--category=relay", NULL);
    assert_int_equal(ran.exit, CLI_DONE);
    assert_non_null(strstr(ran.err, "no records"));
    ran_done(&ran);
}

/* Goal: the text form has the columns that operators know, and one line a record.
 * Method: the first line, and the number of lines. */
static void text_has_the_known_columns(void **state)
{
    struct folder *self = *state;
    size_t lines = 0;
    fill(self);
    struct ran ran = run("audit", "query", "--audit-dir", self->path, "--limit=2", NULL);
    assert_int_equal(strncmp(ran.out, "TIMESTAMP", 9), 0);
    for (const char *name = "EVENT\0ACTOR\0RESOURCE\0OUTCOME\0SOURCE\0"; *name; name += strlen(name) + 1)
        assert_non_null(strstr(ran.out, name));
    assert_non_null(strstr(
        ran.out, "2025-10-09T08:53:32.000Z  rollback.executed  ann    p-7       success  orchestrator"));
    for (const char *at = ran.out; (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(lines, 3);
    ran_done(&ran);
}

/* Goal: a chain that holds is said to hold, with its bounds and last hash.
 * Method: verify in both formats. */
static void whole_chain_verifies(void **state)
{
    struct folder *self = *state;
    char hash[2 * DIGEST_BYTES + 1];
    fill(self);
    hex_encode(self->hash, DIGEST_BYTES, hash);
    struct ran ran = run("audit", "verify", "--audit-dir", self->path, "--output=json", NULL);
    assert_int_equal(ran.exit, CLI_DONE);
    json_t *report = parse(ran.out);
    assert_true(json_is_true(json_object_get(report, "valid")));
    assert_int_equal(json_integer_value(json_object_get(report, "records")), 12);
    assert_int_equal(json_integer_value(json_object_get(report, "last_seq")), 12);
    assert_string_equal(json_string_value(json_object_get(report, "last_hash")), hash);
    json_decref(report);
    ran_done(&ran);
    ran = run("audit", "verify", "--audit-dir", self->path, NULL);
    assert_int_equal(ran.exit, CLI_DONE);
    assert_int_equal(strncmp(ran.out, "valid: 12 records", 17), 0);
    ran_done(&ran);
}

/* Reads a whole file; free() it. */
static char *slurp(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 65536);
    assert_non_null(file);
    assert_true(fread(text, 1, 65535, file) > 0);
    fclose(file);
    return text;
}

/* Goal: any change to a record is found, and the record named.
 * Method: one character of each of several places in the second segment's second line is changed; a line is
 * lost; a line is there twice; a line is no JSON. */
static void tampering_is_found_and_the_record_named(void **state)
{
    static const struct {
        const char *from, *to;
    } edits[] = {{"\"actor\":\"ann\"", "\"actor\":\"eve\""},
                 {"\"term\":1", "\"term\":2"},
                 {"rollback.executed", "rollback.requested"},
                 {"\"resource\":\"p-7\"", "\"resource\":\"p-8\""}};
    struct folder *self = *state;
    char path[160];
    fill(self);
    segment_path(self, 2, path, sizeof path);
    char *whole = slurp(path), *second = strchr(whole, '\n') + 1, *third = strchr(second, '\n') + 1;
    for (size_t i = 0; i < COUNT(edits); i++) {
        char text[65536];
        const char *at = strstr(second, edits[i].from);
        assert_non_null(at);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - whole), whole, edits[i].to,
                 at + strlen(edits[i].from));
        write_text(path, text);
        struct ran ran = run("audit", "verify", "--audit-dir", self->path, NULL);
        assert_int_equal(ran.exit, CLI_FAILED);
        assert_non_null(strstr(ran.out, "0000000002.jsonl:2"));
        assert_non_null(strstr(ran.out, "audit record 6"));
        ran_done(&ran);
    }
    char text[65536];
    snprintf(text, sizeof text, "%.*s%s", (int)(second - whole), whole, third);
    write_text(path, text);
    struct ran lost = run("audit", "verify", "--audit-dir", self->path, NULL);
    assert_int_equal(lost.exit, CLI_FAILED);
    assert_non_null(strstr(lost.out, "records are missing"));
    ran_done(&lost);
    snprintf(text, sizeof text, "%.*s%s", (int)(third - whole), whole, second);
    write_text(path, text);
    struct ran twice = run("audit", "verify", "--audit-dir", self->path, NULL);
    assert_int_equal(twice.exit, CLI_FAILED);
    ran_done(&twice);
    snprintf(text, sizeof text, "%.*s{\"seq\": 6}\n%s", (int)(second - whole), whole, third);
    write_text(path, text);
    struct ran damaged = run("audit", "verify", "--audit-dir", self->path, "--output=json", NULL);
    assert_int_equal(damaged.exit, CLI_FAILED);
    json_t *report = parse(damaged.out);
    assert_false(json_is_true(json_object_get(report, "valid")));
    assert_int_equal(json_integer_value(json_object_get(report, "first_bad_seq")), 6);
    json_decref(report);
    ran_done(&damaged);
    free(whole);
}

/* Goal: a trail whose beginning is missing doesn't verify, and the report says what is missing.
 * Method: the first segment goes, then the first line of the whole folder; the rest is a chain that fits. */
static void missing_head_is_found(void **state)
{
    struct folder *self = *state;
    char path[160];
    fill(self);
    segment_path(self, 1, path, sizeof path);
    char *whole = slurp(path);
    write_text(path, strchr(whole, '\n') + 1);
    free(whole);
    struct ran line = run("audit", "verify", "--audit-dir", self->path, NULL);
    assert_int_equal(line.exit, CLI_FAILED);
    assert_non_null(strstr(line.out, "0000000001.jsonl:1: the trail begins with record 2"));
    ran_done(&line);
    assert_int_equal(remove(path), 0);
    struct ran segment = run("audit", "verify", "--audit-dir", self->path, "--output=json", NULL);
    assert_int_equal(segment.exit, CLI_FAILED);
    json_t *report = parse(segment.out);
    assert_true(json_is_false(json_object_get(report, "valid")));
    assert_int_equal(json_integer_value(json_object_get(report, "first_seq")), 5);
    assert_int_equal(json_integer_value(json_object_get(report, "first_bad_seq")), 1);
    assert_non_null(strstr(json_string_value(json_object_get(report, "detail")), "begins with record 5"));
    json_decref(report);
    ran_done(&segment);
}

/* Goal: a last line without its end is told and left out, in queries and in verify; it is no failure.
 * Method: the last line loses its line break, then half of itself. */
static void torn_last_line_is_told_and_no_failure(void **state)
{
    struct folder *self = *state;
    char path[160];
    fill(self);
    segment_path(self, 3, path, sizeof path);
    char *whole = slurp(path);
    size_t length = strlen(whole);
    for (size_t cut = 1; cut <= 40; cut += 39) {
        whole[length - cut] = '\0';
        write_text(path, whole);
        struct ran verify = run("audit", "verify", "--audit-dir", self->path, "--output=json", NULL);
        assert_int_equal(verify.exit, CLI_DONE);
        json_t *report = parse(verify.out);
        assert_int_equal(json_integer_value(json_object_get(report, "records")), 11);
        assert_string_equal(json_string_value(json_object_get(report, "torn")), "0000000003.jsonl:4");
        json_decref(report);
        ran_done(&verify);
        struct ran query = run("audit", "query", "--audit-dir", self->path, "--output=json", NULL);
        assert_int_equal(query.exit, CLI_DONE);
        assert_non_null(strstr(query.err, "ends in the middle"));
        json_t *records = parse(query.out);
        assert_int_equal(json_array_size(records), 11);
        json_decref(records);
        ran_done(&query);
    }
    free(whole);
}

/* Goal: a line in the middle that is no record costs a query that line and a warning, not the answer.
 * Method: garbage, an overlong line and bytes that aren't UTF-8 between good lines. */
static void damaged_lines_are_counted_and_left_out(void **state)
{
    struct folder *self = *state;
    char path[160];
    fill(self);
    segment_path(self, 2, path, sizeof path);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    fprintf(file, "garbage\n{\"seq\":\"\xff\"}\n");
    for (unsigned i = 0; i < AUDIT_LINE_BYTES_MAX + 10; i++)
        fputc('x', file);
    fputc('\n', file);
    fclose(file);
    struct ran ran = run("audit", "query", "--audit-dir", self->path, "--output=json", NULL);
    assert_int_equal(ran.exit, CLI_DONE);
    assert_non_null(strstr(ran.err, "3 lines are no records"));
    assert_non_null(strstr(ran.err, "0000000002.jsonl, byte "));
    json_t *records = parse(ran.out);
    assert_int_equal(json_array_size(records), 12);
    json_decref(records);
    ran_done(&ran);
}

/* Goal: reading from the end finds every record once, wherever a block ends, and lines that span blocks.
 * Method: a segment of several blocks, overlong garbage among it; all records are counted, in order; a limit
 * stops early. */
static void reading_from_the_end_spans_blocks(void **state)
{
    struct folder *self = *state;
    char path[160];
    for (unsigned i = 0; i < 6000; i++) {
        append(self, 1, i % 1000 == 0 ? "rollback.executed" : "flags.set", AUDIT_FLAGS, "ann");
        if (i != 3000)
            continue;
        segment_path(self, 1, path, sizeof path);
        FILE *file = fopen(path, "a");
        assert_non_null(file);
        for (unsigned c = 0; c < 3u << 20; c++)
            fputc('x', file);
        fputs("\n\n", file);
        fclose(file);
    }
    struct ran ran = run("audit", "query", "--audit-dir", self->path, "--limit=0", "--output=json", NULL);
    assert_int_equal(ran.exit, CLI_DONE);
    assert_non_null(strstr(ran.err, "2 lines are no records"));
    json_t *records = parse(ran.out);
    assert_int_equal(json_array_size(records), 6000);
    for (size_t i = 0; i < 6000; i++)
        assert_int_equal(seq_at(records, i), 6000 - i);
    json_decref(records);
    ran_done(&ran);

    ran = run("audit", "query", "--audit-dir", self->path, "--event-type=rollback.executed", "--output=json",
              NULL);
    records = parse(ran.out);
    assert_int_equal(json_array_size(records), 6);
    assert_int_equal(seq_at(records, 0), 5001);
    assert_int_equal(seq_at(records, 5), 1);
    json_decref(records);
    ran_done(&ran);

    ran = run("audit", "query", "--audit-dir", self->path, "--limit=2", "--output=json", NULL);
    assert_string_equal(ran.err, "");
    records = parse(ran.out);
    assert_int_equal(json_array_size(records), 2);
    json_decref(records);
    ran_done(&ran);
}

/* Goal: what is no segment is not read; a folder without segments has no records and nothing to verify; a
 * missing one is an error. Method: files of other names, an empty folder, a path that isn't there. */
static void only_segments_are_read(void **state)
{
    struct folder *self = *state;
    char path[160];
    struct ran ran = run("audit", "verify", "--audit-dir", self->path, NULL);
    assert_int_equal(ran.exit, CLI_FAILED);
    assert_non_null(strstr(ran.err, "nothing was verified"));
    ran_done(&ran);
    static const char *const others[] = {"1.jsonl", "0000000001.jsonl.tmp", "000000000a.jsonl", "notes.txt"};
    for (size_t i = 0; i < COUNT(others); i++) {
        snprintf(path, sizeof path, "%s/%s", self->path, others[i]);
        write_text(path, "garbage\n");
    }
    ran = run("audit", "query", "--audit-dir", self->path, "--output=json", NULL);
    assert_int_equal(ran.exit, CLI_DONE);
    assert_string_equal(ran.out, "[]\n");
    ran_done(&ran);
    ran = run("audit", "query", "--audit-dir", "/nonexistent/audit", NULL);
    assert_int_equal(ran.exit, CLI_FAILED);
    assert_non_null(strstr(ran.err, "/nonexistent/audit"));
    ran_done(&ran);
}

/* Goal: the environment variable alone doesn't turn a query offline.
 * Method: AUTONOMY_AUDIT_DIR is set, no server is: the command asks which server. */
static void environment_alone_does_not_select_the_folder(void **state)
{
    struct folder *self = *state;
    fill(self);
    setenv("AUTONOMY_AUDIT_DIR", self->path, 1);
    struct ran ran = run("audit", "query", NULL);
    unsetenv("AUTONOMY_AUDIT_DIR");
    assert_int_equal(ran.exit, CLI_USAGE);
    assert_non_null(strstr(ran.err, "which server?"));
    ran_done(&ran);
}

/* Goal: an export goes whole into a file when one is named, which others can't read, and says so when it
 * can't. Method: a file in the folder, its mode, a file in a folder that isn't there. */
static void export_writes_a_file(void **state)
{
    struct folder *self = *state;
    char path[160];
    fill(self);
    snprintf(path, sizeof path, "%s/export.json", self->path);
    struct ran ran = run("audit", "export", "--audit-dir", self->path, "--output", path, NULL);
    assert_int_equal(ran.exit, CLI_DONE);
    assert_string_equal(ran.out, "");
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    char *text = slurp(path);
    json_t *records = parse(text);
    assert_int_equal(json_array_size(records), 12);
    json_decref(records);
    free(text);
    ran_done(&ran);
    ran = run("audit", "export", "--audit-dir", self->path, "--output", "/nonexistent/x.json", NULL);
    assert_int_equal(ran.exit, CLI_FAILED);
    ran_done(&ran);
}

static void remove_segment(const struct folder *self, unsigned segment)
{
    char path[160];
    segment_path(self, segment, path, sizeof path);
    assert_int_equal(unlink(path), 0);
}

static void assert_verdict(const struct folder *self, enum cli_exit exit, const char *out)
{
    struct ran ran = run("audit", "verify", "--audit-dir", self->path, NULL);
    assert_int_equal(ran.exit, exit);
    if (!strstr(ran.out, out))
        fail_msg("no \"%s\" in: %s%s", out, ran.out, ran.err);
    ran_done(&ran);
}

/* Goal: a folder whose first segments were pruned verifies from where it begins, by the anchor that a later
 * record tells of: before the anchor, and right behind it. Without the record, with more missing than was
 * pruned, or with another anchor's hash, it doesn't.
 * Method: segments named for their first records; the anchor at record 6, told by the last record. */
static void pruned_folder_verifies_from_its_anchor(void **state)
{
    struct folder *self = *state;
    char hash[2 * DIGEST_BYTES + 1] = "";
    static const unsigned segments[] = {1, 1, 1, 1, 5, 5, 7, 7, 9, 9};
    for (size_t i = 0; i < COUNT(segments); i++) {
        append(self, segments[i], "flags.set", AUDIT_FLAGS, "ann");
        if (i == 5)
            hex_encode(self->hash, DIGEST_BYTES, hash);
    }
    remove_segment(self, 1);
    assert_verdict(self, CLI_FAILED, "the records before it are missing, so nothing vouches for it");
    append_prune(self, 9, "6", hash);
    assert_verdict(self, CLI_DONE, "verified from seq 5: pruned before, at ");
    assert_verdict(self, CLI_DONE, hash);
    remove_segment(self, 5);
    assert_verdict(self, CLI_DONE, "verified from seq 7: pruned before, at ");
    remove_segment(self, 7);
    assert_verdict(self, CLI_FAILED, "missing, more than were pruned");
}

/* Goal: an anchor that tells another hash than the record it names has, vouches for nothing.
 * Method: the folder begins before the anchor, and right behind it. */
static void wrong_anchor_vouches_for_nothing(void **state)
{
    struct folder *self = *state;
    char hash[2 * DIGEST_BYTES + 1] = "";
    static const unsigned segments[] = {1, 1, 3, 3, 5, 5};
    for (size_t i = 0; i < COUNT(segments); i++)
        append(self, segments[i], "flags.set", AUDIT_FLAGS, "ann");
    hex_encode(self->hash, DIGEST_BYTES, hash);
    append_prune(self, 5, "4", hash);
    remove_segment(self, 1);
    assert_verdict(self, CLI_FAILED, "record 4 is not the one up to which record 7 says");
    remove_segment(self, 3);
    assert_verdict(self, CLI_FAILED, "audit record 5 is not linked to record 4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(queries_are_newest_first_and_exports_oldest_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(filters_join_and_limits_count_matches, set_up, tear_down),
        cmocka_unit_test_setup_teardown(text_has_the_known_columns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(whole_chain_verifies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tampering_is_found_and_the_record_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(missing_head_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(torn_last_line_is_told_and_no_failure, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_lines_are_counted_and_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reading_from_the_end_spans_blocks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_segments_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(environment_alone_does_not_select_the_folder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(export_writes_a_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pruned_folder_verifies_from_its_anchor, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_anchor_vouches_for_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
