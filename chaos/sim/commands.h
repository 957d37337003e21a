/* Commands as a client of the HTTP interface would send them, encoded for the log. */
#pragma once

#include <stdint.h>

#include "base/bytes.h"

/** Appends the encoded command; aborts when it isn't one: the simulator's own mistake.
 * @param name  "flag.set"; @param json  its body */
void sim_command(const char *name, const char *request_id, const char *principal, uint64_t wall_ms,
                 const char *json, struct bytes *out);
