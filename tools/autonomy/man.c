/* The manual pages, printed from the command table: autonomy(1) for what all commands share, and one page for
 * each first word, autonomy-rollout(1), as `man autonomy rollout` looks for it. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tools/autonomy/cli.h"

/* Text for roff: backslashes, dashes and typewriter marks are escaped, and no line begins with a control
 * character. */
static void roff_text(FILE *out, const char *text)
{
    for (const char *at = text; *at; at++) {
        bool first = at == text || at[-1] == '\n';
        if (*at == '\\')
            fputs("\\e", out);
        else if (*at == '-')
            fputs("\\-", out);
        else if (*at == '~')
            fputs("\\(ti", out);
        else if (*at == '\'')
            fputs("\\(aq", out);
        else if (*at == '`')
            fputs("\\(ga", out);
        else if (*at == '^')
            fputs("\\(ha", out);
        else if (first && (*at == '.' || *at == ' '))
            fprintf(out, "\\&%c", *at);
        else
            fputc(*at, out);
    }
}

/* What a help function prints, as roff. */
static void roff_printed(FILE *out, void (*print)(FILE *, const struct command *, const struct flag *),
                         const struct command *command, const struct flag *flag)
{
    char *text = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&text, &length);
    CHECK(memory, "out of memory");
    print(memory, command, flag);
    CHECK(fclose(memory) == 0, "out of memory");
    while (length > 0 && text[length - 1] == '\n')
        text[--length] = '\0';
    roff_text(out, text);
    free(text);
}

static void print_synopsis(FILE *out, const struct command *command, const struct flag *flag)
{
    (void)flag;
    help_synopsis(out, command);
}

static void roff_code(FILE *out, const char *text)
{
    fputs(".PP\n.nf\n.RS 4\n", out);
    roff_text(out, text);
    fputs("\n.RE\n.fi\n", out);
}

static void roff_command(FILE *out, const struct command *command)
{
    const struct flag *flag;
    char head[128];
    fprintf(out, ".SS %s\n", command->path);
    fputs(".nf\n", out);
    roff_printed(out, print_synopsis, command, NULL);
    fputs("\n.fi\n.PP\n", out);
    roff_text(out, command->summary);
    fputs(".\n", out);
    if (command->detail) {
        roff_text(out, command->detail);
        fputc('\n', out);
    }
    for (uint32_t i = 0; (flag = command_flag_at(command, i)); i++) {
        (void)help_flag_head(head, sizeof head, flag);
        fputs(".TP\n.B ", out);
        roff_text(out, head);
        fputc('\n', out);
        roff_text(out, flag->help);
        roff_printed(out, help_notes, command, flag);
        fputc('\n', out);
    }
    fputs(".PP\nExample:\n", out);
    roff_code(out, command->example);
}

/* --- what the pages share --- */

static void print_head(FILE *out, const char *name, const char *summary)
{
    fputs(".TH ", out);
    for (const char *at = name; *at; at++) {
        if (*at == '-')
            fputs("\\-", out);
        else
            fputc(toupper((unsigned char)*at), out);
    }
    fputs(" 1 \"\" \"autonomy " AUTONOMY_VERSION "\" \"User Commands\"\n.SH NAME\n", out);
    roff_text(out, name);
    fprintf(out, " \\- %c", tolower((unsigned char)summary[0]));
    roff_text(out, summary + 1);
    fputc('\n', out);
}

static const char exit_status[] =
    ".SH EXIT STATUS\n"
    ".TP\n0\ndone\n"
    ".TP\n1\nrefused or failed; the sentence is on standard error\n"
    ".TP\n2\nwrong usage; nothing was sent\n"
    ".TP\n3\nno server reachable\n"
    ".TP\n4\nnot authorised\n"
    ".TP\n5\noutcome unknown; standard error has the request id and the command to repeat, which is safe\n"
    ".TP\n130\ninterrupted; standard error says what was done by then\n";

static const char environment[] =
    ".SH ENVIRONMENT\n"
    ".TP\n.B AUTONOMY_ORCHESTRATOR_URL\nthe node to ask, or several, comma\\-separated\n"
    ".TP\n.B AUTONOMY_ORCHESTRATOR_FALLBACK_URLS\nnodes to go on with when it doesn\\(aqt answer\n"
    ".TP\n.B AUTONOMY_OPERATOR\nwho acts\n"
    ".TP\n.B AUTONOMY_ASSUME_YES\n1: terminal actions don\\(aqt ask\n"
    ".TP\n.B NO_COLOR\nset: no colour on terminals\n"
    ".SH FILES\n"
    ".TP\n.I \\(ti/.config/autonomy/config.yaml\nsettings, written by autonomy config set\n"
    ".TP\n.I \\(ti/.cache/autonomy/members\nthe members seen last\n";

/* --- first words --- */

static size_t word_length(const struct command *command)
{
    return strcspn(command->path, " ");
}

/* True for the first command of its first word. */
static bool opens_word(uint32_t row)
{
    size_t length = word_length(&command_table[row]);
    for (uint32_t i = 0; i < row; i++)
        if (word_length(&command_table[i]) == length &&
            strncmp(command_table[i].path, command_table[row].path, length) == 0)
            return false;
    return true;
}

static const char *word_summary(uint32_t row)
{
    const char *path = command_table[row].path;
    size_t length = word_length(&command_table[row]);
    for (const struct command_group *group = command_groups; group->word; group++)
        if (strlen(group->word) == length && strncmp(group->word, path, length) == 0)
            return group->summary;
    return command_table[row].summary;
}

static bool of_word(const struct command *command, const char *word)
{
    return strcmp(command->path, word) == 0 || help_in_group(command->path, word);
}

static void print_word(FILE *out, const char *name, uint32_t row)
{
    const char *word = name + strlen("autonomy-");
    print_head(out, name, word_summary(row));
    fputs(".SH SYNOPSIS\n.nf\n", out);
    for (uint32_t i = row; i < command_count; i++) {
        if (!of_word(&command_table[i], word))
            continue;
        roff_printed(out, print_synopsis, &command_table[i], NULL);
        fputc('\n', out);
    }
    fputs(".fi\n.SH COMMANDS\n", out);
    for (uint32_t i = row; i < command_count; i++)
        if (of_word(&command_table[i], word))
            roff_command(out, &command_table[i]);
    fputs(exit_status, out);
    fputs(".SH SEE ALSO\n.BR autonomy (1),\n.BR autonomyd (8)\n", out);
}

/* ".BR autonomy\-rollout (1)" with what follows it */
static void print_reference(FILE *out, const struct command *command, const char *after)
{
    fputs(".BR autonomy\\-", out);
    for (size_t i = 0; i < word_length(command); i++)
        fprintf(out, "%s%c", command->path[i] == '-' ? "\\" : "", command->path[i]);
    fprintf(out, " (1)%s\n", after);
}

static void print_commands(FILE *out)
{
    for (uint32_t i = 0; i < command_count; i++) {
        const struct command *command = &command_table[i];
        if (opens_word(i)) {
            fprintf(out, ".SS %.*s\n", (int)word_length(command), command->path);
            roff_text(out, word_summary(i));
            fputs(";\nsee\n", out);
            print_reference(out, command, ".");
        }
        fputs(".TP\n.B ", out);
        roff_text(out, command->path);
        fputc('\n', out);
        roff_text(out, command->summary);
        fputc('\n', out);
    }
}

void man_print(FILE *out)
{
    print_head(out, "autonomy", "The control plane's command line");
    fputs(".SH SYNOPSIS\n.B autonomy\n.I COMMAND\n[\\fIflags\\fR]\n"
          ".SH DESCRIPTION\nAny node takes any command. Which one is asked, who acts and how long a command "
          "tries is said by flags, the environment, and \\(ti/.config/autonomy/config.yaml, in this order.\n"
          "When the node that was named doesn\\(aqt answer, the command goes on with the others it knows, "
          "under the same request id.\n.PP\n"
          ".B autonomy\n.I COMMAND\n.B \\-\\-help\nprints a command\\(aqs flags and an example.\n"
          ".SH COMMANDS\n",
          out);
    print_commands(out);
    fputs(exit_status, out);
    fputs(environment, out);
    fputs(".SH SEE ALSO\n", out);
    for (uint32_t i = 0; i < command_count; i++)
        if (opens_word(i))
            print_reference(out, &command_table[i], ",");
    fputs(".BR autonomyd (8)\n", out);
}

/* --- files --- */

static enum error_code write_page(struct arena *arena, const char *folder, const char *name, uint32_t row,
                                  struct error *error)
{
    const char *path = arena_printf(arena, "%s/%s.1", folder, name);
    FILE *out = fopen(path, "we");
    if (!out)
        return error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
    if (row == UINT32_MAX)
        man_print(out);
    else
        print_word(out, name, row);
    bool written = !ferror(out);
    written = fclose(out) == 0 && written;
    return written ? ERROR_OK : error_set(error, ERROR_IO, "%s: it can't be written", path);
}

enum error_code man_write(struct arena *arena, const char *folder, struct error *error)
{
    enum error_code code = write_page(arena, folder, "autonomy", UINT32_MAX, error);
    for (uint32_t i = 0; i < command_count && code == ERROR_OK; i++) {
        if (!opens_word(i))
            continue;
        const char *name =
            arena_printf(arena, "autonomy-%.*s", (int)word_length(&command_table[i]), command_table[i].path);
        code = write_page(arena, folder, name, i, error);
    }
    return code;
}
