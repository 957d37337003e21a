/* Entries, term and vote, identity and marks, in a RocksDB instance of its own with a synced WAL.
 *
 * Appends are operations: numbered, queued, gathered; one worker job writes and syncs all that gathered as
 * one batch. So one sync covers what came while the last one ran (group commit), and the loop never waits.
 * Term and vote are written at once.
 *
 * Invariants, checked by log_check():
 *   (1) indexes are consecutive from first_index to last_index; terms never fall;
 *   (2) an operation is "delete everything from its index on, then put": operations become durable in their
 * order; (3) durable() is the last index before the first cached entry whose operation is not yet synced
 * (R3); (4) term and vote are one record, written in one sync; it may overtake queued appends, never the
 * reverse; (5) the mark (outside this store's WAL) never names more than what was synced here.
 *
 * Opening checks: WAL recovery mode 0 first; where it refuses, mode 2 on a copy, accepted only when nothing
 * valid follows and the mark is covered. A log that ends before its mark, has a hole, a falling term or a
 * damaged record: ERROR_CORRUPT, with the exact command to go on in the message.
 *
 * Threads: the loop thread; the worker touches only the batch it was handed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/entry.h"
#include "base/error.h"
#include "base/histogram.h"
#include "base/limits.h"
#include "base/worker.h"
#include "consensus/machine.h"
#include "consensus/wire.h"

struct log;

/** Entries kept in memory for sending; older ones are read back by log_read(). */
#define LOG_CACHE_BYTES_MAX (64u * 1024u * 1024u)

struct log_snapshot {
    uint64_t index, term; /* the last entry it covers; 0: none */
    uint64_t configuration_index;
    uint8_t configuration[4096];
    size_t configuration_bytes;
};

struct log_options {
    const char *folder;
    struct worker *worker; /* the log thread */
    struct clock clock;
    uint64_t reserve_bytes;
    /** Everything up to operation `operation` is durable: claim it (R3). */
    void (*on_synced)(void *context, uint64_t operation);
    /** Final: a write or sync failed for another reason than space. */
    void (*on_failed)(void *context, const struct error *error);
    void *context;
};

enum error_code log_open(const struct log_options *options, struct log **out, struct error *error) MUST_USE;
void log_close(struct log *self); /* waits for what is queued, writes the mark, frees */

/* identity: made when the folder is made; start_counter was raised, durably, by log_open */
void log_identity(const struct log *self, struct wire_identity *out); /* cluster_id "" until adopted */
enum error_code log_adopt(struct log *self, const char *cluster_id, uint64_t generation,
                          struct error *error) MUST_USE;
const char *log_state_folder(const struct log *self);

/* term and vote */
uint64_t log_term(const struct log *self);
uint64_t log_vote(const struct log *self);
/** Writes and syncs both before return. @param vote  node id, 0: none */
enum error_code log_vote_write(struct log *self, uint64_t term, uint64_t vote, struct error *error) MUST_USE;

/* entries */
uint64_t log_first_index(const struct log *self); /* 1 at first; last_index + 1 when empty */
uint64_t log_last_index(const struct log *self);
uint64_t log_durable_index(const struct log *self);
/** 0 when the index is neither in the log nor the snapshot's. Kept in memory for every index. */
uint64_t log_term_of(const struct log *self, uint64_t index);
/** The last ENTRY_CHANGE at or before `index`: its index (0: none in the log) and payload (appended to
 * `payload` if not NULL). */
uint64_t log_change_before(const struct log *self, uint64_t index, struct bytes *payload);
/** Replaces everything from `entries[0].index` on. Data is copied. @return the operation's number. */
uint64_t log_append(struct log *self, const struct entry *entries, uint32_t count);
uint64_t log_queued_bytes(const struct log *self);
/** Borrowed from the cache until the next log_append or turn; false: not in the cache, use log_read. */
bool log_cached(const struct log *self, uint64_t index, struct entry *out);
/** Reads up to `count` consecutive entries (at most FRAME_BYTES_MAX / 2 bytes together, at least one) from
 * cache or disk, into memory that the caller frees with log_entries_free. Blocks on the disk for entries
 * outside the cache. */
enum error_code log_read(struct log *self, uint64_t index, uint32_t count, struct entry **entries,
                         uint32_t *entry_count, struct error *error) MUST_USE;
void log_entries_free(struct entry *entries, uint32_t count);
/** The same on the log's worker; `done` on the loop thread owns the entries. */
void log_read_later(struct log *self, uint64_t index, uint32_t count,
                    void (*done)(void *context, struct entry *entries, uint32_t entry_count,
                                 const struct error *error),
                    void *context);

/* snapshots */
void log_snapshot(const struct log *self, struct log_snapshot *out);
/** Records a snapshot of our own and deletes the head up to `keep_from` - 1; queued like an append (the store
 * was flushed before). */
void log_snapshot_record(struct log *self, const struct log_snapshot *snapshot, uint64_t keep_from);
/** State transfer: one synced batch with the snapshot record, all entries deleted, the new state folder's
 * name. Blocks. */
enum error_code log_install(struct log *self, const struct log_snapshot *snapshot, const char *state_folder,
                            struct error *error) MUST_USE;

/** The state alone came anew, and the log leads on from it: only the state folder's name changes, in a write
 * of its own. Blocks. */
enum error_code log_switch_state(struct log *self, const char *state_folder, struct error *error) MUST_USE;

/* mark and space */
/** What is committed and durable here; written at once at a clean stop, else at least every second, outside
 * the WAL. */
void log_mark(struct log *self, uint64_t index, uint64_t term);
/** Less than `wanted_bytes` is free besides the reserve, or the reserve is given up, or a write waits for
 * space. */
bool log_space_low(const struct log *self, uint64_t wanted_bytes);
/** To be called several times a second: repeats what found no space, and makes the reserve again when there
 * is some. */
void log_tick(struct log *self);
void log_sync_times(const struct log *self, uint64_t *last_us, uint64_t *max_us);
const struct histogram *log_sync_histogram(const struct log *self); /* borrowed until the log is closed */
/** How long the write under way has lasted, or has waited for space; 0: none is. A leader whose disk stalls
 * should hand over. */
uint64_t log_stall_ms(const struct log *self);
/** How long the disk has had one attempt at a write; 0: it has none. A wait for space is none: it is tried
 * again and again, so the thread lives. */
uint64_t log_busy_ms(const struct log *self);
void log_check(const struct log *self); /* the invariants above; aborts */
