"""`orrery world verify`, against what a real node took and refused."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.running import Orrery
from tests.unit.worlds.formats.samples import EARTH, FIRST_RUN, idtool
from tests.unit.worlds.making import key, rotation, world
from tests.vectors.loading import cases, load


@pytest.mark.parametrize("case", cases("world_updates.json", "pairs"))
def test_against_says_what_a_node_does(
    orrery: Orrery, tmp_path: Path, case: dict[str, Any]
) -> None:
    (tmp_path / "new").write_bytes(bytes.fromhex(case["candidate"]))
    holders = ["none", "old"] if case["current"] is None else ["old"]
    (tmp_path / "old").write_bytes(bytes.fromhex(case["current"] or ""))
    for holder in holders:
        result = orrery("world", "verify", "new", "--against", holder)
        if case["should_replace"]:
            assert (result.status, result.err) == (0, "")
            assert result.out.startswith("yes: new is an update, a node that holds")
        else:
            assert (result.status, result.out) == (1, "")
            assert result.err.startswith("orrery: a node that holds ")


@pytest.mark.parametrize("case", cases("world_updates.json", "pairs"))
def test_against_says_the_same_of_base64_in_a_pipe(orrery: Orrery, case: dict[str, Any]) -> None:
    if case["current"] is None:
        return
    Path("old").write_bytes(bytes.fromhex(case["current"]))
    candidate = bytes.fromhex(case["candidate"])
    result = orrery("world", "verify", "-", "--against", "old", "--json", stdin=candidate)
    assert result.status == (0 if case["should_replace"] else 1)
    if case["should_replace"]:
        assert result.json["ok"] is True
        assert result.json["file"] == "standard input"
    else:
        assert result.error["code"] == "update-refused"
        assert result.error["reason"]


@pytest.mark.parametrize("case", cases("world_updates.json", "add_world"))
def test_against_agrees_with_a_node_planet_by_planet(orrery: Orrery, case: dict[str, Any]) -> None:
    """What `verify` says of each planet that a recorded node was handed is what the node did.

    Type 0 is left out: the node's rule takes it, and what asks the rule refuses it.
    """

    def written(writes: list[dict[str, str]], before: str) -> str:
        planets = [write["data"] for write in writes if write["object"] == "planet"]
        return planets[-1] if planets else before

    held = written(case["after_start"]["writes"], case["stored_planet"])
    for step in case["steps"]:
        if step["op"] != "add_world":
            continue
        if step["world"].startswith("01"):
            Path("held").write_bytes(bytes.fromhex(held))
            Path("new").write_bytes(bytes.fromhex(step["world"]))
            status = orrery("world", "verify", "new", "--against", "held").status
            assert status == (0 if step["result"] else 1), step["label"]
        held = written(step["state"]["writes"], held)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"timestamp_ms": 10}, "wants an update signed by|refuses a different one"),
        ({"timestamp_ms": 9}, "refuses an older one: its timestamp is 9"),
        ({"timestamp_ms": 11, "world_id": 5}, "refuses one with the id 0000000000000005"),
        ({"timestamp_ms": 11, "signer": "b"}, "wants an update signed by the key"),
    ],
)
def test_a_refusal_says_exactly_why(orrery: Orrery, change: dict[str, Any], sentence: str) -> None:
    Path("old").write_bytes(world(10).encode())
    Path("new").write_bytes(world(roots=(), **change).encode())
    result = orrery("world", "verify", "new", "--against", "old")
    assert result.status == 1
    assert any(part in result.err for part in sentence.split("|"))


def test_a_skipped_rotation_is_explained(orrery: Orrery) -> None:
    first, _, third = rotation("abc")
    Path("first").write_bytes(first.encode())
    Path("third").write_bytes(third.encode())
    result = orrery("world", "verify", "third", "--against", "first")
    assert result.status == 1
    assert "hand over the revision that names its signer first" in result.err


def test_a_signature_and_the_proofs_of_work_are_verified(orrery: Orrery, files: Path) -> None:
    result = orrery("world", "verify", "planet")
    assert result.status == 0
    assert " ".join(result.out.split()) == (
        "yes: planet is signed by iwpv-vi6s-x4vr-4c6c-gc2t, and the proof of work of its 4 roots "
        "holds"
    )
    assert all(len(line) <= 80 for line in result.out.splitlines())


@pytest.mark.parametrize("name", [case["name"] for case in load("worlds.json")["worlds"]])
def test_a_key_verifies_what_it_signed(orrery: Orrery, tmp_path: Path, name: str) -> None:
    case = next(case for case in load("worlds.json")["worlds"] if case["name"] == name)
    (tmp_path / "w").write_bytes(bytes.fromhex(case["serialized"]))
    assert orrery("world", "verify", "w", "--key", case["signing_key_public"]).status == 0
    own = case["signing_key_public"] == case["updates_must_be_signed_by"]
    result = orrery("world", "verify", "w")
    assert result.status == (0 if own else 1)
    if not own:
        assert "if an earlier key signed it, give that with --key" in result.err


def test_a_key_may_be_a_file(orrery: Orrery, files: Path) -> None:
    (files / "mk").write_bytes(bytes.fromhex(FIRST_RUN["world_bin"]))
    public = idtool("one-v4")["edited_json"]["signingKey"]
    (files / "public.hex").write_text(public + "\n")
    assert orrery("world", "verify", "mk", "--key", "current.c25519").status == 0
    assert orrery("world", "verify", "one.moon", "--key", "moon.json").status == 0
    assert orrery("world", "verify", "one.moon", "--key", "public.hex").status == 0
    result = orrery("world", "verify", "planet", "--key", "current.c25519")
    assert result.status == 1
    assert "the signature was not made by the key" in result.err
    assert "--against" not in result.err


def test_all_that_is_wrong_is_told(orrery: Orrery) -> None:
    bad = world(10, names="b")  # its made-up roots have proved no work
    Path("w").write_bytes(bad.encode())
    result = orrery("world", "verify", "w")
    assert result.status == 1
    lines = result.err.splitlines()
    assert len(lines) == 1 + len(bad.roots)
    assert all(line.startswith("orrery: w: ") for line in lines)
    assert "fails its proof of work" in lines[1] or "belongs to the address" in lines[1]


def test_a_damaged_world_is_no_update_and_no_crash(orrery: Orrery) -> None:
    Path("old").write_bytes(EARTH)
    Path("cut").write_bytes(EARTH[:300])
    result = orrery("world", "verify", "cut", "--against", "old")
    assert result.status == 3
    assert "a node would throw the file away" in result.err
    assert orrery("world", "verify", "old", "--against", "cut").status == 3


def test_what_is_not_signed_is_not_valid(orrery: Orrery, files: Path) -> None:
    result = orrery("world", "verify", "moon.json")
    assert (result.status, result.err) == (
        1,
        "orrery: moon.json is not signed yet, so no node takes it\n",
    )
    assert orrery("world", "verify", "current.c25519").status == 1
    assert orrery("world", "verify", "planet", "--against", "moon.json").status == 2


def test_an_update_signed_by_the_key_that_is_held(orrery: Orrery) -> None:
    Path("old").write_bytes(world(10, names="b").encode())
    Path("new").write_bytes(world(11, signer="b", names="c").encode())
    assert orrery("world", "verify", "new", "--against", "old").status == 0
    assert orrery("world", "verify", "new", "--key", key("b").public.hex()).status == 1  # proofs
