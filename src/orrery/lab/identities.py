"""Identities without proof of work, for fleets too large to prove.

Making 10,000 real identities takes an hour of CPU. What is made here costs next to nothing, and
no real node and no root that checks proofs lets it in: a root must be told of it beforehand as a
node that it knows (`RootNode.learn`), or check with `check_unproven` in place of
`Identity.validate`.
"""

from __future__ import annotations

import hashlib

from orrery.errors import VerifyError
from orrery.wire.address import Address, format_address, is_reserved
from orrery.wire.identity import Identity
from orrery.wire.signature import derive_public_key


def make_unproven_identity(seed: int | str) -> Identity:
    """The identity of a virtual node, the same for the same seed; its secrets are no secrets."""
    private_key = hashlib.sha512(f"orrery lab identity {seed}".encode()).digest()
    public_key = derive_public_key(private_key)
    return Identity(_address_of(public_key), public_key, private_key)


def check_unproven(identity: Identity) -> None:
    """Check the address of an identity of the lab.

    Raises:
        VerifyError: `make_unproven_identity` did not make it.
    """
    if identity.address != _address_of(identity.public_key):
        raise VerifyError(
            f"identity {format_address(identity.address)} is none of the lab's: its address does "
            "not follow from its key"
        )


def _address_of(public_key: bytes) -> Address:
    digest = hashlib.sha256(public_key).digest()
    for start in range(len(digest) - 4):
        address = Address(int.from_bytes(digest[start : start + 5]))
        if not is_reserved(address):
            return address
    raise AssertionError("no digest is made of reserved addresses only")
