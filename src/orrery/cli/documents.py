"""World files, keys, ids and times, as they stand in arguments."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path

from orrery.cli.files import Source, read_source
from orrery.custody.modes import read_private_file
from orrery.errors import CustodyError, DecodeError, UsageError
from orrery.wire.signature import PUBLIC_KEY_BYTES, SigningKey
from orrery.wire.world import WorldType
from orrery.worlds import formats
from orrery.worlds.formats import MAX_FILE_BYTES, Document

_PUBLIC_HEX = re.compile(f"[0-9a-fA-F]{{{2 * PUBLIC_KEY_BYTES}}}")
_HEX = re.compile(r"[0-9a-fA-F]+")
_ID = re.compile(r"(?:0x)?[0-9a-fA-F]{1,16}")
_DIGITS = re.compile(r"[0-9]{1,20}")
_DATE = re.compile(r"(?:19|20)[0-9]{2}(?:[0-9]{4})?")
_AGE = b"age-encryption.org/"
_LARGEST_U64 = 2**64 - 1
_TYPES = {"planet": WorldType.PLANET, "moon": WorldType.MOON}


def now_ms() -> int:
    """The time, milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def parse_document(source: Source, *, loose: bool = False) -> Document:
    """The document in a file.

    Raises:
        DecodeError: it is in no known format or has mistakes; each line begins with the file.
        CustodyError: it is a locked key.
    """
    if source.data.startswith(_AGE):
        raise CustodyError(
            f"{source.name} is a key locked with a passphrase: unlock it first, with "
            f"`age --decrypt {source.name}` or `orrery key unlock` in its home"
        )
    try:
        return formats.read(source.data, loose=loose)
    except DecodeError as error:
        lines = str(error).splitlines()
        raise DecodeError("\n".join(f"{source.name}: {line}" for line in lines)) from None


def read_document(argument: str, *, loose: bool = False) -> tuple[Source, Document]:
    """The file that an argument names, and the document in it."""
    source = read_source(argument, MAX_FILE_BYTES)
    return source, parse_document(source, loose=loose)


def trust_signing_key(source: Source, document: Document) -> SigningKey:
    """The signing key in a file, which nobody else must be able to read.

    Raises:
        CustodyError: the file holds none, or is open to others.
    """
    if source.path is not None and document.holds_secret:
        # Read again by the one function that checks whose the file is, and from what it read.
        data = read_private_file(source.path, MAX_FILE_BYTES)
        document = parse_document(Source(source.name, data, source.path), loose=True)
    if document.signing_key is None:
        raise CustodyError(
            f"{source.name} holds no private signing key: give the key file that belongs to this "
            "World with --key"
        )
    return document.signing_key


def read_signing_key(argument: str) -> SigningKey:
    """The pair in a key file: 128 bytes, or a moon.json with its secret.

    Raises:
        CustodyError: it is missing, holds no private key, is locked or open to others.
        UsageError: it is not the name of a file.
    """
    if _PUBLIC_HEX.fullmatch(argument) or len(argument) > 2 * PUBLIC_KEY_BYTES:
        raise UsageError(
            "a private key on the command line can be read by every user of this machine: "
            "write it to a file with mode 0600 and name that"
        )
    if argument != "-":
        path = Path(argument)
        source = Source(argument, read_private_file(path, MAX_FILE_BYTES), path)
    else:
        source = read_source(argument, MAX_FILE_BYTES)
    document = parse_document(source)
    if document.signing_key is None:
        raise CustodyError(
            f"{source.name} holds no private signing key: name the .c25519 file of the key, or "
            "the moon.json with its secret"
        )
    return document.signing_key


def read_public_key(argument: str) -> bytes:
    """A public key, as `key_in` finds it."""
    public, _, _ = key_in(argument)
    return public


def key_in(argument: str) -> tuple[bytes, Source | None, Document | None]:
    """The public key that an argument is or whose file it names.

    Args:
        argument: 128 hex digits, or a file with them or with a signing key.

    Returns:
        The key, the file if there is one, and what the file says if it is a document.

    Raises:
        UsageError: the file could mean more than one key.
        DecodeError: it is none.
    """
    if _PUBLIC_HEX.fullmatch(argument):
        return bytes.fromhex(argument), None, None
    if len(argument) >= PUBLIC_KEY_BYTES and _HEX.fullmatch(argument):
        raise DecodeError(
            f"{len(argument)} hex digits are no public key: a key has {2 * PUBLIC_KEY_BYTES}"
        )
    source = read_source(argument, MAX_FILE_BYTES)
    text = source.data.strip().decode("ascii", "replace")
    if _PUBLIC_HEX.fullmatch(text):
        return bytes.fromhex(text), source, None
    document = parse_document(source, loose=True)
    if document.signing_public is None:
        raise UsageError(
            f"{source.name} is a World and no key, and could mean its signer or the next one: "
            "give a .c25519 file or the 128 hex digits of the key"
        )
    return document.signing_public, source, document


def parse_timestamp(text: str) -> int:
    """A timestamp: milliseconds since 1970, or ISO 8601 with its zone.

    Raises:
        UsageError: it is neither, or looks like seconds or a date.
    """
    if _DATE.fullmatch(text):
        raise UsageError(
            f"--timestamp {text} looks like a date, and would be milliseconds since 1970: write "
            "a time such as 2026-01-31T12:00:00Z"
        )
    if _DIGITS.fullmatch(text):
        number = int(text)
        if len(text) == 10:
            raise UsageError(
                f"--timestamp {text} looks like seconds, and Worlds count milliseconds: "
                f"write {text}000"
            )
        if number > _LARGEST_U64:
            raise UsageError(f"--timestamp {text} does not fit 64 bits")
        return number
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--timestamp {text!r} is no time: write milliseconds since 1970, or a time such as "
            "2026-01-31T12:00:00Z"
        ) from None
    if moment.tzinfo is None:
        raise UsageError(f"--timestamp {text!r} has no zone: add Z for UTC")
    elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    if elapsed.days < 0:
        raise UsageError(f"--timestamp {text!r} is before 1970, where Worlds cannot be")
    return (elapsed.days * 86_400 + elapsed.seconds) * 1000 + elapsed.microseconds // 1000


def parse_id(text: str, option: str = "--id") -> int:
    """The id of a World: up to 16 hex digits.

    Args:
        text: what the user wrote.
        option: behind which option.

    Raises:
        UsageError: it is none, or 0.
    """
    if not _ID.fullmatch(text):
        raise UsageError(f"{option} {text!r} is no id: write 1 to 16 hex digits")
    if not int(text, 16):
        raise UsageError(f"{option} 0 means no World to a node: write another")
    return int(text, 16)


def parse_type(text: str) -> WorldType:
    """The type of a World: `planet` or `moon`.

    Raises:
        UsageError: it is neither.
    """
    if text not in _TYPES:
        raise UsageError(f"--type {text!r} is no type of World: write planet or moon")
    return _TYPES[text]
