/* Clients and operators: they ask, and note what they were told. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/sim/cluster_internal.h"

struct consensus_status cluster_status(struct cluster *self, uint32_t node)
{
    struct consensus_status status = {0};

    if (self->nodes[node].consensus != NULL)
        consensus_status(self->nodes[node].consensus, &status);
    return status;
}

int cluster_leader(struct cluster *self)
{
    uint64_t term = 0;
    int leader = -1;

    for (uint32_t i = 0; i < self->count; i++) {
        struct consensus_status status = cluster_status(self, i);
        if (status.role == CONSENSUS_LEADER && status.ready && status.term > term) {
            term = status.term;
            leader = (int)i;
        }
    }
    return leader;
}

static bool has_leader(struct cluster *self, void *context)
{
    (void)context;
    return cluster_leader(self) >= 0;
}

uint32_t cluster_await_leader(struct cluster *self, uint64_t ms)
{
    if (!cluster_run_until(self, has_leader, NULL, ms))
        cluster_report(self, "availability: no leader was ready within %" PRIu64 " ms", ms);
    int leader = cluster_leader(self);
    return leader < 0 ? 0 : (uint32_t)leader;
}

uint64_t cluster_applied(struct cluster *self, uint32_t node)
{
    return self->nodes[node].consensus == NULL ? 0 : self->machine->applied(&self->nodes[node]);
}

const char *cluster_last_elected(struct cluster *self, uint32_t node)
{
    return self->nodes[node].last_elected;
}

uint64_t cluster_acknowledged(const struct cluster *self)
{
    return self->acknowledged;
}

uint64_t cluster_installs(const struct cluster *self)
{
    return self->installs;
}

uint64_t cluster_snapshots(const struct cluster *self)
{
    return self->flushes;
}

uint32_t cluster_fatals(const struct cluster *self)
{
    return self->fatals;
}

uint64_t cluster_wipes(const struct cluster *self)
{
    return self->wipes;
}

uint64_t cluster_reads(const struct cluster *self)
{
    return self->reads;
}

static bool settled(struct cluster *self, void *context)
{
    int leader = cluster_leader(self);

    (void)context;
    if (leader < 0)
        return false;
    struct consensus_status status = cluster_status(self, (uint32_t)leader);
    if (status.applied_index < status.last_index)
        return false;
    for (uint32_t i = 0; i < status.member_count; i++) {
        if (status.members[i].role == MEMBER_SPARE)
            continue;
        for (uint32_t j = 0; j < self->count; j++)
            if (self->nodes[j].id == status.members[i].node_id && self->nodes[j].consensus != NULL &&
                cluster_applied(self, j) < status.applied_index)
                return false;
    }
    return true;
}

bool cluster_settle(struct cluster *self, uint64_t ms)
{
    return cluster_run_until(self, settled, NULL, ms);
}

/* --- proposals
 * ---------------------------------------------------------------------------------------------------------
 */

static struct ask *ask_new(struct cluster *self, uint32_t node, uint64_t id)
{
    struct ask *ask = memory_zero(1, sizeof *ask);
    *ask = (struct ask){.cluster = self, .node = node, .id = id, .index_min = self->acknowledged_index};
    return ask;
}

static void proposed(void *context, const struct result *result, const struct error *error)
{
    struct ask *ask = context;
    struct cluster *self = ask->cluster;
    struct proposal_note *note = &self->proposals[ask->id];

    if (note->fate != CLUSTER_PENDING)
        cluster_report(self, "proposal %" PRIu64 " was answered twice", ask->id);
    note->code = error == NULL ? ERROR_OK : error->code;
    if (error == NULL) {
        note->fate = CLUSTER_DONE;
        note->index = result->index;
        self->acknowledged++;
        if (result->index > self->acknowledged_index)
            self->acknowledged_index = result->index;
        if (note->committed != result->index)
            cluster_report(self, "proposal %" PRIu64 " was acknowledged at %" PRIu64 " and is at %" PRIu64,
                           ask->id, result->index, note->committed);
    } else if (error->code == ERROR_UNKNOWN) {
        note->fate = CLUSTER_UNKNOWN;
    } else {
        note->fate = CLUSTER_REFUSED;
        if (note->committed != 0)
            cluster_report(self, "proposal %" PRIu64 " was refused (%s) and is at %" PRIu64, ask->id,
                           error_name(error->code), note->committed);
    }
    free(ask);
}

uint64_t cluster_propose_bytes(struct cluster *self, uint32_t node, size_t bytes)
{
    struct error error = {0};

    if (self->nodes[node].consensus == NULL || self->proposal_count + 2 >= CLUSTER_PROPOSALS_MAX)
        return 0;
    uint64_t id = self->proposal_count + 1;
    uint8_t *command = memory_zero(1, bytes < 9 ? 9 : bytes);
    command[0] = 'P';
    put_u64(command + 1, id);
    struct ask *ask = ask_new(self, node, id);
    enum error_code code =
        consensus_propose(self->nodes[node].consensus, command, bytes < 9 ? 9 : bytes, proposed, ask, &error);
    free(command);
    if (code != ERROR_OK) {
        free(ask);
        return 0;
    }
    self->proposal_count = id;
    return id;
}

uint64_t cluster_propose(struct cluster *self, uint32_t node)
{
    return cluster_propose_bytes(self, node, 16);
}

enum cluster_fate cluster_fate(struct cluster *self, uint64_t id)
{
    return self->proposals[id].fate;
}

enum error_code cluster_fate_code(struct cluster *self, uint64_t id)
{
    return self->proposals[id].code;
}

uint64_t cluster_committed_at(struct cluster *self, uint64_t id)
{
    return self->proposals[id].committed;
}

/* --- reads
 * ---------------------------------------------------------------------------------------------------------------
 */

static void was_read(void *context, uint64_t index, const struct error *error)
{
    struct ask *ask = context;
    struct cluster *self = ask->cluster;

    if (error == NULL) {
        self->reads++;
        if (index < ask->index_min || cluster_applied(self, ask->node) < index)
            cluster_report(self,
                           "a read on node %u saw %" PRIu64 " (applied %" PRIu64 "), %" PRIu64
                           " was acknowledged before it",
                           ask->node, index, cluster_applied(self, ask->node), ask->index_min);
    }
    free(ask);
}

uint64_t cluster_read(struct cluster *self, uint32_t node)
{
    struct error error = {0};

    if (self->nodes[node].consensus == NULL)
        return 0;
    struct ask *ask = ask_new(self, node, 0);
    if (consensus_confirm(self->nodes[node].consensus, was_read, ask, &error) == ERROR_OK)
        return 1;
    free(ask);
    return 0;
}

/* --- membership and handover
 * ----------------------------------------------------------------------------------------------- */

struct waiting {
    bool over;
    bool forgotten; /* nobody waits any more: free it when it is over */
    enum error_code code;
};

static void over(struct waiting *waiting, const struct error *error)
{
    waiting->over = true;
    waiting->code = error == NULL ? ERROR_OK : error->code;
    if (waiting->forgotten)
        free(waiting);
}

static void changed(void *context, const struct result *result, const struct error *error)
{
    (void)result;
    over(context, error);
}

static void transferred(void *context, uint64_t leader, uint64_t term, const struct error *error)
{
    (void)leader;
    (void)term;
    over(context, error);
}

static bool is_over(struct cluster *self, void *context)
{
    (void)self;
    return ((struct waiting *)context)->over;
}

/* Waits for what was begun with `code`; `ms` 0: doesn't wait. */
static enum error_code wait_for(struct cluster *self, struct waiting *waiting, enum error_code code,
                                uint64_t ms)
{
    if (code != ERROR_OK) {
        free(waiting);
        return code;
    }
    if (ms > 0 && cluster_run_until(self, is_over, waiting, ms)) {
        code = waiting->code;
        free(waiting);
        return code;
    }
    waiting->forgotten = true;
    return ms == 0 ? ERROR_OK : ERROR_TIMEOUT;
}

static enum error_code add(struct cluster *self, uint32_t leader, uint32_t node, uint64_t ms)
{
    struct waiting *waiting = memory_zero(1, sizeof *waiting);
    return wait_for(self, waiting,
                    consensus_member_add(self->nodes[leader].consensus, self->nodes[node].id,
                                         self->nodes[node].address, changed, waiting, NULL),
                    ms);
}

static enum error_code assign(struct cluster *self, uint32_t leader, uint32_t node, enum member_role role,
                              uint64_t ms)
{
    struct waiting *waiting = memory_zero(1, sizeof *waiting);
    return wait_for(self, waiting,
                    consensus_member_assign(self->nodes[leader].consensus, self->nodes[node].id, role,
                                            changed, waiting, NULL),
                    ms);
}

static enum error_code remove_node(struct cluster *self, uint32_t leader, uint32_t node, uint64_t ms)
{
    struct waiting *waiting = memory_zero(1, sizeof *waiting);
    return wait_for(
        self, waiting,
        consensus_member_remove(self->nodes[leader].consensus, self->nodes[node].id, changed, waiting, NULL),
        ms);
}

static enum error_code transfer(struct cluster *self, uint32_t leader, uint64_t to, uint64_t ms)
{
    struct waiting *waiting = memory_zero(1, sizeof *waiting);
    return wait_for(self, waiting,
                    consensus_transfer(self->nodes[leader].consensus, to, transferred, waiting, NULL), ms);
}

enum error_code cluster_add(struct cluster *self, uint32_t node, uint64_t ms)
{
    return add(self, cluster_await_leader(self, ms), node, ms);
}

enum error_code cluster_assign(struct cluster *self, uint32_t node, enum member_role role, uint64_t ms)
{
    return assign(self, cluster_await_leader(self, ms), node, role, ms);
}

enum error_code cluster_remove(struct cluster *self, uint32_t node, uint64_t ms)
{
    return remove_node(self, cluster_await_leader(self, ms), node, ms);
}

enum error_code cluster_transfer(struct cluster *self, int to, uint64_t ms)
{
    return transfer(self, cluster_await_leader(self, ms), to < 0 ? 0 : self->nodes[to].id, ms);
}

enum error_code cluster_begin_add(struct cluster *self, uint32_t leader, uint32_t node)
{
    return add(self, leader, node, 0);
}

enum error_code cluster_begin_assign(struct cluster *self, uint32_t leader, uint32_t node,
                                     enum member_role role)
{
    return assign(self, leader, node, role, 0);
}

enum error_code cluster_begin_remove(struct cluster *self, uint32_t leader, uint32_t node)
{
    return remove_node(self, leader, node, 0);
}

enum error_code cluster_begin_transfer(struct cluster *self, uint32_t leader)
{
    return transfer(self, leader, 0, 0);
}
