#include "node/http/flow.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/schema.h"
#include "fsm/result.h"
#include "node/http/body.h"
#include "node/http/lane.h"
#include "node/http/problem.h"
#include "node/http/router.h"

static void outcome_problem(struct request *request)
{
    struct error error = {.code = request->outcome.error};
    snprintf(error.message, sizeof(error.message), "%s",
             request->outcome.message[0] != '\0' ? request->outcome.message : error_name(error.code));
    problem_error(request, &error);
}

/* --- a change --- */

void flow_change(struct request *request, const char *command_name)
{
    struct error error = {0};
    const struct command_type *type = command_by_name(command_name);
    CHECK(type != NULL, "no command %s", command_name);
    void *record = arena_new(&request->arena, type->schema->bytes);
    struct bytes command;
    bytes_init(&command, COMMAND_BYTES_MAX);
    if (schema_from_json(type->schema, request->json, &request->decoded, record, &error) != ERROR_OK ||
        command_encode_from(type, request->source, request->request_id, request->principal,
                            service_wall_ms(request->service), record, &command, &error) != ERROR_OK)
        problem_error(request, &error);
    else
        request_change(request, bytes_span(&command), flow_change_answer);
    bytes_done(&command);
}

/* The answer's fields as JSON: a new object. */
static json_t *outcome_fields(struct request *request)
{
    struct error error = {0};
    json_t *json = NULL;
    if (request->outcome.body.bytes == 0)
        return json_object();
    if (value_to_json(request->outcome.body, &json, &error) == ERROR_OK && json_is_object(json))
        return json;
    json_decref(json);
    return NULL;
}

/* What was made can be read at a path: that of its route, filled in from the path asked for and the answer.
 */
static void add_location(struct request *request, const json_t *fields)
{
    const struct route *route = request->route;
    struct bytes path;
    bytes_init(&path, 0);
    for (const char *at = route->location; *at != '\0';) {
        const size_t plain = strcspn(at, "{");
        bytes_append(&path, at, plain);
        at += plain;
        if (*at == '\0')
            break;
        const size_t length = strcspn(at + 1, "}");
        const char *name = arena_text(&request->arena, at + 1, length);
        const char *value = route_parameter(route, name, request->parts, request->part_count);
        if (value == NULL)
            value = json_string_value(json_object_get(fields, name));
        if (value == NULL) { /* another build's answer: no place is better than a wrong one */
            bytes_done(&path);
            return;
        }
        bytes_append_text(&path, value); /* a name: nothing in it has to be escaped */
        at += length + 2;
    }
    if (path.length > 0)
        answer_header(request, "Location",
                      arena_printf(&request->arena, "%.*s", (int)path.length, (const char *)path.data));
    bytes_done(&path);
}

/* A success, 201 with where to find what was made. */
static void answer_done(struct request *request, uint32_t status, json_t *json)
{
    if (status == 201 && request->route->location != NULL)
        add_location(request, json);
    answer_json(request, status, json);
}

void flow_change_answer(struct request *request)
{
    const struct outcome *outcome = &request->outcome;
    if (outcome->error != ERROR_OK) {
        outcome_problem(request);
        return;
    }
    request->answer.index = outcome->index;
    request->answer.term = outcome->term;
    if (outcome->repeated)
        answer_header(request, "X-Autonomy-Repeated", "true");
    json_t *fields = outcome_fields(request);
    if (fields == NULL) {
        problem_answer(request, 500, "corrupt", "the change is committed, its answer can't be read");
        return;
    }
    json_object_set_new(fields, "index", json_integer((json_int_t)outcome->index));
    if (outcome->audit_seq != 0)
        json_object_set_new(fields, "audit_seq", json_integer((json_int_t)outcome->audit_seq));
    uint32_t status = result_status(outcome->code);
    if (result_succeeded(outcome->code)) {
        answer_done(request, status, fields);
        return;
    }
    json_t *type_of_flag = json_object_get(fields, "type"); /* of a problem `type` is its kind */
    if (type_of_flag != NULL)
        json_object_set(fields, "flag_type", type_of_flag);
    uint64_t version;
    if (outcome->code == RESULT_VERSION_MISMATCH &&
        parse_u64(json_string_value(json_object_get(fields, "version")), INT64_MAX, &version))
        json_object_set_new(fields, "version", json_integer((json_int_t)version)); /* as the flag shows it */
    const char *detail = json_string_value(json_object_get(fields, "detail"));
    char *text = arena_printf(&request->arena, "%s", detail != NULL ? detail : result_name(outcome->code));
    problem_members(request, status, result_name(outcome->code), text, fields);
}

void flow_act_answer(struct request *request)
{
    if (request->outcome.error != ERROR_OK) {
        outcome_problem(request);
        return;
    }
    json_t *json = request->act_json;
    request->act_json = NULL;
    if (json == NULL) {
        problem_answer(request, 500, "corrupt", "the answer can't be read");
        return;
    }
    if (request->act_status < 400) {
        answer_done(request, request->act_status, json);
        return;
    }
    const char *code = json_string_value(json_object_get(json, "code"));
    const char *detail = json_string_value(json_object_get(json, "detail"));
    problem_members(request, request->act_status,
                    arena_printf(&request->arena, "%s", code != NULL ? code : "refused"),
                    arena_printf(&request->arena, "%s", detail != NULL ? detail : "refused"), json);
}

/* --- a read --- */

/* How old an unconfirmed answer may be: since when this node last knew that it was up to date. While it knows
 * of no leader, that was before it lost contact with the majority. */
static uint64_t age_ms(const struct service_status *node, uint64_t now_ms)
{
    const struct consensus_status *status = &node->consensus;
    uint64_t taken_ms = now_ms > node->monotonic_ms ? now_ms - node->monotonic_ms : 0;
    if (status->contact_lost_ms != 0 && (status->leader_id == 0 || status->leader_id == status->node_id))
        return now_ms > status->contact_lost_ms ? now_ms - status->contact_lost_ms : 0;
    if (status->leader_id != 0 && status->leader_id == status->node_id)
        return taken_ms;
    for (uint32_t i = 0; i < status->member_count; i++)
        if (status->members[i].node_id == status->leader_id && status->members[i].heard_ms != UINT64_MAX)
            return taken_ms + status->members[i].heard_ms;
    return UINT64_MAX;
}

static void add_age(struct request *request)
{
    struct service_status *node = arena_new(&request->arena, sizeof(*node));
    service_status(request->service, node);
    uint64_t age = age_ms(node, service_now_ms(request->service));
    char text[24] = "unknown";
    if (age != UINT64_MAX)
        snprintf(text, sizeof(text), "%" PRIu64, age);
    answer_header(request, "X-Autonomy-Age-Ms", text);
}

static bool stale(struct request *request)
{
    const char *text = request_query(request, "consistency");
    return text != NULL && strcmp(text, "stale") == 0;
}

static void view_problem(struct request *request, const struct error *error)
{
    const char *missing = request->missing != NULL ? request->missing : request->route->not_found;
    if (error->code == ERROR_NOT_FOUND && missing != NULL)
        problem_answer(request, 404, missing, "%s", error->message);
    else
        problem_error(request, error);
}

static void read_now(struct request *request)
{
    struct error error = {0};
    struct view *view = NULL;
    json_t *json = NULL;
    if (service_view(request->service, &view, &error) != ERROR_OK) {
        problem_error(request, &error);
        return;
    }
    request->answer.index = view_index(view);
    request->answer.term = request->outcome.term;
    enum error_code code = request->route->view(request, view, &json, &error);
    service_view_close(request->service, view);
    if (code != ERROR_OK) {
        view_problem(request, &error);
        return;
    }
    if (stale(request))
        add_age(request);
    if (json != NULL)
        answer_json(request, 200, json);
}

static void read_somewhere(struct request *request)
{
    if (request->route->kind == ROUTE_SCAN)
        request_lane(request, LANE_SCAN, read_now);
    else if (request->route->kind == ROUTE_WALK)
        request_lane(request, LANE_WALK, read_now);
    else
        read_now(request);
}

/* Whoever only wants to look need not wait for a leader. */
static void unconfirmed(struct request *request)
{
    struct outcome *outcome = &request->outcome;
    const size_t used = strlen(outcome->message);
    if (used > 0 && (outcome->error == ERROR_UNAVAILABLE || outcome->error == ERROR_TIMEOUT))
        snprintf(outcome->message + used, sizeof(outcome->message) - used,
                 "; consistency=stale answers from what this node has");
    outcome_problem(request);
}

static void read_confirmed(struct request *request)
{
    if (request->outcome.error != ERROR_OK)
        unconfirmed(request);
    else
        read_somewhere(request);
}

static void read_fresh(struct request *request)
{
    if (stale(request))
        read_somewhere(request);
    else
        request_confirm(request, read_confirmed);
}

/* Long poll: something newer is there, or the time is up and the client gets what there is. */
static void read_waited(struct request *request)
{
    uint64_t now_ms = service_now_ms(request->service);
    if (request->outcome.error != ERROR_OK && request->outcome.error != ERROR_TIMEOUT) {
        outcome_problem(request);
        return;
    }
    request->deadline_ms = now_ms + server_write_timeout_ms(request->server);
    read_fresh(request);
}

void flow_read(struct request *request)
{
    struct error error = {0};
    uint64_t index = 0, wait_ms = 0;
    uint32_t consistency = 0;
    if (query_word(request, "consistency", &consistency, &error) != ERROR_OK ||
        query_u64(request, "index", &index, &error) != ERROR_OK ||
        query_duration(request, "wait", &wait_ms, &error) != ERROR_OK) {
        problem_error(request, &error);
        return;
    }
    const bool waits = request_query(request, "wait") != NULL;
    if (waits != (request_query(request, "index") != NULL)) {
        problem_answer(request, 422, "invalid_field",
                       "%s: a long poll takes both, index (of the answer you have) and wait (how long)",
                       waits ? "wait" : "index");
        return;
    }
    if (waits)
        request_wait(request, index, service_now_ms(request->service) + wait_ms, read_waited);
    else
        read_fresh(request);
}
