"""The local API of a zerotier-one on any host, by its own command line tool.

`zerotier-cli` reads the token where it is: none leaves its host, and no port is forwarded. Facts
from ZeroTierOne one.cpp 1.14.1:

    zerotier-cli -D<home> /path        GET; the body alone, exit status 0, for HTTP status 200
    zerotier-cli -D<home> orbit M S    POST /moon/M; "200 orbit OK"
    zerotier-cli -D<home> deorbit M    DELETE /moon/M; "200 deorbit OK"
    <status> <what was asked> <body>   for any other HTTP status, and exit status 1; 0 for none
    exit status 2                      neither port nor token were found in the home
"""

import re
import shlex
from collections.abc import Mapping

from orrery.errors import HostError, ServiceError
from orrery.fleet.local_api import Answer, Method
from orrery.fleet.shell import Finished, Shell
from orrery.home.settings import HostSettings

# Where zerotier-cli and docker are on some systems, but not in the PATH of a user without login.
_PATH = 'PATH="$PATH:/usr/local/bin:/usr/sbin:/usr/local/sbin:/opt/bin"; export PATH; '
_REFUSED = re.compile(rb"([0-9]{1,3}) \S+ ?(.*)", re.DOTALL)
_NO_ANSWER = 0


def cli_command(host: HostSettings) -> str:
    """The `zerotier-cli` of a host, with its home, in its container and by sudo where it has these.

    Args:
        host: The host.

    Returns:
        A command for the host's `sh`, to which arguments are added.
    """
    words = ["zerotier-cli", f"-D{host.home}"]
    if host.container is not None:
        words = ["docker", "exec", host.container, *words]
    if host.sudo:
        words = ["sudo", "-n", *words]
    return shlex.join(words)


class CommandFetch:
    """Asks a zerotier-one by `zerotier-cli` over a shell.

    Args:
        shell: Runs commands on its host.
        command: `zerotier-cli` with its switches, as `cli_command` makes it.

    Attributes:
        where: What to call it in an error.
    """

    def __init__(self, shell: Shell, command: str) -> None:
        self.where = shell.where
        self._shell = shell
        self._command = command

    async def __call__(
        self, method: Method, path: str, body: Mapping[str, str] | None = None
    ) -> Answer:
        """Ask; see `orrery.fleet.local_api.Fetch`."""
        arguments = shlex.join(_arguments(method, path, body or {}))
        done = await self._shell.run(f"{_PATH}{self._command} {arguments}")
        if done.status == 0:
            return Answer(200, done.out)
        refused = _REFUSED.fullmatch(done.out.strip()) if done.status == 1 else None
        if refused is None:
            raise HostError(_why_not(self.where, done))
        status, rest = int(refused[1]), refused[2]
        if status == _NO_ANSWER:
            raise HostError(
                f"no zerotier-one answers on {self.where} ({_first_line(rest) or 'no reason told'})"
                ": start it, or see in its log why it ended"
            )
        return Answer(status, rest)


def _arguments(method: Method, path: str, body: Mapping[str, str]) -> list[str]:
    if method == "GET":
        return [path]
    moon_id = path.removeprefix("/moon/")
    if method == "POST" and moon_id != path and "seed" in body:
        return ["orbit", moon_id, body["seed"]]
    if method == "DELETE" and moon_id != path:
        return ["deorbit", moon_id]
    raise ServiceError(f"zerotier-cli has no command for {method} {path}")


def _why_not(where: str, done: Finished) -> str:
    """A sentence for a command that did not get as far as to an answer."""
    told = _first_line(done.err) or _first_line(done.out)
    if "zerotier-one.port not found" in told:
        return (
            f"zerotier-one has not run with this home on {where} ({told}): start it, or check "
            "'home' in orrery.toml"
        )
    if "authtoken.secret not found" in told:
        return (
            f"this user may not read the token of zerotier-one on {where}: log in as root, or "
            "write sudo = true"
        )
    if told.startswith("sudo:") and "password" in told:
        return (
            f"sudo wants a password on {where}: allow this user sudo without one (NOPASSWD), or "
            "log in as root"
        )
    if done.status == 127 or "command not found" in told or "executable file not found" in told:
        return (
            f"a command is missing on {where} ({told or 'zerotier-cli'}): install zerotier-one "
            "there, or check 'platform' and 'container' in orrery.toml"
        )
    return f"zerotier-cli on {where} ended with status {done.status}: {told or 'it says nothing'}"


def _first_line(data: bytes) -> str:
    text = data.decode("utf-8", "replace").strip().partition("\n")[0]
    return "".join(char if char.isprintable() else "?" for char in text.strip())[:200]
