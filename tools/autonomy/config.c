#include "tools/autonomy/config.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "tools/autonomy/client.h"
#include "tools/autonomy/hints.h"
#include "tools/autonomy/output.h"
#include "tools/autonomy/yaml.h"

/* Every key there is; another one is a typing error, not a setting. */
static const struct {
    const char *key, *help;
} keys[] = {{"orchestrator.url", "the node to ask, or several, comma-separated"}};

static const char *file_path(struct arena *arena)
{
    const char *folder = user_folder(arena, "XDG_CONFIG_HOME", ".config");
    return folder ? arena_printf(arena, "%s/config.yaml", folder) : NULL;
}

/* @return the settings as an object; an empty one when there is no file */
static enum error_code read_settings(struct arena *arena, json_t **out, struct error *error)
{
    const char *path = file_path(arena);
    json_t *json = NULL;
    if (!path)
        return error_set(error, ERROR_NOT_FOUND, "no home folder: set HOME or XDG_CONFIG_HOME");
    struct stat about;
    if (stat(path, &about) != 0 && errno == ENOENT) {
        *out = json_object();
        return ERROR_OK;
    }
    enum error_code code = yaml_read_file(path, &json, error);
    if (code != ERROR_OK)
        return code;
    if (!json_is_object(json)) {
        json_decref(json);
        return error_set(error, ERROR_INVALID, "%s: not a mapping of settings", path);
    }
    *out = json;
    return ERROR_OK;
}

/* Follows a dotted key. */
static const json_t *find(const json_t *settings, const char *key)
{
    char part[NAME_BYTES_MAX];
    while (settings && *key) {
        size_t length = strcspn(key, ".");
        if (length >= sizeof part)
            return NULL;
        memcpy(part, key, length);
        part[length] = '\0';
        settings = json_object_get(settings, part);
        key += length + (key[length] == '.' ? 1 : 0);
    }
    return settings;
}

enum error_code config_value(struct arena *arena, const char *key, const char **value, struct error *error)
{
    json_t *settings = NULL;
    *value = NULL;
    if (!file_path(arena))
        return ERROR_OK;
    enum error_code code = read_settings(arena, &settings, error);
    if (code != ERROR_OK)
        return code;
    const char *text = json_string_value(find(settings, key));
    if (text && *text)
        *value = arena_text(arena, text, strlen(text));
    json_decref(settings);
    return ERROR_OK;
}

static enum cli_exit check_key(struct cli *cli, const char *key)
{
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (strcmp(keys[i].key, key) == 0)
            return CLI_DONE;
    cli_fail(cli, CLI_USAGE, "there is no setting \"%s\"; there are:", key);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        fprintf(cli->err, "  %s  %s\n", keys[i].key, keys[i].help);
    return CLI_USAGE;
}

static enum cli_exit failed(struct cli *cli, const struct error *error)
{
    const char *path = file_path(&cli->arena);
    (void)cli_fail(cli, CLI_FAILED, "%s", error->message);
    hint_say(cli, "mend %s, or put it away and set it anew: autonomy config set orchestrator.url URL",
             path ? path : "the settings");
    return CLI_FAILED;
}

enum cli_exit run_config_get(struct cli *cli)
{
    struct error error = {0};
    json_t *settings = NULL;
    const char *key = cli->positional_count > 0 ? cli->positional[0] : NULL;
    if (key && check_key(cli, key) != CLI_DONE)
        return CLI_USAGE;
    if (read_settings(&cli->arena, &settings, &error) != ERROR_OK)
        return failed(cli, &error);
    enum cli_exit exit = CLI_DONE;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *value = json_string_value(find(settings, keys[i].key));
        if (key && strcmp(key, keys[i].key) != 0)
            continue;
        if (key && !value) {
            exit = cli_fail(cli, CLI_FAILED, "%s isn't set", key);
            hint_say(cli, "autonomy config set %s VALUE", key);
        } else if (key)
            fprintf(cli->out, "%s\n", value);
        else
            fprintf(cli->out, "%s: %s\n", keys[i].key, value ? value : "-");
    }
    json_decref(settings);
    return exit;
}

/* Puts `value` at a dotted key, making the objects on the way. */
static void put(json_t *settings, const char *key, const char *value)
{
    const char *dot = strchr(key, '.');
    char part[NAME_BYTES_MAX];
    if (!dot) {
        json_object_set_new(settings, key, json_string(value));
        return;
    }
    CHECK((size_t)(dot - key) < sizeof part, "a key that is too long");
    memcpy(part, key, (size_t)(dot - key));
    part[dot - key] = '\0';
    json_t *inner = json_object_get(settings, part);
    if (!json_is_object(inner)) {
        inner = json_object();
        json_object_set_new(settings, part, inner);
    }
    put(inner, dot + 1, value);
}

static enum error_code write_settings(struct arena *arena, const json_t *settings, struct error *error)
{
    const char *path = file_path(arena);
    const char *fresh = arena_printf(arena, "%s.%ld", path, (long)getpid());
    char *text = NULL;
    enum error_code code = yaml_from_json(settings, &text, error);
    if (code != ERROR_OK)
        return code;
    folder_make(arena, path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t length = strlen(text);
    bool written = fd >= 0 && write(fd, text, length) == (ssize_t)length && fsync(fd) == 0;
    free(text);
    if (fd >= 0 && close(fd) != 0)
        written = false;
    if (written && rename(fresh, path) == 0)
        return ERROR_OK;
    code = error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
    (void)unlink(fresh);
    return code;
}

enum cli_exit run_config_set(struct cli *cli)
{
    struct error error = {0};
    const char *key = cli->positional[0];
    const char *value = args_fold_word(&cli->arena, cli->positional[1]);
    if (check_key(cli, key) != CLI_DONE)
        return CLI_USAGE;
    struct client probe;
    client_init(&probe, &cli->arena, 0);
    if (client_add(&probe, value, false, &error) != ERROR_OK)
        return cli_fail(cli, CLI_USAGE, "%s", error.message);
    if (probe.url_count == 0)
        return cli_fail(cli, CLI_USAGE, "%s needs a URL, not \"%s\"", key, value);
    json_t *settings = NULL;
    enum error_code code = read_settings(&cli->arena, &settings, &error);
    if (code == ERROR_OK) {
        put(settings, key, value);
        code = write_settings(&cli->arena, settings, &error);
    }
    json_decref(settings);
    return code == ERROR_OK ? CLI_DONE : failed(cli, &error);
}
