/* The audit trail: pages of records, the chain checked from its first record to its last (both in the slow
 * lanes), and what a prune would take. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/schema.h"
#include "fsm/audit_view.h"
#include "fsm/view.h"
#include "node/http/body.h"
#include "node/http/problem.h"
#include "node/http/routes.h"

struct audit_page {
    struct audit_filter filter;
    bool oldest_first;
    uint64_t limit;
    uint64_t from_seq; /* 0: from the end that comes first */
    enum audit_format format;
    json_t *items;      /* of AUDIT_FORMAT_JSON */
    struct bytes lines; /* of the others */
    uint64_t count;     /* records looked at */
    uint64_t next_seq;  /* 0: none */
};

/* A cursor is the direction and where to go on: "d123" newest first, "a123" oldest first. */
static enum error_code read_cursor(const char *text, bool oldest_first, uint64_t *out, struct error *error)
{
    if (text[0] != (oldest_first ? 'a' : 'd') || !parse_u64(text + 1, INT64_MAX, out) || *out == 0)
        return error_set(error, ERROR_INVALID, "cursor: not one of an earlier answer to the same query");
    return ERROR_OK;
}

static enum error_code read_order(struct request *request, bool *oldest_first, struct error *error)
{
    uint32_t order = 0;
    const enum error_code code = query_word(request, "order", &order, error);
    *oldest_first = order == 1;
    return code;
}

static enum error_code read_filter(struct request *request, struct audit_filter *filter, struct error *error)
{
    *filter = (struct audit_filter){
        .category = request_query(request, "category"),
        .event_type = request_query(request, "event_type"),
        .actor = request_query(request, "actor"),
        .outcome = request_query(request, "outcome"),
        .source = request_query(request, "source"),
        .resource = request_query(request, "resource"),
    };
    enum error_code code = query_time(request, "start_time", &filter->start_ms, error);
    if (code == ERROR_OK)
        code = query_time(request, "end_time", &filter->end_ms, error);
    if (code == ERROR_OK)
        code = audit_filter_check(filter, error);
    return code;
}

static enum error_code read_format(struct request *request, enum audit_format *format, struct error *error)
{
    uint32_t position = AUDIT_FORMAT_JSON;
    const enum error_code code = query_word(request, "format", &position, error);
    *format = (enum audit_format)position;
    return code;
}

const char *audit_content(uint32_t position)
{
    const uint32_t format = position + AUDIT_FORMAT_JSON + 1;
    return format < AUDIT_FORMAT_COUNT ? audit_format_media_type((enum audit_format)format) : NULL;
}

enum error_code audit_query_check(struct request *request, struct error *error)
{
    struct audit_page *page = arena_new(&request->arena, sizeof(*page));
    const char *cursor = request_query(request, "cursor");
    enum error_code code = query_u64(request, "limit", &page->limit, error);
    if (code == ERROR_OK)
        code = read_order(request, &page->oldest_first, error);
    if (code == ERROR_OK && cursor != NULL)
        code = read_cursor(cursor, page->oldest_first, &page->from_seq, error);
    if (code == ERROR_OK)
        code = read_filter(request, &page->filter, error);
    if (code == ERROR_OK)
        code = read_format(request, &page->format, error);
    if (page->limit == 0)
        page->limit = PAGE_LIMIT_MAX; /* the largest page, and the cursor for the next one */
    request->parsed = page;
    return code;
}

static bool take_record(void *context, const struct audit_record *record)
{
    struct audit_page *page = context;
    if (page->count == page->limit) {
        page->next_seq = record->seq;
        return false;
    }
    page->count++;
    if (page->format == AUDIT_FORMAT_JSON)
        json_array_append_new(page->items, schema_to_json(&audit_schema, record));
    else
        (void)audit_format_record(page->format, record, &page->lines);
    return true;
}

static json_t *page_json(const struct audit_page *page, const char *next)
{
    json_t *json = json_object();
    json_object_set(json, "items", page->items);
    json_object_set_new(json, "next_cursor", next != NULL ? json_string(next) : json_null());
    return json;
}

/* Pages put together are the whole export: only the first one has a head. */
static void answer_lines(struct request *request, struct audit_page *page, const char *next)
{
    answer_raw(request, 200, audit_format_media_type(page->format), &page->lines);
    if (next != NULL)
        answer_header(request, "X-Autonomy-Next-Cursor", next);
}

/* A cursor into what was pruned since: going on behind it would leave a gap that nobody sees. */
static bool answer_pruned(struct request *request, struct view *view, const struct audit_page *page)
{
    struct audit_anchor anchor;
    if (!page->oldest_first || page->from_seq == 0 || page->from_seq >= view_audit_anchor(view, &anchor))
        return false;
    problem_answer(request, 410, "records_pruned",
                   "the records up to %" PRIu64
                   " were pruned while they were read, this cursor stands at %" PRIu64 "; begin again",
                   anchor.seq, page->from_seq);
    return true;
}

enum error_code audit_query(struct request *request, struct view *view, json_t **out, struct error *error)
{
    if (answer_pruned(request, view, request->parsed))
        return ERROR_OK;
    struct audit_page page = *(const struct audit_page *)request->parsed;
    page.items = json_array();
    bytes_init(&page.lines, 0);
    if (page.from_seq == 0)
        audit_format_head(page.format, &page.lines);
    enum error_code code =
        view_audit(view, &page.filter, page.oldest_first, page.from_seq, take_record, &page, error);
    const char *next = page.next_seq == 0 ? NULL
                                          : arena_printf(&request->arena, "%c%" PRIu64,
                                                         page.oldest_first ? 'a' : 'd', page.next_seq);
    if (code == ERROR_OK && page.format == AUDIT_FORMAT_JSON)
        *out = page_json(&page, next);
    else if (code == ERROR_OK)
        answer_lines(request, &page, next);
    json_decref(page.items);
    bytes_done(&page.lines);
    return code;
}

/* --- verify --- */

#define DEADLINE_EVERY 1024u /* records between two looks at the clock */

/* What is checked: all of it, or the next part of a walk in parts. Its cursor carries what the part before
 * found: "123.<hash of record 123>". */
struct verify_part {
    uint64_t limit;            /* 0: no bound but the deadline */
    struct audit_anchor after; /* where to go on; seq 0: at the beginning */
};

static enum error_code read_verify_cursor(struct request *request, struct audit_anchor *out,
                                          struct error *error)
{
    const char *text = request_query(request, "cursor");
    const char *dot = text != NULL ? strchr(text, '.') : NULL;
    if (text == NULL)
        return ERROR_OK;
    const char *seq = dot != NULL ? arena_text(&request->arena, text, (size_t)(dot - text)) : "";
    if (!parse_u64(seq, INT64_MAX, &out->seq) || out->seq == 0 ||
        !hex_decode(dot + 1, out->hash, DIGEST_BYTES))
        return error_set(error, ERROR_INVALID, "cursor: not one of an earlier answer");
    return ERROR_OK;
}

enum error_code audit_verify_check(struct request *request, struct error *error)
{
    struct verify_part *part = arena_new(&request->arena, sizeof(*part));
    enum error_code code = query_u64(request, "limit", &part->limit, error);
    if (code == ERROR_OK)
        code = read_verify_cursor(request, &part->after, error);
    request->parsed = part;
    return code;
}

struct chain_walk {
    struct request *request;
    const struct verify_part *part;
    struct audit_anchor anchor;
    bool stopped; /* the server stops, which must not wait for us */
    bool late;    /* the deadline passed */
    bool more;    /* the part ends before the trail does */
    struct audit_chain chain;
    struct error error;
    uint64_t first_seq, bad_seq;
};

static bool told_otherwise(struct chain_walk *walk, const struct audit_record *record)
{
    struct audit_anchor told;
    if (record->seq != walk->anchor.record_seq ||
        (audit_anchor_of(record, &told) && told.seq == walk->anchor.seq &&
         memcmp(told.hash, walk->anchor.hash, DIGEST_BYTES) == 0))
        return false;
    (void)error_set(&walk->error, ERROR_CORRUPT,
                    "the trail begins behind record %" PRIu64 ", and record %" PRIu64
                    ", which should say so, doesn't",
                    walk->anchor.seq, record->seq);
    return true;
}

static bool check_record(void *context, const struct audit_record *record)
{
    struct chain_walk *walk = context;
    if (walk->chain.records % DEADLINE_EVERY == 0) {
        walk->stopped = server_quiesced(walk->request->server);
        walk->late = service_now_ms(walk->request->service) >= walk->request->deadline_ms;
    }
    walk->more = walk->part->limit != 0 && walk->chain.records == walk->part->limit;
    if (walk->stopped || walk->late || walk->more)
        return false;
    if (walk->first_seq == 0)
        walk->first_seq = record->seq;
    if (audit_chain_next(&walk->chain, record, &walk->error) == ERROR_OK && !told_otherwise(walk, record))
        return true;
    walk->bad_seq = record->seq;
    return false;
}

static json_t *number_or_null(uint64_t value)
{
    return value == 0 ? json_null() : json_integer((json_int_t)value);
}

static json_t *anchor_json(const struct audit_anchor *anchor)
{
    char hash[2 * DIGEST_BYTES + 1], time[TIME_TEXT_BYTES];
    if (anchor->seq == 0)
        return json_null();
    hex_encode(anchor->hash, DIGEST_BYTES, hash);
    time_format(anchor->pruned_ms, time);
    return json_pack("{s:I, s:s, s:s, s:I}", "seq", (json_int_t)anchor->seq, "hash", hash, "pruned_at", time,
                     "record_seq", (json_int_t)anchor->record_seq);
}

/* What the walk found; unless it was a part, it must have come to `last_seq`, the last record that the state
 * knows of. */
static json_t *verdict(const struct chain_walk *walk, uint64_t last_seq)
{
    char hash[2 * DIGEST_BYTES + 1];
    bool whole = walk->more || walk->chain.seq == last_seq;
    bool valid = walk->bad_seq == 0 && whole;
    hex_encode(walk->chain.hash, DIGEST_BYTES, hash);
    json_t *json = json_object();
    json_object_set_new(json, "valid", json_boolean(valid));
    json_object_set_new(json, "records", json_integer((json_int_t)walk->chain.records));
    json_object_set_new(json, "first_seq", number_or_null(walk->first_seq));
    json_object_set_new(json, "last_seq", number_or_null(walk->chain.seq));
    json_object_set_new(json, "last_hash", walk->chain.records > 0 ? json_string(hash) : json_null());
    json_object_set_new(json, "first_bad_seq", number_or_null(walk->bad_seq));
    json_object_set_new(json, "anchor", anchor_json(&walk->anchor));
    json_object_set_new(json, "next_cursor",
                        valid && walk->more ? json_sprintf("%" PRIu64 ".%s", walk->chain.seq, hash)
                                            : json_null());
    if (valid)
        json_object_set_new(json, "detail", json_null());
    else if (walk->bad_seq != 0)
        json_object_set_new(json, "detail", json_string(walk->error.message));
    else
        json_object_set_new(json, "detail",
                            json_sprintf("the records end at %" PRIu64 ", the state says %" PRIu64,
                                         walk->chain.seq, last_seq));
    return json;
}

enum error_code audit_verify(struct request *request, struct view *view, json_t **out, struct error *error)
{
    struct chain_walk walk = {.request = request, .part = request->parsed};
    const uint64_t first_seq = view_audit_anchor(view, &walk.anchor);
    const bool goes_on = walk.part->after.seq >= first_seq; /* else what came before was pruned since */
    audit_chain_begin(&walk.chain, goes_on ? &walk.part->after : &walk.anchor);
    enum error_code code =
        view_audit(view, NULL, true, goes_on ? walk.part->after.seq + 1 : 0, check_record, &walk, error);
    if (code == ERROR_OK && walk.stopped)
        code = error_set(error, ERROR_CLOSED, "this node is shutting down");
    if (code == ERROR_OK && walk.late)
        code = error_set(error, ERROR_TIMEOUT,
                         "%" PRIu64 " records were checked, up to record %" PRIu64
                         ", and all fit, when the time was up; ask for parts with limit",
                         walk.chain.records, walk.chain.seq);
    if (code == ERROR_OK)
        *out = verdict(&walk, view_audit_last(view));
    return code;
}

/* --- prune --- */

enum error_code audit_prune_check(struct request *request, struct error *error)
{
    struct audit_prune *prune = arena_new(&request->arena, sizeof(*prune));
    enum error_code code = query_u64(request, "before_seq", &prune->before_seq, error);
    if (code == ERROR_OK)
        code = query_u64(request, "keep_days", &prune->keep_days, error);
    if (code == ERROR_OK)
        code = query_time(request, "before", &prune->before, error);
    request->parsed = prune;
    return code;
}

enum error_code audit_prune_preview(struct request *request, struct view *view, json_t **out,
                                    struct error *error)
{
    return view_audit_prune(view, request->parsed, out, error);
}
