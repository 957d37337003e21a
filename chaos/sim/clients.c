/* Simulated clients: one request at a time each, through any node, retried under the same request id until
 * its fate is known or patience ends. What they are told is checked at once. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/sim/commands.h"
#include "chaos/sim/mutants.h"
#include "chaos/sim/sim_internal.h"
#include "fsm/result.h"

#define STREAM_CLIENTS 2u
#define PATIENCE_MS    30000u /* for one operation, with all its attempts */
#define ATTEMPT_MS     4000u  /* for one answer */
#define PLANS          6u
#define JSON_BYTES     1200u

struct attempt { /* what a callback needs to know */
    struct sim *sim;
    uint64_t operation, number;
    uint32_t client, node;
};

struct operation *clients_operation(struct sim *self, const char *request_id)
{
    uint64_t number = 0;

    if (strncmp(request_id, "op-", 3) != 0 || !parse_u64(request_id + 3, self->operation_count, &number) ||
        number == 0)
        return NULL;
    return &self->operations[number];
}

void clients_open(struct sim *self)
{
    self->client_random = random_of(self->options.seed, STREAM_CLIENTS);
    for (uint32_t i = 0; i < self->config.clients; i++)
        self->clients[i].next_ms = sim_now(self) + random_below(&self->client_random, 100);
}

uint64_t clients_next_ms(const struct sim *self)
{
    uint64_t at_ms = UINT64_MAX;

    for (uint32_t i = 0; i < self->config.clients; i++) {
        const struct client *client = &self->clients[i];
        if (self->calm && client->operation == 0)
            continue;
        uint64_t due_ms = client->waiting ? client->deadline_ms : client->next_ms;
        at_ms = due_ms < at_ms ? due_ms : at_ms;
    }
    return at_ms;
}

/* --- what to ask
 * ------------------------------------------------------------------------------------------------------ */

static enum operation_kind draw_kind(struct random *random)
{
    uint32_t draw = random_below(random, 100);

    return draw < 24   ? OPERATION_SET
           : draw < 32 ? OPERATION_SET_TWO
           : draw < 40 ? OPERATION_SWITCH_ON
           : draw < 48 ? OPERATION_SWITCH_OFF
           : draw < 64 ? OPERATION_PLAN
           : draw < 82 ? OPERATION_READ
           : draw < 92 ? OPERATION_READ_FOLLOWER
                       : OPERATION_READ_STALE;
}

static void begin_operation(struct sim *self, uint32_t number)
{
    struct client *client = &self->clients[number];
    struct random *random = &self->client_random;

    if (self->operation_count + 2 > self->operation_capacity) {
        self->operation_capacity = self->operation_capacity * 2 + 256;
        self->operations =
            memory_resize(self->operations, self->operation_capacity * sizeof *self->operations);
    }
    struct operation *operation = &self->operations[++self->operation_count];
    *operation = (struct operation){.kind = draw_kind(random), .client = number, .begun_ms = sim_now(self)};
    if (sim_now(self) < self->thawed_until_ms && random_chance(random, 80))
        operation->kind = OPERATION_READ; /* what a former leader gives could be old */
    bool is_switch = operation->kind == OPERATION_SWITCH_ON || operation->kind == OPERATION_SWITCH_OFF;
    operation->target =
        is_switch ? SIM_FLAGS + random_below(random, SIM_SWITCHES) : random_below(random, SIM_FLAGS);
    operation->other = (operation->target + 1) % SIM_FLAGS;
    if (operation->kind >= OPERATION_READ)
        operation->target = random_below(random, SIM_REGISTERS);
    operation->value = (int64_t)(self->operation_count * 2);
    operation->other_value = operation->value + 1;
    if (self->operation_count <= SIM_REGISTERS) {
        operation->kind = OPERATION_DEFINE;
        operation->target = (uint32_t)self->operation_count - 1;
        operation->value = operation->target < SIM_FLAGS ? operation->value : 0;
    } else if (operation->kind == OPERATION_SET && client->seen_version > 0 && random_chance(random, 50)) {
        operation->target = client->seen_register;
        operation->expected_version = client->seen_version;
    }
    operation->index_min = self->told_index;
    client->operation = self->operation_count;
    client->deadline_ms = 0;
    client->hop = false;
    client->next_ms = sim_now(self);
}

static const char *plan_command(struct random *random, uint64_t number, char json[JSON_BYTES])
{
    static const char *const verbs[] = {"rollout.publish", "rollout.pause", "rollout.resume",
                                        "rollout.cancel"};
    uint32_t plan = random_below(random, PLANS), what = random_below(random, 10);

    switch (what) {
    case 0:
    case 1:
        snprintf(json, JSON_BYTES,
                 "{\"plan_id\": \"p%u\", \"artifact\": {\"name\": \"app\", \"version\": \"2.%" PRIu64
                 "\", \"previous_version\": \"1.0\"}, \"stages\": [{\"stage_id\": \"s0\", \"target\": "
                 "{\"nodes\": [\"e0\", \"e1\"]}}, {\"stage_id\": \"s1\"}], \"publish\": true, "
                 "\"reason\": \"r\"}",
                 plan, number);
        return "rollout.create";
    case 2:
        snprintf(json, JSON_BYTES, "{\"plan_id\": \"p%u\", \"stage_id\": \"s0\", \"reason\": \"bad\"}", plan);
        return "rollout.halt";
    case 3:
        snprintf(json, JSON_BYTES,
                 "{\"plan_id\": \"p%u\", \"strategy\": \"%s\", \"reason\": \"bad\", \"pace\": \"immediate\"}",
                 plan, random_chance(random, 50) ? "rollback" : "retry");
        return "rollout.recover";
    case 4:
    case 5:
        snprintf(json, JSON_BYTES, "{\"plan_id\": \"p%u\", \"reason\": \"r\"}", plan);
        return verbs[random_below(random, 4)];
    default:
        snprintf(json, JSON_BYTES,
                 "{\"plan_id\": \"p%u\", \"node_id\": \"e%u\", \"state\": \"%s\", \"version\": \"2\", "
                 "\"labels\": {\"site\": \"lab\"}}",
                 plan, what % 3, random_chance(random, 80) ? "activated" : "failed");
        return "rollout.node";
    }
}

static const char *define_command(const struct operation *operation, char json[JSON_BYTES])
{
    if (operation->target < SIM_FLAGS) {
        snprintf(json, JSON_BYTES,
                 "{\"key\": \"f%u\", \"type\": \"integer\", \"default\": %" PRId64 ", \"safe\": 0}",
                 operation->target, operation->value);
        return "flag.define";
    }
    snprintf(json, JSON_BYTES, "{\"name\": \"s%u\", \"flags\": [\"f%u\"], \"reason\": \"r\"}",
             operation->target - SIM_FLAGS, operation->target - SIM_FLAGS);
    return "switch.define";
}

static const char *set_command(const struct operation *operation, char json[JSON_BYTES])
{
    char expected[60] = "";

    if (operation->kind == OPERATION_SET_TWO) {
        snprintf(json, JSON_BYTES,
                 "{\"changes\": [{\"key\": \"f%u\", \"value\": %" PRId64
                 "}, {\"key\": \"f%u\", \"value\": %" PRId64 "}], \"reason\": \"r\"}",
                 operation->target, operation->value, operation->other, operation->other_value);
        return "flags.set";
    }
    if (operation->expected_version != 0)
        snprintf(expected, sizeof expected, ", \"expected_version\": %" PRIu64, operation->expected_version);
    snprintf(json, JSON_BYTES, "{\"key\": \"f%u\", \"value\": %" PRId64 ", \"reason\": \"r\"%s}",
             operation->target, operation->value, expected);
    return "flag.set";
}

/* The same operation gives the same command again: what is drawn for it comes from its number. */
static void encode(const struct sim *self, uint64_t number, uint64_t wall_ms, struct bytes *out)
{
    const struct operation *operation = &self->operations[number];
    struct random random = random_of(self->options.seed, 1000 + number);
    char json[JSON_BYTES], request_id[32], principal[32];
    const char *name;

    switch (operation->kind) {
    case OPERATION_DEFINE:
        name = define_command(operation, json);
        break;
    case OPERATION_SWITCH_ON:
        snprintf(json, sizeof json, "{\"name\": \"s%u\", \"reason\": \"r\"}", operation->target - SIM_FLAGS);
        name = "switch.activate";
        break;
    case OPERATION_SWITCH_OFF:
        snprintf(json, sizeof json,
                 "{\"name\": \"s%u\", \"reason\": \"r\", \"approver\": \"carol\", \"root_cause\": \"c\"}",
                 operation->target - SIM_FLAGS);
        name = "switch.reset";
        break;
    case OPERATION_PLAN:
        name = plan_command(&random, number, json);
        break;
    default:
        name = set_command(operation, json);
    }
    snprintf(request_id, sizeof request_id, "op-%" PRIu64, number);
    snprintf(principal, sizeof principal, "client-%u", operation->client);
    sim_command(name, request_id, principal, wall_ms, json, out);
}

/* --- answers
 * ----------------------------------------------------------------------------------------------------------
 */

static void told(struct sim *self, uint64_t index)
{
    if (index > self->told_index)
        self->told_index = index;
}

static void end_operation(struct sim *self, struct client *client)
{
    client->operation = 0;
    client->waiting = false;
    client->next_ms = sim_now(self) + random_below(&self->client_random, 2 * self->config.think_ms + 1);
    client->next_ms = (client->next_ms / self->config.beat_ms + 1) * self->config.beat_ms;
    self->poked = true;
}

static void try_again(struct sim *self, struct client *client)
{
    client->waiting = false;
    client->hop = client->likes = false;
    client->next_ms = sim_now(self) + random_between(&self->client_random, 5, 200);
    self->poked = true;
}

/* The client that waits for this answer; NULL: it waits no more. */
static struct client *asker(const struct attempt *attempt)
{
    struct client *client = &attempt->sim->clients[attempt->client];
    bool still =
        client->waiting && client->operation == attempt->operation && client->attempt == attempt->number;
    return still ? client : NULL;
}

static void check_answer(struct sim *self, struct operation *operation, uint64_t number,
                         const struct result *result)
{
    if (operation->index != result->index || operation->code != result->code ||
        operation->audit_seq != result->audit_seq)
        sim_fail(self, "acknowledged",
                 "request op-%" PRIu64 " was answered with index %" PRIu64 " %s record %" PRIu64
                 ", committed is index %" PRIu64 " %s record %" PRIu64,
                 number, result->index, result_name(result->code), result->audit_seq, operation->index,
                 result_name(operation->code), operation->audit_seq);
    operation->answered = true;
    self->report.acknowledged++;
    told(self, result->index);
}

static void written(void *context, const struct result *result, const struct error *error)
{
    struct attempt *attempt = context;
    struct sim *self = attempt->sim;
    struct operation *operation = &self->operations[attempt->operation];
    struct client *client = asker(attempt);
    bool unknown = error != NULL && error->code == ERROR_UNKNOWN;

    sim_note(self, "answer", attempt->node, attempt->operation, error == NULL ? result->index : error->code);
    if (error == NULL)
        check_answer(self, operation, attempt->operation, result);
    else if (!unknown && operation->open > 0)
        operation->open--; /* this attempt certainly does nothing */
    if (client != NULL && error == NULL) {
        client->likes = true;
        client->liked = attempt->node;
        end_operation(self, client);
    }
    if (client != NULL && error != NULL)
        try_again(self, client);
    free(attempt);
}

static void was_read(void *context, uint64_t index, const struct error *error)
{
    struct attempt *attempt = context;
    struct sim *self = attempt->sim;
    struct operation *operation = &self->operations[attempt->operation];
    struct client *client = asker(attempt);

    if (client != NULL && error != NULL) {
        try_again(self, client);
    } else if (client != NULL && operation->kind == OPERATION_READ_FOLLOWER && !client->hop) {
        client->hop = true;
        client->hop_index = index;
        client->waiting = false;
        client->next_ms = sim_now(self) + random_below(&self->client_random, 5);
        self->poked = true;
    } else if (client != NULL) {
        read_check(self, operation, attempt->node, operation->index_min);
        told(self, operation->index);
        self->report.reads++;
        const struct value *value = model_value(&self->model, operation->target, operation->index);
        client->seen_version = operation->target < SIM_FLAGS && value != NULL ? value->version : 0;
        client->seen_register = operation->target;
        end_operation(self, client);
    }
    free(attempt);
}

/* --- asking
 * -----------------------------------------------------------------------------------------------------------
 */

static struct attempt *attempt_new(struct sim *self, uint32_t client, uint32_t node)
{
    struct attempt *attempt = memory_zero(1, sizeof *attempt);

    *attempt = (struct attempt){.sim = self,
                                .operation = self->clients[client].operation,
                                .number = ++self->clients[client].attempt,
                                .client = client,
                                .node = node};
    return attempt;
}

static enum error_code ask_write(struct sim *self, struct client *client, uint32_t node,
                                 struct attempt *attempt)
{
    struct operation *operation = &self->operations[client->operation];
    struct consensus *consensus = self->cluster->nodes[node].consensus;
    struct error error = {0};
    struct bytes command;

    bytes_init(&command, 0);
    encode(self, client->operation, consensus_wall_ms(consensus), &command);
    operation->open++;
    operation->attempts++;
    enum error_code code =
        consensus_propose(consensus, command.data, command.length, written, attempt, &error);
    if (code != ERROR_OK)
        operation->open--;
    bytes_done(&command);
    return code;
}

static enum error_code ask_read(struct sim *self, struct client *client, uint32_t node,
                                struct attempt *attempt)
{
    const struct operation *operation = &self->operations[client->operation];
    struct consensus *consensus = self->cluster->nodes[node].consensus;
    struct error error = {0};

    const struct consensus_status status = cluster_status(self->cluster, node);
    if (mutant_is("read-without-confirmation") && status.role == CONSENSUS_LEADER && status.ready) {
        was_read(attempt, status.applied_index, NULL);
        return ERROR_OK;
    }
    if (operation->kind != OPERATION_READ_FOLLOWER || !client->hop)
        return consensus_confirm(consensus, was_read, attempt, &error);
    return consensus_wait(consensus, client->hop_index, cluster_node_ms(self->cluster, node) + 1000, was_read,
                          attempt, &error);
}

static void read_stale(struct sim *self, struct client *client, uint32_t node)
{
    if (!cluster_status(self->cluster, node).state_lost)
        read_check(self, &self->operations[client->operation], node, 0);
    self->report.reads++;
    end_operation(self, client);
}

/* Mostly who answered last, else who leads: clients stay where they are, and follow hints when they must. */
static uint32_t choose_node(struct sim *self, const struct client *client)
{
    int leader = cluster_leader(self->cluster);
    bool follower = client->hop || self->operations[client->operation].kind == OPERATION_READ_STALE;

    const struct cluster_node *thawed = &self->cluster->nodes[self->thawed];
    if (sim_now(self) < self->thawed_until_ms && thawed->consensus != NULL && !thawed->paused)
        return self->thawed;
    const struct cluster_node *liked = &self->cluster->nodes[client->liked];
    if (client->likes && !follower && liked->consensus != NULL && !liked->paused && !liked->dead)
        return client->liked;
    if (leader >= 0 && !follower && random_chance(&self->client_random, 85) &&
        !self->cluster->nodes[leader].paused && !self->cluster->nodes[leader].dead)
        return (uint32_t)leader;
    return sim_any_node(self, &self->client_random);
}

static void ask(struct sim *self, uint32_t number)
{
    struct client *client = &self->clients[number];
    struct operation *operation = &self->operations[client->operation];
    uint32_t node = choose_node(self, client);

    /* In a healthy cluster all is answered; only a spare never gets what a reader there waits for. */
    bool hopeless = !self->calm || operation->kind == OPERATION_READ_FOLLOWER;
    if (sim_now(self) > operation->begun_ms + PATIENCE_MS && hopeless) {
        end_operation(self, client);
        return;
    }
    if (node == CLUSTER_NODES_MAX) {
        try_again(self, client);
        return;
    }
    sim_note(self, "ask", node, client->operation, (uint64_t)operation->kind);
    if (operation->kind == OPERATION_READ_STALE) {
        read_stale(self, client, node);
        return;
    }
    struct attempt *attempt = attempt_new(self, number, node);
    client->waiting = true;
    client->deadline_ms = sim_now(self) + ATTEMPT_MS;
    enum error_code code = operation->kind < OPERATION_READ ? ask_write(self, client, node, attempt)
                                                            : ask_read(self, client, node, attempt);
    if (code == ERROR_OK)
        return;
    free(attempt);
    try_again(self, client);
}

void clients_wake(struct sim *self)
{
    for (uint32_t i = 0; i < self->config.clients; i++)
        if (self->clients[i].operation == 0 && self->clients[i].next_ms > sim_now(self))
            self->clients[i].next_ms = sim_now(self);
}

void clients_run(struct sim *self)
{
    uint64_t now_ms = sim_now(self);

    for (uint32_t i = 0; i < self->config.clients && !sim_failed(self); i++) {
        struct client *client = &self->clients[i];
        if (client->waiting && now_ms >= client->deadline_ms)
            try_again(self, client);
        if (client->waiting || now_ms < client->next_ms)
            continue;
        if (client->operation == 0 && !self->calm)
            begin_operation(self, i);
        if (client->operation != 0)
            ask(self, i);
    }
}
