/* The node's configuration: every value ranged, every error with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "node/config.h"

#define HEAD "name: n1\ndata_dir: /tmp/x\n" /* lines 1 and 2 of every text below */

static enum error_code parse(const char *text, struct config *config, struct error *error)
{
    *error = (struct error){0};
    return config_parse("c.yaml", text, strlen(text), config, error);
}

/* Goal: what isn't said has its documented standard, and what derives from another setting follows it.
 * Method: the shortest legal configuration. */
static void shortest_configuration_takes_the_standards(void **state)
{
    (void)state;
    struct config config;
    struct error error;
    assert_int_equal(parse(HEAD, &config, &error), ERROR_OK);
    assert_string_equal(config.name, "n1");
    assert_string_equal(config.api_listen, "127.0.0.1:7101");
    assert_string_equal(config.api_advertise_url, "http://127.0.0.1:7101");
    assert_string_equal(config.wire_advertise, "127.0.0.1:7201");
    assert_int_equal(config.election_timeout_ms, 300);
    assert_int_equal(config.reserve_bytes, 64u << 20);
    assert_int_equal(config.rollout_stuck_after_ms, 3600000);
    assert_false(config.bootstrap);
    assert_false(config_is_exposed(&config));
    config_done(&config);
}

/* Goal: the first node may name others, so that with an empty folder it asks them before it makes a cluster.
 * Method: both settings. */
static void first_node_may_name_others(void **state)
{
    (void)state;
    struct config config;
    struct error error;
    assert_int_equal(parse(HEAD "bootstrap: true\njoin: [http://127.0.0.1:7102/]\n", &config, &error),
                     ERROR_OK);
    assert_true(config.bootstrap);
    assert_int_equal(config.join_count, 1);
    assert_string_equal(config.join[0], "http://127.0.0.1:7102");
    config_done(&config);
}

/* Goal: every kind of value is read, in block and flow style, with units.
 * Method: one of each. */
static void every_kind_of_value_is_read(void **state)
{
    (void)state;
    struct config config;
    struct error error;
    const char *text = HEAD "api: {listen: '[::1]:80', threads: 4, header_timeout: 1500ms}\n"
                            "wire:\n  listen: localhost:99\n  advertise: 10.0.0.1:99\n"
                            "join:\n  - http://a:1/\n  - http://b:2\n"
                            "audit: {segment_bytes: 8KiB}\nrollout: {stuck_after: 2h}\n"
                            "insecure: yes\nlog_level: debug\nreserve_bytes: 33554432\n";
    assert_int_equal(parse(text, &config, &error), ERROR_OK);
    assert_string_equal(config.api_listen, "[::1]:80");
    assert_int_equal(config.api_threads, 4);
    assert_int_equal(config.api_header_timeout_ms, 1500);
    assert_string_equal(config.wire_advertise, "10.0.0.1:99");
    assert_int_equal(config.join_count, 2);
    assert_string_equal(config.join[0], "http://a:1");
    assert_int_equal(config.audit_segment_bytes, 8192);
    assert_int_equal(config.rollout_stuck_after_ms, 7200000);
    assert_true(config.insecure);
    assert_string_equal(config.log_level, "debug");
    assert_int_equal(config.reserve_bytes, 33554432);
    config_done(&config);
}

struct refused {
    const char *text, *message; /* a part of it */
};

/* Goal: what is wrong is refused with its line, the value and what is allowed; nothing is taken by halves.
 * Method: one text for each mistake; line numbers are counted by hand. */
static void mistakes_are_refused_with_their_line(void **state)
{
    (void)state;
    static const struct refused cases[] = {
        {HEAD "nmae: x\n", "c.yaml:3: unknown setting \"nmae\""},
        {HEAD "api:\n  listen: 127.0.0.1:1\n  thread: 4\n", "c.yaml:5: unknown setting \"api.thread\""},
        {HEAD "api: {threads: 0}\n", "c.yaml:3: api.threads: 0 is not within 1 .. 64"},
        {HEAD "\n\napi:\n  threads: -4\n", "c.yaml:6: api.threads: \"-4\" is not a whole number"},
        {HEAD "api:\n  threads: 99999999999999999999\n", "c.yaml:4: api.threads"},
        {HEAD "bootstrap: maybe\n", "c.yaml:3: bootstrap: \"maybe\" is not true or false"},
        {HEAD "heartbeat_ms: 200\n", "c.yaml:3: heartbeat_ms: 200 must be at most a third"},
        {HEAD "wire:\n  listen: 7201\n", "c.yaml:4: wire.listen: \"7201\" is not host:port"},
        {HEAD "wire:\n  listen: a:70000\n", "c.yaml:4: wire.listen: \"a:70000\" is not host:port"},
        {HEAD "rollout:\n  stuck_after: soon\n", "c.yaml:4: rollout.stuck_after: \"soon\" is not a duration"},
        {HEAD "reserve_bytes: 1KiB\n", "c.yaml:3: reserve_bytes: 1KiB is not within 1048576"},
        {HEAD "log_level: loud\n", "c.yaml:3: log_level: \"loud\" is not error, warn, info or debug"},
        {HEAD "wire:\n  listen: 127.0.0.1:7101\n",
         "c.yaml:4: wire.listen: 127.0.0.1:7101 is api.listen already"},
        {HEAD "join: [ftp://x]\n", "c.yaml:3: join[0]: \"ftp://x\" is not a base URL"},
        {"name: '-x'\ndata_dir: /tmp/x\n", "c.yaml:1: name: \"-x\" is not a name"},
        {"data_dir: /tmp/x\n", "c.yaml: name is missing"},
        {"", "c.yaml: name is missing"},
        {"name: n1\n", "c.yaml: data_dir is missing: a text such as a path"},
        {HEAD "name: n2\n", "c.yaml:1: Mapping field already seen: name"},
        {HEAD "api: 4\n", "c.yaml"},
        {HEAD "api:\n  - b: [\n", "c.yaml"},
        {HEAD "x: [\n", "c.yaml:"},
        {HEAD "a: &a 1\nb: *a\n", "c.yaml"},
    };
    size_t looked_at = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++, looked_at++) {
        struct config config;
        struct error error;
        enum error_code code = parse(cases[i].text, &config, &error);
        if (code != ERROR_INVALID || strncmp(error.message, cases[i].message, strlen(cases[i].message)) != 0)
            fail_msg("case %zu: \"%s\" gave %s: %s", i, cases[i].text, error_name(code), error.message);
    }
    assert_true(looked_at > 20);
}

/* Goal: a configuration that could start nothing doesn't pass the check.
 * Method: an empty folder with neither bootstrap nor join, with each, and one that has a log. */
static void lonely_folder_is_found(void **state)
{
    (void)state;
    char folder[] = "/tmp/autonomy-config-XXXXXX", log[64], text[3][128];
    struct config config;
    struct error error;
    assert_non_null(mkdtemp(folder));
    snprintf(text[0], sizeof text[0], "name: n1\ndata_dir: %s\n", folder);
    snprintf(text[1], sizeof text[1], "name: n1\ndata_dir: %s\nbootstrap: true\n", folder);
    snprintf(text[2], sizeof text[2], "name: n1\ndata_dir: %s\njoin: [http://x]\n", folder);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(parse(text[i], &config, &error), ERROR_OK);
        assert_int_equal(config_check_folder(&config, &error), i == 0 ? ERROR_INVALID : ERROR_OK);
        config_done(&config);
    }
    assert_int_equal(parse(text[0], &config, &error), ERROR_OK);
    snprintf(log, sizeof log, "%s/log", folder);
    assert_int_equal(mkdir(log, 0755), 0);
    assert_int_equal(config_check_folder(&config, &error), ERROR_OK);
    config_done(&config);
    rmdir(log);
    rmdir(folder);
}

/* Goal: nobody listens beyond loopback by accident.
 * Method: a public address with and without `insecure: true`, for both listeners. */
static void exposure_needs_insecure(void **state)
{
    (void)state;
    struct config config;
    struct error error;
    assert_int_equal(parse(HEAD "api: {listen: '10.0.0.1:80'}\n", &config, &error), ERROR_INVALID);
    assert_non_null(strstr(error.message, "c.yaml:3: api.listen: listening beyond loopback is refused"));
    assert_non_null(strstr(error.message, "insecure: true"));
    assert_int_equal(parse(HEAD "wire: {listen: 'example.org:80'}\n", &config, &error), ERROR_INVALID);
    assert_non_null(strstr(error.message, "wire.listen"));
    assert_int_equal(parse(HEAD "api: {listen: '10.0.0.1:80'}\ninsecure: true\n", &config, &error), ERROR_OK);
    assert_true(config_is_exposed(&config));
    config_done(&config);
    assert_int_equal(parse(HEAD "api: {listen: '0.0.0.0:80'}\ninsecure: true\n", &config, &error),
                     ERROR_INVALID);
    assert_non_null(strstr(error.message, "set api.advertise_url"));
}

static void loopback_is_recognised(void **state)
{
    (void)state;
    assert_true(address_is_loopback("127.0.0.1:1"));
    assert_true(address_is_loopback("127.9.9.9:1"));
    assert_true(address_is_loopback("[::1]:1"));
    assert_true(address_is_loopback("localhost:1"));
    assert_false(address_is_loopback("0.0.0.0:1"));
    assert_false(address_is_loopback("127.0.0.1.example.org:1"));
    assert_false(address_is_loopback("[::]:1"));
    assert_false(address_is_loopback("10.0.0.1:1"));
}

/* Goal: a missing, a huge and a readable file behave as the header says.
 * Method: files in a fresh folder. */
static void files_are_read_within_their_bound(void **state)
{
    (void)state;
    char folder[] = "/tmp/autonomy-config-XXXXXX", path[64];
    struct config config;
    struct error error = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/c.yaml", folder);
    assert_int_equal(config_load(path, &config, &error), ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, path));
    FILE *file = fopen(path, "w");
    fputs(HEAD, file);
    fclose(file);
    assert_int_equal(config_load(path, &config, &error), ERROR_OK);
    config_done(&config);
    file = fopen(path, "a");
    for (int i = 0; i < 70000; i++)
        fputc('\n', file);
    fclose(file);
    assert_int_equal(config_load(path, &config, &error), ERROR_TOO_BIG);
    unlink(path);
    rmdir(folder);
}

/* Goal: the effective configuration is complete and tells no secret.
 * Method: a URL with a password, and a look at every section. */
static void shown_configuration_hides_passwords(void **state)
{
    (void)state;
    struct config config;
    struct error error;
    assert_int_equal(parse(HEAD "join: ['http://ann:hush@a:1']\n", &config, &error), ERROR_OK);
    json_t *json = config_to_json(&config);
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    assert_null(strstr(text, "hush"));
    assert_non_null(strstr(text, "http://(redacted)@a:1"));
    assert_non_null(strstr(text, "\"stuck_after\":\"3600000ms\""));
    assert_int_equal(json_integer_value(json_object_get(json, "election_timeout_ms")), 300);
    assert_true(json_is_false(json_object_get(json, "bootstrap")));
    free(text);
    json_decref(json);
    config_done(&config);
}

/** Reads a file of the source tree, found from where this file lies. */
static char *source_read(const char *path)
{
    char whole[1024];
    const char *end = strstr(__FILE__, "tests/unit/node/");
    snprintf(whole, sizeof whole, "%.*s%s", (int)(end - __FILE__), __FILE__, path);
    FILE *file = fopen(whole, "r");
    if (!file)
        fail_msg("no %s", whole);
    char *text = calloc(1, 1 << 16);
    assert_true(fread(text, 1, (1 << 16) - 1, file) > 0);
    fclose(file);
    return text;
}

static unsigned described(const char *document, const char *prefix, json_t *settings)
{
    const char *key;
    json_t *value;
    unsigned count = 0;
    json_object_foreach(settings, key, value)
    {
        char path[128], cell[160];
        snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] ? "." : "", key);
        if (json_is_object(value)) {
            count += described(document, path, value);
            continue;
        }
        snprintf(cell, sizeof cell, "\n| `%s` | ", path);
        if (!strstr(document, cell))
            fail_msg("docs/reference/configuration.md doesn't describe %s", path);
        count++;
    }
    return count;
}

/* Goal: the reference describes every setting.
 * Method: each key of the effective configuration must begin a row of the document's table. */
static void reference_describes_every_setting(void **state)
{
    (void)state;
    struct config config;
    config_dev("/tmp/dev", &config);
    json_t *json = config_to_json(&config);
    char *document = source_read("docs/reference/configuration.md");
    assert_true(described(document, "", json) > 20);
    free(document);
    json_decref(json);
    config_done(&config);
}

static void development_node_starts_its_own_cluster(void **state)
{
    (void)state;
    struct config config;
    config_dev("/tmp/dev", &config);
    assert_true(config.bootstrap);
    assert_string_equal(config.data_dir, "/tmp/dev");
    assert_string_equal(config.api_listen, "127.0.0.1:7101");
    config_done(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shortest_configuration_takes_the_standards),
        cmocka_unit_test(first_node_may_name_others),
        cmocka_unit_test(every_kind_of_value_is_read),
        cmocka_unit_test(mistakes_are_refused_with_their_line),
        cmocka_unit_test(lonely_folder_is_found),
        cmocka_unit_test(exposure_needs_insecure),
        cmocka_unit_test(loopback_is_recognised),
        cmocka_unit_test(files_are_read_within_their_bound),
        cmocka_unit_test(shown_configuration_hides_passwords),
        cmocka_unit_test(reference_describes_every_setting),
        cmocka_unit_test(development_node_starts_its_own_cluster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
