/* Shell completion, printed from the command table: words of commands, then flags, then the choices of a
 * flag. */
#include <string.h>

#include "tools/autonomy/cli.h"

/* Calls `visit` with every distinct prefix of a command path that has something below it, and what stands
 * below it. */
static void print_words(FILE *out, const char *group)
{
    const char *last = "";
    size_t last_length = 0, length = strlen(group);
    for (uint32_t i = 0; i < command_count; i++) {
        const char *path = command_table[i].path;
        if (length > 0 && (strncmp(path, group, length) != 0 || path[length] != ' '))
            continue;
        const char *word = path + length + (length > 0 ? 1 : 0);
        size_t word_length = strcspn(word, " ");
        if (word_length == last_length && strncmp(word, last, word_length) == 0)
            continue;
        fprintf(out, "%s%.*s", last_length ? " " : "", (int)word_length, word);
        last = word;
        last_length = word_length;
    }
}

static bool group_seen(uint32_t row, size_t length)
{
    for (uint32_t i = 0; i < row; i++)
        if (strncmp(command_table[i].path, command_table[row].path, length) == 0 &&
            command_table[i].path[length] == ' ')
            return true;
    return false;
}

/* Runs over all groups: "rollout", "rollout plan", ... each once. */
static void each_group(FILE *out, void (*print)(FILE *out, const char *group))
{
    for (uint32_t i = 0; i < command_count; i++) {
        const char *path = command_table[i].path;
        for (const char *blank = strchr(path, ' '); blank; blank = strchr(blank + 1, ' ')) {
            size_t length = (size_t)(blank - path);
            char group[64];
            if (group_seen(i, length) || length >= sizeof group)
                continue;
            memcpy(group, path, length);
            group[length] = '\0';
            print(out, group);
        }
    }
}

static void print_flags(FILE *out, const struct command *command)
{
    const struct flag *flag;
    for (uint32_t i = 0; (flag = command_flag_at(command, i)); i++)
        fprintf(out, "--%s ", flag->name);
    fputs("--help", out);
}

static void bash_group(FILE *out, const char *group)
{
    fprintf(out, "    \"%s\") words=\"", group);
    print_words(out, group);
    fputs("\" ;;\n", out);
}

/* The body of bash's function; zsh runs it through bashcompinit. */
static void bash_script(FILE *out)
{
    fputs("_autonomy() {\n"
          "  local current=\"${COMP_WORDS[COMP_CWORD]}\" previous=\"${COMP_WORDS[COMP_CWORD-1]}\" path=\"\" "
          "words=\"\" i\n"
          "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "    case \"${COMP_WORDS[i]}\" in -*) break ;; esac\n"
          "    path=\"${path:+$path }${COMP_WORDS[i]}\"\n"
          "  done\n"
          "  case \"$path $previous\" in\n",
          out);
    for (uint32_t c = 0; c < command_count; c++) {
        const struct flag *flag;
        for (uint32_t i = 0; (flag = command_flag_at(&command_table[c], i)); i++) {
            if (!flag->choices)
                continue;
            fprintf(out, "    \"%s --%s\") words=\"", command_table[c].path, flag->name);
            for (const char *at = flag->choices; *at; at++)
                fputc(*at == '|' ? ' ' : *at, out);
            fputs("\" ;;\n", out);
        }
    }
    fputs("  esac\n"
          "  if [ -n \"$words\" ]; then COMPREPLY=($(compgen -W \"$words\" -- \"$current\")); return; fi\n"
          "  case \"$path\" in\n    \"\") words=\"",
          out);
    print_words(out, "");
    fputs("\" ;;\n", out);
    each_group(out, bash_group);
    for (uint32_t c = 0; c < command_count; c++) {
        fprintf(out, "    \"%s\"*) words=\"", command_table[c].path);
        print_flags(out, &command_table[c]);
        fputs("\" ;;\n", out);
    }
    fputs("  esac\n"
          "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
          "}\n"
          "complete -o default -F _autonomy autonomy\n",
          out);
}

static void fish_group(FILE *out, const char *group)
{
    fprintf(out, "complete -c autonomy -n '__autonomy_at \"%s\"' -f -a '", group);
    print_words(out, group);
    fputs("'\n", out);
}

static void fish_script(FILE *out)
{
    fputs("function __autonomy_at\n"
          "  set -l words (commandline -opc)\n"
          "  set -e words[1]\n"
          "  test \"$words\" = \"$argv[1]\"\n"
          "end\n"
          "function __autonomy_in\n"
          "  set -l words (commandline -opc)\n"
          "  set -e words[1]\n"
          "  string match -q -- \"$argv[1]*\" \"$words\"\n"
          "end\n"
          "complete -c autonomy -n '__autonomy_at \"\"' -f -a '",
          out);
    print_words(out, "");
    fputs("'\n", out);
    each_group(out, fish_group);
    for (uint32_t c = 0; c < command_count; c++) {
        const struct flag *flag;
        for (uint32_t i = 0; (flag = command_flag_at(&command_table[c], i)); i++) {
            fprintf(out, "complete -c autonomy -n '__autonomy_in \"%s\"' -l %s", command_table[c].path,
                    flag->name);
            if (flag->letter)
                fprintf(out, " -s %c", flag->letter);
            if (flag->choices) {
                fputs(" -x -a '", out);
                for (const char *at = flag->choices; *at; at++)
                    fputc(*at == '|' ? ' ' : *at, out);
                fputc('\'', out);
            } else if (flag->type != FLAG_SWITCH)
                fputs(flag->type == FLAG_PATH ? " -r -F" : " -x", out);
            fputc('\n', out);
        }
    }
}

enum cli_exit run_completion(struct cli *cli)
{
    const char *shell = cli->positional[0];
    if (strcmp(shell, "bash") == 0)
        bash_script(cli->out);
    else if (strcmp(shell, "zsh") == 0) {
        fputs("#compdef autonomy\nautoload -U +X bashcompinit && bashcompinit\n", cli->out);
        bash_script(cli->out);
    } else if (strcmp(shell, "fish") == 0)
        fish_script(cli->out);
    else
        return cli_fail(cli, CLI_USAGE, "there is completion for bash, zsh and fish, not for \"%s\"", shell);
    return CLI_DONE;
}
