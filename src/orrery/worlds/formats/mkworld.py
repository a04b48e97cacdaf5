"""`mkworld.config.json` of ztmkworld, which ztnet and ztncui use.

    rootNodes[].comments     for people
    rootNodes[].identity
    rootNodes[].endpoints[]  exactly ip/port
    signing                  two names of files: the key that signs, the key that is named
    output                   where the planet goes
    plID                     id of the planet, a number
    plBirth                  timestamp in milliseconds
    plRecommend              replace a plID or plBirth that is Earth's, or too old

The World is a planet, in the order given. Source: kmahyyg/ztncui-aio ztnodeid/cmd/mkworld/main.go.
"""

import json
from typing import Annotated

from pydantic import Field

from orrery.errors import UsageError
from orrery.wire.world import EARTH_ID, WorldType
from orrery.worlds.formats.content import Content
from orrery.worlds.formats.document import Document
from orrery.worlds.formats.json_model import MOST_ENDPOINTS, MOST_ROOTS, JsonModel, Text, validate
from orrery.worlds.formats.mistakes import Mistakes
from orrery.worlds.formats.notes import Note, NoteCode
from orrery.worlds.formats.text_roots import read_roots
from orrery.worlds.pitfalls import MKWORLD_TIMESTAMP_MS

NAME = "mkworld"
_MARS_ID = 227883110
_LARGEST_U64 = 2**64 - 1
_SAFE_IN_JAVASCRIPT = 2**53
_KEY_FILES = ("previous.c25519", "current.c25519")


class RootNodeModel(JsonModel):
    """One of `rootNodes`."""

    identity: Text
    endpoints: Annotated[list[Text] | None, Field(max_length=MOST_ENDPOINTS)] = None


class MkworldModel(JsonModel):
    """The whole file."""

    root_nodes: Annotated[
        list[RootNodeModel] | None, Field(alias="rootNodes", max_length=MOST_ROOTS)
    ] = None
    signing: Annotated[list[Text] | None, Field(min_length=2, max_length=2)] = None
    planet_id: Annotated[int, Field(alias="plID", ge=0, le=_LARGEST_U64)] = 0
    planet_birth: Annotated[int, Field(alias="plBirth", ge=0, le=_LARGEST_U64)] = 0
    recommend: Annotated[bool, Field(alias="plRecommend")] = False


def read(content: Content, *, loose: bool = False) -> Document:
    """Read the configuration; `plID` and `plBirth` of 0 count as not given.

    Args:
        content: the file.
        loose: read endpoints as a node does.

    Raises:
        DecodeError: with all mistakes.
    """
    model = validate(MkworldModel, content.json)
    mistakes = Mistakes()
    notes: list[Note] = []
    roots = read_roots(
        [(root.identity, root.endpoints or []) for root in model.root_nodes or []],
        mistakes,
        notes,
        loose=loose,
    )
    for name in model.signing or ():
        if not name or not name.isprintable():
            mistakes.add("", '"signing" names what is no file: write two names of key files')
    mistakes.check()
    redrawn = model.planet_id in (EARTH_ID, _MARS_ID) or model.planet_birth <= MKWORLD_TIMESTAMP_MS
    if model.recommend and redrawn:
        notes.append(
            Note(
                NoteCode.DRAWS_RANDOM_ID,
                f"plRecommend with plID {model.planet_id} and plBirth {model.planet_birth} makes "
                "ztmkworld draw a new World id on each run: no node takes it for an update",
            )
        )
    elif model.planet_birth:
        notes.append(
            Note(
                NoteCode.STAMPS_FIXED_TIME,
                f"ztmkworld stamps plBirth {model.planet_birth} on every run: a reissue with the "
                "same number is refused by every node",
            )
        )
    return Document(
        format=NAME,
        type=WorldType.PLANET,
        id=model.planet_id or None,
        timestamp_ms=model.planet_birth or None,
        roots=roots,
        key_files=(model.signing[0], model.signing[1]) if model.signing else _KEY_FILES,
        notes=tuple(notes),
    )


def write(document: Document, *, secrets: bool = False) -> bytes:
    """The configuration from which ztmkworld makes this planet.

    Raises:
        UsageError: it is no planet, or has an id or endpoints that ztmkworld cannot read.
    """
    del secrets
    if document.roots is None or document.type not in (None, WorldType.PLANET):
        raise UsageError("ztmkworld makes planets and nothing else: use moon-json for a moon")
    if max(document.id or 0, document.timestamp_ms or 0) >= _SAFE_IN_JAVASCRIPT:
        raise UsageError(
            "the id or timestamp of this planet is 2^53 or more, which ztnet would round: use "
            "moon-json"
        )
    if any(not endpoint.ip for root in document.roots for endpoint in root.endpoints):
        raise UsageError("ztmkworld cannot read the empty endpoint of this planet: remove it")
    key_files = document.key_files or _KEY_FILES
    found = {
        "signing": list(key_files),
        "output": "planet.custom",
        "rootNodes": [
            {
                "comments": f"{root.identity.address:010x}",
                "identity": str(root.identity),
                "endpoints": [str(endpoint) for endpoint in root.endpoints],
            }
            for root in document.roots
        ],
        "plID": document.id or 0,
        "plBirth": document.timestamp_ms or 0,
        "plRecommend": False,
    }
    return (json.dumps(found, indent=4) + "\n").encode()
