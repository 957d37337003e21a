/* Requests that took effect are remembered with their results, so a retry after a lost leader or a lost
 * answer gets the first result and changes nothing.
 *
 * They leave by the state's time, a bounded number an entry; a full table refuses what is new (503) and never
 * forgets early: forgetting would turn a retry into a second effect. Two things keep it from filling up when
 * it is needed most (docs/decisions/0009): an id that a node made for a client without one is kept for two
 * minutes only, and the last rows are for the commands that end an incident. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fsm/fsm.h"
#include "fsm/store.h"

#define REQUEST_KEEP_MS         (24ull * 60 * 60 * 1000) /* a retry later than this is a new request */
/* The same for an id that a node made: it begins with REQUEST_ID_NODE. Twice the longest deadline. */
#define REQUEST_KEEP_NODE_MS    (2ull * 60 * 1000)
#define REQUESTS_MAX            1000000ull /* about 400 MB of store at most */
#define REQUESTS_RESERVED       50000ull   /* of these, for urgent commands */
#define REQUEST_EXPIRE_MAX      64u        /* that one entry removes: bounds its time */
#define REQUEST_EXPIRE_TICK_MAX 1024u      /* that a tick removes beyond: it has little else to do */
#define REQUEST_DEADLINE_MS     60000ull   /* expiry deadlines are rounded up to this: one tick serves many */

struct view;

struct request { /* as it is kept */
    uint64_t index, term;
    uint64_t expires_ms; /* in state time */
    uint64_t audit_seq, code;
    struct span body_hash; /* SHA-256 of what was asked */
    struct span body;      /* the answer */
};

enum request_state {
    REQUEST_NEW,
    REQUEST_KNOWN,  /* `out` is what it gave */
    REQUEST_REUSED, /* known, with another body */
};

struct store_key request_key(const char *principal, const char *request_id);
/** The hash of what is asked: type, version and body; who and when are no part of it. */
void request_hash(uint32_t type, uint32_t version, struct span body, uint8_t out[DIGEST_BYTES]);
enum request_state request_find(struct store *store, struct arena *arena, const struct store_key *key,
                                const uint8_t body_hash[DIGEST_BYTES], struct request *out);
/** When a request of this id may be forgotten. */
uint64_t request_expires_ms(const char *request_id, uint64_t time_ms);
/** @param urgent  may it take one of the last rows? */
bool request_table_full(struct store *store, bool urgent);
void request_remember(struct store *store, const struct store_key *key, const struct request *request);
/** Removes what has expired at `time_ms`, the earliest first, at most `count_max` of them (which is at most
 * REQUEST_EXPIRE_TICK_MAX). */
void request_expire(struct store *store, uint64_t time_ms, uint32_t count_max);
/** When the next may leave, rounded up; 0: none is remembered. */
uint64_t request_next_deadline_ms(struct view *view);
