/* Whatever comes as a message is refused, or is one that goes out again as it came in. */
#include "consensus/message.h"
#include "fuzz/fuzz.h"

static void check_append(const struct message *message)
{
    uint64_t term = message->append.prev_term;
    CHECK(message->append.entry_count <= GROUP_COMMANDS_MAX, "%u entries", message->append.entry_count);
    for (uint32_t i = 0; i < message->append.entry_count; i++) {
        const struct entry *entry = &message->append.entries[i];
        CHECK(entry->index == message->append.prev_index + 1 + i, "entry %u has another index", i);
        CHECK(entry->term >= term && entry->term <= message->term, "entry %u has an impossible term", i);
        CHECK(entry->type >= ENTRY_COMMAND && entry->type <= ENTRY_CHANGE, "entry %u has type %d", i,
              (int)entry->type);
        CHECK(entry->data.bytes <= MESSAGE_ENTRY_BYTES_MAX, "entry %u has %zu bytes", i, entry->data.bytes);
        term = entry->term;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct arena arena;
    struct error error = {0};
    struct message message, again;
    struct bytes first, second;
    arena_init(&arena, 128u * 1024u);
    bytes_init(&first, 0);
    bytes_init(&second, 0);
    const enum error_code code = message_decode(span_of(data, length), &arena, &message, &error);
    if (code != ERROR_OK) {
        check_error(&error, code);
    } else {
        CHECK(arena.used <= 64u * 1024u, "%zu bytes of memory", arena.used);
        if (message.kind == MESSAGE_APPEND)
            check_append(&message);
        message_encode(&message, &first);
        CHECK(message_decode(bytes_span(&first), &arena, &again, &error) == ERROR_OK, "%s", error.message);
        message_encode(&again, &second);
        CHECK(span_equal(bytes_span(&first), bytes_span(&second)), "a message changes on its way");
    }
    bytes_done(&first);
    bytes_done(&second);
    arena_done(&arena);
    return 0;
}
