/* The entry points of service.h: any thread -> mailbox -> loop. */
#include "node/service.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/logger.h"
#include "node/act.h"
#include "node/checkpoints.h"
#include "node/version.h"

#define DRAIN_BATCH    256u
/* A status this much older than now comes from a loop that hangs. */
#define STALE_MS_MIN   2000u
#define STALE_TIMEOUTS 4u /* of an election */

/* --- through the mailbox
 * --------------------------------------------------------------------------------------------------- */

static enum error_code push(struct service *self, struct work *work, struct error *error)
{
    enum error_code code = mailbox_push(self->mailbox, work, error);
    if (code != ERROR_OK)
        free(work);
    return code;
}

void service_drain(struct service *self)
{
    void *items[DRAIN_BATCH];
    uint32_t count = mailbox_take(self->mailbox, items, DRAIN_BATCH); /* what is left wakes the loop again */
    for (uint32_t i = 0; i < count; i++) {
        struct work *work = items[i];
        work->run(work);
        free(work);
    }
}

struct change_work {
    struct work work;
    struct service *service;
    uint64_t deadline_ms;
    bool forwarded;
    service_done_fn *done;
    void *context;
    size_t command_bytes;
    uint8_t command[];
};

static void change_run(struct work *work)
{
    struct change_work *change = (struct change_work *)work;
    change_start(change->service, span_of(change->command, change->command_bytes), change->deadline_ms,
                 change->forwarded, change->done, change->context);
}

enum error_code service_change(struct service *self, struct span command, uint64_t deadline_ms,
                               bool forwarded, service_done_fn *done, void *context, struct error *error)
{
    if (command.bytes == 0 || command.bytes > COMMAND_BYTES_MAX)
        return error_set(error, ERROR_TOO_BIG, "the command has %zu bytes, at most %u are allowed",
                         command.bytes, COMMAND_BYTES_MAX);
    struct change_work *change = memory_new(sizeof *change + command.bytes);
    *change = (struct change_work){.work = {change_run},
                                   .service = self,
                                   .deadline_ms = deadline_ms,
                                   .forwarded = forwarded,
                                   .done = done,
                                   .context = context,
                                   .command_bytes = command.bytes};
    memcpy(change->command, command.data, command.bytes);
    return push(self, &change->work, error);
}

struct read_work {
    struct work work;
    struct service *service;
    uint64_t index, deadline_ms;
    bool forwarded;
    service_done_fn *done;
    void *context;
};

static void confirm_run(struct work *work)
{
    struct read_work *read = (struct read_work *)work;
    confirm_start(read->service, read->deadline_ms, read->forwarded, read->done, read->context);
}

static void wait_run(struct work *work)
{
    struct read_work *read = (struct read_work *)work;
    wait_start(read->service, read->index, read->deadline_ms, read->done, read->context);
}

static enum error_code push_read(void (*run)(struct work *work), struct service *self, uint64_t index,
                                 uint64_t deadline_ms, bool forwarded, service_done_fn *done, void *context,
                                 struct error *error)
{
    struct read_work *read = memory_new(sizeof *read);
    *read = (struct read_work){.work = {run},
                               .service = self,
                               .index = index,
                               .deadline_ms = deadline_ms,
                               .forwarded = forwarded,
                               .done = done,
                               .context = context};
    return push(self, &read->work, error);
}

enum error_code service_confirm(struct service *self, uint64_t deadline_ms, bool forwarded,
                                service_done_fn *done, void *context, struct error *error)
{
    return push_read(confirm_run, self, 0, deadline_ms, forwarded, done, context, error);
}

enum error_code service_wait(struct service *self, uint64_t index, uint64_t deadline_ms,
                             service_done_fn *done, void *context, struct error *error)
{
    return push_read(wait_run, self, index, deadline_ms, false, done, context, error);
}

struct act_work {
    struct work work;
    struct act *act;
};

static void act_run(struct work *work)
{
    struct act *act = ((struct act_work *)work)->act;
    act_start(act->service, act);
}

enum error_code service_act(struct service *self, enum service_act kind, const struct json_t *body,
                            const char *request_id, const char *principal, enum audit_source source,
                            uint64_t deadline_ms, bool forwarded, service_act_fn *done, void *context,
                            struct error *error)
{
    struct act *act = memory_zero(1, sizeof *act);
    act->service = self;
    act->kind = kind;
    act->source = source;
    act->body = json_deep_copy(body); /* references are counted per thread of use */
    act->deadline_ms = deadline_ms;
    act->forwarded = forwarded;
    act->done = done;
    act->context = context;
    snprintf(act->request_id, sizeof act->request_id, "%s", request_id);
    snprintf(act->principal, sizeof act->principal, "%s", principal);
    struct act_work *work = memory_new(sizeof *work);
    *work = (struct act_work){{act_run}, act};
    if (push(self, &work->work, error) == ERROR_OK)
        return ERROR_OK;
    json_decref(act->body);
    free(act);
    return error->code;
}

/* --- checkpoints
 * ---------------------------------------------------------------------------------------------------------------
 */

struct checkpoint_work {
    struct work work;
    struct service *service;
    service_act_fn *done;
    void *context;
};

struct checkpoint_answer {
    service_act_fn *done;
    void *context;
};

static void checkpoint_refuse(service_act_fn *done, void *context, const struct error *error)
{
    json_t *json = json_pack("{s:s, s:s}", "code", error_name(error->code), "detail", error->message);
    done(context, &(struct act_answer){.status = error->code == ERROR_NO_SPACE ? 507 : 503, .json = json});
    json_decref(json);
}

static void checkpoint_made(void *context, const struct json_t *manifest, const struct error *error)
{
    struct checkpoint_answer *answer = context;
    if (error) {
        checkpoint_refuse(answer->done, answer->context, error);
    } else {
        json_t *copy = json_deep_copy(manifest);
        answer->done(answer->context, &(struct act_answer){.status = 201, .json = copy});
        json_decref(copy);
    }
    free(answer);
}

static void checkpoint_run(struct work *work)
{
    struct checkpoint_work *checkpoint = (struct checkpoint_work *)work;
    struct service *self = checkpoint->service;
    struct error error = {0};
    struct checkpoint_answer *answer = memory_new(sizeof *answer);
    *answer = (struct checkpoint_answer){checkpoint->done, checkpoint->context};
    enum error_code code = ERROR_OK;
    if (!self->joined || self->stopping || self->now.state_lost)
        code = error_set(&error, ERROR_UNAVAILABLE, "this node has no state to give");
    else
        code = checkpoints_make(self->checkpoints, checkpoint_made, answer, &error);
    if (code == ERROR_OK)
        return;
    free(answer);
    checkpoint_refuse(checkpoint->done, checkpoint->context, &error);
}

enum error_code service_checkpoint(struct service *self, service_act_fn *done, void *context,
                                   struct error *error)
{
    struct checkpoint_work *checkpoint = memory_new(sizeof *checkpoint);
    *checkpoint = (struct checkpoint_work){{checkpoint_run}, self, done, context};
    return push(self, &checkpoint->work, error);
}

enum error_code service_checkpoint_file(struct service *self, const char *checkpoint_id, const char *file,
                                        struct bytes *path, struct error *error)
{
    return checkpoints_file(self->checkpoints, checkpoint_id, file, path, error);
}

/* --- news
 * ----------------------------------------------------------------------------------------------------------------------
 */

void service_subscribe(struct service *self, service_news_fn *news, void *context)
{
    self->news = news;
    self->news_context = context;
}

/* --- at once
 * -----------------------------------------------------------------------------------------------------------------------
 */

enum error_code service_view(struct service *self, struct view **out, struct error *error)
{
    pthread_mutex_lock(&self->published_lock);
    bool joined = self->published.joined, lost = self->published.consensus.state_lost;
    pthread_mutex_unlock(&self->published_lock);
    if (!joined)
        return error_set(error, ERROR_UNAVAILABLE, "this node is not part of a cluster yet");
    if (lost)
        return error_set(error, ERROR_UNAVAILABLE, "this node is fetching its state from another node");
    *out = state_view(self->state);
    return ERROR_OK;
}

void service_view_close(struct service *self, struct view *view)
{
    state_view_close(self->state, view);
}

void service_status(struct service *self, struct service_status *out)
{
    pthread_mutex_lock(&self->published_lock);
    *out = self->published;
    pthread_mutex_unlock(&self->published_lock);
    /* A loop that hangs publishes nothing: what it led once, it leads no more. */
    uint64_t stale_ms = STALE_TIMEOUTS * (uint64_t)self->config->election_timeout_ms;
    if (stale_ms < STALE_MS_MIN)
        stale_ms = STALE_MS_MIN;
    if (now_ms(self) > out->monotonic_ms + stale_ms)
        out->write_ready = out->cluster_write_ready = false;
}

uint64_t service_now_ms(struct service *self)
{
    return now_ms(self);
}

uint64_t service_wall_ms(struct service *self)
{
    return self->clock.wall_ms(self->clock.context);
}

const char *service_version(void)
{
    return NODE_VERSION;
}

const char *service_commit(void)
{
    return NODE_COMMIT;
}

struct json_t *service_configuration(struct service *self)
{
    return json_deep_copy(self->configuration);
}

/* --- what consensus tells
 * ------------------------------------------------------------------------------------------------------------
 */

static void log_leadership(const struct service *self)
{
    static const char *const roles[] = {"follower", "candidate", "leader"};
    char id[17];
    const char *leader = self->now.leader_id == 0 ? "none" : member_name(self, self->now.leader_id);
    if (leader[0] == 0) { /* no record of it yet */
        snprintf(id, sizeof id, "%016llx", (unsigned long long)self->now.leader_id);
        leader = id;
    }
    log_info("node", "leadership", "term=%llu leader=%s role=%s ready=%s", (unsigned long long)self->now.term,
             leader, roles[self->now.role], self->now.ready ? "yes" : "no");
}

void service_on_change(void *context)
{
    struct service *self = context;
    uint64_t term = self->now.term, leader = self->now.leader_id;
    bool ready = self->now.ready;
    enum consensus_role role = self->now.role;
    status_refresh(self);
    if (term != self->now.term || leader != self->now.leader_id || ready != self->now.ready ||
        role != self->now.role)
        log_leadership(self);
    status_publish(self);
    changes_advance(self);
    confirms_advance(self);
    acts_advance(self);
}

void service_on_applied(void *context, uint64_t index, uint64_t audit_seq, const struct fsm_records *records)
{
    struct service *self = context;
    struct fsm_state state;
    self->applied_index = index;
    self->audit_seq = audit_seq;
    state_describe(self->state, &state);
    self->level = state.level;
    audit_gather(self, records);
    audit_pump(self);
    if (self->news)
        self->news(self->news_context, audit_seq);
}

void service_sweep(struct service *self)
{
    changes_sweep(self, false);
    confirms_sweep(self, false);
    acts_sweep(self, false);
    audit_pump(self);
    checkpoints_sweep(self->checkpoints);
}

void service_answer_all(struct service *self)
{
    changes_sweep(self, true);
    confirms_sweep(self, true);
    acts_sweep(self, true);
}

bool service_is_idle(const struct service *self)
{
    return self->change_count == 0 && self->confirm_count == 0 && self->act_count == 0;
}
