/* What others may do to a wire: wrong clusters, copies, junk, floods, silence. Whoever else is connected
 * notices nothing. */
#include "unit/consensus/wire_support.h"

/* Node 0 with node 1 connected to it: the one that must notice nothing. */
static struct node *open_with_witness(struct fixture *self)
{
    node_open(&self->nodes[0]);
    node_open(&self->nodes[1]);
    node_knows(&self->nodes[1], &self->nodes[0]);
    WAIT_FOR(self, self->nodes[1].ups == 1);
    return &self->nodes[0];
}

static void assert_witness_unharmed(struct fixture *self)
{
    struct node *node = &self->nodes[0], *witness = &self->nodes[1];
    const unsigned before = node->frames;
    assert_int_equal(witness->downs, 0);
    assert_int_equal(wire_send(witness->wire, 100, span_text("witness")), ERROR_OK);
    WAIT_FOR(self, node->frames == before + 1);
    assert_string_equal(node->last_payload, "witness");
}

/* Somebody says hello to node 0 and is refused for this reason, with a sentence for the log. */
static void assert_hello_refused(struct fixture *self, struct wire_hello hello, enum wire_refusal reason,
                                 const char *says)
{
    struct node *node = &self->nodes[0];
    struct arena arena;
    struct wire_answer answer = {0};
    arena_init(&arena, 8192);
    const int fd = stranger_connect(self, node);
    stranger_hello(fd, hello);
    WAIT_FOR(self, stranger_answer(fd, &arena, &answer));
    assert_string_equal(wire_refusal_name(answer.refusal), wire_refusal_name(reason));
    if (strstr(answer.sentence, says) == NULL)
        fail_msg("\"%s\" doesn't say \"%s\"", answer.sentence, says);
    WAIT_FOR(self, stranger_is_closed(fd));
    assert_true(node->notes > 0);
    arena_done(&arena);
}

/* Goal: who doesn't belong is told why and closed.
 * Method: one hello a reason; the answer has the reason's code. */
static void those_who_do_not_belong_are_told_why(void **state)
{
    struct fixture *self = *state;
    struct node *node = open_with_witness(self);
    node->removed_id = 66;
    assert_hello_refused(self, (struct wire_hello){.cluster_id = "c2"}, WIRE_REFUSED_CLUSTER,
                         "it belongs to cluster c2, this node to c1");
    assert_string_equal(node->last_note, "other_cluster: it belongs to cluster c2, this node to c1");
    assert_hello_refused(self, (struct wire_hello){.generation = 2}, WIRE_REFUSED_GENERATION,
                         "it is of generation 2, this node of 1");
    assert_hello_refused(self, (struct wire_hello){.node_id = 66}, WIRE_REFUSED_REMOVED,
                         "node 66 was removed from the cluster");
    assert_hello_refused(self, (struct wire_hello){.protocol = 9}, WIRE_REFUSED_PROTOCOL,
                         "it speaks protocol 9");
    assert_int_equal(node->frames, 0);
    assert_witness_unharmed(self);
}

/* Goal: an id that is merely unknown is heard, with its address; a reason is told once a second and host.
 * Method: a welcome and a frame from a stranger of this cluster; five refusals in a row leave one note. */
static void unknown_ids_are_heard_and_notes_are_rare(void **state)
{
    struct fixture *self = *state;
    struct node *node = open_with_witness(self);
    const int fd = stranger_connect(self, node);
    stranger_hello(fd, (struct wire_hello){.address = "10.1.2.3:7201"});
    stranger_frame(fd, span_text("hello there"));
    WAIT_FOR(self, node->frames == 1);
    assert_int_equal(node->last_from, 777);
    assert_string_equal(node->last_address, "10.1.2.3:7201");
    assert_int_equal(node->notes, 0);
    uint64_t began_ms = uv_hrtime() / 1000000u;
    for (unsigned i = 0; i < 5; i++)
        assert_hello_refused(self, (struct wire_hello){.cluster_id = "c2"}, WIRE_REFUSED_CLUSTER, "c2");
    if (uv_hrtime() / 1000000u - began_ms < 900)
        assert_int_equal(node->notes, 1);
    run_for(self, 1100);
    assert_hello_refused(self, (struct wire_hello){.cluster_id = "c2"}, WIRE_REFUSED_CLUSTER, "c2");
    assert_non_null(strstr(node->last_note, "more before)"));
}

/* Goal: a node that is told of itself as a peer, or under another's id, finds out and is told as rejected.
 * Method: an id that nobody has at our own address; a peer's address under a wrong id. */
static void wrong_nodes_are_rejected(void **state)
{
    struct fixture *self = *state;
    struct node *node = open_with_witness(self);
    wire_peer_set(node->wire, 4711, node->listen);
    WAIT_FOR(self, node->rejected == 1);
    assert_non_null(strstr(node->last_detail, "connected to itself"));
    wire_peer_remove(node->wire, 4711);
    wire_peer_set(node->wire, 4712, self->nodes[1].listen);
    WAIT_FOR(self, node->rejected == 2);
    assert_non_null(strstr(node->last_detail, "is node 101, not 4712"));
    assert_int_equal(node->ups, 0);
    wire_peer_remove(node->wire, 4712);
    assert_witness_unharmed(self);
}

/* Goal: who still looks for a former node at an address doesn't harm its connection to the one that is there
 * now. Method: a connection is up; then the same address is set for an id that isn't there any more. */
static void former_id_of_an_address_harms_no_connection(void **state)
{
    struct fixture *self = *state;
    struct node *a = &self->nodes[0], *b = &self->nodes[1];
    node_open(a);
    node_open(b);
    node_knows(a, b);
    WAIT_FOR(self, a->ups == 1);
    wire_peer_set(a->wire, 4712, b->listen);
    WAIT_FOR(self, a->rejected == 1);
    run_for(self, 300);
    assert_int_equal(a->downs, 0);
    assert_int_equal(wire_send(a->wire, 101, span_text("still here")), ERROR_OK);
    WAIT_FOR(self, b->frames == 1);
    assert_non_null(strstr(b->last_note, "wrong_node"));
}

/* Goal: another cluster's node refuses us, and we learn it as rejected, not as refused or down.
 * Method: two real wires of different clusters; then of different generations. */
static void other_clusters_reject_us(void **state)
{
    struct fixture *self = *state;
    struct node *a = &self->nodes[0], *b = &self->nodes[1], *c = &self->nodes[2];
    snprintf(b->options.identity.cluster_id, sizeof b->options.identity.cluster_id, "c2");
    c->options.identity.generation = 2;
    node_open(a);
    node_open(b);
    node_open(c);
    node_knows(a, b);
    WAIT_FOR(self, a->rejected == 1);
    assert_non_null(strstr(a->last_detail, "belongs to cluster c1, this node to c2"));
    wire_peer_remove(a->wire, 101);
    node_knows(a, c);
    WAIT_FOR(self, a->rejected == 2);
    assert_non_null(strstr(a->last_detail, "is of generation 1, this node of 2"));
    assert_int_equal(a->ups + a->downs + a->refused, 0);
    assert_int_equal(b->frames + c->frames, 0);
    assert_int_equal(wire_send(a->wire, 102, span_text("x")), ERROR_UNAVAILABLE);
}

/* Goal: a second living process under one id silences both, loudly; a later start of the same folder takes
 * over. Method: the witness's id with another incarnation, then with a later and an earlier start. */
static void second_process_under_one_id_silences_both(void **state)
{
    struct fixture *self = *state;
    struct node *node = open_with_witness(self), *witness = &self->nodes[1];
    assert_hello_refused(self, (struct wire_hello){.node_id = 101, .incarnation = "copy"},
                         WIRE_REFUSED_CLONED, "two processes speak as node 101");
    assert_int_equal(node->rejected, 1);
    WAIT_FOR(self, witness->downs == 1);    /* closed ... */
    WAIT_FOR(self, witness->rejected >= 1); /* ... and refused when it came back */
    assert_non_null(strstr(witness->last_detail, "two processes speak as node 101"));
    assert_int_equal(witness->ups, 1);

    const int fd = stranger_connect(self, node);
    stranger_hello(fd, (struct wire_hello){.node_id = 101, .incarnation = "folder-1", .start_counter = 2});
    stranger_frame(fd, span_text("restarted"));
    WAIT_FOR(self, node->frames == 1);
    assert_string_equal(node->last_payload, "restarted");
    assert_hello_refused(self,
                         (struct wire_hello){.node_id = 101, .incarnation = "folder-1", .start_counter = 1},
                         WIRE_REFUSED_OLD_START, "node 101 has started again since: start 1 is past");
}

/* Goal: a later start of a folder ends what is left of the earlier one at once.
 * Method: two strangers with one folder, the second started later. */
static void later_start_ends_the_earlier_connection(void **state)
{
    struct fixture *self = *state;
    struct node *node = open_with_witness(self);
    const int first = stranger_connect(self, node);
    stranger_hello(first, (struct wire_hello){.start_counter = 1});
    stranger_frame(first, span_text("one"));
    WAIT_FOR(self, node->frames == 1);
    const int second = stranger_connect(self, node);
    stranger_hello(second, (struct wire_hello){.start_counter = 2});
    stranger_frame(second, span_text("two"));
    WAIT_FOR(self, node->frames == 2);
    WAIT_FOR(self, stranger_is_closed(first));
    assert_int_equal(node->rejected, 0);
    const int third =
        stranger_connect(self, node); /* the same process again: its old connection must be dead */
    stranger_hello(third, (struct wire_hello){.start_counter = 2});
    stranger_frame(third, span_text("three"));
    WAIT_FOR(self, node->frames == 3);
    WAIT_FOR(self, stranger_is_closed(second));
    assert_false(stranger_is_closed(third));
    assert_witness_unharmed(self);
}

/* Goal: when a peer's later start connects to us, our own connection to its earlier start is made anew at
 * once. Method: node 0 knows the witness; a stranger comes as the witness's next start. */
static void later_start_renews_our_connection(void **state)
{
    struct fixture *self = *state;
    struct node *node = open_with_witness(self);
    node_knows(node, &self->nodes[1]);
    WAIT_FOR(self, node->ups == 1);
    stranger_hello(stranger_connect(self, node),
                   (struct wire_hello){.node_id = 101, .incarnation = "folder-1", .start_counter = 2});
    WAIT_FOR(self, node->downs == 1);
    WAIT_FOR(self, node->rejected >= 1); /* the process at its address is the earlier start, which is past */
    assert_non_null(strstr(node->last_detail, "has started again since"));
    assert_int_equal(node->ups, 1);
}

/* Goal: a node that comes back with less than it acknowledged is refused and told so; with as much it is
 * heard. Method: the witness acknowledges 50 to node 0 and starts again with a log up to 49, then up to 50.
 */
static void node_that_forgot_is_told(void **state)
{
    struct fixture *self = *state;
    struct node *node = &self->nodes[0], *witness = &self->nodes[1];
    witness->log_end = 60;
    node_open(node);
    node_open(witness);
    node_knows(witness, node);
    WAIT_FOR(self, witness->ups == 1);
    wire_peer_holds(node->wire, 101, 50);
    for (uint64_t end = 49; end <= 50; end++) {
        wire_close(witness->wire, node_on_closed, witness);
        WAIT_FOR(self, witness->closed == end - 48);
        witness->log_end = end;
        witness->options.identity.start_counter++;
        node_open(witness);
        node_knows(witness, node);
        WAIT_FOR(self, end == 49 ? witness->rolled_back == 1 : witness->ups == 2);
    }
    assert_non_null(strstr(node->last_note, "rolled_back: the log of node 101 ends at 49"));
    assert_int_equal(witness->rolled_back, 1);
}

/* Goal: without somebody to tell, refusals go to the log.
 * Method: no on_refused; the line stands on stderr. */
static void refusals_are_logged_where_nobody_is_told(void **state)
{
    struct fixture *self = *state;
    struct node *node = &self->nodes[0];
    node->options.on_refused = NULL;
    node_open(node);
    char line[1024] = "";
    int channel[2];
    const int kept = dup(STDERR_FILENO);
    assert_int_equal(pipe(channel), 0);
    dup2(channel[1], STDERR_FILENO);
    const int fd = stranger_connect(self, node);
    stranger_send(fd, "GET / HTTP/1.1\r\n", 16);
    WAIT_FOR(self, stranger_is_closed(fd));
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(channel[1]);
    assert_true(read(channel[0], line, sizeof line - 1) > 0);
    close(channel[0]);
    assert_non_null(strstr(line, "warn wire refused address=127.0.0.1:"));
    assert_non_null(strstr(line, "is not within 1 .. 2048"));
}

/* Goal: a process that runs under our own id is refused, and our owner hears of it.
 * Method: node 0's own id with another nonce. */
static void copies_of_ourselves_are_refused(void **state)
{
    struct fixture *self = *state;
    struct node *node = open_with_witness(self);
    assert_hello_refused(
        self, (struct wire_hello){.node_id = 100, .incarnation = "folder-0", .start_counter = 1, .nonce = 1},
        WIRE_REFUSED_CLONED, "runs as node 100, which is this node's id");
    assert_int_equal(node->rejected, 1);
    assert_witness_unharmed(self);
}

/* Goal: what is no frame costs its connection, before and after the handshake, and nothing else.
 * Method: junk, an oversized length, a wrong checksum, an empty frame, a frame that is no hello. */
static void junk_costs_its_connection_only(void **state)
{
    struct fixture *self = *state;
    struct node *node = open_with_witness(self);
    uint8_t wrong[WIRE_HEAD_BYTES + 4] = {0, 0, 0, 4, 1, 2, 3, 4, 'j', 'u', 'n', 'k'};
    const uint8_t oversized[WIRE_HEAD_BYTES] = {0x7f, 0xff, 0xff, 0xff};
    const uint8_t empty[WIRE_HEAD_BYTES] = {0};
    const struct span junk[] = {span_text("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
                                span_of(oversized, sizeof oversized), span_of(wrong, sizeof wrong),
                                span_of(empty, sizeof empty)};
    for (unsigned shaken = 0; shaken < 2; shaken++) {
        for (size_t i = 0; i < sizeof junk / sizeof junk[0]; i++) {
            const int fd = stranger_connect(self, node);
            if (shaken == 1)
                stranger_hello(fd, (struct wire_hello){0});
            stranger_send(fd, junk[i].data, junk[i].bytes);
            WAIT_FOR(self, stranger_is_closed(fd));
        }
    }
    const int fd = stranger_connect(self, node);
    stranger_frame(fd, span_text("a frame, and no hello"));
    WAIT_FOR(self, stranger_is_closed(fd));
    assert_int_equal(node->frames, 0);
    assert_true(node->notes > 0);
    assert_witness_unharmed(self);
}

/* Goal: handshakes and frames that are almost right do no harm either.
 * Method: 400 strangers whose hello has a few changed bits behind a right checksum, each with a frame behind
 * it. */
static void changed_handshakes_do_no_harm(void **state)
{
    struct fixture *self = *state;
    struct node *node = open_with_witness(self);
    uint64_t random = 20260102;
    struct bytes hello;
    bytes_init(&hello, 0);
    wire_hello_encode(&(struct wire_hello){.protocol = WIRE_PROTOCOL,
                                           .cluster_id = "c1",
                                           .generation = 1,
                                           .node_id = 777,
                                           .incarnation = "x",
                                           .start_counter = 1,
                                           .nonce = 9,
                                           .address = "host:1"},
                      &hello);
    for (unsigned i = 0; i < 400; i++) {
        const int fd = stranger_connect(self, node);
        uint8_t changed[128];
        assert_true(hello.length <= sizeof changed);
        memcpy(changed, hello.data, hello.length);
        for (unsigned flips = i % 3; flips > 0; flips--) {
            random = random * 6364136223846793005ULL + 1442695040888963407ULL;
            const size_t bit = (size_t)(random >> 33) % (hello.length * 8);
            changed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        uint8_t both[256];
        wire_frame_head(span_of(changed, hello.length), both);
        memcpy(both + WIRE_HEAD_BYTES, changed, hello.length);
        stranger_send(fd, both, WIRE_HEAD_BYTES + hello.length);
        turn(self);
        close(fd);
        self->stranger_count--;
    }
    bytes_done(&hello);
    assert_witness_unharmed(self);
}

/* Goal: a frame may come byte by byte, and many in one packet.
 * Method: a hello and a frame in single bytes; then fifty frames in one send. */
static void frames_come_in_any_pieces(void **state)
{
    struct fixture *self = *state;
    struct node *node = open_with_witness(self);
    struct bytes stream, hello;
    bytes_init(&stream, 0);
    bytes_init(&hello, 0);
    wire_hello_encode(&(struct wire_hello){.protocol = WIRE_PROTOCOL,
                                           .cluster_id = "c1",
                                           .generation = 1,
                                           .node_id = 777,
                                           .incarnation = "x",
                                           .address = "h:1"},
                      &hello);
    wire_frame_head(bytes_span(&hello), bytes_extend(&stream, WIRE_HEAD_BYTES));
    bytes_append(&stream, hello.data, hello.length);
    wire_frame_head(span_text("first"), bytes_extend(&stream, WIRE_HEAD_BYTES));
    bytes_append_text(&stream, "first");
    const int fd = stranger_connect(self, node);
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (size_t i = 0; i < stream.length; i++) {
        stranger_send(fd, stream.data + i, 1);
        turn(self);
    }
    WAIT_FOR(self, node->frames == 1);
    assert_string_equal(node->last_payload, "first");
    bytes_clear(&stream);
    for (unsigned i = 0; i < 50; i++) {
        wire_frame_head(span_text("more"), bytes_extend(&stream, WIRE_HEAD_BYTES));
        bytes_append_text(&stream, "more");
    }
    stranger_send(fd, stream.data, stream.length);
    WAIT_FOR(self, node->frames == 51);
    bytes_done(&stream);
    bytes_done(&hello);
}

/* Goal: who stays silent, before or in the middle of its hello, is closed; who has shaken hands may be
 * silent. Method: three strangers wait; two of them must go. */
static void silence_before_the_handshake_ends(void **state)
{
    struct fixture *self = *state;
    struct node *node = open_with_witness(self);
    const int silent = stranger_connect(self, node), half = stranger_connect(self, node),
              shaken = stranger_connect(self, node);
    stranger_send(half, "\x00\x00\x00\x40\x01\x02\x03\x04half a", 14);
    stranger_hello(shaken, (struct wire_hello){0});
    WAIT_FOR(self, stranger_is_closed(silent) && stranger_is_closed(half));
    assert_string_equal(node->last_note, "no handshake in time");
    run_for(self, 200);
    assert_false(stranger_is_closed(shaken));
    stranger_frame(shaken, span_text("still here"));
    WAIT_FOR(self, node->frames == 1);
    assert_witness_unharmed(self);
}

/* Goal: a flood of silent connections is capped, and a peer still gets in while it lasts.
 * Method: 100 strangers, then a third wire connects; at most the cap is open. */
static void flood_keeps_nobody_out(void **state)
{
    struct fixture *self = *state;
    struct node *node = open_with_witness(self), *late = &self->nodes[2];
    for (unsigned i = 0; i < 100; i++) {
        stranger_connect(self, node);
        if (i % 10 == 0)
            turn(self);
    }
    node_open(late);
    node_knows(late, node);
    WAIT_FOR(self, late->ups == 1);
    unsigned open = 0;
    for (unsigned i = 0; i < self->stranger_count; i++)
        open += !stranger_is_closed(self->strangers[i]);
    assert_in_range(open, 1, 4 * NODES_MAX);
    assert_int_equal(wire_send(late->wire, 100, span_text("late")), ERROR_OK);
    WAIT_FOR(self, node->frames == 1);
    assert_true(node->notes > 0);
    assert_witness_unharmed(self);
}

/* Goal: connections that have all shaken hands fill the cap, too, and the next one is closed.
 * Method: as many strangers as the cap allows beside the witness, each with its own id, then one more. */
static void cap_holds_for_those_who_have_shaken_hands(void **state)
{
    struct fixture *self = *state;
    struct node *node = open_with_witness(self);
    unsigned heard = 0;
    for (unsigned i = 0; i < 4 * NODES_MAX - 1; i++) {
        const int fd = stranger_connect(self, node);
        stranger_hello(fd, (struct wire_hello){.node_id = 1000 + i});
        stranger_frame(fd, span_text("x"));
        WAIT_FOR(self, node->frames == i + 1);
        heard++;
    }
    const int late = stranger_connect(self, node);
    WAIT_FOR(self, stranger_is_closed(late));
    assert_int_equal(heard, 4 * NODES_MAX - 1);
    assert_string_equal(node->last_note, "too many connections");
    assert_witness_unharmed(self);
}

/* Goal: bytes that come back on a connection that only sends end it, and it is tried again.
 * Method: a stranger answers the handshake as the peer and sends a frame behind it. */
static void frames_on_a_sending_connection_end_it(void **state)
{
    struct fixture *self = *state;
    struct node *node = open_with_witness(self);
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    assert_int_equal(bind(listener, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(listener, 8), 0);
    getsockname(listener, (struct sockaddr *)&address, &length);
    self->strangers[self->stranger_count++] = listener;
    char text[64];
    snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(address.sin_port));
    wire_peer_set(node->wire, 777, text);
    int fd = -1;
    WAIT_FOR(self, (fd = accept(listener, NULL, NULL)) >= 0);
    self->strangers[self->stranger_count++] = fd;
    struct bytes payload;
    bytes_init(&payload, 0);
    wire_answer_encode(&(struct wire_answer){.hello = {.protocol = WIRE_PROTOCOL,
                                                       .cluster_id = "c1",
                                                       .generation = 1,
                                                       .node_id = 777,
                                                       .incarnation = "x",
                                                       .address = "h:1"}},
                       &payload);
    stranger_frame(fd, bytes_span(&payload));
    stranger_frame(fd, span_text("surprise"));
    bytes_done(&payload);
    WAIT_FOR(self, node->downs == 1);
    assert_int_equal(node->ups, 1);
    assert_int_equal(node->frames, 0);
    WAIT_FOR(self, (fd = accept(listener, NULL, NULL)) >= 0);
    self->strangers[self->stranger_count++] = fd;
    stranger_frame(fd, span_text("no answer")); /* nor is that one */
    WAIT_FOR(self, stranger_is_closed(fd));
    assert_int_equal(node->ups, 1);
    assert_witness_unharmed(self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(those_who_do_not_belong_are_told_why, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_ids_are_heard_and_notes_are_rare, set_up, tear_down),
        cmocka_unit_test_setup_teardown(node_that_forgot_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(former_id_of_an_address_harms_no_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_nodes_are_rejected, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_clusters_reject_us, set_up, tear_down),
        cmocka_unit_test_setup_teardown(second_process_under_one_id_silences_both, set_up, tear_down),
        cmocka_unit_test_setup_teardown(later_start_ends_the_earlier_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(later_start_renews_our_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refusals_are_logged_where_nobody_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(copies_of_ourselves_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(junk_costs_its_connection_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(changed_handshakes_do_no_harm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(frames_come_in_any_pieces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(silence_before_the_handshake_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(flood_keeps_nobody_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cap_holds_for_those_who_have_shaken_hands, set_up, tear_down),
        cmocka_unit_test_setup_teardown(frames_on_a_sending_connection_end_it, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
