#include "node/http/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/schema.h"
#include "node/http/problem.h"
#include "node/http/router.h"
#include "node/http/server_internal.h"
#include "node/http/stream.h"

/* An answer's body is at most a page of rows, each bounded itself. */
#define ANSWER_BYTES_MAX (64u * 1024u * 1024u)

struct request *request_new(struct http_server *server, struct service *service,
                            struct MHD_Connection *connection, const char *method)
{
    struct request *self = memory_zero(1, sizeof(*self));
    self->server = server;
    self->service = service;
    self->connection = connection;
    self->answer.fd = -1;
    arena_init(&self->arena, REQUEST_ARENA_MAX);
    arena_init(&self->decoded, DECODED_ARENA_MAX);
    bytes_init(&self->body, 0);
    bytes_init(&self->outcome_body, 0);
    bytes_init(&self->answer.raw, 0);
    self->method = arena_text(&self->arena, method, strlen(method));
    return self;
}

void request_free(struct request *self)
{
    if (self == NULL)
        return;
    if (self->answer.fd >= 0)
        close(self->answer.fd);
    if (self->answer.stream != NULL)
        MHD_destroy_response(self->answer.stream);
    json_decref(self->answer.json);
    json_decref(self->act_json);
    json_decref(self->json);
    bytes_done(&self->answer.raw);
    bytes_done(&self->outcome_body);
    bytes_done(&self->body);
    arena_done(&self->decoded);
    arena_done(&self->arena);
    free(self);
}

const char *request_parameter(const struct request *self, const char *name)
{
    const char *value = route_parameter(self->route, name, self->parts, self->part_count);
    CHECK(value != NULL, "route %s has no parameter %s", self->route->path, name);
    return value;
}

const char *request_query(struct request *self, const char *name)
{
    for (uint32_t i = 0; i < self->query_count; i++)
        if (strcmp(self->query[i].name, name) == 0)
            return self->query[i].value;
    return NULL;
}

/* --- waiting --- */

static void begin_wait(struct request *self, request_then_fn *then)
{
    CHECK(self->then == NULL && !self->answer.ready, "a request waits once at a time, and before its answer");
    self->then = then;
    self->waiting = true;
    server_call_begin(self->server);
    MHD_suspend_connection(self->connection);
}

/* The request may be gone as soon as its connection is awake: nothing of it is touched afterwards. */
static void end_wait(struct request *self)
{
    struct http_server *server = self->server;
    MHD_resume_connection(self->connection);
    server_call_end(server);
}

static void on_outcome(void *context, const struct outcome *outcome)
{
    struct request *self = context;
    self->outcome = *outcome;
    bytes_clear(&self->outcome_body);
    if (outcome->body.bytes > 0)
        bytes_append(&self->outcome_body, outcome->body.data, outcome->body.bytes);
    self->outcome.body = bytes_span(&self->outcome_body);
    end_wait(self);
}

static void on_act(void *context, const struct act_answer *answer)
{
    struct request *self = context;
    self->act_status = answer->status;
    self->act_json = json_deep_copy(answer->json);
    end_wait(self);
}

/* The service took nothing: its error is the outcome. */
static void refused(struct request *self, const struct error *error)
{
    self->outcome = (struct outcome){.error = error->code};
    snprintf(self->outcome.message, sizeof(self->outcome.message), "%s", error->message);
    end_wait(self);
}

void request_change(struct request *self, struct span command, request_then_fn *then)
{
    struct error error = {0};
    begin_wait(self, then);
    if (service_change(self->service, command, self->deadline_ms, self->forwarded, on_outcome, self,
                       &error) != ERROR_OK)
        refused(self, &error);
}

void request_confirm(struct request *self, request_then_fn *then)
{
    struct error error = {0};
    begin_wait(self, then);
    if (service_confirm(self->service, self->deadline_ms, self->forwarded, on_outcome, self, &error) !=
        ERROR_OK)
        refused(self, &error);
}

void request_wait(struct request *self, uint64_t index, uint64_t deadline_ms, request_then_fn *then)
{
    struct error error = {0};
    begin_wait(self, then);
    if (service_wait(self->service, index, deadline_ms, on_outcome, self, &error) != ERROR_OK)
        refused(self, &error);
}

void request_act(struct request *self, enum service_act act, const json_t *body, request_then_fn *then)
{
    struct error error = {0};
    begin_wait(self, then);
    if (service_act(self->service, act, body, self->request_id, self->principal, self->source,
                    self->deadline_ms, self->forwarded, on_act, self, &error) != ERROR_OK)
        refused(self, &error);
}

void request_checkpoint(struct request *self, request_then_fn *then)
{
    struct error error = {0};
    begin_wait(self, then);
    if (service_checkpoint(self->service, on_act, self, &error) != ERROR_OK)
        refused(self, &error);
}

static void on_lane(void *context)
{
    struct request *self = context;
    request_then_fn *work = self->then;
    self->then = NULL; /* it answers here: nothing is left for the HTTP thread but to send */
    work(self);
    end_wait(self);
}

void request_lane(struct request *self, enum lane_kind kind, request_then_fn *work)
{
    begin_wait(self, work);
    if (lane_push(server_lane(self->server, kind), on_lane, self))
        return;
    self->then = NULL;
    problem_answer(self, 503, "busy", "%u long reads wait already", LANE_JOBS_MAX);
    end_wait(self);
}

/* --- answering --- */

static void begin_answer(struct request *self, uint32_t status, const char *content_type)
{
    CHECK(!self->answer.ready, "%s is answered twice",
          self->route != NULL ? self->route->path : self->method);
    self->answer.ready = true;
    self->answer.status = status;
    self->answer.content_type = content_type;
}

void answer_json(struct request *self, uint32_t status, json_t *json)
{
    CHECK(json != NULL, "no JSON to answer with");
    begin_answer(self, status, "application/json; charset=utf-8");
    self->answer.json = json;
}

void answer_raw(struct request *self, uint32_t status, const char *content_type, struct bytes *raw)
{
    begin_answer(self, status, content_type);
    bytes_done(&self->answer.raw);
    self->answer.raw = *raw;
    bytes_init(raw, 0);
}

void answer_static(struct request *self, uint32_t status, const char *content_type, struct span text)
{
    begin_answer(self, status, content_type);
    self->answer.fixed = text;
}

void answer_descriptor(struct request *self, uint32_t status, const char *content_type, int fd,
                       uint64_t offset, uint64_t bytes)
{
    begin_answer(self, status, content_type);
    self->answer.fd = fd;
    self->answer.fd_offset = offset;
    self->answer.fd_bytes = bytes;
}

void answer_stream(struct request *self, struct MHD_Response *stream)
{
    begin_answer(self, 200, EVENTS_CONTENT_TYPE);
    self->answer.stream = stream;
}

void answer_header(struct request *self, const char *name, const char *value)
{
    CHECK(self->answer.header_count < ANSWER_HEADERS_MAX, "too many headers at %s", name);
    self->answer.headers[self->answer.header_count++] =
        (struct answer_header){name, arena_text(&self->arena, value, strlen(value))};
}

static int append_dump(const char *text, size_t length, void *context)
{
    struct bytes *out = context;
    bytes_append(out, text, length);
    return out->overflow ? -1 : 0;
}

/* The body as text. A JSON answer past the bound becomes a refusal: whoever asked learns why. */
static void render(struct request *self, struct bytes *text)
{
    struct answer *answer = &self->answer;
    if (answer->json == NULL) {
        bytes_append(text, answer->raw.data, answer->raw.length);
        return;
    }
    int failed = json_dump_callback(answer->json, append_dump, text, JSON_COMPACT | JSON_ENCODE_ANY);
    if (failed == 0 && !text->overflow) {
        bytes_append_text(text, "\n");
        return;
    }
    json_decref(answer->json);
    answer->json = NULL;
    answer->ready = false;
    problem_answer(self, 500, "too_big", "the answer is longer than %u bytes; ask for less at a time",
                   ANSWER_BYTES_MAX);
    bytes_done(text);
    bytes_init(text, 0);
    failed = json_dump_callback(answer->json, append_dump, text, JSON_COMPACT);
    CHECK(failed == 0, "a problem can't be written");
}

static struct MHD_Response *make_response(struct request *self)
{
    struct answer *answer = &self->answer;
    if (answer->stream != NULL) {
        struct MHD_Response *response = answer->stream;
        answer->stream = NULL;
        return response;
    }
    if (answer->fd >= 0) {
        struct MHD_Response *response =
            MHD_create_response_from_fd_at_offset64(answer->fd_bytes, answer->fd, answer->fd_offset);
        if (response != NULL)
            answer->fd = -1; /* the response's now */
        return response;
    }
    if (answer->fixed.data != NULL)
        return MHD_create_response_from_buffer(answer->fixed.bytes, (void *)(uintptr_t)answer->fixed.data,
                                               MHD_RESPMEM_PERSISTENT);
    struct bytes text;
    bytes_init(&text, ANSWER_BYTES_MAX);
    render(self, &text);
    size_t length = 0;
    void *data = bytes_take(&text, &length);
    struct MHD_Response *response = MHD_create_response_from_buffer(length, data, MHD_RESPMEM_MUST_FREE);
    if (response == NULL)
        free(data);
    return response;
}

static void add_number(struct MHD_Response *response, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, value);
    MHD_add_response_header(response, name, text);
}

static void add_headers(struct request *self, struct MHD_Response *response)
{
    struct answer *answer = &self->answer;
    if (answer->index == 0 || answer->term == 0) {
        struct service_status *node = arena_new(&self->arena, sizeof(*node));
        service_status(self->service, node);
        answer->index = answer->index != 0 ? answer->index : node->consensus.applied_index;
        answer->term = answer->term != 0 ? answer->term : node->consensus.term;
    }
    if (answer->content_type != NULL)
        MHD_add_response_header(response, "Content-Type", answer->content_type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    add_number(response, "X-Autonomy-Index", answer->index);
    add_number(response, "X-Autonomy-Term", answer->term);
    if (self->request_id[0] != '\0')
        MHD_add_response_header(response, "X-Request-Id", self->request_id);
    for (uint32_t i = 0; i < answer->header_count; i++)
        MHD_add_response_header(response, answer->headers[i].name, answer->headers[i].value);
    if (server_quiesced(self->server) || self->body_dropped)
        MHD_add_response_header(response, "Connection", "close");
}

enum MHD_Result answer_send(struct request *self)
{
    CHECK(self->answer.ready, "no answer to send");
    struct MHD_Response *response = make_response(self);
    if (response == NULL)
        return MHD_NO;
    add_headers(self, response);
    enum MHD_Result result = MHD_queue_response(self->connection, self->answer.status, response);
    MHD_destroy_response(response);
    return result;
}
