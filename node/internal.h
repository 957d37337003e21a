/* What the files behind service.h share. Everything in it belongs to the loop thread, except what says
 * otherwise.
 *
 *   service.c   entry points: any thread -> mailbox -> loop           node.c    start and stop order
 *   change.c    one change: propose, forward, wait for apply, mirror  confirm.c  read confirmations and waits
 *   act.c       failover, join: dispatch and forwarding               status.c  what the loop publishes
 *   flush.c     bounds what a start after kill -9 has to apply again
 *   answer.c    feeds the audit mirror, holds answers until it has their record */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/clock.h"
#include "base/worker.h"
#include "consensus/consensus.h"
#include "fsm/fsm.h"
#include "node/client.h"
#include "node/config.h"
#include "node/mailbox.h"
#include "node/mirror.h"
#include "node/segments.h"
#include "node/service.h"
#include "node/state.h"

struct json_t;
struct leader;
struct joining;
struct quorum_watch;
struct transfer;
struct checkpoints;

#define MAILBOX_ITEMS 16384u /* the HTTP server's connections bound it before */
#define CHANGES_MAX   16384u /* changes that wait for a leader, the log, another node or the mirror */
#define CONFIRMS_MAX  16384u
#define SWEEP_MS                                                                                             \
    25u /* how late a deadline may be noticed, and how often a lost leader is looked for again               \
         */
#define PUBLISH_MS         100u
#define RETRY_MS           40u /* between two attempts at the same leader */
#define INTERNAL_BODY_MAX  (2u * 1024u * 1024u + 65536u)
#define SYSTEM_DEADLINE_MS 5000u

/** Work for the loop thread: the first member of everything that goes through the mailbox. */
struct work {
    void (*run)(struct work *work);
};

/** Members of a doubly linked list. */
struct link {
    struct link *next, *previous;
};
static inline void link_init(struct link *head)
{
    head->next = head->previous = head;
}
static inline void link_append(struct link *head, struct link *item)
{
    item->previous = head->previous;
    item->next = head;
    head->previous->next = item;
    head->previous = item;
}
static inline void link_remove(struct link *item)
{
    item->previous->next = item->next;
    item->next->previous = item->previous;
    item->next = item->previous = item;
}
static inline int link_is_empty(const struct link *head)
{
    return head->next == head;
}

struct service {
    const struct config *config;
    struct clock clock;
    uv_loop_t *loop;
    uint64_t started_wall_ms;
    char incarnation[33]; /* of this process; quorum reports and announcements carry it */

    struct mailbox *mailbox; /* any thread */
    uv_async_t wake;
    uv_timer_t consensus_timer, sweep_timer, publish_timer;
    uv_prepare_t prepare;
    uv_check_t check;

    struct consensus *consensus; /* NULL before open and after close */
    struct state *state;
    struct client *client;
    struct worker *store_worker; /* checkpoints */
    bool joined;                 /* consensus_start() has been called */
    bool stopping, consensus_closed;
    _Atomic bool failed; /* on_fatal was called: acknowledge nothing more */
    void (*on_fatal)(void *context, const struct error *error);
    void *fatal_context;

    struct consensus_status now; /* as of the last change or publication */
    uint32_t level;              /* committed: what commands are stamped with */
    uint64_t applied_index, audit_seq;
    struct service_counts counts; /* what isn't counted elsewhere: change ends and turns */
    service_news_fn *news;        /* who is told of audit records; NULL: nobody */
    void *news_context;

    struct link changes, confirms, waits; /* all that wait, oldest first */
    uint32_t change_count, confirm_count, wait_count;
    struct link round_waiting, round_asked; /* confirms of a follower: before and in the question under way */
    struct client_call *round_call;

    struct { /* answer.c */
        struct worker *worker;
        struct mirror *mirror; /* the worker's while a job is under way */
        struct worker_job job;
        bool busy, failed, failed_now;
        uint64_t seq; /* as of the last finished job */
        uint64_t retry_at_ms;
        struct bytes queue, taken;        /* records: each behind its length; the loop's, the job's */
        uint64_t queue_first, queue_last; /* their seqs */
        uint64_t taken_first;
        uint64_t first_seq, tidy_seq;      /* where the trail begins; up to where pruned segments are gone */
        uint32_t job_records;              /* that the job under way has appended */
        bool checked, checked_now;         /* it was looked for missing segments */
        bool abreast;                      /* the state is as far as the folder */
        char damage[256], damage_now[256]; /* what is missing; "" nothing */
        struct link waiting;               /* changes */
        char message[ERROR_MESSAGE_BYTES];
    } audit;

    struct { /* flush.c */
        struct worker_job job;
        bool busy;
        uint64_t index, at_ms; /* flushed up to, and when */
    } flush;

    struct leader *leader;
    struct joining *joining;
    struct quorum_watch *quorum;
    struct transfer *transfer;
    struct checkpoints *checkpoints;
    struct link acts;
    uint32_t act_count;

    struct { /* members as recorded, read when the applied state moved */
        uint64_t index;
        uint32_t count;
        struct {
            uint64_t node_id;
            uint32_t role;
            bool removed;
            char name[NAME_BYTES_MAX + 1], url[ADDRESS_BYTES_MAX], address[ADDRESS_BYTES_MAX], version[32];
        } rows[4 * NODES_MAX];
    } members;
    struct { /* status.c: last_index by time, for the lag of followers */
        struct {
            uint64_t at_ms, last_index, commit_index;
        } samples[256];
        uint32_t next, count;
        uint64_t term, index; /* of the last epoch in the state, as of that index */
        char acquired_at[32];
        uint64_t last_lost_ms, last_restored_ms, losses;
        bool had_quorum;
    } history;

    pthread_mutex_t published_lock;
    struct service_status published; /* any thread, under the lock */
    struct json_t *configuration;    /* made at start, never changed: any thread */
};

uint64_t now_ms(const struct service *self);

/* service.c */
void service_drain(struct service *self); /* runs what the mailbox holds */
void service_on_change(void *context);    /* consensus: role, leader, term or readiness changed */
void service_on_applied(void *context, uint64_t index, uint64_t audit_seq, const struct fsm_records *records);
void service_sweep(struct service *self);
/** Answers everything that waits: ERROR_UNKNOWN for what may be in a log, else ERROR_UNAVAILABLE. */
void service_answer_all(struct service *self);
bool service_is_idle(const struct service *self);

/* change.c: loop thread */
void change_start(struct service *self, struct span command, uint64_t deadline_ms, bool forwarded,
                  service_done_fn *done, void *context);
void changes_advance(struct service *self); /* the leader may be another one now */
void changes_sweep(struct service *self, bool all);
void changes_mirrored(struct service *self); /* the mirror has moved, or gave up for now */
/** A change by the node itself: made from JSON, at most SYSTEM_DEADLINE_MS. @param body  taken over */
void change_by_node(struct service *self, const char *name, const char *request_id, const char *principal,
                    struct json_t *body, service_done_fn *done, void *context);
/** The same on behalf of somebody: `source` is what it came through. */
void change_from(struct service *self, const char *name, enum audit_source source, const char *request_id,
                 const char *principal, struct json_t *body, service_done_fn *done, void *context);

/* confirm.c: loop thread */
void confirm_start(struct service *self, uint64_t deadline_ms, bool forwarded, service_done_fn *done,
                   void *context);
void wait_start(struct service *self, uint64_t index, uint64_t deadline_ms, service_done_fn *done,
                void *context);
void confirms_advance(struct service *self);
void confirms_sweep(struct service *self, bool all);

/* answer.c */
enum error_code audit_open(struct service *self, struct error *error) MUST_USE;
/** Keeps what apply left for the mirror. @param records  NULL: the state was replaced */
void audit_gather(struct service *self, const struct fsm_records *records);
bool audit_is_behind(const struct service *self); /* so that changes don't wait for it */
void audit_pump(struct service *self);            /* starts a job when there is something to write */
void audit_close(struct service *self);

/* flush.c */
void flush_sometimes(struct service *self);

/* act.c */
void acts_advance(struct service *self);
void acts_sweep(struct service *self, bool all);

/* status.c */
void status_refresh(struct service *self); /* self->now and the member table */
void status_publish(struct service *self);
/** Base URL of a node, from its record; "" when unknown. */
const char *member_url(const struct service *self, uint64_t node_id);
const char *member_name(const struct service *self, uint64_t node_id);
bool leads(const struct service *self); /* and is ready */
bool leader_is_ready(
    const struct service *self); /* a leader is known, and its first command is applied here */
/** URL of the leader when it is another node that is known and has a record; else NULL. */
const char *leader_elsewhere(const struct service *self);
