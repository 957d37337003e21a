#include "chaos/sim/fake_worker.h"

#include <stdlib.h>

#include "base/check.h"

struct waiting {
    struct waiting *next;
    struct worker_job *job;
    uint64_t number; /* over all workers: older is smaller */
    uint64_t due_ms;
};

struct worker {
    struct worker *next;
    struct waiting *first, **end;
    uint32_t count;
    bool held;
};

static struct worker *workers;
static uint64_t numbers;
static struct clock time_clock;
static uint64_t time_random;
static uint32_t time_duration_max_ms;

void fake_worker_time(struct clock clock, uint64_t seed, uint32_t duration_max_ms)
{
    time_clock = clock;
    time_random = seed * 2 + 1;
    time_duration_max_ms = duration_max_ms;
}

void fake_worker_reset(void)
{
    CHECK(!workers, "a worker is still open");
    time_clock = (struct clock){0};
    numbers = 0;
}

static uint64_t now_ms(void)
{
    return time_clock.monotonic_ms ? time_clock.monotonic_ms(time_clock.context) : 0;
}

static uint64_t draw(uint64_t limit)
{
    time_random ^= time_random << 13; /* xorshift64: enough to mix schedules, the same everywhere */
    time_random ^= time_random >> 7;
    time_random ^= time_random << 17;
    return time_random % limit;
}

enum error_code worker_open(struct uv_loop_s *loop, const char *name, struct worker **out,
                            struct error *error)
{
    (void)loop;
    (void)name;
    (void)error;
    struct worker *self = memory_zero(1, sizeof(*self));
    self->end = &self->first;
    self->next = workers;
    workers = self;
    *out = self;
    return ERROR_OK;
}

void worker_submit(struct worker *self, struct worker_job *job)
{
    struct waiting *waiting = memory_zero(1, sizeof(*waiting));
    waiting->job = job;
    waiting->number = numbers++;
    waiting->due_ms = now_ms() + (time_clock.monotonic_ms ? draw((uint64_t)time_duration_max_ms + 1) : 0);
    *self->end = waiting;
    self->end = &waiting->next;
    self->count++;
}

static struct worker_job *pop(struct worker *self)
{
    struct waiting *waiting = self->first;
    struct worker_job *job = waiting->job;
    self->first = waiting->next;
    if (!self->first)
        self->end = &self->first;
    self->count--;
    free(waiting);
    return job;
}

static void run_first(struct worker *self)
{
    struct worker_job *job = pop(self);
    job->work(job);
    job->done(job);
}

unsigned fake_worker_run(struct worker *worker, unsigned count)
{
    unsigned done = 0;
    for (; done < count; done++) {
        struct worker *oldest = NULL;
        for (struct worker *at = workers; at; at = at->next)
            if (at->first && (!worker || at == worker) &&
                (!oldest || at->first->number < oldest->first->number))
                oldest = at;
        if (!oldest)
            break;
        run_first(oldest);
    }
    return done;
}

/* The first job to end: the earliest due, the oldest of these. */
static struct worker *first_due(void)
{
    struct worker *found = NULL;
    for (struct worker *at = workers; at; at = at->next)
        if (at->first && !at->held &&
            (!found || at->first->due_ms < found->first->due_ms ||
             (at->first->due_ms == found->first->due_ms && at->first->number < found->first->number)))
            found = at;
    return found;
}

uint64_t fake_worker_next_ms(void)
{
    struct worker *found = first_due();
    return found ? found->first->due_ms : UINT64_MAX;
}

unsigned fake_worker_run_due(void)
{
    unsigned done = 0;
    for (struct worker *found; (found = first_due()) && found->first->due_ms <= now_ms(); done++)
        run_first(found);
    return done;
}

void fake_worker_hold(struct worker *worker, bool hold)
{
    worker->held = hold;
}

uint32_t fake_worker_waiting(const struct worker *worker)
{
    return worker->count;
}

void fake_worker_drop(struct worker *worker)
{
    while (worker->first)
        pop(worker);
}

void worker_drain(struct worker *self)
{
    while (self->first)
        run_first(self);
}

void worker_close(struct worker *self)
{
    if (!self)
        return;
    worker_drain(self);
    for (struct worker **at = &workers; *at; at = &(*at)->next) {
        if (*at != self)
            continue;
        *at = self->next;
        break;
    }
    free(self);
}
