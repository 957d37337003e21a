/* `autonomy flags`. A value's type is the flag's, so it is looked up before a text is turned into JSON. */
#include <jansson.h>
#include <string.h>

#include "base/bytes.h"
#include "base/schema.h"
#include "tools/autonomy/hints.h"
#include "tools/autonomy/output.h"

static const char *key_path(struct cli *cli, const char *key, const char *rest)
{
    return arena_printf(&cli->arena, "/v1/flags/%s%s", cli_escape(cli, key), rest);
}

enum cli_exit run_flags_list(struct cli *cli)
{
    static const char *const names[] = {"KEY",     "TYPE",   "VALUE",  "STORED",
                                        "VERSION", "REASON", "SWITCH", NULL};
    static const char *const members[] = {"key",     "type",   "value",  "stored",
                                          "version", "reason", "switch", NULL};
    json_t *flags = NULL;
    enum cli_exit exit = cli_list(cli, cli_read_path(cli, "/v1/flags"), 0, &flags);
    if (exit == CLI_DONE && cli->json)
        json_print(cli, flags);
    else if (exit == CLI_DONE)
        rows_print(cli, flags, names, members, "no flags");
    json_decref(flags);
    return exit;
}

enum cli_exit run_flags_get(struct cli *cli)
{
    json_t *flag = NULL;
    enum cli_exit exit =
        cli_call(cli, "GET", cli_read_path(cli, key_path(cli, cli->positional[0], "")), NULL, &flag);
    return answer_print(cli, exit, flag);
}

/* A typed text as JSON of that type; NULL after a sentence. "1" and "0" go to a bool flag as they are. */
static json_t *typed_value(struct cli *cli, const char *key, const char *type, const char *text)
{
    struct error error = {0};
    json_t *value = NULL;
    bool digit = strcmp(type, "bool") == 0 && (strcmp(text, "1") == 0 || strcmp(text, "0") == 0);
    if (digit || strcmp(type, "string") == 0)
        value = json_string(text);
    else if (json_parse(span_text(text), &value, &error) != ERROR_OK)
        value = NULL;
    bool fits = strcmp(type, "bool") == 0      ? json_is_boolean(value) || json_is_string(value)
                : strcmp(type, "integer") == 0 ? json_is_integer(value)
                : strcmp(type, "object") == 0  ? json_is_object(value)
                                               : value != NULL;
    if (fits)
        return value;
    json_decref(value);
    cli_fail(cli, CLI_USAGE, "%s is of type %s; \"%s\" is not", key, type, text);
    hint_say(cli, "give %s",
             strcmp(type, "bool") == 0      ? "true, false, 1 or 0"
             : strcmp(type, "integer") == 0 ? "a whole number"
                                            : "a JSON object, in single quotes: '{\"a\": 1}'");
    return NULL;
}

/* Asks for the flag's type, and reads the text as that. */
static enum cli_exit read_change(struct cli *cli, const char *key, const char *text, json_t **value)
{
    json_t *flag = NULL;
    enum cli_exit exit = cli_call(cli, "GET", key_path(cli, key, ""), NULL, &flag);
    if (exit != CLI_DONE)
        return exit;
    *value = typed_value(cli, key, member_text(cli, flag, "type"), text);
    json_decref(flag);
    return *value ? CLI_DONE : CLI_USAGE;
}

static enum cli_exit read_changes(struct cli *cli, json_t *changes)
{
    for (uint32_t i = 0; i < cli->positional_count; i++) {
        const char *text = cli->positional[i], *equals = strchr(text, '=');
        json_t *value = NULL;
        if (!equals || equals == text)
            return cli_fail(cli, CLI_USAGE, "\"%s\" is no KEY=VALUE", text);
        const char *key = arena_text(&cli->arena, text, (size_t)(equals - text));
        if (strcmp(key, "DISABLE_NEW") == 0 && !cli_value(cli, "operator"))
            return cli_fail(
                cli, CLI_USAGE,
                "DISABLE_NEW is a kill switch: --operator you@example.com, or set AUTONOMY_OPERATOR");
        enum cli_exit exit = read_change(cli, key, equals + 1, &value);
        if (exit != CLI_DONE)
            return exit;
        json_array_append_new(changes, json_pack("{s:s, s:o}", "key", key, "value", value));
    }
    return CLI_DONE;
}

static enum cli_exit send_changes(struct cli *cli, json_t *changes, json_t **answer)
{
    json_t *reason = json_string(cli_value(cli, "reason"));
    json_t *first = json_array_get(changes, 0);
    if (cli_typed(cli, "expected-version"))
        json_object_set_new(first, "expected_version",
                            json_integer((json_int_t)cli_number(cli, "expected-version")));
    enum cli_exit exit;
    if (json_array_size(changes) == 1) {
        const char *path = key_path(cli, json_string_value(json_object_get(first, "key")), "");
        json_object_del(first, "key");
        json_object_set_new(first, "reason", reason);
        exit = cli_call(cli, "PUT", path, first, answer);
    } else {
        json_t *body = json_pack("{s:O, s:o}", "changes", changes, "reason", reason);
        exit = cli_call(cli, "POST", "/v1/flags", body, answer);
        json_decref(body);
    }
    return exit;
}

static void print_changes(struct cli *cli, const json_t *answer)
{
    static const char *const names[] = {"KEY", "VALUE", "VERSION", NULL};
    static const char *const members[] = {"key", "value", "version", NULL};
    const json_t *changes = json_object_get(answer, "changes");
    if (changes)
        rows_print(cli, changes, names, members, NULL);
    else
        object_print(cli, answer);
}

enum cli_exit run_flags_set(struct cli *cli)
{
    json_t *changes = json_array(), *answer = NULL;
    if (cli_typed(cli, "expected-version") && cli->positional_count > 1) {
        json_decref(changes);
        return cli_fail(cli, CLI_USAGE, "--expected-version goes with one flag, not with %u",
                        cli->positional_count);
    }
    enum cli_exit exit = read_changes(cli, changes);
    if (exit == CLI_DONE)
        exit = send_changes(cli, changes, &answer);
    if (exit == CLI_DONE && cli->json)
        json_print(cli, answer);
    else if (exit == CLI_DONE)
        print_changes(cli, answer);
    json_decref(answer);
    json_decref(changes);
    return exit;
}

enum cli_exit run_flags_define(struct cli *cli)
{
    const char *key = cli->positional[0], *type = cli_value(cli, "type");
    json_t *fallback = typed_value(cli, key, type, cli_value(cli, "default"));
    json_t *safe = fallback ? typed_value(cli, key, type, cli_value(cli, "safe")) : NULL;
    json_t *answer = NULL;
    if (!safe) {
        json_decref(fallback);
        return CLI_USAGE;
    }
    json_t *body =
        json_pack("{s:s, s:o, s:o, s:s*, s:s*}", "type", type, "default", fallback, "safe", safe,
                  "description", cli_value(cli, "description"), "reason", cli_value(cli, "reason"));
    enum cli_exit exit = cli_call(cli, "PUT", key_path(cli, key, "/definition"), body, &answer);
    json_decref(body);
    return answer_print(cli, exit, answer);
}
