/* A slow lane: one thread for reads that look at much. There are two: audit queries don't queue behind a walk
 * over the whole chain.
 *
 * Why it exists: each connection belongs to one of libmicrohttpd's few threads; a read of seconds there would
 * hold up all the others of that thread, health checks among them. Here such reads queue behind each other
 * instead, and the queue is bounded.
 *
 * Invariants:
 *   (1) jobs run in the order they came, one at a time;
 *   (2) at most LANE_JOBS_MAX wait: one more is refused, and HTTP says 503. */
#pragma once

#include <stdbool.h>

#define LANE_JOBS_MAX 64u

struct lane;
enum lane_kind { LANE_SCAN, LANE_WALK, LANE_COUNT };
typedef void lane_job_fn(void *context);

struct lane *lane_new(void) __attribute__((returns_nonnull));
/** Ends the thread; nothing may wait any more. */
void lane_free(struct lane *self);
/** @return false: full, and `job` will not run */
bool lane_push(struct lane *self, lane_job_fn *job, void *context);
