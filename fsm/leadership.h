/* Who led when, who belongs to the cluster, and what a leader was asked to do.
 *
 * An action that reaches outside the state machine (handing leadership over) takes three committed steps:
 * requested, the act, the outcome. Between the first and the last it stands as an open action, which a new
 * leader finds. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fsm/apply.h"

/** Requests that leadership be handed over: records ha.failover.triggered (pending) and opens the action.
 *
 * @param target_node  name of the wanted successor; NULL or "": the leader chooses
 * @param by_rollback  it came by `rollback execute`: the outcome also leaves rollback.executed
 * @return false after apply_refuse(): one is open already (RESULT_TOO_MANY) or the target is no member */
bool failover_open(struct apply *apply, const char *reason, const char *target_node, bool by_rollback);
