#include "base/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/check.h"
#include "base/hash.h"

#define PATH_BYTES_MAX 4096u
#define DEPTH_MAX      16u /* folders within folders that disk_remove() follows */
#define SLOT_BYTES     4096u
#define SLOT_HEAD      32u /* magic 8, number 8, length 4, checksum of number, length and content 4, rest zero */

static const char slot_magic[8] = "autonomy";

_Static_assert(DISK_SMALL_BYTES_MAX + SLOT_HEAD == SLOT_BYTES, "content and head fill a slot");

static enum error_code failed(struct error *error, const char *what, const char *path)
{
    int number = errno;
    enum error_code code = number == ENOSPC || number == EDQUOT ? ERROR_NO_SPACE
                           : number == ENOENT                   ? ERROR_NOT_FOUND
                                                                : ERROR_IO;
    return error_set(error, code, "%s %s: %s", what, path, strerror(number));
}

/* Makes a name in a folder durable. */
static enum error_code sync_parent(const char *path, struct error *error)
{
    char parent[PATH_BYTES_MAX];
    const char *slash = strrchr(path, '/');
    int length = slash ? (int)(slash - path) : 1;
    if (length == 0)
        length = 1; /* "/name": the root */
    int needed = snprintf(parent, sizeof(parent), "%.*s", length, slash ? path : ".");
    if (needed < 0 || (size_t)needed >= sizeof(parent))
        return error_set(error, ERROR_INVALID, "path %.100s... is too long", path);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return failed(error, "can't open folder", parent);
    int rc = fsync(fd);
    int saved = errno;
    close(fd);
    errno = saved;
    return rc == 0 ? ERROR_OK : failed(error, "can't sync folder", parent);
}

enum error_code disk_folder_make(const char *path, struct error *error)
{
    struct stat status;
    if (mkdir(path, 0750) != 0) {
        if (errno != EEXIST)
            return failed(error, "can't make folder", path);
        if (stat(path, &status) != 0)
            return failed(error, "can't look at", path);
        if (!S_ISDIR(status.st_mode))
            return error_set(error, ERROR_IO, "%s is in the way: it isn't a folder", path);
    }
    return sync_parent(path, error);
}

static enum error_code remove_at(const char *path, unsigned depth, struct error *error);

static enum error_code remove_content(DIR *folder, const char *path, unsigned depth, struct error *error)
{
    struct dirent *found;
    while ((errno = 0, found = readdir(folder))) {
        char below[PATH_BYTES_MAX];
        if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
            continue;
        int length = snprintf(below, sizeof(below), "%s/%s", path, found->d_name);
        if (length < 0 || (size_t)length >= sizeof(below))
            return error_set(error, ERROR_IO, "a path below %s is too long", path);
        enum error_code code = remove_at(below, depth + 1, error);
        if (code)
            return code;
    }
    return errno ? failed(error, "can't list", path) : ERROR_OK;
}

static enum error_code remove_at(const char *path, unsigned depth, struct error *error)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return ERROR_OK;
    if (errno != EISDIR && errno != EPERM)
        return failed(error, "can't remove", path);
    if (depth >= DEPTH_MAX)
        return error_set(error, ERROR_IO, "%s is nested too deep to be removed", path);
    DIR *folder = opendir(path);
    if (!folder)
        return failed(error, "can't open folder", path);
    enum error_code code = remove_content(folder, path, depth, error);
    closedir(folder);
    if (code)
        return code;
    return rmdir(path) == 0 ? ERROR_OK : failed(error, "can't remove folder", path);
}

enum error_code disk_remove(const char *path, struct error *error)
{
    if (!disk_exists(path))
        return ERROR_OK;
    enum error_code code = remove_at(path, 0, error);
    return code ? code : sync_parent(path, error);
}

enum error_code disk_list(const char *path, void (*visit)(void *context, const char *name), void *context,
                          struct error *error)
{
    DIR *folder = opendir(path);
    if (!folder)
        return errno == ENOENT ? ERROR_OK : failed(error, "can't open folder", path);
    struct dirent *found;
    while ((errno = 0, found = readdir(folder)))
        if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
            visit(context, found->d_name);
    enum error_code code = errno ? failed(error, "can't list", path) : ERROR_OK;
    closedir(folder);
    return code;
}

bool disk_exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

static uint64_t bytes_at(const char *path, unsigned depth)
{
    uint64_t sum = 0;
    DIR *folder = depth < DEPTH_MAX ? opendir(path) : NULL;
    if (!folder)
        return 0;
    for (struct dirent *found; (found = readdir(folder));) {
        struct stat status;
        char below[PATH_BYTES_MAX];
        if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
            continue;
        int length = snprintf(below, sizeof(below), "%s/%s", path, found->d_name);
        if (length < 0 || (size_t)length >= sizeof(below) || lstat(below, &status) != 0)
            continue; /* removed meanwhile */
        sum += S_ISDIR(status.st_mode) ? bytes_at(below, depth + 1) : (uint64_t)status.st_size;
    }
    closedir(folder);
    return sum;
}

uint64_t disk_folder_bytes(const char *folder)
{
    return bytes_at(folder, 0);
}

/* Reads until `bytes` came or the file ends. @return how many, -1 with errno */
static ssize_t read_whole(int fd, void *out, size_t bytes, off_t offset)
{
    size_t length = 0;
    while (length < bytes) {
        ssize_t got = pread(fd, (char *)out + length, bytes - length, offset + (off_t)length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        length += (size_t)got;
    }
    return (ssize_t)length;
}

static bool write_whole(int fd, const void *data, size_t bytes, off_t offset)
{
    size_t length = 0;
    while (length < bytes) {
        ssize_t put = pwrite(fd, (const char *)data + length, bytes - length, offset + (off_t)length);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        length += (size_t)put;
    }
    return true;
}

static uint32_t slot_checksum(const uint8_t *slot, uint32_t length)
{
    return crc32c(crc32c(0, slot + 8, 12), slot + SLOT_HEAD, length);
}

/* The number of a whole slot, 1 .. INT64_MAX; 0 when it isn't whole. */
static uint64_t slot_number(const uint8_t *slot)
{
    uint32_t length = get_u32(slot + 16);
    uint64_t number = get_u64(slot + 8);
    if (memcmp(slot, slot_magic, sizeof(slot_magic)) != 0 || length > DISK_SMALL_BYTES_MAX ||
        number > INT64_MAX)
        return 0;
    return slot_checksum(slot, length) == get_u32(slot + 20) ? number : 0;
}

static void slot_fill(uint8_t *slot, uint64_t number, struct span content)
{
    memset(slot, 0, SLOT_BYTES);
    memcpy(slot, slot_magic, sizeof(slot_magic));
    put_u64(slot + 8, number);
    put_u32(slot + 16, (uint32_t)content.bytes);
    if (content.bytes > 0)
        memcpy(slot + SLOT_HEAD, content.data, content.bytes);
    put_u32(slot + 20, slot_checksum(slot, (uint32_t)content.bytes));
}

/* Reads both slots. @return which one is newer (0 or 1), -1 when neither is whole, -2 with errno */
static int slots_read(int fd, uint8_t slots[2 * SLOT_BYTES])
{
    memset(slots, 0, 2 * SLOT_BYTES);
    if (read_whole(fd, slots, 2 * SLOT_BYTES, 0) < 0)
        return -2;
    uint64_t first = slot_number(slots), second = slot_number(slots + SLOT_BYTES);
    if (first == 0 && second == 0)
        return -1;
    return second > first ? 1 : 0;
}

enum error_code disk_small_read(const char *path, struct bytes *out, struct error *error)
{
    uint8_t slots[2 * SLOT_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return failed(error, "can't open", path);
    int newest = slots_read(fd, slots);
    int saved = errno;
    close(fd);
    errno = saved;
    if (newest == -2)
        return failed(error, "can't read", path);
    if (newest == -1)
        return error_set(error, ERROR_CORRUPT, "%s is damaged: neither of its two copies is whole", path);
    const uint8_t *slot = slots + (size_t)newest * SLOT_BYTES;
    bytes_append(out, slot + SLOT_HEAD, get_u32(slot + 16));
    return ERROR_OK;
}

/* The first time: a file of its own, renamed when whole, so that a crash leaves none or a whole one. */
static enum error_code small_create(const char *path, struct span content, struct error *error)
{
    uint8_t slots[2 * SLOT_BYTES] = {0}; /* both, so that later writes need no space */
    char fresh[PATH_BYTES_MAX];
    int length = snprintf(fresh, sizeof(fresh), "%s.new", path);
    if (length < 0 || (size_t)length >= sizeof(fresh))
        return error_set(error, ERROR_INVALID, "path %.100s... is too long", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0)
        return failed(error, "can't make", fresh);
    slot_fill(slots, 1, content);
    bool ok = write_whole(fd, slots, sizeof(slots), 0) && fsync(fd) == 0;
    enum error_code code = ok ? ERROR_OK : failed(error, "can't write", fresh);
    close(fd);
    if (code == ERROR_OK && rename(fresh, path) != 0)
        code = failed(error, "can't rename to", path);
    return code ? code : sync_parent(path, error);
}

enum error_code disk_small_write(const char *path, struct span content, struct error *error)
{
    uint8_t slots[2 * SLOT_BYTES];
    CHECK(content.bytes <= DISK_SMALL_BYTES_MAX, "%zu bytes for %s", content.bytes, path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? small_create(path, content, error) : failed(error, "can't open", path);
    int newest = slots_read(fd, slots);
    uint64_t number = newest < 0 ? 0 : slot_number(slots + (size_t)newest * SLOT_BYTES);
    enum error_code code = ERROR_OK;
    if (newest == -2) {
        code = failed(error, "can't read", path);
    } else if (number == INT64_MAX) { /* no write came so far: from 1 again, in a file of its own */
        close(fd);
        return small_create(path, content, error);
    } else {
        uint8_t *slot = slots; /* its bytes are no longer needed */
        off_t offset = newest == 0 ? (off_t)SLOT_BYTES : 0;
        slot_fill(slot, number + 1, content);
        if (!write_whole(fd, slot, SLOT_BYTES, offset) || fdatasync(fd) != 0)
            code = failed(error, "can't write", path);
    }
    close(fd);
    return code;
}

bool disk_free_bytes(const char *path, uint64_t *out)
{
    struct statvfs status;
    if (statvfs(path, &status) != 0)
        return false;
    *out = (uint64_t)status.f_bavail * (uint64_t)status.f_frsize;
    return true;
}

enum error_code disk_reserve_make(const char *path, uint64_t bytes, struct error *error)
{
    struct stat status;
    if (stat(path, &status) == 0 && (uint64_t)status.st_size >= bytes)
        return ERROR_OK;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return failed(error, "can't make", path);
    int rc = bytes ? posix_fallocate(fd, 0, (off_t)bytes) : 0;
    enum error_code code = ERROR_OK;
    if (rc != 0) {
        errno = rc;
        code = failed(error, "can't reserve space in", path);
        if (ftruncate(fd, 0) != 0) /* what it got in part goes back */
            unlink(path);
    } else if (fsync(fd) != 0) {
        code = failed(error, "can't sync", path);
    }
    close(fd);
    return code;
}

uint64_t disk_reserve_release(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0 || status.st_size <= 0 || truncate(path, 0) != 0)
        return 0;
    return (uint64_t)status.st_size;
}

struct disk_lock {
    int fd;
};

static enum error_code locked(int fd, const char *path, struct error *error)
{
    char holder[128];
    ssize_t length = read_whole(fd, holder, sizeof(holder) - 1, 0);
    holder[length > 0 ? length : 0] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
    char *name = strchr(holder, ' ');
    if (!name)
        return error_set(error, ERROR_LOCKED, "%s is held by another process", path);
    *name++ = '\0';
    return error_set(error, ERROR_LOCKED, "%s is held by %s (pid %s); stop that process first", path, name,
                     holder);
}

enum error_code disk_lock_take(const char *path, struct disk_lock **out, struct error *error)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return failed(error, "can't open", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        enum error_code code =
            errno == EWOULDBLOCK ? locked(fd, path, error) : failed(error, "can't lock", path);
        close(fd);
        return code;
    }
    char text[128];
    int length = snprintf(text, sizeof(text), "%ld %s\n", (long)getpid(), program_invocation_short_name);
    if (ftruncate(fd, 0) == 0)
        (void)write_whole(fd, text, (size_t)length,
                          0); /* for people; on a full disk the lock holds all the same */
    struct disk_lock *self = memory_new(sizeof(*self));
    self->fd = fd;
    *out = self;
    return ERROR_OK;
}

void disk_lock_release(struct disk_lock *self)
{
    if (!self)
        return;
    close(self->fd);
    free(self);
}
