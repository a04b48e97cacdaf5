"""The way to a host: the one place that decides how its commands are run."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from orrery.errors import UsageError
from orrery.fleet.local_shell import LocalShell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from orrery.fleet.shell import Shell
    from orrery.home.settings import HostSettings


@asynccontextmanager
async def open_shell(host: HostSettings, home: Path) -> AsyncIterator[Shell]:
    """Reach a host.

    Args:
        host: What the settings say of it.
        home: The directory of the Orrery home, for relative paths in them.

    Yields:
        What runs commands on it. A connection that is lost later is made anew by the next command.

    Raises:
        HostError: It cannot be reached, is not the known one, or does not let us in.
        CustodyError: The private key is missing, locked or exposed.
        UnreadableError: A file of ssh cannot be read.
        UsageError: It takes SSH, and that part of Orrery is not installed.
    """
    if host.ssh is None:
        yield LocalShell()
        return
    try:
        # Only who has servers elsewhere needs it, and its import takes a while.
        from orrery.fleet.ssh_shell import SshShell  # noqa: PLC0415
    except ImportError:
        raise UsageError(
            f"host {host.name!r} is reached by SSH, which needs a part that is not installed; "
            "run: pip install 'zt-orrery[ssh]'"
        ) from None
    shell = SshShell(host.ssh, key=host.key_file(home), known_hosts=host.known_hosts_file(home))
    try:
        await shell.connect()
        yield shell
    finally:
        await shell.close()
