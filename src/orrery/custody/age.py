"""Keys encrypted at rest with a passphrase, in the age format (https://age-encryption.org/v1).

The plaintext is the 128 bytes of a key file, so the `age` tool opens it too, without Orrery.
Age makes a wrong guess cost a second or more of CPU (scrypt), and the right one as well.
"""

from pathlib import Path
from types import ModuleType

from orrery.errors import CustodyError, DecodeError
from orrery.wire.signature import SigningKey


def encrypt(key: SigningKey, passphrase: str) -> bytes:
    """The bytes of a locked key file.

    Raises:
        CustodyError: The passphrase is empty, or the part of Orrery that locks is not installed.
    """
    if not passphrase:
        raise CustodyError("an empty passphrase locks nothing; choose one of several words")
    locked: bytes = _pyrage().passphrase.encrypt(key.encode(), passphrase)
    return locked


def decrypt(data: bytes, passphrase: str, path: Path) -> SigningKey:
    """The key in a locked key file.

    Args:
        data: The file's bytes.
        passphrase: What it was locked with.
        path: What to call the file in an error.

    Raises:
        CustodyError: The passphrase is wrong, or the file is damaged.
    """
    pyrage = _pyrage()
    try:
        return SigningKey.decode(pyrage.passphrase.decrypt(data, passphrase))
    except (pyrage.DecryptError, DecodeError):
        pass  # raised anew outside, so that no traceback has the passphrase's surroundings
    raise CustodyError(
        f"{path} cannot be unlocked: the passphrase is wrong or the file is damaged; "
        "try the passphrase again"
    )


def check_can_lock() -> None:
    """Refuse to lock keys where the part of Orrery that locks is not installed.

    Raises:
        CustodyError: It is not.
    """
    _pyrage()


def _pyrage() -> ModuleType:
    try:
        import pyrage  # noqa: PLC0415 - an optional part
    except ImportError:
        raise CustodyError(
            "locked keys need a part that is not installed; run: pip install 'zt-orrery[lock]'"
        ) from None
    module: ModuleType = pyrage
    return module
