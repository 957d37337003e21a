/* What may happen to a plan, and when: the tables that code, tests and documents read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fsm/plan.h"
#include "fsm/result.h"

enum plan_event {
    EVENT_PUBLISH,       /* with its time come, or none set */
    EVENT_PUBLISH_LATER, /* start_at lies ahead */
    EVENT_START,         /* start_at has come */
    EVENT_PAUSE,
    EVENT_RESUME,
    EVENT_HALT,
    EVENT_APPROVE,
    EVENT_EVALUATE,
    EVENT_RETRY,
    EVENT_SKIP_FAILED,
    EVENT_ROLLBACK,
    EVENT_CANCEL,
    EVENT_COMPLETE,    /* the last stage was left */
    EVENT_NODE_OFFER,  /* a node takes the artifact */
    EVENT_NODE_ANSWER, /* a node tells how that went: a fact, heard in every phase that may have offered */
    EVENT_NODE_REVERT, /* a node tells of its way back */
    EVENT_COUNT
};

enum plan_need {
    NEED_NOTHING = 0,
    NEED_STAGE_NOT_HALTED = 1, /* the current stage */
    NEED_NO_ACTIVATION = 2     /* of any node, ever */
};

struct plan_rule {
    enum plan_event event;
    enum plan_phase from, to;
    enum plan_need need;
};

struct plan_event_info {
    const char *name;       /* "recover rollback" */
    const char *verb;       /* completes "a terminal plan can't ..." */
    const char *event_name; /* of its audit record; NULL: it leaves none of its own */
    bool attempt;           /* a refusal is worth a record */
};

/** NULL: past the last. */
const struct plan_rule *plan_rule_at(size_t position);
/** NULL: the phase doesn't allow the event. */
const struct plan_rule *plan_rule_find(enum plan_event event, enum plan_phase from);
const struct plan_event_info *plan_event_info(enum plan_event event);
bool plan_phase_terminal(enum plan_phase phase);

/** Two arguments for "%" PRIu64 " node%s". */
#define PLAN_NODES(count) (count), (count) == 1 ? "" : "s"

#define PLAN_WHY_BYTES 384u
/** Whether the event may happen to the plan now.
 * @param why  one sentence, when it may not
 * @return RESULT_OK, RESULT_PLAN_TERMINAL, RESULT_PLAN_PHASE, RESULT_STAGE_HALTED or RESULT_PLAN_ACTIVATED */
enum result_code plan_allows(const struct plan *plan, enum plan_event event, char why[PLAN_WHY_BYTES]);

/** One way of a node from state to state. */
struct node_rule {
    enum node_state from, to;
    enum plan_event event; /* which must be allowed to the plan */
    bool exposed_only;     /* only a node that had activated */
};
const struct node_rule *node_rule_at(size_t position);
const struct node_rule *node_rule_find(enum node_state from, enum node_state to);
