#include "tools/autonomy/transfer.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/schema.h"

#define LOOK_MS 100 /* how often somebody may look up while requests are under way */

bool transfer_is_change(const char *method, const char *path)
{
    return strcmp(method, "GET") != 0 && strcmp(path, "/v1/rollback/preview") != 0;
}

static size_t take_body(char *data, size_t size, size_t count, void *context)
{
    struct transfer *self = context;
    bytes_append(&self->response, data, size * count);
    return self->response.overflow ? 0 : size * count;
}

static bool loopback(const char *url)
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    return strncmp(host, "127.", 4) == 0 || strncmp(host, "localhost", 9) == 0 ||
           strncmp(host, "[::1]", 5) == 0;
}

static struct curl_slist *add_header(struct arena *arena, struct curl_slist *list, const char *name,
                                     const char *value)
{
    /* A header ends at a line break: a value with one would smuggle another header in. */
    const char *safe = arena_text(arena, value, strcspn(value, "\r\n"));
    struct curl_slist *longer = curl_slist_append(list, arena_printf(arena, "%s: %s", name, safe));
    CHECK(longer, "out of memory");
    return longer;
}

static struct curl_slist *headers_for(const struct client *client, bool body, bool change)
{
    struct curl_slist *list = add_header(client->arena, NULL, "Accept", "application/json");
    list = add_header(client->arena, list, "X-Autonomy-Source", "cli");
    if (client->principal)
        list = add_header(client->arena, list, "X-Autonomy-Operator", client->principal);
    if (body)
        list = add_header(client->arena, list, "Content-Type", "application/json");
    if (change)
        list = add_header(client->arena, list, "Idempotency-Key", client->request_id);
    return list;
}

/* The server answers within the node's share, so that its own sentence arrives before silence is the answer.
 */
static const char *url_of(struct arena *arena, const char *url, const char *path, uint64_t timeout_ms)
{
    uint64_t margin_ms = timeout_ms / 8;
    if (margin_ms < CLIENT_MARGIN_MIN_MS)
        margin_ms = CLIENT_MARGIN_MIN_MS;
    if (margin_ms > CLIENT_MARGIN_MAX_MS)
        margin_ms = CLIENT_MARGIN_MAX_MS;
    uint64_t server_ms = timeout_ms > 2 * margin_ms ? timeout_ms - margin_ms : timeout_ms / 2 + 1;
    if (server_ms > CLIENT_SERVER_MAX_MS)
        server_ms = CLIENT_SERVER_MAX_MS;
    return arena_printf(arena, "%s%s%ctimeout=%llums", url, path, strchr(path, '?') ? '&' : '?',
                        (unsigned long long)server_ms);
}

static void set_options(struct transfer *self)
{
    CURL *curl = self->curl;
    uint64_t timeout_ms = self->timeout_ms > 0 ? self->timeout_ms : 1;
    uint64_t connect_ms = timeout_ms < CLIENT_CONNECT_MAX_MS ? timeout_ms : CLIENT_CONNECT_MAX_MS;
    curl_easy_setopt(curl, CURLOPT_URL, url_of(self->client->arena, self->url, self->path, timeout_ms));
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, self->error);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, self);
    curl_easy_setopt(curl, CURLOPT_PRIVATE, self);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "autonomy/" AUTONOMY_VERSION);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, self->headers);
    if (loopback(self->url))
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (strcmp(self->method, "GET") != 0) {
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, self->method);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, self->body ? self->body : "{}");
        /* On a connection of its own it is certain whether it was sent. */
        curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
    }
}

static void begin(struct transfer *self, struct client *client)
{
    bool change = transfer_is_change(self->method, self->path);
    self->client = client;
    self->answer = (struct client_answer){.exit = CLI_UNREACHABLE};
    self->kind = ATTEMPT_UNSENT;
    self->ended = false;
    self->error[0] = '\0';
    self->curl = curl_easy_init();
    CHECK(self->curl, "libcurl doesn't start");
    bytes_init(&self->response, CLIENT_ANSWER_BYTES_MAX);
    self->headers = headers_for(client, strcmp(self->method, "GET") != 0, change);
    set_options(self);
    CHECK(curl_multi_add_handle(client->multi, self->curl) == CURLM_OK, "libcurl doesn't take a request");
}

/* --- what came back --- */

static void read_problem(struct client_answer *out)
{
    const char *detail = json_string_value(json_object_get(out->json, "detail"));
    const char *title = json_string_value(json_object_get(out->json, "title"));
    const char *code = json_string_value(json_object_get(out->json, "code"));
    snprintf(out->code, sizeof out->code, "%s", code ? code : "");
    if (detail || title)
        snprintf(out->message, sizeof out->message, "%s", detail ? detail : title);
    else
        snprintf(out->message, sizeof out->message, "%s answered %ld without a reason", out->url,
                 out->status);
}

static uint64_t index_of(CURL *curl)
{
    struct curl_header *header = NULL;
    uint64_t index = 0;
    if (curl_easy_header(curl, "X-Autonomy-Index", 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return 0;
    return parse_u64(header->value, INT64_MAX, &index) ? index : 0;
}

static enum attempt read_answer(struct transfer *self)
{
    struct client_answer *out = &self->answer;
    bool change = transfer_is_change(self->method, self->path);
    curl_easy_getinfo(self->curl, CURLINFO_RESPONSE_CODE, &out->status);
    out->url = self->url;
    out->index = index_of(self->curl);
    struct span body = bytes_span(&self->response);
    struct error error = {0};
    if (body.bytes > 0 && json_parse(body, &out->json, &error) != ERROR_OK)
        out->json = NULL;
    size_t length = 0;
    out->text = (char *)bytes_take(&self->response, &length);
    if (out->status >= 200 && out->status < 300) {
        out->exit = CLI_DONE;
        return ATTEMPT_ANSWERED;
    }
    read_problem(out);
    out->exit = out->status == 401 || out->status == 403 ? CLI_DENIED : CLI_FAILED;
    if (out->status == 503)
        return ATTEMPT_NOTHING;
    if (out->status == 504 || (out->status == 502 && change))
        return ATTEMPT_UNKNOWN;
    return ATTEMPT_ANSWERED;
}

static enum attempt read_failure(struct transfer *self)
{
    struct client_answer *out = &self->answer;
    const char *why = self->error[0] ? self->error : curl_easy_strerror(self->result);
    curl_off_t connected_us = 0;
    curl_easy_getinfo(self->curl, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
    snprintf(out->message, sizeof out->message, "%s: %s", self->url,
             self->ended ? why : "interrupted before it answered");
    if (self->response.overflow)
        snprintf(out->message, sizeof out->message, "%s: the answer is larger than %lu MiB", self->url,
                 CLIENT_ANSWER_BYTES_MAX >> 20);
    /* Before the request's first byte could leave, nothing can have happened. */
    return connected_us == 0 ? ATTEMPT_UNSENT : ATTEMPT_UNKNOWN;
}

static void end(struct transfer *self)
{
    self->kind = self->ended && self->result == CURLE_OK ? read_answer(self) : read_failure(self);
    curl_multi_remove_handle(self->client->multi, self->curl);
    curl_easy_cleanup(self->curl);
    curl_slist_free_all(self->headers);
    bytes_done(&self->response);
    self->curl = NULL;
    self->headers = NULL;
}

/* --- all of them --- */

static void take_ends(struct client *client)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(client->multi, &left))) {
        struct transfer *transfer = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        transfer->result = message->data.result;
        transfer->ended = true;
    }
}

static const char *first_open(const struct transfer *transfers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!transfers[i].ended)
            return transfers[i].url;
    return transfers[0].url;
}

void transfer_run(struct client *client, struct transfer *transfers, uint32_t count)
{
    uint64_t began_ms = clock_monotonic_us() / 1000;
    struct curl_waitfd wake = {.fd = client->wake_fd, .events = CURL_WAIT_POLLIN};
    unsigned wakes = client->wake_fd >= 0 ? 1 : 0;
    int running = 0;
    if (!client->multi)
        client->multi = curl_multi_init();
    CHECK(client->multi, "libcurl doesn't start");
    for (uint32_t i = 0; i < count; i++)
        begin(&transfers[i], client);
    for (;;) {
        CHECK(curl_multi_perform(client->multi, &running) == CURLM_OK, "libcurl fails");
        take_ends(client);
        if (running == 0)
            break;
        uint64_t waited_ms = clock_monotonic_us() / 1000 - began_ms;
        client->stopped = client->look && !client->look(client, first_open(transfers, count), waited_ms);
        if (client->stopped)
            break;
        (void)curl_multi_poll(client->multi, &wake, wakes, LOOK_MS, NULL);
    }
    for (uint32_t i = 0; i < count; i++)
        end(&transfers[i]);
}
