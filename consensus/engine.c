#include "consensus/engine_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* --- memory: libraft frees twice where an allocation fails, so none may (R10)
 * ------------------------------------ */

static void *heap_malloc(void *data, size_t size)
{
    (void)data;
    return memory_new(size == 0 ? 1 : size);
}

static void heap_free(void *data, void *pointer)
{
    (void)data;
    free(pointer);
}

static void *heap_calloc(void *data, size_t count, size_t size)
{
    (void)data;
    return memory_zero(count == 0 ? 1 : count, size == 0 ? 1 : size);
}

static void *heap_realloc(void *data, void *pointer, size_t size)
{
    (void)data;
    return memory_resize(pointer, size == 0 ? 1 : size);
}

static void *heap_aligned_alloc(void *data, size_t alignment, size_t size)
{
    (void)data;
    void *memory = aligned_alloc(alignment, size);
    CHECK(memory != NULL, "no memory for %zu bytes", size);
    return memory;
}

static void heap_aligned_free(void *data, size_t alignment, void *pointer)
{
    (void)data;
    (void)alignment;
    free(pointer);
}

static struct raft_heap heap = {NULL,         heap_malloc,        heap_free,        heap_calloc,
                                heap_realloc, heap_aligned_alloc, heap_aligned_free};

/* --- life
 * -----------------------------------------------------------------------------------------------------------
 */

struct engine *engine_new(const struct engine_options *options)
{
    struct engine *self = memory_zero(1, sizeof *self);

    raft_heap_set(&heap);
    self->options = *options;
    self->address = text_copy(options->address);
    self->options.address = self->address;
    bytes_init(&self->scratch, 0);
    return self;
}

static void close_raft(struct engine *self)
{
    if (self->open)
        raft_close(&self->raft, NULL);
    self->open = false;
}

void engine_free(struct engine *self)
{
    if (self == NULL)
        return;
    close_raft(self);
    bytes_done(&self->scratch);
    free(self->address);
    free(self);
}

void engine_fail(struct engine *self, enum error_code code, const char *format, ...)
{
    va_list arguments;

    if (self->failed)
        return;
    va_start(arguments, format);
    error_setv(&self->failure, code, format, arguments);
    va_end(arguments);
    self->failed = true;
}

const struct error *engine_failure(const struct engine *self)
{
    return self->failed ? &self->failure : NULL;
}

bool engine_must(struct engine *self, int code, const char *what)
{
    if (code == 0)
        return true;
    if (engine_rule(self, RULE_FATAL_ERRORS))
        engine_fail(self, ERROR_CORRUPT, "the raft engine refused %s: %s (%s)", what, raft_strerror(code),
                    raft_errmsg(&self->raft));
    return false;
}

bool engine_idle(const struct engine *self)
{
    return self->failed || !self->open || self->restart_wanted;
}

/* libraft compares times and can't bear one that falls. */
uint64_t engine_now(struct engine *self)
{
    uint64_t now_ms = self->options.clock.monotonic_ms(self->options.clock.context);

    if (now_ms > self->now_ms)
        self->now_ms = now_ms;
    return self->now_ms;
}

/* --- starting from the log
 * ------------------------------------------------------------------------------------------ */

bool engine_configuration(struct engine *self, struct span payload, struct raft_configuration *out)
{
    struct configuration decoded = {0};
    struct error error = {0};
    struct raft_buffer buffer = {.base = (void *)(uintptr_t)payload.data, .len = payload.bytes};

    if (configuration_decode(payload, &decoded, &error) != ERROR_OK) {
        engine_fail(self, ERROR_CORRUPT, "%s", error.message);
        return false;
    }
    return engine_must(self, raft_configuration_decode(&buffer, out), "a configuration");
}

/* What the engine is told of the log: every entry's term, and the payload of configurations. */
static struct raft_entry *start_entries(struct engine *self, uint64_t first, uint32_t count)
{
    struct log *log = self->options.log;
    struct raft_entry *entries = raft_calloc(count, sizeof *entries);
    uint64_t change = first + count;

    for (uint32_t i = 0; i < count; i++)
        entries[i] = (struct raft_entry){.term = log_term_of(log, first + i), .type = RAFT_COMMAND};
    for (;;) {
        bytes_clear(&self->scratch);
        change = log_change_before(log, change - 1, &self->scratch);
        if (change < first || change == 0)
            return entries;
        struct raft_entry *entry = &entries[change - first];
        entry->type = RAFT_CHANGE;
        entry->buf.len = self->scratch.length;
        entry->buf.base = raft_malloc(entry->buf.len);
        memcpy(entry->buf.base, self->scratch.data, entry->buf.len);
        entry->batch = entry->buf.base;
        if (change == first)
            return entries;
    }
}

static void free_start_entries(struct raft_entry *entries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        raft_free(entries[i].batch);
    raft_free(entries);
}

static void open_raft(struct engine *self)
{
    const struct engine_options *options = &self->options;

    memset(&self->raft, 0, sizeof self->raft);
    CHECK(raft_init(&self->raft, NULL, NULL, options->node_id, self->address) == 0, "raft_init");
    self->open = true;
    raft_seed(&self->raft,
              (unsigned)(options->seed ^ (options->seed >> 32)) + (unsigned)self->starts * 7919u);
    raft_set_election_timeout(&self->raft, options->election_timeout_ms);
    raft_set_heartbeat_timeout(&self->raft, ENGINE_HEARTBEAT_MS);
    /* What it sends then is a hint of a few bytes; after a newer snapshot of ours it would not repeat a lost
     * one before. */
    raft_set_install_snapshot_timeout(&self->raft, 2 * options->election_timeout_ms);
    raft_set_pre_vote(&self->raft, true);
    raft_set_max_inflight_entries(&self->raft, ENGINE_INFLIGHT_ENTRIES_MAX);
    raft_set_capacity_threshold(&self->raft, 0);
}

/* The configuration that the log ends with. */
static bool log_configuration(struct engine *self, struct configuration *out)
{
    struct log *log = self->options.log;
    struct log_snapshot snapshot;
    struct error error = {0};

    *out = (struct configuration){0};
    bytes_clear(&self->scratch);
    out->index = log_change_before(log, log_last_index(log), &self->scratch);
    struct span payload = bytes_span(&self->scratch);
    if (out->index == 0) {
        log_snapshot(log, &snapshot);
        if (snapshot.index == 0)
            return true; /* joining: it has none yet */
        out->index = snapshot.configuration_index;
        payload = span_of(snapshot.configuration, snapshot.configuration_bytes);
    }
    if (configuration_decode(payload, out, &error) == ERROR_OK)
        return true;
    engine_fail(self, ERROR_CORRUPT, "the log's configuration at %" PRIu64 " is damaged: %s", out->index,
                error.message);
    return false;
}

/* R6: a sole voter would lead again in its old term; nothing else keeps that term's entries apart. */
static bool raise_sole_voter_term(struct engine *self)
{
    struct log *log = self->options.log;
    struct configuration configuration;
    struct error error = {0};

    if (!log_configuration(self, &configuration))
        return false;
    if (!engine_rule(self, RULE_SOLE_VOTER_TERM) ||
        !configuration_sole_voter(&configuration, self->options.node_id))
        return true;
    if (log_vote_write(log, log_term(log) + 1, self->options.node_id, &error) == ERROR_OK)
        return true;
    engine_fail(self, error.code, "%s", error.message);
    return false;
}

static void start_raft(struct engine *self)
{
    struct log *log = self->options.log;
    struct log_snapshot snapshot;
    struct raft_snapshot_metadata metadata = {0};
    struct raft_event event = {.type = RAFT_START};
    struct raft_update update;
    uint64_t first = log_first_index(log), last = log_last_index(log);

    if (!raise_sole_voter_term(self))
        return;
    open_raft(self);
    log_snapshot(log, &snapshot);
    if (snapshot.index > 0) {
        metadata.index = snapshot.index;
        metadata.term = snapshot.term;
        metadata.configuration_index = snapshot.configuration_index;
        if (!engine_configuration(self, span_of(snapshot.configuration, snapshot.configuration_bytes),
                                  &metadata.configuration))
            return;
        event.start.metadata = &metadata;
    }
    event.start.term = log_term(log);
    event.start.voted_for = log_vote(log);
    event.start.start_index = first;
    event.start.n_entries = (unsigned)(last + 1 - first);
    if (event.start.n_entries > 0)
        event.start.entries = start_entries(self, first, event.start.n_entries);
    self->starts++;
    if (!engine_must(self, engine_step(self, &event, &update), "the log"))
        return;
    if (event.start.n_entries > 0)
        free_start_entries(event.start.entries, event.start.n_entries);
    /* Where the engine began: a sole voter has committed more within this step already, and was told of none
     * of it. */
    self->fed = snapshot.index > 0 ? snapshot.index : event.start.n_entries > 0 ? 1 : 0;
}

enum error_code engine_start(struct engine *self, uint64_t applied_index, struct error *error)
{
    CHECK(!self->open, "the engine was started already");
    start_raft(self);
    if (!engine_rule(self, RULE_TWO_CURSORS) && self->fed < applied_index)
        self->fed = applied_index;
    if (!self->failed)
        engine_settle(self);
    if (!self->failed)
        return ERROR_OK;
    return error_set(error, self->failure.code, "%s", self->failure.message);
}

void engine_restart(struct engine *self)
{
    struct log *log = self->options.log;

    /* RAFT_START takes every entry for stored. */
    self->restart_wanted = true;
    if (log_durable_index(log) != log_last_index(log))
        return;
    self->restart_wanted = false;
    close_raft(self);
    start_raft(self);
    if (!self->failed)
        engine_settle(self);
}

bool engine_sole_voter_restarts(struct engine *self)
{
    if (!engine_rule(self, RULE_SOLE_VOTER_TERM) || self->raft.state == RAFT_LEADER ||
        !configuration_sole_voter(&self->current, self->options.node_id))
        return false;
    engine_restart(self);
    return true;
}

/* --- a step and its update
 * ------------------------------------------------------------------------------------------ */

static void persist_term(struct engine *self)
{
    struct log *log = self->options.log;
    struct error error = {0};

    if (self->raft.current_term == log_term(log) && self->raft.voted_for == log_vote(log))
        return;
    CHECK(self->raft.current_term >= log_term(log), "term fell from %" PRIu64 " to %llu", log_term(log),
          self->raft.current_term);
    if (log_vote_write(log, self->raft.current_term, self->raft.voted_for, &error) != ERROR_OK)
        engine_fail(self, error.code, "%s", error.message);
}

static void persist_entries(struct engine *self, const struct raft_update *update)
{
    struct entry *entries = memory_zero(update->entries.n, sizeof *entries);

    CHECK(update->entries.n > 0, "an empty update of entries");
    CHECK(update->entries.index > self->commit_index || !engine_rule(self, RULE_SPLIT_APPENDS),
          "entry %llu is committed and would be replaced", update->entries.index);
    for (unsigned i = 0; i < update->entries.n; i++) {
        const struct raft_entry *from = &update->entries.batch[i];
        entries[i] = (struct entry){.index = update->entries.index + i,
                                    .term = from->term,
                                    .type = (enum entry_type)from->type,
                                    .data = span_of(from->buf.base, from->buf.len)};
    }
    log_append(self->options.log, entries, update->entries.n);
    free(entries);
    /* A new leader's no-op lives inside the engine, but for its payload. */
    if (update->entries.batch == &self->raft.barrier)
        raft_free(update->entries.batch[0].batch);
}

void engine_space(struct engine *self, bool full)
{
    self->disk_full = full;
}

bool engine_says_full(const struct message *append_result)
{
    return append_result->append_result.capacity == ENGINE_CAPACITY_FULL;
}

int engine_step(struct engine *self, struct raft_event *event, struct raft_update *update)
{
    CHECK(!self->stepping, "a step inside a step");
    self->stepping = true;
    uint64_t commit_before = event->type == RAFT_START ? 0 : raft_commit_index(&self->raft);
    memset(update, 0, sizeof *update);
    event->time = engine_now(self);
    event->capacity = self->disk_full ? ENGINE_CAPACITY_FULL : ENGINE_CAPACITY;
    int code = raft_step(&self->raft, event, update);
    if (code == 0) {
        persist_term(self);
        if (!self->failed && (update->flags & (unsigned)(RAFT_UPDATE_ENTRIES)))
            persist_entries(self, update);
        if (!self->failed && (update->flags & (unsigned)(RAFT_UPDATE_MESSAGES)))
            engine_send_messages(self, update);
        CHECK(raft_commit_index(&self->raft) >= commit_before,
              "(2) the commit index fell from %" PRIu64 " to %llu", commit_before,
              raft_commit_index(&self->raft));
        if (raft_commit_index(&self->raft) > self->commit_index)
            self->commit_index = raft_commit_index(&self->raft);
    }
    self->stepping = false;
    return code;
}

/* Copies libraft's configuration when it is another one than before. */
static void refresh_current(struct engine *self)
{
    const struct raft *raft = &self->raft;

    if (raft->configuration.servers == self->current_servers &&
        raft->configuration_committed_index == self->current_committed &&
        raft->configuration_uncommitted_index == self->current_uncommitted)
        return;
    self->current_servers = raft->configuration.servers;
    self->current_committed = raft->configuration_committed_index;
    self->current_uncommitted = raft->configuration_uncommitted_index;
    self->verified_index = 0;
    self->current = (struct configuration){0};
    self->current.index = self->current_uncommitted > 0 ? self->current_uncommitted : self->current_committed;
    CHECK(raft->configuration.n <= NODES_MAX, "%u members", raft->configuration.n);
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        const struct raft_server *server = &raft->configuration.servers[i];
        struct configuration_member *member = &self->current.members[self->current.count++];
        CHECK(strlen(server->address) < sizeof member->address, "address of %zu bytes",
              strlen(server->address));
        member->node_id = server->id;
        member->role = (enum member_role)server->role;
        memcpy(member->address, server->address, strlen(server->address) + 1);
    }
}

/* R5: is the engine's configuration the one that the log ends with? */
static bool configuration_holds(struct engine *self)
{
    struct log *log = self->options.log;
    uint64_t index = log_change_before(log, log_last_index(log), NULL);
    struct configuration logged;

    if (index > 0 && index == self->verified_index && log_term_of(log, index) == self->verified_term)
        return true;
    if (!log_configuration(self, &logged))
        return true; /* failed: nothing more to decide */
    if (logged.index != self->current.index || !configuration_same(&logged, &self->current))
        return false;
    self->verified_index = index;
    self->verified_term = index > 0 ? log_term_of(log, index) : 0;
    return true;
}

void engine_feed(struct engine *self, uint64_t index)
{
    struct raft_event event = {.type = RAFT_CONFIGURATION};
    struct raft_update update;

    bytes_clear(&self->scratch);
    uint64_t found = log_change_before(self->options.log, index, &self->scratch);
    CHECK(found == index, "no configuration at %" PRIu64, index);
    event.configuration.index = index;
    if (!engine_configuration(self, bytes_span(&self->scratch), &event.configuration.conf))
        return;
    engine_must(self, engine_step(self, &event, &update), "a committed configuration");
    refresh_current(self);
}

void engine_settle(struct engine *self)
{
    if (self->failed)
        return;
    refresh_current(self);
    uint64_t commit = raft_commit_index(&self->raft);
    if (commit > self->fed) {
        uint64_t change = log_change_before(self->options.log, commit, NULL);
        if (change > self->fed)
            engine_feed(self, change);
        self->fed = commit;
    }
    if (!self->failed && engine_rule(self, RULE_PENDING_CONFIGURATION) && !configuration_holds(self) &&
        !self->failed)
        engine_restart(self);
    if (!self->failed)
        engine_check(self);
}

void engine_synced(struct engine *self)
{
    struct log *log = self->options.log;
    struct raft_event event = {.type = RAFT_PERSISTED_ENTRIES};
    struct raft_update update;

    if (self->failed || !self->open)
        return;
    if (self->restart_wanted) {
        engine_restart(self);
        return;
    }
    uint64_t durable = engine_rule(self, RULE_CLAIM_DURABLE) ? log_durable_index(log) : log_last_index(log);
    if (durable <= self->raft.last_stored)
        return;
    CHECK(self->raft.state != RAFT_CANDIDATE, "a candidate has entries that are not synced");
    event.persisted_entries.index = durable;
    if (engine_must(self, engine_step(self, &event, &update), "synced entries"))
        engine_settle(self);
}

/* --- time
 * -----------------------------------------------------------------------------------------------------------
 */

uint64_t engine_deadline_ms(const struct engine *self)
{
    if (engine_idle(self))
        return CONSENSUS_NEVER;
    if (self->raft.state == RAFT_LEADER)
        return self->last_timeout_ms + self->options.heartbeat_ms; /* see ENGINE_HEARTBEAT_MS */
    return raft_timeout(&self->raft);
}

void engine_tick(struct engine *self)
{
    struct raft_event event = {.type = RAFT_TIMEOUT};
    struct raft_update update;

    if (engine_idle(self) || engine_now(self) < engine_deadline_ms(self))
        return;
    if (engine_sole_voter_restarts(self))
        return;
    self->last_timeout_ms = self->now_ms;
    if (!engine_must(self, engine_step(self, &event, &update), "a timeout"))
        return;
    /* R11: a follower that can't stand keeps its leader for ever, and refuses others its vote for that one's
     * sake. */
    if (self->raft.state == RAFT_FOLLOWER && engine_rule(self, RULE_ALL_VOTE))
        self->raft.follower_state.current_leader.id = 0;
    engine_settle(self);
}

bool engine_hasten(struct engine *self)
{
    struct raft_event event = {.type = RAFT_TIMEOUT};
    struct raft_update update;

    if (engine_idle(self) || self->raft.state != RAFT_FOLLOWER)
        return true;
    if (engine_now(self) < self->raft.election_timer_start + 2)
        return false;
    if (engine_sole_voter_restarts(self))
        return true;
    raft_set_election_timeout(&self->raft, 1);
    int code = engine_step(self, &event, &update);
    raft_set_election_timeout(&self->raft, self->options.election_timeout_ms);
    if (engine_must(self, code, "a hastened timeout"))
        engine_settle(self);
    return true;
}

/* --- state
 * ----------------------------------------------------------------------------------------------------------
 */

void engine_state(const struct engine *self, struct engine_state *out)
{
    const struct raft *raft = &self->raft;

    *out = (struct engine_state){.term = log_term(self->options.log),
                                 .commit_index = self->commit_index,
                                 .starts = self->starts,
                                 .configuration = &self->current};
    if (engine_idle(self))
        return; /* a follower that knows no leader */
    out->term = raft->current_term;
    out->change_pending = raft->configuration_uncommitted_index != 0;
    out->by_transfer = raft->current_term == self->transfer_term;
    if (raft->state == RAFT_FOLLOWER) {
        out->leader_id = raft->follower_state.current_leader.id;
    } else if (raft->state == RAFT_CANDIDATE) {
        out->role = CONSENSUS_CANDIDATE;
        out->pre_vote = raft->candidate_state.in_pre_vote;
    } else {
        out->role = CONSENSUS_LEADER;
        out->leader_id = self->options.node_id;
        out->transferee = raft->leader_state.transferee;
    }
}

uint64_t engine_match_index(const struct engine *self, uint64_t node_id)
{
    raft_index index = 0;

    if (engine_idle(self) || self->raft.state != RAFT_LEADER ||
        raft_match_index(&self->raft, node_id, &index) != 0)
        return 0;
    return index;
}

void engine_check(const struct engine *self)
{
    struct log *log = self->options.log;
    const struct raft *raft = &self->raft;

    if (engine_idle(self))
        return;
    CHECK(raft->current_term == log_term(log), "(1) term %llu, in the log %" PRIu64, raft->current_term,
          log_term(log));
    CHECK(raft->voted_for == log_vote(log), "(1) vote %llu, in the log %" PRIu64, raft->voted_for,
          log_vote(log));
    CHECK(raft_last_index((struct raft *)(uintptr_t)raft) == log_last_index(log),
          "(1) last index %llu, in the log %" PRIu64, raft_last_index((struct raft *)(uintptr_t)raft),
          log_last_index(log));
    CHECK(raft->last_stored <= log_last_index(log), "(1) stored %llu past the end %" PRIu64,
          raft->last_stored, log_last_index(log));
    CHECK(self->commit_index <= log_last_index(log), "(3) commit index %" PRIu64 " past the end %" PRIu64,
          self->commit_index, log_last_index(log));
    CHECK(raft->commit_index <= self->commit_index, "(2) commit index %llu and %" PRIu64, raft->commit_index,
          self->commit_index);
    CHECK(self->fed <= self->commit_index || !engine_rule(self, RULE_TWO_CURSORS),
          "(3) fed %" PRIu64 " past %" PRIu64, self->fed, self->commit_index);
}
