/* What the three files behind base/schema.h share: the msgpack reader, paths for errors, and the bounds of a
 * field.
 *
 * Writing goes through msgpack-c. Reading doesn't: its unpacker allocates 24 bytes for every element that a
 * count claims before it has seen one, so five bytes from a stranger may ask for 96 GiB. The reader below
 * hands out one token at a time, borrows from its input and believes no count that the bytes left can't hold.
 */
#pragma once

#include "base/limits.h"
#include "base/schema.h"

#define SCHEMA_DEPTH_MAX       32u
#define SCHEMA_MAP_KEY_MAX     256u
#define SCHEMA_MAP_VALUE_MAX   COMMAND_BYTES_MAX
#define SCHEMA_TEXTS_BYTES_MAX 1024u /* one element of FIELD_TEXTS */
#define SCHEMA_ELEMENTS_MAX    1024u /* of a list, texts or map whose field states no max */
#define SCHEMA_INTEGER_MAX     ((1ULL << 53) - 1)
#define SCHEMA_TIME_MAX        253402300799999ULL /* 9999-12-31T23:59:59.999Z */
#define SCHEMA_QUOTE_BYTES     64u

enum token_kind {
    TOKEN_NIL,
    TOKEN_BOOL,
    TOKEN_U64,
    TOKEN_NEGATIVE, /* an integer below 0 */
    TOKEN_REAL,
    TOKEN_TEXT,
    TOKEN_BLOB,
    TOKEN_ARRAY,
    TOKEN_MAP
};

struct token {
    enum token_kind kind;
    uint64_t number;     /* U64; BOOL as 0 or 1 */
    int64_t negative;    /* NEGATIVE */
    double real;         /* REAL, always finite */
    struct span payload; /* TEXT, BLOB: borrowed from the input */
    uint32_t count;      /* ARRAY: elements, MAP: pairs; no more than the bytes left can hold */
};

struct reader {
    const uint8_t *at;
    const uint8_t *end;
};

struct reader reader_of(struct span packed);
/** Takes one token (of an array or map its head only). @return false: truncated, an extension type, or not
 * finite */
bool reader_next(struct reader *self, struct token *out);
/** Passes one whole value that has a JSON form: text keys, valid UTF-8 without NUL, at most SCHEMA_DEPTH_MAX
 * deep. */
bool reader_skip(struct reader *self, struct span *value);
bool text_clean(struct span text); /* UTF-8 without NUL */

/* Where in a record: "stages[2].gates[0].seconds". Lives on the stack of the conversion. */
struct schema_path {
    const struct schema_path *parent;
    const char *name; /* NULL: an element, by index */
    size_t index;
};

/* One conversion into a struct. */
struct schema_context {
    const char *root;     /* put before every path; NULL: nothing */
    enum error_code code; /* ERROR_CORRUPT from msgpack, ERROR_INVALID from JSON */
    struct arena *arena;
    struct error *error;
};

enum error_code schema_fail(const struct schema_context *context, const struct schema_path *path,
                            const char *format, ...) PRINTF(3, 4);
/** From the arena; NULL and an error where its bound would be passed: input never makes an arena abort. */
void *schema_new(const struct schema_context *context, const struct schema_path *path, size_t bytes);
/** A copy with a NUL behind it, or NULL and an error. */
char *schema_text(const struct schema_context *context, const struct schema_path *path, struct span text);
/** Cut to a length that fits an error message, at a character's end. @return `out` */
const char *schema_quote(struct span text, char out[SCHEMA_QUOTE_BYTES + 4]);

uint64_t field_max(const struct field *field);
uint64_t field_min(const struct field *field);
int64_t field_i64_max(const struct field *field);
int64_t field_i64_min(const struct field *field);
enum error_code field_check_u64(const struct schema_context *context, const struct schema_path *path,
                                const struct field *field, uint64_t value) MUST_USE;
enum error_code field_check_i64(const struct schema_context *context, const struct schema_path *path,
                                const struct field *field, int64_t value) MUST_USE;
enum error_code field_check_bytes(const struct schema_context *context, const struct schema_path *path,
                                  const struct field *field, uint64_t bytes) MUST_USE;
enum error_code field_check_count(const struct schema_context *context, const struct schema_path *path,
                                  const struct field *field, uint64_t count) MUST_USE;
/** TEXT and NAME: checks and copies. */
enum error_code field_take_text(const struct schema_context *context, const struct schema_path *path,
                                const struct field *field, struct span text, const char **out) MUST_USE;
/** One text of at most `bytes_max` bytes (an element of TEXTS, a key or a value of MAP): checks and copies.
 */
enum error_code field_take_element(const struct schema_context *context, const struct schema_path *path,
                                   struct span text, size_t bytes_min, size_t bytes_max,
                                   const char **out) MUST_USE;
/** Absent: NULL, 0, false, no elements, a struct of empty fields. */
bool field_empty(const struct field *field, const void *record);
/* Absent, and not to be told from a zero by its bounds: null says so, and reads back as absent. */
bool field_shows_null(const struct field *field, const void *record);
bool schema_empty(const struct schema *schema, const void *record);

static inline void *field_member(void *record, uint32_t offset)
{
    return (uint8_t *)record + offset;
}

static inline const void *field_member_const(const void *record, uint32_t offset)
{
    return (const uint8_t *)record + offset;
}

/** msgpack-c's write function: appends to a struct bytes. What doesn't fit stands in its `overflow`. */
int schema_write(void *bytes, const char *data, size_t length);
/** Sorts by key. */
void schema_sort_pairs(struct field_pair *pairs, size_t count);
/** Past 2^63 - 1 Jansson has no integer: such a number goes as decimal text. */
struct json_t *json_from_u64(uint64_t value);
struct json_t *json_from_blob(struct span span); /* hex text */

/* Members by type: tables give offsets, these read them. */
#define FIELD_GET(type, record, at) (*(type const *)field_member_const((record), (at)))
#define FIELD_PUT(type, record, at) (*(type *)field_member((record), (at)))
