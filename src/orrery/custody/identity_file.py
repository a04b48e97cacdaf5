"""`identity.secret` and `identity.public`, as zerotier-one writes and reads them.

The secret file is `address:0:public key:private key`, mode 0600, the public one the same without
the private key, mode 0644; neither ends with a newline, though one is taken.
"""

from pathlib import Path

from orrery.custody.durable import Owner, write_file
from orrery.custody.modes import FILE_MODE, read_private_file
from orrery.errors import CustodyError, DecodeError
from orrery.wire.identity import Identity

SECRET_NAME = "identity.secret"  # noqa: S105 - the name of the file
PUBLIC_NAME = "identity.public"
_LONGEST_BYTES = 1_024


def read_identity_secret(path: Path) -> Identity:
    """Read an identity with its private key.

    The two keys are compared with each other; the proof of work is not checked here, see
    `Identity.validate`.

    Raises:
        CustodyError: The file is missing, open to others, or holds no identity with a private key.
        UnreadableError: It cannot be read.
    """
    data = read_private_file(path, _LONGEST_BYTES)
    try:
        identity = Identity.from_string(data.decode("ascii"))
    except (DecodeError, UnicodeDecodeError):
        # Without the reason: it may quote what stands in the file.
        identity = None
    if identity is None or identity.private_key is None:
        raise CustodyError(
            f"{path} holds no whole identity with its private key "
            "(address:0:public key:private key); put it back from a backup"
        )
    return identity


def write_identity(directory: Path, identity: Identity, owner: Owner | None = None) -> None:
    """Write `identity.secret` and `identity.public`, each whole or not at all, secret first.

    Raises:
        CustodyError: The identity has no private key, or the directory has another identity.
        UnreadableError: The files cannot be written.
    """
    secret = directory / SECRET_NAME
    if secret.exists():
        if read_identity_secret(secret) != identity:
            raise CustodyError(
                f"{secret} holds another identity; move it away if that root is not needed any more"
            )
    else:
        write_file(secret, identity.to_string(secret=True).encode("ascii"), FILE_MODE, owner)
    write_file(directory / PUBLIC_NAME, str(identity).encode("ascii"), 0o644, owner)
