#include "fsm/request.h"

#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "fsm/apply.h"
#include "fsm/view.h"

#define REQUEST_KEY_BYTES (1u + DIGEST_BYTES)
#define EXPIRY_KEY_BYTES  (1u + 8u + 8u)

#define REQUEST(member, field_type, ...)                                                                     \
    {                                                                                                        \
        .name = #member, .type = (field_type), .offset = offsetof(struct request, member), __VA_ARGS__       \
    }
static const struct field request_fields[] = {
    REQUEST(index, FIELD_U64),
    REQUEST(term, FIELD_U64),
    REQUEST(expires_ms, FIELD_U64),
    REQUEST(audit_seq, FIELD_U64),
    REQUEST(code, FIELD_U64, .max = UINT32_MAX),
    REQUEST(body_hash, FIELD_BLOB, .required = true, .min = DIGEST_BYTES, .max = DIGEST_BYTES),
    REQUEST(body, FIELD_BLOB, .max = RESULT_BODY_BYTES_MAX),
};
static const struct schema request_schema = SCHEMA("request", struct request, request_fields);

struct store_key request_key(const char *principal, const char *request_id)
{
    uint8_t digest[DIGEST_BYTES];
    char text[PRINCIPAL_BYTES_MAX + 1 + REQUEST_ID_BYTES_MAX];
    const size_t principal_bytes = strlen(principal);
    const size_t id_bytes = strlen(request_id);
    CHECK(principal_bytes <= PRINCIPAL_BYTES_MAX && id_bytes <= REQUEST_ID_BYTES_MAX,
          "principal of %zu bytes, request id of %zu", principal_bytes, id_bytes);
    memcpy(text, principal, principal_bytes);
    text[principal_bytes] = '\0';
    memcpy(text + principal_bytes + 1, request_id, id_bytes);
    hash_once(text, principal_bytes + 1 + id_bytes, digest);
    return store_key1('r', span_of(digest, DIGEST_BYTES));
}

void request_hash(uint32_t type, uint32_t version, struct span body, uint8_t out[DIGEST_BYTES])
{
    uint8_t head[8];
    struct bytes text;
    put_u32(head, type);
    put_u32(head + 4, version);
    bytes_init(&text, 0);
    bytes_append(&text, head, sizeof(head));
    bytes_append(&text, body.data, body.bytes);
    hash_once(text.data, text.length, out);
    bytes_done(&text);
}

enum request_state request_find(struct store *store, struct arena *arena, const struct store_key *key,
                                const uint8_t body_hash[DIGEST_BYTES], struct request *out)
{
    struct request found;
    if (!store_get_record(store, key, &request_schema, arena, &found))
        return REQUEST_NEW;
    if (memcmp(found.body_hash.data, body_hash, DIGEST_BYTES) != 0)
        return REQUEST_REUSED;
    *out = found;
    return REQUEST_KNOWN;
}

uint64_t request_expires_ms(const char *request_id, uint64_t time_ms)
{
    return time_ms + (request_id[0] == REQUEST_ID_NODE ? REQUEST_KEEP_NODE_MS : REQUEST_KEEP_MS);
}

bool request_table_full(struct store *store, bool urgent)
{
    return store_meta(store)->request_count >= REQUESTS_MAX - (urgent ? 0 : REQUESTS_RESERVED);
}

static struct store_key expiry_key(uint64_t expires_ms, uint64_t index)
{
    struct store_key key = store_key_u64('R', expires_ms);
    store_key_append_u64(&key, index);
    return key;
}

void request_remember(struct store *store, const struct store_key *key, const struct request *request)
{
    const struct store_key expiry = expiry_key(request->expires_ms, request->index);
    CHECK(key->length == REQUEST_KEY_BYTES, "a request's key of %zu bytes", key->length);
    store_put_record(store, key, &request_schema, request);
    store_put(store, &expiry, store_key_span(key));
    struct store_meta *meta = store_meta(store);
    meta->request_count++;
    if (meta->next_expiry_ms > request->expires_ms)
        meta->next_expiry_ms = request->expires_ms;
}

struct expired_row {
    uint64_t expires_ms, index;
    uint8_t id[DIGEST_BYTES];
};
struct expired {
    uint64_t until_ms; /* what expires then or before may leave */
    uint64_t next_ms;  /* of those that stay; UINT64_MAX: none does */
    struct expired_row rows[REQUEST_EXPIRE_TICK_MAX];
    uint32_t count, count_max;
    struct error error; /* a row that has another form */
};

static bool expired_visit(void *context, struct span key, struct span value)
{
    struct expired *expired = context;
    if (value.bytes != REQUEST_KEY_BYTES || key.bytes != EXPIRY_KEY_BYTES) {
        (void)error_set(&expired->error, ERROR_CORRUPT,
                        "a remembered request expires by a row of %zu and %zu bytes", key.bytes, value.bytes);
        return false;
    }
    const uint8_t *by_time = key.data;
    const uint8_t *by_id = value.data;
    const uint64_t expires_ms = get_u64(by_time + 1);
    if (expires_ms > expired->until_ms || expired->count == expired->count_max) {
        expired->next_ms = expires_ms;
        return false;
    }
    struct expired_row *row = &expired->rows[expired->count++];
    row->expires_ms = expires_ms;
    row->index = get_u64(by_time + 9);
    memcpy(row->id, by_id + 1, DIGEST_BYTES);
    return true;
}

void request_expire(struct store *store, uint64_t time_ms, uint32_t count_max)
{
    struct store_meta *meta = store_meta(store);
    CHECK(count_max <= REQUEST_EXPIRE_TICK_MAX, "%u at once", count_max);
    if (meta->request_count == 0 || meta->next_expiry_ms > time_ms)
        return;
    struct expired expired;
    expired.until_ms = time_ms;
    expired.next_ms = UINT64_MAX;
    expired.count = 0;
    expired.count_max = count_max;
    expired.error = (struct error){0};
    const struct store_key prefix = store_key1('R', span_of(NULL, 0)), limit = store_key_after(&prefix);
    const struct store_key first = expiry_key(meta->next_expiry_ms, 0);
    store_scan_range(store, &first, &limit, false, expired_visit, &expired);
    if (expired.error.code == ERROR_OK && expired.count > meta->request_count)
        (void)error_set(&expired.error, ERROR_CORRUPT, "%u requests expire of %llu", expired.count,
                        (unsigned long long)meta->request_count);
    if (expired.error.code != ERROR_OK)
        store_fail(store, &expired.error);
    if (store_failed(store))
        return;
    for (uint32_t i = 0; i < expired.count; i++) {
        const struct store_key by_time = expiry_key(expired.rows[i].expires_ms, expired.rows[i].index);
        const struct store_key by_id = store_key1('r', span_of(expired.rows[i].id, DIGEST_BYTES));
        store_delete(store, &by_time);
        store_delete(store, &by_id);
    }
    meta->request_count -= expired.count;
    meta->next_expiry_ms = expired.next_ms;
}

static bool next_visit(void *context, struct span key, struct span value)
{
    uint64_t *expires_ms = context;
    (void)value;
    *expires_ms = get_u64((const uint8_t *)key.data + 1);
    return false;
}

uint64_t request_next_deadline_ms(struct view *view)
{
    const struct store_meta *meta = reader_meta(view_reader(view));
    const struct store_key prefix = store_key1('R', span_of(NULL, 0)), limit = store_key_after(&prefix);
    const struct store_key first = expiry_key(meta->next_expiry_ms, 0);
    uint64_t due_ms = UINT64_MAX;
    if (meta->request_count == 0)
        return 0;
    view_scan_range(view, &first, &limit, false, next_visit, &due_ms);
    if (due_ms == UINT64_MAX)
        return 0;
    return (due_ms + REQUEST_DEADLINE_MS - 1) / REQUEST_DEADLINE_MS * REQUEST_DEADLINE_MS;
}
