"""All commands in one application, and what becomes of its failures.

A new noun is a module with a `typer.Typer` named `app`, added to `_NOUNS`; a command without a
noun is a function, added to `_COMMANDS`. Such modules import what they need inside their commands:
each command pays for its own imports only.
"""

import io
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from orrery import __version__
from orrery.cli import identity, key, moon, world
from orrery.cli.adopt import adopt
from orrery.cli.apply import apply
from orrery.cli.backup import backup
from orrery.cli.demo import demo
from orrery.cli.deploy import deploy
from orrery.cli.doctor import doctor
from orrery.cli.failures import report
from orrery.cli.forecast import forecast
from orrery.cli.hosts import hosts
from orrery.cli.init import init
from orrery.cli.nodes import nodes
from orrery.cli.peers import peers
from orrery.cli.plan import plan
from orrery.cli.publish import publish
from orrery.cli.rehearse import rehearse
from orrery.cli.restore import restore
from orrery.cli.rollouts import pause, resume, rollback, stop
from orrery.cli.serve import serve
from orrery.cli.status import status

_NOUNS: tuple[tuple[str, typer.Typer], ...] = (
    ("world", world.app),
    ("identity", identity.app),
    ("key", key.app),
    ("moon", moon.app),
)
_COMMANDS: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("init", init),
    ("adopt", adopt),
    ("serve", serve),
    ("plan", plan),
    ("apply", apply),
    ("pause", pause),
    ("resume", resume),
    ("rollback", rollback),
    ("stop", stop),
    ("publish", publish),
    ("status", status),
    ("nodes", nodes),
    ("hosts", hosts),
    ("peers", peers),
    ("deploy", deploy),
    ("doctor", doctor),
    ("backup", backup),
    ("restore", restore),
    ("rehearse", rehearse),
    ("forecast", forecast),
    ("demo", demo),
)

_EPILOG = (
    "Exit status: 0 done or yes, 1 a clean no, 2 usage, 3 unreadable or malformed input, 4 key "
    "missing, locked or exposed, 5 conflict, 70 a bug. ORRERY_DEBUG=1 adds tracebacks."
)

app = typer.Typer(
    name="orrery",
    help="Change your ZeroTier roots (planets and moons) without losing a node.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _noun in _NOUNS:
    app.add_typer(_noun, name=_name)
for _name, _command in _COMMANDS:
    app.command(_name)(_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"orrery {__version__}")
        raise typer.Exit


@app.callback()
def _orrery(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    del version


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what stands behind `orrery`; by default what the process was started with.

    Returns:
        The exit status. Whatever fails is reported on standard error before.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name of a file may be no text in the terminal's encoding, which is no reason to fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = app(given, prog_name="orrery", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:
        return report(error, as_json="--json" in given)
    return status if isinstance(status, int) else 0
