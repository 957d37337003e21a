#include "node/http/lane.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"

struct lane_job {
    lane_job_fn *run;
    void *context;
};

struct lane {
    pthread_mutex_t lock; /* all below */
    pthread_cond_t changed;
    pthread_t thread;
    struct lane_job jobs[LANE_JOBS_MAX]; /* a ring */
    uint32_t first, count;
    bool stopping;
};

static void *work(void *context)
{
    struct lane *self = context;
    pthread_mutex_lock(&self->lock);
    for (;;) {
        while (self->count == 0 && !self->stopping)
            pthread_cond_wait(&self->changed, &self->lock);
        if (self->count == 0)
            break;
        struct lane_job job = self->jobs[self->first];
        self->first = (self->first + 1) % LANE_JOBS_MAX;
        self->count--;
        pthread_mutex_unlock(&self->lock);
        job.run(job.context);
        pthread_mutex_lock(&self->lock);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

struct lane *lane_new(void)
{
    struct lane *self = memory_zero(1, sizeof(*self));
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, NULL);
    int failed = pthread_create(&self->thread, NULL, work, self);
    CHECK(failed == 0, "pthread_create: %d", failed);
    pthread_setname_np(self->thread, "http-lane");
    return self;
}

void lane_free(struct lane *self)
{
    if (self == NULL)
        return;
    pthread_mutex_lock(&self->lock);
    CHECK(self->count == 0, "%u reads still wait", self->count);
    self->stopping = true;
    pthread_cond_signal(&self->changed);
    pthread_mutex_unlock(&self->lock);
    pthread_join(self->thread, NULL);
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

bool lane_push(struct lane *self, lane_job_fn *job, void *context)
{
    pthread_mutex_lock(&self->lock);
    bool room = self->count < LANE_JOBS_MAX && !self->stopping;
    if (room) {
        self->jobs[(self->first + self->count) % LANE_JOBS_MAX] = (struct lane_job){job, context};
        self->count++;
        pthread_cond_signal(&self->changed);
    }
    pthread_mutex_unlock(&self->lock);
    return room;
}
