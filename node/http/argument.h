/* The query arguments, as one table: what they are, their bounds, what holds without them. body.c reads by
 * it, and the OpenAPI document is made of it. */
#pragma once

#include <stdint.h>

#include "base/schema.h"
#include "node/http/router.h"

enum argument_type {
    ARGUMENT_NUMBER,   /* within min .. max */
    ARGUMENT_YES_NO,   /* true or false */
    ARGUMENT_TIME,     /* RFC 3339 */
    ARGUMENT_DURATION, /* "30s"; min .. max in milliseconds */
    ARGUMENT_WORD,     /* one of `words` */
    ARGUMENT_WORDS,    /* a comma list of them */
    ARGUMENT_TEXT      /* at most `max` bytes; 0: what fits into a request */
};

#define ARGUMENT_WORDS_MAX 16u

struct argument {
    const char *name;
    const char *path; /* of the one route that it is meant for; NULL: wherever it isn't told otherwise */
    enum argument_type type;
    uint64_t min, max;
    const char *otherwise; /* what holds when it is absent, as a client would write it; NULL: nothing */
    const char *words[ARGUMENT_WORDS_MAX + 1];
    const char *(*word)(uint32_t position); /* or what this answers, NULL past the last */
    const struct schema *of;                /* or the names of this table's field `field` */
    const char *field;
    const char *help;
};

/** NULL: the route takes it, and nothing is known about it (which a test refuses). */
const struct argument *argument_find(const struct route *route, const char *name);
/** Its words, from 0; NULL past the last. */
const char *argument_word(const struct argument *self, uint32_t position);

/* The arguments of a route: those of its kind, then its own. */
struct argument_walk {
    const struct route *route;
    const char *at;
    bool own;
    char name[64];
};
/** Begin with {.route = route}. @return NULL past the last */
const char *argument_next(struct argument_walk *walk);
