/* Rollback actions: one command over what plans, stages and leadership can undo, and its preview.
 *
 * `rollback execute` leaves exactly one rollback.executed with the final outcome, beside the record of what
 * it acted on; a refusal leaves rollback.executed with outcome denied and nothing else. */
#pragma once

#include <stdbool.h>

#include "base/schema.h"
#include "fsm/plan_table.h"
#include "fsm/targets.h"

#define ROLLBACK_TOKEN_BYTES 33u /* 32 hex digits and a NUL */

struct rollback_execute {
    const char *target, *resource, *strategy, *reason, *preview_token;
};
extern const struct schema rollback_execute_schema;

/** PLAN or PLAN/STAGE, taken apart; stage_id is NULL for a plan. */
struct rollback_resource {
    const char *plan_id, *stage_id;
};
/** @return false: not of the form that the target takes */
bool rollback_resource_parse(const struct rollback_target *target, const char *resource, struct arena *arena,
                             struct rollback_resource *out);
/** What the strategy means to a plan. */
enum plan_event rollback_event(const struct rollback_strategy *strategy);
/** Stands for the plan as it is now: phase, stages and gates; reports of nodes don't change it. */
void rollback_token(const struct plan *plan, const char *target, const char *resource, const char *strategy,
                    char out[ROLLBACK_TOKEN_BYTES]);
/** Whether the strategy may be applied now, as plan_allows(). */
enum result_code rollback_allows(const struct plan *plan, const struct rollback_resource *resource,
                                 const struct rollback_strategy *strategy, char why[PLAN_WHY_BYTES]);
