#include "chaos/sim/fake_wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "consensus/wire.h"

#define SPOILT_WORDS   1024u
#define FAKE_NODES_MAX 32u
#define FAKE_CUTS_MAX  1024u
#define PAUSE_STEP_MS  5u /* how often a paused node's frames are looked at */

enum fake_kind { FAKE_FRAME, FAKE_UP, FAKE_REFUSED };

struct fake_packet {
    struct fake_packet *next; /* by time of delivery */
    enum fake_kind kind;
    uint64_t due_ms;
    uint64_t from, to;
    uint8_t *data;
    size_t bytes;
};

struct wire {
    struct wire_options options;
    char *address;
    uint64_t peers[FAKE_NODES_MAX];
    uint32_t peer_count;
};

struct fake_network {
    struct fake_network_options options;
    uint64_t random;
    struct wire *wires[FAKE_NODES_MAX];
    uint32_t wire_count;
    struct fake_packet *first;
    struct fake_link {
        uint64_t from, to;
        bool cut;
        uint64_t last_due_ms;
    } links[FAKE_CUTS_MAX];
    uint32_t link_count;
    uint64_t paused[FAKE_NODES_MAX];
    uint32_t paused_count;
    uint64_t delivered;
};

static struct fake_network *network; /* the one that exists */

static uint32_t draw(struct fake_network *self, uint32_t limit)
{
    self->random ^= self->random << 13;
    self->random ^= self->random >> 7;
    self->random ^= self->random << 17;
    return limit == 0 ? 0 : (uint32_t)((self->random >> 11) % limit);
}

struct fake_network *fake_network_new(const struct fake_network_options *options)
{
    CHECK(network == NULL, "one network at a time");
    network = memory_zero(1, sizeof *network);
    network->options = *options;
    network->random = options->seed * 0x9e3779b97f4a7c15u + 0x1234567u;
    if (network->random == 0)
        network->random = 1;
    return network;
}

static void free_packet(struct fake_packet *packet)
{
    free(packet->data);
    free(packet);
}

void fake_network_free(struct fake_network *self)
{
    if (self == NULL)
        return;
    CHECK(self->wire_count == 0, "%u wires are open", self->wire_count);
    while (self->first != NULL) {
        struct fake_packet *packet = self->first;
        self->first = packet->next;
        free_packet(packet);
    }
    free(self);
    network = NULL;
}

struct fake_network_options *fake_network_options(struct fake_network *self)
{
    return &self->options;
}

static struct fake_link *link_of(struct fake_network *self, uint64_t from, uint64_t to)
{
    for (uint32_t i = 0; i < self->link_count; i++)
        if (self->links[i].from == from && self->links[i].to == to)
            return &self->links[i];
    CHECK(self->link_count < FAKE_CUTS_MAX, "%u links", self->link_count);
    struct fake_link *link = &self->links[self->link_count++];
    *link = (struct fake_link){.from = from, .to = to};
    return link;
}

static struct wire *wire_of(struct fake_network *self, uint64_t node_id)
{
    for (uint32_t i = 0; i < self->wire_count; i++)
        if (self->wires[i]->options.identity.node_id == node_id)
            return self->wires[i];
    return NULL;
}

/* Takes what is under way on this link off the network. */
static void drop_link(struct fake_network *self, uint64_t from, uint64_t to)
{
    struct fake_packet **at = &self->first;

    while (*at != NULL) {
        struct fake_packet *packet = *at;
        if (packet->from != from || packet->to != to) {
            at = &packet->next;
            continue;
        }
        *at = packet->next;
        free_packet(packet);
    }
}

void fake_network_cut(struct fake_network *self, uint64_t from, uint64_t to, bool cut)
{
    link_of(self, from, to)->cut = cut;
    if (cut)
        drop_link(self, from, to);
}

void fake_network_mend(struct fake_network *self)
{
    for (uint32_t i = 0; i < self->link_count; i++)
        self->links[i].cut = false;
}

static void insert(struct fake_network *self, struct fake_packet *packet)
{
    struct fake_packet **at = &self->first;

    while (*at != NULL && (*at)->due_ms <= packet->due_ms)
        at = &(*at)->next;
    packet->next = *at;
    *at = packet;
}

static void enqueue(struct fake_network *self, enum fake_kind kind, uint64_t from, uint64_t to,
                    struct span payload)
{
    const struct fake_network_options *options = &self->options;
    struct fake_link *link = link_of(self, from, to);
    struct fake_packet *packet = memory_zero(1, sizeof *packet);
    uint32_t spread = options->delay_max_ms - options->delay_min_ms + 1;

    packet->kind = kind;
    packet->from = from;
    packet->to = to;
    packet->due_ms =
        options->clock.monotonic_ms(options->clock.context) + options->delay_min_ms + draw(self, spread);
    if (options->keep_order && packet->due_ms < link->last_due_ms)
        packet->due_ms = link->last_due_ms;
    link->last_due_ms = packet->due_ms;
    if (payload.bytes > 0) {
        packet->data = memory_new(payload.bytes);
        memcpy(packet->data, payload.data, payload.bytes);
        packet->bytes = payload.bytes;
    }
    insert(self, packet);
}

uint64_t fake_network_next_ms(const struct fake_network *self)
{
    return self->first == NULL ? UINT64_MAX : self->first->due_ms;
}

uint64_t fake_network_delivered(const struct fake_network *self)
{
    return self->delivered;
}

static bool is_paused(const struct fake_network *self, uint64_t node_id)
{
    for (uint32_t i = 0; i < self->paused_count; i++)
        if (self->paused[i] == node_id)
            return true;
    return false;
}

void fake_network_pause(struct fake_network *self, uint64_t node_id, bool pause)
{
    if (pause && !is_paused(self, node_id)) {
        CHECK(self->paused_count < FAKE_NODES_MAX, "%u nodes are paused", self->paused_count);
        self->paused[self->paused_count++] = node_id;
    }
    for (uint32_t i = 0; !pause && i < self->paused_count; i++)
        if (self->paused[i] == node_id)
            self->paused[i] = self->paused[--self->paused_count];
}

/* Memory on the stack that nobody has written to is not zero by chance: a frame's handling finds this there.
 */
static __attribute__((noinline)) void spoil_stack(void)
{
    uint64_t spoilt[SPOILT_WORDS];

    for (size_t i = 0; i < SPOILT_WORDS; i++)
        spoilt[i] = 77;                              /* it could be an index */
    __asm__ volatile("" : : "r"(spoilt) : "memory"); /* or the compiler would leave it out */
}

uint64_t fake_network_deliver(struct fake_network *self)
{
    struct fake_packet *packet = self->first;

    if (packet == NULL || packet->due_ms > self->options.clock.monotonic_ms(self->options.clock.context))
        return 0;
    self->first = packet->next;
    uint64_t to = packet->to;
    if (is_paused(self, to)) {
        packet->due_ms += PAUSE_STEP_MS;
        insert(self, packet);
        return to;
    }
    struct wire *wire = wire_of(self, to), *from = wire_of(self, packet->from);
    if (wire != NULL && packet->kind == FAKE_FRAME && from != NULL) {
        self->delivered++;
        spoil_stack();
        wire->options.on_frame(wire->options.context, packet->from, from->address,
                               span_of(packet->data, packet->bytes));
    } else if (wire != NULL && packet->kind == FAKE_UP && from != NULL) {
        wire->options.on_peer(wire->options.context, packet->from, WIRE_PEER_UP, "");
    } else if (wire != NULL && packet->kind == FAKE_REFUSED && from == NULL) {
        wire->options.on_peer(wire->options.context, packet->from, WIRE_PEER_REFUSED, "connection refused");
    }
    free_packet(packet);
    return to;
}

/* --- consensus/wire.h
 * ------------------------------------------------------------------------------------------------ */

enum error_code wire_open(const struct wire_options *options, struct wire **out, struct error *error)
{
    CHECK(network != NULL, "no network");
    if (wire_of(network, options->identity.node_id) != NULL)
        return error_set(error, ERROR_LOCKED, "this node is on the network already");
    CHECK(network->wire_count < FAKE_NODES_MAX, "%u nodes", network->wire_count);
    struct wire *self = memory_zero(1, sizeof *self);
    self->options = *options;
    self->address =
        text_copy(options->advertise_address != NULL ? options->advertise_address : options->listen_address);
    network->wires[network->wire_count++] = self;
    for (uint32_t i = 0; i < network->wire_count; i++)
        for (uint32_t j = 0; j < network->wires[i]->peer_count; j++)
            if (network->wires[i]->peers[j] == options->identity.node_id)
                enqueue(network, FAKE_UP, options->identity.node_id,
                        network->wires[i]->options.identity.node_id, (struct span){0});
    *out = self;
    return ERROR_OK;
}

static bool has_peer(const struct wire *self, uint64_t node_id)
{
    for (uint32_t i = 0; i < self->peer_count; i++)
        if (self->peers[i] == node_id)
            return true;
    return false;
}

void wire_peer_set(struct wire *self, uint64_t node_id, const char *address)
{
    (void)address;
    if (has_peer(self, node_id))
        return;
    CHECK(self->peer_count < FAKE_NODES_MAX, "%u peers", self->peer_count);
    self->peers[self->peer_count++] = node_id;
    if (wire_of(network, node_id) != NULL)
        enqueue(network, FAKE_UP, node_id, self->options.identity.node_id, (struct span){0});
}

void wire_peer_remove(struct wire *self, uint64_t node_id)
{
    for (uint32_t i = 0; i < self->peer_count; i++)
        if (self->peers[i] == node_id) {
            self->peers[i] = self->peers[--self->peer_count];
            return;
        }
}

/* No handshakes here: nobody is refused for what it forgot. */
void wire_peer_holds(struct wire *self, uint64_t node_id, uint64_t index)
{
    (void)self;
    (void)node_id;
    (void)index;
}

enum error_code wire_send(struct wire *self, uint64_t node_id, struct span payload)
{
    uint64_t from = self->options.identity.node_id;
    const struct fake_network_options *options = &network->options;
    struct wire *to = wire_of(network, node_id);

    if (!has_peer(self, node_id) || to == NULL || link_of(network, from, node_id)->cut)
        return ERROR_UNAVAILABLE;
    if (to->options.is_removed != NULL && to->options.is_removed(to->options.context, from))
        return ERROR_UNAVAILABLE; /* its handshake would be refused */
    if (options->filter != NULL && !options->filter(options->context, from, node_id, payload))
        return ERROR_OK;
    if (draw(network, 1000000) < options->loss_ppm)
        return ERROR_OK;
    enqueue(network, FAKE_FRAME, from, node_id, payload);
    if (draw(network, 1000000) < options->double_ppm)
        enqueue(network, FAKE_FRAME, from, node_id, payload);
    return ERROR_OK;
}

uint32_t wire_status(const struct wire *self, struct wire_peer_status *out, uint32_t out_max)
{
    uint32_t count = self->peer_count < out_max ? self->peer_count : out_max;

    for (uint32_t i = 0; i < count; i++)
        out[i] = (struct wire_peer_status){.node_id = self->peers[i],
                                           .connected = wire_of(network, self->peers[i]) != NULL};
    return count;
}

void wire_close(struct wire *self, void (*on_closed)(void *context), void *context)
{
    uint64_t node_id = self->options.identity.node_id;

    for (uint32_t i = 0; i < network->wire_count; i++)
        if (network->wires[i] == self)
            network->wires[i] = network->wires[--network->wire_count];
    for (uint32_t i = 0; i < network->wire_count; i++) {
        uint64_t other = network->wires[i]->options.identity.node_id;
        drop_link(network, other, node_id);
        drop_link(network, node_id, other);
        if (has_peer(network->wires[i], node_id) && !link_of(network, node_id, other)->cut)
            enqueue(network, FAKE_REFUSED, node_id, other, (struct span){0});
    }
    free(self->address);
    free(self);
    if (on_closed != NULL)
        on_closed(context);
}
