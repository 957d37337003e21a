/* What one object may do: a flag, a plan, a kill switch, each as a small state machine that answers whether
 * an operation with its answer is possible in a state, and what the state is afterwards. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chaos/check/history.h"

/** The value of a flag that nobody reads: all such sets are alike to the search. */
#define MODEL_HIDDEN (INT64_MIN + 1)

struct model_state {
    int64_t value;    /* of a flag; a plan's enum history_phase; a switch: 1 is active */
    uint64_t version; /* of a flag; a plan: 1 when its stage is halted */
};

/** One operation's share in one object. */
struct model_op {
    uint64_t invoke_ns, complete_ns;
    uint32_t source; /* number of the operation; of a node's last state: past them */
    uint8_t kind, outcome;
    uint8_t refusal; /* enum model_refusal */
    bool optional;   /* it may be left out: its outcome is unknown */
    bool halted;
    int64_t value;
    uint64_t expected, version;
};

enum model_refusal {
    REFUSAL_SILENT, /* says nothing of the state */
    REFUSAL_VERSION,
    REFUSAL_NO_PLAN,
    REFUSAL_PLAN_EXISTS,
    REFUSAL_PHASE,
    REFUSAL_TERMINAL,
    REFUSAL_HALTED,
    REFUSAL_SWITCH_ACTIVE,
    REFUSAL_SWITCH_INACTIVE,
};

enum model_step {
    STEP_IMPOSSIBLE, /* it can't have been answered so in this state */
    STEP_SAME,       /* possible, and the state stays */
    STEP_CHANGED,
};

/** @param state  in: before; out: after, when possible */
enum model_step model_step(const struct model_op *op, struct model_state *state);
enum model_refusal model_refusal(const char *code);
/** The only version at which the operation can have its answer and an effect; UINT64_MAX: any. */
uint64_t model_needs_version(const struct model_op *op);
/** Gives all sets whose value no read shows the same one. */
void model_hide_values(struct model_op *ops, size_t op_count);
