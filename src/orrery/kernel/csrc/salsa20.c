/* Salsa20 for callers, and the choice of the path that computes it. */
#include "internal.h"

void orrery_salsa20_setup(uint32_t state[16], const uint8_t *key, const uint8_t *iv)
{
    state[0] = 0x61707865; /* "expa" */
    state[5] = 0x3320646e; /* "nd 3" */
    state[10] = 0x79622d32; /* "2-by" */
    state[15] = 0x6b206574; /* "te k" */
    for (int i = 0; i < 4; i++) {
        state[1 + i] = load_le32(key + 4 * i);
        state[11 + i] = load_le32(key + 16 + 4 * i);
    }
    state[6] = load_le32(iv);
    state[7] = load_le32(iv + 4);
    state[8] = 0;
    state[9] = 0;
}

const struct salsa20_path *orrery_salsa20_numbered(int path)
{
    switch (path) {
    case 0:
        return &orrery_salsa20_scalar;
#ifdef HAVE_LANES4
    case 1:
        return &orrery_salsa20_lanes4;
#endif
#ifdef HAVE_AVX
    case 2:
        return __builtin_cpu_supports("avx2") ? &orrery_salsa20_avx2 : NULL;
    case 3:
        return __builtin_cpu_supports("avx512f") ? &orrery_salsa20_avx512 : NULL;
#endif
    default:
        return NULL;
    }
}

static const struct salsa20_path *best(void)
{
    for (int path = SALSA20_PATHS - 1; path > 0; path--)
        if (orrery_salsa20_numbered(path) != NULL)
            return orrery_salsa20_numbered(path);
    return &orrery_salsa20_scalar;
}

/* Threads that find it NULL at once all store the same value. */
static const struct salsa20_path *in_use;

const struct salsa20_path *orrery_salsa20_path(void)
{
    const struct salsa20_path *path = __atomic_load_n(&in_use, __ATOMIC_RELAXED);

    if (path == NULL) {
        path = best();
        __atomic_store_n(&in_use, path, __ATOMIC_RELAXED);
    }
    return path;
}

const char *orrery_path_name(int path)
{
    return orrery_salsa20_numbered(path) == NULL ? NULL : orrery_salsa20_numbered(path)->name;
}

int orrery_force_path(int path)
{
    const struct salsa20_path *wanted = path == -1 ? best() : orrery_salsa20_numbered(path);

    if (wanted == NULL)
        return -1;
    __atomic_store_n(&in_use, wanted, __ATOMIC_RELAXED);
    for (path = 0; orrery_salsa20_numbered(path) != wanted; path++)
        ;
    return path;
}

void orrery_salsa20(uint8_t *out, const uint8_t *in, size_t size, const uint8_t *key,
                    const uint8_t *iv, int rounds, uint64_t block)
{
    uint32_t state[16];

    orrery_salsa20_setup(state, key, iv);
    if (size <= SALSA20_BLOCK)
        orrery_salsa20_scalar.crypt(out, in, size, state, block, rounds);
    else
        orrery_salsa20_path()->crypt(out, in, size, state, block, rounds);
}
