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
#include "base/clock.h"
#include "base/schema.h"

#define BLOCK_BYTES        (1024u * 1024u) /* read at once */
#define TEXT_BYTES         (BLOCK_BYTES + AUDIT_LINE_BYTES_MAX + 1u)
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

struct segment {
    const char *name;
    bool last; /* of the folder: its last line may be torn */
    FILE *file;
    char *text;        /* blocks of the file */
    size_t from, upto; /* forwards: what of them was read and not yet taken */
    struct arena arena;
};

static enum error_code segment_open(const struct audit_folder *self, uint32_t number, struct segment *out,
                                    struct error *error)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", self->path, self->names[number]) >= sizeof path)
        return error_set(error, ERROR_INVALID, "audit folder %s: the path is too long", self->path);
    *out = (struct segment){
        .name = self->names[number], .last = number + 1 == self->count, .file = fopen(path, "re")};
    if (!out->file)
        return error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
    out->text = memory_new(TEXT_BYTES);
    arena_init(&out->arena, 16ul * AUDIT_LINE_BYTES_MAX);
    return ERROR_OK;
}

static enum error_code segment_close(const struct audit_folder *self, struct segment *segment,
                                     struct error *error)
{
    bool failed = ferror(segment->file) != 0;
    fclose(segment->file);
    free(segment->text);
    arena_done(&segment->arena);
    return failed ? error_set(error, ERROR_IO, "%s/%s: it can't be read", self->path, segment->name)
                  : ERROR_OK;
}

/* Reads one line as a record. @param json  NULL: nobody asks for it  @return false after writing why */
static bool read_record(struct span text, struct arena *arena, struct audit_record *record, json_t **json,
                        struct error *error)
{
    json_t *tree = NULL;
    if (text.bytes > AUDIT_LINE_BYTES_MAX) {
        (void)error_set(error, ERROR_CORRUPT, "the line is longer than %u bytes", AUDIT_LINE_BYTES_MAX);
        return false;
    }
    if (!json && schema_from_line(&audit_schema, text, arena, record))
        return true;
    if (json_parse(text, &tree, error) != ERROR_OK)
        return false;
    *record = (struct audit_record){0};
    const bool good = schema_from_json(&audit_schema, tree, arena, record, error) == ERROR_OK;
    if (good && json)
        *json = json_incref(tree);
    json_decref(tree);
    return good;
}

/* One line to the walk. @param ended  it has its line break  @return false when the walk wants no more */
static bool take_line(struct segment *segment, struct span text, bool ended, const char *where,
                      struct audit_walk *walk)
{
    struct audit_record record;
    struct error error = {0};
    bool more = true;
    if (!ended && segment->last) {
        /* Even one that reads as a record: its line break isn't there, so more of it may be missing. */
        walk->torn = true;
        snprintf(walk->torn_where, sizeof walk->torn_where, "%s", where);
        return true;
    }
    if (walk->must_contain && !memmem(text.data, text.bytes, walk->must_contain, strlen(walk->must_contain)))
        return true;
    json_t *json = NULL;
    if (read_record(text, &segment->arena, &record, walk->records_only ? NULL : &json, &error))
        more = walk->visit(walk->context, &(struct audit_line){&record, json, where});
    else
        more = walk->damaged(walk->context, where, error.message);
    json_decref(json);
    arena_clear(&segment->arena);
    return more;
}

/* --- forwards --- */

/* Reads another block behind what is left. Of a line that is too long to be a record only as much is kept as
 * tells so. @return false at the end of the file */
static bool read_block(struct segment *segment)
{
    size_t left = segment->upto - segment->from;
    if (left > AUDIT_LINE_BYTES_MAX)
        left = AUDIT_LINE_BYTES_MAX + 1;
    memmove(segment->text, segment->text + segment->from, left);
    const size_t fresh = fread(segment->text + left, 1, BLOCK_BYTES, segment->file);
    segment->from = 0;
    segment->upto = left + fresh;
    return fresh > 0;
}

/* The next line without its line break. @return false at the end of the file */
static bool next_line(struct segment *segment, struct span *line, bool *ended)
{
    size_t looked = 0; /* at without finding one */
    for (;;) {
        const char *begin = segment->text + segment->from;
        const size_t length = segment->upto - segment->from;
        const char *end = length > looked ? memchr(begin + looked, '\n', length - looked) : NULL;
        *ended = end != NULL;
        *line = span_of(begin, end != NULL ? (size_t)(end - begin) : length);
        if (end != NULL) {
            segment->from += line->bytes + 1;
            return true;
        }
        looked = length > AUDIT_LINE_BYTES_MAX ? AUDIT_LINE_BYTES_MAX + 1 : length;
        if (read_block(segment))
            continue;
        *line = span_of(segment->text, segment->upto);
        segment->from = segment->upto;
        return line->bytes > 0;
    }
}

static bool walk_forwards(struct segment *segment, struct audit_walk *walk)
{
    char where[64];
    struct span line;
    bool more = true, ended;
    for (uint64_t number = 1; more && next_line(segment, &line, &ended); number++) {
        snprintf(where, sizeof where, "%s:%llu", segment->name, (unsigned long long)number);
        more = take_line(segment, line, ended, where, walk);
    }
    return more;
}

enum error_code audit_folder_walk(struct audit_folder *self, struct audit_walk *walk, struct error *error)
{
    bool more = true;
    for (uint32_t i = 0; i < self->count && more; i++) {
        struct segment segment;
        enum error_code code = segment_open(self, i, &segment, error);
        if (code != ERROR_OK)
            return code;
        more = walk_forwards(&segment, walk);
        code = segment_close(self, &segment, error);
        if (code != ERROR_OK)
            return code;
    }
    return ERROR_OK;
}

/* --- from the end --- */

/* Lines of text[0, length) from the last to the first but one: what stands before the first line break
 * belongs to an earlier block. `offset` is where the text stands in its file. @return how much is left over;
 * SIZE_MAX: the walk wants no more */
static size_t take_block(struct segment *segment, size_t length, long offset, bool *ended,
                         struct audit_walk *walk)
{
    char where[64];
    for (;;) {
        const char *before = memrchr(segment->text, '\n', length);
        size_t start = before ? (size_t)(before - segment->text) + 1 : 0;
        if (!before && offset > 0)
            return length;
        /* Behind the last line break of a file there is no line. */
        if (length > start || *ended) {
            snprintf(where, sizeof where, "%s, byte %ld", segment->name, offset + (long)start);
            if (!take_line(segment, span_of(segment->text + start, length - start), *ended, where, walk))
                return SIZE_MAX;
        }
        *ended = true;
        if (!before)
            return 0;
        length = start - 1;
    }
}

static bool walk_backwards(struct segment *segment, struct audit_walk *walk)
{
    size_t carried = 0; /* the end of a line whose beginning stands in an earlier block */
    bool ended = false;
    long position = fseek(segment->file, 0, SEEK_END) == 0 ? ftell(segment->file) : -1;
    while (position > 0) {
        long begin = position > (long)BLOCK_BYTES ? position - (long)BLOCK_BYTES : 0;
        size_t fresh = (size_t)(position - begin);
        if (carried > AUDIT_LINE_BYTES_MAX)
            carried = AUDIT_LINE_BYTES_MAX + 1; /* too long to be a record; one past the bound tells so */
        memmove(segment->text + fresh, segment->text, carried);
        if (fseek(segment->file, begin, SEEK_SET) != 0 ||
            fread(segment->text, 1, fresh, segment->file) != fresh)
            return false;
        carried = take_block(segment, fresh + carried, begin, &ended, walk);
        if (carried == SIZE_MAX)
            return false;
        position = begin;
    }
    return true;
}

enum error_code audit_folder_walk_back(struct audit_folder *self, struct audit_walk *walk,
                                       struct error *error)
{
    bool more = true;
    for (uint32_t i = self->count; more && i-- > 0;) {
        struct segment segment;
        enum error_code code = segment_open(self, i, &segment, error);
        if (code != ERROR_OK)
            return code;
        more = walk_backwards(&segment, walk);
        code = segment_close(self, &segment, error);
        if (code != ERROR_OK)
            return code;
    }
    return ERROR_OK;
}

/* --- queries --- */

struct gather {
    const struct audit_filter *filter;
    json_t *found; /* newest first */
    uint64_t limit;
    struct audit_damage *damage;
};

static bool gather_visit(void *context, const struct audit_line *line)
{
    struct gather *self = context;
    if (audit_filter_match(self->filter, line->record))
        json_array_append(self->found, (json_t *)line->json);
    return self->limit == 0 || json_array_size(self->found) < self->limit;
}

static bool gather_damaged(void *context, const char *where, const char *why)
{
    struct gather *self = context;
    if (self->damage->lines++ == 0)
        snprintf(self->damage->first, sizeof self->damage->first, "%s: %s", where, why);
    return true;
}

/* A text that every matching line holds as it is: reading JSON costs a hundred times what looking for it
 * does. */
static bool needle(const char *value, char *out, size_t out_bytes)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-@";
    return value && value[strspn(value, plain)] == '\0' &&
           (size_t)snprintf(out, out_bytes, "\"%s\"", value) < out_bytes;
}

enum error_code audit_folder_query(struct audit_folder *self, const struct audit_filter *filter,
                                   uint64_t limit, struct json_t **out, struct audit_damage *damage,
                                   struct error *error)
{
    char text[2 * NAME_BYTES_MAX];
    struct gather gather = {.filter = filter, .found = json_array(), .limit = limit, .damage = damage};
    struct audit_walk walk = {.visit = gather_visit, .damaged = gather_damaged, .context = &gather};
    *damage = (struct audit_damage){0};
    if (needle(filter->event_type, text, sizeof text) || needle(filter->resource, text, sizeof text) ||
        needle(filter->actor, text, sizeof text))
        walk.must_contain = text;
    enum error_code code = audit_folder_walk_back(self, &walk, error);
    damage->torn = walk.torn;
    if (code == ERROR_OK)
        *out = gather.found;
    else
        json_decref(gather.found);
    return code;
}

/* --- verify --- */

struct verify {
    struct audit_chain chain;
    struct audit_anchor anchor; /* of the newest prune; seq 0: none, or the folder begins with record 1 */
    audit_progress_fn *progress;
    void *context;
    uint64_t first_seq;
    char bad[1024]; /* where and why; "" while all fits */
    uint64_t bad_seq;
};

/* Without record 1 nothing says what stood before, unless a prune left an anchor: else a trail that was cut
 * there would hold as well as a whole one. */
static bool head_missing(struct verify *self, const struct audit_line *line)
{
    self->bad_seq = self->anchor.seq + 1;
    snprintf(self->bad, sizeof self->bad,
             "%s: the trail begins with record %llu: the records before it are missing%s, so nothing vouches "
             "for it",
             line->where, (unsigned long long)line->record->seq,
             self->anchor.seq > 0 ? ", more than were pruned" : "");
    return false;
}

/* A mirror loses whole segments: it may begin before the anchor, and then has to come by it. */
static bool verify_begin(struct verify *self, const struct audit_line *line)
{
    self->first_seq = line->record->seq;
    if (self->first_seq > self->anchor.seq + 1)
        return head_missing(self, line);
    if (self->first_seq > 1 && self->first_seq == self->anchor.seq + 1)
        audit_chain_begin(&self->chain, &self->anchor);
    return true;
}

static bool verify_visit(void *context, const struct audit_line *line)
{
    struct verify *self = context;
    struct error error = {0};
    if (self->first_seq == 0 && !verify_begin(self, line))
        return false;
    bool good = audit_chain_next(&self->chain, line->record, &error) == ERROR_OK;
    if (good && line->record->seq == self->anchor.seq &&
        memcmp(self->chain.hash, self->anchor.hash, DIGEST_BYTES) != 0) {
        (void)error_set(&error, ERROR_CORRUPT,
                        "record %llu is not the one up to which record %llu says that the trail was pruned",
                        (unsigned long long)self->anchor.seq, (unsigned long long)self->anchor.record_seq);
        good = false;
    }
    if (self->progress)
        self->progress(self->context, self->chain.records);
    if (good)
        return true;
    self->bad_seq = line->record->seq;
    snprintf(self->bad, sizeof self->bad, "%s: %s", line->where, error.message);
    return false;
}

static bool verify_damaged(void *context, const char *where, const char *why)
{
    struct verify *self = context;
    snprintf(self->bad, sizeof self->bad, "%s: no record: %s", where, why);
    self->bad_seq = self->chain.seq + 1;
    return false;
}

static json_t *number_or_null(uint64_t number)
{
    return number > 0 ? json_integer((json_int_t)number) : json_null();
}

static json_t *anchor_json(const struct verify *verify)
{
    char hash[2 * DIGEST_BYTES + 1], time[TIME_TEXT_BYTES];
    if (verify->anchor.seq == 0)
        return json_null();
    hex_encode(verify->anchor.hash, DIGEST_BYTES, hash);
    time_format(verify->anchor.pruned_ms, time);
    return json_pack("{s:I, s:s, s:s, s:I}", "seq", (json_int_t)verify->anchor.seq, "hash", hash, "pruned_at",
                     time, "record_seq", (json_int_t)verify->anchor.record_seq);
}

static json_t *verify_report(const struct verify *verify, const struct audit_walk *walk)
{
    char hash[2 * DIGEST_BYTES + 1] = "";
    hex_encode(verify->chain.hash, DIGEST_BYTES, hash);
    return json_pack("{s:b, s:I, s:o, s:o, s:s?, s:o, s:o, s:s?, s:s?}", "valid", verify->bad[0] == '\0',
                     "records", (json_int_t)verify->chain.records, "first_seq",
                     number_or_null(verify->first_seq), "last_seq", number_or_null(verify->chain.seq),
                     "last_hash", verify->chain.records > 0 ? hash : NULL, "first_bad_seq",
                     number_or_null(verify->bad_seq), "anchor", anchor_json(verify), "detail",
                     verify->bad[0] ? verify->bad : NULL, "torn", walk->torn ? walk->torn_where : NULL);
}

static bool anchor_visit(void *context, const struct audit_line *line)
{
    return !audit_anchor_of(line->record, context);
}

static bool anchor_damaged(void *context, const char *where, const char *why)
{
    (void)context, (void)where, (void)why; /* the walk forwards will tell */
    return true;
}

/* The newest prune that the folder tells of. */
static enum error_code find_anchor(struct audit_folder *self, struct audit_anchor *out, struct error *error)
{
    uint64_t named = 0;
    char digits[11] = "";
    *out = (struct audit_anchor){0};
    if (self->count > 0)
        memcpy(digits, self->names[0], 10);
    if (!parse_u64(digits, UINT64_MAX, &named) || named <= 1)
        return ERROR_OK; /* it begins where every trail began */
    struct audit_walk walk = {.visit = anchor_visit,
                              .damaged = anchor_damaged,
                              .context = out,
                              .records_only = true,
                              .must_contain = "\"event_name\":\"" AUDIT_PRUNED_EVENT "\""};
    const enum error_code code = audit_folder_walk_back(self, &walk, error);
    if (out->seq == 0)
        *out = (struct audit_anchor){0};
    return code;
}

enum error_code audit_folder_verify(struct audit_folder *self, audit_progress_fn *progress, void *context,
                                    struct json_t **out, struct error *error)
{
    struct verify verify = {.progress = progress, .context = context};
    struct audit_walk walk = {
        .visit = verify_visit, .damaged = verify_damaged, .context = &verify, .records_only = true};
    enum error_code code = find_anchor(self, &verify.anchor, error);
    if (code == ERROR_OK)
        code = audit_folder_walk(self, &walk, error);
    if (code == ERROR_OK && verify.chain.records == 0 && verify.bad[0] == '\0')
        code =
            error_set(error, ERROR_NOT_FOUND, "%s holds no audit records: nothing was verified", self->path);
    if (code == ERROR_OK)
        *out = verify_report(&verify, &walk);
    return code;
}
