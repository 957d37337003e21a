/* What the files of the log share. log.c: entries in memory; log_open.c: reading and checking what is on the
 * disk; log_sync.c: writing; log_read.c: reading back; log_record.c: the form of everything stored. */
#pragma once

#include "base/disk.h"
#include "base/kv.h"
#include "base/schema.h"
#include "consensus/log.h"

struct log_cached {
    uint64_t term;
    uint64_t operation; /* the write that put it there */
    enum entry_type type;
    uint8_t *data;
    size_t bytes;
};

/* A ring of the newest entries: cached entry i is index `first` + i, the last one is the log's last. */
struct log_cache {
    struct log_cached *items;
    size_t head, count, capacity; /* capacity: a power of two */
    uint64_t first;
    uint64_t bytes;
};

struct log_run { /* entries from `first` on, up to the next run, have this term */
    uint64_t first, term;
};

struct log_change {
    uint64_t index;
    uint8_t *data;
    size_t bytes;
};

struct log_mark_record {
    uint64_t index, term;        /* committed and durable here */
    uint64_t current_term, vote; /* promised */
    uint64_t node_id;
    const char *incarnation;
};

struct log_sync { /* one batch on its way to the disk */
    struct worker_job job;
    struct log *log;
    struct kv_batch *batch;
    uint64_t operation, bytes;
    bool running; /* with the worker */
    bool recover; /* the store has refused for lack of space: open it again first */
    bool reserve_released;
    uint64_t us;
    uint64_t started_ms; /* monotonic: given to the worker for the first time */
    uint64_t began_ms;   /* the same of this attempt */
    enum error_code code;
    struct error error;
};

struct log_mark_job {
    struct worker_job job;
    struct log *log;
    struct bytes content;
    uint64_t began_ms;
    bool running;
    bool again; /* it changed while running */
    enum error_code code;
    struct error error;
};

struct log_restore { /* makes the reserve again when there is space */
    struct worker_job job;
    struct log *log;
    bool running;
    enum error_code code;
};

struct log_read_job {
    struct worker_job job;
    struct log *log;
    struct log_read_job *next; /* of those that ended while nobody may be told */
    uint64_t index;
    uint32_t count;
    struct entry *entries;
    uint32_t entry_count;
    enum error_code code;
    struct error error;
    void (*done)(void *context, struct entry *entries, uint32_t entry_count, const struct error *error);
    void *context;
};

struct log {
    struct log_options options;
    char *folder, *data_folder, *mark_path, *reserve_path;
    struct kv *kv;

    struct wire_identity identity;
    uint64_t term, vote;
    char state_folder[NAME_BYTES_MAX];
    struct log_snapshot snapshot;

    uint64_t first_index, last_index;
    struct log_run *runs;
    size_t run_count, run_capacity;
    struct log_change *changes;
    size_t change_count, change_capacity;
    struct log_cache cache;

    uint64_t operation, synced_operation; /* the last given and the last durable */
    struct kv_batch *gathered;            /* operations that wait for the sync under way */
    uint64_t gathered_bytes;
    struct log_sync sync;
    uint64_t sync_us_last, sync_us_max;
    struct histogram sync_us;

    uint64_t mark_index, mark_term;
    bool mark_written; /* it stands on the disk as it stands here */
    struct log_mark_job mark_job;

    bool stalled; /* no space: the batch in `sync` waits for log_tick() */
    bool reserve_held;
    uint64_t retry_ms; /* monotonic: not before */
    struct log_restore restore;

    bool failed; /* final */
    struct error failure;
    bool muted; /* inside log_install() and log_close(): callbacks wait or are dropped */
    struct log_read_job *unheard;
};

/* log.c */
void log_memory_add(struct log *self, uint64_t index, uint64_t term, enum entry_type type,
                    struct span data); /* not the cache */
void log_memory_reset(struct log *self, uint64_t last_index);
void log_cache_trim(struct log *self);

/* log_record.c: keys, and records with a checksum over key and content */
#define LOG_KEY_BYTES        9u
#define LOG_ENTRY_HEAD_BYTES 13u /* checksum 4, type 1, term 8 */
struct span log_entry_key(uint64_t index, uint8_t key[LOG_KEY_BYTES]);
struct span log_entries_limit(void); /* the first key behind all entries */
void log_entry_encode(const struct entry *entry, struct bytes *value);
/** @param out  its data points into `value` */
enum error_code log_entry_decode(struct span key, struct span value, struct entry *out,
                                 struct error *error) MUST_USE;
void log_put_meta(const struct log *self, struct kv_batch *batch);
void log_put_snapshot(const struct log_snapshot *snapshot, struct kv_batch *batch);
void log_put_state_folder(const char *name, struct kv_batch *batch);
/* ERROR_NOT_FOUND without a message when there is none */
enum error_code log_get_meta(struct log *self, struct error *error) MUST_USE;
enum error_code log_get_snapshot(struct log *self, struct error *error) MUST_USE;
enum error_code log_get_state_folder(struct log *self, struct error *error) MUST_USE;
void log_mark_encode(const struct log_mark_record *mark, struct bytes *out);
enum error_code log_mark_decode(struct span packed, struct arena *arena, struct log_mark_record *out,
                                struct error *error) MUST_USE;

/* log_sync.c */
void log_sync_start(struct log *self);
/** Writes and syncs here and now; on a full disk with the help of the reserve. */
enum error_code log_write_now(struct log *self, struct kv_batch *batch, struct error *error) MUST_USE;
void log_mark_start(struct log *self);
void log_mark_current(const struct log *self, struct log_mark_record *out);
enum error_code log_mark_write_now(struct log *self, struct error *error) MUST_USE;
void log_reads_resume(struct log *self); /* tells those that were held back */
