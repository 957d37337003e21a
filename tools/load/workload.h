/* What the clients ask for: a request is a function of the workload and of a number that is given out once.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

#define WORKLOAD_KEYS 64u /* flags (or etcd's keys) that writes and reads are spread over */
#define WORKLOAD_RECORD_BYTES                                                                                \
    300u /* the second put of an etcd transaction: about what a record of the audit takes */
#define WORKLOAD_VALUE_BYTES_MAX 8192u

struct workload {
    const char *name;
    const char *help;
    /* The requests that must succeed once for each of the keys before the load; NULL: no more. */
    void (*prepare[2])(const struct workload *self, uint64_t number, struct bytes *out);
    void (*request)(const struct workload *self, uint64_t number, struct bytes *out);
    uint32_t value_bytes;
    char run[17]; /* sets this run's plans apart from another's */
};

/** @return false when there is no such workload; out->value_bytes and out->run are the caller's to set */
bool workload_find(const char *name, struct workload *out);

/** The `index`th name and what it does; NULL past the last. */
const struct workload *workload_at(uint32_t index);
