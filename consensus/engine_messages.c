/* Messages from the engine to other nodes. libraft names a range of the log; the entries are filled in here,
 * from the cache or, for a follower far behind, from the disk by a worker. */
#include "consensus/engine_internal.h"

#include <stdlib.h>

#include "base/check.h"

/* What an entry takes in a frame beside its data, and what the frame's head takes, both generous. */
#define ENTRY_FRAME_BYTES 32u
#define FRAME_HEAD_BYTES  256u

/* How many of these entries fit into one frame, by their bytes and by their number; at least one. */
static uint32_t frame_count(const struct entry *entries, uint32_t count)
{
    size_t bytes = FRAME_HEAD_BYTES;

    if (count > GROUP_COMMANDS_MAX)
        count = GROUP_COMMANDS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        bytes += entries[i].data.bytes + ENTRY_FRAME_BYTES;
        if (bytes > FRAME_BYTES_MAX && i > 0)
            return i;
    }
    return count;
}

/* Sends consecutive entries in as many frames as they take. */
static void send_entries(struct engine *self, uint64_t to, uint64_t prev_index, uint64_t prev_term,
                         uint64_t commit, struct entry *entries, uint32_t count)
{
    uint32_t at = 0;
    struct engine_peer *peer = engine_peer(self, to);
    uint64_t end = prev_index + count;

    if (peer != NULL && peer->told < (commit < end ? commit : end))
        peer->told = commit < end ? commit : end;
    do {
        struct message message = {.kind = MESSAGE_APPEND, .term = self->raft.current_term};
        message.append.prev_index = prev_index;
        message.append.prev_term = prev_term;
        message.append.commit = commit;
        message.append.entries = count == 0 ? NULL : entries + at;
        message.append.entry_count = count == 0 ? 0 : frame_count(entries + at, count - at);
        self->options.send(self->options.context, to, &message);
        at += message.append.entry_count;
        if (at > 0) {
            prev_index = entries[at - 1].index;
            prev_term = entries[at - 1].term;
        }
    } while (at < count);
}

/* Takes entries from the cache. @return how many: all or none */
static uint32_t take_cached(struct engine *self, uint64_t index, uint32_t count, struct entry *entries)
{
    for (uint32_t i = 0; i < count; i++)
        if (!log_cached(self->options.log, index + i, &entries[i]))
            return 0;
    return count;
}

static void read_done(void *context, struct entry *entries, uint32_t count, const struct error *error);

/* Goes on with what is left of a range: from the cache when it has all of it, else by another read. */
static void read_more(struct engine_read *read)
{
    struct engine *self = read->engine;
    struct entry *entries = memory_zero(read->remaining, sizeof *entries);

    if (take_cached(self, read->next_index, read->remaining, entries) > 0) {
        read->busy = false;
        send_entries(self, read->to, read->prev_index, read->prev_term, self->raft.commit_index, entries,
                     read->remaining);
    } else {
        log_read_later(self->options.log, read->next_index, read->remaining, read_done, read);
    }
    free(entries);
}

static void read_done(void *context, struct entry *entries, uint32_t count, const struct error *error)
{
    struct engine_read *read = context;
    struct engine *self = read->engine;
    /* Role, term or head changed meanwhile: the range may mean something else now. */
    bool stale = engine_idle(self) || self->raft.state != RAFT_LEADER ||
                 self->raft.current_term != read->term || self->starts != read->starts ||
                 log_term_of(self->options.log, read->prev_index) != read->prev_term ||
                 log_first_index(self->options.log) > read->next_index;

    if (error != NULL || stale || count == 0) {
        read->busy = false;
        log_entries_free(entries, count);
        return;
    }
    if (count > read->remaining)
        count = read->remaining;
    send_entries(self, read->to, read->prev_index, read->prev_term, self->raft.commit_index, entries, count);
    read->prev_index = entries[count - 1].index;
    read->prev_term = entries[count - 1].term;
    read->next_index += count;
    read->remaining -= count;
    log_entries_free(entries, count);
    if (read->remaining == 0)
        read->busy = false;
    else
        read_more(read);
}

/* A slot of this follower, or a free one; NULL: all are busy. */
static struct engine_read *find_read(struct engine *self, uint64_t to)
{
    struct engine_read *idle = NULL;

    for (unsigned i = 0; i < NODES_MAX; i++) {
        if (self->reads[i].busy && self->reads[i].to == to)
            return &self->reads[i];
        if (!self->reads[i].busy)
            idle = &self->reads[i];
    }
    return idle;
}

/* R13: a configuration leaves, with what follows it, when it is synced here. Otherwise a power cut can take
 * it from its leader and leave it with a follower, who is no voter by it and so neither stands nor, having
 * the longer log, votes. */
static uint32_t count_sendable(const struct engine *self, uint64_t first, uint32_t count)
{
    struct log *log = self->options.log;
    uint64_t durable = log_durable_index(log);

    while (count > 0 && first + count - 1 > durable && engine_rule(self, RULE_CHANGE_SYNCED)) {
        uint64_t change = log_change_before(log, first + count - 1, NULL);
        if (change < first || change <= durable)
            break;
        count = (uint32_t)(change - first);
    }
    return count;
}

/* A follower that is probed, or whose disk is full, is sent the same entries with every submit: once a
 * heartbeat is enough. */
static bool just_sent(struct engine *self, uint64_t to, uint64_t prev_index)
{
    struct engine_peer *peer = engine_peer(self, to);

    if (peer == NULL)
        return false;
    if (peer->sent_prev == prev_index && self->now_ms < peer->sent_ms + self->options.heartbeat_ms)
        return true;
    peer->sent_prev = prev_index;
    peer->sent_ms = self->now_ms;
    return false;
}

static void send_append(struct engine *self, uint64_t to, const struct raft_append_entries *append)
{
    uint32_t count = count_sendable(self, append->prev_log_index + 1, append->n_entries);
    struct engine_read *read = find_read(self, to);
    struct entry *entries = memory_zero(count + 1, sizeof *entries);

    if (read == NULL || read->busy || engine_silent(self, to))
        count = 0; /* older entries are on their way, or nobody listens: a heartbeat will do */
    if (count > 0 && just_sent(self, to, append->prev_log_index))
        count = 0;
    if (count == 0 || take_cached(self, append->prev_log_index + 1, count, entries) > 0) {
        send_entries(self, to, append->prev_log_index, append->prev_log_term, append->leader_commit, entries,
                     count);
    } else {
        *read = (struct engine_read){.engine = self,
                                     .to = to,
                                     .term = self->raft.current_term,
                                     .starts = self->starts,
                                     .prev_index = append->prev_log_index,
                                     .prev_term = append->prev_log_term,
                                     .next_index = append->prev_log_index + 1,
                                     .remaining = count,
                                     .busy = true};
        log_read_later(self->options.log, read->next_index, count, read_done, read);
    }
    free(entries);
}

void engine_announce(struct engine *self)
{
    struct log *log = self->options.log;

    if (engine_idle(self) || self->raft.state != RAFT_LEADER)
        return;
    for (uint32_t i = 0; i < self->current.count; i++) {
        uint64_t to = self->current.members[i].node_id, match = engine_match_index(self, to);
        const struct engine_peer *peer = to == self->options.node_id ? NULL : engine_peer(self, to);
        uint64_t known = match < self->raft.commit_index ? match : self->raft.commit_index;
        if (peer != NULL && peer->told < known && log_term_of(log, match) > 0)
            send_entries(self, to, match, log_term_of(log, match), self->raft.commit_index, NULL, 0);
    }
}

static void send_append_result(struct engine *self, uint64_t to,
                               const struct raft_append_entries_result *result)
{
    struct message message = {.kind = MESSAGE_APPEND_RESULT, .term = result->term};

    message.append_result.rejected = result->rejected;
    /* R9: in an answer to a lower term libraft leaves it uninitialised. */
    bool unset = self->answering_lower_term && engine_rule(self, RULE_VOTE_RESULTS);
    message.append_result.last_index = unset ? 0 : result->last_log_index;
    message.append_result.features = result->features;
    message.append_result.capacity = result->capacity;
    self->options.send(self->options.context, to, &message);
}

static void send_vote(struct engine *self, uint64_t to, const struct raft_request_vote *vote)
{
    struct message message = {.kind = MESSAGE_VOTE, .term = vote->term};

    message.vote.candidate = vote->candidate_id;
    message.vote.last_index = vote->last_log_index;
    message.vote.last_term = vote->last_log_term;
    message.vote.disrupt_leader = vote->disrupt_leader;
    message.vote.pre_vote = vote->pre_vote;
    self->options.send(self->options.context, to, &message);
}

static void send_vote_result(struct engine *self, uint64_t to, const struct raft_request_vote_result *result)
{
    struct message message = {.kind = MESSAGE_VOTE_RESULT, .term = result->term};

    /* R12: libraft echoes the term of a pre-vote, also where its own is higher. A candidate with the longer
     * log and the lower term would never learn of the higher one, and nobody else could win either. */
    if (self->answering_lower_term && result->pre_vote && engine_rule(self, RULE_PRE_VOTE_TERMS))
        message.term = self->raft.current_term;

    message.vote_result.granted = result->vote_granted;
    message.vote_result.pre_vote = result->pre_vote;
    message.vote_result.features = result->features;
    message.vote_result.capacity = result->capacity;
    self->options.send(self->options.context, to, &message);
}

static void send_timeout_now(struct engine *self, uint64_t to, const struct raft_timeout_now *timeout)
{
    struct message message = {.kind = MESSAGE_TIMEOUT_NOW, .term = timeout->term};

    message.timeout_now.last_index = timeout->last_log_index;
    message.timeout_now.last_term = timeout->last_log_term;
    self->options.send(self->options.context, to, &message);
}

/* The follower fetches a checkpoint itself: the message carries no data, and its configuration is not set
 * here. */
static void send_snapshot_needed(struct engine *self, uint64_t to,
                                 const struct raft_install_snapshot *install)
{
    struct message message = {.kind = MESSAGE_SNAPSHOT_NEEDED, .term = install->term};

    message.snapshot_needed.last_index = install->last_index;
    message.snapshot_needed.last_term = install->last_term;
    self->options.send(self->options.context, to, &message);
}

void engine_send_messages(struct engine *self, const struct raft_update *update)
{
    for (unsigned i = 0; i < update->messages.n; i++) {
        const struct raft_message *message = &update->messages.batch[i];
        uint64_t to = message->server_id;
        switch (message->type) {
        case RAFT_APPEND_ENTRIES:
            send_append(self, to, &message->append_entries);
            break;
        case RAFT_APPEND_ENTRIES_RESULT:
            send_append_result(self, to, &message->append_entries_result);
            break;
        case RAFT_REQUEST_VOTE:
            send_vote(self, to, &message->request_vote);
            break;
        case RAFT_REQUEST_VOTE_RESULT:
            send_vote_result(self, to, &message->request_vote_result);
            break;
        case RAFT_INSTALL_SNAPSHOT:
            send_snapshot_needed(self, to, &message->install_snapshot);
            break;
        case RAFT_TIMEOUT_NOW:
            send_timeout_now(self, to, &message->timeout_now);
            break;
        default:
            CHECK(false, "message type %d", (int)message->type);
        }
    }
}
