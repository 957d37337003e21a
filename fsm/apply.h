/* One command at work: what a handler may see and do. Everything else (clock, network, memory of its own) is
 * out of reach, which is what makes the state machine deterministic.
 *
 * A handler checks first and writes after; whatever it wrote is undone when it refuses, except the `denied`
 * record of what it named with apply_attempt(). It answers once: apply_refuse(), or a body built with
 * apply_answer() (RESULT_OK) or apply_created(). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/schema.h"
#include "fsm/audit.h"
#include "fsm/result.h"
#include "fsm/store.h"

/** An answer that is remembered: four times what one command may hold. A longer one is replaced by a sentence
 * that says so: user input must not stop a node. */
#define RESULT_BODY_BYTES_MAX (256u * 1024u)

struct apply {
    struct store *store; /* reads through it see earlier entries of the group */
    struct arena *arena; /* lives until the entry is done */
    uint64_t index, term;
    uint64_t time_ms;            /* the state's time: never runs backwards */
    uint32_t level;              /* of behaviour, as committed */
    const char *principal;       /* who: "oncall@example.com", "anonymous", "system" */
    const char *request_id;      /* "" for a command that isn't remembered */
    uint32_t source;             /* enum audit_source: where the command came in */
    uint32_t code;               /* enum result_code; RESULT_OK unless something else is said */
    uint64_t audit_seq;          /* of the first record it left */
    struct bytes body;           /* the answer: a msgpack map with text keys */
    struct audit_record attempt; /* see apply_attempt() */
};

/** Carries one command out. @param body  a struct of the command's schema, in the arena */
typedef void command_handler(struct apply *apply, const void *body);

/** Says what the command tries: under this name apply_refuse() leaves a record with outcome `denied` (an
 * attempt at a terminal action is worth its record). Without it a refusal leaves no record. The texts live as
 * long as the entry. Fields may be added to apply->attempt afterwards (approver, fields). */
void apply_attempt(struct apply *apply, enum audit_category category, const char *event_name,
                   const char *action, const char *resource_type, const char *resource, const char *reason);
/** Refuses: code, and one sentence as the body's `detail`. Nothing that the handler wrote remains. */
void apply_refuse(struct apply *apply, enum result_code code, const char *format, ...) PRINTF(3, 4);
/** The same with one more member of the body: apply_refuse_with(apply, code, "phase", "rolled_back", ...). */
void apply_refuse_with(struct apply *apply, enum result_code code, const char *key, const char *value,
                       const char *format, ...) PRINTF(5, 6);
/** Has a refusal been said? Helpers that may refuse return bool; this is for the rest. */
bool apply_refused(const struct apply *apply);

/** The answer's body, empty: begin with value_map(body, pairs). */
struct bytes *apply_answer(struct apply *apply);
/** The same with RESULT_CREATED. */
struct bytes *apply_created(struct apply *apply);

/** Appends an audit record; fills in seq, index, term, timestamp, source, request id, hashes, and actor when
 * NULL. */
void apply_record(struct apply *apply, const struct audit_record *record);
/** Says that what stands in the state contradicts itself: nothing of the group is written, fsm_apply()
 * answers ERROR_CORRUPT and the node stops. The handler may go on or return. */
void apply_damaged(struct apply *apply, const char *format, ...) PRINTF(2, 3);
/** Records that what apply_attempt() named is done. */
void apply_record_attempt(struct apply *apply, struct field_pair *fields, size_t field_count);
/** A number as text, for a record's fields; lives as long as the entry. */
const char *apply_number(struct apply *apply, uint64_t number);
/** A reader (fsm/view.h) of the state as this handler sees it. */
struct reader;
struct reader apply_reader(struct apply *apply);
