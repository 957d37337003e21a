/* Who is heard, since when, and what their clocks say; and the quick way to notice a killed leader.
 *
 * Peers are the members of the engine's configuration, and guests: ids that it doesn't know but that speak to
 * us. A lagging voter must be able to answer peers that it has not learnt of yet.
 *
 * A killed leader leaves a refused port behind. Some milliseconds later, staggered by rank so that not all
 * stand at once, a follower that still follows it becomes candidate. That is an ordinary pre-vote: voters who
 * hear the leader refuse it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "consensus/configuration.h"
#include "consensus/consensus.h"
#include "consensus/wire.h"

#define CONTACT_PEERS_MAX       (2u * NODES_MAX)
/** Between two ranks that notice a killed leader; at least two round trips. */
#define CONTACT_RANK_MS         10u
/** A member that doesn't answer a leader for so many election timeouts is out of reach. */
#define CONTACT_SILENT_TIMEOUTS 4u
/** A guest that is silent for so long is forgotten. */
#define CONTACT_GUEST_MS        60000u

struct contact {
    struct wire *wire;
    uint64_t node_id;
    uint32_t election_timeout_ms;
    struct contact_peer {
        uint64_t node_id;
        bool member, connected;
        char address[ADDRESS_BYTES_MAX]; /* where we reach it: the configuration's until it speaks from
                                            elsewhere */
        bool moved;
        uint64_t heard_ms; /* 0: never */
        int64_t wall_offset_ms;
        bool disk_full; /* as it said last */
    } peers[CONTACT_PEERS_MAX];
    uint32_t peer_count;
    uint64_t lost_ms; /* when contact with a majority was lost; 0: there is contact */
    bool quorum;
    /* the killed leader */
    uint64_t gone_leader, gone_term;
    uint64_t hasten_ms; /* CONSENSUS_NEVER: not planned */
    bool crashed;       /* no other leader was seen since */
};

void contact_init(struct contact *self, struct wire *wire, uint64_t node_id, uint32_t election_timeout_ms);
/** The configuration is now this one: connects to its members, makes guests of the others. */
void contact_members(struct contact *self, const struct configuration *configuration, uint64_t now_ms);
/** A frame came. @return false when there is no room for another guest: drop it */
bool contact_heard(struct contact *self, uint64_t from, const char *address, uint64_t now_ms);
void contact_clock(struct contact *self, uint64_t from, int64_t wall_offset_ms);
void contact_peer_event(struct contact *self, uint64_t node_id, enum wire_peer_event event);
void contact_space(struct contact *self, uint64_t from, bool disk_full);
const struct contact_peer *contact_find(const struct contact *self, uint64_t node_id); /* NULL: unknown */
/** Heard within the last election timeout; ourselves always. */
bool contact_recent(const struct contact *self, uint64_t node_id, uint64_t now_ms);
/** There is a connection, and on a leader, whom every member answers at each heartbeat, not silence on it: a
 * process that is stopped, or hangs in its disk, keeps its connections for hours. */
bool contact_reachable(const struct contact *self, uint64_t node_id, enum consensus_role role,
                       uint64_t now_ms);
/** Would the voters of this configuration have a majority among those in contact? */
bool contact_majority(const struct contact *self, const struct configuration *configuration, uint64_t now_ms);
/** Brings `quorum` and `lost_ms` up to date, and forgets guests that fell silent. */
void contact_update(struct contact *self, const struct configuration *configuration, enum consensus_role role,
                    uint64_t leader_id, uint64_t now_ms);
/** This peer's process is gone. Plans the candidacy when it was our leader. */
void contact_gone(struct contact *self, uint64_t node_id, const struct configuration *configuration,
                  uint64_t leader_id, uint64_t term, uint64_t now_ms);
/** The clock's offset that the voters agree on: their median when it is more than 10 s off ours, else 0. */
int64_t contact_wall_offset(const struct contact *self, const struct configuration *configuration);
