/* Every route, once. Earlier rows win: what is spelled out stands before what is a parameter. */
#include "node/http/routes.h"

#include "node/http/body.h"
#include "node/http/router.h"

#define LOCAL(path_text, function)                                                                           \
    {                                                                                                        \
        .method = "GET", .path = (path_text), .kind = ROUTE_LOCAL, .serve = (function)                       \
    }
#define CHANGE(method_text, path_text, command_text)                                                         \
    {                                                                                                        \
        .method = (method_text), .path = (path_text), .kind = ROUTE_CHANGE, .command = (command_text)        \
    }
#define ACT(method_text, path_text, function)                                                                \
    {                                                                                                        \
        .method = (method_text), .path = (path_text), .kind = ROUTE_ACT, .serve = (function)                 \
    }
#define READ(path_text, function, missing)                                                                   \
    {                                                                                                        \
        .method = "GET", .path = (path_text), .kind = ROUTE_READ, .view = (function), .not_found = (missing) \
    }
#define LIST(path_text, function, arguments)                                                                 \
    {                                                                                                        \
        .method = "GET", .path = (path_text), .kind = ROUTE_READ, .view = (function), .prepare = query_page, \
        .query = (arguments)                                                                                 \
    }

static const struct route routes[] = {
    LOCAL("/v1/health", health_ok),
    LOCAL("/health", health_ok),
    LOCAL("/v1/health/read-ready", health_read_ready),
    LOCAL("/v1/health/write-ready", health_write_ready),
    LOCAL("/v1/health/quorum", ha_quorum),
    LOCAL("/v1/health/leader", health_leader),
    LOCAL("/v1/health/audit", health_audit),
    LOCAL("/v1/version", system_version),
    LOCAL("/v1/support/configuration", system_configuration),
    LOCAL("/metrics", metrics_show),

    LOCAL("/v1/ha/status", ha_status),
    LOCAL("/v1/ha/quorum", ha_quorum),
    {.method = "GET",
     .path = "/v1/ha/members",
     .kind = ROUTE_LOCAL,
     .serve = ha_members,
     .prepare = query_page, /* they all fit into one page */
     .query = "limit cursor"},
    {.method = "GET", .path = "/v1/ha/epochs", .kind = ROUTE_LOCAL, .serve = ha_epochs, .query = "limit"},
    ACT("POST", "/v1/ha/failover", ha_failover),
    ACT("POST", "/v1/ha/members", ha_join),
    ACT("DELETE", "/v1/ha/members/{member}", ha_remove),

    LIST("/v1/rollouts", rollout_list, "limit cursor phase"),
    {.method = "POST",
     .path = "/v1/rollouts",
     .kind = ROUTE_CHANGE,
     .command = "rollout.create",
     .query = "publish",
     .prepare = rollout_create},
    {.method = "GET",
     .path = "/v1/rollouts/stuck",
     .kind = ROUTE_READ,
     .view = rollout_stuck,
     .prepare = rollout_stuck_check,
     .query = "threshold_seconds"},
    READ("/v1/rollouts/{plan_id}", rollout_get, "plan_not_found"),
    CHANGE("POST", "/v1/rollouts/{plan_id}/publish", "rollout.publish"),
    CHANGE("POST", "/v1/rollouts/{plan_id}/pause", "rollout.pause"),
    CHANGE("POST", "/v1/rollouts/{plan_id}/resume", "rollout.resume"),
    CHANGE("POST", "/v1/rollouts/{plan_id}/cancel", "rollout.cancel"),
    CHANGE("POST", "/v1/rollouts/{plan_id}/halt", "rollout.halt"),
    CHANGE("POST", "/v1/rollouts/{plan_id}/recover", "rollout.recover"),
    READ("/v1/rollouts/{plan_id}/stages/{stage_id}/gates", rollout_gates, NULL),
    CHANGE("POST", "/v1/rollouts/{plan_id}/stages/{stage_id}/gates/approve", "rollout.gate.approve"),
    CHANGE("POST", "/v1/rollouts/{plan_id}/nodes/{node_id}", "rollout.node"),

    LOCAL("/v1/rollback/targets", rollback_list),
    {.method = "POST",
     .path = "/v1/rollback/preview",
     .kind = ROUTE_READ,
     .view = rollback_preview,
     .prepare = rollback_preview_check},
    ACT("POST", "/v1/rollback/execute", rollback_execute),

    LIST("/v1/flags", flag_list, "limit cursor"),
    CHANGE("POST", "/v1/flags", "flags.set"),
    READ("/v1/flags/{key}", flag_get, "flag_not_found"),
    CHANGE("PUT", "/v1/flags/{key}", "flag.set"),
    CHANGE("PUT", "/v1/flags/{key}/definition", "flag.define"),

    LIST("/v1/kill-switches", switch_list, "limit cursor"),
    READ("/v1/kill-switches/{name}", switch_get, "kill_switch_not_found"),
    CHANGE("PUT", "/v1/kill-switches/{name}", "switch.define"),
    CHANGE("POST", "/v1/kill-switches/{name}/activate", "switch.activate"),
    CHANGE("POST", "/v1/kill-switches/{name}/reset", "switch.reset"),

    {.method = "GET",
     .path = "/v1/audit",
     .kind = ROUTE_SCAN,
     .view = audit_query,
     .prepare = audit_query_check,
     .query = "category event_type actor outcome source resource start_time end_time limit cursor order "
              "format"},
    {.method = "GET", .path = "/v1/audit/verify", .kind = ROUTE_WALK, .view = audit_verify},
    {.method = "GET",
     .path = "/v1/events",
     .kind = ROUTE_LOCAL,
     .serve = events_stream,
     .query = "category event_type last_event_id"},

    ACT("POST", "/v1/internal/change", internal_change),
    ACT("POST", "/v1/internal/confirm", internal_confirm),
    ACT("POST", "/v1/internal/checkpoints", internal_checkpoint),
    ACT("GET", "/v1/internal/checkpoints/{checkpoint_id}/files/{file}", internal_checkpoint_file),
};

const struct route *route_all(uint32_t *count)
{
    *count = sizeof(routes) / sizeof(routes[0]);
    return routes;
}
