/* The table of rollback targets and its JSON form. */
#include "fsm/targets.h"

#include <jansson.h>
#include <string.h>

#include "base/check.h"

static const struct rollback_target targets[] = {
    {.target = "rollout_plan",
     .kind = "KindRolloutPlan",
     .safety_class = SAFETY_TERMINAL,
     .orchestrated = true,
     .resource = "PLAN_ID",
     .strategies = {{"rollback", SAFETY_TERMINAL, false, false,
                     "ends the plan as rolled_back and offers the previous version to every node that had "
                     "activated it"},
                    {"retry", SAFETY_REVERSIBLE, true, true,
                     "makes the plan active and looks at its gates again"},
                    {"cancel", SAFETY_TERMINAL, false, false, "ends a plan that no node has activated"}},
     .trigger_conditions = {"the artifact harms the nodes that run it",
                            "a published or active plan has to end before it reaches more nodes",
                            "a plan stands still although the cause is gone (retry)"},
     .limitations = {"a plan that is rolled_back, cancelled or completed stays that way; make a new plan",
                     "nodes are brought back only when the plan names artifact.previous_version",
                     "a node that can't be reached keeps its version until it reports again",
                     "cancel is refused once a node has activated the artifact; use rollback"}},
    {.target = "rollout_stage",
     .kind = "KindRolloutStage",
     .safety_class = SAFETY_TERMINAL,
     .repeatable = true,
     .orchestrated = true,
     .resource = "PLAN_ID/STAGE_ID",
     .strategies = {{"halt", SAFETY_TERMINAL, false, true,
                     "stops the stage for good; the plan stays and can be recovered"},
                    {"skip_failed", SAFETY_TERMINAL, false, false,
                     "leaves the stage behind without regard to its gates and opens the next one"}},
     .trigger_conditions =
         {"the trouble is confined to one stage and the plan shall not reach more nodes for now",
          "a stage can't pass its gates for a reason that is understood (skip_failed)"},
     .limitations =
         {"a halted stage never opens again",
          "nodes that have activated the artifact keep it; bring them back with rollout_plan rollback",
          "only the plan's current stage can be halted or skipped"}},
    {.target = "ha_leader_resign",
     .kind = "KindHALeaderResign",
     .safety_class = SAFETY_REVERSIBLE,
     .reversible = true,
     .repeatable = true,
     .orchestrated = true,
     .resource = "current",
     .strategies = {{"resign", SAFETY_REVERSIBLE, true, true,
                     "hands leadership to the most up-to-date voter"}},
     .trigger_conditions = {"the leader's host is unhealthy but still answers",
                            "the write authority has to leave a host before maintenance"},
     .limitations = {"writes wait while leadership moves, typically well under a second",
                     "it is refused while no other voter is in contact and caught up",
                     "the old leader may be elected again later"}},
    {.target = "relay_deadletter",
     .kind = "KindRelayDeadletter",
     .safety_class = SAFETY_IDEMPOTENT,
     .repeatable = true,
     .orchestrated = false,
     .resource = "SEGMENT_ID",
     .manual_path = "edgectl relay deadletter retry|purge on the edge host",
     .strategies = {{"retry", SAFETY_IDEMPOTENT, true, true, "schedules the segment for delivery again"}},
     .trigger_conditions = {"one segment blocks a relay's delivery queue again and again"},
     .limitations = {"it acts on the edge host, not through the control plane",
                     "purge removes the delivery record for good; the segment's data stays on the host"}},
};

#define TARGET_COUNT (sizeof targets / sizeof targets[0])

const char *const safety_class_names[3] = {"terminal", "reversible", "idempotent"};

const char *safety_class_name(enum safety_class safety_class)
{
    CHECK((size_t)safety_class < sizeof safety_class_names / sizeof safety_class_names[0], "safety class %d",
          (int)safety_class);
    return safety_class_names[safety_class];
}

const struct rollback_target *rollback_target_at(size_t position)
{
    return position < TARGET_COUNT ? &targets[position] : NULL;
}

const struct rollback_target *rollback_target_find(const char *target)
{
    for (size_t i = 0; target != NULL && i < TARGET_COUNT; i++)
        if (strcmp(targets[i].target, target) == 0)
            return &targets[i];
    return NULL;
}

const struct rollback_strategy *rollback_strategy_find(const struct rollback_target *target,
                                                       const char *strategy)
{
    if (strategy == NULL || strategy[0] == '\0')
        return &target->strategies[0];
    for (size_t i = 0; i < ROLLBACK_STRATEGIES_MAX && target->strategies[i].name != NULL; i++)
        if (strcmp(target->strategies[i].name, strategy) == 0)
            return &target->strategies[i];
    return NULL;
}

static json_t *texts_json(const char *const *texts)
{
    json_t *array = json_array();
    for (size_t i = 0; i < ROLLBACK_NOTES_MAX && texts[i] != NULL; i++)
        json_array_append_new(array, json_string(texts[i]));
    return array;
}

static json_t *target_json(const struct rollback_target *row)
{
    json_t *names = json_array(), *strategies = json_array();
    for (size_t i = 0; i < ROLLBACK_STRATEGIES_MAX && row->strategies[i].name != NULL; i++) {
        const struct rollback_strategy *strategy = &row->strategies[i];
        json_array_append_new(names, json_string(strategy->name));
        json_array_append_new(strategies, json_pack("{s:s, s:s, s:b, s:b, s:s}", "strategy", strategy->name,
                                                    "safety_class", safety_class_name(strategy->safety_class),
                                                    "reversible", strategy->reversible, "repeatable",
                                                    strategy->repeatable, "effect", strategy->effect));
    }
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:b, s:b, s:s, s:o, s:o, s:o, s:o, s:b, s:s, s:s?}", "target", row->target, "kind",
        row->kind, "safety_class", safety_class_name(row->safety_class), "reversible", row->reversible,
        "repeatable", row->repeatable, "default_strategy", row->strategies[0].name, "valid_strategies", names,
        "strategies", strategies, "trigger_conditions", texts_json(row->trigger_conditions), "limitations",
        texts_json(row->limitations), "orchestrated", row->orchestrated, "resource", row->resource,
        "manual_path", row->manual_path);
    CHECK(object != NULL, "no memory for target %s", row->target);
    return object;
}

enum error_code rollback_targets(const char *target, struct json_t **out, struct error *error)
{
    if (target != NULL) {
        const struct rollback_target *row = rollback_target_find(target);
        if (row == NULL)
            return error_set(
                error, ERROR_NOT_FOUND,
                "target \"%s\" is unknown; there are rollout_plan, rollout_stage, ha_leader_resign and "
                "relay_deadletter",
                target);
        *out = target_json(row);
        return ERROR_OK;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < TARGET_COUNT; i++)
        json_array_append_new(items, target_json(&targets[i]));
    *out = json_pack("{s:o}", "items", items);
    CHECK(*out != NULL, "no memory for %zu targets", TARGET_COUNT);
    return ERROR_OK;
}
