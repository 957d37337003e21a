#include "node/http/argument.h"

#include <string.h>

#include "base/check.h"
#include "fsm/audit_view.h"
#include "fsm/plan.h"
#include "fsm/view.h"
#include "node/http/request.h"
#include "node/http/stream.h"

#define TEN_YEARS_S 315360000u

static const char *format_word(uint32_t position)
{
    return position < AUDIT_FORMAT_COUNT ? audit_format_name((enum audit_format)position) : NULL;
}

static const struct argument arguments[] = {
    /* of every route, by its kind */
    {.name = "timeout",
     .type = ARGUMENT_DURATION,
     .min = 1,
     .max = TIMEOUT_MAX_MS,
     .help = "how long to wait for an outcome; api.write_timeout without it, or the header "
             "X-Autonomy-Timeout-Ms"},
    {.name = "consistency",
     .type = ARGUMENT_WORD,
     .words = {"linearizable", "stale"},
     .otherwise = "linearizable",
     .help = "stale: at once, from what this node has applied; X-Autonomy-Age-Ms says how old that may be"},
    {.name = "index",
     .type = ARGUMENT_NUMBER,
     .max = INT64_MAX,
     .help = "with wait: answer when something newer than this index is applied"},
    {.name = "wait",
     .type = ARGUMENT_DURATION,
     .min = 1,
     .max = TIMEOUT_MAX_MS,
     .help = "with index: how long; then what there is is answered"},

    /* of lists */
    {.name = "limit", .type = ARGUMENT_NUMBER, .min = 1, .max = PAGE_LIMIT_MAX, .otherwise = "100"},
    {.name = "limit",
     .path = "/v1/audit",
     .type = ARGUMENT_NUMBER,
     .max = PAGE_LIMIT_MAX,
     .otherwise = "100",
     .help = "0: the largest page"},
    {.name = "limit",
     .path = "/v1/audit/verify",
     .type = ARGUMENT_NUMBER,
     .max = INT64_MAX,
     .otherwise = "0",
     .help = "check so many records, and say where to go on; 0: all of them"},
    {.name = "cursor",
     .type = ARGUMENT_TEXT,
     .max = 1024,
     .help = "next_cursor of the page before, of the same query"},
    {.name = "phase", .type = ARGUMENT_WORD, .of = &plan_schema, .field = "phase"},

    /* of one route */
    {.name = "publish",
     .type = ARGUMENT_YES_NO,
     .otherwise = "false",
     .help = "publish the plan in the same command"},
    {.name = "threshold_seconds",
     .type = ARGUMENT_NUMBER,
     .max = TEN_YEARS_S,
     .otherwise = "3600",
     .help = "how long a plan must not have moved"},
    {.name = "category", .type = ARGUMENT_WORD, .of = &audit_schema, .field = "category"},
    {.name = "event_type", .type = ARGUMENT_TEXT, .help = "the record's event_name: rollout.recovered"},
    {.name = "actor", .type = ARGUMENT_TEXT},
    {.name = "outcome", .type = ARGUMENT_WORD, .of = &audit_schema, .field = "outcome"},
    {.name = "source", .type = ARGUMENT_WORD, .of = &audit_schema, .field = "source"},
    {.name = "resource", .type = ARGUMENT_TEXT, .help = "what was acted on: PLAN, PLAN/STAGE, a flag's key"},
    {.name = "start_time", .type = ARGUMENT_TIME, .help = "this moment and later"},
    {.name = "end_time", .type = ARGUMENT_TIME, .help = "this moment and earlier"},
    {.name = "before_seq",
     .type = ARGUMENT_NUMBER,
     .min = 1,
     .max = INT64_MAX,
     .help = "records before this one; exactly one of the three is given"},
    {.name = "before", .type = ARGUMENT_TIME, .help = "records of before that time"},
    {.name = "keep_days",
     .type = ARGUMENT_NUMBER,
     .min = 1,
     .max = AUDIT_KEEP_DAYS_MAX,
     .help = "records older than so many days"},
    {.name = "order",
     .type = ARGUMENT_WORD,
     .words = {"desc", "asc"},
     .otherwise = "desc",
     .help = "desc: newest first"},
    {.name = "format", .type = ARGUMENT_WORD, .word = format_word, .otherwise = "json"},
    {.name = "reason",
     .type = ARGUMENT_TEXT,
     .max = REASON_BYTES_MAX,
     .help = "instead of a body, which some proxies drop from a DELETE"},
    {.name = "category",
     .path = "/v1/events",
     .type = ARGUMENT_WORDS,
     .of = &audit_schema,
     .field = "category",
     .max = STREAM_CATEGORY_TEXT_MAX},
    {.name = "event_type",
     .path = "/v1/events",
     .type = ARGUMENT_TEXT,
     .max = STREAM_EVENT_TYPE_BYTES,
     .help = "a comma list of event names"},
    {.name = "last_event_id",
     .type = ARGUMENT_NUMBER,
     .max = INT64_MAX,
     .help = "go on after this record (its seq); 0: from the first; the header Last-Event-ID wins"},
};
#define ARGUMENT_COUNT (sizeof arguments / sizeof arguments[0])

const struct argument *argument_find(const struct route *route, const char *name)
{
    const struct argument *found = NULL;
    for (size_t i = 0; i < ARGUMENT_COUNT; i++) {
        if (strcmp(arguments[i].name, name) != 0)
            continue;
        if (arguments[i].path != NULL && strcmp(arguments[i].path, route->path) == 0)
            return &arguments[i];
        if (arguments[i].path == NULL)
            found = &arguments[i];
    }
    return found;
}

const char *argument_word(const struct argument *self, uint32_t position)
{
    if (self->word != NULL)
        return self->word(position);
    if (self->of == NULL)
        return position < ARGUMENT_WORDS_MAX ? self->words[position] : NULL;
    const struct field *field = schema_field(self->of, self->field);
    CHECK(field != NULL, "argument %s: %s has no field %s", self->name, self->of->name, self->field);
    return position < field->names_count ? field->names[position] : NULL;
}

const char *argument_next(struct argument_walk *walk)
{
    if (walk->at == NULL)
        walk->at = route_kind_arguments(walk->route->kind);
    walk->at += strspn(walk->at, " ");
    if (*walk->at == '\0' && !walk->own) {
        walk->own = true;
        walk->at = walk->route->query != NULL ? walk->route->query : "";
    }
    const size_t length = strcspn(walk->at, " ");
    if (length == 0)
        return NULL;
    CHECK(length < sizeof(walk->name), "an argument with a name of %zu bytes", length);
    memcpy(walk->name, walk->at, length);
    walk->name[length] = '\0';
    walk->at += length;
    return walk->name;
}
