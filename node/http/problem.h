/* Errors as application/problem+json (RFC 9457): one table says which status and code each kind of error has.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "node/http/request.h"

#define PROBLEM_CONTENT_TYPE "application/problem+json"

/** Answers a problem.
 *
 * @param code    stable, for programs: "plan_terminal"
 * @param format  the detail: one sentence a person can act on */
void problem_answer(struct request *request, uint32_t status, const char *code, const char *format, ...)
    PRINTF(4, 5);
/** The same with more members, such as `phase` (stolen; NULL: none): they never replace the standard ones. */
void problem_members(struct request *request, uint32_t status, const char *code, const char *detail,
                     json_t *members);
/** Answers for an error of the service, a view or a check: status and code from the table. */
void problem_error(struct request *request, const struct error *error);
struct problem_code {
    const char *code;
    uint32_t status;
};
/** Every code that a problem may have, from 0; a code may be there with several statuses. @return false: past
 * the last */
bool problem_code_at(uint32_t position, struct problem_code *out);
/** The table's status for an error code. */
uint32_t problem_status(enum error_code code);
