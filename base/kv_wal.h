/* Tells a torn end of RocksDB's write-ahead log from damage in its middle. kv.c's own. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/** Looks for a record that fails its checksum and is followed by the beginning of another one. A crash can't
 * leave that behind when writes are synced one after the other: what was synced has been damaged, and leaving
 * out the rest would forget it.
 *
 * @param across  also when what follows stands in a later file; not for the strict mode, which knows which
 * files still count
 * @return ERROR_OK, also without any log; ERROR_CORRUPT naming file and offset; ERROR_IO */
enum error_code kv_wal_check(const char *folder, bool across, struct error *error) MUST_USE;
