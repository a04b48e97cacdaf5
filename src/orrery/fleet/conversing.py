"""The nodes of hosts asked over their local API: whom they know, and moons they are to have or not.

A moon is orbited and left without a restart, and without a file from here: a node that is told to
orbit one asks the root that it was told of, and takes what that hands it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from orrery.errors import OrreryError, UsageError
from orrery.fleet.campaign import choose_hosts
from orrery.fleet.fetching import api_of
from orrery.fleet.local_api import LocalApi
from orrery.fleet.node_models import Moon
from orrery.fleet.reaching import open_shell
from orrery.home import Home
from orrery.wire.address import Address

_AT_ONCE = 16
_POLL_S = 0.5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """What the node of a host answered.

    Attributes:
        host: The host's name.
        answer: What it said; None where it could not be asked.
        error: Why it could not, "" else.
    """

    host: str
    answer: T | None
    error: str = ""


async def ask_hosts(
    home: Home, names: Sequence[str] | None, ask: Callable[[LocalApi], Awaitable[T]]
) -> list[Reply[T]]:
    """Ask the nodes of hosts, many at once.

    Args:
        home: The home.
        names: Which hosts, all of them when left out.
        ask: What is asked of each.

    Returns:
        Their answers, in the order of `orrery.toml`.

    Raises:
        UsageError: There is no such host, or none at all; or the question makes no sense.
        DecodeError: `orrery.toml` has mistakes.
    """
    gate = asyncio.Semaphore(_AT_ONCE)
    hosts = choose_hosts(home.settings(), names)

    async def ask_one(number: int) -> Reply[T]:
        host = hosts[number]
        async with gate:
            try:
                async with open_shell(host, home.path) as shell:
                    return Reply(host.name, await ask(api_of(host, shell)))
            except UsageError:
                raise
            except OrreryError as error:
                return Reply(host.name, None, str(error))

    return list(await asyncio.gather(*map(ask_one, range(len(hosts)))))


async def orbit(
    api: LocalApi, moon_id: int, seeds: Sequence[Address], patience_s: float
) -> Moon | None:
    """Let a node orbit a moon, and wait until it holds it.

    Args:
        api: The node.
        moon_id: The moon, at most 40 bits.
        seeds: Roots of the moon; the node is told of the first that it is not itself.
        patience_s: How long it is waited for.

    Returns:
        What it holds; None when no root of the moon has answered it in this time: it goes on
        asking, and takes the moon when one does.

    Raises:
        UsageError: The id is too long for this way, or there is no other root.
        HostError: It cannot be asked.
    """
    if (held := await api.moon(moon_id)) is not None:
        return held
    node = (await api.status()).address
    seed = next((seed for seed in seeds if seed != node), None)
    if seed is None:
        raise UsageError(
            f"the node on {api.where} is the only root of moon {moon_id:016x}, and gets it as a "
            "file: write it into 'worlds' of its [[host]], and run `orrery deploy`"
        )
    await api.orbit(moon_id, seed)
    until = asyncio.get_running_loop().time() + patience_s
    while (held := await api.moon(moon_id)) is None:
        if asyncio.get_running_loop().time() > until:
            return None
        await asyncio.sleep(_POLL_S)
    return held


async def leave(api: LocalApi, moon_id: int) -> bool:
    """Let a node forget a moon, and its file.

    Returns:
        Whether it had it.

    Raises:
        UsageError: The id is too long for this way.
        HostError: It cannot be asked.
    """
    had_it = await api.moon(moon_id) is not None
    await api.deorbit(moon_id)
    return had_it
