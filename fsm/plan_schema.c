/* The field tables of plans: what operators and nodes send, and what the store holds. Fields are only added
 * at the end. */
#include <stddef.h>

#include "base/limits.h"
#include "fsm/plan.h"

const char *const plan_phase_names[PLAN_PHASE_COUNT] = {"draft",     "published", "active",     "paused",
                                                        "completed", "cancelled", "rolled_back"};
const char *const stage_phase_names[STAGE_PHASE_COUNT] = {"pending", "open", "promoted", "halted",
                                                          "rolled_back"};
const char *const gate_kind_names[GATE_KIND_COUNT] = {"time_soak", "manual", "health", "success_ratio"};
const char *const node_state_names[NODE_STATE_COUNT] = {
    "pending", "offered", "activated", "failed", "revert_offered", "reverted", "revert_failed"};
const char *const recover_strategy_names[3] = {"retry", "rollback", "skip_failed"};
const char *const revert_pace_names[2] = {"immediate", "staged"};
const char *const revert_policy_names[2] = {"revert", "keep"};
const char *const revert_state_names[5] = {"none", "running", "done", "kept", "no_target"};

#define PLAN_VERSION_BYTES_MAX 128u
#define PLAN_URL_BYTES_MAX     2048u

#define FIELD(type_name, member, field_name, field_type, ...)                                                \
    {                                                                                                        \
        .name = (field_name), .type = (field_type), .offset = offsetof(struct type_name, member),            \
        __VA_ARGS__                                                                                          \
    }
#define COUNT(type_name, member) .count_offset = offsetof(struct type_name, member)
#define NAMES(table)             .names = (table), .names_count = sizeof(table) / sizeof((table)[0])

/* --- what an operator writes --- */

static const struct field artifact_fields[] = {
    FIELD(plan_artifact, name, "name", FIELD_NAME, .required = true, .help = "what is rolled out"),
    FIELD(plan_artifact, version, "version", FIELD_TEXT, .required = true, .max = PLAN_VERSION_BYTES_MAX),
    FIELD(plan_artifact, url, "url", FIELD_TEXT, .max = PLAN_URL_BYTES_MAX, .help = "where nodes fetch it"),
    FIELD(plan_artifact, sha256, "sha256", FIELD_BLOB, .min = DIGEST_BYTES, .max = DIGEST_BYTES,
          .omit_empty = true, .help = "64 hex digits"),
    FIELD(plan_artifact, previous_version, "previous_version", FIELD_TEXT, .max = PLAN_VERSION_BYTES_MAX,
          .help = "what a rollback returns to; without it nodes keep what they run"),
};
const struct schema plan_artifact_schema = SCHEMA("artifact", struct plan_artifact, artifact_fields);

static const struct field target_fields[] = {
    FIELD(plan_target, percent, "percent", FIELD_U64, .min = 1, .max = 100, .omit_empty = true,
          .help = "of the fleet, 1 .. 100, by hash of plan and node"),
    FIELD(plan_target, labels, "labels", FIELD_MAP, COUNT(plan_target, label_count), .max = PLAN_LABELS_MAX,
          .omit_empty = true, .help = "all must match"),
    FIELD(plan_target, nodes, "nodes", FIELD_TEXTS, COUNT(plan_target, node_count),
          .max = PLAN_LISTED_NODES_MAX, .omit_empty = true, .help = "node names"),
};
const struct schema plan_target_schema = SCHEMA("target", struct plan_target, target_fields);

static const struct field gate_fields[] = {
    FIELD(plan_gate, kind, "kind", FIELD_ENUM, NAMES(gate_kind_names), .required = true),
    FIELD(plan_gate, seconds, "seconds", FIELD_U64, .min = 1, .max = PLAN_SOAK_SECONDS_MAX,
          .omit_empty = true, .help = "time_soak: how long the stage must be open"),
    FIELD(plan_gate, min_percent, "min_percent", FIELD_U64, .min = 1, .max = 100, .omit_empty = true,
          .help = "success_ratio: of the nodes that answered"),
};
static const struct schema gate_schema = SCHEMA("gate", struct plan_gate, gate_fields);

static const struct field stage_spec_fields[] = {
    FIELD(plan_stage_spec, stage_id, "stage_id", FIELD_NAME,
          .help = "unique in its plan; stage-N when absent"),
    FIELD(plan_stage_spec, target, "target", FIELD_STRUCT, .schema = &plan_target_schema,
          .help = "every node when absent"),
    FIELD(plan_stage_spec, gates, "gates", FIELD_LIST, COUNT(plan_stage_spec, gate_count),
          .schema = &gate_schema, .max = PLAN_GATES_MAX, .help = "all must pass; none: at once"),
};
static const struct schema stage_spec_schema = SCHEMA("stage", struct plan_stage_spec, stage_spec_fields);

#define REASON(type_name, is_required)                                                                       \
    FIELD(type_name, reason, "reason", FIELD_TEXT, .required = (is_required), .max = REASON_BYTES_MAX)
#define PLAN_ID(type_name) FIELD(type_name, plan_id, "plan_id", FIELD_NAME, .required = true)

static const struct field create_fields[] = {
    FIELD(plan_create, plan_id, "plan_id", FIELD_NAME, .help = "made when absent"),
    FIELD(plan_create, artifact, "artifact", FIELD_STRUCT, .schema = &plan_artifact_schema, .required = true),
    FIELD(plan_create, stages, "stages", FIELD_LIST, COUNT(plan_create, stage_count),
          .schema = &stage_spec_schema, .required = true, .min = 1, .max = PLAN_STAGES_MAX,
          .help = "in order"),
    FIELD(plan_create, monitor, "monitor", FIELD_VALUE, .max = 4096, .help = "not served yet: refused"),
    REASON(plan_create, false),
    FIELD(plan_create, publish, "publish", FIELD_BOOL, .help = "publish in the same command"),
    FIELD(plan_create, start_at, "start_at", FIELD_TIME, .help = "published waits for it; absent: at once"),
};
const struct schema plan_create_schema = SCHEMA("plan", struct plan_create, create_fields);

static const struct field request_fields[] = {PLAN_ID(plan_request), REASON(plan_request, false)};
const struct schema plan_request_schema = SCHEMA("plan request", struct plan_request, request_fields);

static const struct field halt_fields[] = {
    PLAN_ID(plan_halt),
    FIELD(plan_halt, stage_id, "stage_id", FIELD_NAME, .help = "the open stage when absent"),
    REASON(plan_halt, true),
};
const struct schema plan_halt_schema = SCHEMA("halt", struct plan_halt, halt_fields);

static const struct field recover_fields[] = {
    PLAN_ID(plan_recover),
    FIELD(plan_recover, strategy, "strategy", FIELD_ENUM, NAMES(recover_strategy_names), .required = true),
    REASON(plan_recover, true),
    FIELD(plan_recover, pace, "pace", FIELD_ENUM, NAMES(revert_pace_names),
          .help = "of a rollback's revert wave"),
    FIELD(plan_recover, policy, "policy", FIELD_ENUM, NAMES(revert_policy_names),
          .help = "what a rollback does with nodes that have activated"),
};
const struct schema plan_recover_schema = SCHEMA("recover", struct plan_recover, recover_fields);

static const struct field approve_fields[] = {
    PLAN_ID(plan_approve),
    FIELD(plan_approve, stage_id, "stage_id", FIELD_NAME, .required = true),
    REASON(plan_approve, false),
};
const struct schema plan_approve_schema = SCHEMA("approve", struct plan_approve, approve_fields);

static const struct field evaluate_fields[] = {
    PLAN_ID(plan_evaluate),
    FIELD(plan_evaluate, stage_id, "stage_id", FIELD_NAME, .required = true),
};
const struct schema plan_evaluate_schema = SCHEMA("evaluate", struct plan_evaluate, evaluate_fields);

static const struct field report_fields[] = {
    PLAN_ID(plan_report),
    FIELD(plan_report, node_id, "node_id", FIELD_NAME, .required = true, .help = "the fleet node's name"),
    FIELD(plan_report, state, "state", FIELD_ENUM, NAMES(node_state_names), .required = true),
    FIELD(plan_report, version, "version", FIELD_TEXT, .max = PLAN_VERSION_BYTES_MAX,
          .help = "what the node runs"),
    FIELD(plan_report, detail, "detail", FIELD_TEXT, .max = PLAN_DETAIL_BYTES_MAX),
    FIELD(plan_report, labels, "labels", FIELD_MAP, COUNT(plan_report, label_count), .max = PLAN_LABELS_MAX,
          .help = "what selectors match; kept from the report that enrolled the node"),
};
const struct schema plan_report_schema = SCHEMA("node report", struct plan_report, report_fields);

/* --- what the store holds --- */

#define COUNT_OF(node_state) FIELD(plan_counts, state[node_state], #node_state, FIELD_U64)
static const struct field counts_fields[] = {
    COUNT_OF(NODE_PENDING),
    COUNT_OF(NODE_OFFERED),
    COUNT_OF(NODE_ACTIVATED),
    COUNT_OF(NODE_FAILED),
    COUNT_OF(NODE_REVERT_OFFERED),
    COUNT_OF(NODE_REVERTED),
    COUNT_OF(NODE_REVERT_FAILED),
    FIELD(plan_counts, exposed, "exposed", FIELD_U64),
    FIELD(plan_counts, activated_untold, "activated_untold", FIELD_U64),
    FIELD(plan_counts, failed_untold, "failed_untold", FIELD_U64),
    FIELD(plan_counts, reverted_untold, "reverted_untold", FIELD_U64),
    FIELD(plan_counts, revert_failed_untold, "revert_failed_untold", FIELD_U64),
};
static const struct schema counts_schema = SCHEMA("counts", struct plan_counts, counts_fields);

static const struct field stage_fields[] = {
    FIELD(plan_stage, spec, "spec", FIELD_STRUCT, .schema = &stage_spec_schema, .required = true),
    FIELD(plan_stage, phase, "stage_phase", FIELD_ENUM, NAMES(stage_phase_names)),
    FIELD(plan_stage, opened_ms, "opened_at", FIELD_TIME),
    FIELD(plan_stage, closed_ms, "closed_at", FIELD_TIME),
    FIELD(plan_stage, clock_running, "clock_running", FIELD_BOOL),
    FIELD(plan_stage, clock_since_ms, "clock_since", FIELD_TIME),
    FIELD(plan_stage, clock_ms, "clock_ms", FIELD_U64),
    FIELD(plan_stage, forced, "forced", FIELD_BOOL),
    FIELD(plan_stage, approved, "approved", FIELD_BOOL),
    FIELD(plan_stage, approved_by, "approved_by", FIELD_TEXT, .max = PRINCIPAL_BYTES_MAX),
    FIELD(plan_stage, approve_reason, "approve_reason", FIELD_TEXT, .max = REASON_BYTES_MAX),
    FIELD(plan_stage, approved_ms, "approved_at", FIELD_TIME),
    FIELD(plan_stage, counts, "counts", FIELD_STRUCT, .schema = &counts_schema),
};
static const struct schema stage_schema = SCHEMA("stage record", struct plan_stage, stage_fields);

static const struct field revert_fields[] = {
    FIELD(plan_revert, state, "state", FIELD_ENUM, NAMES(revert_state_names)),
    FIELD(plan_revert, pace, "pace", FIELD_ENUM, NAMES(revert_pace_names)),
    FIELD(plan_revert, policy, "policy", FIELD_ENUM, NAMES(revert_policy_names)),
    FIELD(plan_revert, started_ms, "started_at", FIELD_TIME),
    FIELD(plan_revert, ended_ms, "ended_at", FIELD_TIME),
    FIELD(plan_revert, nodes, "nodes", FIELD_U64),
    FIELD(plan_revert, stage, "stage", FIELD_U64, .max = PLAN_STAGE_NONE),
    FIELD(plan_revert, after, "after", FIELD_NAME),
};
static const struct schema revert_schema = SCHEMA("revert", struct plan_revert, revert_fields);

static const struct field plan_fields[] = {
    FIELD(plan, plan_id, "plan_id", FIELD_NAME, .required = true),
    FIELD(plan, artifact, "artifact", FIELD_STRUCT, .schema = &plan_artifact_schema, .required = true),
    FIELD(plan, stages, "stages", FIELD_LIST, COUNT(plan, stage_count), .schema = &stage_schema,
          .required = true, .min = 1, .max = PLAN_STAGES_MAX),
    FIELD(plan, reason, "reason", FIELD_TEXT, .max = REASON_BYTES_MAX),
    FIELD(plan, created_by, "created_by", FIELD_TEXT, .max = PRINCIPAL_BYTES_MAX),
    FIELD(plan, phase, "phase", FIELD_ENUM, NAMES(plan_phase_names)),
    FIELD(plan, current, "current", FIELD_U64, .max = PLAN_STAGES_MAX),
    FIELD(plan, started, "started", FIELD_BOOL),
    FIELD(plan, revision, "revision", FIELD_U64),
    FIELD(plan, created_ms, "created_at", FIELD_TIME),
    FIELD(plan, updated_ms, "updated_at", FIELD_TIME),
    FIELD(plan, published_ms, "published_at", FIELD_TIME),
    FIELD(plan, ended_ms, "ended_at", FIELD_TIME),
    FIELD(plan, start_ms, "start_at", FIELD_TIME),
    FIELD(plan, moved_ms, "moved_at", FIELD_TIME),
    FIELD(plan, due_ms, "due_at", FIELD_TIME),
    FIELD(plan, unmoved, "unmoved", FIELD_BOOL),
    FIELD(plan, stuck_recorded, "stuck_recorded", FIELD_BOOL),
    FIELD(plan, outside, "outside", FIELD_STRUCT, .schema = &counts_schema),
    FIELD(plan, node_count, "node_count", FIELD_U64, .max = PLAN_NODES_MAX),
    FIELD(plan, revert, "revert", FIELD_STRUCT, .schema = &revert_schema),
    FIELD(plan, last_actor, "last_actor", FIELD_TEXT, .max = PRINCIPAL_BYTES_MAX),
    FIELD(plan, last_reason, "last_reason", FIELD_TEXT, .max = REASON_BYTES_MAX),
    FIELD(plan, filed_ms, "filed_at", FIELD_TIME),
};
const struct schema plan_schema = SCHEMA("plan record", struct plan, plan_fields);

static const struct field node_fields[] = {
    FIELD(plan_node, node_id, "node_id", FIELD_NAME, .required = true),
    FIELD(plan_node, state, "state", FIELD_ENUM, NAMES(node_state_names)),
    FIELD(plan_node, stage, "stage", FIELD_U64, .max = PLAN_STAGE_NONE),
    FIELD(plan_node, exposed, "exposed", FIELD_BOOL),
    FIELD(plan_node, version, "version", FIELD_TEXT, .max = PLAN_VERSION_BYTES_MAX),
    FIELD(plan_node, detail, "detail", FIELD_TEXT, .max = PLAN_DETAIL_BYTES_MAX),
    FIELD(plan_node, labels, "labels", FIELD_MAP, COUNT(plan_node, label_count), .max = PLAN_LABELS_MAX),
    FIELD(plan_node, enrolled_ms, "enrolled_at", FIELD_TIME),
    FIELD(plan_node, updated_ms, "updated_at", FIELD_TIME),
    FIELD(plan_node, activated_ms, "activated_at", FIELD_TIME),
};
const struct schema plan_node_schema = SCHEMA("plan node", struct plan_node, node_fields);
