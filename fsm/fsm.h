/* The state machine: the same log gives the same state, the same results and the same digest on every node.
 *
 * Threads: fsm_apply and fsm_describe on one thread (the loop); fsm_flush and fsm_checkpoint on a worker
 * beside it; a struct view is made and used on any thread. No locks, clocks, random numbers or floating point
 * in fsm/. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/entry.h"
#include "base/error.h"
#include "base/limits.h"
#include "fsm/audit.h"
#include "fsm/targets.h"

struct fsm;
struct json_t;

#define FSM_FORMAT 1u /* of an entry's envelope */
#define FSM_LEVEL  1u /* of behaviour: the highest this build understands */
#define FSM_SCHEMA 1u /* of the store's keys and records */

/** How an id begins that a node made for a client without one: remembered for minutes, not for a day. */
#define REQUEST_ID_NODE '.'

struct fsm_state {
    char cluster_id[CLUSTER_ID_BYTES];
    uint64_t generation;
    uint64_t index, term;
    uint64_t time_ms;
    uint64_t configuration_index;
    struct span configuration; /* borrowed until the next apply */
    uint8_t digest[DIGEST_BYTES];
    uint32_t level, schema;
    uint64_t audit_seq;
};

enum error_code fsm_open(const char *folder, bool create, struct fsm **out, struct error *error) MUST_USE;
void fsm_close(struct fsm *self);
/** Tells the store which cluster and generation it belongs to (from the log's identity, after opening and
 * when a cluster is formed or joined); written at once when it is news, no part of the digest.
 * @return ERROR_CORRUPT when it belongs to another cluster or to a later generation */
enum error_code fsm_identify(struct fsm *self, const char *cluster_id, uint64_t generation,
                             struct error *error) MUST_USE;

/** Applies consecutive entries (the first is applied index + 1) as one WriteBatch with the index and the
 * digest.
 *
 * @param results  results[i] answers entries[i]; bodies are borrowed until the next call
 * @return ERROR_BUSY: nothing written, call again with the same group; ERROR_NO_SPACE likewise; ERROR_INVALID
 * for an entry this build does not understand (higher level, unknown command): nothing of the group was
 * written and the node must stop; ERROR_CORRUPT, ERROR_IO */
enum error_code fsm_apply(struct fsm *self, const struct entry *entries, uint32_t count,
                          struct result *results, struct error *error) MUST_USE;
void fsm_describe(const struct fsm *self, struct fsm_state *out);
/** The audit records that the last group left, oldest first: each as msgpack by audit_schema, behind its
 * length (4 bytes, big-endian). Borrowed until the next group. */
struct fsm_records {
    struct span packed;
    uint32_t count;
};
struct fsm_records fsm_records(const struct fsm *self);
enum error_code fsm_flush(struct fsm *self, struct error *error) MUST_USE;
enum error_code fsm_checkpoint(struct fsm *self, const char *folder, struct error *error) MUST_USE;
/** Reads everything that is on the disk and checks its checksums. Blocks: not on the loop thread.
 * @return ERROR_CORRUPT */
enum error_code fsm_verify(struct fsm *self, struct error *error) MUST_USE;

/* --- commands --- */

/** One command type: fsm/commands.c has the table. */
struct command_type {
    uint32_t type;               /* its number in the log; never reused */
    const char *name;            /* "rollout.halt" */
    const struct schema *schema; /* of its body */
    const char *permission;      /* "rollout:write" */
    const char *safety_class;    /* "terminal", "reversible", "idempotent" or "" */
    bool urgent; /* it ends an incident: passes where the table of remembered requests refuses others */
};
const struct command_type *command_by_name(const char *name); /* NULL: unknown */
const struct command_type *command_by_type(uint32_t type);
const struct command_type *command_at(uint32_t position); /* all of them, from 0; NULL past the last */

/** Encodes one command as it stands in the log: [format, level, wall_ms, type, version, request_id,
 * principal, body, source]. Appended to `out`.
 * @param body  a struct of the type's schema, already validated
 * @param request_id  "": not remembered, for what the leader itself proposes and may repeat
 * @return ERROR_TOO_BIG past COMMAND_BYTES_MAX */
enum error_code command_encode(const struct command_type *type, const char *request_id, const char *principal,
                               uint64_t wall_ms, const void *body, struct bytes *out,
                               struct error *error) MUST_USE;
/** The same for a command that came in elsewhere than at the orchestrator's own interface: AUDIT_CLI. */
enum error_code command_encode_from(const struct command_type *type, enum audit_source source,
                                    const char *request_id, const char *principal, uint64_t wall_ms,
                                    const void *body, struct bytes *out, struct error *error) MUST_USE;
/** Sets the time (and level) of an encoded command in place: they have a fixed width and place. The leader's
 * last touch. */
void command_stamp(void *command, size_t command_bytes, uint64_t wall_ms, uint32_t level);
/** What a forwarded or stored command says of itself; the texts are in the arena. The body is checked against
 * its schema too: whoever proposes a command that came as bytes asks this first, since a committed one that
 * nobody understands stops every node. ERROR_INVALID says what is wrong. */
struct command_header {
    uint32_t level, type, version;
    uint32_t source; /* enum audit_source */
    uint64_t wall_ms;
    const char *request_id, *principal;
};
enum error_code command_inspect(struct span command, struct arena *arena, struct command_header *out,
                                struct error *error) MUST_USE;

/* --- reading: a consistent view, from any thread --- */

struct view;
/** @return NULL never; release it soon: it pins what it sees. */
struct view *view_open(struct fsm *self);
void view_close(struct view *self);
uint64_t view_index(const struct view *self);
uint64_t view_time_ms(const struct view *self);

/* Each answers ready JSON (a new reference) as interface.md shapes it; ERROR_NOT_FOUND with a sentence. */
struct page {       /* of a list */
    uint32_t limit; /* 1 .. 1,000 */
    /* Opaque text of an earlier answer; NULL: from the start; a damaged one is ERROR_INVALID. */
    const char *cursor;
};
enum error_code view_plan(struct view *self, const char *plan_id, struct json_t **out,
                          struct error *error) MUST_USE;
/** The same with the soak clocks as they stand at `now_ms`, when that is later than the view's time. */
enum error_code view_plan_at(struct view *self, const char *plan_id, uint64_t now_ms, struct json_t **out,
                             struct error *error) MUST_USE;
/** {"items": [{plan_id, phase, current_stage_id, created_at, updated_at, ...}], "next_cursor"} @param phase
 * NULL: all */
enum error_code view_plans(struct view *self, const char *phase, const struct page *page, struct json_t **out,
                           struct error *error) MUST_USE;
/** {"stuck_plans": [...]}; looks only, with the view's time or `now_ms` when later. */
enum error_code view_stuck(struct view *self, uint64_t threshold_ms, uint64_t now_ms, struct json_t **out,
                           struct error *error) MUST_USE;
/** {stage_phase, gates[] {kind, passed, detail}, manual_approved, all_passed} */
enum error_code view_gates(struct view *self, const char *plan_id, const char *stage_id, uint64_t now_ms,
                           struct json_t **out, struct error *error) MUST_USE;
/* Static properties of rollback targets, without a view (offline preview): rollback_targets() in
 * fsm/targets.h. */
/** What would happen to this resource now, and its preview_token. */
enum error_code view_preview(struct view *self, const char *target, const char *resource,
                             const char *strategy, struct json_t **out, struct error *error) MUST_USE;
enum error_code view_flag(struct view *self, const char *key, struct json_t **out,
                          struct error *error) MUST_USE;
enum error_code view_flags(struct view *self, const struct page *page, struct json_t **out,
                           struct error *error) MUST_USE;
enum error_code view_switch(struct view *self, const char *name, struct json_t **out,
                            struct error *error) MUST_USE;
enum error_code view_switches(struct view *self, const struct page *page, struct json_t **out,
                              struct error *error) MUST_USE;
/** Leadership history, newest first: [{term, node_id, name, acquired_at, ended_at, cause}]. */
enum error_code view_epochs(struct view *self, uint32_t limit, struct json_t **out,
                            struct error *error) MUST_USE;
enum error_code view_members(struct view *self, struct json_t **out, struct error *error) MUST_USE;
/** Plain structs for the node itself; ERROR_NOT_FOUND when unknown. Texts are in the arena. */
struct member_info {
    uint64_t node_id;
    const char *name, *url, *address, *version;
    uint32_t role; /* as last recorded: enum member_role's numbers */
    bool removed;
};
enum error_code view_member(struct view *self, uint64_t node_id, struct arena *arena, struct member_info *out,
                            struct error *error) MUST_USE;
enum error_code view_member_list(struct view *self, struct arena *arena, struct member_info **out,
                                 uint32_t *count, struct error *error) MUST_USE;

/** Audit records, newest first (or oldest first), `visit` returns false to stop. The record is borrowed
 * during the call. */
enum error_code view_audit(struct view *self, const struct audit_filter *filter, bool oldest_first,
                           uint64_t from_seq, bool (*visit)(void *context, const struct audit_record *record),
                           void *context, struct error *error) MUST_USE;
uint64_t view_audit_last(const struct view *self);
/** Where the trail begins: behind the anchor, if it was pruned. @return the first record's seq */
uint64_t view_audit_anchor(struct view *self, struct audit_anchor *out);
#define AUDIT_KEEP_DAYS_MAX 36500u
/** What goes: exactly one of the first three is set. The body of audit.prune. */
struct audit_prune {
    uint64_t before_seq;
    uint64_t before; /* ms */
    uint64_t keep_days;
    const char *reason;
};
/** What audit.prune would answer now: {pruned, first_seq, anchor_seq, anchor_hash, anchor_time, held_by}. */
enum error_code view_audit_prune(struct view *self, const struct audit_prune *body, struct json_t **out,
                                 struct error *error) MUST_USE;
/** The digest as it was at `index`, a multiple of FSM_DIGEST_EVERY. ERROR_NOT_FOUND when none is kept there.
 */
#define FSM_DIGEST_EVERY 1024u
enum error_code view_digest(struct view *self, uint64_t index, uint8_t out[DIGEST_BYTES],
                            struct error *error) MUST_USE;

/* --- what the leader must do next --- */

#define FSM_DEADLINE_SWEEP 1u /* pruned records wait to be deleted: soon, a bounded number a tick */
/** The state's earliest deadline (soak end, start_at, stuck threshold, request expiry, pruned records) in
 * state time; 0: none. */
uint64_t view_next_deadline_ms(struct view *self, uint64_t stuck_after_ms);
/** Actions that were requested and have no outcome yet (ha_leader_resign), oldest first. */
struct open_action {
    uint64_t index, term; /* where it was requested */
    const char *kind;     /* "failover" */
    const char *resource;
    const char *request_id;
};
enum error_code view_open_actions(struct view *self, struct arena *arena, struct open_action **out,
                                  uint32_t *count, struct error *error) MUST_USE;
