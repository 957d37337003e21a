/* Every record that is stored, replicated or taken from a client: its bytes are refused with a sentence, or
 * give a record that packs, unpacks, shows as JSON and reads back as the same. The first byte chooses the
 * table, the second the form: '{' begins JSON, anything else msgpack. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/schema.h"
#include "fsm/audit_store.h"
#include "fsm/flag.h"
#include "fsm/fsm.h"
#include "fsm/kill_switch.h"
#include "fsm/leadership.h"
#include "fsm/plan.h"
#include "fsm/rollback.h"
#include "fuzz/fuzz.h"

#define ARENA_BYTES (16u * 1024u * 1024u)

/* What stands in the state; bodies of commands come after it, from their own table. */
static const struct schema *const stored[] = {&audit_schema,       &plan_schema,   &plan_node_schema,
                                              &flag_schema,        &epoch_schema,  &member_schema,
                                              &kill_switch_schema, &action_schema, &audit_anchor_schema};
#define STORED (sizeof stored / sizeof stored[0])

static const struct schema *choose(uint8_t byte)
{
    uint32_t commands = 0;
    while (command_at(commands))
        commands++;
    const uint32_t place = byte % (uint32_t)(STORED + commands);
    return place < STORED ? stored[place] : command_at(place - (uint32_t)STORED)->schema;
}

/* msgpack -> record -> msgpack: one encoding, and the same record. */
static void check_packed(const struct schema *schema, uint8_t place, const void *record, struct arena *arena)
{
    char name[32];
    struct error error = {0};
    struct bytes packed, again;
    void *back = arena_new(arena, schema->bytes);
    bytes_init(&packed, 0);
    bytes_init(&again, 0);
    schema_pack(schema, record, &packed);
    CHECK(schema_unpack(schema, bytes_span(&packed), arena, back, &error) == ERROR_OK, "%s", error.message);
    schema_pack(schema, back, &again);
    snprintf(name, sizeof name, "packed-%02u", place);
    fuzz_seed("record", name, span_of(&place, 1), bytes_span(&packed));
    CHECK(span_equal(bytes_span(&packed), bytes_span(&again)), "%s has two encodings", schema->name);
    bytes_done(&packed);
    bytes_done(&again);
}

static void check_shown(const struct schema *schema, const void *record, struct arena *arena)
{
    struct error error = {0};
    void *back = arena_new(arena, schema->bytes);
    json_t *json = schema_to_json(schema, record);
    if (schema_from_json(schema, json, arena, back, &error) == ERROR_OK) {
        json_t *again = schema_to_json(schema, back);
        CHECK(json_equal(json, again), "%s changes on its way through JSON", schema->name);
        json_decref(again);
    } else { /* only who asks must say something; and a time of 0 shows as none */
        CHECK(strstr(error.message, "only blanks") || strstr(error.message, "missing, and required"),
              "%s: %s", schema->name, error.message);
    }
    json_decref(json);
}

static enum error_code read_json(const struct schema *schema, struct span text, struct arena *arena,
                                 void *record, struct error *error)
{
    json_t *json = NULL;
    enum error_code code = json_parse(text, &json, error);
    if (code == ERROR_OK)
        code = schema_from_json(schema, json, arena, record, error);
    json_decref(json);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct arena arena;
    struct error error = {0};
    if (length < 2 || length > 65536)
        return 0;
    arena_init(&arena, ARENA_BYTES);
    const struct schema *schema = choose(data[0]);
    const struct span rest = span_of(data + 1, length - 1);
    void *record = arena_new(&arena, schema->bytes);
    const enum error_code code = data[1] == '{' ? read_json(schema, rest, &arena, record, &error)
                                                : schema_unpack(schema, rest, &arena, record, &error);
    if (code != ERROR_OK) {
        check_error(&error, code);
    } else {
        check_packed(schema, data[0], record, &arena);
        check_shown(schema, record, &arena);
    }
    arena_done(&arena);
    return 0;
}
