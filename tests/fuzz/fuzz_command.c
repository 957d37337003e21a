/* Whatever comes as a command is refused with a sentence, or is applied: the state takes it, and all that it
 * left can be read back. Input that a command may carry must never stop a node, because it would stop all of
 * them.
 *
 * An input that begins like an envelope is one; else its first byte chooses a command type and the rest is
 * the body as JSON. The state lives on from input to input for a while, so that commands meet what others
 * left. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/kv.h"
#include "fsm/commands.h"
#include "fsm/fsm.h"
#include "fuzz/fuzz.h"

#define ENTRIES_MAX 2000u /* then a new state */
#define START_MS    1767225600000ull

static char folder[] = "/tmp/autonomy-fuzz-XXXXXX";
static char path[64];
static struct fsm *fsm;
static struct audit_chain chain;
static uint64_t time_ms;

static void state_end(void)
{
    struct error error = {0};
    fsm_close(fsm);
    fsm = NULL;
    CHECK(kv_destroy(path, &error) == ERROR_OK, "%s", error.message);
}

static void leave(void)
{
    state_end();
    rmdir(folder);
}

static void state_begin(void)
{
    struct error error = {0};
    const bool first = path[0] == '\0';
    if (first) {
        CHECK(mkdtemp(folder) != NULL, "no folder");
        snprintf(path, sizeof path, "%s/state", folder);
    }
    CHECK(fsm_open(path, true, &fsm, &error) == ERROR_OK, "%s", error.message);
    if (first) /* behind what RocksDB makes at its first opening: handlers run backwards */
        CHECK(atexit(leave) == 0, "no room for an exit handler");
    chain = (struct audit_chain){0};
    time_ms = START_MS;
}

static bool take(void *context, const struct audit_record *record)
{
    struct error error = {0};
    (void)context;
    CHECK(audit_chain_next(&chain, record, &error) == ERROR_OK, "%s", error.message);
    json_t *json = schema_to_json(&audit_schema, record);
    CHECK(json != NULL, "record %lu has no JSON form", (unsigned long)record->seq);
    json_decref(json);
    return true;
}

/* All that a reader may ask for shows. */
static void check_views(void)
{
    struct error error = {0};
    json_t *json = NULL;
    struct arena arena;
    struct view *view = view_open(fsm);
    arena_init(&arena, 16u * 1024u * 1024u);
    CHECK(view_audit(view, NULL, true, chain.seq + 1, take, NULL, &error) == ERROR_OK, "%s", error.message);
    const struct page page = {.limit = 100};
    CHECK(view_plans(view, NULL, &page, &json, &error) == ERROR_OK, "%s", error.message);
    json_t *row = NULL, *plan = NULL;
    size_t at = 0;
    json_array_foreach(json_object_get(json, "items"), at, row)
    {
        const char *id = json_string_value(json_object_get(row, "plan_id"));
        CHECK(view_plan(view, id, &plan, &error) == ERROR_OK, "%s", error.message);
        json_decref(plan);
    }
    json_decref(json);
    CHECK(view_flags(view, &page, &json, &error) == ERROR_OK, "%s", error.message);
    json_decref(json);
    CHECK(view_switches(view, &page, &json, &error) == ERROR_OK, "%s", error.message);
    json_decref(json);
    CHECK(view_members(view, &json, &error) == ERROR_OK, "%s", error.message);
    json_decref(json);
    CHECK(view_epochs(view, 100, &json, &error) == ERROR_OK, "%s", error.message);
    json_decref(json);
    (void)view_next_deadline_ms(view, 3600000);
    arena_done(&arena);
    view_close(view);
}

static void apply(struct bytes *command)
{
    struct fsm_state state;
    struct result result;
    struct error error = {0};
    json_t *body = NULL;
    fsm_describe(fsm, &state);
    time_ms += 60000;
    command_stamp(command->data, command->length, time_ms, 1);
    const struct entry entry = {
        .index = state.index + 1, .term = 1, .type = ENTRY_COMMAND, .data = bytes_span(command)};
    CHECK(fsm_apply(fsm, &entry, 1, &result, &error) == ERROR_OK, "%s", error.message);
    CHECK(value_to_json(result.body, &body, &error) == ERROR_OK, "%s", error.message);
    CHECK(json_is_object(body), "an answer that is no object");
    json_decref(body);
    check_views();
    if (entry.index == ENTRIES_MAX) {
        state_end();
        state_begin();
    }
}

/* The rest of the input as a body of the type that its first byte chooses. */
static bool encode(const uint8_t *data, size_t length, struct arena *arena, struct bytes *out)
{
    uint32_t count = 0;
    struct error error = {0};
    json_t *json = NULL;
    while (command_at(count))
        count++;
    const struct command_type *type = command_at(data[0] % count);
    enum error_code code = json_parse(span_of(data + 1, length - 1), &json, &error);
    if (code == ERROR_OK) {
        void *body = arena_new(arena, type->schema->bytes);
        code = schema_from_json(type->schema, json, arena, body, &error);
        json_decref(json);
        if (code == ERROR_OK)
            code = command_encode(type, "", "fuzz", START_MS, body, out, &error);
    }
    if (code != ERROR_OK)
        check_error(&error, code);
    return code == ERROR_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct arena arena;
    struct bytes command;
    struct command_header header;
    struct error error = {0};
    if (length < 2 || length > 65536)
        return 0;
    if (!fsm)
        state_begin();
    arena_init(&arena, 16u * 1024u * 1024u);
    bytes_init(&command, 0);
    if (data[0] == 0x99)
        bytes_append(&command, data, length);
    if (data[0] == 0x99 || encode(data, length, &arena, &command)) {
        const enum error_code code = command_inspect(bytes_span(&command), &arena, &header, &error);
        if (code == ERROR_OK)
            apply(&command);
        else
            check_error(&error, code);
    }
    bytes_done(&command);
    arena_done(&arena);
    return 0;
}
