/* A record with every type of field: what the tests and the fuzzing of schemas convert. */
#pragma once

#include "base/schema.h"

#define INTEGER_MAX ((1ULL << 53) - 1)

enum sample_kind { SAMPLE_SOAK, SAMPLE_MANUAL, SAMPLE_HEALTH };
static const char *const sample_kinds[] = {"time_soak", "manual", "health"};

struct sample_gate {
    uint32_t kind;
    uint64_t seconds;
};

static const struct field sample_gate_fields[] = {
    {.name = "kind",
     .type = FIELD_ENUM,
     .offset = offsetof(struct sample_gate, kind),
     .required = true,
     .names = sample_kinds,
     .names_count = 3},
    {.name = "seconds", .type = FIELD_U64, .offset = offsetof(struct sample_gate, seconds), .max = 31536000},
};
static const struct schema sample_gate_schema = SCHEMA("gate", struct sample_gate, sample_gate_fields);

struct sample_stage {
    const char *id;
    struct sample_gate *gates;
    size_t gate_count;
    bool open;
};

static const struct field sample_stage_fields[] = {
    {.name = "id", .type = FIELD_NAME, .offset = offsetof(struct sample_stage, id), .required = true},
    {.name = "gates",
     .type = FIELD_LIST,
     .offset = offsetof(struct sample_stage, gates),
     .count_offset = offsetof(struct sample_stage, gate_count),
     .max = 4,
     .schema = &sample_gate_schema},
    {.name = "open", .type = FIELD_BOOL, .offset = offsetof(struct sample_stage, open)},
};
static const struct schema sample_stage_schema = SCHEMA("stage", struct sample_stage, sample_stage_fields);

struct sample {
    const char *plan_id;
    const char *reason;
    uint64_t count;
    int64_t offset;
    int64_t narrow;
    uint64_t at;
    uint64_t wide;
    uint32_t kind;
    struct span hash;
    struct sample_gate gate;
    struct sample_stage *stages;
    size_t stage_count;
    const char **tags;
    size_t tag_count;
    struct field_pair *labels;
    size_t label_count;
    struct span value;
    bool yes;
    uint64_t secret;
};

#define SAMPLE(member) .name = #member, .offset = offsetof(struct sample, member)
static const struct field sample_fields[] = {
    {SAMPLE(plan_id), .type = FIELD_NAME, .required = true},
    {SAMPLE(reason), .type = FIELD_TEXT, .min = 3, .max = 20},
    {SAMPLE(count), .type = FIELD_U64, .min = 1, .max = 10000},
    {SAMPLE(offset), .type = FIELD_I64},
    {SAMPLE(narrow), .type = FIELD_I64, .min = (uint64_t)-5, .max = 5},
    {SAMPLE(at), .type = FIELD_TIME},
    {SAMPLE(wide), .type = FIELD_U64, .max = UINT64_MAX},
    {SAMPLE(kind), .type = FIELD_ENUM, .names = sample_kinds, .names_count = 3},
    {SAMPLE(hash), .type = FIELD_BLOB, .min = 2, .max = 32},
    {SAMPLE(gate), .type = FIELD_STRUCT, .schema = &sample_gate_schema},
    {SAMPLE(stages), .count_offset = offsetof(struct sample, stage_count), .type = FIELD_LIST, .max = 3,
     .schema = &sample_stage_schema},
    {SAMPLE(tags), .count_offset = offsetof(struct sample, tag_count), .type = FIELD_TEXTS, .max = 5},
    {SAMPLE(labels), .count_offset = offsetof(struct sample, label_count), .type = FIELD_MAP, .max = 5},
    {SAMPLE(value), .type = FIELD_VALUE, .max = 256},
    {SAMPLE(yes), .type = FIELD_BOOL, .omit_empty = true},
    {SAMPLE(secret), .type = FIELD_U64, .hidden = true},
};
static const struct schema sample_schema = SCHEMA("sample", struct sample, sample_fields);
