/* The cluster's members as readers see them. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "fsm/leadership.h"
#include "fsm/view.h"

#define MEMBER_ROWS_MAX  4096u /* removed ones included, that a list shows */
#define VIEW_ARENA_BYTES (16u * 1024u * 1024u)

static json_t *json_text(const char *text)
{
    return text ? json_string(text) : json_null();
}

static json_t *member_json(const struct member *member)
{
    char id[17];
    snprintf(id, sizeof(id), "%016" PRIx64, member->node_id);
    json_t *row = json_object();
    json_object_set_new(row, "name", json_string(member->name));
    json_object_set_new(row, "node_id", json_string(id));
    json_object_set_new(row, "role", json_string(member_role_names[member->role]));
    json_object_set_new(row, "url", json_text(member->url));
    json_object_set_new(row, "address", json_text(member->address));
    json_object_set_new(row, "version", json_text(member->version));
    json_object_set_new(row, "level", json_integer((json_int_t)member->level));
    return row;
}

struct member_rows {
    struct view *view;
    struct arena *arena;
    json_t *json; /* NULL: gathers infos */
    struct member_info *infos;
    uint32_t count, capacity;
};

static struct member_info info_of(const struct member *member)
{
    return (struct member_info){
        .node_id = member->node_id,
        .name = member->name,
        .url = member->url ? member->url : "",
        .address = member->address ? member->address : "",
        .version = member->version ? member->version : "",
        .role = member->role,
        .removed = member->role == MEMBER_ROLE_REMOVED,
    };
}

static void rows_add(struct member_rows *rows, const struct member *member)
{
    if (rows->count == rows->capacity) {
        rows->capacity = rows->capacity == 0 ? NODES_MAX : rows->capacity * 2;
        struct member_info *larger = arena_new(rows->arena, rows->capacity * sizeof(*larger));
        if (rows->count > 0)
            memcpy(larger, rows->infos, rows->count * sizeof(*larger));
        rows->infos = larger;
    }
    rows->infos[rows->count] = info_of(member);
}

static bool member_rows_visit(void *context, struct span key, struct span value)
{
    struct member_rows *rows = context;
    struct member member;
    (void)key;
    if (!view_unpack(rows->view, &member_schema, value, rows->arena, &member))
        return false;
    if (rows->json && member.role != MEMBER_ROLE_REMOVED)
        json_array_append_new(rows->json, member_json(&member));
    else if (!rows->json)
        rows_add(rows, &member);
    rows->count++;
    return rows->count < MEMBER_ROWS_MAX;
}

enum error_code view_members(struct view *self, struct json_t **out, struct error *error)
{
    struct arena arena;
    arena_init(&arena, VIEW_ARENA_BYTES);
    struct member_rows rows = {.view = self, .arena = &arena, .json = json_array()};
    const struct store_key prefix = store_key1('b', span_of(NULL, 0));
    view_scan(self, &prefix, false, member_rows_visit, &rows);
    arena_done(&arena);
    const enum error_code code = view_result(self, error);
    if (code == ERROR_OK)
        *out = rows.json;
    else
        json_decref(rows.json);
    return code;
}

enum error_code view_member(struct view *self, uint64_t node_id, struct arena *arena, struct member_info *out,
                            struct error *error)
{
    struct member member;
    const bool found = member_get(view_reader(self), node_id, arena, &member);
    const enum error_code code = view_result(self, error);
    if (code != ERROR_OK)
        return code;
    if (!found)
        return error_set(error, ERROR_NOT_FOUND, "no member has the id %016" PRIx64, node_id);
    *out = info_of(&member);
    return ERROR_OK;
}

enum error_code view_member_list(struct view *self, struct arena *arena, struct member_info **out,
                                 uint32_t *count, struct error *error)
{
    struct member_rows rows = {.view = self, .arena = arena};
    const struct store_key prefix = store_key1('b', span_of(NULL, 0));
    view_scan(self, &prefix, false, member_rows_visit, &rows);
    const enum error_code code = view_result(self, error);
    if (code == ERROR_OK) {
        *out = rows.infos;
        *count = rows.count;
    }
    return code;
}
