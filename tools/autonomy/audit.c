/* `autonomy audit`: from the cluster, or from a node's folder when the cluster doesn't answer. */
#include <jansson.h>
#include <string.h>

#include "base/clock.h"
#include "tools/autonomy/audit_internal.h"
#include "tools/autonomy/hints.h"
#include "tools/autonomy/output.h"

static const char *const filter_flags[][2] = {{"category", "category"},     {"event-type", "event_type"},
                                              {"actor", "actor"},           {"outcome", "outcome"},
                                              {"source", "source"},         {"resource", "resource"},
                                              {"start-time", "start_time"}, {"end-time", "end_time"}};

/* The time that a flag names; parsing has checked its form. */
static uint64_t time_of(const struct cli *cli, const char *flag)
{
    const char *text = cli_value(cli, flag);
    uint64_t wall_ms = 0;
    return text && time_parse(text, &wall_ms) == 0 ? wall_ms : 0;
}

struct audit_filter audit_filter_of(const struct cli *cli)
{
    return (struct audit_filter){.category = cli_value(cli, "category"),
                                 .event_type = cli_value(cli, "event-type"),
                                 .actor = cli_value(cli, "actor"),
                                 .outcome = cli_value(cli, "outcome"),
                                 .source = cli_value(cli, "source"),
                                 .resource = cli_value(cli, "resource"),
                                 .start_ms = time_of(cli, "start-time"),
                                 .end_ms = time_of(cli, "end-time")};
}

enum cli_exit audit_folder_failed(struct cli *cli, const struct error *error)
{
    (void)cli_fail(cli, CLI_FAILED, "%s", error->message);
    hint_say(
        cli,
        "name a folder that can be read (the node's data_dir/audit), or leave --audit-dir out and ask the "
        "cluster");
    return CLI_FAILED;
}

enum cli_exit audit_open_folder(struct cli *cli, const char *path, const struct audit_filter *filter,
                                struct audit_folder **out)
{
    struct error error = {0};
    if (audit_filter_check(filter, &error) != ERROR_OK)
        return cli_fail(cli, CLI_USAGE, "%s", error.message);
    if (audit_folder_open(path, out, &error) != ERROR_OK)
        return audit_folder_failed(cli, &error);
    if (audit_folder_segments(*out) == 0)
        fprintf(cli->err, "%s holds no audit segments (NNNNNNNNNN.jsonl)\n", path);
    return CLI_DONE;
}

void audit_tell_damage(struct cli *cli, const struct audit_damage *damage)
{
    if (damage->lines > 0)
        fprintf(cli->err, "warning: %llu lines are no records and were left out; the first: %s\n",
                (unsigned long long)damage->lines, damage->first);
    if (damage->torn)
        fprintf(cli->err, "note: the last line ends in the middle and was left out; the node writes it again "
                          "when it starts\n");
}

static enum cli_exit query_folder(struct cli *cli, const char *path, json_t **out)
{
    struct audit_filter filter = audit_filter_of(cli);
    struct audit_folder *folder = NULL;
    struct audit_damage damage;
    struct error error = {0};
    enum cli_exit exit = audit_open_folder(cli, path, &filter, &folder);
    if (exit != CLI_DONE)
        return exit;
    uint64_t limit = cli_number(cli, "limit"), most = limit > 0 ? limit : CLI_ROWS_MAX + 1;
    enum error_code code = audit_folder_query(folder, &filter, most, out, &damage, &error);
    audit_folder_close(folder);
    if (code != ERROR_OK)
        return audit_folder_failed(cli, &error);
    audit_tell_damage(cli, &damage);
    if (limit > 0 || json_array_size(*out) <= CLI_ROWS_MAX)
        return CLI_DONE;
    json_decref(*out);
    *out = NULL;
    (void)cli_fail(cli, CLI_FAILED, "more than %u records match", CLI_ROWS_MAX);
    hint_say(cli, "narrow it down, or take them all: autonomy audit export");
    return CLI_FAILED;
}

const char *audit_server_path(struct cli *cli, bool oldest_first)
{
    const char *path = cli_read_path(cli, oldest_first ? "/v1/audit?order=asc" : "/v1/audit");
    for (size_t i = 0; i < sizeof filter_flags / sizeof filter_flags[0]; i++)
        path = cli_query(cli, path, filter_flags[i][1], cli_value(cli, filter_flags[i][0]));
    return path;
}

enum cli_exit run_audit_query(struct cli *cli)
{
    static const char *const names[] = {"TIMESTAMP", "EVENT", "ACTOR", "RESOURCE", "OUTCOME", "SOURCE", NULL};
    static const char *const members[] = {"timestamp", "event_name", "actor", "resource",
                                          "outcome",   "source",     NULL};
    json_t *records = NULL;
    const char *folder = cli_typed(cli, "audit-dir");
    if (cli_number(cli, "limit") > CLI_ROWS_MAX)
        return cli_fail(cli, CLI_USAGE, "--limit takes at most %u; autonomy audit export has no limit",
                        CLI_ROWS_MAX);
    enum cli_exit exit =
        folder ? query_folder(cli, folder, &records)
               : cli_list(cli, audit_server_path(cli, false), cli_number(cli, "limit"), &records);
    if (exit == CLI_DONE && cli->json)
        json_print(cli, records);
    else if (exit == CLI_DONE)
        rows_print(cli, records, names, members, "no records");
    json_decref(records);
    return exit;
}

/* --- verify --- */

#define VERIFY_PART "200000" /* records of one answer: about a second */

static void show_verified(void *context, uint64_t records)
{
    if (records % 1000 == 0)
        progress_say(context, "audit verify: %llu records fit", (unsigned long long)records);
}

static enum cli_exit verify_folder(struct cli *cli, const char *path, json_t **out)
{
    struct audit_folder *folder = NULL;
    struct error error = {0};
    enum error_code code = audit_folder_open(path, &folder, &error);
    if (code == ERROR_OK)
        code = audit_folder_verify(folder, show_verified, &cli->progress, out, &error);
    progress_say(&cli->progress, "%s", "");
    audit_folder_close(folder);
    return code == ERROR_OK ? CLI_DONE : audit_folder_failed(cli, &error);
}

/* Adds the part before to the report of the next one. */
static void add_part(json_t *report, const json_t *before)
{
    const json_int_t records = json_integer_value(json_object_get(before, "records"));
    json_object_set_new(report, "records",
                        json_integer(records + json_integer_value(json_object_get(report, "records"))));
    json_object_set(report, "first_seq", json_object_get(before, "first_seq"));
    if (json_is_null(json_object_get(report, "last_hash")))
        json_object_set(report, "last_hash", json_object_get(before, "last_hash"));
}

/* In parts, so that a trail of any length has no deadline, and any node can check the next one. */
static enum cli_exit verify_server(struct cli *cli, json_t **out)
{
    const char *path = cli_query(cli, cli_read_path(cli, "/v1/audit/verify"), "limit", VERIFY_PART);
    const char *cursor = NULL;
    json_t *before = NULL;
    enum cli_exit exit;
    do {
        json_t *report = NULL;
        exit = cli_call(cli, "GET", cli_query(cli, path, "cursor", cursor), NULL, &report);
        if (exit == CLI_DONE && before)
            add_part(report, before);
        json_decref(before);
        before = report;
        cursor = json_string_value(json_object_get(report, "next_cursor"));
        cursor = cursor ? arena_text(&cli->arena, cursor, strlen(cursor)) : NULL;
        if (report)
            show_verified(&cli->progress, (uint64_t)json_integer_value(json_object_get(report, "records")));
    } while (exit == CLI_DONE && cursor);
    progress_say(&cli->progress, "%s", "");
    if (exit == CLI_DONE)
        json_object_del(before, "next_cursor");
    *out = before;
    return exit;
}

static void print_valid(struct cli *cli, const json_t *report)
{
    const json_t *anchor = json_object_get(report, "anchor");
    fprintf(cli->out, "valid: %s records, %s to %s, last hash %s\n", member_text(cli, report, "records"),
            member_text(cli, report, "first_seq"), member_text(cli, report, "last_seq"),
            member_text(cli, report, "last_hash"));
    if (json_is_object(anchor))
        fprintf(cli->out,
                "verified from seq %s: pruned before, at %s; anchor: record %s, hash %s, told by record %s\n",
                member_text(cli, report, "first_seq"), member_text(cli, anchor, "pruned_at"),
                member_text(cli, anchor, "seq"), member_text(cli, anchor, "hash"),
                member_text(cli, anchor, "record_seq"));
}

static void print_verdict(struct cli *cli, const json_t *report)
{
    const char *torn = member_text(cli, report, "torn");
    if (json_is_true(json_object_get(report, "valid")))
        print_valid(cli, report);
    else
        fprintf(cli->out, "NOT valid: %s\n%s records before it fit\n", member_text(cli, report, "detail"),
                member_text(cli, report, "records"));
    if (*torn)
        fprintf(
            cli->out,
            "%s ends in the middle: the node was stopped while it wrote; it writes it again when it starts\n",
            torn);
}

enum cli_exit run_audit_verify(struct cli *cli)
{
    const char *path = cli_typed(cli, "audit-dir");
    json_t *report = NULL;
    enum cli_exit exit = path ? verify_folder(cli, path, &report) : verify_server(cli, &report);
    if (exit != CLI_DONE) {
        json_decref(report);
        return exit;
    }
    bool valid = json_is_true(json_object_get(report, "valid"));
    if (cli->json)
        json_print(cli, report);
    else
        print_verdict(cli, report);
    json_decref(report);
    if (valid)
        return CLI_DONE;
    (void)cli_fail(cli, CLI_FAILED, "the audit trail does not verify");
    hint_say(cli, "keep it as it is (autonomy support-bundle generate), and see whether another node's "
                  "verifies: autonomy "
                  "audit verify --orchestrator-url URL");
    return CLI_FAILED;
}
