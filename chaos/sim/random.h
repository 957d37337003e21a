/* Numbers from a seed, the same on every machine: splitmix64. Each user has a stream of its own, so that
 * leaving out a fault does not change what clients draw. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

static inline struct random random_of(uint64_t seed, uint64_t stream)
{
    return (struct random){seed * 0xd1342543de82ef95u + stream * 0x9e3779b97f4a7c15u + 1};
}

static inline uint64_t random_next(struct random *self)
{
    uint64_t z = (self->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/** 0 .. limit - 1; 0 for a limit of 0 */
static inline uint32_t random_below(struct random *self, uint32_t limit)
{
    return limit == 0 ? 0 : (uint32_t)((random_next(self) >> 16) % limit);
}

static inline uint32_t random_between(struct random *self, uint32_t least, uint32_t most)
{
    return least + random_below(self, most - least + 1);
}

static inline bool random_chance(struct random *self, uint32_t percent)
{
    return random_below(self, 100) < percent;
}

/** Every order of magnitude is as likely as the next: small numbers are not rare. */
static inline uint32_t random_scale(struct random *self, uint32_t least, uint32_t most)
{
    uint32_t high = least;

    while (high < most && random_below(self, 3) != 0)
        high = high > most / 2 ? most : high * 2;
    return random_between(self, least, high);
}
