/* Applies committed entries, a group at a time.
 *
 * One entry: time moves, expired requests leave, a known request id answers what it answered before;
 * otherwise the handler runs, its refusal is undone but for the record of the attempt, the result is
 * remembered, and the digest takes all of it.
 *
 * Invariants:
 *   (1) Nothing but the entries and the state they meet decides what is written: no clock, no random number,
 *       no address.
 *   (2) Where one group ends and the next begins is seen by nobody: not by handlers, not by the digest.
 *   (3) An entry that this build doesn't understand stops the group before anything of it is written.
 *   (4) digest(n) = SHA-256(digest(n-1), index, term, type, length, entry, length, result, length, puts and
 *       deletes), numbers big-endian: 8 bytes for index and term, 4 for the rest. */
#include "fsm/fsm.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "fsm/apply.h"
#include "fsm/commands.h"
#include "fsm/fsm_internal.h"
#include "fsm/request.h"

#define ENTRY_ARENA_BYTES                                                                                    \
    (512u * 1024u * 1024u) /* one command at work; handlers bound what they gather far below */

struct fsm {
    struct store *store;
    struct hash *hash;
    struct arena arena;   /* one entry's */
    struct bytes bodies;  /* of the last group's results */
    struct bytes result;  /* of one entry, as the digest takes it */
    struct bytes records; /* of the last group */
    uint32_t record_count;
};

enum error_code fsm_open(const char *folder, bool create, struct fsm **out, struct error *error)
{
    struct store *store = NULL;
    const enum error_code code = store_open(folder, create, &store, error);
    if (code != ERROR_OK)
        return code;
    struct fsm *self = memory_zero(1, sizeof(*self));
    self->store = store;
    self->hash = hash_new();
    arena_init(&self->arena, ENTRY_ARENA_BYTES);
    bytes_init(&self->bodies, 0);
    bytes_init(&self->result, 0);
    bytes_init(&self->records, 0);
    *out = self;
    return ERROR_OK;
}

void fsm_close(struct fsm *self)
{
    if (!self)
        return;
    store_close(self->store);
    hash_free(self->hash);
    arena_done(&self->arena);
    bytes_done(&self->bodies);
    bytes_done(&self->result);
    bytes_done(&self->records);
    free(self);
}

struct store *fsm_store(struct fsm *self)
{
    return self->store;
}

enum error_code fsm_identify(struct fsm *self, const char *cluster_id, uint64_t generation,
                             struct error *error)
{
    struct store_meta *meta = store_meta(self->store);
    if (strlen(cluster_id) >= CLUSTER_ID_BYTES)
        return error_set(error, ERROR_INVALID, "a cluster id of %zu bytes, at most %u", strlen(cluster_id),
                         CLUSTER_ID_BYTES - 1);
    if (meta->cluster_id[0] != '\0' && strcmp(meta->cluster_id, cluster_id) != 0)
        return error_set(error, ERROR_CORRUPT, "the state belongs to cluster %s, not to %s", meta->cluster_id,
                         cluster_id);
    if (generation < meta->generation)
        return error_set(error, ERROR_CORRUPT, "the state is of generation %" PRIu64 ", later than %" PRIu64,
                         meta->generation, generation);
    if (strcmp(meta->cluster_id, cluster_id) == 0 && meta->generation == generation)
        return ERROR_OK;
    const struct store_meta before = *meta;
    snprintf(meta->cluster_id, sizeof(meta->cluster_id), "%s", cluster_id);
    meta->generation = generation;
    const enum error_code code = store_meta_write(self->store, error);
    if (code != ERROR_OK)
        *meta = before;
    return code;
}

void fsm_describe(const struct fsm *self, struct fsm_state *out)
{
    const struct store_meta *meta = store_meta(self->store);
    *out = (struct fsm_state){
        .generation = meta->generation,
        .index = meta->index,
        .term = meta->term,
        .time_ms = meta->time_ms,
        .configuration_index = meta->configuration_index,
        .configuration = span_of(meta->configuration, meta->configuration_bytes),
        .level = meta->level,
        .schema = meta->schema,
        .audit_seq = meta->audit_seq,
    };
    memcpy(out->cluster_id, meta->cluster_id, sizeof(out->cluster_id));
    memcpy(out->digest, meta->digest, DIGEST_BYTES);
}

struct fsm_records fsm_records(const struct fsm *self)
{
    return (struct fsm_records){bytes_span(&self->records), self->record_count};
}

enum error_code fsm_flush(struct fsm *self, struct error *error)
{
    return kv_flush(store_kv(self->store), error);
}

enum error_code fsm_checkpoint(struct fsm *self, const char *folder, struct error *error)
{
    return kv_checkpoint(store_kv(self->store), folder, error);
}

enum error_code fsm_verify(struct fsm *self, struct error *error)
{
    return kv_verify(store_kv(self->store), error);
}

/* --- one command --- */

/* The record of a refused attempt: written after all else that the handler wrote is undone. */
static void record_denied(struct apply *apply)
{
    if (!apply->attempt.resource_type)
        return;
    struct audit_record record = apply->attempt;
    struct field_pair *fields = arena_new(apply->arena, (record.field_count + 2) * sizeof(*fields));
    if (record.field_count > 0)
        memcpy(fields, record.fields, record.field_count * sizeof(*fields));
    const char *detail = NULL;
    if (!value_get_text(bytes_span(&apply->body), "detail", apply->arena, &detail))
        detail = "";
    fields[record.field_count] = (struct field_pair){"refused_code", result_name(apply->code)};
    fields[record.field_count + 1] = (struct field_pair){"refused_detail", detail};
    record.fields = fields;
    record.field_count += 2;
    record.outcome = AUDIT_DENIED;
    apply_record(apply, &record);
}

static void handler_run(struct apply *apply, const struct command *command)
{
    command->entry->handler(apply, command->body);
    if (apply->body.overflow) {
        bytes_clear(&apply->body);
        apply->body.overflow = false;
        value_map(&apply->body, 1);
        value_text(&apply->body, "detail", "done; the answer is too long to be kept");
    }
    if (apply_refused(apply)) {
        store_entry_undo(apply->store);
        apply->audit_seq = 0;
        record_denied(apply);
    } else if (apply->body.length == 0) {
        value_map(&apply->body, 0);
    }
}

static void result_of_request(struct apply *apply, const struct request *request, struct result *out)
{
    bytes_clear(&apply->body);
    bytes_append(&apply->body, request->body.data, request->body.bytes);
    *out = (struct result){.index = request->index,
                           .audit_seq = request->audit_seq,
                           .code = (uint32_t)request->code,
                           .repeated = true};
}

/* Runs the command unless its request id is known. The result's body stands in apply->body. */
static void command_run(struct apply *apply, const struct command *command, struct result *out)
{
    const bool remembered = command->request_id[0] != '\0';
    struct store_key key = {.length = 0};
    struct request request;
    uint8_t body_hash[DIGEST_BYTES];
    enum request_state state = REQUEST_NEW;

    if (remembered) {
        key = request_key(command->principal, command->request_id);
        request_hash(command->entry->type.type, command->version, command->packed_body, body_hash);
        state = request_find(apply->store, apply->arena, &key, body_hash, &request);
    }
    if (state == REQUEST_KNOWN) {
        result_of_request(apply, &request, out);
        return;
    }
    const struct command_type *type = &command->entry->type;
    const bool system = strcmp(type->permission, PERMISSION_SYSTEM) == 0;
    if (state == REQUEST_REUSED)
        apply_refuse(apply, RESULT_REQUEST_REUSED,
                     "request id \"%s\" was used for another request; use a new one", command->request_id);
    else if (remembered && !system && request_table_full(apply->store, type->urgent))
        apply_refuse(apply, RESULT_REQUESTS_FULL,
                     "%llu requests of the last 24 h are remembered, which is all there is room for",
                     (unsigned long long)store_meta(apply->store)->request_count);
    else
        handler_run(apply, command);

    *out = (struct result){.index = apply->index, .audit_seq = apply->audit_seq, .code = apply->code};
    if (remembered && state == REQUEST_NEW && apply->code != RESULT_REQUESTS_FULL) {
        const struct request done = {
            .index = apply->index,
            .term = apply->term,
            .expires_ms = request_expires_ms(command->request_id, apply->time_ms),
            .audit_seq = apply->audit_seq,
            .code = apply->code,
            .body_hash = span_of(body_hash, DIGEST_BYTES),
            .body = bytes_span(&apply->body),
        };
        request_remember(apply->store, &key, &done);
    }
}

static enum error_code command_apply(struct fsm *self, const struct entry *entry, struct result *out,
                                     struct error *error)
{
    struct command command;
    const enum error_code code = command_decode(entry->data, &self->arena, &command, error);
    if (code != ERROR_OK) {
        error_prefix(error, "log entry %" PRIu64, entry->index);
        return code;
    }

    struct store_meta *meta = store_meta(self->store);
    if (command.wall_ms > meta->time_ms)
        meta->time_ms = command.wall_ms;
    struct apply apply = {
        .store = self->store,
        .arena = &self->arena,
        .index = entry->index,
        .term = entry->term,
        .time_ms = meta->time_ms,
        .level = meta->level,
        .principal = command.principal,
        .request_id = command.request_id,
        .source = command.source,
    };
    bytes_init(&apply.body, RESULT_BODY_BYTES_MAX);
    store_entry_begin(self->store);
    request_expire(self->store, meta->time_ms, REQUEST_EXPIRE_MAX);
    store_entry_settle(self->store); /* a refusal doesn't bring back what has expired */
    command_run(&apply, &command, out);
    bytes_append(&self->bodies, apply.body.data, apply.body.length);
    out->body = span_of(NULL, apply.body.length); /* where it stands is known when all of them stand */
    bytes_done(&apply.body);
    return ERROR_OK;
}

/* --- entries and groups --- */

static enum error_code configuration_apply(struct fsm *self, const struct entry *entry, struct error *error)
{
    struct store_meta *meta = store_meta(self->store);
    if (entry->data.bytes > sizeof(meta->configuration))
        return error_set(error, ERROR_INVALID,
                         "log entry %" PRIu64 ": a configuration of %zu bytes, at most %zu", entry->index,
                         entry->data.bytes, sizeof(meta->configuration));
    meta->configuration_index = entry->index;
    meta->configuration_bytes = entry->data.bytes;
    if (entry->data.bytes > 0)
        memcpy(meta->configuration, entry->data.data, entry->data.bytes);
    return ERROR_OK;
}

static void hash_number(struct hash *hash, uint64_t number, size_t width)
{
    uint8_t raw[8];
    put_u64(raw, number);
    hash_update(hash, raw + 8 - width, width);
}

static void hash_counted(struct hash *hash, struct span span)
{
    hash_number(hash, span.bytes, 4);
    hash_update(hash, span.data, span.bytes);
}

static void result_pack(const struct result *result, struct span body, struct bytes *out)
{
    uint8_t head[21];
    put_u32(head, result->code);
    put_u64(head + 4, result->index);
    put_u64(head + 12, result->audit_seq);
    head[20] = result->repeated;
    bytes_clear(out);
    bytes_append(out, head, sizeof(head));
    bytes_append(out, body.data, body.bytes);
}

static void digest_advance(struct fsm *self, const struct entry *entry, const struct result *result,
                           struct span body, struct span ops)
{
    struct store_meta *meta = store_meta(self->store);
    result_pack(result, body, &self->result);
    hash_update(self->hash, meta->digest, DIGEST_BYTES);
    hash_number(self->hash, entry->index, 8);
    hash_number(self->hash, entry->term, 8);
    hash_number(self->hash, (uint64_t)entry->type, 4);
    hash_counted(self->hash, entry->data);
    hash_counted(self->hash, bytes_span(&self->result));
    hash_counted(self->hash, ops);
    hash_finish(self->hash, meta->digest);
}

/* What the entry put into the trail, for whoever copies it elsewhere: spares reading it back. */
static void records_gather(struct fsm *self, struct span ops)
{
    struct store_op op;
    while (store_op_next(&ops, &op)) {
        uint8_t head[4];
        if (!op.put || !store_key_is_record(op.key))
            continue;
        put_u32(head, (uint32_t)op.value.bytes);
        bytes_append(&self->records, head, sizeof head);
        bytes_append(&self->records, op.value.data, op.value.bytes);
        self->record_count++;
    }
}

static void records_clear(struct fsm *self)
{
    bytes_clear(&self->records);
    self->record_count = 0;
}

static enum error_code entry_apply(struct fsm *self, const struct entry *entry, struct result *out,
                                   struct error *error)
{
    struct store_meta *meta = store_meta(self->store);
    const size_t bodies_before = self->bodies.length;
    enum error_code code = ERROR_OK;

    *out = (struct result){.index = entry->index};
    if (entry->type == ENTRY_COMMAND)
        code = command_apply(self, entry, out, error);
    else if (entry->type == ENTRY_CHANGE)
        code = configuration_apply(self, entry, error);
    else if (entry->type != ENTRY_BARRIER)
        code = error_set(error, ERROR_INVALID,
                         "log entry %" PRIu64 " is of type %d, which this build doesn't know", entry->index,
                         (int)entry->type);
    if (code != ERROR_OK)
        return code;

    const struct span ops = entry->type == ENTRY_COMMAND ? store_entry_end(self->store) : span_of(NULL, 0);
    const struct span body = span_of(self->bodies.data ? self->bodies.data + bodies_before : NULL,
                                     self->bodies.length - bodies_before);
    meta->index = entry->index;
    meta->term = entry->term;
    digest_advance(self, entry, out, body, ops);
    records_gather(self, ops);
    if (entry->index % FSM_DIGEST_EVERY == 0) {
        const struct store_key key = store_key_u64('d', entry->index);
        store_put_aside(self->store, &key, span_of(meta->digest, DIGEST_BYTES));
    }
    arena_clear(&self->arena);
    return ERROR_OK;
}

static enum error_code group_check(const struct fsm *self, const struct entry *entries, uint32_t count,
                                   struct error *error)
{
    const struct store_meta *meta = store_meta(self->store);
    if (count == 0)
        return error_set(error, ERROR_INVALID, "a group without entries");
    uint64_t term = meta->term;
    for (uint32_t i = 0; i < count; i++) {
        if (entries[i].index != meta->index + 1 + i)
            return error_set(error, ERROR_INVALID,
                             "log entry %" PRIu64 " where %" PRIu64 " is next to be applied",
                             entries[i].index, meta->index + 1 + i);
        if (entries[i].term < term)
            return error_set(error, ERROR_INVALID,
                             "log entry %" PRIu64 " of term %" PRIu64 " follows one of term %" PRIu64,
                             entries[i].index, entries[i].term, term);
        term = entries[i].term;
    }
    return ERROR_OK;
}

enum error_code fsm_apply(struct fsm *self, const struct entry *entries, uint32_t count,
                          struct result *results, struct error *error)
{
    enum error_code code = group_check(self, entries, count, error);
    if (code != ERROR_OK)
        return code;

    bytes_clear(&self->bodies);
    records_clear(self);
    store_begin(self->store);
    for (uint32_t i = 0; i < count && code == ERROR_OK && !store_failed(self->store); i++)
        code = entry_apply(self, &entries[i], &results[i], error);
    arena_clear(&self->arena);
    if (code != ERROR_OK)
        store_abandon(self->store);
    else
        code = store_commit(self->store, error);
    if (code != ERROR_OK) {
        records_clear(self);
        return code;
    }

    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        results[i].body.data = results[i].body.bytes > 0 ? self->bodies.data + at : NULL;
        at += results[i].body.bytes;
    }
    CHECK(at == self->bodies.length, "bodies of %zu bytes, %zu stand there", at, self->bodies.length);
    return ERROR_OK;
}
