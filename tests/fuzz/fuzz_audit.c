/* An audit folder read without its node: whatever stands in the segments, walking it forwards and backwards,
 * with trees and without, sees the same records and the same damage; queries, verification and exports end
 * with an answer. 0x1e ends a
 * segment and begins the next. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/schema.h"
#include "fsm/audit_view.h"
#include "fuzz/fuzz.h"
#include "tools/autonomy/audit_folder.h"

#define SEGMENTS_MAX 3u
#define LINES_MAX    512u
#define SEPARATOR    0x1e

struct walked {
    uint64_t seqs[LINES_MAX]; /* of records; 0: a damaged line */
    size_t count;
};

static bool visit(void *context, const struct audit_line *line)
{
    struct walked *self = context;
    CHECK(line->record && (!line->json || json_is_object(line->json)), "a line without its record");
    self->seqs[self->count++] = line->record->seq + 1;
    return self->count < LINES_MAX;
}

static bool damaged(void *context, const char *where, const char *why)
{
    struct walked *self = context;
    CHECK(where[0] != '\0' && why[0] != '\0', "damage without a place or a reason");
    self->seqs[self->count++] = 0;
    return self->count < LINES_MAX;
}

/* What is read without a tree reads the same by way of the tree, and has a line in every format. */
static void check_line(struct span text)
{
    struct arena arena;
    struct bytes fast, slow;
    struct error error = {0};
    struct audit_record record = {0}, other = {0};
    json_t *json = NULL;
    arena_init(&arena, 16u * AUDIT_LINE_BYTES_MAX);
    bytes_init(&fast, 0);
    bytes_init(&slow, 0);
    if (schema_from_line(&audit_schema, text, &arena, &record)) {
        fuzz_reached("line without a tree");
        CHECK(json_parse(text, &json, &error) == ERROR_OK, "%s", error.message);
        CHECK(schema_from_json(&audit_schema, json, &arena, &other, &error) == ERROR_OK, "%s", error.message);
        schema_pack(&audit_schema, &record, &fast);
        schema_pack(&audit_schema, &other, &slow);
        CHECK(span_equal(bytes_span(&fast), bytes_span(&slow)), "another record without a tree");
        struct audit_anchor anchor;
        if (audit_anchor_of(&record, &anchor))
            CHECK(anchor.seq > 0 && anchor.seq < record.seq, "an anchor behind its record");
        for (unsigned format = AUDIT_FORMAT_JSONL; format < AUDIT_FORMAT_COUNT; format++) {
            bytes_clear(&fast);
            if (audit_format_record((enum audit_format)format, &record, &fast))
                CHECK(fast.length > 0 && fast.data[fast.length - 1] == '\n', "format %u has no line", format);
            else
                CHECK(fast.length == 0, "format %u left something behind", format);
        }
        bytes_clear(&slow);
        bytes_clear(&fast);
        json_t *tree = schema_to_json(&audit_schema, &record);
        char *printed = json_dumps(tree, JSON_COMPACT);
        schema_to_line(&audit_schema, &record, &fast);
        CHECK(span_equal(bytes_span(&fast), span_text(printed)), "another line without a tree: %s", printed);
        free(printed);
        json_decref(tree);
        json_decref(json);
    }
    bytes_done(&fast);
    bytes_done(&slow);
    arena_done(&arena);
}

static void check_lines(const uint8_t *data, size_t length)
{
    while (length > 0) {
        const uint8_t *end = memchr(data, '\n', length);
        const size_t bytes = end ? (size_t)(end - data) : length;
        check_line(span_of(data, bytes));
        data += bytes + (end != NULL);
        length -= bytes + (end != NULL);
    }
}

/* @return how many segments there are */
static unsigned write_segments(const uint8_t *data, size_t length)
{
    unsigned segments = 0;
    while (segments < SEGMENTS_MAX) {
        char name[32];
        const uint8_t *end = segments + 1 < SEGMENTS_MAX ? memchr(data, SEPARATOR, length) : NULL;
        const size_t bytes = end ? (size_t)(end - data) : length;
        snprintf(name, sizeof name, "%010u.jsonl", 1 + 100 * segments);
        fuzz_file(name, data, bytes);
        segments++;
        if (!end)
            break;
        data += bytes + 1;
        length -= bytes + 1;
    }
    for (unsigned i = segments; i < SEGMENTS_MAX; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%010u.jsonl", fuzz_folder(), 1 + 100 * i);
        (void)unlink(path);
    }
    return segments;
}

static void check_walks(struct audit_folder *folder)
{
    static struct walked forwards, backwards, plain;
    struct error error = {0};
    forwards.count = backwards.count = plain.count = 0;
    struct audit_walk there = {.visit = visit, .damaged = damaged, .context = &forwards};
    struct audit_walk back = {.visit = visit, .damaged = damaged, .context = &backwards};
    struct audit_walk bare = {.visit = visit, .damaged = damaged, .context = &plain, .records_only = true};
    CHECK(audit_folder_walk(folder, &bare, &error) == ERROR_OK, "%s", error.message);
    CHECK(audit_folder_walk(folder, &there, &error) == ERROR_OK, "%s", error.message);
    CHECK(audit_folder_walk_back(folder, &back, &error) == ERROR_OK, "%s", error.message);
    CHECK(plain.count == forwards.count &&
              memcmp(plain.seqs, forwards.seqs, plain.count * sizeof plain.seqs[0]) == 0,
          "other lines without trees");
    if (forwards.count == LINES_MAX)
        return;
    CHECK(there.torn == back.torn, "torn one way only");
    CHECK(forwards.count == backwards.count, "%zu lines there, %zu back", forwards.count, backwards.count);
    for (size_t i = 0; i < forwards.count; i++)
        CHECK(forwards.seqs[i] == backwards.seqs[forwards.count - 1 - i], "line %zu is another one", i);
}

static void check_answers(struct audit_folder *folder)
{
    static const struct audit_filter filters[] = {{0}, {.event_type = "flags.set"}, {.actor = "a b"}};
    struct error error = {0};
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        struct audit_damage damage;
        json_t *found = NULL;
        CHECK(audit_folder_query(folder, &filters[i], i == 2 ? 1 : 0, &found, &damage, &error) == ERROR_OK,
              "%s", error.message);
        CHECK(json_is_array(found) && (damage.lines == 0) == (damage.first[0] == '\0'), "damage untold");
        json_decref(found);
    }
    json_t *report = NULL;
    const enum error_code code = audit_folder_verify(folder, NULL, NULL, &report, &error);
    CHECK(code == ERROR_OK || code == ERROR_NOT_FOUND, "%s", error.message);
    if (code == ERROR_OK) {
        const bool valid = json_is_true(json_object_get(report, "valid"));
        CHECK(valid == json_is_null(json_object_get(report, "detail")), "a verdict without its reason");
        if (valid)
            fuzz_reached("trail verified");
        json_decref(report);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct audit_folder *folder = NULL;
    struct error error = {0};
    if (length > 65536)
        return 0;
    check_lines(data, length);
    const unsigned segments = write_segments(data, length);
    CHECK(audit_folder_open(fuzz_folder(), &folder, &error) == ERROR_OK, "%s", error.message);
    CHECK(audit_folder_segments(folder) == segments, "%u segments", audit_folder_segments(folder));
    check_walks(folder);
    check_answers(folder);
    audit_folder_close(folder);
    return 0;
}
