/* What to do next, for every code that a refusal may carry. */
#pragma once

#include "tools/autonomy/cli.h"

/** The row of `code`; NULL: none. A row may hold {plan-id}, {target}, ...: the value of that flag, and {}:
 * the command's first word that is no flag. */
const char *hint_find(const char *code);
/** The hint with this command line's values, and PLAN_ID, TARGET, ... where there are none; NULL: no such
 * code.
 */
const char *hint_text(struct cli *cli, const char *code);
/** "next: <sentence>" on stderr. Whoever fails without one gets one by the exit code (hint_default()). */
void hint_say(struct cli *cli, const char *format, ...) PRINTF(2, 3);
/** Prints one by the exit code, if nothing has been said yet. */
void hint_default(struct cli *cli, enum cli_exit exit);
