/* YAML by libcyaml, which checks the shape: known keys, mappings where mappings belong. It is lax with values
 * ("maybe" is a true bool, -4 an unsigned) and vague about lines, so values arrive here as text, are
 * converted by the table below, and lines come from a walk over the same text with libyaml, on which libcyaml
 * stands. */
#include "node/config.h"

#include <arpa/inet.h>
#include <cyaml/cyaml.h>
#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <yaml.h>

#include "base/bytes.h"
#include "base/check.h"

#define DEPTH_MAX 8u /* of the YAML: ours needs three */

/* --- the settings
 * ---------------------------------------------------------------------------------------------- */

enum kind {
    KIND_NAME,
    KIND_TEXT,
    KIND_ADDRESS,
    KIND_URL,
    KIND_U32,
    KIND_BYTES32,
    KIND_BYTES,
    KIND_DURATION,
    KIND_BOOL,
    KIND_LEVEL
};

/* As libcyaml fills it: every scalar as text, NULL when absent. */
struct raw_api {
    char *listen, *advertise_url, *threads, *connections, *connections_per_address, *body_bytes,
        *header_timeout, *write_timeout;
};
struct raw_wire {
    char *listen, *advertise;
};
struct raw_audit {
    char *segment_bytes;
};
struct raw_rollout {
    char *stuck_after;
};
struct raw {
    char *name, *data_dir, *bootstrap, *insecure, *election_timeout_ms, *heartbeat_ms, *snapshot_entries,
        *trailing_entries, *reserve_bytes, *log_level;
    struct raw_api api;
    struct raw_wire wire;
    struct raw_audit audit;
    struct raw_rollout rollout;
    char **join;
    unsigned join_count;
};

struct setting {
    const char *path; /* "api.listen" */
    enum kind kind;
    size_t raw, out; /* offsets */
    uint64_t min, max;
    const char *standard; /* NULL: required, or derived from another one */
    bool required;
};

#define HOUR_MS (60u * 60u * 1000u)
#define MIB     (1024u * 1024u)
#define GIB     (1024ull * 1024ull * 1024ull)
#define SETTING(path, kind, raw_member, member, min, max, standard, required)                                \
    {                                                                                                        \
        path, kind, offsetof(struct raw, raw_member), offsetof(struct config, member), min, max, standard,   \
            required                                                                                         \
    }

static const struct setting settings[] = {
    SETTING("name", KIND_NAME, name, name, 1, NAME_BYTES_MAX, NULL, true),
    SETTING("data_dir", KIND_TEXT, data_dir, data_dir, 1, 1024, NULL, true),
    SETTING("api.listen", KIND_ADDRESS, api.listen, api_listen, 0, 0, "127.0.0.1:7101", false),
    SETTING("api.advertise_url", KIND_URL, api.advertise_url, api_advertise_url, 0, 0, NULL, false),
    SETTING("api.threads", KIND_U32, api.threads, api_threads, 1, 64, "2", false),
    SETTING("api.connections", KIND_U32, api.connections, api_connections, 8, 65536, "4096", false),
    SETTING("api.connections_per_address", KIND_U32, api.connections_per_address, api_connections_per_address,
            0, 65536, "1024", false),
    SETTING("api.body_bytes", KIND_BYTES32, api.body_bytes, api_body_bytes, 65536, 16 * MIB, "1MiB", false),
    SETTING("api.header_timeout", KIND_DURATION, api.header_timeout, api_header_timeout_ms, 1000, 300000,
            "10s", false),
    SETTING("api.write_timeout", KIND_DURATION, api.write_timeout, api_write_timeout_ms, 100, 300000, "5s",
            false),
    SETTING("wire.listen", KIND_ADDRESS, wire.listen, wire_listen, 0, 0, "127.0.0.1:7201", false),
    SETTING("wire.advertise", KIND_ADDRESS, wire.advertise, wire_advertise, 0, 0, NULL, false),
    SETTING("bootstrap", KIND_BOOL, bootstrap, bootstrap, 0, 1, "false", false),
    SETTING("insecure", KIND_BOOL, insecure, insecure, 0, 1, "false", false),
    SETTING("election_timeout_ms", KIND_U32, election_timeout_ms, election_timeout_ms, 50, 60000, "300",
            false),
    SETTING("heartbeat_ms", KIND_U32, heartbeat_ms, heartbeat_ms, 5, 10000, "30", false),
    SETTING("snapshot_entries", KIND_U32, snapshot_entries, snapshot_entries, 16, 100000000, "65536", false),
    SETTING("trailing_entries", KIND_U32, trailing_entries, trailing_entries, 0, 100000000, "8192", false),
    SETTING("reserve_bytes", KIND_BYTES, reserve_bytes, reserve_bytes, 1 * MIB, 1024 * GIB, "64MiB", false),
    SETTING("audit.segment_bytes", KIND_BYTES, audit.segment_bytes, audit_segment_bytes, 4096, 16 * GIB,
            "64MiB", false),
    SETTING("rollout.stuck_after", KIND_DURATION, rollout.stuck_after, rollout_stuck_after_ms, 1000,
            720ull * HOUR_MS, "1h", false),
    SETTING("log_level", KIND_LEVEL, log_level, log_level, 0, 0, "info", false),
};
#define SETTINGS_COUNT (sizeof settings / sizeof settings[0])

#define SCALAR(structure, key)                                                                               \
    CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, structure, key, 0, 4096)
#define SECTION(key) CYAML_FIELD_MAPPING(#key, CYAML_FLAG_OPTIONAL, struct raw, key, key##_fields)

static const cyaml_schema_field_t api_fields[] = {SCALAR(struct raw_api, listen),
                                                  SCALAR(struct raw_api, advertise_url),
                                                  SCALAR(struct raw_api, threads),
                                                  SCALAR(struct raw_api, connections),
                                                  SCALAR(struct raw_api, connections_per_address),
                                                  SCALAR(struct raw_api, body_bytes),
                                                  SCALAR(struct raw_api, header_timeout),
                                                  SCALAR(struct raw_api, write_timeout),
                                                  CYAML_FIELD_END};
static const cyaml_schema_field_t wire_fields[] = {SCALAR(struct raw_wire, listen),
                                                   SCALAR(struct raw_wire, advertise), CYAML_FIELD_END};
static const cyaml_schema_field_t audit_fields[] = {SCALAR(struct raw_audit, segment_bytes), CYAML_FIELD_END};
static const cyaml_schema_field_t rollout_fields[] = {SCALAR(struct raw_rollout, stuck_after),
                                                      CYAML_FIELD_END};
static const cyaml_schema_value_t join_entry = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 0, 4096)};
static const cyaml_schema_field_t raw_fields[] = {
    SCALAR(struct raw, name),
    SCALAR(struct raw, data_dir),
    SCALAR(struct raw, bootstrap),
    SCALAR(struct raw, insecure),
    SCALAR(struct raw, election_timeout_ms),
    SCALAR(struct raw, heartbeat_ms),
    SCALAR(struct raw, snapshot_entries),
    SCALAR(struct raw, trailing_entries),
    SCALAR(struct raw, reserve_bytes),
    SCALAR(struct raw, log_level),
    SECTION(api),
    SECTION(wire),
    SECTION(audit),
    SECTION(rollout),
    CYAML_FIELD_SEQUENCE("join", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw, join, &join_entry, 0,
                         CONFIG_JOIN_MAX),
    CYAML_FIELD_END};
static const cyaml_schema_value_t raw_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw, raw_fields)};

/* --- lines
 * ----------------------------------------------------------------------------------------------------- */

static bool path_is_known(const char *path)
{
    static const char *const others[] = {"join", "api", "wire", "audit", "rollout"};
    for (size_t i = 0; i < SETTINGS_COUNT; i++)
        if (strcmp(settings[i].path, path) == 0)
            return true;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(others[i], path) == 0)
            return true;
    return false;
}

struct walk {
    const char *wanted; /* a path; NULL: the first unknown one */
    char path[DEPTH_MAX][64];
    bool mapping[DEPTH_MAX], expects_key[DEPTH_MAX];
    unsigned depth; /* of open collections */
    size_t line;    /* found; 0: not yet */
    char found[256];
};

static void walk_key(struct walk *walk, const yaml_event_t *event)
{
    char path[256] = "";
    snprintf(walk->path[walk->depth - 1], sizeof walk->path[0], "%.63s",
             (const char *)event->data.scalar.value);
    for (unsigned i = 0; i < walk->depth; i++) {
        size_t used = strlen(path);
        if (walk->mapping[i])
            snprintf(path + used, sizeof path - used, "%s%s", used ? "." : "", walk->path[i]);
    }
    bool hit = walk->wanted ? strcmp(path, walk->wanted) == 0 : !path_is_known(path);
    if (!hit || walk->line != 0)
        return;
    walk->line = event->start_mark.line + 1;
    snprintf(walk->found, sizeof walk->found, "%s", path);
}

/** One event; @return false when the walk is over. */
static bool walk_event(struct walk *walk, const yaml_event_t *event)
{
    bool in_mapping = walk->depth > 0 && walk->mapping[walk->depth - 1];
    switch (event->type) {
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        if (in_mapping)
            walk->expects_key[walk->depth - 1] = true; /* after this value */
        if (walk->depth == DEPTH_MAX)
            return false;
        walk->mapping[walk->depth] = event->type == YAML_MAPPING_START_EVENT;
        walk->expects_key[walk->depth] = true;
        walk->depth++;
        return true;
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        walk->depth--;
        return true;
    case YAML_SCALAR_EVENT:
        if (!in_mapping)
            return true;
        if (walk->expects_key[walk->depth - 1])
            walk_key(walk, event);
        walk->expects_key[walk->depth - 1] = !walk->expects_key[walk->depth - 1];
        return true;
    case YAML_ALIAS_EVENT:
        if (in_mapping)
            walk->expects_key[walk->depth - 1] = true;
        return true;
    case YAML_STREAM_END_EVENT:
        return false;
    default:
        return true;
    }
}

/** The line of a path, or of the first unknown key; 0 when there is none. With `broken`, where the YAML
 * itself ends to make sense. */
static size_t line_find(const char *text, size_t text_bytes, struct walk *walk, size_t *broken, char *problem,
                        size_t problem_bytes)
{
    yaml_parser_t parser;
    CHECK(yaml_parser_initialize(&parser), "libyaml has no memory");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, text_bytes);
    bool more = true;
    while (more) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            if (broken) {
                *broken = parser.problem_mark.line + 1;
                snprintf(problem, problem_bytes, "%s", parser.problem ? parser.problem : "not YAML");
            }
            break;
        }
        more = walk_event(walk, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return walk->line;
}

struct source {
    const char *path, *text;
    size_t bytes;
};

static enum error_code refuse(const struct source *source, const char *setting, struct error *error,
                              const char *format, ...) __attribute__((format(printf, 4, 5)));
static enum error_code refuse(const struct source *source, const char *setting, struct error *error,
                              const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)error_setv(error, ERROR_INVALID, format, arguments);
    va_end(arguments);
    struct walk walk = {.wanted = setting};
    size_t line = line_find(source->text, source->bytes, &walk, NULL, NULL, 0);
    if (line == 0)
        return error_prefix(error, "%s", source->path);
    return error_prefix(error, "%s:%zu", source->path, line);
}

/* --- values
 * ---------------------------------------------------------------------------------------------------- */

static bool parse_bytes(const char *text, uint64_t *out)
{
    static const struct {
        const char *suffix;
        uint64_t factor;
    } units[] = {{"KiB", 1024}, {"MiB", MIB}, {"GiB", GIB}};
    char digits[32];
    uint64_t factor = 1;
    size_t length = strlen(text);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (length > 3 && strcmp(text + length - 3, units[i].suffix) == 0) {
            factor = units[i].factor;
            length -= 3;
            break;
        }
    }
    if (length == 0 || length >= sizeof digits)
        return false;
    memcpy(digits, text, length);
    digits[length] = 0;
    if (!parse_u64(digits, UINT64_MAX / factor, out))
        return false;
    *out *= factor;
    return true;
}

static bool parse_bool(const char *text, uint64_t *out)
{
    static const char *const yes[] = {"true", "yes", "on"}, *const no[] = {"false", "no", "off"};
    for (size_t i = 0; i < 3; i++) {
        if (strcasecmp(text, yes[i]) == 0)
            *out = 1;
        if (strcasecmp(text, no[i]) == 0)
            *out = 0;
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0)
            return true;
    }
    return false;
}

/** Splits "host:port" or "[v6]:port"; `host` takes ADDRESS_BYTES_MAX. */
static bool address_split(const char *address, char *host, uint64_t *port)
{
    const char *colon = strrchr(address, ':');
    if (!colon || colon == address || strlen(address) >= ADDRESS_BYTES_MAX)
        return false;
    size_t length = (size_t)(colon - address);
    const char *start = address;
    if (address[0] == '[') {
        if (address[length - 1] != ']')
            return false;
        start++;
        length -= 2;
    } else if (memchr(address, ':', length)) {
        return false; /* a bare IPv6 address: ambiguous */
    }
    if (length == 0 || strpbrk(address, " \t/@"))
        return false;
    memcpy(host, start, length);
    host[length] = 0;
    return parse_u64(colon + 1, 65535, port) && *port > 0;
}

bool address_is_loopback(const char *address)
{
    char host[ADDRESS_BYTES_MAX];
    uint64_t port = 0;
    struct in_addr v4;
    if (!address_split(address, host, &port))
        return false;
    if (strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0)
        return true;
    return inet_pton(AF_INET, host, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

static bool address_is_any(const char *address)
{
    char host[ADDRESS_BYTES_MAX];
    uint64_t port = 0;
    return address_split(address, host, &port) && (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0);
}

static bool url_valid(const char *url)
{
    size_t length = strlen(url);
    if (strncmp(url, "http://", 7) != 0 || length < 8 || length >= ADDRESS_BYTES_MAX)
        return false;
    return !strpbrk(url, " \t\"<>\\");
}

static bool level_valid(const char *text)
{
    return strcmp(text, "error") == 0 || strcmp(text, "warn") == 0 || strcmp(text, "info") == 0 ||
           strcmp(text, "debug") == 0;
}

static const char *kind_wants(enum kind kind)
{
    switch (kind) {
    case KIND_NAME:
        return "a name: a letter or digit, then at most 127 of A-Z a-z 0-9 . _ -";
    case KIND_ADDRESS:
        return "host:port, like 127.0.0.1:7101 or [::1]:7101";
    case KIND_URL:
        return "a base URL like http://127.0.0.1:7101";
    case KIND_U32:
        return "a whole number";
    case KIND_BYTES32:
    case KIND_BYTES:
        return "bytes, like 67108864 or 64MiB";
    case KIND_DURATION:
        return "a duration, like 500ms, 30s or 1h";
    case KIND_BOOL:
        return "true or false";
    case KIND_LEVEL:
        return "error, warn, info or debug";
    case KIND_TEXT:
        break;
    }
    return "a text such as a path, of at most 1,024 bytes";
}

static bool text_valid(const struct setting *setting, const char *text)
{
    char host[ADDRESS_BYTES_MAX];
    uint64_t port = 0;
    switch (setting->kind) {
    case KIND_NAME:
        return name_valid(text);
    case KIND_ADDRESS:
        return address_split(text, host, &port);
    case KIND_URL:
        return url_valid(text);
    case KIND_LEVEL:
        return level_valid(text);
    default:
        return strlen(text) >= setting->min && strlen(text) <= setting->max;
    }
}

static bool number_parse(const struct setting *setting, const char *text, uint64_t *out)
{
    switch (setting->kind) {
    case KIND_BYTES32:
    case KIND_BYTES:
        return parse_bytes(text, out);
    case KIND_DURATION:
        return parse_duration_ms(text, out);
    case KIND_BOOL:
        return parse_bool(text, out);
    default:
        return parse_u64(text, UINT64_MAX, out);
    }
}

static bool is_text(enum kind kind)
{
    return kind == KIND_NAME || kind == KIND_TEXT || kind == KIND_ADDRESS || kind == KIND_URL ||
           kind == KIND_LEVEL;
}

static void number_store(const struct setting *setting, uint64_t number, struct config *out)
{
    char *place = (char *)out + setting->out;
    switch (setting->kind) {
    case KIND_U32:
    case KIND_BYTES32: {
        uint32_t narrow = (uint32_t)number;
        memcpy(place, &narrow, sizeof narrow);
        return;
    }
    case KIND_BOOL:
        *(bool *)place = number != 0;
        return;
    default:
        memcpy(place, &number, sizeof number);
    }
}

static enum error_code setting_apply(const struct source *source, const struct setting *setting,
                                     const char *text, struct config *out, struct error *error)
{
    uint64_t number = 0;
    if (is_text(setting->kind)) {
        if (!text_valid(setting, text))
            return refuse(source, setting->path, error, "%s: \"%.80s\" is not %s", setting->path, text,
                          kind_wants(setting->kind));
        *(char **)((char *)out + setting->out) = text_copy(text);
        return ERROR_OK;
    }
    if (!number_parse(setting, text, &number))
        return refuse(source, setting->path, error, "%s: \"%.80s\" is not %s", setting->path, text,
                      kind_wants(setting->kind));
    if (number < setting->min || number > setting->max)
        return refuse(source, setting->path, error, "%s: %.80s is not within %llu .. %llu%s", setting->path,
                      text, (unsigned long long)setting->min, (unsigned long long)setting->max,
                      setting->kind == KIND_DURATION ? " ms" : "");
    number_store(setting, number, out);
    return ERROR_OK;
}

/* --- what must hold between settings
 * ----------------------------------------------------------------------------- */

static enum error_code check_exposure(const struct source *source, const struct config *config,
                                      struct error *error)
{
    if (config->insecure)
        return ERROR_OK;
    const char *exposed = !address_is_loopback(config->api_listen)    ? "api.listen"
                          : !address_is_loopback(config->wire_listen) ? "wire.listen"
                                                                      : NULL;
    if (!exposed)
        return ERROR_OK;
    return refuse(source, exposed, error,
                  "%s: listening beyond loopback is refused while nothing proves who is asking; add "
                  "`insecure: true` if "
                  "everybody who can reach it may do everything",
                  exposed);
}

static enum error_code derive(const struct source *source, struct config *out, struct error *error)
{
    if (!out->api_advertise_url) {
        if (address_is_any(out->api_listen))
            return refuse(source, "api.listen", error,
                          "api.listen: %s is no address for others; set api.advertise_url", out->api_listen);
        struct bytes url;
        bytes_init(&url, 0);
        bytes_printf(&url, "http://%s", out->api_listen);
        out->api_advertise_url = (char *)bytes_take(&url, NULL);
    }
    size_t length = strlen(out->api_advertise_url);
    while (length > 8 && out->api_advertise_url[length - 1] == '/')
        out->api_advertise_url[--length] = 0;
    if (!out->wire_advertise) {
        if (address_is_any(out->wire_listen))
            return refuse(source, "wire.listen", error,
                          "wire.listen: %s is no address for others; set wire.advertise", out->wire_listen);
        out->wire_advertise = text_copy(out->wire_listen);
    }
    if (strcmp(out->api_listen, out->wire_listen) == 0)
        return refuse(source, "wire.listen", error,
                      "wire.listen: %s is api.listen already; each needs a port of its own",
                      out->wire_listen);
    if (out->heartbeat_ms * 3 > out->election_timeout_ms)
        return refuse(source, "heartbeat_ms", error,
                      "heartbeat_ms: %u must be at most a third of election_timeout_ms (%u)",
                      out->heartbeat_ms, out->election_timeout_ms);
    return check_exposure(source, out, error);
}

static enum error_code join_apply(const struct source *source, const struct raw *raw, struct config *out,
                                  struct error *error)
{
    for (unsigned i = 0; i < raw->join_count; i++) {
        const char *url = raw->join[i] ? raw->join[i] : "";
        if (!url_valid(url))
            return refuse(source, "join", error, "join[%u]: \"%.80s\" is not %s", i, url,
                          kind_wants(KIND_URL));
        out->join[out->join_count] = text_copy(url);
        size_t length = strlen(url);
        while (length > 8 && out->join[out->join_count][length - 1] == '/')
            out->join[out->join_count][--length] = 0;
        out->join_count++;
    }
    return ERROR_OK;
}

static enum error_code convert(const struct source *source, const struct raw *raw, struct config *out,
                               struct error *error)
{
    for (size_t i = 0; i < SETTINGS_COUNT; i++) {
        const char *text = *(char *const *)((const char *)raw + settings[i].raw);
        if (!text && settings[i].required)
            return refuse(source, settings[i].path, error, "%s is missing: %s", settings[i].path,
                          kind_wants(settings[i].kind));
        if (!text)
            text = settings[i].standard;
        if (!text)
            continue;
        if (setting_apply(source, &settings[i], text, out, error) != ERROR_OK)
            return error->code;
    }
    if (join_apply(source, raw, out, error) != ERROR_OK)
        return error->code;
    return derive(source, out, error);
}

/* --- loading
 * --------------------------------------------------------------------------------------------------- */

static void capture(cyaml_log_t level, void *context, const char *format, va_list arguments)
{
    struct error *said = context;
    (void)level;
    if (said->message[0] == 0)
        vsnprintf(said->message, sizeof said->message, format, arguments); /* the first line says what */
}

static enum error_code shape_refused(const struct source *source, struct error *said, cyaml_err_t code,
                                     struct error *error)
{
    char problem[200] = "";
    size_t broken = 0;
    struct walk walk = {.wanted = NULL};
    size_t line = line_find(source->text, source->bytes, &walk, &broken, problem, sizeof problem);
    if (code == CYAML_ERR_INVALID_KEY && line > 0)
        return error_set(error, ERROR_INVALID, "%s:%zu: unknown setting \"%s\"", source->path, line,
                         walk.found);
    if (broken > 0)
        return error_set(error, ERROR_INVALID, "%s:%zu: not YAML: %s", source->path, broken, problem);
    const char *text = strncmp(said->message, "Load: ", 6) == 0 ? said->message + 6 : said->message;
    int length = (int)strcspn(text, "\n");
    const char *colon = strrchr(text, ' '); /* "Mapping field already seen: name" */
    char key[64] = "";
    if (colon)
        snprintf(key, sizeof key, "%.*s", (int)strcspn(colon + 1, "\n"), colon + 1);
    return refuse(source, key, error, "%.*s (%s)", length, text[0] ? text : "it has the wrong shape",
                  cyaml_strerror(code));
}

enum error_code config_parse(const char *path, const char *text, size_t text_bytes, struct config *out,
                             struct error *error)
{
    struct source source = {path, text, text_bytes};
    struct error said = {0};
    struct raw *raw = NULL, empty = {0};
    cyaml_config_t how = {.log_fn = capture,
                          .log_ctx = &said,
                          .mem_fn = cyaml_mem,
                          .log_level = CYAML_LOG_ERROR,
                          .flags = CYAML_CFG_NO_ALIAS};
    cyaml_err_t code =
        cyaml_load_data((const uint8_t *)text, text_bytes, &how, &raw_schema, (cyaml_data_t **)&raw, NULL);
    if (code != CYAML_OK)
        return shape_refused(&source, &said, code, error);
    struct config config = {0};
    enum error_code result = convert(&source, raw ? raw : &empty, &config, error);
    if (raw)
        (void)cyaml_free(&how, &raw_schema, raw, 0);
    if (result != ERROR_OK) {
        config_done(&config);
        return result;
    }
    *out = config;
    return ERROR_OK;
}

enum error_code config_load(const char *path, struct config *out, struct error *error)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set(error, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_IO, "configuration %s: %s", path,
                         strerror(errno));
    char *text = memory_new(CONFIG_BYTES_MAX + 1);
    size_t length = fread(text, 1, CONFIG_BYTES_MAX + 1, file);
    bool failed = ferror(file) != 0;
    fclose(file);
    enum error_code code = ERROR_OK;
    if (failed)
        code = error_set(error, ERROR_IO, "configuration %s: can't be read", path);
    else if (length > CONFIG_BYTES_MAX)
        code =
            error_set(error, ERROR_TOO_BIG, "configuration %s: longer than %u bytes", path, CONFIG_BYTES_MAX);
    else
        code = config_parse(path, text, length, out, error);
    free(text);
    return code;
}

void config_dev(const char *data_dir, struct config *out)
{
    struct error error = {0};
    struct raw raw = {.name = (char[]){"dev"}, .bootstrap = (char[]){"true"}};
    struct source source = {"--dev", "", 0};
    raw.data_dir = text_copy(data_dir);
    memset(out, 0, sizeof *out);
    CHECK(convert(&source, &raw, out, &error) == ERROR_OK, "the defaults hold: %s", error.message);
    free(raw.data_dir);
}

void config_done(struct config *self)
{
    if (!self)
        return;
    for (size_t i = 0; i < SETTINGS_COUNT; i++)
        if (is_text(settings[i].kind))
            free(*(char **)((char *)self + settings[i].out));
    for (uint32_t i = 0; i < self->join_count; i++)
        free(self->join[i]);
    memset(self, 0, sizeof *self);
}

bool config_is_exposed(const struct config *self)
{
    return !address_is_loopback(self->api_listen) || !address_is_loopback(self->wire_listen);
}

enum error_code config_check_folder(const struct config *self, struct error *error)
{
    char path[1100]; /* the longest data_dir and a little */
    snprintf(path, sizeof path, "%s/log", self->data_dir);
    if (self->bootstrap || self->join_count > 0 || access(path, F_OK) == 0 || errno != ENOENT)
        return ERROR_OK;
    return error_set(
        error, ERROR_INVALID,
        "%s belongs to no cluster yet: set `bootstrap: true` on exactly one node, and `join: [URL, "
        "...]` on the others",
        self->data_dir);
}

/* --- showing it
 * ------------------------------------------------------------------------------------------------- */

/** "http://user:secret@host" -> "http://(redacted)@host" */
static json_t *text_json(const char *text)
{
    const char *scheme = strstr(text, "://"), *at = strchr(text, '@');
    if (!scheme || !at)
        return json_string(text);
    struct bytes shown;
    bytes_init(&shown, 0);
    bytes_printf(&shown, "%.*s(redacted)%s", (int)(scheme - text) + 3, text, at);
    json_t *json = json_stringn((const char *)shown.data, shown.length);
    bytes_done(&shown);
    return json;
}

static json_t *setting_json(const struct config *self, const struct setting *setting)
{
    const char *place = (const char *)self + setting->out;
    uint32_t narrow;
    uint64_t wide;
    if (is_text(setting->kind))
        return text_json(*(char *const *)place ? *(char *const *)place : "");
    switch (setting->kind) {
    case KIND_U32:
    case KIND_BYTES32:
        memcpy(&narrow, place, sizeof narrow);
        return json_integer(narrow);
    case KIND_BOOL:
        return json_boolean(*(const bool *)place);
    case KIND_DURATION: {
        char text[32];
        memcpy(&wide, place, sizeof wide);
        snprintf(text, sizeof text, "%llums", (unsigned long long)wide);
        return json_string(text);
    }
    default:
        memcpy(&wide, place, sizeof wide);
        return json_integer((json_int_t)wide);
    }
}

struct json_t *config_to_json(const struct config *self)
{
    json_t *json = json_object();
    for (size_t i = 0; i < SETTINGS_COUNT; i++) {
        const char *dot = strchr(settings[i].path, '.');
        json_t *value = setting_json(self, &settings[i]);
        if (!dot) {
            CHECK(json_object_set_new(json, settings[i].path, value) == 0, "%s", settings[i].path);
            continue;
        }
        char section[32];
        snprintf(section, sizeof section, "%.*s", (int)(dot - settings[i].path), settings[i].path);
        json_t *inner = json_object_get(json, section);
        if (!inner) {
            inner = json_object();
            CHECK(json_object_set_new(json, section, inner) == 0, "%s", section);
        }
        CHECK(json_object_set_new(inner, dot + 1, value) == 0, "%s", settings[i].path);
    }
    json_t *join = json_array();
    for (uint32_t i = 0; i < self->join_count; i++)
        CHECK(json_array_append_new(join, text_json(self->join[i])) == 0, "join");
    CHECK(json_object_set_new(json, "join", join) == 0, "join");
    return json;
}
