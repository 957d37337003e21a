/* `autonomy kill-switch`. */
#include <jansson.h>
#include <string.h>

#include "tools/autonomy/output.h"

static const char *switch_path(struct cli *cli, const char *rest)
{
    return arena_printf(&cli->arena, "/v1/kill-switches/%s%s", cli_escape(cli, cli->positional[0]), rest);
}

static enum cli_exit send(struct cli *cli, const char *method, const char *rest, json_t *body)
{
    json_t *answer = NULL;
    enum cli_exit exit = cli_call(cli, method, switch_path(cli, rest), body, &answer);
    json_decref(body);
    return answer_print(cli, exit, answer);
}

/* What a switch holds: "all", "prefix CART_", or its flags. */
static const char *scope_of(struct cli *cli, const json_t *item)
{
    if (json_is_true(json_object_get(item, "all")))
        return "all flags";
    const char *prefix = member_text(cli, item, "prefix");
    return *prefix ? arena_printf(&cli->arena, "prefix %s", prefix) : member_text(cli, item, "flags");
}

enum cli_exit run_switch_list(struct cli *cli)
{
    static const char *const names[] = {"NAME", "ACTIVE", "HOLDS", "REASON", "ACTOR", "ACTIVATED", NULL};
    static const char *const members[] = {"reason", "activated_by", "activated_at"};
    json_t *switches = NULL;
    const char *path = cli_query(cli, "/v1/kill-switches", "consistency", cli_value(cli, "consistency"));
    enum cli_exit exit = cli_list(cli, path, 0, &switches);
    if (exit == CLI_DONE && cli->json)
        json_print(cli, switches);
    else if (exit == CLI_DONE) {
        struct table table;
        size_t i;
        json_t *item;
        table_begin(&table, cli, names);
        json_array_foreach(switches, i, item)
        {
            table_cell(&table, member_text(cli, item, "name"));
            table_cell(&table, member_text(cli, item, "active"));
            table_cell(&table, scope_of(cli, item));
            for (size_t m = 0; m < sizeof members / sizeof members[0]; m++)
                table_cell(&table, member_text(cli, item, members[m]));
        }
        table_print(&table, "no kill switches");
    }
    json_decref(switches);
    return exit;
}

enum cli_exit run_switch_activate(struct cli *cli)
{
    return send(cli, "POST", "/activate", json_pack("{s:s}", "reason", cli_value(cli, "reason")));
}

enum cli_exit run_switch_reset(struct cli *cli)
{
    json_t *body = json_pack("{s:s, s:s, s:s}", "reason", cli_value(cli, "reason"), "approver",
                             cli_value(cli, "approver"), "root_cause", cli_value(cli, "root-cause"));
    if (cli_on(cli, "force"))
        json_object_set_new(body, "force", json_true());
    return send(cli, "POST", "/reset", body);
}

enum cli_exit run_switch_define(struct cli *cli)
{
    const char *flags = cli_value(cli, "flags"), *prefix = cli_value(cli, "prefix");
    bool all = cli_on(cli, "all");
    if ((flags != NULL) + (prefix != NULL) + all != 1)
        return cli_fail(cli, CLI_USAGE,
                        "say what it holds: one of --flags KEY,KEY, --prefix PREFIX and --all");
    json_t *body = json_pack("{s:s*, s:s*}", "description", cli_value(cli, "description"), "reason",
                             cli_value(cli, "reason"));
    if (flags)
        json_object_set_new(body, "flags", cli_split(flags));
    else if (prefix)
        json_object_set_new(body, "prefix", json_string(prefix));
    else
        json_object_set_new(body, "all", json_true());
    return send(cli, "PUT", "", body);
}
