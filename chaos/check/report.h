/* What a person and a machine get to see of a history and its verdict. */
#pragma once

#include "chaos/check/check.h"

struct json_t;

/** Availability while one kind of fault was on, and while none was (name ""). */
struct availability {
    const char *name;
    uint64_t times;
    uint64_t total_ns;
    uint64_t changes, acknowledged, refused,
        unknown;             /* that began meanwhile; a refusal of the state machine is an answer */
    uint64_t longest_gap_ns; /* between acknowledged changes, begun or ended meanwhile */
};

/** One row for each name of a fault, then one for the time without faults. @return rows, freed by the caller
 */
struct availability *availability_of(const struct history *history, size_t *count);

/** When the first operation began, and the last one or fault ended. */
void history_span(const struct history *history, uint64_t *begin_ns, uint64_t *end_ns);

/** {"verdict", "about", "checks": [{"name", "verdict", "looked_at", "objects", "violations", "message",
 * "operations"}], "counts", "availability"}: a new reference. */
struct json_t *report_json(const struct history *history, const struct check_report *report);
enum error_code report_write_json(const struct history *history, const struct check_report *report,
                                  const char *path, struct error *error) MUST_USE;
/** One page that needs no other file. */
enum error_code report_write_html(const struct history *history, const struct check_report *report,
                                  const char *path, struct error *error) MUST_USE;
