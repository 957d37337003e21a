/* Health and identity of this node: answered at once from what it knows, so that a probe never waits for
 * anyone. */
#include <string.h>

#include "base/clock.h"
#include "node/http/problem.h"
#include "node/http/routes.h"
#include "node/http/status.h"

void health_ok(struct request *request)
{
    answer_json(request, 200, json_pack("{s:s}", "status", "ok"));
}

static void answer_ready(struct request *request, const char *reason)
{
    bool ready = reason[0] == '\0';
    json_t *json = json_pack("{s:b, s:s}", "ready", (int)ready, "reason", reason);
    answer_json(request, ready ? 200 : 503, json);
}

void health_read_ready(struct request *request)
{
    struct service_status *node = status_take(request);
    struct error error = {0};
    struct view *view = NULL;
    if (node->stopping) {
        answer_ready(request, "this node is shutting down");
    } else if (!node->joined) {
        answer_ready(request, "this node is not in a cluster yet");
    } else if (service_view(request->service, &view, &error) != ERROR_OK) {
        answer_ready(request, error.message);
    } else {
        service_view_close(request->service, view);
        answer_ready(request, "");
    }
}

/* Why this node isn't the write authority; "" when it is. */
static const char *write_obstacle(struct request *request, const struct service_status *node)
{
    const struct consensus_status *status = &node->consensus;
    if (node->write_ready && !node->stopping)
        return "";
    if (node->stopping)
        return "this node is shutting down";
    if (!node->joined)
        return "this node is not in a cluster yet";
    if (status->role != CONSENSUS_LEADER && node->leader_name[0] != '\0')
        return arena_printf(&request->arena, "%s leads", node->leader_name);
    if (status->role != CONSENSUS_LEADER)
        return "no leader is known";
    if (!status->quorum)
        return node->quorum_loss_reason[0] != '\0' ? node->quorum_loss_reason
                                                   : "no contact with a majority of voters";
    if (status->disk_full)
        return "the disk is full";
    return "this node has not taken office yet";
}

void health_write_ready(struct request *request)
{
    answer_ready(request, write_obstacle(request, status_take(request)));
}

void health_leader(struct request *request)
{
    const struct service_status *node = status_take(request);
    json_t *json = json_object();
    json_object_set_new(json, "holder_id", status_text(node->leader_name));
    json_object_set_new(json, "current_epoch", status_u64(node->consensus.term));
    json_object_set_new(json, "acquired_at", status_text(node->leader_acquired_at));
    json_object_set_new(json, "session_lock_held", json_boolean(status_leads(node)));
    answer_json(request, 200, json);
}

/* The chain itself is checked by GET /v1/audit/verify. */
void health_audit(struct request *request)
{
    const struct service_status *node = status_take(request);
    uint64_t behind = node->audit_seq > node->mirror_seq ? node->audit_seq - node->mirror_seq : 0;
    json_t *json = json_object();
    json_object_set_new(json, "status",
                        json_string(node->mirror_failed              ? "failed"
                                    : node->mirror_damage[0] != '\0' ? "damaged"
                                    : behind > 0                     ? "behind"
                                                                     : "ok"));
    json_object_set_new(json, "audit_seq", status_u64(node->audit_seq));
    json_object_set_new(json, "mirror_seq", status_u64(node->mirror_seq));
    json_object_set_new(json, "mirror_behind", status_u64(behind));
    json_object_set_new(json, "mirror_failed", json_boolean(node->mirror_failed));
    json_object_set_new(json, "mirror_damage", status_text(node->mirror_damage));
    json_object_set_new(json, "queried_at", status_time(node->wall_ms));
    answer_json(request, 200, json);
}

void system_version(struct request *request)
{
    const struct service_status *node = status_take(request);
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:i}", "name", "autonomyd", "version",
                             service_version(), "commit", service_commit(), "node_id", node->name, "level",
                             (int)FSM_LEVEL, "format", (int)FSM_FORMAT, "schema", (int)FSM_SCHEMA);
    json_object_set_new(json, "started_at", status_time(node->started_wall_ms));
    answer_json(request, 200, json);
}

void system_configuration(struct request *request)
{
    json_t *json = service_configuration(request->service);
    if (json == NULL)
        problem_answer(request, 500, "io", "the configuration can't be shown");
    else
        answer_json(request, 200, json);
}
