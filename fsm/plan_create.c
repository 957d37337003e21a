/* New plans: what one field's table can't say is checked here, before anything is written. */
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "fsm/plan_internal.h"

#define MSGPACK_NIL 0xc0u

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static bool invalid(struct apply *apply, const char *path, const char *problem)
{
    apply_refuse_with(apply, RESULT_INVALID, "path", path, "%s: %s", path, problem);
    return false;
}

static bool check_gate(struct apply *apply, const struct plan_stage_spec *stage, size_t stage_index,
                       size_t index)
{
    const struct plan_gate *gate = &stage->gates[index];
    const char *path = arena_printf(apply->arena, "stages[%zu].gates[%zu]", stage_index, index);
    const char *kind = gate_kind_names[gate->kind];
    for (size_t i = 0; i < index; i++)
        if (stage->gates[i].kind == gate->kind)
            return invalid(apply, arena_printf(apply->arena, "%s.kind", path),
                           arena_printf(apply->arena, "the stage has a %s gate already", kind));
    if (gate->kind == GATE_TIME_SOAK && gate->seconds == 0)
        return invalid(apply, arena_printf(apply->arena, "%s.seconds", path),
                       arena_printf(apply->arena, "0 is not within 1 .. %u", PLAN_SOAK_SECONDS_MAX));
    if (gate->kind != GATE_TIME_SOAK && gate->seconds != 0)
        return invalid(apply, arena_printf(apply->arena, "%s.seconds", path),
                       arena_printf(apply->arena, "a %s gate takes none", kind));
    if (gate->kind == GATE_SUCCESS_RATIO && gate->min_percent == 0)
        return invalid(apply, arena_printf(apply->arena, "%s.min_percent", path), "0 is not within 1 .. 100");
    if (gate->kind != GATE_SUCCESS_RATIO && gate->min_percent != 0)
        return invalid(apply, arena_printf(apply->arena, "%s.min_percent", path),
                       arena_printf(apply->arena, "a %s gate takes none", kind));
    return true;
}

static bool check_target(struct apply *apply, const struct plan_target *target, size_t stage_index)
{
    const char *path = arena_printf(apply->arena, "stages[%zu].target", stage_index);
    const int kinds = (target->percent != 0) + (target->label_count != 0) + (target->node_count != 0);
    if (kinds > 1)
        return invalid(apply, path, "takes one of percent, labels and nodes");
    for (size_t i = 0; i < target->node_count; i++)
        if (!name_valid(target->nodes[i]))
            return invalid(apply, arena_printf(apply->arena, "%s.nodes[%zu]", path, i),
                           arena_printf(apply->arena,
                                        "\"%.64s\" is not a name: [A-Za-z0-9][A-Za-z0-9._-]{0,127}",
                                        target->nodes[i]));
    return true;
}

static bool check_stage(struct apply *apply, const struct plan_create *request, size_t index)
{
    const struct plan_stage_spec *stage = &request->stages[index];
    for (size_t i = 0; i < index; i++)
        if (strcmp(request->stages[i].stage_id, stage->stage_id) == 0)
            return invalid(apply, arena_printf(apply->arena, "stages[%zu].stage_id", index),
                           arena_printf(apply->arena, "\"%s\" is stages[%zu]'s already", stage->stage_id, i));
    if (!check_target(apply, &stage->target, index))
        return false;
    for (size_t i = 0; i < stage->gate_count; i++)
        if (!check_gate(apply, stage, index, i))
            return false;
    return true;
}

static bool check_stages(struct apply *apply, const struct plan_create *request)
{
    size_t listed = 0;
    for (size_t i = 0; i < request->stage_count; i++) {
        struct plan_stage_spec *stage = &request->stages[i];
        if (!given(stage->stage_id))
            stage->stage_id = arena_printf(apply->arena, "stage-%zu", i + 1);
        if (!check_stage(apply, request, i))
            return false;
        listed += stage->target.node_count;
    }
    if (listed > PLAN_LISTED_NODES_MAX)
        return invalid(apply, "stages",
                       arena_printf(apply->arena,
                                    "%zu nodes are named in all targets together; at most %u may be", listed,
                                    PLAN_LISTED_NODES_MAX));
    return true;
}

static bool monitor_given(struct span monitor)
{
    return monitor.bytes != 0 && !(monitor.bytes == 1 && *(const uint8_t *)monitor.data == MSGPACK_NIL);
}

static bool check_request(struct apply *apply, const struct plan_create *request, const char *plan_id)
{
    const struct plan_artifact *artifact = &request->artifact;
    struct plan existing;
    if (monitor_given(request->monitor)) {
        apply_refuse_with(apply, RESULT_MONITOR_UNSUPPORTED, "path", "monitor",
                          "monitor: health monitors are not served by this version; leave the field out");
        return false;
    }
    if (strcmp(plan_id, "stuck") == 0)
        return invalid(apply, "plan_id", "\"stuck\" is reserved");
    if (given(artifact->previous_version) && strcmp(artifact->previous_version, artifact->version) == 0)
        return invalid(
            apply, "artifact.previous_version",
            arena_printf(apply->arena, "\"%s\" is the version that is rolled out", artifact->version));
    if (!check_stages(apply, request))
        return false;
    if (plan_read(apply_reader(apply), plan_id, apply->arena, &existing)) {
        apply_refuse_with(apply, RESULT_PLAN_EXISTS, "phase", plan_phase_names[existing.phase],
                          "there is a plan \"%s\" already; it is %s", plan_id,
                          plan_phase_names[existing.phase]);
        return false;
    }
    return true;
}

bool plan_make(struct apply *apply, const struct plan_create *request, struct plan *out)
{
    const char *plan_id = given(request->plan_id) ? request->plan_id
                                                  : arena_printf(apply->arena, "plan-%" PRIx64, apply->index);
    if (!check_request(apply, request, plan_id))
        return false;
    *out = (struct plan){
        .plan_id = plan_id,
        .artifact = request->artifact,
        .stages = arena_new(apply->arena, request->stage_count * sizeof(struct plan_stage)),
        .stage_count = request->stage_count,
        .reason = request->reason,
        .created_by = apply->principal,
        .phase = PLAN_DRAFT,
        .revision = 1,
        .created_ms = apply->time_ms,
        .updated_ms = apply->time_ms,
        .start_ms = request->start_at,
        .last_actor = apply->principal,
        .last_reason = request->reason,
    };
    if (!given(request->artifact.previous_version))
        out->artifact.previous_version = NULL;
    for (size_t i = 0; i < request->stage_count; i++)
        out->stages[i].spec = request->stages[i];
    return true;
}
