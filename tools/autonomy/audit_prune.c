/* `autonomy audit prune`: shows what would go, asks, and prunes exactly that. */
#include <jansson.h>
#include <string.h>

#include "tools/autonomy/audit_internal.h"
#include "tools/autonomy/output.h"

static const char *const selectors[][2] = {
    {"before", "before"}, {"keep-days", "keep_days"}, {"before-seq", "before_seq"}};

/* What the server says would go. */
static enum cli_exit ask(struct cli *cli, json_t **out)
{
    const char *path = "/v1/audit/prune";
    uint32_t given = 0;
    for (size_t i = 0; i < sizeof selectors / sizeof selectors[0]; i++) {
        const char *value = cli_typed(cli, selectors[i][0]);
        given += value != NULL;
        path = cli_query(cli, path, selectors[i][1], value);
    }
    if (given != 1)
        return cli_fail(cli, CLI_USAGE,
                        "exactly one of --before, --keep-days and --before-seq says what goes");
    return cli_call(cli, "GET", path, NULL, out);
}

static void print_plan(struct cli *cli, const json_t *plan)
{
    if (json_integer_value(json_object_get(plan, "pruned")) == 0)
        fprintf(cli->out, "nothing to prune: the trail begins with record %s\n",
                member_text(cli, plan, "first_seq"));
    else
        fprintf(cli->out, "%s records would go, up to record %s of %s\n", member_text(cli, plan, "pruned"),
                member_text(cli, plan, "anchor_seq"), member_text(cli, plan, "anchor_time"));
    if (*member_text(cli, plan, "held_by"))
        fprintf(cli->out, "later ones stay: %s\n", member_text(cli, plan, "held_by"));
}

/* By the seq that was shown: what was confirmed is what goes, whatever was committed meanwhile. */
static enum cli_exit prune(struct cli *cli, const json_t *plan)
{
    json_t *answer = NULL;
    json_t *body = json_pack("{s:O, s:s}", "before_seq", json_object_get(plan, "first_seq"), "reason",
                             cli_value(cli, "reason"));
    const enum cli_exit exit = cli_call(cli, "POST", "/v1/audit/prune", body, &answer);
    json_decref(body);
    return answer_print(cli, exit, answer);
}

enum cli_exit run_audit_prune(struct cli *cli)
{
    json_t *plan = NULL;
    enum cli_exit exit = ask(cli, &plan);
    if (exit != CLI_DONE)
        return exit;
    const bool nothing = json_integer_value(json_object_get(plan, "pruned")) == 0;
    if (nothing || cli_on(cli, "dry-run")) {
        if (cli->json)
            json_print(cli, plan);
        else
            print_plan(cli, plan);
        json_decref(plan);
        return CLI_DONE;
    }
    exit = confirm(cli,
                   arena_printf(&cli->arena,
                                "deletes %s audit records for good, up to record %s of %s, from every node",
                                member_text(cli, plan, "pruned"), member_text(cli, plan, "anchor_seq"),
                                member_text(cli, plan, "anchor_time")),
                   "prune");
    if (exit == CLI_DONE)
        exit = prune(cli, plan);
    json_decref(plan);
    return exit;
}
