/* What follows from an event: looks at the engine, and does the next thing until nothing is left to do.
 *
 * The order matters: a change of role is seen before anything is applied, so that what was submitted in a
 * lost leadership is answered by (index, term); entries are applied before new ones are submitted, so that
 * readiness is known. */
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "consensus/consensus_internal.h"

/* Rounds of one drive; past it something goes in circles. */
#define DRIVE_ROUNDS_MAX 1000u

static void lost_leadership(struct consensus *self)
{
    struct error error = {0};

    consensus_not_leader(self, &error);
    proposals_deposed(
        &self->proposals,
        consensus_now(self) + (uint64_t)DRIVE_STRAY_TIMEOUTS * self->options.election_timeout_ms, &error);
    confirm_deposed(&self->confirm, &error);
    self->uncommitted_bytes = 0;
}

/* Takes note of role, leader, term and configuration. @return true when one of the first three changed */
static bool observe(struct consensus *self)
{
    struct engine_state before = self->seen;

    engine_state(self->engine, &self->seen);
    struct engine_state *now = &self->seen;
    if (now->configuration->index != self->seen_configuration || now->starts != before.starts ||
        now->change_pending != before.change_pending) {
        self->seen_configuration = now->configuration->index;
        contact_members(&self->contact, now->configuration, consensus_now(self));
    }
    if (now->commit_index > before.commit_index) {
        self->uncommitted_bytes = 0;
        if (now->role == CONSENSUS_LEADER && self->announce_ms == CONSENSUS_NEVER)
            self->announce_ms = consensus_now(self) + DRIVE_ANNOUNCE_MS;
    }
    if (now->role == CONSENSUS_CANDIDATE && !now->pre_vote &&
        (before.role != CONSENSUS_CANDIDATE || before.term != now->term))
        self->elections++;
    bool led = before.role == CONSENSUS_LEADER;
    if (led && (now->role != CONSENSUS_LEADER || now->term != before.term))
        lost_leadership(self);
    contact_update(&self->contact, now->configuration, now->role, now->leader_id, consensus_now(self));
    return now->role != before.role || now->term != before.term || now->leader_id != before.leader_id;
}

/* R8: a new leader's first act is a command of its own; when that is applied, it knows what was committed
 * before it. */
static void take_office(struct consensus *self)
{
    struct bytes command;
    const struct machine *machine = &self->options.machine;
    const char *cause = self->seen.by_transfer ? "transfer" : self->contact.crashed ? "crash" : "election";

    if (self->seen.role != CONSENSUS_LEADER || self->elected_term == self->seen.term)
        return;
    bytes_init(&command, COMMAND_BYTES_MAX);
    machine->elected(machine->context, self->identity.node_id, self->seen.term, cause,
                     consensus_wall_ms(self), &command);
    CHECK(!command.overflow && command.length > 0, "the command to take office has %zu bytes",
          command.length);
    struct span span = bytes_span(&command);
    if (engine_submit(self->engine, &span, 1, &self->elected_index, &self->elected_term) == ERROR_OK)
        self->drive_again = true;
    bytes_done(&command);
    self->contact.crashed = false;
}

/* May a group go now? A full window opens again when something commits. */
static bool can_submit(const struct consensus *self)
{
    return self->proposals.waiting.count > 0 && consensus_ready(self) &&
           self->handover.phase == HANDOVER_NONE &&
           log_last_index(self->log) - self->seen.commit_index < DRIVE_UNCOMMITTED_ENTRIES_MAX &&
           self->uncommitted_bytes < DRIVE_UNCOMMITTED_BYTES_MAX;
}

static void note_space(struct consensus *self, bool full)
{
    if (full && !self->disk_full)
        self->full_ms = consensus_now(self);
    self->disk_full = full;
    engine_space(self->engine, full);
}

/* Submits one group of what waits. */
static void submit_group(struct consensus *self)
{
    uint64_t index = 0, term = 0;
    size_t bytes = 0;
    uint32_t count = proposals_group(&self->proposals, self->group, &bytes);
    if (log_space_low(self->log, log_queued_bytes(self->log) * 4 + bytes)) {
        struct error error = {0};
        note_space(self, true);
        error_set(&error, ERROR_NO_SPACE, "the disk is full: writes are refused until there is space again");
        proposals_refuse(&self->proposals, &error);
        return;
    }
    if (engine_submit(self->engine, self->group, count, &index, &term) != ERROR_OK)
        return; /* leadership was lost within the step: observe() answers */
    proposals_submitted(&self->proposals, count, index, term, consensus_now(self));
    self->uncommitted_bytes += bytes;
    self->groups_total++;
    histogram_add(&self->group_entries, histogram_sizes, count);
    self->drive_again = true;
}

/* Asks the voters, first or again. */
static void ask_voters(struct consensus *self)
{
    const struct configuration *configuration = self->seen.configuration;

    for (uint32_t i = 0; i < configuration->count; i++) {
        struct message message = {.kind = MESSAGE_CONFIRM, .term = self->confirm.term};
        const struct configuration_member *member = &configuration->members[i];
        if (member->role != MEMBER_VOTER || member->node_id == self->identity.node_id)
            continue;
        message.confirm.round = self->confirm.round;
        consensus_send(self, member->node_id, &message);
    }
}

static void confirm_progress(struct consensus *self)
{
    struct confirm *confirm = &self->confirm;
    uint64_t now_ms = consensus_now(self);

    if (!consensus_ready(self))
        return;
    bool begun = confirm_begin(confirm, self->seen.term, self->seen.commit_index, now_ms);
    if (!begun && confirm->in_flight && now_ms >= confirm->sent_ms + self->options.heartbeat_ms) {
        confirm->sent_ms = now_ms;
        begun = true; /* lost on the way, perhaps */
    }
    if (!begun)
        return;
    confirm_alone(confirm, self->seen.configuration, self->identity.node_id);
    if (confirm->in_flight)
        ask_voters(self);
    else
        confirm_applied(confirm, self->applied_index);
}

static void look_at_space(struct consensus *self)
{
    uint64_t now_ms = consensus_now(self);

    if (now_ms < self->space_ms)
        return;
    self->space_ms = now_ms + DRIVE_SPACE_MS;
    log_tick(self->log);
    note_space(self, log_space_low(self->log, log_queued_bytes(self->log) * 4));
}

static void note_mark(struct consensus *self)
{
    uint64_t index = apply_limit(self), now_ms = consensus_now(self);

    if (index == self->mark_index || index > log_durable_index(self->log) || now_ms < self->mark_ms)
        return;
    self->mark_ms = now_ms + DRIVE_MARK_MS;
    self->mark_index = index;
    log_mark(self->log, index, log_term_of(self->log, index));
}

static void one_round(struct consensus *self, bool *changed)
{
    const struct error *failure = engine_failure(self->engine);

    if (failure != NULL) {
        consensus_fatal(self, failure);
        return;
    }
    *changed = observe(self) || *changed;
    take_office(self);
    if (!self->drive_again && apply_committed(self))
        self->drive_again = true;
    if (self->drive_again)
        return; /* look again first */
    membership_progress(self);
    handover_watch_disk(self);
    handover_watch_space(self);
    handover_progress(self);
    snapshot_progress(self);
    confirm_progress(self);
    confirm_applied(&self->confirm, self->applied_index); /* who waits for an index that is applied already */
}

/* Answers everything and tells the owner, once. */
static void give_up(struct consensus *self)
{
    if (self->failure_told)
        return;
    self->failure_told = true;
    proposals_fail(&self->proposals, ERROR_UNAVAILABLE, self->failure.message);
    confirm_fail(&self->confirm, &self->failure);
    handover_fail(self, ERROR_UNKNOWN, self->failure.message);
    membership_fail(self, ERROR_UNKNOWN, self->failure.message);
    self->options.on_fatal(self->options.context, &self->failure);
}

static void tell_change(struct consensus *self, bool changed)
{
    bool ready = consensus_ready(self);

    if (!changed && ready == self->told_ready)
        return;
    self->told_ready = ready;
    if (self->options.on_change != NULL)
        self->options.on_change(self->options.context);
}

void consensus_drive(struct consensus *self)
{
    bool changed = false;
    uint32_t rounds = 0;

    if (self->driving || !self->started || self->closing) {
        self->drive_again = true;
        return;
    }
    self->driving = true;
    if (!self->failed) {
        proposals_expire(&self->proposals, consensus_now(self));
        confirm_expire(&self->confirm, consensus_now(self));
        look_at_space(self);
    }
    do {
        self->drive_again = false;
        if (!self->failed)
            one_round(self, &changed);
        if (!self->failed)
            consensus_check(self);
        if (self->failed)
            break;
        CHECK(++rounds < DRIVE_ROUNDS_MAX, "%u rounds and no end", rounds);
    } while (self->drive_again);
    if (self->failed)
        give_up(self);
    else
        note_mark(self);
    tell_change(self, changed);
    self->driving = false;
    if (!self->failed && can_submit(self))
        self->work_left = true;
    consensus_arm(self);
}

void consensus_turn(struct consensus *self)
{
    if (!self->started || self->closing || self->failed)
        return;
    self->work_left = false;
    if (can_submit(self) && !self->driving) {
        self->driving = true; /* a callback may come from within the engine's step */
        submit_group(self);
        self->driving = false;
    }
    self->in_turn = true;
    consensus_drive(self);
    self->in_turn = false;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* When the next thing is due by time alone. */
static uint64_t next_deadline(const struct consensus *self)
{
    uint64_t at_ms = engine_deadline_ms(self->engine);

    if (self->snapshots.state_lost && self->seen.role != CONSENSUS_LEADER)
        at_ms = CONSENSUS_NEVER;
    at_ms = earlier(at_ms, proposals_deadline_ms(&self->proposals));
    at_ms = earlier(at_ms, self->confirm.deadline_ms);
    at_ms = earlier(at_ms, self->contact.hasten_ms);
    at_ms = earlier(at_ms, self->announce_ms);
    at_ms = earlier(at_ms, snapshot_deadline_ms(self));
    if (self->confirm.in_flight)
        at_ms = earlier(at_ms, self->confirm.sent_ms + self->options.heartbeat_ms);
    if (self->handover.phase == HANDOVER_CATCH_UP || self->handover.phase == HANDOVER_AWAIT)
        at_ms = earlier(at_ms, self->handover.deadline_ms);
    if (self->change.phase == CHANGE_SUBMITTED)
        at_ms = earlier(at_ms, self->change.deadline_ms);
    if (self->apply_retry_ms > consensus_now(self))
        at_ms = earlier(at_ms, self->apply_retry_ms);
    if (self->disk_full)
        at_ms = earlier(at_ms, self->space_ms);
    return at_ms;
}

void consensus_arm(struct consensus *self)
{
    uint64_t now_ms = consensus_now(self), at_ms;

    if (!self->started || self->closing || self->driving)
        return;
    at_ms = self->failed ? CONSENSUS_NEVER : self->work_left ? now_ms : next_deadline(self);
    if (at_ms < now_ms)
        at_ms = now_ms;
    if (at_ms == self->armed_ms)
        return;
    self->armed_ms = at_ms;
    self->options.set_timer(self->options.context, at_ms);
}

/* The leader's port was refused a moment ago: stand, if we still follow it. */
static void hasten(struct consensus *self, uint64_t now_ms)
{
    struct contact *contact = &self->contact;
    bool follows = self->seen.role == CONSENSUS_FOLLOWER && self->seen.leader_id == contact->gone_leader &&
                   self->seen.term == contact->gone_term;

    if (!follows || self->snapshots.state_lost || engine_hasten(self->engine))
        contact->hasten_ms = CONSENSUS_NEVER;
    else
        contact->hasten_ms = now_ms + 2;
}

/* Who acknowledged what is kept where handshakes are judged: a node that comes back with less is refused. */
static void note_what_others_hold(const struct consensus *self)
{
    const struct configuration *configuration = self->seen.configuration;

    for (uint32_t i = 0; i < configuration->count; i++) {
        const uint64_t node_id = configuration->members[i].node_id;
        const uint64_t match = engine_match_index(self->engine, node_id), commit = self->seen.commit_index;
        if (node_id != self->identity.node_id)
            wire_peer_holds(self->wire, node_id, match < commit ? match : commit);
    }
}

void consensus_tick(struct consensus *self)
{
    if (!self->started || self->closing || self->failed)
        return;
    CHECK(!self->driving, "the timer fired inside a callback");
    self->armed_ms = CONSENSUS_NEVER; /* it fired: ask anew */
    self->work_left = false;
    uint64_t now_ms = consensus_now(self);
    if (self->contact.hasten_ms <= now_ms)
        hasten(self, now_ms);
    if (self->announce_ms <= now_ms) {
        self->announce_ms = CONSENSUS_NEVER;
        engine_announce(self->engine);
    }
    if (!self->snapshots.state_lost || self->seen.role == CONSENSUS_LEADER)
        engine_tick(self->engine);
    if (self->seen.role == CONSENSUS_LEADER && !self->failed)
        note_what_others_hold(self);
    consensus_turn(self);
}
