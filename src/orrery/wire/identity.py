"""Identities: an address with the keys it is derived from.

Binary layout (ZeroTierOne node/Identity.hpp); integers are big-endian:

    offset  size  field
    0       5     address
    5       1     type, 0
    6       64    public key: X25519, Ed25519
    70      1     length of the private key: 0 or 64
    71      64    private key: X25519 scalar, Ed25519 seed

Text: `address:0:public key[:private key]`, all but the type in hex.
"""

import hashlib
import os
import re
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from struct import Struct
from typing import Self, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from orrery import kernel
from orrery.errors import CustodyError, DecodeError, UsageError, VerifyError
from orrery.wire import signature
from orrery.wire.address import Address, format_address, is_reserved, pack_address, parse_address
from orrery.wire.cursor import Reader, ends_early
from orrery.wire.signature import PRIVATE_KEY_BYTES, PUBLIC_KEY_BYTES, derive_public_key
from orrery.wire.strtoul import strtoul

PUBLIC_IDENTITY_BYTES = 71
AGREED_KEY_BYTES = 48
_FIRST_DIGEST_BYTE_BELOW = 17
"""The proof of work: the first byte of the digest is below this (Identity.cpp)."""
_NODE_TEXT_BYTES = 384
_PUBLIC = Struct(">BIB64sB")
_HEX = re.compile(r"[0-9a-fA-F]*")
_AS_NODE = bytes(byte if byte in b"0123456789abcdefABCDEF" else ord("0") for byte in range(256))
"""What a node takes each character of a key for."""

_Draw: TypeAlias = Callable[[], tuple[bytes, bytes]]
"""Gives the next scalar and the 64-byte public key that it makes."""
_Search: TypeAlias = Callable[[_Draw, Callable[[int], None]], tuple[bytes, bytes, Address]]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a node is. Two identities are equal when address and public key are.

    Attributes:
        address: what the node is called.
        public_key: 64 bytes.
        private_key: 64 bytes, or None. They stand in no representation of the object.
    """

    address: Address
    public_key: bytes
    private_key: bytes | None = field(default=None, repr=False, compare=False)

    @classmethod
    def from_string(cls, text: str) -> Self:
        """Read the text form that a person or a file gives; blanks around it are fine.

        Neither the proof of work nor the address is checked against the key: see `validate`.

        Raises:
            DecodeError: with the mistake. A private key that is not the public key's is one.
        """
        fields = text.strip().split(":")
        if fields == [""]:
            raise DecodeError("an empty text is no identity: write address:0:public key")
        if len(fields) not in (3, 4):
            raise DecodeError(
                f"an identity has 3 fields between colons, or 4 with its private key, and this "
                f"text has {len(fields)}: write address:0:public key"
            )
        address = parse_address(fields[0])
        if fields[1] != "0":
            raise DecodeError(
                f"the type of identity {format_address(address)} is not 0, the only one there is: "
                "write address:0:public key"
            )
        public_key = _parse_key(fields[2], "public", address)
        if len(fields) == 3:
            return cls(address, public_key)
        private_key = _parse_key(fields[3], "private", address)
        if derive_public_key(private_key) != public_key:
            raise DecodeError(
                f"the private key of identity {format_address(address)} does not belong to its "
                "public key: take both from one identity.secret"
            )
        return cls(address, public_key, private_key)

    @classmethod
    def parse_as_node(cls, text: str) -> Self:
        """Read text exactly as loosely as a node does (Identity::fromString).

        Empty fields vanish, the address is whatever number its field begins with, modulo 2^40, a
        bad digit in a key counts as 0, digits after a key are dropped, and a private key is not
        compared with the public one.

        Raises:
            DecodeError: the node refuses it.
        """
        raw = text.encode("utf-8", "replace").partition(b"\0")[0]
        if len(raw) >= _NODE_TEXT_BYTES:
            raise DecodeError(
                f"an identity of {len(raw)} characters: a node reads at most {_NODE_TEXT_BYTES - 1}"
            )
        fields = [part for part in raw.split(b":") if part]
        if not 3 <= len(fields) <= 4:
            raise DecodeError(f"an identity has 3 or 4 fields, and this text has {len(fields)}")
        address = Address(strtoul(fields[0], 16) & 0xFFFFFFFFFF)
        if is_reserved(address):
            raise DecodeError(f"{format_address(address)} is a reserved address")
        if fields[1] != b"0":
            raise DecodeError("the type of an identity is 0")
        keys = [_parse_key_as_node(part) for part in fields[2:]]
        return cls(address, *keys)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read the binary form; bytes after it are left alone, and nothing is validated.

        Raises:
            DecodeError: as `read`.
        """
        return cls.read(Reader(data))

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the binary form as a node does: reserved and wrong addresses are not noticed.

        Raises:
            DecodeError: an unknown type, an impossible private key, or the data end early.
        """
        data, offset = reader.data, reader.offset
        end = offset + PUBLIC_IDENTITY_BYTES
        if end > len(data):
            if offset + 5 < len(data) and data[offset + 5]:
                raise _unknown_type(data[offset + 5])
            raise ends_early(data, offset, PUBLIC_IDENTITY_BYTES)
        high, low, kind, public_key, private_size = _PUBLIC.unpack_from(data, offset)
        if kind:
            raise _unknown_type(kind)
        private_key = None
        if private_size:
            if private_size != PRIVATE_KEY_BYTES:
                raise DecodeError(
                    f"a private key of {private_size} bytes in an identity: it has 64 or none"
                )
            private_key = data[end : end + PRIVATE_KEY_BYTES]
            end += PRIVATE_KEY_BYTES
            if end > len(data):
                raise ends_early(data, end - PRIVATE_KEY_BYTES, PRIVATE_KEY_BYTES)
        reader.offset = end
        return cls(Address(high << 32 | low), public_key, private_key)

    @classmethod
    def generate(
        cls,
        *,
        entropy: Callable[[int], bytes],
        workers: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Self:
        """Make an identity: try keys until one gives a proof of work, about 15 tries.

        The keys are drawn and judged in one order, so the same entropy gives the same identity
        whatever the number of workers.

        Args:
            entropy: gives so many random bytes, `os.urandom`; called in this thread only.
            workers: threads to use; None for one per core.
            progress: called in this thread after each try with the number of tries so far.
        """
        # Only the X25519 half changes between tries, as in the node.
        seed = entropy(32)
        ed25519 = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()

        def draw() -> tuple[bytes, bytes]:
            scalar = entropy(32)
            x25519 = X25519PrivateKey.from_private_bytes(scalar).public_key().public_bytes_raw()
            return scalar, x25519 + ed25519

        search = _search_alone if workers == 1 else _search_in_threads(workers or _cores())
        scalar, public_key, address = search(draw, progress or (lambda _tries: None))
        return cls(address, public_key, scalar + seed)

    def to_string(self, *, secret: bool = False) -> str:
        """The text form.

        Args:
            secret: with the private key.

        Raises:
            CustodyError: it was asked for and is not there.
        """
        public = f"{self.address:010x}:0:{self.public_key.hex()}"
        return f"{public}:{self._secret().hex()}" if secret else public

    def to_bytes(self, *, secret: bool = False) -> bytes:
        """The binary form: 71 bytes, or 135 with the private key.

        Raises:
            CustodyError: the private key was asked for and is not there.
            UsageError: made of an impossible address or key.
        """
        if len(self.public_key) != PUBLIC_KEY_BYTES or not 0 <= self.address >> 40 < 1:
            raise UsageError(
                f"an identity is made of a 40-bit address and a key of 64 bytes, "
                f"not of {self.address:x} and {len(self.public_key)} bytes"
            )
        public = b"%b\x00%b" % (pack_address(self.address), self.public_key)
        return b"%b\x40%b" % (public, self._secret()) if secret else public + b"\x00"

    def public(self) -> "Identity":
        """This identity without its private key."""
        return self if self.private_key is None else Identity(self.address, self.public_key)

    def validate(self) -> None:
        """Check the address and the proof of work, which costs some milliseconds.

        Raises:
            VerifyError: they do not hold.
        """
        name = format_address(self.address)
        if is_reserved(self.address):
            raise VerifyError(f"identity {name} has a reserved address, which no node can have")
        digest = kernel.memory_hard_digest(self.public_key)
        if digest[0] >= _FIRST_DIGEST_BYTE_BELOW:
            raise VerifyError(
                f"identity {name} fails its proof of work, so nodes refuse it: its key was changed "
                "or made up, copy the identity again"
            )
        if digest[59:] != pack_address(self.address):
            raise VerifyError(
                f"identity {name} has a key that belongs to the address {digest[59:].hex()}: "
                "one of the two was changed, copy the identity again"
            )

    def agree(self, other: "Identity") -> bytes:
        """The 48-byte key that the two share (ZeroTierOne node/C25519.cpp, agree).

        Raises:
            CustodyError: this identity has no private key.
        """
        own = X25519PrivateKey.from_private_bytes(self._secret()[:32])
        try:
            raw = own.exchange(X25519PublicKey.from_public_bytes(other.public_key[:32]))
        except ValueError:
            # A key of small order gives zeros, which a node does not mind (and which harms only
            # the owner of such a key).
            raw = bytes(32)
        return hashlib.sha512(raw).digest()[:AGREED_KEY_BYTES]

    def sign(self, message: bytes) -> bytes:
        """Sign a message: 96 bytes.

        Raises:
            CustodyError: this identity has no private key.
            VerifyError: its private key is not its public key's.
        """
        return signature.sign(self._secret(), self.public_key, message)

    def verify(self, message: bytes, signed: bytes) -> None:
        """Verify this identity's signature of a message.

        Raises:
            VerifyError: it does not hold.
        """
        signature.verify(self.public_key, message, signed)

    @property
    def fingerprint(self) -> str:
        """Twenty letters and digits that stand for address and public key."""
        return signature.fingerprint(pack_address(self.address) + self.public_key)

    def __str__(self) -> str:
        return self.to_string()

    def __lt__(self, other: "Identity") -> bool:
        # The order of genmoon: by address as a number, then by the key.
        return (self.address, self.public_key) < (other.address, other.public_key)

    def _secret(self) -> bytes:
        if self.private_key is None:
            raise CustodyError(
                f"the private key of identity {format_address(self.address)} is needed and only "
                "the public one is here: use its identity.secret"
            )
        return self.private_key


def _cores() -> int:
    # Fewer than the machine has, where a container or taskset says so.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _prove(public_key: bytes) -> Address | None:
    """The address of a key that happens to prove the work, else None."""
    digest = kernel.memory_hard_digest(public_key)
    if digest[0] >= _FIRST_DIGEST_BYTE_BELOW:
        return None
    address = Address(int.from_bytes(digest[59:]))
    return None if is_reserved(address) else address


def _search_alone(draw: _Draw, progress: Callable[[int], None]) -> tuple[bytes, bytes, Address]:
    tries = 0
    while True:
        scalar, public_key = draw()
        address = _prove(public_key)
        tries += 1
        progress(tries)
        if address is not None:
            return scalar, public_key, address


def _search_in_threads(workers: int) -> _Search:
    """A search which judges some keys ahead, and takes the first good one in the order of drawing.

    The kernel releases the interpreter lock, so threads are enough.
    """

    def search(draw: _Draw, progress: Callable[[int], None]) -> tuple[bytes, bytes, Address]:
        ahead: deque[tuple[bytes, bytes, Future[Address | None]]] = deque()
        pool = ThreadPoolExecutor(workers, "prove")
        tries = 0
        try:
            while True:
                while len(ahead) < 2 * workers:
                    scalar, public_key = draw()
                    ahead.append((scalar, public_key, pool.submit(_prove, public_key)))
                scalar, public_key, proof = ahead.popleft()
                address = proof.result()
                tries += 1
                progress(tries)
                if address is not None:
                    return scalar, public_key, address
        finally:
            pool.shutdown(cancel_futures=True)

    return search


def _parse_key(text: str, which: str, address: Address) -> bytes:
    """One key of the text form. A private key is quoted in no message."""
    of = f"the {which} key of identity {format_address(address)}"
    good = _HEX.match(text)
    if good is not None and good.end() < len(text):
        raise DecodeError(
            f"character {good.end() + 1} of {of} is no hex digit: keys are made of 0-9 and a-f"
        )
    if len(text) != 2 * PUBLIC_KEY_BYTES:
        raise DecodeError(f"{of} has {len(text)} hex digits, not 128: copy the whole line")
    return bytes.fromhex(text)


def _parse_key_as_node(text: bytes) -> bytes:
    if len(text) < 2 * PUBLIC_KEY_BYTES:
        raise DecodeError(f"a key of {len(text)} digits, where a node wants 128")
    digits = text[: 2 * PUBLIC_KEY_BYTES].translate(_AS_NODE)
    return bytes.fromhex(digits.decode("ascii"))


def _unknown_type(kind: int) -> DecodeError:
    return DecodeError(f"identity of unknown type {kind}: only type 0 exists")
