/* Known answers, computed by reference.py, which itself agrees with what ZeroTier One 1.14.1 made.
 * The tag of a long output stands for the output. */
#include "internal.h"

#define STREAM_SIZE 1500
#define PACKET_SIZE 100

static int same(const uint8_t *a, const uint8_t *b, size_t size)
{
    return memcmp(a, b, size) == 0;
}

static int poly1305_works(void)
{
    static const uint8_t key[32] = { /* RFC 8439, 2.5.2 */
        0x85, 0xd6, 0xbe, 0x78, 0x57, 0x55, 0x6d, 0x33, 0x7f, 0x44, 0x52, 0xfe, 0x42, 0xd5, 0x06,
        0xa8, 0x01, 0x03, 0x80, 0x8a, 0xfb, 0x0d, 0xb2, 0xfd, 0x4a, 0xbf, 0xf6, 0xaf, 0x41, 0x49,
        0xf5, 0x1b,
    };
    static const char message[] = "Cryptographic Forum Research Group";
    static const uint8_t expected[16] = {
        0xa8, 0x06, 0x1d, 0xc1, 0x30, 0x51, 0x36, 0xc6,
        0xc2, 0x2b, 0x8b, 0xaf, 0x0c, 0x01, 0x27, 0xa9,
    };
    uint8_t tag[16];

    orrery_poly1305(tag, (const uint8_t *)message, sizeof message - 1, key);
    return same(tag, expected, sizeof tag);
}

static int salsa20_works(const struct salsa20_path *path, const uint8_t *key, const uint8_t *tag_key)
{
    static const struct {
        int rounds;
        uint64_t block; /* the carries between the two words of the block number count too */
        uint8_t tag[16];
    } cases[] = {
        {20, 0, {0x21, 0x67, 0xc1, 0xbe, 0x7c, 0x9c, 0xb1, 0x69,
                 0xf1, 0xfa, 0xb8, 0xcf, 0xf9, 0xd5, 0x4d, 0x08}},
        {12, 0xfffffffb, {0x71, 0x6b, 0x69, 0x7a, 0xf3, 0x2e, 0xf5, 0x95,
                          0x9c, 0x24, 0x21, 0x8a, 0x03, 0xb9, 0x30, 0xff}},
        {20, 0xfffffffffffffffd, {0x6a, 0xfd, 0x89, 0xef, 0x61, 0xd2, 0xdd, 0x0b,
                                  0xca, 0x45, 0x10, 0x2b, 0x9d, 0xfd, 0x87, 0xae}},
    };
    static const uint8_t iv[8] = {0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87};
    uint8_t stream[STREAM_SIZE], tag[16];
    uint8_t chain[SALSA20_BLOCK * (1 + SALSA20_MAX_LANES)];
    uint32_t state[16];

    orrery_salsa20_setup(state, key, iv);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        memset(stream, 0, sizeof stream);
        path->crypt(stream, stream, sizeof stream, state, cases[i].block, cases[i].rounds);
        orrery_poly1305(tag, stream, sizeof stream, tag_key);
        if (!same(tag, cases[i].tag, sizeof tag))
            return 0;
    }
    /* `stream` holds the 20-round blocks of the last case; a chain of them must undo to the same. */
    memset(chain, 0, SALSA20_BLOCK);
    path->chain(chain + SALSA20_BLOCK, state, cases[2].block, SALSA20_MAX_LANES);
    for (size_t i = sizeof chain - 1; i >= SALSA20_BLOCK; i--)
        chain[i] ^= chain[i - SALSA20_BLOCK];
    return same(chain + SALSA20_BLOCK, stream, sizeof chain - SALSA20_BLOCK);
}

static int armor_works(const uint8_t *key)
{
    static const uint8_t macs[2][8] = {
        {0xd3, 0xcf, 0x76, 0xb1, 0x46, 0x88, 0x7a, 0x53},
        {0x20, 0xd8, 0xa0, 0xa8, 0x8b, 0x8f, 0x4a, 0x42},
    };
    uint8_t plain[PACKET_SIZE], wire[PACKET_SIZE], back[PACKET_SIZE];

    for (int cipher = 0; cipher < 2; cipher++) {
        for (int i = 0; i < PACKET_SIZE; i++)
            plain[i] = (uint8_t)i;
        orrery_armor(wire, plain, sizeof plain, key, cipher);
        if (!same(wire + 19, macs[cipher], 8))
            return 0;
        if (orrery_dearmor(back, wire, sizeof wire, key) != 0)
            return 0;
        if (!same(back, wire, 27) || !same(back + 27, plain + 27, sizeof plain - 27))
            return 0;
        wire[60] ^= 1;
        if (orrery_dearmor(back, wire, sizeof wire, key) != -1)
            return 0;
    }
    return 1;
}

int orrery_self_test(void)
{
    uint8_t key[32], tag_key[32];

    for (int i = 0; i < 32; i++) {
        key[i] = (uint8_t)i;
        tag_key[i] = (uint8_t)(100 + i);
    }
    if (!poly1305_works())
        return 1;
    if (!armor_works(key))
        return 2;
    for (int path = 0; path < SALSA20_PATHS; path++)
        if (orrery_salsa20_numbered(path) != NULL &&
            !salsa20_works(orrery_salsa20_numbered(path), key, tag_key))
            return 3 + path;
    return 0;
}
