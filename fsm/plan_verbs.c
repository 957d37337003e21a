/* What operators do to a plan: each verb asks the table, acts, leaves its record, saves. */
#include <string.h>

#include "base/check.h"
#include "fsm/plan_internal.h"

bool plan_permit(struct apply *apply, const struct plan *plan, enum plan_event event)
{
    char why[PLAN_WHY_BYTES];
    const enum result_code code = plan_allows(plan, event, why);
    if (code != RESULT_OK)
        apply_refuse_with(apply, code, "phase", plan_phase_names[plan->phase], "%s", why);
    return code == RESULT_OK;
}

static void note_actor(struct apply *apply, struct plan *plan, const char *reason,
                       struct plan_verdict *verdict)
{
    *verdict = (struct plan_verdict){.previous_phase = plan->phase};
    plan->last_actor = apply->principal;
    plan->last_reason = reason;
}

static void record_phase(struct apply *apply, const struct plan *plan, enum plan_event event,
                         const char *action, const char *reason, enum plan_phase previous)
{
    plan_record(apply, plan, NULL, plan_event_info(event)->event_name, action, reason, "previous_phase",
                plan_phase_names[previous], "new_phase", plan_phase_names[plan->phase], "stage_id",
                plan_current_stage_id(plan), NULL);
}

bool plan_publish(struct apply *apply, struct plan *plan, const char *reason, struct plan_verdict *verdict)
{
    const bool later = plan->start_ms > apply->time_ms;
    const enum plan_event event = later ? EVENT_PUBLISH_LATER : EVENT_PUBLISH;
    if (!plan_permit(apply, plan, event))
        return false;
    note_actor(apply, plan, reason, verdict);
    plan_enter(apply, plan, event);
    plan_move(apply, plan);
    plan->published_ms = apply->time_ms;
    record_phase(apply, plan, event, "publish", reason, verdict->previous_phase);
    plan_enrol_listed(apply, plan);
    if (!later) {
        plan_open_first(apply, plan);
        verdict->promoted = plan_advance(apply, plan) > 0;
    }
    plan_save(apply, plan);
    return true;
}

bool plan_pause(struct apply *apply, struct plan *plan, const char *reason, struct plan_verdict *verdict)
{
    if (!plan_permit(apply, plan, EVENT_PAUSE))
        return false;
    note_actor(apply, plan, reason, verdict);
    plan_enter(apply, plan, EVENT_PAUSE);
    plan_move(apply, plan);
    record_phase(apply, plan, EVENT_PAUSE, "pause", reason, verdict->previous_phase);
    plan_save(apply, plan);
    return true;
}

bool plan_resume(struct apply *apply, struct plan *plan, const char *reason, struct plan_verdict *verdict)
{
    if (!plan_permit(apply, plan, EVENT_RESUME))
        return false;
    note_actor(apply, plan, reason, verdict);
    plan_enter(apply, plan, EVENT_RESUME);
    plan_move(apply, plan);
    record_phase(apply, plan, EVENT_RESUME, "resume", reason, verdict->previous_phase);
    verdict->promoted = plan_advance(apply, plan) > 0; /* what came while it was paused counts now */
    plan_save(apply, plan);
    return true;
}

bool plan_cancel(struct apply *apply, struct plan *plan, const char *reason, struct plan_verdict *verdict)
{
    if (!plan_permit(apply, plan, EVENT_CANCEL))
        return false;
    note_actor(apply, plan, reason, verdict);
    if (plan->stages[plan->current].phase == STAGE_OPEN)
        plan_close_stage(apply, plan, STAGE_HALTED);
    plan_enter(apply, plan, EVENT_CANCEL);
    plan_tell_all_nodes(apply, plan);
    record_phase(apply, plan, EVENT_CANCEL, "cancel", reason, verdict->previous_phase);
    plan_save(apply, plan);
    return true;
}

/* The stage that halt and approve are about. @return false after a refusal */
static bool find_stage(struct apply *apply, const struct plan *plan, const char *stage_id, size_t *out)
{
    *out = stage_id == NULL || stage_id[0] == '\0' ? plan->current : plan_stage_find(plan, stage_id);
    if (*out != PLAN_STAGE_UNKNOWN)
        return true;
    apply_refuse(apply, RESULT_STAGE_NOT_FOUND, "plan \"%s\" has no stage \"%s\"", plan->plan_id, stage_id);
    return false;
}

bool plan_halt_stage(struct apply *apply, struct plan *plan, const char *stage_id, const char *reason,
                     struct plan_verdict *verdict)
{
    size_t index;
    if (!plan_permit(apply, plan, EVENT_HALT) || !find_stage(apply, plan, stage_id, &index))
        return false;
    const struct plan_stage *stage = &plan->stages[index];
    if (stage->phase != STAGE_OPEN && stage->phase != STAGE_HALTED) {
        apply_refuse_with(apply, RESULT_STAGE_PHASE, "stage_phase", stage_phase_names[stage->phase],
                          "stage \"%s\" of plan \"%s\" is %s; only the open stage can be halted",
                          stage->spec.stage_id, plan->plan_id, stage_phase_names[stage->phase]);
        return false;
    }
    const bool already = stage->phase == STAGE_HALTED;
    *verdict = (struct plan_verdict){
        .previous_phase = plan->phase, .already_halted = already, .stage_id = stage->spec.stage_id};
    if (!already) {
        note_actor(apply, plan, reason, verdict);
        verdict->stage_id = stage->spec.stage_id;
        plan_close_stage(apply, plan, STAGE_HALTED);
    }
    plan_record(apply, plan, verdict->stage_id, plan_event_info(EVENT_HALT)->event_name, "halt", reason,
                "plan_id", plan->plan_id, "stage_id", verdict->stage_id, "phase",
                plan_phase_names[plan->phase], "already_halted", already ? "true" : "false", NULL);
    if (!already)
        plan_save(apply, plan);
    return true;
}

static bool approvable(struct apply *apply, const struct plan *plan, const struct plan_stage *stage)
{
    if (stage->phase == STAGE_HALTED)
        apply_refuse_with(apply, RESULT_STAGE_HALTED, "stage_phase", stage_phase_names[stage->phase],
                          "stage \"%s\" of plan \"%s\" is halted for good; its gates can't be approved",
                          stage->spec.stage_id, plan->plan_id);
    else if (stage->phase != STAGE_OPEN)
        apply_refuse_with(apply, RESULT_STAGE_PHASE, "stage_phase", stage_phase_names[stage->phase],
                          "stage \"%s\" of plan \"%s\" is %s; only the open stage's gates can be approved",
                          stage->spec.stage_id, plan->plan_id, stage_phase_names[stage->phase]);
    else if (stage_gate(stage, GATE_MANUAL) == NULL)
        apply_refuse(apply, RESULT_NO_MANUAL_GATE, "stage \"%s\" of plan \"%s\" has no manual gate",
                     stage->spec.stage_id, plan->plan_id);
    return !apply_refused(apply);
}

/* What an approval led to, in a sentence. */
static const char *approval_message(struct apply *apply, const struct plan *plan,
                                    const struct plan_stage *stage)
{
    if (stage->phase == STAGE_PROMOTED && plan->phase == PLAN_COMPLETED)
        return arena_printf(apply->arena, "approved; stage %s is promoted and the plan is completed",
                            stage->spec.stage_id);
    if (stage->phase == STAGE_PROMOTED)
        return arena_printf(apply->arena, "approved; stage %s is promoted, stage %s is open",
                            stage->spec.stage_id, plan_current_stage_id(plan));
    if (plan->phase == PLAN_PAUSED)
        return "approved; the plan is paused and goes on when it is resumed";
    char waits[1024];
    plan_waits_for(plan, apply->time_ms, waits, sizeof waits);
    return arena_printf(apply->arena, "approved; %s", waits);
}

bool plan_approve_gate(struct apply *apply, struct plan *plan, const char *stage_id, const char *reason,
                       struct plan_verdict *verdict)
{
    size_t index;
    if (!plan_permit(apply, plan, EVENT_APPROVE) || !find_stage(apply, plan, stage_id, &index) ||
        !approvable(apply, plan, &plan->stages[index]))
        return false;
    struct plan_stage *stage = &plan->stages[index];
    note_actor(apply, plan, reason, verdict);
    if (!stage->approved) {
        stage->approved = true;
        stage->approved_by = apply->principal;
        stage->approve_reason = reason;
        stage->approved_ms = apply->time_ms;
        plan->revision++;
    }
    plan->updated_ms = apply->time_ms;
    plan_record(apply, plan, stage->spec.stage_id, plan_event_info(EVENT_APPROVE)->event_name, "approve",
                reason, "plan_id", plan->plan_id, "stage_id", stage->spec.stage_id, "gate",
                gate_kind_names[GATE_MANUAL], NULL);
    plan_advance(apply, plan);
    verdict->approved = true;
    verdict->promoted = stage->phase == STAGE_PROMOTED;
    verdict->message = approval_message(apply, plan, stage);
    verdict->stage_id = stage->spec.stage_id;
    plan_save(apply, plan);
    return true;
}

static void roll_back(struct apply *apply, struct plan *plan, const struct plan_recover *request)
{
    if (plan->stages[plan->current].phase == STAGE_OPEN)
        plan_close_stage(apply, plan, STAGE_ROLLED_BACK);
    for (size_t i = 0; i < plan->stage_count; i++)
        if (plan->stages[i].phase == STAGE_PROMOTED)
            plan->stages[i].phase = STAGE_ROLLED_BACK; /* a halted stage stays halted */
    plan_enter(apply, plan, EVENT_ROLLBACK);
    plan_tell_all_nodes(apply, plan);
    plan_revert_start(apply, plan, request->pace, request->policy);
}

static void record_recovery(struct apply *apply, struct plan *plan, const struct plan_recover *request,
                            const struct plan_verdict *verdict, const char *stage_id)
{
    const bool rollback = request->strategy == RECOVER_ROLLBACK;
    const bool sends = plan->revert.state == REVERT_RUNNING || plan->revert.state == REVERT_DONE;
    plan_record(apply, plan, NULL, plan_event_info(EVENT_ROLLBACK)->event_name, "recover", request->reason,
                "strategy", recover_strategy_names[request->strategy], "previous_phase",
                plan_phase_names[verdict->previous_phase], "new_phase", plan_phase_names[plan->phase],
                "stage_id", stage_id, "nodes", rollback ? apply_number(apply, plan->revert.nodes) : NULL,
                "policy", rollback ? revert_policy_names[plan->revert.policy] : NULL, "pace",
                rollback && sends ? revert_pace_names[plan->revert.pace] : NULL, "previous_version",
                rollback && sends ? plan->artifact.previous_version : NULL, NULL);
}

static enum plan_event recover_event(uint32_t strategy)
{
    return strategy == RECOVER_RETRY      ? EVENT_RETRY
           : strategy == RECOVER_ROLLBACK ? EVENT_ROLLBACK
                                          : EVENT_SKIP_FAILED;
}

bool plan_recover_with(struct apply *apply, struct plan *plan, const struct plan_recover *request,
                       struct plan_verdict *verdict)
{
    const enum plan_event event = recover_event(request->strategy);
    if (!plan_permit(apply, plan, event))
        return false;
    note_actor(apply, plan, request->reason, verdict);
    const char *stage_id = plan_current_stage_id(plan);
    if (request->strategy == RECOVER_ROLLBACK)
        roll_back(apply, plan, request);
    else
        plan_enter(apply, plan, event);
    plan_move(apply, plan);
    record_recovery(apply, plan, request, verdict, stage_id);
    if (request->strategy == RECOVER_RETRY) {
        verdict->promoted = plan_advance(apply, plan) > 0;
    } else if (request->strategy == RECOVER_SKIP_FAILED) {
        plan_skip(apply, plan);
    } else {
        uint32_t budget = PLAN_WAVE_NODES_MAX;
        plan_wave_run(apply, plan, &budget);
        verdict->message = plan_revert_message(plan, apply->arena);
    }
    plan_save(apply, plan);
    return true;
}

struct bytes *plan_answer(struct apply *apply, const struct plan *plan, const struct plan_verdict *verdict,
                          uint32_t more)
{
    struct bytes *body = apply_answer(apply);
    value_map(body, 7 + more);
    value_text(body, "plan_id", plan->plan_id);
    value_text(body, "phase", plan_phase_names[plan->phase]);
    value_text(body, "previous_phase", plan_phase_names[verdict->previous_phase]);
    value_text(body, "new_phase", plan_phase_names[plan->phase]);
    value_text(body, "current_stage_id", plan_current_stage_id(plan));
    value_time(body, "created_at", plan->created_ms);
    value_time(body, "updated_at", plan->updated_ms);
    return body;
}
