/* What can be rolled back, and how: one static table. It needs no store and no server, so that `rollback
 * preview` works offline; execution (fsm/rollback.c) reads the same rows. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct json_t;

enum safety_class { SAFETY_TERMINAL, SAFETY_REVERSIBLE, SAFETY_IDEMPOTENT };

struct rollback_strategy {
    const char *name; /* "skip_failed"; NULL ends a list */
    enum safety_class safety_class;
    bool reversible, repeatable;
    const char *effect; /* one sentence */
};

#define ROLLBACK_STRATEGIES_MAX 4u
#define ROLLBACK_NOTES_MAX      5u

struct rollback_target {
    const char *target;             /* "rollout_plan" */
    const char *kind;               /* "KindRolloutPlan" */
    enum safety_class safety_class; /* of the default strategy */
    bool reversible, repeatable;    /* of the default strategy */
    bool orchestrated;              /* `rollback execute` does it */
    const char *resource;           /* its form: "PLAN_ID" */
    const char *manual_path;        /* how to do it by hand; NULL when it is orchestrated */
    struct rollback_strategy
        strategies[ROLLBACK_STRATEGIES_MAX];            /* the default first; ends with a NULL name */
    const char *trigger_conditions[ROLLBACK_NOTES_MAX]; /* ends with NULL, like the next */
    const char *limitations[ROLLBACK_NOTES_MAX];
};

/** NULL: no such target. */
const struct rollback_target *rollback_target_find(const char *target);
/** NULL: past the last. */
const struct rollback_target *rollback_target_at(size_t position);
/** The default when `strategy` is NULL or ""; NULL: the target doesn't take it. */
const struct rollback_strategy *rollback_strategy_find(const struct rollback_target *target,
                                                       const char *strategy);
extern const char *const safety_class_names[3];
const char *safety_class_name(enum safety_class safety_class); /* "terminal" */

/** One target as an object: target, kind, safety_class, reversible, repeatable, default_strategy,
 * valid_strategies[], strategies[] {strategy, safety_class, reversible, repeatable, effect},
 * trigger_conditions[], limitations[], orchestrated, resource, manual_path (null when orchestrated). With
 * `target` NULL: {"items": [each of them]}.
 * @return ERROR_NOT_FOUND naming the targets there are */
enum error_code rollback_targets(const char *target, struct json_t **out, struct error *error) MUST_USE;
