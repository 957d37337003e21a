/* Flags as registers: set, compare and set, read linearizable and stale. */
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "chaos/workload/objects.h"

#define WAIT_MS 1000u /* of a stale read that asks for the state after its client's last change */

struct memory {
    int64_t written;
    uint64_t versions[REGISTERS_MAX]; /* as last seen */
    uint64_t index;                   /* of the last own change or read */
    uint32_t last_read;               /* how far the last reads are */
};

static bool prepare(struct driver *driver, uint32_t number, struct operation *out)
{
    if (number >= driver->registers)
        return false;
    out->method = "PUT";
    snprintf(out->path, sizeof out->path, "/v1/flags/%s-r%u/definition", driver->run, number);
    bytes_append_text(&out->body, "{\"type\":\"integer\",\"default\":0,\"safe\":0,\"reason\":\"chaos\"}");
    return true;
}

static void read_register(struct client *client, struct operation *out)
{
    struct memory *memory = client->memory;
    uint64_t how = client->driver->final ? 0 : driver_random(client->driver, 10);
    out->method = "GET";
    out->kind = "read";
    out->stale = how >= 7;
    if (how == 9)
        out->after_index = memory->index;
    int length = snprintf(out->path, sizeof out->path, "/v1/flags/%s%s", out->parts[0].key,
                          out->stale ? "?consistency=stale" : "");
    if (out->after_index > 0)
        snprintf(out->path + length, sizeof out->path - (size_t)length, "&index=%" PRIu64 "&wait=%ums",
                 out->after_index - 1, WAIT_MS);
}

static void set_register(struct client *client, uint32_t number, struct operation *out)
{
    struct memory *memory = client->memory;
    struct part *part = &out->parts[0];
    out->method = "PUT";
    out->kind = "set";
    driver_request_id(client, out);
    part->has_value = true;
    part->value = (int64_t)client->number * 1000000000 + ++memory->written; /* its own, in the whole run */
    if (memory->versions[number] > 0 && driver_random(client->driver, 5) < 2)
        part->expected_version = memory->versions[number];
    out->once = driver_random(client->driver, 40) == 0;
    snprintf(out->path, sizeof out->path, "/v1/flags/%s", part->key);
    bytes_printf(&out->body, "{\"value\":%" PRId64 ",\"reason\":\"chaos\"", part->value);
    if (part->expected_version > 0)
        bytes_printf(&out->body, ",\"expected_version\":%" PRIu64, part->expected_version);
    bytes_append_text(&out->body, "}");
}

static bool next(struct client *client, struct operation *out)
{
    struct driver *driver = client->driver;
    struct memory *memory = client->memory;
    uint32_t number = (uint32_t)driver_random(driver, driver->registers);
    if (driver->final) { /* client k reads register k at each node */
        uint32_t node = memory->last_read++;
        number = client->ordinal + node / driver->nodes_count * workload_clients(driver, client->workload);
        if (number >= driver->registers)
            return false;
        client_go(client, node % driver->nodes_count);
    }
    out->parts_count = 1;
    snprintf(out->parts[0].key, sizeof out->parts[0].key, "%s-r%u", driver->run, number);
    if (driver->final || driver_random(driver, 5) < 3)
        read_register(client, out);
    else
        set_register(client, number, out);
    return true;
}

static void done(struct client *client, struct operation *operation, const json_t *answer)
{
    struct memory *memory = client->memory;
    struct part *part = &operation->parts[0];
    const char *number = strrchr(part->key, 'r');
    uint64_t which = 0;
    CHECK(number != NULL && parse_u64(number + 1, REGISTERS_MAX - 1, &which), "key %s", part->key);
    flag_seen(operation, part, answer);
    if (operation->end_ns - operation->begin_ns >= (WAIT_MS - WAIT_MS / 10) * 1000000ull)
        operation->after_index = 0; /* the wait's end answers with what is there */
    if (part->version > memory->versions[which])
        memory->versions[which] = part->version;
    if (operation->outcome == OUTCOME_OK && operation->index > memory->index)
        memory->index = operation->index;
}

const struct workload workload_register = {.name = "register",
                                           .help =
                                               "sets flags, compares and sets, reads them fresh and stale",
                                           .share = 50,
                                           .prepare = prepare,
                                           .next = next,
                                           .done = done,
                                           .memory_bytes = sizeof(struct memory)};
