/* Taking a member out for good, on the leader: out of the log's configuration first, then the record of who
 * asked and why, in its next entry. A member whose data is lost comes back under its name and address with a
 * new id. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "node/act.h"

#define NONE UINT32_MAX

/** The row of a name or of 16 hex digits; a living member before one that was removed, the latest of those.
 */
static uint32_t find_row(const struct service *service, const char *text)
{
    uint32_t found = NONE;
    for (uint32_t i = 0; i < service->members.count; i++) {
        char id[17];
        snprintf(id, sizeof id, "%016" PRIx64, service->members.rows[i].node_id);
        if (strcmp(service->members.rows[i].name, text) != 0 && strcmp(id, text) != 0)
            continue;
        if (!service->members.rows[i].removed)
            return i;
        found = i;
    }
    return found;
}

/** Consensus counts whom it heard within an election timeout; a connection that is gone says earlier that a
 * voter is gone, and half of two voters that can't agree could undo nothing. */
static bool leaves_majority(const struct service *service, uint64_t node_id)
{
    uint32_t voters = 0, connected = 0;
    for (uint32_t i = 0; i < service->now.member_count; i++) {
        const struct consensus_member *member = &service->now.members[i];
        if (member->role != MEMBER_VOTER || member->node_id == node_id)
            continue;
        voters++;
        connected += member->connected || member->node_id == service->now.node_id;
    }
    return connected > voters / 2;
}

static void on_recorded(void *context, const struct outcome *outcome)
{
    struct act *act = context;
    if (!act->answered && !act_refuse_outcome(act, outcome)) {
        char id[17];
        snprintf(id, sizeof id, "%016" PRIx64, act->removed_id);
        act_answer(act, 200,
                   json_pack("{s:O, s:s, s:s, s:I, s:I}", "member", json_object_get(act->body, "member"),
                             "node_id", id, "role", "removed", "index", (json_int_t)outcome->index,
                             "audit_seq", (json_int_t)outcome->audit_seq));
    }
    act_drop(act);
}

static void on_removed(void *context, const struct result *result, const struct error *error)
{
    struct act *act = context;
    (void)result;
    if (act->answered) {
        act_drop(act);
    } else if (error) {
        act->maybe = error->code == ERROR_UNKNOWN;
        act_retry(act, error->message);
        act_drop(act);
    } else { /* at once: before the leader's own look at what differs, which knows no reason */
        json_t *body = json_pack("{s:I, s:s, s:O}", "node_id", (json_int_t)act->removed_id, "role", "removed",
                                 "reason", json_object_get(act->body, "reason"));
        act_change(act, "member.sync", body, on_recorded);
    }
}

void removing_run(struct act *act)
{
    struct service *service = act->service;
    struct error error = {0};
    const char *member = json_string_value(json_object_get(act->body, "member"));
    CHECK(member != NULL, "HTTP checks the body");
    status_refresh(service);
    uint32_t row = find_row(service, member);
    if (row == NONE) {
        act_refuse(act, 404, "member_not_found", "no member has the name or id %s", member);
        return;
    }
    act->removed_id = service->members.rows[row].node_id;
    if (act->removed_id == service->now.node_id) {
        act_refuse(
            act, 409, "member_leads",
            "%s leads and can't remove itself: hand leadership over first (autonomy ha failover trigger "
            "--reason REASON), then remove it",
            service->members.rows[row].name);
        return;
    }
    if (!leaves_majority(service, act->removed_id)) {
        act_refuse(
            act, 409, "conflict",
            "without %s no majority of the voters left would be in contact: start or remove the dead ones "
            "first",
            service->members.rows[row].name);
        return;
    }
    act_hold(act);
    enum error_code code =
        consensus_member_remove(service->consensus, act->removed_id, on_removed, act, &error);
    if (code == ERROR_OK)
        return;
    if ((code == ERROR_CONFLICT && (service->now.membership_pending || service->now.transferring)) ||
        code == ERROR_NOT_LEADER)
        act_retry(act, error.message); /* one change at a time: this one is next */
    else
        act_refuse(act,
                   code == ERROR_CONFLICT    ? 409
                   : code == ERROR_NOT_FOUND ? 404
                                             : 503,
                   error_name(code), "%s", error.message);
    act_drop(act);
}
