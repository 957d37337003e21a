#include "tools/autonomy/watch.h"

#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "tools/autonomy/client.h"
#include "tools/autonomy/screen.h"

#define INTERVAL_MIN_MS 200u
#define INTERVAL_MAX_MS 60000u /* a server waits no longer */
#define LOOK_UP_MS      100u

/* --- what is a change --- */

/* When somebody looked, at which index, and lags in milliseconds: they move while nothing happens. */
static bool only_time(const char *key)
{
    static const char *const keys[] = {"queried_at", "index", "max_write_lag_ms", "max_replay_lag_ms"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (strcmp(keys[i], key) == 0)
            return true;
    return false;
}

static void strip(json_t *json)
{
    const char *key;
    void *next;
    json_t *value;
    size_t i;
    json_array_foreach(json, i, value) strip(value);
    json_object_foreach_safe(json, next, key, value)
    {
        if (only_time(key))
            json_object_del(json, key);
        else
            strip(value);
    }
}

void watch_answer(struct cli *cli, const struct json_t *answer, uint64_t index)
{
    struct watch *self = cli->watch;
    json_t *bare = json_deep_copy(answer);
    struct bytes text;
    strip(bare);
    char *dump = json_dumps(bare, JSON_COMPACT | JSON_ENCODE_ANY);
    CHECK(dump, "a JSON value that can't be written");
    bytes_init(&text, 0);
    bytes_append(&text, self->digest, sizeof self->digest);
    bytes_append_text(&text, dump);
    hash_once(text.data, text.length, self->digest);
    bytes_done(&text);
    free(dump);
    json_decref(bare);
    self->answers++;
    if (self->answers == 1)
        self->index = index;
}

/* --- asking --- */

/* A node's own view is answered at once: there is nothing to wait for. */
static bool can_wait(const char *path)
{
    return strncmp(path, "/v1/ha/", 7) != 0 && strncmp(path, "/v1/health", 10) != 0;
}

const char *watch_path(struct cli *cli, const char *path)
{
    struct watch *self = cli->watch;
    struct client *client = cli->client;
    uint64_t timeout_ms = cli_duration_ms(cli, "timeout");
    bool first = !self->asked;
    self->asked = true;
    if (first)
        self->waits = can_wait(path);
    client->timeout_ms = timeout_ms;
    if (!first || !self->waits || self->index == 0)
        return path;
    /* Each node's share of the time holds the whole wait. */
    client->timeout_ms = timeout_ms + self->interval_ms * client->url_count;
    return arena_printf(&cli->arena, "%s%cindex=%llu&wait=%llums", path, strchr(path, '?') ? '&' : '?',
                        (unsigned long long)self->index, (unsigned long long)self->interval_ms);
}

/* --- one look --- */

struct look {
    enum cli_exit exit;
    char *out, *err; /* owned */
};

static void look_done(struct look *self)
{
    free(self->out);
    free(self->err);
    *self = (struct look){0};
}

static FILE *open_memory(char **text, size_t *length)
{
    FILE *memory = open_memstream(text, length);
    CHECK(memory, "out of memory");
    return memory;
}

/* Runs the command once. What it needs for that doesn't stay for hours. */
static void take_look(struct cli *cli, struct look *look)
{
    FILE *out = cli->out, *err = cli->err;
    size_t out_bytes, err_bytes;
    struct arena outer = cli->arena;
    arena_init(&cli->arena, CLI_MEMORY_MAX);
    *look = (struct look){0};
    cli->out = open_memory(&look->out, &out_bytes);
    cli->err = open_memory(&look->err, &err_bytes);
    cli->hinted = false;
    cli->watch->asked = false;
    cli->watch->answers = 0;
    memset(cli->watch->digest, 0, sizeof cli->watch->digest);
    look->exit = cli->command->run(cli);
    CHECK(fclose(cli->out) == 0 && fclose(cli->err) == 0, "out of memory");
    cli->out = out;
    cli->err = err;
    if (cli->watch->answers == 0) /* a folder was read: what it says is what is printed */
        hash_once(look->out, strlen(look->out), cli->watch->digest);
    arena_done(&cli->arena);
    cli->arena = outer;
}

static uint64_t now_ms(void)
{
    return clock_monotonic_us() / 1000;
}

/* A server that waits says itself when to look again. */
static uint64_t pause_ms(const struct watch *self, enum cli_exit exit)
{
    return exit == CLI_DONE && self->waits && self->index > 0 ? WATCH_PAUSE_MS : self->interval_ms;
}

/* --- in a pipe --- */

static bool reader_left(FILE *out)
{
    struct pollfd reader = {.fd = fileno(out)};
    return ferror(out) || (poll(&reader, 1, 0) == 1 && (reader.revents & (POLLERR | POLLNVAL)));
}

static enum cli_exit print_changes(struct cli *cli)
{
    uint8_t before[DIGEST_BYTES];
    for (uint64_t printed = 0;;) {
        struct look look;
        take_look(cli, &look);
        bool changed = printed == 0 || memcmp(before, cli->watch->digest, sizeof before) != 0;
        if (changed || look.exit != CLI_DONE) {
            fprintf(cli->out, "%s%s", printed > 0 && !cli->watch->lines && *look.out ? "\n" : "", look.out);
            fputs(look.err, cli->err);
            fflush(cli->out);
            printed++;
        }
        enum cli_exit exit = look.exit;
        memcpy(before, cli->watch->digest, sizeof before);
        look_done(&look);
        if (exit != CLI_DONE || reader_left(cli->out))
            return exit;
        client_pause(pause_ms(cli->watch, exit));
    }
}

/* --- on a terminal --- */

struct show {
    struct cli *cli;
    struct screen screen;
    bool quit;
    struct bytes drawn; /* what stands on the screen, with a NUL */
};

static bool look_up(struct show *self, uint32_t wait_ms)
{
    enum screen_event event = screen_look(&self->screen, wait_ms);
    self->quit = self->quit || event == SCREEN_QUIT;
    if (event == SCREEN_REDRAW && self->drawn.data)
        screen_draw(&self->screen, (const char *)self->drawn.data);
    return !self->quit;
}

static bool look_while_asking(struct client *client, const char *url, uint64_t waited_ms)
{
    (void)url, (void)waited_ms;
    return look_up(client->look_context, 0);
}

static const char *time_of_day(char out[TIME_TEXT_BYTES])
{
    struct clock clock = clock_system();
    time_format(clock.wall_ms(clock.context), out);
    memmove(out, out + strlen("2026-01-02T"), strlen("03:04:05"));
    memcpy(out + strlen("03:04:05"), "Z", 2);
    return out;
}

/* The last good look, and above it what went wrong since. */
static void draw(struct show *self, const struct look *good, const char *good_at, const struct look *now)
{
    const char *red = self->cli->colour ? "\033[31m" : "", *plain = self->cli->colour ? "\033[0m" : "";
    char time[TIME_TEXT_BYTES];
    bytes_clear(&self->drawn);
    bytes_printf(&self->drawn, "autonomy %s  %s\n", self->cli->command->path, time_of_day(time));
    if (now->exit != CLI_DONE) {
        for (const char *line = now->err; *line;
             line += strcspn(line, "\n") + (line[strcspn(line, "\n")] == '\n'))
            bytes_printf(&self->drawn, "%s%.*s%s\n", red, (int)strcspn(line, "\n"), line, plain);
        bytes_printf(&self->drawn, "as of %s:\n", good_at);
    }
    bytes_printf(&self->drawn, "\n%s%s", good->out, good->err);
    bytes_append(&self->drawn, "", 1);
    screen_draw(&self->screen, (const char *)self->drawn.data);
}

static void wait_for_next(struct show *self, uint64_t wait_ms)
{
    uint64_t until_ms = now_ms() + wait_ms;
    for (uint64_t now = now_ms(); now < until_ms && !self->quit; now = now_ms())
        (void)look_up(self, until_ms - now < LOOK_UP_MS ? (uint32_t)(until_ms - now) : LOOK_UP_MS);
}

/* @param good  the first look; let go of here */
static enum cli_exit draw_looks(struct show *self, struct look *good)
{
    struct cli *cli = self->cli;
    enum cli_exit exit = good->exit;
    char good_at[TIME_TEXT_BYTES];
    (void)time_of_day(good_at);
    draw(self, good, good_at, good);
    for (;;) {
        struct look look;
        wait_for_next(self, pause_ms(cli->watch, exit));
        if (self->quit)
            return exit;
        take_look(cli, &look);
        if (self->quit) {
            look_done(&look);
            return exit;
        }
        exit = look.exit;
        if (exit != CLI_DONE) {
            draw(self, good, good_at, &look);
            look_done(&look);
            continue;
        }
        look_done(good);
        *good = look;
        (void)time_of_day(good_at);
        draw(self, good, good_at, good);
    }
}

static enum cli_exit watch_screen(struct cli *cli)
{
    struct show *self = arena_new(&cli->arena, sizeof *self);
    struct look first;
    self->cli = cli;
    take_look(cli, &first);
    if (first.exit != CLI_DONE) {
        enum cli_exit exit = first.exit;
        fputs(first.err, cli->err);
        look_done(&first);
        return exit;
    }
    bytes_init(&self->drawn, 0);
    screen_open(&self->screen, cli->out);
    if (cli->client) {
        cli->client->look = look_while_asking;
        cli->client->look_context = self;
        cli->client->wake_fd = self->screen.in;
    }
    enum cli_exit exit = draw_looks(self, &first);
    screen_close(&self->screen);
    look_done(&first);
    bytes_done(&self->drawn);
    if (self->screen.ended_by && self->screen.ended_by != SIGINT)
        return (enum cli_exit)(128 + self->screen.ended_by);
    return exit;
}

enum cli_exit watch_run(struct cli *cli)
{
    bool on_screen = screen_able(cli->out);
    struct watch watch = {.interval_ms = cli_duration_ms(cli, "watch"), .lines = cli->json && !on_screen};
    if (watch.interval_ms < INTERVAL_MIN_MS || watch.interval_ms > INTERVAL_MAX_MS)
        return cli_fail(cli, CLI_USAGE, "--watch takes 200ms to 60s, not %s", cli_value(cli, "watch"));
    /* The client outlives the looks. A folder needs none. */
    if (!cli_typed(cli, "audit-dir") && !cli_client(cli))
        return CLI_USAGE;
    cli->watch = &watch;
    enum cli_exit exit = on_screen ? watch_screen(cli) : print_changes(cli);
    cli->watch = NULL;
    return exit;
}
