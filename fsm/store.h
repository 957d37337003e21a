/* Keys and records of the state over base/kv: one column of sorted keys, one prefix a record type.
 *
 *   key                                    value
 *   'm' name                               meta: applied (index, term, time, digest, audit seq and hash, counts), level, cluster,
 *                                          configuration
 *   'p' plan_id                            plan
 *   'P' phase(1) plan_id                   - (index by phase)
 *   'n' plan_id \0 node_id                 a node's progress in a plan
 *   'f' key                                flag
 *   'k' name                               kill switch
 *   'l' term(8)                            leadership epoch
 *   'b' node_id(8)                         member
 *   'r' sha256(principal \0 request_id)    remembered request
 *   'R' time(8) index(8)                   -> key of that request (expiry order)
 *   'a' seq(8)                             audit record
 *   'A' kind(1) value \0 seq(8)            - (audit indexes: category, event name, actor, resource)
 *   'o' index(8)                           open action (requested, no outcome yet)
 *   'd' index(8)                           digest at every 1,024th index
 *
 * Writing happens between store_begin() and store_commit(): reads see what was written before in the same group. Every
 * put and delete of an entry also flows into the digest, in order. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/kv.h"
#include "base/schema.h"

struct store;

struct store_key { /* built on the stack */
    uint8_t data[400];
    size_t length;
};
struct store_key store_key1(char prefix, struct span part);
struct store_key store_key_u64(char prefix, uint64_t number);
void store_key_append(struct store_key *key, struct span part); /* aborts past its room: parts are bounded before */
void store_key_append_u8(struct store_key *key, uint8_t byte);
void store_key_append_u64(struct store_key *key, uint64_t number);
struct span store_key_span(const struct store_key *key);
/** The first key after all that begin with `key`. */
struct store_key store_key_after(const struct store_key *key);

enum error_code store_open(const char *folder, bool create, struct store **out, struct error *error) MUST_USE;
void store_close(struct store *self);
struct kv *store_kv(struct store *self);

/* inside a group (the loop thread); I/O errors while reading latch and come out of store_commit() */
void store_put(struct store *self, const struct store_key *key, struct span value);
void store_put_record(struct store *self, const struct store_key *key, const struct schema *schema, const void *record);
void store_delete(struct store *self, const struct store_key *key);
/** @return false: not there (or a latched error). */
bool store_get(struct store *self, const struct store_key *key, struct bytes *value);
bool store_get_record(struct store *self, const struct store_key *key, const struct schema *schema, struct arena *arena,
                      void *record);
/** Visits keys that begin with `prefix`, in order (or backwards); stops when `visit` returns false. */
void store_scan(struct store *self, const struct store_key *prefix, bool backwards,
                bool (*visit)(void *context, struct span key, struct span value), void *context);

/* the same for readers at a view: fsm/view.h */
