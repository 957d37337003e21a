#include "node/leader.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/logger.h"
#include "fsm/result.h"
#include "node/internal.h"

#define TICK_AGAIN_MS    1000u /* when a tick left its deadline standing */
#define SWEEP_AGAIN_MS   50u   /* while pruned records are deleted: a tick of some milliseconds in so many */
#define ADOPT_ACTION_MS  2000u /* an open action is left to its act for so long */
#define PROMOTE_AGAIN_MS 500u
#define ACTIONS_ARENA    (1u << 20)
#define EPOCHS_LOOKED_AT 1000u

struct leader {
    struct service *service;
    uint64_t term; /* in which this node has been leading */
    bool ticking;
    uint64_t tick_again_ms;
    uint64_t deadline_index, deadline_ms; /* of the state, as of that index */
    bool syncing, promoting;
    uint64_t promote_again_ms;
    bool closing_action;
    uint64_t action_index, action_seen_ms; /* an open one, and since when it has been seen */
    uint64_t own_action;
};

/* --- time
 * ----------------------------------------------------------------------------------------------------------------
 */

static void on_ticked(void *context, const struct outcome *outcome)
{
    struct leader *self = context;
    (void)outcome;
    self->ticking = false;
}

static void tick(struct leader *self)
{
    struct service *service = self->service;
    uint64_t now = now_ms(service);
    if (self->ticking || now < self->tick_again_ms)
        return;
    if (self->deadline_index != service->applied_index) {
        struct view *view = state_view(service->state);
        self->deadline_ms = view_next_deadline_ms(view, service->config->rollout_stuck_after_ms);
        self->deadline_index = view_index(view);
        state_view_close(service->state, view);
    }
    if (self->deadline_ms == 0 || self->deadline_ms > consensus_wall_ms(service->consensus))
        return;
    self->ticking = true;
    self->tick_again_ms = now + (self->deadline_ms == FSM_DEADLINE_SWEEP ? SWEEP_AGAIN_MS : TICK_AGAIN_MS);
    json_t *body = json_pack("{s:I}", "stuck_after_ms", (json_int_t)service->config->rollout_stuck_after_ms);
    change_by_node(service, "tick", "", SYSTEM_PRINCIPAL, body, on_ticked, self);
}

/* --- membership
 * ------------------------------------------------------------------------------------------------------------
 */

static const char *const role_names[] = {"standby", "voter", "spare"};

static const struct consensus_member *configured(const struct service *service, uint64_t node_id)
{
    for (uint32_t i = 0; i < service->now.member_count; i++)
        if (service->now.members[i].node_id == node_id)
            return &service->now.members[i];
    return NULL;
}

static void on_synced(void *context, const struct outcome *outcome)
{
    struct leader *self = context;
    self->syncing = false;
    if (outcome->error == ERROR_OK && outcome->code != 0)
        log_warn("leader", "member not synced", "code=%s", result_name(outcome->code));
}

/** One difference between what Raft has and what is recorded, if there is one. */
static void sync_members(struct leader *self)
{
    struct service *service = self->service;
    if (self->syncing || service->now.membership_pending)
        return;
    for (uint32_t i = 0; i < service->members.count; i++) {
        uint64_t node_id = service->members.rows[i].node_id;
        const struct consensus_member *member = configured(service, node_id);
        const char *role = member ? role_names[member->role] : "removed";
        bool same = member ? !service->members.rows[i].removed &&
                                 service->members.rows[i].role == (uint32_t)member->role
                           : service->members.rows[i].removed;
        if (same)
            continue;
        self->syncing = true;
        json_t *body = json_pack("{s:I, s:s}", "node_id", (json_int_t)node_id, "role", role);
        change_by_node(service, "member.sync", "", SYSTEM_PRINCIPAL, body, on_synced, self);
        return;
    }
}

static void on_promoted(void *context, const struct result *result, const struct error *error)
{
    struct leader *self = context;
    (void)result;
    self->promoting = false;
    self->promote_again_ms = 0;
    if (error)
        log_info("leader", "promotion ended", "error=\"%s\"", error->message);
}

static void promote(struct leader *self)
{
    struct service *service = self->service;
    struct error error = {0};
    uint64_t now = now_ms(service);
    if (self->promoting || service->now.membership_pending || service->now.transferring ||
        now < self->promote_again_ms)
        return;
    for (uint32_t i = 0; i < service->now.member_count; i++) {
        const struct consensus_member *member = &service->now.members[i];
        bool near = member->match_index + CONSENSUS_LAG_ENTRIES_MAX >= service->now.commit_index;
        if (member->role != MEMBER_STANDBY || !member->connected || !near || member->match_index == 0)
            continue;
        self->promote_again_ms = now + PROMOTE_AGAIN_MS;
        self->promoting = true;
        if (consensus_member_assign(service->consensus, member->node_id, MEMBER_VOTER, on_promoted, self,
                                    &error) == ERROR_OK) {
            log_info("leader", "promoting", "node=%016" PRIx64 " name=%s", member->node_id,
                     member_name(service, member->node_id));
            return;
        }
        self->promoting = false;
        log_debug("leader", "not promoted yet", "node=%016" PRIx64 " error=\"%s\"", member->node_id,
                  error.message);
    }
}

/* --- what predecessors left open
 * -------------------------------------------------------------------------------------------- */

void leader_own_action(struct leader *self, uint64_t index)
{
    self->own_action = index;
}

static void on_closed_action(void *context, const struct outcome *outcome)
{
    struct leader *self = context;
    self->closing_action = false;
    if (outcome->error == ERROR_OK)
        log_info("leader", "finished a failover that was left open", "request_index=%" PRIu64,
                 self->action_index);
}

/** Who led in `term`, 0 when it isn't recorded. */
static uint64_t holder_of(struct view *view, uint64_t term)
{
    json_t *epochs = NULL, *row;
    struct error error = {0};
    size_t i;
    uint64_t holder = 0;
    if (view_epochs(view, EPOCHS_LOOKED_AT, &epochs, &error) != ERROR_OK)
        return 0;
    json_array_foreach(epochs, i, row)
    {
        const char *id = json_string_value(json_object_get(row, "node_id"));
        if (id && (uint64_t)json_integer_value(json_object_get(row, "term")) == term)
            holder = strtoull(id, NULL, 16);
    }
    json_decref(epochs);
    return holder;
}

static void close_action(struct leader *self, struct view *view, const struct open_action *action)
{
    struct service *service = self->service;
    char request_id[64], detail[256];
    uint64_t holder = holder_of(view, action->term);
    bool success = action->term < service->now.term && holder != 0 && holder != service->now.node_id;
    if (success)
        snprintf(detail, sizeof detail, "%s leads since epoch %" PRIu64 "; recorded by the successor",
                 service->config->name, service->now.term);
    else
        snprintf(detail, sizeof detail,
                 "%s leads; the handover asked for in epoch %" PRIu64 " did not happen",
                 service->config->name, action->term);
    snprintf(request_id, sizeof request_id, "failover-outcome/%" PRIu64, action->index);
    self->closing_action = true;
    json_t *body = json_pack("{s:I, s:b, s:s}", "request_index", (json_int_t)action->index, "success",
                             success, "detail", detail);
    change_by_node(service, "failover.outcome", request_id, SYSTEM_PRINCIPAL, body, on_closed_action, self);
}

static void finish_actions(struct leader *self)
{
    struct service *service = self->service;
    struct open_action *actions = NULL;
    struct arena arena;
    struct error error = {0};
    uint32_t count = 0;
    uint64_t now = now_ms(service);
    if (self->closing_action)
        return;
    struct view *view = state_view(service->state);
    arena_init(&arena, ACTIONS_ARENA);
    if (view_open_actions(view, &arena, &actions, &count, &error) == ERROR_OK && count > 0) {
        if (actions[0].index != self->action_index) {
            self->action_index = actions[0].index;
            self->action_seen_ms = now;
        } else if (now - self->action_seen_ms >= ADOPT_ACTION_MS && actions[0].index != self->own_action) {
            close_action(self, view, &actions[0]);
        }
    }
    arena_done(&arena);
    state_view_close(service->state, view);
}

/* --- the timer
 * ------------------------------------------------------------------------------------------------------------------
 */

struct leader *leader_open(struct service *service)
{
    struct leader *self = memory_zero(1, sizeof *self);
    self->service = service;
    return self;
}

void leader_turn(struct leader *self)
{
    struct service *service = self->service;
    if (!leads(service) || service->stopping || service->consensus_closed)
        return;
    if (self->term != service->now.term) {
        self->term = service->now.term;
        self->tick_again_ms = self->promote_again_ms = 0;
        self->deadline_index = self->action_index = 0;
    }
    tick(self);
    sync_members(self);
    promote(self);
    finish_actions(self);
}

void leader_close(struct leader *self)
{
    free(self);
}
