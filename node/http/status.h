/* Pieces of JSON about this node and its cluster that several routes show. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "node/http/request.h"

/** What the loop last published; in the request's arena. The answer's index and term are taken from it. */
struct service_status *status_take(struct request *request);
/** It leads and has taken office: what the runbooks call holding the session lock. */
bool status_leads(const struct service_status *node);
/** A member's name, or 16 hex digits while none is known. */
const char *status_name(struct request *request, const struct service_status *node, uint64_t node_id);
json_t *status_text(const char *text); /* null for "" and NULL */
json_t *status_time(uint64_t wall_ms); /* RFC 3339; null for 0 */
json_t *status_u64(uint64_t value);    /* null for UINT64_MAX */
json_t *status_members(struct request *request, const struct service_status *node);
