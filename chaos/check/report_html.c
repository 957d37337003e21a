/* The page: verdict, checks, timeline, availability. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chaos/check/check_internal.h"
#include "chaos/check/report_internal.h"

static const char style[] =
    ":root{--ink:#1d2433;--soft:#66708a;--line:#e3e7ef;--page:#f6f7fa;--card:#fff;--good:#1a7f4b;--goodbg:#"
    "e3f5ea;"
    "--bad:#b3261e;--badbg:#fde8e6;--warn:#8a5a00;--warnbg:#fff2d6;--read:#8fa3c4;--change:#2463c9;--refused:"
    "#e09b1a;"
    "--lost:#d4351c}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e4e8f2;--soft:#98a2b8;--line:#2c3446;--page:#12161f;--"
    "card:#1a202c;"
    "--good:#6fd49b;--goodbg:#173526;--bad:#ff9a8f;--badbg:#43201d;--warn:#ffcf75;--warnbg:#3d2f12;--read:#"
    "6d80a3;"
    "--change:#6ea3ff}}\n"
    "*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 "
    "system-ui,'Segoe "
    "UI',Roboto,'DejaVu Sans',sans-serif}\n"
    "main{max-width:1320px;margin:0 auto;padding:28px 24px 60px}h1{font-size:26px;margin:0 0 "
    "2px;letter-spacing:-.01em}"
    "h2{font-size:16px;margin:0 0 12px}p{margin:0;color:var(--soft)}\n"
    "header{display:flex;align-items:center;gap:20px;margin-bottom:20px}.badge{font-weight:650;padding:8px "
    "18px;border-radius:999px;white-space:nowrap}\n"
    ".holds{color:var(--good);background:var(--goodbg)}.violated{color:var(--bad);background:var(--badbg)}"
    ".undecided,.environment{color:var(--warn);background:var(--warnbg)}.nothing{color:var(--soft);"
    "background:var(--line)}\n"
    "section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:18px "
    "20px;margin-bottom:18px}\n"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:12px;margin-bottom:"
    "18px}"
    ".tile{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:12px 16px}"
    ".tile "
    "b{display:block;font-size:20px;white-space:nowrap;line-height:1.25;font-variant-numeric:tabular-nums}."
    "tile "
    "span{color:var(--soft);font-size:13px}\n"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:7px 12px 7px 0;border-top:1px "
    "solid "
    "var(--line);vertical-align:top}tr:first-child td,tr:first-child th{border-top:0}th{font-size:13px;"
    "color:var(--soft);font-weight:500}\n"
    ".number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}.pill{font-size:12px;font-"
    "weight:600;"
    "padding:2px 10px;border-radius:999px}.message{color:var(--bad);font-size:13px;overflow-wrap:anywhere}\n"
    ".legend{display:flex;gap:18px;flex-wrap:wrap;color:var(--soft);font-size:13px;margin-bottom:8px}.legend "
    "i{display:inline-block;width:10px;height:10px;border-radius:50%;margin-right:6px}\n"
    ".chart{width:100%;height:auto;display:block}.chart text{font:11px system-ui,'DejaVu "
    "Sans',sans-serif;fill:var(--soft)}"
    ".chart .lane{text-anchor:end}.chart .time{text-anchor:middle}.chart "
    ".inside{text-anchor:middle;fill:#fff;"
    "font-weight:600}.chart .bartext{fill:var(--ink);font-size:12px}\n"
    ".grid{stroke:var(--line);stroke-width:1}.read{fill:var(--read)}.change{fill:var(--change)}.refused{fill:"
    "var(--refused)}"
    ".lost{fill:var(--lost)}.lostlane,.gaplane{fill:var(--lost);opacity:.06}.gap{fill:var(--lost);opacity:."
    "85}"
    ".violation{stroke:var(--bad);stroke-width:2;stroke-dasharray:5 "
    "3}.shade{fill:#7a5cc7;opacity:.06}.rate{opacity:.75}.rate.read{opacity:.4}\n"
    ".n0{fill:#3b7dd8}.n1{fill:#2a9d8f}.n2{fill:#8a63d2}.n3{fill:#d17a22}.n4{fill:#5b7083}.n5{fill:#b5517a}."
    "n6{fill:#6b8e23}\n"
    ".f0{fill:#8a63d2}.f1{fill:#d17a22}.f2{fill:#c4486b}.f3{fill:#2a9d8f}.f4{fill:#5b7083}.f5{fill:#b08900}."
    "f6{fill:#3b7dd8}"
    ".f7{fill:#7d9b2f}.f8{fill:#a0522d}.f9{fill:#b5517a}\n"
    ".meter{height:8px;border-radius:4px;background:var(--badbg);min-width:120px;margin-top:7px}.meter "
    "i{display:block;height:8px;border-radius:4px;background:var(--good)}\n";

void html_text(struct bytes *out, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        switch (*at) {
        case '&':
            bytes_append_text(out, "&amp;");
            break;
        case '<':
            bytes_append_text(out, "&lt;");
            break;
        case '>':
            bytes_append_text(out, "&gt;");
            break;
        case '"':
            bytes_append_text(out, "&quot;");
            break;
        default:
            bytes_append(out, at, 1);
        }
    }
}

void duration_text(uint64_t time_ns, char out[DURATION_BYTES])
{
    const double seconds = (double)time_ns / 1e9;
    const uint64_t whole = time_ns / 1000000000;
    if (time_ns == 0)
        snprintf(out, DURATION_BYTES, "0");
    else if (seconds < 1)
        snprintf(out, DURATION_BYTES, "%.*f ms", seconds < 0.01 ? 1 : 0, seconds * 1e3);
    else if (whole < 60)
        snprintf(out, DURATION_BYTES, "%.*f s",
                 time_ns % 1000000000 == 0                 ? 0
                 : time_ns % 100000000 == 0 || whole >= 10 ? 1
                                                           : 2,
                 seconds);
    else if (whole < 3600)
        snprintf(out, DURATION_BYTES, whole % 60 == 0 ? "%" PRIu64 " min" : "%" PRIu64 " min %" PRIu64 " s",
                 whole / 60, whole % 60);
    else
        snprintf(out, DURATION_BYTES, "%" PRIu64 " h %" PRIu64 " min", whole / 3600, whole / 60 % 60);
}

static const char *headline(const struct history *history, enum check_verdict verdict)
{
    if (history->environment != NULL)
        return "Could not be run here";
    switch (verdict) {
    case CHECK_HOLDS:
        return "No violation";
    case CHECK_VIOLATED:
        return "Violation";
    case CHECK_UNDECIDED:
        return "Undecided";
    case CHECK_NOTHING:
        break;
    }
    return "Nothing to judge";
}

static void tile(struct bytes *out, const char *name, const char *value)
{
    bytes_printf(out, "<div class=\"tile\"><b>%s</b><span>%s</span></div>\n", value, name);
}

static void count_tile(struct bytes *out, const char *name, uint64_t count)
{
    char text[32], grouped[48] = "";
    snprintf(text, sizeof text, "%" PRIu64, count);
    const size_t length = strlen(text);
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            grouped[used++] = ',';
        grouped[used++] = text[i];
    }
    grouped[used] = '\0';
    tile(out, name, grouped);
}

static void tiles(struct bytes *out, const struct history *history, const struct availability *rows,
                  size_t row_count)
{
    char text[DURATION_BYTES];
    uint64_t outcomes[HISTORY_OUTCOME_COUNT] = {0}, begin_ns, end_ns, gap_ns = 0;
    for (size_t i = 0; i < history->op_count; i++)
        outcomes[history->ops[i].outcome]++;
    for (size_t i = 0; i < row_count; i++)
        gap_ns = rows[i].longest_gap_ns > gap_ns ? rows[i].longest_gap_ns : gap_ns;
    history_span(history, &begin_ns, &end_ns);
    bytes_append_text(out, "<div class=\"tiles\">\n");
    duration_text(end_ns - begin_ns, text);
    tile(out, "duration", text);
    count_tile(out, "operations", history->op_count);
    count_tile(out, "acknowledged", outcomes[HISTORY_OK]);
    count_tile(out, "refused", outcomes[HISTORY_REFUSED]);
    count_tile(out, "no answer", outcomes[HISTORY_UNKNOWN]);
    count_tile(out, "faults", history->fault_count);
    duration_text(gap_ns, text);
    tile(out, "longest gap of changes", text);
    bytes_append_text(out, "</div>\n");
}

static void checks(struct bytes *out, const struct history *history, const struct check_report *report)
{
    bytes_append_text(out, "<section><h2>Checks</h2><table>\n");
    for (size_t i = 0; i < CHECK_KIND_COUNT; i++) {
        const struct check_result *result = &report->results[i];
        const char *verdict = check_verdict_name(result->verdict);
        bytes_printf(out, "<tr><td><b>%s</b></td><td>%s", check_name((enum check_kind)i),
                     check_text((enum check_kind)i));
        if (result->message[0] != '\0') {
            bytes_append_text(out, "<div class=\"message\">");
            html_text(out, result->message);
            bytes_append_text(out, "</div>");
        }
        if (result->op_count > 0)
            report_counterexample(out, history, result);
        bytes_printf(out,
                     "</td><td class=\"number\">%" PRIu64 "</td><td class=\"number\"><span class=\"pill "
                     "%s\">%s</span></td></tr>\n",
                     result->looked_at, verdict,
                     result->verdict == CHECK_NOTHING ? "not in this run" : verdict);
    }
    bytes_append_text(out, "</table></section>\n");
}

static void timeline(struct bytes *out, const struct history *history, const struct check_report *report)
{
    bytes_append_text(
        out, "<section><h2>Timeline</h2><div class=\"legend\">"
             "<span><i style=\"background:var(--change)\"></i>change, answered</span>"
             "<span><i style=\"background:var(--read)\"></i>read</span>"
             "<span><i style=\"background:var(--refused)\"></i>turned away, nothing happened</span>"
             "<span><i style=\"background:var(--lost)\"></i>no answer</span>"
             "<span>each dot: when it was asked, and how long it took; bands: faults</span></div>\n");
    report_timeline(out, history, report);
    bytes_append_text(out, "</section>\n");
}

static void availability_row(struct bytes *out, const struct availability *row)
{
    char total[DURATION_BYTES], gap[DURATION_BYTES];
    const double share = row->changes > 0 ? 100.0 * (double)row->acknowledged / (double)row->changes : 0;
    duration_text(row->total_ns, total);
    duration_text(row->longest_gap_ns, gap);
    bytes_append_text(out, "<tr><td>");
    if (row->name[0] != '\0')
        html_text(out, row->name);
    else
        bytes_append_text(out, "<i>without a fault</i>");
    bytes_printf(out,
                 "</td><td class=\"number\">%" PRIu64
                 "</td><td class=\"number\">%s</td><td class=\"number\">%" PRIu64
                 "</td><td class=\"number\">",
                 row->times, total, row->changes);
    if (row->changes > 0)
        bytes_printf(out, "%.2f %%</td><td><div class=\"meter\"><i style=\"width:%.1f%%\"></i></div>", share,
                     share);
    else
        bytes_append_text(out, "-</td><td>");
    bytes_printf(out,
                 "</td><td class=\"number\">%" PRIu64 "</td><td class=\"number\">%" PRIu64
                 "</td><td class=\"number\">%s</td></tr>\n",
                 row->refused, row->unknown, gap);
}

static void availability(struct bytes *out, const struct availability *rows, size_t count)
{
    bytes_append_text(
        out,
        "<section><h2>Availability of changes</h2><table><tr><th>fault</th><th class=\"number\">times</th>"
        "<th class=\"number\">in all</th><th class=\"number\">changes asked</th><th "
        "class=\"number\">answered</th>"
        "<th></th><th class=\"number\">turned away</th><th class=\"number\">no answer</th>"
        "<th class=\"number\">longest gap</th></tr>\n");
    for (size_t i = 0; i < count; i++)
        availability_row(out, &rows[i]);
    bytes_append_text(out, "</table></section>\n");
}

static void page(struct bytes *out, const struct history *history, const struct check_report *report)
{
    size_t row_count;
    struct availability *rows = availability_of(history, &row_count);
    const char *class = history->environment != NULL ? "environment" : check_verdict_name(report->verdict);
    const char *about = history->environment != NULL ? history->environment : history->about;
    bytes_printf(out,
                 "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
                 "content=\"width=device-width\"><title>%s</title><style>\n%s</style></head><body><main>\n",
                 headline(history, report->verdict), style);
    bytes_printf(out, "<header><span class=\"badge %s\">%s</span><div><h1>Verdict on a run</h1><p>", class,
                 headline(history, report->verdict));
    html_text(out, about != NULL ? about : "a history without a description");
    bytes_append_text(out, "</p></div></header>\n");
    tiles(out, history, rows, row_count);
    timeline(out, history, report);
    checks(out, history, report);
    availability(out, rows, row_count);
    bytes_append_text(out, "</main></body></html>\n");
    free(rows);
}

enum error_code report_write_html(const struct history *history, const struct check_report *report,
                                  const char *path, struct error *error)
{
    struct bytes out;
    bytes_init(&out, 0);
    page(&out, history, report);
    FILE *file = fopen(path, "we");
    const bool written = file != NULL && fwrite(out.data, 1, out.length, file) == out.length;
    const bool closed = file != NULL && fclose(file) == 0;
    bytes_done(&out);
    if (!written || !closed)
        return error_set(error, ERROR_IO, "%s can't be written: %s", path, strerror(errno));
    return ERROR_OK;
}
