"""Worlds: signed sets of roots.

Layout (ZeroTierOne node/World.hpp); integers are big-endian:

    offset  size  field
    0       1     type: 1 planet, 127 moon (0 decodes, and is good for nothing)
    1       8     id
    9       8     timestamp, milliseconds by custom
    17      64    public key that the next revision must be signed by
    81      96    signature
    177     1     number of roots, at most 4
    178     ...   per root: identity (public, 71 bytes), number of endpoints (1 byte, at most 32),
                  endpoints
    ...     2     moons only: length of a dictionary, empty today
    ...     ...   moons only: the dictionary

Signed are eight bytes 0x7f, all fields but the signature with an empty dictionary, and eight bytes
0xf7. A node makes these bytes from what it has decoded, not from what it has received: private
keys of roots, endpoints of reserved types and dictionaries are outside of the signature.
"""

from dataclasses import dataclass, field, replace
from enum import IntEnum
from struct import Struct
from typing import Self

from orrery.errors import DecodeError, UsageError, VerifyError
from orrery.wire import signature as signatures
from orrery.wire.cursor import Reader, ends_early
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.signature import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, SigningKey

MAX_ROOTS = 4
"""ZT_WORLD_MAX_ROOTS: with more, a node throws the World away."""
MAX_ENDPOINTS = 32
"""ZT_WORLD_MAX_STABLE_ENDPOINTS_PER_ROOT, likewise."""
EARTH_ID = 149604618
"""The id of the planet that is built into every client, and of what mkworld makes."""
UNSIGNED = bytes(SIGNATURE_BYTES)
"""Stands where a signature is not made yet."""

_HEAD = Struct(">BQQ64s96sB")
_SIGNATURE_OFFSET = 81
_LARGEST_U64 = 2**64 - 1
_MAX_DICTIONARY_BYTES = 0xFFFF


class WorldType(IntEnum):
    """What kind of set of roots it is."""

    NULL = 0
    PLANET = 1
    MOON = 127


_TYPES = {int(world_type): world_type for world_type in WorldType}


@dataclass(frozen=True, slots=True)
class Root:
    """A server listed in a World."""

    identity: Identity
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A planet or a moon.

    Attributes:
        type: planet or moon.
        id: 64 bits, the same for all revisions.
        timestamp_ms: 64 bits, larger with each revision.
        updates_must_be_signed_by: the 64-byte public key for the next revision.
        roots: in the order in which they are written.
        signature: 96 bytes; zeros while it is not signed.
        dictionary: what a moon carries behind its roots, verbatim.
    """

    type: WorldType
    id: int
    timestamp_ms: int
    updates_must_be_signed_by: bytes
    roots: tuple[Root, ...]
    signature: bytes = UNSIGNED
    dictionary: bytes = b""
    _encoded: bytes | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a World; bytes after it are left alone, as by a node.

        Raises:
            DecodeError: a node could not read it either.
        """
        return cls.read(Reader(data))

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a World as a node does.

        The reader may end behind its data: the body of a reserved endpoint type or a dictionary
        which is cut short at the very end is not noticed.

        Raises:
            DecodeError: an unknown type, too many roots or endpoints, or the data end early.
        """
        data, offset = reader.data, reader.offset
        if offset < len(data) and data[offset] not in _TYPES:
            raise DecodeError(
                f"this is no World: it begins with {data[offset]}, where 1 stands for a planet and "
                "127 for a moon"
            )
        if offset + _HEAD.size > len(data):
            raise ends_early(data, offset, _HEAD.size)
        kind, world_id, timestamp_ms, updates_key, signature, root_count = _HEAD.unpack_from(
            data, offset
        )
        if root_count > MAX_ROOTS:
            raise DecodeError(
                f"a World with {root_count} roots: nodes throw away one with more than {MAX_ROOTS}"
            )
        reader.offset = offset + _HEAD.size
        roots = tuple([_read_root(reader, number + 1) for number in range(root_count)])
        dictionary = b""
        if kind == WorldType.MOON:
            length = reader.u16()
            dictionary = data[reader.offset : reader.offset + length]
            reader.skip(length)
        return cls(
            type=_TYPES[kind],
            id=world_id,
            timestamp_ms=timestamp_ms,
            updates_must_be_signed_by=updates_key,
            roots=roots,
            signature=signature,
            dictionary=dictionary,
        )

    def encode(self) -> bytes:
        """The binary form, made once.

        Raises:
            UsageError: nodes could not read it: too many roots or endpoints, a number too large.
        """
        encoded = self._encoded
        if encoded is None:
            encoded = self._encode()
            object.__setattr__(self, "_encoded", encoded)
        return encoded

    def signed_bytes(self) -> bytes:
        """What the signature is over.

        Raises:
            UsageError: as `encode`.
        """
        encoded = self.encode()
        rest = encoded[_SIGNATURE_OFFSET + SIGNATURE_BYTES :]
        if self.dictionary:
            rest = rest[: -len(self.dictionary) - 2] + b"\x00\x00"
        return b"\x7f" * 8 + encoded[:_SIGNATURE_OFFSET] + rest + b"\xf7" * 8

    def sign(self, key: SigningKey) -> "World":
        """This World, signed.

        Raises:
            UsageError: as `encode`.
            VerifyError: the key is no pair.
        """
        return replace(self, signature=key.sign(self.signed_bytes()))

    def verify(self, public_key: bytes) -> None:
        """Verify the signature as a node does.

        Args:
            public_key: 64 bytes: what the revision before names.

        Raises:
            VerifyError: this key did not sign this World.
        """
        signatures.verify(public_key, self.signed_bytes(), self.signature)

    @property
    def is_self_signed(self) -> bool:
        """Whether it is signed by the key that it names for its next revision."""
        try:
            self.verify(self.updates_must_be_signed_by)
        except VerifyError:
            return False
        return True

    def _encode(self) -> bytes:
        self._check()
        parts = [
            _HEAD.pack(
                self.type,
                self.id,
                self.timestamp_ms,
                self.updates_must_be_signed_by,
                self.signature,
                len(self.roots),
            )
        ]
        for root in self.roots:
            parts.append(root.identity.to_bytes())
            parts.append(len(root.endpoints).to_bytes())
            parts.extend([endpoint.encode() for endpoint in root.endpoints])
        if self.type == WorldType.MOON:
            parts.append(len(self.dictionary).to_bytes(2))
            parts.append(self.dictionary)
        return b"".join(parts)

    def _check(self) -> None:
        """Refuse what no node could read, or what would not be read as it was meant."""
        name = f"World {self.id:016x}"
        if len(self.roots) > MAX_ROOTS:
            raise UsageError(
                f"{name} has {len(self.roots)} roots, and nodes throw away a World with more than "
                f"{MAX_ROOTS}: leave some out"
            )
        for number, root in enumerate(self.roots, 1):
            if len(root.endpoints) > MAX_ENDPOINTS:
                raise UsageError(
                    f"root {number} of {name} has {len(root.endpoints)} endpoints, and nodes throw "
                    f"away a World with more than {MAX_ENDPOINTS}: leave some out"
                )
        if not (0 <= self.id <= _LARGEST_U64 and 0 <= self.timestamp_ms <= _LARGEST_U64):
            raise UsageError(f"the id and the timestamp of {name} must fit 64 bits")
        if (
            len(self.updates_must_be_signed_by) != PUBLIC_KEY_BYTES
            or len(self.signature) != SIGNATURE_BYTES
        ):
            raise UsageError(
                f"{name} must name a key of {PUBLIC_KEY_BYTES} bytes and have a signature of "
                f"{SIGNATURE_BYTES}"
            )
        if len(self.dictionary) > (_MAX_DICTIONARY_BYTES if self.type == WorldType.MOON else 0):
            raise UsageError(
                f"{name} has a dictionary of {len(self.dictionary)} bytes: moons may carry "
                f"{_MAX_DICTIONARY_BYTES}, planets none"
            )


def _read_root(reader: Reader, number: int) -> Root:
    try:
        identity = Identity.read(reader).public()
        endpoint_count = reader.u8()
        if endpoint_count > MAX_ENDPOINTS:
            raise DecodeError(
                f"{endpoint_count} endpoints, and nodes throw away a World with more than "
                f"{MAX_ENDPOINTS}"
            )
        return Root(identity, tuple([Endpoint.read(reader) for _ in range(endpoint_count)]))
    except DecodeError as error:
        raise DecodeError(f"root {number} of the World: {error}") from None
