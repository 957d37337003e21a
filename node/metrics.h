/* What /metrics shows: one table of metrics, which the text format and docs/reference/metrics.md come from.
 *
 * Every label has a bound: routes and their kinds are the table in routes.c, codes are the list below, peers
 * are the members of the cluster, outcomes and states are enums. A counter begins at 0 with the process.
 *
 * Threads: the functions here only read what they are given. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/histogram.h"
#include "node/service.h"
#include "node/usage.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metrics;
struct metric_writer;

struct metric {
    const char *name; /* with autonomy_, the unit last, then _total for a counter */
    enum metric_type type;
    const char *unit;   /* "seconds", "bytes", "" for a plain number */
    const char *labels; /* their names with blanks between, "" without */
    const char *help;
    const char *source; /* the field or the function that it comes from */
    void (*write)(struct metric_writer *writer, const struct metrics *metrics);
    size_t offset; /* in struct metrics, for those with one number; see `read` in metrics.c */
    int read;
};

/** How long a request may take depends on what it is; these are the labels of its histogram. */
enum metrics_kind {
    KIND_LOCAL,  /* answered from what the node knows */
    KIND_READ,   /* a read, confirmed or stale */
    KIND_WAIT,   /* a read that was told to wait for something newer */
    KIND_SCAN,   /* a long read */
    KIND_CHANGE, /* a command, until it is committed and applied */
    KIND_ACT,    /* failover, join, rollback, and what nodes ask of each other */
    KIND_NONE,   /* no such route */
    KIND_COUNT
};

/** Status codes with a counter of their own; then "other", and "aborted" for a client that did not stay. */
#define METRICS_CODES 27u
extern const uint16_t metrics_codes[METRICS_CODES - 2];
/** @param status  0: aborted */
uint32_t metrics_code(uint32_t status);

#define METRICS_ROUTES_MAX 128u

struct metrics_http {
    struct {
        const char *method, *path;
        uint64_t by_code[METRICS_CODES];
    } routes[METRICS_ROUTES_MAX]; /* the last one is for requests without a route */
    uint32_t route_count;
    struct histogram duration_us[KIND_COUNT];
    uint64_t in_flight, cut;
};

/** Everything that the text is made of. */
struct metrics {
    struct service_status node;
    struct metrics_http http;
    struct usage usage;
};

const struct metric *metric_all(uint32_t *count);
const char *metric_type_name(enum metric_type type);
/** The Prometheus text format, version 0.0.4. */
void metrics_write(const struct metrics *metrics, struct bytes *out);
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
/** The rows of docs/reference/metrics.md: a table in Markdown. */
void metrics_reference(struct bytes *out);
