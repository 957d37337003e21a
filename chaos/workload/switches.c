/* Kill switches: activated, reset, and seen in the flag that each of them covers. */
#include <string.h>

#include "chaos/workload/objects.h"

struct memory {
    uint32_t last_read;
};

/* For each switch the flag first, then the switch over it. */
static bool prepare(struct driver *driver, uint32_t number, struct operation *out)
{
    uint32_t which = number / 2;
    if (which >= driver->switches)
        return false;
    out->method = "PUT";
    if (number % 2 == 0) {
        snprintf(out->path, sizeof out->path, "/v1/flags/%s-s%u/definition", driver->run, which);
        bytes_append_text(&out->body, "{\"type\":\"integer\",\"default\":1,\"safe\":0,\"reason\":\"chaos\"}");
    } else {
        snprintf(out->path, sizeof out->path, "/v1/kill-switches/%s-k%u", driver->run, which);
        bytes_printf(&out->body, "{\"flags\":[\"%s-s%u\"]}", driver->run, which);
    }
    return true;
}

static void change(struct client *client, uint32_t which, struct operation *out)
{
    bool activate = driver_random(client->driver, 2) == 0;
    out->method = "POST";
    out->kind = activate ? "activate" : "reset";
    out->once = driver_random(client->driver, 40) == 0;
    driver_request_id(client, out);
    snprintf(out->path, sizeof out->path, "/v1/kill-switches/%s-k%u/%s", client->driver->run, which,
             out->kind);
    bytes_append_text(
        &out->body, activate
                        ? "{\"reason\":\"chaos\"}"
                        : "{\"reason\":\"chaos\",\"approver\":\"approver@chaos\",\"root_cause\":\"chaos\"}");
}

static bool next(struct client *client, struct operation *out)
{
    struct memory *memory = client->memory;
    struct driver *driver = client->driver;
    uint32_t which = (uint32_t)driver_random(driver, driver->switches);
    if (driver->final) {
        uint32_t read = memory->last_read++;
        which = read / driver->nodes_count;
        if (client->ordinal > 0 || which >= driver->switches)
            return false;
        client_go(client, read % driver->nodes_count);
    }
    out->parts_count = 1;
    snprintf(out->parts[0].key, sizeof out->parts[0].key, "%s-k%u", driver->run, which);
    if (!driver->final && driver_random(driver, 2) == 0) {
        change(client, which, out);
        return true;
    }
    out->method = "GET";
    out->kind = "switch_read";
    snprintf(out->path, sizeof out->path, "/v1/flags/%s-s%u", driver->run, which);
    return true;
}

static void done(struct client *client, struct operation *operation, const json_t *answer)
{
    (void)client;
    const char *reason = json_string_value(json_object_get(answer, "reason"));
    operation->disabled = reason != NULL && strcmp(reason, "DISABLED") == 0;
}

const struct workload workload_switch = {.name = "switch",
                                         .help = "activates and resets kill switches, reads what they cover",
                                         .share = 10,
                                         .prepare = prepare,
                                         .next = next,
                                         .done = done,
                                         .memory_bytes = sizeof(struct memory)};
