/* `rollout plan create`: a file's plan, flags on top of it. What a plan may hold is the server's business. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "tools/autonomy/output.h"
#include "tools/autonomy/yaml.h"

static enum cli_exit bad_stage(struct cli *cli, const char *spec, const char *part)
{
    return cli_fail(
        cli, CLI_USAGE,
        "--stage %s: \"%s\" isn't understood; ID:TARGET[:GATE]... where TARGET is 5%%, label=KEY=VALUE or "
        "nodes=A,B and GATE is soak=10m, success=95, manual or health",
        spec, part);
}

/* "5%", "label=site=lab" (more labels after commas), "nodes=edge-1,edge-2" */
static json_t *stage_target(struct cli *cli, const char *text)
{
    size_t length = strlen(text);
    uint64_t percent = 0;
    if (length > 1 && text[length - 1] == '%' &&
        parse_u64(arena_text(&cli->arena, text, length - 1), 100, &percent))
        return json_pack("{s:I}", "percent", (json_int_t)percent);
    if (strncmp(text, "nodes=", 6) == 0 && text[6])
        return json_pack("{s:o}", "nodes", cli_split(text + 6));
    if (strncmp(text, "label=", 6) != 0)
        return NULL;
    json_t *labels = json_object();
    for (const char *at = text + 6; *at;) {
        size_t pair = strcspn(at, ","), key = strcspn(at, "=");
        if (key == 0 || key >= pair) {
            json_decref(labels);
            return NULL;
        }
        json_object_setn_new(labels, at, key, json_stringn(at + key + 1, pair - key - 1));
        at += pair + (at[pair] == ',' ? 1 : 0);
    }
    return json_pack("{s:o}", "labels", labels);
}

static json_t *stage_gate(const char *text)
{
    uint64_t number = 0;
    if (strcmp(text, "manual") == 0 || strcmp(text, "health") == 0)
        return json_pack("{s:s}", "kind", text);
    if (strncmp(text, "soak=", 5) == 0 && parse_duration_ms(text + 5, &number))
        return json_pack("{s:s, s:I}", "kind", "time_soak", "seconds", (json_int_t)((number + 999) / 1000));
    if (strncmp(text, "success=", 8) == 0 && parse_u64(text + 8, 100, &number))
        return json_pack("{s:s, s:I}", "kind", "success_ratio", "min_percent", (json_int_t)number);
    return NULL;
}

static enum cli_exit parse_stage(struct cli *cli, const char *spec, json_t *stages)
{
    json_t *stage = json_object(), *gates = json_array();
    uint32_t part = 0;
    enum cli_exit exit = CLI_DONE;
    for (const char *at = spec; exit == CLI_DONE; part++) {
        size_t length = strcspn(at, ":");
        const char *text = arena_text(&cli->arena, at, length);
        if (part == 0)
            json_object_set_new(stage, "stage_id", json_string(text));
        else if (part == 1) {
            json_t *target = stage_target(cli, text);
            exit = target ? CLI_DONE : bad_stage(cli, spec, text);
            json_object_set_new(stage, "target", target);
        } else {
            json_t *gate = stage_gate(text);
            exit = gate ? CLI_DONE : bad_stage(cli, spec, text);
            json_array_append_new(gates, gate);
        }
        if (at[length] == '\0')
            break;
        at += length + 1;
    }
    if (exit == CLI_DONE && part < 1)
        exit = bad_stage(cli, spec, spec);
    if (json_array_size(gates) > 0)
        json_object_set(stage, "gates", gates);
    json_decref(gates);
    json_array_append_new(stages, stage);
    return exit;
}

static void put_text(struct cli *cli, json_t *object, const char *member, const char *flag)
{
    const char *value = cli_value(cli, flag);
    if (value)
        json_object_set_new(object, member, json_string(value));
}

static void put_artifact(struct cli *cli, json_t *plan)
{
    static const struct {
        const char *member, *flag;
    } rows[] = {{"name", "artifact"},
                {"version", "artifact-version"},
                {"url", "artifact-url"},
                {"sha256", "artifact-sha256"},
                {"previous_version", "previous-version"}};
    json_t *artifact = json_object_get(plan, "artifact");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!cli_value(cli, rows[i].flag))
            continue;
        if (!json_is_object(artifact)) {
            artifact = json_object();
            json_object_set_new(plan, "artifact", artifact);
        }
        put_text(cli, artifact, rows[i].member, rows[i].flag);
    }
}

static enum cli_exit put_stages(struct cli *cli, json_t *plan)
{
    if (!cli_typed(cli, "stage"))
        return CLI_DONE;
    json_t *stages = json_array();
    json_object_set_new(plan, "stages", stages);
    for (uint32_t i = 0; i < cli->given_count; i++) {
        if (strcmp(cli->given[i].flag->name, "stage") != 0)
            continue;
        enum cli_exit exit = parse_stage(cli, cli->given[i].value, stages);
        if (exit != CLI_DONE)
            return exit;
    }
    return CLI_DONE;
}

static enum cli_exit read_plan(struct cli *cli, json_t **plan)
{
    const char *file = cli_value(cli, "file");
    struct error error = {0};
    if (!file) {
        *plan = json_object();
        return CLI_DONE;
    }
    if (yaml_read_file(file, plan, &error) != ERROR_OK)
        return cli_fail(cli, CLI_USAGE, "%s", error.message);
    if (json_is_object(*plan))
        return CLI_DONE;
    json_decref(*plan);
    return cli_fail(cli, CLI_USAGE, "%s holds no plan: a mapping with artifact and stages is expected", file);
}

/* Without a file and without --stage: everybody, and done when somebody says so. A stage without gates would
 * be over at once. */
static void put_default_stage(struct cli *cli, json_t *plan)
{
    if (cli_value(cli, "file") || json_object_get(plan, "stages"))
        return;
    json_object_set_new(plan, "stages",
                        json_pack("[{s:s, s:{s:i}, s:[{s:s}]}]", "stage_id", "all", "target", "percent", 100,
                                  "gates", "kind", "manual"));
}

static enum cli_exit check_plan(struct cli *cli, const json_t *plan)
{
    if (json_object_get(plan, "artifact") && json_object_get(plan, "stages"))
        return CLI_DONE;
    return cli_fail(
        cli, CLI_USAGE,
        "a plan needs an artifact and stages: -f FILE, or --artifact, --artifact-version and --stage\n"
        "example: autonomy rollout plan create --artifact checkout --artifact-version 2.4.1 "
        "--stage canary:5%%:soak=10m --stage all:100%%");
}

static void print_created(struct cli *cli, const json_t *plan)
{
    object_print(cli, plan);
    if (strcmp(member_text(cli, plan, "phase"), "draft") == 0)
        fprintf(cli->err, "a draft does nothing yet: autonomy rollout plan publish --plan-id %s\n",
                member_text(cli, plan, "plan_id"));
}

enum cli_exit run_plan_create(struct cli *cli)
{
    json_t *plan = NULL, *answer = NULL;
    enum cli_exit exit = read_plan(cli, &plan);
    if (exit != CLI_DONE)
        return exit;
    put_artifact(cli, plan);
    put_text(cli, plan, "plan_id", "plan-id");
    put_text(cli, plan, "start_at", "start-at");
    put_text(cli, plan, "reason", "reason");
    exit = put_stages(cli, plan);
    put_default_stage(cli, plan);
    if (exit == CLI_DONE)
        exit = check_plan(cli, plan);
    if (exit == CLI_DONE)
        exit = cli_call(cli, "POST", cli_on(cli, "publish") ? "/v1/rollouts?publish=true" : "/v1/rollouts",
                        plan, &answer);
    if (exit == CLI_DONE && cli->json)
        json_print(cli, answer);
    else if (exit == CLI_DONE)
        print_created(cli, answer);
    json_decref(answer);
    json_decref(plan);
    return exit;
}
