/* The revert wave: after a rollback every node that had activated the artifact is offered the version that
 * the plan names to return to.
 *
 * Key 'N' lists these nodes by stage; a node leaves it with its offer, so the list is the wave's own queue,
 * and one entry takes no more of it than its budget. The rest stays due, and ticks go on with it. */
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "fsm/plan_internal.h"

#define NODE_ARENA_BYTES (512u * 1024u) /* one node's record: its report was one command */

void plan_revert_start(struct apply *apply, struct plan *plan, enum revert_pace pace,
                       enum revert_policy policy)
{
    plan->revert = (struct plan_revert){
        .state = policy == REVERT_KEEP ? REVERT_KEPT
                 : plan->artifact.previous_version == NULL || plan->artifact.previous_version[0] == '\0'
                     ? REVERT_NO_TARGET
                     : REVERT_RUNNING,
        .pace = pace,
        .policy = policy,
        .started_ms = apply->time_ms,
        .nodes = plan_exposed(plan),
    };
    if (plan->revert.state == REVERT_NO_TARGET)
        plan->revert.policy = REVERT_KEEP;
    if (plan->revert.state != REVERT_RUNNING)
        plan->revert.ended_ms = apply->time_ms;
}

/* The wave visits stages in their order, and last the nodes that are in none. @return false past the last */
static bool stage_at(const struct plan *plan, size_t position, uint64_t *stage,
                     const struct plan_counts **counts)
{
    if (position > plan->stage_count)
        return false;
    const bool outside = position == plan->stage_count;
    *stage = outside ? PLAN_STAGE_NONE : position;
    *counts = outside ? &plan->outside : &plan->stages[position].counts;
    return true;
}

/* The next stage with nodes to offer to; false: none now, since all were offered or a staged wave awaits
 * answers. */
static bool next_stage(const struct plan *plan, uint64_t *stage)
{
    const struct plan_counts *counts;
    for (size_t i = 0; stage_at(plan, i, stage, &counts); i++) {
        if (counts->exposed > 0)
            return true;
        if (plan->revert.pace == REVERT_STAGED && counts->state[NODE_REVERT_OFFERED] > 0)
            return false;
    }
    return false;
}

bool plan_wave_ready(const struct plan *plan)
{
    uint64_t stage;
    return plan->revert.state == REVERT_RUNNING && next_stage(plan, &stage);
}

struct wave_batch {
    struct arena *arena;
    size_t head; /* of the key, before the node's name */
    const char **node_ids;
    uint32_t count, count_max;
};

static bool gather(void *context, struct span key, struct span value)
{
    struct wave_batch *batch = context;
    (void)value;
    CHECK(key.bytes > batch->head, "a key of %zu bytes", key.bytes);
    batch->node_ids[batch->count++] =
        arena_text(batch->arena, (const char *)key.data + batch->head, key.bytes - batch->head);
    return batch->count < batch->count_max;
}

static void offer_one(struct apply *apply, struct plan *plan, const char *node_id, struct arena *arena)
{
    struct plan_node node;
    if (!plan_node_read(apply_reader(apply), plan, node_id, arena, &node))
        return; /* only after a read error, which the store keeps */
    plan_node_move(apply, plan, &node, NODE_REVERT_OFFERED);
    plan_node_save(apply, plan, &node);
}

/* Behind the last node that was taken, if the wave was in this stage; else from the stage's first. */
static void gather_stage(struct apply *apply, const struct plan *plan, uint64_t stage,
                         struct wave_batch *batch)
{
    const struct plan_revert *revert = &plan->revert;
    const struct store_key prefix = plan_exposed_key(plan->plan_id, stage, ""),
                           limit = store_key_after(&prefix);
    batch->head = prefix.length;
    if (revert->stage == stage && revert->after != NULL) {
        const struct store_key first = plan_exposed_key(plan->plan_id, stage, revert->after);
        store_scan_range(apply->store, &first, &limit, false, gather, batch);
    }
    if (batch->count == 0)
        store_scan_range(apply->store, &prefix, &limit, false, gather, batch);
}

static uint32_t offer_stage(struct apply *apply, struct plan *plan, uint64_t stage, uint32_t count_max)
{
    struct arena arena, node_arena;
    arena_init(&arena, count_max * (sizeof(char *) + 2 * NAME_BYTES_MAX) + 64);
    arena_init(&node_arena, NODE_ARENA_BYTES);
    struct wave_batch batch = {
        .arena = &arena, .node_ids = arena_new(&arena, count_max * sizeof(char *)), .count_max = count_max};
    gather_stage(apply, plan, stage, &batch);
    for (uint32_t i = 0; i < batch.count; i++) {
        offer_one(apply, plan, batch.node_ids[i], &node_arena);
        arena_clear(&node_arena);
    }
    if (batch.count > 0) {
        plan->revert.stage = stage;
        plan->revert.after = arena_printf(apply->arena, "%s", batch.node_ids[batch.count - 1]);
    }
    arena_done(&node_arena);
    arena_done(&arena);
    return batch.count;
}

void plan_wave_run(struct apply *apply, struct plan *plan, uint32_t *budget)
{
    uint64_t stage;
    if (plan->revert.state == REVERT_DONE && plan_exposed(plan) > 0) {
        plan->revert.state = REVERT_RUNNING; /* a late activation */
        plan->revert.ended_ms = 0;
    }
    if (plan->revert.state != REVERT_RUNNING)
        return;
    while (*budget > 0 && next_stage(plan, &stage)) {
        const uint32_t offered = offer_stage(apply, plan, stage, *budget);
        if (offered == 0)
            break; /* only after a read error, which the store keeps */
        *budget -= offered;
    }
    if (plan_exposed(plan) == 0 && plan_sum(plan, NODE_REVERT_OFFERED) == 0) {
        plan->revert.state = REVERT_DONE;
        plan->revert.ended_ms = apply->time_ms;
    }
}

const char *plan_revert_message(const struct plan *plan, struct arena *arena)
{
    const struct plan_revert *revert = &plan->revert;
    const uint64_t waiting = plan_exposed(plan), offered = plan_sum(plan, NODE_REVERT_OFFERED);
    const uint64_t reverted = plan_sum(plan, NODE_REVERTED), broken = plan_sum(plan, NODE_REVERT_FAILED);
    switch ((enum revert_state)revert->state) {
    case REVERT_KEPT:
        return arena_printf(arena, "version %s stays on %" PRIu64 " node%s, as asked for",
                            plan->artifact.version, PLAN_NODES(waiting));
    case REVERT_NO_TARGET:
        return arena_printf(
            arena, "the plan names no artifact.previous_version, so version %s stays on %" PRIu64 " node%s",
            plan->artifact.version, PLAN_NODES(waiting));
    case REVERT_RUNNING:
    case REVERT_DONE:
        if (revert->nodes == 0)
            return "no node had activated the artifact";
        return arena_printf(arena,
                            "version %s is back on %" PRIu64 " of %" PRIu64 " node%s; %" PRIu64
                            " have not answered yet, %" PRIu64 " wait for the offer, %" PRIu64 " failed",
                            plan->artifact.previous_version, reverted, PLAN_NODES(revert->nodes), offered,
                            waiting, broken);
    case REVERT_NONE:
        break;
    }
    return "the plan is not rolled back";
}
