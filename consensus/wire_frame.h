/* What stands on a connection, as bytes in and structs out: frames and the two halves of the handshake. No
 * sockets here, so that fuzzing and tests call exactly what the network calls.
 *
 * A frame is its payload's length and its CRC-32C (both 4 bytes, big-endian), then the payload. */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/limits.h"

#define WIRE_HEAD_BYTES 8u
#define WIRE_HELLO_BYTES_MAX                                                                                 \
    2048u /* a payload before the handshake is done: a stranger makes us hold no more */

enum wire_frame_result {
    WIRE_FRAME_READY, /* `payload` is whole and its checksum right */
    WIRE_FRAME_MORE,  /* `needed` bytes must be there before it's worth asking again */
    WIRE_FRAME_BAD    /* nothing that follows can be trusted: close */
};

/** Looks at the first frame of what was received.
 *
 * @param payload_max  1 .. FRAME_BYTES_MAX
 * @param payload      of a ready frame, borrowed from `received`; the frame takes WIRE_HEAD_BYTES more
 * @param error        the reason for WIRE_FRAME_BAD */
enum wire_frame_result wire_frame_parse(struct span received, size_t payload_max, struct span *payload,
                                        size_t *needed, struct error *error);
void wire_frame_head(struct span payload, uint8_t out[WIRE_HEAD_BYTES]);

/* Who somebody says to be. */
struct wire_hello {
    uint64_t protocol;
    const char *cluster_id;
    uint64_t generation;
    uint64_t node_id;
    const char *incarnation;
    uint64_t start_counter;
    uint64_t nonce; /* of this run of the process: tells two copies of one data folder apart */
    const char *address;
    uint64_t wanted;  /* by who connects: the node it takes the address for; 0: it doesn't say */
    uint64_t log_end; /* what is durable in its log, the snapshot included; 0: it doesn't say */
};

enum wire_refusal {
    WIRE_WELCOME,
    WIRE_REFUSED_PROTOCOL,
    WIRE_REFUSED_CLUSTER,
    WIRE_REFUSED_GENERATION,
    WIRE_REFUSED_REMOVED,
    WIRE_REFUSED_SELF,
    WIRE_REFUSED_CLONED,      /* two processes speak as one id */
    WIRE_REFUSED_OLD_START,   /* a later start of the same data folder was seen */
    WIRE_REFUSED_WRONG_NODE,  /* the address belongs to another node */
    WIRE_REFUSED_ROLLED_BACK, /* it has less than it acknowledged: its data folder is an older copy */
    WIRE_REFUSAL_COUNT
};

struct wire_answer {
    uint32_t refusal;     /* enum wire_refusal */
    const char *sentence; /* why, when refused */
    struct wire_hello hello;
};

const char *wire_refusal_name(uint32_t refusal);
void wire_hello_encode(const struct wire_hello *hello, struct bytes *out);
/** @return ERROR_CORRUPT; ERROR_CONFLICT when it speaks another protocol (only `out->protocol` is set then)
 */
enum error_code wire_hello_decode(struct span payload, struct arena *arena, struct wire_hello *out,
                                  struct error *error) MUST_USE;
void wire_answer_encode(const struct wire_answer *answer, struct bytes *out);
enum error_code wire_answer_decode(struct span payload, struct arena *arena, struct wire_answer *out,
                                   struct error *error) MUST_USE;

/** "host:port", "[v6]:port", ":port" (any address); the port may be 0. @return false when it isn't that */
bool wire_address_split(const char *address, char host[ADDRESS_BYTES_MAX], char port[6]);
