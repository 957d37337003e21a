#include "consensus/proposal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct proposal {
    struct proposal *next;
    consensus_done_fn *done;
    void *context;
    uint8_t *command; /* NULL once submitted: the log has it */
    size_t command_bytes;
    uint64_t index, term; /* where it stands in the log */
    uint64_t deadline_ms;
};

static void queue_push(struct proposal_queue *queue, struct proposal *proposal)
{
    proposal->next = NULL;
    if (queue->last == NULL)
        queue->first = proposal;
    else
        queue->last->next = proposal;
    queue->last = proposal;
    queue->count++;
}

static struct proposal *queue_pop(struct proposal_queue *queue)
{
    struct proposal *proposal = queue->first;

    if (proposal == NULL)
        return NULL;
    queue->first = proposal->next;
    if (queue->first == NULL)
        queue->last = NULL;
    queue->count--;
    return proposal;
}

/* `done` comes last: it may propose again. */
static void answer(struct proposal *proposal, const struct result *result, const struct error *error)
{
    consensus_done_fn *done = proposal->done;
    void *context = proposal->context;

    free(proposal->command);
    free(proposal);
    done(context, result, error);
}

static void answer_unknown(struct proposal *proposal, const char *reason)
{
    struct error error = {0};

    error_set(&error, ERROR_UNKNOWN,
              "the command at %" PRIu64 " of term %" PRIu64
              " may still be applied: %s; retry with the same request id",
              proposal->index, proposal->term, reason);
    answer(proposal, NULL, &error);
}

void proposals_init(struct proposals *self, bool match_terms)
{
    *self = (struct proposals){.match_terms = match_terms, .stray_deadline_ms = CONSENSUS_NEVER};
}

uint32_t proposals_count(const struct proposals *self)
{
    return self->waiting.count + self->submitted.count + self->stray.count;
}

enum error_code proposals_push(struct proposals *self, const void *command, size_t command_bytes,
                               consensus_done_fn *done, void *context, struct error *error)
{
    uint32_t count = proposals_count(self);

    if (command_bytes == 0 || command_bytes > COMMAND_BYTES_MAX)
        return error_set(error, ERROR_TOO_BIG, "a command has 1 to %u bytes, not %zu", COMMAND_BYTES_MAX,
                         command_bytes);
    if (count >= CONSENSUS_PROPOSALS_MAX)
        return error_set(error, ERROR_BUSY, "%u of %u proposals wait already", count,
                         CONSENSUS_PROPOSALS_MAX);
    if (self->bytes + command_bytes > CONSENSUS_PROPOSAL_BYTES_MAX)
        return error_set(error, ERROR_BUSY, "%zu of %u bytes of commands wait already", self->bytes,
                         CONSENSUS_PROPOSAL_BYTES_MAX);
    struct proposal *proposal = memory_zero(1, sizeof *proposal);
    proposal->done = done;
    proposal->context = context;
    proposal->command = memory_new(command_bytes);
    memcpy(proposal->command, command, command_bytes);
    proposal->command_bytes = command_bytes;
    queue_push(&self->waiting, proposal);
    self->bytes += command_bytes;
    self->total++;
    return ERROR_OK;
}

uint32_t proposals_group(const struct proposals *self, struct span *commands, size_t *bytes)
{
    uint32_t count = 0;

    *bytes = 0;
    for (const struct proposal *at = self->waiting.first; at != NULL && count < GROUP_COMMANDS_MAX;
         at = at->next) {
        if (*bytes + at->command_bytes > GROUP_BYTES_MAX)
            break;
        *bytes += at->command_bytes;
        commands[count++] = span_of(at->command, at->command_bytes);
    }
    return count;
}

void proposals_submitted(struct proposals *self, uint32_t count, uint64_t index, uint64_t term,
                         uint64_t now_ms)
{
    for (uint32_t i = 0; i < count; i++) {
        struct proposal *proposal = queue_pop(&self->waiting);
        CHECK(proposal != NULL, "submitted %u, only %u waited", count, i);
        self->bytes -= proposal->command_bytes;
        free(proposal->command);
        proposal->command = NULL;
        proposal->index = index + i;
        proposal->term = term;
        proposal->deadline_ms = now_ms + PROPOSAL_COMMIT_MS_MAX;
        queue_push(&self->submitted, proposal);
    }
}

/* Answers one proposal whose index was applied with this entry. */
static void answer_applied(const struct proposals *self, struct proposal *proposal, const struct entry *entry,
                           const struct result *result)
{
    struct error error = {0};

    if (proposal->term == entry->term || !self->match_terms) {
        answer(proposal, result, NULL);
        return;
    }
    error_set(&error, ERROR_NOT_LEADER,
              "another leader's entry of term %" PRIu64 " took the place of the command at %" PRIu64
              " of term %" PRIu64,
              entry->term, proposal->index, proposal->term);
    answer(proposal, NULL, &error);
}

void proposals_applied(struct proposals *self, const struct entry *entries, const struct result *results,
                       uint32_t count)
{
    uint64_t first = entries[0].index, last = entries[count - 1].index;

    while (self->submitted.first != NULL && self->submitted.first->index <= last) {
        struct proposal *proposal = queue_pop(&self->submitted);
        CHECK(proposal->index >= first, "index %" PRIu64 " was applied before", proposal->index);
        uint64_t at = proposal->index - first;
        answer_applied(self, proposal, &entries[at], &results[at]);
    }
    for (uint32_t left = self->stray.count; left > 0; left--) {
        struct proposal *proposal = queue_pop(&self->stray);
        if (proposal->index < first || proposal->index > last) {
            queue_push(&self->stray, proposal);
            continue;
        }
        uint64_t at = proposal->index - first;
        answer_applied(self, proposal, &entries[at], &results[at]);
    }
}

void proposals_skipped(struct proposals *self, uint64_t index)
{
    while (self->submitted.first != NULL && self->submitted.first->index <= index)
        answer_unknown(queue_pop(&self->submitted), "the state came by transfer");
    for (uint32_t left = self->stray.count; left > 0; left--) {
        struct proposal *proposal = queue_pop(&self->stray);
        if (proposal->index > index)
            queue_push(&self->stray, proposal);
        else
            answer_unknown(proposal, "the state came by transfer");
    }
}

void proposals_refuse(struct proposals *self, const struct error *error)
{
    /* The number is fixed before: who is refused may propose again. */
    for (uint32_t left = self->waiting.count; left > 0; left--) {
        struct proposal *proposal = queue_pop(&self->waiting);
        self->bytes -= proposal->command_bytes;
        answer(proposal, NULL, error);
    }
}

void proposals_deposed(struct proposals *self, uint64_t deadline_ms, const struct error *error)
{
    struct proposal *proposal;

    while ((proposal = queue_pop(&self->submitted)) != NULL) {
        if (proposal->deadline_ms > deadline_ms)
            proposal->deadline_ms = deadline_ms;
        if (proposal->deadline_ms < self->stray_deadline_ms)
            self->stray_deadline_ms = proposal->deadline_ms;
        queue_push(&self->stray, proposal);
    }
    proposals_refuse(self, error);
}

void proposals_expire(struct proposals *self, uint64_t now_ms)
{
    while (self->submitted.first != NULL && self->submitted.first->deadline_ms <= now_ms)
        answer_unknown(queue_pop(&self->submitted), "it did not commit in time");
    if (self->stray_deadline_ms > now_ms)
        return;
    self->stray_deadline_ms = CONSENSUS_NEVER;
    for (uint32_t left = self->stray.count; left > 0; left--) {
        struct proposal *proposal = queue_pop(&self->stray);
        if (proposal->deadline_ms <= now_ms) {
            answer_unknown(proposal, "this node lost leadership");
            continue;
        }
        if (proposal->deadline_ms < self->stray_deadline_ms)
            self->stray_deadline_ms = proposal->deadline_ms;
        queue_push(&self->stray, proposal);
    }
}

uint64_t proposals_deadline_ms(const struct proposals *self)
{
    uint64_t at_ms = self->submitted.first != NULL ? self->submitted.first->deadline_ms : CONSENSUS_NEVER;
    return at_ms < self->stray_deadline_ms ? at_ms : self->stray_deadline_ms;
}

void proposals_fail(struct proposals *self, enum error_code waiting_code, const char *reason)
{
    struct proposal *proposal;
    struct error error = {0};

    error_set(&error, waiting_code, "%s", reason);
    proposals_refuse(self, &error);
    while ((proposal = queue_pop(&self->submitted)) != NULL)
        answer_unknown(proposal, reason);
    while ((proposal = queue_pop(&self->stray)) != NULL)
        answer_unknown(proposal, reason);
}

void proposals_check(const struct proposals *self)
{
    const struct proposal *first = self->submitted.first, *last = self->submitted.last;

    CHECK(proposals_count(self) <= CONSENSUS_PROPOSALS_MAX, "(1) %u proposals", proposals_count(self));
    CHECK(self->bytes <= CONSENSUS_PROPOSAL_BYTES_MAX, "(1) %zu bytes wait", self->bytes);
    CHECK((first == NULL) == (self->submitted.count == 0), "(1) %u are submitted", self->submitted.count);
    if (first == NULL)
        return;
    CHECK(first->term == last->term, "(2) terms %" PRIu64 " and %" PRIu64, first->term, last->term);
    CHECK(last->index >= first->index, "(2) indexes %" PRIu64 " and %" PRIu64, first->index, last->index);
}
