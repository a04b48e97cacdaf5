"""What there is on the hosts of `orrery.toml`."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec

from orrery.doctor.snapshot import Hosts
from orrery.errors import OrreryError
from orrery.home import Home, Settings


def look_at_hosts(home: Home, settings: Settings | None) -> Hosts:
    """Look at every host; what is there is not changed.

    Args:
        home: The home.
        settings: What `orrery.toml` says, None where it has mistakes.
    """
    if settings is None or not settings.hosts:
        return Hosts()
    if find_spec("asyncssh") is None and any(host.ssh is not None for host in settings.hosts):
        return Hosts(missing_part="ssh")
    from orrery.fleet import look_at, standing_of  # noqa: PLC0415 - takes a while, and few need it

    try:
        views = asyncio.run(look_at(home, clock_ms=home.clock))
        standings = {view.name: standing_of(home, view) for view in views if view.is_reached}
    except OrreryError as error:
        return Hosts(refusal=str(error))
    return Hosts(views=tuple(views), standings=standings)
