"""The settings file as a whole."""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PrivateAttr, ValidationError

from orrery.custody.durable import unreadable
from orrery.errors import DecodeError, UsageError
from orrery.home.positions import Location, lines_of
from orrery.home.settings.checks import check_together
from orrery.home.settings.hosts import DeploySettings, HostSettings
from orrery.home.settings.mistakes import Tables, line_of, not_toml, sentence_of
from orrery.home.settings.tables import (
    BackupSettings,
    DnsSettings,
    RolloutSettings,
    RootSettings,
    ServeSettings,
    Table,
    WorldSettings,
)
from orrery.home.settings.values import WORLD_ID

FILE_NAME = "orrery.toml"
_OVERLONG = re.compile(r"[0-9_]{1000}|(?:[\[{]\s*){50}")


@dataclass(frozen=True)
class _Places:
    """Where things stand in the file; settings that say the same are equal wherever it stands."""

    name: str = field(default=FILE_NAME, compare=False)
    lines: Mapping[Location, int] = field(default_factory=lambda: {(): 1}, compare=False)


class Settings(Table):
    """All of `orrery.toml`."""

    worlds: Annotated[list[WorldSettings], Field(alias="world", min_length=1)]
    serve: ServeSettings = ServeSettings()
    rollout: RolloutSettings = RolloutSettings()
    dns: DnsSettings = DnsSettings()
    backup: BackupSettings | None = None
    hosts: list[HostSettings] = Field(alias="host", default_factory=list)
    deploy: DeploySettings = DeploySettings()
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
            raise DecodeError(not_toml(error, text, name)) from None
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
            found = [(detail["loc"], sentence_of(detail, _TABLES)) for detail in error.errors()]
        else:
            found = list(check_together(settings.worlds, settings.rollout, settings.hosts))
            if not found:
                settings._places = _Places(name, lines)
                return settings
        told = sorted((line_of(location, lines), sentence) for location, sentence in found)
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
        return f"{self._places.name}, line {line_of(location, self._places.lines)}"

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
            if WORLD_ID.fullmatch(name) and int(name, 16) == world.id:
                return world
        names = [world.name for world in self.worlds]
        near = difflib.get_close_matches(name, names, n=1)
        raise UsageError(
            f"there is no World {name!r} in {FILE_NAME}: it has {', '.join(names)}"
            + (f"; did you mean {near[0]!r}?" if near else "")
        )

    def host(self, name: str) -> HostSettings:
        """The host with this name.

        Raises:
            UsageError: There is none.
        """
        for host in self.hosts:
            if host.name == name:
                return host
        if not self.hosts:
            raise UsageError(
                f"there is no host {name!r}: {FILE_NAME} has no [[host]]; write one for every "
                "server that Orrery is to look after"
            )
        names = [host.name for host in self.hosts]
        near = difflib.get_close_matches(name, names, n=1)
        raise UsageError(
            f"there is no host {name!r} in {FILE_NAME}"
            + (f"; did you mean {near[0]!r}?" if near else f": it has {', '.join(names)}")
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


_TABLES: Tables = {
    (): ("the file", Settings),
    ("world",): ("[[world]]", WorldSettings),
    ("world", "root"): ("[[world.root]]", RootSettings),
    ("serve",): ("[serve]", ServeSettings),
    ("rollout",): ("[rollout]", RolloutSettings),
    ("dns",): ("[dns]", DnsSettings),
    ("backup",): ("[backup]", BackupSettings),
    ("host",): ("[[host]]", HostSettings),
    ("deploy",): ("[deploy]", DeploySettings),
}
