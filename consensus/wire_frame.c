#include "consensus/wire_frame.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/schema.h"
#include "consensus/wire.h"

/* --- frames
 * ------------------------------------------------------------------------------------------------------- */

enum wire_frame_result wire_frame_parse(struct span received, size_t payload_max, struct span *payload,
                                        size_t *needed, struct error *error)
{
    const uint8_t *data = received.data;
    CHECK(payload_max > 0 && payload_max <= FRAME_BYTES_MAX, "%zu", payload_max);
    if (received.bytes < WIRE_HEAD_BYTES) {
        *needed = WIRE_HEAD_BYTES;
        return WIRE_FRAME_MORE;
    }
    const uint32_t length = get_u32(data);
    if (length == 0 || length > payload_max) {
        error_set(error, ERROR_CORRUPT, "a frame of %u bytes is not within 1 .. %zu", length, payload_max);
        return WIRE_FRAME_BAD;
    }
    if (received.bytes < WIRE_HEAD_BYTES + (size_t)length) {
        *needed = WIRE_HEAD_BYTES + (size_t)length;
        return WIRE_FRAME_MORE;
    }
    if (crc32c(0, data + WIRE_HEAD_BYTES, length) != get_u32(data + 4)) {
        error_set(error, ERROR_CORRUPT, "a frame of %u bytes has a wrong checksum", length);
        return WIRE_FRAME_BAD;
    }
    *payload = span_of(data + WIRE_HEAD_BYTES, length);
    return WIRE_FRAME_READY;
}

void wire_frame_head(struct span payload, uint8_t out[WIRE_HEAD_BYTES])
{
    CHECK(payload.bytes > 0 && payload.bytes <= FRAME_BYTES_MAX, "a payload of %zu bytes", payload.bytes);
    put_u32(out, (uint32_t)payload.bytes);
    put_u32(out + 4, crc32c(0, payload.data, payload.bytes));
}

/* --- the handshake
 * ------------------------------------------------------------------------------------------------ */

static const struct field hello_fields[] = {
    {.name = "protocol",
     .type = FIELD_U64,
     .offset = offsetof(struct wire_hello, protocol),
     .required = true},
    {.name = "cluster_id",
     .type = FIELD_TEXT,
     .offset = offsetof(struct wire_hello, cluster_id),
     .required = true,
     .max = CLUSTER_ID_BYTES - 1},
    {.name = "generation",
     .type = FIELD_U64,
     .offset = offsetof(struct wire_hello, generation),
     .required = true},
    {.name = "node_id",
     .type = FIELD_U64,
     .offset = offsetof(struct wire_hello, node_id),
     .required = true,
     .min = 1},
    {.name = "incarnation",
     .type = FIELD_TEXT,
     .offset = offsetof(struct wire_hello, incarnation),
     .required = true,
     .max = sizeof(((struct wire_identity *)NULL)->incarnation) - 1},
    {.name = "start_counter",
     .type = FIELD_U64,
     .offset = offsetof(struct wire_hello, start_counter),
     .required = true},
    {.name = "nonce",
     .type = FIELD_U64,
     .offset = offsetof(struct wire_hello, nonce),
     .required = true,
     .max = UINT64_MAX},
    {.name = "address",
     .type = FIELD_TEXT,
     .offset = offsetof(struct wire_hello, address),
     .required = true,
     .max = ADDRESS_BYTES_MAX - 1},
    {.name = "wanted", .type = FIELD_U64, .offset = offsetof(struct wire_hello, wanted)},
    {.name = "log_end", .type = FIELD_U64, .offset = offsetof(struct wire_hello, log_end)},
};
static const struct schema hello_schema = SCHEMA("hello", struct wire_hello, hello_fields);

static const char *const refusal_names[WIRE_REFUSAL_COUNT] = {
    [WIRE_WELCOME] = "welcome",
    [WIRE_REFUSED_PROTOCOL] = "protocol",
    [WIRE_REFUSED_CLUSTER] = "other_cluster",
    [WIRE_REFUSED_GENERATION] = "other_generation",
    [WIRE_REFUSED_REMOVED] = "removed",
    [WIRE_REFUSED_SELF] = "self",
    [WIRE_REFUSED_CLONED] = "cloned",
    [WIRE_REFUSED_OLD_START] = "old_start",
    [WIRE_REFUSED_WRONG_NODE] = "wrong_node",
    [WIRE_REFUSED_ROLLED_BACK] = "rolled_back",
};

static const struct field answer_fields[] = {
    {.name = "refusal",
     .type = FIELD_ENUM,
     .offset = offsetof(struct wire_answer, refusal),
     .required = true,
     .names = refusal_names,
     .names_count = WIRE_REFUSAL_COUNT},
    {.name = "sentence",
     .type = FIELD_TEXT,
     .offset = offsetof(struct wire_answer, sentence),
     .max = ERROR_MESSAGE_BYTES},
    {.name = "hello",
     .type = FIELD_STRUCT,
     .offset = offsetof(struct wire_answer, hello),
     .schema = &hello_schema},
};
static const struct schema answer_schema = SCHEMA("answer", struct wire_answer, answer_fields);

const char *wire_refusal_name(uint32_t refusal)
{
    return refusal < WIRE_REFUSAL_COUNT ? refusal_names[refusal] : "unknown";
}

void wire_hello_encode(const struct wire_hello *hello, struct bytes *out)
{
    schema_pack(&hello_schema, hello, out);
}

static enum error_code check_hello(const struct wire_hello *hello, struct error *error)
{
    char host[ADDRESS_BYTES_MAX], port[6];
    if (!wire_address_split(hello->address, host, port))
        return error_set(error, ERROR_CORRUPT, "hello.address: not host:port");
    return ERROR_OK;
}

enum error_code wire_hello_decode(struct span payload, struct arena *arena, struct wire_hello *out,
                                  struct error *error)
{
    uint64_t protocol;
    if (!schema_peek_u64(payload, 0, &protocol))
        return error_set(error, ERROR_CORRUPT, "%zu bytes that are no handshake", payload.bytes);
    if (protocol != WIRE_PROTOCOL) { /* what follows may have other fields */
        *out = (struct wire_hello){.protocol = protocol};
        return error_set(error, ERROR_CONFLICT, "it speaks protocol %llu, this node %u",
                         (unsigned long long)protocol, WIRE_PROTOCOL);
    }
    struct wire_hello hello;
    enum error_code code = schema_unpack(&hello_schema, payload, arena, &hello, error);
    if (code == ERROR_OK)
        code = check_hello(&hello, error);
    if (code == ERROR_OK)
        *out = hello;
    return code;
}

void wire_answer_encode(const struct wire_answer *answer, struct bytes *out)
{
    schema_pack(&answer_schema, answer, out);
}

enum error_code wire_answer_decode(struct span payload, struct arena *arena, struct wire_answer *out,
                                   struct error *error)
{
    struct wire_answer answer;
    enum error_code code = schema_unpack(&answer_schema, payload, arena, &answer, error);
    if (code != ERROR_OK)
        return code;
    if (answer.refusal == WIRE_WELCOME) {
        if (answer.hello.address == NULL)
            return error_set(error, ERROR_CORRUPT, "answer.hello: missing in a welcome");
        code = check_hello(&answer.hello, error);
    } else if (answer.sentence == NULL) {
        answer.sentence = wire_refusal_name(answer.refusal);
    }
    if (code == ERROR_OK)
        *out = answer;
    return code;
}

bool wire_address_split(const char *address, char host[ADDRESS_BYTES_MAX], char port[6])
{
    const char *colon = strrchr(address, ':');
    uint64_t number;
    if (colon == NULL || strlen(address) >= ADDRESS_BYTES_MAX || !parse_u64(colon + 1, UINT16_MAX, &number))
        return false;
    size_t length = (size_t)(colon - address);
    if (length >= 2 && address[0] == '[' && colon[-1] == ']') {
        address++;
        length -= 2;
    } else if (memchr(address, ':', length) != NULL) {
        return false; /* an IPv6 address stands in brackets */
    }
    memcpy(host, address, length);
    host[length] = '\0';
    snprintf(port, 6, "%u", (unsigned)number);
    return true;
}
