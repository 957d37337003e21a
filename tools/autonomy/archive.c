#include "tools/autonomy/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/check.h"

#define BLOCK_BYTES 512u

/* POSIX.1-1988: all fields are text, numbers are octal. */
struct ustar {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
    char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], fill[12];
};
_Static_assert(sizeof(struct ustar) == BLOCK_BYTES, "a tar header is one block");

struct archive {
    char *path, *partial;
    gzFile file;
    int fd; /* of its own: gzclose closes another one */
    uint64_t mtime_s;
};

/* A bundle of an earlier moment is evidence: nothing takes its place. Some file systems can't promise that in
 * one step; there, archive_open() has looked. */
static int rename_new(const char *from, const char *to)
{
    int result = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    return result != 0 && errno == EINVAL ? rename(from, to) : result;
}

enum error_code archive_open(const char *path, uint64_t wall_ms, struct archive **out, struct error *error)
{
    struct stat about;
    if (lstat(path, &about) == 0)
        return error_set(error, ERROR_EXISTS, "%s is there already; name another file", path);
    size_t bytes = strlen(path) + sizeof ".partial";
    char *partial = memory_new(bytes);
    snprintf(partial, bytes, "%s.partial", path);
    (void)unlink(partial); /* of an earlier try; a link that somebody put there is not followed */
    int fd = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int second = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    gzFile file = second >= 0 ? gzdopen(second, "wb") : NULL;
    if (!file) {
        enum error_code code = error_set(error, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_IO, "%s: %s",
                                         partial, strerror(errno));
        if (second >= 0)
            close(second);
        if (fd >= 0)
            close(fd);
        free(partial);
        return code;
    }
    struct archive *self = memory_zero(1, sizeof *self);
    *self = (struct archive){
        .path = text_copy(path), .partial = partial, .file = file, .fd = fd, .mtime_s = wall_ms / 1000};
    *out = self;
    return ERROR_OK;
}

static enum error_code write_all(struct archive *self, const void *data, size_t bytes, struct error *error)
{
    const char *at = data;
    while (bytes > 0) {
        unsigned part = bytes < (1u << 20) ? (unsigned)bytes : 1u << 20;
        if (gzwrite(self->file, at, part) != (int)part)
            return error_set(error, errno == ENOSPC ? ERROR_NO_SPACE : ERROR_IO,
                             "%s: it can't be written: %s", self->partial, strerror(errno));
        at += part;
        bytes -= part;
    }
    return ERROR_OK;
}

static void octal(char *field, size_t bytes, uint64_t value)
{
    snprintf(field, bytes, "%0*llo", (int)bytes - 1, (unsigned long long)value);
}

enum error_code archive_add(struct archive *self, const char *name, struct span content, struct error *error)
{
    static const char zeros[BLOCK_BYTES];
    struct ustar head = {.type = '0', .magic = "ustar", .version = {'0', '0'}};
    if (strlen(name) > ARCHIVE_NAME_BYTES_MAX || content.bytes >= (1ull << 33))
        return error_set(error, ERROR_TOO_BIG,
                         "%s: a name of at most %u bytes and a content below 8 GiB go into a tar", name,
                         ARCHIVE_NAME_BYTES_MAX);
    memcpy(head.name, name, strlen(name));
    octal(head.mode, sizeof head.mode, 0600);
    octal(head.uid, sizeof head.uid, 0);
    octal(head.gid, sizeof head.gid, 0);
    octal(head.size, sizeof head.size, content.bytes);
    octal(head.mtime, sizeof head.mtime, self->mtime_s);
    memset(head.checksum, ' ', sizeof head.checksum); /* it counts as blanks in its own sum */
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof head; i++)
        sum += ((const unsigned char *)&head)[i];
    snprintf(head.checksum, 7, "%06o", sum & 0777777u);
    enum error_code code = write_all(self, &head, sizeof head, error);
    if (code == ERROR_OK)
        code = write_all(self, content.data, content.bytes, error);
    if (code == ERROR_OK && content.bytes % BLOCK_BYTES > 0)
        code = write_all(self, zeros, BLOCK_BYTES - content.bytes % BLOCK_BYTES, error);
    return code;
}

static void release(struct archive *self)
{
    if (self->fd >= 0)
        close(self->fd);
    free(self->path);
    free(self->partial);
    free(self);
}

enum error_code archive_close(struct archive *self, struct error *error)
{
    static const char zeros[2 * BLOCK_BYTES];
    enum error_code code = write_all(self, zeros, sizeof zeros, error);
    int closed = gzclose(self->file);
    self->file = NULL;
    if (code == ERROR_OK &&
        (closed != Z_OK || fsync(self->fd) != 0 || rename_new(self->partial, self->path) != 0))
        code = error_set(error, ERROR_IO, "%s: %s", self->path, strerror(errno));
    if (code != ERROR_OK)
        (void)unlink(self->partial);
    release(self);
    return code;
}

void archive_abandon(struct archive *self)
{
    if (!self)
        return;
    (void)gzclose(self->file);
    (void)unlink(self->partial);
    release(self);
}
