/* Reading plans: lists, one plan whole, its gates, what is stuck. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "fsm/plan_internal.h"

#define VIEW_ARENA_BYTES (16u * 1024u * 1024u)
#define VIEW_NODES_MAX   1000u /* of one plan's description */
#define VIEW_STUCK_MAX   1000u
#define WAITS_BYTES      1024u

static json_t *json_text(const char *text)
{
    return text != NULL && text[0] != '\0' ? json_string(text) : json_null();
}

static json_t *json_when(uint64_t wall_ms)
{
    char text[TIME_TEXT_BYTES];
    if (wall_ms == 0)
        return json_null();
    time_format(wall_ms, text);
    return json_string(text);
}

static json_t *json_count(uint64_t count)
{
    return json_integer((json_int_t)count);
}

static json_t *counts_json(const struct plan_counts *counts)
{
    json_t *object = json_object();
    uint64_t total = 0;
    for (size_t i = 0; i < NODE_STATE_COUNT; i++) {
        json_object_set_new(object, node_state_names[i], json_count(counts->state[i]));
        total += counts->state[i];
    }
    json_object_set_new(object, "total", json_count(total));
    return object;
}

/* --- gates --- */

static json_t *gates_json(const struct plan_stage *stage, uint64_t now_ms)
{
    json_t *gates = json_array();
    for (size_t i = 0; i < stage->spec.gate_count; i++) {
        const struct plan_gate *gate = &stage->spec.gates[i];
        char detail[GATE_DETAIL_BYTES];
        const bool passed = gate_passed(stage, gate, now_ms, detail);
        json_t *one = json_pack("{s:s, s:b, s:s}", "kind", gate_kind_names[gate->kind], "passed", passed,
                                "detail", detail);
        CHECK(one != NULL, "gate detail \"%s\"", detail);
        if (gate->kind == GATE_TIME_SOAK)
            json_object_set_new(one, "seconds", json_count(gate->seconds));
        if (gate->kind == GATE_SUCCESS_RATIO)
            json_object_set_new(one, "min_percent", json_count(gate->min_percent));
        json_array_append_new(gates, one);
    }
    return gates;
}

static json_t *stage_json(const struct plan_stage *stage, uint64_t now_ms)
{
    json_t *object = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:o, s:o}", "stage_id",
                               stage->spec.stage_id, "stage_phase", stage_phase_names[stage->phase], "gates",
                               gates_json(stage, now_ms), "nodes", counts_json(&stage->counts), "target",
                               schema_to_json(&plan_target_schema, &stage->spec.target), "opened_at",
                               json_when(stage->opened_ms), "closed_at", json_when(stage->closed_ms),
                               "forced", stage->forced, "manual_approved", stage->approved, "approved_by",
                               json_text(stage->approved_by), "approved_at", json_when(stage->approved_ms));
    CHECK(object != NULL, "stage %s has no JSON form", stage->spec.stage_id);
    return object;
}

/* --- one plan --- */

struct node_walk {
    struct view *view;
    const struct plan *plan;
    json_t *nodes;
    bool more;
};

static json_t *node_json(const struct plan *plan, const struct plan_node *node)
{
    const char *stage_id = node->stage < plan->stage_count ? plan->stages[node->stage].spec.stage_id : NULL;
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "node_id", node->node_id, "state",
                     node_state_names[node->state], "stage_id", json_text(stage_id), "version",
                     json_text(node->version), "detail", json_text(node->detail), "activated_at",
                     json_when(node->activated_ms), "updated_at", json_when(node->updated_ms));
}

static bool visit_node(void *context, struct span key, struct span value)
{
    struct node_walk *walk = context;
    struct arena arena;
    struct plan_node node;
    (void)key;
    if (json_array_size(walk->nodes) >= VIEW_NODES_MAX) {
        walk->more = true;
        return false;
    }
    arena_init(&arena, VIEW_ARENA_BYTES);
    bool good = view_unpack(walk->view, &plan_node_schema, value, &arena, &node);
    if (good && !plan_node_fits(walk->plan, &node)) {
        view_fail(walk->view, ERROR_CORRUPT, "a node of plan %s belongs to none of its stages",
                  walk->plan->plan_id);
        good = false;
    }
    if (good)
        json_array_append_new(walk->nodes, node_json(walk->plan, &node));
    arena_done(&arena);
    return good;
}

static json_t *revert_json(const struct plan *plan, struct arena *arena)
{
    const struct plan_revert *revert = &plan->revert;
    if (revert->state == REVERT_NONE)
        return json_null();
    const bool sends = revert->state == REVERT_RUNNING || revert->state == REVERT_DONE;
    return json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:s}", "state",
        revert_state_names[revert->state], "policy", revert_policy_names[revert->policy], "pace",
        revert_pace_names[revert->pace], "version", json_text(sends ? plan->artifact.previous_version : NULL),
        "nodes", json_count(revert->nodes), "waiting", json_count(sends ? plan_exposed(plan) : 0), "offered",
        json_count(plan_sum(plan, NODE_REVERT_OFFERED)), "reverted",
        json_count(plan_sum(plan, NODE_REVERTED)), "failed", json_count(plan_sum(plan, NODE_REVERT_FAILED)),
        "converged", revert->state == REVERT_DONE && plan_sum(plan, NODE_REVERT_FAILED) == 0, "started_at",
        json_when(revert->started_ms), "ended_at", json_when(revert->ended_ms), "message",
        plan_revert_message(plan, arena));
}

static json_t *plan_json(struct view *view, const struct plan *plan, uint64_t now_ms, struct arena *arena)
{
    struct node_walk walk = {.view = view, .plan = plan, .nodes = json_array()};
    const struct store_key prefix = plan_node_key(plan->plan_id, "");
    view_scan(view, &prefix, false, visit_node, &walk);
    json_t *stages = json_array();
    for (size_t i = 0; i < plan->stage_count; i++)
        json_array_append_new(stages, stage_json(&plan->stages[i], now_ms));
    json_t *object = json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
        "plan_id", plan->plan_id, "phase", plan_phase_names[plan->phase], "current_stage_id",
        json_text(plan_current_stage_id(plan)), "artifact",
        schema_to_json(&plan_artifact_schema, &plan->artifact), "stages", stages, "nodes", walk.nodes,
        "nodes_total", json_count(plan->node_count), "nodes_cut", walk.more, "revert",
        revert_json(plan, arena), "created_at", json_when(plan->created_ms), "created_by",
        json_text(plan->created_by), "updated_at", json_when(plan->updated_ms), "published_at",
        json_when(plan->published_ms), "start_at", json_when(plan->start_ms), "ended_at",
        json_when(plan->ended_ms), "reason", json_text(plan->reason), "last_actor",
        json_text(plan->last_actor), "last_reason", json_text(plan->last_reason), "revision",
        json_count(plan->revision));
    CHECK(object != NULL, "plan %s has no JSON form", plan->plan_id);
    return object;
}

static enum error_code find_plan(struct view *self, const char *plan_id, struct arena *arena,
                                 struct plan *out, struct error *error)
{
    if (name_valid(plan_id) && plan_read(view_reader(self), plan_id, arena, out))
        return ERROR_OK;
    const enum error_code code = view_result(self, error);
    return code != ERROR_OK ? code
                            : error_set(error, ERROR_NOT_FOUND, "there is no plan \"%.128s\"", plan_id);
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

enum error_code view_plan_at(struct view *self, const char *plan_id, uint64_t now_ms, struct json_t **out,
                             struct error *error)
{
    struct arena arena;
    struct plan plan;
    arena_init(&arena, VIEW_ARENA_BYTES);
    enum error_code code = find_plan(self, plan_id, &arena, &plan, error);
    if (code == ERROR_OK) {
        json_t *json = plan_json(self, &plan, later(now_ms, view_time_ms(self)), &arena);
        code = view_result(self, error);
        if (code == ERROR_OK)
            *out = json;
        else
            json_decref(json);
    }
    arena_done(&arena);
    return code;
}

enum error_code view_plan(struct view *self, const char *plan_id, struct json_t **out, struct error *error)
{
    return view_plan_at(self, plan_id, 0, out, error);
}

enum error_code view_gates(struct view *self, const char *plan_id, const char *stage_id, uint64_t now_ms,
                           struct json_t **out, struct error *error)
{
    struct arena arena;
    struct plan plan;
    arena_init(&arena, VIEW_ARENA_BYTES);
    enum error_code code = find_plan(self, plan_id, &arena, &plan, error);
    if (code == ERROR_OK) {
        const size_t index = plan_stage_find(&plan, stage_id);
        const uint64_t at_ms = later(now_ms, view_time_ms(self));
        if (index == PLAN_STAGE_UNKNOWN) {
            code =
                error_set(error, ERROR_NOT_FOUND, "plan \"%s\" has no stage \"%.128s\"", plan_id, stage_id);
        } else {
            const struct plan_stage *stage = &plan.stages[index];
            *out = json_pack("{s:s, s:s, s:s, s:o, s:b, s:b}", "plan_id", plan.plan_id, "stage_id",
                             stage->spec.stage_id, "stage_phase", stage_phase_names[stage->phase], "gates",
                             gates_json(stage, at_ms), "manual_approved", stage->approved, "all_passed",
                             stage->phase != STAGE_PENDING && stage_passed(stage, at_ms));
        }
    }
    arena_done(&arena);
    return code;
}

/* --- lists --- */

static json_t *row_json(const struct plan *plan)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:s, s:s}", "plan_id", plan->plan_id, "phase",
                     plan_phase_names[plan->phase], "current_stage_id",
                     json_text(plan_current_stage_id(plan)), "created_at", json_when(plan->created_ms),
                     "updated_at", json_when(plan->updated_ms), "artifact", plan->artifact.name, "version",
                     plan->artifact.version);
}

static json_t *plan_item(void *context, struct view *view, struct span key, struct span value,
                         struct arena *arena)
{
    struct plan plan;
    (void)context;
    (void)key;
    if (!view_unpack(view, &plan_schema, value, arena, &plan))
        return NULL;
    const char *why = plan_unsound(&plan);
    if (why == NULL)
        return row_json(&plan);
    view_fail(view, ERROR_CORRUPT, "plan %s: %s", plan.plan_id, why);
    return NULL;
}

static json_t *phase_item(void *context, struct view *view, struct span key, struct span value,
                          struct arena *arena)
{
    struct plan plan;
    (void)context;
    (void)value;
    const char *plan_id =
        arena_text(arena, (const char *)key.data + 2, key.bytes - 2); /* behind 'P' and the phase */
    return plan_read(view_reader(view), plan_id, arena, &plan) ? row_json(&plan) : NULL;
}

/* In the order of plan ids. */
enum error_code view_plans(struct view *self, const char *phase, const struct page *page, struct json_t **out,
                           struct error *error)
{
    if (phase == NULL || phase[0] == '\0') {
        const struct store_key all = plan_key("");
        return view_page(self, &all, page, plan_item, NULL, out, error);
    }
    for (size_t i = 0; i < PLAN_PHASE_COUNT; i++) {
        if (strcmp(plan_phase_names[i], phase) != 0)
            continue;
        const struct store_key prefix = plan_phase_key((enum plan_phase)i, "");
        return view_page(self, &prefix, page, phase_item, NULL, out, error);
    }
    return error_set(
        error, ERROR_INVALID,
        "phase: \"%.64s\" is none of draft, published, active, paused, completed, cancelled, rolled_back",
        phase);
}

/* --- stuck --- */

struct stuck_plan {
    uint64_t moved_ms;
    json_t *row;
};

struct stuck_walk {
    struct view *view;
    size_t head;
    uint64_t until_ms, now_ms; /* stuck is what has not moved since until_ms */
    struct stuck_plan *found;
    uint32_t rows, count;
};

static json_t *stuck_row(const struct plan *plan, uint64_t now_ms)
{
    char waits[WAITS_BYTES];
    plan_waits_for(plan, now_ms, waits, sizeof waits);
    return json_pack("{s:s, s:s, s:o, s:o, s:s}", "plan_id", plan->plan_id, "phase",
                     plan_phase_names[plan->phase], "current_stage_id",
                     json_text(plan_current_stage_id(plan)), "stuck_since", json_when(plan->moved_ms),
                     "stuck_reason", waits);
}

/* A plan may be filed under an earlier time than it last moved at, never under a later one. */
static bool visit_stuck(void *context, struct span key, struct span value)
{
    struct stuck_walk *walk = context;
    struct arena arena;
    struct plan plan;
    uint64_t filed_ms;
    const char *plan_id;
    (void)value;
    arena_init(&arena, VIEW_ARENA_BYTES);
    plan_time_key_read(key, walk->head, &arena, &filed_ms, &plan_id);
    const bool goes_on = filed_ms <= walk->until_ms && walk->rows < VIEW_PAGE_ROWS_MAX;
    if (goes_on && plan_read(view_reader(walk->view), plan_id, &arena, &plan) &&
        plan.moved_ms <= walk->until_ms)
        walk->found[walk->count++] = (struct stuck_plan){plan.moved_ms, stuck_row(&plan, walk->now_ms)};
    walk->rows++;
    arena_done(&arena);
    return goes_on;
}

static void list_stuck(struct stuck_walk *walk, bool recorded)
{
    struct store_key prefix = plan_unmoved_key(recorded, 0, "");
    prefix.length -= sizeof(uint64_t); /* without the time */
    walk->head = prefix.length;
    walk->rows = 0;
    view_scan(walk->view, &prefix, false, visit_stuck, walk);
}

static int stuck_compare(const void *a, const void *b)
{
    const struct stuck_plan *x = a, *y = b;
    if (x->moved_ms != y->moved_ms)
        return x->moved_ms < y->moved_ms ? -1 : 1;
    return strcmp(json_string_value(json_object_get(x->row, "plan_id")),
                  json_string_value(json_object_get(y->row, "plan_id")));
}

/* The rows, longest stall first. */
static json_t *stuck_rows(struct stuck_walk *walk)
{
    json_t *rows = json_array();
    qsort(walk->found, walk->count, sizeof *walk->found, stuck_compare);
    for (uint32_t i = 0; i < walk->count; i++) {
        if (i < VIEW_STUCK_MAX)
            json_array_append(rows, walk->found[i].row);
        json_decref(walk->found[i].row);
    }
    return rows;
}

enum error_code view_stuck(struct view *self, uint64_t threshold_ms, uint64_t now_ms, struct json_t **out,
                           struct error *error)
{
    const uint64_t at_ms = later(now_ms, view_time_ms(self));
    struct stuck_walk walk = {.view = self, .now_ms = at_ms};
    walk.found = memory_zero(2 * VIEW_PAGE_ROWS_MAX, sizeof *walk.found);
    if (at_ms >= threshold_ms) {
        walk.until_ms = at_ms - threshold_ms;
        list_stuck(&walk, true);
        list_stuck(&walk, false);
    }
    json_t *rows = stuck_rows(&walk);
    free(walk.found);
    const enum error_code code = view_result(self, error);
    if (code == ERROR_OK)
        *out = json_pack("{s:o}", "stuck_plans", rows);
    else
        json_decref(rows);
    return code;
}
