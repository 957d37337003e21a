/* What time alone does to plans: starts, soaks, revert waves, stalls.
 *
 * Two queues in the store are ordered by time, so a tick looks at no plan that has nothing to do: key 'D' has
 * plans by when they want one, key 'u' those that are published or active by when they last moved. */
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "fsm/plan_internal.h"

#define PLAN_ARENA_BYTES (8u * 1024u * 1024u) /* one plan unpacked, and what its transitions record */
#define WAITS_BYTES      1024u

struct due_plan {
    uint64_t time_ms;
    const char *plan_id;
};

struct due_list {
    struct arena *arena;
    size_t head;
    uint64_t until_ms; /* inclusive */
    struct due_plan *plans;
    uint32_t count, count_max;
};

static bool gather(void *context, struct span key, struct span value)
{
    struct due_list *list = context;
    struct due_plan *plan = &list->plans[list->count];
    (void)value;
    plan_time_key_read(key, list->head, list->arena, &plan->time_ms, &plan->plan_id);
    if (plan->time_ms > list->until_ms)
        return false;
    return ++list->count < list->count_max;
}

static struct due_list list_due(struct apply *apply, struct store_key prefix, uint64_t until_ms,
                                uint32_t count_max)
{
    struct due_list list = {.arena = apply->arena,
                            .head = prefix.length,
                            .until_ms = until_ms,
                            .plans = arena_new(apply->arena, count_max * sizeof(struct due_plan)),
                            .count_max = count_max};
    store_scan(apply->store, &prefix, false, gather, &list);
    return list;
}

static struct store_key due_prefix(void)
{
    return store_key1('D', span_of(NULL, 0));
}

static struct store_key unmoved_prefix(bool recorded)
{
    const uint8_t byte = recorded ? 1 : 0;
    return store_key1('u', span_of(&byte, 1));
}

static void plan_due(struct apply *apply, struct plan *plan, uint32_t *wave_budget)
{
    if (plan->phase == PLAN_PUBLISHED && plan->start_ms <= apply->time_ms) {
        plan_enter(apply, plan, EVENT_START);
        plan_open_first(apply, plan);
    }
    if (plan->phase == PLAN_ACTIVE)
        plan_advance(apply, plan);
    else if (plan->phase == PLAN_ROLLED_BACK)
        plan_wave_run(apply, plan, wave_budget);
    plan_save(apply, plan);
}

static void plan_stuck(struct apply *apply, struct plan *plan, uint64_t stuck_after_ms)
{
    if (plan->moved_ms > apply->time_ms - stuck_after_ms) {
        plan->filed_ms = plan->moved_ms; /* it has moved since it was filed */
        plan_save(apply, plan);
        return;
    }
    char waits[WAITS_BYTES], since[TIME_TEXT_BYTES];
    plan_waits_for(plan, apply->time_ms, waits, sizeof waits);
    time_format(plan->moved_ms, since);
    plan_record(apply, plan, NULL, "rollout.stuck.detected", "detect", NULL, "phase",
                plan_phase_names[plan->phase], "stage_id", plan_current_stage_id(plan), "stuck_since", since,
                "stuck_reason", waits, "threshold_seconds", apply_number(apply, stuck_after_ms / 1000), NULL);
    plan->stuck_recorded = true;
    plan_save(apply, plan);
}

/* Each plan has an arena of its own, so that many large ones don't add up. */
static void each_plan(struct apply *apply, const struct due_list *list, uint32_t *wave_budget,
                      uint64_t stuck_after_ms)
{
    struct arena *outer = apply->arena, own;
    arena_init(&own, PLAN_ARENA_BYTES);
    apply->arena = &own;
    for (uint32_t i = 0; i < list->count; i++) {
        struct plan plan;
        if (plan_read(apply_reader(apply), list->plans[i].plan_id, &own, &plan)) {
            if (wave_budget != NULL)
                plan_due(apply, &plan, wave_budget);
            else
                plan_stuck(apply, &plan, stuck_after_ms);
        }
        arena_clear(&own);
    }
    apply->arena = outer;
    arena_done(&own);
}

void plan_tick(struct apply *apply, uint64_t stuck_after_ms)
{
    uint32_t wave_budget = PLAN_WAVE_NODES_MAX;
    const struct due_list due = list_due(apply, due_prefix(), apply->time_ms, PLAN_TICK_PLANS_MAX);
    each_plan(apply, &due, &wave_budget, 0);
    if (stuck_after_ms == 0 || apply->time_ms < stuck_after_ms)
        return;
    const struct due_list stuck =
        list_due(apply, unmoved_prefix(false), apply->time_ms - stuck_after_ms, PLAN_TICK_STUCK_MAX);
    each_plan(apply, &stuck, NULL, stuck_after_ms);
}

struct first_time {
    size_t head;
    bool found;
    uint64_t time_ms;
};

static bool take_first(void *context, struct span key, struct span value)
{
    struct first_time *first = context;
    (void)value;
    CHECK(key.bytes > first->head + 8, "a time key of %zu bytes", key.bytes);
    first->found = true;
    first->time_ms = get_u64((const uint8_t *)key.data + first->head);
    return false;
}

static struct first_time first_time(struct view *view, struct store_key prefix)
{
    struct first_time first = {.head = prefix.length};
    view_scan(view, &prefix, false, take_first, &first);
    return first;
}

uint64_t plan_next_deadline_ms(struct view *view, uint64_t stuck_after_ms)
{
    const struct first_time due = first_time(view, due_prefix());
    const struct first_time unmoved = first_time(view, unmoved_prefix(false));
    const bool may_stall = stuck_after_ms != 0 && unmoved.found;
    const uint64_t stuck_ms = unmoved.time_ms + stuck_after_ms;
    if (!may_stall)
        return due.found ? due.time_ms : 0;
    return due.found && due.time_ms < stuck_ms ? due.time_ms : stuck_ms;
}
