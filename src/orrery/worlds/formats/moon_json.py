"""`moon.json` of zerotier-idtool: what initmoon prints, people edit and genmoon signs.

    id                     hex digits, 10 for a moon named after its first root, up to 16
    objtype                "world"
    worldType              "moon" or "planet"
    roots[].identity       text form; genmoon drops a private key
    roots[].stableEndpoints[]
    signingKey             128 hex digits, public
    signingKey_SECRET      128 hex digits, private
    updatesMustBeSignedBy  128 hex digits, public: the key for the next revision

genmoon sorts the endpoints of each root and then the roots, stamps the clock, and checks nothing.
Source: ZeroTierOne one.cpp.
"""

import json
import re
from typing import Annotated

from pydantic import Field

from orrery.errors import UsageError
from orrery.wire.signature import SigningKey, derive_public_key
from orrery.wire.world import WorldType
from orrery.worlds.formats.content import Content
from orrery.worlds.formats.document import Document
from orrery.worlds.formats.json_model import MOST_ENDPOINTS, MOST_ROOTS, JsonModel, Text, validate
from orrery.worlds.formats.mistakes import Mistakes
from orrery.worlds.formats.notes import Note, NoteCode
from orrery.worlds.formats.text_roots import read_key, read_roots
from orrery.worlds.ordering import sort_roots

NAME = "moon-json"
_ID = re.compile(r"[0-9a-fA-F]{1,16}")
_TYPES = {"moon": WorldType.MOON, "planet": WorldType.PLANET}


class RootModel(JsonModel):
    """One of `roots`. A fork writes null where a root has no endpoints."""

    identity: Text
    stable_endpoints: Annotated[
        list[Text] | None, Field(alias="stableEndpoints", max_length=MOST_ENDPOINTS)
    ] = None


class MoonModel(JsonModel):
    """The whole file."""

    id: Text | None = None
    world_type: Annotated[Text | None, Field(alias="worldType")] = None
    roots: Annotated[list[RootModel] | None, Field(max_length=MOST_ROOTS)] = None
    signing_key: Annotated[Text | None, Field(alias="signingKey")] = None
    signing_key_secret: Annotated[Text | None, Field(alias="signingKey_SECRET")] = None
    updates_must_be_signed_by: Annotated[Text | None, Field(alias="updatesMustBeSignedBy")] = None


def read(content: Content, *, loose: bool = False) -> Document:
    """Read a moon.json.

    Args:
        content: the file.
        loose: read endpoints as genmoon does, and pass over a private key that is of another pair.

    Raises:
        DecodeError: with all mistakes.
    """
    model = validate(MoonModel, content.json)
    mistakes = Mistakes()
    notes: list[Note] = []
    world_id = _read_id(model.id, mistakes)
    world_type = _TYPES.get(model.world_type or "")
    if world_type is None:
        mistakes.add(
            "",
            'worldType is missing: write "moon" or "planet"'
            if model.world_type is None
            else f'worldType is {model.world_type!r}: write "moon" or "planet"',
        )
    roots = read_roots(
        [(root.identity, root.stable_endpoints or []) for root in model.roots or []],
        mistakes,
        notes,
        loose=loose,
    )
    signing_public = read_key(model.signing_key, "signingKey", mistakes)
    private = read_key(model.signing_key_secret, "signingKey_SECRET", mistakes)
    next_public = read_key(model.updates_must_be_signed_by, "updatesMustBeSignedBy", mistakes)
    signing_key = _pair(signing_public, private, mistakes, notes, loose=loose)
    if model.updates_must_be_signed_by in (None, ""):
        notes.append(
            Note(
                NoteCode.NO_NEXT_KEY,
                "updatesMustBeSignedBy is missing: genmoon would name a key of whatever stood in "
                "memory, and no later revision could be signed",
            )
        )
    mistakes.check()
    return Document(
        format=NAME,
        type=world_type,
        id=world_id,
        updates_must_be_signed_by=next_public,
        roots=sort_roots(roots),
        signing_public=signing_key.public if signing_key else signing_public,
        signing_key=signing_key,
        notes=tuple(notes),
    )


def write(document: Document, *, secrets: bool = False) -> bytes:
    """The file in the form of initmoon, with the private key only when that is asked for.

    Raises:
        UsageError: the document lacks roots, id or type, or has a dictionary.
    """
    if document.roots is None or document.type not in _TYPES.values() or not document.id:
        raise UsageError(
            "a moon.json needs roots, an id and whether it is a planet or a moon, and this file "
            "does not say all of it"
        )
    if document.dictionary:
        raise UsageError("a moon.json has no place for the dictionary that this moon carries")
    width = 10 if document.type is WorldType.MOON and document.id < 1 << 40 else 16
    found = {
        "id": f"{document.id:0{width}x}",
        "objtype": "world",
        "roots": [
            {
                "identity": str(root.identity),
                "stableEndpoints": [str(endpoint) for endpoint in root.endpoints],
            }
            for root in document.roots
        ],
        "worldType": "moon" if document.type is WorldType.MOON else "planet",
    }
    signing_public = document.signing_public
    world = document.world
    if signing_public is None and world is not None and world.is_self_signed:
        signing_public = world.updates_must_be_signed_by
    next_public = document.updates_must_be_signed_by or signing_public
    if signing_public is not None:
        found["signingKey"] = signing_public.hex()
    if next_public is not None:
        found["updatesMustBeSignedBy"] = next_public.hex()
    if secrets and document.signing_key is not None:
        found["signingKey"] = document.signing_key.public.hex()
        found["signingKey_SECRET"] = document.signing_key.private.hex()
    return (json.dumps(found, indent=1, sort_keys=True) + "\n").encode()


def _read_id(text: str | None, mistakes: Mistakes) -> int | None:
    if text is None:
        mistakes.add("", "id is missing: write the hex digits of the World's id")
        return None
    if not _ID.fullmatch(text):
        mistakes.add("", f"id is {text[:40]!r}: write 1 to 16 hex digits")
        return None
    if not int(text, 16):
        mistakes.add("", "id is 0, which to a node means no World: write another")
        return None
    return int(text, 16)


def _pair(
    public: bytes | None,
    private: bytes | None,
    mistakes: Mistakes,
    notes: list[Note],
    *,
    loose: bool,
) -> SigningKey | None:
    if private is None:
        return None
    derived = derive_public_key(private)
    if public is None or public == derived:
        return SigningKey(derived, private)
    sentence = (
        "signingKey_SECRET does not belong to signingKey: genmoon signs with it all the same, and "
        "no node can verify what comes out; take both from one file"
    )
    if loose:
        notes.append(Note(NoteCode.KEY_MISMATCH, sentence))
    else:
        mistakes.add("", sentence)
    return None
