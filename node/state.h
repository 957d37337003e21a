/* The state machine as consensus sees it: applies, describes, flushes, installs; and as readers see it:
 * views.
 *
 * Why it exists: a state transfer replaces the whole store while HTTP threads read the old one. So the store
 * is held by a counted reference; a view holds one, and the old store closes, and its folder goes, with its
 * last reader. One small mutex guards the pointer to the current store, the counts and the list of open
 * views, nothing else.
 *
 * Threads: views and machine_hold() from any; the rest on the loop thread, flush on consensus' worker. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/histogram.h"
#include "consensus/machine.h"
#include "fsm/fsm.h"

struct json_t;
struct state;
struct state_hold;

struct state_options {
    const char *data_dir;
    struct clock clock;
    /** After a group was applied, on the loop thread. @param records  that it left; NULL after a transfer */
    void (*on_applied)(void *context, uint64_t index, uint64_t audit_seq, const struct fsm_records *records);
    /** See struct machine. */
    void (*fetch)(void *context, const char *folder, uint64_t index_min,
                  void (*done)(void *done_context, const struct machine_state *state,
                               const struct error *error),
                  void *done_context);
    /** A store in this folder (absolute) that somebody has opened already, and hands over; NULL: none. */
    struct fsm *(*take)(void *context, const char *folder);
    /** Calls state_release() for a store that was replaced, on a thread that may wait for the disk. */
    void (*retire)(void *context, struct state_hold *hold);
    void *context;
};

/** Nothing is open yet: consensus wants its machine before it can name the store's folder. */
struct state *state_new(const struct state_options *options);
/** Opens the store (made when missing: the log or another node fills it) and removes state folders that are
 * not current.
 *
 * @param folder  "state.3": consensus_state_folder()
 * @return ERROR_CORRUPT with what to do about it; ERROR_LOCKED, ERROR_IO */
enum error_code state_open(struct state *self, const char *folder, struct error *error) MUST_USE;
/** Tells the store whose it is. */
enum error_code state_identify(struct state *self, const char *cluster_id, uint64_t generation,
                               struct error *error) MUST_USE;
struct machine state_machine(struct state *self);
/** What is applied now. Loop thread. */
void state_describe(const struct state *self, struct fsm_state *out);
/** How long groups took to apply. Loop thread; borrowed. */
const struct histogram *state_apply_times(const struct state *self);
/** Flushes and closes the store, if it is open. No view may be open any more. */
void state_close(struct state *self);
void state_free(struct state *self);

struct view *state_view(struct state *self);
void state_view_close(struct state *self, struct view *view);

/** Keeps the current store open until state_release(): for work on a worker thread. */
struct state_hold;
struct state_hold *state_hold(struct state *self);
struct fsm *state_held(struct state_hold *hold);
void state_release(struct state *self, struct state_hold *hold);

/** One command, from JSON as HTTP would send it; what the node itself proposes. @param body  taken over */
enum error_code command_make(const char *name, enum audit_source source, const char *request_id,
                             const char *principal, struct json_t *body, struct bytes *out,
                             struct error *error) MUST_USE;
#define SYSTEM_PRINCIPAL "system"
