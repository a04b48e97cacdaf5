/* Salsa20, 16 blocks at a time in 512-bit vectors. */
#include "internal.h"

#ifdef HAVE_AVX

#include <immintrin.h>

#define LANES_TARGET __attribute__((target("avx512f")))

typedef uint32_t lanes_t __attribute__((vector_size(64)));

/* Four steps, each exchanging the off-diagonal quarters of ever larger squares. */
LANES_TARGET static inline __attribute__((always_inline)) void lanes_transpose(lanes_t x[16])
{
    __m512i a[16], b[16];

    for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_epi32((__m512i)x[i], (__m512i)x[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32((__m512i)x[i], (__m512i)x[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
        b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
        b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
        b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    /* Now quarter q of b[4 * g + i] holds words 4 * g to 4 * g + 3 of block 4 * q + i. */
    for (int i = 0; i < 4; i++) {
        __m512i low_even = _mm512_shuffle_i32x4(b[i], b[i + 4], 0x88);
        __m512i low_odd = _mm512_shuffle_i32x4(b[i], b[i + 4], 0xdd);
        __m512i high_even = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0x88);
        __m512i high_odd = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0xdd);

        x[i] = (lanes_t)_mm512_shuffle_i32x4(low_even, high_even, 0x88);
        x[i + 4] = (lanes_t)_mm512_shuffle_i32x4(low_odd, high_odd, 0x88);
        x[i + 8] = (lanes_t)_mm512_shuffle_i32x4(low_even, high_even, 0xdd);
        x[i + 12] = (lanes_t)_mm512_shuffle_i32x4(low_odd, high_odd, 0xdd);
    }
}

#define LANES 16
#define LANES_NAME "avx512"
#define LANES_PATH orrery_salsa20_avx512
#include "salsa20_lanes.h"

#else
typedef int nothing_here;
#endif
