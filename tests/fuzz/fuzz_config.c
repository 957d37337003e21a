/* A node's configuration file: refused with its name and a sentence, or what it says, shown as JSON (which is
 * YAML), reads as the same configuration. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "node/config.h"

/* An empty text shows what isn't set, and a file can't say that. */
static void drop_empty(json_t *json)
{
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(json, next, key, value)
    {
        if (json_is_object(value))
            drop_empty(value);
        else if (json_is_string(value) && json_string_length(value) == 0)
            json_object_del(json, key);
    }
}

static void check_again(const json_t *shown)
{
    struct config back;
    struct error error = {0};
    json_t *settings = json_deep_copy(shown);
    drop_empty(settings);
    char *text = json_dumps(settings, JSON_INDENT(1));
    const enum error_code code = config_parse("shown", text, strlen(text), &back, &error);
    CHECK(code == ERROR_OK, "%s\n%s", error.message, text);
    json_t *again = config_to_json(&back);
    CHECK(json_equal(shown, again), "a configuration changes on its way:\n%s", text);
    json_decref(again);
    config_done(&back);
    free(text);
    json_decref(settings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct config config;
    struct error error = {0};
    if (length > CONFIG_BYTES_MAX)
        return 0;
    const enum error_code code = config_parse("node.yaml", (const char *)data, length, &config, &error);
    if (code != ERROR_OK) {
        check_error(&error, code);
        CHECK(strncmp(error.message, "node.yaml", 9) == 0, "it doesn't say where: %s", error.message);
        return 0;
    }
    fuzz_reached("configuration taken");
    CHECK(config.name && config.data_dir && config.join_count <= CONFIG_JOIN_MAX,
          "an impossible configuration");
    CHECK(config.insecure || !config_is_exposed(&config), "it listens to everybody unasked");
    json_t *shown = config_to_json(&config);
    check_again(shown);
    json_decref(shown);
    config_done(&config);
    return 0;
}
