/* The trail in the store: appending a record with its indexes. Reading is view_audit() of fsm/fsm.h. */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "fsm/audit.h"
#include "fsm/store.h"

/** Appends: fills in seq, prev_hash and hash (all else is the caller's). Empty texts count as absent, texts
 * past their bound are cut, so that what is stored can always be read back. @return the record's seq */
uint64_t audit_append(struct store *store, struct arena *arena, const struct audit_record *record);
