/* What a node shows to a reader must be what was committed, and for a linearizable read no older than what
 * anybody had been told before it began. */
#include <inttypes.h>
#include <stdio.h>

#include "chaos/sim/sim_internal.h"
#include "fsm/flag.h"
#include "fsm/kill_switch.h"
#include "fsm/view.h"

#define READ_ARENA_BYTES (1024u * 1024u)

/* A packed integer of msgpack, as small as it goes. */
static int64_t unpack_integer(struct span packed)
{
    const uint8_t *at = packed.data;

    if (packed.bytes == 1 && at[0] < 0x80)
        return at[0];
    if (packed.bytes == 2 && at[0] == 0xcc)
        return at[1];
    if (packed.bytes == 3 && at[0] == 0xcd)
        return get_u16(at + 1);
    if (packed.bytes == 5 && at[0] == 0xce)
        return (int64_t)get_u32(at + 1);
    return -1;
}

static bool read_view(struct view *view, uint32_t target, struct arena *arena, struct value *out)
{
    char name[16];

    if (target < SIM_FLAGS) {
        struct flag flag;
        snprintf(name, sizeof name, "f%u", target);
        if (!flag_read(view_reader(view), name, arena, &flag))
            return false;
        out->version = flag.version;
        out->value = unpack_integer(flag.value.bytes > 0 ? flag.value : flag.fallback);
        return true;
    }
    struct kill_switch kill_switch;
    snprintf(name, sizeof name, "s%u", target - SIM_FLAGS);
    if (!kill_switch_read(view_reader(view), name, arena, &kill_switch))
        return false;
    out->version = kill_switch.version;
    out->value = kill_switch.active;
    return true;
}

bool read_register(struct sim *self, uint32_t node, uint32_t target, uint64_t *index, struct value *out)
{
    struct view *view = view_open(cluster_fsm_of(&self->cluster->nodes[node]));
    struct arena arena;
    struct error error = {0};

    arena_init(&arena, READ_ARENA_BYTES);
    bool found = read_view(view, target, &arena, out);
    *index = view_index(view);
    if (view_result(view, &error) != ERROR_OK)
        *index = UINT64_MAX; /* an error is an answer, too: nothing was served */
    arena_done(&arena);
    view_close(view);
    return found;
}

void read_check(struct sim *self, struct operation *operation, uint32_t node, uint64_t index_min)
{
    struct value value = {0};
    uint64_t index;
    bool found = read_register(self, node, operation->target, &index, &value);
    if (index == UINT64_MAX)
        return;
    const struct value *expected = model_value(&self->model, operation->target, index);
    uint64_t version = expected == NULL ? 0 : expected->version;

    sim_note(self, "read", node, index, value.version);
    if (index < index_min)
        sim_fail(self, "linearizable",
                 "a read on node %u saw the state of %" PRIu64 ", %" PRIu64 " had been seen before it began",
                 node, index, index_min);
    else if (index > self->model.index)
        sim_fail(self, "linearizable",
                 "a read on node %u saw %" PRIu64 ", nobody has applied more than %" PRIu64, node, index,
                 self->model.index);
    else if (found != (expected != NULL) ||
             (found && (value.version != version || value.value != expected->value)))
        sim_fail(self, "read-value",
                 "a read on node %u at %" PRIu64 " found register %u version %" PRIu64 " value %" PRId64
                 ", committed was version %" PRIu64 " value %" PRId64,
                 node, index, operation->target, value.version, value.value, version,
                 expected == NULL ? 0 : expected->value);
    operation->index = index;
}
