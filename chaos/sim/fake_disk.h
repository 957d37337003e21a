/* base/disk.h and base/kv.h in memory: stores and small files that survive being closed and opened, keyed by
 * their path.
 *
 * A store has a synced part and batches that were written after it. A crash loses those, or all but the
 * oldest few of them (a torn end); handles that were open then answer ERROR_IO. Small files are durable when
 * their write returns, as on a real disk. For stores without a write-ahead log what counts is the last
 * kv_flush() or clean close.
 *
 * One thread. A prefix names every path that begins with it: "/n1/" is all of node n1. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/** Forgets all stores, files and faults. Handles must be closed. */
void fake_disk_reset(void);
/** Loses what isn't durable, but for the `survive` oldest unsynced batches of each store. */
void fake_disk_crash(const char *prefix, uint64_t survive);
/** The same, and of stores without a write-ahead log the `unlogged` oldest batches survive: they were flushed
 * by the store itself before. */
void fake_disk_crash_flushed(const char *prefix, uint64_t survive, uint64_t unlogged);
/** Flips a bit of one stored value, chosen by `draw`; the store may be open. The disk's checksum tells: who
 * reads it gets ERROR_CORRUPT. @return false: nothing is stored there */
bool fake_disk_damage(const char *store, uint64_t draw);
bool fake_disk_is_damaged(const char *store); /* still */
/** What the disk of these paths still holds, from now on; UINT64_MAX: no end. Writes past it are
 * ERROR_NO_SPACE. */
void fake_disk_space(const char *prefix, uint64_t free_bytes);
/** Fails the next `count` synced writes and flushes with `code`. */
void fake_disk_fail_syncs(const char *prefix, unsigned count, enum error_code code);
/** Fails the next `count` writes of small files with ERROR_IO. */
void fake_disk_fail_small(const char *prefix, unsigned count);
uint64_t fake_disk_syncs(const char *prefix);    /* synced writes and flushes that succeeded */
uint64_t fake_disk_unsynced(const char *prefix); /* batches that a crash would lose now */

/* For tests that damage what is stored. */
bool fake_disk_flip_bit(const char *store, const void *key, size_t key_bytes,
                        size_t at); /* false: no such value */
bool fake_disk_delete_key(const char *store, const void *key, size_t key_bytes);
bool fake_disk_delete_small(const char *path);
