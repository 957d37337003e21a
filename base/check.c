#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void check_failed(const char *file, int line, const char *condition, const char *format, ...)
{
    char text[1024]; /* one write, so that threads and pipes don't tear it */
    va_list arguments;
    int length = snprintf(text, sizeof(text) - 1, "%s:%d: check failed: %s: ", file, line, condition);
    size_t used = length < 0 ? 0 : (size_t)length < sizeof(text) - 1 ? (size_t)length : sizeof(text) - 2;
    va_start(arguments, format);
    vsnprintf(text + used, sizeof(text) - 1 - used, format, arguments);
    va_end(arguments);
    used = strlen(text);
    text[used++] = '\n';
    ssize_t written = write(STDERR_FILENO, text, used);
    (void)written; /* the abort says enough */
    abort();
}

void *memory_new(unsigned long bytes)
{
    void *memory = malloc(bytes ? bytes : 1);
    CHECK(memory, "out of memory: %lu bytes wanted", bytes);
    return memory;
}

void *memory_zero(unsigned long count, unsigned long bytes)
{
    void *memory = calloc(count ? count : 1, bytes ? bytes : 1); /* refuses what overflows */
    CHECK(memory, "out of memory: %lu x %lu bytes wanted", count, bytes);
    return memory;
}

void *memory_resize(void *old, unsigned long bytes)
{
    void *memory = realloc(old, bytes ? bytes : 1);
    CHECK(memory, "out of memory: %lu bytes wanted", bytes);
    return memory;
}

char *text_copy(const char *text)
{
    CHECK(text, "no text to copy");
    size_t length = strlen(text) + 1;
    return memcpy(memory_new(length), text, length);
}
