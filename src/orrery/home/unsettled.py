"""A home that was restored from a backup, until it is known what was published after that.

Such a home serves what it has, and learns from nodes what they hold. It signs nothing: the home
that was lost may have published revisions that this one lacks, and may have given out timestamps
that this one would give out again. `restored.json` says so, until `orrery.home.settling` has
removed it:

    {
      "format": 1,
      "made_at_ms": 1790000000000,        when the backup was made, by the clock there
      "restored_at_ms": 1790000100000,    when it was restored, by the clock here
      "given_ms": {                       timestamps given out last, by World
        "8056c2e21c000001": 1790000000000
      },
      "rollouts": [                       those that stand still until then, as they were
        {"number": 1, "state": "running", "reason": "it is given to 1%"}
      ]
    }
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orrery.custody.durable import unreadable
from orrery.errors import PlanError, UnreadableError
from orrery.home.home import Home, called
from orrery.rollout.state import RolloutState
from orrery.wire.address import Address
from orrery.wire.world import World

MARK_NAME = "restored.json"
WITNESS_MS = 7 * 86_400_000
"""Who was seen in this time before the backup was made is waited for."""
_FORMAT = 1
_NAMED = 3


@dataclass(frozen=True, slots=True)
class HeldRollout:
    """A rollout that stands still because its home was restored, as it was before."""

    number: int
    state: RolloutState
    reason: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What `restored.json` says.

    Attributes:
        made_at_ms: When the backup was made, by the clock there.
        restored_at_ms: When it was restored, by the clock here.
        given_ms: The timestamp given out last, by World id.
        rollouts: Those that stand still until the home is settled, as they were.
    """

    made_at_ms: int
    restored_at_ms: int
    given_ms: Mapping[int, int]
    rollouts: tuple[HeldRollout, ...] = ()

    def to_json(self) -> str:
        """The form above."""
        return json.dumps(
            {
                "format": _FORMAT,
                "made_at_ms": self.made_at_ms,
                "restored_at_ms": self.restored_at_ms,
                "given_ms": {f"{world_id:016x}": at for world_id, at in self.given_ms.items()},
                "rollouts": [
                    {"number": each.number, "state": each.state.value, "reason": each.reason}
                    for each in self.rollouts
                ],
            },
            indent=1,
        )


def read_mark(home: Path) -> Mark | None:
    """What is known of a restore that is not finished, None where there is none.

    Raises:
        UnreadableError: It cannot be read.
    """
    path = home / MARK_NAME
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["format"] != _FORMAT:
            raise ValueError("another version of Orrery wrote it")
        return Mark(
            int(told["made_at_ms"]),
            int(told["restored_at_ms"]),
            {int(world_id, 16): int(at) for world_id, at in told["given_ms"].items()},
            tuple(
                HeldRollout(int(each["number"]), RolloutState(each["state"]), str(each["reason"]))
                for each in told["rollouts"]
            ),
        )
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, "read", error) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableError(
            f"{path} cannot be understood ({error}): restore the backup again, into another "
            "directory"
        ) from None


def check_settled(home: Home) -> None:
    """Refuse to give out a timestamp or sign where it is not known what was published last.

    Raises:
        PlanError: The home was restored, and that is not known.
        UnreadableError: `restored.json` cannot be read.
    """
    if read_mark(home.path) is not None:
        raise PlanError(
            f"{called(home.path)} was restored from a backup, and what was published after that "
            "was made may be missing here: run `orrery restore --finish` first"
        )


@dataclass(frozen=True, slots=True)
class LostRevision:
    """A timestamp beyond the chain of a restored home, that nodes hold.

    Attributes:
        timestamp_ms: The timestamp.
        nodes: How many hold it.
        some: Some of them.
    """

    timestamp_ms: int
    nodes: int
    some: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What nodes have told since a restore about one World.

    Attributes:
        newest: The newest revision that the home has.
        lost: What they hold beyond it, the newest first.
        awaited: How many nodes were seen lately when the backup was made, or came since.
        heard: How many of those were heard since the restore.
    """

    newest: World
    lost: tuple[LostRevision, ...]
    awaited: int
    heard: int

    @property
    def is_clear(self) -> bool:
        """Whether every node was heard and none holds anything newer."""
        return not self.lost and 0 < self.awaited == self.heard


def outlook(home: Home, mark: Mark, newest: World) -> Outlook:
    """What nodes have told since the restore.

    Args:
        home: The home.
        mark: Of the restore.
        newest: The newest revision of the World, or what is to be it.
    """
    store = home.store
    # What stood beside the chain when the backup was made was not published after.
    known = {
        fork.timestamp_ms
        for fork in store.fork_counts(newest.id)
        if fork.first_at_ms <= mark.made_at_ms
    }
    counts = store.adoption_counts(newest.id, mark.restored_at_ms)
    beyond = {
        count.timestamp_ms: count.nodes
        for count in counts
        if count.timestamp_ms > newest.timestamp_ms and count.timestamp_ms not in known
    }
    return Outlook(
        newest,
        tuple(
            LostRevision(
                timestamp_ms,
                nodes,
                tuple(
                    node.address
                    for node in store.nodes(
                        holds=(newest.id, timestamp_ms),
                        seen_since_ms=mark.restored_at_ms,
                        limit=_NAMED,
                    )
                ),
            )
            for timestamp_ms, nodes in sorted(beyond.items(), reverse=True)
        ),
        awaited=store.count_nodes(seen_since_ms=mark.made_at_ms - WITNESS_MS),
        heard=store.count_nodes(seen_since_ms=mark.restored_at_ms),
    )
