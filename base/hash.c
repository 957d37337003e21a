#include "base/hash.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"

struct hash {
    gnutls_hash_hd_t handle;
};

struct hash *hash_new(void)
{
    struct hash *self = memory_zero(1, sizeof(*self));
    int rc = gnutls_hash_init(&self->handle, GNUTLS_DIG_SHA256);
    CHECK(rc == 0, "SHA-256: %s", gnutls_strerror(rc));
    return self;
}

void hash_update(struct hash *self, const void *data, size_t length)
{
    if (length == 0)
        return;
    int rc = gnutls_hash(self->handle, data, length);
    CHECK(rc == 0, "SHA-256: %s", gnutls_strerror(rc));
}

void hash_finish(struct hash *self, uint8_t out[DIGEST_BYTES])
{
    gnutls_hash_output(self->handle, out); /* also starts anew */
}

void hash_free(struct hash *self)
{
    if (!self)
        return;
    gnutls_hash_deinit(self->handle, NULL);
    free(self);
}

void hash_once(const void *data, size_t length, uint8_t out[DIGEST_BYTES])
{
    int rc = gnutls_hash_fast(GNUTLS_DIG_SHA256, length ? data : "", length, out);
    CHECK(rc == 0, "SHA-256: %s", gnutls_strerror(rc));
}

/* table[k][b]: what byte b, followed by k zero bytes, adds. Eight at a time: about a byte a cycle, on any
 * processor. */
static uint32_t table[8][256];

__attribute__((constructor)) static void fill_table(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t value = byte;
        for (int bit = 0; bit < 8; bit++)
            value = value >> 1 ^ (value & 1 ? 0x82F63B78u : 0);
        table[0][byte] = value;
    }
    for (uint32_t byte = 0; byte < 256; byte++)
        for (int k = 1; k < 8; k++)
            table[k][byte] = table[k - 1][byte] >> 8 ^ table[0][table[k - 1][byte] & 255];
}

uint32_t crc32c(uint32_t seed, const void *data, size_t length)
{
    const uint8_t *in = data;
    uint32_t crc = ~seed;
    for (; length >= 8; in += 8, length -= 8) {
        uint32_t low =
            crc ^ ((uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24);
        crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^
              table[4][low >> 24] ^ table[3][in[4]] ^ table[2][in[5]] ^ table[1][in[6]] ^ table[0][in[7]];
    }
    for (; length > 0; in++, length--)
        crc = crc >> 8 ^ table[0][(crc ^ *in) & 255];
    return ~crc;
}

void random_bytes(void *out, size_t length)
{
    int rc = gnutls_rnd(GNUTLS_RND_RANDOM, out, length);
    CHECK(rc == 0, "random bytes: %s", gnutls_strerror(rc));
}

void random_id(char out[33])
{
    uint8_t id[16];
    random_bytes(id, sizeof(id));
    hex_encode(id, sizeof(id), out);
}
