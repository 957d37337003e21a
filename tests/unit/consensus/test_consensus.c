/* What consensus.h promises, over whole nodes in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "chaos/sim/cluster.h"
#include "chaos/sim/fake_disk.h"

#define ELECTION_TIMEOUT_MS 300u

static struct cluster *form(uint32_t voters)
{
    struct cluster_options options = {.seed = 7, .keep_order = true};
    struct cluster *cluster = cluster_new(&options);

    cluster_form(cluster, voters);
    assert_string_equal(cluster_violation(cluster), "");
    return cluster;
}

static void done(struct cluster *cluster)
{
    assert_true(cluster_end(cluster));
}

static uint32_t other_than(uint32_t node)
{
    return node == 0 ? 1 : 0;
}

/* Goal: a single node takes writes and has them after kill -9.
 * Method: what was acknowledged before a power cut is compared by the cluster when it is applied again. */
static void single_node_survives_a_power_cut(void **state)
{
    struct cluster *cluster = form(1);

    (void)state;
    for (int i = 0; i < 50; i++) {
        cluster_propose(cluster, 0);
        cluster_run(cluster, 1);
    }
    cluster_run(cluster, 50);
    assert_int_equal(cluster_acknowledged(cluster), 50);
    uint64_t applied = cluster_applied(cluster, 0);
    cluster_crash(cluster, 0);
    assert_int_equal(cluster_restart(cluster, 0, NULL), ERROR_OK);
    cluster_await_leader(cluster, 1000);
    assert_true(cluster_settle(cluster, 1000));
    assert_true(cluster_applied(cluster, 0) > applied);
    done(cluster);
}

/* Goal: what is proposed in one turn goes as groups, not one by one, and is applied in order.
 * Method: 3,000 commands at once: three groups at least, not many more. */
static void proposals_of_a_turn_form_groups(void **state)
{
    struct cluster *cluster = form(3);
    uint32_t leader = cluster_await_leader(cluster, 1000);

    (void)state;
    uint64_t groups = cluster_status(cluster, leader).groups_total;
    for (int i = 0; i < 3000; i++)
        assert_true(cluster_propose(cluster, leader) > 0);
    assert_true(cluster_settle(cluster, 2000));
    cluster_run(cluster, 20);
    assert_int_equal(cluster_acknowledged(cluster), 3000);
    groups = cluster_status(cluster, leader).groups_total - groups;
    assert_true(groups >= 3 && groups <= 4);
    assert_int_equal(cluster_status(cluster, leader).proposals_waiting, 0);
    done(cluster);
}

/* Goal: the next group is submitted while the one before it is being synced.
 * Method: all disks stand still; two groups are in the log of all; they go on, and both commit. */
static void next_group_does_not_wait_for_the_sync(void **state)
{
    struct cluster *cluster = form(3);
    uint32_t leader = cluster_await_leader(cluster, 1000);

    (void)state;
    for (uint32_t i = 0; i < 3; i++)
        cluster_hold_syncs(cluster, i, true);
    uint64_t last = cluster_status(cluster, leader).last_index;
    uint64_t first = cluster_propose(cluster, leader);
    cluster_run(cluster, 10);
    uint64_t second = cluster_propose(cluster, leader);
    cluster_run(cluster, 10);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(cluster_status(cluster, i).last_index, last + 2);
    assert_int_equal(cluster_fate(cluster, first), CLUSTER_PENDING);
    for (uint32_t i = 0; i < 3; i++)
        cluster_hold_syncs(cluster, i, false);
    cluster_run(cluster, 20);
    assert_int_equal(cluster_fate(cluster, first), CLUSTER_DONE);
    assert_int_equal(cluster_fate(cluster, second), CLUSTER_DONE);
    done(cluster);
}

/* Goal: a write after a pause leaves at once; it doesn't wait for the next heartbeat.
 * Method: twenty writes with pauses of odd lengths; each is acknowledged within two round trips of at most 3
 * ms a way. */
static void first_write_after_a_pause_is_not_delayed(void **state)
{
    struct cluster *cluster = form(3);
    uint32_t leader = cluster_await_leader(cluster, 1000);

    (void)state;
    for (uint64_t i = 0; i < 20; i++) {
        cluster_run(cluster, 100 + i * 7);
        uint64_t id = cluster_propose(cluster, leader);
        cluster_run(cluster, 12);
        assert_int_equal(cluster_fate(cluster, id), CLUSTER_DONE);
    }
    done(cluster);
}

/* Goal: followers apply a write soon after it is acknowledged: they don't wait for the next heartbeat to
 * learn of its commit. Method: single writes with pauses; 10 ms later all have applied each. */
static void followers_learn_of_a_commit_soon(void **state)
{
    struct cluster *cluster = form(3);
    uint32_t leader = cluster_await_leader(cluster, 1000);

    (void)state;
    for (uint64_t i = 0; i < 20; i++) {
        cluster_run(cluster, 100 + i * 7);
        uint64_t id = cluster_propose(cluster, leader);
        while (cluster_fate(cluster, id) == CLUSTER_PENDING)
            cluster_run(cluster, 1);
        cluster_run(cluster, 10);
        for (uint32_t node = 0; node < 3; node++)
            assert_int_equal(cluster_applied(cluster, node), cluster_committed_at(cluster, id));
    }
    done(cluster);
}

/* Goal: a killed leader is noticed by its refused port and replaced long before the election timeout; the
 * epoch says "crash". Method: a power cut of the leader; the followers' connections are refused. */
static void killed_leader_is_replaced_quickly(void **state)
{
    struct cluster *cluster = form(3);
    uint32_t leader = cluster_await_leader(cluster, 1000);

    (void)state;
    cluster_crash(cluster, leader);
    uint64_t began_ms = cluster_now_ms(cluster);
    uint32_t next = cluster_await_leader(cluster, 2000);
    assert_int_not_equal(next, leader);
    assert_true(cluster_now_ms(cluster) - began_ms < ELECTION_TIMEOUT_MS / 2);
    assert_non_null(strstr(cluster_last_elected(cluster, next), "crash"));
    assert_int_equal(cluster_restart(cluster, leader, NULL), ERROR_OK);
    assert_true(cluster_settle(cluster, 2000));
    done(cluster);
}

/* Goal: a leader that is only cut off is replaced by the timers: the epoch says "election"; it steps down by
 * itself. Method: a partition; proposals to the old leader end as unknown or refused, never hang. */
static void isolated_leader_steps_down(void **state)
{
    struct cluster *cluster = form(3);
    uint32_t leader = cluster_await_leader(cluster, 1000);

    (void)state;
    cluster_partition(cluster, 1u << leader);
    uint64_t submitted = cluster_propose(cluster, leader);
    cluster_run(cluster, 100);
    assert_int_equal(cluster_fate(cluster, submitted), CLUSTER_PENDING);
    assert_int_equal(cluster_read(cluster, leader), 1);
    cluster_run(cluster, 10 * ELECTION_TIMEOUT_MS);
    struct consensus_status status = cluster_status(cluster, leader);
    assert_int_not_equal(status.role, CONSENSUS_LEADER);
    assert_false(status.quorum);
    assert_true(status.contact_lost_ms > 0);
    assert_int_equal(cluster_fate_code(cluster, submitted), ERROR_UNKNOWN);
    assert_int_equal(cluster_reads(cluster), 0);
    assert_int_equal(cluster_propose(cluster, leader), 0);
    uint32_t next = cluster_await_leader(cluster, 2000);
    assert_non_null(strstr(cluster_last_elected(cluster, next), "election"));
    cluster_mend(cluster);
    assert_true(cluster_settle(cluster, 2000));
    assert_int_equal(cluster_status(cluster, leader).contact_lost_ms, 0);
    done(cluster);
}

/* Goal: all nodes lose power at once; what was acknowledged is there, in order, on all.
 * Method: three rounds of writes and a cut in their midst. */
static void power_cut_of_all_loses_nothing_acknowledged(void **state)
{
    struct cluster_options options = {.seed = 11, .sync_max_ms = 5};
    struct cluster *cluster = cluster_new(&options);

    (void)state;
    cluster_form(cluster, 3);
    for (int round = 0; round < 3; round++) {
        uint32_t leader = cluster_await_leader(cluster, 3000);
        for (int i = 0; i < 100; i++) {
            cluster_propose(cluster, leader);
            cluster_run(cluster, (uint64_t)i % 2);
        }
        for (uint32_t i = 0; i < 3; i++)
            cluster_crash(cluster, i);
        for (uint32_t i = 0; i < 3; i++)
            assert_int_equal(cluster_restart(cluster, i, NULL), ERROR_OK);
    }
    cluster_await_leader(cluster, 3000);
    assert_true(cluster_settle(cluster, 3000));
    assert_true(cluster_acknowledged(cluster) > 30);
    done(cluster);
}

/* Goal: a follower refuses, and its message names who leads.
 * Method: a proposal, a read and a change asked of a follower. */
static void follower_refuses_and_names_the_leader(void **state)
{
    struct cluster *cluster = form(3);
    uint32_t leader = cluster_await_leader(cluster, 1000), follower = other_than(leader);
    struct error error = {0};

    (void)state;
    assert_int_equal(consensus_propose(cluster_node(cluster, follower), "x", 1, NULL, NULL, &error),
                     ERROR_NOT_LEADER);
    assert_non_null(strstr(error.message, cluster_address(cluster, leader)));
    assert_int_equal(consensus_confirm(cluster_node(cluster, follower), NULL, NULL, &error),
                     ERROR_NOT_LEADER);
    assert_int_equal(consensus_transfer(cluster_node(cluster, follower), 0, NULL, NULL, &error),
                     ERROR_NOT_LEADER);
    assert_int_equal(consensus_member_remove(cluster_node(cluster, follower), 1, NULL, NULL, &error),
                     ERROR_NOT_LEADER);
    done(cluster);
}

static void note_index(void *context, uint64_t index, const struct error *error)
{
    uint64_t *seen = context;
    *seen = error == NULL ? index : UINT64_MAX - (uint64_t)error->code;
}

/* Goal: a follower can wait for an index that a leader confirmed.
 * Method: a wait for the next index on a follower, one that comes and one that doesn't. */
static void follower_waits_for_an_index(void **state)
{
    struct cluster *cluster = form(3);
    uint32_t leader = cluster_await_leader(cluster, 1000), follower = other_than(leader);
    uint64_t next = cluster_applied(cluster, follower) + 1, seen = 0, never = 0;

    (void)state;
    assert_int_equal(consensus_wait(cluster_node(cluster, follower), next, cluster_now_ms(cluster) + 500,
                                    note_index, &seen, NULL),
                     ERROR_OK);
    assert_int_equal(consensus_wait(cluster_node(cluster, follower), next + 100,
                                    cluster_now_ms(cluster) + 500, note_index, &never, NULL),
                     ERROR_OK);
    cluster_run(cluster, 20);
    assert_int_equal(seen, 0);
    cluster_propose(cluster, leader);
    cluster_run(cluster, 50);
    assert_int_equal(seen, next);
    cluster_run(cluster, 500);
    assert_int_equal(never, UINT64_MAX - (uint64_t)ERROR_TIMEOUT);
    done(cluster);
}

/* Goal: who waits for an index that is applied already waits for nothing. (The simulator's seed 5.)
 * Method: a wait on an idle follower, where nothing is applied in the meantime. */
static void wait_for_an_applied_index_ends_at_once(void **state)
{
    struct cluster *cluster = form(3);
    uint32_t follower = other_than(cluster_await_leader(cluster, 1000));
    uint64_t applied = cluster_applied(cluster, follower), seen = 0;

    (void)state;
    assert_int_equal(consensus_wait(cluster_node(cluster, follower), applied, cluster_now_ms(cluster) + 500,
                                    note_index, &seen, NULL),
                     ERROR_OK);
    cluster_run(cluster, 5);
    assert_int_equal(seen, applied);
    assert_int_equal(cluster_applied(cluster, follower), applied);
    done(cluster);
}

/* --- handover
 * ---------------------------------------------------------------------------------------------------------------
 */

/* Goal: a handover takes milliseconds, says "transfer", and refuses nothing that the old leader had
 * submitted. Method: ten in a row, each in the middle of writes. */
static void handover_is_quick_and_loses_nothing(void **state)
{
    struct cluster *cluster = form(3);

    (void)state;
    for (int round = 0; round < 10; round++) {
        uint32_t leader = cluster_await_leader(cluster, 1000);
        uint64_t submitted = cluster_propose(cluster, leader);
        cluster_run(cluster, 1);
        uint64_t began_ms = cluster_now_ms(cluster);
        assert_int_equal(cluster_transfer(cluster, -1, 2000), ERROR_OK);
        assert_true(cluster_now_ms(cluster) - began_ms < 60);
        uint32_t next = cluster_await_leader(cluster, 1000);
        assert_int_not_equal(next, leader);
        assert_non_null(strstr(cluster_last_elected(cluster, next), "transfer"));
        assert_int_equal(cluster_fate(cluster, submitted), CLUSTER_DONE);
    }
    done(cluster);
}

/* Goal: while leadership is handed over proposals wait, and go on when it fails.
 * Method: the successor is named and then can't be reached; the leader leads on. */
static void failed_handover_leaves_the_leader_in_office(void **state)
{
    struct cluster *cluster = form(3);
    uint32_t leader = cluster_await_leader(cluster, 1000), successor = other_than(leader);

    (void)state;
    cluster_run(cluster, 50);
    cluster_cut(cluster, leader, successor, true);
    cluster_propose(cluster, leader); /* the successor lacks it */
    cluster_run(cluster, 10);
    assert_int_equal(cluster_transfer(cluster, (int)successor, 1), ERROR_TIMEOUT); /* not over yet */
    assert_true(cluster_status(cluster, leader).transferring);
    uint64_t waiting = cluster_propose(cluster, leader);
    cluster_run(cluster, 50);
    assert_int_equal(cluster_fate(cluster, waiting), CLUSTER_PENDING);
    cluster_run(cluster, 2 * ELECTION_TIMEOUT_MS);
    assert_false(cluster_status(cluster, leader).transferring);
    assert_int_equal(cluster_leader(cluster), (int)leader);
    assert_int_equal(cluster_fate(cluster, waiting), CLUSTER_DONE);
    cluster_mend(cluster);
    cluster_settle(cluster, 2000);
    done(cluster);
}

/* Goal: a handover to nobody, to oneself, to a stranger or to a silent voter is refused at once.
 * Method: each of them. */
static void handover_needs_a_reachable_successor(void **state)
{
    struct cluster *cluster = form(3);
    uint32_t leader = cluster_await_leader(cluster, 1000), silent = other_than(leader);
    struct consensus *consensus = cluster_node(cluster, leader);
    struct error error = {0};

    (void)state;
    assert_int_equal(consensus_transfer(consensus, cluster_id(cluster, leader), NULL, NULL, &error),
                     ERROR_INVALID);
    assert_int_equal(consensus_transfer(consensus, 4711, NULL, NULL, &error), ERROR_INVALID);
    cluster_crash(cluster, silent);
    cluster_run(cluster, 2 * ELECTION_TIMEOUT_MS);
    assert_int_equal(consensus_transfer(consensus, cluster_id(cluster, silent), NULL, NULL, &error),
                     ERROR_CONFLICT);
    assert_int_equal(cluster_restart(cluster, silent, NULL), ERROR_OK);
    done(cluster);
    cluster = form(1);
    assert_int_equal(consensus_transfer(cluster_node(cluster, 0), 0, NULL, NULL, &error), ERROR_CONFLICT);
    done(cluster);
}

/* --- membership
 * -------------------------------------------------------------------------------------------------------------
 */

/* Goal: each rule of the preflight refuses, and says why.
 * Method: one refused change after the other on a cluster of three. */
static void membership_preflight_refuses(void **state)
{
    struct cluster *cluster = form(3);
    uint32_t leader = cluster_await_leader(cluster, 1000), dead = other_than(leader);
    uint32_t fourth = cluster_join(cluster);
    struct consensus *consensus = cluster_node(cluster, leader);
    struct error error = {0};

    (void)state;
    cluster_run(cluster, 50);
    assert_int_equal(consensus_member_remove(consensus, cluster_id(cluster, leader), NULL, NULL, &error),
                     ERROR_CONFLICT);
    assert_int_equal(
        consensus_member_assign(consensus, cluster_id(cluster, leader), MEMBER_STANDBY, NULL, NULL, &error),
        ERROR_CONFLICT);
    assert_int_equal(consensus_member_remove(consensus, 4711, NULL, NULL, &error), ERROR_NOT_FOUND);
    assert_int_equal(consensus_member_assign(consensus, 4711, MEMBER_VOTER, NULL, NULL, &error),
                     ERROR_NOT_FOUND);
    assert_int_equal(consensus_member_add(consensus, 0, "x:1", NULL, NULL, &error), ERROR_INVALID);
    assert_int_equal(consensus_member_add(consensus, 4711, "", NULL, NULL, &error), ERROR_INVALID);
    assert_int_equal(consensus_member_add(consensus, 4711, cluster_address(cluster, 0), NULL, NULL, &error),
                     ERROR_CONFLICT);
    assert_int_equal(
        consensus_member_add(consensus, cluster_id(cluster, dead), "elsewhere:1", NULL, NULL, &error),
        ERROR_CONFLICT);
    /* A standby that never answered can't become voter. */
    cluster_cut(cluster, fourth, leader, true);
    assert_int_equal(cluster_add(cluster, fourth, 1000), ERROR_OK);
    cluster_run(cluster, 2 * ELECTION_TIMEOUT_MS);
    assert_int_equal(cluster_begin_assign(cluster, leader, fourth, MEMBER_VOTER), ERROR_CONFLICT);
    /* With one of three dead, the other is needed. */
    cluster_crash(cluster, dead);
    cluster_run(cluster, 2 * ELECTION_TIMEOUT_MS);
    uint32_t living = 3 - leader - dead;
    assert_int_equal(cluster_begin_remove(cluster, leader, living), ERROR_CONFLICT);
    assert_int_equal(cluster_remove(cluster, dead, 1000), ERROR_OK);
    assert_int_equal(cluster_status(cluster, leader).member_count, 3);
    done(cluster);
}

/* Goal: a change that holds already succeeds; while one is pending the next is refused.
 * Method: the same addition twice, and one beside another. */
static void repeated_change_succeeds_and_pending_one_excludes(void **state)
{
    struct cluster *cluster = form(2);
    uint32_t leader = cluster_await_leader(cluster, 1000), third = cluster_join(cluster);

    (void)state;
    assert_int_equal(cluster_add(cluster, third, 1000), ERROR_OK);
    uint64_t index = cluster_status(cluster, leader).configuration_index;
    assert_int_equal(cluster_add(cluster, third, 1000), ERROR_OK);
    assert_int_equal(cluster_status(cluster, leader).configuration_index, index);
    assert_int_equal(cluster_begin_remove(cluster, leader, third), ERROR_OK);
    assert_int_equal(cluster_begin_remove(cluster, leader, 1 - leader), ERROR_CONFLICT);
    cluster_run(cluster, 200);
    assert_int_equal(cluster_status(cluster, leader).member_count, 2);
    done(cluster);
}

/* --- snapshots and state transfer
 * --------------------------------------------------------------------------------------------- */

static struct cluster *form_with_snapshots(void)
{
    struct cluster_options options = {
        .seed = 5, .snapshot_entries = 20, .trailing_entries = 5, .keep_order = true};
    struct cluster *cluster = cluster_new(&options);

    cluster_form(cluster, 3);
    return cluster;
}

static void write_some(struct cluster *cluster, int count)
{
    uint32_t leader = cluster_await_leader(cluster, 2000);

    for (int i = 0; i < count; i++) {
        cluster_propose(cluster, leader);
        cluster_run(cluster, 3);
    }
}

/* Goal: a follower behind the log's head fetches the state, while it votes and the cluster works, and then
 * follows the log. Method: one is away while snapshots let the head go. */
static void follower_behind_the_head_fetches_the_state(void **state)
{
    struct cluster *cluster = form_with_snapshots();
    uint32_t leader = cluster_await_leader(cluster, 1000), away = other_than(leader);

    (void)state;
    cluster_crash(cluster, away);
    write_some(cluster, 100);
    assert_true(cluster_status(cluster, leader).first_index > 60);
    assert_int_equal(cluster_restart(cluster, away, NULL), ERROR_OK);
    write_some(cluster, 100);
    assert_true(cluster_settle(cluster, 3000));
    assert_true(cluster_installs(cluster) > 0);
    assert_int_equal(cluster_applied(cluster, away), cluster_applied(cluster, leader));
    cluster_crash(cluster, away); /* and starts again from what it fetched */
    assert_int_equal(cluster_restart(cluster, away, NULL), ERROR_OK);
    assert_true(cluster_settle(cluster, 3000));
    done(cluster);
}

/* Goal: a follower that was away catches up from the log alone, however many entries it lacks and however
 * large they are. Method: 5,000 small commands, more than a frame or a window holds, then 100 of 60,000
 * bytes, while one is away. */
static void follower_catches_up_from_the_log(void **state)
{
    struct cluster *cluster = form(3);
    uint32_t leader = cluster_await_leader(cluster, 1000), away = other_than(leader);

    (void)state;
    cluster_crash(cluster, away);
    for (int i = 0; i < 5000; i++)
        assert_true(cluster_propose(cluster, leader) > 0);
    cluster_run(cluster, 500);
    for (int i = 0; i < 100; i++)
        assert_true(cluster_propose_bytes(cluster, leader, 60000) > 0);
    cluster_run(cluster, 500);
    assert_int_equal(cluster_acknowledged(cluster), 5100);
    assert_int_equal(cluster_restart(cluster, away, NULL), ERROR_OK);
    assert_true(cluster_settle(cluster, 5000));
    assert_int_equal(cluster_installs(cluster), 0);
    assert_int_equal(cluster_applied(cluster, away), cluster_applied(cluster, leader));
    done(cluster);
}

/* Goal: a node whose store alone is lost keeps its log and vote, says so, and fetches the state; a sole voter
 * refuses to start. Method: the store is wiped while the node is down. */
static void lost_store_is_fetched_again(void **state)
{
    struct cluster *cluster = form_with_snapshots();
    uint32_t leader = cluster_await_leader(cluster, 1000), poor = other_than(leader);
    struct error error = {0};

    (void)state;
    write_some(cluster, 60);
    cluster_stop(cluster, poor);
    cluster_wipe_store(cluster, poor);
    assert_int_equal(cluster_restart(cluster, poor, &error), ERROR_OK);
    assert_true(cluster_status(cluster, poor).state_lost);
    write_some(cluster, 30);
    assert_true(cluster_settle(cluster, 5000));
    assert_false(cluster_status(cluster, poor).state_lost);
    done(cluster);

    struct cluster_options options = {.seed = 5, .snapshot_entries = 20, .trailing_entries = 5};
    cluster = cluster_new(&options);
    cluster_form(cluster, 1);
    write_some(cluster, 60);
    cluster_stop(cluster, 0);
    cluster_wipe_store(cluster, 0);
    assert_int_equal(cluster_restart(cluster, 0, &error), ERROR_CORRUPT);
    assert_non_null(strstr(error.message, "backup"));
    done(cluster);
}

/* --- trouble
 * ------------------------------------------------------------------------------------------------------------------
 */

/* Goal: a failed sync stops the node: nothing more is acknowledged by it, the others go on.
 * Method: the leader's disk fails once. */
static void failed_sync_stops_the_node(void **state)
{
    struct cluster_options options = {.seed = 3, .keep_order = true, .expect_fatal = true};
    struct cluster *cluster = cluster_new(&options);

    (void)state;
    cluster_form(cluster, 3);
    uint32_t leader = cluster_await_leader(cluster, 1000);
    fake_disk_fail_syncs(leader == 0 ? "/node0/" : leader == 1 ? "/node1/" : "/node2/", 1, ERROR_IO);
    uint64_t id = cluster_propose(cluster, leader);
    cluster_run(cluster, 100);
    assert_int_equal(cluster_fatals(cluster), 1);
    assert_int_not_equal(cluster_fate(cluster, id), CLUSTER_PENDING);
    assert_int_equal(cluster_propose(cluster, leader), 0);
    cluster_crash(cluster, leader);
    assert_int_not_equal(cluster_await_leader(cluster, 2000), leader);
    assert_int_equal(cluster_restart(cluster, leader, NULL), ERROR_OK);
    assert_true(cluster_settle(cluster, 2000));
    done(cluster);
}

/* Goal: a leader whose own disk stands still hands over, and nothing is lost.
 * Method: its log's worker is stopped while it has a write; the others go on. */
static void leader_with_a_stalled_disk_hands_over(void **state)
{
    struct cluster *cluster = form(3);
    uint32_t leader = cluster_await_leader(cluster, 1000);

    (void)state;
    cluster_hold_syncs(cluster, leader, true);
    uint64_t id = cluster_propose(cluster, leader);
    cluster_run(cluster, 2 * ELECTION_TIMEOUT_MS);
    assert_int_equal(cluster_leader(cluster), (int)leader);
    cluster_run(cluster, 3 * ELECTION_TIMEOUT_MS);
    uint32_t next = cluster_await_leader(cluster, 2000);
    assert_int_not_equal(next, leader);
    cluster_hold_syncs(cluster, leader, false);
    cluster_settle(cluster, 2000);
    assert_int_equal(cluster_fate(cluster, id), CLUSTER_DONE);
    done(cluster);
}

/* Goal: on a full disk a leader refuses writes, keeps office and reads, and takes writes again when there is
 * space. Method: the disk of all three says it is full, and later that it isn't. */
static void full_disk_refuses_writes_until_there_is_space(void **state)
{
    struct cluster_options options = {.seed = 3, .keep_order = true, .reserve_bytes = 1 << 20};
    struct cluster *cluster = cluster_new(&options);

    (void)state;
    cluster_form(cluster, 3);
    uint32_t leader = cluster_await_leader(cluster, 1000);
    fake_disk_space("/node", 4096);
    cluster_run(cluster, 1000);
    assert_true(cluster_status(cluster, leader).disk_full);
    assert_int_equal(cluster_propose(cluster, leader), 0);
    assert_int_equal(cluster_leader(cluster), (int)leader);
    assert_int_equal(cluster_read(cluster, leader), 1);
    cluster_run(cluster, 100);
    assert_int_equal(cluster_reads(cluster), 1);
    fake_disk_space("/node", UINT64_MAX);
    cluster_run(cluster, 1000);
    uint64_t id = cluster_propose(cluster, leader);
    cluster_run(cluster, 100);
    assert_int_equal(cluster_fate(cluster, id), CLUSTER_DONE);
    done(cluster);
}

static const char *folder_of(uint32_t node)
{
    static const char *const folders[] = {"/node0", "/node1", "/node2"};
    return folders[node];
}

/* Goal: a leader with a full disk hands over while a majority of the others has space, and stays when none
 * has: another one could commit nothing, and would lose the reads too.
 * Method: the leader's disk alone is full; then also one of the others. */
static void leader_with_a_full_disk_hands_over_to_a_majority_with_space(void **state)
{
    struct cluster_options options = {.seed = 3, .keep_order = true, .reserve_bytes = 1 << 20};
    struct cluster *cluster = cluster_new(&options);

    (void)state;
    cluster_form(cluster, 3);
    uint32_t full = cluster_await_leader(cluster, 1000);
    fake_disk_space(folder_of(full), 4096);
    cluster_run(cluster, 2 * ELECTION_TIMEOUT_MS);
    assert_int_equal(cluster_leader(cluster), (int)full);
    cluster_run(cluster, 3 * ELECTION_TIMEOUT_MS);
    uint32_t next = cluster_await_leader(cluster, 2000), third = 3 - full - next;
    assert_int_not_equal(next, full);
    uint64_t id = cluster_propose(cluster, next);
    cluster_run(cluster, 1000);
    assert_int_equal(cluster_fate(cluster, id), CLUSTER_DONE);
    fake_disk_space(folder_of(next), 4096);
    uint64_t term = cluster_status(cluster, next).term;
    cluster_run(cluster, 20 * ELECTION_TIMEOUT_MS);
    assert_int_equal(cluster_leader(cluster), (int)next);
    assert_int_equal(cluster_status(cluster, next).term, term);
    assert_int_equal(cluster_propose(cluster, next), 0);
    fake_disk_space(folder_of(full), UINT64_MAX);
    cluster_run(cluster, 5 * ELECTION_TIMEOUT_MS);
    assert_int_not_equal(cluster_await_leader(cluster, 2000), next);
    fake_disk_space(folder_of(next), UINT64_MAX);
    fake_disk_space(folder_of(third), UINT64_MAX);
    assert_true(cluster_settle(cluster, 5000));
    done(cluster);
}

/* Goal: closing answers all that waits, each once.
 * Method: a submitted and a waiting proposal on a leader whose disk and peers stand still. */
static void closing_answers_everything(void **state)
{
    struct cluster *cluster = form(3);
    uint32_t leader = cluster_await_leader(cluster, 1000);

    (void)state;
    cluster_partition(cluster, 1u << leader);
    cluster_hold_syncs(cluster, leader, true);
    uint64_t submitted = cluster_propose(cluster, leader);
    cluster_run(cluster, 5);
    uint64_t waiting = cluster_propose(cluster, leader);
    cluster_crash(cluster, leader);
    assert_int_equal(cluster_fate_code(cluster, submitted), ERROR_UNKNOWN);
    assert_int_equal(cluster_fate_code(cluster, waiting), ERROR_CLOSED);
    assert_int_equal(cluster_restart(cluster, leader, NULL), ERROR_OK);
    cluster_mend(cluster);
    cluster_settle(cluster, 2000);
    done(cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_node_survives_a_power_cut),
        cmocka_unit_test(proposals_of_a_turn_form_groups),
        cmocka_unit_test(next_group_does_not_wait_for_the_sync),
        cmocka_unit_test(first_write_after_a_pause_is_not_delayed),
        cmocka_unit_test(followers_learn_of_a_commit_soon),
        cmocka_unit_test(killed_leader_is_replaced_quickly),
        cmocka_unit_test(isolated_leader_steps_down),
        cmocka_unit_test(power_cut_of_all_loses_nothing_acknowledged),
        cmocka_unit_test(follower_refuses_and_names_the_leader),
        cmocka_unit_test(follower_waits_for_an_index),
        cmocka_unit_test(wait_for_an_applied_index_ends_at_once),
        cmocka_unit_test(handover_is_quick_and_loses_nothing),
        cmocka_unit_test(failed_handover_leaves_the_leader_in_office),
        cmocka_unit_test(handover_needs_a_reachable_successor),
        cmocka_unit_test(membership_preflight_refuses),
        cmocka_unit_test(repeated_change_succeeds_and_pending_one_excludes),
        cmocka_unit_test(follower_behind_the_head_fetches_the_state),
        cmocka_unit_test(follower_catches_up_from_the_log),
        cmocka_unit_test(lost_store_is_fetched_again),
        cmocka_unit_test(failed_sync_stops_the_node),
        cmocka_unit_test(leader_with_a_stalled_disk_hands_over),
        cmocka_unit_test(full_disk_refuses_writes_until_there_is_space),
        cmocka_unit_test(leader_with_a_full_disk_hands_over_to_a_majority_with_space),
        cmocka_unit_test(closing_answers_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
