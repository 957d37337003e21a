#include "consensus/log_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"

/* Keys: 'e' index(8) an entry; 'm' identity, term and vote; 's' snapshot; 'w' name of the state folder. */
#define KEY_ENTRY  'e'
#define KEY_META   "m"
#define KEY_SNAP   "s"
#define KEY_FOLDER "w"
#define MEMORY_MAX 16384u /* what decoding one record takes at most */
#define NUMBER(type_name, member)                                                                            \
    {                                                                                                        \
        .name = #member, .type = FIELD_U64, .offset = offsetof(struct type_name, member), .max = UINT64_MAX  \
    }
#define TEXT(type_name, member, text_max)                                                                    \
    {                                                                                                        \
        .name = #member, .type = FIELD_TEXT, .offset = offsetof(struct type_name, member), .max = (text_max) \
    }

struct meta { /* one record, so that no crash tears the promise from who made it */
    uint64_t term, vote, generation, node_id, start_counter;
    const char *cluster_id, *incarnation;
};
static const struct field meta_fields[] = {
    NUMBER(meta, term),          NUMBER(meta, vote),          NUMBER(meta, generation),
    NUMBER(meta, node_id),       NUMBER(meta, start_counter), TEXT(meta, cluster_id, CLUSTER_ID_BYTES - 1),
    TEXT(meta, incarnation, 32),
};
static const struct schema meta_schema = SCHEMA("log identity", struct meta, meta_fields);

struct snapshot_record {
    uint64_t index, term, configuration_index;
    struct span configuration;
};
static const struct field snapshot_fields[] = {
    NUMBER(snapshot_record, index),
    NUMBER(snapshot_record, term),
    NUMBER(snapshot_record, configuration_index),
    {.name = "configuration",
     .type = FIELD_BLOB,
     .offset = offsetof(struct snapshot_record, configuration),
     .max = sizeof(((struct log_snapshot *)0)->configuration)},
};
static const struct schema snapshot_schema = SCHEMA("log snapshot", struct snapshot_record, snapshot_fields);

struct folder_record {
    const char *name;
};
static const struct field folder_fields[] = {TEXT(folder_record, name, NAME_BYTES_MAX - 1)};
static const struct schema folder_schema = SCHEMA("state folder", struct folder_record, folder_fields);

static const struct field mark_fields[] = {
    NUMBER(log_mark_record, index), NUMBER(log_mark_record, term),    NUMBER(log_mark_record, current_term),
    NUMBER(log_mark_record, vote),  NUMBER(log_mark_record, node_id), TEXT(log_mark_record, incarnation, 32),
};
static const struct schema mark_schema = SCHEMA("log mark", struct log_mark_record, mark_fields);

/* --- entries
 * ---------------------------------------------------------------------------------------------------- */

struct span log_entry_key(uint64_t index, uint8_t key[LOG_KEY_BYTES])
{
    key[0] = KEY_ENTRY;
    put_u64(key + 1, index);
    return span_of(key, LOG_KEY_BYTES);
}

struct span log_entries_limit(void)
{
    static const uint8_t limit[] = {KEY_ENTRY + 1};
    return span_of(limit, sizeof(limit));
}

static uint32_t entry_checksum(uint64_t index, const uint8_t *type_and_term, struct span data)
{
    uint8_t key[LOG_KEY_BYTES];
    uint32_t sum = crc32c(0, log_entry_key(index, key).data, LOG_KEY_BYTES);
    return crc32c(crc32c(sum, type_and_term, LOG_ENTRY_HEAD_BYTES - 4), data.data, data.bytes);
}

void log_entry_encode(const struct entry *entry, struct bytes *value)
{
    uint8_t *head = bytes_extend(value, LOG_ENTRY_HEAD_BYTES);
    CHECK(head, "no room for an entry");
    head[4] = (uint8_t)entry->type;
    put_u64(head + 5, entry->term);
    put_u32(head, entry_checksum(entry->index, head + 4, entry->data));
    bytes_append(value, entry->data.data, entry->data.bytes);
}

enum error_code log_entry_decode(struct span key, struct span value, struct entry *out, struct error *error)
{
    const uint8_t *k = key.data, *v = value.data;
    if (key.bytes != LOG_KEY_BYTES || k[0] != KEY_ENTRY)
        return error_set(error, ERROR_CORRUPT, "a key of %zu bytes stands among the entries", key.bytes);
    uint64_t index = get_u64(k + 1);
    if (value.bytes < LOG_ENTRY_HEAD_BYTES)
        return error_set(error, ERROR_CORRUPT, "entry %" PRIu64 " has %zu bytes only", index, value.bytes);
    struct span data = {v + LOG_ENTRY_HEAD_BYTES, value.bytes - LOG_ENTRY_HEAD_BYTES};
    if (get_u32(v) != entry_checksum(index, v + 4, data))
        return error_set(error, ERROR_CORRUPT, "entry %" PRIu64 " fails its checksum", index);
    if (v[4] < ENTRY_COMMAND || v[4] > ENTRY_CHANGE)
        return error_set(error, ERROR_CORRUPT, "entry %" PRIu64 " has the unknown type %u", index, v[4]);
    *out =
        (struct entry){.index = index, .term = get_u64(v + 5), .type = (enum entry_type)v[4], .data = data};
    return ERROR_OK;
}

/* --- single records: checksum over key and content, then the content
 * ----------------------------------------------- */

static void put_record(struct kv_batch *batch, const char *key, const struct schema *schema,
                       const void *record)
{
    struct bytes value;
    bytes_init(&value, 0);
    bytes_extend(&value, 4);
    schema_pack(schema, record, &value);
    put_u32(value.data, crc32c(crc32c(0, key, strlen(key)), value.data + 4, value.length - 4));
    kv_batch_put(batch, span_text(key), bytes_span(&value));
    bytes_done(&value);
}

static enum error_code get_record(struct kv *kv, const char *key, const struct schema *schema,
                                  struct arena *arena, void *record, struct error *error)
{
    struct bytes value;
    bytes_init(&value, 0);
    enum error_code code = kv_get(kv, NULL, span_text(key), &value, error);
    if (code == ERROR_OK &&
        (value.length < 4 ||
         get_u32(value.data) != crc32c(crc32c(0, key, strlen(key)), value.data + 4, value.length - 4)))
        code = error_set(error, ERROR_CORRUPT, "the record \"%s\" fails its checksum", schema->name);
    if (code == ERROR_OK)
        code = schema_unpack(schema, span_of(value.data + 4, value.length - 4), arena, record, error);
    bytes_done(&value);
    return code;
}

void log_put_meta(const struct log *self, struct kv_batch *batch)
{
    struct meta meta = {.term = self->term,
                        .vote = self->vote,
                        .generation = self->identity.generation,
                        .node_id = self->identity.node_id,
                        .start_counter = self->identity.start_counter,
                        .cluster_id = self->identity.cluster_id,
                        .incarnation = self->identity.incarnation};
    put_record(batch, KEY_META, &meta_schema, &meta);
}

static void copy_text(char *out, size_t out_bytes, const char *text)
{
    snprintf(out, out_bytes, "%s", text ? text : "");
}

enum error_code log_get_meta(struct log *self, struct error *error)
{
    struct arena arena;
    struct meta meta = {0};
    arena_init(&arena, MEMORY_MAX);
    enum error_code code = get_record(self->kv, KEY_META, &meta_schema, &arena, &meta, error);
    if (code == ERROR_OK) {
        self->term = meta.term;
        self->vote = meta.vote;
        self->identity.generation = meta.generation;
        self->identity.node_id = meta.node_id;
        self->identity.start_counter = meta.start_counter;
        copy_text(self->identity.cluster_id, sizeof(self->identity.cluster_id), meta.cluster_id);
        copy_text(self->identity.incarnation, sizeof(self->identity.incarnation), meta.incarnation);
    }
    arena_done(&arena);
    return code;
}

void log_put_snapshot(const struct log_snapshot *snapshot, struct kv_batch *batch)
{
    struct snapshot_record record = {
        .index = snapshot->index,
        .term = snapshot->term,
        .configuration_index = snapshot->configuration_index,
        .configuration = {snapshot->configuration, snapshot->configuration_bytes}};
    put_record(batch, KEY_SNAP, &snapshot_schema, &record);
}

enum error_code log_get_snapshot(struct log *self, struct error *error)
{
    struct arena arena;
    struct snapshot_record record = {0};
    arena_init(&arena, MEMORY_MAX);
    enum error_code code = get_record(self->kv, KEY_SNAP, &snapshot_schema, &arena, &record, error);
    if (code == ERROR_OK) {
        struct log_snapshot *out = &self->snapshot;
        *out = (struct log_snapshot){
            .index = record.index, .term = record.term, .configuration_index = record.configuration_index};
        out->configuration_bytes = record.configuration.bytes;
        if (record.configuration.bytes > 0)
            memcpy(out->configuration, record.configuration.data, record.configuration.bytes);
    }
    arena_done(&arena);
    return code;
}

void log_put_state_folder(const char *name, struct kv_batch *batch)
{
    struct folder_record record = {name};
    put_record(batch, KEY_FOLDER, &folder_schema, &record);
}

enum error_code log_get_state_folder(struct log *self, struct error *error)
{
    struct arena arena;
    struct folder_record record = {0};
    arena_init(&arena, MEMORY_MAX);
    enum error_code code = get_record(self->kv, KEY_FOLDER, &folder_schema, &arena, &record, error);
    if (code == ERROR_OK)
        copy_text(self->state_folder, sizeof(self->state_folder), record.name);
    arena_done(&arena);
    return code;
}

void log_mark_encode(const struct log_mark_record *mark, struct bytes *out)
{
    schema_pack(&mark_schema, mark, out);
}

enum error_code log_mark_decode(struct span packed, struct arena *arena, struct log_mark_record *out,
                                struct error *error)
{
    return schema_unpack(&mark_schema, packed, arena, out, error);
}
