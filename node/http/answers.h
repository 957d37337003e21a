/* What the routes of this folder answer by themselves, as tables: for the OpenAPI document. What the state
 * machine shows is in fsm/answers.h. */
#pragma once

#include "base/schema.h"

/* routes_health.c */
extern const struct schema health_shape, ready_shape, health_leader_shape, health_audit_shape, version_shape,
    configuration_shape;
/* routes_ha.c; the acts behind them are node/failover.c's, node/joining.c's, node/removing.c's */
extern const struct schema ha_status_shape, ha_quorum_shape, ha_member_page_shape, ha_epoch_page_shape,
    ha_failover_shape, ha_rollback_shape, ha_joined_shape, ha_removed_shape;
/* routes_audit.c */
extern const struct schema audit_page_shape, audit_verdict_shape;
/* routes_internal.c */
extern const struct schema checkpoint_shape;
/* problem.c */
extern const struct schema problem_shape;
/* of every change, beside its own */
extern const struct schema change_shape;
