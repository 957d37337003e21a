/* The state with a damaged record: every view shows it or says what is wrong, a command is applied or
 * refused as corrupt, and no cursor leads anywhere but into its list. The first byte chooses: 'c' and a list,
 * then a cursor; else the second byte picks a record of a small state, whose value the rest becomes. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/kv.h"
#include "base/schema.h"
#include "chaos/sim/fake_disk.h"
#include "fsm/fsm.h"
#include "fuzz/fuzz.h"

#define FOLDER      "/n1/state"
#define RECORDS_MAX 256u
#define START_MS    1767225600000ull
#define ARENA_BYTES (16u * 1024u * 1024u)

struct stored {
    struct bytes key, value;
};

/* The sound state, as the store holds it. */
static struct stored sound[RECORDS_MAX];
static uint32_t sound_count;

/* What made it, and what is tried on a damaged one: each record of it is read by one of these. */
static const struct {
    const char *name, *body;
} making[] =
    {{"leader.elected", "{\"node_id\":1,\"term\":1,\"cause\":\"election\",\"level\":1}"},
     {"member.add", "{\"node_id\":1,\"name\":\"n1\",\"address\":\"h:1\",\"url\":\"http://h:2\"}"},
     {"member.add", "{\"node_id\":2,\"name\":\"n2\",\"address\":\"h:3\",\"url\":\"http://h:4\"}"},
     {"rollout.create",
      "{\"plan_id\":\"p1\",\"artifact\":{\"name\":\"a\",\"version\":\"2\",\"previous_version\":\"1\"},"
      "\"stages\":[{\"stage_id\":\"s1\",\"target\":{\"percent\":50},\"gates\":[{\"kind\":\"manual\"},{"
      "\"kind\":\"success_ratio\",\"min_percent\":50}]},{\"stage_id\":\"s2\",\"gates\":[{\"kind\":\"time_"
      "soak\",\"seconds\":60}]}],\"publish\":true,\"reason\":\"r\"}"},
     {"rollout.node", "{\"plan_id\":\"p1\",\"node_id\":\"e1\",\"state\":\"activated\",\"version\":\"2\"}"},
     {"rollout.node", "{\"plan_id\":\"p1\",\"node_id\":\"e2\",\"state\":\"failed\",\"version\":\"2\"}"},
     {"flag.define", "{\"key\":\"f1\",\"type\":\"integer\",\"default\":1,\"safe\":0}"},
     {"flag.set", "{\"key\":\"f1\",\"value\":7,\"reason\":\"r\"}"},
     {"switch.define", "{\"name\":\"k1\",\"flags\":[\"f1\"]}"},
     {"switch.activate", "{\"name\":\"k1\",\"reason\":\"r\"}"},
     {"failover.request", "{\"reason\":\"r\"}"},
     {"quorum.report", "{\"node_id\":1,\"incarnation\":1,\"number\":1,\"lost_at\":\"2026-01-01T00:00:00Z\","
                       "\"restored_at\":\"2026-01-01T00:00:05Z\",\"reason\":\"r\"}"}},
  trying[] = {
      {"rollout.evaluate", "{\"plan_id\":\"p1\",\"stage_id\":\"s1\"}"},
      {"rollout.gate.approve", "{\"plan_id\":\"p1\",\"stage_id\":\"s1\"}"},
      {"rollout.node", "{\"plan_id\":\"p1\",\"node_id\":\"e1\",\"state\":\"failed\"}"},
      {"rollout.node", "{\"plan_id\":\"p1\",\"node_id\":\"e9\",\"state\":\"activated\"}"},
      {"rollout.halt", "{\"plan_id\":\"p1\",\"stage_id\":\"s1\",\"reason\":\"r\"}"},
      {"rollback.execute",
       "{\"target\":\"rollout_plan\",\"resource\":\"p1\",\"strategy\":\"rollback\",\"reason\":\"r\"}"},
      {"flag.set", "{\"key\":\"f1\",\"value\":8,\"reason\":\"r\"}"},
      {"switch.reset", "{\"name\":\"k1\",\"reason\":\"r\",\"approver\":\"carol\",\"root_cause\":\"c\"}"},
      {"member.sync", "{\"node_id\":2,\"role\":\"standby\"}"},
      {"failover.outcome", "{\"request_index\":11,\"success\":true,\"write_gap_ms\":7}"},
      {"leader.elected", "{\"node_id\":2,\"term\":2,\"cause\":\"crash\",\"level\":1}"},
      {"quorum.report", "{\"node_id\":2,\"incarnation\":1,\"number\":1,\"lost_at\":\"2026-01-01T00:00:00Z\","
                        "\"restored_at\":\"2026-01-01T00:00:05Z\",\"reason\":\"r\"}"},
      {"tick", "{\"stuck_after_ms\":3600000}"}};
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static enum error_code apply(struct fsm *fsm, const char *name, const char *body, unsigned number,
                             struct error *error)
{
    struct arena arena;
    struct bytes command;
    struct fsm_state state;
    struct result result;
    json_t *json = NULL;
    char request_id[32];
    const struct command_type *type = command_by_name(name);
    arena_init(&arena, ARENA_BYTES);
    bytes_init(&command, 0);
    fsm_describe(fsm, &state);
    snprintf(request_id, sizeof request_id, "id-%u", number);
    void *record = arena_new(&arena, type->schema->bytes);
    CHECK(json_parse(span_text(body), &json, error) == ERROR_OK, "%s", error->message);
    CHECK(schema_from_json(type->schema, json, &arena, record, error) == ERROR_OK, "%s", error->message);
    CHECK(command_encode(type, request_id, "ann", START_MS + 1000 * number, record, &command, error) ==
              ERROR_OK,
          "%s", error->message);
    if (number == 7) /* one that a node sends to its leader */
        fuzz_seed("route", "78-forwarded",
                  span_text("POST /v1/internal/change\nContent-Type: application/msgpack\n\n"),
                  bytes_span(&command));
    const struct entry entry = {
        .index = state.index + 1, .term = 1, .type = ENTRY_COMMAND, .data = bytes_span(&command)};
    const enum error_code code = fsm_apply(fsm, &entry, 1, &result, error);
    json_decref(json);
    bytes_done(&command);
    arena_done(&arena);
    return code;
}

static void remember(struct kv *kv)
{
    struct span key, value;
    struct error error = {0};
    struct kv_iterator *iterator = kv_iterate(kv, NULL, span_of(NULL, 0), span_of(NULL, 0), false);
    while (kv_iterator_next(iterator, &key, &value)) {
        CHECK(sound_count < RECORDS_MAX, "more than %u records", RECORDS_MAX);
        struct stored *to = &sound[sound_count++];
        bytes_init(&to->key, 0);
        bytes_init(&to->value, 0);
        bytes_append(&to->key, key.data, key.bytes);
        bytes_append(&to->value, value.data, value.bytes);
    }
    CHECK(kv_iterator_close(iterator, &error) == ERROR_OK, "%s", error.message);
}

static void forget(void)
{
    for (uint32_t i = 0; i < sound_count; i++) {
        bytes_done(&sound[i].key);
        bytes_done(&sound[i].value);
    }
    fake_disk_reset();
}

static struct kv *open_kv(void)
{
    struct kv *kv = NULL;
    struct error error = {0};
    const struct kv_options options = {.create = true};
    CHECK(kv_open(FOLDER, &options, &kv, &error) == ERROR_OK, "%s", error.message);
    return kv;
}

static bool take_line(void *context, const struct audit_record *record)
{
    json_t *json = schema_to_json(&audit_schema, record);
    char *line = json_dumps(json, JSON_COMPACT);
    bytes_append_text(context, line);
    bytes_append_text(context, "\n");
    free(line);
    json_decref(json);
    return true;
}

/* Inputs for other targets: each record of this state, and its trail as a node writes it. */
static void make_seeds(struct fsm *fsm)
{
    char name[32];
    struct bytes trail;
    struct error error = {0};
    for (uint32_t i = 0; i < sound_count; i++) {
        const uint8_t first[] = {'r', (uint8_t)i};
        snprintf(name, sizeof name, "%02u-%c", i, sound[i].key.data[0]);
        if (sound[i].value.length > 0)
            fuzz_seed("state", name, span_of(first, 2), bytes_span(&sound[i].value));
    }
    bytes_init(&trail, 0);
    struct view *view = view_open(fsm);
    CHECK(view_audit(view, NULL, true, 1, take_line, &trail, &error) == ERROR_OK, "%s", error.message);
    view_close(view);
    fuzz_seed("audit", "trail", span_text(""), bytes_span(&trail));
    fuzz_seed("audit", "torn", span_text(""), span_of(trail.data, trail.length - 9));
    fuzz_seed("mirror", "trail", span_of("\1", 1), bytes_span(&trail));
    fuzz_seed("mirror", "torn", span_of("\1", 1), span_of(trail.data, trail.length - 9));
    bytes_done(&trail);
}

static void make_sound(void)
{
    struct fsm *fsm = NULL;
    struct error error = {0};
    CHECK(fsm_open(FOLDER, true, &fsm, &error) == ERROR_OK, "%s", error.message);
    for (unsigned i = 0; i < COUNT(making); i++)
        CHECK(apply(fsm, making[i].name, making[i].body, i, &error) == ERROR_OK, "%s", error.message);
    fsm_close(fsm);
    struct kv *kv = open_kv();
    remember(kv);
    kv_close(kv);
    CHECK(fsm_open(FOLDER, false, &fsm, &error) == ERROR_OK, "%s", error.message);
    make_seeds(fsm);
    fsm_close(fsm);
    CHECK(atexit(forget) == 0, "no room for an exit handler");
}

/* Everything as it was, but for one value. */
static void restore(uint32_t record, struct span value)
{
    struct error error = {0};
    struct kv *kv = open_kv();
    struct kv_batch *batch = kv_batch_new();
    const uint8_t end[] = {0xff};
    kv_batch_delete_range(batch, span_of("", 0), span_of(end, 1));
    for (uint32_t i = 0; i < sound_count; i++)
        kv_batch_put(batch, bytes_span(&sound[i].key), i == record ? value : bytes_span(&sound[i].value));
    CHECK(kv_write(kv, batch, (struct kv_write_options){0}, &error) == ERROR_OK, "%s", error.message);
    kv_batch_free(batch);
    kv_close(kv);
}

static bool take(void *context, const struct audit_record *record)
{
    json_t *json = schema_to_json(&audit_schema, record);
    (void)context;
    CHECK(json, "a record without a JSON form");
    json_decref(json);
    return true;
}

static void shown(json_t **json, enum error_code code, const struct error *error)
{
    if (code != ERROR_OK) {
        check_error(error, code);
        return;
    }
    char *text = json_dumps(*json, JSON_ENCODE_ANY);
    CHECK(text, "an answer that can't be written");
    free(text);
    json_decref(*json);
    *json = NULL;
}

#define SHOW(call)                                                                                           \
    do {                                                                                                     \
        struct error error = {0};                                                                            \
        json_t *json = NULL;                                                                                 \
        struct view *view = view_open(fsm);                                                                  \
        const enum error_code code = (call);                                                                 \
        shown(&json, code, &error);                                                                          \
        view_close(view);                                                                                    \
    } while (0)

static void check_views(struct fsm *fsm)
{
    static const struct audit_filter actor = {.actor = "ann"};
    const struct page page = {.limit = 100};
    SHOW(view_plan(view, "p1", &json, &error));
    SHOW(view_plans(view, NULL, &page, &json, &error));
    SHOW(view_stuck(view, 1, START_MS + 1000000000, &json, &error));
    SHOW(view_gates(view, "p1", "s1", START_MS + 5000, &json, &error));
    SHOW(view_preview(view, "rollout_stage", "p1/s1", "halt", &json, &error));
    SHOW(view_preview(view, "rollout_plan", "p1", "rollback", &json, &error));
    SHOW(view_flag(view, "f1", &json, &error));
    SHOW(view_flags(view, &page, &json, &error));
    SHOW(view_switch(view, "k1", &json, &error));
    SHOW(view_switches(view, &page, &json, &error));
    SHOW(view_epochs(view, 10, &json, &error));
    SHOW(view_members(view, &json, &error));
    SHOW((json = json_null(), view_audit(view, &actor, true, 1, take, NULL, &error)));
    struct arena arena;
    struct error error = {0};
    struct open_action *actions = NULL;
    struct member_info *members = NULL;
    uint32_t count = 0;
    struct view *view = view_open(fsm);
    arena_init(&arena, ARENA_BYTES);
    enum error_code code = view_open_actions(view, &arena, &actions, &count, &error);
    if (code != ERROR_OK)
        check_error(&error, code);
    code = view_member_list(view, &arena, &members, &count, &error);
    if (code != ERROR_OK)
        check_error(&error, code);
    (void)view_next_deadline_ms(view, 3600000);
    view_close(view);
    arena_done(&arena);
}

static void check_damaged(uint8_t which, struct span value)
{
    struct fsm *fsm = NULL;
    struct error error = {0};
    restore(which % sound_count, value);
    const enum error_code code = fsm_open(FOLDER, false, &fsm, &error);
    if (code != ERROR_OK) {
        check_error(&error, code);
        return;
    }
    check_views(fsm);
    struct fsm_state state;
    fsm_describe(fsm, &state);
    for (unsigned i = 0; i < COUNT(trying) && state.index < UINT32_MAX; i++) {
        const enum error_code applied = apply(fsm, trying[i].name, trying[i].body, 100 + i, &error);
        if (applied != ERROR_OK)
            check_error(&error, applied);
        CHECK(applied == ERROR_OK || applied == ERROR_CORRUPT || applied == ERROR_INVALID, "%s: %s",
              trying[i].name, error.message);
        if (applied != ERROR_OK)
            break; /* the node stops here */
    }
    fsm_close(fsm);
}

typedef enum error_code list_fn(struct view *view, const struct page *page, json_t **out,
                                struct error *error);

static enum error_code list_plans(struct view *view, const struct page *page, json_t **out,
                                  struct error *error)
{
    return view_plans(view, NULL, page, out, error);
}

/* Text as a client sends it, and the same bytes as the key of a cursor that has a right checksum. */
static void check_cursor(uint8_t list, struct span given)
{
    static list_fn *const lists[] = {list_plans, view_flags, view_switches};
    static struct fsm *fsm;
    uint8_t raw[4 + 512];
    char text[2 * sizeof raw + 1], plain[513];
    struct error error = {0};
    json_t *json = NULL;
    if (given.bytes > 512 || memchr(given.data, '\0', given.bytes) == given.data)
        return;
    restore(UINT32_MAX, given);
    CHECK(fsm_open(FOLDER, false, &fsm, &error) == ERROR_OK, "%s", error.message);
    struct view *view = view_open(fsm);
    put_u32(raw, crc32c(0, given.data, given.bytes));
    memcpy(raw + 4, given.data, given.bytes);
    hex_encode(raw, 4 + given.bytes, text);
    snprintf(plain, sizeof plain, "%.*s", (int)given.bytes, (const char *)given.data);
    const char *const cursors[] = {text, plain};
    for (unsigned i = 0; i < 2; i++) {
        const struct page page = {.limit = 1, .cursor = cursors[i]};
        const enum error_code code = lists[list % 3](view, &page, &json, &error);
        CHECK(code == ERROR_OK || code == ERROR_INVALID, "%s", error.message);
        if (code == ERROR_OK)
            fuzz_reached("cursor taken");
        shown(&json, code, &error);
    }
    view_close(view);
    fsm_close(fsm);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    if (length < 2 || length > 65536)
        return 0;
    if (sound_count == 0)
        make_sound();
    if (data[0] == 'c')
        check_cursor(data[1], span_of(data + 2, length - 2));
    else
        check_damaged(data[1], span_of(data + 2, length - 2));
    return 0;
}
