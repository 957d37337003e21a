/* Followers of the event stream. Each goes on where it stopped, at whichever node, when a stream ends or it
 * has had enough of one. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "chaos/workload/objects.h"
#include "chaos/workload/record.h"

#define STAYS_MIN_MS 2000u
#define STAYS_MAX_MS 20000u

struct memory {
    bool introduced;
    char name[NAME_BYTES];
    uint64_t last; /* id up to which it has seen everything */
    uint64_t id;   /* of the event that is being read */
    bool has_data, control;
};

static const char *category_of(const struct client *client)
{
    static const char *const categories[] = {NULL, NULL, "flags", "rollout"};
    return categories[client->ordinal % 4];
}

static bool next(struct client *client, struct operation *out)
{
    struct memory *memory = client->memory;
    struct driver *driver = client->driver;
    const char *category = category_of(client);
    if (!memory->introduced) {
        snprintf(memory->name, sizeof memory->name, "%s-e%u", driver->run, client->ordinal);
        record_follower(client, memory->name, category);
        memory->introduced = true;
    }
    out->method = "GET";
    int length = snprintf(out->path, sizeof out->path, "/v1/events?%s%s", category != NULL ? "category=" : "",
                          category != NULL ? category : "");
    if (driver_random(driver, 2) == 0)
        snprintf(out->header, sizeof out->header, "Last-Event-ID: %" PRIu64 "\r\n", memory->last);
    else
        snprintf(out->path + length, sizeof out->path - (size_t)length, "%slast_event_id=%" PRIu64,
                 category != NULL ? "&" : "", memory->last);
    out->stays_ns = (STAYS_MIN_MS + driver_random(driver, STAYS_MAX_MS - STAYS_MIN_MS)) * 1000000ull;
    memory->id = 0;
    memory->has_data = memory->control = false;
    return true;
}

static void line(struct client *client, const char *text)
{
    struct memory *memory = client->memory;
    if (strncmp(text, "id: ", 4) == 0) {
        memory->id = strtoull(text + 4, NULL, 10);
    } else if (strncmp(text, "event: ", 7) == 0) {
        memory->control = strcmp(text + 7, "overflow") == 0 || strcmp(text + 7, "end") == 0;
    } else if (strncmp(text, "data: ", 6) == 0) {
        memory->has_data = true;
    } else if (text[0] == 0) {
        if (memory->has_data && !memory->control) {
            record_event(client->driver, memory->name, memory->id);
            client->driver->events++;
        }
        if (memory->id > 0 && !memory->control)
            memory->last = memory->id;
        memory->id = 0;
        memory->has_data = memory->control = false;
    }
}

static void stream(struct client *client, struct bytes *bytes)
{
    size_t used = 0;
    while (used < bytes->length) {
        uint8_t *end = memchr(bytes->data + used, '\n', bytes->length - used);
        if (end == NULL)
            break;
        *end = 0;
        line(client, (const char *)bytes->data + used);
        used = (size_t)(end - bytes->data) + 1;
    }
    if (used == 0)
        return;
    memmove(bytes->data, bytes->data + used, bytes->length - used);
    bytes->length -= used;
}

const struct workload workload_events = {.name = "events",
                                         .help = "follows the event stream, from node to node",
                                         .share = 8,
                                         .next = next,
                                         .stream = stream,
                                         .memory_bytes = sizeof(struct memory)};
