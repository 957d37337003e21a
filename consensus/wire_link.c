/* One connection: its handshake, its frames, its end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/logger.h"
#include "consensus/wire_internal.h"

#define ROOM_BYTES        (64u * 1024u)  /* read at once from a peer that is known */
#define ROOM_KEEP_BYTES   (256u * 1024u) /* a larger buffer goes when it is empty */
#define ARENA_BYTES       8192u          /* a handshake's texts: each is shorter than its frame */
#define HELLO_FRAME_BYTES (WIRE_HEAD_BYTES + WIRE_HELLO_BYTES_MAX)

/* --- ends
 * ---------------------------------------------------------------------------------------------------------
 */

static void on_closed(void *context)
{
    struct wire_link *link = context;
    struct wire *wire = link->wire;
    free(link->in);
    free(link);
    wire_release(wire);
}

void link_close(struct wire_link *link)
{
    struct wire *wire = link->wire;
    if (link->state == LINK_ENDED)
        return;
    if (link->state == LINK_OPEN)
        wire_seen_alive(&wire->seen, link->node_id, wire_now(wire));
    link->state = LINK_ENDED;
    if (link->peer != NULL) {
        CHECK(link->peer->link == link, "a peer with another link than its own");
        link->peer->link = NULL;
        link->peer = NULL;
    }
    for (struct wire_link **at = &wire->links; *at != NULL; at = &(*at)->next) {
        if (*at == link) {
            *at = link->next;
            break;
        }
    }
    wire_stream_close(link->stream);
}

/* It ended by itself (a status of libuv's) or we end it (status 0) for a reason that was told. */
static void link_lost(struct wire_link *link, int status, bool rejected)
{
    struct wire_peer *peer = link->peer;
    const bool was_open = link->state == LINK_OPEN;
    const uint64_t opened_ms = link->opened_ms;
    link_close(link);
    if (peer != NULL)
        wire_peer_lost(peer, was_open, opened_ms, status, rejected);
}

/* Junk: nothing that follows can be trusted. */
static void link_fail(struct wire_link *link, const char *reason)
{
    wire_note(link->wire, link->remote, reason);
    link_lost(link, 0, false);
}

/* What a peer that is down or far away gives: its status says it, the log needn't. */
static bool is_common(int status)
{
    return status == UV_ECONNREFUSED || status == UV_ECONNRESET || status == UV_ETIMEDOUT || status == UV_EOF;
}

static void on_ended(void *context, int status)
{
    struct wire_link *link = context;
    if (link->peer == NULL && link->state == LINK_SHAKING && status == UV_ETIMEDOUT)
        wire_note(link->wire, link->remote, "no handshake in time");
    else if (link->peer != NULL && link->state == LINK_CONNECTING && !is_common(status))
        wire_note(link->wire, link->remote, uv_strerror(status));
    link_lost(link, status, false);
}

/* --- writing
 * ------------------------------------------------------------------------------------------------------ */

static bool send_payload(struct wire_link *link, const struct bytes *payload)
{
    uint8_t head[WIRE_HEAD_BYTES];
    wire_frame_head(bytes_span(payload), head);
    return wire_stream_write(link->stream, span_of(head, sizeof head), bytes_span(payload),
                             HELLO_FRAME_BYTES) == ERROR_OK;
}

static void on_connected(void *context)
{
    struct wire_link *link = context;
    struct bytes payload;
    bytes_init(&payload, 0);
    struct wire_hello hello = wire_own_hello(link->wire);
    hello.wanted = link->peer->status.node_id;
    wire_hello_encode(&hello, &payload);
    link->state = LINK_SHAKING;
    (void)send_payload(link, &payload); /* where it fails, the end follows */
    bytes_done(&payload);
}

static bool send_answer(struct wire_link *link, enum wire_refusal refusal, const char *sentence)
{
    const struct wire_answer answer = {
        .refusal = refusal,
        .sentence = refusal == WIRE_WELCOME ? NULL : sentence,
        .hello = wire_own_hello(link->wire),
    };
    struct bytes payload;
    bytes_init(&payload, 0);
    wire_answer_encode(&answer, &payload);
    const bool sent = send_payload(link, &payload);
    bytes_done(&payload);
    return sent;
}

/* --- the handshake
 * ------------------------------------------------------------------------------------------------ */

static void link_opened(struct wire_link *link, const struct wire_hello *hello)
{
    CHECK(link->state == LINK_SHAKING, "a link opens in state %d", (int)link->state);
    wire_stream_timeout(link->stream, 0);
    link->state = LINK_OPEN;
    link->node_id = hello->node_id;
    link->opened_ms = wire_now(link->wire);
    snprintf(link->address, sizeof link->address, "%s", hello->address);
}

/* Two clusters that meet are an operator's mishap, such as a first node that was started with an empty
 * folder. */
static void tell_of_other_cluster(struct wire_link *link, const char *sentence)
{
    struct wire *wire = link->wire;
    const uint64_t now = wire_now(wire);
    char quoted[2 * ERROR_MESSAGE_BYTES];
    if (wire->cluster_told_ms != 0 && now - wire->cluster_told_ms < WIRE_CLUSTER_MS)
        return;
    wire->cluster_told_ms = now == 0 ? 1 : now;
    log_error("wire", "two clusters meet",
              "address=%s why=%s go_on=\"the one with fewer writes was likely made by mistake: stop its "
              "nodes, move "
              "their data folders away and start them with join: naming nodes of the other one\"",
              link->remote, logger_quote(sentence, quoted, sizeof quoted));
}

static void note_refusal(struct wire_link *link, enum wire_refusal refusal, const char *sentence)
{
    char reason[ERROR_MESSAGE_BYTES + 64];
    if (refusal == WIRE_REFUSED_CLUSTER)
        tell_of_other_cluster(link, sentence);
    snprintf(reason, sizeof reason, "%s: %s", wire_refusal_name(refusal), sentence);
    wire_note(link->wire, link->remote, reason);
}

/* Incoming: somebody says who it is. */
static void link_hello(struct wire_link *link, struct span payload, struct arena *arena)
{
    struct wire_hello hello;
    struct error sentence = {0};
    enum wire_refusal refusal = WIRE_REFUSED_PROTOCOL;
    const enum error_code code = wire_hello_decode(payload, arena, &hello, &sentence);
    if (code != ERROR_OK && code != ERROR_CONFLICT) {
        link_fail(link, sentence.message);
        return;
    }
    if (code == ERROR_OK)
        refusal = wire_judge(link->wire, link, &hello, &sentence);
    if (link->state == LINK_ENDED)
        return;
    if (refusal != WIRE_WELCOME) {
        send_answer(link, refusal, sentence.message);
        note_refusal(link, refusal, sentence.message);
        link_lost(link, 0, true);
        return;
    }
    link_opened(link, &hello);
    send_answer(link, WIRE_WELCOME, NULL);
}

/* Outgoing: how we were received, and by whom. */
static void link_answer(struct wire_link *link, struct span payload, struct arena *arena)
{
    struct wire_answer answer;
    struct wire_peer *peer = link->peer;
    struct error sentence = {0};
    if (wire_answer_decode(payload, arena, &answer, &sentence) != ERROR_OK) {
        link_fail(link, sentence.message);
        return;
    }
    enum wire_refusal refusal = answer.refusal;
    if (refusal != WIRE_WELCOME)
        error_set(&sentence, ERROR_DENIED, "%s", answer.sentence);
    else
        refusal = wire_judge(link->wire, link, &answer.hello, &sentence);
    if (link->state == LINK_ENDED)
        return;
    if (refusal != WIRE_WELCOME) {
        const uint64_t node_id = peer->status.node_id;
        struct wire *wire = link->wire;
        note_refusal(link, refusal, sentence.message);
        link_lost(link, 0, true);
        wire_tell(wire, node_id,
                  answer.refusal == WIRE_REFUSED_ROLLED_BACK ? WIRE_PEER_ROLLED_BACK : WIRE_PEER_REJECTED,
                  sentence.message);
        return;
    }
    link_opened(link, &answer.hello);
    peer->status.connected = true;
    peer->status.connects++;
    peer->told_up = true;
    wire_tell(link->wire, peer->status.node_id, WIRE_PEER_UP, link->address);
}

/* --- reading
 * ------------------------------------------------------------------------------------------------------ */

static void link_frame(struct wire_link *link, struct span payload)
{
    struct wire *wire = link->wire;
    struct wire_peer *peer = wire_find_peer(wire, link->node_id);
    if (peer != NULL) {
        peer->status.received_frames++;
        peer->status.received_bytes += payload.bytes;
        peer->status.heard_ms = wire_now(wire);
    }
    if (!wire->closing)
        wire->options.on_frame(wire->options.context, link->node_id, link->address, payload);
}

static void link_payload(struct wire_link *link, struct span payload)
{
    struct arena arena;
    if (link->state == LINK_OPEN && link->peer == NULL) {
        link_frame(link, payload);
        return;
    }
    if (link->state == LINK_OPEN) {
        link_fail(link, "bytes came back on a connection that only sends");
        return;
    }
    arena_init(&arena, ARENA_BYTES);
    if (link->peer == NULL)
        link_hello(link, payload, &arena);
    else
        link_answer(link, payload, &arena);
    arena_done(&arena);
}

static size_t payload_max(const struct wire_link *link)
{
    return link->state == LINK_OPEN && link->peer == NULL ? FRAME_BYTES_MAX : WIRE_HELLO_BYTES_MAX;
}

static void on_room(void *context, uint8_t **data, size_t *length)
{
    struct wire_link *link = context;
    size_t wanted = payload_max(link) == FRAME_BYTES_MAX ? ROOM_BYTES : HELLO_FRAME_BYTES;
    if (wanted < link->needed)
        wanted = link->needed;
    if (link->in_capacity < wanted) {
        link->in = memory_resize(link->in, wanted);
        link->in_capacity = wanted;
    }
    CHECK(link->in_length < link->in_capacity, "%zu bytes of %zu, a frame not handled", link->in_length,
          link->in_capacity);
    *data = link->in + link->in_length;
    *length = link->in_capacity - link->in_length;
}

/* What is left moves to the front. */
static void link_consume(struct wire_link *link, size_t consumed)
{
    link->in_length -= consumed;
    if (consumed > 0 && link->in_length > 0)
        memmove(link->in, link->in + consumed, link->in_length);
    if (link->in_length == 0 && link->in_capacity > ROOM_KEEP_BYTES) {
        free(link->in);
        link->in = NULL;
        link->in_capacity = 0;
    }
}

static void on_received(void *context, size_t length)
{
    struct wire_link *link = context;
    size_t consumed = 0;
    struct error error = {0};
    link->in_length += length;
    CHECK(link->in_length <= link->in_capacity, "%zu bytes of %zu", link->in_length, link->in_capacity);
    while (link->state != LINK_ENDED) {
        const struct span received = span_of(link->in + consumed, link->in_length - consumed);
        struct span payload;
        const enum wire_frame_result result =
            wire_frame_parse(received, payload_max(link), &payload, &link->needed, &error);
        if (result == WIRE_FRAME_MORE)
            break;
        if (result == WIRE_FRAME_BAD) {
            link_fail(link, error.message);
            break;
        }
        consumed += WIRE_HEAD_BYTES + payload.bytes;
        link_payload(link, payload);
    }
    if (link->state != LINK_ENDED)
        link_consume(link, consumed);
}

/* --- beginnings
 * --------------------------------------------------------------------------------------------------- */

static const struct wire_stream_events events = {
    .connected = on_connected,
    .room = on_room,
    .received = on_received,
    .ended = on_ended,
    .closed = on_closed,
};

static struct wire_link *link_new(struct wire *wire, enum link_state state)
{
    struct wire_link *link = memory_zero(1, sizeof *link);
    link->wire = wire;
    link->state = state;
    link->next = wire->links;
    wire->links = link;
    wire_hold(wire);
    return link;
}

void link_connect(struct wire_peer *peer)
{
    CHECK(peer->link == NULL, "a second connection to node %llu", (unsigned long long)peer->status.node_id);
    struct wire_link *link = link_new(peer->wire, LINK_CONNECTING);
    link->peer = peer;
    peer->link = link;
    snprintf(link->remote, sizeof link->remote, "%s", peer->status.address);
    link->stream =
        wire_stream_connect(peer->wire->options.loop, peer->status.address, peer->attempt, &events, link);
    wire_stream_timeout(link->stream, WIRE_HANDSHAKE_MS);
}

/* At the cap, the one that has waited longest without a word goes: a flood of silent connections keeps nobody
 * out. */
static bool make_room(struct wire *self)
{
    struct wire_link *oldest = NULL;
    uint32_t count = 0;
    for (struct wire_link *link = self->links; link != NULL; link = link->next) {
        count += link->peer == NULL;
        if (link->peer == NULL && link->state == LINK_SHAKING)
            oldest = link; /* the list has the newest first */
    }
    if (count < WIRE_INCOMING_MAX)
        return true;
    if (oldest == NULL)
        return false;
    link_fail(oldest, "too many connections: the oldest without a handshake is closed");
    return true;
}

void link_accept(struct wire *self)
{
    const bool room = make_room(self);
    struct wire_link *link = link_new(self, LINK_SHAKING);
    link->stream = wire_stream_accept(self->options.loop, (uv_stream_t *)&self->listener, &events, link);
    wire_stream_remote(link->stream, link->remote, sizeof link->remote);
    wire_stream_timeout(link->stream, WIRE_HANDSHAKE_MS);
    if (!room)
        link_fail(link, "too many connections");
}
