#include "chaos/sim/fake_kv.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/disk.h"
#include "base/kv.h"
#include "chaos/sim/fake_disk_internal.h"

#define REFUSALS 50u /* writes that a store without a write-ahead log refuses after it met a full disk */

struct kv {
    struct fake_store *store;
    unsigned crashes; /* the store's when this was opened */
    bool read_only;
};

struct kv_batch {
    struct fake_changes changes;
};

struct kv_snapshot {
    struct fake_table table;
};

struct undo {
    struct fake_blob *key, *value;
    bool was_there;
};

struct kv_overlay {
    struct kv *kv;
    struct fake_table table;
    struct undo *undos;
    size_t undo_count, undo_capacity;
    size_t marks[1024]; /* undos that were there at each mark */
    size_t mark_count;
};

struct kv_iterator {
    struct fake_table table; /* as it was when the walk began */
    size_t from, to, visited;
    bool backwards;
    bool dead, damaged;
};

static bool is_dead(const struct kv *self)
{
    return self->crashes != self->store->crashes;
}

static enum error_code dead(const struct kv *self, struct error *error)
{
    return error_set(error, ERROR_IO, "store %s went away in a crash", self->store->path);
}

enum error_code kv_open(const char *folder, const struct kv_options *options, struct kv **out,
                        struct error *error)
{
    struct fake_store *store = fake_store_get(folder, options->create);
    if (!store || (!store->exists && !options->create))
        return error_set(error, ERROR_NOT_FOUND, "there is no store in %s", folder);
    if (store->open)
        return error_set(error, ERROR_LOCKED, "store %s is open", folder);
    store->exists = true;
    store->open = !options->read_only;
    store->refusing = false;
    store->wal = options->wal;
    *out = memory_new(sizeof(**out));
    **out = (struct kv){.store = store, .crashes = store->crashes, .read_only = options->read_only};
    return ERROR_OK;
}

void kv_close(struct kv *self)
{
    if (!self)
        return;
    if (!is_dead(self) && !self->read_only) {
        fake_store_sync(self->store);
        self->store->open = false;
    }
    free(self);
}

enum error_code kv_recover(struct kv *self, struct error *error)
{
    if (is_dead(self))
        return dead(self, error);
    self->store->refusing = false;
    return ERROR_OK;
}

/* --- reading
 * -------------------------------------------------------------------------------------------------------- */

enum error_code kv_get(struct kv *self, const struct kv_snapshot *snapshot, struct span key,
                       struct bytes *value, struct error *error)
{
    if (is_dead(self))
        return dead(self, error);
    const struct fake_pair *found = fake_table_find(snapshot ? &snapshot->table : &self->store->live, key);
    if (!found)
        return ERROR_NOT_FOUND;
    if (found->value->damaged)
        return error_set(error, ERROR_CORRUPT, "store %s: a block's checksum is wrong", self->store->path);
    bytes_append(value, found->value->data, found->value->bytes);
    return ERROR_OK;
}

struct kv_snapshot *kv_snapshot_take(struct kv *self)
{
    struct kv_snapshot *snapshot = memory_zero(1, sizeof(*snapshot));
    fake_table_copy(&snapshot->table, &self->store->live);
    return snapshot;
}

void kv_snapshot_release(struct kv *self, struct kv_snapshot *snapshot)
{
    (void)self;
    if (!snapshot)
        return;
    fake_table_clear(&snapshot->table);
    free(snapshot);
}

static struct kv_iterator *iterate(const struct fake_table *table, struct span first, struct span limit,
                                   bool backwards)
{
    struct kv_iterator *iterator = memory_zero(1, sizeof(*iterator));
    iterator->backwards = backwards;
    fake_table_copy(&iterator->table, table);
    iterator->from = fake_table_lower(table, first);
    iterator->to = limit.bytes ? fake_table_lower(table, limit) : fake_table_count(table);
    if (iterator->to < iterator->from)
        iterator->to = iterator->from;
    return iterator;
}

struct kv_iterator *kv_iterate(struct kv *self, const struct kv_snapshot *snapshot, struct span first,
                               struct span limit, bool backwards)
{
    struct kv_iterator *iterator =
        iterate(snapshot ? &snapshot->table : &self->store->live, first, limit, backwards);
    iterator->dead = is_dead(self);
    return iterator;
}

bool kv_iterator_next(struct kv_iterator *iterator, struct span *key, struct span *value)
{
    if (iterator->dead || iterator->damaged || iterator->visited == iterator->to - iterator->from)
        return false;
    size_t at = iterator->visited++;
    const struct fake_pair *pair =
        fake_table_at(&iterator->table, iterator->backwards ? iterator->to - 1 - at : iterator->from + at);
    *key = fake_blob_span(pair->key);
    *value = fake_blob_span(pair->value);
    iterator->damaged = pair->value->damaged;
    return !iterator->damaged;
}

enum error_code kv_iterator_close(struct kv_iterator *iterator, struct error *error)
{
    bool was_dead = iterator->dead, damaged = iterator->damaged;
    fake_table_clear(&iterator->table);
    free(iterator);
    if (damaged)
        return error_set(error, ERROR_CORRUPT, "a block's checksum is wrong");
    return was_dead ? error_set(error, ERROR_IO, "the store went away in a crash") : ERROR_OK;
}

/* --- writing
 * -------------------------------------------------------------------------------------------------------- */

struct kv_batch *kv_batch_new(void)
{
    return memory_zero(1, sizeof(struct kv_batch));
}

void kv_batch_free(struct kv_batch *batch)
{
    if (!batch)
        return;
    fake_changes_clear(&batch->changes);
    free(batch);
}

void kv_batch_clear(struct kv_batch *batch)
{
    fake_changes_clear(&batch->changes);
}

void kv_batch_put(struct kv_batch *batch, struct span key, struct span value)
{
    fake_changes_add(&batch->changes, FAKE_PUT, key, value);
}

void kv_batch_delete(struct kv_batch *batch, struct span key)
{
    fake_changes_add(&batch->changes, FAKE_DELETE, key, span_of(NULL, 0));
}

void kv_batch_delete_range(struct kv_batch *batch, struct span first, struct span limit)
{
    fake_changes_add(&batch->changes, FAKE_DELETE_RANGE, first, limit);
}

static enum error_code write_changes(struct kv *self, const struct fake_changes *changes,
                                     struct kv_write_options options, struct error *error)
{
    struct fake_store *store = self->store;
    if (is_dead(self))
        return dead(self, error);
    CHECK(!options.sync || store->wal, "a synced write to %s, which keeps no write-ahead log", store->path);
    CHECK(!self->read_only, "a write to %s, which was opened for reading", store->path);
    /* One without a write-ahead log takes writes again by itself, some time after there is room. */
    if (store->refusing && (store->wal || --store->refusals > 0))
        return error_set(error, ERROR_NO_SPACE, "store %s refuses until it is recovered", store->path);
    enum error_code code = fake_disk_admit(store->path, changes->bytes, options.sync, error);
    store->refusing = code == ERROR_NO_SPACE;
    store->refusals = REFUSALS;
    if (code)
        return code;
    if (fake_mutant_write(store, changes, options.sync))
        return ERROR_OK;
    fake_store_write(store, changes);
    if (options.sync) {
        fake_store_sync(store);
        store->syncs++;
    }
    return ERROR_OK;
}

enum error_code kv_write(struct kv *self, struct kv_batch *batch, struct kv_write_options options,
                         struct error *error)
{
    return write_changes(self, &batch->changes, options, error);
}

/* --- overlays
 * ------------------------------------------------------------------------------------------------------- */

struct kv_overlay *kv_overlay_new(struct kv *self)
{
    struct kv_overlay *overlay = memory_zero(1, sizeof(*overlay));
    overlay->kv = self;
    return overlay;
}

static void forget_undos(struct kv_overlay *overlay)
{
    while (overlay->undo_count > 0) {
        struct undo *undo = &overlay->undos[--overlay->undo_count];
        fake_blob_drop(undo->key);
        fake_blob_drop(undo->value);
    }
}

void kv_overlay_clear(struct kv_overlay *overlay)
{
    forget_undos(overlay);
    overlay->mark_count = 0;
    fake_table_clear(&overlay->table);
}

void kv_overlay_free(struct kv_overlay *overlay)
{
    if (!overlay)
        return;
    kv_overlay_clear(overlay);
    free(overlay->undos);
    free(overlay);
}

static void overlay_set(struct kv_overlay *overlay, struct span key, struct fake_blob *value)
{
    if (overlay->mark_count > 0) {
        const struct fake_pair *before = fake_table_find(&overlay->table, key);
        if (overlay->undo_count == overlay->undo_capacity) {
            overlay->undo_capacity = overlay->undo_capacity ? overlay->undo_capacity * 2 : 16;
            overlay->undos = memory_resize(overlay->undos, overlay->undo_capacity * sizeof(*overlay->undos));
        }
        overlay->undos[overlay->undo_count++] =
            (struct undo){fake_blob_new(key), before ? fake_blob_keep(before->value) : NULL, before != NULL};
    }
    fake_table_put(&overlay->table, key, value);
}

void kv_overlay_put(struct kv_overlay *overlay, struct span key, struct span value)
{
    overlay_set(overlay, key, fake_blob_new(value));
}

void kv_overlay_delete(struct kv_overlay *overlay, struct span key)
{
    overlay_set(overlay, key, NULL);
}

enum error_code kv_overlay_get(struct kv_overlay *overlay, struct span key, struct bytes *value,
                               struct error *error)
{
    const struct fake_pair *found = fake_table_find(&overlay->table, key);
    if (!found)
        return kv_get(overlay->kv, NULL, key, value, error);
    if (!found->value)
        return ERROR_NOT_FOUND;
    bytes_append(value, found->value->data, found->value->bytes);
    return ERROR_OK;
}

void kv_overlay_mark(struct kv_overlay *overlay)
{
    CHECK(overlay->mark_count < sizeof(overlay->marks) / sizeof(overlay->marks[0]), "too many marks");
    overlay->marks[overlay->mark_count++] = overlay->undo_count;
}

void kv_overlay_rollback(struct kv_overlay *overlay)
{
    CHECK(overlay->mark_count > 0, "an overlay rolls back without a mark");
    size_t keep = overlay->marks[--overlay->mark_count];
    while (overlay->undo_count > keep) {
        struct undo *undo = &overlay->undos[--overlay->undo_count];
        struct span key = span_of(undo->key->data, undo->key->bytes);
        if (undo->was_there)
            fake_table_put(&overlay->table, key, undo->value); /* its reference moves */
        else
            fake_table_remove_one(&overlay->table, key);
        fake_blob_drop(undo->key);
    }
}

void kv_overlay_keep(struct kv_overlay *overlay)
{
    CHECK(overlay->mark_count > 0, "an overlay forgets a mark that it hasn't got");
    if (--overlay->mark_count == 0)
        forget_undos(overlay);
}

size_t kv_overlay_count(const struct kv_overlay *overlay)
{
    return fake_table_count(&overlay->table);
}

enum error_code kv_overlay_write(struct kv_overlay *overlay, struct kv_write_options options,
                                 struct error *error)
{
    struct fake_changes changes = {0};
    for (size_t i = 0; i < fake_table_count(&overlay->table); i++) {
        const struct fake_pair *pair = fake_table_at(&overlay->table, i);
        struct span key = fake_blob_span(pair->key);
        if (pair->value)
            fake_changes_add(&changes, FAKE_PUT, key, fake_blob_span(pair->value));
        else
            fake_changes_add(&changes, FAKE_DELETE, key, span_of(NULL, 0));
    }
    enum error_code code = write_changes(overlay->kv, &changes, options, error);
    fake_changes_clear(&changes);
    return code;
}

struct kv_iterator *kv_overlay_iterate(struct kv_overlay *overlay, struct span first, struct span limit,
                                       bool backwards)
{
    struct fake_table both = {0};
    size_t end = limit.bytes ? fake_table_lower(&overlay->table, limit) : fake_table_count(&overlay->table);
    fake_table_copy(&both, &overlay->kv->store->live);
    for (size_t i = fake_table_lower(&overlay->table, first); i < end; i++) {
        const struct fake_pair *pair = fake_table_at(&overlay->table, i);
        if (pair->value)
            fake_table_put(&both, fake_blob_span(pair->key), fake_blob_keep(pair->value));
        else
            fake_table_remove_one(&both, fake_blob_span(pair->key));
    }
    struct kv_iterator *iterator = iterate(&both, first, limit, backwards);
    fake_table_clear(&both);
    return iterator;
}

/* --- the whole store
 * ------------------------------------------------------------------------------------------------ */

enum error_code kv_flush(struct kv *self, struct error *error)
{
    if (is_dead(self))
        return dead(self, error);
    enum error_code code = fake_disk_admit(self->store->path, 0, true, error);
    if (code)
        return code;
    fake_store_sync(self->store);
    self->store->syncs++;
    return ERROR_OK;
}

enum error_code kv_checkpoint(struct kv *self, const char *folder, struct error *error)
{
    enum error_code code = kv_flush(self, error);
    if (code)
        return code;
    if (disk_exists(folder))
        return error_set(error, ERROR_EXISTS, "checkpoint to %s: it exists", folder);
    struct fake_store *copy = fake_store_get(folder, true);
    copy->exists = true;
    copy->refusing = false;
    fake_table_copy(&copy->durable, &self->store->durable);
    fake_table_copy(&copy->live, &self->store->durable);
    return ERROR_OK;
}

enum error_code kv_verify(struct kv *self, struct error *error)
{
    if (is_dead(self))
        return dead(self, error);
    if (fake_disk_is_damaged(self->store->path))
        return error_set(error, ERROR_CORRUPT, "store %s: a block's checksum is wrong", self->store->path);
    return ERROR_OK;
}

uint64_t kv_disk_bytes(struct kv *self)
{
    return disk_folder_bytes(self->store->path);
}

enum error_code kv_destroy(const char *folder, struct error *error)
{
    return disk_remove(folder, error);
}
