/* The timeline, as SVG. Dots that would lie upon each other are drawn once, the darker the more they are, so
 * that a hundred thousand operations stay one page. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/check/check_internal.h"
#include "chaos/check/report_internal.h"
#include "chaos/check/table.h"

#define LEADER_HEIGHT  22.0
#define FAULT_HEIGHT   14.0
#define LATENCY_HEIGHT 250.0
#define LOST_HEIGHT    18.0
#define RATE_HEIGHT    90.0
#define GAP_HEIGHT     20.0
#define LANE_SPACE     12.0
#define CELL           4.0
#define RATE_BUCKETS   240u
#define FAULTS_NAMED   40u
#define GAP_LEAST_NS   250000000ull
#define LATENCY_LOW    5.0 /* log10 of ns: 0.1 ms */
#define LATENCY_LEAST  8.0 /* the axis goes at least so high: 100 ms */

enum dot { DOT_READ, DOT_CHANGE, DOT_REFUSED, DOT_LOST, DOT_COUNT };
static const char *const dot_classes[DOT_COUNT] = {"read", "change", "refused", "lost"};

struct chart {
    struct bytes *out;
    const struct history *history;
    uint64_t begin_ns, end_ns;
    double y;                       /* where the next lane begins */
    double latency_y, latency_high; /* of its axis, log10 of ns */
};

static double x_of(const struct chart *self, uint64_t time_ns)
{
    const double span = (double)(self->end_ns - self->begin_ns + 1);
    const double at = time_ns <= self->begin_ns ? 0
                      : time_ns >= self->end_ns ? span
                                                : (double)(time_ns - self->begin_ns);
    return CHART_LEFT + at / span * (CHART_WIDTH - CHART_LEFT - CHART_RIGHT);
}

static void lane_name(struct chart *self, const char *name, double height)
{
    bytes_printf(self->out, "<text class=\"lane\" x=\"%.0f\" y=\"%.1f\">", CHART_LEFT - 10,
                 self->y + height / 2 + 4);
    html_text(self->out, name);
    bytes_append_text(self->out, "</text>\n");
}

/* --- leaders --- */

static int compare_leader(const void *left, const void *right)
{
    const struct history_leader *a = left, *b = right;
    return a->time_ns < b->time_ns ? -1 : a->time_ns > b->time_ns;
}

static void draw_leader(struct chart *self, const struct history_leader *leader, uint64_t end_ns,
                        unsigned colour)
{
    const double x = x_of(self, leader->time_ns), width = x_of(self, end_ns) - x;
    bytes_printf(self->out,
                 "<g><title>%s leads term %" PRIu64
                 "</title><rect class=\"node n%u\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                 "height=\"%.0f\"/>",
                 leader->node, leader->term, colour % 7, x, self->y, width > 1 ? width : 1, LEADER_HEIGHT);
    if (width > 26)
        bytes_printf(self->out, "<text class=\"inside\" x=\"%.1f\" y=\"%.1f\">%s%s</text>", x + width / 2,
                     self->y + LEADER_HEIGHT / 2 + 4, leader->node, "");
    bytes_append_text(self->out, "</g>\n");
}

static void draw_leaders(struct chart *self)
{
    const size_t count = self->history->leader_count;
    struct history_leader *leaders = memory_new(count * sizeof *leaders);
    struct table colours;
    if (count == 0) {
        free(leaders);
        return;
    }
    memcpy(leaders, self->history->leaders, count * sizeof *leaders);
    qsort(leaders, count, sizeof *leaders, compare_leader);
    table_init(&colours);
    lane_name(self, "leader", LEADER_HEIGHT);
    for (size_t i = 0; i < count; i++) {
        uint64_t colour = colours.count;
        table_put(&colours, table_text(leaders[i].node), colour, &colour);
        draw_leader(self, &leaders[i], i + 1 < count ? leaders[i + 1].time_ns : self->end_ns,
                    (unsigned)colour);
    }
    self->y += LEADER_HEIGHT + LANE_SPACE;
    table_done(&colours);
    free(leaders);
}

/* --- faults --- */

static void draw_fault(struct chart *self, const struct history_fault *fault, uint64_t lane)
{
    char duration[DURATION_BYTES];
    const uint64_t end_ns = fault->end_ns < self->end_ns ? fault->end_ns : self->end_ns;
    const double x = x_of(self, fault->begin_ns), width = x_of(self, end_ns) - x;
    duration_text(end_ns - fault->begin_ns, duration);
    bytes_append_text(self->out, "<g><title>");
    html_text(self->out, fault->name);
    bytes_append_text(self->out, fault->node != NULL ? ", " : "");
    html_text(self->out, fault->node != NULL ? fault->node : "");
    bytes_printf(self->out,
                 ", %s</title><rect class=\"fault f%u\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.0f\" "
                 "rx=\"2\"/>"
                 "<rect class=\"shade\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.0f\"/></g>\n",
                 duration, (unsigned)lane % 10, x, self->y + (double)lane * FAULT_HEIGHT + 2,
                 width > 2 ? width : 2, FAULT_HEIGHT - 4, x, self->latency_y, width > 1 ? width : 1,
                 LATENCY_HEIGHT + LOST_HEIGHT);
}

/* Lanes are named after all faults are known, so the bands behind the latencies come first in the file. */
static void draw_faults(struct chart *self)
{
    const struct history *history = self->history;
    struct table lanes;
    table_init(&lanes);
    for (size_t i = 0; i < history->fault_count; i++)
        if (lanes.count < FAULTS_NAMED)
            table_put(&lanes, table_text(history->faults[i].name), lanes.count, NULL);
    const double height = (double)lanes.count * FAULT_HEIGHT;
    self->latency_y = self->y + height + (lanes.count > 0 ? LANE_SPACE : 0);
    const double top = self->y;
    for (size_t i = 0, named = 0; i < history->fault_count; i++) {
        uint64_t lane = FAULTS_NAMED;
        table_get(&lanes, table_text(history->faults[i].name), &lane);
        if (lane == named) {
            self->y = top + (double)named++ * FAULT_HEIGHT;
            lane_name(self, history->faults[i].name, FAULT_HEIGHT);
            bytes_printf(self->out,
                         "<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>\n",
                         CHART_LEFT, CHART_WIDTH - CHART_RIGHT, self->y + FAULT_HEIGHT / 2,
                         self->y + FAULT_HEIGHT / 2);
            self->y = top;
        }
        if (lane < FAULTS_NAMED)
            draw_fault(self, &history->faults[i], lane);
    }
    self->y = self->latency_y;
    table_done(&lanes);
}

/* --- latencies --- */

static double latency_y(const struct chart *self, uint64_t latency_ns)
{
    double at = log10((double)(latency_ns > 0 ? latency_ns : 1));
    at = at < LATENCY_LOW ? LATENCY_LOW : at > self->latency_high ? self->latency_high : at;
    return self->y + LOST_HEIGHT +
           LATENCY_HEIGHT * (1 - (at - LATENCY_LOW) / (self->latency_high - LATENCY_LOW));
}

static void draw_latency_axis(struct chart *self)
{
    static const struct {
        uint64_t latency_ns;
        const char *name;
    } marks[] = {{100000, "0.1 ms"},    {1000000, "1 ms"},   {10000000, "10 ms"},
                 {100000000, "100 ms"}, {1000000000, "1 s"}, {10000000000, "10 s"}};
    bytes_printf(self->out,
                 "<rect class=\"lostlane\" x=\"%.0f\" y=\"%.1f\" width=\"%.0f\" height=\"%.0f\"/>\n",
                 CHART_LEFT, self->y, CHART_WIDTH - CHART_LEFT - CHART_RIGHT, LOST_HEIGHT - 2);
    lane_name(self, "no answer", LOST_HEIGHT - 2);
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        if (log10((double)marks[i].latency_ns) > self->latency_high)
            break;
        const double y = latency_y(self, marks[i].latency_ns);
        bytes_printf(
            self->out,
            "<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/><text class=\"lane\" "
            "x=\"%.0f\" y=\"%.1f\">%s</text>\n",
            CHART_LEFT, CHART_WIDTH - CHART_RIGHT, y, y, CHART_LEFT - 10, y + 4, marks[i].name);
    }
}

static enum dot dot_of(const struct history_op *op)
{
    if (op->outcome == HISTORY_UNKNOWN)
        return DOT_LOST;
    if (op->outcome == HISTORY_REFUSED && op->index == 0)
        return DOT_REFUSED;
    return history_kind_reads(op->kind) ? DOT_READ : DOT_CHANGE;
}

static void draw_cells(struct chart *self, const uint32_t *cells, size_t columns, size_t rows, enum dot dot)
{
    for (size_t row = 0; row < rows; row++)
        for (size_t column = 0; column < columns; column++) {
            const uint32_t count = cells[row * columns + column];
            if (count == 0)
                continue;
            const double opacity = 0.35 + 0.22 * log2((double)count);
            bytes_printf(self->out,
                         "<circle class=\"%s\" cx=\"%.0f\" cy=\"%.0f\" r=\"%s\" opacity=\"%.2f\"/>\n",
                         dot_classes[dot], CHART_LEFT + ((double)column + 0.5) * CELL,
                         self->y + ((double)row + 0.5) * CELL,
                         dot == DOT_READ || dot == DOT_CHANGE ? "1.8" : "2.4", opacity < 1 ? opacity : 1);
        }
}

static void draw_latencies(struct chart *self)
{
    const size_t columns = (size_t)((CHART_WIDTH - CHART_LEFT - CHART_RIGHT) / CELL) + 1;
    const size_t rows = (size_t)((LATENCY_HEIGHT + LOST_HEIGHT) / CELL) + 1;
    uint32_t *cells = memory_zero(DOT_COUNT * rows * columns, sizeof *cells);
    draw_latency_axis(self);
    for (size_t i = 0; i < self->history->op_count; i++) {
        const struct history_op *op = &self->history->ops[i];
        const enum dot dot = dot_of(op);
        const double y = dot == DOT_LOST ? self->y + LOST_HEIGHT / 2 - 1
                                         : latency_y(self, op->complete_ns - op->invoke_ns);
        const size_t column = (size_t)((x_of(self, op->invoke_ns) - CHART_LEFT) / CELL);
        const size_t row = (size_t)((y - self->y) / CELL);
        CHECK(column < columns && row < rows, "cell %zu, %zu", column, row);
        cells[((size_t)dot * rows + row) * columns + column]++;
    }
    for (int dot = 0; dot < DOT_COUNT; dot++)
        draw_cells(self, &cells[(size_t)dot * rows * columns], columns, rows, (enum dot)dot);
    free(cells);
    self->y += LATENCY_HEIGHT + LOST_HEIGHT + LANE_SPACE;
}

/* --- throughput --- */

static void draw_rate(struct chart *self, const uint32_t *buckets, uint32_t highest, const char *class)
{
    const double step = (CHART_WIDTH - CHART_LEFT - CHART_RIGHT) / RATE_BUCKETS;
    bytes_printf(self->out, "<path class=\"rate %s\" d=\"M%.1f %.1f", class, CHART_LEFT,
                 self->y + RATE_HEIGHT);
    for (size_t i = 0; i < RATE_BUCKETS; i++) {
        const double y = self->y + RATE_HEIGHT * (1 - (double)buckets[i] / highest);
        bytes_printf(self->out, "L%.1f %.1fH%.1f", CHART_LEFT + (double)i * step, y,
                     CHART_LEFT + ((double)i + 1) * step);
    }
    bytes_printf(self->out, "V%.1fZ\"/>\n", self->y + RATE_HEIGHT);
}

static void draw_rates(struct chart *self)
{
    uint32_t changes[RATE_BUCKETS] = {0}, reads[RATE_BUCKETS] = {0}, highest = 1;
    const double bucket_ns = (double)(self->end_ns - self->begin_ns + 1) / RATE_BUCKETS;
    for (size_t i = 0; i < self->history->op_count; i++) {
        const struct history_op *op = &self->history->ops[i];
        if (op->outcome == HISTORY_UNKNOWN || dot_of(op) == DOT_REFUSED || op->complete_ns > self->end_ns)
            continue;
        const size_t bucket = (size_t)((double)(op->complete_ns - self->begin_ns) / bucket_ns);
        uint32_t *buckets = history_kind_reads(op->kind) ? reads : changes;
        if (bucket < RATE_BUCKETS && ++buckets[bucket] > highest)
            highest = buckets[bucket];
    }
    lane_name(self, "answers/s", RATE_HEIGHT);
    bytes_printf(self->out, "<text class=\"lane\" x=\"%.0f\" y=\"%.1f\">%.0f</text>\n", CHART_LEFT - 10,
                 self->y + 8, (double)highest * 1e9 / bucket_ns);
    draw_rate(self, reads, highest, "read");
    draw_rate(self, changes, highest, "change");
    self->y += RATE_HEIGHT + LANE_SPACE;
}

/* --- gaps --- */

static int compare_time(const void *left, const void *right)
{
    const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static void draw_gap(struct chart *self, uint64_t from_ns, uint64_t to_ns)
{
    char duration[DURATION_BYTES];
    const double x = x_of(self, from_ns), width = x_of(self, to_ns) - x;
    duration_text(to_ns - from_ns, duration);
    bytes_printf(self->out,
                 "<g><title>no change acknowledged for %s</title><rect class=\"gap\" x=\"%.1f\" y=\"%.1f\" "
                 "width=\"%.1f\" "
                 "height=\"%.0f\"/>",
                 duration, x, self->y, width > 1 ? width : 1, GAP_HEIGHT);
    if (width > 34)
        bytes_printf(self->out, "<text class=\"inside\" x=\"%.1f\" y=\"%.1f\">%s</text>", x + width / 2,
                     self->y + GAP_HEIGHT / 2 + 4, duration);
    bytes_append_text(self->out, "</g>\n");
}

static void draw_gaps(struct chart *self)
{
    uint64_t *ends = memory_new((self->history->op_count + 1) * sizeof *ends), last = self->begin_ns;
    const uint64_t stop = self->history->end_ns != 0 && self->history->end_ns < self->end_ns
                              ? self->history->end_ns
                              : self->end_ns;
    size_t count = 0;
    for (size_t i = 0; i < self->history->op_count; i++)
        if (dot_of(&self->history->ops[i]) == DOT_CHANGE)
            ends[count++] = self->history->ops[i].complete_ns;
    if (count > 1)
        qsort(ends, count, sizeof *ends, compare_time);
    lane_name(self, "gaps", GAP_HEIGHT);
    bytes_printf(self->out,
                 "<rect class=\"gaplane\" x=\"%.0f\" y=\"%.1f\" width=\"%.0f\" height=\"%.0f\"/>\n",
                 CHART_LEFT, self->y, CHART_WIDTH - CHART_LEFT - CHART_RIGHT, GAP_HEIGHT);
    for (size_t i = 0; i <= count; i++) {
        const uint64_t next = i < count ? ends[i] : stop;
        if (next > last && next - last >= GAP_LEAST_NS)
            draw_gap(self, last, next);
        last = next;
    }
    self->y += GAP_HEIGHT + LANE_SPACE;
    free(ends);
}

static void draw_time_axis(struct chart *self)
{
    static const double steps[] = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05,  0.1,  0.2, 0.5,
                                   1,     2,     5,     10,   20,   30,    60,   120, 300,
                                   600,   1200,  1800,  3600, 7200, 14400, 43200};
    const double span = (double)(self->end_ns - self->begin_ns + 1) / 1e9;
    double step = steps[0];
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && span / step > 12; i++)
        step = steps[i];
    for (double at = 0; at <= span; at += step) {
        char text[DURATION_BYTES];
        const double x = x_of(self, self->begin_ns + (uint64_t)(at * 1e9));
        duration_text((uint64_t)(at * 1e9 + 0.5), text);
        bytes_printf(self->out,
                     "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/><text "
                     "class=\"time\" x=\"%.1f\" "
                     "y=\"%.1f\">%s</text>\n",
                     x, x, self->latency_y, self->y - 4, x, self->y + 10, text);
    }
    self->y += 18;
}

static double highest_latency(const struct history *history)
{
    uint64_t highest = 1;
    for (size_t i = 0; i < history->op_count; i++) {
        const struct history_op *op = &history->ops[i];
        if (op->complete_ns != HISTORY_NEVER && op->complete_ns - op->invoke_ns > highest)
            highest = op->complete_ns - op->invoke_ns;
    }
    const double high = log10((double)highest) + 0.1;
    return high > LATENCY_LEAST ? high : LATENCY_LEAST;
}

/* Where to look: a line at the last operation of each counterexample. */
static void draw_violations(struct chart *self, const struct check_report *report)
{
    for (size_t i = 0; i < CHECK_KIND_COUNT; i++) {
        const struct check_result *result = &report->results[i];
        uint64_t last = 0;
        for (size_t k = 0; k < result->op_count; k++)
            if (self->history->ops[result->ops[k]].invoke_ns > last)
                last = self->history->ops[result->ops[k]].invoke_ns;
        if (result->verdict != CHECK_VIOLATED || result->op_count == 0)
            continue;
        bytes_printf(
            self->out,
            "<g><title>violated: %s</title><line class=\"violation\" x1=\"%.1f\" x2=\"%.1f\" y1=\"4\" "
            "y2=\"%.1f\"/></g>\n",
            check_name((enum check_kind)i), x_of(self, last), x_of(self, last), self->y - 22);
    }
}

void report_timeline(struct bytes *out, const struct history *history, const struct check_report *report)
{
    struct bytes body;
    struct chart self = {.out = &body, .history = history, .y = 8, .latency_high = highest_latency(history)};
    bytes_init(&body, 0);
    history_span(history, &self.begin_ns, &self.end_ns);
    draw_leaders(&self);
    draw_faults(&self);
    draw_latencies(&self);
    draw_rates(&self);
    draw_gaps(&self);
    draw_time_axis(&self);
    draw_violations(&self, report);
    bytes_printf(
        out,
        "<svg class=\"chart\" viewBox=\"0 0 %.0f %.0f\" xmlns=\"http://www.w3.org/2000/svg\" role=\"img\">\n",
        CHART_WIDTH, self.y);
    bytes_append(out, body.data, body.length);
    bytes_append_text(out, "</svg>\n");
    bytes_done(&body);
}

/* --- a counterexample --- */

static void draw_bar(struct chart *self, uint32_t number, double lane_y)
{
    const struct history_op *op = &self->history->ops[number];
    char text[DESCRIPTION_BYTES];
    const uint64_t end_ns = op->complete_ns == HISTORY_NEVER ? self->end_ns : op->complete_ns;
    const double x = x_of(self, op->invoke_ns), width = x_of(self, end_ns) - x;
    const bool left = x + width / 2 < CHART_WIDTH * 0.6;
    op_describe(op, text);
    bytes_printf(self->out,
                 "<rect class=\"bar %s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"16\" rx=\"3\"/>",
                 dot_classes[dot_of(op)], x, lane_y, width > 3 ? width : 3);
    bytes_printf(self->out, "<text class=\"bartext\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">",
                 left ? x + width + 8 : x - 8, lane_y + 12, left ? "start" : "end");
    html_text(self->out, text);
    bytes_append_text(self->out, "</text>\n");
}

static int compare_start(const void *left, const void *right, void *context)
{
    const struct history_op *ops = context;
    const uint64_t a = ops[*(const uint32_t *)left].invoke_ns, b = ops[*(const uint32_t *)right].invoke_ns;
    return a < b ? -1 : a > b;
}

void report_counterexample(struct bytes *out, const struct history *history,
                           const struct check_result *result)
{
    struct chart self = {.out = out, .history = history, .begin_ns = UINT64_MAX};
    uint32_t ops[CHECK_COUNTEREXAMPLE_MAX];
    memcpy(ops, result->ops, sizeof ops);
    qsort_r(ops, result->op_count, sizeof ops[0], compare_start, history->ops);
    for (size_t i = 0; i < result->op_count; i++) {
        const struct history_op *op = &history->ops[ops[i]];
        const uint64_t end_ns = op->complete_ns == HISTORY_NEVER ? op->invoke_ns + 1000000 : op->complete_ns;
        self.begin_ns = op->invoke_ns < self.begin_ns ? op->invoke_ns : self.begin_ns;
        self.end_ns = end_ns > self.end_ns ? end_ns : self.end_ns;
    }
    bytes_printf(out,
                 "<svg class=\"chart\" viewBox=\"0 0 %.0f %.0f\" xmlns=\"http://www.w3.org/2000/svg\">\n",
                 CHART_WIDTH, (double)result->op_count * 26 + 10);
    for (size_t i = 0; i < result->op_count; i++) {
        char client[32];
        const double lane_y = 6 + (double)i * 26;
        self.y = lane_y;
        snprintf(client, sizeof client, "client %" PRIu32, history->ops[ops[i]].client);
        lane_name(&self, client, 16);
        draw_bar(&self, ops[i], lane_y);
    }
    bytes_append_text(out, "</svg>\n");
}
