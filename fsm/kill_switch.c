/* Kill switches: what they cover, defining, activating, resetting. */
#include "fsm/kill_switch.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "fsm/commands.h"
#include "fsm/flag.h"
#include "fsm/flag_internal.h"

#define SCRATCH_BYTES                                                                                        \
    (1024u * 1024u) /* one switch's record: at most 256 names of 128 bytes and a few sentences */

#define FIELD(type_name, member, field_name, field_type, ...)                                                \
    {                                                                                                        \
        .name = (field_name), .type = (field_type), .offset = offsetof(struct type_name, member),            \
        __VA_ARGS__                                                                                          \
    }
#define NAME(type_name) FIELD(type_name, name, "name", FIELD_NAME, .required = true)
#define ACTOR(member, field_name)                                                                            \
    FIELD(kill_switch, member, field_name, FIELD_TEXT, .max = PRINCIPAL_BYTES_MAX)
#define SENTENCE(type_name, member, field_name, is_required)                                                 \
    FIELD(type_name, member, field_name, FIELD_TEXT, .required = (is_required), .max = REASON_BYTES_MAX)
#define SCOPE(type_name)                                                                                     \
    FIELD(type_name, flags, "flags", FIELD_TEXTS, .count_offset = offsetof(struct type_name, flag_count),    \
          .max = KILL_SWITCH_FLAGS_MAX, .help = "keys of defined flags"),                                    \
        FIELD(type_name, prefix, "prefix", FIELD_NAME, .help = "every flag whose key begins so"),            \
        FIELD(type_name, all, "all", FIELD_BOOL)

static const struct field switch_fields[] = {
    NAME(kill_switch),
    SCOPE(kill_switch),
    FIELD(kill_switch, description, "description", FIELD_TEXT, .max = FLAG_TEXT_BYTES_MAX),
    FIELD(kill_switch, active, "active", FIELD_BOOL),
    FIELD(kill_switch, version, "version", FIELD_U64),
    FIELD(kill_switch, activated_ms, "activated_at", FIELD_TIME),
    ACTOR(activated_by, "activated_by"),
    SENTENCE(kill_switch, activate_reason, "activate_reason", false),
    FIELD(kill_switch, reset_ms, "reset_at", FIELD_TIME),
    ACTOR(reset_by, "reset_by"),
    ACTOR(approver, "approver"),
    SENTENCE(kill_switch, reset_reason, "reset_reason", false),
    SENTENCE(kill_switch, root_cause, "root_cause", false),
    FIELD(kill_switch, forced, "forced", FIELD_BOOL),
};
const struct schema kill_switch_schema = SCHEMA("kill switch", struct kill_switch, switch_fields);

static const struct field define_fields[] = {
    NAME(switch_define),
    SCOPE(switch_define),
    FIELD(switch_define, description, "description", FIELD_TEXT, .max = FLAG_TEXT_BYTES_MAX),
    SENTENCE(switch_define, reason, "reason", false),
};
const struct schema switch_define_schema =
    SCHEMA("kill switch definition", struct switch_define, define_fields);

static const struct field activate_fields[] = {
    NAME(switch_activate),
    SENTENCE(switch_activate, reason, "reason", true),
};
const struct schema switch_activate_schema = SCHEMA("activation", struct switch_activate, activate_fields);

static const struct field reset_fields[] = {
    NAME(switch_reset),
    SENTENCE(switch_reset, reason, "reason", true),
    FIELD(switch_reset, approver, "approver", FIELD_TEXT, .required = true, .max = PRINCIPAL_BYTES_MAX),
    SENTENCE(switch_reset, root_cause, "root_cause", true),
    FIELD(switch_reset, force, "force", FIELD_BOOL,
          .help = "in spite of unhealthy checks; nothing else is skipped"),
};
const struct schema switch_reset_schema = SCHEMA("reset", struct switch_reset, reset_fields);

/* --- reading --- */

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static struct store_key switch_key(const char *name)
{
    return store_key1('k', span_text(name));
}

static struct store_key active_key(const char *name)
{
    return store_key1('K', span_text(name));
}

static bool is_built_in(const char *name)
{
    return strcmp(name, FLAG_DISABLE_NEW) == 0;
}

bool kill_switch_read(struct reader reader, const char *name, struct arena *arena, struct kill_switch *out)
{
    const struct store_key key = switch_key(name);
    if (!reader_get_record(reader, &key, &kill_switch_schema, arena, out)) {
        if (!is_built_in(name))
            return false;
        *out = (struct kill_switch){.name = FLAG_DISABLE_NEW,
                                    .all = true,
                                    .description = "Every flag at its safe value.",
                                    .version = 1};
    }
    out->built_in = is_built_in(name);
    return true;
}

bool kill_switch_covers(const struct kill_switch *self, const char *flag_key)
{
    if (is_built_in(flag_key))
        return false; /* the flag tells whether the switch is active */
    if (self->all)
        return true;
    if (given(self->prefix))
        return strncmp(flag_key, self->prefix, strlen(self->prefix)) == 0;
    for (size_t i = 0; i < self->flag_count; i++)
        if (strcmp(self->flags[i], flag_key) == 0)
            return true;
    return false;
}

struct names {
    struct arena *arena;
    const char *names[KILL_SWITCHES_MAX];
    uint32_t count;
};

static bool gather_name(void *context, struct span key, struct span value)
{
    struct names *names = context;
    (void)value;
    names->names[names->count++] = arena_text(names->arena, (const char *)key.data + 1, key.bytes - 1);
    return names->count < KILL_SWITCHES_MAX;
}

bool kill_switch_covering(struct reader reader, const char *flag_key, struct arena *arena, const char **name)
{
    if (reader_meta(reader)->active_switch_count == 0)
        return false; /* the rule: no scan for it */
    struct arena scratch;
    arena_init(&scratch, SCRATCH_BYTES + KILL_SWITCHES_MAX * NAME_BYTES_MAX * 2);
    struct names *names = arena_new(&scratch, sizeof *names);
    names->arena = &scratch;
    const struct store_key all = active_key("");
    reader_scan(reader, &all, false, gather_name, names);
    bool covered = false;
    for (uint32_t i = 0; i < names->count && !covered; i++) {
        struct arena one;
        struct kill_switch self;
        arena_init(&one, SCRATCH_BYTES);
        covered =
            kill_switch_read(reader, names->names[i], &one, &self) && kill_switch_covers(&self, flag_key);
        if (covered)
            *name = arena_text(arena, self.name, strlen(self.name));
        arena_done(&one);
    }
    arena_done(&scratch);
    return covered;
}

/* --- changing --- */

static void save(struct apply *apply, struct kill_switch *self)
{
    const struct store_key key = switch_key(self->name);
    self->version++;
    store_put_record(apply->store, &key, &kill_switch_schema, self);
}

static void answer(struct apply *apply, const struct kill_switch *self)
{
    apply_answer_json(apply, kill_switch_json(self));
}

static bool find(struct apply *apply, const char *name, struct kill_switch *out)
{
    if (kill_switch_read(apply_reader(apply), name, apply->arena, out))
        return true;
    apply_refuse(apply, RESULT_SWITCH_NOT_FOUND, "there is no kill switch \"%s\"", name);
    return false;
}

static const char *scope_text(struct apply *apply, const struct kill_switch *self)
{
    if (self->all)
        return "all";
    if (given(self->prefix))
        return arena_printf(apply->arena, "prefix %s", self->prefix);
    return arena_printf(apply->arena, "%zu flags", self->flag_count);
}

static bool check_flags(struct apply *apply, const struct switch_define *request)
{
    for (size_t i = 0; i < request->flag_count; i++) {
        struct flag flag;
        if (is_built_in(request->flags[i])) {
            apply_refuse(apply, RESULT_FLAG_BUILT_IN, "flags[%zu]: \"%s\" is a kill switch itself", i,
                         FLAG_DISABLE_NEW);
            return false;
        }
        if (!name_valid(request->flags[i]) ||
            !flag_read(apply_reader(apply), request->flags[i], apply->arena, &flag)) {
            apply_refuse(apply, RESULT_FLAG_NOT_FOUND, "flags[%zu]: there is no flag \"%.128s\"", i,
                         request->flags[i]);
            return false;
        }
    }
    return true;
}

static bool count_key(void *context, struct span key, struct span value)
{
    uint32_t *count = context;
    (void)key;
    (void)value;
    return ++*count < KILL_SWITCHES_MAX;
}

static bool check_definition(struct apply *apply, const struct switch_define *request, bool exists,
                             const struct kill_switch *existing)
{
    uint32_t count = 0;
    const int scopes = (request->flag_count != 0) + given(request->prefix) + request->all;
    const struct store_key all = switch_key("");
    if (is_built_in(request->name)) {
        apply_refuse(apply, RESULT_FLAG_BUILT_IN, "kill switch \"%s\" is built in and can't be redefined",
                     request->name);
        return false;
    }
    if (scopes != 1) {
        apply_refuse(apply, RESULT_INVALID, "kill switch \"%s\" takes exactly one of flags, prefix and all",
                     request->name);
        return false;
    }
    if (exists && existing->active) {
        apply_refuse(apply, RESULT_SWITCH_ACTIVE,
                     "kill switch \"%s\" is active; reset it before it is redefined", request->name);
        return false;
    }
    if (!exists)
        store_scan(apply->store, &all, false, count_key, &count);
    if (count >= KILL_SWITCHES_MAX) {
        apply_refuse(apply, RESULT_TOO_MANY, "there are %u kill switches, and no more may be defined",
                     KILL_SWITCHES_MAX);
        return false;
    }
    return check_flags(apply, request);
}

static void define(struct apply *apply, const void *body)
{
    const struct switch_define *request = body;
    struct kill_switch self = {0};
    const bool exists = kill_switch_read(apply_reader(apply), request->name, apply->arena, &self);
    if (!check_definition(apply, request, exists, &self))
        return;
    self.name = request->name;
    self.flags = request->flags;
    self.flag_count = request->flag_count;
    self.prefix = request->prefix;
    self.all = request->all;
    self.description = request->description;
    save(apply, &self);
    struct field_pair fields[] = {{"scope", scope_text(apply, &self)},
                                  {"version", apply_number(apply, self.version)}};
    apply_record(apply, &(struct audit_record){.category = AUDIT_FLAGS,
                                               .event_name = "flags.defined",
                                               .action = "define",
                                               .reason = request->reason,
                                               .resource_type = "kill_switch",
                                               .resource = self.name,
                                               .fields = fields,
                                               .field_count = 2});
    answer(apply, &self);
    apply->code = exists ? RESULT_OK : RESULT_CREATED;
}

bool kill_switch_activate(struct apply *apply, const char *name, const char *reason)
{
    struct kill_switch self;
    apply_attempt(apply, AUDIT_FLAGS, "killswitch.activated", "activate", "kill_switch", name, reason);
    if (!find(apply, name, &self))
        return false;
    if (!given(reason)) {
        apply_refuse_with(apply, RESULT_INVALID, "path", "reason",
                          "reason: missing, and required to activate \"%s\"", name);
        return false;
    }
    if (self.active) {
        char since[TIME_TEXT_BYTES];
        time_format(self.activated_ms, since);
        apply_refuse_with(apply, RESULT_SWITCH_ACTIVE, "activated_at", since,
                          "kill switch \"%s\" is active already, since %s by %s", name, since,
                          self.activated_by);
        return false;
    }
    self.active = true;
    self.activated_ms = apply->time_ms;
    self.activated_by = apply->principal;
    self.activate_reason = reason;
    save(apply, &self);
    const struct store_key active = active_key(name);
    store_put(apply->store, &active, span_of(NULL, 0));
    store_meta(apply->store)->active_switch_count++;
    struct field_pair fields[] = {{"scope", scope_text(apply, &self)},
                                  {"version", apply_number(apply, self.version)}};
    apply_record_attempt(apply, fields, 2);
    return true;
}

static void activate(struct apply *apply, const void *body)
{
    const struct switch_activate *request = body;
    struct kill_switch self;
    if (kill_switch_activate(apply, request->name, request->reason) && find(apply, request->name, &self))
        answer(apply, &self);
}

/* Names of people are compared without regard to the case of ASCII letters and to what nobody sees: neither
 * "Ann@x" nor "ann@x " may approve for "ann@x". */
static bool same_person(const char *a, const char *b)
{
    for (;; a++, b++) {
        for (size_t step; (step = text_unseen(a)) > 0;)
            a += step;
        for (size_t step; (step = text_unseen(b)) > 0;)
            b += step;
        const char x = *a >= 'A' && *a <= 'Z' ? (char)(*a - 'A' + 'a') : *a;
        const char y = *b >= 'A' && *b <= 'Z' ? (char)(*b - 'A' + 'a') : *b;
        if (x != y)
            return false;
        if (x == '\0')
            return true;
    }
}

/* Health checks come with the monitor; where none is kept, none is unhealthy, and `force` has nothing to
 * skip. */
static bool may_reset(struct apply *apply, const struct kill_switch *self, const struct switch_reset *request)
{
    if (!self->active)
        apply_refuse(apply, RESULT_SWITCH_INACTIVE, "kill switch \"%s\" is not active", self->name);
    else if (same_person(request->approver, apply->principal))
        apply_refuse_with(apply, RESULT_APPROVER, "approver", request->approver,
                          "the reset of \"%s\" needs an approver other than %s, who resets it", self->name,
                          apply->principal);
    return !apply_refused(apply);
}

static void reset(struct apply *apply, const void *body)
{
    const struct switch_reset *request = body;
    struct kill_switch self;
    apply_attempt(apply, AUDIT_FLAGS, "killswitch.reset", "reset", "kill_switch", request->name,
                  request->reason);
    apply->attempt.approver = request->approver;
    if (!find(apply, request->name, &self) || !may_reset(apply, &self, request))
        return;
    const uint64_t active_s = (apply->time_ms - self.activated_ms) / 1000;
    self.active = false;
    self.reset_ms = apply->time_ms;
    self.reset_by = apply->principal;
    self.approver = request->approver;
    self.reset_reason = request->reason;
    self.root_cause = request->root_cause;
    self.forced = request->force;
    save(apply, &self);
    const struct store_key active = active_key(self.name);
    store_delete(apply->store, &active);
    if (store_meta(apply->store)->active_switch_count == 0)
        apply_damaged(apply, "\"%s\" is reset, and none is active", self.name);
    store_meta(apply->store)->active_switch_count--;
    struct field_pair fields[] = {{"active_seconds", apply_number(apply, active_s)},
                                  {"force", request->force ? "true" : "false"},
                                  {"root_cause", request->root_cause},
                                  {"version", apply_number(apply, self.version)}};
    apply_record_attempt(apply, fields, 4);
    answer(apply, &self);
}

const struct command_entry switch_commands[] = {
    {{.type = 50,
      .name = "switch.define",
      .schema = &switch_define_schema,
      .permission = "killswitch:write",
      .safety_class = ""},
     define},
    {{.type = 51,
      .name = "switch.activate",
      .schema = &switch_activate_schema,
      .permission = "killswitch:activate",
      .safety_class = "reversible",
      .urgent = true},
     activate},
    {{.type = 52,
      .name = "switch.reset",
      .schema = &switch_reset_schema,
      .permission = "killswitch:reset",
      .safety_class = "reversible",
      .urgent = true},
     reset},
};
const size_t switch_command_count = sizeof switch_commands / sizeof switch_commands[0];
