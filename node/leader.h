/* What only the leader does, on a timer: lets time pass in the state (tick at its earliest deadline), keeps
 * the recorded members equal to Raft's configuration, makes voters of standbys that have caught up, and
 * finishes what predecessors left open.
 *
 * Everything it does is a command or a membership change, so doing it twice, or by two nodes, is harmless.
 *
 * Threads: the loop thread. */
#pragma once

#include <stdint.h>

struct service;
struct leader;

struct leader *leader_open(struct service *service);
/** Called every PUBLISH_MS, after service->now was refreshed; does nothing unless this node leads and is
 * ready. */
void leader_turn(struct leader *self);
void leader_close(struct leader *self);

/** An act of this process will close the action that was requested at `index`: leave it alone. 0: none. */
void leader_own_action(struct leader *self, uint64_t index);
