/* What readers get to see, as tables: the shapes of the answers that *_view.c and the commands build. The
 * OpenAPI document is made of them, and tests hold real answers against it. Every change also answers `index`
 * and `audit_seq`. */
#pragma once

#include "base/schema.h"

/* plan_view.c */
extern const struct schema plan_answer_shape, plan_row_shape, plan_page_shape, plan_stuck_shape,
    plan_gates_shape;
/* plan_verbs.c, plan_commands.c, plan_node.c */
extern const struct schema plan_created_shape, plan_verb_shape, plan_halted_shape, plan_recovered_shape,
    plan_approved_shape, plan_report_shape;
/* targets.c, rollback_view.c, rollback.c */
extern const struct schema rollback_target_shape, rollback_targets_shape, rollback_preview_shape,
    rollback_resign_shape, rollback_done_shape;
/* flag_view.c */
extern const struct schema flag_shape, flag_page_shape, flag_changes_shape, kill_switch_shape,
    kill_switch_page_shape;
/* audit_prune.c */
extern const struct schema audit_prune_shape;
/* leadership_view.c */
extern const struct schema epoch_shape;
