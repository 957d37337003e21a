#include "base/worker.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/check.h"

struct queue {
    struct worker_job *first;
    struct worker_job **end; /* where the next one is hung */
};

struct worker {
    uv_thread_t thread;
    uv_async_t async;     /* its memory outlives worker_close(): the loop lets go of it in a later turn */
    uint64_t outstanding; /* loop thread: submitted, `done` not yet begun */
    uv_mutex_t lock;      /* guards what follows */
    uv_cond_t wake;       /* for the thread: a job or the end */
    uv_cond_t idle;       /* for the loop: nothing waits or runs */
    struct queue waiting;
    struct queue finished;
    bool running;
    bool closing;
    char name[16];
};

static void queue_init(struct queue *queue)
{
    queue->first = NULL;
    queue->end = &queue->first;
}

static void queue_push(struct queue *queue, struct worker_job *job)
{
    job->next = NULL;
    *queue->end = job;
    queue->end = &job->next;
}

static struct worker_job *queue_pop(struct queue *queue)
{
    struct worker_job *job = queue->first;
    if (job) {
        queue->first = job->next;
        if (!queue->first)
            queue->end = &queue->first;
        job->next = NULL;
    }
    return job;
}

static void run(void *context)
{
    struct worker *self = context;
    pthread_setname_np(pthread_self(), self->name);
    uv_mutex_lock(&self->lock);
    for (;;) {
        struct worker_job *job = queue_pop(&self->waiting);
        if (!job && self->closing)
            break;
        if (!job) {
            uv_cond_signal(&self->idle);
            uv_cond_wait(&self->wake, &self->lock);
            continue;
        }
        self->running = true;
        uv_mutex_unlock(&self->lock);
        job->work(job);
        uv_mutex_lock(&self->lock);
        self->running = false;
        queue_push(&self->finished, job);
        uv_async_send(&self->async);
    }
    uv_mutex_unlock(&self->lock);
}

/* Takes one at a time: a `done` may submit or close, and what finished meanwhile follows in order. */
static void run_done(struct worker *self)
{
    for (;;) {
        uv_mutex_lock(&self->lock);
        struct worker_job *job = queue_pop(&self->finished);
        uv_mutex_unlock(&self->lock);
        if (!job)
            return;
        CHECK(self->outstanding > 0, "worker \"%s\" finished more than it was given", self->name);
        if (--self->outstanding == 0)
            uv_unref((uv_handle_t *)&self->async); /* an idle worker doesn't keep the loop alive */
        job->done(job);
    }
}

static void on_async(uv_async_t *async)
{
    struct worker *self = async->data;
    run_done(self);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void release_locks(struct worker *self)
{
    uv_cond_destroy(&self->idle);
    uv_cond_destroy(&self->wake);
    uv_mutex_destroy(&self->lock);
}

enum error_code worker_open(struct uv_loop_s *loop, const char *name, struct worker **out,
                            struct error *error)
{
    CHECK(strlen(name) < sizeof((struct worker){0}.name), "thread name \"%s\" is too long", name);
    struct worker *self = memory_zero(1, sizeof(*self));
    memcpy(self->name, name, strlen(name));
    queue_init(&self->waiting);
    queue_init(&self->finished);
    int rc = uv_async_init(loop, &self->async, on_async);
    if (rc != 0) {
        free(self);
        return error_set(error, ERROR_IO, "worker \"%s\": can't reach the loop: %s", name, uv_strerror(rc));
    }
    self->async.data = self;
    uv_unref((uv_handle_t *)&self->async);
    CHECK(uv_mutex_init(&self->lock) == 0, "worker \"%s\": no mutex", name);
    CHECK(uv_cond_init(&self->wake) == 0, "worker \"%s\": no condition", name);
    CHECK(uv_cond_init(&self->idle) == 0, "worker \"%s\": no condition", name);
    rc = uv_thread_create(&self->thread, run, self);
    if (rc != 0) {
        release_locks(self);
        uv_close((uv_handle_t *)&self->async, on_closed);
        return error_set(error, ERROR_IO, "worker \"%s\": can't start its thread: %s", name, uv_strerror(rc));
    }
    *out = self;
    return ERROR_OK;
}

void worker_submit(struct worker *self, struct worker_job *job)
{
    uv_mutex_lock(&self->lock);
    CHECK(!self->closing, "worker \"%s\" is closing", self->name);
    queue_push(&self->waiting, job);
    uv_cond_signal(&self->wake);
    uv_mutex_unlock(&self->lock);
    if (self->outstanding++ == 0)
        uv_ref((uv_handle_t *)&self->async);
}

void worker_drain(struct worker *self)
{
    while (self->outstanding > 0) { /* again: a `done` may have submitted more */
        uv_mutex_lock(&self->lock);
        while (self->waiting.first || self->running)
            uv_cond_wait(&self->idle, &self->lock);
        uv_mutex_unlock(&self->lock);
        run_done(self);
    }
}

void worker_close(struct worker *self)
{
    if (!self)
        return;
    worker_drain(self);
    uv_mutex_lock(&self->lock);
    self->closing = true;
    uv_cond_signal(&self->wake);
    uv_mutex_unlock(&self->lock);
    CHECK(uv_thread_join(&self->thread) == 0, "worker \"%s\" can't be joined", self->name);
    release_locks(self);
    uv_close((uv_handle_t *)&self->async, on_closed);
}
