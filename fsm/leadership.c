/* Epochs: every leader's first command closes the row of the one before, so that exactly one row is open.
 *
 * Invariants:
 *   (1) terms of epochs only rise; of all rows only the last one has no end;
 *   (2) a predecessor's resignation is recorded by its successor, and only if it was asked for (an open
 *       action of that term) and leadership was transferred: a crash leaves none. */
#include "fsm/leadership.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "fsm/audit_store.h"
#include "fsm/plan.h"
#include "fsm/request.h"
#include "fsm/view.h"

const char *const leader_cause_names[LEADER_CAUSE_COUNT] = {"election", "transfer", "crash"};

#define EPOCH(member, field_type, ...)                                                                       \
    {                                                                                                        \
        .name = #member, .type = (field_type), .offset = offsetof(struct epoch, member), __VA_ARGS__         \
    }
static const struct field epoch_fields[] = {
    EPOCH(term, FIELD_U64),
    EPOCH(node_id, FIELD_U64),
    EPOCH(acquired_ms, FIELD_TIME),
    EPOCH(ended_ms, FIELD_TIME),
    EPOCH(index, FIELD_U64),
    EPOCH(cause, FIELD_ENUM, .names = leader_cause_names, .names_count = LEADER_CAUSE_COUNT),
    EPOCH(version, FIELD_TEXT, .max = NAME_BYTES_MAX),
    EPOCH(level, FIELD_U64, .max = UINT32_MAX),
    EPOCH(resigned, FIELD_BOOL),
};
const struct schema epoch_schema = SCHEMA("epoch", struct epoch, epoch_fields);

#define ELECTED(member, field_type, ...)                                                                     \
    {                                                                                                        \
        .name = #member, .type = (field_type), .offset = offsetof(struct leader_elected, member),            \
        __VA_ARGS__                                                                                          \
    }
static const struct field leader_elected_fields[] = {
    ELECTED(node_id, FIELD_U64, .required = true, .min = 1),
    ELECTED(term, FIELD_U64, .required = true, .min = 1),
    ELECTED(cause, FIELD_ENUM, .required = true, .names = leader_cause_names,
            .names_count = LEADER_CAUSE_COUNT),
    ELECTED(version, FIELD_TEXT, .max = NAME_BYTES_MAX),
    ELECTED(level, FIELD_U64, .max = UINT32_MAX,
            .help = "the highest level that the leader's build understands"),
};
static const struct schema leader_elected_schema =
    SCHEMA("leader.elected", struct leader_elected, leader_elected_fields);

static const struct field tick_fields[] = {
    {.name = "stuck_after_ms",
     .type = FIELD_U64,
     .offset = offsetof(struct tick, stuck_after_ms),
     .help = "a plan is stuck after so long without a move; 0: none is"},
};
static const struct schema tick_schema = SCHEMA("tick", struct tick, tick_fields);

/* --- epochs --- */

static struct store_key epoch_prefix(void)
{
    return store_key1('l', span_of(NULL, 0));
}

struct epoch_find {
    struct reader reader;
    struct arena *arena;
    struct epoch *out;
    bool found;
};

static bool epoch_last_visit(void *context, struct span key, struct span value)
{
    struct epoch_find *find = context;
    (void)key;
    find->found = reader_unpack(find->reader, &epoch_schema, value, find->arena, find->out);
    return false;
}

bool epoch_last(struct reader reader, struct arena *arena, struct epoch *out)
{
    struct epoch_find find = {.reader = reader, .arena = arena, .out = out};
    const struct store_key prefix = epoch_prefix();
    reader_scan(reader, &prefix, true, epoch_last_visit, &find);
    return find.found;
}

static void epoch_put(struct apply *apply, const struct epoch *epoch)
{
    const struct store_key key = store_key_u64('l', epoch->term);
    store_put_record(apply->store, &key, &epoch_schema, epoch);
}

struct action_of_term {
    struct apply *apply;
    uint64_t term;
    struct action *out;
    bool found;
};

static bool action_of_term_visit(void *context, struct span key, struct span value)
{
    struct action_of_term *find = context;
    struct action action;
    (void)key;
    if (!store_unpack(find->apply->store, &action_schema, value, find->apply->arena, &action))
        return false;
    if (action.term == find->term && strcmp(action.kind, "failover") == 0) {
        *find->out = action;
        find->found = true;
    }
    return !find->found;
}

/* Was the leader of `term` asked to hand over, without an outcome yet? */
static bool handover_asked(struct apply *apply, uint64_t term, struct action *out)
{
    struct action_of_term find = {.apply = apply, .term = term, .out = out};
    const struct store_key prefix = store_key1('o', span_of(NULL, 0));
    store_scan(apply->store, &prefix, false, action_of_term_visit, &find);
    return find.found;
}

static void record_resigned(struct apply *apply, const struct epoch *before, const struct action *action,
                            const char *successor)
{
    const char *holder = member_label(apply_reader(apply), before->node_id, apply->arena);
    struct field_pair fields[] = {
        {"holder", holder},
        {"successor", successor},
        {"term", apply_number(apply, before->term)},
    };
    apply_record(apply, &(struct audit_record){
                            .category = AUDIT_HA,
                            .event_name = "ha.leader.resigned",
                            .action = "resign",
                            .actor = action->principal,
                            .reason = action->reason,
                            .resource_type = "leader",
                            .resource = holder,
                            .fields = fields,
                            .field_count = sizeof(fields) / sizeof(fields[0]),
                        });
}

static void record_elected(struct apply *apply, const struct leader_elected *body, const struct epoch *before)
{
    struct reader reader = apply_reader(apply);
    const char *holder = member_label(reader, body->node_id, apply->arena);
    struct field_pair fields[6] = {
        {"cause", leader_cause_names[body->cause]},
        {"holder", holder},
        {"term", apply_number(apply, body->term)},
        {"version", body->version},
    };
    size_t count = 4;
    if (before) {
        fields[count++] =
            (struct field_pair){"previous_holder", member_label(reader, before->node_id, apply->arena)};
        fields[count++] = (struct field_pair){"previous_term", apply_number(apply, before->term)};
    }
    apply_record(apply, &(struct audit_record){
                            .category = AUDIT_HA,
                            .event_name = "ha.leader.elected",
                            .action = "elect",
                            .resource_type = "leader",
                            .resource = holder,
                            .fields = fields,
                            .field_count = count,
                        });
}

static void elected_answer(struct apply *apply, uint64_t term)
{
    struct bytes *body = apply_answer(apply);
    value_map(body, 1);
    value_u64(body, "term", term);
}

static void leader_elected_apply(struct apply *apply, const void *data)
{
    const struct leader_elected *body = data;
    struct epoch before;
    struct action action;
    const bool known = epoch_last(apply_reader(apply), apply->arena, &before);

    if (known &&
        (body->term < before.term || (body->term == before.term && body->node_id != before.node_id))) {
        apply_refuse(apply, RESULT_TERM_STALE, "term %" PRIu64 " has passed: term %" PRIu64 " has a leader",
                     body->term, before.term);
        return;
    }
    if (known && body->term == before.term) { /* said twice */
        elected_answer(apply, body->term);
        return;
    }
    if (known) {
        before.ended_ms = apply->time_ms;
        before.resigned = body->cause == LEADER_TRANSFER && handover_asked(apply, before.term, &action);
        epoch_put(apply, &before);
        if (before.resigned)
            record_resigned(apply, &before, &action,
                            member_label(apply_reader(apply), body->node_id, apply->arena));
    }
    epoch_put(apply, &(struct epoch){
                         .term = body->term,
                         .node_id = body->node_id,
                         .acquired_ms = apply->time_ms,
                         .index = apply->index,
                         .cause = body->cause,
                         .version = body->version,
                         .level = body->level,
                     });
    record_elected(apply, body, known ? &before : NULL);
    elected_answer(apply, body->term);
}

static void tick_apply(struct apply *apply, const void *data)
{
    const struct tick *body = data;
    request_expire(apply->store, apply->time_ms, REQUEST_EXPIRE_TICK_MAX);
    plan_tick(apply, body->stuck_after_ms);
    audit_sweep(apply);
}

/* --- the commands of this module --- */

const struct command_entry leadership_commands[] = {
    {{.type = 1,
      .name = "leader.elected",
      .schema = &leader_elected_schema,
      .permission = PERMISSION_SYSTEM,
      .safety_class = ""},
     leader_elected_apply},
    {{.type = 2, .name = "tick", .schema = &tick_schema, .permission = PERMISSION_SYSTEM, .safety_class = ""},
     tick_apply},
    {{.type = 31,
      .name = "failover.request",
      .schema = &failover_request_schema,
      .permission = "ha:write",
      .safety_class = "reversible",
      .urgent = true},
     failover_request_apply},
    {{.type = 32,
      .name = "failover.outcome",
      .schema = &failover_outcome_schema,
      .permission = PERMISSION_SYSTEM,
      .safety_class = ""},
     failover_outcome_apply},
    {{.type = 60,
      .name = "member.add",
      .schema = &member_add_schema,
      .permission = "ha:write",
      .safety_class = "idempotent"},
     member_add_apply},
    {{.type = 61,
      .name = "member.sync",
      .schema = &member_sync_schema,
      .permission = PERMISSION_SYSTEM,
      .safety_class = ""},
     member_sync_apply},
    {{.type = 70,
      .name = "quorum.report",
      .schema = &quorum_report_schema,
      .permission = PERMISSION_SYSTEM,
      .safety_class = ""},
     quorum_report_apply},
};
const size_t leadership_command_count = sizeof(leadership_commands) / sizeof(leadership_commands[0]);
