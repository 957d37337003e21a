/* Random records of the sample schema, for the tests of schemas. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/limits.h"
#include "base/schema.h"
#include "support/sample_schema.h"

#define ARENA_BYTES (4u * 1024u * 1024u)
struct fixture {
    struct arena arena;
    struct bytes packed;
    struct error error;
    struct sample sample;
    uint64_t random;
};

static inline int set_up(void **state)
{
    struct fixture *self = calloc(1, sizeof *self);
    arena_init(&self->arena, ARENA_BYTES);
    bytes_init(&self->packed, 0);
    self->random = 20260102;
    *state = self;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *self = *state;
    arena_done(&self->arena);
    bytes_done(&self->packed);
    free(self);
    return 0;
}

static inline void assert_says(const struct error *error, const char *text)
{
    if (strstr(error->message, text) == NULL)
        fail_msg("\"%s\" doesn't say \"%s\"", error->message, text);
}

/* --- random records
 * ----------------------------------------------------------------------------------------------- */

static inline uint64_t random_next(struct fixture *self)
{
    uint64_t value = self->random += 0x9e3779b97f4a7c15ULL;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ULL;
    value = (value ^ value >> 27) * 0x94d049bb133111ebULL;
    return value ^ value >> 31;
}

static inline uint64_t random_below(struct fixture *self, uint64_t bound)
{
    return random_next(self) % bound;
}

/* Every width of integer is as likely as the next. */
static inline uint64_t random_number(struct fixture *self, uint64_t max)
{
    const uint64_t value = random_next(self) >> random_below(self, 64);
    return value > max ? max : value;
}

static inline char *random_text(struct fixture *self, size_t bytes_min, size_t bytes_max)
{
    static const char *const pieces[] = {"a",  "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x9a\x80",
                                         "\"", "\\",       "\n",           " "};
    struct bytes text;
    bytes_init(&text, 0);
    const size_t wanted = bytes_min + random_below(self, bytes_max - bytes_min + 1);
    while (text.length < wanted) {
        const char *piece = pieces[random_below(self, 8)];
        bytes_append_text(&text, text.length + strlen(piece) <= wanted ? piece : "z");
    }
    char *copy = arena_text(&self->arena, (const char *)text.data, text.length);
    bytes_done(&text);
    return copy;
}

static inline char *random_name(struct fixture *self)
{
    return arena_printf(&self->arena, "p-%llu", (unsigned long long)random_number(self, UINT64_MAX));
}

static inline struct sample_gate *random_gates(struct fixture *self, size_t count)
{
    struct sample_gate *gates = arena_new(&self->arena, (count + 1) * sizeof *gates);
    for (size_t i = 0; i < count; i++)
        gates[i] = (struct sample_gate){(uint32_t)random_below(self, 3), random_number(self, 31536000)};
    return gates;
}

static inline json_t *random_json(struct fixture *self, unsigned depth)
{
    json_t *json;
    switch (random_below(self, depth == 0 ? 6 : 8)) {
    case 0:
        return json_null();
    case 1:
        return json_boolean(random_below(self, 2));
    case 2:
        return json_integer((json_int_t)random_number(self, INT64_MAX));
    case 3:
        return json_integer(-(json_int_t)random_number(self, INT64_MAX));
    case 4:
        return json_real((double)random_number(self, UINT32_MAX) / 8);
    case 5:
        return json_string(random_text(self, 0, 12));
    case 6:
        json = json_array();
        for (uint64_t i = random_below(self, 4); i > 0; i--)
            json_array_append_new(json, random_json(self, depth - 1));
        return json;
    default:
        json = json_object();
        for (uint64_t i = random_below(self, 4); i > 0; i--)
            json_object_set_new(json, random_text(self, 0, 6), random_json(self, depth - 1));
        return json;
    }
}

static inline struct span random_value(struct fixture *self)
{
    struct bytes packed;
    json_t *json = random_json(self, 2);
    bytes_init(&packed, 0);
    assert_int_equal(value_from_json(json, &packed, &self->error), ERROR_OK);
    json_decref(json);
    struct span copy = {NULL, 0};
    if (packed.length > 1 && packed.length <= 256)
        copy = span_of(arena_text(&self->arena, (const char *)packed.data, packed.length), packed.length);
    bytes_done(&packed);
    return copy;
}

static inline void random_lists(struct fixture *self, struct sample *out)
{
    out->stage_count = random_below(self, 4);
    out->stages = arena_new(&self->arena, 4 * sizeof *out->stages);
    for (size_t i = 0; i < out->stage_count; i++) {
        out->stages[i].id = random_name(self);
        out->stages[i].gate_count = random_below(self, 5);
        out->stages[i].gates = random_gates(self, out->stages[i].gate_count);
        out->stages[i].open = random_below(self, 2);
    }
    out->tag_count = random_below(self, 6);
    out->tags = arena_new(&self->arena, 6 * sizeof *out->tags);
    for (size_t i = 0; i < out->tag_count; i++)
        out->tags[i] = random_text(self, 0, random_below(self, 8) == 0 ? 1024 : 9);
    out->label_count = random_below(self, 6);
    out->labels = arena_new(&self->arena, 6 * sizeof *out->labels);
    for (size_t i = 0; i < out->label_count; i++) /* the first bytes differ, and not in order */
        out->labels[i] =
            (struct field_pair){arena_printf(&self->arena, "%c%s", "dbeac"[i], random_text(self, 0, 9)),
                                random_text(self, 0, 40)};
}

/* A record within its bounds; about half of what may be absent is. */
static inline struct sample random_sample(struct fixture *self)
{
    struct sample out = {.plan_id = random_name(self)};
#define HALF if (random_below(self, 2) == 0)
    HALF out.reason = random_text(self, 3, 20);
    HALF out.count = 1 + random_below(self, 10000);
    HALF out.offset = (int64_t)random_number(self, INTEGER_MAX) * (random_below(self, 2) ? 1 : -1);
    HALF out.narrow = (int64_t)random_below(self, 11) - 5;
    HALF out.at = random_number(self, 253402300799999ULL);
    HALF out.wide = random_number(self, UINT64_MAX);
    HALF out.kind = (uint32_t)random_below(self, 3);
    HALF
    {
        const size_t bytes = 2 + random_below(self, 31);
        uint8_t *hash = arena_new(&self->arena, bytes);
        for (size_t i = 0; i < bytes; i++)
            hash[i] = (uint8_t)random_next(self);
        out.hash = span_of(hash, bytes);
    }
    HALF out.gate = *random_gates(self, 1);
    HALF random_lists(self, &out);
    HALF out.value = random_value(self);
    HALF out.yes = true;
#undef HALF
    return out;
}
