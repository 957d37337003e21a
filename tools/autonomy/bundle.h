/* What a support bundle is made of: collectors that each add files, or say why they couldn't. */
#pragma once

#include "tools/autonomy/archive.h"
#include "tools/autonomy/client.h"

#define BUNDLE_REQUEST_MS 2000u       /* one question to one node */
#define BUNDLE_RECORDS    1000u       /* of the audit trail's end */
#define BUNDLE_PLANS      200u        /* described in full */
#define BUNDLE_LOG_BYTES  (4ul << 20) /* of a log's end */
#define BUNDLE_FILE_BYTES (1ul << 20) /* of a configuration file */

struct bundle {
    struct cli *cli;
    struct archive *archive;
    struct client *client; /* NULL: no server is known */
    struct json_t *rows;   /* manifest.json's files */
    uint64_t deadline_ms;  /* monotonic */
    uint64_t wall_ms;
    uint32_t failed;
    bool broken; /* the archive can't be written any more; `error` says why */
    struct error error;
};

/** Adds a file and its `collected` row. */
void bundle_put(struct bundle *self, const char *collector, const char *path, struct span content);
/** Redacts, adds, and lets go of `json`. */
void bundle_put_json(struct bundle *self, const char *collector, const char *path, struct json_t *json);
/** Adds a `failed` row, with the reason. */
void bundle_failed(struct bundle *self, const char *collector, const char *path, const char *why);

/* bundle_local.c: this machine */
void collect_system(struct bundle *self);
void collect_build(struct bundle *self);
void collect_configuration(struct bundle *self);
void collect_audit_folder(struct bundle *self);
void collect_logs(struct bundle *self);
/* bundle_cluster.c: the nodes */
void collect_nodes(struct bundle *self);
void collect_plans(struct bundle *self);
void collect_flags(struct bundle *self);
void collect_switches(struct bundle *self);
void collect_decisions(struct bundle *self);
void collect_audit(struct bundle *self);
