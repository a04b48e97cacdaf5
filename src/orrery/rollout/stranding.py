"""Who is stranded: no running root that it knows can lead it to the newest revision."""

from collections.abc import Callable, Iterable, Iterator, Sequence
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


class _Offer(NamedTuple):
    """A revision that an official root hands out, with its signer as `signing_half`."""

    places: Bits
    signer: bytes
    revision: World


class Position(NamedTuple):
    """Where nodes stand on a chain.

    Attributes:
        group: the nodes.
        kind: of the nodes.
        revisions: what they were last seen with, and what they may have taken since: the newest,
            those where they have to stop on their way because an answer has no room for all links,
            and those of official roots that lag behind. None if they hold nothing of this chain.
    """

    group: Group
    kind: Kind
    revisions: tuple[World, ...]


def locate(
    chain: Chain,
    groups: Iterable[Group],
    landscape: Landscape,
    atlas: Atlas,
) -> tuple[Position, ...]:
    """Where nodes stand, those left out that wait for a moon.

    Args:
        chain: the chain.
        groups: the nodes.
        landscape: what is known of the roots.
        atlas: places, among them all of the chain.
    """
    positions = []
    offers = tuple(_iter_offers(chain, landscape, atlas))
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

        def known_to(revision: World, kind: Kind = kind) -> Bits:
            return kind.known(atlas.content_of(revision)) & atlas.alive

        revisions = () if held is None else _revisions_of(chain, held, known_to, offers)
        positions.append(Position(group, kind, revisions))
    return tuple(positions)


def judge(
    atlas: Atlas,
    positions: Sequence[Position],
    newest: World | None,
    signer: bytes,
    running: Bits,
) -> tuple[Stranded, ...]:
    """Those who would be stranded if this ran and nothing else.

    Args:
        atlas: the places.
        positions: where the nodes stand.
        newest: the revision that they are to be led to; None for one that is not signed yet.
        signer: the key that signs it, as `signing_half`.
        running: the places that run.
    """
    found = []
    for position in positions:
        why = None if position.revisions else Why.FOREIGN
        for revision in position.revisions:
            known = position.kind.known(atlas.content_of(revision)) & running
            is_led = revision == newest or key_of(revision) == signer or known & atlas.orrery
            if not known:
                why = Why.SILENT
            elif not is_led and why is None:
                why = Why.NO_LINK
        if why is not None:
            found.append(Stranded(position.group, why))
    return tuple(found)


def _revisions_of(
    chain: Chain, held: World, known_to: Callable[[World], Bits], offers: Sequence[_Offer]
) -> tuple[World, ...]:
    """What a node may hold that was last seen with a revision, in the order in which it is found.

    Args:
        chain: the chain.
        held: what it held then.
        known_to: the running places that it knows with a revision.
        offers: what official roots hand out.
    """
    found = [held]
    for revision in found:
        links = chain.links_from(revision.timestamp_ms)
        fit = sum(len(link.encode()) for link in links) <= _ROOM_BYTES
        further = [*(links[-1:] if fit else links)]
        further += [
            offer.revision
            for offer in offers
            if offer.revision.timestamp_ms > revision.timestamp_ms
            and offer.signer == key_of(revision)
            and offer.places & known_to(revision)
        ]
        found += [each for each in dict.fromkeys(further) if each not in found]
    return tuple(found)


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
