/* Writes that wait for their batch, and reads that see them over what the store holds.
 *
 * RocksDB has such a thing (WriteBatchWithIndex), but a put there costs more than in the store itself, an
 * undo rebuilds the whole index, and its batch reaches the memtable in the order of writing. Here a put is
 * two copies and a hash; an undo takes back the newest writes one by one; and the batch is written in key
 * order, each key once, which the memtable's skip list takes at a third of the cost.
 *
 * Invariants:
 *   (1) writes stand in `writes` in the order they came; marks are counts of them, rising;
 *   (2) of all writes of one key exactly the newest is in the hash's chains and not `covered`; `older` leads
 *       to those before;
 *   (3) writes that begin with one byte are chained from the newest to the oldest, so a walk looks at its
 *       own kind only;
 *   (4) nothing changes under an iterator. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/kv_internal.h"

#define NONE        UINT32_MAX
#define BUCKETS_MIN 1024u
#define KEPT_BYTES  (8u * 1024u * 1024u) /* memory that a cleared overlay keeps for the next group */
#define FIRST_BYTES 256u

struct pending { /* one put or delete */
    size_t at;   /* of its key in `data`, its value behind */
    uint32_t key_bytes, value_bytes;
    uint32_t hash;
    uint32_t next;    /* in its bucket's chain */
    uint32_t older;   /* the write of the same key before it */
    uint32_t sibling; /* the write before it whose key begins with the same byte */
    bool deleted;
    bool covered; /* a newer write of the key is there */
};

struct kv_overlay {
    struct kv *kv;
    struct kv_batch *batch;
    struct bytes data;
    struct pending *writes;
    uint32_t count, capacity;
    uint32_t *buckets;     /* newest write by key; NONE: empty */
    uint32_t bucket_count; /* a power of two */
    uint32_t first[FIRST_BYTES];
    uint32_t *marks;
    uint32_t mark_count, mark_capacity;
    uint32_t iterators;
};

static struct span key_of(const struct kv_overlay *overlay, const struct pending *write)
{
    return span_of(overlay->data.data + write->at, write->key_bytes);
}

static struct span value_of(const struct kv_overlay *overlay, const struct pending *write)
{
    return span_of(overlay->data.data + write->at + write->key_bytes, write->value_bytes);
}

/* FNV-1a over 8 bytes at a time: keys are short, and nobody outside chooses them freely enough to matter. */
static uint32_t hash_of(struct span key)
{
    const uint8_t *at = key.data;
    uint64_t hash = 0xcbf29ce484222325ull;
    size_t left = key.bytes;
    for (; left >= 8; at += 8, left -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        hash = (hash ^ word) * 0x100000001b3ull;
        hash ^= hash >> 29;
    }
    for (; left > 0; at++, left--)
        hash = (hash ^ *at) * 0x100000001b3ull;
    hash ^= hash >> 32;
    return (uint32_t)hash;
}

/* --- making and ending --- */

static void buckets_make(struct kv_overlay *overlay, uint32_t count)
{
    overlay->buckets = memory_resize(overlay->buckets, count * sizeof(uint32_t));
    overlay->bucket_count = count;
    memset(overlay->buckets, 0xff, count * sizeof(uint32_t));
}

struct kv_overlay *kv_overlay_new(struct kv *self)
{
    struct kv_overlay *overlay = memory_zero(1, sizeof(*overlay));
    overlay->kv = self;
    overlay->batch = kv_batch_new();
    bytes_init(&overlay->data, 0);
    buckets_make(overlay, BUCKETS_MIN);
    memset(overlay->first, 0xff, sizeof(overlay->first));
    return overlay;
}

void kv_overlay_free(struct kv_overlay *overlay)
{
    if (!overlay)
        return;
    CHECK(overlay->iterators == 0, "an overlay ends under %u iterators", overlay->iterators);
    kv_batch_free(overlay->batch);
    bytes_done(&overlay->data);
    free(overlay->writes);
    free(overlay->buckets);
    free(overlay->marks);
    free(overlay);
}

void kv_overlay_clear(struct kv_overlay *overlay)
{
    CHECK(overlay->iterators == 0, "an overlay changes under %u iterators", overlay->iterators);
    for (uint32_t i = 0; i < overlay->count; i++)
        overlay->buckets[overlay->writes[i].hash & (overlay->bucket_count - 1)] = NONE;
    memset(overlay->first, 0xff, sizeof(overlay->first));
    overlay->count = 0;
    overlay->mark_count = 0;
    if (overlay->data.capacity > KEPT_BYTES) {
        bytes_done(&overlay->data);
        bytes_init(&overlay->data, 0);
    } else {
        bytes_clear(&overlay->data);
    }
}

/* --- writing --- */

static uint32_t *chain_of(struct kv_overlay *overlay, uint32_t hash)
{
    return &overlay->buckets[hash & (overlay->bucket_count - 1)];
}

/* Where the chain points at the newest write of `key`, or at its end. */
static uint32_t *find(struct kv_overlay *overlay, struct span key, uint32_t hash)
{
    uint32_t *at = chain_of(overlay, hash);
    while (*at != NONE) {
        struct pending *write = &overlay->writes[*at];
        if (write->hash == hash && span_equal(key_of(overlay, write), key))
            break;
        at = &write->next;
    }
    return at;
}

static void grow(struct kv_overlay *overlay)
{
    if (overlay->count == overlay->capacity) {
        CHECK(overlay->capacity < NONE / 2, "an overlay of %u writes", overlay->capacity);
        overlay->capacity = overlay->capacity ? overlay->capacity * 2 : 256;
        overlay->writes = memory_resize(overlay->writes, overlay->capacity * sizeof(*overlay->writes));
    }
    if (overlay->count < overlay->bucket_count)
        return;
    buckets_make(overlay, overlay->bucket_count * 2);
    for (uint32_t i = 0; i < overlay->count; i++) {
        struct pending *write = &overlay->writes[i];
        if (write->covered)
            continue;
        uint32_t *chain = chain_of(overlay, write->hash);
        write->next = *chain;
        *chain = i;
    }
}

static void add(struct kv_overlay *overlay, struct span key, struct span value, bool deleted)
{
    CHECK(overlay->iterators == 0, "an overlay changes under %u iterators", overlay->iterators);
    CHECK(key.bytes > 0 && key.bytes < UINT32_MAX && value.bytes < UINT32_MAX,
          "key of %zu bytes, value of %zu", key.bytes, value.bytes);
    grow(overlay);
    const uint32_t hash = hash_of(key), position = overlay->count++;
    uint32_t *at = find(overlay, key, hash);
    uint32_t *first = &overlay->first[*(const uint8_t *)key.data];
    struct pending *write = &overlay->writes[position];
    *write = (struct pending){
        .at = overlay->data.length,
        .key_bytes = (uint32_t)key.bytes,
        .value_bytes = (uint32_t)value.bytes,
        .hash = hash,
        .next = NONE,
        .older = *at,
        .sibling = *first,
        .deleted = deleted,
    };
    if (*at != NONE) {
        write->next = overlay->writes[*at].next;
        overlay->writes[*at].covered = true;
    }
    *at = position;
    *first = position;
    bytes_append(&overlay->data, key.data, key.bytes);
    bytes_append(&overlay->data, value.data, value.bytes);
}

void kv_overlay_put(struct kv_overlay *overlay, struct span key, struct span value)
{
    add(overlay, key, value, false);
}

void kv_overlay_delete(struct kv_overlay *overlay, struct span key)
{
    add(overlay, key, span_of(NULL, 0), true);
}

/* The newest write never was. */
static void take_back(struct kv_overlay *overlay)
{
    const uint32_t position = overlay->count - 1;
    struct pending *write = &overlay->writes[position];
    uint32_t *at = find(overlay, key_of(overlay, write), write->hash);
    CHECK(*at == position, "write %u is not the newest of its key, %u is", position, *at);
    if (write->older == NONE) {
        *at = write->next;
    } else {
        struct pending *older = &overlay->writes[write->older];
        older->next = write->next;
        older->covered = false;
        *at = write->older;
    }
    overlay->first[overlay->data.data[write->at]] = write->sibling;
    overlay->data.length = write->at;
    overlay->count = position;
}

void kv_overlay_mark(struct kv_overlay *overlay)
{
    if (overlay->mark_count == overlay->mark_capacity) {
        overlay->mark_capacity = overlay->mark_capacity ? overlay->mark_capacity * 2 : 16;
        overlay->marks = memory_resize(overlay->marks, overlay->mark_capacity * sizeof(*overlay->marks));
    }
    overlay->marks[overlay->mark_count++] = overlay->count;
}

void kv_overlay_rollback(struct kv_overlay *overlay)
{
    CHECK(overlay->iterators == 0, "an overlay changes under %u iterators", overlay->iterators);
    CHECK(overlay->mark_count > 0, "an overlay rolls back without a mark");
    const uint32_t mark = overlay->marks[--overlay->mark_count];
    while (overlay->count > mark)
        take_back(overlay);
}

void kv_overlay_keep(struct kv_overlay *overlay)
{
    CHECK(overlay->mark_count > 0, "an overlay forgets a mark that it hasn't got");
    overlay->mark_count--;
}

size_t kv_overlay_count(const struct kv_overlay *overlay)
{
    return overlay->count;
}

/* --- reading --- */

enum error_code kv_overlay_get(struct kv_overlay *overlay, struct span key, struct bytes *value,
                               struct error *error)
{
    const uint32_t position = *find(overlay, key, hash_of(key));
    if (position == NONE)
        return kv_get(overlay->kv, NULL, key, value, error);
    const struct pending *write = &overlay->writes[position];
    if (write->deleted)
        return ERROR_NOT_FOUND;
    const struct span found = value_of(overlay, write);
    bytes_append(value, found.data, found.bytes);
    return ERROR_OK;
}

int kv_key_compare(struct span a, struct span b)
{
    const size_t common = a.bytes < b.bytes ? a.bytes : b.bytes;
    const int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    return order ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

struct sorted { /* by key; the key is at hand for the comparisons */
    struct span key;
    uint32_t position;
};

static int sorted_compare(const void *a, const void *b)
{
    return kv_key_compare(((const struct sorted *)a)->key, ((const struct sorted *)b)->key);
}

/* The newest writes of all keys with first <= key < limit, in key order; the caller frees them. */
static struct sorted *sorted_writes(const struct kv_overlay *overlay, struct span first, struct span limit,
                                    uint32_t *count)
{
    struct sorted *rows = NULL;
    uint32_t found = 0, capacity = 0;
    const unsigned low = first.bytes > 0 ? *(const uint8_t *)first.data : 0;
    const unsigned high = limit.bytes > 0 ? *(const uint8_t *)limit.data : FIRST_BYTES - 1;
    for (unsigned byte = low; byte <= high; byte++) {
        for (uint32_t i = overlay->first[byte]; i != NONE; i = overlay->writes[i].sibling) {
            const struct span key = key_of(overlay, &overlay->writes[i]);
            if (overlay->writes[i].covered || kv_key_compare(key, first) < 0 ||
                (limit.bytes > 0 && kv_key_compare(key, limit) >= 0))
                continue;
            if (found == capacity) {
                capacity = capacity ? capacity * 2 : 64;
                rows = memory_resize(rows, capacity * sizeof(*rows));
            }
            rows[found++] = (struct sorted){key, i};
        }
    }
    if (found > 1)
        qsort(rows, found, sizeof(*rows), sorted_compare);
    *count = found;
    return rows;
}

enum error_code kv_overlay_write(struct kv_overlay *overlay, struct kv_write_options options,
                                 struct error *error)
{
    uint32_t count = 0;
    struct sorted *rows = sorted_writes(overlay, span_of(NULL, 0), span_of(NULL, 0), &count);
    kv_batch_clear(overlay->batch);
    for (uint32_t i = 0; i < count; i++) {
        const struct pending *write = &overlay->writes[rows[i].position];
        if (write->deleted)
            kv_batch_delete(overlay->batch, rows[i].key);
        else
            kv_batch_put(overlay->batch, rows[i].key, value_of(overlay, write));
    }
    free(rows);
    const enum error_code code = kv_write(overlay->kv, overlay->batch, options, error);
    kv_batch_clear(overlay->batch);
    return code;
}

/* --- walking --- */

struct kv_merge {
    struct kv_overlay *overlay;
    struct sorted *rows;
    uint32_t count, at; /* `at` rows are behind us */
    bool backwards;
    bool loaded, ended;     /* the store's next pair: it is at hand; there is none */
    struct span key, value; /* that pair */
};

struct kv_iterator *kv_overlay_iterate(struct kv_overlay *overlay, struct span first, struct span limit,
                                       bool backwards)
{
    struct kv_iterator *iterator = kv_iterate(overlay->kv, NULL, first, limit, backwards);
    struct kv_merge *merge = memory_zero(1, sizeof(*merge));
    merge->overlay = overlay;
    merge->backwards = backwards;
    merge->rows = sorted_writes(overlay, first, limit, &merge->count);
    overlay->iterators++;
    kv_iterator_merge(iterator, merge);
    return iterator;
}

static const struct sorted *merge_row(const struct kv_merge *merge)
{
    if (merge->at == merge->count)
        return NULL;
    return &merge->rows[merge->backwards ? merge->count - 1 - merge->at : merge->at];
}

/* Below 0: the store's pair comes first; above 0: the overlay's; 0: both have the key. */
static int merge_order(const struct kv_merge *merge, const struct sorted *row)
{
    if (!row)
        return -1;
    if (merge->ended)
        return 1;
    const int order = kv_key_compare(merge->key, row->key);
    return merge->backwards ? -order : order;
}

bool kv_merge_next(struct kv_merge *merge, struct kv_iterator *iterator, struct span *key, struct span *value)
{
    for (;;) {
        if (!merge->loaded && !merge->ended) {
            merge->loaded = kv_iterator_step(iterator, &merge->key, &merge->value);
            merge->ended = !merge->loaded;
        }
        const struct sorted *row = merge_row(merge);
        if (!row && merge->ended)
            return false;
        const int order = merge_order(merge, row);
        if (order <= 0)
            merge->loaded = false; /* it is taken, or covered */
        if (order < 0) {
            *key = merge->key;
            *value = merge->value;
            return true;
        }
        merge->at++;
        const struct pending *write = &merge->overlay->writes[row->position];
        if (write->deleted)
            continue;
        *key = row->key;
        *value = value_of(merge->overlay, write);
        return true;
    }
}

void kv_merge_free(struct kv_merge *merge)
{
    merge->overlay->iterators--;
    free(merge->rows);
    free(merge);
}
