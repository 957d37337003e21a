/* What routes read out of a request: its body as JSON, its path, its query arguments. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "node/http/request.h"

/** Parses the body (JSON or msgpack; an empty one is {}) into request->json and adds the path parameters to
 * it.
 * @return false: answered with 400, 415 or 422 */
bool body_read(struct request *request) MUST_USE;
/** The parsed body as a struct of `schema`, in the arena. @return NULL: answered with 422 or 413 */
void *body_take(struct request *request, const struct schema *schema) MUST_USE;
/** Refuses query arguments that the route doesn't take, and sets the deadline from ?timeout= or
 * X-Autonomy-Timeout-Ms.
 * @return false: answered with 422 */
bool query_check(struct request *request) MUST_USE;

/** Query arguments, as argument.c has them: what is absent is what holds otherwise, or leaves `out` as it is.
 * @return ERROR_INVALID naming argument and range */
enum error_code query_u64(struct request *request, const char *name, uint64_t *out,
                          struct error *error) MUST_USE;
/** One of its words, by position. */
enum error_code query_word(struct request *request, const char *name, uint32_t *out,
                           struct error *error) MUST_USE;
enum error_code query_bool(struct request *request, const char *name, bool *out,
                           struct error *error) MUST_USE;
enum error_code query_time(struct request *request, const char *name, uint64_t *out,
                           struct error *error) MUST_USE;
enum error_code query_duration(struct request *request, const char *name, uint64_t *out_ms,
                               struct error *error) MUST_USE;
/** `limit` and `cursor`, as request->parsed: a struct page. */
enum error_code query_page(struct request *request, struct error *error) MUST_USE;
