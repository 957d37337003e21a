/* From a command to the cluster and back: URL resolution, and what an operator is told when it fails. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "tools/autonomy/client.h"
#include "tools/autonomy/config.h"
#include "tools/autonomy/hints.h"
#include "tools/autonomy/output.h"
#include "tools/autonomy/transfer.h"
#include "tools/autonomy/watch.h"

/* YAML reads `version: 2` as a number; whoever wrote it meant a text. */
static void explain_number(struct cli *cli, const struct client_answer *answer)
{
    if (cli_typed(cli, "file") && strcmp(answer->code, "invalid_field") == 0 &&
        strstr(answer->message, "must be a text"))
        fprintf(cli->err, "in YAML, quotes make a number a text: version: \"2\"\n");
}

/* No leader, no quorum: what still works, and where the reason stands. */
static void explain_unavailable(struct cli *cli, const struct client_answer *answer)
{
    if (answer->status != 503 && answer->status != 504)
        return;
    if (command_flag(cli->command, "consistency", 0))
        fprintf(cli->err, "without a quorum, --consistency stale reads what the answering node has\n");
}

/* The server's own word for what to do instead; else the table's. */
static const char *next_for(struct cli *cli, const struct client_answer *answer)
{
    const char *command = json_string_value(json_object_get(answer->json, "command"));
    if (command)
        return printable(cli, command);
    const char *next = hint_text(cli, answer->code);
    if (next || (answer->status != 503 && answer->status != 504))
        return next;
    return hint_text(cli, answer->status == 503 ? "unavailable" : "timeout");
}

static void explain(struct cli *cli, struct client *client, bool change, const struct client_answer *answer)
{
    const char *next = next_for(cli, answer);
    switch (answer->exit) {
    case CLI_UNREACHABLE:
        cli_fail(cli, answer->exit, "no server answered; the last one tried: %s", answer->message);
        for (uint32_t i = 0; i < client->url_count; i++)
            fprintf(cli->err, "  tried %s\n", client->urls[i].url);
        hint_say(cli, "see on one of their hosts why (systemctl status autonomyd), or name another node: "
                      "--orchestrator-url, or set AUTONOMY_ORCHESTRATOR_FALLBACK_URLS");
        break;
    case CLI_INTERRUPTED:
        if (change) /* else whoever caught it says what was done */
            cli_fail(cli, answer->exit, "interrupted; nothing was changed");
        break;
    case CLI_UNKNOWN:
        cli_fail(cli, answer->exit, "outcome unknown: %s", answer->message);
        fprintf(cli->err, "request id %s; the change happened, will happen or never will\n",
                client->request_id);
        hint_say(
            cli, "repeat it; that is safe:\n  %s",
            cli_repeat(cli, "request-id", arena_printf(&cli->arena, "--request-id %s", client->request_id)));
        break;
    default:
        cli_fail(cli, answer->exit, "%s", answer->message);
        explain_number(cli, answer);
        explain_unavailable(cli, answer);
        if (next)
            hint_say(cli, "%s", next);
        break;
    }
}

static enum error_code add_urls(struct cli *cli, struct client *client, struct error *error)
{
    const char *list = cli_value(cli, "orchestrator-url");
    const char *fallback = getenv("AUTONOMY_ORCHESTRATOR_FALLBACK_URLS");
    if (!list) {
        enum error_code code = config_value(&cli->arena, "orchestrator.url", &list, error);
        if (code != ERROR_OK)
            return code;
    }
    if (list) {
        enum error_code code = client_add(client, args_fold_word(&cli->arena, list), false, error);
        if (code != ERROR_OK)
            return code;
    }
    if (fallback) {
        enum error_code code = client_add(client, args_fold_word(&cli->arena, fallback), false, error);
        if (code != ERROR_OK)
            return error_prefix(error, "AUTONOMY_ORCHESTRATOR_FALLBACK_URLS");
    }
    members_recall(client);
    return ERROR_OK;
}

/* While a request is under way. */
static bool look(struct client *client, const char *url, uint64_t waited_ms)
{
    struct cli *cli = client->look_context;
    char text[PROGRESS_TEXT_BYTES];
    snprintf(text, sizeof text, "waiting for %s", url);
    progress_turn(&cli->progress, text, waited_ms);
    return !interrupt_seen();
}

struct client *cli_client(struct cli *cli)
{
    if (cli->client)
        return cli->client;
    struct client *client = arena_new(&cli->arena, sizeof *client);
    struct error error = {0};
    client_init(client, &cli->arena, cli_duration_ms(cli, "timeout"));
    if (add_urls(cli, client, &error) != ERROR_OK) {
        cli_fail(cli, CLI_USAGE, "%s", error.message);
        return NULL;
    }
    if (client->url_count == 0) {
        cli_fail(cli, CLI_USAGE,
                 "which server? --orchestrator-url http://HOST:PORT, or set AUTONOMY_ORCHESTRATOR_URL, or "
                 "once for all:\n"
                 "  autonomy config set orchestrator.url http://HOST:PORT");
        return NULL;
    }
    const char *request_id = cli_value(cli, "request-id");
    if (request_id && (strlen(request_id) >= sizeof client->request_id || !*request_id)) {
        cli_fail(cli, CLI_USAGE, "--request-id takes 1 to %u characters", REQUEST_ID_BYTES_MAX);
        return NULL;
    }
    if (request_id)
        snprintf(client->request_id, sizeof client->request_id, "%s", request_id);
    client->principal = cli_value(cli, "operator");
    client->look = look;
    client->look_context = cli;
    client->member_sync = true;
    cli->client = client;
    return client;
}

static const char *body_text(struct cli *cli, const json_t *body)
{
    if (!body)
        return NULL;
    char *text = json_dumps(body, JSON_COMPACT);
    CHECK(text, "a request that can't be written");
    const char *copy = arena_text(&cli->arena, text, strlen(text));
    free(text);
    return copy;
}

static enum cli_exit not_ours(struct cli *cli, const char *who, const char *what)
{
    (void)cli_fail(cli, CLI_FAILED, "%s %s; is an autonomyd listening there?", who, what);
    hint_say(cli, "look at --orchestrator-url; a node's looks like http://127.0.0.1:7101");
    return CLI_FAILED;
}

enum cli_exit cli_call(struct cli *cli, const char *method, const char *path, const struct json_t *body,
                       struct json_t **out)
{
    struct client *client = cli_client(cli);
    if (!client)
        return CLI_USAGE;
    struct client_answer answer;
    bool change = transfer_is_change(method, path);
    if (change)
        interrupt_catch(); /* whoever interrupts a change is told whether it happened */
    if (cli->watch)
        path = watch_path(cli, path);
    client_send(client, method, path, body_text(cli, body), &answer);
    if (change)
        (void)interrupt_release();
    if (!cli->progress.what[0])
        progress_wipe(&cli->progress);
    enum cli_exit exit = answer.exit;
    if (exit != CLI_DONE)
        explain(cli, client, change, &answer);
    else if (!answer.json)
        exit = not_ours(cli, answer.url, "answered with something that isn't JSON");
    else {
        *out = json_incref(answer.json);
        if (cli->watch)
            watch_answer(cli, answer.json, answer.index);
    }
    client_answer_done(&answer);
    return exit;
}

enum cli_exit cli_page(struct cli *cli, const char *path, uint64_t rows, const char **cursor,
                       struct json_t **out)
{
    const char *limit = arena_printf(&cli->arena, "%llu", (unsigned long long)rows);
    json_t *page = NULL;
    enum cli_exit exit = cli_call(
        cli, "GET", cli_query(cli, cli_query(cli, path, "limit", limit), "cursor", *cursor), NULL, &page);
    if (exit != CLI_DONE)
        return exit;
    json_t *items = json_is_array(page) ? page : json_object_get(page, "items");
    const char *next = json_string_value(json_object_get(page, "next_cursor"));
    *cursor =
        next && *next && json_array_size(items) > 0 ? arena_text(&cli->arena, next, strlen(next)) : NULL;
    if (json_is_array(items))
        *out = json_incref(items);
    else
        exit = not_ours(cli, "the server", "answered without a list");
    json_decref(page);
    return exit;
}

enum cli_exit cli_list(struct cli *cli, const char *path, uint64_t limit, struct json_t **out)
{
    json_t *rows = json_array();
    const char *cursor = NULL;
    enum cli_exit exit = CLI_DONE;
    do {
        uint64_t missing = limit > 0 ? limit - json_array_size(rows) : CLI_PAGE_ROWS;
        json_t *page = NULL;
        exit = cli_page(cli, path, missing < CLI_PAGE_ROWS ? missing : CLI_PAGE_ROWS, &cursor, &page);
        if (exit == CLI_DONE)
            json_array_extend(rows, page);
        json_decref(page);
    } while (exit == CLI_DONE && cursor && json_array_size(rows) < CLI_ROWS_MAX &&
             (limit == 0 || json_array_size(rows) < limit));
    if (exit == CLI_DONE && cursor && limit == 0) {
        exit = cli_fail(cli, CLI_FAILED, "more than %u rows", CLI_ROWS_MAX);
        hint_say(cli, "narrow it down with a filter: autonomy %s --help", cli->command->path);
    }
    if (exit == CLI_DONE)
        *out = rows;
    else
        json_decref(rows);
    return exit;
}

const char *cli_escape(struct cli *cli, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-";
    struct bytes out;
    bytes_init(&out, 0);
    for (; *text; text++) {
        if (strchr(plain, *text))
            bytes_append(&out, text, 1);
        else
            bytes_printf(&out, "%%%02X", (unsigned)(unsigned char)*text);
    }
    const char *copy = arena_text(&cli->arena, out.data ? (const char *)out.data : "", out.length);
    bytes_done(&out);
    return copy;
}

const char *cli_query(struct cli *cli, const char *path, const char *name, const char *value)
{
    if (!value || !*value)
        return path;
    return arena_printf(&cli->arena, "%s%c%s=%s", path, strchr(path, '?') ? '&' : '?', name,
                        cli_escape(cli, value));
}

const char *cli_read_path(struct cli *cli, const char *path)
{
    return cli_query(cli, path, "consistency", cli_value(cli, "consistency"));
}

struct json_t *cli_split(const char *list)
{
    json_t *items = json_array();
    while (*list) {
        size_t length = strcspn(list, ",");
        if (length > 0)
            json_array_append_new(items, json_stringn(list, length));
        list += length + (list[length] == ',' ? 1 : 0);
    }
    return items;
}
