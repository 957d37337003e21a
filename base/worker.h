/* A thread that does one job after the other, and tells the loop when each is done.
 *
 * Why it exists: the loop never waits for the disk. The log's sync, a store's flush, a checkpoint, a fetched
 * file run here. This is the only place where such work crosses threads, so it has the one lock; the modules
 * that use it have none.
 *
 * Invariants:
 *   (1) jobs run in the order they were submitted, one at a time;
 *   (2) `done` runs on the loop thread, once for each job, in the same order, never inside worker_submit();
 *   (3) a job belongs to the worker from submit until its `done` begins.
 * The simulator links its own implementation: `work` runs at a virtual time of its choosing. */
#pragma once

#include "base/error.h"

struct uv_loop_s;
struct worker;

struct worker_job {
    void (*work)(struct worker_job *job); /* on the worker's thread */
    void (*done)(struct worker_job *job); /* on the loop thread */
    struct worker_job *next;              /* the worker's */
};

/** @param name  the thread's name, at most 15 bytes: "log", "store" */
enum error_code worker_open(struct uv_loop_s *loop, const char *name, struct worker **out,
                            struct error *error) MUST_USE;
void worker_submit(struct worker *self, struct worker_job *job);
/** Waits for the jobs that were submitted, and those that their `done` submits, and runs their `done`. */
void worker_drain(struct worker *self);
/** worker_drain(), then ends the thread. The loop may still run afterwards; the
 * handle it had there is closed in the next turns of the loop. */
void worker_close(struct worker *self);
