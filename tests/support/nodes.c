#include "support/nodes.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/disk.h"

#define AWAIT_MS 30000u

void test_sleep_ms(unsigned ms)
{
    usleep(ms * 1000u);
}

void test_folder_make(char out[64])
{
    snprintf(out, 64, "/tmp/autonomy-node-XXXXXX");
    assert_non_null(mkdtemp(out));
}

void test_folder_remove(const char *folder)
{
    struct error error = {0};
    if (disk_remove(folder, &error) != ERROR_OK)
        fail_msg("%s", error.message);
}

unsigned test_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int socket_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(socket_fd >= 0);
    assert_int_equal(bind(socket_fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(socket_fd, (struct sockaddr *)&address, &bytes), 0);
    close(socket_fd);
    return ntohs(address.sin_port);
}

/* --- nodes
 * ---------------------------------------------------------------------------------------------------------------
 */

void test_node_configure(struct test_node *self, const char *folder, const char *name, const char *more)
{
    struct error error = {0};
    unsigned api = test_port();
    *self = (struct test_node){0};
    snprintf(self->folder, sizeof self->folder, "%s/%s", folder, name);
    snprintf(self->url, sizeof self->url, "http://127.0.0.1:%u", api);
    snprintf(self->yaml, sizeof self->yaml,
             "name: %s\ndata_dir: %s\napi: {listen: '127.0.0.1:%u', connections: 64, threads: 1}\n"
             "wire: {listen: '127.0.0.1:%u'}\nreserve_bytes: 1MiB\n%s",
             name, self->folder, api, test_port(), more);
    if (config_parse("test", self->yaml, strlen(self->yaml), &self->config, &error) != ERROR_OK)
        fail_msg("%s", error.message);
}

/** In the child: what main() does, and the error for the parent to read. */
static _Noreturn void child(struct test_node *self)
{
    char path[160];
    struct error error = {0};
    snprintf(path, sizeof path, "%s.log", self->folder);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log >= 0)
        (void)dup2(log, STDERR_FILENO);
    struct node *node = node_new(&self->config);
    int code = node_run(node, &error);
    node_free(node);
    config_done(&self->config);
    snprintf(path, sizeof path, "%s.error", self->folder);
    FILE *file = fopen(path, "w");
    if (file) {
        fputs(error.message, file);
        fclose(file);
    }
    exit(code);
}

void test_node_begin(struct test_node *self)
{
    assert_false(self->running);
    self->error = (struct error){0};
    self->code = -1;
    fflush(NULL);
    self->pid = fork();
    if (self->pid == 0)
        child(self);
    assert_true(self->pid > 0);
    self->running = true;
}

static void ended(struct test_node *self, int status)
{
    char path[160];
    self->running = false;
    self->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    snprintf(path, sizeof path, "%s.error", self->folder);
    FILE *file = fopen(path, "r");
    if (!file)
        return;
    size_t length = fread(self->error.message, 1, sizeof self->error.message - 1, file);
    self->error.message[length] = 0;
    fclose(file);
}

void test_node_start(struct test_node *self)
{
    test_node_begin(self);
    for (unsigned waited = 0; test_request("GET", self->url, "/v1/health", NULL, NULL, NULL) != 200;
         waited += 20) {
        int status = 0;
        if (waited > AWAIT_MS)
            fail_msg("%s does not serve", self->folder);
        if (waitpid(self->pid, &status, WNOHANG) == self->pid) {
            ended(self, status);
            fail_msg("%s ended with %d: %s", self->folder, self->code, self->error.message);
        }
        test_sleep_ms(20);
    }
}

int test_node_wait(struct test_node *self)
{
    int status = 0;
    assert_true(self->running);
    assert_int_equal(waitpid(self->pid, &status, 0), self->pid);
    ended(self, status);
    return self->code;
}

int test_node_stop(struct test_node *self)
{
    if (!self->running)
        return self->code;
    assert_int_equal(kill(self->pid, SIGTERM), 0);
    return test_node_wait(self);
}

void test_node_kill(struct test_node *self)
{
    if (!self->running)
        return;
    assert_int_equal(kill(self->pid, SIGKILL), 0);
    assert_int_equal(test_node_wait(self), 128 + SIGKILL);
}

void test_node_done(struct test_node *self)
{
    (void)test_node_stop(self);
    config_done(&self->config);
}

/* --- asking
 * ----------------------------------------------------------------------------------------------------------------
 */

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    bytes_append(context, data, size * count);
    return size * count;
}

static unsigned exchange(const char *method, const char *url, const char *path, const void *body,
                         size_t body_bytes, struct curl_slist *lines, struct bytes *answer)
{
    char whole[512];
    long status = 0;
    CURL *easy = curl_easy_init();
    snprintf(whole, sizeof whole, "%s%s", url, path);
    (void)curl_easy_setopt(easy, CURLOPT_URL, whole);
    (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, lines);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 20000L);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, answer);
    if (body) {
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)body_bytes);
        (void)curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, body);
    }
    if (curl_easy_perform(easy) == CURLE_OK)
        (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(easy);
    curl_slist_free_all(lines);
    return (unsigned)status;
}

unsigned test_request(const char *method, const char *url, const char *path, const char *body,
                      const char *const *headers, json_t **out)
{
    struct bytes answer;
    struct curl_slist *lines = curl_slist_append(NULL, "Content-Type: application/json");
    bytes_init(&answer, 0);
    for (size_t i = 0; headers && headers[i]; i++)
        lines = curl_slist_append(lines, headers[i]);
    unsigned status = exchange(method, url, path, body, body ? strlen(body) : 0, lines, &answer);
    if (out)
        *out = answer.length > 0 ? json_loadb((const char *)answer.data, answer.length, 0, NULL) : NULL;
    bytes_done(&answer);
    return status;
}

unsigned test_post_bytes(const char *url, const char *path, const void *body, size_t bytes)
{
    struct bytes answer;
    bytes_init(&answer, 0);
    struct curl_slist *lines = curl_slist_append(NULL, "Content-Type: application/octet-stream");
    unsigned status = exchange("POST", url, path, body, bytes, lines, &answer);
    bytes_done(&answer);
    return status;
}

void test_await(const char *url, const char *path, bool (*check)(const json_t *json, const void *context),
                const void *context)
{
    char *last = NULL;
    for (unsigned waited = 0; waited < AWAIT_MS; waited += 50) {
        json_t *json = NULL;
        unsigned status = test_request("GET", url, path, NULL, NULL, &json);
        bool good = status == 200 && check(json, context);
        free(last);
        last = json ? json_dumps(json, 0) : NULL;
        json_decref(json);
        if (good) {
            free(last);
            return;
        }
        test_sleep_ms(50);
    }
    fail_msg("%s%s never came to what was awaited; last: %s", url, path, last ? last : "nothing");
}

bool test_is_leader(const json_t *json, const void *context)
{
    (void)context;
    return json_is_true(json_object_get(json, "write_ready"));
}

bool test_has_voters(const json_t *json, const void *context)
{
    size_t i, voters = 0;
    json_t *row;
    json_array_foreach(json_object_get(json, "members"), i, row)
    {
        const char *role = json_string_value(json_object_get(row, "role"));
        voters += role && strcmp(role, "voter") == 0 && json_is_true(json_object_get(row, "reachable"));
    }
    return voters == *(const size_t *)context;
}
