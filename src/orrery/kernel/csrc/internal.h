/* What the kernel's C files share with each other. */
#ifndef ORRERY_KERNEL_INTERNAL_H
#define ORRERY_KERNEL_INTERNAL_H

#include "orrery_kernel.h"

#include <string.h>

#if !defined(__GNUC__)
#error "The kernel needs GCC or Clang: it uses their vector types."
#endif

#define SALSA20_BLOCK 64
#define SALSA20_MAX_LANES 16

/* One way to compute Salsa20, for one kind of processor. It makes `lanes` blocks at a time. */
struct salsa20_path {
    const char *name;
    size_t lanes;

    /* Writes the `lanes` key stream blocks from `block` on. */
    void (*stream)(uint8_t *out, const uint32_t *state, uint64_t block, int rounds);

    /* XORs any number of bytes with the key stream from `block` on. */
    void (*crypt)(uint8_t *out, const uint8_t *in, size_t size, const uint32_t *state,
                  uint64_t block, int rounds);

    /* Writes `count` blocks, a multiple of `lanes`, each the XOR of the block written before it
     * and the next block of the 20-round key stream. `out - 64` holds the block before the first. */
    void (*chain)(uint8_t *out, const uint32_t *state, uint64_t block, size_t count);
};

extern const struct salsa20_path orrery_salsa20_scalar;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define HAVE_LANES4 1
extern const struct salsa20_path orrery_salsa20_lanes4;
#endif
#if defined(__x86_64__)
#define HAVE_AVX 1
extern const struct salsa20_path orrery_salsa20_avx2;
extern const struct salsa20_path orrery_salsa20_avx512;
#endif

/* The path numbered so, or NULL when this machine cannot run it. */
const struct salsa20_path *orrery_salsa20_numbered(int path);

/* How many paths there are at most. */
#define SALSA20_PATHS 4

/* The path in use. */
const struct salsa20_path *orrery_salsa20_path(void);

/* Lays a 32-byte key and an 8-byte iv out as the 16 words of Salsa20's input; the block number is
 * left zero. */
void orrery_salsa20_setup(uint32_t state[16], const uint8_t *key, const uint8_t *iv);

static inline uint32_t load_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void store_le32(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
    p[2] = (uint8_t)(value >> 16);
    p[3] = (uint8_t)(value >> 24);
}

static inline uint64_t load_le64(const uint8_t *p)
{
    return (uint64_t)load_le32(p) | (uint64_t)load_le32(p + 4) << 32;
}

static inline void store_le64(uint8_t *p, uint64_t value)
{
    store_le32(p, (uint32_t)value);
    store_le32(p + 4, (uint32_t)(value >> 32));
}

#endif
