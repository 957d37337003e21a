/* Whatever comes over a connection is cut into frames within bounds, or refused; what a frame holds is a
 * handshake or none. */
#include <string.h>

#include "consensus/wire.h"
#include "consensus/wire_frame.h"
#include "fuzz/fuzz.h"

static void check_hello(const struct wire_hello *hello)
{
    CHECK(hello->protocol == WIRE_PROTOCOL && hello->node_id > 0, "an impossible hello");
    CHECK(strlen(hello->cluster_id) > 0 && strlen(hello->cluster_id) < CLUSTER_ID_BYTES,
          "an impossible cluster");
    CHECK(strlen(hello->incarnation) < sizeof((struct wire_identity *)NULL)->incarnation,
          "an impossible incarnation");
    CHECK(strlen(hello->address) < ADDRESS_BYTES_MAX, "an impossible address");
}

static void check_payload(struct span payload)
{
    struct arena arena;
    struct error error = {0};
    struct wire_hello hello;
    struct wire_answer answer;
    arena_init(&arena, 8192); /* as the wire has it: texts are no longer than their frame */
    if (payload.bytes > WIRE_HELLO_BYTES_MAX)
        payload.bytes = WIRE_HELLO_BYTES_MAX;
    enum error_code code = wire_hello_decode(payload, &arena, &hello, &error);
    if (code == ERROR_OK)
        check_hello(&hello);
    else
        check_error(&error, code);
    code = wire_answer_decode(payload, &arena, &answer, &error);
    if (code != ERROR_OK)
        check_error(&error, code);
    else if (answer.refusal == WIRE_WELCOME)
        CHECK(answer.hello.address != NULL, "a welcome from nobody");
    else
        CHECK(answer.sentence != NULL, "a refusal without a reason");
    arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    size_t at = 0;
    check_payload(span_of(data, length)); /* a fuzzer guesses no checksum */
    for (;;) {
        struct span payload;
        struct error error = {0};
        size_t needed = 0;
        const struct span received = span_of(data + at, length - at);
        const enum wire_frame_result result =
            wire_frame_parse(received, FRAME_BYTES_MAX, &payload, &needed, &error);
        if (result == WIRE_FRAME_BAD)
            check_error(&error, ERROR_CORRUPT);
        if (result == WIRE_FRAME_MORE)
            CHECK(needed > received.bytes && needed <= WIRE_HEAD_BYTES + FRAME_BYTES_MAX, "%zu more", needed);
        if (result != WIRE_FRAME_READY)
            return 0;
        CHECK(payload.bytes > 0 && payload.bytes <= received.bytes - WIRE_HEAD_BYTES, "%zu bytes",
              payload.bytes);
        check_payload(payload);
        at += WIRE_HEAD_BYTES + payload.bytes;
    }
}
