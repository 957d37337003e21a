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

struct route {
    const char *method;
    const char *path; /* "/v1/rollouts/{plan_id}/halt" */
    enum route_kind kind;
    const char *command;   /* of ROUTE_CHANGE: "rollout.halt" */
    const char *not_found; /* problem code when a view has no such thing */
    const char *query;     /* arguments that it takes beyond those of its kind, with blanks between */
    void (*serve)(struct request *request);
    /** Sets `out`, or answers by itself when it isn't JSON. */
    enum error_code (*view)(struct request *request, struct view *view, json_t **out, struct error *error);
    /** Looks at the request before anything waits: may add to request->json or set request->parsed. */
    enum error_code (*prepare)(struct request *request, struct error *error);
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
