/* The command types of all modules, and the envelope of a logged command.
 *
 * An envelope is one flat msgpack array. Its first three elements have a fixed width, so that a leader can
 * stamp level and time into bytes that are encoded already; the rest goes through a field table like every
 * other record:
 *
 *   99            array of 9
 *   01            format
 *   ce LLLLLLLL   level
 *   cf WWWWWWWW.. wall_ms
 *   type, version, request_id, principal, body (bin), source: their shortest form */
#include "fsm/commands.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"

#define ENVELOPE_HEAD_BYTES 16u
#define ENVELOPE_LEVEL_AT   3u
#define ENVELOPE_TIME_AT    8u
#define ENVELOPE_TAIL_ARRAY 0x96u              /* array of 6: the tail as a record of its own */
#define COMMAND_VERSION     1u                 /* of every body so far */
#define WALL_MS_MAX         253402300799999ull /* 9999-12-31T23:59:59.999Z: what RFC 3339 can say */

static const uint8_t head_template[ENVELOPE_HEAD_BYTES] = {0x99, FSM_FORMAT, 0xce, 0, 0, 0, 0, 0xcf};

/* --- the table --- */

struct command_group {
    const struct command_entry *entries;
    const size_t *count;
};
static const struct command_group groups[] = {
    {leadership_commands, &leadership_command_count}, {plan_commands, &plan_command_count},
    {rollback_commands, &rollback_command_count},     {flag_commands, &flag_command_count},
    {switch_commands, &switch_command_count},         {audit_commands, &audit_command_count},
};
#define GROUP_COUNT (sizeof(groups) / sizeof(groups[0]))

static const struct command_entry *entry_at(uint32_t position)
{
    size_t left = position;
    for (size_t i = 0; i < GROUP_COUNT; i++) {
        if (left < *groups[i].count)
            return &groups[i].entries[left];
        left -= *groups[i].count;
    }
    return NULL;
}

const struct command_type *command_at(uint32_t position)
{
    const struct command_entry *entry = entry_at(position);
    return entry ? &entry->type : NULL;
}

const struct command_entry *command_entry_by_type(uint32_t type)
{
    const struct command_entry *entry = NULL;
    for (uint32_t i = 0; (entry = entry_at(i)) != NULL; i++)
        if (entry->type.type == type)
            return entry;
    return NULL;
}

const struct command_type *command_by_type(uint32_t type)
{
    const struct command_entry *entry = command_entry_by_type(type);
    return entry ? &entry->type : NULL;
}

const struct command_type *command_by_name(const char *name)
{
    const struct command_type *type = NULL;
    for (uint32_t i = 0; (type = command_at(i)) != NULL; i++)
        if (strcmp(type->name, name) == 0)
            return type;
    return NULL;
}

/* --- the envelope --- */

struct envelope { /* its tail */
    uint64_t type, version;
    const char *request_id, *principal;
    struct span body;
    uint32_t source;
};

static const char *const source_names[] = {"orchestrator", "edge", "cli"};

#define ENVELOPE(member, field_type, ...)                                                                    \
    {                                                                                                        \
        .name = #member, .type = (field_type), .offset = offsetof(struct envelope, member), __VA_ARGS__      \
    }
static const struct field envelope_fields[] = {
    ENVELOPE(type, FIELD_U64, .min = 1, .max = UINT32_MAX),
    ENVELOPE(version, FIELD_U64, .min = 1, .max = UINT32_MAX),
    ENVELOPE(request_id, FIELD_TEXT, .max = REQUEST_ID_BYTES_MAX),
    ENVELOPE(principal, FIELD_TEXT, .required = true, .max = PRINCIPAL_BYTES_MAX),
    ENVELOPE(body, FIELD_BLOB, .max = COMMAND_BYTES_MAX),
    ENVELOPE(source, FIELD_ENUM, .names = source_names, .names_count = AUDIT_SOURCE_COUNT),
};
static const struct schema envelope_schema = SCHEMA("command", struct envelope, envelope_fields);

void command_stamp(void *command, size_t command_bytes, uint64_t wall_ms, uint32_t level)
{
    uint8_t *bytes = command;
    CHECK(command_bytes > ENVELOPE_HEAD_BYTES && bytes[2] == 0xce && bytes[7] == 0xcf,
          "%zu bytes are not an encoded command", command_bytes);
    put_u32(bytes + ENVELOPE_LEVEL_AT, level);
    put_u64(bytes + ENVELOPE_TIME_AT, wall_ms);
}

static enum error_code identity_check(const char *request_id, const char *principal, struct error *error)
{
    if (strlen(request_id) > REQUEST_ID_BYTES_MAX)
        return error_set(error, ERROR_TOO_BIG, "request id: %zu bytes, at most %u", strlen(request_id),
                         REQUEST_ID_BYTES_MAX);
    if (principal[0] == '\0' || strlen(principal) > PRINCIPAL_BYTES_MAX)
        return error_set(error, ERROR_TOO_BIG, "principal: %zu bytes is not within 1 .. %u",
                         strlen(principal), PRINCIPAL_BYTES_MAX);
    if (!utf8_valid(request_id, strlen(request_id)) || !utf8_valid(principal, strlen(principal)))
        return error_set(error, ERROR_INVALID, "request id or principal is not UTF-8");
    return ERROR_OK;
}

enum error_code command_encode_from(const struct command_type *type, enum audit_source source,
                                    const char *request_id, const char *principal, uint64_t wall_ms,
                                    const void *body, struct bytes *out, struct error *error)
{
    enum error_code code = identity_check(request_id, principal, error);
    if (code != ERROR_OK)
        return code;
    struct bytes packed, tail;
    bytes_init(&packed, 0);
    bytes_init(&tail, 0);
    schema_pack(type->schema, body, &packed);
    const struct envelope envelope = {
        .type = type->type,
        .version = COMMAND_VERSION,
        .request_id = request_id[0] ? request_id : NULL,
        .principal = principal,
        .body = bytes_span(&packed),
        .source = (uint32_t)source,
    };
    schema_pack(&envelope_schema, &envelope, &tail);
    CHECK(tail.length > 1 && tail.data[0] == ENVELOPE_TAIL_ARRAY, "a tail that begins with %02x",
          tail.data[0]);

    const size_t total = ENVELOPE_HEAD_BYTES + tail.length - 1;
    if (total > COMMAND_BYTES_MAX) {
        code = error_set(error, ERROR_TOO_BIG, "%s takes %zu bytes, at most %u", type->name, total,
                         COMMAND_BYTES_MAX);
    } else {
        uint8_t head[ENVELOPE_HEAD_BYTES];
        memcpy(head, head_template, sizeof(head));
        put_u32(head + ENVELOPE_LEVEL_AT, 1);
        put_u64(head + ENVELOPE_TIME_AT, wall_ms);
        bytes_append(out, head, sizeof(head));
        bytes_append(out, tail.data + 1, tail.length - 1);
    }
    bytes_done(&packed);
    bytes_done(&tail);
    return code;
}

enum error_code command_encode(const struct command_type *type, const char *request_id, const char *principal,
                               uint64_t wall_ms, const void *body, struct bytes *out, struct error *error)
{
    return command_encode_from(type, AUDIT_ORCHESTRATOR, request_id, principal, wall_ms, body, out, error);
}

/* --- taking one apart --- */

static enum error_code head_decode(struct span data, struct command *out, struct error *error)
{
    const uint8_t *bytes = data.data;
    if (data.bytes > COMMAND_BYTES_MAX)
        return error_set(error, ERROR_INVALID, "a command of %zu bytes, at most %u", data.bytes,
                         COMMAND_BYTES_MAX);
    if (data.bytes <= ENVELOPE_HEAD_BYTES || bytes[0] != head_template[0] || bytes[2] != head_template[2] ||
        bytes[7] != head_template[7])
        return error_set(error, ERROR_INVALID, "%zu bytes that are not a command", data.bytes);
    if (bytes[1] != FSM_FORMAT)
        return error_set(error, ERROR_INVALID, "a command of format %u, this build understands %u", bytes[1],
                         FSM_FORMAT);
    out->level = get_u32(bytes + ENVELOPE_LEVEL_AT);
    out->wall_ms = get_u64(bytes + ENVELOPE_TIME_AT);
    if (out->level == 0 || out->level > FSM_LEVEL)
        return error_set(error, ERROR_INVALID,
                         "a command of level %u, this build understands 1 .. %u: run a newer build",
                         out->level, FSM_LEVEL);
    if (out->wall_ms > WALL_MS_MAX)
        return error_set(error, ERROR_INVALID, "a command of time %" PRIu64 " ms, past the year 9999",
                         out->wall_ms);
    return ERROR_OK;
}

static enum error_code tail_decode(struct span data, struct arena *arena, struct envelope *out,
                                   struct error *error)
{
    const size_t tail_bytes = data.bytes - ENVELOPE_HEAD_BYTES;
    uint8_t *tail = arena_new(arena, tail_bytes + 1);
    tail[0] = ENVELOPE_TAIL_ARRAY;
    memcpy(tail + 1, (const uint8_t *)data.data + ENVELOPE_HEAD_BYTES, tail_bytes);
    if (schema_unpack(&envelope_schema, span_of(tail, tail_bytes + 1), arena, out, error) == ERROR_OK)
        return ERROR_OK;
    if (error)
        error->code = ERROR_INVALID;
    return ERROR_INVALID;
}

enum error_code command_decode(struct span data, struct arena *arena, struct command *out,
                               struct error *error)
{
    struct command command = {0};
    struct envelope envelope = {0};
    enum error_code code = head_decode(data, &command, error);
    if (code == ERROR_OK)
        code = tail_decode(data, arena, &envelope, error);
    if (code != ERROR_OK)
        return code;

    command.entry = command_entry_by_type((uint32_t)envelope.type);
    if (!command.entry)
        return error_set(error, ERROR_INVALID,
                         "command type %" PRIu64 " is unknown to this build: run a newer build",
                         envelope.type);
    const struct command_type *type = &command.entry->type;
    if (envelope.version > COMMAND_VERSION)
        return error_set(error, ERROR_INVALID,
                         "%s of version %" PRIu64 ", this build understands %u: run a newer build",
                         type->name, envelope.version, COMMAND_VERSION);
    command.body = arena_new(arena, type->schema->bytes);
    if (schema_unpack(type->schema, envelope.body, arena, command.body, error) != ERROR_OK) {
        error_prefix(error, "%s", type->name);
        if (error)
            error->code = ERROR_INVALID;
        return ERROR_INVALID;
    }
    command.version = (uint32_t)envelope.version;
    command.source = envelope.source;
    command.request_id = envelope.request_id ? envelope.request_id : "";
    command.principal = envelope.principal;
    command.packed_body = envelope.body;
    *out = command;
    return ERROR_OK;
}

enum error_code command_inspect(struct span command, struct arena *arena, struct command_header *out,
                                struct error *error)
{
    struct command whole;
    const enum error_code code = command_decode(command, arena, &whole, error);
    if (code == ERROR_OK)
        *out = (struct command_header){
            .level = whole.level,
            .type = whole.entry->type.type,
            .version = whole.version,
            .source = whole.source,
            .wall_ms = whole.wall_ms,
            .request_id = whole.request_id,
            .principal = whole.principal,
        };
    return code;
}
