/* The transition tables. A pair that is not listed is refused and changes nothing. */
#include "fsm/plan_table.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"

/* clang-format off */
static const struct plan_rule rules[] = {
    /* event             from            to               needs */
    {EVENT_PUBLISH,       PLAN_DRAFT,     PLAN_ACTIVE,      NEED_NOTHING},
    {EVENT_PUBLISH_LATER, PLAN_DRAFT,     PLAN_PUBLISHED,   NEED_NOTHING},
    {EVENT_START,         PLAN_PUBLISHED, PLAN_ACTIVE,      NEED_NOTHING},

    {EVENT_PAUSE,         PLAN_ACTIVE,    PLAN_PAUSED,      NEED_STAGE_NOT_HALTED},
    {EVENT_RESUME,        PLAN_PAUSED,    PLAN_ACTIVE,      NEED_STAGE_NOT_HALTED},
    {EVENT_HALT,          PLAN_ACTIVE,    PLAN_ACTIVE,      NEED_NOTHING},
    {EVENT_HALT,          PLAN_PAUSED,    PLAN_PAUSED,      NEED_NOTHING},
    {EVENT_APPROVE,       PLAN_ACTIVE,    PLAN_ACTIVE,      NEED_NOTHING},
    {EVENT_APPROVE,       PLAN_PAUSED,    PLAN_PAUSED,      NEED_NOTHING},
    {EVENT_EVALUATE,      PLAN_ACTIVE,    PLAN_ACTIVE,      NEED_NOTHING},

    {EVENT_RETRY,         PLAN_ACTIVE,    PLAN_ACTIVE,      NEED_STAGE_NOT_HALTED},
    {EVENT_RETRY,         PLAN_PAUSED,    PLAN_ACTIVE,      NEED_STAGE_NOT_HALTED},
    {EVENT_SKIP_FAILED,   PLAN_ACTIVE,    PLAN_ACTIVE,      NEED_NOTHING},
    {EVENT_SKIP_FAILED,   PLAN_PAUSED,    PLAN_ACTIVE,      NEED_NOTHING},
    {EVENT_ROLLBACK,      PLAN_PUBLISHED, PLAN_ROLLED_BACK, NEED_NOTHING},
    {EVENT_ROLLBACK,      PLAN_ACTIVE,    PLAN_ROLLED_BACK, NEED_NOTHING},
    {EVENT_ROLLBACK,      PLAN_PAUSED,    PLAN_ROLLED_BACK, NEED_NOTHING},
    {EVENT_CANCEL,        PLAN_DRAFT,     PLAN_CANCELLED,   NEED_NOTHING},
    {EVENT_CANCEL,        PLAN_PUBLISHED, PLAN_CANCELLED,   NEED_NOTHING},
    {EVENT_CANCEL,        PLAN_ACTIVE,    PLAN_CANCELLED,   NEED_NO_ACTIVATION},
    {EVENT_CANCEL,        PLAN_PAUSED,    PLAN_CANCELLED,   NEED_NO_ACTIVATION},
    {EVENT_COMPLETE,      PLAN_ACTIVE,    PLAN_COMPLETED,   NEED_NOTHING},

    {EVENT_NODE_OFFER,    PLAN_ACTIVE,      PLAN_ACTIVE,      NEED_NOTHING},
    {EVENT_NODE_OFFER,    PLAN_COMPLETED,   PLAN_COMPLETED,   NEED_NOTHING},
    {EVENT_NODE_ANSWER,   PLAN_ACTIVE,      PLAN_ACTIVE,      NEED_NOTHING},
    {EVENT_NODE_ANSWER,   PLAN_PAUSED,      PLAN_PAUSED,      NEED_NOTHING},
    {EVENT_NODE_ANSWER,   PLAN_COMPLETED,   PLAN_COMPLETED,   NEED_NOTHING},
    {EVENT_NODE_ANSWER,   PLAN_CANCELLED,   PLAN_CANCELLED,   NEED_NOTHING},
    {EVENT_NODE_ANSWER,   PLAN_ROLLED_BACK, PLAN_ROLLED_BACK, NEED_NOTHING},
    {EVENT_NODE_REVERT,   PLAN_ROLLED_BACK, PLAN_ROLLED_BACK, NEED_NOTHING},
};

static const struct plan_event_info events[EVENT_COUNT] = {
    [EVENT_PUBLISH]       = {"publish", "be published",          "rollout.plan.published",    false},
    [EVENT_PUBLISH_LATER] = {"publish, start_at ahead", "be published",          "rollout.plan.published",    false},
    [EVENT_START]         = {"start_at comes", "start",                 NULL,                        false},
    [EVENT_PAUSE]         = {"pause", "pause",                 "rollout.plan.paused",       false},
    [EVENT_RESUME]        = {"resume", "resume",                "rollout.plan.resumed",      false},
    [EVENT_HALT]          = {"halt", "halt a stage",          "rollout.stage.halted",      true},
    [EVENT_APPROVE]       = {"approve gate", "have a gate approved",  "rollout.gate.approved",     true},
    [EVENT_EVALUATE]      = {"evaluate", "have its gates looked at", NULL,                     false},
    [EVENT_RETRY]         = {"recover retry", "be retried",            "rollout.recovered",         true},
    [EVENT_SKIP_FAILED]   = {"recover skip_failed", "skip a stage",          "rollout.recovered",         true},
    [EVENT_ROLLBACK]      = {"recover rollback", "be rolled back",        "rollout.recovered",         true},
    [EVENT_CANCEL]        = {"cancel", "be cancelled",          "rollout.plan.cancelled",    true},
    [EVENT_COMPLETE]      = {"last stage left", "complete",              "rollout.plan.completed",    false},
    [EVENT_NODE_OFFER]    = {"node takes the offer", "be offered to a node",  NULL,                        false},
    [EVENT_NODE_ANSWER]   = {"node answers", "take a node's answer",  NULL,                        false},
    [EVENT_NODE_REVERT]   = {"node reports its revert", "take a node's revert",  NULL,                        false},
};

static const struct node_rule node_rules[] = {
    /* from               to                   event              exposed only */
    {NODE_PENDING,        NODE_OFFERED,        EVENT_NODE_OFFER,  false},
    {NODE_FAILED,         NODE_OFFERED,        EVENT_NODE_OFFER,  false}, /* it tries again */
    {NODE_OFFERED,        NODE_ACTIVATED,      EVENT_NODE_ANSWER, false},
    {NODE_OFFERED,        NODE_FAILED,         EVENT_NODE_ANSWER, false},
    {NODE_PENDING,        NODE_ACTIVATED,      EVENT_NODE_ANSWER, false}, /* the report of its offer was lost */
    {NODE_PENDING,        NODE_FAILED,         EVENT_NODE_ANSWER, false},
    {NODE_FAILED,         NODE_ACTIVATED,      EVENT_NODE_ANSWER, false},
    {NODE_ACTIVATED,      NODE_FAILED,         EVENT_NODE_ANSWER, false}, /* it ran, and broke later */
    {NODE_REVERT_OFFERED, NODE_REVERTED,       EVENT_NODE_REVERT, false},
    {NODE_REVERT_OFFERED, NODE_REVERT_FAILED,  EVENT_NODE_REVERT, false},
    {NODE_REVERT_FAILED,  NODE_REVERT_OFFERED, EVENT_NODE_REVERT, false}, /* it tries again */
    {NODE_REVERT_FAILED,  NODE_REVERTED,       EVENT_NODE_REVERT, false},
    {NODE_ACTIVATED,      NODE_REVERTED,       EVENT_NODE_REVERT, true},  /* brought back before its offer came */
    {NODE_FAILED,         NODE_REVERTED,       EVENT_NODE_REVERT, true},
};
/* clang-format on */

#define RULE_COUNT      (sizeof rules / sizeof rules[0])
#define NODE_RULE_COUNT (sizeof node_rules / sizeof node_rules[0])

const struct plan_rule *plan_rule_at(size_t position)
{
    return position < RULE_COUNT ? &rules[position] : NULL;
}

const struct plan_rule *plan_rule_find(enum plan_event event, enum plan_phase from)
{
    for (size_t i = 0; i < RULE_COUNT; i++)
        if (rules[i].event == event && rules[i].from == from)
            return &rules[i];
    return NULL;
}

const struct plan_event_info *plan_event_info(enum plan_event event)
{
    CHECK(event < EVENT_COUNT, "event %d", (int)event);
    return &events[event];
}

bool plan_phase_terminal(enum plan_phase phase)
{
    return phase == PLAN_COMPLETED || phase == PLAN_CANCELLED || phase == PLAN_ROLLED_BACK;
}

const struct node_rule *node_rule_at(size_t position)
{
    return position < NODE_RULE_COUNT ? &node_rules[position] : NULL;
}

const struct node_rule *node_rule_find(enum node_state from, enum node_state to)
{
    for (size_t i = 0; i < NODE_RULE_COUNT; i++)
        if (node_rules[i].from == from && node_rules[i].to == to)
            return &node_rules[i];
    return NULL;
}

static uint64_t exposed_nodes(const struct plan *plan)
{
    uint64_t exposed = plan->outside.exposed;
    for (size_t i = 0; i < plan->stage_count; i++)
        exposed += plan->stages[i].counts.exposed;
    return exposed;
}

static const char *phase_hint(enum plan_event event, enum plan_phase phase)
{
    if (phase == PLAN_DRAFT && event == EVENT_ROLLBACK)
        return "; nothing was rolled out: use cancel";
    if (phase == PLAN_DRAFT)
        return "; publish it first";
    if (phase == PLAN_PUBLISHED)
        return "; it waits for its start_at";
    if (phase == PLAN_PAUSED)
        return "; resume it first";
    return "";
}

enum result_code plan_allows(const struct plan *plan, enum plan_event event, char why[PLAN_WHY_BYTES])
{
    const struct plan_rule *rule = plan_rule_find(event, plan->phase);
    const char *verb = plan_event_info(event)->verb, *phase = plan_phase_names[plan->phase];
    if (rule == NULL && plan_phase_terminal(plan->phase)) {
        snprintf(why, PLAN_WHY_BYTES, "plan \"%s\" is %s; a terminal plan can't %s", plan->plan_id, phase,
                 verb);
        return RESULT_PLAN_TERMINAL;
    }
    if (rule == NULL) {
        snprintf(why, PLAN_WHY_BYTES, "plan \"%s\" is %s and can't %s%s", plan->plan_id, phase, verb,
                 phase_hint(event, plan->phase));
        return RESULT_PLAN_PHASE;
    }
    if (rule->need == NEED_STAGE_NOT_HALTED && plan->stages[plan->current].phase == STAGE_HALTED) {
        snprintf(why, PLAN_WHY_BYTES,
                 "stage \"%s\" of plan \"%s\" is halted for good; recover it with skip_failed or rollback, "
                 "or cancel it",
                 plan->stages[plan->current].spec.stage_id, plan->plan_id);
        return RESULT_STAGE_HALTED;
    }
    if (rule->need == NEED_NO_ACTIVATION && exposed_nodes(plan) > 0) {
        snprintf(why, PLAN_WHY_BYTES,
                 "plan \"%s\" is activated on %" PRIu64
                 " node%s and can't be cancelled; use recover with strategy "
                 "rollback",
                 plan->plan_id, PLAN_NODES(exposed_nodes(plan)));
        return RESULT_PLAN_ACTIVATED;
    }
    return RESULT_OK;
}
