/* Who is heard, the clocks of others, the rank at which a killed leader is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "chaos/sim/fake_wire.h"
#include "consensus/contact.h"

#define SELF    3u
#define TIMEOUT 300u

static uint64_t now(void *context)
{
    return *(uint64_t *)context;
}

static void no_frame(void *context, uint64_t from, const char *address, struct span payload)
{
    (void)context;
    (void)from;
    (void)address;
    (void)payload;
}

static void no_peer(void *context, uint64_t node_id, enum wire_peer_event event, const char *detail)
{
    (void)context;
    (void)node_id;
    (void)event;
    (void)detail;
}

struct bench {
    uint64_t now_ms;
    struct fake_network *network;
    struct wire *wire;
    struct contact contact;
    struct configuration configuration;
};

/* Node 3 of voters 1 .. `voters`. */
static void bench_open(struct bench *bench, uint32_t voters)
{
    struct fake_network_options network = {.clock = {now, now, &bench->now_ms}, .seed = 1};
    struct wire_options wire = {.listen_address = "n3:1", .on_frame = no_frame, .on_peer = no_peer};

    *bench = (struct bench){.now_ms = 10000};
    bench->network = fake_network_new(&network);
    wire.identity.node_id = SELF;
    assert_int_equal(wire_open(&wire, &bench->wire, NULL), ERROR_OK);
    contact_init(&bench->contact, bench->wire, SELF, TIMEOUT);
    for (uint32_t i = 0; i < voters; i++) {
        struct configuration_member *member = &bench->configuration.members[bench->configuration.count++];
        *member = (struct configuration_member){.node_id = i + 1, .role = MEMBER_VOTER};
        snprintf(member->address, sizeof member->address, "n%u:1", i + 1);
    }
    contact_members(&bench->contact, &bench->configuration, bench->now_ms);
}

static void bench_close(struct bench *bench)
{
    wire_close(bench->wire, NULL, NULL);
    fake_network_free(bench->network);
}

/* Goal: a leader has a quorum while a majority of voters, itself included, was heard within an election
 * timeout. Method: five voters; two others are heard, then time passes. */
static void leader_counts_who_was_heard(void **state)
{
    struct bench bench;

    (void)state;
    bench_open(&bench, 5);
    struct contact *contact = &bench.contact;
    contact_update(contact, &bench.configuration, CONSENSUS_LEADER, SELF, 10000);
    assert_false(contact->quorum);
    assert_int_equal(contact->lost_ms, 10000);
    assert_true(contact_heard(contact, 1, "n1:1", 10100));
    assert_true(contact_heard(contact, 2, "n2:1", 10200));
    contact_update(contact, &bench.configuration, CONSENSUS_LEADER, SELF, 10400);
    assert_true(contact->quorum);
    assert_int_equal(contact->lost_ms, 0);
    contact_update(contact, &bench.configuration, CONSENSUS_LEADER, SELF, 10401);
    assert_false(contact->quorum);
    assert_int_equal(contact->lost_ms, 10401);
    contact_update(contact, &bench.configuration, CONSENSUS_LEADER, SELF, 10500);
    assert_int_equal(contact->lost_ms, 10401); /* since then */
    bench_close(&bench);
}

/* Goal: a follower is in contact while its leader speaks.
 * Method: a leader that was heard, later no leader. */
static void follower_is_in_contact_through_its_leader(void **state)
{
    struct bench bench;

    (void)state;
    bench_open(&bench, 3);
    struct contact *contact = &bench.contact;
    contact_heard(contact, 1, "n1:1", 10000);
    contact_update(contact, &bench.configuration, CONSENSUS_FOLLOWER, 1, 10600);
    assert_true(contact->quorum);
    contact_update(contact, &bench.configuration, CONSENSUS_FOLLOWER, 1, 10601);
    assert_false(contact->quorum);
    contact_heard(contact, 1, "n1:1", 10700);
    contact_update(contact, &bench.configuration, CONSENSUS_FOLLOWER, 0, 10700);
    assert_false(contact->quorum);
    bench_close(&bench);
}

/* Goal: a member whose process hangs is out of a leader's reach though its connection stands; a follower,
 * whom only the leader speaks to, knows no better than the connection. Method: a connected peer that was
 * heard once, and time; then it speaks again; then its connection goes. */
static void hanging_member_is_out_of_a_leaders_reach(void **state)
{
    struct bench bench;

    (void)state;
    bench_open(&bench, 3);
    struct contact *contact = &bench.contact;
    const uint64_t silent_ms = (uint64_t)CONTACT_SILENT_TIMEOUTS * contact->election_timeout_ms;
    assert_false(contact_reachable(contact, 1, CONSENSUS_LEADER, 10000));
    contact_peer_event(contact, 1, WIRE_PEER_UP);
    assert_false(contact_reachable(contact, 1, CONSENSUS_LEADER, 10000)); /* it never spoke */
    assert_true(contact_reachable(contact, 1, CONSENSUS_FOLLOWER, 10000));
    assert_true(contact_heard(contact, 1, "n1:1", 10000));
    assert_true(contact_reachable(contact, 1, CONSENSUS_LEADER, 10000 + silent_ms));
    assert_false(contact_reachable(contact, 1, CONSENSUS_LEADER, 10001 + silent_ms));
    assert_true(contact_reachable(contact, 1, CONSENSUS_FOLLOWER, 10001 + silent_ms));
    assert_true(contact_heard(contact, 1, "n1:1", 20000));
    assert_true(contact_reachable(contact, 1, CONSENSUS_LEADER, 20000));
    contact_peer_event(contact, 1, WIRE_PEER_DOWN);
    assert_false(contact_reachable(contact, 1, CONSENSUS_LEADER, 20000));
    assert_true(contact_reachable(contact, SELF, CONSENSUS_LEADER, 99999));
    bench_close(&bench);
}

/* Goal: those who notice a killed leader stand one after the other; who is no follower of it, or no voter,
 * doesn't. Method: the time planned by node 3 of five with leader 1, with leader 5, for a peer that doesn't
 * lead; repeated refusals. */
static void killed_leader_is_noticed_by_rank(void **state)
{
    struct bench bench;

    (void)state;
    bench_open(&bench, 5);
    struct contact *contact = &bench.contact;
    contact_gone(contact, 2, &bench.configuration, 1, 7, 1000);
    assert_int_equal(contact->hasten_ms, CONSENSUS_NEVER);
    contact_gone(contact, 1, &bench.configuration, 1, 7, 1000); /* before us: 2 */
    assert_int_equal(contact->hasten_ms, 1000 + 2 * CONTACT_RANK_MS);
    assert_true(contact->crashed);
    contact_gone(contact, 1, &bench.configuration, 1, 7, 1015);
    assert_int_equal(contact->hasten_ms, 1000 + 2 * CONTACT_RANK_MS);
    contact_update(contact, &bench.configuration, CONSENSUS_FOLLOWER, 4, 1016); /* another one leads */
    assert_int_equal(contact->hasten_ms, CONSENSUS_NEVER);
    assert_false(contact->crashed);
    contact_gone(contact, 5, &bench.configuration, 5, 8, 2000); /* before us: 1 and 2 */
    assert_int_equal(contact->hasten_ms, 2000 + 3 * CONTACT_RANK_MS);
    contact->hasten_ms = CONSENSUS_NEVER;
    bench.configuration.members[2].role = MEMBER_STANDBY;
    contact_gone(contact, 5, &bench.configuration, 5, 8, 3000);
    assert_int_equal(contact->hasten_ms, CONSENSUS_NEVER);
    bench_close(&bench);
}

/* Goal: strangers are heard and can be answered, as many as there is room for; members always find room;
 * silent guests leave. Method: as many ids as fit, one more, a membership that needs their room, a minute of
 * silence. */
static void guests_are_bounded_and_forgotten(void **state)
{
    struct bench bench;

    (void)state;
    bench_open(&bench, 3);
    struct contact *contact = &bench.contact;
    for (uint64_t id = 100; id < 100 + CONTACT_PEERS_MAX - 2; id++)
        assert_true(contact_heard(contact, id, "guest:1", 10000));
    assert_false(contact_heard(contact, 999, "guest:1", 10000));
    assert_int_equal(contact->peer_count, CONTACT_PEERS_MAX);
    bench.configuration.members[3] =
        (struct configuration_member){.node_id = 4, .role = MEMBER_STANDBY, .address = "n4:1"};
    bench.configuration.count = 4;
    contact_members(contact, &bench.configuration, 10001);
    assert_non_null(contact_find(contact, 4));
    assert_true(contact_heard(contact, 500, "guest:1", 10000));
    assert_true(contact_heard(contact, 501, "guest:1", 10001 + CONTACT_GUEST_MS));
    assert_null(contact_find(contact, 500));
    assert_non_null(contact_find(contact, 1));
    /* Nobody new has to come for that: time is enough. */
    contact_update(contact, &bench.configuration, CONSENSUS_FOLLOWER, 0, 10001 + 2 * CONTACT_GUEST_MS);
    assert_non_null(contact_find(contact, 501));
    contact_update(contact, &bench.configuration, CONSENSUS_FOLLOWER, 0, 10002 + 2 * CONTACT_GUEST_MS);
    assert_null(contact_find(contact, 501));
    assert_non_null(contact_find(contact, 1));
    bench_close(&bench);
}

/* Goal: our clock counts unless the voters' median is more than ten seconds off it.
 * Method: offsets of two other voters and of a standby, who has no say. */
static void clock_follows_the_median_of_voters(void **state)
{
    struct bench bench;

    (void)state;
    bench_open(&bench, 3);
    struct contact *contact = &bench.contact;
    bench.configuration.members[3] =
        (struct configuration_member){.node_id = 4, .role = MEMBER_STANDBY, .address = "n4:1"};
    bench.configuration.count = 4;
    contact_members(contact, &bench.configuration, 10000);
    for (uint64_t id = 1; id <= 4; id++)
        if (id != SELF)
            contact_heard(contact, id, "n:1", 10000);
    contact_clock(contact, 1, 60000);
    contact_clock(contact, 2, 9000);
    contact_clock(contact, 4, 99000);
    assert_int_equal(contact_wall_offset(contact, &bench.configuration), 0); /* median 9,000 */
    contact_clock(contact, 2, 61000);
    assert_int_equal(contact_wall_offset(contact, &bench.configuration), 60000); /* of 0, 60,000 and 61,000 */
    contact_clock(contact, 1, -60000);
    contact_clock(contact, 2, -70000);
    assert_int_equal(contact_wall_offset(contact, &bench.configuration), -60000);
    bench.configuration.members[1].role = MEMBER_STANDBY; /* two voters left: the one nearer to us */
    assert_int_equal(contact_wall_offset(contact, &bench.configuration), 0);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leader_counts_who_was_heard),
        cmocka_unit_test(follower_is_in_contact_through_its_leader),
        cmocka_unit_test(hanging_member_is_out_of_a_leaders_reach),
        cmocka_unit_test(killed_leader_is_noticed_by_rank),
        cmocka_unit_test(guests_are_bounded_and_forgotten),
        cmocka_unit_test(clock_follows_the_median_of_voters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
