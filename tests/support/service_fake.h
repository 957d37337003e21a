/* The service behind HTTP without a cluster: a real state machine on a thread of its own, which applies each
 * command at once.
 *
 * It stands in for node.c under node/service.h, so that the HTTP interface can be tested whole: routes,
 * errors, waiting. What goes wrong in a cluster is a knob here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/kv.h"
#include "node/service.h"

/** @param folder  for the state; must be new or empty */
struct service *service_fake_new(const char *folder);
/** Answers what waits with ERROR_CLOSED or ERROR_UNKNOWN, as a stopping node does, then ends the thread. */
void service_fake_stop(struct service *self);
void service_fake_free(struct service *self);

/* Knobs; each holds until it is set again. */
/** What service_change, _confirm, _wait, _act and _checkpoint return at once; ERROR_OK: they take the
 * question. */
void service_fake_refuse(struct service *self, enum error_code code, const char *message);
/** What `done` says instead of doing the work; ERROR_OK: the work. */
void service_fake_fail(struct service *self, enum error_code code, const char *message);
/** Without quorum a change ends at its deadline as unknown, a confirmation as unavailable. */
void service_fake_quorum(struct service *self, bool quorum);
/** While held, nothing is answered; what was asked stays in the queue. */
void service_fake_hold(struct service *self, bool held);
/** `done` runs before the asking call returns, on the thread of the loop: what a fast loop looks like from
 * HTTP. */
void service_fake_at_once(struct service *self, bool at_once);
/** Adds to the wall clock. */
void service_fake_advance_ms(struct service *self, uint64_t ms);
/** For tests that change what this node says of itself: lock, change, unlock. */
struct service_status *service_fake_status_lock(struct service *self);
void service_fake_status_unlock(struct service *self);
/** What the next acts and checkpoints answer. @param json  stolen */
void service_fake_act_answer(struct service *self, uint32_t status, struct json_t *json);
/** What every change seems to answer: its body as bytes. @param body  borrowed; NULL data: the real one again
 */
void service_fake_body(struct service *self, struct span body);
/** The store as it is on disk, for a change behind the state machine's back. Nothing may be under way. */
void service_fake_tamper(struct service *self, void (*change)(struct kv *kv));
/** The folder and only file that service_checkpoint_file knows. */
void service_fake_file(struct service *self, const char *path);

/* What was asked. */
struct service_fake_seen {
    uint32_t changes, confirms, waits, acts, queued;
    enum service_act act;
    char act_body[2048]; /* as JSON text, keys sorted */
    char request_id[REQUEST_ID_BYTES_MAX + 1];
    char principal[PRINCIPAL_BYTES_MAX + 1];
    enum audit_source source; /* of an act */
    bool forwarded;
    uint64_t deadline_ms; /* of the last question, from now when it was asked */
};
void service_fake_seen(struct service *self, struct service_fake_seen *out);
