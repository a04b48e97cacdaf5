/* Salsa20 (D. J. Bernstein, "The Salsa20 family of stream ciphers"), one block at a time in plain
 * C: for machines without a better path, and the yardstick of the others. */
#include "internal.h"

#define ROTATE(x, n) ((x) << (n) | (x) >> (32 - (n)))

static void scalar_stream(uint8_t *out, const uint32_t *state, uint64_t block, int rounds)
{
    uint32_t in[16], x[16];

    memcpy(in, state, sizeof in);
    in[8] = (uint32_t)block;
    in[9] = (uint32_t)(block >> 32);
    memcpy(x, in, sizeof x);
#define QUARTER(a, b, c, d)                                                                        \
    x[b] ^= ROTATE(x[a] + x[d], 7);                                                                \
    x[c] ^= ROTATE(x[b] + x[a], 9);                                                                \
    x[d] ^= ROTATE(x[c] + x[b], 13);                                                               \
    x[a] ^= ROTATE(x[d] + x[c], 18)
    for (int round = 0; round < rounds; round += 2) {
        QUARTER(0, 4, 8, 12);
        QUARTER(5, 9, 13, 1);
        QUARTER(10, 14, 2, 6);
        QUARTER(15, 3, 7, 11);
        QUARTER(0, 1, 2, 3);
        QUARTER(5, 6, 7, 4);
        QUARTER(10, 11, 8, 9);
        QUARTER(15, 12, 13, 14);
    }
#undef QUARTER
    for (int i = 0; i < 16; i++)
        store_le32(out + 4 * i, x[i] + in[i]);
}

static void scalar_crypt(uint8_t *out, const uint8_t *in, size_t size, const uint32_t *state,
                         uint64_t block, int rounds)
{
    uint8_t stream[SALSA20_BLOCK];

    while (size > 0) {
        size_t part = size < sizeof stream ? size : sizeof stream;

        scalar_stream(stream, state, block++, rounds);
        for (size_t i = 0; i < part; i++)
            out[i] = in[i] ^ stream[i];
        out += part;
        in += part;
        size -= part;
    }
}

static void scalar_chain(uint8_t *out, const uint32_t *state, uint64_t block, size_t count)
{
    for (; count > 0; count--, out += SALSA20_BLOCK) {
        scalar_stream(out, state, block++, 20);
        for (int i = 0; i < SALSA20_BLOCK; i++)
            out[i] ^= out[i - SALSA20_BLOCK];
    }
}

const struct salsa20_path orrery_salsa20_scalar = {
    .name = "scalar",
    .lanes = 1,
    .stream = scalar_stream,
    .crypt = scalar_crypt,
    .chain = scalar_chain,
};
