"""Plan files that somebody changed: read as they were written, or refused with one error."""

import copy
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from orrery.errors import DecodeError
from orrery.home import rotate_key
from orrery.home.plan_file import PlanFile, make_plan_file
from orrery.home.planning import make_plan
from tests.unit.cli.rolling import MOVED, now_ms, rolling_home, wish
from tests.unit.home.making import entropy

CASES = 3_000
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1 << 64, 1.5, "", "x", "00", [], {}, [[]], {"a": 1}, "ff" * 96, "é", "1e9",
)  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    with rolling_home(Path(tmp_path_factory.mktemp("plans")) / "home") as home:
        home.acquire()
        rotate_key(home, "home", now_ms(), entropy("new"))
        wish(home, MOVED)
        made = make_plan_file(home, make_plan(home, "home", now_ms()), now_ms())
        return made.sign(
            [home.keys.signer_for(made.plan.id, made.plan.steps[0].signed_by)]
        ).to_json()


def with_digest(data: Any) -> str:
    """As somebody would write it who knows how the digest is made."""
    if isinstance(data, dict) and isinstance(data.get("revisions"), list):
        plain = {name: value for name, value in data.items() if name != "digest"}
        plain["revisions"] = [
            {**each, "signature": None} if isinstance(each, dict) else each
            for each in data["revisions"]
        ]
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
        data["digest"] = hashlib.sha256(text.encode()).hexdigest()
    return json.dumps(data)


def spoil(data: Any, chance: random.Random) -> None:
    """Change one thing somewhere."""
    places: list[tuple[Any, Any]] = []

    def look(value: Any) -> None:
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            places.append((value, key))
            if isinstance(value[key], (dict, list)):
                look(value[key])

    look(data)
    where, key = chance.choice(places)
    match chance.randrange(4):
        case 0:
            del where[key]
        case 1:
            where[key] = chance.choice(VALUES)
        case 2 if isinstance(where[key], str) and where[key]:
            at = chance.randrange(len(where[key]))
            where[key] = where[key][:at] + chance.choice("0af/:") + where[key][at + 1 :]
        case 2 if isinstance(where[key], int) and not isinstance(where[key], bool):
            where[key] += chance.choice((-1, 1))
        case _:
            where[key] = copy.deepcopy(chance.choice(places)[0])


def test_a_file_reads_as_it_was_written(written: str) -> None:
    file = PlanFile.from_json(written)
    assert file.unsigned == (2,)
    assert file.to_json() == written
    file.verify_signatures()


def test_a_change_without_its_digest_is_always_found(written: str) -> None:
    chance = random.Random("careless")
    for _ in range(300):
        data = json.loads(written)
        spoil(data, chance)
        signed = [
            each.pop("signature", None)
            for each in data.get("revisions") or ()
            if isinstance(each, dict)
        ]
        same = json.loads(written)
        for each in same["revisions"]:
            del each["signature"]
        if data == same or not signed:
            continue
        for each, signature in zip(data["revisions"], signed, strict=False):
            if isinstance(each, dict):
                each["signature"] = signature
        with pytest.raises(DecodeError):
            PlanFile.from_json(json.dumps(data))


def test_whatever_is_changed_only_one_error_leaves(written: str) -> None:
    chance = random.Random("knows the digest")
    read = 0
    for _ in range(CASES):
        data = json.loads(written)
        for _ in range(chance.randrange(1, 3)):
            spoil(data, chance)
        text = with_digest(data)
        try:
            file = PlanFile.from_json(text)
        except DecodeError:
            continue
        read += 1
        assert PlanFile.from_json(file.to_json()) == file
    assert 0 < read < CASES // 2


@pytest.mark.parametrize("size", [0, 1, 100, 5_000])
def test_a_file_that_was_cut_off_is_malformed(written: str, size: int) -> None:
    with pytest.raises(DecodeError, match="no plan file"):
        PlanFile.from_json(written[:size])
