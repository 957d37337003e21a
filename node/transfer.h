/* Fetches a checkpoint of the state from another node over HTTP, into a folder beside the current store.
 *
 * The manifest names every file with size and SHA-256; each is fetched with ranges (a broken connection goes
 * on where it ended), verified and synced. Files of an earlier attempt whose hash is right are kept. A source
 * that answers nothing for a few seconds, not even about its health, is left for the next one. At the end the
 * fetched store is opened: it must say of itself what the manifest said, and every block's checksum must be
 * right. Only then is `done` called with success; the store stays open for transfer_take(), so that who
 * installs it need not wait for the disk.
 *
 * Threads: transfer_fetch and `done` on the loop; the work on a thread of its own, since it blocks. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"
#include "consensus/machine.h"

struct uv_loop_s;
struct fsm;
struct transfer;

#define TRANSFER_SOURCES_MAX (4u * NODES_MAX)

struct transfer_request {
    const char *folder; /* absolute */
    uint64_t index_min;
    char cluster_id[CLUSTER_ID_BYTES];
    uint64_t generation;
    const char *sources[TRANSFER_SOURCES_MAX]; /* base URLs, asked in this order */
    uint32_t source_count;
    void (*done)(void *context, const struct machine_state *state, const struct error *error);
    void *context;
};

struct json_t;

/** What a source says of its checkpoint, against what was asked for: names that become files in our folder,
 * hashes, cluster, generation and index. @return ERROR_CORRUPT, ERROR_CONFLICT or ERROR_TOO_BIG */
enum error_code transfer_manifest_check(const struct transfer_request *request, const struct json_t *manifest,
                                        struct error *error) MUST_USE;
enum error_code transfer_open(struct uv_loop_s *loop, struct transfer **out, struct error *error) MUST_USE;
/** Everything is copied. One at a time. */
void transfer_fetch(struct transfer *self, const struct transfer_request *request);
/** The store that was fetched last into `folder`, open, and the caller's from now on. NULL: it isn't there
 * (any more); the folder may be opened like any other. */
struct fsm *transfer_take(struct transfer *self, const char *folder);
/** Ends what is under way (its `done` runs with ERROR_CLOSED) and waits for it. */
void transfer_close(struct transfer *self);
