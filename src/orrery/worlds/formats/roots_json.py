"""`config.json` and `moon.json` of the C++ forks of mkworld: roots and nothing else.

    roots[].identity
    roots[].stableEndpoints[]   null where there are none

One generator of planets reads the bare list. The forks sign with previous.c25519, name
current.c25519, keep the order, and stamp a fixed id and a fixed timestamp.
Source: xubiaolin/docker-zerotier-planet patch/mkworld_custom.cpp.
"""

import json
from typing import Annotated

from pydantic import Field

from orrery.errors import UsageError
from orrery.wire.world import EARTH_ID
from orrery.worlds.formats.content import Content
from orrery.worlds.formats.document import Document
from orrery.worlds.formats.json_model import MOST_ROOTS, JsonModel, validate
from orrery.worlds.formats.mistakes import Mistakes
from orrery.worlds.formats.moon_json import RootModel
from orrery.worlds.formats.notes import Note, NoteCode
from orrery.worlds.formats.text_roots import read_roots
from orrery.worlds.pitfalls import MKWORLD_TIMESTAMP_MS

NAME = "roots-json"


class RootsModel(JsonModel):
    """The whole file."""

    roots: Annotated[list[RootModel], Field(max_length=MOST_ROOTS)]


def read(content: Content, *, loose: bool = False) -> Document:
    """Read the roots.

    Args:
        content: the file.
        loose: read endpoints as the forks do.

    Raises:
        DecodeError: with all mistakes.
    """
    value = content.json
    model = validate(RootsModel, {"roots": value} if isinstance(value, list) else value)
    mistakes = Mistakes()
    notes = [
        Note(
            NoteCode.STAMPS_FIXED_TIME,
            f"the forks of mkworld give every World the id {EARTH_ID} and the timestamp "
            f"{MKWORLD_TIMESTAMP_MS}: a reissue is no newer than the World before, and every node "
            "refuses it",
        )
    ]
    roots = read_roots(
        [(root.identity, root.stable_endpoints or []) for root in model.roots],
        mistakes,
        notes,
        loose=loose,
    )
    mistakes.check()
    return Document(format=NAME, roots=roots, notes=tuple(notes))


def write(document: Document, *, secrets: bool = False) -> bytes:
    """The file as the forks write it.

    Raises:
        UsageError: the document says nothing about roots.
    """
    del secrets
    if document.roots is None:
        raise UsageError("a signing key has no roots to write")
    roots = [
        {
            "identity": str(root.identity),
            "stableEndpoints": [str(endpoint) for endpoint in root.endpoints],
        }
        for root in document.roots
    ]
    return (json.dumps({"roots": roots}, indent=4) + "\n").encode()
