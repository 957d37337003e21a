#include "node/http/answers.h"

#include "base/shape.h"
#include "fsm/answers.h"
#include "fsm/audit.h"
#include "fsm/flag.h"
#include "fsm/leadership.h"

/* --- health --- */

static const char *const mirror_names[] = {"ok", "behind", "failed", "damaged"};
static const char *const lag_names[] = {"ok", "warning", "critical"};
static const char *const quorum_names[] = {"healthy", "degraded", "lost"};
static const char *const role_names[] = {"leader", "candidate", "follower", "standby", "spare"};
static const char *const ok_names[] = {"ok"};

static const struct field health_fields[] = {SHAPE_WORD("status", ok_names)};
const struct schema health_shape = SHAPE("health", health_fields);

static const struct field ready_fields[] = {
    SHAPE_YES_NO("ready"),
    SHAPE_TEXT("reason", .help = "why it isn't; empty when it is"),
};
const struct schema ready_shape = SHAPE("readiness", ready_fields);

static const struct field leader_fields[] = {
    SHAPE_TEXT("holder_id", OR_NULL),
    SHAPE_COUNT("current_epoch"),
    SHAPE_TIME("acquired_at", OR_NULL),
    SHAPE_YES_NO("session_lock_held", .help = "this node leads and has taken office"),
};
const struct schema health_leader_shape = SHAPE("leader health", leader_fields);

static const struct field audit_fields[] = {
    SHAPE_WORD("status", mirror_names, .help = "of the mirror in this node's audit folder"),
    SHAPE_COUNT("audit_seq"),
    SHAPE_COUNT("mirror_seq"),
    SHAPE_COUNT("mirror_behind"),
    SHAPE_YES_NO("mirror_failed"),
    SHAPE_TEXT("mirror_damage", .help = "what was missing when the node started", OR_NULL),
    SHAPE_TIME("queried_at"),
};
const struct schema health_audit_shape = SHAPE("audit health", audit_fields);

static const struct field version_fields[] = {
    SHAPE_TEXT("name"),
    SHAPE_TEXT("version"),
    SHAPE_TEXT("commit"),
    SHAPE_TEXT("node_id"),
    SHAPE_COUNT("level", .help = "the highest behaviour that this build understands"),
    SHAPE_COUNT("format", .help = "of logged commands"),
    SHAPE_COUNT("schema", .help = "of the stored state"),
    SHAPE_TIME("started_at", OR_NULL),
};
const struct schema version_shape = SHAPE("version", version_fields);

const struct schema configuration_shape = {.name = "configuration"}; /* docs/reference/configuration.md */

/* --- the cluster --- */

static const struct field quorum_fields[] = {
    SHAPE_YES_NO("write_ready", .help = "of the cluster"),
    SHAPE_COUNT("sync_replica_count"),
    SHAPE_WORD("lag_status", lag_names, .help = "of the best possible successor", OR_NULL),
    SHAPE_WORD("quorum_health", quorum_names, OR_NULL),
    SHAPE_YES_NO("write_block_active"),
    SHAPE_YES_NO("can_accept_protected_writes"),
    SHAPE_TEXT("quorum_loss_reason", .help = "empty: it isn't lost"),
    SHAPE_TIME("last_lost_at", OR_NULL),
    SHAPE_TIME("last_restored_at", OR_NULL),
    SHAPE_COUNT("detected_loss_count", OR_NULL),
    SHAPE_TIME("queried_at"),
};
const struct schema ha_quorum_shape = SHAPE("quorum", quorum_fields);

static const struct field holder_fields[] = {
    SHAPE_TEXT("holder_id", OR_NULL),
    SHAPE_COUNT("epoch", .help = "its raft term"),
    SHAPE_TIME("acquired_at", OR_NULL),
};
static const struct schema holder_shape = SHAPE("leader", holder_fields);

static const struct field authority_fields[] = {
    SHAPE_YES_NO("write_ready"),
    SHAPE_COUNT("sync_replica_count"),
};
static const struct schema authority_shape = SHAPE("write authority", authority_fields);

static const struct field replication_fields[] = {
    SHAPE_WORD("lag_status", lag_names, OR_NULL),
    SHAPE_COUNT("max_write_lag_ms", OR_NULL),
    SHAPE_COUNT("max_replay_lag_ms", OR_NULL),
    SHAPE_COUNT("replica_count"),
};
static const struct schema replication_shape = SHAPE("replication", replication_fields);

static const struct field member_fields[] = {
    SHAPE_TEXT("name", OR_NULL),
    SHAPE_WORD("role", member_role_names),
    SHAPE_TEXT("url", OR_NULL),
    SHAPE_TEXT("address", OR_NULL),
    SHAPE_YES_NO("reachable"),
    SHAPE_COUNT("applied_index", .help = "null: this node doesn't know", OR_NULL),
    SHAPE_YES_NO("leader"),
    SHAPE_TEXT("version", OR_NULL),
};
static const struct schema member_shape = SHAPE("member", member_fields);
static const struct field member_page_fields[] = SHAPE_PAGE(member_shape);
const struct schema ha_member_page_shape = SHAPE("member page", member_page_fields);

static const struct field status_fields[] = {
    SHAPE_TEXT("node_id", OR_NULL),
    SHAPE_WORD("role", role_names),
    SHAPE_YES_NO("session_lock_held"),
    SHAPE_YES_NO("write_ready"),
    SHAPE_TIME("queried_at"),
    SHAPE_COUNT("term"),
    SHAPE_COUNT("commit_index"),
    SHAPE_COUNT("applied_index"),
    SHAPE_COUNT("snapshot_index"),
    SHAPE_TEXT("state_digest", .help = "at applied_index, as hex: equal on every node"),
    SHAPE_TEXT("cluster_id", OR_NULL),
    SHAPE_STRUCT("leader", holder_shape),
    SHAPE_STRUCT("quorum", authority_shape),
    SHAPE_STRUCT("replication", replication_shape),
    SHAPE_LIST("members", member_shape),
};
const struct schema ha_status_shape = SHAPE("node status", status_fields);

static const struct field epoch_page_fields[] = SHAPE_PAGE(epoch_shape);
const struct schema ha_epoch_page_shape = SHAPE("epoch page", epoch_page_fields);

#define FAILOVER                                                                                             \
    SHAPE_YES_NO("success"), SHAPE_TEXT("previous_holder"), SHAPE_COUNT("previous_epoch"),                   \
        SHAPE_TIME("resigned_at", OR_NULL), SHAPE_TEXT("new_holder", OR_LEFT_OUT),                           \
        SHAPE_COUNT("new_epoch", OR_LEFT_OUT), SHAPE_TEXT("message"), SHAPE_COUNT("write_gap_ms"),           \
        SHAPE_COUNT("index"), SHAPE_COUNT("audit_seq")

static const struct field failover_fields[] = {FAILOVER};
const struct schema ha_failover_shape = SHAPE("failover", failover_fields);

static const struct field rollback_fields[] = {
    FAILOVER,
    SHAPE_TEXT("target"),
    SHAPE_TEXT("resource"),
    SHAPE_TEXT("kind"),
    SHAPE_TEXT("strategy"),
    SHAPE_TEXT("safety_class"),
    SHAPE_TEXT("outcome"),
};
const struct schema ha_rollback_shape = SHAPE("resignation done", rollback_fields);

static const struct field peer_fields[] = {
    SHAPE_COUNT("node_id"),
    SHAPE_TEXT("name"),
    SHAPE_TEXT("address"),
    SHAPE_TEXT("url"),
};
static const struct schema peer_shape = SHAPE("peer", peer_fields);

static const struct field joined_fields[] = {
    SHAPE_TEXT("cluster_id"),          SHAPE_COUNT("generation"), SHAPE_COUNT("node_id"),
    SHAPE_LIST("members", peer_shape), SHAPE_COUNT("index"),
};
const struct schema ha_joined_shape = SHAPE("member joined", joined_fields);

static const struct field removed_fields[] = {
    SHAPE_TEXT("member"), SHAPE_TEXT("node_id"),    SHAPE_WORD("role", member_role_names),
    SHAPE_COUNT("index"), SHAPE_COUNT("audit_seq"),
};
const struct schema ha_removed_shape = SHAPE("member removed", removed_fields);

/* --- the audit trail --- */

static const struct field audit_page_fields[] = SHAPE_PAGE(audit_schema);
const struct schema audit_page_shape = SHAPE("audit page", audit_page_fields);

static const struct field anchor_fields[] = {
    SHAPE_COUNT("seq", .help = "of the last record that is gone"),
    SHAPE_TEXT("hash"),
    SHAPE_TIME("pruned_at"),
    SHAPE_COUNT("record_seq", .help = "of the record about it"),
};
static const struct schema anchor_shape = SHAPE("audit anchor", anchor_fields);

static const struct field verdict_fields[] = {
    SHAPE_YES_NO("valid"),
    SHAPE_COUNT("records", .help = "looked at"),
    SHAPE_COUNT("first_seq", OR_NULL),
    SHAPE_COUNT("last_seq", OR_NULL),
    SHAPE_TEXT("last_hash", OR_NULL),
    SHAPE_COUNT("first_bad_seq", OR_NULL),
    SHAPE_STRUCT("anchor", anchor_shape, .help = "of the last prune", OR_NULL),
    SHAPE_TEXT("next_cursor", .help = "there is more to check", OR_NULL),
    SHAPE_TEXT("detail", .help = "what is wrong", OR_NULL),
};
const struct schema audit_verdict_shape = SHAPE("audit verdict", verdict_fields);

/* --- between nodes --- */

static const struct field file_fields[] = {
    SHAPE_TEXT("name"),
    SHAPE_COUNT("bytes"),
    SHAPE_TEXT("sha256"),
};
static const struct schema file_shape = SHAPE("checkpoint file", file_fields);

static const struct field checkpoint_fields[] = {
    SHAPE_TEXT("checkpoint_id"), SHAPE_TEXT("cluster_id"),
    SHAPE_COUNT("generation"),   SHAPE_COUNT("index"),
    SHAPE_COUNT("term"),         SHAPE_COUNT("configuration_index"),
    SHAPE_TEXT("configuration"), SHAPE_TEXT("digest"),
    SHAPE_COUNT("schema"),       SHAPE_LIST("files", file_shape),
};
const struct schema checkpoint_shape = SHAPE("checkpoint", checkpoint_fields);

/* --- every change, every problem --- */

static const struct field change_fields[] = {
    SHAPE_COUNT("index", .help = "of the log entry that took effect"),
    SHAPE_COUNT("audit_seq", .help = "of its audit record; left out when it left none", OR_LEFT_OUT),
};
const struct schema change_shape = SHAPE("change", change_fields);

static const struct field problem_fields[] = {
    SHAPE_TEXT("type", .help = "urn:autonomy:problem:CODE"),
    SHAPE_TEXT("title"),
    SHAPE_COUNT("status"),
    SHAPE_TEXT("detail", .help = "one sentence for people; match on `code`", OR_NULL),
    SHAPE_TEXT("code"),
    SHAPE_TEXT("request_id", .help = "to repeat the request under, as Idempotency-Key", OR_NULL),
    SHAPE_TEXT("leader", .help = "its name; null while none is known", OR_NULL),
    SHAPE_TEXT("leader_url", .help = "its base URL", OR_NULL),
    SHAPE_COUNT("index", .help = "of a refusal that is in the log", OR_LEFT_OUT),
    SHAPE_COUNT("audit_seq", .help = "of its record", OR_LEFT_OUT),
    SHAPE_TEXT("path", .help = "of the field or argument that is at fault", OR_LEFT_OUT),
    SHAPE_TEXT("phase", .help = "of the plan", OR_LEFT_OUT),
    SHAPE_TEXT("stage_phase", OR_LEFT_OUT),
    SHAPE_TEXT("state", .help = "of the node in the plan", OR_LEFT_OUT),
    SHAPE_COUNT("version", .help = "of the flag, now", OR_LEFT_OUT),
    SHAPE_TEXT("wanted_version", OR_LEFT_OUT),
    SHAPE_WORD("flag_type", flag_type_names, OR_LEFT_OUT),
    SHAPE_TEXT("command", .help = "what to do instead", OR_LEFT_OUT),
    SHAPE_TEXT("manual_path", .help = "how to do it by hand", OR_LEFT_OUT),
    SHAPE_TEXT("approver", OR_LEFT_OUT),
    SHAPE_TIME("activated_at", .help = "since when the switch is active", OR_LEFT_OUT),
};
const struct schema problem_shape = SHAPE("problem", problem_fields);
