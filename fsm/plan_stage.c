/* Stages: opening, promoting, ending; and the records that tell of it. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/check.h"
#include "fsm/plan_internal.h"

#define RECORD_FIELDS_MAX 16u

size_t plan_stage_find(const struct plan *plan, const char *stage_id)
{
    for (size_t i = 0; i < plan->stage_count; i++)
        if (strcmp(plan->stages[i].spec.stage_id, stage_id) == 0)
            return i;
    return PLAN_STAGE_UNKNOWN;
}

const char *plan_current_stage_id(const struct plan *plan)
{
    return plan->started ? plan->stages[plan->current].spec.stage_id : NULL;
}

struct plan_counts *plan_counts_of(struct plan *plan, uint64_t stage)
{
    CHECK(stage == PLAN_STAGE_NONE || stage < plan->stage_count, "stage %" PRIu64 " of %zu", stage,
          plan->stage_count);
    return stage == PLAN_STAGE_NONE ? &plan->outside : &plan->stages[stage].counts;
}

uint64_t plan_sum(const struct plan *plan, enum node_state state)
{
    uint64_t sum = plan->outside.state[state];
    for (size_t i = 0; i < plan->stage_count; i++)
        sum += plan->stages[i].counts.state[state];
    return sum;
}

uint64_t plan_exposed(const struct plan *plan)
{
    uint64_t sum = plan->outside.exposed;
    for (size_t i = 0; i < plan->stage_count; i++)
        sum += plan->stages[i].counts.exposed;
    return sum;
}

/* --- records --- */

void plan_record(struct apply *apply, const struct plan *plan, const char *stage_id, const char *event_name,
                 const char *action, const char *reason, ...)
{
    struct field_pair *fields = arena_new(apply->arena, RECORD_FIELDS_MAX * sizeof *fields);
    size_t count = 0;
    va_list pairs;
    va_start(pairs, reason);
    for (const char *key = va_arg(pairs, const char *); key != NULL; key = va_arg(pairs, const char *)) {
        const char *value = va_arg(pairs, const char *);
        if (value == NULL)
            continue;
        CHECK(count < RECORD_FIELDS_MAX, "%s has more than %u fields", event_name, RECORD_FIELDS_MAX);
        fields[count++] = (struct field_pair){key, value};
    }
    va_end(pairs);
    const struct audit_record record = {
        .category = AUDIT_ROLLOUT,
        .outcome = AUDIT_SUCCESS,
        .event_name = event_name,
        .action = action,
        .reason = reason,
        .resource_type = stage_id == NULL ? "rollout_plan" : "rollout_stage",
        .resource =
            stage_id == NULL ? plan->plan_id : arena_printf(apply->arena, "%s/%s", plan->plan_id, stage_id),
        .fields = fields,
        .field_count = count,
    };
    apply_record(apply, &record);
}

static void tell(struct apply *apply, struct plan *plan, uint64_t stage, const char *event_name,
                 const char *action, uint64_t *count, uint64_t *failed)
{
    if (*count == 0 && (failed == NULL || *failed == 0))
        return;
    const char *stage_id = stage == PLAN_STAGE_NONE ? NULL : plan->stages[stage].spec.stage_id;
    plan_record(apply, plan, stage_id, event_name, action, NULL, "plan_id", plan->plan_id, "stage_id",
                stage_id, "nodes", apply_number(apply, *count), "version", plan->artifact.version, "failed",
                failed == NULL ? NULL : apply_number(apply, *failed), NULL);
    *count = 0;
    if (failed != NULL)
        *failed = 0;
}

void plan_tell_nodes(struct apply *apply, struct plan *plan, uint64_t stage, bool closing)
{
    struct plan_counts *counts = plan_counts_of(plan, stage);
    if (closing || counts->state[NODE_OFFERED] == 0) {
        tell(apply, plan, stage, "rollout.node.activated", "activate", &counts->activated_untold, NULL);
        tell(apply, plan, stage, "rollout.node.failed", "activate", &counts->failed_untold, NULL);
    }
    if (closing || counts->state[NODE_REVERT_OFFERED] == 0)
        tell(apply, plan, stage, "rollout.node.reverted", "revert", &counts->reverted_untold,
             &counts->revert_failed_untold);
}

void plan_tell_all_nodes(struct apply *apply, struct plan *plan)
{
    for (size_t i = 0; i < plan->stage_count; i++)
        plan_tell_nodes(apply, plan, i, true);
    plan_tell_nodes(apply, plan, PLAN_STAGE_NONE, true);
}

/* --- phases and clocks --- */

static void clock_start(const struct apply *apply, struct plan_stage *stage)
{
    if (stage->phase != STAGE_OPEN || stage->clock_running)
        return;
    stage->clock_running = true;
    stage->clock_since_ms = apply->time_ms;
}

static void clock_stop(const struct apply *apply, struct plan_stage *stage)
{
    stage->clock_ms = stage_open_ms(stage, apply->time_ms);
    stage->clock_running = false;
    stage->clock_since_ms = 0;
}

void plan_enter(struct apply *apply, struct plan *plan, enum plan_event event)
{
    const struct plan_rule *rule = plan_rule_find(event, plan->phase);
    CHECK(rule != NULL, "event %d in phase %s", (int)event, plan_phase_names[plan->phase]);
    plan->phase = rule->to;
    plan->revision++;
    plan->updated_ms = apply->time_ms;
    if (plan->phase == PLAN_ACTIVE)
        clock_start(apply, &plan->stages[plan->current]);
    else
        clock_stop(apply, &plan->stages[plan->current]);
    if (plan_phase_terminal(plan->phase))
        plan->ended_ms = apply->time_ms;
}

void plan_move(const struct apply *apply, struct plan *plan)
{
    plan->moved_ms = apply->time_ms;
    plan->updated_ms = apply->time_ms;
    plan->stuck_recorded = false;
}

static void open_stage(struct apply *apply, struct plan *plan, size_t index)
{
    struct plan_stage *stage = &plan->stages[index];
    CHECK(stage->phase == STAGE_PENDING && plan->phase == PLAN_ACTIVE, "stage %zu of %s opens in phase %s",
          index, plan->plan_id, plan_phase_names[plan->phase]);
    plan->current = index;
    plan->started = true;
    stage->phase = STAGE_OPEN;
    stage->opened_ms = apply->time_ms;
    clock_start(apply, stage);
    plan->revision++;
    plan_move(apply, plan);
    plan_record(apply, plan, stage->spec.stage_id, "rollout.stage.opened", "open", NULL, "plan_id",
                plan->plan_id, "stage_id", stage->spec.stage_id, "stage", apply_number(apply, index + 1),
                "stages", apply_number(apply, plan->stage_count), NULL);
}

void plan_open_first(struct apply *apply, struct plan *plan)
{
    open_stage(apply, plan, 0);
}

void plan_close_stage(struct apply *apply, struct plan *plan, enum stage_phase phase)
{
    struct plan_stage *stage = &plan->stages[plan->current];
    CHECK(stage->phase == STAGE_OPEN, "stage %s is %s", stage->spec.stage_id,
          stage_phase_names[stage->phase]);
    clock_stop(apply, stage);
    stage->phase = phase;
    stage->closed_ms = apply->time_ms;
    plan->revision++;
    plan_move(apply, plan);
    plan_tell_nodes(apply, plan, plan->current, true);
}

static void promote(struct apply *apply, struct plan *plan, bool forced)
{
    struct plan_stage *stage = &plan->stages[plan->current];
    stage->forced = forced;
    plan_close_stage(apply, plan, STAGE_PROMOTED);
    plan_record(apply, plan, stage->spec.stage_id, "rollout.stage.promoted", "promote", NULL, "plan_id",
                plan->plan_id, "stage_id", stage->spec.stage_id, "forced", forced ? "true" : "false", NULL);
}

static void leave_stage(struct apply *apply, struct plan *plan)
{
    if (plan->current + 1 < plan->stage_count) {
        open_stage(apply, plan, plan->current + 1);
        return;
    }
    plan_enter(apply, plan, EVENT_COMPLETE);
    plan_move(apply, plan);
    plan_tell_all_nodes(apply, plan);
    plan_record(apply, plan, NULL, plan_event_info(EVENT_COMPLETE)->event_name, "complete", NULL,
                "previous_phase", plan_phase_names[PLAN_ACTIVE], "new_phase", plan_phase_names[plan->phase],
                NULL);
}

uint32_t plan_advance(struct apply *apply, struct plan *plan)
{
    uint32_t promoted = 0;
    while (plan->phase == PLAN_ACTIVE && plan->stages[plan->current].phase == STAGE_OPEN &&
           stage_passed(&plan->stages[plan->current], apply->time_ms)) {
        promote(apply, plan, false);
        leave_stage(apply, plan);
        promoted++;
    }
    CHECK(promoted <= PLAN_STAGES_MAX, "%u promotions", promoted);
    return promoted;
}

void plan_skip(struct apply *apply, struct plan *plan)
{
    if (plan->stages[plan->current].phase == STAGE_OPEN)
        promote(apply, plan, true);
    leave_stage(apply, plan);
    plan_advance(apply, plan);
}
