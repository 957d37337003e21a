/* The readers' side: the same keys and records as fsm/store.h, as they were at one moment, from any thread.
 *
 * Errors latch, as in the store: a read that fails says "not there", and view_result() tells at the end
 * whether the answer may be given. So a view function reads, builds its JSON, and ends with view_result(). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/schema.h"
#include "fsm/fsm.h"
#include "fsm/store.h"

/** @return false: not there (or a latched error). The value is appended. */
bool view_get(struct view *self, const struct store_key *key, struct bytes *value);
bool view_get_record(struct view *self, const struct store_key *key, const struct schema *schema,
                     struct arena *arena, void *record);
/** Visits keys that begin with `prefix`, in order (or backwards); stops when `visit` returns false. */
void view_scan(struct view *self, const struct store_key *prefix, bool backwards, store_visit_fn *visit,
               void *context);
/** The same for first <= key < limit. */
void view_scan_range(struct view *self, const struct store_key *first, const struct store_key *limit,
                     bool backwards, store_visit_fn *visit, void *context);
/** Unpacks a stored value; a value that doesn't fit its schema latches ERROR_CORRUPT. */
bool view_unpack(struct view *self, const struct schema *schema, struct span value, struct arena *arena,
                 void *record);
/** Latches an error of the caller's own (the first one stays). */
void view_fail(struct view *self, enum error_code code, const char *format, ...) PRINTF(3, 4);
/** ERROR_OK, or the first error met since view_open(). */
enum error_code view_result(const struct view *self, struct error *error) MUST_USE;

/** Makes one item of a list. @return a new reference, or NULL to leave the row out */
typedef struct json_t *view_item_fn(void *context, struct view *view, struct span key, struct span value,
                                    struct arena *arena);
/** Lists the keys that begin with `prefix`, a page at a time: {"items": [...], "next_cursor": "..." or null}.
 * Looks at no more than VIEW_PAGE_ROWS_MAX rows: with many rows left out a page may be short and still have a
 * next one. */
#define VIEW_PAGE_ROWS_MAX 10000u
#define PAGE_LIMIT_MAX     1000u
enum error_code view_page(struct view *self, const struct store_key *prefix, const struct page *page,
                          view_item_fn *item, void *context, struct json_t **out,
                          struct error *error) MUST_USE;

/** What is the same inside a group and at a view: exactly one of the two is set. Code that decides (gates,
 * targets, flag evaluation) reads through this, so that a GET answers what a command would see. */
struct reader {
    struct store *store;
    struct view *view;
};
struct reader view_reader(struct view *self);
/** Counts and time as of what the reader sees. */
const struct store_meta *reader_meta(struct reader reader);
/** Latches ERROR_CORRUPT: a record has its form, and contradicts itself. */
void reader_damaged(struct reader reader, const char *why);
bool reader_get(struct reader reader, const struct store_key *key, struct bytes *value);
bool reader_get_record(struct reader reader, const struct store_key *key, const struct schema *schema,
                       struct arena *arena, void *record);
void reader_scan(struct reader reader, const struct store_key *prefix, bool backwards, store_visit_fn *visit,
                 void *context);
/** Unpacks a value met in a scan. */
bool reader_unpack(struct reader reader, const struct schema *schema, struct span value, struct arena *arena,
                   void *record);
