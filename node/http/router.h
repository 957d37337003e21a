/* The routes, as one table: what the interface has, what each route takes, and which function serves it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "node/http/request.h"

enum route_kind {
    ROUTE_LOCAL,  /* answered at once from what this node knows: `serve` */
    ROUTE_READ,   /* `view`, after leadership was confirmed, unless consistency=stale */
    ROUTE_SCAN,   /* the same, on the thread for long reads */
    ROUTE_WALK,   /* the same, on the thread for reads that look at everything */
    ROUTE_CHANGE, /* one command made of the body and the path; `prepare` may add to it */
    ROUTE_ACT     /* `serve` begins it and answers later */
};

#define ROUTE_ANSWERS_MAX 3u

struct route {
    const char *method;
    const char *path; /* "/v1/rollouts/{plan_id}/halt" */
    enum route_kind kind;
    const char *command;   /* of ROUTE_CHANGE: "rollout.halt" */
    const char *not_found; /* problem code when a view has no such thing */
    const char *query; /* arguments that it takes beyond those of its kind, with blanks between: argument.c */
    void (*serve)(struct request *request);
    /** Sets `out`, or answers by itself when it isn't JSON. */
    enum error_code (*view)(struct request *request, struct view *view, json_t **out, struct error *error);
    /** Looks at the request before anything waits: may add to request->json or set request->parsed. */
    enum error_code (*prepare)(struct request *request, struct error *error);
    const struct schema *body; /* of an act, and of a read that is a POST; a change's is its command's */

    /* For GET /openapi.json, beside what stands above. */
    const char *id;                                  /* operationId: "halt_rollout" */
    const char *about;                               /* one sentence */
    const struct schema *answers[ROUTE_ANSWERS_MAX]; /* of these one is answered; none: see `content` */
    const char
        *content; /* media type of an answer that isn't JSON; `answers` then are what its events hold */
    const char *(*contents)(uint32_t position); /* more of them, beside JSON; NULL past the last */
    const char *takes;                          /* media type of a body that isn't JSON */
    const char *example;                        /* of a body */
    /* It may answer 201, with this path as Location: "/v1/flags/{key}", of path parameters and of what was
     * answered. */
    const char *location;
    bool not_yet; /* 503 has its answer, too: a probe */
};

const struct route *route_all(uint32_t *count);

/** Finds the route of a path.
 *
 * @param method  HEAD counts as GET
 * @param allow   the methods that the path has, "GET, HEAD, POST"; "" when there is no such path
 * @return NULL: no such path, or not with this method */
const struct route *route_find(const char *method, const char *const *parts, uint32_t part_count, char *allow,
                               uint32_t allow_bytes);
/** The value of a path parameter; NULL when the template has no such. */
const char *route_parameter(const struct route *route, const char *name, const char *const *parts,
                            uint32_t part_count);
/** What a request's body must be: of a change its command's, else the route's own; NULL: it takes none. */
const struct schema *route_body(const struct route *route);
/** Arguments that every route of the kind takes, with blanks between. */
const char *route_kind_arguments(enum route_kind kind);
/** True when the route takes this query argument. */
bool route_takes(const struct route *route, const char *argument);

/** Splits and decodes a path as it came: percent escapes, UTF-8, no NUL, at most PATH_PARTS_MAX parts.
 * @return ERROR_INVALID, or ERROR_NOT_FOUND for one with more parts than any route has */
enum error_code path_split(const char *path, struct arena *arena, const char **parts, uint32_t *part_count,
                           struct error *error) MUST_USE;
/** Decodes percent escapes. @return NULL for a damaged escape, a NUL or invalid UTF-8 */
const char *text_unescape(const char *text, size_t length, struct arena *arena);

/** Serves a request whose body is there: answers it, or makes it wait. */
void route_serve(struct request *request);
