/* Scripted schedules over whole nodes: each breaks something when its rule is switched off, and nothing when
 * it is on. Random schedules find most of these too, some of them once in thousands. */
#include <inttypes.h>
#include <string.h>

#include "base/arena.h"
#include "chaos/sim/cluster.h"
#include "consensus/message.h"
#include "consensus/rules.h"

#define MESSAGE_ARENA_BYTES (1024u * 1024u)

static struct cluster *cluster_of(uint32_t rules_off, uint64_t seed)
{
    struct cluster_options options = {.seed = seed, .rules_off = rules_off, .keep_order = true};
    return cluster_new(&options);
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

/* --- R5
 * ---------------------------------------------------------------------------------------------------------
 */

static void cut_from_others(struct cluster *cluster, uint32_t node, uint32_t but, bool cut)
{
    for (uint32_t i = 0; i < cluster_count(cluster); i++)
        if (i != node && i != but)
            cluster_cut(cluster, node, i, cut);
}

/* Nobody but `node` reaches anybody, so nobody else can be elected. */
static int elect(struct cluster *cluster, uint32_t node)
{
    for (uint32_t i = 0; i < cluster_count(cluster); i++)
        if (i != node)
            cut_from_others(cluster, i, node, true);
    return await_any_leader(cluster, 1u << node);
}

static bool until_last_index(struct cluster *cluster, uint32_t node, uint64_t index)
{
    for (int i = 0; i < 2000 && cluster_status(cluster, node).last_index < index; i++)
        cluster_run(cluster, 1);
    return cluster_status(cluster, node).last_index >= index;
}

/* Everybody forgets what is committed. */
static void restart_all(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster_count(cluster); i++)
        cluster_crash(cluster, i);
    for (uint32_t i = 0; i < cluster_count(cluster); i++)
        if (cluster_restart(cluster, i, NULL) != ERROR_OK)
            cluster_report(cluster, "node %u does not start again", i);
}

/* A follower gets two changes at once, and can't know that the first is committed; another leader, who
 * doesn't know it either, takes the second back. */
static bool rolled_back_change(uint32_t rules_off, uint64_t seed)
{
    struct cluster *cluster = cluster_of(rules_off, seed);

    cluster_form(cluster, 5);
    const uint32_t fifth = cluster_join(cluster), sixth = cluster_join(cluster);
    cluster_add(cluster, fifth, 2000);
    cluster_add(cluster, sixth, 2000);
    cluster_settle(cluster, 2000);
    cluster_run(cluster, 50);
    const uint32_t old = cluster_await_leader(cluster, 2000), late = old == 0 ? 1 : 0;
    if (cluster_begin_assign(cluster, old, fifth, MEMBER_VOTER) != ERROR_OK)
        cluster_report(cluster, "the first change did not begin");
    cluster_cut(cluster, old, late, true);
    cluster_run(cluster, 150); /* committed, and the sixth has heard of it */
    const uint64_t first = cluster_status(cluster, old).configuration_index;
    if (cluster_begin_assign(cluster, old, sixth, MEMBER_VOTER) != ERROR_OK)
        cluster_report(cluster, "the second change did not begin");
    cut_from_others(cluster, old, old, true);
    cluster_run(cluster, 50);
    restart_all(cluster);
    cluster_mend(cluster);
    if (elect(cluster, old) < 0)
        cluster_report(cluster, "the schedule doesn't bite: the old leader wasn't elected again");
    cut_from_others(cluster, old, late, true);
    if (!until_last_index(cluster, late, first + 1))
        cluster_report(cluster, "the schedule doesn't bite: the changes did not come");
    cluster_mend(cluster);
    cluster_partition(cluster, 1u << old | 1u << late);
    if (await_any_leader(cluster, ~(1u << old | 1u << late)) < 0)
        cluster_report(cluster, "the schedule doesn't bite: no other was elected");
    for (uint32_t i = 0; i < cluster_count(cluster); i++)
        if (i != old && i != late && cluster_status(cluster, i).role == CONSENSUS_LEADER)
            cluster_partition(cluster, 1u << i | 1u << late);
    cluster_run(cluster, 1000);
    cluster_mend(cluster);
    cluster_settle(cluster, 5000);
    return cluster_end(cluster);
}

/* --- R9
 * ---------------------------------------------------------------------------------------------------------
 */

struct late_append {
    struct cluster *cluster;
    struct fake_network_options *network;
    uint64_t leader, term; /* the old one */
    bool delay;
    uint32_t answers; /* to it, from a higher term */
};

/* The old leader's appends take long; what is answered to them is looked at. */
static bool watch_late_append(void *context, uint64_t from, uint64_t to, struct span payload)
{
    struct late_append *late = context;
    struct message message;
    struct arena arena;

    arena_init(&arena, MESSAGE_ARENA_BYTES);
    const bool known = message_decode(payload, &arena, &message, NULL) == ERROR_OK;
    arena_done(&arena);
    const bool slow = late->delay && known && message.kind == MESSAGE_APPEND && from == late->leader;
    late->network->delay_min_ms = slow ? 2500 : 1;
    late->network->delay_max_ms = slow ? 2600 : 3;
    if (!known || message.kind != MESSAGE_APPEND_RESULT || to != late->leader || message.term <= late->term)
        return true;
    late->answers++;
    if (message.append_result.last_index != 0)
        cluster_report(late->cluster, "an answer to a lower term carries index %" PRIu64,
                       message.append_result.last_index);
    return true;
}

/* A leader is paused with an append on its way, which comes when another one leads. */
static bool late_append(uint32_t rules_off, uint64_t seed)
{
    struct cluster_options options = {.seed = seed, .rules_off = rules_off};
    struct cluster *cluster = cluster_new(&options);
    struct late_append late = {.cluster = cluster, .network = fake_network_options(cluster_network(cluster))};

    cluster_form(cluster, 3);
    const uint32_t old = cluster_await_leader(cluster, 2000);
    late.leader = cluster_id(cluster, old);
    late.term = cluster_status(cluster, old).term;
    late.network->filter = watch_late_append;
    late.network->context = &late;
    late.delay = true;
    cluster_propose(cluster, old);
    cluster_run(cluster, 5);
    cluster_pause(cluster, old, true);
    late.delay = false;
    cluster_propose(cluster, await_other_leader(cluster, old));
    cluster_run(cluster, 4000);
    late.network->filter = NULL;
    if (late.answers == 0)
        cluster_report(cluster, "the schedule doesn't bite: nobody answered");
    cluster_pause(cluster, old, false);
    cluster_settle(cluster, 3000);
    return cluster_end(cluster);
}

/* --- all of them
 * ---------------------------------------------------------------------------------------------------------
 */

static const struct cluster_scenario scenarios[] = {
    {"rolled-back-change", RULE_PENDING_CONFIGURATION, rolled_back_change},
    {"late-append", RULE_VOTE_RESULTS, late_append},
    {"change-after-restart", RULE_TWO_CURSORS, change_after_restart},
    {"stalled-disk", RULE_APPLY_DURABLE, stalled_disk},
    {"half-synced-follower", RULE_CLAIM_DURABLE, half_synced_follower},
    {"sole-voter-dies", RULE_SOLE_VOTER_TERM, sole_voter_dies},
    {"overwritten-proposal", RULE_ONE_CHANGE, overwritten_proposal},
    {"two-memberships", RULE_READINESS, two_memberships},
    {"dies-while-promoting", RULE_ALL_VOTE, dies_while_promoting},
    {"dies-while-demoting", RULE_CHANGE_SYNCED, dies_while_demoting},
    {"read-after-thaw", RULE_NEW_CONFIRMATION, read_after_thaw},
};

const struct cluster_scenario *cluster_scenario_at(uint32_t position)
{
    return position < sizeof scenarios / sizeof scenarios[0] ? &scenarios[position] : NULL;
}

const struct cluster_scenario *cluster_scenario_find(const char *name)
{
    for (uint32_t i = 0; cluster_scenario_at(i) != NULL; i++)
        if (strcmp(scenarios[i].name, name) == 0)
            return &scenarios[i];
    return NULL;
}
