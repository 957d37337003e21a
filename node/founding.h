/* Before a node with an empty folder makes a new cluster: does any node of `join` belong to one already?
 *
 * A first node whose folder was lost still has `bootstrap: true`. Without this question it would make a
 * second cluster beside the one it belonged to, and take writes there. All of `join` are asked at once, for
 * FOUNDING_MS at most; whoever isn't reached counts as one without a cluster.
 *
 * Threads: the loop thread. */
#pragma once

#include <stdbool.h>

#define FOUNDING_MS 3000u

struct service;
struct founding;

/** @param decided  called once from the loop, never inside this call; `elsewhere`: there is a cluster to join
 * @return NULL when there is nobody to ask: found it at once, `decided` isn't called */
struct founding *founding_open(struct service *service, void (*decided)(void *context, bool elsewhere),
                               void *context);
/** True until `decided` was called. */
bool founding_asks(const struct founding *self);
void founding_close(struct founding *self);
