/* Hands leadership to another voter, and waits until it has taken office.
 *
 * none -> catch_up   consensus_transfer(): from here on proposals wait
 * catch_up -> sent   the successor has our whole log: the engine tells it to stand
 *          -> none   it didn't within an election timeout: ERROR_TIMEOUT, we lead on
 * sent -> none       the engine gave up after an election timeout: ERROR_TIMEOUT, we lead on
 *      -> await      we lead no longer
 * await -> none      a leader's first command in a later term is applied here: done, or ERROR_TIMEOUT when it
 * is our own again; or none within ten election timeouts: ERROR_UNKNOWN
 *
 * Why catch_up: libraft sends its timeout-now at the first acknowledgement that covers what it had sent, and
 * the successor ignores it when more is on its way; the handover would then be lost for an election timeout.
 */
#include "consensus/consensus_internal.h"

#include <inttypes.h>

#define HANDOVER_AWAIT_TIMEOUTS 10u

static void finish(struct consensus *self, uint64_t leader, uint64_t term, const struct error *error)
{
    transfer_done_fn *done = self->handover.done;
    void *context = self->handover.context;

    self->handover = (struct handover){0};
    self->drive_again = true; /* proposals waited */
    done(context, leader, term, error);
}

void handover_fail(struct consensus *self, enum error_code code, const char *reason)
{
    struct error error = {0};

    if (self->handover.phase == HANDOVER_NONE)
        return;
    error_set(&error, code, "%s", reason);
    finish(self, 0, 0, &error);
}

static bool is_full(const struct consensus *self, uint64_t node_id)
{
    const struct contact_peer *peer = contact_find(&self->contact, node_id);

    return peer != NULL && peer->disk_full;
}

/* The most up-to-date voter in contact; 0: none within the bound. One that refuses entries for want of space
 * would refuse writes as a leader. */
static uint64_t choose(const struct consensus *self, bool with_space)
{
    const struct configuration *configuration = self->seen.configuration;
    uint64_t last = log_last_index(self->log), best = 0, best_match = 0;

    for (uint32_t i = 0; i < configuration->count; i++) {
        const struct configuration_member *member = &configuration->members[i];
        if (member->role != MEMBER_VOTER || member->node_id == self->identity.node_id ||
            !contact_recent(&self->contact, member->node_id, consensus_now(self)) ||
            (with_space && is_full(self, member->node_id)))
            continue;
        uint64_t match = engine_match_index(self->engine, member->node_id);
        if (match + CONSENSUS_LAG_ENTRIES_MAX >= last && (best == 0 || match > best_match)) {
            best = member->node_id;
            best_match = match;
        }
    }
    return best;
}

static enum error_code check_successor(const struct consensus *self, uint64_t node_id, struct error *error)
{
    uint64_t last = log_last_index(self->log), match = engine_match_index(self->engine, node_id);

    if (node_id == self->identity.node_id || !configuration_is_voter(self->seen.configuration, node_id))
        return error_set(error, ERROR_INVALID, "node %016" PRIx64 " is no other voter of this cluster",
                         node_id);
    if (!contact_recent(&self->contact, node_id, consensus_now(self)))
        return error_set(error, ERROR_CONFLICT,
                         "node %016" PRIx64 " was not heard within an election timeout", node_id);
    if (match + CONSENSUS_LAG_ENTRIES_MAX < last)
        return error_set(error, ERROR_CONFLICT,
                         "node %016" PRIx64 " lacks %" PRIu64 " entries, allowed are %u", node_id,
                         last - match, CONSENSUS_LAG_ENTRIES_MAX);
    return ERROR_OK;
}

enum error_code consensus_transfer(struct consensus *self, uint64_t node_id, transfer_done_fn *done,
                                   void *context, struct error *error)
{
    enum error_code code;

    if (self->closing || self->failed)
        return error_set(error, ERROR_CLOSED, "this node is shutting down");
    if (!consensus_ready(self))
        return consensus_not_leader(self, error);
    if (self->handover.phase != HANDOVER_NONE)
        return error_set(error, ERROR_CONFLICT, "leadership is being handed to node %016" PRIx64 " already",
                         self->handover.successor);
    uint64_t successor = node_id != 0 ? node_id : choose(self, true);
    if (successor == 0)
        successor = choose(self, false);
    if (successor == 0)
        return error_set(error, ERROR_CONFLICT,
                         "no other voter is in contact and within %u entries of the log's end",
                         CONSENSUS_LAG_ENTRIES_MAX);
    code = check_successor(self, successor, error);
    if (code != ERROR_OK)
        return code;
    self->handover = (struct handover){.phase = HANDOVER_CATCH_UP,
                                       .successor = successor,
                                       .term = self->seen.term,
                                       .deadline_ms = consensus_now(self) + self->options.election_timeout_ms,
                                       .done = done,
                                       .context = context};
    self->work_left = true;
    consensus_arm(self);
    return ERROR_OK;
}

static void nobody_asked(void *context, uint64_t leader, uint64_t term, const struct error *error)
{
    (void)context;
    (void)leader;
    (void)term;
    (void)error;
}

void handover_watch_disk(struct consensus *self)
{
    uint64_t durable = log_durable_index(self->log), now_ms = consensus_now(self);
    uint64_t bound_ms = (uint64_t)DRIVE_STALL_TIMEOUTS * self->options.election_timeout_ms;

    if (durable == log_last_index(self->log)) {
        self->stall_ms = 0;
        return;
    }
    if (self->stall_ms == 0 || durable != self->stall_index) {
        self->stall_index = durable;
        self->stall_ms = now_ms;
        return;
    }
    if (now_ms < self->stall_ms + bound_ms || !consensus_ready(self) || self->handover.phase != HANDOVER_NONE)
        return;
    self->stall_ms = now_ms; /* when nobody can take over: not again at once */
    enum error_code code = consensus_transfer(self, 0, nobody_asked, NULL, NULL);
    (void)code;
}

/* Could another leader commit? Whoever is full takes no entries, and we are. */
static bool others_have_space(const struct consensus *self)
{
    const struct configuration *configuration = self->seen.configuration;
    uint32_t voters = 0, with_space = 0;

    for (uint32_t i = 0; i < configuration->count; i++) {
        const struct configuration_member *member = &configuration->members[i];
        if (member->role != MEMBER_VOTER)
            continue;
        voters++;
        if (member->node_id != self->identity.node_id && !is_full(self, member->node_id) &&
            contact_recent(&self->contact, member->node_id, consensus_now(self)))
            with_space++;
    }
    return with_space > voters / 2;
}

void handover_watch_space(struct consensus *self)
{
    uint64_t now_ms = consensus_now(self);
    uint64_t bound_ms = (uint64_t)DRIVE_FULL_TIMEOUTS * self->options.election_timeout_ms;

    if (!self->disk_full || !consensus_ready(self) || self->handover.phase != HANDOVER_NONE ||
        now_ms < self->full_ms + bound_ms || !others_have_space(self))
        return;
    self->full_ms = now_ms; /* when it fails: not again at once */
    enum error_code code = consensus_transfer(self, 0, nobody_asked, NULL, NULL);
    (void)code;
}

static void catch_up(struct consensus *self)
{
    struct handover *handover = &self->handover;

    if (consensus_now(self) >= handover->deadline_ms) {
        handover_fail(self, ERROR_TIMEOUT, "the successor did not catch up within an election timeout");
        return;
    }
    if (engine_match_index(self->engine, handover->successor) < log_last_index(self->log))
        return;
    enum error_code code = engine_transfer(self->engine, handover->successor);
    self->drive_again = true;
    if (code != ERROR_OK) {
        handover_fail(self, code, "the engine refused the handover");
        return;
    }
    handover->phase = HANDOVER_SENT;
}

static void await_office(struct consensus *self)
{
    struct handover *handover = &self->handover;

    if (self->leader_ready_term > handover->term) {
        uint64_t term = self->leader_ready_term;
        uint64_t leader = self->seen.term == term ? self->seen.leader_id : 0;
        if (leader == self->identity.node_id)
            handover_fail(self, ERROR_TIMEOUT, "the handover failed: this node was elected again");
        else if (leader != 0)
            finish(self, leader, term, NULL);
        if (leader != 0)
            return;
    }
    if (consensus_now(self) >= handover->deadline_ms)
        handover_fail(self, ERROR_UNKNOWN,
                      "nobody is known to have taken office within ten election timeouts");
}

void handover_progress(struct consensus *self)
{
    struct handover *handover = &self->handover;
    bool leads = self->seen.role == CONSENSUS_LEADER && self->seen.term == handover->term;

    if (handover->phase == HANDOVER_NONE)
        return;
    if (!leads && handover->phase != HANDOVER_AWAIT) {
        handover->phase = HANDOVER_AWAIT;
        handover->deadline_ms =
            consensus_now(self) + (uint64_t)HANDOVER_AWAIT_TIMEOUTS * self->options.election_timeout_ms;
    }
    if (handover->phase == HANDOVER_CATCH_UP)
        catch_up(self);
    else if (handover->phase == HANDOVER_SENT && self->seen.transferee == 0)
        handover_fail(self, ERROR_TIMEOUT, "the successor did not take office within an election timeout");
    else if (handover->phase == HANDOVER_AWAIT)
        await_office(self);
}
