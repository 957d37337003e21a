/* Clients over HTTP that go through all nodes, and the one loop that drives them.
 *
 * A client has one operation at a time. An operation is tried until its outcome is known: a write is repeated
 * under its Idempotency-Key at other nodes, so what lies between its first byte and its last answer is one
 * operation of the history, however often it was sent. Some are given up on purpose, and stay unknown.
 *
 * One thread, one epoll, CLOCK_MONOTONIC: times of different clients compare, and those of the faults, too.
 */
#pragma once

#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/error.h"
#include "tools/load/response.h"

#define NODES_MAX        15u
#define CLIENTS_MAX      512u
#define PARTS_MAX        16u
#define BANK_START       100 /* on each account of the bank */
#define NAME_BYTES       48u
#define PATH_BYTES       256u
#define BODY_BYTES_MAX   8192u      /* of a request */
#define ANSWER_BYTES_MAX (4u << 20) /* of an answer, or of events that are not read yet */
#define PATIENCE_MS                                                                                          \
    15000u /* unless driver.patience_ms says otherwise: an operation is repeated so long, then it stays      \
              unknown */

struct driver;
struct client;

enum outcome {
    OUTCOME_OK,
    OUTCOME_REFUSED, /* no attempt had an effect, and none will */
    OUTCOME_UNKNOWN, /* may have happened, may still happen */
};

/** What an operation does to one key, or sees there: the fields of chaos/check/README.md. */
struct part {
    char key[NAME_BYTES];
    bool has_value;
    int64_t value;
    uint64_t expected_version, version;
};

struct operation {
    /* made by the workload: the request */
    const char *method;
    char path[PATH_BYTES];
    char request[NAME_BYTES]; /* its id; empty: a read */
    struct bytes body;
    char header[64];   /* one more, with CR LF; empty: none */
    bool once;         /* one attempt only, whatever comes of it */
    uint64_t stays_ns; /* a stream is left after so long */
    /* and what the history says of it */
    const char *kind;
    bool stale;
    uint64_t after_index;
    struct part parts[PARTS_MAX];
    uint32_t parts_count;
    /* filled in by the workload when it has ended well */
    char phase[16]; /* plan_read */
    bool halted, disabled;
    /* kept by the driver */
    uint64_t begin_ns, attempt_ns, timeout_ns;
    uint32_t attempts;
    bool unknown; /* what came of some attempt is not known */
    /* its end */
    enum outcome outcome;
    uint64_t end_ns, index, audit_seq;
    char code[NAME_BYTES]; /* of a refusal */
};

/** One kind of client. */
struct workload {
    const char *name, *help;
    uint32_t share; /* of the clients when all kinds run, in percent */
    /** Requests that must succeed before the load; false when `number` is past the last. NULL: none. */
    bool (*prepare)(struct driver *driver, uint32_t number, struct operation *out);
    /** The client's next operation; false: none now (in the end: none any more). */
    bool (*next)(struct client *client, struct operation *out);
    /** It has ended; `answer` is the body, NULL unless it was read whole and is JSON. */
    void (*done)(struct client *client, struct operation *operation, const json_t *answer);
    /** Streams only: takes what it can use off the front. */
    void (*stream)(struct client *client, struct bytes *bytes);
    size_t memory_bytes; /* of each client */
};
/** The `index`th, NULL past the last. */
const struct workload *workload_at(uint32_t index);
extern const struct workload workload_register, workload_bank, workload_switch, workload_plan,
    workload_events;

enum client_state { CLIENT_CLOSED, CLIENT_CONNECTING, CLIENT_SENDING, CLIENT_WAITING, CLIENT_OPEN };

struct client {
    struct driver *driver;
    const struct workload *workload;
    uint32_t number;  /* the history's client */
    uint32_t ordinal; /* among those of its workload, from 0 */
    uint32_t node;    /* that it talks to, from 0 */
    void *memory;     /* the workload's, zeroed */
    /* kept by the driver */
    int fd;
    enum client_state state;
    bool busy;        /* an operation is under way */
    uint64_t wake_ns; /* not before */
    uint64_t requests;
    size_t sent;
    struct operation operation;
    struct bytes request, answer;
    struct response response;
};

struct driver {
    struct sockaddr_in nodes[NODES_MAX];
    char names[NODES_MAX][32];
    uint32_t nodes_count;
    struct client clients[CLIENTS_MAX];
    uint32_t clients_count;
    uint64_t random;
    char run[16];         /* in the names of everything this run makes */
    uint64_t patience_ms; /* 0: PATIENCE_MS */
    uint64_t pause_ns;    /* mean time between two operations of a client */
    uint32_t registers, accounts, switches;
    uint64_t plans;    /* made so far */
    bool final;        /* the load is over: last reads */
    uint64_t ended[3]; /* operations by outcome */
    uint64_t events;
    FILE *history;
    int epoll;
};

uint64_t now_ns(void);
/** Evenly distributed below `bound`. */
uint64_t driver_random(struct driver *self, uint64_t bound);
/** A request id of its own for the operation. */
void driver_request_id(struct client *client, struct operation *out);

enum error_code driver_prepare(struct driver *self, struct error *error) MUST_USE;
/** Runs until standard input says `drain`, then until what is under way has ended and the last reads are
 * made. The input's end ends it at once: ERROR_CLOSED. */
enum error_code driver_run(struct driver *self, struct error *error) MUST_USE;
