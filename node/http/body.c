#include "node/http/body.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/schema.h"
#include "node/http/argument.h"
#include "node/http/problem.h"
#include "node/http/router.h"

static bool media_type_is(const char *given, const char *wanted)
{
    size_t length = strlen(wanted);
    return strncasecmp(given, wanted, length) == 0 &&
           (given[length] == '\0' || given[length] == ';' || given[length] == ' ');
}

static bool parse_body(struct request *request)
{
    struct error error = {0};
    const char *type = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "Content-Type");
    enum error_code code = ERROR_OK;
    const char *coding =
        MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "Content-Encoding");
    if (coding != NULL && strcasecmp(coding, "identity") != 0) {
        answer_header(request, "Accept-Encoding", "identity");
        problem_answer(request, 415, "unsupported_media_type",
                       "bodies are taken as they are, without a Content-Encoding");
        return false;
    }
    if (request->body.length == 0) {
        request->json = json_object();
    } else if (type != NULL && media_type_is(type, "application/json")) {
        code = json_parse(bytes_span(&request->body), &request->json, &error);
    } else if (type != NULL && media_type_is(type, "application/msgpack")) {
        code = value_to_json(bytes_span(&request->body), &request->json, &error);
    } else {
        problem_answer(request, 415, "unsupported_media_type",
                       "a body needs the header Content-Type: application/json (or application/msgpack)");
        return false;
    }
    if (code != ERROR_OK) {
        request->json = NULL;
        problem_answer(request, 400, "malformed", "the body can't be read: %s", error.message);
        return false;
    }
    if (json_is_object(request->json))
        return true;
    problem_answer(request, 422, "invalid_field", "the body must be a JSON object");
    return false;
}

/* "{plan_id}" -> "plan_id"; NULL for a part that is no parameter */
static const char *next_parameter(const char **template, struct arena *arena)
{
    const char *open = strchr(*template, '{');
    if (open == NULL)
        return NULL;
    const char *close = strchr(open, '}');
    *template = close + 1;
    return arena_text(arena, open + 1, (size_t)(close - open - 1));
}

bool body_read(struct request *request)
{
    if (!parse_body(request))
        return false;
    const char *template = request->route->path, *name;
    while ((name = next_parameter(&template, &request->arena)) != NULL) {
        const char *in_path = request_parameter(request, name);
        const json_t *in_body = json_object_get(request->json, name);
        if (in_body != NULL &&
            (!json_is_string(in_body) || strcmp(json_string_value(in_body), in_path) != 0)) {
            problem_answer(request, 422, "invalid_field", "%s: the body says another one than the path, %s",
                           name, in_path);
            return false;
        }
        json_object_set_new(request->json, name, json_string(in_path));
    }
    return true;
}

void *body_take(struct request *request, const struct schema *schema)
{
    struct error error = {0};
    void *record = arena_new(&request->arena, schema->bytes);
    if (schema_from_json(schema, request->json, &request->decoded, record, &error) == ERROR_OK)
        return record;
    problem_error(request, &error);
    return NULL;
}

static bool set_deadline(struct request *request)
{
    struct error error = {0};
    uint64_t timeout_ms = server_write_timeout_ms(request->server);
    const char *header =
        MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "X-Autonomy-Timeout-Ms");
    if (header != NULL && (!parse_u64(header, TIMEOUT_MAX_MS, &timeout_ms) || timeout_ms == 0)) {
        problem_answer(request, 400, "invalid_header",
                       "X-Autonomy-Timeout-Ms must be a number of milliseconds within 1 .. %u",
                       TIMEOUT_MAX_MS);
        return false;
    }
    if (query_duration(request, "timeout", &timeout_ms, &error) != ERROR_OK) {
        problem_error(request, &error);
        return false;
    }
    request->deadline_ms = service_now_ms(request->service) + timeout_ms;
    return true;
}

static void unknown_argument(struct request *request, const char *name)
{
    struct argument_walk walk = {.route = request->route};
    struct bytes known;
    const char *next;
    bytes_init(&known, 0);
    while ((next = argument_next(&walk)) != NULL)
        bytes_printf(&known, "%s%s", known.length > 0 ? ", " : "", next);
    problem_answer(request, 422, "invalid_field", "unknown query argument \"%.128s\"; known: %.*s", name,
                   (int)known.length, (const char *)known.data);
    bytes_done(&known);
}

bool query_check(struct request *request)
{
    for (uint32_t i = 0; i < request->query_count; i++)
        if (!route_takes(request->route, request->query[i].name)) {
            unknown_argument(request, request->query[i].name);
            return false;
        }
    return set_deadline(request);
}

/* What was given, or what holds otherwise; NULL: neither. */
static const char *given(struct request *request, const char *name, const struct argument **out)
{
    const char *text = request_query(request, name);
    *out = argument_find(request->route, name);
    CHECK(*out != NULL, "argument %s of %s is not in the table", name, request->route->path);
    return text != NULL ? text : (*out)->otherwise;
}

enum error_code query_u64(struct request *request, const char *name, uint64_t *out, struct error *error)
{
    uint64_t value;
    const struct argument *argument;
    const char *text = given(request, name, &argument);
    if (text == NULL)
        return ERROR_OK;
    if (!parse_u64(text, argument->max, &value) || value < argument->min)
        return error_set(error, ERROR_INVALID, "%s: \"%s\" is not within %" PRIu64 " .. %" PRIu64, name, text,
                         argument->min, argument->max);
    *out = value;
    return ERROR_OK;
}

enum error_code query_word(struct request *request, const char *name, uint32_t *out, struct error *error)
{
    const struct argument *argument;
    const char *text = given(request, name, &argument), *word;
    if (text == NULL)
        return ERROR_OK;
    struct bytes words;
    bytes_init(&words, 0);
    for (uint32_t i = 0; (word = argument_word(argument, i)) != NULL; i++) {
        if (strcmp(word, text) == 0) {
            bytes_done(&words);
            *out = i;
            return ERROR_OK;
        }
        bytes_printf(&words, "%s%s", i > 0 ? ", " : "", word);
    }
    const enum error_code code = error_set(error, ERROR_INVALID, "%s: \"%s\" is none of %.*s", name, text,
                                           (int)words.length, (const char *)words.data);
    bytes_done(&words);
    return code;
}

enum error_code query_bool(struct request *request, const char *name, bool *out, struct error *error)
{
    const char *text = request_query(request, name);
    if (text == NULL)
        return ERROR_OK;
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return error_set(error, ERROR_INVALID, "%s: \"%s\" is neither true nor false", name, text);
    *out = text[0] == 't';
    return ERROR_OK;
}

enum error_code query_time(struct request *request, const char *name, uint64_t *out, struct error *error)
{
    const char *given = request_query(request, name);
    if (given == NULL)
        return ERROR_OK;
    char *text = arena_text(&request->arena, given, strlen(given));
    for (char *at = text; *at != '\0'; at++)
        if (*at == ' ')
            *at = '+'; /* the offset's sign, which a query turns into a blank when it isn't escaped */
    if (time_parse(text, out) != 0)
        return error_set(error, ERROR_INVALID, "%s: \"%s\" is not a time such as 2026-01-02T03:04:05Z", name,
                         given);
    return ERROR_OK;
}

enum error_code query_duration(struct request *request, const char *name, uint64_t *out_ms,
                               struct error *error)
{
    uint64_t value;
    const struct argument *argument;
    const char *text = given(request, name, &argument);
    if (text == NULL)
        return ERROR_OK;
    if (!parse_duration_ms(text, &value) || value < argument->min || value > argument->max)
        return error_set(error, ERROR_INVALID,
                         "%s: \"%s\" is not a duration such as 30s within %" PRIu64 "ms .. %" PRIu64 "s",
                         name, text, argument->min, argument->max / 1000);
    *out_ms = value;
    return ERROR_OK;
}

enum error_code query_page(struct request *request, struct error *error)
{
    uint64_t limit = 0;
    const struct argument *cursor = argument_find(request->route, "cursor");
    enum error_code code = query_u64(request, "limit", &limit, error);
    if (code != ERROR_OK)
        return code;
    struct page *page = arena_new(&request->arena, sizeof(*page));
    page->limit = (uint32_t)limit;
    page->cursor = request_query(request, "cursor");
    CHECK(cursor != NULL, "%s has pages and takes no cursor", request->route->path);
    if (page->cursor != NULL && strlen(page->cursor) > cursor->max)
        return error_set(error, ERROR_INVALID, "cursor: longer than %" PRIu64 " bytes", cursor->max);
    request->parsed = page;
    return ERROR_OK;
}
