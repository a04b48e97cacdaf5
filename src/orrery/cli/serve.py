"""`orrery serve`: the root server."""
# ruff: noqa: PLC0415 - each command imports what it needs, so that the others start fast

from typing import TYPE_CHECKING, Annotated

import typer

from orrery.cli.homes import HERE, HomeOption, tell_repairs

if TYPE_CHECKING:
    from orrery.home import Home
    from orrery.server.service import ServeOptions, Server


def serve(
    home: HomeOption = HERE,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IP:PORT", help="Where to receive, in place of what orrery.toml says."
        ),
    ] = None,
    push: Annotated[
        bool | None,
        typer.Option(help="Hand a new revision to every node at once. Default: as orrery.toml."),
    ] = None,
    log_level: Annotated[
        str, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")
    ] = "info",
) -> None:
    """Run the root server until SIGTERM; new revisions are served without a restart."""
    import asyncio
    import contextlib

    from filelock import FileLock, Timeout

    from orrery.errors import ConflictError, UsageError
    from orrery.home import Home
    from orrery.server.logs import configure_logs
    from orrery.server.service import Server

    if log_level not in {"debug", "info", "warning", "error"}:
        raise UsageError(f"{log_level!r} is no log level: debug, info, warning or error")
    with Home.open(home, writer=True) as opened:
        tell_repairs(opened)
        opened.release()
        options = _options(opened, listen, push)
        identity = opened.identity()
        _check_listed(opened)
        configure_logs(log_level)
        lock = FileLock(opened.path / "serve.lock", timeout=0, mode=0o600)
        try:
            lock.acquire()
        except Timeout:
            raise ConflictError(
                f"another `orrery serve` runs on {opened.path}: stop it first"
            ) from None
        with lock:
            server = Server(identity, opened.store, options)
            loop_factory = asyncio.new_event_loop
            with contextlib.suppress(ImportError):  # the extra `speed`
                from uvloop import new_event_loop as loop_factory
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                runner.run(_serve(server))


async def _serve(server: "Server") -> None:
    await server.start()
    try:
        await server.run()
    finally:
        await server.stop()


def _options(home: "Home", listen: list[str] | None, push: bool | None) -> "ServeOptions":
    from orrery.server.service import ServeOptions
    from orrery.vl1.limits import Allowance
    from orrery.vl1.push import PushSettings
    from orrery.wire.endpoint import Endpoint

    wanted = home.settings().serve
    return ServeOptions(
        listen=tuple(
            [Endpoint.from_text(text, allow_any=True) for text in listen]
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


def _check_listed(home: "Home") -> None:
    """Tell when nodes would not take this server for a root of a World that it serves."""
    from orrery.cli import output

    own = home.identity().address
    for world in home.served_worlds():
        if all(root.identity.address != own for root in world.roots):
            output.warn(
                f"{own:010x}, the identity of this home, is no root of {world.type.name.lower()} "
                f"{world.id:016x}: nodes will not ask it, nor take that World from it"
            )
