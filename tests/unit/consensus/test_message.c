/* Messages between nodes: what goes in comes out, and what can't be right is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/message.h"

#define INDEX_MAX   ((1ULL << 53) - 1)
#define ARENA_BYTES (128u * 1024u)

struct fixture {
    struct arena arena;
    struct bytes frame;
    struct error error;
    struct message decoded;
};

static int set_up(void **state)
{
    struct fixture *self = calloc(1, sizeof *self);
    arena_init(&self->arena, ARENA_BYTES);
    bytes_init(&self->frame, 0);
    *state = self;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *self = *state;
    arena_done(&self->arena);
    bytes_done(&self->frame);
    free(self);
    return 0;
}

static enum error_code round_trip(struct fixture *self, const struct message *message)
{
    arena_clear(&self->arena);
    bytes_clear(&self->frame);
    memset(&self->decoded, 0xa5, sizeof self->decoded);
    memset(&self->error, 0, sizeof self->error);
    message_encode(message, &self->frame);
    return message_decode(bytes_span(&self->frame), &self->arena, &self->decoded, &self->error);
}

static struct message append_of(struct entry *entries, uint32_t count)
{
    struct message message = {.kind = MESSAGE_APPEND, .term = 9, .wall_ms = 1700000000123};
    message.append.prev_index = 41;
    message.append.prev_term = 3;
    message.append.commit = 40;
    message.append.entries = entries;
    message.append.entry_count = count;
    return message;
}

static void assert_refused(struct fixture *self, const struct message *message, const char *reason)
{
    assert_int_equal(round_trip(self, message), ERROR_CORRUPT);
    if (strstr(self->error.message, reason) == NULL)
        fail_msg("\"%s\" doesn't say \"%s\"", self->error.message, reason);
}

/* Goal: every kind arrives with every field as it was sent, at the edges of each field's range too.
 * Method: one message a kind with distinct values, the largest ones where a width is limited. */
static void every_kind_arrives_as_it_was_sent(void **state)
{
    struct fixture *self = *state;
    struct message m = {.kind = MESSAGE_APPEND_RESULT, .term = INDEX_MAX, .wall_ms = 1};
    m.append_result.rejected = 7;
    m.append_result.last_index = INDEX_MAX;
    m.append_result.features = UINT16_MAX;
    m.append_result.capacity = 3;
    assert_int_equal(round_trip(self, &m), ERROR_OK);
    assert_int_equal(self->decoded.kind, MESSAGE_APPEND_RESULT);
    assert_int_equal(self->decoded.from, 0);
    assert_int_equal(self->decoded.term, INDEX_MAX);
    assert_int_equal(self->decoded.wall_ms, 1);
    assert_memory_equal(&self->decoded.append_result, &m.append_result, sizeof m.append_result);

    m = (struct message){.kind = MESSAGE_VOTE, .term = 5, .wall_ms = 2};
    m.vote.candidate = INDEX_MAX;
    m.vote.last_index = 12;
    m.vote.last_term = 4;
    m.vote.disrupt_leader = true;
    assert_int_equal(round_trip(self, &m), ERROR_OK);
    assert_int_equal(self->decoded.vote.candidate, INDEX_MAX);
    assert_int_equal(self->decoded.vote.last_index, 12);
    assert_int_equal(self->decoded.vote.last_term, 4);
    assert_true(self->decoded.vote.disrupt_leader);
    assert_false(self->decoded.vote.pre_vote);

    m = (struct message){.kind = MESSAGE_VOTE_RESULT, .term = 5};
    m.vote_result.granted = true;
    m.vote_result.pre_vote = true;
    m.vote_result.features = 1;
    m.vote_result.capacity = UINT16_MAX;
    assert_int_equal(round_trip(self, &m), ERROR_OK);
    assert_true(self->decoded.vote_result.granted);
    assert_true(self->decoded.vote_result.pre_vote);
    assert_int_equal(self->decoded.vote_result.features, 1);
    assert_int_equal(self->decoded.vote_result.capacity, UINT16_MAX);
}

/* Goal: the small kinds carry their numbers.
 * Method: as above. */
static void small_kinds_arrive_as_they_were_sent(void **state)
{
    struct fixture *self = *state;
    struct message m = {.kind = MESSAGE_TIMEOUT_NOW, .term = 6};
    m.timeout_now.last_index = 100;
    m.timeout_now.last_term = 6;
    assert_int_equal(round_trip(self, &m), ERROR_OK);
    assert_int_equal(self->decoded.timeout_now.last_index, 100);
    assert_int_equal(self->decoded.timeout_now.last_term, 6);

    m = (struct message){.kind = MESSAGE_SNAPSHOT_NEEDED, .term = 6};
    m.snapshot_needed.last_index = 8192;
    m.snapshot_needed.last_term = 2;
    assert_int_equal(round_trip(self, &m), ERROR_OK);
    assert_int_equal(self->decoded.snapshot_needed.last_index, 8192);
    assert_int_equal(self->decoded.snapshot_needed.last_term, 2);

    m = (struct message){.kind = MESSAGE_CONFIRM, .term = 6};
    m.confirm.round = 77;
    assert_int_equal(round_trip(self, &m), ERROR_OK);
    assert_int_equal(self->decoded.confirm.round, 77);
    m = (struct message){.kind = MESSAGE_CONFIRM_RESULT, .term = 0};
    m.confirm_result.round = 78;
    assert_int_equal(round_trip(self, &m), ERROR_OK);
    assert_int_equal(self->decoded.kind, MESSAGE_CONFIRM_RESULT);
    assert_int_equal(self->decoded.confirm_result.round, 78);
}

/* Goal: the largest group arrives whole, numbered from prev_index + 1, its data not copied.
 * Method: 1,024 entries of 1 KiB: 1 MiB; every data pointer must lie inside of the frame. */
static void largest_group_is_borrowed_from_the_frame(void **state)
{
    struct fixture *self = *state;
    static uint8_t data[GROUP_BYTES_MAX];
    static struct entry entries[GROUP_COMMANDS_MAX];
    const size_t each = GROUP_BYTES_MAX / GROUP_COMMANDS_MAX;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 31 + i / each);
    for (uint32_t i = 0; i < GROUP_COMMANDS_MAX; i++)
        entries[i] =
            (struct entry){.term = i < 500 ? 3 : 9, .type = ENTRY_COMMAND, .data = {data + i * each, each}};
    const struct message message = append_of(entries, GROUP_COMMANDS_MAX);

    assert_int_equal(round_trip(self, &message), ERROR_OK);
    assert_true(self->frame.length < FRAME_BYTES_MAX);
    assert_true(self->arena.used <= 64u * 1024u);
    assert_int_equal(self->decoded.append.entry_count, GROUP_COMMANDS_MAX);
    for (uint32_t i = 0; i < GROUP_COMMANDS_MAX; i++) {
        const struct entry *entry = &self->decoded.append.entries[i];
        const uint8_t *at = entry->data.data;
        assert_int_equal(entry->index, 42 + i);
        assert_int_equal(entry->term, i < 500 ? 3 : 9);
        assert_int_equal(entry->type, ENTRY_COMMAND);
        assert_int_equal(entry->data.bytes, each);
        assert_memory_equal(at, data + i * each, each);
        assert_true(at > self->frame.data && at + each <= self->frame.data + self->frame.length);
    }
}

/* Goal: a heartbeat, a barrier without data and a configuration pass; so does a log's very first entry.
 * Method: appends of 0 and 3 entries; prev_index 0 with prev_term 0. */
static void heartbeats_barriers_and_changes_pass(void **state)
{
    struct fixture *self = *state;
    struct message message = append_of(NULL, 0);
    assert_int_equal(round_trip(self, &message), ERROR_OK);
    assert_int_equal(self->decoded.append.entry_count, 0);
    assert_int_equal(self->decoded.append.prev_index, 41);
    assert_int_equal(self->decoded.append.prev_term, 3);
    assert_int_equal(self->decoded.append.commit, 40);

    struct entry entries[] = {{.term = 1, .type = ENTRY_CHANGE, .data = {"conf", 4}},
                              {.term = 1, .type = ENTRY_BARRIER},
                              {.term = 9, .type = ENTRY_COMMAND, .data = {"x", 1}}};
    message = append_of(entries, 3);
    message.append.prev_index = 0;
    message.append.prev_term = 0;
    assert_int_equal(round_trip(self, &message), ERROR_OK);
    assert_int_equal(self->decoded.append.entries[0].index, 1);
    assert_int_equal(self->decoded.append.entries[0].type, ENTRY_CHANGE);
    assert_int_equal(self->decoded.append.entries[1].type, ENTRY_BARRIER);
    assert_int_equal(self->decoded.append.entries[1].data.bytes, 0);
    assert_int_equal(self->decoded.append.entries[2].index, 3);
}

/* Goal: terms that Raft never sends are refused, each with its reason.
 * Method: one wrong term at a time in an otherwise good append. */
static void impossible_terms_are_refused(void **state)
{
    struct fixture *self = *state;
    struct entry entry = {.term = 9, .type = ENTRY_COMMAND, .data = {"x", 1}};
    struct message message = append_of(&entry, 1);
    assert_int_equal(round_trip(self, &message), ERROR_OK);

    message.term = 0;
    assert_refused(self, &message, "append.term: 0 is not within 1 ..");
    message = append_of(&entry, 1);
    entry.term = 0;
    assert_refused(self, &message, "append.entries[0].term: 0 is not within 1 ..");
    entry.term = 2;
    assert_refused(self, &message, "append.entries[0]: term 2 is not within 3 .. 9");
    entry.term = 10;
    assert_refused(self, &message, "append.entries[0]: term 10 is not within 3 .. 9");
    entry.term = 9;
    message.append.prev_term = 0;
    assert_refused(self, &message, "index 41 can't have term 0");
    message.append.prev_index = 0;
    message.append.prev_term = 1;
    assert_refused(self, &message, "index 0 can't have term 1");
}

/* Goal: requests of term 0 are refused for every kind that isn't an answer.
 * Method: the smallest message of each. */
static void requests_of_term_zero_are_refused(void **state)
{
    struct fixture *self = *state;
    const enum message_kind kinds[] = {MESSAGE_APPEND, MESSAGE_VOTE, MESSAGE_TIMEOUT_NOW,
                                       MESSAGE_SNAPSHOT_NEEDED, MESSAGE_CONFIRM};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct message message = {.kind = kinds[i], .term = 0};
        assert_refused(self, &message, ".term: 0 is not within 1 ..");
    }
}

/* Goal: indexes that would pass the last one, unknown entry types and too long data are refused.
 * Method: one at a time. */
static void impossible_entries_are_refused(void **state)
{
    struct fixture *self = *state;
    struct entry entries[] = {{.term = 9, .type = ENTRY_COMMAND, .data = {"x", 1}},
                              {.term = 9, .type = ENTRY_COMMAND, .data = {"y", 1}}};
    struct message message = append_of(entries, 2);
    message.append.prev_index = INDEX_MAX - 2;
    assert_int_equal(round_trip(self, &message), ERROR_OK);
    message.append.prev_index = INDEX_MAX - 1;
    assert_refused(self, &message, "pass the last index");
    message.append.prev_index = UINT64_MAX - 1;
    assert_refused(self, &message, "append.prev_index");

    message = append_of(entries, 2);
    const unsigned types[] = {0, 4, 255};
    for (size_t i = 0; i < 3; i++) {
        entries[1].type = (enum entry_type)types[i];
        assert_refused(self, &message, "append.entries[1].type");
    }
    entries[1].type = ENTRY_COMMAND;
    uint8_t *long_data = calloc(1, MESSAGE_ENTRY_BYTES_MAX + 1);
    entries[1].data = span_of(long_data, MESSAGE_ENTRY_BYTES_MAX);
    assert_int_equal(round_trip(self, &message), ERROR_OK);
    entries[1].data.bytes++;
    assert_refused(self, &message, "append.entries[1].data: 69633 bytes is not within 0 .. 69632");
    free(long_data);
}

/* Goal: bytes that are no message of ours are refused before any table is used.
 * Method: empty, not an array, kinds 0 and past the last, a field too many, a byte too many. */
static void other_bytes_are_refused(void **state)
{
    struct fixture *self = *state;
    const struct {
        const char *bytes;
        size_t length;
        const char *reason;
    } cases[] = {
        {"", 0, "no message"},
        {"\x07", 1, "no message"},
        {"\x90", 1, "no message"},
        {"\x93\x00\x01\x01", 4, "kind 0 are unknown"},
        {"\x93\x09\x01\x01", 4, "kind 9 are unknown"},
        {"\x94\x07\x01\x01\x05\x00", 6, "1 bytes follow"},
        {"\x95\x07\x01\x01\x05\x00", 6, "newer version"},
        {"\x93\x07\x01\x01", 4, "confirm.round: missing"},
        {"\x94\x07\x01\x01\xff", 5, "confirm.round: bytes of another type"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(message_decode(span_of(cases[i].bytes, cases[i].length), &self->arena,
                                        &self->decoded, &self->error),
                         ERROR_CORRUPT);
        if (strstr(self->error.message, cases[i].reason) == NULL)
            fail_msg("case %zu: \"%s\" doesn't say \"%s\"", i, self->error.message, cases[i].reason);
    }
}

/* Goal: a frame past the wire's bound is no message, whatever stands in it.
 * Method: a good head and 2 MiB behind it. */
static void overlong_frames_are_refused(void **state)
{
    struct fixture *self = *state;
    uint8_t *frame = calloc(1, FRAME_BYTES_MAX + 1);
    memcpy(frame, "\x94\x07\x01\x01", 4);
    assert_int_equal(
        message_decode(span_of(frame, FRAME_BYTES_MAX + 1), &self->arena, &self->decoded, &self->error),
        ERROR_CORRUPT);
    assert_non_null(strstr(self->error.message, "longer than 2097152"));
    free(frame);
}

/* Goal: a list whose count claims more than there is, or more than a group holds, makes nothing be allocated.
 * Method: an append with an array head of 2^32 - 1 and of 1,025 entries; an arena that aborts past 64 bytes.
 */
static void claimed_counts_are_not_believed(void **state)
{
    struct fixture *self = *state;
    struct arena small;
    arena_init(&small, 64);
    const uint8_t huge[] = {0x97, 1, 9, 0, 41, 3, 40, 0xdd, 0xff, 0xff, 0xff, 0xff};
    assert_int_equal(message_decode(span_of(huge, sizeof huge), &small, &self->decoded, &self->error),
                     ERROR_CORRUPT);

    uint8_t many[8 + 2 + 1025] = {0x97, 1, 9, 0, 41, 3, 40, 0xdc, 0x04, 0x01};
    assert_int_equal(message_decode(span_of(many, sizeof many), &small, &self->decoded, &self->error),
                     ERROR_CORRUPT);
    assert_non_null(strstr(self->error.message, "1025 elements is not within 0 .. 1024"));
    assert_int_equal(small.used, 0);
    arena_done(&small);
}

/* Goal: a message cut anywhere is refused; a changed byte is refused or read, never worse.
 * Method: every prefix and every byte flipped eight ways, on copies of the exact size (ASan sees an
 * over-read). */
static void cut_and_changed_messages_do_no_harm(void **state)
{
    struct fixture *self = *state;
    struct entry entries[] = {{.term = 3, .type = ENTRY_CHANGE, .data = {"configuration", 13}},
                              {.term = 9, .type = ENTRY_COMMAND, .data = {"command", 7}}};
    const struct message message = append_of(entries, 2);
    assert_int_equal(round_trip(self, &message), ERROR_OK);
    const size_t length = self->frame.length;
    unsigned refused = 0;
    for (size_t cut = 0; cut < length; cut++) {
        uint8_t *copy = malloc(cut + (cut == 0));
        memcpy(copy, self->frame.data, cut);
        assert_int_equal(message_decode(span_of(copy, cut), &self->arena, &self->decoded, &self->error),
                         ERROR_CORRUPT);
        assert_true(self->error.message[0] != '\0');
        free(copy);
    }
    for (size_t i = 0; i < length * 8; i++) {
        uint8_t *copy = malloc(length);
        memcpy(copy, self->frame.data, length);
        copy[i / 8] ^= (uint8_t)(1u << i % 8);
        arena_clear(&self->arena);
        refused +=
            message_decode(span_of(copy, length), &self->arena, &self->decoded, &self->error) != ERROR_OK;
        free(copy);
    }
    assert_in_range(refused, length, length * 8 - 1);
}

/* Goal: kinds have names for logs, and nothing else has.
 * Method: the first, the last, and both neighbours. */
static void kinds_have_names(void **state)
{
    (void)state;
    assert_string_equal(message_kind_name(MESSAGE_APPEND), "append");
    assert_string_equal(message_kind_name(MESSAGE_CONFIRM_RESULT), "confirm_result");
    assert_string_equal(message_kind_name((enum message_kind)0), "unknown");
    assert_string_equal(message_kind_name(MESSAGE_KIND_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_kind_arrives_as_it_was_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(small_kinds_arrive_as_they_were_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(largest_group_is_borrowed_from_the_frame, set_up, tear_down),
        cmocka_unit_test_setup_teardown(heartbeats_barriers_and_changes_pass, set_up, tear_down),
        cmocka_unit_test_setup_teardown(impossible_terms_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(requests_of_term_zero_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(impossible_entries_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_bytes_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(overlong_frames_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(claimed_counts_are_not_believed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cut_and_changed_messages_do_no_harm, set_up, tear_down),
        cmocka_unit_test(kinds_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
