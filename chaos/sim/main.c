/* sim: arguments, one process for each seed, and what they found. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "chaos/sim/children.h"
#include "chaos/sim/mutants.h"
#include "chaos/sim/sim.h"

#define JOBS_MAX       64u
#define SHRINK_FAULTS  1024u /* of a run that ended before it could count them */
#define SHOWN_FAILURES 5u

struct arguments {
    struct sim_options options;
    uint64_t first, last;
    uint32_t jobs;
    bool shrink, each, mutants;
};

struct totals {
    uint64_t seeds, violations, virtual_ms, events, committed, acknowledged, reads, faults, restarts,
        installs, snapshots;
    double cpu_s;
    uint32_t met[SIM_FAULT_KINDS];
};

static void help(void)
{
    printf("sim: nodes of the real consensus and state machine in one thread and virtual time\n\n"
           "  sim --seed N | --seeds A..B | --fresh N | --mutants  [--minutes M] [--nodes N]\n"
           "      [--faults LIST|all|none] [--trace] [--shrink] [--mutant NAME] [--jobs N] [--each]\n\n"
           "  --seed N          play one seed; the last line is its trace's hash, the same on every run\n"
           "  --seeds A..B      play many, each in a process of its own\n"
           "  --fresh N         play N seeds that nobody has played, and say which\n"
           "  --minutes M       virtual minutes before everything is mended (3)\n"
           "  --nodes N         1 to 7 (each seed draws its own)\n"
           "  --faults LIST     names with commas; each seed draws among them (all)\n"
           "  --trace           print every event\n"
           "  --shrink          leave out faults of a failing seed as long as it fails\n"
           "  --mutant NAME     plant a bug: it must be found\n"
           "  --mutants         each of them (or the one): which check finds it, at which seed\n"
           "  --jobs N          processes at a time (1)\n"
           "  --each            a line for each seed that holds, too\n\n"
           "Exit 0: clean; 1: a violation, with its seed; 2: usage; 3: the environment.\n\n"
           "  sim --seed 7 --minutes 10\n"
           "  sim --seeds 1..500 --jobs 2\n"
           "  sim --fresh 1000 --minutes 5 --jobs 2\n"
           "  sim --seed 7 --faults crash,partition --nodes 3 --trace\n\n"
           "Faults:");
    for (uint32_t kind = 0; sim_fault_name(kind) != NULL; kind++)
        printf(" %s", sim_fault_name(kind));
    printf("\nMutants:\n");
    for (uint32_t i = 0; mutant_at(i) != NULL; i++)
        printf("  %-28s %s\n", mutant_at(i)->name, mutant_at(i)->how);
}

static _Noreturn void usage(const char *format, const char *what)
{
    fprintf(stderr, "sim: ");
    fprintf(stderr, format, what);
    fprintf(stderr, "; see sim --help\n");
    exit(EXIT_USAGE);
}

/* --- arguments
 * -------------------------------------------------------------------------------------------------------- */

static uint64_t number(const char *text, uint64_t least, uint64_t most)
{
    uint64_t value = 0;

    if (!parse_u64(text, most, &value) || value < least)
        usage("\"%s\" is out of range", text);
    return value;
}

static uint32_t fault_list(const char *text)
{
    char copy[512], *rest = copy;
    uint32_t faults = 0;

    if (strcmp(text, "none") == 0)
        return 0;
    if (strcmp(text, "all") == 0)
        return UINT32_MAX;
    snprintf(copy, sizeof copy, "%s", text);
    for (const char *name; (name = strsep(&rest, ",")) != NULL;) {
        uint32_t kind = 0;
        while (sim_fault_name(kind) != NULL && strcmp(sim_fault_name(kind), name) != 0)
            kind++;
        if (sim_fault_name(kind) == NULL)
            usage("no fault is called \"%s\"", name);
        faults |= 1u << kind;
    }
    return faults;
}

static void seed_range(const char *text, struct arguments *out)
{
    const char *dots = strstr(text, "..");
    char first[32];

    if (dots == NULL || (size_t)(dots - text) >= sizeof first)
        usage("\"%s\" is no range A..B", text);
    snprintf(first, sizeof first, "%.*s", (int)(dots - text), text);
    out->first = number(first, 0, UINT64_MAX);
    out->last = number(dots + 2, out->first, UINT64_MAX);
}

static void take_mutant(const char *name, struct arguments *out)
{
    const struct mutant *mutant = mutant_find(name);

    if (mutant == NULL)
        usage("no mutant is called \"%s\"", name);
    out->options.mutant = mutant->name;
    out->options.rules_off = mutant->rules_off;
    mutant_plant(mutant);
}

static void parse(int argc, char **argv, struct arguments *out)
{
    static const struct option known[] = {
        {"seed", 1, NULL, 's'},    {"seeds", 1, NULL, 'S'},  {"minutes", 1, NULL, 'm'},
        {"nodes", 1, NULL, 'n'},   {"faults", 1, NULL, 'f'}, {"trace", 0, NULL, 't'},
        {"shrink", 0, NULL, 'k'},  {"mutant", 1, NULL, 'u'}, {"jobs", 1, NULL, 'j'},
        {"fresh", 1, NULL, 'F'},   {"each", 0, NULL, 'e'},   {"help", 0, NULL, 'h'},
        {"mutants", 0, NULL, 'M'}, {NULL, 0, NULL, 0}};
    bool seeded = false;

    *out = (struct arguments){.options = {.minutes = 3, .faults = UINT32_MAX, .mutant = ""}, .jobs = 1};
    for (int letter; (letter = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        switch (letter) {
        case 's':
            out->first = out->last = number(optarg, 0, UINT64_MAX);
            seeded = true;
            break;
        case 'S':
            seed_range(optarg, out);
            seeded = true;
            break;
        case 'F':
            out->first = (uint64_t)time(NULL) * 10000;
            out->last = out->first + number(optarg, 1, 1000000) - 1;
            seeded = true;
            break;
        case 'e':
            out->each = true;
            break;
        case 'm':
            out->options.minutes = number(optarg, 1, 100000);
            break;
        case 'n':
            out->options.nodes = (uint32_t)number(optarg, 1, 7);
            break;
        case 'f':
            out->options.faults = fault_list(optarg);
            break;
        case 't':
            out->options.trace = true;
            break;
        case 'k':
            out->shrink = true;
            break;
        case 'u':
            take_mutant(optarg, out);
            break;
        case 'M':
            out->mutants = true;
            seeded = true;
            break;
        case 'j':
            out->jobs = (uint32_t)number(optarg, 1, JOBS_MAX);
            break;
        case 'h':
            help();
            exit(EXIT_CLEAN);
        default:
            exit(EXIT_USAGE);
        }
    }
    if (optind < argc)
        usage("what is %s?", argv[optind]);
    if (!seeded)
        usage("%s", "say --seed N, --seeds A..B or --fresh N");
}

/* --- totals
 * -----------------------------------------------------------------------------------------------------------
 */

static void add(struct totals *totals, const struct sim_report *report)
{
    totals->seeds++;
    totals->violations += report->violated;
    totals->virtual_ms += report->virtual_ms;
    totals->events += report->events;
    totals->committed += report->committed;
    totals->acknowledged += report->acknowledged;
    totals->reads += report->reads;
    totals->faults += report->faults;
    totals->restarts += report->restarts;
    totals->installs += report->installs;
    totals->snapshots += report->snapshots;
    for (uint32_t i = 0; i < SIM_FAULT_KINDS; i++)
        totals->met[i] += report->met[i];
}

static double children_cpu_s(void)
{
    struct rusage used = {0};

    getrusage(RUSAGE_CHILDREN, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void print_totals(const struct totals *totals)
{
    printf("%" PRIu64 " seeds, %.2f virtual hours, %" PRIu64 " events, %" PRIu64
           " entries committed, %" PRIu64 " writes acknowledged, %" PRIu64 " reads checked, %" PRIu64
           " restarts, %" PRIu64 " snapshots, %" PRIu64 " state transfers\n",
           totals->seeds, (double)totals->virtual_ms / 3600000, totals->events, totals->committed,
           totals->acknowledged, totals->reads, totals->restarts, totals->snapshots, totals->installs);
    printf("%" PRIu64 " faults:", totals->faults);
    for (uint32_t kind = 0; sim_fault_name(kind) != NULL; kind++)
        printf(" %s %u", sim_fault_name(kind), totals->met[kind]);
    printf("\n%.0f virtual seconds a second of one processor\n",
           totals->cpu_s > 0 ? (double)totals->virtual_ms / 1000 / totals->cpu_s : 0);
}

/* --- one seed, many seeds, fewer faults
 * ------------------------------------------------------------------------------- */

static bool quiet_run(const struct sim_options *options, struct sim_report *report)
{
    struct child child;

    child_start(options, false, &child);
    bool held = child_end(&child, report);
    fclose(child.said);
    return held;
}

static bool same_check(const char *one, const char *other)
{
    size_t bytes = strcspn(one, ":");

    return bytes == strcspn(other, ":") && memcmp(one, other, bytes) == 0;
}

/* Leaves out halves, quarters, ... single faults, as long as the seed still fails by the same check. */
static void shrink(struct sim_options options)
{
    struct sim_report report;

    if (quiet_run(&options, &report)) {
        printf("seed %" PRIu64 " does not fail\n", options.seed);
        return;
    }
    uint32_t count = report.fault_count == 0 ? SHRINK_FAULTS : report.fault_count, left = count;
    bool *skip = memory_zero(count, sizeof *skip), *before = memory_zero(count, sizeof *before);
    char violation[sizeof report.violation];
    memcpy(violation, report.violation, sizeof violation);
    options.skip = skip;
    options.skip_count = count;
    for (uint32_t size = (count + 1) / 2; size > 0; size /= 2)
        for (uint32_t from = 0; from < count; from += size) {
            uint32_t most = from + size < count ? from + size : count, changed = 0;
            for (uint32_t i = from; i < most; i++) {
                before[i - from] = skip[i];
                changed += !skip[i];
                skip[i] = true;
            }
            if (changed == 0)
                continue;
            if (!quiet_run(&options, &report) && same_check(report.violation, violation)) {
                left -= changed;
                continue;
            }
            for (uint32_t i = from; i < most; i++)
                skip[i] = before[i - from];
        }
    printf("seed %" PRIu64 ": %u of %u faults are enough:\n", options.seed, left, count);
    fflush(stdout);
    struct child child;
    child_start(&options, true, &child);
    child_end(&child, &report);
    free(before);
    free(skip);
}

static int play_one(const struct arguments *arguments)
{
    struct sim_options options = arguments->options;
    struct totals totals = {0};
    struct sim_report report;
    struct child child;
    char hash[2 * DIGEST_BYTES + 1];

    options.seed = arguments->first;
    child_start(&options, true, &child);
    bool held = child_end(&child, &report);
    totals.cpu_s = children_cpu_s();
    add(&totals, &report);
    print_totals(&totals);
    if (!held)
        printf("not ok - seed %" PRIu64 ": %s\n", report.seed, report.violation);
    fflush(stdout);
    if (!held && arguments->shrink)
        shrink(options);
    hex_encode(report.hash, sizeof report.hash, hash);
    printf("trace %s\n", hash);
    return held ? EXIT_CLEAN : EXIT_VIOLATION;
}

static void tell_failure(struct child *child, const struct sim_report *report, uint64_t so_far)
{
    printf("not ok - seed %" PRIu64 ": %s\n", report->seed, report->violation);
    fflush(stdout);
    if (so_far < SHOWN_FAILURES)
        child_show(child->said);
}

static int play_many(const struct arguments *arguments)
{
    struct sim_options options = arguments->options;
    struct child children[JOBS_MAX];
    struct totals totals = {0};
    uint32_t running = 0;
    uint64_t next = arguments->first, count = arguments->last - arguments->first + 1, started = 0;

    while (started < count || running > 0) {
        while (running < arguments->jobs && started < count) {
            options.seed = next++;
            started++;
            child_start(&options, false, &children[running++]);
        }
        struct pollfd ready[JOBS_MAX];
        for (uint32_t i = 0; i < running; i++)
            ready[i] = (struct pollfd){.fd = children[i].pipe, .events = POLLIN};
        if (poll(ready, running, -1) < 0)
            continue;
        for (uint32_t i = running; i > 0; i--) {
            struct child *child = &children[i - 1];
            struct sim_report report;
            if (ready[i - 1].revents == 0)
                continue;
            if (!child_end(child, &report))
                tell_failure(child, &report, totals.violations);
            else if (arguments->each)
                printf("ok - seed %" PRIu64 "\n", report.seed);
            add(&totals, &report);
            fclose(child->said);
            *child = children[--running];
        }
    }
    totals.cpu_s = children_cpu_s();
    print_totals(&totals);
    printf("%s - %" PRIu64 " of the %" PRIu64 " seeds %" PRIu64 "..%" PRIu64 " hold\n",
           totals.violations == 0 ? "ok" : "not ok", totals.seeds - totals.violations, totals.seeds,
           arguments->first, arguments->last);
    return totals.violations == 0 ? EXIT_CLEAN : EXIT_VIOLATION;
}

int main(int argc, char **argv)
{
    struct arguments arguments;

    parse(argc, argv, &arguments);
    if (arguments.mutants)
        return mutants_table(arguments.options.mutant, arguments.jobs) ? EXIT_CLEAN : EXIT_VIOLATION;
    return arguments.first == arguments.last ? play_one(&arguments) : play_many(&arguments);
}
