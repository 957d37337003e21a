/* What nodes promise each other, read off the wire: one vote in a term, whatever crash comes in between; one
 * content for one (index, term). And every frame goes into the trace. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/sim/sim_internal.h"
#include "consensus/message.h"

#define WATCH_ARENA_BYTES (1024u * 1024u)
#define SENDERS_MAX       64u
#define SLOTS             (1u << 16) /* of each table; a power of two */

struct slot { /* what was seen for a key first */
    uint64_t a, b, value;
};

struct wire_watch {
    struct arena arena;
    struct slot *votes, *entries;
    uint32_t vote_count, entry_count;
    struct { /* the highest term that each node has shown */
        uint64_t node, term;
    } terms[SENDERS_MAX];
    uint32_t term_count;
    uint64_t stood; /* the highest term that anybody stood for, or led */
};

void wire_watch_open(struct sim *self)
{
    self->wire = memory_zero(1, sizeof *self->wire);
    arena_init(&self->wire->arena, WATCH_ARENA_BYTES);
    self->wire->votes = memory_zero(SLOTS, sizeof *self->wire->votes);
    self->wire->entries = memory_zero(SLOTS, sizeof *self->wire->entries);
}

void wire_watch_close(struct sim *self)
{
    arena_done(&self->wire->arena);
    free(self->wire->votes);
    free(self->wire->entries);
    free(self->wire);
}

/* The value first seen for (a, b): this one when it is new. A full table forgets the oldest by overwriting.
 */
static uint64_t first_seen(struct slot *slots, uint64_t a, uint64_t b, uint64_t value)
{
    uint64_t hash = (a * 0x9e3779b97f4a7c15u) ^ (b * 0xd1342543de82ef95u);

    for (uint32_t step = 0; step < 16; step++) {
        struct slot *slot = &slots[((hash >> 40) + step) & (SLOTS - 1)];
        if (slot->a == a && slot->b == b)
            return slot->value;
        if (slot->a == 0) {
            *slot = (struct slot){a, b, value};
            return value;
        }
    }
    slots[(hash >> 40) & (SLOTS - 1)] = (struct slot){a, b, value};
    return value;
}

static void voted(struct sim *self, uint64_t node, uint64_t term, uint64_t candidate)
{
    uint64_t before = first_seen(self->wire->votes, node, term, candidate);

    if (before != candidate)
        sim_fail(self, "one-vote",
                 "node %012" PRIx64 " voted in term %" PRIu64 " for %012" PRIx64 " and for %012" PRIx64, node,
                 term, before, candidate);
}

static uint64_t *term_of(struct wire_watch *self, uint64_t node)
{
    uint32_t at = 0;

    while (at < self->term_count && self->terms[at].node != node)
        at++;
    CHECK(at < SENDERS_MAX, "more than %u nodes speak", SENDERS_MAX);
    if (at == self->term_count)
        self->terms[self->term_count++].node = node;
    return &self->terms[at].term;
}

void wire_watch_candidates(struct sim *self)
{
    for (uint32_t i = 0; i < self->cluster->count; i++) {
        struct consensus_status status = cluster_status(self->cluster, i);
        if (status.role != CONSENSUS_FOLLOWER && status.term > self->wire->stood)
            self->wire->stood = status.term;
    }
}

/* A term begins with somebody who stands for it. An answer to a term that has passed says nothing of the log:
 * what stood there would be anybody's memory; but for a node that has just taken over a transferred state,
 * which is of what was committed, and tells whom it last knew as its leader. */
static void answered(struct sim *self, uint64_t from, uint64_t to, const struct message *message)
{
    if (message->term > self->wire->stood)
        wire_watch_candidates(self);
    if (message->term > self->wire->stood)
        sim_fail(self, "wire",
                 "node %012" PRIx64 " is in term %" PRIu64 ", nobody stood for more than %" PRIu64, from,
                 message->term, self->wire->stood);
    if (message->append_result.last_index > self->model.index && *term_of(self->wire, to) < message->term)
        sim_fail(self, "wire", "node %012" PRIx64 " answers a lower term with index %" PRIu64, from,
                 message->append_result.last_index);
}

static void look_at(struct sim *self, uint64_t from, uint64_t to, const struct message *message)
{
    if (message->term > *term_of(self->wire, from) &&
        !(message->kind == MESSAGE_VOTE && message->vote.pre_vote))
        *term_of(self->wire, from) = message->term;
    if (((message->kind == MESSAGE_VOTE && !message->vote.pre_vote) || message->kind == MESSAGE_APPEND) &&
        message->term > self->wire->stood)
        self->wire->stood = message->term;
    if (message->kind == MESSAGE_APPEND_RESULT)
        answered(self, from, to, message);
    if (message->kind == MESSAGE_VOTE && !message->vote.pre_vote)
        voted(self, from, message->term, from);
    if (message->kind == MESSAGE_VOTE_RESULT && message->vote_result.granted &&
        !message->vote_result.pre_vote)
        voted(self, from, message->term, to);
    for (uint32_t i = 0; message->kind == MESSAGE_APPEND && i < message->append.entry_count; i++) {
        const struct entry *entry = &message->append.entries[i];
        uint64_t index = message->append.prev_index + 1 + i;
        uint64_t content = crc32c((uint32_t)entry->type, entry->data.data, entry->data.bytes);
        if (first_seen(self->wire->entries, index, entry->term, content) != content)
            sim_fail(self, "log-matching",
                     "entry %" PRIu64 " of term %" PRIu64 " was sent with two contents, last by %012" PRIx64,
                     index, entry->term, from);
    }
}

static bool on_send(void *context, uint64_t from, uint64_t to, struct span payload)
{
    struct sim *self = context;
    struct message message;

    trace_add(&self->trace, sim_now(self), "send", CLUSTER_NODES_MAX, from ^ (to << 1),
              crc32c(0, payload.data, payload.bytes));
    arena_clear(&self->wire->arena);
    if (message_decode(payload, &self->wire->arena, &message, NULL) == ERROR_OK)
        look_at(self, from, to, &message);
    return true;
}

void wire_watch_attach(struct sim *self)
{
    struct fake_network_options *options = fake_network_options(cluster_network(self->cluster));

    options->filter = on_send;
    options->context = self;
}
