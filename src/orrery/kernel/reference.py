"""The kernel in plain Python: slow, and written to be read.

Every function here has the name, arguments and result of the compiled one in `orrery.kernel`, which
tests hold against it. Whoever wants to learn the algorithms should read this file; the C code does
the same, many blocks at once.

Sources: D. J. Bernstein, "The Salsa20 family of stream ciphers"; RFC 8439, section 2.5, for
Poly1305; ZeroTierOne node/Identity.cpp for the proof of work; ZeroTierOne node/Packet.cpp and
node/Packet.hpp for the armor of packets.
"""

import hashlib
import hmac
from collections.abc import Iterator
from itertools import count
from typing import Literal

_BLOCK_SIZE = 64

_MEMORY_SIZE = 2 * 1024 * 1024
_WORD_SIZE = 8

_OFFSET_FLAGS = 18
_OFFSET_MAC = 19
_OFFSET_VERB = 27
_MIN_PACKET_SIZE = 28
_MAX_PACKET_SIZE = 0xFFFF

_FLAG_ENCRYPTED = 0x80
_FLAGS_CIPHER = 0x38
_FLAGS_HOPS = 0x07


def _rotate_left(word: int, bits: int) -> int:
    return (word << bits | word >> (32 - bits)) & 0xFFFFFFFF


def _quarter_round(x: list[int], a: int, b: int, c: int, d: int) -> None:
    x[b] ^= _rotate_left((x[a] + x[d]) & 0xFFFFFFFF, 7)
    x[c] ^= _rotate_left((x[b] + x[a]) & 0xFFFFFFFF, 9)
    x[d] ^= _rotate_left((x[c] + x[b]) & 0xFFFFFFFF, 13)
    x[a] ^= _rotate_left((x[d] + x[c]) & 0xFFFFFFFF, 18)


def _salsa20_block(key: bytes, iv: bytes, rounds: int, block: int) -> bytes:
    """Returns one block of key stream.

    The input is a square of 16 little-endian words, read row by row: a constant in the diagonal,
    and between its words the key's first half, the iv, the block number and the key's second half.
    Rounds stir its columns and its rows in turn; then the input is added once more.
    """
    constant = b"expand 32-byte k"
    square = (
        constant[0:4]
        + key[0:16]
        + constant[4:8]
        + iv
        + (block & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little")
        + constant[8:12]
        + key[16:32]
        + constant[12:16]
    )
    start = [int.from_bytes(square[at : at + 4], "little") for at in range(0, 64, 4)]
    x = list(start)
    for _ in range(rounds // 2):
        _quarter_round(x, 0, 4, 8, 12)
        _quarter_round(x, 5, 9, 13, 1)
        _quarter_round(x, 10, 14, 2, 6)
        _quarter_round(x, 15, 3, 7, 11)

        _quarter_round(x, 0, 1, 2, 3)
        _quarter_round(x, 5, 6, 7, 4)
        _quarter_round(x, 10, 11, 8, 9)
        _quarter_round(x, 15, 12, 13, 14)
    return b"".join(
        ((mixed + first) & 0xFFFFFFFF).to_bytes(4, "little")
        for mixed, first in zip(x, start, strict=True)
    )


def _key_stream(key: bytes, iv: bytes, rounds: int, block: int = 0) -> Iterator[bytes]:
    """Yields the blocks of a key stream, from the given one on, without end."""
    for number in count(block):
        yield _salsa20_block(key, iv, rounds, number)


def _xor(a: bytes | bytearray, b: bytes) -> bytes:
    number = int.from_bytes(a, "big") ^ int.from_bytes(b, "big")
    return number.to_bytes(len(a), "big")


def salsa20(
    data: bytes, key: bytes, iv: bytes, rounds: Literal[12, 20] = 12, block: int = 0
) -> bytes:
    """XORs data with the Salsa20 key stream, from 64-byte block `block` on."""
    stream = _key_stream(key, iv, rounds, block)
    out = bytearray()
    for at in range(0, len(data), _BLOCK_SIZE):
        part = data[at : at + _BLOCK_SIZE]
        out += _xor(part, next(stream)[: len(part)])
    return bytes(out)


def poly1305(message: bytes, key: bytes) -> bytes:
    """Returns the 16-byte tag of a message under a one-time key.

    The key is r (16 bytes, some bits of which are cleared) and s (16 bytes). The message is cut in
    pieces of 16 bytes, each a little-endian number with a 1 put on top. They are the coefficients
    of a polynomial, evaluated at r modulo the prime 2^130 - 5; the tag is that plus s.
    """
    prime = (1 << 130) - 5
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    s = int.from_bytes(key[16:32], "little")
    total = 0
    for at in range(0, len(message), 16):
        piece = int.from_bytes(message[at : at + 16] + b"\x01", "little")
        total = (total + piece) * r % prime
    return ((total + s) % (1 << 128)).to_bytes(16, "little")


def memory_hard_digest(public_key: bytes) -> bytes:
    """Returns the 64-byte digest whose form is the proof of work of an identity.

    One Salsa20/20 key stream runs through both passes. It is keyed from the starting digest: the
    first 32 bytes are the key, the next 8 the iv.
    """
    digest = bytearray(hashlib.sha512(public_key).digest())
    stream = _key_stream(bytes(digest[0:32]), bytes(digest[32:40]), rounds=20)

    # First pass: fill the memory, every block the one before it XOR key stream.
    memory = bytearray()
    block = bytes(_BLOCK_SIZE)
    while len(memory) < _MEMORY_SIZE:
        block = _xor(block, next(stream))
        memory += block

    # Second pass: read the memory in pairs of words. Each pair names a word of the digest and a
    # word of the memory, perhaps one yet to be read; they change places, and the digest is XORed
    # with key stream.
    for at in range(0, _MEMORY_SIZE, 2 * _WORD_SIZE):
        first = int.from_bytes(memory[at : at + 8], "big")
        second = int.from_bytes(memory[at + 8 : at + 16], "big")
        d = first % 8 * _WORD_SIZE
        m = second % (_MEMORY_SIZE // _WORD_SIZE) * _WORD_SIZE
        digest[d : d + 8], memory[m : m + 8] = memory[m : m + 8], digest[d : d + 8]
        digest = bytearray(_xor(digest, next(stream)))
    return bytes(digest)


def _packet_key(packet: bytes, key: bytes) -> bytes:
    """Returns the key of one packet: the agreed one, XORed with what must not be tampered with.

    Bytes 0-17 of the packet (id, destination, source), byte 18 (flags) without the hops, which
    relays count up, and the packet's size, two bytes, low one first.
    """
    bound = (
        packet[:_OFFSET_FLAGS]
        + bytes([packet[_OFFSET_FLAGS] & ~_FLAGS_HOPS])
        + len(packet).to_bytes(2, "little")
    )
    return _xor(key[: len(bound)], bound) + key[len(bound) :]


def _packet_mac(packet: bytes, packet_key: bytes) -> bytes:
    """Returns the MAC of an encrypted packet; its one-time key starts the key stream."""
    one_time_key = salsa20(bytes(32), packet_key, packet[:8])
    return poly1305(packet[_OFFSET_VERB:], one_time_key)[:8]


def armor(packet: bytes, key: bytes, cipher: int) -> bytes:
    """Returns a packet with its cipher set, its payload encrypted and its MAC in place.

    Layout of a packet (offset size field):

        0   8  packet id, the iv of Salsa20
        8   5  destination
        13  5  source
        18  1  flags: bit 7 set with cipher 1 only, bit 6 fragmented, bits 5-3 cipher, bits 2-0 hops
        19  8  MAC: first bytes of the Poly1305 tag of all that follows, as sent
        27  1  verb; from here on cipher 1 encrypts
        28     payload

    Both ciphers are Salsa20 with 12 rounds. Cipher 0 sends the payload in the clear; cipher 1
    encrypts it with the key stream from its second block on.
    """
    flags = packet[_OFFSET_FLAGS] & ~(_FLAG_ENCRYPTED | _FLAGS_CIPHER) | cipher << 3
    if cipher == 1:
        flags |= _FLAG_ENCRYPTED
    header = packet[:_OFFSET_FLAGS] + bytes([flags])
    body = packet[_OFFSET_VERB:]
    packet_key = _packet_key(header + packet[_OFFSET_MAC:], key)
    if cipher == 1:
        body = salsa20(body, packet_key, header[:8], block=1)
    mac = _packet_mac(header + bytes(8) + body, packet_key)
    return header + mac + body


def dearmor(packet: bytes, key: bytes) -> bytes | None:
    """Returns a received packet with its payload decrypted, all else as it came.

    None when the MAC is wrong, the cipher is neither 0 nor 1, or no packet is of that size.
    """
    if not _MIN_PACKET_SIZE <= len(packet) <= _MAX_PACKET_SIZE:
        return None
    cipher = (packet[_OFFSET_FLAGS] & _FLAGS_CIPHER) >> 3
    if cipher > 1:
        return None
    packet_key = _packet_key(packet, key)
    mac = _packet_mac(packet, packet_key)
    if not hmac.compare_digest(mac, packet[_OFFSET_MAC:_OFFSET_VERB]):
        return None
    body = packet[_OFFSET_VERB:]
    if cipher == 1:
        body = salsa20(body, packet_key, packet[:8], block=1)
    return packet[:_OFFSET_VERB] + body
