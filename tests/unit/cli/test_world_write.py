"""`orrery world convert` and `sign`: what they write, and where they refuse to."""

import json
import os
import stat
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from orrery.cli import documents
from orrery.wire.world import World
from orrery.worlds.acceptance import check_update
from tests.unit.cli.running import Orrery
from tests.unit.worlds.formats.samples import (
    EARTH,
    FIRST_RUN,
    encoded,
    idtool,
    moon_json,
    root_json,
)
from tests.unit.worlds.making import key, world
from tests.vectors.loading import cases, load

_NOW_MS = 1_800_000_000_000


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "now_ms", lambda: _NOW_MS)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _private(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("command", ["convert", "sign"])
@pytest.mark.parametrize("case", cases("worlds.json", "idtool"))
def test_a_moon_json_becomes_what_genmoon_wrote(
    orrery: Orrery, tmp_path: Path, case: dict[str, Any], command: str
) -> None:
    _private(tmp_path / "moon.json", encoded(case["edited_json"]))
    loose = ["--loose"] if case["name"] == "bad-endpoint-text" else []
    result = orrery(
        "world", command, "moon.json", "out.moon", "--timestamp", str(case["timestamp"]), *loose
    )
    refused = case["moon"] is None or case["name"] in (
        "five-roots",
        "33-endpoints",
        "wrong-signing-secret",
    )
    assert result.status == (3 if refused else 0)
    assert (tmp_path / "out.moon").exists() is not refused
    if not refused:
        assert (tmp_path / "out.moon").read_bytes().hex() == case["moon"]
        assert _mode(tmp_path / "out.moon") == 0o644


@pytest.mark.parametrize("case", cases("worlds.json", "mkworld"))
def test_an_mkworld_directory_becomes_what_mkworld_wrote(
    orrery: Orrery, tmp_path: Path, case: dict[str, Any]
) -> None:
    """The recorded planets, converted to a configuration, signed by the key files beside it."""
    if case["world_bin"] is None:
        return
    planet = World.decode(bytes.fromhex(case["world_bin"]))
    (tmp_path / "world.bin").write_bytes(planet.encode())
    assert orrery("world", "convert", "world.bin", "mkworld.config.json").status == 0
    for name in ("previous", "current"):
        _private(tmp_path / f"{name}.c25519", bytes.fromhex(case[f"{name}_c25519"]))
    stamp = ("--timestamp", str(planet.timestamp_ms))
    assert orrery("world", "sign", "mkworld.config.json", "planet", *stamp).status == 0
    assert (tmp_path / "planet").read_bytes() == planet.encode()
    # The same with the keys named, as mkworld has them.
    keys = ("--key", "previous.c25519", "--next-key", "current.c25519")
    (tmp_path / "roots.json").write_bytes((tmp_path / "mkworld.config.json").read_bytes())
    assert orrery("world", "sign", "roots.json", "again", *stamp, *keys).status == 0
    assert (tmp_path / "again").read_bytes() == planet.encode()


@pytest.mark.parametrize(
    ("out", "name"),
    [
        ("planet2", None),
        ("x.bin", "binary"),
        ("x.moon", "binary"),
        ("planet", "binary"),
        ("planet.custom", "binary"),
        ("moon.json", "moon-json"),
        ("mkworld.config.json", "mkworld"),
        ("config.json", "roots-json"),
        ("Topology.h", "c-header"),
        ("x.b64", "base64"),
        ("x.url", "link"),
        ("other.json", None),
    ],
)
def test_the_name_of_the_file_tells_the_format(
    orrery: Orrery, tmp_path: Path, out: str, name: str | None
) -> None:
    (tmp_path / "in").write_bytes(EARTH)
    result = orrery("world", "convert", "in", out)
    if name is None:
        assert result.status == 2
        assert "add --to, with one of binary, moon-json" in result.err
        return
    assert result.status == 0
    assert orrery("world", "show", out, "--json").json["format"] == name


def test_text_goes_to_standard_output(orrery: Orrery, files: Path) -> None:
    for name in ("base64", "link", "c-header", "moon-json", "mkworld", "roots-json"):
        written = orrery("world", "convert", "planet", "--to", name)
        assert (written.status, written.err) == (0, "")
        assert written.out.endswith("\n")
        shown = orrery("world", "show", "-", "--json", stdin=written.out_bytes)
        assert shown.json["format"] == name
    assert orrery("world", "convert", "planet", "-", "--to", "binary").out_bytes == EARTH


def test_a_private_key_is_written_only_by_name_and_for_its_owner_alone(
    orrery: Orrery, files: Path
) -> None:
    secret = orrery("world", "show", "moon.json", "--secret", "--json").json["private_key"]
    assert orrery("world", "convert", "moon.json", "copy", "--to", "moon-json").status == 0
    assert secret not in (files / "copy").read_text()
    assert _mode(files / "copy") == 0o644
    asked = ("--to", "moon-json", "--with-secrets")
    assert orrery("world", "convert", "moon.json", "whole", *asked).status == 0
    assert (files / "whole").read_bytes() == (files / "moon.json").read_bytes()
    assert _mode(files / "whole") == 0o600
    result = orrery("world", "convert", "moon.json", "k.c25519")
    assert (result.status, result.err) == (
        2,
        "orrery: a key file is a secret and nothing else: add --with-secrets\n",
    )
    assert orrery("world", "convert", "moon.json", "k.c25519", "--with-secrets").status == 0
    assert _mode(files / "k.c25519") == 0o600
    assert (files / "k.c25519").read_bytes()[64:].hex() == secret
    # Over an open file too.
    (files / "open").write_bytes(b"")
    (files / "open").chmod(0o666)
    assert orrery("world", "convert", "moon.json", "open", *asked, "--force").status == 0
    assert _mode(files / "open") == 0o600


@pytest.mark.parametrize("command", ["convert", "sign"])
def test_an_exposed_key_is_not_used(orrery: Orrery, files: Path, command: str) -> None:
    (files / "moon.json").chmod(0o640)
    result = orrery("world", command, "moon.json", "x.moon")
    assert result.status == 4
    assert "is open to other users (mode 0640); run: chmod 600 moon.json" in result.err
    assert not (files / "x.moon").exists()
    (files / "current.c25519").chmod(0o644)
    result = orrery("world", "sign", "planet", "p2", "--key", "current.c25519")
    assert result.status == 4
    assert "run: chmod 600 current.c25519" in result.err


def test_nothing_is_overwritten_without_force(orrery: Orrery, files: Path) -> None:
    (files / "out").write_bytes(b"precious")
    (files / "out").chmod(0o640)
    for command in ("convert", "sign"):
        arguments = ("world", command, "moon.json", "out", "--to", "binary")
        result = orrery(*arguments)
        assert (result.status, result.err) == (
            5,
            "orrery: out is there already: name another file, or add --force\n",
        )
        assert (files / "out").read_bytes() == b"precious"
        assert orrery(*arguments, "--force").status == 0
        assert World.decode((files / "out").read_bytes()).timestamp_ms == _NOW_MS
        assert _mode(files / "out") == 0o640
        (files / "out").write_bytes(b"precious")
    assert sorted(path.name for path in files.iterdir() if path.name.startswith(".")) == []


def test_force_does_not_destroy_a_key(orrery: Orrery, files: Path) -> None:
    case = load("identities.json")["valid"][0]
    _private(files / "identity.secret", case["secret"].encode())
    for name in ("current.c25519", "moon.json", "identity.secret"):
        before = (files / name).read_bytes()
        for command in (("convert", "planet", name, "--to", "binary"), ("sign", "moon.json", name)):
            result = orrery("world", *command, "--force")
            assert result.status == 5
            assert f"{name} holds a private key, which would be lost" in result.err
        assert (files / name).read_bytes() == before
    # The same key may be written again, in another form.
    (files / "k").write_bytes((files / "moon.json").read_bytes())
    (files / "k").chmod(0o600)
    again = ("--to", "c25519", "--with-secrets", "--force")
    assert orrery("world", "convert", "moon.json", "k", *again).status == 0
    assert len((files / "k").read_bytes()) == 128


def test_a_link_is_written_through(orrery: Orrery, files: Path) -> None:
    (files / "real").write_bytes(b"")
    (files / "link").symlink_to("real")
    assert orrery("world", "convert", "moon.json", "link", "--to", "binary").status == 5
    assert orrery("world", "convert", "moon.json", "link", "--to", "binary", "--force").status == 0
    assert (files / "link").is_symlink()
    assert World.decode((files / "real").read_bytes())


def test_a_device_or_pipe_is_not_replaced_by_a_file(orrery: Orrery, files: Path) -> None:
    os.mkfifo(files / "pipe")
    (files / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        for command in (("convert", "planet", name, "--to", "binary"), ("sign", "moon.json", name)):
            result = orrery("world", *command, "--force")
            assert result.status == 3
            assert result.err == (
                f"orrery: {name} is no regular file, and is not replaced by one: name another, or "
                "write to standard output with -\n"
            )
    assert (files / "pipe").is_fifo()


def test_an_update_is_signed_after_what_nodes_hold(orrery: Orrery, files: Path) -> None:
    held = world(10)
    (files / "held").write_bytes(held.encode())
    _private(files / "a.c25519", key("a").encode())
    _private(files / "b.c25519", key("b").encode())
    asked = ("--previous", "held", "--key", "a.c25519")
    result = orrery("world", "sign", "held", "next", *asked, "--next-key", "b.c25519")
    assert result.status == 0
    new = World.decode((files / "next").read_bytes())
    check_update(held, new)
    assert new.timestamp_ms == _NOW_MS
    assert new.updates_must_be_signed_by == key("b").public
    assert result.err.splitlines()[-1] == (
        f"next: planet 0000000000000abc, timestamp {_NOW_MS}, signed by {key('a').fingerprint}"
    )
    # By default the key that the file names stays.
    assert orrery("world", "sign", "next", "third", "--key", "b.c25519").status == 0
    third = World.decode((files / "third").read_bytes())
    assert third.updates_must_be_signed_by == key("b").public


def test_a_timestamp_ahead_of_the_clock_is_passed_by_one(orrery: Orrery, files: Path) -> None:
    held = world(_NOW_MS + 5000)
    (files / "held").write_bytes(held.encode())
    _private(files / "a.c25519", key("a").encode())
    assert (
        orrery("world", "sign", "held", "n", "--previous", "held", "--key", "a.c25519").status == 0
    )
    assert World.decode((files / "n").read_bytes()).timestamp_ms == _NOW_MS + 5001


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--timestamp", "10"), "refuses a different one with the same timestamp|the same World"),
        (("--timestamp", "9"), "refuses an older one"),
        (("--id", "5"), "refuses one with the id 0000000000000005"),
        (("--type", "moon"), "refuses a moon"),
        (("--key", "b.c25519"), "wants an update signed by the key"),
    ],
)
def test_what_nodes_would_refuse_is_not_written(
    orrery: Orrery, files: Path, more: tuple[str, str], sentence: str
) -> None:
    (files / "held").write_bytes(world(10).encode())
    _private(files / "a.c25519", key("a").encode())
    _private(files / "b.c25519", key("b").encode())
    keys = () if more[0] == "--key" else ("--key", "a.c25519")
    result = orrery("world", "sign", "held", "next", "--previous", "held", *keys, *more)
    assert result.status == 1
    assert any(part in result.err for part in sentence.split("|"))
    assert not (files / "next").exists()


def test_a_first_planet_from_roots_alone(orrery: Orrery, files: Path) -> None:
    (files / "config.json").write_bytes(encoded({"roots": [root_json("198.51.100.1:9993")]}))
    asked = ("--key", "current.c25519", "--timestamp", "2027-01-15T08:00:00+00:00")
    result = orrery("world", "sign", "config.json", "first", *asked)
    assert (result.status, "add --type" in result.err) == (2, True)
    result = orrery("world", "sign", "config.json", "first", *asked, "--type", "planet")
    assert (result.status, "add --id" in result.err) == (2, True)
    whole = (*asked, "--type", "planet", "--id", "0xabc", "--json")
    result = orrery("world", "sign", "config.json", "first", *whole)
    assert result.status == 0
    assert result.json["file"] == "first"
    assert result.json["id"] == "0000000000000abc"
    assert result.json["self_signed"] is True
    assert result.json["timestamp_ms"] == _NOW_MS
    assert "1567191349589" not in result.err  # what mkworld would stamp, and we do not
    assert orrery("world", "verify", "first").status == 0


def test_key_files_beside_a_configuration_are_used_and_no_others(
    orrery: Orrery, files: Path
) -> None:
    config = {
        "rootNodes": [{"identity": idtool("one-v4")["first_identity"], "endpoints": []}],
        "signing": ["../previous.c25519", "current.c25519"],
        "plID": 7,
    }
    (files / "mkworld.json").write_bytes(encoded(config))
    result = orrery("world", "sign", "mkworld.json", "planet2")
    assert result.status == 4
    assert "names key files outside of its directory" in result.err
    config["signing"] = ["previous.c25519", "current.c25519"]
    (files / "mkworld.json").write_bytes(encoded(config))
    result = orrery("world", "sign", "mkworld.json", "planet2")
    assert result.status == 4
    assert "previous.c25519 is missing" in result.err
    _private(files / "previous.c25519", bytes.fromhex(FIRST_RUN["previous_c25519"]))
    assert orrery("world", "sign", "mkworld.json", "planet2").status == 0


def test_a_world_signed_for_another_format(orrery: Orrery, files: Path) -> None:
    result = orrery("world", "sign", "moon.json", "-", "--to", "base64")
    assert result.status == 0
    assert World.decode(b64decode(result.out)).timestamp_ms == _NOW_MS
    result = orrery("world", "sign", "moon.json", "x", "--to", "moon-json")
    assert (result.status, "no place for a signature" in result.err) == (2, True)


def test_a_moon_json_with_mistakes_is_not_signed_unless_loose(orrery: Orrery, files: Path) -> None:
    bad = encoded(moon_json(roots=[root_json("root.example.com/9993", "1.2.3.4/9993")]))
    _private(files / "bad.json", bad)
    result = orrery("world", "sign", "bad.json", "x.moon")
    assert result.status == 3
    assert result.err.startswith("orrery: bad.json: root 1, endpoint 1: 'root.example.com/9993'")
    result = orrery("world", "sign", "bad.json", "x.moon", "--loose")
    assert result.status == 0
    assert "warning: root 1, endpoint 1: " in result.err
    endpoints = World.decode((files / "x.moon").read_bytes()).roots[0].endpoints
    assert [str(endpoint) for endpoint in endpoints] == ["0.0.0.0/9993", "1.2.3.4/9993"]


def test_json_of_a_mistake_stands_on_standard_error(orrery: Orrery, files: Path) -> None:
    _private(files / "bad.json", encoded(moon_json(worldType="star")))
    result = orrery("world", "sign", "bad.json", "x.moon", "--json")
    assert (result.status, result.out) == (3, "")
    assert json.loads(result.err) == {
        "error": {
            "code": "malformed",
            "message": 'bad.json: worldType is \'star\': write "moon" or "planet"',
            "exit_status": 3,
        }
    }
