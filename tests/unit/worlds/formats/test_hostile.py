"""Whatever a file holds, it is read or refused, and what is read can be looked at."""

import json
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.errors import DecodeError, UsageError
from orrery.worlds import formats
from orrery.worlds.formats import FORMATS, MAX_FILE_BYTES
from tests.unit.worlds.formats.samples import EARTH, idtool, outcome

_DOCUMENT = formats.read(EARTH)
_SEEDS = [
    EARTH,
    bytes.fromhex(idtool("one-v4")["moon"]),
    idtool("three-roots-unsorted")["initmoon_output"].encode(),
    json.dumps(idtool("endpoints-mixed-unsorted")["edited_json"]).encode(),
    *(formats.write(_DOCUMENT, known.name) for known in FORMATS if known.name != "c25519"),
]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
_KEYS = st.sampled_from(
    [
        *("roots", "rootNodes", "id", "worldType", "objtype", "type", "timestamp", "public_key"),
        *("signingKey", "signingKey_SECRET", "updatesMustBeSignedBy", "signature", "signing"),
        *("plID", "plBirth", "plRecommend"),
    ]
)
_ROOT_KEYS = st.sampled_from(
    [
        *("identity", "stableEndpoints", "endpoints"),
        *("address", "identity_type", "public_key", "stable_endpoints"),
    ]
)
_WORDS = st.sampled_from(
    ["moon", "planet", "1", "0", "1.2.3.4/9993", idtool("one-v4")["first_identity"], "00" * 64]
)
_ROOTS = st.lists(st.dictionaries(_ROOT_KEYS, _JSON | _WORDS | st.lists(_WORDS)), max_size=6)


def _look(data: bytes) -> None:
    for loose in (False, True):
        document, refusal = outcome(partial(formats.read, data, loose=loose), DecodeError)
        if document is None:
            assert refusal
            continue
        document.warnings(0, check_proof=False)
        for known in FORMATS:
            written, _ = outcome(partial(formats.write, document, known.name), UsageError)
            if written is not None:
                _look_again(known.name, written)


def _look_again(name: str, written: bytes) -> None:
    again, refusal = outcome(partial(formats.read, written, loose=True), DecodeError)
    if again is None:
        # A binary World may hold what no text may.
        assert name in ("moon-json", "mkworld", "roots-json", "python-json")
        assert refusal is not None
        assert "reserved address" in refusal or "is 0" in refusal
        return
    assert again.format == name
    settled = formats.write(again, name)
    assert formats.write(formats.read(settled, loose=True), name) == settled


@given(st.binary(max_size=700))
def test_any_bytes(data: bytes) -> None:
    _look(data)


@given(st.text(max_size=400))
def test_any_text(text: str) -> None:
    _look(text.encode("utf-8", "surrogatepass"))


@given(st.dictionaries(_KEYS, _JSON | _WORDS | _ROOTS))
def test_any_json_with_known_keys(value: dict[str, Any]) -> None:
    _look(json.dumps(value).encode())


@settings(max_examples=300)
@given(
    st.sampled_from(_SEEDS),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(0, 4000),
)
def test_any_damage(seed: bytes, changes: list[tuple[int, int]], end: int) -> None:
    data = bytearray(seed)
    for offset, byte in changes:
        data[offset % len(data)] = byte
    _look(bytes(data))
    _look(bytes(data[: end % len(data)]))


@pytest.mark.parametrize(
    "part",
    [
        b"[",
        b'{"a":',
        b'"\\"',
        b"a[]={",
        b"a[]={}",
        b"/*",
        b"char ",
        b"/* char */ {",
        b"A",
        b"A=",
        b"\\",
        b"https://joinzt.com/addplanet?",
        b"0x01,",
        b"\x01",
        b"{",
    ],
)
@pytest.mark.timeout(30)
def test_a_full_size_file_made_to_keep_a_pattern_busy(part: bytes) -> None:
    for prefix in (b"", b"{", b"[", b"char {", b'{"roots":["', b"unsigned char w[] = {"):
        data = (prefix + part * (MAX_FILE_BYTES // len(part) + 1))[:MAX_FILE_BYTES]
        with suppress(DecodeError):  # that it ends in time is what is tested
            formats.read(data)
