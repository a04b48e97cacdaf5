"""Addresses of nodes: 40 bits, written as 10 hex digits."""

import re
from typing import NewType

from orrery.errors import DecodeError

Address = NewType("Address", int)
"""The 40-bit address of a node, as a number."""

ADDRESS_BYTES = 5
_TEN_DIGITS = re.compile(r"[0-9a-fA-F]{10}")


def parse_address(text: str) -> Address:
    """Read an address from its 10 hex digits; blanks around it and upper case are fine.

    Raises:
        DecodeError: it is something else, or an address that no node can have.
    """
    stripped = text.strip()
    if not _TEN_DIGITS.fullmatch(stripped):
        raise DecodeError(
            f"{_quoted(stripped)} is not an address: write its 10 hex digits, such as 8056c2e21c"
        )
    address = Address(int(stripped, 16))
    if is_reserved(address):
        raise DecodeError(
            f"{stripped.lower()} is a reserved address, which no node can have: an address is "
            "neither zero nor begins with ff"
        )
    return address


def format_address(address: Address) -> str:
    """The 10 hex digits of an address."""
    return f"{address:010x}"


def is_reserved(address: Address) -> bool:
    """Whether no node can have this address: zero, or a first byte of ff.

    Source: ZeroTierOne node/Address.hpp.
    """
    return address == 0 or address >> 32 == 0xFF


def pack_address(address: Address) -> bytes:
    """The 5 bytes of an address."""
    return address.to_bytes(ADDRESS_BYTES)


def _quoted(text: str) -> str:
    # Somebody may have pasted a private key here: show no more than an address could be.
    return repr(text) if len(text) <= 16 else f"a text of {len(text)} characters"
