"""`previous.c25519` and `current.c25519` of mkworld: a pair of signing keys in 128 bytes.

The layout stands at `orrery.wire.signature.SigningKey`.
"""

from orrery.errors import CustodyError, UsageError
from orrery.wire.signature import SigningKey
from orrery.worlds.formats.content import Content
from orrery.worlds.formats.document import Document

NAME = "c25519"


def read(content: Content, *, loose: bool = False) -> Document:
    """Read the pair.

    Args:
        content: the file.
        loose: changes nothing: halves that are no pair can sign nothing.

    Raises:
        DecodeError: the halves do not belong together.
    """
    del loose
    key = SigningKey.decode(content.data)
    return Document(format=NAME, signing_public=key.public, signing_key=key)


def write(document: Document, *, secrets: bool = False) -> bytes:
    """The pair that the document holds.

    Raises:
        UsageError: it was not asked for by name.
        CustodyError: the document holds none.
    """
    if not secrets:
        raise UsageError("a key file is a secret and nothing else: add --with-secrets")
    if document.signing_key is None:
        raise CustodyError("the file holds no private signing key")
    return document.signing_key.encode()
