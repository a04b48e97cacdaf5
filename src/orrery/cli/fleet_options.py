"""What `forecast` and `rehearse` have in common: how a fleet is described on the command line."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from orrery.home import Home
    from orrery.lab.churn import Churn, Sighted

_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,4})?) ?%")
_TIME_OF_DAY = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_MINUTE_MS = 60_000

OfflineOption = Annotated[
    str | None, typer.Option(metavar="SHARE", help="Offline at any moment. Default: 10%.")
]
SessionOption = Annotated[
    str, typer.Option(metavar="SPAN", help="Mean time online of those who come and go.")
]
AlwaysOnOption = Annotated[
    str | None, typer.Option(metavar="SHARE", help="Never offline. Default: 0%.")
]
DailyOption = Annotated[
    str | None,
    typer.Option(
        metavar="HH:MM-HH:MM", help="Nodes are online in these hours, in place of --offline."
    ),
]
DaysUsedOption = Annotated[str, typer.Option(metavar="SHARE", help="With --daily: of the days.")]
BeginOption = Annotated[
    str, typer.Option(metavar="HH:MM", help="With --daily: when the rollout begins.")
]
LossOption = Annotated[str, typer.Option(metavar="SHARE", help="Of packets, each way.")]
RttOption = Annotated[str, typer.Option(metavar="MS-MS", help="Shortest and longest round trip.")]


def check_installed(what: str) -> None:
    """Make sure that the extra packages are there.

    Raises:
        UsageError: they are not.
    """
    from orrery.errors import UsageError

    try:
        import numpy  # noqa: F401
    except ImportError:
        raise UsageError(
            f"a {what} needs a part that is not installed; run: pip install 'zt-orrery[lab]'"
        ) from None


def sighted_churn(home: Home, roots: int, horizon_ms: float, session: str) -> Sighted:
    """The coming and going that a home has seen.

    Args:
        home: the home.
        roots: how many the World has.
        horizon_ms: nodes seen in it count.
        session: mean time online where the store does not tell.

    Raises:
        UsageError: no node was seen.
    """
    from orrery.lab.churn import Sighted
    from orrery.lab.turns import WHOIS_MS
    from orrery.vl1.root import RootLimits

    # With several roots, a node is seen often by the one that it asks by WHOIS, else seldom.
    every_ms = RootLimits().report_ms + WHOIS_MS / 2 if roots == 1 else None
    return Sighted.of(home.store.presence(), horizon_ms, read_span_ms(session), every_ms)


def choose_churn(
    seen: Churn | None,
    *,
    offline: str | None,
    session: str,
    always_on: str | None,
    daily: str | None,
    days_used: str,
    begin: str,
) -> Churn:
    """How the nodes come and go: as the options say, else as they were seen."""
    from orrery.errors import UsageError
    from orrery.lab.churn import Daily, Sessions

    stays = 0.0 if always_on is None else read_share(always_on, "--always-on")
    if daily is not None:
        if offline is not None:
            raise UsageError("--daily says who is offline when: leave --offline out")
        first, dash, last = daily.partition("-")
        if not dash:
            raise UsageError(f"{daily!r} are no hours of a day: write 08:00-18:00")
        return Daily(
            from_ms=_time_of_day_ms(first),
            until_ms=_time_of_day_ms(last),
            begins_ms=_time_of_day_ms(begin),
            used=read_share(days_used, "--days-used"),
            always_on=stays,
        )
    if seen is not None and offline is None and always_on is None:
        return seen
    away = 0.1 if offline is None else read_share(offline, "--offline")
    return Sessions(offline=away, session_ms=read_span_ms(session), always_on=stays)


def read_share(text: str, option: str) -> float:
    """A percentage as a fraction."""
    from orrery.errors import UsageError

    found = _PERCENT.fullmatch(text.strip())
    if found is None or float(found[1]) > 100:
        raise UsageError(f"{option}: {text[:40]!r} is not a share: write 0% to 100%, such as 2.5%")
    return float(found[1]) / 100


def read_span_ms(text: str) -> float:
    """A span of time."""
    from orrery.spans import parse_span_ms

    return float(parse_span_ms(text))


def _time_of_day_ms(text: str) -> float:
    from orrery.errors import UsageError

    found = _TIME_OF_DAY.fullmatch(text.strip())
    if found is None or int(found[1]) > 24 or int(found[2]) > 59:
        raise UsageError(f"{text[:40]!r} is no time of the day: write 08:00")
    return float((int(found[1]) * 60 + int(found[2])) * _MINUTE_MS)


def read_rtt_ms(text: str) -> tuple[float, float]:
    """The shortest and the longest round trip."""
    from orrery.errors import UsageError

    first, dash, last = text.partition("-")
    try:
        return float(first), float(last if dash else first)
    except ValueError:
        raise UsageError(f"{text[:40]!r} are no round trips: write 20-120, or 80") from None
