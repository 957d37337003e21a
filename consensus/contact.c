#include "consensus/contact.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* How far our own clock may be from the voters' median before theirs counts. */
#define CONTACT_WALL_OFFSET_MS_MAX 10000

void contact_init(struct contact *self, struct wire *wire, uint64_t node_id, uint32_t election_timeout_ms)
{
    *self = (struct contact){.wire = wire,
                             .node_id = node_id,
                             .election_timeout_ms = election_timeout_ms,
                             .hasten_ms = CONSENSUS_NEVER};
}

static struct contact_peer *find(struct contact *self, uint64_t node_id)
{
    for (uint32_t i = 0; i < self->peer_count; i++)
        if (self->peers[i].node_id == node_id)
            return &self->peers[i];
    return NULL;
}

const struct contact_peer *contact_find(const struct contact *self, uint64_t node_id)
{
    for (uint32_t i = 0; i < self->peer_count; i++)
        if (self->peers[i].node_id == node_id)
            return &self->peers[i];
    return NULL;
}

static void forget(struct contact *self, struct contact_peer *peer)
{
    wire_peer_remove(self->wire, peer->node_id);
    *peer = self->peers[--self->peer_count];
}

/* A member that was started again under another address says so in its handshake, and is reached there from
 * then on; what its configuration entry says would leave it unheard for ever. Only this cluster's own nodes
 * get past a handshake. */
static void reach(struct contact *self, struct contact_peer *peer, const char *address, bool said)
{
    bool same = strcmp(peer->address, address) == 0;
    if (same || (peer->moved && !said))
        return;
    peer->moved = said && peer->address[0] != '\0';
    snprintf(peer->address, sizeof peer->address, "%s", address);
    wire_peer_set(self->wire, peer->node_id, address);
}

static struct contact_peer *add(struct contact *self, uint64_t node_id, const char *address)
{
    if (self->peer_count == CONTACT_PEERS_MAX)
        return NULL;
    struct contact_peer *peer = &self->peers[self->peer_count++];
    *peer = (struct contact_peer){.node_id = node_id};
    reach(self, peer, address, false);
    return peer;
}

/* Guests that fell silent leave; `all` makes room for members. */
static void forget_guests(struct contact *self, bool all, uint64_t now_ms)
{
    for (uint32_t i = self->peer_count; i > 0; i--) {
        struct contact_peer *peer = &self->peers[i - 1];
        if (!peer->member && (all || peer->heard_ms + CONTACT_GUEST_MS < now_ms))
            forget(self, peer);
    }
}

void contact_members(struct contact *self, const struct configuration *configuration, uint64_t now_ms)
{
    for (uint32_t i = 0; i < self->peer_count; i++)
        self->peers[i].member = false;
    for (uint32_t i = 0; i < configuration->count; i++) {
        struct contact_peer *peer = find(self, configuration->members[i].node_id);
        if (peer != NULL)
            peer->member = true;
    }
    forget_guests(self, self->peer_count + configuration->count > CONTACT_PEERS_MAX, now_ms);
    for (uint32_t i = 0; i < configuration->count; i++) {
        const struct configuration_member *member = &configuration->members[i];
        if (member->node_id == self->node_id)
            continue;
        struct contact_peer *peer = find(self, member->node_id);
        if (peer == NULL)
            peer = add(self, member->node_id, member->address);
        else
            reach(self, peer, member->address, false);
        CHECK(peer != NULL, "no room for a member among %u peers", self->peer_count);
        peer->member = true;
    }
}

bool contact_heard(struct contact *self, uint64_t from, const char *address, uint64_t now_ms)
{
    struct contact_peer *peer = find(self, from);

    if (peer == NULL) {
        forget_guests(self, false, now_ms);
        peer = add(self, from, address);
    }
    if (peer == NULL)
        return false;
    reach(self, peer, address, true);
    peer->heard_ms = now_ms;
    return true;
}

void contact_clock(struct contact *self, uint64_t from, int64_t wall_offset_ms)
{
    struct contact_peer *peer = find(self, from);
    if (peer != NULL)
        peer->wall_offset_ms = wall_offset_ms;
}

void contact_peer_event(struct contact *self, uint64_t node_id, enum wire_peer_event event)
{
    struct contact_peer *peer = find(self, node_id);
    if (peer != NULL)
        peer->connected = event == WIRE_PEER_UP;
}

void contact_space(struct contact *self, uint64_t from, bool disk_full)
{
    struct contact_peer *peer = find(self, from);
    if (peer)
        peer->disk_full = disk_full;
}

bool contact_recent(const struct contact *self, uint64_t node_id, uint64_t now_ms)
{
    const struct contact_peer *peer = contact_find(self, node_id);

    if (node_id == self->node_id)
        return true;
    return peer != NULL && peer->heard_ms > 0 && peer->heard_ms + self->election_timeout_ms >= now_ms;
}

bool contact_reachable(const struct contact *self, uint64_t node_id, enum consensus_role role,
                       uint64_t now_ms)
{
    const struct contact_peer *peer = contact_find(self, node_id);
    const uint64_t silent_ms = (uint64_t)CONTACT_SILENT_TIMEOUTS * self->election_timeout_ms;

    if (node_id == self->node_id)
        return true;
    if (peer == NULL || !peer->connected)
        return false;
    return role != CONSENSUS_LEADER || (peer->heard_ms > 0 && peer->heard_ms + silent_ms >= now_ms);
}

bool contact_majority(const struct contact *self, const struct configuration *configuration, uint64_t now_ms)
{
    uint32_t recent = 0;

    for (uint32_t i = 0; i < configuration->count; i++)
        recent += configuration->members[i].role == MEMBER_VOTER &&
                  contact_recent(self, configuration->members[i].node_id, now_ms);
    return recent > configuration_voter_count(configuration) / 2;
}

void contact_update(struct contact *self, const struct configuration *configuration, enum consensus_role role,
                    uint64_t leader_id, uint64_t now_ms)
{
    bool quorum = false;

    forget_guests(self, false, now_ms);
    if (role == CONSENSUS_LEADER) {
        quorum = contact_majority(self, configuration, now_ms);
    } else if (leader_id != 0) {
        /* A leader that speaks hears a majority itself, or it steps down within an election timeout. */
        const struct contact_peer *leader = contact_find(self, leader_id);
        quorum = leader != NULL && leader->heard_ms > 0 &&
                 leader->heard_ms + 2 * (uint64_t)self->election_timeout_ms >= now_ms;
    }
    if (quorum)
        self->lost_ms = 0;
    else if (self->lost_ms == 0)
        self->lost_ms = now_ms == 0 ? 1 : now_ms;
    self->quorum = quorum;
    if (leader_id != 0 && leader_id != self->gone_leader && leader_id != self->node_id)
        self->crashed = false;
    if (leader_id != self->gone_leader)
        self->hasten_ms = CONSENSUS_NEVER;
}

void contact_gone(struct contact *self, uint64_t node_id, const struct configuration *configuration,
                  uint64_t leader_id, uint64_t term, uint64_t now_ms)
{
    uint32_t rank = 1;

    if (node_id != leader_id || !configuration_is_voter(configuration, self->node_id))
        return;
    for (uint32_t i = 0; i < configuration->count; i++) {
        const struct configuration_member *member = &configuration->members[i];
        rank +=
            member->role == MEMBER_VOTER && member->node_id != leader_id && member->node_id < self->node_id;
    }
    self->crashed = true;
    if (self->hasten_ms != CONSENSUS_NEVER && self->gone_leader == leader_id && self->gone_term == term)
        return; /* planned already: later refusals don't put it off */
    self->gone_leader = leader_id;
    self->gone_term = term;
    self->hasten_ms = now_ms + (uint64_t)CONTACT_RANK_MS * rank;
}

static int compare_offsets(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

int64_t contact_wall_offset(const struct contact *self, const struct configuration *configuration)
{
    int64_t offsets[NODES_MAX];
    uint32_t count = 0;

    for (uint32_t i = 0; i < configuration->count; i++) {
        const struct configuration_member *member = &configuration->members[i];
        const struct contact_peer *peer = contact_find(self, member->node_id);
        if (member->role != MEMBER_VOTER)
            continue;
        if (member->node_id == self->node_id)
            offsets[count++] = 0;
        else if (peer != NULL && peer->heard_ms > 0)
            offsets[count++] = peer->wall_offset_ms;
    }
    if (count == 0)
        return 0;
    qsort(offsets, count, sizeof offsets[0], compare_offsets);
    /* Of two in the middle the one nearer to our own clock. */
    int64_t lower = offsets[(count - 1) / 2], upper = offsets[count / 2];
    int64_t median = llabs(lower) < llabs(upper) ? lower : upper;
    return median > CONTACT_WALL_OFFSET_MS_MAX || median < -CONTACT_WALL_OFFSET_MS_MAX ? median : 0;
}
