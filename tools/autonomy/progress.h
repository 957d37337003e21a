/* What is waited for: one line on a terminal's stderr that comes, changes and goes; nothing anywhere else.
 * And Ctrl-C, where ending at once would leave somebody in doubt. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

#define PROGRESS_TEXT_BYTES 128u

struct progress {
    FILE *terminal; /* NULL: nobody looks */
    char what[PROGRESS_TEXT_BYTES];
    uint64_t since_ms,
        drawn_ms; /* since it was first said; when the line was drawn last, 0: it isn't there */
    uint32_t turn;
};

/** @param terminal  stderr; kept when it is one that can redraw a line */
void progress_init(struct progress *self, FILE *terminal);
/** Says what is going on now: "audit export: 12,000 records". "" says nothing again, and wipes the line. */
void progress_say(struct progress *self, const char *format, ...) PRINTF(2, 3);
/** Draws it anew, at most ten times a second. @param otherwise  what to show when nothing was said */
void progress_turn(struct progress *self, const char *otherwise, uint64_t waited_ms);
/** Wipes the line, if it is there: something else is to be printed. */
void progress_wipe(struct progress *self);

/** From now on the first Ctrl-C (or SIGTERM) only leaves a note; the second one ends the program. */
void interrupt_catch(void);
/** As it was before. @return what interrupt_seen() said */
bool interrupt_release(void);
bool interrupt_seen(void);
