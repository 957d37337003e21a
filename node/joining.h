/* Becoming a member, and staying a correctly recorded one.
 *
 * A node without a cluster asks the nodes of `join`, one after the other, with waits in between, until one
 * answers (POST /v1/ha/members, which any member takes). Then it remembers the cluster durably and starts;
 * Raft brings the rest. A member whose recorded name, URL, address or version isn't its own says so by a
 * command.
 *
 * Threads: the loop thread. */
#pragma once

struct service;
struct joining;

/** @param joined  called once, when the cluster is adopted: consensus may start */
struct joining *joining_open(struct service *service, void (*joined)(void *context), void *context);
/** Called every PUBLISH_MS. */
void joining_turn(struct joining *self);
void joining_close(struct joining *self);
/** Base URLs of members that the join answered with, for state transfer before there are records. */
unsigned joining_peers(const struct joining *self, const char **urls, unsigned urls_max);
