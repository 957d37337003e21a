/* Messages between nodes, by field tables: one per kind, the first three fields the same in all. */
#include "consensus/message.h"

#include <string.h>

#include "base/check.h"
#include "base/schema.h"

/* What stands on the wire: every kind's fields side by side, as wide as the tables know them. */
struct record {
    uint64_t kind, term, wall_ms;
    uint64_t prev_index, prev_term, commit;
    struct entry *entries;
    size_t entry_count;
    uint64_t rejected, last_index, last_term;
    uint64_t features, capacity;
    uint64_t candidate, round;
    bool disrupt_leader, pre_vote, granted;
};

#define INDEX_MAX ((1ULL << 53) - 1)

static const char *const entry_types[] = {
    [0] = NULL, [ENTRY_COMMAND] = "command", [ENTRY_BARRIER] = "barrier", [ENTRY_CHANGE] = "change"};
_Static_assert(sizeof(enum entry_type) == sizeof(uint32_t), "FIELD_ENUM writes 32 bits");

/* An entry's index follows from its place. */
static const struct field entry_fields[] = {
    {.name = "term", .type = FIELD_U64, .offset = offsetof(struct entry, term), .required = true, .min = 1},
    {.name = "type",
     .type = FIELD_ENUM,
     .offset = offsetof(struct entry, type),
     .required = true,
     .names = entry_types,
     .names_count = sizeof entry_types / sizeof entry_types[0]},
    {.name = "data",
     .type = FIELD_BLOB,
     .offset = offsetof(struct entry, data),
     .max = MESSAGE_ENTRY_BYTES_MAX,
     .borrow = true},
};
static const struct schema entry_schema = SCHEMA("entry", struct entry, entry_fields);

#define NUMBER(member)                                                                                       \
    {                                                                                                        \
        .name = #member, .type = FIELD_U64, .offset = offsetof(struct record, member), .required = true      \
    }
#define NUMBER_FROM(member, least)                                                                           \
    {                                                                                                        \
        .name = #member, .type = FIELD_U64, .offset = offsetof(struct record, member), .required = true,     \
        .min = (least)                                                                                       \
    }
#define NUMBER_16(member)                                                                                    \
    {                                                                                                        \
        .name = #member, .type = FIELD_U64, .offset = offsetof(struct record, member), .required = true,     \
        .max = UINT16_MAX                                                                                    \
    }
#define YES_NO(member)                                                                                       \
    {                                                                                                        \
        .name = #member, .type = FIELD_BOOL, .offset = offsetof(struct record, member), .required = true     \
    }
#define HEAD(term_min) NUMBER_FROM(kind, 1), NUMBER_FROM(term, term_min), NUMBER(wall_ms)

static const struct field append_fields[] = {
    HEAD(1),
    NUMBER(prev_index),
    NUMBER(prev_term),
    NUMBER(commit),
    {.name = "entries",
     .type = FIELD_LIST,
     .offset = offsetof(struct record, entries),
     .count_offset = offsetof(struct record, entry_count),
     .max = GROUP_COMMANDS_MAX,
     .schema = &entry_schema},
};
/* A result may come from a node that has seen no term yet; an older term's result is ignored anyway. */
static const struct field append_result_fields[] = {HEAD(0), NUMBER(rejected), NUMBER(last_index),
                                                    NUMBER_16(features), NUMBER_16(capacity)};
static const struct field vote_fields[] = {HEAD(1),           NUMBER_FROM(candidate, 1), NUMBER(last_index),
                                           NUMBER(last_term), YES_NO(disrupt_leader),    YES_NO(pre_vote)};
static const struct field vote_result_fields[] = {HEAD(0), YES_NO(granted), YES_NO(pre_vote),
                                                  NUMBER_16(features), NUMBER_16(capacity)};
static const struct field timeout_now_fields[] = {HEAD(1), NUMBER(last_index), NUMBER(last_term)};
static const struct field snapshot_needed_fields[] = {HEAD(1), NUMBER_FROM(last_index, 1),
                                                      NUMBER_FROM(last_term, 1)};
static const struct field confirm_fields[] = {HEAD(1), NUMBER(round)};
static const struct field confirm_result_fields[] = {HEAD(0), NUMBER(round)};

static const struct schema schemas[MESSAGE_KIND_COUNT] = {
    [MESSAGE_APPEND] = SCHEMA("append", struct record, append_fields),
    [MESSAGE_APPEND_RESULT] = SCHEMA("append_result", struct record, append_result_fields),
    [MESSAGE_VOTE] = SCHEMA("vote", struct record, vote_fields),
    [MESSAGE_VOTE_RESULT] = SCHEMA("vote_result", struct record, vote_result_fields),
    [MESSAGE_TIMEOUT_NOW] = SCHEMA("timeout_now", struct record, timeout_now_fields),
    [MESSAGE_SNAPSHOT_NEEDED] = SCHEMA("snapshot_needed", struct record, snapshot_needed_fields),
    [MESSAGE_CONFIRM] = SCHEMA("confirm", struct record, confirm_fields),
    [MESSAGE_CONFIRM_RESULT] = SCHEMA("confirm_result", struct record, confirm_result_fields),
};

const char *message_kind_name(enum message_kind kind)
{
    return kind >= MESSAGE_APPEND && kind < MESSAGE_KIND_COUNT ? schemas[kind].name : "unknown";
}

/* --- struct -> bytes
 * ---------------------------------------------------------------------------------------------- */

static void record_fill(const struct message *message, struct record *out)
{
    switch (message->kind) {
    case MESSAGE_APPEND:
        CHECK(message->append.entry_count <= GROUP_COMMANDS_MAX, "%u entries", message->append.entry_count);
        out->prev_index = message->append.prev_index;
        out->prev_term = message->append.prev_term;
        out->commit = message->append.commit;
        out->entries = message->append.entries;
        out->entry_count = message->append.entry_count;
        return;
    case MESSAGE_APPEND_RESULT:
        out->rejected = message->append_result.rejected;
        out->last_index = message->append_result.last_index;
        out->features = message->append_result.features;
        out->capacity = message->append_result.capacity;
        return;
    case MESSAGE_VOTE:
        out->candidate = message->vote.candidate;
        out->last_index = message->vote.last_index;
        out->last_term = message->vote.last_term;
        out->disrupt_leader = message->vote.disrupt_leader;
        out->pre_vote = message->vote.pre_vote;
        return;
    case MESSAGE_VOTE_RESULT:
        out->granted = message->vote_result.granted;
        out->pre_vote = message->vote_result.pre_vote;
        out->features = message->vote_result.features;
        out->capacity = message->vote_result.capacity;
        return;
    case MESSAGE_TIMEOUT_NOW:
        out->last_index = message->timeout_now.last_index;
        out->last_term = message->timeout_now.last_term;
        return;
    case MESSAGE_SNAPSHOT_NEEDED:
        out->last_index = message->snapshot_needed.last_index;
        out->last_term = message->snapshot_needed.last_term;
        return;
    case MESSAGE_CONFIRM:
        out->round = message->confirm.round;
        return;
    case MESSAGE_CONFIRM_RESULT:
        out->round = message->confirm_result.round;
        return;
    case MESSAGE_KIND_COUNT:
        break;
    }
    CHECK(false, "message of kind %d", (int)message->kind);
}

void message_encode(const struct message *message, struct bytes *out)
{
    const size_t before = out->length;
    struct record record = {.kind = message->kind, .term = message->term, .wall_ms = message->wall_ms};
    record_fill(message, &record);
    schema_pack(&schemas[message->kind], &record, out);
    CHECK(out->length - before <= FRAME_BYTES_MAX, "a message of %zu bytes", out->length - before);
}

/* --- bytes -> struct
 * ---------------------------------------------------------------------------------------------- */

static enum error_code check_position(const char *what, uint64_t index, uint64_t term, struct error *error)
{
    if ((index == 0) == (term == 0))
        return ERROR_OK;
    return error_set(error, ERROR_CORRUPT, "%s: index %llu can't have term %llu", what,
                     (unsigned long long)index, (unsigned long long)term);
}

static enum error_code check_entries(const struct record *record, struct error *error)
{
    uint64_t term = record->prev_term;
    if (record->entry_count > INDEX_MAX - record->prev_index)
        return error_set(error, ERROR_CORRUPT, "append: %zu entries after index %llu pass the last index",
                         record->entry_count, (unsigned long long)record->prev_index);
    for (size_t i = 0; i < record->entry_count; i++) {
        const uint64_t next = record->entries[i].term;
        if (next < term || next > record->term)
            return error_set(
                error, ERROR_CORRUPT, "append.entries[%zu]: term %llu is not within %llu .. %llu", i,
                (unsigned long long)next, (unsigned long long)term, (unsigned long long)record->term);
        term = next;
    }
    return ERROR_OK;
}

static enum error_code check_record(const struct record *record, struct error *error)
{
    enum error_code code;
    switch ((enum message_kind)record->kind) {
    case MESSAGE_APPEND:
        code = check_position("append", record->prev_index, record->prev_term, error);
        return code == ERROR_OK ? check_entries(record, error) : code;
    case MESSAGE_VOTE:
    case MESSAGE_TIMEOUT_NOW:
        return check_position(message_kind_name((enum message_kind)record->kind), record->last_index,
                              record->last_term, error);
    default:
        return ERROR_OK;
    }
}

static void append_read(const struct record *record, struct message *out)
{
    out->append.prev_index = record->prev_index;
    out->append.prev_term = record->prev_term;
    out->append.commit = record->commit;
    out->append.entries = record->entries;
    out->append.entry_count = (uint32_t)record->entry_count;
    for (size_t i = 0; i < record->entry_count; i++)
        record->entries[i].index = record->prev_index + 1 + i;
}

static void record_read(const struct record *record, struct message *out)
{
    *out = (struct message){
        .kind = (enum message_kind)record->kind, .term = record->term, .wall_ms = record->wall_ms};
    switch (out->kind) {
    case MESSAGE_APPEND:
        append_read(record, out);
        return;
    case MESSAGE_APPEND_RESULT:
        out->append_result.rejected = record->rejected;
        out->append_result.last_index = record->last_index;
        out->append_result.features = (uint16_t)record->features;
        out->append_result.capacity = (uint16_t)record->capacity;
        return;
    case MESSAGE_VOTE:
        out->vote.candidate = record->candidate;
        out->vote.last_index = record->last_index;
        out->vote.last_term = record->last_term;
        out->vote.disrupt_leader = record->disrupt_leader;
        out->vote.pre_vote = record->pre_vote;
        return;
    case MESSAGE_VOTE_RESULT:
        out->vote_result.granted = record->granted;
        out->vote_result.pre_vote = record->pre_vote;
        out->vote_result.features = (uint16_t)record->features;
        out->vote_result.capacity = (uint16_t)record->capacity;
        return;
    case MESSAGE_TIMEOUT_NOW:
        out->timeout_now.last_index = record->last_index;
        out->timeout_now.last_term = record->last_term;
        return;
    case MESSAGE_SNAPSHOT_NEEDED:
        out->snapshot_needed.last_index = record->last_index;
        out->snapshot_needed.last_term = record->last_term;
        return;
    case MESSAGE_CONFIRM:
        out->confirm.round = record->round;
        return;
    case MESSAGE_CONFIRM_RESULT:
        out->confirm_result.round = record->round;
        return;
    case MESSAGE_KIND_COUNT:
        break;
    }
    CHECK(false, "message of kind %d", (int)out->kind);
}

enum error_code message_decode(struct span frame, struct arena *arena, struct message *out,
                               struct error *error)
{
    uint64_t kind;
    if (frame.bytes > FRAME_BYTES_MAX)
        return error_set(error, ERROR_CORRUPT, "a message of %zu bytes is longer than %u", frame.bytes,
                         FRAME_BYTES_MAX);
    if (!schema_peek_u64(frame, 0, &kind))
        return error_set(error, ERROR_CORRUPT, "%zu bytes that are no message", frame.bytes);
    if (kind < MESSAGE_APPEND || kind >= MESSAGE_KIND_COUNT)
        return error_set(error, ERROR_CORRUPT, "messages of kind %llu are unknown", (unsigned long long)kind);
    struct record record;
    enum error_code code = schema_unpack(&schemas[kind], frame, arena, &record, error);
    if (code == ERROR_OK)
        code = check_record(&record, error);
    if (code == ERROR_OK)
        record_read(&record, out);
    return code;
}
