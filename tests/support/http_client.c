#include "tests/support/http_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"

#define PATIENCE_MS 60000 /* a test that waits longer is broken */

void http_answer_done(struct http_answer *self)
{
    free(self->head);
    free(self->body);
    json_decref(self->json);
    *self = (struct http_answer){0};
}

const char *http_answer_header(const struct http_answer *self, const char *name)
{
    static _Thread_local char value[512];
    size_t length = strlen(name);
    value[0] = '\0';
    for (const char *line = self->head; line != NULL && *line != '\0'; line = strstr(line, "\r\n")) {
        line += line == self->head ? 0 : 2;
        if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
            const char *text = line + length + 1 + strspn(line + length + 1, " ");
            snprintf(value, sizeof(value), "%.*s", (int)strcspn(text, "\r\n"), text);
            return value;
        }
        if (strncmp(line, "\r\n", 2) == 0)
            break;
    }
    return value;
}

int http_connect(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0, "socket: %d", errno);
    CHECK(connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0, "connect to port %u: %d", port, errno);
    return fd;
}

bool http_send(int fd, const void *data, size_t length)
{
    const char *at = data;
    while (length > 0) {
        ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        length -= (size_t)sent;
    }
    return true;
}

bool http_send_text(int fd, const char *text)
{
    return http_send(fd, text, strlen(text));
}

static bool readable(int fd, int patience_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, patience_ms) == 1;
}

/* Never reads further than asked: what follows belongs to the next answer.
 * @return bytes read; 0 when the other side closed or broke off */
static size_t read_more(int fd, struct bytes *out, size_t length_max)
{
    char block[16384];
    CHECK(readable(fd, PATIENCE_MS), "no answer within %d ms", PATIENCE_MS);
    ssize_t got = recv(fd, block, length_max < sizeof(block) ? length_max : sizeof(block), 0);
    if (got <= 0)
        return 0;
    bytes_append(out, block, (size_t)got);
    return (size_t)got;
}

static char *text_of(const struct bytes *all, size_t from, size_t length)
{
    char *text = memory_new(length + 1);
    if (length > 0)
        memcpy(text, all->data + from, length);
    text[length] = '\0';
    return text;
}

/* Reads up to the empty line. @return false: closed before it came */
static bool read_head(int fd, struct http_answer *answer)
{
    struct bytes head;
    bool whole = false;
    bytes_init(&head, 0);
    while (!whole && read_more(fd, &head, 1) > 0)
        whole = head.length >= 4 && memcmp(head.data + head.length - 4, "\r\n\r\n", 4) == 0;
    if (whole) {
        answer->head = text_of(&head, 0, head.length);
        answer->status = atoi(answer->head + strcspn(answer->head, " "));
    }
    bytes_done(&head);
    return whole;
}

/* @param wanted  SIZE_MAX: until the server closes */
static void read_body(int fd, struct http_answer *answer, size_t wanted)
{
    struct bytes body;
    bytes_init(&body, 0);
    while (body.length < wanted && read_more(fd, &body, wanted - body.length) > 0)
        ;
    answer->body_bytes = body.length;
    answer->body = text_of(&body, 0, body.length);
    bytes_done(&body);
    answer->json = json_loadb(answer->body, answer->body_bytes, JSON_DECODE_ANY, NULL);
}

static struct http_answer receive(int fd, bool no_body)
{
    struct http_answer answer = {0};
    if (!read_head(fd, &answer))
        return answer;
    if (answer.status == 100) { /* go on: what counts comes after it */
        http_answer_done(&answer);
        CHECK(read_head(fd, &answer), "nothing after 100 Continue");
    }
    const char *length = http_answer_header(&answer, "Content-Length");
    read_body(fd, &answer, length[0] == '\0' || no_body ? SIZE_MAX : (size_t)strtoull(length, NULL, 10));
    return answer;
}

struct http_answer http_receive(int fd)
{
    return receive(fd, false);
}

struct http_answer http_call_bytes(uint16_t port, const char *method, const char *path, const char *headers,
                                   const void *body, size_t body_bytes)
{
    struct bytes request;
    bool typed = headers != NULL && strcasestr(headers, "Content-Type:") != NULL;
    bytes_init(&request, 0);
    bytes_printf(&request, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", method, path);
    bytes_append_text(&request, headers != NULL ? headers : "");
    if (body != NULL && !typed)
        bytes_append_text(&request, "Content-Type: application/json\r\n");
    if (body != NULL)
        bytes_printf(&request, "Content-Length: %zu\r\n", body_bytes);
    bytes_append_text(&request, "\r\n");
    if (body != NULL)
        bytes_append(&request, body, body_bytes);
    int fd = http_connect(port);
    (void)http_send(fd, request.data,
                    request.length); /* a server that answers early may close before the end */
    bytes_done(&request);
    struct http_answer answer = receive(fd, strcmp(method, "HEAD") == 0);
    close(fd);
    return answer;
}

struct http_answer http_call(uint16_t port, const char *method, const char *path, const char *headers,
                             const char *body)
{
    return http_call_bytes(port, method, path, headers, body, body != NULL ? strlen(body) : 0);
}

bool http_closed(int fd, int patience_ms)
{
    struct timespec start, now;
    char block[4096];
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (;;) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        long waited_ms = (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000;
        if (waited_ms >= patience_ms || !readable(fd, patience_ms - (int)waited_ms))
            return false;
        if (recv(fd, block, sizeof(block), 0) <= 0)
            return true;
    }
}
