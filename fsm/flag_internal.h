/* Values of flags: packed JSON, checked against the flag's type. */
#pragma once

#include "fsm/apply.h"
#include "fsm/flag.h"

/** Checks without coercing; only a bool also takes the texts "1" and "0".
 * @param out      the value as it is kept, in the arena or as `given` has it
 * @param problem  completes "flag X: ..."; in the arena */
bool flag_value_check(enum flag_type type, struct span given, struct arena *arena, struct span *out,
                      const char **problem);
bool flag_value_true(struct span value); /* of a bool */
struct span flag_value_bool(struct arena *arena, bool value);
struct span flag_value_string(struct arena *arena, const char *text);
/** Compact JSON for a record's field; a long one is only measured. */
const char *flag_value_describe(struct span value, struct arena *arena);
struct json_t *flag_value_json(struct span value); /* null for an absent one; a new reference */

/** Makes a JSON object the answer's body, and lets go of it. */
void apply_answer_json(struct apply *apply, struct json_t *object);
