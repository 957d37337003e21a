#include "node/mirror.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/disk.h"
#include "base/logger.h"
#include "node/segments.h"

#define BUFFER_BYTES (1024u * 1024u) /* written at once when so much has gathered */
#define REPLACED_MAX 1000

struct mirror {
    char folder[1024];
    uint64_t segment_bytes;
    int file;            /* the last segment; -1: none yet */
    bool torn;           /* a failed write left half a line behind `file_bytes` */
    uint64_t file_bytes; /* of whole lines in it */
    uint64_t written_seq;
    uint8_t written_hash[DIGEST_BYTES]; /* of that record */
    bool has_hash;
    struct bytes buffer; /* lines not yet written */
    uint64_t buffer_first, buffer_last;
    uint8_t buffer_hash[DIGEST_BYTES];
};

static enum error_code io_error(struct error *error, const char *doing, const char *path)
{
    int number = errno;
    return error_set(error, number == ENOSPC || number == EDQUOT ? ERROR_NO_SPACE : ERROR_IO,
                     "audit mirror: %s %s: %s", doing, path, strerror(number));
}

/* --- finding the end
 * -------------------------------------------------------------------------------------------- */

/** Whether this is one whole line (without its newline) of the sequence that is expected. */
static bool line_is_whole(const char *line, size_t length, uint64_t expected)
{
    uint64_t seq = 0;
    return length > 0 && line[length - 1] == '}' && segment_line_seq(line, length, &seq) && seq == expected;
}

/** The last line's hash: what the next record must be chained to. */
static bool line_hash(const char *line, size_t length, uint8_t out[DIGEST_BYTES])
{
    struct error error = {0};
    json_t *json = NULL;
    if (json_parse(span_of(line, length), &json, &error) != ERROR_OK)
        return false;
    const char *text = json_string_value(json_object_get(json, "hash"));
    bool good = text && hex_decode(text, out, DIGEST_BYTES);
    json_decref(json);
    return good;
}

/** Where the whole lines of a segment end, and the last of them. @return false: it can't be read */
static bool segment_scan(struct mirror *self, uint64_t first, FILE *file, uint64_t *good_bytes)
{
    char *line = NULL, *last = NULL;
    size_t room = 0, last_length = 0;
    ssize_t length;
    uint64_t expected = first;
    *good_bytes = 0;
    while ((length = getline(&line, &room, file)) > 0) {
        if (line[length - 1] != '\n' || !line_is_whole(line, (size_t)length - 1, expected))
            break;
        *good_bytes += (uint64_t)length;
        expected++;
        free(last);
        last_length = (size_t)length - 1;
        last = memory_new(last_length + 1);
        memcpy(last, line, last_length);
    }
    bool good = ferror(file) == 0;
    if (good && last) {
        self->has_hash = line_hash(last, last_length, self->written_hash);
        self->written_seq = expected - 1;
    }
    free(last);
    free(line);
    return good;
}

/** Opens the segment that begins with `first` and cuts off what isn't whole. @return ERROR_NOT_FOUND when
 * nothing was left. */
static enum error_code segment_resume(struct mirror *self, uint64_t first, struct error *error)
{
    char path[SEGMENT_PATH_BYTES];
    uint64_t good_bytes = 0;
    segment_path(self->folder, first, path);
    FILE *file = fopen(path, "re");
    if (!file)
        return io_error(error, "can't open", path);
    bool good = segment_scan(self, first, file, &good_bytes);
    fclose(file);
    if (!good)
        return io_error(error, "can't read", path);
    if (good_bytes == 0)
        return unlink(path) == 0 ? ERROR_NOT_FOUND : io_error(error, "can't remove", path);
    if (truncate(path, (off_t)good_bytes) != 0)
        return io_error(error, "can't cut a torn line of", path);
    self->file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (self->file < 0)
        return io_error(error, "can't open", path);
    self->file_bytes = good_bytes;
    return ERROR_OK;
}

static enum error_code resume(struct mirror *self, struct error *error)
{
    for (;;) {
        uint64_t *firsts = NULL;
        size_t count = 0;
        enum error_code code = segments_list(self->folder, &firsts, &count, error);
        if (code == ERROR_OK && count > 0)
            code = segment_resume(self, firsts[count - 1], error);
        free(firsts);
        if (code != ERROR_NOT_FOUND)
            return code;
    }
}

enum error_code mirror_open(const char *folder, uint64_t segment_bytes, struct mirror **out,
                            struct error *error)
{
    CHECK(strlen(folder) < sizeof(((struct mirror *)0)->folder), "the configuration bounds it");
    if (disk_folder_make(folder, error) != ERROR_OK)
        return error->code;
    struct mirror *self = memory_zero(1, sizeof *self);
    snprintf(self->folder, sizeof self->folder, "%s", folder);
    self->segment_bytes = segment_bytes;
    self->file = -1;
    bytes_init(&self->buffer, 0);
    if (resume(self, error) != ERROR_OK) {
        mirror_close(self);
        return error->code;
    }
    *out = self;
    return ERROR_OK;
}

const char *mirror_folder(const struct mirror *self)
{
    return self->folder;
}

uint64_t mirror_seq(const struct mirror *self)
{
    return self->written_seq;
}

/* --- writing
 * ---------------------------------------------------------------------------------------------------- */

static void file_close(struct mirror *self)
{
    if (self->file < 0)
        return;
    (void)fdatasync(self->file); /* the store can write it again: a failure costs nothing but that */
    close(self->file);
    self->file = -1;
    self->file_bytes = 0;
}

static enum error_code segment_begin(struct mirror *self, struct error *error)
{
    char path[SEGMENT_PATH_BYTES];
    segment_path(self->folder, self->buffer_first, path);
    file_close(self);
    self->file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (self->file >= 0)
        return ERROR_OK;
    if (errno != ENOENT)
        return io_error(error, "can't make", path);
    self->written_seq = 0; /* somebody removed the folder: all of it again */
    self->has_hash = false;
    if (disk_folder_make(self->folder, error) != ERROR_OK)
        return error->code;
    return error_set(error, ERROR_EXISTS, "audit mirror: %s was removed; it is written anew", self->folder);
}

static void buffer_forget(struct mirror *self)
{
    bytes_clear(&self->buffer);
    self->buffer_first = self->buffer_last = 0;
}

enum error_code mirror_flush(struct mirror *self, struct error *error)
{
    if (self->buffer.length == 0)
        return ERROR_OK;
    if (self->torn && ftruncate(self->file, (off_t)self->file_bytes) != 0) {
        buffer_forget(self);
        return io_error(error, "can't cut a torn line in", self->folder);
    }
    self->torn = false;
    bool next = self->file < 0 || self->file_bytes >= self->segment_bytes ||
                self->buffer_first != self->written_seq + 1;
    if (next && segment_begin(self, error) != ERROR_OK) {
        buffer_forget(self);
        return error->code;
    }
    size_t done = 0;
    while (done < self->buffer.length) {
        ssize_t count = write(self->file, self->buffer.data + done, self->buffer.length - done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            (void)io_error(error, "can't write to", self->folder);
            self->torn =
                ftruncate(self->file, (off_t)self->file_bytes) != 0; /* no line may follow half a line */
            buffer_forget(self);
            return error->code;
        }
        done += (size_t)count;
    }
    self->file_bytes += self->buffer.length;
    self->written_seq = self->buffer_last;
    memcpy(self->written_hash, self->buffer_hash, sizeof self->written_hash);
    self->has_hash = true;
    buffer_forget(self);
    return ERROR_OK;
}

/** Moves the whole folder out of the way: it holds another history. */
static enum error_code set_aside(struct mirror *self, struct error *error)
{
    char path[SEGMENT_PATH_BYTES];
    file_close(self);
    buffer_forget(self);
    for (int i = 1; i <= REPLACED_MAX; i++) {
        snprintf(path, sizeof path, "%s.replaced.%d", self->folder, i);
        if (!disk_exists(path))
            break;
    }
    if (rename(self->folder, path) != 0)
        return io_error(error, "can't set aside", self->folder);
    self->written_seq = 0;
    self->has_hash = false;
    if (disk_folder_make(self->folder, error) != ERROR_OK)
        return error->code;
    return error_set(error, ERROR_EXISTS, "audit mirror: %s held another history; it is kept as %s",
                     self->folder, path);
}

static bool continues(const struct mirror *self, const struct audit_record *record)
{
    const uint8_t *last = self->buffer.length > 0 ? self->buffer_hash : self->written_hash;
    if (self->buffer.length == 0 && (!self->has_hash || self->written_seq == 0))
        return true; /* nothing before it that could be compared */
    return record->prev_hash.bytes == DIGEST_BYTES && memcmp(record->prev_hash.data, last, DIGEST_BYTES) == 0;
}

enum error_code mirror_append(struct mirror *self, const struct audit_record *record, struct error *error)
{
    uint64_t last = self->buffer.length > 0 ? self->buffer_last : self->written_seq;
    if (record->seq <= last)
        return ERROR_OK;
    if (record->seq == last + 1 && !continues(self, record))
        return set_aside(self, error);
    /* A gap is legal where the store's trail was pruned: then there is nothing to compare with, and a segment
     * begins. */
    if (record->seq != last + 1 && mirror_flush(self, error) != ERROR_OK)
        return error->code;
    if (self->buffer.length == 0)
        self->buffer_first = record->seq;
    const size_t begin = self->buffer.length;
    uint64_t seq = 0;
    schema_to_line(&audit_schema, record, &self->buffer);
    const char *line = (const char *)self->buffer.data + begin;
    CHECK(segment_line_seq(line, self->buffer.length - begin, &seq) && seq == record->seq,
          "the first field of a record is its seq: %.40s", line);
    bytes_append_text(&self->buffer, "\n");
    self->buffer_last = record->seq;
    CHECK(record->hash.bytes == DIGEST_BYTES, "record %llu has its hash", (unsigned long long)record->seq);
    memcpy(self->buffer_hash, record->hash.data, DIGEST_BYTES);
    bool full =
        self->buffer.length >= BUFFER_BYTES || self->file_bytes + self->buffer.length >= self->segment_bytes;
    return full ? mirror_flush(self, error) : ERROR_OK;
}

void mirror_close(struct mirror *self)
{
    struct error error = {0};
    if (!self)
        return;
    if (mirror_flush(self, &error) != ERROR_OK)
        log_warn("mirror", "flush failed", "error=\"%s\"", error.message); /* written at the next start */
    file_close(self);
    bytes_done(&self->buffer);
    free(self);
}
