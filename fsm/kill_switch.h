/* Kill switches: named sets of flags. While a switch is active its flags evaluate to their safe values,
 * whatever is set; what was set is kept for the day of the reset. DISABLE_NEW is built in and covers all
 * flags.
 *
 * Activating is made easy (one command, a reason); resetting is not: a reason, a root cause, and an approver
 * who is not the one who resets. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/schema.h"
#include "fsm/view.h"

struct apply;

#define KILL_SWITCHES_MAX     256u
#define KILL_SWITCH_FLAGS_MAX 256u /* named by one switch */

struct kill_switch { /* key 'k'; while it is active also key 'K' */
    const char *name;
    const char **flags;
    size_t flag_count;
    const char *prefix;
    bool all;
    const char *description;
    bool active;
    uint64_t version; /* from 1; rises with every definition, activation and reset */
    uint64_t activated_ms;
    const char *activated_by, *activate_reason;
    uint64_t reset_ms;
    const char *reset_by, *approver, *reset_reason, *root_cause;
    bool forced;
    bool built_in;
};

struct switch_define {
    const char *name;
    const char **flags;
    size_t flag_count;
    const char *prefix;
    bool all;
    const char *description, *reason;
};
struct switch_activate {
    const char *name, *reason;
};
struct switch_reset {
    const char *name, *reason, *approver, *root_cause;
    bool force;
};

extern const struct schema kill_switch_schema, switch_define_schema, switch_activate_schema,
    switch_reset_schema;

/** @return false: there is no such switch, built in or defined */
bool kill_switch_read(struct reader reader, const char *name, struct arena *arena, struct kill_switch *out);
bool kill_switch_covers(const struct kill_switch *self, const char *flag_key);
/** The first active switch, by name, that covers the flag. @param name  in the arena */
bool kill_switch_covering(struct reader reader, const char *flag_key, struct arena *arena, const char **name);
/** Activates, leaves killswitch.activated. @return false after a refusal: unknown, or active already */
bool kill_switch_activate(struct apply *apply, const char *name, const char *reason);
/** {name, flags | prefix | all, description, active, version, activated_at, activated_by, reason, last_reset,
 * built_in}; the scope as the one member that applies. A new reference. */
struct json_t *kill_switch_json(const struct kill_switch *self);
