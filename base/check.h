/* Assertions that stay on in every build: a broken invariant stops the process before it can act on it.
 *
 * libraft's package is built with NDEBUG, so its own assertions don't stop anything; ours must. */
#pragma once

/** Writes "<file>:<line>: check failed: <condition>: <text>" to stderr and aborts. */
_Noreturn void check_failed(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/** CHECK(count <= capacity, "count %u of %u", count, capacity): the values are part of the message. */
#define CHECK(condition, ...)                                                                                \
    do {                                                                                                     \
        if (__builtin_expect(!(condition), 0))                                                               \
            check_failed(__FILE__, __LINE__, #condition, __VA_ARGS__);                                       \
    } while (0)

/** malloc, calloc, realloc and strdup that abort when memory ends: there is no state worth acting on then. */
void *memory_new(unsigned long bytes) __attribute__((malloc, returns_nonnull));
void *memory_zero(unsigned long count, unsigned long bytes) __attribute__((malloc, returns_nonnull));
void *memory_resize(void *old, unsigned long bytes) __attribute__((returns_nonnull));
char *text_copy(const char *text) __attribute__((malloc, returns_nonnull));
