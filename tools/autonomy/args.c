/* From argv to a command with values.
 *
 * Runbooks are pasted from web pages, which turn "--" into a dash and quotes into typographic ones; a shell
 * then splits what they enclosed. args_fold() undoes exactly that, and leaves what stands inside a sentence
 * as it is. */
#include "tools/autonomy/cli.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "tools/autonomy/hints.h"

/* U+2010 .. U+2015 (hyphens, figure, en, em dash, bar) and U+2212 (minus): three bytes each. */
static size_t dash_bytes(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    if (at[0] == 0xe2 && at[1] == 0x80 && at[2] >= 0x90 && at[2] <= 0x95)
        return 3;
    if (at[0] == 0xe2 && at[1] == 0x88 && at[2] == 0x92)
        return 3;
    return 0;
}

/* '"' for a typographic double quote, '\'' for a single one, 0 for anything else: U+2018 .. U+201F, three
 * bytes. */
static char quote_kind(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    if (at[0] != 0xe2 || at[1] != 0x80 || at[2] < 0x98 || at[2] > 0x9f)
        return 0;
    return at[2] < 0x9c ? '\'' : '"';
}

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static const char *fold_dashes(struct arena *arena, const char *text)
{
    const char *at = text;
    bool typographic = false;
    for (size_t bytes; *at == '-' || dash_bytes(at) > 0; at += bytes) {
        bytes = *at == '-' ? 1 : dash_bytes(at);
        typographic = typographic || bytes > 1;
    }
    if (!typographic || !letter(*at))
        return text;
    return arena_printf(arena, "%s%s", at[1] == '\0' ? "-" : "--", at);
}

static bool ends_with_quote(const char *text, char kind)
{
    size_t length = strlen(text);
    return length >= 3 && quote_kind(text + length - 3) == kind;
}

/* Where an argument's value begins: after "--name=", else at its start. */
static size_t value_offset(const char *text)
{
    const char *equals = strncmp(text, "--", 2) == 0 ? strchr(text, '=') : NULL;
    return equals ? (size_t)(equals - text) + 1 : 0;
}

/* Takes the arguments from `first` on that one pair of quotes encloses. @return how many were taken */
static uint32_t fold_quotes(struct arena *arena, uint32_t count, char *const *arguments, const char *first,
                            const char **out)
{
    size_t offset = value_offset(first);
    char kind = quote_kind(first + offset);
    *out = first;
    if (!kind)
        return 1;
    const char *text = arena_printf(arena, "%.*s%s", (int)offset, first, first + offset + 3);
    uint32_t taken = 1;
    while (!ends_with_quote(text + offset, kind) && taken < count) {
        text = arena_printf(arena, "%s %s", text, arguments[taken]);
        taken++;
    }
    size_t length = strlen(text);
    if (ends_with_quote(text + offset, kind)) {
        *out = arena_text(arena, text, length - 3);
        return taken;
    }
    *out = arena_printf(arena, "%.*s%s", (int)offset, first,
                        first + offset + 3); /* never closed: only the mark goes */
    return 1;
}

uint32_t args_fold(struct arena *arena, uint32_t count, char *const *arguments, const char **out)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count;) {
        const char *first = fold_dashes(arena, arguments[i]);
        i += fold_quotes(arena, count - i, arguments + i, first, &out[kept]);
        kept++;
    }
    return kept;
}

const char *args_fold_word(struct arena *arena, const char *text)
{
    size_t length = strlen(text), kept = 0;
    char *out = arena_new(arena, length + 1);
    for (const char *at = text; *at;) {
        size_t dash = dash_bytes(at);
        if (quote_kind(at)) {
            at += 3;
            continue;
        }
        out[kept++] = dash ? '-' : *at;
        at += dash ? dash : 1;
    }
    out[kept] = '\0';
    return out;
}

/* --- flags --- */

const struct flag *command_flag_at(const struct command *command, uint32_t n)
{
    for (uint32_t set = 0; set < COMMAND_SETS_MAX && command->sets[set]; set++)
        for (const struct flag *flag = command->sets[set]; flag->name; flag++)
            if (n-- == 0)
                return flag;
    return NULL;
}

const struct flag *command_flag(const struct command *command, const char *name, char letter_wanted)
{
    const struct flag *flag;
    for (uint32_t i = 0; (flag = command_flag_at(command, i)); i++)
        if ((name && strcmp(flag->name, name) == 0) || (letter_wanted && flag->letter == letter_wanted))
            return flag;
    return NULL;
}

const char *cli_typed(const struct cli *cli, const char *name)
{
    for (uint32_t i = cli->given_count; i-- > 0;)
        if (strcmp(cli->given[i].flag->name, name) == 0)
            return cli->given[i].value;
    return NULL;
}

const char *cli_value(const struct cli *cli, const char *name)
{
    const char *typed = cli_typed(cli, name);
    const struct flag *flag = command_flag(cli->command, name, 0);
    /* --operator "$UNSET" is what a runbook gives when a variable isn't set: as if it weren't there. */
    if (typed && (*typed || !flag || flag->blank || flag->type == FLAG_SWITCH))
        return typed;
    if (!flag)
        return NULL;
    const char *environment = flag->env ? getenv(flag->env) : NULL;
    return environment && *environment ? environment : flag->fallback;
}

bool cli_on(const struct cli *cli, const char *name)
{
    return cli_typed(cli, name) != NULL;
}

uint64_t cli_number(const struct cli *cli, const char *name)
{
    const char *value = cli_value(cli, name);
    uint64_t number = 0;
    return value && parse_u64(value, UINT64_MAX, &number) ? number : 0;
}

uint64_t cli_duration_ms(const struct cli *cli, const char *name)
{
    const char *value = cli_value(cli, name);
    uint64_t duration = 0;
    return value && parse_duration_ms(value, &duration) ? duration : 0;
}

static bool choice_has(const char *choices, const char *value)
{
    size_t length = strlen(value);
    for (const char *at = choices; at; at = strchr(at, '|'), at = at ? at + 1 : NULL)
        if (strcspn(at, "|") == length && strncmp(at, value, length) == 0)
            return true;
    return false;
}

/* Identities and ids travel in headers, where a line break would end them. C1 is c2 80 .. c2 9f in UTF-8. */
static bool has_control(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++)
        if (*at < 0x20 || *at == 0x7f || (at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f))
            return true;
    return false;
}

static bool only_blanks(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '\0';
}

static enum cli_exit check_value(struct cli *cli, const struct flag *flag, const char *value)
{
    uint64_t number = 0;
    if (flag->type != FLAG_PATH && !utf8_valid(value, strlen(value)))
        return cli_fail(cli, CLI_USAGE, "--%s is not UTF-8 text", flag->name);
    if (flag->type == FLAG_WORD && has_control(value))
        return cli_fail(cli, CLI_USAGE, "--%s holds a line break or another control character", flag->name);
    if (flag->type != FLAG_PATH && !flag->blank && only_blanks(value))
        return cli_fail(cli, CLI_USAGE, "--%s is only blanks", flag->name);
    if (flag->type == FLAG_NUMBER && !parse_u64(value, UINT64_MAX, &number))
        return cli_fail(cli, CLI_USAGE, "--%s takes a number, not \"%s\"", flag->name, value);
    if (flag->type == FLAG_DURATION && !parse_duration_ms(value, &number))
        return cli_fail(cli, CLI_USAGE, "--%s takes a duration like 500ms, 30s, 5m or 1h, not \"%s\"",
                        flag->name, value);
    if (flag->type == FLAG_TIME && time_parse(value, &number) != 0)
        return cli_fail(cli, CLI_USAGE, "--%s takes a time like 2026-01-02T03:04:05Z, not \"%s\"", flag->name,
                        value);
    if (flag->type == FLAG_CHOICE && !choice_has(flag->choices, value))
        return cli_fail(cli, CLI_USAGE, "--%s takes one of %s, not \"%s\"", flag->name, flag->choices, value);
    return CLI_DONE;
}

static enum cli_exit give(struct cli *cli, const struct flag *flag, const char *value)
{
    if (flag->type == FLAG_WORD || flag->type == FLAG_CHOICE || flag->type == FLAG_TIME)
        value = args_fold_word(&cli->arena, value);
    enum cli_exit exit = flag->type == FLAG_SWITCH || !*value ? CLI_DONE : check_value(cli, flag, value);
    if (exit != CLI_DONE)
        return exit;
    if (flag->type == FLAG_PATH && !*value)
        return cli_fail(cli, CLI_USAGE, "--%s is empty; is a variable unset?", flag->name);
    if (!flag->repeat && cli_typed(cli, flag->name))
        return cli_fail(cli, CLI_USAGE, "--%s was given twice", flag->name);
    cli->given[cli->given_count++] = (struct given){flag, value};
    return CLI_DONE;
}

/* A flag of this or any other command. */
static bool known_flag(const struct cli *cli, const char *text)
{
    if (strncmp(text, "--", 2) != 0)
        return false;
    const char *name = arena_text((struct arena *)&cli->arena, text + 2, strcspn(text + 2, "="));
    for (uint32_t i = 0; i < command_count; i++)
        if (command_flag(&command_table[i], name, 0))
            return true;
    return strcmp(name, "help") == 0;
}

/* What follows a flag is the next flag, and its own value was forgotten. A sentence may begin with dashes. */
static bool value_forgotten(const struct cli *cli, const struct flag *flag, const char *next)
{
    bool dashed = next[0] == '-' && next[1] == '-' && letter(next[2]);
    return known_flag(cli, next) || (dashed && flag->type != FLAG_SENTENCE);
}

#define WORD_BYTES_MAX 32u

/* One letter too many, missing, wrong, or two that changed places. */
static bool mistyped(const char *typed, const char *word, size_t word_length)
{
    size_t length = strlen(typed), same = 0, end = 0;
    size_t shorter = length < word_length ? length : word_length, longer = length + word_length - shorter;
    if (longer > shorter + 1 || longer > WORD_BYTES_MAX)
        return false;
    while (same < shorter && typed[same] == word[same])
        same++;
    while (end < shorter - same && typed[length - 1 - end] == word[word_length - 1 - end])
        end++;
    if (longer - same - end <= 1)
        return true;
    return length == word_length && length - same - end == 2 && typed[same] == word[same + 1] &&
           typed[same + 1] == word[same];
}

static enum cli_exit unknown_flag(struct cli *cli, const char *text)
{
    const struct flag *flag;
    size_t length = strcspn(text, "=");
    (void)cli_fail(cli, CLI_USAGE, "\"autonomy %s\" has no flag %.*s", cli->command->path, (int)length, text);
    const char *typed = arena_text(&cli->arena, text, length);
    typed += strspn(typed, "-");
    for (uint32_t i = 0; (flag = command_flag_at(cli->command, i)) && strlen(typed) >= 3; i++)
        if (strncmp(flag->name, typed, strlen(typed)) == 0 || mistyped(typed, flag->name, strlen(flag->name)))
            fprintf(cli->err, "  there is: --%s%s%s\n", flag->name, flag->value ? " " : "",
                    flag->value ? flag->value : "");
    return CLI_USAGE;
}

/* One flag at arguments[*at]; its value may be the next argument. */
static enum cli_exit parse_flag(struct cli *cli, uint32_t *at)
{
    const char *text = cli->arguments[*at];
    bool is_long = text[1] == '-';
    const char *equals = is_long ? strchr(text, '=') : NULL;
    const char *name =
        is_long ? arena_text(&cli->arena, text + 2, equals ? (size_t)(equals - text - 2) : strlen(text + 2))
                : NULL;
    const struct flag *flag = command_flag(cli->command, name, is_long ? 0 : text[1]);
    if (!flag || (!is_long && text[2] != '\0'))
        return unknown_flag(cli, text);
    if (flag->type == FLAG_SWITCH) {
        if (equals)
            return cli_fail(cli, CLI_USAGE, "--%s takes no value", flag->name);
        return give(cli, flag, "");
    }
    if (equals)
        return give(cli, flag, equals + 1);
    uint64_t duration;
    if (flag->optional &&
        (*at + 1 >= cli->argument_count || !parse_duration_ms(cli->arguments[*at + 1], &duration)))
        return give(cli, flag, "");
    if (*at + 1 >= cli->argument_count || value_forgotten(cli, flag, cli->arguments[*at + 1]))
        return cli_fail(cli, CLI_USAGE, "--%s needs a value: --%s %s", flag->name, flag->name, flag->value);
    ++*at;
    return give(cli, flag, cli->arguments[*at]);
}

/* --- the line to type again --- */

static void append_quoted(struct bytes *out, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/:=@%+,";
    if (*text && text[strspn(text, plain)] == '\0') {
        bytes_append_text(out, text);
        return;
    }
    bytes_append_text(out, "'");
    for (; *text; text++) {
        if (*text == '\'')
            bytes_append_text(out, "'\\''");
        else
            bytes_append(out, text, 1);
    }
    bytes_append_text(out, "'");
}

static void append_word(struct bytes *line, const char *text)
{
    bytes_append_text(line, " ");
    append_quoted(line, text);
}

/* --- the command --- */

/* Rows whose path begins with these words. */
static uint32_t matches(const char *words, const struct command **exact)
{
    size_t length = strlen(words);
    uint32_t found = 0;
    *exact = NULL;
    for (uint32_t i = 0; i < command_count; i++) {
        const char *path = command_table[i].path;
        if (strncmp(path, words, length) != 0 || (path[length] != ' ' && path[length] != '\0'))
            continue;
        found++;
        if (path[length] == '\0')
            *exact = &command_table[i];
    }
    return found;
}

static bool wants_help(const struct cli *cli, uint32_t from)
{
    for (uint32_t i = from; i < cli->argument_count && strcmp(cli->arguments[i], "--") != 0; i++)
        if (strcmp(cli->arguments[i], "--help") == 0 || strcmp(cli->arguments[i], "-h") == 0)
            return true;
    return false;
}

uint32_t args_find_command(struct cli *cli, const char **words)
{
    uint32_t at = 0;
    *words = "";
    for (; at < cli->argument_count && cli->arguments[at][0] != '-'; at++) {
        const char *longer =
            **words ? arena_printf(&cli->arena, "%s %s", *words, cli->arguments[at]) : cli->arguments[at];
        const struct command *exact;
        if (matches(longer, &exact) == 0)
            break;
        *words = longer;
        cli->command = exact;
    }
    return at;
}

/* The commands that may have been meant: they have the wrong word elsewhere ("rollout list" is "rollout plan
 * list"), or have one like it in its place. */
static void suggest(struct cli *cli, const char *words, const char *wrong)
{
    uint32_t shown = 0;
    size_t length = strlen(words);
    for (uint32_t i = 0; i < command_count && shown < 4; i++) {
        const char *path = command_table[i].path;
        if (strncmp(path, words, length) != 0 || strlen(wrong) < 3)
            continue;
        const char *word = path + length + (length > 0 && path[length] == ' ' ? 1 : 0);
        if (!strstr(path, wrong) && !mistyped(wrong, word, strcspn(word, " ")))
            continue;
        fprintf(cli->err, "  there is: autonomy %s\n", path);
        shown++;
    }
}

/* "--operator o ha status": the line as it should have been typed. */
static enum cli_exit flag_before_command(struct cli *cli, const char *words, uint32_t at)
{
    const struct command *exact;
    uint32_t rest = at + 1;
    for (; rest < cli->argument_count; rest++) {
        const char *word = cli->arguments[rest];
        if (matches(*words ? arena_printf(&cli->arena, "%s %s", words, word) : word, &exact) > 0)
            break;
    }
    struct bytes line;
    bytes_init(&line, 0);
    for (uint32_t i = 0; i < at; i++)
        append_word(&line, cli->arguments[i]);
    if (rest == cli->argument_count)
        bytes_append_text(&line, " COMMAND");
    for (uint32_t i = rest; i < cli->argument_count; i++)
        append_word(&line, cli->arguments[i]);
    for (uint32_t i = at; i < rest; i++)
        append_word(&line, cli->arguments[i]);
    const char *text = cli->arguments[at];
    cli_fail(cli, CLI_USAGE, "%.*s stands before the command; flags go behind it:\n  autonomy%.*s",
             (int)strcspn(text, "="), text, (int)line.length, (const char *)line.data);
    bytes_done(&line);
    return CLI_USAGE;
}

static enum cli_exit no_command(struct cli *cli, const char *words, uint32_t at, bool *help)
{
    if (at < cli->argument_count && cli->arguments[at][0] != '-') {
        cli_fail(cli, CLI_USAGE, "there is no command \"autonomy %s%s%s\"", words, *words ? " " : "",
                 cli->arguments[at]);
        suggest(cli, words, cli->arguments[at]);
        hint_say(cli, "see what there is: autonomy%s%s --help", *words ? " " : "", words);
        return CLI_USAGE;
    }
    *help = wants_help(cli, at);
    if (!*help && at < cli->argument_count)
        return flag_before_command(cli, words, at);
    help_group(*help ? cli->out : cli->err, words);
    if (!*help)
        hint_say(cli, "choose one of these commands");
    return *help ? CLI_DONE : CLI_USAGE;
}

static enum cli_exit check_complete(struct cli *cli)
{
    const struct flag *flag;
    for (uint32_t i = 0; (flag = command_flag_at(cli->command, i)); i++) {
        const char *value = cli_value(cli, flag->name);
        if (flag->required && (!value || (!*value && !flag->blank)))
            return cli_fail(cli, CLI_USAGE, "--%s is required: --%s %s%s%s\nexample: %s", flag->name,
                            flag->name, flag->value, flag->env ? ", or set " : "", flag->env ? flag->env : "",
                            cli->command->example);
        if (value && flag->type != FLAG_SWITCH && !cli_typed(cli, flag->name)) {
            enum cli_exit exit = check_value(cli, flag, value);
            if (exit != CLI_DONE)
                return exit;
        }
    }
    if (cli->positional_count < cli->command->positional_min)
        return cli_fail(cli, CLI_USAGE, "\"autonomy %s\" needs %s\nexample: %s", cli->command->path,
                        cli->command->positional, cli->command->example);
    return CLI_DONE;
}

enum cli_exit args_parse(struct cli *cli, bool *help)
{
    const char *words;
    uint32_t at = args_find_command(cli, &words);
    *help = false;
    if (!cli->command)
        return no_command(cli, words, at, help);
    if (wants_help(cli, at)) {
        *help = true;
        help_command(cli->out, cli->command);
        return CLI_DONE;
    }
    bool flags_over = false;
    for (; at < cli->argument_count; at++) {
        const char *text = cli->arguments[at];
        if (!flags_over && strcmp(text, "--") == 0) {
            flags_over = true;
            continue;
        }
        if (!flags_over && text[0] == '-' && text[1] != '\0') {
            enum cli_exit exit = parse_flag(cli, &at);
            if (exit != CLI_DONE)
                return exit;
            continue;
        }
        if (cli->positional_count >= cli->command->positional_max)
            return cli_fail(cli, CLI_USAGE, "\"autonomy %s\" doesn't know what to do with \"%s\"",
                            cli->command->path, text);
        if (!utf8_valid(text, strlen(text)))
            return cli_fail(cli, CLI_USAGE, "argument %u is not UTF-8 text", at + 1);
        cli->positional[cli->positional_count++] = text;
    }
    return check_complete(cli);
}

const char *cli_repeat(struct cli *cli, const char *without, const char *extra)
{
    struct bytes line;
    bytes_init(&line, 0);
    bytes_append_text(&line, "autonomy");
    const char *skip = without ? arena_printf(&cli->arena, "--%s", without) : NULL;
    for (uint32_t i = 0; i < cli->argument_count; i++) {
        const char *text = cli->arguments[i];
        size_t length = skip ? strlen(skip) : 0;
        if (skip && strncmp(text, skip, length) == 0 && (text[length] == '\0' || text[length] == '=')) {
            i += text[length] == '\0' ? 1 : 0;
            continue;
        }
        append_word(&line, text);
    }
    if (extra)
        bytes_printf(&line, " %s", extra);
    const char *out = arena_text(&cli->arena, (const char *)line.data, line.length);
    bytes_done(&line);
    return out;
}
