/* A history: what clients asked of a cluster and were told, with what was done to the cluster meanwhile.
 *
 * The simulator fills one in memory, the chaos runs write one as JSON lines (README.md says how each line
 * looks), the checkers judge it. One operation is one intention of a client, with one request id: its retries
 * are part of it, from the first attempt's start to the answer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/** A flag that has no value. */
#define HISTORY_NONE      INT64_MIN
/** When an operation that got no answer completed. */
#define HISTORY_NEVER     UINT64_MAX
#define HISTORY_PARTS_MAX 64u

/* X(kind, name in JSON, of which object) */
#define HISTORY_KINDS(X)                                                                                     \
    X(HISTORY_READ, "read", HISTORY_FLAG) /* one flag, or several at one moment */                           \
    X(HISTORY_SET, "set", HISTORY_FLAG)   /* one flag, or several in one command; any version, or one */     \
    X(HISTORY_PLAN_READ, "plan_read", HISTORY_PLAN)                                                          \
    X(HISTORY_PLAN_CREATE, "create", HISTORY_PLAN)                                                           \
    X(HISTORY_PLAN_PUBLISH, "publish", HISTORY_PLAN)                                                         \
    X(HISTORY_PLAN_PAUSE, "pause", HISTORY_PLAN)                                                             \
    X(HISTORY_PLAN_RESUME, "resume", HISTORY_PLAN)                                                           \
    X(HISTORY_PLAN_HALT, "halt", HISTORY_PLAN)                                                               \
    X(HISTORY_PLAN_ROLLBACK, "rollback", HISTORY_PLAN)                                                       \
    X(HISTORY_PLAN_CANCEL, "cancel", HISTORY_PLAN)                                                           \
    X(HISTORY_SWITCH_READ, "switch_read", HISTORY_SWITCH) /* is a flag that it covers disabled? */           \
    X(HISTORY_SWITCH_ACTIVATE, "activate", HISTORY_SWITCH)                                                   \
    X(HISTORY_SWITCH_RESET, "reset", HISTORY_SWITCH)                                                         \
    X(HISTORY_APPEND, "append", HISTORY_TRAIL) /* any other change: what counts is its record */

#define HISTORY_KIND_ENUM(kind, name, object) kind,
enum history_kind { HISTORY_KINDS(HISTORY_KIND_ENUM) HISTORY_KIND_COUNT };
#undef HISTORY_KIND_ENUM
enum history_object { HISTORY_FLAG, HISTORY_PLAN, HISTORY_SWITCH, HISTORY_TRAIL };

enum history_outcome {
    HISTORY_UNKNOWN, /* no answer, or 504: it may take effect at any time from its start on, or never */
    HISTORY_OK,
    HISTORY_REFUSED, /* it had no effect, now and for ever */
    HISTORY_OUTCOME_COUNT
};

/** What a plan_read can say; the plan's phases by their names. */
enum history_phase {
    HISTORY_NO_PLAN, /* plan_not_found */
    HISTORY_DRAFT,
    HISTORY_ACTIVE,
    HISTORY_PAUSED,
    HISTORY_COMPLETED,
    HISTORY_CANCELLED,
    HISTORY_ROLLED_BACK,
    HISTORY_PHASE_COUNT
};

/** What an operation did to one key, or saw there. */
struct history_part {
    const char *key; /* of a flag, plan or switch */
    int64_t value;   /* a flag's, as stored; a plan_read's enum history_phase; a switch_read's 1: disabled */
    uint64_t expected_version; /* of a set; 0: any */
    uint64_t version; /* answered: after the set, or as read; of a refusal: as it was; 0: not known */
    bool halted;      /* plan_read: the stage is halted */
};

struct history_op {
    uint32_t client;
    uint32_t kind;    /* enum history_kind */
    uint32_t outcome; /* enum history_outcome */
    bool stale;       /* a read with consistency=stale */
    uint32_t part_count;
    struct history_part *parts;
    uint64_t invoke_ns, complete_ns;
    uint64_t index;       /* answered: of the change, or of the state that was read; 0: not known */
    uint64_t audit_seq;   /* answered; 0: not known */
    uint64_t after_index; /* a read that asked for a state not older than this; 0: it didn't */
    const char *request;  /* the id all its attempts carried; NULL: none */
    const char *code;     /* of a refusal: "version_mismatch"; NULL: it says nothing of the state */
    const char *node;     /* asked last; may be NULL */
};

struct history_fault {       /* or any other stretch worth a band */
    const char *name, *node; /* "partition", "n1,n2"; node may be NULL */
    uint64_t begin_ns, end_ns;
};
struct history_leader {
    uint64_t time_ns, term;
    const char *node;
};
struct history_register { /* a flag's state before the first operation; without: version 0, no value */
    const char *key;
    int64_t value;
    uint64_t version;
};
struct history_audit { /* one record of the trail, read after the last operation */
    uint64_t seq, index;
    const char *request, *event, *resource, *category; /* may be NULL */
    bool success; /* false: a record of a refusal (`denied`) or of a failure */
};
struct history_follower { /* of an event stream */
    const char *name;
    const char *category; /* only records of it; NULL: all */
};
struct history_event { /* one record that a follower got, in the order in which it came */
    uint32_t follower;
    uint64_t seq, time_ns;
};
struct history_bank {
    const char *key; /* of a flag that belongs to the bank */
};
struct history_final { /* of a node when all had drained */
    const char *node, *digest;
    uint64_t index;
    bool chain_valid;
};
struct history_state { /* of a flag on a node when all had drained */
    const char *node, *key;
    int64_t value;
    uint64_t version;
};

/** All that is known; arrays grow with the adding functions below, texts live as long as the history. */
struct history {
    struct history_op *ops;
    size_t op_count;
    struct history_fault *faults;
    size_t fault_count;
    struct history_leader *leaders;
    size_t leader_count;
    struct history_register *registers;
    size_t register_count;
    struct history_audit *audit;
    size_t audit_count;
    struct history_follower *followers;
    size_t follower_count;
    struct history_event *events;
    size_t event_count;
    struct history_bank *bank;
    size_t bank_count;
    int64_t bank_sum;
    struct history_final *finals;
    size_t final_count;
    struct history_state *states;
    size_t state_count;

    const char *about;          /* one line for people: "seed 17, 3 nodes"; may be NULL */
    const char *environment;    /* why the run could not be made; NULL: it could */
    const char *request_prefix; /* every request id of the clients begins so; NULL: not known */
    bool audit_complete;        /* `audit` is the whole trail */
    uint64_t recovery_ns; /* a change is acknowledged at most so long after the last fault; 0: no bound */
    uint64_t end_ns;      /* clients stopped; 0: with the last operation */

    struct history_store *store; /* texts and capacities */
};

struct history *history_new(void);
void history_free(struct history *self);

/** A copy that lives as long as the history; the same text is kept once. NULL stays NULL. */
const char *history_text(struct history *self, const char *text);

/** Adds one; texts and parts are copied. An operation is added when it starts: complete_ns HISTORY_NEVER,
 * outcome HISTORY_UNKNOWN. @return its number */
uint32_t history_add(struct history *self, const struct history_op *op);
/** To fill in what was answered; texts through history_text(). Valid until the next history_add(). */
struct history_op *history_op_at(struct history *self, uint32_t number);

/* The others; texts are copied. */
void history_add_fault(struct history *self, const struct history_fault *fault);
void history_add_leader(struct history *self, const struct history_leader *leader);
void history_add_register(struct history *self, const struct history_register *one);
void history_add_audit(struct history *self, const struct history_audit *record);
uint32_t history_add_follower(struct history *self, const struct history_follower *follower);
void history_add_event(struct history *self, const struct history_event *event);
void history_add_bank(struct history *self, const char *key);
void history_add_final(struct history *self, const struct history_final *final);
void history_add_state(struct history *self, const struct history_state *state);

const char *history_kind_name(uint32_t kind);
enum history_object history_kind_object(uint32_t kind);
bool history_kind_reads(uint32_t kind);
extern const char *const history_outcome_names[HISTORY_OUTCOME_COUNT];
extern const char *const history_phase_names[HISTORY_PHASE_COUNT];

/** Reads `<folder>/history.jsonl`, or the file itself.
 * @return ERROR_IO, ERROR_NOT_FOUND; ERROR_CORRUPT naming the line */
enum error_code history_read(const char *path, struct history **out, struct error *error) MUST_USE;
/** Writes the same form. */
enum error_code history_write(const struct history *self, const char *path, struct error *error) MUST_USE;
