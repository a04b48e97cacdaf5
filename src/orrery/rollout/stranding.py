"""Who is stranded: no running root that it knows can lead it to the newest revision."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from orrery.rollout.atlas import Atlas, Bits
from orrery.rollout.fleet import Group, Stranded, Why
from orrery.rollout.landscape import Landscape
from orrery.rollout.rules import Kind, signing_half
from orrery.wire.identity import PUBLIC_IDENTITY_BYTES
from orrery.wire.verbs import OK_HELLO_WORLDS_BYTES
from orrery.wire.world import MAX_ENDPOINTS, MAX_ROOTS, World, WorldType
from orrery.worlds.chain import Chain

_LARGEST_WORLD_BYTES = 178 + MAX_ROOTS * (PUBLIC_IDENTITY_BYTES + 1 + MAX_ENDPOINTS * 19)
_ROOM_BYTES = OK_HELLO_WORLDS_BYTES - _LARGEST_WORLD_BYTES
"""What the links to the newest revision may take where another one is to follow."""


class Held(NamedTuple):
    """What matters of a revision in the hands of a node.

    Attributes:
        content: the places that it names.
        key: the key that it names, as `signing_half`.
        is_newest: whether it is the newest one.
    """

    content: Bits
    key: bytes
    is_newest: bool


class Position(NamedTuple):
    """Where nodes stand on a chain.

    Attributes:
        group: the nodes.
        kind: of the nodes.
        held: what they were last seen with, and what they may have taken since: the newest, those
            where they have to stop on their way because an answer has no room for all links, and
            those of official roots that lag behind. None if they hold nothing of this chain.
    """

    group: Group
    kind: Kind
    held: tuple[Held, ...]


def locate(
    chain: Chain, groups: Iterable[Group], landscape: Landscape, atlas: Atlas
) -> tuple[Position, ...]:
    """Where nodes stand, those left out that wait for a moon.

    Args:
        chain: the chain.
        groups: the nodes.
        landscape: what is known of the roots.
        atlas: places, among them all of the chain.
    """
    positions = []
    paths = _Paths(chain, landscape, atlas)
    for group in groups:
        holds_ms, reach, beside = group.standing
        if holds_ms == 0 and chain.type == WorldType.MOON:
            continue
        held = chain.revision_at(holds_ms)
        within = atlas.within(reach)
        left = 0
        if held is not None and not atlas.content_of(held) & within & atlas.alive:
            for world_id in beside:
                left |= atlas.bits_of(landscape.beside.get(world_id, ())) & within & atlas.alive
        kind = Kind(within, left)
        may_hold = () if held is None else paths.iter_from(held, kind)
        positions.append(Position(group, kind, tuple(dict.fromkeys(may_hold))))
    return tuple(positions)


def judge(
    atlas: Atlas, positions: Iterable[Position], signer: bytes, running: Bits, *, is_signed: bool
) -> tuple[Stranded, ...]:
    """Those who would be stranded if this ran and nothing else.

    Args:
        atlas: the places.
        positions: where the nodes stand.
        signer: the key that signs what they are to be led to, as `signing_half`.
        running: the places that run.
        is_signed: whether that is the newest revision of the chain, else one that is to come.
    """
    found = []
    for group, kind, may_hold in positions:
        why = None if may_hold else Why.FOREIGN
        for content, key, is_newest in may_hold:
            known = kind.known(content) & running
            is_led = (is_newest and is_signed) or key == signer or known & atlas.orrery
            if not known:
                why = Why.SILENT
            elif not is_led and why is None:
                why = Why.NO_LINK
        if why is not None:
            found.append(Stranded(group, why))
    return tuple(found)


class _Offer(NamedTuple):
    """A revision that an official root hands out, with its signer as `signing_half`."""

    places: Bits
    signer: bytes
    revision: World


class _Paths:
    """What nodes may take from where they are."""

    def __init__(self, chain: Chain, landscape: Landscape, atlas: Atlas) -> None:
        self._chain = chain
        self._atlas = atlas
        self._offers = tuple(_iter_offers(chain, landscape, atlas))
        self._sizes: dict[int, int] = {}
        self._stops: dict[int, tuple[tuple[World, Held], ...]] = {}

    def iter_from(self, held: World, kind: Kind) -> Iterator[Held]:
        """What a node may hold that was last seen with a revision."""
        waiting, seen = [held], {held.timestamp_ms}
        for revision in waiting:
            for stop, each in self._stops_from(revision):
                yield each
                heard = kind.known(each.content) & self._atlas.alive
                for offer in self._offers:
                    further = offer.revision
                    if (
                        further.timestamp_ms > stop.timestamp_ms
                        and further.timestamp_ms not in seen
                        and offer.signer == each.key
                        and offer.places & heard
                    ):
                        seen.add(further.timestamp_ms)
                        waiting.append(further)

    def _stops_from(self, revision: World) -> tuple[tuple[World, Held], ...]:
        """A revision, and where an Orrery root leads from there."""
        found = self._stops.get(revision.timestamp_ms)
        if found is None:
            links = self._chain.links_from(revision.timestamp_ms)
            fit = sum(map(self._size_of, links)) <= _ROOM_BYTES
            stops = (revision, *(links[-1:] if fit else links))
            found = tuple((stop, self._held(stop)) for stop in stops)
            self._stops[revision.timestamp_ms] = found
        return found

    def _held(self, revision: World) -> Held:
        is_newest = revision.timestamp_ms == self._chain.newest.timestamp_ms
        return Held(self._atlas.content_of(revision), key_of(revision), is_newest)

    def _size_of(self, link: World) -> int:
        size = self._sizes.get(link.timestamp_ms)
        if size is None:
            size = self._sizes[link.timestamp_ms] = len(link.encode())
        return size


def _iter_offers(chain: Chain, landscape: Landscape, atlas: Atlas) -> Iterator[_Offer]:
    """What official roots hand out that lag behind."""
    signers = {
        revision.timestamp_ms: key_of(before) for before, revision in pairwise(chain.revisions)
    }
    for address, holds_ms in landscape.official.items():
        if holds_ms in signers and (revision := chain.revision_at(holds_ms)) is not None:
            places = atlas.bits(
                place for place in atlas.places if place.identity.address == address
            )
            yield _Offer(places, signers[holds_ms], revision)


def signer_of(chain: Chain) -> bytes:
    """The key that signed the newest revision, as `signing_half`."""
    before = chain.revisions[-2] if len(chain) > 1 else chain.newest
    return key_of(before)


def key_of(world: World) -> bytes:
    """The key that a revision names, as `signing_half`."""
    return signing_half(world.updates_must_be_signed_by)
