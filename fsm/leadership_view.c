/* Leadership as readers see it: epochs, and what the leader must do next. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "base/clock.h"
#include "fsm/audit_store.h"
#include "fsm/leadership.h"
#include "fsm/plan.h"
#include "fsm/request.h"
#include "fsm/view.h"

#define VIEW_ARENA_BYTES (16u * 1024u * 1024u)

struct epoch_list {
    struct view *view;
    struct arena *arena;
    json_t *rows;
    uint32_t limit;
};

static json_t *json_time(uint64_t wall_ms)
{
    char text[TIME_TEXT_BYTES];
    if (wall_ms == 0)
        return json_null();
    time_format(wall_ms, text);
    return json_string(text);
}

static bool epoch_list_visit(void *context, struct span key, struct span value)
{
    struct epoch_list *list = context;
    struct epoch epoch;
    char id[17];
    (void)key;
    if (!view_unpack(list->view, &epoch_schema, value, list->arena, &epoch))
        return false;
    snprintf(id, sizeof(id), "%016" PRIx64, epoch.node_id);
    json_t *row = json_object();
    json_object_set_new(row, "term", json_integer((json_int_t)epoch.term));
    json_object_set_new(row, "node_id", json_string(id));
    json_object_set_new(row, "name",
                        json_string(member_label(view_reader(list->view), epoch.node_id, list->arena)));
    json_object_set_new(row, "acquired_at", json_time(epoch.acquired_ms));
    json_object_set_new(row, "ended_at", json_time(epoch.ended_ms));
    json_object_set_new(row, "cause", json_string(leader_cause_names[epoch.cause]));
    json_object_set_new(row, "resigned", json_boolean(epoch.resigned));
    json_object_set_new(row, "index", json_integer((json_int_t)epoch.index));
    json_array_append_new(list->rows, row);
    return json_array_size(list->rows) < list->limit;
}

enum error_code view_epochs(struct view *self, uint32_t limit, struct json_t **out, struct error *error)
{
    if (limit == 0 || limit > PAGE_LIMIT_MAX)
        return error_set(error, ERROR_INVALID, "limit: %u is not within 1 .. %u", limit, PAGE_LIMIT_MAX);
    struct arena arena;
    arena_init(&arena, VIEW_ARENA_BYTES);
    struct epoch_list list = {.view = self, .arena = &arena, .rows = json_array(), .limit = limit};
    const struct store_key prefix = store_key1('l', span_of(NULL, 0));
    view_scan(self, &prefix, true, epoch_list_visit, &list);
    arena_done(&arena);
    const enum error_code code = view_result(self, error);
    if (code == ERROR_OK)
        *out = list.rows;
    else
        json_decref(list.rows);
    return code;
}

uint64_t view_next_deadline_ms(struct view *self, uint64_t stuck_after_ms)
{
    const uint64_t plan_ms = plan_next_deadline_ms(self, stuck_after_ms);
    const uint64_t request_ms = request_next_deadline_ms(self);
    const uint64_t sweep_ms = audit_next_deadline_ms(self);
    if (sweep_ms != 0)
        return sweep_ms;
    if (plan_ms == 0 || request_ms == 0)
        return plan_ms + request_ms;
    return plan_ms < request_ms ? plan_ms : request_ms;
}
