/* Acts: what takes more than one command and happens on the leader. Any node takes one; it is forwarded
 * whole, as the same public POST under the same Idempotency-Key, to whoever leads, again to the next leader
 * while the deadline lasts.
 *
 * Invariants:
 *   (1) an act is answered once; whoever still holds a pointer to it (consensus, a change) takes a reference
 * first; (2) what a running act commits is keyed by its request id, so that running it again finds what was
 * done.
 *
 * Threads: the loop thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "node/internal.h"

struct act {
    struct link link; /* in service.acts; the first member */
    struct service *service;
    uint32_t references; /* the list's, and one for each callback that will come */
    enum service_act kind;
    enum audit_source source;
    struct json_t *body;
    char request_id[REQUEST_ID_BYTES_MAX + 1], principal[PRINCIPAL_BYTES_MAX + 1];
    uint64_t deadline_ms, retry_at_ms;
    bool forwarded, answered, running, maybe;
    uint64_t asked, moved_ms; /* who it was sent to; when somebody else led instead, 0: nobody does */
    struct client_call *call;
    service_act_fn *done;
    void *context;
    char last[ERROR_MESSAGE_BYTES];
    void (*poll)(struct act *act); /* while it runs: looked at again in every sweep; may be NULL */

    /* what the kinds keep while they run */
    uint64_t index, term, started_ms, new_leader, new_term, gap_ms;
    uint64_t removed_id;
    bool repeated, in_transfer;
};

void act_start(struct service *self, struct act *act);
/** Ends it. @param json  taken over */
void act_answer(struct act *act, uint32_t status, struct json_t *json);
/** Ends it with {code, detail}. */
void act_refuse(struct act *act, uint32_t status, const char *code, const char *format, ...) PRINTF(4, 5);
/** Ends it with what became of one of its commands, when that isn't success. @return false when it is success
 */
bool act_refuse_outcome(struct act *act, const struct outcome *outcome);
/** Proposes one of its commands, in the name of who asked for the act. @param body  taken over */
void act_change(struct act *act, const char *name, struct json_t *body, service_done_fn *done);
/** Not now: looked for a leader again later, until the deadline. */
void act_retry(struct act *act, const char *why);
void act_hold(struct act *act);
void act_drop(struct act *act);

void failover_run(struct act *act); /* on a ready leader */
void join_run(struct act *act);
void removing_run(struct act *act);
