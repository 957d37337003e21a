/* Pruning: audit.prune moves the anchor, the ticks after it delete what lies before.
 *
 * The anchor says where the trail begins and what the record before had as its hash, so that what is left
 * verifies as it did. What lies before it is out of sight at once; its rows leave a bounded number a tick, so
 * that no entry holds up the others.
 *
 * Invariants:
 *   (1) the anchor only moves forwards, and never past what is to stay: the newest AUDIT_KEEP_MIN records,
 *       and what open plans, active kill switches and open actions have left since they began;
 *   (2) rows up to `swept_seq` are gone, those behind the anchor are all there;
 *   (3) the record that an anchor came with lies behind it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "fsm/audit_store.h"
#include "fsm/commands.h"
#include "fsm/kill_switch.h"
#include "fsm/leadership.h"
#include "fsm/plan_internal.h"

#define DAY_MS        (24ull * 3600u * 1000u)
#define SCRATCH_BYTES (64u * 1024u * 1024u) /* ids of OPEN_PLANS_MAX plans, and one record */

struct anchor_row {
    uint64_t seq;
    struct span hash;
    uint64_t count, timestamp, pruned_ms, record_seq, swept_seq;
};
static const struct field anchor_fields[] = {
    ROW(anchor_row, seq, FIELD_U64, .required = true, .min = 1),
    ROW(anchor_row, hash, FIELD_BLOB, .required = true, .min = DIGEST_BYTES, .max = DIGEST_BYTES),
    ROW(anchor_row, count, FIELD_U64),
    ROW(anchor_row, timestamp, FIELD_TIME),
    ROW(anchor_row, pruned_ms, FIELD_TIME),
    ROW(anchor_row, record_seq, FIELD_U64),
    ROW(anchor_row, swept_seq, FIELD_U64),
};
const struct schema audit_anchor_schema = SCHEMA("audit anchor", struct anchor_row, anchor_fields);

static const struct field prune_fields[] = {
    ROW(audit_prune, before_seq, FIELD_U64, .help = "records before this one go"),
    ROW(audit_prune, before, FIELD_TIME, .help = "records of before that time go"),
    ROW(audit_prune, keep_days, FIELD_U64, .max = AUDIT_KEEP_DAYS_MAX, .help = "records older than that go"),
    ROW(audit_prune, reason, FIELD_TEXT, .required = true, .max = REASON_BYTES_MAX),
};
const struct schema audit_prune_schema = SCHEMA("prune", struct audit_prune, prune_fields);

/* --- the anchor --- */

static struct store_key anchor_key(void)
{
    return store_key1('m', span_text("audit"));
}

bool audit_anchor_read(struct reader reader, struct audit_anchor *out)
{
    struct arena arena;
    struct anchor_row row;
    const struct store_key key = anchor_key();
    arena_init(&arena, 64u * 1024u);
    *out = (struct audit_anchor){0};
    const bool there = reader_get_record(reader, &key, &audit_anchor_schema, &arena, &row);
    if (there) {
        *out = (struct audit_anchor){.seq = row.seq,
                                     .count = row.count,
                                     .timestamp = row.timestamp,
                                     .pruned_ms = row.pruned_ms,
                                     .record_seq = row.record_seq,
                                     .swept_seq = row.swept_seq};
        memcpy(out->hash, row.hash.data, DIGEST_BYTES);
    }
    arena_done(&arena);
    return there;
}

static void anchor_put(struct store *store, const struct audit_anchor *anchor)
{
    const struct store_key key = anchor_key();
    CHECK(anchor->swept_seq <= anchor->seq, "(2) swept to %" PRIu64 " of %" PRIu64, anchor->swept_seq,
          anchor->seq);
    store_put_record(store, &key, &audit_anchor_schema,
                     &(struct anchor_row){.seq = anchor->seq,
                                          .hash = span_of(anchor->hash, DIGEST_BYTES),
                                          .count = anchor->count,
                                          .timestamp = anchor->timestamp,
                                          .pruned_ms = anchor->pruned_ms,
                                          .record_seq = anchor->record_seq,
                                          .swept_seq = anchor->swept_seq});
}

uint64_t view_audit_anchor(struct view *self, struct audit_anchor *out)
{
    (void)audit_anchor_read(view_reader(self), out);
    return out->seq + 1;
}

/* --- what has to stay --- */

struct held {
    struct reader reader;
    struct arena *arena;
    uint64_t first, end; /* the trail: first <= seq < end */
    uint64_t limit;      /* no record from it on may go */
    const char *by;      /* because of this */
};

static void hold(struct held *held, uint64_t seq, const char *by)
{
    if (seq >= held->limit)
        return;
    held->limit = seq;
    held->by = by;
}

static void hold_since(struct held *held, uint64_t time_ms, const char *by)
{
    hold(held, audit_seq_at(held->reader, held->first, held->limit, time_ms), by);
}

struct plan_ids {
    struct arena *arena;
    const char *ids[AUDIT_OPEN_PLANS_MAX];
    uint32_t count;
    bool more;
};

static bool gather_id(void *context, struct span key, struct span value)
{
    struct plan_ids *plans = context;
    (void)value;
    plans->more = plans->count == AUDIT_OPEN_PLANS_MAX;
    if (!plans->more)
        plans->ids[plans->count++] = arena_text(plans->arena, (const char *)key.data + 2, key.bytes - 2);
    return !plans->more;
}

/* @return false: there are too many to look at in one command */
static bool hold_for_plans(struct held *held)
{
    static const enum plan_phase open_phases[] = {PLAN_PUBLISHED, PLAN_ACTIVE, PLAN_PAUSED};
    struct plan_ids *plans = arena_new(held->arena, sizeof *plans);
    plans->arena = held->arena;
    for (size_t i = 0; i < sizeof open_phases / sizeof open_phases[0] && !plans->more; i++) {
        const struct store_key prefix = plan_phase_key(open_phases[i], "");
        reader_scan(held->reader, &prefix, false, gather_id, plans);
    }
    for (uint32_t i = 0; i < plans->count; i++) {
        const uint64_t seq = audit_first_of(held->reader, plans->ids[i], held->first);
        if (seq != 0 && seq < held->limit)
            hold(held, seq, arena_printf(held->arena, "plan %s is open", plans->ids[i]));
    }
    return !plans->more;
}

struct switch_names {
    struct arena *arena;
    const char *names[KILL_SWITCHES_MAX];
    uint32_t count;
};

static bool gather_switch(void *context, struct span key, struct span value)
{
    struct switch_names *names = context;
    (void)value;
    names->names[names->count++] = arena_text(names->arena, (const char *)key.data + 1, key.bytes - 1);
    return names->count < KILL_SWITCHES_MAX;
}

static void hold_for_switches(struct held *held)
{
    struct switch_names *names = arena_new(held->arena, sizeof *names);
    const struct store_key active = store_key1('K', span_of(NULL, 0));
    names->arena = held->arena;
    reader_scan(held->reader, &active, false, gather_switch, names);
    for (uint32_t i = 0; i < names->count; i++) {
        struct kill_switch self;
        if (kill_switch_read(held->reader, names->names[i], held->arena, &self))
            hold_since(held, self.activated_ms,
                       arena_printf(held->arena, "kill switch %s is active", self.name));
    }
}

static bool action_visit(void *context, struct span key, struct span value)
{
    struct held *held = context;
    struct action action;
    (void)key;
    if (reader_unpack(held->reader, &action_schema, value, held->arena, &action))
        hold_since(held, action.time_ms, "a failover has no outcome yet");
    return false; /* the oldest; at most one is open */
}

static bool find_held(struct held *held)
{
    const struct store_key actions = store_key1('o', span_of(NULL, 0));
    hold_for_switches(held);
    reader_scan(held->reader, &actions, false, action_visit, held);
    return hold_for_plans(held);
}

/* --- what would go --- */

struct cut {
    struct audit_anchor before, after; /* after.seq == before.seq: nothing goes */
    const char *by;                    /* what kept it from going further; NULL: nothing */
};

static uint64_t asked_limit(struct held *held, const struct audit_prune *body, uint64_t now_ms)
{
    uint64_t time_ms = body->before;
    if (body->before_seq != 0)
        return body->before_seq;
    if (body->keep_days != 0)
        time_ms = now_ms > body->keep_days * DAY_MS ? now_ms - body->keep_days * DAY_MS : 1;
    return audit_seq_at(held->reader, held->first, held->end, time_ms);
}

static bool take_record(struct held *held, uint64_t seq, struct audit_record *out)
{
    const struct store_key key = store_key_u64('a', seq);
    return reader_get_record(held->reader, &key, &audit_schema, held->arena, out);
}

/* @return RESULT_OK, or why not */
static enum result_code find_cut(struct reader reader, struct arena *arena, const struct audit_prune *body,
                                 struct cut *out, const char **why)
{
    const struct store_meta *meta = reader_meta(reader);
    struct held held = {.reader = reader, .arena = arena, .end = meta->audit_seq + 1};
    struct audit_record last;
    *out = (struct cut){0};
    if ((body->before_seq != 0) + (body->before != 0) + (body->keep_days != 0) != 1) {
        *why = "exactly one of before_seq, before and keep_days says what goes";
        return RESULT_INVALID;
    }
    (void)audit_anchor_read(reader, &out->before);
    out->after = out->before;
    held.first = out->before.seq + 1;
    held.limit = asked_limit(&held, body, meta->time_ms);
    hold(&held, held.end > AUDIT_KEEP_MIN ? held.end - AUDIT_KEEP_MIN : 1, AUDIT_KEEP_TEXT);
    if (!find_held(&held)) {
        *why = arena_printf(arena, "more than %u plans are open; prune when fewer are", AUDIT_OPEN_PLANS_MAX);
        return RESULT_TOO_MANY;
    }
    out->by = held.by;
    if (held.limit <= held.first || !take_record(&held, held.limit - 1, &last))
        return RESULT_OK;
    out->after.seq = last.seq;
    memcpy(out->after.hash, last.hash.data, DIGEST_BYTES);
    out->after.timestamp = last.timestamp;
    out->after.count = last.seq - out->before.seq;
    return RESULT_OK;
}

/* --- the command --- */

static void record(struct apply *apply, const struct cut *cut)
{
    char time[TIME_TEXT_BYTES], hash[2 * DIGEST_BYTES + 1];
    const struct audit_anchor *anchor = &cut->after;
    time_format(anchor->timestamp, time);
    hex_encode(anchor->hash, DIGEST_BYTES, hash);
    struct field_pair fields[] = {
        {"anchor_hash", hash}, {"anchor_seq", apply_number(apply, anchor->seq)},
        {"anchor_time", time}, {"count", apply_number(apply, anchor->count)},
        {"held_by", cut->by},
    };
    const size_t count = sizeof fields / sizeof fields[0];
    apply_record_attempt(apply, fields, cut->by ? count : count - 1);
}

static void answer(struct bytes *body, const struct cut *cut)
{
    char hash[2 * DIGEST_BYTES + 1];
    const struct audit_anchor *anchor = &cut->after;
    const bool any = anchor->seq != 0;
    hex_encode(anchor->hash, DIGEST_BYTES, hash);
    value_map(body, 6);
    value_u64(body, "pruned", anchor->seq - cut->before.seq);
    value_u64(body, "first_seq", anchor->seq + 1);
    value_u64(body, "anchor_seq", anchor->seq);
    value_text(body, "anchor_hash", any ? hash : NULL);
    value_time(body, "anchor_time", anchor->timestamp);
    value_text(body, "held_by", cut->by);
}

static void prune(struct apply *apply, const void *data)
{
    const struct audit_prune *body = data;
    struct cut cut;
    const char *why = "";
    apply_attempt(apply, AUDIT_SYSTEM, AUDIT_PRUNED_EVENT, "prune", "audit_trail", "audit", body->reason);
    const enum result_code code = find_cut(apply_reader(apply), apply->arena, body, &cut, &why);
    if (code != RESULT_OK) {
        apply_refuse(apply, code, "%s", why);
        return;
    }
    if (cut.after.seq > cut.before.seq) {
        record(apply, &cut);
        cut.after.pruned_ms = apply->time_ms;
        cut.after.record_seq = apply->audit_seq;
        CHECK(cut.after.record_seq > cut.after.seq, "(3) record %" PRIu64 " prunes up to %" PRIu64,
              cut.after.record_seq, cut.after.seq);
        anchor_put(apply->store, &cut.after);
    }
    answer(apply_answer(apply), &cut);
}

enum error_code view_audit_prune(struct view *self, const struct audit_prune *body, struct json_t **out,
                                 struct error *error)
{
    struct cut cut;
    struct arena arena;
    struct bytes packed;
    const char *why = "";
    arena_init(&arena, SCRATCH_BYTES);
    bytes_init(&packed, 0);
    const enum result_code result = find_cut(view_reader(self), &arena, body, &cut, &why);
    enum error_code code = view_result(self, error);
    if (code == ERROR_OK && result != RESULT_OK)
        code = error_set(error, ERROR_INVALID, "%s", why);
    if (code == ERROR_OK) {
        answer(&packed, &cut);
        code = value_to_json(bytes_span(&packed), out, error);
    }
    bytes_done(&packed);
    arena_done(&arena);
    return code;
}

/* --- deleting --- */

void audit_sweep(struct apply *apply)
{
    struct audit_anchor anchor;
    if (!audit_anchor_read(apply_reader(apply), &anchor) || anchor.swept_seq == anchor.seq)
        return;
    for (uint32_t i = 0; i < AUDIT_SWEEP_MAX && anchor.swept_seq < anchor.seq; i++)
        audit_remove(apply->store, ++anchor.swept_seq);
    if (!store_failed(apply->store))
        anchor_put(apply->store, &anchor);
}

uint64_t audit_next_deadline_ms(struct view *view)
{
    struct audit_anchor anchor;
    (void)audit_anchor_read(view_reader(view), &anchor);
    return anchor.swept_seq < anchor.seq ? FSM_DEADLINE_SWEEP : 0;
}

const struct command_entry audit_commands[] = {
    {{.type = 80,
      .name = "audit.prune",
      .schema = &audit_prune_schema,
      .permission = "audit:prune",
      .safety_class = "terminal"},
     prune},
};
const size_t audit_command_count = sizeof audit_commands / sizeof audit_commands[0];
