/* Who led when, who belongs to the cluster, and what a leader was asked to do.
 *
 * An action that reaches outside the state machine (handing leadership over) takes three committed steps:
 * requested, the act, the outcome. Between the first and the last it stands as an open action, which a new
 * leader finds. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fsm/apply.h"
#include "fsm/commands.h"

/** Requests that leadership be handed over: records ha.failover.triggered (pending) and opens the action. The
 * caller answers.
 *
 * @param reason       what the operator said; in the records of request, resignation and outcome
 * @param target_node  name or id of the wanted successor; NULL or "": the leader chooses
 * @param by_rollback  it came by `rollback execute`: the outcome also leaves rollback.executed
 * @return false after apply_refuse(): one is open already, or the target is no member */
bool failover_open(struct apply *apply, const char *reason, const char *target_node, bool by_rollback);

/* --- between the files of this module --- */

/* A row of a field table. */
#define ROW(record, member_name, field_type, ...)                                                            \
    {                                                                                                        \
        .name = #member_name, .type = (field_type), .offset = offsetof(struct record, member_name),          \
        __VA_ARGS__                                                                                          \
    }

struct member { /* key 'b' */
    uint64_t node_id;
    const char *name, *address, *url, *version;
    uint64_t level, incarnation;
    uint32_t role; /* MEMBER_ROLE_* */
    uint64_t added_ms, role_ms;
};
/* libraft's numbers, and one of our own: a removed member's row stays, since its id never comes back. */
enum { MEMBER_ROLE_STANDBY, MEMBER_ROLE_VOTER, MEMBER_ROLE_SPARE, MEMBER_ROLE_REMOVED, MEMBER_ROLE_COUNT };
extern const char *const member_role_names[MEMBER_ROLE_COUNT];
extern const struct schema member_schema;

struct epoch { /* key 'l' */
    uint64_t term, node_id, acquired_ms, ended_ms /* 0: it is the current one */, index;
    uint32_t cause; /* LEADER_* */
    const char *version;
    uint64_t level;
    bool resigned; /* its leader handed over on request */
};
enum { LEADER_ELECTION, LEADER_TRANSFER, LEADER_CRASH, LEADER_CAUSE_COUNT };
extern const char *const leader_cause_names[LEADER_CAUSE_COUNT];
extern const struct schema epoch_schema;

struct action { /* key 'o' */
    uint64_t index, term, time_ms;
    const char *kind, *resource; /* "failover", the wanted successor or "" */
    const char *request_id, *principal, *reason;
    bool by_rollback;
};
extern const struct schema action_schema;

struct reader;
/** The last epoch; false: nobody has led yet. */
bool epoch_last(struct reader reader, struct arena *arena, struct epoch *out);
bool member_get(struct reader reader, uint64_t node_id, struct arena *arena, struct member *out);
/** A node's name for people: what it is called, or its id as 16 hex digits. */
const char *member_label(struct reader reader, uint64_t node_id, struct arena *arena);
/** Finds a member that is not removed by name, or by id as 16 hex digits. */
bool member_find(struct reader reader, const char *text, struct arena *arena, struct member *out);

/* --- handlers, for the table in leadership.c --- */

struct leader_elected {
    uint64_t node_id, term;
    uint32_t cause;
    const char *version;
    uint64_t level;
};
struct tick {
    uint64_t stuck_after_ms;
};
struct failover_request {
    const char *reason, *target_node;
};
struct failover_outcome {
    uint64_t request_index;
    bool success;
    const char *detail;
    uint64_t write_gap_ms;
};
struct member_add {
    uint64_t node_id;
    const char *name, *address, *url, *version;
    uint64_t level, incarnation;
};
struct member_sync {
    uint64_t node_id;
    uint32_t role;
    const char *reason; /* NULL unless somebody asked for it */
};
struct quorum_report {
    uint64_t node_id, incarnation, number, lost_ms, restored_ms;
    const char *reason;
};
extern const struct schema failover_request_schema, failover_outcome_schema, member_add_schema,
    member_sync_schema, quorum_report_schema;
command_handler failover_request_apply, failover_outcome_apply, member_add_apply, member_sync_apply,
    quorum_report_apply;
