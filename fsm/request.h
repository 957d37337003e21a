/* Requests that took effect are remembered with their results, so a retry after a lost leader or a lost
 * answer gets the first result and changes nothing.
 *
 * They leave by the state's time, a bounded number an entry; a full table refuses what is new (503) and never
 * forgets early: forgetting would turn a retry into a second effect. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fsm/store.h"

#define REQUEST_KEEP_MS         (24ull * 60 * 60 * 1000) /* a retry later than this is a new request */
#define REQUESTS_MAX            1000000ull               /* about 400 MB of store at most */
#define REQUEST_EXPIRE_MAX      64u                      /* that one entry removes: bounds its time */
#define REQUEST_EXPIRE_TICK_MAX 1024u    /* that a tick removes beyond: it has little else to do */
#define REQUEST_DEADLINE_MS     60000ull /* expiry deadlines are rounded up to this: one tick serves many */

struct view;

struct request { /* as it is kept */
    uint64_t index, term, time_ms, audit_seq, code;
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
bool request_table_full(struct store *store);
void request_remember(struct store *store, const struct store_key *key, const struct request *request);
/** Removes what is older than REQUEST_KEEP_MS at `time_ms`, oldest first, at most `count_max` of them (which
 * is at most REQUEST_EXPIRE_TICK_MAX). */
void request_expire(struct store *store, uint64_t time_ms, uint32_t count_max);
/** When the oldest may leave, rounded up; 0: none is remembered. */
uint64_t request_next_deadline_ms(struct view *view);
