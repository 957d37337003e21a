/* `autonomy rollback`: one entry point for every kind of rollback. The preview's static part needs no server.
 */
#include <jansson.h>
#include <string.h>

#include "fsm/targets.h"
#include "tools/autonomy/client.h"
#include "tools/autonomy/hints.h"
#include "tools/autonomy/output.h"

static void print_list(struct cli *cli, const char *title, const json_t *list)
{
    size_t i;
    json_t *item;
    if (json_array_size(list) == 0)
        return;
    fprintf(cli->out, "\n%s:\n", title);
    json_array_foreach(list, i, item)
    {
        const char *text = json_string_value(item);
        if (text)
            fprintf(cli->out, "  - %s\n", printable(cli, text));
    }
}

static void print_strategies(struct cli *cli, const json_t *strategies)
{
    static const char *const names[] = {"STRATEGY",   "SAFETY CLASS", "REVERSIBLE",
                                        "REPEATABLE", "EFFECT",       NULL};
    static const char *const members[] = {"strategy",   "safety_class", "reversible",
                                          "repeatable", "effect",       NULL};
    fputc('\n', cli->out);
    rows_print(cli, strategies, names, members, NULL);
}

static void print_target(struct cli *cli, const json_t *target)
{
    static const struct label labels[] = {{"Target", "target", NULL},
                                          {"Kind", "kind", NULL},
                                          {"Safety Class", "safety_class", NULL},
                                          {"Reversible", "reversible", NULL},
                                          {"Repeatable", "repeatable", NULL},
                                          {"Orchestrated", "orchestrated", NULL},
                                          {"Resource", "resource", NULL},
                                          {"Manual Path", "manual_path", NULL},
                                          {"Valid Strategies", "valid_strategies", NULL}};
    labels_print(cli, target, "", 16, labels, sizeof labels / sizeof labels[0]);
    print_strategies(cli, json_object_get(target, "strategies"));
    print_list(cli, "Trigger conditions", json_object_get(target, "trigger_conditions"));
    print_list(cli, "Limitations", json_object_get(target, "limitations"));
}

static enum cli_exit ask_preview(struct cli *cli, const char *target, const char *resource,
                                 const char *strategy, json_t **out)
{
    json_t *body =
        json_pack("{s:s, s:s, s:s*}", "target", target, "resource", resource, "strategy", strategy);
    enum cli_exit exit = cli_call(cli, "POST", "/v1/rollback/preview", body, out);
    json_decref(body);
    return exit;
}

enum cli_exit rollback_show_preview(struct cli *cli, const char *target, const char *resource,
                                    const char *strategy)
{
    json_t *preview = NULL;
    enum cli_exit exit = ask_preview(cli, target, resource, strategy, &preview);
    return answer_print(cli, exit, preview);
}

static enum cli_exit check_strategy(struct cli *cli, const struct rollback_target *target,
                                    const char *strategy)
{
    if (rollback_strategy_find(target, strategy))
        return CLI_DONE;
    const char *valid = "";
    for (size_t i = 0; i < ROLLBACK_STRATEGIES_MAX && target->strategies[i].name; i++)
        valid = arena_printf(&cli->arena, "%s%s%s", valid, i > 0 ? ", " : "", target->strategies[i].name);
    return cli_fail(cli, CLI_USAGE, "%s has no strategy \"%s\"; it has %s", target->target, strategy, valid);
}

enum cli_exit run_rollback_preview(struct cli *cli)
{
    const char *name = cli_value(cli, "target"), *resource = cli_value(cli, "resource");
    const char *strategy = cli_value(cli, "strategy");
    struct error error = {0};
    json_t *target = NULL, *now = NULL;
    enum cli_exit exit = check_strategy(cli, rollback_target_find(name), strategy);
    if (exit != CLI_DONE)
        return exit;
    if (rollback_targets(name, &target, &error) != ERROR_OK)
        return cli_fail(cli, CLI_USAGE, "%s", error.message);
    if (resource)
        exit = ask_preview(cli, name, resource, strategy, &now);
    if (cli->json) {
        if (now)
            json_object_update(target, now);
        json_print(cli, target);
    } else {
        print_target(cli, target);
        if (now) {
            fputs("\nNow:\n", cli->out);
            object_print(cli, now);
        }
    }
    json_decref(now);
    json_decref(target);
    return exit;
}

/* What the answers are about: the plan's id, or the word itself where there is no plan. */
static const char *plan_of(struct cli *cli, const char *resource)
{
    return arena_text(&cli->arena, resource, strcspn(resource, "/"));
}

static enum cli_exit execute(struct cli *cli, const char *target, const char *resource, const char *strategy)
{
    json_t *answer = NULL;
    json_t *body =
        json_pack("{s:s, s:s, s:s, s:s, s:s*}", "target", target, "resource", resource, "strategy", strategy,
                  "reason", cli_value(cli, "reason"), "preview_token", cli_value(cli, "preview-token"));
    struct client *client = cli_client(cli);
    if (client && strcmp(target, "ha_leader_resign") == 0 && !cli_typed(cli, "timeout"))
        client->timeout_ms = CLI_FAILOVER_MS;
    enum cli_exit exit = client ? cli_call(cli, "POST", "/v1/rollback/execute", body, &answer) : CLI_USAGE;
    json_decref(body);
    bool failed = json_is_false(json_object_get(answer, "success")); /* the leader didn't change */
    exit = answer_print(cli, exit, answer);
    return exit == CLI_DONE && failed ? CLI_FAILED : exit;
}

enum cli_exit run_rollback_execute(struct cli *cli)
{
    const struct rollback_target *target = rollback_target_find(cli_value(cli, "target"));
    const char *resource = cli_value(cli, "resource");
    if (!target->orchestrated) {
        (void)cli_fail(cli, CLI_FAILED, "%s is not orchestrated; nothing was changed", target->target);
        hint_say(cli, "by hand: %s", target->manual_path);
        return CLI_FAILED;
    }
    enum cli_exit exit = check_strategy(cli, target, cli_value(cli, "strategy"));
    if (exit != CLI_DONE)
        return exit;
    if (!resource && strcmp(target->target, "ha_leader_resign") == 0)
        resource = "current";
    if (!resource)
        return cli_fail(cli, CLI_USAGE, "--resource is required: --resource %s", target->resource);
    const struct rollback_strategy *strategy = rollback_strategy_find(target, cli_value(cli, "strategy"));
    if (cli_on(cli, "dry-run"))
        return rollback_show_preview(cli, target->target, resource, strategy->name);
    if (strategy->safety_class == SAFETY_TERMINAL) {
        const char *plan_id = plan_of(cli, resource);
        exit = confirm(cli,
                       arena_printf(&cli->arena, "runs \"%s\" on \"%s\" for good: it %s", strategy->name,
                                    resource, strategy->effect),
                       plan_id);
        if (exit != CLI_DONE)
            return exit;
    }
    return execute(cli, target->target, resource, strategy->name);
}
