/* What the load needs besides its loop: where the nodes are, what they must hold first, what time they took.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/check.h"
#include "tools/load/load.h"
#include "tools/load/response.h"

enum error_code load_target(const char *url, struct sockaddr_in *out, struct error *error)
{
    char host[256];
    uint64_t port = 0;
    const char *colon = strrchr(url, ':');
    if (strncmp(url, "http://", 7) != 0 || colon == NULL || colon < url + 8 ||
        colon - url - 7 >= (long)sizeof host)
        return error_set(error, ERROR_INVALID, "\"%s\" is not http://HOST:PORT", url);
    if (!parse_u64(colon + 1, 65535, &port) || port == 0)
        return error_set(error, ERROR_INVALID, "\"%s\" ends in no port", url);
    snprintf(host, sizeof host, "%.*s", (int)(colon - url - 7), url + 7);
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
    int code = getaddrinfo(host, colon + 1, &hints, &found);
    if (code != 0)
        return error_set(error, ERROR_INVALID, "%s: %s", url, gai_strerror(code));
    memcpy(out, found->ai_addr, sizeof *out);
    freeaddrinfo(found);
    return ERROR_OK;
}

static enum error_code send_all(int fd, const struct bytes *request, struct error *error)
{
    size_t sent = 0;
    while (sent < request->length) {
        ssize_t n = send(fd, request->data + sent, request->length - sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return error_set(error, ERROR_UNAVAILABLE, "sending: %s", strerror(errno));
        sent += n > 0 ? (size_t)n : 0;
    }
    return ERROR_OK;
}

static enum error_code exchange(int fd, const struct bytes *request, struct error *error)
{
    char buffer[4096], first[160] = "";
    struct response response;
    enum response_verdict verdict = RESPONSE_MORE;
    enum error_code code = send_all(fd, request, error);
    response_init(&response);
    while (code == ERROR_OK && verdict == RESPONSE_MORE) {
        ssize_t n = recv(fd, buffer, sizeof buffer, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_set(error, ERROR_UNAVAILABLE, "no answer: %s", n == 0 ? "closed" : strerror(errno));
        verdict = response_feed(&response, buffer, (size_t)n);
        snprintf(first, sizeof first, "%.*s", (int)(n > 150 ? 150 : n), buffer + (n > 150 ? n - 150 : 0));
    }
    if (code != ERROR_OK)
        return code;
    if (verdict == RESPONSE_BAD)
        return error_set(error, ERROR_CORRUPT, "not an answer: %s", response.why);
    if (response.status >= 300 || !response.keep_alive)
        return error_set(error, ERROR_CONFLICT, "the preparation was answered with %u: %s", response.status,
                         first);
    return ERROR_OK;
}

enum error_code load_prepare(const struct load_setting *setting, struct error *error)
{
    const struct workload *workload = &setting->workload;
    struct timeval patience = {.tv_sec = LOAD_TIMEOUT_MS / 1000};
    if (workload->prepare[0] == NULL)
        return ERROR_OK;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0, "socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    enum error_code code = ERROR_OK;
    if (connect(fd, (const struct sockaddr *)&setting->targets[0], sizeof setting->targets[0]) != 0)
        code = error_set(error, ERROR_UNAVAILABLE, "connecting: %s", strerror(errno));
    struct bytes request;
    bytes_init(&request, WORKLOAD_VALUE_BYTES_MAX * 4);
    for (uint64_t i = 0; code == ERROR_OK && i < 2u * WORKLOAD_KEYS; i++) {
        if (workload->prepare[i / WORKLOAD_KEYS] == NULL)
            break;
        bytes_clear(&request);
        workload->prepare[i / WORKLOAD_KEYS](workload, i % WORKLOAD_KEYS, &request);
        code = exchange(fd, &request, error);
    }
    bytes_done(&request);
    close(fd);
    return code;
}

enum error_code load_cpu_ms(pid_t pid, uint64_t *out_ms, struct error *error)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return error_set(error, ERROR_NOT_FOUND, "process %d: %s", (int)pid, strerror(errno));
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = 0;
    /* The name in brackets may hold anything; user and system time are the 12th and 13th word behind it. */
    const char *at = strrchr(text, ')');
    unsigned long user = 0, kernel = 0;
    if (at == NULL ||
        sscanf(at + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %lu", &user, &kernel) != 2)
        return error_set(error, ERROR_CORRUPT, "%s is not as it should be", path);
    *out_ms = (uint64_t)(user + kernel) * 1000u / (uint64_t)sysconf(_SC_CLK_TCK);
    return ERROR_OK;
}
