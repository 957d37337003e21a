/* SHA-256 and random bytes, both from GnuTLS. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

struct hash; /* one SHA-256 under way */
struct hash *hash_new(void) __attribute__((returns_nonnull));
void hash_update(struct hash *self, const void *data, size_t length);
/** Writes the digest and starts anew. */
void hash_finish(struct hash *self, uint8_t out[DIGEST_BYTES]);
void hash_free(struct hash *self);

void hash_once(const void *data, size_t length, uint8_t out[DIGEST_BYTES]);
uint32_t crc32c(uint32_t seed, const void *data, size_t length); /* Castagnoli; frames on the wire */

/** Unpredictable bytes: ids, never state. */
void random_bytes(void *out, size_t length);
/** 32 hex digits and a NUL. */
void random_id(char out[33]);
