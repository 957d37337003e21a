/* What tests and the server's own files see of it beyond server.h. */
#pragma once

#include <stdint.h>

#include "node/http/lane.h"
#include "node/http/server.h"

struct lane *server_lane(struct http_server *self, enum lane_kind kind);
/** The document of GET /openapi.json. */
struct span server_openapi(const struct http_server *self);
/** Connections that were cut for being slow. */
uint64_t server_cut_total(const struct http_server *self);
