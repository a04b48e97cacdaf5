"""The three ciphers of VL1 packets and the keys that two nodes share.

    cipher  protects
    0       Poly1305 MAC, payload in the clear: HELLO
    1       Salsa20/12 and Poly1305: nodes before protocol 12
    3       AES-GMAC-SIV: protocol 12 on both sides

Source: ZeroTierOne node/Packet.cpp, node/AES.hpp; ciphers 0 and 1 are done by `orrery.kernel`.
"""

from __future__ import annotations

from enum import IntEnum

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.constant_time import bytes_eq

from orrery import kernel
from orrery.errors import VerifyError
from orrery.wire.identity import AGREED_KEY_BYTES
from orrery.wire.packet import FLAGS_OFFSET, VERB_OFFSET

_CIPHER_SHIFT = 3
_CIPHER_MASK = 0x38
_FLAGS_AUTHENTICATED = 0xF8
_FLAGS_KEPT = 0x47  # the fragmented bit and the hops
_AAD_PADDING = bytes(5)
_IV_PADDING = bytes(4)
_BLOCK = bytes(16)


class CipherSuite(IntEnum):
    """Number in bits 5-3 of the flags."""

    POLY1305_NONE = 0
    POLY1305_SALSA2012 = 1
    AES_GMAC_SIV = 3


def packet_cipher(datagram: bytes) -> int:
    """The cipher that a packet claims: a `CipherSuite` or another number of 3 bits."""
    return (datagram[FLAGS_OFFSET] & _CIPHER_MASK) >> _CIPHER_SHIFT


class SharedKeys:
    """What two nodes derive from their key agreement, with the packet ciphers keyed by it.

    Args:
        agreement: the 48 bytes of `Identity.agree`. Ciphers 0 and 1 use the first 32; those of
            cipher 3 are derived when the first such packet comes.
    """

    __slots__ = ("_aes", "_agreement", "salsa_key")

    def __init__(self, agreement: bytes) -> None:
        if len(agreement) != AGREED_KEY_BYTES:
            raise ValueError(f"a key agreement has {AGREED_KEY_BYTES} bytes, not {len(agreement)}")
        self._agreement = agreement
        self.salsa_key = agreement[:32]
        self._aes: _GmacSiv | None = None

    def __repr__(self) -> str:
        return "SharedKeys(…)"

    def armor(self, packet: bytes, suite: CipherSuite) -> bytes:
        """Protect a whole packet in the clear; its id changes under AES-GMAC-SIV."""
        if suite is CipherSuite.AES_GMAC_SIV:
            return self._gmac_siv().seal(packet)
        return kernel.armor(packet, self.salsa_key, suite)

    def dearmor(self, packet: bytes) -> bytes:
        """The packet in the clear, under the cipher that it claims.

        Flags and MAC stay as received, and so does the id, except that the id of cipher 3 stays
        the one on the wire, which replies must quote.

        Raises:
            VerifyError: the MAC does not fit, or the cipher is unknown.
        """
        suite = packet_cipher(packet)
        if suite <= CipherSuite.POLY1305_SALSA2012:
            opened = kernel.dearmor(packet, self.salsa_key)
        elif suite == CipherSuite.AES_GMAC_SIV:
            opened = self._gmac_siv().open(packet)
        else:
            raise VerifyError(f"the packet claims cipher {suite}, which does not exist")
        if opened is None:
            raise VerifyError("the packet's MAC does not fit the key of its sender")
        return opened

    def crypt_field(self, field: bytes, packet_id: bytes) -> bytes:
        """Encrypt or decrypt the tail of a HELLO, where the moons stand.

        Salsa20/12 with the plain key and the packet id with its low 3 bits cleared.
        """
        iv = packet_id[:7] + bytes((packet_id[7] & 0xF8,))
        return kernel.salsa20(field, self.salsa_key, iv)

    def _gmac_siv(self) -> _GmacSiv:
        if self._aes is None:
            self._aes = _GmacSiv(kbkdf(self._agreement, b"0"), kbkdf(self._agreement, b"1"))
        return self._aes


def kbkdf(agreement: bytes, label: bytes) -> bytes:
    """One AES key of cipher 3: KBKDF with HMAC-SHA-384, label `0` or `1` (32 of its 48 bytes)."""
    mac = hmac.HMAC(agreement, hashes.SHA384())
    mac.update(bytes(4) + b"ZT" + label + bytes(2) + b"\x00\x00\x01\x80")
    return mac.finalize()[:32]


class _GmacSiv:
    """AES-GMAC-SIV over `cryptography`.

    The tag is GMAC (K0) over destination, source, flags without hops, padding, and plaintext,
    folded to 8 bytes. Packet id and tag become one AES block (K1): on the wire its halves stand
    in the places of id and MAC, and it is the first counter block of the payload's CTR.

    Contexts are kept and given a new nonce for each packet: making one costs ten times its use.
    """

    __slots__ = ("_block", "_ctr", "_gmac")

    def __init__(self, k0: bytes, k1: bytes) -> None:
        self._gmac = AESGCM(k0)
        self._ctr: CipherContext = Cipher(algorithms.AES(k1), modes.CTR(_BLOCK)).encryptor()
        bare = modes.ECB()  # noqa: S305 - one block, whose halves are random to look at
        self._block: CipherContext = Cipher(algorithms.AES(k1), bare).decryptor()

    def _tag(self, packet_id: bytes, header: bytes, plaintext: bytes) -> bytes:
        tag = self._gmac.encrypt(packet_id + _IV_PADDING, b"", header + _AAD_PADDING + plaintext)
        folded = int.from_bytes(tag[:8], "big") ^ int.from_bytes(tag[8:], "big")
        return folded.to_bytes(8, "big")

    def _keystream(self, counter: bytes, data: bytes) -> bytes:
        start = counter[:12] + bytes((counter[12] & 0x7F,)) + counter[13:]
        self._ctr.reset_nonce(start)
        return self._ctr.update(data)

    def seal(self, packet: bytes) -> bytes:
        suite_bits = CipherSuite.AES_GMAC_SIV << _CIPHER_SHIFT
        flags = (packet[FLAGS_OFFSET] & _FLAGS_KEPT) | suite_bits
        addresses = packet[8:FLAGS_OFFSET]
        plaintext = packet[VERB_OFFSET:]
        packet_id = packet[:8]
        tag = self._tag(packet_id, addresses + bytes((flags & _FLAGS_AUTHENTICATED,)), plaintext)
        self._ctr.reset_nonce(packet_id + tag)  # CTR over zeros is the bare block cipher
        block = self._ctr.update(_BLOCK)
        ciphertext = self._keystream(block, plaintext)
        return b"".join((block[:8], addresses, bytes((flags,)), block[8:], ciphertext))

    def open(self, packet: bytes) -> bytes | None:
        block = packet[:8] + packet[19:VERB_OFFSET]
        plaintext = self._keystream(block, packet[VERB_OFFSET:])
        opened = self._block.update(block)
        header = packet[8:FLAGS_OFFSET] + bytes((packet[FLAGS_OFFSET] & _FLAGS_AUTHENTICATED,))
        if not bytes_eq(self._tag(opened[:8], header, plaintext), opened[8:]):
            return None
        return packet[:VERB_OFFSET] + plaintext
