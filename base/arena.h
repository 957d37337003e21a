/* Memory that is released all at once: what decoding one command or rendering one answer needs. */
#pragma once

#include <stddef.h>

struct arena_block;
struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used;                /* bytes handed out */
    size_t used_max;            /* past it arena_new aborts: callers bound their input first */
};

void arena_init(struct arena *self, size_t used_max);
void arena_done(struct arena *self);  /* frees everything */
void arena_clear(struct arena *self); /* keeps one block for the next round */
/** Zeroed, aligned for any type. Never NULL. */
void *arena_new(struct arena *self, size_t bytes) __attribute__((returns_nonnull));
char *arena_text(struct arena *self, const char *text, size_t length) __attribute__((returns_nonnull));
char *arena_printf(struct arena *self, const char *format, ...) __attribute__((format(printf, 2, 3)));
