"""Roots as tools write them in JSON: texts of identities and of endpoints."""

import re
from collections.abc import Iterable, Sequence

from orrery.errors import DecodeError
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.signature import PUBLIC_KEY_BYTES
from orrery.wire.world import MAX_ENDPOINTS, MAX_ROOTS, Root
from orrery.worlds.formats.mistakes import Mistakes
from orrery.worlds.formats.notes import Note, NoteCode

_HEX = re.compile(r"[0-9a-fA-F]*")


def read_roots(
    texts: Iterable[tuple[str, Sequence[str]]],
    mistakes: Mistakes,
    notes: list[Note],
    *,
    loose: bool,
) -> tuple[Root, ...]:
    """Read roots from their texts.

    Args:
        texts: for each root its identity and its endpoints.
        mistakes: where mistakes are noted; what is returned is good for nothing then.
        notes: where it is noted what a tool would have done without a word.
        loose: read endpoints as a node and genmoon do, and pass over too many of them.
    """
    roots = []
    for number, (identity_text, endpoint_texts) in enumerate(texts, 1):
        place = f"root {number}"
        identity = _read_identity(identity_text, place, mistakes, notes)
        endpoints = []
        for position, text in enumerate(endpoint_texts, 1):
            endpoint = _read_endpoint(
                text, f"{place}, endpoint {position}", mistakes, notes, loose=loose
            )
            if endpoint is not None:
                endpoints.append(endpoint)
        if identity is not None:
            roots.append(Root(identity, tuple(endpoints)))
        if len(endpoint_texts) > MAX_ENDPOINTS and not loose:
            mistakes.add(
                place,
                f"{len(endpoint_texts)} endpoints, and nodes throw away a World with more than "
                f"{MAX_ENDPOINTS}: leave some out",
            )
    if len(roots) > MAX_ROOTS and not loose:
        mistakes.add(
            "",
            f"{len(roots)} roots, and nodes throw away a World with more than {MAX_ROOTS}: "
            "leave some out",
        )
    return tuple(roots)


def read_key(text: str | None, name: str, mistakes: Mistakes) -> bytes | None:
    """Read a key of 64 bytes from its hex digits, None from no or an empty text.

    A key is quoted in no message: it may be a private one.
    """
    if not text:
        return None
    good = _HEX.match(text)
    if good is not None and good.end() < len(text):
        mistakes.add(name, f"character {good.end() + 1} is no hex digit: copy the whole key again")
    elif len(text) != 2 * PUBLIC_KEY_BYTES:
        mistakes.add(name, f"{len(text)} hex digits where a key has 128: copy the whole key again")
    else:
        return bytes.fromhex(text)
    return None


def _read_identity(text: str, place: str, mistakes: Mistakes, notes: list[Note]) -> Identity | None:
    try:
        identity = Identity.from_string(text)
    except DecodeError as error:
        mistakes.add(place, error)
        return None
    if identity.private_key is not None:
        notes.append(
            Note(
                NoteCode.SECRET_IN_ROOT,
                f"{place}: the file gives away the private key of this root, and whoever reads it "
                "can be that root: keep only address:0:public key there",
            )
        )
    return identity.public()


def _read_endpoint(
    text: str, place: str, mistakes: Mistakes, notes: list[Note], *, loose: bool
) -> Endpoint | None:
    try:
        return Endpoint.from_text(text)
    except DecodeError as error:
        if not loose:
            mistakes.add(place, error)
            return None
        reason = str(error)
    try:
        taken = Endpoint.parse_as_node(text)
    except DecodeError:
        taken = Endpoint.NIL
    notes.append(
        Note(
            NoteCode.ENDPOINT_MISREAD,
            f"{place}: {reason}; the tool would write {str(taken) or 'an empty endpoint'} "
            "without a word",
        )
    )
    return taken
