"""Wrong input of every kind: one sentence, the right status, and nothing else."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orrery import __version__
from orrery.cli import app
from tests.unit.cli.running import Orrery
from tests.unit.worlds.formats.samples import EARTH, FIRST_RUN, encoded, idtool, moon_json
from tests.unit.worlds.making import world

_KEY = FIRST_RUN["current_c25519"]
_PUBLIC = _KEY[:128]
_IDENTITY = idtool("one-v4")["first_identity"]


@pytest.fixture
def wrong(files: Path) -> Path:
    """Files that are not what they should be, beside good ones."""
    (files / "empty").write_bytes(b"")
    (files / "blank").write_text("\n\n")
    (files / "cut").write_bytes(EARTH[:222])
    (files / "page").write_text("<html>login</html>")
    (files / "zip").write_bytes(b"PK\x03\x04\x00\xff")
    (files / "huge").write_bytes(b"\x01" * (1 << 21))
    (files / "open.json").write_bytes((files / "moon.json").read_bytes())
    (files / "open.json").chmod(0o644)
    (files / "public.json").write_bytes(encoded(moon_json(signingKey_SECRET=None)))
    (files / "broken.json").write_text('{"roots": [')
    (files / "id0.json").write_bytes(encoded(moon_json(id="0")))
    (files / "short.c25519").write_bytes(bytes.fromhex(_KEY)[:127])
    (files / "halves.c25519").write_bytes(b"U" * 64 + bytes.fromhex(_KEY)[64:])
    (files / "locked.age").write_bytes(b"age-encryption.org/v1\n-> scrypt x\n\x00\xff")
    for name in ("short.c25519", "halves.c25519", "locked.age"):
        (files / name).chmod(0o600)
    (files / "old").write_bytes(world(10).encode())
    (files / "dir").mkdir()
    return files


_WRONG: list[tuple[str, int, str]] = [
    # usage
    ("wrld show planet", 2, "No such command 'wrld'"),
    ("world", 2, "Usage: orrery world"),
    ("world shw planet", 2, "No such command 'shw'"),
    ("world show", 2, "Missing argument 'FILE'"),
    ("world show planet --jsno", 2, "No such option: --jsno"),
    ("world show planet extra", 2, "unexpected extra argument"),
    ("world diff planet", 2, "Missing argument 'NEW'"),
    ("world diff - -", 2, "standard input (-) can be read once only"),
    ("world verify - --against -", 2, "standard input (-) can be read once only"),
    ("world verify planet --against old --key current.c25519", 2, "leave out --key"),
    ("world verify planet --against moon.json", 2, "moon.json is not signed"),
    ("world verify planet --key old", 2, "old is a World and no key"),
    ("world verify planet --against", 2, "Option '--against' requires an argument"),
    ("world convert planet out", 2, "the name of the file does not tell the format"),
    ("world convert planet out --to yaml", 2, "'yaml' is no format: it is one of binary"),
    ("world convert planet x.b64 --timestamp 5", 2, "nothing is signed here"),
    ("world convert planet x.b64 --with-secrets", 4, "holds no private signing key"),
    ("world convert moon.json x --to roots-json --with-secrets", 2, "no place for a private key"),
    ("world convert one.moon x.url", 2, "such a link carries a planet, and this is a moon"),
    ("world convert one.moon x --to mkworld", 2, "ztmkworld makes planets and nothing else"),
    ("world convert current.c25519 x.moon", 2, "not signed yet"),
    ("world sign moon.json x.moon --timestamp noon", 2, "--timestamp 'noon' is no time"),
    ("world sign moon.json x.moon --timestamp 1800000000", 2, "write 1800000000000"),
    ("world sign moon.json x.moon --timestamp 2027", 2, "looks like a date"),
    ("world sign moon.json x.moon --timestamp 20270101", 2, "looks like a date"),
    ("world sign moon.json x.moon --timestamp 2027-01-01", 2, "has no zone: add Z"),
    ("world sign moon.json x.moon --timestamp 1969-01-01T00:00Z", 2, "before 1970"),
    ("world sign moon.json x.moon --timestamp 99999999999999999999", 2, "does not fit 64 bits"),
    ("world sign moon.json x.moon --id xyz", 2, "--id 'xyz' is no id"),
    ("world sign moon.json x.moon --id 0", 2, "--id 0 means no World"),
    ("world sign moon.json x.moon --type star", 2, "--type 'star' is no type"),
    ("world sign moon.json - --json", 2, "standard output cannot take both"),
    ("world sign moon.json x --to mkworld", 2, "has no place for a signature"),
    (f"world sign planet x --key {_PUBLIC}", 2, "a private key on the command line"),
    (f"world sign planet x --key {_KEY}", 2, "a private key on the command line"),
    ("world sign current.c25519 x", 2, "a signing key and says nothing about a World"),
    ("identity new", 2, "say where the private key goes"),
    ("identity new --out -", 2, "to print the identity there is --secret"),
    ("identity new --out x --public ./x", 2, "x cannot be both --out and --public"),
    ("identity new --out x --workers 0", 2, "Invalid value for '--workers'"),
    ("identity show identity.public --public --json", 2, "prints one line and nothing else"),
    ("identity verify - - 00", 2, "standard input (-) can be read once only"),
    ("key new --out -", 2, "a private key does not go to standard output"),
    ("key show old", 2, "old is a World and no key"),
    # unreadable or malformed
    ("world show absent", 3, "absent is not there: check the path"),
    ("world show dir", 3, "dir is a directory: name the file in it"),
    ("world show planet/below", 3, "planet/below cannot be read"),
    ("world show empty", 3, "empty: the file is empty"),
    ("world show blank", 3, "blank: the file holds nothing but blanks"),
    ("world show cut", 3, "cut: root 1 of the World"),
    ("world show page", 3, "page: this is a web page"),
    ("world show zip", 3, "zip: the file is in no format that Orrery knows"),
    ("world show huge", 3, "huge: the file has more than 1048576 bytes"),
    ("world show broken.json", 3, "broken.json: line 1, column 12: this is not JSON"),
    ("world show identity.public", 3, "use `orrery identity show`"),
    ("world verify cut --against planet", 3, "a node would throw the file away"),
    ("world verify planet --against cut", 3, "cut: root 1"),
    ("world verify planet --against absent", 3, "absent is not there"),
    ("world verify planet --key " + "0" * 126, 3, "126 hex digits are no public key"),
    ("world verify planet --key short.c25519", 3, "short.c25519: "),
    ("world diff planet absent", 3, "absent is not there"),
    ("world convert id0.json x.moon", 3, "id0.json: id is 0"),
    ("world convert planet dir --to binary", 3, "dir is a directory: name the file to write"),
    ("world convert planet no/x.moon", 3, "no/x.moon cannot be written: no is no directory"),
    ("world sign planet x --key halves.c25519", 3, "does not belong to the public key"),
    ("identity show absent", 3, "absent is not there"),
    ("identity show zip", 3, "zip: this is no text, and identities are"),
    ("identity show page", 3, "page: an identity has 3 fields"),
    ("identity show empty", 3, "empty: an empty text is no identity"),
    (f"identity show {_IDENTITY[:-1]}", 3, "has 127 hex digits, not 128"),
    ("identity validate ff00000000:0:00", 3, "is a reserved address"),
    ("identity verify identity.public planet 00", 3, "00 is not there"),
    ("identity verify identity.public planet " + "0" * 190, 3, "not the 192 hex digits"),
    ("identity verify identity.public planet page", 3, "page is not the 192 hex digits"),
    ("identity verify identity.public absent " + "0" * 192, 3, "absent is not there"),
    ("key new --out no/k", 3, "no/k cannot be written"),
    ("key show page", 3, "page: this is a web page"),
    # a clean no
    ("world verify old --against planet", 1, "a node that holds planet 0000000008eac90a"),
    ("world verify planet --against planet", 1, "has no use for the same World again"),
    (f"world verify planet --key {_PUBLIC}", 1, "the signature was not made by the key"),
    ("world verify moon.json", 1, "moon.json is not signed yet"),
    ("world verify current.c25519", 1, "current.c25519 is a key and no World"),
    ("world sign old x --key current.c25519 --previous old", 1, "wants an update signed by"),
    ("identity verify identity.public planet " + "0" * 192, 1, "made for other bytes than these"),
    # keys
    ("world convert open.json x.moon", 4, "open.json is open to other users (mode 0644)"),
    ("world convert public.json x.moon", 4, "public.json holds no private signing key"),
    ("world convert planet x --to moon-json --with-secrets", 4, "holds no private signing key"),
    ("world sign planet x", 4, "planet holds no private signing key: give the key file"),
    ("world sign planet x --key absent", 4, "absent is missing"),
    ("world sign planet x --key planet", 4, "planet is open to other users|holds no private"),
    ("world sign planet x --key open.json", 4, "run: chmod 600 open.json"),
    ("world sign planet x --key locked.age", 4, "is a key locked with a passphrase"),
    ("world sign planet x --key dir", 4, "dir is not a file"),
    ("world show planet --secret", 4, "planet holds no private key to show"),
    ("identity sign identity.public planet", 4, "holds no private key: sign with its"),
    ("identity show identity.public --secret", 4, "holds no private key to show"),
    ("key show " + _PUBLIC + " --secret", 4, "holds no private key to show"),
    # conflict
    ("world convert planet old --to binary", 5, "old is there already"),
    ("world sign moon.json planet", 5, "planet is there already"),
    ("identity new --out planet", 5, "planet is there already, and a lost identity"),
    ("key new --out planet", 5, "planet is there already, and without it"),
    ("key new", 5, "current.c25519 is there already"),
]


@pytest.mark.parametrize(
    ("line", "status", "sentence"), [pytest.param(*case, id=case[0][:60]) for case in _WRONG]
)
def test_wrong_input_is_told(
    orrery: Orrery, wrong: Path, line: str, status: int, sentence: str
) -> None:
    before = {path.name: path.read_bytes() for path in wrong.iterdir() if path.is_file()}
    result = orrery(*line.split())
    assert result.status == status
    assert result.out == ""
    assert any(part in result.err for part in sentence.split("|"))
    assert "Traceback" not in result.err
    assert _KEY[128:160] not in result.err
    assert {path.name: path.read_bytes() for path in wrong.iterdir() if path.is_file()} == before
    if "--json" in line or line == "world":
        return
    assert all(sentence.startswith("orrery: ") for sentence in result.err.splitlines())
    as_json = orrery(*line.split(), "--json")
    if as_json.status == status:  # the command has --json
        assert set(as_json.error) >= {"code", "message", "exit_status"}
        assert as_json.error["exit_status"] == status


def test_a_bug_is_told_with_how_to_report_it(
    orrery: Orrery, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        raise RuntimeError("5ec4e7")

    monkeypatch.setattr("orrery.cli.documents.now_ms", fail)
    result = orrery("world", "show", "planet")
    assert result.status == 70
    assert result.err.startswith("orrery: this is a bug in Orrery (RuntimeError in ")
    assert "ORRERY_DEBUG=1" in result.err
    assert "5ec4e7" not in result.err
    assert len(result.err.splitlines()) == 1
    monkeypatch.setenv("ORRERY_DEBUG", "1")
    result = orrery("world", "show", "planet")
    assert result.status == 70
    assert "Traceback" in result.err
    assert orrery("world", "show", "planet", "--json").status == 70


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, EOFError])
def test_an_interruption_ends_quietly(
    orrery: Orrery,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    interruption: type[BaseException],
) -> None:
    def interrupt() -> int:
        raise interruption

    monkeypatch.setattr("orrery.cli.documents.now_ms", interrupt)
    result = orrery("world", "show", "planet")
    assert result.status == 130
    assert result.err.strip() == ""


def test_the_version_and_help(orrery: Orrery) -> None:
    assert orrery("--version").out == f"orrery {__version__}\n"
    shown = orrery("-h")
    assert shown.status == 0
    for noun in ("world", "identity", "key"):
        assert f"\n  {noun} " in shown.out
        assert orrery(noun, "--help").status == 0
    nothing = orrery()
    assert nothing.status == 2
    assert nothing.err.startswith("Usage: orrery")


def _process(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "orrery", *arguments]


def test_a_closed_pipe_is_no_failure_of_ours(files: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        _process("world", "show", "planet"),
        cwd=files, stdout=writer, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told(files: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            _process("world", "show", "planet"),
            cwd=files, stdout=full, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    assert ended.returncode == 3
    assert b"orrery: standard output cannot be read or written: " in ended.stderr
    assert os.strerror(errno.ENOSPC).encode() in ended.stderr


def test_the_process_ends_with_the_status(files: Path) -> None:
    ended = subprocess.run(
        _process("world", "verify", "planet", "--against", "planet", "--json"),
        cwd=files, capture_output=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert json.loads(ended.stderr)["error"]["reason"] == "identical"


def test_commands_import_only_what_they_need() -> None:
    """The start is fast because nothing heavy is imported for help."""
    code = (
        "import sys; from orrery.cli.app import run; run(['world', '--help']);"
        "print([m for m in ('cryptography', 'sqlalchemy', 'rich', 'orrery.wire', 'orrery.custody')"
        " if m in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr.strip() == "[]"


def test_every_command_is_reached_from_the_application() -> None:
    assert {command.name for command in app.app.registered_groups} >= {"world", "identity", "key"}
