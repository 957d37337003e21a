/* Whole nodes for a test: each a process of its own (libraft keeps texts in static memory, so two loops in
 * one would race), on loopback, with its data in a folder that goes with the test. Ports are asked of the
 * system, so that tests can run beside each other. A node's log lines go to <folder>/<name>.log. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "base/error.h"
#include "node/config.h"
#include "node/node.h"

struct test_node {
    char folder[128], yaml[2048], url[64];
    struct config config;
    pid_t pid;
    bool running;
    int code;           /* of its exit, after it ended; 128 + the signal that ended it */
    struct error error; /* what node_run() said */
};

/** A fresh folder for one test. */
void test_folder_make(char out[64]);
void test_folder_remove(const char *folder);
/** A port that nobody uses now. */
unsigned test_port(void);
void test_sleep_ms(unsigned ms);

/** Writes the configuration of node `name` below `folder`; it doesn't start. @param more  YAML lines, e.g.
 * "bootstrap: true\n" */
void test_node_configure(struct test_node *self, const char *folder, const char *name, const char *more);
/** Starts it and returns at once. */
void test_node_begin(struct test_node *self);
/** The same, and waits until it serves; fails the test when it ends instead. */
void test_node_start(struct test_node *self);
/** kill -9, if it runs. */
void test_node_kill(struct test_node *self);
/** SIGTERM, if it runs. @return its exit code */
int test_node_stop(struct test_node *self);
/** Waits until it ends by itself. */
int test_node_wait(struct test_node *self);
void test_node_done(struct test_node *self);

/** One request. @param headers  lines, NULL-terminated, or NULL  @param out  the answer's JSON; NULL when
 * there was none
 * @return the status; 0 when nobody answered */
unsigned test_request(const char *method, const char *url, const char *path, const char *body,
                      const char *const *headers, json_t **out);
/** POST of bytes: what one node sends another. */
unsigned test_post_bytes(const char *url, const char *path, const void *body, size_t bytes);
/** Repeats GET `path` until `check` holds, for at most 30 s; fails the test otherwise. */
void test_await(const char *url, const char *path, bool (*check)(const json_t *json, const void *context),
                const void *context);
/** write_ready of /v1/ha/status */
bool test_is_leader(const json_t *json, const void *context);
/** How many voters /v1/ha/status lists as reachable: `context` points at the number wanted. */
bool test_has_voters(const json_t *json, const void *context);
