/* The files of an audit mirror as a whole: NNNNNNNNNN.jsonl, each named for the first record in it.
 *
 * Threads: the one that writes the mirror. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SEGMENT_PATH_BYTES 1200u

/** @return false: the name is no segment's */
bool segment_number(const char *name, uint64_t *first_seq);
void segment_path(const char *folder, uint64_t first_seq, char out[SEGMENT_PATH_BYTES]);
/** The seq that a line begins with. @return false: it is no record's */
bool segment_line_seq(const char *line, size_t length, uint64_t *seq);

/** The first seq of each segment, ascending; the caller frees it (NULL when there are none). */
enum error_code segments_list(const char *folder, uint64_t **out, size_t *count,
                              struct error *error) MUST_USE;
/** Removes the segments all of whose records come before `first_seq`, oldest first; the last one stays.
 * @param removed  how many */
enum error_code segments_prune(const char *folder, uint64_t first_seq, size_t *removed,
                               struct error *error) MUST_USE;
/** Looks for records that are missing between, or before, the segments: only the ends of each are read. What
 * lies inside is checked by `autonomy audit verify --audit-dir`.
 * @param first_seq  the first record that has to be there
 * @param damage     a sentence about the first thing that is missing; "" when nothing is */
enum error_code segments_check(const char *folder, uint64_t first_seq, char *damage, size_t damage_bytes,
                               struct error *error) MUST_USE;
