/* Salsa20, 4 blocks at a time in 128-bit vectors: what every x86-64 (SSE2) and AArch64 (NEON)
 * processor has. */
#include "internal.h"

#ifdef HAVE_LANES4

typedef uint32_t lanes_t __attribute__((vector_size(16)));

static inline __attribute__((always_inline)) void lanes_transpose(lanes_t x[4])
{
    lanes_t r[4];

    for (int i = 0; i < 4; i++)
        r[i] = (lanes_t){x[0][i], x[1][i], x[2][i], x[3][i]};
    for (int i = 0; i < 4; i++)
        x[i] = r[i];
}

#define LANES 4
#define LANES_TARGET
#define LANES_NAME "lanes4"
#define LANES_PATH orrery_salsa20_lanes4
#include "salsa20_lanes.h"

#else
typedef int nothing_here;
#endif
