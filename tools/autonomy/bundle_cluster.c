/* What the nodes tell. Lists are read `stale`: a bundle is wanted most when there is no quorum to confirm a
 * read. */
#include <jansson.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "tools/autonomy/bundle.h"

/* Time left for one question; 0 and a reason when the bundle's own time is over. */
static uint64_t time_left(const struct bundle *self)
{
    uint64_t now = clock_monotonic_us() / 1000;
    uint64_t left = now < self->deadline_ms ? self->deadline_ms - now : 0;
    return left < BUNDLE_REQUEST_MS ? left : BUNDLE_REQUEST_MS;
}

/* Asks `url`, or whoever answers when it is NULL. @return NULL after writing why */
static json_t *ask(struct bundle *self, const char *url, const char *path, char *why, size_t why_bytes)
{
    struct client_answer answer = {0};
    uint64_t left_ms = time_left(self);
    json_t *json = NULL;
    if (!self->client) {
        snprintf(why, why_bytes, "no server is known; name one with --orchestrator-url");
        return NULL;
    }
    if (left_ms == 0) {
        snprintf(why, why_bytes, "the time for the bundle is over; --timeout gives it more");
        return NULL;
    }
    self->client->timeout_ms = left_ms;
    if (url)
        client_send_to(self->client, url, "GET", path, NULL, left_ms, &answer);
    else
        client_send(self->client, "GET", path, NULL, &answer);
    if (answer.exit == CLI_DONE && answer.json)
        json = json_incref(answer.json);
    else
        snprintf(why, why_bytes, "%s", answer.message[0] ? answer.message : "the answer isn't JSON");
    client_answer_done(&answer);
    return json;
}

static void put_answer(struct bundle *self, const char *collector, const char *url, const char *path,
                       const char *file)
{
    char why[1024];
    json_t *json = ask(self, url, path, why, sizeof why);
    if (json)
        bundle_put_json(self, collector, file, json);
    else
        bundle_failed(self, collector, file, why);
}

/* Reads pages until `most` rows. What was read before a failure is kept; the failure gets a row of its own.
 * @return NULL when nothing was read before it */
static json_t *ask_list(struct bundle *self, const char *collector, const char *path, const char *file,
                        size_t most)
{
    json_t *rows = json_array();
    const char *cursor = NULL;
    bool failed = false;
    char why[1024];
    do {
        const char *limit = most < 1000 ? arena_printf(&self->cli->arena, "%zu", most) : "1000";
        const char *page_path =
            cli_query(self->cli, cli_query(self->cli, path, "limit", limit), "cursor", cursor);
        json_t *page = ask(self, NULL, page_path, why, sizeof why);
        if (!page) {
            bundle_failed(self, collector, file, why);
            failed = true;
            break;
        }
        const char *next = json_string_value(json_object_get(page, "next_cursor"));
        json_array_extend(rows, json_object_get(page, "items"));
        cursor = next && *next ? arena_text(&self->cli->arena, next, strlen(next)) : NULL;
        json_decref(page);
    } while (cursor && json_array_size(rows) < most);
    if (json_array_size(rows) > 0 || !failed)
        return rows;
    json_decref(rows);
    return NULL;
}

static void put_list(struct bundle *self, const char *collector, const char *path, const char *file,
                     size_t most)
{
    json_t *rows = ask_list(self, collector, path, file, most);
    if (rows)
        bundle_put_json(self, collector, file, rows);
}

/* --- nodes --- */

static void put_node(struct bundle *self, const char *name, const char *url)
{
    static const struct {
        const char *path, *file;
    } questions[] = {{"/v1/ha/status", "status"},
                     {"/v1/ha/quorum", "quorum"},
                     {"/v1/health/audit", "audit"},
                     {"/v1/version", "version"},
                     {"/v1/support/configuration", "configuration"}};
    char why[1024];
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        const char *file = arena_printf(&self->cli->arena, "nodes/%.48s/%s.json", name, questions[i].file);
        json_t *json = ask(self, url, questions[i].path, why, sizeof why);
        if (json) {
            bundle_put_json(self, "nodes", file, json);
            continue;
        }
        bundle_failed(self, "nodes", file, why);
        if (i == 0)
            return; /* a node that doesn't tell its status has nothing else to say: one row, one wait */
    }
}

/* "http://127.0.0.1:7101" as a folder's name */
static const char *name_from_url(struct bundle *self, const char *url)
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    char *name = arena_text(&self->cli->arena, host, strlen(host));
    for (char *at = name; *at; at++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-", *at))
            *at = '_';
    return name_valid(name) ? name : "node";
}

static bool url_listed(const json_t *members, const char *url)
{
    size_t i;
    json_t *member;
    json_array_foreach(members, i, member)
    {
        const char *known = json_string_value(json_object_get(member, "url"));
        if (known && strcmp(known, url) == 0)
            return true;
    }
    return false;
}

void collect_nodes(struct bundle *self)
{
    char why[1024];
    json_t *status = ask(self, NULL, "/v1/ha/status", why, sizeof why);
    const json_t *members = json_object_get(status, "members");
    size_t i;
    json_t *member;
    if (!status && !self->client)
        bundle_failed(self, "nodes", "nodes", why);
    json_array_foreach(members, i, member)
    {
        const char *name = json_string_value(json_object_get(member, "name"));
        const char *url = json_string_value(json_object_get(member, "url"));
        if (url && *url)
            put_node(self, name && name_valid(name) ? name : name_from_url(self, url), url);
    }
    for (uint32_t u = 0; self->client && u < self->client->url_count; u++) {
        const char *url = self->client->urls[u].url;
        if (!url_listed(members, url) && !self->client->urls[u].remembered)
            put_node(self, name_from_url(self, url), url);
    }
    json_decref(status);
}

/* --- what is replicated --- */

void collect_plans(struct bundle *self)
{
    json_t *plans = ask_list(self, "plans", "/v1/rollouts?consistency=stale", "plans.json", 10000);
    size_t i;
    json_t *plan;
    if (!plans)
        return;
    json_array_foreach(plans, i, plan)
    {
        const char *plan_id = json_string_value(json_object_get(plan, "plan_id"));
        if (!plan_id || !name_valid(plan_id) || i >= BUNDLE_PLANS)
            continue;
        const char *path = arena_printf(&self->cli->arena, "/v1/rollouts/%s?consistency=stale", plan_id);
        put_answer(self, "plans", NULL, path, arena_printf(&self->cli->arena, "plans/%.80s.json", plan_id));
    }
    bundle_put_json(self, "plans", "plans.json", plans);
}

void collect_flags(struct bundle *self)
{
    put_list(self, "flags", "/v1/flags?consistency=stale", "flags.json", 10000);
}

void collect_switches(struct bundle *self)
{
    put_list(self, "switches", "/v1/kill-switches?consistency=stale", "kill-switches.json", 10000);
}

void collect_decisions(struct bundle *self)
{
    put_list(self, "decisions", "/v1/audit?category=rollback&consistency=stale", "decisions.json",
             BUNDLE_RECORDS);
}

void collect_audit(struct bundle *self)
{
    put_list(self, "audit", "/v1/audit?consistency=stale", "audit/tail.json", BUNDLE_RECORDS);
    put_answer(self, "audit", NULL, "/v1/audit/verify?consistency=stale", "audit/verify.json");
}
