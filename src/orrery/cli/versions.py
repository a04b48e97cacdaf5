"""Which software nodes run, and which of them lag behind: `orrery nodes --outdated`."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rich.text import Text

    from orrery.store import NodeRecord

SoftwareVersion = tuple[int, int, int]

_VERSION = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})(?:\.([0-9]{1,5}))?")


class VersionGroup(NamedTuple):
    """Nodes that run one version.

    Attributes:
        version: of ZeroTier One, as they report it in HELLO.
        nodes: the last seen first.
    """

    version: SoftwareVersion
    nodes: tuple[NodeRecord, ...]


def read_version(text: str) -> SoftwareVersion:
    """Read `1.14.0`, or `1.14` for the same.

    Raises:
        DecodeError: it is no version.
    """
    from orrery.errors import DecodeError

    found = _VERSION.fullmatch(text.strip())
    if found is None:
        raise DecodeError(f"{text[:40]!r} is no version of ZeroTier One: write 1.14.0")
    major, minor, revision = found.groups(default="0")
    return int(major), int(minor), int(revision)


def group_outdated(
    nodes: Sequence[NodeRecord], below: SoftwareVersion | None
) -> list[VersionGroup]:
    """The nodes that run an older version, the oldest version first.

    Args:
        nodes: those to look at, the last seen first.
        below: older than this; where it is None, than the newest that one of them runs. Nodes that
            told no version, 0.0.0, cannot be judged and are left out.
    """
    groups: dict[SoftwareVersion, list[NodeRecord]] = {}
    for node in nodes:
        if any(node.version):
            groups.setdefault(node.version, []).append(node)
    newest = max(groups, default=(0, 0, 0)) if below is None else below
    return [
        VersionGroup(version, tuple(groups[version]))
        for version in sorted(groups)
        if version < newest
    ]


def describe_groups(groups: Iterable[VersionGroup]) -> list[dict[str, Any]]:
    """The same for programs."""
    from orrery.cli.output import iso_time

    return [
        {
            "version": _dotted(group.version),
            "count": len(group.nodes),
            "last_seen_ms": group.nodes[0].last_seen_ms,
            "nodes": [
                {
                    "address": f"{node.address:010x}",
                    "path": node.path,
                    "last_seen_ms": node.last_seen_ms,
                    "last_seen": iso_time(node.last_seen_ms),
                }
                for node in group.nodes
            ],
        }
        for group in groups
    ]


def group_lines(
    groups: Sequence[VersionGroup], below: SoftwareVersion | None, now_ms: int
) -> Iterator[Text]:
    """The same for people: a title for each version, and a line for each node."""
    from rich.text import Text

    from orrery.spans import format_age

    if not groups:
        than = "another" if below is None else _dotted(below)
        yield Text(f"no node reports an older version than {than}")
        return
    for group in groups:
        count = len(group.nodes)
        yield Text.assemble(
            (_dotted(group.version), "yellow"), f"  {count:,} node{'s' * (count > 1)}"
        )
        for node in group.nodes:
            age = format_age(now_ms - node.last_seen_ms)
            yield Text(f"  {node.address:010x}  seen {age} ago  {node.path}")


def _dotted(version: SoftwareVersion) -> str:
    return ".".join(map(str, version))
