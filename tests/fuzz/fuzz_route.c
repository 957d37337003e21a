/* A request to the whole HTTP interface, over a real socket to the real server, with a state machine behind
 * it: it is answered with something that has the form of an answer, and never with 500. An input is the
 * request as text: "METHOD PATH", headers, an empty line, the body; what frames a body is added here.
 *
 * The state lives on from request to request for a while, so that they meet what others left. */
#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "node/http/router.h"
#include "tests/support/http_fixture.h"

#define REQUESTS_MAX 3000u /* then a new server and state */
#define ANSWER_BYTES (4u * 1024u * 1024u)
#define PATIENCE_MS  120000 /* of a machine that has other work */

static struct http_fixture *fixture;
static unsigned requests;
static int connection = -1;

static void leave(void)
{
    if (connection >= 0)
        close(connection);
    connection = -1;
    if (fixture)
        http_fixture_free(fixture);
    fixture = NULL;
}

static void begin(void)
{
    static bool before;
    const struct http_options options = {
        .write_timeout_ms = 1000, .threads = 1, .body_bytes_max = 65536, .streams = {.streams_max = 100}};
    if (fixture && requests++ < REQUESTS_MAX)
        return;
    requests = 0;
    leave();
    char path[128];
    snprintf(path, sizeof path, "%s/000001.sst", fuzz_folder());
    fuzz_file("000001.sst", "0123456789", 10);
    fixture = http_fixture_new(&options);
    service_fake_file(fixture->service, path);
    if (!before)
        CHECK(atexit(leave) == 0, "no room for an exit handler");
    before = true;
}

/* Leaves without a port that lingers: thousands of them a second would use up the machine's. */
static void hang_up(void)
{
    const struct linger at_once = {.l_onoff = 1};
    if (connection >= 0) {
        setsockopt(connection, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(connection);
    }
    connection = -1;
}

/* --- the request --- */

static size_t line_length(const char *text, size_t length)
{
    const char *end = memchr(text, '\n', length);
    return end ? (size_t)(end - text) : length;
}

/* What frames the body, or keeps the connection waiting, is ours to say. */
static bool header_is_ours(const char *line, size_t length)
{
    static const char *const ours[] = {"content-length", "transfer-encoding", "connection", "expect",
                                       "host",           "upgrade",           " ",          "\t"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (length >= strlen(ours[i]) && strncasecmp(line, ours[i], strlen(ours[i])) == 0)
            return true;
    return memchr(line, ':', length) == NULL;
}

/* A wait of an hour is no different from one of a millisecond. */
static bool waits(const char *text, size_t length)
{
    return memmem(text, length, "wait=", 5) != NULL || memmem(text, length, "WAIT=", 5) != NULL;
}

static void compose(const char *text, size_t length, struct bytes *out)
{
    size_t line = line_length(text, length);
    bytes_append(out, text, line);
    bytes_append_text(out, " HTTP/1.1\r\nHost: fuzz\r\n");
    text += line + (line < length);
    length -= line + (line < length);
    while (length > 0 && (line = line_length(text, length)) > 0) {
        if (!header_is_ours(text, line) && !memchr(text, '\r', line) && !memchr(text, '\0', line)) {
            bytes_append(out, text, line);
            bytes_append_text(out, "\r\n");
        }
        text += line + (line < length);
        length -= line + (line < length);
    }
    text += length > 0;
    length -= length > 0;
    bytes_printf(out, "Content-Length: %zu\r\n\r\n", length);
    bytes_append(out, text, length);
}

static bool line_is_sound(const char *text, size_t length)
{
    const char *blank = memchr(text, ' ', length);
    if (!blank || blank == text || blank - text > 8 || blank + 1 == text + length || blank[1] != '/')
        return false;
    for (const char *at = text; at < text + length; at++)
        if (*at == '\0' || *at == '\r' || (*at == ' ' && at != blank))
            return false;
    return true;
}

/* --- the answer --- */

struct reply {
    struct bytes text;
    int status;
    const char *body;
    size_t body_bytes;
    bool closes, stream;
};

static const char *header_of(const struct reply *reply, const char *name)
{
    const char *at = strcasestr((const char *)reply->text.data, name);
    return at && at < reply->body ? at + strlen(name) : NULL;
}

static bool read_some(struct reply *reply)
{
    struct pollfd ready = {.fd = connection, .events = POLLIN};
    CHECK(poll(&ready, 1, PATIENCE_MS) == 1, "no answer within %d ms", PATIENCE_MS);
    uint8_t *room = bytes_extend(&reply->text, 16385);
    CHECK(room, "an answer without an end");
    const ssize_t got = recv(connection, room, 16384, 0);
    reply->text.length -= 16385 - (got > 0 ? (size_t)got : 0);
    reply->text.data[reply->text.length] = '\0';
    return got > 0;
}

/* @return false: the server hung up without an answer */
static bool read_reply(struct reply *reply, bool head_only)
{
    const char *end = NULL;
    while (!(reply->text.length > 0 && (end = strstr((const char *)reply->text.data, "\r\n\r\n"))))
        if (!read_some(reply))
            return false;
    const size_t head = (size_t)(end - (const char *)reply->text.data) + 4;
    reply->body = (const char *)reply->text.data + head;
    CHECK(sscanf((const char *)reply->text.data, "HTTP/1.1 %d ", &reply->status) == 1, "no status line");
    const char *length = header_of(reply, "\r\nContent-Length: ");
    reply->stream = header_of(reply, "\r\nContent-Type: text/event-stream") != NULL;
    reply->closes = header_of(reply, "\r\nConnection: close") != NULL;
    if (reply->stream || head_only)
        return true;
    CHECK(length, "neither a length nor a stream:\n%s", (const char *)reply->text.data);
    reply->body_bytes = strtoull(length, NULL, 10);
    while (reply->text.length < head + reply->body_bytes)
        CHECK(read_some(reply), "the answer breaks off");
    reply->body = (const char *)reply->text.data + head;
    return true;
}

static void check_reply(const struct reply *reply)
{
    CHECK(reply->status >= 200 && reply->status <= 599 && reply->status != 500, "%s",
          (const char *)reply->text.data);
    const char *type = header_of(reply, "\r\nContent-Type: application/");
    if (!type || reply->body_bytes == 0 || strncmp(type, "octet-stream", 12) == 0 ||
        strncmp(type, "msgpack", 7) == 0)
        return;
    json_t *json = json_loadb(reply->body, reply->body_bytes, JSON_DECODE_ANY, NULL);
    CHECK(json, "no JSON:\n%s", (const char *)reply->text.data);
    if (strncmp(type, "problem+json", 12) == 0) {
        CHECK(json_integer_value(json_object_get(json, "status")) == reply->status, "two statuses");
        CHECK(json_is_string(json_object_get(json, "code")) &&
                  json_is_string(json_object_get(json, "detail")),
              "a problem without a sentence:\n%s", reply->body);
    }
    json_decref(json);
}

/* Which route it was, for the account of what the corpus reaches. */
static void note_route(const char *line, size_t length, int status)
{
    struct arena arena;
    struct error error = {0};
    const char *parts[PATH_PARTS_MAX];
    char method[9], allow[64];
    uint32_t count = 0;
    const size_t method_bytes = (size_t)((const char *)memchr(line, ' ', length) - line);
    snprintf(method, sizeof method, "%.*s", (int)method_bytes, line);
    arena_init(&arena, 65536);
    const char *path = arena_text(&arena, line + method_bytes + 1, length - method_bytes - 1);
    path = arena_text(&arena, path, strcspn(path, "?#"));
    const struct route *route = NULL;
    if (path_split(path, &arena, parts, &count, &error) == ERROR_OK)
        route = route_find(method, parts, count, allow, sizeof allow);
    if (route)
        fuzz_reached("route %s %s %d", route->method, route->path, status);
    arena_done(&arena);
}

static void exchange(const struct bytes *request, const char *line, size_t line_bytes)
{
    struct reply reply = {0};
    bytes_init(&reply.text, ANSWER_BYTES);
    const bool fresh = connection < 0;
    if (fresh)
        connection = http_connect(fixture->port);
    const bool sent = http_send(connection, request->data, request->length);
    if (read_reply(&reply, strncmp(line, "HEAD ", 5) == 0)) {
        check_reply(&reply);
        note_route(line, line_bytes, reply.status);
        if (reply.closes || reply.stream || !sent)
            hang_up();
    } else {
        CHECK(!fresh || !sent || request->length > 4096, "hung up on:\n%s", (const char *)request->data);
        hang_up(); /* the server's patience with an idle connection had ended, or with a head too long */
    }
    bytes_done(&reply.text);
}

static void note_table(void)
{
    uint32_t count = 0;
    const struct route *routes = route_all(&count);
    for (uint32_t i = 0; i < count; i++)
        fuzz_reached("table %s %s", routes[i].method, routes[i].path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct bytes request;
    const char *text = (const char *)data;
    const size_t line = line_length(text, length);
    if (length < 5 || length > 16384 || !line_is_sound(text, line) || waits(text, line))
        return 0;
    begin();
    note_table();
    bytes_init(&request, 0);
    compose(text, length, &request);
    bytes_append(&request, "", 1);
    request.length--;
    exchange(&request, text, line);
    bytes_done(&request);
    return 0;
}
