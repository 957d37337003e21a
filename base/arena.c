#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define ALIGNMENT       16u
#define BLOCK_BYTES_MIN 4096u
#define BLOCK_BYTES_MAX                                                                                      \
    262144u /* later blocks double up to this, so that many small pieces need few blocks */

struct arena_block {
    struct arena_block *next;
    size_t capacity;
    size_t used;
    _Alignas(ALIGNMENT) uint8_t data[];
};

void arena_init(struct arena *self, size_t used_max)
{
    *self = (struct arena){.used_max = used_max};
}

static void free_blocks(struct arena_block *block)
{
    while (block) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
}

void arena_done(struct arena *self)
{
    free_blocks(self->blocks);
    *self = (struct arena){.used_max = self->used_max};
}

void arena_clear(struct arena *self)
{
    self->used = 0;
    if (!self->blocks)
        return;
    free_blocks(self->blocks->next); /* the newest is the biggest so far, or made for one big piece */
    self->blocks->next = NULL;
    self->blocks->used = 0;
}

static struct arena_block *add_block(struct arena *self, size_t bytes)
{
    size_t capacity = BLOCK_BYTES_MIN;
    if (self->blocks && self->blocks->capacity < BLOCK_BYTES_MAX)
        capacity = self->blocks->capacity * 2;
    else if (self->blocks)
        capacity = BLOCK_BYTES_MAX;
    if (capacity < bytes)
        capacity = bytes;
    struct arena_block *block = memory_new(sizeof(*block) + capacity);
    block->next = self->blocks;
    block->capacity = capacity;
    block->used = 0;
    self->blocks = block;
    return block;
}

/* Room that is not zeroed. */
static void *take(struct arena *self, size_t bytes)
{
    CHECK(bytes <= self->used_max, "an arena of %zu bytes was asked for %zu", self->used_max, bytes);
    size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    CHECK(self->used <= self->used_max - bytes, "an arena of %zu bytes is full", self->used_max);
    struct arena_block *block = self->blocks;
    if (!block || rounded > block->capacity - block->used)
        block = add_block(self, rounded);
    void *room = block->data + block->used;
    block->used += rounded;
    self->used += bytes;
    return room;
}

void *arena_new(struct arena *self, size_t bytes)
{
    return memset(take(self, bytes), 0, bytes);
}

char *arena_text(struct arena *self, const char *text, size_t length)
{
    char *copy = take(self, length + 1);
    if (length > 0)
        memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *arena_printf(struct arena *self, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    CHECK(length >= 0, "format \"%s\"", format);
    char *text = take(self, (size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}
