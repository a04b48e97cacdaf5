"""`orrery.toml`: what is wanted. Every mistake is told with file, line and a sentence.

[[world]]                 a planet or a moon
name = "home"             how the commands call it
kind = "planet"           or "moon"
id = "8056c2e21c000001"   16 hex digits, never to be changed

[[world.root]]            1 to 4 of them
name = "root-1"
identity = "8056c2e21c:0:…"            the public one
endpoints = ["203.0.113.7:9993"]       1 to 32 of them

[serve]                   everything has a default
"""

import difflib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from orrery.custody.durable import unreadable
from orrery.errors import DecodeError, UsageError
from orrery.home.positions import Location, lines_of
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.world import MAX_ENDPOINTS, MAX_ROOTS, Root, WorldType

FILE_NAME = "orrery.toml"
_WORLD_ID = re.compile(r"[0-9a-fA-F]{1,16}")
_LONGEST_NAME = 64


def _mistake(sentence: str) -> PydanticCustomError:
    return PydanticCustomError("orrery", "{sentence}", {"sentence": sentence})


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise _mistake(f"{what} is a text: write it in quotes")
    return value


def _read_name(value: object) -> str:
    text = _text(value, "a name")
    if not text.strip() or text != text.strip() or not text.isprintable():
        raise _mistake("a name is made of visible characters, without blanks around it")
    if len(text) > _LONGEST_NAME:
        raise _mistake(f"a name has at most {_LONGEST_NAME} characters, and this has {len(text)}")
    return text


def _read_world_id(value: object) -> int:
    text = _text(value, "an id")
    if not _WORLD_ID.fullmatch(text):
        raise _mistake(f"an id is 1 to 16 hex digits, and {text[:40]!r} is not")
    if not int(text, 16):
        raise _mistake("the id 0 is no World's: nodes let anything replace such a World")
    return int(text, 16)


def _read_identity(value: object) -> Identity:
    text = _text(value, "an identity")
    if text.count(":") > 2:
        # Nothing of it is repeated here: this text ends up in terminals and logs.
        raise _mistake(
            "this identity has its private key with it: write only what identity.public holds, "
            "and take the private key out of this file"
        )
    try:
        return Identity.from_string(text)
    except DecodeError as error:
        raise _mistake(str(error)) from None


def _read_endpoint(value: object) -> Endpoint:
    try:
        return Endpoint.from_text(_text(value, "an endpoint"))
    except DecodeError as error:
        raise _mistake(str(error)) from None


def _read_listening(value: object) -> Endpoint:
    try:
        return Endpoint.from_text(_text(value, "an address to listen at"), allow_any=True)
    except DecodeError as error:
        raise _mistake(str(error)) from None


_Name = Annotated[str, BeforeValidator(_read_name)]
_WorldId = Annotated[int, BeforeValidator(_read_world_id)]
_PublicIdentity = Annotated[InstanceOf[Identity], BeforeValidator(_read_identity)]
_Endpoint = Annotated[InstanceOf[Endpoint], BeforeValidator(_read_endpoint)]
_Listening = Annotated[InstanceOf[Endpoint], BeforeValidator(_read_listening)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RootSettings(_Table):
    """A root that a World is to list."""

    name: _Name
    identity: _PublicIdentity
    endpoints: Annotated[list[_Endpoint], Field(min_length=1, max_length=MAX_ENDPOINTS)]

    def as_root(self) -> Root:
        """The root as a World lists it."""
        return Root(self.identity.public(), tuple(self.endpoints))


class WorldSettings(_Table):
    """A World as it is wanted."""

    name: _Name
    kind: Literal["planet", "moon"]
    id: _WorldId
    roots: Annotated[list[RootSettings], Field(alias="root", min_length=1, max_length=MAX_ROOTS)]

    @property
    def type(self) -> WorldType:
        """The type on the wire."""
        return WorldType.PLANET if self.kind == "planet" else WorldType.MOON


class ServeSettings(_Table):
    """How the root server is to work.

    Attributes:
        listen: Where it receives; a family that the machine does not have is left out.
        push: Whether a new revision is handed to every node at once.
        push_rate: To how many nodes a second at most.
        retention_days: How long the history of sightings is kept.
        retention_rows: How many rows of it are kept at most.
    """

    listen: Annotated[list[_Listening], Field(min_length=1, max_length=64)] = [
        Endpoint.from_text("0.0.0.0:9993", allow_any=True),
        Endpoint.from_text("[::]:9993", allow_any=True),
    ]
    push: bool = True
    push_rate: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    retention_days: Annotated[int, Field(ge=1, le=36_500)] = 30
    retention_rows: Annotated[int, Field(ge=1_000, le=1_000_000_000)] = 1_000_000


class Settings(_Table):
    """All of `orrery.toml`."""

    worlds: Annotated[list[WorldSettings], Field(alias="world", min_length=1)]
    serve: ServeSettings = ServeSettings()

    @classmethod
    def parse(cls, text: str, name: str = FILE_NAME) -> Self:
        """Read settings.

        Args:
            text: TOML.
            name: What to call the file in an error.

        Raises:
            DecodeError: With a line for every mistake: file, line number, sentence.
        """
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise DecodeError(_not_toml(error, text, name)) from None
        try:
            settings = cls.model_validate(data)
        except ValidationError as error:
            found = [(detail["loc"], _sentence(detail)) for detail in error.errors()]
        else:
            found = list(_check_together(settings))
            if not found:
                return settings
        lines = lines_of(text)
        told = sorted((_line_of(location, lines), sentence) for location, sentence in found)
        raise DecodeError("\n".join(f"{name}, line {line}: {text}" for line, text in told))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read settings from a file.

        Raises:
            DecodeError: As `parse`.
            UnreadableError: It cannot be read.
        """
        return cls.parse(read_text(path), str(path))

    def world(self, name: str) -> WorldSettings:
        """The World with this name or id.

        Raises:
            UsageError: There is none.
        """
        for world in self.worlds:
            if world.name == name:
                return world
        for world in self.worlds:
            if _WORLD_ID.fullmatch(name) and int(name, 16) == world.id:
                return world
        names = [world.name for world in self.worlds]
        raise UsageError(
            f"there is no World {name!r} in {FILE_NAME}{_did_you_mean(name, names)}; it has "
            + ", ".join(names)
        )


def read_text(path: Path) -> str:
    """The text of a settings file.

    Raises:
        DecodeError: It is not UTF-8.
        UnreadableError: It cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise unreadable(path, "read", error) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DecodeError(
            f"{path}, line {line}: this is not UTF-8 text; save the file as UTF-8"
        ) from None


def _not_toml(error: tomllib.TOMLDecodeError, text: str, name: str) -> str:
    what, _, place = str(error).removesuffix(")").partition(" (at ")
    found = re.match(r"line (\d+)", place)
    line = int(found[1]) if found is not None else text.count("\n") + 1
    return (
        f"{name}, line {line}: this is not TOML ({what[:1].lower()}{what[1:]}); check quotes and "
        "brackets"
    )


def _line_of(location: Location, lines: dict[Location, int]) -> int:
    while location not in lines:
        location = location[:-1]
    return lines[location]


def _check_together(settings: Settings) -> Iterator[tuple[Location, str]]:
    """What no single value shows: repetitions, and what a home cannot have."""
    planets = [world.name for world in settings.worlds if world.kind == "planet"]
    names: dict[str, str] = {}
    ids: dict[int, str] = {}
    for number, world in enumerate(settings.worlds):
        here: Location = ("world", number)
        if world.name in names:
            yield (*here, "name"), f"two Worlds are called {world.name!r}: rename one"
        names[world.name] = world.name
        if world.id in ids:
            yield (
                (*here, "id"),
                f"World {ids[world.id]!r} has the id {world.id:016x} too: every World has its own",
            )
        ids.setdefault(world.id, world.name)
        if world.kind == "planet" and world.name != planets[0]:
            yield (
                (*here, "kind"),
                f"{planets[0]!r} is a planet already, and nodes have only one: a second planet "
                "needs another home",
            )
        yield from _check_roots(world, here)


def _check_roots(world: WorldSettings, here: Location) -> Iterator[tuple[Location, str]]:
    names: set[str] = set()
    identities: dict[object, str] = {}
    endpoints: dict[Endpoint, str] = {}
    for number, root in enumerate(world.roots):
        place = (*here, "root", number)
        if root.name in names:
            yield (*place, "name"), f"two roots are called {root.name!r}: rename one"
        names.add(root.name)
        if root.identity.address in identities:
            yield (
                (*place, "identity"),
                f"root {identities[root.identity.address]!r} has this identity too: every root "
                "needs its own",
            )
        identities.setdefault(root.identity.address, root.name)
        for position, endpoint in enumerate(root.endpoints):
            if endpoint in endpoints:
                owner = endpoints[endpoint]
                which = "this root" if owner == root.name else f"root {owner!r}"
                yield (
                    (*place, "endpoints", position),
                    f"{which} has the endpoint {endpoint} already: write it once",
                )
            endpoints.setdefault(endpoint, root.name)


_TABLES: dict[tuple[str, ...], tuple[str, type[_Table]]] = {
    (): ("the file", Settings),
    ("world",): ("[[world]]", WorldSettings),
    ("world", "root"): ("[[world.root]]", RootSettings),
    ("serve",): ("[serve]", ServeSettings),
}


def _sentence(detail: ErrorDetails) -> str:
    """A sentence for an error of pydantic."""
    location, kind, context = detail["loc"], detail["type"], detail.get("ctx", {})
    key = str(location[-1]) if location else ""
    table, model = _TABLES.get(
        tuple(str(part) for part in location[:-1] if not isinstance(part, int)), ("this", Settings)
    )
    match kind:
        case "orrery":
            return str(context["sentence"])
        case "extra_forbidden":
            known = [field.alias or name for name, field in model.model_fields.items()]
            return f"unknown key {key!r} in {table}{_did_you_mean(key, known)}"
        case "missing":
            example = _EXAMPLES.get(key, "")
            return f"{table} has no {key!r}{example and f': write {example}'}"
        case "too_short":
            return f"{key!r} is empty: it needs at least one entry"
        case "too_long":
            what = {"root": "roots", "endpoints": "endpoints"}.get(key, "entries")
            return (
                f"{context['actual_length']} {what} are too many: at most "
                f"{context['max_length']}, or nodes throw the whole World away"
                if key != "listen"
                else f"at most {context['max_length']} addresses to listen at"
            )
        case "literal_error":
            return f"{key!r} is {context['expected'].replace(chr(39), chr(34))}"
        case "greater_than_equal":
            return f"{key!r} is at least {context['ge']}"
        case "less_than_equal":
            return f"{key!r} is at most {context['le']}"
        case "bool_type":
            return f"{key!r} is true or false, without quotes"
        case "int_type":
            return f"{key!r} is a whole number, without quotes"
        case "list_type":
            wanted = f"[[{'.'.join(p for p in (*_names(location),))}]]"
            return (
                f"{key!r} is a list: write {_EXAMPLES[key]}"
                if key in _EXAMPLES
                else f"{key!r} is written as {wanted}, with its keys below"
            )
        case "model_type":
            return f"{_names(location)[-1]!r} is a table: write its keys below a line [[…]] or […]"
        case _:
            message = detail["msg"]
            return f"{key!r}: {message[:1].lower()}{message[1:]}"


def _names(location: tuple[str | int, ...]) -> list[str]:
    return [part for part in location if isinstance(part, str)]


_EXAMPLES = {
    "name": 'name = "home"',
    "kind": 'kind = "planet"',
    "id": 'id = "8056c2e21c000001"',
    "identity": 'identity = "…" with the text of the root\'s identity.public',
    "endpoints": 'endpoints = ["203.0.113.7:9993"]',
    "listen": 'listen = ["0.0.0.0:9993", "[::]:9993"]',
}


def _did_you_mean(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"
