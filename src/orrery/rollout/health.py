"""Whether what became of the nodes that took a revision is explained by the fleet's own history.

A node that took the revision is *well* once a root which the revision lists has heard it, at an
endpoint that the revision lists, when it had held it for the settle time. While it is not, the
roots ask it again and again. One that has not been heard so for the settle time and a while more
is *gone*.

Nodes also go by themselves: notebooks are closed, phones doze. How often, the roots have seen:
of each node how long it was there in all, and how often it fell silent. From that comes a rate of
departures r = (absences + f * 1 h) / (presence + 1 h), where f is the rate of the whole fleet,
(1 + absences) / (10 h + presence) over all nodes: who was seen little counts like the others, and a
fleet without history as if each node left every ten hours. Within a span s a node goes with
probability 1 - exp(-r * s), and of many nodes about m go, the sum of these. As they go
independently, the number of those who go has nearly the distribution of Poisson with mean m, or a
narrower one. If as many as are gone, or more, would go by themselves in less than one of a hundred
such cases, the history does not explain it.

And a revision that lists new endpoints is in order only when somebody comes to one of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, expm1, sqrt

from orrery.wire.address import Address, format_address

UNLIKELY = 0.01
"""What happens by itself more rarely is not explained."""
_MANY = 500
_NORMAL_UNLIKELY = 2.33
"""So many standard deviations are exceeded in `UNLIKELY` of all cases."""
_HOUR_MS = 3_600_000
_NAMES = 5


@dataclass(frozen=True, slots=True)
class Habit:
    """How much a node was there.

    Attributes:
        absences: how often it fell silent.
        present_ms: how long it was heard from, all in all.
    """

    absences: int = 0
    present_ms: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    """What became of the nodes that took a revision.

    Attributes:
        alarm: why to stop, in a sentence; empty when all is as it should be.
        awaited: how many nodes it is not known of yet.
        silent: how many nodes were there just before they were given it, and were not heard from
            since. They may have taken it and be lost by it, so that nobody learns of it.
    """

    alarm: str = ""
    awaited: int = 0
    silent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Takers:
    """The nodes that took a revision and are judged.

    Attributes:
        target_ms: timestamp of the revision.
        count: how many they are.
        awaited: how many of them may still be heard from in time.
        gone: those who were not.
        expected_gone: how many go by themselves in that time, see `expect_gone`.
        new_places: the endpoints that the revision adds and a root of ours listens at, in words;
            empty when there is none.
        came: how many were heard at one of these.
    """

    target_ms: int
    count: int
    awaited: int = 0
    gone: Sequence[Address] = ()
    expected_gone: float = 0.0
    new_places: str = ""
    came: int = 0


def departure_rate(habit: Habit, fleet: Habit) -> float:
    """How often a node goes, per millisecond that it is there.

    Args:
        habit: the node's own.
        fleet: that of all nodes together.
    """
    fleet_rate = (1 + fleet.absences) / (10 * _HOUR_MS + fleet.present_ms)
    return (habit.absences + fleet_rate * _HOUR_MS) / (habit.present_ms + _HOUR_MS)


def expect_gone(rate: float, span_ms: int) -> float:
    """The probability that a node with this rate of departures goes within a span."""
    return -expm1(-rate * span_ms)


def is_explained(gone: int, expected: float) -> bool:
    """Whether so many go by themselves often enough, where so many are expected to."""
    if not gone:
        return True
    if expected > _MANY:  # where Poisson is as good as normal, and exp(-expected) as good as zero
        return gone - expected <= _NORMAL_UNLIKELY * sqrt(expected)
    term = fewer = exp(-expected)
    for count in range(1, gone):
        term *= expected / count
        fewer += term
    return 1 - fewer >= UNLIKELY


def judge(takers: Takers) -> Health:
    """What to say of the nodes that took a revision."""
    gone = len(takers.gone)
    if not is_explained(gone, takers.expected_gone):
        return Health(
            f"{_of(gone, takers.count)} that took revision {takers.target_ms} "
            f"{'was' if gone == 1 else 'were'} not heard from again at any endpoint of it, and by "
            f"the history of this fleet {_about(takers.expected_gone)} would have gone by "
            "themselves: "
            f"{_names(takers.gone)}"
        )
    if takers.new_places and takers.count and not takers.came:
        if takers.awaited < takers.count:
            return Health(
                f"no node that took revision {takers.target_ms} came to a new endpoint of it, of "
                f"{takers.count} that did: {takers.new_places} may be out of their reach"
            )
        return Health(awaited=max(1, takers.awaited))
    return Health(awaited=takers.awaited)


def _of(gone: int, count: int) -> str:
    if gone == count:
        return "the only node" if count == 1 else f"all {count} nodes"
    return f"{gone} of {count} nodes"


def _about(expected: float) -> str:
    """A number of nodes in words, never in scientific notation."""
    if expected < 0.01:
        return "fewer than 0.01"
    return f"{expected:.0f}" if expected >= 10 else f"{expected:.2g}"


def _names(addresses: Sequence[Address]) -> str:
    named = ", ".join(map(format_address, sorted(addresses)[:_NAMES]))
    return f"{named} and others" if len(addresses) > _NAMES else named
