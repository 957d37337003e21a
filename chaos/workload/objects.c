#include "chaos/workload/objects.h"

#include <string.h>
#include <unistd.h>

#include "base/check.h"

static const struct workload *const workloads[] = {&workload_register, &workload_bank, &workload_switch,
                                                   &workload_plan, &workload_events};

const struct workload *workload_at(uint32_t index)
{
    return index < sizeof workloads / sizeof workloads[0] ? workloads[index] : NULL;
}

uint32_t workload_clients(const struct driver *driver, const struct workload *workload)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < driver->clients_count; i++)
        count += driver->clients[i].workload == workload;
    return count;
}

void client_go(struct client *client, uint32_t node)
{
    CHECK(node < client->driver->nodes_count, "node %u", node);
    if (node == client->node)
        return;
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    client->state = CLIENT_CLOSED;
    client->node = node;
}

/* "version" is a number in an answer and a text in a problem. */
static uint64_t version_of(const json_t *answer)
{
    const json_t *version = json_object_get(answer, "version");
    uint64_t number = 0;
    if (json_is_integer(version))
        return (uint64_t)json_integer_value(version);
    if (json_is_string(version) && !parse_u64(json_string_value(version), UINT64_MAX, &number))
        return 0;
    return number;
}

void flag_seen(const struct operation *operation, struct part *part, const json_t *answer)
{
    if (operation->outcome == OUTCOME_UNKNOWN || answer == NULL)
        return;
    part->version = version_of(answer);
    if (operation->outcome == OUTCOME_OK && strcmp(operation->kind, "read") == 0) {
        const json_t *stored = json_object_get(answer, "stored");
        part->has_value = json_is_integer(stored);
        part->value = json_integer_value(stored);
    }
}
