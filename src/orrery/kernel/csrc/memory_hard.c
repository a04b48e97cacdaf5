/*
 * The proof of work of a ZeroTier identity (ZeroTierOne node/Identity.cpp).
 *
 * As defined, one Salsa20/20 stream, keyed from the digest, runs through both passes. The first
 * fills 2 MiB: each 64-byte block is the one before XOR the next key stream block. The second reads
 * the buffer in pairs of words; each pair names a word of the digest and a word of the buffer to
 * swap, after which the digest is XORed with the next key stream block.
 *
 * What makes it fast here: the key stream does not depend on the data, so it is computed many
 * blocks at once; and XORs commute, so the digest is never XORed as a whole. With P the XOR of all
 * key stream blocks so far, digest = v XOR P; a swap touches one word of v and one of P. P is a
 * chain just as the buffer is.
 */
#include "internal.h"

#include <pthread.h>
#include <stdlib.h>

#define BUFFER_SIZE ((size_t)2 << 20)
#define BUFFER_WORDS (BUFFER_SIZE / 8)
#define FILL_BLOCKS (BUFFER_SIZE / SALSA20_BLOCK)
#define MIX_BLOCKS (BUFFER_WORDS / 2)

/* Blocks of P at a time. Small batches let the processor compute the next one's key stream while
 * the swaps of this one wait for memory. */
#define MIX_BATCH SALSA20_MAX_LANES

static pthread_once_t buffer_once = PTHREAD_ONCE_INIT;
static pthread_key_t buffer_key;
static int buffer_key_error;

static void make_buffer_key(void)
{
    buffer_key_error = pthread_key_create(&buffer_key, free);
}

/* This thread's memory: the buffer, and in front of it a block for its chain to start from. It is
 * freed when the thread ends. NULL when there is none to be had. */
static uint8_t *thread_buffer(void)
{
    void *buffer;

    if (pthread_once(&buffer_once, make_buffer_key) != 0 || buffer_key_error != 0)
        return NULL;
    buffer = pthread_getspecific(buffer_key);
    if (buffer != NULL)
        return buffer;
    if (posix_memalign(&buffer, SALSA20_BLOCK, SALSA20_BLOCK + BUFFER_SIZE) != 0)
        return NULL;
    if (pthread_setspecific(buffer_key, buffer) != 0) {
        free(buffer);
        return NULL;
    }
    return buffer;
}

static inline uint64_t big_endian(uint64_t word)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return __builtin_bswap64(word);
#else
    return word;
#endif
}

int orrery_memory_hard(uint8_t *digest)
{
    const struct salsa20_path *path = orrery_salsa20_path();
    uint8_t *buffer = thread_buffer();
    uint64_t chain[(1 + MIX_BATCH) * 8] __attribute__((aligned(64)));
    uint64_t *words, v[8];
    uint32_t state[16];

    if (buffer == NULL)
        return -1;
    words = (uint64_t *)(void *)(buffer + SALSA20_BLOCK);
    orrery_salsa20_setup(state, digest, digest + 32);

    memset(buffer, 0, SALSA20_BLOCK);
    path->chain(buffer + SALSA20_BLOCK, state, 0, FILL_BLOCKS);

    memcpy(v, digest, sizeof v);
    memset(chain, 0, 64);
    for (size_t block = 0; block < MIX_BLOCKS; block += MIX_BATCH) {
        const uint64_t *pair = words + 2 * block;

        path->chain((uint8_t *)(chain + 8), state, FILL_BLOCKS + block, MIX_BATCH);
        for (size_t i = 0; i < MIX_BATCH; i++) {
            size_t in_digest = big_endian(pair[2 * i]) % 8;
            size_t in_buffer = big_endian(pair[2 * i + 1]) % BUFFER_WORDS;
            uint64_t p = chain[8 * i + in_digest];
            uint64_t out = v[in_digest] ^ p;

            v[in_digest] = words[in_buffer] ^ p;
            words[in_buffer] = out;
        }
        memcpy(chain, chain + 8 * MIX_BATCH, 64);
    }
    for (int i = 0; i < 8; i++)
        v[i] ^= chain[i];
    memcpy(digest, v, sizeof v);
    return 0;
}
