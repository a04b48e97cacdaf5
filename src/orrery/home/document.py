"""Writing `orrery.toml`: a commented one for a new home, and edits that leave comments alone."""

from collections.abc import Sequence
from typing import Any

import tomlkit
from tomlkit import TOMLDocument

from orrery.errors import UsageError
from orrery.home.settings import FILE_NAME, Settings
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity

_TEMPLATE = """\
# What your Worlds are to be. Change it, then run `orrery publish`: every node follows.

[[world]]
name = {name}
kind = {kind}
# The id is what nodes know this World by. It never changes: nodes take no World of another id.
id = {id}

# One to four roots. To move a root, add its new endpoint first, publish, wait until every node has
# the revision (`orrery status`), and only then remove the old endpoint and publish again.
[[world.root]]
name = {root_name}
# From identity.public. The private key stays in identity.secret and never goes in here.
identity = {identity}
# One to 32 addresses under which nodes reach this root; addresses, not names.
endpoints = {endpoints}

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
"""


def new_text(
    *,
    name: str,
    kind: str,
    world_id: int,
    root_name: str,
    identity: Identity,
    endpoints: Sequence[Endpoint],
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


def write_endpoint(endpoint: Endpoint) -> str:
    """An endpoint as people write it: `1.2.3.4:9993` or `[2001:db8::1]:9993`."""
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

    def set_endpoints(self, world: str, root: str, endpoints: Sequence[Endpoint]) -> None:
        """Give a root these endpoints.

        Raises:
            UsageError: There is no such World or root.
        """
        array = tomlkit.array()
        array.extend(write_endpoint(endpoint) for endpoint in endpoints)
        self._root(world, root)["endpoints"] = array.multiline(len(endpoints) > 2)

    def add_root(
        self, world: str, root: str, identity: Identity, endpoints: Sequence[Endpoint]
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


def _quote_list(endpoints: Sequence[Endpoint]) -> str:
    return f"[{', '.join(_quote(write_endpoint(endpoint)) for endpoint in endpoints)}]"
