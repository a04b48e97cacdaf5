"""Official ZeroTier software under test conditions: zerotier-one, its idtool, its controller.

    spec = idtool.planet_spec(world_id, {root_identity: ["10.77.1.1/9993"]})
    leaf = RealNode(lab.host("leaf"), zerotier_one, planet=idtool.genmoon(spec)).start()
    leaf.wait_online()

What the binary does is taken as it is; only waiting, typing and cleaning up are added.
"""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, TypeVar

from tests.interop.lab import POLL_S, DaemonExitedError, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.interop.lab import Daemon, Host

T = TypeVar("T")

SETTINGS: Mapping[str, object] = {
    "portMappingEnabled": False,
    "allowSecondaryPort": False,
    "allowTcpFallbackRelay": False,
    "softwareUpdate": "disable",
}
"""What every node's local.conf holds: one socket, and no talk but with its roots and peers."""


class Status(TypedDict):
    """`GET /status`, the part that tests look at."""

    address: str
    publicIdentity: str
    version: str
    online: bool
    planetWorldId: int
    planetWorldTimestamp: int


class PeerPath(TypedDict):
    """A path of a peer."""

    address: str
    active: bool
    preferred: bool
    lastReceive: int
    lastSend: int


class Peer(TypedDict):
    """An element of `GET /peer`; a `latency` of -1 is unknown."""

    address: str
    role: Literal["PLANET", "MOON", "LEAF"]
    version: str
    latency: int
    paths: list[PeerPath]


class Root(TypedDict):
    """A root in a moon.json and in `GET /moon`."""

    identity: str
    stableEndpoints: list[str]


class Moon(TypedDict):
    """An element of `GET /moon`; `id` has 16 digits."""

    id: str
    timestamp: int
    waiting: bool
    roots: list[Root]


class Network(TypedDict):
    """An element of `GET /network`, the part that tests look at."""

    id: str
    status: str
    assignedAddresses: list[str]
    portDeviceName: str


class WorldSpec(TypedDict):
    """A moon.json: what `genmoon` makes a World of, a planet too; it holds the signing key."""

    id: str
    objtype: Literal["world"]
    worldType: Literal["planet", "moon"]
    roots: list[Root]
    signingKey: str
    signingKey_SECRET: str
    updatesMustBeSignedBy: str


class ApiError(Exception):
    """The local API of a node answered with something else than 200."""


class RealNode:
    """A zerotier-one service in a host; it can be stopped and started again.

    Args:
        host: Where it runs.
        binary: The zerotier-one to run.
        planet: The planet file it starts with; the official planet, which nothing in a lab
            reaches, when not given.
        identity: Its secret identity; made by itself when not given.
        port: Its UDP port, and the TCP port of its local API.
        settings: Settings of local.conf on top of `SETTINGS`.

    Attributes:
        host: Where it runs.
        home: Its home directory, which may be changed while it is stopped.
        port: Its UDP port.
    """

    def __init__(
        self,
        host: Host,
        binary: Path,
        *,
        planet: bytes | None = None,
        identity: str | None = None,
        port: int = 9993,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.home = host.directory / "zerotier-one"
        self._binary = binary
        self._daemon: Daemon | None = None
        self.home.mkdir()
        local = {"settings": {**SETTINGS, **(settings or {})}}
        (self.home / "local.conf").write_text(json.dumps(local))
        if planet is not None:
            (self.home / "planet").write_bytes(planet)
        if identity is not None:
            secret = self.home / "identity.secret"
            secret.touch(mode=0o600)
            secret.write_text(identity)

    def start(self, *, within_s: float = 20.0) -> Self:
        """Start it and wait until its local API answers."""
        self._daemon = self.host.run(
            [str(self._binary), "-U", f"-p{self.port}", str(self.home)], cwd=self.home
        )

        def answers() -> Status | None:
            try:
                return self.status()
            except (OSError, http.client.HTTPException, ApiError):
                return None

        self._eventually(answers, within_s, "its local API answers")
        return self

    def stop(self) -> None:
        """Stop it as an init system does.

        Raises:
            DaemonExitedError: It ended in another way than a service which is stopped.
        """
        status = self.daemon.stop()
        # A service that was stopped aborts now and then, after all is written and closed.
        if status not in (0, -signal.SIGABRT):
            raise DaemonExitedError(f"exit status {status} when stopped\n{self.daemon.output}")

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()

    @property
    def daemon(self) -> Daemon:
        """Its process, the last one if it was started repeatedly."""
        assert self._daemon is not None, f"{self.host.name} was never started"
        return self._daemon

    # Its files

    @property
    def planet(self) -> bytes:
        """Its planet file as it is on disk now."""
        return (self.home / "planet").read_bytes()

    def moon(self, moon_id: str) -> bytes | None:
        """The file of a moon as it is on disk now, or None when it has none."""
        try:
            return self._moon_file(moon_id).read_bytes()
        except FileNotFoundError:
            return None

    def write_moon(self, moon_id: str, moon: bytes) -> None:
        """Give it a moon, which it reads at its next start."""
        file = self._moon_file(moon_id)
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(moon)

    def _moon_file(self, moon_id: str) -> Path:
        return self.home / "moons.d" / f"{moon_id:0>16}.moon"

    # Its local API

    def api(self, method: str, path: str, body: object = None) -> Any:
        """The JSON answer of its local API.

        Raises:
            ApiError: It answered with another status than 200.
            OSError: It does not listen (yet).
        """
        token = (self.home / "authtoken.secret").read_text()
        with self.host.socket(socket.AF_INET, socket.SOCK_STREAM) as inside:
            inside.settimeout(5)
            inside.connect(("127.0.0.1", self.port))
            connection = http.client.HTTPConnection("127.0.0.1", self.port)
            connection.sock = inside
            connection.request(
                method,
                path,
                None if body is None else json.dumps(body),
                {"X-ZT1-Auth": token, "Connection": "close"},
            )
            response = connection.getresponse()
            text = response.read()
        if response.status != http.client.OK:
            raise ApiError(f"{method} {path}: {response.status} {text!r}")
        return json.loads(text)

    def status(self) -> Status:
        """Its own state; `online` follows with its check every 5 s."""
        status: Status = self.api("GET", "/status")
        return status

    @property
    def address(self) -> str:
        """Its ZeroTier address, once it has an identity."""
        return self.identity.partition(":")[0]

    @property
    def identity(self) -> str:
        """Its public identity, once it has one."""
        # A node that was given its identity writes no identity.public.
        return (self.home / "identity.secret").read_text().strip().rpartition(":")[0]

    def peers(self) -> dict[str, Peer]:
        """The nodes it knows, by address."""
        peers: list[Peer] = self.api("GET", "/peer")
        return {peer["address"]: peer for peer in peers}

    def moons(self) -> dict[str, Moon]:
        """The moons it holds (not those it waits for), by their id of 16 digits."""
        moons: list[Moon] = self.api("GET", "/moon")
        return {moon["id"]: moon for moon in moons}

    def orbit(self, moon_id: str, seed: str) -> None:
        """Make it want a moon; `moon_id` has 10 digits, `seed` is the address of one of its roots.

        Moons with longer ids can only be put into its `moons.d`.
        """
        self.api("POST", f"/moon/{moon_id}", {"seed": seed})

    def deorbit(self, moon_id: str) -> None:
        """Make it forget a moon."""
        self.api("DELETE", f"/moon/{moon_id}")

    def networks(self) -> dict[str, Network]:
        """The virtual networks it joined, by id."""
        networks: list[Network] = self.api("GET", "/network")
        return {network["id"]: network for network in networks}

    def join(self, network_id: str) -> None:
        """Make it join a virtual network."""
        self.api("POST", f"/network/{network_id}", {})

    # Waiting for it

    def wait_online(self, *, within_s: float = 30.0) -> None:
        """Wait until it says that it reaches one of its roots."""
        self._eventually(lambda: self.status()["online"], within_s, "it is online")

    def wait_path(self, address: str, *, within_s: float = 30.0) -> None:
        """Wait until it has a direct path to a node: for a root, seconds before it is online."""
        self._eventually(
            lambda: address in (peers := self.peers()) and peers[address]["paths"],
            within_s,
            f"it has a path to {address}",
        )

    def wait_planet(
        self, planet: bytes, *, within_s: float = 30.0, every_s: float = POLL_S
    ) -> None:
        """Wait until this is its planet, on disk (it writes the file as it takes the World)."""
        self._eventually(
            lambda: self.planet == planet, within_s, "it holds the expected planet", every_s=every_s
        )

    def wait_moon(
        self, moon_id: str, moon: bytes, *, within_s: float = 30.0, every_s: float = POLL_S
    ) -> None:
        """Wait until it holds this moon, on disk."""
        self._eventually(
            lambda: self.moon(moon_id) == moon,
            within_s,
            "it holds the expected moon",
            every_s=every_s,
        )

    def wait_network(self, network_id: str, *, within_s: float = 60.0) -> str:
        """Wait until it is a member of a virtual network; its IP address there."""

        def assigned() -> str | None:
            network = self.networks()[network_id]
            if network["status"] != "OK" or not network["assignedAddresses"]:
                return None
            return network["assignedAddresses"][0].partition("/")[0]

        return self._eventually(assigned, within_s, f"it has an address in network {network_id}")

    def _eventually(
        self,
        probe: Callable[[], T | None],
        within_s: float,
        what: str,
        every_s: float = POLL_S,
    ) -> T:
        def alive() -> T | None:
            self.daemon.check_running()
            return probe()

        try:
            return eventually(
                alive, within_s=within_s, what=f"{self.host.name}: {what}", every_s=every_s
            )
        except TimeoutError as error:
            error.add_note(f"its output:\n{self.daemon.output}")
            raise


class Controller:
    """The controller of virtual networks that is in every zerotier-one.

    Args:
        node: The node that is to be one.
    """

    def __init__(self, node: RealNode) -> None:
        self._node = node

    def create_network(self, subnet: str = "10.147.17.0/24") -> str:
        """Make a network that everybody may join and where members get IPv4 addresses; its id."""
        first, *_, last = ip_network(subnet).hosts()
        network = self._node.api(
            "POST",
            f"/controller/network/{self._node.address}______",
            {
                "name": "lab",
                "private": False,
                "ipAssignmentPools": [{"ipRangeStart": str(first), "ipRangeEnd": str(last)}],
                "routes": [{"target": subnet}],
                "v4AssignMode": {"zt": True},
            },
        )
        network_id: str = network["id"]
        return network_id

    def members(self, network_id: str) -> set[str]:
        """Addresses of the nodes that joined a network."""
        return set(self._node.api("GET", f"/controller/network/{network_id}/member"))


class IdTool:
    """The zerotier-idtool that is in every zerotier-one.

    Args:
        binary: The zerotier-one.
        directory: Where it reads and writes its files; made if missing.
    """

    def __init__(self, binary: Path, directory: Path) -> None:
        self._binary = binary
        self._directory = directory
        directory.mkdir(exist_ok=True)

    def generate(self) -> str:
        """A new secret identity."""
        return self._output("generate")

    def public(self, identity: str) -> str:
        """The public form of an identity."""
        return self._output("getpublic", identity)

    def validate(self, identity: str) -> bool:
        """Whether an identity is what a node accepts."""
        return self._verdict("validate", identity)

    def sign(self, secret: str, message: bytes) -> bytes:
        """The signature of a secret identity."""
        return bytes.fromhex(self._output("sign", secret, self._file("message", message)))

    def verify(self, identity: str, message: bytes, signature: bytes) -> bool:
        """Whether this is the signature of an identity."""
        file = self._file("message", message)
        return self._verdict("verify", identity, file, signature.hex())

    def initmoon(self, identity: str) -> WorldSpec:
        """A moon.json with one root, without endpoints, and with a new signing key."""
        spec: WorldSpec = json.loads(self._output("initmoon", identity))
        return spec

    def planet_spec(self, world_id: int, roots: Mapping[str, Sequence[str]]) -> WorldSpec:
        """A moon.json that describes a planet, with a new signing key.

        Args:
            world_id: Its id.
            roots: Endpoints in the form `1.2.3.4/9993`, by the identities of the roots.
        """
        spec = self.initmoon(next(iter(roots)))
        spec["id"] = f"{world_id:x}"
        spec["worldType"] = "planet"
        spec["roots"] = [
            {"identity": self.public(identity), "stableEndpoints": list(endpoints)}
            for identity, endpoints in roots.items()
        ]
        return spec

    def genmoon(self, spec: WorldSpec) -> bytes:
        """The World of a moon.json, signed, with the clock's time as its timestamp."""
        self._output("genmoon", self._file("moon.json", json.dumps(spec).encode()))
        return (self._directory / f"{spec['id']:0>16}.moon").read_bytes()

    def _file(self, name: str, content: bytes) -> str:
        (self._directory / name).write_bytes(content)
        return name

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self._binary), "-i", *arguments],
            cwd=self._directory,
            capture_output=True,
            text=True,
            check=False,
        )

    def _output(self, *arguments: str) -> str:
        done = self._run(*arguments)
        assert done.returncode == 0, f"idtool {arguments[0]}: {done.stdout}{done.stderr}"
        return done.stdout

    def _verdict(self, *arguments: str) -> bool:
        done = self._run(*arguments)
        assert done.returncode in (0, 1), f"idtool {arguments[0]}: exit status {done.returncode}"
        return done.returncode == 0
