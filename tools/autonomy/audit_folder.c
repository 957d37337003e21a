#include "tools/autonomy/audit_folder.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/schema.h"

#define SEGMENT_NAME_BYTES 16u /* ten digits, ".jsonl" */

struct audit_folder {
    char *path;
    char (*names)[SEGMENT_NAME_BYTES + 1];
    uint32_t count, capacity;
};

static bool segment_name(const char *name)
{
    return strlen(name) == SEGMENT_NAME_BYTES && strspn(name, "0123456789") == 10 &&
           strcmp(name + 10, ".jsonl") == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static enum error_code read_names(struct audit_folder *self, DIR *folder, struct error *error)
{
    const struct dirent *entry;
    while ((entry = readdir(folder))) {
        if (!segment_name(entry->d_name))
            continue;
        if (self->count == AUDIT_SEGMENTS_MAX)
            return error_set(error, ERROR_TOO_BIG, "%s: more than %u segments", self->path,
                             AUDIT_SEGMENTS_MAX);
        if (self->count == self->capacity) {
            self->capacity = self->capacity ? self->capacity * 2 : 16;
            self->names = memory_resize(self->names, self->capacity * sizeof *self->names);
        }
        memcpy(self->names[self->count++], entry->d_name, SEGMENT_NAME_BYTES + 1);
    }
    if (self->count > 0)
        qsort(self->names, self->count, sizeof *self->names, by_name);
    return ERROR_OK;
}

enum error_code audit_folder_open(const char *path, struct audit_folder **out, struct error *error)
{
    DIR *folder = opendir(path);
    if (!folder)
        return error_set(error, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_IO, "audit folder %s: %s", path,
                         strerror(errno));
    struct audit_folder *self = memory_zero(1, sizeof *self);
    self->path = text_copy(path);
    enum error_code code = read_names(self, folder, error);
    closedir(folder);
    if (code == ERROR_OK)
        *out = self;
    else
        audit_folder_close(self);
    return code;
}

void audit_folder_close(struct audit_folder *self)
{
    if (!self)
        return;
    free(self->names);
    free(self->path);
    free(self);
}

uint32_t audit_folder_segments(const struct audit_folder *self)
{
    return self->count;
}

/* --- lines --- */

struct lines {
    FILE *file;
    char *text; /* AUDIT_LINE_BYTES_MAX + 1 */
    size_t length;
    bool ended, too_long; /* the line has its '\n'; it was cut */
};

/* @return false at the end of the file */
static bool next_line(struct lines *self)
{
    int c;
    self->length = 0;
    self->ended = self->too_long = false;
    while ((c = getc_unlocked(self->file)) != EOF && c != '\n') {
        if (self->length == AUDIT_LINE_BYTES_MAX)
            self->too_long = true;
        else
            self->text[self->length++] = (char)c;
    }
    self->ended = c == '\n';
    return self->ended || self->length > 0;
}

/* Reads one line as a record. @return NULL after writing why */
static json_t *read_record(const struct lines *lines, struct arena *arena, struct audit_record *record,
                           struct error *error)
{
    json_t *json = NULL;
    if (lines->too_long) {
        (void)error_set(error, ERROR_CORRUPT, "the line is longer than %u bytes", AUDIT_LINE_BYTES_MAX);
        return NULL;
    }
    if (json_parse(span_of(lines->text, lines->length), &json, error) != ERROR_OK)
        return NULL;
    *record = (struct audit_record){0};
    if (schema_from_json(&audit_schema, json, arena, record, error) == ERROR_OK)
        return json;
    json_decref(json);
    return NULL;
}

/* @return false when the visitor wants no more */
static bool walk_lines(const struct audit_folder *self, uint32_t segment, struct lines *lines,
                       struct arena *arena, struct audit_walk *walk)
{
    const char *name = self->names[segment];
    bool more = true;
    for (uint64_t number = 1; more && next_line(lines); number++) {
        struct audit_record record;
        struct error error = {0};
        bool last = !lines->ended && segment + 1 == self->count;
        json_t *json = read_record(lines, arena, &record, &error);
        if (json && !last) {
            struct audit_line line = {&record, json, name, number};
            more = walk->visit(walk->context, &line);
        } else if (last) {
            /* Even one that reads as a record: its line break isn't there, so more of it may be missing. */
            walk->torn = true;
            snprintf(walk->torn_where, sizeof walk->torn_where, "%s:%llu", name, (unsigned long long)number);
        } else {
            more = walk->damaged(walk->context, name, number, error.message);
        }
        json_decref(json);
        arena_clear(arena);
    }
    return more;
}

static enum error_code walk_segment(const struct audit_folder *self, uint32_t segment,
                                    struct audit_walk *walk, bool *more, struct error *error)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", self->path, self->names[segment]) >= sizeof path)
        return error_set(error, ERROR_INVALID, "audit folder %s: the path is too long", self->path);
    struct lines lines = {.file = fopen(path, "re")};
    if (!lines.file)
        return error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
    struct arena arena;
    arena_init(&arena, 16ul * AUDIT_LINE_BYTES_MAX);
    lines.text = memory_new(AUDIT_LINE_BYTES_MAX + 1);
    *more = walk_lines(self, segment, &lines, &arena, walk);
    bool failed = ferror(lines.file) != 0;
    fclose(lines.file);
    free(lines.text);
    arena_done(&arena);
    return failed ? error_set(error, ERROR_IO, "%s: it can't be read to its end", path) : ERROR_OK;
}

enum error_code audit_folder_walk(struct audit_folder *self, uint32_t segment, struct audit_walk *walk,
                                  struct error *error)
{
    uint32_t from = segment == UINT32_MAX ? 0 : segment;
    uint32_t until = segment == UINT32_MAX ? self->count : segment + 1;
    enum error_code code = ERROR_OK;
    bool more = true;
    for (uint32_t i = from; i < until && more && code == ERROR_OK; i++)
        code = walk_segment(self, i, walk, &more, error);
    return code;
}

/* --- queries --- */

/* The newest matches of one segment: a ring when there is a limit. */
struct gather {
    const struct audit_filter *filter;
    json_t *found;  /* oldest first, but see `start` */
    uint64_t limit; /* 0: all */
    size_t start;   /* where the ring begins once it is full */
    uint64_t damaged;
    char *first_damage;
};

static bool gather_visit(void *context, const struct audit_line *line)
{
    struct gather *self = context;
    if (!audit_filter_match(self->filter, line->record))
        return true;
    if (self->limit == 0 || json_array_size(self->found) < self->limit) {
        json_array_append(self->found, (json_t *)line->json);
        return true;
    }
    json_array_set(self->found, self->start, (json_t *)line->json);
    self->start = (self->start + 1) % json_array_size(self->found);
    return true;
}

static bool gather_damaged(void *context, const char *segment, uint64_t line, const char *why)
{
    struct gather *self = context;
    if (self->damaged++ == 0)
        snprintf(self->first_damage, AUDIT_DAMAGE_BYTES, "%s:%llu: %s", segment, (unsigned long long)line,
                 why);
    return true;
}

/* Puts what a segment gave behind what newer segments gave; both newest first. */
static void append_newest_first(json_t *all, const struct gather *gather)
{
    size_t count = json_array_size(gather->found);
    for (size_t i = count; i-- > 0;)
        json_array_append(all, json_array_get(gather->found, (gather->start + i) % count));
}

enum error_code audit_folder_query(struct audit_folder *self, const struct audit_filter *filter,
                                   uint64_t limit, struct json_t **out, uint64_t *damaged, char *first_damage,
                                   bool *torn, struct error *error)
{
    json_t *all = json_array();
    enum error_code code = ERROR_OK;
    *damaged = 0;
    *torn = false;
    first_damage[0] = '\0';
    for (uint32_t i = self->count; code == ERROR_OK && i-- > 0;) {
        uint64_t missing = limit > 0 ? limit - json_array_size(all) : 0;
        struct gather gather = {.filter = filter,
                                .found = json_array(),
                                .limit = missing,
                                .damaged = *damaged,
                                .first_damage = first_damage};
        struct audit_walk walk = {.visit = gather_visit, .damaged = gather_damaged, .context = &gather};
        code = audit_folder_walk(self, i, &walk, error);
        append_newest_first(all, &gather);
        json_decref(gather.found);
        *damaged = gather.damaged;
        *torn = *torn || walk.torn;
        if (limit > 0 && json_array_size(all) >= limit)
            break;
    }
    if (code != ERROR_OK) {
        json_decref(all);
        return code;
    }
    *out = all;
    return ERROR_OK;
}

/* --- verify --- */

struct verify {
    struct audit_chain chain;
    uint64_t first_seq;
    char bad[1024]; /* where and why; "" while all fits */
    uint64_t bad_seq;
};

static bool verify_visit(void *context, const struct audit_line *line)
{
    struct verify *self = context;
    struct error error = {0};
    if (self->first_seq == 0)
        self->first_seq = line->record->seq;
    if (audit_chain_next(&self->chain, line->record, &error) == ERROR_OK)
        return true;
    self->bad_seq = line->record->seq;
    snprintf(self->bad, sizeof self->bad, "%s:%llu: %s", line->segment, (unsigned long long)line->line,
             error.message);
    return false;
}

static bool verify_damaged(void *context, const char *segment, uint64_t line, const char *why)
{
    struct verify *self = context;
    snprintf(self->bad, sizeof self->bad, "%s:%llu: no record: %s", segment, (unsigned long long)line, why);
    self->bad_seq = self->chain.seq + 1;
    return false;
}

static json_t *number_or_null(uint64_t number)
{
    return number > 0 ? json_integer((json_int_t)number) : json_null();
}

static json_t *verify_report(const struct verify *verify, const struct audit_walk *walk)
{
    char hash[2 * DIGEST_BYTES + 1] = "";
    hex_encode(verify->chain.hash, DIGEST_BYTES, hash);
    return json_pack("{s:b, s:I, s:o, s:o, s:s?, s:o, s:s?, s:s?}", "valid", verify->bad[0] == '\0',
                     "records", (json_int_t)verify->chain.records, "first_seq",
                     number_or_null(verify->first_seq), "last_seq", number_or_null(verify->chain.seq),
                     "last_hash", verify->chain.records > 0 ? hash : NULL, "first_bad_seq",
                     number_or_null(verify->bad_seq), "detail", verify->bad[0] ? verify->bad : NULL, "torn",
                     walk->torn ? walk->torn_where : NULL);
}

enum error_code audit_folder_verify(struct audit_folder *self, struct json_t **out, struct error *error)
{
    struct verify verify = {0};
    struct audit_walk walk = {.visit = verify_visit, .damaged = verify_damaged, .context = &verify};
    enum error_code code = audit_folder_walk(self, UINT32_MAX, &walk, error);
    if (code == ERROR_OK && verify.chain.records == 0 && verify.bad[0] == '\0')
        code =
            error_set(error, ERROR_NOT_FOUND, "%s holds no audit records: nothing was verified", self->path);
    if (code == ERROR_OK)
        *out = verify_report(&verify, &walk);
    return code;
}
