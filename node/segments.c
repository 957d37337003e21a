#include "node/segments.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/disk.h"

#define SEQ_PREFIX "{\"seq\":"
#define END_BYTES  (256u * 1024u) /* of a segment: more than its last line takes */

bool segment_number(const char *name, uint64_t *first_seq)
{
    char digits[11];
    if (strlen(name) != 16 || strcmp(name + 10, ".jsonl") != 0)
        return false;
    memcpy(digits, name, 10);
    digits[10] = '\0';
    return parse_u64(digits, UINT64_MAX, first_seq);
}

void segment_path(const char *folder, uint64_t first_seq, char out[SEGMENT_PATH_BYTES])
{
    snprintf(out, SEGMENT_PATH_BYTES, "%s/%010llu.jsonl", folder, (unsigned long long)first_seq);
}

bool segment_line_seq(const char *line, size_t length, uint64_t *seq)
{
    char digits[24];
    const size_t prefix = strlen(SEQ_PREFIX);
    size_t used = 0;
    if (length < prefix || memcmp(line, SEQ_PREFIX, prefix) != 0)
        return false;
    while (used < sizeof digits - 1 && prefix + used < length && line[prefix + used] >= '0' &&
           line[prefix + used] <= '9') {
        digits[used] = line[prefix + used];
        used++;
    }
    digits[used] = '\0';
    return parse_u64(digits, UINT64_MAX, seq);
}

static enum error_code io_error(struct error *error, const char *doing, const char *path)
{
    return error_set(error, ERROR_IO, "audit mirror: %s %s: %s", doing, path, strerror(errno));
}

/* --- which there are --- */

struct listing {
    uint64_t *firsts;
    size_t count, capacity;
};

static void list_visit(void *context, const char *name)
{
    struct listing *listing = context;
    uint64_t first = 0;
    if (!segment_number(name, &first))
        return;
    if (listing->count == listing->capacity) {
        listing->capacity = listing->capacity > 0 ? listing->capacity * 2 : 16;
        listing->firsts = memory_resize(listing->firsts, listing->capacity * sizeof *listing->firsts);
    }
    listing->firsts[listing->count++] = first;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

enum error_code segments_list(const char *folder, uint64_t **out, size_t *count, struct error *error)
{
    struct listing listing = {0};
    const enum error_code code = disk_list(folder, list_visit, &listing, error);
    if (code != ERROR_OK) {
        free(listing.firsts);
        return code;
    }
    if (listing.count > 1)
        qsort(listing.firsts, listing.count, sizeof *listing.firsts, by_number);
    *out = listing.firsts;
    *count = listing.count;
    return ERROR_OK;
}

enum error_code segments_prune(const char *folder, uint64_t first_seq, size_t *removed, struct error *error)
{
    uint64_t *firsts = NULL;
    size_t count = 0;
    enum error_code code = segments_list(folder, &firsts, &count, error);
    *removed = 0;
    for (size_t i = 0; code == ERROR_OK && i + 1 < count && firsts[i + 1] <= first_seq; i++) {
        char path[SEGMENT_PATH_BYTES];
        segment_path(folder, firsts[i], path);
        if (unlink(path) != 0 && errno != ENOENT)
            code = io_error(error, "can't remove", path);
        else
            ++*removed;
    }
    free(firsts);
    return code;
}

/* --- what is missing --- */

/* The seq of the last whole line. @return false: there is none in sight */
static bool last_seq(const char *text, size_t length, uint64_t *seq)
{
    while (length > 0 && text[length - 1] != '\n')
        length--; /* what is torn is the writer's business */
    if (length == 0)
        return false;
    const char *before = memrchr(text, '\n', length - 1);
    const char *line = before ? before + 1 : text;
    return segment_line_seq(line, (size_t)(text + length - line), seq);
}

/* The first and the last record of a segment; 0: can't be told. */
static enum error_code segment_ends(const char *path, uint64_t *first, uint64_t *last, struct error *error)
{
    struct stat about;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    *first = *last = 0;
    if (file < 0 || fstat(file, &about) != 0) {
        const enum error_code code = io_error(error, "can't read", path);
        if (file >= 0)
            close(file);
        return code;
    }
    char *text = memory_new(END_BYTES);
    const off_t at = about.st_size > (off_t)END_BYTES ? about.st_size - (off_t)END_BYTES : 0;
    const ssize_t head = pread(file, text, 64, 0);
    if (head <= 0 || !segment_line_seq(text, (size_t)head, first))
        *first = 0;
    const ssize_t tail = pread(file, text, END_BYTES, at);
    if (tail <= 0 || !last_seq(text, (size_t)tail, last))
        *last = 0;
    free(text);
    close(file);
    return ERROR_OK;
}

static void say_missing(char *damage, size_t damage_bytes, uint64_t from, uint64_t to, uint64_t before)
{
    snprintf(damage, damage_bytes, "records %llu to %llu are missing before %010llu.jsonl",
             (unsigned long long)from, (unsigned long long)to, (unsigned long long)before);
}

static enum error_code check_segment(const char *folder, uint64_t named, uint64_t next, char *damage,
                                     size_t damage_bytes, struct error *error)
{
    char path[SEGMENT_PATH_BYTES];
    uint64_t first, last;
    segment_path(folder, named, path);
    const enum error_code code = segment_ends(path, &first, &last, error);
    if (code != ERROR_OK)
        return code;
    if (first != named)
        snprintf(damage, damage_bytes, "%010llu.jsonl doesn't begin with the record it is named for",
                 (unsigned long long)named);
    else if (next != 0 && last == 0)
        snprintf(damage, damage_bytes, "%010llu.jsonl doesn't end with a record", (unsigned long long)named);
    else if (next > last + 1)
        say_missing(damage, damage_bytes, last + 1, next - 1, next);
    else if (next != 0 && next < last + 1)
        snprintf(damage, damage_bytes,
                 "%010llu.jsonl goes on to record %llu, past the start of %010llu.jsonl",
                 (unsigned long long)named, (unsigned long long)last, (unsigned long long)next);
    return ERROR_OK;
}

enum error_code segments_check(const char *folder, uint64_t first_seq, char *damage, size_t damage_bytes,
                               struct error *error)
{
    uint64_t *firsts = NULL;
    size_t count = 0;
    enum error_code code = segments_list(folder, &firsts, &count, error);
    damage[0] = '\0';
    if (code == ERROR_OK && count > 0 && firsts[0] > first_seq)
        say_missing(damage, damage_bytes, first_seq, firsts[0] - 1, firsts[0]);
    for (size_t i = 0; code == ERROR_OK && damage[0] == '\0' && i < count; i++)
        code =
            check_segment(folder, firsts[i], i + 1 < count ? firsts[i + 1] : 0, damage, damage_bytes, error);
    free(firsts);
    return code;
}
