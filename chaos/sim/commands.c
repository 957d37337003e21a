#include "chaos/sim/commands.h"

#include <jansson.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/schema.h"
#include "fsm/fsm.h"

#define COMMAND_ARENA_BYTES (1024u * 1024u)

void sim_command(const char *name, const char *request_id, const char *principal, uint64_t wall_ms,
                 const char *json, struct bytes *out)
{
    const struct command_type *type = command_by_name(name);
    struct error error = {0};
    json_t *parsed = NULL;
    struct arena arena;

    CHECK(type != NULL, "no command is called %s", name);
    CHECK(json_parse(span_text(json), &parsed, &error) == ERROR_OK, "%s: %s", json, error.message);
    arena_init(&arena, COMMAND_ARENA_BYTES);
    void *body = arena_new(&arena, type->schema->bytes);
    CHECK(schema_from_json(type->schema, parsed, &arena, body, &error) == ERROR_OK, "%s: %s", json,
          error.message);
    CHECK(command_encode(type, request_id, principal, wall_ms, body, out, &error) == ERROR_OK, "%s: %s", json,
          error.message);
    arena_done(&arena);
    json_decref(parsed);
}
