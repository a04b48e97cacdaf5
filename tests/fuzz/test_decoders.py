"""Decoders and spoilt bytes: only DecodeError leaves them, and what they read they read again."""

from __future__ import annotations

import pytest

from orrery.errors import VerifyError
from tests.fuzz.decoders import DecoderFuzz, Target, targets

MAY_VERIFY = {"meaning of a world", "armored packet"}


@pytest.mark.parametrize("target", [pytest.param(target, id=target.name) for target in targets()])
def test_the_corpus_is_read(target: Target) -> None:
    assert target.corpus
    if target.name in {"armored packet", "packet", "endpoint text", "identity text"}:
        return  # these hold bad ones too
    for data in target.corpus:
        try:
            target.check(data)
        except VerifyError:
            assert target.name in MAY_VERIFY


@pytest.mark.parametrize("target", [pytest.param(target, id=target.name) for target in targets()])
def test_spoilt_bytes(target: Target) -> None:
    fuzz = DecoderFuzz(f"quick {target.name}", [target])
    fuzz.run(100 if target.name.startswith("file") else 1_000)
    kinds = {outcome.rpartition(": ")[2] for outcome in fuzz.outcomes}
    assert kinds <= {"read", "DecodeError"} | (
        {"VerifyError"} if target.name in MAY_VERIFY else set()
    )
    if target.name != "armored packet":
        assert "read" in kinds or target.name == "meaning of a world"


def test_the_same_seed_gives_the_same_cases() -> None:
    one, other = DecoderFuzz(1), DecoderFuzz(1)
    one.run(2_000)
    other.run(2_000)
    assert one.outcomes == other.outcomes
