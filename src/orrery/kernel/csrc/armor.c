/*
 * Packet armor with ciphers 0 and 1 (ZeroTierOne node/Packet.cpp, node/Packet.hpp).
 *
 *   offset size
 *        0    8  packet id, which is the Salsa20 iv
 *        8    5  destination
 *       13    5  source
 *       18    1  flags: bit 7 set with cipher 1 only, bit 6 fragmented, bits 5-3 cipher, bits 2-0
 *                hops, which relays change and no key covers
 *       19    8  MAC: the start of Poly1305 over all that follows, after encryption
 *       27    1  verb, from here on encrypted with cipher 1
 *       28       payload
 *
 * The key of a packet is the agreed one XOR (bytes 0-17, flags without hops, size as two bytes,
 * low one first). The one-time key of the MAC is the first half of Salsa20/12's first block, the
 * rest of which is dropped; encryption starts with the second block.
 */
#include "internal.h"

#define FLAGS 18
#define MAC 19
#define MAC_SIZE 8
#define VERB 27
#define MIN_PACKET 28
#define MAX_PACKET 0xffff /* the size that the key is mangled with has two bytes */
#define FLAG_ENCRYPTED 0x80
#define FLAGS_CIPHER 0x38
#define FLAGS_HOPS 0x07

#define ROUNDS 12

struct packet_keys {
    const struct salsa20_path *path;
    uint32_t state[16];
    /* Key stream blocks 0 to path->lanes - 1, or only the first with cipher 0. */
    uint8_t stream[SALSA20_BLOCK * SALSA20_MAX_LANES];
};

static void derive(struct packet_keys *keys, const uint8_t *packet, size_t size, uint8_t flags,
                   const uint8_t *key, int cipher)
{
    uint8_t mangled[32];

    for (int i = 0; i < FLAGS; i++)
        mangled[i] = key[i] ^ packet[i];
    mangled[FLAGS] = key[FLAGS] ^ (uint8_t)(flags & ~FLAGS_HOPS);
    mangled[19] = key[19] ^ (uint8_t)size;
    mangled[20] = key[20] ^ (uint8_t)(size >> 8);
    memcpy(mangled + 21, key + 21, sizeof mangled - 21);
    orrery_salsa20_setup(keys->state, mangled, packet);
    keys->path = cipher == 0 ? &orrery_salsa20_scalar : orrery_salsa20_path();
    keys->path->stream(keys->stream, keys->state, 0, ROUNDS);
}

/* XORs everything from the verb on with the key stream from its second block on. */
static void crypt(uint8_t *out, const uint8_t *in, size_t size, const struct packet_keys *keys)
{
    size_t ready = SALSA20_BLOCK * (keys->path->lanes - 1);

    if (ready > size)
        ready = size;
    for (size_t i = 0; i < ready; i++)
        out[i] = in[i] ^ keys->stream[SALSA20_BLOCK + i];
    if (size > ready)
        keys->path->crypt(out + ready, in + ready, size - ready, keys->state, keys->path->lanes,
                          ROUNDS);
}

void orrery_armor(uint8_t *out, const uint8_t *packet, size_t size, const uint8_t *key, int cipher)
{
    struct packet_keys keys;
    uint8_t tag[16];
    uint8_t flags = (uint8_t)(packet[FLAGS] & ~(FLAG_ENCRYPTED | FLAGS_CIPHER));

    if (cipher != 0)
        flags = (uint8_t)(flags | FLAG_ENCRYPTED | cipher << 3);
    derive(&keys, packet, size, flags, key, cipher);
    memmove(out, packet, FLAGS);
    out[FLAGS] = flags;
    if (cipher != 0)
        crypt(out + VERB, packet + VERB, size - VERB, &keys);
    else
        memmove(out + VERB, packet + VERB, size - VERB);
    orrery_poly1305(tag, out + VERB, size - VERB, keys.stream);
    memcpy(out + MAC, tag, MAC_SIZE);
}

int orrery_dearmor(uint8_t *out, const uint8_t *packet, size_t size, const uint8_t *key)
{
    struct packet_keys keys;
    uint8_t tag[16];
    int cipher;

    if (size < MIN_PACKET || size > MAX_PACKET)
        return -1;
    cipher = (packet[FLAGS] & FLAGS_CIPHER) >> 3;
    if (cipher > 1)
        return -1;
    derive(&keys, packet, size, packet[FLAGS], key, cipher);
    orrery_poly1305(tag, packet + VERB, size - VERB, keys.stream);
    /* One comparison of all eight bytes: its time tells nothing about where they differ. */
    if (load_le64(tag) != load_le64(packet + MAC))
        return -1;
    memmove(out, packet, VERB);
    if (cipher != 0)
        crypt(out + VERB, packet + VERB, size - VERB, &keys);
    else
        memmove(out + VERB, packet + VERB, size - VERB);
    return 0;
}
