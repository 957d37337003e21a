/* Changes of the membership: one at a time, checked before they are proposed (hazard 10: libraft would remove
 * the only voter).
 *
 * none -> holds -> none        it holds already: done in the next turn
 * none -> wanted -> submitted  consensus_drive() submits it
 * submitted -> none            applied; or overwritten; or unknown when leadership was lost and nothing was
 * heard of it */
#include "consensus/consensus_internal.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"

#define CHANGE_MS_MAX 10000u

static void finish(struct consensus *self, const struct result *result, const struct error *error)
{
    consensus_done_fn *done = self->change.done;
    void *context = self->change.context;

    self->change.phase = CHANGE_NONE;
    self->change.index = 0;
    done(context, result, error);
}

void membership_fail(struct consensus *self, enum error_code code, const char *reason)
{
    struct error error = {0};

    if (self->change.phase == CHANGE_NONE)
        return;
    error_set(&error, code, "%s", reason);
    finish(self, NULL, &error);
}

static enum error_code check_leader(const struct consensus *self, struct error *error)
{
    if (self->closing || self->failed)
        return error_set(error, ERROR_CLOSED, "this node is shutting down");
    if (!consensus_ready(self))
        return consensus_not_leader(self, error);
    if (self->handover.phase != HANDOVER_NONE)
        return error_set(error, ERROR_CONFLICT, "leadership is being handed over");
    if (self->change.phase != CHANGE_NONE || self->seen.change_pending)
        return error_set(error, ERROR_CONFLICT, "a membership change is pending: one at a time");
    return ERROR_OK;
}

/* What must hold of the members after the change, for it to be safe to begin. */
static enum error_code check_after(const struct consensus *self, const struct configuration *after,
                                   struct error *error)
{
    uint32_t voters = configuration_voter_count(after);

    if (voters == 0)
        return error_set(error, ERROR_CONFLICT, "the cluster would have no voter left");
    if (!contact_majority(&self->contact, after, consensus_now(self)))
        return error_set(error, ERROR_CONFLICT,
                         "of the %u voters after this change no majority is in contact with the leader",
                         voters);
    return ERROR_OK;
}

static enum error_code begin(struct consensus *self, const struct configuration *after,
                             consensus_done_fn *done, void *context, struct error *error)
{
    bool holds = configuration_same(after, self->seen.configuration);
    enum error_code code = holds ? ERROR_OK : check_after(self, after, error);

    if (code != ERROR_OK)
        return code;
    self->change = (struct change){.phase = holds ? CHANGE_HOLDS : CHANGE_WANTED,
                                   .configuration = *after,
                                   .deadline_ms = consensus_now(self) + CHANGE_MS_MAX,
                                   .done = done,
                                   .context = context};
    self->work_left = true;
    consensus_arm(self);
    return ERROR_OK;
}

static bool was_removed(const struct consensus *self, uint64_t node_id)
{
    const struct machine *machine = &self->options.machine;
    return machine->is_removed != NULL && machine->is_removed(machine->context, node_id);
}

enum error_code consensus_member_add(struct consensus *self, uint64_t node_id, const char *address,
                                     consensus_done_fn *done, void *context, struct error *error)
{
    struct configuration after;
    enum error_code code = check_leader(self, error);

    if (code != ERROR_OK)
        return code;
    if (node_id == 0 || strlen(address) == 0 || strlen(address) >= ADDRESS_BYTES_MAX)
        return error_set(error, ERROR_INVALID, "a member needs an id and an address of 1 to %u bytes",
                         ADDRESS_BYTES_MAX - 1);
    after = *self->seen.configuration;
    const struct configuration_member *member = configuration_find(&after, node_id);
    if (member != NULL && strcmp(member->address, address) == 0)
        return begin(self, &after, done, context, error);
    if (member != NULL)
        return error_set(error, ERROR_CONFLICT, "node %016" PRIx64 " is a member at %s already", node_id,
                         member->address);
    if (was_removed(self, node_id))
        return error_set(error, ERROR_CONFLICT, "node %016" PRIx64 " was removed: its id is never used again",
                         node_id);
    for (uint32_t i = 0; i < after.count; i++)
        if (strcmp(after.members[i].address, address) == 0)
            return error_set(error, ERROR_CONFLICT, "node %016" PRIx64 " has the address %s already",
                             after.members[i].node_id, address);
    if (after.count == NODES_MAX)
        return error_set(error, ERROR_TOO_BIG, "the cluster has %u members already, its maximum", NODES_MAX);
    struct configuration_member *added = &after.members[after.count++];
    *added = (struct configuration_member){.node_id = node_id, .role = MEMBER_STANDBY};
    memcpy(added->address, address, strlen(address) + 1);
    return begin(self, &after, done, context, error);
}

/* A new voter must be able to help at once: a commit that waits for it waits for what it lacks. */
static enum error_code check_promotion(const struct consensus *self,
                                       const struct configuration_member *member, struct error *error)
{
    uint64_t match = engine_match_index(self->engine, member->node_id), commit = self->seen.commit_index;

    if (member->role != MEMBER_STANDBY)
        return error_set(error, ERROR_CONFLICT, "node %016" PRIx64 " is a spare: make it a standby first",
                         member->node_id);
    if (!contact_recent(&self->contact, member->node_id, consensus_now(self)))
        return error_set(error, ERROR_CONFLICT,
                         "node %016" PRIx64 " was not heard within an election timeout", member->node_id);
    if (match < self->seen.configuration->index)
        return error_set(error, ERROR_CONFLICT, "node %016" PRIx64 " does not know the last membership yet",
                         member->node_id);
    if (match + CONSENSUS_LAG_ENTRIES_MAX < commit)
        return error_set(error, ERROR_CONFLICT,
                         "node %016" PRIx64 " lacks %" PRIu64 " entries, allowed are %u", member->node_id,
                         commit - match, CONSENSUS_LAG_ENTRIES_MAX);
    return ERROR_OK;
}

enum error_code consensus_member_assign(struct consensus *self, uint64_t node_id, enum member_role role,
                                        consensus_done_fn *done, void *context, struct error *error)
{
    struct configuration after;
    enum error_code code = check_leader(self, error);

    if (code != ERROR_OK)
        return code;
    after = *self->seen.configuration;
    for (uint32_t i = 0; i < after.count; i++) {
        struct configuration_member *member = &after.members[i];
        if (member->node_id != node_id)
            continue;
        if (member->role != role && node_id == self->identity.node_id)
            return error_set(error, ERROR_CONFLICT,
                             "the leader can't demote itself: hand leadership over first");
        if (member->role != role && role == MEMBER_VOTER)
            code = check_promotion(self, member, error);
        if (code != ERROR_OK)
            return code;
        member->role = role;
        return begin(self, &after, done, context, error);
    }
    return error_set(error, ERROR_NOT_FOUND, "node %016" PRIx64 " is no member", node_id);
}

enum error_code consensus_member_remove(struct consensus *self, uint64_t node_id, consensus_done_fn *done,
                                        void *context, struct error *error)
{
    struct configuration after = {0};
    enum error_code code = check_leader(self, error);

    if (code != ERROR_OK)
        return code;
    if (node_id == self->identity.node_id)
        return error_set(error, ERROR_CONFLICT, "the leader can't remove itself: hand leadership over first");
    after.index = self->seen.configuration->index;
    for (uint32_t i = 0; i < self->seen.configuration->count; i++)
        if (self->seen.configuration->members[i].node_id != node_id)
            after.members[after.count++] = self->seen.configuration->members[i];
    if (after.count == self->seen.configuration->count && !was_removed(self, node_id))
        return error_set(error, ERROR_NOT_FOUND, "node %016" PRIx64 " is no member", node_id);
    return begin(self, &after, done, context, error);
}

static void submit_change(struct consensus *self)
{
    struct change *change = &self->change;

    if (!consensus_ready(self)) {
        membership_fail(self, ERROR_NOT_LEADER, "leadership was lost before the change was proposed");
        return;
    }
    enum error_code code = engine_change(self->engine, &change->configuration, &change->index, &change->term);
    self->drive_again = true;
    if (code == ERROR_OK)
        change->phase = CHANGE_SUBMITTED;
    else
        membership_fail(self, code, "the engine refused the change");
}

void membership_progress(struct consensus *self)
{
    struct change *change = &self->change;

    if (change->phase == CHANGE_HOLDS) {
        struct result result = {.index = self->seen.configuration->index};
        finish(self, &result, NULL);
    } else if (change->phase == CHANGE_WANTED) {
        submit_change(self);
    } else if (change->phase == CHANGE_SUBMITTED) {
        bool leads = self->seen.role == CONSENSUS_LEADER && self->seen.term == change->term;
        uint64_t stray_ms =
            consensus_now(self) + (uint64_t)DRIVE_STRAY_TIMEOUTS * self->options.election_timeout_ms;
        if (!leads && change->deadline_ms > stray_ms)
            change->deadline_ms = stray_ms;
        if (consensus_now(self) >= change->deadline_ms)
            membership_fail(self, ERROR_UNKNOWN,
                            "the change may still be committed: leadership was lost meanwhile");
    }
}

void membership_applied(struct consensus *self, const struct entry *entry, const struct result *result)
{
    if (self->change.phase != CHANGE_SUBMITTED || entry->index != self->change.index)
        return;
    if (entry->term == self->change.term)
        finish(self, result, NULL);
    else
        membership_fail(self, ERROR_NOT_LEADER, "another leader's entry took the place of the change");
}
