/* Rollout plans: what reading them takes, and what a creation gets beyond its body. */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "node/http/body.h"
#include "node/http/problem.h"
#include "node/http/router.h"
#include "node/http/routes.h"

/* A plan without an id gets one that follows from the request: a repeat of the request means the same plan.
 */
static void make_plan_id(struct request *request)
{
    uint8_t digest[DIGEST_BYTES];
    char hex[17];
    struct hash *hash = hash_new();
    hash_update(hash, request->principal, strlen(request->principal) + 1);
    hash_update(hash, request->request_id, strlen(request->request_id));
    hash_finish(hash, digest);
    hash_free(hash);
    hex_encode(digest, 8, hex);
    json_object_set_new(request->json, "plan_id", json_sprintf("plan-%s", hex));
}

enum error_code rollout_create(struct request *request, struct error *error)
{
    bool publish = false;
    enum error_code code = query_bool(request, "publish", &publish, error);
    if (code != ERROR_OK)
        return code;
    if (publish)
        json_object_set_new(request->json, "publish", json_true());
    const json_t *plan_id = json_object_get(request->json, "plan_id");
    if (plan_id == NULL || json_is_null(plan_id))
        make_plan_id(request);
    return ERROR_OK;
}

enum error_code rollout_list(struct request *request, struct view *view, json_t **out, struct error *error)
{
    return view_plans(view, request_query(request, "phase"), request->parsed, out, error);
}

enum error_code rollout_get(struct request *request, struct view *view, json_t **out, struct error *error)
{
    return view_plan_at(view, request_parameter(request, "plan_id"), service_wall_ms(request->service), out,
                        error);
}

enum error_code rollout_stuck_check(struct request *request, struct error *error)
{
    uint64_t *threshold_ms = arena_new(&request->arena, sizeof(*threshold_ms));
    enum error_code code = query_u64(request, "threshold_seconds", threshold_ms, error);
    *threshold_ms *= 1000;
    request->parsed = threshold_ms;
    return code;
}

enum error_code rollout_stuck(struct request *request, struct view *view, json_t **out, struct error *error)
{
    const uint64_t *threshold_ms = request->parsed;
    return view_stuck(view, *threshold_ms, service_wall_ms(request->service), out, error);
}

void rollout_missing(struct request *request, struct view *view, const char *plan_id)
{
    struct error ignored = {0};
    json_t *plan = NULL;
    bool known = view_plan(view, plan_id, &plan, &ignored) == ERROR_OK;
    json_decref(plan);
    request->missing = known ? "stage_not_found" : "plan_not_found";
}

enum error_code rollout_gates(struct request *request, struct view *view, json_t **out, struct error *error)
{
    const char *plan_id = request_parameter(request, "plan_id");
    enum error_code code = view_gates(view, plan_id, request_parameter(request, "stage_id"),
                                      service_wall_ms(request->service), out, error);
    if (code == ERROR_NOT_FOUND)
        rollout_missing(request, view, plan_id);
    return code;
}
