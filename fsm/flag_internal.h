/* Values of flags: packed, checked against the flag's type. */
#pragma once

#include "fsm/apply.h"
#include "fsm/flag.h"

/** Checks without coercing; only a bool also takes the texts "1" and "0".
 * @param out      the value as it is kept: `given`, or in the arena
 * @param problem  completes "flag X: ..."; in the arena */
bool flag_value_check(enum flag_type type, struct span given, struct arena *arena, struct span *out,
                      const char **problem);
bool flag_value_true(struct span value, struct arena *arena); /* of a bool */
struct span flag_value_bool(struct arena *arena, bool value);
struct span flag_value_string(struct arena *arena, const char *text);
/** For a record's field: the value itself, or how long it is. Records are hashed, so objects are only
 * measured: how their fractions are printed depends on who prints. */
const char *flag_value_describe(struct span value, struct arena *arena);

/* --- flag_view.c: JSON of answers --- */

/** What flag_json() shows, packed: the answer of the command that is sent most, on every node. */
void flag_pack(const struct flag_evaluation *evaluation, uint64_t index, struct bytes *out);
/** Makes a JSON object the answer's body, and lets go of it. */
void apply_answer_json(struct apply *apply, struct json_t *object);
/** {"changes": [{key, value, version}]}: a new reference. */
struct json_t *flag_changes_json(const struct flag *flags, size_t count);
