/* Salsa20, 8 blocks at a time in 256-bit vectors. */
#include "internal.h"

#ifdef HAVE_AVX

#include <immintrin.h>

#define LANES_TARGET __attribute__((target("avx2")))

typedef uint32_t lanes_t __attribute__((vector_size(32)));

/* Three steps, each exchanging the off-diagonal quarters of ever larger squares. */
LANES_TARGET static inline __attribute__((always_inline)) void lanes_transpose(lanes_t x[8])
{
    __m256i a[8], b[8];

    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_epi32((__m256i)x[i], (__m256i)x[i + 1]);
        a[i + 1] = _mm256_unpackhi_epi32((__m256i)x[i], (__m256i)x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        b[i] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
        b[i + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
        b[i + 2] = _mm256_unpacklo_epi64(a[i + 1], a[i + 3]);
        b[i + 3] = _mm256_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        x[i] = (lanes_t)_mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
        x[i + 4] = (lanes_t)_mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
    }
}

#define LANES 8
#define LANES_NAME "avx2"
#define LANES_PATH orrery_salsa20_avx2
#include "salsa20_lanes.h"

#else
typedef int nothing_here;
#endif
