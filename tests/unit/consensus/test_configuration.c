/* The members of a cluster and their bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/configuration.h"

static struct configuration three(void)
{
    struct configuration configuration = {.count = 3};

    for (uint32_t i = 0; i < 3; i++) {
        configuration.members[i].node_id = 100 + i;
        configuration.members[i].role = i == 2 ? MEMBER_STANDBY : MEMBER_VOTER;
        snprintf(configuration.members[i].address, ADDRESS_BYTES_MAX, "host%u:7000", i);
    }
    return configuration;
}

/* Goal: what is encoded decodes to the same, and has libraft's form.
 * Method: a round trip, and the first bytes as libraft's configurationEncode() writes them. */
static void encoding_round_trip_has_librafts_form(void **state)
{
    struct configuration before = three(), after = {.index = 7};
    struct bytes out;
    static const uint8_t head[] = {1, 3, 0, 0, 0, 0,   0,   0,   0,   100, 0,  0,
                                   0, 0, 0, 0, 0, 'h', 'o', 's', 't', '0', ':'};

    (void)state;
    bytes_init(&out, 0);
    configuration_encode(&before, &out);
    assert_int_equal(out.length % 8, 0);
    assert_memory_equal(out.data, head, sizeof head);
    assert_int_equal(configuration_decode(bytes_span(&out), &after, NULL), ERROR_OK);
    assert_true(configuration_same(&before, &after));
    assert_int_equal(after.index, 7);
    bytes_done(&out);
}

/* Goal: no cut and no flipped byte is read past the end or taken for another membership unseen.
 * Method: every prefix is refused; every single changed byte is refused or decodes to what encodes to just
 * those bytes. */
static void damaged_encodings_are_refused(void **state)
{
    struct configuration configuration = three(), decoded;
    struct bytes out, again;
    uint32_t refused = 0;

    (void)state;
    bytes_init(&out, 0);
    bytes_init(&again, 0);
    configuration_encode(&configuration, &out);
    for (size_t length = 0; length < out.length; length++)
        assert_int_equal(configuration_decode(span_of(out.data, length), &decoded, NULL), ERROR_INVALID);
    for (size_t at = 0; at < out.length; at++)
        for (unsigned flip = 1; flip < 256; flip <<= 1) {
            out.data[at] ^= (uint8_t)flip;
            if (configuration_decode(bytes_span(&out), &decoded, NULL) != ERROR_OK) {
                refused++;
            } else {
                bytes_clear(&again);
                configuration_encode(&decoded, &again);
                assert_int_equal(again.length, out.length);
                assert_memory_equal(again.data, out.data, out.length);
            }
            out.data[at] ^= (uint8_t)flip;
        }
    assert_true(refused > 50);
    bytes_done(&out);
    bytes_done(&again);
}

/* Goal: no membership that libraft would stumble over: nobody, too many, an id or address twice, an unknown
 * role. Method: each, encoded and decoded. */
static void impossible_memberships_are_refused(void **state)
{
    struct configuration configuration, decoded;
    struct bytes out;

    (void)state;
    bytes_init(&out, 0);
    for (int what = 0; what < 5; what++) {
        configuration = three();
        if (what == 0)
            configuration.members[1].node_id = 100;
        else if (what == 1)
            memcpy(configuration.members[1].address, "host0:7000", 11);
        else if (what == 2)
            configuration.members[1].role = (enum member_role)3;
        else if (what == 3)
            configuration.members[1].node_id = 0;
        else
            configuration.members[1].address[0] = '\0';
        bytes_clear(&out);
        configuration_encode(&configuration, &out);
        assert_int_equal(configuration_decode(bytes_span(&out), &decoded, NULL), ERROR_INVALID);
    }
    out.data[1] = NODES_MAX + 1;
    assert_int_equal(configuration_decode(bytes_span(&out), &decoded, NULL), ERROR_INVALID);
    out.data[1] = 0;
    assert_int_equal(configuration_decode(bytes_span(&out), &decoded, NULL), ERROR_INVALID);
    bytes_done(&out);
}

/* Goal: the public decoder respects its caller's room.
 * Method: three members into room for two, and for three. */
static void public_decoder_is_bounded(void **state)
{
    struct configuration configuration = three();
    struct consensus_member members[3];
    uint32_t count = 0;
    struct bytes out;

    (void)state;
    bytes_init(&out, 0);
    configuration_encode(&configuration, &out);
    assert_int_equal(consensus_configuration_decode(bytes_span(&out), members, 2, &count, NULL),
                     ERROR_TOO_BIG);
    assert_int_equal(consensus_configuration_decode(bytes_span(&out), members, 3, &count, NULL), ERROR_OK);
    assert_int_equal(count, 3);
    assert_int_equal(members[2].role, MEMBER_STANDBY);
    assert_string_equal(members[1].address, "host1:7000");
    bytes_done(&out);
}

/* Goal: who is a voter, who is the only one.
 * Method: a membership of two voters and a standby, and with one less. */
static void voters_are_counted(void **state)
{
    struct configuration configuration = three();

    (void)state;
    assert_int_equal(configuration_voter_count(&configuration), 2);
    assert_true(configuration_is_voter(&configuration, 101));
    assert_false(configuration_is_voter(&configuration, 102));
    assert_false(configuration_is_voter(&configuration, 999));
    assert_false(configuration_sole_voter(&configuration, 100));
    configuration.members[1].role = MEMBER_SPARE;
    assert_true(configuration_sole_voter(&configuration, 100));
    assert_false(configuration_sole_voter(&configuration, 101));
    assert_null(configuration_find(&configuration, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoding_round_trip_has_librafts_form),
        cmocka_unit_test(damaged_encodings_are_refused),
        cmocka_unit_test(impossible_memberships_are_refused),
        cmocka_unit_test(public_decoder_is_bounded),
        cmocka_unit_test(voters_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
