/* Frames and handshakes as bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/wire.h"
#include "consensus/wire_frame.h"

static struct wire_hello some_hello(void)
{
    return (struct wire_hello){.protocol = WIRE_PROTOCOL,
                               .cluster_id = "0123456789abcdef0123456789abcdef",
                               .generation = 3,
                               .node_id = (1ULL << 53) - 1,
                               .incarnation = "fedcba9876543210fedcba9876543210",
                               .start_counter = 12,
                               .nonce = UINT64_MAX,
                               .address = "[::1]:7201",
                               .wanted = 78,
                               .log_end = 77};
}

static enum wire_frame_result parse(const uint8_t *data, size_t length, struct span *payload, size_t *needed,
                                    struct error *error)
{
    uint8_t *copy = malloc(length + (length == 0)); /* of the exact size: ASan sees an over-read */
    memcpy(copy, data, length);
    const enum wire_frame_result result =
        wire_frame_parse(span_of(copy, length), 100, payload, needed, error);
    if (result == WIRE_FRAME_READY)
        *payload = span_of(data + ((const uint8_t *)payload->data - copy), payload->bytes);
    free(copy);
    return result;
}

/* Goal: a frame is ready when its last byte is there and not before; what follows it is left alone.
 * Method: every prefix of a frame, then the frame with more behind it. */
static void frame_is_ready_with_its_last_byte(void **state)
{
    (void)state;
    uint8_t data[64] = {0};
    struct span payload;
    struct error error;
    size_t needed = 0;
    memcpy(data + WIRE_HEAD_BYTES, "payload", 7);
    wire_frame_head(span_of("payload", 7), data);
    for (size_t length = 0; length < WIRE_HEAD_BYTES + 7; length++) {
        assert_int_equal(parse(data, length, &payload, &needed, &error), WIRE_FRAME_MORE);
        assert_int_equal(needed, length < WIRE_HEAD_BYTES ? WIRE_HEAD_BYTES : WIRE_HEAD_BYTES + 7);
    }
    for (size_t length = WIRE_HEAD_BYTES + 7; length < sizeof data; length++) {
        assert_int_equal(parse(data, length, &payload, &needed, &error), WIRE_FRAME_READY);
        assert_true(span_equal(payload, span_of("payload", 7)));
        assert_ptr_equal(payload.data, data + WIRE_HEAD_BYTES);
    }
}

/* Goal: any changed bit is noticed: in the payload, the checksum, or as a length that can't be or isn't there
 * yet. Method: every bit of a frame flipped. */
static void changed_bits_are_noticed(void **state)
{
    (void)state;
    uint8_t data[WIRE_HEAD_BYTES + 7];
    struct span payload;
    struct error error = {0};
    size_t needed = 0;
    unsigned bad = 0;
    memcpy(data + WIRE_HEAD_BYTES, "payload", 7);
    wire_frame_head(span_of("payload", 7), data);
    for (size_t bit = 0; bit < sizeof data * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        const enum wire_frame_result result = parse(data, sizeof data, &payload, &needed, &error);
        assert_int_not_equal(result, WIRE_FRAME_READY);
        bad += result == WIRE_FRAME_BAD;
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(bad > sizeof data * 8 - 8);
}

/* Goal: lengths of 0 and past the bound are refused from the head alone, before anything is kept for them.
 * Method: heads without payload. */
static void impossible_lengths_are_refused_at_once(void **state)
{
    (void)state;
    const uint32_t lengths[] = {0, 101, FRAME_BYTES_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < 4; i++) {
        uint8_t head[WIRE_HEAD_BYTES] = {0};
        struct span payload;
        struct error error = {0};
        size_t needed = 0;
        put_u32(head, lengths[i]);
        assert_int_equal(parse(head, sizeof head, &payload, &needed, &error), WIRE_FRAME_BAD);
        assert_non_null(strstr(error.message, "is not within 1 .. 100"));
    }
}

/* Goal: both halves of the handshake come back as they were, at the edges of their ranges; a refusal has its
 * sentence. Method: the longest texts; an answer of each kind. */
static void handshakes_come_back(void **state)
{
    (void)state;
    struct arena arena;
    struct bytes bytes;
    struct error error;
    struct wire_hello hello;
    struct wire_answer answer = {.hello = some_hello()};
    arena_init(&arena, 8192);
    bytes_init(&bytes, 0);
    wire_hello_encode(&answer.hello, &bytes);
    assert_true(bytes.length <= WIRE_HELLO_BYTES_MAX);
    assert_int_equal(wire_hello_decode(bytes_span(&bytes), &arena, &hello, &error), ERROR_OK);
    assert_string_equal(hello.cluster_id, answer.hello.cluster_id);
    assert_string_equal(hello.incarnation, answer.hello.incarnation);
    assert_string_equal(hello.address, "[::1]:7201");
    assert_int_equal(hello.node_id, (1ULL << 53) - 1);
    assert_int_equal(hello.generation, 3);
    assert_int_equal(hello.start_counter, 12);
    assert_true(hello.nonce == UINT64_MAX);
    assert_int_equal(hello.log_end, 77);
    assert_int_equal(hello.wanted, 78);

    for (uint32_t refusal = 0; refusal < WIRE_REFUSAL_COUNT; refusal++) {
        struct wire_answer back;
        answer.refusal = refusal;
        answer.sentence = refusal % 2 == 0 ? NULL : "a sentence";
        bytes_clear(&bytes);
        wire_answer_encode(&answer, &bytes);
        assert_int_equal(wire_answer_decode(bytes_span(&bytes), &arena, &back, &error), ERROR_OK);
        assert_int_equal(back.refusal, refusal);
        if (refusal != WIRE_WELCOME)
            assert_string_equal(back.sentence, refusal % 2 == 0 ? wire_refusal_name(refusal) : "a sentence");
        else
            assert_string_equal(back.hello.address, "[::1]:7201");
    }
    assert_string_equal(wire_refusal_name(WIRE_REFUSAL_COUNT), "unknown");
    bytes_done(&bytes);
    arena_done(&arena);
}

/* Goal: hellos that can't be right are refused: no id, odd addresses, empty texts, other protocols by their
 * number alone. Method: one wrong field at a time; bytes that are none. */
static void impossible_hellos_are_refused(void **state)
{
    (void)state;
    struct arena arena;
    struct bytes bytes;
    struct error error = {0};
    struct wire_hello out, cases[5];
    arena_init(&arena, 8192);
    bytes_init(&bytes, 0);
    for (size_t i = 0; i < 5; i++)
        cases[i] = some_hello();
    cases[0].node_id = 0;
    cases[1].address = "nowhere";
    cases[2].cluster_id = "";
    cases[3].incarnation = NULL;
    cases[4].cluster_id = "0123456789abcdef0123456789abcdef0"; /* 33: would overrun ours */
    for (size_t i = 0; i < 5; i++) {
        bytes_clear(&bytes);
        wire_hello_encode(&cases[i], &bytes);
        assert_int_equal(wire_hello_decode(bytes_span(&bytes), &arena, &out, &error), ERROR_CORRUPT);
    }
    assert_int_equal(wire_hello_decode(span_of("GET / HTTP/1.1", 14), &arena, &out, &error), ERROR_CORRUPT);
    assert_int_equal(wire_hello_decode(span_of("\x92\x02\xa3new", 6), &arena, &out, &error), ERROR_CONFLICT);
    assert_int_equal(out.protocol, 2);
    assert_string_equal(error.message, "it speaks protocol 2, this node 1");

    struct wire_answer answer;
    assert_int_equal(wire_answer_decode(span_of("\x93\x00\xc0\xc0", 4), &arena, &answer, &error),
                     ERROR_CORRUPT);
    assert_int_equal(wire_answer_decode(span_of("\x91\x63", 2), &arena, &answer, &error), ERROR_CORRUPT);
    bytes_done(&bytes);
    arena_done(&arena);
}

/* Goal: addresses are split as they are written, and what isn't host:port is refused.
 * Method: a table. */
static void addresses_are_split(void **state)
{
    (void)state;
    static const struct {
        const char *address, *host, *port; /* host NULL: refused */
    } cases[] = {
        {"n1:7201", "n1", "7201"},
        {"127.0.0.1:0", "127.0.0.1", "0"},
        {"[::1]:65535", "::1", "65535"},
        {":7201", "", "7201"},
        {"[]:1", "", "1"},
        {"n1", NULL, NULL},
        {"n1:", NULL, NULL},
        {"n1:65536", NULL, NULL},
        {"n1:x", NULL, NULL},
        {"::1:7201", NULL, NULL},
        {"n1:-1", NULL, NULL},
        {"", NULL, NULL},
        {"[::1:7201", NULL, NULL},
    };
    char host[ADDRESS_BYTES_MAX], port[6];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (wire_address_split(cases[i].address, host, port) != (cases[i].host != NULL))
            fail_msg("%s", cases[i].address);
        if (cases[i].host != NULL) {
            assert_string_equal(host, cases[i].host);
            assert_string_equal(port, cases[i].port);
        }
    }
    char longest[ADDRESS_BYTES_MAX + 8];
    memset(longest, 'x', sizeof longest);
    memcpy(longest + ADDRESS_BYTES_MAX - 3, ":1", 3); /* 255 bytes and a NUL */
    assert_true(wire_address_split(longest, host, port));
    memcpy(longest + ADDRESS_BYTES_MAX - 3, "x:1", 4);
    assert_false(wire_address_split(longest, host, port));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frame_is_ready_with_its_last_byte),      cmocka_unit_test(changed_bits_are_noticed),
        cmocka_unit_test(impossible_lengths_are_refused_at_once), cmocka_unit_test(handshakes_come_back),
        cmocka_unit_test(impossible_hellos_are_refused),          cmocka_unit_test(addresses_are_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
