/* `autonomy audit`: from the cluster, or from a node's folder when the cluster doesn't answer. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
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

static enum cli_exit open_folder(struct cli *cli, const char *path, const struct audit_filter *filter,
                                 struct audit_folder **out)
{
    struct error error = {0};
    if (audit_filter_check(filter, &error) != ERROR_OK)
        return cli_fail(cli, CLI_USAGE, "%s", error.message);
    if (audit_folder_open(path, out, &error) != ERROR_OK)
        return cli_fail(cli, CLI_FAILED, "%s", error.message);
    if (audit_folder_segments(*out) == 0)
        fprintf(cli->err, "%s holds no audit segments (NNNNNNNNNN.jsonl)\n", path);
    return CLI_DONE;
}

static void tell_damage(struct cli *cli, const struct audit_damage *damage)
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
    struct audit_filter filter = filter_of(cli);
    struct audit_folder *folder = NULL;
    struct audit_damage damage;
    struct error error = {0};
    enum cli_exit exit = open_folder(cli, path, &filter, &folder);
    if (exit != CLI_DONE)
        return exit;
    uint64_t limit = cli_number(cli, "limit"), most = limit > 0 ? limit : CLI_ROWS_MAX + 1;
    enum error_code code = audit_folder_query(folder, &filter, most, out, &damage, &error);
    audit_folder_close(folder);
    if (code != ERROR_OK)
        return cli_fail(cli, CLI_FAILED, "%s", error.message);
    tell_damage(cli, &damage);
    if (limit > 0 || json_array_size(*out) <= CLI_ROWS_MAX)
        return CLI_DONE;
    json_decref(*out);
    *out = NULL;
    return cli_fail(cli, CLI_FAILED,
                    "more than %u records match; narrow it down, or use: autonomy audit export",
                    CLI_ROWS_MAX);
}

static const char *server_path(struct cli *cli, bool oldest_first)
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
    enum cli_exit exit = folder ? query_folder(cli, folder, &records)
                                : cli_list(cli, server_path(cli, false), cli_number(cli, "limit"), &records);
    if (exit == CLI_DONE && cli->json)
        json_print(cli, records);
    else if (exit == CLI_DONE)
        rows_print(cli, records, names, members, "no records");
    json_decref(records);
    return exit;
}

/* --- export: record by record, since a trail may be larger than memory --- */

struct export
{
    struct cli *cli;
    struct audit_filter filter;
    FILE *out;
    uint64_t count;
    struct audit_damage damage;
};

static void export_record(struct export *self, const json_t *record)
{
    fputs(self->count++ > 0 ? ",\n" : "[\n", self->out);
    if (json_dumpf(record, self->out, JSON_INDENT(2)) != 0)
        clearerr(self->out); /* what is wrong with the file shows again when it is closed */
}

static bool export_visit(void *context, const struct audit_line *line)
{
    struct export *self = context;
    if (audit_filter_match(&self->filter, line->record))
        export_record(self, line->json);
    return true;
}

static bool export_damaged(void *context, const char *where, const char *why)
{
    struct export *self = context;
    if (self->damage.lines++ == 0)
        snprintf(self->damage.first, sizeof self->damage.first, "%s: %s", where, why);
    return true;
}

static enum cli_exit export_folder(struct export *self, const char *path)
{
    struct audit_walk walk = {.visit = export_visit, .damaged = export_damaged, .context = self};
    struct audit_folder *folder = NULL;
    enum cli_exit exit = open_folder(self->cli, path, &self->filter, &folder);
    if (exit != CLI_DONE)
        return exit;
    struct error error = {0};
    if (audit_folder_walk(folder, &walk, &error) != ERROR_OK)
        exit = cli_fail(self->cli, CLI_FAILED, "%s", error.message);
    self->damage.torn = walk.torn;
    tell_damage(self->cli, &self->damage);
    audit_folder_close(folder);
    return exit;
}

static enum cli_exit export_server(struct export *self)
{
    const char *path = server_path(self->cli, true), *cursor = NULL;
    do {
        json_t *records = NULL;
        size_t i;
        json_t *record;
        enum cli_exit exit = cli_page(self->cli, path, CLI_PAGE_ROWS, &cursor, &records);
        if (exit != CLI_DONE)
            return exit;
        json_array_foreach(records, i, record) export_record(self, record);
        json_decref(records);
    } while (cursor);
    return CLI_DONE;
}

static enum cli_exit export_all(struct export *self)
{
    const char *folder = cli_typed(self->cli, "audit-dir");
    enum cli_exit exit = folder ? export_folder(self, folder) : export_server(self);
    if (exit == CLI_DONE)
        fputs(self->count > 0 ? "\n]\n" : "[]\n", self->out);
    return exit;
}

/* The file gets its name when it is whole. */
static enum cli_exit export_to_file(struct export *self, const char *path)
{
    const char *partial = arena_printf(&self->cli->arena, "%s.partial", path);
    (void)unlink(partial); /* of an earlier try */
    /* Who did what and why is not everybody's business. */
    int fd = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return cli_fail(self->cli, CLI_FAILED, "%s: %s", partial, strerror(errno));
    self->out = fdopen(fd, "w");
    CHECK(self->out, "out of memory");
    enum cli_exit exit = export_all(self);
    bool written = fflush(self->out) == 0 && !ferror(self->out);
    written = fclose(self->out) == 0 && written;
    if (exit == CLI_DONE && (!written || rename(partial, path) != 0))
        exit = cli_fail(self->cli, CLI_FAILED, "%s: it can't be written: %s", path, strerror(errno));
    if (exit != CLI_DONE)
        (void)unlink(partial);
    else
        fprintf(self->cli->err, "%llu records written to %s\n", (unsigned long long)self->count, path);
    return exit;
}

enum cli_exit run_audit_export(struct cli *cli)
{
    const char *path = cli_value(cli, "output");
    struct export export = {.cli = cli, .filter = filter_of(cli), .out = cli->out};
    if (path && (strcmp(path, "json") == 0 || strcmp(path, "text") == 0))
        return cli_fail(cli, CLI_USAGE, "--output takes a file here; the format is --format %s", path);
    return path ? export_to_file(&export, path) : export_all(&export);
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
