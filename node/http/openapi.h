/* GET /openapi.json: the interface as OpenAPI 3.0.3 describes one, made once at start of the tables that the
 * node works by: routes.c, argument.c, the commands' and answers' field tables, the codes of problems. */
#pragma once

#include "base/bytes.h"
#include "node/http/request.h"

extern const struct schema openapi_shape;

/** Appends the document. @param version  of this build */
void openapi_write(const char *version, uint32_t body_bytes_max, struct bytes *out);
void openapi_show(struct request *request);
