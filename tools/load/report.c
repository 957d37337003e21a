#include "tools/load/report.h"

#include <arpa/inet.h>
#include <inttypes.h>

#define STATUSES_MAX 600u

static uint64_t status_sum(const struct load_result *result, uint32_t from, uint32_t to)
{
    uint64_t sum = 0;
    for (uint32_t status = from; status < to; status++)
        sum += result->statuses[status];
    return sum;
}

uint64_t report_errors(const struct load_result *result)
{
    uint64_t sum = status_sum(result, 300, STATUSES_MAX);
    for (uint32_t failure = 0; failure < LOAD_FAILURES; failure++)
        sum += result->failures[failure];
    return sum;
}

static double per_second(const struct load_result *result)
{
    return result->elapsed_us == 0 ? 0 : (double)result->latency.count * 1e6 / (double)result->elapsed_us;
}

/* Processor seconds of all servers for 10,000 operations. */
static double cpu_per_10000(const struct load_result *result)
{
    return result->latency.count == 0 ? 0
                                      : (double)result->server_cpu_ms * 10 / (double)result->latency.count;
}

void report_text(const struct load_setting *setting, const struct load_result *result, struct bytes *out)
{
    const struct histogram *latency = &result->latency;
    bytes_printf(out, "%s, %u connections to %u nodes, values of %u bytes, %.1f s\n", setting->workload.name,
                 setting->connections, setting->targets_count, setting->workload.value_bytes,
                 (double)result->elapsed_us / 1e6);
    bytes_printf(out, "  %.0f ops/s (%" PRIu64 " operations)\n", per_second(result), latency->count);
    bytes_printf(out, "  latency ms  p50 %.2f  p99 %.2f  p999 %.2f  max %.2f\n",
                 (double)histogram_percentile_us(latency, 500) / 1e3,
                 (double)histogram_percentile_us(latency, 990) / 1e3,
                 (double)histogram_percentile_us(latency, 999) / 1e3, (double)latency->max_us / 1e3);
    bytes_printf(out, "  errors      %" PRIu64, report_errors(result));
    for (uint32_t status = 300; status < STATUSES_MAX; status++)
        if (result->statuses[status] > 0)
            bytes_printf(out, "  %u: %" PRIu64, status, result->statuses[status]);
    for (uint32_t failure = 0; failure < LOAD_FAILURES; failure++)
        if (result->failures[failure] > 0)
            bytes_printf(out, "  %s: %" PRIu64, load_failure_name(failure), result->failures[failure]);
    if (result->why[0] != 0)
        bytes_printf(out, "  (first: %s)", result->why);
    bytes_append_text(out, "\n");
    if (setting->pids_count > 0)
        bytes_printf(out, "  processor   servers %.2f s, %.2f s per 10,000 operations; this program %.2f s\n",
                     (double)result->server_cpu_ms / 1e3, cpu_per_10000(result),
                     (double)result->client_cpu_ms / 1e3);
    else
        bytes_printf(out, "  processor   this program %.2f s (servers: give --pid)\n",
                     (double)result->client_cpu_ms / 1e3);
}

static void targets(const struct load_setting *setting, struct bytes *out)
{
    char text[INET_ADDRSTRLEN];
    for (uint32_t i = 0; i < setting->targets_count; i++) {
        const struct sockaddr_in *target = &setting->targets[i];
        if (inet_ntop(AF_INET, &target->sin_addr, text, sizeof text) != NULL)
            bytes_printf(out, "%s\"http://%s:%u\"", i > 0 ? ", " : "", text,
                         (unsigned)ntohs(target->sin_port));
    }
}

static void counts(const struct load_result *result, struct bytes *out)
{
    const char *comma = "";
    bytes_append_text(out, "  \"statuses\": {");
    for (uint32_t status = 0; status < STATUSES_MAX; status++) {
        if (result->statuses[status] == 0)
            continue;
        bytes_printf(out, "%s\"%u\": %" PRIu64, comma, status, result->statuses[status]);
        comma = ", ";
    }
    bytes_append_text(out, "},\n  \"failures\": {");
    for (uint32_t failure = 0; failure < LOAD_FAILURES; failure++)
        bytes_printf(out, "%s\"%s\": %" PRIu64, failure > 0 ? ", " : "", load_failure_name(failure),
                     result->failures[failure]);
    bytes_append_text(out, "},\n");
}

void report_json(const struct load_setting *setting, const struct load_result *result, struct bytes *out)
{
    const struct histogram *latency = &result->latency;
    bytes_printf(
        out, "{\n  \"workload\": \"%s\",\n  \"connections\": %u,\n  \"value_bytes\": %u,\n  \"targets\": [",
        setting->workload.name, setting->connections, setting->workload.value_bytes);
    targets(setting, out);
    bytes_printf(out, "],\n  \"elapsed_s\": %.6f,\n  \"operations\": %" PRIu64 ",\n  \"ops_per_s\": %.1f,\n",
                 (double)result->elapsed_us / 1e6, latency->count, per_second(result));
    bytes_printf(out,
                 "  \"latency_us\": {\"p50\": %" PRIu64 ", \"p99\": %" PRIu64 ", \"p999\": %" PRIu64
                 ", \"max\": %" PRIu64 "},\n",
                 histogram_percentile_us(latency, 500), histogram_percentile_us(latency, 990),
                 histogram_percentile_us(latency, 999), latency->max_us);
    bytes_printf(out, "  \"errors\": %" PRIu64 ",\n", report_errors(result));
    counts(result, out);
    if (setting->pids_count > 0)
        bytes_printf(out, "  \"server_cpu_s\": %.3f,\n  \"server_cpu_s_per_10000\": %.4f,\n",
                     (double)result->server_cpu_ms / 1e3, cpu_per_10000(result));
    else
        bytes_append_text(out, "  \"server_cpu_s\": null,\n  \"server_cpu_s_per_10000\": null,\n");
    bytes_printf(out, "  \"client_cpu_s\": %.3f\n}\n", (double)result->client_cpu_ms / 1e3);
}
