"""`orrery identity`."""

import hashlib
import stat
from pathlib import Path
from typing import Any

import pytest

from orrery.wire.identity import Identity
from tests.unit.cli.running import Orrery
from tests.vectors.loading import cases, load

_CASE = load("identities.json")["valid"][0]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """An identity.secret as zerotier-one keeps it, with identity.public beside it."""
    path = tmp_path / "identity.secret"
    path.write_text(_CASE["secret"])
    path.chmod(0o600)
    (tmp_path / "identity.public").write_text(_CASE["public"])
    return path


def test_help_tells_each_command_in_a_whole_sentence(
    orrery: Orrery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for arguments in ((), ("identity",), ("key",), ("world",)):
        result = orrery(*arguments, "--help")
        assert result.status == 0
        assert "...\n" not in result.out.partition("Commands:")[2]
        assert max(map(len, result.out.splitlines())) <= 80


@pytest.mark.parametrize("case", cases("identities.json", "valid"))
def test_what_zerotier_made_is_valid(orrery: Orrery, case: dict[str, Any]) -> None:
    result = orrery("identity", "validate", "-", stdin=case["public"].encode() + b"\n")
    assert (result.status, result.err) == (0, "")
    assert result.out == f"yes: standard input is a valid identity, {case['address']}\n"


@pytest.mark.parametrize("case", cases("identities.json", "invalid"))
def test_what_zerotier_refuses_is_refused(orrery: Orrery, case: dict[str, Any]) -> None:
    result = orrery("identity", "validate", "-", stdin=case["text"].encode())
    malformed = not case["from_string"] or case["name"] in (
        # Read by a node as some other identity, which then fails its proof.
        "bad-hex-public-key",
        "bad-hex-space-public-key",
        "bad-hex-address",
        "address-9-digits",
    )
    assert result.status == (3 if malformed else 1)
    assert result.err.startswith("orrery: standard input: ")
    assert len(result.err.splitlines()) == 1


def test_an_identity_may_be_written_out(orrery: Orrery) -> None:
    result = orrery("identity", "validate", _CASE["public"], "--json")
    assert result.status == 0
    assert result.json["valid"] is True
    assert result.json["address"] == _CASE["address"]


def test_a_private_key_on_the_command_line_is_refused(orrery: Orrery) -> None:
    for command in (["show"], ["validate"], ["sign"]):
        more = ["identity.public"] if command == ["sign"] else []
        result = orrery("identity", *command, _CASE["secret"], *more)
        assert result.status == 4
        assert "can be read by every user of this machine" in result.err
        assert _CASE["private_key"] not in result.err


def test_an_identity_is_shown_without_its_private_key(orrery: Orrery, secret: Path) -> None:
    result = orrery("identity", "show", "identity.secret")
    assert result.status == 0
    assert result.out == (
        f"identity {_CASE['address']}\n"
        f"fingerprint  {Identity.from_string(_CASE['public']).fingerprint}\n"
        f"public key   {_CASE['public_key'][:64]}\n"
        f"             {_CASE['public_key'][64:]}\n"
        "private key  there, shown with --secret\n"
    )
    shown = orrery("identity", "show", "identity.secret", "--json").json
    assert list(shown) == ["address", "fingerprint", "identity", "public_key", "holds_private_key"]
    assert shown["holds_private_key"] is True
    assert orrery("identity", "show", "identity.secret", "--public").out == _CASE["public"] + "\n"
    asked = orrery("identity", "show", "identity.secret", "--secret", "--json").json
    assert asked["private_key"] == _CASE["private_key"]
    assert _CASE["private_key"][64:] in orrery("identity", "show", secret, "--secret").out


def test_a_private_key_that_is_not_there_is_not_shown(orrery: Orrery, secret: Path) -> None:
    result = orrery("identity", "show", "identity.public", "--secret")
    assert (result.status, result.err) == (
        4,
        "orrery: identity.public holds no private key to show\n",
    )


def test_an_exposed_identity_is_warned_of_and_does_not_sign(orrery: Orrery, secret: Path) -> None:
    secret.chmod(0o644)
    assert "run chmod 600 identity.secret" in orrery("identity", "show", "identity.secret").err
    result = orrery("identity", "sign", "identity.secret", "identity.public")
    assert result.status == 4
    assert "run: chmod 600 identity.secret" in result.err


@pytest.mark.parametrize("case", cases("signatures.json", "signed"))
def test_a_file_is_signed_as_zerotier_signs(
    orrery: Orrery, tmp_path: Path, case: dict[str, Any]
) -> None:
    public = case["public_key"]
    address = "1234567890"
    (tmp_path / "identity.secret").write_text(f"{address}:0:{public}:{case['private_key']}")
    (tmp_path / "identity.secret").chmod(0o600)
    (tmp_path / "message").write_bytes(bytes.fromhex(case["message"]))
    result = orrery("identity", "sign", "identity.secret", "message")
    assert (result.status, result.out) == (0, case["signature"] + "\n")
    identity = f"{address}:0:{public}"
    verified = orrery("identity", "verify", identity, "message", case["signature"])
    assert verified.status == 0
    assert verified.out.startswith(f"yes: identity {address} signed message")
    (tmp_path / "signature").write_text(case["signature"].upper() + "\n")
    assert orrery("identity", "verify", "identity.secret", "message", "signature").status == 0
    piped = orrery("identity", "verify", identity, "-", "signature", stdin=b"other")
    assert piped.status == 1
    assert "the signature was made for other bytes" in piped.err


@pytest.mark.parametrize("case", cases("signatures.json", "tampered"))
def test_a_tampered_signature_gets_zerotiers_verdict(
    orrery: Orrery, tmp_path: Path, case: dict[str, Any]
) -> None:
    (tmp_path / "message").write_bytes(bytes.fromhex(case["message"]))
    identity = f"1234567890:0:{case['public_key']}"
    if len(case["signature"]) != 192:
        assert orrery("identity", "verify", identity, "message", case["signature"]).status == 3
        return
    verdict = case["verify"]
    result = orrery("identity", "verify", identity, "message", case["signature"], "--json")
    assert result.status == (0 if verdict else 1)


def test_a_new_identity_is_written_for_its_owner_alone(orrery: Orrery, tmp_path: Path) -> None:
    names = ("--out", "identity.secret", "--public", "identity.public")
    result = orrery("identity", "new", *names, "--json")
    assert result.status == 0
    assert "private_key" not in result.json
    made = Identity.from_string((tmp_path / "identity.secret").read_text())
    made.validate()
    assert made.private_key is not None
    assert made.private_key.hex() not in result.out + result.err
    assert result.json["address"] == f"{made.address:010x}"
    assert (tmp_path / "identity.public").read_text() == str(made)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names[1::2]]
    assert modes == [0o600, 0o644]
    # A second one does not take the place of the first.
    before = hashlib.sha256((tmp_path / "identity.secret").read_bytes()).digest()
    for arguments in (names, ("--out", "identity.secret"), ("--out", "x", *names[2:])):
        assert orrery("identity", "new", *arguments).status == 5
    assert hashlib.sha256((tmp_path / "identity.secret").read_bytes()).digest() == before
    assert not (tmp_path / "x").exists()


def test_a_new_identity_is_printed_only_by_name(orrery: Orrery) -> None:
    result = orrery("identity", "new", "--secret", "--workers", "1")
    assert result.status == 0
    made = Identity.from_string(result.out)
    made.validate()
    assert made.private_key is not None
    result = orrery("identity", "new")
    assert result.status == 2
    assert "say where the private key goes" in result.err
    assert orrery("identity", "new", "--secret", "--out", "x").status == 2
