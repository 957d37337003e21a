/* Plans from their creation to their end. A few live at a time, and all clients of this kind work on them:
 * who comes first with what is the cluster's to decide. */
#include <inttypes.h>
#include <string.h>

#include "chaos/workload/objects.h"

#define LIVING    6u  /* plans at a time */
#define LIFE      30u /* operations on one of them */
#define LAST_READ 24u /* plans that are read at the end, the youngest */

struct memory {
    uint32_t last_read;
};
static struct {
    uint64_t number; /* of the plan, from 1 */
    uint32_t left;   /* operations */
} living[LIVING];

static void create(struct client *client, struct operation *out)
{
    out->kind = "create";
    snprintf(out->path, sizeof out->path, "/v1/rollouts");
    bytes_printf(
        &out->body,
        "{\"plan_id\":\"%s\",\"artifact\":{\"name\":\"chaos\",\"version\":\"2\",\"previous_version\":"
        "\"1\"},\"stages\":[{\"stage_id\":\"all\",\"target\":{\"percent\":100},\"gates\":[{\"kind\":"
        "\"manual\"}]}],\"reason\":\"chaos\"}",
        out->parts[0].key);
    (void)client;
}

static void change(struct client *client, struct operation *out)
{
    static const char *const kinds[] = {"publish",  "publish", "publish", "publish", "pause",
                                        "pause",    "pause",   "pause",   "pause",   "resume",
                                        "resume",   "resume",  "resume",  "resume",  "rollback",
                                        "rollback", "cancel",  "halt",    "halt"};
    out->kind = kinds[driver_random(client->driver, sizeof kinds / sizeof kinds[0])];
    bool rollback = strcmp(out->kind, "rollback") == 0;
    snprintf(out->path, sizeof out->path, "/v1/rollouts/%s/%s", out->parts[0].key,
             rollback ? "recover" : out->kind);
    bytes_printf(&out->body, "{\"reason\":\"chaos\"%s}", rollback ? ",\"strategy\":\"rollback\"" : "");
}

static void read_plan(struct operation *out)
{
    out->method = "GET";
    out->kind = "plan_read";
    snprintf(out->path, sizeof out->path, "/v1/rollouts/%s", out->parts[0].key);
}

static bool last_read(struct client *client, struct operation *out)
{
    struct memory *memory = client->memory;
    struct driver *driver = client->driver;
    uint64_t back = memory->last_read / driver->nodes_count;
    if (client->ordinal > 0 || back >= LAST_READ || back >= driver->plans)
        return false;
    client_go(client, memory->last_read++ % driver->nodes_count);
    snprintf(out->parts[0].key, sizeof out->parts[0].key, "%s-p%" PRIu64, driver->run, driver->plans - back);
    read_plan(out);
    return true;
}

static bool next(struct client *client, struct operation *out)
{
    struct driver *driver = client->driver;
    out->parts_count = 1;
    if (driver->final)
        return last_read(client, out);
    size_t at = driver_random(driver, LIVING);
    bool fresh = living[at].left == 0;
    if (fresh) {
        living[at].left = LIFE;
        living[at].number = ++driver->plans;
    }
    living[at].left--;
    snprintf(out->parts[0].key, sizeof out->parts[0].key, "%s-p%" PRIu64, driver->run, living[at].number);
    if (!fresh && driver_random(driver, 5) < 2) {
        read_plan(out);
        return true;
    }
    out->method = "POST";
    out->once = driver_random(driver, 40) == 0;
    driver_request_id(client, out);
    if (fresh || driver_random(driver, 16) == 0)
        create(client, out);
    else
        change(client, out);
    return true;
}

static void done(struct client *client, struct operation *operation, const json_t *answer)
{
    (void)client;
    if (strcmp(operation->kind, "plan_read") != 0)
        return;
    const char *phase = json_string_value(json_object_get(answer, "phase"));
    if (operation->outcome == OUTCOME_REFUSED && strcmp(operation->code, "plan_not_found") == 0) {
        operation->outcome = OUTCOME_OK;
        phase = "none";
    }
    snprintf(operation->phase, sizeof operation->phase, "%s", phase != NULL ? phase : "");
    const json_t *stage = json_array_get(json_object_get(answer, "stages"), 0);
    const char *stage_phase = json_string_value(json_object_get(stage, "stage_phase"));
    operation->halted = stage_phase != NULL && strcmp(stage_phase, "halted") == 0;
}

const struct workload workload_plan = {.name = "plan",
                                       .help = "creates, publishes, pauses, halts and rolls back plans",
                                       .share = 20,
                                       .next = next,
                                       .done = done,
                                       .memory_bytes = sizeof(struct memory)};
