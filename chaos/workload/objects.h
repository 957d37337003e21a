/* What several workloads need. */
#pragma once

#include "chaos/workload/driver.h"

#define REGISTERS_MAX 256u

/** Clients of that kind. */
uint32_t workload_clients(const struct driver *driver, const struct workload *workload);
/** The client's next request goes to that node. */
void client_go(struct client *client, uint32_t node);
/** Fills in what an answer says of a flag: stored value and version, or after a set the version alone. */
void flag_seen(const struct operation *operation, struct part *part, const json_t *answer);
