/* What people read: aligned tables, labelled values, and JSON.
 *
 * Widths are what a terminal shows. Control characters of a server's text are shown as '?', so that nothing
 * a plan or a reason holds can steer the terminal. Colour is for the few words that decide something. */
#pragma once

#include "tools/autonomy/cli.h"

#define TABLE_COLUMNS_MAX 10u

struct table {
    struct cli *cli;
    uint32_t columns;
    const char *names[TABLE_COLUMNS_MAX];
    const char **cells; /* in the arena; row by row */
    uint32_t cell_count, cell_capacity;
};

/** @param names  "TIMESTAMP", "EVENT", ..., NULL */
void table_begin(struct table *self, struct cli *cli, const char *const *names);
/** The next cell; rows fill up in order. NULL and "" print as "-". */
void table_cell(struct table *self, const char *text);
/** @param empty  printed on stderr when there is no row */
void table_print(struct table *self, const char *empty);
/** A whole table: one row an element, one column a member. @param members  NULL ends */
void rows_print(struct cli *cli, const struct json_t *rows, const char *const *names,
                const char *const *members, const char *empty);

/** A JSON member as text: "" when it is missing or null; true, false, numbers; objects and arrays as compact
 * JSON. */
const char *member_text(struct cli *cli, const struct json_t *object, const char *name);

struct label {
    const char *label;  /* "Holder ID" */
    const char *member; /* "holder_id" */
    const char *unit;   /* put after a number: "ms"; may be NULL */
};

/** "Label:   value" lines, values in one column; what the object lacks prints as "-". */
void labels_print(struct cli *cli, const struct json_t *object, const char *indent, uint32_t width,
                  const struct label *labels, uint32_t count);
/** One such line. */
void label_print(struct cli *cli, const char *indent, uint32_t width, const char *label, const char *value);
/** Every member of the object, its key as the label: "new_phase" becomes "New Phase". An object in it is a
 * block of its own; a flag's value, a list of objects and what is deeper reads as JSON. */
void object_print(struct cli *cli, const struct json_t *object);
void json_print(struct cli *cli, const struct json_t *json);
/** What most commands end with: prints an answer (CLI_DONE) as asked for, lets go of it (may be NULL),
 * returns `exit`. */
enum cli_exit answer_print(struct cli *cli, enum cli_exit exit, struct json_t *answer);
/** "1 of 3 voters is in contact, 2 are needed: bring back n1 or n3"; NULL while there is a majority.
 * @param role  the member of each that says "voter" */
const char *quorum_advice(struct cli *cli, const struct json_t *members, const char *role);
/** A text without control characters. */
const char *printable(struct cli *cli, const char *text);
