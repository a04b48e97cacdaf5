/*
 * The kernel of Orrery: what ZeroTier's protocol asks for and Python cannot do fast.
 *
 * This header is also what cffi reads: below the include lines it holds plain declarations only.
 * Every function is thread-safe, knows nothing of Python and runs without its interpreter lock.
 * Sizes are in bytes. Outputs may be the same memory as the input they are made from, but may not
 * overlap it otherwise.
 */
#ifndef ORRERY_KERNEL_H
#define ORRERY_KERNEL_H

#include <stddef.h>
#include <stdint.h>

/* XORs `size` bytes with the Salsa20 key stream (12 or 20 rounds) from its 64-byte block `block`
 * on. Key 32 bytes, iv 8 bytes. */
void orrery_salsa20(uint8_t *out, const uint8_t *in, size_t size, const uint8_t *key,
                    const uint8_t *iv, int rounds, uint64_t block);

/* The 16-byte Poly1305 tag of a message under a 32-byte one-time key (RFC 8439, 2.5). */
void orrery_poly1305(uint8_t *tag, const uint8_t *message, size_t size, const uint8_t *key);

/* Turns SHA-512(public key), 64 bytes, into the memory-hard digest in place (ZeroTierOne
 * node/Identity.cpp). Works in 2 MiB which each thread keeps until it ends. Returns 0, or -1 when
 * there is no memory. */
int orrery_memory_hard(uint8_t *digest);

/* Copies a packet of 28 to 65,535 bytes to `out`, sets its cipher (0 or 1), encrypts it for cipher
 * 1 and writes its MAC. Key 32 bytes (ZeroTierOne node/Packet.cpp). */
void orrery_armor(uint8_t *out, const uint8_t *packet, size_t size, const uint8_t *key,
                  int cipher);

/* Checks the MAC of a packet and copies it to `out` with its payload decrypted. Returns 0; or -1,
 * and leaves `out` alone, when the MAC is wrong, the cipher is neither 0 nor 1, or no packet is of
 * that size. */
int orrery_dearmor(uint8_t *out, const uint8_t *packet, size_t size, const uint8_t *key);

/* Code paths: one per kind of processor, numbered from 0 (plain C) upwards. The name is NULL when
 * this machine cannot run the path. The best one is chosen at first use; tests force the others
 * (-1: back to the best). orrery_force_path returns the path now in use, or -1 when it cannot be
 * had. */
const char *orrery_path_name(int path);
int orrery_force_path(int path);

/* Runs every path this machine has against known answers. Returns 0, or the 1-based number of the
 * check that failed. */
int orrery_self_test(void);

#endif
