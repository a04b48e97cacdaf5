"""Writing `orrery.toml`: a commented one for a new home, and edits that leave comments alone."""

from collections.abc import Sequence
from typing import Any

import tomlkit
from tomlkit import TOMLDocument

from orrery.errors import UsageError
from orrery.home.named_endpoint import NamedEndpoint, WantedEndpoint
from orrery.home.settings import FILE_NAME, Settings
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity

_TEMPLATE = """\
# What your Worlds are to be. Change it, look at `orrery plan`, then run `orrery apply`.

[[world]]
name = {name}
kind = {kind}
# The id is what nodes know this World by. It never changes: nodes take no World of another id.
id = {id}

# One to four roots. Write what you want in the end: `orrery plan` finds the steps to it that no
# node is lost on, and says what must stay up until when.
[[world.root]]
name = {root_name}
# From identity.public. The private key stays in identity.secret and never goes in here.
identity = {identity}
# One to 32 places where nodes reach this root: IP addresses, or a name, "root.example.org:9993".
# Nodes know no names: for each plan, a name becomes the addresses that it stands for then.
endpoints = {endpoints}
# What runs there, "orrery" or "zerotier-one".
software = "orrery"

[serve]
# Where this root receives. Nodes must be able to reach it through your firewall (UDP).
listen = {listen}
# Hand a new revision to every node that is online at once, not at its next hello.
push = true
# To how many nodes a second.
push_rate = 1000
# How long, and how many rows of, the history of nodes is kept.
retention_days = 30
retention_rows = 1_000_000

# How `orrery apply` goes about it. `orrery publish` gives a revision to every node at once.
[rollout]
# Who gets a revision first, in order: a share of the nodes, or a list of nodes such as
# ["2c3e8f527a", "dd87c5dc2d"]. Each cohort is watched before the next one's turn; the last is
# everybody.
cohorts = ["1%", "10%", "100%"]
# How long a cohort is watched: 90s, 10m, 36h, 7d.
settle = "10s"
# A node counts when it was seen in this span; one that sleeps for longer is not waited for.
horizon = "30d"
# The share of a cohort's counted nodes that must have a revision before the next
# one's turn. The end of a step waits for all that count, in any case.
required = "100%"
# What `orrery apply` does without a question: "add-endpoint", "remove-endpoint", "add-root",
# "remove-root", "rotate-key".
without_asking = []

[dns]
# Who is asked what names stand for; with none, the servers that this machine uses. If those tell
# other things inside your network than outside, name one outside, such as "9.9.9.9".
servers = []
# How long a name may take.
timeout = "5s"

# Backups that the server makes by itself, and every command before it signs anything. Each of the
# recipients opens them with the private key that `age-keygen` made; nobody else does.
# [backup]
# to = "/srv/backups"
# recipients = ["age1..."]
# every = "1d"
# keep = 14

# Servers with an official zerotier-one, roots and other nodes, whose World files `orrery deploy`
# keeps right. Without ssh, it is this machine.
# [[host]]
# name = "root-2"
# ssh = "root@203.0.113.8"
# platform = "linux"
"""


def new_text(
    *,
    name: str,
    kind: str,
    world_id: int,
    root_name: str,
    identity: Identity,
    endpoints: Sequence[WantedEndpoint],
    listen: Sequence[Endpoint],
) -> str:
    """The settings of a new home, with comments for the person who will change them.

    Raises:
        DecodeError: What is asked for would not be accepted when read.
    """
    text = _TEMPLATE.format(
        name=_quote(name),
        kind=_quote(kind),
        id=_quote(f"{world_id:016x}"),
        root_name=_quote(root_name),
        identity=_quote(str(identity.public())),
        endpoints=_quote_list(endpoints),
        listen=_quote_list(listen),
    )
    Settings.parse(text)
    return text


def write_endpoint(endpoint: WantedEndpoint) -> str:
    """An endpoint as people write it: `1.2.3.4:9993`, `[2001:db8::1]:9993`, or with a name."""
    if isinstance(endpoint, NamedEndpoint):
        return str(endpoint)
    host = f"[{endpoint.host}]" if endpoint.family == 6 else endpoint.host
    return f"{host}:{endpoint.port}"


class SettingsEditor:
    """Changes settings in place; comments, order and layout stay.

    Args:
        text: The settings so far, which are valid.
        name: What to call the file in an error.
    """

    def __init__(self, text: str, name: str = FILE_NAME) -> None:
        self._name = name
        self._document: TOMLDocument = tomlkit.parse(text)

    def text(self) -> str:
        """The changed settings.

        Raises:
            DecodeError: They would not be accepted; nothing should be written.
        """
        text = tomlkit.dumps(self._document)
        Settings.parse(text, self._name)
        return text

    def set_endpoints(self, world: str, root: str, endpoints: Sequence[WantedEndpoint]) -> None:
        """Give a root these endpoints.

        Raises:
            UsageError: There is no such World or root.
        """
        array = tomlkit.array()
        array.extend(write_endpoint(endpoint) for endpoint in endpoints)
        self._root(world, root)["endpoints"] = array.multiline(len(endpoints) > 2)

    def add_root(
        self, world: str, root: str, identity: Identity, endpoints: Sequence[WantedEndpoint]
    ) -> None:
        """Add a root to a World.

        Raises:
            UsageError: There is no such World.
        """
        table = tomlkit.table()
        table["name"] = root
        table["identity"] = str(identity.public())
        array = tomlkit.array()
        array.extend(write_endpoint(endpoint) for endpoint in endpoints)
        table["endpoints"] = array.multiline(len(endpoints) > 2)
        self._world(world)["root"].append(table)

    def remove_root(self, world: str, root: str) -> None:
        """Take a root out of a World.

        Raises:
            UsageError: There is no such World or root.
        """
        roots = self._world(world)["root"]
        roots.remove(self._root(world, root))

    def _world(self, name: str) -> Any:
        return _named(self._document["world"], name, f"World in {self._name}")

    def _root(self, world: str, name: str) -> Any:
        return _named(self._world(world)["root"], name, f"root in World {world!r}")


def _named(tables: Any, name: str, what: str) -> Any:
    for table in tables:
        if table["name"] == name:
            return table
    raise UsageError(
        f"there is no {what} called {name!r}; there is "
        + ", ".join(repr(str(table["name"])) for table in tables)
    )


def _quote(text: str) -> str:
    return tomlkit.string(text).as_string()


def _quote_list(endpoints: Sequence[WantedEndpoint]) -> str:
    return f"[{', '.join(_quote(write_endpoint(endpoint)) for endpoint in endpoints)}]"
