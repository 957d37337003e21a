/* Makes the store durable now and then, on a worker.
 *
 * The store has no log of its own: what it holds beyond its last flush is applied again from the raft log
 * after kill -9. Consensus flushes at snapshots, which may be tens of thousands of entries apart; this bounds
 * a start to a few seconds' worth. */
#include <stddef.h>

#include "base/logger.h"
#include "node/internal.h"

#define FLUSH_EVERY_MS 5000u
#define FLUSH_ENTRIES  256u /* fewer are applied again faster than a file is made */

static void flush_work(struct worker_job *job)
{
    struct service *self = (struct service *)((char *)job - offsetof(struct service, flush.job));
    struct error error = {0};
    struct state_hold *hold = state_hold(self->state);
    if (fsm_flush(state_held(hold), &error) != ERROR_OK)
        log_warn("state", "flush failed", "error=\"%s\"", error.message); /* the raft log has it all */
    state_release(self->state, hold);
}

static void flush_done(struct worker_job *job)
{
    struct service *self = (struct service *)((char *)job - offsetof(struct service, flush.job));
    self->flush.busy = false;
    self->flush.at_ms = now_ms(self);
}

void flush_sometimes(struct service *self)
{
    if (self->flush.index > self->applied_index) /* another store was installed */
        self->flush.index = self->applied_index;
    bool due = now_ms(self) >= self->flush.at_ms + FLUSH_EVERY_MS;
    if (!due || self->flush.busy || self->stopping || self->applied_index < self->flush.index + FLUSH_ENTRIES)
        return;
    self->flush.busy = true;
    self->flush.index = self->applied_index;
    self->flush.job = (struct worker_job){.work = flush_work, .done = flush_done};
    worker_submit(self->store_worker, &self->flush.job);
}
