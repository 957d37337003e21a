/* What was committed, and what it means: a reference state machine that applies every entry once and meets no
 * fault, and the registers' values by index, told by the clients' own operations.
 *
 * Whatever a node applies must give what it gave before: the same digest at the same index, the same result.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/sim/sim_internal.h"
#include "fsm/result.h"

#define MODEL_ARENA_BYTES (1024u * 1024u)

void model_open(struct sim *self)
{
    struct error error = {0};

    arena_init(&self->model.arena, MODEL_ARENA_BYTES);
    CHECK(fsm_open("/reference/state", true, &self->model.fsm, &error) == ERROR_OK, "%s", error.message);
}

void model_close(struct sim *self)
{
    fsm_close(self->model.fsm);
    arena_done(&self->model.arena);
    for (uint32_t i = 0; i < SIM_REGISTERS; i++)
        free(self->model.registers[i].values);
    free(self->model.applied);
}

const struct value *model_value(const struct model *self, uint32_t target, uint64_t index)
{
    const struct reg *reg = &self->registers[target];

    for (uint32_t i = reg->count; i > 0; i--)
        if (reg->values[i - 1].index <= index)
            return &reg->values[i - 1];
    return NULL;
}

/* --- what an operation does to the registers
 * -------------------------------------------------------------------------- */

static void set(struct reg *reg, uint64_t index, int64_t value)
{
    uint64_t version = reg->count == 0 ? 1 : reg->values[reg->count - 1].version + 1;

    if (reg->count == reg->capacity) {
        reg->capacity = reg->capacity * 2 + 16;
        reg->values = memory_resize(reg->values, reg->capacity * sizeof *reg->values);
    }
    reg->values[reg->count++] = (struct value){.index = index, .value = value, .version = version};
}

/* @return the code that the state machine must give; RESULT_COUNT: the model doesn't tell */
static uint32_t expected_code(const struct model *self, const struct operation *operation)
{
    const struct value *now = model_value(self, operation->target, UINT64_MAX);

    switch (operation->kind) {
    case OPERATION_SET:
        if (now == NULL)
            return RESULT_FLAG_NOT_FOUND;
        return operation->expected_version != 0 && operation->expected_version != now->version
                   ? RESULT_VERSION_MISMATCH
                   : RESULT_OK;
    case OPERATION_SET_TWO:
        return now == NULL || model_value(self, operation->other, UINT64_MAX) == NULL ? RESULT_FLAG_NOT_FOUND
                                                                                      : RESULT_OK;
    case OPERATION_SWITCH_ON:
        return now == NULL ? RESULT_SWITCH_NOT_FOUND : now->value != 0 ? RESULT_SWITCH_ACTIVE : RESULT_OK;
    case OPERATION_SWITCH_OFF:
        return now == NULL ? RESULT_SWITCH_NOT_FOUND : now->value == 0 ? RESULT_SWITCH_INACTIVE : RESULT_OK;
    default:
        return RESULT_COUNT;
    }
}

static void take_effect(struct model *self, const struct operation *operation, uint64_t index)
{
    struct reg *reg = &self->registers[operation->target];

    switch (operation->kind) {
    case OPERATION_DEFINE:
    case OPERATION_SET:
        set(reg, index, operation->value);
        break;
    case OPERATION_SET_TWO:
        set(reg, index, operation->value);
        set(&self->registers[operation->other], index, operation->other_value);
        break;
    case OPERATION_SWITCH_ON:
    case OPERATION_SWITCH_OFF:
        set(reg, index, operation->kind == OPERATION_SWITCH_ON);
        break;
    default:
        break;
    }
}

static void operation_committed(struct sim *self, struct operation *operation, const char *request_id,
                                const struct result *result, uint64_t index)
{
    if (operation->index != 0) {
        if (!result->repeated || result->index != operation->index || result->code != operation->code)
            sim_fail(self, "exactly-once",
                     "request %s took effect at %" PRIu64 " and again at %" PRIu64 " (code %u, %s)",
                     request_id, operation->index, index, result->code,
                     result->repeated ? "repeated" : "not repeated");
        return;
    }
    operation->index = index;
    operation->code = result->code;
    operation->audit_seq = result->audit_seq;
    if (result->repeated || operation->open == 0)
        sim_fail(self, result->repeated ? "exactly-once" : "refused",
                 "request %s was committed at %" PRIu64 " though %s", request_id, index,
                 result->repeated ? "it was never before, and counts as repeated"
                                  : "every attempt had been refused");
    if (index <= operation->index_min)
        sim_fail(self, "linearizable",
                 "request %s was committed at %" PRIu64 " and began after somebody saw %" PRIu64, request_id,
                 index, operation->index_min);
    uint32_t expected = expected_code(&self->model, operation);
    if (expected != RESULT_COUNT && expected != result->code)
        sim_fail(self, "model", "request %s at %" PRIu64 " gave %s, the model says %s", request_id, index,
                 result_name(result->code), result_name(expected));
    if (result_succeeded(result->code))
        take_effect(&self->model, operation, index);
}

/* --- entries
 * ----------------------------------------------------------------------------------------------------------
 */

static void members_changed(struct sim *self, const struct entry *entry)
{
    struct model *model = &self->model;
    struct consensus_member members[NODES_MAX];
    uint32_t count = 0;

    if (consensus_configuration_decode(entry->data, members, NODES_MAX, &count, NULL) != ERROR_OK)
        return;
    for (uint32_t i = 0; i < model->member_count; i++) {
        bool stays = false;
        for (uint32_t j = 0; j < count; j++)
            stays = stays || members[j].node_id == model->members[i].node_id;
        if (!stays && model->removed_count < sizeof model->removed / sizeof model->removed[0]) {
            model->removed[model->removed_count].node_id = model->members[i].node_id;
            model->removed[model->removed_count++].index = entry->index;
        }
    }
    model->member_count = count;
    model->configuration_index = entry->index;
    memcpy(model->members, members, count * sizeof *members);
}

const struct consensus_member *model_member(const struct model *self, uint64_t node_id)
{
    for (uint32_t i = 0; i < self->member_count; i++)
        if (self->members[i].node_id == node_id)
            return &self->members[i];
    return NULL;
}

bool model_is_removed(void *context, uint32_t node, uint64_t node_id)
{
    struct sim *self = context;
    uint64_t applied = cluster_applied(self->cluster, node);

    for (uint32_t i = 0; i < self->model.removed_count; i++)
        if (self->model.removed[i].node_id == node_id && self->model.removed[i].index <= applied)
            return true;
    return false;
}

static uint32_t result_hash(const struct result *result)
{
    uint8_t head[21];

    put_u64(head, result->index);
    put_u64(head + 8, result->audit_seq);
    put_u32(head + 16, result->code);
    head[20] = result->repeated;
    return crc32c(crc32c(0, head, sizeof head), result->body.data, result->body.bytes);
}

static uint64_t digest_of(const struct fsm *fsm)
{
    struct fsm_state state;

    fsm_describe(fsm, &state);
    return get_u64(state.digest);
}

static struct applied *applied_at(struct model *self, uint64_t index)
{
    if (index >= self->capacity) {
        self->capacity = index * 2 + 1024;
        self->applied = memory_resize(self->applied, self->capacity * sizeof *self->applied);
    }
    return &self->applied[index];
}

/* The first node applies it: so does the reference. */
static void first_applied(struct sim *self, const struct entry *entry)
{
    struct model *model = &self->model;
    struct error error = {0};
    struct result result;

    if (fsm_apply(model->fsm, entry, 1, &result, &error) != ERROR_OK) {
        sim_fail(self, "reference", "the reference can't apply %" PRIu64 ": %s", entry->index, error.message);
        return;
    }
    model->index = entry->index;
    *applied_at(model, entry->index) =
        (struct applied){.digest = digest_of(model->fsm), .result = result_hash(&result)};
    if (entry->type == ENTRY_CHANGE)
        members_changed(self, entry);
    if (entry->type != ENTRY_COMMAND)
        return;
    struct command_header header;
    arena_clear(&model->arena);
    if (command_inspect(entry->data, &model->arena, &header, &error) != ERROR_OK) {
        sim_fail(self, "reference", "entry %" PRIu64 " is no command: %s", entry->index, error.message);
        return;
    }
    struct operation *operation = clients_operation(self, header.request_id);
    if (operation != NULL)
        operation_committed(self, operation, header.request_id, &result, entry->index);
}

void model_applied(void *context, uint32_t node, const struct entry *entries, uint32_t count,
                   const struct result *results)
{
    struct sim *self = context;
    struct model *model = &self->model;

    for (uint32_t i = 0; i < count && !sim_failed(self); i++) {
        const struct entry *entry = &entries[i];
        if (entry->index > model->index + 1)
            sim_fail(self, "applied-order", "node %u applied %" PRIu64 ", nobody applied %" PRIu64, node,
                     entry->index, model->index + 1);
        else if (entry->index == model->index + 1)
            first_applied(self, entry);
        if (!sim_failed(self) && applied_at(model, entry->index)->result != result_hash(&results[i]))
            sim_fail(self, "digest", "node %u answers entry %" PRIu64 " with something else (%s%s)", node,
                     entry->index, result_name(results[i].code), results[i].repeated ? ", repeated" : "");
    }
    if (sim_failed(self))
        return;
    uint64_t last = entries[count - 1].index, digest = digest_of(cluster_fsm_of(&self->cluster->nodes[node]));
    trace_add(&self->trace, sim_now(self), "applied", node, last, digest);
    if (applied_at(model, last)->digest != digest)
        sim_fail(self, "digest", "node %u has digest %016" PRIx64 " at %" PRIu64 ", it was %016" PRIx64, node,
                 digest, last, applied_at(model, last)->digest);
}
