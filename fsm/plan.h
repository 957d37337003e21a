/* Rollout plans: an artifact goes to the fleet stage by stage, each stage behind gates, and comes back on a
 * rollback.
 *
 * The transitions are a table in plan_table.c; the code asks it, documents print it. What a plan looks like
 * at rest is struct plan (key 'p'); a node's progress is struct plan_node (key 'n'), a record of its own, so
 * that a plan with many nodes stays small: the plan keeps counters only.
 *
 * Invariants, checked by plan_check() before every write of a plan:
 *   (1) at most one stage is open, and it is the current one; a plan in a terminal phase has none;
 *   (2) stages before the current one are promoted, halted or rolled_back; those after it are pending;
 *   (3) a soak clock runs only for the open stage of an active plan;
 *   (4) the nodes of all stages and of none together are `node_count`;
 *   (5) a plan waits in the due queue (key 'D') exactly under `due_ms`, and among the unmoved (key 'u')
 * exactly
 * while it is published or active, at a time no later than its last move. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/schema.h"

struct apply;
struct view;

#define PLAN_STAGES_MAX 64u
#define PLAN_GATES_MAX  4u /* of one stage: each kind once */
#define PLAN_LISTED_NODES_MAX                                                                                \
    1024u /* named in `nodes` of all stages together: publishing enrols them in one entry */
#define PLAN_LABELS_MAX       32u     /* of one selector, and of one node */
#define PLAN_NODES_MAX        100000u /* enrolled in one plan; the next unknown one is refused */
#define PLAN_SOAK_SECONDS_MAX 31536000u
#define PLAN_DETAIL_BYTES_MAX 1024u /* of a node's report */

/* One entry's share of work that may be large; the rest waits for the next tick. */
#define PLAN_WAVE_NODES_MAX 256u /* nodes that are offered the previous version */
#define PLAN_TICK_PLANS_MAX 64u  /* plans whose time has come */
#define PLAN_TICK_STUCK_MAX 64u  /* plans found stuck */

enum plan_phase {
    PLAN_DRAFT,
    PLAN_PUBLISHED, /* only while start_at lies ahead */
    PLAN_ACTIVE,
    PLAN_PAUSED,
    PLAN_COMPLETED,
    PLAN_CANCELLED,
    PLAN_ROLLED_BACK,
    PLAN_PHASE_COUNT
};
enum stage_phase {
    STAGE_PENDING,
    STAGE_OPEN,
    STAGE_PROMOTED,
    STAGE_HALTED,
    STAGE_ROLLED_BACK,
    STAGE_PHASE_COUNT
};
enum gate_kind { GATE_TIME_SOAK, GATE_MANUAL, GATE_HEALTH, GATE_SUCCESS_RATIO, GATE_KIND_COUNT };
enum node_state {
    NODE_PENDING, /* known to the plan, nothing offered */
    NODE_OFFERED,
    NODE_ACTIVATED,
    NODE_FAILED,
    NODE_REVERT_OFFERED,
    NODE_REVERTED,
    NODE_REVERT_FAILED,
    NODE_STATE_COUNT
};
enum revert_pace {
    REVERT_IMMEDIATE,
    REVERT_STAGED /* stage by stage, the next when the last has answered */
};
enum revert_policy { REVERT_PREVIOUS, REVERT_KEEP };
enum revert_state {
    REVERT_NONE,     /* the plan is not rolled back */
    REVERT_RUNNING,  /* nodes wait for the offer, or for their answer */
    REVERT_DONE,     /* every node has answered */
    REVERT_KEPT,     /* asked for: nodes keep what they run */
    REVERT_NO_TARGET /* the plan names no previous version */
};
enum recover_strategy { RECOVER_RETRY, RECOVER_ROLLBACK, RECOVER_SKIP_FAILED };

extern const char *const plan_phase_names[PLAN_PHASE_COUNT];
extern const char *const stage_phase_names[STAGE_PHASE_COUNT];
extern const char *const gate_kind_names[GATE_KIND_COUNT];
extern const char *const node_state_names[NODE_STATE_COUNT];
extern const char *const recover_strategy_names[3];
extern const char *const revert_pace_names[2];
extern const char *const revert_policy_names[2];
extern const char *const revert_state_names[5]; /* enum revert_state */

/* --- what an operator writes --- */

struct plan_artifact {
    const char *name, *version, *url;
    struct span sha256;           /* 32 bytes, or none */
    const char *previous_version; /* what a rollback returns to; NULL: it can't */
};

/** Exactly one of the three; none means every node. */
struct plan_target {
    uint64_t percent; /* 1 .. 100 of the fleet, by plan_cohort_ppm(); a later stage's percentage includes the
                         earlier ones' */
    struct field_pair *labels; /* all must match */
    size_t label_count;
    const char **nodes;
    size_t node_count;
};

struct plan_gate {
    uint32_t kind;
    uint64_t seconds;     /* time_soak */
    uint64_t min_percent; /* success_ratio */
};

struct plan_stage_spec {
    const char *stage_id;
    struct plan_target target;
    struct plan_gate *gates;
    size_t gate_count;
};

struct plan_create { /* rollout.create */
    const char *plan_id;
    struct plan_artifact artifact;
    struct plan_stage_spec *stages;
    size_t stage_count;
    struct span monitor;
    const char *reason;
    bool publish;
    uint64_t start_at;
};
struct plan_request { /* rollout.publish, .pause, .resume, .cancel */
    const char *plan_id, *reason;
};
struct plan_halt { /* rollout.halt */
    const char *plan_id, *stage_id, *reason;
};
struct plan_recover { /* rollout.recover */
    const char *plan_id;
    uint32_t strategy;
    const char *reason;
    uint32_t pace, policy;
};
struct plan_approve { /* rollout.gate.approve */
    const char *plan_id, *stage_id, *reason;
};
struct plan_evaluate { /* rollout.evaluate */
    const char *plan_id, *stage_id;
};
struct plan_report { /* rollout.node */
    const char *plan_id, *node_id;
    uint32_t state;
    const char *version, *detail;
    struct field_pair *labels;
    size_t label_count;
};

extern const struct schema plan_artifact_schema, plan_target_schema, plan_create_schema, plan_request_schema,
    plan_halt_schema, plan_recover_schema, plan_approve_schema, plan_evaluate_schema, plan_report_schema;

/* --- what the store holds --- */

/** Nodes of one stage (or of none) by where they are. */
struct plan_counts {
    uint64_t state[NODE_STATE_COUNT];
    uint64_t exposed; /* had activated, and neither were offered the previous version nor returned to it: key
                         'N' lists them */
    /* since the trail last told of this stage */
    uint64_t activated_untold, failed_untold, reverted_untold, revert_failed_untold;
};

struct plan_stage {
    struct plan_stage_spec spec;
    uint32_t phase;
    uint64_t opened_ms, closed_ms; /* 0: not yet */
    bool clock_running;            /* its soak clock */
    uint64_t clock_since_ms;       /* while it runs */
    uint64_t clock_ms;             /* what had gathered before */
    bool forced;                   /* promoted by skip_failed */
    bool approved;                 /* the manual gate */
    const char *approved_by, *approve_reason;
    uint64_t approved_ms;
    struct plan_counts counts;
};

struct plan_revert {
    uint32_t state, pace, policy;
    uint64_t started_ms, ended_ms;
    uint64_t nodes;    /* that had activated */
    uint64_t stage;    /* where the wave is, */
    const char *after; /* and behind which node: it needn't look again at what it took off its list */
};

/** Under which index keys the store has a plan; no part of its record, filled by loading. */
struct plan_place {
    bool there;
    uint32_t phase;
    uint64_t due_ms, filed_ms;
    bool unmoved, stuck_recorded;
};

#define PLAN_STAGE_NONE 0xffffu /* where a stage's index is meant: in no stage's target */

struct plan {
    const char *plan_id;
    struct plan_artifact artifact;
    struct plan_stage *stages;
    size_t stage_count;
    const char *reason, *created_by;
    uint32_t phase;
    uint64_t current;  /* index of the stage that is, or was last, open */
    bool started;      /* a stage was opened */
    uint64_t revision; /* rises with every change of phase, stage or gate; preview tokens stand on it. Node
                          reports leave it */
    uint64_t created_ms, updated_ms, published_ms, ended_ms; /* 0: not yet */
    uint64_t start_ms;                                       /* start_at; 0: at once */
    uint64_t moved_ms; /* its stage, an activation or an operator moved it */
    uint64_t due_ms;   /* its time in the due queue; 0: not in it */
    bool unmoved;      /* stands among the unmoved */
    uint64_t filed_ms; /* its time among them: no later than moved_ms; put right when it falls due */
    bool stuck_recorded;
    struct plan_counts outside; /* nodes that are in no stage's target */
    uint64_t node_count;
    struct plan_revert revert;
    const char *last_actor, *last_reason; /* of the newest verb */
    struct plan_place stored;
};

struct plan_node {
    const char *node_id;
    uint32_t state;
    uint64_t stage; /* index; PLAN_STAGE_NONE: in no stage's target */
    bool exposed;   /* see plan_counts */
    const char *version, *detail;
    struct field_pair *labels;
    size_t label_count;
    uint64_t enrolled_ms, updated_ms, activated_ms;
};

extern const struct schema plan_schema, plan_node_schema;

/* --- what others call --- */

/** A node's place in a plan's cohort, 0 .. 999,999: the same on every replica, and for ever. A stage of P
 * percent has the nodes below P * 10,000. */
uint32_t plan_cohort_ppm(const char *plan_id, const char *node_id);

/** The tick's part: soaks, start_at, revert waves, stalls; at most the PLAN_TICK_*_MAX above, the rest stays
 * due.
 * @param stuck_after_ms  0: looks for no stalls */
void plan_tick(struct apply *apply, uint64_t stuck_after_ms);
/** The earliest time at which plan_tick() has something to do; 0: none. It may lie in the past. */
uint64_t plan_next_deadline_ms(struct view *view, uint64_t stuck_after_ms);
