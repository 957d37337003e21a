/* Writes what clients saw, a JSON object a line, in the form of chaos/check/README.md. */
#pragma once

#include "chaos/workload/driver.h"

void record_begin(struct driver *driver);
void record_operation(const struct client *client);
void record_follower(const struct client *client, const char *name, const char *category);
void record_event(struct driver *driver, const char *follower, uint64_t seq);
