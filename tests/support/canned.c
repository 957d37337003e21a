#include "support/canned.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"

struct canned {
    int listener;
    char url[64];
    pthread_t thread;
    _Atomic bool closing;
    _Atomic unsigned requests;
    canned_answer_fn *answer;
    void *context;
};

/** Head and body of one request; only the head is kept. @return false: the client went away */
static bool read_request(int socket, char *head, size_t head_max)
{
    size_t used = 0, body = 0;
    char *end = NULL;
    while (!end) {
        ssize_t count = recv(socket, head + used, head_max - 1 - used, 0);
        if (count <= 0)
            return false;
        used += (size_t)count;
        head[used] = 0;
        end = strstr(head, "\r\n\r\n");
    }
    const char *length = strcasestr(head, "\r\nContent-Length:");
    if (length)
        body = strtoul(length + 17, NULL, 10);
    size_t have = used - (size_t)(end + 4 - head);
    char sink[4096];
    while (have < body) {
        ssize_t count = recv(socket, sink, sizeof sink, 0);
        if (count <= 0)
            return false;
        have += (size_t)count;
    }
    end[2] = 0;
    return true;
}

static void *serve(void *context)
{
    struct canned *self = context;
    while (!atomic_load(&self->closing)) {
        char head[16384];
        int socket = accept4(self->listener, NULL, NULL, SOCK_CLOEXEC);
        if (socket < 0)
            break;
        if (!atomic_load(&self->closing) && read_request(socket, head, sizeof head))
            self->answer(self->context, atomic_fetch_add(&self->requests, 1) + 1, head, socket);
        close(socket);
    }
    return NULL;
}

struct canned *canned_open(canned_answer_fn *answer, void *context)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    struct canned *self = memory_zero(1, sizeof *self);
    self->answer = answer;
    self->context = context;
    self->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(self->listener, (struct sockaddr *)&address, sizeof address) == 0, "a free port");
    CHECK(listen(self->listener, 16) == 0, "listen");
    CHECK(getsockname(self->listener, (struct sockaddr *)&address, &bytes) == 0, "getsockname");
    snprintf(self->url, sizeof self->url, "http://127.0.0.1:%u", ntohs(address.sin_port));
    CHECK(pthread_create(&self->thread, NULL, serve, self) == 0, "a thread");
    return self;
}

const char *canned_url(const struct canned *self)
{
    return self->url;
}

unsigned canned_requests(const struct canned *self)
{
    return atomic_load(&self->requests);
}

void canned_close(struct canned *self)
{
    if (!self)
        return;
    atomic_store(&self->closing, true);
    shutdown(self->listener, SHUT_RDWR);
    CHECK(pthread_join(self->thread, NULL) == 0, "join");
    close(self->listener);
    free(self);
}

void canned_reply(int socket, unsigned status, const char *more_headers, const void *body,
                  unsigned long bytes)
{
    char head[512];
    int length =
        snprintf(head, sizeof head, "HTTP/1.1 %u X\r\nContent-Length: %lu\r\nConnection: close\r\n%s\r\n",
                 status, bytes, more_headers);
    (void)!send(socket, head, (size_t)length, MSG_NOSIGNAL);
    size_t done = 0;
    while (done < bytes) {
        ssize_t count = send(socket, (const char *)body + done, bytes - done, MSG_NOSIGNAL);
        if (count <= 0)
            return;
        done += (size_t)count;
    }
}
