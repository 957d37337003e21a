/* Rollback: what there is, what it would do, doing it. */
#include <stddef.h>
#include <string.h>

#include "base/schema.h"
#include "fsm/targets.h"
#include "node/http/body.h"
#include "node/http/flow.h"
#include "node/http/problem.h"
#include "node/http/router.h"
#include "node/http/routes.h"

#define RESIGN "ha_leader_resign"

struct rollback_body {
    const char *target, *resource, *strategy;
};
#define AT(member) ((uint32_t)offsetof(struct rollback_body, member))
static const struct field preview_fields[] = {
    {.name = "target", .type = FIELD_TEXT, .offset = AT(target), .required = true, .max = NAME_BYTES_MAX},
    {.name = "resource",
     .type = FIELD_TEXT,
     .offset = AT(resource),
     .max = 2 * NAME_BYTES_MAX + 1,
     .help = "PLAN, PLAN/STAGE or current; without it the answer is about the target as such"},
    {.name = "strategy", .type = FIELD_TEXT, .offset = AT(strategy), .max = NAME_BYTES_MAX},
};
const struct schema preview_schema = SCHEMA("preview", struct rollback_body, preview_fields);

void rollback_list(struct request *request)
{
    struct error error = {0};
    json_t *json = NULL;
    if (rollback_targets(NULL, &json, &error) != ERROR_OK) {
        problem_error(request, &error);
        return;
    }
    json_object_set_new(json, "next_cursor", json_null());
    answer_json(request, 200, json);
}

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* The one leader there is needs no name; and its resignation no token, since it can be repeated. */
static enum error_code resign_check(const char *resource, const char *strategy, struct error *error)
{
    if (given(resource) && strcmp(resource, "current") != 0)
        return error_set(error, ERROR_INVALID, "resource: \"%s\" is not \"current\", the only one of %s",
                         resource, RESIGN);
    if (given(strategy) && rollback_strategy_find(rollback_target_find(RESIGN), strategy) == NULL)
        return error_set(error, ERROR_INVALID, "strategy: %s doesn't take \"%s\"", RESIGN, strategy);
    return ERROR_OK;
}

enum error_code rollback_preview_check(struct request *request, struct error *error)
{
    struct rollback_body *body = arena_new(&request->arena, sizeof(*body));
    enum error_code code =
        schema_from_json(request->route->body, request->json, &request->decoded, body, error);
    if (code != ERROR_OK)
        return code;
    if (rollback_target_find(body->target) == NULL)
        return error_set(error, ERROR_INVALID,
                         "target: \"%s\" can't be rolled back; see GET /v1/rollback/targets", body->target);
    request->parsed = body;
    if (strcmp(body->target, RESIGN) != 0)
        return ERROR_OK;
    code = resign_check(body->resource, body->strategy, error);
    body->resource = "current";
    return code;
}

enum error_code rollback_preview(struct request *request, struct view *view, json_t **out,
                                 struct error *error)
{
    const struct rollback_body *body = request->parsed;
    if (!given(body->resource))
        return rollback_targets(body->target, out, error);
    const char *strategy = given(body->strategy) ? body->strategy : NULL;
    enum error_code code = view_preview(view, body->target, body->resource, strategy, out, error);
    if (code == ERROR_NOT_FOUND) {
        size_t length = strcspn(body->resource, "/");
        rollout_missing(request, view, arena_text(&request->arena, body->resource, length));
    }
    return code;
}

/* A resignation reaches outside the state machine: the leader requests it, acts, and records what came of it.
 */
static void resign(struct request *request)
{
    struct error error = {0};
    const json_t *token = json_object_get(request->json, "preview_token");
    enum error_code code =
        resign_check(json_string_value(json_object_get(request->json, "resource")),
                     json_string_value(json_object_get(request->json, "strategy")), &error);
    if (code == ERROR_OK && token != NULL && !json_is_null(token))
        code = error_set(&error, ERROR_INVALID, "preview_token: %s has none", RESIGN);
    if (code != ERROR_OK) {
        problem_error(request, &error);
        return;
    }
    json_t *act = json_pack("{s:O, s:b}", "reason", json_object_get(request->json, "reason"), "rollback", 1);
    request_act(request, SERVICE_FAILOVER, act, flow_act_answer);
    json_decref(act);
}

void rollback_execute(struct request *request)
{
    const char *target = json_string_value(json_object_get(request->json, "target"));
    if (target == NULL || strcmp(target, RESIGN) != 0) {
        flow_change(request, "rollback.execute");
        return;
    }
    const char *resource = json_string_value(json_object_get(request->json, "resource"));
    if (!given(resource))
        json_object_set_new(request->json, "resource", json_string("current"));
    if (body_take(request, request->route->body) != NULL)
        resign(request);
}
