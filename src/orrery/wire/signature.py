"""Signatures and the key pairs that make them.

A key is a pair of keys: X25519 for agreement, Ed25519 for signatures (ZeroTierOne node/C25519.hpp).
Layout of a public or a private key:

    offset  size  field
    0       32    X25519 (public key, or secret scalar)
    32      32    Ed25519 (public key, or seed)

Layout of a signature, which is over h = the first 32 bytes of SHA-512(message):

    offset  size  field
    0       32    R of the Ed25519 signature of h
    32      32    S of it, little-endian
    64      32    h
"""

import hashlib
from base64 import b32encode
from collections.abc import Callable
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from orrery.errors import DecodeError, VerifyError

PUBLIC_KEY_BYTES = 64
PRIVATE_KEY_BYTES = 64
SIGNATURE_BYTES = 96
_FINGERPRINT_BITS = 100
_ORDER = 2**252 + 27742317777372353535851937790883648493
"""The order of the Ed25519 base point (RFC 8032, L)."""


def sign(private_key: bytes, public_key: bytes, message: bytes) -> bytes:
    """Sign a message; the same key and message always give the same 96 bytes.

    Args:
        private_key: 64 bytes.
        public_key: 64 bytes, of which the second half must belong to the private key.
        message: any bytes.

    Raises:
        VerifyError: the two keys are no pair, so nobody could verify the signature.
    """
    key = Ed25519PrivateKey.from_private_bytes(private_key[32:64])
    if key.public_key().public_bytes_raw() != public_key[32:64]:
        raise VerifyError(
            f"the private key does not belong to the public key {fingerprint(public_key)}: "
            "use the two halves of one pair"
        )
    digest = hashlib.sha512(message).digest()[:32]
    return key.sign(digest) + digest


def verify(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Verify a signature with exactly the tolerance of a node.

    A node does not ask S to be below the group order, and takes public keys of small order. The
    first half of the public key does not matter.

    Args:
        public_key: 64 bytes.
        message: what was signed.
        signature: 96 bytes.

    Raises:
        VerifyError: the message or the signature was changed, or another key signed.
    """
    if not is_over(message, signature):
        raise VerifyError("the signature was made for other bytes than these")
    # A strict Ed25519 refuses S >= L; for the node S and S mod L are the same.
    s = int.from_bytes(signature[32:64], "little")
    if s >= _ORDER:
        ed25519_signature = signature[:32] + (s % _ORDER).to_bytes(32, "little")
    else:
        ed25519_signature = signature[:64]
    try:
        Ed25519PublicKey.from_public_bytes(public_key[32:64]).verify(
            ed25519_signature, signature[64:]
        )
    except (InvalidSignature, ValueError):
        raise VerifyError(
            f"the signature was not made by the key {fingerprint(public_key)}"
        ) from None


def is_over(message: bytes, signature: bytes) -> bool:
    """Whether a signature, whoever made it, was made for these bytes."""
    digest = hashlib.sha512(message).digest()[:32]
    return len(signature) == SIGNATURE_BYTES and compare_digest(signature[64:], digest)


def fingerprint(public_key: bytes) -> str:
    """Twenty letters and digits in groups of four, to compare or to read aloud.

    They are the first 100 bits of the SHA-384 of what is given, in base 32 (RFC 4648, small
    letters): too many for anyone to make a key that has the same.
    """
    digest = hashlib.sha384(public_key).digest()
    letters = b32encode(digest[:15]).decode("ascii").lower()[: _FINGERPRINT_BITS // 5]
    return "-".join(letters[i : i + 4] for i in range(0, len(letters), 4))


def derive_public_key(private_key: bytes) -> bytes:
    """The 64 bytes that belong to the 64 bytes of a private key."""
    x25519 = X25519PrivateKey.from_private_bytes(private_key[:32]).public_key()
    ed25519 = Ed25519PrivateKey.from_private_bytes(private_key[32:64]).public_key()
    return x25519.public_bytes_raw() + ed25519.public_bytes_raw()


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The pair of keys that signs Worlds.

    Layout (ZeroTierOne attic/world/mkworld.cpp, previous.c25519 and current.c25519):

        offset  size  field
        0       64    public key
        64      64    private key

    Attributes:
        public: 64 bytes.
        private: 64 bytes. They stand in no representation of the object.
    """

    public: bytes
    private: bytes = field(repr=False)

    @classmethod
    def generate(cls, entropy: Callable[[int], bytes]) -> Self:
        """Make a pair from random bytes.

        Args:
            entropy: gives so many random bytes; `os.urandom`.
        """
        private = entropy(PRIVATE_KEY_BYTES)
        return cls(derive_public_key(private), private)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read the 128 bytes of a key file.

        Raises:
            DecodeError: another length, or the halves do not belong together.
        """
        if len(data) != PUBLIC_KEY_BYTES + PRIVATE_KEY_BYTES:
            raise DecodeError(
                f"a signing key has 128 bytes, this has {len(data)}: use a whole .c25519 file"
            )
        key = cls(data[:PUBLIC_KEY_BYTES], data[PUBLIC_KEY_BYTES:])
        key.validate()
        return key

    def encode(self) -> bytes:
        """The 128 bytes of a key file."""
        return self.public + self.private

    def validate(self) -> None:
        """Check that the two halves are a pair.

        Raises:
            DecodeError: they are not.
        """
        if len(self.private) != PRIVATE_KEY_BYTES or derive_public_key(self.private) != self.public:
            raise DecodeError(
                f"the private key in this file does not belong to the public key "
                f"{fingerprint(self.public)} in it: the file is damaged, use its backup"
            )

    def sign(self, message: bytes) -> bytes:
        """Sign a message, as `sign` does."""
        return sign(self.private, self.public, message)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the public key."""
        return fingerprint(self.public)
