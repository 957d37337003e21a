#include "chaos/workload/record.h"

#include <inttypes.h>
#include <string.h>

#include "chaos/workload/objects.h"

/* Names, keys and codes are ours or the node's stable ones: nothing in them needs escaping. */

void record_begin(struct driver *driver)
{
    if (workload_clients(driver, &workload_register) == 0)
        driver->registers = 0;
    if (workload_clients(driver, &workload_bank) == 0)
        driver->accounts = 0;
    for (uint32_t i = 0; i < driver->registers; i++)
        fprintf(driver->history, "{\"type\":\"register\",\"key\":\"%s-r%u\",\"version\":1}\n", driver->run,
                i);
    for (uint32_t i = 0; i < driver->accounts; i++)
        fprintf(driver->history, "{\"type\":\"register\",\"key\":\"%s-a%u\",\"value\":%d,\"version\":2}\n",
                driver->run, i, BANK_START);
    if (driver->accounts == 0)
        return;
    fprintf(driver->history, "{\"type\":\"bank\",\"keys\":[");
    for (uint32_t i = 0; i < driver->accounts; i++)
        fprintf(driver->history, "%s\"%s-a%u\"", i > 0 ? "," : "", driver->run, i);
    fprintf(driver->history, "],\"sum\":%d}\n", BANK_START * (int)driver->accounts);
}

static void part_fields(FILE *out, const struct operation *operation, const struct part *part)
{
    fprintf(out, "\"key\":\"%s\"", part->key);
    if (part->has_value)
        fprintf(out, ",\"value\":%" PRId64, part->value);
    if (part->expected_version > 0)
        fprintf(out, ",\"expected_version\":%" PRIu64, part->expected_version);
    if (part->version > 0)
        fprintf(out, ",\"version\":%" PRIu64, part->version);
    if (operation->outcome != OUTCOME_OK)
        return;
    if (operation->phase[0] != 0)
        fprintf(out, ",\"phase\":\"%s\",\"halted\":%s", operation->phase,
                operation->halted ? "true" : "false");
    if (strcmp(operation->kind, "switch_read") == 0)
        fprintf(out, ",\"disabled\":%s", operation->disabled ? "true" : "false");
}

static void parts_of(FILE *out, const struct operation *operation)
{
    if (operation->parts_count == 1) {
        fputc(',', out);
        part_fields(out, operation, &operation->parts[0]);
        return;
    }
    fprintf(out, ",\"parts\":[");
    for (uint32_t i = 0; i < operation->parts_count; i++) {
        fprintf(out, "%s{", i > 0 ? "," : "");
        part_fields(out, operation, &operation->parts[i]);
        fputc('}', out);
    }
    fputc(']', out);
}

void record_operation(const struct client *client)
{
    static const char *const outcomes[] = {"ok", "refused", "unknown"};
    const struct operation *operation = &client->operation;
    FILE *out = client->driver->history;
    fprintf(out, "{\"type\":\"op\",\"client\":%u,\"kind\":\"%s\"", client->number, operation->kind);
    parts_of(out, operation);
    if (operation->stale)
        fprintf(out, ",\"stale\":true");
    if (operation->after_index > 0)
        fprintf(out, ",\"after_index\":%" PRIu64, operation->after_index);
    if (operation->request[0] != 0)
        fprintf(out, ",\"request\":\"%s\"", operation->request);
    fprintf(out, ",\"node\":\"%s\",\"invoke_ns\":%" PRIu64, client->driver->names[client->node],
            operation->begin_ns);
    if (operation->outcome != OUTCOME_UNKNOWN)
        fprintf(out, ",\"complete_ns\":%" PRIu64, operation->end_ns);
    fprintf(out, ",\"outcome\":\"%s\"", outcomes[operation->outcome]);
    if (operation->code[0] != 0 && operation->outcome == OUTCOME_REFUSED)
        fprintf(out, ",\"code\":\"%s\"", operation->code);
    if (operation->index > 0)
        fprintf(out, ",\"index\":%" PRIu64, operation->index);
    if (operation->audit_seq > 0)
        fprintf(out, ",\"audit_seq\":%" PRIu64, operation->audit_seq);
    fprintf(out, "}\n");
}

void record_follower(const struct client *client, const char *name, const char *category)
{
    FILE *out = client->driver->history;
    fprintf(out, "{\"type\":\"follower\",\"name\":\"%s\"", name);
    if (category != NULL)
        fprintf(out, ",\"category\":\"%s\"", category);
    fprintf(out, "}\n");
}

void record_event(struct driver *driver, const char *follower, uint64_t seq)
{
    fprintf(driver->history,
            "{\"type\":\"event\",\"follower\":\"%s\",\"seq\":%" PRIu64 ",\"time_ns\":%" PRIu64 "}\n",
            follower, seq, now_ns());
}
