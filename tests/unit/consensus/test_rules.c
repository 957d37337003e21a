/* The rules of README.md that need several nodes: each schedule breaks something when its rule is switched
 * off, and nothing when it is on. The rules that one engine shows are in test_engine.c. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chaos/sim/cluster.h"
#include "consensus/rules.h"

static struct cluster *cluster_of(uint32_t rules_off, uint64_t seed)
{
    struct cluster_options options = {.seed = seed, .rules_off = rules_off, .keep_order = true};
    return cluster_new(&options);
}

static bool held(bool (*schedule)(uint32_t, uint64_t), uint32_t rules_off)
{
    return cluster_outcome(schedule, rules_off, 1) == CLUSTER_HELD;
}

/* Two nodes that don't lead. */
static void followers(uint32_t leader, uint32_t *first, uint32_t *second)
{
    *first = leader == 0 ? 1 : 0;
    *second = leader == 2 ? 1 : 2;
}

/* Runs until another node than this one is ready to lead. */
static uint32_t await_other_leader(struct cluster *cluster, uint32_t old)
{
    for (int i = 0; i < 400; i++) {
        cluster_run(cluster, 10);
        for (uint32_t node = 0; node < cluster_count(cluster); node++)
            if (node != old && cluster_status(cluster, node).ready)
                return node;
    }
    cluster_report(cluster, "no other node took office");
    return old;
}

/* --- R1
 * --------------------------------------------------------------------------------------------------------------
 */

static bool change_after_restart(uint32_t rules_off, uint64_t seed)
{
    struct cluster *cluster = cluster_of(rules_off, seed);

    cluster_form(cluster, 3);
    uint32_t standby = cluster_join(cluster);
    if (cluster_add(cluster, standby, 2000) != ERROR_OK)
        cluster_report(cluster, "the standby was not added");
    cluster_settle(cluster, 2000);
    for (uint32_t i = 0; i < cluster_count(cluster); i++)
        cluster_stop(cluster, i);
    for (uint32_t i = 0; i < cluster_count(cluster); i++)
        if (cluster_restart(cluster, i, NULL) != ERROR_OK)
            cluster_report(cluster, "node %u does not start", i);
    cluster_settle(cluster, 3000);
    if (cluster_remove(cluster, standby, 3000) != ERROR_OK)
        cluster_report(cluster, "the membership can't be changed any more");
    return cluster_end(cluster);
}

/* Goal: R1: after a restart of stores that have applied everything, the membership can change.
 * Method: a change, a clean stop of all, a start of all, another change. */
static void membership_changes_after_a_restart(void **state)
{
    (void)state;
    assert_true(held(change_after_restart, 0));
    assert_false(held(change_after_restart, RULE_TWO_CURSORS));
}

/* --- R2
 * --------------------------------------------------------------------------------------------------------------
 */

static bool stalled_disk(uint32_t rules_off, uint64_t seed)
{
    struct cluster *cluster = cluster_of(rules_off, seed);
    uint32_t slow, other;

    cluster_form(cluster, 3);
    uint32_t leader = cluster_await_leader(cluster, 2000);
    followers(leader, &slow, &other);
    cluster_hold_syncs(cluster, slow, true);
    cluster_propose(cluster, leader);
    cluster_run(cluster, 200);
    struct consensus_status status = cluster_status(cluster, slow);
    if (status.commit_index <= status.durable_index)
        cluster_report(cluster, "the schedule doesn't bite");
    if (status.applied_index > status.durable_index)
        cluster_report(cluster, "applied %" PRIu64 ", a power cut would leave a log that ends at %" PRIu64,
                       status.applied_index, status.durable_index);
    cluster_crash(cluster, slow);
    if (cluster_restart(cluster, slow, NULL) != ERROR_OK)
        cluster_report(cluster, "does not start again");
    cluster_settle(cluster, 2000);
    return cluster_end(cluster);
}

/* Goal: R2: a node applies nothing that its own log could lose.
 * Method: a follower's disk stands still while the others commit. */
static void nothing_is_applied_before_it_is_durable_here(void **state)
{
    (void)state;
    assert_true(held(stalled_disk, 0));
    assert_false(held(stalled_disk, RULE_APPLY_DURABLE));
}

/* --- R3
 * --------------------------------------------------------------------------------------------------------------
 */

static bool half_synced_follower(uint32_t rules_off, uint64_t seed)
{
    struct cluster *cluster = cluster_of(rules_off, seed);
    uint32_t half, away;

    cluster_form(cluster, 3);
    uint32_t leader = cluster_await_leader(cluster, 2000);
    followers(leader, &half, &away);
    cluster_partition(cluster, 1u << away);
    cluster_hold_syncs(cluster, half, true);
    cluster_propose(cluster, leader);
    cluster_run(cluster, 20);
    uint64_t second = cluster_propose(cluster, leader);
    cluster_run(cluster, 20);
    cluster_run_syncs(cluster, half, 1); /* the first write; the second has gathered behind it */
    cluster_run(cluster, 20);
    if (cluster_fate(cluster, second) == CLUSTER_DONE)
        cluster_report(cluster, "acknowledged by a node that has not synced it");
    cluster_crash(cluster, half);
    cluster_partition(cluster, 1u << leader);
    if (cluster_restart(cluster, half, NULL) != ERROR_OK)
        cluster_report(cluster, "does not start again");
    cluster_run(cluster, 2000);
    return cluster_end(cluster);
}

/* Goal: R3: a follower acknowledges what is synced, not what is queued behind it.
 * Method: its disk finishes the first of two writes, then the power is cut. */
static void queued_writes_are_not_acknowledged(void **state)
{
    (void)state;
    assert_true(held(half_synced_follower, 0));
    assert_false(held(half_synced_follower, RULE_CLAIM_DURABLE));
}

/* --- R6
 * --------------------------------------------------------------------------------------------------------------
 */

static bool sole_voter_dies(uint32_t rules_off, uint64_t seed)
{
    struct cluster *cluster = cluster_of(rules_off, seed);

    cluster_form(cluster, 1);
    uint32_t standby = cluster_join(cluster);
    cluster_add(cluster, standby, 2000);
    cluster_settle(cluster, 2000);
    cluster_hold_syncs(cluster, 0, true);
    cluster_propose(cluster, 0);
    cluster_run(cluster, 50); /* the standby has it, the leader's disk does not */
    cluster_crash(cluster, 0);
    if (cluster_restart(cluster, 0, NULL) != ERROR_OK)
        cluster_report(cluster, "does not start again");
    cluster_await_leader(cluster, 2000);
    cluster_propose(cluster, 0);
    cluster_propose(cluster, 0);
    if (!cluster_settle(cluster, 3000))
        cluster_report(cluster, "the standby does not follow");
    return cluster_end(cluster);
}

/* Goal: R6: a sole voter that comes back writes in a new term, so that its standby can tell old entries from
 * new ones. Method: a power cut between sending and syncing. */
static void sole_voter_leads_in_a_new_term(void **state)
{
    (void)state;
    assert_true(held(sole_voter_dies, 0));
    assert_false(held(sole_voter_dies, RULE_SOLE_VOTER_TERM));
}

/* --- R7
 * --------------------------------------------------------------------------------------------------------------
 */

static bool overwritten_proposal(uint32_t rules_off, uint64_t seed)
{
    struct cluster *cluster = cluster_of(rules_off, seed);

    cluster_form(cluster, 3);
    uint32_t old = cluster_await_leader(cluster, 2000);
    cluster_partition(cluster, 1u << old);
    uint64_t lost = cluster_propose(cluster, old);
    cluster_run(cluster, 10);
    cluster_propose(cluster, await_other_leader(cluster, old));
    cluster_run(cluster, 20);
    cluster_mend(cluster);
    cluster_settle(cluster, 2000);
    if (lost == 0 || cluster_fate(cluster, lost) == CLUSTER_PENDING)
        cluster_report(cluster, "the proposal was not answered");
    if (cluster_fate_code(cluster, lost) == ERROR_OK)
        cluster_report(cluster, "an overwritten proposal was acknowledged");
    return cluster_end(cluster);
}

/* Goal: R7: who waits for an index gets the answer of his own entry only.
 * Method: another leader's entry takes the place of an isolated leader's proposal. */
static void overwritten_proposal_is_refused(void **state)
{
    (void)state;
    assert_true(held(overwritten_proposal, 0));
    assert_false(held(overwritten_proposal, RULE_ONE_CHANGE));
}

/* --- R8, hazard 2
 * ------------------------------------------------------------------------------------------------------ */

/* Runs until one of these nodes leads, ready or not. */
static int await_any_leader(struct cluster *cluster, uint32_t mask)
{
    for (int i = 0; i < 3000; i++) {
        cluster_run(cluster, 1);
        for (uint32_t node = 0; node < cluster_count(cluster); node++)
            if ((mask >> node & 1) != 0 && cluster_status(cluster, node).role == CONSENSUS_LEADER)
                return (int)node;
    }
    return -1;
}

/* Four voters and a standby; the old leader makes the standby a voter, where no other hears it; a new one,
 * not ready yet, removes the old one. Both memberships have a majority of their own. */
static bool two_memberships(uint32_t rules_off, uint64_t seed)
{
    struct cluster *cluster = cluster_of(rules_off, seed);

    cluster_form(cluster, 4);
    uint32_t fifth = cluster_join(cluster);
    cluster_add(cluster, fifth, 2000);
    cluster_settle(cluster, 2000);
    cluster_run(cluster, 50);
    uint32_t old = cluster_await_leader(cluster, 2000), all = (1u << 5) - 1;
    uint32_t old_side = 1u << old | 1u << fifth;
    cluster_partition(cluster, old_side);
    if (cluster_begin_assign(cluster, old, fifth, MEMBER_VOTER) != ERROR_OK)
        cluster_report(cluster, "the fifth was not promoted");
    cluster_run(cluster, 20);
    int now = await_any_leader(cluster, all & ~old_side);
    if (now < 0) {
        cluster_report(cluster, "no new leader");
        return cluster_end(cluster);
    }
    /* One of its voters hears nothing more of it. */
    uint32_t deaf = 0;
    while (deaf == (uint32_t)now || (old_side >> deaf & 1) != 0)
        deaf++;
    cluster_partition(cluster, old_side | 1u << deaf);
    cluster_begin_remove(cluster, (uint32_t)now, old);
    cluster_propose(cluster, (uint32_t)now);
    int other = await_any_leader(cluster, old_side);
    for (int i = 0; i < 5 && other >= 0; i++) {
        cluster_propose(cluster, (uint32_t)other);
        cluster_propose(cluster, (uint32_t)now);
        cluster_run(cluster, 50);
    }
    cluster_mend(cluster);
    cluster_run(cluster, 3000);
    return cluster_end(cluster);
}

/* Goal: R8: a leader changes nothing before its own term has committed something (hazard 2).
 * Method: the schedule in which two memberships commit different data. */
static void unready_leader_changes_nothing(void **state)
{
    (void)state;
    assert_true(held(two_memberships, 0));
    assert_false(held(two_memberships, RULE_READINESS));
}

/* --- R11, R13
 * -------------------------------------------------------------------------------------------------------------
 */

static bool dies_while_promoting(uint32_t rules_off, uint64_t seed)
{
    struct cluster *cluster = cluster_of(rules_off, seed);

    cluster_form(cluster, 1);
    uint32_t standby = cluster_join(cluster);
    cluster_add(cluster, standby, 2000);
    cluster_settle(cluster, 2000);
    cluster_run(cluster, 50);
    cluster_cut(cluster, 0, standby, true);
    if (cluster_begin_assign(cluster, 0, standby, MEMBER_VOTER) != ERROR_OK)
        cluster_report(cluster, "the promotion did not begin");
    cluster_run(cluster, 20);
    cluster_crash(cluster, 0);
    cluster_mend(cluster);
    if (cluster_restart(cluster, 0, NULL) != ERROR_OK)
        cluster_report(cluster, "does not start again");
    cluster_await_leader(cluster, 10000);
    return cluster_end(cluster);
}

/* Goal: R11: a voter that doesn't know yet that it is one votes.
 * Method: the only voter dies after it has written its peer's promotion and before the peer hears of it. */
static void unknowing_voter_votes(void **state)
{
    (void)state;
    assert_true(held(dies_while_promoting, 0));
    assert_false(held(dies_while_promoting, RULE_ALL_VOTE));
}

static bool dies_while_demoting(uint32_t rules_off, uint64_t seed)
{
    struct cluster *cluster = cluster_of(rules_off, seed);

    cluster_form(cluster, 2);
    cluster_run(cluster, 50);
    uint32_t leader = cluster_await_leader(cluster, 2000);
    cluster_hold_syncs(cluster, leader, true);
    if (cluster_begin_assign(cluster, leader, 1 - leader, MEMBER_STANDBY) != ERROR_OK)
        cluster_report(cluster, "the demotion did not begin");
    cluster_run(cluster, 50);
    cluster_crash(cluster, leader);
    if (cluster_restart(cluster, leader, NULL) != ERROR_OK)
        cluster_report(cluster, "does not start again");
    cluster_await_leader(cluster, 10000);
    return cluster_end(cluster);
}

/* Goal: R13: a configuration that its leader can lose is with nobody else.
 * Method: a leader of two demotes the other, and the power is cut before its own disk has it. */
static void unsynced_configuration_does_not_leave(void **state)
{
    (void)state;
    assert_true(held(dies_while_demoting, 0));
    assert_false(held(dies_while_demoting, RULE_CHANGE_SYNCED));
}

/* --- reads
 * ----------------------------------------------------------------------------------------------------------------
 */

/* A leader is paused with a round on its way; another takes office and acknowledges a write; the first one
 * wakes, is asked for a read at once, and then hears the answers to its old round. */
static bool read_after_thaw(uint32_t rules_off, uint64_t seed)
{
    struct cluster *cluster = cluster_of(rules_off, seed);

    cluster_form(cluster, 3);
    uint32_t old = cluster_await_leader(cluster, 2000);
    cluster_run(cluster, 100);
    cluster_read(cluster, old);
    cluster_run(cluster, 1); /* asked */
    cluster_pause(cluster, old, true);
    uint64_t write = cluster_propose(cluster, await_other_leader(cluster, old));
    cluster_run(cluster, 50);
    if (write == 0 || cluster_fate(cluster, write) != CLUSTER_DONE)
        cluster_report(cluster, "the schedule doesn't bite: nothing was written");
    cluster_pause(cluster, old, false);
    if (cluster_read(cluster, old) == 0)
        cluster_report(cluster, "the schedule doesn't bite: the old leader knows better already");
    cluster_run(cluster, 2000);
    return cluster_end(cluster);
}

/* Goal: a read waits for answers to a question that was asked after it began.
 * Method: a paused leader (hazard 13) that thaws. */
static void thawed_leader_gives_no_stale_read(void **state)
{
    (void)state;
    assert_true(held(read_after_thaw, 0));
    assert_false(held(read_after_thaw, RULE_NEW_CONFIRMATION));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(membership_changes_after_a_restart),
        cmocka_unit_test(nothing_is_applied_before_it_is_durable_here),
        cmocka_unit_test(queued_writes_are_not_acknowledged),
        cmocka_unit_test(sole_voter_leads_in_a_new_term),
        cmocka_unit_test(overwritten_proposal_is_refused),
        cmocka_unit_test(unready_leader_changes_nothing),
        cmocka_unit_test(unknowing_voter_votes),
        cmocka_unit_test(unsynced_configuration_does_not_leave),
        cmocka_unit_test(thawed_leader_gives_no_stale_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
