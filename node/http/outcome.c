#include "node/http/outcome.h"

#include <stdio.h>
#include <string.h>

#include "base/schema.h"

struct wire_outcome {
    uint64_t error, code, index, term, audit_seq;
    bool repeated;
    const char *message, *leader_url;
    struct span body;
};

#define AT(member) ((uint32_t)offsetof(struct wire_outcome, member))
static const struct field outcome_fields[] = {
    {.name = "error",
     .type = FIELD_U64,
     .offset = AT(error),
     .max = ERROR_COUNT - 1,
     .help = "enum error_code"},
    {.name = "message", .type = FIELD_TEXT, .offset = AT(message), .max = ERROR_MESSAGE_BYTES - 1},
    {.name = "code", .type = FIELD_U64, .offset = AT(code), .max = UINT32_MAX, .help = "enum result_code"},
    {.name = "index", .type = FIELD_U64, .offset = AT(index)},
    {.name = "term", .type = FIELD_U64, .offset = AT(term)},
    {.name = "audit_seq", .type = FIELD_U64, .offset = AT(audit_seq)},
    {.name = "repeated", .type = FIELD_BOOL, .offset = AT(repeated)},
    {.name = "body", .type = FIELD_BLOB, .offset = AT(body), .max = OUTCOME_BYTES_MAX, .help = "msgpack map"},
    {.name = "leader_url", .type = FIELD_TEXT, .offset = AT(leader_url), .max = ADDRESS_BYTES_MAX - 1},
};
static const struct schema outcome_schema = SCHEMA("outcome", struct wire_outcome, outcome_fields);

void outcome_encode(const struct outcome *outcome, struct bytes *out)
{
    struct wire_outcome wire = {
        .error = outcome->error,
        .message = outcome->message,
        .code = outcome->code,
        .index = outcome->index,
        .term = outcome->term,
        .audit_seq = outcome->audit_seq,
        .repeated = outcome->repeated,
        .body = outcome->body,
        .leader_url = outcome->leader_url,
    };
    schema_pack(&outcome_schema, &wire, out);
}

enum error_code outcome_decode(struct span packed, struct arena *arena, struct outcome *out,
                               struct error *error)
{
    struct wire_outcome wire = {0};
    enum error_code code = schema_unpack(&outcome_schema, packed, arena, &wire, error);
    if (code != ERROR_OK)
        return code;
    *out = (struct outcome){
        .error = (enum error_code)wire.error,
        .code = (uint32_t)wire.code,
        .index = wire.index,
        .term = wire.term,
        .audit_seq = wire.audit_seq,
        .repeated = wire.repeated,
        .body = wire.body,
    };
    snprintf(out->message, sizeof(out->message), "%s", wire.message ? wire.message : "");
    snprintf(out->leader_url, sizeof(out->leader_url), "%s", wire.leader_url ? wire.leader_url : "");
    return ERROR_OK;
}
