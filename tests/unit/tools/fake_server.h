/* A scripted HTTP server on loopback: each request takes the next reply; the last one repeats.
 *
 * Requests for /v1/ha/status stand outside the script (the command line looks there for members); they are
 * answered with `status_body`, or 404 without one. */
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum fake_act {
    FAKE_ANSWER,
    FAKE_HANG_UP, /* reads the request, closes without an answer */
    FAKE_SILENT   /* reads the request, says nothing until the client leaves */
};

struct fake_reply {
    int status;
    const char *body;
    enum fake_act act;
};

#define FAKE_REQUESTS_MAX  64
#define FAKE_REQUEST_BYTES 8192

struct fake_server {
    int fd;
    char url[64];
    pthread_t thread;
    atomic_bool stop;
    const struct fake_reply *replies;
    size_t reply_count, reply_at;
    const char *status_body;
    char requests[FAKE_REQUESTS_MAX]
                 [FAKE_REQUEST_BYTES]; /* whole: line, headers, body; read after fake_stop() */
    size_t request_count;
};

/* Reads one request: its head, then as many bytes as Content-Length says. */
static inline void fake_read(int fd, char *out)
{
    size_t length = 0, wanted = 0;
    while (length < FAKE_REQUEST_BYTES - 1) {
        ssize_t got = read(fd, out + length, FAKE_REQUEST_BYTES - 1 - length);
        if (got <= 0)
            break;
        length += (size_t)got;
        out[length] = '\0';
        const char *end = strstr(out, "\r\n\r\n");
        const char *field = strcasestr(out, "content-length:");
        if (end && wanted == 0)
            wanted = (size_t)(end - out) + 4 + (field && field < end ? (size_t)atol(field + 15) : 0);
        if (wanted > 0 && length >= wanted)
            break;
    }
    out[length] = '\0';
}

static inline void fake_write(int fd, int status, const char *body)
{
    char head[256];
    int length = snprintf(head, sizeof head,
                          "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                          "Connection: close\r\n\r\n",
                          status, strlen(body));
    if (send(fd, head, (size_t)length, MSG_NOSIGNAL) < 0 || send(fd, body, strlen(body), MSG_NOSIGNAL) < 0)
        return; /* the client left: its own test notices */
}

static inline void fake_serve(struct fake_server *self, int fd)
{
    char request[FAKE_REQUEST_BYTES];
    fake_read(fd, request);
    if (strncmp(request, "GET /v1/ha/status", 17) == 0) {
        fake_write(fd, self->status_body ? 200 : 404, self->status_body ? self->status_body : "{}");
        return;
    }
    if (self->request_count < FAKE_REQUESTS_MAX)
        memcpy(self->requests[self->request_count++], request, sizeof request);
    const struct fake_reply *reply = &self->replies[self->reply_at];
    if (self->reply_at + 1 < self->reply_count)
        self->reply_at++;
    if (reply->act == FAKE_ANSWER)
        fake_write(fd, reply->status, reply->body);
    while (reply->act == FAKE_SILENT && !atomic_load(&self->stop)) {
        char byte;
        struct pollfd event = {.fd = fd, .events = POLLIN};
        if (poll(&event, 1, 20) > 0 && read(fd, &byte, 1) <= 0)
            break;
    }
}

static inline void *fake_loop(void *context)
{
    struct fake_server *self = context;
    while (!atomic_load(&self->stop)) {
        struct pollfd event = {.fd = self->fd, .events = POLLIN};
        if (poll(&event, 1, 20) <= 0)
            continue;
        int fd = accept(self->fd, NULL, NULL);
        if (fd < 0)
            continue;
        fake_serve(self, fd);
        close(fd);
    }
    return NULL;
}

/* A listening socket on a free port of loopback. @return the port */
static inline int fake_listen(int *fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0 || bind(*fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(*fd, 16) != 0 ||
        getsockname(*fd, (struct sockaddr *)&address, &length) != 0)
        abort();
    return ntohs(address.sin_port);
}

static inline struct fake_server *fake_start(const struct fake_reply *replies, size_t count)
{
    struct fake_server *self = calloc(1, sizeof *self);
    if (!self)
        abort();
    self->replies = replies;
    self->reply_count = count;
    snprintf(self->url, sizeof self->url, "http://127.0.0.1:%d", fake_listen(&self->fd));
    if (pthread_create(&self->thread, NULL, fake_loop, self) != 0)
        abort();
    return self;
}

/* Ends the thread; what it saw stays readable until fake_free(). */
static inline void fake_stop(struct fake_server *self)
{
    atomic_store(&self->stop, true);
    pthread_join(self->thread, NULL);
    close(self->fd);
}

static inline void fake_free(struct fake_server *self)
{
    free(self);
}

/* A URL where nobody listens: the port was free a moment ago. */
static inline void fake_dead_url(char *out, size_t out_bytes)
{
    int fd;
    int port = fake_listen(&fd);
    close(fd);
    snprintf(out, out_bytes, "http://127.0.0.1:%d", port);
}
