/* What a look says, for people: what decides something stands first, so that a small screen shows it. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tools/autonomy/output.h"
#include "tools/autonomy/top.h"

#define ROWS_PLAIN 1000u /* a pipe has no height */

static const char *paint(struct cli *cli, const char *colour, const char *text)
{
    return cli->colour ? arena_printf(&cli->arena, "\033[%sm%s\033[0m", colour, text) : text;
}

static const char *shown(struct cli *cli, const json_t *object, const char *name)
{
    const char *text = member_text(cli, object, name);
    return *text ? printable(cli, text) : "-";
}

/* "03:15:00" of "2026-11-22T03:15:00.336Z" */
static const char *time_of_day(struct cli *cli, const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text && strlen(text) >= 19 ? arena_text(&cli->arena, text + 11, 8) : "-";
}

/* "12.5", and "-" while there is nothing to compare with. */
static const char *rate(struct cli *cli, const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_number(value) ? arena_printf(&cli->arena, "%.1f", json_number_value(value)) : "-";
}

static const char *summed_rate(struct cli *cli, const json_t *look, const char *name)
{
    double sum = 0;
    bool known = false;
    size_t i;
    json_t *member;
    json_array_foreach(json_object_get(look, "members"), i, member)
    {
        const json_t *value = json_object_get(member, name);
        known = known || json_is_number(value);
        sum += json_number_value(value);
    }
    return known ? arena_printf(&cli->arena, "%.1f", sum) : "-";
}

/* --- the head --- */

static void print_warnings(struct cli *cli, const json_t *look)
{
    const json_t *leaders = json_object_get(look, "leaders");
    const char *why = member_text(cli, look, "quorum_loss_reason");
    const char *advice = quorum_advice(cli, json_object_get(look, "members"), "member_role");
    if (json_array_size(leaders) > 1)
        fprintf(cli->out, "%s\n",
                paint(cli, "31",
                      arena_printf(&cli->arena, "more than one node says that it leads: %s",
                                   shown(cli, look, "leaders"))));
    if (advice || (*why && !json_is_true(json_object_get(look, "write_ready"))))
        fprintf(cli->out, "%s\n", paint(cli, "31", advice ? advice : printable(cli, why)));
}

static void print_head(struct cli *cli, const json_t *look)
{
    const json_t *leader = json_object_get(look, "leader");
    const json_t *replication = json_object_get(look, "replication");
    bool ready = json_is_true(json_object_get(look, "write_ready"));
    const char *holder = shown(cli, leader, "holder_id");
    fprintf(cli->out, "%s  quorum %s  ",
            ready ? paint(cli, "32", "write-ready") : paint(cli, "31", "NO WRITES"),
            shown(cli, look, "quorum_health"));
    if (strcmp(holder, "-") != 0)
        fprintf(cli->out, "leader %s (epoch %s, since %s)", holder, shown(cli, leader, "epoch"),
                time_of_day(cli, leader, "acquired_at"));
    else
        fputs(paint(cli, "31", "no leader"), cli->out);
    fprintf(cli->out, "  lag %s\n", shown(cli, replication, "lag_status"));
    print_warnings(cli, look);
    fprintf(cli->out, "writes %s/s  reads %s/s  commit %s  %sZ  asked %s  cluster %.8s\n",
            rate(cli, look, "writes_per_s"), summed_rate(cli, look, "reads_per_s"),
            shown(cli, look, "commit_index"), time_of_day(cli, look, "time"), shown(cli, look, "asked"),
            shown(cli, look, "cluster_id"));
}

/* --- the tables --- */

static const char *state_of(const json_t *member)
{
    bool answers = json_is_true(json_object_get(member, "answers"));
    bool reachable = json_is_true(json_object_get(member, "reachable"));
    if (answers)
        return reachable ? "ok" : "cut off"; /* from the node that we believe */
    return reachable ? "no answer" : "unreachable";
}

static const char *role_of(struct cli *cli, const json_t *member)
{
    const char *place = shown(cli, member, "member_role"), *role = shown(cli, member, "role");
    if (strcmp(place, "voter") == 0)
        return role;
    return arena_printf(&cli->arena, "%s (%s)", role, place);
}

static void print_members(struct cli *cli, const json_t *look)
{
    static const char *const names[] = {"NODE",    "ROLE", "STATE",   "TERM",      "COMMIT",
                                        "APPLIED", "LAG",  "READS/S", "CHANGES/S", NULL};
    struct table table;
    size_t i;
    json_t *member;
    table_begin(&table, cli, names);
    json_array_foreach(json_object_get(look, "members"), i, member)
    {
        table_cell(&table, member_text(cli, member, "name"));
        table_cell(&table, role_of(cli, member));
        table_cell(&table, state_of(member));
        table_cell(&table, member_text(cli, member, "term"));
        table_cell(&table, member_text(cli, member, "commit_index"));
        table_cell(&table, member_text(cli, member, "applied_index"));
        table_cell(&table, member_text(cli, member, "lag_entries"));
        table_cell(&table, rate(cli, member, "reads_per_s"));
        table_cell(&table, rate(cli, member, "changes_per_s"));
    }
    table_print(&table, NULL);
}

static void print_more(struct cli *cli, uint64_t total, uint64_t printed, const char *command)
{
    if (total > printed)
        fprintf(cli->out, "... and %llu more: %s\n", (unsigned long long)(total - printed), command);
}

static void print_switches(struct cli *cli, const json_t *look, uint32_t most)
{
    static const char *const names[] = {"KILL SWITCH", "SINCE", "BY", "REASON", NULL};
    const json_t *switches = json_object_get(look, "kill_switches");
    struct table table;
    size_t i;
    json_t *item;
    if (json_array_size(switches) == 0)
        return;
    table_begin(&table, cli, names);
    json_array_foreach(switches, i, item)
    {
        if (i >= most)
            break;
        table_cell(&table, member_text(cli, item, "name"));
        table_cell(&table, time_of_day(cli, item, "activated_at"));
        table_cell(&table, member_text(cli, item, "activated_by"));
        table_cell(&table, member_text(cli, item, "reason"));
    }
    table_print(&table, NULL);
    print_more(cli, json_array_size(switches), most, "autonomy kill-switch list");
}

static const json_t *current_stage(const json_t *plan)
{
    const char *wanted = json_string_value(json_object_get(plan, "current_stage_id"));
    size_t i;
    json_t *stage;
    json_array_foreach(json_object_get(plan, "stages"), i, stage)
    {
        const char *stage_id = json_string_value(json_object_get(stage, "stage_id"));
        if (wanted && stage_id && strcmp(stage_id, wanted) == 0)
            return stage;
    }
    return NULL;
}

/* "12 of 40, 2 failed" */
static const char *nodes_text(struct cli *cli, const json_t *stage)
{
    const json_t *nodes = json_object_get(stage, "nodes");
    json_int_t failed = json_integer_value(json_object_get(nodes, "failed"));
    if (!json_object_get(nodes, "total"))
        return "";
    const char *text = arena_printf(&cli->arena, "%s of %s", member_text(cli, nodes, "activated"),
                                    member_text(cli, nodes, "total"));
    return failed > 0 ? arena_printf(&cli->arena, "%s, %lld failed", text, (long long)failed) : text;
}

/* The gates that hold it up. */
static const char *waits_for(struct cli *cli, const json_t *stage)
{
    const char *text = "";
    size_t i;
    json_t *gate;
    json_array_foreach(json_object_get(stage, "gates"), i, gate)
    {
        if (!json_is_true(json_object_get(gate, "passed")))
            text =
                arena_printf(&cli->arena, "%s%s%s", text, *text ? ", " : "", member_text(cli, gate, "kind"));
    }
    return text;
}

static void print_plans(struct cli *cli, const json_t *look, uint32_t most)
{
    static const char *const names[] = {"PLAN",      "PHASE",     "STAGE", "STAGE PHASE",
                                        "ACTIVATED", "WAITS FOR", NULL};
    const json_t *plans = json_object_get(look, "plans");
    json_int_t total = json_integer_value(json_object_get(look, "plans_total"));
    size_t count = json_array_size(plans), i;
    struct table table;
    json_t *plan;
    if (count == 0)
        return;
    table_begin(&table, cli, names);
    json_array_foreach(plans, i, plan)
    {
        const json_t *stage = current_stage(plan);
        if (i >= most)
            break;
        table_cell(&table, member_text(cli, plan, "plan_id"));
        table_cell(&table, member_text(cli, plan, "phase"));
        table_cell(&table, member_text(cli, plan, "current_stage_id"));
        table_cell(&table, member_text(cli, stage, "stage_phase"));
        table_cell(&table, nodes_text(cli, stage));
        table_cell(&table, waits_for(cli, stage));
    }
    table_print(&table, NULL);
    print_more(cli, total > 0 ? (uint64_t)total : 0, count < most ? count : most,
               "autonomy rollout plan list");
}

static void print_events(struct cli *cli, const json_t *look, uint32_t most)
{
    static const char *const names[] = {"TIME", "EVENT", "OUTCOME", "RESOURCE", "ACTOR", "REASON", NULL};
    const json_t *events = json_object_get(look, "events");
    struct table table;
    size_t i;
    json_t *event;
    if (json_array_size(events) == 0 || most == 0)
        return;
    table_begin(&table, cli, names);
    json_array_foreach(events, i, event)
    {
        if (i >= most)
            break;
        table_cell(&table, time_of_day(cli, event, "timestamp"));
        table_cell(&table, member_text(cli, event, "event_name"));
        table_cell(&table, member_text(cli, event, "outcome"));
        table_cell(&table, member_text(cli, event, "resource"));
        table_cell(&table, member_text(cli, event, "actor"));
        table_cell(&table, member_text(cli, event, "reason"));
    }
    table_print(&table, NULL);
}

/* --- all of it --- */

static void print_silence(struct cli *cli, const json_t *look)
{
    size_t i;
    json_t *why;
    fprintf(cli->out, "%s\n",
            paint(cli, "31",
                  arena_printf(&cli->arena, "no node answers since %sZ; now %sZ",
                               time_of_day(cli, look, "silent_since"), time_of_day(cli, look, "time"))));
    json_array_foreach(json_object_get(look, "tried"), i, why)
        fprintf(cli->out, "  %s\n", printable(cli, json_string_value(why)));
}

static uint32_t lines_of(const char *text)
{
    uint32_t lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

struct page {
    struct cli *cli;
    const json_t *look;
    const char *text;
    uint32_t rows;
};

/* How many rows a section may have besides its head and the blank line above it. */
static uint32_t room(const struct page *self, uint32_t percent)
{
    uint32_t used = lines_of(self->text) + 3;
    return used < self->rows ? (self->rows - used) * percent / 100 + 1 : 0;
}

static void add(struct page *self, void (*print)(struct cli *, const json_t *, uint32_t), uint32_t most)
{
    char *text = NULL;
    size_t length = 0;
    FILE *before = self->cli->out;
    if (most == 0)
        return;
    self->cli->out = open_memstream(&text, &length);
    CHECK(self->cli->out, "out of memory");
    print(self->cli, self->look, most);
    CHECK(fclose(self->cli->out) == 0, "out of memory");
    self->cli->out = before;
    if (length > 0)
        self->text = arena_printf(&self->cli->arena, "%s%s%s", self->text,
                                  *self->text && self->rows >= 12 ? "\n" : "", text);
    free(text);
}

static void print_top(struct cli *cli, const json_t *look, uint32_t most)
{
    (void)most;
    if (!json_is_true(json_object_get(look, "answered"))) {
        print_silence(cli, look);
        return;
    }
    print_head(cli, look);
    print_members(cli, look);
}

const char *top_text(struct cli *cli, const struct json_t *look, uint32_t rows)
{
    struct page page = {.cli = cli, .look = look, .text = "", .rows = rows > 0 ? rows : ROWS_PLAIN};
    add(&page, print_top, 1);
    add(&page, print_switches, room(&page, 40));
    add(&page, print_plans, room(&page, 60));
    add(&page, print_events, room(&page, 100));
    return page.text;
}
