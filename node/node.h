/* One node from start to end: what is opened in which order, what a stop does, which exit code tells the
 * supervisor what.
 *
 * Threads: node_run() makes the calling thread the loop thread; node_stop() from any thread. */
#pragma once

#include <stdbool.h>

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

/** @param config   borrowed until node_free()
 * @param signals  SIGTERM and SIGINT stop it gracefully, a second one at once */
struct node *node_new(const struct config *config, bool signals);
/** Starts, serves, stops. @return an enum exit_code; `error` says why unless it is EXIT_CLEAN */
int node_run(struct node *self, struct error *error);
/** Asks for a graceful stop, as SIGTERM does. Only while node_run() is running. */
void node_stop(struct node *self);
void node_free(struct node *self);
/** True when requests are served (for tests and supervisors in the same process). Any thread. */
bool node_is_up(const struct node *self);
