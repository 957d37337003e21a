/* Every route, once. Earlier rows win: what is spelled out stands before what is a parameter. */
#include "node/http/routes.h"

#include "fsm/answers.h"
#include "fsm/audit.h"
#include "fsm/leadership.h"
#include "fsm/rollback.h"
#include "node/http/answers.h"
#include "node/http/body.h"
#include "node/http/openapi.h"
#include "node/http/outcome.h"
#include "node/http/router.h"
#include "node/http/stream.h"
#include "node/metrics.h"

/* The rest of a row, behind the macros: .id and .about, .answers, and what else struct route has. */
#define LOCAL(path_text, function, ...)                                                                      \
    {                                                                                                        \
        .method = "GET", .path = (path_text), .kind = ROUTE_LOCAL, .serve = (function), __VA_ARGS__          \
    }
#define CHANGE(method_text, path_text, command_text, ...)                                                    \
    {                                                                                                        \
        .method = (method_text), .path = (path_text), .kind = ROUTE_CHANGE, .command = (command_text),       \
        __VA_ARGS__                                                                                          \
    }
#define ACT(method_text, path_text, function, ...)                                                           \
    {                                                                                                        \
        .method = (method_text), .path = (path_text), .kind = ROUTE_ACT, .serve = (function), __VA_ARGS__    \
    }
#define READ(path_text, function, missing, ...)                                                              \
    {                                                                                                        \
        .method = "GET", .path = (path_text), .kind = ROUTE_READ, .view = (function),                        \
        .not_found = (missing), __VA_ARGS__                                                                  \
    }
#define LIST(path_text, function, arguments, ...)                                                            \
    {                                                                                                        \
        .method = "GET", .path = (path_text), .kind = ROUTE_READ, .view = (function), .prepare = query_page, \
        .query = (arguments), __VA_ARGS__                                                                    \
    }
#define ANSWERS(...)  .answers = {__VA_ARGS__}
#define EXAMPLE(text) .example = (text)

#define REASON_EXAMPLE EXAMPLE("{\"reason\": \"error rate is up\"}")
#define PLAN_EXAMPLE                                                                                         \
    EXAMPLE("{\"plan_id\": \"checkout-2.4.1\", \"artifact\": {\"name\": \"checkout\", \"version\": "         \
            "\"2.4.1\", \"previous_version\": \"2.4.0\"}, \"stages\": [{\"stage_id\": \"canary\", "          \
            "\"target\": {\"percent\": 5}, \"gates\": [{\"kind\": \"time_soak\", \"seconds\": 600}, "        \
            "{\"kind\": \"manual\"}]}, {\"stage_id\": \"all\", \"target\": {\"percent\": 100}}], "           \
            "\"reason\": \"release 2.4.1\"}")

static const struct route routes[] = {
    LOCAL("/v1/health", health_ok, .id = "get_health", .about = "The process answers.",
          ANSWERS(&health_shape)),
    LOCAL("/health", health_ok, .id = "get_health_alias", .about = "The same as /v1/health.",
          ANSWERS(&health_shape)),
    LOCAL("/v1/health/read-ready", health_read_ready, .id = "get_read_ready",
          .about = "Whether this node has a state to read from.", ANSWERS(&ready_shape), .not_yet = true),
    LOCAL("/v1/health/write-ready", health_write_ready, .id = "get_write_ready",
          .about = "Whether this node is the write authority.", ANSWERS(&ready_shape), .not_yet = true),
    LOCAL("/v1/health/quorum", ha_quorum, .id = "get_health_quorum",
          .about = "The quorum as this node knows it.", ANSWERS(&ha_quorum_shape)),
    LOCAL("/v1/health/leader", health_leader, .id = "get_health_leader",
          .about = "Who leads as far as this node knows.", ANSWERS(&health_leader_shape)),
    LOCAL("/v1/health/audit", health_audit, .id = "get_health_audit",
          .about = "The audit trail's mirror on this node.", ANSWERS(&health_audit_shape)),
    LOCAL("/v1/version", system_version, .id = "get_version", .about = "What runs here.",
          ANSWERS(&version_shape)),
    LOCAL("/v1/support/configuration", system_configuration, .id = "get_configuration",
          .about = "The effective configuration of this node, secrets redacted.",
          ANSWERS(&configuration_shape)),
    LOCAL("/metrics", metrics_show, .id = "get_metrics",
          .about = "What this node counts, as Prometheus text.", .content = METRICS_CONTENT_TYPE),
    LOCAL("/openapi.json", openapi_show, .id = "get_openapi", .about = "This document.",
          ANSWERS(&openapi_shape)),

    LOCAL("/v1/ha/status", ha_status, .id = "get_ha_status",
          .about = "This node and the cluster as it sees it; never waits for another node.",
          ANSWERS(&ha_status_shape)),
    LOCAL("/v1/ha/quorum", ha_quorum, .id = "get_ha_quorum", .about = "The same as /v1/health/quorum.",
          ANSWERS(&ha_quorum_shape)),
    {.method = "GET",
     .path = "/v1/ha/members",
     .kind = ROUTE_LOCAL,
     .serve = ha_members,
     .prepare = query_page, /* they all fit into one page */
     .query = "limit cursor",
     .id = "list_members",
     .about = "The cluster's members.",
     ANSWERS(&ha_member_page_shape)},
    LOCAL("/v1/ha/epochs", ha_epochs, .query = "limit", .id = "list_epochs",
          .about = "Who led when, newest first.", ANSWERS(&ha_epoch_page_shape)),
    ACT("POST", "/v1/ha/failover", ha_failover, .id = "trigger_failover",
        .about = "The leader hands over; answers when its successor has committed its first command.",
        .body = &failover_schema, ANSWERS(&ha_failover_shape),
        EXAMPLE("{\"reason\": \"maintenance of n1\", \"target_node\": \"n2\"}")),
    ACT("POST", "/v1/ha/members", ha_join, .id = "join_member",
        .about = "Lets a node in; nodes that start with `join:` ask for it themselves.",
        .body = &member_add_schema, ANSWERS(&ha_joined_shape), .location = "/v1/ha/members",
        EXAMPLE("{\"node_id\": 4711, \"name\": \"n4\", \"address\": \"127.0.0.1:7204\"}")),
    ACT("DELETE", "/v1/ha/members/{member}", ha_remove, .id = "remove_member",
        .about = "Takes a member out for good, by its name or the 16 hex digits of its id.",
        .body = &remove_schema, .prepare = ha_remove_check, .query = "reason", ANSWERS(&ha_removed_shape),
        EXAMPLE("{\"reason\": \"its host is gone\"}")),

    LIST("/v1/rollouts", rollout_list, "limit cursor phase", .id = "list_rollouts",
         .about = "Plans, in the order of their ids.", ANSWERS(&plan_page_shape)),
    CHANGE("POST", "/v1/rollouts", "rollout.create", .query = "publish", .prepare = rollout_create,
           .id = "create_rollout", .about = "Makes a plan: a draft, unless it is published at once.",
           ANSWERS(&plan_created_shape), .location = "/v1/rollouts/{plan_id}", PLAN_EXAMPLE),
    READ("/v1/rollouts/stuck", rollout_stuck, NULL, .prepare = rollout_stuck_check,
         .query = "threshold_seconds", .id = "list_stuck_rollouts",
         .about = "Plans that have not moved for a while, longest stall first.", ANSWERS(&plan_stuck_shape)),
    READ("/v1/rollouts/{plan_id}", rollout_get, "plan_not_found", .id = "get_rollout",
         .about = "One plan whole: its stages, gates and nodes.", ANSWERS(&plan_answer_shape)),
    CHANGE("POST", "/v1/rollouts/{plan_id}/publish", "rollout.publish", .id = "publish_rollout",
           .about = "A draft begins, at once or at its start_at.", ANSWERS(&plan_verb_shape),
           EXAMPLE("{\"reason\": \"release 2.4.1\"}")),
    CHANGE("POST", "/v1/rollouts/{plan_id}/pause", "rollout.pause", .id = "pause_rollout",
           .about = "No stage is promoted until it is resumed.", ANSWERS(&plan_verb_shape), REASON_EXAMPLE),
    CHANGE("POST", "/v1/rollouts/{plan_id}/resume", "rollout.resume", .id = "resume_rollout",
           .about = "A paused plan goes on.", ANSWERS(&plan_verb_shape),
           EXAMPLE("{\"reason\": \"it was the load balancer\"}")),
    CHANGE("POST", "/v1/rollouts/{plan_id}/cancel", "rollout.cancel", .id = "cancel_rollout",
           .about = "Ends a plan that no node has activated.", ANSWERS(&plan_verb_shape), REASON_EXAMPLE),
    CHANGE("POST", "/v1/rollouts/{plan_id}/halt", "rollout.halt", .id = "halt_rollout",
           .about = "Stops the open stage for good; the plan stays and can be recovered.",
           ANSWERS(&plan_halted_shape), REASON_EXAMPLE),
    CHANGE("POST", "/v1/rollouts/{plan_id}/recover", "rollout.recover", .id = "recover_rollout",
           .about = "retry, rollback or skip_failed: what becomes of a plan that stands still.",
           ANSWERS(&plan_recovered_shape),
           EXAMPLE("{\"strategy\": \"rollback\", \"reason\": \"error rate is up\"}")),
    READ("/v1/rollouts/{plan_id}/stages/{stage_id}/gates", rollout_gates, NULL, .id = "get_gates",
         .about = "A stage's gates, and what each waits for.", ANSWERS(&plan_gates_shape)),
    CHANGE("POST", "/v1/rollouts/{plan_id}/stages/{stage_id}/gates/approve", "rollout.gate.approve",
           .id = "approve_gates", .about = "Passes the open stage's manual gate.",
           ANSWERS(&plan_approved_shape), EXAMPLE("{\"reason\": \"canary looks good\"}")),
    CHANGE("POST", "/v1/rollouts/{plan_id}/nodes/{node_id}", "rollout.node", .id = "report_node",
           .about = "How far a node of the fleet is with the plan.", ANSWERS(&plan_report_shape),
           EXAMPLE("{\"state\": \"activated\", \"version\": \"2.4.1\"}")),

    LOCAL("/v1/rollback/targets", rollback_list, .id = "list_rollback_targets",
          .about = "What can be rolled back, how, and what that can't do.", ANSWERS(&rollback_targets_shape)),
    {.method = "POST",
     .path = "/v1/rollback/preview",
     .kind = ROUTE_READ,
     .view = rollback_preview,
     .prepare = rollback_preview_check,
     .body = &preview_schema,
     .id = "preview_rollback",
     .about = "What an execute would do now, and a token for it.",
     ANSWERS(&rollback_preview_shape, &rollback_resign_shape, &rollback_target_shape),
     EXAMPLE("{\"target\": \"rollout_plan\", \"resource\": \"checkout-2.4.1\"}")},
    ACT("POST", "/v1/rollback/execute", rollback_execute, .id = "execute_rollback", .about = "Does it.",
        .body = &rollback_execute_schema, ANSWERS(&rollback_done_shape, &ha_rollback_shape),
        EXAMPLE("{\"target\": \"rollout_plan\", \"resource\": \"checkout-2.4.1\", \"reason\": \"error rate "
                "is up\"}")),

    LIST("/v1/flags", flag_list, "limit cursor", .id = "list_flags",
         .about = "Flags and what holds now, in the order of their keys.", ANSWERS(&flag_page_shape)),
    CHANGE("POST", "/v1/flags", "flags.set", .id = "set_flags",
           .about = "Sets several flags: all or nothing.", ANSWERS(&flag_changes_shape),
           EXAMPLE("{\"changes\": [{\"key\": \"RESEARCH_LAYER\", \"value\": false}, {\"key\": "
                   "\"PROMPT_MODE\", \"value\": \"full\", \"expected_version\": 3}], \"reason\": \"incident "
                   "17\"}")),
    READ("/v1/flags/{key}", flag_get, "flag_not_found", .id = "get_flag",
         .about = "One flag, and why its value holds.", ANSWERS(&flag_shape)),
    CHANGE("PUT", "/v1/flags/{key}", "flag.set", .id = "set_flag", .about = "Sets one flag.",
           ANSWERS(&flag_shape),
           EXAMPLE("{\"value\": false, \"expected_version\": 3, \"reason\": \"incident 17\"}")),
    CHANGE("PUT", "/v1/flags/{key}/definition", "flag.define", .id = "define_flag",
           .about = "Makes a flag, or gives it another default, safe value or description.",
           ANSWERS(&flag_shape), .location = "/v1/flags/{key}",
           EXAMPLE("{\"type\": \"bool\", \"default\": true, \"safe\": false, \"description\": \"the new "
                   "checkout\"}")),

    LIST("/v1/kill-switches", switch_list, "limit cursor", .id = "list_kill_switches",
         .about = "Kill switches, in the order of their names.", ANSWERS(&kill_switch_page_shape)),
    READ("/v1/kill-switches/{name}", switch_get, "kill_switch_not_found", .id = "get_kill_switch",
         .about = "One kill switch.", ANSWERS(&kill_switch_shape)),
    CHANGE("PUT", "/v1/kill-switches/{name}", "switch.define", .id = "define_kill_switch",
           .about = "Makes a kill switch over flags, a prefix of their keys, or all.",
           ANSWERS(&kill_switch_shape), .location = "/v1/kill-switches/{name}",
           EXAMPLE("{\"flags\": [\"RESEARCH_LAYER\"], \"description\": \"the research layer\"}")),
    CHANGE("POST", "/v1/kill-switches/{name}/activate", "switch.activate", .id = "activate_kill_switch",
           .about = "Every flag that it covers takes its safe value.", ANSWERS(&kill_switch_shape),
           REASON_EXAMPLE),
    CHANGE("POST", "/v1/kill-switches/{name}/reset", "switch.reset", .id = "reset_kill_switch",
           .about = "The flags go back to what was set, on the word of a second person.",
           ANSWERS(&kill_switch_shape),
           EXAMPLE("{\"reason\": \"mended\", \"approver\": \"lead@example.com\", \"root_cause\": \"a bad "
                   "index\"}")),

    {.method = "GET",
     .path = "/v1/audit",
     .kind = ROUTE_SCAN,
     .view = audit_query,
     .prepare = audit_query_check,
     .query = "category event_type actor outcome source resource start_time end_time limit cursor order "
              "format",
     .id = "list_audit_records",
     .about = "Audit records that match all that is asked for.",
     ANSWERS(&audit_page_shape),
     .contents = audit_content},
    {.method = "GET",
     .path = "/v1/audit/verify",
     .kind = ROUTE_WALK,
     .view = audit_verify,
     .prepare = audit_verify_check,
     .query = "limit cursor",
     .id = "verify_audit",
     .about = "Checks the chain from its first record to its last, or the next part of it.",
     ANSWERS(&audit_verdict_shape)},
    {.method = "GET",
     .path = "/v1/audit/prune",
     .kind = ROUTE_READ,
     .view = audit_prune_preview,
     .prepare = audit_prune_check,
     .query = "before_seq before keep_days",
     .id = "preview_audit_prune",
     .about = "What a prune would delete now.",
     ANSWERS(&audit_prune_shape)},
    CHANGE("POST", "/v1/audit/prune", "audit.prune", .id = "prune_audit",
           .about = "Deletes the oldest records on every node, for good; an anchor stays.",
           ANSWERS(&audit_prune_shape), EXAMPLE("{\"keep_days\": 400, \"reason\": \"retention policy\"}")),
    LOCAL("/v1/events", events_stream, .query = "category event_type last_event_id", .id = "follow_events",
          .about = "Every audit record as this node applies it, as server-sent events; without an end.",
          .content = EVENTS_CONTENT_TYPE, ANSWERS(&audit_schema)),

    ACT("POST", "/v1/internal/change", internal_change, .id = "forward_change",
        .about = "Between nodes: a follower's change, for the leader.", .takes = OUTCOME_CONTENT_TYPE,
        .content = OUTCOME_CONTENT_TYPE),
    ACT("POST", "/v1/internal/confirm", internal_confirm, .id = "confirm_leadership",
        .about = "Between nodes: a follower's read wants to know what is committed.",
        .content = OUTCOME_CONTENT_TYPE),
    ACT("POST", "/v1/internal/checkpoints", internal_checkpoint, .id = "make_checkpoint",
        .about = "Between nodes: a copy of the state for one that is far behind.", ANSWERS(&checkpoint_shape),
        .location = ""),
    ACT("GET", "/v1/internal/checkpoints/{checkpoint_id}/files/{file}", internal_checkpoint_file,
        .id = "get_checkpoint_file", .about = "Between nodes: one file of it, with ranges.",
        .content = "application/octet-stream"),
};

const struct route *route_all(uint32_t *count)
{
    *count = sizeof(routes) / sizeof(routes[0]);
    return routes;
}
