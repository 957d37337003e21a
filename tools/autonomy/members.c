/* The members that answered last time, so that a dead first URL doesn't end the conversation.
 *
 * One small JSON file: {"<first URL>": {"cluster_id": "...", "seen_at": ms, "urls": [...]}}. Everything here
 * is best effort: a file that is missing, damaged or not writable changes nothing but the number of nodes
 * that can be tried. */
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/schema.h"
#include "tools/autonomy/client.h"

#define MEMBERS_FILE_BYTES_MAX (256u * 1024u)
#define MEMBERS_CLUSTERS_MAX   64u     /* the file starts anew past it */
#define MEMBERS_FRESH_MS       300000u /* five minutes */

const char *user_folder(struct arena *arena, const char *variable, const char *fallback)
{
    const char *folder = getenv(variable);
    const char *home = getenv("HOME");
    if (folder && *folder == '/')
        return arena_printf(arena, "%s/autonomy", folder);
    if (home && *home)
        return arena_printf(arena, "%s/%s/autonomy", home, fallback);
    return NULL;
}

static uint64_t wall_ms(void)
{
    struct clock clock = clock_system();
    return clock.wall_ms(clock.context);
}

static json_t *read_file(struct arena *arena)
{
    const char *folder = user_folder(arena, "XDG_CACHE_HOME", ".cache");
    FILE *file = folder ? fopen(arena_printf(arena, "%s/members", folder), "re") : NULL;
    if (!file)
        return NULL;
    char *text = memory_new(MEMBERS_FILE_BYTES_MAX); /* an export asks often: no place for the arena */
    size_t length = fread(text, 1, MEMBERS_FILE_BYTES_MAX, file);
    fclose(file);
    json_t *json = NULL;
    struct error error = {0};
    const bool good =
        length < MEMBERS_FILE_BYTES_MAX && json_parse(span_of(text, length), &json, &error) == ERROR_OK;
    free(text);
    if (good && json_is_object(json))
        return json;
    json_decref(json);
    return NULL;
}

void members_recall(struct client *self)
{
    json_t *file = self->url_count > 0 ? read_file(self->arena) : NULL;
    const json_t *entry = json_object_get(file, self->url_count > 0 ? self->urls[0].url : "");
    const char *id = json_string_value(json_object_get(entry, "cluster_id"));
    if (id && strlen(id) < sizeof self->cluster_id) {
        memcpy(self->cluster_id, id, strlen(id) + 1);
        size_t i;
        json_t *url;
        json_array_foreach(json_object_get(entry, "urls"), i, url)
        {
            struct error error = {0};
            if (json_is_string(url) && client_add(self, json_string_value(url), true, &error) != ERROR_OK)
                continue; /* a damaged row: the others may do */
        }
    }
    json_decref(file);
}

bool members_stale(const struct client *self)
{
    json_t *file = read_file(self->arena);
    const json_t *entry = json_object_get(file, self->urls[0].url);
    uint64_t seen = (uint64_t)json_integer_value(json_object_get(entry, "seen_at"));
    uint64_t now = wall_ms();
    json_decref(file);
    return seen > now || now - seen > MEMBERS_FRESH_MS;
}

void folder_make(struct arena *arena, const char *path)
{
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/'))
        (void)mkdir(arena_text(arena, path, (size_t)(slash - path)), 0700);
}

static void write_file(struct arena *arena, const json_t *json)
{
    const char *folder = user_folder(arena, "XDG_CACHE_HOME", ".cache");
    if (!folder)
        return;
    const char *fresh = arena_printf(arena, "%s/members.%ld", folder, (long)getpid());
    folder_make(arena, fresh);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    bool written = json_dumpfd(json, fd, JSON_COMPACT) == 0;
    if (close(fd) != 0 || !written || rename(fresh, arena_printf(arena, "%s/members", folder)) != 0)
        (void)unlink(fresh);
}

void members_remember(struct client *self, const json_t *status)
{
    const char *id = json_string_value(json_object_get(status, "cluster_id"));
    const json_t *members = json_object_get(status, "members");
    if (!id || !*id || json_array_size(members) == 0 || self->url_count == 0)
        return;
    json_t *urls = json_array();
    size_t i;
    json_t *member;
    json_array_foreach(members, i, member)
    {
        const char *url = json_string_value(json_object_get(member, "url"));
        if (url && *url && json_array_size(urls) < CLIENT_URLS_MAX)
            json_array_append_new(urls, json_string(url));
    }
    json_t *file = read_file(self->arena);
    if (!file || json_object_size(file) >= MEMBERS_CLUSTERS_MAX) {
        json_decref(file);
        file = json_object();
    }
    json_object_set_new(
        file, self->urls[0].url,
        json_pack("{s:s, s:I, s:o}", "cluster_id", id, "seen_at", (json_int_t)wall_ms(), "urls", urls));
    write_file(self->arena, file);
    json_decref(file);
}
