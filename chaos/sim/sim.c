/* One run from beginning to end: form the cluster, let clients and faults at it, mend everything, wait until
 * it has come to rest, look at what is there. */
#include "chaos/sim/sim.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/sim/sim_internal.h"

#define STREAM_KEEPER     4u
#define REST_MS           60000u
#define EVENTS_PER_MS_MAX 20000u /* more is going in circles */

static struct sim *running; /* for the handler of an abort */

void sim_fail(struct sim *self, const char *check, const char *format, ...)
{
    char text[400];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    cluster_report(self->cluster, "%s: %s", check, text);
}

bool sim_failed(const struct sim *self)
{
    return cluster_violation(self->cluster)[0] != '\0';
}

void sim_note(struct sim *self, const char *kind, uint32_t node, uint64_t a, uint64_t b)
{
    trace_add(&self->trace, sim_now(self), kind, node, a, b);
}

uint32_t sim_any_node(struct sim *self, struct random *random)
{
    uint32_t count = self->cluster->count, start = random_below(random, count);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t node = (start + i) % count;
        const struct cluster_node *at = &self->cluster->nodes[node];
        if (at->consensus != NULL && !at->paused && !at->dead)
            return node;
    }
    return CLUSTER_NODES_MAX;
}

/* --- while it runs
 * ---------------------------------------------------------------------------------------------------- */

static void on_event(void *context, const char *kind, uint32_t node, uint64_t detail)
{
    struct sim *self = context;
    static uint64_t at_ms, events;

    trace_add(&self->trace, sim_now(self), kind, node, detail, 0);
    events = sim_now(self) == at_ms ? events + 1 : 0;
    at_ms = sim_now(self);
    if (events > EVENTS_PER_MS_MAX)
        sim_fail(self, "progress", "%" PRIu64 " events and the clock stands still", events);
}

static void on_fatal(void *context, uint32_t node, const struct error *error)
{
    struct sim *self = context;

    sim_note(self, "fatal", node, error->code, 0);
    bool damaged = self->keeper[node].damaged_log || self->keeper[node].damaged_state;
    if (error->code != ERROR_IO && !(error->code == ERROR_CORRUPT && damaged))
        sim_fail(self, "fatal", "node %u can't go on: %s", node, error->message);
}

static bool poked(struct cluster *cluster, void *context)
{
    struct sim *self = context;

    (void)cluster;
    return self->poked;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void run_until(struct sim *self, uint64_t end_ms)
{
    while (sim_now(self) < end_ms && !sim_failed(self)) {
        uint64_t at_ms = least(least(clients_next_ms(self), faults_next_ms(self)), self->keeper_ms);
        self->poked = false;
        if (at_ms > sim_now(self))
            cluster_run_until(self->cluster, poked, self, least(at_ms, end_ms) - sim_now(self));
        if (sim_failed(self))
            return;
        faults_run(self);
        keeper_run(self);
        clients_run(self);
    }
}

/* --- beginning and end
 * ------------------------------------------------------------------------------------------------ */

static void open_cluster(struct sim *self)
{
    const struct sim_config *config = &self->config;
    struct cluster_options options = {.seed = self->options.seed,
                                      .rules_off = self->options.rules_off,
                                      .snapshot_entries = config->snapshot_entries,
                                      .trailing_entries = config->trailing_entries,
                                      .delay_min_ms = config->delay_min_ms,
                                      .delay_max_ms = config->delay_max_ms,
                                      .sync_max_ms = config->sync_max_ms,
                                      .fetch_max_ms = config->fetch_max_ms,
                                      .keep_order = config->keep_order,
                                      .expect_fatal = true,
                                      .reserve_bytes = 1u << 20,
                                      .election_timeout_ms = config->election_timeout_ms,
                                      .heartbeat_ms = config->heartbeat_ms,
                                      .machine = &cluster_fsm,
                                      .watch = {.context = self,
                                                .applied = model_applied,
                                                .is_removed = model_is_removed,
                                                .event = on_event,
                                                .fatal = on_fatal}};
    self->cluster = cluster_new(&options);
    wire_watch_open(self);
    wire_watch_attach(self);
    model_open(self);
    cluster_form(self->cluster, config->nodes);
    struct fake_network_options *network = fake_network_options(cluster_network(self->cluster));
    network->loss_ppm = config->loss_ppm;
    network->double_ppm = config->double_ppm;
}

/* @return NULL when it has come to rest */
static const char *unrest(struct sim *self)
{
    if (cluster_leader(self->cluster) < 0)
        return "there is no leader";
    for (uint32_t i = 0; i < self->config.clients; i++)
        if (self->clients[i].operation != 0)
            return "a client waits still";
    for (uint32_t i = 0; i < self->cluster->count; i++)
        if (!self->keeper[i].gone && !cluster_running(self->cluster, i))
            return "a node does not run";
    if (keeper_replacing(self))
        return "a lost node is not replaced";
    return NULL;
}

/* After the last fault there must be a leader, whoever waits is answered, and everybody catches up. */
static void come_to_rest(struct sim *self)
{
    uint64_t end_ms = sim_now(self) + REST_MS;

    self->calm = true;
    sim_note(self, "calm", CLUSTER_NODES_MAX, 0, 0);
    faults_end(self);
    while (unrest(self) != NULL && sim_now(self) < end_ms && !sim_failed(self))
        run_until(self, sim_now(self) + 100);
    if (!sim_failed(self) && unrest(self) != NULL)
        sim_fail(self, "availability", "%u s after the last fault %s", REST_MS / 1000, unrest(self));
    run_until(self, sim_now(self) + 2000);
    if (!sim_failed(self) && !cluster_settle(self->cluster, REST_MS) && !sim_failed(self))
        sim_fail(self, "availability", "not all nodes caught up within %u s", REST_MS / 1000);
}

static void print_failure(struct sim *self)
{
    fprintf(stderr, "seed %" PRIu64 ": violation at %.3f s: %s\n", self->options.seed,
            (double)sim_now(self) / 1000, cluster_violation(self->cluster));
    config_print(&self->config);
    faults_print(self);
    trace_print_last(&self->trace);
}

/* CHECK() of the product aborts: what led there is told as for any other violation. */
static void on_abort(int number)
{
    signal(number, SIG_DFL);
    if (running != NULL)
        print_failure(running);
    raise(number);
}

static void fill_report(struct sim *self, struct sim_report *report)
{
    struct cluster *cluster = self->cluster;

    *report = self->report;
    report->seed = self->options.seed;
    report->virtual_ms = sim_now(self);
    report->events = self->trace.count;
    report->committed = self->model.index;
    report->installs = cluster_installs(cluster);
    report->snapshots = cluster_snapshots(cluster);
    report->nodes = cluster->count;
    report->fault_count = self->fault_count;
    report->elections = cluster->leader_count;
    report->violated = sim_failed(self);
    snprintf(report->violation, sizeof report->violation, "%s", cluster_violation(cluster));
}

bool sim_run(const struct sim_options *options, struct sim_report *report)
{
    struct sim *self = memory_zero(1, sizeof *self);

    self->options = *options;
    if (self->options.minutes == 0)
        self->options.minutes = 3;
    config_draw(&self->options, &self->config);
    self->keeper_random = random_of(options->seed, STREAM_KEEPER);
    trace_init(&self->trace, options->trace);
    running = self;
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
    open_cluster(self);
    if (!sim_failed(self)) {
        faults_draw(self);
        clients_open(self);
        run_until(self, sim_now(self) + self->options.minutes * 60000);
    }
    if (!sim_failed(self))
        come_to_rest(self);
    if (!sim_failed(self))
        checks_end(self);
    fill_report(self, report);
    if (report->violated)
        print_failure(self);
    running = NULL;
    model_close(self);
    cluster_end(self->cluster);
    wire_watch_close(self);
    trace_done(&self->trace, report->hash);
    free(self->operations);
    free(self->faults);
    free(self);
    return !report->violated;
}
