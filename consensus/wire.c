/* Peers and rules: who is connected to, who may speak, what the owner is told. */
#include "consensus/wire.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/logger.h"
#include "consensus/wire_internal.h"

#define RETRY_MIN_MS 100u
#define RETRY_MAX_MS 1000u
/* A connection that lived so long and ends is tried again at once: a closed port then tells in a millisecond
 * that the process is gone. One that ends sooner waits like every other, so that two nodes never spin. */
#define LIVED_MS     200u

/* --- small things
 * ------------------------------------------------------------------------------------------------- */

uint64_t wire_now(const struct wire *self)
{
    return self->options.clock.monotonic_ms(self->options.clock.context);
}

void wire_hold(struct wire *self)
{
    self->holds++;
}

void wire_release(struct wire *self)
{
    CHECK(self->holds > 0, "a wire released once too often");
    if (--self->holds > 0)
        return;
    CHECK(self->closing && self->links == NULL && self->peers == NULL, "a wire ends before it is closed");
    void (*on_closed)(void *context) = self->on_closed;
    void *context = self->closed_context;
    free(self);
    if (on_closed != NULL)
        on_closed(context);
}

static uint64_t random_next(struct wire *self) /* splitmix64 */
{
    uint64_t value = self->random += 0x9e3779b97f4a7c15ULL;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ULL;
    value = (value ^ value >> 27) * 0x94d049bb133111ebULL;
    return value ^ value >> 31;
}

static struct wire_note *note_of(struct wire *self, const char *host)
{
    struct wire_note *oldest = &self->notes[0];
    for (size_t i = 0; i < WIRE_NOTES_MAX; i++) {
        if (strcmp(self->notes[i].host, host) == 0)
            return &self->notes[i];
        if (self->notes[i].told_ms < oldest->told_ms)
            oldest = &self->notes[i];
    }
    *oldest = (struct wire_note){0};
    snprintf(oldest->host, sizeof oldest->host, "%s", host);
    return oldest;
}

void wire_note(struct wire *self, const char *remote, const char *reason)
{
    char host[WIRE_REMOTE_BYTES], text[ERROR_MESSAGE_BYTES + 128];
    if (self->closing)
        return;
    snprintf(host, sizeof host, "%s", remote);
    char *colon = strrchr(host, ':');
    if (colon != NULL)
        *colon = '\0';
    struct wire_note *note = note_of(self, host);
    const uint64_t now = wire_now(self);
    if (note->told_ms != 0 && now - note->told_ms < WIRE_NOTE_MS) {
        note->suppressed++;
        return;
    }
    if (note->suppressed > 0)
        snprintf(text, sizeof text, "%s (and %u more before)", reason, note->suppressed);
    else
        snprintf(text, sizeof text, "%s", reason);
    note->told_ms = now;
    note->suppressed = 0;
    if (self->options.on_refused != NULL) {
        self->options.on_refused(self->options.context, remote, text);
    } else {
        char quoted[2 * sizeof text];
        log_warn("wire", "refused", "address=%s reason=%s", remote,
                 logger_quote(text, quoted, sizeof quoted));
    }
}

void wire_tell(struct wire *self, uint64_t node_id, enum wire_peer_event event, const char *detail)
{
    if (!self->closing && self->options.on_peer != NULL)
        self->options.on_peer(self->options.context, node_id, event, detail);
}

struct wire_hello wire_own_hello(const struct wire *self)
{
    const struct wire_identity *own = &self->options.identity;
    return (struct wire_hello){
        .protocol = WIRE_PROTOCOL,
        .cluster_id = own->cluster_id,
        .generation = own->generation,
        .node_id = own->node_id,
        .incarnation = own->incarnation,
        .start_counter = own->start_counter,
        .nonce = self->nonce,
        .address = self->address,
        .log_end = self->options.log_end != NULL ? self->options.log_end(self->options.context) : 0,
    };
}

struct wire_peer *wire_find_peer(const struct wire *self, uint64_t node_id)
{
    for (struct wire_peer *peer = self->peers; peer != NULL; peer = peer->next)
        if (peer->status.node_id == node_id)
            return peer;
    return NULL;
}

/* --- who may speak
 * ------------------------------------------------------------------------------------------------ */

static uint32_t count_open(const struct wire *self, uint64_t node_id)
{
    uint32_t count = 0;
    for (const struct wire_link *link = self->links; link != NULL; link = link->next)
        count += link->state == LINK_OPEN && link->node_id == node_id;
    return count;
}

static void peer_retry(struct wire_peer *peer, uint64_t delay_ms);

/* Ends the open links of this id but `except`; with `incoming_only`, none of those that we opened. */
static void end_links(struct wire *self, uint64_t node_id, const struct wire_link *except, bool incoming_only)
{
    struct wire_link *next;
    for (struct wire_link *link = self->links; link != NULL; link = next) {
        next = link->next;
        struct wire_peer *peer = link->peer;
        if (link == except || link->state != LINK_OPEN || link->node_id != node_id ||
            (incoming_only && peer != NULL))
            continue;
        link_close(link);
        if (peer != NULL) {
            peer->status.connected = false;
            peer_retry(peer, 0); /* tells DOWN, too: this may be in the middle of the owner's work */
        }
    }
}

static enum wire_refusal judge_place(const struct wire *self, const struct wire_link *link,
                                     const struct wire_hello *hello, struct error *sentence)
{
    const struct wire_identity *own = &self->options.identity;
    if (hello->protocol != WIRE_PROTOCOL) {
        error_set(sentence, ERROR_DENIED, "it speaks protocol %llu, this node %u",
                  (unsigned long long)hello->protocol, WIRE_PROTOCOL);
        return WIRE_REFUSED_PROTOCOL;
    }
    if (strcmp(hello->cluster_id, own->cluster_id) != 0) {
        error_set(sentence, ERROR_DENIED, "it belongs to cluster %s, this node to %s", hello->cluster_id,
                  own->cluster_id);
        return WIRE_REFUSED_CLUSTER;
    }
    if (hello->generation != own->generation) {
        error_set(sentence, ERROR_DENIED, "it is of generation %llu, this node of %llu",
                  (unsigned long long)hello->generation, (unsigned long long)own->generation);
        return WIRE_REFUSED_GENERATION;
    }
    if (link->peer != NULL && hello->node_id != link->peer->status.node_id) {
        error_set(sentence, ERROR_DENIED, "%s is node %llu, not %llu", link->remote,
                  (unsigned long long)hello->node_id, (unsigned long long)link->peer->status.node_id);
        return WIRE_REFUSED_WRONG_NODE;
    }
    return WIRE_WELCOME;
}

/* Somebody speaks under our own id: us, or a copy of us. */
static enum wire_refusal judge_own_id(struct wire *self, const struct wire_hello *hello,
                                      struct error *sentence)
{
    if (hello->nonce == self->nonce) {
        error_set(sentence, ERROR_DENIED, "this node connected to itself");
        return WIRE_REFUSED_SELF;
    }
    error_set(sentence, ERROR_DENIED, "another process, at %s, runs as node %llu, which is this node's id",
              hello->address, (unsigned long long)hello->node_id);
    wire_tell(self, hello->node_id, WIRE_PEER_REJECTED, sentence->message);
    return WIRE_REFUSED_CLONED;
}

static enum wire_refusal refuse_clones(struct wire *self, const struct wire_link *link,
                                       const struct wire_hello *hello, struct error *sentence)
{
    error_set(sentence, ERROR_DENIED, "two processes speak as node %llu, one of them at %s: neither is heard",
              (unsigned long long)hello->node_id, hello->address);
    end_links(self, hello->node_id, link, false);
    if (link->peer == NULL) /* an outgoing link tells it itself */
        wire_tell(self, hello->node_id, WIRE_PEER_REJECTED, sentence->message);
    return WIRE_REFUSED_CLONED;
}

enum wire_refusal wire_judge(struct wire *self, struct wire_link *link, const struct wire_hello *hello,
                             struct error *sentence)
{
    const enum wire_refusal refusal = judge_place(self, link, hello, sentence);
    if (refusal != WIRE_WELCOME)
        return refusal;
    if (hello->node_id == self->options.identity.node_id)
        return judge_own_id(self, hello, sentence);
    if (self->options.is_removed != NULL && self->options.is_removed(self->options.context, hello->node_id)) {
        error_set(sentence, ERROR_DENIED,
                  "node %llu was removed from the cluster; its id is never used again",
                  (unsigned long long)hello->node_id);
        return WIRE_REFUSED_REMOVED;
    }
    if (hello->wanted != 0 && hello->wanted != self->options.identity.node_id) {
        /* An address that had another node before. Nothing follows from it for the connections it has. */
        error_set(sentence, ERROR_DENIED, "%s is node %llu, not %llu", self->address,
                  (unsigned long long)self->options.identity.node_id, (unsigned long long)hello->wanted);
        return WIRE_REFUSED_WRONG_NODE;
    }
    const uint32_t living = count_open(self, hello->node_id);
    struct wire_hello judged = *hello;
    if (link->peer != NULL) /* an answer may be overtaken by what it acknowledges on its own connection */
        judged.log_end = 0;
    switch (wire_seen_judge(&self->seen, &judged, living, wire_now(self))) {
    case WIRE_REFUSE_ROLLED_BACK:
        error_set(sentence, ERROR_DENIED,
                  "the log of node %llu ends at %llu, before what it has acknowledged: its data folder is an "
                  "older copy",
                  (unsigned long long)hello->node_id, (unsigned long long)hello->log_end);
        return WIRE_REFUSED_ROLLED_BACK;
    case WIRE_REFUSE_BOTH:
        return refuse_clones(self, link, hello, sentence);
    case WIRE_REFUSE_OLDER:
        error_set(sentence, ERROR_DENIED, "node %llu has started again since: start %llu is past",
                  (unsigned long long)hello->node_id, (unsigned long long)hello->start_counter);
        return WIRE_REFUSED_OLD_START;
    case WIRE_ADMIT_NEWER:
        end_links(self, hello->node_id, link, false);
        return WIRE_WELCOME;
    case WIRE_ADMIT:
        if (link->peer == NULL) /* it reconnected: what it had before is dead */
            end_links(self, hello->node_id, link, true);
        return WIRE_WELCOME;
    }
    CHECK(false, "no verdict");
}

void wire_peer_holds(struct wire *self, uint64_t node_id, uint64_t index)
{
    wire_seen_holds(&self->seen, node_id, index);
}

/* --- peers
 * -------------------------------------------------------------------------------------------------------- */

static void on_retry(uv_timer_t *timer)
{
    struct wire_peer *peer = timer->data;
    const bool was_up = peer->told_up;
    if (peer->wire->closing || peer->link != NULL)
        return;
    peer->told_up = false;
    link_connect(peer);
    if (was_up)
        wire_tell(peer->wire, peer->status.node_id, WIRE_PEER_DOWN, "the connection is made anew");
}

static void peer_retry(struct wire_peer *peer, uint64_t delay_ms)
{
    if (!peer->wire->closing && !uv_is_closing((uv_handle_t *)&peer->retry))
        uv_timer_start(&peer->retry, on_retry, delay_ms, 0);
}

void wire_peer_lost(struct wire_peer *peer, bool was_open, uint64_t opened_ms, int status, bool rejected)
{
    struct wire *self = peer->wire;
    const uint64_t node_id = peer->status.node_id;
    const bool refused = status == UV_ECONNREFUSED || status == UV_ECONNRESET;
    const char *detail = status == 0 ? "it sent what is no frame" : uv_strerror(status);
    peer->status.connected = false;
    peer->status.refusals += refused;
    if (was_open && status != 0 && wire_now(self) - opened_ms >= LIVED_MS)
        peer_retry(peer, 0);
    else
        peer_retry(peer, rejected ? RETRY_MAX_MS
                                  : RETRY_MIN_MS + random_next(self) % (RETRY_MAX_MS - RETRY_MIN_MS));
    if (!was_open)
        peer->attempt++;
    peer->told_up = false;
    if (was_open)
        wire_tell(self, node_id, WIRE_PEER_DOWN, detail); /* the peer may be gone after any of these */
    if (refused)
        wire_tell(self, node_id, WIRE_PEER_REFUSED, detail);
}

static void on_peer_closed(uv_handle_t *handle)
{
    struct wire_peer *peer = handle->data;
    struct wire *wire = peer->wire;
    free(peer);
    wire_release(wire);
}

void wire_peer_set(struct wire *self, uint64_t node_id, const char *address)
{
    struct wire_peer *peer = wire_find_peer(self, node_id);
    if (self->closing || node_id == self->options.identity.node_id)
        return;
    if (peer != NULL && strcmp(peer->status.address, address) == 0)
        return;
    if (peer == NULL && self->peer_count == WIRE_PEERS_MAX)
        return;
    if (peer == NULL) {
        peer = memory_zero(1, sizeof *peer);
        peer->wire = self;
        peer->status.node_id = node_id;
        peer->next = self->peers;
        self->peers = peer;
        self->peer_count++;
        wire_hold(self);
        uv_timer_init(self->options.loop, &peer->retry);
        peer->retry.data = peer;
    }
    snprintf(peer->status.address, sizeof peer->status.address, "%s", address);
    peer->status.connected = false;
    if (peer->link != NULL)
        link_close(peer->link);
    peer_retry(peer, 0);
}

static void peer_end(struct wire_peer **at)
{
    struct wire_peer *peer = *at;
    *at = peer->next;
    peer->wire->peer_count--;
    if (peer->link != NULL)
        link_close(peer->link);
    uv_close((uv_handle_t *)&peer->retry, on_peer_closed);
}

void wire_peer_remove(struct wire *self, uint64_t node_id)
{
    for (struct wire_peer **at = &self->peers; *at != NULL; at = &(*at)->next) {
        if ((*at)->status.node_id == node_id) {
            peer_end(at);
            return;
        }
    }
}

enum error_code wire_send(struct wire *self, uint64_t node_id, struct span payload)
{
    struct wire_peer *peer = wire_find_peer(self, node_id);
    uint8_t head[WIRE_HEAD_BYTES];
    if (self->closing || peer == NULL || peer->link == NULL || peer->link->state != LINK_OPEN)
        return ERROR_UNAVAILABLE;
    wire_frame_head(payload, head);
    struct wire_stream *stream = peer->link->stream;
    const enum error_code code =
        wire_stream_write(stream, span_of(head, sizeof head), payload, self->options.queue_bytes_max);
    if (code == ERROR_OK) {
        peer->status.sent_frames++;
        peer->status.sent_bytes += payload.bytes;
    } else {
        peer->status.dropped_frames++;
    }
    const uint64_t queued = wire_stream_queued(stream);
    if (queued > peer->status.queued_max_bytes)
        peer->status.queued_max_bytes = queued;
    return code;
}

uint32_t wire_status(const struct wire *self, struct wire_peer_status *out, uint32_t out_max)
{
    uint32_t count = 0;
    for (const struct wire_peer *peer = self->peers; peer != NULL && count < out_max; peer = peer->next) {
        out[count] = peer->status;
        out[count].queued_bytes = peer->link == NULL ? 0 : wire_stream_queued(peer->link->stream);
        count++;
    }
    return count;
}

/* --- open and close
 * ----------------------------------------------------------------------------------------------- */

static void on_incoming(uv_stream_t *listener, int status)
{
    struct wire *self = listener->data;
    if (self->closing)
        return;
    if (status != 0)
        wire_note(self, self->address, uv_strerror(status));
    else
        link_accept(self);
}

/* A peer that dies while we write would end us. */
static void ignore_sigpipe(void)
{
    struct sigaction action;
    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL) {
        action.sa_handler = SIG_IGN;
        (void)sigaction(SIGPIPE, &action, NULL);
    }
}

static enum error_code check_options(const struct wire_options *options, struct error *error)
{
    char host[ADDRESS_BYTES_MAX], port[6];
    if (options->identity.cluster_id[0] == '\0')
        return error_set(error, ERROR_INVALID, "a node without a cluster has nobody to talk to");
    if (options->identity.node_id == 0 || options->identity.incarnation[0] == '\0')
        return error_set(error, ERROR_INVALID, "a node without an id or incarnation has nothing to say");
    if (options->advertise_address != NULL && !wire_address_split(options->advertise_address, host, port))
        return error_set(error, ERROR_INVALID, "\"%s\" is not host:port", options->advertise_address);
    return ERROR_OK;
}

/* What peers are told: with the port that was taken where none was asked for. */
static void set_address(struct wire *self, const char *listen_address, const char *advertise_address)
{
    const char *address = advertise_address != NULL ? advertise_address : listen_address;
    const char *colon = strrchr(address, ':');
    CHECK(colon != NULL, "%s has no port", address);
    if (strcmp(colon, ":0") == 0)
        snprintf(self->address, sizeof self->address, "%.*s:%u", (int)(colon - address), address, self->port);
    else
        snprintf(self->address, sizeof self->address, "%s", address);
}

enum error_code wire_open(const struct wire_options *options, struct wire **out, struct error *error)
{
    int fd = -1;
    uint16_t port = 0;
    enum error_code code = check_options(options, error);
    if (code == ERROR_OK)
        code = wire_listen_socket(options->listen_address, &fd, &port, error);
    if (code != ERROR_OK)
        return code;
    ignore_sigpipe();
    struct wire *self = memory_zero(1, sizeof *self);
    self->options = *options;
    if (self->options.queue_bytes_max == 0)
        self->options.queue_bytes_max = WIRE_QUEUE_BYTES_MAX;
    self->random = options->seed;
    self->port = port;
    random_bytes(&self->nonce, sizeof self->nonce);
    set_address(self, options->listen_address, options->advertise_address);
    wire_hold(self);
    uv_tcp_init(options->loop, &self->listener);
    self->listener.data = self;
    int status = uv_tcp_open(&self->listener, fd);
    if (status != 0)
        close(fd); /* still ours */
    else
        status = uv_listen((uv_stream_t *)&self->listener, (int)(2 * WIRE_INCOMING_MAX), on_incoming);
    if (status != 0) {
        wire_close(self, NULL, NULL);
        return error_set(error, ERROR_IO, "can't listen on %s: %s", options->listen_address,
                         uv_strerror(status));
    }
    *out = self;
    return ERROR_OK;
}

uint16_t wire_port(const struct wire *self)
{
    return self->port;
}

static void on_listener_closed(uv_handle_t *handle)
{
    wire_release(handle->data);
}

void wire_close(struct wire *self, void (*on_closed)(void *context), void *context)
{
    if (self == NULL)
        return;
    CHECK(!self->closing, "a wire is closed twice");
    self->closing = true;
    self->on_closed = on_closed;
    self->closed_context = context;
    uv_close((uv_handle_t *)&self->listener, on_listener_closed);
    while (self->peers != NULL)
        peer_end(&self->peers);
    while (self->links != NULL)
        link_close(self->links);
}
