#include "node/client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/check.h"

#define CONNECT_TIMEOUT_MS 1000u

struct client_call {
    struct client *client;
    struct client_call *next, **link;
    CURL *easy;
    struct curl_slist *headers;
    struct bytes body, answer;
    client_done_fn *done;
    void *context;
    char detail[CURL_ERROR_SIZE];
};

struct client {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t *timer;
    struct client_call *calls;
    uint32_t count;
};

/* --- libcurl's wishes, carried out by libuv
 * -------------------------------------------------------------------------- */

struct watch { /* one socket */
    uv_poll_t poll;
    struct client *client;
    curl_socket_t socket;
};

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

static void finish_calls(struct client *self);

static void on_socket(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    struct client *self = watch->client;
    int flags = 0, running = 0;
    if (status < 0)
        flags = CURL_CSELECT_ERR;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    (void)curl_multi_socket_action(self->multi, watch->socket, flags, &running);
    finish_calls(self);
}

static void on_timer(uv_timer_t *timer)
{
    struct client *self = timer->data;
    int running = 0;
    (void)curl_multi_socket_action(self->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    finish_calls(self);
}

static int want_timer(CURLM *multi, long timeout_ms, void *context)
{
    struct client *self = context;
    (void)multi;
    if (timeout_ms < 0)
        return uv_timer_stop(self->timer);
    /* 0 would be called at once, but never inside this callback: libcurl forbids that. */
    return uv_timer_start(self->timer, on_timer, (uint64_t)timeout_ms, 0);
}

static int want_socket(CURL *easy, curl_socket_t socket, int what, void *context, void *socket_context)
{
    struct client *self = context;
    struct watch *watch = socket_context;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch) {
            (void)curl_multi_assign(self->multi, socket, NULL);
            uv_poll_stop(&watch->poll);
            uv_close((uv_handle_t *)&watch->poll, free_handle);
        }
        return 0;
    }
    if (!watch) {
        watch = memory_zero(1, sizeof *watch);
        watch->client = self;
        watch->socket = socket;
        if (uv_poll_init_socket(self->loop, &watch->poll, socket) != 0) {
            free(watch);
            return -1;
        }
        watch->poll.data = watch;
        (void)curl_multi_assign(self->multi, socket, watch);
    }
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&watch->poll, events, on_socket) == 0 ? 0 : -1;
}

/* --- calls
 * -------------------------------------------------------------------------------------------------------------
 */

static void call_free(struct client_call *call)
{
    struct client *self = call->client;
    *call->link = call->next;
    if (call->next)
        call->next->link = call->link;
    self->count--;
    (void)curl_multi_remove_handle(self->multi, call->easy);
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    bytes_done(&call->body);
    bytes_done(&call->answer);
    free(call);
}

void client_cancel(struct client_call *call)
{
    if (call)
        call_free(call);
}

static void describe(struct client_call *call, CURLcode code, struct client_answer *answer)
{
    long status = 0, request_bytes = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &request_bytes);
    answer->status = (uint32_t)status;
    answer->body = bytes_span(&call->answer);
    /* The code alone doesn't tell: when a kept connection dies, libcurl sends once more on a new one, and its
     * refused port is what we hear; the bytes of both count. */
    answer->sent = request_bytes > 0;
    if (code == CURLE_OK)
        return;
    char *url = NULL;
    (void)curl_easy_getinfo(call->easy, CURLINFO_EFFECTIVE_URL, &url);
    answer->error = code == CURLE_OPERATION_TIMEDOUT ? ERROR_TIMEOUT
                    : call->answer.overflow          ? ERROR_TOO_BIG
                                                     : ERROR_UNAVAILABLE;
    snprintf(answer->message, sizeof answer->message, "%s: %s", url ? url : "?",
             call->detail[0] ? call->detail : curl_easy_strerror(code));
}

static void finish_calls(struct client *self)
{
    CURLMsg *message;
    int left = 0;
    while ((message = curl_multi_info_read(self->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        struct client_call *call = NULL;
        struct client_answer answer = {0};
        CURLcode code = message->data.result; /* the message dies with its handle */
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        describe(call, code, &answer);
        /* The call is taken off before `done`, which may send the next one, but what it borrows is freed
         * after. */
        struct bytes kept = call->answer;
        client_done_fn *done = call->done;
        void *context = call->context;
        bytes_init(&call->answer, 0);
        call_free(call);
        done(context, &answer);
        bytes_done(&kept);
    }
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct client_call *call = context;
    bytes_append(&call->answer, data, size * count);
    return call->answer.overflow ? 0 : size * count;
}

static void call_configure(struct client_call *call, const struct client_request *request, const char *url)
{
    CURL *easy = call->easy;
    uint64_t connect_ms = request->timeout_ms < CONNECT_TIMEOUT_MS ? request->timeout_ms : CONNECT_TIMEOUT_MS;
    (void)curl_easy_setopt(easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->detail);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    for (size_t i = 0; i < sizeof request->headers / sizeof request->headers[0] && request->headers[i]; i++)
        call->headers = curl_slist_append(call->headers, request->headers[i]);
    if (strcmp(request->method, "GET") != 0) {
        bytes_append(&call->body, request->body.data, request->body.bytes);
        (void)curl_easy_setopt(easy, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
                               call->body.data ? (const char *)call->body.data : "");
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)call->body.length);
        call->headers = curl_slist_append(call->headers, "Expect:"); /* no waiting for 100-continue */
    }
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
}

enum error_code client_send(struct client *self, const struct client_request *request,
                            struct client_call **out, struct error *error)
{
    char url[ADDRESS_BYTES_MAX * 4];
    if (self->count >= CLIENT_CALLS_MAX)
        return error_set(error, ERROR_BUSY, "%u requests to other nodes are under way; retry later",
                         self->count);
    int length = snprintf(url, sizeof url, "%s%s", request->base, request->path);
    if (length < 0 || (size_t)length >= sizeof url || request->base[0] == 0)
        return error_set(error, ERROR_INVALID, "\"%.80s\" is no usable address of a node", request->base);
    struct client_call *call = memory_zero(1, sizeof *call);
    call->client = self;
    call->done = request->done;
    call->context = request->context;
    bytes_init(&call->body, 0);
    bytes_init(&call->answer, request->answer_bytes_max);
    call->easy = curl_easy_init();
    CHECK(call->easy != NULL, "libcurl has no memory");
    call_configure(call, request, url);
    call->next = self->calls;
    call->link = &self->calls;
    if (self->calls)
        self->calls->link = &call->next;
    self->calls = call;
    self->count++;
    CHECK(curl_multi_add_handle(self->multi, call->easy) == CURLM_OK, "libcurl takes a fresh handle");
    *out = call;
    return ERROR_OK;
}

struct client *client_open(struct uv_loop_s *loop)
{
    CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == 0, "libcurl has no memory");
    struct client *self = memory_zero(1, sizeof *self);
    self->loop = loop;
    self->multi = curl_multi_init();
    CHECK(self->multi != NULL, "libcurl has no memory");
    self->timer = memory_zero(1, sizeof *self->timer);
    CHECK(uv_timer_init(loop, self->timer) == 0, "a timer needs only memory");
    self->timer->data = self;
    (void)curl_multi_setopt(self->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    (void)curl_multi_setopt(self->multi, CURLMOPT_SOCKETDATA, self);
    (void)curl_multi_setopt(self->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    (void)curl_multi_setopt(self->multi, CURLMOPT_TIMERDATA, self);
    (void)curl_multi_setopt(self->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)CLIENT_CONNECTIONS_MAX);
    (void)curl_multi_setopt(self->multi, CURLMOPT_MAXCONNECTS, (long)CLIENT_CONNECTIONS_MAX);
    return self;
}

void client_close(struct client *self)
{
    if (!self)
        return;
    while (self->calls)
        call_free(self->calls);
    (void)curl_multi_cleanup(self->multi); /* closes kept connections, whose watches go with them */
    uv_close((uv_handle_t *)self->timer, free_handle);
    free(self);
}
