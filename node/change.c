/* One change, from the first node that saw it to its answer.
 *
 *        +--> proposed here ----(applied)-------------------------+
 *   idle +                                                        +--> applied here --> in the mirror -->
 * answered
 *        +--> forwarded to the leader --(its answer came)---------+
 *
 * It returns to idle when leadership moved or a connection broke, and is tried again under the same request
 * id, which makes that harmless, until the deadline. What then is known to be in no log is ERROR_UNAVAILABLE,
 * what may be in one ERROR_UNKNOWN.
 *
 * Invariants:
 *   (1) `done` runs once; memory is freed when consensus has let go of it too (`borrowed`);
 *   (2) `maybe` is set before a command leaves for a log, and cleared only by a certain "not in the log"
 * about the one attempt that set it; (3) a change that came from another node is never forwarded again. */
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/logger.h"
#include "fsm/result.h"
#include "node/http/outcome.h"
#include "node/internal.h"

enum step { STEP_IDLE, STEP_PROPOSED, STEP_FORWARDED, STEP_APPLYING, STEP_MIRRORING };

struct change {
    struct link link;        /* in service.changes */
    struct link mirror_link; /* in service.audit.waiting while STEP_MIRRORING */
    struct service *service;
    enum step step;
    uint8_t *command;
    size_t command_bytes;
    uint64_t deadline_ms, retry_at_ms;
    bool forwarded;
    bool maybe;        /* it may be in a log */
    bool maybe_before; /* it, before the attempt under way */
    bool borrowed;     /* consensus will call back */
    bool answered;
    uint64_t asked; /* the node it was forwarded to */
    struct client_call *call;
    service_done_fn *done;
    void *context;
    struct outcome outcome; /* once it is known */
    uint8_t *body;
    char last[ERROR_MESSAGE_BYTES]; /* why it isn't done yet */
};

static void change_advance(struct change *change);

static void change_free(struct change *change)
{
    free(change->command);
    free(change->body);
    free(change);
}

static enum service_change_end end_of(const struct outcome *outcome)
{
    switch (outcome->error) {
    case ERROR_OK:
        return outcome->repeated                 ? CHANGE_REPEATED
               : result_succeeded(outcome->code) ? CHANGE_APPLIED
                                                 : CHANGE_REFUSED;
    case ERROR_UNKNOWN:
        return CHANGE_UNKNOWN;
    case ERROR_UNAVAILABLE:
    case ERROR_NOT_LEADER:
        return CHANGE_UNAVAILABLE;
    case ERROR_BUSY:
    case ERROR_NO_SPACE:
        return CHANGE_BUSY;
    default:
        return CHANGE_FAILED;
    }
}

static void change_answer(struct change *change, const struct outcome *outcome)
{
    struct service *self = change->service;
    CHECK(!change->answered, "a change is answered once");
    change->answered = true;
    link_remove(&change->link);
    if (change->step == STEP_MIRRORING)
        link_remove(&change->mirror_link);
    self->change_count--;
    self->counts.changes[end_of(outcome)]++;
    if (change->call)
        client_cancel(change->call);
    change->call = NULL;
    change->done(change->context, outcome);
    if (!change->borrowed)
        change_free(change);
}

static void change_fail(struct change *change, enum error_code code, const char *message)
{
    struct service *self = change->service;
    struct outcome outcome = {.error = code, .term = self->now.term};
    const char *url = leader_elsewhere(self);
    snprintf(outcome.message, sizeof outcome.message, "%s", message);
    snprintf(outcome.leader_url, sizeof outcome.leader_url, "%s", url ? url : "");
    change_answer(change, &outcome);
}

/** It is over without a known end. */
static void change_give_up(struct change *change)
{
    char message[ERROR_MESSAGE_BYTES];
    if (change->step == STEP_APPLYING || change->step == STEP_MIRRORING) {
        change_answer(change, &change->outcome); /* committed: the end is known, only this node is slow */
        return;
    }
    const char *last = change->last[0] ? change->last : "no leader is known here";
    if (change->maybe) {
        const char *advice = strstr(last, "; retry with"); /* said once, below */
        int length = advice && advice - last < 300 ? (int)(advice - last) : 300;
        snprintf(message, sizeof message,
                 "the outcome is unknown: %.*s; retry with the same request id, which can't do it twice",
                 length, last);
        change_fail(change, ERROR_UNKNOWN, message);
        return;
    }
    snprintf(message, sizeof message, "no leader took it before the deadline, nothing happened: %.300s",
             last);
    change_fail(change, ERROR_UNAVAILABLE, message);
}

static void change_retry(struct change *change, const char *why)
{
    change->step = STEP_IDLE;
    change->retry_at_ms = now_ms(change->service) + RETRY_MS;
    snprintf(change->last, sizeof change->last, "%s", why);
}

/* --- after commit
 * ------------------------------------------------------------------------------------------------------ */

static void change_mirror(struct change *change)
{
    struct service *self = change->service;
    if (change->outcome.audit_seq <= self->audit.seq || audit_is_behind(self) || self->stopping) {
        change_answer(change, &change->outcome);
        return;
    }
    change->step = STEP_MIRRORING;
    link_append(&self->audit.waiting, &change->mirror_link);
    audit_pump(self);
}

void changes_mirrored(struct service *self)
{
    struct link *link = self->audit.waiting.next;
    while (link != &self->audit.waiting) {
        struct change *change = (struct change *)((char *)link - offsetof(struct change, mirror_link));
        link = link->next;
        if (change->outcome.audit_seq <= self->audit.seq || audit_is_behind(self))
            change_answer(change, &change->outcome);
    }
}

static void on_own_apply(void *context, uint64_t index, const struct error *error)
{
    struct change *change = context;
    (void)index;
    (void)error; /* a deadline or a stop: the outcome is known all the same */
    change->borrowed = false;
    if (change->answered)
        change_free(change);
    else
        change_mirror(change);
}

/** Committed by the leader: answer after this node has applied it too. */
static void change_apply_wait(struct change *change)
{
    struct service *self = change->service;
    struct error error = {0};
    change->step = STEP_APPLYING;
    if (change->outcome.index <= self->applied_index || !self->joined) {
        change_mirror(change);
        return;
    }
    change->borrowed = true;
    if (consensus_wait(self->consensus, change->outcome.index, change->deadline_ms, on_own_apply, change,
                       &error) == ERROR_OK)
        return;
    change->borrowed = false;
    change_mirror(change);
}

/* --- on the leader
 * ------------------------------------------------------------------------------------------------------- */

static void keep_result(struct change *change, const struct result *result)
{
    change->outcome = (struct outcome){.code = result->code,
                                       .index = result->index,
                                       .term = change->service->now.term,
                                       .audit_seq = result->audit_seq,
                                       .repeated = result->repeated};
    change->body = memory_new(result->body.bytes + 1);
    if (result->body.bytes > 0)
        memcpy(change->body, result->body.data, result->body.bytes);
    change->outcome.body = span_of(change->body, result->body.bytes);
}

static bool is_final(enum error_code code)
{
    return code == ERROR_BUSY || code == ERROR_NO_SPACE || code == ERROR_TOO_BIG || code == ERROR_INVALID;
}

static void on_proposed(void *context, const struct result *result, const struct error *error)
{
    struct change *change = context;
    change->borrowed = false;
    if (change->answered) {
        change_free(change);
        return;
    }
    if (result) {
        keep_result(change, result);
        change_mirror(change);
        return;
    }
    /* Whatever isn't "unknown" is a certain "not in the log": it never left the queue. */
    if (error->code != ERROR_UNKNOWN)
        change->maybe = change->maybe_before;
    bool over =
        change->forwarded || is_final(error->code); /* the node that sent it looks for the next leader */
    if (over && change->maybe)
        change_fail(change, ERROR_UNKNOWN, error->message);
    else if (over)
        change_fail(change, error->code, error->message);
    else
        change_retry(change, error->message);
}

/** @return false when this node doesn't lead */
static bool change_propose(struct change *change)
{
    struct service *self = change->service;
    struct error error = {0};
    command_stamp(change->command, change->command_bytes, consensus_wall_ms(self->consensus), self->level);
    change->step = STEP_PROPOSED;
    change->borrowed = true;
    change->maybe_before = change->maybe;
    enum error_code code = consensus_propose(self->consensus, change->command, change->command_bytes,
                                             on_proposed, change, &error);
    if (code == ERROR_OK) {
        change->maybe = true;
        return true;
    }
    change->borrowed = false;
    change->step = STEP_IDLE;
    if (code == ERROR_NOT_LEADER)
        return false;
    if (is_final(code) && !change->maybe)
        change_fail(change, code, error.message);
    else
        change_retry(change, error.message);
    return true;
}

/* --- on another node
 * ------------------------------------------------------------------------------------------------------- */

static void keep_outcome(struct change *change, const struct outcome *outcome)
{
    change->outcome = *outcome;
    change->body = memory_new(outcome->body.bytes + 1);
    if (outcome->body.bytes > 0)
        memcpy(change->body, outcome->body.data, outcome->body.bytes);
    change->outcome.body = span_of(change->body, outcome->body.bytes);
}

static void forward_ended(struct change *change, const struct outcome *outcome)
{
    if (outcome->error == ERROR_OK) {
        keep_outcome(change, outcome);
        change_apply_wait(change);
        return;
    }
    if (outcome->error != ERROR_UNKNOWN)
        change->maybe = change->maybe_before;
    if (is_final(outcome->error) && !change->maybe) {
        change_fail(change, outcome->error, outcome->message);
        return;
    }
    change_retry(change, outcome->message);
}

static void on_forwarded(void *context, const struct client_answer *answer)
{
    struct change *change = context;
    struct arena arena;
    struct outcome outcome;
    struct error error = {0};
    change->call = NULL;
    if (answer->error != ERROR_OK) {
        change->maybe = change->maybe_before || answer->sent;
        change_retry(change, answer->message);
        return;
    }
    arena_init(&arena, 4u * INTERNAL_BODY_MAX);
    if (outcome_decode(answer->body, &arena, &outcome, &error) == ERROR_OK) {
        forward_ended(change, &outcome);
    } else if (answer->status == 503) { /* refused before anything was read: full, or stopping */
        change->maybe = change->maybe_before;
        change_retry(change, "the leader is busy or stopping");
    } else {
        char why[ERROR_MESSAGE_BYTES];
        snprintf(why, sizeof why, "the leader's answer (status %u) can't be read: %.300s", answer->status,
                 error.message);
        change_retry(change, why);
    }
    arena_done(&arena);
}

static void change_forward(struct change *change, const char *url)
{
    struct service *self = change->service;
    struct error error = {0};
    uint64_t now = now_ms(self);
    struct client_request request = {
        .method = "POST",
        .base = url,
        .path = "/v1/internal/change",
        .headers = {"Content-Type: application/octet-stream", "X-Autonomy-Forwarded: 1"},
        .body = span_of(change->command, change->command_bytes),
        .timeout_ms = change->deadline_ms > now ? change->deadline_ms - now : 1,
        .answer_bytes_max = INTERNAL_BODY_MAX,
        .done = on_forwarded,
        .context = change};
    enum error_code code = client_send(self->client, &request, &change->call, &error);
    if (code == ERROR_OK) {
        change->step = STEP_FORWARDED;
        change->maybe_before = change->maybe;
        change->maybe = true;
        change->asked = self->now.leader_id;
    } else if (code == ERROR_BUSY && !change->maybe) {
        change_fail(change, code, error.message);
    } else {
        change_retry(change, error.message);
    }
}

/* --- the way
 * ----------------------------------------------------------------------------------------------------------------
 */

static void change_advance(struct change *change)
{
    struct service *self = change->service;
    CHECK(change->step == STEP_IDLE && !change->borrowed && !change->call, "step %d", (int)change->step);
    if (!self->joined || self->consensus_closed)
        return;
    if (self->now.role == CONSENSUS_LEADER) {
        if (change_propose(change))
            return;
        snprintf(change->last, sizeof change->last, "this node is about to lead");
        return; /* elected, its first command is on the way: on_change comes */
    }
    if (change->forwarded) {
        change_fail(change, change->maybe ? ERROR_UNKNOWN : ERROR_NOT_LEADER, "another node leads");
        return;
    }
    const char *url = leader_elsewhere(self);
    if (url)
        change_forward(change, url);
}

void change_start(struct service *self, struct span command, uint64_t deadline_ms, bool forwarded,
                  service_done_fn *done, void *context)
{
    struct change *change = memory_zero(1, sizeof *change);
    change->service = self;
    change->command = memory_new(command.bytes);
    memcpy(change->command, command.data, command.bytes);
    change->command_bytes = command.bytes;
    change->deadline_ms = deadline_ms;
    change->forwarded = forwarded;
    change->done = done;
    change->context = context;
    link_init(&change->mirror_link);
    link_append(&self->changes, &change->link);
    self->change_count++;
    if (self->change_count > CHANGES_MAX)
        change_fail(change, ERROR_BUSY, "too many changes wait for their outcome; retry later");
    else if (atomic_load(&self->failed))
        change_fail(change, ERROR_UNAVAILABLE, "this node has failed and is about to exit");
    else if (!forwarded && self->now.disk_full && !leads(self)) /* it takes no entries: it could not answer */
        change_fail(change, ERROR_NO_SPACE, "the disk of this node is full: ask another one");
    else
        change_advance(change);
}

/** A forward to somebody who leads no more would wait for a dead connection. */
static void change_look_again(struct change *change)
{
    struct service *self = change->service;
    if (change->step == STEP_FORWARDED && self->now.leader_id != 0 && change->asked != self->now.leader_id) {
        client_cancel(change->call);
        change->call = NULL;
        change_retry(change, "leadership moved while the leader was asked");
        change->retry_at_ms = 0;
    }
    if (change->step == STEP_IDLE)
        change_advance(change);
}

void changes_advance(struct service *self)
{
    struct link *link = self->changes.next, *last = self->changes.previous;
    bool more = link != &self->changes;
    while (more) {
        struct change *change = (struct change *)link;
        more = link != last;
        link = link->next;
        change_look_again(change);
    }
}

void changes_sweep(struct service *self, bool all)
{
    uint64_t now = now_ms(self);
    struct link *link = self->changes.next;
    while (link != &self->changes) {
        struct change *change = (struct change *)link;
        link = link->next;
        if (all || now >= change->deadline_ms)
            change_give_up(change);
        else if (change->step == STEP_IDLE && now >= change->retry_at_ms)
            change_advance(change);
    }
}

void change_by_node(struct service *self, const char *name, const char *request_id, const char *principal,
                    struct json_t *body, service_done_fn *done, void *context)
{
    change_from(self, name, AUDIT_ORCHESTRATOR, request_id, principal, body, done, context);
}

void change_from(struct service *self, const char *name, enum audit_source source, const char *request_id,
                 const char *principal, struct json_t *body, service_done_fn *done, void *context)
{
    struct bytes command;
    struct error error = {0};
    bytes_init(&command, COMMAND_BYTES_MAX);
    enum error_code code = command_make(name, source, request_id, principal, body, &command, &error);
    if (code == ERROR_OK) {
        change_start(self, bytes_span(&command), now_ms(self) + SYSTEM_DEADLINE_MS, false, done, context);
    } else {
        struct outcome outcome = {.error = code};
        snprintf(outcome.message, sizeof outcome.message, "%s", error.message);
        done(context, &outcome);
    }
    bytes_done(&command);
}
