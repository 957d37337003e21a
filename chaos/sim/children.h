/* Each seed plays in a process of its own: a crash is its own, and so is its memory. */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "chaos/sim/sim.h"

enum { EXIT_CLEAN = 0, EXIT_VIOLATION = 1, EXIT_USAGE = 2, EXIT_ENVIRONMENT = 3 };

struct child {
    pid_t pid;
    int pipe;
    FILE *said; /* its stderr */
    uint64_t seed;
};

/** @param show  its stderr is ours; else it is kept in `said` */
void child_start(const struct sim_options *options, bool show, struct child *out);
/** Waits. @return false: there was a violation */
bool child_end(struct child *child, struct sim_report *report);
/** What it said, on stderr. */
void child_show(FILE *said);
