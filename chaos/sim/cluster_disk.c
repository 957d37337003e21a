#include "chaos/sim/cluster_disk.h"

#include "chaos/sim/fake_disk.h"
#include "chaos/sim/fake_worker.h"

/* Writes of small files that a dead node's close may try. */
#define CLOSE_SMALL_WRITES 16u
#define FULL_BYTES         2048u /* what a full disk holds still */

void cluster_disk_init(struct clock clock, uint64_t seed, uint32_t sync_max_ms)
{
    fake_disk_reset();
    fake_worker_time(clock, seed, sync_max_ms);
}

void cluster_disk_done(void)
{
    fake_worker_reset();
    fake_disk_reset();
}

void cluster_disk_crash(const char *prefix, uint64_t survive, uint64_t unlogged)
{
    fake_disk_crash_flushed(prefix, survive, unlogged);
    fake_disk_fail_small(prefix, CLOSE_SMALL_WRITES);
}

void cluster_disk_repair(const char *prefix)
{
    fake_disk_fail_small(prefix, 0);
    fake_disk_fail_syncs(prefix, 0, ERROR_OK);
}

void cluster_disk_fill(const char *prefix, bool full)
{
    fake_disk_space(prefix, full ? FULL_BYTES : UINT64_MAX);
    if (!full)
        fake_disk_fail_syncs(prefix, 0, ERROR_OK);
}

void cluster_disk_fail_sync(const char *prefix)
{
    fake_disk_fail_syncs(prefix, 1, ERROR_IO);
}

void cluster_disk_fail_small(const char *prefix)
{
    fake_disk_fail_small(prefix, 1);
}

void cluster_disk_slow(struct worker *worker, uint32_t more_max_ms)
{
    fake_worker_slow(worker, more_max_ms);
}

void cluster_disk_hold(struct worker *worker, bool hold)
{
    fake_worker_hold(worker, hold);
}

void cluster_disk_run_jobs(struct worker *worker, unsigned count)
{
    fake_worker_run(worker, count);
}

uint64_t cluster_disk_next_ms(void)
{
    return fake_worker_next_ms();
}

void cluster_disk_run(void)
{
    fake_worker_run_due();
}
