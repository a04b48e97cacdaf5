"""Whatever a format can say comes back from it."""

from functools import partial
from typing import Any

import pytest

from orrery.errors import UsageError
from orrery.wire.world import World, WorldType
from orrery.worlds import formats
from orrery.worlds.formats import Document
from tests.unit.worlds.formats.samples import EARTH, FIRST_RUN, idtool, outcome
from tests.unit.worlds.making import key, root, world
from tests.vectors.loading import cases

_SIGNED = ("binary", "python-json", "c-header", "base64", "link")


@pytest.mark.parametrize("case", cases("worlds.json", "worlds"))
def test_a_signed_world_comes_back_from_every_format_that_can_say_it(case: dict[str, Any]) -> None:
    document = formats.read(bytes.fromhex(case["serialized"]))
    assert document.world == World.decode(bytes.fromhex(case["serialized"]))
    came_back = 0
    for name in _SIGNED:
        written, refusal = outcome(partial(formats.write, document, name), UsageError)
        if written is None:
            assert refusal is not None
            assert name in ("link", "python-json")
            assert "moon" in refusal or "empty endpoint" in refusal
            continue
        again = formats.read(written, loose=True)
        assert (again.format, again.world) == (name, document.world)
        came_back += 1
    assert came_back >= 3


@pytest.mark.parametrize("name", ["moon-json", "mkworld", "roots-json"])
def test_the_unsigned_part_comes_back(name: str) -> None:
    document = formats.read(EARTH)
    again = formats.read(formats.write(document, name))
    assert again.format == name
    assert again.world is None
    assert again.roots is not None
    assert document.roots is not None
    assert {str(r.identity): set(r.endpoints) for r in again.roots} == {
        str(r.identity): set(r.endpoints) for r in document.roots
    }
    if name != "roots-json":
        assert (again.type, again.id) == (document.type, document.id)


def test_a_self_signed_planet_names_its_signer_in_a_moon_json() -> None:
    planet = world(5)
    again = formats.read(formats.write(Document.of_world(planet, "binary"), "moon-json"))
    assert again.signing_public == key("a").public
    assert again.updates_must_be_signed_by == key("a").public
    rotated = world(6, signer="a", names="b")
    again = formats.read(formats.write(Document.of_world(rotated, "binary"), "moon-json"))
    assert again.signing_public is None
    assert again.updates_must_be_signed_by == key("b").public


def test_mkworld_keeps_the_order_that_genmoon_would_change() -> None:
    roots = (root(2, "198.51.100.2/9993", "198.51.100.1/9993"), root(1, "198.51.100.3/443"))
    document = Document.of_world(world(5, roots=roots), "binary")
    assert formats.read(formats.write(document, "mkworld")).roots == roots
    sorted_roots = formats.read(formats.write(document, "moon-json")).roots
    assert sorted_roots is not None
    assert [r.identity.address & 0xF for r in sorted_roots] == [1, 2]


def test_a_key_file_comes_back() -> None:
    data = bytes.fromhex(FIRST_RUN["previous_c25519"])
    document = formats.read(data)
    assert document.format == "c25519"
    assert formats.write(document, "c25519", secrets=True) == data


def test_a_moon_json_gives_its_key_file() -> None:
    document = formats.read(idtool("one-v4")["initmoon_output"].encode())
    data = formats.write(document, "c25519", secrets=True)
    assert formats.read(data).signing_key == document.signing_key


def test_a_dictionary_survives_where_there_is_a_place_for_it() -> None:
    moon = world(5, world_type=WorldType.MOON, dictionary=b"later")
    document = Document.of_world(moon, "binary")
    for name in ("binary", "c-header", "base64"):
        assert formats.read(formats.write(document, name)).world == moon
    for name in ("moon-json", "python-json"):
        with pytest.raises(UsageError, match="dictionary"):
            formats.write(document, name)


@pytest.mark.parametrize("name", _SIGNED)
def test_what_is_not_signed_is_not_written_as_signed(name: str) -> None:
    document = formats.read(idtool("one-v4")["initmoon_output"].encode())
    with pytest.raises(UsageError, match="not signed yet"):
        formats.write(document, name)


@pytest.mark.parametrize("name", ["moon-json", "mkworld", "roots-json"])
def test_a_key_is_not_written_as_a_world(name: str) -> None:
    document = formats.read(bytes.fromhex(FIRST_RUN["previous_c25519"]))
    with pytest.raises(UsageError):
        formats.write(document, name)
    with pytest.raises(UsageError, match="signing key"):
        document.draft()


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="'yaml' is no format: it is one of binary, moon-json"):
        formats.write(formats.read(EARTH), "yaml")


def test_mkworld_refuses_what_ztmkworld_cannot_say() -> None:
    moon = Document.of_world(world(5, world_type=WorldType.MOON), "binary")
    with pytest.raises(UsageError, match="planets and nothing else"):
        formats.write(moon, "mkworld")
    large = Document.of_world(world(5, world_id=2**53), "binary")
    with pytest.raises(UsageError, match="round"):
        formats.write(large, "mkworld")
