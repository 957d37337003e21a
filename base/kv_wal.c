/* The form: blocks of 32 KiB; in them records of checksum 4, length 2, type 1, payload (little-endian; the
 * checksum is CRC-32C over type and payload, rotated and shifted by a constant). A record that doesn't fit is
 * cut: first, middle ..., last. What is left of a block when no head fits is zero, and so is what was only
 * preallocated. */
#include "base/kv_wal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/disk.h"
#include "base/hash.h"

#define BLOCK_BYTES    32768u
#define HEAD_BYTES     7u
#define FILES_MAX      256u
#define FILE_BYTES_MAX (1024u * 1024u * 1024u)

enum { TYPE_ZERO = 0, TYPE_FULL = 1, TYPE_FIRST = 2, TYPE_MIDDLE = 3, TYPE_LAST = 4 };

struct names {
    uint64_t numbers[FILES_MAX];
    uint32_t count;
    bool too_many;
};

static void note_name(void *context, const char *name)
{
    struct names *names = context;
    char digits[32];
    const char *dot = strchr(name, '.');
    uint64_t number;
    if (!dot || strcmp(dot, ".log") != 0 || (size_t)(dot - name) >= sizeof(digits))
        return;
    memcpy(digits, name, (size_t)(dot - name));
    digits[dot - name] = '\0';
    if (!parse_u64(digits, UINT64_MAX, &number))
        return;
    if (names->count == FILES_MAX)
        names->too_many = true;
    else
        names->numbers[names->count++] = number;
}

static int by_number(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static uint32_t little_endian(const uint8_t *in, size_t bytes)
{
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint32_t)in[i] << (8 * i);
    return value;
}

/* The whole length of the valid record at `at`; 0 when there is none. Records never cross blocks. */
static size_t record_at(const uint8_t *data, size_t bytes, size_t at)
{
    size_t block_left = BLOCK_BYTES - at % BLOCK_BYTES;
    if (block_left < HEAD_BYTES || bytes - at < HEAD_BYTES)
        return 0;
    size_t length = little_endian(data + at + 4, 2);
    uint8_t type = data[at + 6];
    if (type < TYPE_FULL || type > TYPE_LAST || HEAD_BYTES + length > block_left ||
        HEAD_BYTES + length > bytes - at)
        return 0;
    uint32_t sum = crc32c(0, data + at + 6, 1 + length);
    uint32_t masked = (sum >> 15 | sum << 17) + 0xa282ead8u;
    return masked == little_endian(data + at, 4) ? HEAD_BYTES + length : 0;
}

static bool all_zero(const uint8_t *data, size_t from, size_t to)
{
    for (; from < to; from++)
        if (data[from])
            return false;
    return true;
}

/* Moves over valid records and the rests of blocks. @return where that ends: at `bytes`, or at what is no
 * record */
static size_t skip_valid(const uint8_t *data, size_t bytes, size_t at)
{
    while (at < bytes) {
        size_t block_left = BLOCK_BYTES - at % BLOCK_BYTES;
        size_t step = record_at(data, bytes, at);
        if (step == 0 && block_left < HEAD_BYTES)
            step = block_left < bytes - at ? block_left : bytes - at;
        if (step == 0)
            break;
        at += step;
    }
    return at;
}

/* True if a record begins, whole in this block, anywhere behind `at`. Middles and ends may be those of the
 * damaged one. */
static bool begins_later(const uint8_t *data, size_t bytes, size_t at)
{
    for (at++; at < bytes; at++) {
        if (bytes - at < HEAD_BYTES)
            return false;
        uint8_t type = data[at + 6];
        if ((type == TYPE_FULL || type == TYPE_FIRST) && record_at(data, bytes, at) > 0)
            return true;
    }
    return false;
}

static enum error_code read_file(const char *path, uint8_t **out, size_t *bytes, struct error *error)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0 || status.st_size > (off_t)FILE_BYTES_MAX) {
        int saved = errno;
        if (fd >= 0)
            close(fd);
        return error_set(error, ERROR_IO, "can't read %s: %s", path, strerror(saved));
    }
    uint8_t *data = memory_new((size_t)status.st_size);
    size_t length = 0;
    while (length < (size_t)status.st_size) {
        ssize_t got = read(fd, data + length, (size_t)status.st_size - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    close(fd);
    *out = data;
    *bytes = length;
    return ERROR_OK;
}

struct damage { /* the first thing that is no record, in the oldest file that has one */
    bool found;
    char path[512];
    size_t offset;
};

static enum error_code check_file(const char *path, bool across, struct damage *damage, struct error *error)
{
    uint8_t *data = NULL;
    size_t bytes = 0;
    enum error_code code = read_file(path, &data, &bytes, error);
    if (code)
        return code;
    size_t end = skip_valid(data, bytes, 0);
    bool follows = across && damage->found && end > 0;
    if (!follows && end < bytes) {
        follows = begins_later(data, bytes, end);
        if (follows || !all_zero(data, end, bytes)) {
            damage->found = true;
            damage->offset = end;
            snprintf(damage->path, sizeof(damage->path), "%s", path);
        }
    }
    free(data);
    if (!follows)
        return ERROR_OK;
    return error_set(error, ERROR_CORRUPT, "%s is damaged at byte %zu, and whole records follow",
                     damage->path, damage->offset);
}

enum error_code kv_wal_check(const char *folder, bool across, struct error *error)
{
    struct names names = {.count = 0};
    struct damage damage = {.found = false};
    char path[512];
    enum error_code code = disk_list(folder, note_name, &names, error);
    if (code == ERROR_OK && names.too_many)
        code = error_set(error, ERROR_IO, "%s has more than %u write-ahead logs", folder, FILES_MAX);
    qsort(names.numbers, names.count, sizeof(names.numbers[0]), by_number);
    for (uint32_t i = 0; code == ERROR_OK && i < names.count; i++) {
        int length = snprintf(path, sizeof(path), "%s/%06" PRIu64 ".log", folder, names.numbers[i]);
        if (length < 0 || (size_t)length >= sizeof(path))
            return error_set(error, ERROR_INVALID, "path %.100s... is too long", folder);
        code = check_file(path, across, &damage, error);
    }
    return code;
}
