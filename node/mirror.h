/* The audit trail as JSON lines in a folder, so that jq works when the cluster doesn't:
 * DATA_DIR/audit/NNNNNNNNNN.jsonl.
 *
 * The store is the truth, this is a copy of it: what a crash took from its end is written again from the
 * store. A line reaches the page cache before its change is answered (it survives the process, not the
 * machine); segments are synced when they are full.
 *
 * Invariants:
 *   (1) lines are consecutive in `seq`; a segment is named for the first one in it;
 *   (2) a line that isn't whole is only ever the last one, and is cut off when the folder is opened or after
 * a failed write; (3) a record is written once: what is in the folder already is skipped. When the store's
 * history doesn't continue the folder's (its hash chain breaks), the folder is set aside as
 * FOLDER.replaced.N, never mixed or deleted.
 *
 * Threads: one at a time; the node gives it a worker of its own. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "fsm/audit.h"

struct mirror;

/** Opens or makes the folder and finds where it ends.
 * @return ERROR_IO, ERROR_NO_SPACE */
enum error_code mirror_open(const char *folder, uint64_t segment_bytes, struct mirror **out,
                            struct error *error) MUST_USE;
/** Takes one record, in order; those up to mirror_seq() are skipped. Written when enough has gathered, or by
 * mirror_flush().
 * @return ERROR_EXISTS when the folder was another history's and was set aside: begin again with the first
 * record */
enum error_code mirror_append(struct mirror *self, const struct audit_record *record,
                              struct error *error) MUST_USE;
/** Writes what was appended. On failure nothing of it counts as written; append it again later.
 * @return ERROR_EXISTS as above, also when somebody removed the folder */
enum error_code mirror_flush(struct mirror *self, struct error *error) MUST_USE;
const char *mirror_folder(const struct mirror *self);
/** The last record that is in the folder; 0: none. */
uint64_t mirror_seq(const struct mirror *self);
/** Flushes what it can, syncs and closes. */
void mirror_close(struct mirror *self);
