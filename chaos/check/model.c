#include "chaos/check/model.h"

#include <string.h>

#include "base/check.h"
#include "chaos/check/table.h"

#define SIZE(array) (sizeof(array) / sizeof((array)[0]))

enum model_refusal model_refusal(const char *code)
{
    static const struct {
        const char *code;
        enum model_refusal refusal;
    } rows[] = {
        {"version_mismatch", REFUSAL_VERSION},         {"plan_not_found", REFUSAL_NO_PLAN},
        {"plan_exists", REFUSAL_PLAN_EXISTS},          {"plan_phase", REFUSAL_PHASE},
        {"plan_terminal", REFUSAL_TERMINAL},           {"stage_halted", REFUSAL_HALTED},
        {"kill_switch_active", REFUSAL_SWITCH_ACTIVE}, {"kill_switch_inactive", REFUSAL_SWITCH_INACTIVE},
    };
    for (size_t i = 0; code != NULL && i < SIZE(rows); i++)
        if (strcmp(rows[i].code, code) == 0)
            return rows[i].refusal;
    return REFUSAL_SILENT;
}

/* --- flags --- */

static enum model_step flag_read(const struct model_op *op, const struct model_state *state)
{
    const bool version_fits = op->version == 0 || op->version == state->version;
    return version_fits && op->value == state->value ? STEP_SAME : STEP_IMPOSSIBLE;
}

static enum model_step flag_refused(const struct model_op *op, const struct model_state *state)
{
    const bool differs = op->expected == 0 || op->expected != state->version;
    const bool seen = op->version == 0 || op->version == state->version;
    return differs && seen ? STEP_SAME : STEP_IMPOSSIBLE;
}

static enum model_step flag_set(const struct model_op *op, struct model_state *state)
{
    if (op->expected != 0 && op->expected != state->version)
        return op->optional ? STEP_SAME : STEP_IMPOSSIBLE; /* unknown: it may have been refused */
    if (op->version != 0 && op->version != state->version + 1)
        return STEP_IMPOSSIBLE;
    *state = (struct model_state){op->value, state->version + 1};
    return STEP_CHANGED;
}

/* --- plans: the table of fsm/plan_table.c, for a plan whose only gate is manual and that no node activates
 * --- */

struct plan_way {
    uint8_t kind, from, to;
    bool not_halted; /* a halted stage forbids it */
    bool halts;
};
static const struct plan_way ways[] = {
    {HISTORY_PLAN_CREATE, HISTORY_NO_PLAN, HISTORY_DRAFT, false, false},
    {HISTORY_PLAN_PUBLISH, HISTORY_DRAFT, HISTORY_ACTIVE, false, false},
    {HISTORY_PLAN_PAUSE, HISTORY_ACTIVE, HISTORY_PAUSED, true, false},
    {HISTORY_PLAN_RESUME, HISTORY_PAUSED, HISTORY_ACTIVE, true, false},
    {HISTORY_PLAN_HALT, HISTORY_ACTIVE, HISTORY_ACTIVE, false, true},
    {HISTORY_PLAN_HALT, HISTORY_PAUSED, HISTORY_PAUSED, false, true},
    {HISTORY_PLAN_ROLLBACK, HISTORY_ACTIVE, HISTORY_ROLLED_BACK, false, false},
    {HISTORY_PLAN_ROLLBACK, HISTORY_PAUSED, HISTORY_ROLLED_BACK, false, false},
    {HISTORY_PLAN_CANCEL, HISTORY_DRAFT, HISTORY_CANCELLED, false, false},
    {HISTORY_PLAN_CANCEL, HISTORY_ACTIVE, HISTORY_CANCELLED, false, false},
    {HISTORY_PLAN_CANCEL, HISTORY_PAUSED, HISTORY_CANCELLED, false, false},
};

static const struct plan_way *way_find(const struct model_op *op, const struct model_state *state)
{
    for (size_t i = 0; i < SIZE(ways); i++)
        if (ways[i].kind == op->kind && ways[i].from == state->value)
            return &ways[i];
    return NULL;
}

static bool terminal(int64_t phase)
{
    return phase == HISTORY_COMPLETED || phase == HISTORY_CANCELLED || phase == HISTORY_ROLLED_BACK;
}

static bool plan_refusal_fits(const struct model_op *op, const struct model_state *state)
{
    const struct plan_way *way = way_find(op, state);
    switch ((enum model_refusal)op->refusal) {
    case REFUSAL_NO_PLAN:
        return state->value == HISTORY_NO_PLAN;
    case REFUSAL_PLAN_EXISTS:
        return state->value != HISTORY_NO_PLAN;
    case REFUSAL_TERMINAL:
        return terminal(state->value);
    case REFUSAL_PHASE:
        return way == NULL && state->value != HISTORY_NO_PLAN && !terminal(state->value);
    case REFUSAL_HALTED:
        return way != NULL && way->not_halted && state->version != 0;
    default:
        return true;
    }
}

static enum model_step plan_read(const struct model_op *op, const struct model_state *state)
{
    const bool open = state->value == HISTORY_ACTIVE || state->value == HISTORY_PAUSED;
    if (op->value != state->value || (open && op->halted != (state->version != 0)))
        return STEP_IMPOSSIBLE;
    return STEP_SAME;
}

static enum model_step plan_change(const struct model_op *op, struct model_state *state)
{
    const struct plan_way *way = way_find(op, state);
    if (way == NULL || (way->not_halted && state->version != 0))
        return op->optional ? STEP_SAME : STEP_IMPOSSIBLE;
    const struct model_state next = {way->to, terminal(way->to) ? 0 : way->halts ? 1 : state->version};
    const bool same = next.value == state->value && next.version == state->version;
    *state = next;
    return same ? STEP_SAME : STEP_CHANGED;
}

/* --- kill switches --- */

static enum model_step switch_change(const struct model_op *op, struct model_state *state)
{
    const int64_t to = op->kind == HISTORY_SWITCH_ACTIVATE ? 1 : 0;
    if (state->value == to)
        return op->optional ? STEP_SAME : STEP_IMPOSSIBLE; /* it would have been refused */
    state->value = to;
    return STEP_CHANGED;
}

static enum model_step switch_refused(const struct model_op *op, const struct model_state *state)
{
    if (op->refusal == REFUSAL_SWITCH_ACTIVE)
        return state->value == 1 ? STEP_SAME : STEP_IMPOSSIBLE;
    if (op->refusal == REFUSAL_SWITCH_INACTIVE)
        return state->value == 0 ? STEP_SAME : STEP_IMPOSSIBLE;
    return STEP_SAME;
}

enum model_step model_step(const struct model_op *op, struct model_state *state)
{
    const bool refused = op->outcome == HISTORY_REFUSED;
    switch (history_kind_object(op->kind)) {
    case HISTORY_FLAG:
        if (refused)
            return flag_refused(op, state);
        return op->kind == HISTORY_READ ? flag_read(op, state) : flag_set(op, state);
    case HISTORY_PLAN:
        if (refused)
            return plan_refusal_fits(op, state) ? STEP_SAME : STEP_IMPOSSIBLE;
        return op->kind == HISTORY_PLAN_READ ? plan_read(op, state) : plan_change(op, state);
    case HISTORY_SWITCH:
        if (refused)
            return switch_refused(op, state);
        if (op->kind == HISTORY_SWITCH_READ)
            return op->value == state->value ? STEP_SAME : STEP_IMPOSSIBLE;
        return switch_change(op, state);
    case HISTORY_TRAIL:
        break;
    }
    CHECK(false, "operations of kind %u have no state", op->kind);
}

uint64_t model_needs_version(const struct model_op *op)
{
    if (history_kind_object(op->kind) != HISTORY_FLAG)
        return UINT64_MAX;
    if (op->kind == HISTORY_READ || op->outcome == HISTORY_REFUSED)
        return op->version != 0 ? op->version : UINT64_MAX;
    if (op->version != 0)
        return op->version - 1;
    return op->expected != 0 ? op->expected : UINT64_MAX;
}

void model_hide_values(struct model_op *ops, size_t op_count)
{
    struct table shown;
    uint64_t ignored;
    table_init(&shown);
    for (size_t i = 0; i < op_count; i++)
        if (ops[i].kind == HISTORY_READ)
            table_put(&shown, (uint64_t)ops[i].value, 1, NULL);
    for (size_t i = 0; i < op_count; i++)
        if (ops[i].kind == HISTORY_SET && !table_get(&shown, (uint64_t)ops[i].value, &ignored))
            ops[i].value = MODEL_HIDDEN;
    table_done(&shown);
}
