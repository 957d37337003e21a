/* Snapshots of our own, and the state of others when ours is too far behind or lost.
 *
 * Our own: what is applied is captured, the store flushed on a worker, the record written, the engine told,
 * and the log's head goes. It copies nothing: the store is the snapshot. Dropped when a state transfer came
 * in between.
 *
 * State transfer: the leader's log no longer reaches back to us, or our store is older than our log's
 * snapshot. The machine fetches and verifies a checkpoint beside everything else; only then does the engine
 * hear of it, and one synced write switches log and state folder together. The engine must not hear earlier:
 * a voter that installs refuses votes and entries. */
#include "consensus/consensus_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/** Between two attempts to fetch a lost state. */
#define FETCH_RETRY_MS 1000u

void snapshot_init(struct consensus *self)
{
    const char *folder = log_state_folder(self->log);
    const char *dot = strchr(folder, '.');

    self->snapshots.consensus = self;
    self->snapshots.number = dot == NULL ? 0 : strtoull(dot + 1, NULL, 10);
}

/* While the store is older than the log's snapshot, the entries in between are nowhere to be had. */
bool snapshot_may_apply(const struct consensus *self)
{
    return !self->snapshots.state_lost;
}

uint64_t snapshot_deadline_ms(const struct consensus *self)
{
    const struct snapshots *snapshots = &self->snapshots;
    bool retry = snapshots->state_lost && !snapshots->fetching && !snapshots->fetched;
    return retry ? snapshots->retry_ms : CONSENSUS_NEVER;
}

/* --- our own
 * ----------------------------------------------------------------------------------------------------------
 */

static void flush_work(struct worker_job *job)
{
    struct snapshots *snapshots = (struct snapshots *)(void *)job;
    const struct machine *machine = &snapshots->consensus->options.machine;

    snapshots->flush_code = machine->flush(machine->context, &snapshots->flush_error);
}

static void flush_done(struct worker_job *job)
{
    struct snapshots *snapshots = (struct snapshots *)(void *)job;
    struct consensus *self = snapshots->consensus;

    snapshots->flushing = false;
    if (self->closing || self->failed)
        return;
    if (snapshots->flush_code == ERROR_NO_SPACE || snapshots->flush_code == ERROR_BUSY)
        snapshots->retry_ms = consensus_now(self) + FETCH_RETRY_MS;
    else if (snapshots->flush_code != ERROR_OK)
        consensus_fatal(self, &snapshots->flush_error);
    else if (snapshots->installs == snapshots->installs_at_flush &&
             !engine_snapshot(self->engine, &snapshots->taken, self->options.trailing_entries))
        snapshots->retry_ms = consensus_now(self) + FETCH_RETRY_MS;
    consensus_drive(self);
}

static bool snapshot_due(const struct consensus *self)
{
    const struct snapshots *snapshots = &self->snapshots;
    struct log_snapshot last;

    if (snapshots->flushing || snapshots->state_lost || snapshots->fetched || self->applied_index == 0 ||
        consensus_now(self) < snapshots->retry_ms)
        return false;
    log_snapshot(self->log, &last);
    return self->applied_index >= last.index + self->options.snapshot_entries;
}

static void take_snapshot(struct consensus *self)
{
    struct snapshots *snapshots = &self->snapshots;
    struct machine_state *state = &snapshots->state;

    self->options.machine.describe(self->options.machine.context, state);
    CHECK(state->index == self->applied_index, "the store says %" PRIu64 ", %" PRIu64 " was applied",
          state->index, self->applied_index);
    CHECK(state->configuration_bytes > 0 &&
              state->configuration_bytes <= sizeof snapshots->taken.configuration,
          "a store's configuration of %zu bytes", state->configuration_bytes);
    snapshots->taken = (struct log_snapshot){.index = state->index,
                                             .term = state->term,
                                             .configuration_index = state->configuration_index,
                                             .configuration_bytes = state->configuration_bytes};
    memcpy(snapshots->taken.configuration, state->configuration, state->configuration_bytes);
    snapshots->installs_at_flush = snapshots->installs;
    snapshots->flushing = true;
    snapshots->job = (struct worker_job){.work = flush_work, .done = flush_done};
    worker_submit(self->state_worker, &snapshots->job);
}

/* --- another node's
 * ----------------------------------------------------------------------------------------------------- */

/* A checkpoint is taken only if it is of this cluster and leads further than we are. */
static bool checkpoint_fits(const struct consensus *self, const struct machine_state *state)
{
    struct configuration configuration = {0};

    if (strcmp(state->cluster_id, self->identity.cluster_id) != 0 ||
        state->generation != self->identity.generation)
        return false;
    if (state->index < self->snapshots.wanted || state->term == 0 ||
        (state->index <= self->applied_index && !self->snapshots.state_lost))
        return false;
    return configuration_decode(span_of(state->configuration, state->configuration_bytes), &configuration,
                                NULL) == ERROR_OK;
}

static void fetch_done(void *context, const struct machine_state *state, const struct error *error)
{
    struct consensus *self = context;
    struct snapshots *snapshots = &self->snapshots;

    snapshots->fetching = false;
    snapshots->retry_ms = consensus_now(self) + FETCH_RETRY_MS;
    if (self->closing || self->failed || error != NULL || !checkpoint_fits(self, state))
        return; /* a leader that still wants us to have it says so again */
    snapshots->state = *state;
    snapshots->fetched = true;
    consensus_drive(self);
}

static void start_fetch(struct consensus *self, uint64_t index_min)
{
    struct snapshots *snapshots = &self->snapshots;
    const struct machine *machine = &self->options.machine;

    snapshots->fetching = true;
    snapshots->fetches++;
    snapshots->wanted = index_min;
    snprintf(snapshots->folder, sizeof snapshots->folder, "state.%" PRIu64, snapshots->number + 1);
    machine->fetch(machine->context, snapshots->folder, index_min, fetch_done, self);
}

void snapshot_needed(struct consensus *self, const struct message *message)
{
    struct snapshots *snapshots = &self->snapshots;
    uint64_t index = message->snapshot_needed.last_index;

    if (message->term < self->seen.term || self->seen.role == CONSENSUS_LEADER || snapshots->fetching ||
        snapshots->fetched || snapshots->state_lost)
        return;
    if (index <= self->applied_index || log_term_of(self->log, index) == message->snapshot_needed.last_term)
        return;
    start_fetch(self, index);
}

static void installed(struct consensus *self)
{
    struct snapshots *snapshots = &self->snapshots;

    snapshots->fetched = false;
    snapshots->state_lost = false;
    snapshots->number++;
    snapshots->installs++;
    self->applied_index = snapshots->state.index;
    self->applied_term = snapshots->state.term;
    if (snapshots->state.term > self->leader_ready_term)
        self->leader_ready_term = snapshots->state.term;
    /* The command by which we took office may be within: nobody applies it here any more. */
    if (self->elected_term > 0 && self->elected_index <= self->applied_index &&
        log_term_of(self->log, self->elected_index) == self->elected_term)
        self->ready_term = self->elected_term;
    self->drive_again = true;
    proposals_skipped(&self->proposals, self->applied_index);
    confirm_applied(&self->confirm, self->applied_index);
}

static void try_install(struct consensus *self)
{
    struct snapshots *snapshots = &self->snapshots;
    const struct machine_state *state = &snapshots->state;
    struct log_snapshot snapshot = {.index = state->index,
                                    .term = state->term,
                                    .configuration_index = state->configuration_index,
                                    .configuration_bytes = state->configuration_bytes};
    bool taken = false, retry = false;

    if (!snapshots->state_lost && state->index <= self->applied_index) {
        snapshots->fetched = false; /* the log was quicker */
        return;
    }
    memcpy(snapshot.configuration, state->configuration, state->configuration_bytes);
    if (snapshots->state_lost)
        taken = engine_replace(self->engine, &snapshot, snapshots->folder, &retry);
    if (!taken && !retry)
        engine_install(self->engine, &snapshot, snapshots->folder, &taken, &retry);
    snapshots->fetched = retry;
    if (taken && engine_failure(self->engine) == NULL)
        installed(self);
}

/* What a checkpoint must reach at least, for the log to lead on from it. */
static uint64_t lost_from(const struct consensus *self)
{
    struct log_snapshot snapshot;

    log_snapshot(self->log, &snapshot);
    return snapshot.index;
}

void snapshot_progress(struct consensus *self)
{
    struct snapshots *snapshots = &self->snapshots;

    if (snapshots->fetched && self->in_turn)
        try_install(self);
    else if (snapshots->fetched)
        self->work_left = true; /* the log waits for its worker: not inside a worker's `done` */
    if (snapshots->state_lost && !snapshots->fetching && !snapshots->fetched &&
        consensus_now(self) >= snapshots->retry_ms)
        start_fetch(self, lost_from(self));
    if (!self->failed && snapshot_due(self))
        take_snapshot(self);
}
