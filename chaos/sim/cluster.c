/* Nodes and time. */
#include "chaos/sim/cluster.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/hash.h"
#include "chaos/sim/cluster_disk.h"
#include "chaos/sim/cluster_internal.h"
#include "consensus/consensus_internal.h"

#define ELECTION_TIMEOUT_MS 300u
#define HEARTBEAT_MS        30u

static struct cluster *cluster; /* the one that exists: for random bytes */

uint64_t cluster_random(struct cluster *self, uint64_t limit)
{
    self->random ^= self->random << 13;
    self->random ^= self->random >> 7;
    self->random ^= self->random << 17;
    return limit == 0 ? 0 : (self->random >> 11) % limit;
}

/* Ids come from a counter here, so that a seed plays the same schedule again: linked with --wrap. */
void __wrap_random_bytes(void *out, size_t length);
void __wrap_random_id(char out[33]);

void __wrap_random_bytes(void *out, size_t length)
{
    uint8_t *bytes = out;
    uint64_t value = cluster == NULL ? 1 : ++cluster->ids * 0x9e3779b97f4a7c15u;

    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(value >> (8 * (i % 8)));
}

void __wrap_random_id(char out[33])
{
    uint8_t bytes[16];

    __wrap_random_bytes(bytes, sizeof bytes);
    hex_encode(bytes, sizeof bytes, out);
}

/* --- clocks: the world's own, and each node's, which may drift and jump
 * ------------------------------------------- */

static uint64_t monotonic_ms(void *context)
{
    return ((struct cluster *)context)->now_ms;
}

static uint64_t wall_ms(void *context)
{
    return CLUSTER_WALL_MS + ((struct cluster *)context)->now_ms;
}

static struct clock cluster_clock(struct cluster *self)
{
    return (struct clock){.monotonic_ms = monotonic_ms, .wall_ms = wall_ms, .context = self};
}

static uint64_t node_ms(void *context)
{
    const struct cluster_node *node = context;
    return node->clock_ms + (node->cluster->now_ms - node->clock_set_ms) * node->rate_ppm / 1000000;
}

static uint64_t node_wall_ms(void *context)
{
    const struct cluster_node *node = context;
    return (uint64_t)((int64_t)CLUSTER_WALL_MS + (int64_t)node_ms(context) + node->wall_offset_ms);
}

static struct clock node_clock(struct cluster_node *node)
{
    return (struct clock){.monotonic_ms = node_ms, .wall_ms = node_wall_ms, .context = node};
}

/* When the node's clock will say `at_ms`. */
static uint64_t world_ms(const struct cluster_node *node, uint64_t at_ms)
{
    uint64_t rate = node->rate_ppm;

    if (at_ms == CONSENSUS_NEVER)
        return CONSENSUS_NEVER;
    return at_ms <= node->clock_ms
               ? node->clock_set_ms
               : node->clock_set_ms + ((at_ms - node->clock_ms) * 1000000 + rate - 1) / rate;
}

void cluster_set_clock(struct cluster *self, uint32_t number, uint32_t rate_ppm, int64_t wall_offset_ms)
{
    struct cluster_node *node = &self->nodes[number];
    uint64_t now_ms = node_ms(node);

    node->clock_ms = now_ms;
    node->clock_set_ms = self->now_ms;
    node->rate_ppm = rate_ppm;
    node->wall_offset_ms = wall_offset_ms;
    node->timer_ms = world_ms(node, node->timer_asked_ms);
}

uint64_t cluster_node_ms(const struct cluster *self, uint32_t node)
{
    struct cluster_node copy = self->nodes[node];
    return node_ms(&copy);
}

void cluster_report(struct cluster *self, const char *format, ...)
{
    va_list arguments;

    if (self->violation[0] != '\0')
        return;
    va_start(arguments, format);
    vsnprintf(self->violation, sizeof self->violation, format, arguments);
    va_end(arguments);
}

const char *cluster_violation(const struct cluster *self)
{
    return self->violation;
}

struct cluster *cluster_new(const struct cluster_options *options)
{
    struct cluster *self = memory_zero(1, sizeof *self);

    cluster = self;
    self->options = *options;
    if (self->options.delay_max_ms == 0) {
        self->options.delay_min_ms = 1;
        self->options.delay_max_ms = 3;
    }
    self->random = options->seed * 0x2545f4914f6cdd1du + 0x9e3779b9u;
    self->now_ms = CLUSTER_START_MS;
    self->machine = options->machine != NULL ? options->machine : &cluster_tiny;
    if (self->options.election_timeout_ms == 0)
        self->options.election_timeout_ms = ELECTION_TIMEOUT_MS;
    if (self->options.heartbeat_ms == 0)
        self->options.heartbeat_ms = HEARTBEAT_MS;
    self->proposals = memory_zero(CLUSTER_PROPOSALS_MAX, sizeof *self->proposals);
    struct fake_network_options network = {.clock = cluster_clock(self),
                                           .seed = options->seed,
                                           .delay_min_ms = self->options.delay_min_ms,
                                           .delay_max_ms = self->options.delay_max_ms,
                                           .loss_ppm = options->loss_ppm,
                                           .double_ppm = options->double_ppm,
                                           .keep_order = options->keep_order};
    self->network = fake_network_new(&network);
    cluster_disk_init(cluster_clock(self), options->seed, options->sync_max_ms);
    return self;
}

/* What can only be told at the end: every acknowledged proposal stands where it was said to be. */
static void check_end(struct cluster *self)
{
    for (uint64_t id = 1; id <= self->proposal_count; id++) {
        const struct proposal_note *note = &self->proposals[id];
        if (note->fate == CLUSTER_DONE && note->committed != note->index)
            cluster_report(self, "proposal %" PRIu64 " was acknowledged at %" PRIu64 " and is at %" PRIu64,
                           id, note->index, note->committed);
        if (note->fate == CLUSTER_PENDING)
            cluster_report(self, "proposal %" PRIu64 " was never answered", id);
    }
}

/* Where everybody stands: for whoever looks into a failed seed. */
static void print_nodes(struct cluster *self)
{
    static const char *const roles[] = {"follower", "candidate", "leader"};

    for (uint32_t i = 0; i < self->count; i++) {
        struct consensus_status status = cluster_status(self, i);
        if (self->nodes[i].consensus == NULL) {
            fprintf(stderr, "  node %u is not running\n", i);
            continue;
        }
        fprintf(stderr,
                "  node %u %012" PRIx64 " %s%s term %" PRIu64 " leader %012" PRIx64 " first %" PRIu64
                " snapshot %" PRIu64 " applied %" PRIu64 " commit %" PRIu64 " durable %" PRIu64
                " last %" PRIu64 "%s%s%s; at %" PRIu64 ":",
                i, status.node_id, roles[status.role], status.ready ? " ready" : "", status.term,
                status.leader_id, status.first_index, status.snapshot_index, status.applied_index,
                status.commit_index, status.durable_index, status.last_index,
                self->nodes[i].paused ? " paused" : "", status.fetching ? " fetching" : "",
                status.state_lost ? " state lost" : "", status.configuration_index);
        for (uint32_t j = 0; j < status.member_count; j++)
            fprintf(stderr, " %012" PRIx64 "=%c", status.members[j].node_id, "svx"[status.members[j].role]);
        fprintf(stderr, "\n");
    }
}

bool cluster_end(struct cluster *self)
{
    if (self->violation[0] != '\0')
        print_nodes(self);
    for (uint32_t i = 0; i < self->count; i++) {
        if (self->nodes[i].consensus != NULL)
            cluster_stop(self, i);
        self->machine->free(&self->nodes[i]);
    }
    check_end(self);
    bool held = self->violation[0] == '\0';
    if (!held)
        fprintf(stderr, "seed %" PRIu64 " at %" PRIu64 " ms: %s\n", self->options.seed, self->now_ms,
                self->violation);
    fake_network_free(self->network);
    cluster_disk_done();
    free(self->committed);
    free(self->changes);
    free(self->proposals);
    free(self);
    cluster = NULL;
    return held;
}

bool cluster_store_busy(struct cluster_node *node)
{
    return cluster_random(node->cluster, 200) == 0;
}

static struct record *committed_at(struct cluster *self, uint64_t index)
{
    if (index >= self->committed_capacity) {
        uint64_t before = self->committed_capacity;
        self->committed_capacity = index * 2 + 1024;
        self->committed = memory_resize(self->committed, self->committed_capacity * sizeof *self->committed);
        memset(self->committed + before, 0, (self->committed_capacity - before) * sizeof *self->committed);
    }
    return &self->committed[index];
}

/* A new entry stands where its proposer was told, and was not refused. */
static void note_committed(struct cluster *self, uint64_t id, uint64_t index)
{
    struct proposal_note *note = &self->proposals[id];

    if (note->committed != 0)
        cluster_report(self, "proposal %" PRIu64 " is at %" PRIu64 " and at %" PRIu64, id, note->committed,
                       index);
    if (note->fate == CLUSTER_REFUSED)
        cluster_report(self, "proposal %" PRIu64 " was refused and is at %" PRIu64, id, index);
    note->committed = index;
}

/* In any order. */
static uint64_t members_sum(const struct consensus_member *members, uint32_t count)
{
    uint64_t sum = count;

    for (uint32_t i = 0; i < count; i++) {
        uint8_t one[9];
        put_u64(one, members[i].node_id);
        one[8] = (uint8_t)members[i].role;
        sum += (uint64_t)crc32c(0, one, sizeof one) << 8;
    }
    return sum;
}

static void note_configuration(struct cluster *self, const struct entry *entry)
{
    struct consensus_member members[NODES_MAX];
    uint32_t count = 0;

    if (consensus_configuration_decode(entry->data, members, NODES_MAX, &count, NULL) != ERROR_OK) {
        cluster_report(self, "membership: the configuration of %" PRIu64 " can't be read", entry->index);
        return;
    }
    if ((self->change_count & (self->change_count - 1)) == 0)
        self->changes = memory_resize(self->changes, (self->change_count * 2 + 1) * sizeof *self->changes);
    self->changes[self->change_count].index = entry->index;
    self->changes[self->change_count++].sum = members_sum(members, count);
}

void cluster_compare(struct cluster_node *node, const struct entry *entry, uint64_t id)
{
    struct cluster *self = node->cluster;
    struct record *known = committed_at(self, entry->index);
    struct record record = {.term = entry->term,
                            .id = id,
                            .hash = crc32c(0, entry->data.data, entry->data.bytes),
                            .type = (uint8_t)entry->type};

    if (known->type == 0) {
        *known = record;
        if (entry->index > self->committed_last)
            self->committed_last = entry->index;
        if (id != 0)
            note_committed(self, id, entry->index);
        if (entry->type == ENTRY_CHANGE)
            note_configuration(self, entry);
    } else if (known->type != record.type || known->term != record.term || known->hash != record.hash) {
        cluster_report(self,
                       "committed: node %u applied at %" PRIu64 " term %" PRIu64
                       " hash %08x; before it was term %" PRIu64 " hash %08x",
                       node->number, entry->index, record.term, record.hash, known->term, known->hash);
    }
}

/* --- nodes
 * ---------------------------------------------------------------------------------------------------------------
 */

static void set_timer(void *context, uint64_t at_ms)
{
    struct cluster_node *node = context;
    node->timer_asked_ms = at_ms;
    node->timer_ms = world_ms(node, at_ms);
}

static void note_leader(struct cluster *self, struct cluster_node *node,
                        const struct consensus_status *status)
{
    for (uint32_t i = 0; i < self->leader_count; i++) {
        if (self->leaders[i].term != status->term)
            continue;
        if (self->leaders[i].leader != node->id)
            cluster_report(self,
                           "one-leader: term %" PRIu64 " has two leaders: %016" PRIx64 " and %016" PRIx64,
                           status->term, self->leaders[i].leader, node->id);
        return;
    }
    CHECK(self->leader_count < CLUSTER_TERMS_MAX, "%u terms", self->leader_count);
    self->leaders[self->leader_count].term = status->term;
    self->leaders[self->leader_count++].leader = node->id;
}

/* A node goes by the last configuration in its log, committed or not. */
static void check_logged_membership(struct cluster *self, const struct cluster_node *node,
                                    const struct consensus_status *status)
{
    const struct log *log = node->consensus->log;
    const uint64_t logged = log_change_before(log, log_last_index(log), NULL);

    if (status->member_count > 0 && status->configuration_index > 0 && logged > 0 &&
        status->configuration_index != logged)
        cluster_report(self,
                       "membership: node %u has a configuration at %" PRIu64
                       " in its log and goes by that of %" PRIu64,
                       node->number, logged, status->configuration_index);
}

/* Whoever has applied a configuration goes by it or by a later one. (After a snapshot the engine has
 * forgotten its index, so members are compared.) */
static void check_membership(struct cluster *self, const struct cluster_node *node,
                             const struct consensus_status *status)
{
    uint32_t last = self->change_count;

    while (last > 0 && self->changes[last - 1].index > status->applied_index)
        last--;
    if (last == 0 || status->member_count == 0 ||
        status->configuration_index >= self->changes[last - 1].index ||
        members_sum(status->members, status->member_count) == self->changes[last - 1].sum)
        return;
    cluster_report(self,
                   "membership: node %u has applied %" PRIu64 " and the configuration of %" PRIu64
                   ", and goes by that of %" PRIu64,
                   node->number, status->applied_index, self->changes[last - 1].index,
                   status->configuration_index);
}

static void on_change(void *context)
{
    struct cluster_node *node = context;
    struct consensus_status status;

    consensus_status(node->consensus, &status);
    check_membership(node->cluster, node, &status);
    check_logged_membership(node->cluster, node, &status);
    if (status.role == CONSENSUS_LEADER)
        note_leader(node->cluster, node, &status);
}

static void on_fatal(void *context, const struct error *error)
{
    struct cluster_node *node = context;
    node->cluster->fatals++;
    node->dead = true;
    if (node->cluster->options.watch.fatal != NULL)
        node->cluster->options.watch.fatal(node->cluster->options.watch.context, node->number, error);
    else if (!node->cluster->options.expect_fatal || error->code != ERROR_IO)
        cluster_report(node->cluster, "node %u can't go on: %s", node->number, error->message);
}

static enum error_code open_node(struct cluster_node *node, struct error *error)
{
    struct cluster *self = node->cluster;
    uint32_t snapshot_entries = self->options.snapshot_entries;
    struct consensus_options options = {
        .clock = node_clock(node),
        .folder = node->folder,
        .listen_address = node->address,
        .election_timeout_ms = self->options.election_timeout_ms,
        .heartbeat_ms = self->options.heartbeat_ms,
        .snapshot_entries = snapshot_entries == 0 ? UINT32_MAX : snapshot_entries,
        .reserve_bytes = self->options.reserve_bytes,
        .trailing_entries = snapshot_entries == 0 ? UINT32_MAX : self->options.trailing_entries,
        .seed = self->options.seed * 31 + node->number * 7 + node->life * 1009,
        .rules_off = self->options.rules_off,
        .machine = self->machine->interface(node),
        .set_timer = set_timer,
        .on_change = on_change,
        .on_fatal = on_fatal,
        .context = node};

    node->timer_ms = node->timer_asked_ms = CONSENSUS_NEVER;
    node->life++;
    node->crashing = node->dead = false;
    enum error_code code = consensus_open(&options, &node->consensus, error);
    if (code != ERROR_OK)
        return code;
    node->id = consensus_node_id(node->consensus);
    code = self->machine->open(node, consensus_state_folder(node->consensus), error);
    if (code != ERROR_OK) {
        consensus_close(node->consensus, NULL, NULL);
        node->consensus = NULL;
    }
    return code;
}

static struct cluster_node *new_node(struct cluster *self)
{
    struct error error = {0};

    CHECK(self->count < CLUSTER_NODES_MAX, "%u nodes", self->count);
    struct cluster_node *node = &self->nodes[self->count];
    *node = (struct cluster_node){.cluster = self,
                                  .number = self->count,
                                  .rate_ppm = 1000000,
                                  .clock_ms = self->now_ms,
                                  .clock_set_ms = self->now_ms};
    self->count++;
    snprintf(node->disk, sizeof node->disk, "/node%u/", node->number);
    snprintf(node->folder, sizeof node->folder, "/node%u/log", node->number);
    snprintf(node->address, sizeof node->address, "node%u:7000", node->number);
    CHECK(open_node(node, &error) == ERROR_OK, "%s", error.message);
    return node;
}

static enum error_code start_node(struct cluster_node *node, struct error *error)
{
    const struct cluster_machine *machine = node->cluster->machine;
    struct consensus_status status;
    enum error_code code = ERROR_OK;

    consensus_status(node->consensus, &status);
    if (machine->identify != NULL)
        code = machine->identify(node, status.cluster_id, status.generation, error);
    return code == ERROR_OK ? consensus_start(node->consensus, error) : code;
}

static void start(struct cluster_node *node)
{
    struct error error = {0};
    CHECK(start_node(node, &error) == ERROR_OK, "%s", error.message);
}

uint32_t cluster_join(struct cluster *self)
{
    struct cluster_node *node = new_node(self);
    struct error error = {0};

    CHECK(consensus_adopt(node->consensus, self->cluster_id, 1, &error) == ERROR_OK, "%s", error.message);
    start(node);
    return node->number;
}

void cluster_form(struct cluster *self, uint32_t voters)
{
    struct cluster_node *first = new_node(self);
    struct consensus_status status;
    struct error error = {0};

    CHECK(consensus_bootstrap(first->consensus, &error) == ERROR_OK, "%s", error.message);
    consensus_status(first->consensus, &status);
    memcpy(self->cluster_id, status.cluster_id, sizeof self->cluster_id);
    start(first);
    cluster_await_leader(self, 5000);
    for (uint32_t i = 1; i < voters; i++) {
        uint32_t node = cluster_join(self);
        enum error_code code = cluster_add(self, node, 5000);
        if (code == ERROR_OK)
            code = ERROR_CONFLICT; /* until it has caught up */
        for (uint32_t attempt = 0; attempt < 1000 && code == ERROR_CONFLICT; attempt++) {
            cluster_run(self, 20);
            code = cluster_assign(self, node, MEMBER_VOTER, 5000);
        }
        if (code != ERROR_OK)
            cluster_report(self, "availability: node %u could not join: %s", node, error_name(code));
    }
    cluster_settle(self, 5000);
}

uint32_t cluster_count(const struct cluster *self)
{
    return self->count;
}

bool cluster_running(const struct cluster *self, uint32_t node)
{
    return self->nodes[node].consensus != NULL;
}

struct consensus *cluster_node(struct cluster *self, uint32_t node)
{
    return self->nodes[node].consensus;
}

uint64_t cluster_id(const struct cluster *self, uint32_t node)
{
    return self->nodes[node].id;
}

const char *cluster_address(const struct cluster *self, uint32_t node)
{
    return self->nodes[node].address;
}

static void close_node(struct cluster_node *node)
{
    struct consensus *consensus = node->consensus;

    consensus_close(consensus, NULL, NULL);
    node->consensus = NULL;
    node->timer_ms = CONSENSUS_NEVER;
    node->paused = false;
    fake_network_pause(node->cluster->network, node->id, false);
    cluster_forget_fetches(node);
}

void cluster_stop(struct cluster *self, uint32_t node)
{
    cluster_hold_syncs(self, node, false);
    close_node(&self->nodes[node]);
    self->machine->close(&self->nodes[node], false);
}

/* The disk forgets what was not synced and takes nothing more; then closing only frees memory. */
void cluster_crash(struct cluster *self, uint32_t node)
{
    struct cluster_node *crashed = &self->nodes[node];

    crashed->crashing = true;
    cluster_hold_syncs(self, node, false);
    uint64_t survive = cluster_random(self, 3), unlogged = survive == 0 ? 0 : cluster_random(self, 64);
    cluster_disk_crash(crashed->disk, survive, unlogged);
    close_node(crashed);
    cluster_disk_repair(crashed->disk);
    self->machine->close(crashed, true);
}

enum error_code cluster_restart(struct cluster *self, uint32_t node, struct error *error)
{
    struct cluster_node *again = &self->nodes[node];
    enum error_code code = open_node(again, error);

    if (code != ERROR_OK) {
        again->consensus = NULL;
        return code;
    }
    code = start_node(again, error);
    if (code != ERROR_OK) {
        close_node(again);
        self->machine->close(again, false);
    }
    return code;
}

void cluster_hold_syncs(struct cluster *self, uint32_t node, bool hold)
{
    if (self->nodes[node].consensus != NULL)
        cluster_disk_hold(self->nodes[node].consensus->log_worker, hold);
}

void cluster_run_syncs(struct cluster *self, uint32_t node, uint32_t count)
{
    cluster_disk_run_jobs(self->nodes[node].consensus->log_worker, count);
}

void cluster_pause(struct cluster *self, uint32_t node, bool pause)
{
    self->nodes[node].paused = pause;
    fake_network_pause(self->network, self->nodes[node].id, pause);
    cluster_hold_syncs(self, node, pause);
}

void cluster_fill_disk(struct cluster *self, uint32_t node, bool full)
{
    cluster_disk_fill(self->nodes[node].disk, full);
}

void cluster_fail_sync(struct cluster *self, uint32_t node)
{
    cluster_disk_fail_sync(self->nodes[node].disk);
}

void cluster_fail_small(struct cluster *self, uint32_t node)
{
    cluster_disk_fail_small(self->nodes[node].disk);
}

void cluster_slow_disk(struct cluster *self, uint32_t node, uint32_t more_max_ms)
{
    const struct consensus *consensus = self->nodes[node].consensus;

    if (consensus == NULL)
        return;
    cluster_disk_slow(consensus->log_worker, more_max_ms);
    cluster_disk_slow(consensus->state_worker, more_max_ms);
}

bool cluster_is_dead(const struct cluster *self, uint32_t node)
{
    return self->nodes[node].dead && self->nodes[node].consensus != NULL;
}

void cluster_wipe_store(struct cluster *self, uint32_t node)
{
    CHECK(self->nodes[node].consensus == NULL, "node %u is running", node);
    self->machine->wipe(&self->nodes[node]);
    self->wipes++;
}

/* --- time
 * ----------------------------------------------------------------------------------------------------------------
 */

uint64_t cluster_now_ms(const struct cluster *self)
{
    return self->now_ms;
}

static struct cluster_node *next_timer(struct cluster *self)
{
    struct cluster_node *next = NULL;

    for (uint32_t i = 0; i < self->count; i++) {
        struct cluster_node *node = &self->nodes[i];
        if (node->consensus != NULL && !node->paused && (next == NULL || node->timer_ms < next->timer_ms))
            next = node;
    }
    return next;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void tell(struct cluster *self, const char *kind, uint32_t node, uint64_t detail)
{
    if (self->options.watch.event != NULL)
        self->options.watch.event(self->options.watch.context, kind, node, detail);
}

static uint32_t number_of(const struct cluster *self, uint64_t id)
{
    for (uint32_t i = 0; i < self->count; i++)
        if (self->nodes[i].id == id)
            return i;
    return CLUSTER_NODES_MAX;
}

static void deliver(struct cluster *self)
{
    uint64_t heard = fake_network_deliver(self->network);

    for (uint32_t i = 0; i < self->count; i++)
        if (self->nodes[i].id == heard && self->nodes[i].consensus != NULL)
            consensus_turn(self->nodes[i].consensus);
    tell(self, "frame", number_of(self, heard), 0);
}

/* The next thing that happens, if it happens until then. @return false: nothing does */
static bool step(struct cluster *self, uint64_t until_ms)
{
    struct cluster_node *node = next_timer(self);
    uint64_t timer_ms = node == NULL ? UINT64_MAX : node->timer_ms;
    uint64_t network_ms = fake_network_next_ms(self->network), worker_ms = cluster_disk_next_ms();
    uint64_t fetch_ms = cluster_fetch_next_ms(self);
    uint64_t at_ms = least(least(timer_ms, network_ms), least(worker_ms, fetch_ms));

    if (at_ms > until_ms)
        return false;
    if (at_ms > self->now_ms)
        self->now_ms = at_ms;
    if (network_ms == at_ms) {
        deliver(self);
    } else if (worker_ms == at_ms) {
        cluster_disk_run();
        tell(self, "disk", CLUSTER_NODES_MAX, 0);
    } else if (fetch_ms == at_ms) {
        cluster_fetch_run(self);
        tell(self, "fetch", CLUSTER_NODES_MAX, 0);
    } else {
        node->timer_ms = node->timer_asked_ms = CONSENSUS_NEVER;
        consensus_tick(node->consensus);
        tell(self, "timer", node->number, 0);
    }
    return true;
}

static bool never(struct cluster *self, void *context)
{
    (void)self;
    (void)context;
    return false;
}

bool cluster_run_until(struct cluster *self, bool (*until)(struct cluster *self, void *context),
                       void *context, uint64_t ms)
{
    uint64_t until_ms = self->now_ms + ms;

    while (!until(self, context)) {
        if (self->violation[0] != '\0')
            return false;
        if (!step(self, until_ms)) {
            self->now_ms = until_ms;
            return until(self, context);
        }
    }
    return true;
}

void cluster_run(struct cluster *self, uint64_t ms)
{
    cluster_run_until(self, never, NULL, ms);
}

struct fake_network *cluster_network(struct cluster *self)
{
    return self->network;
}

void cluster_cut(struct cluster *self, uint32_t from, uint32_t to, bool cut)
{
    fake_network_cut(self->network, self->nodes[from].id, self->nodes[to].id, cut);
}

void cluster_partition(struct cluster *self, uint32_t mask)
{
    for (uint32_t i = 0; i < self->count; i++)
        for (uint32_t j = 0; j < self->count; j++)
            if (i != j)
                cluster_cut(self, i, j, (mask >> i & 1) != (mask >> j & 1));
}

void cluster_mend(struct cluster *self)
{
    fake_network_mend(self->network);
}

/* --- schedules that shall break
 * -------------------------------------------------------------------------------------------- */

enum cluster_outcome cluster_outcome(bool (*schedule)(uint32_t rules_off, uint64_t seed), uint32_t rules_off,
                                     uint64_t seed)
{
    int status = 0;

    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0, "fork");
    if (child == 0) {
        /* The test's own handlers would go on with the next test in here. */
        static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
        for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
            signal(signals[i], SIG_DFL);
        if (rules_off != 0 && freopen("/dev/null", "w", stderr) == NULL)
            _exit(9);
        _exit(schedule(rules_off, seed) ? 0 : 1);
    }
    CHECK(waitpid(child, &status, 0) == child, "waitpid");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return CLUSTER_HELD;
    return WIFEXITED(status) && WEXITSTATUS(status) == 1 ? CLUSTER_VIOLATED : CLUSTER_ABORTED;
}
