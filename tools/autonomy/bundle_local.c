/* What this machine tells: the host, the build, configuration, an audit folder, logs. */
#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "tools/autonomy/audit_folder.h"
#include "tools/autonomy/bundle.h"
#include "tools/autonomy/redact.h"

extern char **environ;

static json_t *disk_of(const char *path)
{
    struct statvfs disk;
    if (statvfs(path, &disk) != 0)
        return json_pack("{s:s, s:s}", "path", path, "error", strerror(errno));
    return json_pack("{s:s, s:I, s:I}", "path", path, "bytes_total",
                     (json_int_t)(disk.f_blocks * disk.f_frsize), "bytes_available",
                     (json_int_t)(disk.f_bavail * disk.f_frsize));
}

static json_t *time_of_day(uint64_t wall_ms)
{
    char text[TIME_TEXT_BYTES];
    struct timex kernel = {0};
    time_format(wall_ms, text);
    int state = adjtimex(&kernel); /* reads only: no mode is set */
    return json_pack("{s:s, s:b, s:I}", "now", text, "synchronized", state >= 0 && state != TIME_ERROR,
                     "offset", (json_int_t)kernel.offset);
}

/* AUTONOMY_* only; everything else is nobody's business. */
static json_t *environment(void)
{
    json_t *object = json_object();
    for (char **entry = environ; *entry; entry++) {
        const char *equals = strchr(*entry, '=');
        if (equals && strncmp(*entry, "AUTONOMY_", 9) == 0) {
            json_t *value = json_string(equals + 1);
            json_object_setn_new(object, *entry, (size_t)(equals - *entry),
                                 value ? value : json_string("(not UTF-8)"));
        }
    }
    return object;
}

void collect_system(struct bundle *self)
{
    struct utsname host = {0};
    struct sysinfo info = {0};
    const char *folder = cli_value(self->cli, "audit-dir");
    json_t *disks = json_array();
    if (uname(&host) != 0 || sysinfo(&info) != 0) {
        json_decref(disks);
        bundle_failed(self, "system", "system.json", strerror(errno));
        return;
    }
    json_array_append_new(disks, disk_of("."));
    if (folder)
        json_array_append_new(disks, disk_of(folder));
    json_t *system = json_pack(
        "{s:{s:s, s:s, s:s, s:s, s:s}, s:I, s:I, s:{s:I, s:I, s:I}, s:o, s:o, s:o}", "uname", "system",
        host.sysname, "node", host.nodename, "release", host.release, "version", host.version, "machine",
        host.machine, "cpus", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "uptime_s", (json_int_t)info.uptime,
        "memory", "bytes_total", (json_int_t)((uint64_t)info.totalram * info.mem_unit), "bytes_free",
        (json_int_t)((uint64_t)info.freeram * info.mem_unit), "load_1m_ppm",
        (json_int_t)((uint64_t)info.loads[0] * 1000000u >> SI_LOAD_SHIFT), "disks", disks, "time",
        time_of_day(self->wall_ms), "environment", environment());
    CHECK(system, "a description of the system that can't be made");
    bundle_put_json(self, "system", "system.json", system);
}

void collect_build(struct bundle *self)
{
    bundle_put_json(self, "build", "build.json",
                    json_pack("{s:s, s:s, s:s, s:s}", "autonomy", AUTONOMY_VERSION, "compiler", __VERSION__,
                              "libcurl", curl_version(), "jansson", jansson_version_str()));
}

/* --- files --- */

/* The last `most` bytes of a file, from a line's begin when something was left out. */
static enum error_code read_end(const char *path, size_t most, struct bytes *out, struct error *error)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set(error, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_IO, "%s: %s", path,
                         strerror(errno));
    long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    long from = size > (long)most ? size - (long)most : 0;
    if (size >= 0 && fseek(file, from, SEEK_SET) == 0 && from > 0)
        for (int c = 0; c != EOF && c != '\n';)
            c = getc(file);
    char part[16384];
    size_t got;
    while ((got = fread(part, 1, sizeof part, file)) > 0 && out->length + got <= most + sizeof part)
        bytes_append(out, part, got);
    bool failed = ferror(file) != 0;
    fclose(file);
    return failed ? error_set(error, ERROR_IO, "%s: %s", path, strerror(errno)) : ERROR_OK;
}

static void put_text_file(struct bundle *self, const char *collector, const char *source, const char *path,
                          size_t most)
{
    struct bytes raw, clean;
    struct error error = {0};
    struct redact_text state = {0};
    bytes_init(&raw, 0);
    bytes_init(&clean, 0);
    if (read_end(source, most, &raw, &error) != ERROR_OK) {
        bundle_failed(self, collector, path, error.message);
    } else {
        const char *text = (const char *)raw.data;
        for (size_t at = 0; at < raw.length;) {
            const char *end = memchr(text + at, '\n', raw.length - at);
            size_t length = end ? (size_t)(end - text) - at : raw.length - at;
            redact_line(&state, text + at, length, &clean);
            at += length + 1;
        }
        bundle_put(self, collector, path, bytes_span(&clean));
    }
    bytes_done(&raw);
    bytes_done(&clean);
}

/* "logs/1-n1.log": short enough for the archive, and never a path out of it. */
static const char *file_name(struct bundle *self, const char *folder, uint32_t number, const char *source)
{
    struct arena *arena = &self->cli->arena;
    const char *base = basename(arena_text(arena, source, strlen(source)));
    return arena_printf(arena, "%s/%u-%.60s", folder, number, strcmp(base, "..") == 0 ? "file" : base);
}

void collect_configuration(struct bundle *self)
{
    const char *node = cli_value(self->cli, "config-file");
    const char *own = user_folder(&self->cli->arena, "XDG_CONFIG_HOME", ".config");
    if (node)
        put_text_file(self, "configuration", node, file_name(self, "configuration", 1, node),
                      BUNDLE_FILE_BYTES);
    if (!own)
        return;
    own = arena_printf(&self->cli->arena, "%s/config.yaml", own);
    if (access(own, F_OK) == 0)
        put_text_file(self, "configuration", own, "configuration/cli.yaml", BUNDLE_FILE_BYTES);
}

/* "<folder of the configuration>/log" is where tools/up puts a node's log. */
static void put_log_beside(struct bundle *self, const char *config, uint32_t *number)
{
    if (!config || !*config)
        return;
    const char *slash = strrchr(config, '/');
    const char *path =
        arena_printf(&self->cli->arena, "%.*slog", slash ? (int)(slash + 1 - config) : 0, config);
    if (access(path, F_OK) == 0)
        put_text_file(self, "logs", path, file_name(self, "logs", ++*number, path), BUNDLE_LOG_BYTES);
}

void collect_logs(struct bundle *self)
{
    uint32_t number = 0;
    const char *typed = cli_typed(self->cli, "config-file"), *set = getenv("AUTONOMY_CONFIG_FILE");
    for (uint32_t i = 0; i < self->cli->given_count; i++)
        if (strcmp(self->cli->given[i].flag->name, "log-file") == 0) {
            const char *source = self->cli->given[i].value;
            put_text_file(self, "logs", source, file_name(self, "logs", ++number, source), BUNDLE_LOG_BYTES);
        }
    if (number > 0)
        return;
    put_log_beside(self, typed, &number);
    if (set && (!typed || strcmp(set, typed) != 0))
        put_log_beside(self, set, &number);
}

/* --- the audit folder --- */

void collect_audit_folder(struct bundle *self)
{
    static const char path[] = "audit/folder-tail.json";
    const char *source = cli_value(self->cli, "audit-dir");
    struct audit_folder *folder = NULL;
    struct audit_filter filter = {0};
    struct error error = {0};
    json_t *records = NULL, *verdict = NULL;
    struct audit_damage damage;
    if (!source)
        return;
    if (audit_folder_open(source, &folder, &error) != ERROR_OK) {
        bundle_failed(self, "audit-folder", path, error.message);
        return;
    }
    enum error_code code = audit_folder_query(folder, &filter, BUNDLE_RECORDS, &records, &damage, &error);
    if (code == ERROR_OK)
        bundle_put_json(self, "audit-folder", path, records);
    else
        bundle_failed(self, "audit-folder", path, error.message);
    if (audit_folder_verify(folder, NULL, NULL, &verdict, &error) == ERROR_OK)
        bundle_put_json(self, "audit-folder", "audit/folder-verify.json", verdict);
    else
        bundle_failed(self, "audit-folder", "audit/folder-verify.json", error.message);
    audit_folder_close(folder);
}
