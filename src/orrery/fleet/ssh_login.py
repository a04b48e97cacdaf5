"""With which keys to log in at a host."""

from __future__ import annotations

import hashlib
import shlex
from binascii import b2a_base64
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncssh

from orrery.custody.modes import read_private_file
from orrery.errors import CustodyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from asyncssh.public_key import SSHKeyPair

    Key = asyncssh.SSHKey | SSHKeyPair | tuple[asyncssh.SSHKey, str]

_LONGEST_BYTES = 1 << 20
_FEW = 5


@asynccontextmanager
async def keys_to_offer(file: Path, agent_path: str | None) -> AsyncIterator[list[Key]]:
    """The one key of a file: from it, or, where it has a passphrase, as an agent holds it.

    A certificate of it, in a file beside it that ends in -cert.pub, is offered too.

    Args:
        file: A private key file.
        agent_path: The socket of an agent.

    Yields:
        It, which can be used until the end of the block.

    Raises:
        CustodyError: It is missing, exposed, no private key, or locked and no agent holds it.
        UnreadableError: It cannot be read.
    """
    key = _read(file)
    if key is not None:
        certificate = file.with_name(f"{file.name}-cert.pub")
        yield [(key, str(certificate)), key] if certificate.exists() else [key]
        return
    locked = CustodyError(
        f"{file} is locked by a passphrase: let an agent hold it by "
        f"`ssh-add {shlex.quote(str(file))}`, with its public half beside it in {file.name}.pub"
    )
    try:
        wanted = asyncssh.read_public_key(file.with_name(f"{file.name}.pub")).public_data
        agent = await asyncssh.connect_agent(agent_path or "")
    except (OSError, ValueError):
        raise locked from None
    async with agent:
        try:
            found = await agent.get_keys([wanted])
        except ValueError:
            raise locked from None
        if not found:
            raise locked
        yield list(found)


def _read(file: Path) -> asyncssh.SSHKey | None:
    """A private key; None when it has a passphrase."""
    data = read_private_file(file, _LONGEST_BYTES)
    try:
        return asyncssh.import_private_key(data)
    except asyncssh.KeyEncryptionError:
        return None
    except asyncssh.KeyImportError as error:
        # Its message is all that tells a locked OpenSSH key from a broken one.
        if str(error).startswith("Passphrase must be specified"):
            return None
        raise CustodyError(
            f"{file} is no private key of ssh ({error}): name the file that ssh-keygen wrote "
            "without .pub"
        ) from None


async def held_by_agent(path: str) -> Sequence[SSHKeyPair]:
    """The keys that an agent holds; none when it cannot be asked.

    Args:
        path: Its socket.
    """
    try:
        async with asyncssh.connect_agent(path) as agent:
            return await agent.get_keys()
    except (OSError, ValueError):
        return ()


def named(pairs: Sequence[SSHKeyPair]) -> str:
    """Keys for a sentence: what kind, which, and what their owner calls them."""
    words = []
    for pair in pairs[:_FEW]:
        digest = b2a_base64(hashlib.sha256(pair.public_data).digest(), newline=False)
        fingerprint = digest.decode().rstrip("=")
        comment = pair.get_comment()
        words.append(
            f"{pair.get_algorithm()} SHA256:{fingerprint}" + (f" ({comment})" if comment else "")
        )
    if len(pairs) > _FEW:
        words.append(f"{len(pairs) - _FEW} more")
    return ", ".join(words)
