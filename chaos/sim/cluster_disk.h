/* The disks and workers of the schedule tests, as cluster.c uses them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

struct worker;

void cluster_disk_init(struct clock clock, uint64_t seed, uint32_t sync_max_ms);
void cluster_disk_done(void);
/** A power cut: what was not synced is gone, but for the oldest `survive` batches (`unlogged`
 * ones of stores without a write-ahead log); closing what is open
 * writes nothing more. */
void cluster_disk_crash(const char *prefix, uint64_t survive, uint64_t unlogged);
void cluster_disk_repair(const char *prefix); /* after the close */
void cluster_disk_fill(const char *prefix, bool full);
void cluster_disk_fail_sync(const char *prefix);  /* the next one */
void cluster_disk_fail_small(const char *prefix); /* the next write of a small file */
void cluster_disk_slow(struct worker *worker, uint32_t more_max_ms);
/** This worker's jobs wait. */
void cluster_disk_hold(struct worker *worker, bool hold);
void cluster_disk_run_jobs(struct worker *worker, unsigned count); /* the oldest, held or not */
uint64_t cluster_disk_next_ms(void);                               /* UINT64_MAX: no job waits */
void cluster_disk_run(void);                                       /* the jobs that are due */
