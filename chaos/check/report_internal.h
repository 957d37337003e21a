/* What the parts of the page share. */
#pragma once

#include "base/bytes.h"
#include "chaos/check/report.h"

#define CHART_WIDTH 1240.0
#define CHART_LEFT  112.0 /* names of the lanes */
#define CHART_RIGHT 16.0

/** With &, <, > and quotes as entities. */
void html_text(struct bytes *out, const char *text);
/** "1.25 s", "340 ms", "4 min 10 s". */
#define DURATION_BYTES 32u
void duration_text(uint64_t time_ns, char out[DURATION_BYTES]);

/** The timeline: leaders, faults, latencies, throughput, gaps. */
void report_timeline(struct bytes *out, const struct history *history, const struct check_report *report);
/** The operations of one counterexample, each a bar in its client's lane. */
void report_counterexample(struct bytes *out, const struct history *history,
                           const struct check_result *result);
