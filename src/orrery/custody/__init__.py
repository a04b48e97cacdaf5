"""Private keys on disk: the only code of Orrery that touches secret bytes there."""

from orrery.custody.durable import Owner
from orrery.custody.identity_file import (
    read_identity_secret,
    write_identity,
)
from orrery.custody.keystore import KeyFile, KeyStore, PassphraseProvider, Slot

__all__ = [
    "KeyFile",
    "KeyStore",
    "Owner",
    "PassphraseProvider",
    "Slot",
    "read_identity_secret",
    "write_identity",
]
