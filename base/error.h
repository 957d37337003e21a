/* What went wrong, where and with what values, in a sentence a person can act on.
 *
 * Every function that can fail returns an enum error_code and fills a caller's struct error. The code is for
 * programs, the message for people: "plan "p-7" is rolled_back; a terminal plan can't resume". */
#pragma once

#include <stdarg.h>

#define MUST_USE     __attribute__((warn_unused_result))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))

enum error_code {
    ERROR_OK = 0,
    ERROR_INVALID,     /* malformed or out of range; repeating it can't help */
    ERROR_TOO_BIG,     /* past a stated limit */
    ERROR_NOT_FOUND,   /* no such thing */
    ERROR_EXISTS,      /* there already, and it may not be replaced */
    ERROR_CONFLICT,    /* the state forbids it now */
    ERROR_BUSY,        /* a bounded queue is full; retry later, nothing was kept */
    ERROR_NOT_LEADER,  /* another node leads; the message names it when known */
    ERROR_UNAVAILABLE, /* no leader or no quorum; nothing happened */
    ERROR_UNKNOWN,     /* outcome unknown: it may still happen; retry with the same request id */
    ERROR_TIMEOUT,     /* a deadline passed */
    ERROR_DENIED,      /* not allowed */
    ERROR_IO,          /* the disk or a descriptor failed; final for what used it */
    ERROR_NO_SPACE,    /* the disk is full */
    ERROR_CORRUPT,     /* stored or received bytes are not what was written */
    ERROR_LOCKED,      /* somebody else holds it; the message names the holder */
    ERROR_CLOSED,      /* it is shutting down */
    ERROR_COUNT
};

#define ERROR_MESSAGE_BYTES 512

struct error {
    enum error_code code;
    char message[ERROR_MESSAGE_BYTES]; /* UTF-8, one sentence, never empty when code is set; cut, never
                                          overrun */
};

/** Fills `error` (may be NULL) and returns `code`, so that a failing function ends with `return
 * error_set(...)`. */
enum error_code error_set(struct error *error, enum error_code code, const char *format, ...) PRINTF(3, 4);
enum error_code error_setv(struct error *error, enum error_code code, const char *format, va_list arguments);

/** Puts "<text>: " before the message that is there. @return the code that is there. */
enum error_code error_prefix(struct error *error, const char *format, ...) PRINTF(2, 3);

/** The stable name of a code: "not_leader". Never NULL. */
const char *error_name(enum error_code code);
