"""`orrery.toml` of an adopted fleet: it says what the Worlds in use say.

Where it cannot, because no setting may say what a careless tool has signed, it leaves that out: the
World in use stays as it is, and the next revision does not have it any more.
"""

from collections.abc import Mapping, Sequence

import tomlkit

from orrery.errors import DecodeError, PlanError
from orrery.home.document import new_text, write_endpoint
from orrery.home.named_endpoint import WantedEndpoint, read_endpoint
from orrery.home.settings import Settings
from orrery.wire.address import Address, format_address
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.world import MAX_ROOTS, World, WorldType
from orrery.worlds.wording import describe_world

DEFAULT_PORT = 9993
_OWN = "orrery"
_OFFICIAL = "zerotier-one"


def world_names(worlds: Sequence[World]) -> tuple[str, ...]:
    """How the commands will call these Worlds."""
    names: list[str] = []
    for world in worlds:
        kind = _kind(world)
        number = sum(_kind(each) == kind for each in worlds[: len(names)]) + 1
        names.append(kind if number == 1 else f"{kind}-{number}")
    return tuple(names)


def adopted_text(
    worlds: Sequence[World],
    own: Identity | None,
    *,
    endpoints: Mapping[Address, Sequence[WantedEndpoint]] | None = None,
    join: Sequence[WantedEndpoint] = (),
) -> str:
    """The settings.

    Args:
        worlds: the Worlds in use; there is one at least.
        own: the identity of the home; every root with another one runs zerotier-one.
        endpoints: where roots are, in place of what the Worlds say of them.
        join: where nodes will reach `own`, to be added to the first World as a root of it.

    Raises:
        PlanError: a World says of its roots what no setting can, and `endpoints` does not help.
    """
    given = endpoints or {}
    blocks: list[str] = []
    tail = ""
    for world, name in zip(worlds, world_names(worlds), strict=True):
        roots = _roots(world, own, given)
        if join and own is not None and not blocks:
            roots.append(_joining(world, own, join, roots))
        if not roots:
            raise PlanError(
                f"{describe_world(world)} lists no root, which no node can be led on from: add one "
                "with --join IP:PORT"
            )
        if not blocks:
            text = new_text(
                name=name,
                kind="moon" if world.type is WorldType.MOON else "planet",
                world_id=world.id,
                root_name="root-1",
                identity=roots[0][0],
                endpoints=roots[0][1],
                listen=_listen(worlds, own, join),
            ).replace(f'software = "{_OWN}"', f'software = "{roots[0][2]}"', 1)
            head, tail = text.split("\n[serve]\n", 1)
            blocks.append(head)
            rest = roots[1:]
        else:
            blocks.append(
                f"[[world]]\nname = {_quote(name)}\nkind = {_quote(_kind(world))}\n"
                f"id = {_quote(f'{world.id:016x}')}\n"
            )
            rest = roots
        start = len(roots) - len(rest) + 1
        blocks += [_root_block(f"root-{number}", *root) for number, root in enumerate(rest, start)]
    text = "\n".join(block.rstrip("\n") + "\n" for block in blocks) + f"\n[serve]\n{tail}"
    try:
        Settings.parse(text)
    except DecodeError as error:
        raise PlanError(
            f"{describe_world(worlds[0])} says of its roots what orrery.toml cannot: {error}"
        ) from None
    return text


_Root = tuple[Identity, tuple[WantedEndpoint, ...], str]


def _roots(
    world: World, own: Identity | None, given: Mapping[Address, Sequence[WantedEndpoint]]
) -> list[_Root]:
    roots: dict[Address, _Root] = {}
    taken: set[WantedEndpoint] = set()
    for root in world.roots:
        address = root.identity.address
        before = roots[address][1] if address in roots else ()
        if address in roots and roots[address][0] != root.identity:
            continue  # nodes know only one of the two, too
        wanted = given.get(address)
        if wanted is None:
            wanted = (
                *before,
                *(each for each in root.endpoints if is_usable(each) and each not in taken),
            )
        wanted = tuple(dict.fromkeys(wanted))
        taken.update(wanted)
        software = _OWN if own is not None and own == root.identity else _OFFICIAL
        roots[address] = (root.identity, wanted, software)
    for address, (_, places, _) in roots.items():
        if not places:
            raise PlanError(
                f"root {format_address(address)} of {describe_world(world)} has no endpoint at "
                "which a node could find it: say where it is, with "
                f"--endpoint {format_address(address)}=IP:PORT"
            )
    return list(roots.values())


def is_usable(endpoint: Endpoint) -> bool:
    """Whether a setting may say this endpoint."""
    if not endpoint.ip:
        return False
    try:
        read_endpoint(write_endpoint(endpoint))
    except DecodeError:
        return False
    return True


def _joining(
    world: World, own: Identity, join: Sequence[WantedEndpoint], roots: Sequence[_Root]
) -> _Root:
    if any(identity.address == own.address for identity, *_ in roots):
        raise PlanError(
            f"{format_address(own.address)} is a root of {describe_world(world)} already, so it "
            "cannot join: leave out --join, or add --beside to join as another root"
        )
    if len(roots) >= MAX_ROOTS:
        raise PlanError(
            f"{describe_world(world)} has {len(roots)} roots, and nodes throw away a World with "
            f"more than {MAX_ROOTS}: adopt without --join, and replace one of them in orrery.toml"
        )
    for place in join:
        for identity, places, _ in roots:
            if place in places:
                raise PlanError(
                    f"{place} is the place of root {format_address(identity.address)} already, "
                    "where only one can answer: give --join another port or address"
                )
    return own, tuple(dict.fromkeys(join)), _OWN


def _root_block(name: str, identity: Identity, places: Sequence[WantedEndpoint], by: str) -> str:
    listed = ", ".join(_quote(write_endpoint(place)) for place in places)
    return (
        f"[[world.root]]\nname = {_quote(name)}\nidentity = {_quote(str(identity.public()))}\n"
        f"endpoints = [{listed}]\nsoftware = {_quote(by)}\n"
    )


def _listen(
    worlds: Sequence[World], own: Identity | None, join: Sequence[WantedEndpoint]
) -> list[Endpoint]:
    """Every address of this machine, at the ports where nodes will look for the own root."""
    ports = [place.port for place in join]
    for world in worlds:
        for root in world.roots:
            if own is not None and root.identity == own:
                ports += [each.port for each in root.endpoints if is_usable(each)]
    return [
        Endpoint(any_address, port)
        for port in dict.fromkeys(ports or [DEFAULT_PORT])
        for any_address in (bytes(4), bytes(16))
    ]


def _kind(world: World) -> str:
    return "moon" if world.type is WorldType.MOON else "planet"


def _quote(text: str) -> str:
    return tomlkit.string(text).as_string()
