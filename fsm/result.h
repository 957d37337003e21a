/* Why a command was refused: one table, from which HTTP takes its status and `code`, and the documents their
 * list. */
#pragma once

#include <stdint.h>

/* X(code, name, HTTP status): the numbers are stored with remembered requests, so rows are only added at the
 * end. */
#define RESULT_CODES(X)                                                                                      \
    X(RESULT_OK, "ok", 200)                                                                                  \
    X(RESULT_CREATED, "created", 201)                                                                        \
    X(RESULT_INVALID, "invalid_field", 422)                                                                  \
    X(RESULT_PLAN_NOT_FOUND, "plan_not_found", 404)                                                          \
    X(RESULT_STAGE_NOT_FOUND, "stage_not_found", 404)                                                        \
    X(RESULT_PLAN_EXISTS, "plan_exists", 409)                                                                \
    X(RESULT_PLAN_TERMINAL, "plan_terminal", 409)                                                            \
    X(RESULT_PLAN_PHASE, "plan_phase", 409)         /* a transition its phase doesn't allow */               \
    X(RESULT_PLAN_ACTIVATED, "plan_activated", 409) /* cancel with activated nodes: use recover rollback */  \
    X(RESULT_STAGE_PHASE, "stage_phase", 409)                                                                \
    X(RESULT_STAGE_HALTED, "stage_halted", 409)                                                              \
    X(RESULT_GATE_NOT_FOUND, "gate_not_found", 404)                                                          \
    X(RESULT_NO_MANUAL_GATE, "no_manual_gate", 409)                                                          \
    X(RESULT_NODE_STATE, "node_state", 409)                                                                  \
    X(RESULT_PREVIEW_STALE, "preview_stale", 409)                                                            \
    X(RESULT_MONITOR_UNSUPPORTED, "monitor_unsupported", 422)                                                \
    X(RESULT_NOT_ORCHESTRATED, "not_orchestrated", 422)                                                      \
    X(RESULT_FLAG_NOT_FOUND, "flag_not_found", 404)                                                          \
    X(RESULT_FLAG_TYPE, "flag_type", 422)                                                                    \
    X(RESULT_VERSION_MISMATCH, "version_mismatch", 409)                                                      \
    X(RESULT_USE_RESET, "use_reset", 409)                                                                    \
    X(RESULT_FLAG_BUILT_IN, "flag_built_in", 409)                                                            \
    X(RESULT_SWITCH_NOT_FOUND, "kill_switch_not_found", 404)                                                 \
    X(RESULT_SWITCH_ACTIVE, "kill_switch_active", 409)                                                       \
    X(RESULT_SWITCH_INACTIVE, "kill_switch_inactive", 409)                                                   \
    X(RESULT_APPROVER, "approver_is_actor", 409)                                                             \
    X(RESULT_UNHEALTHY, "unhealthy", 409)                                                                    \
    X(RESULT_REQUEST_REUSED, "request_reused", 422) /* the same request id with another body */              \
    X(RESULT_REQUESTS_FULL, "requests_full", 503)                                                            \
    X(RESULT_MEMBER_NOT_FOUND, "member_not_found", 404)                                                      \
    X(RESULT_MEMBER_NAME, "member_name_taken", 409)                                                          \
    X(RESULT_MEMBER_REMOVED, "member_removed", 409)                                                          \
    X(RESULT_TERM_STALE, "term_stale", 409) /* a leader's command of a term that has passed */               \
    X(RESULT_TOO_MANY, "too_many", 422)                                                                      \
    X(RESULT_FAILOVER_OPEN, "failover_open", 409) /* one was asked for and has no outcome yet */             \
    X(RESULT_ACTION_NOT_FOUND, "action_not_found", 404)

#define RESULT_ENUM(code, name, status) code,
enum result_code { RESULT_CODES(RESULT_ENUM) RESULT_COUNT };
#undef RESULT_ENUM

const char *result_name(uint32_t code); /* "plan_terminal"; "unknown" past the table */
uint32_t result_status(uint32_t code);  /* HTTP */
static inline int result_succeeded(uint32_t code)
{
    return code == RESULT_OK || code == RESULT_CREATED;
}
