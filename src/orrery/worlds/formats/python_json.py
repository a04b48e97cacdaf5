"""JSON of the Python mkworld, which holds a whole signed World.

    type              1 or 127
    id, timestamp     numbers
    public_key        128 hex digits: the key for the next revision
    signature         192 hex digits
    roots[].address         10 hex digits
    roots[].identity_type   0
    roots[].public_key      128 hex digits
    roots[].stable_endpoints[]   {type: 4 or 6, ip, port}, the port a number in quotes

IPv6 is written in eight groups: an older version of the tool reads no other form.
Source: Ynkcc/mkworld mkworld.py.
"""

import json
import re
from ipaddress import ip_address
from typing import Annotated

from pydantic import Field

from orrery.errors import DecodeError, UsageError
from orrery.wire.address import parse_address
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.signature import SIGNATURE_BYTES
from orrery.wire.world import MAX_ENDPOINTS, MAX_ROOTS, Root, WorldType
from orrery.worlds.formats.binary import signed_world
from orrery.worlds.formats.content import Content
from orrery.worlds.formats.document import Document
from orrery.worlds.formats.json_model import MOST_ENDPOINTS, MOST_ROOTS, JsonModel, Text, validate
from orrery.worlds.formats.mistakes import Mistakes
from orrery.worlds.formats.notes import Note, NoteCode
from orrery.worlds.formats.text_roots import read_key

NAME = "python-json"
_LARGEST_U64 = 2**64 - 1
_PORT = re.compile(r"[0-9]{1,5}")
_SIGNATURE = re.compile(f"[0-9a-fA-F]{{{2 * SIGNATURE_BYTES}}}")


class EndpointModel(JsonModel):
    """One of `stable_endpoints`."""

    type: int
    ip: Text
    port: Text | int


class RootModel(JsonModel):
    """One of `roots`."""

    address: Text
    identity_type: int = 0
    public_key: Text
    stable_endpoints: Annotated[list[EndpointModel] | None, Field(max_length=MOST_ENDPOINTS)] = None


class WorldModel(JsonModel):
    """The whole file."""

    type: int
    id: Annotated[int, Field(ge=0, le=_LARGEST_U64)]
    timestamp: Annotated[int, Field(ge=0, le=_LARGEST_U64)]
    public_key: Text
    signature: Text | None = None
    roots: Annotated[list[RootModel], Field(max_length=MOST_ROOTS)]


def read(content: Content, *, loose: bool = False) -> Document:
    """Read the World; without a `signature` it is an unsigned one.

    Args:
        content: the file.
        loose: take endpoints at which no node can be found, and say so. What no node could read
            is refused all the same, as it is in a binary World.

    Raises:
        DecodeError: with all mistakes.
    """
    model = validate(WorldModel, content.json)
    mistakes = Mistakes()
    notes: list[Note] = []
    if model.type not in (WorldType.PLANET, WorldType.MOON):
        mistakes.add("", f"type is {model.type}: write 1 for a planet or 127 for a moon")
    next_public = read_key(model.public_key, "public_key", mistakes)
    if next_public is None and not model.public_key:
        mistakes.add("", "public_key is empty: write the 128 hex digits of the next signer's key")
    if model.signature and not _SIGNATURE.fullmatch(model.signature):
        mistakes.add("", f"signature is not {2 * SIGNATURE_BYTES} hex digits: copy it again")
    roots = [
        _read_root(root, number, mistakes, notes, loose=loose)
        for number, root in enumerate(model.roots, 1)
    ]
    if len(roots) > MAX_ROOTS:
        mistakes.add(
            "", f"{len(roots)} roots, and nodes throw away a World with more than {MAX_ROOTS}"
        )
    mistakes.check()
    return Document(
        format=NAME,
        type=WorldType(model.type),
        id=model.id,
        timestamp_ms=model.timestamp,
        updates_must_be_signed_by=next_public,
        roots=tuple(root for root in roots if root is not None),
        signature=bytes.fromhex(model.signature) if model.signature else None,
        notes=tuple(notes),
    )


def write(document: Document, *, secrets: bool = False) -> bytes:
    """The World as the tool writes it.

    Raises:
        UsageError: it is not signed, or has something that the tool cannot say.
    """
    del secrets
    world = signed_world(document)
    if world.type is WorldType.NULL:
        raise UsageError("this World is neither planet nor moon, and no JSON says so: use binary")
    if world.dictionary or any(not end.ip for root in world.roots for end in root.endpoints):
        raise UsageError(
            "the Python mkworld can say neither an empty endpoint nor the dictionary of a moon: "
            "use another format"
        )
    found = {
        "type": int(world.type),
        "id": world.id,
        "timestamp": world.timestamp_ms,
        "public_key": world.updates_must_be_signed_by.hex(),
        "signature": world.signature.hex(),
        "roots": [
            {
                "address": f"{root.identity.address:010x}",
                "identity_type": 0,
                "public_key": root.identity.public_key.hex(),
                "stable_endpoints": [_write_endpoint(endpoint) for endpoint in root.endpoints],
            }
            for root in world.roots
        ],
    }
    return (json.dumps(found, indent=4) + "\n").encode()


def _read_root(
    root: RootModel, number: int, mistakes: Mistakes, notes: list[Note], *, loose: bool
) -> Root | None:
    place = f"root {number}"
    endpoints = []
    for position, model in enumerate(root.stable_endpoints or [], 1):
        where = f"{place}, endpoint {position}"
        try:
            endpoints.append(_read_endpoint(model))
        except DecodeError as error:
            mistakes.add(where, error)
            continue
        try:
            Endpoint.from_text(str(endpoints[-1]))
        except DecodeError as error:
            if loose:
                notes.append(Note(NoteCode.ENDPOINT_MISREAD, f"{where}: {error}"))
            else:
                mistakes.add(where, error)
    if len(endpoints) > MAX_ENDPOINTS:
        mistakes.add(
            place,
            f"{len(endpoints)} endpoints, and nodes throw away a World with more than "
            f"{MAX_ENDPOINTS}",
        )
    if root.identity_type != 0:
        mistakes.add(place, f"identity_type is {root.identity_type}: only 0 exists")
    public_key = read_key(root.public_key, f"{place}, public_key", mistakes)
    try:
        address = parse_address(root.address)
    except DecodeError as error:
        mistakes.add(f"{place}, address", error)
        return None
    return None if public_key is None else Root(Identity(address, public_key), tuple(endpoints))


def _read_endpoint(model: EndpointModel) -> Endpoint:
    if model.type not in (4, 6):
        raise DecodeError(f"type is {model.type}: write 4 for IPv4 or 6 for IPv6")
    try:
        ip = ip_address(model.ip)
    except ValueError:
        raise DecodeError(
            f"{model.ip[:64]!r} is not an IP address: write one such as 1.2.3.4"
        ) from None
    if ip.version != model.type:
        raise DecodeError(f"type is {model.type} and {ip} is IPv{ip.version}: make them agree")
    port = model.port if isinstance(model.port, int) else -1
    if isinstance(model.port, str) and _PORT.fullmatch(model.port):
        port = int(model.port)
    if not 0 <= port <= 0xFFFF:
        raise DecodeError("port is not a port: write a number from 1 to 65535")
    return Endpoint(ip.packed, port)


def _write_endpoint(endpoint: Endpoint) -> dict[str, object]:
    groups = (
        [f"{endpoint.ip[i] << 8 | endpoint.ip[i + 1]:x}" for i in range(0, 16, 2)]
        if (endpoint.family == 6)
        else []
    )
    return {
        "type": endpoint.family,
        "ip": ":".join(groups) or endpoint.host,
        "port": str(endpoint.port),
    }
