/* `autonomy audit`: from the cluster, or from a node's folder when the cluster doesn't answer. */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/clock.h"
#include "tools/autonomy/audit_folder.h"
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

static struct audit_filter filter_of(const struct cli *cli)
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

static enum cli_exit from_folder(struct cli *cli, const char *path, uint64_t limit, bool oldest_first,
                                 json_t **out)
{
    struct audit_filter filter = filter_of(cli);
    struct audit_folder *folder = NULL;
    struct error error = {0};
    uint64_t damaged = 0;
    char first_damage[AUDIT_DAMAGE_BYTES];
    bool torn = false;
    if (audit_filter_check(&filter, &error) != ERROR_OK)
        return cli_fail(cli, CLI_USAGE, "%s", error.message);
    if (audit_folder_open(path, &folder, &error) != ERROR_OK)
        return cli_fail(cli, CLI_FAILED, "%s", error.message);
    if (audit_folder_segments(folder) == 0)
        fprintf(cli->err, "%s holds no audit segments (NNNNNNNNNN.jsonl)\n", path);
    enum error_code code =
        audit_folder_query(folder, &filter, limit, oldest_first, out, &damaged, first_damage, &torn, &error);
    audit_folder_close(folder);
    if (code != ERROR_OK)
        return cli_fail(cli, CLI_FAILED, "%s", error.message);
    if (damaged > 0)
        fprintf(cli->err, "warning: %llu lines are no records and were left out; the first: %s\n",
                (unsigned long long)damaged, first_damage);
    if (torn)
        fprintf(cli->err, "note: the last line ends in the middle and was left out; the node writes it again "
                          "when it starts\n");
    return CLI_DONE;
}

static enum cli_exit from_server(struct cli *cli, uint64_t limit, bool oldest_first, json_t **out)
{
    const char *path = oldest_first ? "/v1/audit?order=asc" : "/v1/audit";
    path = cli_read_path(cli, path);
    for (size_t i = 0; i < sizeof filter_flags / sizeof filter_flags[0]; i++)
        path = cli_query(cli, path, filter_flags[i][1], cli_value(cli, filter_flags[i][0]));
    return cli_list(cli, path, limit, out);
}

static enum cli_exit read_records(struct cli *cli, uint64_t limit, bool oldest_first, json_t **out)
{
    const char *folder = cli_typed(cli, "audit-dir");
    return folder ? from_folder(cli, folder, limit, oldest_first, out)
                  : from_server(cli, limit, oldest_first, out);
}

enum cli_exit run_audit_query(struct cli *cli)
{
    static const char *const names[] = {"TIMESTAMP", "EVENT", "ACTOR", "RESOURCE", "OUTCOME", "SOURCE", NULL};
    static const char *const members[] = {"timestamp", "event_name", "actor", "resource",
                                          "outcome",   "source",     NULL};
    json_t *records = NULL;
    enum cli_exit exit = read_records(cli, cli_number(cli, "limit"), false, &records);
    if (exit == CLI_DONE && cli->json)
        json_print(cli, records);
    else if (exit == CLI_DONE)
        rows_print(cli, records, names, members, "no records");
    json_decref(records);
    return exit;
}

static enum cli_exit write_export(struct cli *cli, const char *path, const json_t *records)
{
    FILE *file = fopen(path, "we");
    if (!file)
        return cli_fail(cli, CLI_FAILED, "%s: %s", path, strerror(errno));
    bool written = json_dumpf(records, file, JSON_INDENT(2)) == 0 && fputc('\n', file) != EOF;
    if (fclose(file) != 0 || !written)
        return cli_fail(cli, CLI_FAILED, "%s: it can't be written: %s", path, strerror(errno));
    fprintf(cli->err, "%zu records written to %s\n", json_array_size(records), path);
    return CLI_DONE;
}

enum cli_exit run_audit_export(struct cli *cli)
{
    const char *path = cli_value(cli, "output");
    json_t *records = NULL;
    if (path && (strcmp(path, "json") == 0 || strcmp(path, "text") == 0))
        return cli_fail(cli, CLI_USAGE, "--output takes a file here; the format is --format %s", path);
    enum cli_exit exit = read_records(cli, 0, true, &records);
    if (exit == CLI_DONE && path)
        exit = write_export(cli, path, records);
    else if (exit == CLI_DONE)
        json_print(cli, records);
    json_decref(records);
    return exit;
}

/* --- verify --- */

static enum cli_exit verify_folder(struct cli *cli, const char *path, json_t **out)
{
    struct audit_folder *folder = NULL;
    struct error error = {0};
    enum error_code code = audit_folder_open(path, &folder, &error);
    if (code == ERROR_OK)
        code = audit_folder_verify(folder, out, &error);
    audit_folder_close(folder);
    return code == ERROR_OK ? CLI_DONE : cli_fail(cli, CLI_FAILED, "%s", error.message);
}

static void print_verdict(struct cli *cli, const json_t *report)
{
    const char *torn = member_text(cli, report, "torn");
    if (json_is_true(json_object_get(report, "valid")))
        fprintf(cli->out, "valid: %s records, %s to %s, last hash %s\n", member_text(cli, report, "records"),
                member_text(cli, report, "first_seq"), member_text(cli, report, "last_seq"),
                member_text(cli, report, "last_hash"));
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
    enum cli_exit exit = path ? verify_folder(cli, path, &report)
                              : cli_call(cli, "GET", cli_read_path(cli, "/v1/audit/verify"), NULL, &report);
    if (exit != CLI_DONE)
        return exit;
    bool valid = json_is_true(json_object_get(report, "valid"));
    if (cli->json)
        json_print(cli, report);
    else
        print_verdict(cli, report);
    json_decref(report);
    return valid ? CLI_DONE : cli_fail(cli, CLI_FAILED, "the audit trail does not verify");
}
