"""Orrery's commands beside zerotier-idtool and mkworld: each takes what the other made."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.interop.orreryroot import orrery
from tests.interop.realnode import RealNode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interop.lab import Lab
    from tests.interop.realnode import IdTool

pytestmark = pytest.mark.interop

MESSAGE = bytes(range(256))


@pytest.fixture
def message(tmp_path: Path) -> Path:
    """A file to sign."""
    path = tmp_path / "to be signed"
    path.write_bytes(MESSAGE)
    return path


@pytest.fixture
def mkworld(zerotier_one: Path) -> Path:
    """The mkworld that was built with the binary."""
    path = zerotier_one.with_name("mkworld")
    if not path.exists():
        pytest.skip(f"there is no mkworld beside {zerotier_one}")
    return path


def secret_file(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


class TestIdentities:
    def test_idtool_accepts_ours(self, idtool: IdTool, tmp_path: Path) -> None:
        ours = tmp_path / "identity.secret"
        orrery("identity", "new", "--out", ours)
        assert idtool.validate(ours.read_text().strip())
        public = orrery("identity", "show", "--public", ours).strip()
        assert idtool.public(ours.read_text().strip()) == public
        moved = f"{int(public[:10], 16) ^ 1:010x}{public[10:]}"
        assert not idtool.validate(moved)

    def test_we_accept_those_of_idtool(self, idtool: IdTool, tmp_path: Path) -> None:
        theirs = secret_file(tmp_path / "identity.secret", idtool.generate())
        orrery("identity", "validate", theirs)
        public = idtool.public(theirs.read_text())
        assert orrery("identity", "show", "--public", theirs).strip() == public
        orrery("identity", "validate", public)
        moved = f"{int(public[:10], 16) ^ 1:010x}{public[10:]}"
        orrery("identity", "validate", moved, status=1)

    def test_each_verifies_the_signatures_of_the_other(
        self, idtool: IdTool, tmp_path: Path, message: Path
    ) -> None:
        secret = secret_file(tmp_path / "identity.secret", idtool.generate())
        public = idtool.public(secret.read_text())
        ours = orrery("identity", "sign", secret, message).strip()
        theirs = idtool.sign(secret.read_text(), MESSAGE)
        assert ours == theirs.hex()
        assert idtool.verify(public, MESSAGE, bytes.fromhex(ours))
        assert not idtool.verify(public, MESSAGE[1:], bytes.fromhex(ours))
        orrery("identity", "verify", public, message, theirs.hex())
        message.write_bytes(MESSAGE[1:])
        orrery("identity", "verify", public, message, theirs.hex(), status=1)

    def test_a_root_runs_under_the_identity_of_a_node(self, idtool: IdTool, tmp_path: Path) -> None:
        home = tmp_path / "home"
        theirs = secret_file(tmp_path / "identity.secret", idtool.generate())
        orrery("init", "--home", home, "--endpoint", "192.0.2.1:9993", "--identity", theirs)
        told = json.loads(orrery("world", "show", home / "planet", "--json"))
        assert told["roots"][0]["identity"] == idtool.public(theirs.read_text())


class TestWorlds:
    def test_we_read_what_genmoon_signed(self, idtool: IdTool, tmp_path: Path) -> None:
        root = idtool.generate()
        spec = idtool.initmoon(root)
        spec["roots"][0]["stableEndpoints"] = ["192.0.2.1/9993", "2001:db8::1/9993"]
        (tmp_path / "theirs.moon").write_bytes(idtool.genmoon(spec))
        orrery("world", "verify", tmp_path / "theirs.moon")
        told = json.loads(orrery("world", "show", tmp_path / "theirs.moon", "--json"))
        assert told["type"] == "moon"
        assert told["id"] == f"{root[:10]:0>16}"
        assert told["self_signed"]
        assert told["roots"][0]["endpoints"] == spec["roots"][0]["stableEndpoints"]

    def test_a_moon_json_gives_the_bytes_of_genmoon(self, idtool: IdTool, tmp_path: Path) -> None:
        spec = idtool.initmoon(idtool.generate())
        spec["roots"][0]["stableEndpoints"] = ["192.0.2.1/9993", "192.0.2.1/443", "2001:db8::1/1"]
        secret_file(tmp_path / "moon.json", json.dumps(spec))
        theirs = idtool.genmoon(spec)
        (tmp_path / "theirs.moon").write_bytes(theirs)
        told = json.loads(orrery("world", "show", tmp_path / "theirs.moon", "--json"))
        ours = tmp_path / "ours.moon"
        stamp = str(told["timestamp_ms"])
        orrery("world", "sign", tmp_path / "moon.json", ours, "--timestamp", stamp)
        assert ours.read_bytes() == theirs

    def test_mkworld_signs_with_our_keys(self, mkworld: Path, tmp_path: Path) -> None:
        for name in ("previous.c25519", "current.c25519"):
            orrery("key", "new", "--out", tmp_path / name)
        subprocess.run([mkworld], cwd=tmp_path, capture_output=True, check=True)
        world = tmp_path / "world.bin"
        orrery("world", "verify", world, "--key", tmp_path / "previous.c25519")
        orrery("world", "verify", world, "--key", tmp_path / "current.c25519", status=1)
        told = json.loads(orrery("world", "show", world, "--json"))
        current = json.loads(orrery("key", "show", tmp_path / "current.c25519", "--json"))
        assert told["next_signer"]["public_key"] == current["public_key"]

    def test_we_go_on_from_what_mkworld_made(self, mkworld: Path, tmp_path: Path) -> None:
        subprocess.run([mkworld], cwd=tmp_path, capture_output=True, check=True)
        old, new = tmp_path / "world.bin", tmp_path / "next.bin"
        orrery("world", "verify", old)
        told = json.loads(orrery("world", "show", old, "--json"))
        codes = {warning["code"] for warning in told["warnings"]}
        assert "fixed-timestamp" in codes
        (tmp_path / "current.c25519").chmod(0o600)
        key = tmp_path / "current.c25519"
        orrery("world", "sign", old, new, "--key", key, "--previous", old)
        orrery("world", "verify", new, "--against", old)

    def test_a_node_takes_our_moon_from_its_directory(
        self, lab: Lab, zerotier_one: Path, tmp_path: Path
    ) -> None:
        home = tmp_path / "home"
        orrery("init", "--moon", "--home", home, "--endpoint", "10.77.50.1:9993")
        (file,) = (home / "moons.d").iterdir()
        node = RealNode(lab.host("node"), zerotier_one)
        node.write_moon(file.stem, file.read_bytes())
        node.start()
        moon = node.moons()[file.stem]
        told = json.loads(orrery("world", "show", file, "--json"))
        assert moon["timestamp"] == told["timestamp_ms"]
        assert moon["roots"] == [
            {"identity": root["identity"], "stableEndpoints": root["endpoints"]}
            for root in told["roots"]
        ]
        assert node.peers()[told["roots"][0]["address"]]["role"] == "MOON"
        assert node.moon(file.stem) == file.read_bytes()
