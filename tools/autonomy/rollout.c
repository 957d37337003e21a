/* `autonomy rollout`: plans, gates, and the verbs that stop them. */
#include <jansson.h>
#include <string.h>

#include "tools/autonomy/output.h"

/* A body of the flags that were given; members are named like the flags, with '_' for '-'. */
static json_t *body_of(struct cli *cli, const char *const *flags)
{
    json_t *body = json_object();
    for (; *flags; flags++) {
        const char *value = cli_value(cli, *flags);
        char *member = arena_text(&cli->arena, *flags, strlen(*flags));
        for (char *at = member; *at; at++)
            *at = *at == '-' ? '_' : *at;
        if (value)
            json_object_set_new(body, member, json_string(value));
    }
    return body;
}

static enum cli_exit post(struct cli *cli, const char *path, const char *const *flags)
{
    json_t *body = body_of(cli, flags), *answer = NULL;
    enum cli_exit exit = cli_call(cli, "POST", path, body, &answer);
    json_decref(body);
    return answer_print(cli, exit, answer);
}

static const char *plan_path(struct cli *cli, const char *rest)
{
    return arena_printf(&cli->arena, "/v1/rollouts/%s%s", cli_escape(cli, cli_value(cli, "plan-id")), rest);
}

enum cli_exit run_plan_verb(struct cli *cli)
{
    static const char *const flags[] = {"reason", NULL};
    const char *verb = strrchr(cli->command->path, ' ') + 1;
    const char *plan_id = cli_value(cli, "plan-id");
    if (strcmp(verb, "cancel") == 0) {
        enum cli_exit exit =
            confirm(cli, arena_printf(&cli->arena, "cancels plan \"%s\" for good", plan_id), plan_id);
        if (exit != CLI_DONE)
            return exit;
    }
    return post(cli, plan_path(cli, arena_printf(&cli->arena, "/%s", verb)), flags);
}

enum cli_exit run_plan_list(struct cli *cli)
{
    static const char *const names[] = {"PLAN", "PHASE", "CURRENT STAGE", "CREATED", "UPDATED", NULL};
    static const char *const members[] = {"plan_id",    "phase",      "current_stage_id",
                                          "created_at", "updated_at", NULL};
    json_t *plans = NULL;
    const char *path = cli_query(cli, cli_read_path(cli, "/v1/rollouts"), "phase", cli_value(cli, "phase"));
    enum cli_exit exit = cli_list(cli, path, cli_number(cli, "limit"), &plans);
    if (exit == CLI_DONE && cli->json)
        json_print(cli, plans);
    else if (exit == CLI_DONE)
        rows_print(cli, plans, names, members, "no plans");
    json_decref(plans);
    return exit;
}

/* "time_soak passed, manual waiting" */
static const char *gates_text(struct cli *cli, const json_t *gates)
{
    const char *text = "";
    size_t i;
    json_t *gate;
    json_array_foreach(gates, i, gate)
    {
        const json_t *passed = json_object_get(gate, "passed");
        text = arena_printf(&cli->arena, "%s%s%s%s", text, *text ? ", " : "", member_text(cli, gate, "kind"),
                            !json_is_boolean(passed) ? ""
                            : json_is_true(passed)   ? " passed"
                                                     : " waiting");
    }
    return text;
}

/* "5%", "site=lab, rack=2", "edge-1, edge-2" */
static const char *target_text(struct cli *cli, const json_t *target)
{
    const char *text = "", *key;
    json_t *value;
    if (json_object_get(target, "percent"))
        return arena_printf(&cli->arena, "%s%%", member_text(cli, target, "percent"));
    json_object_foreach(json_object_get(target, "labels"), key, value) text =
        arena_printf(&cli->arena, "%s%s%s=%s", text, *text ? ", " : "", key,
                     member_text(cli, json_object_get(target, "labels"), key));
    return *text ? text : member_text(cli, target, "nodes");
}

static void print_stages(struct cli *cli, const json_t *plan)
{
    static const char *const names[] = {"STAGE",     "PHASE",  "TARGET", "NODES",
                                        "ACTIVATED", "FAILED", "GATES",  NULL};
    struct table table;
    size_t i;
    json_t *stage;
    table_begin(&table, cli, names);
    json_array_foreach(json_object_get(plan, "stages"), i, stage)
    {
        const json_t *nodes = json_object_get(stage, "nodes");
        table_cell(&table, member_text(cli, stage, "stage_id"));
        table_cell(&table, member_text(cli, stage, "stage_phase"));
        table_cell(&table, target_text(cli, json_object_get(stage, "target")));
        table_cell(&table, member_text(cli, nodes, "total"));
        table_cell(&table, member_text(cli, nodes, "activated"));
        table_cell(&table, member_text(cli, nodes, "failed"));
        table_cell(&table, gates_text(cli, json_object_get(stage, "gates")));
    }
    fputc('\n', cli->out);
    table_print(&table, NULL);
}

static void print_nodes(struct cli *cli, const json_t *plan)
{
    static const char *const names[] = {"NODE", "STATE", "STAGE", "VERSION", "UPDATED", "DETAIL", NULL};
    static const char *const members[] = {"node_id",    "state",  "stage_id", "version",
                                          "updated_at", "detail", NULL};
    const json_t *nodes = json_object_get(plan, "nodes");
    if (json_array_size(nodes) == 0)
        return;
    fputc('\n', cli->out);
    rows_print(cli, nodes, names, members, NULL);
    if (json_is_true(json_object_get(plan, "nodes_cut")))
        fprintf(cli->out, "the first %zu of %s nodes\n", json_array_size(nodes),
                member_text(cli, plan, "nodes_total"));
}

static void print_plan(struct cli *cli, const json_t *plan)
{
    static const struct label labels[] = {{"Plan ID", "plan_id", NULL},
                                          {"Phase", "phase", NULL},
                                          {"Current Stage", "current_stage_id", NULL},
                                          {"Created At", "created_at", NULL},
                                          {"Created By", "created_by", NULL},
                                          {"Published At", "published_at", NULL},
                                          {"Start At", "start_at", NULL},
                                          {"Updated At", "updated_at", NULL},
                                          {"Ended At", "ended_at", NULL},
                                          {"Reason", "reason", NULL},
                                          {"Last Actor", "last_actor", NULL},
                                          {"Last Reason", "last_reason", NULL}};
    static const struct label revert[] = {
        {"State", "state", NULL},   {"Version", "version", NULL},     {"Pace", "pace", NULL},
        {"Nodes", "nodes", NULL},   {"Offered", "offered", NULL},     {"Reverted", "reverted", NULL},
        {"Failed", "failed", NULL}, {"Converged", "converged", NULL}, {"Message", "message", NULL}};
    const json_t *artifact = json_object_get(plan, "artifact"), *wave = json_object_get(plan, "revert");
    labels_print(cli, plan, "", 16, labels, sizeof labels / sizeof labels[0]);
    label_print(cli, "", 16, "Artifact",
                arena_printf(&cli->arena, "%s %s", member_text(cli, artifact, "name"),
                             member_text(cli, artifact, "version")));
    label_print(cli, "", 16, "Previous Version", member_text(cli, artifact, "previous_version"));
    print_stages(cli, plan);
    if (json_is_object(wave)) {
        fputs("\nRevert:\n", cli->out);
        labels_print(cli, wave, "  ", 14, revert, sizeof revert / sizeof revert[0]);
    }
    print_nodes(cli, plan);
}

enum cli_exit run_plan_describe(struct cli *cli)
{
    json_t *plan = NULL;
    enum cli_exit exit = cli_call(cli, "GET", cli_read_path(cli, plan_path(cli, "")), NULL, &plan);
    if (exit == CLI_DONE && cli->json)
        json_print(cli, plan);
    else if (exit == CLI_DONE)
        print_plan(cli, plan);
    json_decref(plan);
    return exit;
}

enum cli_exit run_stuck(struct cli *cli)
{
    static const char *const names[] = {"PLAN", "PHASE", "CURRENT STAGE", "STUCK SINCE", "REASON", NULL};
    static const char *const members[] = {"plan_id",     "phase",        "current_stage_id",
                                          "stuck_since", "stuck_reason", NULL};
    json_t *answer = NULL;
    uint64_t seconds = cli_duration_ms(cli, "threshold") / 1000;
    const char *text = arena_printf(&cli->arena, "%llu", (unsigned long long)seconds);
    const char *path = cli_query(cli, "/v1/rollouts/stuck", "threshold_seconds", text);
    enum cli_exit exit = cli_call(cli, "GET", cli_read_path(cli, path), NULL, &answer);
    if (exit == CLI_DONE && cli->json)
        json_print(cli, answer);
    else if (exit == CLI_DONE)
        rows_print(cli, json_object_get(answer, "stuck_plans"), names, members, "no plan is stuck");
    json_decref(answer);
    return exit;
}

enum cli_exit run_gate_approve(struct cli *cli)
{
    static const char *const flags[] = {"reason", NULL};
    const char *rest =
        arena_printf(&cli->arena, "/stages/%s/gates/approve", cli_escape(cli, cli_value(cli, "stage-id")));
    return post(cli, plan_path(cli, rest), flags);
}

enum cli_exit run_halt(struct cli *cli)
{
    static const char *const flags[] = {"stage-id", "reason", NULL};
    const char *plan_id = cli_value(cli, "plan-id"), *stage_id = cli_value(cli, "stage-id");
    const char *effect =
        stage_id ? arena_printf(&cli->arena, "halts stage \"%s\" of plan \"%s\" for good", stage_id, plan_id)
                 : arena_printf(&cli->arena, "halts the current stage of plan \"%s\" for good", plan_id);
    enum cli_exit exit = confirm(cli, effect, plan_id);
    return exit == CLI_DONE ? post(cli, plan_path(cli, "/halt"), flags) : exit;
}

/* skip_failed acts on the stage that is current now. */
static enum cli_exit preview_skip(struct cli *cli, const char *plan_id)
{
    json_t *plan = NULL;
    enum cli_exit exit = cli_call(cli, "GET", plan_path(cli, ""), NULL, &plan);
    if (exit != CLI_DONE)
        return exit;
    const char *resource =
        arena_printf(&cli->arena, "%s/%s", plan_id, member_text(cli, plan, "current_stage_id"));
    json_decref(plan);
    return rollback_show_preview(cli, "rollout_stage", resource, "skip_failed");
}

enum cli_exit run_recover(struct cli *cli)
{
    static const char *const flags[] = {"strategy", "reason", "pace", "policy", NULL};
    const char *plan_id = cli_value(cli, "plan-id"), *strategy = cli_value(cli, "strategy");
    bool rollback = strcmp(strategy, "rollback") == 0, skip = strcmp(strategy, "skip_failed") == 0;
    if (!rollback && (cli_value(cli, "pace") || cli_value(cli, "policy")))
        return cli_fail(cli, CLI_USAGE, "--pace and --policy belong to --strategy rollback");
    if (cli_on(cli, "dry-run"))
        return skip ? preview_skip(cli, plan_id)
                    : rollback_show_preview(cli, "rollout_plan", plan_id, strategy);
    if (rollback || skip) {
        const char *what = rollback ? "rolls back" : "leaves the current stage behind of";
        enum cli_exit exit =
            confirm(cli, arena_printf(&cli->arena, "%s plan \"%s\" for good", what, plan_id), plan_id);
        if (exit != CLI_DONE)
            return exit;
    }
    return post(cli, plan_path(cli, "/recover"), flags);
}
