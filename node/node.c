/* Start: the steps below, in order; a step that fails ends those before it in reverse. A node without a
 * cluster serves HTTP (health, metrics) while it asks to be let in.
 *
 * Stop, when asked: take no more connections; hand leadership over (at most HANDOVER_MS); let what waits
 * finish, forwarded to the new leader where needed (at most DRAIN_MS); answer the rest as what it is; then
 * the steps in reverse. Flushing the store is part of that, so the next start replays nothing.
 *
 * A failure that consensus can't survive: what waits is answered as unknown, and the process exits at once
 * with EXIT_FATAL, since nothing that a broken node would still write can be trusted. */
#include "node/node.h"

#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/logger.h"
#include "node/founding.h"
#include "node/joining.h"
#include "node/leader.h"
#include "node/node_internal.h"
#include "node/version.h"

#define HANDOVER_MS     3000u
#define DRAIN_MS        2000u
#define LAST_ANSWERS_US 200000u /* for answers to leave before an exit at once */
#define STALL_TIMEOUTS  4u      /* a loop turn longer than so many election timeouts is worth a line */
#define PATH_BYTES      1200u

/** The loop ends after this turn. The first reason stays. */
void node_finish(struct node *self, int code, const struct error *error)
{
    if (self->phase == PHASE_OVER)
        return;
    self->phase = PHASE_OVER;
    self->code = code;
    if (error)
        self->error = *error;
    uv_stop(&self->loop);
}

/* --- turns of the loop
 * ---------------------------------------------------------------------------------------------------- */

static void consensus_run_turn(struct service *service)
{
    if (service->joined && !service->consensus_closed)
        consensus_turn(service->consensus);
}

/* From one prepare to the next, without what the loop slept: so that what sockets and wake-ups brought
 * counts, which runs before the check. */
static void count_turn(struct node *self)
{
    struct service_counts *counts = &self->service.counts;
    uint64_t now_ns = uv_hrtime(), idle_ns = uv_metrics_idle_time(&self->loop);
    uint64_t took_ns = now_ns - self->turn_from_ns, slept_ns = idle_ns - self->turn_idle_ns;
    uint64_t us = took_ns > slept_ns ? (took_ns - slept_ns) / 1000 : 0;
    bool first = self->turn_from_ns == 0;
    self->turn_from_ns = now_ns;
    self->turn_idle_ns = idle_ns;
    if (first)
        return;
    histogram_add(&counts->turn_us, histogram_times_us, us);
    if (us > counts->turn_us_max)
        counts->turn_us_max = us;
}

static void on_prepare(uv_prepare_t *handle)
{
    struct node *self = handle->data;
    consensus_run_turn(&self->service);
    uint64_t began = atomic_load(&self->turn_began_ms), now = now_ms(&self->service);
    if (began != 0 && now >= began + self->service.config->election_timeout_ms / 2)
        log_warn("node", "a long turn of the loop", "turn_ms=%llu", (unsigned long long)(now - began));
    count_turn(self);
    atomic_store(&self->turn_began_ms, 0);
}

static void on_check(uv_check_t *handle)
{
    struct node *self = handle->data;
    atomic_store(&self->turn_began_ms, now_ms(&self->service));
    consensus_run_turn(&self->service);
}

static void on_wake(uv_async_t *handle)
{
    struct node *self = handle->data;
    service_drain(&self->service);
}

static void wake(void *context)
{
    struct node *self = context;
    (void)uv_async_send(&self->service.wake);
}

static void on_consensus_timer(uv_timer_t *handle)
{
    struct node *self = handle->data;
    if (self->service.joined)
        consensus_tick(self->service.consensus);
}

void node_set_timer(void *context, uint64_t at_ms)
{
    struct node *self = context;
    if (at_ms == CONSENSUS_NEVER) {
        uv_timer_stop(&self->service.consensus_timer);
        return;
    }
    uv_update_time(&self->loop);
    uint64_t now = now_ms(&self->service);
    (void)uv_timer_start(&self->service.consensus_timer, on_consensus_timer, at_ms > now ? at_ms - now : 0,
                         0);
}

static void stop_progress(struct node *self);

void node_on_sweep(uv_timer_t *handle)
{
    struct node *self = handle->data;
    service_sweep(&self->service);
    stop_progress(self);
}

static void note_space(struct node *self)
{
    bool full = self->service.now.disk_full;
    if (full && !self->disk_full)
        log_error("node", "the disk is full",
                  "data_dir=%s leads=%s go_on=\"make space: until then this node %s\"",
                  self->service.config->data_dir, leads(&self->service) ? "yes" : "no",
                  "takes no entries and refuses writes; a leader hands over while a majority has space");
    else if (!full && self->disk_full)
        log_info("node", "there is space again", "data_dir=%s", self->service.config->data_dir);
    self->disk_full = full;
}

void node_on_publish(uv_timer_t *handle)
{
    struct node *self = handle->data;
    status_publish(&self->service);
    leader_turn(self->service.leader);
    if (!founding_asks(self->founding))
        joining_turn(self->service.joining);
    flush_sometimes(&self->service);
    note_space(self);
    supervisor_turn(&self->supervisor, &self->service);
}

/** A thread that notices when a turn of the loop takes too long. It only says so: the log's own thread and
 * Raft's timers judge. */
static void watch_stalls(void *context)
{
    struct node *self = context;
    uint64_t limit = STALL_TIMEOUTS * self->service.config->election_timeout_ms, told = 0;
    while (!atomic_load(&self->watchdog_ends)) {
        usleep(50000);
        uint64_t began = atomic_load(&self->turn_began_ms), now = now_ms(&self->service);
        if (began != 0 && now > began + limit && began != told) {
            told = began;
            log_warn("node", "the loop stalls", "turn_ms=%llu limit_ms=%llu",
                     (unsigned long long)(now - began), (unsigned long long)limit);
        }
    }
}

/* --- failing
 * --------------------------------------------------------------------------------------------------------------------
 */

void node_on_fatal(void *context, const struct error *error)
{
    struct node *self = context;
    atomic_store(&self->service.failed, true);
    log_error("node", "can't go on", "error=\"%s\"", error->message);
    supervisor_say(&self->supervisor, "can't go on: %s", error->message);
    node_finish(self, EXIT_FATAL, error);
}

static _Noreturn void exit_fatal(struct node *self)
{
    service_answer_all(&self->service);
    if (self->http)
        http_server_quiesce(self->http);
    mailbox_close(self->service.mailbox);
    usleep(LAST_ANSWERS_US);
    log_error("node", "exit", "code=%d error=\"%s\"", self->code, self->error.message);
    _exit(self->code);
}

/* --- stopping
 * --------------------------------------------------------------------------------------------------------------------------
 */

static void on_handed_over(void *context, uint64_t new_leader, uint64_t new_term, const struct error *error)
{
    struct node *self = context;
    self->handing_over = false;
    if (error)
        log_warn("node", "leadership not handed over", "error=\"%s\"", error->message);
    else
        log_info("node", "leadership handed over", "to=%s term=%llu", member_name(&self->service, new_leader),
                 (unsigned long long)new_term);
}

static void stop_begin(struct node *self)
{
    struct service *service = &self->service;
    struct error error = {0};
    if (self->phase != PHASE_RUNNING)
        return;
    log_info("node", "stopping", "changes=%u readers=%u acts=%u", service->change_count,
             service->confirm_count, service->act_count);
    supervisor_stopping(&self->supervisor);
    service->stopping = true;
    http_server_quiesce(self->http);
    status_publish(service);
    self->phase = PHASE_HANDING_OVER;
    self->phase_until_ms = now_ms(service) + HANDOVER_MS;
    if (leads(service)) {
        self->handing_over =
            consensus_transfer(service->consensus, 0, on_handed_over, self, &error) == ERROR_OK;
        if (!self->handing_over)
            log_info("node", "nobody to hand leadership to", "error=\"%s\"", error.message);
    }
    stop_progress(self);
}

static void stop_progress(struct node *self)
{
    uint64_t now = now_ms(&self->service);
    /* Without a quorum nobody can take over, and nothing that waits can come to an end: the others are
     * stopping too. */
    bool hopeless = self->service.joined && !self->service.now.quorum;
    if (self->phase == PHASE_HANDING_OVER &&
        (!self->handing_over || hopeless || now >= self->phase_until_ms)) {
        self->phase = PHASE_DRAINING;
        self->phase_until_ms = now + DRAIN_MS;
    }
    if (self->phase != PHASE_DRAINING)
        return;
    bool idle = service_is_idle(&self->service) && http_server_busy(self->http) <= self->service.wait_count;
    if (idle || hopeless || now >= self->phase_until_ms)
        node_finish(self, EXIT_CLEAN, NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct node *self = handle->data;
    if (self->phase != PHASE_RUNNING) {
        log_warn("node", "second signal: exit at once", "signal=%d", number);
        _exit(EXIT_IMPATIENT);
    }
    log_info("node", "signal", "signal=%d", number);
    stop_begin(self);
}

/* --- the whole
 * -------------------------------------------------------------------------------------------------------------------------
 */

static void handles_open(struct node *self)
{
    struct service *service = &self->service;
    CHECK(uv_loop_init(&self->loop) == 0, "a loop needs a few descriptors");
    CHECK(uv_loop_configure(&self->loop, UV_METRICS_IDLE_TIME) == 0, "a loop that says how long it slept");
    service->loop = &self->loop;
    CHECK(uv_async_init(&self->loop, &service->wake, on_wake) == 0, "wake");
    CHECK(uv_timer_init(&self->loop, &service->consensus_timer) == 0, "timer");
    CHECK(uv_timer_init(&self->loop, &service->sweep_timer) == 0, "timer");
    CHECK(uv_timer_init(&self->loop, &service->publish_timer) == 0, "timer");
    CHECK(uv_prepare_init(&self->loop, &service->prepare) == 0, "prepare");
    CHECK(uv_check_init(&self->loop, &service->check) == 0, "check");
    CHECK(uv_signal_init(&self->loop, &self->terminate) == 0, "signal");
    CHECK(uv_signal_init(&self->loop, &self->interrupt) == 0, "signal");
    uv_handle_t *handles[] = {(uv_handle_t *)&service->wake,        (uv_handle_t *)&service->consensus_timer,
                              (uv_handle_t *)&service->sweep_timer, (uv_handle_t *)&service->publish_timer,
                              (uv_handle_t *)&service->prepare,     (uv_handle_t *)&service->check,
                              (uv_handle_t *)&self->terminate,      (uv_handle_t *)&self->interrupt};
    for (size_t i = 0; i < sizeof handles / sizeof handles[0]; i++)
        handles[i]->data = self;
    (void)uv_prepare_start(&service->prepare, on_prepare);
    (void)uv_check_start(&service->check, on_check);
    service->mailbox = mailbox_new(MAILBOX_ITEMS, wake, self);
}

static void handles_close(struct node *self)
{
    struct service *service = &self->service;
    uv_handle_t *handles[] = {(uv_handle_t *)&service->wake,        (uv_handle_t *)&service->consensus_timer,
                              (uv_handle_t *)&service->sweep_timer, (uv_handle_t *)&service->publish_timer,
                              (uv_handle_t *)&service->prepare,     (uv_handle_t *)&service->check,
                              (uv_handle_t *)&self->terminate,      (uv_handle_t *)&self->interrupt};
    for (size_t i = 0; i < sizeof handles / sizeof handles[0]; i++)
        uv_close(handles[i], NULL);
    mailbox_close(service->mailbox);
    service_drain(service);
    uv_run(&self->loop, UV_RUN_DEFAULT); /* until the last handle is gone */
    mailbox_free(service->mailbox);
    CHECK(uv_loop_close(&self->loop) == 0, "nothing is left on the loop");
}

struct node *node_new(const struct config *config)
{
    struct node *self = memory_zero(1, sizeof *self);
    struct service *service = &self->service;
    service->config = config;
    service->clock = clock_system();
    service->started_wall_ms = service->clock.wall_ms(service->clock.context);
    service->configuration = config_to_json(config);
    random_id(service->incarnation);
    CHECK(pthread_mutex_init(&service->published_lock, NULL) == 0, "a mutex needs only memory");
    link_init(&service->changes);
    link_init(&service->confirms);
    link_init(&service->waits);
    link_init(&service->round_waiting);
    link_init(&service->round_asked);
    link_init(&service->acts);
    link_init(&service->audit.waiting);
    handles_open(self);
    return self;
}

static void serve(struct node *self)
{
    struct service *service = &self->service;
    if (config_is_exposed(service->config))
        log_warn(
            "node",
            "INSECURE: this node listens beyond loopback, and everybody who reaches it may do everything",
            "api=%s wire=%s", service->config->api_listen, service->config->wire_listen);
    (void)uv_signal_start(&self->terminate, on_signal, SIGTERM);
    (void)uv_signal_start(&self->interrupt, on_signal, SIGINT);
    CHECK(uv_thread_create(&self->watchdog, watch_stalls, self) == 0, "a thread needs only memory");
    supervisor_ready(&self->supervisor);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    atomic_store(&self->watchdog_ends, true);
    uv_thread_join(&self->watchdog);
}

int node_run(struct node *self, struct error *error)
{
    (void)signal(SIGPIPE, SIG_IGN); /* a peer that dies must not take us along */
    (void)signal(SIGXFSZ,
                 SIG_IGN); /* a file past its limit is a failed write, which has its own way to end */
    log_info("node", "starting", "name=%s version=%s commit=%s data_dir=%s pid=%d",
             self->service.config->name, NODE_VERSION, NODE_COMMIT, self->service.config->data_dir,
             (int)getpid());
    supervisor_init(&self->supervisor);
    int code = steps_start(self, error);
    if (code == EXIT_CLEAN) {
        serve(self);
        code = self->code;
        if (self->error.code != ERROR_OK)
            *error = self->error;
    }
    if (atomic_load(&self->service.failed))
        exit_fatal(self);
    steps_end(self);
    if (code == EXIT_CLEAN)
        log_info("node", "stopped", "name=%s", self->service.config->name);
    return code;
}

void node_free(struct node *self)
{
    if (!self)
        return;
    handles_close(self);
    json_decref(self->service.configuration);
    pthread_mutex_destroy(&self->service.published_lock);
    free(self);
}
