/* Checkpoints of the state that other nodes fetch: DATA_DIR/checkpoints/ID, made and hashed on a worker,
 * deleted when nobody has read one for CHECKPOINT_UNREAD_MS, and at start.
 *
 * Threads: make and sweep on the loop; checkpoints_file() from any thread, under a small mutex over the list.
 */
#pragma once

#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "node/state.h"

struct json_t;
struct worker;
struct checkpoints;

#define CHECKPOINTS_MAX      3u /* at a time: each pins the files it links */
#define CHECKPOINT_UNREAD_MS 60000u

struct checkpoints *checkpoints_open(const char *data_dir, struct state *state, struct worker *worker,
                                     struct clock clock);
/** @param done  on the loop thread: the manifest (borrowed), or NULL with an error
 * @return ERROR_BUSY at CHECKPOINTS_MAX */
enum error_code checkpoints_make(struct checkpoints *self,
                                 void (*done)(void *context, const struct json_t *manifest,
                                              const struct error *error),
                                 void *context, struct error *error) MUST_USE;
/** Path of one file, which counts as reading it. @return ERROR_NOT_FOUND unless its manifest names it */
enum error_code checkpoints_file(struct checkpoints *self, const char *checkpoint_id, const char *file,
                                 struct bytes *path, struct error *error) MUST_USE;
/** Deletes what nobody reads any more. */
void checkpoints_sweep(struct checkpoints *self);
/** The worker must be drained before. */
void checkpoints_close(struct checkpoints *self);
