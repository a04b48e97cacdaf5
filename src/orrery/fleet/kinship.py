"""Whether what a host holds is of a chain of ours, and what speaks against replacing it."""

from __future__ import annotations

from collections.abc import Iterator

from orrery.errors import UpdateRefused
from orrery.fleet.host_view import HostView
from orrery.wire.signature import fingerprint
from orrery.wire.world import World, WorldType
from orrery.worlds.acceptance import check_update
from orrery.worlds.chain import Chain
from orrery.worlds.earth import EARTH
from orrery.worlds.wording import describe_type


def find_objections(
    chain: Chain, file: World | None, running_ms: int | None, view: HostView, *, may_replace: bool
) -> Iterator[str]:
    """Why what is there must not be replaced.

    Args:
        chain: Our revisions.
        file: What the file holds.
        running_ms: Timestamp of this World that the service holds.
        view: What was found on the host.
        may_replace: Whether a World that is none of ours may be.
    """
    newest, what = chain.newest, describe_type(chain.type)
    is_ours = file is not None and is_of_chain(chain, file)
    is_newer = file is not None and is_ours and file.timestamp_ms > newest.timestamp_ms
    # A file that is none of ours tells that the service, with its timestamp, holds none of ours.
    is_told = file is not None and not is_ours and file.timestamp_ms == running_ms
    if is_newer or ((running_ms or 0) > newest.timestamp_ms and not is_told):
        held_ms = max(running_ms or 0, file.timestamp_ms if file is not None and is_newer else 0)
        yield (
            f"it holds revision {held_ms} of {what} {newest.id:016x}, newer than all that this "
            f"home has (its newest is {newest.timestamp_ms}): this home is behind; deploy from the "
            "one that published it, or run `orrery restore --finish` with its file"
        )
    elif may_replace:
        return
    elif file is not None and not is_ours:
        yield f"it holds {_name_foreign(chain, file)}; --replace puts ours in its place"
    elif (
        file is None
        and view.running is not None
        and chain.type is WorldType.PLANET
        and running_ms is None
    ):
        yield (
            f"it runs with planet {view.running.planet_id:016x}, which is none of this home; "
            "--replace puts ours in its place"
        )


def is_of_chain(chain: Chain, world: World) -> bool:
    """Whether a World is a revision of a chain, or leads to it, or follows it."""
    if (world.type, world.id) != (chain.type, chain.world_id):
        return False
    revision = chain.revision_at(world.timestamp_ms)
    if revision is not None:
        return revision == world
    if world.timestamp_ms > chain.newest.timestamp_ms:
        return _leads(chain.newest, world)
    links = chain.iter_links_for(world.timestamp_ms, world.updates_must_be_signed_by)
    return next(links, None) is not None


def _leads(current: World, candidate: World) -> bool:
    try:
        check_update(current, candidate)
    except UpdateRefused:
        return False
    return True


def _name_foreign(chain: Chain, file: World) -> str:
    if file.type is not chain.type:
        return f"a {describe_type(file.type)} in the file of a {describe_type(chain.type)}"
    if file.id == EARTH.id != chain.world_id:
        return (
            "the official planet, as a node does that never had another one or whose file was "
            "missing or damaged at its start"
        )
    what = describe_type(file.type)
    if file.id != chain.world_id:
        return f"{what} {file.id:016x}, and not {chain.world_id:016x}"
    return (
        f"another {what} with the id {file.id:016x}, which wants its updates signed by "
        f"{fingerprint(file.updates_must_be_signed_by)}: no revision of this home that is newer is"
    )
