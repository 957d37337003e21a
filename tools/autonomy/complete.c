/* What may stand where the cursor is. The shells' scripts (completion.c) hand over the line up to the cursor,
 * and this looks it up in the command table; names of plans, flags and so on come from the cluster, if one
 * answers within a moment. One candidate a line, with what it is behind a tabulator; ":files" asks the shell
 * for file names. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "fsm/targets.h"
#include "tools/autonomy/client.h"

#define ANSWER_MS 400u /* who presses the key doesn't wait longer for names */
#define NAMES_MAX 1000u

struct completer {
    struct cli *cli;
    bool bash;
    const char *word;     /* the one under the cursor, unquoted */
    const char *lead;     /* "--strategy=": its part before the value */
    const char *value;    /* the part that is completed */
    const char *stripped; /* bash: what it takes for an earlier word, since it breaks words at "=" and ":" */
    bool files;
};

/* --- the line --- */

/* Takes one word as a shell would. @return where it ends */
static const char *take_word(struct arena *arena, const char *at, const char **word)
{
    struct bytes out;
    char quote = '\0';
    bytes_init(&out, 0);
    for (; *at && (quote || !strchr(" \t\n", *at)); at++) {
        if (*at == quote)
            quote = '\0';
        else if (!quote && (*at == '"' || *at == '\''))
            quote = *at;
        else if (*at == '\\' && quote != '\'' && at[1])
            bytes_append(&out, ++at, 1);
        else
            bytes_append(&out, at, 1);
    }
    *word = arena_text(arena, out.data ? (const char *)out.data : "", out.length);
    bytes_done(&out);
    return at;
}

/* The arguments before the cursor, and the word under it, which may be empty. */
static void split_line(struct completer *self, const char *line)
{
    struct cli *cli = self->cli;
    bool program = false;
    self->word = "";
    cli->arguments = arena_new(&cli->arena, CLI_ARGUMENTS_MAX * sizeof *cli->arguments);
    cli->argument_count = 0;
    for (const char *at = line; *at;) {
        at += strspn(at, " \t\n");
        if (!*at)
            return;
        at = take_word(&cli->arena, at, &self->word);
        if (!*at)
            return;
        bool assignment = !program && strchr(self->word, '='); /* NAME=value before the program */
        if (program && cli->argument_count < CLI_ARGUMENTS_MAX)
            cli->arguments[cli->argument_count++] = self->word;
        program = program || !assignment;
        self->word = "";
    }
}

/* --- candidates --- */

static void offer(struct completer *self, const char *text, const char *what, const char *after)
{
    struct cli *cli = self->cli;
    if (strncmp(text, self->value, strlen(self->value)) != 0)
        return;
    const char *whole = arena_printf(&cli->arena, "%s%s%s", self->lead, text, after);
    if (self->bash) {
        size_t cut = strlen(self->stripped);
        bool open = *after || text[strlen(text) - 1] == '=';
        fprintf(cli->out, "%s%s\n", strncmp(whole, self->stripped, cut) == 0 ? whole + cut : whole,
                open ? "" : " ");
    } else
        fprintf(cli->out, "%s\t%s\n", whole, what ? what : "");
}

static void offer_choices(struct completer *self, const char *choices)
{
    for (const char *at = choices; at && *at;) {
        size_t length = strcspn(at, "|");
        offer(self, arena_text(&self->cli->arena, at, length), NULL, "");
        at += length + (at[length] == '|' ? 1 : 0);
    }
}

static void offer_strategies(struct completer *self)
{
    const char *name = cli_typed(self->cli, "target");
    const struct rollback_target *target = name ? rollback_target_find(name) : NULL;
    for (size_t i = 0; target && i < ROLLBACK_STRATEGIES_MAX && target->strategies[i].name; i++)
        offer(self, target->strategies[i].name, target->strategies[i].effect, "");
}

/* --- names that the cluster knows --- */

static json_t *ask(struct completer *self, const char *path)
{
    struct cli *cli = self->cli;
    struct client_answer answer = {0};
    json_t *json = NULL;
    if (!command_flag(cli->command, "orchestrator-url", 0) || !cli_client(cli))
        return NULL;
    cli->client->timeout_ms = ANSWER_MS;
    cli->client->member_sync = false;
    cli->client->look = NULL;
    client_send(cli->client, "GET", path, NULL, &answer);
    if (answer.exit == CLI_DONE)
        json = json_incref(answer.json);
    client_answer_done(&answer);
    return json;
}

static const char *member(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

/* Names go into a shell's line: only those that mean nothing to it. */
static void offer_rows(struct completer *self, const json_t *rows, const char *name, const char *what,
                       const char *after)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (i < NAMES_MAX && name_valid(member(row, name)))
            offer(self, member(row, name), name_valid(member(row, what)) ? member(row, what) : "", after);
    }
}

static void offer_list(struct completer *self, const char *path, const char *name, const char *what,
                       const char *after)
{
    json_t *answer = ask(self, path);
    offer_rows(self, json_object_get(answer, "items"), name, what, after);
    json_decref(answer);
}

static void offer_plans(struct completer *self)
{
    offer_list(self, "/v1/rollouts?limit=1000&consistency=stale", "plan_id", "phase", "");
}

static void offer_stages(struct completer *self, const char *plan_id, const char *lead)
{
    if (!plan_id || !name_valid(plan_id))
        return;
    const char *path = arena_printf(&self->cli->arena, "/v1/rollouts/%s?consistency=stale", plan_id);
    json_t *plan = ask(self, path);
    const char *before = self->lead;
    self->lead = arena_printf(&self->cli->arena, "%s%s", before, lead);
    offer_rows(self, json_object_get(plan, "stages"), "stage_id", "stage_phase", "");
    self->lead = before;
    json_decref(plan);
}

/* PLAN, or PLAN/STAGE where the target is a stage. */
static void offer_resources(struct completer *self)
{
    const char *target = cli_typed(self->cli, "target"), *slash = strchr(self->value, '/');
    bool stage = target && strcmp(target, "rollout_stage") == 0;
    if (target && strcmp(target, "ha_leader_resign") == 0)
        offer(self, "current", NULL, "");
    else if (stage && slash) {
        const char *plan_id = arena_text(&self->cli->arena, self->value, (size_t)(slash - self->value));
        self->value = slash + 1;
        offer_stages(self, plan_id, arena_printf(&self->cli->arena, "%s/", plan_id));
    } else
        offer_list(self, "/v1/rollouts?limit=1000&consistency=stale", "plan_id", "phase", stage ? "/" : "");
}

/* KEY=, and behind it what a bool may be. */
static void offer_changes(struct completer *self)
{
    const char *equals = strchr(self->value, '=');
    if (!equals) {
        offer_list(self, "/v1/flags?limit=1000&consistency=stale", "key", "type", "=");
        return;
    }
    const char *key = arena_text(&self->cli->arena, self->value, (size_t)(equals - self->value));
    json_t *flag = name_valid(key)
                       ? ask(self, arena_printf(&self->cli->arena, "/v1/flags/%s?consistency=stale", key))
                       : NULL;
    self->lead = arena_printf(&self->cli->arena, "%s%s=", self->lead, key);
    self->value = equals + 1;
    if (strcmp(member(flag, "type"), "bool") == 0)
        offer_choices(self, "true|false");
    json_decref(flag);
}

static void offer_members(struct completer *self)
{
    json_t *status = ask(self, "/v1/ha/status");
    offer_rows(self, json_object_get(status, "members"), "name", "role", "");
    json_decref(status);
}

static void offer_names(struct completer *self, enum names names)
{
    switch (names) {
    case NAMES_NONE:
        break;
    case NAMES_PLANS:
        offer_plans(self);
        break;
    case NAMES_STAGES:
        offer_stages(self, cli_typed(self->cli, "plan-id"), "");
        break;
    case NAMES_RESOURCES:
        offer_resources(self);
        break;
    case NAMES_STRATEGIES:
        offer_strategies(self);
        break;
    case NAMES_FLAGS:
        offer_list(self, "/v1/flags?limit=1000&consistency=stale", "key", "type", "");
        break;
    case NAMES_CHANGES:
        offer_changes(self);
        break;
    case NAMES_SWITCHES:
        offer_list(self, "/v1/kill-switches?limit=1000&consistency=stale", "name", "description", "");
        break;
    case NAMES_MEMBERS:
        offer_members(self);
        break;
    }
}

/* --- where the cursor is --- */

static void offer_value(struct completer *self, const struct flag *flag)
{
    if (flag->type == FLAG_CHOICE)
        offer_choices(self, flag->choices);
    else if (flag->type == FLAG_PATH)
        self->files = true;
    else
        offer_names(self, flag->names);
}

static void offer_flags(struct completer *self)
{
    const struct flag *flag;
    for (uint32_t i = 0; (flag = command_flag_at(self->cli->command, i)); i++)
        if (flag->repeat || !cli_typed(self->cli, flag->name))
            offer(self, arena_printf(&self->cli->arena, "--%s", flag->name), flag->help, "");
    offer(self, "--help", "what this command does, and its flags", "");
}

/* The words that may follow those typed so far, each once: "plan", "stuck", ... after "rollout". */
static void offer_words(struct completer *self, const char *words)
{
    const char *last = "";
    size_t length = strlen(words);
    for (uint32_t i = 0; i < command_count; i++) {
        const struct command *command = &command_table[i];
        if (!help_in_group(command->path, words))
            continue;
        const char *rest = command->path + length + (length > 0 ? 1 : 0);
        const char *word = arena_text(&self->cli->arena, rest, strcspn(rest, " "));
        if (strcmp(word, last) != 0)
            offer(self, word, rest[strlen(word)] ? help_word(word) : command->summary, "");
        last = word;
    }
}

/* What stands before the cursor: flags with their values, and how many other words. @return the flag whose
 * value is being typed, or NULL */
static const struct flag *read_arguments(struct cli *cli, uint32_t at)
{
    for (; at < cli->argument_count; at++) {
        const char *text = cli->arguments[at], *equals = strchr(text, '=');
        bool is_long = strncmp(text, "--", 2) == 0, is_short = !is_long && text[0] == '-' && text[1];
        const char *name = is_long ? arena_text(&cli->arena, text + 2, strcspn(text + 2, "=")) : NULL;
        const struct flag *flag =
            is_long || is_short ? command_flag(cli->command, name, is_short ? text[1] : 0) : NULL;
        if (!is_long && !is_short && cli->positional_count < CLI_POSITIONALS_MAX)
            cli->positional[cli->positional_count++] = text;
        if (!flag || cli->given_count == CLI_ARGUMENTS_MAX)
            continue;
        const char *value = is_long && equals ? equals + 1 : "";
        bool follows = flag->type != FLAG_SWITCH && !flag->optional && !(is_long && equals);
        if (follows && at + 1 == cli->argument_count)
            return flag;
        cli->given[cli->given_count++] = (struct given){flag, follows ? cli->arguments[++at] : value};
    }
    return NULL;
}

static void offer_all(struct completer *self)
{
    struct cli *cli = self->cli;
    const char *words;
    uint32_t at = args_find_command(cli, &words);
    if (!cli->command) {
        if (at == cli->argument_count)
            offer_words(self, words);
        return;
    }
    const struct flag *flag = read_arguments(cli, at);
    const char *equals = strncmp(self->word, "--", 2) == 0 ? strchr(self->word, '=') : NULL;
    if (!flag && equals) {
        flag = command_flag(cli->command,
                            arena_text(&cli->arena, self->word + 2, (size_t)(equals - self->word) - 2), 0);
        self->lead = arena_text(&cli->arena, self->word, (size_t)(equals + 1 - self->word));
        self->value = equals + 1;
        if (!flag)
            return;
    }
    if (flag)
        offer_value(self, flag);
    else if (self->word[0] == '-' || cli->positional_count >= cli->command->positional_max)
        offer_flags(self);
    else if (cli->command->names != NAMES_NONE)
        offer_names(self, cli->command->names);
    else if (!strchr(cli->command->positional, ' '))
        offer_choices(self, cli->command->positional);
}

/* What bash takes for words of their own: everything up to the last mark at which it breaks words. */
static const char *stripped_by(struct arena *arena, const char *word, const char *breaks)
{
    size_t cut = 0;
    for (size_t i = 0; word[i]; i++)
        if ((word[i] == '=' || word[i] == ':') && strchr(breaks, word[i]))
            cut = i + 1;
    return arena_text(arena, word, cut);
}

enum cli_exit complete(struct cli *cli)
{
    const char *shell = cli->arguments[1], *line = cli->arguments[2];
    const char *breaks = cli->argument_count > 3 ? cli->arguments[3] : "=:";
    struct completer self = {.cli = cli, .bash = strcmp(shell, "bash") == 0, .lead = ""};
    char *unheard = NULL;
    size_t length = 0;
    FILE *err = cli->err;
    split_line(&self, line);
    self.value = self.word;
    self.stripped = stripped_by(&cli->arena, self.word, breaks);
    cli->err = open_memstream(&unheard, &length); /* a line that is being typed is no place for sentences */
    CHECK(cli->err, "out of memory");
    offer_all(&self);
    if (self.files)
        fputs(":files\n", cli->out);
    (void)fclose(cli->err);
    free(unheard);
    cli->err = err;
    return CLI_DONE;
}
