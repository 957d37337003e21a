/* A node's audit folder, read without the node: segments NNNNNNNNNN.jsonl, one record a line, oldest first.
 *
 * Reading streams, forwards or from the end: a record lives until the visitor returns. The last line of the
 * last segment may be torn (the node was killed while it wrote); that is told, and is no failure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "fsm/audit.h"

#define AUDIT_SEGMENTS_MAX   100000u
#define AUDIT_LINE_BYTES_MAX (256u * 1024u) /* a record is at most a few KiB; this bounds a damaged file */

struct json_t;

struct audit_folder; /* the segments' names, sorted */

/** @return ERROR_NOT_FOUND, ERROR_IO; a folder without segments is ERROR_OK */
enum error_code audit_folder_open(const char *path, struct audit_folder **out, struct error *error) MUST_USE;
void audit_folder_close(struct audit_folder *self);
uint32_t audit_folder_segments(const struct audit_folder *self);

/** One record as it was read. Borrowed during the visit. */
struct audit_line {
    const struct audit_record *record;
    const struct json_t *json; /* the same, as it stands in the file; NULL with `records_only` */
    const char *where;         /* "0000000001.jsonl:17", or with ", byte 812" when read backwards */
};
struct audit_walk {
    /** @return false to stop */
    bool (*visit)(void *context, const struct audit_line *line);
    /** A line that is no record. @return false to stop */
    bool (*damaged)(void *context, const char *where, const char *why);
    void *context;
    bool records_only;        /* nobody asks for `json`: several times faster */
    const char *must_contain; /* lines without it are passed over unread; NULL: every line is read */
    bool torn;                /* out: the last line ends in the middle */
    char torn_where[64];      /* out */
};
/** Walks all segments, oldest record first. @return ERROR_IO */
enum error_code audit_folder_walk(struct audit_folder *self, struct audit_walk *walk,
                                  struct error *error) MUST_USE;
/** The same from the end: what a query for the newest records needs is read, not the whole trail. */
enum error_code audit_folder_walk_back(struct audit_folder *self, struct audit_walk *walk,
                                       struct error *error) MUST_USE;

/** What a query found beside records. */
struct audit_damage {
    uint64_t lines;  /* that are no records, as far as they were read */
    char first[256]; /* where and why */
    bool torn;
};
/** The newest `limit` (0: all) records that match, newest first, as a JSON array. */
enum error_code audit_folder_query(struct audit_folder *self, const struct audit_filter *filter,
                                   uint64_t limit, struct json_t **out, struct audit_damage *damage,
                                   struct error *error) MUST_USE;

/** Told how many records were checked, often. */
typedef void audit_progress_fn(void *context, uint64_t records);
/** Checks the chain from record 1, or from the anchor that a prune left, to the last that is there; what was
 * cut off behind it leaves no trace in a folder. The report: {valid, records, first_seq, last_seq, last_hash,
 * first_bad_seq, anchor, detail, torn}.
 * @param progress  may be NULL
 * @return ERROR_NOT_FOUND when there is no record: nothing was verified */
enum error_code audit_folder_verify(struct audit_folder *self, audit_progress_fn *progress, void *context,
                                    struct json_t **out, struct error *error) MUST_USE;
