#include "chaos/sim/children.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define HANGS_AFTER_S        600u /* of processor time are enough for any seed */
#define MUTANT_HANGS_AFTER_S 20u  /* what a planted bug does may be to go in circles */
#define LINE_BYTES           480

static void limit_time(uint32_t seconds)
{
    const struct itimerval limit = {.it_value = {.tv_sec = seconds}};
    setitimer(ITIMER_PROF, &limit, NULL); /* its SIGPROF kills */
}

/* The cluster of a scenario or a schedule says what is wrong on stderr only. */
static void play(const struct sim_options *options, struct sim_report *report)
{
    struct cluster_totals totals = {0};

    *report = (struct sim_report){.seed = options->seed};
    if (options->scenario != NULL)
        report->violated = !options->scenario->play(options->rules_off, options->seed);
    else if (options->schedule)
        report->violated = !cluster_random_schedule(options->rules_off, options->seed, &totals);
    else
        sim_run(options, report);
}

void child_start(const struct sim_options *options, bool show, struct child *out)
{
    int ends[2];

    *out = (struct child){.seed = options->seed, .said = show ? NULL : tmpfile()};
    fflush(NULL);
    if (pipe(ends) != 0 || (!show && out->said == NULL)) {
        fprintf(stderr, "sim: no pipe or file: %s\n", strerror(errno));
        exit(EXIT_ENVIRONMENT);
    }
    out->pid = fork();
    if (out->pid < 0) {
        fprintf(stderr, "sim: no process: %s\n", strerror(errno));
        exit(EXIT_ENVIRONMENT);
    }
    if (out->pid == 0) {
        struct sim_report report;
        if (!show)
            dup2(fileno(out->said), STDERR_FILENO);
        limit_time(options->mutant[0] != '\0' ? MUTANT_HANGS_AFTER_S : HANGS_AFTER_S);
        play(options, &report);
        ssize_t written = write(ends[1], &report, sizeof report);
        fflush(NULL);
        _exit(written == (ssize_t)sizeof report ? 0 : EXIT_ENVIRONMENT);
    }
    close(ends[1]);
    out->pipe = ends[0];
}

/* The product's own check that stopped it: "<file>:<line>: check failed: ..."; or what a cluster reported:
 * "seed <number> at <number> ms: ...". */
static bool find_check(FILE *said, char *out, size_t out_bytes)
{
    char line[LINE_BYTES];
    bool found = false;

    if (said == NULL)
        return false;
    rewind(said);
    while (!found && fgets(line, sizeof line, said) != NULL) {
        const char *end = strstr(line, ": check failed: "), *file = line, *told = strstr(line, " ms: ");
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "seed ", 5) == 0 && told != NULL) {
            snprintf(out, out_bytes, "cluster: %s", told + strlen(" ms: "));
            return true;
        }
        for (const char *at = line; end != NULL && at < end; at++)
            file = *at == '/' ? at + 1 : file; /* its path depends on the build */
        if (end != NULL)
            snprintf(out, out_bytes, "invariant: %s", file);
        found = end != NULL;
    }
    return found;
}

bool child_end(struct child *child, struct sim_report *report)
{
    int status = 0;

    *report = (struct sim_report){.seed = child->seed};
    ssize_t got = read(child->pipe, report, sizeof *report);
    close(child->pipe);
    waitpid(child->pid, &status, 0);
    if (got == (ssize_t)sizeof *report && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        if (report->violated && report->violation[0] == '\0')
            find_check(child->said, report->violation, sizeof report->violation);
        return !report->violated;
    }
    report->violated = true;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF)
        snprintf(report->violation, sizeof report->violation, "progress: it hangs");
    else if (!find_check(child->said, report->violation, sizeof report->violation))
        snprintf(report->violation, sizeof report->violation, "abort: the process died (%s %d)",
                 WIFSIGNALED(status) ? "signal" : "exit",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return false;
}

void child_show(FILE *said)
{
    char buffer[4096];

    rewind(said);
    for (size_t got; (got = fread(buffer, 1, sizeof buffer, said)) > 0;)
        fwrite(buffer, 1, got, stderr);
}
