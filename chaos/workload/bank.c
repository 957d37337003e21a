/* Transfers between two flags in one command, and reads of all accounts at one moment: their sum never
 * changes.
 */
#include <inttypes.h>
#include <string.h>

#include "chaos/workload/objects.h"

struct account {
    int64_t value;
    uint64_t version; /* 0: not known */
};
struct memory {
    struct account seen[PARTS_MAX];
    uint32_t last_read;
};

static bool prepare(struct driver *driver, uint32_t number, struct operation *out)
{
    uint32_t account = number / 2;
    if (account >= driver->accounts)
        return false;
    out->method = "PUT";
    snprintf(out->path, sizeof out->path, "/v1/flags/%s-a%u%s", driver->run, account,
             number % 2 == 0 ? "/definition" : "");
    if (number % 2 == 0)
        bytes_append_text(&out->body, "{\"type\":\"integer\",\"default\":0,\"safe\":0,\"reason\":\"chaos\"}");
    else
        bytes_printf(&out->body, "{\"value\":%d,\"reason\":\"chaos\"}", BANK_START);
    return true;
}

static void read_all(const struct driver *driver, struct operation *out)
{
    out->method = "GET";
    out->kind = "read";
    snprintf(out->path, sizeof out->path, "/v1/flags?limit=1000");
    out->parts_count = driver->accounts;
    for (uint32_t i = 0; i < driver->accounts; i++)
        snprintf(out->parts[i].key, sizeof out->parts[i].key, "%s-a%u", driver->run, i);
}

static void set_part(const struct driver *driver, struct part *part, uint32_t number,
                     const struct account *seen, int64_t more)
{
    snprintf(part->key, sizeof part->key, "%s-a%u", driver->run, number);
    part->has_value = true;
    part->value = seen->value + more;
    part->expected_version = seen->version;
}

static void transfer(struct client *client, uint32_t from, uint32_t to, struct operation *out)
{
    struct memory *memory = client->memory;
    int64_t amount = 1 + (int64_t)driver_random(client->driver, 20);
    out->method = "POST";
    out->kind = "set";
    out->parts_count = 2;
    out->once = driver_random(client->driver, 40) == 0;
    snprintf(out->path, sizeof out->path, "/v1/flags");
    driver_request_id(client, out);
    set_part(client->driver, &out->parts[0], from, &memory->seen[from], -amount);
    set_part(client->driver, &out->parts[1], to, &memory->seen[to], amount);
    bytes_append_text(&out->body, "{\"changes\":[");
    for (uint32_t i = 0; i < 2; i++)
        bytes_printf(&out->body, "%s{\"key\":\"%s\",\"value\":%" PRId64 ",\"expected_version\":%" PRIu64 "}",
                     i > 0 ? "," : "", out->parts[i].key, out->parts[i].value,
                     out->parts[i].expected_version);
    bytes_append_text(&out->body, "],\"reason\":\"chaos\"}");
}

static bool next(struct client *client, struct operation *out)
{
    struct memory *memory = client->memory;
    struct driver *driver = client->driver;
    uint32_t from = (uint32_t)driver_random(driver, driver->accounts);
    uint32_t to = (from + 1 + (uint32_t)driver_random(driver, driver->accounts - 1)) % driver->accounts;
    if (driver->final) {
        if (client->ordinal > 0 || memory->last_read == driver->nodes_count)
            return false;
        client_go(client, memory->last_read++);
    }
    if (driver->final || memory->seen[from].version == 0 || memory->seen[to].version == 0 ||
        driver_random(driver, 8) == 0)
        read_all(driver, out);
    else
        transfer(client, from, to, out);
    return true;
}

static void seen_all(struct memory *memory, struct operation *operation, const json_t *answer)
{
    size_t row;
    json_t *flag;
    json_array_foreach(json_object_get(answer, "items"), row, flag)
    {
        const char *key = json_string_value(json_object_get(flag, "key"));
        for (uint32_t i = 0; key != NULL && i < operation->parts_count; i++) {
            if (strcmp(operation->parts[i].key, key) != 0)
                continue;
            flag_seen(operation, &operation->parts[i], flag);
            operation->index = (uint64_t)json_integer_value(json_object_get(flag, "index"));
            memory->seen[i] = (struct account){operation->parts[i].value, operation->parts[i].version};
        }
    }
}

static struct account *account_of(struct memory *memory, const struct part *part)
{
    uint64_t which = 0;
    const char *number = strrchr(part->key, 'a');
    return number != NULL && parse_u64(number + 1, PARTS_MAX - 1, &which) ? &memory->seen[which] : NULL;
}

static void done(struct client *client, struct operation *operation, const json_t *answer)
{
    struct memory *memory = client->memory;
    if (strcmp(operation->kind, "read") == 0) {
        if (operation->outcome == OUTCOME_OK)
            seen_all(memory, operation, answer);
        return;
    }
    const json_t *changes = json_object_get(answer, "changes");
    for (uint32_t i = 0; i < 2; i++) {
        struct account *account = account_of(memory, &operation->parts[i]);
        if (account == NULL)
            continue;
        *account = (struct account){0};
        if (operation->outcome != OUTCOME_OK)
            continue;
        operation->parts[i].version =
            (uint64_t)json_integer_value(json_object_get(json_array_get(changes, i), "version"));
        *account = (struct account){operation->parts[i].value, operation->parts[i].version};
    }
}

const struct workload workload_bank = {.name = "bank",
                                       .help = "transfers between two flags in one command, reads of all",
                                       .share = 12,
                                       .prepare = prepare,
                                       .next = next,
                                       .done = done,
                                       .memory_bytes = sizeof(struct memory)};
