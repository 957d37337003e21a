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

/* @return bytes read; 0 when the other side closed or broke off */
static size_t read_more(int fd, struct bytes *out)
{
    char block[16384];
    CHECK(readable(fd, PATIENCE_MS), "no answer within %d ms", PATIENCE_MS);
    ssize_t got = recv(fd, block, sizeof(block), 0);
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

static size_t head_end(const struct bytes *all)
{
    const uint8_t *end = all->length > 0 ? memmem(all->data, all->length, "\r\n\r\n", 4) : NULL;
    return end != NULL ? (size_t)(end - all->data) + 4 : 0;
}

struct http_answer http_receive(int fd)
{
    struct http_answer answer = {0};
    struct bytes all;
    size_t head = 0;
    bytes_init(&all, 0);
    while ((head = head_end(&all)) == 0)
        if (read_more(fd, &all) == 0)
            break;
    if (head == 0) {
        bytes_done(&all);
        return answer;
    }
    answer.head = text_of(&all, 0, head);
    answer.status = atoi(answer.head + strcspn(answer.head, " "));
    if (answer.status == 100) { /* go on: what counts comes after it */
        http_answer_done(&answer);
        size_t rest = all.length - head;
        memmove(all.data, all.data + head, rest);
        all.length = rest;
        while ((head = head_end(&all)) == 0)
            if (read_more(fd, &all) == 0)
                break;
        CHECK(head > 0, "nothing after 100 Continue");
        answer.head = text_of(&all, 0, head);
        answer.status = atoi(answer.head + strcspn(answer.head, " "));
    }
    const char *length_text = http_answer_header(&answer, "Content-Length");
    size_t wanted = length_text[0] != '\0' ? (size_t)strtoull(length_text, NULL, 10) : SIZE_MAX;
    while (all.length - head < wanted && read_more(fd, &all) > 0)
        ;
    answer.body_bytes = all.length - head;
    answer.body = text_of(&all, head, answer.body_bytes);
    bytes_done(&all);
    answer.json = json_loadb(answer.body, answer.body_bytes, JSON_DECODE_ANY, NULL);
    return answer;
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
    struct http_answer answer = {0};
    if (strcmp(method, "HEAD") == 0) {
        struct bytes all;
        bytes_init(&all, 0);
        while (read_more(fd, &all) > 0)
            ;
        size_t head = head_end(&all);
        answer.head = text_of(&all, 0, head);
        answer.status = head > 0 ? atoi(answer.head + strcspn(answer.head, " ")) : 0;
        answer.body_bytes = all.length - head;
        answer.body = text_of(&all, head, answer.body_bytes);
        bytes_done(&all);
    } else {
        answer = http_receive(fd);
    }
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
