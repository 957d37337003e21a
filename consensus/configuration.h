/* The members of a cluster, and their bytes in the log.
 *
 * The encoding is libraft's: one byte of version (1), the number of members, then for each its id, address
 * with a NUL, and role; little-endian, padded with zeros to 8. libraft's own decoder reads past the end of
 * short input, so nothing reaches it that configuration_decode() has not accepted. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/limits.h"
#include "consensus/consensus.h"

struct configuration {
    uint64_t index; /* of its entry; 0: none yet */
    uint32_t count;
    struct configuration_member {
        uint64_t node_id;
        enum member_role role;
        char address[ADDRESS_BYTES_MAX];
    } members[NODES_MAX];
};

/** Accepts exactly what configuration_encode() writes: 1 .. NODES_MAX members, ids not 0 and addresses not
 * empty, both unique. `out->index` is left alone. */
enum error_code configuration_decode(struct span payload, struct configuration *out,
                                     struct error *error) MUST_USE;
void configuration_encode(const struct configuration *self, struct bytes *out);

/** NULL when it is no member. */
const struct configuration_member *configuration_find(const struct configuration *self, uint64_t node_id);
bool configuration_is_voter(const struct configuration *self, uint64_t node_id);
uint32_t configuration_voter_count(const struct configuration *self);
/** True when `node_id` is a voter and nobody else is. */
bool configuration_sole_voter(const struct configuration *self, uint64_t node_id);
/** Same members, addresses and roles in the same order; the index does not count. */
bool configuration_same(const struct configuration *a, const struct configuration *b);
