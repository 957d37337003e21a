#include "base/error.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

static const char *const names[ERROR_COUNT] = {
    [ERROR_OK] = "ok",
    [ERROR_INVALID] = "invalid",
    [ERROR_TOO_BIG] = "too_big",
    [ERROR_NOT_FOUND] = "not_found",
    [ERROR_EXISTS] = "exists",
    [ERROR_CONFLICT] = "conflict",
    [ERROR_BUSY] = "busy",
    [ERROR_NOT_LEADER] = "not_leader",
    [ERROR_UNAVAILABLE] = "unavailable",
    [ERROR_UNKNOWN] = "unknown",
    [ERROR_TIMEOUT] = "timeout",
    [ERROR_DENIED] = "denied",
    [ERROR_IO] = "io",
    [ERROR_NO_SPACE] = "no_space",
    [ERROR_CORRUPT] = "corrupt",
    [ERROR_LOCKED] = "locked",
    [ERROR_CLOSED] = "closed",
};

/* A message that filled its room may end inside a UTF-8 character: the rest of that character goes. */
static void drop_torn_character(char *message)
{
    size_t length = strlen(message);
    size_t lead = length;
    while (lead > 0 && length - lead < 4 && ((unsigned char)message[lead - 1] & 0xC0) == 0x80)
        lead--;
    if (lead == 0)
        return;
    unsigned char first = (unsigned char)message[lead - 1];
    size_t wanted = first < 0x80 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
    if (length - (lead - 1) < wanted)
        message[lead - 1] = '\0';
}

enum error_code error_setv(struct error *error, enum error_code code, const char *format, va_list arguments)
{
    if (!error)
        return code;
    char text[ERROR_MESSAGE_BYTES]; /* apart: an argument may be error->message itself */
    int length = vsnprintf(text, sizeof(text), format, arguments);
    if (length >= (int)sizeof(text))
        drop_torn_character(text);
    if (!utf8_valid(text, strlen(text))) /* a text that a format cut short, or a name that was never one */
        utf8_mend(text);
    memcpy(error->message, text, strlen(text) + 1);
    if (error->message[0] == '\0')
        snprintf(error->message, sizeof(error->message), "%s", error_name(code));
    error->code = code;
    return code;
}

enum error_code error_set(struct error *error, enum error_code code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_setv(error, code, format, arguments);
    va_end(arguments);
    return code;
}

enum error_code error_prefix(struct error *error, const char *format, ...)
{
    char text[ERROR_MESSAGE_BYTES];
    va_list arguments;
    if (!error)
        return ERROR_UNKNOWN;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return error_set(error, error->code, "%s: %s", text, error->message);
}

const char *error_name(enum error_code code)
{
    return (unsigned)code < ERROR_COUNT ? names[code] : "invalid_code";
}
