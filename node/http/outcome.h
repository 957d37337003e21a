/* The form in which an outcome crosses from one node to another: what POST /v1/internal/change and
 * /v1/internal/confirm answer. The side that answers (routes_internal.c) and the side that asks
 * (node/forward.c) both use it. */
#pragma once

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "node/service.h"

#define OUTCOME_CONTENT_TYPE "application/msgpack"

/** Room that an encoded outcome needs at most. */
#define OUTCOME_BYTES_MAX (2u * 1024u * 1024u)

void outcome_encode(const struct outcome *outcome, struct bytes *out);
/** @param out  its `body` is in the arena; written on success only
 * @return ERROR_CORRUPT naming the field */
enum error_code outcome_decode(struct span packed, struct arena *arena, struct outcome *out,
                               struct error *error) MUST_USE;
