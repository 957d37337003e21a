/* Reading at a snapshot, from any thread: a view shares nothing with others but the store itself. */
#include "fsm/view.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "fsm/fsm_internal.h"

#define ITEM_ARENA_BYTES (16u * 1024u * 1024u) /* what one row of a list may take to decode */

struct view {
    struct kv *kv;
    struct kv_snapshot *snapshot;
    struct store_meta meta;
    struct error error; /* latched */
};

struct view *view_open(struct fsm *fsm)
{
    struct view *self = memory_zero(1, sizeof(*self));
    self->kv = store_kv(fsm_store(fsm));
    self->snapshot = kv_snapshot_take(self->kv);
    struct error error = {0};
    if (store_meta_read(self->kv, self->snapshot, &self->meta, &error) != ERROR_OK)
        self->error = error;
    return self;
}

void view_close(struct view *self)
{
    if (!self)
        return;
    kv_snapshot_release(self->kv, self->snapshot);
    free(self);
}

uint64_t view_index(const struct view *self)
{
    return self->meta.index;
}

uint64_t view_time_ms(const struct view *self)
{
    return self->meta.time_ms;
}

uint64_t view_audit_last(const struct view *self)
{
    return self->meta.audit_seq;
}

/* --- reading --- */

void view_fail(struct view *self, enum error_code code, const char *format, ...)
{
    if (self->error.code != ERROR_OK)
        return;
    va_list arguments;
    va_start(arguments, format);
    error_setv(&self->error, code, format, arguments);
    va_end(arguments);
}

enum error_code view_result(const struct view *self, struct error *error)
{
    if (self->error.code != ERROR_OK && error)
        *error = self->error;
    return self->error.code;
}

bool view_get(struct view *self, const struct store_key *key, struct bytes *value)
{
    struct error error = {0};
    const enum error_code code = kv_get(self->kv, self->snapshot, store_key_span(key), value, &error);
    if (code != ERROR_OK && code != ERROR_NOT_FOUND)
        view_fail(self, code, "%s", error.message);
    return code == ERROR_OK;
}

bool view_unpack(struct view *self, const struct schema *schema, struct span value, struct arena *arena,
                 void *record)
{
    struct error error = {0};
    const enum error_code code = schema_unpack(schema, value, arena, record, &error);
    if (code != ERROR_OK)
        view_fail(self, code, "%s", error.message);
    return code == ERROR_OK;
}

bool view_get_record(struct view *self, const struct store_key *key, const struct schema *schema,
                     struct arena *arena, void *record)
{
    struct bytes value;
    bytes_init(&value, 0);
    const bool found =
        view_get(self, key, &value) && view_unpack(self, schema, bytes_span(&value), arena, record);
    bytes_done(&value);
    return found;
}

void view_scan_range(struct view *self, const struct store_key *first, const struct store_key *limit,
                     bool backwards, store_visit_fn *visit, void *context)
{
    struct kv_iterator *iterator =
        kv_iterate(self->kv, self->snapshot, store_key_span(first), store_key_span(limit), backwards);
    struct span key, value;
    while (kv_iterator_next(iterator, &key, &value) && visit(context, key, value)) {
    }
    struct error error = {0};
    const enum error_code code = kv_iterator_close(iterator, &error);
    if (code != ERROR_OK)
        view_fail(self, code, "%s", error.message);
}

void view_scan(struct view *self, const struct store_key *prefix, bool backwards, store_visit_fn *visit,
               void *context)
{
    const struct store_key limit = store_key_after(prefix);
    view_scan_range(self, prefix, &limit, backwards, visit, context);
}

enum error_code view_digest(struct view *self, uint64_t index, uint8_t out[DIGEST_BYTES], struct error *error)
{
    const struct store_key key = store_key_u64('d', index);
    struct bytes value;
    bytes_init(&value, 0);
    enum error_code code = view_get(self, &key, &value) ? ERROR_OK : view_result(self, error);
    if (code == ERROR_OK && value.length == 0)
        code =
            error_set(error, ERROR_NOT_FOUND, "no digest is kept of index %llu", (unsigned long long)index);
    else if (code == ERROR_OK && value.length != DIGEST_BYTES)
        code = error_set(error, ERROR_CORRUPT, "the digest of index %llu has %zu bytes",
                         (unsigned long long)index, value.length);
    else if (code == ERROR_OK)
        memcpy(out, value.data, DIGEST_BYTES);
    bytes_done(&value);
    return code;
}

/* --- pages --- */

#define CURSOR_CHECK_BYTES 4u

struct page_walk {
    struct view *view;
    view_item_fn *item;
    void *context;
    struct arena arena; /* one row's */
    json_t *items;
    uint32_t limit, rows;
    struct store_key last; /* looked at */
    bool more;             /* rows follow `last` */
};

/* The key that was looked at last, behind its checksum, as hex: opaque, and a damaged one is told from a good
 * one. */
static json_t *cursor_text(const struct store_key *last)
{
    uint8_t raw[CURSOR_CHECK_BYTES + sizeof(last->data)];
    char text[2 * sizeof(raw) + 1];
    put_u32(raw, crc32c(0, last->data, last->length));
    memcpy(raw + CURSOR_CHECK_BYTES, last->data, last->length);
    hex_encode(raw, CURSOR_CHECK_BYTES + last->length, text);
    return json_string(text);
}

static bool cursor_parse(const char *cursor, const struct store_key *prefix, struct store_key *out)
{
    uint8_t raw[CURSOR_CHECK_BYTES + sizeof(out->data)];
    const size_t digits = strlen(cursor);
    if (digits % 2 != 0 || digits / 2 <= CURSOR_CHECK_BYTES || digits / 2 > sizeof(raw) ||
        !hex_decode(cursor, raw, digits / 2))
        return false;
    const size_t length = digits / 2 - CURSOR_CHECK_BYTES;
    const uint8_t *key = raw + CURSOR_CHECK_BYTES;
    if (get_u32(raw) != crc32c(0, key, length) || length < prefix->length || length > sizeof(out->data) - 1 ||
        memcmp(key, prefix->data, prefix->length) != 0)
        return false;
    memcpy(out->data, key, length);
    out->length = length;
    return true;
}

static bool page_visit(void *context, struct span key, struct span value)
{
    struct page_walk *walk = context;
    if (json_array_size(walk->items) >= walk->limit || walk->rows >= VIEW_PAGE_ROWS_MAX) {
        walk->more = true;
        return false;
    }
    walk->rows++;
    walk->last.length = 0;
    store_key_append(&walk->last, key);
    json_t *item = walk->item(walk->context, walk->view, key, value, &walk->arena);
    if (item)
        json_array_append_new(walk->items, item);
    arena_clear(&walk->arena);
    return true;
}

enum error_code view_page(struct view *self, const struct store_key *prefix, const struct page *page,
                          view_item_fn *item, void *context, struct json_t **out, struct error *error)
{
    struct store_key first = *prefix;
    const struct store_key limit = store_key_after(prefix);
    if (page->limit == 0 || page->limit > PAGE_LIMIT_MAX)
        return error_set(error, ERROR_INVALID, "limit: %u is not within 1 .. %u", page->limit,
                         PAGE_LIMIT_MAX);
    if (page->cursor && !cursor_parse(page->cursor, prefix, &first))
        return error_set(error, ERROR_INVALID, "cursor: not one that this list gave");
    if (page->cursor)
        store_key_append_u8(&first, 0); /* the first key after the one looked at last */

    struct page_walk walk = {
        .view = self, .item = item, .context = context, .items = json_array(), .limit = page->limit};
    arena_init(&walk.arena, ITEM_ARENA_BYTES);
    view_scan_range(self, &first, &limit, false, page_visit, &walk);
    arena_done(&walk.arena);

    const enum error_code code = view_result(self, error);
    if (code != ERROR_OK) {
        json_decref(walk.items);
        return code;
    }
    json_t *answer = json_object();
    json_object_set_new(answer, "items", walk.items);
    json_object_set_new(answer, "next_cursor", walk.more ? cursor_text(&walk.last) : json_null());
    *out = answer;
    return ERROR_OK;
}

/* --- one reader for both sides --- */

struct reader view_reader(struct view *self)
{
    return (struct reader){.view = self};
}

const struct store_meta *reader_meta(struct reader reader)
{
    CHECK(!reader.store != !reader.view, "a reader reads a store or a view");
    return reader.store ? store_meta(reader.store) : &reader.view->meta;
}

void reader_damaged(struct reader reader, const char *why)
{
    struct error error = {0};
    CHECK(!reader.store != !reader.view, "a reader reads a store or a view");
    if (reader.view) {
        view_fail(reader.view, ERROR_CORRUPT, "%s", why);
        return;
    }
    (void)error_set(&error, ERROR_CORRUPT, "%s", why);
    store_fail(reader.store, &error);
}

bool reader_get(struct reader reader, const struct store_key *key, struct bytes *value)
{
    CHECK(!reader.store != !reader.view, "a reader reads a store or a view");
    return reader.store ? store_get(reader.store, key, value) : view_get(reader.view, key, value);
}

bool reader_get_record(struct reader reader, const struct store_key *key, const struct schema *schema,
                       struct arena *arena, void *record)
{
    CHECK(!reader.store != !reader.view, "a reader reads a store or a view");
    return reader.store ? store_get_record(reader.store, key, schema, arena, record)
                        : view_get_record(reader.view, key, schema, arena, record);
}

void reader_scan(struct reader reader, const struct store_key *prefix, bool backwards, store_visit_fn *visit,
                 void *context)
{
    CHECK(!reader.store != !reader.view, "a reader reads a store or a view");
    if (reader.store)
        store_scan(reader.store, prefix, backwards, visit, context);
    else
        view_scan(reader.view, prefix, backwards, visit, context);
}

bool reader_unpack(struct reader reader, const struct schema *schema, struct span value, struct arena *arena,
                   void *record)
{
    CHECK(!reader.store != !reader.view, "a reader reads a store or a view");
    return reader.store ? store_unpack(reader.store, schema, value, arena, record)
                        : view_unpack(reader.view, schema, value, arena, record);
}
