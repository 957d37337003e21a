/* Feeds the audit mirror, and lets a change be answered when its record is in it.
 *
 * The records are written by a worker, so that a disk that throttles writers never stops the loop; one job
 * writes all that was applied since the last one, so the cost of a job is shared by a group. When the folder
 * can't be written (disk full) changes are answered without it, health says so, and the mirror catches up
 * from the store when it can. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/logger.h"
#include "node/internal.h"

#define CATCH_UP_EVERY_MS 1000u /* while the folder can't be written */

static bool append_one(void *context, const struct audit_record *record)
{
    struct service *self = context;
    struct error error = {0};
    if (mirror_append(self->audit.mirror, record, &error) == ERROR_OK)
        return true;
    self->audit.failed_now = true;
    snprintf(self->audit.message, sizeof self->audit.message, "%s", error.message);
    return false;
}

/** On the worker: everything the store has beyond the mirror. */
static void mirror_work(struct worker_job *job)
{
    struct service *self = (struct service *)((char *)job - offsetof(struct service, audit.job));
    struct error error = {0};
    struct view *view = state_view(self->state);
    self->audit.failed_now = false;
    uint64_t from = mirror_seq(self->audit.mirror) + 1;
    enum error_code code = ERROR_OK;
    if (from <= view_audit_last(view))
        code = view_audit(view, NULL, true, from, append_one, self, &error);
    if (code == ERROR_OK && !self->audit.failed_now)
        code = mirror_flush(self->audit.mirror, &error);
    if (code != ERROR_OK) {
        self->audit.failed_now = true;
        snprintf(self->audit.message, sizeof self->audit.message, "%s", error.message);
    }
    state_view_close(self->state, view);
}

static void mirror_done(struct worker_job *job)
{
    struct service *self = (struct service *)((char *)job - offsetof(struct service, audit.job));
    self->audit.busy = false;
    self->audit.seq = mirror_seq(self->audit.mirror);
    if (self->audit.failed_now && !self->audit.failed)
        log_error("mirror", "audit mirror can't be written; changes go on without it", "error=\"%s\"",
                  self->audit.message);
    if (!self->audit.failed_now && self->audit.failed)
        log_info("mirror", "audit mirror has caught up", "seq=%llu", (unsigned long long)self->audit.seq);
    self->audit.failed = self->audit.failed_now;
    self->audit.retry_at_ms = self->audit.failed ? now_ms(self) + CATCH_UP_EVERY_MS : 0;
    changes_mirrored(self);
    audit_pump(self);
}

void audit_pump(struct service *self)
{
    if (self->audit.busy || !self->audit.worker || self->audit.seq >= self->audit_seq)
        return;
    if (self->audit.retry_at_ms > now_ms(self))
        return;
    self->audit.busy = true;
    self->audit.job = (struct worker_job){.work = mirror_work, .done = mirror_done};
    worker_submit(self->audit.worker, &self->audit.job);
}

enum error_code audit_open(struct service *self, struct error *error)
{
    char folder[1100];
    link_init(&self->audit.waiting);
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
}
