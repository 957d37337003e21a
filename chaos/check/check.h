/* Judges a history: every property by itself, each with what it looked at and, when violated, the smallest
 * set of operations that can't be right together. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chaos/check/history.h"

#define CHECK_MESSAGE_BYTES      1024u
#define CHECK_COUNTEREXAMPLE_MAX 32u

/* X(check, name, what it says) */
#define CHECK_KINDS(X)                                                                                       \
    X(CHECK_FLAGS, "flags", "reads and sets of every flag are linearizable")                                 \
    X(CHECK_PLANS, "plans", "every plan's life is linearizable")                                             \
    X(CHECK_SWITCHES, "switches", "a switch holds from the answer to its activation until its reset")        \
    X(CHECK_PREFIX, "prefix", "every read shows the state at its index, stale ones too")                     \
    X(CHECK_SESSION, "session", "clients read their writes, and what they asked to wait for")                \
    X(CHECK_AUDIT, "audit", "acknowledged changes are in the trail exactly once, refused ones not at all")   \
    X(CHECK_BANK, "bank", "transfers are never seen half done")                                              \
    X(CHECK_EVENTS, "events", "followers get each record once, in order, with no gap")                       \
    X(CHECK_LEADERS, "leaders", "a term has one leader")                                                     \
    X(CHECK_FINAL, "final", "all nodes end with one state, which the clients' answers allow")                \
    X(CHECK_RECOVERY, "recovery", "changes are acknowledged again soon after the last fault")

#define CHECK_KIND_ENUM(check, name, text) check,
enum check_kind { CHECK_KINDS(CHECK_KIND_ENUM) CHECK_KIND_COUNT };
#undef CHECK_KIND_ENUM

enum check_verdict {
    CHECK_NOTHING, /* the history has nothing to look at; a failure where it was required */
    CHECK_HOLDS,
    CHECK_VIOLATED,
    CHECK_UNDECIDED, /* the bound was met: a failure */
};

struct check_options {
    uint64_t configurations_max; /* that one search remembers; 0: CHECK_CONFIGURATIONS_MAX */
    uint64_t seconds_max; /* of all searches together; 0: no bound in time, so that the verdict repeats */
    uint32_t required;    /* bits 1 << enum check_kind: must have found something to look at */
};
/** 16 to 32 bytes each. */
#define CHECK_CONFIGURATIONS_MAX 8000000ull

struct check_result {
    enum check_verdict verdict;
    uint64_t looked_at;                     /* operations, records or events */
    uint64_t objects;                       /* flags, plans, followers, ... */
    uint64_t violations;                    /* objects that violate; the first is described */
    char message[CHECK_MESSAGE_BYTES];      /* "" : holds */
    uint32_t ops[CHECK_COUNTEREXAMPLE_MAX]; /* the counterexample: numbers of operations, by their start */
    size_t op_count;
};

struct check_report {
    enum check_verdict verdict; /* the worst; CHECK_NOTHING only if nothing was looked at at all */
    struct check_result results[CHECK_KIND_COUNT];
};

void check_history(const struct history *history, const struct check_options *options,
                   struct check_report *out);
const char *check_name(enum check_kind kind);
const char *check_text(enum check_kind kind);
const char *check_verdict_name(enum check_verdict verdict);
