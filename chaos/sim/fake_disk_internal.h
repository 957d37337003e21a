/* What fake_disk.c and fake_kv.c share. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "chaos/sim/fake_table.h"

enum fake_change_kind { FAKE_PUT, FAKE_DELETE, FAKE_DELETE_RANGE };
struct fake_change {
    enum fake_change_kind kind;
    struct fake_blob *key;
    struct fake_blob *other; /* value or limit */
};
struct fake_changes { /* one batch */
    struct fake_change *items;
    size_t count, capacity;
    size_t bytes;
};
void fake_changes_add(struct fake_changes *changes, enum fake_change_kind kind, struct span key,
                      struct span other);
void fake_changes_apply(const struct fake_changes *changes, struct fake_table *table);
void fake_changes_clear(struct fake_changes *changes);

struct fake_store {
    struct fake_store *next;
    char *path;
    bool wal;
    bool open, exists;
    bool refusing;     /* met a full disk; refuses until it is recovered */
    unsigned refusals; /* that it still gives */
    unsigned crashes;  /* handles from before the last one are dead */
    struct fake_table live, durable;
    struct fake_table
        *unsynced; /* the store as it was after each batch that a crash may lose, oldest first */
    size_t unsynced_count, unsynced_capacity;
    uint64_t syncs;
};
struct fake_store *fake_store_get(const char *path, bool make);
void fake_store_write(struct fake_store *store, const struct fake_changes *changes);
void fake_store_sync(struct fake_store *store);
void fake_store_remove(const char *path);
/** Takes space and meets faults, for one write of `bytes`. */
enum error_code fake_disk_admit(const char *path, size_t bytes, bool sync, struct error *error) MUST_USE;

/* Hooks for planted bugs (fake_mutants.c). */
/** @return true: it has written, in its own way */
bool fake_mutant_write(struct fake_store *store, const struct fake_changes *changes, bool sync);
/** @param before  what was durable before this sync */
void fake_mutant_synced(struct fake_store *store, const struct fake_table *before);
