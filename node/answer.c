/* Feeds the audit mirror, and lets a change be answered when its record is in it.
 *
 * The records are written by a worker, so that a disk that throttles writers never stops the loop; one job
 * writes all that was applied since the last one, so the cost of a job is shared by a group. It takes them as
 * they came out of apply; what was missed (at the start, past the queue's bound, after a failure, after a
 * state transfer) is read from the state. When the folder can't be written (disk full), or is far behind,
 * changes are answered without it, health says so, and the mirror catches up when it can.
 *
 * Ownership: `queue` is the loop's; a job gets it as `taken`, and gives it back when it is done. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/logger.h"
#include "node/internal.h"

#define CATCH_UP_EVERY_MS 1000u /* while the folder can't be written */
#define QUEUE_BYTES_MAX   (4u * 1024u * 1024u)
#define JOB_RECORDS_MAX   20000u /* read from the state by one job: a fraction of a second */
#define RECORD_ARENA_BYTES                                                                                   \
    (1024u * 1024u) /* one record: a command's bytes at most, with room for its pointers */

static struct service *service_of(struct worker_job *job)
{
    return (struct service *)((char *)job - offsetof(struct service, audit.job));
}

/* --- on the worker --- */

static void job_failed(struct service *self, const struct error *error)
{
    self->audit.failed_now = true;
    snprintf(self->audit.message, sizeof self->audit.message, "%s", error->message);
}

static bool append_one(void *context, const struct audit_record *record)
{
    struct service *self = context;
    struct error error = {0};
    struct audit_anchor anchor;
    if (mirror_append(self->audit.mirror, record, &error) != ERROR_OK) {
        job_failed(self, &error);
        return false;
    }
    if (audit_anchor_of(record, &anchor))
        self->audit.first_seq = anchor.seq + 1;
    return ++self->audit.job_records < JOB_RECORDS_MAX;
}

static bool fits(const struct service *self)
{
    return self->audit.taken.length > 0 && self->audit.taken_first <= mirror_seq(self->audit.mirror) + 1;
}

static void append_taken(struct service *self)
{
    const uint8_t *at = self->audit.taken.data, *end = at + self->audit.taken.length;
    struct arena arena;
    arena_init(&arena, RECORD_ARENA_BYTES);
    while (at < end && !self->audit.failed_now) {
        struct audit_record record;
        struct error error = {0};
        const struct span packed = span_of(at + 4, get_u32(at));
        CHECK(packed.bytes <= (size_t)(end - at) - 4, "a record of %zu bytes", packed.bytes);
        if (schema_unpack(&audit_schema, packed, &arena, &record, &error) != ERROR_OK)
            job_failed(self, &error);
        else
            (void)append_one(self, &record);
        at += 4 + packed.bytes;
        arena_clear(&arena);
    }
    arena_done(&arena);
}

/** Some of what the state has beyond the mirror. */
static void append_stored(struct service *self)
{
    struct error error = {0};
    struct audit_anchor anchor;
    struct view *view = state_view(self->state);
    const uint64_t from = mirror_seq(self->audit.mirror) + 1;
    self->audit.first_seq = view_audit_anchor(view, &anchor);
    self->audit.abreast = view_audit_last(view) + 1 >= from;
    if (from <= view_audit_last(view) &&
        view_audit(view, NULL, true, from, append_one, self, &error) != ERROR_OK)
        job_failed(self, &error);
    state_view_close(self->state, view);
}

/* Segments that a prune left behind go; the first time that the state is as far as the folder it is looked
 * whether any are missing. */
static void tidy(struct service *self)
{
    struct error error = {0};
    size_t removed = 0;
    const char *folder = mirror_folder(self->audit.mirror);
    if (self->audit.first_seq > self->audit.tidy_seq) {
        if (segments_prune(folder, self->audit.first_seq, &removed, &error) == ERROR_OK)
            self->audit.tidy_seq = self->audit.first_seq;
        else
            log_warn("mirror", "pruned segments not removed", "error=\"%s\"", error.message);
        if (removed > 0)
            log_info("mirror", "removed pruned segments", "count=%zu first_seq=%llu", removed,
                     (unsigned long long)self->audit.first_seq);
    }
    if (self->audit.checked_now || !self->audit.abreast)
        return;
    self->audit.checked_now = true;
    if (segments_check(folder, self->audit.first_seq, self->audit.damage_now, sizeof self->audit.damage_now,
                       &error) != ERROR_OK)
        snprintf(self->audit.damage_now, sizeof self->audit.damage_now, "%.250s", error.message);
}

static void mirror_work(struct worker_job *job)
{
    struct service *self = service_of(job);
    struct error error = {0};
    self->audit.failed_now = false;
    self->audit.job_records = 0;
    if (fits(self) && self->audit.checked_now)
        append_taken(self);
    else
        append_stored(self);
    if (!self->audit.failed_now && mirror_flush(self->audit.mirror, &error) != ERROR_OK)
        job_failed(self, &error);
    if (!self->audit.failed_now)
        tidy(self);
}

/* --- on the loop --- */

static void tell(struct service *self)
{
    if (self->audit.failed_now && !self->audit.failed)
        log_error("mirror", "audit mirror can't be written; changes go on without it", "error=\"%s\"",
                  self->audit.message);
    if (!self->audit.failed_now && self->audit.failed)
        log_info("mirror", "audit mirror has caught up", "seq=%llu", (unsigned long long)self->audit.seq);
    if (self->audit.checked_now && !self->audit.checked && self->audit.damage_now[0] != '\0')
        log_error(
            "mirror", "audit mirror is damaged",
            "folder=%s damage=\"%s\" remedy=\"stop this node, move the folder aside, start it: the folder "
            "is written anew from the state\"",
            mirror_folder(self->audit.mirror), self->audit.damage_now);
}

static void mirror_done(struct worker_job *job)
{
    struct service *self = service_of(job);
    self->audit.busy = false;
    self->audit.seq = mirror_seq(self->audit.mirror);
    tell(self);
    if (self->audit.checked_now && !self->audit.checked)
        memcpy(self->audit.damage, self->audit.damage_now, sizeof self->audit.damage);
    self->audit.checked = self->audit.checked_now;
    self->audit.failed = self->audit.failed_now;
    self->audit.retry_at_ms = self->audit.failed ? now_ms(self) + CATCH_UP_EVERY_MS : 0;
    changes_mirrored(self);
    audit_pump(self);
}

bool audit_is_behind(const struct service *self)
{
    return self->audit.failed || self->audit_seq > self->audit.seq + JOB_RECORDS_MAX;
}

void audit_gather(struct service *self, const struct fsm_records *records)
{
    const uint64_t first_seq = records ? self->audit_seq - records->count + 1 : 0;
    if (records && records->count == 0)
        return;
    if (!records || first_seq != self->audit.queue_last + 1 ||
        self->audit.queue.length + records->packed.bytes > QUEUE_BYTES_MAX)
        bytes_clear(&self->audit.queue); /* the state has them */
    if (!records || records->packed.bytes > QUEUE_BYTES_MAX)
        return;
    if (self->audit.queue.length == 0)
        self->audit.queue_first = first_seq;
    bytes_append(&self->audit.queue, records->packed.data, records->packed.bytes);
    self->audit.queue_last = self->audit_seq;
}

void audit_pump(struct service *self)
{
    /* After a restart the state may be older than the folder, until the log has come after it. */
    const bool due = self->audit.seq < self->audit_seq ||
                     (self->joined && !self->audit.checked && self->audit.seq == self->audit_seq);
    if (self->audit.busy || !self->audit.worker || !due || self->audit.retry_at_ms > now_ms(self))
        return;
    const struct bytes taken = self->audit.taken;
    self->audit.taken = self->audit.queue;
    self->audit.taken_first = self->audit.queue_first;
    self->audit.queue = taken;
    bytes_clear(&self->audit.queue);
    self->audit.busy = true;
    self->audit.job = (struct worker_job){.work = mirror_work, .done = mirror_done};
    worker_submit(self->audit.worker, &self->audit.job);
}

enum error_code audit_open(struct service *self, struct error *error)
{
    char folder[1100];
    link_init(&self->audit.waiting);
    bytes_init(&self->audit.queue, 0);
    bytes_init(&self->audit.taken, 0);
    snprintf(folder, sizeof folder, "%s/audit", self->config->data_dir);
    if (mirror_open(folder, self->config->audit_segment_bytes, &self->audit.mirror, error) != ERROR_OK)
        return error->code;
    self->audit.seq = mirror_seq(self->audit.mirror);
    if (worker_open(self->loop, "mirror", &self->audit.worker, error) != ERROR_OK) {
        mirror_close(self->audit.mirror);
        self->audit.mirror = NULL;
        return error->code;
    }
    return ERROR_OK;
}

void audit_close(struct service *self)
{
    if (!self->audit.worker)
        return;
    struct worker *worker = self->audit.worker;
    worker_drain(worker);      /* what was applied last reaches the folder */
    self->audit.worker = NULL; /* no job after these */
    worker_close(worker);
    mirror_close(self->audit.mirror);
    self->audit.mirror = NULL;
    bytes_done(&self->audit.queue);
    bytes_done(&self->audit.taken);
}
