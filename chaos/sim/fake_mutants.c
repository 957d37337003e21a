/* The planted bugs, and the hooks of those that the simulated disk carries. */
#include <stddef.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/entry.h"
#include "base/hash.h"
#include "base/schema.h"
#include "chaos/sim/fake_disk_internal.h"
#include "chaos/sim/mutants.h"
#include "consensus/rules.h"

/* clang-format off */
#define HOOK(mutant_name, text, ...) {.name = mutant_name, .how = text, __VA_ARGS__}
#define RULE(rule_name, rule, text, ...) {.name = "rule-" rule_name, .how = text, .rules_off = RULE_##rule, __VA_ARGS__}

static const struct mutant mutants[] = {
    HOOK("ack-before-sync", "the log says that entries are synced when they are written",
         .caught_by = "start|committed", .seeds = 20),
    HOOK("vote-not-persisted", "the vote is not on the disk, only the term",
         .caught_by = "start", .seeds = 20),
    HOOK("term-and-vote-in-two-writes", "the term is synced, then the vote written",
         .caught_by = "start", .seeds = 20),
    HOOK("apply-twice-after-restart", "the applied index is written apart from what was applied",
         .caught_by = "digest", .seeds = 20, .faults = "stop,crash", .nodes = 3),
    HOOK("requests-lost-at-snapshot", "a transferred state lacks the remembered requests",
         .caught_by = "final-state|digest|exactly-once", .seeds = 20),
    HOOK("snapshot-before-flush", "the log's head goes before the store is flushed",
         .caught_by = "start|availability", .seeds = 20),
    HOOK("read-without-confirmation", "a leader answers reads without asking whether it still leads",
         .caught_by = "linearizable", .seeds = 20, .faults = "pause", .nodes = 3),
    HOOK("digest-not-checked", "a state is installed though a bit of it flipped on the way",
         .caught_by = "final-state|digest|read-value", .seeds = 20),
    HOOK("record-outside-the-group", "audit records are written apart from what they tell of",
         .caught_by = "final-state", .seeds = 20),
    HOOK("truncate-past-the-mark", "the log's head goes further than the snapshot covers",
         .caught_by = "start", .seeds = 20),
    HOOK("answers-mixed-up", "two commands of a group get each other's answers",
         .caught_by = "digest", .seeds = 20),
    RULE("two-cursors", TWO_CURSORS, "configurations are fed at apply, from where the store was (R1)",
         .caught_by = "invariant|membership", .seeds = 20),
    RULE("apply-durable", APPLY_DURABLE, "entries are applied before they are durable here (R2)",
         .caught_by = "cluster", .seeds = 1, .scenario = "stalled-disk"),
    RULE("claim-durable", CLAIM_DURABLE, "entries are acknowledged to the leader when they are queued (R3)",
         .caught_by = "cluster", .seeds = 1, .scenario = "half-synced-follower"),
    RULE("split-appends", SPLIT_APPENDS, "appends reach the engine as they came: commit index, changes, old entries (R4)",
         .caught_by = "invariant|membership", .seeds = 5),
    RULE("pending-configuration", PENDING_CONFIGURATION, "the engine keeps a configuration that was rolled back (R5)",
         .caught_by = "cluster", .seeds = 1, .scenario = "rolled-back-change"),
    RULE("sole-voter-term", SOLE_VOTER_TERM, "a sole voter leads in its old term again (R6)",
         .caught_by = "cluster", .seeds = 1, .scenario = "sole-voter-dies"),
    RULE("one-change", ONE_CHANGE, "changes of several members at once; answers matched by index alone (R7)",
         .caught_by = "cluster", .seeds = 1, .scenario = "overwritten-proposal"),
    RULE("readiness", READINESS, "a new leader acts before its own first command is applied (R8)",
         .caught_by = "cluster", .seeds = 20, .schedule = true),
    RULE("vote-results", VOTE_RESULTS, "vote results reach whoever, answers to lower terms carry what was in memory (R9)",
         .caught_by = "cluster", .seeds = 1, .scenario = "late-append"),
    RULE("all-vote", ALL_VOTE, "a voter that does not know yet that it is one does not vote (R11)",
         .caught_by = "cluster", .seeds = 1, .scenario = "dies-while-promoting"),
    RULE("change-synced", CHANGE_SYNCED, "a configuration leaves before it is synced here (R13)",
         .caught_by = "cluster", .seeds = 1, .scenario = "dies-while-demoting"),
    RULE("new-confirmation", NEW_CONFIRMATION, "a read joins a round of confirmation that began before it",
         .caught_by = "cluster", .seeds = 1, .scenario = "read-after-thaw"),
};
/* clang-format on */
#define MUTANTS (sizeof mutants / sizeof mutants[0])

static const struct mutant *planted;

const struct mutant *mutant_at(uint32_t position)
{
    return position < MUTANTS ? &mutants[position] : NULL;
}

const struct mutant *mutant_find(const char *name)
{
    for (uint32_t i = 0; i < MUTANTS; i++)
        if (strcmp(mutants[i].name, name) == 0)
            return &mutants[i];
    return NULL;
}

void mutant_plant(const struct mutant *mutant)
{
    planted = mutant;
}

bool mutant_is(const char *name)
{
    return planted != NULL && strcmp(planted->name, name) == 0;
}

/* --- a log's promise: the record "m" of its store, as consensus/log_record.c writes it
 * ------------------------------- */

#define PROMISE_MEMORY 16384u

struct promise {
    uint64_t term, vote, generation, node_id, start_counter;
    const char *cluster_id, *incarnation;
};
#define NUMBER(member)                                                                                       \
    {                                                                                                        \
        .name = #member, .type = FIELD_U64, .offset = offsetof(struct promise, member), .max = UINT64_MAX    \
    }
#define TEXT(member, bytes)                                                                                  \
    {                                                                                                        \
        .name = #member, .type = FIELD_TEXT, .offset = offsetof(struct promise, member), .max = (bytes)      \
    }
static const struct field promise_fields[] = {
    NUMBER(term),          NUMBER(vote),          NUMBER(generation),
    NUMBER(node_id),       NUMBER(start_counter), TEXT(cluster_id, CLUSTER_ID_BYTES - 1),
    TEXT(incarnation, 32),
};
static const struct schema promise_schema = SCHEMA("log identity", struct promise, promise_fields);

/* The record without its vote. */
static struct fake_blob *without_vote(struct span value)
{
    struct arena arena;
    struct promise promise = {0};
    struct error error;
    struct bytes packed;

    arena_init(&arena, PROMISE_MEMORY);
    bytes_init(&packed, 0);
    bytes_extend(&packed, 4);
    const enum error_code code = schema_unpack(
        &promise_schema, span_of((const uint8_t *)value.data + 4, value.bytes - 4), &arena, &promise, &error);
    CHECK(code == ERROR_OK, "the log's record of its promise: %s", error.message);
    promise.vote = 0;
    schema_pack(&promise_schema, &promise, &packed);
    put_u32(packed.data, crc32c(crc32c(0, "m", 1), packed.data + 4, packed.length - 4));
    struct fake_blob *blob = fake_blob_new(bytes_span(&packed));
    bytes_done(&packed);
    arena_done(&arena);
    return blob;
}

static void forget_vote(struct fake_table *table)
{
    const struct fake_pair *found = fake_table_find(table, span_text("m"));
    if (found != NULL)
        fake_table_put(table, span_text("m"), without_vote(fake_blob_span(found->value)));
}

/* --- the disk's hooks
 * ------------------------------------------------------------------------------------------------- */

static bool touches(const struct fake_changes *changes, const char *key)
{
    for (size_t i = 0; i < changes->count; i++)
        if (changes->items[i].kind == FAKE_PUT &&
            span_equal(fake_blob_span(changes->items[i].key), span_text(key)))
            return true;
    return false;
}

/* A range of entries that goes away with a snapshot: up to eight more go. */
static void cut_deeper(struct fake_store *store, const struct fake_changes *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        uint8_t limit[9];
        const struct fake_change *change = &changes->items[i];
        if (change->kind != FAKE_DELETE_RANGE || change->other->bytes != sizeof limit)
            continue;
        memcpy(limit, change->other->data, sizeof limit);
        put_u64(limit + 1, get_u64(limit + 1) + 8);
        fake_table_remove(&store->live, fake_blob_span(change->key), span_of(limit, sizeof limit));
    }
}

bool fake_mutant_write(struct fake_store *store, const struct fake_changes *changes, bool sync)
{
    if (planted == NULL || !store->wal || !sync)
        return false;
    if (mutant_is("ack-before-sync") && !touches(changes, "m")) {
        fake_store_sync(store); /* what came before */
        fake_store_write(store, changes);
        return true;
    }
    if (mutant_is("term-and-vote-in-two-writes") && touches(changes, "m")) {
        fake_store_write(store, changes);
        fake_store_sync(store);
        forget_vote(&store->durable);
        return true;
    }
    if (mutant_is("truncate-past-the-mark") && touches(changes, "s")) {
        fake_store_write(store, changes);
        cut_deeper(store, changes);
        fake_table_clear(&store->durable);
        fake_table_copy(&store->durable, &store->live);
        return false; /* and the batch itself once more */
    }
    return false;
}

/* Audit records of the last writes, which are not there yet. */
static void forget_records(struct fake_table *durable, const struct fake_table *before)
{
    for (size_t last = fake_table_lower(durable, span_text("b")); last > 0; last--) {
        const struct fake_pair *pair = fake_table_at(durable, last - 1);
        const struct span key = fake_blob_span(pair->key);
        if (key.bytes == 0 || *(const char *)key.data != 'a' || fake_table_find(before, key) != NULL)
            return;
        struct fake_blob *copy = fake_blob_new(key);
        fake_table_remove_one(durable, fake_blob_span(copy));
        fake_blob_drop(copy);
    }
}

void fake_mutant_synced(struct fake_store *store, const struct fake_table *before)
{
    if (planted == NULL || strncmp(store->path, "/node", 5) != 0)
        return;
    if (store->wal && mutant_is("vote-not-persisted"))
        forget_vote(&store->durable);
    if (store->wal)
        return;
    const struct fake_pair *meta = fake_table_find(before, span_text("mmeta"));
    if (mutant_is("apply-twice-after-restart") && meta != NULL)
        fake_table_put(&store->durable, span_text("mmeta"), fake_blob_keep(meta->value));
    if (mutant_is("record-outside-the-group"))
        forget_records(&store->durable, before);
}
