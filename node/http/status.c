#include "node/http/status.h"

#include <inttypes.h>

#include "base/clock.h"

struct service_status *status_take(struct request *request)
{
    struct service_status *node = arena_new(&request->arena, sizeof(*node));
    service_status(request->service, node);
    request->answer.index = node->consensus.applied_index;
    request->answer.term = node->consensus.term;
    return node;
}

bool status_leads(const struct service_status *node)
{
    return node->consensus.role == CONSENSUS_LEADER && node->consensus.ready;
}

const char *status_name(struct request *request, const struct service_status *node, uint64_t node_id)
{
    for (uint32_t i = 0; i < node->member_count; i++)
        if (node->members[i].node_id == node_id && node->members[i].name[0] != '\0')
            return node->members[i].name;
    if (node_id == node->consensus.node_id && node->name[0] != '\0')
        return node->name;
    return arena_printf(&request->arena, "%016" PRIx64, node_id);
}

json_t *status_text(const char *text)
{
    json_t *json = text != NULL && text[0] != '\0' ? json_string(text) : NULL;
    return json != NULL ? json : json_null();
}

json_t *status_time(uint64_t wall_ms)
{
    char text[TIME_TEXT_BYTES];
    if (wall_ms == 0)
        return json_null();
    time_format(wall_ms, text);
    return json_string(text);
}

json_t *status_u64(uint64_t value)
{
    return value == UINT64_MAX ? json_null() : json_integer((json_int_t)value);
}

static const char *role_name(enum member_role role)
{
    return role == MEMBER_VOTER ? "voter" : role == MEMBER_STANDBY ? "standby" : "spare";
}

static json_t *member(struct request *request, const struct service_status *node,
                      const struct consensus_member *row)
{
    bool self = row->node_id == node->consensus.node_id;
    uint64_t applied = self                    ? node->consensus.applied_index
                       : row->match_index != 0 ? row->match_index
                                               : UINT64_MAX;
    const char *url = "", *version = "";
    for (uint32_t i = 0; i < node->member_count; i++)
        if (node->members[i].node_id == row->node_id) {
            url = node->members[i].url;
            version = node->members[i].version;
        }
    json_t *json = json_object();
    json_object_set_new(json, "name", status_text(status_name(request, node, row->node_id)));
    json_object_set_new(json, "role", json_string(role_name(row->role)));
    json_object_set_new(json, "url", status_text(url));
    json_object_set_new(json, "address", status_text(row->address));
    json_object_set_new(json, "reachable", json_boolean(self || row->connected));
    json_object_set_new(json, "applied_index", status_u64(applied));
    json_object_set_new(json, "leader", json_boolean(row->node_id == node->consensus.leader_id));
    json_object_set_new(json, "version", status_text(version));
    return json;
}

json_t *status_members(struct request *request, const struct service_status *node)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < node->consensus.member_count; i++)
        json_array_append_new(list, member(request, node, &node->consensus.members[i]));
    return list;
}
