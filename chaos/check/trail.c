/* The audit trail against what was acknowledged, and the event streams against the trail. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/check/check_internal.h"
#include "chaos/check/table.h"

#define ORDER(a, b) ((a) < (b) ? -1 : (a) > (b))
#define TEXT(text)  ((text) != NULL ? (text) : "")

struct trail {
    const struct judge *judge;
    const struct history *history;
    uint32_t *by_seq;      /* records, sorted */
    struct table requests; /* request id -> its first record of a success */
    struct table seqs;     /* seq -> record */
};

static int compare_seq(const void *left, const void *right, void *context)
{
    const struct history_audit *audit = context;
    const uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    const int order = ORDER(audit[a].seq, audit[b].seq);
    return order != 0 ? order : ORDER(a, b);
}

static void trail_init(struct trail *self, const struct judge *judge)
{
    *self = (struct trail){.judge = judge, .history = judge->history};
    const struct history *history = self->history;
    table_init(&self->requests);
    table_init(&self->seqs);
    self->by_seq = memory_new(history->audit_count * sizeof *self->by_seq);
    for (uint32_t i = 0; i < history->audit_count; i++)
        self->by_seq[i] = i;
    if (history->audit_count > 1)
        qsort_r(self->by_seq, history->audit_count, sizeof *self->by_seq, compare_seq, history->audit);
    for (size_t i = 0; i < history->audit_count; i++)
        table_put(&self->seqs, history->audit[self->by_seq[i]].seq, self->by_seq[i], NULL);
}

static void trail_done(struct trail *self)
{
    free(self->by_seq);
    table_done(&self->requests);
    table_done(&self->seqs);
}

/* --- audit --- */

static void judge_sequence(struct trail *self, struct check_result *result)
{
    const struct history_audit *audit = self->history->audit;
    for (size_t i = 0; i < self->history->audit_count; i++) {
        const struct history_audit *record = &audit[self->by_seq[i]];
        const struct history_audit *before = i > 0 ? &audit[self->by_seq[i - 1]] : NULL;
        const uint64_t expected = before != NULL ? before->seq + 1 : 1;
        if (record->seq != expected && (before != NULL || self->history->audit_complete))
            judge_violated(result, "record %" PRIu64 " of the trail comes where %" PRIu64 " should",
                           record->seq, expected);
        if (before != NULL && record->index < before->index)
            judge_violated(result, "record %" PRIu64 " has index %" PRIu64 ", and the one before it %" PRIu64,
                           record->seq, record->index, before->index);
    }
}

/* One request is one entry of the log, and leaves one record of a kind for each thing it changed. */
static void judge_doubles(struct trail *self, struct check_result *result)
{
    struct table kinds;
    table_init(&kinds);
    for (size_t i = 0; i < self->history->audit_count; i++) {
        const uint32_t number = self->by_seq[i];
        const struct history_audit *record = &self->history->audit[number];
        uint64_t first;
        if (!record->success || record->request == NULL || record->request[0] == '\0')
            continue;
        const uint64_t kind = table_mix(table_text(record->request)) ^
                              table_mix(table_text(record->event) + 1) ^
                              table_mix(~table_text(record->resource));
        if (!table_put(&self->requests, table_text(record->request), number, &first) &&
            self->history->audit[first].index != record->index)
            judge_violated(result,
                           "request \"%s\" took effect twice: record %" PRIu64 " at index %" PRIu64
                           " and record %" PRIu64 " at index %" PRIu64,
                           record->request, self->history->audit[first].seq,
                           self->history->audit[first].index, record->seq, record->index);
        else if (!table_put(&kinds, kind, number, &first))
            judge_violated(result, "request \"%s\" left %s of %s twice: records %" PRIu64 " and %" PRIu64,
                           record->request, TEXT(record->event), TEXT(record->resource),
                           self->history->audit[first].seq, record->seq);
    }
    table_done(&kinds);
}

static void judge_record(struct trail *self, uint32_t number, const struct history_audit *record,
                         struct check_result *result)
{
    const struct history_op *op = &self->history->ops[number];
    char text[DESCRIPTION_BYTES];
    op_describe(op, text);
    bool first = false;
    if (record == NULL && op->outcome == HISTORY_OK)
        first = judge_violated(result, "an acknowledged change has no record: %s, request \"%s\"", text,
                               op->request);
    else if (record != NULL && op->outcome == HISTORY_REFUSED)
        first = judge_violated(result, "a refused change took effect: %s, request \"%s\", record %" PRIu64,
                               text, op->request, record->seq);
    else if (record != NULL && op->outcome == HISTORY_OK && op->index != 0 && op->index != record->index)
        first =
            judge_violated(result, "%s: answered with index %" PRIu64 ", recorded (%" PRIu64 ") at %" PRIu64,
                           text, op->index, record->seq, record->index);
    if (first)
        judge_involve(result, number);
}

static void judge_answered_seq(struct trail *self, uint32_t number, struct check_result *result)
{
    const struct history_op *op = &self->history->ops[number];
    uint64_t position;
    if (op->audit_seq == 0 || op->outcome != HISTORY_OK || op->request == NULL)
        return;
    const bool there = table_get(&self->seqs, op->audit_seq, &position);
    const char *request = there ? TEXT(self->history->audit[position].request) : "nobody's";
    if ((!there || strcmp(request, op->request) != 0) &&
        judge_violated(result, "request \"%s\" was answered with record %" PRIu64 ", which is of \"%s\"",
                       op->request, op->audit_seq, request))
        judge_involve(result, number);
}

/* A record that no client asked for. */
static void judge_strangers(struct trail *self, struct check_result *result)
{
    const char *prefix = self->history->request_prefix;
    struct table asked;
    uint64_t ignored;
    if (prefix == NULL)
        return;
    table_init(&asked);
    for (size_t i = 0; i < self->history->op_count; i++)
        if (self->history->ops[i].request != NULL)
            table_put(&asked, table_text(self->history->ops[i].request), i, NULL);
    for (size_t i = 0; i < self->history->audit_count; i++) {
        const struct history_audit *record = &self->history->audit[i];
        if (record->request != NULL && strncmp(record->request, prefix, strlen(prefix)) == 0 &&
            !table_get(&asked, table_text(record->request), &ignored))
            judge_violated(result, "record %" PRIu64 " is of request \"%s\", which no client made",
                           record->seq, record->request);
    }
    table_done(&asked);
}

void judge_audit(const struct judge *judge, struct check_result *result)
{
    const struct history *history = judge->history;
    struct trail self;
    if (history->audit_count == 0 && !history->audit_complete)
        return;
    trail_init(&self, judge);
    judge_sequence(&self, result);
    judge_doubles(&self, result);
    for (uint32_t i = 0; i < history->op_count && history->audit_complete; i++) {
        const struct history_op *op = &history->ops[i];
        uint64_t record;
        if (op->request == NULL || history_kind_reads(op->kind))
            continue;
        result->objects++;
        const bool there = table_get(&self.requests, table_text(op->request), &record);
        judge_record(&self, i, there ? &history->audit[record] : NULL, result);
        judge_answered_seq(&self, i, result);
    }
    judge_strangers(&self, result);
    result->looked_at = history->audit_count + result->objects;
    trail_done(&self);
}

/* --- events --- */

struct stream { /* what a follower has got so far */
    uint64_t last;
    uint64_t count;
    uint64_t last_ns;
};

static bool wanted(const struct history_follower *follower, const struct history_audit *record)
{
    return follower->category == NULL || strcmp(follower->category, TEXT(record->category)) == 0;
}

/* What must come after record `last`; 0: that isn't known. */
static uint64_t next_wanted(struct trail *self, const struct history_follower *follower, uint64_t last)
{
    if (follower->category == NULL)
        return last + 1;
    uint64_t record;
    for (uint64_t seq = last + 1; table_get(&self->seqs, seq, &record); seq++)
        if (wanted(follower, &self->history->audit[record]))
            return seq;
    return 0;
}

static void judge_event(struct trail *self, struct stream *stream, const struct history_event *event,
                        struct check_result *result)
{
    const struct history_follower *follower = &self->history->followers[event->follower];
    const bool complete = self->history->audit_complete;
    const uint64_t last = stream->last;
    uint64_t record;
    if (stream->count++ > 0) {
        const uint64_t next = follower->category == NULL || complete ? next_wanted(self, follower, last) : 0;
        if (event->seq == last)
            judge_violated(result, "follower \"%s\" got record %" PRIu64 " twice", follower->name,
                           event->seq);
        else if (event->seq < last)
            judge_violated(result, "follower \"%s\" got record %" PRIu64 " after %" PRIu64, follower->name,
                           event->seq, last);
        else if (next != 0 && event->seq > next)
            judge_violated(result,
                           "follower \"%s\" got record %" PRIu64 " after %" PRIu64 " and missed %" PRIu64,
                           follower->name, event->seq, last, next);
    }
    if (complete && !table_get(&self->seqs, event->seq, &record))
        judge_violated(result, "follower \"%s\" got record %" PRIu64 ", which the trail hasn't",
                       follower->name, event->seq);
    else if (complete && !wanted(follower, &self->history->audit[record]))
        judge_violated(result, "follower \"%s\" got record %" PRIu64 ", which it didn't ask for",
                       follower->name, event->seq);
    stream->last = event->seq;
}

void judge_events(const struct judge *judge, struct check_result *result)
{
    const struct history *history = judge->history;
    struct stream *streams = memory_zero(history->follower_count, sizeof *streams);
    struct trail self;
    trail_init(&self, judge);
    for (size_t i = 0; i < history->event_count; i++)
        judge_event(&self, &streams[history->events[i].follower], &history->events[i], result);
    result->looked_at = history->event_count;
    result->objects = history->follower_count;
    free(streams);
    trail_done(&self);
}
