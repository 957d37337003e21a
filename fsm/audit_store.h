/* The trail in the store: appending a record with its indexes, pruning. Reading is view_audit() of fsm/fsm.h.
 */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "fsm/apply.h"
#include "fsm/audit.h"
#include "fsm/store.h"
#include "fsm/view.h"

/** Appends: fills in seq, prev_hash and hash (all else is the caller's). Empty texts count as absent, texts
 * past their bound are cut, so that what is stored can always be read back. @return the record's seq */
uint64_t audit_append(struct store *store, struct arena *arena, const struct audit_record *record);
/** Deletes a record and its rows in the indexes. */
void audit_remove(struct store *store, uint64_t seq);
/** The first seq in [low, high) whose time is `time_ms` or later; `high` when there is none. All of them are
 * there. */
uint64_t audit_seq_at(struct reader reader, uint64_t low, uint64_t high, uint64_t time_ms);
/** The first record about a resource from `first_seq` on; 0: there is none. */
uint64_t audit_first_of(struct reader reader, const char *resource, uint64_t first_seq);

/* --- pruning: audit_prune.c --- */

#define AUDIT_KEEP_MIN       100u /* the newest records always stay: what `audit query` shows */
#define AUDIT_KEEP_TEXT      "the newest 100 records always stay"
#define AUDIT_SWEEP_MAX      256u  /* records that one tick deletes: some milliseconds */
#define AUDIT_OPEN_PLANS_MAX 2000u /* looked at by one prune: some tens of milliseconds */

extern const struct schema audit_prune_schema, audit_anchor_schema; /* a command's body; a row */
/** @return false: the trail is whole, `out` is all zero */
bool audit_anchor_read(struct reader reader, struct audit_anchor *out);
/** The tick's part: deletes some of what lies before the anchor. */
void audit_sweep(struct apply *apply);
/** FSM_DEADLINE_SWEEP while there is more of it, else 0. */
uint64_t audit_next_deadline_ms(struct view *view);
