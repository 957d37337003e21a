/* base/worker.h on one thread: jobs wait until the test lets them run, in virtual time or by number. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/worker.h"

/** From now on each job takes 0 .. `duration_max_ms` of this clock's time, drawn from `seed`; its work is
 * done somewhere within, its end is told at the end: a crash in between leaves what was written and told to
 * nobody. Without this call: no time. */
void fake_worker_time(struct clock clock, uint64_t seed, uint32_t duration_max_ms);
void fake_worker_reset(void); /* no time again; all workers must be closed */

/** Runs the `count` oldest jobs of a worker (NULL: of all, oldest first), whatever the time. @return how many
 * there were */
unsigned fake_worker_run(struct worker *worker, unsigned count);
/** Virtual time when the next job that isn't held ends; UINT64_MAX: none. */
uint64_t fake_worker_next_ms(void);
/** Runs the jobs that have ended by now, those that they submit and that end at once, too. @return how many
 */
unsigned fake_worker_run_due(void);
/** A held worker's jobs wait until it is let go. */
void fake_worker_hold(struct worker *worker, bool hold);
/** Each job takes up to so much more. */
void fake_worker_slow(struct worker *worker, uint32_t more_max_ms);
uint32_t fake_worker_waiting(const struct worker *worker);
/** A crash: the jobs that wait neither run nor end; closing the worker then runs nothing. */
void fake_worker_drop(struct worker *worker);
