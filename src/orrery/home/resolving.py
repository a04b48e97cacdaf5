"""What the names in `orrery.toml` stand for: looked up each time a revision is made.

Only the DNS is asked, for A and AAAA, and neither /etc/hosts nor a search list, so that the answer
is the same on every machine. All addresses are taken, in the one order that Worlds have: as long as
the DNS says the same, in whatever order, nothing changes. A question that stays open (a timeout,
a server that fails) is an error and never an empty answer: an address that was left out because a
packet was lost would be taken from every node.

An answer of the DNS is not signed. Somebody who forges one can send nodes to a place where no root
is, but not to a root of his own: nodes know roots by their identities.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, TypeAlias

from orrery.errors import ResolveError, ResolveFailure
from orrery.home.named_endpoint import NamedEndpoint
from orrery.home.positions import Location
from orrery.home.settings import DnsSettings, RootSettings, Settings, WorldSettings
from orrery.spans import format_span
from orrery.wire.endpoint import Endpoint, Scope
from orrery.wire.world import MAX_ENDPOINTS, Root, World
from orrery.worlds.ordering import sort_endpoints

if TYPE_CHECKING:
    import dns.resolver

Resolver: TypeAlias = Callable[[str], Sequence[bytes]]
"""Tells the IP addresses of a name, 4 or 16 bytes each, or raises ResolveError.

A thread of its own calls it for each name.
"""

_ANOTHER_SERVER = 'name another DNS server: servers = ["9.9.9.9"] below [dns]'
_SHOWN = 3
_AT_ONCE = 8
_TRIES = 4
_NAT64 = IPv6Network("64:ff9b::/96")
"""Addresses that a DNS64 makes up for the machines of its own network."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a name stands for.

    Attributes:
        endpoint: The name, with its port.
        addresses: All of its endpoints, as Worlds order them.
    """

    endpoint: NamedEndpoint
    addresses: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class ResolvedRoot:
    """A root as a World is to list it.

    Attributes:
        name: How `orrery.toml` calls it.
        root: The root; its endpoints as Worlds order them, each once.
        resolutions: What its names stood for.
    """

    name: str
    root: Root
    resolutions: tuple[Resolution, ...]


class DnsResolver:
    """Asks DNS servers. To be made anew for each look at the DNS.

    Args:
        settings: Who is asked, and for how long.

    Raises:
        ResolveError: There is nobody to ask.
    """

    def __init__(self, settings: DnsSettings) -> None:
        self._timeout_ms = settings.timeout_ms
        self._resolver = _new_resolver(settings)
        self._asked = _listed(map(str, settings.servers or self._resolver.nameservers))

    def __call__(self, name: str) -> tuple[bytes, ...]:
        """The addresses of a name, sorted, each once; none when it has none.

        Raises:
            ResolveError: The name does not exist, or nobody could tell.
        """
        end_s = time.monotonic() + self._timeout_ms / 1000
        found = {
            ip_address(text).packed
            for kind in ("A", "AAAA")
            for text in self._ask(name, kind, max(end_s - time.monotonic(), 0))
        }
        return tuple(sorted(found, key=lambda ip: (len(ip), ip)))

    def _ask(self, name: str, kind: str, lifetime_s: float) -> list[str]:
        from dns.exception import DNSException  # noqa: PLC0415 - takes a while, and few need it
        from dns.name import from_text  # noqa: PLC0415
        from dns.resolver import NXDOMAIN, LifetimeTimeout  # noqa: PLC0415

        try:
            answer = self._resolver.resolve(
                from_text(f"{name}."),
                kind,
                lifetime=lifetime_s,
                raise_on_no_answer=False,
                search=False,
            )
        except NXDOMAIN:
            if kind == "AAAA":  # some servers say so of a name that has an A record
                return []
            raise ResolveError(
                f"{name} does not exist in the DNS: check how it is written, or wait until a new "
                "name is known everywhere",
                ResolveFailure.NO_SUCH_NAME,
            ) from None
        except LifetimeTimeout:
            raise ResolveError(
                f"nobody told within {format_span(self._timeout_ms)} what {name} stands for (asked "
                f"{self._asked}): check the network of this machine, or {_ANOTHER_SERVER}",
                ResolveFailure.TIMEOUT,
            ) from None
        except DNSException as error:
            raise ResolveError(
                f"the DNS cannot tell what {name} stands for ({_why(error)}; asked {self._asked}): "
                f"try again later, or {_ANOTHER_SERVER}",
                ResolveFailure.SERVER_FAILED,
            ) from None
        return [str(record) for record in answer.rrset or ()]


def _new_resolver(settings: DnsSettings) -> "dns.resolver.Resolver":
    from dns.exception import DNSException  # noqa: PLC0415
    from dns.nameserver import Do53Nameserver  # noqa: PLC0415
    from dns.resolver import Resolver as Asking  # noqa: PLC0415

    try:
        asking = Asking(configure=not settings.servers)
        if settings.servers:
            asking.nameservers = [Do53Nameserver(each.host, each.port) for each in settings.servers]
        asking.timeout = settings.timeout_ms / 1000 / _TRIES
    except (DNSException, ValueError, OSError) as error:
        raise ResolveError(
            f"this machine has no DNS server that could be asked ({error}): mend /etc/resolv.conf, "
            f"or {_ANOTHER_SERVER}",
            ResolveFailure.NO_SERVER,
        ) from None
    return asking


def _why(error: Exception) -> str:
    """In a few words, what each server that was asked did wrong."""
    from dns.message import ChainTooLong  # noqa: PLC0415
    from dns.resolver import NoNameservers  # noqa: PLC0415

    if not isinstance(error, NoNameservers):
        return type(error).__name__
    causes = [cause for _, _, _, cause, _ in error.kwargs["errors"]]
    if any(isinstance(cause, ChainTooLong) for cause in causes):
        return "its aliases, CNAME records, lead in a circle"
    return _listed(dict.fromkeys(str(cause) or type(cause).__name__ for cause in causes))


def resolve(
    settings: Settings,
    world: WorldSettings,
    resolver: Resolver | None = None,
    *,
    published: World | None = None,
) -> tuple[ResolvedRoot, ...]:
    """The roots of a World with IP addresses in place of names.

    Args:
        settings: All of `orrery.toml`.
        world: The World in it.
        resolver: Asked for each name once, several at a time; the DNS when left out.
        published: The World's newest revision: a root that is public there does not become
            private because a name says so.

    Returns:
        The roots in the order of `orrery.toml`.

    Raises:
        ResolveError: A name stands for no address, for one that is no place for a root of this
            World, or for too many. Every such name is told, with file, line and root.
    """
    named = list(_named(settings, world))
    answers: dict[str, Sequence[bytes]] = {}
    if named:
        answers = _answers(settings, named, resolver)
    roots = tuple(_resolved(root, answers) for root in world.roots)
    old = () if published is None else published.roots
    _refuse(settings, _misplaced(named, roots, old))
    return roots


@dataclass(frozen=True, slots=True)
class _Named:
    """Where an endpoint with a name stands."""

    place: Location
    root: RootSettings
    endpoint: NamedEndpoint


@dataclass(frozen=True, slots=True)
class _Mistake:
    named: _Named
    sentence: str
    reason: ResolveFailure


def _named(settings: Settings, world: WorldSettings) -> Iterator[_Named]:
    here = ("world", settings.worlds.index(world))
    for number, root in enumerate(world.roots):
        for position, endpoint in enumerate(root.endpoints):
            if isinstance(endpoint, NamedEndpoint):
                yield _Named((*here, "root", number, "endpoints", position), root, endpoint)


def _answers(
    settings: Settings, named: Sequence[_Named], resolver: Resolver | None
) -> dict[str, Sequence[bytes]]:
    try:
        ask = DnsResolver(settings.dns) if resolver is None else resolver
    except ResolveError as error:
        _refuse(settings, [_Mistake(named[0], str(error), error.reason)])
        raise
    names = dict.fromkeys(each.endpoint.name for each in named)
    with ThreadPoolExecutor(_AT_ONCE, "dns") as pool:
        asked = {name: pool.submit(ask, name) for name in names}
    answers: dict[str, Sequence[bytes]] = {}
    mistakes = []
    for each in named:
        name = each.endpoint.name
        try:
            answers[name] = asked[name].result()
        except ResolveError as error:
            mistakes.append(_Mistake(each, str(error), error.reason))
        else:
            if not answers[name]:
                sentence = (
                    f"{name} has no IP address in the DNS (no A and no AAAA record): add one where "
                    "its domain is kept"
                )
                mistakes.append(_Mistake(each, sentence, ResolveFailure.NO_ADDRESS))
    _refuse(settings, mistakes)
    return answers


def _resolved(root: RootSettings, answers: Mapping[str, Sequence[bytes]]) -> ResolvedRoot:
    resolutions = tuple(
        Resolution(
            endpoint,
            sort_endpoints({Endpoint(ip, endpoint.port) for ip in answers[endpoint.name]}),
        )
        for endpoint in root.endpoints
        if isinstance(endpoint, NamedEndpoint)
    )
    endpoints = {endpoint for endpoint in root.endpoints if isinstance(endpoint, Endpoint)}
    endpoints.update(address for each in resolutions for address in each.addresses)
    return ResolvedRoot(
        root.name, Root(root.identity.public(), sort_endpoints(endpoints)), resolutions
    )


def _misplaced(
    named: Sequence[_Named], roots: Sequence[ResolvedRoot], published: Sequence[Root]
) -> Iterator[_Mistake]:
    """What is wrong with the addresses that names stand for."""
    by_name = {root.name: root for root in roots}
    listed = (*(root.root for root in roots), *published)
    has_public = any(_is_public(place) for root in listed for place in root.endpoints)
    for each in named:
        root = by_name[each.root.name]
        (found,) = (one for one in root.resolutions if one.endpoint == each.endpoint)
        owners = {
            place: other.name
            for other in roots
            if other is not root
            for place in other.root.endpoints
        }
        if len(found.addresses) > MAX_ENDPOINTS or len(root.root.endpoints) > MAX_ENDPOINTS:
            yield _Mistake(each, _too_many(found, root), ResolveFailure.TOO_MANY)
        told: set[ResolveFailure] = set()
        for address in found.addresses:
            if (wrong := _wrong(address, owners, has_public=has_public)) is not None:
                sentence, reason = wrong
                if reason not in told:
                    told.add(reason)
                    what = f"{each.endpoint.name} stands for {address.host}"
                    yield _Mistake(each, f"{what}, {sentence}", reason)


def _wrong(
    address: Endpoint, owners: Mapping[Endpoint, str], *, has_public: bool
) -> tuple[str, ResolveFailure] | None:
    if address.scope in (Scope.NONE, Scope.MULTICAST):
        return (
            "which belongs to no machine: mend it where its domain is kept",
            ResolveFailure.UNUSABLE,
        )
    if address in owners:
        return (
            f"and root {owners[address]!r} is at {address} too: give every root places of its own",
            ResolveFailure.SHARED,
        )
    if has_public and not _is_public(address):
        return (
            "which only machines near it reach, and this World has public endpoints: if your DNS "
            f"tells other things inside than outside, {_ANOTHER_SERVER}; if it is meant, write the "
            "address in place of the name",
            ResolveFailure.PRIVATE,
        )
    return None


def _too_many(found: Resolution, root: ResolvedRoot) -> str:
    count, all_of_it = len(found.addresses), len(root.root.endpoints)
    rest = "" if count == all_of_it else f", and this root would have {all_of_it} endpoints"
    return (
        f"{found.endpoint.name} stands for {count} address{'es' * (count > 1)}{rest}: at most "
        f"{MAX_ENDPOINTS}, or nodes throw the whole World away"
    )


def _is_public(endpoint: Endpoint) -> bool:
    """Whether machines anywhere may reach it."""
    if not endpoint.ip:
        return False
    address = ip_address(endpoint.ip)
    if isinstance(address, IPv6Address) and (address.ipv4_mapped or address in _NAT64):
        return False
    return address.is_global


def _refuse(settings: Settings, mistakes: Iterable[_Mistake]) -> None:
    told = list(mistakes)
    if told:
        raise ResolveError(
            "\n".join(
                f"{settings.place(*each.named.place)}: root {each.named.root.name!r}: "
                f"{each.sentence}"
                for each in told
            ),
            told[0].reason,
        )


def _listed(texts: Iterable[str]) -> str:
    shown = list(texts)
    return ", ".join(shown[:_SHOWN]) + (" …" if len(shown) > _SHOWN else "")
