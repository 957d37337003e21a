/* What the table in routes.c points to: the functions of routes_*.c. */
#pragma once

#include "node/http/request.h"

/* routes_health.c, routes_ha.c: local state only, never waiting for anyone */
void health_ok(struct request *request);
void health_read_ready(struct request *request);
void health_write_ready(struct request *request);
void health_leader(struct request *request);
void health_audit(struct request *request);
void ha_status(struct request *request);
void ha_quorum(struct request *request);
void ha_members(struct request *request);
void ha_epochs(struct request *request);
void ha_failover(struct request *request);
void ha_join(struct request *request);
enum error_code ha_remove_check(struct request *request, struct error *error);
void ha_remove(struct request *request);
void system_version(struct request *request);
void system_configuration(struct request *request);

/* Their bodies. */
extern const struct schema failover_schema, remove_schema, preview_schema;

/* routes_metrics.c */
void metrics_show(struct request *request);

/* routes_rollout.c */
enum error_code rollout_create(struct request *request, struct error *error);
enum error_code rollout_stuck_check(struct request *request, struct error *error);
enum error_code rollout_list(struct request *request, struct view *view, json_t **out, struct error *error);
enum error_code rollout_get(struct request *request, struct view *view, json_t **out, struct error *error);
enum error_code rollout_stuck(struct request *request, struct view *view, json_t **out, struct error *error);
enum error_code rollout_gates(struct request *request, struct view *view, json_t **out, struct error *error);

/** Says whether it is the plan or its stage that isn't there. */
void rollout_missing(struct request *request, struct view *view, const char *plan_id);

/* routes_rollback.c */
void rollback_list(struct request *request);
void rollback_execute(struct request *request);
enum error_code rollback_preview_check(struct request *request, struct error *error);
enum error_code rollback_preview(struct request *request, struct view *view, json_t **out,
                                 struct error *error);

/* routes_flags.c */
enum error_code flag_list(struct request *request, struct view *view, json_t **out, struct error *error);
enum error_code flag_get(struct request *request, struct view *view, json_t **out, struct error *error);
enum error_code switch_list(struct request *request, struct view *view, json_t **out, struct error *error);
enum error_code switch_get(struct request *request, struct view *view, json_t **out, struct error *error);

/* routes_audit.c */
enum error_code audit_query_check(struct request *request, struct error *error);
enum error_code audit_query(struct request *request, struct view *view, json_t **out, struct error *error);
/** Media types of the formats that aren't JSON, from 0; NULL past the last. */
const char *audit_content(uint32_t position);
enum error_code audit_verify_check(struct request *request, struct error *error);
enum error_code audit_prune_check(struct request *request, struct error *error);
enum error_code audit_prune_preview(struct request *request, struct view *view, json_t **out,
                                    struct error *error);
enum error_code audit_verify(struct request *request, struct view *view, json_t **out, struct error *error);

/* routes_events.c */
void events_stream(struct request *request);

/* routes_internal.c: between nodes */
void internal_change(struct request *request);
void internal_confirm(struct request *request);
void internal_checkpoint(struct request *request);
void internal_checkpoint_file(struct request *request);
