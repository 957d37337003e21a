/* A small file as a crash, a bad disk or a stranger left it: it is refused as damaged, or gives what fits,
 * and takes the next content. The first byte says which of its two slots get a right checksum: a fuzzer
 * guesses none. */
#include <stdio.h>
#include <string.h>

#include "base/disk.h"
#include "base/hash.h"
#include "fuzz/fuzz.h"

#define SLOT_BYTES  4096u /* the form is told in docs/reference/disk-format.md */
#define SLOT_HEAD   32u
#define SLOT_LENGTH 16u
#define SLOT_SUM    20u

static void seal(uint8_t *slot)
{
    uint32_t length = get_u32(slot + SLOT_LENGTH);
    memcpy(slot, "autonomy", 8);
    if (length <= DISK_SMALL_BYTES_MAX)
        put_u32(slot + SLOT_SUM, crc32c(crc32c(0, slot + 8, 12), slot + SLOT_HEAD, length));
}

/* What is written next is what is read, whatever stood there. */
static void check_next(const char *path)
{
    static const char *const contents[] = {"first", "", "third"};
    for (size_t i = 0; i < 3; i++) {
        struct error error = {0};
        struct bytes back;
        bytes_init(&back, 0);
        CHECK(disk_small_write(path, span_text(contents[i]), &error) == ERROR_OK, "%s", error.message);
        CHECK(disk_small_read(path, &back, &error) == ERROR_OK, "%s", error.message);
        CHECK(span_equal(bytes_span(&back), span_text(contents[i])), "write %zu isn't what is read", i);
        bytes_done(&back);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    char path[128];
    uint8_t file[2 * SLOT_BYTES] = {0};
    struct error error = {0};
    struct bytes content;
    if (length < 2 || length > sizeof file)
        return 0;
    memcpy(file, data + 1, length - 1);
    size_t bytes = length - 1;
    for (unsigned i = 0; i < 2; i++)
        if (data[0] & (1u << i)) {
            seal(file + i * SLOT_BYTES);
            bytes = bytes > (i + 1) * SLOT_BYTES ? bytes : (i + 1) * SLOT_BYTES;
        }
    fuzz_file("small", file, bytes);
    snprintf(path, sizeof path, "%s/small", fuzz_folder());
    bytes_init(&content, 0);
    const enum error_code code = disk_small_read(path, &content, &error);
    if (code != ERROR_OK)
        check_error(&error, code);
    CHECK(content.length <= DISK_SMALL_BYTES_MAX, "%zu bytes", content.length);
    bytes_done(&content);
    check_next(path);
    return 0;
}
