/* rollback preview against the state: what would happen to this plan now. */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "base/check.h"
#include "fsm/plan_internal.h"
#include "fsm/rollback.h"

#define VIEW_ARENA_BYTES (16u * 1024u * 1024u)

/* The phase that the strategy leads to; skipping the last stage completes the plan. */
static enum plan_phase phase_after(const struct plan *plan, enum plan_event event)
{
    const struct plan_rule *rule = plan_rule_find(event, plan->phase);
    if (rule == NULL)
        return plan->phase;
    if (event == EVENT_SKIP_FAILED && plan->current + 1 == plan->stage_count)
        return PLAN_COMPLETED;
    return rule->to;
}

/* How many nodes the strategy reaches: those to bring back, or those that would be offered nothing more. */
static uint64_t nodes_affected(const struct plan *plan, enum plan_event event)
{
    const struct plan_counts *counts = &plan->stages[plan->current].counts;
    if (event == EVENT_ROLLBACK)
        return plan_exposed(plan);
    if (event == EVENT_HALT || event == EVENT_CANCEL)
        return counts->state[NODE_PENDING] + counts->state[NODE_OFFERED];
    return 0;
}

static const char *plan_message(const struct plan *plan, enum plan_event event, struct arena *arena)
{
    const uint64_t exposed = plan_exposed(plan);
    if (event == EVENT_ROLLBACK && exposed > 0 && plan->artifact.previous_version == NULL)
        return arena_printf(
            arena, "version %s would stay on %" PRIu64 " node%s: the plan names no artifact.previous_version",
            plan->artifact.version, PLAN_NODES(exposed));
    if (event == EVENT_ROLLBACK && exposed > 0)
        return arena_printf(arena, "version %s would be offered to %" PRIu64 " node%s",
                            plan->artifact.previous_version, PLAN_NODES(exposed));
    if (event == EVENT_ROLLBACK)
        return "no node has activated the artifact";
    return NULL;
}

static json_t *preview_json(const struct plan *plan, const struct rollback_target *target,
                            const struct rollback_strategy *strategy,
                            const struct rollback_resource *resource, const char *text, struct arena *arena)
{
    char why[PLAN_WHY_BYTES] = "", token[ROLLBACK_TOKEN_BYTES];
    const enum plan_event event = rollback_event(strategy);
    const enum result_code code = rollback_allows(plan, resource, strategy, why);
    const bool allowed = code == RESULT_OK;
    rollback_token(plan, target->target, text, strategy->name, token);
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:s, s:s, s:s, s:s?, s:s?, s:I, s:s?, s:b, s:s?, s:s?, "
        "s:s?}",
        "target", target->target, "kind", target->kind, "resource", text, "strategy", strategy->name,
        "safety_class", safety_class_name(strategy->safety_class), "reversible", strategy->reversible,
        "repeatable", strategy->repeatable, "orchestrated", target->orchestrated, "plan_id", plan->plan_id,
        "phase_before", plan_phase_names[plan->phase], "phase_after",
        plan_phase_names[allowed ? phase_after(plan, event) : plan->phase], "current_stage_id",
        plan_current_stage_id(plan), "stage_id", resource->stage_id, "nodes_affected",
        (json_int_t)(allowed ? nodes_affected(plan, event) : 0), "message", plan_message(plan, event, arena),
        "allowed", allowed, "code", allowed ? NULL : result_name(code), "refusal", allowed ? NULL : why,
        "preview_token", allowed ? token : NULL);
    CHECK(object != NULL, "the preview of %s has no JSON form", text);
    return object;
}

static json_t *resign_json(const struct rollback_target *target, const struct rollback_strategy *strategy,
                           const char *resource)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:b, s:n, s:s}", "target", target->target,
                     "kind", target->kind, "resource", resource, "strategy", strategy->name, "safety_class",
                     safety_class_name(strategy->safety_class), "reversible", strategy->reversible,
                     "repeatable", strategy->repeatable, "orchestrated", target->orchestrated, "allowed", 1,
                     "preview_token", "message", strategy->effect);
}

static enum error_code preview_plan(struct view *self, const struct rollback_target *target,
                                    const struct rollback_strategy *strategy, const char *resource,
                                    struct arena *arena, struct json_t **out, struct error *error)
{
    struct rollback_resource parsed;
    struct plan plan;
    if (!rollback_resource_parse(target, resource, arena, &parsed))
        return error_set(error, ERROR_INVALID, "resource: \"%.128s\" is not of the form %s", resource,
                         target->resource);
    if (!plan_read(view_reader(self), parsed.plan_id, arena, &plan)) {
        const enum error_code code = view_result(self, error);
        return code != ERROR_OK
                   ? code
                   : error_set(error, ERROR_NOT_FOUND, "there is no plan \"%s\"", parsed.plan_id);
    }
    if (parsed.stage_id != NULL && plan_stage_find(&plan, parsed.stage_id) == PLAN_STAGE_UNKNOWN)
        return error_set(error, ERROR_NOT_FOUND, "plan \"%s\" has no stage \"%s\"", plan.plan_id,
                         parsed.stage_id);
    *out = preview_json(&plan, target, strategy, &parsed, resource, arena);
    return ERROR_OK;
}

enum error_code view_preview(struct view *self, const char *target_name, const char *resource,
                             const char *strategy_name, struct json_t **out, struct error *error)
{
    const struct rollback_target *target = rollback_target_find(target_name);
    if (target == NULL || resource == NULL || resource[0] == '\0')
        return rollback_targets(target_name, out, error);
    const struct rollback_strategy *strategy = rollback_strategy_find(target, strategy_name);
    if (strategy == NULL)
        return error_set(error, ERROR_INVALID, "strategy: %s has no strategy \"%.64s\"; its default is %s",
                         target_name, strategy_name, target->strategies[0].name);
    if (!target->orchestrated)
        return rollback_targets(target_name, out, error);
    if (strcmp(target->target, "ha_leader_resign") == 0) {
        *out = resign_json(target, strategy, resource);
        return ERROR_OK;
    }
    struct arena arena;
    arena_init(&arena, VIEW_ARENA_BYTES);
    const enum error_code code = preview_plan(self, target, strategy, resource, &arena, out, error);
    arena_done(&arena);
    return code;
}
