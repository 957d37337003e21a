/* The trail in the store.
 *
 * A record stands under its seq; four indexes (category, event name, actor, resource) hold its seq under
 * their value, so a query reads what it returns and little more: it walks the most selective index that its
 * filter names and looks at each record found there. Time never runs backwards along the trail, so a period
 * is a range of seqs, found by halving. */
#include "fsm/audit_store.h"

#include <string.h>

#include "base/check.h"
#include "fsm/view.h"

/* The numbers stand in keys. */
enum index_kind { INDEX_CATEGORY = 1, INDEX_EVENT = 2, INDEX_ACTOR = 3, INDEX_RESOURCE = 4 };

#define QUERY_ARENA_BYTES                                                                                    \
    (1024u * 1024u) /* one record: a command's bytes at most, with room for its pointers */

static void fail_missing(struct reader reader, uint64_t seq)
{
    struct error error = {0};
    (void)error_set(&error, ERROR_CORRUPT, "audit record %llu is missing", (unsigned long long)seq);
    if (reader.store)
        store_fail(reader.store, &error);
    else
        view_fail(reader.view, error.code, "%s", error.message);
}

static struct store_key index_prefix(enum index_kind kind, const char *value)
{
    struct store_key key = store_key1('A', span_of(NULL, 0));
    store_key_append_u8(&key, (uint8_t)kind);
    store_key_append(&key, span_text(value));
    store_key_append_u8(&key, 0);
    return key;
}

/* --- appending --- */

static const char *text_bounded(struct arena *arena, const char *text, size_t bytes_max)
{
    if (!text || text[0] == '\0')
        return NULL;
    size_t length = strlen(text);
    if (length <= bytes_max)
        return text;
    length = bytes_max;
    while (length > 0 && !utf8_valid(text, length))
        length--; /* never cut inside a character */
    return arena_text(arena, text, length);
}

static void record_bound(struct arena *arena, struct audit_record *record)
{
    for (size_t i = 0; i < audit_schema.field_count; i++) {
        const struct field *field = &audit_schema.fields[i];
        if (field->type != FIELD_TEXT)
            continue;
        const char **text = (const char **)((uint8_t *)record + field->offset);
        *text = text_bounded(arena, *text, field->max);
    }
}

static void index_put(struct store *store, enum index_kind kind, const char *value, uint64_t seq)
{
    if (!value)
        return;
    struct store_key key = index_prefix(kind, value);
    store_key_append_u64(&key, seq);
    store_put(store, &key, span_of(NULL, 0));
}

/* What a record's rows in the indexes stand under. */
static void indexes_visit(const struct audit_record *record, struct store *store,
                          void (*visit)(struct store *store, enum index_kind kind, const char *value,
                                        uint64_t seq))
{
    visit(store, INDEX_CATEGORY, audit_category_name(record->category), record->seq);
    visit(store, INDEX_EVENT, record->event_name, record->seq);
    visit(store, INDEX_ACTOR, record->actor, record->seq);
    visit(store, INDEX_RESOURCE, record->resource, record->seq);
}

uint64_t audit_append(struct store *store, struct arena *arena, const struct audit_record *record)
{
    struct store_meta *meta = store_meta(store);
    struct audit_record whole = *record;
    uint8_t hash[DIGEST_BYTES];

    CHECK(whole.category < AUDIT_CATEGORY_COUNT && whole.outcome < AUDIT_OUTCOME_COUNT,
          "category %u, outcome %u", whole.category, whole.outcome);
    record_bound(arena, &whole);
    whole.seq = meta->audit_seq + 1;
    whole.prev_hash = span_of(meta->audit_hash, DIGEST_BYTES);
    audit_hash(&whole, hash);
    whole.hash = span_of(hash, DIGEST_BYTES);

    const struct store_key key = store_key_u64('a', whole.seq);
    store_put_record(store, &key, &audit_schema, &whole);
    indexes_visit(&whole, store, index_put);

    meta->audit_seq = whole.seq;
    memcpy(meta->audit_hash, hash, DIGEST_BYTES);
    return whole.seq;
}

static void index_delete(struct store *store, enum index_kind kind, const char *value, uint64_t seq)
{
    if (!value)
        return;
    struct store_key key = index_prefix(kind, value);
    store_key_append_u64(&key, seq);
    store_delete(store, &key);
}

void audit_remove(struct store *store, uint64_t seq)
{
    struct arena arena;
    struct audit_record record;
    const struct store_key key = store_key_u64('a', seq);
    arena_init(&arena, QUERY_ARENA_BYTES);
    if (store_get_record(store, &key, &audit_schema, &arena, &record)) {
        store_delete(store, &key);
        indexes_visit(&record, store, index_delete);
    } else {
        fail_missing((struct reader){.store = store}, seq);
    }
    arena_done(&arena);
}

/* --- querying --- */

struct query {
    struct view *view;
    const struct audit_filter *filter;
    struct arena arena; /* one record's */
    bool indexed;       /* the scan runs over an index: keys end with the seq */
    bool (*visit)(void *context, const struct audit_record *record);
    void *context;
};

static bool query_value(struct query *query, struct span value)
{
    struct audit_record record;
    bool more = true;
    if (!view_unpack(query->view, &audit_schema, value, &query->arena, &record))
        return false;
    if (audit_filter_match(query->filter, &record))
        more = query->visit(query->context, &record);
    arena_clear(&query->arena);
    return more;
}

static bool query_visit(void *context, struct span key, struct span value)
{
    struct query *query = context;
    if (!query->indexed)
        return query_value(query, value);

    const uint64_t seq = get_u64((const uint8_t *)key.data + key.bytes - 8);
    const struct store_key record_key = store_key_u64('a', seq);
    struct bytes record;
    bytes_init(&record, 0);
    bool more = view_get(query->view, &record_key, &record);
    if (more)
        more = query_value(query, bytes_span(&record));
    else
        view_fail(query->view, ERROR_CORRUPT, "audit record %llu is in an index and not in the trail",
                  (unsigned long long)seq);
    bytes_done(&record);
    return more;
}

/* The index that narrows most; a value too long for any record has no row, and no index either. */
static struct store_key query_prefix(const struct audit_filter *filter, bool *indexed)
{
    *indexed = true;
    if (filter->resource && strlen(filter->resource) <= PRINCIPAL_BYTES_MAX)
        return index_prefix(INDEX_RESOURCE, filter->resource);
    if (filter->actor && strlen(filter->actor) <= PRINCIPAL_BYTES_MAX)
        return index_prefix(INDEX_ACTOR, filter->actor);
    if (filter->event_type && strlen(filter->event_type) <= NAME_BYTES_MAX)
        return index_prefix(INDEX_EVENT, filter->event_type);
    if (filter->category)
        return index_prefix(INDEX_CATEGORY, filter->category);
    *indexed = false;
    return store_key1('a', span_of(NULL, 0));
}

static bool first_of_visit(void *context, struct span key, struct span value)
{
    uint64_t *seq = context;
    (void)value;
    *seq = get_u64((const uint8_t *)key.data + key.bytes - 8);
    return false;
}

uint64_t audit_first_of(struct reader reader, const char *resource, uint64_t first_seq)
{
    uint64_t seq = 0;
    struct store_key first = index_prefix(INDEX_RESOURCE, resource);
    const struct store_key limit = store_key_after(&first);
    store_key_append_u64(&first, first_seq);
    if (reader.store)
        store_scan_range(reader.store, &first, &limit, false, first_of_visit, &seq);
    else
        view_scan_range(reader.view, &first, &limit, false, first_of_visit, &seq);
    return seq;
}

/* --- a period as a range of seqs --- */

uint64_t audit_seq_at(struct reader reader, uint64_t low, uint64_t high, uint64_t time_ms)
{
    struct arena arena;
    arena_init(&arena, QUERY_ARENA_BYTES);
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        const struct store_key key = store_key_u64('a', middle);
        struct audit_record record;
        if (!reader_get_record(reader, &key, &audit_schema, &arena, &record)) {
            fail_missing(reader, middle);
            low = high;
        } else if (record.timestamp < time_ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
        arena_clear(&arena);
    }
    arena_done(&arena);
    return low;
}

struct seq_range {
    uint64_t first, limit; /* first <= seq < limit */
};

static struct seq_range query_range(struct query *query, bool oldest_first, uint64_t from_seq)
{
    struct audit_anchor anchor;
    const struct reader reader = view_reader(query->view);
    const uint64_t end = view_audit_last(query->view) + 1;
    const uint64_t begin = view_audit_anchor(query->view, &anchor);

    struct seq_range range = {begin, end};
    if (query->filter->start_ms != 0)
        range.first = audit_seq_at(reader, begin, end, query->filter->start_ms);
    if (query->filter->end_ms != 0 && query->filter->end_ms < UINT64_MAX)
        range.limit = audit_seq_at(reader, begin, end, query->filter->end_ms + 1);
    if (from_seq != 0 && oldest_first && from_seq > range.first)
        range.first = from_seq;
    if (from_seq != 0 && !oldest_first && from_seq < range.limit)
        range.limit = from_seq + 1;
    return range;
}

enum error_code view_audit(struct view *self, const struct audit_filter *filter, bool oldest_first,
                           uint64_t from_seq, bool (*visit)(void *context, const struct audit_record *record),
                           void *context, struct error *error)
{
    static const struct audit_filter all = {0};
    struct query query = {.view = self, .filter = filter ? filter : &all, .visit = visit, .context = context};
    const enum error_code code = audit_filter_check(query.filter, error);
    if (code != ERROR_OK)
        return code;

    arena_init(&query.arena, QUERY_ARENA_BYTES);
    const struct seq_range range = query_range(&query, oldest_first, from_seq);
    if (range.first < range.limit) {
        struct store_key first = query_prefix(query.filter, &query.indexed);
        struct store_key limit = first;
        store_key_append_u64(&first, range.first);
        store_key_append_u64(&limit, range.limit);
        view_scan_range(self, &first, &limit, !oldest_first, query_visit, &query);
    }
    arena_done(&query.arena);
    return view_result(self, error);
}
