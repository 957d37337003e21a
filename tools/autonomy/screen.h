/* A whole terminal, borrowed: drawn anew from text, and given back as it was.
 *
 * Nothing but ANSI: the alternate screen, no cursor, no echo. It is given back when the program leaves by any
 * door: q, Ctrl-C, SIGTERM, SIGHUP, Ctrl-Z (taken again at `fg`), a broken CHECK. Lines are cut to the width
 * by what a terminal shows of them, so that no text breaks the picture. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <termios.h>

#include "base/bytes.h"

struct screen {
    int out, in; /* in: the keyboard; -1 when there is none */
    uint32_t rows, columns;
    struct termios before;
    bool open, raw;
    int ended_by; /* the signal; 0: the key */
};

enum screen_event {
    SCREEN_NOTHING,
    SCREEN_REDRAW, /* another size, or back from Ctrl-Z */
    SCREEN_QUIT
};

/** True when `out` is a terminal that can move its cursor. */
bool screen_able(FILE *out);
void screen_open(struct screen *self, FILE *out);
void screen_close(struct screen *self);
/** What the keyboard and the signals say; waits up to `wait_ms` for it. */
enum screen_event screen_look(struct screen *self, uint32_t wait_ms);
/** Shows the text's first lines, cut where the screen ends. Of escape sequences it may hold colours only. */
void screen_draw(struct screen *self, const char *text);

/** Columns that a terminal uses for the text. */
uint32_t screen_width(const char *text);
/** Appends what fits into `columns` of the line at `text` (up to its line break). */
void screen_cut(struct bytes *out, const char *text, uint32_t columns);
