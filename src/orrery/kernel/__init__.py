"""Compiled C for what Python cannot do fast: Salsa20, Poly1305, packet armor, proof of work.

The C in `csrc/` knows nothing of Python; cffi binds it and lets go of the interpreter lock while it
runs, so threads run it on all cores. `orrery.kernel.reference` holds the same functions in Python,
to read and to test against.
"""

import hashlib
from typing import TYPE_CHECKING, Literal

from orrery.errors import ServiceError
from orrery.kernel._kernel import ffi, lib

if TYPE_CHECKING:
    from orrery.kernel._kernel import Buffer, CData

__all__ = ["armor", "dearmor", "memory_hard_digest", "poly1305", "salsa20"]

_KEY_SIZE = 32
_IV_SIZE = 8
_TAG_SIZE = 16
_PUBLIC_KEY_SIZE = 64
_MIN_PACKET_SIZE = 28
_MAX_PACKET_SIZE = 0xFFFF

# Where C writes, as pairs of the memory and a view of it. A call takes one out and puts it back, so
# a call that starts amid another, in a thread or a signal handler, gets one of its own. To make new
# memory for each call would cost more than to encrypt a small packet does.
_scratch: "list[tuple[CData, Buffer]]" = []

_armor = lib.orrery_armor
_dearmor = lib.orrery_dearmor


def _take_scratch() -> "tuple[CData, Buffer]":
    try:
        return _scratch.pop()
    except IndexError:
        memory = ffi.new("uint8_t[]", _MAX_PACKET_SIZE)
        return memory, ffi.buffer(memory)


def salsa20(
    data: bytes, key: bytes, iv: bytes, rounds: Literal[12, 20] = 12, block: int = 0
) -> bytes:
    """XORs data with the Salsa20 key stream, from 64-byte block `block` on.

    Args:
        data: What to encrypt or decrypt; of any size.
        key: 32 bytes.
        iv: 8 bytes.
        rounds: 12 or 20.
        block: Number of the key stream block that meets the first byte of the data.

    Raises:
        ValueError: The key or iv is of another size, or the rounds are neither 12 nor 20.
    """
    if len(key) != _KEY_SIZE or len(iv) != _IV_SIZE:
        raise ValueError(f"salsa20 wants a key of {_KEY_SIZE} bytes and an iv of {_IV_SIZE} bytes")
    if rounds not in (12, 20):
        raise ValueError(f"salsa20 has 12 or 20 rounds here, not {rounds}")
    size = len(data)
    if size > _MAX_PACKET_SIZE:
        long_out = ffi.new("uint8_t[]", size)
        lib.orrery_salsa20(long_out, data, size, key, iv, rounds, block)
        return ffi.buffer(long_out)[:]
    scratch = _take_scratch()
    lib.orrery_salsa20(scratch[0], data, size, key, iv, rounds, block)
    out = scratch[1][:size]
    _scratch.append(scratch)
    return out


def poly1305(message: bytes, key: bytes) -> bytes:
    """Returns the 16-byte Poly1305 tag of a message (RFC 8439, section 2.5).

    Args:
        message: Of any size.
        key: 32 bytes, never used for two messages.

    Raises:
        ValueError: The key is of another size.
    """
    if len(key) != _KEY_SIZE:
        raise ValueError(f"poly1305 wants a key of {_KEY_SIZE} bytes, not {len(key)}")
    tag = ffi.new("uint8_t[]", _TAG_SIZE)
    lib.orrery_poly1305(tag, message, len(message), key)
    return ffi.buffer(tag)[:]


def memory_hard_digest(public_key: bytes) -> bytes:
    """Returns the 64-byte digest of a public key whose form is the identity's proof of work.

    It is good when its first byte is below 17 and its last five are the address. The work takes 2
    MiB, which each thread keeps for its next call (ZeroTierOne node/Identity.cpp).

    Args:
        public_key: 64 bytes, X25519 then Ed25519.

    Raises:
        ValueError: The public key is of another size.
        MemoryError: There are no 2 MiB left.
    """
    if len(public_key) != _PUBLIC_KEY_SIZE:
        raise ValueError(f"a public key has {_PUBLIC_KEY_SIZE} bytes, not {len(public_key)}")
    digest = ffi.new("uint8_t[64]", hashlib.sha512(public_key).digest())
    if lib.orrery_memory_hard(digest) != 0:
        raise MemoryError("no memory for the 2 MiB that an identity's proof of work takes")
    return ffi.buffer(digest)[:]


def armor(packet: bytes, key: bytes, cipher: int) -> bytes:
    """Returns a packet made ready to send: cipher set in its flags, encrypted, with its MAC.

    Args:
        packet: A whole packet in the clear, 28 to 65,535 bytes. Its MAC is ignored, and of its
            flags only bit 6 (fragmented) and the hops are kept.
        key: The 32-byte Salsa20 key that the two nodes agreed on.
        cipher: 0 (Poly1305 alone, the payload stays readable) or 1 (Salsa20/12 and Poly1305).

    Raises:
        ValueError: The packet or key is of another size, or the cipher is another one.
    """
    size = len(packet)
    if not _MIN_PACKET_SIZE <= size <= _MAX_PACKET_SIZE:
        raise ValueError(f"a packet has {_MIN_PACKET_SIZE} to {_MAX_PACKET_SIZE} bytes, not {size}")
    if len(key) != _KEY_SIZE:
        raise ValueError(f"armor wants a key of {_KEY_SIZE} bytes, not {len(key)}")
    if cipher not in (0, 1):
        raise ValueError(f"the kernel knows ciphers 0 and 1, not {cipher}")
    scratch = _take_scratch()
    _armor(scratch[0], packet, size, key, cipher)
    out = scratch[1][:size]
    _scratch.append(scratch)
    return out


def dearmor(packet: bytes, key: bytes) -> bytes | None:
    """Returns a received packet with its payload decrypted, all else as it came.

    The cipher is the one that the packet's flags name. Relays count up the hops in the flags; no
    key covers them.

    Args:
        packet: A whole packet as received, of any size.
        key: The 32-byte Salsa20 key that the two nodes agreed on.

    Returns:
        The packet; or None when its MAC is wrong, its cipher is neither 0 nor 1, or its size is
        not one that a packet can have (28 to 65,535 bytes).

    Raises:
        ValueError: The key is of another size.
    """
    if len(key) != _KEY_SIZE:
        raise ValueError(f"dearmor wants a key of {_KEY_SIZE} bytes, not {len(key)}")
    size = len(packet)
    scratch = _take_scratch()
    out = scratch[1][:size] if _dearmor(scratch[0], packet, size, key) == 0 else None
    _scratch.append(scratch)
    return out


def _check_itself() -> None:
    """Runs known answers through the compiled code, which takes some millionths of a second.

    Raises:
        ServiceError: The compiled code computes something else on this machine.
    """
    failed = lib.orrery_self_test()
    if failed:
        raise ServiceError(
            f"the compiled kernel fails its self-test (check {failed}) on this machine:"
            " build it again from source, and report the processor and compiler"
        )


_check_itself()
