/* chaos-workload: the clients of a chaos run. tools/chaos builds and runs it. */
#include <arpa/inet.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/check.h"
#include "chaos/workload/objects.h"
#include "chaos/workload/record.h"

#define USAGE       2
#define ENVIRONMENT 3

static struct driver driver = {.clients_count = 48, .registers = 24, .accounts = 8, .switches = 4};
static uint64_t rate = 400;

static void help(void)
{
    printf(
        "chaos-workload: clients that change and read a cluster through all its nodes, and write down what "
        "they saw.\n\n"
        "  chaos-workload --node NAME=IP:PORT [--node ...] --history FILE [options]\n\n"
        "  --node NAME=IP:PORT  a node's HTTP interface\n"
        "  --history FILE       where the history goes, as JSON lines\n"
        "  --clients N          so many at once (1 to %u; default 48)\n"
        "  --rate N             operations a second, all together (default 400; 0: as many as go)\n"
        "  --registers N        flags that are set and read (1 to %u; default 24)\n"
        "  --workloads W[,W]    kinds of clients (default: all)\n"
        "  --run NAME           begins the names of all that is made\n"
        "  --seed N             of the choices\n\nWorkloads:\n",
        CLIENTS_MAX, REGISTERS_MAX);
    const struct workload *row;
    for (uint32_t i = 0; (row = workload_at(i)) != NULL; i++)
        printf("  %-10s %s\n", row->name, row->help);
    printf(
        "\nIt runs until its standard input says `drain`, ends what is under way, makes the last reads and "
        "exits with 0.\n");
}

static bool add_node(char *text)
{
    char *equals = strchr(text, '='), *colon = strrchr(text, ':');
    uint64_t port = 0;
    if (driver.nodes_count == NODES_MAX || equals == NULL || colon < equals)
        return false;
    struct sockaddr_in *to = &driver.nodes[driver.nodes_count];
    *equals = *colon = 0;
    if (!parse_u64(colon + 1, 65535, &port) || inet_pton(AF_INET, equals + 1, &to->sin_addr) != 1)
        return false;
    to->sin_family = AF_INET;
    to->sin_port = htons((uint16_t)port);
    snprintf(driver.names[driver.nodes_count++], sizeof driver.names[0], "%s", text);
    return true;
}

static bool number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    return parse_u64(text, max, out) && *out >= min;
}

static bool take(const char *name, char *value, const char **history, const char **wanted)
{
    uint64_t n = 0;
    if (strcmp(name, "node") == 0)
        return add_node(value);
    if (strcmp(name, "history") == 0)
        *history = value;
    else if (strcmp(name, "workloads") == 0)
        *wanted = value;
    else if (strcmp(name, "run") == 0 && name_valid(value) && strlen(value) < sizeof driver.run)
        snprintf(driver.run, sizeof driver.run, "%s", value);
    else if (strcmp(name, "seed") == 0 && parse_u64(value, UINT64_MAX, &n))
        driver.random = n;
    else if (strcmp(name, "rate") == 0 && number(value, 0, 1000000, &n))
        rate = n;
    else if (strcmp(name, "clients") == 0 && number(value, 1, CLIENTS_MAX, &n))
        driver.clients_count = (uint32_t)n;
    else if (strcmp(name, "registers") == 0 && number(value, 1, REGISTERS_MAX, &n))
        driver.registers = (uint32_t)n;
    else
        return false;
    return true;
}

/* As a comma-separated list names it; NULL names all. */
static bool named(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; at != NULL; at = strchr(at, ',') != NULL ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, name, length) == 0 && (at[length] == 0 || at[length] == ','))
            return true;
    return list == NULL;
}

/* Deals the clients out by the kinds' shares; each wanted kind has at least one. */
static bool deal(const char *wanted)
{
    const struct workload *rows[16];
    uint32_t count = 0, shares = 0, dealt = 0;
    const struct workload *row;
    for (uint32_t i = 0; (row = workload_at(i)) != NULL; i++) {
        if (!named(wanted, row->name))
            continue;
        CHECK(count < 16, "%u kinds", count);
        rows[count++] = row;
        shares += row->share;
    }
    if (count == 0 || driver.clients_count < count)
        return false;
    for (uint32_t i = 0; i < driver.clients_count; i++) {
        uint32_t at = 0, place = i < count ? 0 : (uint32_t)driver_random(&driver, shares);
        for (; i >= count && place >= rows[at]->share; at++)
            place -= rows[at]->share;
        struct client *client = &driver.clients[i];
        client->workload = rows[i < count ? i : at];
        client->ordinal = workload_clients(&driver, client->workload) - 1;
        client->number = i;
        client->node = i % driver.nodes_count;
        client->fd = -1;
        client->driver = &driver;
        client->memory = memory_zero(1, client->workload->memory_bytes);
        bytes_init(&client->request, BODY_BYTES_MAX + 1024);
        bytes_init(&client->answer, ANSWER_BYTES_MAX);
        bytes_init(&client->operation.body, BODY_BYTES_MAX);
        dealt++;
    }
    return dealt == driver.clients_count;
}

static int usage(const char *what)
{
    fprintf(stderr, "chaos-workload: %s; see chaos-workload --help\n", what);
    return USAGE;
}

static int run(void)
{
    struct error error = {0};
    record_begin(&driver);
    enum error_code code = driver_prepare(&driver, &error);
    if (code == ERROR_OK) {
        printf("ready\n");
        fflush(stdout);
        code = driver_run(&driver, &error);
    }
    printf("%llu ok, %llu refused, %llu unknown, %llu events\n", (unsigned long long)driver.ended[OUTCOME_OK],
           (unsigned long long)driver.ended[OUTCOME_REFUSED],
           (unsigned long long)driver.ended[OUTCOME_UNKNOWN], (unsigned long long)driver.events);
    if (fclose(driver.history) != 0) {
        fprintf(stderr, "chaos-workload: the history can't be written\n");
        return ENVIRONMENT;
    }
    if (code != ERROR_OK)
        fprintf(stderr, "chaos-workload: %s\n", error.message);
    return code == ERROR_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"node", required_argument, NULL, 'o'},
                                            {"history", required_argument, NULL, 'o'},
                                            {"clients", required_argument, NULL, 'o'},
                                            {"rate", required_argument, NULL, 'o'},
                                            {"registers", required_argument, NULL, 'o'},
                                            {"workloads", required_argument, NULL, 'o'},
                                            {"run", required_argument, NULL, 'o'},
                                            {"seed", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *history = NULL, *wanted = NULL;
    int index = 0, option;
    snprintf(driver.run, sizeof driver.run, "c");
    while ((option = getopt_long(argc, argv, "h", options, &index)) != -1) {
        if (option == 'h') {
            help();
            return 0;
        }
        if (option != 'o' || !take(options[index].name, optarg, &history, &wanted))
            return usage(option == 'o' ? options[index].name : "unknown option");
    }
    if (optind < argc || driver.nodes_count == 0 || history == NULL)
        return usage(optind < argc ? argv[optind] : "no --node or no --history");
    if (!deal(wanted))
        return usage("no such workload, or fewer clients than kinds of them");
    driver.pause_ns = rate == 0 ? 0 : driver.clients_count * 1000000000ull / rate;
    driver.epoll = epoll_create1(EPOLL_CLOEXEC);
    driver.history = fopen(history, "we");
    if (driver.epoll < 0 || driver.history == NULL) {
        fprintf(stderr, "chaos-workload: %s can't be opened\n", history);
        return ENVIRONMENT;
    }
    return run();
}
