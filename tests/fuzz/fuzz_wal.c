/* The check of RocksDB's write-ahead log. 'r' and a file: any bytes are a whole log, a torn one or a damaged
 * one, and nothing else happens. 's' and a place, then records: a log that was cut anywhere is no damage, and
 * one whose record has a flipped bit is, when records follow. */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/kv_wal.h"
#include "fuzz/fuzz.h"

#define BLOCK_BYTES  32768u
#define HEAD_BYTES   7u
#define FILE_BYTES   (4u * BLOCK_BYTES)
#define RECORDS_MAX  64u
#define RECORD_BYTES 700u

struct log_file {
    uint8_t data[FILE_BYTES];
    size_t bytes;
    size_t begins[RECORDS_MAX], lengths[RECORDS_MAX]; /* of each record, its head included */
    unsigned records;
};

/* Appends one whole record; a block's rest that takes no head stays zero. */
static bool append(struct log_file *file, const uint8_t *payload, size_t length)
{
    size_t left = BLOCK_BYTES - file->bytes % BLOCK_BYTES;
    if (left < HEAD_BYTES + length)
        file->bytes += left;
    if (file->records == RECORDS_MAX || file->bytes + HEAD_BYTES + length > FILE_BYTES)
        return false;
    uint8_t *head = file->data + file->bytes;
    head[4] = (uint8_t)length;
    head[5] = (uint8_t)(length >> 8);
    head[6] = 1; /* whole */
    memcpy(head + HEAD_BYTES, payload, length);
    const uint32_t sum = crc32c(0, head + 6, 1 + length);
    const uint32_t masked = (sum >> 15 | sum << 17) + 0xa282ead8u;
    for (unsigned i = 0; i < 4; i++)
        head[i] = (uint8_t)(masked >> (8 * i));
    file->begins[file->records] = file->bytes;
    file->lengths[file->records++] = HEAD_BYTES + length;
    file->bytes += HEAD_BYTES + length;
    return true;
}

static enum error_code check_file(const void *data, size_t bytes, bool across)
{
    struct error error = {0};
    fuzz_file("000007.log", data, bytes);
    const enum error_code code = kv_wal_check(fuzz_folder(), across, &error);
    if (code != ERROR_OK)
        check_error(&error, code);
    CHECK(code == ERROR_OK || code == ERROR_CORRUPT, "%s", error.message);
    return code;
}

static void check_records(const uint8_t *data, size_t length)
{
    static struct log_file file;
    memset(&file, 0, sizeof file);
    const size_t place = (size_t)data[0] << 8 | data[1];
    const unsigned bit = data[2] % 8;
    for (size_t at = 3; at < length;) {
        size_t bytes = 1 + (size_t)data[at] * RECORD_BYTES / 255;
        if (bytes > length - at)
            bytes = length - at;
        if (!append(&file, data + at, bytes))
            break;
        at += bytes;
    }
    if (file.records == 0)
        return;
    CHECK(check_file(file.data, file.bytes, true) == ERROR_OK, "whole records are damage");
    CHECK(check_file(file.data, place % file.bytes, true) == ERROR_OK, "cut at %zu: no damage",
          place % file.bytes);
    const unsigned record = (unsigned)(place % file.records);
    const size_t at = file.begins[record] + place % file.lengths[record];
    file.data[at] ^= (uint8_t)(1u << bit);
    const enum error_code code = check_file(file.data, file.bytes, true);
    CHECK(record + 1 == file.records || code == ERROR_CORRUPT, "a flipped bit at %zu of %zu is no damage", at,
          file.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    if (length < 5 || length > FILE_BYTES)
        return 0;
    if (data[0] == 's') {
        check_records(data + 1, length - 1);
        return 0;
    }
    const enum error_code strict = check_file(data + 1, length - 1, false);
    const enum error_code wide = check_file(data + 1, length - 1, true);
    CHECK(strict == ERROR_OK || wide == ERROR_CORRUPT, "what one file shows, more files show too");
    return 0;
}
