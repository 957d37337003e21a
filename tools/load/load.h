/* The load: each connection sends a request, waits for the whole answer, sends the next (a closed loop).
 *
 * One thread and one epoll; a request costs two system calls (send, recv) and a share of a third. Not
 * libcurl's multi interface: it looks up, allocates and parses more for each transfer, and the generator
 * shares the machine with the servers it measures. The result says what it took itself (client_cpu_ms). */
#pragma once

#include <netinet/in.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "tools/load/histogram.h"
#include "tools/load/workload.h"

#define LOAD_CONNECTIONS_MAX 4096u
#define LOAD_TARGETS_MAX     15u
#define LOAD_PIDS_MAX        16u
#define LOAD_TIMEOUT_MS      10000u /* for one answer; also how long the end waits for the last ones */

enum load_failure { LOAD_CONNECT, LOAD_CLOSED, LOAD_MALFORMED, LOAD_TIMEOUT, LOAD_FAILURES };

struct load_setting {
    struct sockaddr_in targets[LOAD_TARGETS_MAX]; /* connections are dealt out over them in turn */
    uint32_t targets_count;
    uint32_t connections;
    uint64_t duration_ms;
    uint64_t warmup_ms; /* before it, not counted */
    struct workload workload;
    pid_t pids[LOAD_PIDS_MAX]; /* whose processor time is counted */
    uint32_t pids_count;
};

struct load_result {
    struct histogram latency; /* of the answers 2xx */
    uint64_t statuses[600];
    uint64_t failures[LOAD_FAILURES];
    uint64_t elapsed_us; /* to the last answer */
    uint64_t server_cpu_ms;
    uint64_t client_cpu_ms;
    char why[160]; /* of the first failure; empty when there was none */
};

/** "http://HOST:PORT" with an IPv4 address or a name that has one. */
enum error_code load_target(const char *url, struct sockaddr_in *out, struct error *error) MUST_USE;

/** Makes the workload's requests of preparation at the first target, one after another. */
enum error_code load_prepare(const struct load_setting *setting, struct error *error) MUST_USE;

/** Runs the load to its end.
 *
 * @param out  zeroed by the caller */
enum error_code load_run(const struct load_setting *setting, struct load_result *out,
                         struct error *error) MUST_USE;

/** User and system time of a process so far; ERROR_NOT_FOUND when there is no such process. */
enum error_code load_cpu_ms(pid_t pid, uint64_t *out_ms, struct error *error) MUST_USE;

const char *load_failure_name(enum load_failure failure);
