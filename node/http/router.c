#include "node/http/router.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "node/http/body.h"
#include "node/http/flow.h"
#include "node/http/problem.h"

/* --- paths --- */

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    int lower = tolower((unsigned char)digit);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

const char *text_unescape(const char *text, size_t length, struct arena *arena)
{
    char *out = arena_text(arena, text, length);
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        int byte = (unsigned char)text[i];
        if (byte == '%') {
            int high = i + 2 < length ? hex_digit(text[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
            if (low < 0)
                return NULL;
            byte = high * 16 + low;
            i += 2;
        }
        if (byte == 0)
            return NULL;
        out[used++] = (char)byte;
    }
    out[used] = '\0';
    return utf8_valid(out, used) ? out : NULL;
}

enum error_code path_split(const char *path, struct arena *arena, const char **parts, uint32_t *part_count,
                           struct error *error)
{
    uint32_t count = 0;
    if (path[0] != '/')
        return error_set(error, ERROR_INVALID, "the path doesn't begin with a slash");
    for (const char *at = path; at != NULL && *at == '/';) {
        const char *end = strchr(at + 1, '/');
        size_t length = end != NULL ? (size_t)(end - at - 1) : strlen(at + 1);
        if (count == PATH_PARTS_MAX)
            return error_set(error, ERROR_NOT_FOUND, "no path has more than %u parts", PATH_PARTS_MAX);
        parts[count] = text_unescape(at + 1, length, arena);
        if (parts[count] == NULL)
            return error_set(error, ERROR_INVALID, "the path has a damaged escape or isn't UTF-8");
        count++;
        at = end;
    }
    *part_count = count;
    return ERROR_OK;
}

/* Walks a template beside the parts of a path. */
struct walk {
    const char *at; /* in the template */
    const char *text;
    size_t length;
};

static bool walk_next(struct walk *walk)
{
    if (*walk->at != '/')
        return false;
    walk->text = walk->at + 1;
    walk->length = strcspn(walk->text, "/");
    walk->at = walk->text + walk->length;
    return true;
}

static bool part_fits(const struct walk *walk, const char *part)
{
    if (walk->text[0] == '{')
        return part[0] != '\0';
    return strlen(part) == walk->length && memcmp(part, walk->text, walk->length) == 0;
}

static bool path_fits(const struct route *route, const char *const *parts, uint32_t part_count)
{
    struct walk walk = {.at = route->path};
    for (uint32_t i = 0; i < part_count; i++)
        if (!walk_next(&walk) || !part_fits(&walk, parts[i]))
            return false;
    return *walk.at == '\0';
}

const char *route_parameter(const struct route *route, const char *name, const char *const *parts,
                            uint32_t part_count)
{
    struct walk walk = {.at = route->path};
    size_t length = strlen(name);
    for (uint32_t i = 0; i < part_count && walk_next(&walk); i++)
        if (walk.text[0] == '{' && walk.length == length + 2 && memcmp(walk.text + 1, name, length) == 0)
            return parts[i];
    return NULL;
}

static void allow_add(char *allow, uint32_t allow_bytes, const char *method)
{
    if (strstr(allow, method) != NULL)
        return;
    size_t used = strlen(allow);
    int more = snprintf(allow + used, allow_bytes - used, "%s%s%s", used > 0 ? ", " : "", method,
                        strcmp(method, "GET") == 0 ? ", HEAD" : "");
    CHECK(more > 0 && used + (size_t)more < allow_bytes, "no room for the methods of a path");
}

const struct route *route_find(const char *method, const char *const *parts, uint32_t part_count, char *allow,
                               uint32_t allow_bytes)
{
    uint32_t count;
    const struct route *routes = route_all(&count);
    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    allow[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        if (!path_fits(&routes[i], parts, part_count))
            continue;
        if (strcmp(routes[i].method, method) == 0)
            return &routes[i];
        allow_add(allow, allow_bytes, routes[i].method);
    }
    return NULL;
}

/* --- query arguments --- */

static bool word_of(const char *words, const char *word)
{
    size_t length = strlen(word);
    if (words == NULL || length == 0)
        return false;
    for (const char *at = words; (at = strstr(at, word)) != NULL; at += length)
        if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

const char *route_kind_arguments(enum route_kind kind)
{
    static const char *const of_kind[] = {
        [ROUTE_LOCAL] = "timeout",
        [ROUTE_READ] = "timeout consistency index wait",
        [ROUTE_SCAN] = "timeout consistency index wait",
        [ROUTE_WALK] = "timeout consistency index wait",
        [ROUTE_CHANGE] = "timeout",
        [ROUTE_ACT] = "timeout",
    };
    return of_kind[kind];
}

bool route_takes(const struct route *route, const char *argument)
{
    return strchr(argument, ' ') == NULL &&
           (word_of(route_kind_arguments(route->kind), argument) || word_of(route->query, argument));
}

/* --- serving --- */

const struct schema *route_body(const struct route *route)
{
    if (route->kind != ROUTE_CHANGE)
        return route->body;
    const struct command_type *type = command_by_name(route->command);
    CHECK(type != NULL, "no command %s", route->command);
    return type->schema;
}

static bool prepared(struct request *request)
{
    struct error error = {0};
    if (request->route->prepare == NULL || request->route->prepare(request, &error) == ERROR_OK)
        return true;
    problem_error(request, &error);
    return false;
}

void route_serve(struct request *request)
{
    const struct route *route = request->route;
    if (!query_check(request))
        return;
    if (route_body(route) != NULL && !body_read(request))
        return;
    if (!prepared(request))
        return;
    switch (route->kind) {
    case ROUTE_LOCAL:
    case ROUTE_ACT:
        route->serve(request);
        break;
    case ROUTE_READ:
    case ROUTE_SCAN:
    case ROUTE_WALK:
        flow_read(request);
        break;
    case ROUTE_CHANGE:
        flow_change(request, route->command);
        break;
    }
}
