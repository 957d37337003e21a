/* The rules of README.md that need several nodes: each schedule (chaos/sim/cluster_scenarios.c) breaks
 * something when its rule is switched off, and nothing when it is on. The rules that one engine shows are in
 * test_engine.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chaos/sim/cluster.h"
#include "consensus/rules.h"

static void bites(const char *name, uint32_t rule)
{
    const struct cluster_scenario *scenario = cluster_scenario_find(name);

    assert_non_null(scenario);
    assert_int_equal(scenario->rule, rule);
    assert_int_equal(cluster_outcome(scenario->play, 0, 1), CLUSTER_HELD);
    assert_int_not_equal(cluster_outcome(scenario->play, rule, 1), CLUSTER_HELD);
}

/* Goal: R1: after a restart of stores that have applied everything, the membership can change.
 * Method: a change, a clean stop of all, a start of all, another change. */
static void membership_changes_after_a_restart(void **state)
{
    (void)state;
    bites("change-after-restart", RULE_TWO_CURSORS);
}

/* Goal: R2: a node applies nothing that its own log could lose.
 * Method: a follower's disk stands still while the others commit. */
static void nothing_is_applied_before_it_is_durable_here(void **state)
{
    (void)state;
    bites("stalled-disk", RULE_APPLY_DURABLE);
}

/* Goal: R3: a follower acknowledges what is synced, not what is queued behind it.
 * Method: its disk finishes the first of two writes, then the power is cut. */
static void queued_writes_are_not_acknowledged(void **state)
{
    (void)state;
    bites("half-synced-follower", RULE_CLAIM_DURABLE);
}

/* Goal: R6: a sole voter that comes back writes in a new term, so that its standby can tell old entries from
 * new ones. Method: a power cut between sending and syncing. */
static void sole_voter_leads_in_a_new_term(void **state)
{
    (void)state;
    bites("sole-voter-dies", RULE_SOLE_VOTER_TERM);
}

/* Goal: R7: who waits for an index gets the answer of his own entry only.
 * Method: another leader's entry takes the place of an isolated leader's proposal. */
static void overwritten_proposal_is_refused(void **state)
{
    (void)state;
    bites("overwritten-proposal", RULE_ONE_CHANGE);
}

/* Goal: R8: a leader changes nothing before its own term has committed something (hazard 2).
 * Method: the schedule in which two memberships commit different data. */
static void unready_leader_changes_nothing(void **state)
{
    (void)state;
    bites("two-memberships", RULE_READINESS);
}

/* Goal: R11: a voter that doesn't know yet that it is one votes.
 * Method: the only voter dies after it has written its peer's promotion and before the peer hears of it. */
static void unknowing_voter_votes(void **state)
{
    (void)state;
    bites("dies-while-promoting", RULE_ALL_VOTE);
}

/* Goal: R13: a configuration that its leader can lose is with nobody else.
 * Method: a leader of two demotes the other, and the power is cut before its own disk has it. */
static void unsynced_configuration_does_not_leave(void **state)
{
    (void)state;
    bites("dies-while-demoting", RULE_CHANGE_SYNCED);
}

/* Goal: a read waits for answers to a question that was asked after it began.
 * Method: a paused leader (hazard 13) that thaws. */
static void thawed_leader_gives_no_stale_read(void **state)
{
    (void)state;
    bites("read-after-thaw", RULE_NEW_CONFIRMATION);
}

/* Goal: R5: where a change is taken back, the one before it holds.
 * Method: two changes reach a follower of whom it can't know that the first is committed; the second is
 * overwritten by a leader that can't know it either. */
static void rolled_back_change_leaves_the_one_before(void **state)
{
    (void)state;
    bites("rolled-back-change", RULE_PENDING_CONFIGURATION);
}

/* Goal: R9: an answer to a term that has passed carries no index, which would be anybody's memory.
 * Method: a paused leader's append comes when another one leads. */
static void late_append_is_answered_without_an_index(void **state)
{
    (void)state;
    bites("late-append", RULE_VOTE_RESULTS);
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
        cmocka_unit_test(rolled_back_change_leaves_the_one_before),
        cmocka_unit_test(late_append_is_answered_without_an_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
