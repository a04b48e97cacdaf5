/* Poly1305 (RFC 8439, 2.5): the message in 16-byte pieces, each with a bit on top, is a polynomial
 * evaluated at r modulo 2^130 - 5; s is added at the end, modulo 2^128. */
#include "internal.h"

#if defined(__SIZEOF_INT128__) && !defined(ORRERY_NO_INT128)

typedef unsigned __int128 u128;

/*
 * The accumulator h is h0 + 2^64 h1 + 2^128 h2 with a small h2. The clamp of r makes r1 a multiple
 * of 4, so that 2^128 * r1 is 5 / 4 * r1 modulo 2^130 - 5, without a remainder.
 */
void orrery_poly1305(uint8_t *tag, const uint8_t *message, size_t size, const uint8_t *key)
{
    const uint64_t r0 = load_le64(key) & 0x0ffffffc0fffffff;
    const uint64_t r1 = load_le64(key + 8) & 0x0ffffffc0ffffffc;
    const uint64_t s1 = r1 + (r1 >> 2);
    uint64_t h0 = 0, h1 = 0, h2 = 0;

    while (size > 0) {
        uint8_t last[16] = {0};
        uint64_t top = 1;
        size_t step = 16;
        u128 low, high;

        if (size < 16) {
            memcpy(last, message, size);
            last[size] = 1;
            message = last;
            step = size;
            top = 0;
        }
        low = (u128)h0 + load_le64(message);
        h0 = (uint64_t)low;
        high = (u128)h1 + load_le64(message + 8) + (uint64_t)(low >> 64);
        h1 = (uint64_t)high;
        h2 += (uint64_t)(high >> 64) + top;

        low = (u128)h0 * r0 + (u128)h1 * s1;
        high = (u128)h0 * r1 + (u128)h1 * r0 + (u128)h2 * s1 + (uint64_t)(low >> 64);
        h2 = h2 * r0 + (uint64_t)(high >> 64);
        h0 = (uint64_t)low;
        h1 = (uint64_t)high;

        low = (u128)h0 + (h2 >> 2) + (h2 & ~(uint64_t)3);
        h0 = (uint64_t)low;
        high = (u128)h1 + (uint64_t)(low >> 64);
        h1 = (uint64_t)high;
        h2 = (h2 & 3) + (uint64_t)(high >> 64);

        size -= step;
        message += step;
    }

    /* h is below twice the prime: it is at least the prime when adding 5 reaches 2^130. */
    u128 low = (u128)h0 + 5;
    u128 high = (u128)h1 + (uint64_t)(low >> 64);
    uint64_t mask = 0 - ((h2 + (uint64_t)(high >> 64)) >> 2);

    h0 = (h0 & ~mask) | ((uint64_t)low & mask);
    h1 = (h1 & ~mask) | ((uint64_t)high & mask);
    low = (u128)h0 + load_le64(key + 16);
    high = (u128)h1 + load_le64(key + 24) + (uint64_t)(low >> 64);
    store_le64(tag, (uint64_t)low);
    store_le64(tag + 8, (uint64_t)high);
}

#else

/* For machines without 128-bit integers: five limbs of 26 bits. */
#define LIMB 0x3ffffff

void orrery_poly1305(uint8_t *tag, const uint8_t *message, size_t size, const uint8_t *key)
{
    uint64_t r[5], h[5] = {0}, d[5], g[5], carry;

    r[0] = load_le32(key) & 0x3ffffff;
    r[1] = (load_le32(key + 3) >> 2) & 0x3ffff03;
    r[2] = (load_le32(key + 6) >> 4) & 0x3ffc0ff;
    r[3] = (load_le32(key + 9) >> 6) & 0x3f03fff;
    r[4] = (load_le32(key + 12) >> 8) & 0x00fffff;

    while (size > 0) {
        uint8_t last[16] = {0};
        uint64_t top = (uint64_t)1 << 24;
        size_t step = 16;

        if (size < 16) {
            memcpy(last, message, size);
            last[size] = 1;
            message = last;
            step = size;
            top = 0;
        }
        h[0] += load_le32(message) & LIMB;
        h[1] += (load_le32(message + 3) >> 2) & LIMB;
        h[2] += (load_le32(message + 6) >> 4) & LIMB;
        h[3] += (load_le32(message + 9) >> 6) & LIMB;
        h[4] += (load_le32(message + 12) >> 8) | top;

        for (int i = 0; i < 5; i++) {
            d[i] = 0;
            for (int j = 0; j < 5; j++)
                d[i] += h[j] * (j <= i ? r[i - j] : 5 * r[5 + i - j]);
        }
        carry = 0;
        for (int i = 0; i < 5; i++) {
            d[i] += carry;
            h[i] = d[i] & LIMB;
            carry = d[i] >> 26;
        }
        h[0] += 5 * carry;
        h[1] += h[0] >> 26;
        h[0] &= LIMB;

        size -= step;
        message += step;
    }

    carry = 0;
    for (int pass = 0; pass < 2; pass++) {
        h[0] += 5 * carry;
        carry = 0;
        for (int i = 0; i < 5; i++) {
            h[i] += carry;
            carry = h[i] >> 26;
            h[i] &= LIMB;
        }
    }
    h[0] += 5 * carry;

    /* h is below twice the prime: it is at least the prime when adding 5 reaches 2^130. */
    carry = 5;
    for (int i = 0; i < 5; i++) {
        g[i] = h[i] + carry;
        carry = g[i] >> 26;
        g[i] &= LIMB;
    }
    for (int i = 0; i < 5; i++)
        h[i] = (h[i] & (carry - 1)) | (g[i] & (0 - carry));

    uint64_t word[4] = {
        (h[0] | h[1] << 26) & 0xffffffff,
        (h[1] >> 6 | h[2] << 20) & 0xffffffff,
        (h[2] >> 12 | h[3] << 14) & 0xffffffff,
        (h[3] >> 18 | h[4] << 8) & 0xffffffff,
    };
    carry = 0;
    for (int i = 0; i < 4; i++) {
        carry += word[i] + load_le32(key + 16 + 4 * i);
        store_le32(tag + 4 * i, (uint32_t)carry);
        carry >>= 32;
    }
}

#endif
