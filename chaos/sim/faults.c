/* What goes wrong, and when: a list drawn before the run begins, so that single faults can be left out
 * without changing the others.
 *
 * A fault lasts from at_ms to until_ms. What several faults share (the network's loss, who reaches whom) is
 * worked out anew from all active ones whenever one begins or ends. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/sim/fake_disk.h"
#include "chaos/sim/sim_internal.h"

#define STREAM_FAULTS   3u
#define WALL_JUMP_MAX_S 1800u /* requests are remembered for a day: clients' retries stay within */

struct kind {
    const char *name;
    void (*begin)(struct sim *self, struct fault *fault);
    void (*end)(struct sim *self, struct fault *fault); /* NULL: it ends by itself */
    bool network;                                       /* its effect is worked out by refresh_network() */
};

/* --- nodes
 * ------------------------------------------------------------------------------------------------------------
 */

static void crash(struct sim *self, struct fault *fault)
{
    keeper_crash(self, fault->node, fault->until_ms - fault->at_ms);
}

static void crash_all(struct sim *self, struct fault *fault)
{
    for (uint32_t i = 0; i < self->cluster->count; i++)
        keeper_crash(self, i, (fault->until_ms - fault->at_ms) * (fault->draws[1] % (i + 2)) / (i + 1));
}

static void stop(struct sim *self, struct fault *fault)
{
    keeper_stop(self, fault->node, fault->until_ms - fault->at_ms);
}

static void pause_begin(struct sim *self, struct fault *fault)
{
    if (cluster_running(self->cluster, fault->node))
        cluster_pause(self->cluster, fault->node, true);
}

static void pause_end(struct sim *self, struct fault *fault)
{
    if (cluster_running(self->cluster, fault->node))
        cluster_pause(self->cluster, fault->node, false);
    self->thawed = fault->node;
    self->thawed_until_ms = sim_now(self) + 50;
    clients_wake(self); /* a leader that thaws is asked before it hears anything */
}

static void clock_begin(struct sim *self, struct fault *fault)
{
    int64_t jump_ms = (int64_t)(fault->draws[1] % (2 * WALL_JUMP_MAX_S * 1000)) - WALL_JUMP_MAX_S * 1000;

    cluster_set_clock(self->cluster, fault->node, 800000 + (uint32_t)(fault->draws[2] % 400000), jump_ms);
}

static void clock_end(struct sim *self, struct fault *fault)
{
    cluster_set_clock(self->cluster, fault->node, 1000000, 0);
}

/* --- disks
 * ------------------------------------------------------------------------------------------------------------
 */

static void stall_begin(struct sim *self, struct fault *fault)
{
    cluster_hold_syncs(self->cluster, fault->node, true);
}

static void stall_end(struct sim *self, struct fault *fault)
{
    if (!self->cluster->nodes[fault->node].paused)
        cluster_hold_syncs(self->cluster, fault->node, false);
}

/* The power goes while much is queued and nothing of it is on the disk. */
static void stall_crash_end(struct sim *self, struct fault *fault)
{
    keeper_crash(self, fault->node, fault->draws[1] % self->config.restart_ms);
}

static void fail_sync(struct sim *self, struct fault *fault)
{
    cluster_fail_sync(self->cluster, fault->node);
}

static void full_begin(struct sim *self, struct fault *fault)
{
    cluster_fill_disk(self->cluster, fault->node, true);
}

static void full_end(struct sim *self, struct fault *fault)
{
    cluster_fill_disk(self->cluster, fault->node, false);
}

static void slow_begin(struct sim *self, struct fault *fault)
{
    cluster_slow_disk(self->cluster, fault->node, (uint32_t)(fault->draws[1] % 400));
}

static void slow_end(struct sim *self, struct fault *fault)
{
    cluster_slow_disk(self->cluster, fault->node, 0);
}

static void fail_small(struct sim *self, struct fault *fault)
{
    cluster_fail_small(self->cluster, fault->node);
}

static void wipe_state(struct sim *self, struct fault *fault)
{
    if (!keeper_all_whole(self) || !cluster_running(self->cluster, fault->node))
        return;
    keeper_crash(self, fault->node, fault->until_ms - fault->at_ms);
    cluster_wipe_store(self->cluster, fault->node);
    sim_note(self, "wiped-state", fault->node, 0, 0);
}

static void wipe_disk(struct sim *self, struct fault *fault)
{
    if (keeper_all_whole(self) && cluster_running(self->cluster, fault->node))
        keeper_lose(self, fault->node);
}

static void damage(struct sim *self, struct fault *fault, const char *folder, bool *damaged)
{
    char path[80];

    snprintf(path, sizeof path, "%s%s", self->cluster->nodes[fault->node].disk, folder);
    *damaged = fake_disk_damage(path, fault->draws[1]);
    sim_note(self, "flipped", fault->node, *damaged, 0);
}

static void flip_state_begin(struct sim *self, struct fault *fault)
{
    if (!keeper_all_whole(self) || !cluster_running(self->cluster, fault->node))
        return;
    damage(self, fault, consensus_state_folder(self->cluster->nodes[fault->node].consensus),
           &self->keeper[fault->node].damaged_state);
}

/* What nobody has read by now, an operator's scrub finds. */
static void flip_state_end(struct sim *self, struct fault *fault)
{
    struct keeper_node *keeper = &self->keeper[fault->node];

    if (!keeper->damaged_state)
        return;
    keeper->damaged_state = false;
    keeper_crash(self, fault->node, 0);
    cluster_wipe_store(self->cluster, fault->node);
}

static void flip_log_begin(struct sim *self, struct fault *fault)
{
    if (keeper_all_whole(self) && cluster_running(self->cluster, fault->node))
        damage(self, fault, "log", &self->keeper[fault->node].damaged_log);
}

/* A start reads all of the log: it tells, or the value was overwritten in the meantime. */
static void flip_log_end(struct sim *self, struct fault *fault)
{
    struct keeper_node *keeper = &self->keeper[fault->node];
    char path[80];

    if (!keeper->damaged_log)
        return;
    keeper_crash(self, fault->node, 0);
    snprintf(path, sizeof path, "%slog", self->cluster->nodes[fault->node].disk);
    keeper->damaged_log = fake_disk_is_damaged(path);
}

/* --- people
 * -----------------------------------------------------------------------------------------------------------
 */

static void member(struct sim *self, struct fault *fault)
{
    keeper_change_members(self, fault->draws[1], fault->draws[2]);
}

/* --- two changes of the membership, the second while nobody but one other node hears of it: whoever has it
 * must roll it back to the first, not to what was before
 * -------------------------------------------------------------- */

struct twice {
    struct sim *sim;
    struct fault *fault;
};

/* Voters become standbys, all others voters. */
static enum error_code flip_role(struct sim *self, uint32_t leader, uint64_t draw, consensus_done_fn *done,
                                 void *context)
{
    const struct model *model = &self->model;
    const struct consensus_member *member = &model->members[draw % model->member_count];
    enum member_role role = member->role == MEMBER_VOTER   ? MEMBER_STANDBY
                            : member->role == MEMBER_SPARE ? MEMBER_STANDBY
                                                           : MEMBER_VOTER;

    return consensus_member_assign(self->cluster->nodes[leader].consensus, member->node_id, role, done,
                                   context, NULL);
}

static void second_over(void *context, const struct result *result, const struct error *error)
{
    (void)context;
    (void)result;
    (void)error;
}

static void first_over(void *context, const struct result *result, const struct error *error)
{
    struct twice *twice = context;
    struct sim *self = twice->sim;
    struct fault *fault = twice->fault;

    (void)result;
    free(twice);
    if (error != NULL || self->calm || self->model.member_count == 0 ||
        flip_role(self, fault->node, fault->draws[2] >> 8, second_over, NULL) != ERROR_OK)
        return;
    uint32_t ally = CLUSTER_NODES_MAX;
    for (uint32_t i = 0; i < self->cluster->count; i++) { /* one that runs, by draw */
        uint32_t node = (uint32_t)((fault->draws[2] + i) % self->cluster->count);
        if (node != fault->node && cluster_running(self->cluster, node))
            ally = node;
    }
    fault->draws[2] = ally;
    sim_note(self, "cut-off", fault->node, ally, 0);
    fault->until_ms = sim_now(self) + 1 + fault->draws[1] % (2 * self->config.fault_lasts_ms);
    fault->active = self->links_changed = self->poked = true;
    if (fault <
        &self->faults[self->fault_first]) /* others, later in the list, have come and gone meanwhile */
        self->fault_first = (uint32_t)(fault - self->faults);
}

static void member_twice(struct sim *self, struct fault *fault)
{
    struct twice *twice = memory_zero(1, sizeof *twice);

    *twice = (struct twice){.sim = self, .fault = fault};
    fault->active = false;
    if (!cluster_running(self->cluster, fault->node) || self->model.member_count == 0 ||
        !keeper_may_shrink(self) ||
        flip_role(self, fault->node, fault->draws[1] >> 8, first_over, twice) != ERROR_OK)
        free(twice);
}

static void transfer(struct sim *self, struct fault *fault)
{
    int leader = cluster_leader(self->cluster);

    (void)fault;
    if (leader >= 0)
        cluster_begin_transfer(self->cluster, (uint32_t)leader);
}

static const struct kind kinds[] = {
    {.name = "loss", .network = true},
    {.name = "delay", .network = true},
    {.name = "double", .network = true},
    {.name = "partition", .network = true},
    {.name = "isolate", .network = true},
    {.name = "one-way", .network = true},
    {.name = "bridge", .network = true},
    {.name = "crash", .begin = crash},
    {.name = "crash-all", .begin = crash_all},
    {.name = "stop", .begin = stop},
    {.name = "pause", .begin = pause_begin, .end = pause_end},
    {.name = "clock", .begin = clock_begin, .end = clock_end},
    {.name = "stall", .begin = stall_begin, .end = stall_end},
    {.name = "stall-crash", .begin = stall_begin, .end = stall_crash_end},
    {.name = "fail-sync", .begin = fail_sync},
    {.name = "full", .begin = full_begin, .end = full_end},
    {.name = "slow-disk", .begin = slow_begin, .end = slow_end},
    {.name = "fail-mark", .begin = fail_small},
    {.name = "wipe-state", .begin = wipe_state},
    {.name = "wipe-disk", .begin = wipe_disk},
    {.name = "flip-state", .begin = flip_state_begin, .end = flip_state_end},
    {.name = "flip-log", .begin = flip_log_begin, .end = flip_log_end},
    {.name = "member", .begin = member},
    {.name = "member-cut", .begin = member, .network = true},
    {.name = "member-twice", .begin = member_twice, .network = true},
    {.name = "transfer", .begin = transfer},
};
#define KINDS (sizeof kinds / sizeof kinds[0])
_Static_assert(KINDS <= SIM_FAULT_KINDS, "bits of a mask");

const char *sim_fault_name(uint32_t kind)
{
    return kind < KINDS ? kinds[kind].name : NULL;
}

/* Half of the faults meet whoever leads. */
static uint32_t target(struct sim *self, const struct fault *fault)
{
    int leader = cluster_leader(self->cluster);

    if (leader >= 0 && (fault->draws[0] % 2 == 0 || kinds[fault->kind].begin == member ||
                        kinds[fault->kind].begin == member_twice))
        return (uint32_t)leader;
    return (uint32_t)(fault->draws[0] / 2 % self->cluster->count);
}

/* --- the network
 * ------------------------------------------------------------------------------------------------------ */

/* Does this fault keep frames from `from` to `to`? */
static bool cuts(const struct fault *fault, uint32_t from, uint32_t to)
{
    const char *name = kinds[fault->kind].name;
    uint64_t mask = fault->draws[1] >> 8;
    bool apart = (mask >> from & 1) != (mask >> to & 1);

    if (strcmp(name, "partition") == 0)
        return apart;
    if (strcmp(name, "member-cut") == 0) /* who asked for the change reaches some of the others only */
        return (from == fault->node && (mask >> to & 1) != 0) ||
               (to == fault->node && (mask >> from & 1) != 0);
    uint32_t ally = (uint32_t)fault->draws[2];
    if (strcmp(name, "member-twice") == 0)
        return (from == fault->node && to != ally) || (to == fault->node && from != ally);
    if (strcmp(name, "isolate") == 0)
        return from == fault->node || to == fault->node;
    if (strcmp(name, "one-way") == 0)
        return fault->draws[1] % 2 == 0 ? from == fault->node : to == fault->node;
    if (strcmp(name, "bridge") == 0)
        return apart && from != fault->node && to != fault->node;
    return false;
}

static void refresh_links(struct sim *self)
{
    for (uint32_t from = 0; from < self->cluster->count; from++)
        for (uint32_t to = 0; to < self->cluster->count; to++) {
            bool cut = false;
            for (uint32_t i = self->fault_first; i < self->fault_next && from != to && !cut; i++)
                cut = self->faults[i].active && cuts(&self->faults[i], from, to);
            if (cut != self->cut[from][to])
                cluster_cut(self->cluster, from, to, cut);
            self->cut[from][to] = cut;
        }
}

static void refresh_network(struct sim *self)
{
    struct fake_network_options *options = fake_network_options(cluster_network(self->cluster));

    options->loss_ppm = self->calm ? 0 : self->config.loss_ppm;
    options->double_ppm = self->calm ? 0 : self->config.double_ppm;
    options->delay_max_ms = self->config.delay_max_ms;
    for (uint32_t i = self->fault_first; i < self->fault_next; i++) {
        const struct fault *fault = &self->faults[i];
        if (!fault->active)
            continue;
        if (strcmp(kinds[fault->kind].name, "loss") == 0)
            options->loss_ppm += (uint32_t)(fault->draws[1] % 400000);
        if (strcmp(kinds[fault->kind].name, "double") == 0)
            options->double_ppm += (uint32_t)(fault->draws[1] % 400000);
        if (strcmp(kinds[fault->kind].name, "delay") == 0)
            options->delay_max_ms += (uint32_t)(fault->draws[1] % self->config.election_timeout_ms);
    }
    refresh_links(self);
}

/* --- the list
 * ---------------------------------------------------------------------------------------------------------
 */

static void add_fault(struct sim *self, struct random *random, uint64_t at_ms)
{
    uint32_t of = random_below(random, (uint32_t)__builtin_popcount(self->config.faults)), kind = 0;

    for (uint32_t left = of; (self->config.faults >> kind & 1) == 0 || left-- > 0;)
        kind++;
    struct fault *fault = &self->faults[self->fault_count];
    *fault = (struct fault){.at_ms = at_ms, .kind = kind, .node = CLUSTER_NODES_MAX};
    fault->until_ms = at_ms + 1 + random_scale(random, 1, 2 * self->config.fault_lasts_ms);
    for (uint32_t i = 0; i < 3; i++)
        fault->draws[i] = random_next(random) >> 8;
    fault->skipped = self->fault_count < self->options.skip_count && self->options.skip[self->fault_count];
    self->fault_count++;
}

void faults_draw(struct sim *self)
{
    struct random random = random_of(self->options.seed, STREAM_FAULTS);
    uint64_t end_ms = sim_now(self) + self->options.minutes * 60000, at_ms = sim_now(self);
    uint32_t most = (uint32_t)(self->options.minutes * 60000 / self->config.fault_every_ms * 4 + 16);

    self->faults = memory_zero(most, sizeof *self->faults);
    while (self->config.faults != 0 && self->fault_count < most) {
        at_ms += random_below(&random, 2 * self->config.fault_every_ms) + 1;
        if (at_ms >= end_ms)
            break;
        add_fault(self, &random, at_ms);
    }
}

uint64_t faults_next_ms(const struct sim *self)
{
    uint64_t at_ms = self->fault_next < self->fault_count ? self->faults[self->fault_next].at_ms : UINT64_MAX;

    for (uint32_t i = self->fault_first; i < self->fault_next; i++)
        if (self->faults[i].active && self->faults[i].until_ms < at_ms)
            at_ms = self->faults[i].until_ms;
    return at_ms;
}

static void begin(struct sim *self, struct fault *fault)
{
    const struct kind *kind = &kinds[fault->kind];

    if (fault->skipped)
        return;
    fault->begun = true;
    fault->node = target(self, fault);
    fault->active = kind->network || kind->end != NULL;
    self->report.met[fault->kind]++;
    self->report.faults++;
    sim_note(self, kind->name, fault->node, fault->until_ms - fault->at_ms, fault->draws[1]);
    if (kind->begin != NULL && !self->keeper[fault->node].gone)
        kind->begin(self, fault);
}

static void end(struct sim *self, struct fault *fault)
{
    const struct kind *kind = &kinds[fault->kind];

    fault->active = false;
    sim_note(self, "over", fault->node, fault->kind, 0);
    if (kind->end != NULL && !self->keeper[fault->node].gone)
        kind->end(self, fault);
}

void faults_run(struct sim *self)
{
    bool network = self->links_changed;

    self->links_changed = false;
    for (uint32_t i = self->fault_first; i < self->fault_next; i++)
        if (self->faults[i].active && self->faults[i].until_ms <= sim_now(self)) {
            end(self, &self->faults[i]);
            network = network || kinds[self->faults[i].kind].network;
        }
    while (self->fault_first < self->fault_next && !self->faults[self->fault_first].active)
        self->fault_first++;
    while (self->fault_next < self->fault_count && self->faults[self->fault_next].at_ms <= sim_now(self)) {
        struct fault *fault = &self->faults[self->fault_next++];
        begin(self, fault);
        network = network || kinds[fault->kind].network;
    }
    if (network)
        refresh_network(self);
}

void faults_end(struct sim *self)
{
    for (uint32_t i = self->fault_first; i < self->fault_next; i++)
        if (self->faults[i].active)
            end(self, &self->faults[i]);
    self->fault_next = self->fault_count;
    refresh_network(self);
    for (uint32_t i = 0; i < self->cluster->count; i++) {
        cluster_fill_disk(self->cluster, i, false);
        self->keeper[i].down_until_ms = 0;
        if (cluster_running(self->cluster, i))
            cluster_pause(self->cluster, i, false);
    }
}

void faults_print(const struct sim *self)
{
    fprintf(stderr, "faults:\n");
    for (uint32_t i = 0; i < self->fault_count; i++) {
        const struct fault *fault = &self->faults[i];
        if (fault->begun)
            fprintf(stderr, "%10.3f s  #%u %s on node %u for %.3f s\n", (double)fault->at_ms / 1000, i,
                    kinds[fault->kind].name, fault->node, (double)(fault->until_ms - fault->at_ms) / 1000);
    }
}
