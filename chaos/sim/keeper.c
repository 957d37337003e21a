/* Who keeps the nodes running: restarts what crashed after a while, as a supervisor does; does what an error
 * says about a damaged store or log, replaces lost nodes, takes removed ones away, and changes the
 * membership, as an operator does. */
#include <inttypes.h>
#include <stdio.h>

#include "base/disk.h"
#include "chaos/sim/fake_disk.h"
#include "chaos/sim/sim_internal.h"

#define EVERY_MS       25u
#define REPLACE_MS     300u /* between two steps of a replacement */
#define LIVE_NODES_MAX 9u
#define PLACES_KEPT    8u    /* for the replacements of lost nodes */
#define LEFT_MS        3000u /* a removed node disturbs the others so long */

void keeper_crash(struct sim *self, uint32_t node, uint64_t down_ms)
{
    if (!cluster_running(self->cluster, node))
        return;
    sim_note(self, "crash", node, down_ms, 0);
    wire_watch_candidates(self);
    cluster_crash(self->cluster, node);
    self->keeper[node].down_until_ms = sim_now(self) + down_ms;
}

void keeper_stop(struct sim *self, uint32_t node, uint64_t down_ms)
{
    if (!cluster_running(self->cluster, node))
        return;
    sim_note(self, "stop", node, down_ms, 0);
    wire_watch_candidates(self);
    cluster_stop(self->cluster, node);
    self->keeper[node].down_until_ms = sim_now(self) + down_ms;
}

static bool is_damaged(const struct sim *self, uint32_t node)
{
    return self->keeper[node].damaged_log || self->keeper[node].damaged_state;
}

/* What the message says: a damaged store is put aside, and comes from another node; who has lost its log
 * joins again under a new id. */
static void repair(struct sim *self, uint32_t node, const struct error *error)
{
    struct keeper_node *keeper = &self->keeper[node];

    sim_note(self, "repair", node, keeper->damaged_log, keeper->damaged_state);
    if (error->code == ERROR_IO) /* its disk failed again: its supervisor tries again */
        return;
    if (error->code != ERROR_CORRUPT || !is_damaged(self, node)) {
        sim_fail(self, "start", "node %u does not start: %s", node, error->message);
    } else if (keeper->damaged_state) {
        keeper->damaged_state = false;
        cluster_wipe_store(self->cluster, node);
    } else {
        keeper_lose(self, node);
    }
}

static void start_again(struct sim *self, uint32_t node)
{
    struct error error = {0};

    cluster_fill_disk(self->cluster, node, false);
    enum error_code code = cluster_restart(self->cluster, node, &error);
    sim_note(self, "start", node, code, cluster_applied(self->cluster, node));
    self->report.restarts++;
    if (code == ERROR_OK)
        self->keeper[node].down_until_ms = 0;
    else
        repair(self, node, &error);
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

/* --- lost disks
 * ------------------------------------------------------------------------------------------------------- */

static bool is_voter(const struct sim *self, uint32_t node)
{
    const struct consensus_member *member = model_member(&self->model, self->cluster->nodes[node].id);
    return member != NULL && member->role == MEMBER_VOTER;
}

bool keeper_all_whole(struct sim *self)
{
    uint32_t voters = 0;

    for (uint32_t i = 0; i < self->cluster->count; i++) {
        struct consensus_status status = cluster_status(self->cluster, i);
        if (is_voter(self, i) && (!cluster_running(self->cluster, i) || is_damaged(self, i)))
            return false;
        if (!cluster_running(self->cluster, i))
            continue;
        if (status.membership_pending || status.state_lost ||
            (is_voter(self, i) && status.configuration_index != self->model.configuration_index))
            return false;
        voters += is_voter(self, i);
    }
    return voters >= 3 && !keeper_replacing(self) && self->cluster->count < CLUSTER_NODES_MAX - PLACES_KEPT;
}

void keeper_lose(struct sim *self, uint32_t node)
{
    struct keeper_node *keeper = &self->keeper[node];
    char folder[32];
    struct error error = {0};

    keeper_crash(self, node, 0);
    sim_note(self, "lost", node, 0, 0);
    keeper->gone = keeper->lost = true;
    keeper->damaged_log = keeper->damaged_state = false;
    snprintf(folder, sizeof folder, "/node%u", node);
    if (disk_remove(folder, &error) != ERROR_OK)
        sim_fail(self, "keeper", "%s", error.message);
}

static bool lost_member(const struct sim *self, uint32_t node)
{
    return self->keeper[node].lost && model_member(&self->model, self->cluster->nodes[node].id) != NULL;
}

static uint32_t count_voters(const struct sim *self)
{
    uint32_t voters = 0;

    for (uint32_t i = 0; i < self->model.member_count; i++)
        voters += self->model.members[i].role == MEMBER_VOTER;
    return voters;
}

bool keeper_replacing(const struct sim *self)
{
    bool lost = false;

    for (uint32_t i = 0; i < self->cluster->count; i++) {
        if (lost_member(self, i))
            return true;
        lost = lost || self->keeper[i].lost;
    }
    return lost && count_voters(self) < 3;
}

static void add_somebody(struct sim *self, uint32_t leader);

/* One step at a time: out with the lost one, in with another, and make it a voter. */
static void replace(struct sim *self)
{
    struct cluster *cluster = self->cluster;
    int leader = cluster_leader(cluster);

    if (leader < 0 || !keeper_replacing(self) || sim_now(self) < self->replace_ms)
        return;
    self->replace_ms = sim_now(self) + REPLACE_MS;
    for (uint32_t i = 0; i < cluster->count; i++)
        if (lost_member(self, i)) {
            sim_note(self, "remove-lost", i, (uint64_t)leader,
                     cluster_begin_remove(cluster, (uint32_t)leader, i));
            return;
        }
    for (uint32_t i = 0; i < cluster->count; i++) {
        const struct consensus_member *member = model_member(&self->model, cluster->nodes[i].id);
        if (member == NULL || member->role == MEMBER_VOTER || !cluster_running(cluster, i))
            continue;
        enum member_role role = member->role == MEMBER_SPARE ? MEMBER_STANDBY : MEMBER_VOTER;
        if (cluster_begin_assign(cluster, (uint32_t)leader, i, role) == ERROR_OK)
            return;
    }
    add_somebody(self, (uint32_t)leader);
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
    if (!sim_failed(self))
        replace(self);
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
    if (cluster->count >= CLUSTER_NODES_MAX)
        return;
    uint32_t node = cluster_join(cluster);
    sim_note(self, "join", node, leader, cluster_begin_add(cluster, leader, node));
}

bool keeper_may_shrink(const struct sim *self)
{
    for (uint32_t i = 0; i < self->cluster->count; i++)
        if (is_damaged(self, i))
            return false;
    return !keeper_replacing(self);
}

void keeper_change_members(struct sim *self, uint64_t draw, uint64_t choice)
{
    struct cluster *cluster = self->cluster;
    int leader = cluster_leader(cluster);
    uint32_t node = (uint32_t)(choice % cluster->count);
    enum error_code code = ERROR_OK;

    if (leader < 0 || !cluster_running(cluster, (uint32_t)leader) || keeper_replacing(self))
        return;
    if (draw % 8 > 1 && draw % 8 < 6 && !keeper_may_shrink(self))
        return;
    switch (draw % 8) {
    case 0:
    case 1:
        if (count_live(self) >= LIVE_NODES_MAX || cluster->count + PLACES_KEPT >= CLUSTER_NODES_MAX)
            return;
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
