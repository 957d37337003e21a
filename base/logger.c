#include "base/logger.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

#define LINE_BYTES_MAX 2048 /* under PIPE_BUF, so that one write stays one line in a pipe, too */

static _Atomic int level_max = LOGGER_INFO;
static bool to_journal;

/* stderr may be the journal's socket in the environment of who started us, and another file here. */
void logger_open(void)
{
    const char *named = getenv("JOURNAL_STREAM");
    char own[64];
    struct stat status;
    to_journal = false;
    if (!named || fstat(STDERR_FILENO, &status) != 0)
        return;
    snprintf(own, sizeof own, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    to_journal = strcmp(named, own) == 0;
}

const char *logger_prefix(enum logger_level level)
{
    static const char *const priorities[] = {"<3>", "<4>", "<6>", "<7>"}; /* syslog's */
    return to_journal ? priorities[level] : "";
}

void logger_level_set(enum logger_level level)
{
    atomic_store_explicit(&level_max, (int)level, memory_order_relaxed);
}

/* One event, one line: a value with a line break in it must not look like a second event. */
static void flatten(char *line, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7F)
            line[i] = ' ';
}

void logger_write(enum logger_level level, const char *module, const char *event, const char *format, ...)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    if ((int)level > atomic_load_explicit(&level_max, memory_order_relaxed))
        return;
    int saved_errno = errno;
    char line[LINE_BYTES_MAX], when[TIME_TEXT_BYTES];
    struct clock clock = clock_system();
    time_format(clock.wall_ms(clock.context), when);
    size_t room = sizeof(line) - 1; /* the last byte is the line's end */

    int head = snprintf(line, room, "%s%s %s %s %s", logger_prefix(level), when, names[level], module, event);
    size_t length = head < 0 ? 0 : (size_t)head < room ? (size_t)head : room - 1;
    if (format && format[0] && length + 1 < room) {
        line[length++] = ' ';
        va_list arguments;
        va_start(arguments, format);
        int rest = vsnprintf(line + length, room - length, format, arguments);
        va_end(arguments);
        length += rest < 0 ? 0 : (size_t)rest < room - length ? (size_t)rest : room - length - 1;
        if (rest <= 0)
            length--; /* nothing came: no blank at the end */
    }
    flatten(line, length);
    line[length++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, length);
    (void)written; /* nobody is left to tell */
    errno = saved_errno;
}

static bool needs_quotes(const char *value)
{
    if (!value[0])
        return true;
    for (const unsigned char *c = (const unsigned char *)value; *c; c++)
        if (*c <= ' ' || *c == '"' || *c == '=' || *c == '\\' || *c == 0x7F)
            return true;
    return false;
}

/* One character as it stands between quotes: at most 4 bytes. */
static size_t escape(unsigned char c, char out[8])
{
    switch (c) {
    case '"':
    case '\\':
        return (size_t)snprintf(out, 8, "\\%c", c);
    case '\n':
        return (size_t)snprintf(out, 8, "\\n");
    case '\t':
        return (size_t)snprintf(out, 8, "\\t");
    default:
        if (c < ' ' || c == 0x7F)
            return (size_t)snprintf(out, 8, "\\x%02x", c);
        out[0] = (char)c;
        return 1;
    }
}

const char *logger_quote(const char *value, char *out, unsigned long out_bytes)
{
    if (out_bytes < 3) {
        if (out_bytes > 0)
            out[0] = '\0';
        return out;
    }
    if (!value)
        value = "";
    if (!needs_quotes(value)) {
        snprintf(out, out_bytes, "%s", value);
        return out;
    }
    size_t length = 0;
    out[length++] = '"';
    for (const char *c = value; *c; c++) {
        char piece[8];
        size_t bytes = escape((unsigned char)*c, piece);
        if (length + bytes + 2 > out_bytes)
            break;
        memcpy(out + length, piece, bytes);
        length += bytes;
    }
    out[length++] = '"';
    out[length] = '\0';
    return out;
}
