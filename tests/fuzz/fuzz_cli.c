/* What the operator's command line reads: its arguments, its settings, the members it remembers, the short
 * forms of stages and flags. The first byte chooses:
 *   'a' arguments, one a line: refused with a sentence, or the line to type again means the same
 *   'c' the settings file          'm' the file of remembered members, and a node's status that changes it
 *   's' one --stage of a plan      'f' one KEY=VALUE of a flag
 *   't' what nodes said of themselves, as one screen */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/schema.h"
#include "fuzz/fuzz.h"
#include "tools/autonomy/client.h"
#include "tools/autonomy/config.h"
#include "tools/autonomy/top.h"

#define WORDS_MAX 40u

static FILE *silence;

/* A home of our own: no setting of whoever runs this counts, and nothing is left anywhere else. */
static void make_home(void)
{
    if (silence)
        return;
    silence = fopen("/dev/null", "we");
    CHECK(silence, "no /dev/null");
    extern char **environ;
    for (char **at = environ; *at;) {
        char name[64];
        if (strncmp(*at, "AUTONOMY_", 9) != 0 || strncmp(*at, "AUTONOMY_FUZZ", 13) == 0) {
            at++;
            continue;
        }
        snprintf(name, sizeof name, "%.*s", (int)strcspn(*at, "="), *at);
        unsetenv(name);
    }
    setenv("XDG_CONFIG_HOME", fuzz_folder(), 1);
    setenv("XDG_CACHE_HOME", fuzz_folder(), 1);
    char path[128];
    snprintf(path, sizeof path, "mkdir -p %s/autonomy", fuzz_folder());
    CHECK(system(path) == 0, "no folder");
}

static uint32_t split(char *text, char separator, char **words)
{
    uint32_t count = 0;
    while (count < WORDS_MAX) {
        words[count++] = text;
        text = strchr(text, separator);
        if (!text)
            break;
        *text++ = '\0';
    }
    return count;
}

static struct cli *parse(uint32_t count, char **words, enum cli_exit *exit, bool *help)
{
    struct cli *cli = memory_zero(1, sizeof *cli);
    arena_init(&cli->arena, 4u * 1024u * 1024u);
    cli->out = cli->err = silence;
    cli->arguments = arena_new(&cli->arena, (count + 1) * sizeof *cli->arguments);
    cli->argument_count = args_fold(&cli->arena, count, words, cli->arguments);
    CHECK(cli->argument_count <= count, "%u words of %u", cli->argument_count, count);
    *exit = args_parse(cli, help);
    return cli;
}

static void cli_end(struct cli *cli)
{
    arena_done(&cli->arena);
    free(cli);
}

/* Undoes the quoting for a shell: single quotes, and \' between them. @return how many words */
static uint32_t unquote(char *line, char **words)
{
    uint32_t count = 0;
    for (char *in = line; *in && count < WORDS_MAX;) {
        char *out = words[count++] = in;
        bool quoted = false;
        while (*in && (quoted || *in != ' ')) {
            if (*in == '\'')
                quoted = !quoted;
            else if (!quoted && *in == '\\')
                *out++ = *++in;
            else
                *out++ = *in;
            in++;
        }
        in += *in == ' ';
        *out = '\0';
    }
    return count;
}

/* The same command, the same values, when the line that is shown is typed. Typographic quotes are left out of
 * this: what one reading left of a pair, a second one may take for another pair. */
static void check_repeated(struct cli *cli)
{
    for (uint32_t i = 0; i < cli->argument_count; i++)
        if (strstr(cli->arguments[i], "\xe2\x80"))
            return;
    enum cli_exit exit;
    bool help;
    char *words[WORDS_MAX];
    char *line = text_copy(cli_repeat(cli, NULL, NULL));
    const uint32_t count = unquote(line, words);
    CHECK(count == cli->argument_count + 1 && strcmp(words[0], "autonomy") == 0, "%u words: %s", count, line);
    struct cli *again = parse(count - 1, words + 1, &exit, &help);
    CHECK(exit == CLI_DONE && again->command == cli->command, "another command");
    CHECK(again->given_count == cli->given_count && again->positional_count == cli->positional_count,
          "%u flags, %u others", again->given_count, again->positional_count);
    for (uint32_t i = 0; i < cli->given_count; i++)
        CHECK(again->given[i].flag == cli->given[i].flag &&
                  strcmp(again->given[i].value, cli->given[i].value) == 0,
              "--%s: \"%s\" becomes \"%s\"", cli->given[i].flag->name, cli->given[i].value,
              again->given[i].value);
    for (uint32_t i = 0; i < cli->positional_count; i++)
        CHECK(strcmp(again->positional[i], cli->positional[i]) == 0, "\"%s\" becomes \"%s\"",
              cli->positional[i], again->positional[i]);
    cli_end(again);
    free(line);
}

static void check_arguments(char *text)
{
    enum cli_exit exit;
    bool help;
    char *words[WORDS_MAX];
    const uint32_t count = split(text, '\n', words);
    struct cli *cli = parse(count, words, &exit, &help);
    CHECK(exit == CLI_DONE || exit == CLI_USAGE, "exit %d", (int)exit);
    if (exit == CLI_DONE && !help && count < WORDS_MAX) {
        CHECK(cli->command, "no command");
        check_repeated(cli);
    }
    cli_end(cli);
}

static int run(char **words)
{
    int count = 0;
    while (words[count])
        count++;
    return cli_run(count, words, silence, silence);
}

static void check_settings(const char *text)
{
    struct arena arena;
    struct error error = {0};
    const char *value = NULL;
    fuzz_file("autonomy/config.yaml", text, strlen(text));
    arena_init(&arena, 1024u * 1024u);
    const enum error_code code = config_value(&arena, "orchestrator.url", &value, &error);
    if (code != ERROR_OK)
        check_error(&error, code);
    (void)run((char *[]){"autonomy", "config", "get", NULL});
    const int set =
        run((char *[]){"autonomy", "config", "set", "orchestrator.url", "http://127.0.0.1:1", NULL});
    CHECK(code == ERROR_OK ? set == CLI_DONE || set == CLI_FAILED : set == CLI_FAILED, "exit %d", set);
    if (set == CLI_DONE) {
        CHECK(config_value(&arena, "orchestrator.url", &value, &error) == ERROR_OK, "%s", error.message);
        CHECK(value && strcmp(value, "http://127.0.0.1:1") == 0, "what was set is not what is there");
    }
    arena_done(&arena);
}

/* The file, and behind a line "---" the status that a node answered with. */
static void check_members(char *text)
{
    struct arena arena;
    struct error error = {0};
    struct client client;
    json_t *status = NULL;
    char *second = strstr(text, "\n---\n");
    if (second) {
        *second = '\0';
        if (json_parse(span_text(second + 5), &status, &error) != ERROR_OK)
            status = NULL;
    }
    fuzz_file("autonomy/members", text, strlen(text));
    arena_init(&arena, 64u * 1024u * 1024u);
    client_init(&client, &arena, 1000);
    CHECK(client_add(&client, "http://127.0.0.1:1", false, &error) == ERROR_OK, "%s", error.message);
    members_recall(&client);
    CHECK(client.url_count >= 1 && client.url_count <= CLIENT_URLS_MAX, "%u nodes", client.url_count);
    for (uint32_t i = 1; i < client.url_count; i++)
        CHECK(client.urls[i].remembered, "%s was not named by anybody", client.urls[i].url);
    (void)members_stale(&client);
    members_remember(&client, status);
    members_recall(&client);
    json_decref(status);
    arena_done(&arena);
}

/* Without a usable address the command ends when it would ask. */
static void check_short_form(const char *text, bool stage)
{
    char *form = text_copy(text);
    char *url = "nowhere";
    const int exit = stage ? run((char *[]){"autonomy", "rollout", "plan", "create", "--orchestrator-url",
                                            url, "--operator", "a@b", "--plan-id", "p", "--artifact", "a",
                                            "--artifact-version", "1", "--stage", form, NULL})
                           : run((char *[]){"autonomy", "flags", "set", "--orchestrator-url", url,
                                            "--operator", "a@b", "--reason", "r", "--", form, NULL});
    const bool help = strcmp(form, "-h") == 0 || strcmp(form, "--help") == 0;
    CHECK(exit == CLI_USAGE || exit == CLI_UNREACHABLE || exit == CLI_FAILED || help, "exit %d", exit);
    free(form);
}

/* The same object as a node's status, from which the nodes to ask are learnt, and as the look itself. */
static void check_screen(const char *text)
{
    struct error error = {0};
    struct client client;
    struct cli *cli = memory_zero(1, sizeof *cli);
    struct top *top = memory_zero(1, sizeof *top);
    json_t *look = NULL;
    arena_init(&cli->arena, 64u * 1024u * 1024u);
    cli->out = cli->err = silence;
    client_init(&client, &cli->arena, 1000);
    CHECK(client_add(&client, "http://127.0.0.1:1", false, &error) == ERROR_OK, "%s", error.message);
    top->cli = cli;
    top->client = &client;
    if (json_parse(span_text(text), &look, &error) == ERROR_OK && json_is_object(look)) {
        top_learn(top, look);
        CHECK(top->node_count >= 1 && top->node_count <= TOP_NODES_MAX, "%u nodes", top->node_count);
        const char *screen = top_text(cli, look, 0);
        CHECK(utf8_valid(screen, strlen(screen)) && !strchr(screen, '\x1b'), "a screen that isn't text");
        unsigned rows = 0;
        for (const char *at = top_text(cli, look, 10); *at; at++)
            rows += *at == '\n';
        CHECK(rows <= 10, "%u rows of 10", rows);
    }
    json_decref(look);
    free(top);
    arena_done(&cli->arena);
    free(cli);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    if (length < 1 || length > 16384 || memchr(data, '\0', length))
        return 0;
    make_home();
    char *text = memory_new(length);
    memcpy(text, data + 1, length - 1);
    text[length - 1] = '\0';
    if (data[0] == 'a')
        check_arguments(text);
    else if (data[0] == 'c')
        check_settings(text);
    else if (data[0] == 'm')
        check_members(text);
    else if (data[0] == 't')
        check_screen(text);
    else if (data[0] == 's' || data[0] == 'f')
        check_short_form(text, data[0] == 's');
    free(text);
    return 0;
}
