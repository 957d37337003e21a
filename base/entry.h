/* What consensus and the state machine hand each other: log entries in, results out. Neither knows the other.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum entry_type { ENTRY_COMMAND = 1, ENTRY_BARRIER = 2, ENTRY_CHANGE = 3 /* a cluster configuration */ };

struct entry {
    uint64_t index; /* from 1 */
    uint64_t term;
    enum entry_type type;
    struct span data; /* borrowed */
};

/** What applying one command gave; the same on every node, and the same again for a repeated request id. */
struct result {
    uint64_t index;     /* of the entry that took effect: for a repeat, the first one's */
    uint64_t audit_seq; /* its audit record; 0 when it left none */
    uint32_t code;      /* enum result_code of fsm/result.h; 0 is success */
    bool repeated;      /* the request id was known: nothing changed */
    struct span body;   /* a msgpack map with text keys: the answer's fields, or {detail} of a refusal */
};
