#include "node/quorum.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/disk.h"
#include "base/hash.h"
#include "base/logger.h"
#include "node/internal.h"

#define LOSSES_MAX      16u   /* kept; the oldest goes first: a person reads the log by then */
#define REPORT_EVERY_MS 1000u /* between two attempts */

struct loss {
    uint64_t number, lost_ms, restored_ms; /* restored_ms 0: it lasts */
};

struct quorum_watch {
    struct service *service;
    char path[1100];
    uint64_t incarnation, number;
    struct loss losses[LOSSES_MAX];
    uint32_t count;
    bool reporting;
    uint64_t reported; /* the number of the report under way */
    uint64_t next_ms;
    bool writing, dirty;
    uint64_t gone_since_ms, gone_wall_ms; /* no contact since then; 0: there is */
};

/* --- the file
 * ----------------------------------------------------------------------------------------------------------
 */

struct write_job {
    struct worker_job job;
    struct quorum_watch *watch;
    char *text;
    struct error error;
};

static void file_write(struct quorum_watch *self);

static void write_work(struct worker_job *job)
{
    struct write_job *write = (struct write_job *)job;
    if (disk_small_write(write->watch->path, span_text(write->text), &write->error) != ERROR_OK)
        log_warn("quorum", "file not written", "path=%s error=\"%s\"", write->watch->path,
                 write->error.message);
}

static void write_done(struct worker_job *job)
{
    struct write_job *write = (struct write_job *)job;
    struct quorum_watch *self = write->watch;
    free(write->text);
    free(write);
    self->writing = false;
    if (self->dirty)
        file_write(self);
}

static void file_write(struct quorum_watch *self)
{
    self->dirty = self->writing || !self->service->store_worker;
    if (self->dirty)
        return;
    json_t *losses = json_array();
    for (uint32_t i = 0; i < self->count; i++)
        json_array_append_new(losses,
                              json_pack("{s:I, s:I, s:I}", "number", (json_int_t)self->losses[i].number,
                                        "lost_ms", (json_int_t)self->losses[i].lost_ms, "restored_ms",
                                        (json_int_t)self->losses[i].restored_ms));
    json_t *json = json_pack("{s:I, s:I, s:o}", "incarnation", (json_int_t)self->incarnation, "number",
                             (json_int_t)self->number, "losses", losses);
    struct write_job *write = memory_zero(1, sizeof *write);
    write->job = (struct worker_job){.work = write_work, .done = write_done};
    write->watch = self;
    write->text = json_dumps(json, JSON_COMPACT);
    CHECK(write->text != NULL, "numbers become text");
    json_decref(json);
    self->writing = true;
    worker_submit(self->service->store_worker, &write->job);
}

static uint64_t json_u64(const json_t *json, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(json, key));
    return value > 0 ? (uint64_t)value : 0;
}

static void file_read(struct quorum_watch *self)
{
    struct bytes text;
    struct error error = {0};
    json_t *json = NULL;
    bytes_init(&text, 0);
    enum error_code code = disk_small_read(self->path, &text, &error);
    if (code == ERROR_OK)
        code = json_parse(bytes_span(&text), &json, &error);
    bytes_done(&text);
    if (code != ERROR_OK) { /* missing at first; a damaged one only tells of the past */
        if (code != ERROR_NOT_FOUND)
            log_warn("quorum", "file not read", "path=%s error=\"%s\"", self->path, error.message);
        return;
    }
    self->incarnation = json_u64(json, "incarnation");
    self->number = json_u64(json, "number");
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(json, "losses"), i, row)
    {
        if (self->count < LOSSES_MAX)
            self->losses[self->count++] = (struct loss){json_u64(row, "number"), json_u64(row, "lost_ms"),
                                                        json_u64(row, "restored_ms")};
    }
    json_decref(json);
}

struct quorum_watch *quorum_watch_open(struct service *service)
{
    struct quorum_watch *self = memory_zero(1, sizeof *self);
    self->service = service;
    snprintf(self->path, sizeof self->path, "%s/quorum", service->config->data_dir);
    file_read(self);
    while (self->incarnation == 0) { /* 53 bits, so that it stays whole in JSON */
        random_bytes(&self->incarnation, sizeof self->incarnation);
        self->incarnation &= (UINT64_C(1) << 53) - 1;
    }
    return self;
}

/* --- reports
 * ----------------------------------------------------------------------------------------------------------
 */

static void loss_drop(struct quorum_watch *self, uint64_t number)
{
    for (uint32_t i = 0; i < self->count; i++) {
        if (self->losses[i].number != number)
            continue;
        self->count--;
        memmove(&self->losses[i], &self->losses[i + 1], (self->count - i) * sizeof self->losses[0]);
        file_write(self);
        return;
    }
}

static void on_reported(void *context, const struct outcome *outcome)
{
    struct quorum_watch *self = context;
    self->reporting = false;
    if (outcome->error != ERROR_OK)
        return; /* again later, under the same request id */
    loss_drop(self, self->reported);
}

static json_t *time_json(uint64_t wall_ms)
{
    char text[TIME_TEXT_BYTES];
    time_format(wall_ms, text);
    return json_string(text);
}

static void report(struct quorum_watch *self, const struct loss *loss)
{
    struct service *service = self->service;
    char request_id[80];
    snprintf(request_id, sizeof request_id, "quorum/%" PRIu64 "/%" PRIu64 "/%" PRIu64, service->now.node_id,
             self->incarnation, loss->number);
    json_t *body = json_pack("{s:I, s:I, s:I, s:o, s:o, s:s}", "node_id", (json_int_t)service->now.node_id,
                             "incarnation", (json_int_t)self->incarnation, "number", (json_int_t)loss->number,
                             "lost_at", time_json(loss->lost_ms), "restored_at", time_json(loss->restored_ms),
                             "reason", "no contact with a majority of voters");
    self->reporting = true;
    self->reported = loss->number;
    self->next_ms = now_ms(service) + REPORT_EVERY_MS;
    change_by_node(service, "quorum.report", request_id, SYSTEM_PRINCIPAL, body, on_reported, self);
}

static struct loss *loss_open(struct quorum_watch *self)
{
    if (self->count > 0 && self->losses[self->count - 1].restored_ms == 0)
        return &self->losses[self->count - 1];
    return NULL;
}

static void lost(struct quorum_watch *self, uint64_t wall_ms)
{
    struct service *service = self->service;
    service->history.losses++;
    service->history.last_lost_ms = wall_ms;
    log_warn("quorum", "lost", "term=%" PRIu64 " voters=%u", service->now.term, service->now.member_count);
    if (self->count == LOSSES_MAX)
        loss_drop(self, self->losses[0].number);
    self->losses[self->count++] = (struct loss){.number = ++self->number, .lost_ms = wall_ms};
    file_write(self);
}

static void restored(struct quorum_watch *self, uint64_t wall_ms)
{
    struct loss *open = loss_open(self);
    if (!open)
        return; /* the first contact after a start */
    open->restored_ms = wall_ms > open->lost_ms ? wall_ms : open->lost_ms;
    self->service->history.last_lost_ms = open->lost_ms;
    self->service->history.last_restored_ms = open->restored_ms;
    log_info("quorum", "restored", "term=%" PRIu64, self->service->now.term);
    file_write(self);
}

void quorum_watch(struct quorum_watch *self)
{
    struct service *service = self->service;
    uint64_t wall_ms = service->clock.wall_ms(service->clock.context);
    bool has = service->joined && service->now.quorum;
    if (service->stopping || service->consensus_closed)
        return;
    if (has) {
        self->gone_since_ms = 0;
        if (!service->history.had_quorum)
            restored(self, wall_ms);
        service->history.had_quorum = true;
    } else if (service->history.had_quorum) {
        /* A new leader has heard nobody in its first moments: that is no loss yet. */
        if (self->gone_since_ms == 0) {
            self->gone_since_ms = now_ms(service);
            self->gone_wall_ms = wall_ms;
        }
        if (now_ms(service) < self->gone_since_ms + service->config->election_timeout_ms)
            return;
        service->history.had_quorum = false;
        lost(self, self->gone_wall_ms);
    }
    bool can_report = has && !self->reporting && self->count > 0 && self->losses[0].restored_ms != 0;
    if (can_report && leader_is_ready(service) && now_ms(service) >= self->next_ms)
        report(self, &self->losses[0]);
}

void quorum_watch_close(struct quorum_watch *self)
{
    if (!self)
        return;
    CHECK(!self->writing, "the worker is drained before");
    free(self);
}
