#include "tools/load/workload.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

#define BODY_BYTES_MAX (WORKLOAD_VALUE_BYTES_MAX * 2 + 1024)

static void frame(struct bytes *out, const char *method, const char *path, const struct bytes *body)
{
    bytes_printf(out, "%s %s HTTP/1.1\r\nHost: bench\r\nX-Autonomy-Operator: bench@localhost\r\n", method,
                 path);
    if (body != NULL) {
        bytes_printf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n", body->length);
        bytes_append(out, body->data, body->length);
    } else {
        bytes_append_text(out, "\r\n");
    }
    CHECK(!out->overflow, "a request of %zu bytes", out->length);
}

/* Text of exactly `length` bytes that differs from one number to the next. */
static void value(char *text, uint32_t length, uint64_t number)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
    uint64_t mixed = number * 0x9e3779b97f4a7c15ull;
    for (uint32_t i = 0; i < length; i++) {
        text[i] = letters[mixed & 31u];
        mixed = (mixed >> 5) ^ (mixed << 59) ^ i;
    }
    text[length] = 0;
}

static void flag_define(const struct workload *self, uint64_t number, struct bytes *out)
{
    (void)self;
    struct bytes body;
    char path[64];
    bytes_init(&body, BODY_BYTES_MAX);
    bytes_append_text(&body, "{\"type\":\"string\",\"default\":\"\",\"reason\":\"load\"}");
    snprintf(path, sizeof path, "/v1/flags/bench-%" PRIu64 "/definition", number % WORKLOAD_KEYS);
    frame(out, "PUT", path, &body);
    bytes_done(&body);
}

static void flag_set(const struct workload *self, uint64_t number, struct bytes *out)
{
    struct bytes body;
    char path[64], text[WORKLOAD_VALUE_BYTES_MAX + 1];
    value(text, self->value_bytes, number);
    bytes_init(&body, BODY_BYTES_MAX);
    bytes_printf(&body, "{\"value\":\"%s\",\"reason\":\"load\"}", text);
    snprintf(path, sizeof path, "/v1/flags/bench-%" PRIu64, number % WORKLOAD_KEYS);
    frame(out, "PUT", path, &body);
    bytes_done(&body);
}

static void plan_create(const struct workload *self, uint64_t number, struct bytes *out)
{
    struct bytes body;
    bytes_init(&body, BODY_BYTES_MAX);
    bytes_printf(&body,
                 "{\"plan_id\":\"bench-%s-%" PRIu64
                 "\",\"artifact\":{\"name\":\"bench\",\"version\":\"1.0.%" PRIu64
                 "\"},\"stages\":[{\"stage_id\":\"all\",\"target\":{\"percent\":100}}],\"reason\":\"load\"}",
                 self->run, number, number);
    frame(out, "POST", "/v1/rollouts", &body);
    bytes_done(&body);
}

static void flag_read(const struct workload *self, uint64_t number, struct bytes *out)
{
    (void)self;
    char path[64];
    snprintf(path, sizeof path, "/v1/flags/bench-%" PRIu64, number % WORKLOAD_KEYS);
    frame(out, "GET", path, NULL);
}

static void flag_read_stale(const struct workload *self, uint64_t number, struct bytes *out)
{
    (void)self;
    char path[64];
    snprintf(path, sizeof path, "/v1/flags/bench-%" PRIu64 "?consistency=stale", number % WORKLOAD_KEYS);
    frame(out, "GET", path, NULL);
}

static void mixed(const struct workload *self, uint64_t number, struct bytes *out)
{
    uint64_t turn = number % 10;
    uint64_t key = number / 10; /* else each key would only ever see one kind */
    if (turn < 2)
        flag_set(self, key, out);
    else if (turn == 2)
        flag_read_stale(self, key, out);
    else
        flag_read(self, key, out);
}

static void base64(struct bytes *out, const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i += 3) {
        size_t have = length - i < 3 ? length - i : 3;
        uint32_t three = 0;
        for (size_t j = 0; j < 3; j++)
            three = three << 8 | (j < have ? (uint8_t)text[i + j] : 0u);
        char four[4] = {digits[three >> 18 & 63], digits[three >> 12 & 63],
                        have > 1 ? digits[three >> 6 & 63] : '=', have > 2 ? digits[three & 63] : '='};
        bytes_append(out, four, sizeof four);
    }
}

static void etcd_pair(struct bytes *body, const char *key, const char *text)
{
    bytes_append_text(body, "{\"key\":\"");
    base64(body, key);
    bytes_append_text(body, "\",\"value\":\"");
    base64(body, text);
    bytes_append_text(body, "\"}");
}

static void etcd_key(char out[32], uint64_t number)
{
    snprintf(out, 32, "flag/bench-%" PRIu64, number % WORKLOAD_KEYS);
}

static void etcd_put(const struct workload *self, uint64_t number, struct bytes *out)
{
    struct bytes body;
    char key[32], text[WORKLOAD_VALUE_BYTES_MAX + 1];
    etcd_key(key, number);
    value(text, self->value_bytes, number);
    bytes_init(&body, BODY_BYTES_MAX);
    etcd_pair(&body, key, text);
    frame(out, "POST", "/v3/kv/put", &body);
    bytes_done(&body);
}

static void etcd_txn(const struct workload *self, uint64_t number, struct bytes *out)
{
    struct bytes body;
    char key[32], record_key[64], text[WORKLOAD_VALUE_BYTES_MAX + 1], record[WORKLOAD_RECORD_BYTES + 1];
    etcd_key(key, number);
    snprintf(record_key, sizeof record_key, "audit/%s-%" PRIu64, self->run, number);
    value(text, self->value_bytes, number);
    value(record, WORKLOAD_RECORD_BYTES, number);
    bytes_init(&body, BODY_BYTES_MAX);
    bytes_append_text(&body, "{\"success\":[{\"requestPut\":");
    etcd_pair(&body, key, text);
    bytes_append_text(&body, "},{\"requestPut\":");
    etcd_pair(&body, record_key, record);
    bytes_append_text(&body, "}]}");
    frame(out, "POST", "/v3/kv/txn", &body);
    bytes_done(&body);
}

static void etcd_range(uint64_t number, const char *more, struct bytes *out)
{
    struct bytes body;
    char key[32];
    etcd_key(key, number);
    bytes_init(&body, BODY_BYTES_MAX);
    bytes_append_text(&body, "{\"key\":\"");
    base64(&body, key);
    bytes_printf(&body, "\"%s}", more);
    frame(out, "POST", "/v3/kv/range", &body);
    bytes_done(&body);
}

static void etcd_read(const struct workload *self, uint64_t number, struct bytes *out)
{
    (void)self;
    etcd_range(number, "", out);
}

static void etcd_read_stale(const struct workload *self, uint64_t number, struct bytes *out)
{
    (void)self;
    etcd_range(number, ",\"serializable\":true", out);
}

static const struct workload workloads[] = {
    {.name = "flag-set",
     .help = "sets one of 64 flags",
     .prepare = {flag_define, flag_set},
     .request = flag_set},
    {.name = "plan-create", .help = "creates a plan of one stage, as a draft", .request = plan_create},
    {.name = "read",
     .help = "reads a flag, linearizable",
     .prepare = {flag_define, flag_set},
     .request = flag_read},
    {.name = "stale-read",
     .help = "reads a flag as the asked node has it",
     .prepare = {flag_define, flag_set},
     .request = flag_read_stale},
    {.name = "mixed",
     .help = "of ten requests two set a flag, one reads it stale, seven read it",
     .prepare = {flag_define, flag_set},
     .request = mixed},
    {.name = "etcd-txn",
     .help = "etcd: one transaction of two puts, the second of 300 bytes",
     .request = etcd_txn},
    {.name = "etcd-put", .help = "etcd: one put", .request = etcd_put},
    {.name = "etcd-read",
     .help = "etcd: reads a key, linearizable",
     .prepare = {etcd_put},
     .request = etcd_read},
    {.name = "etcd-stale-read",
     .help = "etcd: reads a key, serializable",
     .prepare = {etcd_put},
     .request = etcd_read_stale},
};

const struct workload *workload_at(uint32_t index)
{
    return index < sizeof workloads / sizeof workloads[0] ? &workloads[index] : NULL;
}

bool workload_find(const char *name, struct workload *out)
{
    const struct workload *row;
    for (uint32_t i = 0; (row = workload_at(i)) != NULL; i++) {
        if (strcmp(row->name, name) == 0) {
            *out = *row;
            return true;
        }
    }
    return false;
}
