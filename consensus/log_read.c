/* Reading entries back, from the cache and from the disk. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "consensus/log_internal.h"

#define READ_BYTES_MAX (FRAME_BYTES_MAX / 2)

/* What has been read: the entries' data one after the other; pointers are set when all is there. */
struct reading {
    struct entry *entries;
    uint32_t count, count_max;
    struct bytes data;
};

static void reading_init(struct reading *self, uint32_t count_max)
{
    *self = (struct reading){.count_max = count_max, .entries = memory_zero(count_max, sizeof(struct entry))};
    bytes_init(&self->data, 0);
}

/* @return false when it is full: the first always fits */
static bool reading_add(struct reading *self, const struct entry *entry)
{
    if (self->count == self->count_max)
        return false;
    if (self->count > 0 && self->data.length + entry->data.bytes > READ_BYTES_MAX)
        return false;
    self->entries[self->count++] = *entry;
    bytes_append(&self->data, entry->data.data, entry->data.bytes);
    return true;
}

static void reading_take(struct reading *self, struct entry **entries, uint32_t *entry_count)
{
    size_t offset = 0;
    const uint8_t *data = bytes_take(&self->data, NULL); /* freed through the first entry's data */
    for (uint32_t i = 0; i < self->count; i++) {
        self->entries[i].data.data = data + offset;
        offset += self->entries[i].data.bytes;
    }
    *entries = self->entries;
    *entry_count = self->count;
}

void log_entries_free(struct entry *entries, uint32_t count)
{
    if (!entries)
        return;
    CHECK(count > 0, "entries without one");
    free((void *)(uintptr_t)entries[0].data.data);
    free(entries);
}

/* Consecutive entries from `index` on; stops at a gap, since a queued operation may just have removed what
 * follows. */
static enum error_code read_disk(struct kv *kv, uint64_t index, uint32_t count, struct reading *reading,
                                 struct error *error)
{
    uint8_t first_key[LOG_KEY_BYTES], limit_key[LOG_KEY_BYTES];
    struct span key, value;
    struct entry entry;
    enum error_code code = ERROR_OK;
    struct kv_iterator *iterator =
        kv_iterate(kv, NULL, log_entry_key(index, first_key), log_entry_key(index + count, limit_key), false);
    while (code == ERROR_OK && kv_iterator_next(iterator, &key, &value)) {
        code = log_entry_decode(key, value, &entry, error);
        if (code == ERROR_OK && (entry.index != index + reading->count || !reading_add(reading, &entry)))
            break;
    }
    enum error_code closing = kv_iterator_close(iterator, code ? NULL : error);
    if (code == ERROR_OK)
        code = closing;
    if (code == ERROR_OK && reading->count == 0)
        code = error_set(error, ERROR_NOT_FOUND, "entry %" PRIu64 " isn't in the log", index);
    return code;
}

static enum error_code check_range(const struct log *self, uint64_t index, struct error *error)
{
    if (index >= self->first_index && index <= self->last_index)
        return ERROR_OK;
    return error_set(error, ERROR_NOT_FOUND,
                     "entry %" PRIu64 " isn't in the log, which has %" PRIu64 " .. %" PRIu64, index,
                     self->first_index, self->last_index);
}

static bool is_cached(const struct log *self, uint64_t index)
{
    return self->cache.count > 0 && index >= self->cache.first;
}

/* How many of `count` entries from `index` on are to be read from the disk. */
static uint32_t on_disk(const struct log *self, uint64_t index, uint32_t count)
{
    uint64_t end = self->cache.count > 0 ? self->cache.first : self->last_index + 1;
    uint64_t before = end > index ? end - index : 0;
    return before < count ? (uint32_t)before : count;
}

static void read_cache(const struct log *self, uint64_t index, struct reading *reading)
{
    struct entry entry;
    while (log_cached(self, index++, &entry) && reading_add(reading, &entry))
        ;
}

enum error_code log_read(struct log *self, uint64_t index, uint32_t count, struct entry **entries,
                         uint32_t *entry_count, struct error *error)
{
    struct reading reading;
    enum error_code code = check_range(self, index, error);
    CHECK(count > 0, "a read of nothing");
    if (code)
        return code;
    if (count > self->last_index - index + 1)
        count = (uint32_t)(self->last_index - index + 1);
    uint32_t from_disk = on_disk(self, index, count);
    reading_init(&reading, count);
    if (from_disk > 0)
        code = read_disk(self->kv, index, from_disk, &reading, error);
    if (code) {
        bytes_done(&reading.data);
        free(reading.entries);
        return code;
    }
    if (reading.count == from_disk)
        read_cache(self, index + from_disk, &reading);
    reading_take(&reading, entries, entry_count);
    return ERROR_OK;
}

/* --- on the worker: only the store is touched there
 * --------------------------------------------------------------------- */

static void read_work(struct worker_job *job)
{
    struct log_read_job *read = (struct log_read_job *)job;
    struct reading reading;
    if (read->code != ERROR_OK || read->entries)
        return; /* answered already */
    reading_init(&reading, read->count);
    read->code = read_disk(read->log->kv, read->index, read->count, &reading, &read->error);
    if (read->code == ERROR_OK) {
        reading_take(&reading, &read->entries, &read->entry_count);
        return;
    }
    bytes_done(&reading.data);
    free(reading.entries);
}

static void read_done(struct worker_job *job)
{
    struct log_read_job *read = (struct log_read_job *)job;
    struct log *self = read->log;
    if (self->muted) {
        read->next = self->unheard;
        self->unheard = read;
        return;
    }
    if (read->code != ERROR_OK)
        read->done(read->context, NULL, 0, &read->error);
    else
        read->done(read->context, read->entries, read->entry_count, NULL);
    free(read);
}

void log_read_later(struct log *self, uint64_t index, uint32_t count,
                    void (*done)(void *context, struct entry *entries, uint32_t entry_count,
                                 const struct error *error),
                    void *context)
{
    struct log_read_job *read = memory_zero(1, sizeof(*read));
    CHECK(count > 0, "a read of nothing");
    read->job = (struct worker_job){.work = read_work, .done = read_done};
    read->log = self;
    read->index = index;
    read->done = done;
    read->context = context;
    read->code = check_range(self, index, &read->error);
    if (read->code == ERROR_OK && is_cached(self, index))
        read->code = log_read(self, index, count, &read->entries, &read->entry_count, &read->error);
    else if (read->code == ERROR_OK)
        read->count = on_disk(self, index, count);
    worker_submit(self->options.worker, &read->job);
}

void log_reads_resume(struct log *self)
{
    struct log_read_job *read = self->unheard;
    self->unheard = NULL;
    while (read) {
        struct log_read_job *next = read->next;
        worker_submit(self->options.worker, &read->job); /* answered already: only its end is told */
        read = next;
    }
}
