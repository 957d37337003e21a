/* An ordered key-value store in a folder: RocksDB, and the only file that includes its header is kv.c.
 *
 * Two uses: the raft log (synced WAL), and the state (no WAL: the log is its WAL; durable at kv_flush only).
 * Keys and values are byte strings; keys sort as unsigned bytes. The simulator and the unit tests of
 * consensus/ link another implementation of this header, so nothing here may leak RocksDB.
 *
 * Threads: reads (kv_get, kv_scan, kv_snapshot_*) from any thread; kv_write, kv_flush and kv_checkpoint are
 * safe beside them and beside each other. A batch or overlay belongs to one thread.
 *
 * Errors: ERROR_NO_SPACE for a full disk: nothing of this batch was written. A store with a write-ahead log
 * then refuses all until kv_recover(); one without must not be closed, since that forgets what is in memory
 * only: repeat the batch, and within some seconds of there being space it is taken; ERROR_CORRUPT for bytes
 * that fail their checksum; ERROR_BUSY when `no_slowdown` met a write stall (nothing was written: repeat the
 * whole batch later); ERROR_LOCKED when another process has it open; else ERROR_IO. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

struct kv;
struct kv_batch;    /* puts and deletes, written whole or not at all */
struct kv_overlay;  /* the same, and reads through it see what it holds over what the store holds */
struct kv_snapshot; /* the store as it was at one moment */
struct kv_iterator;

/* A write-ahead log that is damaged and goes on behind the damage is ERROR_CORRUPT: RocksDB alone would
 * forget a part of it. */
struct kv_options {
    bool create; /* make it if missing; otherwise a missing store is ERROR_NOT_FOUND */
    bool wal;    /* keep a write-ahead log (the raft log does, the state doesn't) */
    bool read_only;
    bool recover_point_in_time; /* leave out a torn end of the write-ahead log that the strict mode refuses */
    size_t memory_bytes;        /* write buffers and block cache together; 0: 64 MiB */
};

enum error_code kv_open(const char *folder, const struct kv_options *options, struct kv **out,
                        struct error *error) MUST_USE;
void kv_close(struct kv *self);

/** Appends the value to `value`. @return ERROR_NOT_FOUND without setting a message when there is none.
 * @param snapshot  may be NULL: what holds now */
enum error_code kv_get(struct kv *self, const struct kv_snapshot *snapshot, struct span key,
                       struct bytes *value, struct error *error) MUST_USE;

/** After ERROR_NO_SPACE, when there is room again: closes and opens the store inside, so that it takes writes
 * again. What was reported written stays. No snapshot may be open. On failure the store stays closed: every
 * call then gives that error, and this may be tried again. */
enum error_code kv_recover(struct kv *self, struct error *error) MUST_USE;

struct kv_snapshot *kv_snapshot_take(struct kv *self);
void kv_snapshot_release(struct kv *self, struct kv_snapshot *snapshot);

struct kv_batch *kv_batch_new(void);
void kv_batch_free(struct kv_batch *batch);
void kv_batch_clear(struct kv_batch *batch);
void kv_batch_put(struct kv_batch *batch, struct span key, struct span value);
void kv_batch_delete(struct kv_batch *batch, struct span key);
/** Deletes first <= key < limit. */
void kv_batch_delete_range(struct kv_batch *batch, struct span first, struct span limit);

struct kv_write_options {
    bool sync;        /* return after it is durable; needs `wal` */
    bool no_slowdown; /* ERROR_BUSY instead of waiting for a compaction */
};
enum error_code kv_write(struct kv *self, struct kv_batch *batch, struct kv_write_options options,
                         struct error *error) MUST_USE;

struct kv_overlay *kv_overlay_new(struct kv *self);
void kv_overlay_free(struct kv_overlay *overlay);
void kv_overlay_clear(struct kv_overlay *overlay);
void kv_overlay_put(struct kv_overlay *overlay, struct span key, struct span value);
void kv_overlay_delete(struct kv_overlay *overlay, struct span key);
enum error_code kv_overlay_get(struct kv_overlay *overlay, struct span key, struct bytes *value,
                               struct error *error) MUST_USE;
/** Marks a point; kv_overlay_rollback undoes what came after the last mark, kv_overlay_keep forgets the mark.
 */
void kv_overlay_mark(struct kv_overlay *overlay);
void kv_overlay_rollback(struct kv_overlay *overlay);
void kv_overlay_keep(struct kv_overlay *overlay);
size_t kv_overlay_count(const struct kv_overlay *overlay); /* puts and deletes in it */
enum error_code kv_overlay_write(struct kv_overlay *overlay, struct kv_write_options options,
                                 struct error *error) MUST_USE; /* stays filled; clear it after success */

/* Walking in key order over first <= key < limit (an empty limit: to the end). Key and value are borrowed
 * until the next step. Always end with kv_iterator_close(), on the same thread, which reports an error met on
 * the way. */
struct kv_iterator *kv_iterate(struct kv *self, const struct kv_snapshot *snapshot, struct span first,
                               struct span limit, bool backwards);
/** The overlay must not change while it is walked. */
struct kv_iterator *kv_overlay_iterate(struct kv_overlay *overlay, struct span first, struct span limit,
                                       bool backwards);
bool kv_iterator_next(struct kv_iterator *iterator, struct span *key,
                      struct span *value); /* false: at the end */
enum error_code kv_iterator_close(struct kv_iterator *iterator, struct error *error) MUST_USE;

/** Makes everything written so far durable. Blocks: call it on a worker. */
enum error_code kv_flush(struct kv *self, struct error *error) MUST_USE;
/** A consistent copy (hard links where possible) in `folder`, which must not exist; flushes first. Blocks. */
enum error_code kv_checkpoint(struct kv *self, const char *folder, struct error *error) MUST_USE;
/** Reads every block of every file and checks its checksum. Blocks. */
enum error_code kv_verify(struct kv *self, struct error *error) MUST_USE;
uint64_t kv_disk_bytes(struct kv *self);
/** Removes a store's folder and what is in it. A missing one is ERROR_OK. */
enum error_code kv_destroy(const char *folder, struct error *error) MUST_USE;
