/* The node's own audit folder at its start, as a kill or somebody's editor left it: what is whole stays, the
 * rest goes, a second opening finds the same, and the trail goes on. 0x1e ends a segment and begins the next;
 * the first byte is the number of the first segment. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/disk.h"
#include "fuzz/fuzz.h"
#include "node/mirror.h"
#include "node/segments.h"

#define SEGMENTS_MAX  2u
#define SEGMENT_BYTES (64u * 1024u)
#define SEPARATOR     0x1e

static void write_segments(unsigned first, const uint8_t *data, size_t length)
{
    for (unsigned i = 0; i < SEGMENTS_MAX; i++) {
        char name[48];
        const uint8_t *end = i + 1 < SEGMENTS_MAX ? memchr(data, SEPARATOR, length) : NULL;
        const size_t bytes = end ? (size_t)(end - data) : length;
        snprintf(name, sizeof name, "audit/%010u.jsonl", first);
        fuzz_file(name, data, bytes);
        for (size_t at = 0; at < bytes; at++)
            first += data[at] == '\n';
        if (!end)
            return;
        data += bytes + 1;
        length -= bytes + 1;
    }
}

static struct mirror *reopen(struct mirror *self, const char *path)
{
    struct error error = {0};
    mirror_close(self);
    CHECK(mirror_open(path, SEGMENT_BYTES, &self, &error) == ERROR_OK, "%s", error.message);
    return self;
}

/* Writes the next record and the one after it. Where the old trail isn't ours it is set aside, once. */
static void check_goes_on(const char *path)
{
    struct error error = {0};
    char damage[256];
    struct mirror *mirror = reopen(NULL, path);
    CHECK(segments_check(path, 1, damage, sizeof damage, &error) == ERROR_OK, "%s", error.message);
    uint8_t hash[DIGEST_BYTES] = {1}, next[DIGEST_BYTES] = {2};
    struct audit_record record = {.seq = mirror_seq(mirror) + 1,
                                  .index = 9,
                                  .term = 1,
                                  .timestamp = 1000,
                                  .event_name = "flags.set",
                                  .action = "set",
                                  .actor = "ann",
                                  .prev_hash = span_of(next, DIGEST_BYTES),
                                  .hash = span_of(hash, DIGEST_BYTES)};
    enum error_code code = mirror_append(mirror, &record, &error);
    if (code == ERROR_EXISTS) {
        CHECK(mirror_seq(mirror) == 0, "an empty mirror has seq %llu",
              (unsigned long long)mirror_seq(mirror));
        code = mirror_append(mirror, &record, &error);
    }
    CHECK(code == ERROR_OK && mirror_flush(mirror, &error) == ERROR_OK, "%s", error.message);
    record.prev_hash = record.hash;
    record.seq++;
    CHECK(mirror_append(mirror, &record, &error) == ERROR_OK, "%s", error.message);
    mirror = reopen(mirror, path);
    CHECK(mirror_seq(mirror) == record.seq, "it ends at %llu, not %llu",
          (unsigned long long)mirror_seq(mirror), (unsigned long long)record.seq);
    mirror_close(mirror);
}

static void remove_replaced(const char *path)
{
    char aside[160];
    struct error error = {0};
    snprintf(aside, sizeof aside, "%s.replaced.1", path);
    CHECK(disk_remove(path, &error) == ERROR_OK, "%s", error.message);
    CHECK(disk_remove(aside, &error) == ERROR_OK, "%s", error.message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    char path[128];
    struct error error = {0};
    if (length < 1 || length > 16384)
        return 0;
    snprintf(path, sizeof path, "%s/audit", fuzz_folder());
    CHECK(disk_folder_make(path, &error) == ERROR_OK, "%s", error.message);
    write_segments(data[0], data + 1, length - 1);
    struct mirror *mirror = reopen(NULL, path);
    const uint64_t seq = mirror_seq(mirror);
    mirror = reopen(mirror, path);
    CHECK(mirror_seq(mirror) == seq, "%llu at first, %llu then", (unsigned long long)seq,
          (unsigned long long)mirror_seq(mirror));
    mirror_close(mirror);
    check_goes_on(path);
    remove_replaced(path);
    return 0;
}
