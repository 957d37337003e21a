#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/worker.h"

#define JOBS 100

struct fixture {
    uv_loop_t loop;
    struct worker *worker;
    unsigned worked; /* on the thread; read here after `done` */
    unsigned finished;
    unsigned to_submit;
    struct job {
        struct worker_job job;
        struct fixture *fixture;
        unsigned number;
        bool on_other_thread;
        pthread_t home;
    } jobs[JOBS];
};

static void work(struct worker_job *job)
{
    struct job *self = (struct job *)job;
    char name[16] = {0};
    pthread_getname_np(pthread_self(), name, sizeof(name));
    self->on_other_thread = !pthread_equal(self->home, pthread_self()) && strcmp(name, "disk") == 0;
    if (self->fixture->worked++ != self->number)
        abort(); /* invariant (1) */
}

static void submit(struct fixture *f, unsigned number)
{
    f->jobs[number].job.work = work;
    f->jobs[number].fixture = f;
    f->jobs[number].number = number;
    f->jobs[number].home = pthread_self();
    worker_submit(f->worker, &f->jobs[number].job);
}

static void done(struct worker_job *job)
{
    struct job *self = (struct job *)job;
    struct fixture *f = self->fixture;
    assert_int_equal(f->finished, self->number);
    assert_true(pthread_equal(self->home, pthread_self()));
    assert_true(self->on_other_thread);
    f->finished++;
    if (f->to_submit < JOBS) { /* a `done` may submit */
        submit(f, f->to_submit);
        f->to_submit++;
    }
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct error error;
    if (!f || uv_loop_init(&f->loop) != 0)
        return -1;
    for (unsigned i = 0; i < JOBS; i++)
        f->jobs[i].job.done = done;
    *state = f;
    return (int)worker_open(&f->loop, "disk", &f->worker, &error);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    worker_close(f->worker);
    uv_run(&f->loop, UV_RUN_DEFAULT); /* lets go of the handle */
    int rc = uv_loop_close(&f->loop);
    free(f);
    return rc;
}

/* Goal: jobs run elsewhere, in order; each is told of here, in order, once; those that a `done` submits, too;
 * the loop stays while work is under way and ends when there is none. Method: 50 at once, each of their ends
 * submits one more. */
static void jobs_run_there_and_end_here_in_order(void **state)
{
    struct fixture *f = *state;
    f->to_submit = JOBS / 2;
    for (unsigned i = 0; i < JOBS / 2; i++)
        submit(f, i);
    assert_int_equal(f->finished, 0); /* never inside worker_submit() */
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->finished, JOBS);
}

/* Goal: draining waits for what was submitted and for what that submits, and the worker goes on afterwards.
 * Method: drain without running the loop, then once more with nothing, then one more job through the loop. */
static void draining_waits_for_everything(void **state)
{
    struct fixture *f = *state;
    f->to_submit = JOBS / 2;
    for (unsigned i = 0; i < JOBS / 2; i++)
        submit(f, i);
    worker_drain(f->worker);
    assert_int_equal(f->finished, JOBS);
    worker_drain(f->worker);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->finished, JOBS);
    f->finished = f->worked = 0;
    submit(f, 0);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->finished, 1);
}

/* Goal: closing loses no job.
 * Method: submit and close at once; the loop runs only afterwards. */
static void closing_runs_what_was_submitted(void **state)
{
    struct fixture *f = *state;
    f->to_submit = JOBS - 5;
    for (unsigned i = 0; i < JOBS - 5; i++)
        submit(f, i);
    worker_close(f->worker);
    f->worker = NULL;
    assert_int_equal(f->finished, JOBS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(jobs_run_there_and_end_here_in_order),
        TEST(draining_waits_for_everything),
        TEST(closing_runs_what_was_submitted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
