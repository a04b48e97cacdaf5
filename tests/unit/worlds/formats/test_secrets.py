"""A private key leaves a document only where it was asked for by name."""

from functools import partial

import pytest

from orrery.errors import CustodyError, UsageError
from orrery.worlds import formats
from orrery.worlds.formats import FORMATS
from tests.unit.worlds.formats.samples import EARTH, idtool, outcome

_CASE = idtool("one-v4")
_SECRET = _CASE["edited_json"]["signingKey_SECRET"]


def test_no_representation_shows_it() -> None:
    document = formats.read(_CASE["initmoon_output"].encode())
    secret = formats.write(document, "c25519", secrets=True)[64:]
    for shown in (repr(document), str(document), f"{document.signing_key!r}"):
        assert secret.hex() not in shown
        assert repr(secret) not in shown


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
def test_no_format_writes_it_unasked(known: formats.Format) -> None:
    document = formats.read(_CASE["initmoon_output"].encode())
    assert document.signing_key is not None
    signed = document.signed(document.sign(document.signing_key, timestamp_ms=5))
    assert signed.holds_secret
    private = document.signing_key.private
    written, refusal = outcome(partial(formats.write, signed, known.name), UsageError)
    if written is None:
        assert known.name in ("c25519", "link", "mkworld")  # nothing but a secret; planets only
        assert refusal is not None
        assert private.hex() not in refusal
        return
    assert private not in written
    assert private.hex().encode() not in written


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
def test_asked_for_it_is_written_or_refused(known: formats.Format) -> None:
    document = formats.read(_CASE["initmoon_output"].encode())
    assert document.signing_key is not None
    private = document.signing_key.private
    if known.may_hold_secret:
        written = formats.write(document, known.name, secrets=True)
        assert private in written or private.hex().encode() in written
        with pytest.raises(CustodyError, match="the file holds none"):
            formats.write(formats.read(EARTH), known.name, secrets=True)
    else:
        with pytest.raises(UsageError, match="no place for a private key"):
            formats.write(document, known.name, secrets=True)
