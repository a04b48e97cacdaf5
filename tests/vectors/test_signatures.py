"""Signatures, against what ZeroTier One made and its verdicts on what was tampered with."""

from typing import Any

import pytest

from orrery.errors import VerifyError
from orrery.wire.signature import SigningKey, derive_public_key, verify
from tests.vectors.loading import cases


@pytest.mark.parametrize("case", cases("signatures.json", "signed"))
def test_signing(case: dict[str, Any]) -> None:
    public, private = bytes.fromhex(case["public_key"]), bytes.fromhex(case["private_key"])
    message = bytes.fromhex(case["message"])
    assert derive_public_key(private) == public
    signature = SigningKey(public, private).sign(message)
    assert signature.hex() == case["signature"]
    assert case["verify"]
    verify(public, message, signature)


@pytest.mark.parametrize("case", cases("signatures.json", "tampered"))
def test_verdict(case: dict[str, Any]) -> None:
    arguments = [bytes.fromhex(case[key]) for key in ("public_key", "message", "signature")]
    if case["verify"]:
        verify(*arguments)
    else:
        with pytest.raises(VerifyError):
            verify(*arguments)
