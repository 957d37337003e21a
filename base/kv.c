/* What RocksDB did that shaped this file, each seen with 7.8:
 *   - its info log aborted the process on a full disk: what little is written goes to memory (see
 * log_folder_make());
 *   - after "no space left" it refuses writes until it is opened again: kv_recover();
 *   - a write stall blocked for 426 ms: `no_slowdown` turns that into ERROR_BUSY;
 *   - once it has recovered from a full disk by itself, its flush returns before it is done: flush_inside()
 * looks;
 *   - checkpoint_create with log_size_for_flush > 0 left out what was in memory only: it is 0 here. */
#include "base/kv_internal.h"

#include <pthread.h>
#include <rocksdb/c.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/disk.h"
#include "base/kv_wal.h"

#define MEMORY_BYTES_DEFAULT  (64u * 1024u * 1024u)
#define MEMORY_BYTES_MIN      (1024u * 1024u)
/* A quarter of the memory each; the last quarter is block cache. The larger a buffer and the more of them lie
 * on the first level before they are merged with the next one, the less often that is written anew: it was a
 * quarter of a write's processor time with buffers of an eighth and four files. Each of those files costs a
 * read a look at its filter. */
#define WRITE_BUFFERS         3
#define FIRST_LEVEL_FILES     8
#define INFO_LOG_HEADERS_ONLY 5
#define FILTER_BITS           10 /* a key: one miss in a hundred reads a block in vain */
#define OPEN_FILES_MAX        512
#define MANIFEST_BYTES_MAX    (16u * 1024u * 1024u)
#define FLUSH_LOOK_US         2000
#define LOOKS_A_FLUSH         500 /* a second */

struct kv {
    rocksdb_t *db;               /* NULL while a recovery has failed, */
    enum error_code closed_code; /* then: why */
    rocksdb_options_t *options;
    rocksdb_cache_t *cache;
    rocksdb_block_based_table_options_t *table;
    rocksdb_readoptions_t *read;
    char *folder;
    bool wal;
    bool read_only;
    pthread_rwlock_t
        use; /* held for reading while `db` is used, for writing while kv_recover() exchanges it */
    _Atomic unsigned open; /* snapshots and iterators: none may outlive the store */
};

struct kv_batch {
    rocksdb_writebatch_t *batch;
};

struct kv_snapshot {
    const rocksdb_snapshot_t *snapshot;
    rocksdb_readoptions_t *read;
};

struct kv_iterator {
    struct kv *kv;
    struct kv_merge *merge; /* NULL: of the store alone */
    rocksdb_iterator_t *at; /* NULL: the store isn't open */
    rocksdb_readoptions_t *read;
    uint8_t *first, *limit; /* copies: RocksDB keeps pointing at its bounds */
    size_t first_bytes, limit_bytes;
    bool backwards;
    bool started;
};

/* RocksDB's C interface gives texts only; these are what its Status puts at their head or ends them with. */
static enum error_code code_of(const char *text)
{
    static const struct {
        const char *part;
        enum error_code code;
    } parts[] = {
        {"No space left on device", ERROR_NO_SPACE},
        {"Disk quota exceeded", ERROR_NO_SPACE},
        {"Result incomplete", ERROR_BUSY},
        {"lock hold by current process", ERROR_LOCKED},
        {"While lock file", ERROR_LOCKED},
        {"Corruption", ERROR_CORRUPT},
        {"does not exist (create_if_missing is false)", ERROR_NOT_FOUND},
    };
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (strstr(text, parts[i].part))
            return parts[i].code;
    return ERROR_IO;
}

/* Frees `text`; ERROR_OK when it is NULL. */
static enum error_code done(const struct kv *self, const char *what, char *text, struct error *error)
{
    if (!text)
        return ERROR_OK;
    enum error_code code = code_of(text);
    error_set(error, code, "%s %s: %s", what, self->folder, text);
    rocksdb_free(text);
    return code;
}

static enum error_code not_open(const struct kv *self, struct error *error)
{
    return error_set(error, self->closed_code, "store %s is closed: it could not be opened again",
                     self->folder);
}

/* --- opening
 * ---------------------------------------------------------------------------------------------------- */

static void options_make(struct kv *self, const struct kv_options *wanted)
{
    size_t memory = wanted->memory_bytes ? wanted->memory_bytes : MEMORY_BYTES_DEFAULT;
    if (memory < MEMORY_BYTES_MIN)
        memory = MEMORY_BYTES_MIN;
    self->cache = rocksdb_cache_create_lru(memory / (WRITE_BUFFERS + 1));
    self->table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(self->table, self->cache);
    /* Held by each open file, not by the cache: a filter larger than one of the cache's shards would be read
     * anew for every key that isn't there. */
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(self->table, 0);
    if (!wanted->wal) /* the state asks for keys that aren't there (request ids), the log never does */
        rocksdb_block_based_options_set_filter_policy(self->table,
                                                      rocksdb_filterpolicy_create_bloom_full(FILTER_BITS));

    rocksdb_options_t *options = self->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, wanted->create);
    rocksdb_options_set_paranoid_checks(options, 1);
    rocksdb_options_set_info_log_level(options, INFO_LOG_HEADERS_ONLY);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_compression(options, rocksdb_no_compression);
    rocksdb_options_set_block_based_table_factory(options, self->table);
    rocksdb_options_set_write_buffer_size(options, memory / (WRITE_BUFFERS + 1));
    rocksdb_options_set_max_write_buffer_number(options, WRITE_BUFFERS);
    rocksdb_options_set_level0_file_num_compaction_trigger(options, FIRST_LEVEL_FILES);
    rocksdb_options_set_max_total_wal_size(options, memory);
    if (!wanted->wal) {
        rocksdb_options_set_memtable_prefix_bloom_size_ratio(options, 0.02);
        rocksdb_options_set_memtable_whole_key_filtering(options, 1);
    }
    rocksdb_options_set_max_background_jobs(options, 2);
    rocksdb_options_set_max_open_files(options, OPEN_FILES_MAX);
    rocksdb_options_set_max_manifest_file_size(options, MANIFEST_BYTES_MAX);
    rocksdb_options_set_manifest_preallocation_size(options, 64 * 1024);
    rocksdb_options_set_wal_recovery_mode(options, wanted->recover_point_in_time
                                                       ? rocksdb_point_in_time_recovery
                                                       : rocksdb_tolerate_corrupted_tail_records_recovery);
    self->read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(self->read, 1);
}

/* RocksDB insists on an info log. Its file is made in memory, or at least away from the data, and removed
 * while it is open, so that it neither meets a full data disk nor stays. False: there is no such place, the
 * log stands beside the data. */
static bool log_folder_make(char path[64])
{
    static const char *const places[] = {"/dev/shm", "/run", "/tmp"};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(path, 64, "%s/autonomy-kv.XXXXXX", places[i]);
        if (mkdtemp(path))
            return true;
    }
    return false;
}

static enum error_code open_inside(struct kv *self, struct error *error)
{
    char *text = NULL;
    char log_folder[64];
    bool elsewhere = log_folder_make(log_folder);
    rocksdb_options_set_db_log_dir(self->options, elsewhere ? log_folder : "");
    self->db = self->read_only ? rocksdb_open_for_read_only(self->options, self->folder, 0, &text)
                               : rocksdb_open(self->options, self->folder, &text);
    if (elsewhere)
        (void)!disk_remove(log_folder, NULL); /* a rest of it in memory harms nobody */
    if (text)
        self->db = NULL;
    return done(self, "can't open store", text, error);
}

static void release(struct kv *self)
{
    if (self->db)
        rocksdb_close(self->db);
    rocksdb_readoptions_destroy(self->read);
    rocksdb_options_destroy(self->options);
    rocksdb_block_based_options_destroy(self->table);
    rocksdb_cache_destroy(self->cache);
    pthread_rwlock_destroy(&self->use);
    free(self->folder);
    free(self);
}

enum error_code kv_open(const char *folder, const struct kv_options *options, struct kv **out,
                        struct error *error)
{
    char current[4096];
    int length = snprintf(current, sizeof(current), "%s/CURRENT", folder);
    if (length < 0 || (size_t)length >= sizeof(current))
        return error_set(error, ERROR_INVALID, "path %.100s... is too long", folder);
    if (!options->create && !disk_exists(current))
        return error_set(error, ERROR_NOT_FOUND, "there is no store in %s", folder);
    enum error_code code =
        options->wal ? kv_wal_check(folder, options->recover_point_in_time, error) : ERROR_OK;
    if (code)
        return code;
    struct kv *self = memory_zero(1, sizeof(*self));
    self->folder = text_copy(folder);
    self->wal = options->wal;
    self->read_only = options->read_only;
    CHECK(pthread_rwlock_init(&self->use, NULL) == 0, "no lock");
    options_make(self, options);
    code = open_inside(self, error);
    if (code) {
        release(self);
        return code;
    }
    *out = self;
    return ERROR_OK;
}

void kv_close(struct kv *self)
{
    if (!self)
        return;
    CHECK(self->open == 0, "store %s closes under %u snapshots and iterators", self->folder, self->open);
    if (self->db && !self->wal && !self->read_only)
        (void)!kv_flush(self,
                        NULL); /* durable is what was flushed before; this spares the log a repetition */
    release(self);
}

enum error_code kv_recover(struct kv *self, struct error *error)
{
    pthread_rwlock_wrlock(&self->use);
    CHECK(self->open == 0, "store %s recovers under %u snapshots and iterators", self->folder, self->open);
    if (self->db)
        rocksdb_close(self->db);
    enum error_code code = self->closed_code = open_inside(self, error);
    pthread_rwlock_unlock(&self->use);
    return code;
}

/* --- one key
 * ---------------------------------------------------------------------------------------------------- */

enum error_code kv_get(struct kv *self, const struct kv_snapshot *snapshot, struct span key,
                       struct bytes *value, struct error *error)
{
    char *text = NULL;
    enum error_code code;
    pthread_rwlock_rdlock(&self->use);
    if (!self->db) {
        pthread_rwlock_unlock(&self->use);
        return not_open(self, error);
    }
    rocksdb_pinnableslice_t *found =
        rocksdb_get_pinned(self->db, snapshot ? snapshot->read : self->read, key.data, key.bytes, &text);
    code = done(self, "can't read store", text, error);
    if (code == ERROR_OK && !found)
        code = ERROR_NOT_FOUND;
    if (found) {
        size_t length;
        const char *data = rocksdb_pinnableslice_value(found, &length);
        bytes_append(value, data, length);
        rocksdb_pinnableslice_destroy(found);
    }
    pthread_rwlock_unlock(&self->use);
    return code;
}

struct kv_snapshot *kv_snapshot_take(struct kv *self)
{
    struct kv_snapshot *snapshot = memory_new(sizeof(*snapshot));
    pthread_rwlock_rdlock(&self->use);
    CHECK(self->db, "store %s is closed", self->folder);
    self->open++;
    snapshot->snapshot = rocksdb_create_snapshot(self->db);
    snapshot->read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(snapshot->read, 1);
    rocksdb_readoptions_set_snapshot(snapshot->read, snapshot->snapshot);
    pthread_rwlock_unlock(&self->use);
    return snapshot;
}

void kv_snapshot_release(struct kv *self, struct kv_snapshot *snapshot)
{
    if (!snapshot)
        return;
    rocksdb_readoptions_destroy(snapshot->read);
    rocksdb_release_snapshot(self->db, snapshot->snapshot);
    self->open--;
    free(snapshot);
}

/* --- writing
 * ---------------------------------------------------------------------------------------------------- */

struct kv_batch *kv_batch_new(void)
{
    struct kv_batch *batch = memory_new(sizeof(*batch));
    batch->batch = rocksdb_writebatch_create();
    return batch;
}

void kv_batch_free(struct kv_batch *batch)
{
    if (!batch)
        return;
    rocksdb_writebatch_destroy(batch->batch);
    free(batch);
}

void kv_batch_clear(struct kv_batch *batch)
{
    rocksdb_writebatch_clear(batch->batch);
}

void kv_batch_put(struct kv_batch *batch, struct span key, struct span value)
{
    rocksdb_writebatch_put(batch->batch, key.data, key.bytes, value.data, value.bytes);
}

void kv_batch_delete(struct kv_batch *batch, struct span key)
{
    rocksdb_writebatch_delete(batch->batch, key.data, key.bytes);
}

void kv_batch_delete_range(struct kv_batch *batch, struct span first, struct span limit)
{
    rocksdb_writebatch_delete_range(batch->batch, first.data, first.bytes, limit.data, limit.bytes);
}

static rocksdb_writeoptions_t *write_options(const struct kv *self, struct kv_write_options wanted)
{
    CHECK(!wanted.sync || self->wal, "a synced write to %s, which keeps no write-ahead log", self->folder);
    rocksdb_writeoptions_t *options = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(options, wanted.sync);
    rocksdb_writeoptions_disable_WAL(options, !self->wal);
    rocksdb_writeoptions_set_no_slowdown(options, wanted.no_slowdown);
    return options;
}

enum error_code kv_write(struct kv *self, struct kv_batch *batch, struct kv_write_options wanted,
                         struct error *error)
{
    char *text = NULL;
    pthread_rwlock_rdlock(&self->use);
    if (!self->db) {
        pthread_rwlock_unlock(&self->use);
        return not_open(self, error);
    }
    rocksdb_writeoptions_t *options = write_options(self, wanted);
    rocksdb_write(self->db, options, batch->batch, &text);
    rocksdb_writeoptions_destroy(options);
    pthread_rwlock_unlock(&self->use);
    return done(self, "can't write store", text, error);
}

/* --- walking
 * ---------------------------------------------------------------------------------------------------- */

static uint8_t *copy(struct span span)
{
    uint8_t *data = memory_new(span.bytes);
    if (span.bytes > 0)
        memcpy(data, span.data, span.bytes);
    return data;
}

struct kv_iterator *kv_iterate(struct kv *self, const struct kv_snapshot *snapshot, struct span first,
                               struct span limit, bool backwards)
{
    struct kv_iterator *iterator = memory_zero(1, sizeof(*iterator));
    *iterator = (struct kv_iterator){.kv = self,
                                     .first = copy(first),
                                     .limit = copy(limit),
                                     .first_bytes = first.bytes,
                                     .limit_bytes = limit.bytes,
                                     .backwards = backwards};
    iterator->read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(iterator->read, 1);
    if (snapshot)
        rocksdb_readoptions_set_snapshot(iterator->read, snapshot->snapshot);
    if (first.bytes > 0)
        rocksdb_readoptions_set_iterate_lower_bound(iterator->read, (const char *)iterator->first,
                                                    first.bytes);
    if (limit.bytes > 0)
        rocksdb_readoptions_set_iterate_upper_bound(iterator->read, (const char *)iterator->limit,
                                                    limit.bytes);
    pthread_rwlock_rdlock(&self->use); /* until kv_iterator_close(), on the same thread */
    self->open++;
    if (self->db)
        iterator->at = rocksdb_create_iterator(self->db, iterator->read);
    return iterator;
}

void kv_iterator_merge(struct kv_iterator *iterator, struct kv_merge *merge)
{
    CHECK(!iterator->merge && !iterator->started, "a walk under way takes no overlay");
    iterator->merge = merge;
}

static void seek_start(struct kv_iterator *iterator)
{
    const char *limit = (const char *)iterator->limit;
    if (!iterator->backwards) {
        rocksdb_iter_seek(iterator->at, (const char *)iterator->first, iterator->first_bytes);
        return;
    }
    if (iterator->limit_bytes == 0) {
        rocksdb_iter_seek_to_last(iterator->at);
        return;
    }
    rocksdb_iter_seek_for_prev(iterator->at, limit, iterator->limit_bytes);
    if (rocksdb_iter_valid(iterator->at)) {
        size_t length;
        const char *key = rocksdb_iter_key(iterator->at, &length);
        if (kv_key_compare(span_of(key, length), span_of(limit, iterator->limit_bytes)) >= 0)
            rocksdb_iter_prev(iterator->at);
    }
}

static bool inside(const struct kv_iterator *iterator, struct span key)
{
    if (iterator->backwards)
        return kv_key_compare(key, span_of(iterator->first, iterator->first_bytes)) >= 0;
    return iterator->limit_bytes == 0 ||
           kv_key_compare(key, span_of(iterator->limit, iterator->limit_bytes)) < 0;
}

bool kv_iterator_step(struct kv_iterator *iterator, struct span *key, struct span *value)
{
    if (!iterator->at)
        return false;
    if (!iterator->started)
        seek_start(iterator);
    else if (rocksdb_iter_valid(iterator->at))
        iterator->backwards ? rocksdb_iter_prev(iterator->at) : rocksdb_iter_next(iterator->at);
    iterator->started = true;
    if (!rocksdb_iter_valid(iterator->at))
        return false;
    struct span found;
    found.data = rocksdb_iter_key(iterator->at, &found.bytes);
    if (!inside(iterator, found))
        return false;
    *key = found;
    value->data = rocksdb_iter_value(iterator->at, &value->bytes);
    return true;
}

bool kv_iterator_next(struct kv_iterator *iterator, struct span *key, struct span *value)
{
    if (!iterator->at)
        return false; /* the walk's end reports it */
    return iterator->merge ? kv_merge_next(iterator->merge, iterator, key, value)
                           : kv_iterator_step(iterator, key, value);
}

enum error_code kv_iterator_close(struct kv_iterator *iterator, struct error *error)
{
    char *text = NULL;
    struct kv *self = iterator->kv;
    enum error_code code = ERROR_OK;
    if (iterator->at) {
        rocksdb_iter_get_error(iterator->at, &text);
        code = done(self, "can't read store", text, error);
        rocksdb_iter_destroy(iterator->at);
    } else {
        code = not_open(self, error);
    }
    if (iterator->merge)
        kv_merge_free(iterator->merge);
    self->open--;
    pthread_rwlock_unlock(&self->use);
    rocksdb_readoptions_destroy(iterator->read);
    free(iterator->first);
    free(iterator->limit);
    free(iterator);
    return code;
}

/* --- the whole store
 * -------------------------------------------------------------------------------------------- */

/* Flushes, and goes on until nothing written before is in memory only. */
static char *flush_inside(struct kv *self)
{
    char *text = NULL;
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(options, 1);
    for (unsigned looks = 0; !text; looks++) {
        uint64_t waiting = 0;
        if (looks % LOOKS_A_FLUSH == 0) /* again after a while: it tells of an error that came meanwhile */
            rocksdb_flush(self->db, options, &text);
        if (rocksdb_property_int(self->db, "rocksdb.num-immutable-mem-table", &waiting) != 0 || waiting == 0)
            break;
        usleep(FLUSH_LOOK_US);
    }
    rocksdb_flushoptions_destroy(options);
    return text;
}

enum error_code kv_flush(struct kv *self, struct error *error)
{
    pthread_rwlock_rdlock(&self->use);
    if (!self->db) {
        pthread_rwlock_unlock(&self->use);
        return not_open(self, error);
    }
    char *text = flush_inside(self);
    pthread_rwlock_unlock(&self->use);
    return done(self, "can't flush store", text, error);
}

enum error_code kv_checkpoint(struct kv *self, const char *folder, struct error *error)
{
    pthread_rwlock_rdlock(&self->use);
    if (!self->db) {
        pthread_rwlock_unlock(&self->use);
        return not_open(self, error);
    }
    char *text = flush_inside(self);
    rocksdb_checkpoint_t *checkpoint = text ? NULL : rocksdb_checkpoint_object_create(self->db, &text);
    if (!text)
        rocksdb_checkpoint_create(checkpoint, folder, 0, &text);
    if (checkpoint)
        rocksdb_checkpoint_object_destroy(checkpoint);
    pthread_rwlock_unlock(&self->use);
    enum error_code code = done(self, "can't copy store", text, error);
    return code ? error_prefix(error, "checkpoint to %s", folder) : ERROR_OK;
}

enum error_code kv_verify(struct kv *self, struct error *error)
{
    char *text = NULL;
    pthread_rwlock_rdlock(&self->use);
    if (!self->db) {
        pthread_rwlock_unlock(&self->use);
        return not_open(self, error);
    }
    rocksdb_readoptions_t *read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(read, 1);
    rocksdb_readoptions_set_fill_cache(read, 0);
    rocksdb_readoptions_set_ignore_range_deletions(read, 1); /* what they cover is still on the disk */
    rocksdb_iterator_t *at = rocksdb_create_iterator(self->db, read);
    for (rocksdb_iter_seek_to_first(at); rocksdb_iter_valid(at); rocksdb_iter_next(at))
        ;
    rocksdb_iter_get_error(at, &text);
    rocksdb_iter_destroy(at);
    rocksdb_readoptions_destroy(read);
    pthread_rwlock_unlock(&self->use);
    return done(self, "can't verify store", text, error);
}

uint64_t kv_disk_bytes(struct kv *self)
{
    return disk_folder_bytes(self->folder);
}

enum error_code kv_destroy(const char *folder, struct error *error)
{
    return disk_remove(folder, error);
}
