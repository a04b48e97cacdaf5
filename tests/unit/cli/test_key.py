"""`orrery key`."""

import stat
from pathlib import Path

import pytest

from orrery.wire.signature import SigningKey
from tests.unit.cli.running import Orrery
from tests.unit.worlds.formats.samples import FIRST_RUN, idtool


@pytest.mark.parametrize(
    ("out", "name"),
    [((), "current.c25519"), (("--out", "k"), "k"), (("--out", "d"), "d/current.c25519")],
)
def test_a_new_key_is_written_for_its_owner_alone(
    orrery: Orrery, tmp_path: Path, out: tuple[str, ...], name: str
) -> None:
    (tmp_path / "d").mkdir()
    result = orrery("key", "new", *out)
    assert result.status == 0
    key = SigningKey.decode((tmp_path / name).read_bytes())
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert result.out == (
        f"signing key {key.fingerprint}\nfile  {name}, mode 0600: keep a copy of it\n"
    )
    again = orrery("key", "new", *out)
    assert again.status == 5
    assert "without it no node takes another update" in again.err
    assert SigningKey.decode((tmp_path / name).read_bytes()) == key
    shown = orrery("key", "show", name, "--json").json
    assert shown == {
        "file": name,
        "fingerprint": key.fingerprint,
        "public_key": key.public.hex(),
        "holds_private_key": True,
    }


def test_two_new_keys_are_different(orrery: Orrery) -> None:
    first = orrery("key", "new", "--out", "a", "--json").json
    second = orrery("key", "new", "--out", "b", "--json").json
    assert first["public_key"] != second["public_key"]
    assert "private_key" not in first


def test_a_key_is_shown_without_its_private_half(orrery: Orrery, files: Path) -> None:
    data = bytes.fromhex(FIRST_RUN["current_c25519"])
    result = orrery("key", "show", "current.c25519")
    assert result.status == 0
    assert data[:32].hex() in result.out
    assert data[64:96].hex() not in result.out
    asked = orrery("key", "show", "current.c25519", "--secret")
    assert data[96:].hex() in asked.out
    assert orrery("key", "show", "current.c25519", "--secret", "--json").json["private_key"] == (
        data[64:].hex()
    )


def test_a_key_may_stand_in_a_moon_json_or_be_written_out(orrery: Orrery, files: Path) -> None:
    public = orrery("key", "show", "moon.json", "--json").json["public_key"]
    assert public in idtool("one-v4")["initmoon_output"]
    shown = orrery("key", "show", public, "--json").json
    assert (shown["public_key"], shown["file"], shown["holds_private_key"]) == (public, None, False)
    piped = orrery("key", "show", "-", "--json", stdin=public.encode() + b"\n").json
    assert piped["public_key"] == public


def test_an_exposed_key_is_warned_of_and_not_shown(orrery: Orrery, files: Path) -> None:
    (files / "current.c25519").chmod(0o644)
    result = orrery("key", "show", "current.c25519")
    assert (result.status, "run chmod 600 current.c25519" in result.err) == (0, True)
    result = orrery("key", "show", "current.c25519", "--secret")
    assert (result.status, "run: chmod 600 current.c25519" in result.err) == (4, True)


@pytest.mark.parametrize(
    "options",
    [("--lock",), ("--no-lock",), ("--home", "."), ("--passphrase-file", "phrase")],
)
def test_what_only_a_home_can_do_is_not_left_undone_in_silence(
    orrery: Orrery, tmp_path: Path, options: tuple[str, ...]
) -> None:
    result = orrery("key", "new", *options)
    assert (result.status, result.out) == (2, "")
    assert "is for the key of a home: say of which World with --world" in result.err
    assert not list(tmp_path.iterdir())


def test_a_home_in_the_environment_does_not_keep_a_key_from_a_file(
    orrery: Orrery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORRERY_HOME", str(tmp_path))
    assert orrery("key", "new", "--out", "k").status == 0


def test_the_key_of_a_home_has_its_place(orrery: Orrery, tmp_path: Path) -> None:
    result = orrery("key", "new", "--world", "planet", "--out", "k")
    assert (result.status, result.out) == (2, "")
    assert "leave out --out or --world" in result.err
    assert not list(tmp_path.iterdir())
