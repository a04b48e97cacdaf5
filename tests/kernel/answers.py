"""Known answers for the kernel: what ZeroTier One 1.14.1 made, what the papers print."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from tests.vectors.loading import load


@dataclass(frozen=True)
class Digest:
    """A public key and the memory-hard digest that ZeroTier made of it."""

    name: str
    public_key: bytes
    digest: bytes

    @property
    def start(self) -> bytes:
        return hashlib.sha512(self.public_key).digest()


@dataclass(frozen=True)
class Armored:
    """A packet in the clear, and as ZeroTier armored it."""

    name: str
    key: bytes
    cipher: int
    plaintext: bytes
    wire: bytes


@dataclass(frozen=True)
class Received:
    """A packet that came in, changed or not, and whether ZeroTier took it."""

    name: str
    key: bytes
    wire: bytes
    taken: bool


@dataclass(frozen=True)
class Tag:
    """A message and its Poly1305 tag."""

    name: str
    key: bytes
    message: bytes
    tag: bytes


def digests() -> Iterator[Digest]:
    recorded = load("identities.json")
    for case in recorded["valid"] + recorded["invalid"]:
        if case.get("memory_hard_digest"):
            public_key = case.get("public_key") or case["text"].split(":")[2]
            yield Digest(
                case["name"], bytes.fromhex(public_key), bytes.fromhex(case["memory_hard_digest"])
            )


def _keys() -> list[bytes]:
    return [bytes.fromhex(pair["shared_key"])[:32] for pair in load("packets.json")["keys"]]


def armored() -> Iterator[Armored]:
    for case in load("packets.json")["packets"]:
        for cipher in (0, 1):
            if str(cipher) in case["wire"]:
                yield Armored(
                    f"{case['name']}-{cipher}",
                    _keys()[case["keys"]],
                    cipher,
                    bytes.fromhex(case["plaintext"]),
                    bytes.fromhex(case["wire"][str(cipher)]),
                )


def received() -> Iterator[Received]:
    recorded = load("packets.json")
    for case in recorded["tampered"] + recorded["hops"]:
        wire = bytes.fromhex(case["wire"])
        # AES-GMAC-SIV is not the kernel's; what only looks like it is refused by either.
        if len(wire) < 28 or (wire[18] & 0x38) >> 3 != 3:
            yield Received(case["name"], _keys()[case["keys"]], wire, case["dearmor"])


def tags() -> Iterator[Tag]:
    """RFC 8439, section 2.5.2 and appendix A.3."""
    text = (
        b"Any submission to the IETF intended by the Contributor for publication as all or part of "
        b"an IETF Internet-Draft or RFC and any statement made within the context of an IETF "
        b'activity is considered an "IETF Contribution". Such statements include oral statements '
        b"in IETF sessions, as well as written and electronic communications made at any time or "
        b"place, which are addressed to"
    )
    zeros = "00" * 16
    r_of_2 = "02" + "00" * 15
    r_of_1 = "01" + "00" * 15
    ones = "ff" * 16
    s = "36e5f6b5c5e06070f0efca96227a863e"
    for name, key, message, tag in [
        (
            "2.5.2",
            "85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b",
            b"Cryptographic Forum Research Group",
            "a8061dc1305136c6c22b8baf0c0127a9",
        ),
        ("A.3-1", zeros * 2, bytes(64), zeros),
        ("A.3-2", zeros + s, text, s),
        ("A.3-3", s + zeros, text, "f3477e7cd95417af89a6b8794c310cf0"),
        (
            "A.3-4",
            "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0",
            b"'Twas brillig, and the slithy toves\nDid gyre and gimble in the wabe:\n"
            b"All mimsy were the borogoves,\nAnd the mome raths outgrabe.",
            "4541669a7eaaee61e708dc7cbcc5eb62",
        ),
        ("A.3-5", r_of_2 + zeros, bytes.fromhex(ones), "03" + "00" * 15),
        ("A.3-6", r_of_2 + ones, bytes.fromhex(r_of_2), "03" + "00" * 15),
        (
            "A.3-7",
            r_of_1 + zeros,
            bytes.fromhex(ones + "f0" + "ff" * 15 + "11" + "00" * 15),
            "05" + "00" * 15,
        ),
        (
            "A.3-8",
            r_of_1 + zeros,
            bytes.fromhex(ones + "fb" + "fe" * 15 + "01" * 16),
            zeros,
        ),
        ("A.3-9", r_of_2 + zeros, bytes.fromhex("fd" + "ff" * 15), "fa" + "ff" * 15),
        (
            "A.3-10",
            "0100000000000000040000000000000000000000000000000000000000000000",
            bytes.fromhex(
                "e33594d7505e43b900000000000000003394d7505e4379cd0100000000000000"
                "000000000000000000000000000000000100000000000000" + "00" * 8
            ),
            "14000000000000005500000000000000",
        ),
        (
            "A.3-11",
            "0100000000000000040000000000000000000000000000000000000000000000",
            bytes.fromhex(
                "e33594d7505e43b900000000000000003394d7505e4379cd0100000000000000" + "00" * 16
            ),
            "13" + "00" * 15,
        ),
    ]:
        yield Tag(name, bytes.fromhex(key), message, bytes.fromhex(tag))
