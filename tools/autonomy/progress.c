#include "tools/autonomy/progress.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define QUIET_MS 300u /* what is quicker than that needs no line */
#define DRAW_MS  100u

static uint64_t now_ms(void)
{
    return clock_monotonic_us() / 1000;
}

void progress_init(struct progress *self, FILE *terminal)
{
    const char *type = getenv("TERM");
    bool redraws = type && *type && strcmp(type, "dumb") != 0;
    *self = (struct progress){.terminal = redraws && isatty(fileno(terminal)) ? terminal : NULL};
}

void progress_say(struct progress *self, const char *format, ...)
{
    va_list arguments;
    if (!self->terminal)
        return;
    if (!self->what[0])
        self->since_ms = now_ms();
    va_start(arguments, format);
    vsnprintf(self->what, sizeof self->what, format, arguments);
    va_end(arguments);
    if (self->what[0])
        progress_turn(self, "", now_ms() - self->since_ms);
    else
        progress_wipe(self);
}

void progress_turn(struct progress *self, const char *otherwise, uint64_t waited_ms)
{
    static const char marks[] = "|/-\\";
    uint64_t now = now_ms();
    if (self->what[0])
        waited_ms = now - self->since_ms;
    if (!self->terminal || waited_ms < QUIET_MS || now - self->drawn_ms < DRAW_MS)
        return;
    fprintf(self->terminal, "\r%c %s, %llu s\033[K", marks[self->turn++ % 4],
            self->what[0] ? self->what : otherwise, (unsigned long long)(waited_ms / 1000));
    fflush(self->terminal);
    self->drawn_ms = now;
}

void progress_wipe(struct progress *self)
{
    if (!self->terminal || self->drawn_ms == 0)
        return;
    fputs("\r\033[K", self->terminal);
    fflush(self->terminal);
    self->drawn_ms = 0;
}

/* --- Ctrl-C --- */

static volatile sig_atomic_t interrupted;
static struct sigaction before_interrupt, before_end;
static bool caught;

static void note(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

void interrupt_catch(void)
{
    struct sigaction action = {.sa_handler = note, .sa_flags = (int)SA_RESETHAND};
    if (caught)
        return;
    sigemptyset(&action.sa_mask);
    interrupted = 0;
    caught =
        sigaction(SIGINT, &action, &before_interrupt) == 0 && sigaction(SIGTERM, &action, &before_end) == 0;
}

bool interrupt_release(void)
{
    bool seen = interrupt_seen();
    if (caught) {
        (void)sigaction(SIGINT, &before_interrupt, NULL);
        (void)sigaction(SIGTERM, &before_end, NULL);
    }
    caught = false;
    interrupted = 0;
    return seen;
}

bool interrupt_seen(void)
{
    return interrupted != 0;
}
