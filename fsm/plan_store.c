/* Keys of plans and nodes, loading, saving with their indexes. */
#include <string.h>

#include "base/check.h"
#include "fsm/plan_internal.h"

struct store_key plan_key(const char *plan_id)
{
    return store_key1('p', span_text(plan_id));
}

struct store_key plan_phase_key(enum plan_phase phase, const char *plan_id)
{
    const uint8_t byte = (uint8_t)phase;
    struct store_key key = store_key1('P', span_of(&byte, 1));
    store_key_append(&key, span_text(plan_id));
    return key;
}

struct store_key plan_node_key(const char *plan_id, const char *node_id)
{
    struct store_key key = store_key1('n', span_text(plan_id));
    store_key_append_u8(&key, 0);
    store_key_append(&key, span_text(node_id));
    return key;
}

struct store_key plan_exposed_key(const char *plan_id, uint64_t stage, const char *node_id)
{
    struct store_key key = store_key1('N', span_text(plan_id));
    store_key_append_u8(&key, 0);
    store_key_append_u8(&key, (uint8_t)(stage >> 8));
    store_key_append_u8(&key, (uint8_t)stage);
    store_key_append(&key, span_text(node_id));
    return key;
}

struct store_key plan_due_key(uint64_t due_ms, const char *plan_id)
{
    struct store_key key = store_key_u64('D', due_ms);
    store_key_append(&key, span_text(plan_id));
    return key;
}

struct store_key plan_unmoved_key(bool recorded, uint64_t filed_ms, const char *plan_id)
{
    const uint8_t byte = recorded ? 1 : 0;
    struct store_key key = store_key1('u', span_of(&byte, 1));
    store_key_append_u64(&key, filed_ms);
    store_key_append(&key, span_text(plan_id));
    return key;
}

void plan_time_key_read(struct span key, size_t head, struct arena *arena, uint64_t *time_ms,
                        const char **plan_id)
{
    const uint8_t *data = key.data;
    CHECK(key.bytes > head + 8, "a time key of %zu bytes", key.bytes);
    *time_ms = get_u64(data + head);
    *plan_id = arena_text(arena, (const char *)data + head + 8, key.bytes - head - 8);
}

static struct plan_place place_of(const struct plan *plan)
{
    return (struct plan_place){.there = true,
                               .phase = plan->phase,
                               .due_ms = plan->due_ms,
                               .filed_ms = plan->filed_ms,
                               .unmoved = plan->unmoved,
                               .stuck_recorded = plan->stuck_recorded};
}

/* The invariants of fsm/plan.h that concern one stage. @return what is wrong, or NULL */
static const char *stage_unsound(const struct plan *plan, size_t i)
{
    const struct plan_stage *stage = &plan->stages[i];
    const bool live = plan->phase == PLAN_ACTIVE || plan->phase == PLAN_PAUSED;
    if (stage->phase == STAGE_OPEN && (!live || i != plan->current))
        return "(1) a stage is open that isn't current, or in a plan that isn't live";
    if (i < plan->current && (stage->phase == STAGE_PENDING || stage->phase == STAGE_OPEN))
        return "(2) a stage is behind and not left";
    if (i > plan->current && stage->phase != STAGE_PENDING)
        return "(2) a stage is ahead and not pending";
    if (stage->clock_running && (stage->phase != STAGE_OPEN || plan->phase != PLAN_ACTIVE))
        return "(3) a stage soaks that isn't open, or in a plan that isn't active";
    return NULL;
}

const char *plan_unsound(const struct plan *plan)
{
    uint64_t nodes = 0;
    if (plan->stage_count < 1 || plan->stage_count > PLAN_STAGES_MAX || plan->current >= plan->stage_count)
        return "its current stage is none of its stages";
    for (size_t i = 0; i < plan->stage_count; i++) {
        const char *why = stage_unsound(plan, i);
        if (why != NULL)
            return why;
        for (size_t state = 0; state < NODE_STATE_COUNT; state++)
            nodes += plan->stages[i].counts.state[state];
    }
    for (size_t state = 0; state < NODE_STATE_COUNT; state++)
        nodes += plan->outside.state[state];
    if (nodes != plan->node_count)
        return "(4) it counts other nodes than it has";
    return plan->filed_ms > plan->moved_ms ? "(5) it is filed later than it moved" : NULL;
}

bool plan_read(struct reader reader, const char *plan_id, struct arena *arena, struct plan *out)
{
    const struct store_key key = plan_key(plan_id);
    if (!reader_get_record(reader, &key, &plan_schema, arena, out))
        return false;
    const char *why = plan_unsound(out);
    if (why != NULL) { /* what follows counts on it */
        reader_damaged(reader, arena_printf(arena, "plan %s: %s", plan_id, why));
        return false;
    }
    out->stored = place_of(out);
    return true;
}

bool plan_load(struct apply *apply, const char *plan_id, struct plan *out)
{
    if (plan_read(apply_reader(apply), plan_id, apply->arena, out))
        return true;
    apply_refuse(apply, RESULT_PLAN_NOT_FOUND, "there is no plan \"%s\"", plan_id);
    return false;
}

/* When the plan wants a tick; 0: nothing of it depends on time. */
static uint64_t plan_due_ms(const struct plan *plan, uint64_t now_ms)
{
    if (plan->phase == PLAN_PUBLISHED)
        return plan->start_ms;
    if (plan->phase == PLAN_ACTIVE && plan->stages[plan->current].phase == STAGE_OPEN)
        return stage_soak_end_ms(&plan->stages[plan->current], now_ms);
    if (plan->phase == PLAN_ROLLED_BACK && plan_wave_ready(plan))
        return now_ms == 0 ? 1 : now_ms; /* 0 would mean never */
    return 0;
}

static void put_key(struct apply *apply, struct store_key key)
{
    store_put(apply->store, &key, span_of(NULL, 0));
}

static void delete_key(struct apply *apply, struct store_key key)
{
    store_delete(apply->store, &key);
}

static void move_phase_key(struct apply *apply, const struct plan *plan)
{
    const struct plan_place *was = &plan->stored;
    if (was->there && was->phase == plan->phase)
        return;
    if (was->there)
        delete_key(apply, plan_phase_key(was->phase, plan->plan_id));
    put_key(apply, plan_phase_key(plan->phase, plan->plan_id));
}

static void move_due_key(struct apply *apply, const struct plan *plan)
{
    const struct plan_place *was = &plan->stored;
    if (was->due_ms == plan->due_ms)
        return;
    if (was->due_ms != 0)
        delete_key(apply, plan_due_key(was->due_ms, plan->plan_id));
    if (plan->due_ms != 0)
        put_key(apply, plan_due_key(plan->due_ms, plan->plan_id));
}

/* A plan that moves is not filed anew each time: that would leave a deleted key behind for every activation,
 * and the search for the oldest would walk over them. The tick that meets it at its old time files it under
 * the new one. */
static void move_unmoved_key(struct apply *apply, struct plan *plan)
{
    const struct plan_place *was = &plan->stored;
    plan->unmoved = plan->phase == PLAN_PUBLISHED || plan->phase == PLAN_ACTIVE;
    if (!was->unmoved || was->stuck_recorded != plan->stuck_recorded)
        plan->filed_ms = plan->moved_ms;
    if (was->unmoved == plan->unmoved && was->filed_ms == plan->filed_ms &&
        was->stuck_recorded == plan->stuck_recorded)
        return;
    if (was->unmoved)
        delete_key(apply, plan_unmoved_key(was->stuck_recorded, was->filed_ms, plan->plan_id));
    if (plan->unmoved)
        put_key(apply, plan_unmoved_key(plan->stuck_recorded, plan->filed_ms, plan->plan_id));
}

void plan_save(struct apply *apply, struct plan *plan)
{
    plan->due_ms = plan_due_ms(plan, apply->time_ms);
    move_phase_key(apply, plan);
    move_due_key(apply, plan);
    move_unmoved_key(apply, plan);
    if (store_failed(apply->store))
        return; /* nothing of this will be written */
    plan_check(plan);
    const struct store_key key = plan_key(plan->plan_id);
    store_put_record(apply->store, &key, &plan_schema, plan);
    plan->stored = place_of(plan);
}

void plan_check(const struct plan *plan)
{
    const char *why = plan_unsound(plan);
    CHECK(why == NULL, "plan %s: %s", plan->plan_id, why);
}

bool plan_node_fits(const struct plan *plan, const struct plan_node *node)
{
    return node->stage == PLAN_STAGE_NONE || node->stage < plan->stage_count;
}

bool plan_node_read(struct reader reader, const struct plan *plan, const char *node_id, struct arena *arena,
                    struct plan_node *out)
{
    const struct store_key key = plan_node_key(plan->plan_id, node_id);
    if (!reader_get_record(reader, &key, &plan_node_schema, arena, out))
        return false;
    if (plan_node_fits(plan, out))
        return true;
    reader_damaged(reader, "a node of a plan belongs to none of its stages");
    return false;
}

void plan_node_save(struct apply *apply, const struct plan *plan, const struct plan_node *node)
{
    const struct store_key key = plan_node_key(plan->plan_id, node->node_id);
    store_put_record(apply->store, &key, &plan_node_schema, node);
}
