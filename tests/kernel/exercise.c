/*
 * Exercises every function of the kernel, on every code path this machine has: known answers, and
 * random input of all sizes up to a few batches, each path held against the plain one. Meant to be
 * built with sanitizers, as sanitize.py does; memory is allocated at its exact size, so that a step
 * outside of it is seen.
 *
 * Reads the known answers from standard input, one a line, all but the first word in hex:
 *   digest START RESULT          memory_hard
 *   armor CIPHER KEY PLAIN WIRE  armor, and dearmor back
 *   take KEY WIRE                dearmor must succeed
 *   refuse KEY WIRE              dearmor must refuse
 *   tag KEY MESSAGE TAG          poly1305; no MESSAGE when it is empty
 * Ends with status 0, or says what failed and ends with 1.
 */
#include "orrery_kernel.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATHS 4

static const char *path_name = "?";

static void fail(const char *what, size_t size)
{
    fprintf(stderr, "path %s: %s fails (size %zu)\n", path_name, what, size);
    exit(1);
}

static uint64_t seed = 88172645463325252u;

static uint8_t random_byte(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint8_t)(seed >> 32);
}

static uint8_t *allocate(size_t size)
{
    uint8_t *memory = malloc(size > 0 ? size : 1);

    if (memory == NULL)
        abort();
    return memory;
}

static uint8_t *random_bytes(size_t size)
{
    uint8_t *bytes = allocate(size);

    for (size_t i = 0; i < size; i++)
        bytes[i] = random_byte();
    return bytes;
}

/* A copy in memory of its own, of exactly that size. */
static uint8_t *copy_of(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = allocate(size);

    memcpy(copy, bytes, size);
    return copy;
}

static uint8_t *hex_bytes(const char *hex, size_t *size)
{
    uint8_t *bytes;

    *size = strlen(hex) / 2;
    bytes = allocate(*size);
    for (size_t i = 0; i < *size; i++) {
        unsigned value;

        if (sscanf(hex + 2 * i, "%2x", &value) != 1)
            abort();
        bytes[i] = (uint8_t)value;
    }
    return bytes;
}

static void force(int path)
{
    path = orrery_force_path(path);
    if (path < 0)
        abort();
    path_name = orrery_path_name(path);
}

/* All sizes up to three batches of the widest path, and some that are large. */
static size_t next_size(size_t size)
{
    return size < 200 ? size + 1 : size < 3300 ? size + 37 : size * 2 + 1;
}

static void against_plain(int path)
{
    for (size_t size = 0; size < 70000; size = next_size(size)) {
        uint8_t *data = random_bytes(size), *key = random_bytes(32), *iv = random_bytes(8);
        uint8_t *plain = allocate(size), *out = allocate(size);
        int rounds = random_byte() & 1 ? 12 : 20;
        uint64_t block = random_byte();

        if (random_byte() & 1) /* near the carry into the upper word, or the end of the numbers */
            block -= random_byte() & 1 ? 128 : ((uint64_t)1 << 32) + 128;
        force(0);
        orrery_salsa20(plain, data, size, key, iv, rounds, block);
        force(path);
        orrery_salsa20(out, data, size, key, iv, rounds, block);
        if (memcmp(out, plain, size) != 0)
            fail("salsa20", size);
        orrery_salsa20(out, out, size, key, iv, rounds, block);
        if (memcmp(out, data, size) != 0)
            fail("salsa20 in place", size);
        free(plain);
        free(out);

        if (size >= 28 && size <= 0xffff) {
            for (int cipher = 0; cipher < 2; cipher++) {
                uint8_t *wire = allocate(size), *same = copy_of(data, size);
                uint8_t *back = allocate(size);
                size_t flipped = 27 + ((size_t)random_byte() << 8 | random_byte()) % (size - 27);

                force(0);
                orrery_armor(wire, data, size, key, cipher);
                force(path);
                orrery_armor(same, same, size, key, cipher);
                if (memcmp(wire, same, size) != 0)
                    fail("armor in place", size);
                if (orrery_dearmor(back, wire, size, key) != 0 || memcmp(back, wire, 27) != 0 ||
                    memcmp(back + 27, data + 27, size - 27) != 0)
                    fail("dearmor", size);
                if (orrery_dearmor(same, same, size, key) != 0 || memcmp(same, back, size) != 0)
                    fail("dearmor in place", size);
                wire[flipped] ^= (uint8_t)(1 << (random_byte() & 7));
                if (orrery_dearmor(back, wire, size, key) != -1 || memcmp(back, same, size) != 0)
                    fail("dearmor of a changed packet", size);
                free(wire);
                free(same);
                free(back);
            }
        } else if (orrery_dearmor(data, data, size, key) != -1) {
            fail("dearmor of a size that no packet has", size);
        }
        free(data);
        free(key);
        free(iv);
    }
}

static void known_answers(void)
{
    static char line[400000];
    int answers = 0;

    while (fgets(line, sizeof line, stdin) != NULL) {
        char *field[5] = {0};
        size_t size[5] = {0};
        uint8_t *bytes[5] = {0};
        int fields = 0;

        for (char *word = strtok(line, " \n"); word != NULL && fields < 5;
             word = strtok(NULL, " \n"))
            field[fields++] = word;
        for (int i = 1; i < fields; i++)
            bytes[i] = hex_bytes(field[i], &size[i]);

        for (int path = 0; path < PATHS; path++) {
            if (orrery_path_name(path) == NULL)
                continue;
            force(path);
            if (strcmp(field[0], "digest") == 0 && fields == 3) {
                uint8_t *digest = copy_of(bytes[1], 64);

                if (orrery_memory_hard(digest) != 0 || memcmp(digest, bytes[2], 64) != 0)
                    fail("known digest", 64);
                free(digest);
            } else if (strcmp(field[0], "armor") == 0 && fields == 5) {
                uint8_t *wire = allocate(size[3]);

                orrery_armor(wire, bytes[3], size[3], bytes[2], bytes[1][0]);
                if (memcmp(wire, bytes[4], size[4]) != 0)
                    fail("known armor", size[3]);
                if (orrery_dearmor(wire, wire, size[3], bytes[2]) != 0 ||
                    memcmp(wire + 27, bytes[3] + 27, size[3] - 27) != 0)
                    fail("known dearmor", size[3]);
                free(wire);
            } else if ((strcmp(field[0], "take") == 0 || strcmp(field[0], "refuse") == 0) &&
                       fields == 3) {
                uint8_t *out = allocate(size[2]);
                int expected = field[0][0] == 't' ? 0 : -1;

                if (orrery_dearmor(out, bytes[2], size[2], bytes[1]) != expected)
                    fail("known verdict", size[2]);
                free(out);
            } else if (strcmp(field[0], "tag") == 0 && fields >= 3) {
                uint8_t *tag = allocate(16), *message = fields == 4 ? bytes[2] : tag;

                orrery_poly1305(tag, message, fields == 4 ? size[2] : 0, bytes[1]);
                if (memcmp(tag, bytes[fields - 1], 16) != 0)
                    fail("known tag", size[2]);
                free(tag);
            } else {
                fail("reading the known answers", 0);
            }
            answers++;
        }
        for (int i = 1; i < fields; i++)
            free(bytes[i]);
    }
    printf("%d known answers\n", answers);
}

/* Threads that work at the same time must not share their 2 MiB, and must give them back. */
static void *digests_of(void *start)
{
    for (int i = 0; i < 8; i++)
        if (orrery_memory_hard(start) != 0)
            fail("memory_hard in a thread", 64);
    return start;
}

static void threads(void)
{
    enum { THREADS = 8 };
    pthread_t thread[THREADS];
    uint8_t digest[THREADS][64], expected[64];

    force(-1);
    for (int i = 0; i < THREADS; i++) {
        memset(digest[i], i, 64);
        if (pthread_create(&thread[i], NULL, digests_of, digest[i]) != 0)
            abort();
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        memset(expected, i, 64);
        digests_of(expected);
        if (memcmp(digest[i], expected, 64) != 0)
            fail("digest of a thread", 64);
    }
    printf("%d threads\n", THREADS);
}

int main(void)
{
    int failed = orrery_self_test();

    if (failed != 0) {
        fprintf(stderr, "self-test: check %d fails\n", failed);
        return 1;
    }
    for (int path = 0; path < PATHS; path++) {
        if (orrery_path_name(path) == NULL)
            continue;
        against_plain(path);
        printf("path %s\n", orrery_path_name(path));
    }
    if (orrery_path_name(-1) != NULL || orrery_path_name(PATHS) != NULL ||
        orrery_force_path(PATHS) != -1 || orrery_force_path(-1) < 0)
        fail("naming paths", 0);
    known_answers();
    threads();
    return 0;
}
