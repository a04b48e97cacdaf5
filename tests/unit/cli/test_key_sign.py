"""A plan that is signed on another machine: `plan --out`, `key sign`, `apply FILE`."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orrery.home import Home, publish, rotate_key
from orrery.home.plan_file import PlanFile
from orrery.rollout.order import Order
from tests.unit.cli.rolling import MOVED, NODES, edit, newest, now_ms, revisions, rolling_home, wish
from tests.unit.cli.running import Orrery
from tests.unit.custody.locks import quick_lock
from tests.unit.home.making import ELSEWHERE, ONE, entropy, make_home
from tests.unit.store.making import key

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home that is to move in two steps and to change its key, whose keys are in `vault`."""
    monkeypatch.delenv("ORRERY_HOME", raising=False)
    monkeypatch.delenv("ORRERY_PASSPHRASE", raising=False)
    with rolling_home(tmp_path / "home") as made:
        made.acquire()
        rotate_key(made, "home", now_ms(), entropy("rotated"))
        made.release()
        wish(made, MOVED)
        yield made


@pytest.fixture
def vault(home: Home, tmp_path: Path) -> Path:
    """The keys, taken out of the home to where they are only signed with."""
    folder = home.keys.directory / f"{newest(home).id:016x}"
    (tmp_path / "vault").mkdir()
    for name in ("previous.c25519", "current.c25519"):
        shutil.copy2(folder / name, tmp_path / "vault" / name)
    return tmp_path / "vault"


def without_keys(home: Home) -> None:
    shutil.rmtree(home.keys.directory)


def rewrite(path: Path, change: Edit) -> None:
    """Change a plan file, as somebody would who knows how its digest is made."""
    data = json.loads(path.read_text())
    change(data)
    signatures = [each["signature"] for each in data["revisions"]]
    for each in data["revisions"]:
        each["signature"] = None
    del data["digest"]
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    data["digest"] = hashlib.sha256(text.encode()).hexdigest()
    for each, signature in zip(data["revisions"], signatures, strict=True):
        each["signature"] = signature
    path.write_text(json.dumps(data))


def planned(orrery: Orrery) -> None:
    assert orrery("plan", "--home", "home", "--out", "plan.json").status == 0


def signed(orrery: Orrery, vault: Path) -> None:
    assert orrery("key", "sign", "plan.json", "--keys", vault, "--yes").status == 0


def test_a_plan_is_signed_elsewhere_and_applied_here(
    orrery: Orrery, home: Home, vault: Path
) -> None:
    planned(orrery)
    without_keys(home)
    unsigned = orrery("apply", "plan.json", "--home", "home", "--yes", "--detach")
    assert (unsigned.status, "step 1 is not signed, and the key" in unsigned.err) == (4, True)
    assert home.store.rollouts() == ()
    result = orrery("key", "sign", "plan.json", "--keys", vault, "--yes")
    assert result.status == 0
    lines = result.out.splitlines()
    assert lines[0] == (f"planet {newest(home).id:016x}, called 'home' where the plan was made")
    assert lines.count("    + 198.51.100.9/443") == 1
    assert lines.count(f"    - {ONE}") == 1
    assert any("~ next signer" in line for line in lines)
    assert all(len(line) <= 80 for line in lines)
    assert len(revisions(home)) == 1
    told = orrery("apply", "plan.json", "--home", "home", "--yes", "--detach", "--json")
    assert (told.status, told.json["rollout"]["steps"]) == (0, 2)
    (rollout,) = home.store.rollouts()
    order = Order.from_json(rollout.plan)
    file = PlanFile.from_json(Path("plan.json").read_text())
    assert order.signed == tuple(world.encode() for world in file.revisions)
    order.check_signed(newest(home))
    again = orrery("key", "sign", "plan.json", "--keys", vault)
    assert (again.status, "every step is signed already" in again.out) == (0, True)


def test_the_bytes_to_sign_are_in_the_file(orrery: Orrery, home: Home) -> None:
    planned(orrery)
    data = json.loads(Path("plan.json").read_text())
    file = PlanFile.from_json(Path("plan.json").read_text())
    assert [bytes.fromhex(each["to_sign"]) for each in data["revisions"]] == [
        world.signed_bytes() for world in file.revisions
    ]
    stamps = [each["timestamp_ms"] for each in data["revisions"]]
    assert newest(home).timestamp_ms < stamps[0] < stamps[1]
    assert home.store.allocate_timestamp(newest(home).id, 0) > stamps[1], "they are used up"


def test_where_the_keys_are_it_signs_what_is_unsigned(orrery: Orrery, home: Home) -> None:
    planned(orrery)
    assert orrery("apply", "plan.json", "--home", "home", "--yes", "--detach").status == 0
    (rollout,) = home.store.rollouts()
    file = PlanFile.from_json(Path("plan.json").read_text())
    assert [world.timestamp_ms for world in file.revisions]
    Order.from_json(rollout.plan).check_signed(newest(home))


def test_each_key_may_be_on_another_machine(orrery: Orrery, home: Home, vault: Path) -> None:
    planned(orrery)
    without_keys(home)
    first = orrery(
        "key", "sign", "plan.json", "--key", vault / "previous.c25519", "--yes", "--json"
    )
    assert first.status == 1
    assert [each["signed"] for each in first.json["revisions"]] == [True, False]
    assert first.json["revisions"][1]["changes"] == [
        f"root {newest(home).roots[0].identity.address:010x}: {ONE} removed"
    ]
    partly = orrery("apply", "plan.json", "--home", "home", "--yes", "--detach")
    assert (partly.status, "step 2 is not signed" in partly.err) == (4, True)
    second = orrery("key", "sign", "plan.json", "--key", vault / "current.c25519", "--yes")
    assert (second.status, "signed, in plan.json" in second.err) == (0, True)
    assert orrery("apply", "plan.json", "--home", "home", "--yes", "--detach").status == 0


def test_a_home_and_a_keys_d_are_places_of_keys_too(
    orrery: Orrery, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(orrery)
    copy = Path("plan.json").read_text()
    assert orrery("key", "sign", "plan.json", "--home", "home", "--yes").status == 0
    Path("plan.json").write_text(copy)
    assert orrery("key", "sign", "plan.json", "--keys", "home/keys.d", "--yes").status == 0
    Path("plan.json").write_text(copy)
    monkeypatch.setenv("ORRERY_HOME", "nowhere")
    assert orrery("key", "sign", "plan.json", "--keys", "home/keys.d", "--yes").status == 0
    Path("plan.json").write_text(copy)
    both = orrery("key", "sign", "-", "--keys", "home/keys.d", "--json", stdin=copy.encode())
    assert (both.status, "has room for one" in both.error["message"]) == (2, True)
    out = orrery("key", "sign", "-", "--keys", "home/keys.d", stdin=copy.encode())
    assert out.status == 0
    assert PlanFile.from_json(out.out).unsigned == ()
    assert orrery("key", "sign", "plan.json", "--home", "home", "--yes", "--out", "s").status == 0
    assert PlanFile.from_json(Path("s").read_text()).unsigned == ()
    assert Path("plan.json").read_text() == copy


def test_a_locked_key_asks_for_its_passphrase(
    orrery: Orrery, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_lock(monkeypatch)
    Path("pass").write_text("right")
    Path("wrong").write_text("wrong")
    for name in ("pass", "wrong"):
        Path(name).chmod(0o600)
    planned(orrery)
    assert orrery("key", "lock", "--home", "home", "--passphrase-file", "pass").status == 0
    folder = next(home.keys.directory.iterdir())
    arguments = ("key", "sign", "plan.json", "--yes", "--passphrase-file")
    for where in (("--keys", folder), ("--home", "home")):
        refused = orrery(*arguments, "wrong", *where)
        assert (refused.status, "the passphrase is wrong" in refused.err) == (4, True)
    assert PlanFile.from_json(Path("plan.json").read_text()).unsigned == (1, 2)
    assert orrery(*arguments, "pass", "--keys", folder).status == 0


def test_a_start_that_may_be_made_up_is_said_and_all_is_shown(
    orrery: Orrery, home: Home, vault: Path
) -> None:
    """Somebody lets the change look small by saying that it was so before."""
    planned(orrery)

    def make_up(data: dict[str, Any]) -> None:
        file = PlanFile.from_json(Path("plan.json").read_text())
        start = replace(file.start, roots=file.revisions[0].roots)
        data["start"] = start.encode().hex()
        data["order"]["plan"]["start"]["signature"] = start.signature.hex()

    honest = orrery("key", "sign", "plan.json", "--keys", vault, "--yes", "--out", "honest")
    assert honest.err.startswith("signed")
    rewrite(Path("plan.json"), make_up)
    result = orrery("key", "sign", "plan.json", "--keys", vault, "--yes")
    assert "may be made up: compare all of what is to be signed" in result.err
    own = newest(home).roots[0].identity.address
    assert result.out.count(f"  + root {own:010x}") == 2
    assert result.out.count("    + 198.51.100.9/443") == 2
    applied = orrery("apply", "plan.json", "--home", "home", "--yes")
    assert (applied.status, "which this home never published" in applied.err) == (5, True)


def test_wrong_keys_sign_nothing(orrery: Orrery, home: Home, tmp_path: Path) -> None:
    planned(orrery)
    before = Path("plan.json").read_bytes()
    (tmp_path / "other.c25519").write_bytes(key(8).encode())
    (tmp_path / "other.c25519").chmod(0o600)
    (tmp_path / "open.c25519").write_bytes(key(8).encode())
    (tmp_path / "open.c25519").chmod(0o644)
    for arguments, status, said in (
        ((), 2, "say where the key is: --key FILE, --keys DIR or --home DIR"),
        (("--key", "other.c25519"), 4, "no key that has to sign is here; wanted is step 1 by"),
        (("--key", "open.c25519"), 4, "chmod 600"),
        (("--key", "nowhere"), 4, "nowhere"),
        (("--keys", "nowhere"), 3, "nowhere is no directory"),
        (("--home", "."), 3, "has no keys.d"),
    ):
        result = orrery("key", "sign", "plan.json", "--yes", *arguments)
        assert (result.status, said in result.err) == (status, True), result.err
    unasked = orrery("key", "sign", "plan.json", "--home", "home")
    assert (unasked.status, "say --yes" in unasked.err) == (2, True)
    assert Path("plan.json").read_bytes() == before


# Bad plan files


def test_a_file_that_was_changed_is_refused_everywhere(
    orrery: Orrery, home: Home, vault: Path
) -> None:
    planned(orrery)
    text = Path("plan.json").read_text()
    Path("plan.json").write_text(text.replace(MOVED.host, "198.51.100.8"))
    for command in (
        ("key", "sign", "plan.json", "--keys", vault, "--yes"),
        ("apply", "plan.json", "--home", "home", "--yes"),
    ):
        result = orrery(*command)
        assert (result.status, result.out) == (3, "")
        assert "plan.json: this plan file was changed after it was made" in result.err
    assert home.store.rollouts() == ()


def _drop_wait(data: dict[str, Any]) -> None:
    data["order"]["plan"]["steps"][0]["done"] = []


def _other_signer(data: dict[str, Any]) -> None:
    data["revisions"][0]["signer"] = data["revisions"][1]["signer"]


def _other_bytes(data: dict[str, Any]) -> None:
    data["revisions"][0]["to_sign"] = data["revisions"][1]["to_sign"]


def _same_time(data: dict[str, Any]) -> None:
    data["revisions"][1] = data["revisions"][0]


def _other_start(data: dict[str, Any]) -> None:
    data["order"]["plan"]["start"]["timestamp_ms"] -= 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_other_signer, "step 1 names another signer"),
        (_other_bytes, "the bytes to sign are not the World of step 1"),
        (_same_time, "the bytes to sign are not the World of step 2"),
        (_other_start, "the revision that it starts from is another one"),
        (lambda data: data["revisions"].pop(), "it has 2 steps and 1 revisions"),
        (lambda data: data.pop("told"), "has no 'told'"),
        (lambda data: data.update(more=1), "nothing is known of: 'more'"),
        (lambda data: data.update(version=2), "has version 2"),
        (lambda data: data.update(format="x"), "this is no plan file"),
        (lambda data: data.update(start="00"), "'start' of the plan file"),
        (lambda data: data["told"].update(in_turn=[["x"]]), "places in turn are two"),
    ],
)
def test_a_file_that_contradicts_itself_is_malformed(
    orrery: Orrery, home: Home, vault: Path, change: Edit, said: str
) -> None:
    planned(orrery)
    rewrite(Path("plan.json"), change)
    for command in (
        ("key", "sign", "plan.json", "--keys", vault, "--yes"),
        ("apply", "plan.json", "--home", "home", "--yes"),
    ):
        result = orrery(*command)
        assert (result.status, said in result.err) == (3, True), result.err
    assert home.store.rollouts() == ()


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[]", b"{}", b'{"format": 1}', b"[" * 99999]
)
def test_what_is_no_plan_file_is_said(orrery: Orrery, home: Home, content: bytes) -> None:
    Path("plan.json").write_bytes(content)
    result = orrery("apply", "plan.json", "--home", "home", "--yes")
    assert (result.status, "this is no plan file" in result.err) == (3, True)
    sign = orrery("key", "sign", "plan.json", "--home", "home", "--yes")
    assert (sign.status, "this is no plan file" in sign.err) == (3, True)


def test_a_file_that_leaves_out_a_wait_is_found_out(
    orrery: Orrery, home: Home, vault: Path
) -> None:
    planned(orrery)
    rewrite(Path("plan.json"), _drop_wait)
    signed(orrery, vault)
    result = orrery("apply", "plan.json", "--home", "home", "--yes")
    assert (result.status, "step 1 would be another one now" in result.err) == (1, True)
    assert home.store.rollouts() == ()


def test_a_wrong_signature_is_a_no(orrery: Orrery, home: Home, vault: Path) -> None:
    planned(orrery)
    signed(orrery, vault)
    data = json.loads(Path("plan.json").read_text())
    first, second = data["revisions"]
    first["signature"], second["signature"] = second["signature"], first["signature"]
    Path("plan.json").write_text(json.dumps(data))
    for command in (
        ("key", "sign", "plan.json", "--keys", vault, "--yes"),
        ("apply", "plan.json", "--home", "home", "--yes"),
    ):
        result = orrery(*command)
        assert (result.status, "the signature of step 1 does not hold" in result.err) == (1, True)
    assert home.store.rollouts() == ()


def test_a_plan_for_another_world_or_chain_is_a_conflict(
    orrery: Orrery, home: Home, tmp_path: Path
) -> None:
    planned(orrery)
    make_home(tmp_path / "other", entropy=entropy("other")).close()
    other = orrery("apply", "plan.json", "--home", "other", "--yes")
    assert (other.status, "apply it in the home where it was made" in other.err) == (5, True)
    # The same World, whose database was lost and made anew.
    make_home(tmp_path / "anew", entropy=entropy("anew"), world_id=newest(home).id).close()
    anew = orrery("apply", "plan.json", "--home", "anew", "--yes")
    assert (anew.status, "which this home never published" in anew.err) == (5, True)


def test_a_chain_that_has_moved_on_is_a_conflict(orrery: Orrery, home: Home) -> None:
    planned(orrery)
    home.acquire()
    wish(home, ONE, ELSEWHERE)
    publish(home, "home", now_ms())
    home.release()
    wish(home, MOVED)
    result = orrery("apply", "plan.json", "--home", "home", "--yes")
    assert (result.status, "has moved on: 1 revision was published since" in result.err) == (
        5,
        True,
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("198.51.100.9:443", "198.51.100.9:444", "wants other roots, or another key"),
        ('settle = "10s"', 'settle = "20s"', "[rollout] in orrery.toml says other cohorts"),
        ('required = "100%"', 'required = "99%"', "[rollout] in orrery.toml says other cohorts"),
    ],
)
def test_settings_that_have_changed_are_a_no(
    orrery: Orrery, home: Home, old: str, new: str, said: str
) -> None:
    planned(orrery)
    edit(home, old, new)
    result = orrery("apply", "plan.json", "--home", "home", "--yes")
    assert (result.status, said in result.err, "out of date" in result.err) == (1, True, True)
    assert home.store.rollouts() == ()


def test_what_was_told_is_told_again_and_not_anew(orrery: Orrery, home: Home) -> None:
    node = f"{NODES[0]:010x}"
    orrery("plan", "--home", "home", "--out", "plan.json", "--exempt", node)
    anew = orrery("apply", "plan.json", "--home", "home", "--yes", "--exempt", node)
    assert (anew.status, "leave out --gone, --exempt" in anew.err) == (2, True)
    told = orrery("apply", "plan.json", "--home", "home", "--yes", "--detach", "--json").json
    assert [group["nodes"] for group in told["plan"]["exempt"]] == [[node]]


def test_a_plan_that_was_applied_is_not_applied_again(orrery: Orrery, home: Home) -> None:
    planned(orrery)
    file = PlanFile.from_json(Path("plan.json").read_text())
    for step, world in zip(file.plan.steps, file.revisions, strict=True):
        home.store.add_revision(
            world.sign(home.keys.signer_for(world.id, step.signed_by)), now_ms()
        )
    result = orrery("apply", "plan.json", "--home", "home", "--yes")
    assert (result.status, "was applied already" in result.err) == (5, True)


def test_neither_world_nor_file_is_said(orrery: Orrery, home: Home) -> None:
    result = orrery("apply", "plan.jsn", "--home", home.path)
    assert (result.status, "nor is there a plan file of this name" in result.err) == (2, True)


def test_a_timestamp_far_ahead_is_warned_of(
    orrery: Orrery, home: Home, vault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(orrery)
    monkeypatch.setattr("orrery.cli.documents.now_ms", lambda: now_ms() - 90_000_000)
    result = orrery("key", "sign", "plan.json", "--keys", vault, "--yes")
    assert (result.status, "more than a day ahead of the clock here" in result.err) == (0, True)
