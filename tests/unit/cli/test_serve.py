"""`orrery serve`, up to the moment when it would wait for a signal."""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from orrery.cli.serve import _options
from orrery.errors import CustodyError
from orrery.home import Home
from orrery.server.conducting import Conducting
from orrery.server.service import Server
from orrery.wire.endpoint import Endpoint
from tests.unit.cli.running import Orrery, Result
from tests.unit.home.making import ELSEWHERE, ONE, TWO, make_home, secret_file, want
from tests.unit.server.serving import free_port
from tests.unit.store.making import identity


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("ORRERY_HOME", raising=False)
    make_home(tmp_path / "home").close()
    return tmp_path / "home"


@pytest.fixture
def serve(orrery: Orrery, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    """Runs `orrery serve` in `home`, and ends it as soon as it serves."""

    async def end(_server: Server) -> None:
        return

    monkeypatch.setattr(Server, "run", end)
    port = free_port()

    def run(*arguments: str) -> Result:
        if "--listen" not in arguments:
            arguments = ("--listen", f"127.0.0.1:{port}", *arguments)
        return orrery("serve", "--home", "home", *arguments)

    yield run
    structlog.reset_defaults()


def logged(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.err.splitlines()]


def events(result: Result) -> list[str]:
    return [entry["event"] for entry in logged(result)]


def test_it_says_what_it_serves(serve: Callable[..., Result], home: Path) -> None:
    result = serve()
    assert (result.status, result.out) == (0, "")
    other_ports, serving, stopped = logged(result)
    assert other_ports["event"] == "other ports"  # than the planet says
    assert serving["event"] == "serving"
    assert serving["root"] == f"{identity(0).address:010x}"
    assert serving["nodes"] == 0
    assert serving["worlds"][0].startswith("planet ")
    assert stopped["event"] == "stopped"


def test_a_level_leaves_out_those_below_it(serve: Callable[..., Result], home: Path) -> None:
    assert events(serve("--log-level", "warning")) == ["other ports"]
    assert serve("--log-level", "error").err == ""


def test_what_was_mended_is_logged(serve: Callable[..., Result], home: Path) -> None:
    planet = (home / "planet").read_bytes()
    (home / "planet").write_bytes(b"mine")
    result = serve()
    assert events(result)[0] == "repaired"
    assert "it is kept as home/backups/planet." in logged(result)[0]["what"]
    assert (home / "planet").read_bytes() == planet


def test_ports_at_which_nodes_ask_in_vain_are_told(
    serve: Callable[..., Result], home: Path
) -> None:
    (other,) = (entry for entry in logged(serve()) if entry["event"] == "other ports")
    assert other["endpoints"] == [str(ONE), str(TWO)]
    assert "change `listen` in orrery.toml" in other["meaning"]
    assert "other ports" not in events(serve("--listen", "127.0.0.1:9993"))


def test_an_identity_that_is_no_root_is_told(
    serve: Callable[..., Result], home: Path, tmp_path: Path
) -> None:
    secret_file(tmp_path, 1).rename(home / "identity.secret")
    (warning,) = (entry for entry in logged(serve()) if entry["event"] == "not a root")
    assert f"{identity(1).address:010x}" in warning["meaning"]


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("--log-level", "loud"), 2, "'loud' is no log level: write debug, info, warning, error"),
        (("--listen", "127.0.0.1"), 2, "--listen: '127.0.0.1' has no port"),
        (("--listen", "203.0.113.7:9"), 2, "203.0.113.7/9 is no address of this machine"),
        (("--listen", "root.example.org:9"), 2, "receives at IP addresses"),
    ],
)
def test_a_wrong_request_is_told(
    serve: Callable[..., Result],
    home: Path,
    *,
    arguments: tuple[str, ...],
    status: int,
    sentence: str,
) -> None:
    result = serve(*arguments)
    assert (result.status, result.out) == (status, "")
    assert sentence in result.err
    assert "Traceback" not in result.err


def test_an_address_that_is_listened_at_twice_is_told(
    serve: Callable[..., Result], home: Path
) -> None:
    port = free_port()
    result = serve("--listen", f"127.0.0.1:{port}", "--listen", f"0.0.0.0:{port}")
    assert result.status == 2
    assert f"0.0.0.0/{port} is where 127.0.0.1/{port} listens already" in result.err


def test_a_port_that_is_in_use_is_a_conflict(serve: Callable[..., Result], home: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        result = serve("--listen", f"127.0.0.1:{port}")
    assert result.status == 5
    assert f"127.0.0.1/{port} is in use by another program" in result.err


def test_a_home_has_one_server(serve: Callable[..., Result], home: Path) -> None:
    with Home.open(home) as opened, opened.start_serving():
        assert opened.is_served
        result = serve()
        assert (result.status, result.err) == (
            5,
            "orrery: another `orrery serve` has home; stop that one first\n",
        )
    with Home.open(home) as opened:
        assert not opened.is_served
    assert serve().status == 0


def test_another_root_may_share_the_home(
    serve: Callable[..., Result], home: Path, tmp_path: Path
) -> None:
    other = str(secret_file(tmp_path, 1))
    with Home.open(home) as opened, opened.start_serving():
        result = serve("--identity", other)
        assert result.status == 0
        serving = next(entry for entry in logged(result) if entry["event"] == "serving")
        assert serving["root"] == f"{identity(1).address:010x}"
        assert "not a root" in events(result)
    with Home.open(home) as opened, opened.start_serving(identity(1).address):
        assert opened.is_served
        result = serve("--identity", other)
        assert result.status == 5
        assert f"has home for root {identity(1).address:010x}; stop that one" in result.err
        assert serve().status == 0
    with Home.open(home) as opened:
        assert not opened.is_served


def test_an_identity_that_is_open_to_others_is_refused(
    serve: Callable[..., Result], home: Path, tmp_path: Path
) -> None:
    other = secret_file(tmp_path, 1)
    other.chmod(0o644)
    result = serve("--identity", str(other))
    assert result.status == 4
    assert "run: chmod 600" in result.err


def test_it_conducts_with_the_passphrase_it_was_given(
    serve: Callable[..., Result], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conducted: list[Home] = []

    async def conduct(conducting: Conducting) -> None:
        conducted.append(conducting._open_home())

    async def begin(_server: Server) -> None:
        await asyncio.sleep(0)  # lets the tasks of the server begin

    monkeypatch.setattr(Conducting, "run", conduct)
    monkeypatch.setattr(Server, "run", begin)
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("four words of mine\n")
    passphrase.chmod(0o600)
    monkeypatch.delenv("ORRERY_PASSPHRASE", raising=False)
    assert serve("--passphrase-file", str(passphrase)).status == 0
    (opened,) = conducted
    assert opened.keys._passphrase is not None
    assert opened.keys._passphrase("it") == "four words of mine"
    opened.close()
    assert serve().status == 0
    opened = conducted[1]
    assert opened.keys._passphrase is not None
    with pytest.raises(CustodyError, match="run `orrery key unlock`, or start it again with"):
        opened.keys._passphrase("it")
    opened.close()


@pytest.mark.parametrize(
    ("lose", "status", "sentence"),
    [
        (lambda home: (home / "identity.secret").unlink(), 4, "identity.secret is missing"),
        (lambda home: (home / "identity.secret").chmod(0o644), 4, "run: chmod 600"),
        (lambda home: (home / "keys.d").chmod(0o755), 4, "run: chmod 700"),
        (lambda home: (home / "orrery.toml").unlink(), 3, "orrery.toml is missing"),
        (lambda home: (home / "orrery.toml").write_text("x"), 3, "orrery.toml, line 1: "),
        (lambda home: (home / "orrery.db").unlink(), 3, "orrery.db is missing"),
        (lambda home: (home / "orrery.db").write_text("x" * 99), 3, "is not a whole SQLite data"),
        (lambda home: home.rename(home.parent / "away"), 3, "there is no home at home"),
    ],
)
def test_a_home_that_lacks_something_is_not_served(
    serve: Callable[..., Result],
    home: Path,
    *,
    lose: Callable[[Path], object],
    status: int,
    sentence: str,
) -> None:
    lose(home)
    result = serve()
    assert (result.status, result.out) == (status, "")
    assert sentence in result.err
    assert all(line.startswith("orrery: ") for line in result.err.splitlines())


def test_a_half_made_home_is_not_served(
    serve: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr("orrery.home.creating.publish", stop)
        with pytest.raises(KeyboardInterrupt):
            make_home(tmp_path / "home")
    result = serve()
    assert result.status == 1
    assert result.err == (
        "orrery: home is half made: `orrery init` was interrupted there; run it again to finish\n"
    )


def test_what_the_settings_say_is_served(home: Path) -> None:
    path = home / "orrery.toml"
    text = path.read_text()
    for old, new in (
        ('listen = ["0.0.0.0:9993", "[::]:9993"]', 'listen = ["127.0.0.1:1234"]'),
        ("push = true", "push = false"),
        ("push_rate = 1000", "push_rate = 7"),
        ("retention_days = 30", "retention_days = 3"),
        ("retention_rows = 1_000_000", "retention_rows = 5_000"),
    ):
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    with Home.open(home) as opened:
        options = _options(opened, None, None)
        assert options.listen == (Endpoint.from_text("127.0.0.1:1234"),)
        assert not options.push.enabled
        assert tuple(options.push.nodes) == (7, 7)
        assert (options.keep_days, options.max_sightings) == (3, 5_000)
        told = _options(opened, ["[::1]:99"], True)
        assert told.listen == (Endpoint.from_text("[::1]:99"),)
        assert told.push.enabled


def test_publishing_while_it_serves_needs_no_stop(
    orrery: Orrery, home: Path, serve: Callable[..., Result]
) -> None:
    with Home.open(home) as opened, opened.start_serving():
        opened.acquire()
        want(opened, ONE, TWO, ELSEWHERE)
        opened.release()
        assert orrery("publish", "--home", "home").status == 0
        assert orrery("status", "--home", "home", "--json").json["serving"]
    assert not orrery("status", "--home", "home", "--json").json["serving"]
