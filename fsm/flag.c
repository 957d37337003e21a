/* Flags: what is built in, reading, defining, setting. */
#include "fsm/flag.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "fsm/commands.h"
#include "fsm/flag_internal.h"
#include "fsm/kill_switch.h"

const char *const flag_type_names[FLAG_TYPE_COUNT] = {"bool", "string", "integer", "object"};
const char *const flag_reason_names[3] = {
    [FLAG_STATIC] = "STATIC", [FLAG_DEFAULT] = "DEFAULT", [FLAG_DISABLED] = "DISABLED"};

#define FIELD(type_name, member, field_name, field_type, ...)                                                \
    {                                                                                                        \
        .name = (field_name), .type = (field_type), .offset = offsetof(struct type_name, member),            \
        __VA_ARGS__                                                                                          \
    }
#define REASON(type_name) FIELD(type_name, reason, "reason", FIELD_TEXT, .max = REASON_BYTES_MAX)
#define TYPE(type_name)                                                                                      \
    FIELD(type_name, type, "type", FIELD_ENUM, .names = flag_type_names, .names_count = FLAG_TYPE_COUNT,     \
          .required = true)
#define VALUE(type_name, member, field_name, is_required)                                                    \
    FIELD(type_name, member, field_name, FIELD_VALUE, .required = (is_required), .max = FLAG_VALUE_BYTES_MAX)

static const struct field flag_fields[] = {
    FIELD(flag, key, "key", FIELD_NAME, .required = true),
    TYPE(flag),
    VALUE(flag, value, "value", false),
    VALUE(flag, fallback, "default", true),
    VALUE(flag, safe, "safe", true),
    FIELD(flag, description, "description", FIELD_TEXT, .max = FLAG_TEXT_BYTES_MAX),
    FIELD(flag, version, "version", FIELD_U64),
    FIELD(flag, actor, "actor", FIELD_TEXT, .max = PRINCIPAL_BYTES_MAX),
    REASON(flag),
    FIELD(flag, updated_ms, "updated_at", FIELD_TIME),
};
const struct schema flag_schema = SCHEMA("flag", struct flag, flag_fields);

static const struct field define_fields[] = {
    FIELD(flag_define, key, "key", FIELD_NAME, .required = true),
    TYPE(flag_define),
    VALUE(flag_define, fallback, "default", true),
    VALUE(flag_define, safe, "safe", false),
    FIELD(flag_define, description, "description", FIELD_TEXT, .max = FLAG_TEXT_BYTES_MAX),
    REASON(flag_define),
};
const struct schema flag_define_schema = SCHEMA("flag definition", struct flag_define, define_fields);

#define EXPECTED(type_name)                                                                                  \
    FIELD(type_name, expected_version, "expected_version", FIELD_U64, .min = 1,                              \
          .help = "refused when the flag has another")

static const struct field set_fields[] = {
    FIELD(flag_set, key, "key", FIELD_NAME, .required = true),
    VALUE(flag_set, value, "value", true),
    REASON(flag_set),
    EXPECTED(flag_set),
};
const struct schema flag_set_schema = SCHEMA("flag setting", struct flag_set, set_fields);

static const struct field change_fields[] = {
    FIELD(flag_change, key, "key", FIELD_NAME, .required = true),
    VALUE(flag_change, value, "value", true),
    EXPECTED(flag_change),
};
static const struct schema change_schema = SCHEMA("flag change", struct flag_change, change_fields);

static const struct field set_many_fields[] = {
    FIELD(flags_set, changes, "changes", FIELD_LIST, .count_offset = offsetof(struct flags_set, change_count),
          .schema = &change_schema, .required = true, .min = 1, .max = FLAG_CHANGES_MAX),
    REASON(flags_set),
};
const struct schema flags_set_schema = SCHEMA("flag settings", struct flags_set, set_many_fields);

/* --- reading --- */

struct built_in_flag {
    const char *key;
    enum flag_type type;
    const char *text; /* of a string flag */
    bool on;          /* of a bool */
    const char *description;
};

static const struct built_in_flag built_in[] = {
    {"CONSENSUS_ENGINE", FLAG_BOOL, NULL, true, "The consensus engine takes part in decisions."},
    {FLAG_DISABLE_NEW, FLAG_BOOL, NULL, false, "The kill switch over all flags; 1 activates it."},
    {"PROMPT_MODE", FLAG_STRING, "compact", false, "How prompts are built."},
    {"RESEARCH_LAYER", FLAG_BOOL, NULL, true, "The research layer takes part in decisions."},
    {"SANDBOX_MODE", FLAG_STRING, "none", false, "How work is isolated."},
};
#define BUILT_IN_COUNT (sizeof built_in / sizeof built_in[0])

static const struct built_in_flag *find_built_in(const char *key)
{
    for (size_t i = 0; i < BUILT_IN_COUNT; i++)
        if (strcmp(built_in[i].key, key) == 0)
            return &built_in[i];
    return NULL;
}

bool flag_built_in(const char *key)
{
    return find_built_in(key) != NULL;
}

const char *flag_built_in_at(size_t position)
{
    return position < BUILT_IN_COUNT ? built_in[position].key : NULL;
}

static struct store_key flag_key(const char *key)
{
    return store_key1('f', span_text(key));
}

/* The switch of that name is where its value lives. */
static void read_disable_new(struct reader reader, struct arena *arena, struct flag *out)
{
    struct kill_switch self;
    if (!kill_switch_read(reader, FLAG_DISABLE_NEW, arena, &self))
        return; /* it is built in: only after a read error, which the reader keeps */
    out->version = self.version;
    out->actor = self.active ? self.activated_by : self.reset_by;
    out->reason = self.active ? self.activate_reason : self.reset_reason;
    out->updated_ms = self.active ? self.activated_ms : self.reset_ms;
    if (self.active)
        out->value = flag_value_bool(arena, true);
}

bool flag_read(struct reader reader, const char *key, struct arena *arena, struct flag *out)
{
    const struct store_key stored = flag_key(key);
    const struct built_in_flag *row = find_built_in(key);
    if (reader_get_record(reader, &stored, &flag_schema, arena, out)) {
        out->built_in = row != NULL;
        return true;
    }
    if (row == NULL)
        return false;
    *out = (struct flag){
        .key = row->key, .type = row->type, .description = row->description, .version = 1, .built_in = true};
    out->fallback =
        row->type == FLAG_BOOL ? flag_value_bool(arena, row->on) : flag_value_string(arena, row->text);
    out->safe = out->fallback;
    if (strcmp(key, FLAG_DISABLE_NEW) == 0)
        read_disable_new(reader, arena, out);
    return true;
}

bool flag_evaluate(struct reader reader, const char *key, struct arena *arena, struct flag_evaluation *out)
{
    *out = (struct flag_evaluation){0};
    if (!flag_read(reader, key, arena, &out->flag))
        return false;
    const struct flag *flag = &out->flag;
    if (kill_switch_covering(reader, key, arena, &out->switch_name)) {
        out->reason = FLAG_DISABLED;
        out->value = flag->safe;
    } else {
        out->reason = flag->value.bytes != 0 ? FLAG_STATIC : FLAG_DEFAULT;
        out->value = flag->value.bytes != 0 ? flag->value : flag->fallback;
    }
    return true;
}

/* --- defining --- */

static void record(struct apply *apply, const char *event_name, const char *action, const struct flag *flag,
                   struct field_pair *fields, size_t field_count)
{
    const struct audit_record record = {
        .category = AUDIT_FLAGS,
        .outcome = AUDIT_SUCCESS,
        .event_name = event_name,
        .action = action,
        .reason = flag->reason,
        .resource_type = "flag",
        .resource = flag->key,
        .fields = fields,
        .field_count = field_count,
    };
    apply_record(apply, &record);
}

static void save(struct apply *apply, struct flag *flag, const char *reason)
{
    const struct store_key key = flag_key(flag->key);
    flag->version++;
    flag->actor = apply->principal;
    flag->reason = reason;
    flag->updated_ms = apply->time_ms;
    store_put_record(apply->store, &key, &flag_schema, flag);
}

static bool count_key(void *context, struct span key, struct span value)
{
    uint32_t *count = context;
    (void)key;
    (void)value;
    return ++*count < FLAGS_MAX;
}

static bool check_value(struct apply *apply, const struct flag *flag, const char *field, struct span given,
                        struct span *out)
{
    const char *problem;
    if (flag_value_check(flag->type, given, apply->arena, out, &problem))
        return true;
    apply_refuse_with(apply, RESULT_FLAG_TYPE, "type", flag_type_names[flag->type], "%s of flag \"%s\": %s",
                      field, flag->key, problem);
    return false;
}

static bool check_definition(struct apply *apply, const struct flag_define *request, bool exists,
                             const struct flag *existing)
{
    uint32_t count = 0;
    if (flag_built_in(request->key)) {
        apply_refuse(apply, RESULT_FLAG_BUILT_IN, "flag \"%s\" is built in and can't be redefined",
                     request->key);
        return false;
    }
    if (exists && existing->type != request->type) {
        apply_refuse_with(apply, RESULT_FLAG_TYPE, "type", flag_type_names[existing->type],
                          "flag \"%s\" is of type %s and stays so; define another one", request->key,
                          flag_type_names[existing->type]);
        return false;
    }
    const struct store_key all = flag_key("");
    if (!exists)
        store_scan(apply->store, &all, false, count_key, &count);
    if (count >= FLAGS_MAX) {
        apply_refuse(apply, RESULT_TOO_MANY, "there are %u flags, and no more may be defined", FLAGS_MAX);
        return false;
    }
    return true;
}

static void answer_flag(struct apply *apply, const char *key)
{
    struct flag_evaluation evaluation;
    if (flag_evaluate(apply_reader(apply), key, apply->arena,
                      &evaluation)) /* else a read error, which the store keeps */
        flag_pack(&evaluation, apply->index, apply_answer(apply));
}

static void define(struct apply *apply, const void *body)
{
    const struct flag_define *request = body;
    struct flag flag = {0};
    const bool exists = flag_read(apply_reader(apply), request->key, apply->arena, &flag);
    if (!check_definition(apply, request, exists, &flag))
        return;
    flag.key = request->key;
    flag.type = request->type;
    flag.description = request->description;
    if (!check_value(apply, &flag, "default", request->fallback, &flag.fallback) ||
        !check_value(apply, &flag, "safe", request->safe.bytes != 0 ? request->safe : request->fallback,
                     &flag.safe))
        return;
    save(apply, &flag, request->reason);
    struct field_pair fields[] = {
        {"default", flag_value_describe(flag.fallback, apply->arena)},
        {"safe", flag_value_describe(flag.safe, apply->arena)},
        {"type", flag_type_names[flag.type]},
        {"version", apply_number(apply, flag.version)},
    };
    record(apply, "flags.defined", "define", &flag, fields, sizeof fields / sizeof fields[0]);
    answer_flag(apply, flag.key);
    apply->code = exists ? RESULT_OK : RESULT_CREATED;
}

/* --- setting --- */

static bool check_change(struct apply *apply, const struct flag_change *change, struct flag *flag,
                         struct span *value)
{
    if (!flag_read(apply_reader(apply), change->key, apply->arena, flag)) {
        apply_refuse(apply, RESULT_FLAG_NOT_FOUND, "there is no flag \"%s\"; define it first", change->key);
        return false;
    }
    if (!check_value(apply, flag, "value", change->value, value))
        return false;
    if (change->expected_version != 0 && change->expected_version != flag->version) {
        apply_refuse_with(apply, RESULT_VERSION_MISMATCH, "version", apply_number(apply, flag->version),
                          "flag \"%s\" has version %" PRIu64 ", not %" PRIu64, flag->key, flag->version,
                          change->expected_version);
        return false;
    }
    return true;
}

/* DISABLE_NEW: the flag is its switch. */
static bool set_disable_new(struct apply *apply, bool on, const char *reason)
{
    if (on)
        return kill_switch_activate(apply, FLAG_DISABLE_NEW, reason);
    apply_refuse_with(
        apply, RESULT_USE_RESET, "command",
        "autonomy kill-switch reset DISABLE_NEW --reason REASON --approver APPROVER --root-cause CAUSE",
        "flag \"" FLAG_DISABLE_NEW "\" goes back to 0 by its switch's reset only: autonomy kill-switch reset "
        "DISABLE_NEW --reason REASON --approver APPROVER --root-cause CAUSE");
    return false;
}

static bool set_one(struct apply *apply, const struct flag_change *change, const char *reason)
{
    struct flag flag;
    struct span value;
    if (!check_change(apply, change, &flag, &value))
        return false;
    if (strcmp(flag.key, FLAG_DISABLE_NEW) == 0)
        return set_disable_new(apply, flag_value_true(value, apply->arena), reason);
    const char *previous =
        flag_value_describe(flag.value.bytes != 0 ? flag.value : flag.fallback, apply->arena);
    flag.value = value;
    save(apply, &flag, reason);
    struct field_pair fields[] = {
        {"previous", previous},
        {"value", flag_value_describe(value, apply->arena)},
        {"version", apply_number(apply, flag.version)},
    };
    record(apply, "flags.set", "set", &flag, fields, sizeof fields / sizeof fields[0]);
    return true;
}

static void set(struct apply *apply, const void *body)
{
    const struct flag_set *request = body;
    const struct flag_change change = {request->key, request->value, request->expected_version};
    if (set_one(apply, &change, request->reason))
        answer_flag(apply, request->key);
}

static bool named_twice(struct apply *apply, const struct flags_set *request, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (strcmp(request->changes[i].key, request->changes[index].key) != 0)
            continue;
        apply_refuse(apply, RESULT_INVALID, "changes[%zu].key: flag \"%s\" is changes[%zu]'s already", index,
                     request->changes[index].key, i);
        return true;
    }
    return false;
}

/* A refusal undoes what the changes before it wrote. */
static void set_many(struct apply *apply, const void *body)
{
    const struct flags_set *request = body;
    for (size_t i = 0; i < request->change_count; i++)
        if (named_twice(apply, request, i) || !set_one(apply, &request->changes[i], request->reason))
            return;
    struct flag *flags = arena_new(apply->arena, request->change_count * sizeof *flags);
    for (size_t i = 0; i < request->change_count; i++)
        if (!flag_read(apply_reader(apply), request->changes[i].key, apply->arena, &flags[i]))
            return; /* a read error, which the store keeps */
    apply_answer_json(apply, flag_changes_json(flags, request->change_count));
}

const struct command_entry flag_commands[] = {
    {{.type = 40,
      .name = "flag.define",
      .schema = &flag_define_schema,
      .permission = "flags:write",
      .safety_class = ""},
     define},
    {{.type = 41,
      .name = "flag.set",
      .schema = &flag_set_schema,
      .permission = "flags:write",
      .safety_class = "reversible"},
     set},
    {{.type = 42,
      .name = "flags.set",
      .schema = &flags_set_schema,
      .permission = "flags:write",
      .safety_class = "reversible"},
     set_many},
};
const size_t flag_command_count = sizeof flag_commands / sizeof flag_commands[0];
