"""`orrery adopt --dry-run` on fifty folders, good, odd and broken: each is told the right words."""

import json
import os
import struct
import zipfile
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from orrery.wire.world import WorldType
from orrery.worlds.pitfalls import MKWORLD_TIMESTAMP_MS
from tests.unit.cli.running import Orrery
from tests.unit.home.folders import (
    MADE_MS,
    PLACE,
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
from tests.unit.store.making import identity, key
from tests.unit.worlds.formats.samples import idtool
from tests.vectors.loading import load

Build = Callable[[Path], Sequence[Path] | Path]


@dataclass(frozen=True)
class Case:
    """A folder, and what is said of it.

    Attributes:
        build: makes it.
        can: what can be done, for each World that is taken over.
        codes: the findings.
        words: parts of what people read; of the error, where there is nothing to adopt.
        status: how the command ends.
    """

    build: Build
    can: tuple[str, ...] = ()
    codes: frozenset[str] = frozenset()
    words: tuple[str, ...] = ()
    status: int = 0


CASES: dict[str, Case] = {}


def case(
    *, can: Sequence[str] = (), codes: Sequence[str] = (), words: Sequence[str], status: int = 0
) -> Callable[[Build], Build]:
    """Add the folder that a function makes."""

    def add(build: Build) -> Build:
        CASES[build.__name__] = Case(build, tuple(can), frozenset(codes), tuple(words), status)
        return build

    return add


ALL = ["everything"]
EVERYTHING = "everything: sign revisions of this planet, and be a root that hands them out"


# Good


@case(can=ALL * 2, codes=["not-served"], words=[EVERYTHING, "in use docker/dist/planet"])
def docker(path: Path) -> Path:
    return docker_planet(path / "docker")


@case(
    can=ALL,
    codes=["not-served"],
    words=["controller of 3 networks", "cp docker/dist/planet docker/one/planet"],
)
def docker_with_networks(path: Path) -> Path:
    folder = docker_planet(path / "docker", with_moon=False)
    controller(folder / "one", 3)
    return folder


@case(can=ALL, codes=["stamps-fixed-time"], words=["same as ztnet/zt-mkworld/planet.custom"])
def ztnet(path: Path) -> Path:
    return ztnet_home(path / "ztnet")


@case(
    can=ALL,
    codes=["stamps-fixed-time", "secret-in-zip"],
    words=[
        "in use ztnet.zip:planet.custom",
        "ztnet.zip holds secrets (current.c25519, previous.c25519)",
        "as no secret of a root is here, the first one has to be put on a root as a file",
    ],
)
def ztnet_zip(path: Path) -> Path:
    return zipped(mkworld_folder(path / "folder"), path / "ztnet.zip")


@case(
    can=ALL,
    codes=["stamps-fixed-time", "secret-in-zip"],
    words=["chmod 600 ztnet.zip", "secret in ztnet.zip:identity.secret"],
)
def ztnet_home_zip_that_is_open(path: Path) -> Path:
    folder = ztnet_home(path / "folder", Maker(places=("203.0.113.7/9993",)))
    return zipped(folder, path / "ztnet.zip", mode=0o644)


@case(can=ALL, codes=["stamps-fixed-time"], words=["without it Orrery joins as a root of its own"])
def mkworld(path: Path) -> Path:
    return mkworld_folder(path / "mkworld")


@case(
    can=ALL,
    codes=["fixed-timestamp"],
    words=["which mkworld stamps on everything: nodes refuse the next World that has the same"],
)
def mkworld_of_zerotier(path: Path) -> Path:
    return cpp_folder(path / "mkworld")


@case(can=ALL, codes=["fixed-timestamp"], words=["mkworld/previous.c25519", "mkworld/current"])
def mkworld_that_rotated(path: Path) -> Path:
    maker = Maker(names=key(2), timestamp_ms=MKWORLD_TIMESTAMP_MS)
    return cpp_folder(path / "mkworld", maker)


@case(can=ALL, words=["everything: sign revisions of this moon, and be a root"])
def moon_of_a_node(path: Path) -> Path:
    moon = Maker(world_id=identity(0).address, type=WorldType.MOON)
    home = node_home(path / "node")
    put(home / "moons.d" / f"{moon.world_id:016x}.moon", moon.world().encode())
    put(home / "moon.json", moon.moon_json(), 0o600)
    return home


@case(can=ALL, codes=["private-address"], words=["in use real.moon"])
def moon_of_the_real_tool(path: Path) -> Sequence[Path]:
    real = idtool("one-v4")
    return (
        put(path / "moon.json", json.dumps(real["edited_json"]), 0o600),
        put(path / "real.moon", bytes.fromhex(real["moon"])),
    )


@case(can=ALL, words=["planet 533dee24acf8b55e", "in use planet"])
def planet_of_the_real_tool(path: Path) -> Sequence[Path]:
    real = idtool("planet")
    return (
        put(path / "planet.json", json.dumps(real["edited_json"]), 0o600),
        put(path / "planet", bytes.fromhex(real["moon"])),
    )


@case(can=ALL, words=["in use real/world.bin", "in real/previous.c25519"])
def folder_of_the_real_mkworld(path: Path) -> Path:
    real = next(
        each for each in load("worlds.json")["mkworld"] if each["name"] == "own-roots-rotate"
    )
    for name in ("previous.c25519", "current.c25519", "world.bin"):
        content = bytes.fromhex(real[name.replace(".c25519", "_c25519").replace(".bin", "_bin")])
        put(path / "real" / name, content, 0o600)
    return path / "real"


@case(can=["publish"], words=["only publish what exists: be a root and hand out this revision"])
def root_without_its_key(path: Path) -> Path:
    return node_home(path / "root", planet=Maker().world())


@case(can=["publish"], codes=["foreign-key"], words=["only publish what exists"])
def root_with_a_key_made_anew(path: Path) -> Path:
    home = node_home(path / "root", planet=Maker().world())
    put(home / "zt-mkworld" / "current.c25519", key(5).encode(), 0o600)
    return home


@case(
    can=["watch"],
    codes=["foreign-identity"],
    words=["only watch: neither sign a revision nor be a root that nodes listen to"],
)
def home_of_an_ordinary_node(path: Path) -> Path:
    return node_home(path / "node", identity(3), planet=Maker().world())


@case(can=["watch"], words=["only watch", "the key 2dtx-thir-qyze-xazr-bjav, which must sign"])
def nothing_but_a_planet(path: Path) -> Path:
    return put(path / "planet", Maker().world().encode())


@case(can=["everything"], words=["everything"])
def a_mixture(path: Path) -> Sequence[Path]:
    home = node_home(path / "home", planet=Maker().world())
    return home, put(path / "elsewhere" / "current.c25519", key(1).encode(), 0o600)


@case(
    can=["everything"],
    codes=["foreign-identity", "foreign-world"],
    words=["in use node/moons.d/", "everything: sign revisions of this moon; as no secret"],
)
def own_moon_on_a_planet_of_others(path: Path) -> Sequence[Path]:
    home = node_home(path / "node", identity(3), planet=Maker().world())
    moon = Maker(signer=key(4), root=identity(5), world_id=identity(5).address, type=WorldType.MOON)
    put(home / "moons.d" / f"{moon.world_id:016x}.moon", moon.world().encode())
    return home, put(path / "moon.json", moon.moon_json(), 0o600)


@case(can=ALL, codes=["foreign-world"], words=["and is left alone", "it is somebody else's"])
def moon_of_others_on_an_own_planet(path: Path) -> Path:
    home = ztnet_home(path / "root", Maker(places=("203.0.113.7/9993",)))
    (home / "zt-mkworld" / "mkworld.config.json").unlink()
    moon = Maker(signer=key(4), root=identity(5), world_id=identity(5).address, type=WorldType.MOON)
    put(home / "moons.d" / f"{moon.world_id:016x}.moon", moon.world().encode())
    return home


# Odd


@case(
    can=ALL * 2,
    codes=["not-served", "exposed-secret"],
    words=["chmod 600 docker/one/moon.json", "chmod 600 docker/one/planet.json"],
)
def secrets_that_others_can_read(path: Path) -> Path:
    return docker_planet(path / "docker", mode=0o644)


@case(can=["publish"], codes=["exposed-secret"], words=["chmod 600 'my root/identity.secret'"])
def identity_that_others_can_read(path: Path) -> Path:
    home = node_home(path / "my root", planet=Maker().world())
    (home / "identity.secret").chmod(0o640)
    return home


@case(
    can=ALL,
    codes=["secret-in-downloads", "not-served"],
    words=["is a secret where others fetch files", "mv site/dist/current.c25519 site"],
)
def key_among_the_downloads(path: Path) -> Path:
    put(path / "site" / "dist" / "planet", Maker().world().encode())
    put(path / "site" / "dist" / "current.c25519", key(1).encode(), 0o600)
    return path / "site"


@case(
    can=ALL,
    codes=["endpoint-misread", "zero-address"],
    words=[
        "'root.example.org/9993' is a name",
        "0.0.0.0/9993 is nowhere, which tools make of a name",
        "orrery adopt moon.json a.moon --endpoint 6e133e061d=IP:PORT",
    ],
    status=1,
)
def name_that_became_nowhere(path: Path) -> Sequence[Path]:
    moon = Maker(
        world_id=identity(0).address, type=WorldType.MOON, places=("root.example.org/9993",)
    )
    return (
        put(path / "moon.json", moon.moon_json(), 0o600),
        put(path / "a.moon", moon.world().encode()),
    )


@case(
    can=["watch"],
    codes=["zero-address", "port-zero"],
    words=["has port 0", "--endpoint 6e133e061d=IP:PORT"],
    status=1,
)
def port_that_was_swallowed(path: Path) -> Path:
    return put(path / "planet", Maker(places=("203.0.113.7:9993",)).world().encode())


@case(
    can=["watch"],
    codes=["zero-address"],
    words=["root 6e133e061d at 0.0.0.0/9993 is nowhere"],
)
def one_endpoint_of_two_is_nowhere(path: Path) -> Path:
    maker = Maker(places=("root.example.org/9993", PLACE))
    return put(path / "planet", maker.world().encode())


@case(
    can=ALL,
    codes=["not-served", "stamps-fixed-time"],
    words=["does not lie in node as `planet`", "cp mkworld/planet.custom node/planet"],
)
def planet_that_never_left_where_it_was_made(path: Path) -> Sequence[Path]:
    return node_home(path / "node"), mkworld_folder(path / "mkworld")


@case(can=["watch"], codes=["private-address"], words=["only nodes of the same site reach it"])
def root_at_a_private_address(path: Path) -> Path:
    return put(path / "planet", Maker(places=("192.168.1.7/9993",)).world().encode())


@case(can=["watch"], codes=["future-timestamp"], words=["is in the future"])
def planet_of_the_future(path: Path) -> Path:
    return put(path / "planet", Maker(timestamp_ms=4_000_000_000_000).world().encode())


@case(can=["watch"], codes=["altered"], words=["was altered after it was signed"])
def planet_that_was_altered(path: Path) -> Path:
    world = Maker().world()
    return put(path / "planet", replace(world, timestamp_ms=MADE_MS + 1).encode())


@case(
    can=ALL,
    codes=["altered", "port-differs"],
    words=["in use data/dist/planet", "cp data/dist/planet data/one/planet"],
)
def copy_that_was_altered(path: Path) -> Path:
    maker = Maker(places=("203.0.113.7/9993",))
    data = docker_planet(path / "data", maker, with_moon=False)
    altered = replace(maker.world(), timestamp_ms=MADE_MS + 1)
    put(data / "one" / "planet", altered.encode())
    return data


@case(
    can=ALL,
    codes=["other-planet", "not-served", "port-differs"],
    words=["in use data/dist/planet"],
)
def copy_whose_id_was_altered(path: Path) -> Path:
    maker = Maker(places=("203.0.113.7/9993",))
    data = docker_planet(path / "data", maker, with_moon=False)
    put(data / "one" / "planet", replace(maker.world(), id=77).encode())
    return data


@case(can=["watch"], codes=["unsigned"], words=["is not signed: only a node that held nothing"])
def planet_that_was_never_signed(path: Path) -> Path:
    return put(path / "planet", replace(Maker().world(), signature=bytes(96)).encode())


@case(can=["watch"], codes=["trailing-bytes"], words=["behind the World, which nodes pass over"])
def planet_with_something_behind_it(path: Path) -> Path:
    return put(path / "planet", Maker().world().encode() + b"\n")


@case(can=["watch"], words=["a key that is not here", "nothing here proves whose it is"])
def planet_signed_by_a_key_before(path: Path) -> Path:
    return put(path / "planet", Maker(names=key(2)).world().encode())


@case(can=["watch"], words=["signed by 2dtx-thir-qyze-xazr-bjav, in previous.c25519"])
def only_the_key_that_signed(path: Path) -> Sequence[Path]:
    maker = Maker(names=key(2))
    return (
        put(path / "planet", maker.world().encode()),
        put(path / "previous.c25519", maker.signer.encode(), 0o600),
    )


@case(can=["watch"], codes=["foreign-key"], words=["which neither signed a World found here nor"])
def key_of_another_planet(path: Path) -> Sequence[Path]:
    return (
        put(path / "planet", Maker().world().encode()),
        put(path / "current.c25519", key(7).encode(), 0o600),
    )


@case(
    can=ALL,
    codes=["foreign-identity", "stamps-fixed-time"],
    words=["or the root's own was lost and made anew"],
)
def identity_that_was_made_anew(path: Path) -> Path:
    home = ztnet_home(path / "ztnet", Maker(places=("203.0.113.7/9993",)))
    put(home / "identity.secret", identity(6).to_string(secret=True), 0o600)
    return home


@case(can=ALL, codes=["stamps-fixed-time", "draft-differs"], words=["put what you want into orrer"])
def settings_that_were_never_signed(path: Path) -> Path:
    folder = mkworld_folder(path / "mkworld")
    put(folder / "mkworld.config.json", Maker(places=("198.51.100.1/9993",)).mkworld_config())
    return folder


@case(can=ALL, codes=["draws-random-id"], words=["draw a new World id on each run"])
def settings_that_draw_an_id(path: Path) -> Path:
    folder = mkworld_folder(path / "mkworld")
    config = Maker().mkworld_config(plID=0, plBirth=0, plRecommend=True)
    put(folder / "mkworld.config.json", config)
    return folder


@case(can=["publish"], codes=["port-differs"], words=["listened at port 9994", "at port 9993"])
def node_at_another_port(path: Path) -> Path:
    return node_home(path / "root", planet=Maker(places=("203.0.113.7/9993",)).world())


@case(
    can=ALL,
    codes=["root-behind"],
    words=["in use docker/dist/planet", "cp docker/dist/planet docker/one/planet"],
)
def root_that_is_behind(path: Path) -> Path:
    folder = docker_planet(path / "docker", with_moon=False)
    old = Maker(timestamp_ms=MADE_MS - 5000).world()
    put(folder / "one" / "planet", old.encode())
    return folder


@case(can=ALL, codes=["download-behind"], words=["cp docker/one/planet docker/dist/planet"])
def downloads_that_are_behind(path: Path) -> Path:
    folder = docker_planet(path / "docker", with_moon=False)
    put(folder / "one" / "planet", Maker(timestamp_ms=MADE_MS + 5000).world().encode())
    return folder


@case(
    can=ALL,
    codes=["fork", "fixed-timestamp"],
    words=[
        "in use docker/one/planet",
        "a different one with the same timestamp",
        "orrery adopt docker docker/dist/planet",
    ],
)
def reissue_with_the_same_timestamp(path: Path) -> Path:
    folder = docker_planet(path / "docker", with_moon=False)
    for name, place in (("one", PLACE), ("dist", "203.0.113.7/443")):
        maker = Maker(timestamp_ms=MKWORLD_TIMESTAMP_MS, places=(place,))
        put(folder / name / "planet", maker.world().encode())
    (folder / "one" / "planet.json").unlink()
    return folder


@case(
    can=ALL,
    codes=["fork", "fixed-timestamp", "port-differs"],
    words=["in use docker/dist/planet"],
)
def reissue_that_is_named_itself(path: Path) -> Sequence[Path]:
    folder = reissue_with_the_same_timestamp(path)
    assert isinstance(folder, Path)
    return folder, folder / "dist" / "planet"


@case(
    can=ALL,
    codes=["fork"],
    words=["in use docker/dist/planet", "Nodes that hold it need a file"],
)
def key_that_was_made_anew_and_signed(path: Path) -> Path:
    folder = docker_planet(path / "docker", Maker(signer=key(8)), with_moon=False)
    put(folder / "one" / "planet", Maker(timestamp_ms=MADE_MS - 1000).world().encode())
    return folder


@case(
    can=ALL,
    codes=["other-planet", "stamps-fixed-time"],
    words=["nodes that hold it take nothing that is published for the other"],
)
def planets_with_random_ids(path: Path) -> Path:
    home = ztnet_home(path / "ztnet", Maker(world_id=0xABC, places=("203.0.113.7/9993",)))
    put(home / "zt-mkworld" / "planet.old-run", Maker(world_id=0xDEF).world().encode())
    return home


@case(
    can=["watch"],
    codes=["no-roots"],
    words=["lists no root, which no node can be led on from: add one with --join"],
    status=1,
)
def planet_without_roots(path: Path) -> Path:
    world = replace(Maker().world(), roots=()).sign(key(1))
    return put(path / "planet", world.encode())


@case(can=["watch"], words=["in use backups/2024/planet.bak"])
def nothing_but_a_backup(path: Path) -> Path:
    put(path / "backups" / "2024" / "planet.bak", Maker().world().encode())
    return path / "backups"


@case(can=ALL, words=["in use node/planet"])
def backups_beside_the_real_one(path: Path) -> Path:
    home = node_home(path / "node", planet=Maker().world())
    put(home / "old-backup" / "planet", Maker(timestamp_ms=MADE_MS + 9).world().encode())
    put(home / "current.c25519", key(1).encode(), 0o600)
    return home


@case(can=["watch"], words=["in use planet.txt"])
def planet_in_base64(path: Path) -> Path:
    return put(path / "planet.txt", b64encode(Maker().world().encode()))


@case(can=["watch"], words=["current.c25519.age is locked and may be it"])
def key_that_is_locked(path: Path) -> Sequence[Path]:
    return (
        put(path / "planet", Maker().world().encode()),
        put(path / "current.c25519.age", b"age-encryption.org/v1\nxyz", 0o600),
    )


# Broken, or nothing


@case(words=["which only ZeroTier can change"], status=1)
def home_with_the_official_planet(path: Path) -> Path:
    return node_home(path / "node")


@case(words=["there is no World here"], status=1)
def empty_folder(path: Path) -> Path:
    (path / "empty").mkdir()
    return path / "empty"


@case(words=["there is no such file or directory"], status=3)
def folder_that_is_not_there(path: Path) -> Path:
    return path / "missing"


@case(words=["describes a World, and the signed World itself is not here"], status=1)
def moon_json_alone(path: Path) -> Path:
    return put(path / "moon.json", Maker(type=WorldType.MOON).moon_json(), 0o600)


@case(words=["there are signing keys here, and no World"], status=1)
def key_alone(path: Path) -> Path:
    return put(path / "current.c25519", key(1).encode(), 0o600)


@case(codes=["damaged"], words=["torn/planet", "a node would throw the file away"], status=1)
def planet_that_is_torn(path: Path) -> Path:
    put(path / "torn" / "planet", Maker().world().encode()[:100])
    return path / "torn"


@case(codes=["damaged"], words=["the file is empty: copy it again"], status=1)
def planet_that_is_empty(path: Path) -> Path:
    return put(path / "planet", b"")


@case(codes=["damaged"], words=["this is a web page and not a World"], status=1)
def web_page_instead_of_a_planet(path: Path) -> Path:
    return put(path / "planet", "<html><body>log in</body></html>")


@case(can=["watch"], codes=["damaged"], words=["holds no whole identity"])
def identity_that_is_cut(path: Path) -> Path:
    home = node_home(path / "root", planet=Maker().world())
    put(home / "identity.secret", identity(0).to_string(secret=True)[:-7], 0o600)
    return home


@case(can=["publish"], codes=["damaged"], words=["root/current.c25519"])
def key_that_is_cut(path: Path) -> Path:
    home = node_home(path / "root", planet=Maker().world())
    put(home / "current.c25519", key(1).encode()[:100], 0o600)
    return home


@case(can=["publish"], codes=["key-mismatch"], words=["signingKey_SECRET does not belong to"])
def moon_json_with_half_of_another_key(path: Path) -> Path:
    home = node_home(path / "root", planet=Maker().world())
    mixed = {**Maker().moon_json(), "signingKey_SECRET": key(9).private.hex()}
    put(home / "planet.json", mixed, 0o600)
    return home


@case(can=["publish"], codes=["damaged"], words=["this is not JSON"])
def moon_json_that_was_edited_badly(path: Path) -> Path:
    home = node_home(path / "root", planet=Maker().world())
    put(home / "moon.json", '{"id": "6e133e061d",', 0o600)
    return home


@case(codes=["damaged"], words=["a World without a type or an id"], status=1)
def planet_with_id_zero(path: Path) -> Path:
    return put(path / "planet", Maker(world_id=0).world().encode())


@case(words=["is a home of Orrery already"], can=["watch"], status=2)
def home_of_orrery(path: Path) -> Path:
    put(path / "home" / "orrery.toml", "")
    put(path / "home" / "planet", Maker().world().encode())
    return path / "home"


@case(words=["is a damaged zip"], status=3)
def zip_that_is_damaged(path: Path) -> Path:
    return put(path / "a.zip", b"PK\x03\x04" + bytes(100))


@case(words=["has more files than any of these folders"], status=3)
def zip_with_a_long_list(path: Path) -> Path:
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, 1 << 30, 0, 0)
    return put(path / "a.zip", b"PK\x03\x04" + bytes(26) + end)


@case(
    can=["watch"],
    codes=["unreadable"],
    words=["names a place outside of the zip", "in use a.zip:planet"],
)
def zip_that_leads_out_of_itself(path: Path) -> Path:
    with zipfile.ZipFile(path / "a.zip", "w") as archive:
        for name in ("../planet", "/etc/planet", "c:\\planet", "planet"):
            archive.writestr(name, Maker().world().encode())
    return path / "a.zip"


@case(can=["watch"], codes=["unreadable"], words=["is too long for what its name says"])
def zip_that_is_a_bomb(path: Path) -> Path:
    with zipfile.ZipFile(path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("moon.json", bytes(200 << 20))
        archive.writestr("planet", Maker().world().encode())
    return path / "a.zip"


@case(can=["watch"], words=["a.zip:\\x1b[31mplanet"])
def zip_with_names_for_a_terminal(path: Path) -> Path:
    with zipfile.ZipFile(path / "a.zip", "w") as archive:
        archive.writestr("\x1b[31mplanet", Maker().world().encode())
    return path / "a.zip"


@case(can=["watch"], words=["in use odd/planet"])
def folder_with_a_pipe_and_a_loop(path: Path) -> Path:
    put(path / "odd" / "planet", Maker().world().encode())
    os.mkfifo(path / "odd" / "moon.json")
    (path / "odd" / "loop").symlink_to(path / "odd")
    return path / "odd"


def words_of(text: str) -> str:
    """A text without its line breaks and columns."""
    return " ".join(text.split())


def asked(build: Build, directory: Path) -> list[str]:
    """The arguments for what a function makes, as somebody beside it would type them."""
    made = build(directory)
    paths = [made] if isinstance(made, Path) else made
    return [str(path.relative_to(directory)) for path in paths]


@pytest.mark.parametrize("name", CASES)
def test_it_is_told_the_right_words(orrery: Orrery, tmp_path: Path, name: str) -> None:
    expected = CASES[name]
    paths = asked(expected.build, tmp_path)
    before = everything_in(tmp_path)
    people = orrery("adopt", *paths, "--dry-run")
    assert people.status == expected.status, people.err
    said = words_of(people.out + people.err)
    for words in expected.words:
        assert words in said
    programs = orrery("adopt", *paths, "--dry-run", "--json")
    assert programs.status == expected.status
    if expected.can:
        told = programs.json
        assert tuple(world["can"] for world in told["worlds"]) == expected.can
        assert {finding["code"] for finding in told["findings"]} == expected.codes
    assert everything_in(tmp_path) == before
    check_no_secret(people.out + people.err + programs.out + programs.err)


def test_there_are_fifty() -> None:
    assert len(CASES) >= 50


def everything_in(directory: Path) -> dict[str, Any]:
    """All names, contents and modes."""
    return {
        str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else None)
        for path in sorted(directory.rglob("*"))
    }


def check_no_secret(text: str) -> None:
    """Refuse a text with a private key in it."""
    for number in range(10):
        assert key(number).private.hex()[:32] not in text
        secret = identity(number).private_key
        assert secret is not None
        assert secret.hex()[:32] not in text
