"""Identities and key agreement, against what ZeroTier One made and took."""

import hashlib
from typing import Any

import pytest

from orrery.errors import DecodeError, VerifyError
from orrery.kernel import memory_hard_digest
from orrery.wire.address import format_address, pack_address
from orrery.wire.cipher import kbkdf
from orrery.wire.cursor import Reader
from orrery.wire.identity import Identity
from tests.vectors.loading import cases

MESSAGES = {
    "OUT_OF_BOUNDS": "end early",
    "INVALID_TYPE": "unknown type",
    "INVALID_CRYPTOGRAPHIC_TOKEN": "private key of",
}


def is_valid(identity: Identity) -> bool:
    try:
        identity.validate()
    except VerifyError:
        return False
    return True


@pytest.mark.parametrize("case", cases("identities.json", "valid"))
def test_valid(case: dict[str, Any]) -> None:
    identity = Identity.from_string(case["secret"])
    assert identity.private_key is not None
    assert format_address(identity.address) == case["address"]
    assert identity.public_key.hex() == case["public_key"]
    assert identity.private_key.hex() == case["private_key"]
    assert str(identity) == identity.to_string() == case["public"]
    assert identity.to_string(secret=True) == case["secret"]
    assert identity.to_bytes().hex() == case["binary_public"]
    assert identity.to_bytes(secret=True).hex() == case["binary_secret"]

    public = Identity.from_bytes(bytes.fromhex(case["binary_public"]))
    secret = Identity.from_bytes(bytes.fromhex(case["binary_secret"]))
    assert public == secret == Identity.from_string(case["public"]) == identity
    assert public.private_key is None
    assert secret.private_key == identity.private_key

    whole = pack_address(identity.address) + identity.public_key
    assert hashlib.sha384(whole).hexdigest() == case["public_key_sha384"]
    assert hashlib.sha512(identity.private_key).hexdigest() == case["private_key_sha512"]
    if "memory_hard_digest" in case:
        assert memory_hard_digest(identity.public_key).hex() == case["memory_hard_digest"]
    assert is_valid(identity) is case["locally_validate"] is True


@pytest.mark.parametrize("case", cases("identities.json", "invalid", "lenient"))
def test_text_is_read_as_loosely_as_by_a_node(case: dict[str, Any]) -> None:
    if not case["from_string"]:
        with pytest.raises(DecodeError):
            Identity.parse_as_node(case["text"])
        return
    identity = Identity.parse_as_node(case["text"])
    assert str(identity) == case["parsed_public"]
    assert (identity.private_key is not None) is case["has_private"]
    if case["has_private"]:
        assert identity.to_string(secret=True) == case["parsed_secret"]
    assert is_valid(identity) is case["locally_validate"]
    if "memory_hard_digest" in case:
        assert memory_hard_digest(identity.public_key).hex() == case["memory_hard_digest"]


@pytest.mark.parametrize("case", cases("identities.json", "invalid", "lenient"))
def test_text_read_strictly_is_refused_or_means_the_same(case: dict[str, Any]) -> None:
    try:
        identity = Identity.from_string(case["text"])
    except DecodeError:
        return
    assert case["from_string"]
    assert str(identity) == case["parsed_public"]


@pytest.mark.parametrize("case", cases("identities.json", "binary"))
def test_binary(case: dict[str, Any]) -> None:
    reader = Reader(bytes.fromhex(case["binary"]))
    if case["exception"]:
        with pytest.raises(DecodeError, match=MESSAGES[case["exception_name"]]):
            Identity.read(reader)
        return
    identity = Identity.read(reader)
    assert reader.offset == case["consumed"]
    assert str(identity) == case["parsed_public"]
    assert (identity.private_key is not None) is (case["parsed_secret"] is not None)
    if case["parsed_secret"]:
        assert identity.to_string(secret=True) == case["parsed_secret"]
    assert is_valid(identity) is case["locally_validate"]


@pytest.mark.parametrize("case", cases("agreements.json", "pairs"))
def test_agreement(case: dict[str, Any]) -> None:
    a, b = Identity.from_string(case["a_secret"]), Identity.from_string(case["b_secret"])
    assert (str(a), str(b)) == (case["a_public"], case["b_public"])
    key = a.agree(b.public())
    assert key.hex() == case["key"]
    assert case["same_in_both_directions"]
    assert b.agree(a.public()) == key
    assert key[:32].hex() == case["salsa_key"]
    for label in "01":
        derived = kbkdf(key, label.encode())
        assert case[f"kbkdf_{label}"].startswith(derived.hex())
        assert derived[:32].hex() == case[f"aes_key_{label}"]
