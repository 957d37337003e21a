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

static void print_stages(struct cli *cli, const json_t *plan)
{
    static const char *const names[] = {"STAGE", "PHASE", "TARGET", "GATES", NULL};
    struct table table;
    size_t i;
    json_t *stage;
    table_begin(&table, cli, names);
    json_array_foreach(json_object_get(plan, "stages"), i, stage)
    {
        table_cell(&table, member_text(cli, stage, "stage_id"));
        table_cell(&table, member_text(cli, stage, "stage_phase"));
        table_cell(&table, member_text(cli, stage, "target"));
        table_cell(&table, gates_text(cli, json_object_get(stage, "gates")));
    }
    fputc('\n', cli->out);
    table_print(&table, NULL);
}

enum cli_exit run_plan_describe(struct cli *cli)
{
    json_t *plan = NULL;
    enum cli_exit exit = cli_call(cli, "GET", cli_read_path(cli, plan_path(cli, "")), NULL, &plan);
    if (exit == CLI_DONE && cli->json) {
        json_print(cli, plan);
    } else if (exit == CLI_DONE) {
        const json_t *artifact = json_object_get(plan, "artifact");
        object_print(cli, plan);
        fprintf(cli->out, "Artifact: %s %s\n", printable(cli, member_text(cli, artifact, "name")),
                printable(cli, member_text(cli, artifact, "version")));
        print_stages(cli, plan);
    }
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
