/* What is opened in which order, and ended in reverse: the table at the end. A step that fails ends those
 * before it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/logger.h"
#include "node/checkpoints.h"
#include "node/founding.h"
#include "node/joining.h"
#include "node/leader.h"
#include "node/node_internal.h"
#include "node/ports.h"
#include "node/quorum.h"
#include "node/transfer.h"

#define PATH_BYTES      1200u
#define LAST_ANSWERS_MS 500u

int exit_code_of(enum error_code code)
{
    switch (code) {
    case ERROR_LOCKED:
    case ERROR_IO:
    case ERROR_NO_SPACE:
    case ERROR_UNAVAILABLE:
    case ERROR_BUSY:
        return EXIT_ENVIRONMENT;
    default:
        return EXIT_REFUSED;
    }
}

static enum error_code folder_make(const char *path, struct error *error)
{
    char part[PATH_BYTES];
    CHECK(strlen(path) < sizeof part, "the configuration bounds it");
    for (const char *at = path + 1; (at = strchr(at, '/')); at++) {
        snprintf(part, sizeof part, "%.*s", (int)(at - path), path);
        if (mkdir(part, 0755) != 0 && errno != EEXIST)
            return error_set(error, ERROR_IO, "data_dir: can't make %s: %s", part, strerror(errno));
    }
    return disk_folder_make(path, error);
}

static enum error_code lock_start(struct node *self, struct error *error)
{
    const char *data_dir = self->service.config->data_dir;
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/lock", data_dir);
    if (folder_make(data_dir, error) != ERROR_OK)
        return error->code;
    return disk_lock_take(path, &self->lock, error);
}

static void lock_end(struct node *self)
{
    disk_lock_release(self->lock);
}

static enum error_code ports_start(struct node *self, struct error *error)
{
    return ports_check(self->service.config, error);
}

static void ports_end(struct node *self)
{
    (void)self;
}

static void machine_fetch(void *context, const char *folder, uint64_t index_min,
                          void (*done)(void *done_context, const struct machine_state *state,
                                       const struct error *error),
                          void *done_context)
{
    struct service *service = context;
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", service->config->data_dir, folder);
    struct transfer_request request = {.folder = path,
                                       .index_min = index_min,
                                       .generation = service->now.generation,
                                       .done = done,
                                       .context = done_context};
    memcpy(request.cluster_id, service->now.cluster_id, sizeof request.cluster_id);
    status_refresh(service);
    const char *leader = leader_elsewhere(service); /* it has it all */
    if (leader)
        request.sources[request.source_count++] = leader;
    for (uint32_t i = 0; i < service->members.count && request.source_count < NODES_MAX; i++)
        if (!service->members.rows[i].removed && service->members.rows[i].node_id != service->now.node_id &&
            service->members.rows[i].node_id != service->now.leader_id && service->members.rows[i].url[0])
            request.sources[request.source_count++] = service->members.rows[i].url;
    request.source_count +=
        joining_peers(service->joining, request.sources + request.source_count, NODES_MAX);
    for (uint32_t i = 0; i < service->config->join_count; i++)
        request.sources[request.source_count++] = service->config->join[i];
    if (request.source_count == 0) /* only the lost state knew */
        log_error("node", "the state must be fetched, and no other node is known",
                  "folder=%s go_on=\"name the other nodes in join: and start again\"", path);
    transfer_fetch(service->transfer, &request);
}

static struct fsm *machine_take(void *context, const char *folder)
{
    struct service *service = context;
    return service->transfer ? transfer_take(service->transfer, folder) : NULL;
}

struct retirement {
    struct worker_job job;
    struct state *state;
    struct state_hold *hold;
};

static void retire_work(struct worker_job *job)
{
    struct retirement *retirement = (struct retirement *)job;
    state_release(retirement->state, retirement->hold);
}

static void retire_done(struct worker_job *job)
{
    free(job);
}

static void machine_retire(void *context, struct state_hold *hold)
{
    struct service *service = context;
    CHECK(service->store_worker != NULL, "it outlives consensus");
    struct retirement *retirement = memory_zero(1, sizeof *retirement);
    retirement->job = (struct worker_job){.work = retire_work, .done = retire_done};
    retirement->state = service->state;
    retirement->hold = hold;
    worker_submit(service->store_worker, &retirement->job);
}

static void consensus_changed(void *context)
{
    struct node *self = context;
    service_on_change(&self->service);
}

static enum error_code log_start(struct node *self, struct error *error)
{
    struct service *service = &self->service;
    const struct config *config = service->config;
    char folder[PATH_BYTES];
    uint64_t seed = 0;
    random_bytes(&seed, sizeof seed);
    snprintf(folder, sizeof folder, "%s/log", config->data_dir);
    struct state_options state = {.data_dir = config->data_dir,
                                  .clock = service->clock,
                                  .on_applied = service_on_applied,
                                  .fetch = machine_fetch,
                                  .take = machine_take,
                                  .retire = machine_retire,
                                  .context = service};
    service->state = state_new(&state);
    struct consensus_options options = {.loop = &self->loop,
                                        .clock = service->clock,
                                        .folder = folder,
                                        .listen_address = config->wire_listen,
                                        .advertise_address = config->wire_advertise,
                                        .election_timeout_ms = config->election_timeout_ms,
                                        .heartbeat_ms = config->heartbeat_ms,
                                        .snapshot_entries = config->snapshot_entries,
                                        .trailing_entries = config->trailing_entries,
                                        .reserve_bytes = config->reserve_bytes,
                                        .seed = seed,
                                        .machine = state_machine(service->state),
                                        .set_timer = node_set_timer,
                                        .on_change = consensus_changed,
                                        .on_fatal = node_on_fatal,
                                        .context = self};
    if (consensus_open(&options, &service->consensus, error) == ERROR_OK)
        return ERROR_OK;
    state_free(service->state);
    service->state = NULL;
    return error->code;
}

static void consensus_is_closed(void *context)
{
    struct node *self = context;
    self->service.consensus_closed = true;
}

/** Consensus needs the store until it is closed: whichever of the steps it spans ends first, closes it. */
static void consensus_finish(struct node *self)
{
    struct service *service = &self->service;
    struct consensus *consensus = service->consensus;
    if (!consensus)
        return;
    service->joined = false;   /* no more turns */
    service->consensus = NULL; /* what it calls back may not call it again */
    uv_timer_stop(&service->sweep_timer);
    uv_timer_stop(&service->publish_timer);
    consensus_close(consensus, consensus_is_closed, self);
    while (!service->consensus_closed)
        uv_run(&self->loop, UV_RUN_ONCE);
}

static void log_end(struct node *self)
{
    consensus_finish(self);
    state_free(self->service.state);
    self->service.state = NULL;
}

static enum error_code state_start(struct node *self, struct error *error)
{
    struct service *service = &self->service;
    struct fsm_state state;
    if (state_open(service->state, consensus_state_folder(service->consensus), error) != ERROR_OK)
        return error->code;
    state_describe(service->state, &state);
    service->applied_index = state.index;
    service->flush.index = state.index;
    service->audit_seq = state.audit_seq;
    service->level = state.level;
    return ERROR_OK;
}

static void state_end(struct node *self)
{
    consensus_finish(self);
    state_close(self->service.state);
}

static enum error_code mirror_start(struct node *self, struct error *error)
{
    return audit_open(&self->service, error);
}

static void mirror_end(struct node *self)
{
    audit_close(&self->service);
}

/** Others dial what the membership says until this node has told one of them where it is now. */
static void warn_of_move(const struct service *service)
{
    for (uint32_t i = 0; i < service->now.member_count; i++) {
        const struct consensus_member *own = &service->now.members[i];
        if (own->node_id != service->now.node_id ||
            strcmp(own->address, service->config->wire_advertise) == 0)
            continue;
        log_warn(
            "node", "another wire address than the membership has for this node",
            "configured=%s membership=%s go_on=\"others learn it from this node's handshake; change one "
            "node at a time, or set wire.advertise back; to have it in the membership, remove this member "
            "(autonomy ha members remove %s) and let it join with an empty folder\"",
            service->config->wire_advertise, own->address, service->config->name);
    }
}

static enum error_code consensus_begin(struct node *self, struct error *error)
{
    struct service *service = &self->service;
    struct consensus_status status;
    consensus_status(service->consensus, &status);
    if (state_identify(service->state, status.cluster_id, status.generation, error) != ERROR_OK ||
        consensus_start(service->consensus, error) != ERROR_OK)
        return error->code;
    service->joined = true;
    status_publish(service);
    warn_of_move(service);
    log_info("node", "started", "name=%s node=%016llx cluster=%s applied=%llu api=%s wire=%s",
             service->config->name, (unsigned long long)status.node_id, status.cluster_id,
             (unsigned long long)service->applied_index, service->config->api_advertise_url,
             service->config->wire_advertise);
    return ERROR_OK;
}

/** The join's end. */
static void on_joined(void *context)
{
    struct node *self = context;
    struct error error = {0};
    if (consensus_begin(self, &error) != ERROR_OK) {
        log_error("node", "can't start", "error=\"%s\"", error.message);
        node_finish(self, exit_code_of(error.code), &error);
    }
}

static enum error_code found(struct node *self, struct error *error)
{
    if (consensus_bootstrap(self->service.consensus, error) != ERROR_OK)
        return error->code;
    return consensus_begin(self, error);
}

static void on_decided(void *context, bool elsewhere)
{
    struct node *self = context;
    struct error error = {0};
    if (elsewhere || self->phase != PHASE_RUNNING) /* to be joined: the next turn asks */
        return;
    if (found(self, &error) != ERROR_OK) {
        log_error("node", "can't start", "error=\"%s\"", error.message);
        node_finish(self, exit_code_of(error.code), &error);
    }
}

static enum error_code cluster_start(struct node *self, struct error *error)
{
    struct service *service = &self->service;
    const struct config *config = service->config;
    if (consensus_has_cluster(service->consensus))
        return consensus_begin(self, error);
    if (config->bootstrap) {
        self->founding = founding_open(service, on_decided, self);
        return self->founding ? ERROR_OK : found(self, error);
    }
    if (config->join_count == 0)
        return error_set(error, ERROR_INVALID,
                         "%s belongs to no cluster yet: set `bootstrap: true` on exactly one node, and "
                         "`join: [URL, ...]` with its "
                         "URL on the others",
                         config->data_dir);
    log_info("node", "asking to be let in", "name=%s nodes=%u", config->name, config->join_count);
    return ERROR_OK;
}

static enum error_code parts_start(struct node *self, struct error *error)
{
    struct service *service = &self->service;
    if (worker_open(&self->loop, "checkpoints", &service->store_worker, error) != ERROR_OK)
        return error->code;
    if (transfer_open(&self->loop, &service->transfer, error) != ERROR_OK) {
        worker_close(service->store_worker);
        service->store_worker = NULL;
        return error->code;
    }
    service->client = client_open(&self->loop);
    service->checkpoints =
        checkpoints_open(service->config->data_dir, service->state, service->store_worker, service->clock);
    service->leader = leader_open(service);
    service->joining = joining_open(service, on_joined, self);
    service->quorum = quorum_watch_open(service);
    (void)uv_timer_start(&service->sweep_timer, node_on_sweep, SWEEP_MS, SWEEP_MS);
    (void)uv_timer_start(&service->publish_timer, node_on_publish, PUBLISH_MS, PUBLISH_MS);
    return ERROR_OK;
}

static void parts_end(struct node *self)
{
    struct service *service = &self->service;
    uv_timer_stop(&service->sweep_timer);
    uv_timer_stop(&service->publish_timer);
    consensus_finish(self);
    client_close(service->client);
    transfer_close(service->transfer);
    worker_close(service->store_worker);
    service->store_worker = NULL;
    checkpoints_close(service->checkpoints);
    joining_close(service->joining);
    leader_close(service->leader);
    quorum_watch_close(service->quorum);
}

static void cluster_end(struct node *self)
{
    founding_close(self->founding);
    self->founding = NULL;
    service_answer_all(&self->service);
    transfer_close(self->service.transfer); /* its `done` is consensus' */
    self->service.transfer = NULL;
    consensus_finish(self);
}

static enum error_code http_start(struct node *self, struct error *error)
{
    const struct config *config = self->service.config;
    struct http_options options = {.service = &self->service,
                                   .listen_address = config->api_listen,
                                   .threads = config->api_threads,
                                   .connections_max = config->api_connections,
                                   .connections_per_address_max = config->api_connections_per_address,
                                   .body_bytes_max = config->api_body_bytes,
                                   .header_timeout_s =
                                       (uint32_t)((config->api_header_timeout_ms + 999) / 1000),
                                   .write_timeout_ms = config->api_write_timeout_ms};
    status_publish(&self->service);
    return http_server_open(&options, &self->http, error);
}

static void http_end(struct node *self)
{
    struct service *service = &self->service;
    http_server_quiesce(self->http);
    mailbox_close(service->mailbox);
    service_drain(service); /* what was pushed before; its answers are below */
    worker_drain(service->store_worker);
    service_answer_all(service);
    for (unsigned waited = 0; http_server_busy(self->http) > 0 && waited < LAST_ANSWERS_MS; waited += 5)
        uv_sleep(5); /* answers are on their way out of HTTP's threads */
    http_server_close(self->http);
    self->http = NULL;
}

static const struct step {
    const char *name;
    enum error_code (*start)(struct node *self, struct error *error);
    void (*end)(struct node *self);
} steps[] = {
    {"lock", lock_start, lock_end},       /* nobody else has the data folder */
    {"ports", ports_start, ports_end},    /* nobody else has them: said before a cluster hears of this node */
    {"log", log_start, log_end},          /* consensus_open: the log names the store's folder */
    {"state", state_start, state_end},    /* the store */
    {"mirror", mirror_start, mirror_end}, /* audit/ */
    {"parts", parts_start,
     parts_end}, /* client, transfer, leader, joining: they need only memory and threads */
    {"cluster", cluster_start, cluster_end}, /* bootstrap, or consensus_start, or the join begins */
    {"http", http_start, http_end},
};
#define STEPS (sizeof steps / sizeof steps[0])

int steps_start(struct node *self, struct error *error)
{
    for (self->started = 0; self->started < STEPS; self->started++) {
        const struct step *step = &steps[self->started];
        supervisor_say(&self->supervisor, "starting: %s", step->name);
        if (step->start(self, error) == ERROR_OK)
            continue;
        log_error("node", "can't start", "step=%s error=\"%s\"", step->name, error->message);
        supervisor_say(&self->supervisor, "can't start: %s", error->message);
        return exit_code_of(error->code);
    }
    return EXIT_CLEAN;
}

void steps_end(struct node *self)
{
    while (self->started > 0)
        steps[--self->started].end(self);
}
