"""`orrery.toml`: what is wanted. Every mistake is told with file, line and a sentence.

[[world]]                 a planet or a moon
name = "home"             how the commands call it
kind = "planet"           or "moon"
id = "8056c2e21c000001"   16 hex digits, never to be changed

[[world.root]]            1 to 4 of them
name = "root-1"
identity = "8056c2e21c:0:…"            the public one
endpoints = ["203.0.113.7:9993"]       1 to 32 of them; names too: "root.example.org:9993"
software = "orrery"                    or "zerotier-one"

[serve]                   these have a default for everything
[rollout]
[dns]

[backup]                  left out, nothing is backed up by itself
to = "/srv/backups"
recipients = ["age1…"]    public keys, of which any one opens a backup
"""

import contextlib
import difflib
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PlainValidator,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from orrery.custody.durable import unreadable
from orrery.custody.sealing import check_recipient
from orrery.errors import CustodyError, DecodeError, UsageError
from orrery.home.named_endpoint import WantedEndpoint, is_name, read_endpoint, read_listen
from orrery.home.positions import Location, lines_of
from orrery.rollout.cohorts import EVERYBODY, Cohort, Named, Share
from orrery.spans import format_span, parse_span_ms
from orrery.wire.address import Address, format_address, parse_address
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.world import MAX_ENDPOINTS, MAX_ROOTS, WorldType
from orrery.worlds.stage import PLACES

FILE_NAME = "orrery.toml"
_WORLD_ID = re.compile(r"[0-9a-fA-F]{1,16}")
_NODE = re.compile(r"[0-9a-fA-F]{10}")
_NUMBER = re.compile(r"[0-9]{1,3}(\.[0-9]+)?")
_RECIPIENT = re.compile(r"age1[02-9ac-hj-np-z]{58}")
_OVERLONG = re.compile(r"[0-9_]{1000}|(?:[\[{]\s*){50}")
_LONGEST_NAME = 64
_DNS_PORT = 53
_SECOND_MS = 1_000
_MINUTE_MS = 60 * _SECOND_MS
_DAY_MS = 24 * 60 * _MINUTE_MS


class ChangeKind(StrEnum):
    """A kind of change that a plan makes to a World, for `without_asking`."""

    ADD_ENDPOINT = "add-endpoint"
    REMOVE_ENDPOINT = "remove-endpoint"
    ADD_ROOT = "add-root"
    REMOVE_ROOT = "remove-root"
    ROTATE_KEY = "rotate-key"


def _mistake(sentence: str) -> PydanticCustomError:
    return PydanticCustomError("orrery", "{sentence}", {"sentence": sentence})


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise _mistake(f"{what} is a text: write it in quotes")
    return value


def _read_name(value: object) -> str:
    text = _text(value, "a name")
    if (sentence := _wrong_name(text)) is not None:
        raise _mistake(sentence)
    return text


def check_name(text: str) -> None:
    """Refuse a name of a World or root that is none.

    Raises:
        UsageError: It is none.
    """
    if (sentence := _wrong_name(text)) is not None:
        raise UsageError(f"{text[:_LONGEST_NAME]!r} is no name: {sentence}")


def _wrong_name(text: str) -> str | None:
    if not text.strip() or text != text.strip() or not text.isprintable():
        return "a name is made of visible characters, without blanks around it"
    if len(text) > _LONGEST_NAME:
        return f"a name has at most {_LONGEST_NAME} characters, and this has {len(text)}"
    return None


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


def _read_endpoint(value: object) -> WantedEndpoint:
    try:
        return read_endpoint(_text(value, "an endpoint"))
    except DecodeError as error:
        raise _mistake(str(error)) from None


def _read_listening(value: object) -> Endpoint:
    text = _text(value, "an address to listen at")
    try:
        return read_listen(text)
    except DecodeError as error:
        raise _mistake(str(error)) from None


def _read_dns_server(value: object) -> Endpoint:
    text = _text(value, "a DNS server").strip()
    if is_name(text):
        raise _mistake(
            f"{text[:80]!r} is a name, and this server is what looks names up: write its IP address"
        )
    for written in (text, f"{text}/{_DNS_PORT}"):
        with contextlib.suppress(DecodeError):
            return Endpoint.from_text(written)
    raise _mistake(
        f'{text[:80]!r} is no DNS server: write its IP address, such as "9.9.9.9" or "9.9.9.9:53"'
    )


def _read_span_ms(least_ms: int, most_ms: int, why: str = "") -> Callable[[object], int]:
    def read(value: object) -> int:
        if not isinstance(value, str):
            raise _mistake(
                'a span of time has a unit and stands in quotes: write "90s", "10m", "36h" or "7d"'
            )
        try:
            span_ms = parse_span_ms(value)
        except UsageError as error:
            raise _mistake(str(error)) from None
        if not least_ms <= span_ms <= most_ms:
            raise _mistake(
                f"{value.strip()} is too {'short' if span_ms < least_ms else 'long'}: write "
                f"{format_span(least_ms)} to {format_span(most_ms)}{why}"
            )
        return span_ms

    return read


def _read_share(value: object) -> Share:
    if not isinstance(value, str):
        raise _mistake('a share stands in quotes, with a % sign: write "10%"')
    if _NUMBER.fullmatch(value.strip()):
        raise _mistake(f'{value.strip()[:20]!r} has no % sign: write "{value.strip()[:20]}%"')
    try:
        return Share.from_text(value)
    except DecodeError as error:
        raise _mistake(str(error)) from None


def _read_required(value: object) -> Fraction:
    return Fraction(_read_share(value).places, PLACES)


def _read_node(value: object) -> Address:
    try:
        return parse_address(_text(value, "the address of a node"))
    except DecodeError as error:
        raise _mistake(str(error)) from None


def _read_cohort(value: object) -> Cohort:
    if isinstance(value, list):
        # What is wrong with a node is told with the line of that node.
        nodes = _NODES.validate_python(value)
        if not nodes:
            raise _mistake("this cohort names no node: name one, or leave the cohort out")
        for number, node in enumerate(nodes):
            if node in nodes[:number]:
                raise _mistake(f"node {format_address(node)} is named twice here: name it once")
        return Named(frozenset(nodes))
    if isinstance(value, str) and _NODE.fullmatch(value.strip()):
        raise _mistake(f'nodes stand in a list of their own: write ["{value.strip()}"]')
    if not isinstance(value, str):
        raise _mistake('a cohort is a share, "10%", or a list of nodes, ["2c3e8f527a"]')
    return _read_share(value)


def _read_change(value: object) -> ChangeKind:
    text = _text(value, "a kind of change")
    try:
        return ChangeKind(text)
    except ValueError:
        known = [str(kind) for kind in ChangeKind]
        raise _mistake(f"{text[:40]!r} is no kind of change{_did_you_mean(text, known)}") from None


def _read_directory(value: object) -> Path:
    if isinstance(value, Path):
        return value
    text = _text(value, "a directory")
    if not text.strip() or not text.isprintable():
        raise _mistake('a directory has a name: write to = "/srv/backups"')
    return Path(text)


def _read_recipient(value: object) -> str:
    text = _text(value, "a recipient").strip()
    try:
        check_recipient(text)
    except UsageError as error:
        raise _mistake(str(error)) from None
    except CustodyError:  # the part that seals is not installed: who backs up is told
        if not _RECIPIENT.fullmatch(text):
            raise _mistake(
                f"{text[:10]!r}… is no recipient: write an age public key, age1…, which "
                "`age-keygen` makes"
            ) from None
    return text


_Name = Annotated[str, BeforeValidator(_read_name)]
_WorldId = Annotated[int, BeforeValidator(_read_world_id)]
_PublicIdentity = Annotated[InstanceOf[Identity], BeforeValidator(_read_identity)]
_Endpoint = Annotated[WantedEndpoint, PlainValidator(_read_endpoint)]
_Listening = Annotated[InstanceOf[Endpoint], BeforeValidator(_read_listening)]
_DnsServer = Annotated[InstanceOf[Endpoint], BeforeValidator(_read_dns_server)]
_Required = Annotated[InstanceOf[Fraction], BeforeValidator(_read_required)]
_Cohort = Annotated[Cohort, PlainValidator(_read_cohort)]
_Settle = Annotated[int, BeforeValidator(_read_span_ms(_SECOND_MS, 30 * _DAY_MS))]
_Horizon = Annotated[
    int,
    BeforeValidator(
        _read_span_ms(
            10 * _MINUTE_MS,
            400 * _DAY_MS,
            ", because a node that is there may be silent for minutes, and one that is not is "
            "forgotten after 400 days",
        )
    ),
]
_DnsTimeout = Annotated[int, BeforeValidator(_read_span_ms(_SECOND_MS, _MINUTE_MS))]
_Every = Annotated[int, BeforeValidator(_read_span_ms(_MINUTE_MS, 400 * _DAY_MS))]
_Directory = Annotated[InstanceOf[Path], BeforeValidator(_read_directory)]
_Recipient = Annotated[str, BeforeValidator(_read_recipient)]
_Change = Annotated[ChangeKind, PlainValidator(_read_change)]
_NODES = TypeAdapter(list[Annotated[Address, BeforeValidator(_read_node)]])


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RootSettings(_Table):
    """A root that a World is to list.

    `orrery.home.resolving` makes of it what a World holds.

    Attributes:
        software: What runs there: an official root hands the newest revision to everybody, knows
            no cohorts, and needs the World's file installed.
    """

    name: _Name
    identity: _PublicIdentity
    endpoints: Annotated[list[_Endpoint], Field(min_length=1, max_length=MAX_ENDPOINTS)]
    software: Literal["orrery", "zerotier-one"] = "orrery"


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


class RolloutSettings(_Table):
    """How a rollout goes that gives a revision to some nodes before others.

    `orrery apply` goes by it; `orrery publish` gives a revision to everybody at once.

    Attributes:
        cohorts: Who gets it before others, in order, as `Cohorts` wants them.
        settle_ms: How long a cohort is watched before the next one's turn; `settle`.
        horizon_ms: A node counts when it was seen in this span; `horizon`.
        required: The share of the counted nodes of a cohort that must have adopted before the
            next one's turn.
        without_asking: The kinds of change that `apply` makes without a question.
    """

    cohorts: Annotated[list[_Cohort], Field(min_length=1, max_length=32)] = [
        Share(PLACES // 100),
        Share(PLACES // 10),
        EVERYBODY,
    ]
    settle_ms: Annotated[_Settle, Field(alias="settle")] = 10 * _SECOND_MS
    horizon_ms: Annotated[_Horizon, Field(alias="horizon")] = 30 * _DAY_MS
    required: _Required = Fraction(1)
    without_asking: Annotated[list[_Change], Field(max_length=len(ChangeKind))] = []


class DnsSettings(_Table):
    """Who is asked what the names of roots stand for.

    Attributes:
        servers: DNS servers; those of the system when there are none.
        timeout_ms: How long a name may take; `timeout`.
    """

    servers: Annotated[list[_DnsServer], Field(max_length=8)] = []
    timeout_ms: Annotated[_DnsTimeout, Field(alias="timeout")] = 5 * _SECOND_MS


class BackupSettings(_Table):
    """Backups that are made by themselves: at times by the server, and before anything is signed.

    Attributes:
        to: The directory for them; one without a slash in front lies in the home.
        recipients: Age public keys: each of their owners opens a backup, nobody else does, and no
            secret for it lies on this machine.
        every_ms: How often the server makes one; `every`.
        keep: How many are kept of those, and how many of those made before signatures.
    """

    to: _Directory
    recipients: Annotated[list[_Recipient], Field(min_length=1, max_length=32)]
    every_ms: Annotated[_Every, Field(alias="every")] = _DAY_MS
    keep: Annotated[int, Field(ge=1, le=10_000)] = 14


@dataclass(frozen=True)
class _Places:
    """Where things stand in the file; settings that say the same are equal wherever it stands."""

    name: str = field(default=FILE_NAME, compare=False)
    lines: Mapping[Location, int] = field(default_factory=lambda: {(): 1}, compare=False)


class Settings(_Table):
    """All of `orrery.toml`."""

    worlds: Annotated[list[WorldSettings], Field(alias="world", min_length=1)]
    serve: ServeSettings = ServeSettings()
    rollout: RolloutSettings = RolloutSettings()
    dns: DnsSettings = DnsSettings()
    backup: BackupSettings | None = None
    _places: _Places = PrivateAttr(default_factory=_Places)

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
        except (ValueError, RecursionError):
            place = _OVERLONG.search(text)
            line = text.count("\n", 0, place.start() if place else 0) + 1
            raise DecodeError(
                f"{name}, line {line}: a number here is too long, or brackets stand in brackets "
                "too deep; no setting needs that"
            ) from None
        lines = lines_of(text)
        try:
            settings = cls.model_validate(data)
        except ValidationError as error:
            found = [(detail["loc"], _sentence(detail)) for detail in error.errors()]
        else:
            found = list(_check_together(settings))
            if not found:
                settings._places = _Places(name, lines)
                return settings
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

    def place(self, *location: str | int) -> str:
        """Where something stands, as errors tell it: file and line.

        Args:
            *location: Keys, and numbers of tables and entries from 0: `"world", 0, "root", 1`.
        """
        return f"{self._places.name}, line {_line_of(location, self._places.lines)}"

    def choose(self, name: str | None) -> WorldSettings:
        """The World with this name or id, or the only one where none is named.

        Raises:
            UsageError: There is none of this name, or several and none is named.
        """
        if name is not None:
            return self.world(name)
        if len(self.worlds) > 1:
            names = ", ".join(world.name for world in self.worlds)
            raise UsageError(f"say which World: {FILE_NAME} has {names}")
        return self.worlds[0]

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
        near = difflib.get_close_matches(name, names, n=1)
        raise UsageError(
            f"there is no World {name!r} in {FILE_NAME}: it has {', '.join(names)}"
            + (f"; did you mean {near[0]!r}?" if near else "")
        )


def read_text(path: Path) -> str:
    """The text of a settings file.

    Raises:
        DecodeError: It is not UTF-8.
        UnreadableError: It cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")  # some editors begin with a mark
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


def _line_of(location: Location, lines: Mapping[Location, int]) -> int:
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
    roots = {root.identity.address for world in settings.worlds for root in world.roots}
    yield from _check_rollout(settings.rollout, roots)


def _check_roots(world: WorldSettings, here: Location) -> Iterator[tuple[Location, str]]:
    names: set[str] = set()
    identities: dict[object, str] = {}
    endpoints: dict[WantedEndpoint, str] = {}
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


def _check_rollout(
    rollout: RolloutSettings, roots: Collection[Address]
) -> Iterator[tuple[Location, str]]:
    here: Location = ("rollout", "cohorts")
    before: Share | None = None
    named: set[Address] = set()
    for number, cohort in enumerate(rollout.cohorts):
        if isinstance(cohort, Share):
            if before is not None and cohort.places <= before.places:
                yield (
                    (*here, number),
                    f"{cohort} comes after {before}, and a share counts from the first node on, so "
                    "this one adds nobody: let the shares grow",
                )
            before = cohort
            continue
        for node in sorted(cohort.addresses):
            if node in roots:
                yield (
                    (*here, number),
                    f"{format_address(node)} is a root, and hands what it gets to every node: leave"
                    " it out, it comes with the last cohort",
                )
            if node in named:
                yield (
                    (*here, number),
                    f"node {format_address(node)} is in a cohort before: name it once",
                )
        named |= cohort.addresses
    if rollout.cohorts[-1] != EVERYBODY:
        yield (
            (*here, len(rollout.cohorts) - 1),
            'the last cohort is not everybody: let the list end with "100%"',
        )
    if rollout.settle_ms > rollout.horizon_ms:
        yield (
            ("rollout", "settle"),
            f"a cohort would be watched for {format_span(rollout.settle_ms)}, longer than a node "
            f"counts that is not seen ({format_span(rollout.horizon_ms)}): let 'settle' be less "
            "than 'horizon'",
        )


_TABLES: dict[tuple[str, ...], tuple[str, type[_Table]]] = {
    (): ("the file", Settings),
    ("world",): ("[[world]]", WorldSettings),
    ("world", "root"): ("[[world.root]]", RootSettings),
    ("serve",): ("[serve]", ServeSettings),
    ("rollout",): ("[rollout]", RolloutSettings),
    ("dns",): ("[dns]", DnsSettings),
    ("backup",): ("[backup]", BackupSettings),
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
            for other, its_model in _TABLES.values():
                if key in _keys(its_model) and its_model is not Settings:
                    return f"{key!r} is no key of {table}: it belongs below {other}"
            return f"unknown key {key!r} in {table}{_did_you_mean(key, _keys(model))}"
        case "missing":
            example = _EXAMPLES.get(key, "")
            return f"{table} has no {key!r}{example and f': write {example}'}"
        case "too_short":
            return f"{key!r} is empty: it needs at least one entry"
        case "too_long":
            count, most = context["actual_length"], context["max_length"]
            if key in ("root", "endpoints"):
                return (
                    f"{count} {key.removesuffix('s')}s are too many: at most {most}, or nodes "
                    "throw the whole World away"
                )
            return f"{key!r} has {count} entries, and at most {most} are of use"
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


def _keys(model: type[_Table]) -> list[str]:
    return [about.alias or name for name, about in model.model_fields.items()]


def _names(location: tuple[str | int, ...]) -> list[str]:
    return [part for part in location if isinstance(part, str)]


_EXAMPLES = {
    "name": 'name = "home"',
    "kind": 'kind = "planet"',
    "id": 'id = "8056c2e21c000001"',
    "identity": 'identity = "…" with the text of the root\'s identity.public',
    "endpoints": 'endpoints = ["203.0.113.7:9993"]',
    "listen": 'listen = ["0.0.0.0:9993", "[::]:9993"]',
    "without_asking": 'without_asking = ["add-endpoint", "add-root"]',
    "cohorts": 'cohorts = ["1%", "10%", "100%"]',
    "servers": 'servers = ["9.9.9.9"]',
    "to": 'to = "/srv/backups"',
    "recipients": 'recipients = ["age1…"] with the public keys that open a backup',
}


def _did_you_mean(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"
