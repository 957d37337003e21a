#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void check_failed(const char *file, int line, const char *condition, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "%s:%d: check failed: %s: ", file, line, condition);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    fflush(stderr);
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
