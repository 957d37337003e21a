/* One node from start to end: what is opened in which order, what a stop does, which exit code tells the
 * supervisor what.
 *
 * Threads: node_run() makes the calling thread the loop thread. */
#pragma once

#include "base/error.h"
#include "node/config.h"

enum exit_code {
    EXIT_CLEAN = 0,       /* stopped as asked */
    EXIT_REFUSED = 1,     /* refused to start: the message says what is wrong and how to go on */
    EXIT_USAGE = 2,       /* wrong arguments */
    EXIT_ENVIRONMENT = 3, /* port in use, lock held, disk full or unreadable: may go away */
    EXIT_FATAL = 70,      /* failed while running (disk, broken invariant): start it again */
    EXIT_IMPATIENT = 130  /* a second signal: stopped at once, nothing flushed; the log has it */
};

struct node;

/** @param config  borrowed until node_free() */
struct node *node_new(const struct config *config);
/** Starts, serves, stops on SIGTERM or SIGINT: gracefully on the first, at once on the second.
 * @return an enum exit_code; `error` says why unless it is EXIT_CLEAN */
int node_run(struct node *self, struct error *error);
void node_free(struct node *self);
