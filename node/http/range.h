/* The header Range of a request for a file: one range of bytes (RFC 9110, 14.2). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct range {
    uint64_t first, last; /* inclusive */
};

/** Reads "bytes=100-199", "bytes=100-" or "bytes=-100"; anything else, also several ranges, means the whole
 * file.
 *
 * @param text     NULL: the header is absent
 * @param out      what to send; of an empty file {0, 0}
 * @param partial  it is a part: 206
 * @return false: no byte of the file is within it: 416 */
bool range_read(const char *text, uint64_t file_bytes, struct range *out, bool *partial);
