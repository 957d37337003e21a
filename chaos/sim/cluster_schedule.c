/* One random schedule: crashes that lose what was not synced, partitions, lost, doubled and overtaking
 * frames, stopped disks and clocks, handovers, membership changes, snapshots with tiny thresholds and state
 * transfers, all decided by a seed. */
#include "chaos/sim/cluster.h"
#include "consensus/rules.h"

#define LIVENESS_MS 20000u
#define ROUNDS      150

static uint32_t any_node(struct cluster *cluster)
{
    return (uint32_t)cluster_random(cluster, cluster_count(cluster));
}

/* Mostly who leads, sometimes anybody: a follower must refuse. */
static uint32_t some_leader(struct cluster *cluster)
{
    int leader = cluster_leader(cluster);
    return leader < 0 || cluster_random(cluster, 4) == 0 ? any_node(cluster) : (uint32_t)leader;
}

static void propose_some(struct cluster *cluster)
{
    uint32_t node = some_leader(cluster);

    for (uint64_t left = 1 + cluster_random(cluster, 12); left > 0; left--)
        cluster_propose(cluster, node);
}

static void disturb_network(struct cluster *cluster)
{
    uint32_t a = any_node(cluster), b = any_node(cluster);

    switch (cluster_random(cluster, 5)) {
    case 0:
        cluster_partition(cluster, (uint32_t)cluster_random(cluster, 1u << cluster_count(cluster)));
        break;
    case 1:
        if (a != b)
            cluster_cut(cluster, a, b, true);
        break;
    case 2:
        fake_network_options(cluster_network(cluster))->loss_ppm = (uint32_t)cluster_random(cluster, 200000);
        break;
    default:
        cluster_mend(cluster);
        fake_network_options(cluster_network(cluster))->loss_ppm = 0;
        break;
    }
}

static void restart(struct cluster *cluster, uint32_t node)
{
    struct error error = {0};

    cluster_fill_disk(cluster, node, false);
    if (cluster_restart(cluster, node, &error) != ERROR_OK)
        cluster_report(cluster, "node %u does not start: %s", node, error.message);
}

/* Full and failing disks; stores that are lost, one at a time and where others have the state. */
static void disturb_disk(struct cluster *cluster, bool may_wipe)
{
    uint32_t node = any_node(cluster), others = 0;

    for (uint32_t i = 0; i < cluster_count(cluster); i++)
        others += i != node && cluster_running(cluster, i) && !cluster_status(cluster, i).state_lost;
    if (!cluster_running(cluster, node)) {
        if (may_wipe && others + 1 == cluster_count(cluster))
            cluster_wipe_store(cluster, node);
        restart(cluster, node);
        return;
    }
    switch (cluster_random(cluster, 5)) {
    case 0:
        cluster_fail_sync(cluster, node);
        break;
    case 1:
        cluster_fill_disk(cluster, node, true);
        break;
    default:
        cluster_fill_disk(cluster, node, false);
        break;
    }
}

/* A node that can't go on is started again, as its supervisor would. */
static void restart_dead(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster_count(cluster); i++)
        if (cluster_is_dead(cluster, i)) {
            cluster_crash(cluster, i);
            restart(cluster, i);
        }
}

static void disturb_node(struct cluster *cluster)
{
    uint32_t node = any_node(cluster);

    if (!cluster_running(cluster, node)) {
        restart(cluster, node);
        return;
    }
    switch (cluster_random(cluster, 9)) {
    case 0:
    case 1:
    case 2:
        cluster_crash(cluster, node);
        break;
    case 3:
        cluster_stop(cluster, node);
        break;
    case 4:
        cluster_hold_syncs(cluster, node, true);
        break;
    case 5:
        cluster_pause(cluster, node, true);
        break;
    default:
        cluster_pause(cluster, node, false);
        break;
    }
}

static void change_members(struct cluster *cluster)
{
    uint32_t leader = some_leader(cluster), node = any_node(cluster);

    if (!cluster_running(cluster, leader))
        return;
    enum error_code code = ERROR_OK;
    switch (cluster_random(cluster, 6)) {
    case 0:
        code = cluster_begin_add(cluster, leader, node);
        break;
    case 1:
        code = cluster_begin_assign(cluster, leader, node, MEMBER_STANDBY);
        break;
    case 2:
        code = cluster_begin_remove(cluster, leader, node);
        break;
    case 3:
        code = cluster_begin_transfer(cluster, leader);
        break;
    default:
        code = cluster_begin_assign(cluster, leader, node, MEMBER_VOTER);
        break;
    }
    (void)code; /* refused, most of the time */
}

static void hand_over(struct cluster *cluster)
{
    uint32_t leader = some_leader(cluster);

    if (!cluster_running(cluster, leader))
        return;
    enum error_code code = cluster_begin_transfer(cluster, leader);
    (void)code;
}

static void play_round(struct cluster *cluster, bool fixed_members)
{
    uint64_t dice = cluster_random(cluster, 100);

    if (dice < 55)
        propose_some(cluster);
    else if (dice < 65)
        cluster_read(cluster, some_leader(cluster));
    else if (dice < 75)
        disturb_network(cluster);
    else if (dice < 87)
        disturb_node(cluster);
    else if (dice < 90)
        disturb_disk(cluster, fixed_members);
    else if (!fixed_members)
        change_members(cluster);
    else
        hand_over(cluster);
    restart_dead(cluster);
    cluster_run(cluster, cluster_random(cluster, cluster_random(cluster, 4) == 0 ? 400 : 30));
}

/* After the last fault there must be a leader, and everything drains. */
static void heal(struct cluster *cluster)
{
    cluster_mend(cluster);
    fake_network_options(cluster_network(cluster))->loss_ppm = 0;
    fake_network_options(cluster_network(cluster))->double_ppm = 0;
    for (uint32_t i = 0; i < cluster_count(cluster); i++) {
        cluster_fill_disk(cluster, i, false);
        if (!cluster_running(cluster, i))
            restart(cluster, i);
        cluster_pause(cluster, i, false);
    }
    cluster_run(cluster, 100); /* a write that failed before is reported yet */
    restart_dead(cluster);
    cluster_await_leader(cluster, LIVENESS_MS);
    if (!cluster_settle(cluster, LIVENESS_MS))
        cluster_report(cluster, "not all nodes caught up");
    bool taken = false;
    for (int attempt = 0; attempt < 5 && !taken; attempt++) { /* a handover may be under way */
        uint64_t id = cluster_propose(cluster, cluster_await_leader(cluster, LIVENESS_MS));
        cluster_run(cluster, 1000);
        taken = id != 0 && cluster_fate(cluster, id) == CLUSTER_DONE;
    }
    if (!taken)
        cluster_report(cluster, "a healthy cluster did not take a proposal");
    cluster_run(cluster, 12000); /* whatever waits still is answered */
}

bool cluster_random_schedule(uint32_t rules_off, uint64_t seed, struct cluster_totals *totals)
{
    struct cluster_options options = {.seed = seed,
                                      .rules_off = rules_off,
                                      .snapshot_entries = seed % 3 == 0 ? 0 : 20 + (uint32_t)(seed % 40),
                                      .trailing_entries = (uint32_t)(seed % 17),
                                      .delay_min_ms = 1,
                                      .delay_max_ms = seed % 4 == 0 ? 60 : 4,
                                      .sync_max_ms = (uint32_t)(seed % 11),
                                      .double_ppm = seed % 2 == 0 ? 50000 : 0,
                                      .keep_order = seed % 5 == 0,
                                      .expect_fatal = true,
                                      .reserve_bytes = 1u << 20};
    bool fixed_members = seed % 5 == 2;
    struct cluster *cluster = cluster_new(&options);

    cluster_form(cluster, fixed_members ? 3 : 2 + (uint32_t)(seed % 4));
    if (seed % 3 != 1 && !fixed_members)
        cluster_join(cluster);
    for (int round = 0; round < ROUNDS && cluster_violation(cluster)[0] == '\0'; round++)
        play_round(cluster, fixed_members);
    if (cluster_violation(cluster)[0] == '\0')
        heal(cluster);
    totals->schedules++;
    totals->acknowledged += cluster_acknowledged(cluster);
    totals->installs += cluster_installs(cluster);
    totals->snapshots += cluster_snapshots(cluster);
    totals->reads += cluster_reads(cluster);
    totals->fatals += cluster_fatals(cluster);
    totals->wipes += cluster_wipes(cluster);
    return cluster_end(cluster);
}
