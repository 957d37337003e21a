/* What the command table says, for people: help on every level, and the reference page. */
#include <stdarg.h>
#include <string.h>

#include "base/check.h"
#include "tools/autonomy/cli.h"

#define EXIT_CODES                                                                                           \
    "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no server reachable, 4 not authorised,\n"     \
    "5 outcome unknown (with the request id; repeating under it is safe), 130 interrupted."

enum cli_exit cli_fail(struct cli *cli, enum cli_exit code, const char *format, ...)
{
    va_list arguments;
    progress_wipe(&cli->progress);
    va_start(arguments, format);
    fputs("autonomy: ", cli->err);
    vfprintf(cli->err, format, arguments);
    fputc('\n', cli->err);
    va_end(arguments);
    return code;
}

void help_synopsis(FILE *out, const struct command *command)
{
    const struct flag *flag;
    fprintf(out, "autonomy %s", command->path);
    if (command->positional)
        fprintf(out, " %s", command->positional);
    bool more = false;
    for (uint32_t i = 0; (flag = command_flag_at(command, i)); i++) {
        if (flag->required)
            fprintf(out, " --%s %s", flag->name, flag->value);
        else
            more = true;
    }
    fputs(more ? " [flags]\n" : "\n", out);
}

/* "choices; default X; or set ENV": what a flag's row says beyond its help. */
void help_notes(FILE *out, const struct command *command, const struct flag *flag)
{
    if (flag->choices)
        fprintf(out, "; one of %s", flag->choices);
    if (flag->repeat)
        fputs("; may be repeated", out);
    if (flag->fallback && strcmp(flag->fallback, "0") != 0)
        fprintf(out, "; default %s", flag->fallback);
    if (flag->env)
        fprintf(out, "; or set %s", flag->env);
    if (flag->required || (command->needs_operator && strcmp(flag->name, "operator") == 0))
        fputs("; required", out);
}

int help_flag_head(char *out, size_t out_bytes, const struct flag *flag)
{
    char letter[8] = "";
    if (flag->letter)
        snprintf(letter, sizeof letter, "-%c, ", flag->letter);
    return snprintf(out, out_bytes, "%s--%s%s%s", letter, flag->name, flag->value ? " " : "",
                    flag->value ? flag->value : "");
}

void help_command(FILE *out, const struct command *command)
{
    const struct flag *flag;
    char head[128];
    fprintf(out, "%s.\n", command->summary);
    if (command->detail)
        fprintf(out, "%s\n", command->detail);
    fputs("\nUsage:\n  ", out);
    help_synopsis(out, command);
    if (command_flag_at(command, 0))
        fputs("\nFlags:\n", out);
    for (uint32_t i = 0; (flag = command_flag_at(command, i)); i++) {
        int width = help_flag_head(head, sizeof head, flag);
        fprintf(out, "  %s%*s%s", head, width < 30 ? 30 - width : 1, "", flag->help);
        help_notes(out, command, flag);
        fputc('\n', out);
    }
    fprintf(out, "\nExample:\n  %s\n", command->example);
}

/* True when `path` lies under `group` ("" holds everything). */
bool help_in_group(const char *path, const char *group)
{
    size_t length = strlen(group);
    return length == 0 || (strncmp(path, group, length) == 0 && path[length] == ' ');
}

void help_group(FILE *out, const char *group)
{
    const struct command *first = NULL;
    if (*group)
        fprintf(out, "Usage:\n  autonomy %s COMMAND [flags]\n\nCommands:\n", group);
    else
        fputs("The control plane's command line.\n\nUsage:\n  autonomy COMMAND [flags]\n\nCommands:\n", out);
    for (uint32_t i = 0; i < command_count; i++) {
        const struct command *command = &command_table[i];
        if (!help_in_group(command->path, group))
            continue;
        first = first ? first : command;
        fprintf(out, "  %-24s  %s\n", command->path, command->summary);
    }
    CHECK(first, "help for a group without commands: %s", group);
    fprintf(out, "\nExample:\n  %s\n", first->example);
    fprintf(out, "\nautonomy %s%sCOMMAND --help says more.\n", group, *group ? " " : "");
    if (!*group)
        fputs(EXIT_CODES "\n", out);
}

const char *help_word(const char *word)
{
    for (const struct command_group *group = command_groups; group->word; group++)
        if (strcmp(group->word, word) == 0)
            return group->summary;
    return "";
}

static void markdown_command(FILE *out, const struct command *command)
{
    const struct flag *flag;
    char head[128];
    fprintf(out, "\n## %s\n%s.", command->path, command->summary);
    if (command->detail)
        fprintf(out, " %s", command->detail);
    fputs("\n\n```\n", out);
    help_synopsis(out, command);
    fputs("```\n", out);
    if (command_flag_at(command, 0))
        fputs("| flag | meaning |\n| --- | --- |\n", out);
    for (uint32_t i = 0; (flag = command_flag_at(command, i)); i++) {
        (void)help_flag_head(head, sizeof head, flag);
        fprintf(out, "| `%s` | %s", head, flag->help);
        for (const char *at = flag->choices; at;) {
            size_t length = strcspn(at, "|");
            fprintf(out, "%s`%.*s`", at == flag->choices ? "; one of " : ", ", (int)length, at);
            at = at[length] ? at + length + 1 : NULL;
        }
        struct flag rest = *flag;
        rest.choices = NULL;
        help_notes(out, command, &rest);
        fputs(" |\n", out);
    }
    fprintf(out, "\nExample: `%s`\n", command->example);
}

void help_markdown(FILE *out)
{
    fputs("# autonomy, the command line\n\n"
          "Printed by `autonomy --help-markdown` from the table that the program itself runs on; a test "
          "compares the two.\n\n"
          "- Which server: `--orchestrator-url` (a comma-separated list, too), then "
          "`AUTONOMY_ORCHESTRATOR_URL`, then\n"
          "  `orchestrator.url` of `~/.config/autonomy/config.yaml`. When it doesn't answer, the command "
          "goes on with\n"
          "  `AUTONOMY_ORCHESTRATOR_FALLBACK_URLS` and with the members it saw last "
          "(`~/.cache/autonomy/members`), under the\n"
          "  same request id, until `--timeout` is over.\n"
          "- Who: `--operator`, then `AUTONOMY_OPERATOR`. Commands that change leadership, kill switches or "
          "end something for\n"
          "  good refuse to start without it.\n"
          "- Terminal actions ask: on a terminal the plan's id has to be typed; elsewhere `--yes` or "
          "`AUTONOMY_ASSUME_YES=1`.\n"
          "- `--flag value` and `--flag=value`, anywhere after the command's words. Typographic dashes and "
          "quotes from a web\n"
          "  page are read as plain ones.\n"
          "- Colour only on a terminal, and never with `NO_COLOR`. Times are RFC 3339, UTC.\n\n"
          "| exit | meaning |\n| --- | --- |\n"
          "| 0 | done |\n| 1 | refused or failed; the sentence is on stderr |\n| 2 | wrong usage; nothing "
          "was sent |\n"
          "| 3 | no server reachable |\n| 4 | not authorised |\n"
          "| 5 | outcome unknown; stderr has the request id and the command to repeat, which is safe |\n"
          "| 130 | interrupted by Ctrl-C or SIGTERM; stderr says what was done by then |\n",
          out);
    for (uint32_t i = 0; i < command_count; i++)
        markdown_command(out, &command_table[i]);
}
