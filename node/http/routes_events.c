/* GET /v1/events: what a stream's request asks for; the stream itself is stream.c's. */
#include <string.h>

#include "node/http/body.h"
#include "node/http/problem.h"
#include "node/http/routes.h"
#include "node/http/stream.h"

/* Where to go on: a browser that connects again says so in the header, whatever its URL said the first time.
 */
static enum error_code read_after(struct request *request, uint64_t *out, struct error *error)
{
    const char *header = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "Last-Event-ID");
    *out = UINT64_MAX;
    if (header != NULL && header[0] != '\0') {
        if (!parse_u64(header, INT64_MAX, out))
            return error_set(error, ERROR_INVALID, "Last-Event-ID: not the id of an event");
        return ERROR_OK;
    }
    return query_u64(request, "last_event_id", out, error);
}

static enum error_code read_filter(struct request *request, struct stream_filter *out, struct error *error)
{
    const char *categories = request_query(request, "category");
    out->event_types = request_query(request, "event_type");
    if (out->event_types != NULL && out->event_types[0] == '\0')
        out->event_types = NULL;
    uint32_t types = 1;
    for (const char *at = out->event_types; at != NULL && *at != '\0'; at++)
        types += *at == ',' ? 1 : 0;
    if (types > STREAM_TYPES_MAX ||
        (out->event_types != NULL && strlen(out->event_types) > STREAM_EVENT_TYPE_BYTES))
        return error_set(error, ERROR_INVALID, "event_type: at most %u names, %u bytes", STREAM_TYPES_MAX,
                         STREAM_EVENT_TYPE_BYTES);
    if (categories == NULL || categories[0] == '\0')
        return ERROR_OK;
    if (strlen(categories) > STREAM_CATEGORY_TEXT_MAX)
        return error_set(error, ERROR_INVALID, "category: at most %u bytes", STREAM_CATEGORY_TEXT_MAX);
    return stream_categories(categories, &out->categories, error);
}

void events_stream(struct request *request)
{
    struct error error = {0};
    struct stream_filter filter = {0};
    uint64_t after = 0;
    if (read_after(request, &after, &error) != ERROR_OK ||
        read_filter(request, &filter, &error) != ERROR_OK ||
        stream_open(server_streams(request->server), request, &filter, after, &error) != ERROR_OK)
        problem_error(request, &error);
}
