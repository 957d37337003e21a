/* The state's keys and records over base/kv.
 *
 * Invariants, checked where they could break:
 *   (1) What is written is always a prefix of the log: a group, and the meta record that names its last
 *       index, are one batch.
 *   (2) A group that was not written leaves nothing behind: overlay and meta are what they were at
 *       store_begin().
 *   (3) Every put and delete of an entry is in `ops`, in order, and nothing else is: replicas that wrote
 *       differently have different digests.
 *   (4) Nothing is written while a scan runs over it.
 *
 * A full disk is met by a flush, not by a group; RocksDB then refuses writes, and takes them again by itself
 * some seconds after there is room (seen with 7.8): the same group comes again until then. */
#include "fsm/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "fsm/fsm.h"

#define META_ARENA_BYTES (64u * 1024u)

struct store {
    struct kv *kv;
    struct kv_overlay *overlay;
    struct store_meta meta;
    struct store_meta meta_before; /* at store_begin() */
    struct {
        uint64_t audit_seq;
        uint8_t audit_hash[DIGEST_BYTES];
        uint64_t request_count, member_count, active_switch_count, next_expiry_ms;
    } entry_before; /* what an entry may change of it, at store_entry_begin() */
    struct bytes ops;
    size_t ops_before;  /* of them, at that point */
    struct bytes value; /* a read or packed record on its way */
    struct error error; /* latched */
    bool in_group, in_entry, scanning;
};

/* --- the meta record --- */

struct meta_record {
    uint64_t schema, level;
    const char *cluster_id;
    uint64_t generation, index, term, time_ms;
    struct span digest;
    uint64_t audit_seq;
    struct span audit_hash;
    uint64_t configuration_index;
    struct span configuration;
    uint64_t request_count, member_count, active_switch_count, next_expiry_ms;
};

#define META(field_name, field_type, ...)                                                                    \
    {                                                                                                        \
        .name = #field_name, .type = (field_type), .offset = offsetof(struct meta_record, field_name),       \
        __VA_ARGS__                                                                                          \
    }
static const struct field meta_fields[] = {
    META(schema, FIELD_U64, .max = UINT32_MAX),
    META(level, FIELD_U64, .max = UINT32_MAX),
    META(cluster_id, FIELD_TEXT, .max = CLUSTER_ID_BYTES - 1),
    META(generation, FIELD_U64),
    META(index, FIELD_U64),
    META(term, FIELD_U64),
    META(time_ms, FIELD_U64),
    META(digest, FIELD_BLOB, .required = true, .min = DIGEST_BYTES, .max = DIGEST_BYTES),
    META(audit_seq, FIELD_U64),
    META(audit_hash, FIELD_BLOB, .required = true, .min = DIGEST_BYTES, .max = DIGEST_BYTES),
    META(configuration_index, FIELD_U64),
    META(configuration, FIELD_BLOB, .max = STORE_CONFIGURATION_BYTES_MAX),
    META(request_count, FIELD_U64),
    META(member_count, FIELD_U64),
    META(active_switch_count, FIELD_U64),
    META(next_expiry_ms, FIELD_U64, .max = UINT64_MAX),
};
static const struct schema meta_schema = SCHEMA("meta", struct meta_record, meta_fields);

static struct store_key meta_key(void)
{
    return store_key1('m', span_text("meta"));
}

static void meta_pack(const struct store_meta *meta, struct bytes *out)
{
    const struct meta_record record = {
        .schema = meta->schema,
        .level = meta->level,
        .cluster_id = meta->cluster_id[0] ? meta->cluster_id : NULL,
        .generation = meta->generation,
        .index = meta->index,
        .term = meta->term,
        .time_ms = meta->time_ms,
        .digest = span_of(meta->digest, DIGEST_BYTES),
        .audit_seq = meta->audit_seq,
        .audit_hash = span_of(meta->audit_hash, DIGEST_BYTES),
        .configuration_index = meta->configuration_index,
        .configuration = span_of(meta->configuration, meta->configuration_bytes),
        .request_count = meta->request_count,
        .member_count = meta->member_count,
        .active_switch_count = meta->active_switch_count,
        .next_expiry_ms = meta->next_expiry_ms,
    };
    schema_pack(&meta_schema, &record, out);
}

static enum error_code meta_unpack(struct span packed, struct store_meta *out, struct error *error)
{
    struct arena arena;
    arena_init(&arena, META_ARENA_BYTES);
    struct meta_record record = {0};
    enum error_code code = schema_unpack(&meta_schema, packed, &arena, &record, error);
    if (code == ERROR_OK) {
        *out = (struct store_meta){
            .schema = (uint32_t)record.schema,
            .level = (uint32_t)record.level,
            .generation = record.generation,
            .index = record.index,
            .term = record.term,
            .time_ms = record.time_ms,
            .audit_seq = record.audit_seq,
            .configuration_index = record.configuration_index,
            .configuration_bytes = record.configuration.bytes,
            .request_count = record.request_count,
            .member_count = record.member_count,
            .active_switch_count = record.active_switch_count,
            .next_expiry_ms = record.next_expiry_ms,
        };
        if (record.cluster_id)
            snprintf(out->cluster_id, sizeof(out->cluster_id), "%s", record.cluster_id);
        memcpy(out->digest, record.digest.data, DIGEST_BYTES);
        memcpy(out->audit_hash, record.audit_hash.data, DIGEST_BYTES);
        if (record.configuration.bytes > 0)
            memcpy(out->configuration, record.configuration.data, record.configuration.bytes);
    }
    arena_done(&arena);
    return code;
}

enum error_code store_meta_read(struct kv *kv, const struct kv_snapshot *snapshot, struct store_meta *out,
                                struct error *error)
{
    const struct store_key key = meta_key();
    struct bytes value;
    bytes_init(&value, 0);
    enum error_code code = kv_get(kv, snapshot, store_key_span(&key), &value, error);
    if (code == ERROR_NOT_FOUND) {
        *out = (struct store_meta){0};
        code = ERROR_OK;
    } else if (code == ERROR_OK) {
        code = meta_unpack(bytes_span(&value), out, error);
    }
    bytes_done(&value);
    return code;
}

/* --- keys --- */

struct store_key store_key1(char prefix, struct span part)
{
    struct store_key key;
    key.data[0] = (uint8_t)prefix;
    key.length = 1;
    store_key_append(&key, part);
    return key;
}

struct store_key store_key_u64(char prefix, uint64_t number)
{
    struct store_key key = store_key1(prefix, span_of(NULL, 0));
    store_key_append_u64(&key, number);
    return key;
}

void store_key_append(struct store_key *key, struct span part)
{
    CHECK(part.bytes <= sizeof(key->data) - key->length, "key of %zu bytes takes no %zu more", key->length,
          part.bytes);
    if (part.bytes > 0)
        memcpy(key->data + key->length, part.data, part.bytes);
    key->length += part.bytes;
}

void store_key_append_u8(struct store_key *key, uint8_t byte)
{
    store_key_append(key, span_of(&byte, 1));
}

void store_key_append_u64(struct store_key *key, uint64_t number)
{
    uint8_t raw[8];
    put_u64(raw, number);
    store_key_append(key, span_of(raw, sizeof(raw)));
}

struct span store_key_span(const struct store_key *key)
{
    return span_of(key->data, key->length);
}

struct store_key store_key_after(const struct store_key *key)
{
    struct store_key after = *key;
    while (after.length > 0 && after.data[after.length - 1] == 0xff)
        after.length--;
    CHECK(after.length > 0, "no key follows all of %zu bytes 0xff", key->length);
    after.data[after.length - 1]++;
    return after;
}

/* --- open, close --- */

static enum error_code store_load(struct store *self, const char *folder, struct error *error)
{
    const enum error_code code = store_meta_read(self->kv, NULL, &self->meta, error);
    if (code != ERROR_OK) {
        error_prefix(error, "state in %s", folder);
        return code;
    }
    if (self->meta.schema > FSM_SCHEMA || self->meta.level > FSM_LEVEL)
        return error_set(
            error, ERROR_INVALID,
            "state in %s has schema %u and level %u, this build understands %u and %u: start a newer build",
            folder, self->meta.schema, self->meta.level, FSM_SCHEMA, FSM_LEVEL);
    if (self->meta.schema == 0)
        self->meta.schema = FSM_SCHEMA;
    if (self->meta.level == 0)
        self->meta.level = 1;
    return ERROR_OK;
}

enum error_code store_open(const char *folder, bool create, struct store **out, struct error *error)
{
    struct store *self = memory_zero(1, sizeof(*self));
    bytes_init(&self->ops, 0);
    bytes_init(&self->value, 0);
    const struct kv_options options = {.create = create};
    enum error_code code = kv_open(folder, &options, &self->kv, error);
    if (code == ERROR_OK)
        code = store_load(self, folder, error);
    if (code != ERROR_OK) {
        store_close(self);
        return code;
    }
    self->overlay = kv_overlay_new(self->kv);
    *out = self;
    return ERROR_OK;
}

void store_close(struct store *self)
{
    if (!self)
        return;
    if (self->overlay)
        kv_overlay_free(self->overlay);
    if (self->kv)
        kv_close(self->kv);
    bytes_done(&self->ops);
    bytes_done(&self->value);
    free(self);
}

struct kv *store_kv(struct store *self)
{
    return self->kv;
}

struct store_meta *store_meta(struct store *self)
{
    return &self->meta;
}

/* --- groups and entries --- */

void store_begin(struct store *self)
{
    CHECK(!self->in_group, "a group is open already");
    CHECK(kv_overlay_count(self->overlay) == 0, "%zu writes left of an earlier group",
          kv_overlay_count(self->overlay));
    self->in_group = true;
    self->error = (struct error){0};
    self->meta_before = self->meta;
}

/* The point to which store_entry_undo() returns. */
static void entry_mark(struct store *self)
{
    kv_overlay_mark(self->overlay);
    self->ops_before = self->ops.length;
    self->entry_before.audit_seq = self->meta.audit_seq;
    memcpy(self->entry_before.audit_hash, self->meta.audit_hash, DIGEST_BYTES);
    self->entry_before.request_count = self->meta.request_count;
    self->entry_before.member_count = self->meta.member_count;
    self->entry_before.active_switch_count = self->meta.active_switch_count;
    self->entry_before.next_expiry_ms = self->meta.next_expiry_ms;
}

void store_entry_begin(struct store *self)
{
    CHECK(self->in_group && !self->in_entry, "an entry begins inside a group, after the one before");
    self->in_entry = true;
    bytes_clear(&self->ops);
    entry_mark(self);
}

void store_entry_settle(struct store *self)
{
    CHECK(self->in_entry && !self->scanning, "only an open entry can be settled");
    if (self->ops.length == self->ops_before)
        return;
    kv_overlay_keep(self->overlay);
    entry_mark(self);
}

void store_entry_undo(struct store *self)
{
    CHECK(self->in_entry && !self->scanning, "only an open entry can be undone");
    if (self->ops.length == self->ops_before)
        return; /* it wrote nothing, so meta is as it was, too */
    kv_overlay_rollback(self->overlay);
    self->ops.length = self->ops_before;
    self->meta.audit_seq = self->entry_before.audit_seq;
    memcpy(self->meta.audit_hash, self->entry_before.audit_hash, DIGEST_BYTES);
    self->meta.request_count = self->entry_before.request_count;
    self->meta.member_count = self->entry_before.member_count;
    self->meta.active_switch_count = self->entry_before.active_switch_count;
    self->meta.next_expiry_ms = self->entry_before.next_expiry_ms;
    entry_mark(self);
}

struct span store_entry_end(struct store *self)
{
    CHECK(self->in_entry && !self->scanning, "no entry is open");
    CHECK(!self->ops.overflow, "the entry's writes are not all in the digest");
    kv_overlay_keep(self->overlay);
    self->in_entry = false;
    return bytes_span(&self->ops);
}

void store_abandon(struct store *self)
{
    CHECK(self->in_group && !self->scanning, "no group is open");
    if (self->in_entry)
        kv_overlay_keep(self->overlay);
    kv_overlay_clear(self->overlay);
    self->meta = self->meta_before;
    self->in_group = false;
    self->in_entry = false;
}

enum error_code store_commit(struct store *self, struct error *error)
{
    CHECK(self->in_group && !self->in_entry, "a group is committed between entries");
    CHECK(self->meta.index > self->meta_before.index, "a group ends at index %" PRIu64 ", after %" PRIu64,
          self->meta.index, self->meta_before.index);
    enum error_code code = self->error.code;
    if (code == ERROR_OK) {
        const struct store_key key = meta_key();
        bytes_clear(&self->value);
        meta_pack(&self->meta, &self->value);
        kv_overlay_put(self->overlay, store_key_span(&key), bytes_span(&self->value));
        code = kv_overlay_write(self->overlay, (struct kv_write_options){.no_slowdown = true}, error);
    } else if (error) {
        *error = self->error;
    }
    if (code != ERROR_OK) {
        store_abandon(self);
        return code;
    }
    kv_overlay_clear(self->overlay);
    self->in_group = false;
    return ERROR_OK;
}

enum error_code store_meta_write(struct store *self, struct error *error)
{
    CHECK(!self->in_group, "meta is written alone between groups only");
    const struct store_key key = meta_key();
    struct kv_batch *batch = kv_batch_new();
    bytes_clear(&self->value);
    meta_pack(&self->meta, &self->value);
    kv_batch_put(batch, store_key_span(&key), bytes_span(&self->value));
    const enum error_code code = kv_write(self->kv, batch, (struct kv_write_options){0}, error);
    kv_batch_free(batch);
    return code;
}

void store_fail(struct store *self, const struct error *error)
{
    CHECK(error->code != ERROR_OK, "an error without a code");
    if (self->error.code == ERROR_OK)
        self->error = *error;
}

bool store_failed(const struct store *self)
{
    return self->error.code != ERROR_OK;
}

/* --- inside an entry --- */

enum { OP_PUT = 1, OP_DELETE = 2 };
#define OP_HEAD_BYTES 9u /* op, length of the key, length of the value */

static void op_append(struct store *self, uint8_t op, struct span key, struct span value)
{
    uint8_t head[OP_HEAD_BYTES];
    head[0] = op;
    put_u32(head + 1, (uint32_t)key.bytes);
    put_u32(head + 5, (uint32_t)value.bytes);
    bytes_append(&self->ops, head, sizeof(head));
    bytes_append(&self->ops, key.data, key.bytes);
    bytes_append(&self->ops, value.data, value.bytes);
}

bool store_op_next(struct span *ops, struct store_op *out)
{
    const uint8_t *at = ops->data;
    if (ops->bytes == 0)
        return false;
    const size_t key_bytes = get_u32(at + 1), value_bytes = get_u32(at + 5);
    const size_t op_bytes = OP_HEAD_BYTES + key_bytes + value_bytes;
    CHECK(op_bytes <= ops->bytes, "a write of %zu bytes in %zu", op_bytes, ops->bytes);
    *out = (struct store_op){.put = at[0] == OP_PUT,
                             .key = span_of(at + OP_HEAD_BYTES, key_bytes),
                             .value = span_of(at + OP_HEAD_BYTES + key_bytes, value_bytes)};
    *ops = span_of(at + op_bytes, ops->bytes - op_bytes);
    return true;
}

bool store_key_is_record(struct span key)
{
    return key.bytes == 9 && *(const char *)key.data == 'a';
}

void store_put(struct store *self, const struct store_key *key, struct span value)
{
    CHECK(self->in_entry && !self->scanning, "writes belong to an entry, outside its scans");
    CHECK(value.bytes <= UINT32_MAX, "a value of %zu bytes", value.bytes);
    op_append(self, OP_PUT, store_key_span(key), value);
    kv_overlay_put(self->overlay, store_key_span(key), value);
}

void store_put_record(struct store *self, const struct store_key *key, const struct schema *schema,
                      const void *record)
{
    bytes_clear(&self->value);
    schema_pack(schema, record, &self->value);
    store_put(self, key, bytes_span(&self->value));
}

void store_delete(struct store *self, const struct store_key *key)
{
    CHECK(self->in_entry && !self->scanning, "writes belong to an entry, outside its scans");
    op_append(self, OP_DELETE, store_key_span(key), span_of(NULL, 0));
    kv_overlay_delete(self->overlay, store_key_span(key));
}

void store_put_aside(struct store *self, const struct store_key *key, struct span value)
{
    CHECK(self->in_group && !self->in_entry, "what is beside the digest is written between entries");
    kv_overlay_put(self->overlay, store_key_span(key), value);
}

bool store_get(struct store *self, const struct store_key *key, struct bytes *value)
{
    struct error error = {0};
    const enum error_code code = kv_overlay_get(self->overlay, store_key_span(key), value, &error);
    if (code != ERROR_OK && code != ERROR_NOT_FOUND)
        store_fail(self, &error);
    return code == ERROR_OK;
}

bool store_unpack(struct store *self, const struct schema *schema, struct span value, struct arena *arena,
                  void *record)
{
    struct error error = {0};
    if (schema_unpack(schema, value, arena, record, &error) == ERROR_OK)
        return true;
    store_fail(self, &error);
    return false;
}

bool store_get_record(struct store *self, const struct store_key *key, const struct schema *schema,
                      struct arena *arena, void *record)
{
    bytes_clear(&self->value);
    return store_get(self, key, &self->value) &&
           store_unpack(self, schema, bytes_span(&self->value), arena, record);
}

void store_scan_range(struct store *self, const struct store_key *first, const struct store_key *limit,
                      bool backwards, store_visit_fn *visit, void *context)
{
    const bool outer = !self->scanning;
    self->scanning = true;
    struct kv_iterator *iterator =
        kv_overlay_iterate(self->overlay, store_key_span(first), store_key_span(limit), backwards);
    struct span key, value;
    while (kv_iterator_next(iterator, &key, &value) && visit(context, key, value)) {
    }
    struct error error = {0};
    if (kv_iterator_close(iterator, &error) != ERROR_OK)
        store_fail(self, &error);
    if (outer)
        self->scanning = false;
}

void store_scan(struct store *self, const struct store_key *prefix, bool backwards, store_visit_fn *visit,
                void *context)
{
    const struct store_key limit = store_key_after(prefix);
    store_scan_range(self, prefix, &limit, backwards, visit, context);
}
