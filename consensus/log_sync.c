/* Writing: one batch with the worker, one gathering; the mark; what happens when the disk is full. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "consensus/log_internal.h"

#define RETRY_MS 200u /* between attempts on a full disk */

static const struct kv_write_options synced = {.sync = true};

/* Gives the reserve up and opens the store again, since RocksDB refuses all writes after one that found no
 * space. */
static enum error_code make_room(struct log *self, bool *released, struct error *error)
{
    if (disk_reserve_release(self->reserve_path) > 0)
        *released = true;
    return kv_recover(self->kv, error);
}

static enum error_code write_with_reserve(struct log *self, struct kv_batch *batch, bool *released,
                                          struct error *error)
{
    enum error_code code = kv_write(self->kv, batch, synced, error);
    if (code != ERROR_NO_SPACE)
        return code;
    code = make_room(self, released, error);
    return code ? code : kv_write(self->kv, batch, synced, error);
}

enum error_code log_write_now(struct log *self, struct kv_batch *batch, struct error *error)
{
    bool released = false;
    if (self->failed)
        return error_set(error, self->failure.code, "the log has failed before: %.400s",
                         self->failure.message);
    enum error_code code = write_with_reserve(self, batch, &released, error);
    if (released)
        self->reserve_held = false;
    return code ? error_prefix(error, "log") : ERROR_OK;
}

/* --- operations
 * ----------------------------------------------------------------------------------------------------- */

static void sync_work(struct worker_job *job)
{
    struct log_sync *sync = (struct log_sync *)job;
    uint64_t start_us = clock_monotonic_us();
    sync->reserve_released = false;
    sync->code = sync->recover ? make_room(sync->log, &sync->reserve_released, &sync->error) : ERROR_OK;
    if (sync->code == ERROR_OK)
        sync->code = write_with_reserve(sync->log, sync->batch, &sync->reserve_released, &sync->error);
    sync->us = clock_monotonic_us() - start_us;
}

static void fail(struct log *self, const struct error *error)
{
    if (self->failed)
        return;
    self->failed = true;
    self->failure = *error;
    if (!self->muted)
        self->options.on_failed(self->options.context, error);
}

static void sync_done(struct worker_job *job)
{
    struct log_sync *sync = (struct log_sync *)job;
    struct log *self = sync->log;
    sync->running = false;
    if (sync->reserve_released)
        self->reserve_held = false;
    if (sync->code == ERROR_NO_SPACE) {
        self->stalled = true;
        self->retry_ms = self->options.clock.monotonic_ms(self->options.clock.context) + RETRY_MS;
        return;
    }
    if (sync->code != ERROR_OK) {
        error_prefix(&sync->error, "log");
        fail(self, &sync->error);
        return;
    }
    uint64_t operation = sync->operation;
    CHECK(operation > self->synced_operation, "operation %" PRIu64 " ended after %" PRIu64, operation,
          self->synced_operation);
    self->synced_operation = operation;
    self->sync_us_last = sync->us;
    histogram_add(&self->sync_us, histogram_times_us, sync->us);
    if (sync->us > self->sync_us_max)
        self->sync_us_max = sync->us;
    kv_batch_clear(sync->batch);
    sync->bytes = 0;
    log_cache_trim(self);
    log_sync_start(self); /* what gathered meanwhile */
    if (!self->muted)
        self->options.on_synced(self->options.context, operation);
}

void log_sync_start(struct log *self)
{
    struct log_sync *sync = &self->sync;
    if (sync->running || self->stalled || self->failed || self->gathered_bytes == 0)
        return;
    struct kv_batch *batch = sync->batch;
    sync->batch = self->gathered;
    sync->bytes = self->gathered_bytes;
    sync->operation = self->operation;
    sync->recover = false;
    self->gathered = batch;
    self->gathered_bytes = 0;
    sync->log = self;
    sync->started_ms = sync->began_ms = self->options.clock.monotonic_ms(self->options.clock.context);
    sync->running = true;
    sync->job = (struct worker_job){.work = sync_work, .done = sync_done};
    worker_submit(self->options.worker, &sync->job);
}

uint64_t log_stall_ms(const struct log *self)
{
    if (!self->sync.running && !self->stalled)
        return 0;
    uint64_t now_ms = self->options.clock.monotonic_ms(self->options.clock.context);
    return now_ms > self->sync.started_ms ? now_ms - self->sync.started_ms : 0;
}

uint64_t log_busy_ms(const struct log *self)
{
    uint64_t now_ms = self->options.clock.monotonic_ms(self->options.clock.context), began_ms = now_ms;
    if (self->sync.running && self->sync.began_ms < began_ms)
        began_ms = self->sync.began_ms;
    if (self->mark_job.running && self->mark_job.began_ms < began_ms)
        began_ms = self->mark_job.began_ms;
    return now_ms - began_ms;
}

/* --- the mark
 * ---------------------------------------------------------------------------------------------------------
 */

void log_mark_current(const struct log *self, struct log_mark_record *out)
{
    *out = (struct log_mark_record){.index = self->mark_index,
                                    .term = self->mark_term,
                                    .current_term = self->term,
                                    .vote = self->vote,
                                    .node_id = self->identity.node_id,
                                    .incarnation = self->identity.incarnation};
}

enum error_code log_mark_write_now(struct log *self, struct error *error)
{
    struct log_mark_record mark;
    struct bytes content;
    bytes_init(&content, DISK_SMALL_BYTES_MAX);
    log_mark_current(self, &mark);
    log_mark_encode(&mark, &content);
    enum error_code code = disk_small_write(self->mark_path, bytes_span(&content), error);
    bytes_done(&content);
    self->mark_written = code == ERROR_OK;
    return code;
}

static void mark_work(struct worker_job *job)
{
    struct log_mark_job *mark = (struct log_mark_job *)job;
    mark->code = disk_small_write(mark->log->mark_path, bytes_span(&mark->content), &mark->error);
}

static void mark_done(struct worker_job *job)
{
    struct log_mark_job *mark = (struct log_mark_job *)job;
    struct log *self = mark->log;
    mark->running = false;
    if (mark->code ==
        ERROR_NO_SPACE) /* the file has its blocks, so this is rare; the old mark holds until the next */
        return;
    if (mark->code != ERROR_OK) {
        error_prefix(&mark->error, "log mark");
        fail(self, &mark->error);
        return;
    }
    self->mark_written = !mark->again;
    if (mark->again)
        log_mark_start(self);
}

/* Promises and marks are synced in the store before they get here: invariant (5). */
void log_mark_start(struct log *self)
{
    struct log_mark_job *job = &self->mark_job;
    struct log_mark_record mark;
    self->mark_written = false;
    job->again = job->running;
    if (job->running || self->failed)
        return;
    bytes_clear(&job->content);
    log_mark_current(self, &mark);
    log_mark_encode(&mark, &job->content);
    job->log = self;
    job->running = true;
    job->began_ms = self->options.clock.monotonic_ms(self->options.clock.context);
    job->job = (struct worker_job){.work = mark_work, .done = mark_done};
    worker_submit(self->options.worker, &job->job);
}

void log_mark(struct log *self, uint64_t index, uint64_t term)
{
    CHECK(index <= log_durable_index(self), "a mark at %" PRIu64 ", durable up to %" PRIu64, index,
          log_durable_index(self));
    if (index <= self->mark_index)
        return;
    self->mark_index = index;
    self->mark_term = term;
    log_mark_start(self);
}

/* --- space
 * -------------------------------------------------------------------------------------------------------------
 */

static void restore_work(struct worker_job *job)
{
    struct log_restore *restore = (struct log_restore *)job;
    restore->code = disk_reserve_make(restore->log->reserve_path, restore->log->options.reserve_bytes, NULL);
}

static void restore_done(struct worker_job *job)
{
    struct log_restore *restore = (struct log_restore *)job;
    restore->running = false;
    restore->log->reserve_held = restore->code == ERROR_OK; /* no matter why not: log_tick() tries again */
}

void log_tick(struct log *self)
{
    uint64_t now_ms = self->options.clock.monotonic_ms(self->options.clock.context), free_bytes;
    if (self->failed || now_ms < self->retry_ms)
        return;
    if (self->stalled) {
        self->stalled = false;
        self->sync.recover = true;
        self->sync.running = true;
        self->sync.began_ms = now_ms;
        worker_submit(self->options.worker, &self->sync.job);
        return;
    }
    if (self->reserve_held || self->restore.running || !disk_free_bytes(self->data_folder, &free_bytes))
        return;
    self->retry_ms = now_ms + RETRY_MS;
    if (free_bytes <
        self->options.reserve_bytes * 2) /* not at the edge, where it would be given up at once */
        return;
    self->restore.log = self;
    self->restore.running = true;
    self->restore.job = (struct worker_job){.work = restore_work, .done = restore_done};
    worker_submit(self->options.worker, &self->restore.job);
}

bool log_space_low(const struct log *self, uint64_t wanted_bytes)
{
    uint64_t free_bytes;
    if (self->stalled || !self->reserve_held)
        return true;
    /* A quarter of the reserve beside what is wanted: the store also writes tables, and the state its own. */
    return disk_free_bytes(self->data_folder, &free_bytes) &&
           free_bytes < wanted_bytes + self->options.reserve_bytes / 4;
}
