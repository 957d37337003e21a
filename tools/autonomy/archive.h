/* A .tar.gz, written file by file: ustar headers, gzip around it. zlib stays behind this header.
 *
 * The archive grows beside its final name and takes that name when it is whole, so nobody finds half a file.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

#define ARCHIVE_NAME_BYTES_MAX 99u /* of a file in it; longer ones are refused */

struct archive;

/** Begins "<path>.partial", readable by its owner alone.
 * @return ERROR_EXISTS when `path` is there; ERROR_IO, ERROR_NOT_FOUND */
enum error_code archive_open(const char *path, uint64_t wall_ms, struct archive **out,
                             struct error *error) MUST_USE;
enum error_code archive_add(struct archive *self, const char *name, struct span content,
                            struct error *error) MUST_USE;
/** Ends the archive, syncs it and gives it its name, unless that was taken meanwhile. Frees `self` in any
 * case. */
enum error_code archive_close(struct archive *self, struct error *error) MUST_USE;
/** Gives up: the partial file goes. Takes NULL. */
void archive_abandon(struct archive *self);
