/* Nodes of a plan: which stage has them, and what they report.
 *
 * A report is a fact or a wish. What a node has done (activated, failed, reverted) is taken in every phase in
 * which it may have happened, however late it comes; taking the artifact (offered) needs a stage that offers
 * it. */
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "fsm/plan_internal.h"

#define PPM 1000000u

uint32_t plan_cohort_ppm(const char *plan_id, const char *node_id)
{
    uint8_t digest[DIGEST_BYTES];
    struct bytes text;
    bytes_init(&text, 0);
    bytes_append(&text, plan_id, strlen(plan_id) + 1); /* its NUL parts the two */
    bytes_append_text(&text, node_id);
    hash_once(text.data, text.length, digest);
    bytes_done(&text);
    return (uint32_t)(get_u64(digest) % PPM);
}

static bool label_matches(const struct field_pair *wanted, const struct field_pair *labels,
                          size_t label_count)
{
    for (size_t i = 0; i < label_count; i++)
        if (strcmp(labels[i].key, wanted->key) == 0)
            return strcmp(labels[i].value, wanted->value) == 0;
    return false;
}

bool plan_target_given(const struct plan_target *target)
{
    return target->percent != 0 || target->label_count != 0 || target->node_count != 0;
}

static bool target_matches(const struct plan_target *target, uint32_t ppm, const char *node_id,
                           const struct field_pair *labels, size_t label_count)
{
    if (!plan_target_given(target))
        return true;
    if (target->percent != 0)
        return ppm < target->percent * (PPM / 100);
    for (size_t i = 0; i < target->node_count; i++)
        if (strcmp(target->nodes[i], node_id) == 0)
            return true;
    for (size_t i = 0; i < target->label_count; i++)
        if (!label_matches(&target->labels[i], labels, label_count))
            return false;
    return target->label_count != 0;
}

uint64_t plan_stage_of(const struct plan *plan, const char *node_id, const struct field_pair *labels,
                       size_t label_count)
{
    const uint32_t ppm = plan_cohort_ppm(plan->plan_id, node_id);
    for (size_t i = 0; i < plan->stage_count; i++)
        if (target_matches(&plan->stages[i].spec.target, ppm, node_id, labels, label_count))
            return i;
    return PLAN_STAGE_NONE;
}

static void enrol(struct apply *apply, struct plan *plan, const char *node_id, struct field_pair *labels,
                  size_t label_count, struct plan_node *out)
{
    *out = (struct plan_node){
        .node_id = node_id,
        .state = NODE_PENDING,
        .stage = plan_stage_of(plan, node_id, labels, label_count),
        .labels = labels,
        .label_count = label_count,
        .enrolled_ms = apply->time_ms,
        .updated_ms = apply->time_ms,
    };
    plan->node_count++;
    plan_counts_of(plan, out->stage)->state[NODE_PENDING]++;
}

void plan_enrol_listed(struct apply *apply, struct plan *plan)
{
    for (size_t i = 0; i < plan->stage_count; i++) {
        const struct plan_target *target = &plan->stages[i].spec.target;
        for (size_t j = 0; j < target->node_count; j++) {
            struct plan_node node;
            if (plan_node_read(apply_reader(apply), plan, target->nodes[j], apply->arena, &node))
                continue; /* named twice */
            enrol(apply, plan, target->nodes[j], NULL, 0, &node);
            plan_node_save(apply, plan, &node);
        }
    }
}

static void expose(struct apply *apply, struct plan *plan, struct plan_node *node, bool exposed)
{
    if (node->exposed == exposed)
        return;
    const struct store_key key = plan_exposed_key(plan->plan_id, node->stage, node->node_id);
    struct plan_counts *counts = plan_counts_of(plan, node->stage);
    node->exposed = exposed;
    if (exposed) {
        counts->exposed++;
        store_put(apply->store, &key, span_of(NULL, 0));
    } else {
        if (counts->exposed == 0)
            apply_damaged(apply, "node %s of plan %s was not counted as exposed", node->node_id,
                          plan->plan_id);
        counts->exposed--;
        store_delete(apply->store, &key);
    }
}

void plan_node_move(struct apply *apply, struct plan *plan, struct plan_node *node, enum node_state to)
{
    struct plan_counts *counts = plan_counts_of(plan, node->stage);
    if (counts->state[node->state] == 0)
        apply_damaged(apply, "node %s of plan %s was not counted as %s", node->node_id, plan->plan_id,
                      node_state_names[node->state]);
    counts->state[node->state]--;
    counts->state[to]++;
    node->state = to;
    node->updated_ms = apply->time_ms;
    if (to == NODE_ACTIVATED) {
        node->activated_ms = apply->time_ms;
        counts->activated_untold++;
        expose(apply, plan, node, true);
    }
    counts->failed_untold += to == NODE_FAILED;
    counts->reverted_untold += to == NODE_REVERTED;
    counts->revert_failed_untold += to == NODE_REVERT_FAILED;
    if (to == NODE_REVERT_OFFERED || to == NODE_REVERTED)
        expose(apply, plan, node, false);
    plan->updated_ms = apply->time_ms;
}

/* --- reports --- */

/* The node says which version it runs, which must be the one that its state is about. */
static bool check_version(struct apply *apply, const struct plan *plan, const struct plan_report *report)
{
    const char *wanted = report->state == NODE_ACTIVATED  ? plan->artifact.version
                         : report->state == NODE_REVERTED ? plan->artifact.previous_version
                                                          : NULL;
    if (wanted == NULL || report->version == NULL || report->version[0] == '\0' ||
        strcmp(wanted, report->version) == 0)
        return true;
    apply_refuse_with(apply, RESULT_NODE_STATE, "wanted_version", wanted,
                      "node \"%s\" reports %s with version \"%s\", and plan \"%s\" is about \"%s\"",
                      report->node_id, node_state_names[report->state], report->version, plan->plan_id,
                      wanted);
    return false;
}

/* A node may take the artifact only from a stage that offers it. */
static bool check_offer(struct apply *apply, const struct plan *plan, const struct plan_node *node)
{
    if (node->stage == PLAN_STAGE_NONE) {
        apply_refuse(apply, RESULT_NODE_STATE, "no stage of plan \"%s\" has node \"%s\" in its target",
                     plan->plan_id, node->node_id);
        return false;
    }
    const struct plan_stage *stage = &plan->stages[node->stage];
    if (stage->phase == STAGE_OPEN || stage->phase == STAGE_PROMOTED)
        return true;
    apply_refuse_with(apply, stage->phase == STAGE_HALTED ? RESULT_STAGE_HALTED : RESULT_STAGE_PHASE,
                      "stage_phase", stage_phase_names[stage->phase],
                      "node \"%s\" belongs to stage \"%s\" of plan \"%s\", which is %s and offers nothing",
                      node->node_id, stage->spec.stage_id, plan->plan_id, stage_phase_names[stage->phase]);
    return false;
}

static bool check_move(struct apply *apply, const struct plan *plan, const struct plan_node *node,
                       const struct plan_report *report)
{
    const struct node_rule *rule = node_rule_find(node->state, report->state);
    if (rule != NULL && !plan_permit(apply, plan, rule->event))
        return false;
    if (rule == NULL || (rule->exposed_only && !node->exposed)) {
        apply_refuse_with(apply, RESULT_NODE_STATE, "state", node_state_names[node->state],
                          "node \"%s\" of plan \"%s\" is %s and can't become %s", node->node_id,
                          plan->plan_id, node_state_names[node->state], node_state_names[report->state]);
        return false;
    }
    return rule->event != EVENT_NODE_OFFER || check_offer(apply, plan, node);
}

/* Loads the node or enrols it. @return false after a refusal */
static bool meet(struct apply *apply, struct plan *plan, const struct plan_report *report,
                 struct plan_node *node, bool *enrolled)
{
    *enrolled = !plan_node_read(apply_reader(apply), plan, report->node_id, apply->arena, node);
    if (!*enrolled)
        return true;
    if (plan->node_count >= PLAN_NODES_MAX) {
        apply_refuse(apply, RESULT_TOO_MANY, "plan \"%s\" has %u nodes, and no more may enrol", plan->plan_id,
                     PLAN_NODES_MAX);
        return false;
    }
    enrol(apply, plan, report->node_id, report->labels, report->label_count, node);
    return true;
}

static void answer_report(struct apply *apply, const struct plan *plan, const struct plan_node *node,
                          enum node_state previous, bool enrolled)
{
    struct bytes *body = apply_answer(apply);
    value_map(body, 8);
    value_text(body, "plan_id", plan->plan_id);
    value_text(body, "phase", plan_phase_names[plan->phase]);
    value_text(body, "current_stage_id", plan_current_stage_id(plan));
    value_text(body, "node_id", node->node_id);
    value_text(body, "state", node_state_names[node->state]);
    value_text(body, "previous_state", enrolled ? NULL : node_state_names[previous]);
    value_text(body, "stage_id",
               node->stage == PLAN_STAGE_NONE ? NULL : plan->stages[node->stage].spec.stage_id);
    value_bool(body, "enrolled", enrolled);
}

/* What a report sets off: gates may pass, a stall ends, the wave goes on. */
static void follow(struct apply *apply, struct plan *plan, struct plan_node *node)
{
    if (node->state == NODE_ACTIVATED && !plan_phase_terminal(plan->phase))
        plan_move(apply, plan);
    plan_tell_nodes(apply, plan, node->stage, false);
    if (plan->phase == PLAN_ACTIVE) {
        plan_advance(apply, plan);
    } else if (plan->phase == PLAN_ROLLED_BACK) {
        uint32_t budget = PLAN_WAVE_NODES_MAX;
        plan->revert.nodes +=
            node->state == NODE_ACTIVATED; /* it was on its way when the plan was rolled back */
        plan_wave_run(apply, plan, &budget);
    }
}

void plan_report_handle(struct apply *apply, const void *body)
{
    const struct plan_report *report = body;
    struct plan plan;
    struct plan_node node;
    bool enrolled;
    if (!plan_load(apply, report->plan_id, &plan))
        return;
    if (plan.phase == PLAN_DRAFT || plan.phase == PLAN_PUBLISHED) {
        plan_permit(apply, &plan, report->state == NODE_OFFERED ? EVENT_NODE_OFFER : EVENT_NODE_ANSWER);
        return;
    }
    if (!meet(apply, &plan, report, &node, &enrolled))
        return;
    const enum node_state previous = node.state;
    if (!enrolled && previous == report->state) {
        answer_report(apply, &plan, &node, previous, false); /* told before: nothing changes */
        return;
    }
    if (!check_move(apply, &plan, &node, report) || !check_version(apply, &plan, report))
        return;
    node.version = report->version != NULL && report->version[0] != '\0' ? report->version : node.version;
    node.detail = report->detail;
    plan_node_move(apply, &plan, &node, report->state);
    plan_node_save(apply, &plan, &node);
    follow(apply, &plan, &node);
    plan_save(apply, &plan);
    if (plan.phase == PLAN_ROLLED_BACK && /* the wave may have reached this very node */
        !plan_node_read(apply_reader(apply), &plan, node.node_id, apply->arena, &node))
        return; /* a read error, which the store keeps */
    answer_report(apply, &plan, &node, previous, enrolled);
}
