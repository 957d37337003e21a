#include "tests/support/service_fake.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/schema.h"
#include "fsm/result.h"

#define FAKE_JOBS_MAX 256u
#define FAKE_TERM     7u
#define FAKE_TICK_MS  5u

enum job_kind { JOB_CHANGE, JOB_CONFIRM, JOB_WAIT, JOB_ACT };

struct job {
    enum job_kind kind;
    struct bytes command;
    uint64_t index, deadline_ms;
    service_done_fn *done;
    service_act_fn *act_done;
    void *context;
};

struct service {
    pthread_mutex_t lock; /* all below but the state machine's own */
    pthread_cond_t changed;
    pthread_t thread;
    struct clock clock;
    struct fsm *fsm;
    struct job jobs[FAKE_JOBS_MAX]; /* in the order they came */
    uint32_t job_count, busy;
    bool stopping, held, at_once, quorum;
    struct error refuse, fail;
    uint64_t advance_ms, index;
    struct service_status status;
    struct service_fake_seen seen;
    uint32_t act_status;
    json_t *act_json;
    char file[512];
    char folder[256]; /* of the state */
    service_news_fn *news;
    void *news_context;
    struct span body; /* instead of what a change really answers */
};

static uint64_t monotonic_ms(const struct service *self)
{
    return self->clock.monotonic_ms(self->clock.context);
}

/* --- the loop thread --- */

static void apply_one(struct service *self, struct bytes *command, struct outcome *out)
{
    struct error error = {0};
    struct result result = {0};
    command_stamp(command->data, command->length, service_wall_ms(self), FSM_LEVEL);
    struct entry entry = {
        .index = self->index + 1, .term = FAKE_TERM, .type = ENTRY_COMMAND, .data = bytes_span(command)};
    enum error_code code = fsm_apply(self->fsm, &entry, 1, &result, &error);
    CHECK(code == ERROR_OK, "apply: %s", error.message);
    pthread_mutex_lock(&self->lock);
    self->index++;
    self->status.consensus.applied_index = self->index;
    self->status.consensus.commit_index = self->index;
    self->status.digest_index = self->index;
    struct fsm_state state;
    fsm_describe(self->fsm, &state);
    self->status.audit_seq = state.audit_seq;
    self->status.mirror_seq = state.audit_seq;
    memcpy(self->status.digest, state.digest, DIGEST_BYTES);
    if (self->news != NULL)
        self->news(self->news_context, state.audit_seq);
    struct span body = self->body.data != NULL ? self->body : result.body;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
    *out = (struct outcome){.code = result.code,
                            .index = result.index,
                            .term = FAKE_TERM,
                            .audit_seq = result.audit_seq,
                            .repeated = result.repeated,
                            .body = body};
}

static void fail_with(struct outcome *out, enum error_code code, const char *message)
{
    *out = (struct outcome){.error = code};
    snprintf(out->message, sizeof(out->message), "%s", message);
}

/* @return false: it isn't time for this one yet */
static bool job_due(const struct service *self, const struct job *job)
{
    uint64_t now_ms = monotonic_ms(self);
    if (self->stopping)
        return true;
    if (self->held)
        return false;
    if (job->kind == JOB_WAIT)
        return self->index > job->index || now_ms >= job->deadline_ms;
    if ((job->kind == JOB_CHANGE || job->kind == JOB_CONFIRM) && !self->quorum)
        return now_ms >= job->deadline_ms;
    return true;
}

static void answer_act(struct service *self, struct job *job, const struct error *fail)
{
    pthread_mutex_lock(&self->lock);
    json_t *json = self->act_json != NULL ? json_deep_copy(self->act_json) : json_pack("{s:b}", "success", 1);
    uint32_t status = self->act_status;
    pthread_mutex_unlock(&self->lock);
    if (fail->code != ERROR_OK) {
        json_decref(json);
        json = json_pack("{s:s, s:s}", "code", error_name(fail->code), "detail", fail->message);
        status = 503;
    }
    struct act_answer answer = {.status = status, .json = json};
    job->act_done(job->context, &answer);
    json_decref(json);
}

static void run(struct service *self, struct job *job, const struct error *fail, bool quorum, bool stopping)
{
    struct outcome outcome = {.term = FAKE_TERM, .index = self->index};
    if (job->kind == JOB_ACT) {
        answer_act(self, job, fail);
        return;
    }
    if (fail->code != ERROR_OK)
        fail_with(&outcome, fail->code, fail->message);
    else if (stopping)
        fail_with(&outcome, ERROR_CLOSED, "this node is shutting down");
    else if (!quorum && job->kind == JOB_CHANGE)
        fail_with(&outcome, ERROR_UNKNOWN, "no majority answered in time; the change may still happen");
    else if (!quorum && job->kind == JOB_CONFIRM)
        fail_with(&outcome, ERROR_UNAVAILABLE, "no majority answered in time");
    else if (job->kind == JOB_CHANGE)
        apply_one(self, &job->command, &outcome);
    job->done(job->context, &outcome);
}

static bool take_due(struct service *self, struct job *out)
{
    for (uint32_t i = 0; i < self->job_count; i++)
        if (job_due(self, &self->jobs[i])) {
            *out = self->jobs[i];
            memmove(&self->jobs[i], &self->jobs[i + 1], (self->job_count - i - 1) * sizeof(self->jobs[0]));
            self->job_count--;
            return true;
        }
    return false;
}

static void *loop(void *context)
{
    struct service *self = context;
    pthread_mutex_lock(&self->lock);
    while (!self->stopping || self->job_count > 0) {
        struct job job;
        if (!take_due(self, &job)) {
            struct timespec until;
            clock_gettime(CLOCK_REALTIME, &until);
            until.tv_nsec += (long)FAKE_TICK_MS * 1000000L;
            until.tv_sec += until.tv_nsec / 1000000000L;
            until.tv_nsec %= 1000000000L;
            pthread_cond_timedwait(&self->changed, &self->lock, &until);
            continue;
        }
        struct error fail = self->fail;
        bool quorum = self->quorum, stopping = self->stopping;
        self->busy++;
        pthread_mutex_unlock(&self->lock);
        run(self, &job, &fail, quorum, stopping);
        bytes_done(&job.command);
        pthread_mutex_lock(&self->lock);
        self->busy--;
        pthread_cond_broadcast(&self->changed);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

static enum error_code push(struct service *self, const struct job *job, struct error *error)
{
    pthread_mutex_lock(&self->lock);
    enum error_code code = self->refuse.code;
    uint64_t now_ms = monotonic_ms(self);
    self->seen.deadline_ms = job->deadline_ms > now_ms ? job->deadline_ms - now_ms : 0;
    if (code != ERROR_OK) {
        error_set(error, code, "%s", self->refuse.message);
    } else if (self->stopping) {
        code = error_set(error, ERROR_CLOSED, "this node is shutting down");
    } else {
        CHECK(self->job_count < FAKE_JOBS_MAX, "too many at once for a fake");
        self->jobs[self->job_count++] = *job;
        pthread_cond_broadcast(&self->changed);
        while (self->at_once && (self->job_count > 0 || self->busy > 0))
            pthread_cond_wait(&self->changed, &self->lock);
    }
    pthread_mutex_unlock(&self->lock);
    return code;
}

/* --- its life --- */

static void take_office(struct service *self)
{
    struct error error = {0};
    struct arena arena;
    struct bytes command;
    struct outcome outcome;
    const struct command_type *type = command_by_name("leader.elected");
    arena_init(&arena, 1u << 20);
    bytes_init(&command, 0);
    void *record = arena_new(&arena, type->schema->bytes);
    json_t *json = json_pack("{s:i, s:i, s:s}", "node_id", 1, "term", (int)FAKE_TERM, "cause", "election");
    enum error_code code = schema_from_json(type->schema, json, &arena, record, &error);
    CHECK(code == ERROR_OK, "%s", error.message);
    code = command_encode(type, "", "system", service_wall_ms(self), record, &command, &error);
    CHECK(code == ERROR_OK, "%s", error.message);
    json_decref(json);
    apply_one(self, &command, &outcome);
    CHECK(result_succeeded(outcome.code), "leader.elected: %s", result_name(outcome.code));
    bytes_done(&command);
    arena_done(&arena);
}

static void fill_status(struct service_status *status)
{
    *status = (struct service_status){
        .name = "n1",
        .leader_name = "n1",
        .leader_url = "http://127.0.0.1:7101",
        .leader_acquired_at = "2026-01-02T03:04:05.678Z",
        .member_count = 3,
        .write_lag_ms = 3,
        .replay_lag_ms = UINT64_MAX,
        .sync_replica_count = 2,
        .lag_status = "ok",
        .quorum_health = "healthy",
        .quorum_loss_reason = "",
        .write_ready = true,
        .cluster_write_ready = true,
        .joined = true,
        .started_wall_ms = 1767323045678,
    };
    status->consensus = (struct consensus_status){
        .node_id = 1,
        .cluster_id = "0123456789abcdef0123456789abcdef",
        .role = CONSENSUS_LEADER,
        .ready = true,
        .quorum = true,
        .term = FAKE_TERM,
        .leader_id = 1,
        .member_count = 3,
    };
    for (uint32_t i = 0; i < 3; i++) {
        status->members[i].node_id = i + 1;
        snprintf(status->members[i].name, sizeof(status->members[i].name), "n%u", i + 1);
        snprintf(status->members[i].url, sizeof(status->members[i].url), "http://127.0.0.1:%u", 7101 + i);
        struct consensus_member *row = &status->consensus.members[i];
        row->node_id = i + 1;
        row->role = i < 2 ? MEMBER_VOTER : MEMBER_STANDBY;
        row->connected = i < 2;
        row->heard_ms = i < 2 ? 12 : UINT64_MAX;
        row->match_index = i < 2 ? 1 : 0;
        snprintf(row->address, sizeof(row->address), "127.0.0.1:%u", 7201 + i);
    }
}

struct service *service_fake_new(const char *folder)
{
    struct error error = {0};
    struct service *self = memory_zero(1, sizeof(*self));
    self->clock = clock_system();
    self->quorum = true;
    self->act_status = 200;
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, NULL);
    fill_status(&self->status);
    snprintf(self->folder, sizeof(self->folder), "%s", folder);
    CHECK(fsm_open(folder, true, &self->fsm, &error) == ERROR_OK, "%s", error.message);
    take_office(self);
    int failed = pthread_create(&self->thread, NULL, loop, self);
    CHECK(failed == 0, "pthread_create: %d", failed);
    return self;
}

void service_fake_stop(struct service *self)
{
    pthread_mutex_lock(&self->lock);
    bool was = self->stopping;
    self->stopping = true;
    self->status.stopping = true;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
    if (!was)
        pthread_join(self->thread, NULL);
}

void service_fake_free(struct service *self)
{
    service_fake_stop(self);
    fsm_close(self->fsm);
    json_decref(self->act_json);
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

/* --- knobs --- */

static void set_error(struct service *self, struct error *which, enum error_code code, const char *message)
{
    pthread_mutex_lock(&self->lock);
    *which = (struct error){0};
    if (code != ERROR_OK)
        error_set(which, code, "%s", message);
    pthread_mutex_unlock(&self->lock);
}

void service_fake_refuse(struct service *self, enum error_code code, const char *message)
{
    set_error(self, &self->refuse, code, message);
}

void service_fake_fail(struct service *self, enum error_code code, const char *message)
{
    set_error(self, &self->fail, code, message);
}

static void set_flag(struct service *self, bool *which, bool value)
{
    pthread_mutex_lock(&self->lock);
    *which = value;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
}

void service_fake_quorum(struct service *self, bool quorum)
{
    set_flag(self, &self->quorum, quorum);
}

void service_fake_hold(struct service *self, bool held)
{
    set_flag(self, &self->held, held);
}

void service_fake_at_once(struct service *self, bool at_once)
{
    set_flag(self, &self->at_once, at_once);
}

void service_fake_advance_ms(struct service *self, uint64_t ms)
{
    pthread_mutex_lock(&self->lock);
    self->advance_ms += ms;
    pthread_mutex_unlock(&self->lock);
}

struct service_status *service_fake_status_lock(struct service *self)
{
    pthread_mutex_lock(&self->lock);
    return &self->status;
}

void service_fake_status_unlock(struct service *self)
{
    pthread_mutex_unlock(&self->lock);
}

void service_fake_act_answer(struct service *self, uint32_t status, struct json_t *json)
{
    pthread_mutex_lock(&self->lock);
    json_decref(self->act_json);
    self->act_json = json;
    self->act_status = status;
    pthread_mutex_unlock(&self->lock);
}

void service_fake_body(struct service *self, struct span body)
{
    pthread_mutex_lock(&self->lock);
    self->body = body;
    pthread_mutex_unlock(&self->lock);
}

void service_fake_tamper(struct service *self, void (*change)(struct kv *kv))
{
    struct error error = {0};
    struct kv_options options = {0};
    struct kv *kv = NULL;
    CHECK(fsm_flush(self->fsm, &error) == ERROR_OK, "%s", error.message);
    fsm_close(self->fsm);
    CHECK(kv_open(self->folder, &options, &kv, &error) == ERROR_OK, "%s", error.message);
    change(kv);
    CHECK(kv_flush(kv, &error) == ERROR_OK, "%s", error.message);
    kv_close(kv);
    CHECK(fsm_open(self->folder, false, &self->fsm, &error) == ERROR_OK, "%s", error.message);
}

void service_fake_file(struct service *self, const char *path)
{
    snprintf(self->file, sizeof(self->file), "%s", path);
}

void service_fake_seen(struct service *self, struct service_fake_seen *out)
{
    pthread_mutex_lock(&self->lock);
    *out = self->seen;
    out->queued = self->job_count;
    pthread_mutex_unlock(&self->lock);
}

/* --- node/service.h --- */

enum error_code service_change(struct service *self, struct span command, uint64_t deadline_ms,
                               bool forwarded, service_done_fn *done, void *context, struct error *error)
{
    struct job job = {.kind = JOB_CHANGE, .deadline_ms = deadline_ms, .done = done, .context = context};
    pthread_mutex_lock(&self->lock);
    self->seen.changes++;
    self->seen.forwarded = forwarded;
    pthread_mutex_unlock(&self->lock);
    bytes_init(&job.command, 0);
    bytes_append(&job.command, command.data, command.bytes);
    enum error_code code = push(self, &job, error);
    if (code != ERROR_OK)
        bytes_done(&job.command);
    return code;
}

enum error_code service_confirm(struct service *self, uint64_t deadline_ms, bool forwarded,
                                service_done_fn *done, void *context, struct error *error)
{
    struct job job = {.kind = JOB_CONFIRM, .deadline_ms = deadline_ms, .done = done, .context = context};
    pthread_mutex_lock(&self->lock);
    self->seen.confirms++;
    self->seen.forwarded = forwarded;
    pthread_mutex_unlock(&self->lock);
    return push(self, &job, error);
}

enum error_code service_wait(struct service *self, uint64_t index, uint64_t deadline_ms,
                             service_done_fn *done, void *context, struct error *error)
{
    struct job job = {
        .kind = JOB_WAIT, .index = index, .deadline_ms = deadline_ms, .done = done, .context = context};
    pthread_mutex_lock(&self->lock);
    self->seen.waits++;
    pthread_mutex_unlock(&self->lock);
    return push(self, &job, error);
}

void service_subscribe(struct service *self, service_news_fn *news, void *context)
{
    pthread_mutex_lock(&self->lock);
    self->news = news;
    self->news_context = context;
    pthread_mutex_unlock(&self->lock);
}

enum error_code service_view(struct service *self, struct view **out, struct error *error)
{
    pthread_mutex_lock(&self->lock);
    bool joined = self->status.joined;
    pthread_mutex_unlock(&self->lock);
    if (!joined)
        return error_set(error, ERROR_UNAVAILABLE, "this node is not in a cluster yet");
    *out = view_open(self->fsm);
    return ERROR_OK;
}

void service_view_close(struct service *self, struct view *view)
{
    (void)self;
    view_close(view);
}

enum error_code service_act(struct service *self, enum service_act act, const struct json_t *body,
                            const char *request_id, const char *principal, enum audit_source source,
                            uint64_t deadline_ms, bool forwarded, service_act_fn *done, void *context,
                            struct error *error)
{
    struct job job = {.kind = JOB_ACT, .deadline_ms = deadline_ms, .act_done = done, .context = context};
    char *text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);
    pthread_mutex_lock(&self->lock);
    self->seen.acts++;
    self->seen.act = act;
    self->seen.forwarded = forwarded;
    self->seen.source = source;
    snprintf(self->seen.act_body, sizeof(self->seen.act_body), "%s", text);
    snprintf(self->seen.request_id, sizeof(self->seen.request_id), "%s", request_id);
    snprintf(self->seen.principal, sizeof(self->seen.principal), "%s", principal);
    pthread_mutex_unlock(&self->lock);
    free(text);
    return push(self, &job, error);
}

void service_status(struct service *self, struct service_status *out)
{
    pthread_mutex_lock(&self->lock);
    *out = self->status;
    pthread_mutex_unlock(&self->lock);
    out->monotonic_ms = monotonic_ms(self);
    out->wall_ms = service_wall_ms(self);
}

uint64_t service_now_ms(struct service *self)
{
    return monotonic_ms(self);
}

uint64_t service_wall_ms(struct service *self)
{
    pthread_mutex_lock(&self->lock);
    uint64_t advance_ms = self->advance_ms;
    pthread_mutex_unlock(&self->lock);
    return self->clock.wall_ms(self->clock.context) + advance_ms;
}

enum error_code service_checkpoint(struct service *self, service_act_fn *done, void *context,
                                   struct error *error)
{
    struct job job = {.kind = JOB_ACT, .act_done = done, .context = context};
    return push(self, &job, error);
}

enum error_code service_checkpoint_file(struct service *self, const char *checkpoint_id, const char *file,
                                        struct bytes *path, struct error *error)
{
    if (self->file[0] == '\0' || strcmp(file, "000001.sst") != 0)
        return error_set(error, ERROR_NOT_FOUND, "checkpoint %s has no file %s", checkpoint_id, file);
    bytes_append_text(path, self->file);
    return ERROR_OK;
}

const char *service_version(void)
{
    return "0.1.0";
}

const char *service_commit(void)
{
    return "0123abcd";
}

struct json_t *service_configuration(struct service *self)
{
    (void)self;
    return json_pack("{s:{s:s}, s:s}", "node", "name", "n1", "token", "(redacted)");
}
