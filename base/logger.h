/* One line an event, on stderr: `2026-01-02T03:04:05.678Z info consensus elected term=4 node=n1`.
 *
 * logfmt: a person reads it, a machine splits it, journald keeps it. Values with blanks or quotes are quoted
 * and escaped; a line is cut at 2 KiB, never torn: it is written with one write(2). Safe from any thread. */
#pragma once

#include <stdarg.h>

enum logger_level { LOGGER_ERROR, LOGGER_WARN, LOGGER_INFO, LOGGER_DEBUG };

/** Looks whether stderr is the journal (JOURNAL_STREAM names it): then each line begins with `<3>` and the
 * like, which the journal takes for the line's priority. To be called before other threads are there. */
void logger_open(void);
/** "<3>" and the like where the journal listens, else "": for lines that are written without the logger. */
const char *logger_prefix(enum logger_level level);
void logger_level_set(enum logger_level level);
/** @param module  "wire"; @param event  what happened, a few words; the rest is printf for `key=value
 * key=value`. */
void logger_write(enum logger_level level, const char *module, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define log_error(module, event, ...) logger_write(LOGGER_ERROR, module, event, __VA_ARGS__)
#define log_warn(module, event, ...)  logger_write(LOGGER_WARN, module, event, __VA_ARGS__)
#define log_info(module, event, ...)  logger_write(LOGGER_INFO, module, event, __VA_ARGS__)
#define log_debug(module, event, ...) logger_write(LOGGER_DEBUG, module, event, __VA_ARGS__)

/** For %s inside a format: quotes and escapes `value` when it needs it. @return `out` */
const char *logger_quote(const char *value, char *out, unsigned long out_bytes);
