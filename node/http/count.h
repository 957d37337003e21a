/* Counts requests: relaxed atomics only, so that a request pays for two additions and no lock. */
#pragma once

#include <stdint.h>

#include "node/http/request.h"
#include "node/metrics.h"

struct http_count; /* made by http_count_new(), ended by http_count_free() */

struct http_count *http_count_new(void);
void http_count_free(struct http_count *self);
/** A request ended. @param complete  its answer left whole */
void http_count_request(struct http_count *self, struct request *request, bool complete);
void http_count_read(const struct http_count *self, struct metrics_http *out);

/** Everything that the server counts. */
void server_count(const struct http_server *self, struct metrics_http *out);
