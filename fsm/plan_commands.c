/* Handlers of the rollout commands: name what is tried, load, do, answer. */
#include "fsm/commands.h"
#include "fsm/plan_internal.h"

/* A refusal of a terminal action leaves its record. */
static void attempt(struct apply *apply, enum plan_event event, const char *action, const char *plan_id,
                    const char *stage_id, const char *reason)
{
    const struct plan_event_info *info = plan_event_info(event);
    const bool stage = stage_id != NULL && stage_id[0] != '\0';
    if (!info->attempt)
        return;
    apply_attempt(apply, AUDIT_ROLLOUT, info->event_name, action, stage ? "rollout_stage" : "rollout_plan",
                  stage ? arena_printf(apply->arena, "%s/%s", plan_id, stage_id) : plan_id, reason);
}

static void create(struct apply *apply, const void *body)
{
    const struct plan_create *request = body;
    struct plan plan;
    if (!plan_make(apply, request, &plan))
        return;
    plan_save(apply, &plan);
    plan_record(apply, &plan, NULL, "rollout.plan.created", "create", request->reason, "new_phase",
                plan_phase_names[PLAN_DRAFT], "artifact", plan.artifact.name, "version",
                plan.artifact.version, "previous_version", plan.artifact.previous_version, "stages",
                apply_number(apply, plan.stage_count), NULL);
    struct plan_verdict verdict = {.previous_phase = PLAN_DRAFT};
    if (request->publish && !plan_publish(apply, &plan, request->reason, &verdict))
        return;
    struct bytes *answer = plan_answer(apply, &plan, &verdict, 1);
    value_u64(answer, "stages", plan.stage_count);
    apply->code = RESULT_CREATED;
}

typedef bool plan_verb(struct apply *apply, struct plan *plan, const char *reason,
                       struct plan_verdict *verdict);

static void simple_verb(struct apply *apply, const struct plan_request *request, enum plan_event event,
                        const char *action, plan_verb *verb)
{
    struct plan plan;
    struct plan_verdict verdict;
    attempt(apply, event, action, request->plan_id, NULL, request->reason);
    if (plan_load(apply, request->plan_id, &plan) && verb(apply, &plan, request->reason, &verdict))
        plan_answer(apply, &plan, &verdict, 0);
}

static void publish(struct apply *apply, const void *body)
{
    simple_verb(apply, body, EVENT_PUBLISH, "publish", plan_publish);
}

static void pause_plan(struct apply *apply, const void *body)
{
    simple_verb(apply, body, EVENT_PAUSE, "pause", plan_pause);
}

static void resume(struct apply *apply, const void *body)
{
    simple_verb(apply, body, EVENT_RESUME, "resume", plan_resume);
}

static void cancel(struct apply *apply, const void *body)
{
    simple_verb(apply, body, EVENT_CANCEL, "cancel", plan_cancel);
}

static void halt(struct apply *apply, const void *body)
{
    const struct plan_halt *request = body;
    struct plan plan;
    struct plan_verdict verdict;
    attempt(apply, EVENT_HALT, "halt", request->plan_id, request->stage_id, request->reason);
    if (!plan_load(apply, request->plan_id, &plan) ||
        !plan_halt_stage(apply, &plan, request->stage_id, request->reason, &verdict))
        return;
    struct bytes *answer = plan_answer(apply, &plan, &verdict, 3);
    value_text(answer, "stage_id", verdict.stage_id);
    value_text(answer, "stage_phase", stage_phase_names[STAGE_HALTED]);
    value_bool(answer, "already_halted", verdict.already_halted);
}

static void recover(struct apply *apply, const void *body)
{
    const struct plan_recover *request = body;
    struct plan plan;
    struct plan_verdict verdict;
    attempt(apply, EVENT_ROLLBACK, "recover", request->plan_id, NULL, request->reason);
    if (!plan_load(apply, request->plan_id, &plan) || !plan_recover_with(apply, &plan, request, &verdict))
        return;
    struct bytes *answer = plan_answer(apply, &plan, &verdict, 2);
    value_text(answer, "strategy", recover_strategy_names[request->strategy]);
    value_text(answer, "message", verdict.message);
}

static void approve(struct apply *apply, const void *body)
{
    const struct plan_approve *request = body;
    struct plan plan;
    struct plan_verdict verdict;
    attempt(apply, EVENT_APPROVE, "approve", request->plan_id, request->stage_id, request->reason);
    if (!plan_load(apply, request->plan_id, &plan) ||
        !plan_approve_gate(apply, &plan, request->stage_id, request->reason, &verdict))
        return;
    struct bytes *answer = plan_answer(apply, &plan, &verdict, 4);
    value_text(answer, "stage_id", verdict.stage_id);
    value_bool(answer, "approved", verdict.approved);
    value_bool(answer, "promoted", verdict.promoted);
    value_text(answer, "message", verdict.message);
}

static void evaluate(struct apply *apply, const void *body)
{
    const struct plan_evaluate *request = body;
    struct plan plan;
    if (!plan_load(apply, request->plan_id, &plan) || !plan_permit(apply, &plan, EVENT_EVALUATE))
        return;
    const size_t index = plan_stage_find(&plan, request->stage_id);
    if (index == PLAN_STAGE_UNKNOWN) {
        apply_refuse(apply, RESULT_STAGE_NOT_FOUND, "plan \"%s\" has no stage \"%s\"", plan.plan_id,
                     request->stage_id);
        return;
    }
    const enum stage_phase phase = plan.stages[index].phase;
    if (phase != STAGE_OPEN) {
        apply_refuse_with(apply, RESULT_STAGE_PHASE, "stage_phase", stage_phase_names[phase],
                          "stage \"%s\" of plan \"%s\" is %s; only the open stage's gates are looked at",
                          request->stage_id, plan.plan_id, stage_phase_names[phase]);
        return;
    }
    const struct plan_verdict verdict = {.previous_phase = plan.phase};
    const bool promoted = plan_advance(apply, &plan) > 0;
    plan_save(apply, &plan);
    value_bool(plan_answer(apply, &plan, &verdict, 1), "promoted", promoted);
}

#define COMMAND(number, command_name, command_schema, right, safety, in_incidents, function)                 \
    {                                                                                                        \
        {.type = (number),                                                                                   \
         .name = (command_name),                                                                             \
         .schema = &(command_schema),                                                                        \
         .permission = (right),                                                                              \
         .safety_class = (safety),                                                                           \
         .urgent = (in_incidents)},                                                                          \
            (function)                                                                                       \
    }

/* clang-format off */
const struct command_entry plan_commands[] = {
    COMMAND(10, "rollout.create",       plan_create_schema,   "rollout:write",   "",           false, create),
    COMMAND(11, "rollout.publish",      plan_request_schema,  "rollout:write",   "",           false, publish),
    COMMAND(12, "rollout.pause",        plan_request_schema,  "rollout:write",   "reversible", true, pause_plan),
    COMMAND(13, "rollout.resume",       plan_request_schema,  "rollout:write",   "reversible", false, resume),
    COMMAND(14, "rollout.cancel",       plan_request_schema,  "rollout:write",   "terminal",   true, cancel),
    COMMAND(15, "rollout.halt",         plan_halt_schema,     "rollout:write",   "terminal",   true, halt),
    COMMAND(16, "rollout.recover",      plan_recover_schema,  "rollout:recover", "terminal",   true, recover),
    COMMAND(17, "rollout.gate.approve", plan_approve_schema,  "rollout:approve", "",           false, approve),
    COMMAND(18, "rollout.evaluate",     plan_evaluate_schema, PERMISSION_SYSTEM, "",           false, evaluate),
    COMMAND(19, "rollout.node",         plan_report_schema,   "rollout:report",  "",           false, plan_report_handle),
};
/* clang-format on */
const size_t plan_command_count = sizeof plan_commands / sizeof plan_commands[0];
