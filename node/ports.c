#include "node/ports.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"

static int bind_one(const struct addrinfo *at)
{
    int yes = 1, fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, 1) == 0)
        return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

/** What else may be wrong with an address is for its listener to say. */
static enum error_code take(const char *setting, const char *address, int *out, struct error *error)
{
    char host[ADDRESS_BYTES_MAX];
    struct addrinfo *found = NULL,
                    hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    const char *colon = strrchr(address, ':');
    bool bracketed = address[0] == '[' && colon && colon[-1] == ']';
    if (!colon)
        return ERROR_OK;
    int bytes = (int)(colon - address) - (bracketed ? 2 : 0);
    snprintf(host, sizeof host, "%.*s", bytes, address + bracketed);
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return ERROR_OK;
    *out = bind_one(found);
    int reason = *out < 0 ? errno : 0;
    freeaddrinfo(found);
    if (reason == EADDRINUSE)
        return error_set(error, ERROR_LOCKED, "%s: %s is in use by another process", setting, address);
    return ERROR_OK;
}

enum error_code ports_check(const struct config *config, struct error *error)
{
    int api = -1, wire = -1;
    enum error_code code = take("api.listen", config->api_listen, &api, error);
    if (code == ERROR_OK)
        code = take("wire.listen", config->wire_listen, &wire, error);
    if (api >= 0)
        close(api);
    if (wire >= 0)
        close(wire);
    return code;
}
