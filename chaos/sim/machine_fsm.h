/* The real fsm/ over the simulated store, as a state machine of the cluster's nodes. */
#pragma once

#include "chaos/sim/cluster_internal.h"
#include "fsm/fsm.h"

extern const struct cluster_machine cluster_fsm;

/** The node's open state machine; NULL while it is not running. */
struct fsm *cluster_fsm_of(const struct cluster_node *node);
