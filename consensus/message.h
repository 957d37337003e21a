/* What nodes say to each other, as our own structs: the wire decodes bytes into them before libraft sees
 * anything.
 *
 * One msgpack array per message: [kind, term, wall_ms, ...]. Decoding is bounded (entries, bytes, addresses)
 * and never trusts a count: it is fuzzed. Nothing here includes raft.h; engine.c maps these to libraft's own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/entry.h"
#include "base/error.h"
#include "base/limits.h"

enum message_kind {
    MESSAGE_APPEND = 1, /* AppendEntries (Raft figure 3.1), also the heartbeat */
    MESSAGE_APPEND_RESULT,
    MESSAGE_VOTE, /* RequestVote and pre-vote */
    MESSAGE_VOTE_RESULT,
    MESSAGE_TIMEOUT_NOW,     /* leadership transfer */
    MESSAGE_SNAPSHOT_NEEDED, /* the leader's log no longer reaches back to you: fetch a checkpoint */
    MESSAGE_CONFIRM,         /* do you still follow me in this term? (read confirmation) */
    MESSAGE_CONFIRM_RESULT,
    MESSAGE_KIND_COUNT
};

struct message {
    enum message_kind kind;
    uint64_t from;    /* node id, set by the receiver from the handshake, never read from the frame */
    uint64_t term;    /* sender's current term */
    uint64_t wall_ms; /* sender's wall clock when it was sent */
    union {
        struct {
            uint64_t prev_index, prev_term, commit;
            struct entry *entries; /* consecutive from prev_index + 1; data borrowed from the frame */
            uint32_t entry_count;
        } append;
        struct {
            uint64_t rejected; /* 0: accepted */
            uint64_t last_index;
            uint16_t features, capacity;
        } append_result;
        struct {
            uint64_t candidate, last_index, last_term;
            bool disrupt_leader, pre_vote;
        } vote;
        struct {
            bool granted, pre_vote;
            uint16_t features, capacity;
        } vote_result;
        struct {
            uint64_t last_index, last_term;
        } timeout_now;
        struct {
            uint64_t last_index, last_term; /* the sender's snapshot */
        } snapshot_needed;
        struct {
            uint64_t round; /* numbers the question; comes back in the answer */
        } confirm, confirm_result;
    };
};

/** One entry's data: a command, or a configuration, which is small. */
#define MESSAGE_ENTRY_BYTES_MAX (COMMAND_BYTES_MAX + 4096u)

/** Appends the encoded message. An append of more than GROUP_COMMANDS_MAX entries or past FRAME_BYTES_MAX is
 * the caller's mistake: split it first (GROUP_BYTES_MAX of data always fits). */
void message_encode(const struct message *message, struct bytes *out);
/** Refused: unknown kinds, a request of term 0, entries whose terms fall or pass the sender's, an index past
 * 2^53 - 1.
 *
 * @param out  entries live in the arena (at most 64 KiB of it), their data in `frame`; `from` is 0
 * @return ERROR_CORRUPT with a reason */
enum error_code message_decode(struct span frame, struct arena *arena, struct message *out,
                               struct error *error) MUST_USE;
const char *message_kind_name(enum message_kind kind);
