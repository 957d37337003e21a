/* How a module registers its command types, and how a logged command is taken apart.
 *
 * Each module exports its entries; commands.c only lists the modules. Numbers and names are never reused. */
#pragma once

#include <stddef.h>

#include "fsm/apply.h"
#include "fsm/fsm.h"

struct command_entry {
    struct command_type type; /* number, name, schema of the body, permission, safety class */
    command_handler *handler;
};

/** Permission of what only the leader itself proposes; it is admitted when the table of requests is full. */
#define PERMISSION_SYSTEM "system"

/* {{.type = 15, .name = "rollout.halt", .schema = &halt_schema, .permission = "rollout:write", .safety_class
 * = "terminal"}, halt} */
extern const struct command_entry leadership_commands[]; /* leadership*.c: 1, 2, 31, 32, 60, 61, 70 */
extern const size_t leadership_command_count;
extern const struct command_entry plan_commands[]; /* plan*.c: 10 .. 19 */
extern const size_t plan_command_count;
extern const struct command_entry rollback_commands[]; /* rollback.c: 30 */
extern const size_t rollback_command_count;
extern const struct command_entry flag_commands[]; /* flag*.c: 40 .. 42 */
extern const size_t flag_command_count;
extern const struct command_entry switch_commands[]; /* kill_switch.c: 50 .. 52 */
extern const size_t switch_command_count;
extern const struct command_entry audit_commands[]; /* audit_prune.c: 80 */
extern const size_t audit_command_count;

/** @return NULL: this build doesn't know the type */
const struct command_entry *command_entry_by_type(uint32_t type);

/** One logged command, taken apart; texts and body are in the arena. */
struct command {
    uint64_t wall_ms;
    uint32_t level, version, source;
    const char *request_id, *principal;
    const struct command_entry *entry;
    struct span packed_body; /* what the request's hash covers */
    void *body;              /* a struct of entry->type.schema */
};
/** @return ERROR_INVALID for an envelope, level, type, version or body that this build does not understand */
enum error_code command_decode(struct span data, struct arena *arena, struct command *out,
                               struct error *error) MUST_USE;
