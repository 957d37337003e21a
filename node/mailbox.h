/* Carries work from HTTP threads to the loop thread; answers go back by waking the connection.
 *
 * Why it exists: libmicrohttpd answers on its own threads, while all that touches Raft or the state machine
 * runs on the loop. Work crosses here and only here. (The other locks of node/ guard what is published for
 * reading: the status in internal.h, the current store in state.h, the checkpoints that are served.)
 *
 * Invariants, asserted in mailbox_check():
 *   (1) 0 <= count <= capacity; capacity never changes after open.
 *   (2) Items leave in the order they entered.
 *   (3) push never blocks: a full mailbox answers ERROR_BUSY, and HTTP says 503.
 *       Waiting here would hide overload until memory ends.
 *
 * Ownership: an item is the pusher's until push returns ERROR_OK, then the popper's. */
#pragma once

#include <stdint.h>

#include "base/error.h"

struct mailbox;

/** @param wake  called after a push into an empty mailbox, on the pusher's thread: a uv_async_send */
struct mailbox *mailbox_new(uint32_t capacity, void (*wake)(void *context), void *context);
void mailbox_free(struct mailbox *self); /* must be empty */
enum error_code mailbox_push(struct mailbox *self, void *item, struct error *error) MUST_USE;
/** Takes all that is there, in order: one lock a turn. @return how many, at most `items_max` */
uint32_t mailbox_take(struct mailbox *self, void **items, uint32_t items_max);
uint32_t mailbox_count(struct mailbox *self); /* how many wait now */
/** Refuses every later push with ERROR_CLOSED. */
void mailbox_close(struct mailbox *self);
void mailbox_check(struct mailbox *self);
