#include "node/http/problem.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "fsm/result.h"

/* Every code of base/error.h; test_http_problem.c checks that none is missing. What is a fault of the request
 * names 4xx, what may go away by itself 503 (with Retry-After), what may have happened 504. */
static const uint16_t statuses[ERROR_COUNT] = {
    [ERROR_INVALID] = 422,  [ERROR_TOO_BIG] = 413, [ERROR_NOT_FOUND] = 404,  [ERROR_EXISTS] = 409,
    [ERROR_CONFLICT] = 409, [ERROR_BUSY] = 503,    [ERROR_NOT_LEADER] = 503, [ERROR_UNAVAILABLE] = 503,
    [ERROR_UNKNOWN] = 504,  [ERROR_TIMEOUT] = 504, [ERROR_DENIED] = 403,     [ERROR_IO] = 500,
    [ERROR_NO_SPACE] = 507, [ERROR_CORRUPT] = 500, [ERROR_LOCKED] = 409,     [ERROR_CLOSED] = 503,
};

uint32_t problem_status(enum error_code code)
{
    CHECK(code > ERROR_OK && code < ERROR_COUNT, "error code %d", (int)code);
    return statuses[code] != 0 ? statuses[code] : 500;
}

static const char *problem_code_of(enum error_code code)
{
    return code == ERROR_INVALID ? result_name(RESULT_INVALID) : error_name(code);
}

/* What neither base/error.h nor fsm/result.h has a code for: said by this folder, or by an act of the node.
 */
static const struct problem_code own_codes[] = {
    {"malformed", 400},
    {"invalid_header", 400},
    {"route_not_found", 404},
    {"method_not_allowed", 405},
    {"uri_too_long", 414},
    {"unsupported_media_type", 415},
    {"range_not_satisfiable", 416},
    {"records_pruned", 410},
    {"too_big", 500}, /* an answer, not the request */
    {"unknown_coding", 501},
    {"level_too_low", 409},
    {"member_leads", 409},
    {"failover_refused", 409},
    {"failover_failed", 503},
};
#define OWN_COUNT ((uint32_t)(sizeof own_codes / sizeof own_codes[0]))

bool problem_code_at(uint32_t position, struct problem_code *out)
{
    if (position < OWN_COUNT) {
        *out = own_codes[position];
        return true;
    }
    position -= OWN_COUNT;
    if (position < ERROR_COUNT - 1) {
        const enum error_code code = (enum error_code)(position + 1);
        *out = (struct problem_code){problem_code_of(code), problem_status(code)};
        return true;
    }
    position -= ERROR_COUNT - 1;
    for (uint32_t code = 0; code < RESULT_COUNT; code++) { /* invalid_field is among the errors already */
        if (result_succeeded(code) || code == RESULT_INVALID || position-- > 0)
            continue;
        *out = (struct problem_code){result_name(code), result_status(code)};
        return true;
    }
    return false;
}

/* "plan_terminal" -> "Plan terminal" */
static void title_of(const char *code, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "%s", code);
    for (char *at = out; *at != '\0'; at++)
        if (*at == '_')
            *at = ' ';
    out[0] = (char)toupper((unsigned char)out[0]);
}

/* A text may come from outside; what isn't UTF-8 would make Jansson answer NULL. */
static json_t *text_or_null(const char *text)
{
    json_t *value = text != NULL && text[0] != '\0' ? json_string(text) : NULL;
    return value != NULL ? value : json_null();
}

void problem_members(struct request *request, uint32_t status, const char *code, const char *detail,
                     json_t *members)
{
    struct service_status *node = arena_new(&request->arena, sizeof(*node));
    service_status(request->service, node);
    if (request->answer.index == 0) {
        request->answer.index = node->consensus.applied_index;
        request->answer.term = node->consensus.term;
    }
    if (status == 504 && detail != NULL && strstr(detail, "Idempotency-Key") == NULL &&
        strcmp(code, error_name(ERROR_UNKNOWN)) == 0)
        detail = arena_printf(&request->arena, "%s (Idempotency-Key: %s)", detail, request->request_id);
    char title[64], type[128];
    title_of(code, title, sizeof(title));
    snprintf(type, sizeof(type), "urn:autonomy:problem:%s", code);

    json_t *json = json_object();
    json_object_set_new(json, "type", json_string(type));
    json_object_set_new(json, "title", json_string(title));
    json_object_set_new(json, "status", json_integer((json_int_t)status));
    json_object_set_new(json, "detail", text_or_null(detail));
    json_object_set_new(json, "code", json_string(code));
    json_object_set_new(json, "request_id", text_or_null(request->request_id));
    json_object_set_new(json, "leader", text_or_null(node->leader_name));
    json_object_set_new(json, "leader_url", text_or_null(node->leader_url));
    if (members != NULL)
        json_object_update_missing(json, members);
    json_decref(members);

    if (status == 503)
        answer_header(request, "Retry-After", "1");
    answer_json(request, status, json);
    request->answer.content_type = PROBLEM_CONTENT_TYPE "; charset=utf-8";
}

void problem_answer(struct request *request, uint32_t status, const char *code, const char *format, ...)
{
    struct error error = {0};
    va_list arguments;
    va_start(arguments, format);
    error_setv(&error, ERROR_INVALID, format, arguments);
    va_end(arguments);
    problem_members(request, status, code, error.message, NULL);
}

/* What is wrong with a field or an argument begins with its path (base/schema.h): "stages[0].gates: ...". */
static json_t *path_member(const struct error *error)
{
    static const char of_paths[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-[]";
    const size_t length = strspn(error->message, of_paths);
    if (error->code != ERROR_INVALID || length == 0 || strncmp(error->message + length, ": ", 2) != 0)
        return NULL;
    return json_pack("{s:s%}", "path", error->message, length);
}

void problem_error(struct request *request, const struct error *error)
{
    problem_members(request, problem_status(error->code), problem_code_of(error->code), error->message,
                    path_member(error));
}
