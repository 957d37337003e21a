/* Two and three wires over the loopback: frames both ways, ends, restarts, queues. */
#include <signal.h>
#include <sys/wait.h>

#include "unit/consensus/wire_support.h"

static void connect_both_ways(struct fixture *self)
{
    node_open(&self->nodes[0]);
    node_open(&self->nodes[1]);
    node_knows(&self->nodes[0], &self->nodes[1]);
    node_knows(&self->nodes[1], &self->nodes[0]);
    WAIT_FOR(self, self->nodes[0].ups == 1 && self->nodes[1].ups == 1);
}

static enum error_code send_text(struct node *node, const struct node *to, const char *text)
{
    return wire_send(node->wire, to->options.identity.node_id, span_text(text));
}

static struct wire_peer_status status_of(const struct node *node)
{
    struct wire_peer_status status = {0};
    assert_int_equal(wire_status(node->wire, &status, 1), 1);
    return status;
}

/* Goal: frames go both ways with their sender's id and address, in order, and are counted.
 * Method: two wires that know each other; a text each way, then 1,000 numbered ones. */
static void frames_go_both_ways_in_order(void **state)
{
    struct fixture *self = *state;
    struct node *a = &self->nodes[0], *b = &self->nodes[1];
    connect_both_ways(self);
    assert_int_equal(send_text(a, b, "ping"), ERROR_OK);
    assert_int_equal(send_text(b, a, "pong"), ERROR_OK);
    WAIT_FOR(self, a->frames == 1 && b->frames == 1);
    assert_string_equal(b->last_payload, "ping");
    assert_int_equal(b->last_from, 100);
    assert_string_equal(b->last_address, a->listen);
    assert_string_equal(a->last_payload, "pong");
    assert_int_equal(a->last_from, 101);

    for (unsigned i = 0; i < 1000; i++) {
        char text[16];
        snprintf(text, sizeof text, "%u", i);
        assert_int_equal(send_text(a, b, text), ERROR_OK);
        turn(self);
        if (b->frames > 1)
            assert_int_equal(atoi(b->last_payload), b->frames - 2);
    }
    WAIT_FOR(self, b->frames == 1001);
    const struct wire_peer_status sent = status_of(a), received = status_of(b);
    assert_true(sent.connected);
    assert_int_equal(sent.node_id, 101);
    assert_string_equal(sent.address, b->listen);
    assert_int_equal(sent.sent_frames, 1001);
    assert_int_equal(sent.connects, 1);
    assert_int_equal(received.received_frames, 1001);
    assert_int_equal(received.received_bytes, sent.sent_bytes);
    assert_true(received.heard_ms > 0);
    assert_int_equal(a->notes + b->notes + a->downs + b->downs, 0);
}

/* Goal: the largest frame arrives whole, between small ones.
 * Method: 1 byte, FRAME_BYTES_MAX bytes, 1 byte. */
static void largest_frame_arrives_whole(void **state)
{
    struct fixture *self = *state;
    struct node *a = &self->nodes[0], *b = &self->nodes[1];
    connect_both_ways(self);
    char *large = malloc(FRAME_BYTES_MAX);
    memset(large, 'x', FRAME_BYTES_MAX);
    assert_int_equal(send_text(a, b, "1"), ERROR_OK);
    assert_int_equal(wire_send(a->wire, 101, span_of(large, FRAME_BYTES_MAX)), ERROR_OK);
    assert_int_equal(send_text(a, b, "3"), ERROR_OK);
    free(large); /* what is queued is a copy */
    WAIT_FOR(self, b->frames == 3);
    assert_string_equal(b->last_payload, "3");
    assert_int_equal(b->bytes, 2 + FRAME_BYTES_MAX);
    WAIT_FOR(self, status_of(a).queued_bytes == 0);
}

/* Goal: whom nobody connected to can't be sent to, and an unknown peer can't either.
 * Method: send before the peer is up, to an unknown id, and after its removal. */
static void unconnected_peers_are_unavailable(void **state)
{
    struct fixture *self = *state;
    struct node *a = &self->nodes[0], *b = &self->nodes[1];
    node_open(a);
    node_open(b);
    assert_int_equal(send_text(a, b, "x"), ERROR_UNAVAILABLE);
    node_knows(a, b);
    assert_int_equal(send_text(a, b, "x"), ERROR_UNAVAILABLE);
    WAIT_FOR(self, a->ups == 1);
    assert_int_equal(send_text(a, b, "x"), ERROR_OK);
    WAIT_FOR(self, b->frames == 1); /* heard, although b doesn't know a */
    assert_int_equal(b->last_from, 100);
    wire_peer_remove(a->wire, 101);
    assert_int_equal(send_text(a, b, "x"), ERROR_UNAVAILABLE);
    struct wire_peer_status status;
    assert_int_equal(wire_status(a->wire, &status, 1), 0);
    run_for(self, 50);
    assert_int_equal(a->downs, 0);
    wire_peer_remove(a->wire, 101);
}

/* Goal: a peer that ends is told as down, its closed port as refused, and its return as up again.
 * Method: the peer closes after it has lived, later another start of it takes the same port. */
static void peer_restart_is_down_refused_and_up_again(void **state)
{
    struct fixture *self = *state;
    struct node *a = &self->nodes[0], *b = &self->nodes[1];
    connect_both_ways(self);
    run_for(self, 250);
    node_close(b);
    WAIT_FOR(self, a->downs == 1 && a->refused >= 1);
    assert_int_equal(b->closed, 1);
    assert_false(status_of(a).connected);
    assert_true(status_of(a).refusals >= 1);
    assert_int_equal(send_text(a, b, "x"), ERROR_UNAVAILABLE);

    b->options.identity.start_counter++;
    node_open(b);
    WAIT_FOR(self, a->ups == 2);
    assert_int_equal(send_text(a, b, "again"), ERROR_OK);
    WAIT_FOR(self, b->frames == 1);
    assert_string_equal(b->last_payload, "again");
    assert_int_equal(status_of(a).connects, 2);
}

/* Goal: a port that nobody listens on is told as refused, again and again, and never as up or down.
 * Method: an address whose listener has closed. */
static void closed_port_is_refused(void **state)
{
    struct fixture *self = *state;
    struct node *a = &self->nodes[0], *b = &self->nodes[1];
    node_open(a);
    node_open(b);
    node_close(b);
    WAIT_FOR(self, b->closed == 1);
    node_knows(a, b);
    WAIT_FOR(self, a->refused >= 2);
    assert_int_equal(a->ups + a->downs + a->rejected, 0);
}

/* Goal: a reset of an established connection is told as refused at once.
 * Method: a stranger that answers the handshake as the peer, then closes with SO_LINGER 0, which sends a
 * reset. */
static void reset_connection_is_refused(void **state)
{
    struct fixture *self = *state;
    struct node *a = &self->nodes[0];
    node_open(a);
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    assert_int_equal(bind(listener, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(listener, 8), 0);
    getsockname(listener, (struct sockaddr *)&address, &length);
    char text[64];
    snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(address.sin_port));
    wire_peer_set(a->wire, 777, text);
    int fd = -1;
    WAIT_FOR(self, (fd = accept(listener, NULL, NULL)) >= 0);
    self->strangers[self->stranger_count++] = listener;

    struct bytes payload;
    bytes_init(&payload, 0);
    const struct wire_answer answer = {.hello = {.protocol = WIRE_PROTOCOL,
                                                 .cluster_id = "c1",
                                                 .generation = 1,
                                                 .node_id = 777,
                                                 .incarnation = "stranger",
                                                 .nonce = 5,
                                                 .address = text}};
    wire_answer_encode(&answer, &payload);
    stranger_frame(fd, bytes_span(&payload));
    bytes_done(&payload);
    WAIT_FOR(self, a->ups == 1);
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
    WAIT_FOR(self, a->downs == 1);
    assert_int_equal(a->refused, 1);
    assert_int_equal(status_of(a).refusals, 1);
}

/* Goal: a full queue refuses at once, keeps its bound, and takes frames again when its peer reads.
 * Method: a queue of 1 MiB; the loop doesn't run while 64 KiB frames are sent until one is refused. */
static void full_queue_refuses_and_recovers(void **state)
{
    struct fixture *self = *state;
    struct node *a = &self->nodes[0], *b = &self->nodes[1];
    a->options.queue_bytes_max = 1024u * 1024u;
    connect_both_ways(self);
    char *block = calloc(1, 65536);
    unsigned sent = 0;
    enum error_code code;
    while ((code = wire_send(a->wire, 101, span_of(block, 65536))) == ERROR_OK && sent < 10000)
        sent++;
    assert_int_equal(code, ERROR_BUSY);
    assert_true(sent >= 15);
    const struct wire_peer_status full = status_of(a);
    assert_int_equal(full.dropped_frames, 1);
    assert_int_equal(full.sent_frames, sent);
    assert_true(full.queued_bytes <= a->options.queue_bytes_max);
    assert_int_equal(full.queued_max_bytes, full.queued_bytes);
    WAIT_FOR(self, b->frames == sent);
    assert_int_equal(wire_send(a->wire, 101, span_of(block, 65536)), ERROR_OK);
    WAIT_FOR(self, b->frames == sent + 1);
    assert_int_equal(b->bytes, 65536ull * (sent + 1));
    free(block);
}

/* Goal: a peer's new address is connected to instead of the old one; the same address changes nothing.
 * Method: a third wire takes the peer's id over after it closed. */
static void changed_address_reconnects(void **state)
{
    struct fixture *self = *state;
    struct node *a = &self->nodes[0], *b = &self->nodes[1], *moved = &self->nodes[2];
    connect_both_ways(self);
    node_knows(a, b);
    run_for(self, 50);
    assert_int_equal(a->ups, 1);
    moved->options.identity = b->options.identity;
    moved->options.identity.start_counter++;
    node_close(b);
    WAIT_FOR(self, b->closed == 1);
    node_open(moved);
    node_knows(a, moved);
    WAIT_FOR(self, a->ups == 2);
    assert_int_equal(a->downs, 1);
    node_knows(a, b); /* back to where nobody is: told as down although its connection still stood */
    assert_int_equal(send_text(a, moved, "x"), ERROR_UNAVAILABLE);
    assert_int_equal(a->downs, 1); /* not from inside of the call */
    WAIT_FOR(self, a->downs == 2 && a->refused >= 1);
    node_knows(a, moved);
    WAIT_FOR(self, a->ups == 3);
    assert_int_equal(send_text(a, moved, "x"), ERROR_OK);
    WAIT_FOR(self, moved->frames == 1);
}

/* Goal: a process that is killed is told as down and refused, by its connection's end and its closed port.
 * Method: a child with a wire of its own; kill -9. */
static void killed_process_is_down_and_refused(void **state)
{
    struct fixture *self = *state;
    struct node *a = &self->nodes[0], *b = &self->nodes[1];
    int channel[2];
    uint16_t port = 0;
    assert_int_equal(pipe(channel), 0);
    const pid_t child = fork();
    if (child == 0) {
        uv_loop_t loop;
        uv_loop_init(&loop);
        b->options.loop = &loop;
        struct error error;
        if (wire_open(&b->options, &b->wire, &error) != ERROR_OK)
            _exit(1);
        port = wire_port(b->wire);
        if (write(channel[1], &port, sizeof port) != (ssize_t)sizeof port)
            _exit(1);
        uv_run(&loop, UV_RUN_DEFAULT);
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(read(channel[0], &port, sizeof port), (ssize_t)sizeof port);
    close(channel[0]);
    close(channel[1]);
    snprintf(b->listen, sizeof b->listen, "127.0.0.1:%u", port);
    node_open(a);
    node_knows(a, b);
    WAIT_FOR(self, a->ups == 1);
    run_for(self, 250);
    assert_int_equal(send_text(a, b, "x"), ERROR_OK);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    (void)send_text(a, b, "into the void"); /* would raise SIGPIPE sooner or later */
    WAIT_FOR(self, a->downs == 1 && a->refused >= 1);
    (void)send_text(a, b, "and again");
    assert_int_equal(a->ups, 1);
    assert_int_equal(a->rejected, 0);
}

/* Goal: an address that can't be one, and a name that resolves, are both handled off the caller's stack.
 * Method: "nowhere" has no port; localhost resolves on libuv's threads. */
static void odd_addresses_do_no_harm(void **state)
{
    struct fixture *self = *state;
    struct node *a = &self->nodes[0], *b = &self->nodes[1];
    node_open(a);
    node_open(b);
    wire_peer_set(a->wire, 5, "nowhere");
    wire_peer_set(a->wire, 100, "127.0.0.1:1"); /* ourselves */
    WAIT_FOR(self, a->notes >= 1);
    char name[64];
    snprintf(name, sizeof name, "localhost:%u", wire_port(b->wire));
    wire_peer_set(a->wire, 101, name);
    wire_peer_set(a->wire, 102, name); /* its close comes while it resolves */
    wire_peer_remove(a->wire, 102);
    struct wire_peer_status status[4];
    assert_int_equal(wire_status(a->wire, status, 4), 2);
    WAIT_FOR(self, a->ups == 1); /* where localhost is ::1 as well, the next attempt takes the other */
}

/* Goal: names that don't resolve, peers that go while theirs does, and more peers than fit do no harm.
 * Method: a name of the reserved domain; removal one turn after setting; 100 ids. */
static void unresolved_names_and_many_peers_do_no_harm(void **state)
{
    struct fixture *self = *state;
    struct node *a = &self->nodes[0];
    struct wire_peer_status status[WIRE_PEERS_MAX + 1];
    node_open(a);
    for (unsigned i = 0; i < 8; i++) { /* more than libuv's threads: some wait in its queue, some run */
        wire_peer_set(a->wire, 200 + i, "nobody.invalid:1");
        turn(self);
    }
    for (unsigned i = 0; i < 7; i++)
        wire_peer_remove(a->wire, 200 + i);
    WAIT_FOR(self, a->notes >= 1);
    assert_int_equal(a->ups + a->refused + a->downs, 0);
    for (unsigned i = 0; i < 100; i++)
        wire_peer_set(a->wire, 1000 + i, "127.0.0.1:1");
    assert_int_equal(wire_status(a->wire, status, WIRE_PEERS_MAX + 1), WIRE_PEERS_MAX);
    assert_int_equal(wire_status(a->wire, status, 3), 3);
    turn(self); /* closed while all of them connect */
}

/* Goal: IPv6 works as IPv4 does.
 * Method: two wires on [::1]; skipped where the machine has none. */
static void ipv6_addresses_work(void **state)
{
    struct fixture *self = *state;
    struct node *a = &self->nodes[0], *b = &self->nodes[1];
    struct error error = {0};
    snprintf(a->listen, sizeof a->listen, "[::1]:0");
    if (wire_open(&a->options, &a->wire, &error) != ERROR_OK)
        skip();
    node_open(b);
    char address[64];
    snprintf(address, sizeof address, "[::1]:%u", wire_port(a->wire));
    wire_peer_set(b->wire, 100, address);
    WAIT_FOR(self, b->ups == 1);
    assert_string_equal(b->last_detail, address);
    const int stranger = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 to = {
        .sin6_family = AF_INET6, .sin6_port = htons(wire_port(a->wire)), .sin6_addr = in6addr_loopback};
    assert_int_equal(connect(stranger, (struct sockaddr *)&to, sizeof to), 0);
    stranger_send(stranger, "GET / HTTP/1.1\r\n", 16);
    WAIT_FOR(self, a->notes == 1);
    close(stranger);
}

/* Goal: what is queued for a peer that dies goes with it, and its owner hears of the end.
 * Method: fill the queue, then the peer closes without reading. */
static void queue_goes_with_its_peer(void **state)
{
    struct fixture *self = *state;
    struct node *a = &self->nodes[0], *b = &self->nodes[1];
    connect_both_ways(self);
    char *block = calloc(1, 65536);
    while (wire_send(a->wire, 101, span_of(block, 65536)) == ERROR_OK)
        ;
    assert_true(status_of(a).queued_bytes > 1024u * 1024u);
    node_close(b);
    WAIT_FOR(self, a->downs == 1);
    assert_int_equal(status_of(a).queued_bytes, 0);
    assert_int_equal(wire_send(a->wire, 101, span_of(block, 65536)), ERROR_UNAVAILABLE);
    b->options.identity.start_counter++;
    node_open(b);
    node_knows(a, b);
    WAIT_FOR(self, a->ups == 2);
    while (wire_send(a->wire, 101, span_of(block, 65536)) == ERROR_OK)
        ;
    WAIT_FOR(self, status_of(a).queued_bytes == 0); /* 16 MiB, in two pieces */
    free(block);
}

/* Goal: a port in use is refused with its address, and what isn't an address too; nothing leaks.
 * Method: open on a port that another wire has; open with broken options. */
static void unusable_options_are_refused(void **state)
{
    struct fixture *self = *state;
    struct node *a = &self->nodes[0], *b = &self->nodes[1];
    struct error error = {0};
    node_open(a);
    snprintf(b->listen, sizeof b->listen, "%s", a->listen);
    assert_int_equal(wire_open(&b->options, &b->wire, &error), ERROR_LOCKED);
    assert_non_null(strstr(error.message, a->listen));
    b->options.listen_address = "127.0.0.1";
    assert_int_equal(wire_open(&b->options, &b->wire, &error), ERROR_INVALID);
    b->options.listen_address = "127.0.0.1:70000";
    assert_int_equal(wire_open(&b->options, &b->wire, &error), ERROR_INVALID);
    b->options.listen_address = "192.0.2.1:0"; /* not an address of this machine */
    assert_int_equal(wire_open(&b->options, &b->wire, &error), ERROR_IO);
    b->options.listen_address = "127.0.0.1:0";
    b->options.advertise_address = "n1";
    assert_int_equal(wire_open(&b->options, &b->wire, &error), ERROR_INVALID);
    b->options.advertise_address = NULL;
    b->options.listen_address = "nobody.invalid:0";
    assert_int_equal(wire_open(&b->options, &b->wire, &error), ERROR_INVALID);
    b->options.listen_address = "127.0.0.1:0";
    b->options.identity.node_id = 0;
    assert_int_equal(wire_open(&b->options, &b->wire, &error), ERROR_INVALID);
    b->options.identity.node_id = 101;
    b->options.identity.cluster_id[0] = '\0';
    assert_int_equal(wire_open(&b->options, &b->wire, &error), ERROR_INVALID);
    assert_null(b->wire);
}

/* Goal: its owner may close a wire from inside of a callback; nothing is called afterwards but on_closed.
 * Method: three frames in one packet; the first one's handler closes. */
static void closing_inside_a_callback_is_the_end(void **state)
{
    struct fixture *self = *state;
    struct node *a = &self->nodes[0], *b = &self->nodes[1];
    connect_both_ways(self);
    b->close_in_frame = b->wire;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(send_text(a, b, "x"), ERROR_OK);
    WAIT_FOR(self, b->closed == 1);
    assert_int_equal(b->frames, 1);
    assert_int_equal(b->downs, 0);
    wire_close(NULL, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(frames_go_both_ways_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(largest_frame_arrives_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unconnected_peers_are_unavailable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(peer_restart_is_down_refused_and_up_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(closed_port_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reset_connection_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_queue_refuses_and_recovers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(changed_address_reconnects, set_up, tear_down),
        cmocka_unit_test_setup_teardown(killed_process_is_down_and_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(odd_addresses_do_no_harm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unresolved_names_and_many_peers_do_no_harm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ipv6_addresses_work, set_up, tear_down),
        cmocka_unit_test_setup_teardown(queue_goes_with_its_peer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unusable_options_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(closing_inside_a_callback_is_the_end, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
