"""A planet as docker-zerotier-planet makes it: one official root that is network controller too.

    planet = DockerPlanet(lab.host("root-1"), zerotier_one)
    planet.start()
    leaf = RealNode(lab.host("leaf"), zerotier_one, planet=planet.download).start()

What its container does at its first start is done here with the same tools: `zerotier-idtool
generate`, `initmoon` and `genmoon`, and `mkworld` for the keys. Its own mkworld, which reads
moon.json and stamps the World with the id of the official planet and a fixed time, is a patch of
which there is no binary: that World is made of its parts here. It goes into the download folder
only, so that the root itself stays on the official planet.

    data/one     its home: keys, moon.json, moons.d, controller.d
    data/dist    what nodes fetch: planet, the moon
    data/config  what the container was told
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Self

from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.signature import SigningKey
from orrery.wire.world import EARTH_ID, Root, World, WorldType
from tests.fleet.sshd import sshd_path
from tests.interop.lab import eventually
from tests.interop.realnode import ApiError, RealNode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.fleet.sshd import Credentials
    from tests.interop.lab import Daemon, Host

FIXED_MS = 1_567_191_349_589
"""What every mkworld stamps on every World."""
PORT = 9994

_SUPERVISOR = """#!/bin/sh
# Starts the service again whenever it ends, as a container does that is restarted.
trap 'kill "$child"; wait "$child"; exit 0' TERM
while :; do
    {binary} "$@" &
    child=$!
    wait "$child"
done
"""


def make_data(data: Path, binary: Path, endpoint: str) -> None:
    """What the container makes at its first start.

    Args:
        data: Where to; made.
        binary: The zerotier-one, beside which mkworld lies.
        endpoint: Where nodes reach it, `ip/port`.
    """
    one, dist, config = (data / name for name in ("one", "dist", "config"))
    for folder in (one, dist, config):
        folder.mkdir(parents=True)
    ip, _, port = endpoint.partition("/")
    (config / "ip_addr4").write_text(f"{ip}\n")
    (config / "zerotier-one.port").write_text(f"{port}\n")

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(arguments, cwd=one, capture_output=True, text=True, check=True)
        return done.stdout

    run(binary, "-i", "generate", "identity.secret", "identity.public")
    (one / "identity.secret").chmod(0o600)
    moon: dict[str, Any] = json.loads(run(binary, "-i", "initmoon", "identity.public"))
    moon["roots"][0]["stableEndpoints"] = [endpoint]
    (one / "moon.json").write_text(json.dumps(moon, indent=2))
    run(binary, "-i", "genmoon", "moon.json")
    (one / "moons.d").mkdir()
    for file in one.glob("*.moon"):
        shutil.copy(file, one / "moons.d")
        shutil.copy(file, dist)

    run(binary.with_name("mkworld"))
    (one / "world.bin").unlink()
    signer = SigningKey.decode((one / "previous.c25519").read_bytes())
    world = World(
        type=WorldType.PLANET,
        id=EARTH_ID,
        timestamp_ms=FIXED_MS,
        updates_must_be_signed_by=SigningKey.decode((one / "current.c25519").read_bytes()).public,
        roots=tuple(
            Root(
                Identity.from_string(root["identity"]),
                tuple(Endpoint.from_text(each) for each in root["stableEndpoints"]),
            )
            for root in moon["roots"]
        ),
    )
    (dist / "planet").write_bytes(world.sign(signer).encode())


class DockerPlanet(RealNode):
    """The root of such a planet, as a service that is started again when it ends.

    Args:
        host: Where it runs.
        binary: The zerotier-one, beside which mkworld lies.
        data: The data folder, copied from another one; a new planet when not given.

    Attributes:
        data: The data folder.
    """

    def __init__(self, host: Host, binary: Path, data: Path | None = None) -> None:
        self.data = host.directory / "data"
        supervised = host.directory / "supervised"
        supervised.write_text(_SUPERVISOR.format(binary=shlex.quote(str(binary))))
        supervised.chmod(0o755)
        super().__init__(host, supervised, port=PORT)
        if data is None:
            make_data(self.data, binary, f"{host.address}/{PORT}")
        else:
            # Whoever copies a folder leaves the caches behind, or has never seen them.
            shutil.copytree(data, self.data, ignore=shutil.ignore_patterns("peers.d", "*.pid"))
        shutil.copy(self.home / "local.conf", self.data / "one")
        shutil.rmtree(self.home)
        self.home = self.data / "one"

    @property
    def download(self) -> bytes:
        """The planet that nodes fetch."""
        return (self.data / "dist" / "planet").read_bytes()

    @property
    def process(self) -> int:
        """The process id of the service."""
        return int((self.home / "zerotier-one.pid").read_text())

    @property
    def restart_command(self) -> str:
        """What restarts the service, to be run in its host."""
        return f'kill "$(cat {shlex.quote(str(self.home / "zerotier-one.pid"))})"'

    def restart_service(self) -> None:
        """Run that, and wait until the service is there again."""
        before = self.process
        subprocess.run(["/bin/sh", "-c", self.restart_command], check=True)

        def answers() -> bool:
            try:
                return self.process != before and bool(self.status())
            except (OSError, ValueError, ApiError):
                return False

        eventually(answers, within_s=30, what="the service is there again")

    def start(self, *, within_s: float = 20.0) -> Self:
        """Start it and wait until its local API answers."""
        return super().start(within_s=within_s)


def serve_ssh(
    host: Host, credentials: Credentials, tools: Path, *, within: Sequence[str] = ()
) -> Daemon:
    """Start a real sshd on a host, whose key goes into the known hosts.

    Args:
        host: Where.
        credentials: Who it is, and who may log in.
        tools: A folder with programs for those who do.
        within: A command that runs the command behind it.
    """
    sshd = sshd_path()
    assert sshd is not None
    settings = {
        "Port": 22,
        "HostKey": credentials.host_key,
        "AuthorizedKeysFile": credentials.authorized,
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "yes",
        "PidFile": "none",
        # Deploys keep their journal in the home of who logs in: not in ours.
        "SetEnv": f"PATH={tools}:/usr/sbin:/usr/bin:/sbin:/bin HOME={host.directory}",
    }
    file = host.directory / "sshd_config"
    file.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    daemon = host.run([*within, sshd, "-D", "-e", "-f", str(file)])
    daemon.wait_line(r"Server listening on 0\.0\.0\.0", within_s=20)
    public = credentials.host_key.with_name(f"{credentials.host_key.name}.pub").read_text()
    with credentials.known_hosts.open("a") as known:
        known.write(f"{host.address} {public.strip()}\n")
    return daemon
