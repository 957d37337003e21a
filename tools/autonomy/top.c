/* `autonomy top`. On a terminal it draws anew until q or Ctrl-C; elsewhere it prints --count looks. */
#include "tools/autonomy/top.h"

#include <jansson.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "tools/autonomy/output.h"
#include "tools/autonomy/screen.h"

#define INTERVAL_MIN_MS 100u
#define INTERVAL_MAX_MS 3600000u
#define LOOK_UP_MS      100u

struct show {
    struct top top;
    struct screen screen;
    bool on_screen, quit;
    const char *drawn; /* what stands on the screen */
};

static uint64_t now_ms(void)
{
    return clock_monotonic_us() / 1000;
}

/* Keys and signals, also while nodes are asked. @return false to end */
static bool look_up(struct show *self, uint32_t wait_ms)
{
    if (!self->on_screen)
        return true;
    enum screen_event event = screen_look(&self->screen, wait_ms);
    self->quit = self->quit || event == SCREEN_QUIT;
    if (event == SCREEN_REDRAW && self->drawn)
        screen_draw(&self->screen, self->drawn);
    return !self->quit;
}

static bool look_while_asking(struct client *client, const char *url, uint64_t waited_ms)
{
    (void)url, (void)waited_ms;
    return look_up(client->look_context, 0);
}

static void print_look(struct show *self, const json_t *look)
{
    struct cli *cli = self->top.cli;
    if (cli->json) {
        if (json_dumpf(look, cli->out, JSON_COMPACT) == 0)
            fputc('\n', cli->out);
    } else
        fputs(top_text(cli, look, 0), cli->out);
    fflush(cli->out);
}

/* One look; what it needs doesn't stay for hours. `drawn` does, until the next one. */
static bool look_once(struct show *self, bool show, struct arena *kept)
{
    struct cli *cli = self->top.cli;
    struct arena outer = cli->arena;
    arena_init(&cli->arena, CLI_MEMORY_MAX);
    json_t *look = top_collect(&self->top);
    bool answered = json_is_true(json_object_get(look, "answered"));
    if (!show || self->quit) {
        /* the first of two, for the rates */
    } else if (self->on_screen) {
        const char *text = top_text(cli, look, self->screen.rows);
        arena_clear(kept);
        self->drawn = arena_text(kept, text, strlen(text));
        screen_draw(&self->screen, self->drawn);
    } else
        print_look(self, look);
    json_decref(look);
    arena_done(&cli->arena);
    cli->arena = outer;
    return answered;
}

static void wait_until(struct show *self, uint64_t until_ms)
{
    for (uint64_t now = now_ms(); now < until_ms && !self->quit; now = now_ms()) {
        uint64_t left_ms = until_ms - now;
        if (self->on_screen)
            (void)look_up(self, left_ms < LOOK_UP_MS ? (uint32_t)left_ms : LOOK_UP_MS);
        else
            client_pause(left_ms);
    }
}

/* @param count  0: until it is ended */
static enum cli_exit run_looks(struct show *self, uint64_t count)
{
    struct cli *cli = self->top.cli;
    struct arena kept;
    bool answered = true, first = !self->on_screen; /* printed figures are rates: one look goes ahead */
    arena_init(&kept, CLI_MEMORY_MAX);
    for (uint64_t looks = 0; (count == 0 || looks < count) && !self->quit && !ferror(cli->out);) {
        uint64_t next_ms = now_ms() + self->top.interval_ms;
        answered = look_once(self, !first, &kept);
        looks += first ? 0 : 1;
        first = false;
        if (count == 0 || looks < count)
            wait_until(self, next_ms);
    }
    arena_done(&kept);
    return answered ? CLI_DONE : CLI_UNREACHABLE;
}

/* Somebody has to answer first: who nobody listens to is told so, and no screen is taken. */
static enum cli_exit begin(struct show *self)
{
    struct cli *cli = self->top.cli;
    json_t *status = NULL;
    self->top.client = cli_client(cli);
    enum cli_exit exit = self->top.client ? cli_call(cli, "GET", "/v1/ha/status", NULL, &status) : CLI_USAGE;
    if (exit != CLI_DONE)
        return exit;
    members_remember(self->top.client, status);
    top_learn(&self->top, status);
    json_decref(status);
    return CLI_DONE;
}

enum cli_exit run_top(struct cli *cli)
{
    struct show *self = arena_new(&cli->arena, sizeof *self);
    self->top.cli = cli;
    self->top.interval_ms = cli_duration_ms(cli, "interval");
    if (self->top.interval_ms < INTERVAL_MIN_MS || self->top.interval_ms > INTERVAL_MAX_MS)
        return cli_fail(cli, CLI_USAGE, "--interval takes 100ms to 1h, not %s", cli_value(cli, "interval"));
    enum cli_exit exit = begin(self);
    if (exit != CLI_DONE)
        return exit;
    self->on_screen = !cli->json && screen_able(cli->out);
    uint64_t count = cli_value(cli, "count") ? cli_number(cli, "count") : self->on_screen ? 0 : 1;
    self->top.client->member_sync = false;
    self->top.client->look = look_while_asking;
    self->top.client->look_context = self;
    if (self->on_screen) {
        screen_open(&self->screen, cli->out);
        self->top.client->wake_fd = self->screen.in;
    }
    exit = run_looks(self, count);
    screen_close(&self->screen);
    if (self->screen.ended_by && self->screen.ended_by != SIGINT)
        return (enum cli_exit)(128 + self->screen.ended_by);
    return exit;
}
