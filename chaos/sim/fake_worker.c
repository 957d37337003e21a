#include "chaos/sim/fake_worker.h"

#include <stdlib.h>

#include "base/check.h"

struct waiting {
    struct waiting *next;
    struct worker_job *job;
    uint64_t number;          /* over all workers: older is smaller */
    uint64_t work_ms, due_ms; /* when its work is done, when its end is told */
    bool worked;
};

struct worker {
    struct worker *next;
    struct waiting *first, **end;
    uint32_t count;
    bool held;
    uint32_t slow_max_ms;
};

static struct worker *workers;
static uint64_t numbers;
static struct clock time_clock;
static uint64_t time_random, work_random;
static uint32_t time_duration_max_ms;

void fake_worker_time(struct clock clock, uint64_t seed, uint32_t duration_max_ms)
{
    time_clock = clock;
    time_random = seed * 2 + 1;
    work_random = seed * 0x9e3779b97f4a7c15u + 1;
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

static uint64_t draw(uint64_t *random, uint64_t limit)
{
    *random ^= *random << 13; /* xorshift64: enough to mix schedules, the same everywhere */
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random % limit;
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
    uint64_t takes_ms = time_clock.monotonic_ms ? draw(&time_random, (uint64_t)time_duration_max_ms + 1) : 0;
    if (self->slow_max_ms > 0)
        takes_ms += draw(&work_random, (uint64_t)self->slow_max_ms + 1);
    waiting->due_ms = now_ms() + takes_ms;
    waiting->work_ms = waiting->due_ms - (takes_ms > 0 ? draw(&work_random, takes_ms + 1) : 0);
    *self->end = waiting;
    self->end = &waiting->next;
    self->count++;
}

static void pop(struct worker *self)
{
    struct waiting *waiting = self->first;
    self->first = waiting->next;
    if (!self->first)
        self->end = &self->first;
    self->count--;
    free(waiting);
}

static void run_work(struct waiting *waiting)
{
    if (!waiting->worked)
        waiting->job->work(waiting->job);
    waiting->worked = true;
}

static void run_first(struct worker *self)
{
    struct worker_job *job = self->first->job;
    run_work(self->first);
    pop(self);
    job->done(job);
}

/* What the first job of a worker waits for. */
static uint64_t next_ms(const struct worker *worker)
{
    return worker->first->worked ? worker->first->due_ms : worker->first->work_ms;
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

/* The first job that gets somewhere: the earliest, the oldest of these. */
static struct worker *first_due(void)
{
    struct worker *found = NULL;
    for (struct worker *at = workers; at; at = at->next)
        if (at->first && !at->held &&
            (!found || next_ms(at) < next_ms(found) ||
             (next_ms(at) == next_ms(found) && at->first->number < found->first->number)))
            found = at;
    return found;
}

uint64_t fake_worker_next_ms(void)
{
    struct worker *found = first_due();
    return found ? next_ms(found) : UINT64_MAX;
}

unsigned fake_worker_run_due(void)
{
    unsigned done = 0;
    for (struct worker *found; (found = first_due()) && next_ms(found) <= now_ms();) {
        run_work(found->first);
        if (found->first->due_ms > now_ms())
            continue;
        run_first(found);
        done++;
    }
    return done;
}

void fake_worker_slow(struct worker *worker, uint32_t more_max_ms)
{
    worker->slow_max_ms = more_max_ms;
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
