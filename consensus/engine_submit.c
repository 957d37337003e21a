/* What this node asks of the engine: commands, membership changes, handover, snapshots. */
#include "consensus/engine_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* Submits entries whose payloads are one batch. Array and batch are freed here: the log has copied what it
 * took. */
static enum error_code submit(struct engine *self, struct raft_entry *entries, uint32_t count, void *batch,
                              uint64_t *index, uint64_t *term)
{
    struct raft_event event = {.type = RAFT_SUBMIT};
    struct raft_update update;
    uint64_t next = log_last_index(self->options.log) + 1;

    for (uint32_t i = 0; i < count; i++) {
        entries[i].term = self->raft.current_term;
        entries[i].batch = batch;
    }
    event.submit.entries = entries;
    event.submit.n = count;
    int code = engine_step(self, &event, &update);
    raft_free(batch);
    raft_free(entries);
    if (code == RAFT_NOTLEADER)
        return ERROR_NOT_LEADER;
    if (code == RAFT_NOSPACE)
        return ERROR_NO_SPACE;
    if (code == RAFT_CANTCHANGE)
        return ERROR_CONFLICT;
    if (!engine_must(self, code, "an entry"))
        return ERROR_IO;
    *index = next;
    *term = self->raft.current_term;
    engine_settle(self);
    return ERROR_OK;
}

enum error_code engine_submit(struct engine *self, const struct span *commands, uint32_t count,
                              uint64_t *index, uint64_t *term)
{
    size_t bytes = 0, at = 0;

    CHECK(count > 0 && count <= GROUP_COMMANDS_MAX, "a group of %u commands", count);
    if (engine_idle(self) || self->raft.state != RAFT_LEADER)
        return ERROR_NOT_LEADER;
    for (uint32_t i = 0; i < count; i++)
        bytes += commands[i].bytes;
    struct raft_entry *entries = raft_calloc(count, sizeof *entries);
    uint8_t *batch = raft_malloc(bytes);
    for (uint32_t i = 0; i < count; i++) {
        CHECK(commands[i].bytes > 0 && commands[i].bytes <= COMMAND_BYTES_MAX, "a command of %zu bytes",
              commands[i].bytes);
        memcpy(batch + at, commands[i].data, commands[i].bytes);
        entries[i].type = RAFT_COMMAND;
        entries[i].buf = (struct raft_buffer){.base = batch + at, .len = commands[i].bytes};
        at += commands[i].bytes;
    }
    return submit(self, entries, count, batch, index, term);
}

/* R7: members that differ between the two: added, removed, or with another role or address. */
static uint32_t difference(const struct configuration *a, const struct configuration *b)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < a->count; i++) {
        const struct configuration_member *other = configuration_find(b, a->members[i].node_id);
        count += other == NULL || other->role != a->members[i].role ||
                 strcmp(other->address, a->members[i].address) != 0;
    }
    for (uint32_t i = 0; i < b->count; i++)
        count += configuration_find(a, b->members[i].node_id) == NULL;
    return count;
}

enum error_code engine_change(struct engine *self, const struct configuration *configuration, uint64_t *index,
                              uint64_t *term)
{
    struct configuration decoded = {0};

    if (engine_idle(self) || self->raft.state != RAFT_LEADER)
        return ERROR_NOT_LEADER;
    if (engine_rule(self, RULE_ONE_CHANGE) && difference(&self->current, configuration) != 1)
        return ERROR_INVALID;
    bytes_clear(&self->scratch);
    configuration_encode(configuration, &self->scratch);
    if (configuration_decode(bytes_span(&self->scratch), &decoded, NULL) != ERROR_OK)
        return ERROR_INVALID;
    struct raft_entry *entries = raft_calloc(1, sizeof *entries);
    void *batch = raft_malloc(self->scratch.length);
    memcpy(batch, self->scratch.data, self->scratch.length);
    entries[0].type = RAFT_CHANGE;
    entries[0].buf = (struct raft_buffer){.base = batch, .len = self->scratch.length};
    return submit(self, entries, 1, batch, index, term);
}

enum error_code engine_transfer(struct engine *self, uint64_t node_id)
{
    struct raft_event event = {.type = RAFT_TRANSFER};
    struct raft_update update;

    if (engine_idle(self))
        return ERROR_NOT_LEADER;
    event.transfer.server_id = node_id;
    int code = engine_step(self, &event, &update);
    if (code == RAFT_NOTLEADER)
        return ERROR_NOT_LEADER;
    if (code == RAFT_BADID)
        return ERROR_INVALID;
    if (code == RAFT_NOTFOUND)
        return ERROR_NOT_FOUND;
    if (!engine_must(self, code, "a handover"))
        return ERROR_IO;
    engine_settle(self);
    return ERROR_OK;
}

bool engine_snapshot(struct engine *self, const struct log_snapshot *snapshot, uint32_t trailing)
{
    struct log *log = self->options.log;
    struct raft_event event = {.type = RAFT_SNAPSHOT};
    struct raft_update update;
    struct log_snapshot before;

    log_snapshot(log, &before);
    if (engine_idle(self) || snapshot->index <= before.index || snapshot->index > self->raft.commit_index ||
        snapshot->index > log_durable_index(log) || log_term_of(log, snapshot->index) != snapshot->term)
        return false;
    event.snapshot.metadata.index = snapshot->index;
    event.snapshot.metadata.term = snapshot->term;
    event.snapshot.metadata.configuration_index = snapshot->configuration_index;
    event.snapshot.trailing = trailing;
    if (!engine_configuration(self, span_of(snapshot->configuration, snapshot->configuration_bytes),
                              &event.snapshot.metadata.configuration))
        return false;
    /* The same head as libraft's own record of the log keeps. */
    uint64_t first = log_first_index(log);
    bool cut = snapshot->index > trailing && snapshot->index - trailing >= first;
    log_snapshot_record(log, snapshot, cut ? snapshot->index - trailing + 1 : first);
    if (engine_must(self, engine_step(self, &event, &update), "a snapshot"))
        engine_settle(self);
    return true;
}
