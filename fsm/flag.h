/* Flags: live settings with a safe default. Five are built in; they need no definition and can't be
 * redefined.
 *
 * What a flag evaluates to: its safe value while an active kill switch covers it (DISABLED), else what was
 * set (STATIC), else its default (DEFAULT). The flag DISABLE_NEW is the switch of that name: its value tells
 * whether the switch is active, setting it to 1 activates the switch, and only the switch's reset brings it
 * back to 0. No switch covers it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/schema.h"
#include "fsm/view.h"

struct apply;

#define FLAGS_MAX            4096u
#define FLAG_CHANGES_MAX     64u    /* of one flags.set */
#define FLAG_VALUE_BYTES_MAX 16384u /* one value, packed */
#define FLAG_TEXT_BYTES_MAX  1024u  /* a description */
#define FLAG_DISABLE_NEW     "DISABLE_NEW"

enum flag_type { FLAG_BOOL, FLAG_STRING, FLAG_INTEGER, FLAG_OBJECT, FLAG_TYPE_COUNT };
enum flag_reason { FLAG_STATIC, FLAG_DEFAULT, FLAG_DISABLED };
extern const char *const flag_type_names[FLAG_TYPE_COUNT];
extern const char *const flag_reason_names[3];

struct flag { /* key 'f' */
    const char *key;
    uint32_t type;
    struct span value;          /* what was set; bytes 0: nothing */
    struct span fallback, safe; /* fallback: the default */
    const char *description;
    uint64_t version; /* from 1; rises with every definition and setting */
    const char *actor, *reason;
    uint64_t updated_ms;
    bool built_in;
};

struct flag_evaluation {
    struct flag flag;
    struct span value;
    enum flag_reason reason;
    const char *switch_name; /* with FLAG_DISABLED */
};

struct flag_define {
    const char *key;
    uint32_t type;
    struct span fallback, safe;
    const char *description, *reason;
};
struct flag_change {
    const char *key;
    struct span value;
    uint64_t expected_version; /* 0: any */
};
struct flag_set {
    const char *key;
    struct span value;
    const char *reason;
    uint64_t expected_version;
};
struct flags_set {
    struct flag_change *changes;
    size_t change_count;
    const char *reason;
};

extern const struct schema flag_schema, flag_define_schema, flag_set_schema, flags_set_schema;

/** @return false: there is no such flag, built in or defined */
bool flag_read(struct reader reader, const char *key, struct arena *arena, struct flag *out);
bool flag_built_in(const char *key);
/** NULL past the last, in key order. */
const char *flag_built_in_at(size_t position);
/** What holds now. @return false as flag_read() */
bool flag_evaluate(struct reader reader, const char *key, struct arena *arena, struct flag_evaluation *out);
/** {key, type, value, stored, default, safe, version, reason, switch, index, description, built_in,
 * changed_by, changed_at, change_reason}: a new reference. @param index  of the state it was read from */
struct json_t *flag_json(const struct flag_evaluation *evaluation, uint64_t index);
