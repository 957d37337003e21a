/* --watch: a command that looks at something, run again and again.
 *
 * On a terminal what it prints is drawn anew, also through errors, until q or Ctrl-C. Elsewhere it is printed
 * once for each change, as JSON in one line, until a look fails. What only says when somebody looked is no
 * change. Where the route can wait, the server says when to look again; else the interval does. */
#pragma once

#include "base/hash.h"
#include "tools/autonomy/cli.h"

#define WATCH_PAUSE_MS 200u /* between two looks, however much changes */

struct watch {
    uint64_t interval_ms;
    uint64_t index;               /* the last look's; 0: none yet */
    bool asked;                   /* this look has sent its first request */
    bool waits;                   /* that is one which the server can let wait for a change */
    uint8_t digest[DIGEST_BYTES]; /* of this look's answers */
    uint32_t answers;             /* taken into it */
    bool lines;                   /* JSON goes into one line */
};

/** Runs the command until it is ended. */
enum cli_exit watch_run(struct cli *cli);
/** `path` so that the server waits for something newer than the last look, where it can. */
const char *watch_path(struct cli *cli, const char *path);
void watch_answer(struct cli *cli, const struct json_t *answer, uint64_t index);
