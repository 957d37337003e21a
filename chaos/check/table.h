/* A hash table from numbers (or interned texts) to numbers, for the lookups of the checks. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table {
    struct table_slot {
        uint64_t key, value;
        bool used;
    } * slots;
    size_t slot_count, count;
};

void table_init(struct table *self);
void table_done(struct table *self);
/** @return false and the value that is there, when the key is */
bool table_put(struct table *self, uint64_t key, uint64_t value, uint64_t *there);
bool table_get(const struct table *self, uint64_t key, uint64_t *value);
/** Replaces. */
void table_set(struct table *self, uint64_t key, uint64_t value);

/** Mixes the bits of a number, so that close ones lie far apart. */
uint64_t table_mix(uint64_t number);
static inline uint64_t table_text(const char *interned)
{
    return (uint64_t)(uintptr_t)interned;
}
