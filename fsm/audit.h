/* The audit trail: every committed change leaves a record, chained by hash. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/schema.h"

enum audit_category {
    AUDIT_ROLLOUT,
    AUDIT_HA,
    AUDIT_RELAY,
    AUDIT_CERT,
    AUDIT_AUTH,
    AUDIT_SYSTEM,
    AUDIT_ROLLBACK,
    AUDIT_FLAGS,
    AUDIT_CATEGORY_COUNT
};
enum audit_outcome { AUDIT_SUCCESS, AUDIT_FAILURE, AUDIT_DENIED, AUDIT_PENDING, AUDIT_OUTCOME_COUNT };
enum audit_source { AUDIT_ORCHESTRATOR, AUDIT_EDGE, AUDIT_CLI, AUDIT_SOURCE_COUNT };

struct audit_record {
    uint64_t seq; /* from 1, without a gap */
    uint64_t index, term;
    uint64_t timestamp; /* ms; JSON: RFC 3339 */
    uint32_t category, outcome, source;
    const char *event_name; /* "rollout.recovered" */
    const char *action;     /* the verb: "recover" */
    const char *actor, *approver, *reason;
    const char *resource_type, *resource; /* "rollout_plan", "p-7" */
    const char *request_id;
    struct field_pair *fields;
    size_t field_count;
    struct span prev_hash,
        hash; /* SHA-256; hash covers the msgpack of all fields before it, in table order */
};

extern const struct schema audit_schema;

/** "rollout", "success", "cli": as they stand in JSON. */
const char *audit_category_name(uint32_t category);
const char *audit_outcome_name(uint32_t outcome);
const char *audit_source_name(uint32_t source);

/** The record's hash: over its msgpack form without `hash` (its prev_hash included). */
void audit_hash(const struct audit_record *record, uint8_t out[DIGEST_BYTES]);

#define AUDIT_PRUNED_EVENT "system.audit.pruned" /* its fields: the anchor */

/** What stood before the first record of a trail that was pruned; all zero: it begins with record 1. */
struct audit_anchor {
    uint64_t seq; /* of the last record that is gone */
    uint8_t hash[DIGEST_BYTES];
    uint64_t count;      /* records that went with it */
    uint64_t timestamp;  /* of that record */
    uint64_t pruned_ms;  /* when */
    uint64_t record_seq; /* of the record about it */
    uint64_t swept_seq;  /* up to it they have left the store, too */
};
/** The anchor that a record tells of; `swept_seq` stays 0. @return false: it is no record of a prune */
bool audit_anchor_of(const struct audit_record *record, struct audit_anchor *out);

/* Verifying a chain, record by record, from wherever it comes (store, HTTP, a directory of JSON lines). */
struct audit_chain {
    uint64_t seq;               /* of the last good record */
    uint8_t hash[DIGEST_BYTES]; /* its hash */
    uint64_t records;           /* looked at */
    bool anchored;              /* the first record's predecessor is known */
};
/** Begins behind an anchor; with one of seq 0, at record 1. */
void audit_chain_begin(struct audit_chain *chain, const struct audit_anchor *anchor);
/** @return ERROR_CORRUPT naming the first record that doesn't fit and why: gap, hash, link. */
enum error_code audit_chain_next(struct audit_chain *chain, const struct audit_record *record,
                                 struct error *error) MUST_USE;

/** What `audit query` filters by; every set field must match. */
struct audit_filter {
    const char *category, *event_type, *actor, *outcome, *source, *resource;
    uint64_t start_ms, end_ms; /* inclusive; 0: open */
};
/** @return ERROR_INVALID for an unknown category, outcome or source. */
enum error_code audit_filter_check(const struct audit_filter *filter, struct error *error) MUST_USE;
bool audit_filter_match(const struct audit_filter *filter, const struct audit_record *record);
