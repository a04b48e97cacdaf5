"""A zerotier-one asked on its own machine: what it holds, whom it knows, and its moons.

    api = LocalApi(HttpFetch(Path("/var/lib/zerotier-one")))
    status = await api.status()
    print(status.address, status.planet_timestamp_ms, status.online)

`orrery.fleet.http_fetch` asks on this machine, `orrery.fleet.command_fetch` over a shell. Facts:
ZeroTierOne service/OneService.cpp and one.cpp 1.14.1.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, Protocol, TypeVar

from orrery.errors import DecodeError, HostError, UsageError
from orrery.fleet.node_models import Moon, MoonRoot, Peer, PeerPath, Status
from orrery.wire.address import Address, format_address, is_reserved

__all__ = [
    "Answer",
    "Fetch",
    "LocalApi",
    "Method",
    "Moon",
    "MoonRoot",
    "Peer",
    "PeerPath",
    "Status",
]

Method = Literal["GET", "POST", "DELETE"]

_T = TypeVar("_T")
_MOST_SHORT_ID = 2**40 - 1


class Answer(NamedTuple):
    """What came back.

    Attributes:
        status: The status of HTTP.
        body: What it says.
    """

    status: int
    body: bytes


class Fetch(Protocol):
    """Brings a request to a zerotier-one and its answer back.

    Attributes:
        where: What to call the node in an error: "this machine", "root@203.0.113.7".
    """

    where: str

    async def __call__(
        self, method: Method, path: str, body: Mapping[str, str] | None = None
    ) -> Answer:
        """Ask.

        Args:
            method: GET for anything; POST and DELETE for `/moon/` and 10 hex digits.
            path: From / on.
            body: What to send along, as JSON.

        Raises:
            HostError: There is no answer, with a sentence that says why.
        """
        ...


class LocalApi:
    """The local API of one zerotier-one.

    Args:
        fetch: How to reach it.
    """

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    @property
    def where(self) -> str:
        """What to call the node in an error."""
        return self._fetch.where

    async def status(self) -> Status:
        """The node itself.

        Raises:
            HostError: It cannot be asked.
        """
        return self._understood(Status.parse, await self._ask("GET", "/status"))

    async def peers(self) -> tuple[Peer, ...]:
        """The nodes that it knows, its roots among them.

        Raises:
            HostError: It cannot be asked.
        """
        return self._understood(Peer.parse_list, await self._ask("GET", "/peer"))

    async def peer(self, address: Address) -> Peer | None:
        """One of the nodes that it knows; None when it does not know it.

        Raises:
            HostError: It cannot be asked.
        """
        body = await self._ask("GET", f"/peer/{format_address(address)}")
        return None if _is_nothing(body) else self._understood(Peer.parse, body)

    async def moons(self) -> tuple[Moon, ...]:
        """The moons that it holds; those that it only waits for are not told.

        Raises:
            HostError: It cannot be asked.
        """
        return self._understood(Moon.parse_list, await self._ask("GET", "/moon"))

    async def moon(self, moon_id: int) -> Moon | None:
        """A moon; None when it does not hold it, also while it waits for it.

        Raises:
            HostError: It cannot be asked.
        """
        # Its path has 10 digits, which not every id fits into.
        return next((moon for moon in await self.moons() if moon.id == moon_id), None)

    async def orbit(self, moon_id: int, seed: Address) -> None:
        """Let it want a moon; what it holds already stays as it is.

        Args:
            moon_id: At most 40 bits.
            seed: The address of a root of this moon, which it asks for it.

        Raises:
            UsageError: The id is too long for this way, or the seed is no node.
            HostError: It cannot be asked.
        """
        if not seed or is_reserved(seed):
            raise UsageError(
                f"{format_address(seed)} is a reserved address, and no root of moon {moon_id:016x}"
            )
        path = _moon_path(moon_id, "orbited")
        await self._ask("POST", path, {"seed": format_address(seed)})

    async def deorbit(self, moon_id: int) -> None:
        """Let it forget a moon, and its file; one that it does not have is no error.

        Args:
            moon_id: At most 40 bits.

        Raises:
            UsageError: The id is too long for this way.
            HostError: It cannot be asked.
        """
        await self._ask("DELETE", _moon_path(moon_id, "left"))

    async def _ask(self, method: Method, path: str, body: Mapping[str, str] | None = None) -> bytes:
        answer = await self._fetch(method, path, body)
        match answer.status:
            case 200:
                return answer.body
            case 401:
                raise HostError(
                    f"the zerotier-one on {self.where} refuses the token of this home: another "
                    "service answers there, or authtoken.secret was changed after its start; "
                    "check 'home', or restart it"
                )
            case 404:
                raise HostError(
                    f"the zerotier-one on {self.where} does not know {path}: it is too old, or "
                    "what answers there is something else"
                )
            case status:
                raise HostError(
                    f"the zerotier-one on {self.where} answers {path} with status {status}: see "
                    "what its log says"
                )

    def _understood(self, read: Callable[[bytes], _T], body: bytes) -> _T:
        try:
            return read(body)
        except DecodeError as error:
            raise HostError(f"{self.where}: {error}") from None


def _moon_path(moon_id: int, what: str) -> str:
    if not 0 < moon_id <= _MOST_SHORT_ID:
        raise UsageError(
            f"moon {moon_id:016x} cannot be {what} by its id, which has more than 10 digits: its "
            "file belongs into moons.d, or out of it, and the node is restarted"
        )
    return f"/moon/{moon_id:010x}"


def _is_nothing(body: bytes) -> bool:
    return body.strip() == b"{}"
