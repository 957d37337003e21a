/* What consensus asks of a state machine. node/machine.c fills it in with fsm/ and node/transfer.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/entry.h"
#include "base/error.h"
#include "base/limits.h"

/** What a store says of itself; written in the WriteBatch that sets the applied index. */
struct machine_state {
    char cluster_id[CLUSTER_ID_BYTES];
    uint64_t generation;
    uint64_t index, term; /* applied */
    uint64_t configuration_index;
    uint8_t configuration[4096]; /* the last applied ENTRY_CHANGE payload, as it stood in the log */
    size_t configuration_bytes;
    uint8_t digest[DIGEST_BYTES];
    uint32_t schema;
};

struct machine {
    void *context;

    /** Applies consecutive entries as one atomic write, in order, on the loop thread: commands, barriers and
     * configurations, with no index left out. results[i] answers entries[i]; its body is borrowed until the
     * next call. ERROR_BUSY, ERROR_NO_SPACE: nothing was written, the whole group comes again. Any other
     * error is fatal. */
    enum error_code (*apply)(void *context, const struct entry *entries, uint32_t count,
                             struct result *results, struct error *error);
    /** What is applied now (not necessarily durable). */
    void (*describe)(void *context, struct machine_state *out);
    /** Makes everything applied durable; runs on a worker beside apply. */
    enum error_code (*flush)(void *context, struct error *error);
    /** The command by which a node takes office: recorded as leadership history. Appended to `command`.
     * @param cause  "election", "transfer" or "crash"; @param wall_ms  what consensus_wall_ms() says */
    void (*elected)(void *context, uint64_t node_id, uint64_t term, const char *cause, uint64_t wall_ms,
                    struct bytes *command);
    /** Fetches a checkpoint of at least `index_min` into `folder` from any other node and verifies it; then
     * `done`, on the loop thread and never inside this call, with what the checkpoint says of itself. One at
     * a time.
     * @param folder  a name like "state.3", as in consensus_state_folder(): the machine knows where it lies.
     * What is there is left from an earlier attempt: resume or remove it. The machine deletes all other state
     * folders when it starts */
    void (*fetch)(void *context, const char *folder, uint64_t index_min,
                  void (*done)(void *done_context, const struct machine_state *state,
                               const struct error *error),
                  void *done_context);
    /** Switches to the store in `folder` (the log names it already); the old one closes with its last reader.
     */
    enum error_code (*install)(void *context, const char *folder, struct error *error);
    /** Was this node id removed from the cluster, as far as the applied state knows? NULL: nobody ever was.
     */
    bool (*is_removed)(void *context, uint64_t node_id);
};
