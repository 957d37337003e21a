#include "consensus/configuration.h"

#include <string.h>

#include "base/check.h"

#define CONFIGURATION_VERSION 1u

static uint64_t get_little(const uint8_t *in)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | in[i];
    return value;
}

static void append_little(struct bytes *out, uint64_t value)
{
    uint8_t text[8];
    for (int i = 0; i < 8; i++)
        text[i] = (uint8_t)(value >> (8 * i));
    bytes_append(out, text, sizeof text);
}

/* Reads one member at `*at`, which it moves on. */
static enum error_code decode_member(struct span payload, size_t *at, struct configuration *out,
                                     struct error *error)
{
    const uint8_t *data = payload.data;
    struct configuration_member *member = &out->members[out->count];

    if (payload.bytes - *at < 8 + 2 + 1)
        return error_set(error, ERROR_INVALID, "configuration ends inside member %u", out->count + 1);
    member->node_id = get_little(data + *at);
    *at += 8;
    size_t room = payload.bytes - *at;
    size_t length = strnlen((const char *)data + *at, room < ADDRESS_BYTES_MAX ? room : ADDRESS_BYTES_MAX);
    if (length == 0 || length >= ADDRESS_BYTES_MAX || length + 2 > room)
        return error_set(error, ERROR_INVALID, "configuration: member %u has no valid address",
                         out->count + 1);
    memcpy(member->address, data + *at, length + 1);
    *at += length + 1;
    uint8_t role = data[(*at)++];
    if (role > MEMBER_SPARE || member->node_id == 0)
        return error_set(error, ERROR_INVALID, "configuration: member %u has role %u and id %llu",
                         out->count + 1, role, (unsigned long long)member->node_id);
    member->role = (enum member_role)role;
    for (uint32_t i = 0; i < out->count; i++)
        if (out->members[i].node_id == member->node_id ||
            strcmp(out->members[i].address, member->address) == 0)
            return error_set(error, ERROR_INVALID, "configuration names member %u twice", out->count + 1);
    out->count++;
    return ERROR_OK;
}

enum error_code configuration_decode(struct span payload, struct configuration *out, struct error *error)
{
    const uint8_t *data = payload.data;
    struct configuration decoded = {.index = out->index};

    if (payload.bytes < 9 || data[0] != CONFIGURATION_VERSION)
        return error_set(error, ERROR_INVALID, "configuration of %zu bytes has no known version",
                         payload.bytes);
    uint64_t count = get_little(data + 1);
    if (count == 0 || count > NODES_MAX)
        return error_set(error, ERROR_INVALID, "configuration has %llu members, allowed are 1 to %u",
                         (unsigned long long)count, NODES_MAX);
    size_t at = 9;
    while (decoded.count < count) {
        enum error_code code = decode_member(payload, &at, &decoded, error);
        if (code != ERROR_OK)
            return code;
    }
    if (payload.bytes != (at + 7) / 8 * 8)
        return error_set(error, ERROR_INVALID, "configuration has %zu bytes, its members take %zu",
                         payload.bytes, at);
    for (; at < payload.bytes; at++)
        if (data[at] != 0)
            return error_set(error, ERROR_INVALID, "configuration is padded with something");
    *out = decoded;
    return ERROR_OK;
}

void configuration_encode(const struct configuration *self, struct bytes *out)
{
    static const uint8_t zeros[8];
    const uint8_t version = CONFIGURATION_VERSION;
    size_t start = out->length;

    CHECK(self->count > 0 && self->count <= NODES_MAX, "%u members", self->count);
    bytes_append(out, &version, 1);
    append_little(out, self->count);
    for (uint32_t i = 0; i < self->count; i++) {
        const struct configuration_member *member = &self->members[i];
        uint8_t role = (uint8_t)member->role;
        append_little(out, member->node_id);
        bytes_append(out, member->address, strlen(member->address) + 1);
        bytes_append(out, &role, 1);
    }
    bytes_append(out, zeros, (8 - (out->length - start) % 8) % 8);
}

const struct configuration_member *configuration_find(const struct configuration *self, uint64_t node_id)
{
    for (uint32_t i = 0; i < self->count; i++)
        if (self->members[i].node_id == node_id)
            return &self->members[i];
    return NULL;
}

bool configuration_is_voter(const struct configuration *self, uint64_t node_id)
{
    const struct configuration_member *member = configuration_find(self, node_id);
    return member != NULL && member->role == MEMBER_VOTER;
}

uint32_t configuration_voter_count(const struct configuration *self)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < self->count; i++)
        count += self->members[i].role == MEMBER_VOTER;
    return count;
}

bool configuration_sole_voter(const struct configuration *self, uint64_t node_id)
{
    return configuration_voter_count(self) == 1 && configuration_is_voter(self, node_id);
}

bool configuration_same(const struct configuration *a, const struct configuration *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (a->members[i].node_id != b->members[i].node_id || a->members[i].role != b->members[i].role ||
            strcmp(a->members[i].address, b->members[i].address) != 0)
            return false;
    return true;
}

enum error_code consensus_configuration_decode(struct span payload, struct consensus_member *out,
                                               uint32_t out_max, uint32_t *count, struct error *error)
{
    struct configuration decoded = {0};
    enum error_code code = configuration_decode(payload, &decoded, error);

    if (code != ERROR_OK)
        return code;
    if (decoded.count > out_max)
        return error_set(error, ERROR_TOO_BIG, "configuration has %u members, there is room for %u",
                         decoded.count, out_max);
    for (uint32_t i = 0; i < decoded.count; i++) {
        out[i] = (struct consensus_member){
            .node_id = decoded.members[i].node_id, .role = decoded.members[i].role, .heard_ms = UINT64_MAX};
        memcpy(out[i].address, decoded.members[i].address, ADDRESS_BYTES_MAX);
    }
    *count = decoded.count;
    return ERROR_OK;
}
