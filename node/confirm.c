/* Reads that want to be linearizable, and waits for something newer.
 *
 * The leader asks its voters (consensus_confirm); a follower asks the leader for an index and waits until it
 * has applied that far. A follower's readers share one question: those that came before it was sent share its
 * answer, the others the next. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "node/http/outcome.h"
#include "node/internal.h"

enum step { STEP_IDLE, STEP_CONFIRMING, STEP_WAITING_FOR_ROUND, STEP_ASKED, STEP_APPLYING };

struct confirm {
    struct link link; /* in service.confirms, or service.waits */
    struct link round_link;
    struct service *service;
    enum step step;
    bool is_wait, forwarded, borrowed, answered;
    uint64_t index, deadline_ms, retry_at_ms;
    service_done_fn *done;
    void *context;
    char last[ERROR_MESSAGE_BYTES];
};

static void confirm_advance(struct confirm *confirm);
static void round_ask(struct service *self);

static void confirm_answer(struct confirm *confirm, const struct outcome *outcome)
{
    struct service *self = confirm->service;
    CHECK(!confirm->answered, "a reader is answered once");
    confirm->answered = true;
    link_remove(&confirm->link);
    link_remove(&confirm->round_link);
    if (confirm->is_wait)
        self->wait_count--;
    else
        self->confirm_count--;
    confirm->done(confirm->context, outcome);
    if (!confirm->borrowed)
        free(confirm);
}

static void confirm_fail(struct confirm *confirm, enum error_code code, const char *message)
{
    struct outcome outcome = {.error = code, .term = confirm->service->now.term};
    const char *url = leader_elsewhere(confirm->service);
    snprintf(outcome.message, sizeof outcome.message, "%s", message);
    snprintf(outcome.leader_url, sizeof outcome.leader_url, "%s", url ? url : "");
    confirm_answer(confirm, &outcome);
}

static void confirm_done(struct confirm *confirm, uint64_t index)
{
    struct outcome outcome = {.index = index, .term = confirm->service->now.term};
    confirm_answer(confirm, &outcome);
}

static void confirm_retry(struct confirm *confirm, const char *why)
{
    link_remove(&confirm->round_link);
    confirm->step = STEP_IDLE;
    confirm->retry_at_ms = now_ms(confirm->service) + RETRY_MS;
    snprintf(confirm->last, sizeof confirm->last, "%s", why);
}

/* --- this node has applied that far
 * ------------------------------------------------------------------------------------ */

static void on_applied(void *context, uint64_t index, const struct error *error)
{
    struct confirm *confirm = context;
    confirm->borrowed = false;
    if (confirm->answered) {
        free(confirm);
        return;
    }
    if (!error)
        confirm_done(confirm, index > confirm->index ? index : confirm->index);
    else if (confirm->is_wait && error->code == ERROR_TIMEOUT)
        confirm_done(confirm, confirm->service->applied_index);
    else if (error->code == ERROR_TIMEOUT)
        confirm_fail(confirm, ERROR_UNAVAILABLE,
                     "this node is behind its leader and didn't catch up before the deadline");
    else
        confirm_fail(confirm, error->code, error->message);
}

static void apply_wait(struct confirm *confirm)
{
    struct service *self = confirm->service;
    struct error error = {0};
    confirm->step = STEP_APPLYING;
    if (confirm->index <= self->applied_index) {
        confirm_done(confirm, confirm->is_wait ? self->applied_index : confirm->index);
        return;
    }
    confirm->borrowed = true;
    if (consensus_wait(self->consensus, confirm->index, confirm->deadline_ms, on_applied, confirm, &error) ==
        ERROR_OK)
        return;
    confirm->borrowed = false;
    confirm_fail(confirm, error.code, error.message);
}

/* --- on the leader
 * ------------------------------------------------------------------------------------------------------- */

static void on_confirmed(void *context, uint64_t index, const struct error *error)
{
    struct confirm *confirm = context;
    confirm->borrowed = false;
    if (confirm->answered)
        free(confirm);
    else if (!error)
        confirm_done(confirm, index);
    else if (confirm->forwarded && error->code == ERROR_NOT_LEADER)
        confirm_fail(confirm, error->code, error->message);
    else
        confirm_retry(confirm, error->message);
}

static void confirm_here(struct confirm *confirm)
{
    struct service *self = confirm->service;
    struct error error = {0};
    confirm->step = STEP_CONFIRMING;
    confirm->borrowed = true;
    enum error_code code = consensus_confirm(self->consensus, on_confirmed, confirm, &error);
    if (code == ERROR_OK)
        return;
    confirm->borrowed = false;
    if (code == ERROR_BUSY)
        confirm_fail(confirm, code, error.message);
    else
        confirm_retry(confirm, error.message);
}

/* --- on a follower: one question for all that wait
 * ------------------------------------------------------------------------ */

static struct confirm *of_round(struct link *link)
{
    return (struct confirm *)((char *)link - offsetof(struct confirm, round_link));
}

static void round_ended(struct service *self, const struct outcome *outcome)
{
    struct link asked;
    link_init(&asked);
    while (!link_is_empty(&self->round_asked)) {
        struct link *link = self->round_asked.next;
        link_remove(link);
        link_append(&asked, link);
    }
    while (!link_is_empty(&asked)) {
        struct confirm *confirm = of_round(asked.next);
        link_remove(&confirm->round_link);
        if (outcome->error == ERROR_OK) {
            confirm->index = outcome->index;
            apply_wait(confirm);
        } else {
            confirm_retry(confirm, outcome->message);
        }
    }
    round_ask(self);
}

static void on_round_answer(void *context, const struct client_answer *answer)
{
    struct service *self = context;
    struct arena arena;
    struct outcome outcome = {.error = ERROR_UNAVAILABLE};
    struct error error = {0};
    self->round_call = NULL;
    arena_init(&arena, 4u * INTERNAL_BODY_MAX);
    if (answer->error != ERROR_OK)
        snprintf(outcome.message, sizeof outcome.message, "%s", answer->message);
    else if (outcome_decode(answer->body, &arena, &outcome, &error) != ERROR_OK)
        snprintf(outcome.message, sizeof outcome.message, "the leader answered %u", answer->status);
    round_ended(self, &outcome);
    arena_done(&arena);
}

static void round_ask(struct service *self)
{
    const char *url = leader_elsewhere(self);
    struct error error = {0};
    uint64_t now = now_ms(self), deadline = now;
    if (self->round_call || link_is_empty(&self->round_waiting) || !url)
        return;
    while (!link_is_empty(&self->round_waiting)) {
        struct link *link = self->round_waiting.next;
        struct confirm *confirm = of_round(link);
        link_remove(link);
        link_append(&self->round_asked, link);
        confirm->step = STEP_ASKED;
        if (confirm->deadline_ms > deadline)
            deadline = confirm->deadline_ms;
    }
    struct client_request request = {
        .method = "POST",
        .base = url,
        .path = "/v1/internal/confirm",
        .headers = {"Content-Type: application/octet-stream", "X-Autonomy-Forwarded: 1"},
        .timeout_ms = deadline > now ? deadline - now : 1,
        .answer_bytes_max = INTERNAL_BODY_MAX,
        .done = on_round_answer,
        .context = self};
    if (client_send(self->client, &request, &self->round_call, &error) == ERROR_OK)
        return;
    struct outcome outcome = {.error = error.code};
    snprintf(outcome.message, sizeof outcome.message, "%s", error.message);
    round_ended(self, &outcome);
}

/* --- the way
 * ----------------------------------------------------------------------------------------------------------------
 */

static void confirm_advance(struct confirm *confirm)
{
    struct service *self = confirm->service;
    CHECK(confirm->step == STEP_IDLE && !confirm->borrowed, "step %d", (int)confirm->step);
    if (!self->joined || self->consensus_closed)
        return;
    if (self->now.role == CONSENSUS_LEADER) {
        confirm_here(confirm);
        return;
    }
    if (confirm->forwarded) {
        confirm_fail(confirm, ERROR_NOT_LEADER, "another node leads");
        return;
    }
    if (!leader_elsewhere(self))
        return;
    confirm->step = STEP_WAITING_FOR_ROUND;
    link_append(&self->round_waiting, &confirm->round_link);
    round_ask(self);
}

static struct confirm *confirm_new(struct service *self, uint64_t deadline_ms, service_done_fn *done,
                                   void *context)
{
    struct confirm *confirm = memory_zero(1, sizeof *confirm);
    confirm->service = self;
    confirm->deadline_ms = deadline_ms;
    confirm->done = done;
    confirm->context = context;
    link_init(&confirm->round_link);
    return confirm;
}

void confirm_start(struct service *self, uint64_t deadline_ms, bool forwarded, service_done_fn *done,
                   void *context)
{
    struct confirm *confirm = confirm_new(self, deadline_ms, done, context);
    confirm->forwarded = forwarded;
    link_append(&self->confirms, &confirm->link);
    self->confirm_count++;
    if (self->confirm_count > CONFIRMS_MAX)
        confirm_fail(confirm, ERROR_BUSY, "too many readers wait for confirmation; retry later");
    else
        confirm_advance(confirm);
}

void wait_start(struct service *self, uint64_t index, uint64_t deadline_ms, service_done_fn *done,
                void *context)
{
    struct confirm *confirm = confirm_new(self, deadline_ms, done, context);
    confirm->is_wait = true;
    confirm->index = index + 1;
    link_append(&self->waits, &confirm->link);
    self->wait_count++;
    if (self->wait_count > CONFIRMS_MAX)
        confirm_fail(confirm, ERROR_BUSY, "too many readers wait for changes; retry later");
    else if (!self->joined || self->consensus_closed)
        confirm_fail(confirm, ERROR_UNAVAILABLE, "this node is not part of a cluster now");
    else
        apply_wait(confirm);
}

void confirms_advance(struct service *self)
{
    /* A question to somebody who leads no more would wait for a dead connection. */
    if (self->round_call) {
        struct outcome outcome = {.error = ERROR_NOT_LEADER,
                                  .message = "leadership moved while the leader was asked"};
        client_cancel(self->round_call);
        self->round_call = NULL;
        round_ended(self, &outcome);
    }
    struct link *link = self->round_waiting.next;
    while (link != &self->round_waiting) { /* this node may lead now */
        struct confirm *confirm = of_round(link);
        link = link->next;
        confirm_retry(confirm, "leadership moved");
    }
    link = self->confirms.next;
    struct link *last = self->confirms.previous;
    bool more = link != &self->confirms;
    while (more) {
        struct confirm *confirm = (struct confirm *)link;
        more = link != last;
        link = link->next;
        if (confirm->step == STEP_IDLE)
            confirm_advance(confirm);
    }
}

static void confirm_give_up(struct confirm *confirm)
{
    char message[ERROR_MESSAGE_BYTES];
    if (confirm->is_wait) {
        confirm_done(confirm, confirm->service->applied_index);
        return;
    }
    snprintf(message, sizeof message, "leadership wasn't confirmed before the deadline: %.300s",
             confirm->last[0] ? confirm->last : "no leader is known here, or it has no quorum");
    confirm_fail(confirm, ERROR_UNAVAILABLE, message);
}

void confirms_sweep(struct service *self, bool all)
{
    uint64_t now = now_ms(self);
    struct link *heads[] = {&self->confirms, &self->waits};
    for (size_t i = 0; i < 2; i++) {
        struct link *link = heads[i]->next;
        while (link != heads[i]) {
            struct confirm *confirm = (struct confirm *)link;
            link = link->next;
            if (all || now >= confirm->deadline_ms)
                confirm_give_up(confirm);
            else if (confirm->step == STEP_IDLE && now >= confirm->retry_at_ms)
                confirm_advance(confirm);
        }
    }
}
