#include "node/http/openapi.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/schema.h"
#include "node/http/answers.h"
#include "node/http/argument.h"
#include "node/http/problem.h"
#include "node/http/routes.h"
#include "node/http/server_internal.h"

#define JSON_TYPE       "application/json"
#define MSGPACK_TYPE    "application/msgpack"
#define PARAMETERS_MAX  4u
#define INTERNAL_PREFIX "/v1/internal/"

const struct schema openapi_shape = {.name = "open api document"};

/* The document as it grows. */
struct document {
    json_t *schemas, *responses;
    uint32_t body_bytes_max;
};

static void set(json_t *object, const char *key, json_t *value)
{
    const int failed = json_object_set_new(object, key, value);
    CHECK(failed == 0, "%s can't be described", key);
}

static void append(json_t *array, json_t *value)
{
    const int failed = json_array_append_new(array, value);
    CHECK(failed == 0, "a list can't be described");
}

static json_t *reference(const char *folder, const char *name)
{
    json_t *out = json_object();
    set(out, "$ref", json_sprintf("#/components/%s/%s", folder, name));
    return out;
}

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool changes(const struct route *route)
{
    return route->kind == ROUTE_CHANGE || (route->kind == ROUTE_ACT && strcmp(route->method, "GET") != 0);
}

/* --- headers --- */

enum header_of { OF_ALL, OF_CHANGES, OF_ONE };

struct header_row {
    const char *id, *name;
    enum header_of of;
    const char *path; /* OF_ONE */
    const char *type;
    uint64_t min, max; /* of a text characters, of a number itself */
    const char *pattern, *help;
    const char *words[3];
};

static const struct header_row headers[] = {
    {.id = "Operator",
     .name = "X-Autonomy-Operator",
     .of = OF_CHANGES,
     .type = "string",
     .min = 1,
     .max = PRINCIPAL_BYTES_MAX,
     .help = "who acts; recorded as the actor, `anonymous` without it"},
    {.id = "IdempotencyKey",
     .name = "Idempotency-Key",
     .of = OF_CHANGES,
     .type = "string",
     .min = 1,
     .max = REQUEST_ID_BYTES_MAX,
     .pattern = "^[!-~]*$",
     .help = "makes the change safe to repeat for 24 hours, on any node; yours alone, with the same body"},
    {.id = "Source",
     .name = "X-Autonomy-Source",
     .of = OF_CHANGES,
     .type = "string",
     .words = {"cli", "orchestrator"},
     .help = "what the audit trail says that it came through"},
    {.id = "TimeoutMs",
     .name = "X-Autonomy-Timeout-Ms",
     .of = OF_ALL,
     .type = "integer",
     .min = 1,
     .max = TIMEOUT_MAX_MS,
     .help = "as the argument timeout, which wins"},
    {.id = "LastEventId",
     .name = "Last-Event-ID",
     .of = OF_ONE,
     .path = "/v1/events",
     .type = "integer",
     .max = INT64_MAX,
     .help = "go on after this event; a browser's EventSource sends it by itself"},
    {.id = "Range",
     .name = "Range",
     .of = OF_ONE,
     .path = INTERNAL_PREFIX "checkpoints/{checkpoint_id}/files/{file}",
     .type = "string",
     .max = 64,
     .help = "bytes=FIRST-LAST"},
};
#define HEADER_COUNT (sizeof headers / sizeof headers[0])

static bool header_fits(const struct header_row *row, const struct route *route)
{
    return row->of == OF_ALL || (row->of == OF_CHANGES && changes(route)) ||
           (row->of == OF_ONE && strcmp(row->path, route->path) == 0);
}

static json_t *header_schema(const struct header_row *row)
{
    json_t *out = json_pack("{s:s}", "type", row->type);
    const bool text = strcmp(row->type, "string") == 0;
    if (row->words[0] != NULL) {
        json_t *words = json_array();
        for (size_t i = 0; row->words[i] != NULL; i++)
            append(words, json_string(row->words[i]));
        set(out, "enum", words);
        return out;
    }
    set(out, text ? "minLength" : "minimum", json_integer((json_int_t)row->min));
    set(out, text ? "maxLength" : "maximum", json_integer((json_int_t)row->max));
    if (row->pattern != NULL)
        set(out, "pattern", json_string(row->pattern));
    return out;
}

static json_t *header_parameters(void)
{
    json_t *out = json_object();
    for (size_t i = 0; i < HEADER_COUNT; i++)
        set(out, headers[i].id,
            json_pack("{s:s, s:s, s:s, s:o}", "name", headers[i].name, "in", "header", "description",
                      headers[i].help, "schema", header_schema(&headers[i])));
    return out;
}

/* Of answers. */
struct answer_header_row {
    const char *name, *type, *help;
};
static const struct answer_header_row answer_headers[] = {
    {"X-Autonomy-Index", "integer", "of the change, or of what was read"},
    {"X-Autonomy-Term", "integer", "the raft term"},
    {"X-Request-Id", "string", "the Idempotency-Key, or the one that the node made"},
    {"X-Autonomy-Repeated", "string", "true: the request was known; this is the answer of the first time"},
    {"X-Autonomy-Next-Cursor", "string", "next_cursor of an answer that isn't JSON"},
    {"X-Autonomy-Age-Ms", "string", "with consistency=stale: how old the answer may be, or unknown"},
    {"Location", "string", "the new thing's path"},
    {"Retry-After", "integer", "seconds"},
    {"Allow", "string", "the methods that the path has"},
};

static json_t *answer_header_components(void)
{
    json_t *out = json_object();
    for (size_t i = 0; i < sizeof answer_headers / sizeof answer_headers[0]; i++)
        set(out, answer_headers[i].name,
            json_pack("{s:s, s:{s:s}}", "description", answer_headers[i].help, "schema", "type",
                      answer_headers[i].type));
    return out;
}

static json_t *common_headers(void)
{
    json_t *out = json_object();
    for (size_t i = 0; i < 3; i++)
        set(out, answer_headers[i].name, reference("headers", answer_headers[i].name));
    return out;
}

/* --- problems --- */

struct status_row {
    uint32_t status;
    const char *help;
};
static const struct status_row statuses[] = {
    {400, "The body, the path or a header can't be read."},
    {403, "Refused: a page of another site, or not for clients."},
    {404, "There is no such thing."},
    {405, "Another method; Allow says which."},
    {409, "The state forbids it."},
    {410, "What the cursor points at is gone: begin again."},
    {413, "The body or its command is too long."},
    {414, "The path is too long."},
    {415, "A body of another media type."},
    {416, "The file ends before that."},
    {422, "A field or argument is unknown, missing or out of range; detail has its path and range."},
    {500, "This node's disk; ask another node."},
    {501, "The body comes in a transfer coding other than chunked."},
    {503, "No leader, no quorum, or a queue is full: nothing happened. Repeat."},
    {504, "The outcome is unknown: repeat under the same Idempotency-Key."},
    {507, "This node's disk is full: nothing happened. Ask another node."},
};
#define STATUS_COUNT (sizeof statuses / sizeof statuses[0])

static json_t *codes_of(uint32_t status)
{
    json_t *out = json_array();
    struct problem_code row;
    for (uint32_t i = 0; problem_code_at(i, &row); i++)
        if (row.status == status)
            append(out, json_string(row.code));
    CHECK(json_array_size(out) > 0, "no problem has status %" PRIu32, status);
    return out;
}

static json_t *problem_content(uint32_t status)
{
    json_t *own = json_pack("{s:{s:{s:s, s:[i]}, s:{s:s, s:o}}}", "properties", "status", "type", "integer",
                            "enum", (int)status, "code", "type", "string", "enum", codes_of(status));
    json_t *schema = json_pack("{s:[o, o]}", "allOf", reference("schemas", "Problem"), own);
    return json_pack("{s:{s:o}}", PROBLEM_CONTENT_TYPE, "schema", schema);
}

static const char *problem_name(uint32_t status, char out[32])
{
    snprintf(out, 32, "Problem%" PRIu32, status);
    return out;
}

static void add_problems(struct document *self)
{
    char name[32];
    json_decref(schema_describe(&problem_shape, DESCRIBE_SHOWN, NULL, self->schemas));
    for (size_t i = 0; i < STATUS_COUNT; i++) {
        json_t *about = common_headers();
        if (statuses[i].status == 503)
            set(about, "Retry-After", reference("headers", "Retry-After"));
        if (statuses[i].status == 405)
            set(about, "Allow", reference("headers", "Allow"));
        set(self->responses, problem_name(statuses[i].status, name),
            json_pack("{s:s, s:o, s:o}", "description", statuses[i].help, "headers", about, "content",
                      problem_content(statuses[i].status)));
    }
}

/* Which of them an operation may answer. 405, 414 and 501 are no operation's: no route was looked for, or
 * found. */
static bool may_answer(const struct route *route, uint32_t status)
{
    const bool body = route_body(route) != NULL || route->takes != NULL;
    switch (status) {
    case 403:
        return changes(route) || strcmp(route->method, "POST") == 0;
    case 404:
        return strchr(route->path, '{') != NULL || body;
    case 405:
    case 414:
    case 501:
        return false;
    case 409:
        return changes(route);
    case 410:
        return route->kind == ROUTE_SCAN || route->kind == ROUTE_WALK;
    case 413:
    case 415:
        return body;
    case 416:
        return route->content != NULL && strchr(route->path, '{') != NULL;
    case 504:
        return route->kind != ROUTE_LOCAL;
    case 507:
        return changes(route);
    default:
        return true;
    }
}

/* --- what a route takes --- */

struct path_names {
    char text[PARAMETERS_MAX][64];
    const char *names[PARAMETERS_MAX + 1]; /* ended by NULL */
};

static void path_names(const struct route *route, struct path_names *out)
{
    uint32_t count = 0;
    for (const char *at = route->path; (at = strchr(at, '{')) != NULL; count++) {
        const size_t length = strcspn(++at, "}");
        CHECK(count < PARAMETERS_MAX && length < sizeof(out->text[0]), "the path %s", route->path);
        snprintf(out->text[count], sizeof(out->text[0]), "%.*s", (int)length, at);
        out->names[count] = out->text[count];
    }
    out->names[count] = NULL;
}

static json_t *path_parameter(struct document *self, const struct route *route, const char *name)
{
    const struct schema *body = route_body(route);
    const struct field *field = body != NULL ? schema_field(body, name) : NULL;
    json_t *schema = field != NULL ? field_describe(field, DESCRIBE_TAKEN, self->schemas)
                                   : json_pack("{s:s, s:i}", "type", "string", "minLength", 1);
    return json_pack("{s:s, s:s, s:b, s:o}", "name", name, "in", "path", "required", 1, "schema", schema);
}

static json_t *words_of(const struct argument *argument)
{
    json_t *out = json_array();
    const char *word;
    for (uint32_t i = 0; (word = argument_word(argument, i)) != NULL; i++)
        append(out, json_string(word));
    return out;
}

static json_t *number_schema(const struct argument *argument)
{
    uint64_t otherwise;
    json_t *out = json_pack("{s:s, s:s, s:I, s:I}", "type", "integer", "format", "int64", "minimum",
                            (json_int_t)argument->min, "maximum", (json_int_t)argument->max);
    if (argument->otherwise != NULL && parse_u64(argument->otherwise, INT64_MAX, &otherwise))
        set(out, "default", json_integer((json_int_t)otherwise));
    return out;
}

static json_t *argument_schema(const struct argument *argument)
{
    json_t *out = NULL;
    switch (argument->type) {
    case ARGUMENT_NUMBER:
        return number_schema(argument);
    case ARGUMENT_YES_NO:
        return json_pack("{s:s, s:b}", "type", "boolean", "default",
                         argument->otherwise != NULL && strcmp(argument->otherwise, "true") == 0);
    case ARGUMENT_TIME:
        return json_pack("{s:s, s:s}", "type", "string", "format", "date-time");
    case ARGUMENT_DURATION:
        return json_pack("{s:s, s:s, s:I, s:I}", "type", "string", "pattern", "^[0-9]+(ms|s|m|h|d)?$",
                         "x-min-ms", (json_int_t)argument->min, "x-max-ms", (json_int_t)argument->max);
    case ARGUMENT_WORD:
        out = json_pack("{s:s, s:o}", "type", "string", "enum", words_of(argument));
        if (argument->otherwise != NULL)
            set(out, "default", json_string(argument->otherwise));
        return out;
    case ARGUMENT_WORDS:
        return json_pack("{s:s, s:{s:s, s:o}}", "type", "array", "items", "type", "string", "enum",
                         words_of(argument));
    case ARGUMENT_TEXT:
        out = json_pack("{s:s}", "type", "string");
        if (argument->max != 0)
            set(out, "maxLength", json_integer((json_int_t)argument->max));
        return out;
    }
    CHECK(false, "argument %s has type %d", argument->name, (int)argument->type);
}

static json_t *query_parameter(const struct route *route, const char *name)
{
    const struct argument *argument = argument_find(route, name);
    CHECK(argument != NULL, "argument %s of %s is not in the table of argument.c", name, route->path);
    json_t *out =
        json_pack("{s:s, s:s, s:o}", "name", name, "in", "query", "schema", argument_schema(argument));
    if (argument->help != NULL)
        set(out, "description", json_string(argument->help));
    if (argument->type == ARGUMENT_WORDS)
        set(out, "explode", json_false()); /* a comma list */
    return out;
}

static json_t *parameters(struct document *self, const struct route *route)
{
    json_t *out = json_array();
    struct path_names path;
    path_names(route, &path);
    for (uint32_t i = 0; path.names[i] != NULL; i++)
        append(out, path_parameter(self, route, path.names[i]));
    struct argument_walk walk = {.route = route};
    const char *name;
    while ((name = argument_next(&walk)) != NULL)
        append(out, query_parameter(route, name));
    for (size_t i = 0; i < HEADER_COUNT; i++)
        if (header_fits(&headers[i], route))
            append(out, reference("parameters", headers[i].id));
    return out;
}

static json_t *binary_content(const char *type)
{
    return json_pack("{s:{s:{s:s, s:s}}}", type, "schema", "type", "string", "format", "binary");
}

static json_t *request_body(struct document *self, const struct route *route)
{
    const struct schema *body = route_body(route);
    if (body == NULL)
        return json_pack("{s:b, s:o}", "required", 1, "content", binary_content(route->takes));
    struct path_names path;
    path_names(route, &path);
    json_t *schema = schema_describe(body, DESCRIBE_TAKEN, path.names, self->schemas);
    const char *name = strrchr(json_string_value(json_object_get(schema, "$ref")), '/') + 1;
    const json_t *wanted = json_object_get(json_object_get(self->schemas, name), "required"), *field;
    bool required = false;
    size_t i;
    json_array_foreach(wanted, i, field) if (!route_takes(route, json_string_value(field))) required = true;
    json_t *media = json_pack("{s:O}", "schema", schema);
    if (route->example != NULL) {
        json_t *example = json_loads(route->example, 0, NULL);
        CHECK(example != NULL, "the example of %s %s is not JSON", route->method, route->path);
        set(media, "example", example);
    }
    json_t *content = json_pack("{s:o, s:{s:o}}", JSON_TYPE, media, MSGPACK_TYPE, "schema", schema);
    return json_pack("{s:b, s:I, s:o}", "required", (int)required, "x-max-bytes",
                     (json_int_t)self->body_bytes_max, "content", content);
}

/* --- what it answers --- */

static json_t *answer_schema(struct document *self, const struct route *route)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < ROUTE_ANSWERS_MAX && route->answers[i] != NULL; i++)
        append(all, schema_describe(route->answers[i], DESCRIBE_SHOWN, NULL, self->schemas));
    CHECK(json_array_size(all) > 0, "%s %s doesn't say what it answers", route->method, route->path);
    json_t *out =
        json_array_size(all) == 1 ? json_incref(json_array_get(all, 0)) : json_pack("{s:O}", "anyOf", all);
    json_decref(all);
    if (route->kind == ROUTE_CHANGE)
        out = json_pack("{s:[o, o]}", "allOf", out,
                        schema_describe(&change_shape, DESCRIBE_SHOWN, NULL, self->schemas));
    return out;
}

static json_t *text_content(struct document *self, const struct route *route)
{
    if (!has_prefix(route->content, "text/"))
        return binary_content(route->content);
    json_t *schema = json_pack("{s:s}", "type", "string");
    if (route->answers[0] != NULL) /* OpenAPI has no word for the data of an event */
        set(schema, "x-event-data", answer_schema(self, route));
    return json_pack("{s:{s:o}}", route->content, "schema", schema);
}

static json_t *success(struct document *self, const struct route *route, uint32_t status)
{
    json_t *about = common_headers();
    if (route->kind == ROUTE_CHANGE)
        set(about, "X-Autonomy-Repeated", reference("headers", "X-Autonomy-Repeated"));
    if (route->kind == ROUTE_READ || route->kind == ROUTE_SCAN || route->kind == ROUTE_WALK)
        set(about, "X-Autonomy-Age-Ms", reference("headers", "X-Autonomy-Age-Ms"));
    if (route->contents != NULL)
        set(about, "X-Autonomy-Next-Cursor", reference("headers", "X-Autonomy-Next-Cursor"));
    if (status == 201 && route->location[0] != '\0')
        set(about, "Location", reference("headers", "Location"));
    json_t *content = route->content != NULL
                          ? text_content(self, route)
                          : json_pack("{s:{s:o}}", JSON_TYPE, "schema", answer_schema(self, route));
    const char *more;
    for (uint32_t i = 0; route->contents != NULL && (more = route->contents(i)) != NULL; i++)
        set(content, more, json_pack("{s:{s:s}}", "schema", "type", "string"));
    return json_pack("{s:s, s:o, s:o}", "description",
                     status == 201   ? "It is new."
                     : status == 206 ? "A part of it."
                     : status == 503 ? "Not yet, or not here."
                                     : "Done.",
                     "headers", about, "content", content);
}

static json_t *responses(struct document *self, const struct route *route)
{
    char name[32];
    json_t *out = json_object();
    const bool ranges = may_answer(route, 416);
    if (route->location == NULL || strcmp(route->method, "PUT") == 0)
        set(out, "200", success(self, route, 200));
    if (route->location != NULL)
        set(out, "201", success(self, route, 201));
    if (ranges)
        set(out, "206", success(self, route, 206));
    for (size_t i = 0; i < STATUS_COUNT; i++) {
        if (!may_answer(route, statuses[i].status))
            continue;
        snprintf(name, sizeof(name), "%" PRIu32, statuses[i].status);
        if (statuses[i].status == 503 && route->not_yet) {
            json_t *probe = success(self, route, 503), *problem = problem_content(503);
            json_object_update(json_object_get(probe, "content"), problem);
            json_decref(problem);
            set(out, name, probe);
            continue;
        }
        char component[32];
        set(out, name, reference("responses", problem_name(statuses[i].status, component)));
    }
    return out;
}

/* --- the whole --- */

/* "/v1/kill-switches/{name}" -> "kill-switches" */
static json_t *tag_of(const struct route *route)
{
    const char *at = route->path + (has_prefix(route->path, "/v1/") ? 4 : 1);
    const size_t length = strcspn(at, "/.");
    return json_stringn(at, length);
}

static json_t *operation(struct document *self, const struct route *route)
{
    CHECK(route->id != NULL && route->about != NULL, "%s %s has no id or says nothing about itself",
          route->method, route->path);
    json_t *out = json_pack("{s:s, s:s, s:[o]}", "operationId", route->id, "summary", route->about, "tags",
                            tag_of(route));
    if (has_prefix(route->path, INTERNAL_PREFIX))
        set(out, "x-internal", json_true());
    set(out, "parameters", parameters(self, route));
    if (route_body(route) != NULL || route->takes != NULL)
        set(out, "requestBody", request_body(self, route));
    set(out, "responses", responses(self, route));
    return out;
}

static json_t *paths(struct document *self)
{
    uint32_t count = 0;
    const struct route *routes = route_all(&count);
    json_t *out = json_object();
    for (uint32_t i = 0; i < count; i++) {
        char method[16];
        size_t length = strlen(routes[i].method);
        CHECK(length < sizeof(method), "method %s", routes[i].method);
        for (size_t c = 0; c <= length; c++)
            method[c] = (char)(routes[i].method[c] | 0x20);
        method[length] = '\0';
        json_t *path = json_object_get(out, routes[i].path);
        if (path == NULL) {
            path = json_object();
            set(out, routes[i].path, path);
        }
        CHECK(json_object_get(path, method) == NULL, "%s %s is there twice", method, routes[i].path);
        set(path, method, operation(self, &routes[i]));
    }
    return out;
}

static json_t *info(const char *version)
{
    return json_pack(
        "{s:s, s:s, s:s, s:{s:s}}", "title", "autonomy", "version", version, "description",
        "The control plane's interface, the same on every node: a follower passes changes and read "
        "confirmations on to the leader. HEAD works wherever GET does, and OPTIONS answers 204 with Allow. A "
        "path that isn't listed answers 404 `route_not_found`, another method 405 with Allow, a path past "
        "2,048 bytes 414. Bodies may also be application/msgpack, and may repeat the path's parameters. What "
        "the HTTP library refuses before the node sees a request (broken framing, headers past 32 KiB, "
        "another version) is a short HTML page of 400, 413, 414, 431, 500 or 505 and closes the connection.",
        "license", "name", "Apache-2.0");
}

void openapi_write(const char *version, uint32_t body_bytes_max, struct bytes *out)
{
    struct document self = {json_object(), json_object(), body_bytes_max};
    add_problems(&self);
    json_t *all = paths(&self);
    json_t *document = json_pack("{s:s, s:o, s:[{s:s}], s:o, s:{s:o, s:o, s:o, s:o}}", "openapi", "3.0.3",
                                 "info", info(version), "servers", "url", "/", "paths", all, "components",
                                 "schemas", self.schemas, "responses", self.responses, "parameters",
                                 header_parameters(), "headers", answer_header_components());
    CHECK(document != NULL, "the OpenAPI document can't be made");
    char *text = json_dumps(document, JSON_COMPACT);
    CHECK(text != NULL, "the OpenAPI document can't be written");
    bytes_append_text(out, text);
    bytes_append_text(out, "\n");
    free(text);
    json_decref(document);
}

void openapi_show(struct request *request)
{
    answer_static(request, 200, "application/json; charset=utf-8", server_openapi(request->server));
}
