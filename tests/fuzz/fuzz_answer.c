/* What other nodes answer to this one, and a note that it left for itself. The first byte chooses:
 *   'f' whether a cluster exists   'j' being let in   'a' what the leader made of a forwarded act
 *   'm' the manifest of a checkpoint                  'q' the file of quorum losses
 * A second byte, for the first three, chooses the HTTP status. The linker puts our own client and consensus
 * in between (--wrap): the answer comes from here, and what would be adopted is looked at. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/disk.h"
#include "base/schema.h"
#include "fuzz/fuzz.h"
#include "node/act.h"
#include "node/founding.h"
#include "node/joining.h"
#include "node/quorum.h"
#include "node/transfer.h"

#define CLUSTER "0123456789abcdef0123456789abcdef"

static struct client_request asked; /* the last one */
static unsigned asked_count;
static bool adopted;

enum error_code __wrap_client_send(struct client *self, const struct client_request *request,
                                   struct client_call **out, struct error *error);
enum error_code __wrap_client_send(struct client *self, const struct client_request *request,
                                   struct client_call **out, struct error *error)
{
    (void)self, (void)error;
    asked = *request;
    asked_count++;
    *out = (struct client_call *)&asked;
    return ERROR_OK;
}

void __wrap_client_cancel(struct client_call *call);
void __wrap_client_cancel(struct client_call *call)
{
    (void)call;
}

uint64_t __wrap_consensus_node_id(const struct consensus *self);
uint64_t __wrap_consensus_node_id(const struct consensus *self)
{
    (void)self;
    return 1;
}

enum error_code __wrap_consensus_adopt(struct consensus *self, const char *cluster_id, uint64_t generation,
                                       struct error *error);
enum error_code __wrap_consensus_adopt(struct consensus *self, const char *cluster_id, uint64_t generation,
                                       struct error *error)
{
    uint8_t id[(CLUSTER_ID_BYTES - 1) / 2];
    (void)self, (void)error;
    CHECK(hex_decode(cluster_id, id, sizeof id), "it would join cluster %s", cluster_id);
    CHECK(generation <= INT64_MAX, "it would join generation %llu", (unsigned long long)generation);
    adopted = true;
    return ERROR_OK;
}

static uint64_t clock_now(void *context)
{
    (void)context;
    return 100000;
}

static void answer(uint8_t status, struct span body)
{
    static const uint32_t statuses[] = {200, 201, 404, 409, 503, 504};
    const struct client_answer answer = {.status = statuses[status % 6], .body = body};
    CHECK(asked_count == 1, "%u questions", asked_count);
    asked.done(asked.context, &answer);
}

static void on_decided(void *context, bool elsewhere)
{
    *(unsigned *)context += elsewhere ? 1 : 100;
}

static void check_founding(struct service *service, uint8_t status, struct span body)
{
    unsigned decided = 0;
    struct founding *founding = founding_open(service, on_decided, &decided);
    CHECK(founding && founding_asks(founding), "nobody was asked");
    answer(status, body);
    CHECK(decided == 1 || decided == 100, "decided %u", decided);
    founding_close(founding);
}

static void on_joined(void *context)
{
    *(bool *)context = true;
}

static void check_joining(struct service *service, uint8_t status, struct span body)
{
    bool joined = false;
    const char *urls[NODES_MAX];
    adopted = false;
    struct joining *joining = joining_open(service, on_joined, &joined);
    joining_turn(joining);
    answer(status, body);
    CHECK(joined == adopted, "joined without a cluster");
    const unsigned count = joining_peers(joining, urls, NODES_MAX);
    for (unsigned i = 0; i < count; i++)
        CHECK(urls[i][0] != '\0' && strlen(urls[i]) < ADDRESS_BYTES_MAX, "an impossible peer");
    joining_close(joining);
}

static void on_act(void *context, const struct act_answer *answer)
{
    *(unsigned *)context += 1;
    CHECK(json_is_object(answer->json), "an answer that is no object");
}

static void check_act(struct service *service, uint8_t status, struct span body)
{
    unsigned answers = 0;
    struct act *act = memory_zero(1, sizeof *act);
    act->service = service;
    act->body = json_object();
    act->deadline_ms = clock_now(NULL) + 1000;
    act->done = on_act;
    act->context = &answers;
    service->joined = true;
    act_start(service, act);
    answer(status, body);
    CHECK(answers <= 1 && (answers == 1) == link_is_empty(&service->acts), "answered %u times", answers);
    acts_sweep(service, true); /* what waits on is given up at the end */
    CHECK(answers == 1 && link_is_empty(&service->acts), "answered %u times", answers);
}

static void check_manifest(struct span text)
{
    struct error error = {0};
    json_t *json = NULL, *row;
    size_t i;
    if (json_parse(text, &json, &error) != ERROR_OK)
        return;
    const struct transfer_request request = {.cluster_id = CLUSTER, .generation = 1, .index_min = 10};
    const enum error_code code = transfer_manifest_check(&request, json, &error);
    if (code != ERROR_OK) {
        check_error(&error, code);
    } else {
        fuzz_reached("manifest taken");
        json_array_foreach(json_object_get(json, "files"), i, row)
        {
            const char *name = json_string_value(json_object_get(row, "name"));
            CHECK(name_valid(name) && !strchr(name, '/') && name[0] != '.', "%s becomes a file", name);
        }
    }
    json_decref(json);
}

static void check_quorum(struct service *service, struct span content)
{
    char path[128];
    struct error error = {0};
    snprintf(path, sizeof path, "%s/quorum", fuzz_folder());
    if (content.bytes > DISK_SMALL_BYTES_MAX)
        return;
    CHECK(disk_small_write(path, content, &error) == ERROR_OK, "%s", error.message);
    struct quorum_watch *watch = quorum_watch_open(service);
    quorum_watch(watch);
    quorum_watch_close(watch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct service service;
    static struct config config;
    if (length < 2 || length > 65536)
        return 0;
    config = (struct config){.name = "n1",
                             .data_dir = (char *)(uintptr_t)fuzz_folder(),
                             .wire_advertise = "h:1",
                             .api_advertise_url = "http://h:2",
                             .join = {"http://h:3"},
                             .join_count = 1};
    memset(&service, 0, sizeof service);
    service.config = &config;
    service.clock = (struct clock){clock_now, clock_now, NULL};
    service.now.node_id = 1;
    service.now.leader_id = 2;
    service.members.count = 1;
    service.members.rows[0].node_id = 2;
    snprintf(service.members.rows[0].url, sizeof service.members.rows[0].url, "http://h:4");
    link_init(&service.acts);
    asked_count = 0;
    const struct span rest = span_of(data + 2, length - 2);
    if (data[0] == 'f')
        check_founding(&service, data[1], rest);
    else if (data[0] == 'j')
        check_joining(&service, data[1], rest);
    else if (data[0] == 'a')
        check_act(&service, data[1], rest);
    else if (data[0] == 'm')
        check_manifest(span_of(data + 1, length - 1));
    else if (data[0] == 'q')
        check_quorum(&service, span_of(data + 1, length - 1));
    return 0;
}
