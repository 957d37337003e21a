#include "chaos/check/table.h"

#include <stdlib.h>

#include "base/check.h"

#define SLOTS_MIN 64u

uint64_t table_mix(uint64_t number)
{
    number += 0x9e3779b97f4a7c15ull; /* splitmix64 */
    number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9ull;
    number = (number ^ number >> 27) * 0x94d049bb133111ebull;
    return number ^ number >> 31;
}

void table_init(struct table *self)
{
    *self = (struct table){.slots = memory_zero(SLOTS_MIN, sizeof *self->slots), .slot_count = SLOTS_MIN};
}

void table_done(struct table *self)
{
    free(self->slots);
    *self = (struct table){0};
}

static struct table_slot *find(const struct table *self, uint64_t key)
{
    size_t slot = table_mix(key) & (self->slot_count - 1);
    while (self->slots[slot].used && self->slots[slot].key != key)
        slot = (slot + 1) & (self->slot_count - 1);
    return &self->slots[slot];
}

static void grow(struct table *self)
{
    struct table_slot *old = self->slots;
    const size_t old_count = self->slot_count;
    self->slot_count *= 2;
    self->slots = memory_zero(self->slot_count, sizeof *self->slots);
    for (size_t i = 0; i < old_count; i++)
        if (old[i].used)
            *find(self, old[i].key) = old[i];
    free(old);
}

bool table_put(struct table *self, uint64_t key, uint64_t value, uint64_t *there)
{
    struct table_slot *slot = find(self, key);
    if (slot->used) {
        if (there != NULL)
            *there = slot->value;
        return false;
    }
    *slot = (struct table_slot){key, value, true};
    if (++self->count * 2 > self->slot_count)
        grow(self);
    return true;
}

bool table_get(const struct table *self, uint64_t key, uint64_t *value)
{
    const struct table_slot *slot = find(self, key);
    if (slot->used)
        *value = slot->value;
    return slot->used;
}

void table_set(struct table *self, uint64_t key, uint64_t value)
{
    if (!table_put(self, key, value, NULL))
        find(self, key)->value = value;
}
