/* Records to msgpack and back. */
#include "unit/base/schema_support.h"

static struct span pack(struct fixture *self, const struct sample *sample)
{
    bytes_clear(&self->packed);
    schema_pack(&sample_schema, sample, &self->packed);
    return bytes_span(&self->packed);
}

static enum error_code unpack(struct fixture *self, struct span packed)
{
    memset(&self->sample, 0xa5, sizeof self->sample);
    memset(&self->error, 0, sizeof self->error);
    return schema_unpack(&sample_schema, packed, &self->arena, &self->sample, &self->error);
}

static struct sample smallest(void)
{
    return (struct sample){.plan_id = "p"};
}

static void assert_refused(struct fixture *self, const struct sample *sample, const char *reason)
{
    assert_int_equal(unpack(self, pack(self, sample)), ERROR_CORRUPT);
    assert_says(&self->error, reason);
}

/* Goal: unpacking gives the record back, and packing that gives the same bytes: one record, one encoding.
 * Method: 3,000 random records within bounds; compares bytes, and some members by themselves. */
static void random_records_come_back_as_the_same_bytes(void **state)
{
    struct fixture *self = *state;
    struct bytes again;
    unsigned lists = 0, values = 0;
    bytes_init(&again, 0);
    for (unsigned i = 0; i < 3000; i++) {
        arena_clear(&self->arena);
        const struct sample sample = random_sample(self);
        if (unpack(self, pack(self, &sample)) != ERROR_OK)
            fail_msg("record %u: %s", i, self->error.message);
        assert_string_equal(self->sample.plan_id, sample.plan_id);
        assert_int_equal(self->sample.offset, sample.offset);
        assert_int_equal(self->sample.wide, sample.wide);
        assert_int_equal(self->sample.stage_count, sample.stage_count);
        bytes_clear(&again);
        schema_pack(&sample_schema, &self->sample, &again);
        assert_true(span_equal(bytes_span(&again), bytes_span(&self->packed)));
        lists += sample.stage_count > 0;
        values += sample.value.bytes > 0;
    }
    bytes_done(&again);
    assert_in_range(lists, 500, 2500);
    assert_in_range(values, 500, 2500);
}

/* Goal: the bytes are the ones that stored logs hold: an array in table order, shortest integers, sorted
 * maps. Method: one record against bytes written by hand. */
static void encoding_is_the_known_one(void **state)
{
    struct fixture *self = *state;
    struct sample_gate gate = {SAMPLE_MANUAL, 300};
    struct sample_stage stage = {"s1", &gate, 1, true};
    const char *tags[] = {"x"};
    struct field_pair labels[] = {{"b", "2"}, {"a", "1"}};
    const struct sample sample = {
        .plan_id = "p-7",
        .count = 200,
        .offset = -1,
        .narrow = -5,
        .at = 70000,
        .wide = UINT64_MAX,
        .kind = SAMPLE_HEALTH,
        .hash = {"\x01\x02", 2},
        .stages = &stage,
        .stage_count = 1,
        .tags = tags,
        .tag_count = 1,
        .labels = labels,
        .label_count = 2,
        .value = {"\xc3", 1},
        .yes = true,
        .secret = 1,
    };
    static const char expected[] = "\xdc\x00\x10"
                                   "\xa3p-7" /* plan_id */
                                   "\xc0"    /* reason: absent */
                                   "\xcc\xc8"
                                   "\xff"
                                   "\xfb"
                                   "\xce\x00\x01\x11\x70"
                                   "\xcf\xff\xff\xff\xff\xff\xff\xff\xff"
                                   "\x02"
                                   "\xc4\x02\x01\x02"
                                   "\xc0" /* gate: absent */
                                   "\x91\x93\xa2s1\x91\x92\x01\xcd\x01\x2c\xc3"
                                   "\x91\xa1x"
                                   "\x82\xa1"
                                   "a\xa1"
                                   "1\xa1"
                                   "b\xa1"
                                   "2"
                                   "\xc3"
                                   "\xc3"
                                   "\x01";
    const struct span packed = pack(self, &sample);
    assert_int_equal(packed.bytes, sizeof expected - 1);
    assert_memory_equal(packed.data, expected, packed.bytes);
    assert_string_equal(labels[0].key, "b"); /* sorting is for the bytes only */
    assert_int_equal(unpack(self, packed), ERROR_OK);
    assert_string_equal(self->sample.labels[0].key, "a");
    assert_string_equal(self->sample.labels[1].value, "2");
    assert_int_equal(self->sample.stages[0].gates[0].seconds, 300);
    assert_null(self->sample.reason);
    assert_int_equal(self->sample.secret, 1);
}

/* Goal: a record of an older level, which lacks the last fields, is read; what it lacks is zero.
 * Method: arrays of one and two fields; an array that lacks a required field is refused. */
static void shorter_records_are_read_with_zeros(void **state)
{
    struct fixture *self = *state;
    assert_int_equal(unpack(self, span_of("\x91\xa1p", 3)), ERROR_OK);
    assert_string_equal(self->sample.plan_id, "p");
    assert_null(self->sample.reason);
    assert_int_equal(self->sample.count + self->sample.stage_count + self->sample.value.bytes, 0);
    assert_int_equal(unpack(self, span_of("\x90", 1)), ERROR_CORRUPT);
    assert_string_equal(self->error.message, "sample.plan_id: missing, and required");
}

/* Goal: a record of a newer level is refused by name, and so is what follows a record.
 * Method: 17 fields where 16 are known; one byte more. */
static void longer_records_are_refused(void **state)
{
    struct fixture *self = *state;
    const struct sample sample = smallest();
    pack(self, &sample);
    bytes_append(&self->packed, "\x01", 1);
    assert_int_equal(unpack(self, bytes_span(&self->packed)), ERROR_CORRUPT);
    assert_says(&self->error, "sample: 1 bytes follow its end");
    self->packed.data[2] = 17;
    assert_int_equal(unpack(self, bytes_span(&self->packed)), ERROR_CORRUPT);
    assert_says(&self->error, "sample: 17 fields where at most 16 are known");
}

/* Goal: integers need not be in their shortest form to be read: an entry's header keeps fixed widths.
 * Method: 1 in every width that msgpack has. */
static void wider_integers_are_read(void **state)
{
    struct fixture *self = *state;
    static const struct {
        const char *bytes;
        size_t length;
    } ones[] = {{"\x01", 1},
                {"\xcc\x01", 2},
                {"\xcd\x00\x01", 3},
                {"\xce\x00\x00\x00\x01", 5},
                {"\xcf\x00\x00\x00\x00\x00\x00\x00\x01", 9},
                {"\xd0\x01", 2},
                {"\xd1\x00\x01", 3},
                {"\xd2\x00\x00\x00\x01", 5},
                {"\xd3\x00\x00\x00\x00\x00\x00\x00\x01", 9}};
    for (size_t i = 0; i < sizeof ones / sizeof ones[0]; i++) {
        bytes_clear(&self->packed);
        bytes_append(&self->packed, "\x93\xa1p\xc0", 4);
        bytes_append(&self->packed, ones[i].bytes, ones[i].length);
        assert_int_equal(unpack(self, bytes_span(&self->packed)), ERROR_OK);
        assert_int_equal(self->sample.count, 1);
        uint64_t peeked = 0;
        assert_true(schema_peek_u64(bytes_span(&self->packed), 2, &peeked));
        assert_int_equal(peeked, 1);
    }
}

/* Goal: every bound of the table is checked again on what was stored or received, with path and range.
 * Method: one value out of bounds at a time, packed by the same tables. */
static void bounds_are_checked_again(void **state)
{
    struct fixture *self = *state;
    struct sample sample = smallest();
    assert_int_equal(unpack(self, pack(self, &sample)), ERROR_OK);
    sample.plan_id = "a b";
    assert_refused(self, &sample, "sample.plan_id: \"a b\" is not a name: [A-Za-z0-9][A-Za-z0-9._-]{0,127}");
    sample = smallest();
    sample.plan_id = NULL;
    assert_refused(self, &sample, "sample.plan_id: missing, and required");
    sample = smallest();
    sample.reason = "no";
    assert_refused(self, &sample, "sample.reason: 2 bytes is not within 3 .. 20");
    sample.reason = "bad \xff bytes";
    assert_refused(self, &sample, "sample.reason: not UTF-8 text without NUL");
    sample = smallest();
    sample.count = 10001;
    assert_refused(self, &sample, "sample.count: 10001 is not within 1 .. 10000");
    sample = smallest();
    sample.offset = -(int64_t)INTEGER_MAX - 1;
    assert_refused(self, &sample, "sample.offset: -9007199254740992 is not within -9007199254740991 ..");
    sample = smallest();
    sample.narrow = 6;
    assert_refused(self, &sample, "sample.narrow: 6 is not within -5 .. 5");
    sample = smallest();
    sample.kind = 3;
    assert_refused(self, &sample, "sample.kind: 3 is none of its 3 values");
    sample = smallest();
    sample.hash = span_of("x", 1);
    assert_refused(self, &sample, "sample.hash: 1 bytes is not within 2 .. 32");
    sample = smallest();
    sample.at = 253402300800000ULL;
    assert_refused(self, &sample, "sample.at: 253402300800000 is not within 0 ..");
}

/* Goal: bounds inside of lists name the element.
 * Method: too many stages, a bad gate in the second stage, a bad tag, a bad label, a value that is none. */
static void bounds_inside_of_lists_name_the_element(void **state)
{
    struct fixture *self = *state;
    struct sample sample = smallest();
    struct sample_gate gates[2] = {{SAMPLE_SOAK, 1}, {SAMPLE_SOAK, 99999999}};
    struct sample_stage stages[4] = {
        {.id = "s0"}, {.id = "s1", .gates = gates, .gate_count = 2}, {.id = "s2"}, {.id = "s3"}};
    sample.stages = stages;
    sample.stage_count = 4;
    assert_refused(self, &sample, "sample.stages: 4 elements is not within 0 .. 3");
    sample.stage_count = 2;
    assert_refused(self, &sample, "sample.stages[1].gates[1].seconds: 99999999 is not within 0 .. 31536000");
    gates[1].seconds = 1;
    assert_int_equal(unpack(self, pack(self, &sample)), ERROR_OK);
    stages[0].id = NULL;
    assert_refused(self, &sample, "sample.stages[0].id: missing, and required");

    sample = smallest();
    char *long_tag = calloc(1, 1026);
    memset(long_tag, 'x', 1025);
    const char *tags[] = {"ok", long_tag};
    sample.tags = tags;
    sample.tag_count = 2;
    assert_refused(self, &sample, "sample.tags[1]: 1025 bytes is not within 0 .. 1024");
    free(long_tag);

    sample = smallest();
    struct field_pair label = {"", "v"};
    sample.labels = &label;
    sample.label_count = 1;
    assert_refused(self, &sample, "sample.labels[0]: 0 bytes is not within 1 .. 256");
    sample = smallest();
    sample.value = span_of("\xc1", 1);
    assert_refused(self, &sample, "sample.value: not a value");
    sample.value = span_of("\x81\x01\x01", 3); /* a key that is no text */
    assert_refused(self, &sample, "sample.value: not a value");
}

/* Goal: a map whose keys are out of order or twice there is refused: it has one encoding.
 * Method: bytes by hand, through a schema with one field. */
static void maps_out_of_order_are_refused(void **state)
{
    struct fixture *self = *state;
    static const struct field fields[] = {
        {SAMPLE(labels), .count_offset = offsetof(struct sample, label_count), .type = FIELD_MAP}};
    static const struct schema schema = SCHEMA("map", struct sample, fields);
    const struct span good = span_of("\x91\x82\xa1"
                                     "a\xa1"
                                     "1\xa1"
                                     "b\xa1"
                                     "1",
                                     10);
    assert_int_equal(schema_unpack(&schema, good, &self->arena, &self->sample, &self->error), ERROR_OK);
    const struct span twice = span_of("\x91\x82\xa1"
                                      "a\xa1"
                                      "1\xa1"
                                      "a\xa1"
                                      "1",
                                      10);
    assert_int_equal(schema_unpack(&schema, twice, &self->arena, &self->sample, &self->error), ERROR_CORRUPT);
    assert_says(&self->error, "map.labels[1]: its keys are not in order");
}

/* Goal: counts are believed only as far as bytes stand behind them, and memory is taken only within the
 * arena's bound. Method: claims of 2^32 - 1 elements in few bytes; then a small arena for a record that needs
 * more. */
static void counts_and_memory_are_bounded(void **state)
{
    struct fixture *self = *state;
    static const struct field fields[] = {
        {SAMPLE(stages), .count_offset = offsetof(struct sample, stage_count), .type = FIELD_LIST,
         .max = UINT32_MAX, .schema = &sample_stage_schema},
        {SAMPLE(tags), .count_offset = offsetof(struct sample, tag_count), .type = FIELD_TEXTS,
         .max = UINT32_MAX},
        {SAMPLE(labels), .count_offset = offsetof(struct sample, label_count), .type = FIELD_MAP,
         .max = UINT32_MAX},
    };
    static const struct schema schema = SCHEMA("lists", struct sample, fields);
    static const char *const claims[] = {"\x91\xdd\xff\xff\xff\xff\x90", "\x92\x90\xdd\xff\xff\xff\xff\x90",
                                         "\x93\x90\x90\xdf\xff\xff\xff\xff\x90", "\xdd\xff\xff\xff\xff\x90"};
    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
        assert_int_equal(
            schema_unpack(&schema, span_text(claims[i]), &self->arena, &self->sample, &self->error),
            ERROR_CORRUPT);
        assert_int_equal(self->arena.used, 0);
    }
    struct arena small;
    arena_init(&small, 100);
    bytes_append(&self->packed, "\x91\xdc\x01\x00", 4); /* 256 stages of 40 bytes */
    for (unsigned i = 0; i < 256; i++)
        bytes_append(&self->packed, "\x90", 1);
    assert_int_equal(schema_unpack(&schema, bytes_span(&self->packed), &small, &self->sample, &self->error),
                     ERROR_CORRUPT);
    assert_says(&self->error, "lists.stages: takes more than the 100 bytes of memory allowed");
    arena_done(&small);
}

/* Goal: an arena that is too small is an error at whatever field it ends, and never the end of the process.
 * Method: 60 random records, each unpacked with every bound from 0 up to what it takes. */
static void every_lack_of_memory_is_an_error(void **state)
{
    struct fixture *self = *state;
    unsigned refused = 0;
    for (unsigned i = 0; i < 60; i++) {
        arena_clear(&self->arena);
        const struct sample sample = random_sample(self);
        const struct span packed = pack(self, &sample);
        enum error_code code = ERROR_CORRUPT;
        for (size_t bound = 0; code != ERROR_OK; bound++) {
            struct arena small;
            arena_init(&small, bound);
            code = schema_unpack(&sample_schema, packed, &small, &self->sample, &self->error);
            assert_true(small.used <= bound);
            if (code != ERROR_OK)
                assert_says(&self->error, "bytes of memory allowed");
            refused += code != ERROR_OK;
            arena_done(&small);
        }
    }
    assert_true(refused > 1000);
}

/* Goal: a record cut anywhere is refused with a reason, and the reader never looks past the end.
 * Method: every prefix of 40 random records, each in a block of its exact size (ASan sees an over-read). */
static void every_prefix_is_refused(void **state)
{
    struct fixture *self = *state;
    unsigned tried = 0;
    for (unsigned i = 0; i < 40; i++) {
        arena_clear(&self->arena);
        const struct sample sample = random_sample(self);
        const struct span packed = pack(self, &sample);
        for (size_t cut = 0; cut < packed.bytes; cut++, tried++) {
            uint8_t *copy = malloc(cut + (cut == 0));
            memcpy(copy, packed.data, cut);
            assert_int_equal(unpack(self, span_of(copy, cut)), ERROR_CORRUPT);
            assert_memory_equal(self->error.message, "sample", 6);
            free(copy);
        }
    }
    assert_true(tried > 1000);
}

/* Goal: changed bytes are refused, or read as another record within bounds that packs again; never worse.
 * Method: every bit of 40 random records flipped; what is read must survive a second round trip as the same
 * bytes. */
static void changed_bytes_do_no_harm(void **state)
{
    struct fixture *self = *state;
    unsigned refused = 0, read = 0;
    struct bytes first, second;
    bytes_init(&first, 0);
    bytes_init(&second, 0);
    for (unsigned i = 0; i < 40; i++) {
        arena_clear(&self->arena);
        const struct sample sample = random_sample(self);
        const struct span packed = pack(self, &sample);
        for (size_t bit = 0; bit < packed.bytes * 8; bit++) {
            uint8_t *copy = malloc(packed.bytes);
            memcpy(copy, packed.data, packed.bytes);
            copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
            arena_clear(&self->arena);
            if (unpack(self, span_of(copy, packed.bytes)) != ERROR_OK) {
                refused++;
            } else {
                read++;
                bytes_clear(&first);
                bytes_clear(&second);
                schema_pack(&sample_schema, &self->sample, &first);
                assert_int_equal(unpack(self, bytes_span(&first)), ERROR_OK);
                schema_pack(&sample_schema, &self->sample, &second);
                assert_true(span_equal(bytes_span(&first), bytes_span(&second)));
                json_decref(schema_to_json(&sample_schema, &self->sample));
            }
            free(copy);
        }
    }
    bytes_done(&first);
    bytes_done(&second);
    assert_true(refused > 1000 && read > 1000);
}

/* Goal: a schema that holds itself ends at 32 levels, in both forms.
 * Method: a list in a list in a list, one element each. */
struct nest {
    struct nest *inner;
    size_t count;
};
static const struct schema nest_schema;
static const struct field nest_fields[] = {{.name = "inner",
                                            .type = FIELD_LIST,
                                            .offset = offsetof(struct nest, inner),
                                            .count_offset = offsetof(struct nest, count),
                                            .schema = &nest_schema}};
static const struct schema nest_schema = SCHEMA("nest", struct nest, nest_fields);

static void nesting_ends_at_32_levels(void **state)
{
    struct fixture *self = *state;
    struct nest nest;
    for (unsigned levels = 30; levels < 36; levels++) {
        bytes_clear(&self->packed);
        for (unsigned i = 0; i < levels; i++)
            bytes_append(&self->packed, "\x91\x91", 2);
        bytes_append(&self->packed, "\x90", 1);
        const enum error_code code =
            schema_unpack(&nest_schema, bytes_span(&self->packed), &self->arena, &nest, &self->error);
        assert_int_equal(code, levels <= 32 ? ERROR_OK : ERROR_CORRUPT);
        if (levels > 32)
            assert_says(&self->error, "nested deeper than 32");
    }
}

/* Goal: a blob is copied, unless its field says that it is borrowed.
 * Method: two fields over the same bytes; the borrowed one points into them. */
static void blobs_are_borrowed_where_the_field_says_so(void **state)
{
    struct fixture *self = *state;
    static const struct field copied[] = {{SAMPLE(hash), .type = FIELD_BLOB}};
    static const struct field borrowed[] = {{SAMPLE(hash), .type = FIELD_BLOB, .borrow = true}};
    static const struct schema copied_schema = SCHEMA("copied", struct sample, copied);
    static const struct schema borrowed_schema = SCHEMA("borrowed", struct sample, borrowed);
    const char *bytes = "\x91\xc4\x03xyz";
    const struct span packed = span_of(bytes, 6);
    assert_int_equal(schema_unpack(&copied_schema, packed, &self->arena, &self->sample, &self->error),
                     ERROR_OK);
    assert_ptr_not_equal(self->sample.hash.data, bytes + 3);
    assert_memory_equal(self->sample.hash.data, "xyz", 3);
    assert_int_equal(schema_unpack(&borrowed_schema, packed, &self->arena, &self->sample, &self->error),
                     ERROR_OK);
    assert_ptr_equal(self->sample.hash.data, bytes + 3);
    assert_int_equal(self->sample.hash.bytes, 3);
}

/* Goal: an optional struct that is absent stays absent, although its own fields are required.
 * Method: an empty gate packs as nil; a required struct packs its fields. */
static void absent_structs_stay_absent(void **state)
{
    struct fixture *self = *state;
    static const struct field fields[] = {
        {SAMPLE(gate), .type = FIELD_STRUCT, .schema = &sample_gate_schema, .required = true}};
    static const struct schema schema = SCHEMA("holder", struct sample, fields);
    struct sample sample = smallest();
    schema_pack(&schema, &sample, &self->packed);
    assert_int_equal(self->packed.length, 4);
    assert_memory_equal(self->packed.data, "\x91\x92\x00\x00", 4);
    assert_int_equal(schema_unpack(&schema, span_of("\x91\xc0", 2), &self->arena, &sample, &self->error),
                     ERROR_CORRUPT);
    assert_says(&self->error, "holder.gate: missing, and required");
}

/* Goal: peeking finds an integer by its place, and nothing else.
 * Method: places before, at and after values of other types. */
static void peeking_finds_integers_only(void **state)
{
    (void)state;
    const struct span packed = span_of("\x94\x07\xa1x\x92\x01\x02\xcd\x01\x00", 10);
    uint64_t value = 0;
    assert_true(schema_peek_u64(packed, 0, &value));
    assert_int_equal(value, 7);
    assert_false(schema_peek_u64(packed, 1, &value));
    assert_false(schema_peek_u64(packed, 2, &value));
    assert_true(schema_peek_u64(packed, 3, &value));
    assert_int_equal(value, 256);
    assert_false(schema_peek_u64(packed, 4, &value));
    assert_false(schema_peek_u64(span_of(NULL, 0), 0, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_records_come_back_as_the_same_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(encoding_is_the_known_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(shorter_records_are_read_with_zeros, set_up, tear_down),
        cmocka_unit_test_setup_teardown(longer_records_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wider_integers_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bounds_are_checked_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bounds_inside_of_lists_name_the_element, set_up, tear_down),
        cmocka_unit_test_setup_teardown(maps_out_of_order_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(counts_and_memory_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_lack_of_memory_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_prefix_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(changed_bytes_do_no_harm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nesting_ends_at_32_levels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(blobs_are_borrowed_where_the_field_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(absent_structs_stay_absent, set_up, tear_down),
        cmocka_unit_test(peeking_finds_integers_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
