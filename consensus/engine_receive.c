/* Messages from other nodes into the engine: checked, bounded, split, before libraft sees them. */
#include "consensus/engine_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* One piece of an AppendEntries: what one RAFT_RECEIVE carries. */
struct piece {
    uint64_t prev_index, prev_term, commit;
    const struct entry *entries;
    uint32_t count;
};

/* Steps one message and frees the address, which replies point at. */
static bool receive(struct engine *self, struct raft_message *message, const char *address, const char *what,
                    struct raft_update *update)
{
    struct raft_event event = {.type = RAFT_RECEIVE};
    char *copy = raft_malloc(strlen(address) + 1);

    memcpy(copy, address, strlen(address) + 1);
    message->server_address = copy;
    event.receive.message = message;
    int code = engine_step(self, &event, update);
    raft_free(copy);
    return engine_must(self, code, what);
}

/* libraft keeps the payloads only when it asks for entries to be written, and frees them itself in every
 * other case. */
static bool receive_piece(struct engine *self, const struct message *message, const char *address,
                          const struct piece *piece)
{
    struct raft_message copy = {.type = RAFT_APPEND_ENTRIES, .server_id = message->from};
    struct raft_append_entries *append = &copy.append_entries;
    struct raft_update update;
    struct raft_entry *entries = NULL;
    uint8_t *batch = NULL;
    size_t bytes = 0, at = 0;

    append->term = message->term;
    append->prev_log_index = piece->prev_index;
    append->prev_log_term = piece->prev_term;
    append->leader_commit = piece->commit;
    append->n_entries = piece->count;
    if (piece->count > 0) {
        for (uint32_t i = 0; i < piece->count; i++)
            bytes += piece->entries[i].data.bytes;
        entries = raft_calloc(piece->count, sizeof *entries);
        batch = raft_malloc(bytes);
        for (uint32_t i = 0; i < piece->count; i++) {
            const struct entry *from = &piece->entries[i];
            if (from->data.bytes > 0)
                memcpy(batch + at, from->data.data, from->data.bytes);
            entries[i] = (struct raft_entry){.term = from->term,
                                             .type = (enum raft_entry_type)from->type,
                                             .buf = {.base = batch + at, .len = from->data.bytes},
                                             .batch = batch};
            at += from->data.bytes;
        }
        append->entries = entries;
    }
    bool stepped = receive(self, &copy, address, "an append", &update);
    if (stepped && (update.flags & (unsigned)(RAFT_UPDATE_ENTRIES)))
        raft_free(batch);
    raft_free(entries);
    if (stepped)
        engine_settle(self);
    return stepped;
}

/* Terms don't fall, none is above the leader's, and a configuration is one. */
static bool append_valid(const struct message *message)
{
    uint64_t term = message->append.prev_term;
    struct configuration decoded;

    if ((message->append.prev_index == 0) != (term == 0) || term > message->term)
        return false;
    for (uint32_t i = 0; i < message->append.entry_count; i++) {
        const struct entry *entry = &message->append.entries[i];
        if (entry->term < term || entry->term == 0 || entry->term > message->term)
            return false;
        if (entry->index != message->append.prev_index + 1 + i)
            return false;
        if (entry->type == ENTRY_CHANGE && configuration_decode(entry->data, &decoded, NULL) != ERROR_OK)
            return false;
        term = entry->term;
    }
    return true;
}

/* R5: a leader appends a change only after the one before it is committed, so what we hold as pending is
 * committed when the next one comes from a leader whose log is ours up to there. */
static void feed_pending(struct engine *self, const struct message *message, const struct piece *piece)
{
    uint64_t pending = self->raft.configuration_uncommitted_index;

    if (!engine_rule(self, RULE_PENDING_CONFIGURATION) || piece->count == 0 ||
        piece->entries[0].type != ENTRY_CHANGE)
        return;
    if (pending == 0 || pending > piece->prev_index || self->raft.state == RAFT_LEADER ||
        message->term < self->raft.current_term ||
        log_term_of(self->options.log, piece->prev_index) != piece->prev_term)
        return;
    engine_feed(self, pending);
}

/* An append may start below our head, or just before it: a late copy, or from a leader that doesn't know what
 * we have. libraft would put the entries of the one at our end, whatever their index, and refuse the other
 * for ever, not knowing any more what stood before our head. What the snapshot covers is committed, so the
 * leader has it too: the message is taken from there on. */
static void respect_head(struct engine *self, struct piece *piece)
{
    struct log *log = self->options.log;
    struct log_snapshot snapshot;

    if (piece->prev_index >= log_first_index(log))
        return;
    log_snapshot(log, &snapshot);
    if (piece->prev_index >= snapshot.index)
        return;
    uint64_t skip = snapshot.index - piece->prev_index;
    if (skip > piece->count)
        skip = piece->count;
    piece->entries += skip;
    piece->count -= (uint32_t)skip;
    piece->prev_index = snapshot.index;
    piece->prev_term = snapshot.term;
}

/* R4: a configuration comes first in its piece, and no piece's commit index passes its end. */
static uint32_t piece_length(const struct engine *self, const struct entry *entries, uint32_t count)
{
    if (!engine_rule(self, RULE_SPLIT_APPENDS))
        return count;
    for (uint32_t i = 1; i < count; i++)
        if (entries[i].type == ENTRY_CHANGE)
            return i;
    return count;
}

static void receive_append(struct engine *self, const struct message *message, const char *address,
                           bool heartbeats_only)
{
    struct piece rest = {.prev_index = message->append.prev_index,
                         .prev_term = message->append.prev_term,
                         .commit = message->append.commit,
                         .entries = message->append.entries,
                         .count = heartbeats_only ? 0 : message->append.entry_count};
    uint64_t starts = self->starts;

    if (!append_valid(message))
        return;
    if (engine_rule(self, RULE_SPLIT_APPENDS))
        respect_head(self, &rest);
    self->answering_lower_term = message->term < self->raft.current_term;
    do {
        struct piece piece = rest;
        piece.count = piece_length(self, rest.entries, rest.count);
        uint64_t end = piece.prev_index + piece.count;
        if (engine_rule(self, RULE_SPLIT_APPENDS) && piece.commit > end)
            piece.commit = end;
        feed_pending(self, message, &piece);
        if (engine_idle(self) || !receive_piece(self, message, address, &piece))
            break;
        if (piece.count == rest.count)
            break;
        rest.prev_index = end;
        rest.prev_term = piece.entries[piece.count - 1].term;
        rest.entries += piece.count;
        rest.count -= piece.count;
    } while (!engine_idle(self) && self->starts == starts && self->raft.state == RAFT_FOLLOWER &&
             self->raft.current_term == message->term &&
             log_term_of(self->options.log, rest.prev_index) == rest.prev_term);
    self->answering_lower_term = false;
}

/* R11: in Raft everybody votes, and the candidate counts by its own log. libraft lets only those vote who
 * know themselves as voters: one that is just being promoted doesn't, and when the candidate can't win
 * without it, nobody leads ever again (a sole voter that dies while it makes its first peer a voter). */
static struct raft_server *promote_for_vote(struct engine *self, int *role)
{
    if (!engine_rule(self, RULE_ALL_VOTE))
        return NULL;
    for (unsigned i = 0; i < self->raft.configuration.n; i++) {
        struct raft_server *server = &self->raft.configuration.servers[i];
        if (server->id == self->options.node_id && server->role != RAFT_VOTER) {
            *role = server->role;
            server->role = RAFT_VOTER;
            return server;
        }
    }
    return NULL;
}

static void receive_vote(struct engine *self, const struct message *message, const char *address)
{
    struct raft_message copy = {.type = RAFT_REQUEST_VOTE, .server_id = message->from};
    struct raft_update update;

    copy.request_vote = (struct raft_request_vote){.version = 2,
                                                   .term = message->term,
                                                   .candidate_id = message->vote.candidate,
                                                   .last_log_index = message->vote.last_index,
                                                   .last_log_term = message->vote.last_term,
                                                   .disrupt_leader = message->vote.disrupt_leader,
                                                   .pre_vote = message->vote.pre_vote};
    int role = RAFT_STANDBY;
    struct raft_server *promoted = promote_for_vote(self, &role);
    self->answering_lower_term = message->term < self->raft.current_term;
    bool stepped = receive(self, &copy, address, "a vote request", &update);
    self->answering_lower_term = false;
    if (promoted != NULL)
        promoted->role = role;
    if (stepped)
        engine_settle(self);
}

static void receive_vote_result(struct engine *self, const struct message *message, const char *address)
{
    struct raft_message copy = {.type = RAFT_REQUEST_VOTE_RESULT, .server_id = message->from};
    struct raft_update update;

    /* R9: otherwise it reads a candidate's fields from a follower's or leader's memory. */
    if (engine_rule(self, RULE_VOTE_RESULTS) && self->raft.state != RAFT_CANDIDATE)
        return;
    copy.request_vote_result = (struct raft_request_vote_result){.version = ENGINE_VOTE_RESULT_VERSION,
                                                                 .term = message->term,
                                                                 .vote_granted = message->vote_result.granted,
                                                                 .pre_vote = message->vote_result.pre_vote,
                                                                 .features = message->vote_result.features,
                                                                 .capacity = message->vote_result.capacity};
    if (receive(self, &copy, address, "a vote", &update))
        engine_settle(self);
}

/* R14: a late rejection, or one with a late hint, would set what is sent next below what is known to match;
 * libraft then computes a window of less than nothing, and never sends this follower an entry again. As a
 * sign of life it still counts. */
static void mend_rejection(const struct engine *self, uint64_t from,
                           struct raft_append_entries_result *result)
{
    uint64_t match = engine_match_index(self, from);

    if (result->rejected > 0 && result->rejected <= match) {
        result->rejected = 0;
        result->last_log_index = 0;
    } else if (result->rejected > 0 && result->last_log_index < match) {
        result->last_log_index = match;
    }
}

static void receive_append_result(struct engine *self, const struct message *message, const char *address)
{
    struct raft_message copy = {.type = RAFT_APPEND_ENTRIES_RESULT, .server_id = message->from};
    struct raft_update update;

    copy.append_entries_result =
        (struct raft_append_entries_result){.version = 2,
                                            .term = message->term,
                                            .rejected = message->append_result.rejected,
                                            .last_log_index = message->append_result.last_index,
                                            .features = message->append_result.features,
                                            .capacity = message->append_result.capacity};
    if (message->term == self->raft.current_term && engine_rule(self, RULE_STALE_REJECTIONS))
        mend_rejection(self, message->from, &copy.append_entries_result);
    if (receive(self, &copy, address, "an append result", &update))
        engine_settle(self);
}

static void receive_timeout_now(struct engine *self, const struct message *message, const char *address)
{
    struct raft_message copy = {.type = RAFT_TIMEOUT_NOW, .server_id = message->from};
    struct raft_update update;
    bool follower = self->raft.state == RAFT_FOLLOWER;

    if (engine_sole_voter_restarts(self))
        return;
    copy.timeout_now = (struct raft_timeout_now){.term = message->term,
                                                 .last_log_index = message->timeout_now.last_index,
                                                 .last_log_term = message->timeout_now.last_term};
    if (!receive(self, &copy, address, "a timeout-now", &update))
        return;
    if (follower && self->raft.state != RAFT_FOLLOWER)
        self->transfer_term = self->raft.current_term;
    engine_settle(self);
}

struct engine_peer *engine_peer(struct engine *self, uint64_t node_id)
{
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (self->peers[i].node_id == node_id)
            return &self->peers[i];
    return NULL;
}

/* Takes the place of who was heard longest ago. */
static void note_heard(struct engine *self, uint64_t node_id)
{
    struct engine_peer *peer = engine_peer(self, node_id);

    if (peer == NULL) {
        peer = &self->peers[0];
        for (unsigned i = 1; i < NODES_MAX; i++)
            if (self->peers[i].heard_ms < peer->heard_ms)
                peer = &self->peers[i];
        *peer = (struct engine_peer){.node_id = node_id};
    }
    peer->heard_ms = engine_now(self);
}

bool engine_silent(const struct engine *self, uint64_t node_id)
{
    uint64_t bound_ms = (uint64_t)ENGINE_SILENT_HEARTBEATS * self->options.heartbeat_ms;

    for (unsigned i = 0; i < NODES_MAX; i++)
        if (self->peers[i].node_id == node_id)
            return self->peers[i].heard_ms + bound_ms < self->now_ms;
    return true;
}

void engine_receive(struct engine *self, const struct message *message, const char *address,
                    bool heartbeats_only)
{
    if (engine_idle(self) || message->from == 0 || message->from == self->options.node_id ||
        message->term == 0)
        return;
    note_heard(self, message->from);
    switch (message->kind) {
    case MESSAGE_APPEND:
        receive_append(self, message, address, heartbeats_only);
        break;
    case MESSAGE_APPEND_RESULT:
        receive_append_result(self, message, address);
        break;
    case MESSAGE_VOTE:
        receive_vote(self, message, address);
        break;
    case MESSAGE_VOTE_RESULT:
        receive_vote_result(self, message, address);
        break;
    case MESSAGE_TIMEOUT_NOW:
        receive_timeout_now(self, message, address);
        break;
    default:
        CHECK(false, "message kind %d is not the engine's", (int)message->kind);
    }
}

/* --- state transfer
 * ------------------------------------------------------------------------------------------------- */

/* Asks the engine to take the checkpoint, in its leader's name. */
static bool offer_snapshot(struct engine *self, const struct log_snapshot *snapshot,
                           struct raft_update *update)
{
    struct raft_message message = {.type = RAFT_INSTALL_SNAPSHOT};
    struct raft_install_snapshot *install = &message.install_snapshot;
    raft_id leader = 0;
    const char *address = NULL;

    raft_leader(&self->raft, &leader, &address);
    message.server_id = leader;
    install->term = self->raft.current_term;
    install->last_index = snapshot->index;
    install->last_term = snapshot->term;
    install->conf_index = snapshot->configuration_index;
    if (!engine_configuration(self, span_of(snapshot->configuration, snapshot->configuration_bytes),
                              &install->conf))
        return false;
    install->data.base = raft_malloc(1);
    install->data.len = 1;
    return receive(self, &message, address, "a checkpoint", update);
}

static bool switch_state(struct engine *self, const struct log_snapshot *snapshot, const char *folder)
{
    struct error error = {0};

    if (log_install(self->options.log, snapshot, folder, &error) != ERROR_OK ||
        self->options.install(self->options.context, folder, &error) != ERROR_OK) {
        engine_fail(self, error.code, "%s", error.message);
        return false;
    }
    return true;
}

void engine_install(struct engine *self, const struct log_snapshot *snapshot, const char *folder, bool *taken,
                    bool *retry)
{
    struct raft_event event = {.type = RAFT_PERSISTED_SNAPSHOT};
    struct raft_update update;

    *taken = false;
    *retry = engine_idle(self) || self->raft.state == RAFT_CANDIDATE ||
             snapshot->term > self->raft.current_term ||
             (self->raft.state == RAFT_FOLLOWER && self->raft.follower_state.current_leader.id == 0);
    if (*retry || self->failed || self->raft.state == RAFT_LEADER)
        return;
    if (!offer_snapshot(self, snapshot, &update))
        return;
    if (!(update.flags & (unsigned)(RAFT_UPDATE_SNAPSHOT))) {
        engine_settle(self);
        return;
    }
    event.persisted_snapshot.metadata = update.snapshot.metadata;
    event.persisted_snapshot.offset = update.snapshot.offset;
    event.persisted_snapshot.last = update.snapshot.last;
    raft_free(update.snapshot.chunk.base);
    if (!switch_state(self, snapshot, folder)) {
        raft_configuration_close(&event.persisted_snapshot.metadata.configuration);
        return;
    }
    if (!engine_must(self, engine_step(self, &event, &update), "a checkpoint"))
        return;
    self->fed = raft_commit_index(&self->raft);
    *taken = true;
    engine_settle(self);
}

bool engine_replace(struct engine *self, const struct log_snapshot *snapshot, const char *folder, bool *retry)
{
    struct log *log = self->options.log;
    struct error error = {0};

    *retry = false;
    if (self->failed || log_term_of(log, snapshot->index) != snapshot->term)
        return false;
    *retry = snapshot->index > log_durable_index(log);
    if (*retry)
        return false;
    if (log_switch_state(log, folder, &error) != ERROR_OK ||
        self->options.install(self->options.context, folder, &error) != ERROR_OK)
        engine_fail(self, error.code, "%s", error.message);
    return true;
}
