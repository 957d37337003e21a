/* A server on a port of its own over a service_fake with a fresh state, and short ways to ask it. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "node/http/server.h"
#include "tests/support/http_client.h"
#include "tests/support/service_fake.h"

struct http_fixture {
    char folder[64];
    struct service *service;
    struct http_server *server;
    uint16_t port;
};

/** @param options  NULL: small defaults; service and address are filled in */
struct http_fixture *http_fixture_new(const struct http_options *options);
/** Stops in the order that the node does, and removes the folder. */
void http_fixture_free(struct http_fixture *self);

struct http_answer fixture_get(struct http_fixture *self, const char *path);
/** @param body  JSON text, NULL: none */
struct http_answer fixture_send(struct http_fixture *self, const char *method, const char *path,
                                const char *body);
struct http_answer fixture_send_as(struct http_fixture *self, const char *method, const char *path,
                                   const char *headers, const char *body);

/** A member by its way, "members.0.name"; the result is borrowed, "" where there is none. Numbers as decimal
 * text. */
const char *json_text_at(const json_t *json, const char *way);

/** Fails unless the answer is a problem with this status and code, complete as RFC 9457 and interface.md want
 * it. Releases it. */
void assert_problem(struct http_answer *answer, int status, const char *code);
/** The same; the detail must contain `words`. */
void assert_problem_says(struct http_answer *answer, int status, const char *code, const char *words);
/** Fails unless the status is this one; says what the server said. */
void assert_status(const struct http_answer *answer, int status);

/** A plan of two stages: canary (5 %, with a manual gate) and all. */
#define PLAN_BODY(id)                                                                                        \
    "{\"plan_id\":\"" id "\",\"artifact\":{\"name\":\"checkout\",\"version\":\"2.4.1\","                     \
    "\"previous_version\":\"2.4.0\"},\"stages\":[{\"stage_id\":\"canary\",\"target\":{\"percent\":5},"       \
    "\"gates\":[{\"kind\":\"manual\"}]},{\"stage_id\":\"all\",\"target\":{\"percent\":100}}],"               \
    "\"reason\":\"release\"}"
/** Creates and publishes it. */
void fixture_publish_plan(struct http_fixture *self, const char *body);
