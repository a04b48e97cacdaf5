"""`orrery serve`: the root server."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orrery.cli.homes import HERE, HomeOption, PassphraseFileOption

if TYPE_CHECKING:
    from orrery.home import Home
    from orrery.server.service import ServeOptions, Server
    from orrery.wire.identity import Identity


def _level_names(incomplete: str) -> list[str]:
    from orrery.server.logs import LEVELS

    return [level for level in LEVELS if level.startswith(incomplete)]


def serve(
    home: HomeOption = HERE,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IP:PORT", help="Where to receive, in place of what orrery.toml says."
        ),
    ] = None,
    identity: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The identity.secret of another root that shares this home. Give --listen too.",
        ),
    ] = None,
    push: Annotated[
        bool | None,
        typer.Option(help="Hand a new revision to every node at once. Default: as orrery.toml."),
    ] = None,
    log_level: Annotated[
        str,
        typer.Option(
            metavar="LEVEL", help="debug, info, warning or error.", autocompletion=_level_names
        ),
    ] = "info",
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Run the root server until SIGTERM.

    New revisions are served without a restart. It carries out what `orrery apply` begins, and signs
    the steps; a key that is locked needs its passphrase here, from a file, the environment or
    systemd. Nobody is asked for it.
    """
    import asyncio
    import contextlib
    from functools import partial

    from orrery.cli.homes import given_passphrase_provider
    from orrery.custody import read_identity_secret
    from orrery.errors import UsageError
    from orrery.home import Home, wall_clock_ms
    from orrery.home.acquaintances import acquaintances
    from orrery.server.logs import LEVELS, configure_logs
    from orrery.server.service import Server

    if log_level not in LEVELS:
        raise UsageError(f"{log_level!r} is no log level: write {', '.join(LEVELS)}")
    with Home.open(home, writer=True) as opened:
        opened.release()
        root = opened.identity() if identity is None else read_identity_secret(identity)
        open_again = partial(Home.open, home, passphrase=given_passphrase_provider(passphrase_file))
        options = replace(
            _options(opened, listen, push),
            open_home=open_again,
            acquaintances=(
                partial(acquaintances, opened.path, wall_clock_ms()) if identity is None else None
            ),
        )
        with opened.start_serving(None if identity is None else root.address):
            configure_logs(log_level)
            _tell_state(opened, options, root)
            server = Server(root, opened.store, options)
            loop_factory = asyncio.new_event_loop
            with contextlib.suppress(ImportError):  # the extra `speed`
                from uvloop import new_event_loop as loop_factory
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                runner.run(_serve(server))


async def _serve(server: "Server") -> None:
    server.handle_signals()
    await server.start()
    try:
        await server.run()
    finally:
        await server.stop()


def _options(home: "Home", listen: list[str] | None, push: bool | None) -> "ServeOptions":
    from orrery.cli.arguments import read_argument
    from orrery.home.named_endpoint import read_listen
    from orrery.server.service import ServeOptions
    from orrery.vl1.limits import Allowance
    from orrery.vl1.push import PushSettings

    wanted = home.settings().serve
    return ServeOptions(
        listen=tuple(
            [read_argument("--listen", text, read_listen) for text in listen]
            if listen
            else wanted.listen
        ),
        push=PushSettings(
            enabled=wanted.push if push is None else push,
            nodes=Allowance(wanted.push_rate, wanted.push_rate),
        ),
        keep_days=wanted.retention_days,
        max_sightings=wanted.retention_rows,
        surroundings=home.surroundings(),
        keep_surroundings=home.keep_surroundings,
    )


def _tell_state(home: "Home", options: "ServeOptions", root: "Identity") -> None:
    """Log what was mended, and what would keep nodes from finding this root."""
    import structlog

    from orrery.home.unsettled import read_mark

    log = structlog.get_logger("orrery.server")
    for sentence in home.repairs:
        log.warning("repaired", what=sentence)
    if read_mark(home.path) is not None:
        log.warning(
            "restored",
            meaning="this home was restored from a backup, and signs nothing before "
            "`orrery restore --finish` was run",
        )
    own = root.address
    ports = {endpoint.port for endpoint in options.listen}
    for world in home.served_worlds():
        name = f"{world.type.name.lower()} {world.id:016x}"
        listed = next((root for root in world.roots if root.identity.address == own), None)
        if listed is None:
            log.warning(
                "not a root",
                world=name,
                meaning=f"{own:010x}, the identity of this root, is none of it: nodes will not "
                "ask this server, nor take that World from it",
            )
        elif listed.endpoints and ports.isdisjoint(each.port for each in listed.endpoints):
            log.warning(
                "other ports",
                world=name,
                endpoints=[str(endpoint) for endpoint in listed.endpoints],
                listen=[str(endpoint) for endpoint in options.listen],
                meaning="nodes ask at ports where this server does not listen: unless a router "
                "forwards them, change `listen` in orrery.toml",
            )
