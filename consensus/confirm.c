#include "consensus/confirm.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"

struct reader {
    struct reader *next, *previous;
    reader_done_fn *done;
    void *context;
    uint64_t index; /* known once confirmed */
    uint64_t deadline_ms;
};

static void list_append(struct reader_list *list, struct reader *reader)
{
    reader->next = NULL;
    reader->previous = list->last;
    if (list->last == NULL)
        list->first = reader;
    else
        list->last->next = reader;
    list->last = reader;
    list->count++;
}

static void list_remove(struct reader_list *list, struct reader *reader)
{
    if (reader->previous == NULL)
        list->first = reader->next;
    else
        reader->previous->next = reader->next;
    if (reader->next == NULL)
        list->last = reader->previous;
    else
        reader->next->previous = reader->previous;
    list->count--;
}

/* Keeps `pending` in the order of indexes; nearly always the place is the end. */
static void list_insert(struct reader_list *list, struct reader *reader)
{
    struct reader *after = list->last;

    while (after != NULL && after->index > reader->index)
        after = after->previous;
    if (after == list->last) {
        list_append(list, reader);
        return;
    }
    reader->previous = after;
    reader->next = after == NULL ? list->first : after->next;
    reader->next->previous = reader;
    if (after == NULL)
        list->first = reader;
    else
        after->next = reader;
    list->count++;
}

/* `done` comes last: it may ask again. */
static void finish(struct reader *reader, uint64_t index, const struct error *error)
{
    reader_done_fn *done = reader->done;
    void *context = reader->context;

    free(reader);
    done(context, index, error);
}

/* The number is fixed before: `done` may add to the list. */
static void fail_list(struct reader_list *list, const struct error *error)
{
    for (uint32_t left = list->count; left > 0; left--) {
        struct reader *reader = list->first;
        list_remove(list, reader);
        finish(reader, 0, error);
    }
}

void confirm_init(struct confirm *self, bool join_round)
{
    *self = (struct confirm){.join_round = join_round, .deadline_ms = CONSENSUS_NEVER};
}

uint32_t confirm_count(const struct confirm *self)
{
    return self->waiting.count + self->asked.count + self->pending.count;
}

static enum error_code reader_new(struct confirm *self, uint64_t index, uint64_t deadline_ms,
                                  reader_done_fn *done, void *context, struct reader **out,
                                  struct error *error)
{
    if (confirm_count(self) >= CONSENSUS_READERS_MAX)
        return error_set(error, ERROR_BUSY, "%u of %u readers wait already", confirm_count(self),
                         CONSENSUS_READERS_MAX);
    *out = memory_zero(1, sizeof **out);
    **out = (struct reader){.done = done, .context = context, .index = index, .deadline_ms = deadline_ms};
    if (deadline_ms < self->deadline_ms)
        self->deadline_ms = deadline_ms;
    return ERROR_OK;
}

enum error_code confirm_read(struct confirm *self, uint64_t deadline_ms, reader_done_fn *done, void *context,
                             struct error *error)
{
    struct reader *reader = NULL;
    enum error_code code = reader_new(self, 0, deadline_ms, done, context, &reader, error);

    if (code == ERROR_OK)
        list_append(self->join_round && self->in_flight ? &self->asked : &self->waiting, reader);
    return code;
}

enum error_code confirm_wait(struct confirm *self, uint64_t index, uint64_t deadline_ms, reader_done_fn *done,
                             void *context, struct error *error)
{
    struct reader *reader = NULL;
    enum error_code code = reader_new(self, index, deadline_ms, done, context, &reader, error);

    if (code == ERROR_OK)
        list_insert(&self->pending, reader);
    return code;
}

bool confirm_begin(struct confirm *self, uint64_t term, uint64_t commit_index, uint64_t now_ms)
{
    if (self->in_flight || self->waiting.count == 0)
        return false;
    self->asked = self->waiting;
    self->waiting = (struct reader_list){0};
    self->in_flight = true;
    self->round++;
    self->term = term;
    self->index = commit_index;
    self->sent_ms = now_ms;
    self->answered_count = 0;
    return true;
}

static void round_confirmed(struct confirm *self)
{
    self->in_flight = false;
    while (self->asked.first != NULL) {
        struct reader *reader = self->asked.first;
        list_remove(&self->asked, reader);
        reader->index = self->index;
        list_insert(&self->pending, reader);
    }
}

void confirm_alone(struct confirm *self, const struct configuration *configuration, uint64_t node_id)
{
    if (self->in_flight && configuration_sole_voter(configuration, node_id))
        round_confirmed(self);
}

void confirm_answer(struct confirm *self, uint64_t from, uint64_t round, uint64_t term,
                    const struct configuration *configuration, uint64_t node_id)
{
    uint32_t agree = configuration_is_voter(configuration, node_id) ? 1 : 0;
    bool known = false;

    if (!self->in_flight || round != self->round || term != self->term || from == node_id)
        return;
    for (uint32_t i = 0; i < self->answered_count; i++)
        known = known || self->answered[i] == from;
    if (!known && self->answered_count < NODES_MAX)
        self->answered[self->answered_count++] = from;
    /* Counted anew: the voters may have changed since the round began. */
    for (uint32_t i = 0; i < self->answered_count; i++)
        agree += configuration_is_voter(configuration, self->answered[i]);
    if (agree > configuration_voter_count(configuration) / 2)
        round_confirmed(self);
}

void confirm_applied(struct confirm *self, uint64_t applied_index)
{
    while (self->pending.first != NULL && self->pending.first->index <= applied_index) {
        struct reader *reader = self->pending.first;
        list_remove(&self->pending, reader);
        finish(reader, reader->index, NULL);
    }
}

void confirm_deposed(struct confirm *self, const struct error *error)
{
    self->in_flight = false;
    fail_list(&self->asked, error);
    fail_list(&self->waiting, error);
}

static void expire_list(struct confirm *self, struct reader_list *list, enum error_code code,
                        const char *reason, uint64_t now_ms)
{
    struct error error = {0};
    struct reader *next;

    error_set(&error, code, "%s", reason);
    for (struct reader *reader = list->first; reader != NULL; reader = next) {
        next = reader->next;
        if (reader->deadline_ms > now_ms) {
            if (reader->deadline_ms < self->deadline_ms)
                self->deadline_ms = reader->deadline_ms;
            continue;
        }
        list_remove(list, reader);
        /* It can't add to this list before `next`: new readers go behind, with later deadlines. */
        finish(reader, 0, &error);
    }
}

void confirm_expire(struct confirm *self, uint64_t now_ms)
{
    if (now_ms < self->deadline_ms)
        return;
    self->deadline_ms = CONSENSUS_NEVER;
    expire_list(self, &self->waiting, ERROR_UNAVAILABLE, "no majority confirmed this leader in time", now_ms);
    expire_list(self, &self->asked, ERROR_UNAVAILABLE, "no majority confirmed this leader in time", now_ms);
    if (self->asked.count == 0)
        self->in_flight = false; /* late answers don't matter to anybody */
    expire_list(self, &self->pending, ERROR_TIMEOUT, "the index was not applied here in time", now_ms);
}

void confirm_fail(struct confirm *self, const struct error *error)
{
    confirm_deposed(self, error);
    fail_list(&self->pending, error);
}

void confirm_check(const struct confirm *self)
{
    CHECK(confirm_count(self) <= CONSENSUS_READERS_MAX, "(1) %u readers", confirm_count(self));
    CHECK(self->in_flight || self->asked.count == 0, "(3) %u readers of no round", self->asked.count);
    const struct reader *first = self->pending.first, *last = self->pending.last;
    CHECK(first == NULL || first->index <= last->index, "(2) index %" PRIu64 " before %" PRIu64,
          first == NULL ? 0 : first->index, last == NULL ? 0 : last->index);
}
