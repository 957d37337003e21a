#include "tests/support/http_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/disk.h"

struct http_fixture *http_fixture_new(const struct http_options *options)
{
    struct error error = {0};
    struct http_fixture *self = memory_zero(1, sizeof(*self));
    struct http_options own = options != NULL ? *options : (struct http_options){.write_timeout_ms = 20000};
    snprintf(self->folder, sizeof(self->folder), "/tmp/autonomy-http-XXXXXX");
    CHECK(mkdtemp(self->folder) != NULL, "mkdtemp %s", self->folder);
    char state[80];
    snprintf(state, sizeof(state), "%s/state.0", self->folder);
    self->service = service_fake_new(state);
    own.service = self->service;
    own.listen_address = "127.0.0.1:0";
    enum error_code code = http_server_open(&own, &self->server, &error);
    CHECK(code == ERROR_OK, "%s", error.message);
    self->port = http_server_port(self->server);
    return self;
}

void http_fixture_free(struct http_fixture *self)
{
    struct error error = {0};
    http_server_quiesce(self->server);
    service_fake_stop(self->service);
    http_server_close(self->server);
    service_fake_free(self->service);
    CHECK(disk_remove(self->folder, &error) == ERROR_OK, "%s", error.message);
    free(self);
}

struct http_answer fixture_get(struct http_fixture *self, const char *path)
{
    return http_call(self->port, "GET", path, NULL, NULL);
}

struct http_answer fixture_send(struct http_fixture *self, const char *method, const char *path,
                                const char *body)
{
    return http_call(self->port, method, path, "X-Autonomy-Operator: oncall\r\n", body);
}

struct http_answer fixture_send_as(struct http_fixture *self, const char *method, const char *path,
                                   const char *headers, const char *body)
{
    return http_call(self->port, method, path, headers, body);
}

const char *json_text_at(const json_t *json, const char *way)
{
    static _Thread_local char text[4096];
    while (json != NULL && *way != '\0') {
        char part[128];
        size_t length = strcspn(way, ".");
        snprintf(part, sizeof(part), "%.*s", (int)length, way);
        json = json_is_array(json) ? json_array_get(json, (size_t)atoi(part)) : json_object_get(json, part);
        way += length + (way[length] == '.' ? 1 : 0);
    }
    text[0] = '\0';
    if (json_is_string(json))
        snprintf(text, sizeof(text), "%s", json_string_value(json));
    else if (json_is_integer(json))
        snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(json));
    else if (json_is_boolean(json))
        snprintf(text, sizeof(text), "%s", json_is_true(json) ? "true" : "false");
    else if (json_is_null(json))
        snprintf(text, sizeof(text), "null");
    return text;
}

void assert_status(const struct http_answer *answer, int status)
{
    if (answer->status != status)
        print_error("the server said %d: %s\n", answer->status,
                    answer->body != NULL ? answer->body : "nothing");
    assert_int_equal(answer->status, status);
}

void assert_problem_says(struct http_answer *answer, int status, const char *code, const char *words)
{
    assert_status(answer, status);
    assert_string_equal(http_answer_header(answer, "Content-Type"),
                        "application/problem+json; charset=utf-8");
    assert_non_null(answer->json);
    assert_string_equal(json_text_at(answer->json, "code"), code);
    assert_int_equal(json_integer_value(json_object_get(answer->json, "status")), status);
    assert_true(strlen(json_text_at(answer->json, "title")) > 0);
    assert_true(strncmp(json_text_at(answer->json, "type"), "urn:autonomy:problem:", 21) == 0);
    assert_non_null(json_object_get(answer->json, "leader"));
    char request_id[160];
    snprintf(request_id, sizeof(request_id), "%s", json_text_at(answer->json, "request_id"));
    assert_true(strlen(request_id) > 0);
    assert_string_equal(http_answer_header(answer, "X-Request-Id"), request_id);
    if (status == 503)
        assert_string_equal(http_answer_header(answer, "Retry-After"), "1");
    const char *detail = json_text_at(answer->json, "detail");
    if (strstr(detail, words) == NULL)
        print_error("\"%s\" isn't in the detail: %s\n", words, detail);
    assert_non_null(strstr(detail, words));
    http_answer_done(answer);
}

void assert_problem(struct http_answer *answer, int status, const char *code)
{
    assert_problem_says(answer, status, code, "");
}

void fixture_publish_plan(struct http_fixture *self, const char *body)
{
    struct http_answer answer = fixture_send(self, "POST", "/v1/rollouts?publish=true", body);
    assert_status(&answer, 201);
    http_answer_done(&answer);
}
