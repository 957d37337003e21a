/* One look at all nodes: first every member's status and counters at once, then the lists from the one of
 * them that knows best. Lists are read stale: they are shown also without a quorum. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "tools/autonomy/top.h"
#include "tools/autonomy/transfer.h"

/* --- what /metrics says --- */

/* What an operator's programs read; not what watches the node, as we do. */
static bool route_counts(const char *line)
{
    static const char *const routes[] = {"route=\"/v1/rollouts", "route=\"/v1/flags",
                                         "route=\"/v1/kill-switches", "route=\"/v1/audit",
                                         "route=\"/v1/rollback"};
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        if (strstr(line, routes[i]))
            return true;
    return false;
}

/* Adds up `name{...} N` over the lines that pass. */
static uint64_t metric_sum(struct arena *arena, const char *text, const char *name, const char *holds,
                           bool (*passes)(const char *line))
{
    uint64_t sum = 0;
    size_t name_length = strlen(name);
    for (const char *at = strstr(text, name); at; at = strstr(at + 1, name)) {
        size_t length = strcspn(at, "\n");
        if ((at != text && at[-1] != '\n') || at[name_length] != '{')
            continue;
        const char *line = arena_text(arena, at, length);
        const char *value = strrchr(line, ' ');
        uint64_t number = 0;
        if (value && strstr(line, holds) && (!passes || passes(line)) &&
            parse_u64(value + 1, UINT64_MAX / 2, &number))
            sum += number;
    }
    return sum;
}

/* --- nodes --- */

static struct top_node *node_at(struct top *self, const char *url)
{
    for (uint32_t i = 0; i < self->node_count; i++)
        if (strcmp(self->nodes[i].url, url) == 0)
            return &self->nodes[i];
    if (self->node_count == TOP_NODES_MAX || strlen(url) >= sizeof self->nodes[0].url)
        return NULL;
    struct top_node *node = &self->nodes[self->node_count++];
    *node = (struct top_node){0};
    memcpy(node->url, url, strlen(url) + 1);
    return node;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static uint64_t number_of(const json_t *object, const char *name)
{
    json_int_t number = json_integer_value(json_object_get(object, name));
    return number > 0 ? (uint64_t)number : 0;
}

static const json_t *member_at(const json_t *members, const char *url)
{
    size_t i;
    json_t *member;
    json_array_foreach(members, i, member)
    {
        if (strcmp(text_of(member, "url"), url) == 0)
            return member;
    }
    return NULL;
}

void top_learn(struct top *self, const struct json_t *status)
{
    const json_t *members = json_object_get(status, "members");
    size_t i;
    json_t *member;
    uint32_t kept = 0;
    for (uint32_t n = 0; n < self->client->url_count; n++) {
        struct top_node *node =
            self->client->urls[n].remembered ? NULL : node_at(self, self->client->urls[n].url);
        if (node)
            node->named = true;
    }
    json_array_foreach(members, i, member)
    {
        if (*text_of(member, "url"))
            (void)node_at(self, text_of(member, "url")); /* past the bound it shows without figures */
    }
    /* A member that is gone is asked no more. */
    for (uint32_t n = 0; n < self->node_count; n++)
        if (self->nodes[n].named || member_at(members, self->nodes[n].url))
            self->nodes[kept++] = self->nodes[n];
    self->node_count = kept;
    if (!*self->cluster_id)
        snprintf(self->cluster_id, sizeof self->cluster_id, "%s", text_of(status, "cluster_id"));
}

/* --- one look --- */

struct look {
    struct top *top;
    struct transfer asked[2 * TOP_NODES_MAX]; /* status and counters of each node */
    const json_t *status[TOP_NODES_MAX];      /* borrowed from `asked`; NULL: no answer */
    uint32_t count;                           /* nodes */
    uint32_t best;                            /* whom to believe for what they share; UINT32_MAX: nobody */
};

static void ask_nodes(struct look *self)
{
    struct top *top = self->top;
    uint64_t most_ms = top->interval_ms < TOP_ASK_MAX_MS ? top->interval_ms : TOP_ASK_MAX_MS;
    self->count = top->node_count;
    for (uint32_t i = 0; i < self->count; i++) {
        uint64_t timeout_ms = top->nodes[i].silent || most_ms < TOP_ASK_MIN_MS ? TOP_ASK_MIN_MS : most_ms;
        struct transfer question = {.url = top->nodes[i].url, .method = "GET", .timeout_ms = timeout_ms};
        self->asked[2 * i] = self->asked[2 * i + 1] = question;
        self->asked[2 * i].path = "/v1/ha/status";
        self->asked[2 * i + 1].path = "/metrics";
    }
    if (self->count > 0)
        transfer_run(top->client, self->asked, 2 * self->count);
    for (uint32_t i = 0; i < self->count; i++) {
        const struct client_answer *answer = &self->asked[2 * i].answer;
        const char *id = text_of(answer->json, "cluster_id");
        /* Another cluster's node at an address that was one of ours is none. */
        bool ours = answer->exit == CLI_DONE && json_is_object(answer->json) &&
                    (!*id || !*top->cluster_id || strcmp(id, top->cluster_id) == 0);
        self->status[i] = ours ? answer->json : NULL;
        top->nodes[i].silent = !ours;
    }
}

/* The leader that can write; else who is in contact with one; else whom we asked last time. */
static void choose_best(struct look *self)
{
    uint32_t best_score = 0;
    self->best = UINT32_MAX;
    for (uint32_t i = 0; i < self->count; i++) {
        const json_t *status = self->status[i];
        uint32_t score = 1;
        if (!status)
            continue;
        score += strcmp(self->top->nodes[i].url, self->top->source) == 0 ? 1 : 0;
        score += json_is_true(json_object_get(json_object_get(status, "quorum"), "write_ready")) ? 2 : 0;
        score += json_is_true(json_object_get(status, "write_ready")) ? 4 : 0;
        if (score > best_score) {
            best_score = score;
            self->best = i;
        }
    }
}

/* Who answered under this name. */
static uint32_t answered_as(const struct look *self, const char *name)
{
    for (uint32_t i = 0; i < self->count; i++)
        if (self->status[i] && strcmp(text_of(self->status[i], "node_id"), name) == 0)
            return i;
    return UINT32_MAX;
}

static uint32_t asked_at(const struct look *self, const char *url)
{
    for (uint32_t i = 0; i < self->count; i++)
        if (strcmp(self->top->nodes[i].url, url) == 0)
            return i;
    return UINT32_MAX;
}

/* --- rates --- */

static json_t *per_second(uint64_t before, uint64_t now, uint64_t elapsed_us)
{
    if (elapsed_us == 0 || now < before)
        return json_null();
    uint64_t tenths = (uint64_t)((double)(now - before) * 1e7 / (double)elapsed_us + 0.5);
    return json_real((double)tenths / 10);
}

/* Reads and changes that this node was asked for, without our own. */
static void add_rates(struct look *self, uint32_t at, json_t *row)
{
    struct top_node *node = &self->top->nodes[at];
    const struct client_answer *answer = &self->asked[2 * at + 1].answer;
    struct arena *arena = &self->top->cli->arena;
    if (answer->exit != CLI_DONE || !answer->text) {
        node->counted = false;
        return;
    }
    uint64_t now_us = clock_monotonic_us(), elapsed_us = node->counted ? now_us - node->counted_us : 0;
    uint64_t reads =
        metric_sum(arena, answer->text, "autonomy_http_requests_total", "method=\"GET\"", route_counts);
    uint64_t changes = metric_sum(arena, answer->text, "autonomy_changes_total", "", NULL);
    json_object_set_new(row, "reads_per_s", per_second(node->reads + node->own, reads, elapsed_us));
    json_object_set_new(row, "changes_per_s", per_second(node->changes, changes, elapsed_us));
    node->reads = reads;
    node->changes = changes;
    node->counted_us = now_us;
    node->counted = true;
    node->own = 0;
}

/* --- the object --- */

static uint64_t furthest(const struct look *self)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < self->count; i++) {
        uint64_t index = number_of(self->status[i], "commit_index");
        most = index > most ? index : most;
    }
    return most;
}

/* What the node says itself; what the others know of it where it says nothing. */
static json_t *member_row(struct look *self, const json_t *member, uint64_t commit_index)
{
    const char *name = text_of(member, "name"), *url = text_of(member, "url");
    uint32_t at = answered_as(self, name), asked = at < self->count ? at : asked_at(self, url);
    const json_t *own = at < self->count ? self->status[at] : NULL;
    json_t *row = json_pack("{s:s, s:s, s:s, s:b, s:O*}", "name", name, "url", url, "member_role",
                            text_of(member, "role"), "answers", own != NULL, "reachable",
                            json_object_get(member, "reachable"));
    uint64_t applied = number_of(own ? own : member, "applied_index");
    if (own) {
        json_object_set(row, "role", json_object_get(own, "role"));
        json_object_set(row, "term", json_object_get(own, "term"));
        json_object_set(row, "commit_index", json_object_get(own, "commit_index"));
        json_object_set(row, "write_ready", json_object_get(own, "write_ready"));
        add_rates(self, at, row);
    } else if (asked < self->count)
        json_object_set_new(row, "error", json_string(self->asked[2 * asked].answer.message));
    bool known = json_is_integer(json_object_get(own ? own : member, "applied_index"));
    json_int_t lag = commit_index > applied ? (json_int_t)(commit_index - applied) : 0;
    json_object_set_new(row, "applied_index", known ? json_integer((json_int_t)applied) : json_null());
    json_object_set_new(row, "lag_entries", known ? json_integer(lag) : json_null());
    return row;
}

static void add_members(struct look *self, json_t *out)
{
    const json_t *best = self->status[self->best];
    uint64_t commit_index = furthest(self), now_us = clock_monotonic_us();
    struct top *top = self->top;
    json_t *rows = json_array(), *member;
    size_t i;
    json_array_foreach(json_object_get(best, "members"), i, member)
        json_array_append_new(rows, member_row(self, member, commit_index));
    json_object_set_new(out, "members", rows);
    json_object_set_new(out, "commit_index", json_integer((json_int_t)commit_index));
    json_object_set_new(
        out, "writes_per_s",
        per_second(top->commit_index, commit_index, top->commit_index > 0 ? now_us - top->commit_us : 0));
    top->commit_index = commit_index;
    top->commit_us = now_us;
}

/* What all nodes share, as the best of them says it. */
static void add_cluster(struct look *self, json_t *out)
{
    static const char *const names[] = {"cluster_id", "leader", "replication"};
    const json_t *best = self->status[self->best];
    const json_t *quorum = json_object_get(best, "quorum");
    json_t *leaders = json_array();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        json_object_set(out, names[i], json_object_get(best, names[i]));
    json_object_set(out, "write_ready", json_object_get(quorum, "write_ready"));
    for (uint32_t i = 0; i < self->count; i++) {
        const char *name = text_of(self->status[i], "node_id");
        if (strcmp(text_of(self->status[i], "role"), "leader") == 0 && answered_as(self, name) == i)
            json_array_append_new(leaders, json_string(name));
    }
    json_object_set_new(out, "leaders", leaders); /* two of them: one hasn't noticed yet, or worse */
}

/* --- lists --- */

static json_t *items_of(const struct transfer *transfer)
{
    json_t *items = json_object_get(transfer->answer.json, "items");
    return transfer->answer.exit == CLI_DONE && json_is_array(items) ? items : NULL;
}

static void answers_done(struct transfer *transfers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        client_answer_done(&transfers[i].answer);
}

static void ask_source(struct look *self, struct transfer *transfers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        transfers[i].url = self->top->nodes[self->best].url;
        transfers[i].method = "GET";
        transfers[i].timeout_ms = TOP_ASK_MAX_MS;
    }
    if (count > 0)
        transfer_run(self->top->client, transfers, count);
    self->top->nodes[self->best].own += count;
}

/* Stages and their gates stand in a plan's own page. */
static void add_plans(struct look *self, const struct transfer *lists, uint32_t count, json_t *out)
{
    struct transfer pages[TOP_PLANS_MAX] = {0};
    struct cli *cli = self->top->cli;
    uint32_t wanted = 0, total = 0;
    json_t *plans = json_array(), *plan;
    size_t i;
    for (uint32_t list = 0; list < count; list++) {
        json_array_foreach(items_of(&lists[list]), i, plan)
        {
            total++;
            if (wanted < TOP_PLANS_MAX)
                pages[wanted++].path = arena_printf(&cli->arena, "/v1/rollouts/%s?consistency=stale",
                                                    cli_escape(cli, text_of(plan, "plan_id")));
        }
    }
    ask_source(self, pages, wanted);
    for (uint32_t p = 0; p < wanted; p++)
        if (pages[p].answer.exit == CLI_DONE && json_is_object(pages[p].answer.json))
            json_array_append(plans, pages[p].answer.json);
    answers_done(pages, wanted);
    json_object_set_new(out, "plans", plans);
    json_object_set_new(out, "plans_total", json_integer((json_int_t)total));
}

static void add_switches(const struct transfer *list, json_t *out)
{
    json_t *switches = json_array(), *item;
    size_t i;
    json_array_foreach(items_of(list), i, item)
    {
        if (json_is_true(json_object_get(item, "active")))
            json_array_append(switches, item);
    }
    json_object_set_new(out, "kill_switches", switches);
}

static void add_lists(struct look *self, json_t *out)
{
    enum { ACTIVE, PAUSED, PUBLISHED, SWITCHES, EVENTS, QUORUM, LISTS };
    struct transfer lists[LISTS] = {
        [ACTIVE] = {.path = "/v1/rollouts?phase=active&limit=100&consistency=stale"},
        [PAUSED] = {.path = "/v1/rollouts?phase=paused&limit=100&consistency=stale"},
        [PUBLISHED] = {.path = "/v1/rollouts?phase=published&limit=100&consistency=stale"},
        [SWITCHES] = {.path = "/v1/kill-switches?limit=1000&consistency=stale"},
        [EVENTS] = {.path = "/v1/audit?limit=20&consistency=stale"},
        [QUORUM] = {.path = "/v1/ha/quorum"},
    };
    ask_source(self, lists, LISTS);
    self->top->nodes[self->best].own -= 1; /* the quorum isn't counted as a read */
    json_object_set(out, "quorum_health", json_object_get(lists[QUORUM].answer.json, "quorum_health"));
    json_object_set(out, "quorum_loss_reason",
                    json_object_get(lists[QUORUM].answer.json, "quorum_loss_reason"));
    add_plans(self, lists, SWITCHES, out);
    add_switches(&lists[SWITCHES], out);
    json_t *events = items_of(&lists[EVENTS]);
    json_object_set_new(out, "events", events ? json_incref(events) : json_array());
    answers_done(lists, LISTS);
}

/* --- all of it --- */

static void add_time(json_t *out)
{
    struct clock clock = clock_system();
    char text[TIME_TEXT_BYTES];
    time_format(clock.wall_ms(clock.context), text);
    json_object_set_new(out, "time", json_string(text));
}

/* Nobody answered: since when, and what they said instead. */
static void add_silence(struct look *self, json_t *out)
{
    struct top *top = self->top;
    json_t *tried = json_array();
    for (uint32_t i = 0; i < self->count; i++)
        json_array_append_new(tried, json_string(self->asked[2 * i].answer.message));
    if (!*top->silent_since)
        snprintf(top->silent_since, sizeof top->silent_since, "%s", text_of(out, "time"));
    json_object_set_new(out, "silent_since", json_string(top->silent_since));
    json_object_set_new(out, "tried", tried);
    top->commit_index = 0;
}

struct json_t *top_collect(struct top *self)
{
    struct look *look = calloc(1, sizeof *look); /* too much for a stack */
    json_t *out = json_object();
    CHECK(look, "out of memory");
    look->top = self;
    add_time(out);
    ask_nodes(look);
    choose_best(look);
    bool answered = look->best < look->count;
    json_object_set_new(out, "answered", json_boolean(answered));
    if (answered) {
        const char *url = self->nodes[look->best].url;
        snprintf(self->source, sizeof self->source, "%s", url);
        self->silent_since[0] = '\0';
        json_object_set(out, "asked", json_object_get(look->status[look->best], "node_id"));
        json_object_set_new(out, "asked_url", json_string(url));
        add_cluster(look, out);
        add_members(look, out);
        add_lists(look, out);
        top_learn(self, look->status[look->best]);
    } else
        add_silence(look, out);
    answers_done(look->asked, 2 * look->count);
    free(look);
    return out;
}
