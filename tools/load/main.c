/* autonomy_bench: a closed loop of HTTP requests. tools/bench builds and runs it; its --help is the manual.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "tools/load/load.h"
#include "tools/load/report.h"

#define REPORT_BYTES_MAX 65536u
#define USAGE            2
#define ENVIRONMENT      3

struct arguments {
    struct load_setting setting;
    bool json;
};

static void help(void)
{
    printf("autonomy_bench: keeps connections busy with HTTP requests and reports what came of it.\n\n"
           "  autonomy_bench --url http://HOST:PORT[,...] [options]\n\n"
           "  --url U[,U...]      where connections go, dealt out in turn\n"
           "  --connections N     clients, each with one request at a time (1 to %u; default 64)\n"
           "  --duration T        measured time, such as 5s (default)\n"
           "  --warmup T          time before it that isn't counted (default 500ms)\n"
           "  --value-bytes N     size of a value that is written (1 to %u; default 200)\n"
           "  --workload W        one of those below (default flag-set)\n"
           "  --pid P[,P...]      servers whose processor time is counted\n"
           "  --output text|json  (default text)\n\nWorkloads:\n",
           LOAD_CONNECTIONS_MAX, WORKLOAD_VALUE_BYTES_MAX);
    const struct workload *row;
    for (uint32_t i = 0; (row = workload_at(i)) != NULL; i++)
        printf("  %-16s %s\n", row->name, row->help);
    printf("\nLatencies are of answers 2xx. Exit 0: some were; 1: none was; 2: wrong usage; 3: no server, or "
           "not a fit one.\n");
}

static enum error_code number(const char *name, const char *text, uint64_t max, uint32_t *out,
                              struct error *error)
{
    uint64_t value = 0;
    if (!parse_u64(text, max, &value) || value == 0)
        return error_set(error, ERROR_INVALID, "--%s: %s is not within 1 .. %llu", name, text,
                         (unsigned long long)max);
    *out = (uint32_t)value;
    return ERROR_OK;
}

static enum error_code duration(const char *name, const char *text, uint64_t *out, struct error *error)
{
    uint64_t value = 0;
    if (!parse_duration_ms(text, &value) || value > 3600u * 1000u)
        return error_set(error, ERROR_INVALID, "--%s: %s is not a time of up to an hour", name, text);
    *out = value;
    return ERROR_OK;
}

static enum error_code add_target(struct load_setting *setting, const char *text, struct error *error)
{
    if (setting->targets_count == LOAD_TARGETS_MAX)
        return error_set(error, ERROR_TOO_BIG, "--url: more than %u", LOAD_TARGETS_MAX);
    return load_target(text, &setting->targets[setting->targets_count++], error);
}

static enum error_code add_pid(struct load_setting *setting, const char *text, struct error *error)
{
    uint32_t pid = 0;
    uint64_t ignored = 0;
    if (setting->pids_count == LOAD_PIDS_MAX)
        return error_set(error, ERROR_TOO_BIG, "--pid: more than %u", LOAD_PIDS_MAX);
    enum error_code code = number("pid", text, INT32_MAX, &pid, error);
    if (code != ERROR_OK)
        return code;
    setting->pids[setting->pids_count++] = (pid_t)pid;
    return load_cpu_ms((pid_t)pid, &ignored, error);
}

static enum error_code each(char *list,
                            enum error_code (*add)(struct load_setting *, const char *, struct error *),
                            struct load_setting *setting, struct error *error)
{
    char *rest = NULL;
    for (char *one = strtok_r(list, ",", &rest); one != NULL; one = strtok_r(NULL, ",", &rest)) {
        enum error_code code = add(setting, one, error);
        if (code != ERROR_OK)
            return code;
    }
    return ERROR_OK;
}

static enum error_code take(struct arguments *arguments, const char *name, char *value, struct error *error)
{
    struct load_setting *setting = &arguments->setting;
    if (strcmp(name, "url") == 0)
        return each(value, add_target, setting, error);
    if (strcmp(name, "pid") == 0)
        return each(value, add_pid, setting, error);
    if (strcmp(name, "connections") == 0)
        return number(name, value, LOAD_CONNECTIONS_MAX, &setting->connections, error);
    if (strcmp(name, "value-bytes") == 0)
        return number(name, value, WORKLOAD_VALUE_BYTES_MAX, &setting->workload.value_bytes, error);
    if (strcmp(name, "duration") == 0)
        return duration(name, value, &setting->duration_ms, error);
    if (strcmp(name, "warmup") == 0)
        return duration(name, value, &setting->warmup_ms, error);
    if (strcmp(name, "workload") == 0) {
        struct workload found;
        if (!workload_find(value, &found))
            return error_set(error, ERROR_INVALID, "--workload: there is no %s", value);
        found.value_bytes = setting->workload.value_bytes;
        setting->workload = found;
        return ERROR_OK;
    }
    if (strcmp(value, "json") != 0 && strcmp(value, "text") != 0)
        return error_set(error, ERROR_INVALID, "--output: %s is neither text nor json", value);
    arguments->json = value[0] == 'j';
    return ERROR_OK;
}

static int parse(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {{"url", required_argument, NULL, 'o'},
                                            {"connections", required_argument, NULL, 'o'},
                                            {"duration", required_argument, NULL, 'o'},
                                            {"warmup", required_argument, NULL, 'o'},
                                            {"value-bytes", required_argument, NULL, 'o'},
                                            {"workload", required_argument, NULL, 'o'},
                                            {"pid", required_argument, NULL, 'o'},
                                            {"output", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct error error = {0};
    int index = 0, option;
    while ((option = getopt_long(argc, argv, "h", options, &index)) != -1) {
        if (option == 'h') {
            help();
            exit(0);
        }
        if (option != 'o')
            return USAGE;
        if (take(out, options[index].name, optarg, &error) != ERROR_OK) {
            fprintf(stderr, "autonomy_bench: %s\n", error.message);
            return USAGE;
        }
    }
    if (optind < argc || out->setting.targets_count == 0 || out->setting.duration_ms == 0) {
        fprintf(stderr, "autonomy_bench: %s; see autonomy_bench --help\n",
                optind < argc                     ? argv[optind]
                : out->setting.targets_count == 0 ? "no --url"
                                                  : "--duration 0");
        return USAGE;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct arguments arguments = {
        .setting = {
            .connections = 64, .duration_ms = 5000, .warmup_ms = 500, .workload = {.value_bytes = 200}}};
    struct load_setting *setting = &arguments.setting;
    struct error error = {0};
    uint32_t value_bytes = setting->workload.value_bytes;
    CHECK(workload_find("flag-set", &setting->workload), "the default workload");
    setting->workload.value_bytes = value_bytes;
    int wrong = parse(argc, argv, &arguments);
    if (wrong != 0)
        return wrong;
    snprintf(setting->workload.run, sizeof setting->workload.run, "%08llx%08x",
             (unsigned long long)(clock_monotonic_us() & 0xffffffffu), (unsigned)getpid());
    static struct load_result result;
    if (load_prepare(setting, &error) != ERROR_OK || load_run(setting, &result, &error) != ERROR_OK) {
        fprintf(stderr, "autonomy_bench: %s\n", error.message);
        return ENVIRONMENT;
    }
    struct bytes text;
    bytes_init(&text, REPORT_BYTES_MAX);
    (arguments.json ? report_json : report_text)(setting, &result, &text);
    fwrite(text.data, 1, text.length, stdout);
    bytes_done(&text);
    return result.latency.count > 0 ? 0 : 1;
}
