#include "node/metrics.h"

#include <inttypes.h>
#include <string.h>

enum read {
    READ_WRITE, /* by the row's function */
    READ_U64,
    READ_U32,
    READ_BOOL,
    READ_US,
    READ_MS,    /* UINT64_MAX: unknown, and left out */
    READ_TIMES, /* a histogram of microseconds */
    READ_SIZES  /* a histogram of plain numbers */
};

struct metric_writer {
    const struct metric *metric;
    struct bytes *out;
};

const uint16_t metrics_codes[METRICS_CODES - 2] = {200, 201, 202, 204, 206, 304, 400, 401, 403,
                                                   404, 405, 408, 409, 410, 412, 413, 414, 415,
                                                   416, 422, 429, 500, 502, 503, 504};
#define CODE_OTHER   (METRICS_CODES - 2)
#define CODE_ABORTED (METRICS_CODES - 1)

uint32_t metrics_code(uint32_t status)
{
    if (status == 0)
        return CODE_ABORTED;
    for (uint32_t i = 0; i < CODE_OTHER; i++)
        if (metrics_codes[i] == status)
            return i;
    return CODE_OTHER;
}

/* --- samples --- */

static void append_label(struct bytes *out, const char *name, const char *value)
{
    bytes_printf(out, "%s=\"", name);
    for (; *value != '\0'; value++)
        if (*value == '\n')
            bytes_append_text(out, "\\n");
        else if (*value == '"' || *value == '\\')
            bytes_printf(out, "\\%c", *value);
        else
            bytes_append(out, value, 1);
    bytes_append_text(out, "\"");
}

/* Without floating point: what is counted in integers is shown exactly. */
static void append_value(struct bytes *out, uint64_t value, uint64_t scale)
{
    if (scale == 1000000)
        bytes_printf(out, "%" PRIu64 ".%06" PRIu64, value / scale, value % scale);
    else if (scale == 1000)
        bytes_printf(out, "%" PRIu64 ".%03" PRIu64, value / scale, value % scale);
    else
        bytes_printf(out, "%" PRIu64, value);
}

/* One line. @param labels  finished text without braces, "" for none */
static void sample(struct metric_writer *self, const char *suffix, const char *labels, uint64_t value,
                   uint64_t scale)
{
    bytes_printf(self->out, "%s%s", self->metric->name, suffix);
    if (labels[0] != '\0')
        bytes_printf(self->out, "{%s}", labels);
    bytes_append_text(self->out, " ");
    append_value(self->out, value, scale);
    bytes_append_text(self->out, "\n");
}

static void sample_with(struct metric_writer *self, const char *label, const char *text, uint64_t value,
                        uint64_t scale)
{
    bytes_append_text(self->out, self->metric->name);
    bytes_append_text(self->out, "{");
    append_label(self->out, label, text);
    bytes_append_text(self->out, "} ");
    append_value(self->out, value, scale);
    bytes_append_text(self->out, "\n");
}

/* @param labels  as for sample() */
static void histogram(struct metric_writer *self, const char *labels, const struct histogram *histogram,
                      uint64_t scale)
{
    const uint64_t *bounds = scale == 1 ? histogram_sizes : histogram_times_us;
    const char *comma = labels[0] != '\0' ? "," : "";
    uint64_t total = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
        total += histogram->counts[i];
        bytes_printf(self->out, "%s_bucket{%s%sle=\"", self->metric->name, labels, comma);
        append_value(self->out, bounds[i], scale);
        bytes_printf(self->out, "\"} %" PRIu64 "\n", total);
    }
    total += histogram->counts[HISTOGRAM_BOUNDS];
    bytes_printf(self->out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", self->metric->name, labels, comma,
                 total);
    sample(self, "_sum", labels, histogram->sum, scale);
    sample(self, "_count", labels, total, 1);
}

/* --- rows with labels --- */

static void write_build(struct metric_writer *writer, const struct metrics *metrics)
{
    (void)metrics;
    bytes_printf(writer->out, "%s{", writer->metric->name);
    append_label(writer->out, "version", service_version());
    bytes_append_text(writer->out, ",");
    append_label(writer->out, "commit", service_commit());
    bytes_printf(writer->out, ",level=\"%u\",schema=\"%u\"} 1\n", (unsigned)FSM_LEVEL, (unsigned)FSM_SCHEMA);
}

static void write_requests(struct metric_writer *writer, const struct metrics *metrics)
{
    for (uint32_t r = 0; r < metrics->http.route_count; r++)
        for (uint32_t c = 0; c < METRICS_CODES; c++) {
            uint64_t value = metrics->http.routes[r].by_code[c];
            if (value == 0 && c != 0) /* 200 is there from the start: a rate begins at its first request */
                continue;
            bytes_printf(writer->out, "%s{", writer->metric->name);
            append_label(writer->out, "method", metrics->http.routes[r].method);
            bytes_append_text(writer->out, ",");
            append_label(writer->out, "route", metrics->http.routes[r].path);
            if (c < CODE_OTHER)
                bytes_printf(writer->out, ",code=\"%u\"} ", metrics_codes[c]);
            else
                bytes_printf(writer->out, ",code=\"%s\"} ", c == CODE_OTHER ? "other" : "aborted");
            bytes_printf(writer->out, "%" PRIu64 "\n", value);
        }
}

static void write_durations(struct metric_writer *writer, const struct metrics *metrics)
{
    static const char *const labels[KIND_COUNT] = {
        [KIND_LOCAL] = "kind=\"local\"",   [KIND_READ] = "kind=\"read\"", [KIND_WAIT] = "kind=\"wait\"",
        [KIND_SCAN] = "kind=\"scan\"",     [KIND_ACT] = "kind=\"act\"",   [KIND_NONE] = "kind=\"none\"",
        [KIND_CHANGE] = "kind=\"change\"",
    };
    for (uint32_t i = 0; i < KIND_COUNT; i++)
        histogram(writer, labels[i], &metrics->http.duration_us[i], 1000000);
}

static void write_changes(struct metric_writer *writer, const struct metrics *metrics)
{
    static const char *const names[CHANGE_END_COUNT] = {
        [CHANGE_APPLIED] = "applied", [CHANGE_REFUSED] = "refused",         [CHANGE_REPEATED] = "repeated",
        [CHANGE_UNKNOWN] = "unknown", [CHANGE_UNAVAILABLE] = "unavailable", [CHANGE_BUSY] = "busy",
        [CHANGE_FAILED] = "failed",
    };
    for (uint32_t i = 0; i < CHANGE_END_COUNT; i++)
        sample_with(writer, "outcome", names[i], metrics->node.counts.changes[i], 1);
}

static void write_quorum_health(struct metric_writer *writer, const struct metrics *metrics)
{
    static const char *const states[] = {"healthy", "degraded", "lost"};
    const char *health = metrics->node.quorum_health != NULL ? metrics->node.quorum_health : "lost";
    for (uint32_t i = 0; i < 3; i++)
        sample_with(writer, "state", states[i], strcmp(states[i], health) == 0, 1);
}

static void write_members(struct metric_writer *writer, const struct metrics *metrics)
{
    static const char *const roles[] = {
        [MEMBER_STANDBY] = "standby", [MEMBER_VOTER] = "voter", [MEMBER_SPARE] = "spare"};
    uint64_t counts[3] = {0};
    for (uint32_t i = 0; i < metrics->node.consensus.member_count; i++)
        counts[metrics->node.consensus.members[i].role]++;
    for (uint32_t i = 0; i < 3; i++)
        sample_with(writer, "role", roles[i], counts[i], 1);
}

static void write_leading(struct metric_writer *writer, const struct metrics *metrics)
{
    sample(writer, "", "", metrics->node.consensus.role == CONSENSUS_LEADER, 1);
}

static void write_leader_known(struct metric_writer *writer, const struct metrics *metrics)
{
    sample(writer, "", "", metrics->node.consensus.leader_id != 0, 1);
}

/* --- rows by peer --- */

/* A member's name, or 16 hex digits while none is known. */
static const char *peer_name(const struct service_status *node, uint64_t node_id, char text[17])
{
    for (uint32_t i = 0; i < node->member_count; i++)
        if (node->members[i].node_id == node_id && node->members[i].name[0] != '\0')
            return node->members[i].name;
    uint8_t id[8];
    put_u64(id, node_id);
    hex_encode(id, sizeof(id), text);
    return text;
}

static void write_by_peer(struct metric_writer *writer, const struct metrics *metrics, size_t offset)
{
    const struct service_counts *counts = &metrics->node.counts;
    for (uint32_t i = 0; i < counts->traffic_count; i++) {
        char text[17];
        uint64_t value;
        memcpy(&value, (const char *)&counts->traffic[i] + offset, sizeof(value));
        sample_with(writer, "peer", peer_name(&metrics->node, counts->traffic[i].node_id, text), value, 1);
    }
}

#define BY_PEER(field)                                                                                       \
    static void write_##field(struct metric_writer *writer, const struct metrics *metrics)                   \
    {                                                                                                        \
        write_by_peer(writer, metrics, offsetof(struct consensus_traffic, field));                           \
    }
BY_PEER(sent_frames)
BY_PEER(sent_bytes)
BY_PEER(received_frames)
BY_PEER(received_bytes)
BY_PEER(dropped_frames)
BY_PEER(connects)
BY_PEER(queued_bytes)

static void write_each_peer(struct metric_writer *writer, const struct metrics *metrics,
                            void (*write)(struct metric_writer *writer, const char *name,
                                          const struct consensus_member *member))
{
    const struct consensus_status *status = &metrics->node.consensus;
    for (uint32_t i = 0; i < status->member_count; i++) {
        char text[17];
        if (status->members[i].node_id != status->node_id)
            write(writer, peer_name(&metrics->node, status->members[i].node_id, text), &status->members[i]);
    }
}

static void connected(struct metric_writer *writer, const char *name, const struct consensus_member *member)
{
    sample_with(writer, "peer", name, member->connected, 1);
}

static void write_connected(struct metric_writer *writer, const struct metrics *metrics)
{
    write_each_peer(writer, metrics, connected);
}

static void heard(struct metric_writer *writer, const char *name, const struct consensus_member *member)
{
    if (member->heard_ms != UINT64_MAX)
        sample_with(writer, "peer", name, member->heard_ms, 1000);
}

static void write_heard(struct metric_writer *writer, const struct metrics *metrics)
{
    write_each_peer(writer, metrics, heard);
}

static void match(struct metric_writer *writer, const char *name, const struct consensus_member *member)
{
    if (member->match_index != 0)
        sample_with(writer, "peer", name, member->match_index, 1);
}

static void write_match(struct metric_writer *writer, const struct metrics *metrics)
{
    write_each_peer(writer, metrics, match);
}

/* --- the table --- */

#define FIELD(how, field)  .read = (how), .offset = offsetof(struct metrics, field), .source = #field
#define BY(function, from) .read = READ_WRITE, .write = (function), .source = (from)
#define COUNTER(metric_name, metric_unit, metric_labels, text, ...)                                          \
    {                                                                                                        \
        .name = "autonomy_" metric_name, .type = METRIC_COUNTER, .unit = (metric_unit),                      \
        .labels = (metric_labels), .help = (text), __VA_ARGS__                                               \
    }
#define GAUGE(metric_name, metric_unit, metric_labels, text, ...)                                            \
    {                                                                                                        \
        .name = "autonomy_" metric_name, .type = METRIC_GAUGE, .unit = (metric_unit),                        \
        .labels = (metric_labels), .help = (text), __VA_ARGS__                                               \
    }
#define HISTOGRAM(metric_name, metric_unit, metric_labels, text, ...)                                        \
    {                                                                                                        \
        .name = "autonomy_" metric_name, .type = METRIC_HISTOGRAM, .unit = (metric_unit),                    \
        .labels = (metric_labels), .help = (text), __VA_ARGS__                                               \
    }

static const struct metric table[] = {
    GAUGE("build_info", "", "version commit level schema", "What this node was built from; always 1.",
          BY(write_build, "service_version()")),
    GAUGE("start_time_seconds", "seconds", "", "When this node started, since 1970.",
          FIELD(READ_MS, node.started_wall_ms)),

    COUNTER("http_requests_total", "", "method route code",
            "Requests that ended, by route template and status; aborted: the client did not stay.",
            BY(write_requests, "http.routes")),
    HISTOGRAM("http_request_duration_seconds", "seconds", "kind",
              "From a request's headers to the end of its answer, by kind of route.",
              BY(write_durations, "http.duration_us")),
    GAUGE("http_requests_in_flight", "", "", "Requests begun and not yet answered whole.",
          FIELD(READ_U64, http.in_flight)),
    COUNTER("http_connections_cut_total", "", "", "Connections cut because their client was slow.",
            FIELD(READ_U64, http.cut)),

    COUNTER("changes_total", "", "outcome",
            "Changes asked of this node, also those that other nodes sent on, by how they ended.",
            BY(write_changes, "node.counts.changes")),
    GAUGE("changes_waiting", "", "", "Changes that wait for a leader, the log, another node or the mirror.",
          FIELD(READ_U32, node.counts.changes_waiting)),
    GAUGE("mailbox_items", "", "", "Work that HTTP threads have left for the loop thread.",
          FIELD(READ_U32, node.counts.mailbox_waiting)),
    COUNTER("proposals_total", "", "", "Commands that this node took for the log as the leader.",
            FIELD(READ_U64, node.consensus.proposals_total)),
    GAUGE("proposals_waiting", "", "", "Commands that wait for submission or commit.",
          FIELD(READ_U64, node.consensus.proposals_waiting)),
    GAUGE("readers_waiting", "", "", "Reads that wait for leadership to be confirmed, or for an index.",
          FIELD(READ_U64, node.consensus.readers_waiting)),
    HISTOGRAM("group_commands", "", "", "Commands submitted to the log together.",
              FIELD(READ_SIZES, node.consensus.group_entries)),
    HISTOGRAM("log_sync_duration_seconds", "seconds", "", "One write and sync of the log.",
              FIELD(READ_TIMES, node.consensus.sync_us)),
    GAUGE("log_sync_duration_max_seconds", "seconds", "", "The longest write and sync since the start.",
          FIELD(READ_US, node.consensus.sync_us_max)),
    HISTOGRAM("apply_duration_seconds", "seconds", "",
              "One group of committed commands applied to the state.",
              FIELD(READ_TIMES, node.counts.apply_us)),
    HISTOGRAM("loop_turn_duration_seconds", "seconds", "", "One turn of the loop thread, waiting left out.",
              FIELD(READ_TIMES, node.counts.turn_us)),
    GAUGE("loop_turn_duration_max_seconds", "seconds", "", "The longest turn of the loop since the start.",
          FIELD(READ_US, node.counts.turn_us_max)),

    COUNTER("wire_sent_frames_total", "", "peer", "Frames sent to this member.",
            BY(write_sent_frames, "node.counts.traffic")),
    COUNTER("wire_sent_bytes_total", "bytes", "peer", "Bytes sent to this member.",
            BY(write_sent_bytes, "node.counts.traffic")),
    COUNTER("wire_received_frames_total", "", "peer", "Frames received from this member.",
            BY(write_received_frames, "node.counts.traffic")),
    COUNTER("wire_received_bytes_total", "bytes", "peer", "Bytes received from this member.",
            BY(write_received_bytes, "node.counts.traffic")),
    COUNTER("wire_dropped_frames_total", "", "peer",
            "Frames for this member that did not leave: its queue was full or its connection down.",
            BY(write_dropped_frames, "node.counts.traffic")),
    COUNTER("wire_connects_total", "", "peer", "Connections that this node opened to this member.",
            BY(write_connects, "node.counts.traffic")),
    GAUGE("wire_queued_bytes", "bytes", "peer", "Bytes that wait to be sent to this member.",
          BY(write_queued_bytes, "node.counts.traffic")),
    GAUGE("peer_connected", "", "peer", "1 while this member is in contact.",
          BY(write_connected, "node.consensus.members")),
    GAUGE("peer_heard_age_seconds", "seconds", "peer", "Since this member was last heard; absent: never.",
          BY(write_heard, "node.consensus.members")),
    GAUGE("peer_match_index", "", "peer", "On the leader: what this member is known to have in its log.",
          BY(write_match, "node.consensus.members")),

    GAUGE("leader", "", "", "1 on the node that leads.", BY(write_leading, "node.consensus.role")),
    GAUGE("leader_known", "", "", "1 while this node knows who leads.",
          BY(write_leader_known, "node.consensus.leader_id")),
    GAUGE("leader_ready", "", "", "1 on the leader once it has taken office.",
          FIELD(READ_BOOL, node.consensus.ready)),
    GAUGE("write_ready", "", "", "1 on the node that takes writes now.", FIELD(READ_BOOL, node.write_ready)),
    GAUGE("cluster_write_ready", "", "",
          "1 while a write sent here should succeed, as far as this node knows.",
          FIELD(READ_BOOL, node.cluster_write_ready)),
    COUNTER("elections_total", "", "", "Elections in which this node stood.",
            FIELD(READ_U64, node.consensus.elections)),
    GAUGE("term", "", "", "The current term.", FIELD(READ_U64, node.consensus.term)),
    GAUGE("quorum", "", "", "1 while this node is in contact with a majority of voters.",
          FIELD(READ_BOOL, node.consensus.quorum)),
    GAUGE("quorum_health", "", "state", "1 for the state that holds: healthy, degraded or lost.",
          BY(write_quorum_health, "node.quorum_health")),
    COUNTER("quorum_losses_total", "", "", "Times that contact with a majority was lost.",
            FIELD(READ_U64, node.detected_loss_count)),
    GAUGE("members", "", "role", "Members of the cluster, as this node knows it.",
          BY(write_members, "node.consensus.members")),
    GAUGE("sync_replicas", "", "", "Voters beside the leader that are in contact and close behind.",
          FIELD(READ_U32, node.sync_replica_count)),
    GAUGE("write_lag_seconds", "seconds", "",
          "How far the best successor's log is behind (on a follower: its own); absent: unknown.",
          FIELD(READ_MS, node.write_lag_ms)),
    GAUGE("replay_lag_seconds", "seconds", "", "The same for what is committed; absent: unknown.",
          FIELD(READ_MS, node.replay_lag_ms)),

    GAUGE("commit_index", "", "", "The last entry known to be committed.",
          FIELD(READ_U64, node.consensus.commit_index)),
    GAUGE("applied_index", "", "", "The last entry applied to this node's state.",
          FIELD(READ_U64, node.consensus.applied_index)),
    GAUGE("last_index", "", "", "The last entry in this node's log.",
          FIELD(READ_U64, node.consensus.last_index)),
    GAUGE("durable_index", "", "", "The last entry that is synced to this node's disk.",
          FIELD(READ_U64, node.consensus.durable_index)),
    GAUGE("first_index", "", "", "The first entry that is still in this node's log.",
          FIELD(READ_U64, node.consensus.first_index)),
    GAUGE("snapshot_index", "", "", "The last entry that the snapshot covers.",
          FIELD(READ_U64, node.consensus.snapshot_index)),
    COUNTER("state_transfers_started_total", "", "", "State transfers that this node began to fetch.",
            FIELD(READ_U64, node.consensus.fetches_total)),
    COUNTER("state_transfers_total", "", "", "State transfers that this node took over.",
            FIELD(READ_U64, node.consensus.installs_total)),
    GAUGE("state_transfer_active", "", "", "1 while this node fetches another node's state.",
          FIELD(READ_BOOL, node.consensus.fetching)),
    GAUGE("state_lost", "", "", "1 while this node's state is older than its log.",
          FIELD(READ_BOOL, node.consensus.state_lost)),
    GAUGE("disk_full", "", "", "1 while writes are refused because the disk is full.",
          FIELD(READ_BOOL, node.consensus.disk_full)),

    GAUGE("audit_seq", "", "", "Records in the audit trail.", FIELD(READ_U64, node.audit_seq)),
    GAUGE("audit_mirror_seq", "", "", "Records in this node's audit folder.",
          FIELD(READ_U64, node.mirror_seq)),
    GAUGE("audit_mirror_failed", "", "", "1 while this node's audit folder can't be written.",
          FIELD(READ_BOOL, node.mirror_failed)),

    GAUGE("store_bytes", "bytes", "", "What the state takes on the disk.",
          FIELD(READ_U64, usage.store_bytes)),
    GAUGE("log_bytes", "bytes", "", "What the log takes on the disk.", FIELD(READ_U64, usage.log_bytes)),
    GAUGE("audit_mirror_bytes", "bytes", "", "What the audit folder takes on the disk.",
          FIELD(READ_U64, usage.mirror_bytes)),
    GAUGE("resident_memory_bytes", "bytes", "", "Resident memory of the process.",
          FIELD(READ_U64, usage.resident_bytes)),
    GAUGE("open_descriptors", "", "", "Open file descriptors of the process.",
          FIELD(READ_U64, usage.descriptors)),
    GAUGE("max_descriptors", "", "", "File descriptors that the process may have open.",
          FIELD(READ_U64, usage.descriptors_max)),
    COUNTER("cpu_seconds_total", "seconds", "", "Processor time of the process, user and system.",
            FIELD(READ_US, usage.cpu_us)),
};

const struct metric *metric_all(uint32_t *count)
{
    *count = sizeof(table) / sizeof(table[0]);
    return table;
}

const char *metric_type_name(enum metric_type type)
{
    return type == METRIC_COUNTER ? "counter" : type == METRIC_GAUGE ? "gauge" : "histogram";
}

/* --- the text --- */

static uint64_t number(const void *at, enum read read)
{
    uint64_t value = 0;
    uint32_t small;
    bool yes;
    if (read == READ_BOOL) {
        memcpy(&yes, at, sizeof(yes));
        value = yes;
    } else if (read == READ_U32) {
        memcpy(&small, at, sizeof(small));
        value = small;
    } else {
        memcpy(&value, at, sizeof(value));
    }
    return value;
}

static void write_metric(struct metric_writer *writer, const struct metrics *metrics)
{
    const struct metric *metric = writer->metric;
    const void *at = (const char *)metrics + metric->offset;
    enum read read = (enum read)metric->read;
    if (read == READ_WRITE) {
        metric->write(writer, metrics);
        return;
    }
    if (read == READ_TIMES || read == READ_SIZES) {
        histogram(writer, "", at, read == READ_SIZES ? 1 : 1000000);
        return;
    }
    uint64_t value = number(at, read);
    if (read == READ_MS && value == UINT64_MAX)
        return;
    sample(writer, "", "", value, read == READ_US ? 1000000 : read == READ_MS ? 1000 : 1);
}

void metrics_write(const struct metrics *metrics, struct bytes *out)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct metric_writer writer = {.metric = &table[i], .out = out};
        bytes_printf(out, "# HELP %s %s\n# TYPE %s %s\n", table[i].name, table[i].help, table[i].name,
                     metric_type_name(table[i].type));
        write_metric(&writer, metrics);
    }
}

void metrics_reference(struct bytes *out)
{
    bytes_append_text(out, "| name | type | unit | labels | what it says | source |\n"
                           "| --- | --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        bytes_printf(out, "| `%s` | %s | %s | %s | %s | `%s` |\n", table[i].name,
                     metric_type_name(table[i].type), table[i].unit, table[i].labels, table[i].help,
                     table[i].source);
}
