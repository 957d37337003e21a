#include "fsm/answers.h"

#include "base/shape.h"
#include "fsm/flag.h"
#include "fsm/leadership.h"
#include "fsm/plan.h"
#include "fsm/targets.h"

/* --- plans, read --- */

static const struct field gate_fields[] = {
    SHAPE_WORD("kind", gate_kind_names),
    SHAPE_YES_NO("passed"),
    SHAPE_TEXT("detail"),
    SHAPE_COUNT("seconds", .help = "of a time_soak", OR_LEFT_OUT),
    SHAPE_COUNT("min_percent", .help = "of a success_ratio", OR_LEFT_OUT),
};
static const struct schema gate_shape = SHAPE("gate", gate_fields);

static const struct field counts_fields[] = {
    SHAPE_COUNT("pending"),       SHAPE_COUNT("offered"),        SHAPE_COUNT("activated"),
    SHAPE_COUNT("failed"),        SHAPE_COUNT("revert_offered"), SHAPE_COUNT("reverted"),
    SHAPE_COUNT("revert_failed"), SHAPE_COUNT("total"),
};
static const struct schema counts_shape = SHAPE("node counts", counts_fields);

static const struct field stage_fields[] = {
    SHAPE_TEXT("stage_id"),
    SHAPE_WORD("stage_phase", stage_phase_names),
    SHAPE_LIST("gates", gate_shape),
    SHAPE_STRUCT("nodes", counts_shape),
    SHAPE_STRUCT("target", plan_target_schema),
    SHAPE_TIME("opened_at", OR_NULL),
    SHAPE_TIME("closed_at", OR_NULL),
    SHAPE_YES_NO("forced", .help = "left behind by skip_failed"),
    SHAPE_YES_NO("manual_approved"),
    SHAPE_TEXT("approved_by", OR_NULL),
    SHAPE_TIME("approved_at", OR_NULL),
};
static const struct schema stage_shape = SHAPE("stage", stage_fields);

static const struct field node_fields[] = {
    SHAPE_TEXT("node_id"),
    SHAPE_WORD("state", node_state_names),
    SHAPE_TEXT("stage_id", OR_NULL),
    SHAPE_TEXT("version", OR_NULL),
    SHAPE_TEXT("detail", OR_NULL),
    SHAPE_TIME("activated_at", OR_NULL),
    SHAPE_TIME("updated_at", OR_NULL),
};
static const struct schema node_shape = SHAPE("plan node", node_fields);

static const struct field revert_fields[] = {
    SHAPE_WORD("state", revert_state_names),
    SHAPE_WORD("policy", revert_policy_names),
    SHAPE_WORD("pace", revert_pace_names),
    SHAPE_TEXT("version", .help = "what nodes are brought back to", OR_NULL),
    SHAPE_COUNT("nodes"),
    SHAPE_COUNT("waiting"),
    SHAPE_COUNT("offered"),
    SHAPE_COUNT("reverted"),
    SHAPE_COUNT("failed"),
    SHAPE_YES_NO("converged"),
    SHAPE_TIME("started_at", OR_NULL),
    SHAPE_TIME("ended_at", OR_NULL),
    SHAPE_TEXT("message"),
};
static const struct schema revert_shape = SHAPE("revert", revert_fields);

static const struct field plan_fields[] = {
    SHAPE_TEXT("plan_id"),
    SHAPE_WORD("phase", plan_phase_names),
    SHAPE_TEXT("current_stage_id", OR_NULL),
    SHAPE_STRUCT("artifact", plan_artifact_schema),
    SHAPE_LIST("stages", stage_shape),
    SHAPE_LIST("nodes", node_shape),
    SHAPE_COUNT("nodes_total"),
    SHAPE_YES_NO("nodes_cut", .help = "there are more nodes than `nodes` shows"),
    SHAPE_STRUCT("revert", revert_shape, OR_NULL),
    SHAPE_TIME("created_at", OR_NULL),
    SHAPE_TEXT("created_by", OR_NULL),
    SHAPE_TIME("updated_at", OR_NULL),
    SHAPE_TIME("published_at", OR_NULL),
    SHAPE_TIME("start_at", OR_NULL),
    SHAPE_TIME("ended_at", OR_NULL),
    SHAPE_TEXT("reason", OR_NULL),
    SHAPE_TEXT("last_actor", OR_NULL),
    SHAPE_TEXT("last_reason", OR_NULL),
    SHAPE_COUNT("revision"),
};
const struct schema plan_answer_shape = SHAPE("plan", plan_fields);

static const struct field row_fields[] = {
    SHAPE_TEXT("plan_id"),
    SHAPE_WORD("phase", plan_phase_names),
    SHAPE_TEXT("current_stage_id", OR_NULL),
    SHAPE_TIME("created_at", OR_NULL),
    SHAPE_TIME("updated_at", OR_NULL),
    SHAPE_TEXT("artifact"),
    SHAPE_TEXT("version"),
};
const struct schema plan_row_shape = SHAPE("plan row", row_fields);
static const struct field plan_page_fields[] = SHAPE_PAGE(plan_row_shape);
const struct schema plan_page_shape = SHAPE("plan page", plan_page_fields);

static const struct field stuck_row_fields[] = {
    SHAPE_TEXT("plan_id"),
    SHAPE_WORD("phase", plan_phase_names),
    SHAPE_TEXT("current_stage_id", OR_NULL),
    SHAPE_TIME("stuck_since", OR_NULL),
    SHAPE_TEXT("stuck_reason"),
};
static const struct schema stuck_row_shape = SHAPE("stuck plan", stuck_row_fields);
static const struct field stuck_fields[] = {SHAPE_LIST("stuck_plans", stuck_row_shape)};
const struct schema plan_stuck_shape = SHAPE("stuck plans", stuck_fields);

static const struct field gates_fields[] = {
    SHAPE_TEXT("plan_id"),
    SHAPE_TEXT("stage_id"),
    SHAPE_WORD("stage_phase", stage_phase_names),
    SHAPE_LIST("gates", gate_shape),
    SHAPE_YES_NO("manual_approved"),
    SHAPE_YES_NO("all_passed"),
};
const struct schema plan_gates_shape = SHAPE("gates", gates_fields);

/* --- plans, changed --- */

#define VERB                                                                                                 \
    SHAPE_TEXT("plan_id"), SHAPE_WORD("phase", plan_phase_names),                                            \
        SHAPE_WORD("previous_phase", plan_phase_names), SHAPE_WORD("new_phase", plan_phase_names),           \
        SHAPE_TEXT("current_stage_id", OR_NULL), SHAPE_TIME("created_at", OR_NULL),                          \
        SHAPE_TIME("updated_at", OR_NULL)

static const struct field created_fields[] = {VERB, SHAPE_COUNT("stages", .help = "how many it has")};
const struct schema plan_created_shape = SHAPE("plan created", created_fields);

static const struct field verb_fields[] = {VERB};
const struct schema plan_verb_shape = SHAPE("plan changed", verb_fields);

static const struct field halted_fields[] = {
    VERB,
    SHAPE_TEXT("stage_id"),
    SHAPE_WORD("stage_phase", stage_phase_names),
    SHAPE_YES_NO("already_halted"),
};
const struct schema plan_halted_shape = SHAPE("plan halted", halted_fields);

static const struct field recovered_fields[] = {
    VERB,
    SHAPE_WORD("strategy", recover_strategy_names),
    SHAPE_TEXT("message", OR_NULL),
};
const struct schema plan_recovered_shape = SHAPE("plan recovered", recovered_fields);

static const struct field approved_fields[] = {
    VERB, SHAPE_TEXT("stage_id"), SHAPE_YES_NO("approved"), SHAPE_YES_NO("promoted"), SHAPE_TEXT("message"),
};
const struct schema plan_approved_shape = SHAPE("gate approved", approved_fields);

static const struct field report_fields[] = {
    SHAPE_TEXT("plan_id"),
    SHAPE_WORD("phase", plan_phase_names),
    SHAPE_TEXT("current_stage_id", OR_NULL),
    SHAPE_TEXT("node_id"),
    SHAPE_WORD("state", node_state_names),
    SHAPE_WORD("previous_state", node_state_names, OR_NULL),
    SHAPE_TEXT("stage_id", .help = "the stage that selects the node", OR_NULL),
    SHAPE_YES_NO("enrolled", .help = "the plan didn't know the node before"),
};
const struct schema plan_report_shape = SHAPE("node reported", report_fields);

/* --- rollback --- */

static const struct field strategy_fields[] = {
    SHAPE_TEXT("strategy"),     SHAPE_WORD("safety_class", safety_class_names),
    SHAPE_YES_NO("reversible"), SHAPE_YES_NO("repeatable"),
    SHAPE_TEXT("effect"),
};
static const struct schema strategy_shape = SHAPE("rollback strategy", strategy_fields);

static const struct field target_fields[] = {
    SHAPE_TEXT("target"),
    SHAPE_TEXT("kind"),
    SHAPE_WORD("safety_class", safety_class_names),
    SHAPE_YES_NO("reversible"),
    SHAPE_YES_NO("repeatable"),
    SHAPE_TEXT("default_strategy"),
    SHAPE_TEXTS("valid_strategies"),
    SHAPE_LIST("strategies", strategy_shape),
    SHAPE_TEXTS("trigger_conditions"),
    SHAPE_TEXTS("limitations"),
    SHAPE_YES_NO("orchestrated"),
    SHAPE_TEXT("resource", .help = "the form that it takes"),
    SHAPE_TEXT("manual_path", OR_NULL),
};
const struct schema rollback_target_shape = SHAPE("rollback target", target_fields);
static const struct field targets_fields[] = SHAPE_PAGE(rollback_target_shape);
const struct schema rollback_targets_shape = SHAPE("rollback targets", targets_fields);

#define PREVIEW                                                                                              \
    SHAPE_TEXT("target"), SHAPE_TEXT("kind"), SHAPE_TEXT("resource"), SHAPE_TEXT("strategy"),                \
        SHAPE_WORD("safety_class", safety_class_names), SHAPE_YES_NO("reversible"),                          \
        SHAPE_YES_NO("repeatable"), SHAPE_YES_NO("orchestrated"), SHAPE_YES_NO("allowed"),                   \
        SHAPE_TEXT("preview_token", .help = "for an execute that shall not surprise", OR_NULL),              \
        SHAPE_TEXT("message", OR_NULL)

static const struct field preview_fields[] = {
    PREVIEW,
    SHAPE_TEXT("plan_id"),
    SHAPE_WORD("phase_before", plan_phase_names),
    SHAPE_WORD("phase_after", plan_phase_names),
    SHAPE_TEXT("current_stage_id", OR_NULL),
    SHAPE_TEXT("stage_id", OR_NULL),
    SHAPE_COUNT("nodes_affected"),
    SHAPE_TEXT("code", .help = "of the refusal that an execute would meet", OR_NULL),
    SHAPE_TEXT("refusal", OR_NULL),
};
const struct schema rollback_preview_shape = SHAPE("rollback preview", preview_fields);

static const struct field resign_fields[] = {PREVIEW};
const struct schema rollback_resign_shape = SHAPE("resignation preview", resign_fields);

static const struct field done_fields[] = {
    VERB,
    SHAPE_TEXT("target"),
    SHAPE_TEXT("resource"),
    SHAPE_TEXT("kind"),
    SHAPE_TEXT("strategy"),
    SHAPE_WORD("safety_class", safety_class_names),
    SHAPE_TEXT("outcome"),
    SHAPE_TEXT("stage_id", OR_NULL),
    SHAPE_YES_NO("already_halted"),
    SHAPE_TEXT("message", OR_NULL),
};
const struct schema rollback_done_shape = SHAPE("rollback done", done_fields);

/* --- flags and kill switches --- */

static const struct field flag_fields[] = {
    SHAPE_TEXT("key"),
    SHAPE_WORD("type", flag_type_names),
    SHAPE_ANY("value", .help = "what holds now"),
    SHAPE_ANY("stored", .help = "what was set; null: nothing"),
    SHAPE_ANY("default", .help = "while nothing is set"),
    SHAPE_ANY("safe", .help = "while an active kill switch covers it"),
    SHAPE_COUNT("version", .help = "rises with every definition and setting"),
    SHAPE_WORD("reason", flag_reason_names, .help = "why `value` holds"),
    SHAPE_TEXT("switch", .help = "the kill switch that holds it down", OR_NULL),
    SHAPE_COUNT("index"),
    SHAPE_TEXT("description", OR_NULL),
    SHAPE_YES_NO("built_in"),
    SHAPE_TEXT("changed_by", OR_NULL),
    SHAPE_TIME("changed_at", OR_NULL),
    SHAPE_TEXT("change_reason", OR_NULL),
};
const struct schema flag_shape = SHAPE("flag", flag_fields);
static const struct field flag_page_fields[] = SHAPE_PAGE(flag_shape);
const struct schema flag_page_shape = SHAPE("flag page", flag_page_fields);

static const struct field change_fields[] = {SHAPE_TEXT("key"), SHAPE_ANY("value"), SHAPE_COUNT("version")};
static const struct schema change_shape = SHAPE("flag change", change_fields);
static const struct field changes_fields[] = {SHAPE_LIST("changes", change_shape)};
const struct schema flag_changes_shape = SHAPE("flag changes", changes_fields);

static const struct field last_reset_fields[] = {
    SHAPE_TIME("reset_at"),        SHAPE_TEXT("reset_by", OR_NULL),   SHAPE_TEXT("approver", OR_NULL),
    SHAPE_TEXT("reason", OR_NULL), SHAPE_TEXT("root_cause", OR_NULL), SHAPE_YES_NO("forced"),
};
static const struct schema last_reset_shape = SHAPE("last reset", last_reset_fields);

static const struct field switch_fields[] = {
    SHAPE_TEXT("name"),
    SHAPE_TEXT("description", OR_NULL),
    SHAPE_YES_NO("active"),
    SHAPE_COUNT("version"),
    SHAPE_TIME("activated_at", OR_NULL),
    SHAPE_TEXT("activated_by", OR_NULL),
    SHAPE_TEXT("reason", .help = "of the activation", OR_NULL),
    SHAPE_STRUCT("last_reset", last_reset_shape, OR_NULL),
    SHAPE_YES_NO("built_in"),
    SHAPE_YES_NO("all", .help = "it covers every flag", OR_LEFT_OUT),
    SHAPE_TEXT("prefix", .help = "it covers every flag whose key begins so", OR_LEFT_OUT),
    SHAPE_TEXTS("flags", .help = "it covers these", OR_LEFT_OUT),
    SHAPE_COUNT("index", OR_LEFT_OUT),
};
const struct schema kill_switch_shape = SHAPE("kill switch", switch_fields);
static const struct field switch_page_fields[] = SHAPE_PAGE(kill_switch_shape);
const struct schema kill_switch_page_shape = SHAPE("kill switch page", switch_page_fields);

/* --- the audit trail --- */

static const struct field prune_fields[] = {
    SHAPE_COUNT("pruned", .help = "records that go"),
    SHAPE_COUNT("first_seq", .help = "the first that stays"),
    SHAPE_COUNT("anchor_seq", .help = "the last that is gone; 0: none is"),
    SHAPE_TEXT("anchor_hash", OR_NULL),
    SHAPE_TIME("anchor_time", .help = "of that record", OR_NULL),
    SHAPE_TEXT("held_by", .help = "why later ones stay", OR_NULL),
};
const struct schema audit_prune_shape = SHAPE("audit pruned", prune_fields);

/* --- leadership --- */

static const struct field epoch_fields[] = {
    SHAPE_COUNT("term"),
    SHAPE_TEXT("node_id"),
    SHAPE_TEXT("name"),
    SHAPE_TIME("acquired_at", OR_NULL),
    SHAPE_TIME("ended_at", .help = "null: it lasts", OR_NULL),
    SHAPE_WORD("cause", leader_cause_names),
    SHAPE_YES_NO("resigned"),
    SHAPE_COUNT("index"),
};
const struct schema epoch_shape = SHAPE("epoch", epoch_fields);
