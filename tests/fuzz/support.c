/* What targets share besides fuzz.h's few lines: files, and the account of what was reached.
 *
 * Every decoding of a record goes through schema_unpack() or schema_from_json(); the linker puts the two
 * functions below in between (--wrap), so that a replay can tell which tables of the tree its corpus has met
 * with a record that was accepted. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/schema.h"
#include "fuzz/fuzz.h"

#define LINES_MAX  2048u
#define LINE_BYTES 160u
#define DEPTH_MAX  8u

static char folder[64];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* HTTP has threads */
static char lines[LINES_MAX][LINE_BYTES];
static unsigned line_count;

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0)
        fprintf(stderr, "%s is left behind\n", folder);
}

const char *fuzz_folder(void)
{
    struct stat about;
    if (folder[0] != '\0')
        return folder;
    const bool memory = stat("/dev/shm", &about) == 0 && access("/dev/shm", W_OK) == 0;
    snprintf(folder, sizeof folder, "%s/autonomy-fuzz-XXXXXX", memory ? "/dev/shm" : "/tmp");
    CHECK(mkdtemp(folder) != NULL, "no folder: %s", strerror(errno));
    CHECK(atexit(remove_folder) == 0, "no room for an exit handler");
    return folder;
}

void fuzz_file(const char *name, const void *data, size_t length)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(file >= 0, "%s: %s", path, strerror(errno));
    CHECK(length == 0 || write(file, data, length) == (ssize_t)length, "%s: %s", path, strerror(errno));
    close(file);
}

void fuzz_seed(const char *target, const char *name, struct span first, struct span rest)
{
    char path[512];
    const char *seeds = getenv("AUTONOMY_FUZZ_SEEDS");
    if (!seeds)
        return;
    snprintf(path, sizeof path, "%s/%s/%s", seeds, target, name);
    FILE *file = fopen(path, "we");
    CHECK(file, "%s: %s", path, strerror(errno));
    CHECK(fwrite(first.data, 1, first.bytes, file) == first.bytes, "%s", path);
    CHECK(fwrite(rest.data, 1, rest.bytes, file) == rest.bytes, "%s", path);
    CHECK(fclose(file) == 0, "%s", path);
}

void fuzz_reached(const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&lock);
    unsigned i = 0;
    while (i < line_count && strcmp(lines[i], line) != 0)
        i++;
    if (i == line_count && line_count < LINES_MAX)
        memcpy(lines[line_count++], line, sizeof line);
    pthread_mutex_unlock(&lock);
}

void fuzz_reached_write(void)
{
    const char *path = getenv("AUTONOMY_FUZZ_REACHED");
    FILE *file = path ? fopen(path, "ae") : NULL;
    CHECK(!path || file, "%s: %s", path, strerror(errno));
    for (unsigned i = 0; file && i < line_count; i++)
        fprintf(file, "%s\n", lines[i]);
    if (file)
        fclose(file);
}

static void reached_schema(const struct schema *schema, unsigned depth)
{
    fuzz_reached("schema %s", schema->name);
    for (size_t i = 0; i < schema->field_count && depth < DEPTH_MAX; i++)
        if (schema->fields[i].schema)
            reached_schema(schema->fields[i].schema, depth + 1);
}

enum error_code __real_schema_unpack(const struct schema *schema, struct span packed, struct arena *arena,
                                     void *record, struct error *error);
enum error_code __wrap_schema_unpack(const struct schema *schema, struct span packed, struct arena *arena,
                                     void *record, struct error *error);
enum error_code __wrap_schema_unpack(const struct schema *schema, struct span packed, struct arena *arena,
                                     void *record, struct error *error)
{
    const enum error_code code = __real_schema_unpack(schema, packed, arena, record, error);
    if (code == ERROR_OK)
        reached_schema(schema, 0);
    return code;
}

enum error_code __real_schema_from_json(const struct schema *schema, const struct json_t *json,
                                        struct arena *arena, void *record, struct error *error);
enum error_code __wrap_schema_from_json(const struct schema *schema, const struct json_t *json,
                                        struct arena *arena, void *record, struct error *error);
enum error_code __wrap_schema_from_json(const struct schema *schema, const struct json_t *json,
                                        struct arena *arena, void *record, struct error *error)
{
    const enum error_code code = __real_schema_from_json(schema, json, arena, record, error);
    if (code == ERROR_OK)
        reached_schema(schema, 0);
    return code;
}
