/* The node's configuration: YAML to a struct, every value ranged, every error with its line.
 *
 * The settings stand in one table (config.c): name, kind, range, default, help. Loading,
 * `service_configuration()` and the reference in docs/ read that table. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"

struct json_t;

#define CONFIG_JOIN_MAX  NODES_MAX
#define CONFIG_BYTES_MAX (64u * 1024u) /* of the file: a configuration is a page, not a book */

struct config {
    char *name;
    char *data_dir;
    char *api_listen, *api_advertise_url;
    uint32_t api_threads, api_connections, api_connections_per_address, api_body_bytes;
    uint64_t api_header_timeout_ms, api_write_timeout_ms;
    char *wire_listen, *wire_advertise;
    bool bootstrap;
    char *join[CONFIG_JOIN_MAX]; /* base URLs of nodes to ask */
    uint32_t join_count;
    bool insecure; /* listening beyond loopback without proof of identity is wanted */
    uint32_t election_timeout_ms, heartbeat_ms;
    uint32_t snapshot_entries, trailing_entries;
    uint64_t reserve_bytes;
    uint64_t audit_segment_bytes;
    uint64_t rollout_stuck_after_ms;
    char *log_level;
};

/** Reads and checks a file.
 *
 * @param out  filled on success only; end it with config_done()
 * @return ERROR_NOT_FOUND, ERROR_IO, or ERROR_INVALID with "FILE:LINE: what is wrong and what is allowed" */
enum error_code config_load(const char *path, struct config *out, struct error *error) MUST_USE;
/** The same from memory; `path` is for messages only. */
enum error_code config_parse(const char *path, const char *text, size_t text_bytes, struct config *out,
                             struct error *error) MUST_USE;
/** A single node for development: 127.0.0.1:7101 and 7201, bootstrap. */
void config_dev(const char *data_dir, struct config *out);
void config_done(struct config *self);
/** True when something listens beyond loopback (only possible with `insecure: true`). */
bool config_is_exposed(const struct config *self);
/** Whether a start would find a cluster. @return ERROR_INVALID for an empty data folder and neither
 * `bootstrap` nor `join` */
enum error_code config_check_folder(const struct config *self, struct error *error) MUST_USE;
/** What holds, defaults included; passwords in URLs read "(redacted)". New reference. */
struct json_t *config_to_json(const struct config *self);
/** "host:port" with a host that only this machine reaches. */
bool address_is_loopback(const char *address);
