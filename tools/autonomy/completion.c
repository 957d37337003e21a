/* Completion scripts for shells. They ask the program what may stand where the cursor is (complete.c), so
 * they never age. */
#include <string.h>

#include "tools/autonomy/cli.h"

static const char bash_script[] =
    "_autonomy() {\n"
    "  local IFS=$'\\n'\n"
    "  COMPREPLY=($(\"${COMP_WORDS[0]}\" --complete bash \"${COMP_LINE:0:COMP_POINT}\" \"$COMP_WORDBREAKS\" "
    "2>/dev/null))\n"
    "  if [ \"${COMPREPLY[0]}\" = \":files\" ]; then\n"
    "    COMPREPLY=()\n"
    "    compopt -o default +o nospace 2>/dev/null\n"
    "  fi\n"
    "}\n"
    "complete -o nospace -F _autonomy autonomy\n";

static const char zsh_script[] =
    "#compdef autonomy\n"
    "_autonomy() {\n"
    "  local -a closed open\n"
    "  local value what\n"
    "  while IFS=$'\\t' read -r value what; do\n"
    "    case $value in\n"
    "      :files) _files; return ;;\n"
    "      *[=/]) open+=(\"${value//:/\\\\:}:$what\") ;;\n"
    "      *) closed+=(\"${value//:/\\\\:}:$what\") ;;\n"
    "    esac\n"
    "  done < <(\"${words[1]}\" --complete zsh \"${(j: :)words[1,CURRENT-1]} $PREFIX\" 2>/dev/null)\n"
    "  (( $#closed )) && _describe -t values value closed\n"
    "  (( $#open )) && _describe -t values value open -S ''\n"
    "}\n"
    "if [ \"$funcstack[1]\" = _autonomy ]; then\n"
    "  _autonomy \"$@\"\n"
    "else\n"
    "  compdef _autonomy autonomy\n"
    "fi\n";

static const char fish_script[] = "function __autonomy_complete\n"
                                  "  set -l program (commandline -opc)[1]\n"
                                  "  set -l found ($program --complete fish (commandline -cp) 2>/dev/null)\n"
                                  "  if test \"$found[1]\" = ':files'\n"
                                  "    __fish_complete_path (commandline -ct)\n"
                                  "  else\n"
                                  "    printf '%s\\n' $found\n"
                                  "  end\n"
                                  "end\n"
                                  "complete -c autonomy -f -a '(__autonomy_complete)'\n";

enum cli_exit run_completion(struct cli *cli)
{
    static const struct {
        const char *shell, *script;
    } scripts[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};
    const char *shell = cli->positional[0];
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++)
        if (strcmp(scripts[i].shell, shell) == 0) {
            fputs(scripts[i].script, cli->out);
            return CLI_DONE;
        }
    return cli_fail(cli, CLI_USAGE, "there is completion for bash, zsh and fish, not for \"%s\"", shell);
}
