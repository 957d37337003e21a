/* Reading flags and kill switches: what is built in stands in lists beside what is stored. */
#include <jansson.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "fsm/flag_internal.h"
#include "fsm/kill_switch.h"

#define VIEW_ARENA_BYTES (16u * 1024u * 1024u)

static json_t *json_text(const char *text)
{
    return text != NULL && text[0] != '\0' ? json_string(text) : json_null();
}

static json_t *json_when(uint64_t wall_ms)
{
    char text[TIME_TEXT_BYTES];
    if (wall_ms == 0)
        return json_null();
    time_format(wall_ms, text);
    return json_string(text);
}

static json_t *flag_value_json(struct span value)
{
    json_t *json;
    if (value.bytes == 0 || value_to_json(value, &json, NULL) != ERROR_OK)
        return json_null();
    return json;
}

json_t *flag_json(const struct flag_evaluation *evaluation, uint64_t index)
{
    const struct flag *flag = &evaluation->flag;
    json_t *object =
        json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:I, s:s, s:o, s:I, s:o, s:b, s:o, s:o, s:o}", "key",
                  flag->key, "type", flag_type_names[flag->type], "value", flag_value_json(evaluation->value),
                  "stored", flag_value_json(flag->value), "default", flag_value_json(flag->fallback), "safe",
                  flag_value_json(flag->safe), "version", (json_int_t)flag->version, "reason",
                  flag_reason_names[evaluation->reason], "switch", json_text(evaluation->switch_name),
                  "index", (json_int_t)index, "description", json_text(flag->description), "built_in",
                  flag->built_in, "changed_by", json_text(flag->actor), "changed_at",
                  json_when(flag->updated_ms), "change_reason", json_text(flag->reason));
    CHECK(object != NULL, "flag %s has no JSON form", flag->key);
    return object;
}

static void pack_text(struct bytes *out, const char *key, const char *text)
{
    value_text(out, key, text != NULL && text[0] != '\0' ? text : NULL);
}

void flag_pack(const struct flag_evaluation *evaluation, uint64_t index, struct bytes *out)
{
    const struct flag *flag = &evaluation->flag;
    value_map(out, 15); /* in the order in which value_from_json() packs: digests rely on it */
    value_bool(out, "built_in", flag->built_in);
    pack_text(out, "change_reason", flag->reason);
    value_time(out, "changed_at", flag->updated_ms);
    pack_text(out, "changed_by", flag->actor);
    value_packed(out, "default", flag->fallback);
    pack_text(out, "description", flag->description);
    value_u64(out, "index", index);
    value_text(out, "key", flag->key);
    value_text(out, "reason", flag_reason_names[evaluation->reason]);
    value_packed(out, "safe", flag->safe);
    value_packed(out, "stored", flag->value);
    pack_text(out, "switch", evaluation->switch_name);
    value_text(out, "type", flag_type_names[flag->type]);
    value_packed(out, "value", evaluation->value);
    value_u64(out, "version", flag->version);
}

json_t *kill_switch_json(const struct kill_switch *self)
{
    json_t *last_reset =
        self->reset_ms == 0
            ? json_null()
            : json_pack("{s:o, s:o, s:o, s:o, s:o, s:b}", "reset_at", json_when(self->reset_ms), "reset_by",
                        json_text(self->reset_by), "approver", json_text(self->approver), "reason",
                        json_text(self->reset_reason), "root_cause", json_text(self->root_cause), "forced",
                        self->forced);
    json_t *object =
        json_pack("{s:s, s:o, s:b, s:I, s:o, s:o, s:o, s:o, s:b}", "name", self->name, "description",
                  json_text(self->description), "active", self->active, "version", (json_int_t)self->version,
                  "activated_at", self->active ? json_when(self->activated_ms) : json_null(), "activated_by",
                  self->active ? json_text(self->activated_by) : json_null(), "reason",
                  self->active ? json_text(self->activate_reason) : json_null(), "last_reset", last_reset,
                  "built_in", self->built_in);
    CHECK(object != NULL, "switch %s has no JSON form", self->name);
    if (self->all) {
        json_object_set_new(object, "all", json_true());
    } else if (self->prefix != NULL && self->prefix[0] != '\0') {
        json_object_set_new(object, "prefix", json_string(self->prefix));
    } else {
        json_t *flags = json_array();
        for (size_t i = 0; i < self->flag_count; i++)
            json_array_append_new(flags, json_string(self->flags[i]));
        json_object_set_new(object, "flags", flags);
    }
    return object;
}

void apply_answer_json(struct apply *apply, json_t *object)
{
    CHECK(json_is_object(object), "an answer is an object");
    struct bytes *body = apply_answer(apply);
    CHECK(value_from_json(object, body, NULL) == ERROR_OK && !body->overflow, "the answer can't be packed");
    json_decref(object);
}

json_t *flag_changes_json(const struct flag *flags, size_t count)
{
    json_t *changes = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(changes, json_pack("{s:s, s:o, s:I}", "key", flags[i].key, "value",
                                                 flag_value_json(flags[i].value), "version",
                                                 (json_int_t)flags[i].version));
    return json_pack("{s:o}", "changes", changes);
}

/* --- lists --- */

typedef const char *built_in_fn(size_t position); /* NULL past the last */

struct name_list {
    struct arena arena;
    const char **names; /* stored ones, in order */
    uint32_t count, count_max;
};

static bool gather(void *context, struct span key, struct span value)
{
    struct name_list *list = context;
    (void)value;
    list->names[list->count++] = arena_text(&list->arena, (const char *)key.data + 1, key.bytes - 1);
    return list->count < list->count_max;
}

static bool cursor_read(const char *cursor, char name[NAME_BYTES_MAX + 1])
{
    const size_t length = strlen(cursor) / 2;
    if (length == 0 || length > NAME_BYTES_MAX || !hex_decode(cursor, name, length))
        return false;
    name[length] = '\0';
    return strlen(name) == length && name_valid(name);
}

static bool stored_too(const struct name_list *list, const char *name)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (strcmp(list->names[i], name) == 0)
            return true;
    return false;
}

/* The next name of both lists together, after `last`; NULL at the end. */
static const char *next_name(const struct name_list *list, built_in_fn *built_in, uint32_t *at,
                             const char *last)
{
    const char *stored = *at < list->count ? list->names[*at] : NULL, *own = NULL;
    for (size_t i = 0; (own = built_in(i)) != NULL; i++)
        if (strcmp(own, last) > 0 && !stored_too(list, own))
            break;
    if (own != NULL && (stored == NULL || strcmp(own, stored) < 0))
        return own;
    *at += stored != NULL;
    return stored;
}

typedef json_t *item_fn(struct view *view, const char *name);

static json_t *fill(struct view *self, struct name_list *list, built_in_fn *built_in, const char *last,
                    uint32_t limit, item_fn *item)
{
    json_t *items = json_array();
    uint32_t at = 0;
    const char *name = next_name(list, built_in, &at, last);
    for (; name != NULL && json_array_size(items) < limit; name = next_name(list, built_in, &at, last)) {
        json_t *one = item(self, name);
        if (one == NULL)
            break; /* a latched error */
        json_array_append_new(items, one);
        last = name;
    }
    char hex[2 * NAME_BYTES_MAX + 1];
    hex_encode(last, strlen(last), hex);
    return json_pack("{s:o, s:o}", "items", items, "next_cursor",
                     name == NULL ? json_null() : json_string(hex));
}

static enum error_code list_names(struct view *self, char prefix, built_in_fn *built_in,
                                  const struct page *page, item_fn *item, struct json_t **out,
                                  struct error *error)
{
    char last[NAME_BYTES_MAX + 1] = "";
    if (page->limit == 0 || page->limit > PAGE_LIMIT_MAX)
        return error_set(error, ERROR_INVALID, "limit: %u is not within 1 .. %u", page->limit,
                         PAGE_LIMIT_MAX);
    if (page->cursor != NULL && !cursor_read(page->cursor, last))
        return error_set(error, ERROR_INVALID, "cursor: not one that this list gave");
    struct name_list list = {.count_max = page->limit + 1};
    arena_init(&list.arena, VIEW_ARENA_BYTES);
    list.names = arena_new(&list.arena, list.count_max * sizeof *list.names);
    const struct store_key all = store_key1(prefix, span_of(NULL, 0));
    struct store_key first = store_key1(prefix, span_text(last));
    if (page->cursor != NULL)
        store_key_append_u8(&first, 0);
    const struct store_key limit = store_key_after(&all);
    view_scan_range(self, &first, &limit, false, gather, &list);
    json_t *answer = fill(self, &list, built_in, last, page->limit, item);
    arena_done(&list.arena);
    const enum error_code code = view_result(self, error);
    if (code == ERROR_OK)
        *out = answer;
    else
        json_decref(answer);
    return code;
}

/* --- flags --- */

static json_t *flag_item(struct view *view, const char *key)
{
    struct arena arena;
    struct flag_evaluation evaluation;
    arena_init(&arena, VIEW_ARENA_BYTES);
    json_t *json = NULL;
    if (flag_evaluate(view_reader(view), key, &arena, &evaluation))
        json = flag_json(&evaluation, view_index(view));
    arena_done(&arena);
    return json;
}

/* One object, or the sentence that there is none. */
static enum error_code answer_one(struct view *self, json_t *object, const char *what, const char *name,
                                  json_t **out, struct error *error)
{
    enum error_code code = view_result(self, error);
    if (code == ERROR_OK && object == NULL)
        code = error_set(error, ERROR_NOT_FOUND, "there is no %s \"%.128s\"", what, name);
    if (code == ERROR_OK)
        *out = object;
    else if (object != NULL)
        json_decref(object);
    return code;
}

enum error_code view_flag(struct view *self, const char *key, struct json_t **out, struct error *error)
{
    return answer_one(self, name_valid(key) ? flag_item(self, key) : NULL, "flag", key, out, error);
}

enum error_code view_flags(struct view *self, const struct page *page, struct json_t **out,
                           struct error *error)
{
    return list_names(self, 'f', flag_built_in_at, page, flag_item, out, error);
}

/* --- kill switches --- */

static const char *built_in_switch(size_t position)
{
    return position == 0 ? FLAG_DISABLE_NEW : NULL;
}

static json_t *switch_item(struct view *view, const char *name)
{
    struct arena arena;
    struct kill_switch self;
    arena_init(&arena, VIEW_ARENA_BYTES);
    json_t *json = NULL;
    if (kill_switch_read(view_reader(view), name, &arena, &self))
        json = kill_switch_json(&self);
    arena_done(&arena);
    return json;
}

enum error_code view_switch(struct view *self, const char *name, struct json_t **out, struct error *error)
{
    return answer_one(self, name_valid(name) ? switch_item(self, name) : NULL, "kill switch", name, out,
                      error);
}

enum error_code view_switches(struct view *self, const struct page *page, struct json_t **out,
                              struct error *error)
{
    return list_names(self, 'k', built_in_switch, page, switch_item, out, error);
}
