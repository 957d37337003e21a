/* Support bundles: a tar that tar reads, a manifest that tells the truth, and nothing secret in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "tools/autonomy/archive.h"
#include "unit/tools/fake_server.h"
#include "unit/tools/run_cli.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static int set_up(void **state)
{
    struct home *home = malloc(sizeof *home);
    *home = home_make();
    *state = home;
    return 0;
}

static int tear_down(void **state)
{
    home_remove(*state);
    free(*state);
    return 0;
}

static const char *in_home(const struct home *home, const char *name)
{
    static char paths[8][160];
    static unsigned at;
    char *path = paths[at++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", home->path, name);
    return path;
}

/* What a command prints; free() it. */
__attribute__((format(printf, 1, 2))) static char *output_of(const char *format, ...)
{
    char command[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(command, sizeof command, format, list);
    va_end(list);
    FILE *pipe = popen(command, "r");
    char *text = calloc(1, 1u << 20);
    assert_non_null(pipe);
    text[fread(text, 1, (1u << 20) - 1, pipe)] = '\0';
    int code = pclose(pipe);
    if (code != 0)
        fail_msg("%s: exit %d", command, code);
    return text;
}

/* Goal: tar lists and unpacks what was written, byte for byte, at every fill of the last block.
 * Method: contents of 0, 1, 511, 512, 513 and 100,000 bytes, and the longest name. */
static void tar_reads_what_was_written(void **state)
{
    static const size_t sizes[] = {0, 1, 511, 512, 513, 100000};
    const struct home *home = *state;
    struct archive *archive = NULL;
    struct error error = {0};
    char name[ARCHIVE_NAME_BYTES_MAX + 2] = "", *content = malloc(100000);
    const char *path = in_home(home, "a.tar.gz");
    for (size_t i = 0; i < 100000; i++)
        content[i] = (char)('a' + i % 26);
    assert_int_equal(archive_open(path, 1760000000000u, &archive, &error), ERROR_OK);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        snprintf(name, sizeof name, "folder/%zu", sizes[i]);
        assert_int_equal(archive_add(archive, name, span_of(content, sizes[i]), &error), ERROR_OK);
    }
    memset(name, 'n', ARCHIVE_NAME_BYTES_MAX + 1);
    assert_int_equal(archive_add(archive, name, span_of("", 0), &error), ERROR_TOO_BIG);
    name[ARCHIVE_NAME_BYTES_MAX] = '\0';
    assert_int_equal(archive_add(archive, name, span_of("long", 4), &error), ERROR_OK);
    assert_int_equal(access(path, F_OK), -1); /* not before it is whole */
    assert_int_equal(archive_close(archive, &error), ERROR_OK);

    char *names = output_of("tar tzf %s", path);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        char line[64];
        snprintf(line, sizeof line, "folder/%zu\n", sizes[i]);
        assert_non_null(strstr(names, line));
        char *text = output_of("tar xzOf %s folder/%zu", path, sizes[i]);
        assert_int_equal(strlen(text), sizes[i]);
        assert_memory_equal(text, content, sizes[i]);
        free(text);
    }
    assert_non_null(strstr(names, name));
    free(names);
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    free(content);
}

/* Goal: a bundle that is given up leaves nothing behind; one that can't begin says why.
 * Method: abandon after a file; a folder that isn't there. */
static void abandoned_archive_leaves_nothing(void **state)
{
    const struct home *home = *state;
    struct archive *archive = NULL;
    struct error error = {0};
    assert_int_equal(archive_open(in_home(home, "b.tar.gz"), 0, &archive, &error), ERROR_OK);
    assert_int_equal(archive_add(archive, "x", span_of("1", 1), &error), ERROR_OK);
    archive_abandon(archive);
    archive_abandon(NULL);
    assert_int_equal(access(in_home(home, "b.tar.gz"), F_OK), -1);
    assert_int_equal(access(in_home(home, "b.tar.gz.partial"), F_OK), -1);
    assert_int_equal(archive_open("/nonexistent/c.tar.gz", 0, &archive, &error), ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, "/nonexistent/c.tar.gz"));
}

static json_t *manifest_of(const char *bundle)
{
    char *text = output_of("tar xzOf %s manifest.json", bundle);
    json_t *manifest = json_loads(text, 0, NULL);
    assert_non_null(manifest);
    free(text);
    return manifest;
}

static const json_t *row_of(const json_t *manifest, const char *path)
{
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(manifest, "files"), i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "path")), path) == 0)
            return row;
    }
    return NULL;
}

static const char *status_of(const json_t *manifest, const char *path)
{
    const char *status = json_string_value(json_object_get(row_of(manifest, path), "status"));
    return status ? status : "(no row)";
}

static size_t rows_of(const json_t *manifest, const char *path)
{
    size_t i, count = 0;
    json_t *row;
    json_array_foreach(json_object_get(manifest, "files"), i, row) count +=
        strcmp(json_string_value(json_object_get(row, "path")), path) == 0;
    return count;
}

/* Every collected row has the digest and size of what stands in the archive. */
static size_t check_digests(const json_t *manifest, const char *bundle)
{
    size_t i, checked = 0;
    json_t *row;
    json_array_foreach(json_object_get(manifest, "files"), i, row)
    {
        const char *path = json_string_value(json_object_get(row, "path"));
        const char *digest = json_string_value(json_object_get(row, "sha256"));
        if (!digest)
            continue;
        char *sum = output_of("tar xzOf %s %s | sha256sum", bundle, path);
        assert_memory_equal(sum, digest, 64);
        free(sum);
        checked++;
    }
    return checked;
}

/* Goal: with every source missing there is still a bundle, exit 0, and for each of them one failed row and no
 * file. Method: no server, a configuration file, a log and an audit folder that don't exist. */
static void missing_sources_are_failed_rows(void **state)
{
    const struct home *home = *state;
    char dead[64];
    const char *path = in_home(home, "incident.tar.gz");
    fake_dead_url(dead, sizeof dead);
    struct ran ran = run("support-bundle", "generate", "--output", path, "--orchestrator-url", dead,
                         "--config-file", "/nonexistent/config.yaml", "--audit-dir", "/nonexistent/audit",
                         "--log-file", "/nonexistent/n1.log", NULL);
    assert_int_equal(ran.exit, CLI_DONE);
    assert_non_null(strstr(ran.out, "bundle written: "));
    assert_non_null(strstr(ran.err, "/nonexistent/config.yaml"));
    ran_done(&ran);
    json_t *manifest = manifest_of(path);
    static const char *const failed[] = {
        "configuration/1-config.yaml", "audit/folder-tail.json", "logs/1-n1.log",  "plans.json", "flags.json",
        "kill-switches.json",          "decisions.json",         "audit/tail.json"};
    char *names = output_of("tar tzf %s", path);
    for (size_t i = 0; i < COUNT(failed); i++) {
        assert_string_equal(status_of(manifest, failed[i]), "failed");
        assert_int_equal(rows_of(manifest, failed[i]), 1);
        assert_null(strstr(names, failed[i]));
    }
    free(names);
    static const char *const collected[] = {"system.json", "build.json"};
    for (size_t i = 0; i < COUNT(collected); i++)
        assert_string_equal(status_of(manifest, collected[i]), "collected");
    assert_true(json_integer_value(json_object_get(manifest, "failed")) >= (json_int_t)COUNT(failed));
    assert_true(check_digests(manifest, path) >= 2);
    json_decref(manifest);
}

/* Goal: without any server known, the machine's own part is collected all the same.
 * Method: no URL at all. */
static void no_server_is_a_failed_row(void **state)
{
    const struct home *home = *state;
    const char *path = in_home(home, "local.tar.gz");
    struct ran ran = run("support-bundle", "generate", "--output", path, NULL);
    assert_int_equal(ran.exit, CLI_DONE);
    ran_done(&ran);
    json_t *manifest = manifest_of(path);
    assert_string_equal(status_of(manifest, "nodes"), "failed");
    assert_string_equal(status_of(manifest, "system.json"), "collected");
    json_decref(manifest);
}

/* Goal: configuration and logs arrive, their secrets don't, and neither do those of the environment.
 * Method: files and a variable with a marked secret; the whole unpacked archive is searched for it. */
static void secrets_never_leave(void **state)
{
    static const struct fake_reply reply = {
        200,
        "{\"items\":[{\"key\":\"API_TOKEN\",\"value\":\"s3cr3t-flag\",\"change_reason\":\"pwd=s3cr3t-why\"},"
        "{\"seq\":1,\"resource\":\"API_TOKEN\",\"reason\":\"was password=s3cr3t-reason\",\"fields\":{"
        "\"value\":\"s3cr3t-new\",\"previous\":\"s3cr3t-old\"}},"
        "{\"url\":\"https://u:s3cr3t-p@h/x?token=s3cr3t-q\"}],\"next_cursor\":null}",
        0};
    const struct home *home = *state;
    const char *bundle = in_home(home, "r.tar.gz"), *config = in_home(home, "config.yaml"),
               *log = in_home(home, "n1.log");
    write_text(config, "name: n1\ntls:\n  key: s3cr3t-key\n  password: s3cr3t-password\n");
    write_text(log, "info started name=n1\ninfo request token=s3cr3t-log status=200\n");
    setenv("AUTONOMY_TOKEN", "s3cr3t-env", 1);
    struct fake_server *server = fake_start(&reply, 1);
    struct ran ran = run("support-bundle", "generate", "--output", bundle, "--orchestrator-url", server->url,
                         "--log-file", log, "--config-file", config, NULL);
    unsetenv("AUTONOMY_TOKEN");
    fake_stop(server);
    fake_free(server);
    assert_int_equal(ran.exit, CLI_DONE);
    ran_done(&ran);
    char *all = output_of("tar xzOf %s", bundle);
    assert_null(strstr(all, "s3cr3t"));
    assert_non_null(strstr(all, "name: n1"));
    assert_non_null(strstr(all, "info request token=(redacted) status=200"));
    assert_non_null(strstr(all, "\"AUTONOMY_TOKEN\": \"(redacted)\""));
    assert_non_null(strstr(all, "API_TOKEN"));
    assert_non_null(strstr(all, "was password=(redacted)"));
    assert_non_null(strstr(all, "https://(redacted)@h/x?token=(redacted)"));
    free(all);
    json_t *manifest = manifest_of(bundle);
    assert_string_equal(status_of(manifest, "flags.json"), "collected");
    assert_string_equal(status_of(manifest, "configuration/1-config.yaml"), "collected");
    assert_true(check_digests(manifest, bundle) >= 5);
    json_decref(manifest);
}

/* Goal: only the end of a long log is taken, from the beginning of a line.
 * Method: a log past the bound; first and last line of what arrived. */
static void long_log_is_cut_to_its_end(void **state)
{
    const struct home *home = *state;
    const char *log = in_home(home, "long.log"), *bundle = in_home(home, "l.tar.gz");
    FILE *file = fopen(log, "w");
    assert_non_null(file);
    for (unsigned i = 0; i < 300000; i++)
        fprintf(file, "line %08u of a long log\n", i);
    fclose(file);
    struct ran ran = run("support-bundle", "generate", "--output", bundle, "--log-file", log, NULL);
    assert_int_equal(ran.exit, CLI_DONE);
    ran_done(&ran);
    char *first = output_of("tar xzOf %s logs/1-long.log | head -n 1", bundle);
    char *last = output_of("tar xzOf %s logs/1-long.log | tail -n 1", bundle);
    assert_int_equal(strncmp(first, "line ", 5), 0);
    assert_int_equal(strlen(first), 28);
    assert_true(atol(first + 5) > 0);
    assert_string_equal(last, "line 00299999 of a long log\n");
    free(first);
    free(last);
}

/* Goal: without --log-file, the log beside the configuration file is taken, whether a flag or the environment
 * names that file. Method: two folders, each with config.yaml and log; one is named each way; with --log-file
 * neither is taken. */
static void log_beside_the_configuration_is_taken(void **state)
{
    const struct home *home = *state;
    const char *bundle = in_home(home, "b.tar.gz");
    char folders[2][160], path[200];
    for (size_t i = 0; i < 2; i++) {
        snprintf(folders[i], sizeof folders[i], "%s/n%zu", home->path, i + 1);
        assert_int_equal(mkdir(folders[i], 0700), 0);
        snprintf(path, sizeof path, "%s/log", folders[i]);
        write_text(path, i == 0 ? "log of n1\n" : "log of n2\n");
        snprintf(path, sizeof path, "%s/config.yaml", folders[i]);
        write_text(path, "name: n\n");
    }
    setenv("AUTONOMY_CONFIG_FILE", path, 1);
    snprintf(path, sizeof path, "%s/config.yaml", folders[0]);
    struct ran ran = run("support-bundle", "generate", "--output", bundle, "--config-file", path, NULL);
    assert_int_equal(ran.exit, CLI_DONE);
    ran_done(&ran);
    char *first = output_of("tar xzOf %s logs/1-log", bundle),
         *second = output_of("tar xzOf %s logs/2-log", bundle);
    assert_string_equal(first, "log of n1\n");
    assert_string_equal(second, "log of n2\n");
    free(first);
    free(second);
    bundle = in_home(home, "b2.tar.gz");
    ran = run("support-bundle", "generate", "--output", bundle, "--config-file", path, "--log-file", path,
              NULL);
    unsetenv("AUTONOMY_CONFIG_FILE");
    assert_int_equal(ran.exit, CLI_DONE);
    ran_done(&ran);
    char *names = output_of("tar tzf %s", bundle);
    assert_non_null(strstr(names, "logs/1-config.yaml"));
    assert_null(strstr(names, "logs/1-log"));
    free(names);
}

/* Goal: a bundle that can't be written is a failure, said once.
 * Method: a folder that isn't there. */
static void unwritable_bundle_fails(void **state)
{
    (void)state;
    struct ran ran = run("support-bundle", "generate", "--output", "/nonexistent/x.tar.gz", NULL);
    assert_int_equal(ran.exit, CLI_FAILED);
    assert_non_null(strstr(ran.err, "/nonexistent/x.tar.gz"));
    assert_string_equal(ran.out, "");
    ran_done(&ran);
}

/* Goal: an earlier bundle, or whatever bears the name, stays as it is.
 * Method: a file of that name before the archive begins, and one that appears before it ends. */
static void earlier_bundle_is_kept(void **state)
{
    const struct home *home = *state;
    const char *path = in_home(home, "kept.tar.gz"), *late = in_home(home, "late.tar.gz");
    struct archive *archive = NULL;
    struct error error = {0};
    write_text(path, "evidence");
    struct ran ran = run("support-bundle", "generate", "--output", path, NULL);
    assert_int_equal(ran.exit, CLI_FAILED);
    assert_non_null(strstr(ran.err, "kept.tar.gz is there already"));
    ran_done(&ran);
    assert_int_equal(archive_open(late, 0, &archive, &error), ERROR_OK);
    write_text(late, "evidence");
    assert_int_not_equal(archive_close(archive, &error), ERROR_OK);
    char *text = output_of("cat %s %s; ls %s", path, late, home->path);
    assert_string_equal(text, "evidenceevidencekept.tar.gz\nlate.tar.gz\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tar_reads_what_was_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(abandoned_archive_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(missing_sources_are_failed_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_server_is_a_failed_row, set_up, tear_down),
        cmocka_unit_test_setup_teardown(secrets_never_leave, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_log_is_cut_to_its_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(log_beside_the_configuration_is_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unwritable_bundle_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(earlier_bundle_is_kept, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
