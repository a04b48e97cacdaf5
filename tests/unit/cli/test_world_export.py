"""`orrery world export`: a revision of a home as a file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orrery.home import Home, publish
from orrery.wire.world import World
from tests.unit.cli.rolling import MOVED, newest, now_ms, rolling_home, wish
from tests.unit.cli.running import Orrery
from tests.unit.home.making import ONE


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home with two revisions."""
    monkeypatch.setenv("ORRERY_HOME", str(tmp_path / "home"))
    with rolling_home(tmp_path / "home") as made:
        wish(made, ONE, MOVED)
        made.acquire()
        publish(made, "home", now_ms())
        made.release()
        yield made


def test_the_newest_or_any_other_is_written(orrery: Orrery, home: Home, tmp_path: Path) -> None:
    result = orrery("world", "export", "out")
    assert (result.status, result.out) == (0, "")
    assert "revision 2 of 2 of home" in result.err
    assert (tmp_path / "out").read_bytes() == newest(home).encode()
    told = orrery("world", "export", "first", "--revision", "1", "--json").json
    first = home.store.revisions(newest(home).id)[0].encoded
    assert (tmp_path / "first").read_bytes() == first
    assert (told["revision"], told["revisions"]) == (1, 2)
    assert World.decode(orrery("world", "export", "-").out_bytes) == newest(home)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("out", "--revision", "3"), 2, "has 2 revisions, and none has the number 3"),
        (("out", "--world", "mars"), 2, "no World 'mars'"),
        (("taken",), 5, "taken"),
        (("-", "--json"), 2, "has room for one"),
        (("out", "--home", "nowhere"), 3, "there is no home at nowhere"),
    ],
)
@pytest.mark.usefixtures("home")
def test_a_wrong_request_is_told(
    orrery: Orrery, tmp_path: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    (tmp_path / "taken").write_text("mine")
    result = orrery("world", "export", *arguments)
    assert (result.status, said in result.err) == (status, True), result.err
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "taken").read_text() == "mine"
