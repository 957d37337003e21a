/* A sorted table of byte strings that can be copied for nothing: what a simulated store is made of.
 *
 * It is a treap whose nodes are shared between copies and never changed while shared; a key's priority comes
 * from its bytes, so the same content has the same shape whatever was done to get there. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct fake_blob { /* bytes that several tables hold */
    unsigned references;
    bool damaged; /* a bit of it has flipped since it was written: the disk's checksum says so */
    size_t bytes;
    uint8_t data[];
};
struct fake_blob *fake_blob_new(struct span content);
struct fake_blob *fake_blob_keep(struct fake_blob *blob);
void fake_blob_drop(struct fake_blob *blob);
struct span fake_blob_span(const struct fake_blob *blob);

struct fake_pair {
    struct fake_blob *key;
    struct fake_blob *value; /* NULL: deleted (in an overlay) */
};

struct fake_node;
struct fake_table { /* zero: empty */
    struct fake_node *root;
};

size_t fake_table_count(const struct fake_table *table);
/** The position of the first pair not below the key. */
size_t fake_table_lower(const struct fake_table *table, struct span key);
/** Borrowed until the table changes. */
const struct fake_pair *fake_table_at(const struct fake_table *table, size_t position);
const struct fake_pair *fake_table_find(const struct fake_table *table, struct span key);
void fake_table_put(struct fake_table *table, struct span key,
                    struct fake_blob *value); /* takes the reference */
void fake_table_remove(struct fake_table *table, struct span first,
                       struct span limit); /* first <= key < limit */
void fake_table_remove_one(struct fake_table *table, struct span key);
void fake_table_copy(struct fake_table *to, const struct fake_table *from); /* `to` is empty */
void fake_table_clear(struct fake_table *table);
