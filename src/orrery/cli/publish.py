"""`orrery publish`: sign what orrery.toml says as the next revision."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from typing import TYPE_CHECKING, Annotated

import typer

from orrery.cli.homes import (
    HERE,
    HomeOption,
    JsonOption,
    PassphraseFileOption,
    WorldArgument,
    choose_world,
    home_option,
    passphrase_provider,
    tell_repairs,
)

if TYPE_CHECKING:
    from orrery.cli.output import Fact
    from orrery.home import Home, Proposal, WorldSettings


def publish(
    world: WorldArgument = None,
    home: HomeOption = HERE,
    strand_everyone: Annotated[
        bool,
        typer.Option(
            "--strand-everyone",
            help="Publish although no root keeps an endpoint and no node could follow.",
        ),
    ] = False,
    note: Annotated[
        str, typer.Option(metavar="TEXT", help="What to remember about this revision.")
    ] = "",
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only show what would change; exit status 1 if it would be refused."
        ),
    ] = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign what orrery.toml says as the next revision.

    A running server hands it to every node at once: `orrery apply` goes by steps and cohorts, and
    waits for those who sleep.
    """
    from orrery import home as homes
    from orrery.cli import output
    from orrery.cli.adoption import revision_number
    from orrery.cli.advice import advice
    from orrery.errors import NothingNewError
    from orrery.wire.signature import fingerprint
    from orrery.worlds.diff import compare

    with homes.Home.open(
        home, writer=not dry_run, passphrase=passphrase_provider(passphrase_file)
    ) as opened:
        tell_repairs(opened)
        wanted = choose_world(opened, world)
        held_back = opened.store.served().get(wanted.id)
        try:
            proposal = homes.propose(opened, wanted.name)
        except NothingNewError:
            if held_back is None:
                raise
            _release(opened, wanted, dry_run=dry_run, as_json=as_json)
            return
        names = _names(proposal)
        changes = (
            []
            if proposal.newest is None
            else list(compare(proposal.newest.world, proposal.world).in_words())
        )
        if dry_run:
            refused = proposal.strands_everyone and not strand_everyone
            published_so_far = len(opened.store.revisions(wanted.id))
            title = f"would be revision {published_so_far + 1} of {wanted.kind} {wanted.name}"
            _show_proposal(title, changes, proposal, refused=refused, as_json=as_json)
            raise typer.Exit(1 if refused else 0)
        revision = homes.publish(
            opened,
            wanted.name,
            homes.wall_clock_ms(),
            proposal=proposal,
            strand_everyone=strand_everyone,
            note=note,
        )
        published = revision.world
        number = revision_number(opened.store.chain(published.id), published.timestamp_ms)
        path = opened.world_path(published)
        served = opened.is_served
        before = None if proposal.newest is None else proposal.newest.world
        advised = advice(published, homes.wall_clock_ms(), before)
    if as_json:
        output.print_json(
            {
                "world": f"{published.id:016x}",
                "revision": number,
                "timestamp_ms": published.timestamp_ms,
                "next_signer": fingerprint(published.updates_must_be_signed_by),
                "rotates_key": proposal.rotates_key,
                "strands_everyone": proposal.strands_everyone,
                "names": names,
                "changes": changes,
                "file": str(path),
                "served": served,
                "warnings": output.warnings_as_json(advised),
            }
        )
        return
    here = home_option(home)
    output.print_facts(
        f"published revision {number} of {wanted.kind} {wanted.name}",
        [
            ("id", f"{published.id:016x}"),
            ("time", f"{output.iso_time(published.timestamp_ms)}, {published.timestamp_ms}"),
            ("next signer", fingerprint(published.updates_must_be_signed_by)),
            *_names_in_words(names),
            ("changes", changes or ["the first revision"]),
            ("file", str(path)),
            (
                "next",
                f"orrery status --watch{here}"
                if served
                else f"orrery serve{here}: no server hands it out now",
            ),
        ],
    )
    for pitfall in advised:
        output.warn(pitfall.sentence)


def _release(home: "Home", wanted: "WorldSettings", *, dry_run: bool, as_json: bool) -> None:
    """Give the newest revision to those whom a rollout that was stopped held back."""
    from orrery import home as homes
    from orrery.cli import output

    if not dry_run:
        homes.release(home, wanted.name, homes.wall_clock_ms())
    newest = home.store.chain(wanted.id)
    if as_json:
        output.print_json(
            {
                "world": f"{wanted.id:016x}",
                "revision": len(newest),
                "timestamp_ms": newest.newest.timestamp_ms,
                "released": not dry_run,
            }
        )
        return
    given = "would be given" if dry_run else "is given"
    print(
        f"revision {len(newest)} of {wanted.kind} {wanted.name} {given} to everybody: a rollout "
        "that was stopped held some nodes back"
    )


def _names(proposal: "Proposal") -> dict[str, list[str]]:
    """The names in the settings, with the endpoints that they stand for."""
    return {
        str(found.endpoint): [str(address) for address in found.addresses]
        for root in proposal.roots
        for found in root.resolutions
    }


def _names_in_words(names: dict[str, list[str]]) -> "list[Fact]":
    if not names:
        return []
    return [("names", [f"{name} → {', '.join(places)}" for name, places in names.items()])]


def _show_proposal(
    title: str, changes: list[str], proposal: "Proposal", *, refused: bool, as_json: bool
) -> None:
    from orrery.cli import output

    if as_json:
        output.print_json(
            {
                "world": f"{proposal.world.id:016x}",
                "rotates_key": proposal.rotates_key,
                "strands_everyone": proposal.strands_everyone,
                "names": _names(proposal),
                "changes": changes,
            }
        )
        return
    output.print_facts(
        title,
        [*_names_in_words(_names(proposal)), ("changes", changes or ["all of it"])],
    )
    if refused:
        output.print_warnings(
            [
                "no root keeps an endpoint, so no node could follow: publish refuses this without "
                "--strand-everyone"
            ]
        )
