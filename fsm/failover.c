/* Handing leadership over, and losing it: requests with their outcomes, and reports of lost quorum.
 *
 * A request stands as an open action until its outcome is committed. At most one is open: two at a time would
 * hand leadership to and fro. Its outcome is proposed by whoever leads afterwards; the second one to try
 * finds nothing open. */
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "fsm/leadership.h"
#include "fsm/view.h"

#define DETAIL_BYTES_MAX 1024u

static const struct field action_fields[] = {
    ROW(action, index, FIELD_U64),
    ROW(action, term, FIELD_U64),
    ROW(action, time_ms, FIELD_TIME),
    ROW(action, kind, FIELD_NAME, .required = true),
    ROW(action, resource, FIELD_TEXT, .max = NAME_BYTES_MAX),
    ROW(action, request_id, FIELD_TEXT, .max = REQUEST_ID_BYTES_MAX),
    ROW(action, principal, FIELD_TEXT, .max = PRINCIPAL_BYTES_MAX),
    ROW(action, reason, FIELD_TEXT, .max = REASON_BYTES_MAX),
    ROW(action, by_rollback, FIELD_BOOL),
};
const struct schema action_schema = SCHEMA("action", struct action, action_fields);

static const struct field failover_request_fields[] = {
    ROW(failover_request, reason, FIELD_TEXT, .required = true, .max = REASON_BYTES_MAX),
    ROW(failover_request, target_node, FIELD_TEXT, .max = NAME_BYTES_MAX,
        .help = "the wanted successor; the most up-to-date voter when absent"),
};
const struct schema failover_request_schema =
    SCHEMA("failover.request", struct failover_request, failover_request_fields);

static const struct field failover_outcome_fields[] = {
    ROW(failover_outcome, request_index, FIELD_U64, .required = true, .min = 1),
    ROW(failover_outcome, success, FIELD_BOOL),
    ROW(failover_outcome, detail, FIELD_TEXT, .max = DETAIL_BYTES_MAX),
    ROW(failover_outcome, write_gap_ms, FIELD_U64),
};
const struct schema failover_outcome_schema =
    SCHEMA("failover.outcome", struct failover_outcome, failover_outcome_fields);

/* --- request --- */

struct action_first {
    struct apply *apply;
    struct action *out;
    bool found;
};

static bool action_first_visit(void *context, struct span key, struct span value)
{
    struct action_first *find = context;
    (void)key;
    find->found = store_unpack(find->apply->store, &action_schema, value, find->apply->arena, find->out);
    return false;
}

static bool action_open(struct apply *apply, struct action *out)
{
    struct action_first find = {.apply = apply, .out = out};
    const struct store_key prefix = store_key1('o', span_of(NULL, 0));
    store_scan(apply->store, &prefix, false, action_first_visit, &find);
    return find.found;
}

static const char *holder_label(struct apply *apply)
{
    struct epoch epoch;
    const struct reader reader = apply_reader(apply);
    return epoch_last(reader, apply->arena, &epoch) ? member_label(reader, epoch.node_id, apply->arena)
                                                    : "current";
}

bool failover_open(struct apply *apply, const char *reason, const char *target_node, bool by_rollback)
{
    struct action open;
    struct member member;
    if (action_open(apply, &open)) {
        apply_refuse(apply, RESULT_FAILOVER_OPEN,
                     "a failover asked for at index %" PRIu64 " has no outcome yet; wait for it", open.index);
        return false;
    }
    const bool targeted = target_node && target_node[0];
    if (targeted && !member_find(apply_reader(apply), target_node, apply->arena, &member)) {
        apply_refuse(apply, RESULT_MEMBER_NOT_FOUND, "no member is called \"%s\"", target_node);
        return false;
    }
    if (targeted && member.role != MEMBER_ROLE_VOTER) {
        apply_refuse(apply, RESULT_INVALID, "%s is a %s; only a voter can lead", target_node,
                     member_role_names[member.role]);
        return false;
    }
    const struct store_key key = store_key_u64('o', apply->index);
    store_put_record(apply->store, &key, &action_schema,
                     &(struct action){
                         .index = apply->index,
                         .term = apply->term,
                         .time_ms = apply->time_ms,
                         .kind = "failover",
                         .resource = targeted ? member.name : NULL,
                         .request_id = apply->request_id,
                         .principal = apply->principal,
                         .reason = reason,
                         .by_rollback = by_rollback,
                     });
    struct field_pair fields[] = {
        {"holder", holder_label(apply)},
        {"term", apply_number(apply, apply->term)},
        {"target_node", targeted ? member.name : ""},
    };
    apply_record(apply, &(struct audit_record){
                            .category = AUDIT_HA,
                            .outcome = AUDIT_PENDING,
                            .event_name = "ha.failover.triggered",
                            .action = "failover",
                            .reason = reason,
                            .resource_type = "leader",
                            .resource = holder_label(apply),
                            .fields = fields,
                            .field_count = sizeof(fields) / sizeof(fields[0]),
                        });
    return true;
}

void failover_request_apply(struct apply *apply, const void *data)
{
    const struct failover_request *body = data;
    apply_attempt(apply, AUDIT_HA, "ha.failover.triggered", "failover", "leader", holder_label(apply),
                  body->reason);
    if (!failover_open(apply, body->reason, body->target_node, false))
        return;
    struct bytes *answer = apply_answer(apply);
    value_map(answer, 2);
    value_u64(answer, "request_index", apply->index);
    value_text(answer, "previous_holder", holder_label(apply));
}

/* --- outcome --- */

static void record_outcome(struct apply *apply, const struct action *action,
                           const struct failover_outcome *body, const struct epoch *now, uint32_t category,
                           const char *event_name, const char *verb)
{
    const char *holder = now ? member_label(apply_reader(apply), now->node_id, apply->arena) : "current";
    struct field_pair fields[] = {
        {"detail", body->detail},
        {"holder", holder},
        {"kind", "KindHALeaderResign"},
        {"requested_index", apply_number(apply, action->index)},
        {"requested_term", apply_number(apply, action->term)},
        {"write_gap_ms", apply_number(apply, body->write_gap_ms)},
    };
    apply_record(apply, &(struct audit_record){
                            .category = category,
                            .outcome = body->success ? AUDIT_SUCCESS : AUDIT_FAILURE,
                            .event_name = event_name,
                            .action = verb,
                            .actor = action->principal,
                            .reason = action->reason,
                            .resource_type = category == AUDIT_ROLLBACK ? "ha_leader_resign" : "leader",
                            .resource = category == AUDIT_ROLLBACK ? "current" : holder,
                            .request_id = action->request_id,
                            .fields = fields,
                            .field_count = sizeof(fields) / sizeof(fields[0]),
                        });
}

void failover_outcome_apply(struct apply *apply, const void *data)
{
    const struct failover_outcome *body = data;
    const struct store_key key = store_key_u64('o', body->request_index);
    struct action action;
    struct epoch epoch;
    if (!store_get_record(apply->store, &key, &action_schema, apply->arena, &action)) {
        apply_refuse(apply, RESULT_ACTION_NOT_FOUND, "no action asked for at index %" PRIu64 " is open",
                     body->request_index);
        return;
    }
    const bool led = epoch_last(apply_reader(apply), apply->arena, &epoch);
    store_delete(apply->store, &key);
    record_outcome(apply, &action, body, led ? &epoch : NULL, AUDIT_HA, "ha.failover.triggered", "failover");
    if (action.by_rollback)
        record_outcome(apply, &action, body, led ? &epoch : NULL, AUDIT_ROLLBACK, "rollback.executed",
                       "execute");
    struct bytes *answer = apply_answer(apply);
    value_map(answer, 2);
    value_u64(answer, "request_index", body->request_index);
    value_bool(answer, "success", body->success);
}

/* --- open actions, read --- */

struct action_list {
    struct view *view;
    struct arena *arena;
    struct open_action *rows;
    uint32_t count;
};

static bool action_list_visit(void *context, struct span key, struct span value)
{
    struct action_list *list = context;
    struct action action;
    (void)key;
    if (!view_unpack(list->view, &action_schema, value, list->arena, &action))
        return false;
    struct open_action *rows = arena_new(list->arena, (list->count + 1) * sizeof(*rows));
    if (list->count > 0)
        memcpy(rows, list->rows, list->count * sizeof(*rows));
    rows[list->count] = (struct open_action){
        .index = action.index,
        .term = action.term,
        .kind = action.kind,
        .resource = action.resource ? action.resource : "",
        .request_id = action.request_id ? action.request_id : "",
    };
    list->rows = rows;
    list->count++;
    return true;
}

enum error_code view_open_actions(struct view *self, struct arena *arena, struct open_action **out,
                                  uint32_t *count, struct error *error)
{
    struct action_list list = {.view = self, .arena = arena};
    const struct store_key prefix = store_key1('o', span_of(NULL, 0));
    view_scan(self, &prefix, false, action_list_visit, &list);
    const enum error_code code = view_result(self, error);
    if (code == ERROR_OK) {
        *out = list.rows;
        *count = list.count;
    }
    return code;
}

/* --- lost quorum --- */

/* Loss of quorum can't be committed while it lasts, so every node that saw it reports it afterwards. The
 * first report of a loss is its record; reports of the same loss (their times overlap) become its evidence.
 */
struct quorum_loss { /* key 'q' */
    uint64_t term, lost_ms, restored_ms, reports;
    const char *reason;
};
static const struct field quorum_loss_fields[] = {
    ROW(quorum_loss, term, FIELD_U64),
    ROW(quorum_loss, lost_ms, FIELD_TIME),
    ROW(quorum_loss, restored_ms, FIELD_TIME),
    ROW(quorum_loss, reports, FIELD_U64),
    ROW(quorum_loss, reason, FIELD_TEXT, .max = REASON_BYTES_MAX),
};
static const struct schema quorum_loss_schema = SCHEMA("quorum_loss", struct quorum_loss, quorum_loss_fields);

static const struct field quorum_report_fields[] = {
    ROW(quorum_report, node_id, FIELD_U64, .required = true, .min = 1),
    ROW(quorum_report, incarnation, FIELD_U64),
    ROW(quorum_report, number, FIELD_U64, .help = "of this incarnation's reports, from 1"),
    {.name = "lost_at",
     .type = FIELD_TIME,
     .offset = offsetof(struct quorum_report, lost_ms),
     .required = true},
    {.name = "restored_at",
     .type = FIELD_TIME,
     .offset = offsetof(struct quorum_report, restored_ms),
     .required = true},
    ROW(quorum_report, reason, FIELD_TEXT, .max = REASON_BYTES_MAX),
};
const struct schema quorum_report_schema =
    SCHEMA("quorum.report", struct quorum_report, quorum_report_fields);

struct epoch_at {
    struct apply *apply;
    uint64_t time_ms, term;
};

static bool epoch_at_visit(void *context, struct span key, struct span value)
{
    struct epoch_at *find = context;
    struct epoch epoch;
    (void)key;
    if (!store_unpack(find->apply->store, &epoch_schema, value, find->apply->arena, &epoch))
        return false;
    find->term = epoch.term; /* the oldest one, for a time before all */
    return epoch.acquired_ms > find->time_ms;
}

static void record_loss(struct apply *apply, const struct quorum_report *body, uint64_t term, bool lost)
{
    char lost_at[TIME_TEXT_BYTES], restored_at[TIME_TEXT_BYTES];
    time_format(body->lost_ms, lost_at);
    time_format(body->restored_ms, restored_at);
    struct field_pair fields[] = {
        {"lost_at", lost_at},
        {"reported_by", member_label(apply_reader(apply), body->node_id, apply->arena)},
        {"restored_at", restored_at},
        {"term", apply_number(apply, term)},
    };
    apply_record(apply, &(struct audit_record){
                            .category = AUDIT_HA,
                            .event_name = lost ? "ha.quorum.lost" : "ha.quorum.restored",
                            .action = lost ? "lose" : "restore",
                            .reason = body->reason,
                            .resource_type = "quorum",
                            .resource = "cluster",
                            .fields = fields,
                            .field_count = sizeof(fields) / sizeof(fields[0]),
                        });
}

void quorum_report_apply(struct apply *apply, const void *data)
{
    const struct quorum_report *body = data;
    if (body->restored_ms < body->lost_ms) {
        apply_refuse(apply, RESULT_INVALID, "restored_at: lies before lost_at");
        return;
    }
    struct epoch_at at = {.apply = apply, .time_ms = body->lost_ms};
    const struct store_key epochs = store_key1('l', span_of(NULL, 0));
    store_scan(apply->store, &epochs, true, epoch_at_visit, &at);

    const struct store_key key = store_key_u64('q', at.term);
    struct quorum_loss loss;
    const bool known = store_get_record(apply->store, &key, &quorum_loss_schema, apply->arena, &loss);
    const bool same = known && body->lost_ms <= loss.restored_ms && body->restored_ms >= loss.lost_ms;
    if (same) {
        loss.lost_ms = body->lost_ms < loss.lost_ms ? body->lost_ms : loss.lost_ms;
        loss.restored_ms = body->restored_ms > loss.restored_ms ? body->restored_ms : loss.restored_ms;
        loss.reports++;
    } else {
        loss = (struct quorum_loss){at.term, body->lost_ms, body->restored_ms, 1, body->reason};
        record_loss(apply, body, at.term, true);
        record_loss(apply, body, at.term, false);
    }
    store_put_record(apply->store, &key, &quorum_loss_schema, &loss);
    struct bytes *answer = apply_answer(apply);
    value_map(answer, 2);
    value_bool(answer, "recorded", !same);
    value_u64(answer, "reports", loss.reports);
}
