#include "tools/autonomy/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/autonomy/client.h"
#include "tools/autonomy/hints.h"
#include "tools/autonomy/output.h"
#include "tools/autonomy/screen.h"
#include "tools/autonomy/watch.h"

static void prepare_output(struct cli *cli)
{
    const struct flag *flag = command_flag(cli->command, "output", 0);
    const char *no_colour = getenv("NO_COLOR");
    cli->json = flag && flag->type == FLAG_CHOICE && strcmp(cli_value(cli, "output"), "json") == 0;
    cli->colour = screen_able(cli->out) && !(no_colour && *no_colour);
}

static enum cli_exit check_operator(struct cli *cli)
{
    const char *principal = cli_value(cli, "operator");
    if (!cli->command->needs_operator || (principal && *principal))
        return CLI_DONE;
    return cli_fail(
        cli, CLI_USAGE,
        "\"autonomy %s\" needs to know who acts: --operator you@example.com, or set AUTONOMY_OPERATOR",
        cli->command->path);
}

static enum cli_exit run(struct cli *cli)
{
    bool help = false;
    const char *only = cli->argument_count == 1 ? cli->arguments[0] : "";
    if (strcmp(only, "--help-markdown") == 0 || strcmp(only, "--help-man") == 0) {
        (strcmp(only, "--help-man") == 0 ? man_print : help_markdown)(cli->out);
        return CLI_DONE;
    }
    if (cli->argument_count == 2 && strcmp(cli->arguments[0], "--help-man") == 0) {
        struct error error = {0};
        return man_write(&cli->arena, cli->arguments[1], &error) == ERROR_OK
                   ? CLI_DONE
                   : cli_fail(cli, CLI_FAILED, "%s", error.message);
    }
    if (cli->argument_count >= 3 && strcmp(cli->arguments[0], "--complete") == 0)
        return complete(cli);
    if (cli->argument_count > 0 && strcmp(cli->arguments[0], "help") == 0) {
        /* "help rollout plan" is "rollout plan --help" */
        memmove(cli->arguments, cli->arguments + 1, (cli->argument_count - 1) * sizeof *cli->arguments);
        cli->arguments[cli->argument_count - 1] = "--help";
    }
    if (strcmp(only, "--version") == 0)
        cli->arguments[0] = "version";
    enum cli_exit exit = args_parse(cli, &help);
    if (exit != CLI_DONE || help)
        return exit;
    prepare_output(cli);
    progress_init(&cli->progress, cli->err);
    exit = check_operator(cli);
    if (exit == CLI_DONE)
        exit = cli_typed(cli, "watch") ? watch_run(cli) : cli->command->run(cli);
    progress_wipe(&cli->progress);
    return exit;
}

int cli_run(int argc, char **argv, FILE *out, FILE *err)
{
    struct cli *cli = calloc(1, sizeof *cli);
    if (!cli || argc < 1 || argc > (int)CLI_ARGUMENTS_MAX) {
        free(cli);
        fprintf(err, "autonomy: more than %u arguments\n", CLI_ARGUMENTS_MAX);
        return CLI_USAGE;
    }
    arena_init(&cli->arena, CLI_MEMORY_MAX);
    cli->out = out;
    cli->err = err;
    cli->arguments = arena_new(&cli->arena, (size_t)argc * sizeof *cli->arguments);
    cli->argument_count = args_fold(&cli->arena, (uint32_t)argc - 1, argv + 1, cli->arguments);
    enum cli_exit exit = run(cli);
    hint_default(cli, exit);
    /* A full disk behind `> file` is a failure, not a short file. A reader that has left (`| head`) is none.
     */
    if (fflush(out) != 0 && errno != EPIPE && exit == CLI_DONE) {
        exit = cli_fail(cli, CLI_FAILED, "the output can't be written: %s", strerror(errno));
        hint_say(cli, "make room where it goes (df -h .), and repeat the command");
    }
    if (cli->client)
        client_done(cli->client);
    arena_done(&cli->arena);
    free(cli);
    return (int)exit;
}
