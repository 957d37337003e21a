/* `autonomy audit export`: record by record, since a trail may be larger than memory.
 *
 * From the cluster it comes in pages; each asks for what follows a seq, so any node can give the next one. A
 * file gets its name when it is whole and on the disk. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "tools/autonomy/audit_internal.h"
#include "tools/autonomy/hints.h"

#define RECORD_ARENA_BYTES                                                                                   \
    (16ul * AUDIT_LINE_BYTES_MAX) /* one record of a page, as the folder's reader has it */

struct export
{
    struct cli *cli;
    struct audit_filter filter;
    enum audit_format format;
    FILE *out;
    uint64_t count; /* records written */
    struct bytes line;
    struct arena arena; /* one record's */
    struct audit_damage damage;
};

/* --- one record --- */

static void write_json(struct export *self, const json_t *record)
{
    fputs(self->count++ > 0 ? ",\n" : "[\n", self->out);
    if (json_dumpf(record, self->out, JSON_INDENT(2)) != 0)
        CHECK(ferror(self->out), "a record that can't be written");
}

static void write_line(struct export *self, const struct audit_record *record)
{
    bytes_clear(&self->line);
    if (!audit_format_record(self->format, record, &self->line))
        return;
    self->count++;
    fwrite(self->line.data, 1, self->line.length, self->out);
}

/* @return false when there is no use in going on: the file can't be written, nobody reads the pipe, or Ctrl-C
 */
static bool write_record(struct export *self, const struct audit_record *record, const json_t *json)
{
    if (self->format == AUDIT_FORMAT_JSON)
        write_json(self, json);
    else
        write_line(self, record);
    if (self->cli->progress.terminal)
        progress_say(&self->cli->progress, "%llu records written, at seq %llu",
                     (unsigned long long)self->count, (unsigned long long)record->seq);
    return !ferror(self->out) && !interrupt_seen();
}

/* Also after Ctrl-C, which run_audit_export() tells. */
static enum cli_exit write_failed(struct export *self)
{
    if (interrupt_seen())
        return CLI_INTERRUPTED;
    const int number = errno;
    (void)cli_fail(self->cli, CLI_FAILED, "the export can't be written: %s", strerror(number));
    hint_say(self->cli, "make room, or name another file: --output FILE");
    return CLI_FAILED;
}

/* --- offline --- */

static bool export_visit(void *context, const struct audit_line *line)
{
    struct export *self = context;
    return !audit_filter_match(&self->filter, line->record) || write_record(self, line->record, line->json);
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
    struct audit_walk walk = {.visit = export_visit,
                              .damaged = export_damaged,
                              .context = self,
                              .records_only = self->format != AUDIT_FORMAT_JSON};
    struct audit_folder *folder = NULL;
    enum cli_exit exit = audit_open_folder(self->cli, path, &self->filter, &folder);
    if (exit != CLI_DONE)
        return exit;
    struct error error = {0};
    if (audit_folder_walk(folder, &walk, &error) != ERROR_OK)
        exit = audit_folder_failed(self->cli, &error);
    else if (ferror(self->out) || interrupt_seen())
        exit = write_failed(self);
    self->damage.torn = walk.torn;
    audit_tell_damage(self->cli, &self->damage);
    audit_folder_close(folder);
    return exit;
}

/* --- from the cluster --- */

/* As an array, records are passed on as they came. */
static enum error_code read_record(struct export *self, const json_t *json, struct audit_record *out,
                                   struct error *error)
{
    *out = (struct audit_record){.seq = (uint64_t)json_integer_value(json_object_get(json, "seq"))};
    if (self->format == AUDIT_FORMAT_JSON)
        return ERROR_OK;
    return schema_from_json(&audit_schema, json, &self->arena, out, error);
}

static enum cli_exit export_page(struct export *self, const json_t *records)
{
    size_t i;
    json_t *json;
    json_array_foreach(records, i, json)
    {
        struct audit_record record;
        struct error error = {0};
        if (read_record(self, json, &record, &error) != ERROR_OK) {
            (void)cli_fail(self->cli, CLI_FAILED, "the server sent a record that can't be read: %s",
                           error.message);
            hint_say(self->cli,
                     "compare the versions: autonomy version --server; --format json passes it on as it is");
            return CLI_FAILED;
        }
        const bool more = write_record(self, &record, json);
        arena_clear(&self->arena);
        if (!more)
            return write_failed(self);
    }
    return CLI_DONE;
}

static enum cli_exit export_server(struct export *self)
{
    const char *path = audit_server_path(self->cli, true), *cursor = NULL;
    enum cli_exit exit;
    do {
        json_t *records = NULL;
        exit = cli_page(self->cli, path, CLI_PAGE_ROWS, &cursor, &records);
        if (exit == CLI_DONE)
            exit = export_page(self, records);
        json_decref(records);
    } while (exit == CLI_DONE && cursor);
    return exit;
}

/* --- to where --- */

static enum cli_exit export_all(struct export *self)
{
    const char *folder = cli_typed(self->cli, "audit-dir");
    bytes_clear(&self->line);
    audit_format_head(self->format, &self->line);
    if (self->line.length > 0)
        fwrite(self->line.data, 1, self->line.length, self->out);
    enum cli_exit exit = folder ? export_folder(self, folder) : export_server(self);
    if (exit == CLI_DONE && self->format == AUDIT_FORMAT_JSON)
        fputs(self->count > 0 ? "\n]\n" : "[]\n", self->out);
    return exit;
}

/* The name is there after a crash, too, once its folder is synced. */
static bool sync_folder(struct cli *cli, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *folder = slash == NULL   ? "."
                         : slash == path ? "/"
                                         : arena_text(&cli->arena, path, (size_t)(slash - path));
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool done = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return done;
}

static enum cli_exit export_to_file(struct export *self, const char *path)
{
    const char *partial = arena_printf(&self->cli->arena, "%s.partial", path);
    (void)unlink(partial); /* of an earlier try */
    /* Who did what and why is not everybody's business. */
    int fd = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        (void)cli_fail(self->cli, CLI_FAILED, "%s: %s", partial, strerror(errno));
        hint_say(self->cli, "name another file: --output FILE");
        return CLI_FAILED;
    }
    self->out = fdopen(fd, "w");
    CHECK(self->out, "out of memory");
    enum cli_exit exit = export_all(self);
    errno = 0;
    bool written = !ferror(self->out) && fflush(self->out) == 0 && fsync(fd) == 0;
    int number = errno;
    if (fclose(self->out) != 0 && written) {
        written = false;
        number = errno;
    }
    if (exit == CLI_DONE && written && (rename(partial, path) != 0 || !sync_folder(self->cli, path))) {
        written = false;
        number = errno;
    }
    progress_wipe(&self->cli->progress);
    if (exit == CLI_DONE && !written) {
        exit = cli_fail(self->cli, CLI_FAILED, "%s: it can't be written: %s", path, strerror(number));
        hint_say(self->cli, "make room, or name another file: --output FILE");
    }
    if (exit != CLI_DONE)
        (void)unlink(partial);
    else
        fprintf(self->cli->err, "%llu records written to %s\n", (unsigned long long)self->count, path);
    return exit;
}

static enum cli_exit tell_interrupted(struct export *self, const char *path)
{
    (void)cli_fail(self->cli, CLI_INTERRUPTED, "interrupted after %llu records; %s",
                   (unsigned long long)self->count,
                   path ? arena_printf(&self->cli->arena, "%s was not written", path)
                        : "what was printed is not all there is");
    hint_say(self->cli, "repeat the command; --start-time and --end-time make it smaller");
    return CLI_INTERRUPTED;
}

/* The file is renamed into its place: a device, a pipe or a link there would be gone. */
static bool is_special(const char *path)
{
    struct stat there;
    return lstat(path, &there) == 0 && !S_ISREG(there.st_mode);
}

enum cli_exit run_audit_export(struct cli *cli)
{
    const char *path = cli_value(cli, "output");
    if (path && strcmp(path, "-") == 0)
        path = NULL;
    struct export export = {.cli = cli, .filter = audit_filter_of(cli), .out = cli->out};
    const bool known = audit_format_find(cli_value(cli, "format"), &export.format);
    CHECK(known, "the table of flags names a format that is none");
    if (path && (strcmp(path, "json") == 0 || strcmp(path, "text") == 0))
        return cli_fail(cli, CLI_USAGE, "--output takes a file here; the format is --format %s", path);
    if (path && is_special(path))
        return cli_fail(cli, CLI_USAGE,
                        "%s is no regular file; without --output the records go to the standard output",
                        path);
    bytes_init(&export.line, 0);
    arena_init(&export.arena, RECORD_ARENA_BYTES);
    if (!path && isatty(fileno(cli->out)))
        cli->progress.terminal = NULL; /* the records themselves show that it goes on */
    interrupt_catch();
    enum cli_exit exit = path ? export_to_file(&export, path) : export_all(&export);
    progress_say(&cli->progress, "%s", "");
    if (interrupt_release())
        exit = tell_interrupted(&export, path);
    arena_done(&export.arena);
    bytes_done(&export.line);
    return exit;
}
