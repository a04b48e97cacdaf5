"""What a person sees at a terminal of 80 columns, and may answer there."""

import signal
from pathlib import Path

import pytest

from orrery.home import Home, publish
from orrery.store import Adoption, Sighting
from tests.e2e.terminals import COLUMNS, Terminal, has_colour
from tests.unit.home.making import ONE, TWO, make_home, secret_file, want
from tests.unit.server.serving import free_port, wall_ms
from tests.unit.store.making import identity

LONG_PATH = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff/29994"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with two revisions and three nodes."""
    with make_home(tmp_path / "home", clock=wall_ms) as made:
        (planet,) = made.served_worlds()
        nodes = [identity(number) for number in (1, 2, 3)]
        made.store.record(
            [
                Sighting(
                    node.address,
                    node.public().to_bytes(),
                    path,
                    13,
                    (1, 14, 1),
                    wall_ms(),
                    planet.id,
                    planet.timestamp_ms,
                )
                for node, path in zip(
                    nodes, ("198.51.100.4/29994", LONG_PATH, "10.0.0.7/9993"), strict=True
                )
            ],
            [
                Adoption(node.address, planet.id, planet.timestamp_ms, wall_ms(), "probe")
                for node in nodes
            ],
        )
    return tmp_path / "home"


def fits(terminal: Terminal) -> bool:
    return all(len(line) <= COLUMNS for line in terminal.lines)


def test_init_shows_its_search_and_what_to_do_next(tmp_path: Path) -> None:
    with Terminal("init", "--endpoint", "84.17.53.155:9993", at=tmp_path) as shown:
        assert shown.end() == 0
        assert "tried" in shown.text
        assert "keys, about 15 are needed" in shown.text
        assert any(line.startswith("planet ") for line in shown.lines)
        assert shown.lines[-2].split() == ["next", "orrery", "serve"]
        assert fits(shown)
        assert has_colour(shown.sent)


def test_a_new_passphrase_is_asked_for_twice_and_a_known_one_once(tmp_path: Path) -> None:
    pytest.importorskip("pyrage")
    secret = secret_file(tmp_path)
    with Terminal(
        "init", "--home", "home", "--endpoint", "84.17.53.155:9993", "--lock", "--identity", secret,
        at=tmp_path,
    ) as shown:  # fmt: skip
        shown.until("New passphrase of the new signing key: ")
        shown.type("correct horse\n")
        shown.until("Repeat for confirmation: ")
        shown.type("battery staple\n")
        shown.until("New passphrase of the new signing key: ", times=2)
        assert "do not match" in shown.text
        shown.type("correct horse\n")
        shown.until("Repeat for confirmation: ", times=2)
        shown.type("correct horse\n")
        assert shown.end() == 0
        assert "horse" not in shown.text
    with Home.open(tmp_path / "home", writer=True) as home:
        want(home, ONE, TWO, world="planet")
    with Terminal("publish", "--home", "home", "--strand-everyone", at=tmp_path) as shown:
        shown.until("/current.c25519.age: ")
        shown.type("correct horse\n")
        assert shown.end() == 0
        assert "published revision 2" in shown.text
    with Terminal("publish", "--home", "home", "--strand-everyone", at=tmp_path) as shown:
        assert shown.end() == 1  # there is nothing to publish, and nobody is asked for anything
        assert "Passphrase" not in shown.text


def test_ctrl_c_at_the_passphrase_leaves_all_as_it_was(tmp_path: Path) -> None:
    pytest.importorskip("pyrage")
    with Terminal(
        "init", "--home", "home", "--endpoint", "84.17.53.155:9993", "--lock",
        "--identity", secret_file(tmp_path), at=tmp_path,
    ) as shown:  # fmt: skip
        shown.until("New passphrase of the new signing key: ")
        shown.type("\x03")
        assert shown.end() == 130
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["lock"]


def test_nodes_are_whole_at_80_columns(home: Path) -> None:
    with Terminal("nodes", "--home", home, at=home) as shown:
        assert shown.end() == 0
        assert shown.lines[0].split() == ["node", "planet", "seen", "version", "path"]
        assert LONG_PATH in shown.text
        assert fits(shown)
        for number in (1, 2, 3):
            assert f"{identity(number).address:010x}  1/1" in shown.text


def test_a_terminal_that_is_too_narrow_wraps_the_path_alone(home: Path) -> None:
    with Home.open(home) as opened:
        opened.store.record(
            [
                Sighting(
                    identity(4).address,
                    identity(4).public().to_bytes(),
                    "2001:db8:1111:2222:3333:4444:5555:6666/65535",
                    13,
                    (65_535, 65_535, 65_535),
                    wall_ms(),
                    0,
                    0,
                )
            ]
        )
    with Terminal("nodes", "--home", home, at=home) as shown:
        assert shown.end() == 0
        assert fits(shown)
        at = next(n for n, line in enumerate(shown.lines) if f"{identity(4).address:010x}" in line)
        assert shown.lines[at].split() == [
            f"{identity(4).address:010x}", "-", shown.lines[at].split()[2], "65535.65535.65535",
        ]  # fmt: skip
        assert shown.lines[at + 1] == "  2001:db8:1111:2222:3333:4444:5555:6666/65535"


def test_status_is_shown_in_place_until_ctrl_c(home: Path) -> None:
    with Terminal("status", "--home", home, "--watch", at=home) as shown:
        shown.until("3 of 3 nodes seen in the last 1h")
        assert "██████████" in shown.text
        assert fits(shown)
        assert has_colour(shown.sent)
        with Home.open(home, writer=True) as opened:
            want(opened, ONE)
            publish(opened, "home", wall_ms())
        shown.until("0 of 3 nodes seen in the last 1h")
        assert "3 nodes hold revision 1" in shown.text
        assert "\x1b[2K" in shown.sent or "\x1b[1A" in shown.sent  # in place
        shown.type("\x03")
        assert shown.end() == 0
        assert "Traceback" not in shown.text


def test_serve_logs_for_a_person_and_ends_at_ctrl_c(home: Path) -> None:
    listen = f"127.0.0.1:{free_port()}"
    with Terminal("serve", "--home", home, "--listen", listen, at=home) as shown:
        shown.until("serving")
        shown.type("\x03")
        assert shown.end() == 0
        assert "stopped" in shown.text
        assert "{" not in shown.text.splitlines()[-1]
        assert has_colour(shown.sent)


def test_a_terminal_that_is_closed_ends_who_watches(home: Path) -> None:
    with Terminal("nodes", "--home", home, "--watch", at=home) as shown:
        shown.until("198.51.100.4")
        shown.send(signal.SIGHUP)
        assert shown.end() == -signal.SIGHUP
