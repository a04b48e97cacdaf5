"""Making a home of what somebody else's tool has left."""

import stat
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orrery.custody import KeyStore
from orrery.errors import ConflictError, CustodyError, DecodeError, PlanError, UsageError
from orrery.home import Home, SettingsEditor, adopting, create, publish
from orrery.home.adopting import Role
from orrery.home.adopting.sources import MOST_DEPTH, MOST_FILES, gather
from orrery.home.home import ADOPTING_NAME
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.world import Root, World, WorldType
from orrery.worlds.acceptance import check_update
from orrery.worlds.earth import EARTH
from tests.unit.home.folders import (
    MADE_MS,
    Maker,
    controller,
    cpp_folder,
    docker_planet,
    mkworld_folder,
    node_home,
    put,
    zipped,
    ztnet_home,
)
from tests.unit.home.making import ELSEWHERE, ONE, entropy
from tests.unit.store.making import NOW_MS, identity, key
from tests.unit.worlds.formats.samples import outcome
from tests.vectors.loading import load


def take_over(
    paths: Sequence[Path],
    home: Path,
    *,
    given: Identity | None = None,
    beside: bool | None = None,
    **kwargs: Any,
) -> Home:
    """Adopt, as the command does."""
    findings = adopting.investigate(paths, NOW_MS)
    adopting.check_adoptable(findings)
    choice = adopting.choose_identity(findings, given=given, beside=beside)
    values: dict[str, Any] = {"entropy": entropy(), "clock": lambda: NOW_MS, **kwargs}
    return adopting.adopt(findings, home, NOW_MS, choice, **values)


def move(home: Home, name: str = "planet") -> World:
    """Publish a revision with one more endpoint of the first root."""
    editor = SettingsEditor(home.settings_path.read_text())
    (wanted, *_) = home.settings().world(name).roots
    editor.set_endpoints(name, wanted.name, [*wanted.endpoints, ELSEWHERE])
    home.save_settings(editor.text())
    return publish(home, name, NOW_MS).world


# The World in use is what the home begins with


def test_the_first_revision_is_the_world_in_use_byte_for_byte(tmp_path: Path) -> None:
    folder = docker_planet(tmp_path / "docker")
    with take_over([folder], tmp_path / "home") as home:
        planet, moon = home.served_worlds()
        assert [home.store.newest(world.id).number for world in (planet, moon)] == [1, 2]  # type: ignore[union-attr]
    assert (tmp_path / "home" / "planet").read_bytes() == (folder / "dist" / "planet").read_bytes()
    name = f"{moon.id:016x}.moon"
    copied = (tmp_path / "home" / "moons.d" / name).read_bytes()
    assert copied == (folder / "dist" / name).read_bytes()


def test_the_key_of_a_world_that_is_not_wanted_is_no_foreign_one(tmp_path: Path) -> None:
    # As docker-zerotier-planet has them: a planet of mkworld's keys, and a moon of its own.
    planet, moon = Maker(signer=key(3)), Maker(world_id=7, type=WorldType.MOON)
    folder = node_home(tmp_path / "one", planet=planet.world())
    mkworld_folder(folder, planet)
    put(folder / "moons.d" / f"{7:016x}.moon", moon.world().encode())
    put(folder / "moon.json", moon.moon_json(), 0o600)
    for chosen in (planet, moon):
        found = adopting.investigate([folder], NOW_MS, world_ids=[chosen.world_id])
        assert [each.world for each in found.worlds] == [chosen.world()]
        assert "foreign-key" not in {each.code for each in found.findings}


def test_nodes_follow_from_there(tmp_path: Path) -> None:
    folder = docker_planet(tmp_path / "docker")
    with take_over([folder], tmp_path / "home") as home:
        for name, (before, *_) in (("planet", [home.served_worlds()[0]]),):
            check_update(before, move(home, name))
        moon = home.served_worlds()[1]
        check_update(moon, move(home, "moon"))


def test_a_fixed_timestamp_and_a_rotation_lead_on_to_the_time(tmp_path: Path) -> None:
    maker = Maker(names=key(2), timestamp_ms=1567191349589)
    with take_over([cpp_folder(tmp_path / "mkworld", maker)], tmp_path / "home") as home:
        following = move(home)
        check_update(maker.world(), following)
        assert following.timestamp_ms == NOW_MS
        following.verify(key(2).public)
        assert following.updates_must_be_signed_by == key(2).public
        kept = {file.slot: file.public for file in home.keys.keys(maker.world_id)}
    assert kept == {"current": key(2).public, "retired": key(1).public}


@pytest.mark.parametrize("number", range(len(load("worlds.json")["worlds"])))
def test_whatever_the_real_code_signed_is_taken_as_it_is_or_refused_with_words(
    tmp_path: Path, number: int
) -> None:
    recorded = load("worlds.json")["worlds"][number]
    data = bytes.fromhex(recorded["serialized"])
    file = put(tmp_path / "a.moon", data)
    private = put(
        tmp_path / "current.c25519",
        bytes.fromhex(recorded["updates_must_be_signed_by"] + recorded["updates_private"]),
        0o600,
    )
    findings = adopting.investigate([file, private], NOW_MS)
    if recorded["name"] == "planet-id-zero":
        assert not findings.worlds
        return
    (found,) = findings.worlds
    assert found.ability is adopting.Ability.EVERYTHING
    home, refusal = outcome(
        lambda: take_over([file, private], tmp_path / "home", given=identity(20)), PlanError
    )
    if home is None:
        assert refusal is not None
        assert "say where it is, with --endpoint" in refusal or "lists no root" in refusal
        assert not (tmp_path / "home").exists()
        return
    with home:
        (world,) = home.served_worlds()
        assert home.world_path(world).read_bytes() == World.decode(data).encode()
        wanted = home.settings().worlds[0]
        listed = {root.identity.address for root in world.roots}
        assert {root.identity.address for root in wanted.roots} == listed
        own = identity(20).address
        for root in wanted.roots:
            assert (root.software == "orrery") == (root.identity.address == own)


def test_the_settings_say_what_the_world_says(tmp_path: Path) -> None:
    folder = docker_planet(tmp_path / "docker", Maker(places=("203.0.113.7/9994", "2001:db8::1/1")))
    with take_over([folder], tmp_path / "home") as home:
        settings = home.settings()
    assert [(world.name, world.kind) for world in settings.worlds] == [
        ("planet", "planet"),
        ("moon", "moon"),
    ]
    for world in settings.worlds:
        (root,) = world.roots
        assert root.software == "orrery"
        assert set(map(str, root.endpoints)) == {"203.0.113.7/9994", "2001:db8::1/1"}
    assert {endpoint.port for endpoint in settings.serve.listen} == {9994, 1}


def test_endpoints_at_which_nobody_is_are_left_out_of_the_settings(tmp_path: Path) -> None:
    maker = Maker(places=("203.0.113.7/9993", "name.example/9993", "203.0.113.7:9993", "::/0"))
    folder = mkworld_folder(tmp_path / "mkworld", maker)
    with take_over([folder], tmp_path / "home") as home:
        (root,) = home.settings().worlds[0].roots
        assert list(map(str, root.endpoints)) == ["203.0.113.7/9993"]
        check_update(maker.world(), move(home))


def test_it_is_said_where_a_root_is_that_the_world_puts_nowhere(tmp_path: Path) -> None:
    folder = mkworld_folder(tmp_path / "mkworld", Maker(places=("name.example/9993",)))
    address = identity(0).address
    with pytest.raises(PlanError, match=f"--endpoint {address:010x}=IP:PORT"):
        take_over([folder], tmp_path / "home")
    assert not (tmp_path / "home").exists()
    with take_over([folder], tmp_path / "home", endpoints={address: [ONE]}) as home:
        assert home.settings().worlds[0].roots[0].endpoints == [ONE]
        published = publish(home, "planet", NOW_MS, strand_everyone=True).world
        assert published.roots[0].endpoints == (ONE,)


def test_an_endpoint_of_nobody_is_refused(tmp_path: Path) -> None:
    folder = mkworld_folder(tmp_path / "mkworld")
    with pytest.raises(UsageError, match="1234567890 is no root of what is adopted"):
        take_over([folder], tmp_path / "home", endpoints={Address(0x1234567890): [ONE]})


def test_a_planet_of_others_stays_around_the_moons(tmp_path: Path) -> None:
    theirs = Maker().world()
    node = node_home(tmp_path / "node", identity(3), planet=theirs)
    moon = Maker(signer=key(4), root=identity(5), world_id=5, type=WorldType.MOON)
    put(node / "moons.d" / f"{5:016x}.moon", moon.world().encode())
    secret = put(tmp_path / "moon.json", moon.moon_json(), 0o600)
    with take_over([node, secret], tmp_path / "home") as home:
        assert [world.id for world in home.served_worlds()] == [5]
        assert home.surroundings() == theirs


# Keys


def test_keys_are_their_owners_alone_in_the_home(tmp_path: Path) -> None:
    folder = docker_planet(tmp_path / "docker", mode=0o666)
    take_over([folder], tmp_path / "home").close()
    for path in (tmp_path / "home" / "keys.d").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    assert stat.S_IMODE((tmp_path / "home" / "identity.secret").stat().st_mode) == 0o600


def test_a_key_that_turns_up_later_has_its_place(tmp_path: Path) -> None:
    folder = node_home(tmp_path / "root", planet=Maker().world())
    with take_over([folder], tmp_path / "home") as home:
        with pytest.raises(CustodyError):
            move(home)
        put(home.path / "keys.d" / f"{Maker().world_id:016x}" / "current.c25519", key(1).encode())
        (home.path / "keys.d" / f"{Maker().world_id:016x}" / "current.c25519").chmod(0o600)
        check_update(Maker().world(), publish(home, "planet", NOW_MS).world)


def test_the_names_of_key_files_count_for_nothing(tmp_path: Path) -> None:
    maker = Maker(names=key(2))
    folder = mkworld_folder(tmp_path / "mkworld", maker)
    put(folder / "previous.c25519", key(2).encode(), 0o600)
    put(folder / "current.c25519", key(3).encode(), 0o600)
    with take_over([folder], tmp_path / "home") as home:
        assert home.keys.current_public(maker.world_id) == key(2).public
        check_update(maker.world(), move(home))


def test_a_kept_key_is_not_written_over(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path / "keys.d")
    for _ in range(2):
        keys.put(1, key(1), "current")
        keys.put(1, key(1), "retired")
        keys.put(1, key(2), "retired")
    with pytest.raises(CustodyError, match="is another key than"):
        keys.put(1, key(3), "current")
    assert [file.slot for file in keys.keys(1)] == ["current", "retired"]
    assert keys.signer_for(1, key(2).public) == key(2)


# Whose root the home is


def test_a_root_whose_secret_is_found_is_taken_over(tmp_path: Path) -> None:
    home = take_over([ztnet_home(tmp_path / "ztnet")], tmp_path / "home")
    with home:
        assert home.identity() == identity(0)
        assert home.settings().worlds[0].roots[0].software == "orrery"


def test_a_root_that_is_a_controller_too_keeps_running(tmp_path: Path) -> None:
    folder = ztnet_home(tmp_path / "ztnet")
    controller(folder)
    with take_over([folder], tmp_path / "home", join=[ELSEWHERE]) as home:
        official, own = home.settings().worlds[0].roots
        assert (official.identity, official.software) == (identity(0).public(), "zerotier-one")
        assert (own.identity, own.software) == (home.identity().public(), "orrery")
        assert own.endpoints == [ELSEWHERE]
        assert {each.port for each in home.settings().serve.listen} == {ELSEWHERE.port}


def test_what_was_found_can_be_overruled(tmp_path: Path) -> None:
    folder = ztnet_home(tmp_path / "ztnet")
    controller(folder)
    with take_over([folder], tmp_path / "in place", beside=False) as home:
        assert home.identity() == identity(0)
    with take_over([folder], tmp_path / "named", given=identity(9), join=[ELSEWHERE]) as home:
        assert home.identity() == identity(9)
    free = ztnet_home(tmp_path / "free")
    with take_over([free], tmp_path / "beside", beside=True) as home:
        assert home.identity() != identity(0)
        assert home.settings().worlds[0].roots[0].software == "zerotier-one"


def test_no_place_is_taken_without_a_secret(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="no secret of a root was found"):
        take_over([mkworld_folder(tmp_path / "mkworld")], tmp_path / "home", beside=False)


def test_a_named_identity_of_a_root_takes_its_place(tmp_path: Path) -> None:
    findings = adopting.investigate([mkworld_folder(tmp_path / "mkworld")], NOW_MS)
    choice = adopting.choose_identity(findings, given=identity(0))
    assert choice.role is Role.IN_PLACE


def test_a_root_does_not_join_twice_nor_as_the_fifth(tmp_path: Path) -> None:
    folder = ztnet_home(tmp_path / "ztnet")
    with pytest.raises(PlanError, match="is a root of planet 0000000008eac90a already"):
        take_over([folder], tmp_path / "home", join=[ONE])
    roots = tuple(
        Root(identity(number).public(), (Endpoint.from_text(f"203.0.113.{number + 1}/1"),))
        for number in range(4)
    )
    full = put(tmp_path / "planet", replace(Maker().world(), roots=roots).sign(key(1)).encode())
    with pytest.raises(PlanError, match="has 4 roots"):
        take_over([full], tmp_path / "home", join=[ONE])
    with pytest.raises(PlanError, match=r"203\.0\.113\.7/9993 is the place of root 6e133e061d"):
        take_over([folder], tmp_path / "home", beside=True, join=[ONE])
    assert not (tmp_path / "home").exists()


def test_a_planet_without_roots_gets_one(tmp_path: Path) -> None:
    file = put(tmp_path / "planet", replace(Maker().world(), roots=()).sign(key(1)).encode())
    with take_over([file], tmp_path / "home", given=identity(4), join=[ONE]) as home:
        (root,) = home.settings().worlds[0].roots
        assert (root.identity, root.software) == (identity(4).public(), "orrery")


# Where the home is


def test_a_home_is_not_replaced(tmp_path: Path) -> None:
    folder = ztnet_home(tmp_path / "ztnet")
    take_over([folder], tmp_path / "home").close()
    before = (tmp_path / "home" / "orrery.toml").read_bytes()
    with pytest.raises(ConflictError, match="has a home already"):
        take_over([folder], tmp_path / "home")
    assert (tmp_path / "home" / "orrery.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("planet", EARTH.encode(), "is there already and is not what is adopted"),
        ("identity.secret", identity(8).to_string(secret=True).encode(), "holds the identity"),
        ("init.unfinished", b"", "`orrery init` was interrupted"),
    ],
)
def test_what_others_left_in_the_directory_stays(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    put(tmp_path / "home" / name, content, 0o600)
    with pytest.raises(ConflictError, match=words):
        take_over([ztnet_home(tmp_path / "ztnet")], tmp_path / "home")
    assert (tmp_path / "home" / name).read_bytes() == content
    assert not (tmp_path / "home" / "orrery.toml").exists()


@pytest.mark.parametrize(
    ("adopted", "home"), [("a", "a"), ("a", "a/home"), ("a/one", "a"), ("a/one/planet", "a/one")]
)
def test_nothing_is_made_inside_what_is_adopted(tmp_path: Path, adopted: str, home: str) -> None:
    node_home(tmp_path / "a" / "one")
    with pytest.raises(UsageError, match="nothing is written into what is adopted"):
        adopting.check_apart([tmp_path / adopted], tmp_path / home)


def test_a_home_beside_a_file_is_fine(tmp_path: Path) -> None:
    adopting.check_apart([put(tmp_path / "planet", b"x")], tmp_path / "home")


STEPS = [
    "orrery.home.adopting.making.write_identity",
    "orrery.home.home.Home.save_settings",
    "orrery.custody.keystore.KeyStore.put",
    "orrery.home.home.Home.open_store",
    "orrery.store.database.Store.add_revision",
    "orrery.home.home.Home.recover",
    "orrery.home.adopting.making.remove",
]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("times", [0, 1])
def test_what_was_interrupted_is_finished_by_running_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, times: int
) -> None:
    folder = docker_planet(tmp_path / "docker")
    controller(folder / "one")  # so that the identity is a new one, and must stay the same
    path = tmp_path / "home"
    left = times

    class PlugPulledError(Exception):
        pass

    with monkeypatch.context() as patched:
        module, name = step.rsplit(".", 1)
        original = _resolve(module, name)

        def pull(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            if left == 0:
                raise PlugPulledError
            left -= 1
            return original(*args, **kwargs)

        patched.setattr(step, pull)
        try:
            take_over([folder], path).close()
        except PlugPulledError:
            pass
        else:
            assert times == 1  # a step that is made only once
            return
    secret = path / "identity.secret"
    before = secret.read_bytes() if secret.exists() else None
    with pytest.raises(PlanError, match="`orrery adopt` was interrupted"):
        Home.open(path)
    with pytest.raises(ConflictError, match="`orrery adopt` was interrupted"):
        create(path, NOW_MS, [ONE], entropy=entropy())
    take_over([folder], path, entropy=entropy("another")).close()
    assert not (path / ADOPTING_NAME).exists()
    with Home.open(path, writer=True) as home:
        assert home.repairs == ()
        assert len(home.served_worlds()) == 2
        assert before in (None, secret.read_bytes())
        assert (path / "planet").read_bytes() == (folder / "dist" / "planet").read_bytes()


def _resolve(module: str, name: str) -> Any:
    import importlib

    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError:
        outer, _, inner = module.rpartition(".")
        return getattr(getattr(importlib.import_module(outer), inner), name)


def test_another_world_does_not_finish_what_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:

        def pull(*_: object) -> None:
            raise RuntimeError

        patched.setattr("orrery.home.home.Home.recover", pull)
        with pytest.raises(RuntimeError):
            take_over([mkworld_folder(tmp_path / "one")], tmp_path / "home")
    other = mkworld_folder(tmp_path / "two", Maker(timestamp_ms=MADE_MS + 1))
    with pytest.raises(ConflictError, match="has put another revision"):
        take_over([other], tmp_path / "home")


# Bounds of what is read


def test_what_is_too_deep_or_too_much_is_told(tmp_path: Path) -> None:
    deep = tmp_path.joinpath("deep", *"abcdefghijkl")
    put(deep / "planet", Maker().world().encode())
    haul = gather([tmp_path / "deep"])
    assert not haul.sources
    assert [trouble.sentence for trouble in haul.troubles] == [
        f"deeper than {MOST_DEPTH} folders: name it itself"
    ]
    for number in range(MOST_FILES + 5):
        put(tmp_path / "many" / f"{number}", b"x")
    haul = gather([tmp_path / "many"])
    assert len(haul.sources) == MOST_FILES
    assert len(haul.troubles) == 1


def test_a_zip_lets_nothing_out(tmp_path: Path) -> None:
    folder = docker_planet(tmp_path / "docker")
    (tmp_path / "zips").mkdir()
    archive = zipped(folder, tmp_path / "zips" / "a.zip")
    findings = adopting.investigate([archive], NOW_MS)
    assert len(findings.worlds) == 2
    assert [path.name for path in (tmp_path / "zips").iterdir()] == ["a.zip"]
    take_over([archive], tmp_path / "home").close()
    with Home.open(tmp_path / "home") as home:
        assert home.identity() == identity(0)


def test_random_bytes_and_cut_zips_are_refused_or_read_never_more(tmp_path: Path) -> None:
    whole = zipped(docker_planet(tmp_path / "docker"), tmp_path / "a.zip").read_bytes()
    random = entropy("noise")
    for number in range(300):
        noise = random(4)
        at = int.from_bytes(noise[:2]) * len(whole) >> 16
        changed = bytearray(whole)
        if number % 3:
            changed[at] ^= noise[2] or 1
        else:
            del changed[at:]
        file = put(tmp_path / "changed.zip", bytes(changed))
        findings, refusal = outcome(partial(adopting.investigate, [file], NOW_MS), DecodeError)
        assert findings is not None or (refusal is not None and "changed.zip" in refusal)
