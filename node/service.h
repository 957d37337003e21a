/* What HTTP asks of the node. node/http/ includes this header and no other of node/; node.c, leader.c and
 * forward.c stand behind it.
 *
 * Threads: every function here may be called from any thread. A `done` runs on the loop thread, exactly once,
 * and must not block: it keeps the answer and wakes its connection. A call that returns an error will not
 * call `done`. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/histogram.h"
#include "consensus/consensus.h"
#include "fsm/fsm.h"

struct service;
struct json_t;

/** How a change ended. */
struct outcome {
    enum error_code error; /* ERROR_OK: applied, `code` says how. ERROR_UNKNOWN: retry with the same request
                            * id. ERROR_UNAVAILABLE: no leader, nothing happened. ERROR_BUSY, ERROR_NO_SPACE:
                            * nothing happened. ERROR_NOT_LEADER only for `forwarded` requests: the sender
                            * looks for the leader again */
    char message[ERROR_MESSAGE_BYTES]; /* with an error */
    uint32_t code;                     /* enum result_code */
    uint64_t index, term, audit_seq;
    bool repeated;
    struct span body; /* msgpack map; borrowed until `done` returns */
    /* between nodes (POST /v1/internal/change, confirm) it travels by outcome_encode() and outcome_decode()
     * of node/http/outcome.h */
    char leader_url[ADDRESS_BYTES_MAX]; /* "" when unknown */
};
typedef void service_done_fn(void *context, const struct outcome *outcome);

/** Commits one encoded command (command_encode(); the leader stamps the time), forwarding it to the leader
 * when another node leads, again under the same request id when that leader is lost, until the deadline.
 *
 * @param command    copied
 * @param deadline_ms  monotonic (the service's clock)
 * @param forwarded  it came from another node: never forward again
 * @return ERROR_BUSY: the mailbox is full (503 with Retry-After); ERROR_CLOSED */
enum error_code service_change(struct service *self, struct span command, uint64_t deadline_ms,
                               bool forwarded, service_done_fn *done, void *context,
                               struct error *error) MUST_USE;

/** Makes a read that follows linearizable: done (outcome.index) after leadership was confirmed by a majority
 * and this node has applied that far; then open a view. With `forwarded`: only the leader's part. */
enum error_code service_confirm(struct service *self, uint64_t deadline_ms, bool forwarded,
                                service_done_fn *done, void *context, struct error *error) MUST_USE;
/** Runs `done` when something newer than `index` is applied here, or at the deadline (outcome.index says how
 * far). */
enum error_code service_wait(struct service *self, uint64_t index, uint64_t deadline_ms,
                             service_done_fn *done, void *context, struct error *error) MUST_USE;

/** Runs `news` on the loop thread after each applied group, and after a state transfer, with the seq of the
 * newest audit record. It must not block. One subscriber at a time; NULL ends it. Only where no group is
 * being applied: on the loop thread, or while its loop doesn't run. */
typedef void service_news_fn(void *context, uint64_t audit_seq);
void service_subscribe(struct service *self, service_news_fn *news, void *context);

/** A view of what is applied here; ERROR_UNAVAILABLE while a state transfer switches stores or the node is
 * not in a cluster. */
enum error_code service_view(struct service *self, struct view **out, struct error *error) MUST_USE;
void service_view_close(struct service *self, struct view *view);

/** Larger acts that are more than one command; JSON in, JSON out, forwarded whole to the leader where needed.
 */
enum service_act {
    SERVICE_FAILOVER, /* POST /v1/ha/failover {reason, target_node?, rollback?}: rollback true when it came by
                       * rollback execute, so that a rollback.executed is left (HTTP takes that member from
                       * other nodes only) */
    SERVICE_MEMBER_JOIN, /* POST /v1/ha/members: the fields of member.add, already checked against its schema
                          */
    SERVICE_MEMBER_REMOVE, /* DELETE /v1/ha/members/{member} {member, reason} */
    SERVICE_ACT_COUNT
};
struct act_answer {
    uint32_t status; /* HTTP */
    struct json_t
        *json; /* object: the answer, or problem+json members {code, detail}; borrowed until `done` returns */
};
typedef void service_act_fn(void *context, const struct act_answer *answer);
enum error_code service_act(struct service *self, enum service_act act, const struct json_t *body,
                            const char *request_id, const char *principal, enum audit_source source,
                            uint64_t deadline_ms, bool forwarded, service_act_fn *done, void *context,
                            struct error *error) MUST_USE;

/** How the changes that were asked of this node ended, its own and those that other nodes sent on. */
enum service_change_end {
    CHANGE_APPLIED,
    CHANGE_REFUSED,     /* committed, and refused by the state: wrong phase, unknown plan */
    CHANGE_REPEATED,    /* done before under the same request id */
    CHANGE_UNKNOWN,     /* no answer in time; it may be in a log */
    CHANGE_UNAVAILABLE, /* no leader in time; nothing happened */
    CHANGE_BUSY,        /* a full queue or disk; nothing happened */
    CHANGE_FAILED,      /* anything else; nothing happened */
    CHANGE_END_COUNT
};

/** What the loop has counted since the start; for metrics. */
struct service_counts {
    uint64_t changes[CHANGE_END_COUNT];
    uint32_t changes_waiting, mailbox_waiting;
    struct histogram turn_us; /* of the loop */
    uint64_t turn_us_max;
    struct histogram apply_us; /* of a group */
    struct consensus_traffic traffic[NODES_MAX];
    uint32_t traffic_count;
};

/** This node's view of itself and of the cluster, as the loop last published it (at most 100 ms old, at once
 * on a change). */
struct service_status {
    struct consensus_status consensus;
    char name[NAME_BYTES_MAX + 1];        /* of this node */
    char leader_name[NAME_BYTES_MAX + 1]; /* "" unknown */
    char leader_url[ADDRESS_BYTES_MAX];
    char leader_acquired_at[32]; /* RFC 3339; "" unknown */
    struct {
        uint64_t node_id;
        char name[NAME_BYTES_MAX + 1];
        char url[ADDRESS_BYTES_MAX];
        char version[32];
    } members[NODES_MAX];
    uint32_t member_count;
    uint64_t monotonic_ms, wall_ms;       /* when this was taken */
    uint64_t write_lag_ms, replay_lag_ms; /* of the best possible successor; UINT64_MAX: unknown */
    uint32_t
        sync_replica_count;    /* voters other than the leader that are in contact and within the lag bound */
    const char *lag_status;    /* "ok", "warning", "critical" */
    const char *quorum_health; /* "healthy", "degraded", "lost" */
    const char *quorum_loss_reason;          /* "" while there is quorum; static text */
    uint64_t last_lost_ms, last_restored_ms; /* wall; 0: never */
    uint64_t detected_loss_count;
    bool write_ready;         /* this node leads and is ready, and may write */
    bool cluster_write_ready; /* a leader is known here, in contact with a quorum as far as this node can tell
                               */
    bool joined;
    bool stopping;
    uint8_t digest[DIGEST_BYTES]; /* at `digest_index` */
    uint64_t digest_index;
    uint64_t mirror_seq; /* audit records in this node's mirror folder */
    bool mirror_failed;
    char mirror_damage[256]; /* what was missing of it when the node started; "": nothing */
    uint64_t audit_seq;      /* audit records in the state */
    uint64_t started_wall_ms;
    const char *data_dir; /* lives as long as the service; NULL: none */
    struct service_counts counts;
};
void service_status(struct service *self, struct service_status *out);
uint64_t service_now_ms(struct service *self); /* monotonic, for deadlines */
uint64_t service_wall_ms(struct service *self);

/* Checkpoints for state transfer: made on a worker, read by HTTP threads as files, deleted when unread for a
 * minute. */
enum error_code service_checkpoint(struct service *self, service_act_fn *done, void *context,
                                   struct error *error) MUST_USE;
/** Absolute path of one file of a checkpoint, checked against its manifest's names. */
enum error_code service_checkpoint_file(struct service *self, const char *checkpoint_id, const char *file,
                                        struct bytes *path, struct error *error) MUST_USE;

/* For logs and support bundles. */
const char *service_version(void); /* "0.1.0" */
const char *service_commit(void);  /* build identity; "unknown" outside a checkout */
/** The effective configuration as JSON, secrets replaced by "(redacted)". New reference. */
struct json_t *service_configuration(struct service *self);
