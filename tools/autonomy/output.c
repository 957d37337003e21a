#include "tools/autonomy/output.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tools/autonomy/screen.h"
#include "tools/autonomy/watch.h"

/* Bytes of what steers a terminal at `text`: control characters, and what turns the direction of writing. */
static size_t steering_at(const unsigned char *text)
{
    if (text[0] < 0x20 || text[0] == 0x7f)
        return 1;
    if (text[0] == 0xc2 && text[1] >= 0x80 && text[1] <= 0x9f) /* C1 */
        return 2;
    if (text[0] != 0xe2)
        return 0;
    bool marks =
        text[1] == 0x80 && (text[2] == 0x8e || text[2] == 0x8f || (text[2] >= 0xa8 && text[2] <= 0xae));
    bool isolates = text[1] == 0x81 && text[2] >= 0xa6 && text[2] <= 0xa9; /* U+2066 .. U+2069 */
    return marks || isolates ? 3 : 0;
}

const char *printable(struct cli *cli, const char *text)
{
    size_t length = strlen(text), kept = 0;
    char *copy = arena_text(&cli->arena, text, length);
    for (size_t i = 0; i < length;) {
        size_t steering = steering_at((const unsigned char *)text + i);
        copy[kept++] = steering ? '?' : text[i];
        i += steering ? steering : 1;
    }
    copy[kept] = '\0';
    return copy;
}

static const char *colour_of(const char *text)
{
    static const struct {
        const char *word, *colour;
    } words[] = {{"active", "32"},      {"completed", "32"},   {"healthy", "32"},   {"success", "32"},
                 {"ok", "32"},          {"paused", "33"},      {"degraded", "33"},  {"warning", "33"},
                 {"pending", "33"},     {"halted", "31"},      {"lost", "31"},      {"critical", "31"},
                 {"rolled_back", "31"}, {"failure", "31"},     {"denied", "31"},    {"cancelled", "31"},
                 {"leader", "1"},       {"unreachable", "31"}, {"no answer", "31"}, {"cut off", "31"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i].word, text) == 0)
            return words[i].colour;
    return NULL;
}

/* Prints a text and fills up to `width`; the last column stays ragged. */
static void print_padded(const struct cli *cli, const char *text, uint32_t width, const char *colour)
{
    uint32_t own = screen_width(text);
    if (cli->colour && colour)
        fprintf(cli->out, "\033[%sm%s\033[0m", colour, text);
    else
        fputs(text, cli->out);
    if (own < width)
        fprintf(cli->out, "%*s", (int)(width - own), "");
}

void table_begin(struct table *self, struct cli *cli, const char *const *names)
{
    *self = (struct table){.cli = cli};
    for (; names[self->columns]; self->columns++) {
        CHECK(self->columns < TABLE_COLUMNS_MAX, "a table of more than %u columns", TABLE_COLUMNS_MAX);
        self->names[self->columns] = names[self->columns];
    }
}

void table_cell(struct table *self, const char *text)
{
    if (self->cell_count == self->cell_capacity) {
        uint32_t larger = self->cell_capacity ? self->cell_capacity * 2 : 64;
        const char **cells = arena_new(&self->cli->arena, larger * sizeof *cells);
        if (self->cell_count)
            memcpy(cells, self->cells, self->cell_count * sizeof *cells);
        self->cells = cells;
        self->cell_capacity = larger;
    }
    self->cells[self->cell_count++] = text && *text ? printable(self->cli, text) : "-";
}

void table_print(struct table *self, const char *empty)
{
    uint32_t widths[TABLE_COLUMNS_MAX] = {0};
    CHECK(self->columns > 0, "a table without columns");
    CHECK(self->cell_count % self->columns == 0, "%u cells in %u columns", self->cell_count, self->columns);
    for (uint32_t c = 0; c < self->columns; c++)
        widths[c] = screen_width(self->names[c]);
    for (uint32_t i = 0; i < self->cell_count; i++) {
        uint32_t width = screen_width(self->cells[i]);
        if (width > widths[i % self->columns])
            widths[i % self->columns] = width;
    }
    for (uint32_t c = 0; c < self->columns; c++)
        print_padded(self->cli, self->names[c], c + 1 < self->columns ? widths[c] + 2 : 0, "1");
    fputc('\n', self->cli->out);
    for (uint32_t i = 0; i < self->cell_count; i++) {
        uint32_t c = i % self->columns;
        bool last = c + 1 == self->columns;
        print_padded(self->cli, self->cells[i], last ? 0 : widths[c] + 2, colour_of(self->cells[i]));
        if (last)
            fputc('\n', self->cli->out);
    }
    if (self->cell_count == 0 && empty)
        fprintf(self->cli->err, "%s\n", empty);
}

void rows_print(struct cli *cli, const struct json_t *rows, const char *const *names,
                const char *const *members, const char *empty)
{
    struct table table;
    size_t i;
    json_t *row;
    table_begin(&table, cli, names);
    json_array_foreach(rows, i, row)
    {
        for (const char *const *member = members; *member; member++)
            table_cell(&table, member_text(cli, row, *member));
    }
    table_print(&table, empty);
}

/* A list of texts reads as "a, b"; any other list as JSON. */
static const char *joined(struct cli *cli, const json_t *list)
{
    const char *text = "";
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (!json_is_string(item))
            return NULL;
        text = arena_printf(&cli->arena, "%s%s%s", text, i > 0 ? ", " : "", json_string_value(item));
    }
    return text;
}

static const char *value_of(struct cli *cli, const json_t *value)
{
    if (!value || json_is_null(value))
        return "";
    const char *list = json_is_array(value) ? joined(cli, value) : NULL;
    if (list)
        return list;
    if (json_is_string(value))
        return json_string_value(value);
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    CHECK(text, "a JSON value that can't be written");
    const char *copy = arena_text(&cli->arena, text, strlen(text));
    free(text);
    return copy;
}

const char *member_text(struct cli *cli, const struct json_t *object, const char *name)
{
    return value_of(cli, json_object_get(object, name));
}

void label_print(struct cli *cli, const char *indent, uint32_t width, const char *label, const char *value)
{
    fputs(indent, cli->out);
    print_padded(cli, arena_printf(&cli->arena, "%s:", label), width + 2, NULL);
    const char *shown = value && *value ? printable(cli, value) : "-";
    print_padded(cli, shown, 0, colour_of(shown));
    fputc('\n', cli->out);
}

void labels_print(struct cli *cli, const struct json_t *object, const char *indent, uint32_t width,
                  const struct label *labels, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const json_t *value = json_object_get(object, labels[i].member);
        const char *text = value_of(cli, value);
        if (labels[i].unit && json_is_number(value))
            text = arena_printf(&cli->arena, "%s%s", text, labels[i].unit);
        else if (labels[i].unit && !*text)
            text = "unknown";
        label_print(cli, indent, width, labels[i].label, text);
    }
}

static const char *title_of(struct cli *cli, const char *key)
{
    static const char *const acronyms[] = {"Id", "Url"};
    char *title = arena_text(&cli->arena, key, strlen(key));
    bool first = true;
    for (char *at = title; *at; at++) {
        if (*at == '_')
            *at = ' ';
        else if (first)
            *at = (char)toupper((unsigned char)*at);
        first = *at == ' ';
    }
    for (size_t i = 0; i < sizeof acronyms / sizeof acronyms[0]; i++) {
        size_t length = strlen(title), bytes = strlen(acronyms[i]);
        char *word = title + (length > bytes ? length - bytes : 0);
        if (strcmp(word, acronyms[i]) == 0 && (word == title || word[-1] == ' '))
            for (; *word; word++)
                *word = (char)toupper((unsigned char)*word);
    }
    return title;
}

/* A flag's own object: its keys are the user's, and it reads as it is typed. */
static bool is_flag_value(const char *key)
{
    return strcmp(key, "value") == 0 || strcmp(key, "stored") == 0 || strcmp(key, "default") == 0 ||
           strcmp(key, "safe") == 0;
}

static uint32_t widest_key(const struct json_t *object)
{
    const char *key;
    json_t *value;
    uint32_t width = 0;
    json_object_foreach((json_t *)object, key, value) width =
        screen_width(key) > width ? screen_width(key) : width;
    return width;
}

void object_print(struct cli *cli, const struct json_t *object)
{
    const char *key, *inner_key;
    json_t *value, *inner;
    uint32_t width = widest_key(object);
    json_object_foreach((json_t *)object, key, value)
    {
        if (!json_is_object(value) || json_object_size(value) == 0 || is_flag_value(key)) {
            label_print(cli, "", width, title_of(cli, key), value_of(cli, value));
            continue;
        }
        fprintf(cli->out, "%s:\n", title_of(cli, key));
        uint32_t inner_width = widest_key(value);
        json_object_foreach(value, inner_key, inner)
            label_print(cli, "  ", inner_width, title_of(cli, inner_key), value_of(cli, inner));
    }
}

void json_print(struct cli *cli, const struct json_t *json)
{
    size_t form = cli->watch && cli->watch->lines ? JSON_COMPACT : JSON_INDENT(2);
    CHECK(json_dumpf(json, cli->out, form | JSON_ENCODE_ANY) == 0 || ferror(cli->out),
          "a JSON value that can't be written");
    fputc('\n', cli->out);
}

enum cli_exit answer_print(struct cli *cli, enum cli_exit exit, struct json_t *answer)
{
    if (exit == CLI_DONE && cli->json)
        json_print(cli, answer);
    else if (exit == CLI_DONE)
        object_print(cli, answer);
    json_decref(answer);
    return exit;
}
