/* chaos-check: judges the history of a run. Its --help is the manual, README.md describes the file. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "chaos/check/check.h"
#include "chaos/check/report.h"

#define VIOLATION      1
#define USAGE          2
#define ENVIRONMENT    3
#define PATH_BYTES_MAX 4096u

struct arguments {
    const char *path;
    char json[PATH_BYTES_MAX], html[PATH_BYTES_MAX];
    struct check_options options;
};

static void help(void)
{
    printf("chaos-check: says whether what the clients of a run saw is possible.\n\n"
           "  chaos-check [options] FOLDER|FILE\n\n"
           "  FOLDER holds history.jsonl (chaos/check/README.md describes it); verdict.json and report.html "
           "are\n"
           "  written beside it. Of a FILE they are written only where the options say.\n\n"
           "  --json FILE          the verdict for machines\n"
           "  --html FILE          the page for people: timeline, checks, availability\n"
           "  --require C[,C...]   checks that must have something to look at\n"
           "  --seconds N          bound of all searches (default 300)\n"
           "  --configurations N   bound of one search (default %llu)\n\nChecks:\n",
           CHECK_CONFIGURATIONS_MAX);
    for (int i = 0; i < CHECK_KIND_COUNT; i++)
        printf("  %-12s %s\n", check_name((enum check_kind)i), check_text((enum check_kind)i));
    printf("\nExit 0: no violation; 1: a violation, or a check without a decision; 2: wrong usage; 3: the "
           "history can't\n"
           "be read, is empty, or says that the run could not be made.\n\n"
           "  chaos-check --require flags,audit run/chaos\n");
}

static int usage(const char *what, const char *value)
{
    fprintf(stderr, "chaos-check: %s%s; see chaos-check --help\n", what, value);
    return USAGE;
}

static bool require(const char *names, uint32_t *bits)
{
    char text[512];
    if (snprintf(text, sizeof text, "%s", names) >= (int)sizeof text)
        return false;
    char *rest = text, *name;
    while ((name = strsep(&rest, ",")) != NULL) {
        int found = -1;
        for (int i = 0; i < CHECK_KIND_COUNT; i++)
            if (strcmp(name, check_name((enum check_kind)i)) == 0)
                found = i;
        if (found < 0)
            return false;
        *bits |= 1u << found;
    }
    return true;
}

/* @return -1: go on; else the exit code */
static int parse(int count, char **words, struct arguments *out)
{
    static const struct option options[] = {{"json", required_argument, NULL, 'j'},
                                            {"html", required_argument, NULL, 'w'},
                                            {"require", required_argument, NULL, 'r'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {"configurations", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int option;
    out->options.seconds_max = 300;
    while ((option = getopt_long(count, words, "h", options, NULL)) != -1) {
        if (option == 'h') {
            help();
            return 0;
        }
        if (option == 'j')
            snprintf(out->json, sizeof out->json, "%s", optarg);
        else if (option == 'w')
            snprintf(out->html, sizeof out->html, "%s", optarg);
        else if (option == 'r' && !require(optarg, &out->options.required))
            return usage("no such check among ", optarg);
        else if (option == 's' && !parse_u64(optarg, 86400, &out->options.seconds_max))
            return usage("--seconds is 0 (no bound) to 86400, not ", optarg);
        else if (option == 'c' && !parse_u64(optarg, 1000000000, &out->options.configurations_max))
            return usage("--configurations is a number, not ", optarg);
        else if (option == '?')
            return USAGE;
    }
    if (optind + 1 != count)
        return usage("one folder or file is wanted", "");
    out->path = words[optind];
    return -1;
}

static void default_outputs(struct arguments *arguments)
{
    struct stat about;
    if (stat(arguments->path, &about) != 0 || !S_ISDIR(about.st_mode))
        return;
    if (arguments->json[0] == '\0')
        snprintf(arguments->json, sizeof arguments->json, "%s/verdict.json", arguments->path);
    if (arguments->html[0] == '\0')
        snprintf(arguments->html, sizeof arguments->html, "%s/report.html", arguments->path);
}

static void print(const struct history *history, const struct check_report *report)
{
    for (int i = 0; i < CHECK_KIND_COUNT; i++) {
        const struct check_result *result = &report->results[i];
        if (result->verdict != CHECK_NOTHING)
            printf("%-9s %-9s %9" PRIu64 " looked at%s%s\n", check_name((enum check_kind)i),
                   check_verdict_name(result->verdict), result->looked_at,
                   result->message[0] != '\0' ? ": " : "", result->message);
    }
    printf("verdict: %s, %zu operations%s%s\n", check_verdict_name(report->verdict), history->op_count,
           history->about != NULL ? "; " : "", history->about != NULL ? history->about : "");
}

static int write_reports(const struct arguments *arguments, const struct history *history,
                         const struct check_report *report)
{
    struct error error;
    if ((arguments->json[0] != '\0' &&
         report_write_json(history, report, arguments->json, &error) != ERROR_OK) ||
        (arguments->html[0] != '\0' &&
         report_write_html(history, report, arguments->html, &error) != ERROR_OK)) {
        fprintf(stderr, "chaos-check: %s\n", error.message);
        return ENVIRONMENT;
    }
    return 0;
}

static int verdict_exit(const struct history *history, const struct check_report *report)
{
    if (report->verdict == CHECK_VIOLATED || report->verdict == CHECK_UNDECIDED)
        return VIOLATION; /* also of a run that was cut short */
    if (history->environment != NULL) {
        fprintf(stderr, "chaos-check: the run could not be made: %s\n", history->environment);
        return ENVIRONMENT;
    }
    if (report->verdict == CHECK_NOTHING) {
        fprintf(stderr, "chaos-check: the history has nothing to judge\n");
        return ENVIRONMENT;
    }
    return 0;
}

int main(int count, char **words)
{
    static struct arguments arguments;
    static struct check_report report;
    struct history *history;
    struct error error;
    int code = parse(count, words, &arguments);
    if (code >= 0)
        return code;
    default_outputs(&arguments);
    if (history_read(arguments.path, &history, &error) != ERROR_OK) {
        fprintf(stderr, "chaos-check: %s\n", error.message);
        return ENVIRONMENT;
    }
    check_history(history, &arguments.options, &report);
    print(history, &report);
    int written = write_reports(&arguments, history, &report);
    code = verdict_exit(history, &report);
    if (code == 0) /* a violation is one, whatever became of its report */
        code = written;
    history_free(history);
    return code;
}
