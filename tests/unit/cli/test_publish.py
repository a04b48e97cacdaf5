"""`orrery publish`, and `orrery key` in a home."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orrery.home import Home
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import World
from tests.unit.cli.running import Orrery
from tests.unit.home.making import ELSEWHERE, ONE, TWO, make_home, want
from tests.unit.store.making import NOW_MS


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home with the planet `home` at ONE and TWO, which the commands find by the environment."""
    monkeypatch.setenv("ORRERY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ORRERY_PASSPHRASE", raising=False)
    with make_home(tmp_path / "home") as made:
        made.release()
        yield made


def wish(home: Home, *endpoints: object) -> None:
    home.acquire()
    want(home, *endpoints)  # type: ignore[arg-type]
    home.release()


def planet(home: Home) -> World:
    return World.decode((home.path / "planet").read_bytes())


def test_what_was_published_is_told(orrery: Orrery, home: Home) -> None:
    wish(home, ONE, TWO, ELSEWHERE)
    result = orrery("publish", "--note", "a third place")
    assert (result.status, result.err) == (0, "")
    newest = planet(home)
    assert result.out.splitlines()[0] == "published revision 2 of planet home"
    assert f"id           {newest.id:016x}\n" in result.out
    assert f"{newest.timestamp_ms}\n" in result.out
    assert f"root {newest.roots[0].identity.address:010x}: {ELSEWHERE} added\n" in result.out
    assert str(home.path / "planet") in result.out
    assert [revision.note for revision in home.store.revisions(newest.id)][1:] == ["a third place"]


def test_programs_are_told_the_same(orrery: Orrery, home: Home) -> None:
    wish(home, ONE, TWO, ELSEWHERE)
    told = orrery("publish", "home", "--json").json
    newest = planet(home)
    assert told["world"] == f"{newest.id:016x}"
    assert (told["revision"], told["timestamp_ms"]) == (2, newest.timestamp_ms)
    assert (told["rotates_key"], told["strands_everyone"]) == (False, False)
    assert told["changes"] == [f"root {newest.roots[0].identity.address:010x}: {ELSEWHERE} added"]


def test_nothing_new_is_a_clean_no(orrery: Orrery, home: Home) -> None:
    before = planet(home)
    result = orrery("publish")
    assert (result.status, result.out) == (1, "")
    assert "there is nothing to publish" in result.err
    assert planet(home) == before


def test_what_would_strand_everyone_is_published_only_when_it_is_said(
    orrery: Orrery, home: Home
) -> None:
    before = planet(home)
    wish(home, ELSEWHERE)
    refused = orrery("publish", "--json")
    assert (refused.status, refused.error["code"]) == (1, "not-safe")
    assert "say --strand-everyone" in refused.error["message"]
    assert planet(home) == before
    shown = orrery("publish", "--dry-run")
    assert "publish refuses this" in shown.out
    assert orrery("publish", "--dry-run", "--json").json["strands_everyone"] is True
    assert planet(home) == before
    said = orrery("publish", "--strand-everyone", "--json")
    assert said.json["strands_everyone"] is True
    assert planet(home).roots[0].endpoints == (ELSEWHERE,)


def test_a_dry_run_shows_the_change_and_makes_none(orrery: Orrery, home: Home) -> None:
    before = planet(home)
    wish(home, ONE)
    result = orrery("publish", "--dry-run")
    assert result.status == 0
    assert f"{TWO} removed" in result.out
    assert planet(home) == before
    assert len(home.store.revisions(before.id)) == 1


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("nobody",), 2, "no World 'nobody'"),
        (("home", "home"), 2, "unexpected extra argument"),
        (("--home", "nowhere"), 3, "there is no home at nowhere"),
        (("--home", "."), 3, "is no home of Orrery"),
    ],
)
def test_a_wrong_request_is_told(
    orrery: Orrery, home: Home, arguments: tuple[str, ...], status: int, said: str
) -> None:
    result = orrery("publish", *arguments)
    assert (result.status, result.out) == (status, "")
    assert said in result.err


def test_a_key_is_rotated_by_a_new_one_and_a_revision(orrery: Orrery, home: Home) -> None:
    before = planet(home)
    made = orrery("key", "new", "--world", "home")
    assert made.status == 0
    assert "orrery apply home --home " in made.out.replace("\n", " ")
    shown = orrery("key", "show", "--world", "home", "--json").json
    assert [(key["slot"], key["signs_next"]) for key in shown] == [
        ("current", False),
        ("previous", True),
    ]
    again = orrery("key", "new", "--world", "home")
    assert (again.status, "let one name it" in again.err) == (5, True)
    told = orrery("publish", "--json").json
    assert told["rotates_key"] is True
    assert told["next_signer"] == shown[0]["fingerprint"]
    planet(home).verify(before.updates_must_be_signed_by)
    assert not planet(home).is_self_signed


def test_a_key_that_others_can_read_signs_nothing(orrery: Orrery, home: Home) -> None:
    before = planet(home)
    wish(home, ONE)
    (key,) = home.path.glob("keys.d/*/current.c25519")
    key.chmod(0o640)
    secret = key.read_bytes()[64:].hex()
    for arguments in ((), ("--json",)):
        result = orrery("publish", *arguments)
        assert result.status == 4
        assert f"chmod 600 {key}" in result.err
        assert secret not in result.err + result.out
    assert planet(home) == before


def test_a_planet_that_was_written_over_is_put_back_with_a_warning(
    orrery: Orrery, home: Home
) -> None:
    (home.path / "planet").write_bytes(b"somebody else")
    wish(home, ONE)
    result = orrery("publish")
    assert result.status == 0
    assert result.err.startswith("warning: replaced ")
    (kept,) = (path for path in home.backups.iterdir() if path.read_bytes() == b"somebody else")
    assert kept.name in result.err.replace("\n", "")
    assert planet(home).timestamp_ms > NOW_MS


def test_a_dry_run_of_what_would_be_refused_is_a_no(orrery: Orrery, home: Home) -> None:
    wish(home, ELSEWHERE)
    before = planet(home)
    result = orrery("publish", "--dry-run")
    assert (result.status, "publish refuses this" in result.out.replace("\n  ", " ")) == (1, True)
    assert orrery("publish", "--dry-run", "--json").json["strands_everyone"]
    assert orrery("publish", "--dry-run", "--strand-everyone").status == 0
    assert planet(home) == before


def test_it_is_said_whether_a_server_hands_it_out(orrery: Orrery, home: Home) -> None:
    wish(home, ONE, TWO, ELSEWHERE)
    assert "orrery serve --home" in orrery("publish").out
    wish(home, ONE, TWO)
    with home.start_serving():
        result = orrery("publish")
        assert "orrery status --watch --home" in result.out
        wish(home, ONE, TWO, ELSEWHERE)
        assert orrery("publish", "--json").json["served"]


def test_what_nodes_may_trip_over_is_warned_of(orrery: Orrery, home: Home) -> None:
    wish(home, ONE, ELSEWHERE)
    result = orrery("publish")
    assert result.status == 0
    assert "is all that it has in common with the revision before" in result.err.replace("\n", " ")
    wish(home, ONE, ELSEWHERE, Endpoint.from_text("127.0.0.1:9"))
    told = orrery("publish", "--json").json["warnings"]
    assert [warning["code"] for warning in told] == ["unusable-address"]


def test_a_clock_that_was_set_back_is_told(
    orrery: Orrery, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish(home, ONE, TWO, ELSEWHERE)
    orrery("publish")
    before = planet(home)
    wish(home, ONE, TWO)
    monkeypatch.setattr("orrery.home.wall_clock_ms", lambda: before.timestamp_ms - 3_600_000)
    result = orrery("publish")
    assert result.status == 0
    assert planet(home).timestamp_ms == before.timestamp_ms + 1
    assert "timestamp" in result.err
