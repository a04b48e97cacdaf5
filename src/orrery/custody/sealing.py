"""Sealing whole files in the age format: with a passphrase, or to the public keys of recipients.

The `age` tool opens what is sealed here, without Orrery. A file that is cut short or changed
anywhere does not open at all: age authenticates the header and every 64 KiB of what follows, the
last of them as the last. With a passphrase it also tells who made the file: somebody who knows it.
To recipients it does not: their keys are public.
"""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from orrery.custody.keystore import PassphraseProvider
from orrery.custody.modes import read_private_file
from orrery.errors import CustodyError, DecodeError, UsageError

_AGE = b"age-encryption.org/v1\n"
_PASSPHRASE_STANZA = b"-> scrypt "
_IDENTITY_FILE_BYTES = 64 << 10
_SECRET_PREFIX = "AGE-SECRET-KEY-"  # noqa: S105 - how every such key begins


def check_recipient(text: str) -> None:
    """Refuse what is no public key of a recipient.

    Raises:
        UsageError: It is none.
        CustodyError: The part of Orrery that seals is not installed.
    """
    _recipient(text)


def _recipient(text: str) -> object:
    if text.startswith(_SECRET_PREFIX):
        # Nothing of it is repeated.
        raise UsageError(
            "this is a private age key: name its public one, age1…, which `age-keygen -y` prints"
        )
    pyrage = _pyrage()
    try:
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError:
        raise UsageError(
            f"{text[:80]!r} is no recipient: write an age public key, age1…, which `age-keygen` "
            "makes"
        ) from None


def seal_to(data: bytes, recipients: Sequence[str]) -> bytes:
    """Seal bytes so that any of the recipients opens them with their private key.

    Args:
        data: What to seal.
        recipients: Their public keys, `age1…`, at least one.

    Raises:
        UsageError: One is none.
        CustodyError: The part of Orrery that seals is not installed.
    """
    sealed: bytes = _pyrage().encrypt(data, [_recipient(text) for text in recipients])
    return sealed


def seal_with_passphrase(data: bytes, passphrase: str) -> bytes:
    """Seal bytes so that the passphrase opens them.

    Raises:
        CustodyError: It is empty, or the part of Orrery that seals is not installed.
    """
    if not passphrase:
        raise CustodyError("an empty passphrase seals nothing; choose one of several words")
    sealed: bytes = _pyrage().passphrase.encrypt(data, passphrase)
    return sealed


def check_can_seal() -> None:
    """Refuse to seal where the part of Orrery that does is not installed.

    Raises:
        CustodyError: It is not.
    """
    _pyrage()


def is_sealed(data: bytes) -> bool:
    """Whether bytes begin as an age file does."""
    return data.startswith(_AGE)


def unseal(
    data: bytes, name: str, passphrase: PassphraseProvider, identity: Path | None = None
) -> bytes:
    """Open what was sealed.

    Args:
        data: The sealed bytes.
        name: What to call them in an error.
        passphrase: Asked where they were sealed with one.
        identity: A file with private age keys, as `age-keygen` writes it, for what was sealed to
            recipients.

    Raises:
        DecodeError: They are no age file, or cut short, or were changed.
        CustodyError: The passphrase is wrong, no key fits, the file of keys is open to others, or
            the part of Orrery that unseals is not installed.
    """
    pyrage = _pyrage()
    if not is_sealed(data):
        raise DecodeError(f"{name} is no age file: nothing of it was made by `orrery backup`")
    if _PASSPHRASE_STANZA in data[: len(_AGE) + len(_PASSPHRASE_STANZA)]:
        if identity is not None:
            raise CustodyError(f"{name} was sealed with a passphrase: leave out --identity")
        given = passphrase(name)
        opened, reason = _open_with_passphrase(pyrage, data, given)
    elif identity is None:
        raise CustodyError(
            f"{name} was sealed to age keys: name the file of one of them with --identity"
        )
    else:
        keys = _private_keys(pyrage, identity)
        opened, reason = _open_with_keys(pyrage, data, keys)
    # Raised here, so that no traceback has a secret's surroundings.
    if opened is not None:
        return opened
    if reason == "No matching keys found":
        raise CustodyError(
            f"{name} was sealed to other keys than those in {identity}: name the right file with "
            "--identity"
        )
    if reason == "Decryption failed":
        raise CustodyError(
            f"{name} does not open: the passphrase is wrong, or its first lines were changed; try "
            "the passphrase again"
        )
    raise DecodeError(
        f"{name} is damaged: it was cut short or changed after it was made; use another copy"
    )


def _open_with_passphrase(
    pyrage: ModuleType, data: bytes, passphrase: str
) -> tuple[bytes | None, str]:
    try:
        return pyrage.passphrase.decrypt(data, passphrase), ""
    except pyrage.DecryptError as error:
        return None, str(error)


def _open_with_keys(
    pyrage: ModuleType, data: bytes, keys: Sequence[object]
) -> tuple[bytes | None, str]:
    try:
        return pyrage.decrypt(data, keys), ""
    except pyrage.DecryptError as error:
        return None, str(error)


def _private_keys(pyrage: ModuleType, path: Path) -> list[object]:
    keys: list[object] = []
    text = read_private_file(path, _IDENTITY_FILE_BYTES).decode("ascii", "replace")
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            keys.append(pyrage.x25519.Identity.from_str(stripped))
        except pyrage.IdentityError:
            keys = []
            break
    if not keys:
        raise CustodyError(
            f"{path} is no file of private age keys: name the one that `age-keygen` wrote"
        )
    return keys


def _pyrage() -> ModuleType:
    try:
        import pyrage  # noqa: PLC0415 - an optional part
    except ImportError:
        raise CustodyError(
            "backups need a part that is not installed; run: pip install 'zt-orrery[lock]'"
        ) from None
    module: ModuleType = pyrage
    return module
