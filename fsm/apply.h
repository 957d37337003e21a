/* One command at work: what a handler may see and do. Everything else (clock, network, memory of its own) is out of reach,
 * which is what makes the state machine deterministic.
 *
 * A handler checks first and writes after; whatever it wrote is undone when it refuses, except its audit record. It
 * answers once: apply_refuse(), or apply_body() (RESULT_OK) / apply_created(). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/schema.h"
#include "fsm/audit.h"
#include "fsm/result.h"
#include "fsm/store.h"

struct apply {
    struct store *store; /* reads through it see earlier entries of the group */
    struct arena *arena; /* lives until the entry is done */
    uint64_t index, term;
    uint64_t time_ms;        /* the state's time: never runs backwards */
    const char *principal;   /* who: "oncall@example.com", "anonymous", "system" */
    const char *request_id;
    const char *source;      /* always AUDIT_SOURCE of the command: orchestrator, edge or cli */
    uint32_t code;           /* enum result_code */
    uint64_t audit_seq;      /* of the first record it left */
    struct bytes body;       /* msgpack map */
};

/** Refuses: code, one sentence in the body's `detail`. Leaves, when `resource_type` is not NULL, an audit record with outcome
 * `denied` under `event` (an attempt at a terminal action is worth its record). */
void apply_refuse(struct apply *apply, enum result_code code, const char *format, ...) PRINTF(3, 4);
/** Appends an audit record; fills in seq, index, term, timestamp, request id, hashes, and actor when NULL. */
void apply_record(struct apply *apply, const struct audit_record *record);
