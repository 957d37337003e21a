/* What must hold after every event. libraft's package is built without its own assertions: on the first
 * violation we stop, before a broken state can be acted on (hazard 1). The engine's own are in
 * engine_check(). */
#include <inttypes.h>

#include "base/check.h"
#include "consensus/consensus_internal.h"

/* The log's own check walks its memory: only every so many events. */
#define CHECK_LOG_EVERY 256u

void consensus_check(struct consensus *self)
{
    struct engine_state now;

    self->checks++;
    proposals_check(&self->proposals);
    confirm_check(&self->confirm);
    if (self->checks % CHECK_LOG_EVERY == 0)
        log_check(self->log);
    if (!self->started || engine_failure(self->engine) != NULL)
        return;
    engine_state(self->engine, &now);
    CHECK(now.commit_index >= self->seen.commit_index, "the commit index fell from %" PRIu64 " to %" PRIu64,
          self->seen.commit_index, now.commit_index);
    CHECK(now.term >= self->seen.term, "the term fell from %" PRIu64 " to %" PRIu64, self->seen.term,
          now.term);
    CHECK(self->elected_term <= now.term, "took office in term %" PRIu64 ", now is %" PRIu64,
          self->elected_term, now.term);
    CHECK(self->ready_term <= self->elected_term, "ready in term %" PRIu64 ", took office in %" PRIu64,
          self->ready_term, self->elected_term);
    if (rule_on(self, RULE_APPLY_DURABLE))
        CHECK(self->applied_index <= log_last_index(self->log) || self->snapshots.state_lost,
              "applied %" PRIu64 ", the log ends at %" PRIu64, self->applied_index,
              log_last_index(self->log));
    CHECK(now.role != CONSENSUS_LEADER ||
              configuration_find(now.configuration, self->identity.node_id) != NULL || now.change_pending,
          "leads a cluster that it is no member of");
    /* Submitted proposals are in the log that this leadership wrote. */
    const struct proposal_queue *submitted = &self->proposals.submitted;
    CHECK(submitted->count == 0 || self->seen.role == CONSENSUS_LEADER,
          "%u proposals of a leadership that is over", submitted->count);
}
