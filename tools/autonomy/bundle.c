/* `autonomy support-bundle generate`: what an investigation needs, in one file, even when half of it can't be
 * read.
 *
 * A source that fails costs its own row and nothing else; only an archive that can't be written is a failure.
 * Everything passes redact.h on its way in. */
#include "tools/autonomy/bundle.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "tools/autonomy/config.h"
#include "tools/autonomy/hints.h"
#include "tools/autonomy/output.h"
#include "tools/autonomy/redact.h"

static const struct {
    const char *name;
    void (*collect)(struct bundle *self);
} collectors[] = {
    {"system", collect_system},
    {"build", collect_build},
    {"configuration", collect_configuration},
    {"nodes", collect_nodes},
    {"plans", collect_plans},
    {"flags", collect_flags},
    {"switches", collect_switches},
    {"decisions", collect_decisions},
    {"audit", collect_audit},
    {"audit-folder", collect_audit_folder},
    {"logs", collect_logs},
};

void bundle_put(struct bundle *self, const char *collector, const char *path, struct span content)
{
    uint8_t digest[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    if (self->broken)
        return;
    hash_once(content.bytes > 0 ? content.data : "", content.bytes, digest);
    hex_encode(digest, DIGEST_BYTES, hex);
    if (archive_add(self->archive, path, content, &self->error) != ERROR_OK) {
        self->broken = true;
        return;
    }
    json_array_append_new(self->rows, json_pack("{s:s, s:s, s:s, s:I, s:s}", "collector", collector, "path",
                                                path, "status", "collected", "bytes",
                                                (json_int_t)content.bytes, "sha256", hex));
}

void bundle_put_json(struct bundle *self, const char *collector, const char *path, struct json_t *json)
{
    redact_json(json);
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_ENCODE_ANY);
    CHECK(text, "a JSON value that can't be written");
    bundle_put(self, collector, path, span_text(text));
    free(text);
    json_decref(json);
}

void bundle_failed(struct bundle *self, const char *collector, const char *path, const char *why)
{
    if (interrupt_seen())
        return; /* it was cut short, and nothing is wrong with it */
    self->failed++;
    progress_wipe(&self->cli->progress);
    json_array_append_new(self->rows, json_pack("{s:s, s:s, s:s, s:s}", "collector", collector, "path", path,
                                                "status", "failed", "error", printable(self->cli, why)));
    fprintf(self->cli->err, "warning: %s: %s\n", path, printable(self->cli, why));
}

static void put_manifest(struct bundle *self)
{
    char created[TIME_TEXT_BYTES];
    struct utsname host;
    time_format(self->wall_ms, created);
    bool named = uname(&host) == 0;
    json_t *manifest = json_pack("{s:i, s:s, s:s, s:s, s:i, s:O}", "format", 1, "created_at", created,
                                 "version", AUTONOMY_VERSION, "host", named ? host.nodename : "", "failed",
                                 (int)self->failed, "files", self->rows);
    CHECK(manifest, "a manifest that can't be made");
    char *text = json_dumps(manifest, JSON_INDENT(2));
    CHECK(text, "a manifest that can't be written");
    if (!self->broken &&
        archive_add(self->archive, "manifest.json", span_text(text), &self->error) != ERROR_OK)
        self->broken = true;
    free(text);
    json_decref(manifest);
}

/* "autonomy-support-20260102-030405.tar.gz" */
static const char *default_path(struct cli *cli, uint64_t wall_ms)
{
    char text[64];
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    strftime(text, sizeof text, "autonomy-support-%Y%m%d-%H%M%S.tar.gz", &parts);
    return arena_text(&cli->arena, text, strlen(text));
}

/* A bundle without a server still has what this machine knows. */
static bool server_known(struct cli *cli)
{
    const char *fallback = getenv("AUTONOMY_ORCHESTRATOR_FALLBACK_URLS"), *setting = NULL;
    struct error error = {0};
    if (cli_value(cli, "orchestrator-url") || (fallback && *fallback))
        return true;
    /* Settings that can't be read shall be told like any other: by whoever needs them. */
    return config_value(&cli->arena, "orchestrator.url", &setting, &error) != ERROR_OK || setting;
}

static enum cli_exit failed(struct bundle *self)
{
    (void)cli_fail(self->cli, CLI_FAILED, "%s", self->error.message);
    hint_say(self->cli, "name another file, where there is room: --output FILE.tar.gz");
    return CLI_FAILED;
}

static enum cli_exit collect_all(struct bundle *self, const char *path)
{
    size_t count = sizeof collectors / sizeof collectors[0];
    for (size_t i = 0; i < count && !self->broken && !interrupt_seen(); i++) {
        progress_say(&self->cli->progress, "collecting %s (%zu of %zu)", collectors[i].name, i + 1, count);
        collectors[i].collect(self);
    }
    progress_say(&self->cli->progress, "%s", "");
    if (interrupt_seen()) {
        archive_abandon(self->archive);
        return CLI_INTERRUPTED;
    }
    put_manifest(self);
    if (self->broken) {
        archive_abandon(self->archive);
        return failed(self);
    }
    if (archive_close(self->archive, &self->error) != ERROR_OK)
        return failed(self);
    fprintf(self->cli->out, "bundle written: %s\n", path);
    if (self->failed > 0)
        fprintf(self->cli->err, "%u sources couldn't be read; manifest.json says why\n", self->failed);
    return CLI_DONE;
}

enum cli_exit run_bundle(struct cli *cli)
{
    struct clock clock = clock_system();
    struct bundle bundle = {.cli = cli, .wall_ms = clock.wall_ms(clock.context)};
    const char *path = cli_value(cli, "output");
    if (!path)
        path = default_path(cli, bundle.wall_ms);
    if (server_known(cli)) {
        bundle.client = cli_client(cli);
        if (!bundle.client)
            return CLI_USAGE;
        bundle.client->timeout_ms = BUNDLE_REQUEST_MS;
        bundle.client->member_sync = false;
    }
    bundle.deadline_ms = clock.monotonic_ms(clock.context) + cli_duration_ms(cli, "timeout");
    if (archive_open(path, bundle.wall_ms, &bundle.archive, &bundle.error) != ERROR_OK)
        return failed(&bundle);
    bundle.rows = json_array();
    interrupt_catch();
    enum cli_exit exit = collect_all(&bundle, path);
    if (interrupt_release() && exit == CLI_INTERRUPTED) {
        (void)cli_fail(cli, exit, "interrupted; no bundle was written");
        hint_say(cli, "repeat the command; --timeout says how long it may take in all");
    }
    json_decref(bundle.rows);
    return exit;
}
