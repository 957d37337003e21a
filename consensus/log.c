/* Entries as they stand in memory. The disk follows through log_sync.c; what is told to be durable is decided
 * here. */
#include "consensus/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "consensus/log_internal.h"

/* --- the cache
 * -------------------------------------------------------------------------------------------------- */

static struct log_cached *cache_at(const struct log_cache *cache, uint64_t index)
{
    CHECK(index >= cache->first && index - cache->first < cache->count,
          "entry %" PRIu64 " of a cache of %zu from %" PRIu64, index, cache->count, cache->first);
    return &cache->items[(cache->head + (size_t)(index - cache->first)) & (cache->capacity - 1)];
}

static void cache_push(struct log_cache *cache, const struct entry *entry, uint64_t operation)
{
    if (cache->count == cache->capacity) {
        size_t capacity = cache->capacity ? cache->capacity * 2 : 64;
        struct log_cached *items = memory_new(capacity * sizeof(*items));
        for (size_t i = 0; i < cache->count; i++)
            items[i] = cache->items[(cache->head + i) & (cache->capacity - 1)];
        free(cache->items);
        cache->items = items;
        cache->head = 0;
        cache->capacity = capacity;
    }
    if (cache->count == 0)
        cache->first = entry->index;
    CHECK(entry->index == cache->first + cache->count, "entry %" PRIu64 " doesn't follow in the cache",
          entry->index);
    struct log_cached *item = &cache->items[(cache->head + cache->count++) & (cache->capacity - 1)];
    *item = (struct log_cached){.term = entry->term,
                                .operation = operation,
                                .type = entry->type,
                                .data = memory_new(entry->data.bytes),
                                .bytes = entry->data.bytes};
    if (entry->data.bytes > 0)
        memcpy(item->data, entry->data.data, entry->data.bytes);
    cache->bytes += sizeof(*item) + item->bytes;
}

static void cache_forget(struct log_cache *cache, struct log_cached *item)
{
    cache->bytes -= sizeof(*item) + item->bytes;
    free(item->data);
    cache->count--;
}

static void cache_pop_first(struct log_cache *cache)
{
    cache_forget(cache, &cache->items[cache->head]);
    cache->head = (cache->head + 1) & (cache->capacity - 1);
    cache->first++;
}

static void cache_truncate(struct log_cache *cache, uint64_t from_index)
{
    while (cache->count > 0 && cache->first + cache->count > from_index)
        cache_forget(cache, &cache->items[(cache->head + cache->count - 1) & (cache->capacity - 1)]);
}

/* Drops the oldest past the bound, but nothing that isn't on the disk yet. */
void log_cache_trim(struct log *self)
{
    struct log_cache *cache = &self->cache;
    while (cache->count > 0 && cache->bytes > LOG_CACHE_BYTES_MAX &&
           cache->items[cache->head].operation <= self->synced_operation)
        cache_pop_first(cache);
}

/* --- terms and changes
 * -------------------------------------------------------------------------------------------- */

static void add_change(struct log *self, uint64_t index, struct span data)
{
    if (self->change_count == self->change_capacity) {
        self->change_capacity = self->change_capacity ? self->change_capacity * 2 : 8;
        self->changes = memory_resize(self->changes, self->change_capacity * sizeof(*self->changes));
    }
    struct log_change *change = &self->changes[self->change_count++];
    *change = (struct log_change){.index = index, .data = memory_new(data.bytes), .bytes = data.bytes};
    if (data.bytes > 0)
        memcpy(change->data, data.data, data.bytes);
}

void log_memory_add(struct log *self, uint64_t index, uint64_t term, enum entry_type type, struct span data)
{
    CHECK(index == self->last_index + 1, "entry %" PRIu64 " after %" PRIu64, index, self->last_index);
    uint64_t term_before = self->run_count ? self->runs[self->run_count - 1].term : 0;
    CHECK(term >= term_before, "entry %" PRIu64 ": the term falls from %" PRIu64 " to %" PRIu64, index,
          term_before, term);
    if (self->run_count == 0 || term > term_before) {
        if (self->run_count == self->run_capacity) {
            self->run_capacity = self->run_capacity ? self->run_capacity * 2 : 16;
            self->runs = memory_resize(self->runs, self->run_capacity * sizeof(*self->runs));
        }
        self->runs[self->run_count++] = (struct log_run){.first = index, .term = term};
    }
    if (type == ENTRY_CHANGE)
        add_change(self, index, data);
    self->last_index = index;
}

static void memory_truncate(struct log *self, uint64_t from_index)
{
    cache_truncate(&self->cache, from_index);
    while (self->run_count > 0 && self->runs[self->run_count - 1].first >= from_index)
        self->run_count--;
    while (self->change_count > 0 && self->changes[self->change_count - 1].index >= from_index)
        free(self->changes[--self->change_count].data);
    self->last_index = from_index - 1;
}

static void memory_drop_head(struct log *self, uint64_t keep_from)
{
    size_t runs = 0, changes = 0;
    while (self->cache.count > 0 && self->cache.first < keep_from)
        cache_pop_first(&self->cache);
    while (runs + 1 < self->run_count && self->runs[runs + 1].first <= keep_from)
        runs++;
    if (self->run_count > 0) {
        self->run_count -= runs;
        memmove(self->runs, self->runs + runs, self->run_count * sizeof(*self->runs));
        self->runs[0].first = keep_from;
    }
    while (changes < self->change_count && self->changes[changes].index < keep_from)
        free(self->changes[changes++].data);
    self->change_count -= changes;
    if (changes > 0)
        memmove(self->changes, self->changes + changes, self->change_count * sizeof(*self->changes));
    self->first_index = keep_from;
    if (self->last_index < keep_from) /* nothing is left */
        self->run_count = 0;
}

void log_memory_reset(struct log *self, uint64_t last_index)
{
    while (self->cache.count > 0)
        cache_pop_first(&self->cache);
    while (self->change_count > 0)
        free(self->changes[--self->change_count].data);
    self->run_count = 0;
    self->last_index = last_index;
    self->first_index = last_index + 1;
}

/* --- asking
 * ------------------------------------------------------------------------------------------------------- */

void log_identity(const struct log *self, struct wire_identity *out)
{
    *out = self->identity;
}

const char *log_state_folder(const struct log *self)
{
    return self->state_folder;
}

uint64_t log_term(const struct log *self)
{
    return self->term;
}

uint64_t log_vote(const struct log *self)
{
    return self->vote;
}

uint64_t log_first_index(const struct log *self)
{
    return self->first_index;
}

uint64_t log_last_index(const struct log *self)
{
    return self->last_index;
}

/* Operations never fall along the cache, since each one replaces everything from its index on: so a binary
 * search finds the first entry that isn't durable. What isn't cached is. */
uint64_t log_durable_index(const struct log *self)
{
    size_t low = 0, high = self->cache.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (cache_at(&self->cache, self->cache.first + middle)->operation <= self->synced_operation)
            low = middle + 1;
        else
            high = middle;
    }
    return low == self->cache.count ? self->last_index : self->cache.first + low - 1;
}

uint64_t log_term_of(const struct log *self, uint64_t index)
{
    if (index != 0 && index == self->snapshot.index)
        return self->snapshot.term;
    if (index < self->first_index || index > self->last_index)
        return 0;
    size_t low = 0, high = self->run_count; /* the last run that begins at or before the index */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (self->runs[middle].first <= index)
            low = middle;
        else
            high = middle;
    }
    return self->runs[low].term;
}

uint64_t log_change_before(const struct log *self, uint64_t index, struct bytes *payload)
{
    for (size_t i = self->change_count; i > 0; i--) {
        const struct log_change *change = &self->changes[i - 1];
        if (change->index > index)
            continue;
        if (payload)
            bytes_append(payload, change->data, change->bytes);
        return change->index;
    }
    return 0;
}

uint64_t log_queued_bytes(const struct log *self)
{
    return self->gathered_bytes + (self->sync.running || self->stalled ? self->sync.bytes : 0);
}

bool log_cached(const struct log *self, uint64_t index, struct entry *out)
{
    if (self->cache.count == 0 || index < self->cache.first || index > self->last_index)
        return false;
    const struct log_cached *item = cache_at(&self->cache, index);
    *out = (struct entry){
        .index = index, .term = item->term, .type = item->type, .data = {item->data, item->bytes}};
    return true;
}

void log_snapshot(const struct log *self, struct log_snapshot *out)
{
    *out = self->snapshot;
}

void log_sync_times(const struct log *self, uint64_t *last_us, uint64_t *max_us)
{
    *last_us = self->sync_us_last;
    *max_us = self->sync_us_max;
}

const struct histogram *log_sync_histogram(const struct log *self)
{
    return &self->sync_us;
}

/* --- changing
 * ------------------------------------------------------------------------------------------------------ */

static void add_entry(struct log *self, const struct entry *entry, struct bytes *value)
{
    uint8_t key[LOG_KEY_BYTES];
    CHECK(entry->term <= self->term, "entry %" PRIu64 " of term %" PRIu64 " in term %" PRIu64, entry->index,
          entry->term, self->term);
    log_memory_add(self, entry->index, entry->term, entry->type, entry->data);
    cache_push(&self->cache, entry, self->operation);
    bytes_clear(value);
    log_entry_encode(entry, value);
    kv_batch_put(self->gathered, log_entry_key(entry->index, key), bytes_span(value));
    self->gathered_bytes += LOG_KEY_BYTES + value->length;
}

uint64_t log_append(struct log *self, const struct entry *entries, uint32_t count)
{
    uint8_t first_key[LOG_KEY_BYTES], limit_key[LOG_KEY_BYTES];
    uint64_t last_before = self->last_index;
    struct bytes value;
    CHECK(count > 0, "an append of nothing");
    CHECK(entries[0].index > self->snapshot.index && entries[0].index >= self->first_index &&
              entries[0].index <= self->last_index + 1,
          "an append at %" PRIu64 " to %" PRIu64 " .. %" PRIu64 ", snapshot %" PRIu64, entries[0].index,
          self->first_index, self->last_index, self->snapshot.index);
    CHECK(entries[0].index > self->mark_index,
          "an append at %" PRIu64 " replaces what is committed up to %" PRIu64, entries[0].index,
          self->mark_index);

    self->operation++;
    if (entries[0].index <= self->last_index)
        memory_truncate(self, entries[0].index);
    bytes_init(&value, 0);
    for (uint32_t i = 0; i < count; i++)
        add_entry(self, &entries[i], &value);
    bytes_done(&value);
    if (self->last_index < last_before) /* what isn't overwritten must go */
        kv_batch_delete_range(self->gathered, log_entry_key(self->last_index + 1, first_key),
                              log_entry_key(last_before + 1, limit_key));
    log_sync_start(self);
    return self->operation;
}

void log_snapshot_record(struct log *self, const struct log_snapshot *snapshot, uint64_t keep_from)
{
    uint8_t first_key[LOG_KEY_BYTES], limit_key[LOG_KEY_BYTES];
    CHECK(snapshot->index > self->snapshot.index && snapshot->index <= log_durable_index(self),
          "a snapshot at %" PRIu64 " after one at %" PRIu64 ", durable up to %" PRIu64, snapshot->index,
          self->snapshot.index, log_durable_index(self));
    CHECK(log_term_of(self, snapshot->index) == snapshot->term, "a snapshot at %" PRIu64 " of term %" PRIu64,
          snapshot->index, snapshot->term);
    CHECK(keep_from >= self->first_index && keep_from <= snapshot->index + 1,
          "a log from %" PRIu64 " is to be kept from %" PRIu64 ", snapshot %" PRIu64, self->first_index,
          keep_from, snapshot->index);
    self->operation++;
    log_put_snapshot(snapshot, self->gathered);
    if (keep_from > self->first_index)
        kv_batch_delete_range(self->gathered, log_entry_key(self->first_index, first_key),
                              log_entry_key(keep_from, limit_key));
    self->gathered_bytes += sizeof(*snapshot);
    self->snapshot = *snapshot;
    memory_drop_head(self, keep_from);
    log_sync_start(self);
}

enum error_code log_vote_write(struct log *self, uint64_t term, uint64_t vote, struct error *error)
{
    uint64_t term_before = self->term, vote_before = self->vote;
    CHECK(term >= self->term, "the term falls from %" PRIu64 " to %" PRIu64, self->term, term);
    CHECK(term > self->term || self->vote == 0 || vote == self->vote,
          "two votes in term %" PRIu64 ": %" PRIu64 " and %" PRIu64, term, self->vote, vote);
    struct kv_batch *batch = kv_batch_new();
    self->term = term;
    self->vote = vote;
    log_put_meta(self, batch);
    enum error_code code = log_write_now(self, batch, error);
    kv_batch_free(batch);
    if (code) {
        self->term = term_before;
        self->vote = vote_before;
        return code;
    }
    log_mark_start(self);
    return ERROR_OK;
}

enum error_code log_adopt(struct log *self, const char *cluster_id, uint64_t generation, struct error *error)
{
    struct wire_identity before = self->identity;
    CHECK(strlen(cluster_id) < sizeof(self->identity.cluster_id), "cluster id \"%s\" is too long",
          cluster_id);
    snprintf(self->identity.cluster_id, sizeof(self->identity.cluster_id), "%s", cluster_id);
    self->identity.generation = generation;
    struct kv_batch *batch = kv_batch_new();
    log_put_meta(self, batch);
    enum error_code code = log_write_now(self, batch, error);
    kv_batch_free(batch);
    if (code)
        self->identity = before;
    return code;
}

enum error_code log_install(struct log *self, const struct log_snapshot *snapshot, const char *state_folder,
                            struct error *error)
{
    uint8_t first_key[LOG_KEY_BYTES];
    CHECK(snapshot->index > self->snapshot.index && snapshot->term <= self->term,
          "an install of %" PRIu64 " over %" PRIu64, snapshot->index, self->snapshot.index);
    CHECK(name_valid(state_folder), "\"%s\" can't name a folder", state_folder);
    self->muted = true; /* the engine is in the middle of a step: nobody may be told of what ends now */
    worker_drain(self->options.worker);
    self->muted = false;
    struct kv_batch *batch = kv_batch_new();
    kv_batch_delete_range(batch, log_entry_key(0, first_key), log_entries_limit());
    log_put_snapshot(snapshot, batch);
    log_put_state_folder(state_folder, batch);
    enum error_code code = log_write_now(self, batch, error);
    kv_batch_free(batch);
    if (code == ERROR_OK) {
        self->stalled = false; /* what waited there is deleted */
        kv_batch_clear(self->sync.batch);
        kv_batch_clear(self->gathered);
        self->gathered_bytes = 0;
        self->synced_operation = self->operation;
        self->snapshot = *snapshot;
        snprintf(self->state_folder, sizeof(self->state_folder), "%s", state_folder);
        log_memory_reset(self, snapshot->index);
    }
    log_reads_resume(self);
    return code;
}

enum error_code log_switch_state(struct log *self, const char *state_folder, struct error *error)
{
    CHECK(name_valid(state_folder), "\"%s\" can't name a folder", state_folder);
    struct kv_batch *batch = kv_batch_new();
    log_put_state_folder(state_folder, batch);
    enum error_code code = log_write_now(self, batch, error);
    kv_batch_free(batch);
    if (code == ERROR_OK)
        snprintf(self->state_folder, sizeof(self->state_folder), "%s", state_folder);
    return code;
}

void log_check(const struct log *self)
{
    const struct log_cache *cache = &self->cache;
    bool empty = self->last_index + 1 == self->first_index;
    CHECK(self->first_index >= 1 && self->first_index <= self->last_index + 1, "(1) %" PRIu64 " .. %" PRIu64,
          self->first_index, self->last_index);
    CHECK(empty == (self->run_count == 0), "(1) %zu runs of terms", self->run_count);
    CHECK(empty || self->runs[0].first == self->first_index,
          "(1) terms from %" PRIu64 ", entries from %" PRIu64, self->runs[0].first, self->first_index);
    for (size_t i = 1; i < self->run_count; i++)
        CHECK(self->runs[i].first > self->runs[i - 1].first && self->runs[i].term > self->runs[i - 1].term,
              "(1) run %zu", i);
    CHECK(empty || self->runs[self->run_count - 1].first <= self->last_index, "(1) a run behind the end");
    CHECK(self->first_index <= self->snapshot.index + 1, "(1) a gap from %" PRIu64 " to %" PRIu64,
          self->snapshot.index, self->first_index);
    CHECK(cache->count == 0 || cache->first + cache->count - 1 == self->last_index,
          "(2) the cache ends early");
    CHECK(cache->count == 0 || cache_at(cache, self->last_index)->operation <= self->operation,
          "(2) unknown operation");
    CHECK(self->synced_operation <= self->operation, "(2) %" PRIu64 " of %" PRIu64, self->synced_operation,
          self->operation);
    CHECK(log_durable_index(self) <= self->last_index, "(3) durable behind the end");
    CHECK(self->mark_index <= log_durable_index(self), "(5) mark %" PRIu64 ", durable %" PRIu64,
          self->mark_index, log_durable_index(self));
}
