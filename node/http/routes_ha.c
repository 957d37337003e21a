/* The cluster as this node sees it, and the acts on it. The reads never wait for anyone. */
#include <stddef.h>
#include <string.h>

#include "base/bytes.h"
#include "base/schema.h"
#include "node/http/body.h"
#include "node/http/flow.h"
#include "node/http/problem.h"
#include "node/http/router.h"
#include "node/http/routes.h"
#include "node/http/status.h"

static const char *role_of(const struct service_status *node)
{
    const struct consensus_status *status = &node->consensus;
    if (status->role == CONSENSUS_LEADER)
        return "leader";
    for (uint32_t i = 0; i < status->member_count; i++)
        if (status->members[i].node_id == status->node_id && status->members[i].role != MEMBER_VOTER)
            return status->members[i].role == MEMBER_STANDBY ? "standby" : "spare";
    return status->role == CONSENSUS_CANDIDATE ? "candidate" : "follower";
}

/* Voters beside the leader: those that may follow it. While none is known, those beside this node. */
static json_int_t replica_count(const struct consensus_status *status)
{
    uint64_t leader_id = status->leader_id != 0 ? status->leader_id : status->node_id;
    json_int_t count = 0;
    for (uint32_t i = 0; i < status->member_count; i++)
        if (status->members[i].role == MEMBER_VOTER && status->members[i].node_id != leader_id)
            count++;
    return count;
}

static void add_node(json_t *json, const struct service_status *node)
{
    const struct consensus_status *status = &node->consensus;
    char digest[2 * DIGEST_BYTES + 1];
    hex_encode(node->digest, DIGEST_BYTES, digest);
    json_object_set_new(json, "node_id", status_text(node->name));
    json_object_set_new(json, "role", json_string(role_of(node)));
    json_object_set_new(json, "session_lock_held", json_boolean(status_leads(node)));
    json_object_set_new(json, "write_ready", json_boolean(node->write_ready));
    json_object_set_new(json, "queried_at", status_time(node->wall_ms));
    json_object_set_new(json, "term", status_u64(status->term));
    json_object_set_new(json, "commit_index", status_u64(status->commit_index));
    json_object_set_new(json, "applied_index", status_u64(node->digest_index));
    json_object_set_new(json, "snapshot_index", status_u64(status->snapshot_index));
    json_object_set_new(json, "state_digest", json_string(digest));
    json_object_set_new(json, "cluster_id", status_text(status->cluster_id));
}

void ha_status(struct request *request)
{
    const struct service_status *node = status_take(request);
    const struct consensus_status *status = &node->consensus;
    json_t *json = json_object(), *leader = json_object(), *quorum = json_object(),
           *replication = json_object();
    add_node(json, node);

    json_object_set_new(leader, "holder_id", status_text(node->leader_name));
    json_object_set_new(leader, "epoch", status_u64(status->term));
    json_object_set_new(leader, "acquired_at", status_text(node->leader_acquired_at));
    json_object_set_new(json, "leader", leader);

    json_object_set_new(quorum, "write_ready", json_boolean(node->cluster_write_ready));
    json_object_set_new(quorum, "sync_replica_count", json_integer(node->sync_replica_count));
    json_object_set_new(json, "quorum", quorum);

    json_object_set_new(replication, "lag_status", status_text(node->lag_status));
    json_object_set_new(replication, "max_write_lag_ms", status_u64(node->write_lag_ms));
    json_object_set_new(replication, "max_replay_lag_ms", status_u64(node->replay_lag_ms));
    json_object_set_new(replication, "replica_count", json_integer(replica_count(status)));
    json_object_set_new(json, "replication", replication);

    json_object_set_new(json, "members", status_members(request, node));
    answer_json(request, 200, json);
}

void ha_quorum(struct request *request)
{
    const struct service_status *node = status_take(request);
    json_t *json = json_object();
    json_object_set_new(json, "write_ready", json_boolean(node->cluster_write_ready));
    json_object_set_new(json, "sync_replica_count", json_integer(node->sync_replica_count));
    json_object_set_new(json, "lag_status", status_text(node->lag_status));
    json_object_set_new(json, "quorum_health", status_text(node->quorum_health));
    json_object_set_new(json, "write_block_active", json_boolean(!node->cluster_write_ready));
    json_object_set_new(json, "can_accept_protected_writes", json_boolean(node->cluster_write_ready));
    json_object_set_new(json, "quorum_loss_reason",
                        json_string(node->quorum_loss_reason != NULL ? node->quorum_loss_reason : ""));
    json_object_set_new(json, "last_lost_at", status_time(node->last_lost_ms));
    json_object_set_new(json, "last_restored_at", status_time(node->last_restored_ms));
    json_object_set_new(json, "detected_loss_count", status_u64(node->detected_loss_count));
    json_object_set_new(json, "queried_at", status_time(node->wall_ms));
    answer_json(request, 200, json);
}

static void answer_list(struct request *request, json_t *items)
{
    json_t *json = json_object();
    json_object_set_new(json, "items", items);
    json_object_set_new(json, "next_cursor", json_null());
    answer_json(request, 200, json);
}

void ha_members(struct request *request)
{
    answer_list(request, status_members(request, status_take(request)));
}

/* Leadership history, newest first, as far as this node has applied it. */
void ha_epochs(struct request *request)
{
    struct error error = {0};
    struct view *view = NULL;
    json_t *items = NULL;
    uint64_t limit = 0;
    if (query_u64(request, "limit", &limit, &error) != ERROR_OK ||
        service_view(request->service, &view, &error) != ERROR_OK) {
        problem_error(request, &error);
        return;
    }
    request->answer.index = view_index(view);
    enum error_code code = view_epochs(view, (uint32_t)limit, &items, &error);
    service_view_close(request->service, view);
    if (code != ERROR_OK)
        problem_error(request, &error);
    else
        answer_list(request, items);
}

/* --- acts --- */

struct failover_body {
    const char *reason, *target_node;
    bool rollback;
};
#define AT(member) ((uint32_t)offsetof(struct failover_body, member))
static const struct field failover_fields[] = {
    {.name = "reason", .type = FIELD_TEXT, .offset = AT(reason), .required = true, .max = REASON_BYTES_MAX},
    {.name = "target_node",
     .type = FIELD_NAME,
     .offset = AT(target_node),
     .help = "the voter to hand over to; absent: whoever is furthest"},
    {.name = "rollback", .type = FIELD_BOOL, .offset = AT(rollback)}, /* between nodes only */
};
static const struct schema forwarded_schema = SCHEMA("failover", struct failover_body, failover_fields);
const struct schema failover_schema = {
    .name = "failover", .bytes = sizeof(struct failover_body), .fields = failover_fields, .field_count = 2};

void ha_failover(struct request *request)
{
    if (body_take(request, request->forwarded ? &forwarded_schema : &failover_schema) != NULL)
        request_act(request, SERVICE_FAILOVER, request->json, flow_act_answer);
}

void ha_join(struct request *request)
{
    if (body_take(request, request->route->body) != NULL)
        request_act(request, SERVICE_MEMBER_JOIN, request->json, flow_act_answer);
}

struct remove_body {
    const char *member, *reason;
};
#undef AT
#define AT(name_of_it) ((uint32_t)offsetof(struct remove_body, name_of_it))
static const struct field remove_fields[] = {
    {.name = "member", .type = FIELD_NAME, .offset = AT(member), .required = true},
    {.name = "reason", .type = FIELD_TEXT, .offset = AT(reason), .required = true, .max = REASON_BYTES_MAX},
};
const struct schema remove_schema = SCHEMA("removal", struct remove_body, remove_fields);

/* Some clients and proxies drop the body of a DELETE: its reason may stand in the query. */
enum error_code ha_remove_check(struct request *request, struct error *error)
{
    const char *reason = request_query(request, "reason");
    if (reason == NULL)
        return ERROR_OK;
    if (json_object_get(request->json, "reason") != NULL)
        return error_set(error, ERROR_INVALID, "reason: it stands in the body and in the query");
    json_object_set_new(request->json, "reason", json_string(reason));
    return ERROR_OK;
}

void ha_remove(struct request *request)
{
    if (body_take(request, request->route->body) != NULL)
        request_act(request, SERVICE_MEMBER_REMOVE, request->json, flow_act_answer);
}
