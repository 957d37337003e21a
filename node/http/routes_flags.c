/* Flags and kill switches: their reads. Their changes are rows of the table. */
#include "node/http/routes.h"

/* What a flag's answer stems from: a client that polls compares it. */
static enum error_code with_index(struct view *view, enum error_code code, json_t *json)
{
    if (code == ERROR_OK && json_object_get(json, "index") == NULL)
        json_object_set_new(json, "index", json_integer((json_int_t)view_index(view)));
    return code;
}

enum error_code flag_list(struct request *request, struct view *view, json_t **out, struct error *error)
{
    return view_flags(view, request->parsed, out, error);
}

enum error_code flag_get(struct request *request, struct view *view, json_t **out, struct error *error)
{
    enum error_code code = view_flag(view, request_parameter(request, "key"), out, error);
    return with_index(view, code, *out);
}

enum error_code switch_list(struct request *request, struct view *view, json_t **out, struct error *error)
{
    return view_switches(view, request->parsed, out, error);
}

enum error_code switch_get(struct request *request, struct view *view, json_t **out, struct error *error)
{
    enum error_code code = view_switch(view, request_parameter(request, "name"), out, error);
    return with_index(view, code, *out);
}
