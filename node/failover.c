/* Handing leadership over on request, in three committed steps: requested, the act, its outcome.
 *
 *   request committed -> consensus_transfer -> successor's first command applied here -> outcome committed ->
 * answer
 *
 * The answer is built from what was recorded, by this node or by the next one that is asked under the same
 * request id, so a repeat reads the same. When this process dies in between, the successor finds the request
 * open and records its outcome (leader.c). */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/logger.h"
#include "fsm/result.h"
#include "fsm/targets.h"
#include "node/act.h"
#include "node/leader.h"

#define RECORDS_ARENA     (1u << 20)
#define EPOCHS_LOOKED_AT  1000u
#define RECORDS_LOOKED_AT 2000u
#define RESIGN_TARGET     "ha_leader_resign"
#define REFUSED           "refused: " /* begins the detail of a handover that was not even tried */

/* --- the answer, from what is recorded
 * ------------------------------------------------------------------------------------ */

struct found {
    uint64_t index; /* of the request */
    char wanted[24];
    uint32_t looked_at;
    bool requested, closed, success;
    uint64_t audit_seq, requested_term, gap_ms;
    char previous[NAME_BYTES_MAX + 1], detail[512];
};

static const char *field_of(const struct audit_record *record, const char *key)
{
    for (size_t i = 0; i < record->field_count; i++)
        if (strcmp(record->fields[i].key, key) == 0)
            return record->fields[i].value ? record->fields[i].value : "";
    return "";
}

/** Newest first: the outcome comes before its request. */
static bool find_records(void *context, const struct audit_record *record)
{
    struct found *found = context;
    found->looked_at++;
    if (record->outcome == AUDIT_PENDING && record->index == found->index) {
        found->requested = true;
        found->requested_term = record->term;
        if (!found->closed)
            found->audit_seq = record->seq;
        snprintf(found->previous, sizeof found->previous, "%s", field_of(record, "holder"));
        return false;
    }
    if (strcmp(field_of(record, "requested_index"), found->wanted) == 0) {
        uint64_t gap = 0;
        found->closed = true;
        found->success = record->outcome == AUDIT_SUCCESS;
        found->audit_seq = record->seq;
        if (parse_u64(field_of(record, "write_gap_ms"), UINT64_MAX, &gap))
            found->gap_ms = gap;
        snprintf(found->detail, sizeof found->detail, "%s", field_of(record, "detail"));
    }
    return found->looked_at < RECORDS_LOOKED_AT;
}

/** The epochs at and after the request's term: who was to resign when, and who came. */
static void add_epochs(struct view *view, const struct found *found, json_t *json)
{
    json_t *epochs = NULL, *row, *next = NULL, *own = NULL;
    struct error error = {0};
    size_t i;
    if (view_epochs(view, EPOCHS_LOOKED_AT, &epochs, &error) != ERROR_OK)
        return;
    json_array_foreach(epochs, i, row)
    { /* newest first */
        uint64_t term = (uint64_t)json_integer_value(json_object_get(row, "term"));
        if (term > found->requested_term)
            next = row;
        if (term == found->requested_term)
            own = row;
    }
    json_object_set_new(json, "resigned_at",
                        json_incref(own ? json_object_get(own, "ended_at") : json_null()));
    if (found->success && next) {
        json_object_set_new(json, "new_holder", json_incref(json_object_get(next, "name")));
        json_object_set_new(json, "new_epoch", json_incref(json_object_get(next, "term")));
    }
    json_decref(epochs);
}

/** What `rollback execute` answers for every target. */
static void add_rollback(json_t *json)
{
    const struct rollback_target *target = rollback_target_find(RESIGN_TARGET);
    json_object_set_new(json, "target", json_string(RESIGN_TARGET));
    json_object_set_new(json, "resource", json_string("current"));
    json_object_set_new(json, "kind", json_string(target->kind));
    json_object_set_new(json, "strategy", json_string(target->strategies[0].name));
    json_object_set_new(json, "safety_class",
                        json_string(safety_class_name(target->strategies[0].safety_class)));
    json_object_set_new(json, "outcome", json_string("success"));
}

static void answer_recorded(struct act *act, struct view *view, const struct found *found)
{
    if (!found->success) {
        bool refused = strncmp(found->detail, REFUSED, strlen(REFUSED)) == 0;
        act_refuse(act, refused ? 409 : 503, refused ? "failover_refused" : "failover_failed",
                   "leadership stays with %s: %s", found->previous, found->detail);
        return;
    }
    json_t *json = json_pack("{s:b, s:s, s:I}", "success", 1, "previous_holder", found->previous,
                             "previous_epoch", (json_int_t)found->requested_term);
    add_epochs(view, found, json);
    char message[512];
    const char *holder = json_string_value(json_object_get(json, "new_holder"));
    snprintf(message, sizeof message, "%s handed leadership over; %s leads epoch %" JSON_INTEGER_FORMAT,
             found->previous, holder ? holder : "another node",
             json_integer_value(json_object_get(json, "new_epoch")));
    json_object_set_new(json, "message", json_string(message));
    if (json_is_true(json_object_get(act->body, "rollback")))
        add_rollback(json);
    json_object_set_new(json, "write_gap_ms", json_integer((json_int_t)found->gap_ms));
    json_object_set_new(json, "index", json_integer((json_int_t)act->index));
    json_object_set_new(json, "audit_seq", json_integer((json_int_t)found->audit_seq));
    act_answer(act, 200, json);
}

/** Answers when the outcome of the request at act->index is recorded and applied here; else looks again in
 * the next sweep. */
static void failover_poll(struct act *act)
{
    static const struct audit_filter filter = {.event_type = "ha.failover.triggered"};
    struct service *self = act->service;
    struct found found = {.index = act->index};
    struct error error = {0};
    if (act->index > self->applied_index)
        return;
    snprintf(found.wanted, sizeof found.wanted, "%" PRIu64, act->index);
    struct view *view = state_view(self->state);
    if (view_audit(view, &filter, false, 0, find_records, &found, &error) != ERROR_OK)
        act_refuse(act, 503, "unavailable", "%s", error.message);
    else if (found.requested && found.closed)
        answer_recorded(act, view, &found);
    else if (!found.requested)
        act_refuse(act, 409, "conflict", "request %s is remembered, but not as a failover", act->request_id);
    state_view_close(self->state, view);
}

/* --- the outcome
 * --------------------------------------------------------------------------------------------------------------
 */

static void on_outcome(void *context, const struct outcome *outcome)
{
    struct act *act = context;
    (void)outcome; /* whoever recorded it, the poll finds it */
    leader_own_action(act->service->leader, 0);
    if (!act->answered)
        failover_poll(act);
    act_drop(act);
}

static void commit_outcome(struct act *act, bool success, const char *detail)
{
    struct service *self = act->service;
    char request_id[64];
    snprintf(request_id, sizeof request_id, "failover-outcome/%" PRIu64, act->index);
    json_t *body = json_pack("{s:I, s:b, s:s, s:I}", "request_index", (json_int_t)act->index, "success",
                             (int)success, "detail", detail, "write_gap_ms", (json_int_t)act->gap_ms);
    act->poll = failover_poll;
    act_hold(act);
    change_by_node(self, "failover.outcome", request_id, SYSTEM_PRINCIPAL, body, on_outcome, act);
}

static void on_transfer(void *context, uint64_t new_leader, uint64_t new_term, const struct error *error)
{
    struct act *act = context;
    struct service *self = act->service;
    char detail[512];
    act->in_transfer = false;
    status_refresh(self);
    act->gap_ms = now_ms(self) - act->started_ms;
    if (!error) {
        snprintf(detail, sizeof detail, "%s leads since epoch %" PRIu64, member_name(self, new_leader),
                 new_term);
        log_info("failover", "handed over", "to=%s term=%" PRIu64 " gap_ms=%" PRIu64,
                 member_name(self, new_leader), new_term, act->gap_ms);
        commit_outcome(act, true, detail);
    } else if (error->code == ERROR_UNKNOWN || error->code == ERROR_CLOSED) {
        act->poll = failover_poll; /* nobody is known to lead: who comes next records the outcome */
        leader_own_action(self->leader, 0);
        snprintf(act->last, sizeof act->last, "%s", error->message);
    } else {
        log_warn("failover", "not handed over", "error=\"%s\"", error->message);
        act->gap_ms = 0;
        commit_outcome(act, false, error->message);
    }
    act_drop(act);
}

/* --- the act
 * -------------------------------------------------------------------------------------------------------------------
 */

static uint64_t target_id(const struct act *act)
{
    const struct service *self = act->service;
    const char *name = json_string_value(json_object_get(act->body, "target_node"));
    for (uint32_t i = 0; name && i < self->members.count; i++) {
        char id[17];
        snprintf(id, sizeof id, "%016" PRIx64, self->members.rows[i].node_id);
        if (!self->members.rows[i].removed &&
            (strcmp(self->members.rows[i].name, name) == 0 || strcmp(id, name) == 0))
            return self->members.rows[i].node_id;
    }
    return 0;
}

/** Consensus knows numbers; whoever asked gave a name. */
static void say_name(const struct service *self, uint64_t node_id, struct error *error)
{
    char id[24], said[ERROR_MESSAGE_BYTES];
    snprintf(id, sizeof id, "node %016" PRIx64, node_id);
    const char *at = node_id != 0 ? strstr(error->message, id) : NULL;
    if (!at)
        return;
    snprintf(said, sizeof said, "%.*s%s%s", (int)(at - error->message), error->message,
             member_name(self, node_id), at + strlen(id));
    memcpy(error->message, said, sizeof said);
}

static void hand_over(struct act *act)
{
    struct service *self = act->service;
    struct error error = {0};
    act->started_ms = now_ms(self);
    leader_own_action(self->leader, act->index);
    act->in_transfer = true;
    act_hold(act);
    if (consensus_transfer(self->consensus, target_id(act), on_transfer, act, &error) == ERROR_OK)
        return;
    char detail[ERROR_MESSAGE_BYTES + 16];
    say_name(self, target_id(act), &error);
    snprintf(detail, sizeof detail, REFUSED "%s", error.message);
    act->in_transfer = false;
    commit_outcome(act, false, detail);
    act_drop(act);
}

static void on_requested(void *context, const struct outcome *outcome)
{
    struct act *act = context;
    struct service *self = act->service;
    if (act->answered) {
        act_drop(act);
        return;
    }
    if (act_refuse_outcome(act, outcome)) {
        act_drop(act);
        return;
    }
    act->index = outcome->index;
    act->repeated = outcome->repeated;
    status_refresh(self);
    if (outcome->repeated || !leads(self) || outcome->term != self->now.term)
        act->poll = failover_poll; /* under way, over, or left to the leader of now */
    else
        hand_over(act);
    act_drop(act);
}

void failover_run(struct act *act)
{
    bool by_rollback = json_is_true(json_object_get(act->body, "rollback"));
    json_t *reason = json_object_get(act->body, "reason"),
           *target = json_object_get(act->body, "target_node");
    json_t *body =
        by_rollback ? json_pack("{s:s, s:s}", "target", RESIGN_TARGET, "resource", "current") : json_object();
    json_object_set(body, "reason", reason ? reason : json_null());
    if (target && !by_rollback)
        json_object_set(body, "target_node", target);
    act_hold(act);
    act_change(act, by_rollback ? "rollback.execute" : "failover.request", body, on_requested);
}
