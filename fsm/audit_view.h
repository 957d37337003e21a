/* The audit trail in the forms that people and scripts read: JSON lines, csv, and the two files of the
 * kill-switch runbook. Pure, as fsm/audit.h is: the node and the command line both use it. */
#pragma once

#include <stdbool.h>

#include "base/bytes.h"
#include "fsm/audit.h"

enum audit_format {
    AUDIT_FORMAT_JSON,        /* pages of an array: whoever asks for it puts it together itself */
    AUDIT_FORMAT_JSONL,       /* one record a line */
    AUDIT_FORMAT_CSV,         /* RFC 4180 with a header row */
    AUDIT_FORMAT_ROLLBACK,    /* "rollback-jsonl": one decision to roll back or to escalate a line */
    AUDIT_FORMAT_KILL_SWITCH, /* "kill-switch-log": TIME ACTIVATED|RESET reason="..." actor="..." ... */
    AUDIT_FORMAT_COUNT
};

bool audit_format_find(const char *name, enum audit_format *out);
const char *audit_format_name(enum audit_format format);
const char *audit_format_media_type(enum audit_format format);

/** What stands before the first record: the header row of csv, nothing elsewhere. Appended to `out`. */
void audit_format_head(enum audit_format format, struct bytes *out);
/** One record, with its line break. Cells, values and texts are exactly what was recorded.
 * @param format  not AUDIT_FORMAT_JSON
 * @return false: a record that has no line in this format; nothing was appended */
bool audit_format_record(enum audit_format format, const struct audit_record *record, struct bytes *out);
