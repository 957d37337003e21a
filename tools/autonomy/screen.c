#include "tools/autonomy/screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "base/check.h"

#define ROWS_DEFAULT    24u
#define COLUMNS_DEFAULT 80u
#define SIZE_MAX_CELLS  1000u /* a terminal that claims more is believed so far */

/* Alternate screen, no cursor, no line wrapping; and the way back. */
#define TAKE "\033[?1049h\033[?25l\033[?7l\033[2J"
#define GIVE "\033[0m\033[?7h\033[?25h\033[?1049l"

static struct screen *borrowed; /* what a signal has to give back */
static volatile sig_atomic_t end_signal, resized, suspended;

static const int end_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
#define END_SIGNALS (sizeof end_signals / sizeof end_signals[0])
static struct sigaction before[END_SIGNALS], before_abort, before_resize, before_stop, before_go_on;

bool screen_able(FILE *out)
{
    const char *type = getenv("TERM");
    return type && *type && strcmp(type, "dumb") != 0 && isatty(fileno(out));
}

/* --- width --- */

/* The character at `text`; what is no UTF-8 counts as one byte that shows as one column. */
static size_t character_at(const char *text, int *width)
{
    mbstate_t state = {0};
    wchar_t wide = 0;
    size_t length = mbrtowc(&wide, text, strlen(text), &state);
    *width = 1;
    if (length == (size_t)-1 || length == (size_t)-2 || length == 0) {
        for (length = 1; ((unsigned char)text[length] & 0xc0) == 0x80;)
            length++; /* a locale without UTF-8 */
        return length;
    }
    int columns = wcwidth(wide);
    *width = columns >= 0 ? columns : 1;
    return length;
}

/* "\033[31m": nothing to see, but to be passed on. @return its bytes, 0 when there is none */
static size_t colour_at(const char *text)
{
    if (text[0] != '\033' || text[1] != '[')
        return 0;
    size_t length = 2 + strspn(text + 2, "0123456789;");
    return text[length] == 'm' ? length + 1 : 0;
}

uint32_t screen_width(const char *text)
{
    uint32_t total = 0;
    while (*text) {
        int width = 0;
        size_t length = colour_at(text);
        text += length ? length : character_at(text, &width);
        total += (uint32_t)width;
    }
    return total;
}

void screen_cut(struct bytes *out, const char *text, uint32_t columns)
{
    uint32_t used = 0;
    while (*text && *text != '\n') {
        int width = 0;
        size_t length = colour_at(text);
        if (length == 0) {
            length = character_at(text, &width);
            if (used + (uint32_t)width > columns)
                break;
            used += (uint32_t)width;
        }
        /* Whatever else would move the cursor shows as a mark. */
        if (length == 1 && ((unsigned char)*text < 0x20 || *text == 0x7f))
            bytes_append_text(out, "?");
        else
            bytes_append(out, text, length);
        text += length;
    }
}

/* --- signals --- */

static void on_end(int signal_number)
{
    end_signal = signal_number;
}

static void on_resize(int signal_number)
{
    (void)signal_number;
    resized = 1;
}

static void on_stop(int signal_number)
{
    (void)signal_number;
    suspended = 1;
}

/* A broken CHECK: the terminal first, then what was to happen. Only calls that are safe here. */
static void on_abort(int signal_number)
{
    if (borrowed) {
        ssize_t ignored = write(borrowed->out, GIVE, sizeof GIVE - 1);
        (void)ignored;
        if (borrowed->raw)
            (void)tcsetattr(borrowed->in, TCSANOW, &borrowed->before);
    }
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}

static void catch_signal(int number, void (*handler)(int), struct sigaction *old)
{
    struct sigaction action = {.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    CHECK(sigaction(number, &action, old) == 0, "signal %d can't be caught", number);
}

static void catch_signals(void)
{
    end_signal = resized = suspended = 0;
    for (size_t i = 0; i < END_SIGNALS; i++)
        catch_signal(end_signals[i], on_end, &before[i]);
    catch_signal(SIGABRT, on_abort, &before_abort);
    catch_signal(SIGWINCH, on_resize, &before_resize);
    catch_signal(SIGTSTP, on_stop, &before_stop);
    catch_signal(SIGCONT, on_resize, &before_go_on);
}

static void release_signals(void)
{
    for (size_t i = 0; i < END_SIGNALS; i++)
        (void)sigaction(end_signals[i], &before[i], NULL);
    (void)sigaction(SIGABRT, &before_abort, NULL);
    (void)sigaction(SIGWINCH, &before_resize, NULL);
    (void)sigaction(SIGTSTP, &before_stop, NULL);
    (void)sigaction(SIGCONT, &before_go_on, NULL);
}

/* --- the terminal --- */

static void put(const struct screen *self, const void *data, size_t length)
{
    const char *at = data;
    while (length > 0) {
        ssize_t written = write(self->out, at, length);
        if (written < 0 && errno == EAGAIN) {
            struct pollfd ready = {.fd = self->out, .events = POLLOUT};
            (void)poll(&ready, 1, 100);
        }
        if (written < 0 && errno != EINTR && errno != EAGAIN)
            return; /* the terminal is gone; SIGHUP follows */
        if (end_signal && written < 0)
            return;
        if (written > 0) {
            at += written;
            length -= (size_t)written;
        }
    }
}

static void measure(struct screen *self)
{
    struct winsize size = {0};
    bool known = ioctl(self->out, TIOCGWINSZ, &size) == 0;
    self->rows = known && size.ws_row > 0 ? size.ws_row : ROWS_DEFAULT;
    self->columns = known && size.ws_col > 0 ? size.ws_col : COLUMNS_DEFAULT;
    self->rows = self->rows < SIZE_MAX_CELLS ? self->rows : SIZE_MAX_CELLS;
    self->columns = self->columns < SIZE_MAX_CELLS ? self->columns : SIZE_MAX_CELLS;
}

/* In the background a terminal's settings are somebody else's. */
static void take(struct screen *self)
{
    self->raw = self->in >= 0 && tcgetattr(self->in, &self->before) == 0;
    if (self->raw) {
        struct termios keys = self->before;
        keys.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
        keys.c_cc[VMIN] = 1; /* what is read was announced: nothing means that the terminal is gone */
        keys.c_cc[VTIME] = 0;
        (void)tcsetattr(self->in, TCSANOW, &keys);
    }
    put(self, TAKE, sizeof TAKE - 1);
    measure(self);
}

static void give(struct screen *self)
{
    put(self, GIVE, sizeof GIVE - 1);
    if (self->raw)
        (void)tcsetattr(self->in, TCSADRAIN, &self->before);
    self->raw = false;
}

void screen_open(struct screen *self, FILE *out)
{
    *self = (struct screen){.out = fileno(out), .in = isatty(STDIN_FILENO) ? STDIN_FILENO : -1};
    CHECK(!borrowed, "two screens at once");
    fflush(out);
    catch_signals();
    borrowed = self;
    self->open = true;
    take(self);
}

void screen_close(struct screen *self)
{
    if (!self->open)
        return;
    give(self);
    self->open = false;
    borrowed = NULL;
    release_signals();
}

/* Ctrl-Z: the shell gets its terminal, and stops us; later it lets us go on. */
static void suspend(struct screen *self)
{
    give(self);
    suspended = 0;
    (void)raise(SIGSTOP);
    take(self);
}

static bool quit_key(struct screen *self)
{
    char keys[64];
    ssize_t got = read(self->in, keys, sizeof keys);
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
        self->in = -1; /* nobody types any more */
    for (ssize_t i = 0; i < got; i++)
        if (keys[i] == 'q' || keys[i] == 'Q')
            return true;
    return false;
}

enum screen_event screen_look(struct screen *self, uint32_t wait_ms)
{
    struct pollfd keyboard = {.fd = self->in, .events = POLLIN};
    if (!end_signal && !resized && !suspended)
        (void)poll(&keyboard, self->in >= 0 ? 1 : 0, (int)wait_ms);
    bool quit = keyboard.revents && quit_key(self);
    self->ended_by = end_signal;
    if (quit || end_signal)
        return SCREEN_QUIT;
    if (suspended) {
        suspend(self);
        return SCREEN_REDRAW;
    }
    if (!resized)
        return SCREEN_NOTHING;
    resized = 0;
    measure(self);
    return SCREEN_REDRAW;
}

void screen_draw(struct screen *self, const char *text)
{
    struct bytes out;
    bytes_init(&out, 0);
    for (uint32_t row = 1; row <= self->rows && *text; row++) {
        /* The line goes before its text comes: behind a full line the cursor stands on its last character. */
        bytes_printf(&out, "\033[%u;1H\033[2K", row);
        screen_cut(&out, text, self->columns);
        bytes_append_text(&out, "\033[0m");
        text += strcspn(text, "\n");
        text += *text == '\n' ? 1 : 0;
        if (!*text && row < self->rows)
            bytes_printf(&out, "\033[%u;1H\033[J", row + 1);
    }
    put(self, out.data, out.length);
    bytes_done(&out);
}
