from random import Random

import pytest

from orrery.errors import VerifyError
from orrery.wire.address import Address
from orrery.wire.cipher import CipherSuite, SharedKeys, packet_cipher
from orrery.wire.identity import AGREED_KEY_BYTES
from orrery.wire.packet import (
    FLAG_FRAGMENTED,
    FLAGS_OFFSET,
    HEADER_BYTES,
    VERB_OFFSET,
    Verb,
    encode_packet,
)

AGREEMENT = bytes(range(AGREED_KEY_BYTES))
SUITES = list(CipherSuite)


def plaintext(size: int = 100, *, fragmented: bool = False, hops: int = 0) -> bytes:
    payload = Random(size).randbytes(size - HEADER_BYTES)
    data = bytearray(
        encode_packet(
            b"identity", Address(0x1122334455), Address(0x66778899AA), Verb.ECHO, payload, hops=hops
        )
    )
    data[FLAGS_OFFSET] |= FLAG_FRAGMENTED * fragmented
    return bytes(data)


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("size", [28, 29, 43, 44, 45, 91, 92, 93, 1432, 10_024])
def test_what_is_armored_opens(suite: CipherSuite, size: int) -> None:
    datagram = SharedKeys(AGREEMENT).armor(plaintext(size), suite)
    assert len(datagram) == size
    assert packet_cipher(datagram) == suite
    assert SharedKeys(AGREEMENT).dearmor(datagram)[VERB_OFFSET:] == plaintext(size)[VERB_OFFSET:]


@pytest.mark.parametrize("suite", SUITES)
def test_only_cipher_0_is_readable(suite: CipherSuite) -> None:
    datagram = SharedKeys(AGREEMENT).armor(plaintext(), suite)
    readable = datagram[VERB_OFFSET:] == plaintext()[VERB_OFFSET:]
    assert readable is (suite is CipherSuite.POLY1305_NONE)


@pytest.mark.parametrize("suite", SUITES)
def test_every_bit_but_the_hops_is_protected(suite: CipherSuite) -> None:
    keys = SharedKeys(AGREEMENT)
    datagram = keys.armor(plaintext(60), suite)
    for bit in range(8 * len(datagram)):
        changed = bytearray(datagram)
        changed[bit // 8] ^= 1 << bit % 8
        if bit // 8 == FLAGS_OFFSET and bit % 8 < 3:
            assert keys.dearmor(bytes(changed))[VERB_OFFSET:] == plaintext(60)[VERB_OFFSET:]
        else:
            with pytest.raises(VerifyError):
                keys.dearmor(bytes(changed))


@pytest.mark.parametrize("suite", SUITES)
def test_a_shorter_or_longer_packet_does_not_open(suite: CipherSuite) -> None:
    keys = SharedKeys(AGREEMENT)
    datagram = keys.armor(plaintext(), suite)
    for changed in (datagram[:-1], datagram + b"\0", datagram[:HEADER_BYTES]):
        with pytest.raises(VerifyError, match="MAC does not fit"):
            keys.dearmor(changed)


@pytest.mark.parametrize("suite", SUITES)
def test_another_key_does_not_open(suite: CipherSuite) -> None:
    datagram = SharedKeys(AGREEMENT).armor(plaintext(), suite)
    with pytest.raises(VerifyError, match="MAC does not fit"):
        SharedKeys(bytes(AGREED_KEY_BYTES)).dearmor(datagram)


@pytest.mark.parametrize("suite", SUITES)
def test_the_fragmented_flag_and_the_hops_are_kept(suite: CipherSuite) -> None:
    keys = SharedKeys(AGREEMENT)
    datagram = keys.armor(plaintext(fragmented=True, hops=3), suite)
    assert datagram[FLAGS_OFFSET] & 0x47 == FLAG_FRAGMENTED | 3
    assert keys.dearmor(datagram)[FLAGS_OFFSET] == datagram[FLAGS_OFFSET]


def test_aes_gmac_siv_puts_another_id_on_the_wire_and_keeps_it() -> None:
    keys = SharedKeys(AGREEMENT)
    datagram = keys.armor(plaintext(), CipherSuite.AES_GMAC_SIV)
    assert datagram[:8] != plaintext()[:8]
    assert keys.dearmor(datagram)[:8] == datagram[:8]


@pytest.mark.parametrize("cipher", [2, 4, 5, 6, 7])
def test_a_cipher_that_does_not_exist_is_named(cipher: int) -> None:
    datagram = bytearray(plaintext())
    datagram[FLAGS_OFFSET] |= cipher << 3
    with pytest.raises(VerifyError, match=f"cipher {cipher}"):
        SharedKeys(AGREEMENT).dearmor(bytes(datagram))


def test_the_keys_are_used_again_and_again() -> None:
    keys = SharedKeys(AGREEMENT)
    first = [keys.armor(plaintext(size), CipherSuite.AES_GMAC_SIV) for size in range(28, 128)]
    fresh = [
        SharedKeys(AGREEMENT).armor(plaintext(size), CipherSuite.AES_GMAC_SIV)
        for size in range(28, 128)
    ]
    assert first == fresh


@pytest.mark.parametrize("low_bits", range(8))
def test_the_field_of_a_hello_does_not_depend_on_the_low_bits_of_the_id(low_bits: int) -> None:
    keys = SharedKeys(AGREEMENT)
    one = keys.crypt_field(b"moons", b"1234567" + bytes((0xA0,)))
    other = keys.crypt_field(b"moons", b"1234567" + bytes((0xA0 | low_bits,)))
    assert one == other != b"moons"
    assert keys.crypt_field(one, b"1234567\xa8") != b"moons"


def test_no_key_stands_in_a_representation() -> None:
    assert "\\x" not in repr(SharedKeys(AGREEMENT))


@pytest.mark.parametrize("size", [0, 32, 64])
def test_an_agreement_has_48_bytes(size: int) -> None:
    with pytest.raises(ValueError, match=f"48 bytes, not {size}"):
        SharedKeys(bytes(size))
