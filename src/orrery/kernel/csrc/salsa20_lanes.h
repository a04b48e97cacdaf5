/*
 * Salsa20, LANES blocks at a time: vector i holds word i of LANES consecutive blocks.
 *
 * Included once by each file that gives a vector width. It must have defined
 *   LANES            blocks at a time: 4, 8 or 16
 *   LANES_TARGET     function attribute that allows the instructions wanted
 *   LANES_NAME       text, name of the path
 *   LANES_PATH       identifier of the struct salsa20_path to define
 * and lanes_t, a vector of LANES uint32_t, with lanes_transpose(lanes_t x[LANES]), which turns
 * LANES vectors of one word each into LANES vectors of one block's words each.
 */

#define ROTATE(x, n) ((x) << (n) | (x) >> (32 - (n)))

/* How many vectors make up one block once transposed. */
#define PARTS (16 / LANES)

/* Makes LANES blocks; part p of block b is x[p * LANES + b]. */
LANES_TARGET static inline __attribute__((always_inline)) void
lanes_blocks(lanes_t x[16], const uint32_t *state, uint64_t block, int rounds)
{
    static const uint32_t numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    lanes_t in[16], lane;

    for (int i = 0; i < 16; i++)
        in[i] = (lanes_t){0} + state[i];
    memcpy(&lane, numbers, sizeof lane);
    in[8] = lane + (uint32_t)block;
    /* A lane whose lower word overflowed compares as all ones, which is -1. */
    in[9] = (uint32_t)(block >> 32) - (lanes_t)(in[8] < lane);
    for (int i = 0; i < 16; i++)
        x[i] = in[i];
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
        x[i] += in[i];
    for (int part = 0; part < PARTS; part++)
        lanes_transpose(x + part * LANES);
}

LANES_TARGET static void lanes_stream(uint8_t *out, const uint32_t *state, uint64_t block,
                                      int rounds)
{
    lanes_t x[16];

    lanes_blocks(x, state, block, rounds);
    for (int b = 0; b < LANES; b++)
        for (int part = 0; part < PARTS; part++)
            memcpy(out + SALSA20_BLOCK * b + sizeof(lanes_t) * (size_t)part, &x[part * LANES + b],
                   sizeof(lanes_t));
}

LANES_TARGET static void lanes_crypt(uint8_t *out, const uint8_t *in, size_t size,
                                     const uint32_t *state, uint64_t block, int rounds)
{
    uint8_t stream[SALSA20_BLOCK * LANES];

    while (size > 0) {
        size_t part = size < sizeof stream ? size : sizeof stream;
        size_t i = 0;

        lanes_stream(stream, state, block, rounds);
        for (; i + sizeof(lanes_t) <= part; i += sizeof(lanes_t)) {
            lanes_t a, b;

            memcpy(&a, in + i, sizeof a);
            memcpy(&b, stream + i, sizeof b);
            a ^= b;
            memcpy(out + i, &a, sizeof a);
        }
        for (; i < part; i++)
            out[i] = in[i] ^ stream[i];
        out += part;
        in += part;
        size -= part;
        block += LANES;
    }
}

LANES_TARGET static void lanes_chain(uint8_t *out, const uint32_t *state, uint64_t block,
                                     size_t count)
{
    lanes_t last[PARTS];

    memcpy(last, out - SALSA20_BLOCK, sizeof last);
    for (; count > 0; count -= LANES, block += LANES) {
        lanes_t x[16];

        lanes_blocks(x, state, block, 20);
        for (int b = 0; b < LANES; b++, out += SALSA20_BLOCK) {
            for (int part = 0; part < PARTS; part++)
                last[part] ^= x[part * LANES + b];
            memcpy(out, last, sizeof last);
        }
    }
}

const struct salsa20_path LANES_PATH = {
    .name = LANES_NAME,
    .lanes = LANES,
    .stream = lanes_stream,
    .crypt = lanes_crypt,
    .chain = lanes_chain,
};
