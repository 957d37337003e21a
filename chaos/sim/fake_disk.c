#include "chaos/sim/fake_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/disk.h"
#include "base/kv.h"
#include "chaos/sim/fake_disk_internal.h"

struct small_file {
    struct small_file *next;
    char *path;
    struct bytes content;
    uint64_t reserved; /* a reserve's bytes */
    bool locked;
};

struct fault { /* what is set for a prefix */
    struct fault *next;
    char *prefix;
    uint64_t free_bytes;
    unsigned sync_failures, small_failures;
    enum error_code sync_code;
};

#define UNLOGGED_KEPT_MAX 64u /* batches of a store without a write-ahead log that a crash chooses from */

static struct fake_store *stores;
static struct small_file *files;
static struct fault *faults;

static bool begins(const char *path, const char *prefix)
{
    return strncmp(path, prefix, strlen(prefix)) == 0;
}

/* --- batches
 * -------------------------------------------------------------------------------------------------------- */

void fake_changes_add(struct fake_changes *changes, enum fake_change_kind kind, struct span key,
                      struct span other)
{
    if (changes->count == changes->capacity) {
        changes->capacity = changes->capacity ? changes->capacity * 2 : 8;
        changes->items = memory_resize(changes->items, changes->capacity * sizeof(*changes->items));
    }
    changes->items[changes->count++] =
        (struct fake_change){kind, fake_blob_new(key), kind == FAKE_DELETE ? NULL : fake_blob_new(other)};
    changes->bytes += key.bytes + other.bytes;
}

void fake_changes_apply(const struct fake_changes *changes, struct fake_table *table)
{
    for (size_t i = 0; i < changes->count; i++) {
        const struct fake_change *change = &changes->items[i];
        struct span key = fake_blob_span(change->key);
        switch (change->kind) {
        case FAKE_PUT:
            fake_table_put(table, key, fake_blob_keep(change->other));
            break;
        case FAKE_DELETE:
            fake_table_remove_one(table, key);
            break;
        case FAKE_DELETE_RANGE:
            fake_table_remove(table, key, fake_blob_span(change->other));
            break;
        }
    }
}

void fake_changes_clear(struct fake_changes *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        fake_blob_drop(changes->items[i].key);
        fake_blob_drop(changes->items[i].other);
    }
    free(changes->items);
    *changes = (struct fake_changes){0};
}

/* --- stores
 * ---------------------------------------------------------------------------------------------------------
 */

struct fake_store *fake_store_get(const char *path, bool make)
{
    for (struct fake_store *store = stores; store; store = store->next)
        if (strcmp(store->path, path) == 0)
            return store;
    if (!make)
        return NULL;
    struct fake_store *store = memory_zero(1, sizeof(*store));
    store->path = text_copy(path);
    store->next = stores;
    stores = store;
    return store;
}

/* A store without a write-ahead log may collect many before its flush: every second one is as good. */
static void thin_out(struct fake_store *store)
{
    size_t kept = 0;
    for (size_t i = 0; i < store->unsynced_count; i++)
        if (i % 2 == 0)
            fake_table_clear(&store->unsynced[i]);
        else
            store->unsynced[kept++] = store->unsynced[i];
    store->unsynced_count = kept;
}

void fake_store_write(struct fake_store *store, const struct fake_changes *changes)
{
    fake_changes_apply(changes, &store->live);
    if (!store->wal && store->unsynced_count >= UNLOGGED_KEPT_MAX)
        thin_out(store);
    if (store->unsynced_count == store->unsynced_capacity) {
        store->unsynced_capacity = store->unsynced_capacity ? store->unsynced_capacity * 2 : 8;
        store->unsynced = memory_resize(store->unsynced, store->unsynced_capacity * sizeof(*store->unsynced));
    }
    store->unsynced[store->unsynced_count] = (struct fake_table){0};
    fake_table_copy(&store->unsynced[store->unsynced_count++], &store->live);
}

static void settle(struct fake_store *store, size_t survive)
{
    size_t last = survive < store->unsynced_count ? survive : store->unsynced_count;
    if (last > 0) {
        fake_table_clear(&store->durable);
        fake_table_copy(&store->durable, &store->unsynced[last - 1]);
    }
    for (size_t i = 0; i < store->unsynced_count; i++)
        fake_table_clear(&store->unsynced[i]);
    store->unsynced_count = 0;
}

void fake_store_sync(struct fake_store *store)
{
    struct fake_table before = {0};
    fake_table_copy(&before, &store->durable);
    settle(store, store->unsynced_count);
    store->exists = true;
    fake_mutant_synced(store, &before);
    fake_table_clear(&before);
}

static void clear_store(struct fake_store *store)
{
    settle(store, 0);
    fake_table_clear(&store->live);
    fake_table_clear(&store->durable);
}

void fake_store_remove(const char *path)
{
    struct fake_store *store = fake_store_get(path, false);
    if (!store)
        return;
    clear_store(store);
    store->exists = false;
    store->crashes++;
}

/* --- controls
 * ------------------------------------------------------------------------------------------------------- */

void fake_disk_reset(void)
{
    for (struct fake_store *store = stores, *next; store; store = next) {
        next = store->next;
        CHECK(!store->open, "store %s is still open", store->path);
        clear_store(store);
        free(store->unsynced);
        free(store->path);
        free(store);
    }
    for (struct small_file *file = files, *next; file; file = next) {
        next = file->next;
        bytes_done(&file->content);
        free(file->path);
        free(file);
    }
    for (struct fault *fault = faults, *next; fault; fault = next) {
        next = fault->next;
        free(fault->prefix);
        free(fault);
    }
    stores = NULL;
    files = NULL;
    faults = NULL;
}

void fake_disk_crash(const char *prefix, uint64_t survive)
{
    fake_disk_crash_flushed(prefix, survive, 0);
}

void fake_disk_crash_flushed(const char *prefix, uint64_t survive, uint64_t unlogged)
{
    for (struct fake_store *store = stores; store; store = store->next) {
        if (!begins(store->path, prefix))
            continue;
        uint64_t kept = store->wal ? survive : unlogged;
        settle(store, kept < SIZE_MAX ? (size_t)kept : 0);
        fake_table_clear(&store->live);
        fake_table_copy(&store->live, &store->durable);
        store->open = store->refusing = false;
        store->crashes++;
    }
    for (struct small_file *file = files; file; file = file->next)
        if (begins(file->path, prefix))
            file->locked = false;
}

static struct fault *fault_for(const char *prefix)
{
    for (struct fault *fault = faults; fault; fault = fault->next)
        if (strcmp(fault->prefix, prefix) == 0)
            return fault;
    struct fault *fault = memory_zero(1, sizeof(*fault));
    fault->prefix = text_copy(prefix);
    fault->free_bytes = UINT64_MAX;
    fault->next = faults;
    faults = fault;
    return fault;
}

void fake_disk_space(const char *prefix, uint64_t free_bytes)
{
    fault_for(prefix)->free_bytes = free_bytes;
}

void fake_disk_fail_syncs(const char *prefix, unsigned count, enum error_code code)
{
    struct fault *fault = fault_for(prefix);
    fault->sync_failures = count;
    fault->sync_code = code;
}

void fake_disk_fail_small(const char *prefix, unsigned count)
{
    fault_for(prefix)->small_failures = count;
}

uint64_t fake_disk_syncs(const char *prefix)
{
    uint64_t sum = 0;
    for (struct fake_store *store = stores; store; store = store->next)
        sum += begins(store->path, prefix) ? store->syncs : 0;
    return sum;
}

uint64_t fake_disk_unsynced(const char *prefix)
{
    uint64_t sum = 0;
    for (struct fake_store *store = stores; store; store = store->next)
        sum += begins(store->path, prefix) ? store->unsynced_count : 0;
    return sum;
}

static bool take_space(const char *path, uint64_t bytes)
{
    for (struct fault *fault = faults; fault; fault = fault->next)
        if (begins(path, fault->prefix) && fault->free_bytes < bytes)
            return false;
    for (struct fault *fault = faults; fault; fault = fault->next)
        if (begins(path, fault->prefix) && fault->free_bytes != UINT64_MAX)
            fault->free_bytes -= bytes;
    return true;
}

enum error_code fake_disk_admit(const char *path, size_t bytes, bool sync, struct error *error)
{
    for (struct fault *fault = faults; fault && sync; fault = fault->next) {
        if (!begins(path, fault->prefix) || fault->sync_failures == 0)
            continue;
        fault->sync_failures--;
        return error_set(error, fault->sync_code, "store %s: this sync was told to fail", path);
    }
    if (!take_space(path, bytes))
        return error_set(error, ERROR_NO_SPACE, "store %s: the disk is full", path);
    return ERROR_OK;
}

static const struct fake_pair *find_everywhere(const char *path, const void *key, size_t key_bytes,
                                               struct fake_table **table)
{
    struct fake_store *store = fake_store_get(path, false);
    CHECK(!store || !store->open, "store %s is open", path);
    *table = store ? &store->durable : NULL;
    return store ? fake_table_find(&store->durable, span_of(key, key_bytes)) : NULL;
}

static void reload(const char *path)
{
    struct fake_store *store = fake_store_get(path, false);
    fake_table_clear(&store->live);
    fake_table_copy(&store->live, &store->durable);
}

bool fake_disk_flip_bit(const char *path, const void *key, size_t key_bytes, size_t at)
{
    struct fake_table *table;
    const struct fake_pair *found = find_everywhere(path, key, key_bytes, &table);
    if (!found || at >= found->value->bytes)
        return false;
    struct fake_blob *changed = fake_blob_new(fake_blob_span(found->value));
    changed->data[at] ^= 1;
    fake_table_put(table, span_of(key, key_bytes), changed);
    reload(path);
    return true;
}

bool fake_disk_delete_key(const char *path, const void *key, size_t key_bytes)
{
    struct fake_table *table;
    if (!find_everywhere(path, key, key_bytes, &table))
        return false;
    fake_table_remove_one(table, span_of(key, key_bytes));
    reload(path);
    return true;
}

/* Every version of the store that has this very value has it on the same place of the disk. */
static void damage_table(struct fake_table *table, const struct fake_blob *key, const struct fake_blob *value,
                         struct fake_blob *damaged)
{
    const struct fake_pair *pair = fake_table_find(table, fake_blob_span(key));
    if (pair && pair->value == value)
        fake_table_put(table, fake_blob_span(key), fake_blob_keep(damaged));
}

bool fake_disk_damage(const char *path, uint64_t draw)
{
    struct fake_store *store = fake_store_get(path, false);
    size_t count = store ? fake_table_count(&store->durable) : 0;
    if (count == 0)
        return false;
    const struct fake_pair *pair = fake_table_at(&store->durable, (size_t)(draw % count));
    struct fake_blob *key = fake_blob_keep(pair->key), *value = fake_blob_keep(pair->value);
    struct fake_blob *damaged = fake_blob_new(fake_blob_span(value));
    if (damaged->bytes > 0)
        damaged->data[draw / count % damaged->bytes] ^= (uint8_t)(1u << (draw >> 40) % 8);
    damaged->damaged = true;
    damage_table(&store->durable, key, value, damaged);
    damage_table(&store->live, key, value, damaged);
    for (size_t i = 0; i < store->unsynced_count; i++)
        damage_table(&store->unsynced[i], key, value, damaged);
    fake_blob_drop(damaged);
    fake_blob_drop(key);
    fake_blob_drop(value);
    return true;
}

bool fake_disk_is_damaged(const char *path)
{
    struct fake_store *store = fake_store_get(path, false);
    for (size_t i = 0; store && i < fake_table_count(&store->live); i++)
        if (fake_table_at(&store->live, i)->value->damaged)
            return true;
    return false;
}

/* --- base/disk.h
 * ---------------------------------------------------------------------------------------------------- */

static struct small_file *file_get(const char *path, bool make)
{
    for (struct small_file *file = files; file; file = file->next)
        if (strcmp(file->path, path) == 0)
            return file;
    if (!make)
        return NULL;
    struct small_file *file = memory_zero(1, sizeof(*file));
    file->path = text_copy(path);
    bytes_init(&file->content, 0);
    file->next = files;
    files = file;
    return file;
}

static bool file_remove(const char *path)
{
    for (struct small_file **at = &files; *at; at = &(*at)->next) {
        struct small_file *file = *at;
        if (strcmp(file->path, path) != 0)
            continue;
        *at = file->next;
        bytes_done(&file->content);
        free(file->path);
        free(file);
        return true;
    }
    return false;
}

bool fake_disk_delete_small(const char *path)
{
    return file_remove(path);
}

enum error_code disk_folder_make(const char *path, struct error *error)
{
    (void)path;
    (void)error;
    return ERROR_OK;
}

/* True for "/n1/log" and what lies in it. */
static bool is_at_or_below(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    return begins(path, folder) && (path[length] == '\0' || path[length] == '/');
}

enum error_code disk_remove(const char *path, struct error *error)
{
    (void)error;
    for (struct fake_store *store = stores; store; store = store->next)
        if (is_at_or_below(store->path, path))
            fake_store_remove(store->path);
    for (struct small_file *file = files, *next; file; file = next) {
        next = file->next;
        if (is_at_or_below(file->path, path))
            file_remove(file->path);
    }
    return ERROR_OK;
}

enum error_code disk_list(const char *folder, void (*visit)(void *context, const char *name), void *context,
                          struct error *error)
{
    (void)error;
    for (struct fake_store *store = stores; store; store = store->next)
        if (store->exists && is_at_or_below(store->path, folder) && strlen(store->path) > strlen(folder) &&
            !strchr(store->path + strlen(folder) + 1, '/'))
            visit(context, store->path + strlen(folder) + 1);
    return ERROR_OK;
}

bool disk_exists(const char *path)
{
    struct fake_store *store = fake_store_get(path, false);
    return file_get(path, false) || (store && store->exists);
}

uint64_t disk_folder_bytes(const char *folder)
{
    uint64_t sum = 0;
    for (struct fake_store *store = stores; store; store = store->next)
        for (size_t i = 0; is_at_or_below(store->path, folder) && i < fake_table_count(&store->live); i++) {
            const struct fake_pair *pair = fake_table_at(&store->live, i);
            sum += pair->key->bytes + pair->value->bytes;
        }
    return sum;
}

enum error_code disk_small_read(const char *path, struct bytes *out, struct error *error)
{
    struct small_file *file = file_get(path, false);
    if (!file)
        return error_set(error, ERROR_NOT_FOUND, "there is no file %s", path);
    bytes_append(out, file->content.data, file->content.length);
    return ERROR_OK;
}

enum error_code disk_small_write(const char *path, struct span what, struct error *error)
{
    CHECK(what.bytes <= DISK_SMALL_BYTES_MAX, "%zu bytes for %s", what.bytes, path);
    for (struct fault *fault = faults; fault; fault = fault->next) {
        if (!begins(path, fault->prefix) || fault->small_failures == 0)
            continue;
        fault->small_failures--;
        return error_set(error, ERROR_IO, "%s: this write was told to fail", path);
    }
    if (!file_get(path, false) && !take_space(path, 2 * 4096))
        return error_set(error, ERROR_NO_SPACE, "%s: the disk is full", path);
    struct small_file *file = file_get(path, true);
    bytes_clear(&file->content);
    bytes_append(&file->content, what.data, what.bytes);
    return ERROR_OK;
}

bool disk_free_bytes(const char *path, uint64_t *out)
{
    size_t length = strlen(path);
    *out = UINT64_MAX;
    for (struct fault *fault = faults; fault; fault = fault->next)
        if ((begins(path, fault->prefix) ||
             (strncmp(fault->prefix, path, length) == 0 && fault->prefix[length] == '/')) &&
            fault->free_bytes < *out)
            *out = fault->free_bytes;
    return true;
}

enum error_code disk_reserve_make(const char *path, uint64_t bytes, struct error *error)
{
    struct small_file *file = file_get(path, false);
    if (file && file->reserved >= bytes)
        return ERROR_OK;
    if (!take_space(path, bytes))
        return error_set(error, ERROR_NO_SPACE, "%s: the disk is full", path);
    file_get(path, true)->reserved = bytes;
    return ERROR_OK;
}

uint64_t disk_reserve_release(const char *path)
{
    struct small_file *file = file_get(path, false);
    uint64_t bytes = file ? file->reserved : 0;
    for (struct fault *fault = faults; fault; fault = fault->next)
        if (begins(path, fault->prefix) && fault->free_bytes != UINT64_MAX)
            fault->free_bytes += bytes;
    if (file)
        file->reserved = 0;
    return bytes;
}

struct disk_lock {
    char *path;
};

enum error_code disk_lock_take(const char *path, struct disk_lock **out, struct error *error)
{
    struct small_file *file = file_get(path, true);
    if (file->locked)
        return error_set(error, ERROR_LOCKED, "%s is held by another process", path);
    file->locked = true;
    *out = memory_new(sizeof(**out));
    (*out)->path = text_copy(path);
    return ERROR_OK;
}

void disk_lock_release(struct disk_lock *self)
{
    if (!self)
        return;
    struct small_file *file = file_get(self->path, false);
    if (file)
        file->locked = false;
    free(self->path);
    free(self);
}
