/* Who keeps the nodes running: restarts what crashed after a while, as a supervisor does, takes removed nodes
 * away, and changes the membership, as an operator does. */
#include <inttypes.h>
#include <stdio.h>

#include "chaos/sim/sim_internal.h"

#define EVERY_MS       25u
#define LIVE_NODES_MAX 9u
#define LEFT_MS        3000u /* a removed node disturbs the others so long */

void keeper_crash(struct sim *self, uint32_t node, uint64_t down_ms)
{
    if (!cluster_running(self->cluster, node))
        return;
    sim_note(self, "crash", node, down_ms, 0);
    cluster_crash(self->cluster, node);
    self->keeper[node].down_until_ms = sim_now(self) + down_ms;
}

void keeper_stop(struct sim *self, uint32_t node, uint64_t down_ms)
{
    if (!cluster_running(self->cluster, node))
        return;
    sim_note(self, "stop", node, down_ms, 0);
    cluster_stop(self->cluster, node);
    self->keeper[node].down_until_ms = sim_now(self) + down_ms;
}

static void start_again(struct sim *self, uint32_t node)
{
    struct error error = {0};

    cluster_fill_disk(self->cluster, node, false);
    enum error_code code = cluster_restart(self->cluster, node, &error);
    sim_note(self, "start", node, code, cluster_applied(self->cluster, node));
    self->keeper[node].down_until_ms = 0;
    self->report.restarts++;
    if (code != ERROR_OK)
        sim_fail(self, "start", "node %u does not start: %s", node, error.message);
}

static bool was_removed(const struct model *model, uint64_t node_id)
{
    for (uint32_t i = 0; i < model->removed_count; i++)
        if (model->removed[i].node_id == node_id)
            return true;
    return false;
}

/* A removed node goes on for a while: it does not know, and asks for votes. */
static void take_away(struct sim *self, uint32_t node)
{
    struct keeper_node *keeper = &self->keeper[node];

    if (!was_removed(&self->model, self->cluster->nodes[node].id))
        return;
    if (keeper->left_ms == 0)
        keeper->left_ms = sim_now(self);
    if (sim_now(self) < keeper->left_ms + LEFT_MS && !self->calm)
        return;
    if (cluster_running(self->cluster, node))
        keeper_stop(self, node, 0);
    keeper->gone = true;
    sim_note(self, "taken-away", node, 0, 0);
}

void keeper_run(struct sim *self)
{
    struct cluster *cluster = self->cluster;

    if (sim_now(self) < self->keeper_ms)
        return;
    self->keeper_ms = sim_now(self) + EVERY_MS;
    for (uint32_t i = 0; i < cluster->count && !sim_failed(self); i++) {
        struct keeper_node *keeper = &self->keeper[i];
        if (keeper->gone)
            continue;
        if (cluster_is_dead(cluster, i))
            keeper_crash(self, i,
                         self->calm ? 0 : random_below(&self->keeper_random, self->config.restart_ms));
        if (!cluster_running(cluster, i) && sim_now(self) >= keeper->down_until_ms)
            start_again(self, i);
        if (!sim_failed(self))
            take_away(self, i);
    }
}

/* --- membership
 * ------------------------------------------------------------------------------------------------------- */

static uint32_t count_live(const struct sim *self)
{
    uint32_t live = 0;

    for (uint32_t i = 0; i < self->cluster->count; i++)
        live += !self->keeper[i].gone;
    return live;
}

static void add_somebody(struct sim *self, uint32_t leader)
{
    struct cluster *cluster = self->cluster;

    for (uint32_t i = 0; i < cluster->count; i++)
        if (!self->keeper[i].gone && cluster_running(cluster, i) &&
            model_member(&self->model, cluster->nodes[i].id) == NULL &&
            !was_removed(&self->model, cluster->nodes[i].id)) {
            sim_note(self, "add", i, leader, cluster_begin_add(cluster, leader, i));
            return;
        }
    if (count_live(self) >= LIVE_NODES_MAX || cluster->count >= CLUSTER_NODES_MAX - 1)
        return;
    uint32_t node = cluster_join(cluster);
    sim_note(self, "join", node, leader, cluster_begin_add(cluster, leader, node));
}

void keeper_change_members(struct sim *self, uint64_t draw, uint64_t choice)
{
    struct cluster *cluster = self->cluster;
    int leader = cluster_leader(cluster);
    uint32_t node = (uint32_t)(choice % cluster->count);
    enum error_code code = ERROR_OK;

    if (leader < 0 || !cluster_running(cluster, (uint32_t)leader))
        return;
    switch (draw % 8) {
    case 0:
    case 1:
        add_somebody(self, (uint32_t)leader);
        return;
    case 2:
        code = cluster_begin_remove(cluster, (uint32_t)leader, node);
        break;
    case 3:
        code = cluster_begin_assign(cluster, (uint32_t)leader, node, MEMBER_SPARE);
        break;
    case 4:
    case 5:
        code = cluster_begin_assign(cluster, (uint32_t)leader, node, MEMBER_STANDBY);
        break;
    default:
        code = cluster_begin_assign(cluster, (uint32_t)leader, node, MEMBER_VOTER);
        break;
    }
    sim_note(self, "membership", node, draw % 8, code);
}
