#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"

static void assert_digest(const uint8_t digest[DIGEST_BYTES], const char *expected)
{
    char text[2 * DIGEST_BYTES + 1];
    hex_encode(digest, DIGEST_BYTES, text);
    assert_string_equal(text, expected);
}

#define SHA256_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SHA256_ABC   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

/* Goal: the digest is SHA-256, whole or piece by piece, and starts anew after each.
 * Method: FIPS 180's examples. */
static void sha256_matches_the_standard(void **state)
{
    (void)state;
    uint8_t digest[DIGEST_BYTES];
    hash_once("abc", 3, digest);
    assert_digest(digest, SHA256_ABC);
    hash_once(NULL, 0, digest);
    assert_digest(digest, SHA256_EMPTY);

    struct hash *hash = hash_new();
    hash_update(hash, "a", 1);
    hash_update(hash, NULL, 0);
    hash_update(hash, "bc", 2);
    hash_finish(hash, digest);
    assert_digest(digest, SHA256_ABC);
    hash_finish(hash, digest);
    assert_digest(digest, SHA256_EMPTY);
    hash_free(hash);
    hash_free(NULL);
}

/* Goal: the checksum is CRC-32C.
 * Method: RFC 3720's examples; in pieces at every cut, so that the part of eight bytes at a time is met
 * unaligned. */
static void crc32c_matches_the_standard(void **state)
{
    (void)state;
    uint8_t block[32];
    memset(block, 0, sizeof(block));
    assert_int_equal(crc32c(0, block, sizeof(block)), 0x8A9136AAu);
    memset(block, 0xFF, sizeof(block));
    assert_int_equal(crc32c(0, block, sizeof(block)), 0x62A8AB43u);
    for (uint8_t i = 0; i < 32; i++)
        block[i] = i;
    assert_int_equal(crc32c(0, block, sizeof(block)), 0x46DD794Eu);
    assert_int_equal(crc32c(0, "123456789", 9), 0xE3069283u);
    assert_int_equal(crc32c(0, NULL, 0), 0);
    for (size_t cut = 0; cut <= sizeof(block); cut++)
        assert_int_equal(crc32c(crc32c(0, block, cut), block + cut, sizeof(block) - cut), 0x46DD794Eu);
}

/* Goal: ids have their form and don't repeat.
 * Method: a hundred of them, all pairs. */
static void random_ids_differ(void **state)
{
    (void)state;
    char ids[100][33];
    uint8_t raw[16];
    for (size_t i = 0; i < 100; i++) {
        random_id(ids[i]);
        assert_true(hex_decode(ids[i], raw, sizeof(raw)));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(ids[i], ids[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_matches_the_standard),
        cmocka_unit_test(crc32c_matches_the_standard),
        cmocka_unit_test(random_ids_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
