/* How fast the audit trail is checked: makes a trail through the state machine and its mirror, then walks
 * both as GET /v1/audit/verify and `autonomy audit verify --audit-dir` do. Run by tools/bench verify.
 *
 *   audit_bench FOLDER RECORDS      FOLDER is there and empty; prints one JSON object */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "fsm/commands.h"
#include "fsm/fsm.h"
#include "node/mirror.h"
#include "tools/autonomy/audit_folder.h"

#define GROUP         1000u
#define SEGMENT_BYTES (64u << 20)

/* Wide enough that a record is as long as those of a real cluster: a reason, three fields, ids. */
static void append_command(struct bytes *out, uint64_t number)
{
    char text[300];
    struct error error = {0};
    struct arena arena;
    json_t *json = NULL;
    const struct command_type *type = command_by_name("flag.set");
    arena_init(&arena, 1u << 20);
    snprintf(text, sizeof text,
             "{\"key\": \"PROMPT_MODE\", \"value\": \"mode-%" PRIu64 "\", \"reason\": \"change %" PRIu64
             " of a trail that is long enough to measure\"}",
             number % 7, number);
    CHECK(json_parse(span_text(text), &json, &error) == ERROR_OK, "%s", error.message);
    void *body = arena_new(&arena, type->schema->bytes);
    CHECK(schema_from_json(type->schema, json, &arena, body, &error) == ERROR_OK, "%s", error.message);
    CHECK(command_encode(type, "", "oncall@example.com", 1760000000000u + number * 10, body, out, &error) ==
              ERROR_OK,
          "%s", error.message);
    json_decref(json);
    arena_done(&arena);
}

static void apply_group(struct fsm *fsm, uint64_t first, uint32_t count)
{
    static struct entry entries[GROUP];
    static struct result results[GROUP];
    static size_t ends[GROUP];
    struct error error = {0};
    struct bytes commands;
    bytes_init(&commands, 0);
    for (uint32_t i = 0; i < count; i++) {
        append_command(&commands, first + i);
        ends[i] = commands.length;
    }
    for (uint32_t i = 0; i < count; i++) {
        const size_t start = i > 0 ? ends[i - 1] : 0;
        entries[i] = (struct entry){.index = first + i,
                                    .term = 1,
                                    .type = ENTRY_COMMAND,
                                    .data = span_of(commands.data + start, ends[i] - start)};
    }
    CHECK(fsm_apply(fsm, entries, count, results, &error) == ERROR_OK, "%s", error.message);
    bytes_done(&commands);
}

static bool to_mirror(void *context, const struct audit_record *record)
{
    struct error error = {0};
    CHECK(mirror_append(context, record, &error) == ERROR_OK, "%s", error.message);
    return true;
}

static void generate(struct fsm *fsm, const char *folder, uint64_t records)
{
    struct error error = {0};
    struct mirror *mirror = NULL;
    for (uint64_t done = 0; done < records;) {
        const uint64_t left = records - done;
        apply_group(fsm, done + 1, left < GROUP ? (uint32_t)left : GROUP);
        done += left < GROUP ? left : GROUP;
    }
    CHECK(fsm_flush(fsm, &error) == ERROR_OK, "%s", error.message);
    CHECK(mirror_open(folder, SEGMENT_BYTES, &mirror, &error) == ERROR_OK, "%s", error.message);
    struct view *view = view_open(fsm);
    CHECK(view_audit(view, NULL, true, 0, to_mirror, mirror, &error) == ERROR_OK, "%s", error.message);
    view_close(view);
    mirror_close(mirror);
}

static uint64_t cpu_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000u + (uint64_t)time.tv_nsec / 1000u;
}

static bool check_one(void *context, const struct audit_record *record)
{
    struct error error = {0};
    CHECK(audit_chain_next(context, record, &error) == ERROR_OK, "%s", error.message);
    return true;
}

static json_t *measured(uint64_t records, uint64_t wall_us, uint64_t used_us)
{
    return json_pack("{s:I, s:f, s:f}", "records", (json_int_t)records, "seconds", (double)wall_us / 1e6,
                     "cpu_seconds", (double)used_us / 1e6);
}

static json_t *walk_state(struct fsm *fsm)
{
    struct error error = {0};
    struct audit_chain chain = {0};
    struct view *view = view_open(fsm);
    const uint64_t began_us = clock_monotonic_us(), used_us = cpu_us();
    CHECK(view_audit(view, NULL, true, 0, check_one, &chain, &error) == ERROR_OK, "%s", error.message);
    const uint64_t wall_us = clock_monotonic_us() - began_us;
    json_t *json = measured(chain.records, wall_us, cpu_us() - used_us);
    view_close(view);
    return json;
}

static json_t *walk_folder(const char *path)
{
    struct error error = {0};
    struct audit_folder *folder = NULL;
    json_t *report = NULL;
    CHECK(audit_folder_open(path, &folder, &error) == ERROR_OK, "%s", error.message);
    const uint64_t began_us = clock_monotonic_us(), used_us = cpu_us();
    CHECK(audit_folder_verify(folder, NULL, NULL, &report, &error) == ERROR_OK, "%s", error.message);
    const uint64_t wall_us = clock_monotonic_us() - began_us;
    CHECK(json_is_true(json_object_get(report, "valid")), "the trail doesn't verify");
    json_t *json = measured((uint64_t)json_integer_value(json_object_get(report, "records")), wall_us,
                            cpu_us() - used_us);
    json_decref(report);
    audit_folder_close(folder);
    return json;
}

int main(int argc, char **argv)
{
    uint64_t records = 0;
    char state[1024], mirror[1024];
    struct error error = {0};
    struct fsm *fsm = NULL;
    if (argc != 3 || !parse_u64(argv[2], 100000000u, &records) || records == 0) {
        fprintf(stderr, "usage: audit_bench FOLDER RECORDS\n");
        return 2;
    }
    snprintf(state, sizeof state, "%s/state", argv[1]);
    snprintf(mirror, sizeof mirror, "%s/audit", argv[1]);
    CHECK(fsm_open(state, true, &fsm, &error) == ERROR_OK, "%s", error.message);
    generate(fsm, mirror, records);
    json_t *json = json_pack("{s:o, s:o}", "state", walk_state(fsm), "folder", walk_folder(mirror));
    fsm_close(fsm);
    json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(json);
    return 0;
}
