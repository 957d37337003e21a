/* clang-format off */
/* Keys and records of the state over base/kv: one column of sorted keys, one prefix a record type.
 *
 *   'm' name                             meta: applied (index, term, time, digest, audit seq and hash, counts),
 *                                        level, cluster, configuration
 *   'p' plan_id                          plan
 *   'P' phase(1) plan_id                 - (index by phase)
 *   'n' plan_id \0 node_id               a node's progress in a plan
 *   'N' plan_id \0 stage(2) node_id      - (nodes that a rollback has to bring back)
 *   'D' time(8) plan_id                  - (when a plan wants a tick)
 *   'u' recorded(1) time(8) plan_id      - (when a published or active plan last moved; is its stall recorded)
 *   'f' key                              flag
 *   'k' name                             kill switch
 *   'K' name                             - (active kill switches)
 *   'l' term(8)                          leadership epoch
 *   'b' node_id(8)                       member
 *   'r' sha256(principal \0 request_id)  remembered request
 *   'R' time(8) index(8)                 -> key of that request (expiry order)
 *   'a' seq(8)                           audit record
 *   'A' kind(1) value \0 seq(8)          - (audit indexes: category, event name, actor, resource)
 *   'o' index(8)                         open action (requested, no outcome yet)
 *   'd' index(8)                         digest at every 1,024th index
 *   'q' term(8)                          how the epoch of that term lost its quorum (reports)
 *
 * Writing happens between store_begin() and store_commit(): reads see what was written before in the same
 * group. Every put and delete of an entry also flows into the digest, in order. */
/* clang-format on */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/kv.h"
#include "base/limits.h"
#include "base/schema.h"

struct store;

#define STORE_CONFIGURATION_BYTES_MAX                                                                        \
    4096u /* a cluster configuration as it stands in the log: 15 members take 4 KiB at most */

struct store_key { /* built on the stack */
    uint8_t data[400];
    size_t length;
};
struct store_key store_key1(char prefix, struct span part);
struct store_key store_key_u64(char prefix, uint64_t number);
void store_key_append(struct store_key *key,
                      struct span part); /* aborts past its room: parts are bounded before */
void store_key_append_u8(struct store_key *key, uint8_t byte);
void store_key_append_u64(struct store_key *key, uint64_t number);
struct span store_key_span(const struct store_key *key);
/** The first key after all that begin with `key`. */
struct store_key store_key_after(const struct store_key *key);

/** Called for each key of a scan; key and value are borrowed during the call. @return false to stop */
typedef bool store_visit_fn(void *context, struct span key, struct span value);

/** What the store says of itself; written in the WriteBatch that sets the applied index, and no part of the
 * digest's stream of puts. Owned by the store: handlers change only the counts that are theirs. */
struct store_meta {
    uint32_t schema, level;
    char cluster_id[CLUSTER_ID_BYTES]; /* "" until it has one */
    uint64_t generation;
    uint64_t index, term, time_ms; /* applied */
    uint8_t digest[DIGEST_BYTES];
    uint64_t audit_seq; /* of the last record */
    uint8_t audit_hash[DIGEST_BYTES];
    uint64_t configuration_index;
    uint8_t configuration[STORE_CONFIGURATION_BYTES_MAX];
    size_t configuration_bytes;
    uint64_t request_count;       /* remembered requests */
    uint64_t member_count;        /* members that are not removed */
    uint64_t active_switch_count; /* kill switches that are active: none is the rule, and spares a scan */
    /* Not later than the first expiry of a remembered request; 0: not known, look. Kept by request.c: what
     * expired before it has left deleted keys behind, and a scan from the first key would walk over all of
     * them at every entry. */
    uint64_t next_expiry_ms;
};

/** @param create  make the folder's store if it is missing
 * @return ERROR_NOT_FOUND; ERROR_CORRUPT for a damaged one; ERROR_INVALID for one that a newer build wrote */
enum error_code store_open(const char *folder, bool create, struct store **out, struct error *error) MUST_USE;
void store_close(struct store *self);
struct kv *store_kv(struct store *self);
struct store_meta *store_meta(struct store *self);
/** The meta record as it stands in `kv` at `snapshot`; a store without one is all zero. */
enum error_code store_meta_read(struct kv *kv, const struct kv_snapshot *snapshot, struct store_meta *out,
                                struct error *error) MUST_USE;

/* --- a group: begin, then entry by entry, then commit or abandon --- */
void store_begin(struct store *self);
void store_entry_begin(struct store *self);
/** What the entry wrote so far stays, whatever is undone later. */
void store_entry_settle(struct store *self);
/** Undoes what the entry wrote since it began (or was settled), the counts of meta included. */
void store_entry_undo(struct store *self);
/** Closes the entry. @return what it put and deleted, in order, as the digest takes it; borrowed until the
 * next entry */
struct span store_entry_end(struct store *self);
/** Writes the group and the meta record as one batch. On any error nothing was written and the meta record is
 * again what it was at store_begin(): the same group may come again after ERROR_BUSY and ERROR_NO_SPACE. A
 * latched error comes out here. */
enum error_code store_commit(struct store *self, struct error *error) MUST_USE;
/** One of those puts and deletes; borrowed from `ops`. */
struct store_op {
    bool put;
    struct span key, value;
};
/** Takes the next one from the front. @return false: there is none */
bool store_op_next(struct span *ops, struct store_op *out);
/** Is it the key of an audit record? */
bool store_key_is_record(struct span key);
void store_abandon(struct store *self);
/** Writes the meta record alone, outside a group. */
enum error_code store_meta_write(struct store *self, struct error *error) MUST_USE;
/** Latches an error: the group can't be committed any more (the first one stays). */
void store_fail(struct store *self, const struct error *error);
bool store_failed(const struct store *self);

/* --- inside an entry (the loop thread); I/O errors while reading latch and come out of store_commit() --- */
void store_put(struct store *self, const struct store_key *key, struct span value);
void store_put_record(struct store *self, const struct store_key *key, const struct schema *schema,
                      const void *record);
void store_delete(struct store *self, const struct store_key *key);
/** A put that is no part of the digest: what is derived from the digest itself. */
void store_put_aside(struct store *self, const struct store_key *key, struct span value);
/** @return false: not there (or a latched error). The value is appended. */
bool store_get(struct store *self, const struct store_key *key, struct bytes *value);
bool store_get_record(struct store *self, const struct store_key *key, const struct schema *schema,
                      struct arena *arena, void *record);
/** Unpacks a value met in a scan; one that doesn't fit its schema latches ERROR_CORRUPT. */
bool store_unpack(struct store *self, const struct schema *schema, struct span value, struct arena *arena,
                  void *record);
/** Visits keys that begin with `prefix`, in order (or backwards); stops when `visit` returns false. `visit`
 * must not write: gather keys in the arena first, write after the scan. */
void store_scan(struct store *self, const struct store_key *prefix, bool backwards, store_visit_fn *visit,
                void *context);
/** The same for first <= key < limit. */
void store_scan_range(struct store *self, const struct store_key *first, const struct store_key *limit,
                      bool backwards, store_visit_fn *visit, void *context);

/* the same for readers at a view: fsm/view.h */
