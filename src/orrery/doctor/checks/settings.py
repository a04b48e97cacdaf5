"""`orrery.toml`: its mistakes, what it wants and nobody has published, and the home's identity."""

from __future__ import annotations

from collections.abc import Iterator

from orrery.doctor.commands import Commands, quote, quote_name
from orrery.doctor.finding import Finding, note, problem
from orrery.doctor.snapshot import Published, Snapshot
from orrery.home.planning import Planned
from orrery.rollout.places import places_of
from orrery.rollout.plan import Refusal
from orrery.wire.address import format_address


def check_settings(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    """What `orrery.toml` says, beside what is published."""
    for mistake in snapshot.mistakes:
        yield problem("settings", mistake, commands.edit(snapshot.settings_path, mistake))
    for name, has_key in snapshot.unpublished.items():
        make_key = () if has_key else (commands.orrery(f"key new --world {quote_name(name)}"),)
        yield problem(
            "unpublished",
            f"{name!r} of orrery.toml has no revision yet, so no node can have it",
            *make_key,
            commands.orrery(f"publish {quote_name(name)}"),
        )
    for world in snapshot.worlds:
        if not world.is_rolling:
            yield from _wanted(world, snapshot, commands)


def check_identity(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    """The identity of the own root."""
    del commands
    secret = snapshot.path / "identity.secret"
    public = snapshot.path / "identity.public"
    if snapshot.identity is None or snapshot.identity_trouble:
        if snapshot.identity_trouble and not snapshot.disk.has_exposed_secrets:
            yield problem(
                "identity",
                f"{snapshot.identity_trouble}; without it this root cannot be the one that nodes "
                "know",
                f"install -m 600 IDENTITY {quote(secret)}",
            )
    elif snapshot.public_text is None or snapshot.public_text.strip() != str(snapshot.identity):
        wrong = "is missing" if snapshot.public_text is None else "is of another identity"
        yield problem(
            "identity-public",
            f"{public} {wrong}: this root is {format_address(snapshot.identity.address)}",
            f"orrery identity show --public {quote(secret)} > {quote(public)}",
        )


def _wanted(world: Published, snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    planned = world.planned
    if planned is None:
        # What keys have to do with it is told by their modes and owners.
        if world.refusal and not snapshot.disk.has_exposed_secrets:
            yield problem(
                "unresolved" if world.unresolved else "no-plan",
                world.refusal
                if world.unresolved
                else f"what orrery.toml wants of {world.title} cannot be planned: {world.refusal}",
                commands.edit(snapshot.settings_path, world.refusal),
            )
        return
    if moved := list(_moved_names(world, planned)):
        yield problem(
            "name-moved",
            f"{'; '.join(moved)}, and nodes of {world.title} are not told so",
            commands.orrery(f"apply{world.argument}"),
        )
        return
    answer = planned.answer
    if isinstance(answer, Refusal):
        if not answer.stranded:
            yield problem(
                "not-safe",
                f"what orrery.toml wants of {world.title} is not safe: "
                f"{'; '.join(answer.sentences)}; `orrery plan` tells what can be done",
                commands.edit(snapshot.settings_path),
            )
    elif answer.steps:
        changes = "; ".join(change for step in answer.steps for change in step.changes)
        yield note(
            "wanted",
            f"orrery.toml wants something else of {world.title} than is published: {changes}",
            # A server carries it out.
            *([] if snapshot.is_served or snapshot.sharing else [commands.orrery("serve")]),
            commands.orrery(f"apply{world.argument}"),
        )


def _moved_names(world: Published, planned: Planned) -> Iterator[str]:
    published = {
        (place.identity.address, place.endpoint) for place in places_of(world.newest.roots)
    }
    for resolved in planned.roots:
        address = resolved.root.identity.address
        for resolution in resolved.resolutions:
            new = [each for each in resolution.addresses if (address, each) not in published]
            if new:
                yield f"{resolution.endpoint} stands for {', '.join(map(str, new))} now"
