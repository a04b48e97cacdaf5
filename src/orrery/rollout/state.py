"""What is stored of a rollout while it is carried out: its state, and what it lets roots serve."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from orrery.errors import DecodeError, OrreryError
from orrery.wire.address import format_address, parse_address
from orrery.worlds.stage import PLACES, Membership, Stage


class RolloutState(StrEnum):
    """Where a rollout stands; the `reason` beside it says why it waits or is over."""

    PLANNED = "planned"
    RUNNING = "running"
    WAITING = "waiting"
    SETTLING = "settling"
    PAUSED = "paused"
    DONE = "done"
    ROLLED_BACK = "rolled-back"
    STOPPED = "stopped"

    @property
    def is_over(self) -> bool:
        """Whether it goes on no more; a World has one rollout at most that is not over."""
        return self in _OVER


_WORLD_ID = re.compile("[0-9a-f]{16}")
_OVER = frozenset((RolloutState.DONE, RolloutState.ROLLED_BACK, RolloutState.STOPPED))


@dataclass(frozen=True, slots=True)
class Served:
    """What roots serve of a World while its newest revision is not for everybody.

    The JSON form is what the store keeps and what every root with this store goes by:

        {
          "world_id": "8056c2e21c000001",       16 hex digits
          "held_back_ms": 1790000000000,        all others are led to this revision
          "opened": {                           who is led to the newest revision
            "share": 10000,                     of a million places: 1 %
            "named": ["2c3e8f527a"],            in it, wherever their place is
            "later": ["dd87c5dc2d"]             not in it, wherever their place is
          }
        }

    Attributes:
        world_id: The World.
        held_back_ms: Timestamp of the revision that nodes outside `opened` are led to.
        opened: Who is led to the newest.
    """

    world_id: int
    held_back_ms: int
    opened: Membership

    @property
    def stage(self) -> Stage:
        """The same for the handover table."""
        return Stage(self.held_back_ms, self.opened)

    def to_json(self) -> str:
        """The form above, always the same text for the same content."""
        opened = self.opened
        return json.dumps(
            {
                "world_id": f"{self.world_id:016x}",
                "held_back_ms": self.held_back_ms,
                "opened": {
                    "share": opened.share,
                    "named": [format_address(address) for address in sorted(opened.named)],
                    "later": [format_address(address) for address in sorted(opened.later)],
                },
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Served:
        """Read the form above; nothing may be missing, added or of another kind.

        Raises:
            DecodeError: it is something else.
        """
        try:
            told = json.loads(text)
            world_id, held_back_ms = told.pop("world_id"), told.pop("held_back_ms")
            opened = told.pop("opened")
            share, named, later = (opened.pop(key) for key in ("share", "named", "later"))
            if told or opened:
                raise ValueError(f"unknown fields: {', '.join((*told, *opened))}")
            if not _WORLD_ID.fullmatch(world_id):
                raise ValueError("the World id is not 16 hex digits")
            return cls(
                int(world_id, 16),
                _number(held_back_ms, (1 << 64) - 1),
                Membership(
                    _number(share, PLACES),
                    frozenset(map(parse_address, named)),
                    frozenset(map(parse_address, later)),
                ),
            )
        except (ValueError, KeyError, TypeError, AttributeError, OrreryError) as error:
            raise DecodeError(
                f"what a rollout lets roots serve cannot be read ({error}): {text[:200]!r}; "
                "no version of Orrery wrote this"
            ) from error


def _number(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"{value!r} is not a number up to {most}")
    return value
