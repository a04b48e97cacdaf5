"""A document as people and as programs see it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from orrery.cli.files import Source
from orrery.cli.output import Fact, iso_time
from orrery.wire.address import format_address
from orrery.wire.signature import fingerprint
from orrery.wire.world import Root, World
from orrery.worlds.formats import Document, by_name

_HALF = 64


def title(document: Document) -> str:
    """What the document is, in a few words."""
    if document.roots is None:
        return "signing key"
    kind = "World" if not document.type else document.type.name.lower()
    return kind if document.id is None else f"{kind} {document.id:016x}"


def facts(source: Source, document: Document, *, secret: bool) -> Iterator[Fact]:
    """What the document says, line by line."""
    yield "file", f"{source.name}: {by_name(document.format).title}"
    if document.roots is not None:
        yield "time", _time(document.timestamp_ms)
        yield "signed", _signed(document.world)
        if document.updates_must_be_signed_by is not None:
            yield "next signer", fingerprint(document.updates_must_be_signed_by)
    if document.signing_public is not None:
        held = "with its private key" if document.holds_secret else "public only"
        yield "signing key", f"{fingerprint(document.signing_public)}, {held}"
        if document.roots is None:
            yield "public key", split_key(document.signing_public)
    if secret and document.signing_key is not None:
        yield "PRIVATE KEY", split_key(document.signing_key.private)
    if document.key_files is not None:
        yield "key files", "{} signs, {} is named".format(*document.key_files)
    if document.dictionary:
        yield "dictionary", f"{len(document.dictionary)} bytes"
    for number, root in enumerate(document.roots or (), 1):
        yield f"root {number}", _root(root)


def describe(source: Source, document: Document, *, secret: bool) -> dict[str, Any]:
    """The document for programs; the keys are always the same."""
    world = document.world
    return {
        "file": source.name,
        "format": document.format,
        "type": None if document.type is None else document.type.name.lower(),
        "id": None if document.id is None else f"{document.id:016x}",
        "timestamp_ms": document.timestamp_ms,
        "time": iso_time(document.timestamp_ms),
        "signed": world is not None,
        "self_signed": None if world is None else world.is_self_signed,
        "signature": None if document.signature is None else document.signature.hex(),
        "next_signer": _key(document.updates_must_be_signed_by),
        "signing_key": _key(document.signing_public),
        "holds_private_key": document.holds_secret,
        **(
            {"private_key": document.signing_key.private.hex()}
            if secret and document.signing_key is not None
            else {}
        ),
        "roots": None
        if document.roots is None
        else [
            {
                "address": format_address(root.identity.address),
                "fingerprint": root.identity.fingerprint,
                "identity": str(root.identity),
                "endpoints": [str(endpoint) for endpoint in root.endpoints],
            }
            for root in document.roots
        ],
        "dictionary": document.dictionary.hex(),
    }


def comparable(before: Document, after: Document) -> tuple[World, World]:
    """Two Worlds that are different only where both files say something, and not the same."""
    old, new = before.draft(), after.draft()
    if before.type is None or after.type is None:
        new = replace(new, type=old.type if before.type is not None else new.type)
        old = replace(old, type=new.type)
    if before.id is None or after.id is None:
        new = replace(new, id=old.id)
    if before.timestamp_ms is None or after.timestamp_ms is None:
        new = replace(new, timestamp_ms=old.timestamp_ms)
    if before.updates_must_be_signed_by is None or after.updates_must_be_signed_by is None:
        new = replace(new, updates_must_be_signed_by=old.updates_must_be_signed_by)
    if before.signature is None or after.signature is None:
        new = replace(new, signature=old.signature)
    return old, new


def split_key(key: bytes) -> tuple[str, str]:
    """A key of 64 bytes in two lines: X25519, Ed25519."""
    text = key.hex()
    return text[:_HALF], text[_HALF:]


def _key(public: bytes | None) -> dict[str, str] | None:
    if public is None:
        return None
    return {"fingerprint": fingerprint(public), "public_key": public.hex()}


def _time(timestamp_ms: int | None) -> str:
    if timestamp_ms is None:
        return "none: it is stamped when it is signed"
    date = iso_time(timestamp_ms)
    return str(timestamp_ms) if date is None else f"{date} ({timestamp_ms})"


def _signed(world: World | None) -> str:
    if world is None:
        return "no"
    if world.is_self_signed:
        return f"by {fingerprint(world.updates_must_be_signed_by)}, which it names itself"
    return (
        "not by the key that it names: by the one that the revision before names, or it is "
        "damaged (`orrery world verify --against` tells)"
    )


def _root(root: Root) -> list[str]:
    head = f"{format_address(root.identity.address)} ({root.identity.fingerprint})"
    return [head, *(str(endpoint) or "empty endpoint" for endpoint in root.endpoints)]
