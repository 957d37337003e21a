/* rollback.execute: finds the target, checks the preview, acts, records. */
#include "fsm/rollback.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "fsm/commands.h"
#include "fsm/leadership.h"
#include "fsm/plan_internal.h"

#define RESOURCE_BYTES_MAX (2u * NAME_BYTES_MAX + 1u)

#define FIELD(member, field_type, ...)                                                                       \
    {                                                                                                        \
        .name = #member, .type = (field_type), .offset = offsetof(struct rollback_execute, member),          \
        __VA_ARGS__                                                                                          \
    }
static const struct field execute_fields[] = {
    FIELD(target, FIELD_TEXT, .required = true, .max = NAME_BYTES_MAX),
    FIELD(resource, FIELD_TEXT, .max = RESOURCE_BYTES_MAX, .help = "PLAN, PLAN/STAGE or current"),
    FIELD(strategy, FIELD_TEXT, .max = NAME_BYTES_MAX, .help = "the target's default when absent"),
    FIELD(reason, FIELD_TEXT, .required = true, .max = REASON_BYTES_MAX),
    FIELD(preview_token, FIELD_TEXT, .max = ROLLBACK_TOKEN_BYTES - 1,
          .help = "refused when the plan has changed since"),
};
const struct schema rollback_execute_schema = SCHEMA("rollback", struct rollback_execute, execute_fields);

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static bool is_target(const struct rollback_target *target, const char *name)
{
    return strcmp(target->target, name) == 0;
}

bool rollback_resource_parse(const struct rollback_target *target, const char *resource, struct arena *arena,
                             struct rollback_resource *out)
{
    if (!given(resource))
        return false;
    const char *slash = strchr(resource, '/');
    *out = (struct rollback_resource){.plan_id = resource};
    if (is_target(target, "rollout_stage")) {
        if (slash == NULL)
            return false;
        out->plan_id = arena_text(arena, resource, (size_t)(slash - resource));
        out->stage_id = slash + 1;
        return name_valid(out->plan_id) && name_valid(out->stage_id);
    }
    return name_valid(out->plan_id);
}

enum plan_event rollback_event(const struct rollback_strategy *strategy)
{
    static const struct {
        const char *strategy;
        enum plan_event event;
    } events[] = {{"rollback", EVENT_ROLLBACK},
                  {"retry", EVENT_RETRY},
                  {"cancel", EVENT_CANCEL},
                  {"halt", EVENT_HALT},
                  {"skip_failed", EVENT_SKIP_FAILED}};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        if (strcmp(events[i].strategy, strategy->name) == 0)
            return events[i].event;
    CHECK(false, "strategy %s is no plan's", strategy->name);
}

void rollback_token(const struct plan *plan, const char *target, const char *resource, const char *strategy,
                    char out[ROLLBACK_TOKEN_BYTES])
{
    uint8_t digest[DIGEST_BYTES];
    struct bytes text;
    bytes_init(&text, 0);
    bytes_printf(&text, "preview\n%s\n%s\n%s\n%s\n%" PRIu64 "\n%" PRIu64, target, resource, strategy,
                 plan->plan_id, plan->created_ms, plan->revision);
    hash_once(text.data, text.length, digest);
    bytes_done(&text);
    hex_encode(digest, (ROLLBACK_TOKEN_BYTES - 1) / 2, out);
}

/* A stage's strategies act on the plan's current stage; halting one that was halted before is a repeat. */
static enum result_code stage_allows(const struct plan *plan, const char *stage_id, enum plan_event event,
                                     char why[PLAN_WHY_BYTES])
{
    const size_t index = plan_stage_find(plan, stage_id);
    if (index == PLAN_STAGE_UNKNOWN) {
        snprintf(why, PLAN_WHY_BYTES, "plan \"%s\" has no stage \"%s\"", plan->plan_id, stage_id);
        return RESULT_STAGE_NOT_FOUND;
    }
    const enum stage_phase phase = plan->stages[index].phase;
    const bool current = index == plan->current;
    if (phase == STAGE_OPEN || (phase == STAGE_HALTED && (current || event == EVENT_HALT)))
        return RESULT_OK;
    snprintf(why, PLAN_WHY_BYTES,
             "stage \"%s\" of plan \"%s\" is %s%s; only the current stage can be halted or skipped", stage_id,
             plan->plan_id, stage_phase_names[phase], phase == STAGE_HALTED ? " and left behind" : "");
    return RESULT_STAGE_PHASE;
}

enum result_code rollback_allows(const struct plan *plan, const struct rollback_resource *resource,
                                 const struct rollback_strategy *strategy, char why[PLAN_WHY_BYTES])
{
    const enum plan_event event = rollback_event(strategy);
    const enum result_code code = plan_allows(plan, event, why);
    if (code != RESULT_OK || resource->stage_id == NULL)
        return code;
    return stage_allows(plan, resource->stage_id, event, why);
}

/* --- executing --- */

struct execution {
    const struct rollback_execute *request;
    const struct rollback_target *target;
    const struct rollback_strategy *strategy;
    struct rollback_resource resource;
    struct plan plan;
    struct plan_verdict verdict;
};

static void name_attempt(struct apply *apply, const struct execution *execution)
{
    const struct rollback_execute *request = execution->request;
    apply_attempt(apply, AUDIT_ROLLBACK, "rollback.executed", "execute", request->target,
                  given(request->resource) ? request->resource : NULL, request->reason);
    struct field_pair *fields = arena_new(apply->arena, 3 * sizeof *fields);
    size_t count = 0;
    if (execution->target != NULL)
        fields[count++] = (struct field_pair){"kind", execution->target->kind};
    if (execution->strategy != NULL) {
        fields[count++] =
            (struct field_pair){"safety_class", safety_class_name(execution->strategy->safety_class)};
        fields[count++] = (struct field_pair){"strategy", execution->strategy->name};
    }
    apply->attempt.fields = fields;
    apply->attempt.field_count = count;
}

/* @return false after a refusal */
static bool find_target(struct apply *apply, struct execution *execution)
{
    const struct rollback_execute *request = execution->request;
    execution->target = rollback_target_find(request->target);
    if (execution->target != NULL)
        execution->strategy = rollback_strategy_find(execution->target, request->strategy);
    name_attempt(apply, execution);
    if (execution->target == NULL)
        apply_refuse_with(
            apply, RESULT_INVALID, "path", "target",
            "target: \"%s\" is none of rollout_plan, rollout_stage, ha_leader_resign, relay_deadletter",
            request->target);
    else if (!execution->target->orchestrated)
        apply_refuse_with(apply, RESULT_NOT_ORCHESTRATED, "manual_path", execution->target->manual_path,
                          "target %s is not orchestrated; use %s", request->target,
                          execution->target->manual_path);
    else if (execution->strategy == NULL)
        apply_refuse_with(apply, RESULT_INVALID, "path", "strategy",
                          "strategy: %s has no strategy \"%s\"; its default is %s", request->target,
                          request->strategy, execution->target->strategies[0].name);
    return !apply_refused(apply);
}

/* Loads the plan and checks everything that can refuse. */
static bool find_plan(struct apply *apply, struct execution *execution)
{
    const struct rollback_execute *request = execution->request;
    char why[PLAN_WHY_BYTES], token[ROLLBACK_TOKEN_BYTES];
    if (!rollback_resource_parse(execution->target, request->resource, apply->arena, &execution->resource)) {
        apply_refuse_with(apply, RESULT_INVALID, "path", "resource", "resource: \"%s\" is not of the form %s",
                          given(request->resource) ? request->resource : "", execution->target->resource);
        return false;
    }
    if (!plan_load(apply, execution->resource.plan_id, &execution->plan))
        return false;
    rollback_token(&execution->plan, request->target, request->resource, execution->strategy->name, token);
    const enum result_code code =
        rollback_allows(&execution->plan, &execution->resource, execution->strategy, why);
    if (code != RESULT_OK) {
        apply_refuse_with(apply, code, "phase", plan_phase_names[execution->plan.phase], "%s", why);
        return false;
    }
    if (given(request->preview_token) && strcmp(request->preview_token, token) != 0) {
        apply_refuse_with(apply, RESULT_PREVIEW_STALE, "phase", plan_phase_names[execution->plan.phase],
                          "plan \"%s\" has changed since the preview; preview it again",
                          execution->plan.plan_id);
        return false;
    }
    return true;
}

static bool act(struct apply *apply, struct execution *execution)
{
    struct plan *plan = &execution->plan;
    const char *reason = execution->request->reason;
    struct plan_recover recover = {.plan_id = plan->plan_id, .reason = reason};
    switch (rollback_event(execution->strategy)) {
    case EVENT_ROLLBACK:
        recover.strategy = RECOVER_ROLLBACK;
        break;
    case EVENT_RETRY:
        recover.strategy = RECOVER_RETRY;
        break;
    case EVENT_SKIP_FAILED:
        recover.strategy = RECOVER_SKIP_FAILED;
        break;
    case EVENT_HALT:
        return plan_halt_stage(apply, plan, execution->resource.stage_id, reason, &execution->verdict);
    case EVENT_CANCEL:
        return plan_cancel(apply, plan, reason, &execution->verdict);
    default:
        CHECK(false, "strategy %s", execution->strategy->name);
    }
    return plan_recover_with(apply, plan, &recover, &execution->verdict);
}

static void record(struct apply *apply, const struct execution *execution)
{
    const struct rollback_execute *request = execution->request;
    struct field_pair fields[] = {
        {"kind", execution->target->kind},
        {"new_phase", plan_phase_names[execution->plan.phase]},
        {"previous_phase", plan_phase_names[execution->verdict.previous_phase]},
        {"safety_class", safety_class_name(execution->strategy->safety_class)},
        {"strategy", execution->strategy->name},
        {"plan_id", execution->plan.plan_id},
        {"stage_id", execution->resource.stage_id},
    };
    const size_t count = sizeof fields / sizeof fields[0];
    const struct audit_record record = {
        .category = AUDIT_ROLLBACK,
        .outcome = AUDIT_SUCCESS,
        .event_name = "rollback.executed",
        .action = "execute",
        .reason = request->reason,
        .resource_type = request->target,
        .resource = request->resource,
        .fields = fields,
        .field_count = execution->resource.stage_id == NULL ? count - 1 : count,
    };
    apply->audit_seq = 0; /* the answer names this record, not the target's own */
    apply_record(apply, &record);
}

static void answer(struct apply *apply, const struct execution *execution)
{
    struct bytes *body = plan_answer(apply, &execution->plan, &execution->verdict, 9);
    value_text(body, "target", execution->request->target);
    value_text(body, "resource", execution->request->resource);
    value_text(body, "kind", execution->target->kind);
    value_text(body, "strategy", execution->strategy->name);
    value_text(body, "safety_class", safety_class_name(execution->strategy->safety_class));
    value_text(body, "outcome", "success");
    value_text(body, "stage_id", execution->resource.stage_id);
    value_bool(body, "already_halted", execution->verdict.already_halted);
    value_text(body, "message", execution->verdict.message);
}

/* The outcome is committed later, by whoever carries it out. */
static void resign(struct apply *apply, const struct execution *execution)
{
    const struct rollback_execute *request = execution->request;
    if (given(request->resource) && strcmp(request->resource, "current") != 0) {
        apply_refuse_with(apply, RESULT_INVALID, "path", "resource",
                          "resource: \"%s\" is not \"current\", the only leader there is", request->resource);
        return;
    }
    if (!failover_open(apply, request->reason, NULL, true))
        return;
    struct bytes *body = apply_answer(apply);
    value_map(body, 5);
    value_text(body, "target", request->target);
    value_text(body, "kind", execution->target->kind);
    value_text(body, "strategy", execution->strategy->name);
    value_text(body, "outcome", "pending");
    value_u64(body, "request_index", apply->index);
}

static void execute(struct apply *apply, const void *body)
{
    struct execution execution = {.request = body};
    if (!find_target(apply, &execution))
        return;
    if (is_target(execution.target, "ha_leader_resign")) {
        resign(apply, &execution);
        return;
    }
    if (!find_plan(apply, &execution) || !act(apply, &execution))
        return;
    record(apply, &execution);
    answer(apply, &execution);
}

const struct command_entry rollback_commands[] = {
    {{.type = 30,
      .name = "rollback.execute",
      .schema = &rollback_execute_schema,
      .permission = "rollout:recover",
      .safety_class = "terminal",
      .urgent = true},
     execute},
};
const size_t rollback_command_count = sizeof rollback_commands / sizeof rollback_commands[0];
