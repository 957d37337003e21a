/* The public face: life, inputs, status. What follows from an input is drive.c's. */
#include "consensus/consensus.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/hash.h"
#include "consensus/consensus_internal.h"

/* What decoding one frame may take: its entries' heads; their data stays in the frame. */
#define FRAME_ARENA_BYTES_MAX (4u * 1024u * 1024u)

/* --- small answers
 * ---------------------------------------------------------------------------------------------------- */

uint64_t consensus_now(const struct consensus *self)
{
    return self->options.clock.monotonic_ms(self->options.clock.context);
}

uint64_t consensus_wall_ms(const struct consensus *self)
{
    uint64_t wall_ms = self->options.clock.wall_ms(self->options.clock.context);

    if (!self->started || self->seen.configuration == NULL)
        return wall_ms;
    return (uint64_t)((int64_t)wall_ms + contact_wall_offset(&self->contact, self->seen.configuration));
}

bool consensus_ready(const struct consensus *self)
{
    if (!self->started || self->failed || self->closing || self->seen.role != CONSENSUS_LEADER)
        return false;
    return self->ready_term == self->seen.term || !rule_on(self, RULE_READINESS);
}

enum error_code consensus_not_leader(const struct consensus *self, struct error *error)
{
    const struct configuration_member *leader = NULL;

    if (self->started && self->seen.configuration != NULL && self->seen.leader_id != 0)
        leader = configuration_find(self->seen.configuration, self->seen.leader_id);
    if (self->seen.role == CONSENSUS_LEADER)
        return error_set(error, ERROR_NOT_LEADER, "this node was just elected and is not ready yet");
    if (leader == NULL)
        return error_set(error, ERROR_NOT_LEADER, "this node does not lead, and knows no leader");
    return error_set(error, ERROR_NOT_LEADER, "this node does not lead; node %016" PRIx64 " at %s does",
                     leader->node_id, leader->address);
}

void consensus_fatal(struct consensus *self, const struct error *error)
{
    if (self->failed)
        return;
    self->failed = true;
    self->failure = *error;
}

void consensus_send(struct consensus *self, uint64_t to, struct message *message)
{
    struct clock clock = self->options.clock;

    message->from = self->identity.node_id;
    message->wall_ms = clock.wall_ms(clock.context);
    bytes_clear(&self->frame);
    message_encode(message, &self->frame);
    CHECK(!self->frame.overflow, "a %s message of more than %u bytes", message_kind_name(message->kind),
          FRAME_BYTES_MAX);
    enum error_code code = wire_send(self->wire, to, bytes_span(&self->frame));
    (void)code; /* not connected, or its queue is full: Raft sends again */
}

/* --- inputs
 * -----------------------------------------------------------------------------------------------------------
 */

static void on_synced(void *context, uint64_t operation)
{
    struct consensus *self = context;

    (void)operation;
    if (!self->started || self->closing || self->failed)
        return;
    CHECK(!self->driving, "a sync ended inside a callback");
    engine_synced(self->engine);
    consensus_drive(self);
}

static void on_log_failed(void *context, const struct error *error)
{
    struct consensus *self = context;

    consensus_fatal(self, error);
    consensus_drive(self);
}

static void on_confirm(struct consensus *self, const struct message *message)
{
    struct message answer = {.kind = MESSAGE_CONFIRM_RESULT, .term = self->seen.term};

    answer.confirm_result.round = message->confirm.round;
    consensus_send(self, message->from, &answer);
}

static void on_confirm_result(struct consensus *self, const struct message *message)
{
    if (self->seen.role != CONSENSUS_LEADER || self->seen.term != message->term)
        return;
    confirm_answer(&self->confirm, message->from, message->confirm_result.round, message->term,
                   self->seen.configuration, self->identity.node_id);
    self->driving = true; /* readers are called: what they ask for comes after */
    confirm_applied(&self->confirm, self->applied_index);
    self->driving = false;
}

static void on_frame(void *context, uint64_t from, const char *address, struct span payload)
{
    struct consensus *self = context;
    struct message message;
    uint64_t now_ms = consensus_now(self);

    if (!self->started || self->closing || self->failed || from == self->identity.node_id)
        return;
    CHECK(!self->driving, "a frame came inside a callback");
    arena_clear(&self->arena);
    if (message_decode(payload, &self->arena, &message, NULL) != ERROR_OK ||
        !contact_heard(&self->contact, from, address, now_ms))
        return;
    message.from = from;
    uint64_t wall_ms = self->options.clock.wall_ms(self->options.clock.context);
    contact_clock(&self->contact, from, (int64_t)(message.wall_ms - wall_ms));
    switch (message.kind) {
    case MESSAGE_CONFIRM:
        on_confirm(self, &message);
        break;
    case MESSAGE_CONFIRM_RESULT:
        on_confirm_result(self, &message);
        break;
    case MESSAGE_SNAPSHOT_NEEDED:
        snapshot_needed(self, &message);
        break;
    case MESSAGE_TIMEOUT_NOW:
        /* Without its state it could not take office. */
        if (!self->snapshots.state_lost)
            engine_receive(self->engine, &message, address, false);
        break;
    case MESSAGE_APPEND_RESULT:
        contact_space(&self->contact, from, engine_says_full(&message));
        engine_receive(self->engine, &message, address, self->disk_full);
        break;
    default:
        engine_receive(self->engine, &message, address, self->disk_full);
    }
    consensus_drive(self);
}

static void on_peer(void *context, uint64_t node_id, enum wire_peer_event event, const char *detail)
{
    struct consensus *self = context;

    if (!self->started || self->closing || self->failed)
        return;
    if (event == WIRE_PEER_ROLLED_BACK) {
        struct error error = {0};
        error_set(
            &error, ERROR_CORRUPT,
            "a peer says: %.200s. It must not vote any more: move the data folder away, take this node out "
            "(autonomy ha members remove NAME --reason REASON) and start it with `join:` configured",
            detail);
        consensus_fatal(self, &error);
        consensus_drive(self);
        return;
    }
    contact_peer_event(&self->contact, node_id, event);
    if (event == WIRE_PEER_REFUSED && self->seen.role == CONSENSUS_FOLLOWER && self->seen.leader_id != 0)
        contact_gone(&self->contact, node_id, self->seen.configuration, self->seen.leader_id, self->seen.term,
                     consensus_now(self));
    consensus_arm(self);
}

static uint64_t log_end(void *context)
{
    const struct consensus *self = context;

    return log_durable_index(self->log);
}

static bool is_removed(void *context, uint64_t node_id)
{
    const struct consensus *self = context;
    const struct machine *machine = &self->options.machine;

    return machine->is_removed != NULL && machine->is_removed(machine->context, node_id);
}

static void engine_send(void *context, uint64_t to, struct message *message)
{
    consensus_send(context, to, message);
}

static enum error_code engine_installs(void *context, const char *folder, struct error *error)
{
    const struct consensus *self = context;
    return self->options.machine.install(self->options.machine.context, folder, error);
}

/* --- life
 * -----------------------------------------------------------------------------------------------------------
 */

static char *copy_or_null(const char *text)
{
    return text == NULL ? NULL : text_copy(text);
}

static void free_all(struct consensus *self)
{
    bytes_done(&self->frame);
    arena_done(&self->arena);
    free(self->folder);
    free(self->listen_address);
    free(self->advertise_address);
    free(self);
}

static enum error_code open_log(struct consensus *self, struct error *error)
{
    struct log_options options = {.folder = self->folder,
                                  .clock = self->options.clock,
                                  .reserve_bytes = self->options.reserve_bytes,
                                  .on_synced = on_synced,
                                  .on_failed = on_log_failed,
                                  .context = self};
    enum error_code code = worker_open(self->options.loop, "log", &self->log_worker, error);

    if (code != ERROR_OK)
        return code;
    options.worker = self->log_worker;
    code = log_open(&options, &self->log, error);
    if (code != ERROR_OK)
        worker_close(self->log_worker);
    return code;
}

enum error_code consensus_open(const struct consensus_options *options, struct consensus **out,
                               struct error *error)
{
    struct consensus *self = memory_zero(1, sizeof *self);

    self->options = *options;
    self->folder = text_copy(options->folder);
    self->listen_address = copy_or_null(options->listen_address);
    self->advertise_address =
        text_copy(options->advertise_address != NULL ? options->advertise_address : options->listen_address);
    self->armed_ms = self->announce_ms = CONSENSUS_NEVER;
    bytes_init(&self->frame, FRAME_BYTES_MAX);
    arena_init(&self->arena, FRAME_ARENA_BYTES_MAX);
    proposals_init(&self->proposals, rule_on(self, RULE_ONE_CHANGE));
    confirm_init(&self->confirm, !rule_on(self, RULE_NEW_CONFIRMATION));
    enum error_code code = open_log(self, error);
    if (code == ERROR_OK) {
        code = worker_open(options->loop, "store", &self->state_worker, error);
        if (code != ERROR_OK) {
            log_close(self->log);
            worker_close(self->log_worker);
        }
    }
    if (code != ERROR_OK) {
        free_all(self);
        return code;
    }
    log_identity(self->log, &self->identity);
    snapshot_init(self);
    *out = self;
    return ERROR_OK;
}

bool consensus_has_cluster(const struct consensus *self)
{
    return self->identity.cluster_id[0] != '\0';
}

uint64_t consensus_node_id(const struct consensus *self)
{
    return self->identity.node_id;
}

const char *consensus_state_folder(const struct consensus *self)
{
    return log_state_folder(self->log);
}

/* The first entry: ourselves as the only voter. Durable before the cluster_id is, so that a crash in between
 * leaves no cluster. */
static enum error_code write_first_configuration(struct consensus *self, struct error *error)
{
    struct configuration configuration = {.count = 1};
    struct configuration_member *member = &configuration.members[0];
    struct bytes payload;
    enum error_code code = ERROR_OK;

    if (log_last_index(self->log) == 0) {
        code = log_vote_write(self->log, 1, 0, error);
        if (code != ERROR_OK)
            return code;
        *member = (struct configuration_member){.node_id = self->identity.node_id, .role = MEMBER_VOTER};
        memcpy(member->address, self->advertise_address, strlen(self->advertise_address) + 1);
        bytes_init(&payload, 0);
        configuration_encode(&configuration, &payload);
        struct entry entry = {.index = 1, .term = 1, .type = ENTRY_CHANGE, .data = bytes_span(&payload)};
        log_append(self->log, &entry, 1);
        bytes_done(&payload);
    }
    worker_drain(self->log_worker);
    if (self->failed)
        return error_set(error, self->failure.code, "%s", self->failure.message);
    if (log_durable_index(self->log) == 0)
        return error_set(error, ERROR_IO, "the first configuration could not be written to %s", self->folder);
    return code;
}

enum error_code consensus_bootstrap(struct consensus *self, struct error *error)
{
    char cluster_id[CLUSTER_ID_BYTES];

    CHECK(!self->started, "bootstrap comes before start");
    if (consensus_has_cluster(self))
        return error_set(error, ERROR_EXISTS, "%s belongs to cluster %s already", self->folder,
                         self->identity.cluster_id);
    if (strlen(self->advertise_address) >= ADDRESS_BYTES_MAX)
        return error_set(error, ERROR_INVALID, "the address %s is too long", self->advertise_address);
    enum error_code code = write_first_configuration(self, error);
    if (code != ERROR_OK)
        return code;
    random_id(cluster_id);
    return consensus_adopt(self, cluster_id, 1, error);
}

enum error_code consensus_adopt(struct consensus *self, const char *cluster_id, uint64_t generation,
                                struct error *error)
{
    enum error_code code;

    CHECK(!self->started, "adoption comes before start");
    if (consensus_has_cluster(self))
        return error_set(error, ERROR_EXISTS, "%s belongs to cluster %s already", self->folder,
                         self->identity.cluster_id);
    code = log_adopt(self->log, cluster_id, generation, error);
    log_identity(self->log, &self->identity);
    return code;
}

/* R2: snapshot <= applied <= the log's end, and one history. A store that is only too old is fetched again.
 */
static enum error_code check_store(struct consensus *self, struct error *error)
{
    struct machine_state *state = &self->snapshots.state;
    struct log_snapshot snapshot;
    uint64_t last = log_last_index(self->log);

    self->options.machine.describe(self->options.machine.context, state);
    log_snapshot(self->log, &snapshot);
    self->applied_index = state->index;
    self->applied_term = state->term;
    self->snapshots.state_lost = state->index < snapshot.index;
    if (state->cluster_id[0] != '\0' && strcmp(state->cluster_id, self->identity.cluster_id) != 0)
        return error_set(error, ERROR_CORRUPT, "the store is of cluster %s, the log of %s", state->cluster_id,
                         self->identity.cluster_id);
    if (!rule_on(self, RULE_APPLY_DURABLE))
        return ERROR_OK;
    if (state->index > last)
        return error_set(error, ERROR_CORRUPT,
                         "the store in %s has applied %" PRIu64 ", but the log in %s ends at %" PRIu64
                         ": it has lost entries; let this node join again under a new id",
                         log_state_folder(self->log), state->index, self->folder, last);
    uint64_t term = state->index == 0 ? 0 : log_term_of(self->log, state->index);
    if (!self->snapshots.state_lost && term != state->term)
        return error_set(error, ERROR_CORRUPT,
                         "the store has applied %" PRIu64 " in term %" PRIu64 ", the log has term %" PRIu64
                         " there: they are not of one history; let this node join again under a new id",
                         state->index, state->term, term);
    return ERROR_OK;
}

static enum error_code open_wire(struct consensus *self, struct error *error)
{
    struct wire_options options = {.loop = self->options.loop,
                                   .clock = self->options.clock,
                                   .listen_address = self->listen_address,
                                   .advertise_address = self->advertise_address,
                                   .identity = self->identity,
                                   .seed = self->options.seed,
                                   .on_frame = on_frame,
                                   .on_peer = on_peer,
                                   .log_end = log_end,
                                   .is_removed = is_removed,
                                   .context = self};
    return wire_open(&options, &self->wire, error);
}

static void new_engine(struct consensus *self)
{
    struct engine_options options = {.node_id = self->identity.node_id,
                                     .address = self->advertise_address,
                                     .log = self->log,
                                     .clock = self->options.clock,
                                     .election_timeout_ms = self->options.election_timeout_ms,
                                     .heartbeat_ms = self->options.heartbeat_ms,
                                     .seed = self->options.seed,
                                     .rules_off = self->options.rules_off,
                                     .send = engine_send,
                                     .install = engine_installs,
                                     .context = self};
    self->engine = engine_new(&options);
    contact_init(&self->contact, self->wire, self->identity.node_id, self->options.election_timeout_ms);
}

enum error_code consensus_start(struct consensus *self, struct error *error)
{
    struct engine_state state;

    CHECK(!self->started, "started twice");
    if (!consensus_has_cluster(self))
        return error_set(error, ERROR_INVALID, "%s belongs to no cluster: bootstrap one or join one first",
                         self->folder);
    enum error_code code = check_store(self, error);
    if (code == ERROR_OK)
        code = open_wire(self, error);
    if (code != ERROR_OK)
        return code;
    new_engine(self);
    code = engine_start(self->engine, self->applied_index, error);
    if (code != ERROR_OK)
        return code;
    engine_state(self->engine, &state);
    if (self->snapshots.state_lost && configuration_sole_voter(state.configuration, self->identity.node_id))
        return error_set(
            error, ERROR_CORRUPT,
            "the store in %s is older than the log's snapshot, and there is no other voter to fetch it "
            "from: restore it from a backup",
            log_state_folder(self->log));
    self->seen.configuration = state.configuration;
    self->started = true;
    self->work_left = true;
    consensus_arm(self);
    return ERROR_OK;
}

struct closing {
    void (*on_closed)(void *context);
    void *context;
};

static void wire_closed(void *context)
{
    struct closing *closing = context;

    if (closing->on_closed != NULL)
        closing->on_closed(closing->context);
    free(closing);
}

static void answer_all(struct consensus *self)
{
    struct error error = {0};

    error_set(&error, ERROR_CLOSED, "this node is shutting down");
    proposals_fail(&self->proposals, ERROR_CLOSED, error.message);
    confirm_fail(&self->confirm, &error);
    handover_fail(self, ERROR_CLOSED, error.message);
    membership_fail(self, self->change.phase == CHANGE_SUBMITTED ? ERROR_UNKNOWN : ERROR_CLOSED,
                    error.message);
}

void consensus_close(struct consensus *self, void (*on_closed)(void *context), void *context)
{
    struct closing *closing = memory_zero(1, sizeof *closing);

    *closing = (struct closing){.on_closed = on_closed, .context = context};
    if (self == NULL) {
        wire_closed(closing);
        return;
    }
    CHECK(!self->driving, "consensus_close inside a callback");
    self->closing = true;
    answer_all(self);
    if (self->started)
        self->options.set_timer(self->options.context, CONSENSUS_NEVER);
    worker_close(self->state_worker);
    worker_drain(self->log_worker);
    if (self->started && !self->failed && apply_limit(self) > 0)
        log_mark(self->log, apply_limit(self), log_term_of(self->log, apply_limit(self)));
    if (self->read_entries != NULL)
        log_entries_free(self->read_entries, self->read_count);
    engine_free(self->engine);
    log_close(self->log);
    worker_close(self->log_worker);
    struct wire *wire = self->wire;
    free_all(self);
    if (wire != NULL)
        wire_close(wire, wire_closed, closing);
    else
        wire_closed(closing);
}

/* --- asking for something
 * ------------------------------------------------------------------------------------------- */

/* Callbacks may ask while we drive; the end of the drive arms the timer then. */
static void wake(struct consensus *self)
{
    self->work_left = true;
    consensus_arm(self);
}

enum error_code consensus_propose(struct consensus *self, const void *command, size_t command_bytes,
                                  consensus_done_fn *done, void *context, struct error *error)
{
    bool first = self->proposals.waiting.count == 0;

    if (self->closing || self->failed)
        return error_set(error, ERROR_CLOSED, "this node is shutting down");
    if (!consensus_ready(self))
        return consensus_not_leader(self, error);
    if (self->disk_full)
        return error_set(error, ERROR_NO_SPACE,
                         "the disk is full: writes are refused until there is space again");
    enum error_code code = proposals_push(&self->proposals, command, command_bytes, done, context, error);
    if (code == ERROR_OK && first)
        wake(self);
    return code;
}

enum error_code consensus_confirm(struct consensus *self, reader_done_fn *done, void *context,
                                  struct error *error)
{
    bool first = self->confirm.waiting.count == 0;
    uint64_t deadline_ms =
        consensus_now(self) + (uint64_t)DRIVE_READ_TIMEOUTS * self->options.election_timeout_ms;

    if (self->closing || self->failed)
        return error_set(error, ERROR_CLOSED, "this node is shutting down");
    if (!consensus_ready(self))
        return consensus_not_leader(self, error);
    enum error_code code = confirm_read(&self->confirm, deadline_ms, done, context, error);
    if (code == ERROR_OK && first)
        wake(self);
    return code;
}

enum error_code consensus_wait(struct consensus *self, uint64_t index, uint64_t deadline_ms,
                               reader_done_fn *done, void *context, struct error *error)
{
    if (self->closing || self->failed)
        return error_set(error, ERROR_CLOSED, "this node is shutting down");
    enum error_code code = confirm_wait(&self->confirm, index, deadline_ms, done, context, error);
    if (code == ERROR_OK)
        wake(self);
    return code;
}

static void member_status(const struct consensus *self, const struct configuration_member *member,
                          struct consensus_member *out)
{
    const struct contact_peer *peer = contact_find(&self->contact, member->node_id);

    *out =
        (struct consensus_member){.node_id = member->node_id, .role = member->role, .heard_ms = UINT64_MAX};
    memcpy(out->address, member->address, sizeof out->address);
    out->match_index = engine_match_index(self->engine, member->node_id);
    out->connected = contact_reachable(&self->contact, member->node_id, self->seen.role, consensus_now(self));
    if (member->node_id == self->identity.node_id)
        out->heard_ms = 0;
    else if (peer != NULL) {
        out->wall_offset_ms = peer->wall_offset_ms;
        if (peer->heard_ms > 0)
            out->heard_ms = consensus_now(self) - peer->heard_ms;
    }
}

static void log_status(const struct consensus *self, struct consensus_status *out)
{
    struct log_snapshot snapshot;

    log_snapshot(self->log, &snapshot);
    out->term = log_term(self->log);
    out->last_index = log_last_index(self->log);
    out->durable_index = log_durable_index(self->log);
    out->first_index = log_first_index(self->log);
    out->snapshot_index = snapshot.index;
    out->log_busy_ms = log_busy_ms(self->log);
    log_sync_times(self->log, &out->sync_us_last, &out->sync_us_max);
    out->sync_us = *log_sync_histogram(self->log);
}

void consensus_status(const struct consensus *self, struct consensus_status *out)
{
    const struct engine_state *seen = &self->seen;

    *out = (struct consensus_status){.node_id = self->identity.node_id,
                                     .generation = self->identity.generation,
                                     .applied_index = self->applied_index,
                                     .leader_ready_term = self->leader_ready_term,
                                     .elections = self->elections,
                                     .proposals_waiting = proposals_count(&self->proposals),
                                     .proposals_total = self->proposals.total,
                                     .groups_total = self->groups_total,
                                     .readers_waiting = confirm_count(&self->confirm),
                                     .group_entries = self->group_entries,
                                     .fetches_total = self->snapshots.fetches,
                                     .installs_total = self->snapshots.installs,
                                     .disk_full = self->disk_full,
                                     .transferring = self->handover.phase != HANDOVER_NONE,
                                     .fetching = self->snapshots.fetching || self->snapshots.fetched,
                                     .state_lost = self->snapshots.state_lost};
    memcpy(out->cluster_id, self->identity.cluster_id, sizeof out->cluster_id);
    log_status(self, out);
    if (!self->started || self->failed)
        return;
    out->role = seen->role;
    out->ready = consensus_ready(self);
    out->quorum = self->contact.quorum;
    out->leader_id = seen->leader_id;
    out->commit_index = seen->commit_index;
    out->contact_lost_ms = self->contact.lost_ms;
    out->membership_pending = seen->change_pending || self->change.phase != CHANGE_NONE;
    out->configuration_index = seen->configuration->index;
    out->member_count = seen->configuration->count;
    for (uint32_t i = 0; i < seen->configuration->count; i++)
        member_status(self, &seen->configuration->members[i], &out->members[i]);
}

uint32_t consensus_traffic(const struct consensus *self, struct consensus_traffic out[NODES_MAX])
{
    struct wire_peer_status peers[WIRE_PEERS_MAX];
    uint32_t count = 0, peer_count;

    if (!self->started || self->failed)
        return 0;
    peer_count = wire_status(self->wire, peers, WIRE_PEERS_MAX);
    for (uint32_t i = 0; i < peer_count && count < NODES_MAX; i++) {
        const struct wire_peer_status *peer = &peers[i];
        if (configuration_find(self->seen.configuration, peer->node_id) == NULL)
            continue; /* not a member: its name would be one more label, for ever */
        out[count++] = (struct consensus_traffic){.node_id = peer->node_id,
                                                  .sent_frames = peer->sent_frames,
                                                  .sent_bytes = peer->sent_bytes,
                                                  .received_frames = peer->received_frames,
                                                  .received_bytes = peer->received_bytes,
                                                  .dropped_frames = peer->dropped_frames,
                                                  .connects = peer->connects,
                                                  .queued_bytes = peer->queued_bytes};
    }
    return count;
}
