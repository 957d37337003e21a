/* The question before a terminal action.
 *
 * It is read from /dev/tty, not from stdin, so that `... | autonomy ...` and `autonomy ... | jq` still ask a
 * person. Where there is no person, silence is a no. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/autonomy/hints.h"

#define ANSWER_BYTES_MAX 512u

static bool assumed(const struct cli *cli)
{
    const char *environment = getenv("AUTONOMY_ASSUME_YES");
    return cli_on(cli, "yes") || (environment && strcmp(environment, "1") == 0);
}

static FILE *open_terminal(void)
{
    if (!isatty(STDIN_FILENO) && !isatty(STDERR_FILENO))
        return NULL;
    return fopen("/dev/tty", "r+e");
}

static enum cli_exit refused(struct cli *cli, const char *word, const char *sentence)
{
    (void)cli_fail(cli, CLI_FAILED, "%s", sentence);
    hint_say(cli, "repeat the command and type %s, or add --yes", word);
    return CLI_FAILED;
}

static enum cli_exit ask(struct cli *cli, FILE *terminal, const char *effect, const char *word)
{
    char answer[ANSWER_BYTES_MAX];
    fprintf(terminal, "This %s.\nType %s to go on: ", effect, word);
    fflush(terminal);
    bool read = fgets(answer, sizeof answer, terminal) != NULL;
    fclose(terminal);
    if (!read)
        return refused(cli, word, "not confirmed; nothing was changed");
    answer[strcspn(answer, "\r\n")] = '\0';
    if (strcmp(answer, word) == 0)
        return CLI_DONE;
    return refused(cli, word,
                   arena_printf(&cli->arena, "\"%s\" is not \"%s\"; nothing was changed", answer, word));
}

enum cli_exit confirm(struct cli *cli, const char *effect, const char *word)
{
    if (assumed(cli))
        return CLI_DONE;
    FILE *terminal = open_terminal();
    if (terminal)
        return ask(cli, terminal, effect, word);
    (void)cli_fail(cli, CLI_FAILED,
                   "refused: this %s, and there is no terminal to confirm it on; nothing was changed",
                   effect);
    hint_say(cli, "to go on, set AUTONOMY_ASSUME_YES=1, or:\n  %s", cli_repeat(cli, NULL, "--yes"));
    return CLI_FAILED;
}
