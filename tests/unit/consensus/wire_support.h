/* Nodes with real sockets on the loopback for the wire's tests, and strangers that write raw bytes to them.
 */
#pragma once

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <uv.h>

#include "consensus/wire.h"
#include "consensus/wire_frame.h"

#define NODES_IN_TEST 3
#define PATIENCE_MS   20000u /* far beyond what anything here takes: its end is a failure */

struct node {
    struct wire *wire;
    struct wire_options options;
    char listen[ADDRESS_BYTES_MAX];
    unsigned frames, ups, downs, refused, rejected, rolled_back, notes, closed;
    uint64_t log_end;
    uint64_t bytes;
    uint64_t last_from;
    char last_address[ADDRESS_BYTES_MAX];
    char last_payload[64];
    char last_note[1024];
    char last_detail[512];
    uint64_t removed_id;
    struct wire *close_in_frame; /* what its owner does from inside of a callback */
};

struct fixture {
    uv_loop_t loop;
    uv_timer_t wake;
    struct node nodes[NODES_IN_TEST];
    int strangers[128];
    unsigned stranger_count;
};

static inline void node_on_closed(void *context)
{
    ((struct node *)context)->closed++;
}

static inline void node_on_frame(void *context, uint64_t from, const char *address, struct span payload)
{
    struct node *node = context;
    node->frames++;
    node->bytes += payload.bytes;
    node->last_from = from;
    snprintf(node->last_address, sizeof node->last_address, "%s", address);
    snprintf(node->last_payload, sizeof node->last_payload, "%.*s",
             (int)(payload.bytes < 63 ? payload.bytes : 63), (const char *)payload.data);
    if (node->close_in_frame != NULL) {
        wire_close(node->close_in_frame, node_on_closed, node);
        node->close_in_frame = NULL;
        node->wire = NULL;
    }
}

static inline void node_on_peer(void *context, uint64_t node_id, enum wire_peer_event event,
                                const char *detail)
{
    struct node *node = context;
    (void)node_id;
    snprintf(node->last_detail, sizeof node->last_detail, "%s", detail);
    node->ups += event == WIRE_PEER_UP;
    node->downs += event == WIRE_PEER_DOWN;
    node->refused += event == WIRE_PEER_REFUSED;
    node->rejected += event == WIRE_PEER_REJECTED;
    node->rolled_back += event == WIRE_PEER_ROLLED_BACK;
}

static inline bool node_is_removed(void *context, uint64_t node_id)
{
    return ((struct node *)context)->removed_id == node_id;
}

static inline uint64_t node_log_end(void *context)
{
    return ((struct node *)context)->log_end;
}

static inline void node_on_refused(void *context, const char *address, const char *reason)
{
    struct node *node = context;
    assert_true(address[0] != '\0');
    node->notes++;
    snprintf(node->last_note, sizeof node->last_note, "%s", reason);
}

/* Node `at` has id 100 + at. */
static inline void node_prepare(struct fixture *self, unsigned at)
{
    struct node *node = &self->nodes[at];
    snprintf(node->listen, sizeof node->listen, "127.0.0.1:0");
    node->options = (struct wire_options){
        .loop = &self->loop,
        .clock = clock_system(),
        .listen_address = node->listen,
        .identity = {.cluster_id = "c1", .generation = 1, .node_id = 100 + at, .start_counter = 1},
        .seed = at,
        .on_frame = node_on_frame,
        .on_peer = node_on_peer,
        .log_end = node_log_end,
        .is_removed = node_is_removed,
        .on_refused = node_on_refused,
        .context = node,
    };
    snprintf(node->options.identity.incarnation, sizeof node->options.identity.incarnation, "folder-%u", at);
}

static inline void node_open(struct node *node)
{
    struct error error = {0};
    const enum error_code code = wire_open(&node->options, &node->wire, &error);
    if (code != ERROR_OK)
        fail_msg("%s", error.message);
    snprintf(node->listen, sizeof node->listen, "127.0.0.1:%u", wire_port(node->wire));
}

static inline void node_close(struct node *node)
{
    wire_close(node->wire, node_on_closed, node);
    node->wire = NULL;
}

/* The one who connects knows the other by id and address. */
static inline void node_knows(struct node *node, const struct node *other)
{
    wire_peer_set(node->wire, other->options.identity.node_id, other->listen);
}

static inline void on_wake(uv_timer_t *timer)
{
    (void)timer;
}

static inline void turn(struct fixture *self)
{
    uv_run(&self->loop, UV_RUN_ONCE);
}

/* Runs the loop until it holds. */
#define WAIT_FOR(self, condition)                                                                            \
    do {                                                                                                     \
        const uint64_t began_ms = uv_hrtime() / 1000000u;                                                    \
        while (!(condition)) {                                                                               \
            if (uv_hrtime() / 1000000u - began_ms > PATIENCE_MS)                                             \
                fail_msg("line %d: never: %s", __LINE__, #condition);                                        \
            turn(self);                                                                                      \
        }                                                                                                    \
    } while (0)

/* Runs the loop for a while: for what must not happen. */
static inline void run_for(struct fixture *self, uint64_t ms)
{
    const uint64_t began = uv_hrtime();
    while (uv_hrtime() - began < ms * 1000000u)
        turn(self);
}

static inline int set_up(void **state)
{
    struct fixture *self = calloc(1, sizeof *self);
    uv_loop_init(&self->loop);
    uv_timer_init(&self->loop, &self->wake);
    uv_timer_start(&self->wake, on_wake, 1, 1);
    for (unsigned i = 0; i < NODES_IN_TEST; i++)
        node_prepare(self, i);
    *state = self;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *self = *state;
    for (unsigned i = 0; i < NODES_IN_TEST; i++)
        if (self->nodes[i].wire != NULL)
            node_close(&self->nodes[i]);
    for (unsigned i = 0; i < self->stranger_count; i++)
        if (self->strangers[i] >= 0)
            close(self->strangers[i]);
    uv_close((uv_handle_t *)&self->wake, NULL);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    const int busy = uv_loop_close(&self->loop); /* 0: every handle is gone */
    free(self);
    return busy;
}

/* --- strangers
 * ---------------------------------------------------------------------------------------------------- */

static inline int stranger_connect(struct fixture *self, const struct node *node)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(wire_port(node->wire)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_true(self->stranger_count < 128);
    self->strangers[self->stranger_count++] = fd;
    return fd;
}

static inline void stranger_send(int fd, const void *data, size_t length)
{
    assert_int_equal(send(fd, data, length, MSG_NOSIGNAL), (ssize_t)length);
}

static inline void stranger_frame(int fd, struct span payload)
{
    uint8_t head[WIRE_HEAD_BYTES];
    wire_frame_head(payload, head);
    stranger_send(fd, head, sizeof head);
    stranger_send(fd, payload.data, payload.bytes);
}

/* Says hello as somebody; what `hello` leaves 0 is filled with what node 0 accepts. */
static inline void stranger_hello(int fd, struct wire_hello hello)
{
    struct bytes payload;
    bytes_init(&payload, 0);
    if (hello.protocol == 0)
        hello.protocol = WIRE_PROTOCOL;
    if (hello.cluster_id == NULL)
        hello.cluster_id = "c1";
    if (hello.generation == 0)
        hello.generation = 1;
    if (hello.node_id == 0)
        hello.node_id = 777;
    if (hello.incarnation == NULL)
        hello.incarnation = "stranger";
    if (hello.address == NULL)
        hello.address = "127.0.0.1:1";
    wire_hello_encode(&hello, &payload);
    stranger_frame(fd, bytes_span(&payload));
    bytes_done(&payload);
}

/* True when the other end has closed; what it sent before is thrown away. */
static inline bool stranger_is_closed(int fd)
{
    char buffer[4096];
    ssize_t length;
    while ((length = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT)) > 0)
        ;
    return length == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

/* The answer to a hello; its texts end up in the arena. @return false while it isn't there */
static inline bool stranger_answer(int fd, struct arena *arena, struct wire_answer *out)
{
    uint8_t buffer[4096];
    struct span payload;
    size_t needed;
    struct error error;
    const ssize_t length = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT | MSG_PEEK);
    if (length <= 0 || wire_frame_parse(span_of(buffer, (size_t)length), FRAME_BYTES_MAX, &payload, &needed,
                                        &error) != WIRE_FRAME_READY)
        return false;
    if (wire_answer_decode(payload, arena, out, &error) != ERROR_OK)
        fail_msg("%s", error.message);
    return true;
}
