"""The local API of a host of the settings, in the way that fits it."""

from pathlib import Path

from orrery.fleet.command_fetch import CommandFetch, cli_command
from orrery.fleet.http_fetch import HttpFetch
from orrery.fleet.local_api import LocalApi
from orrery.fleet.shell import Shell
from orrery.home.settings import HostSettings


def api_of(host: HostSettings, shell: Shell) -> LocalApi:
    """The local API of a host: by HTTP on this machine, else by `zerotier-cli`.

    Args:
        host: The host.
        shell: Runs commands there.
    """
    if host.ssh is None and host.container is None and not host.sudo:
        return LocalApi(HttpFetch(Path(host.home)))
    return LocalApi(CommandFetch(shell, cli_command(host)))
