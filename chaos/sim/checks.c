/* What can only be told at the end, when everything is mended and has come to rest. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/kv.h"
#include "chaos/sim/sim_internal.h"
#include "fsm/audit.h"
#include "fsm/fsm_internal.h"
#include "fsm/result.h"
#include "fsm/store.h"

/* Every key and value is the reference's. */
static void same_store(struct sim *self, uint32_t node)
{
    struct kv *mine = store_kv(fsm_store(cluster_fsm_of(&self->cluster->nodes[node])));
    struct kv *reference = store_kv(fsm_store(self->model.fsm));
    struct kv_iterator *a = kv_iterate(mine, NULL, span_of(NULL, 0), span_of(NULL, 0), false);
    struct kv_iterator *b = kv_iterate(reference, NULL, span_of(NULL, 0), span_of(NULL, 0), false);
    struct span key_a, key_b, value_a, value_b;
    struct error error = {0};
    bool more_a, more_b;
    uint64_t count = 0;

    do {
        more_a = kv_iterator_next(a, &key_a, &value_a);
        more_b = kv_iterator_next(b, &key_b, &value_b);
        count++;
        if (more_a != more_b || (more_a && (!span_equal(key_a, key_b) || !span_equal(value_a, value_b)))) {
            sim_fail(self, "final-state",
                     "node %u holds something else than the committed log gives, at its record %" PRIu64
                     " (prefix %c)",
                     node, count,
                     more_a   ? *(const char *)key_a.data
                     : more_b ? *(const char *)key_b.data
                              : '?');
            break;
        }
    } while (more_a);
    if (kv_iterator_close(a, &error) != ERROR_OK || kv_iterator_close(b, &error) != ERROR_OK)
        sim_fail(self, "final-state", "node %u can't be read: %s", node, error.message);
}

static void registers_hold(struct sim *self, uint32_t node)
{
    for (uint32_t i = 0; i < SIM_REGISTERS && !sim_failed(self); i++) {
        struct operation look = {.kind = OPERATION_READ, .target = i};
        read_check(self, &look, node, self->told_index);
    }
}

/* --- the audit trail
 * -------------------------------------------------------------------------------------------------- */

struct audit_walk {
    struct sim *sim;
    uint32_t node;
    struct audit_chain chain;
};

static bool visit(void *context, const struct audit_record *record)
{
    struct audit_walk *walk = context;
    struct sim *self = walk->sim;
    struct error error = {0};

    if (audit_chain_next(&walk->chain, record, &error) != ERROR_OK) {
        sim_fail(self, "audit-chain", "node %u: %s", walk->node, error.message);
        return false;
    }
    const struct operation *operation =
        record->request_id == NULL ? NULL : clients_operation(self, record->request_id);
    if (operation != NULL && record->index != operation->index)
        sim_fail(self, "audit-once", "request %s has records at %" PRIu64 " and %" PRIu64, record->request_id,
                 operation->index, record->index);
    return !sim_failed(self);
}

struct find {
    uint64_t seq;
    bool found;
    char request_id[32];
    uint32_t outcome;
};

static bool find_one(void *context, const struct audit_record *record)
{
    struct find *find = context;

    find->found = record->seq == find->seq;
    find->outcome = record->outcome;
    snprintf(find->request_id, sizeof find->request_id, "%s",
             record->request_id == NULL ? "" : record->request_id);
    return false;
}

/* What was acknowledged with a record has it; what was refused has none but of the attempt. */
static void acknowledged_recorded(struct sim *self, struct view *view)
{
    for (uint64_t i = 1; i <= self->operation_count && !sim_failed(self); i++) {
        const struct operation *operation = &self->operations[i];
        if (operation->kind >= OPERATION_READ)
            continue;
        if (operation->answered && operation->index == 0)
            sim_fail(self, "acknowledged", "request op-%" PRIu64 " was acknowledged and is nowhere", i);
        if (!operation->answered || operation->audit_seq == 0)
            continue;
        struct find find = {.seq = operation->audit_seq};
        struct error error = {0};
        char wanted[32];
        snprintf(wanted, sizeof wanted, "op-%" PRIu64, i);
        enum error_code code = view_audit(view, NULL, true, operation->audit_seq, find_one, &find, &error);
        if (code != ERROR_OK || !find.found || strcmp(find.request_id, wanted) != 0)
            sim_fail(self, "audit-once",
                     "request %s was acknowledged with record %" PRIu64 ", which is of \"%s\"", wanted,
                     operation->audit_seq, find.request_id);
        else if ((find.outcome == AUDIT_DENIED) == (bool)result_succeeded(operation->code))
            sim_fail(self, "audit-once", "request %s gave %s and its record says otherwise", wanted,
                     result_name(operation->code));
    }
}

static void audit_holds(struct sim *self, uint32_t node)
{
    struct view *view = view_open(cluster_fsm_of(&self->cluster->nodes[node]));
    struct audit_walk walk = {.sim = self, .node = node};
    struct audit_filter all = {0};
    struct error error = {0};

    if (view_audit(view, &all, true, 0, visit, &walk, &error) != ERROR_OK)
        sim_fail(self, "audit-chain", "node %u: %s", node, error.message);
    if (!sim_failed(self) && walk.chain.records != view_audit_last(view))
        sim_fail(self, "audit-chain", "node %u has %" PRIu64 " records, the last is %" PRIu64, node,
                 walk.chain.records, view_audit_last(view));
    if (!sim_failed(self))
        acknowledged_recorded(self, view);
    view_close(view);
}

void checks_end(struct sim *self)
{
    bool audited = false;
    struct error error = {0};

    if (fsm_identify(self->model.fsm, self->cluster->cluster_id, 1, &error) != ERROR_OK)
        sim_fail(self, "reference", "%s", error.message);
    for (uint32_t i = 0; i < self->cluster->count && !sim_failed(self); i++) {
        if (!cluster_running(self->cluster, i) ||
            cluster_applied(self->cluster, i) != self->model.index) /* no member: nobody brings it further */
            continue;
        same_store(self, i);
        if (!sim_failed(self))
            registers_hold(self, i);
        if (!sim_failed(self) && !audited)
            audit_holds(self, i);
        audited = true;
    }
    if (!sim_failed(self) && !audited)
        sim_fail(self, "availability", "no node has applied %" PRIu64, self->model.index);
}
