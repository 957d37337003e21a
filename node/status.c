/* What the loop publishes about this node and the cluster: taken at most PUBLISH_MS apart and at once on a
 * change, read by any thread as a copy under a small mutex. Nothing in it waits for another node. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/logger.h"
#include "node/internal.h"
#include "node/quorum.h"

#define LAG_WARNING_MS  1000u
#define LAG_CRITICAL_MS 10000u
#define MEMBERS_ARENA   (16u << 20)

uint64_t now_ms(const struct service *self)
{
    return self->clock.monotonic_ms(self->clock.context);
}

/* --- members
 * ----------------------------------------------------------------------------------------------------------
 */

static void members_read(struct service *self)
{
    struct view *view = state_view(self->state);
    struct arena arena;
    struct member_info *rows = NULL;
    struct error error = {0};
    uint32_t count = 0;
    arena_init(&arena, MEMBERS_ARENA);
    if (view_member_list(view, &arena, &rows, &count, &error) == ERROR_OK) {
        self->members.count = 0;
        for (uint32_t i = 0;
             i < count && self->members.count < sizeof self->members.rows / sizeof self->members.rows[0];
             i++) {
            size_t at = self->members.count++;
            self->members.rows[at].node_id = rows[i].node_id;
            self->members.rows[at].role = rows[i].role;
            self->members.rows[at].removed = rows[i].removed;
            snprintf(self->members.rows[at].name, sizeof self->members.rows[at].name, "%s",
                     rows[i].name ? rows[i].name : "");
            snprintf(self->members.rows[at].url, sizeof self->members.rows[at].url, "%s",
                     rows[i].url ? rows[i].url : "");
            snprintf(self->members.rows[at].address, sizeof self->members.rows[at].address, "%s",
                     rows[i].address ? rows[i].address : "");
            snprintf(self->members.rows[at].version, sizeof self->members.rows[at].version, "%s",
                     rows[i].version ? rows[i].version : "");
        }
        self->members.index = view_index(view);
    } else {
        log_warn("status", "members can't be read", "error=\"%s\"", error.message);
    }
    arena_done(&arena);
    state_view_close(self->state, view);
}

const char *member_url(const struct service *self, uint64_t node_id)
{
    for (uint32_t i = 0; i < self->members.count; i++)
        if (self->members.rows[i].node_id == node_id && !self->members.rows[i].removed)
            return self->members.rows[i].url;
    return "";
}

const char *member_name(const struct service *self, uint64_t node_id)
{
    for (uint32_t i = 0; i < self->members.count; i++)
        if (self->members.rows[i].node_id == node_id)
            return self->members.rows[i].name;
    return node_id != 0 && node_id == self->now.node_id ? self->config->name : "";
}

bool leads(const struct service *self)
{
    return self->joined && self->now.role == CONSENSUS_LEADER && self->now.ready;
}

const char *leader_elsewhere(const struct service *self)
{
    if (self->now.leader_id == 0 || self->now.leader_id == self->now.node_id)
        return NULL;
    const char *url = member_url(self, self->now.leader_id);
    return url[0] ? url : NULL;
}

/** Who took office last and when, as the state has it. */
static void epoch_read(struct service *self)
{
    struct view *view = state_view(self->state);
    struct error error = {0};
    json_t *epochs = NULL;
    if (view_epochs(view, 1, &epochs, &error) == ERROR_OK) {
        const json_t *last = json_array_get(epochs, 0);
        const char *text = json_string_value(json_object_get(last, "acquired_at"));
        self->history.term = (uint64_t)json_integer_value(json_object_get(last, "term"));
        snprintf(self->history.acquired_at, sizeof self->history.acquired_at, "%s", text ? text : "");
        json_decref(epochs);
    }
    self->history.index = view_index(view);
    state_view_close(self->state, view);
}

/* Not consensus' leader_ready_term: that counts from this process' start. */
bool leader_is_ready(const struct service *self)
{
    return self->now.leader_id != 0 && self->history.term == self->now.term;
}

void status_refresh(struct service *self)
{
    if (!self->consensus || self->consensus_closed)
        return;
    consensus_status(self->consensus, &self->now);
    if (!self->state)
        return;
    if (self->applied_index != self->members.index)
        members_read(self);
    if (self->history.term != self->now.term && self->history.index != self->applied_index)
        epoch_read(self);
}

/* --- lag
 * ----------------------------------------------------------------------------------------------------------------
 */

static void sample(struct service *self, uint64_t now)
{
    uint32_t room = sizeof self->history.samples / sizeof self->history.samples[0];
    size_t at = self->history.next;
    self->history.samples[at].at_ms = now;
    self->history.samples[at].last_index = self->now.last_index;
    self->history.samples[at].commit_index = self->now.commit_index;
    self->history.next = (self->history.next + 1) % room;
    if (self->history.count < room)
        self->history.count++;
}

/** How long ago, at least, there was something beyond `match`; samples are PUBLISH_MS apart. */
static uint64_t lag_of(const struct service *self, uint64_t match, uint64_t now, bool committed)
{
    uint32_t room = sizeof self->history.samples / sizeof self->history.samples[0];
    uint64_t lag = 0;
    for (uint32_t i = 0; i < self->history.count; i++) {
        size_t at = (self->history.next + room - 1 - i) % room;
        uint64_t index =
            committed ? self->history.samples[at].commit_index : self->history.samples[at].last_index;
        if (index <= match)
            break;
        lag = now - self->history.samples[at].at_ms;
    }
    return lag;
}

/** Voters beside the leader follow it; while none is known, those beside this node, which may be the next. */
static bool is_replica(const struct service *self, const struct consensus_member *member)
{
    uint64_t leader_id = self->now.leader_id != 0 ? self->now.leader_id : self->now.node_id;
    return member->role == MEMBER_VOTER && member->node_id != leader_id;
}

static void lag_on_leader(const struct service *self, struct service_status *out)
{
    uint32_t others = 0;
    for (uint32_t i = 0; i < self->now.member_count; i++) {
        const struct consensus_member *member = &self->now.members[i];
        if (!is_replica(self, member))
            continue;
        others++;
        if (!member->connected)
            continue;
        uint64_t write = lag_of(self, member->match_index, out->monotonic_ms, false);
        uint64_t replay = lag_of(self, member->match_index, out->monotonic_ms, true);
        if (member->match_index + CONSENSUS_LAG_ENTRIES_MAX >= self->now.commit_index)
            out->sync_replica_count++;
        if (write < out->write_lag_ms) {
            out->write_lag_ms = write;
            out->replay_lag_ms = replay;
        }
    }
    if (others == 0) /* alone: nobody lags */
        out->write_lag_ms = out->replay_lag_ms = 0;
}

/** A follower knows of itself, and of the others only whether they are in contact. */
static void lag_elsewhere(const struct service *self, struct service_status *out)
{
    bool leader_heard = false;
    for (uint32_t i = 0; i < self->now.member_count; i++) {
        const struct consensus_member *member = &self->now.members[i];
        if (member->node_id == self->now.leader_id)
            leader_heard = member->heard_ms < 2ull * self->config->election_timeout_ms;
        if (is_replica(self, member) && (member->connected || member->node_id == self->now.node_id))
            out->sync_replica_count++;
    }
    if (!leader_heard)
        return;
    out->write_lag_ms = lag_of(self, self->now.durable_index, out->monotonic_ms, true);
    out->replay_lag_ms = lag_of(self, self->now.applied_index, out->monotonic_ms, true);
}

/* --- quorum
 * ----------------------------------------------------------------------------------------------------------------
 */

static const char *quorum_health(const struct service *self)
{
    if (!self->joined || !self->now.quorum)
        return "lost";
    for (uint32_t i = 0; i < self->now.member_count; i++) {
        const struct consensus_member *member = &self->now.members[i];
        if (member->role == MEMBER_VOTER && member->node_id != self->now.node_id && !member->connected)
            return "degraded";
    }
    return "healthy";
}

static bool cluster_can_write(const struct service *self, const struct service_status *out)
{
    if (self->now.role == CONSENSUS_LEADER)
        return out->write_ready;
    if (!self->joined || !self->now.quorum || !leader_is_ready(self))
        return false;
    for (uint32_t i = 0; i < self->now.member_count; i++)
        if (self->now.members[i].node_id == self->now.leader_id)
            return self->now.members[i].heard_ms < 2ull * self->config->election_timeout_ms;
    return false;
}

static void fill_quorum(struct service *self, struct service_status *out)
{
    const char *reason = "";
    if (!self->joined)
        reason = "this node is not part of a cluster yet";
    else if (!self->now.quorum)
        reason = "no contact with a majority of voters";
    out->quorum_health = quorum_health(self);
    out->quorum_loss_reason = reason;
    out->last_lost_ms = self->history.last_lost_ms;
    out->last_restored_ms = self->history.last_restored_ms;
    out->detected_loss_count = self->history.losses;
    out->write_ready = leads(self) && self->now.quorum && !self->now.disk_full && !self->stopping;
    out->cluster_write_ready = cluster_can_write(self, out);
}

/* --- publishing
 * -------------------------------------------------------------------------------------------------------------
 */

static const char *member_address(const struct service *self, uint64_t node_id)
{
    for (uint32_t i = 0; i < self->members.count; i++)
        if (self->members.rows[i].node_id == node_id)
            return self->members.rows[i].address;
    return "";
}

/** For people: ordered by name, and at the address where they say they are. */
static void order_members(const struct service *self, struct service_status *out)
{
    struct consensus_member *members = out->consensus.members;
    for (uint32_t i = 0; i < out->consensus.member_count; i++) {
        struct consensus_member next = members[i];
        const char *name = member_name(self, next.node_id), *address = member_address(self, next.node_id);
        if (address[0])
            snprintf(next.address, sizeof next.address, "%s", address);
        uint32_t at = i;
        for (; at > 0 && strcmp(member_name(self, members[at - 1].node_id), name) > 0; at--)
            members[at] = members[at - 1];
        members[at] = next;
    }
}

static void fill_members(const struct service *self, struct service_status *out)
{
    order_members(self, out);
    for (uint32_t i = 0; i < self->members.count && out->member_count < NODES_MAX; i++) {
        if (self->members.rows[i].removed)
            continue;
        size_t at = out->member_count++;
        out->members[at].node_id = self->members.rows[i].node_id;
        memcpy(out->members[at].name, self->members.rows[i].name, sizeof out->members[at].name);
        memcpy(out->members[at].url, self->members.rows[i].url, sizeof out->members[at].url);
        memcpy(out->members[at].version, self->members.rows[i].version, sizeof out->members[at].version);
    }
    snprintf(out->leader_name, sizeof out->leader_name, "%s", member_name(self, self->now.leader_id));
    snprintf(out->leader_url, sizeof out->leader_url, "%s", member_url(self, self->now.leader_id));
    if (leader_is_ready(self))
        snprintf(out->leader_acquired_at, sizeof out->leader_acquired_at, "%s", self->history.acquired_at);
}

static void fill_state(const struct service *self, struct service_status *out)
{
    struct fsm_state state;
    if (!self->state)
        return;
    state_describe(self->state, &state);
    memcpy(out->digest, state.digest, sizeof out->digest);
    out->digest_index = state.index;
    out->audit_seq = state.audit_seq;
    out->mirror_seq = self->audit.seq;
    out->mirror_failed = self->audit.failed;
    memcpy(out->mirror_damage, self->audit.damage, sizeof out->mirror_damage);
}

static void fill_counts(const struct service *self, struct service_counts *out)
{
    *out = self->counts;
    out->changes_waiting = self->change_count;
    out->mailbox_waiting = mailbox_count(self->mailbox);
    if (self->state)
        out->apply_us = *state_apply_times(self->state);
    if (self->consensus && !self->consensus_closed)
        out->traffic_count = consensus_traffic(self->consensus, out->traffic);
}

void status_publish(struct service *self)
{
    status_refresh(self);
    struct service_status out = {.write_lag_ms = UINT64_MAX, .replay_lag_ms = UINT64_MAX};
    out.consensus = self->now;
    snprintf(out.name, sizeof out.name, "%s", self->config->name);
    out.monotonic_ms = now_ms(self);
    out.wall_ms = self->clock.wall_ms(self->clock.context);
    out.started_wall_ms = self->started_wall_ms;
    out.joined = self->joined;
    out.stopping = self->stopping;
    out.data_dir = self->config->data_dir;
    fill_counts(self, &out.counts);
    sample(self, out.monotonic_ms);
    fill_members(self, &out);
    fill_state(self, &out);
    if (self->now.role == CONSENSUS_LEADER)
        lag_on_leader(self, &out);
    else
        lag_elsewhere(self, &out);
    out.lag_status = out.write_lag_ms >= LAG_CRITICAL_MS  ? "critical"
                     : out.write_lag_ms >= LAG_WARNING_MS ? "warning"
                                                          : "ok";
    quorum_watch(self->quorum);
    fill_quorum(self, &out);
    pthread_mutex_lock(&self->published_lock);
    self->published = out;
    pthread_mutex_unlock(&self->published_lock);
}
